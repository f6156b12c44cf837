//! Two years of attacks on twelve appliances by twelve protocols, made by chance, with the truth about them.
//!
//! Weeks, growth and bursts are as in the generator by which the lake is measured: the whole grows from 0.7 to 1.4 of its
//! mean; on 25 days everything is 1.5 to 5 times as much and one protocol has twelve times its share. In addition there are
//! peaks of one protocol on one appliance or on all, levels that rise to stay, series that never were, days without records,
//! and noise that is no Poisson law: 5 % that all series share, some that each has for itself ([`Noise`]), and events that come
//! in visits of one to five.

use komainu_model::Timestamp;
use komainu_statistics::{Cadence, Counts, Key};

pub(crate) const DAYS: usize = 730;
pub(crate) const FIRST: Timestamp = Timestamp::from_unix_seconds(1_483_228_800);
/// The mean of a day. The smallest series has one or two a day.
const EVENTS_PER_DAY: f64 = 40_000.0;
/// What counts as something that happened, times the usual.
pub(crate) const EVENT_MIN: f64 = 1.25;
/// So long a new level is news.
const LEVEL_NEWS_DAYS: usize = 28;

const PROTOCOLS: [(&str, f64); 12] = [
    ("telnet", 0.42),
    ("http", 0.17),
    ("upnp", 0.06),
    ("smb", 0.14),
    ("ssh", 0.11),
    ("mqtt", 0.01),
    ("coap", 0.005),
    ("ftp", 0.02),
    ("rtsp", 0.03),
    ("tls", 0.02),
    ("dns", 0.005),
    ("other", 0.01),
];
const APPLIANCES: [(&str, f64); 12] = [
    ("camera", 0.24),
    ("recorder", 0.18),
    ("intercom", 0.14),
    ("dvr", 0.10),
    ("router", 0.08),
    ("nas", 0.07),
    ("tv", 0.05),
    ("aircon", 0.04),
    ("printer", 0.04),
    ("doorlock", 0.03),
    ("hub", 0.02),
    ("plc", 0.01),
];

/// How far counts lie from what is to be expected, as the spread of their logarithm.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Noise {
    /// On most days.
    own: f64,
    /// On 3 of 100 days.
    wild: f64,
}

/// What is measured by.
pub(crate) const CALM: Noise = Noise { own: 0.12, wild: 0.25 };
/// Every day is rough.
pub(crate) const ROUGH: Noise = Noise { own: 0.3, wild: 0.5 };
/// Days are calm but for a few, which are doubled or halved for no reason.
pub(crate) const WILD: Noise = Noise { own: 0.12, wild: 0.6 };

/// One series and the truth about it.
pub(crate) struct Line {
    pub(crate) key: Key,
    pub(crate) counts: Vec<u64>,
    /// What is to be expected of each day, if nothing happens.
    pub(crate) usual: Vec<f64>,
    /// How many times that it is by what happens.
    pub(crate) factor: Vec<f64>,
}

/// Something that happened: to a protocol, and to one appliance or to all.
pub(crate) struct Event {
    pub(crate) protocol: String,
    pub(crate) appliance: Option<String>,
    pub(crate) begin: usize,
    pub(crate) days: usize,
    /// How many times the usual it is for the protocol.
    pub(crate) factor: f64,
    /// And for everything else.
    pub(crate) factor_of_others: f64,
}

pub(crate) struct World {
    pub(crate) lines: Vec<Line>,
    pub(crate) missing: Vec<usize>,
    pub(crate) events: Vec<Event>,
}

