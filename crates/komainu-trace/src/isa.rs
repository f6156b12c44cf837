//! The processors of guests.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The processor of a guest; its name is that of the kit's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuestIsa {
    /// 32-bit ARM, little-endian; a kernel for ARMv7, which also runs programs for ARMv5.
    Arm,
    /// 64-bit ARM, little-endian.
    Arm64,
    /// 32-bit MIPS, big-endian.
    Mips,
    /// 32-bit MIPS, little-endian.
    Mipsel,
    /// 32-bit x86.
    X86,
    /// 64-bit x86.
    #[serde(rename = "x86_64")]
    X86_64,
    /// 32-bit PowerPC, big-endian.
    Powerpc,
    /// SuperH 4, little-endian.
    Sh4,
    /// 64-bit RISC-V.
    Riscv64,
    /// 64-bit SPARC.
    Sparc64,
    /// Motorola 68000 family.
    M68k,
}

/// A name that no kit has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no guest has the processor `{0}`; there are {all}", all = GuestIsa::ALL.map(GuestIsa::name).join(", "))]
pub struct UnknownIsa(pub String);

impl GuestIsa {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 11] = [
        Self::Arm,
        Self::Arm64,
        Self::Mips,
        Self::Mipsel,
        Self::X86,
        Self::X86_64,
        Self::Powerpc,
        Self::Sh4,
        Self::Riscv64,
        Self::Sparc64,
        Self::M68k,
    ];

    /// The name of the kit.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Arm => "arm",
            Self::Arm64 => "arm64",
            Self::Mips => "mips",
            Self::Mipsel => "mipsel",
            Self::X86 => "x86",
            Self::X86_64 => "x86_64",
            Self::Powerpc => "powerpc",
            Self::Sh4 => "sh4",
            Self::Riscv64 => "riscv64",
            Self::Sparc64 => "sparc64",
            Self::M68k => "m68k",
        }
    }
}

impl fmt::Display for GuestIsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for GuestIsa {
    type Err = UnknownIsa;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|isa| isa.name() == name).ok_or_else(|| UnknownIsa(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_everywhere() {
        for isa in GuestIsa::ALL {
            assert_eq!(isa.name().parse(), Ok(isa));
            assert_eq!(serde_json::to_value(isa).unwrap(), isa.name());
        }
        assert!("alpha".parse::<GuestIsa>().unwrap_err().to_string().contains("arm64"));
    }
}
