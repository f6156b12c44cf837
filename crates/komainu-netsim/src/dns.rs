//! The Domain Name System: whoever is asked answers, at any address.
//!
//! In: one message of a question (RFC 1035, read by `komainu-decode`). Out: the answer, and what was asked, as an event.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use komainu_decode::{Decoder, Fact, Place, Side, dns};
use komainu_trace::RawText;
use komainu_trace::network::NetworkAct;

use crate::limits::COUNT_EXAMPLES_MAX;
use crate::names::Found;
use crate::world::World;

const A: u16 = 1;
const NS: u16 = 2;
const SOA: u16 = 6;
const PTR: u16 = 12;
const MX: u16 = 15;
const TXT: u16 = 16;
const AAAA: u16 = 28;
const SRV: u16 = 33;
const OPT: u16 = 41;
const ANY: u16 = 255;

/// How long an answer may be kept, in seconds: short, as those of servers that move.
const TTL_S: u32 = 300;

/// What a resolver of today takes by UDP, in bytes (RFC 6891 and the DNS flag day of 2020).
const UDP_BYTES: u16 = 1232;

const NO_ERROR: u16 = 0;
const SERVER_FAILURE: u16 = 2;
const NO_SUCH_NAME: u16 = 3;
const NOT_IMPLEMENTED: u16 = 4;

/// A question as far as it is answered.
struct Question {
    id: u16,
    flags: u16,
    labels: Vec<Vec<u8>>,
    /// In lower case, without the last dot.
    name: Vec<u8>,
    kind: u16,
    class: u16,
    has_options: bool,
}

/// Answers a message; none when it is no question. `server` is whom the guest asked.
pub(crate) fn answer(world: &mut World, message: &[u8], server: SocketAddr) -> Option<Vec<u8>> {
    let question = read(message)?;
    if question.flags >> 11 & 0xF != 0 {
        return Some(write(&question, NOT_IMPLEMENTED, &[]));
    }
    let (status, records) = find(world, &question);
    let answers = records.iter().filter_map(|record| record.address).collect();
    let name = RawText(question.name.clone());
    let now = world.now;
    world.record.event(now, NetworkAct::Name { name, kind: kind_name(question.kind), server, answers });
    tell_generated(world);
    Some(write(&question, status, &records))
}

/// Tells of generated names: when there are enough to be sure, and then at each power of eight.
fn tell_generated(world: &mut World) {
    let generated = world.names.generated();
    let count = generated.len();
    if count < world.generated_tell_at {
        return;
    }
    world.generated_tell_at = count.saturating_mul(8);
    let act = generated_act(generated);
    let now = world.now;
    world.record.event(now, act);
}

/// What is told of generated names.
pub(crate) fn generated_act(generated: &std::collections::BTreeSet<Vec<u8>>) -> NetworkAct {
    let examples = generated.iter().take(COUNT_EXAMPLES_MAX).map(|name| RawText(name.clone())).collect();
    NetworkAct::GeneratedNames { names: generated.len() as u64, examples }
}

fn read(message: &[u8]) -> Option<Question> {
    let mut read = None;
    let mut observer = |_: Place, fact: Fact<'_>| {
        let Fact::Dns(dns::Event::Message(message)) = fact else { return };
        if message.is_response() || read.is_some() {
            return;
        }
        let Some(first) = message.questions.first() else { return };
        let labels: Vec<Vec<u8>> = first.name.labels().map(<[u8]>::to_vec).collect();
        read = Some(Question {
            id: message.id,
            flags: message.flags,
            name: labels.join(&b'.').to_ascii_lowercase(),
            labels,
            kind: first.kind,
            class: first.class,
            has_options: message.additionals.iter().any(|record| record.kind == OPT),
        });
    };
    dns::Reader::datagrams().data(Side::Client, message, &mut observer);
    read
}

/// A record of the answer; its name is that of the question.
struct Record {
    kind: u16,
    data: Vec<u8>,
    address: Option<IpAddr>,
}

impl Record {
    fn v4(address: Ipv4Addr) -> Self {
        Self { kind: A, data: address.octets().to_vec(), address: Some(address.into()) }
    }

    fn v6(address: Ipv6Addr) -> Self {
        Self { kind: AAAA, data: address.octets().to_vec(), address: Some(address.into()) }
    }

    fn other(kind: u16, data: Vec<u8>) -> Self {
        Self { kind, data, address: None }
    }
}

