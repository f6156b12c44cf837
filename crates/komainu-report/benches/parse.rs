//! How many reports of a typical agent are read in a second on one core.

use divan::counter::{BytesCount, ItemsCount};
use komainu_report::{parse_cbor, parse_json};

fn main() {
    divan::main();
}

/// What AWS's Python agent sends from a small device: about 1.2 kB.
fn typical_report() -> String {
    let ports = |list: &[u16]| -> String {
        let ports: Vec<String> =
            list.iter().map(|port| format!(r#"{{"interface": "eth0", "port": {port}}}"#)).collect();
        format!(r#"{{"ports": [{}], "total": {}}}"#, ports.join(", "), list.len())
    };
    let connections: Vec<String> = (1..=6)
        .map(|n| {
            format!(
                r#"{{"local_interface": "eth0", "local_port": {}, "remote_addr": "198.51.100.{n}:8883"}}"#,
                50_000 + n
            )
        })
        .collect();
    format!(
        r#"{{"header": {{"report_id": 1530304554, "version": "1.0"}}, "metrics": {{"listening_tcp_ports": {}, "listening_udp_ports": {}, "network_stats": {{"bytes_in": 29358693495, "bytes_out": 26485035, "packets_in": 10013573555, "packets_out": 11382615}}, "tcp_connections": {{"established_connections": {{"connections": [{}], "total": 6}}}}}}, "custom_metrics": {{"cpu_usage": [{{"number": 26.1}}]}}}}"#,
        ports(&[22, 80, 443, 8080]),
        ports(&[53, 67, 5353]),
        connections.join(", ")
    )
}

#[divan::bench]
fn json(bencher: divan::Bencher<'_, '_>) {
    let report = typical_report();
    assert!((1100..1300).contains(&report.len()), "{}", report.len());
    bencher
        .counter(ItemsCount::new(1u32))
        .counter(BytesCount::new(report.len()))
        .bench(|| parse_json(divan::black_box(report.as_bytes())));
}

#[divan::bench]
fn cbor(bencher: divan::Bencher<'_, '_>) {
    let document: serde_json::Value = serde_json::from_str(&typical_report()).expect("the report is JSON");
    let mut encoder = minicbor::Encoder::new(Vec::new());
    write(&mut encoder, &document);
    let report = encoder.into_writer();
    assert!(parse_cbor(&report).is_ok());
    bencher
        .counter(ItemsCount::new(1u32))
        .counter(BytesCount::new(report.len()))
        .bench(|| parse_cbor(divan::black_box(&report)));
}

fn write(encoder: &mut minicbor::Encoder<Vec<u8>>, value: &serde_json::Value) {
    use serde_json::Value;
    const INFALLIBLE: &str = "writing to memory does not fail";
    match value {
        Value::Number(number) => match number.as_u64() {
            Some(number) => drop(encoder.u64(number).expect(INFALLIBLE)),
            None => drop(encoder.f64(number.as_f64().unwrap_or_default()).expect(INFALLIBLE)),
        },
        Value::String(text) => drop(encoder.str(text).expect(INFALLIBLE)),
        Value::Array(values) => {
            encoder.array(values.len() as u64).expect(INFALLIBLE);
            values.iter().for_each(|value| write(encoder, value));
        }
        Value::Object(fields) => {
            encoder.map(fields.len() as u64).expect(INFALLIBLE);
            for (name, value) in fields {
                encoder.str(name).expect(INFALLIBLE);
                write(encoder, value);
            }
        }
        Value::Null | Value::Bool(_) => unreachable!("the report has none"),
    }
}
