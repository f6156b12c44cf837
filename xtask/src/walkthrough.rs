//! The walkthrough of AWS IoT Device Defender, performed with AWS's own programs on a fresh server.
//!
//! Each step is believed only when somebody else's program has said so: the AWS CLI, AWS's agents, the mail that
//! arrived. Windows are shortened so that a person can wait for it; everything else is as in AWS's text.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow, bail, ensure};
use serde_json::{Value, json};

use crate::device::{Device, Networks};
use crate::mailbox::{Mail, Mailbox};
use crate::programs::{Program, last_words, quoted, run_to_end, wait_until};
use crate::server::{ACCOUNT, AwsCli, REGION, Server};
use crate::steps::{Notes, Steps};
use crate::tools::{self, Missing, PythonTools};
use crate::workspace;

const THING: &str = "MyDevice";
const GROUP: &str = "allMyDevices";
const TOPIC: &str = "MisbehavingDevices";
const PROFILE: &str = "CheckRogueDevices";
const BEHAVIORS: [&str; 2] = ["bytesOut", "msgReceive"];
const MAIL_ADDRESS: &str = "operator@example.com";

/// What differs from the defaults: windows shorter than AWS's five minutes.
const CONFIGURATION: &str = "[detect]\nshort_windows = true\n";

/// AWS's text says 300 s; with this many a person waits for less than a minute.
const WINDOW_S: u32 = 20;
/// The agent's `-i`: several reports fall into each window.
const REPORT_INTERVAL_S: u32 = 5;
/// AWS's text says one message a second for five minutes; this many exceed the same limit in a short window.
const ROGUE_MESSAGES_PER_S: u32 = 25;

/// For a program that starts and connects, and for a mail that is sent.
const SHORT_LIMIT: Duration = Duration::from_secs(60);
/// For an alarm to be raised or cleared: the rest of one window, a whole one, and what it takes to notice its end,
/// twice over.
const ALARM_LIMIT: Duration = Duration::from_secs(6 * WINDOW_S as u64);
/// Each look costs a run of the AWS CLI.
const CLI_PAUSE: Duration = Duration::from_secs(2);

/// Made-up attacks for the console, and the days on which they were: enough for a year's seasons and a drill into a day, and
/// made in some seconds.
const ATTACKS: u32 = 300_000;
const ATTACK_DAYS: u32 = 400;
/// Who looks at the console.
const OPERATOR: &str = "demo";

/// What runs after a walkthrough, until it is dropped. In the order in which it is to be stopped.
pub(crate) struct Running {
    _agent: Program,
    device: Device,
    server: Server,
    _mail_server: Program,
    folder: PathBuf,
    console: ConsoleEntry,
}

/// How somebody comes into the console.
pub(crate) struct ConsoleEntry {
    /// It signs in once, within 15 minutes.
    pub(crate) link: String,
    pub(crate) password: String,
}

/// Installs whatever the walkthrough needs.
pub(crate) fn prepare() -> anyhow::Result<Networks> {
    for tools in PythonTools::ALL {
        tools.install()?;
    }
    tools::need_curl()?;
    tools::need_ip()?;
    Ok(Networks::probe())
}

/// Performs all of it in `folder`, which is empty.
pub(crate) fn perform(steps: &mut Steps, folder: &Path, networks: Networks) -> anyhow::Result<Running> {
    let logs = folder.join("logs");
    fs::create_dir_all(&logs).with_context(|| format!("cannot make {}", logs.display()))?;
    let run = Run { folder, networks, logs: &logs };
    run.perform(steps).map_err(|error| match error.is::<Missing>() {
        true => error,
        false => anyhow!("{error:#}\n\nThe last words of each program:\n{}", last_words(&logs)),
    })
}

/// One performance: where it writes, and what its devices' networks are.
pub(crate) struct Run<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) networks: Networks,
    pub(crate) logs: &'a Path,
}

