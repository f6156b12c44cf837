//! Whether a value is normal.

use std::net::IpAddr;

use ipnet::IpNet;
use komainu_model::{Comparison, ExpectedValue};

use super::input::ValueRef;

/// What is normal, made for asking often. Sets are sorted.
#[derive(Debug)]
pub(crate) enum Judge {
    Count(Comparison, u64),
    Number(Comparison, f64),
    Numbers { within: bool, set: Vec<f64> },
    Strings { within: bool, set: Vec<String> },
    Addresses { within: bool, set: AddressRanges },
    Ports { within: bool, set: Vec<u16> },
}

impl Judge {
    /// `None` for criteria that are not judged here.
    pub(crate) fn new(expected: &ExpectedValue) -> Option<Self> {
        Some(match expected {
            ExpectedValue::Count(comparison, limit) => Self::Count(*comparison, *limit),
            ExpectedValue::Number(comparison, limit) => Self::Number(*comparison, *limit),
            ExpectedValue::Numbers { within, set } => {
                let mut set = set.clone();
                set.sort_unstable_by(f64::total_cmp);
                Self::Numbers { within: *within, set }
            }
            ExpectedValue::Strings { within, set } => {
                let mut set = set.clone();
                set.sort_unstable();
                Self::Strings { within: *within, set }
            }
            ExpectedValue::Cidrs { within, set } => Self::Addresses { within: *within, set: AddressRanges::new(set) },
            ExpectedValue::Ports { within, set } => {
                let mut set = set.clone();
                set.sort_unstable();
                Self::Ports { within: *within, set }
            }
            ExpectedValue::Statistical(..) | ExpectedValue::Learned(_) => return None,
        })
    }

    /// Whether the value is normal; `None` when it is not of a kind that can be compared. A list is normal when each
    /// of its elements is, so an empty list always is (AWS IoT developer guide, "Device-side metrics").
    #[inline]
    pub(crate) fn conforms(&self, value: ValueRef<'_>) -> Option<bool> {
        Some(match (self, value) {
            (Self::Count(comparison, limit), ValueRef::Count(value)) => holds(*comparison, &value, limit),
            (Self::Count(comparison, limit), ValueRef::Number(value)) => holds(*comparison, &value, &(*limit as f64)),
            (Self::Number(comparison, limit), ValueRef::Number(value)) => holds(*comparison, &value, limit),
            (Self::Number(comparison, limit), ValueRef::Count(value)) => holds(*comparison, &(value as f64), limit),
            (Self::Count(comparison, limit), ValueRef::Matches(found)) => {
                holds(*comparison, &(found.len() as u64), limit)
            }
            (Self::Number(comparison, limit), ValueRef::Matches(found)) => {
                holds(*comparison, &(found.len() as f64), limit)
            }
            (Self::Numbers { within, set }, ValueRef::Numbers(values)) => {
                // Zero is zero, whatever its sign.
                let is_in = |value: &f64| set.binary_search_by(|member| member.total_cmp(&(value + 0.0))).is_ok();
                values.iter().all(|value| is_in(value) == *within)
            }
            (Self::Numbers { within, set }, ValueRef::Number(value)) => {
                set.binary_search_by(|member| member.total_cmp(&(value + 0.0))).is_ok() == *within
            }
            (Self::Strings { within, set }, ValueRef::Strings(values)) => {
                values.iter().all(|value| set.binary_search(value).is_ok() == *within)
            }
            (Self::Addresses { within, set }, ValueRef::Addresses(values)) => {
                values.iter().all(|value| set.contains(*value) == *within)
            }
            (Self::Ports { within, set }, ValueRef::Ports(values)) => {
                values.iter().all(|value| set.binary_search(value).is_ok() == *within)
            }
            _ => return None,
        })
    }

    /// Whether a sum that violates now violates whatever is added to it.
    #[inline]
    pub(crate) fn bounds_above(&self) -> bool {
        matches!(
            self,
            Self::Count(Comparison::LessThan | Comparison::LessThanEquals, _)
                | Self::Number(Comparison::LessThan | Comparison::LessThanEquals, _)
        )
    }

    /// Whether it compares single numbers.
    pub(crate) fn is_numeric(&self) -> bool {
        matches!(self, Self::Count(..) | Self::Number(..))
    }

    /// What it can compare, in words.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Count(..) | Self::Number(..) => "a number",
            Self::Numbers { .. } => "a list of numbers",
            Self::Strings { .. } => "a list of strings",
            Self::Addresses { .. } => "a list of IP addresses",
            Self::Ports { .. } => "a list of ports",
        }
    }
}

#[inline]
fn holds<T: PartialOrd>(comparison: Comparison, value: &T, limit: &T) -> bool {
    match comparison {
        Comparison::LessThan => value < limit,
        Comparison::LessThanEquals => value <= limit,
        Comparison::GreaterThan => value > limit,
        Comparison::GreaterThanEquals => value >= limit,
    }
}

/// A set of addresses as ranges that neither touch nor overlap, in rising order.
#[derive(Debug, Default)]
pub(crate) struct AddressRanges {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl AddressRanges {
    fn new(networks: &[IpNet]) -> Self {
        let mut ranges = Self::default();
        for network in networks {
            match network {
                IpNet::V4(network) => ranges.v4.push((network.network().into(), network.broadcast().into())),
                IpNet::V6(network) => ranges.v6.push((network.network().into(), network.broadcast().into())),
            }
        }
        merge(&mut ranges.v4);
        merge(&mut ranges.v6);
        ranges
    }

    #[inline]
    fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => in_ranges(&self.v4, address.into()),
            IpAddr::V6(address) => match address.to_ipv4_mapped() {
                Some(address) => in_ranges(&self.v4, address.into()),
                None => in_ranges(&self.v6, address.into()),
            },
        }
    }
}

fn merge<T: Ord + Copy>(ranges: &mut Vec<(T, T)>) {
    ranges.sort_unstable();
    ranges.dedup_by(|next, kept| {
        let overlaps = next.0 <= kept.1;
        if overlaps {
            kept.1 = kept.1.max(next.1);
        }
        overlaps
    });
}

fn in_ranges<T: Ord + Copy>(ranges: &[(T, T)], address: T) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= address);
    after > 0 && address <= ranges[after - 1].1
}
