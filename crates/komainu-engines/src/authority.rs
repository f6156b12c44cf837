//! The certificate authority of the installation, kept in a folder.
//!
//! In: a folder, the names of this server, requests for certificates. Out: device certificates, the server's own
//! certificate, signatures on notifications. It knows neither things nor policies, and it does not revoke: whether a
//! certificate opens the gate is the registry's business.
//!
//! Two keys live in the folder, readable by their owner only: the root (P-256), which devices trust, and the
//! notification key (RSA 2,048, because receivers of SNS messages expect RSA), whose certificate the root signed.
//! The server's certificate is made anew at each start and its key never touches the disk.

mod files;
mod request;
mod rsa_sha1;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use komainu_model::{NotificationSignature, Timestamp};
use komainu_ports::{Authority, AuthorityError, CertificateSubject, IssuedCertificate, IssuedKeyPair};
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, PublicKeyData, SanType, SerialNumber,
};

use self::files::SecretFolder;

/// The file with the root certificate, PEM.
const ROOT_CERTIFICATE_FILE: &str = "root-ca.pem";
/// The file with the root key, PEM.
const ROOT_KEY_FILE: &str = "root-ca.key";
/// The file with the certificate of the notification key, PEM.
const NOTIFICATION_CERTIFICATE_FILE: &str = "notification.pem";
/// The file with the notification key, PEM.
const NOTIFICATION_KEY_FILE: &str = "notification.key";

/// 2049-12-31T23:59:59Z: the end of AWS IoT's device certificates, and the last second that X.509 can write as a
/// UTCTime, which small TLS stacks handle best.
const LONG_LIVED_UNTIL: Timestamp = Timestamp::from_unix_seconds(2_524_607_999);
/// How long the server's certificate is valid: the longest that browsers and Apple's TLS accept from a private root.
const SERVER_VALIDITY: Duration = Duration::from_secs(825 * 24 * 3600);
/// Certificates start this long before they are made, for devices whose clocks are late.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(24 * 3600);
/// The longest common name that X.509 allows (`ub-common-name`, RFC 5280 appendix A).
const COMMON_NAME_CHARS_MAX: usize = 64;
/// The most names the server's certificate carries beside the local ones.
const SERVER_NAMES_MAX: usize = 100;
/// Bytes of a serial number: 127 random bits, positive in DER.
const SERIAL_BYTES: usize = 16;

/// A certificate authority in a folder.
pub struct LocalAuthority {
    root: Issuer<'static, KeyPair>,
    root_pem: Arc<str>,
    notification_key: RsaKeyPair,
    notification_key_pkcs1: Vec<u8>,
    notification_pem: Arc<str>,
}

/// What the server shows to devices and browsers.
pub struct ServerCertificate {
    /// The certificate, PEM. The root is not part of it: who trusts it has it.
    pub chain_pem: String,
    /// Its key, PEM (PKCS#8).
    pub key_pem: String,
    /// Not valid after.
    pub not_after: Timestamp,
}

impl std::fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerCertificate").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

/// Why the certificate authority cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenAuthorityError {
    /// The file system refused.
    #[error("cannot {doing} `{path}`")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A file is there and is not what it should be. Nothing is made anew then: devices trust the old root.
    #[error("`{path}` is not usable: {reason}")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A key or a certificate could not be made.
    #[error("cannot make {what}: {reason}")]
    NotMade {
        /// What was to be made.
        what: &'static str,
        /// Why not.
        reason: String,
    },
}

impl LocalAuthority {
    /// Opens the authority in `dir`; makes folder, keys and certificates when they are not there yet.
    ///
    /// A start that was killed half-way is finished by the next one. A certificate without its key is an error, and
    /// so is a certificate of another key.
    pub fn open(dir: &Path, now: Timestamp) -> Result<Self, OpenAuthorityError> {
        let folder = SecretFolder::open(dir)?;
        let root_key = load_or_make_key(&folder, &ROOT, || KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256))?;
        let root_pem = load_or_make_certificate(&folder, &ROOT, &root_key, || {
            root_params(now)?.self_signed(&root_key).map(|made| made.pem())
        })?;
        let damaged = |reason: rcgen::Error| folder.damaged(ROOT_CERTIFICATE_FILE, reason);
        let root = Issuer::from_ca_cert_pem(&root_pem, root_key).map_err(damaged)?;

