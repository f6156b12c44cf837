//! Names and their addresses: each name has its own, so that what is done with an address is known by its name.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use komainu_trace::RawText;

use crate::limits::{GENERATED_MAX, NAMES_MAX};
use crate::random::Seed;
use crate::settings::NamePolicy;

/// Names that everybody knows by their addresses: public resolvers.
const KNOWN: &[(&str, [u8; 4])] = &[
    ("dns.google", [8, 8, 8, 8]),
    ("one.one.one.one", [1, 1, 1, 1]),
    ("cloudflare-dns.com", [104, 16, 248, 249]),
    ("dns.quad9.net", [9, 9, 9, 9]),
];

/// Pairs of letters that make up most of English text and of the names that people choose.
const COMMON_PAIRS: &str = "th he in er an re on at en nd ti es or te of ed is it al ar st to nt ng se ha as ou io le ve co me \
    de hi ri ro ic ne ea ra ce li ch ll be ma si om ur ca el ta la ns di fo ho pe ec pr no ct us ac ot il tr ly nc et ut \
    ss so rs un lo wa ge ie wh ee wi em ad ol rt po we na ul ni ts mo ow pa im mi ai sh ir su id os iv ia am fi ci vi pl ig";

/// The shortest label that can look generated.
const GENERATED_LABEL_BYTES_MIN: usize = 8;

/// How a name is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// It is there.
    Addresses(Ipv4Addr, Ipv6Addr),
    /// It is said not to be.
    Nowhere,
    /// There is no more room for names.
    TooMany,
}

/// Which addresses names have.
#[derive(Debug)]
pub(crate) struct Names {
    seed: Seed,
    policy: NamePolicy,
    v4: Ipv4Net,
    v6: Ipv6Net,
    by_name: HashMap<Vec<u8>, Entry>,
    by_v4: HashMap<Ipv4Addr, RawText>,
    by_v6: HashMap<Ipv6Addr, RawText>,
    /// Names that look generated, as they were asked for.
    generated: BTreeSet<Vec<u8>>,
    refused: u32,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    addresses: Option<(Ipv4Addr, Ipv6Addr)>,
    asked: u32,
}

impl Names {
    pub(crate) fn new(seed: Seed, policy: NamePolicy, v4: Ipv4Net, v6: Ipv6Net) -> Self {
        Self {
            seed,
            policy,
            v4,
            v6,
            by_name: HashMap::new(),
            by_v4: HashMap::new(),
            by_v6: HashMap::new(),
            generated: BTreeSet::new(),
            refused: 0,
        }
    }

    /// The addresses of a name, which is in lower case and without the last dot.
    pub(crate) fn find(&mut self, name: &[u8]) -> Found {
        if let Some(known) = known(name) {
            let of_v6 = self.v6_of(name, 0);
            return Found::Addresses(known, of_v6);
        }
        let looks_generated = looks_generated(name);
        if looks_generated && self.generated.len() < GENERATED_MAX {
            self.generated.insert(name.to_vec());
        }
        if let Some(entry) = self.by_name.get_mut(name) {
            entry.asked = entry.asked.saturating_add(1);
            match (entry.addresses, &self.policy) {
                (Some((v4, v6)), _) => return Found::Addresses(v4, v6),
                // Nobody asks three times (for both kinds of address) for a name out of many.
                (None, NamePolicy::GeneratedLater { .. }) if entry.asked > 4 => {}
                (None, _) => return Found::Nowhere,
            }
        } else if self.by_name.len() >= NAMES_MAX {
            return Found::TooMany;
        } else if self.is_refused(name, looks_generated) {
            self.by_name.insert(name.to_vec(), Entry { addresses: None, asked: 1 });
            return Found::Nowhere;
        }
        let (v4, v6) = self.new_addresses(name);
        let asked = self.by_name.get(name).map_or(1, |entry| entry.asked);
        self.by_name.insert(name.to_vec(), Entry { addresses: Some((v4, v6)), asked });
        self.by_v4.insert(v4, name.into());
        self.by_v6.insert(v6, name.into());
        Found::Addresses(v4, v6)
    }

