//! The file system squashfs 4.0 with zlib or XZ: that of most firmware of today.
//!
//! A reader of our own: the tables are read once within bounds, folders are walked with a list of what was seen, and
//! nothing is allocated because a header says so.
//!
//! Source: Alvarez and the kernel's `Documentation/filesystems/squashfs.rst`, and the layout written down at
//! <https://dr-emann.github.io/squashfs/>.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use flate2::read::ZlibDecoder;
use lzma_rust2::XzReader;

use crate::container::{LZMA_KIB_MAX, Stop, Unpacking};
use crate::limits::SAMPLE_BYTES_MAX;
use crate::text::shown;

/// Bytes of one block of metadata, unpacked.
const METADATA_BYTES: usize = 8_192;
/// Bytes of all inodes, and of all folders: 100,000 files have some 5 MiB.
const TABLE_BYTES_MAX: usize = 16 << 20;
/// Bytes of one block of data. Source: the format allows 4 KiB to 1 MiB.
const BLOCK_BYTES_MAX: usize = 1 << 20;
/// Folders inside each other.
const FOLDERS_DEEP_MAX: usize = 64;
/// Bytes of a path.
const PATH_BYTES_MAX: usize = 4_096;
/// A block with this bit is not compressed.
const DATA_STORED: u32 = 1 << 24;
/// The number of a fragment that says that there is none.
const NO_FRAGMENT: u32 = u32::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    Zlib,
    Xz,
}

/// Numbers of the superblock, and the tables.
struct Image<'a> {
    bytes: &'a [u8],
    compression: Compression,
    block_bytes: usize,
    inodes: Table,
    folders: Table,
    fragments: Vec<(u64, u32)>,
}

/// A table of metadata: its bytes, and where each packed block begins in them.
struct Table {
    bytes: Vec<u8>,
    starts: BTreeMap<u64, usize>,
}

impl Table {
    fn at(&self, block: u64, offset: usize) -> Option<&[u8]> {
        self.bytes.get(self.starts.get(&block)?.checked_add(offset)?..)
    }
}

pub(super) fn unpack(unpacking: &mut Unpacking<'_>, bytes: &[u8]) -> Result<(), Stop> {
    let Some(head) = bytes.get(..96) else { return unpacking.stop("the file system ends within its superblock") };
    let half = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
    if half(28) != 4 {
        return unpacking.stop(format!("squashfs {} is not supported", half(28)));
    }
    let compression = match half(20) {
        1 => Compression::Zlib,
        4 => Compression::Xz,
        other => {
            let name = ["", "", "LZMA", "LZO", "", "LZ4", "Zstandard"].get(usize::from(other)).copied();
            let name = name.unwrap_or("an unknown method");
            return unpacking.stop(format!("squashfs compressed by {name} is not supported"));
        }
    };
    let place = |at| u64_at(head, at).unwrap_or_default();
    let (root, inodes, folders, fragments) = (place(32), place(64), place(72), place(80));
    let block_bytes = u32_at(head, 12).unwrap_or_default() as usize;
    if block_bytes == 0 || block_bytes > BLOCK_BYTES_MAX {
        return unpacking.stop(format!("the file system has blocks of {block_bytes} bytes"));
    }
    let fragment_count = u32_at(head, 16).unwrap_or_default() as usize;
    let end_of_folders = [fragments, place(48), place(56), place(88)];
    let end_of_folders = end_of_folders.into_iter().filter(|end| *end > folders).min().unwrap_or(bytes.len() as u64);
    let mut image = Image {
        bytes,
        compression,
        block_bytes,
        inodes: Table { bytes: Vec::new(), starts: BTreeMap::new() },
        folders: Table { bytes: Vec::new(), starts: BTreeMap::new() },
        fragments: Vec::new(),
    };
    image.inodes = image.table(unpacking, inodes, folders)?;
    image.folders = image.table(unpacking, folders, end_of_folders)?;
    image.fragments = image.fragments(unpacking, fragments, fragment_count)?;
    let mut walk = Walk { image: &image, seen: BTreeSet::new(), fragment: None };
    walk.folder(unpacking, root, &mut Vec::new(), 0)
}

