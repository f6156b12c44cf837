//! Earlier samples that are alike, and groups of them.
//!
//! Samples are compared by what was made of them before: TLSH of the file, telfhash of its symbols, hashes of its
//! functions, its behaviours and its endpoints. The index holds [`SAMPLES_MAX`] samples; the digests are compared with all
//! of them (40 ns each), functions and endpoints by who else has them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::behaviour::Phrase;

/// The most samples of an index: at 100 functions each about 200 MB.
pub const SAMPLES_MAX: usize = 100_000;
/// The most functions of a sample that are compared; the static triage gives the smallest hashes, so they are a fair choice.
const FUNCTIONS_MAX: usize = 512;
/// What so many samples have in common says nothing of any: functions of a C library.
const COMMON_SAMPLES: usize = 2000;
/// From this likeness on two samples belong together, in percent.
pub const LINK_PERCENT: u8 = 70;
/// The most neighbours that are told.
pub const NEIGHBOURS_MAX: usize = 16;
/// The largest distance of TLSH that still says something; its authors put it at 100 for false alarms of 6 %.
const TLSH_DISTANCE_MAX: u32 = 100;
/// Fewer behaviours than this are had by anybody.
const BEHAVIOURS_MIN: usize = 3;

/// What samples are compared by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Features {
    /// The SHA-256 of the file, in hexadecimal digits.
    pub sha256: String,
    /// The family, if it has a name.
    pub family: Option<String>,
    /// TLSH of the file, as in `T1…`.
    pub tlsh: Option<String>,
    /// telfhash, as in `t1…`.
    pub telfhash: Option<String>,
    /// Hashes of functions.
    pub functions: Vec<u64>,
    /// The names of the rules that hold.
    pub behaviours: BTreeSet<String>,
    /// Servers of orders, as `address:port` or `name:port`.
    pub endpoints: BTreeSet<String>,
}

/// A sample that is alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// Its SHA-256.
    pub sha256: String,
    /// Its family, if it has a name.
    pub family: Option<String>,
    /// How alike, in percent.
    pub percent: u8,
    /// Why.
    pub reasons: Vec<Phrase>,
}

/// Samples that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Their SHA-256, the earliest first.
    pub samples: Vec<String>,
    /// Their families, with how many have each.
    pub families: Vec<(String, u32)>,
    /// For each but the first: whom it was found to be like, and why.
    pub links: Vec<(String, String, String)>,
}

/// An index of samples.
#[derive(Debug, Default)]
pub struct Index {
    entries: Vec<Entry>,
    by_function: HashMap<u64, Vec<u32>>,
    by_endpoint: HashMap<String, Vec<u32>>,
    by_sha256: HashMap<String, u32>,
    /// The nearest earlier sample, if it is near enough, and why.
    links: Vec<(u32, u32, String)>,
    /// Samples that were not taken, since the index is full.
    pub left_out: u64,
}

#[derive(Debug)]
struct Entry {
    sha256: String,
    family: Option<String>,
    tlsh: Option<Tlsh>,
    telfhash: Option<Tlsh>,
    functions: u32,
    behaviours: BTreeSet<String>,
}

impl Index {
    /// Adds a sample and says which earlier ones are alike, nearest first. A sample that is there already is not added
    /// again; it is not its own neighbour.
    pub fn add(&mut self, features: &Features) -> Vec<Neighbour> {
        let (neighbours, linked) = self.compare(features);
        if self.by_sha256.contains_key(&features.sha256) {
            return neighbours;
        }
        if self.entries.len() == SAMPLES_MAX {
            self.left_out += 1;
            return neighbours;
        }
        // Below the bound, which fits.
        let number = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        for (other, reason) in linked {
            self.links.push((number, other, reason));
        }
        let functions: BTreeSet<u64> = features.functions.iter().take(FUNCTIONS_MAX).copied().collect();
        for function in &functions {
            let holders = self.by_function.entry(*function).or_default();
            if holders.len() <= COMMON_SAMPLES {
                holders.push(number);
            }
        }
        for endpoint in features.endpoints.iter().take(64) {
            let holders = self.by_endpoint.entry(endpoint.clone()).or_default();
            if holders.len() <= COMMON_SAMPLES {
                holders.push(number);
            }
        }
        self.by_sha256.insert(features.sha256.clone(), number);
        self.entries.push(Entry {
            sha256: features.sha256.clone(),
            family: features.family.clone(),
            tlsh: features.tlsh.as_deref().and_then(Tlsh::read),
            telfhash: features.telfhash.as_deref().and_then(Tlsh::read),
            functions: u32::try_from(functions.len()).unwrap_or(u32::MAX),
            behaviours: features.behaviours.clone(),
        });
        neighbours
    }

