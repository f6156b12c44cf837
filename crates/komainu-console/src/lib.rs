//! The web console: pages that the server renders, for people who look and decide.
//!
//! In come HTTP connections of browsers; out go pages of HTML that need no script to be read. [`routes`] is the table of
//! all pages with the least role that each asks for; a page is one file under [`pages`] and decides nothing by itself that
//! a core decides. Who asks is known by a session ([`request`]), every change comes in a form that only this console can
//! have made ([`form_key`]), and is written to the audit trail with the change itself.
//!
//! Pages about attacks take their time from the address ([`period`]), their tests as well ([`condition`]), and ask the lake
//! ([`watch`]).
//!
//! What others sent is shown by [`shown::shown`] and escaped by the templates; no page has script or style of its own, so
//! that the strict content security policy of [`reply`] holds for all of them.

mod accounts;
mod address;
mod assets;
mod attempts;
mod behaviors;
mod condition;
mod cookie;
mod events;
mod fields;
mod form_key;
#[cfg(fuzzing)]
pub mod fuzzing;
mod judged;
mod lab_report;
mod live;
mod paced;
mod pages;
mod password;
mod period;
mod problem;
mod published;
mod reply;
mod request;
mod routes;
mod server;
mod shell;
mod shown;
#[cfg(test)]
mod test_desks;
mod time;
mod totp;
mod visit;
mod watch;

use std::net::IpAddr;
use std::sync::Arc;

pub use accounts::{Accounts, By, OneTimeLink};
use assets::Assets;
use attempts::Attempts;
use komainu_model::Scope;
use komainu_ports::{
    AccessKeys, AccountStore, AccountsError, Clock, Fleet, IdSource, IndicatorSink, IndicatorStore, Lake, LogBudget,
    Presence, ProfileDesk, SampleIntake, SampleStore, SensorArtifacts, SensorCaptures, SensorRecords, SensorRollCall,
    SessionLog, Store, TopicDesk, VitalSigns,
};
use live::Live;
use password::Passwords;
pub use published::{Publications, Published, PublishedFile, PublishedFileState, PublishedKind};
pub use server::{CertificateError, Server, TlsCertificate};
use tokio::sync::Semaphore;

/// Pages that are made at the same time. Each has a thread while it is made; most take a millisecond.
const PAGES_AT_ONCE_MAX: usize = 32;

/// Trials of profiles that run at the same time: each reads stored values for some seconds, on a machine that has to judge
/// reports meanwhile.
const TRIALS_AT_ONCE_MAX: usize = 2;

/// What the console is made of.
pub struct ConsoleParts {
    /// Who uses it.
    pub accounts: Arc<Accounts>,
    /// What attacks there were.
    pub lakes: Arc<dyn Lakes>,
    /// Whose devices it shows.
    pub scope: Scope,
    /// Violations and what devices measured.
    pub history: Arc<dyn Store>,
    /// Security profiles.
    pub profiles: Arc<dyn ProfileDesk>,
    /// Topics, and what becomes of messages.
    pub topics: Arc<dyn TopicDesk>,
    /// Things, groups and profiles.
    pub fleet: Arc<dyn Fleet>,
    /// Who of them is connected.
    pub presence: Arc<dyn Presence>,
    /// What sensors handed in.
    pub threat: ThreatParts,
    /// What was published about weaknesses.
    pub publications: Arc<dyn Publications>,
    /// Access keys of programs.
    pub keys: Arc<dyn AccessKeys>,
    /// How the installation is.
    pub vitals: Arc<dyn VitalSigns>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where tokens and salts come from.
    pub ids: Arc<dyn IdSource>,
    /// Whether browsers reach it over TLS, here or at a proxy: then cookies are for TLS only.
    pub cookies: CookieScope,
    /// Proxies in front of it: their word counts for from where a request comes.
    pub proxies: Vec<IpAddr>,
}

