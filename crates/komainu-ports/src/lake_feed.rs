//! What devices reported, on its way from the store to the lake.

use komainu_model::{Contact, Datapoint, Scope};

use crate::lake::LakeBatchName;
use crate::store::StoreError;

/// Waits, so that the lake gets it exactly once: with each batch that the [`Store`](crate::Store) commits, its values that are
/// new ([`Change::AppendDatapoint`](komainu_model::Change::AppendDatapoint)) and its contacts
/// ([`IndicatorChange::AddContact`](komainu_model::IndicatorChange::AddContact)) are put here as well, in the same step. They
/// stay until somebody says that they have been taken.
///
/// It is bounded: at the bound the oldest go, and are counted, for it must not fill the disk of what may not be lost when the
/// lake is out of order for long.
///
/// Calls block; an edge makes them where blocking is allowed.
pub trait LakeFeed: Send + Sync {
    /// The oldest that wait, some of them. They are named in one stream, with numbers that rise, and no name is ever given
    /// twice: also not by a store that was restored from a copy.
    fn waiting(&self) -> Result<Vec<FedBatch>, StoreError>;

    /// Removes everything up to this number, the last of a batch that was shown to wait. What is removed is durably gone on
    /// return.
    fn taken(&self, up_to: u64) -> Result<(), StoreError>;

    /// Values and contacts that went at the bound, since the store was made.
    fn lost(&self) -> Result<u64, StoreError>;
}

/// What was committed together, as far as the lake has to know.
#[derive(Debug, Clone, PartialEq)]
pub struct FedBatch {
    /// Its name in the lake.
    pub name: LakeBatchName,
    /// In the order in which it was committed.
    pub reported: Vec<(Scope, Reported)>,
}

/// Something that a device reported, or that was measured of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Reported {
    /// A value.
    Value(Datapoint),
    /// With whom it was connected.
    Contact(Contact),
}
