//! A `komainu serve` on a folder of its own, and the AWS CLI pointed at it.

use std::ffi::OsStr;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::device::Networks;
use crate::programs::{Program, quoted, run_to_end, wait_until};
use crate::steps::Notes;
use crate::tools::{Missing, PythonTools};
use crate::workspace;

/// A first start makes a certificate authority and a database; an unoptimised build on a busy machine takes a while.
const START_LIMIT: Duration = Duration::from_secs(60);
/// The region the CLI names in its requests.
pub(crate) const REGION: &str = "us-east-1";
/// The account that a server has when nobody says otherwise.
pub(crate) const ACCOUNT: &str = "123456789012";

/// Where a server listens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) api: SocketAddr,
    pub(crate) mqtts: SocketAddr,
    pub(crate) tls: SocketAddr,
    pub(crate) console: SocketAddr,
}

impl Addresses {
    /// The usual ports where they are free, others where they are not.
    pub(crate) fn choose(networks: Networks) -> anyhow::Result<Self> {
        let chosen = Self { api: choose(8080)?, mqtts: choose(8883)?, tls: choose(443)?, console: choose(8460)? };
        if networks == Networks::Shared && (chosen.tls.port() != 443 || chosen.mqtts.port() != 8883) {
            return Err(Missing::new(
                "ports 443 and 8883 on 127.0.0.1, which AWS's agents insist on, or network namespaces to provide them in",
                "free both ports and allow ordinary users to open them (sudo sysctl net.ipv4.ip_unprivileged_port_start=443), \
                 or allow user namespaces (sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0 on Ubuntu), then again",
            )
            .into());
        }
        Ok(chosen)
    }
}

fn choose(usual: u16) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, usual))
        .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .context("cannot open any port on 127.0.0.1")?;
    listener.local_addr().context("cannot tell a port's number")
}

/// An operator's access key.
#[derive(Debug, Clone)]
pub(crate) struct AccessKey {
    pub(crate) id: String,
    pub(crate) secret: String,
}

/// A running server.
pub(crate) struct Server {
    program: Program,
    data: PathBuf,
    configuration: PathBuf,
    pub(crate) addresses: Addresses,
    pub(crate) access_key: AccessKey,
}

impl Server {
    /// Starts a server on `folder`, which has none yet, and waits until it listens.
    pub(crate) fn start(
        folder: &Path,
        networks: Networks,
        smtp: &str,
        configuration: &str,
        logs: &Path,
    ) -> anyhow::Result<Self> {
        let addresses = Addresses::choose(networks)?;
        let data = folder.join("data");
        let text = format!("# Written by `cargo xtask demo`.\n{configuration}");
        let configuration = folder.join("komainu.toml");
        fs::write(&configuration, text).with_context(|| format!("cannot write {}", configuration.display()))?;
        let mut command = Command::new(workspace::komainu());
        command.arg("serve").arg("--data").arg(&data).arg("--config").arg(&configuration);
        command.args(["--api", &addresses.api.to_string()]);
        command.args(["--mqtts", &addresses.mqtts.to_string()]);
        command.args(["--tls", &addresses.tls.to_string()]);
        command.args(["--console", &addresses.console.to_string()]);
        command.args(["--smtp", smtp]);
        let mut program = Program::start("komainu", &mut command, logs)?;
        let access_key = program.wait_for("the operator's access key", START_LIMIT, |output| {
            Some(AccessKey {
                id: value_of(output, "AWS_ACCESS_KEY_ID")?,
                secret: value_of(output, "AWS_SECRET_ACCESS_KEY")?,
            })
        })?;
        for address in [addresses.api, addresses.mqtts, addresses.tls, addresses.console] {
            let listens = || Ok(TcpStream::connect(address).is_ok().then_some(()));
            wait_until(&format!("a listener on {address}"), START_LIMIT, Duration::from_millis(50), listens)?;
        }
        Ok(Self { program, data, configuration, addresses, access_key })
    }

