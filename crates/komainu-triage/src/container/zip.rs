//! ZIP archives, by their central directory, and where that is missing by the headers before the members.
//!
//! Source: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3 and 4.4.

use flate2::read::DeflateDecoder;

use crate::container::{Stop, Unpacking};
use crate::text::shown;

const END_MAGIC: &[u8] = b"PK\x05\x06";
const CENTRAL_MAGIC: &[u8] = b"PK\x01\x02";
const LOCAL_MAGIC: &[u8] = b"PK\x03\x04";

/// The end of the directory stands behind it and before a comment of at most 65,535 bytes.
const END_LOOK_BYTES: usize = 22 + 65_535;

/// What either header says of a member.
struct Entry<'a> {
    name: &'a [u8],
    method: u16,
    flags: u16,
    packed_bytes: usize,
    start: usize,
}

pub(super) fn unpack(unpacking: &mut Unpacking<'_>, bytes: &[u8]) -> Result<(), Stop> {
    let tail = bytes.len().saturating_sub(END_LOOK_BYTES);
    let end = memchr::memmem::rfind(&bytes[tail..], END_MAGIC).map(|place| tail + place);
    let directory = end.and_then(|end| Some((u32_at(bytes, end + 16)? as usize, u16_at(bytes, end + 10)?)));
    let Some((mut at, count)) = directory else {
        unpacking.problems.tell("the ZIP archive has no directory");
        return unpack_in_order(unpacking, bytes);
    };
    // Members that lie over each other make a small archive a bomb; all together have no more bytes than the archive.
    let mut left = bytes.len();
    for _ in 0..count {
        unpacking.entry()?;
        let Some((entry, next)) = central(bytes, at) else {
            return unpacking.stop("the directory of the ZIP archive is damaged: the rest is not read");
        };
        at = next;
        match left.checked_sub(entry.packed_bytes) {
            Some(rest) => left = rest,
            None => return unpacking.stop("a bomb: members of the ZIP archive lie over each other"),
        }
        extract(unpacking, bytes, &entry)?;
    }
    Ok(())
}

/// Members of an archive that was cut off.
fn unpack_in_order(unpacking: &mut Unpacking<'_>, bytes: &[u8]) -> Result<(), Stop> {
    let mut at = 0;
    while let Some(entry) = local(bytes, at) {
        unpacking.entry()?;
        extract(unpacking, bytes, &entry)?;
        if entry.packed_bytes == 0 && entry.flags & 8 != 0 {
            return unpacking.stop("the sizes of the members are not known: the rest is not read");
        }
        at = entry.start.saturating_add(entry.packed_bytes);
    }
    Ok(())
}

fn extract(unpacking: &mut Unpacking<'_>, bytes: &[u8], entry: &Entry<'_>) -> Result<(), Stop> {
    if entry.name.ends_with(b"/") {
        return Ok(());
    }
    if !unpacking.has_room() {
        return Ok(());
    }
    let name = shown(entry.name);
    let rest = bytes.get(entry.start..).unwrap_or_default();
    if rest.len() < entry.packed_bytes {
        unpacking.problems.tell(format!("the archive ends within `{name}`"));
    }
    let packed = &rest[..rest.len().min(entry.packed_bytes)];
    if entry.flags & 1 != 0 {
        unpacking.budget.left_out += 1;
        unpacking.problems.tell(format!("`{name}` is encrypted"));
        return Ok(());
    }
    match entry.method {
        0 => {
            unpacking.spend(packed.len() as u64)?;
            unpacking.member(Some(entry.name), packed);
        }
        8 => {
            let contents = unpacking.inflate(DeflateDecoder::new(packed), packed.len())?;
            unpacking.member(Some(entry.name), &contents);
        }
        method => {
            unpacking.budget.left_out += 1;
            unpacking.problems.tell(format!("`{name}` is compressed by method {method}, which is not supported"));
        }
    }
    Ok(())
}

fn central(bytes: &[u8], at: usize) -> Option<(Entry<'_>, usize)> {
    let head = bytes.get(at..)?.get(..46)?;
    if !head.starts_with(CENTRAL_MAGIC) {
        return None;
    }
    let half = |place| u16_at(head, place).map(usize::from);
    let (name_bytes, extra, comment) = (half(28)?, half(30)?, half(32)?);
    let name = bytes.get(at + 46..at + 46 + name_bytes)?;
    let header = u32_at(head, 42)? as usize;
    let local = local(bytes, header)?;
    let entry = Entry {
        name,
        method: u16_at(head, 10)?,
        flags: u16_at(head, 8)?,
        packed_bytes: u32_at(head, 20)? as usize,
        start: local.start,
    };
    Some((entry, at + 46 + name_bytes + extra + comment))
}

fn local(bytes: &[u8], at: usize) -> Option<Entry<'_>> {
    let head = bytes.get(at..)?.get(..30)?;
    if !head.starts_with(LOCAL_MAGIC) {
        return None;
    }
    let (name_bytes, extra) = (usize::from(u16_at(head, 26)?), usize::from(u16_at(head, 28)?));
    Some(Entry {
        name: bytes.get(at + 30..at + 30 + name_bytes)?,
        method: u16_at(head, 8)?,
        flags: u16_at(head, 6)?,
        packed_bytes: u32_at(head, 18)? as usize,
        start: at + 30 + name_bytes + extra,
    })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at.checked_add(2)?)?.try_into().ok().map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_le_bytes)
}
