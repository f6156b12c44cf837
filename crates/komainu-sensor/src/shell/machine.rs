//! The device that a shell pretends to be: its processor, its names, its processes and the files that it came with.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::elf;

/// The device that a shell pretends to be. All sessions of a persona share one.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    /// What the programs are made for.
    pub(crate) cpu: Cpu,
    /// `hostname`.
    pub(crate) host_name: String,
    /// `uname -r`.
    pub(crate) kernel: String,
    /// `uname -v`.
    pub(crate) kernel_build: String,
    /// What follows `BusyBox v` in the banner. The texts and messages are those of 1.35; another number changes the
    /// banner only.
    pub(crate) busybox_version: String,
    /// Whom a session is logged in as.
    pub(crate) user: String,
    /// `uid` of that user.
    pub(crate) uid: u32,
    /// What `busybox` lists and what the folders of programs hold links for, in order.
    pub(crate) applets: Vec<&'static str>,
    /// What is mounted, in the order of `/proc/mounts`. Only what lies on a writable one can be changed.
    pub(crate) mounts: Vec<Mount>,
    /// The files that the device came with, by absolute path. Folders are listed, too.
    pub(crate) files: BTreeMap<Vec<u8>, BaseFile>,
    /// What runs, in the order of process ids.
    pub(crate) processes: Vec<Process>,
    /// The address of its only interface.
    pub(crate) address: std::net::Ipv4Addr,
    /// Memory, in KiB.
    pub(crate) memory_kib: u32,
    /// When the device started, in seconds before a session begins.
    pub(crate) uptime_s: u64,
    /// The wall clock when a session begins, in seconds since 1970. Small devices often have no clock of their own and
    /// start in 1970.
    pub(crate) wall_clock_s: u64,
    /// The one file of all programs.
    pub(crate) busybox: Arc<[u8]>,
}

/// A processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cpu {
    /// ARM926 and the like, soft float.
    Armv5,
    /// Cortex-A, hard float.
    Armv7,
    /// 64-bit ARM.
    Aarch64,
    /// MIPS32, big-endian.
    Mips,
    /// MIPS32, little-endian.
    Mipsel,
    /// SuperH 4, little-endian.
    Sh4,
    /// PowerPC, 32-bit, big-endian.
    Powerpc,
    /// 32-bit PC.
    X86,
    /// 64-bit PC.
    X86_64,
}

impl Cpu {
    /// Every processor.
    #[cfg(any(test, fuzzing))]
    pub(crate) const ALL: [Self; 9] = [
        Self::Armv5,
        Self::Armv7,
        Self::Aarch64,
        Self::Mips,
        Self::Mipsel,
        Self::Sh4,
        Self::Powerpc,
        Self::X86,
        Self::X86_64,
    ];