fn find(world: &mut World, question: &Question) -> (u16, Vec<Record>) {
    let Question { labels, name, kind, .. } = question;
    if let Some(address) = reverse(name) {
        let host = world.host_name(address);
        let records = if matches!(*kind, PTR | ANY) { vec![Record::other(PTR, wire_name(&host))] } else { Vec::new() };
        return (NO_ERROR, records);
    }
    let (v4, v6) = match world.names.find(name) {
        Found::Addresses(v4, v6) => (v4, v6),
        Found::Nowhere => return (NO_SUCH_NAME, Vec::new()),
        Found::TooMany => {
            world.record.lost("names");
            return (SERVER_FAILURE, Vec::new());
        }
    };
    let text = String::from_utf8_lossy(name).into_owned();
    let below = |host: &str| wire_name(&format!("{host}.{}", parent(&text)));
    let records = match *kind {
        A => vec![Record::v4(v4)],
        AAAA => vec![Record::v6(v6)],
        ANY => vec![Record::v4(v4), Record::v6(v6)],
        NS => vec![Record::other(NS, below("ns1")), Record::other(NS, below("ns2"))],
        MX => vec![Record::other(MX, [&[0, 10][..], &below("mail")].concat())],
        TXT => {
            let policy = b"v=spf1 a mx -all";
            vec![Record::other(TXT, [&[16][..], policy].concat())]
        }
        SOA => vec![Record::other(SOA, soa(&text))],
        SRV => {
            // The port of the service that is asked for, where it is well known.
            let port: u16 = match labels.first().map(|label| label.to_ascii_lowercase()).as_deref() {
                Some(b"_xmpp-client") => 5222,
                Some(b"_sip") => 5060,
                Some(b"_ldap") => 389,
                Some(b"_stratum") => 3333,
                Some(b"_mqtt") => 1883,
                _ => 443,
            };
            let host = parent(parent(&text));
            let data = [&[0, 10, 0, 10][..], &port.to_be_bytes(), &wire_name(host)].concat();
            vec![Record::other(SRV, data)]
        }
        _ => Vec::new(),
    };
    (NO_ERROR, records)
}

/// The domain above a name, if it has more than two labels; else the name.
fn parent(name: &str) -> &str {
    match name.split_once('.') {
        Some((_, rest)) if rest.contains('.') => rest,
        _ => name,
    }
}

fn soa(name: &str) -> Vec<u8> {
    let zone = parent(name);
    let mut data = wire_name(&format!("ns1.{zone}"));
    data.extend(wire_name(&format!("hostmaster.{zone}")));
    for number in [2_024_010_101_u32, 7200, 3600, 1_209_600, 3600] {
        data.extend(number.to_be_bytes());
    }
    data
}

/// The address that a name for the way back stands for (RFC 1035, 3.5; RFC 3596, 2.5).
fn reverse(name: &[u8]) -> Option<IpAddr> {
    let name = std::str::from_utf8(name).ok()?;
    if let Some(v4) = name.strip_suffix(".in-addr.arpa") {
        let mut octets = [0; 4];
        let mut labels = v4.rsplit('.');
        for octet in &mut octets {
            *octet = labels.next()?.parse().ok()?;
        }
        return labels.next().is_none().then(|| octets.into());
    }
    let nibbles: Vec<u8> = name
        .strip_suffix(".ip6.arpa")?
        .rsplit('.')
        .map(|digit| u8::from_str_radix(digit, 16).ok().filter(|digit| *digit < 16))
        .collect::<Option<_>>()?;
    let (pairs, []) = nibbles.as_chunks::<2>() else { return None };
    let octets: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
    Some(IpAddr::from(<[u8; 16]>::try_from(octets).ok()?))
}

/// A name as it goes over the wire. Labels that are too long are cut, and the name ends where it must (RFC 1035, 2.3.4).
fn wire_name(name: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in name.as_bytes().split(|byte| *byte == b'.').filter(|label| !label.is_empty()) {
        let label = &label[..label.len().min(63)];
        if wire.len() + label.len() + 2 > 255 {
            break;
        }
        wire.push(u8::try_from(label.len()).expect("at most 63"));
        wire.extend(label);
    }
    wire.push(0);
    wire
}

fn write(question: &Question, status: u16, records: &[Record]) -> Vec<u8> {
    let Question { id, flags, labels, kind, class, has_options, .. } = question;
    let mut message = Vec::new();
    // An answer, with the kind of question and "recursion desired" of the question, and "recursion available".
    let flags = 0x8080 | flags & 0x7900 | status;
    let counts = [1, u16::try_from(records.len()).expect("a few records"), 0, u16::from(*has_options)];
    for word in [*id, flags].into_iter().chain(counts) {
        message.extend(word.to_be_bytes());
    }
    for label in labels {
        message.push(u8::try_from(label.len()).expect("a label has at most 63 bytes"));
        message.extend(label);
    }
    message.push(0);
    message.extend(kind.to_be_bytes());
    message.extend(class.to_be_bytes());
    for Record { kind, data, .. } in records {
        // The name is that of the question, which stands behind the header.
        message.extend([0xC0, 12]);
        message.extend(kind.to_be_bytes());
        message.extend(1_u16.to_be_bytes());
        message.extend(TTL_S.to_be_bytes());
        message.extend(u16::try_from(data.len()).expect("at most a few names").to_be_bytes());
        message.extend(data);
    }
    if *has_options {
        message.push(0);
        message.extend(OPT.to_be_bytes());
        message.extend(UDP_BYTES.to_be_bytes());
        message.extend([0; 6]);
    }
    message
}

