//! Archives whose members lie in them one after the other: tar, ar and cpio.

use crate::container::{Stop, Unpacking};

const TAR_BLOCK_BYTES: usize = 512;

/// Bytes of a long name in a tar archive.
const LONG_NAME_BYTES_MAX: usize = 4_096;

/// Whether it is a tar archive: it says so, or its check sum is right.
pub(crate) fn is_tar(bytes: &[u8]) -> bool {
    let Some(head) = bytes.get(..TAR_BLOCK_BYTES) else { return false };
    let stated = octal(&head[148..156]);
    stated.is_some_and(|stated| stated > 0 && stated == tar_sum(head))
}

/// The sum of all bytes, with spaces for itself.
fn tar_sum(head: &[u8]) -> u64 {
    let sum: u64 = head.iter().map(|byte| u64::from(*byte)).sum();
    let own: u64 = head[148..156].iter().map(|byte| u64::from(*byte)).sum();
    sum - own + 8 * u64::from(b' ')
}

/// A number in octal digits with spaces around; or, for large files, in binary behind a byte 0x80 (GNU).
fn octal(field: &[u8]) -> Option<u64> {
    if field.first() == Some(&0x80) {
        let number = field.get(field.len().checked_sub(8)?..)?;
        return number.try_into().ok().map(u64::from_be_bytes);
    }
    let is_space = |byte: &u8| matches!(byte, b' ' | 0);
    let start = field.iter().position(|byte| !is_space(byte))?;
    let digits = &field[start..];
    let end = digits.iter().position(is_space).unwrap_or(digits.len());
    let digits = std::str::from_utf8(&digits[..end]).ok()?;
    u64::from_str_radix(digits, 8).ok()
}

fn until_zero(field: &[u8]) -> &[u8] {
    &field[..memchr::memchr(0, field).unwrap_or(field.len())]
}

/// Source: POSIX.1-2017, pax, "ustar Interchange Format", and GNU tar's manual, "Basic Tar Format".
pub(super) fn tar(unpacking: &mut Unpacking<'_>, bytes: &[u8]) -> Result<(), Stop> {
    let mut at = 0_usize;
    let mut long_name: Option<&[u8]> = None;
    while let Some(head) = bytes.get(at..).and_then(|rest| rest.get(..TAR_BLOCK_BYTES)) {
        if head.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        if octal(&head[148..156]) != Some(tar_sum(head)) {
            return unpacking.stop("a header in the archive is damaged: the rest is not read");
        }
        let size = octal(&head[124..136]).and_then(|size| usize::try_from(size).ok()).unwrap_or(usize::MAX);
        let start = at + TAR_BLOCK_BYTES;
        let Some(contents) = start.checked_add(size).and_then(|end| bytes.get(start..end)) else {
            let rest = &bytes[start..];
            unpacking.problems.tell("the archive ends within a member");
            return unpacking.stored(Some(until_zero(&head[..100])), rest);
        };
        match head[156] {
            b'0' | 0 | b'7' => {
                let name = long_name.take().unwrap_or_else(|| until_zero(&head[..100]));
                unpacking.stored(Some(name), contents)?;
            }
            b'L' => {
                unpacking.entry()?;
                long_name = Some(until_zero(&contents[..size.min(LONG_NAME_BYTES_MAX)]));
            }
            // Folders, links, devices, and what pax says beside.
            _ => {
                unpacking.entry()?;
                long_name = None;
            }
        }
        at = start + size.next_multiple_of(TAR_BLOCK_BYTES);
    }
    Ok(())
}

