//! How the installation is: what runs, what waits, what is full, what is kept.

use std::net::SocketAddr;
use std::time::Duration;

use komainu_model::{ThingName, Timestamp};

use crate::{LakeTable, LakeTableState, SampleCounts};

/// Says how the installation is. Calls may block for some milliseconds, and never fail: what cannot be read is not there.
pub trait VitalSigns: Send + Sync {
    /// How it is now.
    fn vitals(&self) -> Vitals;

    /// What is kept, how long, and how much of its bound is used. It counts files, so that it takes longer.
    fn kept(&self) -> Vec<Kept>;
}

/// How the installation is, at one moment.
#[derive(Debug, Clone, Default)]
pub struct Vitals {
    /// When the server started.
    pub started_at: Option<Timestamp>,
    /// Where it listens, or does not.
    pub listeners: Vec<Listener>,
    /// Devices at the gateway.
    pub gateway: GatewayVitals,
    /// What the store has; none when it does not answer.
    pub store: Option<StoreCounts>,
    /// What became of messages since the start.
    pub deliveries: DeliveryCounts,
    /// Whether mail leaves the house.
    pub mail: MailWay,
    /// What is in the lake; none when it does not answer.
    pub lake: Option<Vec<LakeTableState>>,
    /// How its files are kept.
    pub lake_keeper: KeeperVitals,
    /// Samples; none when the store does not answer.
    pub samples: Option<SampleCounts>,
    /// Whether somebody examines them.
    pub laboratory: LaboratoryState,
    /// Sensors that are heard of now.
    pub sensors_online: u64,
    /// Sensors that were heard of once and fell silent, and since when; at most [`SILENT_LISTED_MAX`].
    pub sensors_silent: Vec<(ThingName, Option<Timestamp>)>,
    /// How many sensors are silent.
    pub sensors_silent_count: u64,
    /// Indicators that devices are judged by.
    pub indicators_active: u64,
    /// The disk of the data folder.
    pub disk: Option<DiskVitals>,
    /// The server's process.
    pub process: Option<ProcessVitals>,
    /// What is written to other systems.
    pub output: Option<OutputVitals>,
}

/// Silent sensors that are named; further ones are counted.
pub const SILENT_LISTED_MAX: usize = 20;

/// A place where somebody can connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The key under `listen` or `console` in the configuration.
    pub name: &'static str,
    /// Where it is open; none when it is off or could not be opened.
    pub address: Option<SocketAddr>,
    /// What should be.
    pub wish: ListenerWish,
}

/// What should be with a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenerWish {
    /// It should be open.
    Open,
    /// Nobody asked for it.
    Off,
}

/// Devices at the gateway.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GatewayVitals {
    /// MQTT connections now.
    pub connections: u64,
    /// MQTT connections since the start.
    pub connections_total: u64,
    /// Connections since the start that a bound kept out.
    pub turned_away: u64,
    /// TLS handshakes since the start that failed: wrong or missing certificates, unknown protocols.
    pub handshakes_failed: u64,
}

/// What the store has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreCounts {
    /// Violations that go on, suppressed ones among them.
    pub violations_active: u64,
    /// Messages that wait to be delivered.
    pub deliveries_waiting: u64,
    /// When the one was asked for that has waited longest.
    pub deliveries_waiting_since: Option<Timestamp>,
    /// Messages of the last 14 days that were given up.
    pub deliveries_dead: u64,
}

/// What became of messages since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeliveryCounts {
    /// They arrived.
    pub done: u64,
    /// An attempt failed and is made again.
    pub retried: u64,
    /// They were given up.
    pub dead: u64,
}

/// Whether mail leaves the house.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MailWay {
    /// There is a mail server.
    Server,
    /// There is none: mail waits.
    #[default]
    None,
}

/// How the lake's files are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeeperVitals {
    /// When it went well last, since the start.
    pub kept_at: Option<Timestamp>,
    /// When and why it failed last, since the start.
    pub failed: Option<(Timestamp, String)>,
}

/// Whether somebody examines samples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LaboratoryState {
    /// The server does.
    Runs,
    /// Nobody does.
    #[default]
    Off,
}

