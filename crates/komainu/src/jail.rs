//! The jail of the sandbox: testing it, and looking at it from inside.

use std::io::{IsTerminal, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use komainu_jail::{HowEnded, Jail, JailEnd, JailUser, Limits, self_test};
use komainu_sandbox::Guest;

use crate::sandbox::{ConfigArgs, JAIL_COMMAND};

/// The hidden command by which this program tests a jail from inside.
pub(crate) const TESTER_COMMAND: &str = "jail-tester";

/// Bytes of each of the two outputs of a program in a jail that are shown; what is beyond is counted.
const OUTPUT_BYTES_MAX: u64 = 1 << 20;

/// From the end of a jail's time to the end of its program.
const END_TIME_MAX: Duration = Duration::from_secs(20);

#[derive(Debug, Args)]
pub(crate) struct JailArgs {
    /// A file or folder that the program may read, besides itself and its libraries.
    #[arg(long, value_name = "PATH")]
    read_only: Vec<PathBuf>,
    /// MiB of address space.
    #[arg(long, value_name = "MIB", default_value_t = 1_024, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    memory: u64,
    /// MiB of its scratch folder.
    #[arg(long, value_name = "MIB", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=1 << 20))]
    scratch: u64,
    /// Seconds until it is ended.
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u64,
    #[command(flatten)]
    config: ConfigArgs,
    /// The program and its arguments.
    #[arg(required = true, trailing_var_arg = true, value_name = "PROGRAM")]
    program: Vec<String>,
}

/// As whom jails are made when this process is root's: whom the configuration names, or else who is taken for that.
pub(crate) fn user(named: Option<&str>) -> anyhow::Result<Option<JailUser>> {
    let found = match (named, nix::unistd::Uid::effective().is_root()) {
        (Some(name), _) => JailUser::find(name).map(Some),
        (None, true) => JailUser::find_default().map(Some),
        (None, false) => Ok(None),
    };
    found.context("cannot give up the rights of root")
}

/// A jail without anything given to it.
fn jail(program: PathBuf, arguments: Vec<String>, user: Option<JailUser>) -> Jail {
    Jail {
        launcher: vec![JAIL_COMMAND.to_owned()],
        program,
        arguments,
        environment: Vec::new(),
        read_only: Vec::new(),
        descriptors: Vec::new(),
        limits: Limits::default(),
        user,
    }
}

/// What a program in a jail said, and how it ended.
struct Ran {
    output: [Said; 2],
    end: JailEnd,
}

/// What came on one output.
struct Said {
    bytes: Vec<u8>,
    /// Bytes that were beyond the bound.
    dropped: u64,
}

impl Said {
    fn read(mut from: UnixStream) -> Self {
        let mut bytes = Vec::new();
        // Broken off by the other side, it is at its end as well.
        let _ = (&mut from).take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes);
        let dropped = std::io::copy(&mut from, &mut std::io::sink()).unwrap_or_default();
        Self { bytes, dropped }
    }

    /// Writes it. On a terminal it could do harm as it is.
    fn show(&self, to: &mut (impl Write + IsTerminal)) -> std::io::Result<()> {
        if to.is_terminal() {
            for line in self.bytes.split_inclusive(|byte| *byte == b'\n') {
                let (line, end) = line.strip_suffix(b"\n").map_or((line, ""), |line| (line, "\n"));
                write!(to, "{}{end}", line.escape_ascii())?;
            }
        } else {
            to.write_all(&self.bytes)?;
        }
        to.flush()
    }
}

/// Runs a program to its end.
fn run(mut jail: Jail) -> anyhow::Result<Ran> {
    let time_max = Duration::from_secs(jail.limits.time_s_max) + END_TIME_MAX;
    let mut ours = Vec::new();
    for number in [1, 2] {
        let (our, theirs) = UnixStream::pair().context("cannot make a socket")?;
        jail.descriptors.push((OwnedFd::from(theirs), number));
        ours.push(our);
    }
    let mut child = jail.start()?;
    let readers: Vec<_> = ours.into_iter().map(|our| std::thread::spawn(move || Said::read(our))).collect();
    let end = child.wait(time_max).context("the launcher of the jail is gone")?;
    let Some(end) = end else { bail!("the program did not end with its time") };
    // It has ended, so nothing more comes on its outputs.
    let said = readers.into_iter().map(|reader| reader.join().unwrap_or(Said { bytes: Vec::new(), dropped: 0 }));
    let said: Vec<_> = said.collect();
    let output = said.try_into().ok().context("a program has two outputs")?;
    Ok(Ran { output, end })
}