    /// `komainu COMMAND …` on this server's data folder.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(workspace::komainu());
        command.args(arguments).arg("--data").arg(&self.data).arg("--config").arg(&self.configuration);
        command
    }

    /// The value of `AWS_ENDPOINT_URL`.
    pub(crate) fn endpoint_url(&self) -> String {
        format!("http://{}", self.addresses.api)
    }

    /// What an AWS client needs to know, as environment variables.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        [
            ("AWS_ENDPOINT_URL", self.endpoint_url()),
            ("AWS_ACCESS_KEY_ID", self.access_key.id.clone()),
            ("AWS_SECRET_ACCESS_KEY", self.access_key.secret.clone()),
            ("AWS_DEFAULT_REGION", REGION.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    /// Asks it to end, as an init system would.
    pub(crate) fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        self.program.stop()
    }
}

/// The value after `NAME=` in what a program printed.
fn value_of(output: &str, name: &str) -> Option<String> {
    let (_, rest) = output.split_once(&format!("{name}="))?;
    // A value counts once its line is complete.
    let (value, _) = rest.split_once('\n')?;
    Some(value.trim().trim_matches('"').to_owned())
}

/// AWS's command line program, installed from PyPI and not changed.
pub(crate) struct AwsCli {
    program: PathBuf,
    environment: Vec<(String, String)>,
}

impl AwsCli {
    pub(crate) fn new(server: &Server, folder: &Path) -> anyhow::Result<Self> {
        Self::with_environment(server.environment(), folder)
    }

    /// For the server that `environment` names.
    pub(crate) fn with_environment(mut environment: Vec<(String, String)>, folder: &Path) -> anyhow::Result<Self> {
        // Profiles and settings of whoever runs this must not reach into the walkthrough.
        let empty = folder.join("aws-config");
        fs::write(&empty, "").with_context(|| format!("cannot write {}", empty.display()))?;
        let empty = empty.to_string_lossy().into_owned();
        environment.extend([
            ("AWS_CONFIG_FILE".to_owned(), empty.clone()),
            ("AWS_SHARED_CREDENTIALS_FILE".to_owned(), empty),
            ("AWS_EC2_METADATA_DISABLED".to_owned(), "true".to_owned()),
            ("AWS_PAGER".to_owned(), String::new()),
        ]);
        Ok(Self { program: PythonTools::Clients.program("aws"), environment })
    }

    /// Runs `aws ARGUMENTS`, shows it as a step's note, and gives what it answered.
    pub(crate) fn run(&self, notes: &mut Notes, arguments: &[&str]) -> anyhow::Result<Value> {
        let words: Vec<String> = arguments.iter().map(|word| quoted(word)).collect();
        notes.show(format!("$ aws {}", words.join(" ")));
        self.ask(arguments)
    }

    /// Runs `aws ARGUMENTS` and gives what it answered; `null` when it answered nothing.
    pub(crate) fn ask(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("AWS_") {
                command.env_remove(name);
            }
        }
        command.envs(self.environment.iter().map(|(name, value)| (OsStr::new(name), OsStr::new(value))));
        let printed = run_to_end(command.args(arguments))?;
        if printed.trim().is_empty() {
            return Ok(Value::Null);
        }
        match serde_json::from_str(&printed) {
            Ok(value) => Ok(value),
            Err(_) => bail!("aws {} printed something that is not JSON:\n{printed}", arguments.join(" ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::value_of;

    #[test]
    fn values_are_read_from_complete_lines_only() {
        let output = "first start\n  export AWS_ACCESS_KEY_ID=AKIA1\n  export AWS_SECRET_ACCESS_KEY=se";
        assert_eq!(value_of(output, "AWS_ACCESS_KEY_ID").as_deref(), Some("AKIA1"));
        assert_eq!(value_of(output, "AWS_SECRET_ACCESS_KEY"), None);
    }
}