    /// `uname -m`. Linux says `mips` for both byte orders.
    pub(crate) const fn machine_name(self) -> &'static str {
        match self {
            Self::Armv5 => "armv5tejl",
            Self::Armv7 => "armv7l",
            Self::Aarch64 => "aarch64",
            Self::Mips | Self::Mipsel => "mips",
            Self::Sh4 => "sh4a",
            Self::Powerpc => "ppc",
            Self::X86 => "i686",
            Self::X86_64 => "x86_64",
        }
    }

    fn cpuinfo(self) -> &'static str {
        match self {
            Self::Armv5 => {
                "Processor\t: ARM926EJ-S rev 5 (v5l)\nBogoMIPS\t: 218.72\nFeatures\t: swp half fastmult edsp java \n\
                 CPU implementer\t: 0x41\nCPU architecture: 5TEJ\nCPU variant\t: 0x0\nCPU part\t: 0x926\n\
                 CPU revision\t: 5\n\nHardware\t: hi3518\nRevision\t: 0000\nSerial\t\t: 0000000000000000\n"
            }
            Self::Armv7 => {
                "processor\t: 0\nmodel name\t: ARMv7 Processor rev 5 (v7l)\nBogoMIPS\t: 50.00\n\
                 Features\t: half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae \n\
                 CPU implementer\t: 0x41\nCPU architecture: 7\nCPU variant\t: 0x0\nCPU part\t: 0xc07\n\
                 CPU revision\t: 5\n\nHardware\t: Generic DT based system\nRevision\t: 0000\n\
                 Serial\t\t: 0000000000000000\n"
            }
            Self::Aarch64 => {
                "processor\t: 0\nBogoMIPS\t: 48.00\nFeatures\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid\n\
                 CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: 0xd03\n\
                 CPU revision\t: 4\n\n"
            }
            Self::Mips => {
                "system type\t\t: Atheros AR9341 rev 1\nprocessor\t\t: 0\ncpu model\t\t: MIPS 74Kc V4.12\n\
                 BogoMIPS\t\t: 266.64\nwait instruction\t: yes\nmicrosecond timers\t: yes\ntlb_entries\t\t: 32\n\
                 extra interrupt vector\t: yes\nhardware watchpoint\t: yes, count: 4, address/irw mask: [0x0000, 0x0ff8, \
                 0x0ff8, 0x0ff8]\nisa\t\t\t: mips1 mips2 mips32r1 mips32r2\nASEs implemented\t: mips16 dsp dsp2\n\
                 shadow register sets\t: 1\nkscratch registers\t: 0\ncore\t\t\t: 0\nVCED exceptions\t\t: not available\n\
                 VCEI exceptions\t\t: not available\n\n"
            }
            Self::Mipsel => {
                "system type\t\t: MediaTek MT7628AN ver:1 eco:2\nprocessor\t\t: 0\ncpu model\t\t: MIPS 24KEc V5.5\n\
                 BogoMIPS\t\t: 385.84\nwait instruction\t: yes\nmicrosecond timers\t: yes\ntlb_entries\t\t: 32\n\
                 extra interrupt vector\t: yes\nhardware watchpoint\t: yes, count: 4, address/irw mask: [0x0ffc, 0x0ffc, \
                 0x0ffb, 0x0ffb]\nisa\t\t\t: mips1 mips2 mips32r1 mips32r2\nASEs implemented\t: mips16 dsp\n\
                 shadow register sets\t: 1\nkscratch registers\t: 0\ncore\t\t\t: 0\nVCED exceptions\t\t: not available\n\
                 VCEI exceptions\t\t: not available\n\n"
            }
            Self::Sh4 => {
                "machine\t\t: STx7105\nprocessor\t: 0\ncpu family\t: sh4\ncpu type\t: STx7105\ncut\t\t: 4.x\n\
                 cpu flags\t: fpu llsc\ncache type\t: split (harvard)\nicache size\t: 32KiB (2-way)\n\
                 dcache size\t: 32KiB (2-way)\naddress sizes\t: 32 bits physical\nbogomips\t: 448.51\n\n"
            }
            Self::Powerpc => {
                "processor\t: 0\ncpu\t\t: e500v2\nclock\t\t: 800.000000MHz\nrevision\t: 3.0 (pvr 8021 0030)\n\
                 bogomips\t: 100.00\ntimebase\t: 50000000\nplatform\t: P1010 RDB\nmodel\t\t: fsl,P1010RDB\n\
                 Memory\t\t: 128 MB\n"
            }
            Self::X86 => {
                "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 28\n\
                 model name\t: Intel(R) Atom(TM) CPU D525   @ 1.80GHz\nstepping\t: 10\ncpu MHz\t\t: 1800.120\n\
                 cache size\t: 512 KB\nphysical id\t: 0\nsiblings\t: 1\ncore id\t\t: 0\ncpu cores\t: 1\nfpu\t\t: yes\n\
                 cpuid level\t: 10\nwp\t\t: yes\nflags\t\t: fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov \
                 pat clflush dts acpi mmx fxsr sse sse2 ht tm pbe nx constant_tsc ssse3 movbe\nbogomips\t: 3600.24\n\n"
            }
            Self::X86_64 => {
                "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 55\n\
                 model name\t: Intel(R) Celeron(R) CPU  J1900  @ 1.99GHz\nstepping\t: 9\ncpu MHz\t\t: 1992.000\n\
                 cache size\t: 1024 KB\nphysical id\t: 0\nsiblings\t: 1\ncore id\t\t: 0\ncpu cores\t: 1\nfpu\t\t: yes\n\
                 cpuid level\t: 11\nwp\t\t: yes\nflags\t\t: fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov \
                 pat clflush dts acpi mmx fxsr sse sse2 ht tm pbe syscall nx rdtscp lm constant_tsc ssse3 cx16 sse4_1 \
                 sse4_2 movbe popcnt\nbogomips\t: 3984.00\n\n"
            }
        }
    }
}

