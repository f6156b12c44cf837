//! The sensor that `komainu serve` runs: a process of its own, with fewer rights, on a data folder of its own.
//!
//! It is the same program as any other sensor and hands in its records over the same listener. What it gets is in its
//! folder: its own configuration and its own certificate; its environment is empty. It ends when its standard input
//! closes, so it does not outlive the server, however that ends.

use std::ffi::OsString;
use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use komainu_api::Api;
use komainu_model::Scope;
use nix::unistd::{Uid, User};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::config::{Config, HubLink, SensorSection};
use crate::{device_files, operator, sensor};

/// The sensor's data folder when none is configured, in the server's.
const FOLDER: &str = "local-sensor";
const CONFIGURATION: &str = "sensor.toml";

/// The first pause before a sensor that ended is started again; each further one is twice as long, up to the last.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_LAST: Duration = Duration::from_secs(60);

/// A sensor that ran for so long is taken for sound: the next pause is the first again.
const SOUND_AFTER: Duration = Duration::from_secs(60);

/// How long a sensor may take to end: its own grace for connections and for what it still sends.
const STOP_GRACE: Duration = Duration::from_secs(20);

/// A sensor that is kept running.
#[derive(Debug)]
pub(crate) struct Guest {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Guest {
    /// Prepares what the sensor needs, and starts it. Enrols it when it has no certificate yet.
    pub(crate) fn start(
        config: &Config,
        data: &Path,
        hub: SocketAddr,
        api: &Api,
        scope: &Scope,
    ) -> anyhow::Result<Self> {
        let section = &config.sensor;
        let folder = section.data.clone().unwrap_or_else(|| data.join(FOLDER));
        let folder = std::path::absolute(&folder).with_context(|| format!("cannot find {}", folder.display()))?;
        let user = section.user.as_deref().map(user).transpose()?;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let files = Files::of(&folder, &section.id);
        if !files.cert.exists() {
            let device = api.enroll_sensor(scope, &section.id).context("cannot enrol the sensor (sensor.id)")?;
            device_files::write(&folder, &operator::enrolled(&device))?;
        }
        write_configuration(config, &files, hub)?;
        if let Some(user) = &user {
            open_to(user, &folder, &files)?;
        }
        let program = std::env::current_exe().context("cannot find this program")?;
        let run = Run { program, folder, configuration: files.configuration, user };
        let (stop, stopped) = watch::channel(false);
        Ok(Self { stop, task: tokio::spawn(keep_running(run, stopped)) })
    }

    /// Ends the sensor and waits for it.
    pub(crate) async fn shutdown(self) {
        let _ = self.stop.send(true);
        let _ = self.task.await;
    }
}

/// The names in the server's certificate that the sensor of this configuration needs besides `public.hosts`.
pub(crate) fn extra_host(config: &Config) -> Option<String> {
    config.sensor.run_in_serve.then(|| host(config.listen.tls))
}

/// How a listener is reached from this machine.
fn host(listener: SocketAddr) -> String {
    let ip = listener.ip();
    if ip.is_unspecified() || ip.is_loopback() { "localhost".to_owned() } else { ip.to_string() }
}

fn address(listener: SocketAddr) -> String {
    match host(listener) {
        host if host.contains(':') => format!("[{host}]:{}", listener.port()),
        host => format!("{host}:{}", listener.port()),
    }
}

fn user(name: &str) -> anyhow::Result<User> {
    let user = User::from_name(name).context("cannot ask for users")?;
    let user = user.ok_or_else(|| anyhow!("sensor.user: there is no user {name:?}"))?;
    if !Uid::effective().is_root() && user.uid != Uid::effective() {
        bail!("sensor.user is {name:?}: only root can run the sensor as another user");
    }
    Ok(user)
}

/// Lets the sensor's user read what is the sensor's and write its records, and nothing else. The folder stays the
/// server's: in a folder of the sensor's, a sensor that was taken over could put a link in the place of a file and be
/// given what that leads to.
fn open_to(user: &User, folder: &Path, files: &Files) -> anyhow::Result<()> {
    let failed = |path: &Path| format!("cannot open {} to {}", path.display(), user.name);
    let owner = std::fs::metadata(folder).with_context(|| failed(folder))?.uid();
    if owner != Uid::effective().as_raw() {
        bail!("sensor.data: {} must belong to the user who runs the server", folder.display());
    }
    for (path, mode) in [(folder, 0o750), (&files.configuration, 0o640), (&files.key, 0o640)] {
        chown(path, None, Some(user.gid.as_raw()))
            .and_then(|()| std::fs::set_permissions(path, Permissions::from_mode(mode)))
            .with_context(|| failed(path))?;
    }
    let records = sensor::sensor_folder(folder);
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&records)
        .and_then(|()| chown(&records, Some(user.uid.as_raw()), Some(user.gid.as_raw())))
        .with_context(|| failed(&records))
}

