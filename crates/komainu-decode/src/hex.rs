//! Bytes as hexadecimal digits, the form in which fingerprints are published.

use std::fmt::Write;

/// The bytes as digits in lower case.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(digits, "{byte:02x}").expect("a string takes everything");
    }
    digits
}
