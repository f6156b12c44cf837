//! The brokers that are compared.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::certificates::{Certificates, DeviceKey};
use crate::programs::{Program, run_to_end, wait_until};
use crate::server::{AwsCli, REGION};
use crate::tools::{Missing, PythonTools};
use crate::workspace;

/// A start makes keys and a database on a machine that may be busy.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Devices may do what the client does; like every policy, this one is evaluated for each message.
const POLICY: &str = r#"{
  "Version": "2012-10-17",
  "Statement": [
    {"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"},
    {"Effect": "Allow", "Action": ["iot:Publish", "iot:Receive", "iot:RetainPublish"], "Resource": [
      "arn:aws:iot:*:*:topic/fan-in/*", "arn:aws:iot:*:*:topic/trip/*", "arn:aws:iot:*:*:topic/left",
      "arn:aws:iot:*:*:topic/cmd/*"]},
    {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": [
      "arn:aws:iot:*:*:topicfilter/fan-in/*", "arn:aws:iot:*:*:topicfilter/trip/*",
      "arn:aws:iot:*:*:topicfilter/left", "arn:aws:iot:*:*:topicfilter/cmd/*"]},
    {"Effect": "Deny", "Action": "iot:Publish", "Resource": "arn:aws:iot:*:*:topic/forbidden/${iot:ClientId}/*"}
  ]
}"#;

/// What the devices are watched for: a metric of the gateway with an alarm that this load does not raise.
const BEHAVIORS: &str = r#"[{"name": "refused", "metric": "aws:num-authorization-failures",
  "criteria": {"comparisonOperator": "less-than", "value": {"count": 1000000}, "durationSeconds": 300,
  "consecutiveDatapointsToAlarm": 1, "consecutiveDatapointsToClear": 1}}]"#;

/// A broker under load.
pub(crate) trait Broker {
    /// What people call it.
    fn name(&self) -> String;

    /// Where it takes MQTT over TLS.
    fn address(&self) -> SocketAddr;

    /// The root that clients trust, PEM.
    fn ca(&self) -> PathBuf;

    /// Its process.
    fn process(&self) -> u32;

    /// Ends it with SIGKILL, at once, and waits until it is gone.
    fn kill(&mut self) -> anyhow::Result<()>;

    /// Starts it again on what it left, and waits until it listens.
    fn restart(&mut self) -> anyhow::Result<()>;
}

/// Mosquitto, from the system's packages.
pub(crate) struct Mosquitto {
    version: String,
    folder: PathBuf,
    address: SocketAddr,
    ca: PathBuf,
    program: Program,
}

impl Mosquitto {
    pub(crate) fn start(folder: &Path, certificates: &Certificates) -> anyhow::Result<Self> {
        // It exits with 3 after it told its version.
        let told = Command::new("mosquitto")
            .arg("-h")
            .output()
            .map_err(|_| Missing::new("mosquitto", "apt-get install mosquitto; its service need not run"))?;
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        let version = told.lines().next().unwrap_or_default().trim_start_matches("mosquitto version ").to_owned();
        let folder = folder.join("mosquitto");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let address = free_address()?;
        let server = certificates.server();
        // Queues as large as gateway measurements need; autosave as often as it can.
        let configuration = format!(
            "user root\nallow_anonymous true\nlog_dest none\npersistence true\n\
             persistence_location {folder}/\nautosave_interval 1\nmax_inflight_messages 100\n\
             max_queued_messages 100000\nlistener {port} 127.0.0.1\ncafile {ca}\ncertfile {certificate}\n\
             keyfile {key}\nrequire_certificate true\n",
            folder = folder.display(),
            port = address.port(),
            ca = certificates.ca().display(),
            certificate = server.certificate.display(),
            key = server.key.display(),
        );
        let path = folder.join("mosquitto.conf");
        fs::write(&path, configuration).with_context(|| format!("cannot write {}", path.display()))?;
        let program = start_mosquitto(&folder, address)?;
        Ok(Self { version, folder, address, ca: certificates.ca(), program })
    }
}

fn start_mosquitto(folder: &Path, address: SocketAddr) -> anyhow::Result<Program> {
    let program =
        Program::start("mosquitto", Command::new("mosquitto").arg("-c").arg(folder.join("mosquitto.conf")), folder)?;
    until_listening(address)?;
    Ok(program)
}