    fn is_refused(&mut self, name: &[u8], looks_generated: bool) -> bool {
        match &self.policy {
            NamePolicy::Every => false,
            NamePolicy::None => true,
            NamePolicy::AllBut(names) => names.iter().any(|refused| {
                let rest = name.strip_suffix(refused.as_bytes());
                rest.is_some_and(|rest| rest.is_empty() || rest.ends_with(b"."))
            }),
            NamePolicy::GeneratedLater { refused } => {
                let is_refused = looks_generated && self.refused < *refused;
                self.refused += u32::from(is_refused);
                is_refused
            }
        }
    }

    /// Addresses that no other name has, as far as the ranges have them.
    fn new_addresses(&self, name: &[u8]) -> (Ipv4Addr, Ipv6Addr) {
        /// A range that is nearly full may give an address twice; the last name then has it.
        const TRIES_MAX: u64 = 64;
        let free_v4 = (0..TRIES_MAX).map(|number| self.v4_of(name, number)).find(|v4| !self.by_v4.contains_key(v4));
        let free_v6 = (0..TRIES_MAX).map(|number| self.v6_of(name, number)).find(|v6| !self.by_v6.contains_key(v6));
        (free_v4.unwrap_or_else(|| self.v4_of(name, 0)), free_v6.unwrap_or_else(|| self.v6_of(name, 0)))
    }

    fn v4_of(&self, name: &[u8], number: u64) -> Ipv4Addr {
        let hosts = 1_u64 << (32 - self.v4.prefix_len());
        // Not the first and the last one, which are no hosts, where there are others.
        let (first, count) = if hosts > 2 { (1, hosts - 2) } else { (0, hosts) };
        let host = first + self.seed.number("v4", name).wrapping_add(number) % count;
        let host = u32::try_from(host).expect("smaller than the range of IPv4");
        Ipv4Addr::from(u32::from(self.v4.network()) | host)
    }

    fn v6_of(&self, name: &[u8], number: u64) -> Ipv6Addr {
        let bits = 128 - u32::from(self.v6.prefix_len());
        let mask = if bits >= 128 { u128::MAX } else { (1 << bits) - 1 };
        let host = u128::from(self.seed.number("v6", name).wrapping_add(number) | 1);
        Ipv6Addr::from(u128::from(self.v6.network()) | host & mask)
    }

    /// The name that was given an address.
    pub(crate) fn of(&self, address: IpAddr) -> Option<&RawText> {
        match address {
            IpAddr::V4(address) => self.by_v4.get(&address),
            IpAddr::V6(address) => self.by_v6.get(&address),
        }
    }

    /// The names that look generated, as far as they are remembered.
    pub(crate) fn generated(&self) -> &BTreeSet<Vec<u8>> {
        &self.generated
    }
}

fn known(name: &[u8]) -> Option<Ipv4Addr> {
    if name == b"localhost" {
        return Some(Ipv4Addr::LOCALHOST);
    }
    KNOWN.iter().find(|(known, _)| known.as_bytes() == name).map(|(_, address)| Ipv4Addr::from(*address))
}

/// Whether a program may have made up a name: its label below the public suffix is long, and its pairs of letters are
/// not those of words.
fn looks_generated(name: &[u8]) -> bool {
    let mut labels = name.rsplit(|byte| *byte == b'.').skip(1);
    let Some(mut label) = labels.next() else { return false };
    // Such as `co.uk`: the second level belongs to the suffix.
    if label.len() <= 3
        && let Some(further) = labels.next()
    {
        label = further;
    }
    let letters: Vec<u8> = label.iter().copied().filter(u8::is_ascii_alphanumeric).collect();
    if letters.len() < GENERATED_LABEL_BYTES_MIN {
        return false;
    }
    let pairs = letters.len() - 1;
    let common = letters.windows(2).filter(|pair| is_common(pair)).count();
    // Of random letters about every fourth pair is common, of words nearly every one.
    common * 100 < pairs * 48
}

