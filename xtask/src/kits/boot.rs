//! The boot check: a kit is worth something when QEMU boots it, the agent in it speaks, its memory can be written to a
//! file, and a guest that is made from that file still speaks.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde::Serialize;
use serde_json::{Value, json};

use super::Isa;
use crate::programs::{Program, quoted, wait_until};

/// How long a guest may take from QEMU's start to the agent's word on a busy machine.
const BOOT_LIMIT: Duration = Duration::from_secs(180);
/// How long QEMU may take for what is asked of it, writing the snapshot among it.
const QMP_LIMIT: Duration = Duration::from_secs(60);
/// The pause between two looks at something that QEMU is doing.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// The kinds of the agent's frames that matter here, and the longest payload in bytes (docs/guest-agent.md).
const HELLO: u8 = 0x81;
const READY: u8 = 0x83;
const STOP: u8 = 0x05;
const FRAME_BYTES_MAX: u32 = 1024 * 1024;

/// Linux counts processor time in hundredths of a second for all programs (`USER_HZ`).
const TICKS_PER_S: f64 = 100.0;

/// What the check saw.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Booted {
    /// From QEMU's start until the agent was ready.
    pub(crate) hello_s: f64,
    /// QEMU's processor time until then.
    pub(crate) cpu_s: f64,
    /// The most memory that QEMU held until then.
    pub(crate) rss_mib: u64,
    pub(crate) snapshot_mib: u64,
    /// From the start of a second QEMU with the snapshot until the guest had powered off as it was told.
    pub(crate) restored_s: f64,
}

/// Boots a kit, takes a snapshot, restores it, and powers it off.
pub(crate) fn check(isa: &Isa, kit: &Path, logs: &Path) -> anyhow::Result<Booted> {
    let folder = tempfile::tempdir().context("cannot make a folder for sockets")?;
    let snapshot = folder.path().join("snapshot");
    let mut guest = Guest::start(isa, kit, folder.path(), logs, None)?;
    let hello_s = guest.wait_for_ready()?;
    let (cpu_s, rss_mib) = usage(guest.qemu.id())?;
    guest.write_snapshot(&snapshot)?;
    drop(guest);
    let snapshot_mib = fs::metadata(&snapshot).context("QEMU wrote no snapshot")?.len() >> 20;
    let started = Instant::now();
    let mut guest = Guest::start(isa, kit, folder.path(), logs, Some(&snapshot))?;
    guest.go_on()?;
    guest.power_off()?;
    Ok(Booted { hello_s, cpu_s, rss_mib, snapshot_mib, restored_s: started.elapsed().as_secs_f64() })
}

struct Guest {
    qemu: Program,
    started: Instant,
    agent: UnixStream,
    control: Control,
}

impl Guest {
    fn start(isa: &Isa, kit: &Path, sockets: &Path, logs: &Path, snapshot: Option<&Path>) -> anyhow::Result<Self> {
        let listen = |name: &str| -> anyhow::Result<(std::path::PathBuf, UnixListener)> {
            let path = sockets.join(format!("{name}-{}", if snapshot.is_some() { "restored" } else { "booted" }));
            let listener = UnixListener::bind(&path).with_context(|| format!("cannot listen at {}", path.display()))?;
            listener.set_nonblocking(true).context("cannot watch a socket")?;
            Ok((path, listener))
        };
        let (agent_path, agent) = listen("agent")?;
        let (control_path, control) = listen("control")?;
        let suffix = isa.virtio.suffix();
        let mut command = Command::new(isa.qemu);
        command.args(isa.machine).args(["-m", &isa.memory_mib.to_string()]);
        command.args(["-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio"]);
        command.arg("-kernel").arg(kit.join("kernel")).arg("-initrd").arg(kit.join("root.cpio.gz"));
        command.args(["-append", &isa.command_line()]);
        command.args(["-chardev", &format!("socket,id=agent,path={}", agent_path.display())]);
        command.args(["-qmp", &format!("unix:{}", control_path.display())]);
        command.args(["-device", &format!("virtio-serial-{suffix}")]);
        command.args(["-device", "virtserialport,chardev=agent,name=komainu.agent"]);
        // A network of its own that leads nowhere.
        command.args(["-netdev", "hubport,id=net,hubid=0", "-device", &format!("virtio-net-{suffix},netdev=net")]);
        command.args(["-device", &format!("virtio-rng-{suffix}")]);
        if let Some(snapshot) = snapshot {
            command.args(["-incoming", &format!("exec:cat {}", quoted(&snapshot.to_string_lossy()))]);
        }
        let name = if snapshot.is_some() { "restored" } else { "booted" };
        let started = Instant::now();
        let mut qemu = Program::start(name, &mut command, logs)?;
        let agent = accept(&mut qemu, &agent, BOOT_LIMIT)?;
        let control = Control::new(accept(&mut qemu, &control, QMP_LIMIT)?)?;
        Ok(Self { qemu, started, agent, control })
    }

    /// Waits until the agent has said hello and is ready; gives the seconds since QEMU's start.
    fn wait_for_ready(&mut self) -> anyhow::Result<f64> {
        let mut greeted = false;
        loop {
            let kind = self.frame().with_context(|| format!("the guest said nothing; {}", self.console()))?;
            match kind {
                HELLO => greeted = true,
                READY if greeted => return Ok(self.started.elapsed().as_secs_f64()),
                READY => bail!("the agent was ready without a hello"),
                _ => {}
            }
        }
    }