impl Broker for Mosquitto {
    fn name(&self) -> String {
        format!("mosquitto {}", self.version)
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn ca(&self) -> PathBuf {
        self.ca.clone()
    }

    fn process(&self) -> u32 {
        self.program.id()
    }

    fn kill(&mut self) -> anyhow::Result<()> {
        self.program.kill()
    }

    fn restart(&mut self) -> anyhow::Result<()> {
        self.program = start_mosquitto(&self.folder, self.address)?;
        Ok(())
    }
}

/// Komainu, the optimised build of this repository.
pub(crate) struct Komainu {
    folder: PathBuf,
    api: SocketAddr,
    mqtts: SocketAddr,
    tls: SocketAddr,
    program: Program,
}

impl Komainu {
    /// Starts it and registers the devices of `certificates` with a policy, a group and a security profile.
    pub(crate) fn start(folder: &Path, certificates: &Certificates) -> anyhow::Result<Self> {
        let folder = folder.join("komainu");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let key = ["BENCHACCESSKEY000001", "bench-secret-of-this-run-only"];
        run_to_end(
            komainu(&folder).args(["access-key", "create", "--id", key[0], "--secret", key[1]]).args(data(&folder)),
        )?;
        let (api, mqtts, tls) = (free_address()?, free_address()?, free_address()?);
        let program = start_komainu(&folder, api, mqtts, tls)?;
        let komainu = Self { folder, api, mqtts, tls, program };
        komainu.register(certificates, key)?;
        // `enroll` writes the root beside a device's files; the device itself is not used.
        run_to_end(
            self::komainu(&komainu.folder)
                .args(["enroll", "bench-root", "--out"])
                .arg(komainu.folder.join("enrolled"))
                .args(data(&komainu.folder)),
        )?;
        Ok(komainu)
    }

    fn register(&self, certificates: &Certificates, [id, secret]: [&str; 2]) -> anyhow::Result<()> {
        PythonTools::Clients.install()?;
        let environment = [
            ("AWS_ENDPOINT_URL", format!("http://{}", self.api)),
            ("AWS_ACCESS_KEY_ID", id.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", secret.to_owned()),
            ("AWS_DEFAULT_REGION", REGION.to_owned()),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let aws = AwsCli::with_environment(environment, &self.folder)?;
        let arn_of = |answer: serde_json::Value, field: &str| -> anyhow::Result<String> {
            Ok(answer[field].as_str().with_context(|| format!("{field} is missing"))?.to_owned())
        };
        aws.ask(&["iot", "create-policy", "--policy-name", "bench", "--policy-document", POLICY])?;
        let group = arn_of(aws.ask(&["iot", "create-thing-group", "--thing-group-name", "bench"])?, "thingGroupArn")?;
        for key in DeviceKey::ALL {
            let thing = format!("bench-{key:?}");
            let path = certificates.device(key).certificate;
            let pem = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let registered =
                aws.ask(&["iot", "register-certificate-without-ca", "--status", "ACTIVE", "--certificate-pem", &pem])?;
            let principal = arn_of(registered, "certificateArn")?;
            aws.ask(&["iot", "create-thing", "--thing-name", &thing])?;
            aws.ask(&["iot", "attach-thing-principal", "--thing-name", &thing, "--principal", &principal])?;
            aws.ask(&["iot", "attach-policy", "--policy-name", "bench", "--target", &principal])?;
            aws.ask(&["iot", "add-thing-to-thing-group", "--thing-group-name", "bench", "--thing-name", &thing])?;
        }
        let profile = ["--security-profile-name", "bench"];
        aws.ask(&[&["iot", "create-security-profile"], &profile[..], &["--behaviors", BEHAVIORS]].concat())?;
        let target = ["--security-profile-target-arn", &group];
        aws.ask(&[&["iot", "attach-security-profile"], &profile[..], &target[..]].concat())?;
        Ok(())
    }
}

fn komainu(folder: &Path) -> Command {
    let mut command = Command::new(workspace::komainu());
    command.current_dir(folder);
    command
}

fn data(folder: &Path) -> [PathBuf; 2] {
    ["--data".into(), folder.join("data")]
}

fn start_komainu(folder: &Path, api: SocketAddr, mqtts: SocketAddr, tls: SocketAddr) -> anyhow::Result<Program> {
    let mut command = komainu(folder);
    command.arg("serve").args(data(folder));
    for (flag, address) in [("--api", api), ("--mqtts", mqtts), ("--tls", tls)] {
        command.arg(flag).arg(address.to_string());
    }
    let program = Program::start("komainu", &mut command, folder)?;
    until_listening(api)?;
    until_listening(mqtts)?;
    Ok(program)
}

impl Broker for Komainu {
    fn name(&self) -> String {
        format!("Komainu {}", env!("CARGO_PKG_VERSION"))
    }

    fn address(&self) -> SocketAddr {
        self.mqtts
    }

    fn ca(&self) -> PathBuf {
        self.folder.join("enrolled/root-CA.crt")
    }

    fn process(&self) -> u32 {
        self.program.id()
    }

    fn kill(&mut self) -> anyhow::Result<()> {
        self.program.kill()
    }

    fn restart(&mut self) -> anyhow::Result<()> {
        self.program = start_komainu(&self.folder, self.api, self.mqtts, self.tls)?;
        Ok(())
    }
}

fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot open a port on 127.0.0.1")?;
    let address = listener.local_addr().context("cannot tell a port's number")?;
    ensure!(address.port() != 0, "a port has no number");
    Ok(address)
}

fn until_listening(address: SocketAddr) -> anyhow::Result<()> {
    let listens = || Ok(TcpStream::connect(address).is_ok().then_some(()));
    wait_until(&format!("a listener on {address}"), START_LIMIT, Duration::from_millis(20), listens)
}