impl Run<'_> {
    fn perform(&self, steps: &mut Steps) -> anyhow::Result<Running> {
        let (mailbox, mail_server, smtp) =
            steps.step("a mail server listens", |notes| self.start_mail_server(notes))?;
        let server = steps.step("komainu serve listens, on an empty data folder", |notes| {
            self.start_server(notes, &smtp, CONFIGURATION)
        })?;
        let aws = steps.step("its first access key works with the AWS CLI", |notes| self.point_cli(notes, &server))?;
        steps.step("MyDevice is enrolled", |notes| self.enrol(notes, &server, THING))?;
        steps.step("a group holds the device", |notes| make_group(notes, &aws))?;
        steps.step("an e-mail subscription is confirmed by its link", |notes| subscribe(notes, &aws, &mailbox))?;
        steps.step("a security profile says what is normal", |notes| make_profile(notes, &aws))?;

        let (device, agent) = steps.step("AWS's agent 2.0.0 reports in JSON, on port 443", |notes| {
            self.start_agent(notes, &server, THING, PythonTools::Agent2, "json")
        })?;
        steps.step("AWS's agent 2.0.0 reports in CBOR, on port 443", |notes| {
            self.enrol(notes, &server, "CborDevice")?;
            self.start_agent(notes, &server, "CborDevice", PythonTools::Agent2, "cbor").map(drop)
        })?;
        steps.step("AWS's agent 1.1.1 reports in JSON, on port 8883", |notes| {
            self.enrol(notes, &server, "ClassicDevice")?;
            self.start_agent(notes, &server, "ClassicDevice", PythonTools::Agent1, "json").map(drop)
        })?;
        steps.step("all is quiet", |notes| {
            let found = active_violations(&aws, Some(notes))?;
            ensure!(found.is_empty(), "there are violations before anything has happened: {found:#?}");
            Ok(())
        })?;

        let rogue_began_s = unix_s();
        let mut rogue = steps
            .step("a rogue program on the device floods /rogue/agent", |notes| self.start_rogue(notes, &device))?;
        steps.step("both violations are in alarm", |notes| see_alarms(notes, &aws))?;
        steps.step("a mail tells of each", |notes| see_alerts(&mailbox, notes, AlertKind::Raised))?;
        steps.step("the history tells of both", |notes| see_history(notes, &aws, rogue_began_s, "in-alarm"))?;
        steps.step("the rogue program is stopped", |_| rogue.stop())?;
        steps.step("both alarms clear", |notes| see_clearing(notes, &aws))?;
        steps.step("a mail tells of each", |notes| see_alerts(&mailbox, notes, AlertKind::Cleared))?;
        steps.step("the history tells of both", |notes| see_history(notes, &aws, rogue_began_s, "alarm-cleared"))?;
        let console =
            steps.step("the console shows it, beside made-up attacks", |notes| open_console(notes, &server))?;
        let folder = self.folder.to_path_buf();
        Ok(Running { _agent: agent, device, server, _mail_server: mail_server, folder, console })
    }
}

