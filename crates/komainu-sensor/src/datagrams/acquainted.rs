//! Who is where they say they are.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How long an acquaintance lasts: scanners look at one port after the other, and an address can have another owner
/// tomorrow.
const ACQUAINTANCE: Duration = Duration::from_secs(600);

/// Addresses that are remembered, about 4 MiB. With more, new ones stay strangers until old ones are forgotten.
const ACQUAINTED_MAX: usize = 65_536;

/// How often a full table is looked through for those that can be forgotten.
const FORGET_INTERVAL: Duration = Duration::from_secs(10);

/// The addresses that completed a TCP handshake with the sensor lately. With a forged source nobody can: the second
/// packet of three goes to whoever has the address, and its number has to be in the third.
#[derive(Debug, Default)]
pub(crate) struct Acquainted(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    met_at: HashMap<IpAddr, Instant>,
    forgot_at: Option<Instant>,
}

impl Acquainted {
    /// Remembers an address.
    pub(crate) fn meet(&self, now: Instant, address: IpAddr) {
        let mut table = self.0.lock();
        let address = address.to_canonical();
        if table.met_at.len() >= ACQUAINTED_MAX && !table.met_at.contains_key(&address) {
            if table.forgot_at.is_some_and(|at| now.saturating_duration_since(at) < FORGET_INTERVAL) {
                return;
            }
            table.forgot_at = Some(now);
            table.met_at.retain(|_, met_at| is_lately(now, *met_at));
            if table.met_at.len() >= ACQUAINTED_MAX {
                return;
            }
        }
        table.met_at.insert(address, now);
    }

    /// Whether an address was met lately.
    pub(crate) fn knows(&self, now: Instant, address: IpAddr) -> bool {
        self.0.lock().met_at.get(&address.to_canonical()).is_some_and(|met_at| is_lately(now, *met_at))
    }
}

fn is_lately(now: Instant, met_at: Instant) -> bool {
    now.saturating_duration_since(met_at) < ACQUAINTANCE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acquaintances_end() {
        let (acquainted, now) = (Acquainted::default(), Instant::now());
        let address = "192.0.2.1".parse().unwrap();
        assert!(!acquainted.knows(now, address));
        acquainted.meet(now, "::ffff:192.0.2.1".parse().unwrap());
        assert!(acquainted.knows(now, address));
        assert!(!acquainted.knows(now, "192.0.2.2".parse().unwrap()));
        assert!(!acquainted.knows(now + ACQUAINTANCE, address));
    }

    #[test]
    fn a_full_table_takes_nobody_until_it_can_forget() {
        let (acquainted, now) = (Acquainted::default(), Instant::now());
        for number in 0..ACQUAINTED_MAX {
            acquainted.meet(now, IpAddr::from((number as u32).to_be_bytes()));
        }
        let one_more = "192.0.2.1".parse().unwrap();
        acquainted.meet(now, one_more);
        assert!(!acquainted.knows(now, one_more));
        let later = now + ACQUAINTANCE;
        acquainted.meet(later, one_more);
        assert!(acquainted.knows(later, one_more));
        assert_eq!(acquainted.0.lock().met_at.len(), 1);
    }
}
