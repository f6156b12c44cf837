//! A lenient reader of ELF: it reads what a kernel would run, and tells what else is wrong.
//!
//! Kernels need little of a header to run a program, and samples lie in the rest: so sections are believed only where the
//! file bears them out, and each lie is a problem, not an end.
//!
//! Source of all layouts: System V gABI, chapters 4 and 5 (2013 and the drafts after it).

mod abi;
mod origin;

use std::collections::BTreeSet;

use crate::entropy;
use crate::functions;
use crate::limits::{DYNAMIC_MAX, IMPORTS_MAX, NEEDED_MAX, PROGRAMS_MAX, REGIONS_MAX, SECTIONS_MAX, SYMBOLS_MAX};
use crate::machine;
use crate::problems::Problems;
use crate::report::{Elf, Region};
use crate::text::{hex_of, shown};

pub(crate) const MAGIC: &[u8] = b"\x7fELF";

const ET_REL: u16 = 1;
const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const ET_CORE: u16 = 4;

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const PT_NOTE: u32 = 4;

const SHT_PROGBITS: u32 = 1;
const SHT_SYMTAB: u32 = 2;
const SHT_NOTE: u32 = 7;
const SHT_NOBITS: u32 = 8;
const SHT_DYNAMIC: u32 = 6;
const SHT_DYNSYM: u32 = 11;
const SHF_WRITE: u64 = 1;
const SHF_EXECINSTR: u64 = 4;

const DT_NEEDED: u64 = 1;
const DT_HASH: u64 = 4;
const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;
const DT_STRSZ: u64 = 10;
const DT_SONAME: u64 = 14;
const DT_FLAGS_1: u64 = 0x6fff_fffb;
const DT_GNU_HASH: u64 = 0x6fff_fef5;
const DF_1_PIE: u64 = 0x0800_0000;

/// `e_phnum` and `e_shstrndx` that say that the number stands in the first section header.
const PN_XNUM: u16 = 0xffff;

/// Bytes of a table of strings that one name may have.
const NAME_BYTES_MAX: usize = 4_096;

/// Bytes of a path of `PT_INTERP`; Linux takes at most `PATH_MAX`.
const INTERPRETER_BYTES_MAX: usize = 4_096;

/// Functions whose names say nothing of a program, which telfhash leaves out. Source: telfhash's description.
const TELFHASH_LEFT_OUT: [&str; 8] =
    ["__libc_start_main", "main", "abort", "cachectl", "cacheflush", "puts", "atol", "malloc_trim"];

/// A file and how its numbers are written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Image<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) is_big: bool,
    pub(crate) is_64: bool,
}

impl<'a> Image<'a> {
    pub(crate) fn slice(&self, offset: u64, bytes: u64) -> Option<&'a [u8]> {
        let start = usize::try_from(offset).ok()?;
        let end = start.checked_add(usize::try_from(bytes).ok()?)?;
        self.bytes.get(start..end)
    }

    /// As much of a range as the file has.
    pub(crate) fn clipped(&self, offset: u64, bytes: u64) -> &'a [u8] {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.bytes.len());
        let length = usize::try_from(bytes).unwrap_or(usize::MAX).min(self.bytes.len() - start);
        &self.bytes[start..start + length]
    }

    pub(crate) fn u16(&self, offset: u64) -> Option<u16> {
        let bytes = self.slice(offset, 2)?.try_into().ok()?;
        Some(if self.is_big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    pub(crate) fn u32(&self, offset: u64) -> Option<u32> {
        let bytes = self.slice(offset, 4)?.try_into().ok()?;
        Some(if self.is_big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    fn u64(&self, offset: u64) -> Option<u64> {
        let bytes = self.slice(offset, 8)?.try_into().ok()?;
        Some(if self.is_big { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) })
    }

    /// An address, an offset or a size.
    fn word(&self, offset: u64) -> Option<u64> {
        if self.is_64 { self.u64(offset) } else { self.u32(offset).map(u64::from) }
    }

    /// A text that ends with a zero byte.
    fn name(&self, offset: u64) -> Option<&'a [u8]> {
        let start = usize::try_from(offset).ok()?;
        let rest = self.bytes.get(start..)?;
        let rest = &rest[..rest.len().min(NAME_BYTES_MAX)];
        Some(&rest[..memchr::memchr(0, rest)?])
    }
}

/// What is read of a program header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Program {
    pub(crate) kind: u32,
    pub(crate) flags: u32,
    pub(crate) offset: u64,
    pub(crate) address: u64,
    pub(crate) file_bytes: u64,
    pub(crate) memory_bytes: u64,
}

