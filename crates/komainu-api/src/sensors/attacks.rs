//! What the lines of a batch say of attacks, as rows of the lake.
//!
//! Each line `honeypot` is an attack: a row of [`LakeTable::Attacks`]. What was shown in it are rows of
//! [`LakeTable::Observables`]. All of it is a stranger's word, at best the sensor's: only the sensor's name is the hub's own.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use komainu_model::{SampleDigest, Timestamp};
use komainu_ports::{LakeRows, LakeRowsBuilder, LakeTable, LakeValue};
use memchr::memmem::Finder;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::lines::Log;

/// So many things of one kind are taken of one attack: as many as a sensor's summary has.
const OBSERVABLES_OF_KIND_MAX: usize = 256;

/// The longest word for a protocol, a label or a sort of appliance, in bytes. By these the lake counts: what is no such word
/// is counted as [`OTHER`].
const WORD_BYTES_MAX: usize = 32;

/// What stands for a word that is none.
const OTHER: &str = "other";

/// The longest model, in bytes; what is longer is cut. Attacks are counted by models, too.
const MODEL_BYTES_MAX: usize = 128;

/// A clock that is ahead of the server's by more than this is wrong.
const AHEAD_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Before this, 2015-01-01, no sensor was: its clock is wrong.
const EARLIEST: Timestamp = Timestamp::from_unix_seconds(1_420_070_400);

/// What a batch says of attacks.
#[derive(Debug)]
pub(super) struct Told {
    /// The attacks, and what was shown in them.
    pub(super) rows: [LakeRows; 2],
    /// Lines that are the summary of an attack and cannot be read.
    pub(super) lines_left_out: u64,
    /// Things that were shown and cannot be read, or were too many.
    pub(super) observables_left_out: u64,
}

/// What a batch of the sensor `sensor` says of attacks, that came at `received_at`.
pub(super) fn told(batch: &[u8], sensor: &str, received_at: Timestamp) -> Told {
    // Most lines are told apart by this, which is cheap. An attacker's text has its quotes escaped.
    let mark = Finder::new("\"target\"");
    let mut teller = Teller {
        attacks: LakeRowsBuilder::new(LakeTable::Attacks),
        observables: LakeRowsBuilder::new(LakeTable::Observables),
        sensor: LakeValue::text(sensor),
        received_at,
        seen: HashSet::new(),
        observables_left_out: 0,
    };
    let mut lines_left_out = 0;
    for line in batch.split(|byte| *byte == b'\n').filter(|line| mark.find(line).is_some()) {
        match serde_json::from_slice::<Line<'_>>(line) {
            Ok(Line { log: Log::Honeypot, confidential, line: event }) if event.event_type == "honeypot" => {
                if teller.attack(&event, confidential).is_none() {
                    lines_left_out += 1;
                }
            }
            Ok(_) => {}
            Err(_) => lines_left_out += u64::from(is_attack(line)),
        }
    }
    let Teller { attacks, observables, observables_left_out, .. } = teller;
    Told { rows: [attacks.finish(), observables.finish()], lines_left_out, observables_left_out }
}

/// Whether a line that cannot be read as one is the summary of an attack.
fn is_attack(line: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Line<'a> {
        log: Log,
        #[serde(borrow)]
        line: Event<'a>,
    }
    #[derive(Deserialize)]
    struct Event<'a> {
        #[serde(borrow)]
        event_type: Cow<'a, str>,
        #[serde(rename = "honeypot")]
        _honeypot: Option<IgnoredAny>,
    }
    serde_json::from_slice::<Line<'_>>(line)
        .is_ok_and(|read| read.log == Log::Honeypot && read.line.event_type == "honeypot")
}

#[derive(Deserialize)]
struct Line<'a> {
    log: Log,
    #[serde(default)]
    confidential: bool,
    #[serde(borrow)]
    line: Event<'a>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    event_type: Cow<'a, str>,
    #[serde(borrow, default)]
    src_ip: Cow<'a, str>,
    #[serde(default)]
    dest_port: u16,
    #[serde(borrow, default)]
    proto: Cow<'a, str>,
    #[serde(borrow)]
    app_proto: Option<Cow<'a, str>>,
    #[serde(borrow)]
    honeypot: Option<Summary<'a>>,
}

