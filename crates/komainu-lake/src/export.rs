//! Rows in a file of one's own.

use std::io;
use std::path::Path;

use komainu_ports::{LakeRows, LakeTable};

use crate::part::PartWriter;

/// A file of Parquet with rows of one table, in the order in which they are written.
pub struct ParquetFile(PartWriter);

impl ParquetFile {
    /// Makes a file that is not there yet, for its owner only.
    pub fn create(path: &Path, table: LakeTable) -> io::Result<Self> {
        PartWriter::create(path, table, 0).map(Self)
    }

    /// Adds rows of the table.
    pub fn write(&mut self, rows: &LakeRows) -> io::Result<()> {
        self.0.write(rows)
    }

    /// Ends the file; it is on the disk on return. Says how many rows it has.
    pub fn finish(self) -> io::Result<u64> {
        Ok(self.0.finish()?.rows)
    }
}
