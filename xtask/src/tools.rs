//! Programs that are not ours: found, or installed below the target folder, or asked for by name.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::kits::{Abi, Isa, LINUX_PACKAGE};
use crate::programs::run_to_end;
use crate::workspace;

/// The oldest Python that the pinned packages support.
const PYTHON_OLDEST: (u32, u32) = (3, 10);

/// The exit status when something is [`Missing`].
pub(crate) const EXIT_MISSING: u8 = 2;

/// Something that this machine lacks and that we may not or cannot install.
#[derive(Debug)]
pub(crate) struct Missing {
    what: String,
    remedy: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "missing: {}\n  to go on: {}", self.what, self.remedy)
    }
}

impl std::error::Error for Missing {}

impl Missing {
    pub(crate) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into() }
    }
}

/// One set of Python packages with exact versions, installed into a virtual environment of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PythonTools {
    /// AWS CLI, boto3, AWS's device SDKs, paho, and the mail server of tests.
    Clients,
    /// AWS's Device Defender agent 2.0.0, on AWS's device SDK v2.
    Agent2,
    /// AWS's Device Defender agent 1.1.1, on AWS's device SDK v1.
    Agent1,
    /// What checks the laboratory's rules and reports: Sigma's checker, STIX's validator and library.
    Lab,
}

impl PythonTools {
    pub(crate) const ALL: [Self; 4] = [Self::Clients, Self::Agent2, Self::Agent1, Self::Lab];

    fn name(self) -> &'static str {
        match self {
            Self::Clients => "clients",
            Self::Agent2 => "agent-2.0.0",
            Self::Agent1 => "agent-1.1.1",
            Self::Lab => "lab",
        }
    }

    fn requirements(self) -> PathBuf {
        let file = match self {
            Self::Clients | Self::Agent2 | Self::Agent1 => format!("tests/clients/requirements-{}.txt", self.name()),
            Self::Lab => "tests/lab/requirements.txt".into(),
        };
        workspace::root().join(file)
    }

    /// The folder of the virtual environment.
    pub(crate) fn folder(self) -> PathBuf {
        workspace::target().join("tools").join(self.name())
    }

    /// One of its programs, for example `aws`.
    pub(crate) fn program(self, name: &str) -> PathBuf {
        self.folder().join("bin").join(name)
    }

    /// The folder of one of its packages.
    pub(crate) fn package(self, name: &str) -> anyhow::Result<PathBuf> {
        let question = format!("import {name}; print(list({name}.__path__)[0])");
        Ok(run_to_end(Command::new(self.program("python")).args(["-c", &question]))?.trim().into())
    }

    /// AWS's `agent.py` as its package installs it.
    pub(crate) fn agent(self) -> anyhow::Result<PathBuf> {
        Ok(self.package("AWSIoTDeviceDefenderAgentSDK")?.join("agent.py"))
    }

    /// Installs it unless it is there with exactly these versions.
    pub(crate) fn install(self) -> anyhow::Result<()> {
        let folder = self.folder();
        let lock_path = workspace::target().join("tools").join(format!("{}.lock", self.name()));
        fs::create_dir_all(workspace::target().join("tools")).context("cannot make the folder for tools")?;
        let lock = fs::File::create(&lock_path).with_context(|| format!("cannot make {}", lock_path.display()))?;
        // Clones that share a target folder install one after the other. Released when the file is closed.
        lock.lock().with_context(|| format!("cannot lock {}", lock_path.display()))?;
        let requirements = self.requirements();
        let wanted =
            fs::read_to_string(&requirements).with_context(|| format!("cannot read {}", requirements.display()))?;
        let marker = folder.join("installed.txt");
        if fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted)
            && runs(&self.program("python"), &["-V"])
        {
            return Ok(());
        }
        let python = python()?;
        eprintln!("installing {} below {} …", self.name(), workspace::target().join("tools").display());
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        run_to_end(Command::new(&python).args(["-m", "venv"]).arg(&folder))?;
        run_to_end(
            Command::new(self.program("python"))
                .args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--requirement"])
                .arg(&requirements),
        )?;
        fs::write(&marker, wanted).with_context(|| format!("cannot write {}", marker.display()))
    }
}

/// A Python that can make virtual environments; Debian keeps that part in a package of its own.
pub(crate) fn python() -> anyhow::Result<PathBuf> {
    let (major, minor) = PYTHON_OLDEST;
    let probe = format!("import ensurepip, sys, venv; sys.exit(sys.version_info < ({major}, {minor}))");
    let find = || ["python3", "/usr/bin/python3"].into_iter().find(|python| runs(Path::new(python), &["-c", &probe]));
    if let Some(python) = find() {
        return Ok(python.into());
    }
    install_packages(
        &format!("Python {major}.{minor} or newer that can make virtual environments"),
        &["python3", "python3-venv"],
    )?;
    match find() {
        Some(python) => Ok(python.into()),
        None => bail!(
            "python3 and python3-venv are installed, and still no python3 of {major}.{minor} or newer with venv is found"
        ),
    }
}

