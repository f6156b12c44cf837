//! Metric values: compact bytes for the many, JSON for those inside other records.
//!
//! The first byte of the compact form says what follows. Counts of one length sort as numbers do, and shorter ones
//! sort before longer ones.
//!
//! | first byte | then |
//! |---|---|
//! | `00`..`08` | a count, big-endian, in so many bytes, the first of which is not zero |
//! | `10` | one number: IEEE 754 binary64, big-endian |
//! | `11` | numbers, 8 bytes each |
//! | `20` | ports, 2 bytes each, big-endian |
//! | `21` | addresses: `04` and 4 bytes, or `06` and 16 bytes, each |
//! | `30` | strings: length as 4 bytes big-endian and UTF-8, each |
//! | `40` | matches of indicators: JSON |

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use komainu_model::{IndicatorMatch, MetricValue};
use komainu_ports::StoreError;
use serde::{Deserialize, Serialize};

use super::indicator::StoredMatch;
use super::word::Exact;
use super::{Damage, to_json};

const COUNT_BYTES_MAX: u8 = 8;
const NUMBER: u8 = 0x10;
const NUMBERS: u8 = 0x11;
const PORTS: u8 = 0x20;
const ADDRESSES: u8 = 0x21;
const STRINGS: u8 = 0x30;
const MATCHES: u8 = 0x40;
const ADDRESS_V4: u8 = 4;
const ADDRESS_V6: u8 = 6;

/// Writes a value in its compact form.
pub(crate) fn encode_value(value: &MetricValue) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(9);
    match value {
        MetricValue::Count(count) => {
            let all = count.to_be_bytes();
            let used = &all[count.leading_zeros() as usize / 8..];
            bytes.push(used.len() as u8);
            bytes.extend_from_slice(used);
        }
        MetricValue::Number(number) => {
            bytes.push(NUMBER);
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        MetricValue::Numbers(numbers) => {
            bytes.push(NUMBERS);
            bytes.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
        }
        MetricValue::Ports(ports) => {
            bytes.push(PORTS);
            bytes.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
        }
        MetricValue::Addresses(addresses) => {
            bytes.push(ADDRESSES);
            for address in addresses {
                match address {
                    IpAddr::V4(address) => {
                        bytes.push(ADDRESS_V4);
                        bytes.extend_from_slice(&address.octets());
                    }
                    IpAddr::V6(address) => {
                        bytes.push(ADDRESS_V6);
                        bytes.extend_from_slice(&address.octets());
                    }
                }
            }
        }
        MetricValue::Strings(strings) => {
            bytes.push(STRINGS);
            for string in strings {
                let length = u32::try_from(string.len()).expect("a reported string is shorter than 4 GiB");
                bytes.extend_from_slice(&length.to_be_bytes());
                bytes.extend_from_slice(string.as_bytes());
            }
        }
        MetricValue::Matches(matches) => {
            bytes.push(MATCHES);
            bytes.extend_from_slice(to_json(&stored_matches(matches)).as_bytes());
        }
    }
    bytes
}

/// Reads a value in its compact form.
pub(crate) fn decode_value(bytes: &[u8]) -> Result<MetricValue, StoreError> {
    try_decode_value(bytes).ok_or_else(|| Damage(format!("bytes {bytes:02x?} are no value")).of("metric value"))
}

fn try_decode_value(bytes: &[u8]) -> Option<MetricValue> {
    let (&kind, rest) = bytes.split_first()?;
    match kind {
        0..=COUNT_BYTES_MAX => {
            if rest.len() != usize::from(kind) || rest.first() == Some(&0) {
                return None;
            }
            Some(MetricValue::Count(rest.iter().fold(0, |count, byte| count << 8 | u64::from(*byte))))
        }
        NUMBER => Some(MetricValue::Number(f64::from_be_bytes(rest.try_into().ok()?))),
        NUMBERS => {
            let (numbers, []) = rest.as_chunks() else { return None };
            Some(MetricValue::Numbers(numbers.iter().map(|bytes| f64::from_be_bytes(*bytes)).collect()))
        }
        PORTS => {
            let (ports, []) = rest.as_chunks() else { return None };
            Some(MetricValue::Ports(ports.iter().map(|bytes| u16::from_be_bytes(*bytes)).collect()))
        }
        ADDRESSES => decode_addresses(rest).map(MetricValue::Addresses),
        STRINGS => decode_strings(rest).map(MetricValue::Strings),
        MATCHES => {
            let stored: Vec<StoredMatch> = serde_json::from_slice(rest).ok()?;
            Some(MetricValue::Matches(read_matches(stored).ok()?))
        }
        _ => None,
    }
}

fn decode_addresses(mut rest: &[u8]) -> Option<Vec<IpAddr>> {
    let mut addresses = Vec::new();
    while let Some((&family, after)) = rest.split_first() {
        rest = match family {
            ADDRESS_V4 => {
                let (octets, after) = after.split_first_chunk::<4>()?;
                addresses.push(Ipv4Addr::from(*octets).into());
                after
            }
            ADDRESS_V6 => {
                let (octets, after) = after.split_first_chunk::<16>()?;
                addresses.push(Ipv6Addr::from(*octets).into());
                after
            }
            _ => return None,
        };
    }
    Some(addresses)
}

fn decode_strings(mut rest: &[u8]) -> Option<Vec<String>> {
    let mut strings = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (string, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        strings.push(String::from_utf8(string.to_vec()).ok()?);
        rest = after;
    }
    Some(strings)
}

fn stored_matches(matches: &[IndicatorMatch]) -> Vec<StoredMatch> {
    matches.iter().map(StoredMatch::from).collect()
}

fn read_matches(stored: Vec<StoredMatch>) -> Result<Vec<IndicatorMatch>, Damage> {
    stored.into_iter().map(IndicatorMatch::try_from).collect()
}

/// A value inside another record.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum StoredValue {
    Count(u64),
    Addresses(Vec<IpAddr>),
    Ports(Vec<u16>),
    Number(Exact),
    Numbers(Vec<Exact>),
    Strings(Vec<String>),
    Matches(Vec<StoredMatch>),
}

impl From<&MetricValue> for StoredValue {
    fn from(value: &MetricValue) -> Self {
        match value {
            MetricValue::Count(count) => Self::Count(*count),
            MetricValue::Addresses(addresses) => Self::Addresses(addresses.clone()),
            MetricValue::Ports(ports) => Self::Ports(ports.clone()),
            MetricValue::Number(number) => Self::Number(Exact(*number)),
            MetricValue::Numbers(numbers) => Self::Numbers(numbers.iter().copied().map(Exact).collect()),
            MetricValue::Strings(strings) => Self::Strings(strings.clone()),
            MetricValue::Matches(matches) => Self::Matches(stored_matches(matches)),
        }
    }
}

impl TryFrom<StoredValue> for MetricValue {
    type Error = Damage;

    fn try_from(stored: StoredValue) -> Result<Self, Damage> {
        Ok(match stored {
            StoredValue::Count(count) => Self::Count(count),
            StoredValue::Addresses(addresses) => Self::Addresses(addresses),
            StoredValue::Ports(ports) => Self::Ports(ports),
            StoredValue::Number(number) => Self::Number(number.0),
            StoredValue::Numbers(numbers) => Self::Numbers(numbers.into_iter().map(|number| number.0).collect()),
            StoredValue::Strings(strings) => Self::Strings(strings),
            StoredValue::Matches(matches) => Self::Matches(read_matches(matches)?),
        })
    }
}
