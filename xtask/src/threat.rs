//! The threat demo: a persona on this machine is attacked by harmless imitations with ordinary clients, and what the
//! sensor recorded is shown and compared with what was done. Where there can be network namespaces, a real appliance is
//! hung behind a sensor as well.

mod appliance;

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::programs::{Program, quoted, run_to_end};
use crate::steps::Steps;
use crate::{tools, workspace};

/// An unoptimised program on a busy machine takes a while to open its ports.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How far the sensor's ports may be moved: the highest port of the camera stays below 65536.
const PORT_OFFSETS: [u16; 4] = [20_000, 21_000, 25_000, 30_000];
/// The camera's ports of TCP.
const CAMERA_PORTS: [u16; 8] = [21, 23, 80, 81, 443, 554, 2323, 34567];
/// What the attacker of the demo leaves on the camera.
const LEFT: &str = "this is a harmless file of the demo\n";

/// A camera that is none, and where it keeps its records.
pub(crate) struct Camera {
    program: Program,
    data: PathBuf,
    offset: u16,
}

/// Lets the camera be attacked; succeeds only if everything that was done is in the records.
pub(crate) fn perform(steps: &mut Steps, folder: &Path) -> anyhow::Result<Camera> {
    tools::need_curl()?;
    let python = tools::python()?;
    let mut camera = steps.step("a camera that is none is on the network", |notes| {
        let camera = Camera::start(folder)?;
        notes
            .show(camera.program.output().lines().filter(|line| line.starts_with("  ")).collect::<Vec<_>>().join("\n"));
        Ok(camera)
    })?;
    steps.step("somebody guesses its password, looks around and leaves a file", |notes| {
        let mut attacker = Command::new(python);
        attacker.arg(workspace::root().join("demo/attacker.py"));
        attacker.args(["--address", "127.0.0.1", "--port", &camera.port(23).to_string()]);
        notes.show(run_to_end(&mut attacker)?);
        Ok(())
    })?;
    let uploaded = folder.join("settings.cfg");
    fs::write(&uploaded, "ntp=off\n").with_context(|| format!("cannot write {}", uploaded.display()))?;
    steps.step("somebody else tries its web pages", |notes| {
        let form = format!("file=@{}", uploaded.display());
        for options in [
            &["/"][..],
            &["/cgi-bin/sysinfo.cgi", "--user", "admin:no-such-password"],
            &["/cgi-bin/config.cgi", "--form", &form],
        ] {
            let status = camera.curl(options)?;
            notes.show(format!("curl {} -> {status}", options[0]));
        }
        Ok(())
    })?;
    steps.step("the sensor stops, with every record written", |_| {
        let status = camera.program.stop()?;
        ensure!(status.success(), "the sensor ended with {status}");
        Ok(())
    })?;
    let honeypot_log = camera.data.join("sensor/honeypot.json");
    steps.step("sessions, logins and commands were recorded", |notes| {
        let lines = records(&honeypot_log)?;
        let sessions: Vec<&Value> = lines.iter().filter(|line| line["event_type"] == "honeypot").collect();
        ensure!(sessions.len() == 4, "4 connections were made, {} sessions are recorded", sessions.len());
        for session in &sessions {
            notes.show(describe(session));
        }
        let telnet = sessions.iter().find(|session| session["app_proto"] == "telnet").context("no Telnet session")?;
        let accepted: Vec<&Value> = items(telnet, "auth").map(|login| &login["accepted"]).collect();
        ensure!(accepted == [&Value::Bool(false), &Value::Bool(true)], "logins: {accepted:?}");
        ensure!(items(telnet, "commands").count() >= 12, "commands are missing");
        let urls: Vec<&str> = items(telnet, "urls").filter_map(|url| url["url"].as_str()).collect();
        for url in ["http://192.0.2.1/demo.arm7", "tftp://192.0.2.1/demo.arm7"] {
            ensure!(urls.contains(&url), "{url} is missing: {urls:?}");
        }
        let everything = fs::read_to_string(&honeypot_log).context("cannot read the records")?;
        for secret in ["xc3511", "no-such-password"] {
            ensure!(!everything.contains(secret), "the password {secret} stands in the records");
        }
        Ok(())
    })?;
    steps.step("what was left is kept, encrypted, and comes out as it was", |notes| {
        notes.show(run_to_end(&mut artifacts(&camera.data, &["list"]))?);
        for (what, contents) in [("typed into the shell", LEFT), ("uploaded to a page", "ntp=off\n")] {
            let found = find_artifact(&camera.data, folder, contents)?;
            ensure!(found, "the file that was {what} is not kept");
        }
        Ok(())
    })?;
    match appliance::impossible() {
        Some(reason) => println!("\n  The part with a real appliance is left out, because {reason}\n"),
        None => appliance::perform(steps, folder)?,
    }
    Ok(camera)
}

