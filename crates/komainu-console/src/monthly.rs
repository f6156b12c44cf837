//! The monthly report: one month of attacks, malware and alarms beside the month before it, as one document for people who have
//! no console.
//!
//! The document is HTML that needs nothing else: its style stands in it, its charts are SVG, and its policy forbids everything
//! else, so that nothing is fetched when somebody opens it and no script runs. Nothing in it leads anywhere: addresses and URLs
//! of attackers are written so that no program makes links of them. It asks the same questions in the same words as the pages
//! of the console do ([`crate::watch`], [`crate::pages`]).
//!
//! A document is whole or there is none: a question that the lake does not answer is an error.

mod attacks;
mod brought;
mod fleet;
mod loop_closed;
mod malware;
mod month;
mod news;
mod products;
mod reading;
mod sheet;
mod summary;
mod table;

use std::sync::Arc;

use komainu_model::{Language, Scope, Timestamp};
use komainu_ports::{
    IndicatorStore, LakeError, LakeQuestion, LakeTable, SampleBrief, SampleStore, SamplesError, Store, StoreError,
    TimeBucket, TimeRange,
};
use komainu_statistics::{MalwareStatistics, malware_statistics};
use maud::html;

pub use month::Month;
pub(crate) use summary::opening;

use crate::monthly::fleet::FleetMonth;
use crate::pages::malware::{Taught, facts};
use crate::pages::samples::BRIEFS_MAX;
use crate::period::Period;
use crate::watch::{Asker, asked};
use crate::{Lakes, Publications, Published};

/// Bytes of a document. Its lists are bounded, so that it has less than half of that; names that somebody made as long as they
/// can be do not make it more than a mail takes.
const DOCUMENT_BYTES_MAX: usize = 1_000_000;

