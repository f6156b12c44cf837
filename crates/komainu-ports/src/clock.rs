//! Time and identity. Only `main` makes the real ones.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use komainu_model::Timestamp;

/// What time it is.
pub trait Clock: Send + Sync {
    /// The time now. It may go back when the machine's clock is set; callers that need order keep the latest.
    fn now(&self) -> Timestamp;
}

/// Where new identities come from.
pub trait IdSource: Send + Sync {
    /// A new UUID, hyphenated, lower case.
    fn uuid(&self) -> String;

    /// 32 bytes that nobody can guess.
    fn secret(&self) -> [u8; 32];
}

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Timestamp::from_unix_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }
}

/// A clock that a test sets.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that stands at `now`.
    pub fn new(now: Timestamp) -> Self {
        Self(AtomicI64::new(now.unix_millis()))
    }

    /// Moves the clock by `duration`.
    pub fn advance(&self, duration: Duration) {
        self.0.fetch_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_millis(self.0.load(Ordering::SeqCst))
    }
}

/// Identities from the operating system's random source.
#[derive(Debug, Default, Clone, Copy)]
pub struct RandomIds;

impl IdSource for RandomIds {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that makes random identities")]
    fn uuid(&self) -> String {
        uuid::Uuid::new_v4().to_string()
    }

    fn secret(&self) -> [u8; 32] {
        let mut secret = [0u8; 32];
        getrandom::fill(&mut secret).expect("the operating system has a random source");
        secret
    }
}

/// Identities that are the same in every run: for tests.
#[derive(Debug, Default)]
pub struct SeededIds(AtomicU64);

impl SeededIds {
    /// Identities counted from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }
}

impl IdSource for SeededIds {
    fn uuid(&self) -> String {
        let count = self.0.fetch_add(1, Ordering::SeqCst);
        uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, &count.to_be_bytes()).to_string()
    }

    fn secret(&self) -> [u8; 32] {
        let mut secret = [0u8; 32];
        secret[..8].copy_from_slice(&self.0.fetch_add(1, Ordering::SeqCst).to_be_bytes());
        secret
    }
}
