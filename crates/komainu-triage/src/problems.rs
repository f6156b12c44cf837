//! What could not be read, or is not as it should be.

use crate::limits::PROBLEMS_MAX;

/// Problems of one sample, at most 32 of them; the rest is counted.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    told: Vec<String>,
    more: u64,
}

impl Problems {
    /// Adds one. Texts of a sample in it must have gone through [`crate::text::shown`].
    pub(crate) fn tell(&mut self, problem: impl Into<String>) {
        if self.told.len() < PROBLEMS_MAX {
            self.told.push(problem.into());
        } else {
            self.more += 1;
        }
    }

    /// All of them, with a last one that says how many more there were.
    pub(crate) fn into_told(mut self) -> Vec<String> {
        if self.more > 0 {
            self.told.push(format!("{} more problems", self.more));
        }
        self.told
    }
}
