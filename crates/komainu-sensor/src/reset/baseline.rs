//! How a device looks from outside when it is in order: which TCP ports are open, and what each says. Stored once,
//! compared after each reset.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The form of the file.
const VERSION: u32 = 1;

/// Ports of a baseline: a device that has more open takes every connection.
pub(super) const PORTS_MAX: usize = 256;

/// How a device looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Baseline {
    pub(super) ports: BTreeMap<u16, Spoken>,
}

/// What an open port says. Texts are printable and short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Spoken {
    /// Nothing, not even when it is asked as a web server.
    Nothing,
    /// TLS: it refused to be spoken to without.
    Tls,
    /// The first line that it says by itself.
    Greeting(String),
    /// The first line that it says when it is asked as a web server, which it is not.
    Answer(String),
    /// It is a web server.
    Http(Page),
}

/// What a web server says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    pub(super) status: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) server: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) title: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BaselineText {
    version: u32,
    ports: Vec<PortText>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PortText {
    port: u16,
    says: Spoken,
}

impl Baseline {
    /// Reads a file.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text: BaselineText = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if text.version != VERSION {
            return Err(format!("it has the form {}, not {VERSION}", text.version));
        }
        Ok(Self { ports: text.ports.into_iter().map(|port| (port.port, port.says)).collect() })
    }

    /// The file.
    pub(super) fn to_text(&self) -> String {
        let ports = self.ports.iter().map(|(port, says)| PortText { port: *port, says: says.clone() }).collect();
        let text = BaselineText { version: VERSION, ports };
        let mut text = serde_json::to_string_pretty(&text).expect("a baseline has only texts and numbers");
        text.push('\n');
        text
    }

    /// Whether `now` has a port open that was not.
    pub(super) fn opens_more(&self, now: &Self) -> bool {
        now.ports.keys().any(|port| !self.ports.contains_key(port))
    }

    /// In what `now` differs, for people; what is new comes first.
    pub(super) fn differences(&self, now: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        for (port, says) in &now.ports {
            if !self.ports.contains_key(port) {
                differences.push(format!("port {port} is open and was not; it says {}", says.show()));
            }
        }
        for (port, before) in &self.ports {
            match now.ports.get(port) {
                None => differences.push(format!("port {port} is closed and was open")),
                Some(says) if says.stable() != before.stable() => differences.push(format!(
                    "banner of port {port} differs: it says {} and said {}",
                    says.show(),
                    before.show()
                )),
                Some(_) => {}
            }
        }
        differences
    }
}

impl Spoken {
    /// Without what changes by itself.
    fn stable(&self) -> Self {
        let of = |text: &Option<String>| text.as_deref().map(stable);
        match self {
            Self::Nothing => Self::Nothing,
            Self::Tls => Self::Tls,
            Self::Greeting(text) => Self::Greeting(stable(text)),
            Self::Answer(text) => Self::Answer(stable(text)),
            Self::Http(Page { status, server, title }) => {
                Self::Http(Page { status: *status, server: of(server), title: of(title) })
            }
        }
    }

    fn show(&self) -> String {
        /// Bytes of a text that are shown: two of them stand in one line.
        const SHOWN_BYTES_MAX: usize = 80;
        let cut = |text: &str| text[..text.floor_char_boundary(SHOWN_BYTES_MAX)].to_owned();
        match self {
            Self::Nothing => "nothing".into(),
            Self::Tls => "TLS".into(),
            Self::Greeting(text) | Self::Answer(text) => format!("\"{}\"", cut(text)),
            Self::Http(Page { status, server, title }) => {
                let of = |text: &Option<String>| cut(text.as_deref().unwrap_or("-"));
                format!("HTTP {status}, server \"{}\", title \"{}\"", of(server), of(title))
            }
        }
    }
}

/// The words that name a day or a month in a date, by their beginning.
const DATE_WORDS: [&str; 19] = [
    "mon", "tue", "wed", "thu", "fri", "sat", "sun", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep",
    "oct", "nov", "dec",
];

/// A text without what changes by itself: times, dates, counters, long random words. Versions stay, since they have a
/// point or stand behind other characters; so does the first word, which is a status in many protocols.
fn stable(text: &str) -> String {
    let mut words = Vec::new();
    for (place, word) in text.split_ascii_whitespace().enumerate() {
        let bare = word.trim_matches(|c: char| c.is_ascii_punctuation());
        let changes = is_time(bare) || is_date(bare) || is_random(bare) || (place > 0 && is_number(bare));
        words.push(if changes { "*" } else { word });
    }
    words.join(" ")
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}