impl Program {
    pub(crate) fn is_load(&self) -> bool {
        self.kind == PT_LOAD
    }

    pub(crate) fn is_executable(&self) -> bool {
        self.flags & 1 != 0
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.flags & 2 != 0
    }
}

/// What is read of a section header.
#[derive(Debug, Clone)]
pub(crate) struct Section<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) kind: u32,
    pub(crate) flags: u64,
    pub(crate) address: u64,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    link: u32,
    info: u32,
    entry_bytes: u64,
}

impl Section<'_> {
    pub(crate) fn is_executable(&self) -> bool {
        self.flags & SHF_EXECINSTR != 0
    }
}

/// A symbol.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Symbol<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) value: u64,
    section: u16,
    info: u8,
    other: u8,
}

impl Symbol<'_> {
    pub(crate) fn is_function(&self) -> bool {
        self.info & 15 == 2
    }

    pub(crate) fn is_defined(&self) -> bool {
        self.section != 0
    }
}

/// What other parts of the analysis want to know of the file beside what is told.
pub(crate) struct Parsed<'a> {
    pub(crate) told: Elf,
    pub(crate) programs: Vec<Program>,
    pub(crate) sections: Vec<Section<'a>>,
    /// Numbers that are written into the code.
    pub(crate) is_big: bool,
}

/// Reads an ELF file. None when it is not even the beginning of one.
pub(crate) fn read<'a>(bytes: &'a [u8], problems: &mut Problems) -> Option<Parsed<'a>> {
    if !bytes.starts_with(MAGIC) || bytes.len() < 20 {
        return None;
    }
    let image = image(bytes, problems);
    let mut elf = Elf {
        class_bits: if image.is_64 { 64 } else { 32 },
        byte_order: if image.is_big { "big" } else { "little" }.into(),
        os_abi: bytes[7],
        ..Elf::default()
    };
    elf.file_type = image.u16(16).unwrap_or_default();
    elf.machine = image.u16(18).unwrap_or_default();
    elf.machine_name = machine::name(elf.machine).map_or_else(|| elf.machine.to_string(), str::to_owned);
    elf.isa = machine::isa(elf.machine, image.is_big, image.is_64).into();
    elf.file_type_name = match elf.file_type {
        ET_REL => "object",
        ET_EXEC => "executable",
        ET_DYN => "shared",
        ET_CORE => "core",
        _ => "other",
    }
    .into();
    let head = Head::read(&image, problems);
    elf.entry = head.entry;
    elf.flags = head.flags;
    elf.program_headers = head.programs;
    elf.section_headers = head.sections;
    let programs = programs(&image, &head, problems);
    let sections = sections(&image, &head, problems);
    check_entry(&elf, &programs, problems);

    elf.interpreter = interpreter(&image, &programs, problems);
    let dynamic = Dynamic::read(&image, &programs, &sections, problems);
    elf.needed = dynamic.needed.clone();
    elf.linkage = linkage(&elf, &dynamic, &programs).into();
    elf.build_id = build_id(&image, &programs, &sections);
    elf.toolchain = toolchain(&image, &sections);

    let table = |kind| sections.iter().find(|section| section.kind == kind);
    let full = table(SHT_SYMTAB).map(|section| symbols_of(&image, section, &sections)).unwrap_or_default();
    let mut of_dynamic = table(SHT_DYNSYM).map(|section| symbols_of(&image, section, &sections)).unwrap_or_default();
    if of_dynamic.is_empty() {
        of_dynamic = dynamic.symbols(&image, &programs);
    }
    elf.is_stripped = full.len() < 2;
    elf.symbols = (full.len() + of_dynamic.len()) as u64;
    let preferred = if of_dynamic.is_empty() { &full } else { &of_dynamic };
    tell_imports(&mut elf, preferred);
    elf.abi = abi::describe(&image, &elf, &sections);
    origin::tell(&mut elf, &image, &sections, &full, &of_dynamic);
    elf.regions = regions(&image, &programs, &sections);
    elf.functions = functions::of(&image, &elf.isa, elf.entry, &programs, &sections, &full);
    Some(Parsed { told: elf, programs, sections, is_big: image.is_big })
}