    /// Which samples are alike, nearest first.
    pub fn nearest(&self, features: &Features) -> Vec<Neighbour> {
        self.compare(features).0
    }

    /// The groups of samples that are alike directly or by way of others; alone ones are no group.
    pub fn clusters(&self) -> Vec<Cluster> {
        let mut group: Vec<u32> = (0..).take(self.entries.len()).collect();
        // With paths halved on the way up, this is as good as linear.
        fn root(group: &mut [u32], mut of: u32) -> u32 {
            while group[of as usize] != of {
                group[of as usize] = group[group[of as usize] as usize];
                of = group[of as usize];
            }
            of
        }
        for (one, other, _) in &self.links {
            let (one, other) = (root(&mut group, *one), root(&mut group, *other));
            let (early, late) = (one.min(other), one.max(other));
            group[late as usize] = early;
        }
        let mut clusters: BTreeMap<u32, Cluster> = BTreeMap::new();
        let mut families: BTreeMap<u32, BTreeMap<&str, u32>> = BTreeMap::new();
        for number in (0..).take(self.entries.len()) {
            let of = root(&mut group, number);
            let entry = &self.entries[number as usize];
            let cluster = clusters.entry(of).or_insert_with(|| Cluster {
                samples: Vec::new(),
                families: Vec::new(),
                links: Vec::new(),
            });
            cluster.samples.push(entry.sha256.clone());
            if let Some(family) = &entry.family {
                *families.entry(of).or_default().entry(family).or_default() += 1;
            }
        }
        for (one, other, reason) in &self.links {
            let of = root(&mut group, *one);
            if let Some(cluster) = clusters.get_mut(&of) {
                let name = |number: u32| self.entries[number as usize].sha256.clone();
                cluster.links.push((name(*one), name(*other), reason.clone()));
            }
        }
        for (of, families) in families {
            if let Some(cluster) = clusters.get_mut(&of) {
                cluster.families = families.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
                cluster.families.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            }
        }
        clusters.into_values().filter(|cluster| cluster.samples.len() > 1).collect()
    }

