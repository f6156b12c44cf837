//! Every file in `tests/reports`, in JSON as it stands and in CBOR as the same document.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use komainu_report::{
    Accepted, CustomValue, Encoding, Parsed, Rejected, RejectionCode, ReportError, parse_cbor, parse_json,
};

use serde_json::Value;

use crate::cbor::to_cbor;

#[test]
fn reports_are_read_as_written_beside_them() {
    let update = env::var_os("KOMAINU_UPDATE_GOLDEN").is_some();
    let mut seen = 0;
    for path in reports() {
        seen += 1;
        let input = fs::read(&path).unwrap();
        let output = shown(&parse_json(&input), Encoding::Json);
        let golden = path.with_extension("out");
        if update {
            fs::write(&golden, &output).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(output, expected, "{}", path.display());

        // A file that is no JSON has no CBOR form. The document's fields are sorted by name on the way.
        if let Ok(document) = serde_json::from_slice::<Value>(&input) {
            let from_cbor = parse_cbor(&to_cbor(&document));
            assert_eq!(from_cbor, parse_json(document.to_string().as_bytes()), "{} as CBOR", path.display());
        }
    }
    assert!(seen >= 15, "only {seen} reports found");
}

fn reports() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reports");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    paths.sort();
    paths
}

fn shown(outcome: &Result<Parsed, ReportError>, encoding: Encoding) -> String {
    let mut out = String::new();
    let answer = match outcome {
        Ok(Parsed { report, problems }) => {
            let mut line = |name: &str, value: &dyn std::fmt::Debug| writeln!(out, "{name} {value:?}").unwrap();
            line("report_id", &report.report_id);
            line("version", &(report.version.major, report.version.minor));
            line("tcp_ports", &(&report.listening_tcp_ports, report.listening_tcp_port_count));
            line("udp_ports", &(&report.listening_udp_ports, report.listening_udp_port_count));
            line("destinations", &(&report.destinations, report.connection_count));
            for connection in report.connections.iter().flatten() {
                line("connection", &(connection.address, connection.port));
            }
            line("bytes_in", &report.network.bytes_in);
            line("bytes_out", &report.network.bytes_out);
            line("packets_in", &report.network.packets_in);
            line("packets_out", &report.network.packets_out);
            for metric in &report.custom {
                match &metric.value {
                    CustomValue::Number(value) => line(&metric.name, value),
                    CustomValue::Numbers(value) => line(&metric.name, value),
                    CustomValue::Strings(value) => line(&metric.name, value),
                    CustomValue::Addresses(value) => line(&metric.name, value),
                }
            }
            Accepted {
                thing: "MyDevice",
                report_id: report.report_id,
                timestamp_ms: 1_635_801_636_023,
                dropped: problems,
                warnings: &[],
            }
            .encode(encoding)
        }
        Err(error) => Rejected {
            thing: "MyDevice",
            report_id: error.report_id,
            timestamp_ms: 1_635_801_636_023,
            code: RejectionCode::InvalidPayload,
            message: &error.to_string(),
        }
        .encode(encoding),
    };
    writeln!(out, "{}", String::from_utf8(answer).unwrap()).unwrap();
    out
}
