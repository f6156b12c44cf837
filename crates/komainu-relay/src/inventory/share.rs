//! The shared folders of a device: `[device.share]`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use komainu_model::{ShareAccount, ShareName, SharePassword, WatchedShares};
use serde::{Deserialize, Serialize};

use super::{DeviceText, Inventory, InventoryError, wrong};

/// Shares of a device that are watched.
const SHARES_MAX: usize = 8;

/// Seconds between two looks: a look takes a device's time, and files stay where they are dropped.
const INTERVAL_S: u32 = 30;
const INTERVAL_S_MIN: u32 = 5;
const INTERVAL_S_MAX: u32 = 86_400;

/// Bytes of a user's name and of a password: what NTLM's clients let people type.
const USER_BYTES_MAX: usize = 104;
const PASSWORD_BYTES_MAX: usize = 256;

/// The port of SMB (MS-SMB2, 2.1).
const PORT: u16 = 445;

/// The user's name by which clients mean everybody.
const GUEST: &str = "guest";

/// Where the password of a device's account is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PasswordFile {
    /// Whose, by its place in the inventory.
    device: usize,
    path: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShareText {
    name: NamesText,
    user: Option<String>,
    /// In an inventory that somebody wrote.
    password_file: Option<PathBuf>,
    /// In an inventory that is handed on.
    password: Option<PasswordText>,
    #[serde(default = "interval_s")]
    interval_s: u32,
    #[serde(default = "port")]
    port: u16,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum NamesText {
    One(String),
    Several(Vec<String>),
}

#[derive(Serialize, Deserialize)]
struct PasswordText(String);

impl std::fmt::Debug for PasswordText {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("PasswordText(…)")
    }
}

const fn interval_s() -> u32 {
    INTERVAL_S
}

const fn port() -> u16 {
    PORT
}

/// Refuses passwords in an inventory that somebody wrote: such a file is shown around.
pub(super) fn refuse_passwords(devices: &[DeviceText]) -> Result<(), InventoryError> {
    let with_password = |device: &DeviceText| device.share.as_ref().is_some_and(|share| share.password.is_some());
    match devices.iter().position(with_password) {
        Some(index) => Err(wrong(format!("device[{index}].share.password"), "must stand in a file: password_file")),
        None => Ok(()),
    }
}

pub(super) fn password_files(devices: &[DeviceText]) -> Vec<PasswordFile> {
    let files = devices.iter().enumerate().filter_map(|(device, text)| {
        let path = text.share.as_ref()?.password_file.clone()?;
        Some(PasswordFile { device, path })
    });
    files.collect()
}

impl Inventory {
    /// Reads the passwords. A path that is not absolute begins where the inventory lies.
    pub(super) fn read_passwords(&mut self, inventory: &Path) -> Result<(), InventoryError> {
        let folder = inventory.parent().unwrap_or(Path::new(""));
        for PasswordFile { device, path } in std::mem::take(&mut self.password_files) {
            let path = folder.join(path);
            let password = read_password(&path).map_err(|source| InventoryError::Io { path, source })?;
            let field = format!("device[{device}].share.password_file");
            if password.is_empty() || password.len() > PASSWORD_BYTES_MAX || password.chars().any(char::is_control) {
                return Err(wrong(field, format!("must hold one line with 1 to {PASSWORD_BYTES_MAX} bytes")));
            }
            let share = self.devices.get_mut(device).and_then(|device| device.share.as_mut());
            if let Some(account) = share.and_then(|share| share.account.as_mut()) {
                account.password = SharePassword::new(password);
            }
        }
        Ok(())
    }
}

fn read_password(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(PASSWORD_BYTES_MAX as u64 + 3).read_to_string(&mut text)?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

impl ShareText {
    pub(super) fn of(share: &WatchedShares) -> Self {
        Self {
            name: NamesText::Several(share.names.iter().map(ShareName::to_string).collect()),
            user: share.account.as_ref().map(|account| account.user.clone()),
            password_file: None,
            password: share.account.as_ref().map(|account| PasswordText(account.password.reveal().to_owned())),
            interval_s: share.interval_s,
            port: share.port,
        }
    }

    pub(super) fn watched(self, at: &str) -> Result<WatchedShares, InventoryError> {
        let field = |name: &str| format!("{at}.{name}");
        let names = self.name.names(&field("name"))?;
        if !(INTERVAL_S_MIN..=INTERVAL_S_MAX).contains(&self.interval_s) {
            return Err(wrong(field("interval_s"), format!("must be {INTERVAL_S_MIN} to {INTERVAL_S_MAX}")));
        }
        if self.port == 0 {
            return Err(wrong(field("port"), "must be from 1 on"));
        }
        let account = match (self.user, self.password_file.is_some(), self.password) {
            (None, false, None) => None,
            (Some(user), true, None) => Some(account(&field("user"), user, String::new())?),
            (Some(user), false, Some(PasswordText(password))) => Some(account(&field("user"), user, password)?),
            (Some(_), ..) | (None, ..) => {
                return Err(wrong(field("password_file"), "must be there with user, and only then"));
            }
        };
        Ok(WatchedShares { names, account, interval_s: self.interval_s, port: self.port })
    }
}

fn account(field: &str, user: String, password: String) -> Result<ShareAccount, InventoryError> {
    if user.is_empty() || user.len() > USER_BYTES_MAX || user.chars().any(char::is_control) {
        return Err(wrong(field, format!("must be 1 to {USER_BYTES_MAX} bytes of text")));
    }
    if user.eq_ignore_ascii_case(GUEST) {
        return Err(wrong(field, "is left out for a guest"));
    }
    Ok(ShareAccount { user, password: SharePassword::new(password) })
}

impl NamesText {
    fn names(self, at: &str) -> Result<Vec<ShareName>, InventoryError> {
        let texts = match self {
            Self::One(name) => vec![name],
            Self::Several(names) => names,
        };
        if texts.is_empty() || texts.len() > SHARES_MAX {
            return Err(wrong(at, format!("must be 1 to {SHARES_MAX} names")));
        }
        let mut names: Vec<ShareName> = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            let field = format!("{at}[{index}]");
            let name = ShareName::parse(text).map_err(|error| wrong(&field, format!("is not right: {error}")))?;
            // Servers do not tell letters from capital ones in names of shares.
            if names.iter().any(|known| known.as_str().eq_ignore_ascii_case(text)) {
                return Err(wrong(field, "is there a second time"));
            }
            names.push(name);
        }
        Ok(names)
    }
}
