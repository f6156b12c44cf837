//! Addresses and names that many share: resolvers, networks of content, clouds.

/// Networks, each under the name of whom they belong to, as their owners publish them. Small, and of those whom devices meet
/// most; operators add their own lists.
pub(super) const NETWORKS: &str = include_str!("../../data/shared-networks.txt");

/// Names that would take too many with them. A name below one of them may be an indicator, itself or a name above it not.
pub(super) const NAMES: &[&str] = &[
    "akamaiedge.net",
    "akamaihd.net",
    "amazonaws.com",
    "azure.com",
    "azureedge.net",
    "cloudapp.net",
    "cloudflare.com",
    "cloudfront.net",
    "debian.org",
    "discord.com",
    "duckdns.org",
    "dyndns.org",
    "fastly.net",
    "github.com",
    "github.io",
    "githubusercontent.com",
    "gitlab.com",
    "google.com",
    "googleapis.com",
    "googleusercontent.com",
    "kernel.org",
    "microsoft.com",
    "mozilla.org",
    "no-ip.com",
    "no-ip.org",
    "nist.gov",
    "ntp.org",
    "openwrt.org",
    "pastebin.com",
    "pool.ntp.org",
    "telegram.org",
    "torproject.org",
    "trafficmanager.net",
    "ubuntu.com",
    "windows.com",
    "windows.net",
    "windowsupdate.com",
    "workers.dev",
];
