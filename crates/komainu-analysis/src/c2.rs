//! The endpoints that a sample speaks to, and what each is to it.
//!
//! First scans are told apart: the same port at many addresses. What is left is judged by what speaks for command and
//! control; each reason has a weight, and the weights add up to a confidence.

mod beacon;
mod generator;
mod names;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;

pub use beacon::Beacon;
pub use names::GeneratedNames;

use crate::behaviour::Phrase;
use crate::evidence::Sample;
use crate::fact::{Category, Fact, FactNumber, Facts, Field};

/// The same port at so many addresses is a scan; programs that call home know a handful of servers.
const SCAN_ADDRESSES_MIN: usize = 15;
/// From this confidence an endpoint is called command and control, in percent.
const COMMAND_CONFIDENCE_MIN: u32 = 45;
/// The most endpoints that are judged, first come first.
const ENDPOINTS_MAX: usize = 2048;
/// The most events of an endpoint whose times are kept.
const TIMES_MAX: usize = 4096;
/// The most entries of each list of the result.
const LIST_MAX: usize = 256;
/// A reason that is taken back for servers of the web.
const FIRST: &str = "is the first that the sample speaks to";
/// A reason that is a fact, too.
const IRC: &str = "speaks IRC";
/// So many packets are a flood rather than a conversation.
const FLOOD_PACKETS_MIN: i64 = 500;

/// What a sample does on the network.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Traffic {
    /// Single endpoints, those that matter most first.
    pub endpoints: Vec<Endpoint>,
    /// Scans.
    pub scans: Vec<Scan>,
    /// Names and passwords that were tried, most often first.
    pub credentials: Vec<Credential>,
    /// How many different ones there were.
    pub credentials_tried: u64,
    /// What was downloaded, or what others were told to download.
    pub downloads: Vec<Download>,
    /// Floods.
    pub floods: Vec<Flood>,
    /// Names that look generated.
    pub generated_names: Option<GeneratedNames>,
    /// What did not fit into a list.
    pub left_out: u64,
}

/// What an endpoint is to a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Gives it orders.
    Command,
    /// Has programs for it.
    Download,
    /// Is told what it found.
    Report,
    /// Is asked for names, though the device was given another.
    Resolver,
    /// Is asked for the time.
    Time,
    /// Is attacked: names and passwords are tried at it.
    Target,
    /// Nothing in particular.
    Ordinary,
}

impl Role {
    /// Its name in facts and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Download => "download",
            Self::Report => "report",
            Self::Resolver => "resolver",
            Self::Time => "time",
            Self::Target => "target",
            Self::Ordinary => "ordinary",
        }
    }
}

/// An endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// Its address. Where a name was asked for, the simulated Internet made it up ([`Endpoint::address_is_real`]).
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    /// The names under which it was looked for.
    pub names: Vec<String>,
    /// What it is.
    pub role: Role,
    /// How sure that is, in percent.
    pub confidence: u8,
    /// Why.
    pub reasons: Vec<Phrase>,
    /// Whether the address means something outside: no name was asked for, or it stands in the sample's file.
    pub address_is_real: bool,
    /// When it was first spoken to, in microseconds since the sample was started.
    pub first_us: u64,
    /// How often.
    pub contacts: u64,
    /// In which runs.
    pub runs: Vec<u16>,
    /// The first thing the sample said to it.
    pub hello: Option<String>,
    /// If it is spoken to regularly.
    pub beacon: Option<Beacon>,
    /// The facts.
    pub evidence: Vec<FactNumber>,
}

/// A search for other machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// The port; 0 where many ports were mixed.
    pub port: u16,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// How many addresses.
    pub addresses: u64,
    /// How many in a second, of the busiest run, in hundredths.
    pub per_second_hundredths: u64,
    /// How they are chosen: `random`, `sequential`, `subnet`, `list`, or `unknown`.
    pub generator: &'static str,
    /// Why that is thought, and which ranges are left out.
    pub reasons: Vec<Phrase>,
    /// Ranges that are never scanned though they should have been.
    pub excluded: Vec<String>,
    /// Some of the addresses.
    pub examples: Vec<IpAddr>,
    /// The runs.
    pub runs: Vec<u16>,
    /// The facts.
    pub evidence: Vec<FactNumber>,
}

/// A name with its password.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Credential {
    /// The service.
    pub service: String,
    /// The name.
    pub user: String,
    /// The password.
    pub password: String,
    /// How often it was tried.
    pub count: u64,
}

