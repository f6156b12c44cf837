//! Where an address is.

use std::net::IpAddr;

use maxminddb::{MaxMindDbError, Reader, geoip2};

/// Bytes of an operator's name that are kept.
const ORGANISATION_BYTES_MAX: usize = 256;

/// Where an address is, as far as that is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The country to which a registry gave the address: two letters (ISO 3166-1).
    pub country: Option<&'static str>,
    /// The autonomous system.
    pub asn: Option<u32>,
    /// Whose that is.
    pub organisation: Option<String>,
}

/// Which address belongs to which autonomous system.
#[derive(Debug)]
pub struct AsnTable(Reader<Vec<u8>>);

/// Why a table cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AsnError {
    /// It is no such file, or damaged.
    #[error("cannot read it as MMDB: {0}")]
    Unreadable(#[from] MaxMindDbError),
    /// It is about something else.
    #[error("its type is `{0}`, which has nothing about autonomous systems")]
    WrongType(String),
}

impl AsnTable {
    /// Reads a table in the format of MaxMind DB (version 2.0), with the fields of GeoLite2-ASN.
    pub fn read(bytes: Vec<u8>) -> Result<Self, AsnError> {
        let reader = Reader::from_source(bytes)?;
        let kind = &reader.metadata().database_type;
        if !kind.to_ascii_lowercase().contains("asn") {
            return Err(AsnError::WrongType(kind.clone()));
        }
        Ok(Self(reader))
    }

    fn look_up(&self, address: IpAddr) -> Option<(Option<u32>, Option<String>)> {
        // A table that is damaged in one place says nothing about what stands there.
        let entry: geoip2::Asn<'_> = self.0.lookup(address).ok()?.decode().ok()??;
        let name = entry.autonomous_system_organization.map(|name| {
            let end = name.floor_char_boundary(ORGANISATION_BYTES_MAX);
            name[..end].to_owned()
        });
        Some((entry.autonomous_system_number, name))
    }
}

/// The country to which a registry gave an address: two letters (ISO 3166-1). The registries' own lists are built in.
pub fn country(address: IpAddr) -> Option<&'static str> {
    iptocc::country_code(address)
}

/// Where an address is.
pub(crate) fn origin(address: IpAddr, table: Option<&AsnTable>) -> Origin {
    let country = country(address);
    let (asn, organisation) = table.and_then(|table| table.look_up(address)).unwrap_or_default();
    Origin { country, asn, organisation }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn countries_of_addresses() {
        let check = |address: &str, expected: Option<&str>| {
            assert_eq!(origin(address.parse().unwrap(), None).country, expected, "{address}");
        };
        check("8.8.8.8", Some("US"));
        check("133.11.0.1", Some("JP"));
        check("193.0.6.139", Some("NL"));
        check("2001:200::1", Some("JP"));
        check("2001:4860:4860::8888", Some("US"));
        check("10.0.0.1", None);
        check("127.0.0.1", None);
        check("::1", None);
    }

    #[test]
    fn what_is_no_table_is_refused() {
        assert!(matches!(AsnTable::read(b"not a table".to_vec()), Err(AsnError::Unreadable(_))));
    }
}
