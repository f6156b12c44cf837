//! How fast the SQLite store takes values and gives them back: `cargo bench -p komainu-engines`.

use std::ops::ControlFlow;

use divan::Bencher;
use divan::counter::ItemsCount;
use komainu_engines::SqliteStore;
use komainu_model::{
    AccountId, Change, Contact, Datapoint, DeviceMetric, IndicatorChange, Metric, MetricValue, Region, Remote,
    ReporterName, Scope, Timestamp,
};
use komainu_ports::Store;
use tempfile::TempDir;

fn main() {
    divan::main();
}

/// Devices that report; each with every device-side metric.
const DEVICES: u64 = 10_000;

/// Commits values of 10,000 devices, a report of each after the other, in durable batches of so many.
#[divan::bench(args = [100, 1_000, 10_000], sample_count = 50, sample_size = 1)]
fn append_datapoints(bencher: Bencher<'_, '_>, batch_datapoints: u64) {
    let (_folder, store) = open();
    let mut next = 0;
    bencher
        .counter(ItemsCount::new(batch_datapoints))
        .with_inputs(|| {
            let batch: Vec<Change> = (next..next + batch_datapoints).map(append).collect();
            next += batch_datapoints;
            batch
        })
        .bench_local_values(|batch| store.commit(&batch).expect("the disk takes it"));
}

/// Shows 200,000 values again, in the order of time.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn replay_datapoints(bencher: Bencher<'_, '_>) {
    const DATAPOINTS: u64 = 200_000;
    let (_folder, store) = open();
    store.commit(&(0..DATAPOINTS).map(append).collect::<Vec<_>>()).expect("the disk takes it");
    bencher.counter(ItemsCount::new(DATAPOINTS)).bench_local(|| {
        let mut seen = 0;
        store
            .replay_datapoints(Timestamp::default(), &mut |_, _| {
                seen += 1;
                ControlFlow::Continue(())
            })
            .expect("the disk gives it");
        assert_eq!(seen, DATAPOINTS);
    });
}

/// Commits the contacts of 256 reports, six of each of 10,000 devices in turn, which are mostly the same each time: what
/// looking back costs with every batch of reports.
#[divan::bench(sample_count = 100, sample_size = 1)]
fn add_contacts(bencher: Bencher<'_, '_>) {
    const REPORTS: u64 = 256;
    const CONTACTS: u64 = 6;
    let (_folder, store) = open();
    let mut next = 0;
    bencher
        .counter(ItemsCount::new(REPORTS))
        .with_inputs(|| {
            let reports = next..next + REPORTS;
            next += REPORTS;
            reports.flat_map(|report| (0..CONTACTS).map(move |number| contact(report, number))).collect::<Vec<Change>>()
        })
        .bench_local_values(|batch| store.commit(&batch).expect("the disk takes it"));
}

fn contact(report: u64, number: u64) -> Change {
    let device = report % DEVICES;
    let at = Timestamp::from_unix_millis(1_700_000_000_000 + report as i64);
    let remote = Remote::parse(&format!("198.51.{}.{}:443", device % 100, number)).expect("an address");
    let reporter = ReporterName::parse(&format!("device-{device}")).expect("a name");
    let contact = Contact { reporter, remote, first_at: at, last_at: at, count: 1 };
    Change::Indicators(IndicatorChange::AddContact(scope(), contact))
}

fn scope() -> Scope {
    Scope {
        account: AccountId::parse("123456789012").expect("twelve digits"),
        region: Region::parse("us-east-1").expect("a region"),
    }
}

fn open() -> (TempDir, SqliteStore) {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let store = SqliteStore::open(&folder.path().join("store.db")).expect("an empty folder");
    (folder, store)
}

/// The `number`th value: of one metric after the other, of one device after the other, one report per millisecond.
fn append(number: u64) -> Change {
    let metrics = DeviceMetric::ALL.len() as u64;
    let report = number / metrics;
    let datapoint = Datapoint {
        reporter: ReporterName::parse(&format!("device-{}", report % DEVICES)).expect("a name"),
        metric: Metric::Device(DeviceMetric::ALL[(number % metrics) as usize]),
        value: MetricValue::Count(number * 977 % 100_000),
        at: Timestamp::from_unix_millis(1_700_000_000_000 + report as i64),
    };
    Change::AppendDatapoint(scope(), datapoint)
}
