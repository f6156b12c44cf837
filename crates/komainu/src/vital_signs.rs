//! How the server is: read from its parts, for the console and for monitoring.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use komainu_api::Api;
use komainu_console::{Accounts, ThreatParts};
use komainu_gateway::{Gateway, LocalAddrs};
use komainu_lake::ParquetLake;
use komainu_model::{Scope, Timestamp};
use komainu_pipeline::{Indicators, Pipeline, PipelineConfig};
use komainu_ports::{
    AccountLimits, CapturesLimits, DiskVitals, KeeperVitals, Kept, KeptWhat, LaboratoryState, Lake, LakeTable,
    Listener, ListenerWish, MailWay, ProcessVitals, RecordsLimits, SILENT_LISTED_MAX, SampleLimits,
    SensorRollCall as _, Store, VitalSigns, Vitals,
};
use parking_lot::Mutex;

use crate::config::Config;
use crate::hub;
use crate::output::Output;

/// The parts of a running server.
pub(crate) struct Body {
    pub(crate) scope: Scope,
    pub(crate) config: Config,
    pub(crate) data: PathBuf,
    pub(crate) started_at: Timestamp,
    /// Known when all of them are open.
    pub(crate) listeners: OnceLock<Vec<Listener>>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) threat: ThreatParts,
    pub(crate) lake: Arc<ParquetLake>,
    pub(crate) lake_keeper: Arc<Mutex<KeeperVitals>>,
    pub(crate) indicators: Arc<Indicators>,
    pub(crate) api: Arc<Api>,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) output: Option<Arc<Output>>,
}

/// Where the server listens, by the configuration and by what opened.
pub(crate) fn listeners(
    config: &Config,
    api: std::net::SocketAddr,
    gateway: LocalAddrs,
    console: Option<std::net::SocketAddr>,
    metrics: Option<std::net::SocketAddr>,
) -> Vec<Listener> {
    let wish = |is_wished| if is_wished { ListenerWish::Open } else { ListenerWish::Off };
    let plain = config.listen.insecure_plain_mqtt;
    vec![
        Listener { name: "listen.api", address: Some(api), wish: ListenerWish::Open },
        Listener { name: "listen.mqtts", address: gateway.mqtts, wish: ListenerWish::Open },
        Listener { name: "listen.tls", address: gateway.tls, wish: ListenerWish::Open },
        Listener { name: "listen.insecure_plain_mqtt", address: gateway.plain_test, wish: wish(plain.is_some()) },
        Listener { name: "console.listen", address: console, wish: wish(config.console.run) },
        Listener { name: "listen.metrics", address: metrics, wish: wish(config.listen.metrics.is_some()) },
    ]
}

impl VitalSigns for Body {
    fn vitals(&self) -> Vitals {
        let sensors = self.api.sensors(&self.scope);
        let silent = sensors.iter().filter(|sensor| !sensor.is_online && sensor.last_seen.is_some());
        let named = silent.clone().map(|sensor| (sensor.name.clone(), sensor.last_seen));
        Vitals {
            started_at: Some(self.started_at),
            listeners: self.listeners.get().cloned().unwrap_or_default(),
            gateway: self.gateway.vitals(),
            store: self.store.counts().ok(),
            deliveries: self.pipeline.deliveries(),
            mail: if self.config.smtp.server.is_some() { MailWay::Server } else { MailWay::None },
            lake: self.lake.state().ok(),
            lake_keeper: self.lake_keeper.lock().clone(),
            samples: self.threat.samples.counts().ok(),
            laboratory: if self.config.lab.run { LaboratoryState::Runs } else { LaboratoryState::Off },
            sensors_online: sensors.iter().filter(|sensor| sensor.is_online).count() as u64,
            sensors_silent_count: silent.clone().count() as u64,
            sensors_silent: named.take(SILENT_LISTED_MAX).collect(),
            indicators_active: self.indicators.set().len() as u64,
            disk: disk(&self.data),
            process: process(),
            output: self.output.as_ref().map(|output| output.vitals()),
        }
    }

