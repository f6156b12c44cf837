//! The certificate of a persona: made once by itself, as that of a device is, and kept with its key.
//!
//! The conversation over TLS is rustls'; [`Link`](crate::link::Link) joins it to a connection.

use std::io;
use std::sync::{Arc, OnceLock};

use jiff::ToSpan;
use jiff::civil::Date;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize,
    date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Deserialize;

use crate::host_keys::{HostKeyError, HostKeys};
use crate::persona::{Device, PersonaError};

/// The longest validity of a certificate in years. Those of devices have decades.
const VALID_YEARS_MAX: u8 = 50;

/// The purpose of the key among a persona's.
const PURPOSE: &str = "tls";

/// What a persona shows to those who speak TLS.
#[derive(Debug)]
pub(crate) struct Tls {
    common_name: String,
    organization: Option<String>,
    valid_from: Date,
    valid_to: Date,
    key: KeyText,
    /// Set when the sensor starts.
    server: OnceLock<Arc<ServerConfig>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsText {
    common_name: Option<String>,
    organization: Option<String>,
    valid_from: Option<String>,
    valid_years: Option<u8>,
    #[serde(default)]
    key: KeyText,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KeyText {
    #[default]
    Rsa2048,
    P256,
}

impl Tls {
    /// Checks what a persona says; `at` is where it says it.
    pub(crate) fn check(text: TlsText, at: &str, device: &Device<'_>) -> Result<Self, PersonaError> {
        let common_name = text.common_name.unwrap_or_else(|| device.host_name.clone());
        for (field, value) in [("common_name", Some(&common_name)), ("organization", text.organization.as_ref())] {
            // 64 characters are what a name may have (RFC 5280, appendix A.1: ub-common-name, ub-organization-name).
            if value.is_some_and(|value| {
                value.is_empty() || value.chars().count() > 64 || value.chars().any(char::is_control)
            }) {
                return Err(device.wrong(format!("{at}.{field}"), "must have 1 to 64 characters"));
            }
        }
        let valid_from = text.valid_from.as_deref().unwrap_or("2014-01-01");
        let valid_from: Date = valid_from
            .parse()
            .ok()
            .filter(|date: &Date| (1970..=2100).contains(&date.year()))
            .ok_or_else(|| device.wrong(format!("{at}.valid_from"), "must be a date such as 2014-01-31"))?;
        let years = text.valid_years.unwrap_or(30);
        if !(1..=VALID_YEARS_MAX).contains(&years) {
            let problem = format!("must be from 1 to {VALID_YEARS_MAX}");
            return Err(device.wrong(format!("{at}.valid_years"), problem));
        }
        Ok(Self {
            common_name,
            organization: text.organization,
            valid_from,
            valid_to: valid_from.saturating_add(i64::from(years).years()),
            key: text.key,
            server: OnceLock::new(),
        })
    }

    /// Has the key and the certificate, before a port is opened.
    pub(crate) fn make_key(&self, persona: &str, keys: &HostKeys) -> Result<(), HostKeyError> {
        if self.server.get().is_some() {
            return Ok(());
        }
        let pem = keys.read_or_make(persona, PURPOSE, || self.pem())?;
        let server = server(&pem).map_err(|why| keys.damaged(persona, PURPOSE, why))?;
        // Who came second made the same from the same key.
        let _ = self.server.set(server);
        Ok(())
    }

    /// How rustls is to answer; none before the key was made.
    pub(crate) fn server(&self) -> Option<Arc<ServerConfig>> {
        self.server.get().cloned()
    }

    /// A new key, and a certificate signed with it, both as PEM.
    fn pem(&self) -> io::Result<Vec<u8>> {
        let key = match self.key {
            KeyText::Rsa2048 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
            KeyText::P256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        };
        let key = key.map_err(io::Error::other)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, self.common_name.as_str());
        if let Some(organization) = &self.organization {
            params.distinguished_name.push(DnType::OrganizationName, organization.as_str());
        }
        let part = |number: i8| u8::try_from(number).expect("months and days are positive");
        let day = |date: Date| date_time_ymd(date.year().into(), part(date.month()), part(date.day()));
        (params.not_before, params.not_after) = (day(self.valid_from), day(self.valid_to));
        let certificate = params.self_signed(&key).map_err(io::Error::other)?;
        Ok((key.serialize_pem() + &certificate.pem()).into_bytes())
    }
}

fn server(pem: &[u8]) -> Result<Arc<ServerConfig>, Box<dyn std::error::Error + Send + Sync>> {
    let key = PrivateKeyDer::from_pem_slice(pem)?;
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>()?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, key)?;
    Ok(Arc::new(server))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persona::Persona;

    /// The certificate of the camera's web server.
    fn tls() -> Arc<Tls> {
        let camera = Persona::load("camera").unwrap();
        camera.doors().iter().find_map(|door| door.tls.clone()).unwrap()
    }

    #[test]
    fn a_restart_shows_the_same_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let certificate = || {
            let tls = tls();
            tls.make_key("camera", &HostKeys::new(Some(folder.path().to_owned()))).unwrap();
            assert!(tls.server().is_some());
            std::fs::read(folder.path().join("camera.tls.key")).unwrap()
        };
        let first = certificate();
        assert!(first.starts_with(b"-----BEGIN PRIVATE KEY-----"));
        assert_eq!(certificate(), first);
    }

    #[test]
    fn a_damaged_key_is_told() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("camera.tls.key"), "no key").unwrap();
        let error = tls().make_key("camera", &HostKeys::new(Some(folder.path().to_owned()))).unwrap_err();
        assert!(error.to_string().ends_with("camera.tls.key"), "{error}");
    }
}
