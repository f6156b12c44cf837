//! What a connection is known by, and the policy variables that speak of it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use komainu_model::{CertificateId, Scope, Thing, ThingPrincipalType};

/// So many values of one certificate attribute are looked at (AWS IoT developer guide, "X.509 certificate policy
/// variable limitations").
const CERTIFICATE_VALUES_MAX: usize = 5;

/// A certificate attribute longer than this, in bytes, has no value (same place).
const CERTIFICATE_VALUE_BYTES_MAX: usize = 1024;

/// What a connection is known by.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionContext<'a> {
    /// Account and region of the certificate; resources of others are never meant.
    pub scope: &'a Scope,
    /// The client id; `None` for a connection without one (HTTPS).
    pub client_id: Option<&'a str>,
    /// Where it comes from; `None` where that is not known.
    pub source_ip: Option<IpAddr>,
    /// The thing it speaks for; see [`connection_thing`].
    pub thing: Option<&'a Thing>,
    /// Its certificate.
    pub certificate: Option<&'a CertificateFacts>,
}

/// Which of the things that a certificate is attached to a connection speaks for: the one it is attached to
/// exclusively, else the one whose name is the client id (AWS IoT developer guide, "Thing policy variables").
pub fn connection_thing<'a>(
    attached: impl IntoIterator<Item = (&'a Thing, ThingPrincipalType)>,
    client_id: Option<&str>,
) -> Option<&'a Thing> {
    let mut same_name = None;
    for (thing, kind) in attached {
        match kind {
            ThingPrincipalType::ExclusiveThing => return Some(thing),
            ThingPrincipalType::NonExclusiveThing if Some(thing.name.as_str()) == client_id => same_name = Some(thing),
            ThingPrincipalType::NonExclusiveThing => {}
        }
    }
    same_name
}

/// What policies can ask of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Its identity.
    pub id: CertificateId,
    /// Its fields, with their values in the certificate's order. A field that is not there has no value.
    pub fields: BTreeMap<CertificateField, Vec<String>>,
}

/// A field of a certificate that has a policy variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CertificateField {
    /// `iot:Certificate.SerialNumber`, as hexadecimal digits.
    SerialNumber,
    /// `iot:Certificate.Subject.*`
    Subject(NameAttribute),
    /// `iot:Certificate.Issuer.*`
    Issuer(NameAttribute),
    /// `iot:Certificate.Subject.AlternativeName.*`
    SubjectAlternative(AlternativeName),
    /// `iot:Certificate.Issuer.AlternativeName.*`
    IssuerAlternative(AlternativeName),
}

/// Declares a set of words that AWS uses.
macro_rules! word_enum {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "the names are AWS's and X.520's words")]
        pub enum $name { $($variant),+ }

        impl $name {
            /// Takes AWS's word for it, in any case.
            fn parse(word: &str) -> Option<Self> {
                $(if word.eq_ignore_ascii_case($word) { return Some(Self::$variant); })+
                None
            }
        }
    };
}

word_enum! {
    /// An attribute of a distinguished name that has a policy variable.
    NameAttribute {
        DistinguishedNameQualifier = "DistinguishedNameQualifier",
        Country = "Country",
        Organization = "Organization",
        OrganizationalUnit = "OrganizationalUnit",
        State = "State",
        CommonName = "CommonName",
        SerialNumber = "SerialNumber",
        Title = "Title",
        Surname = "Surname",
        GivenName = "GivenName",
        Initials = "Initials",
        Pseudonym = "Pseudonym",
        GenerationQualifier = "GenerationQualifier",
    }
}

word_enum! {
    /// A kind of alternative name that has a policy variable.
    AlternativeName {
        Rfc822Name = "RFC822Name",
        DnsName = "DNSName",
        DirectoryName = "DirectoryName",
        UniformResourceIdentifier = "UniformResourceIdentifier",
        IpAddress = "IPAddress",
    }
}

impl NameAttribute {
    /// The attribute with this object identifier, in dotted decimal: `2.5.4.3` is the common name.
    pub fn from_oid(oid: &str) -> Option<Self> {
        // The arc 2.5.4 of X.520.
        Some(match oid.strip_prefix("2.5.4.")? {
            "3" => Self::CommonName,
            "4" => Self::Surname,
            "5" => Self::SerialNumber,
            "6" => Self::Country,
            "8" => Self::State,
            "10" => Self::Organization,
            "11" => Self::OrganizationalUnit,
            "12" => Self::Title,
            "42" => Self::GivenName,
            "43" => Self::Initials,
            "44" => Self::GenerationQualifier,
            "46" => Self::DistinguishedNameQualifier,
            "65" => Self::Pseudonym,
            _ => return None,
        })
    }
}