/// Finds out how numbers are written, also when the header lies about it: `e_version` is 1 in each real file, and the
/// machine is one that exists.
fn image<'a>(bytes: &'a [u8], problems: &mut Problems) -> Image<'a> {
    let plausible = |is_big| {
        let image = Image { bytes, is_big, is_64: false };
        let known = image.u16(18).is_some_and(|number| machine::name(number).is_some());
        u32::from(known) + u32::from(image.u32(20) == Some(1)) + u32::from(image.u16(16).is_some_and(|kind| kind <= 4))
    };
    let is_big = match bytes[5] {
        1 => false,
        2 => true,
        other => {
            problems.tell(format!("the ELF header names no byte order ({other})"));
            plausible(true) > plausible(false)
        }
    };
    let is_big = if plausible(is_big) == 0 && plausible(!is_big) == 3 {
        problems.tell("the ELF header names the wrong byte order");
        !is_big
    } else {
        is_big
    };
    let is_64 = match bytes[4] {
        1 => false,
        2 => true,
        other => {
            problems.tell(format!("the ELF header names no class ({other})"));
            // Of a header of 64 bits, the size of the header stands at 52.
            Image { bytes, is_big, is_64: true }.u16(52) == Some(64)
        }
    };
    Image { bytes, is_big, is_64 }
}

/// The rest of the header.
struct Head {
    entry: u64,
    flags: u32,
    program_offset: u64,
    program_bytes: u64,
    programs: u32,
    section_offset: u64,
    section_bytes: u64,
    sections: u32,
    names: u32,
}

impl Head {
    fn read(image: &Image<'_>, problems: &mut Problems) -> Self {
        let (words, rest) = if image.is_64 { ([24, 32, 40], 48) } else { ([24, 28, 32], 36) };
        let [entry, program_offset, section_offset] = words.map(|at| image.word(at).unwrap_or_default());
        let half = |at: u64| image.u16(rest + at).unwrap_or_default();
        let (program_usual, section_usual) = if image.is_64 { (56, 64) } else { (32, 40) };
        let mut head = Self {
            entry,
            flags: image.u32(rest).unwrap_or_default(),
            program_offset,
            program_bytes: u64::from(half(6)),
            programs: u32::from(half(8)),
            section_offset,
            section_bytes: u64::from(half(10)),
            sections: u32::from(half(12)),
            names: u32::from(half(14)),
        };
        if image.slice(0, rest + 16).is_none() {
            problems.tell("the file ends within the ELF header");
        }
        if image.u32(20) != Some(1) {
            problems.tell("the ELF header has a version other than 1");
        }
        if head.programs > 0 && head.program_bytes != program_usual {
            problems.tell(format!("program headers are said to have {} bytes", head.program_bytes));
            head.program_bytes = program_usual;
        }
        if head.section_offset > 0 && head.section_bytes != section_usual {
            problems.tell(format!("section headers are said to have {} bytes", head.section_bytes));
            head.section_bytes = section_usual;
        }
        if head.section_offset > 0 {
            // Numbers that do not fit into the header stand in the first section header.
            let size_at = if image.is_64 { 32 } else { 20 };
            let (link_at, info_at) =
                (size_at + if image.is_64 { 8 } else { 4 }, size_at + if image.is_64 { 12 } else { 8 });
            let at = |place: u64| head.section_offset.checked_add(place);
            if head.sections == 0 {
                let size = at(size_at).and_then(|at| image.word(at)).unwrap_or_default();
                head.sections = u32::try_from(size).unwrap_or(u32::MAX);
            }
            if head.names == u32::from(PN_XNUM) {
                head.names = at(link_at).and_then(|at| image.u32(at)).unwrap_or_default();
            }
            if head.programs == u32::from(PN_XNUM) {
                head.programs = at(info_at).and_then(|at| image.u32(at)).unwrap_or_default();
            }
        }
        head
    }
}

