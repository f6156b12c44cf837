//! The instruction sets that kits are made for: what compiles for each, and which machine of QEMU's runs it.

/// How a guest's virtio devices are attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Virtio {
    Pci,
    Mmio,
}

impl Virtio {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pci => "pci",
            Self::Mmio => "mmio",
        }
    }

    /// What the names of QEMU's devices end in.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Pci => "pci",
            Self::Mmio => "device",
        }
    }
}

/// One application binary interface: its compiler, and the loaders that its programs name.
#[derive(Debug)]
pub(crate) struct Abi {
    /// GNU's name of the target, which Debian's compilers begin with.
    pub(crate) triplet: &'static str,
    /// Debian's name, as in `libc6-NAME-cross`.
    pub(crate) debian: &'static str,
    /// Debian's name with the compiler packages, as in `gcc-NAME`.
    pub(crate) compiler: &'static str,
    /// Where programs look for glibc's loader, below the root. Its name is that of the file in Debian's package.
    pub(crate) glibc_loader: &'static str,
    /// The names of musl's loader in `/lib`: none where musl does not know the ABI.
    pub(crate) musl_loaders: &'static [&'static str],
    /// What the compiler needs to be told for musl.
    pub(crate) musl_flags: &'static [&'static str],
}

/// One kit.
#[derive(Debug)]
pub(crate) struct Isa {
    pub(crate) name: &'static str,
    /// Linux's name of the architecture.
    pub(crate) arch: &'static str,
    /// The file that Linux's build makes for QEMU, below the folder of the build.
    pub(crate) image: &'static str,
    /// The name of that file for `make`.
    pub(crate) image_target: &'static str,
    /// The first is the one that kernel, BusyBox and agent are compiled for.
    pub(crate) abis: &'static [Abi],
    pub(crate) qemu: &'static str,
    pub(crate) machine: &'static [&'static str],
    /// Debian's package of that QEMU.
    pub(crate) qemu_package: &'static str,
    pub(crate) virtio: Virtio,
    pub(crate) memory_mib: u32,
    pub(crate) console: &'static str,
    /// Whether its kit is built when nobody names one.
    pub(crate) is_usual: bool,
}

const ARMEL: Abi = Abi {
    triplet: "arm-linux-gnueabi",
    debian: "armel",
    compiler: "arm-linux-gnueabi",
    glibc_loader: "lib/ld-linux.so.3",
    musl_loaders: &["ld-musl-arm.so.1"],
    musl_flags: &[],
};

const ARMHF: Abi = Abi {
    triplet: "arm-linux-gnueabihf",
    debian: "armhf",
    compiler: "arm-linux-gnueabihf",
    glibc_loader: "lib/ld-linux-armhf.so.3",
    musl_loaders: &["ld-musl-armhf.so.1"],
    musl_flags: &[],
};

const I386: Abi = Abi {
    triplet: "i686-linux-gnu",
    debian: "i386",
    compiler: "i686-linux-gnu",
    glibc_loader: "lib/ld-linux.so.2",
    musl_loaders: &["ld-musl-i386.so.1"],
    musl_flags: &[],
};

