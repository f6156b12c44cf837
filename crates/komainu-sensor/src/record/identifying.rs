//! What tells one device from others of its kind: whoever publishes a persona with it tells which device is his.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use regex::Regex;

use crate::fetch::is_global;

/// Values that are told of one file. Beyond, the file is full of them, and its owner knows.
const TOLD_MAX: usize = 20;

/// Bytes of a value that are told.
const VALUE_BYTES_MAX: usize = 80;

/// A value that tells one device from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identifying {
    /// In which file.
    pub file: String,
    /// In which of its lines, from 1.
    pub line: usize,
    /// What it looks like: `MAC address`, `UUID`, `serial number`, `public address`, `cookie`.
    pub what: &'static str,
    /// As it stands there.
    pub value: String,
}

/// Finds such values in the files that are text.
pub(super) fn in_files(files: &BTreeMap<String, Vec<u8>>) -> Vec<Identifying> {
    let patterns = [
        ("MAC address", r"(?i)\b([0-9a-f]{2}(?:[:-][0-9a-f]{2}){5})\b"),
        ("UUID", r"(?i)\b([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b"),
        (
            "serial number",
            r#"(?i)\b(?:serial(?:[ _-]?(?:number|no))?|s/n)["']?\s{0,4}[:=>]{1,2}\s{0,4}["']?([0-9a-z-]{4,40})"#,
        ),
        ("cookie", r"(?i)set-cookie\S{0,4}\s{0,4}=\s{0,4}(.{1,200})"),
        ("public address", r"\b((?:[0-9]{1,3}\.){3}[0-9]{1,3})\b"),
    ];
    let patterns = patterns.map(|(what, text)| (what, Regex::new(text).expect("the patterns are valid")));
    let mut found = Vec::new();
    for (file, bytes) in files {
        let Ok(text) = std::str::from_utf8(bytes) else { continue };
        let lines = text.lines().zip(1..);
        let told = lines.flat_map(|(text, line)| {
            let of_line = patterns.iter().flat_map(move |(what, pattern)| {
                pattern.captures_iter(text).filter_map(|found| found.get(1)).map(|value| (*what, value.as_str()))
            });
            of_line.map(move |(what, value)| (line, what, value))
        });
        let is_told = |(_, what, value): &(usize, &str, &str)| {
            *what != "public address" || value.parse::<Ipv4Addr>().is_ok_and(|address| is_global(address.into()))
        };
        found.extend(told.filter(is_told).take(TOLD_MAX).map(|(line, what, value)| Identifying {
            file: file.clone(),
            line,
            what,
            value: value.chars().take(VALUE_BYTES_MAX).collect(),
        }));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tells_a_device_from_others() {
        let check = |text: &str, expected: &[(usize, &str, &str)]| {
            let found = in_files(&BTreeMap::from([("page".to_owned(), text.as_bytes().to_vec())]));
            let told: Vec<_> = found.iter().map(|one| (one.line, one.what, one.value.as_str())).collect();
            assert_eq!(told, expected, "{text}");
        };
        check("a\nmac=00:12:17:0a:4f:26;", &[(2, "MAC address", "00:12:17:0a:4f:26")]);
        check("uuid:5b1c3a90-7d2e-11e4-9c61-0012170a4f26", &[(1, "UUID", "5b1c3a90-7d2e-11e4-9c61-0012170a4f26")]);
        check("<serialNumber>HL2209C1146</serialNumber>", &[(1, "serial number", "HL2209C1146")]);
        check("\"serial\": \"X-1234\"", &[(1, "serial number", "X-1234")]);
        check("wan 8.8.4.4 lan 192.168.1.1 version 1.2.3", &[(1, "public address", "8.8.4.4")]);
        check("Set-Cookie = \"sid=1\"", &[(1, "cookie", "\"sid=1\"")]);
        check("nothing of that sort", &[]);
        assert!(in_files(&BTreeMap::from([("image".to_owned(), vec![0xFF; 100])])).is_empty());
    }
}
