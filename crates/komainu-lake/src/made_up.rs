//! Attacks that never were, for demonstrations and benchmarks: as many as one likes, the same for the same seed.
//!
//! They are distributed like those that sensors see: few sources come often and most seldom, a week has a shape, attacks grow
//! over the months, and on some days one protocol has many times its usual share. Their sources are addresses made up by
//! chance, and the names of their sensors begin with `demo-`.

use std::sync::Arc;

use komainu_model::Timestamp;
use komainu_ports::{LakeRows, LakeTable, LakeValues};

/// So many different sources there are.
const SOURCES: usize = 3_000_000;

/// How much more often a source comes than the one behind it: the exponent of Zipf's law.
const SOURCES_EXPONENT: f64 = 1.07;

const SENSORS: usize = 240;

/// Days on which one protocol has many times its share.
const BURST_DAYS: usize = 25;

const DAY_MS: i64 = 86_400_000;

/// From the country that most come from to that which fewest come from.
const COUNTRIES: &[&str] = &[
    "CN", "US", "RU", "BR", "VN", "IN", "TW", "KR", "NL", "DE", "FR", "GB", "UA", "ID", "TR", "IR", "JP", "TH", "IT",
    "MX", "AR", "EG", "PK", "RO", "BG", "PL", "ES", "CA", "HK", "SG", "ZA", "CO", "PH", "MY", "BD", "CL", "PE", "VE",
    "GR", "PT", "SE", "CZ", "HU", "AT", "CH", "BE", "DK", "FI", "NO", "IE", "IL", "SA", "AE", "IQ", "SY", "JO", "LB",
    "KW", "QA", "OM", "YE", "DZ", "MA", "TN", "LY", "SD", "ET", "KE", "TZ", "UG", "GH", "NG", "CM", "SN", "CI", "AO",
    "MZ", "ZM", "ZW", "NA", "BW", "MG", "MU", "LK", "NP", "MM", "KH", "LA", "MN", "KZ", "UZ", "KG", "TJ", "TM", "AZ",
    "GE", "AM", "BY", "MD", "LT", "LV", "EE", "RS", "HR", "SI", "SK", "BA", "MK", "AL", "ME", "CY", "MT", "IS", "LU",
    "EC", "BO", "PY", "UY", "GT", "HN", "SV", "NI", "CR", "PA", "DO", "CU", "JM", "TT", "AU", "NZ",
];

/// Appliances, and the models of each.
const APPLIANCES: &[(&str, [&str; 3])] = &[
    ("camera", ["DEMO-C100", "DEMO-C200", "DEMO-C210"]),
    ("recorder", ["DEMO-R10", "DEMO-R20", "DEMO-R40"]),
    ("intercom", ["DEMO-I1", "DEMO-I2", "DEMO-I3"]),
    ("dvr", ["DEMO-D4", "DEMO-D8", "DEMO-D16"]),
    ("router", ["DEMO-W1", "DEMO-W5", "DEMO-W6"]),
    ("nas", ["DEMO-N2", "DEMO-N4", "DEMO-N8"]),
    ("television", ["DEMO-T43", "DEMO-T55", "DEMO-T65"]),
    ("air_conditioner", ["DEMO-A22", "DEMO-A28", "DEMO-A40"]),
    ("printer", ["DEMO-P1", "DEMO-P2", "DEMO-P3"]),
    ("door_lock", ["DEMO-L1", "DEMO-L2", "DEMO-L3"]),
    ("hub", ["DEMO-H1", "DEMO-H2", "DEMO-H3"]),
    ("controller", ["DEMO-K1", "DEMO-K2", "DEMO-K3"]),
];

/// Protocols, their transports, their shares, and their ports from the one that most is sent to.
const PROTOCOLS: &[(&str, &str, f64, &[u16])] = &[
    ("telnet", "tcp", 0.42, &[23, 2323]),
    ("http", "tcp", 0.17, &[80, 8080, 81, 8000, 8443, 7547]),
    ("ssdp", "udp", 0.06, &[1900, 49152, 52869, 37215]),
    ("smb", "tcp", 0.14, &[445, 139]),
    ("ssh", "tcp", 0.11, &[22, 2222]),
    ("mqtt", "tcp", 0.01, &[1883]),
    ("coap", "udp", 0.005, &[5683]),
    ("ftp", "tcp", 0.02, &[21]),
    ("rtsp", "tcp", 0.03, &[554, 8554]),
    ("tls", "tcp", 0.02, &[443]),
    ("dns", "udp", 0.005, &[53]),
    ("tcp", "tcp", 0.01, &[5555]),
];

const LABELS: &[&str] = &["scan", "bruteforce", "exploit", "dropper", "unknown"];

/// The shares of the labels where there are logins, and elsewhere.
const LABEL_SHARES: [[f64; 5]; 2] = [[0.30, 0.45, 0.15, 0.07, 0.03], [0.60, 0.10, 0.20, 0.05, 0.05]];

