//! How many lines those outside can put into the log.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines of one event in one second. Enough to see what is going on; what is over is counted.
const LINES_PER_SECOND_MAX: u32 = 50;

/// The lines of one event that strangers, devices or sensors can cause as often as they like: a flood of them must not
/// fill the disk.
#[derive(Debug, Default)]
pub struct LogBudget(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    began_at: Option<Instant>,
    lines: u32,
    suppressed: u64,
}

impl LogBudget {
    /// Whether a line may be written, and how many were left out since the last one that was.
    pub fn take_now(&self) -> Option<u64> {
        self.take(Instant::now())
    }

    fn take(&self, now: Instant) -> Option<u64> {
        // Numbers are right at any moment, whoever panicked elsewhere.
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if window.began_at.is_none_or(|began_at| now.duration_since(began_at) >= Duration::from_secs(1)) {
            (window.began_at, window.lines) = (Some(now), 0);
        }
        if window.lines >= LINES_PER_SECOND_MAX {
            window.suppressed += 1;
            return None;
        }
        window.lines += 1;
        Some(std::mem::take(&mut window.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_counted() {
        let (budget, now) = (LogBudget::default(), Instant::now());
        assert!((0..LINES_PER_SECOND_MAX).all(|_| budget.take(now) == Some(0)));
        assert_eq!(budget.take(now), None);
        assert_eq!(budget.take(now), None);
        let later = now + Duration::from_secs(1);
        assert_eq!(budget.take(later), Some(2));
        assert_eq!(budget.take(later), Some(0));
    }
}
