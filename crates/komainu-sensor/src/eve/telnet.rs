use komainu_decode::telnet::{Event, Negotiation, Role, option_name};
use serde::Serialize;

use super::{AnyRecord, Text};

/// Suricata has no words for this protocol.
pub(super) fn records(event: &Event<'_>) -> Vec<AnyRecord> {
    let told = match event {
        Event::Option(negotiation) => Telnet::of(negotiation),
        Event::Output { text } => Telnet::Output(Text(text)),
        Event::Input { line, role: Role::User } => Telnet::Input { role: "user", line: Some(Text(line)) },
        // What may be written of passwords is decided where logins are written.
        Event::Input { role: Role::Password, .. } => Telnet::Input { role: "password", line: None },
        Event::Input { line, role: Role::Command } => Telnet::Input { role: "command", line: Some(Text(line)) },
    };
    vec![AnyRecord::honeypot("telnet", &told)]
}

/// What was said, under a key that says what it is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Telnet<'a> {
    Option {
        verb: &'static str,
        code: u8,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        parameters: Option<Text<'a>>,
    },
    TerminalType(Text<'a>),
    WindowSize {
        columns: u16,
        rows: u16,
    },
    Variable {
        name: Text<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        value: Option<Text<'a>>,
    },
    /// The code of a command without an option (RFC 854).
    Control(u8),
    Output(Text<'a>),
    Input {
        role: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        line: Option<Text<'a>>,
    },
}

impl<'a> Telnet<'a> {
    fn of(negotiation: &Negotiation<'a>) -> Self {
        let option = |verb, code, parameters| Self::Option { verb, code, name: option_name(code), parameters };
        match *negotiation {
            Negotiation::Will(code) => option("will", code, None),
            Negotiation::Wont(code) => option("wont", code, None),
            Negotiation::Do(code) => option("do", code, None),
            Negotiation::Dont(code) => option("dont", code, None),
            Negotiation::Parameters { option: code, bytes } => option("parameters", code, Some(Text(bytes))),
            Negotiation::TerminalType(name) => Self::TerminalType(Text(name)),
            Negotiation::WindowSize { columns, rows } => Self::WindowSize { columns, rows },
            Negotiation::Variable { name, value } => Self::Variable { name: Text(name), value: value.map(Text) },
            Negotiation::Command(code) => Self::Control(code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(event: &Event<'_>, expected: &str) {
        let records = records(event);
        let [record] = &records[..] else { panic!("one record") };
        assert_eq!((record.log, record.event_type), (crate::eve::Log::Honeypot, "telnet"));
        assert_eq!(crate::eve::sorted(&record.body), expected);
    }

    #[test]
    fn options() {
        let option = |negotiation, expected| check(&Event::Option(negotiation), expected);
        option(Negotiation::Do(1), r#"{"option":{"code":1,"name":"echo","verb":"do"}}"#);
        option(Negotiation::Wont(200), r#"{"option":{"code":200,"verb":"wont"}}"#);
        option(
            Negotiation::Parameters { option: 32, bytes: b"\x00\xff" },
            r#"{"option":{"code":32,"name":"terminal_speed","parameters":"\u0000\\xff","verb":"parameters"}}"#,
        );
        option(Negotiation::TerminalType(b"xterm"), r#"{"terminal_type":"xterm"}"#);
        option(Negotiation::WindowSize { columns: 80, rows: 24 }, r#"{"window_size":{"columns":80,"rows":24}}"#);
        option(
            Negotiation::Variable { name: b"USER", value: Some(b"-f root") },
            r#"{"variable":{"name":"USER","value":"-f root"}}"#,
        );
        option(Negotiation::Command(246), r#"{"control":246}"#);
    }

    #[test]
    fn text() {
        check(&Event::Output { text: b"login: " }, r#"{"output":"login: "}"#);
        let input = |role| Event::Input { line: b"root", role };
        check(&input(Role::User), r#"{"input":{"line":"root","role":"user"}}"#);
        check(&input(Role::Password), r#"{"input":{"role":"password"}}"#);
        check(&input(Role::Command), r#"{"input":{"line":"root","role":"command"}}"#);
    }
}