/// Attacks that never were, from the first to the last.
#[derive(Debug)]
pub struct MadeUpAttacks {
    chance: Chance,
    first_day: i64,
    /// How many there are on each day.
    per_day: Vec<u64>,
    day: usize,
    /// Of the day that is being made.
    made: u64,
    /// The bursts: for each day a protocol.
    bursts: Vec<Option<usize>>,
    /// For each place in the order of frequency a source.
    order: Vec<u32>,
    addresses: Vec<u32>,
    countries: Vec<u8>,
    networks: Vec<u32>,
    models: Vec<(u8, u8)>,
}

impl MadeUpAttacks {
    /// So many attacks on so many whole days from that of `first` on.
    pub fn new(seed: u64, first: Timestamp, days: usize, attacks: u64) -> Self {
        let mut chance = Chance(seed);
        let mut weights: Vec<f64> = (0..days)
            .map(|day| {
                let growth = 0.7 + 0.7 * day as f64 / days.max(1) as f64;
                growth * (1.0 + 0.1 * (day as f64 / 7.0 * std::f64::consts::TAU).sin())
            })
            .collect();
        let mut bursts = vec![None; days];
        if days > BURST_DAYS {
            for _ in 0..BURST_DAYS {
                let day = chance.below(days);
                weights[day] *= 1.5 + 3.5 * chance.fraction();
                bursts[day] = Some(chance.below(PROTOCOLS.len()));
            }
        }
        let all: f64 = weights.iter().sum();
        let mut per_day: Vec<u64> = weights.iter().map(|weight| (weight / all * attacks as f64) as u64).collect();
        let missing = attacks.saturating_sub(per_day.iter().sum());
        if let Some(last) = per_day.last_mut() {
            *last += missing;
        }
        let mut order: Vec<u32> = (0..SOURCES as u32).collect();
        for place in (1..order.len()).rev() {
            order.swap(place, chance.below(place + 1));
        }
        let countries = Shares::falling(COUNTRIES.len(), 1.1);
        let networks = Shares::falling(20_000, 1.05);
        let countries: Vec<u8> = (0..SOURCES).map(|_| countries.pick(&mut chance) as u8).collect();
        Self {
            first_day: first.unix_millis().div_euclid(DAY_MS),
            per_day,
            day: 0,
            made: 0,
            bursts,
            order,
            addresses: (0..SOURCES).map(|_| chance.next() as u32).collect(),
            networks: countries
                .iter()
                .map(|country| 1_000 + u32::from(*country) * 7 + networks.pick(&mut chance) as u32)
                .collect(),
            countries,
            models: (0..SENSORS).map(|_| (chance.below(APPLIANCES.len()) as u8, chance.below(3) as u8)).collect(),
            chance,
        }
    }

    /// The next of them in the order of their times, `rows` at most and of one day; none when that was all.
    pub fn next_rows(&mut self, rows: usize) -> Option<LakeRows> {
        while self.day < self.per_day.len() && self.made == self.per_day[self.day] {
            (self.day, self.made) = (self.day + 1, 0);
        }
        let of_day = *self.per_day.get(self.day)?;
        let rows = (of_day - self.made).min(rows as u64);
        let mut shares: Vec<f64> = PROTOCOLS.iter().map(|(_, _, share, _)| *share).collect();
        if let Some(protocol) = self.bursts[self.day] {
            shares[protocol] *= 12.0;
        }
        let (shares, labels) = (Shares::new(shares), LABEL_SHARES.map(|shares| Shares::new(shares.to_vec())));
        let mut made = Made::new();
        let sources = Zipf::new(SOURCES, SOURCES_EXPONENT);
        for _ in 0..rows {
            // The times of a day are as if they were drawn and sorted.
            let left = (of_day - self.made) as f64;
            let begin = if made.times.is_empty() { self.begin_of_rest(of_day) } else { made.last_time() };
            let end = (self.first_day + self.day as i64 + 1) * DAY_MS;
            let step = 1.0 - self.chance.fraction().powf(1.0 / left);
            let time = begin + ((end - 1 - begin).max(0) as f64 * step) as i64;
            let mut place = sources.pick(&mut self.chance);
            if self.chance.fraction() < 0.35 {
                place = (place + self.day * 401) % SOURCES;
            }
            let source = self.order[place] as usize;
            let protocol = shares.pick(&mut self.chance);
            let ports = PROTOCOLS[protocol].3;
            let port = if self.chance.fraction() < 0.03 {
                1 + self.chance.below(65_534) as u32
            } else {
                u32::from(ports[Zipf::new(ports.len() + 1, 1.6).pick(&mut self.chance).min(ports.len() - 1)])
            };
            let sensor = self.chance.below(SENSORS);
            let label = labels[usize::from(protocol > 1)].pick(&mut self.chance);
            self.made += 1;
            made.push(self, time, source, sensor, protocol, port, label);
        }
        Some(made.finish())
    }

