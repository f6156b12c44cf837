//! Certificates.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use komainu_aws::iot;
use komainu_model::{Certificate, CertificateId, CertificateMode, CertificateStatus, Timestamp};
use komainu_ports::{CertificateSubject, IssuedCertificate};
use komainu_registry::{CertificateMarker, NewCertificate, ResourceKind};
use x509_parser::pem::parse_x509_pem;

use super::convert::seconds;
use super::paging::{PageRequest, next_token};
use crate::dispatch::{Operations, blocking};
use crate::error::{ApiError, ErrorKind};
use crate::{Api, Caller};

/// The longest certificate in bytes (RegisterCertificateWithoutCA, `certificatePem`).
const CERTIFICATE_PEM_BYTES_MAX: usize = 65_536;

/// The common name of certificates that name no device. AWS's is of the same kind.
pub(crate) const COMMON_NAME: &str = "Komainu IoT Certificate";

pub(super) fn operations() -> Operations {
    vec![
        ("CreateKeysAndCertificate", blocking(create_keys_and_certificate)),
        ("CreateCertificateFromCsr", blocking(create_certificate_from_csr)),
        ("RegisterCertificateWithoutCA", blocking(register_certificate_without_ca)),
        ("DescribeCertificate", blocking(describe_certificate)),
        ("UpdateCertificate", blocking(update_certificate)),
        ("DeleteCertificate", blocking(delete_certificate)),
        ("ListCertificates", blocking(list_certificates)),
    ]
}

/// A certificate's identity: the SHA-256 of its DER form.
pub(crate) fn certificate_id(der: &[u8]) -> CertificateId {
    let mut sha256 = [0u8; 32];
    sha256.copy_from_slice(digest(&SHA256, der).as_ref());
    CertificateId::from_sha256(sha256)
}

/// What is registered of a certificate that our authority made.
pub(crate) fn issued(certificate: &IssuedCertificate, set_as_active: bool) -> NewCertificate {
    NewCertificate {
        id: certificate_id(&certificate.der),
        pem: certificate.pem.clone(),
        status: if set_as_active { CertificateStatus::Active } else { CertificateStatus::Inactive },
        mode: CertificateMode::Default,
        not_before: certificate.not_before,
        not_after: certificate.not_after,
    }
}

fn create_keys_and_certificate(
    api: &Api,
    caller: &Caller,
    input: iot::CreateKeysAndCertificateRequest,
) -> Result<iot::CreateKeysAndCertificateResponse, ApiError> {
    let subject = CertificateSubject { common_name: COMMON_NAME.to_owned() };
    let (certificate, keys) = api.authority.issue_with_new_key(&subject, api.clock.now())?;
    let new = issued(&certificate, input.set_as_active.unwrap_or(false));
    let arn = register(api, caller, &new)?;
    Ok(iot::CreateKeysAndCertificateResponse {
        certificate_arn: Some(arn),
        certificate_id: Some(new.id.to_string()),
        certificate_pem: Some(certificate.pem.to_string()),
        key_pair: Some(iot::KeyPair {
            private_key: Some(keys.private_key_pem.to_string()),
            public_key: Some(keys.public_key_pem.to_string()),
        }),
    })
}

fn create_certificate_from_csr(
    api: &Api,
    caller: &Caller,
    input: iot::CreateCertificateFromCsrRequest,
) -> Result<iot::CreateCertificateFromCsrResponse, ApiError> {
    let certificate = api.authority.issue_for_request(&input.certificate_signing_request, api.clock.now())?;
    let new = issued(&certificate, input.set_as_active.unwrap_or(false));
    let arn = register(api, caller, &new)?;
    Ok(iot::CreateCertificateFromCsrResponse {
        certificate_arn: Some(arn),
        certificate_id: Some(new.id.to_string()),
        certificate_pem: Some(certificate.pem.to_string()),
    })
}

fn register_certificate_without_ca(
    api: &Api,
    caller: &Caller,
    input: iot::RegisterCertificateWithoutCaRequest,
) -> Result<iot::RegisterCertificateWithoutCaResponse, ApiError> {
    let status = match input.status.as_deref() {
        None => CertificateStatus::Inactive,
        Some(word) => settable_status("status", word)?,
    };
    let new = read_certificate(&input.certificate_pem, status)?;
    let arn = register(api, caller, &new)?;
    Ok(iot::RegisterCertificateWithoutCaResponse {
        certificate_arn: Some(arn),
        certificate_id: Some(new.id.to_string()),
    })
}

/// Reads one certificate in PEM form.
fn read_certificate(pem: &str, status: CertificateStatus) -> Result<NewCertificate, ApiError> {
    let bad = |reason: &str| ApiError::new(ErrorKind::CertificateValidation, format_args!("certificatePem: {reason}"));
    if pem.len() > CERTIFICATE_PEM_BYTES_MAX {
        return Err(bad("it is longer than 65536 bytes"));
    }
    let (rest, block) = parse_x509_pem(pem.as_bytes()).map_err(|_| bad("it is not PEM"))?;
    if block.label != "CERTIFICATE" {
        return Err(bad("it is not a certificate"));
    }
    if !rest.iter().all(u8::is_ascii_whitespace) {
        return Err(bad("more than one certificate is given"));
    }
    let (after, certificate) =
        x509_parser::parse_x509_certificate(&block.contents).map_err(|_| bad("it is not an X.509 certificate"))?;
    if !after.is_empty() {
        return Err(bad("something follows the certificate"));
    }
    let validity = certificate.validity();
    Ok(NewCertificate {
        id: certificate_id(&block.contents),
        pem: Arc::from(pem),
        status,
        mode: CertificateMode::SniOnly,
        not_before: Timestamp::from_unix_seconds(validity.not_before.timestamp()),
        not_after: Timestamp::from_unix_seconds(validity.not_after.timestamp()),
    })
}