impl Run<'_> {
    pub(crate) fn start_mail_server(&self, notes: &mut Notes) -> anyhow::Result<(Mailbox, Program, String)> {
        let folder = self.folder.join("mail");
        let (mailbox, program, address) = Mailbox::start(folder.clone(), self.logs)?;
        notes.show(format!("SMTP on {address}, mails go to {}", folder.display()));
        Ok((mailbox, program, address))
    }

    pub(crate) fn start_server(&self, notes: &mut Notes, smtp: &str, configuration: &str) -> anyhow::Result<Server> {
        let server = Server::start(self.folder, self.networks, smtp, configuration, self.logs)?;
        notes.show(format!("control plane           {}", server.endpoint_url()));
        notes.show(format!("MQTT                    {}", server.addresses.mqtts));
        notes.show(format!("MQTT, HTTPS, WebSocket  {}", server.addresses.tls));
        Ok(server)
    }

    pub(crate) fn point_cli(&self, notes: &mut Notes, server: &Server) -> anyhow::Result<AwsCli> {
        let aws = AwsCli::new(server, self.folder)?;
        notes.show(format!(
            "$ export AWS_ENDPOINT_URL={} AWS_ACCESS_KEY_ID={} …",
            server.endpoint_url(),
            server.access_key.id
        ));
        let caller = aws.run(notes, &["sts", "get-caller-identity"])?;
        ensure!(caller["Account"] == ACCOUNT, "the caller's account is not {ACCOUNT}: {caller}");
        Ok(aws)
    }

    pub(crate) fn device_files(&self) -> PathBuf {
        self.folder.join("DDAgent")
    }

    pub(crate) fn enrol(&self, notes: &mut Notes, server: &Server, thing: &str) -> anyhow::Result<()> {
        let folder = self.device_files();
        notes.show(format!("$ komainu enroll {thing} --out DDAgent"));
        run_to_end(server.command(&["enroll", thing]).arg("--out").arg(&folder))?;
        for name in [format!("{thing}.cert.pem"), format!("{thing}.private.key"), "root-CA.crt".to_owned()] {
            let path = folder.join(name);
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            ensure!(text.starts_with("-----BEGIN "), "{} is not in PEM form", path.display());
        }
        let key = folder.join(format!("{thing}.private.key"));
        let mode =
            fs::metadata(&key).with_context(|| format!("cannot look at {}", key.display()))?.permissions().mode();
        ensure!(mode & 0o077 == 0, "other users may read {} (mode {mode:o})", key.display());
        Ok(())
    }

    /// Makes a device, starts AWS's agent on it, and waits until its report was accepted.
    pub(crate) fn start_agent(
        &self,
        notes: &mut Notes,
        server: &Server,
        thing: &str,
        tools: PythonTools,
        format: &str,
    ) -> anyhow::Result<(Device, Program)> {
        let device = Device::start(thing, self.networks, server.addresses.tls, server.addresses.mqtts, self.logs)?;
        let arguments = self.agent_arguments(thing, format);
        notes.show(format!("$ {}", agent_line(&arguments)));
        let mut command = device.command(&tools.program("python"));
        command.current_dir(self.device_files()).env("PYTHONUNBUFFERED", "1").arg(tools.agent()?).args(&arguments);
        let mut agent = Program::start(&format!("agent-{thing}"), &mut command, self.logs)?;
        let line = agent.wait_for("an accepted report", SHORT_LIMIT, |output| {
            output.lines().find(|line| line.contains("ACCEPTED")).map(str::to_owned)
        })?;
        notes.show(line);
        Ok((device, agent))
    }

    /// The command line of AWS's text, with a shorter interval.
    fn agent_arguments(&self, thing: &str, format: &str) -> Vec<String> {
        let certificate = format!("./{thing}.cert.pem");
        let key = format!("./{thing}.private.key");
        let interval = REPORT_INTERVAL_S.to_string();
        let words = ["--endpoint", "localhost", "-r", "./root-CA.crt", "-c", &certificate, "-k", &key];
        let words = words.into_iter().chain(["-id", thing, "--format", format, "-i", &interval]);
        words.map(str::to_owned).collect()
    }

    fn start_rogue(&self, notes: &mut Notes, device: &Device) -> anyhow::Result<Program> {
        let mut command = device.command(&PythonTools::Agent2.program("python"));
        command.current_dir(self.device_files()).arg(workspace::root().join("demo/rogue.py")).args(rogue_arguments());
        let mut rogue = Program::start("rogue", &mut command, self.logs)?;
        rogue.wait_for("a message of its own", SHORT_LIMIT, |output| output.contains("received 1\n").then_some(()))?;
        notes.show(format!("{ROGUE_MESSAGES_PER_S} messages a second, each of which comes back to it"));
        Ok(rogue)
    }
}