    fn kept(&self) -> Vec<Kept> {
        let mut kept: Vec<Kept> = self.kept_in_lake();
        let section = &self.config.hub;
        let sensors = self.threat.records.sensors();
        kept.push(Kept {
            count: Some(sensors.iter().map(|sensor| sensor.batches).sum()),
            bytes: Some(sensors.iter().map(|sensor| sensor.bytes).sum()),
            count_max: Some(RecordsLimits::default().batches_max),
            bytes_max: Some(section.records_bytes_max),
            setting: Some("hub.records_bytes_max"),
            ..bare(KeptWhat::Records, "threat/records")
        });
        let captures = self.threat.captures.captures();
        kept.push(Kept {
            count: Some(captures.len() as u64),
            bytes: Some(captures.iter().map(|capture| capture.bytes).sum()),
            count_max: Some(CapturesLimits::default().captures_max),
            bytes_max: Some(section.captures_bytes_max),
            setting: Some("hub.captures_bytes_max"),
            ..bare(KeptWhat::Captures, "threat/captures")
        });
        let artifacts = self.threat.artifacts.artifacts().ok();
        kept.push(Kept {
            count: artifacts.as_ref().map(|artifacts| artifacts.len() as u64),
            bytes: artifacts.map(|artifacts| artifacts.iter().map(|artifact| artifact.bytes).sum()),
            bytes_max: Some(section.artifacts_bytes_max),
            setting: Some("hub.artifacts_bytes_max"),
            ..bare(KeptWhat::Artifacts, "threat/artifacts")
        });
        kept.push(Kept {
            count: self.threat.samples.counts().ok().map(|samples| samples.waiting),
            bytes: bytes_of(&self.data.join(hub::SAMPLES)),
            count_max: Some(SampleLimits::default().waiting_max),
            ..bare(KeptWhat::Samples, hub::SAMPLES)
        });
        let history_days = PipelineConfig::default().history.as_secs() / 86_400;
        kept.push(Kept {
            bytes: bytes_of(&self.data.join("komainu.db")),
            days: u32::try_from(history_days).ok(),
            ..bare(KeptWhat::History, "komainu.db")
        });
        let limits = AccountLimits::default();
        let days = u32::try_from(limits.audit_kept.as_secs() / 86_400).ok();
        let size = self.accounts.audit_size().ok();
        for (what, count, count_max) in [
            (KeptWhat::Audit, size.map(|size| size.entries), limits.audit_entries_max),
            (KeptWhat::AuditStrangers, size.map(|size| size.strangers), limits.audit_strangers_max),
        ] {
            kept.push(Kept { count, count_max: Some(count_max), days, ..bare(what, "accounts.db") });
        }
        kept
    }
}

impl Body {
    /// From now on the server listens there. Said once.
    pub(crate) fn listening(&self, listeners: Vec<Listener>) {
        let is_first = self.listeners.set(listeners).is_ok();
        assert!(is_first, "listeners are told once, when all are open");
    }

    fn kept_in_lake(&self) -> Vec<Kept> {
        let states = self.lake.state().unwrap_or_default();
        let states: BTreeMap<&str, _> = states.iter().map(|state| (table_word(state.table), state)).collect();
        let retain_days = self.config.lake.retain_days;
        let tables = [LakeTable::Attacks, LakeTable::Observables, LakeTable::Datapoints, LakeTable::Connections];
        let of_table = |table| {
            let state = states.get(table_word(table));
            Kept {
                count: state.map(|state| state.rows),
                bytes: state.map(|state| state.bytes),
                days: (retain_days > 0).then_some(retain_days),
                oldest: state.and_then(|state| Some(state.times?.0)),
                setting: Some("lake.retain_days"),
                ..bare(KeptWhat::Lake(table), "lake")
            }
        };
        tables.into_iter().map(of_table).collect()
    }
}

/// Something that is kept, of which nothing is known yet.
const fn bare(what: KeptWhat, place: &'static str) -> Kept {
    Kept {
        what,
        count: None,
        bytes: None,
        count_max: None,
        bytes_max: None,
        days: None,
        oldest: None,
        setting: None,
        place,
    }
}

const fn table_word(table: LakeTable) -> &'static str {
    KeptWhat::Lake(table).as_str()
}

/// The bytes of a database with its log.
fn bytes_of(path: &Path) -> Option<u64> {
    let log = path.with_extension("db-wal");
    let bytes = std::fs::metadata(path).ok()?.len();
    Some(bytes + std::fs::metadata(log).map_or(0, |log| log.len()))
}

fn disk(data: &Path) -> Option<DiskVitals> {
    let found = nix::sys::statvfs::statvfs(data).ok()?;
    let block = found.fragment_size();
    Some(DiskVitals {
        free_bytes: found.blocks_available().saturating_mul(block),
        bytes: found.blocks().saturating_mul(block),
    })
}

/// What the kernel says of this process (proc(5)); none where there is no such file system.
fn process() -> Option<ProcessVitals> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let resident_kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let resident_kib: u64 = resident_kib.trim().trim_end_matches(" kB").trim().parse().ok()?;
    let (open_files_max, _) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).ok()?;
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF).ok()?;
    let time = |time: nix::sys::time::TimeVal| {
        use nix::sys::time::TimeValLike;
        Duration::from_micros(u64::try_from(time.num_microseconds()).unwrap_or(0))
    };
    Some(ProcessVitals {
        memory_bytes: resident_kib.saturating_mul(1024),
        open_files: std::fs::read_dir("/proc/self/fd").ok()?.count() as u64,
        open_files_max,
        cpu: time(usage.user_time()) + time(usage.system_time()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_how_the_process_is() {
        let process = process().unwrap();
        assert!(process.memory_bytes > 1 << 20 && process.memory_bytes < 1 << 36, "{process:?}");
        assert!(process.open_files > 2 && process.open_files <= process.open_files_max, "{process:?}");
        let disk = disk(Path::new("/")).unwrap();
        assert!(disk.bytes > 1 << 20 && disk.free_bytes <= disk.bytes, "{disk:?}");
        assert_eq!(bytes_of(Path::new("/nowhere/komainu.db")), None);
    }
}
