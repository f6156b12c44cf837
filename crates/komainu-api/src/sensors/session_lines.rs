//! What single lines say of one session: its summary, and what was recorded of it.
//!
//! Nothing here is refused: what makes no sense is left out or stays a text. Lines are read only when they belong to the
//! session that somebody asked for.

use std::net::IpAddr;

use komainu_model::{Confidentiality, SampleDigest, Timestamp};
use komainu_ports::{RecordedSession, SensorKey, SessionEvent, SessionFile, SessionSummary, SessionTarget};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::lines::Log;

/// Texts of one event. An alert with all its metadata has some twenty.
const FIELDS_MAX: usize = 64;

/// How deep keys stand in each other that are told one by one; what is deeper stays JSON.
const DEPTH_MAX: usize = 4;

/// Bytes of one text; what is longer is cut. A line of what a terminal showed has 4 KiB, a batch 1 MiB.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// Things of one kind in a summary: as many as our sensors write.
const ENTRIES_MAX: usize = 256;

/// What stands around each line.
#[derive(Deserialize)]
struct Envelope<'a> {
    log: Log,
    #[serde(default)]
    confidential: bool,
    #[serde(borrow)]
    line: &'a RawValue,
}

/// The summary of a session with what is needed to find its other lines.
pub(super) struct Told {
    pub(super) summary: SessionSummary,
    /// The number that all lines of the connection have; none when its sensor gives none.
    pub(super) flow: Option<u64>,
    /// What the summary itself lists, for sessions of which there are no other lines.
    pub(super) listed: Vec<SessionEvent>,
}

/// The line as a summary, if it is one of a session with an id that is one.
pub(super) fn summary(line: &[u8], sensor: &SensorKey) -> Option<Told> {
    let envelope: Envelope<'_> = serde_json::from_slice(line).ok()?;
    if envelope.log != Log::Honeypot {
        return None;
    }
    let event: Value = serde_json::from_str(envelope.line.get()).ok()?;
    if text(&event, "/event_type") != "honeypot" {
        return None;
    }
    let told = event.get("honeypot")?;
    let session = RecordedSession::parse(&text(told, "/session/id"))?;
    let confidential = envelope.confidential || text(told, "/target/release_state") == "pre_release";
    let source = text(&event, "/src_ip");
    let began_at = time(&text(told, "/session/start")).or_else(|| time(&text(&event, "/timestamp")))?;
    let summary = SessionSummary {
        session,
        sensor: sensor.clone(),
        confidentiality: if confidential { Confidentiality::Confidential } else { Confidentiality::Open },
        source: source.parse::<IpAddr>().map_or(source, |address| address.to_canonical().to_string()),
        source_port: port(&event, "/src_port"),
        port: port(&event, "/dest_port"),
        transport: text(&event, "/proto").to_lowercase(),
        protocol: text(&event, "/app_proto"),
        began_at,
        ended_at: time(&text(told, "/session/end")).unwrap_or(began_at).max(began_at),
        ended: text(told, "/session/ended"),
        lines_left_out: number(told, "/session/lines_left_out"),
        parent: RecordedSession::parse(&text(told, "/session/parent")),
        target: target(told),
        label: text(told, "/label"),
        confidence: u8::try_from(number(told, "/confidence")).unwrap_or(100).min(100),
        country: text(told, "/geo/country"),
        network: text(told, "/geo/as_org"),
        cves: texts(told, "/cves"),
        techniques: texts(told, "/attack_techniques"),
        fingerprints: told.pointer("/fingerprints").and_then(Value::as_object).map_or_else(Vec::new, |all| {
            all.iter().take(ENTRIES_MAX).map(|(name, value)| (cut(name.clone()), plain(value))).collect()
        }),
        files: list(told, "/artifacts").filter_map(file).collect(),
        bytes_to_server: number(told, "/bytes_toserver"),
        bytes_to_client: number(told, "/bytes_toclient"),
    };
    let flow = event.get("flow_id").and_then(Value::as_u64);
    Some(Told { listed: listed(told, began_at), summary, flow })
}

