//! What is told of files, directories and the disk: the classes of information (MS-FSCC, 2.4 and 2.5), which SMB1 and
//! SMB2 have in common.

use super::Smb;
use super::files::{CLUSTER_BYTES, DIRECTORY, Stat};
use super::status::Status;
use super::wire::{Letters, Out, length_u32, wide};

/// The size of the disk, in clusters: 1 TB, about a third of it free.
const CLUSTERS: u64 = 244_000_000;
const CLUSTERS_FREE: u64 = 81_337_912;
const SECTOR_BYTES: u32 = 512;
const SECTORS_OF_CLUSTER: u32 = CLUSTER_BYTES as u32 / SECTOR_BYTES;

/// What may be done: everything (MS-SMB2, 2.2.13.1).
pub(super) const ALL_RIGHTS: u32 = 0x001F_01FF;

/// What is told of a file (MS-FSCC, 2.4); `path` is its path in the share.
pub(super) fn of_file(class: u16, stat: &Stat, path: &str, letters: Letters) -> Result<Vec<u8>, Status> {
    let mut out = Out::new();
    match class {
        4 => basic(&mut out, stat),
        5 => standard(&mut out, stat),
        6 => drop(out.u64(index(stat))),
        // Length of extended attributes; mode; alignment.
        7 | 16 | 17 => drop(out.u32(0)),
        8 => drop(out.u32(ALL_RIGHTS)),
        9 | 48 => name(&mut out, path, letters),
        14 => drop(out.u64(0)),
        18 => {
            basic(&mut out, stat);
            standard(&mut out, stat);
            out.u64(index(stat)).u32(0).u32(ALL_RIGHTS).u64(0).u32(0).u32(0);
            name(&mut out, path, letters);
        }
        21 => name(&mut out, &short_name(&stat.name), letters),
        22 => {
            if !stat.is_directory {
                let stream = wide("::$DATA");
                out.u32(0).u32(length_u32(stream.len())).u64(stat.bytes).u64(stat.allocated_bytes()).bytes(&stream);
            }
        }
        28 => drop(out.u64(stat.bytes).zeros(8)),
        34 => {
            times(&mut out, stat);
            out.u64(stat.allocated_bytes()).u64(stat.bytes).u32(stat.attributes).u32(0);
        }
        35 => drop(out.u32(stat.attributes).u32(0)),
        _ => return Err(Status::INVALID_INFO_CLASS),
    }
    Ok(out.take())
}

/// The older form of FileAllInformation, of SMB1 only (MS-CIFS, 2.2.8.3.8).
pub(super) fn all_of_smb1(stat: &Stat, path: &str, letters: Letters) -> Vec<u8> {
    let mut out = Out::new();
    basic(&mut out, stat);
    standard(&mut out, stat);
    out.u32(0);
    name(&mut out, path, letters);
    out.take()
}

/// An entry of a directory (MS-FSCC, 2.4), without the distance to the next, which stands in its first four bytes. None
/// when there is no such class.
pub(super) fn entry(class: u16, stat: &Stat, letters: Letters) -> Option<Out> {
    const NAMES: u16 = 12;
    let mut out = Out::new();
    let name = letters.of(&stat.name);
    // To the next, and the index of this one.
    out.u32(0).u32(0);
    if class == NAMES {
        out.u32(length_u32(name.len())).bytes(&name);
        return Some(out);
    }
    times(&mut out, stat);
    out.u64(stat.bytes).u64(stat.allocated_bytes()).u32(stat.attributes).u32(length_u32(name.len()));
    match class {
        1 => {}
        2 => drop(out.u32(0)),
        // No short name.
        3 => drop(out.u32(0).u8(0).u8(0).zeros(24)),
        37 => drop(out.u32(0).u8(0).u8(0).zeros(24).u16(0).u64(index(stat))),
        38 => drop(out.u32(0).u32(0).u64(index(stat))),
        _ => return None,
    }
    out.bytes(&name);
    Some(out)
}

