//! TLS with whoever the guest believes to speak with: a certificate for every name, made when it is asked for.
//!
//! The authority that signs them is made at the start and has no file: its key ends with the process. Whoever wants the
//! guest to trust it is given its certificate.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use komainu_decode::tls::{Event, Reader};
use komainu_decode::{Decoder, Fact, Place, Side};
use komainu_trace::RawText;
use komainu_trace::network::NetworkAct;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{Acceptor, NoServerSessionStorage, ServerConfig, ServerConnection};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use crate::internet::InternetError;
use crate::limits::{CERTIFICATES_MAX, PENDING_BYTES_MAX};
use crate::service::Call;

/// The longest name that a certificate is made for, in bytes.
const NAME_BYTES_MAX: usize = 253;

/// Makes certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
    certificate_der: CertificateDer<'static>,
    /// One key for all servers: nobody is protected by them.
    server_key: KeyPair,
    provider: Arc<CryptoProvider>,
    made: BTreeMap<String, Arc<CertifiedKey>>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Authority").field("made", &self.made.len()).finish_non_exhaustive()
    }
}

impl Authority {
    pub(crate) fn new() -> Result<Self, InternetError> {
        let failed = |error: rcgen::Error| InternetError::Certificates(error.to_string());
        let mut params = CertificateParams::new(Vec::new()).map_err(failed)?;
        params.distinguished_name = named("Laboratory Root CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_validity(&mut params);
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.self_signed(&key).map_err(failed)?;
        Ok(Self {
            issuer: Issuer::new(params, key),
            certificate_pem: certificate.pem(),
            certificate_der: certificate.der().clone(),
            server_key: KeyPair::generate().map_err(failed)?,
            provider: Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
            made: BTreeMap::new(),
        })
    }

    /// The certificate of the authority, PEM.
    pub(crate) fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The certificate of a name or an address; none if there cannot be one.
    fn certificate(&mut self, name: &str) -> Option<Arc<CertifiedKey>> {
        if let Some(made) = self.made.get(name) {
            return Some(Arc::clone(made));
        }
        let mut params = CertificateParams::new(Vec::new()).ok()?;
        params.distinguished_name = named(name);
        params.subject_alt_names = vec![match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(name.try_into().ok()?),
        }];
        set_validity(&mut params);
        let leaf = params.signed_by(&self.server_key, &self.issuer).ok()?;
        let key = PrivateKeyDer::try_from(self.server_key.serialize_der()).ok()?;
        let key = self.provider.key_provider.load_private_key(key).ok()?;
        let chain = vec![leaf.der().clone(), self.certificate_der.clone()];
        let made = Arc::new(CertifiedKey::new(chain, key));
        if self.made.len() < CERTIFICATES_MAX {
            self.made.insert(name.to_owned(), Arc::clone(&made));
        }
        Some(made)
    }

    /// How a server of that name behaves towards a client that speaks these protocols.
    fn config(&mut self, name: &str, alpns: &[Vec<u8>]) -> Option<Arc<ServerConfig>> {
        let certificate = self.certificate(name)?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider));
        let builder = builder.with_safe_default_protocol_versions().ok()?.with_no_client_auth();
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certificate)));
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        // HTTP/1.1 if the client speaks it, else whatever it wants: what follows is told by its first bytes.
        let wanted = alpns.iter().find(|alpn| *alpn == b"http/1.1").or(alpns.first());
        config.alpn_protocols = wanted.into_iter().cloned().collect();
        Some(Arc::new(config))
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    // A common name has at most 64 characters (RFC 5280, appendix A.1).
    distinguished.push(DnType::CommonName, name.chars().take(64).collect::<String>());
    distinguished
}

/// Valid whatever time the guest's clock shows.
fn set_validity(params: &mut CertificateParams) {
    params.not_before = rcgen::date_time_ymd(1990, 1, 1);
    params.not_after = rcgen::date_time_ymd(2049, 12, 31);
}

/// TLS on one connection.
pub(crate) struct Layer {
    reader: Reader,
    phase: Phase,
    server_name: Option<RawText>,
    ja3: Option<String>,
    is_told: bool,
}

enum Phase {
    Hello(Box<Acceptor>),
    Running(Box<ServerConnection>),
    Broken,
}