    /// The nearest, and of those that belong together the numbers with the first reason.
    fn compare(&self, features: &Features) -> (Vec<Neighbour>, Vec<(u32, String)>) {
        let mut common: HashMap<u32, u32> = HashMap::new();
        let functions: BTreeSet<u64> = features.functions.iter().take(FUNCTIONS_MAX).copied().collect();
        for function in &functions {
            if let Some(holders) = self.by_function.get(function).filter(|holders| holders.len() <= COMMON_SAMPLES) {
                holders.iter().for_each(|holder| *common.entry(*holder).or_default() += 1);
            }
        }
        let mut shared: HashMap<u32, Vec<&str>> = HashMap::new();
        for endpoint in features.endpoints.iter().take(64) {
            if let Some(holders) = self.by_endpoint.get(endpoint).filter(|holders| holders.len() <= COMMON_SAMPLES) {
                holders.iter().for_each(|holder| shared.entry(*holder).or_default().push(endpoint));
            }
        }
        let tlsh = features.tlsh.as_deref().and_then(Tlsh::read);
        let telfhash = features.telfhash.as_deref().and_then(Tlsh::read);
        let mut found: Vec<(u32, Neighbour)> = Vec::new();
        for (number, entry) in (0..).zip(&self.entries) {
            if entry.sha256 == features.sha256 {
                continue;
            }
            let mut reasons: Vec<(u8, Phrase)> = Vec::new();
            let mut by_digest = |name: &str, ja: &str, one: &Option<Tlsh>, other: &Option<Tlsh>| {
                if let (Some(one), Some(other)) = (one, other) {
                    let distance = one.distance(other);
                    if distance <= TLSH_DISTANCE_MAX {
                        let percent = u8::try_from(100 - distance).unwrap_or_default();
                        let (en, ja) = (format!("{name} differs by {distance}"), format!("{ja}の差は {distance}"));
                        reasons.push((percent, Phrase { en, ja }));
                    }
                }
            };
            by_digest("TLSH of the file", "ファイルの TLSH ", &tlsh, &entry.tlsh);
            by_digest("telfhash of the symbols", "シンボルの telfhash ", &telfhash, &entry.telfhash);
            if let Some(common) = common.get(&number) {
                let all = entry.functions + u32::try_from(functions.len()).unwrap_or(u32::MAX) - common;
                let percent = u8::try_from(common * 100 / all.max(1)).unwrap_or(100);
                if percent >= 20 {
                    let en = format!("{common} of {all} functions are the same");
                    reasons.push((percent, Phrase { en, ja: format!("{all} 個の関数のうち {common} 個が同じ") }));
                }
            }
            if let Some(shared) = shared.get(&number) {
                let servers = shared.join(", ");
                let en = format!("takes orders from the same server: {servers}");
                reasons.push((90, Phrase { en, ja: format!("同じ C2 サーバーを使う：{servers}") }));
            }
            let both = entry.behaviours.intersection(&features.behaviours).count();
            let either = entry.behaviours.union(&features.behaviours).count();
            if both >= BEHAVIOURS_MIN && both * 2 > either {
                // Behaviour alone never links: all bots of a kind do the same.
                let percent = u8::try_from(both * 60 / either).unwrap_or(60);
                let en = format!("{both} of {either} behaviours are the same");
                reasons.push((percent, Phrase { en, ja: format!("{either} 個の動作のうち {both} 個が同じ") }));
            }
            reasons.sort_by_key(|(percent, _)| std::cmp::Reverse(*percent));
            let Some((percent, _)) = reasons.first() else { continue };
            let neighbour = Neighbour {
                sha256: entry.sha256.clone(),
                family: entry.family.clone(),
                percent: *percent,
                reasons: reasons.into_iter().map(|(_, reason)| reason).collect(),
            };
            found.push((number, neighbour));
        }
        found.sort_by_key(|(number, neighbour)| (std::cmp::Reverse(neighbour.percent), *number));
        found.truncate(NEIGHBOURS_MAX);
        let linked = found.iter().filter(|(_, neighbour)| neighbour.percent >= LINK_PERCENT);
        let linked = linked
            .map(|(number, near)| (*number, near.reasons.first().map(|reason| reason.en.clone()).unwrap_or_default()))
            .collect();
        (found.into_iter().map(|(_, neighbour)| neighbour).collect(), linked)
    }
}

/// A digest of TLSH with 128 buckets and one byte of check sum: 35 bytes ("TLSH, a locality sensitive hash", 2013).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tlsh {
    checksum: u8,
    length: u8,
    ratios: u8,
    body: [u8; 32],
}

impl Tlsh {
    /// Reads `T1` and 70 digits; the `T1` may be missing, and be small.
    fn read(text: &str) -> Option<Self> {
        let digits = if text.len() == 72 { text.strip_prefix("T1").or_else(|| text.strip_prefix("t1"))? } else { text };
        if digits.len() != 70 {
            return None;
        }
        let mut bytes = [0; 35];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16);
            *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
        }
        let [checksum, length, ratios, body @ ..] = bytes;
        // The written form has the halves of the length's byte the other way round.
        Some(Self { checksum, length: length.rotate_left(4), ratios, body })
    }

    fn distance(&self, other: &Self) -> u32 {
        let around = |one: u8, other: u8, range: u32| {
            let off = u32::from(one.abs_diff(other));
            off.min(range - off)
        };
        let length = match around(self.length, other.length, 256) {
            off @ 0..=1 => off,
            off => off * 12,
        };
        let ratio = |one: u8, other: u8| match around(one, other, 16) {
            off @ 0..=1 => off,
            off => (off - 1) * 12,
        };
        let ratios = ratio(self.ratios >> 4, other.ratios >> 4) + ratio(self.ratios & 15, other.ratios & 15);
        let body: u32 = self.body.iter().zip(&other.body).map(|(one, other)| pairs(*one, *other)).sum();
        length + ratios + body + u32::from(self.checksum != other.checksum)
    }
}

