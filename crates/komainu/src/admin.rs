//! The admin socket: how `komainu enroll`, `komainu access-key`, `komainu operators` and others reach the running
//! server.
//!
//! `DATA/admin.sock` belongs to the data folder's owner (mode 0600) and takes one JSON request a line, answered by one
//! JSON line. When no server runs, the same request is carried out on the folder itself.

use std::fmt;
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::indicators::{IndicatorsReply, IndicatorsRequest};
use crate::operator::Operator;
use crate::operators::{OperatorsReply, OperatorsRequest, RoleName};
use crate::samples::{SamplesReply, SamplesRequest};

/// The socket's name in the data folder.
const SOCKET_NAME: &str = "admin.sock";
/// The largest request is a part of a list of indicators.
const REQUEST_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// The largest reply is a list of thousands of sensors.
const REPLY_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// A request is one line from a local program.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(10);
/// Making an RSA key takes up to a few seconds on a small machine.
const REPLY_TIME_MAX: Duration = Duration::from_secs(60);
/// Local clients at the same time.
const CLIENTS_MAX: usize = 16;

/// What a local operator can ask for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum AdminRequest {
    /// Register a device and make its certificate.
    Enroll { name: String },
    /// Register a sensor and make its certificate.
    EnrollSensor { name: String },
    /// List the sensors that were heard of.
    ListSensors,
    /// Make an access key, or take the given id and secret.
    CreateAccessKey { given: Option<(String, String)>, role: RoleName, note: String },
    /// Something about indicators.
    Indicators(IndicatorsRequest),
    /// Something about samples.
    Samples(SamplesRequest),
    /// Something about operators of the console.
    Operators(OperatorsRequest),
    /// Make the report of a month, `2026-10`, in a language, `en` or `ja`.
    Monthly { month: String, language: String },
    /// List access keys.
    ListAccessKeys,
    /// Make an access key useless.
    RevokeAccessKey { id: String },
    /// Forget a revoked access key.
    DeleteAccessKey { id: String },
}

/// What a local operator gets. Displays as the command prints it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum AdminReply {
    /// The device or sensor was registered.
    Enrolled(EnrolledDevice),
    /// All sensors, in the order of their names.
    Sensors(Vec<SensorLine>),
    /// What was asked about indicators.
    Indicators(IndicatorsReply),
    /// What was asked about samples.
    Samples(SamplesReply),
    /// What was asked about operators of the console.
    Operators(OperatorsReply),
    /// The report of a month, HTML.
    Monthly { document: String },
    /// The key was made; this is the only time its secret is shown.
    AccessKeyCreated { id: String, secret: String },
    /// All keys, in the order of their ids.
    AccessKeys(Vec<AccessKeyLine>),
    /// The key is useless now.
    AccessKeyRevoked { id: String },
    /// The key is forgotten.
    AccessKeyDeleted { id: String },
    /// It could not be done, for this reason.
    Refused { reason: String },
}

/// A device that was registered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct EnrolledDevice {
    pub(crate) name: String,
    pub(crate) thing_arn: String,
    pub(crate) certificate_arn: String,
    pub(crate) policy_name: String,
    pub(crate) certificate_pem: String,
    pub(crate) private_key_pem: String,
    pub(crate) root_pem: String,
}

/// A sensor as it is listed. Times are in seconds since 1970, ages in seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SensorLine {
    pub(crate) name: String,
    pub(crate) is_online: bool,
    pub(crate) last_seen_unix_s: Option<i64>,
    /// What it said of its health; nothing since the server started.
    pub(crate) health: Option<SensorHealthLine>,
    pub(crate) records: u64,
    pub(crate) batches_missing: u64,
    pub(crate) batches_removed: u64,
    pub(crate) artifacts: u64,
    pub(crate) captures: u64,
}

/// A sensor's word about its health, as it is listed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SensorHealthLine {
    pub(crate) version: String,
    pub(crate) connections: u64,
    pub(crate) connections_total: u64,
    pub(crate) refused: u64,
    pub(crate) spool_bytes: u64,
    pub(crate) spool_age_s: u64,
    pub(crate) lines_lost: u64,
    pub(crate) captures: u64,
    pub(crate) captures_bytes: u64,
    pub(crate) captures_dropped: u64,
    pub(crate) doors: Vec<String>,
}

/// An access key as it is listed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct AccessKeyLine {
    pub(crate) id: String,
    pub(crate) role: String,
    pub(crate) status: String,
    pub(crate) created_unix_s: i64,
    /// Since the server started.
    pub(crate) used_unix_s: Option<i64>,
    pub(crate) note: String,
}