/// What a monthly report is made of.
#[derive(Clone)]
pub struct MonthlyParts {
    /// What attacks there were.
    pub lakes: Arc<dyn Lakes>,
    /// Whose devices are meant.
    pub scope: Scope,
    /// Violations.
    pub history: Arc<dyn Store>,
    /// The laboratory's samples.
    pub samples: Arc<dyn SampleStore>,
    /// What devices should not be in contact with.
    pub indicators: Arc<dyn IndicatorStore>,
    /// What was published about weaknesses.
    pub publications: Arc<dyn Publications>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum MonthlyError {
    /// The month has not begun.
    #[error("{month} has not begun")]
    Future {
        /// Which.
        month: Month,
    },
    /// Attacks cannot be counted.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// Alarms or indicators cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Samples cannot be read.
    #[error(transparent)]
    Samples(#[from] SamplesError),
    /// The document has become larger than anybody would send.
    #[error("the report of {month} has {bytes} bytes, at most {DOCUMENT_BYTES_MAX} are sent")]
    TooLarge {
        /// Of which month.
        month: Month,
        /// How many.
        bytes: usize,
    },
}

/// The report of a month as a document of HTML. Blocks: each of some dozen questions takes milliseconds where counts stand ready,
/// and some tenths of a second among two hundred million attacks where rows have to be looked at.
pub fn monthly_report(
    parts: &MonthlyParts,
    month: Month,
    language: Language,
    now: Timestamp,
) -> Result<String, MonthlyError> {
    let edition = Edition::of(parts, month, language, now)?;
    let content = html! {
        (summary::section(&edition)?)
        (attacks::over_days(&edition)?)
        (attacks::from_where(&edition)?)
        (attacks::on_what(&edition)?)
        (brought::section(&edition)?)
        (news::section(&edition)?)
        (malware::section(&edition)?)
        (products::section(&edition)?)
        (fleet::section(&edition))
        (loop_closed::section(&edition)?)
        (reading::section(&edition))
    };
    let document = sheet::document(&edition, content);
    match document.len() {
        0..=DOCUMENT_BYTES_MAX => Ok(document),
        bytes => Err(MonthlyError::TooLarge { month, bytes }),
    }
}

/// The months of which there is an attack, the latest first, each with how many there are; the month in which `now` lies and the
/// one before it stand there in any case.
pub(crate) fn months(asker: &Asker) -> Result<Vec<(Month, u64)>, LakeError> {
    let all = asked(LakeTable::Attacks, TimeRange::ALL, &[]);
    let answer = asker.count(&LakeQuestion { bucket: Some(TimeBucket::Month), ..all })?;
    let this = Month::of(asker.now);
    let mut months = vec![(this, 0), (this.before(), 0)];
    for group in answer.groups() {
        let Some(at) = group.bucket else { continue };
        let month = Month::of(at);
        match months.iter_mut().find(|(known, _)| *known == month) {
            Some((_, count)) => *count += group.count,
            None if month < this => months.push((month, group.count)),
            // A sensor whose clock is ahead by less than a day.
            None => {}
        }
    }
    months.sort_by_key(|(month, _)| std::cmp::Reverse(*month));
    Ok(months)
}

/// All that several sections tell of.
pub(crate) struct Edition<'p> {
    pub(crate) parts: &'p MonthlyParts,
    pub(crate) asker: Asker,
    pub(crate) month: Month,
    /// The month.
    pub(crate) period: Period,
    /// The month before it.
    pub(crate) before: TimeRange,
    pub(crate) published: Arc<Published>,
    /// Samples that came in the month.
    pub(crate) briefs: Vec<SampleBrief>,
    pub(crate) malware: MalwareStatistics,
    /// The same of the month before.
    pub(crate) malware_before: MalwareStatistics,
    pub(crate) taught: Taught,
    pub(crate) fleet: FleetMonth,
}

impl<'p> Edition<'p> {
    /// Asks for what several sections need.
    pub(crate) fn of(
        parts: &'p MonthlyParts,
        month: Month,
        language: Language,
        now: Timestamp,
    ) -> Result<Self, MonthlyError> {
        let range = month.range();
        if range.from > now {
            return Err(MonthlyError::Future { month });
        }
        let before = month.before().range();
        let briefs = parts.samples.briefs(range, BRIEFS_MAX)?;
        let taught = Taught::of(&*parts.indicators)?;
        let of_before = parts.samples.briefs(before, BRIEFS_MAX)?;
        Ok(Self {
            asker: Asker::of(&*parts.lakes, language, now),
            month,
            period: Period::between(range.from, range.to, now),
            before,
            published: parts.publications.now(),
            malware: malware_statistics(&facts(&briefs, &taught.guarded)),
            malware_before: malware_statistics(&facts(&of_before, &taught.guarded)),
            briefs,
            fleet: FleetMonth::of(parts, range, before, now)?,
            taught,
            parts,
        })
    }

    pub(crate) fn text(&self, key: &'static str) -> &'static str {
        self.asker.text(key)
    }

    pub(crate) fn filled(&self, key: &'static str, places: &[(&str, &str)]) -> String {
        self.asker.filled(key, places)
    }

    pub(crate) fn charts_language(&self) -> komainu_charts::Language {
        crate::watch::charts_language(self.asker.language)
    }

    /// Whether the month is over: nothing more comes.
    pub(crate) fn is_over(&self) -> bool {
        self.period.range.to <= self.asker.now
    }

    /// How many days the month before has.
    pub(crate) fn days_before(&self) -> f64 {
        (self.before.to.unix_millis() - self.before.from.unix_millis()) as f64 / 86_400_000.0
    }

    /// By how much more there is a day than in the month before; none when there was nothing.
    pub(crate) fn ratio(&self, now: u64, before: u64) -> Option<f64> {
        (before > 0).then(|| (now as f64 / self.period.elapsed_days()) / (before as f64 / self.days_before()))
    }
}

#[cfg(test)]
mod tests;