impl Running {
    /// The directory with everything that was written.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Ends everything, the server as an init system would; fails when it does not end well.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let status = self.server.stop()?;
        ensure!(status.success(), "komainu did not end well on SIGTERM: {status}");
        Ok(())
    }

    /// Where the console is, how to come in, and what is to be seen there.
    pub(crate) fn console(&self) -> String {
        format!(
            "The console: http://{}\n  \
             signed in by this link, once, within 15 minutes:\n    {}\n  \
             or as {OPERATOR} with the password {}\n  \
             The devices and alarms are those of the walkthrough. The attacks are made up, {ATTACKS} on {ATTACK_DAYS} days;\n  \
             this removes them: {}",
            self.server.addresses.console,
            self.console.link,
            self.console.password,
            shown(&self.server.command(&["lake", "demo", "--remove"])),
        )
    }

    /// What to type next while everything runs.
    pub(crate) fn next_commands(&self) -> String {
        let mut text = String::from("# in another terminal: the AWS CLI against your own server\n");
        for (name, value) in self.server.environment() {
            text.push_str(&format!("export {name}={}\n", quoted(&value)));
        }
        let aws = PythonTools::Clients.program("aws");
        let rogue: Vec<String> = rogue_arguments().iter().map(|word| quoted(word)).collect();
        text.push_str(&format!(
            "alias aws={}\n\
             aws iot list-things\n\
             aws iot list-active-violations --thing-name {THING}\n\
             aws iot describe-security-profile --security-profile-name {PROFILE}\n\
             aws iot-data publish --topic hello/world --payload '{{\"hello\":\"world\"}}'\n\
             \n# the rogue program again; Ctrl-C stops it\n\
             cd {} && {}{} {} {}\n",
            aws.display(),
            self.folder.join("DDAgent").display(),
            self.device.shell_prefix(),
            PythonTools::Agent2.program("python").display(),
            workspace::root().join("demo/rogue.py").display(),
            rogue.join(" "),
        ));
        text
    }
}

/// Makes what is worth looking at, and somebody who may.
fn open_console(notes: &mut Notes, server: &Server) -> anyhow::Result<ConsoleEntry> {
    let (attacks, days) = (ATTACKS.to_string(), ATTACK_DAYS.to_string());
    notes.show(format!("$ komainu lake demo --attacks {attacks} --days {days}"));
    run_to_end(&mut server.command(&["lake", "demo", "--attacks", &attacks, "--days", &days]))?;
    let last_word = |arguments: &[&str]| -> anyhow::Result<String> {
        let said = run_to_end(&mut server.command(arguments))?;
        Ok(said.split_whitespace().last().unwrap_or_default().to_owned())
    };
    notes.show(format!("$ komainu operators add {OPERATOR} --role admin"));
    let password = last_word(&["operators", "add", OPERATOR, "--role", "admin"])?;
    notes.show(format!("$ komainu operators sign-in {OPERATOR}"));
    let link = last_word(&["operators", "sign-in", OPERATOR])?;
    // Looking at the link does not use it up.
    let page = run_to_end(Command::new("curl").args(["--silent", "--show-error", "--fail", &link]))?;
    ensure!(page.contains(OPERATOR), "the link does not lead to a page for {OPERATOR}: {page}");
    Ok(ConsoleEntry { link, password })
}

