//! The lines of a batch.

use serde::Deserialize;
use serde_json::value::RawValue;

/// A line: which log it is of, whether it is confidential, and the line of that log.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(rename = "log")]
    _log: Log,
    #[serde(rename = "confidential", default)]
    _confidential: bool,
    #[serde(borrow)]
    line: &'a RawValue,
}

/// The event logs of a sensor.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Log {
    Eve,
    Honeypot,
}

/// Checks that a batch is whole lines, each an object of one of the logs. What the objects say is not looked at.
pub(super) fn check(batch: &[u8]) -> Result<(), String> {
    if batch.is_empty() {
        return Err("the batch is empty".to_owned());
    }
    for (number, line) in (1_u64..).zip(batch.split_inclusive(|byte| *byte == b'\n')) {
        let whole = line.strip_suffix(b"\n").ok_or_else(|| format!("line {number} is not whole"))?;
        // An array would pass for the fields in their order.
        if !whole.starts_with(b"{") {
            return Err(format!("line {number} is no record: it is no object"));
        }
        let parsed: Line<'_> =
            serde_json::from_slice(whole).map_err(|error| format!("line {number} is no record: {error}"))?;
        if !parsed.line.get().starts_with('{') {
            return Err(format!("line {number} is no record: `line` is no object"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_whole_lines_of_json() {
        let check = |batch: &str, expected: Result<(), &str>| match (check(batch.as_bytes()), expected) {
            (Ok(()), Ok(())) => {}
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{batch:?}: {error}"),
            (seen, _) => panic!("{batch:?}: {seen:?}"),
        };
        check("{\"log\":\"eve\",\"line\":{}}\n{\"log\":\"honeypot\",\"line\":{\"a\":[1]}}\n", Ok(()));
        check("{\"log\":\"eve\",\"confidential\":true,\"line\":{}}\n", Ok(()));
        check("{\"log\":\"eve\",\"confidential\":1,\"line\":{}}\n", Err("line 1 is no record"));
        check("", Err("empty"));
        check("\n", Err("line 1 is no record"));
        check("{\"log\":\"eve\",\"line\":{}}", Err("line 1 is not whole"));
        check("{\"log\":\"eve\",\"line\":{}}\n{\"log\":\"eve\",\"li", Err("line 2 is not whole"));
        check("{\"log\":\"other\",\"line\":{}}\n", Err("unknown variant"));
        check("{\"log\":\"eve\",\"line\":1}\n", Err("no object"));
        check("[\"eve\",{}]\n", Err("no object"));
        check("{\"log\":\"eve\",\"line\":{},\"more\":1}\n", Err("unknown field"));
        check(&format!("{{\"log\":\"eve\",\"line\":{{\"a\":{}}}}}\n", "[".repeat(100_000)), Err("line 1"));
    }
}
