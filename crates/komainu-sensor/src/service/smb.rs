//! SMB as a small file server speaks it: SMB1 (MS-CIFS, MS-SMB) and SMB2/3 (MS-SMB2), over the NetBIOS session service
//! (RFC 1002) and in TCP directly, with shares that guests may write to.
//!
//! [`Server`] is the whole of it without sockets: bytes in, messages out. Nothing is encrypted. SMB2 and SMB3 are signed
//! with whoever proves a password that the persona knows; everybody else is a guest, as on a device that maps unknown users
//! to one.

mod files;
mod info;
mod listing;
mod login;
mod opens;
mod pipe;
mod server;
mod shares;
mod signing;
mod status;
mod v1;
mod v2;
mod wire;

use std::sync::Arc;

use serde::Deserialize;

use self::files::Memory;
use self::server::Server;
use crate::link::Link;
use crate::persona::{Accounts, Device, PersonaError};
use crate::session::Ending;

/// Shares that a persona may have: devices have a handful. With their names and comments, the list of them is bounded.
const SHARES_MAX: usize = 16;

/// Files that a share of a persona may have; together with what a client may make, a directory is listed quickly.
const FILES_MAX: usize = 64;

/// The longest name, comment or path of a persona, in bytes.
const TEXT_BYTES_MAX: usize = 240;

/// The longest name of a server or workgroup, in letters: what NetBIOS has room for.
const NETBIOS_NAME_MAX: usize = 15;

/// Memory for what clients leave on the shares of one persona, in bytes, for all connections together. Beyond it what is
/// written is not kept for reading back.
const MEMORY_BYTES_MAX: u64 = 128 << 20;

/// A file server.
#[derive(Debug)]
pub(crate) struct Smb {
    server_name: String,
    workgroup: String,
    /// What SMB1 says of the system, such as `Unix`, and of the software, such as `Samba 3.6.25`.
    native_os: String,
    native_lm: String,
    /// Shown with the server's name, and with IPC$.
    server_comment: String,
    pipes_comment: String,
    /// Everybody is let in as a guest; else accounts are.
    has_guests: bool,
    accounts: Accounts,
    dialect_max: Dialect,
    shares: Vec<Share>,
    memory: Arc<Memory>,
}

/// A share.
#[derive(Debug)]
struct Share {
    name: String,
    comment: String,
    /// Where it lies on the device, such as `/mnt/hdd/share`.
    path: String,
    is_writable: bool,
    files: Vec<(String, Arc<[u8]>)>,
}

