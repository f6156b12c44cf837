//! What devices reported comes into the lake, exactly once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use komainu_ports::{
    FedBatch, Lake, LakeAnswer, LakeAppended, LakeBatchName, LakeError, LakeFeed, LakeListing, LakeQuestion, LakeRows,
    LakeTable, LakeTableState, MemoryLake, MemoryStore, ReportEncoding, StoreError, TimeRange,
};

use crate::house::{House, pass};

/// How many rows a table has.
fn rows(lake: &dyn Lake, table: LakeTable) -> u64 {
    let (range, filters, group_by) = (TimeRange::ALL, Vec::new(), Vec::new());
    lake.count(&LakeQuestion { table, range, filters, bucket: None, group_by, distinct: None, top: None }).unwrap().rows
}

const BEHAVIOR: &str = "Bytes aws:all-bytes-out 1000 300";

async fn report(house: &House, number: u64) {
    let connections = r#""tcp_connections":{"established_connections":{"connections":[{"remote_addr":"203.0.113.7:443"},{"remote_addr":"203.0.113.8:80"}],"total":2}}"#;
    let report = format!(
        r#"{{"header":{{"report_id":{number},"version":"1.0"}},"metrics":{{"network_stats":{{"bytes_out":{number}}},{connections}}}}}"#
    );
    house.send("MyDevice", ReportEncoding::Json, report.as_bytes()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn reports_come_into_the_lake() {
    let house = House::new(&[BEHAVIOR]).await;
    for number in 1..=5 {
        report(&house, number).await;
        pass(1.0).await;
    }
    pass(2.0).await;
    assert_eq!(rows(&*house.ports.lake, LakeTable::Datapoints), 5);
    assert_eq!(rows(&*house.ports.lake, LakeTable::Connections), 10);
    assert_eq!(house.store.waiting().unwrap(), [], "and wait no longer");
    house.pipeline.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_or_doubled_by_failures() {
    let mut house = House::new(&[BEHAVIOR]).await;
    house.pipeline.shutdown().await;
    let lake = Arc::new(Brittle::<MemoryLake>::default());
    let feed = Arc::new(Brittle { works: house.store.clone(), is_broken: AtomicBool::new(false) });
    (house.ports.lake, house.ports.lake_feed) = (lake.clone(), feed.clone());
    house.restart().await;
    lake.set_broken(true);
    report(&house, 1).await;
    pass(5.0).await;
    report(&house, 2).await;
    pass(40.0).await;
    assert_eq!(rows(&lake.works, LakeTable::Datapoints), 0);
    // The lake takes them, and the store cannot be told.
    lake.set_broken(false);
    feed.set_broken(true);
    pass(40.0).await;
    assert_eq!(rows(&lake.works, LakeTable::Datapoints), 2);
    assert!(!house.store.waiting().unwrap().is_empty());
    // More comes behind them, and the server starts again.
    report(&house, 3).await;
    house.pipeline.shutdown().await;
    feed.set_broken(false);
    house.restart().await;
    report(&house, 4).await;
    pass(5.0).await;
    assert_eq!(rows(&lake.works, LakeTable::Datapoints), 4);
    assert_eq!(rows(&lake.works, LakeTable::Connections), 8);
    assert_eq!(house.store.waiting().unwrap(), []);
    house.pipeline.shutdown().await;
}

/// Something that can be out of order.
#[derive(Default)]
struct Brittle<T> {
    works: T,
    is_broken: AtomicBool,
}

impl<T> Brittle<T> {
    fn set_broken(&self, is_broken: bool) {
        self.is_broken.store(is_broken, Ordering::Relaxed);
    }
}

impl LakeFeed for Brittle<Arc<MemoryStore>> {
    fn waiting(&self) -> Result<Vec<FedBatch>, StoreError> {
        self.works.waiting()
    }

    fn taken(&self, up_to: u64) -> Result<(), StoreError> {
        if self.is_broken.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable { doing: "writing", source: "the disk is gone".into() });
        }
        self.works.taken(up_to)
    }

    fn lost(&self) -> Result<u64, StoreError> {
        self.works.lost()
    }
}

impl Lake for Brittle<MemoryLake> {
    fn append(&self, name: &LakeBatchName, rows: &[LakeRows]) -> Result<LakeAppended, LakeError> {
        if self.is_broken.load(Ordering::Relaxed) {
            return Err(LakeError::Unavailable { doing: "writing", source: "the disk is gone".into() });
        }
        self.works.append(name, rows)
    }

    fn holds(&self, name: &LakeBatchName) -> bool {
        self.works.holds(name)
    }

    fn count(&self, question: &LakeQuestion) -> Result<LakeAnswer, LakeError> {
        self.works.count(question)
    }

    fn list(&self, listing: &LakeListing) -> Result<LakeRows, LakeError> {
        self.works.list(listing)
    }

    fn visit(
        &self,
        listing: &LakeListing,
        visit: &mut dyn FnMut(LakeRows) -> std::ops::ControlFlow<()>,
    ) -> Result<(), LakeError> {
        self.works.visit(listing, visit)
    }

    fn state(&self) -> Result<Vec<LakeTableState>, LakeError> {
        self.works.state()
    }

    fn retain(&self, before: komainu_model::Timestamp) -> Result<u64, LakeError> {
        self.works.retain(before)
    }
}