impl Camera {
    fn start(folder: &Path) -> anyhow::Result<Self> {
        let data = folder.join("data");
        let offset = free_offset()?;
        let mut command = Command::new(workspace::komainu());
        command.args(["sensor", "--persona", "camera", "--listen", "127.0.0.1"]);
        command.args(["--port-offset", &offset.to_string()]).arg("--data").arg(&data);
        let mut program = Program::start("sensor", &mut command, folder)?;
        program.wait_for("the sensor's ports", START_LIMIT, |output| {
            output.lines().any(|line| line == "ready").then_some(())
        })?;
        Ok(Self { program, data, offset })
    }

    fn port(&self, port: u16) -> u16 {
        port + self.offset
    }

    /// The status of a request: the path, then options of curl.
    fn curl(&self, path_and_options: &[&str]) -> anyhow::Result<String> {
        let [path, options @ ..] = path_and_options else { bail!("no path") };
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--max-time", "30", "--output", "/dev/null"]);
        curl.args(["--write-out", "%{http_code}"]).args(options);
        run_to_end(curl.arg(format!("http://127.0.0.1:{}{path}", self.port(80))))
    }

    /// What to try next, as commands.
    pub(crate) fn next_commands(&self) -> String {
        let komainu = quoted(&workspace::komainu().display().to_string());
        let data = quoted(&self.data.display().to_string());
        format!(
            "Be the attacker yourself, and look at what was written down:\n\n  \
             {komainu} sensor --persona camera --listen 127.0.0.1 --port-offset {} --data {data}\n  \
             telnet 127.0.0.1 {}      (root, xc3511)\n  \
             tail -f {data}/sensor/honeypot.json\n",
            self.offset,
            self.port(23)
        )
    }
}

/// `komainu sensor artifacts …` on a data folder.
fn artifacts(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(workspace::komainu());
    command.args(["sensor", "artifacts"]).args(arguments).arg("--data").arg(data);
    command
}

/// Whether an artifact has these contents; what is looked at is left in `folder`.
fn find_artifact(data: &Path, folder: &Path, contents: &str) -> anyhow::Result<bool> {
    let list = run_to_end(&mut artifacts(data, &["list"]))?;
    for (index, digest) in list.lines().filter_map(|line| line.split_whitespace().next()).enumerate() {
        let out = folder.join(format!("artifact-{}-{index}", contents.len()));
        run_to_end(artifacts(data, &["export", digest]).arg("--out").arg(&out))?;
        if fs::read(&out).with_context(|| format!("cannot read {}", out.display()))? == contents.as_bytes() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// By how much the camera's ports can be moved so that all of them are free.
pub(crate) fn free_offset() -> anyhow::Result<u16> {
    let are_free = |offset: &u16| CAMERA_PORTS.iter().all(|port| is_free(port + offset));
    PORT_OFFSETS.into_iter().find(are_free).context("no ports for the camera are free on 127.0.0.1")
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// The lines of an event log.
fn records(path: &Path) -> anyhow::Result<Vec<Value>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    text.lines().map(|line| serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))).collect()
}

fn items<'a>(session: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    session["honeypot"][list].as_array().into_iter().flatten()
}

fn describe(session: &Value) -> String {
    format!(
        "{:<6} {}:{} -> port {}: {} logins, {} commands, {} URLs, {} files",
        session["app_proto"].as_str().unwrap_or("?"),
        session["src_ip"].as_str().unwrap_or("?"),
        session["src_port"],
        session["dest_port"],
        items(session, "auth").count(),
        items(session, "commands").count(),
        items(session, "urls").count(),
        items(session, "artifacts").count(),
    )
}
