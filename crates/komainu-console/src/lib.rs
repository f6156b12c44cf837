//! The web console: pages that the server renders, for people who look and decide.
//!
//! In come HTTP connections of browsers; out go pages of HTML that need no script to be read. [`routes`] is the table of
//! all pages with the least role that each asks for; a page is one file under [`pages`] and decides nothing by itself that
//! a core decides. Who asks is known by a session ([`request`]), every change comes in a form that only this console can
//! have made ([`form_key`]), and is written to the audit trail with the change itself.
//!
//! Pages about attacks take their time from the address ([`period`]), their tests as well ([`condition`]), and ask the lake
//! ([`watch`]). The monthly report ([`monthly`]) asks as they do, and is a document of its own, also for the command line.
//!
//! What others sent is shown by [`shown::shown`] and escaped by the templates; no page has script or style of its own, so
//! that the strict content security policy of [`reply`] holds for all of them.

mod accounts;
mod address;
mod assets;
mod attempts;
mod behaviors;
mod browsers;
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
mod monthly;
mod paced;
mod pages;
mod password;
mod period;
mod problem;
mod problem_words;
mod provider;
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
mod value;
mod visit;
mod watch;

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

pub use accounts::{Accounts, By, OneTimeLink, PasswordRule};
use assets::Assets;
use attempts::Attempts;
use browsers::Browsers;
use komainu_model::Scope;
use komainu_ports::{
    AccessKeys, AccountStore, AccountsError, Clock, Fleet, IdSource, IndicatorSink, IndicatorStore, Lake, LogBudget,
    Presence, ProfileDesk, SampleIntake, SampleStore, SensorArtifacts, SensorCaptures, SensorRecords, SensorRollCall,
    SessionLog, Store, TopicDesk, VitalSigns,
};
use live::Live;
pub use monthly::{Month, MonthlyError, MonthlyParts, monthly_report};
use password::Passwords;
use provider::Arrivals;
pub use provider::{ProviderRules, SignInProvider};
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
    /// Through whom operators sign in, besides passwords.
    pub sign_in: Option<SignInProvider>,
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

/// The console: its parts, which pages see as if they were its own, and what it makes of them.
pub struct Console {
    parts: ConsoleParts,
    pub(crate) assets: Assets,
    pub(crate) attempts: Attempts,
    /// Set at the first signing in: the store keeps its secret.
    browsers: OnceLock<Browsers>,
    pub(crate) arrivals: Option<Arrivals>,
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
    pub(crate) provider: LogBudget,
    pub(crate) trespass: LogBudget,
    pub(crate) limit: LogBudget,
    pub(crate) unavailable: LogBudget,
}

impl Console {
    /// A console of these parts. Hashes one password, which takes some tenths of a second.
    pub fn new(mut parts: ConsoleParts) -> Arc<Self> {
        let attempts = Attempts::new(parts.ids.secret());
        let arrivals = parts.sign_in.take().map(|sign_in| Arrivals::new(sign_in, parts.ids.secret()));
        let passwords = Passwords::new(&*parts.ids);
        let turns = Arc::new(Semaphore::new(PAGES_AT_ONCE_MAX));
        Arc::new(Self {
            parts,
            assets: Assets::new(),
            attempts,
            browsers: OnceLock::new(),
            arrivals,
            passwords,
            turns,
            trials: Semaphore::new(TRIALS_AT_ONCE_MAX),
            budgets: Budgets::default(),
            live: Live::default(),
        })
    }

    pub(crate) fn store(&self) -> &dyn AccountStore {
        self.accounts.store()
    }

    /// Knows browsers in which somebody signed in before.
    pub(crate) fn browsers(&self) -> Result<&Browsers, AccountsError> {
        if let Some(known) = self.browsers.get() {
            return Ok(known);
        }
        let secret = self.store().browser_secret(self.ids.secret())?;
        Ok(self.browsers.get_or_init(|| Browsers::new(secret)))
    }

    /// What people call the OpenID provider, if there is one.
    pub(crate) fn provider_name(&self) -> Option<&str> {
        self.arrivals.as_ref().map(|arrivals| arrivals.rules.name.as_str())
    }

    /// Whether the console can answer.
    pub(crate) fn health(&self) -> Result<(), AccountsError> {
        self.store().audit(None, 0).map(drop)
    }
}

impl Deref for Console {
    type Target = ConsoleParts;

    fn deref(&self) -> &ConsoleParts {
        &self.parts
    }
}