/// What is told of the disk (MS-FSCC, 2.5).
pub(super) fn of_disk(persona: &Smb, share: usize, class: u16, created: u64) -> Result<Vec<u8>, Status> {
    let mut out = Out::new();
    match class {
        1 => {
            let label = wide(&persona.shares[share].name);
            out.u64(created).u32(serial(persona)).u32(length_u32(label.len())).u16(0).bytes(&label);
        }
        3 => drop(out.u64(CLUSTERS).u64(CLUSTERS_FREE).u32(SECTORS_OF_CLUSTER).u32(SECTOR_BYTES)),
        // A disk that is mounted.
        4 => drop(out.u32(7).u32(0x20)),
        5 => {
            // Names keep their case, and are Unicode; what Samba calls its file system.
            let system = wide("NTFS");
            out.u32(0x0000_000B).u32(255).u32(length_u32(system.len())).bytes(&system);
        }
        7 => {
            out.u64(CLUSTERS).u64(CLUSTERS_FREE).u64(CLUSTERS_FREE).u32(SECTORS_OF_CLUSTER).u32(SECTOR_BYTES);
        }
        8 => drop(out.zeros(64)),
        11 => {
            out.u32(SECTOR_BYTES).u32(SECTOR_BYTES).u32(SECTOR_BYTES).u32(SECTOR_BYTES).u32(3).u32(0).u32(0);
        }
        _ => return Err(Status::INVALID_INFO_CLASS),
    }
    Ok(out.take())
}

/// SMB_INFO_ALLOCATION, of SMB1 only (MS-CIFS, 2.2.8.2.1).
pub(super) fn allocation_of_smb1() -> Vec<u8> {
    let mut out = Out::new();
    out.u32(0).u32(SECTORS_OF_CLUSTER).u32(length_u32(CLUSTERS as usize)).u32(length_u32(CLUSTERS_FREE as usize));
    out.u16(512);
    out.take()
}

/// The size of the disk as the old command asks for it (MS-CIFS, 2.2.4.57.2): units, blocks of a unit, bytes of a block,
/// free units. It has 16 bits for each, so the disk seems smaller.
pub(super) fn old_disk() -> [u16; 4] {
    [0xFFFF, 64, 512, 0x5555]
}

/// Who owns it and who may do what: nothing of it is said (MS-DTYP, 2.4.6: revision 1, self-relative, no parts).
pub(super) fn security_descriptor() -> Vec<u8> {
    let mut out = Out::new();
    out.u8(1).u8(0).u16(0x8000).zeros(16);
    out.take()
}

fn times(out: &mut Out, stat: &Stat) {
    let times = stat.times;
    out.u64(times.created.0).u64(times.accessed.0).u64(times.written.0).u64(times.changed.0);
}

fn basic(out: &mut Out, stat: &Stat) {
    times(out, stat);
    out.u32(stat.attributes).u32(0);
}

fn standard(out: &mut Out, stat: &Stat) {
    out.u64(stat.allocated_bytes()).u64(stat.bytes).u32(1);
    out.u8(stat.is_to_be_deleted.into()).u8((stat.attributes & DIRECTORY != 0).into()).u16(0);
}

fn name(out: &mut Out, name: &str, letters: Letters) {
    let name = letters.of(name);
    out.u32(length_u32(name.len())).bytes(&name);
}

/// The number of a file on its disk: inodes do not begin at 0.
fn index(stat: &Stat) -> u64 {
    0x0012_0000 + stat.id.0
}

/// A disk's serial number, of the name of the server: it stays the same.
fn serial(persona: &Smb) -> u32 {
    persona.server_name.bytes().fold(0x2F1D_9A03, |serial: u32, byte| serial.rotate_left(5) ^ u32::from(byte))
}

/// A name in the old form of eight letters and three.
fn short_name(name: &str) -> String {
    let (stem, end) = name.rsplit_once('.').unwrap_or((name, ""));
    let letters = |text: &str, count: usize| -> String {
        text.chars().filter(char::is_ascii_alphanumeric).take(count).collect::<String>().to_uppercase()
    };
    let is_short = stem.len() <= 8 && end.len() <= 3;
    let stem = if is_short { letters(stem, 8) } else { letters(stem, 6) + "~1" };
    if end.is_empty() { stem } else { format!("{stem}.{}", letters(end, 3)) }
}
