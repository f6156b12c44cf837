//! The addresses of those who belong to the house.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{PoisonError, RwLock};

/// So many are remembered: a fleet behind as many addresses. Of further ones it is said once that they are not.
const ADDRESSES_MAX: usize = 200_000;

/// From where devices and sensors were seen to come since the start, and where the server itself is. Whoever sees one notes it.
#[derive(Debug, Default)]
pub struct OwnAddresses(RwLock<HashSet<IpAddr>>);

impl OwnAddresses {
    /// Notes an address; says whether it is remembered now.
    pub fn note(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        if self.contains(address) {
            return true;
        }
        let mut addresses = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let has_room = addresses.len() < ADDRESSES_MAX;
        if has_room {
            addresses.insert(address);
        }
        has_room
    }

    /// Whether an address is one of the house.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(&address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_known() {
        let own = OwnAddresses::default();
        assert!(own.note("::ffff:203.0.113.7".parse().unwrap()));
        assert!(own.contains("203.0.113.7".parse().unwrap()));
        assert!(!own.contains("203.0.113.8".parse().unwrap()));
    }
}
