//! Where indicators are written down, and who is told of new ones.

use komainu_model::{
    Contact, Indicator, IndicatorCandidate, IndicatorId, IndicatorState, IndicatorValue, RefusedCandidate,
    ReporterName, Scope, Sighting, Taught, Timestamp,
};

use crate::store::{Page, Paged, StoreError};

/// So many whom one device was in contact with are remembered. At the bound the 512 that were not heard of longest are let go.
pub const CONTACTS_PER_DEVICE_MAX: u32 = 4096;

/// What is written down about indicators: they themselves, what was refused, who was seen with whom. It is changed by batches
/// of the [`Store`](crate::Store), whose changes of [`Change::Indicators`](komainu_model::Change::Indicators) these are.
///
/// Calls block; an edge makes them where blocking is allowed.
pub trait IndicatorStore: Send + Sync {
    /// Shows `visit` every indicator that is active.
    fn visit_active(&self, visit: &mut dyn FnMut(IndicatorId, IndicatorValue)) -> Result<(), StoreError>;

    /// An indicator, whatever its state.
    fn indicator(&self, id: IndicatorId) -> Result<Option<Indicator>, StoreError>;

    /// Indicators in the order of their identities.
    fn indicators(&self, kind: Option<IndicatorKind>, page: &Page) -> Result<Paged<Indicator>, StoreError>;

    /// At most `limit` active indicators whose time is over at `now`, the longest over first.
    fn indicators_over(&self, now: Timestamp, limit: usize) -> Result<Vec<Indicator>, StoreError>;

    /// When the time of an active indicator is over next.
    fn next_over(&self) -> Result<Option<Timestamp>, StoreError>;

    /// At most `limit` active indicators for which what devices reported before has to be looked through, in the order of
    /// their identities.
    fn indicators_to_look_back(&self, limit: usize) -> Result<Vec<Indicator>, StoreError>;

    /// Candidates that were refused, the latest first.
    fn refused(&self, page: &Page) -> Result<Paged<RefusedCandidate>, StoreError>;

    /// How many candidates were refused.
    fn refused_count(&self) -> Result<u64, StoreError>;

    /// Who was seen with which indicator, the latest first.
    fn sightings(&self, query: &SightingQuery, page: &Page) -> Result<Paged<(Scope, Sighting)>, StoreError>;

    /// Which devices were in contact, at `since` or later, with whom an indicator names. Every port is meant when the
    /// indicator names none; the names below a name are meant as well.
    fn contacts(
        &self,
        value: &IndicatorValue,
        since: Timestamp,
        page: &Page,
    ) -> Result<Paged<(Scope, Contact)>, StoreError>;
}

/// Which sightings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SightingQuery {
    /// Only of this indicator.
    pub indicator: Option<IndicatorId>,
    /// Only of this device.
    pub reporter: Option<(Scope, ReporterName)>,
}

/// The states of indicators, without what belongs to each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the states")]
pub enum IndicatorKind {
    Active,
    Expired,
    Revoked,
}

impl IndicatorKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Active, Self::Expired, Self::Revoked];

    /// The kind of a state.
    pub const fn of(state: &IndicatorState) -> Self {
        match state {
            IndicatorState::Active => Self::Active,
            IndicatorState::Expired => Self::Expired,
            IndicatorState::Revoked { .. } => Self::Revoked,
        }
    }

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

/// Takes what somebody found out, and takes it back: the laboratory, an operator, a feed.
pub trait IndicatorSink: Send + Sync {
    /// What became of each candidate, in their order. When it returns, what is new is durable and devices are judged by it.
    /// The same candidates again change nothing but how long they count. Blocks.
    fn teach(&self, candidates: &[IndicatorCandidate]) -> Result<Vec<Taught>, StoreError>;

    /// Takes an indicator back: when it returns, that is durable and devices are no longer judged by it. The indicator as it is
    /// then; `None` when there is none. Only an operator brings it again. Blocks.
    fn revoke(&self, id: IndicatorId, reason: Option<&str>) -> Result<Option<Indicator>, StoreError>;
}
