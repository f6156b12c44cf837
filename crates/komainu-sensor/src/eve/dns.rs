//! `dns`: a record for each message, in version 3 of Suricata's format.

use std::{borrow::Cow, collections::BTreeMap};

use komainu_decode::dns::{Data, Event, Message, Name, Record};
use serde::{Serialize, Serializer};

use super::{AnyRecord, Text};

pub(super) fn records(event: &Event<'_>) -> Vec<AnyRecord> {
    let Event::Message(message) = event;
    vec![AnyRecord::eve("dns", &Dns::from(message))]
}

#[derive(Serialize)]
struct Dns {
    version: u8,
    r#type: &'static str,
    id: u16,
    flags: String,
    #[serde(skip_serializing_if = "is_false")]
    qr: bool,
    #[serde(skip_serializing_if = "is_false")]
    aa: bool,
    #[serde(skip_serializing_if = "is_false")]
    tc: bool,
    #[serde(skip_serializing_if = "is_false")]
    rd: bool,
    #[serde(skip_serializing_if = "is_false")]
    ra: bool,
    #[serde(skip_serializing_if = "is_false")]
    z: bool,
    opcode: u8,
    rcode: Cow<'static, str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    queries: Vec<Query>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    answers: Vec<Answer>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    grouped: BTreeMap<&'static str, Vec<Group>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    authorities: Vec<Answer>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    additionals: Vec<Answer>,
}

#[derive(Serialize)]
struct Query {
    rrname: Owned,
    rrtype: Cow<'static, str>,
}

#[derive(Serialize)]
struct Answer {
    rrname: Owned,
    rrtype: Cow<'static, str>,
    ttl: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    rdata: Option<Owned>,
    #[serde(skip_serializing_if = "Option::is_none")]
    soa: Option<Soa>,
    #[serde(skip_serializing_if = "Option::is_none")]
    srv: Option<Srv>,
}

/// What the records of one type say.
#[derive(Serialize)]
#[serde(untagged)]
enum Group {
    Text(Owned),
    Soa(Soa),
    Srv(Srv),
}

#[derive(Serialize)]
struct Soa {
    mname: Owned,
    rname: Owned,
    serial: u32,
    refresh: u32,
    retry: u32,
    expire: u32,
    minimum: u32,
}

#[derive(Serialize)]
struct Srv {
    priority: u16,
    weight: u16,
    port: u16,
    name: Owned,
}

/// What was put together from bytes that somebody sent.
struct Owned(Vec<u8>);

impl Serialize for Owned {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Text(&self.0).serialize(serializer)
    }
}

impl From<Name<'_>> for Owned {
    fn from(name: Name<'_>) -> Self {
        Self(name.dotted())
    }
}

/// Serde gives the field by reference.
fn is_false(flag: &bool) -> bool {
    !flag
}

impl From<&Message<'_>> for Dns {
    fn from(message: &Message<'_>) -> Self {
        let is_set = |bit: u16| message.flags & bit != 0;
        let mut grouped: BTreeMap<&'static str, Vec<Group>> = BTreeMap::new();
        for record in &message.answers {
            if let Some((kind, group)) = group(record) {
                grouped.entry(kind).or_default().push(group);
            }
        }
        let authority = |record| Answer { srv: None, ..Answer::from(record) };
        let additional = |record| Answer { srv: None, soa: None, ..Answer::from(record) };
        Self {
            version: 3,
            r#type: if message.is_response() { "response" } else { "request" },
            id: message.id,
            flags: format!("{:x}", message.flags),
            qr: is_set(0x8000),
            aa: is_set(0x0400),
            tc: is_set(0x0200),
            rd: is_set(0x0100),
            ra: is_set(0x0080),
            z: is_set(0x0040),
            opcode: message.opcode(),
            rcode: rcode(message.rcode()),
            queries: message
                .questions
                .iter()
                .map(|question| Query { rrname: question.name.into(), rrtype: rrtype(question.kind) })
                .collect(),
            answers: message.answers.iter().map(Answer::from).collect(),
            grouped,
            authorities: message.authorities.iter().map(authority).collect(),
            additionals: message.additionals.iter().map(additional).collect(),
        }
    }
}

impl From<&Record<'_>> for Answer {
    fn from(record: &Record<'_>) -> Self {
        let (mut rdata, mut soa, mut srv) = (None, None, None);
        match group(record) {
            Some((_, Group::Text(text))) => rdata = Some(text),
            Some((_, Group::Soa(content))) => soa = Some(content),
            Some((_, Group::Srv(content))) => srv = Some(content),
            None => {}
        }
        Self { rrname: record.name.into(), rrtype: rrtype(record.kind), ttl: record.ttl_s, rdata, soa, srv }
    }
}