/// The disk of the data folder, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskVitals {
    /// What this process may still write.
    pub free_bytes: u64,
    /// All of it.
    pub bytes: u64,
}

/// The server's process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProcessVitals {
    /// Memory that is its own and present, in bytes.
    pub memory_bytes: u64,
    /// Open files.
    pub open_files: u64,
    /// How many may be open.
    pub open_files_max: u64,
    /// Processor time that it has used.
    pub cpu: Duration,
}

/// What is written to other systems, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutputVitals {
    /// Lines that were written.
    pub written: u64,
    /// Lines that a bound or a failure cost.
    pub dropped: u64,
    /// Lines that wait.
    pub waiting: u64,
}

/// Something that is kept, with its bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// What.
    pub what: KeptWhat,
    /// How many there are, if that is cheap to know.
    pub count: Option<u64>,
    /// Their bytes on the disk.
    pub bytes: Option<u64>,
    /// Beyond how many the oldest go or new ones are refused.
    pub count_max: Option<u64>,
    /// The same in bytes.
    pub bytes_max: Option<u64>,
    /// How many days they are kept; none without such a bound.
    pub days: Option<u32>,
    /// The time of the oldest.
    pub oldest: Option<Timestamp>,
    /// The configuration key that changes the bound; none when it is fixed.
    pub setting: Option<&'static str>,
    /// Where it lies in the data folder.
    pub place: &'static str,
}

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptWhat {
    /// A table of the lake.
    Lake(LakeTable),
    /// Records of sensors.
    Records,
    /// Captures of sessions.
    Captures,
    /// What attackers left behind.
    Artifacts,
    /// Samples that wait for the laboratory.
    Samples,
    /// Violations, values and dead messages.
    History,
    /// The audit trail about operators and the command line.
    Audit,
    /// The audit trail about people who are not signed in.
    AuditStrangers,
}

impl KeptWhat {
    /// The word for it in keys of texts and names of metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lake(LakeTable::Attacks) => "attacks",
            Self::Lake(LakeTable::Observables) => "observables",
            Self::Lake(LakeTable::Datapoints) => "datapoints",
            Self::Lake(LakeTable::Connections) => "connections",
            Self::Records => "records",
            Self::Captures => "captures",
            Self::Artifacts => "artifacts",
            Self::Samples => "samples",
            Self::History => "history",
            Self::Audit => "audit",
            Self::AuditStrangers => "audit-strangers",
        }
    }
}

impl Kept {
    /// How much of its bound is used, in thousandths: the larger of count and bytes. None without a bound.
    pub fn used_thousandths(&self) -> Option<u64> {
        let of = |used: Option<u64>, bound: Option<u64>| Some(used?.saturating_mul(1000) / bound?.max(1));
        of(self.count, self.count_max).max(of(self.bytes, self.bytes_max))
    }
}

/// Something that somebody has to look at, the gravest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Warning {
    /// The store does not answer: nothing that devices report is kept.
    StoreSilent,
    /// The disk is nearly full.
    DiskFull,
    /// A listener that should be open is not.
    ListenerClosed,
    /// The lake does not answer, or its files cannot be kept.
    LakeFails,
    /// Messages were given up.
    DeliveriesDead,
    /// Messages wait for long.
    DeliveriesWait,
    /// Messages wait since there is no mail server.
    NoMail,
    /// Samples wait and nobody examines them.
    LaboratoryOff,
    /// Many samples wait.
    LaboratoryBehind,
    /// Sensors fell silent.
    SensorsSilent,
    /// Nearly as many files are open as may be.
    FilesFull,
    /// A bound keeps devices out.
    DevicesTurnedAway,
    /// Lines for other systems were lost.
    OutputDropped,
}

/// Free bytes below which the disk is nearly full: an hour of a large fleet, and room to remove things.
const DISK_FREE_BYTES_MIN: u64 = 1 << 30;
/// The same as a part of the disk, in hundredths.
const DISK_FREE_HUNDREDTHS_MIN: u64 = 5;
/// A message that waits for so long has failed several times.
const WAITS_LONG: Duration = Duration::from_secs(15 * 60);
/// Samples that wait: an hour of one worker with a guest.
const SAMPLES_WAITING_MANY: u64 = 60;
/// Open files beyond which new connections are in danger, in hundredths of those that may be.
const OPEN_FILES_HUNDREDTHS_MAX: u64 = 80;

