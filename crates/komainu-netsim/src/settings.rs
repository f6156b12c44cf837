//! What the simulated Internet is told before it begins.

use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

/// How the simulated Internet behaves. Everything has a default; unknown keys are refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// From what every choice follows: same seed, same frames at the same times, same answers.
    pub seed: u64,
    /// The time that servers tell when it begins, in seconds since 1970 (UTC).
    pub clock_unix_s: u64,
    /// How frames come on their descriptor.
    pub framing: Framing,
    /// Out of which range names get their addresses.
    #[serde(with = "text")]
    pub names_v4: Ipv4Net,
    /// Out of which range names get their IPv6 addresses.
    #[serde(with = "text")]
    pub names_v6: Ipv6Net,
    /// Which names there are.
    pub names: NamePolicy,
    /// Which ports are open.
    pub ports: PortPolicy,
    /// Who is let in.
    pub logins: LoginPolicy,
    /// What whoever downloads a program or a script gets.
    pub downloads: DownloadPolicy,
    /// How long a packet takes to a server and back, in milliseconds: at least and at most. Each address has its own time.
    pub latency_ms: (u32, u32),
    /// Players of command-and-control servers: the texts of their files (TOML).
    pub players: Vec<String>,
    /// Whether the built-in players play.
    pub built_in_players: bool,
    /// The most that is carried and recorded.
    pub bounds: Bounds,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 0,
            // 2024-01-01, 00:00:00 UTC.
            clock_unix_s: 1_704_067_200,
            framing: Framing::Datagram,
            // For tests between networks (RFC 2544, RFC 5180): nobody's servers.
            names_v4: "198.18.0.0/15".parse().expect("a network"),
            names_v6: "2001:2::/48".parse().expect("a network"),
            names: NamePolicy::default(),
            ports: PortPolicy::default(),
            logins: LoginPolicy::default(),
            downloads: DownloadPolicy::Script,
            latency_ms: (5, 40),
            players: Vec::new(),
            built_in_players: true,
            bounds: Bounds::default(),
        }
    }
}

/// How frames come on their descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Framing {
    /// Each message is a frame: QEMU's `-netdev dgram`.
    Datagram,
    /// Each frame stands behind its length in four bytes, big-endian: QEMU's `-netdev stream`.
    Stream,
}

/// Which names there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum NamePolicy {
    /// All that is asked for.
    Every,
    /// None.
    None,
    /// All but these and what lies below them.
    AllBut(Vec<String>),
    /// All, but the first ones that look generated are not: so whoever makes up names shows more of them, and at last
    /// reaches one. A name that is asked for a third time is there.
    GeneratedLater {
        /// How many names that look generated are not there.
        refused: u32,
    },
}

impl Default for NamePolicy {
    fn default() -> Self {
        Self::GeneratedLater { refused: 4 }
    }
}

/// Which ports are open. What was found by a name is always open, and so is what a player waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PortPolicy {
    /// On how many addresses a port is open in any case: the first ones that are tried.
    pub open_first: u32,
    /// Of how many in a hundred of the others it is open.
    pub open_percent: u32,
    /// How many addresses are answered for one port, open or not. Further ones are counted and never answer.
    pub answered_max: u32,
}

impl Default for PortPolicy {
    fn default() -> Self {
        Self { open_first: 16, open_percent: 10, answered_max: 512 }
    }
}

/// Who is let in where a name and a password are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoginPolicy {
    /// The n-th try at one address and port is let in, whatever it says; 0 never.
    pub accept_after: u32,
    /// These are let in at once: name and password.
    pub pairs: Vec<(String, String)>,
}

impl Default for LoginPolicy {
    fn default() -> Self {
        Self { accept_after: 3, pairs: Vec::new() }
    }
}

/// What whoever downloads a program or a script gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DownloadPolicy {
    /// It is not there.
    NotFound,
    /// A script without a line.
    EmptyScript,
    /// A script of ours that prints for which processor it was asked, and does nothing else.
    Script,
}

/// The most that is carried and recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bounds {
    /// TCP connections at a time; 7 kB each, and 20 kB of the first ones.
    pub connections_max: usize,
    /// TCP connections in all.
    pub connections_in_all_max: u64,
    /// New TCP connections in a second.
    pub connections_per_second_max: u32,
    /// Events, and their bytes as lines of JSON.
    pub events_max: u64,
    /// The bytes of events as lines of JSON.
    pub event_bytes_max: u64,
    /// The bytes of the packets that are kept (pcap); the first ones are.
    pub pcap_bytes_max: u64,
    /// The bytes of all contents that the guest handed over.
    pub content_bytes_max: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections_max: 2048,
            connections_in_all_max: 50_000,
            connections_per_second_max: 1000,
            events_max: 200_000,
            event_bytes_max: 32 << 20,
            pcap_bytes_max: 32 << 20,
            content_bytes_max: 64 << 20,
        }
    }
}

/// Values that are written as texts.
mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_written_and_nothing_unknown_is() {
        let settings = Settings {
            names: NamePolicy::AllBut(vec!["example".into()]),
            players: vec!["[script]".into()],
            ..Settings::default()
        };
        let json = serde_json::to_string(&settings).unwrap();
        assert_eq!(serde_json::from_str::<Settings>(&json).unwrap(), settings);
        assert_eq!(serde_json::from_str::<Settings>("{}").unwrap(), Settings::default());
        for wrong in [r#"{"sead":1}"#, r#"{"names_v4":"198.18.0.0/99"}"#, r#"{"ports":{"open":1}}"#] {
            assert!(serde_json::from_str::<Settings>(wrong).is_err(), "{wrong}");
        }
    }
}