        let key = load_or_make_key(&folder, &NOTIFICATION, || KeyPair::generate_for(&PKCS_RSA_SHA256))?;
        let notification_pem = load_or_make_certificate(&folder, &NOTIFICATION, &key, || {
            let params = leaf_params("Komainu notifications", now, LONG_LIVED_UNTIL)?;
            params.signed_by(&key, &root).map(|made| made.pem())
        })?;
        let damaged = |reason: String| folder.damaged(NOTIFICATION_KEY_FILE, reason);
        let notification_key_pkcs1 = pkcs1_of(key.serialized_der()).map_err(damaged)?;
        let notification_key = RsaKeyPair::from_der(&notification_key_pkcs1).map_err(|e| damaged(e.to_string()))?;

        Ok(Self {
            root,
            root_pem: root_pem.into(),
            notification_key,
            notification_key_pkcs1,
            notification_pem: notification_pem.into(),
        })
    }

    /// Makes a key and a certificate for this server. It is good for `localhost`, `127.0.0.1`, `::1`, this machine's
    /// host name, and for `names`: at most 100 DNS names and IP addresses.
    pub fn server_certificate(&self, names: &[String], now: Timestamp) -> Result<ServerCertificate, AuthorityError> {
        if names.len() > SERVER_NAMES_MAX {
            let reason = format!("{} names are asked for, at most {SERVER_NAMES_MAX} are allowed", names.len());
            return Err(AuthorityError::Failed { doing: "naming the server", reason });
        }
        let mut alternative_names: Vec<SanType> = Vec::new();
        let local = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        for name in local.iter().chain(names) {
            let bad = |reason: &str| AuthorityError::Failed {
                doing: "naming the server",
                reason: format!("{name:?} is neither a DNS name nor an IP address: {reason}"),
            };
            let alternative = subject_alternative_name(name).map_err(bad)?;
            if !alternative_names.contains(&alternative) {
                alternative_names.push(alternative);
            }
        }
        // The machine's own name is a convenience; one that is no DNS name is left out.
        if let Some(Ok(alternative)) = host_name().map(|name| subject_alternative_name(&name))
            && !alternative_names.contains(&alternative)
        {
            alternative_names.push(alternative);
        }

        let failed = |e: rcgen::Error| failed("making the server's certificate", e);
        let not_after = now.plus(SERVER_VALIDITY).min(LONG_LIVED_UNTIL);
        let common_name = names.first().filter(|name| name.chars().count() <= COMMON_NAME_CHARS_MAX);
        let mut params =
            leaf_params(common_name.map_or("localhost", String::as_str), now, not_after).map_err(failed)?;
        params.subject_alt_names = alternative_names;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let certificate = params.signed_by(&key, &self.root).map_err(failed)?;
        Ok(ServerCertificate { chain_pem: certificate.pem(), key_pem: key.serialize_pem(), not_after })
    }

    /// Signs a device's public key.
    fn issue(
        &self,
        subject: DistinguishedName,
        key: &impl PublicKeyData,
        now: Timestamp,
    ) -> Result<IssuedCertificate, AuthorityError> {
        let failed = |e: rcgen::Error| failed("making a device certificate", e);
        let mut params = leaf_params("", now, LONG_LIVED_UNTIL).map_err(failed)?;
        params.distinguished_name = subject;
        // A device must not be able to play the server with a certificate that the server's own root signed.
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(key, &self.root).map_err(failed)?;
        Ok(IssuedCertificate {
            der: certificate.der().to_vec(),
            pem: certificate.pem().into(),
            not_before: Timestamp::from_unix_seconds(params.not_before.unix_timestamp()),
            not_after: Timestamp::from_unix_seconds(params.not_after.unix_timestamp()),
        })
    }
}

