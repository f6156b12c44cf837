//! The worker that takes to the lake what devices reported and what was measured of them.
//!
//! The store keeps it until it is there. What is taken together has the name of its last batch: when the server ended between
//! the lake's commit and the store's, the lake knows the name, and nothing is there twice.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use komainu_model::{Contact, Datapoint, MetricValue, RemoteHost, Scope};
use komainu_ports::{FedBatch, Lake, LakeError, LakeFeed, LakeRows, LakeRowsBuilder, LakeTable, LakeValue, Reported};
use tokio::sync::watch;

use crate::pipeline::{PipelinePorts, stopped};

/// What waits is looked for so often: what is asked of the lake may be as old.
const TICK: Duration = Duration::from_secs(1);
/// After a failure, it is tried again after so long.
const PAUSE: Duration = Duration::from_secs(30);

pub(crate) struct LakeWorker {
    feed: Arc<dyn LakeFeed>,
    lake: Arc<dyn Lake>,
    /// How much was lost before now; none before that is known.
    lost: Option<u64>,
}

/// Why nothing could be taken to the lake.
type Failure = Box<dyn Error + Send + Sync>;

impl LakeWorker {
    pub(crate) fn new(ports: &PipelinePorts) -> Self {
        Self { feed: ports.lake_feed.clone(), lake: ports.lake.clone(), lost: None }
    }

    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            let pause = match self.take_some().await {
                Ok(true) => Duration::ZERO,
                Ok(false) => TICK,
                Err(error) => {
                    let cause = error.source().map(tracing::field::display);
                    tracing::error!(event = "pipeline.lake_not_fed", %error, cause, "reports wait for the lake");
                    PAUSE
                }
            };
            tokio::select! {
                biased;
                () = stopped(&mut stop) => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Takes the oldest that waits; says whether there was anything.
    async fn take_some(&mut self) -> Result<bool, Failure> {
        let (feed, lake) = (self.feed.clone(), self.lake.clone());
        let (taken, lost) = tokio::task::spawn_blocking(move || take_some(&*feed, &*lake)).await??;
        if let Some(before) = self.lost.replace(lost)
            && lost > before
        {
            let (event, values) = ("pipeline.lake_values_lost", lost - before);
            tracing::warn!(event, values, "too much waited for the lake, the oldest is lost to it");
        }
        Ok(taken)
    }
}

/// Takes the oldest that waits; says whether there was anything, and how much was ever lost.
fn take_some(feed: &dyn LakeFeed, lake: &dyn Lake) -> Result<(bool, u64), Failure> {
    let lost = feed.lost()?;
    let waiting = feed.waiting()?;
    let Some(last) = waiting.last() else { return Ok((false, lost)) };
    // Up to the last name that the lake knows, all of them are there.
    if let Some(known) = waiting.iter().rev().find(|batch| lake.holds(&batch.name)) {
        feed.taken(known.name.sequence)?;
        return Ok((true, lost));
    }
    match lake.append(&last.name, &rows(&waiting)) {
        Ok(_) => {}
        // It would not be taken another time, either, and what comes behind it is worth more.
        Err(error @ LakeError::Invalid { .. }) => {
            let values: usize = waiting.iter().map(|batch| batch.reported.len()).sum();
            tracing::error!(event = "pipeline.lake_values_lost", values, %error, "the lake refuses reports");
        }
        Err(error) => return Err(error.into()),
    }
    feed.taken(last.name.sequence)?;
    Ok((true, lost))
}

fn rows(batches: &[FedBatch]) -> [LakeRows; 2] {
    let mut datapoints = LakeRowsBuilder::new(LakeTable::Datapoints);
    let mut connections = LakeRowsBuilder::new(LakeTable::Connections);
    for (scope, reported) in batches.iter().flat_map(|batch| &batch.reported) {
        match reported {
            Reported::Value(datapoint) => add_datapoint(&mut datapoints, scope, datapoint),
            Reported::Contact(contact) => add_connection(&mut connections, scope, contact),
        }
    }
    [datapoints.finish(), connections.finish()]
}

/// A row for each number, and for each thing in a list. A port is its own number; what is no number counts one.
fn add_datapoint(rows: &mut LakeRowsBuilder, scope: &Scope, datapoint: &Datapoint) {
    let Datapoint { reporter, metric, value, at } = datapoint;
    let mut row = [
        LakeValue::Time(*at),
        LakeValue::text(reporter.as_str()),
        LakeValue::text(metric.as_str()),
        LakeValue::text(""),
        LakeValue::Float(0.0),
        LakeValue::text(scope.account.as_str()),
        LakeValue::text(scope.region.as_str()),
    ];
    let mut add = |item: &str, number: f64| {
        (row[3], row[4]) = (LakeValue::text(item), LakeValue::Float(number));
        rows.push(&row);
    };
    match value {
        MetricValue::Count(count) => add("", *count as f64),
        MetricValue::Number(number) => add("", *number),
        MetricValue::Numbers(numbers) => numbers.iter().for_each(|number| add("", *number)),
        MetricValue::Ports(ports) => ports.iter().for_each(|port| add(&port.to_string(), f64::from(*port))),
        MetricValue::Addresses(addresses) => addresses.iter().for_each(|address| add(&address.to_string(), 1.0)),
        MetricValue::Strings(words) => words.iter().for_each(|word| add(word, 1.0)),
        MetricValue::Matches(found) => found.iter().for_each(|found| add(&found.remote.to_string(), 1.0)),
    }
}

fn add_connection(rows: &mut LakeRowsBuilder, scope: &Scope, contact: &Contact) {
    let host = match &contact.remote.host {
        RemoteHost::Address(address) => LakeValue::text(&address.to_string()),
        RemoteHost::Name(name) => LakeValue::text(name.as_str()),
    };
    rows.push(&[
        LakeValue::Time(contact.last_at),
        LakeValue::text(contact.reporter.as_str()),
        host,
        LakeValue::Number(contact.remote.port.unwrap_or(0).into()),
        LakeValue::text(scope.account.as_str()),
        LakeValue::text(scope.region.as_str()),
    ]);
}

#[cfg(test)]
mod tests {
    use komainu_model::{AccountId, Metric, Region, Remote, ReporterName, Timestamp};
    use komainu_ports::LakeBatchName;

