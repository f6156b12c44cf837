//! What every engine that keeps the records of sensors must do.

#![expect(clippy::unwrap_used, reason = "these functions are the bodies of tests")]

use komainu_model::{AccountId, Region, Scope, ThingName, Timestamp};

use crate::sensor_records::{BatchKey, BatchStored, RecordsError, RecordsLimits, SensorKey, SensorRecords, SpoolEpoch};

/// Checks everything that does not need a medium; `new` makes empty records.
pub fn check_sensor_records(new: &dyn Fn(RecordsLimits) -> Box<dyn SensorRecords>) {
    let with_defaults = || new(RecordsLimits::default());
    starts_empty(&*with_defaults());
    gives_back_what_came(&*with_defaults());
    takes_a_batch_once(&*with_defaults());
    tells_what_is_missing(&*with_defaults());
    keeps_sensors_and_scopes_apart(&*with_defaults());
    removes_the_oldest_first(&*new(RecordsLimits { bytes_max: 24, batches_max: 100 }));
    removes_the_oldest_first(&*new(RecordsLimits { bytes_max: 1_000, batches_max: 3 }));
    knows_what_was_removed(&*new(RecordsLimits { bytes_max: 1_000, batches_max: 1 }));
    takes_batches_from_many_threads(&*with_defaults());
}

/// Checks that what was kept is there after closing and opening; `open` opens the same place again each time.
pub fn check_durable_sensor_records(open: &dyn Fn(RecordsLimits) -> Box<dyn SensorRecords>) {
    let limits = RecordsLimits { bytes_max: 1_000, batches_max: 3 };
    let records = open(limits);
    for (sequence, at) in [(0, 1), (1, 2), (3, 3), (4, 4)] {
        put(&*records, &batch("camera", 1, sequence), at).unwrap();
    }
    put(&*records, &batch("door", 7, 0), 5).unwrap();
    let before = (records.sensors(), records.batches(&sensor("camera")), records.batches(&sensor("door")));
    drop(records);
    let records = open(limits);
    let after = (records.sensors(), records.batches(&sensor("camera")), records.batches(&sensor("door")));
    assert_eq!(after, before, "reopening changed what is kept");
    for sequence in [0, 1, 4] {
        assert_eq!(put(&*records, &batch("camera", 1, sequence), 6).unwrap(), BatchStored::Known, "{sequence}");
    }
    assert_eq!(records.read(&batch("camera", 1, 4)).unwrap(), LINES);
}

/// Two lines of eight bytes altogether.
const LINES: &[u8] = b"{1}\n{2}\n";

fn sensor(name: &str) -> SensorKey {
    SensorKey {
        scope: Scope {
            account: AccountId::parse("123456789012").unwrap(),
            region: Region::parse("eu-west-1").unwrap(),
        },
        name: ThingName::parse(name).unwrap(),
    }
}

fn batch(name: &str, epoch: u64, sequence: u64) -> BatchKey {
    BatchKey { sensor: sensor(name), epoch: SpoolEpoch::new(epoch), sequence }
}

fn put(records: &dyn SensorRecords, batch: &BatchKey, at_s: i64) -> Result<BatchStored, RecordsError> {
    records.put(batch, LINES, Timestamp::from_unix_seconds(at_s))
}

const NEW: BatchStored = BatchStored::New { missing: 0, removed: 0 };

fn starts_empty(records: &dyn SensorRecords) {
    assert_eq!(records.sensors(), []);
    assert_eq!(records.batches(&sensor("camera")), []);
    assert!(matches!(records.read(&batch("camera", 1, 0)), Err(RecordsError::Missing { sequence: 0, .. })));
}

fn gives_back_what_came(records: &dyn SensorRecords) {
    for sequence in 0..3 {
        assert_eq!(put(records, &batch("camera", 1, sequence), 10 + sequence as i64).unwrap(), NEW);
    }
    assert_eq!(put(records, &batch("camera", 0xabc, 0), 20).unwrap(), NEW, "an epoch begins at zero");
    let totals = records.sensors();
    assert_eq!(totals.len(), 1);
    assert_eq!((totals[0].batches, totals[0].lines, totals[0].bytes), (4, 8, 32));
    assert_eq!((totals[0].batches_removed, totals[0].batches_missing), (0, 0));
    assert_eq!(totals[0].last_received_at, Some(Timestamp::from_unix_seconds(20)));
    let kept = records.batches(&sensor("camera"));
    let order: Vec<_> = kept.iter().map(|batch| (batch.key.epoch.number(), batch.key.sequence)).collect();
    assert_eq!(order, [(1, 0), (1, 1), (1, 2), (0xabc, 0)]);
    assert_eq!(kept[1].received_at, Timestamp::from_unix_seconds(11));
    assert_eq!((kept[1].lines, kept[1].bytes), (2, 8));
    assert_eq!(records.read(&kept[3].key).unwrap(), LINES);
}

