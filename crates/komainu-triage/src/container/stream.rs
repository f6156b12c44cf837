//! Compressed streams with one member.

use std::io::Read as _;

use bzip2::read::MultiBzDecoder;
use flate2::read::MultiGzDecoder;
use lzma_rust2::XzReader;

use crate::container::{LZMA_KIB_MAX, Stop, Unpacking};

/// Source: RFC 1952. The name of the file, if it has one, is its member's.
pub(super) fn gzip(unpacking: &mut Unpacking<'_>, bytes: &[u8]) -> Result<(), Stop> {
    let mut decoder = MultiGzDecoder::new(bytes);
    // The header is read with the first byte.
    let mut first = [0; 1];
    let first = match decoder.read(&mut first) {
        Ok(count) => first[..count].to_vec(),
        Err(_) => return unpacking.stop("cannot be unpacked: it is damaged"),
    };
    let name = decoder.header().and_then(|header| header.filename()).map(<[u8]>::to_vec);
    single(unpacking, name.as_deref(), std::io::Cursor::new(first).chain(decoder), bytes.len())
}

/// Source: The .xz File Format 1.1.0.
pub(super) fn xz(unpacking: &mut Unpacking<'_>, bytes: &[u8]) -> Result<(), Stop> {
    single(unpacking, None, XzReader::new_mem_limit(bytes, true, LZMA_KIB_MAX), bytes.len())
}

pub(super) fn bzip2(unpacking: &mut Unpacking<'_>, bytes: &[u8]) -> Result<(), Stop> {
    single(unpacking, None, MultiBzDecoder::new(bytes), bytes.len())
}

fn single(
    unpacking: &mut Unpacking<'_>,
    name: Option<&[u8]>,
    decoder: impl std::io::Read,
    packed_bytes: usize,
) -> Result<(), Stop> {
    unpacking.entry()?;
    if unpacking.has_room() {
        let contents = unpacking.inflate(decoder, packed_bytes)?;
        unpacking.member(name, &contents);
    }
    Ok(())
}
