//! JA3 and JA4: which program speaks.

use std::fmt::Display;

use md5::{Digest, Md5};
use sha2::Sha256;

use super::hello::{ALPN, ClientHello, SERVER_NAME, ServerHello};
use crate::hex::hex;

/// Whether a number means nothing and was sent so that others stay tolerant (RFC 8701).
pub(super) fn is_grease(number: u16) -> bool {
    let [high, low] = number.to_be_bytes();
    high == low && low & 0x0F == 0x0A
}

/// The string and the hash of JA3, as Salesforce published it: version, cipher suites, extensions, groups and point
/// formats as decimal numbers, without GREASE.
pub(super) fn ja3(hello: &ClientHello) -> (String, String) {
    let list = |numbers: &[u16]| joined(numbers.iter().filter(|number| !is_grease(**number)), "-");
    let string = format!(
        "{},{},{},{},{}",
        hello.legacy_version,
        list(&hello.ciphers),
        list(&hello.extensions),
        list(&hello.groups),
        joined(hello.point_formats.iter(), "-"),
    );
    let hash = hex(&Md5::digest(&string));
    (string, hash)
}

/// The string and the hash of JA3S: version, cipher suite and extensions of the server.
pub(super) fn ja3s(legacy_version: u16, hello: &ServerHello) -> (String, String) {
    let extensions = joined(hello.extensions.iter().filter(|number| !is_grease(**number)), "-");
    let string = format!("{legacy_version},{},{extensions}", hello.cipher);
    let hash = hex(&Md5::digest(&string));
    (string, hash)
}

/// JA4 of a client over TCP, as FoxIO specified it (technical_details/JA4.md).
pub(super) fn ja4(hello: &ClientHello) -> String {
    let without_grease =
        |numbers: &[u16]| -> Vec<u16> { numbers.iter().copied().filter(|number| !is_grease(*number)).collect() };
    let mut ciphers = without_grease(&hello.ciphers);
    let mut extensions = without_grease(&hello.extensions);
    let has_name = extensions.contains(&SERVER_NAME);
    let head = format!(
        "t{}{}{:02}{:02}{}",
        version(hello.version()),
        if has_name { 'd' } else { 'i' },
        ciphers.len().min(99),
        extensions.len().min(99),
        alpn(hello.alpns.first().map_or(&[], Vec::as_slice)),
    );
    ciphers.sort_unstable();
    extensions.retain(|kind| *kind != SERVER_NAME && *kind != ALPN);
    extensions.sort_unstable();
    let signatures = without_grease(&hello.signature_algorithms);
    // Without signature algorithms the list ends without an underscore.
    let separator = if signatures.is_empty() { "" } else { "_" };
    let extensions = format!("{}{separator}{}", hexes(&extensions), hexes(&signatures));
    format!("{head}_{}_{}", short_hash(&hexes(&ciphers)), short_hash(&extensions))
}

/// The two characters of a version.
fn version(version: u16) -> &'static str {
    match version {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        _ => "00",
    }
}

/// The first and the last character of the first application protocol; of its hexadecimal digits where one of the two
/// is neither letter nor digit.
fn alpn(name: &[u8]) -> String {
    let (Some(first), Some(last)) = (name.first(), name.last()) else { return "00".to_owned() };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return [char::from(*first), char::from(*last)].iter().collect();
    }
    format!("{:x}{:x}", first >> 4, last & 0x0F)
}

/// Twelve digits of the SHA-256; zeros where there is nothing to hash.
fn short_hash(list: &str) -> String {
    if list.is_empty() {
        return "0".repeat(12);
    }
    let mut digits = hex(&Sha256::digest(list));
    digits.truncate(12);
    digits
}

fn hexes(numbers: &[u16]) -> String {
    joined(numbers.iter().map(|number| format!("{number:04x}")), ",")
}

fn joined(items: impl Iterator<Item: Display>, separator: &str) -> String {
    let items: Vec<String> = items.map(|item| item.to_string()).collect();
    items.join(separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification: its lists, and what comes out.
    #[test]
    fn ja4_of_the_specification() {
        let mut extensions: Vec<u16> = vec![
            0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b, 0xff01,
            0x000b, 0x000a, 0x0015,
        ];
        extensions.insert(0, 0x0a0a);
        let hello = ClientHello {
            legacy_version: 0x0303,
            versions: vec![0xaaaa, 0x0304, 0x0303],
            ciphers: vec![
                0xdada, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c,
                0x009d, 0x002f, 0x0035,
            ],
            extensions,
            alpns: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            signature_algorithms: vec![0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601],
            ..ClientHello::default()
        };
        assert_eq!(ja4(&hello), "t13d1516h2_8daaf6152771_e5627efa2ab1");
    }

    #[test]
    fn a_hello_of_nothing_has_zeros() {
        let hello = ClientHello { legacy_version: 0x0301, ..ClientHello::default() };
        assert_eq!(ja4(&hello), "t10i000000_000000000000_000000000000");
        assert_eq!(ja3(&hello).0, "769,,,,");
    }

    /// The examples of the specification for names that are no text.
    #[test]
    fn first_and_last_character_of_an_application_protocol() {
        assert_eq!(alpn(b""), "00");
        assert_eq!(alpn(b"h2"), "h2");
        assert_eq!(alpn(b"http/1.1"), "h1");
        assert_eq!(alpn(b"\xab"), "ab");
        assert_eq!(alpn(b"\xab\xcd"), "ad");
        assert_eq!(alpn(b"\x30\xab"), "3b");
        assert_eq!(alpn(b"\x30\x31\xab\xcd"), "3d");
        assert_eq!(alpn(b"\x30\xab\xcd\x31"), "01");
    }
}