/// A mounted file system.
#[derive(Debug, Clone)]
pub(crate) struct Mount {
    /// What is mounted, `tmpfs` or a device.
    pub(crate) source: Cow<'static, str>,
    /// Where.
    pub(crate) at: Cow<'static, str>,
    /// `squashfs`, `tmpfs` …
    pub(crate) kind: Cow<'static, str>,
    /// The options of `/proc/mounts`; the first is `rw` or `ro`.
    pub(crate) options: Cow<'static, str>,
    /// Size, in KiB; 0 for what has none, which `df` leaves out.
    pub(crate) kib: u32,
    /// What is used of it, in KiB.
    pub(crate) used_kib: u32,
}

impl Mount {
    /// Whether files on it can be changed.
    pub(crate) fn is_writable(&self) -> bool {
        self.options.split(',').next() == Some("rw")
    }
}

/// A process that was there before the session.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    /// Its id.
    pub(crate) pid: u32,
    /// The size of its memory, in KiB; 0 for a thread of the kernel.
    pub(crate) kib: u32,
    /// Its command line; in brackets for a thread of the kernel.
    pub(crate) command: &'static str,
}

/// A file that the device came with.
#[derive(Debug, Clone)]
pub(crate) struct BaseFile {
    /// Permission bits.
    pub(crate) mode: u16,
    /// Owner and group; these devices have few users besides root.
    pub(crate) uid: u32,
    /// What it is.
    pub(crate) contents: Contents,
}

/// What a file of the base is.
#[derive(Debug, Clone)]
pub(crate) enum Contents {
    /// A folder.
    Folder,
    /// A symbolic link.
    Link(Vec<u8>),
    /// A file.
    Bytes(Arc<[u8]>),
    /// A file that is made when it is read, as those of `/proc`.
    Made(fn(&Machine, View) -> Vec<u8>),
    /// A device.
    Device(Device),
}

/// What of a session is seen in `/proc`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    /// Since the device started.
    pub(crate) uptime_s: u64,
    /// The session's shell.
    pub(crate) pid: u32,
}

/// A device file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Device {
    /// Swallows everything.
    Null,
    /// Gives zeros.
    Zero,
    /// Is always full.
    Full,
    /// Gives random bytes.
    Random,
    /// The terminal of the session.
    Terminal,
    /// Takes everything and gives nothing: a watchdog, a serial line.
    Other,
}

/// What the default persona can do.
const APPLETS: &str = "[ [[ arp arping ash awk base64 basename brctl bunzip2 bzcat cat chgrp chmod chown chroot \
    clear cmp \
    cp crond crontab cut date dd df dirname dmesg du echo egrep env expr false fgrep find free fsync ftpget ftpput getty \
    grep groups gunzip gzip halt head hexdump hostname httpd id ifconfig init insmod ip ipcalc kill killall klogd less \
    linuxrc ln logger login logread ls lsmod md5sum mkdir mkfifo mknod mktemp modprobe more mount mv nc netstat nohup \
    nslookup od passwd pgrep pidof ping pivot_root pkill poweroff printf ps pwd readlink reboot reset rm rmdir rmmod route \
    sed seq sh sha1sum sha256sum sha512sum sleep sort stat strings stty su swapoff swapon sync sysctl syslogd tail tar tee \
    telnet telnetd test tftp time timeout top touch tr traceroute true udhcpc umount uname uniq uptime vconfig vi w watch \
    watchdog wc wget which who whoami xargs yes zcat";

/// Applets whose link lies elsewhere than in `/bin`.
const IN_SBIN: &str = " arp getty halt ifconfig init insmod ip klogd lsmod mkswap modprobe pivot_root poweroff reboot \
    rmmod route swapoff swapon sysctl syslogd udhcpc vconfig watchdog logread ";
const IN_USR_SBIN: &str = " arping brctl chroot crond httpd telnetd ";
const IN_USR_BIN: &str = " [ [[ awk basename clear cmp crontab cut dirname du env expr find free ftpget ftpput groups \
    head hexdump id killall less logger md5sum mkfifo nc nohup nslookup od passwd pgrep pkill printf readlink reset seq \
    sha1sum sha256sum sha512sum sort strings tail tee telnet test tftp time timeout top tr traceroute uniq uptime w wc \
    wget which who whoami xargs yes ";