fn kind_name(kind: u16) -> String {
    match kind {
        A => "A".into(),
        NS => "NS".into(),
        5 => "CNAME".into(),
        SOA => "SOA".into(),
        PTR => "PTR".into(),
        MX => "MX".into(),
        TXT => "TXT".into(),
        AAAA => "AAAA".into(),
        SRV => "SRV".into(),
        65 => "HTTPS".into(),
        ANY => "ANY".into(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{NamePolicy, Settings};

    fn question(name: &str, kind: u16, options: bool) -> Vec<u8> {
        let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(options)];
        message.extend(wire_name(name));
        message.extend(kind.to_be_bytes());
        message.extend([0, 1]);
        if options {
            message.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
        }
        message
    }

    /// What a reader of DNS understands of the answer: status, and records as texts.
    fn check(world: &mut World, name: &str, kind: u16, status: u16, expected: &[&str]) {
        let server = "8.8.8.8:53".parse().unwrap();
        let answer = answer(world, &question(name, kind, true), server).unwrap();
        let mut seen = None;
        let mut observer = |_: Place, fact: Fact<'_>| {
            let Fact::Dns(dns::Event::Message(message)) = fact else { panic!("{fact:?}") };
            assert_eq!((message.id, message.is_response(), message.questions.len()), (0x1234, true, 1));
            assert_eq!(message.additionals.len(), 1, "the options are answered");
            let texts: Vec<String> = message.answers.iter().map(|record| format!("{:?}", record.data)).collect();
            seen = Some((u16::from(message.rcode()), texts));
        };
        dns::Reader::datagrams().data(Side::Server, &answer, &mut observer);
        let (seen_status, texts) = seen.unwrap();
        assert_eq!((seen_status, texts.len()), (status, expected.len()), "{name} {kind}: {texts:?}");
        for (text, expected) in texts.iter().zip(expected) {
            assert!(text.contains(expected), "{name} {kind}: {text}");
        }
    }

    #[test]
    fn questions_are_answered() {
        let mut world = World::new(Settings::default()).unwrap();
        check(&mut world, "c2.example", A, 0, &["198.1"]);
        check(&mut world, "c2.example", AAAA, 0, &["2001:2::"]);
        check(&mut world, "c2.example", ANY, 0, &["198.1", "2001:2::"]);
        check(&mut world, "c2.example", MX, 0, &["mail"]);
        check(&mut world, "c2.example", NS, 0, &["ns1", "ns2"]);
        check(&mut world, "c2.example", TXT, 0, &["Txt"]);
        check(&mut world, "c2.example", SOA, 0, &["hostmaster"]);
        check(&mut world, "_mqtt._tcp.c2.example", SRV, 0, &["1883"]);
        check(&mut world, "c2.example", 65, 0, &[]);
        let Found::Addresses(v4, v6) = world.names.find(b"c2.example") else { panic!() };
        let [a, b, c, d] = v4.octets();
        check(&mut world, &format!("{d}.{c}.{b}.{a}.in-addr.arpa"), PTR, 0, &["c2.example"]);
        let nibbles: Vec<String> =
            v6.octets().iter().rev().flat_map(|o| [format!("{:x}", o & 15), format!("{:x}", o >> 4)]).collect();
        check(&mut world, &format!("{}.ip6.arpa", nibbles.join(".")), PTR, 0, &["c2.example"]);
        check(&mut world, "1.2.0.192.in-addr.arpa", PTR, 0, &["host-192-0-2-1"]);
        check(&mut world, "xkqjzv1wpt.com", A, 3, &[]);
        let named = world.record.events.iter().filter(|event| matches!(event.act, NetworkAct::Name { .. })).count();
        assert_eq!(named, 13);
    }

    #[test]
    fn generated_names_are_noticed() {
        let settings = Settings { names: NamePolicy::GeneratedLater { refused: 4 }, ..Settings::default() };
        let mut world = World::new(settings).unwrap();
        for number in 0..20 {
            let name = format!("xkqjzv{number}wptz.com");
            answer(&mut world, &question(&name, A, false), "192.168.1.1:53".parse().unwrap()).unwrap();
        }
        let told: Vec<_> = world
            .record
            .events
            .iter()
            .filter_map(|event| match &event.act {
                NetworkAct::GeneratedNames { names, examples } => Some((*names, examples.len())),
                _ => None,
            })
            .collect();
        assert_eq!(told, [(4, 4)]);
    }

    #[test]
    fn what_is_no_question_has_no_answer() {
        let mut world = World::new(Settings::default()).unwrap();
        let server = "8.8.8.8:53".parse().unwrap();
        let whole = question("c2.example", A, false);
        for cut in 0..whole.len() {
            assert_eq!(answer(&mut world, &whole[..cut], server), None, "cut at {cut}");
        }
        let mut response = whole.clone();
        response[2] |= 0x80;
        assert_eq!(answer(&mut world, &response, server), None);
        let mut update = whole;
        update[2] = 0x28;
        assert_eq!(answer(&mut world, &update, server).unwrap()[3] & 15, 4);
    }
}
