//! Passwords in records: as keyed digests, unless their owner wants to read them.
//!
//! What is tried against a device is often the real password of somebody else's. A digest under a key that only this
//! sensor has still tells which attempts used the same one.

use std::borrow::Cow;

use aws_lc_rs::hmac;
use serde_json::Value;

use crate::eve::{AnyRecord, Text};

/// How passwords are shown.
#[derive(Debug, Clone)]
pub enum Passwords {
    /// As HMAC-SHA256 under a key of the sensor: equal passwords look equal, and nothing else is told.
    Hashed(Box<hmac::Key>),
    /// As they were sent.
    Clear,
}

/// What stands in front of a digest where a password would stand.
const MARK: &str = "hmac-sha256:";

/// Keys under which a protocol's record shows a password.
const SECRET_KEYS: &[&str] = &["password", "authorization", "proxy_authorization"];

/// Headers that carry a login; each is an object with `name` and `value`.
const SECRET_HEADERS: &[&str] = &["authorization", "proxy-authorization", "cookie"];

/// Commands whose last word is a password: FTP's and POP's PASS, Redis' AUTH.
const SECRET_COMMANDS: &[&[u8]] = &[b"PASS", b"AUTH"];

impl Passwords {
    /// Shows them as digests under `key`.
    pub fn hashed(key: &[u8; 32]) -> Self {
        Self::Hashed(Box::new(hmac::Key::new(hmac::HMAC_SHA256, key)))
    }

    /// The digest of a password in hexadecimal; none when it may be shown as it is.
    pub(super) fn digest(&self, password: &[u8]) -> Option<String> {
        match self {
            Self::Hashed(key) => Some(hex::encode(hmac::sign(key, password))),
            Self::Clear => None,
        }
    }

    /// Replaces the passwords in a protocol's own record.
    pub(super) fn hide_in(&self, record: &mut AnyRecord) {
        let Self::Hashed(_) = self else { return };
        if record.event_type == "ftp" && record.body.get("command").and_then(Value::as_str) == Some("PASS") {
            self.hide(record.body.get_mut("command_data"));
        }
        self.hide_by_key(&mut record.body);
    }

    /// The records' nesting is that of our own types, so the recursion is bounded by them.
    fn hide_by_key(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                let is_named = |name: &str| SECRET_HEADERS.iter().any(|header| name.eq_ignore_ascii_case(header));
                if fields.get("name").and_then(Value::as_str).is_some_and(is_named) {
                    self.hide(fields.get_mut("value"));
                }
                for (key, field) in fields {
                    if SECRET_KEYS.contains(&key.as_str()) && field.is_string() {
                        self.hide(Some(field));
                    } else {
                        self.hide_by_key(field);
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.hide_by_key(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn hide(&self, field: Option<&mut Value>) {
        if let Some(Value::String(shown)) = field
            && let Some(digest) = self.digest(shown.as_bytes())
        {
            *shown = format!("{MARK}{digest}");
        }
    }
}

/// A command line without the password that it carries.
pub(super) fn without_secret<'a>(line: &'a [u8], passwords: &Passwords) -> Cow<'a, [u8]> {
    let trimmed = line.trim_ascii();
    let mut words = trimmed.split(u8::is_ascii_whitespace);
    let is_secret = words.next().is_some_and(|word| SECRET_COMMANDS.iter().any(|one| word.eq_ignore_ascii_case(one)));
    let Some(secret) = words.next_back().filter(|_| is_secret) else { return Cow::Borrowed(line) };
    match passwords.digest(secret) {
        Some(digest) => {
            let kept = &trimmed[..trimmed.len() - secret.len()];
            Cow::Owned([kept, MARK.as_bytes(), digest.as_bytes()].concat())
        }
        None => Cow::Borrowed(line),
    }
}

/// A password in the text form of the event logs.
pub(super) fn text(password: &[u8]) -> Value {
    serde_json::to_value(Text(password)).expect("text is a string")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn records_of_protocols_lose_their_passwords() {
        let passwords = Passwords::hashed(&[1; 32]);
        let digest = passwords.digest(b"xc3511").unwrap();
        let check = |event_type, body: Value, expected: Value| {
            let mut record = AnyRecord::eve(event_type, &body);
            passwords.hide_in(&mut record);
            assert_eq!(record.body, expected);
            let mut record = AnyRecord::eve(event_type, &body);
            Passwords::Clear.hide_in(&mut record);
            assert_eq!(record.body, body);
        };
        let hidden = format!("hmac-sha256:{digest}");
        check(
            "ftp",
            json!({"command": "PASS", "command_data": "xc3511", "reply": ["Welcome"]}),
            json!({"command": "PASS", "command_data": hidden, "reply": ["Welcome"]}),
        );
        check(
            "mqtt",
            json!({"connect": {"username": "root", "password": "xc3511", "flags": {"password": true}}}),
            json!({"connect": {"username": "root", "password": hidden, "flags": {"password": true}}}),
        );
        check(
            "http",
            json!({"request_headers": [{"name": "Host", "value": "a"}, {"name": "Authorization", "value": "xc3511"}]}),
            json!({"request_headers": [{"name": "Host", "value": "a"}, {"name": "Authorization", "value": hidden}]}),
        );
    }

    #[test]
    fn command_lines_lose_their_passwords() {
        let passwords = Passwords::hashed(&[1; 32]);
        let digest = passwords.digest(b"xc3511").unwrap();
        let check = |line: &str, expected: &str| {
            let shown = without_secret(line.as_bytes(), &passwords);
            assert_eq!(String::from_utf8_lossy(&shown), expected);
            assert_eq!(without_secret(line.as_bytes(), &Passwords::Clear), line.as_bytes());
        };
        check("AUTH xc3511", &format!("AUTH hmac-sha256:{digest}"));
        check("auth default xc3511 ", &format!("auth default hmac-sha256:{digest}"));
        check("AUTH", "AUTH");
        check("cat /proc/mounts", "cat /proc/mounts");
    }
}