impl World {
    pub(crate) fn new(seed: u64, noise: Noise) -> Self {
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def1);
        let mut events = Vec::new();
        // What everything, and what each protocol, is times on a day.
        let mut whole = vec![1.0; DAYS];
        let mut share = vec![[1.0; PROTOCOLS.len()]; DAYS];
        for _ in 0..25 {
            let (day, by, protocol) = (chance.below(DAYS), chance.between(1.5, 5.0), chance.below(PROTOCOLS.len()));
            whole[day] = by;
            let part = PROTOCOLS[protocol].1;
            let norm = 1.0 + 11.0 * part;
            share[day] = std::array::from_fn(|other| if other == protocol { 12.0 / norm } else { 1.0 / norm });
            events.retain(|event: &Event| event.begin != day);
            events.push(Event {
                protocol: PROTOCOLS[protocol].0.to_owned(),
                appliance: None,
                begin: day,
                days: 1,
                factor: by * 12.0 / norm,
                factor_of_others: by / norm,
            });
        }
        let mut lines: Vec<Line> = Vec::new();
        let shared_noise: Vec<f64> = (0..DAYS).map(|_| (0.05 * chance.normal()).exp()).collect();
        for (protocol, (name, part)) in PROTOCOLS.iter().enumerate() {
            let week_end = chance.between(0.7, 1.1);
            for (appliance, weight) in APPLIANCES {
                let base = EVENTS_PER_DAY * part * weight * chance.between(0.5, 1.5);
                let usual = (0..DAYS).map(|day| {
                    let growth = 0.7 + 0.7 * day as f64 / DAYS as f64;
                    let week = 1.0 + 0.1 * (day as f64 / 7.0 * std::f64::consts::TAU).sin();
                    base * growth * week * if day % 7 >= 5 { week_end } else { 1.0 }
                });
                lines.push(Line {
                    key: vec![(*name).to_owned(), appliance.to_owned()],
                    counts: Vec::new(),
                    usual: usual.collect(),
                    factor: (0..DAYS).map(|day| whole[day] * share[day][protocol]).collect(),
                });
            }
        }
        // Peaks of a protocol, on one appliance or on all: some days, quickly up and slowly down.
        for number in 0..20 {
            let protocol = chance.below(PROTOCOLS.len());
            let appliance = (number % 4 != 0).then(|| chance.below(APPLIANCES.len()));
            let (begin, days, by) = (60 + chance.below(DAYS - 75), 1 + chance.below(10), chance.between(3.0, 10.0));
            for other in 0..APPLIANCES.len() {
                if appliance.is_none_or(|appliance| appliance == other) {
                    for day in begin..begin + days {
                        let fall = 1.0 - (day - begin) as f64 / days as f64 / 2.0;
                        lines[protocol * APPLIANCES.len() + other].factor[day] *= by * fall;
                    }
                }
            }
            events.push(Event {
                protocol: PROTOCOLS[protocol].0.to_owned(),
                appliance: appliance.map(|appliance| APPLIANCES[appliance].0.to_owned()),
                begin,
                days,
                factor: by,
                factor_of_others: 1.0,
            });
        }
        // Levels that rise to stay.
        for _ in 0..6 {
            let (line, begin, by) =
                (chance.below(lines.len()), 60 + chance.below(DAYS - 120), chance.between(2.0, 4.0));
            let line = &mut lines[line];
            for day in begin..DAYS {
                line.usual[day] *= if day < begin + LEVEL_NEWS_DAYS { 1.0 } else { by };
                line.factor[day] *= if day < begin + LEVEL_NEWS_DAYS { by } else { 1.0 };
            }
        }
        // Series that never were.
        for _ in 0..3 {
            let (line, begin) = (chance.below(lines.len()), 100 + chance.below(DAYS - 200));
            let line = &mut lines[line];
            line.usual[..begin].fill(0.0);
            line.factor[begin..begin + LEVEL_NEWS_DAYS].fill(EVENT_MIN);
        }
        for line in &mut lines {
            let noisy = |(day, shared): (usize, &f64)| {
                let spread = if chance.below(100) < 3 { noise.wild } else { noise.own };
                let mean = line.usual[day] * line.factor[day] * shared * (spread * chance.normal()).exp();
                chance.visits(mean)
            };
            line.counts = shared_noise.iter().enumerate().map(noisy).collect();
        }
        let missing: Vec<usize> = (0..8).map(|_| chance.below(DAYS)).collect();
        for line in &mut lines {
            for day in &missing {
                line.counts[*day] = 0;
            }
        }
        Self { lines, missing, events }
    }

    /// All series in one table.
    pub(crate) fn table(&self) -> Counts {
        let mut counts = self.empty_table();
        self.lines.iter().for_each(|line| add(&mut counts, line));
        counts
    }

    /// One series alone.
    pub(crate) fn table_of(&self, line: &Line) -> Counts {
        let mut counts = self.empty_table();
        add(&mut counts, line);
        counts
    }

    fn empty_table(&self) -> Counts {
        let mut counts =
            Counts::new(&["protocol", "appliance"], Cadence::Day, FIRST, DAYS).expect("two years are not too much");
        self.missing.iter().for_each(|day| counts.set_missing(begin_of(*day)));
        counts
    }
}

fn add(counts: &mut Counts, line: &Line) {
    for (day, count) in line.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        counts.add(begin_of(day), &line.key, *count);
    }
}

fn begin_of(day: usize) -> Timestamp {
    Timestamp::from_unix_seconds(FIRST.unix_seconds() + day as i64 * 86_400)
}

pub(crate) fn day_of(at: Timestamp) -> usize {
    (at.unix_seconds() - FIRST.unix_seconds()) as usize / 86_400
}

/// Chance that is the same for the same seed (Steele, Lea and Flood's SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.unit() * bound as f64) as usize
    }

    fn normal(&mut self) -> f64 {
        let (radius, angle) = (1.0 - self.unit(), self.unit());
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }

    /// Events of a mean, which come in visits of one to five.
    fn visits(&mut self, mean: f64) -> u64 {
        if mean > 300.0 {
            // The variance of so many visits: the mean of the squares of their sizes over the mean of their sizes.
            return (mean + (mean * 11.0 / 3.0).sqrt() * self.normal()).round().max(0.0) as u64;
        }
        (0..self.poisson(mean / 3.0)).map(|_| 1 + self.below(5) as u64).sum()
    }

    fn poisson(&mut self, mean: f64) -> u64 {
        let (bound, mut product, mut count) = ((-mean).exp(), self.unit(), 0);
        while product > bound {
            product *= self.unit();
            count += 1;
        }
        count
    }
}