fn is_common(pair: &[u8]) -> bool {
    COMMON_PAIRS.split(' ').any(|common| common.as_bytes() == pair)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(seed: u64, policy: NamePolicy) -> Names {
        Names::new(Seed(seed), policy, "198.18.0.0/15".parse().unwrap(), "2001:2::/48".parse().unwrap())
    }

    #[test]
    fn each_name_has_its_own_address_that_stays() {
        let mut names = names(7, NamePolicy::Every);
        let mut all = BTreeSet::new();
        for number in 0..2000 {
            let name = format!("host{number}.example");
            let Found::Addresses(v4, v6) = names.find(name.as_bytes()) else { panic!("{name}") };
            assert!(names.v4.contains(&v4) && names.v6.contains(&v6), "{v4} {v6}");
            assert!(all.insert((v4, v6)));
            assert_eq!(names.find(name.as_bytes()), Found::Addresses(v4, v6));
            assert_eq!(names.of(v4.into()), Some(&RawText::from(&*name)));
            assert_eq!(names.of(v6.into()), Some(&RawText::from(&*name)));
        }
        assert_eq!(all.iter().map(|(v4, _)| v4).collect::<BTreeSet<_>>().len(), 2000);
    }

    #[test]
    fn the_seed_decides_and_not_the_order() {
        let find = |seed, name: &[u8]| names(seed, NamePolicy::Every).find(name);
        assert_eq!(find(1, b"a.example"), find(1, b"a.example"));
        assert_ne!(find(1, b"a.example"), find(2, b"a.example"));
    }

    #[test]
    fn generated_names_are_told_from_words() {
        for name in
            ["www.debian.org", "cloudflare.com", "pool.ntp.org", "connectivitycheck.gstatic.com", "example.co.uk"]
        {
            assert!(!looks_generated(name.as_bytes()), "{name}");
        }
        for name in ["xkqjzv1wpt.com", "a1b2c3d4e5f6.net", "qwpzkfjvx.example", "bdkfhgjqx.co.uk", "zxqwvkjhg.info"] {
            assert!(looks_generated(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn policies() {
        let mut later = names(1, NamePolicy::GeneratedLater { refused: 2 });
        assert!(matches!(later.find(b"www.debian.org"), Found::Addresses(..)));
        assert_eq!(later.find(b"xkqjzv1wpt.com"), Found::Nowhere);
        assert_eq!(later.find(b"zxqwvkjhg.info"), Found::Nowhere);
        assert!(matches!(later.find(b"qwpzkfjvx.example"), Found::Addresses(..)), "the third");
        for _ in 0..3 {
            assert_eq!(later.find(b"xkqjzv1wpt.com"), Found::Nowhere, "it stays refused");
        }
        assert!(matches!(later.find(b"xkqjzv1wpt.com"), Found::Addresses(..)), "but not for ever");
        assert_eq!(later.generated().len(), 3);
        let mut listed = names(1, NamePolicy::AllBut(vec!["bad.example".into()]));
        assert_eq!(listed.find(b"bad.example"), Found::Nowhere);
        assert_eq!(listed.find(b"very.bad.example"), Found::Nowhere);
        assert!(matches!(listed.find(b"notbad.example"), Found::Addresses(..)));
        assert_eq!(names(1, NamePolicy::None).find(b"a.example"), Found::Nowhere);
        assert_eq!(known(b"dns.google"), Some(Ipv4Addr::new(8, 8, 8, 8)));
    }

    #[test]
    fn there_is_room_for_so_many_names() {
        let mut names = names(1, NamePolicy::Every);
        for number in 0..NAMES_MAX {
            assert!(matches!(names.find(format!("h{number}.example").as_bytes()), Found::Addresses(..)));
        }
        assert_eq!(names.find(b"one.more"), Found::TooMany);
    }
}