impl JailArgs {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let user = user(self.config.read()?.sandbox.user.as_deref())?;
        let Some((program, arguments)) = self.program.split_first() else { bail!("no program is named") };
        let mut jail = jail(PathBuf::from(program), arguments.to_vec(), user);
        jail.read_only.clone_from(&self.read_only);
        jail.limits = Limits {
            memory_bytes_max: self.memory << 20,
            scratch_bytes_max: self.scratch << 20,
            time_s_max: self.seconds,
            ..Limits::default()
        };
        let Ran { output: [said, complained], end } = run(jail)?;
        said.show(&mut std::io::stdout())?;
        complained.show(&mut std::io::stderr())?;
        let dropped = said.dropped + complained.dropped;
        let how = match end.how {
            HowEnded::Exited(status) => format!("exit status {status}"),
            HowEnded::Killed(signal) => format!("signal {signal}"),
        };
        eprintln!(
            "jail: {how}, ended by {}; {} ms of processor time, {} KiB of memory{}",
            match end.by {
                komainu_jail::EndedBy::Itself => "itself",
                komainu_jail::EndedBy::Holder => "the holder",
                komainu_jail::EndedBy::TimeOver => "the end of its time",
            },
            (end.user + end.system).as_millis(),
            end.memory_bytes_max >> 10,
            if dropped > 0 { format!("; {dropped} bytes of output are not shown") } else { String::new() },
        );
        if end.how == HowEnded::Exited(0) { Ok(()) } else { bail!("the program in the jail did not end well") }
    }
}

/// Says what works, line by line. Fails when the jail does not hold, or when nothing can be run in it.
pub(crate) fn check(named: Option<&str>, guests: &[Guest], out: &mut impl Write) -> anyhow::Result<()> {
    let user = user(named)?;
    let mut is_good = true;
    writeln!(out, "the jail")?;
    match self_test(vec![JAIL_COMMAND.to_owned()], vec![TESTER_COMMAND.to_owned()], user) {
        Ok(findings) => {
            for finding in findings {
                is_good &= finding.holds;
                let word = if finding.holds { "holds" } else { "FAILS" };
                writeln!(out, "  {word}  {} ({})", finding.what, finding.seen)?;
            }
        }
        Err(error) => {
            is_good = false;
            writeln!(out, "  FAILS  {:#}", anyhow::Error::from(error))?;
        }
    }
    writeln!(out, "guests: QEMU and kits")?;
    let mut has_guest = false;
    for Guest { isa, made_of } in guests {
        let runs = match made_of {
            Ok((kit, qemu)) => qemu_version(qemu.program.clone(), user)
                .map(|version| format!("Linux {}, QEMU {version} in the jail", kit.kernel_version))
                .map_err(|error| format!("{} does not run in the jail: {error:#}", qemu.program.display())),
            Err(reason) => Err(reason.clone()),
        };
        has_guest |= runs.is_ok();
        let word = if runs.is_ok() { "ready" } else { "no   " };
        writeln!(out, "  {word}  {isa}: {}", runs.unwrap_or_else(|reason| reason))?;
    }
    if is_good && has_guest { Ok(()) } else { bail!("no sample can be run here (docs/containment.md)") }
}

/// What QEMU says of itself, in the jail.
fn qemu_version(path: PathBuf, user: Option<JailUser>) -> anyhow::Result<String> {
    let Ran { output: [said, complained], end } = run(jail(path, vec!["--version".to_owned()], user))?;
    let said = String::from_utf8_lossy(&said.bytes).into_owned();
    match said.lines().next().and_then(|line| line.strip_prefix("QEMU emulator version ")) {
        Some(version) if end.how == HowEnded::Exited(0) => Ok(version.escape_debug().to_string()),
        _ => bail!("{:?} {}", end.how, complained.bytes.escape_ascii()),
    }
}
