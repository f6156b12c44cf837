//! What a program was made with: C library, language and compiler.

use std::sync::LazyLock;

use crate::elf::{Image, Section, Symbol};
use crate::report::Elf;
use crate::search::Search;
use crate::text::shown;

/// What stands before what Go's linker tells of a program, behind one byte 0xff.
const GO_MAGIC: &str = " Go buildinf:";

/// Places that are looked at for one magic number.
const PLACES_MAX: usize = 100_000;

/// Pieces of text that a C library or a language leaves in programs, found by looking at such programs.
const MARKS: &[(&str, Mark)] = &[
    ("GNU C Library", Mark::Libc("glibc")),
    ("GLIBC_TUNABLES", Mark::Libc("glibc")),
    ("ANSI_X3.4-1968//TRANSLIT", Mark::Libc("glibc")),
    ("/usr/lib/locale/C.utf8", Mark::Libc("glibc")),
    ("glibc: fatal error", Mark::Libc("glibc")),
    ("MUSL_LOCPATH", Mark::Libc("musl")),
    // The first texts of its list of errors, which no other library has in this order.
    ("Illegal byte sequence\0Domain error\0Result not representable\0", Mark::Libc("musl")),
    // All conversions of its `printf`, in one string.
    ("npxXoudifFeEgGaACScs", Mark::Libc("uclibc")),
    ("__uClibc_main", Mark::Libc("uclibc")),
    ("dietlibc", Mark::Libc("dietlibc")),
    ("ANDROID_ROOT", Mark::Libc("bionic")),
    (GO_MAGIC, Mark::Go),
    ("/rustc/", Mark::Language("rust")),
    ("/.cargo/registry/", Mark::Language("rust")),
    ("library/std/src/panicking.rs", Mark::Language("rust")),
    ("fatal.nim", Mark::Language("nim")),
    ("system.nim", Mark::Language("nim")),
    ("FPC 3.", Mark::Language("pascal")),
    ("/lib/std/start.zig", Mark::Language("zig")),
    ("core.exception", Mark::Language("d")),
    ("__gxx_personality_v0", Mark::Language("c++")),
    ("terminate called after throwing", Mark::Language("c++")),
    ("GLIBCXX_3.", Mark::Language("c++")),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Libc(&'static str),
    Language(&'static str),
    Go,
}

static SEARCH: LazyLock<Search> =
    LazyLock::new(|| Search::of(MARKS.iter().map(|(text, _)| text.as_bytes().to_vec()).collect()));

/// Fills in what is known of the origin.
pub(super) fn tell(
    elf: &mut Elf,
    image: &Image<'_>,
    sections: &[Section<'_>],
    symbols: &[Symbol<'_>],
    of_dynamic: &[Symbol<'_>],
) {
    let mut libc = of_interpreter(elf).or_else(|| of_needed(elf));
    let mut languages = Vec::new();
    for (place, number) in SEARCH.all(image.bytes) {
        match MARKS[number].1 {
            // A program for one library may have the name of another in it; how it is linked says more.
            Mark::Libc(name) => libc = libc.or(Some(name)),
            Mark::Language(name) if !languages.contains(&name) => languages.push(name),
            Mark::Language(_) => {}
            Mark::Go => {
                let version = go_version(image.bytes, place);
                languages.extend(version.is_some().then_some("go"));
                elf.language_version = elf.language_version.take().or(version);
            }
        }
    }
    for symbol in symbols.iter().chain(of_dynamic) {
        match symbol.name {
            b"__uClibc_main" => libc = Some("uclibc"),
            b"__libc_start_init" | b"__init_libc" => libc = libc.or(Some("musl")),
            b"__libc_init" => libc = libc.or(Some("bionic")),
            b"__dietlibc_main" | b"__dietlibc_print" => libc = libc.or(Some("dietlibc")),
            b"NimMain" => languages.push("nim"),
            b"_Dmain" => languages.push("d"),
            b"rust_begin_unwind" | b"rust_eh_personality" => languages.push("rust"),
            name if name.starts_with(b"_ZNSt") => languages.push("c++"),
            _ => {}
        }
    }
    let has = |name: &[u8]| sections.iter().any(|section| section.name == name);
    if has(b".gopclntab") || has(b".go.buildinfo") || has_go_table(image) {
        languages.push("go");
    }
    elf.libc = libc.map(str::to_owned);
    // What runs on C++ or C inside comes after what it was written in.
    let order = ["go", "rust", "nim", "zig", "d", "pascal", "c++"];
    let language = order.into_iter().find(|name| languages.contains(name));
    let is_c = elf.libc.is_some() || elf.toolchain.iter().any(|text| text.contains("GCC") || text.contains("clang"));
    elf.language = language.or(is_c.then_some("c")).map(str::to_owned);
    if elf.language.as_deref() == Some("rust") {
        elf.language_version = elf.toolchain.iter().find(|text| text.starts_with("rustc ")).cloned();
    }
}

fn of_interpreter(elf: &Elf) -> Option<&'static str> {
    let interpreter = elf.interpreter.as_deref()?;
    let name = interpreter.rsplit('/').next()?;
    if name.starts_with("ld-musl") {
        Some("musl")
    } else if name.starts_with("ld-uClibc") || name.starts_with("ld64-uClibc") {
        Some("uclibc")
    } else if name.starts_with("klibc-") {
        Some("klibc")
    } else if interpreter.starts_with("/system/bin/linker") || interpreter.starts_with("/apex/") {
        Some("bionic")
    } else if name.starts_with("ld-linux") || name.starts_with("ld64.so") || name.starts_with("ld.so") {
        Some("glibc")
    } else {
        None
    }
}

fn of_needed(elf: &Elf) -> Option<&'static str> {
    elf.needed.iter().find_map(|name| match &**name {
        "libc.so.6" | "libc.so.6.1" => Some("glibc"),
        "libc.so.0" | "libuClibc-0.9.33.so" => Some("uclibc"),
        name if name.starts_with("libc.musl-") => Some("musl"),
        _ => None,
    })
}

/// Whether there is the head of Go's table of functions: a magic number, two zero bytes, the smallest instruction and the
/// size of a pointer. Source: Go's `debug/gosym`, `pclntab.go`.
fn has_go_table(image: &Image<'_>) -> bool {
    let is_magic = |byte: u8| matches!(byte, 0xf0 | 0xf1 | 0xfa | 0xfb);
    let is_head = |sizes: Option<&[u8]>| matches!(sizes, Some([1 | 2 | 4, 4 | 8]));
    memchr::memmem::find_iter(image.bytes, b"\xff\xff\xff").take(PLACES_MAX).any(|at| {
        let rest = &image.bytes[at + 3..];
        if image.is_big {
            rest.first().is_some_and(|byte| is_magic(*byte))
                && rest.get(1..3) == Some(&[0, 0])
                && is_head(rest.get(3..5))
        } else {
            let before = at.checked_sub(1).map(|before| image.bytes[before]);
            before.is_some_and(is_magic) && rest.get(..2) == Some(&[0, 0]) && is_head(rest.get(2..4))
        }
    })
}

/// The version of Go, which stands behind a magic number: 0xff and [`GO_MAGIC`], which is at `found`. Source: Go's
/// `debug/buildinfo`, since 1.18: the flags at 15 have bit 1, and the version stands at 32 behind its length.
fn go_version(bytes: &[u8], found: usize) -> Option<String> {
    let head = bytes.get(found.checked_sub(1)?..)?;
    if head[0] != 0xff || head.get(15)? & 2 == 0 {
        return None;
    }
    let version = head.get(33..33 + usize::from(*head.get(32)?))?;
    version.starts_with(b"go").then(|| shown(version))
}