impl std::fmt::Debug for Layer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Layer").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

impl Layer {
    pub(crate) fn new() -> Self {
        Self {
            reader: Reader::default(),
            phase: Phase::Hello(Box::default()),
            server_name: None,
            ja3: None,
            is_told: false,
        }
    }

    /// Takes bytes of the guest; gives back what is inside. What is to be said goes to `call`, which closes if it must.
    pub(crate) fn take(&mut self, mut bytes: &[u8], call: &mut Call<'_>) -> Vec<u8> {
        let mut inside = Vec::new();
        while !bytes.is_empty() {
            let before = bytes;
            match &mut self.phase {
                Phase::Hello(acceptor) => {
                    let read = acceptor.read_tls(&mut bytes);
                    let taken = &before[..before.len() - bytes.len()];
                    let (name, ja3) = (&mut self.server_name, &mut self.ja3);
                    let mut observer = |_: Place, fact: Fact<'_>| {
                        let Fact::Tls(Event::ClientHello(hello)) = fact else { return };
                        *name = hello.server_name.as_deref().map(|name| name[..name.len().min(NAME_BYTES_MAX)].into());
                        *ja3 = Some(hello.ja3_hash.clone());
                    };
                    self.reader.data(Side::Client, taken, &mut observer);
                    if read.is_err() {
                        self.fail(call);
                    } else {
                        self.accept(call);
                    }
                }
                Phase::Running(connection) => {
                    let read = connection.read_tls(&mut bytes);
                    let state = connection.process_new_packets();
                    let is_over = state.as_ref().is_ok_and(rustls::IoState::peer_has_closed);
                    drain(connection, &mut inside);
                    write(connection, call);
                    let is_handshaking = connection.is_handshaking();
                    if state.is_err() || read.is_err() {
                        self.fail(call);
                    } else {
                        if !is_handshaking {
                            self.tell(true, call);
                        }
                        if is_over {
                            call.close();
                        }
                    }
                }
                Phase::Broken => break,
            }
            if bytes.len() == before.len() {
                break;
            }
        }
        inside
    }

    /// Says something inside; what does not fit is not said.
    pub(crate) fn say(&mut self, bytes: &[u8], call: &mut Call<'_>) {
        let Phase::Running(connection) = &mut self.phase else { return };
        for chunk in bytes.chunks(PENDING_BYTES_MAX) {
            if std::io::Write::write_all(&mut connection.writer(), chunk).is_err() {
                call.world.record.lost("answers");
            }
            write(connection, call);
        }
    }

    /// Says that nothing more comes.
    pub(crate) fn end(&mut self, call: &mut Call<'_>) {
        if let Phase::Running(connection) = &mut self.phase {
            connection.send_close_notify();
            write(connection, call);
        }
        self.tell(false, call);
    }

    /// The name that the guest asked for.
    pub(crate) fn server_name(&self) -> Option<&RawText> {
        self.server_name.as_ref()
    }

    fn accept(&mut self, call: &mut Call<'_>) {
        let Phase::Hello(acceptor) = &mut self.phase else { return };
        let accepted = match acceptor.accept() {
            Ok(None) => return,
            Ok(Some(accepted)) => accepted,
            Err((_, mut alert)) => {
                let mut said = Vec::new();
                // Writing to a vector does not fail.
                let _ = alert.write_all(&mut said);
                call.send(said);
                return self.fail(call);
            }
        };
        let hello = accepted.client_hello();
        let name = match hello.server_name() {
            Some(name) => name.to_owned(),
            None => call.peer.to.ip().to_string(),
        };
        let alpns: Vec<Vec<u8>> = hello.alpn().into_iter().flatten().map(<[u8]>::to_vec).collect();
        let Some(config) = call.world.authority.config(&name, &alpns) else { return self.fail(call) };
        match accepted.into_connection(config) {
            Ok(mut connection) => {
                connection.set_buffer_limit(Some(4 * PENDING_BYTES_MAX));
                write(&mut connection, call);
                self.phase = Phase::Running(Box::new(connection));
            }
            Err((_, mut alert)) => {
                let mut said = Vec::new();
                let _ = alert.write_all(&mut said);
                call.send(said);
                self.fail(call);
            }
        }
    }

    fn fail(&mut self, call: &mut Call<'_>) {
        self.phase = Phase::Broken;
        self.tell(false, call);
        call.close();
    }

    /// Tells of the handshake, once.
    fn tell(&mut self, completed: bool, call: &mut Call<'_>) {
        if !std::mem::replace(&mut self.is_told, true) {
            let (server_name, ja3) = (self.server_name.clone(), self.ja3.clone());
            call.event(NetworkAct::Tls { flow: call.peer.flow, server_name, ja3, completed });
        }
    }
}

