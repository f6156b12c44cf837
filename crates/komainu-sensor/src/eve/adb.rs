use komainu_decode::adb::Event;
use serde::Serialize;

use super::{AnyRecord, Text};

/// Suricata has no words for this protocol.
pub(super) fn records(event: &Event<'_>) -> Vec<AnyRecord> {
    let told = match event {
        Event::Connect { version, payload_bytes_max, banner } => {
            Adb::Connect { version: *version, payload_bytes_max: *payload_bytes_max, banner: Text(banner) }
        }
        Event::Open { destination } => Adb::Open(Text(destination)),
        Event::Refused { destination } => Adb::Refused(Text(destination)),
        Event::Sync { request, path } => Adb::Sync { request: Text(request), path: Text(path) },
        Event::SyncFailed { message } => Adb::SyncFailed(Text(message)),
        Event::Exit { code } => Adb::ExitCode(*code),
        Event::Encrypted => Adb::Encrypted(true),
    };
    vec![AnyRecord::honeypot("adb", &told)]
}

/// What was said, under a key that says what it is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Adb<'a> {
    Connect { version: u32, payload_bytes_max: u32, banner: Text<'a> },
    Open(Text<'a>),
    Refused(Text<'a>),
    Sync { request: Text<'a>, path: Text<'a> },
    SyncFailed(Text<'a>),
    ExitCode(u8),
    Encrypted(bool),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(event: &Event<'_>, expected: &str) {
        let records = records(event);
        let [record] = &records[..] else { panic!("one record") };
        assert_eq!((record.log, record.event_type), (crate::eve::Log::Honeypot, "adb"));
        assert_eq!(crate::eve::sorted(&record.body), expected);
    }

    #[test]
    fn what_is_said() {
        check(
            &Event::Connect { version: 0x0100_0000, payload_bytes_max: 4096, banner: b"host::" },
            r#"{"connect":{"banner":"host::","payload_bytes_max":4096,"version":16777216}}"#,
        );
        check(&Event::Open { destination: b"shell:id" }, r#"{"open":"shell:id"}"#);
        check(&Event::Refused { destination: b"shell:id" }, r#"{"refused":"shell:id"}"#);
        check(
            &Event::Sync { request: *b"SEND", path: b"/data/local/tmp/x" },
            r#"{"sync":{"path":"/data/local/tmp/x","request":"SEND"}}"#,
        );
        check(&Event::SyncFailed { message: b"no" }, r#"{"sync_failed":"no"}"#);
        check(&Event::Exit { code: 1 }, r#"{"exit_code":1}"#);
        check(&Event::Encrypted, r#"{"encrypted":true}"#);
    }
}