/// Registers a certificate and gives its ARN. A device is known by its certificate alone, so no certificate can be in
/// two regions.
fn register(api: &Api, caller: &Caller, new: &NewCertificate) -> Result<String, ApiError> {
    api.control.decide(&caller.scope, |view| {
        if let Some(scope) = view.certificate_scope(&new.id).filter(|scope| **scope != caller.scope) {
            let message = format_args!("{} {} is registered in {}", ResourceKind::Certificate, new.id, scope.region);
            let arn = scope.arn("iot", format_args!("cert/{}", new.id));
            return Err(ApiError::already_exists(message, new.id.to_string(), arn));
        }
        let (certificate, changes) = view.registry.register_certificate(new, view.now)?;
        Ok((view.registry.certificate_arn(&certificate.id).to_string(), changes))
    })
}

/// A status that users may set.
fn settable_status(field: &'static str, word: &str) -> Result<CertificateStatus, ApiError> {
    match word {
        "ACTIVE" => Ok(CertificateStatus::Active),
        "INACTIVE" => Ok(CertificateStatus::Inactive),
        "REVOKED" => Ok(CertificateStatus::Revoked),
        other => Err(ApiError::invalid(format_args!("{field} {other:?} is none of ACTIVE, INACTIVE, REVOKED"))),
    }
}

fn status_word(status: CertificateStatus) -> String {
    match status {
        CertificateStatus::Active => "ACTIVE",
        CertificateStatus::Inactive => "INACTIVE",
        CertificateStatus::Revoked => "REVOKED",
        CertificateStatus::PendingActivation => "PENDING_ACTIVATION",
    }
    .to_owned()
}

fn mode_word(mode: CertificateMode) -> String {
    match mode {
        CertificateMode::Default => "DEFAULT",
        CertificateMode::SniOnly => "SNI_ONLY",
    }
    .to_owned()
}

fn describe_certificate(
    api: &Api,
    caller: &Caller,
    input: iot::DescribeCertificateRequest,
) -> Result<iot::DescribeCertificateResponse, ApiError> {
    let id = CertificateId::parse(&input.certificate_id)?;
    api.control.read(&caller.scope, |view| {
        let certificate = view.registry.certificate(&id)?;
        let description = iot::CertificateDescription {
            certificate_arn: Some(view.registry.certificate_arn(&id).to_string()),
            certificate_id: Some(id.to_string()),
            certificate_mode: Some(mode_word(certificate.mode)),
            certificate_pem: Some(certificate.pem.to_string()),
            creation_date: Some(seconds(certificate.created_at)),
            customer_version: Some(i32::try_from(certificate.version).unwrap_or(i32::MAX)),
            generation_id: Some(certificate.version.to_string()),
            last_modified_date: Some(seconds(certificate.modified_at)),
            owned_by: Some(caller.scope.account.to_string()),
            status: Some(status_word(certificate.status)),
            validity: Some(iot::CertificateValidity {
                not_after: Some(seconds(certificate.not_after)),
                not_before: Some(seconds(certificate.not_before)),
            }),
            // Of registered authorities and of transfers.
            ca_certificate_id: None,
            previous_owned_by: None,
            transfer_data: None,
        };
        Ok(iot::DescribeCertificateResponse { certificate_description: Some(description) })
    })
}

fn update_certificate(api: &Api, caller: &Caller, input: iot::UpdateCertificateRequest) -> Result<(), ApiError> {
    let id = CertificateId::parse(&input.certificate_id)?;
    let status = settable_status("newStatus", &input.new_status)?;
    api.control.decide(&caller.scope, |view| Ok(view.registry.update_certificate(&id, status, view.now)?))
}

fn delete_certificate(api: &Api, caller: &Caller, input: iot::DeleteCertificateRequest) -> Result<(), ApiError> {
    let id = CertificateId::parse(&input.certificate_id)?;
    api.control.decide(&caller.scope, |view| {
        Ok(match input.force_delete {
            Some(true) => view.registry.delete_certificate_with_attachments(&id)?,
            Some(false) | None => view.registry.delete_certificate(&id)?,
        })
    })
}

fn list_certificates(
    api: &Api,
    caller: &Caller,
    input: iot::ListCertificatesRequest,
) -> Result<iot::ListCertificatesResponse, ApiError> {
    let page = PageRequest::by_marker(input.page_size, input.marker.as_deref())?;
    let after = page.after_key(read_marker)?;
    api.control.read(&caller.scope, |view| {
        let listed = match input.ascending_order {
            Some(true) => view.registry.list_certificates_oldest_first(after, page.limit),
            Some(false) | None => view.registry.list_certificates_latest_first(after, page.limit),
        };
        let shown = |certificate: &&Certificate| iot::Certificate {
            certificate_arn: Some(view.registry.certificate_arn(&certificate.id).to_string()),
            certificate_id: Some(certificate.id.to_string()),
            certificate_mode: Some(mode_word(certificate.mode)),
            creation_date: Some(seconds(certificate.created_at)),
            status: Some(status_word(certificate.status)),
        };
        Ok(iot::ListCertificatesResponse {
            certificates: Some(listed.items.iter().map(shown).collect()),
            next_marker: next_token(&listed, |certificate| {
                format!("{} {}", certificate.created_at.unix_millis(), certificate.id)
            }),
        })
    })
}

fn read_marker(text: &str) -> Option<CertificateMarker> {
    let (millis, id) = text.split_once(' ')?;
    let created_at = Timestamp::from_unix_millis(millis.parse().ok()?);
    Some(CertificateMarker { created_at, id: CertificateId::parse(id).ok()? })
}
