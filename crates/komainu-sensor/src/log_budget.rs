//! How many lines strangers can put into the log.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Lines of one event in one second. Enough to see what is going on; what is over is counted.
const LINES_PER_SECOND_MAX: u32 = 50;

/// The lines of one event: a flood of connections must not fill the disk.
#[derive(Debug, Default)]
pub(crate) struct LogBudget(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    began_at: Option<Instant>,
    lines: u32,
    suppressed: u64,
}

impl LogBudget {
    /// Whether a line may be written, and how many were left out since the last one that was.
    pub(crate) fn take_now(&self) -> Option<u64> {
        self.take(Instant::now())
    }

    fn take(&self, now: Instant) -> Option<u64> {
        let mut window = self.0.lock();
        if window.began_at.is_none_or(|began_at| now.duration_since(began_at) >= Duration::from_secs(1)) {
            window.began_at = Some(now);
            window.lines = 0;
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
        let later = now + Duration::from_secs(1);
        assert_eq!(budget.take(later), Some(1));
        assert_eq!(budget.take(later), Some(0));
    }
}
