//! The maker's cloud of a device: its names are resolved by this machine, never by the device, and their addresses are
//! what the packet filter lets it reach.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use komainu_model::ApplianceIndex;
use tokio::net::lookup_host;
use tokio::time::{sleep, timeout};
use tracing::warn;

use super::Shared;
use crate::events;

/// How often names are resolved. Their addresses are let through for an hour, so that one failure closes nothing.
const RESOLVE_INTERVAL: Duration = Duration::from_secs(300);

/// How soon it is tried again when a name could not be resolved.
const RETRY: Duration = Duration::from_secs(10);

/// How long resolving one name may take.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Addresses of one name.
const ADDRESSES_MAX: usize = 16;

/// Keeps the way to a device's cloud open until the relay stops.
pub(super) async fn keep_open(shared: Arc<Shared>, index: ApplianceIndex) {
    loop {
        let wait = tokio::select! {
            biased;
            () = shared.stopped() => return,
            is_open = open(&shared, index) => if is_open { RESOLVE_INTERVAL } else { RETRY },
        };
        tokio::select! {
            biased;
            () = shared.stopped() => return,
            () = sleep(wait) => {}
        }
    }
}

/// Resolves each name and lets the device reach it; whether all of it was done.
async fn open(shared: &Shared, index: ApplianceIndex) -> bool {
    let Some(known) = shared.device(index) else { return true };
    let device = &known.appliance.name;
    let mut is_open = true;
    for name in &known.appliance.vendor_names {
        let outcome = match resolve(name.as_str()).await {
            Ok(addresses) => match shared.gate.allow(index, addresses.clone()).await {
                Ok(()) => {
                    shared.cloud.lock().insert(name.to_string(), addresses);
                    Ok(())
                }
                Err(error) => Err(error.to_string()),
            },
            Err(problem) => Err(problem),
        };
        if let Err(error) = outcome {
            warn!(event = events::CLOUD_CLOSED, %device, %name, error, "device's cloud cannot be let through");
            is_open = false;
        }
    }
    is_open
}

async fn resolve(name: &str) -> Result<Vec<Ipv4Addr>, String> {
    let found = match timeout(RESOLVE_TIMEOUT, lookup_host((name, 0))).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_elapsed) => return Err("no answer in time".into()),
    };
    let mut addresses: Vec<Ipv4Addr> = found
        .filter_map(|address| match address.ip() {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        })
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(ADDRESSES_MAX);
    if addresses.is_empty() { Err("it has no IPv4 address".into()) } else { Ok(addresses) }
}