/// A download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    /// From where, as a URL or as a line of a command.
    pub url: String,
    /// Whether the sample did it itself; otherwise it told others to.
    pub by_sample: bool,
    /// The status that it was answered.
    pub status: Option<u16>,
    /// The fact.
    pub evidence: FactNumber,
}

/// A flood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flood {
    /// `syn`, `udp`, `gre`, `http`, …
    pub kind: String,
    /// Some address of it.
    pub target: Option<IpAddr>,
    /// The port, where all packets had the same.
    pub port: Option<u16>,
    /// How many packets or requests.
    pub packets: u64,
    /// How many in a second.
    pub per_second: u64,
    /// Whether senders were forged.
    pub forged_sources: bool,
    /// The fact.
    pub evidence: FactNumber,
}

/// What kind of address it is: `public`, `private`, `loopback`, `link-local`, `multicast` or `unspecified`.
pub(crate) fn scope(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(v4) if v4.is_unspecified() => "unspecified",
        IpAddr::V4(v4) if v4.is_loopback() => "loopback",
        IpAddr::V4(v4) if v4.is_private() => "private",
        IpAddr::V4(v4) if v4.is_link_local() => "link-local",
        IpAddr::V4(v4) if v4.is_multicast() || v4.is_broadcast() => "multicast",
        IpAddr::V4(_) => "public",
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => scope(IpAddr::V4(v4)),
            None if v6.is_unspecified() => "unspecified",
            None if v6.is_loopback() => "loopback",
            None if v6.is_unique_local() => "private",
            None if v6.is_unicast_link_local() => "link-local",
            None if v6.is_multicast() => "multicast",
            None => "public",
        },
    }
}

/// Judges what was seen on the network. The second is what rules should hear of it, as facts.
pub fn judge(facts: &Facts, sample: &Sample) -> (Traffic, Vec<Fact>) {
    let mut traffic = Traffic::default();
    let (scans, scanned) = scans(facts, sample);
    traffic.scans = scans;
    credentials(facts, &mut traffic);
    downloads(facts, &mut traffic);
    floods(facts, &mut traffic);
    traffic.generated_names = names::generated(facts);
    traffic.endpoints = endpoints(facts, sample, &scanned, &mut traffic);
    let concluded = conclusions(&traffic, facts);
    (traffic, concluded)
}

type ScannedPorts = BTreeSet<(u16, String)>;

