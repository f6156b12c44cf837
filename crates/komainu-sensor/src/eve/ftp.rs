use komainu_decode::ftp::{Direction, Event, Exchange};
use serde::Serialize;

use super::{AnyRecord, Text};

/// One record for each command with its replies, and one for each data connection that carries a file, as Suricata has
/// them.
pub(super) fn records(event: &Event<'_>) -> Vec<AnyRecord> {
    match event {
        Event::Exchange(exchange) => {
            let command = exchange.command.to_ascii_uppercase();
            vec![AnyRecord::eve("ftp", &Ftp::of(exchange, &command))]
        }
        Event::DataChannel { command, path, .. } => match Direction::of(command) {
            Some(_) => vec![AnyRecord::eve("ftp_data", &FtpData { command: Text(command), filename: Text(path) })],
            None => Vec::new(),
        },
        Event::Encrypted { .. } => Vec::new(),
    }
}

/// `ftp` of Suricata's schema.
#[derive(Debug, Serialize)]
struct Ftp<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command_data: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    completion_code: Vec<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dynamic_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reply: Vec<Text<'a>>,
    reply_received: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_truncated: Option<bool>,
}

/// `ftp_data` of Suricata's schema.
#[derive(Debug, Serialize)]
struct FtpData<'a> {
    command: Text<'a>,
    filename: Text<'a>,
}

impl<'a> Ftp<'a> {
    fn of(exchange: &'a Exchange<'a>, command: &'a [u8]) -> Self {
        let unless_empty = |bytes: &'a [u8]| (!bytes.is_empty()).then_some(Text(bytes));
        Self {
            command: unless_empty(command),
            command_data: unless_empty(exchange.argument),
            completion_code: exchange.codes.iter().map(|code| Text(code)).collect(),
            dynamic_port: exchange.data_port.map(|(port, _)| port),
            mode: exchange.data_port.map(|(_, passive)| if passive { "passive" } else { "active" }),
            reply: exchange.lines.iter().map(|line| Text(line)).collect(),
            reply_received: if exchange.codes.is_empty() { "no" } else { "yes" },
            reply_truncated: exchange.are_lines_cut.then_some(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use komainu_decode::ftp::DataAddress;

    use super::*;

    #[track_caller]
    fn check(event: &Event<'_>, expected: &[&str]) {
        let records = records(event);
        let lines: Vec<String> =
            records.iter().map(|record| format!("{} {}", record.event_type, record.body)).collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn exchanges() {
        let mut exchange = Exchange {
            command: b"pasv",
            argument: b"",
            codes: &[*b"227"],
            lines: &[b"Entering Passive Mode".to_vec()],
            are_lines_cut: false,
            data_port: Some((1025, true)),
        };
        check(
            &Event::Exchange(exchange.clone()),
            &[
                r#"ftp {"command":"PASV","completion_code":["227"],"dynamic_port":1025,"mode":"passive","reply":["Entering Passive Mode"],"reply_received":"yes"}"#,
            ],
        );
        exchange =
            Exchange { command: b"USER", argument: b"a\xff", codes: &[], lines: &[], data_port: None, ..exchange };
        check(&Event::Exchange(exchange), &[r#"ftp {"command":"USER","command_data":"a\\xff","reply_received":"no"}"#]);
    }

    #[test]
    fn data_connections() {
        let address = DataAddress { ip: None, port: 9 };
        let event = |command| Event::DataChannel { address, passive: true, command, path: b"/tmp/x", offset: 0 };
        check(&event(b"STOR"), &[r#"ftp_data {"command":"STOR","filename":"/tmp/x"}"#]);
        check(&event(b"LIST"), &[]);
        check(&Event::Encrypted { mechanism: b"TLS" }, &[]);
    }
}