/// What the summary lists, as events.
fn listed(told: &Value, began_at: Timestamp) -> Vec<SessionEvent> {
    let kinds = [("/auth", "login"), ("/commands", "command"), ("/urls", "url"), ("/artifacts", "artifact")];
    let all = kinds.into_iter().flat_map(|(place, kind)| {
        list(told, place).map(move |entry| SessionEvent {
            at: time(&text(entry, "/timestamp")).unwrap_or(began_at),
            kind: kind.to_owned(),
            fields: fields(entry),
        })
    });
    let mut all: Vec<SessionEvent> = all.collect();
    all.sort_by_key(|event| event.at);
    all
}

fn target(told: &Value) -> SessionTarget {
    let (device, persona) = (text(told, "/target/device"), text(told, "/target/persona"));
    let (maker, model) = (text(told, "/target/maker"), text(told, "/target/model"));
    SessionTarget {
        kind: text(told, "/target/kind"),
        name: if device.is_empty() { persona } else { device },
        appliance: text(told, "/target/type"),
        model: format!("{maker} {model}").trim().to_owned(),
        firmware: text(told, "/target/firmware"),
    }
}

fn file(entry: &Value) -> Option<SessionFile> {
    Some(SessionFile {
        sha256: SampleDigest::parse(&text(entry, "/sha256")).ok()?,
        bytes: number(entry, "/bytes"),
        name: text(entry, "/name"),
        via: text(entry, "/via"),
        kind: text(entry, "/kind"),
    })
}

/// The line as an event of the connection with this number, or of this session.
pub(super) fn event(line: &[u8], flow: Option<u64>, session: &str) -> Option<SessionEvent> {
    let envelope: Envelope<'_> = serde_json::from_slice(line).ok()?;
    let event: Value = serde_json::from_str(envelope.line.get()).ok()?;
    let kind = text(&event, "/event_type");
    let body = event.get(&kind)?;
    let is_of_flow = flow.is_some() && event.get("flow_id").and_then(Value::as_u64) == flow;
    if !is_of_flow && text(body, "/session_id") != session && text(body, "/session/id") != session {
        return None;
    }
    Some(SessionEvent { at: time(&text(&event, "/timestamp"))?, fields: fields(body), kind: cut(kind) })
}

/// When a line was written, by its sensor's clock. Only its beginning is looked at: there our sensors write it.
pub(super) fn time_of(line: &[u8]) -> Option<Timestamp> {
    /// Bytes of a line in which its time must stand.
    const HEAD_BYTES: usize = 160;
    const KEY: &[u8] = b"\"timestamp\":\"";
    let head = &line[..line.len().min(HEAD_BYTES)];
    let from = memchr::memmem::find(head, KEY)? + KEY.len();
    let rest = &head[from..];
    let to = memchr::memchr(b'"', rest)?;
    time(std::str::from_utf8(&rest[..to]).ok()?)
}

fn time(text: &str) -> Option<Timestamp> {
    text.parse::<jiff::Timestamp>().ok().map(|at| Timestamp::from_unix_millis(at.as_millisecond()))
}

/// The texts of a value that is an object; another value is one text without a key.
fn fields(body: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    match body {
        Value::Object(map) => flatten(map, "", 1, &mut found),
        other => found.push((String::new(), plain(other))),
    }
    found
}

fn flatten(map: &Map<String, Value>, before: &str, depth: usize, found: &mut Vec<(String, String)>) {
    for (key, value) in map {
        // The time is the event's.
        if before.is_empty() && key == "timestamp" {
            continue;
        }
        let path = if before.is_empty() { key.clone() } else { format!("{before}.{key}") };
        match value {
            Value::Object(inner) if depth < DEPTH_MAX => flatten(inner, &path, depth + 1, found),
            _ if found.len() >= FIELDS_MAX => return,
            other => found.push((cut(path), plain(other))),
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => cut(text.clone()),
        Value::Null => String::new(),
        Value::Array(values) if values.iter().all(|value| value.is_string() || value.is_number()) => {
            cut(values.iter().map(plain).collect::<Vec<_>>().join(", "))
        }
        other => cut(other.to_string()),
    }
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    text
}

fn text(value: &Value, place: &str) -> String {
    value.pointer(place).and_then(Value::as_str).map_or_else(String::new, |text| cut(text.to_owned()))
}

fn number(value: &Value, place: &str) -> u64 {
    value.pointer(place).and_then(Value::as_u64).unwrap_or(0)
}

fn port(value: &Value, place: &str) -> u16 {
    u16::try_from(number(value, place)).unwrap_or(0)
}

fn list<'v>(value: &'v Value, place: &str) -> impl Iterator<Item = &'v Value> {
    value.pointer(place).and_then(Value::as_array).into_iter().flatten().take(ENTRIES_MAX)
}

