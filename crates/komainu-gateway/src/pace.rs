//! How fast one client may publish. A client that is faster is not read from for a while, so that its own network
//! stack slows it down: a device that floods must not take the gateway's time away from the others.

use std::time::Duration;

use tokio::time::Instant;

/// The pace of one connection (the generic cell rate algorithm: one point in time is all its state).
#[derive(Debug)]
pub(crate) struct Pace {
    /// The time that one message stands for; zero when there is no bound.
    interval: Duration,
    /// So far the client may be ahead of its pace.
    ahead_max: Duration,
    /// When everything that was published so far would have been published at the allowed pace.
    spent_until: Instant,
}

impl Pace {
    /// At most `per_s_max` messages a second in the long run, 0 for no bound, and `burst_max` at once.
    pub(crate) fn new(per_s_max: u32, burst_max: u32, now: Instant) -> Self {
        let interval = Duration::from_secs(1).checked_div(per_s_max).unwrap_or_default();
        Self { interval, ahead_max: interval * burst_max, spent_until: now }
    }

    /// Counts messages; says until when the client has to wait, if it has to.
    pub(crate) fn spend(&mut self, messages: u32, now: Instant) -> Option<Instant> {
        self.spent_until = self.spent_until.max(now) + self.interval * messages;
        let resume_at = self.spent_until.checked_sub(self.ahead_max)?;
        (resume_at > now).then_some(resume_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_pass_and_floods_wait() {
        let begin = Instant::now();
        let at = |millis| begin + Duration::from_millis(millis);
        let mut pace = Pace::new(1_000, 500, begin);
        assert_eq!(pace.spend(500, at(0)), None, "a burst");
        assert_eq!(pace.spend(100, at(0)), Some(at(100)), "too much at once");
        assert_eq!(pace.spend(100, at(100)), Some(at(200)), "still too fast");
        assert_eq!(pace.spend(300, at(600)), None, "the pace allows that much by then");
        assert_eq!(pace.spend(500, at(10_000)), None, "silence earns one burst");
        assert_eq!(pace.spend(1, at(10_000)), Some(at(10_001)), "and no more");
    }

    #[test]
    fn zero_is_no_bound() {
        let begin = Instant::now();
        assert_eq!(Pace::new(0, 0, begin).spend(u32::MAX, begin), None);
    }
}
