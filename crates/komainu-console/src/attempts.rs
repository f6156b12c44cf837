//! How often somebody may be wrong, and how much an operator may do.
//!
//! Attempts are counted for the name that was typed, whether there is such an operator or not, from each network apart and from
//! all together, and for the address. So a stranger closes a name for their own network, and only many networks close it for all.
//! A browser in which somebody signed in before under the name has a count of its own and no other, so that its owner comes in
//! all the same. Attempts are counted when they begin, so that many at once are no way around, and given back when they were
//! right.

use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::hmac;
use komainu_model::{OperatorName, Timestamp};
use parking_lot::Mutex;

use crate::browsers::Browser;

/// Wrong attempts for one name from one network, or from one browser that is known, in [`WINDOW`]. With the least passwords
/// allowed, guessing stays hopeless; people who mistype are let in.
const PER_NAME_MAX: u16 = 10;

/// Wrong attempts for one name from everywhere in [`WINDOW`], but for browsers that are known: what ten networks may. That is
/// 3.5 million guesses a year at most, of passwords that are none of the common ones.
const PER_NAME_EVERYWHERE_MAX: u16 = 100;

/// Wrong attempts from one address in [`WINDOW`]: several people behind one address who mistype.
const PER_ADDRESS_MAX: u16 = 30;

/// What one operator may change in [`WINDOW`]. Nobody works as fast; who has a program do it cannot push the others out of
/// the audit trail before ten days are over.
const PER_OPERATOR_MAX: u16 = 1_000;

/// How long attempts are remembered, from the first one on.
const WINDOW: Duration = Duration::from_secs(15 * 60);

/// Places of each kind, 16 bytes each. What falls into one place is counted together. So nothing is ever pushed out to make
/// room, and filling all places with [`PER_NAME_MAX`] takes more hashing than a machine does.
const PLACES: usize = 1 << 16;

/// Counts attempts.
pub(crate) struct Attempts {
    /// Spreads names and addresses over the places; secret, so that nobody chooses whom they share one with.
    key: hmac::Key,
    names: Mutex<Vec<Place>>,
    /// Names, each with a network.
    pairs: Mutex<Vec<Place>>,
    browsers: Mutex<Vec<Place>>,
    addresses: Mutex<Vec<Place>>,
    operators: Mutex<Vec<Place>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Place {
    since: Timestamp,
    count: u16,
}

/// There were too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMany {
    /// When the next one is looked at.
    pub(crate) again_at: Timestamp,
    /// Whether this is the first one that is refused since then: one line of the audit trail says it.
    pub(crate) is_first: bool,
}

impl Attempts {
    /// Nothing yet.
    pub(crate) fn new(key: [u8; 32]) -> Self {
        let places = || Mutex::new(vec![Place::default(); PLACES]);
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            names: places(),
            pairs: places(),
            browsers: places(),
            addresses: places(),
            operators: places(),
        }
    }

    /// Counts an attempt, or refuses it. `browser` is one in which this name was signed in before.
    pub(crate) fn begin(
        &self,
        name: &str,
        address: IpAddr,
        browser: Option<&Browser>,
        now: Timestamp,
    ) -> Result<(), TooMany> {
        if let Some(browser) = browser {
            return count(&mut self.browsers.lock()[self.place(browser.as_bytes())], PER_NAME_MAX, now);
        }
        self.begin_unnamed(address, now)?;
        // What is refused here does not count there: one network alone closes a name for nobody else.
        count(&mut self.pairs.lock()[self.pair(name, address)], PER_NAME_MAX, now)?;
        count(&mut self.names.lock()[self.place(name.as_bytes())], PER_NAME_EVERYWHERE_MAX, now)
    }

    /// The attempt was right: it does not count, nor do earlier ones from there for the name.
    pub(crate) fn was_right(&self, name: &str, address: IpAddr, browser: Option<&Browser>) {
        if let Some(browser) = browser {
            self.browsers.lock()[self.place(browser.as_bytes())].count = 0;
            return;
        }
        self.pairs.lock()[self.pair(name, address)].count = 0;
        give_back(&mut self.names.lock()[self.place(name.as_bytes())]);
        self.was_right_unnamed(address);
    }

    /// Counts an attempt of somebody who types no name, or refuses it.
    pub(crate) fn begin_unnamed(&self, address: IpAddr, now: Timestamp) -> Result<(), TooMany> {
        count(&mut self.addresses.lock()[self.place(&network(address))], PER_ADDRESS_MAX, now)
    }

    /// It was right, and does not count.
    pub(crate) fn was_right_unnamed(&self, address: IpAddr) {
        give_back(&mut self.addresses.lock()[self.place(&network(address))]);
    }

    /// Counts something that an operator does, or refuses it.
    pub(crate) fn act(&self, name: &OperatorName, now: Timestamp) -> Result<(), TooMany> {
        count(&mut self.operators.lock()[self.place(name.as_str().as_bytes())], PER_OPERATOR_MAX, now)
    }

    fn pair(&self, name: &str, address: IpAddr) -> usize {
        self.place(&[&network(address), name.as_bytes()].concat())
    }

    fn place(&self, what: &[u8]) -> usize {
        let tag = hmac::sign(&self.key, what);
        usize::from(u16::from_be_bytes([tag.as_ref()[0], tag.as_ref()[1]]))
    }
}

