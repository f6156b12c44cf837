//! What a sensor says of its health.

use komainu_ports::SensorHealth;
use serde::Deserialize;

/// Characters of a version that are kept.
const VERSION_CHARS_MAX: usize = 64;
/// Doors that are kept, and characters of each: a sensor with every persona on has fewer.
const DOORS_MAX: usize = 64;
const DOOR_CHARS_MAX: usize = 64;

/// Health on the wire. What is not there is zero, and what is not known yet is passed over, so that sensors and hubs
/// of different versions understand each other.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Wire {
    version: String,
    uptime_s: u64,
    connections: u64,
    connections_total: u64,
    refused: u64,
    spool_bytes: u64,
    spool_age_s: u64,
    lines_lost: u64,
    captures: u64,
    captures_bytes: u64,
    captures_dropped: u64,
    doors: Vec<String>,
}

/// Reads one JSON object.
pub(super) fn read(body: &[u8]) -> Result<SensorHealth, String> {
    // An array would pass for the fields in their order.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err("health is no JSON object".to_owned());
    }
    let wire: Wire = serde_json::from_slice(body).map_err(|error| format!("health cannot be read: {error}"))?;
    let Wire { uptime_s, connections, connections_total, refused, spool_bytes, spool_age_s, lines_lost, .. } = wire;
    let Wire { captures, captures_bytes, captures_dropped, .. } = wire;
    Ok(SensorHealth {
        version: shown(&wire.version, VERSION_CHARS_MAX),
        uptime_s,
        connections,
        connections_total,
        refused,
        spool_bytes,
        spool_age_s,
        lines_lost,
        captures,
        captures_bytes,
        captures_dropped,
        doors: wire.doors.iter().take(DOORS_MAX).map(|door| shown(door, DOOR_CHARS_MAX)).collect(),
    })
}

/// A sensor's text on an operator's terminal: printable ASCII, and not too much of it.
fn shown(text: &str, chars_max: usize) -> String {
    let printable = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    text.chars().take(chars_max).map(printable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_is_read_and_harmless() {
        let health = read(br#"{"version":"1\u001b[31m","connections":3,"new_one":[],"doors":["a","b"]}"#);
        let expected = SensorHealth {
            version: "1?[31m".to_owned(),
            connections: 3,
            doors: vec!["a".to_owned(), "b".to_owned()],
            ..SensorHealth::default()
        };
        assert_eq!(health, Ok(expected));
        let long = format!(r#"{{"version":"{}","doors":[{}"x"]}}"#, "v".repeat(1000), "\"x\",".repeat(1000));
        let health = read(long.as_bytes()).unwrap();
        assert_eq!((health.version.len(), health.doors.len()), (VERSION_CHARS_MAX, DOORS_MAX));
        for broken in ["", "[]", "{\"connections\":-1}", "{\"connections\":1"] {
            assert!(read(broken.as_bytes()).is_err(), "{broken}");
        }
    }
}
