//! Lists of indicators as operators and feeds have them: a value a line, comma-separated values with a heading, JSON.

use std::collections::BTreeMap;

use komainu_model::{
    Confidence, DetonationId, FeedName, IndicatorCandidate, IndicatorSource, IndicatorValue, Provenance, SampleDigest,
    SensorName, SessionId, Threat, Timestamp,
};

use crate::scanners::UnusableLine;

/// The longest list, in bytes; a million lines are about 20 MB.
pub const LIST_BYTES_MAX: usize = 64 << 20;
/// So many entries of a list are read; what is behind them is refused with one reason.
pub const LIST_ENTRIES_MAX: usize = 1_000_000;
/// The longest line of a list that is no JSON array, in bytes.
const LINE_BYTES_MAX: usize = 16 * 1024;
/// So many columns or fields an entry has at most.
const FIELDS_MAX: usize = 64;
/// So many unusable entries are told one by one.
const UNUSABLE_MAX: usize = 1_000;

/// How a list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListFormat {
    /// A value a line; what follows `#` is a remark.
    Plain,
    /// Comma-separated values (RFC 4180) under a heading.
    Csv,
    /// An array, or an object or a text a line.
    Json,
}

/// What was read of a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadList {
    /// What it names, in its order.
    pub candidates: Vec<IndicatorCandidate>,
    /// What could not be used, the first of it.
    pub unusable: Vec<UnusableLine>,
    /// How many entries could not be used.
    pub unusable_count: usize,
}

/// An entry's fields by their names in lower case.
type Fields = BTreeMap<String, String>;

impl ListFormat {
    /// The format that a list looks like.
    pub fn of(text: &str) -> Self {
        let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
        match first {
            Some(line) if line.starts_with(['[', '{', '"']) && !line.ends_with(',') && !is_address(line) => Self::Json,
            Some(line) if line.contains(',') => Self::Csv,
            Some(_) | None => Self::Plain,
        }
    }
}

/// `[2001:db8::1]:23` begins as an array does.
fn is_address(line: &str) -> bool {
    IndicatorValue::parse(line.split('#').next().unwrap_or_default().trim()).is_ok()
}

/// Reads a list. What its entries do not say comes from `source`; whoever keeps it, `now` is when it was read.
///
/// Fields and columns are `value` (or `indicator`, `ioc`, `ip`, `address`, `domain`, `host`), `port`, `protocol`, `threat`,
/// `confidence`, `sample` (or `sha256`), `detonation`, `session`, `sensor`, `note` (or `comment`); others are passed over.
pub fn read_list(text: &str, format: ListFormat, feed: Option<&FeedName>, now: Timestamp) -> ReadList {
    let mut reading = Reading { read: ReadList::default(), feed, now };
    if text.len() > LIST_BYTES_MAX {
        reading.refuse(1, format!("the list has {} bytes, at most {LIST_BYTES_MAX} are read", text.len()));
        return reading.read;
    }
    match format {
        ListFormat::Plain => reading.plain(text),
        ListFormat::Csv => reading.csv(text),
        ListFormat::Json => reading.json(text),
    }
    reading.read
}

struct Reading<'a> {
    read: ReadList,
    feed: Option<&'a FeedName>,
    now: Timestamp,
}

