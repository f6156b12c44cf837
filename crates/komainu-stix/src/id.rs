//! Identifiers of STIX objects.

use serde_json::Value;
use uuid::Uuid;

/// The namespace that the standard sets for observables (section 2.9).
const OBSERVABLES: Uuid = Uuid::from_u128(0x00ab_edb4_aa42_466c_9c01_fed2_3315_a9b7);
/// A namespace of ours for everything else, so that the same findings have the same identifiers.
const OURS: Uuid = Uuid::from_u128(0x7c1f_5d52_3a8e_4c6b_8f0e_2b5a_9d43_61f7);

/// The identifier of an observable with these contributing properties.
pub(crate) fn of_observable(kind: &str, contributing: &Value) -> String {
    format!("{kind}--{}", Uuid::new_v5(&OBSERVABLES, canonical(contributing).as_bytes()))
}

/// The identifier of another object, made from what it is about.
pub(crate) fn of_ours(kind: &str, about: &str) -> String {
    format!("{kind}--{}", Uuid::new_v5(&OURS, format!("{kind}\n{about}").as_bytes()))
}

/// JSON in the canonical form of RFC 8785, of texts, whole numbers, lists and maps. Keys are ASCII, which sorts the same
/// as the standard's UTF-16.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(&String, &Value)> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            let entries: Vec<String> = entries
                .iter()
                .map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), canonical(value)))
                .collect();
            format!("{{{}}}", entries.join(","))
        }
        Value::Array(list) => format!("[{}]", list.iter().map(canonical).collect::<Vec<_>>().join(",")),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn observables_have_the_identifiers_of_the_standard() {
        // The example of section 6.5 (`ipv4-addr`), as the `stix2` package of its authors makes it too.
        let id = of_observable("ipv4-addr", &json!({ "value": "198.51.100.7" }));
        assert_eq!(id, "ipv4-addr--12592121-be4c-5a93-a813-5a5af16e50db");
    }

    #[test]
    fn the_canonical_form_sorts_keys_at_every_depth() {
        let value = json!({ "b": [1, { "z": "é\n", "a": "\u{1}" }], "a": "x/\"" });
        assert_eq!(canonical(&value), "{\"a\":\"x/\\\"\",\"b\":[1,{\"a\":\"\\u0001\",\"z\":\"é\\n\"}]}");
    }
}