impl Warning {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::StoreSilent,
        Self::DiskFull,
        Self::ListenerClosed,
        Self::LakeFails,
        Self::DeliveriesDead,
        Self::DeliveriesWait,
        Self::NoMail,
        Self::LaboratoryOff,
        Self::LaboratoryBehind,
        Self::SensorsSilent,
        Self::FilesFull,
        Self::DevicesTurnedAway,
        Self::OutputDropped,
    ];

    /// The word for it in keys of texts and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StoreSilent => "store-silent",
            Self::DiskFull => "disk-full",
            Self::ListenerClosed => "listener-closed",
            Self::LakeFails => "lake-fails",
            Self::DeliveriesDead => "deliveries-dead",
            Self::DeliveriesWait => "deliveries-wait",
            Self::NoMail => "no-mail",
            Self::LaboratoryOff => "laboratory-off",
            Self::LaboratoryBehind => "laboratory-behind",
            Self::SensorsSilent => "sensors-silent",
            Self::FilesFull => "files-full",
            Self::DevicesTurnedAway => "devices-turned-away",
            Self::OutputDropped => "output-dropped",
        }
    }

    /// Whether data are being lost or alarms do not arrive.
    pub const fn is_grave(self) -> bool {
        match self {
            Self::StoreSilent | Self::DiskFull | Self::ListenerClosed | Self::LakeFails | Self::DeliveriesDead => true,
            Self::DeliveriesWait
            | Self::NoMail
            | Self::LaboratoryOff
            | Self::LaboratoryBehind
            | Self::SensorsSilent
            | Self::FilesFull
            | Self::DevicesTurnedAway
            | Self::OutputDropped => false,
        }
    }
}

impl Vitals {
    /// What somebody has to look at, the gravest first.
    pub fn warnings(&self, now: Timestamp) -> Vec<Warning> {
        Warning::ALL.into_iter().filter(|warning| self.holds(*warning, now)).collect()
    }