impl Isa {
    pub(crate) const ALL: &'static [Self] = &[
        Self {
            name: "arm",
            arch: "arm",
            image: "arch/arm/boot/zImage",
            image_target: "zImage",
            abis: &[ARMEL, ARMHF],
            qemu: "qemu-system-arm",
            machine: &["-M", "virt", "-cpu", "cortex-a15"],
            qemu_package: "qemu-system-arm",
            virtio: Virtio::Mmio,
            memory_mib: 64,
            console: "ttyAMA0",
            is_usual: true,
        },
        Self {
            name: "arm64",
            arch: "arm64",
            image: "arch/arm64/boot/Image",
            image_target: "Image",
            abis: &[
                Abi {
                    triplet: "aarch64-linux-gnu",
                    debian: "arm64",
                    compiler: "aarch64-linux-gnu",
                    glibc_loader: "lib/ld-linux-aarch64.so.1",
                    musl_loaders: &["ld-musl-aarch64.so.1"],
                    musl_flags: &[],
                },
                ARMHF,
            ],
            qemu: "qemu-system-aarch64",
            machine: &["-M", "virt", "-cpu", "cortex-a57"],
            qemu_package: "qemu-system-arm",
            virtio: Virtio::Mmio,
            memory_mib: 96,
            console: "ttyAMA0",
            is_usual: true,
        },
        Self {
            name: "mips",
            arch: "mips",
            image: "vmlinux",
            image_target: "vmlinux",
            abis: &[Abi {
                triplet: "mips-linux-gnu",
                debian: "mips",
                compiler: "mips-linux-gnu",
                glibc_loader: "lib/ld.so.1",
                musl_loaders: &["ld-musl-mips.so.1", "ld-musl-mips-sf.so.1"],
                musl_flags: &[],
            }],
            qemu: "qemu-system-mips",
            machine: &["-M", "malta", "-cpu", "24Kf"],
            qemu_package: "qemu-system-mips",
            virtio: Virtio::Pci,
            memory_mib: 64,
            console: "ttyS0",
            is_usual: true,
        },
        Self {
            name: "mipsel",
            arch: "mips",
            image: "vmlinux",
            image_target: "vmlinux",
            abis: &[Abi {
                triplet: "mipsel-linux-gnu",
                debian: "mipsel",
                compiler: "mipsel-linux-gnu",
                glibc_loader: "lib/ld.so.1",
                musl_loaders: &["ld-musl-mipsel.so.1", "ld-musl-mipsel-sf.so.1"],
                musl_flags: &[],
            }],
            qemu: "qemu-system-mipsel",
            machine: &["-M", "malta", "-cpu", "24Kf"],
            qemu_package: "qemu-system-mips",
            virtio: Virtio::Pci,
            memory_mib: 64,
            console: "ttyS0",
            is_usual: true,
        },
        Self {
            name: "x86_64",
            arch: "x86",
            image: "arch/x86/boot/bzImage",
            image_target: "bzImage",
            abis: &[
                Abi {
                    triplet: "x86_64-linux-gnu",
                    debian: "amd64",
                    compiler: "x86-64-linux-gnu",
                    glibc_loader: "lib64/ld-linux-x86-64.so.2",
                    musl_loaders: &["ld-musl-x86_64.so.1"],
                    musl_flags: &[],
                },
                I386,
            ],
            qemu: "qemu-system-x86_64",
            machine: &["-M", "q35", "-cpu", "qemu64"],
            qemu_package: "qemu-system-x86",
            virtio: Virtio::Pci,
            memory_mib: 96,
            console: "ttyS0",
            is_usual: true,
        },
        Self {
            name: "x86",
            arch: "x86",
            image: "arch/x86/boot/bzImage",
            image_target: "bzImage",
            abis: &[I386],
            qemu: "qemu-system-x86_64",
            machine: &["-M", "q35", "-cpu", "qemu32"],
            qemu_package: "qemu-system-x86",
            virtio: Virtio::Pci,
            memory_mib: 64,
            console: "ttyS0",
            is_usual: false,
        },
        Self {
            name: "riscv64",
            arch: "riscv",
            image: "arch/riscv/boot/Image",
            image_target: "Image",
            abis: &[Abi {
                triplet: "riscv64-linux-gnu",
                debian: "riscv64",
                compiler: "riscv64-linux-gnu",
                glibc_loader: "lib/ld-linux-riscv64-lp64d.so.1",
                musl_loaders: &["ld-musl-riscv64.so.1"],
                musl_flags: &[],
            }],
            qemu: "qemu-system-riscv64",
            machine: &["-M", "virt", "-cpu", "rv64"],
            qemu_package: "qemu-system-misc",
            virtio: Virtio::Mmio,
            memory_mib: 96,
            console: "ttyS0",
            is_usual: false,
        },
        Self {
            name: "powerpc",
            arch: "powerpc",
            image: "vmlinux",
            image_target: "vmlinux",
            abis: &[Abi {
                triplet: "powerpc-linux-gnu",
                debian: "powerpc",
                compiler: "powerpc-linux-gnu",
                glibc_loader: "lib/ld.so.1",
                musl_loaders: &["ld-musl-powerpc.so.1", "ld-musl-powerpc-sf.so.1"],
                // It does not know the long double of two doubles that Debian's compiler begins with.
                musl_flags: &["-mlong-double-64"],
            }],
            qemu: "qemu-system-ppc",
            // QEMU keeps the addresses of exceptions in no snapshot where software sets them, as on ppce500. Without
            // graphics the firmware talks to the serial port; with them it ends for want of a screen.
            machine: &["-M", "mac99,graphics=off", "-cpu", "7400"],
            qemu_package: "qemu-system-ppc",
            virtio: Virtio::Pci,
            memory_mib: 96,
            console: "ttyS0",
            is_usual: false,
        },
    ];

    /// The kit of this name.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|isa| isa.name == name)
    }

    /// The ABI of kernel, BusyBox and agent.
    pub(crate) fn main_abi(&self) -> &'static Abi {
        self.abis.first().expect("each kit of the table has an ABI")
    }

    /// The kernel's command line. A panic restarts the machine at once, which ends QEMU with `-no-reboot`.
    pub(crate) fn command_line(&self) -> String {
        format!("console={} quiet panic=-1", self.console)
    }
}
