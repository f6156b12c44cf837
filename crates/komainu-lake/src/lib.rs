//! The lake: attacks, what was seen in them, and what devices measured, as columns.
//!
//! In: batches of rows, each named, of the tables of [`komainu_ports::Lake`]. Out: counts by time and by any columns, exact
//! counts of different values, lists of rows. Rows of the last minutes are in the catalog, in SQLite; then they are written
//! to files of Parquet, sorted so that what is asked for stands together, which any program can read that knows the format.
//! What dashboards ask is counted when rows come and stands ready; everything else is counted by kernels of our own that work
//! on the codes of the files' dictionaries. There is no SQL here: other programs have it, and the files are open to them.
//!
//! A batch is durable when it was taken, and taken once, whatever is killed when. Not here: where rows come from, a clock,
//! and threads that last: whoever opens a lake calls [`ParquetLake::keep`] now and then.

mod block;
mod catalog;
mod count;
mod export;
#[cfg(fuzzing)]
pub mod fuzzing;
mod histogram;
mod hot;
mod lake;
mod list;
mod made_up;
mod merge;
mod part;
mod rollup;
mod threads;
mod window;
mod words;

pub use export::ParquetFile;
pub use lake::{LakeLimits, ParquetLake, UpkeepDone};
pub use made_up::MadeUpAttacks;
