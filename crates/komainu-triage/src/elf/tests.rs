use super::*;

/// A header and one program header, as a linker would write them.
fn program(is_big: bool, is_64: bool, machine: u16) -> Vec<u8> {
    let mut file = Vec::from(*b"\x7fELF");
    file.extend([if is_64 { 2 } else { 1 }, if is_big { 2 } else { 1 }, 1]);
    file.resize(16, 0);
    let put = |file: &mut Vec<u8>, value: u64, bytes: usize| {
        let all = value.to_be_bytes();
        let mut piece = all[8 - bytes..].to_vec();
        if !is_big {
            piece.reverse();
        }
        file.extend(piece);
    };
    let word = if is_64 { 8 } else { 4 };
    let head: u64 = if is_64 { 64 } else { 52 };
    let step: u64 = if is_64 { 56 } else { 32 };
    for (value, bytes) in [
        (2, 2),
        (machine.into(), 2),
        (1, 4),
        (0x1_0100, word),
        (head, word),
        (0, word),
        (0x5000_1007, 4),
        (head, 2),
        (step, 2),
        (1, 2),
        (0, 2),
        (0, 2),
        (0, 2),
    ] {
        put(&mut file, value, bytes);
    }
    let fields: &[(u64, usize)] = if is_64 {
        &[(1, 4), (5, 4), (0, 8), (0x1_0000, 8), (0x1_0000, 8), (0x200, 8), (0x200, 8), (0x1000, 8)]
    } else {
        &[(1, 4), (0, 4), (0x1_0000, 4), (0x1_0000, 4), (0x200, 4), (0x200, 4), (5, 4), (0x1000, 4)]
    };
    for (value, bytes) in fields {
        put(&mut file, *value, *bytes);
    }
    file.resize(0x200, 0);
    file
}

fn read_all(bytes: &[u8]) -> (Elf, Vec<String>) {
    let mut problems = Problems::default();
    let elf = read(bytes, &mut problems).unwrap().told;
    (elf, problems.into_told())
}

#[test]
fn headers_of_all_kinds_are_read() {
    for (is_big, is_64, machine, isa) in [
        (false, false, 40, "arm"),
        (true, false, 8, "mips"),
        (false, false, 8, "mipsel"),
        (true, true, 43, "sparc64"),
        (false, true, 62, "x86_64"),
        (false, false, 195, "arc"),
    ] {
        let (elf, problems) = read_all(&program(is_big, is_64, machine));
        assert_eq!(problems, Vec::<String>::new(), "{isa}");
        let order = if is_big { "big" } else { "little" };
        let bits = if is_64 { 64 } else { 32 };
        assert_eq!((&*elf.isa, &*elf.byte_order, elf.class_bits, elf.entry), (isa, order, bits, 0x1_0100));
        assert_eq!((&*elf.linkage, elf.program_headers, elf.section_headers), ("static", 1, 0));
        assert!(elf.is_stripped);
        assert_eq!(elf.regions[0].access, "rx");
    }
}

#[test]
fn lies_of_headers_are_told_and_do_not_matter() {
    let check = |change: &dyn Fn(&mut Vec<u8>), problem: &str| {
        let mut file = program(true, false, 8);
        change(&mut file);
        let (elf, problems) = read_all(&file);
        assert_eq!(elf.isa, "mips", "{problem}");
        assert!(problems.iter().any(|told| told.contains(problem)), "{problem}: {problems:?}");
    };
    check(&|file| file[5] = 1, "wrong byte order");
    check(&|file| file[5] = 0, "no byte order");
    check(&|file| file[4] = 9, "no class");
    check(&|file| file[23] = 7, "a version other than 1");
    check(&|file| file[43] = 99, "program headers are said to have 99 bytes");
    check(&|file| file[44] = 0x10, "outside of the file");
    check(&|file| file[24] = 0xff, "begins outside of its segments");
    // Sections that lie behind the end.
    check(&|file| file[32..36].fill(0x77), "section headers are said to have");
    let sections = |file: &mut Vec<u8>| {
        file[32] = 0x77;
        file[47] = 40;
        file[49] = 9;
    };
    check(&sections, "section header 0 of 9 lies outside");
    check(&|file| file.truncate(60), "lies outside of the file");
}

#[test]
fn what_begins_as_elf_and_ends_is_read() {
    let file = program(false, false, 40);
    for length in 20..file.len() {
        let (elf, _) = read_all(&file[..length]);
        assert_eq!(elf.isa, "arm");
    }
    assert!(read(b"\x7fELF", &mut Problems::default()).is_none());
}

#[test]
fn the_program_of_this_test_is_what_it_is() {
    let bytes = std::fs::read("/proc/self/exe").unwrap();
    let (elf, problems) = read_all(&bytes);
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!(elf.language.as_deref(), Some("rust"));
    assert_eq!((&*elf.linkage, elf.is_stripped), ("dynamic", false));
    assert!(elf.needed.iter().any(|name| name.starts_with("libc.")), "{:?}", elf.needed);
    assert!(elf.functions.found > 100 && elf.functions.hashes.len() == crate::FUNCTION_HASHES_MAX);
    assert!(elf.imports.iter().any(|name| name == "memcpy" || name == "malloc"));
}

/// A segment of as many bytes as 64 bits can say ended the worker, where four times as many were asked about.
#[test]
fn the_largest_segment_is_looked_at_for_packing() {
    let mut file = program(false, true, 62);
    file[64 + 32..64 + 48].fill(0xff);
    let parsed = read(&file, &mut Problems::default()).unwrap();
    assert_eq!(crate::packing::packing(&file, &parsed).verdict, "none");
}