#[derive(Deserialize)]
struct Summary<'a> {
    #[serde(borrow)]
    session: Session<'a>,
    #[serde(borrow)]
    target: Target<'a>,
    #[serde(borrow, default)]
    auth: Vec<Login<'a>>,
    #[serde(borrow, default)]
    commands: Vec<Command<'a>>,
    #[serde(borrow, default)]
    urls: Vec<Url<'a>>,
    #[serde(borrow, default)]
    artifacts: Vec<Artifact<'a>>,
    #[serde(borrow, default)]
    notes: Vec<Text<'a>>,
    #[serde(borrow, default)]
    fingerprints: Fingerprints<'a>,
    #[serde(borrow)]
    label: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    cves: Vec<Text<'a>>,
    #[serde(borrow, default)]
    attack_techniques: Vec<Text<'a>>,
    #[serde(borrow, default)]
    geo: Geo<'a>,
    #[serde(borrow)]
    scanner: Option<Scanner<'a>>,
}

#[derive(Deserialize)]
struct Session<'a> {
    #[serde(borrow)]
    start: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Target<'a> {
    #[serde(borrow)]
    persona: Option<Cow<'a, str>>,
    #[serde(borrow)]
    device: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "type", default)]
    device_type: Cow<'a, str>,
    #[serde(borrow)]
    maker: Option<Cow<'a, str>>,
    #[serde(borrow)]
    model: Option<Cow<'a, str>>,
    #[serde(borrow)]
    release_state: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Login<'a> {
    #[serde(borrow)]
    user: Cow<'a, str>,
    #[serde(borrow)]
    password: Option<Cow<'a, str>>,
    #[serde(borrow)]
    password_hmac_sha256: Option<Cow<'a, str>>,
    #[serde(borrow)]
    mechanism: Option<Cow<'a, str>>,
    #[serde(borrow)]
    key: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Command<'a> {
    #[serde(borrow)]
    line: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Url<'a> {
    #[serde(borrow)]
    url: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Artifact<'a> {
    #[serde(borrow)]
    sha256: Cow<'a, str>,
}

/// A text in a list.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize, Default)]
struct Geo<'a> {
    #[serde(borrow)]
    country: Option<Cow<'a, str>>,
    asn: Option<u32>,
}

#[derive(Deserialize)]
struct Scanner<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

