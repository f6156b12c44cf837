use komainu_model::{AccessKey, Change, MetricValue, Record, RecordKey, Role};
use komainu_ports::StoreError;
use komainu_ports::conformance::sample_batch;

use super::*;

#[test]
fn every_record_reads_back_as_it_was_written() {
    for change in sample_batch() {
        match change {
            Change::Put(_, Record::ActiveViolation(violation)) => {
                let verification = Verification {
                    state: verification_word(violation.verification).to_owned(),
                    description: violation.verification_description.clone(),
                };
                let body = encode_active_violation(&violation);
                assert_eq!(decode_active_violation(&body, verification).unwrap(), violation);
            }
            Change::Put(_, record) => {
                let kind = stored_key(&record.key()).kind;
                assert_eq!(decode_record(kind, &encode_record(&record)).unwrap(), record);
            }
            Change::AppendViolationEvent(_, event) => {
                let verification = Verification {
                    state: verification_word(event.verification).to_owned(),
                    description: event.verification_description.clone(),
                };
                assert_eq!(decode_event(&encode_event(&event), verification).unwrap(), event);
            }
            Change::AppendDatapoint(_, datapoint) => {
                assert_eq!(decode_value(&encode_value(&datapoint.value)).unwrap(), datapoint.value);
            }
            Change::PutDelivery(delivery) => {
                let stored = DeliveryBody { body: encode_delivery(&delivery), state: delivery.state };
                assert_eq!(decode_delivery(stored).unwrap(), delivery);
            }
            Change::Delete(..) | Change::DeleteDelivery(_) | Change::Indicators(_) => {}
        }
    }
}

#[test]
fn different_keys_are_spelled_differently() {
    let keys: Vec<RecordKey> = sample_batch()
        .into_iter()
        .filter_map(|change| match change {
            Change::Put(_, record) => Some(record.key()),
            _ => None,
        })
        .collect();
    for a in &keys {
        for b in &keys {
            assert_eq!(a == b, stored_key(a) == stored_key(b), "{a:?} {b:?}");
        }
    }
}

#[test]
fn what_is_not_known_is_refused() {
    let check = |kind: &str, body: &str, expected: &str| {
        let error = decode_record(kind, body).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
        let message = error.to_string();
        assert!(message.starts_with(expected), "{message}");
    };
    check("dragon", "{}", "stored record cannot be read: its kind \"dragon\" is not known");
    check("thing", "", "stored thing cannot be read: EOF");
    check("group-membership", r#"{"group":"a"}"#, "stored group membership cannot be read: missing field `thing`");
    check(
        "group-membership",
        r#"{"group":"a","thing":"b","until_ms":1}"#,
        "stored group membership cannot be read: unknown field `until_ms`",
    );
    check(
        "group-membership",
        r#"{"group":"a","thing":"b c"}"#,
        "stored group membership cannot be read: thing name contains ' '",
    );
    let key = r#"{"id":"AKIA0000000000000000","secret":"0123456789abcdef","status":"paused","created_at_ms":0}"#;
    check("access-key", key, "stored access key cannot be read: access key status \"paused\" is not known");
}

#[test]
fn an_access_key_of_before_there_were_roles_opens_everything() {
    let key = r#"{"id":"AKIA0000000000000000","secret":"0123456789abcdef","status":"active","created_at_ms":0}"#;
    let Record::AccessKey(key) = decode_record("access-key", key).unwrap() else { panic!("an access key was read") };
    assert_eq!((key.role, key.note.as_str()), (Role::Admin, ""));
    let body = encode_record(&Record::AccessKey(AccessKey { role: Role::Viewer, ..key }));
    let Record::AccessKey(again) = decode_record("access-key", &body).unwrap() else {
        panic!("an access key was read")
    };
    assert_eq!(again.role, Role::Viewer);
    let unknown = body.replace("viewer", "owner");
    let error = decode_record("access-key", &unknown).unwrap_err();
    assert_eq!(
        error.to_string().split(" at ").next(),
        Some("stored access key cannot be read: role \"owner\" is not known")
    );
}

#[test]
fn a_message_about_damage_does_not_show_secrets() {
    let key = r#"{"id":"AKIA0000000000000000","secret":"too short","status":"active","created_at_ms":0}"#;
    let message = decode_record("access-key", key).unwrap_err().to_string();
    assert!(!message.contains("too short"), "{message}");
}

#[test]
fn values_are_compact() {
    let check = |value: MetricValue, expected: &[u8]| assert_eq!(encode_value(&value), expected, "{value:?}");
    check(MetricValue::Count(0), &[0]);
    check(MetricValue::Count(1), &[1, 1]);
    check(MetricValue::Count(256), &[2, 1, 0]);
    check(MetricValue::Count(u64::MAX), &[8, 255, 255, 255, 255, 255, 255, 255, 255]);
    check(MetricValue::Ports(vec![443]), &[0x20, 1, 187]);
    check(MetricValue::Addresses(vec!["192.0.2.1".parse().unwrap()]), &[0x21, 4, 192, 0, 2, 1]);
    check(MetricValue::Strings(vec!["a".to_owned(), String::new()]), &[0x30, 0, 0, 0, 1, b'a', 0, 0, 0, 0]);
    check(MetricValue::Matches(Vec::new()), b"\x40[]");
}

#[test]
fn damaged_values_are_refused() {
    let damaged: [&[u8]; 12] = [
        &[],
        &[1],
        &[1, 0],
        &[2, 1],
        &[1, 1, 1],
        &[9, 1, 1, 1, 1, 1, 1, 1, 1, 1],
        &[0x10, 0],
        &[0x11, 0],
        &[0x20, 0],
        &[0x21, 5, 0, 0, 0, 0],
        &[0x30, 0, 0, 0, 2, b'a'],
        &[0x30, 0, 0, 0, 1, 0xff],
    ];
    for bytes in damaged {
        assert!(matches!(decode_value(bytes), Err(StoreError::Damaged { .. })), "{bytes:02x?}");
    }
}