/// A command as people type it.
fn shown(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(|word| quoted(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
}

fn agent_line(arguments: &[String]) -> String {
    format!("agent.py {}", arguments.join(" "))
}

fn rogue_arguments() -> Vec<String> {
    let certificate = format!("./{THING}.cert.pem");
    let key = format!("./{THING}.private.key");
    let client_id = format!("{THING}-rogue");
    let rate = ROGUE_MESSAGES_PER_S.to_string();
    let words = ["--endpoint", "localhost", "--root-ca", "./root-CA.crt", "--cert", &certificate, "--key", &key];
    words.into_iter().chain(["--client-id", &client_id, "--rate", &rate]).map(str::to_owned).collect()
}

pub(crate) fn topic_arn() -> String {
    format!("arn:aws:sns:{REGION}:{ACCOUNT}:{TOPIC}")
}

fn make_group(notes: &mut Notes, aws: &AwsCli) -> anyhow::Result<()> {
    aws.run(notes, &["iot", "create-thing-group", "--thing-group-name", GROUP])?;
    aws.run(notes, &["iot", "add-thing-to-thing-group", "--thing-group-name", GROUP, "--thing-name", THING])?;
    let listed = aws.run(notes, &["iot", "list-things-in-thing-group", "--thing-group-name", GROUP])?;
    ensure!(listed["things"] == json!([THING]), "the group does not hold just {THING}: {listed}");
    Ok(())
}

pub(crate) fn subscribe(notes: &mut Notes, aws: &AwsCli, mailbox: &Mailbox) -> anyhow::Result<()> {
    let topic = aws.run(notes, &["sns", "create-topic", "--name", TOPIC])?;
    ensure!(topic["TopicArn"] == topic_arn(), "the topic is not {}: {topic}", topic_arn());
    let arn = topic_arn();
    let subscription = aws.run(
        notes,
        &["sns", "subscribe", "--topic-arn", &arn, "--protocol", "email", "--notification-endpoint", MAIL_ADDRESS],
    )?;
    ensure!(
        subscription["SubscriptionArn"] == "pending confirmation",
        "a subscription that nobody has confirmed yet is not pending: {subscription}"
    );
    mailbox.confirm(notes)?;
    let listed = aws.run(notes, &["sns", "list-subscriptions"])?;
    let confirmed = listed["Subscriptions"][0]["SubscriptionArn"].as_str().unwrap_or_default();
    ensure!(confirmed.starts_with(&arn), "the subscription is still not confirmed: {listed}");
    notes.show(confirmed);
    Ok(())
}

fn make_profile(notes: &mut Notes, aws: &AwsCli) -> anyhow::Result<()> {
    let behaviors = json!([
        {
            "name": "msgReceive",
            "metric": "aws:num-messages-received",
            "criteria": {
                "comparisonOperator": "less-than-equals",
                "value": { "count": 100 },
                "durationSeconds": WINDOW_S,
                "consecutiveDatapointsToAlarm": 1,
                "consecutiveDatapointsToClear": 1,
            },
        },
        {
            "name": "bytesOut",
            "metric": "aws:all-bytes-out",
            "criteria": {
                "comparisonOperator": "less-than",
                "value": { "count": 10000 },
                "durationSeconds": WINDOW_S,
                "consecutiveDatapointsToAlarm": 1,
                "consecutiveDatapointsToClear": 1,
            },
        },
    ]);
    let alert_targets = json!({
        "SNS": {
            "alertTargetArn": topic_arn(),
            "roleArn": format!("arn:aws:iam::{ACCOUNT}:role/DeviceDefenderAlerts"),
        },
    });
    let group_arn = format!("arn:aws:iot:{REGION}:{ACCOUNT}:thinggroup/{GROUP}");
    aws.run(
        notes,
        &[
            "iot",
            "create-security-profile",
            "--security-profile-name",
            PROFILE,
            "--behaviors",
            &behaviors.to_string(),
            "--alert-targets",
            &alert_targets.to_string(),
        ],
    )?;
    aws.run(
        notes,
        &[
            "iot",
            "attach-security-profile",
            "--security-profile-name",
            PROFILE,
            "--security-profile-target-arn",
            &group_arn,
        ],
    )?;
    let targets = aws.ask(&["iot", "list-targets-for-security-profile", "--security-profile-name", PROFILE])?;
    ensure!(
        targets["securityProfileTargets"] == json!([{ "arn": group_arn }]),
        "the profile is not for the group: {targets}"
    );
    Ok(())
}

/// What `aws iot list-active-violations` says of the device.
fn active_violations(aws: &AwsCli, notes: Option<&mut Notes>) -> anyhow::Result<Vec<Value>> {
    let arguments = ["iot", "list-active-violations", "--thing-name", THING];
    let answer = match notes {
        Some(notes) => aws.run(notes, &arguments)?,
        None => aws.ask(&arguments)?,
    };
    match answer["activeViolations"].as_array() {
        Some(violations) => Ok(violations.clone()),
        None => bail!("no list of active violations: {answer}"),
    }
}

fn see_alarms(notes: &mut Notes, aws: &AwsCli) -> anyhow::Result<()> {
    active_violations(aws, Some(notes))?;
    let violations = wait_until("an alarm for each behavior", ALARM_LIMIT, CLI_PAUSE, || {
        let violations = active_violations(aws, None)?;
        Ok((behaviors_of(&violations) == BEHAVIORS).then_some(violations))
    })?;
    for violation in violations {
        notes.show(format!(
            "{} in alarm: {} = {}, normal is {} {}",
            violation["behavior"]["name"].as_str().unwrap_or("?"),
            violation["behavior"]["metric"].as_str().unwrap_or("?"),
            violation["lastViolationValue"]["count"],
            violation["behavior"]["criteria"]["comparisonOperator"].as_str().unwrap_or("?"),
            violation["behavior"]["criteria"]["value"]["count"],
        ));
    }
    Ok(())
}

fn see_clearing(notes: &mut Notes, aws: &AwsCli) -> anyhow::Result<()> {
    active_violations(aws, Some(notes))?;
    let cleared = wait_until("the end of both alarms", ALARM_LIMIT, CLI_PAUSE, || {
        Ok(active_violations(aws, None)?.is_empty().then_some(()))
    });
    let Err(error) = cleared else { return Ok(()) };
    let still: Vec<String> = behaviors_of(&active_violations(aws, None)?);
    let values = metric_values(aws, "aws:all-bytes-out")?;
    Err(error.context(format!(
        "still in alarm: {}. The device's own reports say it sent so many bytes, window by window: {values}. On a machine \
         whose network is shared with other programs (no namespaces allowed), their traffic counts too: try again when \
         it is quiet",
        still.join(", ")
    )))
}

/// The values of a metric in the last ten minutes, as the server kept them.
fn metric_values(aws: &AwsCli, metric: &str) -> anyhow::Result<Value> {
    let (from, to) = ((unix_s() - 600).to_string(), unix_s().to_string());
    aws.ask(&[
        "iot",
        "list-metric-values",
        "--thing-name",
        THING,
        "--metric-name",
        metric,
        "--start-time",
        &from,
        "--end-time",
        &to,
    ])
}

fn see_history(notes: &mut Notes, aws: &AwsCli, from_s: u64, kind: &str) -> anyhow::Result<()> {
    let (from, to) = ((from_s - 60).to_string(), (unix_s() + 60).to_string());
    let answer = aws.run(
        notes,
        &["iot", "list-violation-events", "--start-time", &from, "--end-time", &to, "--thing-name", THING],
    )?;
    let events = answer["violationEvents"].as_array().with_context(|| format!("no list of events: {answer}"))?;
    let of_kind: Vec<Value> = events.iter().filter(|event| event["violationEventType"] == kind).cloned().collect();
    ensure!(behaviors_of(&of_kind) == BEHAVIORS, "the history does not hold one {kind} for each behavior: {answer:#}");
    for event in of_kind {
        let name = event["behavior"]["name"].as_str().unwrap_or("?");
        notes.show(format!(
            "{kind}: {name}, value {}, at {}",
            event["metricValue"]["count"], event["violationEventTime"]
        ));
    }
    Ok(())
}

/// The names of the behaviors in a list of violations or events, sorted.
fn behaviors_of(violations: &[Value]) -> Vec<String> {
    let mut names: Vec<String> =
        violations.iter().filter_map(|violation| violation["behavior"]["name"].as_str().map(str::to_owned)).collect();
    names.sort();
    names
}

/// Waits for one mail for each behavior, of alarms or of their end, and shows the first.
fn see_alerts(mailbox: &Mailbox, notes: &mut Notes, kind: AlertKind) -> anyhow::Result<()> {
    let mut first = None;
    for behavior in BEHAVIORS {
        let mail = mailbox.wait_for(&format!("a mail: {behavior} {kind:?}"), SHORT_LIMIT, |mail| {
            AlertKind::of(mail) == Some(kind) && mail.text.contains(behavior) && mail.text.contains(THING)
        })?;
        ensure!(mail.to == [MAIL_ADDRESS], "the mail went to {:?}", mail.to);
        notes.show(format!("mail: {}", mail.subject));
        first.get_or_insert(mail);
    }
    for line in first.iter().flat_map(|mail| mail.text.lines()) {
        notes.show(format!("  │ {line}"));
    }
    Ok(())
}

/// What an alert's mail tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AlertKind {
    Raised,
    Cleared,
}

impl AlertKind {
    fn of(mail: &Mail) -> Option<Self> {
        let says = |words: &str| mail.subject.contains(words);
        match (says("out of bounds"), says("back to normal")) {
            (true, _) => Some(Self::Raised),
            (_, true) => Some(Self::Cleared),
            _ => None,
        }
    }
}

/// The time, in seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "this is the edge: the CLI is asked about the time that passes here")]
fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_secs()
}
