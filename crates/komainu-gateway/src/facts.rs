//! What policies can ask of a certificate: the fields of its X.509 form.

use std::collections::BTreeMap;
use std::net::IpAddr;

use komainu_model::Certificate;
use komainu_registry::policy::{AlternativeName, CertificateFacts, CertificateField, NameAttribute};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::parse_x509_certificate;
use x509_parser::pem::parse_x509_pem;
use x509_parser::x509::X509Name;

/// The identity alone: enough for policies that do not ask for a field.
pub(crate) fn identity_only(certificate: &Certificate) -> CertificateFacts {
    CertificateFacts { id: certificate.id, fields: BTreeMap::new() }
}

/// All fields. What of the certificate cannot be read has no value, so that a policy that asks for it does not match.
pub(crate) fn of(certificate: &Certificate) -> CertificateFacts {
    let mut facts = identity_only(certificate);
    if let Ok((_, pem)) = parse_x509_pem(certificate.pem.as_bytes()) {
        add_fields(&mut facts, &pem.contents);
    }
    facts
}

/// Adds the fields of a certificate in its DER form.
pub(crate) fn add_fields(facts: &mut CertificateFacts, der: &[u8]) {
    let Ok((_, x509)) = parse_x509_certificate(der) else { return };
    let serial = x509.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect();
    add(facts, CertificateField::SerialNumber, serial);
    add_name(facts, x509.subject(), CertificateField::Subject);
    add_name(facts, x509.issuer(), CertificateField::Issuer);
    for extension in x509.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => {
                add_alternative_names(facts, &names.general_names, CertificateField::SubjectAlternative);
            }
            ParsedExtension::IssuerAlternativeName(names) => {
                add_alternative_names(facts, &names.general_names, CertificateField::IssuerAlternative);
            }
            _ => {}
        }
    }
}

fn add(facts: &mut CertificateFacts, field: CertificateField, value: String) {
    facts.fields.entry(field).or_default().push(value);
}

fn add_name(facts: &mut CertificateFacts, name: &X509Name<'_>, field: fn(NameAttribute) -> CertificateField) {
    for attribute in name.iter_attributes() {
        let kind = NameAttribute::from_oid(&attribute.attr_type().to_id_string());
        if let (Some(kind), Ok(value)) = (kind, attribute.as_str()) {
            add(facts, field(kind), value.to_owned());
        }
    }
}

fn add_alternative_names(
    facts: &mut CertificateFacts,
    names: &[GeneralName<'_>],
    field: fn(AlternativeName) -> CertificateField,
) {
    for name in names {
        let (kind, value) = match name {
            GeneralName::RFC822Name(address) => (AlternativeName::Rfc822Name, (*address).to_owned()),
            GeneralName::DNSName(name) => (AlternativeName::DnsName, (*name).to_owned()),
            GeneralName::DirectoryName(name) => (AlternativeName::DirectoryName, name.to_string()),
            GeneralName::URI(uri) => (AlternativeName::UniformResourceIdentifier, (*uri).to_owned()),
            GeneralName::IPAddress(bytes) => match ip_address(bytes) {
                Some(address) => (AlternativeName::IpAddress, address.to_string()),
                None => continue,
            },
            _ => continue,
        };
        add(facts, field(kind), value);
    }
}

fn ip_address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes).map(IpAddr::from).or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType, SerialNumber};

    use super::*;
    use crate::testing::certificate;

    fn with_pem(pem: &str) -> Certificate {
        Certificate { pem: pem.into(), ..certificate(b"one") }
    }

    #[test]
    fn fields_are_found_in_the_order_of_the_certificate() {
        let mut params = CertificateParams::default();
        params.serial_number = Some(SerialNumber::from(vec![0x0a, 0xff]));
        for (attribute, value) in [
            (DnType::CommonName, "pump-7"),
            (DnType::OrganizationName, "Pumps Ltd"),
            (DnType::CountryName, "JP"),
            (DnType::StateOrProvinceName, "Kyoto"),
            // The serial number of a name is not the certificate's.
            (DnType::CustomDnType(vec![2, 5, 4, 5]), "SN-1"),
        ] {
            params.distinguished_name.push(attribute, value);
        }
        params.subject_alt_names = vec![
            SanType::DnsName("pump-7.example".try_into().unwrap()),
            SanType::DnsName("pump-7.example.net".try_into().unwrap()),
            SanType::IpAddress("192.0.2.7".parse().unwrap()),
            SanType::IpAddress("2001:db8::7".parse().unwrap()),
            SanType::Rfc822Name("pump@example.net".try_into().unwrap()),
            SanType::URI("urn:pump:7".try_into().unwrap()),
        ];
        let pem = params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
        let facts = of(&with_pem(&pem));

        let check = |field: CertificateField, expected: &[&str]| {
            assert_eq!(facts.fields.get(&field).map_or(&[][..], Vec::as_slice), expected, "{field:?}");
        };
        check(CertificateField::SerialNumber, &["0aff"]);
        for of in [CertificateField::Subject, CertificateField::Issuer] {
            check(of(NameAttribute::CommonName), &["pump-7"]);
            check(of(NameAttribute::Organization), &["Pumps Ltd"]);
            check(of(NameAttribute::Country), &["JP"]);
            check(of(NameAttribute::State), &["Kyoto"]);
            check(of(NameAttribute::SerialNumber), &["SN-1"]);
            check(of(NameAttribute::Surname), &[]);
        }
        let alternative = CertificateField::SubjectAlternative;
        check(alternative(AlternativeName::DnsName), &["pump-7.example", "pump-7.example.net"]);
        check(alternative(AlternativeName::IpAddress), &["192.0.2.7", "2001:db8::7"]);
        check(alternative(AlternativeName::Rfc822Name), &["pump@example.net"]);
        check(alternative(AlternativeName::UniformResourceIdentifier), &["urn:pump:7"]);
        check(CertificateField::IssuerAlternative(AlternativeName::DnsName), &[]);
    }

    #[test]
    fn what_cannot_be_read_has_no_values() {
        for pem in ["", "pump", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert_eq!(of(&with_pem(pem)), identity_only(&with_pem(pem)), "{pem:?}");
        }
    }
}
