//! A device with a network of its own.
//!
//! AWS's agent reports the traffic, ports and connections of the machine it runs on. On a laptop those would be the
//! laptop's: a browser alone sends more than the walkthrough's limit. So each device of the demo is a network
//! namespace with nothing but a loopback interface; ports 443 and 8883 in it lead to the server. The bytes pass
//! untouched, TLS is between the device's program and the server. A user may make such a namespace without being root,
//! and may open port 443 in it, which AWS's agent 2.0.0 insists on.
//!
//! Where namespaces are not allowed (some containers), devices share the machine's network, and the server itself must
//! listen on 443 and 8883.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use crate::programs::Program;

/// The ports that AWS's agents insist on.
const DEVICE_PORTS: [u16; 2] = [443, 8883];
/// How long a namespace may take to be made.
const START_LIMIT: Duration = Duration::from_secs(20);

/// How devices reach the server on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Networks {
    /// Each device has its own, made in a user namespace of its own.
    OwnUser,
    /// Each device has its own; only root may do it this way.
    Own,
    /// All share the machine's.
    Shared,
}

impl Networks {
    /// What this machine allows.
    pub(crate) fn probe() -> Self {
        let allows = |network: Self| {
            let mut command = Command::new("unshare");
            command.args(network.unshare_arguments()).args(["ip", "link", "set", "lo", "up"]);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        [Self::OwnUser, Self::Own].into_iter().find(|network| allows(*network)).unwrap_or(Self::Shared)
    }

    fn unshare_arguments(self) -> &'static [&'static str] {
        match self {
            Self::OwnUser => &["--user", "--map-root-user", "--net"],
            Self::Own => &["--net"],
            Self::Shared => &[],
        }
    }
}

/// One device: where its programs run.
pub(crate) struct Device {
    network: Option<(Networks, Program)>,
    // Removed when the device goes.
    _sockets: tempfile::TempDir,
}

impl Device {
    /// Makes a device whose ports 443 and 8883 lead to these addresses of the server.
    pub(crate) fn start(
        name: &str,
        networks: Networks,
        tls: SocketAddr,
        mqtts: SocketAddr,
        logs: &Path,
    ) -> anyhow::Result<Self> {
        // Not below the target folder: the path of a socket may have 107 bytes at most.
        let sockets = tempfile::Builder::new().prefix("komainu-device-").tempdir().context("cannot make a folder")?;
        if networks == Networks::Shared {
            return Ok(Self { network: None, _sockets: sockets });
        }
        for (port, server) in DEVICE_PORTS.into_iter().zip([tls, mqtts]) {
            let path = socket_path(sockets.path(), port);
            let listener = UnixListener::bind(&path).with_context(|| format!("cannot listen on {}", path.display()))?;
            thread::spawn(move || {
                for accepted in listener.incoming() {
                    if let (Ok(device), Ok(server)) = (accepted, TcpStream::connect(server)) {
                        join(device, server);
                    }
                }
            });
        }
        let ourselves = std::env::current_exe().context("cannot tell which program this is")?;
        let mut command = Command::new("unshare");
        command.args(networks.unshare_arguments()).arg(ourselves).arg("device-network").arg(sockets.path());
        let mut network = Program::start(&format!("{name}-network"), &mut command, logs)?;
        network.wait_for("its network", START_LIMIT, |text| text.contains("ready").then_some(()))?;
        Ok(Self { network: Some((networks, network)), _sockets: sockets })
    }

    /// A command that runs `program` on the device.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let Some((networks, network)) = &self.network else { return Command::new(program) };
        let mut command = Command::new("nsenter");
        command.arg("--target").arg(network.id().to_string()).arg("--net");
        if *networks == Networks::OwnUser {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.arg("--").arg(program);
        command
    }

    /// What to type before a command line so that it runs on the device.
    pub(crate) fn shell_prefix(&self) -> String {
        match &self.network {
            None => String::new(),
            Some((Networks::OwnUser, network)) => {
                format!("nsenter --target {} --net --user --preserve-credentials -- ", network.id())
            }
            Some((_, network)) => format!("nsenter --target {} --net -- ", network.id()),
        }
    }
}

/// Options of `cargo xtask device-network`.
#[derive(Debug, Args)]
pub(crate) struct DeviceNetworkArgs {
    /// The folder with the sockets that lead out.
    sockets: PathBuf,
}

/// Runs in the device's namespace: its ports lead to the sockets.
pub(crate) fn serve_device_network(args: &DeviceNetworkArgs) -> anyhow::Result<()> {
    let status = Command::new("ip").args(["link", "set", "lo", "up"]).status().context("cannot run ip")?;
    anyhow::ensure!(status.success(), "cannot bring the loopback interface up ({status})");
    let mut relays = Vec::new();
    for port in DEVICE_PORTS {
        let listener = TcpListener::bind(("127.0.0.1", port))
            .with_context(|| format!("cannot open port {port} in the namespace"))?;
        let path = socket_path(&args.sockets, port);
        relays.push(thread::spawn(move || {
            for accepted in listener.incoming() {
                if let (Ok(device), Ok(server)) = (accepted, UnixStream::connect(&path)) {
                    join(server, device);
                }
            }
        }));
    }
    println!("ready");
    for relay in relays {
        // They end with the process.
        let _ = relay.join();
    }
    Ok(())
}

fn socket_path(folder: &Path, port: u16) -> PathBuf {
    folder.join(port.to_string())
}

/// Carries bytes both ways until both sides have closed. A side that cannot be cloned is dropped, which closes it.
fn join(unix: UnixStream, tcp: TcpStream) {
    let _ = tcp.set_nodelay(true);
    let (Ok(mut unix_in), Ok(mut tcp_in)) = (unix.try_clone(), tcp.try_clone()) else { return };
    let (mut unix_out, mut tcp_out) = (unix, tcp);
    thread::spawn(move || {
        let _ = io::copy(&mut unix_in, &mut tcp_out);
        let _ = tcp_out.shutdown(Shutdown::Write);
    });
    thread::spawn(move || {
        let _ = io::copy(&mut tcp_in, &mut unix_out);
        let _ = unix_out.shutdown(Shutdown::Write);
    });
}