/// What sensors handed in, and what was made of it.
#[derive(Clone)]
pub struct ThreatParts {
    /// What happened, in their words.
    pub records: Arc<dyn SensorRecords>,
    /// The same, as sessions.
    pub sessions: Arc<dyn SessionLog>,
    /// Who they are, and how they are.
    pub roll: Arc<dyn SensorRollCall>,
    /// Packets of sessions.
    pub captures: Arc<dyn SensorCaptures>,
    /// What attackers left behind.
    pub artifacts: Arc<dyn SensorArtifacts>,
    /// The laboratory's samples.
    pub samples: Arc<dyn SampleStore>,
    /// Where samples come in, and are looked at once more.
    pub intake: Arc<dyn SampleIntake>,
    /// What devices should not be in contact with.
    pub indicators: Arc<dyn IndicatorStore>,
    /// Where indicators are added and taken back.
    pub sink: Arc<dyn IndicatorSink>,
}

/// Says which lake pages read.
pub trait Lakes: Send + Sync {
    /// The one that is shown now. It is asked for each page, and answers at once.
    fn shown(&self) -> ShownLake;
}

/// A lake, and whether what is in it ever was.
#[derive(Clone)]
pub enum ShownLake {
    /// What sensors handed in.
    Real(Arc<dyn Lake>),
    /// Made up for a demonstration; pages say so.
    MadeUp(Arc<dyn Lake>),
}

/// Over what browsers send cookies back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CookieScope {
    /// TLS and plain HTTP.
    Any,
    /// TLS only.
    Tls,
}

/// The console.
pub struct Console {
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) lakes: Arc<dyn Lakes>,
    pub(crate) scope: Scope,
    pub(crate) history: Arc<dyn Store>,
    pub(crate) profiles: Arc<dyn ProfileDesk>,
    pub(crate) topics: Arc<dyn TopicDesk>,
    pub(crate) fleet: Arc<dyn Fleet>,
    pub(crate) presence: Arc<dyn Presence>,
    pub(crate) threat: ThreatParts,
    pub(crate) publications: Arc<dyn Publications>,
    pub(crate) keys: Arc<dyn AccessKeys>,
    pub(crate) vitals: Arc<dyn VitalSigns>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdSource>,
    pub(crate) cookies: CookieScope,
    pub(crate) proxies: Vec<IpAddr>,
    pub(crate) assets: Assets,
    pub(crate) attempts: Attempts,
    pub(crate) passwords: Passwords,
    pub(crate) turns: Arc<Semaphore>,
    /// Trials of profiles that run.
    pub(crate) trials: Semaphore,
    pub(crate) budgets: Budgets,
    pub(crate) live: Live,
}

/// Lines of the log that strangers can cause as often as they like.
#[derive(Default)]
pub(crate) struct Budgets {
    pub(crate) sign_in: LogBudget,
    pub(crate) trespass: LogBudget,
    pub(crate) limit: LogBudget,
    pub(crate) unavailable: LogBudget,
}

impl Console {
    /// A console of these parts. Hashes one password, which takes some tenths of a second.
    pub fn new(parts: ConsoleParts) -> Arc<Self> {
        let ConsoleParts {
            accounts,
            lakes,
            scope,
            history,
            fleet,
            presence,
            profiles,
            topics,
            threat,
            publications,
            ..
        } = parts;
        let ConsoleParts { keys, vitals, clock, ids, cookies, proxies, .. } = parts;
        let attempts = Attempts::new(ids.secret());
        let passwords = Passwords::new(&*ids);
        let turns = Arc::new(Semaphore::new(PAGES_AT_ONCE_MAX));
        let (assets, budgets) = (Assets::new(), Budgets::default());
        Arc::new(Self {
            accounts,
            lakes,
            scope,
            history,
            profiles,
            topics,
            fleet,
            presence,
            threat,
            publications,
            keys,
            vitals,
            clock,
            ids,
            cookies,
            proxies,
            assets,
            attempts,
            passwords,
            turns,
            trials: Semaphore::new(TRIALS_AT_ONCE_MAX),
            budgets,
            live: Live::default(),
        })
    }

    pub(crate) fn store(&self) -> &dyn AccountStore {
        self.accounts.store()
    }

    /// Whether the console can answer.
    pub(crate) fn health(&self) -> Result<(), AccountsError> {
        self.store().audit(None, 0).map(drop)
    }
}
