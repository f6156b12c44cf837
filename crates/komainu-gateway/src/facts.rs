//! What policies can ask of a certificate: the fields of its X.509 form.

use std::collections::BTreeMap;
use std::net::IpAddr;

use komainu_model::Certificate;
use komainu_registry::policy::{AlternativeName, CertificateFacts, CertificateField, NameAttribute};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::pem::parse_x509_pem;
use x509_parser::x509::X509Name;

/// The identity alone: enough for policies that do not ask for a field.
pub(crate) fn identity_only(certificate: &Certificate) -> CertificateFacts {
    CertificateFacts { id: certificate.id, fields: BTreeMap::new() }
}

/// All fields. What of the certificate cannot be read has no value, so that a policy that asks for it does not match.
pub(crate) fn of(certificate: &Certificate) -> CertificateFacts {
    let mut facts = identity_only(certificate);
    let Ok((_, pem)) = parse_x509_pem(certificate.pem.as_bytes()) else { return facts };
    let Ok(x509) = pem.parse_x509() else { return facts };

    let serial = x509.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect();
    add(&mut facts, CertificateField::SerialNumber, serial);
    add_name(&mut facts, x509.subject(), CertificateField::Subject);
    add_name(&mut facts, x509.issuer(), CertificateField::Issuer);
    for extension in x509.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => {
                add_alternative_names(&mut facts, &names.general_names, CertificateField::SubjectAlternative);
            }
            ParsedExtension::IssuerAlternativeName(names) => {
                add_alternative_names(&mut facts, &names.general_names, CertificateField::IssuerAlternative);
            }
            _ => {}
        }
    }
    facts
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