/// Scans, and the ports whose contacts belong to them.
fn scans(facts: &Facts, sample: &Sample) -> (Vec<Scan>, ScannedPorts) {
    #[derive(Default)]
    struct Seen {
        order: BTreeMap<u16, Vec<(u64, IpAddr)>>,
        named: HashSet<IpAddr>,
        counted: u64,
        per_second: u64,
        examples: Vec<IpAddr>,
        runs: BTreeSet<u16>,
        evidence: Vec<FactNumber>,
    }
    let mut seen: BTreeMap<(u16, String), Seen> = BTreeMap::new();
    for (number, fact) in facts.numbered() {
        let is_single = matches!(fact.action(), "connect" | "datagram");
        if fact.category != Category::Network || !(is_single || fact.action() == "counted") {
            continue;
        }
        let port = fact.number(Field::DestinationPort).and_then(|port| u16::try_from(port).ok()).unwrap_or(0);
        let Some(address) = fact.text(Field::DestinationIp).and_then(|text| text.parse::<IpAddr>().ok()) else {
            continue;
        };
        let run = fact.run.unwrap_or_default();
        if is_single {
            if matches!(scope(address), "loopback" | "multicast" | "unspecified") {
                continue;
            }
            let protocol = fact.text(Field::Protocol).unwrap_or("tcp").to_owned();
            let of_port = seen.entry((port, protocol)).or_default();
            if fact.value(Field::DestinationHostname).is_some() {
                of_port.named.insert(address);
                continue;
            }
            of_port.order.entry(run).or_default().push((fact.at_us, address));
            of_port.runs.insert(run);
            if of_port.evidence.len() < crate::sigma::EVIDENCE_MAX {
                of_port.evidence.push(number);
            }
        } else {
            let addresses = fact.number(Field::Addresses).unwrap_or_default();
            let protocol = match fact.text(Field::Protocol) {
                Some("syn" | "tcp") => "tcp",
                Some("udp") => "udp",
                _ => continue,
            };
            if addresses < SCAN_ADDRESSES_MIN as i64 {
                continue;
            }
            let of_port = seen.entry((port, protocol.to_owned())).or_default();
            of_port.counted += u64::try_from(addresses).unwrap_or_default();
            of_port.per_second = of_port
                .per_second
                .max(u64::try_from(fact.number(Field::PacketsPerSecond).unwrap_or_default()).unwrap_or_default());
            of_port.examples.push(address);
            of_port.runs.insert(run);
            of_port.evidence.push(number);
        }
    }
    let mut scans = Vec::new();
    let mut ports = ScannedPorts::new();
    for ((port, protocol), of_port) in seen {
        let different: BTreeSet<IpAddr> = of_port.order.values().flatten().map(|(_, address)| *address).collect();
        let addresses = different.len() as u64 + of_port.counted;
        if (different.len() < SCAN_ADDRESSES_MIN && of_port.counted == 0)
            || matches!((port, protocol.as_str()), (53 | 123, "udp"))
        {
            continue;
        }
        let order: Vec<Vec<IpAddr>> =
            of_port.order.values().map(|order| order.iter().map(|(_, address)| *address).collect()).collect();
        let chosen = generator::of(&order, sample);
        let rate = of_port.order.values().map(|order| {
            let first = order.first().map_or(0, |(at, _)| *at);
            let last = order.last().map_or(0, |(at, _)| *at);
            (order.len() as u64).saturating_mul(100_000_000) / (last - first).max(1_000_000)
        });
        let mut examples: Vec<IpAddr> = order.iter().flatten().take(8).copied().collect();
        examples.extend(of_port.examples.iter().take(8usize.saturating_sub(examples.len())));
        ports.insert((port, protocol.clone()));
        scans.push(Scan {
            port,
            protocol,
            addresses,
            per_second_hundredths: rate.max().unwrap_or_default().max(of_port.per_second.saturating_mul(100)),
            generator: chosen.name,
            reasons: chosen.reasons,
            excluded: chosen.excluded,
            examples,
            runs: of_port.runs.into_iter().collect(),
            evidence: of_port.evidence.into_iter().take(crate::sigma::EVIDENCE_MAX).collect(),
        });
    }
    scans.sort_by_key(|scan| (std::cmp::Reverse(scan.addresses), scan.port));
    scans.truncate(LIST_MAX);
    (scans, ports)
}

fn credentials(facts: &Facts, traffic: &mut Traffic) {
    let mut tried: BTreeMap<(String, String, String), u64> = BTreeMap::new();
    for fact in facts.all().iter().filter(|fact| fact.category == Category::Login) {
        let text = |field| fact.text(field).unwrap_or_default().to_owned();
        *tried.entry((text(Field::Service), text(Field::UserName), text(Field::Password))).or_default() += 1;
    }
    traffic.credentials_tried = tried.len() as u64;
    let mut credentials: Vec<Credential> = tried
        .into_iter()
        .map(|((service, user, password), count)| Credential { service, user, password, count })
        .collect();
    credentials.sort_by_key(|credential| std::cmp::Reverse(credential.count));
    traffic.left_out += credentials.len().saturating_sub(LIST_MAX) as u64;
    credentials.truncate(LIST_MAX);
    traffic.credentials = credentials;
}

/// Words of shells that fetch something.
const FETCHERS: [&str; 5] = ["wget ", "curl ", "tftp ", "ftpget ", "busybox wget"];

fn downloads(facts: &Facts, traffic: &mut Traffic) {
    let mut seen = BTreeSet::new();
    for (number, fact) in facts.numbered() {
        let download = match (fact.category, fact.action()) {
            (Category::Http, "request") if fact.text(Field::Method) == Some("GET") => {
                let address = fact.text(Field::DestinationIp).unwrap_or_default();
                let host = fact.text(Field::Host).unwrap_or(address);
                let target = fact.text(Field::Url).unwrap_or_default();
                let url = if target.contains("://") { target.to_owned() } else { format!("http://{host}{target}") };
                let status = fact.number(Field::Status).and_then(|status| u16::try_from(status).ok());
                Download { url, by_sample: true, status, evidence: number }
            }
            (Category::Network, "command") => {
                let line = fact.text(Field::Content).unwrap_or_default();
                if !FETCHERS.iter().any(|word| line.contains(word)) {
                    continue;
                }
                Download { url: line.to_owned(), by_sample: false, status: None, evidence: number }
            }
            _ => continue,
        };
        if seen.insert((download.url.clone(), download.by_sample)) {
            if traffic.downloads.len() < LIST_MAX {
                traffic.downloads.push(download);
            } else {
                traffic.left_out += 1;
            }
        }
    }
}