/// Names and values.
#[derive(Default)]
struct Fingerprints<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fingerprints<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Fingerprints<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some((Text(name), Text(value))) = map.next_entry()? {
                    pairs.push((name, value));
                }
                Ok(Fingerprints(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

/// Makes rows of lines.
struct Teller {
    attacks: LakeRowsBuilder,
    observables: LakeRowsBuilder,
    sensor: LakeValue,
    received_at: Timestamp,
    /// What was shown in the attack that is told.
    seen: HashSet<(&'static str, Arc<str>)>,
    observables_left_out: u64,
}

/// What rows of both tables say of an attack.
struct Attack {
    time: LakeValue,
    source: LakeValue,
    country: LakeValue,
    appliance: LakeValue,
    model: LakeValue,
    protocol: LakeValue,
    release: LakeValue,
}

impl Teller {
    /// Makes the rows of an attack; none when it makes no sense.
    fn attack(&mut self, event: &Event<'_>, confidential: bool) -> Option<()> {
        let summary = event.honeypot.as_ref()?;
        let source: IpAddr = event.src_ip.parse().ok()?;
        let transport = event.proto.to_ascii_lowercase();
        let transport = word(&transport).unwrap_or(OTHER);
        let protocol = event.app_proto.as_deref().filter(|name| !name.is_empty());
        let target = &summary.target;
        let attack = Attack {
            time: LakeValue::Time(self.time(&summary.session.start)),
            source: LakeValue::text(&source.to_canonical().to_string()),
            country: LakeValue::text(
                summary.geo.country.as_deref().filter(|code| is_country(code)).unwrap_or_default(),
            ),
            appliance: LakeValue::text(match &*target.device_type {
                "" => "",
                sort => word(sort).unwrap_or(OTHER),
            }),
            model: LakeValue::text(&model(target)),
            protocol: LakeValue::text(protocol.map_or(transport, |name| word(name).unwrap_or(OTHER))),
            release: LakeValue::text(release(target.release_state.as_deref(), confidential)),
        };
        self.attacks.push(&[
            attack.time.clone(),
            attack.source.clone(),
            attack.country.clone(),
            LakeValue::Number(summary.geo.asn.unwrap_or_default()),
            self.sensor.clone(),
            attack.appliance.clone(),
            attack.model.clone(),
            attack.protocol.clone(),
            LakeValue::text(transport),
            LakeValue::Number(event.dest_port.into()),
            LakeValue::text(summary.label.as_deref().map_or("unknown", |label| word(label).unwrap_or(OTHER))),
            attack.release.clone(),
        ]);
        self.observables(&attack, summary);
        Some(())
    }

    /// When an attack began. Where the sensor's clock is wrong beyond doubt, or the time is none, that is when it was told.
    fn time(&self, start: &str) -> Timestamp {
        let told = start.parse::<jiff::Timestamp>().map(|at| Timestamp::from_unix_millis(at.as_millisecond()));
        told.ok().filter(|at| (EARLIEST..=self.received_at.plus(AHEAD_MAX)).contains(at)).unwrap_or(self.received_at)
    }

    fn observables(&mut self, attack: &Attack, summary: &Summary<'_>) {
        self.seen.clear();
        let credentials = summary.auth.iter().map(|login| Some(Cow::Owned(login.shown())));
        self.of_kind(attack, "credential", credentials);
        self.of_kind(attack, "command", summary.commands.iter().map(|command| as_it_is(&command.line)));
        self.of_kind(attack, "url", summary.urls.iter().map(|url| as_it_is(&url.url)));
        let digest = |artifact: &Artifact<'_>| SampleDigest::parse(&artifact.sha256).ok();
        let files = summary.artifacts.iter().map(|artifact| Some(Cow::Owned(digest(artifact)?.to_string())));
        self.of_kind(attack, "file", files);
        self.of_kind(attack, "cve", summary.cves.iter().map(|Text(id)| as_it_is(id)));
        self.of_kind(attack, "technique", summary.attack_techniques.iter().map(|Text(id)| as_it_is(id)));
        let (agents, others): (Vec<_>, Vec<_>) =
            summary.fingerprints.0.iter().partition(|(name, _)| name == "http_user_agent");
        self.of_kind(attack, "user_agent", agents.into_iter().map(|(_, value)| as_it_is(value)));
        let fingerprints = others.into_iter().map(|(name, value)| Some(Cow::Owned(format!("{name}:{value}"))));
        self.of_kind(attack, "fingerprint", fingerprints);
        self.of_kind(attack, "scanner", summary.scanner.iter().map(|scanner| as_it_is(&scanner.name)));
        self.of_kind(attack, "note", summary.notes.iter().map(|Text(note)| as_it_is(note)));
    }

    /// Makes a row of each thing that was shown, however often it was. What is none cannot be read.
    fn of_kind<'a>(&mut self, attack: &Attack, kind: &'static str, shown: impl Iterator<Item = Option<Cow<'a, str>>>) {
        let kind_value = LakeValue::text(kind);
        let mut taken = 0;
        for value in shown {
            let Some(value) = value.filter(|_| taken < OBSERVABLES_OF_KIND_MAX) else {
                self.observables_left_out += 1;
                continue;
            };
            let value: Arc<str> = Arc::from(&*value);
            if !self.seen.insert((kind, value.clone())) {
                continue;
            }
            taken += 1;
            self.observables.push(&[
                attack.time.clone(),
                kind_value.clone(),
                LakeValue::Text(value),
                attack.source.clone(),
                attack.country.clone(),
                self.sensor.clone(),
                attack.appliance.clone(),
                attack.model.clone(),
                attack.protocol.clone(),
                attack.release.clone(),
            ]);
        }
    }
}

fn as_it_is<'a>(text: &'a Cow<'a, str>) -> Option<Cow<'a, str>> {
    Some(Cow::Borrowed(text))
}

impl Login<'_> {
    /// User and password, as far as they are shown. The answer to a challenge is another one each time, so that only its
    /// mechanism is told.
    fn shown(&self) -> String {
        let user = &self.user;
        match (&self.password, &self.password_hmac_sha256, &self.key, &self.mechanism) {
            (Some(password), ..) => format!("{user}:{password}"),
            (None, Some(digest), ..) => format!("{user}:hmac-sha256:{digest}"),
            (None, None, Some(key), _) => format!("{user}:{key}"),
            (None, None, None, Some(mechanism)) => format!("{user}:({mechanism})"),
            (None, None, None, None) => format!("{user}:"),
        }
    }
}

/// The text, if it is a word.
fn word(text: &str) -> Option<&str> {
    let is_of_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    ((1..=WORD_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_of_word)).then_some(text)
}

fn is_country(code: &str) -> bool {
    code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// Maker and model, or else the name under which it stands at the sensor.
fn model(target: &Target<'_>) -> String {
    let name = match (&target.maker, &target.model) {
        (Some(maker), Some(model)) => format!("{maker} {model}"),
        (None, Some(model)) => model.to_string(),
        (_, None) => target.device.as_deref().or(target.persona.as_deref()).unwrap_or_default().to_owned(),
    };
    name[..name.floor_char_boundary(MODEL_BYTES_MAX)].to_owned()
}

/// Whether a device can be bought; nothing of a persona.
fn release(state: Option<&str>, confidential: bool) -> &'static str {
    match (state, confidential) {
        (_, true) | (Some("pre_release"), false) => "pre_release",
        (Some("released"), false) => "released",
        (Some(_) | None, false) => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECEIVED_AT: Timestamp = Timestamp::from_unix_seconds(1_795_600_000);

    /// A line as a sensor writes it. What is said of the session goes behind the target.
    fn line(confidential: bool, target: &str, rest: &str) -> String {
        let head = r#""timestamp":"2026-11-25T01:02:05.000000+0000","flow_id":1,"event_type":"honeypot","src_ip":"192.0.2.7","src_port":4000,"dest_ip":"192.0.2.1","dest_port":23,"proto":"TCP","app_proto":"telnet","community_id":"1:x","host":"liar""#;
        let session = r#""session":{"id":"s1","start":"2026-11-25T01:02:03.004567+0000","end":"2026-11-25T01:02:05.000000+0000","duration_ms":1,"ended":"closed"}"#;
        let confidential = if confidential { r#""confidential":true,"# } else { "" };
        format!(
            "{{\"log\":\"honeypot\",{confidential}\"line\":{{{head},\"honeypot\":{{{session},\"sensor\":{{\"id\":\"liar\"}},\"target\":{target}{rest},\"bytes_toserver\":5,\"bytes_toclient\":9}}}}}}\n"
        )
    }

    const CAMERA: &str = r#"{"kind":"emulated","persona":"camera","type":"ip_camera","model":"Example DB-1"}"#;

    /// Rows as texts, the values divided by `|`.
    fn shown(rows: &LakeRows) -> Vec<String> {
        let columns = rows.table().columns().len();
        (0..rows.len())
            .map(|row| (0..columns).map(|column| rows.value(row, column).to_string()).collect::<Vec<_>>().join("|"))
            .collect()
    }

    fn told_of(batch: &str) -> Told {
        told(batch.as_bytes(), "tokyo", RECEIVED_AT)
    }

    #[test]
    fn a_summary_is_an_attack() {
        let check = |line: &str, expected: &str| {
            let told = told_of(line);
            assert_eq!((shown(&told.rows[0]), told.lines_left_out), (vec![expected.to_owned()], 0), "{line}");
        };
        let verdict = r#","label":"bruteforce","confidence":80,"geo":{"country":"JP","asn":64500,"as_org":"x"}"#;
        let at = "1795568523004";
        let plain = line(false, CAMERA, verdict);
        check(&plain, &format!("{at}|192.0.2.7|JP|64500|tokyo|ip_camera|Example DB-1|telnet|tcp|23|bruteforce|"));
        let unknown = line(false, CAMERA, "");
        check(&unknown, &format!("{at}|192.0.2.7||0|tokyo|ip_camera|Example DB-1|telnet|tcp|23|unknown|"));
        let device =
            r#"{"kind":"real","device":"cam-7","type":"ip_camera","maker":"Example","release_state":"released"}"#;
        check(
            &line(false, device, ""),
            &format!("{at}|192.0.2.7||0|tokyo|ip_camera|cam-7|telnet|tcp|23|unknown|released"),
        );
        check(
            &line(true, &device.replace("cam-7\"", "cam-7\",\"model\":\"DB-2\""), ""),
            &format!("{at}|192.0.2.7||0|tokyo|ip_camera|Example DB-2|telnet|tcp|23|unknown|pre_release"),
        );
        let datagram =
            unknown.replace("\"TCP\",\"app_proto\":\"telnet\"", "\"UDP\"").replace("192.0.2.7", "::ffff:192.0.2.8");
        check(&datagram, &format!("{at}|192.0.2.8||0|tokyo|ip_camera|Example DB-1|udp|udp|23|unknown|"));
        let capture = r#"{"kind":"capture"}"#;
        check(&line(false, capture, ""), &format!("{at}|192.0.2.7||0|tokyo|||telnet|tcp|23|unknown|"));
    }

    #[test]
    fn what_makes_no_sense_costs_itself_and_nothing_else() {
        let good = line(false, CAMERA, "");
        let check = |bad: &str, left_out: u64| {
            let told = told_of(&format!("{bad}{good}"));
            assert_eq!((told.rows[0].len(), told.lines_left_out), (1, left_out), "{bad}");
        };
        check(&good.replace("192.0.2.7", "elsewhere"), 1);
        check(&good.replace("\"dest_port\":23", "\"dest_port\":65536"), 1);
        check(&good.replace("\"session\":{", "\"session\":[],\"x\":{"), 1);
        check(&line(false, "1", ""), 1);
        check(&line(false, CAMERA, r#","cves":[1]"#), 1);
        check(&line(false, CAMERA, r#","fingerprints":{"hassh":["a"]}"#), 1);
        check(&good.replace("\"event_type\":\"honeypot\"", "\"event_type\":\"egress\""), 0);
        check(&good.replace("{\"log\":\"honeypot\"", "{\"log\":\"eve\""), 0);
        check("{\"log\":\"honeypot\",\"line\":{\"event_type\":\"egress\",\"target\":1,\"honeypot\":2}}\n", 0);
        check("\"target\"\n{\"target\":\n", 0);
    }

    #[test]
    fn words_that_are_none_are_counted_together() {
        let check = |change: (&str, &str), column: &str, expected: &str| {
            let told =
                told_of(&line(false, CAMERA, r#","label":"scan","geo":{"country":"JP"}"#).replace(change.0, change.1));
            let column = LakeTable::Attacks.column(column).unwrap();
            assert_eq!(told.rows[0].value(0, column).to_string(), expected, "{change:?}");
        };
        check(("\"telnet\"", "\"<b>\""), "protocol", "other");
        check(("\"telnet\"", "\"\""), "protocol", "tcp");
        check(("\"TCP\"", "\"TCP SYN\""), "transport", "other");
        check(("\"scan\"", "\"no label\""), "label", "other");
        check(("\"scan\"", &format!("\"{}\"", "a".repeat(33))), "label", "other");
        check(("ip_camera", "\\u0000"), "appliance", "other");
        check(("\"JP\"", "\"jp\""), "country", "");
        check(("\"JP\"", "\"Japan\""), "country", "");
        check(("Example DB-1", &"é".repeat(100)), "model", &"é".repeat(64));
    }

    #[test]
    fn a_wrong_clock_is_not_believed() {
        let check = |start: &str, expected: i64| {
            let told = told_of(&line(false, CAMERA, "").replace("2026-11-25T01:02:03.004567+0000", start));
            assert_eq!(told.rows[0].times(), [expected], "{start}");
        };
        let received = RECEIVED_AT.unix_millis();
        check("2026-11-25T01:02:03.999999+0000", 1_795_568_523_999);
        check("2026-11-25T01:02:03Z", 1_795_568_523_000);
        check("2015-01-01T00:00:00.000000+0000", 1_420_070_400_000);
        check("2014-12-31T23:59:59.999999+0000", received);
        check("1970-01-01T00:00:00.000000+0000", received);
        check("2026-11-26T09:46:40.000000+0000", received + 86_400_000);
        check("2026-11-26T09:46:40.001000+0000", received);
        check("9999-12-31T23:59:59.999999+0000", received);
        check("yesterday", received);
        check("", received);
    }

    #[test]
    fn what_was_shown_is_told_once_for_each_attack() {
        let check = |rest: &str, expected: &[&str], left_out: u64| {
            let told = told_of(&line(false, CAMERA, rest));
            let kind_and_value: Vec<String> = (0..told.rows[1].len())
                .map(|row| format!("{} {}", told.rows[1].value(row, 1), told.rows[1].value(row, 2)))
                .collect();
            assert_eq!(
                (kind_and_value, told.observables_left_out),
                (expected.iter().map(ToString::to_string).collect(), left_out)
            );
        };
        check("", &[], 0);
        check(
            r#","auth":[{"timestamp":"t","user":"root","password":"xc3511","accepted":false},{"timestamp":"t","user":"root","password":"xc3511","accepted":true},{"timestamp":"t","user":"a\"b","password_hmac_sha256":"00ff"},{"user":"git","mechanism":"publickey","key":"SHA256:x"},{"user":"op","mechanism":"usm","response":"00"},{"user":"guest"}]"#,
            &[
                "credential root:xc3511",
                "credential a\"b:hmac-sha256:00ff",
                "credential git:SHA256:x",
                "credential op:(usm)",
                "credential guest:",
            ],
            0,
        );
        check(
            r#","commands":[{"timestamp":"t","line":"cat /proc/cpuinfo"}],"urls":[{"url":"http://192.0.2.1/a","program":"wget"}],"notes":["cleared_history"]"#,
            &["command cat /proc/cpuinfo", "url http://192.0.2.1/a", "note cleared_history"],
            0,
        );
        let digest = "0a".repeat(32);
        check(
            &format!(
                r#","artifacts":[{{"timestamp":"t","sha256":"{digest}","bytes":3}},{{"sha256":"{}"}}]"#,
                "x".repeat(64)
            ),
            &[&format!("file {digest}")],
            1,
        );
        check(
            r#","fingerprints":{"hassh":"ab","http_user_agent":"curl/8"},"cves":["CVE-2017-17215"],"attack_techniques":["T1190"],"scanner":{"name":"Censys","benign":true}"#,
            &["cve CVE-2017-17215", "technique T1190", "user_agent curl/8", "fingerprint hassh:ab", "scanner Censys"],
            0,
        );
        let told = told_of(&line(true, CAMERA, r#","notes":["rebooted"],"geo":{"country":"JP"}"#));
        let expected = "1795568523004|note|rebooted|192.0.2.7|JP|tokyo|ip_camera|Example DB-1|telnet|pre_release";
        assert_eq!(shown(&told.rows[1]), [expected]);
    }

    #[test]
    fn an_attack_shows_so_much_of_a_kind() {
        let notes: Vec<String> = (0..300).map(|number| format!("\"{number}\"")).collect();
        let told = told_of(&line(false, CAMERA, &format!(r#","notes":[{}],"cves":["CVE-1"]"#, notes.join(","))));
        assert_eq!((told.rows[1].len(), told.observables_left_out), (257, 44));
        let long = told_of(&line(false, CAMERA, &format!(r#","commands":[{{"line":"{}"}}]"#, "x".repeat(10_000))));
        assert_eq!(long.rows[1].value(0, 2).to_string().len(), komainu_ports::LAKE_TEXT_BYTES_MAX);
    }
}
