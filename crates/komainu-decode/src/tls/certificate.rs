//! The certificate of a server that sends it in the clear.

use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::{
    ber::{self, Elements},
    fields::Fields,
    hex::hex,
};

/// A part of a name that is shown, in bytes: X.520 allows 64 characters for the parts that people meet.
const NAME_PART_BYTES_MAX: usize = 256;

/// The parts of a name that are shown; a name of a public authority has up to ten.
const NAME_PARTS_MAX: usize = 32;

/// The first certificate of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The SHA-1 of its bytes, in hexadecimal digits.
    pub sha1: String,
    /// The SHA-256 of its bytes, in hexadecimal digits.
    pub sha256: String,
    /// How long it is, in bytes.
    pub bytes: usize,
    /// The certificates of the chain, this one included.
    pub chain: usize,
    /// Whom it is for, as `C=…, O=…, CN=…`; none where it could not be read.
    pub subject: Option<Vec<u8>>,
    /// Who signed it, in the same form.
    pub issuer: Option<Vec<u8>>,
    /// Its serial number.
    pub serial: Option<Vec<u8>>,
}

impl Certificate {
    /// Reads the message of TLS 1.2 and older: a list of certificates (RFC 5246, 7.4.2). None when it is empty.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let mut list = Fields::new(Fields::new(body).string24()?);
        let first = list.string24()?;
        let rest = std::iter::from_fn(|| list.string24()).count();
        let names = names(first);
        let (serial, issuer, subject) = names.unwrap_or_default();
        Some(Self {
            sha1: hex(&Sha1::digest(first)),
            sha256: hex(&Sha256::digest(first)),
            bytes: first.len(),
            chain: 1 + rest,
            subject,
            issuer,
            serial,
        })
    }
}

type Names = (Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>);

/// The serial number, the issuer and the subject (RFC 5280, 4.1).
fn names(certificate: &[u8]) -> Option<Names> {
    const VERSION: u8 = 0xA0;
    let mut fields = Elements::of(certificate).inside(ber::SEQUENCE)?.inside(ber::SEQUENCE)?;
    fields.take(VERSION);
    let serial = fields.take(ber::INTEGER)?;
    fields.take(ber::SEQUENCE)?;
    let issuer = fields.inside(ber::SEQUENCE)?;
    fields.take(ber::SEQUENCE)?;
    let subject = fields.inside(ber::SEQUENCE)?;
    let serial = serial.get(..serial.len().min(NAME_PART_BYTES_MAX)).map(<[u8]>::to_vec);
    Some((serial, name(issuer), name(subject)))
}

/// A name as `type=value` parts; none when it is broken.
fn name(mut parts: Elements<'_>) -> Option<Vec<u8>> {
    let mut shown = Vec::new();
    for _ in 0..NAME_PARTS_MAX {
        if parts.rest().is_empty() {
            break;
        }
        let mut part = parts.inside(ber::SET)?.inside(ber::SEQUENCE)?;
        let kind = ber::Oid(part.take(ber::OBJECT_IDENTIFIER)?);
        let (_, value) = part.any()?;
        if !shown.is_empty() {
            shown.extend_from_slice(b", ");
        }
        // X.520, RFC 4519 and PKCS #9.
        match kind.bytes() {
            [0x55, 4, 3] => shown.extend_from_slice(b"CN"),
            [0x55, 4, 5] => shown.extend_from_slice(b"serialNumber"),
            [0x55, 4, 6] => shown.extend_from_slice(b"C"),
            [0x55, 4, 7] => shown.extend_from_slice(b"L"),
            [0x55, 4, 8] => shown.extend_from_slice(b"ST"),
            [0x55, 4, 10] => shown.extend_from_slice(b"O"),
            [0x55, 4, 11] => shown.extend_from_slice(b"OU"),
            [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 9, 1] => shown.extend_from_slice(b"emailAddress"),
            [0x09, 0x92, 0x26, 0x89, 0x93, 0xF2, 0x2C, 0x64, 1, 25] => shown.extend_from_slice(b"DC"),
            // Long identifiers are shown by their beginning: their text is four times as long as they.
            other => shown.extend_from_slice(ber::Oid(&other[..other.len().min(32)]).to_string().as_bytes()),
        }
        shown.push(b'=');
        shown.extend_from_slice(&value[..value.len().min(NAME_PART_BYTES_MAX)]);
    }
    Some(shown)
}
