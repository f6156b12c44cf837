//! Writers that are killed while they write: another process, which runs one test of this program.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// A writer and how to start it.
pub(crate) struct Writer<'a> {
    /// The test that writes: it does so when the variable is set.
    pub(crate) test: &'a str,
    /// The variable that tells it where.
    pub(crate) variable: &'a str,
    pub(crate) place: &'a Path,
    /// What stands before the number of a batch that it acknowledges.
    pub(crate) word: &'a str,
    /// How many lines it may say at least.
    pub(crate) lines_min: usize,
}

impl Writer<'_> {
    /// Starts the writer, kills it after a while that differs from round to round, and returns what it had acknowledged.
    pub(crate) fn kill(&self, round: u64) -> Vec<u64> {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", self.test, "--ignored", "--nocapture", "--test-threads=1"])
            .env(self.variable, self.place)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut acknowledged = Vec::new();
        let mut read = |line: std::io::Result<String>| {
            if let Some(batch) = line.unwrap().strip_prefix(self.word) {
                acknowledged.push(batch.parse().unwrap());
            }
        };
        // So many lines first, then a moment that falls anywhere in the next batches.
        lines.by_ref().take(self.lines_min + (round % 5) as usize).for_each(&mut read);
        std::thread::sleep(Duration::from_micros(700 * (round * 7 % 11)));
        child.kill().unwrap();
        child.wait().unwrap();
        lines.for_each(read);
        acknowledged
    }
}