fn programs(image: &Image<'_>, head: &Head, problems: &mut Problems) -> Vec<Program> {
    let mut programs = Vec::new();
    for number in 0..u64::from(head.programs) {
        if programs.len() >= PROGRAMS_MAX {
            problems.tell(format!("only {PROGRAMS_MAX} of {} program headers are read", head.programs));
            break;
        }
        let at = head.program_offset.saturating_add(number * head.program_bytes);
        let Some(program) = program(image, at) else {
            problems.tell(format!("program header {number} of {} lies outside of the file", head.programs));
            break;
        };
        if program.is_load() && program.offset.saturating_add(program.file_bytes) > image.bytes.len() as u64 {
            problems.tell(format!("segment {number} ends outside of the file"));
        }
        programs.push(program);
    }
    programs
}

fn program(image: &Image<'_>, at: u64) -> Option<Program> {
    // Offsets of: flags, offset, address, bytes in the file, bytes in memory.
    let fields = if image.is_64 { [4, 8, 16, 32, 40] } else { [24, 4, 8, 16, 20] };
    let [flags, offset, address, file_bytes, memory_bytes] = fields.map(|field| at.saturating_add(field));
    Some(Program {
        kind: image.u32(at)?,
        flags: image.u32(flags)?,
        offset: image.word(offset)?,
        address: image.word(address)?,
        file_bytes: image.word(file_bytes)?,
        memory_bytes: image.word(memory_bytes)?,
    })
}

fn sections<'a>(image: &Image<'a>, head: &Head, problems: &mut Problems) -> Vec<Section<'a>> {
    let mut sections = Vec::new();
    if head.section_offset == 0 {
        return sections;
    }
    for number in 0..u64::from(head.sections) {
        if sections.len() >= SECTIONS_MAX {
            problems.tell(format!("only {SECTIONS_MAX} of {} section headers are read", head.sections));
            break;
        }
        let at = head.section_offset.saturating_add(number * head.section_bytes);
        let Some(section) = section(image, at) else {
            problems.tell(format!("section header {number} of {} lies outside of the file", head.sections));
            break;
        };
        sections.push(section);
    }
    let names = sections.get(head.names as usize).map(|section| (section.offset, section.bytes));
    for section in &mut sections {
        // Until here `info` held the place of the name.
        let place = u64::from(section.info);
        if let Some((offset, bytes)) = names
            && place < bytes
        {
            section.name = image.name(offset.saturating_add(place)).unwrap_or_default();
        }
    }
    let outside = |section: &&Section<'_>| {
        section.kind != SHT_NOBITS && section.offset.saturating_add(section.bytes) > image.bytes.len() as u64
    };
    let count = sections.iter().filter(outside).count();
    if count > 0 {
        problems.tell(format!("{count} sections end outside of the file"));
    }
    sections
}

fn section<'a>(image: &Image<'a>, at: u64) -> Option<Section<'a>> {
    // Offsets of: flags, address, offset, size, link, size of entries.
    let fields = if image.is_64 { [8, 16, 24, 32, 40, 56] } else { [8, 12, 16, 20, 24, 36] };
    let [flags, address, offset, bytes, link, entry] = fields.map(|field| at.saturating_add(field));
    Some(Section {
        name: b"",
        kind: image.u32(at.saturating_add(4))?,
        flags: image.word(flags)?,
        address: image.word(address)?,
        offset: image.word(offset)?,
        bytes: image.word(bytes)?,
        link: image.u32(link)?,
        info: image.u32(at)?,
        entry_bytes: image.word(entry)?,
    })
}

fn check_entry(elf: &Elf, programs: &[Program], problems: &mut Problems) {
    let runs = matches!(elf.file_type, ET_EXEC | ET_DYN);
    let holds = |program: &Program| {
        program.is_load() && elf.entry >= program.address && elf.entry - program.address < program.memory_bytes
    };
    if runs && elf.entry != 0 && !programs.iter().any(holds) {
        problems.tell("the program begins outside of its segments");
    }
}

fn interpreter(image: &Image<'_>, programs: &[Program], problems: &mut Problems) -> Option<String> {
    let program = programs.iter().find(|program| program.kind == PT_INTERP)?;
    let bytes = image.clipped(program.offset, program.file_bytes.min(INTERPRETER_BYTES_MAX as u64));
    let Some(end) = memchr::memchr(0, bytes) else {
        problems.tell("the name of the interpreter has no end");
        return (!bytes.is_empty()).then(|| shown(bytes));
    };
    Some(shown(&bytes[..end]))
}