impl Authority for LocalAuthority {
    fn issue_with_new_key(
        &self,
        subject: &CertificateSubject,
        now: Timestamp,
    ) -> Result<(IssuedCertificate, IssuedKeyPair), AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_RSA_SHA256).map_err(|e| failed("making a device key", e))?;
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, subject.common_name.chars().take(COMMON_NAME_CHARS_MAX).collect::<String>());
        let certificate = self.issue(name, &key, now)?;
        // AWS IoT hands out PKCS#1, and so do we: the oldest agents know nothing else.
        let pkcs1 = pkcs1_of(key.serialized_der()).map_err(|e| failed("writing a device key", e))?;
        let private_key_pem = files::pem("RSA PRIVATE KEY", &pkcs1).into();
        Ok((certificate, IssuedKeyPair { public_key_pem: key.public_key_pem().into(), private_key_pem }))
    }

    fn issue_for_request(&self, request_pem: &str, now: Timestamp) -> Result<IssuedCertificate, AuthorityError> {
        let bad_request = |reason| AuthorityError::BadRequest { reason };
        let request = request::read(request_pem).map_err(bad_request)?;
        self.issue(request.subject, &request.public_key, now)
    }

    fn root_pem(&self) -> Arc<str> {
        self.root_pem.clone()
    }

    fn sign_notification(&self, version: NotificationSignature, message: &[u8]) -> Result<Vec<u8>, AuthorityError> {
        let failed = |reason: String| AuthorityError::Failed { doing: "signing a notification", reason };
        match version {
            NotificationSignature::V1 => {
                let sha1 = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, message);
                rsa_sha1::sign(&self.notification_key_pkcs1, sha1.as_ref())
                    .ok_or_else(|| failed("RSA with SHA-1 failed".to_owned()))
            }
            NotificationSignature::V2 => {
                let mut signature = vec![0; self.notification_key.public_modulus_len()];
                self.notification_key
                    .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
                    .map_err(|e| failed(e.to_string()))?;
                Ok(signature)
            }
        }
    }

    fn notification_certificate_pem(&self) -> Arc<str> {
        self.notification_pem.clone()
    }
}

/// A key with its certificate in the folder.
struct KeptKey {
    /// In words, for errors.
    what: &'static str,
    key_file: &'static str,
    certificate_file: &'static str,
}

const ROOT: KeptKey = KeptKey { what: "the root", key_file: ROOT_KEY_FILE, certificate_file: ROOT_CERTIFICATE_FILE };
const NOTIFICATION: KeptKey = KeptKey {
    what: "the notification key",
    key_file: NOTIFICATION_KEY_FILE,
    certificate_file: NOTIFICATION_CERTIFICATE_FILE,
};

/// Loads a key, or makes one when neither it nor its certificate is there.
fn load_or_make_key(
    folder: &SecretFolder,
    kept: &KeptKey,
    make: impl FnOnce() -> Result<KeyPair, rcgen::Error>,
) -> Result<KeyPair, OpenAuthorityError> {
    if let Some(pem) = folder.read(kept.key_file)? {
        return KeyPair::from_pem(&pem).map_err(|e| folder.damaged(kept.key_file, e));
    }
    if folder.read(kept.certificate_file)?.is_some() {
        let reason = format!("{} is missing beside it", kept.key_file);
        return Err(folder.damaged(kept.certificate_file, reason));
    }
    let key = make().map_err(|e| OpenAuthorityError::NotMade { what: kept.what, reason: e.to_string() })?;
    folder.write(kept.key_file, &key.serialize_pem())?;
    Ok(key)
}

