//! Entrances for the fuzz targets; compiled with `--cfg fuzzing` only.

/// Types bytes into the shell of a session, line by line; the first byte chooses the device.
pub fn shell(bytes: &[u8]) {
    if let Some((&first, lines)) = bytes.split_first() {
        crate::shell::check_lines(lines, u64::from(first));
    }
}
