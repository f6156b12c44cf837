//! In which guest a sample runs.

use komainu_trace::{Executable, GuestIsa};

/// In which guest a sample runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GuestChoice {
    /// In none: it is nothing that runs.
    NothingToRun,
    /// In this one. Whether there is a kit for it, the sandbox knows, and says what to do.
    Guest(GuestIsa),
    /// In this one, whose kernel runs it as well and tells less of it, for this reason.
    Wider(GuestIsa, String),
    /// In none, for this reason.
    Impossible(String),
}

/// The guest for these contents, which static triage calls a `kind`. `isas` says for which processors there are guests; it is
/// asked when that matters, and may take a while.
pub(crate) fn choose(contents: &[u8], kind: &str, isas: impl FnOnce() -> Vec<GuestIsa>) -> GuestChoice {
    match Executable::of(contents) {
        Executable::Program(isa) => match wider(isa) {
            None => GuestChoice::Guest(isa),
            Some(wider) => {
                let isas = isas();
                if isas.contains(&isa) || !isas.contains(&wider) {
                    return GuestChoice::Guest(isa);
                }
                let (isa, wider_name) = (isa.name(), wider.name());
                let reason =
                    format!("run in the guest for {wider_name}, which tells less of it: there is none for {isa}");
                GuestChoice::Wider(wider, reason)
            }
        },
        Executable::ForeignProgram(machine) => {
            GuestChoice::Impossible(format!("not run: no guest has its processor (e_machine {machine})"))
        }
        Executable::Other if !kind.starts_with("script") => GuestChoice::NothingToRun,
        Executable::Script | Executable::Other => {
            // Most devices that are attacked have an ARM processor.
            let isas = isas();
            let arm = isas.iter().find(|isa| **isa == GuestIsa::Arm);
            match arm.or(isas.first()) {
                Some(isa) => GuestChoice::Guest(*isa),
                None => GuestChoice::Impossible(
                    "not run: there is no guest (`komainu sandbox isas` says what is missing)".to_owned(),
                ),
            }
        }
    }
}

/// The processor whose kernel runs programs for this one, too.
const fn wider(isa: GuestIsa) -> Option<GuestIsa> {
    match isa {
        GuestIsa::Arm => Some(GuestIsa::Arm64),
        GuestIsa::X86 => Some(GuestIsa::X86_64),
        GuestIsa::Arm64
        | GuestIsa::Mips
        | GuestIsa::Mipsel
        | GuestIsa::X86_64
        | GuestIsa::Powerpc
        | GuestIsa::Sh4
        | GuestIsa::Riscv64
        | GuestIsa::Sparc64
        | GuestIsa::M68k => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_guest_is_chosen() {
        let elf = |machine: u8| [&b"\x7fELF\x01\x01\x01"[..], &[0; 9], &[2, 0, machine, 0], &[0; 4]].concat();
        let (arm, x86) = (elf(40), elf(3));
        let check = |contents: &[u8], kind: &str, isas: &[GuestIsa], expected: &str| {
            let chosen = format!("{:?}", choose(contents, kind, || isas.to_vec()));
            assert!(chosen.starts_with(expected), "{expected}: {chosen}");
        };
        check(&arm, "elf", &[GuestIsa::Arm, GuestIsa::Arm64], "Guest(Arm)");
        check(&arm, "elf", &[GuestIsa::Arm64], "Wider(Arm64, \"run in the guest for arm64");
        check(&x86, "elf", &[GuestIsa::X86_64], "Wider(X86_64");
        check(&x86, "elf", &[GuestIsa::Mips], "Guest(X86)");
        check(&elf(0x77), "elf", &[], "Impossible(\"not run: no guest has its processor (e_machine 119)");
        check(b"#!/bin/sh\n", "text", &[GuestIsa::Mips, GuestIsa::Arm], "Guest(Arm)");
        check(b"echo", "script-shell", &[GuestIsa::Mips], "Guest(Mips)");
        check(b"echo", "script-shell", &[], "Impossible(\"not run: there is no guest");
        check(b"echo", "text", &[GuestIsa::Arm], "NothingToRun");
    }
}