/// Loads the certificate of `key`, or makes it when it is not there.
fn load_or_make_certificate(
    folder: &SecretFolder,
    kept: &KeptKey,
    key: &KeyPair,
    make: impl FnOnce() -> Result<String, rcgen::Error>,
) -> Result<String, OpenAuthorityError> {
    if let Some(pem) = folder.read(kept.certificate_file)? {
        let damaged = |reason: &str| folder.damaged(kept.certificate_file, reason);
        let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).map_err(|_| damaged("it is not PEM"))?;
        let certificate = block.parse_x509().map_err(|_| damaged("it is not a certificate"))?;
        if certificate.public_key().raw != key.subject_public_key_info() {
            return Err(damaged("it belongs to another key"));
        }
        return Ok(pem);
    }
    let pem = make().map_err(|e| OpenAuthorityError::NotMade { what: kept.what, reason: e.to_string() })?;
    folder.write(kept.certificate_file, &pem)?;
    Ok(pem)
}

/// The root certificate.
fn root_params(now: Timestamp) -> Result<CertificateParams, rcgen::Error> {
    let serial = random_serial()?;
    let mut params = validity(now, LONG_LIVED_UNTIL);
    // The serial number keeps the roots of two installations apart in a trust store that shows names only.
    let installation: String = serial.to_bytes().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    params.distinguished_name.push(DnType::CommonName, format!("Komainu Root CA {installation}"));
    params.distinguished_name.push(DnType::OrganizationName, "Komainu");
    params.serial_number = Some(serial);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// What all end certificates have in common.
fn leaf_params(common_name: &str, now: Timestamp, not_after: Timestamp) -> Result<CertificateParams, rcgen::Error> {
    let mut params = validity(now, not_after);
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.serial_number = Some(random_serial()?);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// Parameters with nothing but a validity.
fn validity(now: Timestamp, not_after: Timestamp) -> CertificateParams {
    // Adding to the epoch panics beyond the year 9999; times are held between 1970 and the end of our certificates.
    let date_time = |at: Timestamp| {
        let held = at.clamp(Timestamp::from_unix_seconds(0), LONG_LIVED_UNTIL);
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(held.unix_seconds().unsigned_abs())
    };
    let mut params = CertificateParams::default();
    params.not_before = date_time(now.minus(CLOCK_TOLERANCE));
    params.not_after = date_time(not_after);
    params.distinguished_name = DistinguishedName::new();
    params
}

/// A serial number that nobody can guess; RFC 5280 asks for a positive one, unique within the issuer.
fn random_serial() -> Result<SerialNumber, rcgen::Error> {
    let mut bytes = [0u8; SERIAL_BYTES];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| rcgen::Error::RingUnspecified)?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

/// An IP address or a DNS name, as X.509 writes it.
fn subject_alternative_name(name: &str) -> Result<SanType, &'static str> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let labels = name.strip_prefix("*.").unwrap_or(name);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() > 253 || !labels.split('.').all(is_label) {
        return Err("labels have 1 to 63 letters, digits and inner hyphens, at most 253 characters in all");
    }
    Ia5String::try_from(name).map(SanType::DnsName).map_err(|_| "it is not ASCII")
}

/// The name this machine has given itself.
fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// The PKCS#1 form of an RSA key in PKCS#8: the octet string that RFC 5208 wraps around it.
fn pkcs1_of(pkcs8: &[u8]) -> Result<Vec<u8>, String> {
    use x509_parser::asn1_rs::{FromDer, Integer, OctetString, Sequence};
    let unexpected = |e: x509_parser::asn1_rs::Err<_>| format!("RSA key is not PKCS#8: {e}");
    let (_, outer) = Sequence::from_der(pkcs8).map_err(unexpected)?;
    let (rest, _version) = Integer::from_der(&outer.content).map_err(unexpected)?;
    let (rest, _algorithm) = Sequence::from_der(rest).map_err(unexpected)?;
    let (_, key) = OctetString::from_der(rest).map_err(unexpected)?;
    Ok(key.as_cow().to_vec())
}

fn failed(doing: &'static str, reason: impl std::fmt::Display) -> AuthorityError {
    AuthorityError::Failed { doing, reason: reason.to_string() }
}

#[cfg(test)]
mod tests;