/// A C compiler with static libraries, and `setpriv`, which runs a program as another user.
pub(crate) fn need_compiler() -> anyhow::Result<()> {
    let has_libraries = || {
        let asked = run_to_end(Command::new("gcc").arg("-print-file-name=libc.a"));
        // Found, it is named with its folder.
        asked.is_ok_and(|name| Path::new(name.trim()).is_absolute())
    };
    if has_libraries() && runs(Path::new("setpriv"), &["--version"]) {
        return Ok(());
    }
    install_packages("a C compiler with static libraries, and setpriv", &["gcc", "libc6-dev", "util-linux"])
}

/// `curl`, which follows links and speaks HTTPS with a device's certificate.
pub(crate) fn need_curl() -> anyhow::Result<()> {
    if runs(Path::new("curl"), &["--version"]) {
        return Ok(());
    }
    install_packages("curl", &["curl"])
}

/// `tshark` and `capinfos`, which read what the relay captured.
pub(crate) fn need_tshark() -> anyhow::Result<()> {
    if runs(Path::new("tshark"), &["--version"]) && runs(Path::new("capinfos"), &["--version"]) {
        return Ok(());
    }
    install_packages("tshark and capinfos", &["tshark"])
}

/// `telnet`, with which a persona is visited as people do it.
pub(crate) fn need_telnet() -> anyhow::Result<()> {
    if runs(Path::new("telnet"), &["--version"]) {
        return Ok(());
    }
    install_packages("telnet", &["telnet"])
}

/// Samba's clients, nmap and impacket, with which a persona's shares are visited.
pub(crate) fn need_smb_clients() -> anyhow::Result<()> {
    // impacket is a library of the system's own Python.
    let are_there = [("smbclient", "--version"), ("rpcclient", "--version"), ("nmap", "--version")]
        .into_iter()
        .all(|(program, argument)| runs(Path::new(program), &[argument]))
        && runs(Path::new("/usr/bin/python3"), &["-c", "import impacket"]);
    if are_there {
        return Ok(());
    }
    install_packages("clients of SMB", &["smbclient", "nmap", "python3-impacket"])
}

/// binutils, squashfs-tools and cpio, which static triage is compared with, and dpkg and apt for what is compared.
pub(crate) fn need_triage_oracle() -> anyhow::Result<()> {
    let programs =
        [("readelf", "--version"), ("mksquashfs", "-version"), ("cpio", "--version"), ("dpkg-deb", "--version")];
    // mksquashfs says its version and that this was no success.
    if programs.into_iter().all(|(program, argument)| starts(Path::new(program), argument)) {
        return Ok(());
    }
    install_packages("what static triage is compared with", &["binutils", "squashfs-tools", "cpio"])
}