impl fmt::Display for AdminReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enrolled(device) => {
                writeln!(f, "enrolled {}", device.name)?;
                writeln!(f, "  thing        {}", device.thing_arn)?;
                writeln!(f, "  certificate  {}", device.certificate_arn)?;
                writeln!(f, "  policy       {}", device.policy_name)
            }
            Self::Sensors(sensors) if sensors.is_empty() => {
                writeln!(f, "no sensor was heard of; enrol one with `komainu enroll NAME --sensor` (docs/hub.md)")
            }
            Self::Sensors(sensors) => sensors.iter().try_for_each(|sensor| write!(f, "{sensor}")),
            Self::Indicators(reply) => write!(f, "{reply}"),
            Self::Samples(reply) => write!(f, "{reply}"),
            Self::Operators(reply) => write!(f, "{reply}"),
            Self::Monthly { document } => f.write_str(document),
            Self::AccessKeyCreated { id, secret } => {
                writeln!(f, "AWS_ACCESS_KEY_ID={id}")?;
                writeln!(f, "AWS_SECRET_ACCESS_KEY={secret}")
            }
            Self::AccessKeys(keys) if keys.is_empty() => {
                writeln!(f, "no access keys; make one with `komainu access-key create`")
            }
            Self::AccessKeys(keys) => {
                writeln!(
                    f,
                    "{:<20} {:<8} {:<8} {:<20} {:<20} NOTE",
                    "ID", "ROLE", "STATUS", "CREATED (UTC)", "USED SINCE START"
                )?;
                keys.iter().try_for_each(|key| {
                    let AccessKeyLine { id, role, status, note, .. } = key;
                    let created = calendar_time(key.created_unix_s);
                    let used = key.used_unix_s.map_or_else(|| "-".to_owned(), calendar_time);
                    writeln!(
                        f,
                        "{}",
                        format!("{id:<20} {role:<8} {status:<8} {created:<20} {used:<20} {note}").trim_end()
                    )
                })
            }
            Self::AccessKeyRevoked { id } => writeln!(f, "revoked {id}"),
            Self::AccessKeyDeleted { id } => writeln!(f, "deleted {id}"),
            Self::Refused { reason } => writeln!(f, "refused: {reason}"),
        }
    }
}

impl fmt::Display for SensorLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = self.last_seen_unix_s.map(calendar_time);
        match (self.is_online, seen) {
            (true, seen) => writeln!(f, "{}  online  last seen {}", self.name, seen.unwrap_or_default())?,
            (false, Some(seen)) => writeln!(f, "{}  silent since {seen}", self.name)?,
            (false, None) => writeln!(f, "{}  silent", self.name)?,
        }
        writeln!(
            f,
            "  received  {} records, {} artifacts, {} captures, {} batches missing, {} removed",
            self.records, self.artifacts, self.captures, self.batches_missing, self.batches_removed
        )?;
        let Some(health) = &self.health else { return Ok(()) };
        writeln!(
            f,
            "  sessions  {} now, {} in all, {} refused",
            health.connections, health.connections_total, health.refused
        )?;
        writeln!(
            f,
            "  spool     {} bytes, oldest {} s, {} lines lost",
            health.spool_bytes, health.spool_age_s, health.lines_lost
        )?;
        writeln!(
            f,
            "  captures  {} wait, {} bytes, {} dropped",
            health.captures, health.captures_bytes, health.captures_dropped
        )?;
        writeln!(f, "  version   {}", health.version)?;
        health.doors.iter().try_for_each(|door| writeln!(f, "  door      {door}"))
    }
}

/// A time of the calendar, in UTC.
pub(crate) fn calendar_time(unix_s: i64) -> String {
    jiff::Timestamp::from_second(unix_s).map_or_else(|_| unix_s.to_string(), |time| time.to_string())
}

/// Asks the server that runs on `data`, or carries the request out on the folder when none runs.
pub(crate) async fn ask(config: &Config, data: &Path, request: AdminRequest) -> anyhow::Result<AdminReply> {
    let socket = data.join(SOCKET_NAME);
    let reply = match connect(data).await {
        Ok(stream) => tokio::time::timeout(REPLY_TIME_MAX, exchange(stream, &request))
            .await
            .map_err(|_| anyhow!("the server on {} did not answer within {REPLY_TIME_MAX:?}", data.display()))?
            .with_context(|| format!("cannot talk to the server through {}", socket.display()))?,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            let operator = Operator::open(config, data)?;
            tokio::task::spawn_blocking(move || operator.carry_out(request)).await.context("request failed")?
        }
        Err(error) => {
            return Err(error).with_context(|| {
                format!("cannot reach the server through {}; run this as the user who runs it", socket.display())
            });
        }
    };
    match reply {
        AdminReply::Refused { reason } => bail!(reason),
        reply => Ok(reply),
    }
}

async fn connect(data: &Path) -> std::io::Result<UnixStream> {
    let folder = File::open(data)?;
    UnixStream::connect(short_path(&folder)).await
}

