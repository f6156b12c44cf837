//! What only CBOR can say.

use komainu_report::{Accepted, Encoding, NESTING_MAX, Parsed, Problem, Rejected, RejectionCode, parse_cbor};
use minicbor::data::{Tag, Type};
use minicbor::{Decoder, Encoder};
use proptest::prelude::*;
use serde_json::{Value, json};

/// The CBOR form of a JSON document.
pub(crate) fn to_cbor(value: &Value) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    write(&mut encoder, value);
    encoder.into_writer()
}

fn write(encoder: &mut Encoder<Vec<u8>>, value: &Value) {
    match value {
        Value::Null => encoder.null().map(drop),
        Value::Bool(value) => encoder.bool(*value).map(drop),
        Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
            (Some(value), _, _) => encoder.u64(value).map(drop),
            (None, Some(value), _) => encoder.i64(value).map(drop),
            (None, None, value) => encoder.f64(value.unwrap()).map(drop),
        },
        Value::String(value) => encoder.str(value).map(drop),
        Value::Array(values) => {
            encoder.array(values.len() as u64).unwrap();
            values.iter().for_each(|value| write(encoder, value));
            Ok(())
        }
        Value::Object(fields) => {
            encoder.map(fields.len() as u64).unwrap();
            for (name, value) in fields {
                encoder.str(name).unwrap();
                write(encoder, value);
            }
            Ok(())
        }
    }
    .unwrap();
}

/// A report whose `bytes_in` is what `value` writes.
fn with_bytes_in(value: impl FnOnce(&mut Encoder<Vec<u8>>)) -> Result<Parsed, String> {
    let mut out = Encoder::new(Vec::new());
    out.begin_map().unwrap();
    out.str("hed").unwrap().map(2).unwrap();
    out.str("rid").unwrap().f64(1.530304554e9).unwrap();
    out.str("v").unwrap().str("1.0").unwrap();
    out.str("met").unwrap().map(1).unwrap().str("ns").unwrap().map(1).unwrap().str("bi").unwrap();
    value(&mut out);
    out.end().unwrap();
    parse_cbor(out.writer()).map_err(|error| error.to_string())
}

#[test]
fn numbers_of_every_width_are_read() {
    fn check(value: impl FnOnce(&mut Encoder<Vec<u8>>), expected: Option<u64>) {
        let Parsed { report, problems } = with_bytes_in(value).unwrap();
        assert_eq!((report.report_id, report.network.bytes_in), (1_530_304_554, expected));
        assert_eq!(problems.is_empty(), expected.is_some(), "{problems:?}");
    }
    check(|out| drop(out.u8(7)), Some(7));
    check(|out| drop(out.u64(u64::MAX)), Some(u64::MAX));
    check(|out| drop(out.f32(2.5)), None);
    check(|out| drop(out.f32(2.0)), Some(2));
    check(|out| drop(out.f64(f64::NAN)), None);
    check(|out| drop(out.i8(-1)), None);
    check(|out| drop(out.tag(Tag::new(1)).unwrap().u8(9)), Some(9));
    check(|out| drop(out.bytes(b"12")), None);
    // Half precision, which the encoder does not write: 1024.0, and minus infinity.
    check(|out| out.writer_mut().extend([0xf9, 0x64, 0x00]), Some(1024));
    check(|out| out.writer_mut().extend([0xf9, 0xfc, 0x00]), None);
    // A negative number of 65 bits.
    check(|out| out.writer_mut().extend([0x3b, 255, 255, 255, 255, 255, 255, 255, 255]), None);
    // A simple value that means nothing is as good as null.
    let Parsed { report, problems } = with_bytes_in(|out| out.writer_mut().extend([0xf0])).unwrap();
    assert_eq!((report.network.bytes_in, problems), (None, vec![]));
}

