//! How long things took.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// What is kept of many durations, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Latency {
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) max_ms: f64,
}

impl Latency {
    /// Of `micros`, in any order. All zero when there are none.
    pub(super) fn of(mut micros: Vec<u32>) -> Self {
        micros.sort_unstable();
        let at = |part: f64| {
            let index = (micros.len() as f64 * part) as usize;
            micros.get(index.min(micros.len().saturating_sub(1))).map_or(0.0, |micros| f64::from(*micros) / 1000.0)
        };
        Self { p50_ms: at(0.5), p99_ms: at(0.99), max_ms: at(1.0) }
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms", self.p50_ms, self.p99_ms, self.max_ms)
    }
}

/// A duration in microseconds, at most 71 minutes.
pub(super) fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles() {
        let check = |micros: Vec<u32>, p50_ms, p99_ms, max_ms| {
            assert_eq!(Latency::of(micros), Latency { p50_ms, p99_ms, max_ms });
        };
        check(vec![], 0.0, 0.0, 0.0);
        check(vec![1500], 1.5, 1.5, 1.5);
        check((1..=1000).rev().map(|n| n * 1000).collect(), 501.0, 991.0, 1000.0);
    }
}
