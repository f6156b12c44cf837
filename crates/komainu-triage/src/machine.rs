//! What the number of a machine in an ELF header means: a table of our own, because libraries leave out what connected
//! devices are made of (ARC, Xtensa, Nios).
//!
//! Numbers and names: System V gABI, chapter 4, "ELF header", with the register of `e_machine` that it refers to.

/// Names of machines: the number, its name without `EM_`.
const MACHINES: &[(u16, &str)] = &[
    (0, "NONE"),
    (1, "M32"),
    (2, "SPARC"),
    (3, "386"),
    (4, "68K"),
    (5, "88K"),
    (6, "IAMCU"),
    (7, "860"),
    (8, "MIPS"),
    (9, "S370"),
    (10, "MIPS_RS3_LE"),
    (15, "PARISC"),
    (17, "VPP500"),
    (18, "SPARC32PLUS"),
    (19, "960"),
    (20, "PPC"),
    (21, "PPC64"),
    (22, "S390"),
    (23, "SPU"),
    (36, "V800"),
    (37, "FR20"),
    (38, "RH32"),
    (39, "RCE"),
    (40, "ARM"),
    (41, "ALPHA"),
    (42, "SH"),
    (43, "SPARCV9"),
    (44, "TRICORE"),
    (45, "ARC"),
    (46, "H8_300"),
    (47, "H8_300H"),
    (48, "H8S"),
    (50, "IA_64"),
    (51, "MIPS_X"),
    (52, "COLDFIRE"),
    (53, "68HC12"),
    (62, "X86_64"),
    (75, "VAX"),
    (76, "CRIS"),
    (77, "JAVELIN"),
    (80, "MMIX"),
    (83, "AVR"),
    (84, "FR30"),
    (85, "D10V"),
    (86, "D30V"),
    (87, "V850"),
    (88, "M32R"),
    (89, "MN10300"),
    (90, "MN10200"),
    (92, "OPENRISC"),
    (93, "ARC_COMPACT"),
    (94, "XTENSA"),
    (105, "MSP430"),
    (106, "BLACKFIN"),
    (113, "ALTERA_NIOS2"),
    (120, "M32C"),
    (140, "TI_C6000"),
    (164, "QDSP6"),
    (167, "NDS32"),
    (173, "RX"),
    (183, "AARCH64"),
    (185, "AVR32"),
    (188, "TILEPRO"),
    (189, "MICROBLAZE"),
    (190, "CUDA"),
    (191, "TILEGX"),
    (195, "ARC_COMPACT2"),
    (243, "RISCV"),
    (247, "BPF"),
    (252, "CSKY"),
    (253, "ARC_COMPACT3_64"),
    (255, "ARC_COMPACT3"),
    (258, "LOONGARCH"),
    (0x9026, "ALPHA"),
    (0xbaab, "MICROBLAZE"),
];

/// The name of a machine, without `EM_`.
pub(crate) fn name(machine: u16) -> Option<&'static str> {
    MACHINES.iter().find(|(number, _)| *number == machine).map(|(_, name)| *name)
}

/// What the laboratory calls an instruction set, with byte order and width where it has both.
pub(crate) fn isa(machine: u16, is_big: bool, is_64: bool) -> &'static str {
    match (machine, is_big, is_64) {
        (3 | 6, _, _) => "x86",
        (62, _, false) => "x32",
        (62, _, true) => "x86_64",
        (40, false, _) => "arm",
        (40, true, _) => "armeb",
        (183, false, _) => "arm64",
        (183, true, _) => "arm64_be",
        (8 | 10 | 51, true, false) => "mips",
        (8 | 10 | 51, false, false) => "mipsel",
        (8 | 10 | 51, true, true) => "mips64",
        (8 | 10 | 51, false, true) => "mips64el",
        (20, true, _) => "powerpc",
        (20, false, _) => "powerpcle",
        (21, true, _) => "ppc64",
        (21, false, _) => "ppc64le",
        (42, false, _) => "sh4",
        (42, true, _) => "sh4eb",
        (2 | 18, _, _) => "sparc",
        (43, _, _) => "sparc64",
        (4 | 52, _, _) => "m68k",
        (243, _, true) => "riscv64",
        (243, _, false) => "riscv32",
        (22, _, true) => "s390x",
        (22, _, false) => "s390",
        (45 | 93 | 195 | 253 | 255, false, _) => "arc",
        (45 | 93 | 195 | 253 | 255, true, _) => "arceb",
        (94, _, _) => "xtensa",
        (113, _, _) => "nios2",
        (189 | 0xbaab, true, _) => "microblaze",
        (189 | 0xbaab, false, _) => "microblazeel",
        (92, _, _) => "or1k",
        (252, _, _) => "csky",
        (258, _, true) => "loongarch64",
        (258, _, false) => "loongarch32",
        (15, _, _) => "hppa",
        (41 | 0x9026, _, _) => "alpha",
        (50, _, _) => "ia64",
        (83 | 185, _, _) => "avr",
        (167, _, _) => "nds32",
        (247, _, _) => "bpf",
        _ => "unknown",
    }
}

/// Whether an instruction set is what connected devices have and computers for people and data centres do not.
pub(crate) fn is_of_devices(isa: &str) -> bool {
    matches!(
        isa,
        "arm"
            | "armeb"
            | "mips"
            | "mipsel"
            | "mips64"
            | "mips64el"
            | "powerpc"
            | "powerpcle"
            | "sh4"
            | "sh4eb"
            | "sparc"
            | "m68k"
            | "riscv32"
            | "arc"
            | "arceb"
            | "xtensa"
            | "nios2"
            | "microblaze"
            | "microblazeel"
            | "or1k"
            | "csky"
            | "nds32"
            | "avr"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instruction_sets_have_the_names_of_the_laboratory() {
        let check = |machine, is_big, is_64, expected: (&str, &str)| {
            assert_eq!((name(machine).unwrap(), isa(machine, is_big, is_64)), expected);
        };
        check(40, false, false, ("ARM", "arm"));
        check(8, true, false, ("MIPS", "mips"));
        check(8, false, false, ("MIPS", "mipsel"));
        check(62, false, true, ("X86_64", "x86_64"));
        check(195, false, false, ("ARC_COMPACT2", "arc"));
        check(43, true, true, ("SPARCV9", "sparc64"));
        assert_eq!((name(9999), isa(9999, false, false)), (None, "unknown"));
    }

    #[test]
    fn numbers_are_named_once_and_in_order() {
        assert!(MACHINES.is_sorted_by(|one, next| one.0 < next.0));
    }
}