fn floods(facts: &Facts, traffic: &mut Traffic) {
    for (number, fact) in facts.numbered() {
        if fact.category != Category::Network || fact.action() != "counted" {
            continue;
        }
        let packets = fact.number(Field::Packets).unwrap_or_default();
        let addresses = fact.number(Field::Addresses).unwrap_or_default();
        let kind = fact.text(Field::Protocol).unwrap_or_default();
        // A scan sends a packet or two to each of many; a flood sends many to each of few.
        if packets < FLOOD_PACKETS_MIN || packets < addresses.saturating_mul(20) {
            continue;
        }
        if traffic.floods.len() == LIST_MAX {
            traffic.left_out += 1;
            continue;
        }
        traffic.floods.push(Flood {
            kind: kind.to_owned(),
            target: fact.text(Field::DestinationIp).and_then(|text| text.parse().ok()),
            port: fact.number(Field::DestinationPort).and_then(|port| u16::try_from(port).ok()),
            packets: u64::try_from(packets).unwrap_or_default(),
            per_second: u64::try_from(fact.number(Field::PacketsPerSecond).unwrap_or_default()).unwrap_or_default(),
            forged_sources: fact.text(Field::ForgedSources) == Some("true"),
            evidence: number,
        });
    }
}

/// What is gathered of an endpoint.
#[derive(Default)]
struct Contact {
    names: BTreeSet<String>,
    contacts: BTreeMap<u16, Vec<u64>>,
    /// Times at which the sample spoke within a connection.
    sends: BTreeMap<u16, Vec<u64>>,
    hello: Option<String>,
    http: Vec<u16>,
    tls: bool,
    irc: bool,
    played: Option<String>,
    served_first: bool,
    login: bool,
    time: bool,
    resolver: bool,
    evidence: Vec<FactNumber>,
}

