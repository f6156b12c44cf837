//! Reading a certificate signing request (PKCS#10, RFC 2986).
//!
//! Only the subject and the key are taken over. What the request asks for beside them (alternative names, being a
//! certificate authority) is not granted: the root also signs the server's own certificate.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey,
    VerificationAlgorithm,
};
use rcgen::{DistinguishedName, DnType, DnValue, SubjectPublicKeyInfo};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_NIST_EC_P384, OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA,
    OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384, Oid,
};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::X509Name;

/// CreateCertificateFromCsr takes at most 4,096 characters; a request with an RSA key of 8,192 bits needs more.
const REQUEST_BYTES_MAX: usize = 16 * 1024;
/// The smallest RSA key, in bits (AWS IoT, CreateCertificateFromCsr).
const RSA_BITS_MIN: usize = 2048;
/// The largest RSA key, in bits; a larger one would make each handshake costly.
const RSA_BITS_MAX: usize = 8192;
/// The most parts of a subject, and the most characters of one.
const SUBJECT_PARTS_MAX: usize = 16;
const SUBJECT_PART_BYTES_MAX: usize = 256;
/// What a request without a subject gets, for RFC 5280 wants one.
const DEFAULT_COMMON_NAME: &str = "Komainu device";

/// What is taken over from a request.
pub(super) struct CertificateRequest {
    pub(super) subject: DistinguishedName,
    pub(super) public_key: SubjectPublicKeyInfo,
}

/// Reads a PEM request and verifies that its sender holds the key. The error is for the person who sent it.
pub(super) fn read(request_pem: &str) -> Result<CertificateRequest, String> {
    if request_pem.len() > REQUEST_BYTES_MAX {
        return Err(format!("it has {} bytes, at most {REQUEST_BYTES_MAX} are allowed", request_pem.len()));
    }
    let (_, block) =
        x509_parser::pem::parse_x509_pem(request_pem.as_bytes()).map_err(|_| "it is not PEM".to_owned())?;
    if !matches!(block.label.as_str(), "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST") {
        return Err(format!("its PEM label is {:?}, expected CERTIFICATE REQUEST", block.label));
    }
    let (rest, request) = X509CertificationRequest::from_der(&block.contents)
        .map_err(|_| "it is not a PKCS#10 certification request".to_owned())?;
    if !rest.is_empty() {
        return Err("there are bytes after its end".to_owned());
    }
    verify_signature(&request)?;
    let info = &request.certification_request_info;
    let public_key = SubjectPublicKeyInfo::from_der(info.subject_pki.raw)
        .map_err(|_| "its key is not written as RFC 3279 or RFC 5480 ask".to_owned())?;
    Ok(CertificateRequest { subject: subject(&info.subject)?, public_key })
}

/// Verifies the request's signature with the request's key.
///
/// The algorithm follows from the key *and* the signature: OpenSSL signs with SHA-256 under a P-384 key.
fn verify_signature(request: &X509CertificationRequest<'_>) -> Result<(), String> {
    let key = &request.certification_request_info.subject_pki;
    let signed_with = &request.signature_algorithm.algorithm;
    let choices: &[(Oid<'_>, &'static dyn VerificationAlgorithm)] = match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => {
            // `key_size` may count a leading zero bit; the verifier below measures exactly.
            let bits = rsa.key_size();
            if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
                return Err(format!("its RSA key has {bits} bits, {RSA_BITS_MIN} to {RSA_BITS_MAX} are allowed"));
            }
            &[
                (OID_PKCS1_SHA256WITHRSA, &RSA_PKCS1_2048_8192_SHA256),
                (OID_PKCS1_SHA384WITHRSA, &RSA_PKCS1_2048_8192_SHA384),
                (OID_PKCS1_SHA512WITHRSA, &RSA_PKCS1_2048_8192_SHA512),
            ]
        }
        Ok(PublicKey::EC(_)) => {
            let curve = key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
            if curve.as_ref() == Some(&OID_EC_P256) {
                &[
                    (OID_SIG_ECDSA_WITH_SHA256, &ECDSA_P256_SHA256_ASN1),
                    (OID_SIG_ECDSA_WITH_SHA384, &ECDSA_P256_SHA384_ASN1),
                ]
            } else if curve.as_ref() == Some(&OID_NIST_EC_P384) {
                &[
                    (OID_SIG_ECDSA_WITH_SHA256, &ECDSA_P384_SHA256_ASN1),
                    (OID_SIG_ECDSA_WITH_SHA384, &ECDSA_P384_SHA384_ASN1),
                ]
            } else {
                return Err("its key's curve is not P-256 or P-384".to_owned());
            }
        }
        Ok(_) | Err(_) => return Err("its key is neither RSA nor on P-256 or P-384".to_owned()),
    };
    let Some((_, algorithm)) = choices.iter().find(|(oid, _)| oid == signed_with) else {
        return Err(format!("it is signed with {signed_with}; use SHA-256 or stronger"));
    };
    UnparsedPublicKey::new(*algorithm, &*key.subject_public_key.data)
        .verify(request.certification_request_info.raw, &request.signature_value.data)
        .map_err(|_| "its signature is not of its key".to_owned())
}

/// Takes the subject over. Text only, each kind of part once: what cannot be taken over as it is, is refused.
fn subject(name: &X509Name<'_>) -> Result<DistinguishedName, String> {
    let mut subject = DistinguishedName::new();
    if name.iter_attributes().count() > SUBJECT_PARTS_MAX {
        return Err(format!("its subject has more than {SUBJECT_PARTS_MAX} parts"));
    }
    for attribute in name.iter_attributes() {
        let oid = attribute.attr_type();
        let text = attribute.as_str().map_err(|_| format!("part {oid} of its subject is not text"))?;
        if text.len() > SUBJECT_PART_BYTES_MAX || text.chars().any(char::is_control) {
            return Err(format!("part {oid} of its subject is too long or has control characters"));
        }
        let arcs: Vec<u64> =
            oid.iter().map(Iterator::collect).ok_or_else(|| format!("part {oid} of its subject has no known type"))?;
        let kind = DnType::from_oid(&arcs);
        if subject.get(&kind).is_some() {
            return Err(format!("part {oid} of its subject is there twice"));
        }
        subject.push(kind, DnValue::Utf8String(text.to_owned()));
    }
    if subject.iter().next().is_none() {
        subject.push(DnType::CommonName, DEFAULT_COMMON_NAME);
    }
    Ok(subject)
}
