use komainu_decode::redis::{Argument, Event};
use serde::Serialize;

use super::{AnyRecord, Text};

/// Suricata has no words for this protocol.
pub(super) fn records(event: &Event<'_>) -> Vec<AnyRecord> {
    let told = match event {
        Event::Command { name, arguments, arguments_count } => {
            // What may be written of passwords is decided where logins are written.
            let holds_password = name.eq_ignore_ascii_case(b"AUTH") || name.eq_ignore_ascii_case(b"HELLO");
            let arguments = if holds_password { &[] } else { *arguments };
            Redis::Command {
                name: Text(name),
                arguments: arguments.iter().map(Word::of).collect(),
                arguments_count: *arguments_count,
            }
        }
        Event::Error { message } => Redis::Error(Text(message)),
    };
    vec![AnyRecord::honeypot("redis", &told)]
}

/// What was said, under a key that says what it is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Redis<'a> {
    Command { name: Text<'a>, arguments: Vec<Word<'a>>, arguments_count: u64 },
    Error(Text<'a>),
}

/// An argument: its beginning, and how long it is if that is not all of it.
#[derive(Debug, Serialize)]
struct Word<'a> {
    text: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
}

impl<'a> Word<'a> {
    fn of(argument: &'a Argument) -> Self {
        let is_cut = argument.bytes != argument.begin.len() as u64;
        Self { text: Text(&argument.begin), bytes: is_cut.then_some(argument.bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(event: &Event<'_>, expected: &str) {
        let records = records(event);
        let [record] = &records[..] else { panic!("one record") };
        assert_eq!((record.log, record.event_type), (crate::eve::Log::Honeypot, "redis"));
        assert_eq!(crate::eve::sorted(&record.body), expected);
    }

    #[test]
    fn what_is_said() {
        let arguments = [Argument { begin: b"x".to_vec(), bytes: 1 }, Argument { begin: b"ab".to_vec(), bytes: 9000 }];
        check(
            &Event::Command { name: b"SET", arguments: &arguments, arguments_count: 2 },
            r#"{"command":{"arguments":[{"text":"x"},{"bytes":9000,"text":"ab"}],"arguments_count":2,"name":"SET"}}"#,
        );
        check(
            &Event::Command { name: b"auth", arguments: &arguments, arguments_count: 2 },
            r#"{"command":{"arguments":[],"arguments_count":2,"name":"auth"}}"#,
        );
        check(&Event::Error { message: b"ERR no" }, r#"{"error":"ERR no"}"#);
    }
}
