//! Findings of the laboratory as STIX 2.1 (OASIS standard, 10 June 2021), for platforms that exchange what is known of
//! threats.
//!
//! In goes [`Findings`], plain values; out comes a bundle, as JSON. The same findings give the same bytes: observables have
//! the identifiers that the standard prescribes for their contents (section 2.9), and everything else has identifiers
//! made the same way in a namespace of ours.
//!
//! Not here: reading STIX, and where findings come from.

mod attack;
mod bundle;
mod id;

pub use bundle::{bundle, bundle_text};

/// What is known of a sample.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    /// Who says so; a name for the identity.
    pub by: String,
    /// The version of the program that says so.
    pub version: String,
    /// When it is said: RFC 3339 in UTC, with milliseconds.
    pub made: String,
    /// When the runs began, if there were any.
    pub began: Option<String>,
    /// The file.
    pub file: File,
    /// The name of the family with the most votes.
    pub family: Option<String>,
    /// What to think of it.
    pub result: AnalysisResult,
    /// One sentence in English.
    pub sentence_en: String,
    /// The same in Japanese.
    pub sentence_ja: String,
    /// Processors it is made for, by the laboratory's names.
    pub isas: Vec<String>,
    /// Headings of what it does, by the laboratory's names.
    pub kinds: Vec<String>,
    /// Techniques of ATT&CK, such as `T1053.003`, each with what was seen of it.
    pub techniques: Vec<(String, String)>,
    /// Endpoints that matter.
    pub endpoints: Vec<Endpoint>,
    /// Files that it left behind: path and SHA-256.
    pub dropped: Vec<(String, String)>,
    /// Who may see it.
    pub marking: Marking,
}

/// A file.
#[derive(Debug, Clone, Default)]
pub struct File {
    /// What it was called, printable.
    pub name: Option<String>,
    /// Its length.
    pub bytes: u64,
    /// SHA-256, in hexadecimal digits.
    pub sha256: String,
    /// SHA-1.
    pub sha1: Option<String>,
    /// MD5.
    pub md5: Option<String>,
}

/// What an analysis thinks of a file (`malware-result-ov`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AnalysisResult {
    /// It does harm.
    Malicious,
    /// Some of what it does is rare in harmless programs.
    Suspicious,
    /// Nothing was seen, or nothing was run.
    #[default]
    Unknown,
}

/// An endpoint.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The address, if it means something outside of the laboratory.
    pub address: Option<std::net::IpAddr>,
    /// The names under which it was looked for.
    pub names: Vec<String>,
    /// The port.
    pub port: u16,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// What it is.
    pub role: EndpointRole,
    /// How sure that is, in percent.
    pub confidence: u8,
    /// Why, in words.
    pub reasons: Vec<String>,
}

/// What an endpoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointRole {
    /// Gives orders.
    Command,
    /// Has programs.
    Download,
    /// Is told what was found.
    Report,
}

/// Who may see it: the Traffic Light Protocol, as STIX 2.1 has it (section 7.2.1.4).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Marking {
    /// Everybody.
    White,
    /// The community.
    #[default]
    Green,
    /// Those who need it in the own organisation and with its clients.
    Amber,
    /// Only those who were given it.
    Red,
}