/// The socket's path by way of the open folder: the address of a Unix socket has room for 107 bytes, and data folders
/// may be deeper than that.
fn short_path(folder: &File) -> PathBuf {
    format!("/proc/self/fd/{}/{SOCKET_NAME}", folder.as_raw_fd()).into()
}

async fn exchange(stream: UnixStream, request: &AdminRequest) -> anyhow::Result<AdminReply> {
    let (reader, mut writer) = stream.into_split();
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    writer.write_all(&line).await?;
    let mut reply = String::new();
    BufReader::new(reader.take(REPLY_BYTES_MAX)).read_line(&mut reply).await?;
    Ok(serde_json::from_str(&reply)?)
}

/// Opens the socket. A socket that an earlier process left behind is replaced: the caller holds the folder's lock.
pub(crate) fn listen(data: &Path) -> anyhow::Result<UnixListener> {
    let socket = data.join(SOCKET_NAME);
    match std::fs::remove_file(&socket) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot replace {}", socket.display()));
        }
        _ => {}
    }
    let folder = File::open(data).with_context(|| format!("cannot open {}", data.display()))?;
    let listener =
        UnixListener::bind(short_path(&folder)).with_context(|| format!("cannot listen on {}", socket.display()))?;
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600))
        .with_context(|| format!("cannot close {} to other users", socket.display()))?;
    Ok(listener)
}

/// Serves local operators until it is dropped.
pub(crate) async fn run(listener: UnixListener, operator: Arc<Operator>) {
    let places = Arc::new(Semaphore::new(CLIENTS_MAX));
    loop {
        let place = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
        match listener.accept().await {
            Ok((stream, _)) => {
                let operator = Arc::clone(&operator);
                tokio::spawn(async move {
                    if let Err(error) = answer(stream, operator).await {
                        tracing::warn!(%error, "admin request failed");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "admin socket failed to accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer(stream: UnixStream, operator: Arc<Operator>) -> anyhow::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    tokio::time::timeout(REQUEST_TIME_MAX, BufReader::new(reader.take(REQUEST_BYTES_MAX)).read_line(&mut line))
        .await
        .context("no request came")??;
    let reply = match serde_json::from_str::<AdminRequest>(&line) {
        Ok(request) => tokio::task::spawn_blocking(move || operator.carry_out(request)).await?,
        Err(error) => AdminReply::Refused { reason: format!("request cannot be read: {error}") },
    };
    let mut line = serde_json::to_vec(&reply)?;
    line.push(b'\n');
    writer.write_all(&line).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operator(data: &Path) -> Arc<Operator> {
        Operator::open(&Config::default(), data).unwrap()
    }

    #[tokio::test]
    async fn a_running_server_is_asked_through_its_socket_however_deep_the_folder_is() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("d".repeat(100)).join("e".repeat(100));
        let operator = operator(&data);
        let server = tokio::spawn(run(listen(&data).unwrap(), operator));

        let given = Some(("OPERATOR12345678".to_owned(), "a secret of mine".replace(' ', "-")));
        let create = |given| AdminRequest::CreateAccessKey { given, role: RoleName::Viewer, note: "a test".to_owned() };
        let created = ask(&Config::default(), &data, create(given.clone())).await;
        let (id, secret) = given.clone().unwrap();
        assert_eq!(created.unwrap(), AdminReply::AccessKeyCreated { id, secret });
        let again = ask(&Config::default(), &data, create(given)).await.unwrap_err();
        assert!(again.to_string().contains("already exists"), "{again}");
        let mode = std::fs::metadata(data.join(SOCKET_NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let listed = ask(&Config::default(), &data, AdminRequest::ListAccessKeys).await.unwrap().to_string();
        let line = listed.lines().nth(1).unwrap();
        assert!(line.starts_with("OPERATOR12345678     viewer   active ") && line.ends_with(" a test"), "{line}");
        server.abort();
    }

    #[tokio::test]
    async fn without_a_server_the_folder_itself_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let reply = ask(&Config::default(), &data, AdminRequest::Enroll { name: "camera-1".into() }).await.unwrap();
        let AdminReply::Enrolled(device) = reply else { panic!("{reply}") };
        assert!(device.certificate_pem.starts_with("-----BEGIN CERTIFICATE-----"), "{}", device.certificate_pem);
        let reply = ask(&Config::default(), &data, AdminRequest::RevokeAccessKey { id: "NOBODYS-KEY".into() }).await;
        assert!(reply.unwrap_err().to_string().contains("access key id"));
        let reply = ask(&Config::default(), &data, AdminRequest::Enroll { name: "camera 1".into() }).await;
        assert!(reply.unwrap_err().to_string().contains("thing name contains ' '"));
    }
}