/// Where an address lies in the file.
fn offset_of(programs: &[Program], address: u64) -> Option<u64> {
    let holds = |program: &&Program| {
        program.is_load() && address >= program.address && address - program.address < program.file_bytes
    };
    let program = programs.iter().find(holds)?;
    program.offset.checked_add(address - program.address)
}

/// What is read of the dynamic section.
#[derive(Default)]
struct Dynamic {
    is_there: bool,
    needed: Vec<String>,
    has_name: bool,
    flags_1: u64,
    strings: Option<u64>,
    symbols: Option<u64>,
    hash: Option<u64>,
    gnu_hash: Option<u64>,
}

impl Dynamic {
    fn read(image: &Image<'_>, programs: &[Program], sections: &[Section<'_>], problems: &mut Problems) -> Self {
        let of_program = programs.iter().find(|program| program.kind == PT_DYNAMIC);
        let of_section = sections.iter().find(|section| section.kind == SHT_DYNAMIC);
        let place = match (of_program, of_section) {
            (Some(program), _) => (program.offset, program.file_bytes),
            (None, Some(section)) => (section.offset, section.bytes),
            (None, None) => return Self::default(),
        };
        let mut dynamic = Self { is_there: true, ..Self::default() };
        let step = if image.is_64 { 16 } else { 8 };
        let mut names = Vec::new();
        let mut strings_bytes = u64::MAX;
        for number in 0..(place.1 / step).min(DYNAMIC_MAX as u64) {
            let at = place.0.saturating_add(number * step);
            let (Some(tag), Some(value)) = (image.word(at), image.word(at.saturating_add(step / 2))) else {
                problems.tell("the dynamic section ends outside of the file");
                break;
            };
            match tag {
                0 => break,
                DT_NEEDED => names.push(value),
                DT_SONAME => dynamic.has_name = true,
                DT_FLAGS_1 => dynamic.flags_1 = value,
                DT_STRTAB => dynamic.strings = Some(value),
                DT_STRSZ => strings_bytes = value,
                DT_SYMTAB => dynamic.symbols = Some(value),
                DT_HASH => dynamic.hash = Some(value),
                DT_GNU_HASH => dynamic.gnu_hash = Some(value),
                _ => {}
            }
        }
        // An object that is not loaded has offsets of sections instead of addresses.
        let strings = dynamic.strings.map(|address| offset_of(programs, address));
        dynamic.strings = strings.flatten().or_else(|| {
            of_section.and_then(|section| sections.get(section.link as usize)).map(|section| section.offset)
        });
        for place in names {
            let name = dynamic
                .strings
                .filter(|_| place < strings_bytes)
                .and_then(|offset| offset.checked_add(place))
                .and_then(|at| image.name(at));
            match name {
                Some(_) if dynamic.needed.len() >= NEEDED_MAX => {
                    problems.tell(format!("more than {NEEDED_MAX} libraries are needed"));
                    break;
                }
                Some(name) => dynamic.needed.push(shown(name)),
                None => problems.tell("the name of a needed library lies outside of the file"),
            }
        }
        dynamic
    }

    /// The symbols where there are no sections that tell where they are.
    fn symbols<'a>(&self, image: &Image<'a>, programs: &[Program]) -> Vec<Symbol<'a>> {
        let offset = |address: Option<u64>| address.and_then(|address| offset_of(programs, address));
        let (Some(symbols), Some(strings)) = (offset(self.symbols), self.strings) else { return Vec::new() };
        let of_hash = offset(self.hash).and_then(|at| image.u32(at.checked_add(4)?)).map(u64::from);
        let count = of_hash.or_else(|| gnu_symbols(image, offset(self.gnu_hash)?)).or_else(|| {
            // The strings usually follow the symbols.
            strings.checked_sub(symbols).map(|bytes| bytes / symbol_bytes(image))
        });
        read_symbols(image, symbols, count.unwrap_or_default(), (strings, u64::MAX))
    }
}