/// A policy variable or condition key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Variable {
    ClientId,
    SourceIp,
    CertificateId,
    ThingName,
    ThingTypeName,
    ThingAttribute(String),
    IsAttached,
    Certificate(CertificateField, Which),
    /// One that a connection of ours never has. AWS accepts such variables, too, since policies are also for
    /// principals of other kinds.
    Unknown,
}

/// Which of several values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// This one, counted from 0.
    At(usize),
    /// `.List`: every one.
    Every,
}

impl Variable {
    /// The variable of this name, without `${` and `}`. Names are the same in any case, names of things' attributes
    /// are not.
    pub(super) fn parse(name: &str) -> Self {
        let is = |word: &str| name.eq_ignore_ascii_case(word);
        if is("iot:ClientId") {
            Self::ClientId
        } else if is("aws:SourceIp") {
            Self::SourceIp
        } else if is("iot:CertificateId") {
            Self::CertificateId
        } else if let Some(of_thing) = strip_prefix_any_case(name, "iot:Connection.Thing.") {
            Self::parse_of_thing(of_thing)
        } else if let Some(of_certificate) = strip_prefix_any_case(name, "iot:Certificate.") {
            Self::parse_of_certificate(of_certificate)
        } else {
            Self::Unknown
        }
    }

    fn parse_of_thing(name: &str) -> Self {
        if name.eq_ignore_ascii_case("ThingName") {
            Self::ThingName
        } else if name.eq_ignore_ascii_case("ThingTypeName") {
            Self::ThingTypeName
        } else if name.eq_ignore_ascii_case("IsAttached") {
            Self::IsAttached
        } else {
            let attribute = strip_prefix_any_case(name, "Attributes[").and_then(|rest| rest.strip_suffix(']'));
            attribute.map_or(Self::Unknown, |attribute| Self::ThingAttribute(attribute.to_owned()))
        }
    }

    fn parse_of_certificate(name: &str) -> Self {
        let words: Vec<&str> = name.split('.').collect();
        let (field, suffix): (_, &[&str]) = match words.as_slice() {
            [serial] if serial.eq_ignore_ascii_case("SerialNumber") => (Some(CertificateField::SerialNumber), &[]),
            [of, alternative, kind, suffix @ ..] if alternative.eq_ignore_ascii_case("AlternativeName") => {
                let kind = AlternativeName::parse(kind);
                let field = if of.eq_ignore_ascii_case("Subject") {
                    kind.map(CertificateField::SubjectAlternative)
                } else if of.eq_ignore_ascii_case("Issuer") {
                    kind.map(CertificateField::IssuerAlternative)
                } else {
                    None
                };
                (field, suffix)
            }
            [of, attribute, suffix @ ..] => {
                let attribute = NameAttribute::parse(attribute);
                let field = if of.eq_ignore_ascii_case("Subject") {
                    attribute.map(CertificateField::Subject)
                } else if of.eq_ignore_ascii_case("Issuer") {
                    attribute.map(CertificateField::Issuer)
                } else {
                    None
                };
                (field, suffix)
            }
            _ => (None, &[]),
        };
        let which = match suffix {
            [] => Some(Which::At(0)),
            [list] if list.eq_ignore_ascii_case("List") => Some(Which::Every),
            [index] => index.parse().ok().map(Which::At),
            _ => None,
        };
        match (field, which) {
            (Some(field), Some(which)) => Self::Certificate(field, which),
            _ => Self::Unknown,
        }
    }

    /// Whether it can have more than one value.
    pub(super) fn is_list(&self) -> bool {
        matches!(self, Self::Certificate(_, Which::Every))
    }
}