    fn holds(&self, warning: Warning, now: Timestamp) -> bool {
        let store = self.store.unwrap_or_default();
        let samples_waiting = self.samples.map_or(0, |samples| samples.waiting);
        match warning {
            Warning::StoreSilent => self.store.is_none(),
            Warning::DiskFull => self.disk.is_some_and(|disk| {
                disk.free_bytes < DISK_FREE_BYTES_MIN
                    || disk.free_bytes.saturating_mul(100) / disk.bytes.max(1) < DISK_FREE_HUNDREDTHS_MIN
            }),
            Warning::ListenerClosed => {
                self.listeners.iter().any(|at| at.wish == ListenerWish::Open && at.address.is_none())
            }
            Warning::LakeFails => {
                let KeeperVitals { kept_at, failed } = &self.lake_keeper;
                let failed_at = failed.as_ref().map(|(at, _)| *at);
                self.lake.is_none() || failed_at.is_some_and(|failed| kept_at.is_none_or(|kept| kept < failed))
            }
            Warning::DeliveriesDead => store.deliveries_dead > 0,
            Warning::DeliveriesWait => {
                self.mail == MailWay::Server
                    && store.deliveries_waiting_since.is_some_and(|since| now.since(since) > WAITS_LONG)
            }
            Warning::NoMail => self.mail == MailWay::None && store.deliveries_waiting > 0,
            Warning::LaboratoryOff => self.laboratory == LaboratoryState::Off && samples_waiting > 0,
            Warning::LaboratoryBehind => {
                self.laboratory == LaboratoryState::Runs && samples_waiting > SAMPLES_WAITING_MANY
            }
            Warning::SensorsSilent => self.sensors_silent_count > 0,
            Warning::FilesFull => self.process.is_some_and(|process| {
                process.open_files.saturating_mul(100) / process.open_files_max.max(1) > OPEN_FILES_HUNDREDTHS_MAX
            }),
            Warning::DevicesTurnedAway => self.gateway.turned_away > 0,
            Warning::OutputDropped => self.output.is_some_and(|output| output.dropped > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn well() -> Vitals {
        Vitals {
            store: Some(StoreCounts::default()),
            lake: Some(Vec::new()),
            mail: MailWay::Server,
            laboratory: LaboratoryState::Runs,
            disk: Some(DiskVitals { free_bytes: 50 << 30, bytes: 100 << 30 }),
            process: Some(ProcessVitals { open_files: 10, open_files_max: 1024, ..ProcessVitals::default() }),
            ..Vitals::default()
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        let now = Timestamp::from_unix_seconds(100_000);
        let ago = |seconds: i64| Timestamp::from_unix_seconds(100_000 - seconds);
        let check = |change: &dyn Fn(&mut Vitals), expected: &[Warning]| {
            let mut vitals = well();
            change(&mut vitals);
            assert_eq!(vitals.warnings(now), expected);
        };
        check(&|_| {}, &[]);
        check(&|vitals| vitals.store = None, &[Warning::StoreSilent]);
        let full = |free_bytes, bytes| Some(DiskVitals { free_bytes, bytes });
        check(&|vitals| vitals.disk = full(1 << 20, 10 << 30), &[Warning::DiskFull]);
        check(&|vitals| vitals.disk = full(4 << 30, 100 << 30), &[Warning::DiskFull]);
        check(&|vitals| vitals.disk = full(2 << 30, 10 << 30), &[]);
        let listener = |wish| Listener { name: "tls", address: None, wish };
        check(&|vitals| vitals.listeners = vec![listener(ListenerWish::Off)], &[]);
        check(&|vitals| vitals.listeners = vec![listener(ListenerWish::Open)], &[Warning::ListenerClosed]);
        let failed = |kept_at| KeeperVitals { kept_at, failed: Some((ago(10), "no space".to_owned())) };
        check(&|vitals| vitals.lake_keeper = failed(None), &[Warning::LakeFails]);
        check(&|vitals| vitals.lake_keeper = failed(Some(ago(20))), &[Warning::LakeFails]);
        check(&|vitals| vitals.lake_keeper = failed(Some(ago(5))), &[]);
        check(&|vitals| vitals.lake = None, &[Warning::LakeFails]);
        let waiting = |since, dead| {
            let waiting = StoreCounts { deliveries_waiting: 2, deliveries_dead: dead, ..StoreCounts::default() };
            Some(StoreCounts { deliveries_waiting_since: Some(ago(since)), ..waiting })
        };
        check(&|vitals| vitals.store = waiting(60, 0), &[]);
        check(&|vitals| vitals.store = waiting(1000, 1), &[Warning::DeliveriesDead, Warning::DeliveriesWait]);
        check(&|vitals| (vitals.store, vitals.mail) = (waiting(1000, 0), MailWay::None), &[Warning::NoMail]);
        let samples = |waiting| Some(SampleCounts { waiting, working: 0, done: 5, failed: 0 });
        check(&|vitals| vitals.samples = samples(5), &[]);
        check(&|vitals| vitals.samples = samples(500), &[Warning::LaboratoryBehind]);
        check(
            &|vitals| (vitals.samples, vitals.laboratory) = (samples(1), LaboratoryState::Off),
            &[Warning::LaboratoryOff],
        );
        check(&|vitals| vitals.sensors_silent_count = 1, &[Warning::SensorsSilent]);
        check(
            &|vitals| {
                vitals.process =
                    Some(ProcessVitals { open_files: 900, open_files_max: 1024, ..ProcessVitals::default() });
            },
            &[Warning::FilesFull],
        );
    }

    #[test]
    fn how_full_something_is_counts_by_what_is_fuller() {
        let check = |count, count_max, bytes, bytes_max, expected| {
            let (setting, place) = (None, "x");
            let what = KeptWhat::Records;
            let kept = Kept { what, count, bytes, count_max, bytes_max, days: None, oldest: None, setting, place };
            assert_eq!(kept.used_thousandths(), expected);
        };
        check(Some(5), None, Some(5), None, None);
        check(Some(5), Some(10), None, Some(10), Some(500));
        check(Some(5), Some(10), Some(9), Some(10), Some(900));
        check(Some(5), Some(0), None, None, Some(5000));
    }
}