impl Image<'_> {
    /// One block of metadata: its bytes, and where the next one begins.
    fn metadata(&self, unpacking: &mut Unpacking<'_>, at: u64) -> Result<(Vec<u8>, u64), Stop> {
        let head = usize::try_from(at).ok().and_then(|at| self.bytes.get(at..)?.get(..2));
        let Some(head) = head else { return unpacking.stop("a table of the file system lies outside of the file") };
        let head = u16::from_le_bytes([head[0], head[1]]);
        let size = usize::from(head & 0x7fff);
        // The place exists, so it is a number of this machine.
        let start = usize::try_from(at).unwrap_or(usize::MAX) + 2;
        let Some(packed) = self.bytes.get(start..start + size) else {
            return unpacking.stop("a table of the file system ends outside of the file");
        };
        let next = at + 2 + size as u64;
        if head & 0x8000 != 0 {
            return Ok((packed.to_vec(), next));
        }
        match self.unpack(packed, METADATA_BYTES) {
            Some(block) => Ok((block, next)),
            None => unpacking.stop("a table of the file system is damaged"),
        }
    }

    fn table(&self, unpacking: &mut Unpacking<'_>, start: u64, end: u64) -> Result<Table, Stop> {
        let mut table = Table { bytes: Vec::new(), starts: BTreeMap::new() };
        let mut at = start;
        while at < end {
            if table.bytes.len() > TABLE_BYTES_MAX {
                return unpacking.stop(format!("a table of the file system has more than {TABLE_BYTES_MAX} bytes"));
            }
            let (block, next) = self.metadata(unpacking, at)?;
            table.starts.insert(at - start, table.bytes.len());
            table.bytes.extend_from_slice(&block);
            at = next;
        }
        Ok(table)
    }

    /// Where fragments lie, and how long they are.
    fn fragments(&self, unpacking: &mut Unpacking<'_>, list: u64, count: usize) -> Result<Vec<(u64, u32)>, Stop> {
        let mut fragments = Vec::new();
        let mut number = 0;
        while fragments.len() < count && list != u64::MAX {
            let place = usize::try_from(list).ok().and_then(|list| u64_at(self.bytes, list.checked_add(number * 8)?));
            let Some(place) = place else { return unpacking.stop("the list of fragments lies outside of the file") };
            let (block, _) = self.metadata(unpacking, place)?;
            let entries = block.as_chunks::<16>().0;
            if entries.is_empty() || fragments.len() > TABLE_BYTES_MAX / 16 {
                return unpacking.stop("the list of fragments is damaged");
            }
            let read = entries
                .iter()
                .map(|entry| (u64_at(entry, 0).unwrap_or_default(), u32_at(entry, 8).unwrap_or_default()));
            fragments.extend(read);
            number += 1;
        }
        Ok(fragments)
    }

    /// One block, which unpacked has at most so many bytes.
    fn unpack(&self, packed: &[u8], bytes_max: usize) -> Option<Vec<u8>> {
        let mut block = Vec::new();
        let most = bytes_max as u64 + 1;
        match self.compression {
            Compression::Zlib => ZlibDecoder::new(packed).take(most).read_to_end(&mut block),
            Compression::Xz => XzReader::new_mem_limit(packed, false, LZMA_KIB_MAX).take(most).read_to_end(&mut block),
        }
        .ok()?;
        (block.len() <= bytes_max).then_some(block)
    }

    fn data(&self, at: u64, size: u32) -> Option<Vec<u8>> {
        let start = usize::try_from(at).ok()?;
        let packed = self.bytes.get(start..start.checked_add((size & (DATA_STORED - 1)) as usize)?)?;
        if size & DATA_STORED == 0 {
            return self.unpack(packed, self.block_bytes);
        }
        (packed.len() <= self.block_bytes).then(|| packed.to_vec())
    }
}

struct Walk<'a> {
    image: &'a Image<'a>,
    /// Folders that were walked through: a folder in itself ends here.
    seen: BTreeSet<u64>,
    /// The last fragment: files beside each other share it.
    fragment: Option<(u32, Vec<u8>)>,
}

