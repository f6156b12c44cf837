//! What a session was.

use std::fmt;
use std::sync::Arc;

use komainu_decode::Place;

use crate::geo::Origin;
use crate::rules::About;
use crate::scanners::Scanner;

/// What a session was. `docs/classification.md` says how each is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Label {
    /// Somebody looked what is there.
    Scan,
    /// Somebody guessed passwords.
    Bruteforce,
    /// Somebody got in.
    Login,
    /// Somebody used a weakness.
    Exploit,
    /// Somebody brought a program, or had it fetched.
    Dropper,
    /// Somebody looked for answers that are larger than their questions.
    ReflectionProbe,
    /// A scanner that is known and did nothing hostile.
    Crawler,
    /// Somebody wanted to be passed on to others.
    ProxyAbuse,
    /// None of these: something for people to look at.
    Unknown,
}

impl Label {
    const ALL: [Self; 9] = [
        Self::Scan,
        Self::Bruteforce,
        Self::Login,
        Self::Exploit,
        Self::Dropper,
        Self::ReflectionProbe,
        Self::Crawler,
        Self::ProxyAbuse,
        Self::Unknown,
    ];

    /// Its name, as records have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::Bruteforce => "bruteforce",
            Self::Login => "login",
            Self::Exploit => "exploit",
            Self::Dropper => "dropper",
            Self::ReflectionProbe => "reflection_probe",
            Self::Crawler => "crawler",
            Self::ProxyAbuse => "proxy_abuse",
            Self::Unknown => "unknown",
        }
    }

    /// The label of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|label| label.name() == name)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A rule that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// The rule.
    pub rule: Arc<About>,
    /// The bytes that it was asked about.
    pub place: Place,
}

/// What a session was, and why we think so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What it was.
    pub label: Label,
    /// How sure that is: from 0 to 100.
    pub confidence: u8,
    /// The weaknesses that were tried, such as `CVE-2017-17215`.
    pub cves: Vec<String>,
    /// ids of ATT&CK techniques, such as `T1190`.
    pub techniques: Vec<String>,
    /// What shows it, at most 16 pieces.
    pub evidence: Vec<Evidence>,
    /// How many alerts there were.
    pub alerts: u32,
    /// Where the client is.
    pub origin: Origin,
    /// Which known scanner the client is, or says it is.
    pub scanner: Option<Scanner>,
}

/// Something that shows what a session was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The number of a rule, or `yara:NAMESPACE:RULE`, or the name of what was seen, such as `accepted_login`.
    pub rule: String,
    /// The bytes that show it, where it is bytes that do.
    pub place: Option<Place>,
}