/// Whether a program is there, whatever it says.
fn starts(program: &Path, argument: &str) -> bool {
    let mut command = Command::new(program);
    command.arg(argument).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// `openssl`, which shows the certificate of a persona.
pub(crate) fn need_openssl() -> anyhow::Result<()> {
    if runs(Path::new("openssl"), &["version"]) {
        return Ok(());
    }
    install_packages("openssl", &["openssl"])
}

/// `rsyslogd` with TLS, which collects alarms and attacks.
pub(crate) fn need_rsyslog() -> anyhow::Result<()> {
    let has_tls = Path::new("/usr/lib")
        .read_dir()
        .is_ok_and(|folders| folders.flatten().any(|folder| folder.path().join("rsyslog/lmnsd_gtls.so").exists()));
    if has_tls && runs(Path::new("/usr/sbin/rsyslogd"), &["-v"]) {
        return Ok(());
    }
    install_packages("rsyslogd with TLS", &["rsyslog", "rsyslog-gnutls"])
}

/// `upnpc`, which asks a persona's gateway for ports.
pub(crate) fn need_upnpc() -> anyhow::Result<()> {
    // Its status says whether it found a gateway.
    if Command::new("upnpc").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok() {
        return Ok(());
    }
    install_packages("upnpc", &["miniupnpc"])
}

/// `nmap`, which looks at personas as strangers do.
pub(crate) fn need_nmap() -> anyhow::Result<()> {
    if runs(Path::new("nmap"), &["--version"]) {
        return Ok(());
    }
    install_packages("nmap", &["nmap"])
}

/// `ffprobe` and `ffmpeg`, which watch the stream of a persona.
pub(crate) fn need_ffmpeg() -> anyhow::Result<()> {
    if runs(Path::new("ffprobe"), &["-version"]) && runs(Path::new("ffmpeg"), &["-version"]) {
        return Ok(());
    }
    install_packages("ffmpeg", &["ffmpeg"])
}

/// A browser that can be driven, to look at the console.
pub(crate) fn need_chromium() -> anyhow::Result<()> {
    if ["chromium", "chromium-browser"].iter().any(|name| runs(Path::new(name), &["--version"])) {
        return Ok(());
    }
    install_packages("a browser", &["chromium"])
}

/// The clients of SSH, FTP, ADB and Redis that visit personas, and `nmap`, which tells what it takes them for.
pub(crate) fn need_remote_clients() -> anyhow::Result<()> {
    for (program, option, package) in [
        ("ssh", "-V", "openssh-client"),
        ("sshpass", "-V", "sshpass"),
        ("lftp", "--version", "lftp"),
        ("adb", "version", "adb"),
        ("redis-cli", "--version", "redis-tools"),
        ("nmap", "--version", "nmap"),
    ] {
        if !runs(Path::new(program), &[option]) {
            install_packages(program, &[package])?;
        }
    }
    Ok(())
}

/// Samba, as the device whose shared folders are watched, and its clients.
pub(crate) fn need_samba() -> anyhow::Result<()> {
    if !is_in_path("smbd") && !Path::new("/usr/sbin/smbd").exists() {
        install_packages("Samba", &["samba"])?;
    }
    need_smb_clients()
}

/// What the appliance of the threat demo is made of, and the clients that visit it.
pub(crate) fn need_appliance() -> anyhow::Result<()> {
    need_samba()?;
    if !is_in_path("sysctl") && !Path::new("/usr/sbin/sysctl").exists() {
        install_packages("sysctl", &["procps"])?;
    }
    need_curl()?;
    need_upnpc()?;
    need_remote_clients()
}

/// `busybox`, which the shell of the sensors is compared with.
pub(crate) fn need_busybox() -> anyhow::Result<()> {
    if runs(Path::new("busybox"), &["true"]) {
        return Ok(());
    }
    install_packages("busybox", &["busybox"])
}

/// The programs that visit the simulated Internet from a network namespace, and `tshark`, which reads what it recorded.
pub(crate) fn need_internet_clients() -> anyhow::Result<()> {
    need_ip()?;
    need_busybox()?;
    need_curl()?;
    need_nmap()?;
    need_openssl()?;
    need_telnet()?;
    need_tshark()?;
    for (program, option, package) in [
        ("dig", "-v", "bind9-dnsutils"),
        ("ping", "-V", "iputils-ping"),
        ("ssh", "-V", "openssh-client"),
        ("traceroute", "-V", "traceroute"),
        ("wget", "-V", "wget"),
    ] {
        if !runs(Path::new(program), &[option]) {
            install_packages(program, &[package])?;
        }
    }
    Ok(())
}

/// `nft`, which loads the rules that hold real devices.
pub(crate) fn need_nft() -> anyhow::Result<()> {
    if runs(Path::new("nft"), &["--version"]) {
        return Ok(());
    }
    install_packages("the program nft", &["nftables"])
}

/// What builds and boots the kits of these instruction sets.
pub(crate) fn need_kit_builders(isas: &[&Isa]) -> anyhow::Result<()> {
    let tools = ["bc", "bison", "dpkg-dev", "flex", "gcc", "gzip", "libc6-dev", "make", "xz-utils", LINUX_PACKAGE];
    let native = debian_architecture()?;
    let mut wanted: Vec<String> = tools.map(str::to_owned).into();
    for isa in isas {
        wanted.push(isa.qemu_package.to_owned());
        wanted.extend(isa.abis.iter().flat_map(|abi| compiler_packages(abi, &native)));
    }
    need_packages("what kits are made with", wanted)
}

/// The compilers of the sample programs.
pub(crate) fn need_sample_compilers(abis: &[&Abi]) -> anyhow::Result<()> {
    let native = debian_architecture()?;
    need_packages("compilers", abis.iter().flat_map(|abi| compiler_packages(abi, &native)).collect())
}

/// Debian's packages that compile for an ABI: the machine's own compiler serves its own ABI.
pub(crate) fn compiler_packages(abi: &Abi, native: &str) -> Vec<String> {
    if abi.debian == native {
        return vec!["gcc".to_owned(), "libc6-dev".to_owned()];
    }
    vec![format!("gcc-{}", abi.compiler), format!("libc6-dev-{}-cross", abi.debian)]
}

/// Debian's name of this machine's architecture.
pub(crate) fn debian_architecture() -> anyhow::Result<String> {
    Ok(run_to_end(Command::new("dpkg").arg("--print-architecture"))?.trim().to_owned())
}

/// Installs those of these packages that are not there. Names that dpkg knows by `ii` are.
fn need_packages(what: &str, mut wanted: Vec<String>) -> anyhow::Result<()> {
    wanted.sort_unstable();
    wanted.dedup();
    let query = Command::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Abbrev}${Package}\n"])
        .args(&wanted)
        .stdin(Stdio::null())
        .output();
    // Its status tells of packages that it does not know; what it prints is right all the same.
    let there = query.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let there: Vec<&str> = there.lines().filter_map(|line| line.strip_prefix("ii ")).collect();
    let missing: Vec<&str> = wanted.iter().map(String::as_str).filter(|name| !there.contains(name)).collect();
    if missing.is_empty() { Ok(()) } else { install_packages(what, &missing) }
}