/// How many symbols a hash table of GNU's kind reaches. Source: the description of `DT_GNU_HASH` on binutils' list, 2006.
fn gnu_symbols(image: &Image<'_>, at: u64) -> Option<u64> {
    let [buckets, first, bloom] = [0, 4, 8].map(|field| image.u32(at.saturating_add(field)).map(u64::from));
    let (buckets, first, bloom) = (buckets?, first?, bloom?);
    let word = if image.is_64 { 8 } else { 4 };
    let table = at.checked_add(16)?.checked_add(bloom.checked_mul(word)?)?;
    let mut last = 0;
    for number in 0..buckets.min(SYMBOLS_MAX as u64) {
        last = last.max(image.u32(table.checked_add(number * 4)?)?.into());
    }
    if last < first {
        return Some(first);
    }
    let chains = table.checked_add(buckets.checked_mul(4)?)?;
    let mut number = last;
    // The last one of a chain has the lowest bit.
    while number - last < SYMBOLS_MAX as u64 && image.u32(chains.checked_add((number - first) * 4)?)? & 1 == 0 {
        number += 1;
    }
    Some(number + 1)
}

fn symbol_bytes(image: &Image<'_>) -> u64 {
    if image.is_64 { 24 } else { 16 }
}

fn symbols_of<'a>(image: &Image<'a>, section: &Section<'_>, sections: &[Section<'_>]) -> Vec<Symbol<'a>> {
    let Some(strings) = sections.get(section.link as usize) else { return Vec::new() };
    let step = symbol_bytes(image);
    if section.entry_bytes != step {
        return Vec::new();
    }
    read_symbols(image, section.offset, section.bytes / step, (strings.offset, strings.bytes))
}

/// Reads symbols whose names lie at an offset, with so many bytes.
fn read_symbols<'a>(image: &Image<'a>, offset: u64, count: u64, strings: (u64, u64)) -> Vec<Symbol<'a>> {
    let step = symbol_bytes(image);
    let mut symbols = Vec::new();
    for number in 0..count.min(SYMBOLS_MAX as u64) {
        let at = offset.saturating_add(number * step);
        let Some(bytes) = image.slice(at, step) else { break };
        let (Some(name), Some(value), Some(section)) = (
            image.u32(at),
            image.word(at + if image.is_64 { 8 } else { 4 }),
            image.u16(at + if image.is_64 { 6 } else { 14 }),
        ) else {
            break;
        };
        let [info, other] = if image.is_64 { [bytes[4], bytes[5]] } else { [bytes[12], bytes[13]] };
        let name = if u64::from(name) < strings.1 {
            image.name(strings.0.saturating_add(name.into())).unwrap_or_default()
        } else {
            b""
        };
        symbols.push(Symbol { name, value, section, info, other });
    }
    symbols
}

fn linkage(elf: &Elf, dynamic: &Dynamic, programs: &[Program]) -> &'static str {
    let is_pie = dynamic.flags_1 & DF_1_PIE != 0;
    match elf.file_type {
        ET_REL => "object",
        ET_CORE => "core",
        _ if elf.interpreter.is_some() && !dynamic.has_name => "dynamic",
        ET_DYN if is_pie => "static-pie",
        ET_DYN => {
            // Older linkers did not mark them: what begins somewhere and needs nothing is a program.
            let is_program = !dynamic.has_name && dynamic.needed.is_empty() && elf.entry != 0;
            if is_program { "static-pie" } else { "library" }
        }
        _ if dynamic.is_there && !dynamic.needed.is_empty() => "dynamic",
        _ if programs.is_empty() && elf.file_type != ET_EXEC => "object",
        _ => "static",
    }
}

/// The note with the name `GNU` and the type 3.
fn build_id(image: &Image<'_>, programs: &[Program], sections: &[Section<'_>]) -> Option<String> {
    let of_programs = programs.iter().filter(|program| program.kind == PT_NOTE);
    let of_sections = sections.iter().filter(|section| section.kind == SHT_NOTE);
    let places = of_programs.map(|program| (program.offset, program.file_bytes));
    let places = places.chain(of_sections.map(|section| (section.offset, section.bytes)));
    places.take(PROGRAMS_MAX).find_map(|(offset, bytes)| {
        let mut at = offset;
        let end = offset.saturating_add(bytes);
        for _ in 0..PROGRAMS_MAX {
            let (name_bytes, text_bytes, kind) =
                (image.u32(at)?, image.u32(at.checked_add(4)?)?, image.u32(at.checked_add(8)?)?);
            let name = at.checked_add(12)?;
            let text = name.checked_add(u64::from(name_bytes).next_multiple_of(4))?;
            if kind == 3 && name_bytes == 4 && image.slice(name, 4)? == b"GNU\0" && text_bytes <= 64 {
                return image.slice(text, text_bytes.into()).map(hex_of);
            }
            at = text.checked_add(u64::from(text_bytes).next_multiple_of(4))?;
            if at >= end {
                break;
            }
        }
        None
    })
}