impl Reading<'_> {
    fn plain(&mut self, text: &str) {
        for (index, line) in text.lines().enumerate() {
            let value = line.split_once('#').map_or(line, |(value, _)| value).trim();
            if !value.is_empty() {
                self.entry(index + 1, Fields::from([("value".to_owned(), value.to_owned())]));
            }
        }
    }

    fn csv(&mut self, text: &str) {
        let mut heading: Option<Vec<String>> = None;
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let cells = match cells(line) {
                Ok(cells) => cells,
                Err(reason) => {
                    self.refuse(index + 1, reason);
                    continue;
                }
            };
            match &heading {
                None => heading = Some(cells.iter().map(|cell| cell.trim().to_ascii_lowercase()).collect()),
                Some(heading) => {
                    self.entry(index + 1, heading.iter().cloned().zip(cells).collect());
                }
            }
        }
    }

    fn json(&mut self, text: &str) {
        if text.trim_start().starts_with('[') {
            match serde_json::from_str::<Vec<serde_json::Value>>(text) {
                Ok(entries) => {
                    for (index, entry) in entries.into_iter().enumerate() {
                        self.json_entry(index + 1, entry);
                    }
                }
                Err(error) => self.refuse(error.line(), format!("it is no JSON: {error}")),
            }
            return;
        }
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            if line.len() > LINE_BYTES_MAX {
                self.refuse(index + 1, format!("it has more than {LINE_BYTES_MAX} bytes"));
                continue;
            }
            match serde_json::from_str(line) {
                Ok(entry) => self.json_entry(index + 1, entry),
                Err(error) => self.refuse(index + 1, format!("it is no JSON: {error}")),
            }
        }
    }

    fn json_entry(&mut self, line: usize, entry: serde_json::Value) {
        match entry {
            serde_json::Value::String(value) => self.entry(line, Fields::from([("value".to_owned(), value)])),
            serde_json::Value::Object(object) => {
                let field = |(name, value): (String, serde_json::Value)| match value {
                    serde_json::Value::String(text) => Some((name.to_ascii_lowercase(), text)),
                    serde_json::Value::Number(number) => Some((name.to_ascii_lowercase(), number.to_string())),
                    _ => None,
                };
                self.entry(line, object.into_iter().take(FIELDS_MAX).filter_map(field).collect());
            }
            _ => self.refuse(line, "it is neither a text nor an object".to_owned()),
        }
    }

    fn entry(&mut self, line: usize, fields: Fields) {
        if self.read.candidates.len() >= LIST_ENTRIES_MAX {
            return self.refuse(line, format!("there are already {LIST_ENTRIES_MAX} entries"));
        }
        match candidate(&fields, self.feed, self.now) {
            Ok(candidate) => self.read.candidates.push(candidate),
            Err(reason) => self.refuse(line, reason),
        }
    }

    fn refuse(&mut self, line: usize, reason: String) {
        self.read.unusable_count += 1;
        if self.read.unusable.len() < UNUSABLE_MAX {
            self.read.unusable.push(UnusableLine { line, reason });
        }
    }
}

fn candidate(fields: &Fields, feed: Option<&FeedName>, now: Timestamp) -> Result<IndicatorCandidate, String> {
    let field = |names: &[&str]| {
        let given = names.iter().find_map(|name| fields.get(*name));
        given.map(|text| text.trim()).filter(|text| !text.is_empty())
    };
    let value = field(&["value", "indicator", "ioc", "ip", "address", "domain", "host"]).ok_or("it names no value")?;
    let value = match field(&["port"]) {
        Some(port) if value.contains(':') && !value.starts_with('[') => format!("[{value}]:{port}"),
        Some(port) => format!("{value}:{port}"),
        None => value.to_owned(),
    };
    let value = match field(&["protocol"]) {
        Some(protocol) => format!("{value}/{}", protocol.to_ascii_lowercase()),
        None => value,
    };
    let told = |error: komainu_model::InvalidName| error.to_string();
    let percent = |text: &str| text.parse().ok().and_then(|percent| Confidence::new(percent).ok());
    let provenance = Provenance {
        sample: field(&["sample", "sha256"]).map(SampleDigest::parse).transpose().map_err(told)?,
        detonation: field(&["detonation"]).map(DetonationId::parse).transpose().map_err(told)?,
        session: field(&["session"]).map(SessionId::parse).transpose().map_err(told)?,
        sensor: field(&["sensor"]).map(SensorName::parse).transpose().map_err(told)?,
        at: now,
    };
    Ok(IndicatorCandidate {
        value: IndicatorValue::parse(&value).map_err(told)?,
        threat: field(&["threat"]).map_or(Ok(Threat::Unspecified), Threat::parse).map_err(told)?,
        confidence: match field(&["confidence"]) {
            Some(text) => percent(text).ok_or("its confidence is no number from 0 to 100")?,
            None => percent("50").ok_or("its confidence is no number from 0 to 100")?,
        },
        source: feed.map_or(IndicatorSource::Operator, |feed| IndicatorSource::Feed(feed.clone())),
        provenance: Some(provenance).filter(|provenance| !provenance.is_empty()),
        valid_for: None,
        note: field(&["note", "comment"]).map(str::to_owned),
        reviewed: false,
    })
}

