//! Whom a report says that its device was in contact with, and which of them are indicators.

use std::collections::BTreeSet;

use komainu_detect::IndicatorSet;
use komainu_model::{
    Change, Contact, IndicatorChange, IndicatorId, IndicatorMatch, Remote, RemoteHost, ReporterName, Scope,
    SightingWay, Timestamp,
};
use komainu_report::{CustomValue, Report};

use crate::indicators::Indicators;

/// A custom metric of type `string_list` in which agents name whom their device was in contact with since the last report:
/// `NAME`, `NAME:PORT`, `ADDRESS`, `ADDRESS:PORT`.
const REMOTE_ENDPOINTS: &str = "remote-endpoints";
/// The same of type `ip_list`.
const REMOTE_ADDRESSES: &str = "remote-addresses";

/// So many indicators that one report names are told; a device that has met more of them is known well enough.
const MATCHES_MAX: usize = 64;
/// So many contacts of one report are remembered, indicators first. A device has a handful; one that scans has thousands, and
/// is seen by other metrics.
const CONTACTS_PER_REPORT_MAX: usize = 256;

/// Whom a report names.
#[derive(Debug, Default)]
pub(crate) struct Encounters {
    /// `None` when the report says nothing of that.
    pub(crate) matches: Option<Vec<IndicatorMatch>>,
    /// Those who are worth remembering.
    contacts: Vec<Remote>,
    /// So many were left out at the bound.
    pub(crate) contacts_dropped: usize,
}

impl Encounters {
    /// Whom `report` names, and which of them are in `set`.
    pub(crate) fn of(report: &Report, set: &IndicatorSet, indicators: &Indicators, at: Timestamp) -> Self {
        let Some(remotes) = remotes(report) else { return Self::default() };
        let mut matches = Vec::new();
        let (mut matched, mut others) = (Vec::new(), Vec::new());
        let mut dropped = 0;
        for remote in remotes {
            let before = matches.len();
            let found = |id| add_match(&mut matches, id, &remote, SightingWay::Report, at);
            set.find(&remote, found);
            let is_worth_it = match &remote.host {
                RemoteHost::Address(address) => indicators.is_worth_remembering(*address),
                RemoteHost::Name(_) => true,
            };
            if matches.len() > before {
                matched.push(remote);
            } else if is_worth_it && others.len() < CONTACTS_PER_REPORT_MAX {
                others.push(remote);
            } else if is_worth_it {
                dropped += 1;
            }
        }
        matched.append(&mut others);
        dropped += matched.len().saturating_sub(CONTACTS_PER_REPORT_MAX);
        matched.truncate(CONTACTS_PER_REPORT_MAX);
        Self { matches: Some(matches), contacts: matched, contacts_dropped: dropped }
    }

    /// What is to be remembered of it.
    pub(crate) fn into_changes(self, scope: &Scope, reporter: &ReporterName, at: Timestamp) -> Vec<Change> {
        let contact = |remote| Contact { reporter: reporter.clone(), remote, first_at: at, last_at: at, count: 1 };
        let contacts = self.contacts.into_iter().map(contact);
        contacts.map(|contact| Change::Indicators(IndicatorChange::AddContact(scope.clone(), contact))).collect()
    }
}

/// Adds what was found, each indicator once.
pub(crate) fn add_match(
    matches: &mut Vec<IndicatorMatch>,
    indicator: IndicatorId,
    remote: &Remote,
    way: SightingWay,
    seen_at: Timestamp,
) {
    let is_known = matches.iter().any(|found| found.indicator == indicator);
    if !is_known && matches.len() < MATCHES_MAX {
        matches.push(IndicatorMatch { indicator, remote: remote.clone(), way, seen_at, sample: None });
    }
}

/// Everybody whom a report names, each once; `None` when it says nothing of that.
fn remotes(report: &Report) -> Option<BTreeSet<Remote>> {
    let mut remotes = BTreeSet::new();
    let mut is_told = false;
    if let Some(connections) = &report.connections {
        is_told = true;
        let remote = |connection: &komainu_report::Connection| Remote {
            host: RemoteHost::Address(connection.address),
            port: connection.port.filter(|port| *port != 0),
        };
        remotes.extend(connections.iter().map(remote));
    }
    for metric in &report.custom {
        match (metric.name.as_str(), &metric.value) {
            (REMOTE_ENDPOINTS, CustomValue::Strings(endpoints)) => {
                is_told = true;
                remotes.extend(endpoints.iter().filter_map(|endpoint| Remote::parse(endpoint).ok()));
            }
            (REMOTE_ADDRESSES, CustomValue::Addresses(addresses)) => {
                is_told = true;
                let remote = |address: &std::net::IpAddr| Remote {
                    host: RemoteHost::Address(address.to_canonical()),
                    port: None,
                };
                remotes.extend(addresses.iter().map(remote));
            }
            _ => {}
        }
    }
    is_told.then_some(remotes)
}