fn takes_a_batch_once(records: &dyn SensorRecords) {
    put(records, &batch("camera", 1, 0), 1).unwrap();
    let other = records.put(&batch("camera", 1, 0), b"{other}\n", Timestamp::from_unix_seconds(2)).unwrap();
    assert_eq!(other, BatchStored::Known);
    assert_eq!(records.read(&batch("camera", 1, 0)).unwrap(), LINES);
    assert_eq!(records.sensors()[0].lines, 2);
}

fn tells_what_is_missing(records: &dyn SensorRecords) {
    put(records, &batch("camera", 1, 0), 1).unwrap();
    let stored = put(records, &batch("camera", 1, 4), 2).unwrap();
    assert_eq!(stored, BatchStored::New { missing: 3, removed: 0 });
    assert_eq!(records.sensors()[0].batches_missing, 3);
    assert_eq!(put(records, &batch("camera", 1, 2), 3).unwrap(), NEW, "what comes late is no loss");
    assert_eq!(records.sensors()[0].batches_missing, 2);
    put(records, &batch("camera", 2, u64::MAX), 4).unwrap();
    put(records, &batch("camera", 3, u64::MAX), 5).unwrap();
    assert!(records.sensors()[0].batches_missing > 1 << 63, "numbers from outside do no harm");
}

fn keeps_sensors_and_scopes_apart(records: &dyn SensorRecords) {
    let mut elsewhere = batch("camera", 1, 0);
    elsewhere.sensor.scope.region = Region::parse("us-east-1").unwrap();
    for batch in [&batch("camera", 1, 0), &batch("door", 1, 0), &batch("a:b_C-d", 1, 0), &elsewhere] {
        assert_eq!(put(records, batch, 1).unwrap(), NEW);
        assert_eq!(records.batches(&batch.sensor).len(), 1);
    }
    let names: Vec<_> = records.sensors().into_iter().map(|totals| totals.sensor).collect();
    assert_eq!(names, [sensor("a:b_C-d"), sensor("camera"), sensor("door"), elsewhere.sensor]);
}

fn removes_the_oldest_first(records: &dyn SensorRecords) {
    for (name, at) in [("camera", 1), ("door", 2), ("camera", 3)] {
        let sequence = u64::from(at == 3);
        assert_eq!(put(records, &batch(name, 1, sequence), at).unwrap(), NEW);
    }
    assert_eq!(put(records, &batch("door", 1, 1), 4).unwrap(), BatchStored::New { missing: 0, removed: 1 });
    assert!(records.read(&batch("camera", 1, 0)).is_err());
    put(records, &batch("door", 1, 2), 5).unwrap();
    let kept: Vec<_> = records.batches(&sensor("door")).iter().map(|batch| batch.key.sequence).collect();
    assert_eq!(kept, [1, 2]);
    let totals = records.sensors();
    let told: Vec<_> = totals.iter().map(|of| (of.batches, of.batches_removed, of.lines, of.batches_missing)).collect();
    assert_eq!(told, [(1, 1, 4, 0), (2, 1, 6, 0)], "what was removed has come");
}

fn knows_what_was_removed(records: &dyn SensorRecords) {
    put(records, &batch("camera", 1, 0), 1).unwrap();
    put(records, &batch("camera", 1, 1), 2).unwrap();
    assert_eq!(put(records, &batch("camera", 1, 0), 3).unwrap(), BatchStored::Known);
    assert_eq!(put(records, &batch("camera", 2, 0), 4).unwrap(), BatchStored::New { missing: 0, removed: 1 });
    assert_eq!(put(records, &batch("camera", 1, 1), 5).unwrap(), BatchStored::Known);
}

fn takes_batches_from_many_threads(records: &dyn SensorRecords) {
    const THREADS: u64 = 8;
    const BATCHES: u64 = 8;
    let new: u64 = std::thread::scope(|threads| {
        let putting: Vec<_> = (0..THREADS)
            .map(|thread| {
                threads.spawn(move || {
                    let name = if thread % 2 == 0 { "camera" } else { "door" };
                    let mine = (0..BATCHES).map(|sequence| put(records, &batch(name, 1, sequence), 1).unwrap());
                    mine.filter(|stored| *stored != BatchStored::Known).count() as u64
                })
            })
            .collect();
        putting.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(new, 2 * BATCHES, "each batch is new to one of those who bring it");
    assert!(records.sensors().iter().all(|totals| totals.batches == BATCHES && totals.batches_missing == 0));
}