/// What is in the sensor's folder.
struct Files {
    configuration: PathBuf,
    cert: PathBuf,
    key: PathBuf,
    ca: PathBuf,
}

impl Files {
    fn of(folder: &Path, name: &str) -> Self {
        Self {
            configuration: folder.join(CONFIGURATION),
            cert: folder.join(format!("{name}.cert.pem")),
            key: folder.join(format!("{name}.private.key")),
            ca: folder.join("root-CA.crt"),
        }
    }
}

/// Writes the part of the configuration that is the sensor's, and nothing of the server's.
fn write_configuration(config: &Config, files: &Files, hub: SocketAddr) -> anyhow::Result<()> {
    let link = HubLink {
        address: Some(address(hub)),
        cert: Some(files.cert.clone()),
        key: Some(files.key.clone()),
        ca: Some(files.ca.clone()),
        ..config.sensor.hub.clone()
    };
    let section = SensorSection { run_in_serve: false, user: None, data: None, hub: link, ..config.sensor.clone() };
    let mut table = toml::Table::new();
    let failed = "cannot write the sensor's configuration";
    table.insert("sensor".to_owned(), toml::Value::try_from(section).context(failed)?);
    table.insert("log".to_owned(), toml::Value::try_from(&config.log).context(failed)?);
    let text = toml::to_string(&table).context(failed)?;
    let _ = std::fs::remove_file(&files.configuration);
    std::fs::OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&files.configuration)
        .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
        .with_context(|| format!("cannot write {}", files.configuration.display()))
}

/// How the sensor is run.
struct Run {
    program: PathBuf,
    folder: PathBuf,
    configuration: PathBuf,
    user: Option<User>,
}

impl Run {
    fn spawn(&self) -> std::io::Result<Child> {
        let mut command = Command::new(&self.program);
        let arguments: [OsString; 6] = [
            "sensor".into(),
            "--supervised".into(),
            "--data".into(),
            self.folder.clone().into(),
            "--config".into(),
            self.configuration.clone().into(),
        ];
        command
            .args(arguments)
            // Whatever the server was told by its environment, keys among it, is not the sensor's.
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        if let Some(user) = &self.user {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command.spawn()
    }
}

async fn keep_running(run: Run, mut stop: watch::Receiver<bool>) {
    let mut pause = PAUSE_FIRST;
    loop {
        let began = Instant::now();
        match run.spawn() {
            Ok(mut child) => {
                // Waiting for a child closes its standard input, which would end this one.
                let input = child.stdin.take();
                let ended = tokio::select! {
                    biased;
                    _ = stop.wait_for(|stop| *stop) => None,
                    ended = child.wait() => Some(ended),
                };
                let Some(ended) = ended else { return end(child, input).await };
                let status = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
                tracing::error!(status, "the sensor has ended and is started again");
            }
            Err(error) => tracing::error!(%error, "the sensor cannot be started"),
        }
        if began.elapsed() >= SOUND_AFTER {
            pause = PAUSE_FIRST;
        }
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            () = sleep(pause) => {}
        }
        pause = (pause * 2).min(PAUSE_LAST);
    }
}

async fn end(mut child: Child, input: Option<ChildStdin>) {
    drop(input);
    if timeout(STOP_GRACE, child.wait()).await.is_err() {
        tracing::warn!("the sensor did not end in time and is killed");
        let _ = child.kill().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_reached_by_a_name_in_the_certificate() {
        let check = |listener: &str, expected: &str| assert_eq!(address(listener.parse().unwrap()), expected);
        check("127.0.0.1:443", "localhost:443");
        check("0.0.0.0:8443", "localhost:8443");
        check("[::]:443", "localhost:443");
        check("192.0.2.1:443", "192.0.2.1:443");
        check("[2001:db8::1]:443", "[2001:db8::1]:443");
    }

    #[test]
    fn the_sensors_configuration_holds_nothing_of_the_servers() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.smtp.password_file = Some("/etc/secret".into());
        config.sensor.run_in_serve = true;
        config.sensor.personas = vec!["router".into()];
        let files = Files::of(folder.path(), "sensor");
        write_configuration(&config, &files, "127.0.0.1:443".parse().unwrap()).unwrap();
        let text = std::fs::read_to_string(&files.configuration).unwrap();
        assert!(!text.contains("secret") && !text.contains("smtp"), "{text}");
        let read = crate::config::load(Some(&files.configuration), std::iter::empty(), Vec::new()).unwrap();
        assert_eq!((read.sensor.run_in_serve, &read.sensor.personas), (false, &config.sensor.personas));
        assert_eq!(read.sensor.hub.address.as_deref(), Some("localhost:443"));
    }
}
