use komainu_decode::tftp::{Event, Operation};
use serde::Serialize;

use super::{AnyRecord, Text};

/// One record for each request, as Suricata has it.
pub(super) fn records(event: &Event<'_>) -> Vec<AnyRecord> {
    match event {
        Event::Request(request) => {
            let packet = match request.operation {
                Operation::Read => "read",
                Operation::Write => "write",
            };
            let request = Tftp { packet, file: Text(request.path), mode: Text(request.mode) };
            vec![AnyRecord::eve("tftp", &request)]
        }
        Event::OptionsAccepted { .. } | Event::Error { .. } => Vec::new(),
    }
}

/// `tftp` of Suricata's schema.
#[derive(Debug, Serialize)]
struct Tftp<'a> {
    packet: &'static str,
    file: Text<'a>,
    mode: Text<'a>,
}

#[cfg(test)]
mod tests {
    use komainu_decode::tftp::Request;

    use super::*;

    #[test]
    fn requests() {
        let request = Request { operation: Operation::Write, path: b"/tmp/x", mode: b"octet", options: &[] };
        let records = records(&Event::Request(request));
        let [record] = &records[..] else { panic!("one record") };
        assert_eq!(record.event_type, "tftp");
        assert_eq!(crate::eve::sorted(&record.body), r#"{"file":"/tmp/x","mode":"octet","packet":"write"}"#);
        assert!(super::records(&Event::Error { code: 1, message: b"" }).is_empty());
    }
}