/// The cells of a line (RFC 4180, 2); a line break within quotes is not understood.
fn cells(line: &str) -> Result<Vec<String>, String> {
    if line.len() > LINE_BYTES_MAX {
        return Err(format!("it has more than {LINE_BYTES_MAX} bytes"));
    }
    let (mut cells, mut cell) = (Vec::new(), String::new());
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                cell.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if cell.is_empty() => quoted = true,
            ',' if !quoted && cells.len() + 1 == FIELDS_MAX => {
                return Err(format!("it has more than {FIELDS_MAX} columns"));
            }
            ',' if !quoted => cells.push(std::mem::take(&mut cell)),
            other => cell.push(other),
        }
    }
    cells.push(cell);
    if quoted { Err("a quotation in it does not end".to_owned()) } else { Ok(cells) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_795_400_000);

    #[track_caller]
    fn check(text: &str, format: ListFormat, expected: &[&str], unusable: &[(usize, &str)]) -> ReadList {
        assert_eq!(ListFormat::of(text), format, "{text}");
        let read = read_list(text, format, None, NOW);
        let shown = |candidate: &IndicatorCandidate| {
            let (threat, percent) = (candidate.threat.as_str(), candidate.confidence.percent());
            format!("{} {threat} {percent}", candidate.value)
        };
        assert_eq!(read.candidates.iter().map(shown).collect::<Vec<_>>(), expected);
        assert_eq!(read.unusable.len(), unusable.len(), "{:?}", read.unusable);
        for (found, (line, reason)) in read.unusable.iter().zip(unusable) {
            assert!(found.line == *line && found.reason.contains(reason), "{found:?}");
        }
        read
    }

    #[test]
    fn plain_lists() {
        check(
            "# C2\n45.9.148.3\n\n45.9.148.4:23 # telnet\n[2a01:4f8::1]:48101\nc2.evil.top\n45.9.148.0/24\n<b>\n",
            ListFormat::Plain,
            &[
                "45.9.148.3 unspecified 50",
                "45.9.148.4:23 unspecified 50",
                "[2a01:4f8::1]:48101 unspecified 50",
                "c2.evil.top unspecified 50",
            ],
            &[(7, "no network"), (8, "indicator must be")],
        );
        check("", ListFormat::Plain, &[], &[]);
        check("[2a01:4f8::1]:23\n", ListFormat::Plain, &["[2a01:4f8::1]:23 unspecified 50"], &[]);
    }

    #[test]
    fn comma_separated_values() {
        let digest = "ab".repeat(32);
        let read = check(
            &format!(
                "ip,Port,threat,confidence,sha256,sensor,note\n45.9.148.3,23,c2,90,{digest},tokyo,\"a \"\"b\"\", c\"\n\
                 2a01:4f8::1,23,,,,,\n45.9.148.5,x,,,,,\n45.9.148.6,,evil,,,,\n45.9.148.7,,,101,,,\n,,,,,,\n\"open\n"
            ),
            ListFormat::Csv,
            &["45.9.148.3:23 command-and-control 90", "[2a01:4f8::1]:23 unspecified 50"],
            &[(4, "indicator must be"), (5, "threat must be"), (6, "confidence"), (7, "no value"), (8, "quotation")],
        );
        let first = &read.candidates[0];
        assert_eq!(first.note.as_deref(), Some("a \"b\", c"));
        let provenance = first.provenance.as_ref().unwrap();
        assert_eq!(provenance.sample.unwrap().to_string(), digest);
        assert_eq!((provenance.sensor.as_ref().unwrap().as_str(), provenance.at), ("tokyo", NOW));
    }

    #[test]
    fn json() {
        check(
            r#"["45.9.148.3", {"value": "c2.evil.top", "threat": "c2", "confidence": 75}, 5, {"port": 1}]"#,
            ListFormat::Json,
            &["45.9.148.3 unspecified 50", "c2.evil.top command-and-control 75"],
            &[(3, "neither"), (4, "no value")],
        );
        check(
            "{\"ip\": \"45.9.148.3\", \"port\": 23, \"protocol\": \"TCP\"}\n{\"ip\"\n",
            ListFormat::Json,
            &["45.9.148.3:23/tcp unspecified 50"],
            &[(2, "no JSON")],
        );
        check(&"[".repeat(10_000), ListFormat::Json, &[], &[(1, "no JSON")]);
    }

    #[test]
    fn feeds_are_named() {
        let feed = FeedName::parse("abuse").unwrap();
        let read = read_list("45.9.148.3\n", ListFormat::Plain, Some(&feed), NOW);
        assert_eq!(read.candidates[0].source, IndicatorSource::Feed(feed));
    }
}