    /// The kind of the agent's next frame.
    fn frame(&mut self) -> anyhow::Result<u8> {
        let left = BOOT_LIMIT.saturating_sub(self.started.elapsed()).max(LOOK_PAUSE);
        self.agent.set_read_timeout(Some(left)).context("cannot wait for the agent")?;
        let mut head = [0; 5];
        self.agent.read_exact(&mut head).context("cannot read the agent's frame")?;
        let [kind, length @ ..] = head;
        let length = u32::from_le_bytes(length);
        ensure!(length <= FRAME_BYTES_MAX, "the agent's frame has {length} bytes");
        let copied = std::io::copy(&mut (&self.agent).take(length.into()), &mut std::io::sink());
        ensure!(copied.context("cannot read the agent's frame")? == u64::from(length), "the agent's frame was cut");
        Ok(kind)
    }

    fn write_snapshot(&mut self, path: &Path) -> anyhow::Result<()> {
        self.control.ask("stop", json!({}))?;
        let command = format!("exec:cat > {}", quoted(&path.to_string_lossy()));
        self.control.ask("migrate", json!({ "uri": command }))?;
        wait_until("the end of writing the snapshot", QMP_LIMIT, LOOK_PAUSE, || {
            let answer = self.control.ask("query-migrate", json!({}))?;
            match answer.get("status").and_then(Value::as_str) {
                Some("completed") => Ok(Some(())),
                Some("failed" | "cancelled") => bail!("the machine's state cannot be written: {answer}"),
                _ => Ok(None),
            }
        })?;
        self.control.ask("quit", json!({}))?;
        Ok(())
    }

    /// Lets a guest go on that was made from a snapshot.
    fn go_on(&mut self) -> anyhow::Result<()> {
        wait_until("the end of reading the snapshot", QMP_LIMIT, LOOK_PAUSE, || {
            let answer = self.control.ask("query-status", json!({}))?;
            Ok((answer.get("status").and_then(Value::as_str) != Some("inmigrate")).then_some(()))
        })?;
        self.control.ask("cont", json!({}))?;
        Ok(())
    }

    /// Tells the agent to stop, and waits until QEMU has ended by itself.
    fn power_off(&mut self) -> anyhow::Result<()> {
        let mut frame = vec![STOP];
        frame.extend_from_slice(&0_u32.to_le_bytes());
        self.agent.write_all(&frame).context("cannot tell the agent to stop")?;
        let qemu = self.qemu.id();
        wait_until("the guest's power-off", BOOT_LIMIT, LOOK_PAUSE, || Ok(has_ended(qemu).then_some(())))
            .with_context(|| self.console())
    }

    fn console(&self) -> String {
        let output = self.qemu.output();
        let lines: Vec<&str> = output.lines().collect();
        format!("its console ends in:\n{}", lines[lines.len().saturating_sub(12)..].join("\n"))
    }
}

/// QEMU's machine protocol: one JSON object a line.
struct Control {
    stream: BufReader<UnixStream>,
}

impl Control {
    fn new(stream: UnixStream) -> anyhow::Result<Self> {
        stream.set_read_timeout(Some(QMP_LIMIT)).context("cannot wait for QEMU")?;
        let mut control = Self { stream: BufReader::new(stream) };
        control.line()?;
        control.ask("qmp_capabilities", json!({}))?;
        Ok(control)
    }

    fn ask(&mut self, command: &str, arguments: Value) -> anyhow::Result<Value> {
        let text = json!({ "execute": command, "arguments": arguments }).to_string();
        self.stream.get_mut().write_all(text.as_bytes()).with_context(|| format!("cannot ask QEMU for `{command}`"))?;
        loop {
            let mut answer = self.line().with_context(|| format!("QEMU does not answer `{command}`"))?;
            if let Some(error) = answer.get("error") {
                bail!("QEMU refuses `{command}`: {error}");
            }
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
        }
    }

    fn line(&mut self) -> anyhow::Result<Value> {
        let mut line = String::new();
        ensure!(self.stream.read_line(&mut line).context("cannot read QEMU's answer")? > 0, "QEMU ended");
        serde_json::from_str(&line).context("QEMU's answer is not JSON")
    }
}

/// Waits for QEMU to connect.
fn accept(qemu: &mut Program, listener: &UnixListener, limit: Duration) -> anyhow::Result<UnixStream> {
    let id = qemu.id();
    let stream = wait_until("QEMU's connection", limit, LOOK_PAUSE, || match listener.accept() {
        Ok((stream, _)) => Ok(Some(stream)),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            ensure!(!has_ended(id), "QEMU ended at once");
            Ok(None)
        }
        Err(error) => Err(error).context("cannot accept QEMU's connection"),
    })
    .with_context(|| qemu.output())?;
    stream.set_nonblocking(false).context("cannot read from QEMU")?;
    Ok(stream)
}

/// Whether one of our own children is gone or waits to be collected.
fn has_ended(id: u32) -> bool {
    let Ok(text) = fs::read_to_string(format!("/proc/{id}/stat")) else {
        return true;
    };
    text.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
}

/// The processor seconds of a process and the most memory it held, in MiB.
fn usage(id: u32) -> anyhow::Result<(f64, u64)> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).context("cannot read QEMU's processor time")?;
    let (_, fields) = stat.rsplit_once(") ").context("cannot read QEMU's processor time")?;
    // Fields 14 and 15 of proc(5), counted from the third, which follows the name.
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    let status = fs::read_to_string(format!("/proc/{id}/status")).context("cannot read QEMU's memory")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("cannot read QEMU's memory")?;
    let peak_kib: u64 = peak.trim().trim_end_matches(" kB").parse().context("cannot read QEMU's memory")?;
    let cpu_s = ticks as f64 / TICKS_PER_S;
    Ok((cpu_s, peak_kib >> 10))
}