    use super::*;

    #[test]
    fn a_value_is_a_row_for_each_thing_in_it() {
        let scope =
            Scope { account: AccountId::parse("123456789012").unwrap(), region: Region::parse("eu-west-1").unwrap() };
        let (reporter, at) = (ReporterName::parse("camera").unwrap(), Timestamp::from_unix_millis(5));
        let shown = |reported: Reported| {
            let name = LakeBatchName { stream: "s".to_owned(), sequence: 1 };
            let rows = rows(&[FedBatch { name, reported: vec![(scope.clone(), reported)] }]);
            let show = |rows: &LakeRows| {
                let columns = rows.table().columns().len();
                let row = |row| (0..columns).map(|column| rows.value(row, column).to_string()).collect::<Vec<_>>();
                (0..rows.len()).map(|number| row(number).join("|")).collect::<Vec<_>>()
            };
            rows.iter().flat_map(show).collect::<Vec<String>>()
        };
        let check = |metric: &str, value: MetricValue, expected: &[&str]| {
            let metric = Metric::parse(metric).unwrap();
            let rows = shown(Reported::Value(Datapoint { reporter: reporter.clone(), metric, value, at }));
            assert_eq!(rows, expected);
        };
        check("aws:all-bytes-in", MetricValue::Count(7), &["5|camera|aws:all-bytes-in||7|123456789012|eu-west-1"]);
        check("t", MetricValue::Number(-0.5), &["5|camera|t||-0.5|123456789012|eu-west-1"]);
        check(
            "t",
            MetricValue::Numbers(vec![1.0, 2.5]),
            &["5|camera|t||1|123456789012|eu-west-1", "5|camera|t||2.5|123456789012|eu-west-1"],
        );
        check(
            "aws:listening-tcp-ports",
            MetricValue::Ports(vec![22, 80]),
            &[
                "5|camera|aws:listening-tcp-ports|22|22|123456789012|eu-west-1",
                "5|camera|aws:listening-tcp-ports|80|80|123456789012|eu-west-1",
            ],
        );
        check(
            "aws:source-ip-address",
            MetricValue::Addresses(vec!["2001:db8::1".parse().unwrap()]),
            &["5|camera|aws:source-ip-address|2001:db8::1|1|123456789012|eu-west-1"],
        );
        check("w", MetricValue::Strings(Vec::new()), &[]);
        let contact = |remote: &str| {
            let remote = Remote::parse(remote).unwrap();
            shown(Reported::Contact(Contact {
                reporter: reporter.clone(),
                remote,
                first_at: at,
                last_at: at,
                count: 1,
            }))
        };
        assert_eq!(contact("192.0.2.1:443"), ["5|camera|192.0.2.1|443|123456789012|eu-west-1"]);
        assert_eq!(contact("c2.example.net"), ["5|camera|c2.example.net|0|123456789012|eu-west-1"]);
    }
}