/// `ip`, which brings up the interface of a device's own network.
pub(crate) fn need_ip() -> anyhow::Result<()> {
    if runs(Path::new("ip"), &["-V"]) {
        return Ok(());
    }
    install_packages("the program ip", &["iproute2"])
}

/// `snmpd`, which stands in for a switch that feeds a device, and `snmpget`, which asks it.
pub(crate) fn need_snmpd() -> anyhow::Result<()> {
    if runs(Path::new("snmpd"), &["-v"]) && runs(Path::new("snmpget"), &["-V"]) {
        return Ok(());
    }
    install_packages("the programs snmpd and snmpget", &["snmpd", "snmp"])
}

/// The programs that ask a persona by datagrams: each, and the package that it comes in.
const DATAGRAM_CLIENTS: [(&str, &str); 6] = [
    ("coap-client-notls", "libcoap3-bin"),
    ("nmap", "nmap"),
    ("sipsak", "sipsak"),
    ("snmpwalk", "snmp"),
    ("tftp", "tftp-hpa"),
    ("upnpc", "miniupnpc"),
];

/// The programs that ask a persona by datagrams.
pub(crate) fn need_datagram_clients() -> anyhow::Result<()> {
    let missing: Vec<&str> =
        DATAGRAM_CLIENTS.iter().filter(|(program, _)| !is_in_path(program)).map(|(_, package)| *package).collect();
    if missing.is_empty() { Ok(()) } else { install_packages("clients of SNMP, CoAP, SIP, TFTP and UPnP", &missing) }
}

/// Whether a program can be found. Some have no argument with which they do nothing and succeed.
fn is_in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Servers of Debian's from which a sensor fetches files: FTP, TFTP, and a SOCKS proxy; a web server is in `busybox`.
pub(crate) fn need_file_servers() -> anyhow::Result<()> {
    let servers =
        [("vsftpd", "vsftpd"), ("in.tftpd", "tftpd-hpa"), ("microsocks", "microsocks"), ("openssl", "openssl")];
    let folders = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let is_there = |program: &str| folders.iter().any(|folder| Path::new(folder).join(program).exists());
    let missing: Vec<&str> =
        servers.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    install_packages("servers of files", &missing)
}

/// mosquitto's clients; whether they are there now.
pub(crate) fn has_mosquitto_clients() -> bool {
    let is_there = || runs(Path::new("mosquitto_pub"), &["--version"]);
    is_there() || (install_packages("mosquitto's clients", &["mosquitto-clients"]).is_ok() && is_there())
}

/// Whether a program can be run at all. Its exit status counts only where it is meaningful: `mosquitto_pub --version`
/// fails by design.
fn runs(program: &Path, arguments: &[&str]) -> bool {
    let status =
        Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let status_counts = program != Path::new("mosquitto_pub");
    status.is_ok_and(|status| status.success() || !status_counts)
}

/// Installs packages of the operating system when we may, else says which are wanted.
fn install_packages(what: &str, packages: &[&str]) -> anyhow::Result<()> {
    let names = packages.join(" ");
    if !is_root() || !runs(Path::new("apt-get"), &["--version"]) {
        return Err(
            Missing::new(what, format!("sudo apt-get install {names}   (or your system's way), then again")).into()
        );
    }
    eprintln!("installing {names} …");
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    let install = ["install", "--yes", "--quiet", "--no-install-recommends"];
    if run_to_end(command.args(install).args(packages)).is_ok() {
        return Ok(());
    }
    // A machine that has just been made has no list of packages yet.
    run_to_end(Command::new("apt-get").args(["update", "--quiet"]))?;
    run_to_end(Command::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(install).args(packages))
        .map(|_| ())
}

/// Whether we are root.
pub(crate) fn is_root() -> bool {
    run_to_end(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}