impl Machine {
    /// A camera or router of this processor, as it left the factory.
    pub(crate) fn new(cpu: Cpu, host_name: &str) -> Self {
        let applets: Vec<&'static str> = APPLETS.split_whitespace().collect();
        let busybox: Arc<[u8]> = elf::stub(cpu).into();
        let mut machine = Self {
            cpu,
            host_name: host_name.to_owned(),
            kernel: "5.10.161".to_owned(),
            kernel_build: "#0 Tue Jan 3 00:24:21 2023".to_owned(),
            busybox_version: "1.35.0 (2023-01-03 00:24:21 UTC)".to_owned(),
            user: "root".to_owned(),
            uid: 0,
            applets,
            mounts: default_mounts(),
            files: BTreeMap::new(),
            processes: default_processes(),
            address: std::net::Ipv4Addr::new(192, 168, 1, 108),
            memory_kib: 60_920,
            uptime_s: 1_296_733,
            wall_clock_s: 1_296_733,
            busybox,
        };
        machine.add_default_files();
        machine
    }

    /// What `busybox` and a shell say first of themselves, without an end of line.
    pub(crate) fn banner(&self) -> String {
        format!("BusyBox v{}", self.busybox_version)
    }

    /// The same device with the folders in which Android keeps what can be changed.
    pub(crate) fn with_android_folders(&self) -> Self {
        let mut machine = self.clone();
        machine.mount(Mount {
            source: "/dev/block/mmcblk0p10".into(),
            at: "/data".into(),
            kind: "ext4".into(),
            options: "rw,nosuid,nodev,noatime".into(),
            kib: 5_324_800,
            used_kib: 1_204_372,
        });
        for path in ["/data", "/data/local", "/data/local/tmp", "/data/media", "/data/media/0"] {
            machine.add(path, 0o771, Contents::Folder);
        }
        machine.add("/sdcard", 0o777, Contents::Link(b"/data/media/0".to_vec()));
        machine
    }

    /// Mounts a file system; one that is there is replaced.
    pub(crate) fn mount(&mut self, mount: Mount) {
        for (end, _) in mount.at.match_indices('/').skip(1).chain([(mount.at.len(), "")]) {
            let folder = BaseFile { mode: 0o755, uid: 0, contents: Contents::Folder };
            self.files.entry(mount.at.as_bytes()[..end].to_vec()).or_insert(folder);
        }
        match self.mounts.iter_mut().find(|known| known.at == mount.at) {
            Some(known) => *known = mount,
            None => self.mounts.push(mount),
        }
    }

    /// The mount that a path lies on.
    pub(crate) fn mount_of(&self, path: &[u8]) -> Option<&Mount> {
        let lies_on = |mount: &&Mount| {
            let at = mount.at.as_bytes();
            at == b"/" || path.strip_prefix(at).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        };
        // The later one of two mounts at the same place hides the earlier.
        self.mounts.iter().filter(lies_on).max_by_key(|mount| mount.at.len())
    }

    /// `/proc/mounts`.
    pub(crate) fn mounts_text(&self) -> String {
        self.mounts.iter().map(|m| format!("{} {} {} {} 0 0\n", m.source, m.at, m.kind, m.options)).collect()
    }

    /// `/proc/version`.
    pub(crate) fn version_text(&self) -> String {
        format!(
            "Linux version {} (builder@buildhost) (gcc 11.2.0, GNU ld (GNU Binutils) 2.37) {}\n",
            self.kernel, self.kernel_build
        )
    }