#[test]
fn malformed_items_are_refused_without_a_panic() {
    fn check(value: impl FnOnce(&mut Encoder<Vec<u8>>), expected: &str) {
        let error = with_bytes_in(value).unwrap_err();
        assert!(error.starts_with("report is not valid CBOR: "), "{error}");
        assert!(error.contains(expected), "{error}");
    }
    check(|_| (), "unexpected byte");
    check(|out| drop(out.array(u64::MAX)), "");
    check(|out| drop(out.map(3)), "");
    check(|out| out.writer_mut().extend([0x9b]), "");
    check(|out| out.writer_mut().extend([0x62, 0xff, 0xfe]), "");
    check(
        |out| {
            for _ in 0..=NESTING_MAX {
                out.array(1).unwrap();
            }
            out.null().unwrap();
        },
        "nested too deeply",
    );
    let mut trailing = to_cbor(&json!({"header": {"report_id": 3, "version": "1.0"}, "metrics": {}}));
    trailing.push(0);
    let error = parse_cbor(&trailing).unwrap_err();
    assert_eq!(error.report_id, Some(3));
    assert!(error.to_string().contains("something follows the report"), "{error}");
}

#[test]
fn keys_that_are_no_texts_are_passed_over() {
    let mut out = Encoder::new(Vec::new());
    out.map(3).unwrap().u8(1).unwrap().u8(2).unwrap();
    out.str("header").unwrap();
    write(&mut out, &json!({"report_id": 3, "version": "1.0"}));
    out.str("metrics").unwrap().map(0).unwrap();
    let parsed = parse_cbor(out.writer()).unwrap();
    assert_eq!((parsed.report.report_id, parsed.problems.len()), (3, 1));
}

#[test]
fn answers_say_in_cbor_what_they_say_in_json() {
    let dropped = [Problem { metric: "metrics.cpu".into(), reason: "is not a known section".into() }];
    let warnings = [Problem { metric: "metrics.network_stats.bytes_in".into(), reason: "only ever grows".into() }];
    let accepted = Accepted {
        thing: "My \"Device\"",
        report_id: 1_530_304_554,
        timestamp_ms: 1_635_801_636_023,
        dropped: &dropped,
        warnings: &warnings,
    };
    let rejected = |report_id| Rejected {
        thing: "MyDevice",
        report_id,
        timestamp_ms: -1,
        code: RejectionCode::Throttled,
        message: "later",
    };
    assert_eq!(
        String::from_utf8(accepted.encode(Encoding::Json)).unwrap(),
        r#"{"thingName":"My \"Device\"","reportId":1530304554,"status":"ACCEPTED","timestamp":1635801636023,"droppedMetrics":[{"metric":"metrics.cpu","reason":"is not a known section"}],"warnings":[{"metric":"metrics.network_stats.bytes_in","reason":"only ever grows"}]}"#
    );
    for (json, cbor) in [
        (accepted.encode(Encoding::Json), accepted.encode(Encoding::Cbor)),
        (rejected(None).encode(Encoding::Json), rejected(None).encode(Encoding::Cbor)),
        (rejected(Some(4)).encode(Encoding::Json), rejected(Some(4)).encode(Encoding::Cbor)),
    ] {
        let mut decoder = Decoder::new(&cbor);
        assert_eq!(read(&mut decoder), serde_json::from_slice::<Value>(&json).unwrap());
        assert_eq!(decoder.position(), cbor.len());
    }
}

fn read(decoder: &mut Decoder<'_>) -> Value {
    match decoder.datatype().unwrap() {
        Type::String => json!(decoder.str().unwrap()),
        Type::Array => {
            let count = decoder.array().unwrap().unwrap();
            (0..count).map(|_| read(decoder)).collect()
        }
        Type::Map => {
            let count = decoder.map().unwrap().unwrap();
            (0..count).map(|_| (decoder.str().unwrap().to_owned(), read(decoder))).collect()
        }
        _ => json!(decoder.i64().unwrap()),
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_cbor(&bytes);
        let _ = komainu_report::parse_json(&bytes);
    }

    #[test]
    fn a_damaged_report_is_read_or_refused(at in 0usize..150, byte in any::<u8>()) {
        let mut bytes = to_cbor(&json!({
            "header": {"report_id": 3, "version": "1.0"},
            "metrics": {"tp": {"pts": [{"pt": 22}], "t": 1}, "ns": {"bi": 1}},
            "custom_metrics": {"a": [{"string_list": ["x", "y"]}], "b": [{"number": 1.5}]}
        }));
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = parse_cbor(&bytes);
    }
}