/// What a record says, and the key under which its like stand.
fn group(record: &Record<'_>) -> Option<(&'static str, Group)> {
    let text = |bytes: Vec<u8>| Group::Text(Owned(bytes));
    Some(match record.data {
        Data::A(address) => ("A", text(address.to_string().into_bytes())),
        Data::Aaaa(address) => {
            // All digits, as Suricata has it.
            let words: Vec<String> = address.segments().iter().map(|word| format!("{word:04x}")).collect();
            ("AAAA", text(words.join(":").into_bytes()))
        }
        Data::Cname(name) => ("CNAME", Group::Text(name.into())),
        Data::Ns(name) => ("NS", Group::Text(name.into())),
        Data::Ptr(name) => ("PTR", Group::Text(name.into())),
        Data::Mx { exchange, .. } => ("MX", Group::Text(exchange.into())),
        Data::Txt(_) => ("TXT", text(record.data.strings().collect::<Vec<_>>().concat())),
        Data::Soa(soa) => {
            let soa = Soa {
                mname: soa.mname.into(),
                rname: soa.rname.into(),
                serial: soa.serial,
                refresh: soa.refresh_s,
                retry: soa.retry_s,
                expire: soa.expire_s,
                minimum: soa.minimum_s,
            };
            ("SOA", Group::Soa(soa))
        }
        Data::Srv { priority, weight, port, target } => {
            ("SRV", Group::Srv(Srv { priority, weight, port, name: target.into() }))
        }
        Data::Other(_) => return None,
    })
}

/// The name of a type of records (IANA, DNS parameters); the number of others.
fn rrtype(kind: u16) -> Cow<'static, str> {
    Cow::Borrowed(match kind {
        1 => "A",
        2 => "NS",
        5 => "CNAME",
        6 => "SOA",
        10 => "NULL",
        12 => "PTR",
        13 => "HINFO",
        15 => "MX",
        16 => "TXT",
        28 => "AAAA",
        29 => "LOC",
        33 => "SRV",
        35 => "NAPTR",
        39 => "DNAME",
        41 => "OPT",
        43 => "DS",
        44 => "SSHFP",
        46 => "RRSIG",
        47 => "NSEC",
        48 => "DNSKEY",
        50 => "NSEC3",
        51 => "NSEC3PARAM",
        52 => "TLSA",
        64 => "SVCB",
        65 => "HTTPS",
        99 => "SPF",
        250 => "TSIG",
        251 => "IXFR",
        252 => "AXFR",
        255 => "ANY",
        256 => "URI",
        257 => "CAA",
        other => return Cow::Owned(other.to_string()),
    })
}

/// The name of a response code; the number of others.
fn rcode(code: u8) -> Cow<'static, str> {
    Cow::Borrowed(match code {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        6 => "YXDOMAIN",
        7 => "YXRRSET",
        8 => "NXRRSET",
        9 => "NOTAUTH",
        10 => "NOTZONE",
        other => return Cow::Owned(other.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use komainu_decode::{Conversation, Fact, Protocol, Side, Transport};

    use super::*;

    fn check(bytes: &[u8], expected: &str) {
        let mut conversation = Conversation::of(Protocol::Dns, Transport::Udp, 53);
        let mut said = Vec::new();
        conversation.data(Side::Client, bytes, &mut |_, fact: Fact<'_>| {
            if let Fact::Dns(event) = fact {
                said.extend(records(&event).iter().map(|record| crate::eve::sorted(&record.body)));
            }
        });
        assert_eq!(said, [joined(expected)]);
    }

    #[test]
    fn a_question() {
        check(
            b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x03fox\0\0\xFF\0\x01",
            r#"{"flags":"100","id":7,"opcode":0,"queries":[{"rrname":"fox","rrtype":"ANY"}],"rcode":"NOERROR",
            "rd":true,"type":"request","version":3}"#,
        );
    }

    #[test]
    fn an_answer() {
        let question = b"\0\x07\x85\x80\0\x01\0\x02\0\x01\0\x00\x03fox\0\0\x1C\0\x01";
        let address = b"\xC0\x0C\0\x1C\0\x01\0\0\0\x3C\0\x10\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07";
        let service = b"\xC0\x0C\0\x21\0\x01\0\0\0\x3C\0\x08\0\x01\0\x02\0\x50\xC0\x0C";
        let soa =
            b"\xC0\x0C\0\x06\0\x01\0\0\0\x3C\0\x18\xC0\x0C\xC0\x0C\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x05";
        check(
            &[&question[..], address, service, soa].concat(),
            r#"{"aa":true,"answers":[{"rdata":"2001:0db8:0000:0000:0000:0000:0000:0007","rrname":"fox",
            "rrtype":"AAAA","ttl":60},{"rrname":"fox","rrtype":"SRV","srv":{"name":"fox","port":80,
            "priority":1,"weight":2},"ttl":60}],"authorities":[{"rrname":"fox","rrtype":"SOA",
            "soa":{"expire":4,"minimum":5,"mname":"fox","refresh":2,"retry":3,"rname":"fox","serial":1},
            "ttl":60}],"flags":"8580","grouped":{"AAAA":["2001:0db8:0000:0000:0000:0000:0000:0007"],
            "SRV":[{"name":"fox","port":80,"priority":1,"weight":2}]},"id":7,"opcode":0,"qr":true,
            "queries":[{"rrname":"fox","rrtype":"AAAA"}],"ra":true,"rcode":"NOERROR","rd":true,
            "type":"response","version":3}"#,
        );
    }

    /// Lines of a text are one line.
    fn joined(lines: &str) -> String {
        lines.lines().map(str::trim_start).collect()
    }
}