/// Source: the manual page ar(5), with GNU's and BSD's long names left as they are.
pub(super) fn ar(unpacking: &mut Unpacking<'_>, bytes: &[u8]) -> Result<(), Stop> {
    let mut at = 8_usize;
    while let Some(head) = bytes.get(at..).and_then(|rest| rest.get(..60)) {
        let digits = std::str::from_utf8(head[48..58].trim_ascii()).ok();
        let size = digits.and_then(|digits| digits.parse::<usize>().ok());
        let (Some(size), b"`\n") = (size, &head[58..60]) else {
            return unpacking.stop("a header in the archive is damaged: the rest is not read");
        };
        let start = at + 60;
        let Some(contents) = start.checked_add(size).and_then(|end| bytes.get(start..end)) else {
            return unpacking.stop("the archive ends within a member");
        };
        let name = head[..16].trim_ascii_end();
        let name = name.strip_suffix(b"/").unwrap_or(name);
        // The index of symbols, and the table of long names.
        if matches!(name, b"" | b"/" | b"__.SYMDEF") {
            unpacking.entry()?;
        } else {
            unpacking.stored(Some(name), contents)?;
        }
        at = start + size.next_multiple_of(2);
    }
    Ok(())
}

/// How a cpio archive writes its headers.
struct Cpio {
    magic_bytes: usize,
    head_bytes: usize,
    radix: u32,
    /// Where the mode, the size of the name and the size of the file stand, and how many digits.
    mode: (usize, usize),
    name: (usize, usize),
    file: (usize, usize),
    alignment: usize,
}

/// Source: the Linux kernel's `Documentation/driver-api/early-userspace/buffer-format.rst`.
pub(super) fn cpio_new(unpacking: &mut Unpacking<'_>, bytes: &[u8]) -> Result<(), Stop> {
    let layout =
        Cpio { magic_bytes: 5, head_bytes: 110, radix: 16, mode: (14, 8), name: (94, 8), file: (54, 8), alignment: 4 };
    cpio(unpacking, bytes, &layout)
}

/// Source: POSIX.1-2017, pax, "cpio Interchange Format".
pub(super) fn cpio_old(unpacking: &mut Unpacking<'_>, bytes: &[u8]) -> Result<(), Stop> {
    let layout =
        Cpio { magic_bytes: 6, head_bytes: 76, radix: 8, mode: (18, 6), name: (59, 6), file: (65, 11), alignment: 1 };
    cpio(unpacking, bytes, &layout)
}

fn cpio(unpacking: &mut Unpacking<'_>, bytes: &[u8], layout: &Cpio) -> Result<(), Stop> {
    let Some(magic) = bytes.get(..layout.magic_bytes) else {
        return unpacking.stop("the archive ends within its first header");
    };
    let mut at = 0_usize;
    while let Some(head) = bytes.get(at..).and_then(|rest| rest.get(..layout.head_bytes)) {
        let number = |(start, digits): (usize, usize)| {
            let digits = std::str::from_utf8(&head[start..start + digits]).ok()?;
            usize::from_str_radix(digits, layout.radix).ok()
        };
        let (true, Some(mode), Some(name_bytes), Some(file_bytes)) =
            (head.starts_with(magic), number(layout.mode), number(layout.name), number(layout.file))
        else {
            return unpacking.stop("a header in the archive is damaged: the rest is not read");
        };
        let name_start = at + layout.head_bytes;
        let start =
            name_start.saturating_add(name_bytes).checked_next_multiple_of(layout.alignment).unwrap_or(usize::MAX);
        let end = start.saturating_add(file_bytes);
        let (Some(name), Some(contents)) =
            (bytes.get(name_start..name_start.saturating_add(name_bytes)), bytes.get(start..end))
        else {
            return unpacking.stop("the archive ends within a member");
        };
        let name = until_zero(name);
        if name == b"TRAILER!!!" {
            return Ok(());
        }
        // A regular file.
        if mode & 0o170_000 == 0o100_000 {
            unpacking.stored(Some(name), contents)?;
        } else {
            unpacking.entry()?;
        }
        at = end.checked_next_multiple_of(layout.alignment).unwrap_or(usize::MAX);
    }
    Ok(())
}