fn give_back(place: &mut Place) {
    place.count = place.count.saturating_sub(1);
}

fn count(place: &mut Place, most: u16, now: Timestamp) -> Result<(), TooMany> {
    // A clock that was set back begins anew as well.
    if now.since(place.since) >= WINDOW || now < place.since {
        *place = Place { since: now, count: 0 };
    }
    if place.count >= most {
        let is_first = place.count == most;
        place.count = most + 1;
        return Err(TooMany { again_at: place.since.plus(WINDOW), is_first });
    }
    place.count += 1;
    Ok(())
}

/// Whoever has one address of IPv6 has its /64.
fn network(address: IpAddr) -> [u8; 9] {
    let mut network = [0; 9];
    match address.to_canonical() {
        IpAddr::V4(address) => network[1..5].copy_from_slice(&address.octets()),
        IpAddr::V6(address) => {
            network[0] = 6;
            network[1..].copy_from_slice(&address.octets()[..8]);
        }
    }
    network
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::browsers::Browsers;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(1_700_000_000 + seconds)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// A browser in which aiko signed in.
    fn known() -> Browser {
        let browsers = Browsers::new([1; 32]);
        browsers.known(&browsers.cookie(&OperatorName::parse("aiko").unwrap(), [7; 32]), "aiko").unwrap()
    }

    #[test]
    fn a_name_is_closed_for_one_network() {
        let attempts = Attempts::new([1; 32]);
        let begin = |from: &str, seconds| attempts.begin("aiko", address(from), None, at(seconds));
        for number in 0..10 {
            begin("192.0.2.1", number).unwrap();
        }
        assert_eq!(begin("192.0.2.1", 11), Err(TooMany { again_at: at(900), is_first: true }));
        assert_eq!(begin("192.0.2.1", 12), Err(TooMany { again_at: at(900), is_first: false }));
        begin("192.0.2.2", 13).unwrap();
        attempts.begin("ken", address("192.0.2.1"), None, at(13)).unwrap();
        assert_eq!(begin("192.0.2.1", 900), Ok(()));
    }

    #[test]
    fn a_stranger_alone_closes_a_name_for_nobody_else() {
        let attempts = Attempts::new([1; 32]);
        for _ in 0..1_000 {
            let _ = attempts.begin("aiko", address("192.0.2.1"), None, at(0));
        }
        attempts.begin("aiko", address("198.51.100.1"), None, at(1)).unwrap();
    }

    #[test]
    fn many_networks_close_a_name_but_not_for_browsers_that_are_known() {
        let attempts = Attempts::new([1; 32]);
        let begin = |number: i64| attempts.begin("aiko", address(&format!("198.51.{number}.1")), None, at(number));
        for number in 0..100 {
            begin(number).unwrap();
        }
        assert_eq!(begin(101), Err(TooMany { again_at: at(900), is_first: true }));
        // Its owner comes in, also from a network of which the strangers are.
        let mine = known();
        for _ in 0..9 {
            attempts.begin("aiko", address("198.51.7.1"), Some(&mine), at(102)).unwrap();
        }
        attempts.begin("aiko", address("198.51.7.1"), Some(&mine), at(102)).unwrap();
        // Whoever took the cookie guesses no more than others.
        assert!(attempts.begin("aiko", address("198.51.8.1"), Some(&mine), at(103)).is_err());
        attempts.was_right("aiko", address("198.51.8.1"), Some(&mine));
        attempts.begin("aiko", address("198.51.8.1"), Some(&mine), at(104)).unwrap();
    }

    #[test]
    fn an_address_is_closed_for_a_while_whomever_it_asks_for() {
        let attempts = Attempts::new([1; 32]);
        for number in 0..30 {
            // One network of IPv6 is one address.
            attempts.begin(&format!("name-{number}"), address(&format!("2001:db8::{number}")), None, at(0)).unwrap();
        }
        assert!(attempts.begin("aiko", address("2001:db8::ffff"), None, at(1)).is_err());
        attempts.begin("aiko", address("2001:db8:0:1::1"), None, at(1)).unwrap();
        attempts.begin("aiko", address("192.0.2.1"), None, at(1)).unwrap();
    }

    #[test]
    fn who_is_right_is_let_in_again_and_again() {
        let attempts = Attempts::new([1; 32]);
        for _ in 0..100 {
            attempts.begin("aiko", address("192.0.2.1"), None, at(0)).unwrap();
            attempts.was_right("aiko", address("192.0.2.1"), None);
        }
    }

    #[test]
    fn an_operator_does_no_more_than_people_do() {
        let attempts = Attempts::new([1; 32]);
        let act = |name: &str, seconds| attempts.act(&OperatorName::parse(name).unwrap(), at(seconds));
        for _ in 0..1_000 {
            act("aiko", 0).unwrap();
        }
        assert_eq!(act("aiko", 1), Err(TooMany { again_at: at(900), is_first: true }));
        act("ken", 1).unwrap();
        act("aiko", 900).unwrap();
    }

    #[test]
    fn a_clock_that_goes_back_closes_nobody_out() {
        let attempts = Attempts::new([1; 32]);
        while attempts.begin("aiko", address("192.0.2.1"), None, at(10_000)).is_ok() {}
        attempts.begin("aiko", address("192.0.2.1"), None, at(0)).unwrap();
    }
}