/// The distance of two bytes that hold four numbers of two bits: what they differ by, and 6 instead of 3.
fn pairs(one: u8, other: u8) -> u32 {
    // Both bits of each number: where they differ by 3, all of 11-00; by 2, 10-00 or 11-01; by 1, the others.
    (0..4)
        .map(|at| {
            let off = ((one >> (2 * at)) & 3).abs_diff((other >> (2 * at)) & 3);
            if off == 3 { 6 } else { u32::from(off) }
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(name: &str) -> Features {
        Features { sha256: name.into(), ..Features::default() }
    }

    #[test]
    fn digests_of_tlsh_are_as_far_apart_as_their_parts() {
        let zero = format!("T1{}", "0".repeat(70));
        let check = |digits: &str, expected: u32| {
            let other = format!("T1{digits}{}", "0".repeat(70 - digits.len()));
            assert_eq!(Tlsh::read(&zero).unwrap().distance(&Tlsh::read(&other).unwrap()), expected, "{digits}");
        };
        check("", 0);
        // The check sum: 1 however much it differs.
        check("ff", 1);
        // The length, halves swapped: 1 is 1, 2 is 24; 255 is 1 again.
        check("0010", 1);
        check("0020", 24);
        check("00ff", 1);
        // The ratios, each by itself and around 16.
        check("000012", 13);
        check("0000f1", 2);
        // Pairs of bits: 1, 2, and 6 for 3.
        check("0000001b", 9);
        assert_eq!(Tlsh::read("T1zz"), None);
    }

    #[test]
    fn digests_of_files_are_as_far_apart_as_the_authors_program_says() {
        // Of /bin/ls, /bin/mv, /bin/cp and /bin/bash of Debian 12, by py-tlsh 4.
        let digests = [
            "T18CE34A07B69314FDC692857095AB96627E3078644721BF3B7A8CA7342F16F306F0AB71",
            "T177D33B0AB79254FCC193C53082E7A5A3BD703CB553263A7F3688A7342F61E206B5E725",
            "T161E34C0AB79258FCC1D3C43086D7A562B9707CB553267A7F358CA7352F62E642B0EB21",
            "T1BB457C0BB6A214FDC1E6C470827B92726870B4A591317DBB349CE5302F56F642B2EFE1",
        ];
        let check = |one: usize, other: usize, expected: u32| {
            let read = |at: usize| Tlsh::read(digests[at]).unwrap();
            assert_eq!(read(one).distance(&read(other)), expected, "{one} {other}");
        };
        check(0, 1, 59);
        check(0, 2, 67);
        check(0, 3, 360);
        check(1, 2, 25);
        check(2, 3, 345);
    }

    #[test]
    fn samples_that_share_something_are_neighbours() {
        let mut index = Index::default();
        let tlsh = format!("T1{}", "0123456789".repeat(7));
        index.add(&Features { tlsh: Some(tlsh.clone()), family: Some("a".into()), ..sample("1") });
        index.add(&Features { functions: (0..100).collect(), ..sample("2") });
        index.add(&Features { endpoints: BTreeSet::from(["203.0.113.7:23".into()]), ..sample("3") });
        let check = |features: Features, expected: Option<(&str, u8)>| {
            let near = index.nearest(&features);
            assert_eq!(near.first().map(|near| (near.sha256.as_str(), near.percent)), expected, "{near:?}");
        };
        check(Features { tlsh: Some(tlsh), ..sample("x") }, Some(("1", 100)));
        check(Features { functions: (50..150).collect(), ..sample("x") }, Some(("2", 33)));
        check(Features { endpoints: BTreeSet::from(["203.0.113.7:23".into()]), ..sample("x") }, Some(("3", 90)));
        check(sample("x"), None);
        check(Features { functions: (0..100).collect(), ..sample("2") }, None);
    }

    #[test]
    fn samples_are_grouped_by_way_of_others() {
        let mut index = Index::default();
        let with = |name: &str, from: u64| Features { functions: (from..from + 100).collect(), ..sample(name) };
        index.add(&with("a", 0));
        index.add(&with("c", 30));
        index.add(&with("z", 1000));
        // Near to both, which are not near to each other.
        index.add(&with("b", 15));
        let clusters = index.clusters();
        assert_eq!(clusters.len(), 1);
        assert_eq!(clusters[0].samples, ["a", "c", "b"]);
        assert_eq!(clusters[0].links.len(), 2);
        assert_eq!(clusters[0].links[0].2, "85 of 115 functions are the same");
    }
}