/// The texts of `.comment`, each once.
fn toolchain(image: &Image<'_>, sections: &[Section<'_>]) -> Vec<String> {
    let Some(section) = sections.iter().find(|section| section.name == b".comment") else { return Vec::new() };
    let bytes = image.clipped(section.offset, section.bytes.min(NAME_BYTES_MAX as u64));
    let texts: BTreeSet<String> =
        bytes.split(|byte| *byte == 0).filter(|text| !text.is_empty()).map(shown).take(16).collect();
    texts.into_iter().collect()
}

/// The import hash, as YARA has it, and telfhash: over the names in lowercase, sorted, with commas between them.
fn tell_imports(elf: &mut Elf, symbols: &[Symbol<'_>]) {
    let lower = |symbol: &Symbol<'_>| String::from_utf8_lossy(symbol.name).to_lowercase();
    let is_imported = |symbol: &&Symbol<'_>| !symbol.is_defined() && !symbol.name.is_empty();
    let mut imported: Vec<_> = symbols.iter().filter(is_imported).collect();
    if !symbols.is_empty() {
        let mut names: Vec<_> = imported.iter().map(|symbol| lower(symbol)).collect();
        names.sort_unstable();
        elf.import_md5 = Some(crate::digest::md5_of(names.join(",").as_bytes()));
    }
    imported.sort_unstable_by_key(|symbol| symbol.name);
    imported.dedup_by_key(|symbol| symbol.name);
    elf.imports = imported.iter().take(IMPORTS_MAX).map(|symbol| shown(symbol.name)).collect();

    let is_counted = |symbol: &&Symbol<'_>| {
        let name = symbol.name;
        // A global function that everybody sees.
        symbol.is_function()
            && symbol.info >> 4 == 1
            && symbol.other & 3 == 0
            && !TELFHASH_LEFT_OUT.iter().any(|left_out| left_out.as_bytes() == name)
            && ![&b"."[..], b"_", b"mem", b"str"].iter().any(|beginning| name.starts_with(beginning))
            && !name.ends_with(b"64")
    };
    let mut names: Vec<_> = symbols.iter().filter(is_counted).map(lower).collect();
    names.sort_unstable();
    elf.telfhash = crate::digest::tlsh_of(names.join(",").as_bytes());
}

fn regions(image: &Image<'_>, programs: &[Program], sections: &[Section<'_>]) -> Vec<Region> {
    let loads = programs.iter().filter(|program| program.is_load() && program.file_bytes > 0).map(|program| {
        let access = [(4, 'r'), (2, 'w'), (1, 'x')];
        let access = access.iter().filter(|(bit, _)| program.flags & bit != 0).map(|(_, letter)| *letter).collect();
        (b"LOAD".as_slice(), program.offset, program.file_bytes, access)
    });
    let with_contents = sections.iter().filter(|section| section.kind == SHT_PROGBITS && section.bytes > 0);
    let sections = with_contents.map(|section| {
        let access = [(SHF_WRITE, 'w'), (SHF_EXECINSTR, 'x')];
        let access = access.iter().filter(|(bit, _)| section.flags & bit != 0).map(|(_, letter)| *letter);
        (section.name, section.offset, section.bytes, std::iter::once('r').chain(access).collect::<String>())
    });
    let mut regions = Vec::new();
    // Headers that name the same bytes again and again must not cost more than the file.
    let mut budget = 4 * image.bytes.len();
    for (name, offset, bytes, access) in loads.chain(sections).take(REGIONS_MAX) {
        let contents = image.clipped(offset, bytes);
        let Some(left) = budget.checked_sub(contents.len()) else { break };
        budget = left;
        let entropy_millibits = entropy::of(contents);
        regions.push(Region { name: shown(name), offset, bytes: contents.len() as u64, access, entropy_millibits });
    }
    regions
}

#[cfg(test)]
mod tests;