fn texts(value: &Value, place: &str) -> Vec<String> {
    list(value, place).filter_map(Value::as_str).map(|text| cut(text.to_owned())).collect()
}

/// Lines of a batch, as those of a session.
#[cfg(fuzzing)]
pub(super) fn fuzz(batch: &[u8]) {
    use komainu_model::{AccountId, Region, Scope, ThingName};

    let scope = Scope {
        account: AccountId::parse("000000000000").expect("it is an account"),
        region: Region::parse("local").expect("it is a region"),
    };
    let sensor = SensorKey { scope, name: ThingName::parse("tokyo").expect("it is a name") };
    for line in batch.split(|byte| *byte == b'\n') {
        let _ = time_of(line);
        let told = summary(line, &sensor);
        if let Some(event) = event(line, told.and_then(|told| told.flow).or(Some(7)), "") {
            assert!(event.fields.len() <= FIELDS_MAX);
            assert!(event.fields.iter().all(|(key, text)| key.len().max(text.len()) <= TEXT_BYTES_MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_texts_under_the_keys_of_the_catalogue() {
        let check = |body: &str, expected: &[(&str, &str)]| {
            let line = format!(
                r#"{{"log":"eve","line":{{"timestamp":"2026-11-25T01:02:03.004567+0000","flow_id":7,"event_type":"x","x":{body}}}}}"#
            );
            let event = event(line.as_bytes(), Some(7), "").unwrap();
            let mut found: Vec<_> = event.fields.iter().map(|(key, text)| (key.as_str(), text.as_str())).collect();
            found.sort_unstable();
            assert_eq!((found.as_slice(), event.at.unix_millis()), (expected, 1_795_568_523_004), "{body}");
            assert_eq!(time_of(line.as_bytes()), Some(event.at));
        };
        check(r#"{"user":"root","accepted":true,"timestamp":"t"}"#, &[("accepted", "true"), ("user", "root")]);
        check(
            r#"{"input":{"role":"command","line":"\u001b[31m"}}"#,
            &[("input.line", "\u{1b}[31m"), ("input.role", "command")],
        );
        check(r#"{"reply":["a",1],"deep":[{"a":1}]}"#, &[("deep", r#"[{"a":1}]"#), ("reply", "a, 1")]);
        check(r#"{"a":{"b":{"c":{"d":{"e":1}}}}}"#, &[("a.b.c.d", r#"{"e":1}"#)]);
        check("\"text\"", &[("", "text")]);
        check("{}", &[]);
    }

    #[test]
    fn lines_of_others_are_not_this_sessions() {
        let check = |line: &str, expected: bool| {
            assert_eq!(event(line.as_bytes(), Some(7), "s").is_some(), expected, "{line}");
        };
        let line = |flow: u64, body: &str| {
            format!(
                r#"{{"log":"honeypot","line":{{"timestamp":"2026-11-25T01:02:03Z","flow_id":{flow},"event_type":"fetch","fetch":{body}}}}}"#
            )
        };
        check(&line(7, "{}"), true);
        check(&line(8, "{}"), false);
        check(&line(8, r#"{"session_id":"s"}"#), true);
        check(&line(8, r#"{"session_id":"t"}"#), false);
        check("{\"log\":\"eve\",\"line\":[]}", false);
        check("{", false);
        assert_eq!(time_of(b"{\"timestamp\":\"yesterday\"}"), None);
        assert_eq!(time_of(b""), None);
    }

    #[test]
    fn what_is_long_is_cut() {
        let many: Vec<String> = (0..300).map(|number| format!("\"k{number}\":1")).collect();
        let line = format!(
            r#"{{"log":"eve","line":{{"timestamp":"2026-11-25T01:02:03Z","flow_id":7,"event_type":"x","x":{{"a":"{}",{}}}}}}}"#,
            "é".repeat(40_000),
            many.join(",")
        );
        let event = event(line.as_bytes(), Some(7), "").unwrap();
        assert_eq!((event.fields.len(), event.fields[0].1.len()), (FIELDS_MAX, TEXT_BYTES_MAX));
    }
}
