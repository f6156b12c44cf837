//! Images that loaders of devices take: a header and the pieces behind it.

use crate::container::{Stop, Unpacking};

/// U-Boot's header of 64 bytes, and the image behind it. Source: U-Boot, "Legacy image format".
pub(super) fn uimage(unpacking: &mut Unpacking<'_>, bytes: &[u8]) -> Result<(), Stop> {
    let size = bytes.get(12..16).and_then(|size| size.try_into().ok()).map(u32::from_be_bytes);
    let (Some(size), Some(rest)) = (size, bytes.get(64..)) else {
        return unpacking.stop("the image ends within its header");
    };
    if rest.len() < size as usize {
        unpacking.problems.tell("the image is shorter than its header says");
    }
    let name = &bytes[32..64];
    let name = &name[..memchr::memchr(0, name).unwrap_or(name.len())];
    let (image, behind) = rest.split_at(rest.len().min(size as usize));
    unpacking.stored(Some(name), image)?;
    // Vendors put the file system behind the kernel.
    if behind.is_empty() { Ok(()) } else { unpacking.stored(Some(b"behind the image"), behind) }
}

/// Up to four parts at the places that the header says. Source: OpenWrt's `trx` format, version 1 and 2.
pub(super) fn trx(unpacking: &mut Unpacking<'_>, bytes: &[u8]) -> Result<(), Stop> {
    let Some(head) = bytes.get(..32) else { return unpacking.stop("the image ends within its header") };
    let places = head[16..32].as_chunks::<4>().0.iter().map(|place| u32::from_le_bytes(*place) as usize);
    let mut places: Vec<usize> = places.filter(|place| *place >= 28 && *place < bytes.len()).collect();
    places.sort_unstable();
    places.dedup();
    let ends: Vec<usize> = places.iter().skip(1).copied().chain([bytes.len()]).collect();
    for (number, (start, end)) in places.into_iter().zip(ends).enumerate() {
        unpacking.stored(Some(format!("part {number}").as_bytes()), &bytes[start..end])?;
    }
    Ok(())
}