    fn add_default_files(&mut self) {
        for folder in
            "/ /bin /sbin /usr /usr/bin /usr/sbin /usr/lib /lib /etc /etc/init.d /etc/config /etc/crontabs /root \
                       /home /mnt /mnt/mtd /tmp /var /var/run /var/log /var/tmp /var/spool /var/spool/cron /run /dev \
                       /dev/pts /dev/shm /proc /proc/self /proc/self/fd /proc/net /proc/sys /proc/sys/kernel \
                       /proc/sys/net /sys /sys/class /sys/class/net /overlay /www"
                .split_whitespace()
        {
            let mode = if matches!(folder, "/tmp" | "/var/tmp" | "/dev/shm") { 0o1777 } else { 0o755 };
            self.add(folder, mode, Contents::Folder);
        }
        let busybox = self.busybox.clone();
        self.add("/bin/busybox", 0o755, Contents::Bytes(busybox));
        for applet in self.applets.clone() {
            let name = format!(" {applet} ");
            let (folder, target) = if IN_USR_BIN.contains(&name) {
                ("/usr/bin", "../../bin/busybox")
            } else if IN_USR_SBIN.contains(&name) {
                ("/usr/sbin", "../../bin/busybox")
            } else if IN_SBIN.contains(&name) {
                ("/sbin", "../bin/busybox")
            } else if applet == "linuxrc" {
                ("", "bin/busybox")
            } else {
                ("/bin", "busybox")
            };
            self.add(&format!("{folder}/{applet}"), 0o777, Contents::Link(target.into()));
        }
        self.add_text(
            "/etc/passwd",
            0o644,
            "root:x:0:0:root:/root:/bin/sh\ndaemon:*:1:1:daemon:/var:/bin/false\n\
            ftp:*:55:55:ftp:/var/ftp:/bin/false\nnobody:*:65534:65534:nobody:/var:/bin/false\n",
        );
        self.add_text(
            "/etc/shadow",
            0o600,
            "root:$1$xSbZ0qfT$6T5jvHr8zLwQ1c3P0dGk4/:18000:0:99999:7:::\n\
            daemon:*:0:0:99999:7:::\nftp:*:0:0:99999:7:::\nnobody:*:0:0:99999:7:::\n",
        );
        self.add_text("/etc/group", 0o644, "root:x:0:\ndaemon:x:1:\nftp:x:55:\nnobody:x:65534:\n");
        self.add_text(
            "/etc/profile",
            0o644,
            "export PATH=/usr/sbin:/usr/bin:/sbin:/bin\nexport HOME=$(grep \
            -e \"^${USER:-root}:\" /etc/passwd | cut -d \":\" -f 6)\nexport HOME=${HOME:-/root}\n",
        );
        self.add_text("/etc/hosts", 0o644, "127.0.0.1 localhost\n");
        self.add_text(
            "/etc/inittab",
            0o644,
            "::sysinit:/etc/init.d/rcS S boot\n::shutdown:/etc/init.d/rcS K shutdown\nttyS0::askfirst:/bin/login\n",
        );
        self.add_text(
            "/etc/init.d/rcS",
            0o755,
            "#!/bin/sh\nmount -a\nmkdir -p /var/run /var/log /var/tmp\ntelnetd\ncrond\n",
        );
        self.add_text("/etc/shells", 0o644, "/bin/ash\n/bin/sh\n");
        self.add("/etc/mtab", 0o777, Contents::Link(b"/proc/mounts".to_vec()));
        self.add("/etc/resolv.conf", 0o777, Contents::Link(b"/tmp/resolv.conf".to_vec()));
        self.add_text("/tmp/resolv.conf", 0o644, "nameserver 192.168.1.1\n");
        self.add_text(
            "/var/log/messages",
            0o640,
            "Jan  1 00:00:09 kernel: eth0: link up\nJan  1 00:00:12 udhcpc: lease obtained\n",
        );
        self.add_text("/var/run/crond.pid", 0o644, "612\n");
        self.add_text("/var/run/utmp", 0o644, "");
        let host_name = format!("{}\n", self.host_name);
        self.add_text("/etc/hostname", 0o644, &host_name);
        self.add_text("/proc/sys/kernel/hostname", 0o644, &host_name);
        let release = format!("{}\n", self.kernel);
        self.add_text("/proc/sys/kernel/osrelease", 0o444, &release);
        self.add_text("/proc/cpuinfo", 0o444, self.cpu.cpuinfo());
        self.add_text("/proc/cmdline", 0o444, "console=ttyS0,115200 root=/dev/mtdblock2 rootfstype=squashfs\n");
        self.add_text(
            "/proc/filesystems",
            0o444,
            "nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tdevpts\n\tsquashfs\nnodev\tramfs\n\tvfat\nnodev\tjffs2\n",
        );
        self.add_text(
            "/proc/mtd",
            0o444,
            "dev:    size   erasesize  name\nmtd0: 00040000 00010000 \"boot\"\nmtd1: \
            00200000 00010000 \"kernel\"\nmtd2: 00c00000 00010000 \"rootfs\"\nmtd3: 001c0000 00010000 \"config\"\n",
        );
        self.add_text("/proc/modules", 0o444, "");
        self.add("/proc/version", 0o444, Contents::Made(|machine, _| machine.version_text().into()));
        self.add("/proc/mounts", 0o444, Contents::Made(|machine, _| machine.mounts_text().into()));
        self.add("/proc/self/mounts", 0o444, Contents::Made(|machine, _| machine.mounts_text().into()));
        self.add("/proc/uptime", 0o444, Contents::Made(|_, view| format!("{0}.41 {0}.02\n", view.uptime_s).into()));
        self.add(
            "/proc/loadavg",
            0o444,
            Contents::Made(|machine, view| {
                format!("0.02 0.05 0.01 1/{} {}\n", machine.processes.len(), view.pid + 1).into()
            }),
        );
        self.add(
            "/proc/meminfo",
            0o444,
            Contents::Made(|machine, _| {
                let total = machine.memory_kib;
                let (free, buffers, cached) = (total / 3, total / 25, total / 6);
                format!(
                    "MemTotal:       {total:>8} kB\nMemFree:        {free:>8} kB\nMemAvailable:   {:>8} kB\n\
                 Buffers:        {buffers:>8} kB\nCached:         {cached:>8} kB\nSwapCached:            0 kB\n\
                 SwapTotal:             0 kB\nSwapFree:              0 kB\n",
                    free + cached
                )
                .into()
            }),
        );
        self.add("/proc/net/tcp", 0o444, Contents::Made(|_, _| {
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
             0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1021 1 00000000 100 0 0 10 0\n   \
             1: 00000000:0017 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1043 1 00000000 100 0 0 10 0\n"
                .into()
        }));
        self.add(
            "/proc/net/route",
            0o444,
            Contents::Made(|_, _| {
                "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
             eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
             eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
                    .into()
            }),
        );
        self.add_text(
            "/proc/net/arp",
            0o444,
            "IP address       HW type     Flags       HW address            \
            Mask     Device\n192.168.1.1      0x1         0x2         9c:a3:aa:10:22:01     *        eth0\n",
        );
        self.add("/proc/net/dev", 0o444, Contents::Made(|_, view| {
            format!(
                "Inter-|   Receive                                                |  Transmit\n \
                 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    \
                 lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0\n  \
                 eth0: {:>7} {:>7}    0    0    0     0          0         0 {:>8} {:>7}    0    0    0     0       0          0\n",
                view.uptime_s * 131, view.uptime_s / 3, view.uptime_s * 57, view.uptime_s / 7
            )
            .into()
        }));
        self.add("/proc/self/exe", 0o777, Contents::Link(b"/bin/busybox".to_vec()));
        self.add("/proc/self/cwd", 0o777, Contents::Link(b"/".to_vec()));
        self.add_text("/proc/self/cmdline", 0o444, "-sh\0");
        self.add_text("/proc/self/comm", 0o644, "sh\n");
        self.add(
            "/proc/self/status",
            0o444,
            Contents::Made(|_, view| {
                format!(
                    "Name:\tsh\nState:\tS (sleeping)\nTgid:\t{0}\nPid:\t{0}\nPPid:\t611\nTracerPid:\t0\n\
                Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\n",
                    view.pid
                )
                .into()
            }),
        );
        self.add(
            "/proc/self/maps",
            0o444,
            Contents::Made(|_, _| b"00400000-00421000 r-xp 00000000 1f:02 12         /bin/busybox\n".to_vec()),
        );
        for process in self.processes.clone() {
            let folder = format!("/proc/{}", process.pid);
            self.add(&folder, 0o555, Contents::Folder);
            let is_program = process.kib > 0;
            let first = process.command.split_whitespace().next().unwrap_or_default();
            let name = first.trim_matches(['[', ']']).rsplit('/').next().unwrap_or_default();
            let arguments = process.command.split_whitespace().map(|word| format!("{word}\0")).collect::<String>();
            self.add_text(&format!("{folder}/cmdline"), 0o444, if is_program { &arguments } else { "" });
            self.add_text(&format!("{folder}/comm"), 0o644, &format!("{name}\n"));
            self.add_text(
                &format!("{folder}/status"),
                0o444,
                &format!("Name:\t{name}\nState:\tS (sleeping)\nTgid:\t{0}\nPid:\t{0}\nPPid:\t1\n", process.pid),
            );
            self.add_text(
                &format!("{folder}/stat"),
                0o444,
                &format!("{} ({name}) S 1 0 0 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 0 0 0\n", process.pid),
            );
            if is_program {
                let program = if first.starts_with('/') { first.as_bytes() } else { b"/bin/busybox" };
                self.add(&format!("{folder}/exe"), 0o777, Contents::Link(program.to_vec()));
                self.add_text(&format!("{folder}/maps"), 0o444, "");
            }
        }
        let own: Arc<[u8]> = self.busybox.get(..STREAMER_BYTES).unwrap_or_default().into();
        self.add("/usr/bin/streamer", 0o755, Contents::Bytes(own));
        for (name, device) in [
            ("null", Device::Null),
            ("zero", Device::Zero),
            ("full", Device::Full),
            ("random", Device::Random),
            ("urandom", Device::Random),
            ("tty", Device::Terminal),
            ("console", Device::Other),
            ("ptmx", Device::Other),
            ("ttyS0", Device::Other),
            ("watchdog", Device::Other),
            ("mem", Device::Other),
            ("mtd0", Device::Other),
            ("mtd1", Device::Other),
            ("mtd2", Device::Other),
            ("mtd3", Device::Other),
            ("mtdblock2", Device::Other),
            ("mtdblock3", Device::Other),
        ] {
            let mode = if matches!(device, Device::Other) { 0o600 } else { 0o666 };
            self.add(&format!("/dev/{name}"), mode, Contents::Device(device));
        }
        self.add("/dev/stdin", 0o777, Contents::Link(b"/dev/tty".to_vec()));
        self.add("/dev/stdout", 0o777, Contents::Link(b"/dev/tty".to_vec()));
        self.add("/dev/stderr", 0o777, Contents::Link(b"/dev/tty".to_vec()));
        self.add("/dev/pts/0", 0o620, Contents::Device(Device::Terminal));
    }

