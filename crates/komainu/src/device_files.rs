//! The files a device needs, named as AWS's walkthrough of Device Defender names them.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;

use crate::admin::EnrolledDevice;

/// Writes `NAME.cert.pem`, `NAME.private.key` (readable by the owner only) and `root-CA.crt` to `folder`.
pub(crate) fn write(folder: &Path, device: &EnrolledDevice) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    for (name, text, mode) in [
        (format!("{}.cert.pem", device.name), &device.certificate_pem, 0o644),
        (format!("{}.private.key", device.name), &device.private_key_pem, 0o600),
        ("root-CA.crt".to_owned(), &device.root_pem, 0o644),
    ] {
        // A new file renamed into place: never half a file, and never an old file's wider permissions. Devices that are
        // enrolled at the same time share the folder, and one of its files.
        let (path, unfinished) = (folder.join(&name), folder.join(format!(".{name}.{}.new", device.name)));
        let write = || {
            match std::fs::remove_file(&unfinished) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&unfinished)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&unfinished, &path)
        };
        write().with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
