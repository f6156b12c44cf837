//! How a scan chooses its targets.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;

use crate::behaviour::Phrase;
use crate::evidence::Sample;

/// From so many targets on a pattern is told.
const TARGETS_MIN: usize = 12;
/// A range counts as left out if so many targets were to be expected in it and there is none: by chance that happens
/// once in 150 scans.
const EXPECTED_MIN: f64 = 5.0;

/// Ranges that scanners are known to leave out: the special ones of RFC 6890, and large ones of single owners.
const RANGES: [(&str, &str); 13] = [
    ("0.0.0.0/8", "this network"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "carriers' own"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "benchmarks"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
    ("3.0.0.0/8", "one company's"),
    ("56.0.0.0/8", "a postal service's"),
    ("6.0.0.0/7", "a defence department's"),
];

/// How targets are chosen.
pub(super) struct Chosen {
    pub(super) name: &'static str,
    pub(super) reasons: Vec<Phrase>,
    pub(super) excluded: Vec<String>,
}

/// How these targets were chosen, those of each run in their order.
pub(super) fn of(runs: &[Vec<IpAddr>], sample: &Sample) -> Chosen {
    let all: Vec<Ipv4Addr> = runs
        .iter()
        .flatten()
        .filter_map(|address| match address {
            IpAddr::V4(v4) => Some(*v4),
            IpAddr::V6(_) => None,
        })
        .collect();
    let different: BTreeSet<Ipv4Addr> = all.iter().copied().collect();
    let unknown = |reason: Phrase| Chosen { name: "unknown", reasons: vec![reason], excluded: Vec::new() };
    if different.len() < TARGETS_MIN {
        let count = different.len();
        return unknown(Phrase {
            en: format!("only {count} addresses were told singly"),
            ja: format!("個別にわかったアドレスは {count} 件だけである"),
        });
    }
    let listed: BTreeSet<Ipv4Addr> = sample.texts.iter().filter_map(|text| text.value.parse().ok()).collect();
    let known = different.intersection(&listed).count();
    if known * 10 >= different.len() * 8 {
        let all = different.len();
        let en = format!("{known} of {all} addresses stand in the file");
        let reason =
            Phrase { en, ja: format!("{all} 件のアドレスのうち {known} 件がファイルにある") };
        return Chosen { name: "list", reasons: vec![reason], excluded: Vec::new() };
    }
    let steps: Vec<i64> =
        all.windows(2).map(|pair| i64::from(u32::from(pair[1])) - i64::from(u32::from(pair[0]))).collect();
    let small = steps.iter().filter(|step| (0..=4).contains(*step)).count();
    if small * 10 >= steps.len() * 8 {
        let all = steps.len();
        let en = format!("{small} of {all} steps go on to one of the next addresses");
        let reason = Phrase {
            en, ja: format!("{all} 回のうち {small} 回は、続くアドレスのいずれかに進む")
        };
        return Chosen { name: "sequential", reasons: vec![reason], excluded: Vec::new() };
    }
    for bits in [24u8, 16] {
        let networks: BTreeSet<Ipv4Net> =
            different.iter().filter_map(|address| Ipv4Net::new(*address, bits).ok()).map(|net| net.trunc()).collect();
        if networks.len() <= 1 + different.len() / 100 {
            let names: Vec<String> = networks.iter().take(4).map(ToString::to_string).collect();
            let names = names.join(", ");
            let reason = Phrase { en: format!("all are in {names}"), ja: format!("すべて {names} にある") };
            return Chosen { name: "subnet", reasons: vec![reason], excluded: Vec::new() };
        }
    }
    let first: BTreeSet<u8> = different.iter().map(|address| address.octets()[0]).collect();
    let (count, ways) = (different.len(), first.len());
    let reasons = vec![Phrase {
        en: format!("{count} addresses begin in {ways} different ways"),
        ja: format!("{count} 件のアドレスの先頭の数は {ways} 通りである"),
    }];
    if first.len() * 3 < different.len().min(200) {
        return Chosen { name: "unknown", reasons, excluded: Vec::new() };
    }
    let excluded = RANGES.iter().filter_map(|(range, owner)| {
        let range: Ipv4Net = range.parse().ok()?;
        let share = 1.0 / f64::from(2u32.pow(u32::from(range.prefix_len())));
        let expected = different.len() as f64 * share;
        let is_left_out = expected >= EXPECTED_MIN && !different.iter().any(|address| range.contains(address));
        is_left_out.then(|| format!("{range} ({owner})"))
    });
    Chosen { name: "random", reasons, excluded: excluded.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::StaticText;

    fn check(addresses: impl Iterator<Item = u32>, sample: &Sample, expected: &str) -> Chosen {
        let order: Vec<IpAddr> = addresses.map(|bits| IpAddr::V4(Ipv4Addr::from(bits))).collect();
        let chosen = of(&[order], sample);
        assert_eq!(chosen.name, expected, "{:?}", chosen.reasons);
        chosen
    }

    /// Numbers without a pattern (the constants are Knuth's).
    fn mixed(seed: u32) -> u32 {
        let mut bits = u64::from(seed).wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bits ^= bits >> 33;
        (bits.wrapping_mul(0xff51_afd7_ed55_8ccd) >> 32) as u32
    }

    #[test]
    fn generators_are_told_apart() {
        let none = Sample::default();
        check((0..100).map(|n| 0xcb00_7100 + n), &none, "sequential");
        check((0..100).map(|n| 0xcb00_7100 + (mixed(n) & 0xff)), &none, "subnet");
        check((0..100).map(mixed), &none, "random");
        check((0..5).map(mixed), &none, "unknown");
        let texts = (0..20).map(|n| StaticText {
            kind: "ipv4".into(),
            value: Ipv4Addr::from(mixed(n)).to_string(),
            decoded: false,
        });
        check((0..20).map(mixed), &Sample { texts: texts.collect(), ..Sample::default() }, "list");
    }

    #[test]
    fn ranges_that_are_left_out_are_told_when_there_is_enough_to_say_so() {
        let none = Sample::default();
        let careful =
            |n: u32| (0..).map(|k| mixed(n + k * 100_000)).find(|bits| !matches!(bits >> 24, 10 | 224..=239)).unwrap();
        let few = check((0..100).map(careful), &none, "random");
        assert_eq!(few.excluded, ["224.0.0.0/4 (multicast)"]);
        let many = check((0..4000).map(careful), &none, "random");
        assert_eq!(many.excluded, ["10.0.0.0/8 (private)", "224.0.0.0/4 (multicast)"]);
    }
}