/// `12:30:59`, and `2026-11-26T12:30:59Z`.
fn is_time(word: &str) -> bool {
    let bytes = word.as_bytes();
    bytes.windows(5).any(|five| five[2] == b':' && [five[0], five[1], five[3], five[4]].iter().all(u8::is_ascii_digit))
}

/// `2026-11-26`, `26/11/2026`, `Nov`, `Thursday`.
fn is_date(word: &str) -> bool {
    for separator in ['-', '/'] {
        let parts: Vec<&str> = word.split(separator).collect();
        if parts.len() == 3 && parts.iter().all(|part| is_number(part) && part.len() <= 4) {
            return true;
        }
    }
    let lower = word.to_ascii_lowercase();
    let is_word = DATE_WORDS.iter().any(|beginning| lower.starts_with(beginning));
    // `Sunny` is none, `Sunday` is.
    is_word && (lower.len() == 3 || lower.ends_with("day") || MONTHS.contains(&lower.as_str()))
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// A word that a program made up: 16 hexadecimal digits or more, or a time stamp as POP3 greets with (RFC 1939, 7).
fn is_random(word: &str) -> bool {
    let is_hexadecimal = word.len() >= 16 && word.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let is_stamp = word.split_once('@').is_some_and(|(local, _)| {
        local.bytes().any(|byte| byte.is_ascii_digit()) && local.bytes().all(|b| b.is_ascii_digit() || b == b'.')
    });
    is_hexadecimal || is_stamp
}

#[cfg(test)]
mod tests {
    use super::*;

    fn baseline(ports: &[(u16, Spoken)]) -> Baseline {
        Baseline { ports: ports.iter().cloned().collect() }
    }

    fn greeting(text: &str) -> Spoken {
        Spoken::Greeting(text.into())
    }

    fn page(status: u16, server: &str) -> Spoken {
        Spoken::Http(Page { status, server: Some(server.into()), title: Some("Cam".into()) })
    }

    #[test]
    fn differences_are_told() {
        let before = baseline(&[(23, greeting("login: ")), (80, page(200, "Cam/1.2")), (443, Spoken::Tls)]);
        let check = |now: &[(u16, Spoken)], expected: &[&str]| {
            let now = baseline(now);
            assert_eq!(before.differences(&now), expected);
        };
        check(&[(23, greeting("login: ")), (80, page(200, "Cam/1.2")), (443, Spoken::Tls)], &[]);
        check(
            &[(22, greeting("SSH-2.0-x")), (23, greeting("# ")), (80, page(200, "Cam/1.3"))],
            &[
                "port 22 is open and was not; it says \"SSH-2.0-x\"",
                "banner of port 23 differs: it says \"# \" and said \"login: \"",
                "banner of port 80 differs: it says HTTP 200, server \"Cam/1.3\", title \"Cam\" and said HTTP 200, \
                 server \"Cam/1.2\", title \"Cam\"",
                "port 443 is closed and was open",
            ],
        );
    }

    #[test]
    fn what_changes_by_itself_is_no_difference() {
        let check = |one: &str, other: &str, is_equal: bool| {
            assert_eq!(stable(one) == stable(other), is_equal, "{one} / {other}");
        };
        check("220 cam FTP ready Thu Nov 26 10:00:00 2026", "220 cam FTP ready Fri Dec 4 23:59:01 2026", true);
        check("+OK POP3 <1896.697170952@cam>", "+OK POP3 <1.9@cam>", true);
        check("uptime 17 s", "uptime 18 s", true);
        check("session 0123456789abcdef0123", "session ffff456789abcdef0123", true);
        check("2026-11-26T10:00:00Z hello", "2026-11-27T11:00:00Z hello", true);
        check("220 ready", "421 ready", false);
        check("SSH-2.0-dropbear_2019.78", "SSH-2.0-dropbear_2020.81", false);
        check("Cam 1.2", "Cam 1.3", false);
        check("login:", "Sunny login:", false);
        check("March", "Marching", false);
    }

    #[test]
    fn the_file_of_this_version_is_read() {
        let text = include_str!("../../tests/data/baseline.v1.json");
        let read = Baseline::parse(text).unwrap();
        let expected = baseline(&[
            (21, Spoken::Answer("500 what?".into())),
            (23, greeting(r"\xff\xfd\x01login: ")),
            (80, page(401, "Cam/1.2")),
            (443, Spoken::Tls),
            (9000, Spoken::Nothing),
        ]);
        assert_eq!(read, expected);
        assert_eq!(read.to_text(), text);
    }

    #[test]
    fn what_is_no_baseline_is_refused() {
        for text in ["", "{}", r#"{"version":2,"ports":[]}"#, r#"{"version":1,"ports":[{"port":70000,"says":"tls"}]}"#]
        {
            assert!(Baseline::parse(text).is_err(), "{text}");
        }
    }
}
