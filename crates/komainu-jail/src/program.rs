//! What a program of this machine needs to start: its loader and its libraries.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where the loader finds out in which folder a library lies (ld.so(8)).
const LOADER_CACHE: &str = "/etc/ld.so.cache";

/// Bytes of the answer of the loader: QEMU's fifty libraries take 4 KiB.
const ANSWER_BYTES_MAX: u64 = 256 << 10;

/// Bytes of a loader's path, as Linux has it (PATH_MAX).
const PATH_BYTES_MAX: u64 = 4_096;

/// Program headers of an ELF file: programs have about a dozen.
const PROGRAM_HEADERS_MAX: u16 = 256;

/// The program itself, its loader, its libraries and the loader's cache. The program is one that this machine trusts: its
/// loader is asked with it.
pub(crate) fn needed(program: &Path) -> io::Result<Vec<PathBuf>> {
    let mut needed = BTreeSet::from([program.to_owned()]);
    if let Some(loader) = loader(&mut File::open(program)?)? {
        needed.extend(libraries(&loader, program)?);
        needed.insert(loader);
        needed.extend(Some(PathBuf::from(LOADER_CACHE)).filter(|cache| cache.exists()));
    }
    Ok(needed.into_iter().collect())
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// The loader that a program names; none when it is linked statically (ELF-64 Object File Format 1.5, program header
/// `PT_INTERP`). Only programs of this kind of machine: 64 bits, little-endian.
fn loader(file: &mut (impl Read + Seek)) -> io::Result<Option<PathBuf>> {
    const INTERP: u32 = 3;
    const HEADER_BYTES: u16 = 56;
    let mut header = [0; 64];
    file.read_exact(&mut header).map_err(|_| invalid("it is no program"))?;
    let Some(rest) = header.strip_prefix(b"\x7fELF\x02\x01") else {
        return Err(invalid("it is no program for a 64-bit little-endian machine"));
    };
    // Offsets in the file: 32, 54, 56; six bytes are gone.
    let (offset, bytes, count) = (u64_at(rest, 26), u16_at(rest, 48), u16_at(rest, 50));
    if bytes != HEADER_BYTES || count > PROGRAM_HEADERS_MAX {
        return Err(invalid("its program headers cannot be read"));
    }
    file.seek(SeekFrom::Start(offset))?;
    let mut headers = vec![0; usize::from(bytes) * usize::from(count)];
    file.read_exact(&mut headers)?;
    let Some(interp) = headers.chunks_exact(usize::from(bytes)).find(|one| u32_at(one, 0) == INTERP) else {
        return Ok(None);
    };
    let (offset, bytes) = (u64_at(interp, 8), u64_at(interp, 32));
    if bytes > PATH_BYTES_MAX {
        return Err(invalid("the path of its loader is too long"));
    }
    file.seek(SeekFrom::Start(offset))?;
    let mut path = Vec::new();
    file.take(bytes).read_to_end(&mut path)?;
    let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(Some(PathBuf::from(OsStr::from_bytes(path))))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

/// Asks the loader which libraries it would load.
fn libraries(loader: &Path, program: &Path) -> io::Result<Vec<PathBuf>> {
    let mut child = Command::new(loader)
        .arg("--list")
        .arg(program)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut answer = String::new();
    let said = child.stdout.take().expect("it was asked for above");
    let read = said.take(ANSWER_BYTES_MAX).read_to_string(&mut answer);
    let status = child.wait()?;
    read?;
    if !status.success() {
        return Err(invalid("its libraries cannot be found"));
    }
    listed(&answer)
}

/// Reads lines such as `libz.so.1 => /lib/libz.so.1 (0x…)` and `/lib64/ld-linux-x86-64.so.2 (0x…)`; those without a path
/// are no files.
fn listed(answer: &str) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for line in answer.lines() {
        let place = line.split_once(" => ").map_or(line, |(_, place)| place).trim();
        if place.starts_with("not found") {
            return Err(invalid("a library that it needs is not there"));
        }
        let path = place.rsplit_once(" (0x").map_or(place, |(path, _)| path);
        if path.starts_with('/') {
            paths.push(PathBuf::from(path));
        }
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn libraries_are_listed() {
        let answer =
            "\tlinux-vdso.so.1 (0x00007ffc)\n\tlibz.so.1 => /lib/libz.so.1 (0x00007f0)\n\t/lib64/ld.so.2 (0x00007f1)\n";
        assert_eq!(listed(answer).unwrap(), ["/lib/libz.so.1", "/lib64/ld.so.2"].map(PathBuf::from));
        assert!(listed("\tlibz.so.1 => not found\n").is_err());
        assert_eq!(listed("\tstatically linked\n").unwrap(), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_program_of_this_machine_is_found_with_its_libraries() {
        let needed = needed(&std::env::current_exe().unwrap()).unwrap();
        assert!(needed.iter().any(|path| path.to_string_lossy().contains("libc.so")), "{needed:?}");
        assert!(needed.iter().all(|path| path.exists()), "{needed:?}");
    }

    #[test]
    fn what_is_no_program_is_told() {
        let mut program = Vec::new();
        File::open(std::env::current_exe().unwrap()).unwrap().take(4_096).read_to_end(&mut program).unwrap();
        let is_loader = |bytes: &[u8]| loader(&mut Cursor::new(bytes)).is_ok_and(|found| found.is_some());
        assert!(is_loader(&program));
        for cut in 0..500 {
            assert!(!is_loader(&program[..cut]), "cut at {cut}");
        }
        let change = |at: usize, byte: u8| {
            let mut changed = program.clone();
            changed[at] = byte;
            loader(&mut Cursor::new(changed))
        };
        assert!(change(4, 1).is_err(), "32 bits");
        assert!(change(5, 2).is_err(), "big-endian");
        assert!(change(57, 255).is_err(), "too many program headers");
        assert!(change(54, 0).is_err(), "program headers of no length");
        assert!(loader(&mut Cursor::new(b"#!/bin/sh\n")).is_err());
    }
}
