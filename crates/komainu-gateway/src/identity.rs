//! Who a certificate speaks for, and whether it opens the gate.

use komainu_model::{Certificate, CertificateId, CertificateStatus, ClientId, ReporterName, Timestamp};
use komainu_ports::Principal;

/// The identity of a certificate: the SHA-256 of its DER form, as in AWS IoT.
pub(crate) fn certificate_id(der: &[u8]) -> CertificateId {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
    CertificateId::from_sha256(digest.as_ref().try_into().expect("a SHA-256 has 32 bytes"))
}

/// Why a certificate does not open the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CertificateProblem {
    /// Nobody registered it.
    NotRegistered,
    /// An operator deactivated it.
    Inactive,
    /// An operator revoked it.
    Revoked,
    /// No operator has activated it yet.
    PendingActivation,
    /// Its time has not come.
    NotYetValid,
    /// Its time is over.
    Expired,
}

impl CertificateProblem {
    /// In words, for the log.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::NotRegistered => "certificate is not registered",
            Self::Inactive => "certificate is inactive",
            Self::Revoked => "certificate is revoked",
            Self::PendingActivation => "certificate waits for activation",
            Self::NotYetValid => "certificate is not valid yet",
            Self::Expired => "certificate has expired",
        }
    }
}

/// Whether a registered certificate opens the gate at `now`.
pub(crate) fn check_certificate(certificate: &Certificate, now: Timestamp) -> Result<(), CertificateProblem> {
    match certificate.status {
        CertificateStatus::Active => {}
        CertificateStatus::Inactive => return Err(CertificateProblem::Inactive),
        CertificateStatus::Revoked => return Err(CertificateProblem::Revoked),
        CertificateStatus::PendingActivation => return Err(CertificateProblem::PendingActivation),
    }
    if now < certificate.not_before {
        Err(CertificateProblem::NotYetValid)
    } else if now > certificate.not_after {
        Err(CertificateProblem::Expired)
    } else {
        Ok(())
    }
}

/// The device that what a certificate does is measured as. The certificate decides, because it is proven; the client
/// id is a claim and chooses only among the things the certificate speaks for. A certificate that speaks for none is a
/// device that is not registered: it goes by its client id, or, where there is none (HTTPS, a failed handshake), by
/// the certificate's id.
pub(crate) fn reporter(principal: &Principal, client: Option<&ClientId>) -> ReporterName {
    let named = match (principal.things.as_slice(), client) {
        ([only], _) => only.thing.name.as_str(),
        (_, Some(client)) => client.as_str(),
        (_, None) => return ReporterName::parse(&principal.certificate.id.to_string()).expect("64 digits are a name"),
    };
    ReporterName::parse(named).expect("thing names and client ids keep the rules of reporter names")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{certificate, principal};

    #[test]
    fn identity_is_the_sha256_of_the_der_form() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(certificate_id(b"abc").to_string(), expected);
    }

    #[test]
    fn a_certificate_opens_the_gate_only_when_active_and_in_time() {
        let at = Timestamp::from_unix_seconds;
        let check = |status, now, expected| {
            let certificate = Certificate { status, not_before: at(100), not_after: at(200), ..certificate(b"one") };
            assert_eq!(check_certificate(&certificate, at(now)), expected, "{status:?} at {now}");
        };
        check(CertificateStatus::Active, 99, Err(CertificateProblem::NotYetValid));
        check(CertificateStatus::Active, 100, Ok(()));
        check(CertificateStatus::Active, 200, Ok(()));
        check(CertificateStatus::Active, 201, Err(CertificateProblem::Expired));
        check(CertificateStatus::Inactive, 150, Err(CertificateProblem::Inactive));
        check(CertificateStatus::Revoked, 150, Err(CertificateProblem::Revoked));
        check(CertificateStatus::Revoked, 250, Err(CertificateProblem::Revoked));
        check(CertificateStatus::PendingActivation, 150, Err(CertificateProblem::PendingActivation));
    }

    #[test]
    fn the_certificate_decides_who_is_measured() {
        let check = |things: &[&str], client: Option<&str>, expected: &str| {
            let client = client.map(|client| ClientId::parse(client).unwrap());
            let principal = principal(certificate(b"one"), things, &[]);
            assert_eq!(reporter(&principal, client.as_ref()).as_str(), expected, "{things:?} as {client:?}");
        };
        check(&["pump"], Some("pump"), "pump");
        check(&["pump"], Some("other"), "pump");
        check(&["pump"], None, "pump");
        check(&["pump", "valve"], Some("valve"), "valve");
        check(&["pump", "valve"], Some("other"), "other");
        check(&[], Some("other"), "other");
        let own_id = certificate(b"one").id.to_string();
        check(&[], None, &own_id);
        check(&["pump", "valve"], None, &own_id);
    }
}
