//! When a failed delivery is tried again.

use std::time::Duration;

use komainu_model::{Protocol, Timestamp};

/// Mail is tried for six hours, as SNS does for SMTP endpoints: 2 retries 10 s apart, 10 with growing pauses from
/// 10 s to 10 min, then every 10 min (SNS developer guide, "Message delivery retries").
const MAIL: Schedule = Schedule {
    early_retries: 2,
    early_pause: Duration::from_secs(10),
    growing_retries: 10,
    longest_pause: Duration::from_secs(600),
    give_up_after: Duration::from_secs(6 * 3600),
};

/// Webhooks see SNS's default first, 3 retries 20 s apart. SNS stops there; an alarm is worth more, so we go on with
/// growing pauses for an hour, the most that SNS allows a delivery policy.
const WEBHOOK: Schedule = Schedule {
    early_retries: 3,
    early_pause: Duration::from_secs(20),
    growing_retries: 8,
    longest_pause: Duration::from_secs(600),
    give_up_after: Duration::from_secs(3600),
};

struct Schedule {
    early_retries: u32,
    early_pause: Duration,
    growing_retries: u32,
    longest_pause: Duration,
    /// Counted from the delivery's creation.
    give_up_after: Duration,
}

/// When a delivery is tried again after `failed_attempts` (1 or more) failures, the latest at `now`. `None` when it
/// is given up: it is then dead and kept for operators to see.
///
/// Pauses vary by a fifth either way, by `jitter_seed`, so that what failed together does not come back together.
pub fn retry_at(
    protocol: Protocol,
    failed_attempts: u32,
    created_at: Timestamp,
    now: Timestamp,
    jitter_seed: u64,
) -> Option<Timestamp> {
    let schedule = match protocol {
        Protocol::Email | Protocol::EmailJson => MAIL,
        Protocol::Http | Protocol::Https => WEBHOOK,
    };
    let next = now.plus(jittered(schedule.pause_after(failed_attempts), failed_attempts, jitter_seed));
    (next.since(created_at) <= schedule.give_up_after).then_some(next)
}

impl Schedule {
    fn pause_after(&self, failed_attempts: u32) -> Duration {
        let grown = failed_attempts.saturating_sub(self.early_retries);
        if grown == 0 {
            return self.early_pause;
        }
        if grown >= self.growing_retries {
            return self.longest_pause;
        }
        // Geometric: the last growing pause is the longest one.
        let ratio = self.longest_pause.as_secs_f64() / self.early_pause.as_secs_f64();
        self.early_pause.mul_f64(ratio.powf(f64::from(grown) / f64::from(self.growing_retries)))
    }
}

/// `pause`, between 80 % and 120 % of it.
fn jittered(pause: Duration, failed_attempts: u32, seed: u64) -> Duration {
    // SplitMix64 spreads seeds that differ in a few bits over the whole range.
    let mut mixed = seed.wrapping_add(u64::from(failed_attempts).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    let fraction = (mixed >> 11) as f64 / (1u64 << 53) as f64;
    pause.mul_f64(0.8 + 0.4 * fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails every attempt at once and gives the pauses in seconds until the delivery is given up.
    fn pauses(protocol: Protocol, seed: u64) -> Vec<u64> {
        let created = Timestamp::from_unix_seconds(1_000);
        let mut now = created;
        let mut pauses = Vec::new();
        for failed in 1.. {
            let Some(next) = retry_at(protocol, failed, created, now, seed) else { break };
            pauses.push(next.since(now).as_secs());
            now = next;
        }
        pauses
    }

    #[test]
    fn mail_is_tried_for_six_hours_and_webhooks_for_one() {
        let check = |protocol, attempts: std::ops::RangeInclusive<usize>, hours: u64, early: u64| {
            for seed in 0..200 {
                let pauses = pauses(protocol, seed);
                assert!(attempts.contains(&pauses.len()), "{} retries with seed {seed}", pauses.len());
                assert!((early * 8 / 10..=early * 12 / 10).contains(&pauses[0]), "{pauses:?}");
                assert!(pauses.iter().all(|pause| *pause <= 720), "{pauses:?}");
                let total: u64 = pauses.iter().sum();
                assert!(total <= hours * 3600 && total > hours * 3600 - 800, "{total} s with seed {seed}");
            }
        };
        check(Protocol::Email, 40..=52, 6, 10);
        check(Protocol::EmailJson, 40..=52, 6, 10);
        check(Protocol::Http, 10..=16, 1, 20);
        check(Protocol::Https, 10..=16, 1, 20);
    }

    #[test]
    fn jitter_follows_the_seed() {
        assert_eq!(pauses(Protocol::Email, 7), pauses(Protocol::Email, 7));
        assert_ne!(pauses(Protocol::Email, 7), pauses(Protocol::Email, 8));
    }

    #[test]
    fn a_clock_that_went_back_does_not_give_up() {
        let created = Timestamp::from_unix_seconds(1_000_000);
        let now = Timestamp::from_unix_seconds(10);
        assert!(retry_at(Protocol::Email, 1, created, now, 1).is_some());
        assert!(retry_at(Protocol::Email, u32::MAX, created, now, 1).is_some());
    }
}