impl Walk<'_> {
    fn folder(
        &mut self,
        unpacking: &mut Unpacking<'_>,
        inode: u64,
        path: &mut Vec<u8>,
        depth: usize,
    ) -> Result<(), Stop> {
        if depth > FOLDERS_DEEP_MAX || !self.seen.insert(inode) {
            unpacking
                .problems
                .tell(format!("the folder `{}` is not walked through: it is too deep or a circle", shown(path)));
            return Ok(());
        }
        let image = self.image;
        let inode = image.inodes.at(inode >> 16, (inode & 0xffff) as usize);
        let listing = inode.and_then(|inode| {
            let (block, size, offset) = match u16_at(inode, 0)? {
                1 => (u32_at(inode, 16)?, u32::from(u16_at(inode, 24)?), u16_at(inode, 26)?),
                8 => (u32_at(inode, 24)?, u32_at(inode, 20)?, u16_at(inode, 34)?),
                _ => return None,
            };
            // An empty folder has the size 3.
            let size = (size as usize).checked_sub(3)?;
            if size == 0 { Some(&[][..]) } else { image.folders.at(block.into(), offset.into())?.get(..size) }
        });
        let Some(mut rest) = listing else { return unpacking.stop("a folder of the file system is damaged") };
        while !rest.is_empty() {
            let (Some(count), Some(block)) = (u32_at(rest, 0), u32_at(rest, 4)) else {
                return unpacking.stop("a folder of the file system is damaged");
            };
            rest = rest.get(12..).unwrap_or_default();
            for _ in 0..=count.min(256) {
                let entry = (u16_at(rest, 0), u16_at(rest, 4), u16_at(rest, 6));
                let (Some(offset), Some(kind), Some(name_bytes)) = entry else {
                    return unpacking.stop("a folder of the file system is damaged");
                };
                let name_bytes = usize::from(name_bytes) + 1;
                let Some(name) = rest.get(8..8 + name_bytes) else {
                    return unpacking.stop("a folder of the file system is damaged");
                };
                rest = &rest[8 + name_bytes..];
                unpacking.entry()?;
                let before = path.len();
                if before > 0 {
                    path.push(b'/');
                }
                path.extend_from_slice(name);
                path.truncate(PATH_BYTES_MAX);
                let inode = u64::from(block) << 16 | u64::from(offset);
                let done = match kind {
                    1 => self.folder(unpacking, inode, path, depth + 1),
                    2 => self.file(unpacking, inode, path),
                    _ => Ok(()),
                };
                path.truncate(before);
                done?;
            }
        }
        Ok(())
    }

    fn file(&mut self, unpacking: &mut Unpacking<'_>, inode: u64, path: &[u8]) -> Result<(), Stop> {
        if !unpacking.has_room() {
            return Ok(());
        }
        match self.contents(inode) {
            Some(contents) => {
                unpacking.spend(contents.len() as u64)?;
                unpacking.member(Some(path), &contents);
            }
            None => {
                // It took time, too.
                unpacking.budget.members = unpacking.budget.members.saturating_sub(1);
                unpacking.budget.left_out += 1;
                unpacking.problems.tell(format!("the file `{}` is damaged or too large", shown(path)));
            }
        }
        Ok(())
    }

    fn contents(&mut self, inode: u64) -> Option<Vec<u8>> {
        let image = self.image;
        let inode = image.inodes.at(inode >> 16, (inode & 0xffff) as usize)?;
        let (mut at, bytes, fragment, offset, sizes) = match u16_at(inode, 0)? {
            2 => {
                let word = |at| u32_at(inode, at);
                (u64::from(word(16)?), u64::from(word(28)?), word(20)?, word(24)?, inode.get(32..)?)
            }
            9 => (u64_at(inode, 16)?, u64_at(inode, 24)?, u32_at(inode, 44)?, u32_at(inode, 48)?, inode.get(56..)?),
            _ => return None,
        };
        let bytes = usize::try_from(bytes).ok().filter(|bytes| *bytes <= SAMPLE_BYTES_MAX)?;
        let has_fragment = fragment != NO_FRAGMENT;
        let blocks = if has_fragment { bytes / image.block_bytes } else { bytes.div_ceil(image.block_bytes) };
        let mut contents = Vec::new();
        for number in 0..blocks {
            let size = u32_at(sizes, number * 4)?;
            let expected = (bytes - contents.len()).min(image.block_bytes);
            if size == 0 {
                // A hole.
                contents.resize(contents.len() + expected, 0);
                continue;
            }
            let block = image.data(at, size)?;
            if block.len() != expected {
                return None;
            }
            contents.extend_from_slice(&block);
            at = at.checked_add((size & (DATA_STORED - 1)).into())?;
        }
        if has_fragment {
            if self.fragment.as_ref().is_none_or(|(number, _)| *number != fragment) {
                let (at, size) = *image.fragments.get(fragment as usize)?;
                self.fragment = Some((fragment, image.data(at, size)?));
            }
            let (_, block) = self.fragment.as_ref()?;
            let offset = offset as usize;
            contents.extend_from_slice(block.get(offset..offset.checked_add(bytes - contents.len())?)?);
        }
        Some(contents)
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at.checked_add(2)?)?.try_into().ok().map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at.checked_add(8)?)?.try_into().ok().map(u64::from_le_bytes)
}