fn drain(connection: &mut ServerConnection, inside: &mut Vec<u8>) {
    let mut piece = [0; 4096];
    while let Ok(length @ 1..) = std::io::Read::read(&mut connection.reader(), &mut piece) {
        inside.extend(&piece[..length]);
    }
}

fn write(connection: &mut ServerConnection, call: &mut Call<'_>) {
    let mut said = Vec::new();
    while connection.wants_write() {
        if connection.write_tls(&mut said).is_err() {
            break;
        }
    }
    call.send(said);
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use rustls::pki_types::{ServerName, pem::PemObject};
    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::*;
    use crate::testing::Talk;

    /// A client that trusts the authority, or nobody.
    fn client(talk: &Talk, trusts: bool, name: &str) -> ClientConnection {
        let mut roots = RootCertStore::empty();
        if trusts {
            let pem = talk.world().authority.certificate_pem();
            roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots).with_no_client_auth();
        ClientConnection::new(Arc::new(config), ServerName::try_from(name.to_owned()).unwrap()).unwrap()
    }

    /// Lets both talk until nobody has anything to say; whether the client is content.
    fn converse(client: &mut ClientConnection, talk: &mut Talk) -> bool {
        for _ in 0..10 {
            let mut said = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut said).unwrap();
            }
            said.chunks(100).for_each(|piece| talk.say(piece));
            let answer = talk.take();
            let mut rest = &answer[..];
            while !rest.is_empty() {
                client.read_tls(&mut rest).unwrap();
                if client.process_new_packets().is_err() {
                    let mut alert = Vec::new();
                    while client.wants_write() {
                        client.write_tls(&mut alert).unwrap();
                    }
                    talk.say(&alert);
                    return false;
                }
            }
        }
        true
    }

    #[test]
    fn whoever_trusts_the_authority_speaks_http_inside() {
        for name in ["c2.example", "203.0.113.7"] {
            let mut talk = Talk::undecided("203.0.113.7:8443");
            let mut client = client(&talk, true, name);
            client.writer().write_all(b"GET /generate_204 HTTP/1.1\r\nHost: c2.example\r\n\r\n").unwrap();
            assert!(converse(&mut client, &mut talk));
            let mut answer = [0; 1000];
            let length = client.reader().read(&mut answer).unwrap();
            assert!(answer[..length].starts_with(b"HTTP/1.1 204"));
            let acts = talk.acts();
            let tls = acts.iter().find_map(|act| match act {
                NetworkAct::Tls { server_name, ja3: Some(_), completed: true, .. } => Some(server_name.clone()),
                _ => None,
            });
            // An address is no name to be asked for (RFC 6066, 3).
            assert_eq!(tls, Some((name == "c2.example").then(|| name.into())));
            assert!(acts.iter().any(|act| matches!(act, NetworkAct::Http { status: 204, .. })), "{acts:?}");
        }
    }

    #[test]
    fn whoever_does_not_is_told_as_such() {
        let mut talk = Talk::undecided("203.0.113.7:443");
        let mut client = client(&talk, false, "c2.example");
        assert!(!converse(&mut client, &mut talk));
        let completed: Vec<_> = talk
            .acts()
            .iter()
            .filter_map(|act| match act {
                NetworkAct::Tls { completed, .. } => Some(*completed),
                _ => None,
            })
            .collect();
        assert_eq!(completed, [false]);
    }

    #[test]
    fn broken_handshakes_end() {
        let mut talk = Talk::undecided("203.0.113.7:443");
        talk.say(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\xff");
        talk.say(&[0xFF; 20_000]);
        assert!(talk.is_closing());
    }
}
