//! What was fetched lately: a URL once in a day, a host so many times in an hour.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::artifact::Sha256Digest;

/// How long a URL is not asked for again.
const URL_REST: Duration = Duration::from_secs(24 * 60 * 60);

/// URLs that are remembered, about 100 bytes each. Beyond, the oldest is forgotten, and may be fetched once more.
const URLS_MAX: usize = 20_000;

/// How long requests to a host are counted together.
const HOST_WINDOW: Duration = Duration::from_secs(60 * 60);

/// Hosts whose requests are counted. Beyond, no further host is asked until one has had its hour: forgetting one would
/// set it free.
const HOSTS_MAX: usize = 10_000;

/// What was fetched lately.
#[derive(Debug, Default)]
pub(super) struct History {
    urls: Mutex<Urls>,
    hosts: Mutex<HashMap<String, Count>>,
}

#[derive(Debug, Default)]
struct Urls {
    /// By the digest of the URL: what was fetched, and when it was begun.
    known: HashMap<Sha256Digest, Known>,
    /// In the order in which they were begun.
    order: VecDeque<(Instant, Sha256Digest)>,
}

#[derive(Debug)]
struct Known {
    file: Option<Sha256Digest>,
}

#[derive(Debug)]
struct Count {
    since: Instant,
    requests: u32,
}

/// Whether a URL was asked for within the last day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    New,
    /// What it gave, if it is known.
    Before(Option<Sha256Digest>),
}

impl History {
    /// Learns that a URL is to be fetched.
    pub(super) fn begin(&self, url: &[u8], now: Instant) -> Seen {
        let key = Sha256Digest::of(url);
        let mut urls = self.urls.lock();
        while let Some((at, oldest)) = urls.order.front().copied()
            && (now.duration_since(at) >= URL_REST || urls.order.len() >= URLS_MAX)
        {
            urls.order.pop_front();
            urls.known.remove(&oldest);
        }
        if let Some(known) = urls.known.get(&key) {
            return Seen::Before(known.file);
        }
        urls.known.insert(key, Known { file: None });
        urls.order.push_back((now, key));
        Seen::New
    }

    /// Learns what a URL gave.
    pub(super) fn fetched(&self, url: &[u8], file: Sha256Digest) {
        if let Some(known) = self.urls.lock().known.get_mut(&Sha256Digest::of(url)) {
            known.file = Some(file);
        }
    }

    /// Counts a request to a host, or says that there were enough.
    pub(super) fn may_ask(&self, host: String, per_hour: u32, now: Instant) -> bool {
        let mut hosts = self.hosts.lock();
        let is_over = |count: &Count| now.duration_since(count.since) >= HOST_WINDOW;
        if hosts.len() >= HOSTS_MAX && !hosts.contains_key(&host) {
            hosts.retain(|_, count| !is_over(count));
            if hosts.len() >= HOSTS_MAX {
                return false;
            }
        }
        let count = hosts.entry(host).or_insert(Count { since: now, requests: 0 });
        if is_over(count) {
            *count = Count { since: now, requests: 0 };
        }
        let may = count.requests < per_hour;
        count.requests += u32::from(may);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_once_a_day() {
        let (history, now) = (History::default(), Instant::now());
        assert_eq!(history.begin(b"a", now), Seen::New);
        assert_eq!(history.begin(b"a", now), Seen::Before(None));
        let file = Sha256Digest::of(b"file");
        history.fetched(b"a", file);
        assert_eq!(history.begin(b"a", now + URL_REST - Duration::from_secs(1)), Seen::Before(Some(file)));
        assert_eq!(history.begin(b"a", now + URL_REST), Seen::New);
        assert_eq!(history.begin(b"b", now + URL_REST), Seen::New);
    }

    #[test]
    fn a_flood_of_urls_is_forgotten_again() {
        let (history, now) = (History::default(), Instant::now());
        for number in 0..2 * URLS_MAX {
            assert_eq!(history.begin(&number.to_be_bytes(), now), Seen::New);
        }
        let urls = history.urls.lock();
        assert!(urls.known.len() <= URLS_MAX && urls.order.len() <= URLS_MAX);
    }

    #[test]
    fn a_host_so_many_times_an_hour() {
        let (history, now) = (History::default(), Instant::now());
        let ask = |host: &str, now| history.may_ask(host.to_owned(), 2, now);
        assert_eq!([ask("a", now), ask("a", now), ask("a", now), ask("b", now)], [true, true, false, true]);
        assert!(!ask("a", now + HOST_WINDOW - Duration::from_secs(1)));
        assert!(ask("a", now + HOST_WINDOW));
        for number in 0..2 * HOSTS_MAX {
            history.may_ask(number.to_string(), 2, now);
        }
        assert!(history.hosts.lock().len() <= HOSTS_MAX);
        assert!(!ask("new", now));
        assert!(ask("new", now + HOST_WINDOW));
    }
}
