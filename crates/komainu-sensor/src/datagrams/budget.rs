//! How much is said to whoever sends datagrams.
//!
//! The source of a datagram can be forged: whoever answers with more than was asked hits a third party with more than
//! the attacker has. This is the one place that decides what may be sent. [`ReplyBudget::permit`] alone makes a
//! [`Permit`], and the socket sends nothing else.
//!
//! - To a source of which nothing is known, a flow says no more bytes than came in it, and no more datagrams. What goes
//!   out is thus never more than what came in, whatever personas want to say.
//! - Who completed a TCP handshake with this sensor lately is where they say they are. They are told more, up to a bound
//!   for each source, since a web page can make its reader's browser connect.
//! - Each network has a bound in any case, so that a sensor is worth nothing as a mirror either.
//! - Nothing is said to ports where something answers to everything: two such would talk for ever.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::acquainted::Acquainted;
use crate::limits::{Prefix, prefixes};
use crate::service::answer::Room;

/// How long what was said counts.
const WINDOW: Duration = Duration::from_secs(60);

/// What is said in a window to one source that is acquainted: enough to read all that a persona has to tell.
const SOURCE_MAX: Sum = Sum { bytes: 256 << 10, datagrams: 4_096 };

/// What is said in a window to one network. As many acknowledgements as an upload of 8 MiB needs, while those to forged
/// sources, 270 in a second, harm nobody.
const NETWORK_MAX: Sum = Sum { bytes: 1 << 20, datagrams: 16_384 };

/// Sources, and networks, that are spoken to in a window. A further one is told nothing until the next one begins.
const SPOKEN_TO_MAX: usize = 16_384;

/// Ports whose servers answer to whatever comes, and 0, which is no port: echo, daytime, quote of the day, character
/// generator, time, DNS, NTP, NetBIOS names, LDAP and memcached. Who sends from there is a server that was hit with our
/// address as the source, or wants the two to talk for ever.
const ANSWERING_PORTS: [u16; 11] = [0, 7, 13, 17, 19, 37, 53, 123, 137, 389, 11211];

/// The port of ours from which clients send, too (RFC 3261, 18.1.1). Answers are not answered in SIP.
const PEER_PORT: u16 = 5060;

/// Decides what may be sent.
#[derive(Debug)]
pub(crate) struct ReplyBudget {
    acquainted: Arc<Acquainted>,
    said: Mutex<Said>,
}