    /// Where the rest of a day begins, when so many of it are made.
    fn begin_of_rest(&self, of_day: u64) -> i64 {
        let day = (self.first_day + self.day as i64) * DAY_MS;
        day + (DAY_MS as f64 * self.made as f64 / of_day as f64) as i64
    }
}

/// Rows that are being made.
struct Made {
    times: Vec<i64>,
    numbers: std::collections::HashMap<u32, u32, ahash::RandomState>,
    sources: Vec<u32>,
    addresses: Vec<Arc<str>>,
    codes: [Vec<u32>; 7],
    networks: Vec<u32>,
    ports: Vec<u32>,
}

impl Made {
    fn new() -> Self {
        Self {
            times: Vec::new(),
            numbers: std::collections::HashMap::default(),
            sources: Vec::new(),
            addresses: Vec::new(),
            codes: Default::default(),
            networks: Vec::new(),
            ports: Vec::new(),
        }
    }

    fn last_time(&self) -> i64 {
        self.times.last().copied().unwrap_or(0)
    }

    #[expect(clippy::too_many_arguments, reason = "a row has that many values")]
    fn push(
        &mut self,
        all: &MadeUpAttacks,
        time: i64,
        source: usize,
        sensor: usize,
        protocol: usize,
        port: u32,
        label: usize,
    ) {
        self.times.push(time);
        let addresses = &mut self.addresses;
        let number = *self.numbers.entry(all.addresses[source]).or_insert_with(|| {
            addresses.push(std::net::Ipv4Addr::from(all.addresses[source]).to_string().into());
            addresses.len() as u32 - 1
        });
        self.sources.push(number);
        self.networks.push(all.networks[source]);
        self.ports.push(port);
        let (appliance, model) = all.models[sensor];
        let transport = u32::from(PROTOCOLS[protocol].1 == "udp");
        let model = u32::from(appliance) * 3 + u32::from(model);
        let country = u32::from(all.countries[source]);
        let codes = [country, sensor as u32, u32::from(appliance), model, protocol as u32, transport, label as u32];
        self.codes.iter_mut().zip(codes).for_each(|(column, code)| column.push(code));
    }

    fn finish(self) -> LakeRows {
        let rows = self.times.len();
        let words = |words: &mut dyn Iterator<Item = &str>| words.map(Arc::from).collect::<Vec<Arc<str>>>();
        let text = |codes: Vec<u32>, words: Vec<Arc<str>>| LakeValues::Text { codes, words };
        let [country, sensor, appliance, model, protocol, transport, label] = self.codes;
        let sensors: Vec<Arc<str>> = (1..=SENSORS).map(|number| format!("demo-{number:03}").into()).collect();
        let models = &mut APPLIANCES.iter().flat_map(|(_, models)| models.iter().copied());
        let columns = vec![
            LakeValues::Time(self.times),
            text(self.sources, self.addresses),
            text(country, words(&mut COUNTRIES.iter().copied())),
            LakeValues::Number(self.networks),
            text(sensor, sensors),
            text(appliance, words(&mut APPLIANCES.iter().map(|(appliance, _)| *appliance))),
            text(model, words(models)),
            text(protocol, words(&mut PROTOCOLS.iter().map(|(protocol, ..)| *protocol))),
            text(transport, words(&mut ["tcp", "udp"].into_iter())),
            LakeValues::Number(self.ports),
            text(label, words(&mut LABELS.iter().copied())),
            text(vec![0; rows], words(&mut ["released"].into_iter())),
        ];
        LakeRows::from_columns(LakeTable::Attacks, columns).expect("these are the columns of attacks")
    }
}

/// What chance brings: the generator SplitMix64.
#[derive(Debug)]
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ number >> 31
    }

    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}

/// Picks places by their shares.
struct Shares(Vec<f64>);

impl Shares {
    fn new(shares: Vec<f64>) -> Self {
        let all: f64 = shares.iter().sum();
        let mut sum = 0.0;
        let sums = shares.iter().map(|share| {
            sum += share / all;
            sum
        });
        Self(sums.collect())
    }

    fn falling(places: usize, exponent: f64) -> Self {
        Self::new((1..=places).map(|place| (place as f64).powf(-exponent)).collect())
    }

    fn pick(&self, chance: &mut Chance) -> usize {
        let fraction = chance.fraction();
        self.0.partition_point(|sum| *sum < fraction).min(self.0.len() - 1)
    }
}

/// Picks places by Zipf's law, by the inverse of its continuous form.
struct Zipf {
    places: usize,
    exponent: f64,
    span: f64,
}

impl Zipf {
    fn new(places: usize, exponent: f64) -> Self {
        let exponent = 1.0 - exponent;
        Self { places, exponent, span: (places as f64 + 1.0).powf(exponent) - 1.0 }
    }

    fn pick(&self, chance: &mut Chance) -> usize {
        let place = (chance.fraction() * self.span + 1.0).powf(1.0 / self.exponent) - 1.0;
        (place as usize).min(self.places - 1)
    }
}