impl ConnectionContext<'_> {
    /// The values of a variable; none when it has none.
    pub(super) fn values(&self, variable: &Variable) -> Vec<Cow<'_, str>> {
        let one = |value: Option<Cow<'_, str>>| value.into_iter().map(|value| Cow::Owned(value.into_owned())).collect();
        match variable {
            Variable::ClientId => one(self.client_id.map(Cow::Borrowed)),
            Variable::SourceIp => one(self.source_ip.map(|ip| Cow::Owned(ip.to_canonical().to_string()))),
            Variable::CertificateId => one(self.certificate.map(|facts| Cow::Owned(facts.id.to_string()))),
            Variable::ThingName => one(self.thing.map(|thing| Cow::Borrowed(thing.name.as_str()))),
            Variable::ThingTypeName => {
                one(self.thing.and_then(|thing| thing.type_name.as_ref()).map(|name| Cow::Borrowed(name.as_str())))
            }
            Variable::ThingAttribute(name) => {
                one(self.thing.and_then(|thing| thing.attributes.get(name)).map(|value| Cow::Borrowed(value.as_str())))
            }
            Variable::IsAttached => vec![Cow::Borrowed(if self.thing.is_some() { "true" } else { "false" })],
            Variable::Certificate(field, which) => {
                let values = self.certificate.and_then(|facts| facts.fields.get(field)).map_or(&[][..], Vec::as_slice);
                let values = values.iter().take(CERTIFICATE_VALUES_MAX);
                let usable = |value: &&String| is_usable_certificate_value(value);
                match which {
                    Which::At(index) => {
                        values.skip(*index).take(1).filter(usable).map(|value| Cow::Borrowed(value.as_str())).collect()
                    }
                    Which::Every => values.filter(usable).map(|value| Cow::Borrowed(value.as_str())).collect(),
                }
            }
            Variable::Unknown => Vec::new(),
        }
    }
}

/// Whether an attribute of a certificate can stand for a variable. With a wildcard in it AWS leaves the variable
/// unfilled ("X.509 certificate policy variable limitations"), so that it matches nothing.
fn is_usable_certificate_value(value: &str) -> bool {
    value.len() <= CERTIFICATE_VALUE_BYTES_MAX && !value.contains(['*', '$', '+', '?', '#'])
}

/// What follows `prefix`, compared in any case.
fn strip_prefix_any_case<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_recognised() {
        let certificate = |field, which| Variable::Certificate(field, which);
        let subject = CertificateField::Subject;
        let cases = [
            ("iot:ClientId", Variable::ClientId),
            ("IOT:clientid", Variable::ClientId),
            ("aws:SourceIp", Variable::SourceIp),
            ("aws:sourceIp", Variable::SourceIp),
            ("iot:CertificateId", Variable::CertificateId),
            ("iot:Connection.Thing.ThingName", Variable::ThingName),
            ("iot:Connection.Thing.ThingTypeName", Variable::ThingTypeName),
            ("iot:Connection.Thing.IsAttached", Variable::IsAttached),
            ("iot:Connection.Thing.Attributes[Site]", Variable::ThingAttribute("Site".into())),
            ("iot:Connection.Thing.Attributes[Site", Variable::Unknown),
            ("iot:Certificate.SerialNumber", certificate(CertificateField::SerialNumber, Which::At(0))),
            ("iot:Certificate.Subject.CommonName", certificate(subject(NameAttribute::CommonName), Which::At(0))),
            ("iot:Certificate.Subject.Country.1", certificate(subject(NameAttribute::Country), Which::At(1))),
            ("iot:Certificate.Subject.Country.List", certificate(subject(NameAttribute::Country), Which::Every)),
            ("iot:Certificate.Subject.Country.List.1", Variable::Unknown),
            ("iot:Certificate.Subject.Country.-1", Variable::Unknown),
            ("iot:Certificate.Subject.Shoe", Variable::Unknown),
            (
                "iot:Certificate.Issuer.Organization",
                certificate(CertificateField::Issuer(NameAttribute::Organization), Which::At(0)),
            ),
            (
                "iot:Certificate.Subject.AlternativeName.DNSName",
                certificate(CertificateField::SubjectAlternative(AlternativeName::DnsName), Which::At(0)),
            ),
            (
                "iot:Certificate.Issuer.AlternativeName.IPAddress.2",
                certificate(CertificateField::IssuerAlternative(AlternativeName::IpAddress), Which::At(2)),
            ),
            ("cognito-identity.amazonaws.com:sub", Variable::Unknown),
            ("", Variable::Unknown),
        ];
        for (name, expected) in cases {
            assert_eq!(Variable::parse(name), expected, "{name}");
        }
    }
}
