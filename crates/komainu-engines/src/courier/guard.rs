//! Where connections may go: judged by address, after the name was resolved.
//!
//! A name that was harmless when its owner subscribed may point to a metadata service when it is called.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};

use komainu_model::{EgressDenied, EgressRules};
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// The most addresses of one name that are tried.
const ADDRESSES_MAX: usize = 16;

/// Resolves names to those of their addresses that may be sent to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GuardedResolver {
    pub(crate) egress: EgressRules,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let egress = self.egress;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let mut allowed: Vec<SocketAddr> = Vec::new();
            let mut denied: Option<EgressDenied> = None;
            for address in found.take(ADDRESSES_MAX) {
                match egress.check(address.ip()) {
                    Ok(()) => allowed.push(address),
                    Err(reason) => denied = Some(reason),
                }
            }
            match (allowed.is_empty(), denied) {
                (true, Some(reason)) => Err(reason.into()),
                (true, None) => Err("the name has no addresses".into()),
                (false, _) => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

/// Judges the host of a URL that is an address already; names are judged by the resolver.
pub(crate) fn check_literal(url: &Url, egress: &EgressRules) -> Result<(), EgressDenied> {
    let host = url.host_str().unwrap_or_default();
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match literal.parse::<IpAddr>() {
        Ok(address) => egress.check(address),
        Err(_) => Ok(()),
    }
}

/// The denial among an error's causes.
pub(crate) fn denial(error: &(dyn Error + 'static)) -> Option<EgressDenied> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(denied) = error.downcast_ref::<EgressDenied>() {
            return Some(*denied);
        }
        cause = error.source();
    }
    None
}
