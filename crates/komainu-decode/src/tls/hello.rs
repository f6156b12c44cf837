//! What the two sides offer and choose.

use super::fingerprint;
use crate::fields::{Fields, numbers16};

/// The random value of a ServerHello that asks for another ClientHello: SHA-256 of `HelloRetryRequest` (RFC 8446,
/// 4.1.3).
const HELLO_RETRY_REQUEST: [u8; 32] = [
    0xCF, 0x21, 0xAD, 0x74, 0xE5, 0x9A, 0x61, 0x11, 0xBE, 0x1D, 0x8C, 0x02, 0x1E, 0x65, 0xB8, 0x91, 0xC2, 0xA2, 0x11,
    0x16, 0x7A, 0xBB, 0x8C, 0x5E, 0x07, 0x9E, 0x09, 0xE2, 0xC8, 0xA8, 0x33, 0x9C,
];

/// The application protocols that are kept. Browsers offer two, scanners a dozen.
const ALPNS_MAX: usize = 64;

pub(super) const SERVER_NAME: u16 = 0;
const SUPPORTED_GROUPS: u16 = 10;
const EC_POINT_FORMATS: u16 = 11;
const SIGNATURE_ALGORITHMS: u16 = 13;
pub(super) const ALPN: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;

/// What a client offers (RFC 8446, 4.1.2). Lists are in the order in which they were sent, GREASE (RFC 8701) included.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientHello {
    /// `legacy_version`: what a client of TLS 1.2 and older offers at most.
    pub legacy_version: u16,
    /// `supported_versions`.
    pub versions: Vec<u16>,
    /// Cipher suites.
    pub ciphers: Vec<u16>,
    /// The types of the extensions.
    pub extensions: Vec<u16>,
    /// The name of the server that is called (RFC 6066, 3).
    pub server_name: Option<Vec<u8>>,
    /// The application protocols (RFC 7301), the first 64.
    pub alpns: Vec<Vec<u8>>,
    /// `supported_groups`.
    pub groups: Vec<u16>,
    /// `ec_point_formats` (RFC 8422, 5.1.2).
    pub point_formats: Vec<u8>,
    /// `signature_algorithms`.
    pub signature_algorithms: Vec<u16>,
    /// JA3: the string whose MD5 is the fingerprint.
    pub ja3: String,
    /// The MD5 of it.
    pub ja3_hash: String,
    /// JA4.
    pub ja4: String,
}

/// What a server chose (RFC 8446, 4.1.3).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerHello {
    /// The version: that of `supported_versions`, else `legacy_version`.
    pub version: u16,
    /// The cipher suite.
    pub cipher: u16,
    /// The types of the extensions.
    pub extensions: Vec<u16>,
    /// The application protocol, where it is said in the clear (up to TLS 1.2).
    pub alpn: Option<Vec<u8>>,
    /// Whether the server asks for another hello.
    pub is_retry: bool,
    /// JA3S: the string whose MD5 is the fingerprint.
    pub ja3s: String,
    /// The MD5 of it.
    pub ja3s_hash: String,
}

impl ClientHello {
    /// The highest version that is offered.
    pub fn version(&self) -> u16 {
        let known = self.versions.iter().copied().filter(|version| !fingerprint::is_grease(*version));
        known.max().unwrap_or(self.legacy_version)
    }

    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(body);
        let legacy_version = fields.u16()?;
        fields.array::<32>()?;
        fields.string8()?;
        let ciphers = numbers16(fields.string16()?).collect();
        fields.string8()?;
        let mut hello = Self { legacy_version, ciphers, ..Self::default() };
        // SSL 3.0 and TLS 1.0 had none.
        if !fields.is_empty() {
            each_extension(fields.string16()?, |kind, content| hello.extension(kind, content))?;
        }
        (hello.ja3, hello.ja3_hash) = fingerprint::ja3(&hello);
        hello.ja4 = fingerprint::ja4(&hello);
        Some(hello)
    }

    /// Reads an extension. One that is broken counts by its type only.
    fn extension(&mut self, kind: u16, content: &[u8]) {
        self.extensions.push(kind);
        let mut fields = Fields::new(content);
        match kind {
            SERVER_NAME => {
                let mut names = Fields::new(fields.string16().unwrap_or_default());
                // Only host names, type 0, are defined.
                if names.u8() == Some(0) {
                    self.server_name = names.string16().map(<[u8]>::to_vec);
                }
            }
            SUPPORTED_GROUPS => self.groups = numbers16(fields.string16().unwrap_or_default()).collect(),
            EC_POINT_FORMATS => self.point_formats = fields.string8().unwrap_or_default().to_vec(),
            SIGNATURE_ALGORITHMS => {
                self.signature_algorithms = numbers16(fields.string16().unwrap_or_default()).collect();
            }
            ALPN => self.alpns = protocols(content),
            SUPPORTED_VERSIONS => self.versions = numbers16(fields.string8().unwrap_or_default()).collect(),
            _ => {}
        }
    }
}

impl ServerHello {
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(body);
        let legacy_version = fields.u16()?;
        let random: [u8; 32] = fields.array()?;
        fields.string8()?;
        let cipher = fields.u16()?;
        fields.u8()?;
        let is_retry = random == HELLO_RETRY_REQUEST;
        let mut hello = Self { version: legacy_version, cipher, is_retry, ..Self::default() };
        if !fields.is_empty() {
            each_extension(fields.string16()?, |kind, content| {
                hello.extensions.push(kind);
                match kind {
                    ALPN => hello.alpn = protocols(content).into_iter().next(),
                    SUPPORTED_VERSIONS => hello.version = Fields::new(content).u16().unwrap_or(hello.version),
                    _ => {}
                }
            })?;
        }
        (hello.ja3s, hello.ja3s_hash) = fingerprint::ja3s(legacy_version, &hello);
        Some(hello)
    }
}

/// Gives the type and the content of each extension; none when the list is broken.
fn each_extension(list: &[u8], mut each: impl FnMut(u16, &[u8])) -> Option<()> {
    let mut fields = Fields::new(list);
    while !fields.is_empty() {
        each(fields.u16()?, fields.string16()?);
    }
    Some(())
}

/// The names in a list of application protocols.
fn protocols(content: &[u8]) -> Vec<Vec<u8>> {
    let mut names = Fields::new(Fields::new(content).string16().unwrap_or_default());
    std::iter::from_fn(|| names.string8().map(<[u8]>::to_vec)).take(ALPNS_MAX).collect()
}