type EndpointKey = (IpAddr, u16, &'static str);

fn endpoints(facts: &Facts, sample: &Sample, scanned: &ScannedPorts, traffic: &mut Traffic) -> Vec<Endpoint> {
    let mut contacts: BTreeMap<EndpointKey, Contact> = BTreeMap::new();
    let mut first_login: BTreeMap<u16, u64> = BTreeMap::new();
    for (number, fact) in facts.numbered() {
        let run = fact.run.unwrap_or_default();
        if fact.category == Category::Login && fact.text(Field::Accepted) == Some("true") {
            first_login.entry(run).or_insert(fact.at_us);
        }
        let Some(key) = endpoint_of(fact) else { continue };
        let is_scan = scanned.contains(&(key.1, key.2.to_owned())) && fact.value(Field::DestinationHostname).is_none();
        // Of a scanned port only those are looked at singly that a player took for a server of orders.
        if is_scan && fact.action() != "played" && !contacts.contains_key(&key) {
            continue;
        }
        if contacts.len() == ENDPOINTS_MAX && !contacts.contains_key(&key) {
            traffic.left_out += 1;
            continue;
        }
        let contact = contacts.entry(key).or_default();
        contact.names.extend(fact.text(Field::DestinationHostname).map(str::to_owned));
        if contact.evidence.len() < crate::sigma::EVIDENCE_MAX {
            contact.evidence.push(number);
        }
        contact.hear(fact, run);
    }
    let known = Known::of(sample, facts);
    let first = contacts
        .iter()
        .filter(|(key, contact)| scope(key.0) == "public" && !contact.time && !contact.resolver && !contact.login)
        .filter_map(|(key, contact)| Some((contact.first()?, *key)))
        .min();
    let endpoints: Vec<Endpoint> = contacts
        .into_iter()
        .map(|(key, contact)| contact.judge(key, &known, first.is_some_and(|(_, first)| first == key), &first_login))
        .collect();
    let mut endpoints = one_for_each_name(endpoints);
    endpoints.sort_by_key(|endpoint| {
        (endpoint.role, std::cmp::Reverse(endpoint.confidence), endpoint.first_us, endpoint.address, endpoint.port)
    });
    traffic.left_out += endpoints.len().saturating_sub(LIST_MAX) as u64;
    endpoints.truncate(LIST_MAX);
    endpoints
}

fn endpoint_of(fact: &Fact) -> Option<EndpointKey> {
    let is_of_network = matches!(fact.category, Category::Network | Category::Http | Category::Login | Category::Dns);
    // What the guest's kernel tells of sockets, the simulated Internet sees as well; it would count twice.
    if !is_of_network || matches!(fact.action(), "call-connect" | "call-send" | "counted" | "packet") {
        return None;
    }
    if fact.category == Category::Dns && fact.text(Field::Resolver) == Some("own") {
        return None;
    }
    let address: IpAddr = fact.text(Field::DestinationIp)?.parse().ok()?;
    if matches!(scope(address), "loopback" | "multicast" | "unspecified" | "link-local") {
        return None;
    }
    let port = u16::try_from(fact.number(Field::DestinationPort)?).ok()?;
    let is_udp = matches!(fact.action(), "datagram" | "query" | "time");
    Some((address, port, if is_udp { "udp" } else { "tcp" }))
}

impl Contact {
    fn hear(&mut self, fact: &Fact, run: u16) {
        let keep = |times: &mut BTreeMap<u16, Vec<u64>>| {
            let times = times.entry(run).or_default();
            if times.len() < TIMES_MAX {
                times.push(fact.at_us);
            }
        };
        let content = || fact.text(Field::Content).unwrap_or_default();
        match fact.action() {
            "connect" => keep(&mut self.contacts),
            "query" => {
                self.resolver = true;
                keep(&mut self.contacts);
            }
            "time" => {
                self.time = true;
                keep(&mut self.contacts);
            }
            "datagram" => {
                keep(&mut self.contacts);
                self.hello.get_or_insert_with(|| content().to_owned());
            }
            "sent" => {
                keep(&mut self.sends);
                self.hello.get_or_insert_with(|| content().to_owned());
                self.irc |= content().starts_with("NICK ") || content().starts_with("USER ");
            }
            "answered" => self.served_first |= self.hello.is_none(),
            "request" => {
                self.http.extend(fact.number(Field::Status).and_then(|status| u16::try_from(status).ok()));
                keep(&mut self.sends);
            }
            "tls" => self.tls = true,
            "command" => self.irc |= fact.text(Field::Service) == Some("irc"),
            "played" => {
                keep(&mut self.contacts);
                self.played.get_or_insert_with(|| fact.text(Field::Script).unwrap_or_default().to_owned());
            }
            // A name and a password are given to a server of IRC to be let in, not to break in.
            "login" => self.login |= fact.text(Field::Service) != Some("irc"),
            _ => {}
        }
    }

    fn first(&self) -> Option<u64> {
        self.contacts.values().chain(self.sends.values()).filter_map(|times| times.first()).min().copied()
    }

    fn judge(self, key: EndpointKey, known: &Known, is_first: bool, first_login: &BTreeMap<u16, u64>) -> Endpoint {
        let (address, port, protocol) = key;
        let contacts: u64 = self.contacts.values().map(|times| times.len() as u64).sum();
        let beacon = beacon::of(&self.contacts).or_else(|| beacon::of(&self.sends));
        let names: Vec<String> = self.names.iter().cloned().collect();
        let in_file = known.in_file(address, &names);
        let in_memory = known.in_memory(address, &names);
        let mut reasons: Vec<(u32, Phrase)> = Vec::new();
        let mut because = |weight: u32, en: String, ja: String| reasons.push((weight, Phrase { en, ja }));
        if let Some(script) = &self.played {
            let ja = format!("模擬環境のスクリプト {script} のプロトコルで通信する");
            because(50, format!("speaks the protocol of the player's script {script}"), ja);
        }
        if let Some(beacon) = &beacon {
            let period = beacon.period_s();
            because(30, format!("is spoken to every {period} s"), format!("{period} 秒ごとに通信する"));
        } else if contacts >= 3 {
            because(15, format!("is tried {contacts} times"), format!("{contacts} 回接続を試みる"));
        }
        if is_first {
            because(20, FIRST.into(), "検体が最初に通信する相手である".into());
        }
        if !names.is_empty() {
            let names = names.join(", ");
            because(15, format!("was looked for by the name {names}"), format!("名前 {names} で探された"));
        }
        if let Some((en, ja)) = in_file {
            because(25, en.to_owned(), ja.to_owned());
        }
        if in_memory {
            because(15, "stands in the memory of the sample's processes".into(), "検体のプロセスのメモリにある".into());
        }
        if self.irc {
            because(30, IRC.into(), "IRC で通信する".into());
        }
        let is_web = matches!(port, 80 | 443 | 8080) || !self.http.is_empty();
        if protocol == "tcp" && !is_web && !self.login {
            because(10, "is no service of the web".into(), "ウェブのサービスではない".into());
        }
        if self.hello.is_some() && !is_web && !self.tls && !self.login && !self.served_first {
            let ja = "検体から先に、独自のプロトコルで通信する";
            because(15, "the sample speaks first, in a protocol of its own".into(), ja.into());
        }
        let runs: BTreeSet<u16> = self.contacts.keys().chain(self.sends.keys()).copied().collect();
        if runs.len() > 1 {
            let count = runs.len();
            because(10, format!("is spoken to in {count} runs"), format!("{count} 回の実行で通信する"));
        }
        let only_web = !self.http.is_empty() && self.played.is_none() && beacon.is_none();
        if only_web {
            reasons.retain(|(_, reason)| reason.en != FIRST);
        }
        let weight: u32 = reasons.iter().map(|(weight, _)| weight).sum();
        let downloads = self.http.iter().any(|status| (200..300).contains(status));
        let after_login =
            self.first().is_some_and(|at| runs.iter().any(|run| first_login.get(run).is_some_and(|login| at > *login)));
        let (role, weight) = if self.time || (port == 123 && protocol == "udp") {
            (Role::Time, 90)
        } else if self.resolver || (port == 53 && protocol == "udp") {
            (Role::Resolver, 90)
        } else if scope(address) != "public" {
            (Role::Ordinary, 50)
        } else if self.login && self.played.is_none() {
            let en = "names and passwords are tried at it".into();
            reasons.push((0, Phrase { en, ja: "ユーザー名とパスワードを試される".into() }));
            (Role::Target, 80)
        } else if only_web {
            if downloads { (Role::Download, 70) } else { (Role::Ordinary, 50) }
        } else if after_login && !is_first && self.played.is_none() && self.hello.is_some() && beacon.is_none() {
            let en = "is spoken to for the first time after a login went well".into();
            reasons.push((0, Phrase { en, ja: "ログインの成功後に初めて通信する".into() }));
            (Role::Report, 65)
        } else if weight >= COMMAND_CONFIDENCE_MIN {
            (Role::Command, weight)
        } else {
            (Role::Ordinary, weight)
        };
        reasons.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
        Endpoint {
            address,
            port,
            protocol,
            // What a name was given is made up by the simulated Internet, unless it stands in the file: in memory it does.
            address_is_real: names.is_empty() || known.in_file(address, &[]).is_some(),
            names,
            role,
            confidence: u8::try_from(weight.min(99)).unwrap_or(99),
            reasons: reasons.into_iter().map(|(_, reason)| reason).collect(),
            first_us: self.first().unwrap_or_default(),
            contacts,
            runs: runs.into_iter().collect(),
            hello: self.hello,
            beacon,
            evidence: self.evidence,
        }
    }
}

/// Each run's simulated Internet gives a name an address of its own: it is one server all the same. The first is told, with what
/// the others showed.
fn one_for_each_name(endpoints: Vec<Endpoint>) -> Vec<Endpoint> {
    let mut told: Vec<Endpoint> = Vec::new();
    let mut places: BTreeMap<(Vec<String>, u16, &'static str), usize> = BTreeMap::new();
    for endpoint in endpoints {
        if endpoint.address_is_real {
            told.push(endpoint);
            continue;
        }
        let place = *places.entry((endpoint.names.clone(), endpoint.port, endpoint.protocol)).or_insert(told.len());
        let Some(first) = told.get_mut(place) else {
            told.push(endpoint);
            continue;
        };
        if endpoint.confidence > first.confidence {
            (first.role, first.confidence, first.reasons) = (endpoint.role, endpoint.confidence, endpoint.reasons);
        }
        first.first_us = first.first_us.min(endpoint.first_us);
        first.contacts += endpoint.contacts;
        first.runs.extend(endpoint.runs);
        first.runs.sort_unstable();
        first.runs.dedup();
        first.hello = first.hello.take().or(endpoint.hello);
        first.beacon = first.beacon.take().or(endpoint.beacon);
        first.evidence.extend(endpoint.evidence);
        first.evidence.truncate(crate::sigma::EVIDENCE_MAX);
    }
    told
}

/// What the sample is known to contain.
struct Known {
    plain: Vec<String>,
    decoded: Vec<String>,
    memory: Vec<String>,
}

impl Known {
    fn of(sample: &Sample, facts: &Facts) -> Self {
        let texts = |decoded: bool| {
            let texts = sample.texts.iter().filter(move |text| text.decoded == decoded);
            texts.map(|text| text.value.to_lowercase()).collect()
        };
        let memory = facts.all().iter().filter(|fact| fact.category == Category::Memory);
        Self {
            plain: texts(false),
            decoded: texts(true),
            memory: memory.filter_map(|fact| fact.text(Field::Content)).map(str::to_lowercase).collect(),
        }
    }

    /// Where the file names it, in both languages.
    fn in_file(&self, address: IpAddr, names: &[String]) -> Option<(&'static str, &'static str)> {
        if names_any(&self.decoded, address, names) {
            Some(("stands in the file in an encoded text", "ファイルの中の符号化された文字列にある"))
        } else if names_any(&self.plain, address, names) {
            Some(("stands in the file as a text", "ファイルの中に文字列としてある"))
        } else {
            None
        }
    }

    fn in_memory(&self, address: IpAddr, names: &[String]) -> bool {
        names_any(&self.memory, address, names)
    }
}

/// Whether a text names the address or one of the names, by itself or in a URL or with a port.
fn names_any(texts: &[String], address: IpAddr, names: &[String]) -> bool {
    let address = address.to_string();
    let wanted: Vec<&str> = std::iter::once(address.as_str()).chain(names.iter().map(String::as_str)).collect();
    texts.iter().any(|text| wanted.iter().any(|wanted| names_whole(text, wanted)))
}

fn names_whole(text: &str, wanted: &str) -> bool {
    !wanted.is_empty()
        && text.match_indices(wanted).any(|(at, _)| {
            let joins = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
            !joins(text[..at].chars().next_back()) && !joins(text[at + wanted.len()..].chars().next())
        })
}

/// What rules should hear of what was concluded.
fn conclusions(traffic: &Traffic, facts: &Facts) -> Vec<Fact> {
    let mut concluded = Vec::new();
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let mut add = |fact: Fact, run: Option<u16>, at_us: u64| concluded.push(fact.at(run, at_us));
    for endpoint in &traffic.endpoints {
        let mut fact = Fact::new(Category::Finding, "endpoint")
            .with(Field::Role, endpoint.role.name())
            .with(Field::DestinationIp, &endpoint.address.to_string())
            .with_number(Field::DestinationPort, i64::from(endpoint.port))
            .with(Field::Protocol, endpoint.protocol)
            .with_number(Field::Count, count(endpoint.contacts));
        if let Some(name) = endpoint.names.first() {
            fact = fact.with(Field::DestinationHostname, name);
        }
        if let Some(beacon) = &endpoint.beacon {
            fact = fact.with_number(Field::PeriodMs, count(beacon.period_ms));
        }
        if endpoint.reasons.iter().any(|reason| reason.en == IRC) {
            fact = fact.with(Field::Service, "irc");
        }
        for run in &endpoint.runs {
            add(fact.clone(), Some(*run), endpoint.first_us);
        }
    }
    for scan in &traffic.scans {
        let fact = Fact::new(Category::Finding, "scan")
            .with_number(Field::DestinationPort, i64::from(scan.port))
            .with(Field::Protocol, &scan.protocol)
            .with_number(Field::Addresses, count(scan.addresses))
            .with(Field::Generator, scan.generator);
        for run in &scan.runs {
            add(fact.clone(), Some(*run), 0);
        }
    }
    for flood in &traffic.floods {
        let of = facts.get(flood.evidence);
        let fact = Fact::new(Category::Finding, "flood")
            .with(Field::Protocol, &flood.kind)
            .with_number(Field::Packets, count(flood.packets))
            .with_number(Field::PacketsPerSecond, count(flood.per_second));
        add(fact, of.and_then(|fact| fact.run), of.map_or(0, |fact| fact.at_us));
    }
    if let Some(names) = &traffic.generated_names {
        let fact = Fact::new(Category::Finding, "generated-names").with_number(Field::Count, count(names.count));
        for run in &names.runs {
            add(fact.clone(), Some(*run), 0);
        }
    }
    concluded
}

#[cfg(test)]
mod tests;