    fn add_text(&mut self, path: &str, mode: u16, text: &str) {
        self.add(path, mode, Contents::Bytes(text.as_bytes().into()));
    }

    fn add(&mut self, path: &str, mode: u16, contents: Contents) {
        self.files.insert(path.as_bytes().to_vec(), BaseFile { mode, uid: 0, contents });
    }
}

/// The size of the device's own program, in bytes.
const STREAMER_BYTES: usize = 91_204;

fn default_mounts() -> Vec<Mount> {
    let mount = |source: &'static str, at: &'static str, kind: &'static str, options: &'static str, kib, used_kib| {
        Mount { source: source.into(), at: at.into(), kind: kind.into(), options: options.into(), kib, used_kib }
    };
    vec![
        mount("/dev/root", "/", "squashfs", "ro,relatime", 6_400, 6_400),
        mount("proc", "/proc", "proc", "rw,nosuid,nodev,noexec,noatime", 0, 0),
        mount("sysfs", "/sys", "sysfs", "rw,nosuid,nodev,noexec,noatime", 0, 0),
        mount("tmpfs", "/tmp", "tmpfs", "rw,nosuid,nodev,noatime", 30_460, 72),
        mount("tmpfs", "/var", "tmpfs", "rw,relatime", 30_460, 12),
        mount("tmpfs", "/run", "tmpfs", "rw,relatime", 30_460, 0),
        mount("tmpfs", "/dev", "tmpfs", "rw,nosuid,relatime,size=512k,mode=755", 512, 0),
        mount("devpts", "/dev/pts", "devpts", "rw,nosuid,noexec,relatime,mode=600,ptmxmode=000", 0, 0),
        mount("/dev/mtdblock3", "/mnt/mtd", "jffs2", "rw,relatime", 1_792, 604),
    ]
}

fn default_processes() -> Vec<Process> {
    [
        (1, 1_212, "init"),
        (2, 0, "[kthreadd]"),
        (3, 0, "[rcu_gp]"),
        (7, 0, "[ksoftirqd/0]"),
        (8, 0, "[kworker/0:1]"),
        (12, 0, "[kswapd0]"),
        (41, 0, "[mtdblock2]"),
        (230, 1_216, "/sbin/syslogd -n"),
        (233, 1_208, "/sbin/klogd -n"),
        (418, 1_212, "udhcpc -i eth0 -b"),
        (530, 3_104, "/usr/bin/streamer -c /etc/config/video"),
        (548, 1_688, "httpd -h /www -p 80"),
        (611, 1_208, "telnetd -l /bin/login"),
        (612, 1_212, "crond -c /etc/crontabs"),
    ]
    .into_iter()
    .map(|(pid, kib, command)| Process { pid, kib, command })
    .collect()
}