/// What was said in the window that began.
#[derive(Debug)]
struct Said {
    began: Instant,
    to_sources: HashMap<IpAddr, Sum>,
    to_networks: HashMap<Prefix, Sum>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Sum {
    bytes: u64,
    datagrams: u64,
}

/// What was heard and said in one flow. Only the budget writes in it.
#[derive(Debug)]
pub(crate) struct Account {
    client: SocketAddr,
    network: Prefix,
    heard: Sum,
    said: Sum,
    /// Nothing is ever said.
    is_mute: bool,
}

/// A datagram that may be sent, once.
#[derive(Debug)]
pub(crate) struct Permit {
    to: SocketAddr,
    bytes: Vec<u8>,
}

impl Permit {
    pub(crate) fn to(&self) -> SocketAddr {
        self.to
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl ReplyBudget {
    pub(crate) fn new(acquainted: Arc<Acquainted>, now: Instant) -> Self {
        let said = Said { began: now, to_sources: HashMap::new(), to_networks: HashMap::new() };
        Self { acquainted, said: Mutex::new(said) }
    }

    /// The account of a flow from `client` to a port of ours.
    pub(crate) fn account(client: SocketAddr, own_port: u16) -> Account {
        let port = client.port();
        let is_mute = ANSWERING_PORTS.contains(&port) || (port == own_port && port != PEER_PORT);
        let [_, network] = prefixes(client.ip());
        Account { client, network, heard: Sum::default(), said: Sum::default(), is_mute }
    }

    /// Learns that a datagram of `bytes` came in a flow.
    pub(crate) fn hear(account: &mut Account, bytes: usize) {
        account.heard.add(bytes);
    }

    /// How much may be said in a flow now.
    pub(crate) fn room(&self, now: Instant, account: &Account) -> Room {
        let is_acquainted = self.acquainted.knows(now, account.client.ip());
        self.said.lock().at(now).room(account, is_acquainted)
    }

    /// Lets a datagram out, or gives it back when there is no room for it.
    pub(crate) fn permit(&self, now: Instant, account: &mut Account, bytes: Vec<u8>) -> Result<Permit, Vec<u8>> {
        let is_acquainted = self.acquainted.knows(now, account.client.ip());
        let mut said = self.said.lock();
        let said = said.at(now);
        let room = said.room(account, is_acquainted);
        if room.datagrams == 0 || bytes.len() > room.bytes {
            return Err(bytes);
        }
        account.said.add(bytes.len());
        said.to_networks.entry(account.network).or_default().add(bytes.len());
        if is_acquainted {
            said.to_sources.entry(account.client.ip()).or_default().add(bytes.len());
        }
        Ok(Permit { to: account.client, bytes })
    }
}

impl Said {
    /// What was said in the window that `now` is in.
    fn at(&mut self, now: Instant) -> &mut Self {
        if now.saturating_duration_since(self.began) >= WINDOW {
            self.began = now;
            self.to_sources.clear();
            self.to_networks.clear();
        }
        self
    }

    fn room(&mut self, account: &Account, is_acquainted: bool) -> Room {
        if account.is_mute {
            return Room::NONE;
        }
        let mut own = account.heard.minus(account.said);
        if is_acquainted {
            own = own.max(rest(&mut self.to_sources, account.client.ip(), SOURCE_MAX));
        }
        let network = rest(&mut self.to_networks, account.network, NETWORK_MAX);
        let least = |own: u64, network: u64| usize::try_from(own.min(network)).unwrap_or(usize::MAX);
        Room { bytes: least(own.bytes, network.bytes), datagrams: least(own.datagrams, network.datagrams) }
    }
}

/// What is left of `max` for `whom`.
fn rest<K: Eq + Hash>(said: &mut HashMap<K, Sum>, whom: K, max: Sum) -> Sum {
    let is_full = said.len() >= SPOKEN_TO_MAX;
    match said.entry(whom) {
        Entry::Occupied(sum) => max.minus(*sum.get()),
        Entry::Vacant(_) if is_full => Sum::default(),
        Entry::Vacant(_) => max,
    }
}

impl Sum {
    fn add(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        self.datagrams = self.datagrams.saturating_add(1);
    }

    fn max(self, other: Self) -> Self {
        Self { bytes: self.bytes.max(other.bytes), datagrams: self.datagrams.max(other.datagrams) }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(other.bytes),
            datagrams: self.datagrams.saturating_sub(other.datagrams),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OWN_PORT: u16 = 161;

    struct Scene {
        now: Instant,
        acquainted: Arc<Acquainted>,
        budget: ReplyBudget,
    }

    impl Scene {
        fn new() -> Self {
            let (now, acquainted) = (Instant::now(), Arc::new(Acquainted::default()));
            Self { now, budget: ReplyBudget::new(acquainted.clone(), now), acquainted }
        }

        fn says(&self, account: &mut Account, bytes: usize) -> bool {
            self.budget.permit(self.now, account, vec![0; bytes]).is_ok()
        }
    }

    fn account(client: &str) -> Account {
        ReplyBudget::account(client.parse().unwrap(), OWN_PORT)
    }

    #[test]
    fn a_stranger_is_told_no_more_than_they_said() {
        let scene = Scene::new();
        let mut stranger = account("192.0.2.1:4000");
        assert!(!scene.says(&mut stranger, 0), "nothing without being asked");
        ReplyBudget::hear(&mut stranger, 100);
        assert!(!scene.says(&mut stranger, 101));
        assert!(scene.says(&mut stranger, 60));
        assert!(!scene.says(&mut stranger, 1), "a second datagram to one");
        ReplyBudget::hear(&mut stranger, 10);
        assert_eq!(scene.budget.room(scene.now, &stranger), Room { bytes: 50, datagrams: 1 });
        assert!(scene.says(&mut stranger, 50));
        assert!(!scene.says(&mut account("192.0.2.1:4001"), 1), "what came from one port is nothing for another");
    }

    #[test]
    fn who_is_known_is_told_more_up_to_a_bound() {
        let mut scene = Scene::new();
        scene.acquainted.meet(scene.now, "192.0.2.1".parse().unwrap());
        let mut known = account("192.0.2.1:4000");
        ReplyBudget::hear(&mut known, 1);
        for _ in 0..256 {
            assert!(scene.says(&mut known, 1024));
        }
        assert!(!scene.says(&mut known, 1));
        assert!(!scene.says(&mut account("192.0.2.1:4001"), 1), "another port is no other source");
        scene.now += WINDOW;
        assert!(scene.says(&mut known, 1024));
        scene.now += Duration::from_secs(3600);
        assert!(!scene.says(&mut known, 1), "it is long ago");
    }

    #[test]
    fn a_network_has_a_bound() {
        let mut scene = Scene::new();
        let say = |scene: &Scene, last: u8| {
            let mut stranger = account(&format!("192.0.2.{last}:4000"));
            ReplyBudget::hear(&mut stranger, 65_536);
            scene.says(&mut stranger, 65_536)
        };
        assert!((0..16).all(|last| say(&scene, last)));
        assert!(!say(&scene, 16));
        scene.now += WINDOW;
        assert!(say(&scene, 17));
    }

    #[test]
    fn networks_that_are_remembered_are_bounded() {
        let scene = Scene::new();
        let mut said = 0;
        for number in 0..SPOKEN_TO_MAX + 10 {
            let mut stranger = account(&format!("10.{}.{}.1:4000", number / 256, number % 256));
            ReplyBudget::hear(&mut stranger, 1);
            said += usize::from(scene.says(&mut stranger, 1));
        }
        assert_eq!(said, SPOKEN_TO_MAX);
    }

    #[test]
    fn servers_that_answer_everything_are_told_nothing() {
        let scene = Scene::new();
        let check = |port: u16, own_port, expected| {
            let mut from = ReplyBudget::account(SocketAddr::new("192.0.2.1".parse().unwrap(), port), own_port);
            ReplyBudget::hear(&mut from, 100);
            assert_eq!(scene.says(&mut from, 1), expected, "{port} to {own_port}");
        };
        for port in ANSWERING_PORTS {
            check(port, OWN_PORT, false);
        }
        check(OWN_PORT, OWN_PORT, false);
        check(40_000, OWN_PORT, true);
        check(5060, 5060, true);
    }

    proptest! {
        /// Whatever strangers say and personas want to answer: out is never more than in, at any moment.
        #[test]
        fn nothing_is_amplified(
            steps in proptest::collection::vec((0u8..4, 0u16..3, any::<bool>(), 0usize..2000, 0u64..90), 0..200),
        ) {
            let mut scene = Scene::new();
            let mut accounts = HashMap::new();
            let (mut heard, mut said) = (Sum::default(), Sum::default());
            for (host, port, is_question, bytes, seconds) in steps {
                scene.now += Duration::from_secs(seconds);
                let client = SocketAddr::new(IpAddr::from([192, 0, 2, host]), 4000 + port);
                let account = accounts.entry(client).or_insert_with(|| ReplyBudget::account(client, OWN_PORT));
                if is_question {
                    ReplyBudget::hear(account, bytes);
                    heard.add(bytes);
                } else if let Ok(permit) = scene.budget.permit(scene.now, account, vec![0; bytes]) {
                    prop_assert_eq!(permit.to(), client);
                    said.add(permit.bytes().len());
                }
                prop_assert!(said.bytes <= heard.bytes && said.datagrams <= heard.datagrams);
            }
        }
    }
}
