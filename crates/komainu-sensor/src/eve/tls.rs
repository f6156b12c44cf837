//! `tls`: one record for each handshake, as Suricata has it; alerts in the honeypot log.

use std::fmt::Write;

use komainu_decode::tls::{Certificate, ClientHello, Event, ServerHello};
use serde::Serialize;

use super::{AnyRecord, Text};

pub(super) fn records(event: &Event<'_>) -> Vec<AnyRecord> {
    match event {
        // The handshake repeats what these say.
        Event::ClientHello(_) | Event::ServerHello(_) | Event::Certificate(_) => Vec::new(),
        Event::Alert { level, description } => {
            let alert = Alert { level: *level, description: *description };
            vec![AnyRecord::honeypot("tls", &AlertOnly { alert })]
        }
        Event::Handshake { client, server, certificate } => {
            vec![AnyRecord::eve("tls", &Tls::of(*client, *server, *certificate))]
        }
    }
}

#[derive(Serialize)]
struct AlertOnly {
    alert: Alert,
}

#[derive(Serialize)]
struct Alert {
    level: u8,
    description: u8,
}

#[derive(Serialize)]
struct Tls<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuerdn: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sni: Option<Text<'a>>,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ja3: Option<Ja3<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ja3s: Option<Ja3<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ja4: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    client_alpns: Vec<Text<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    server_alpns: Vec<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_handshake: Option<ClientHandshake>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_handshake: Option<ServerHandshake>,
}

#[derive(Serialize)]
struct Ja3<'a> {
    hash: &'a str,
    string: &'a str,
}

#[derive(Serialize)]
struct ClientHandshake {
    version: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ciphers: Vec<u16>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    exts: Vec<u16>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sig_algs: Vec<u16>,
}

#[derive(Serialize)]
struct ServerHandshake {
    version: String,
    cipher: u16,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    exts: Vec<u16>,
}

impl<'a> Tls<'a> {
    fn of(
        client: Option<&'a ClientHello>,
        server: Option<&'a ServerHello>,
        certificate: Option<&'a Certificate>,
    ) -> Self {
        let offered = client.map(ClientHello::version);
        Self {
            subject: certificate.and_then(|it| it.subject.as_deref()).map(Text),
            issuerdn: certificate.and_then(|it| it.issuer.as_deref()).map(Text),
            serial: certificate.and_then(|it| it.serial.as_deref()).map(serial),
            fingerprint: certificate.map(|it| with_colons(&it.sha1)),
            sni: client.and_then(|it| it.server_name.as_deref()).map(Text),
            version: server.map(|it| it.version).or(offered).map_or("UNDETERMINED".to_owned(), version),
            ja3: client.map(|it| Ja3 { hash: &it.ja3_hash, string: &it.ja3 }),
            ja3s: server.map(|it| Ja3 { hash: &it.ja3s_hash, string: &it.ja3s }),
            ja4: client.map(|it| it.ja4.as_str()),
            client_alpns: client.iter().flat_map(|it| &it.alpns).map(|name| Text(name)).collect(),
            server_alpns: server.and_then(|it| it.alpn.as_deref()).map(Text).into_iter().collect(),
            client_handshake: client.map(|it| ClientHandshake {
                version: version(it.version()),
                ciphers: without_grease(&it.ciphers),
                exts: without_grease(&it.extensions),
                sig_algs: without_grease(&it.signature_algorithms),
            }),
            server_handshake: server.map(|it| ServerHandshake {
                version: version(it.version),
                cipher: it.cipher,
                exts: without_grease(&it.extensions),
            }),
        }
    }
}

/// The numbers that mean something (RFC 8701); Suricata leaves out the others, too.
fn without_grease(numbers: &[u16]) -> Vec<u16> {
    let is_grease = |number: u16| number & 0x0F0F == 0x0A0A && number >> 8 == number & 0xFF;
    numbers.iter().copied().filter(|number| !is_grease(*number)).collect()
}

/// A version in Suricata's words.
fn version(number: u16) -> String {
    match number {
        0x0304 => "TLS 1.3".to_owned(),
        0x0303 => "TLS 1.2".to_owned(),
        0x0302 => "TLS 1.1".to_owned(),
        0x0301 => "TLSv1".to_owned(),
        0x0300 => "SSLv3".to_owned(),
        other => format!("0x{other:04x}"),
    }
}

/// Hexadecimal digits with a colon after each two.
fn with_colons(digits: &str) -> String {
    let mut shown = String::with_capacity(digits.len() * 3 / 2);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && index % 2 == 0 {
            shown.push(':');
        }
        shown.push(digit);
    }
    shown
}

fn serial(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(digits, "{byte:02X}").expect("a string takes everything");
    }
    with_colons(&digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(event: &Event<'_>, expected: &str) {
        assert_eq!(crate::eve::sorted(&records(event)[0].body), joined(expected));
    }

    #[test]
    fn a_handshake() {
        let client = ClientHello {
            legacy_version: 0x0303,
            versions: vec![0x0304],
            ciphers: vec![0xAAAA, 0x1301],
            server_name: Some(b"camera.example".to_vec()),
            alpns: vec![b"h2".to_vec()],
            ja3: "771,4865,,,".to_owned(),
            ja3_hash: "01".to_owned(),
            ja4: "t13d".to_owned(),
            ..ClientHello::default()
        };
        let server = ServerHello {
            version: 0x0303,
            cipher: 0xC030,
            extensions: vec![16],
            alpn: Some(b"h2".to_vec()),
            ja3s: "771,49200,16".to_owned(),
            ja3s_hash: "02".to_owned(),
            ..ServerHello::default()
        };
        let certificate = Certificate {
            sha1: "0f41fd".to_owned(),
            sha256: "b957".to_owned(),
            bytes: 700,
            chain: 1,
            subject: Some(b"CN=camera.example".to_vec()),
            issuer: Some(b"CN=camera.example".to_vec()),
            serial: Some(vec![0x0F, 0xAB]),
        };
        check(
            &Event::Handshake { client: Some(&client), server: Some(&server), certificate: Some(&certificate) },
            r#"{"client_alpns":["h2"],"client_handshake":{"ciphers":[4865],"version":"TLS 1.3"},
            "fingerprint":"0f:41:fd","issuerdn":"CN=camera.example","ja3":{"hash":"01","string":"771,4865,,,
            "},"ja3s":{"hash":"02","string":"771,49200,16"},"ja4":"t13d","serial":"0F:AB",
            "server_alpns":["h2"],"server_handshake":{"cipher":49200,"exts":[16],"version":"TLS 1.2"},
            "sni":"camera.example","subject":"CN=camera.example","version":"TLS 1.2"}"#,
        );
        check(
            &Event::Handshake { client: Some(&ClientHello::default()), server: None, certificate: None },
            r#"{"client_handshake":{"version":"0x0000"},"ja3":{"hash":"","string":""},"ja4":"",
            "version":"0x0000"}"#,
        );
    }

    #[test]
    fn an_alert() {
        check(&Event::Alert { level: 2, description: 40 }, r#"{"alert":{"description":40,"level":2}}"#);
    }

    /// Lines of a text are one line.
    fn joined(lines: &str) -> String {
        lines.lines().map(str::trim_start).collect()
    }
}