/// The dialects, from the oldest to the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
enum Dialect {
    #[serde(rename = "NT1")]
    Nt1,
    #[serde(rename = "2.0.2")]
    V202,
    #[serde(rename = "2.1")]
    V210,
    #[serde(rename = "3.0")]
    V300,
    #[serde(rename = "3.0.2")]
    V302,
    #[serde(rename = "3.1.1")]
    V311,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SmbText {
    pub(crate) ports: Vec<u16>,
    server_name: Option<String>,
    #[serde(default = "workgroup")]
    workgroup: String,
    #[serde(default = "native_os")]
    native_os: String,
    #[serde(default = "native_lm")]
    native_lm: String,
    #[serde(default = "comment")]
    comment: String,
    #[serde(default = "guest")]
    guest: bool,
    #[serde(default = "dialect_max")]
    dialect_max: Dialect,
    #[serde(default)]
    share: Vec<ShareText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShareText {
    name: String,
    #[serde(default)]
    comment: String,
    path: String,
    #[serde(default)]
    writable: bool,
    #[serde(default)]
    file: Vec<FileText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    name: String,
    body: Option<String>,
    file: Option<String>,
}

fn workgroup() -> String {
    "WORKGROUP".into()
}

fn native_os() -> String {
    "Unix".into()
}

fn native_lm() -> String {
    "Samba 3.6.25".into()
}

fn comment() -> String {
    "Samba 3.6.25".into()
}

const fn guest() -> bool {
    true
}

const fn dialect_max() -> Dialect {
    Dialect::V311
}

impl Smb {
    /// Checks what a persona says; `at` is where it says it.
    pub(crate) fn check(text: SmbText, at: &str, device: &Device<'_>) -> Result<Self, PersonaError> {
        let server_name = text.server_name.unwrap_or_else(|| device.host_name.to_uppercase());
        for (field, name) in [("server_name", &server_name), ("workgroup", &text.workgroup)] {
            if !files::is_name(name) || name.chars().count() > NETBIOS_NAME_MAX {
                let problem = format!("must be a name of at most {NETBIOS_NAME_MAX} letters");
                return Err(device.wrong(format!("{at}.{field}"), problem));
            }
        }
        for (field, text) in
            [("native_os", &text.native_os), ("native_lm", &text.native_lm), ("comment", &text.comment)]
        {
            check_text(text, || format!("{at}.{field}"), device)?;
        }
        if text.share.len() > SHARES_MAX {
            return Err(device.wrong(format!("{at}.share"), format!("must be at most {SHARES_MAX}")));
        }
        let mut shares: Vec<Share> = Vec::new();
        for (index, share) in text.share.into_iter().enumerate() {
            let at = format!("{at}.share[{index}]");
            let is_taken = |name: &str| {
                let is_same = |other: &str| other.to_lowercase() == name.to_lowercase();
                is_same(shares::PIPES) || shares.iter().any(|share| is_same(&share.name))
            };
            if is_taken(&share.name) {
                return Err(device.wrong(format!("{at}.name"), "is there already"));
            }
            shares.push(Share::check(share, &at, device)?);
        }
        Ok(Self {
            server_name,
            workgroup: text.workgroup,
            native_os: text.native_os,
            native_lm: text.native_lm,
            pipes_comment: format!("IPC Service ({})", text.comment),
            server_comment: text.comment,
            has_guests: text.guest,
            accounts: device.accounts.clone(),
            dialect_max: text.dialect_max,
            shares,
            memory: Memory::new(MEMORY_BYTES_MAX),
        })
    }
}

impl Share {
    fn check(text: ShareText, at: &str, device: &Device<'_>) -> Result<Self, PersonaError> {
        if !is_plain_name(&text.name) {
            return Err(device.wrong(format!("{at}.name"), "must be the name of a share"));
        }
        check_text(&text.name, || format!("{at}.name"), device)?;
        check_text(&text.comment, || format!("{at}.comment"), device)?;
        check_text(&text.path, || format!("{at}.path"), device)?;
        if !text.path.starts_with('/') {
            return Err(device.wrong(format!("{at}.path"), "must begin with /"));
        }
        if text.file.len() > FILES_MAX {
            return Err(device.wrong(format!("{at}.file"), format!("must be at most {FILES_MAX}")));
        }
        let mut files: Vec<(String, Arc<[u8]>)> = Vec::new();
        for (index, file) in text.file.into_iter().enumerate() {
            let at = format!("{at}.file[{index}]");
            let is_taken = |(name, _): &(String, _)| name.to_lowercase() == file.name.to_lowercase();
            if !is_plain_name(&file.name) || files.iter().any(is_taken) {
                return Err(device.wrong(format!("{at}.name"), "must be the name of one file"));
            }
            let contents = match (file.body, file.file) {
                (Some(body), None) => body.into_bytes(),
                (None, Some(file)) => device.file(&file)?,
                (Some(_), Some(_)) => return Err(device.wrong(at, "has both body and file")),
                (None, None) => return Err(device.wrong(at, "has neither body nor file")),
            };
            files.push((file.name, contents.into()));
        }
        let (is_writable, name) = (text.writable, text.name);
        Ok(Self { name, comment: text.comment, path: text.path, is_writable, files })
    }
}

/// Whether this is a name of one part.
fn is_plain_name(name: &str) -> bool {
    files::is_name(name) && !name.contains(['\\', '/']) && !matches!(name, "." | "..")
}

fn check_text(text: &str, field: impl FnOnce() -> String, device: &Device<'_>) -> Result<(), PersonaError> {
    if text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(
            device.wrong(field(), format!("must be at most {TEXT_BYTES_MAX} bytes, without control characters"))
        );
    }
    Ok(())
}

/// Speaks with a client until the connection ends.
pub(crate) async fn serve(link: &mut Link, persona: &Arc<Smb>, seed: u64) -> Ending {
    let mut server = Server::new(persona.clone(), seed, link.now());
    loop {
        match link.read().await {
            Ok(bytes) => server.take(&bytes),
            Err(ending) => return ending,
        }
        while let Some(answer) = server.turn(link.now()) {
            let Ok(answer) = answer else { return Ending::Closed };
            if let Err(ending) = link.write(&answer).await {
                return ending;
            }
        }
    }
}

/// Says bytes to a server as they are, and again in pieces: it says the same to both, and panics at neither. What it says
/// is given back.
#[cfg(any(test, fuzzing))]
pub(crate) fn check_conversation(persona: &Arc<Smb>, said: &[u8], size: usize) -> Vec<u8> {
    let whole = said_to(persona, [said].into_iter());
    assert_eq!(said_to(persona, said.chunks(size)), whole, "in pieces of {size}");
    whole
}

/// Everything that a server says to what a client says.
#[cfg(any(test, fuzzing))]
fn said_to<'a>(persona: &Arc<Smb>, said: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    const NOW: i64 = 1_700_000_000_000_000;
    let mut server = Server::new(persona.clone(), 1, NOW);
    let mut all = Vec::new();
    for piece in said {
        server.take(piece);
        while let Some(answer) = server.turn(NOW) {
            let Ok(answer) = answer else { return all };
            all.extend(answer);
        }
    }
    all
}

#[cfg(test)]
mod tests;
