//! Changes of this machine's network: packet filter rules, routes, and the kernel's settings.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::process::{Command, Stdio};

use komainu_model::{Appliance, ApplianceIndex};
use tracing::error;

use crate::day::Day;
use crate::events;
use crate::inventory::Inventory;
use crate::rights::ExaminerUids;
use crate::ruleset::{self, MARK, ROUTING_TABLE, TABLE};

/// Bytes of what a program says when it fails that are told on.
const COMPLAINT_BYTES_MAX: usize = 1_000;

/// Why the network could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// A program could not be run.
    #[error("cannot run {program} (is it installed?)")]
    NotRun {
        /// Which.
        program: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A program refused what it was told.
    #[error("{program} refused {what}: {complaint}")]
    Failed {
        /// Which.
        program: &'static str,
        /// What it was told to do.
        what: &'static str,
        /// What it said.
        complaint: String,
    },
    /// The kernel refused a setting.
    #[error("cannot set {key}")]
    Setting {
        /// Which, as `sysctl` has it.
        key: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

/// Replaces our table by the rules for an inventory, at once. A quarantine outlasts it, and what devices have used of
/// their day; what they send while it is read and written anew is not counted. Gives back the seconds until the day is
/// over.
pub(crate) fn load(inventory: &Inventory, examiner: ExaminerUids) -> Result<u32, NetworkError> {
    // Without our table, no day has begun.
    let listed = run("nft", "a question", &["-j", "list", "table", "inet", "komainu_relay"], "").ok();
    let day = listed.map(|listed| Day::parse(&listed, inventory)).transpose().unwrap_or_else(|error| {
        error!(event = events::DAY_UNKNOWN, %error, "what devices have used of their day is not known");
        None
    });
    let day = day.unwrap_or_default();
    nft("the rules", &ruleset::next_ruleset(inventory, &quarantined(inventory), examiner, &day))?;
    Ok(day.left_s)
}

/// The devices that are in quarantine.
pub(crate) fn quarantined(inventory: &Inventory) -> BTreeSet<ApplianceIndex> {
    // Without our table there is no quarantine.
    let listed = run("nft", "a question", &["list", "set", "inet", "komainu_relay", "quarantined"], "");
    let listed = listed.unwrap_or_default();
    let is_listed = |device: &Appliance| listed.contains(&format!("\"{}\"", device.interface));
    inventory.indexed().filter(|(_, device)| is_listed(device)).map(|(index, _)| index).collect()
}

/// Removes our table, our route and our routing rule. Devices are held by nothing then.
pub fn remove() -> Result<(), NetworkError> {
    nft("to remove the rules", &format!("add table {TABLE}\ndelete table {TABLE}\n"))?;
    while ip("to remove a rule", &["rule", "del", "fwmark", &mark(), "lookup", &ROUTING_TABLE.to_string()]).is_ok() {}
    match ip("to remove a route", &["route", "flush", "table", &ROUTING_TABLE.to_string()]) {
        // A table that was never used is none.
        Ok(_) | Err(NetworkError::Failed { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Sets up routing. The rules must be there already: only they hold the devices once this machine forwards packets.
pub(crate) fn route(inventory: &Inventory) -> Result<(), NetworkError> {
    for device in inventory.devices() {
        let interface = device.interface.as_str();
        // The rules check sources more strictly; the kernel's check would refuse answers to relayed strangers.
        set(&format!("net/ipv4/conf/{interface}/rp_filter"), "0")?;
        set(&format!("net/ipv4/conf/{interface}/accept_source_route"), "0")?;
        set(&format!("net/ipv4/conf/{interface}/accept_redirects"), "0")?;
        set(&format!("net/ipv4/conf/{interface}/send_redirects"), "0")?;
        let ipv6 = format!("net/ipv6/conf/{interface}/disable_ipv6");
        if fs::exists(format!("/proc/sys/{ipv6}")).unwrap_or(false) {
            set(&ipv6, "1")?;
        }
    }
    // The stricter of this one and the interface's counts.
    set("net/ipv4/conf/all/rp_filter", "0")?;
    set("net/ipv4/conf/all/send_redirects", "0")?;
    let (mark, table) = (mark(), ROUTING_TABLE.to_string());
    if ip("to list rules", &["rule", "list", "fwmark", &mark])?.trim().is_empty() {
        ip("a rule", &["rule", "add", "fwmark", &mark, "lookup", &table])?;
    }
    ip("a route", &["route", "replace", "local", "0.0.0.0/0", "dev", "lo", "table", &table])?;
    set("net/ipv4/ip_forward", "1")
}

pub(crate) fn allow(index: ApplianceIndex, addresses: &[std::net::Ipv4Addr]) -> Result<(), NetworkError> {
    nft("addresses of a maker's cloud", &ruleset::allow(index, addresses))
}

/// Closes every way to and from a device of the inventory that is loaded.
pub(crate) fn quarantine(device: &Appliance) -> Result<(), NetworkError> {
    nft("a quarantine", &ruleset::quarantine("add", device))
}

/// Closes every way to and from a device but that of its examiner.
pub(crate) fn begin_examination(device: &Appliance) -> Result<(), NetworkError> {
    // At once: there is no moment in which it is examined and not in quarantine.
    nft("an examination", &format!("{}{}", ruleset::quarantine("add", device), ruleset::examination("add", device)))
}

/// Closes the way of the examiner, if it is open.
pub(crate) fn end_examination(device: &Appliance) -> Result<(), NetworkError> {
    let text = format!("{}{}", ruleset::examination("add", device), ruleset::examination("delete", device));
    nft("the end of an examination", &text)
}

/// Ends a quarantine, if there is one.
pub(crate) fn release(device: &Appliance) -> Result<(), NetworkError> {
    // Deleting what is not there is an error, adding what is there is none.
    let text = format!("{}{}", ruleset::quarantine("add", device), ruleset::quarantine("delete", device));
    nft("the end of a quarantine", &text)
}

/// Begins a new day for what devices may send.
pub(crate) fn reset_quotas() -> Result<(), NetworkError> {
    nft("to reset quotas", &ruleset::begin_day())
}

fn mark() -> String {
    format!("{MARK:#x}")
}

fn nft(what: &'static str, text: &str) -> Result<(), NetworkError> {
    run("nft", what, &["-f", "-"], text).map(drop)
}

fn ip(what: &'static str, arguments: &[&str]) -> Result<String, NetworkError> {
    run("ip", what, arguments, "")
}

fn run(program: &'static str, what: &'static str, arguments: &[&str], input: &str) -> Result<String, NetworkError> {
    let failed = |source| NetworkError::NotRun { program, source };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends early says why on its standard error.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let mut complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    complaint.truncate(complaint.floor_char_boundary(COMPLAINT_BYTES_MAX));
    Err(NetworkError::Failed { program, what, complaint })
}

fn set(path: &str, value: &str) -> Result<(), NetworkError> {
    fs::write(format!("/proc/sys/{path}"), value)
        .map_err(|source| NetworkError::Setting { key: path.replace('/', "."), source })
}
