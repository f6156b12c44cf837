//! Metrics for monitoring: the server's vital signs in the text format of Prometheus.
//!
//! [`CATALOGUE`] has the names, which are an interface: `docs/metrics.md` lists the same, and the dashboard
//! `docs/grafana/komainu.json` asks for no others. Labels have values from closed sets only, so that the number of series
//! does not grow with the fleet or with attackers.

mod server;

use std::fmt::Write as _;

use komainu_model::Timestamp;
use komainu_ports::{Vitals, Warning};

pub(crate) use server::MetricsServer;

/// A metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Metric {
    name: &'static str,
    kind: Kind,
    help: &'static str,
}

/// How its values go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Up only, from zero at the start.
    Counter,
    /// Up and down.
    Gauge,
}

const fn counter(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, help }
}

const fn gauge(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, help }
}

/// All metrics, in the order in which they are written.
const CATALOGUE: &[Metric] = &[
    gauge("komainu_start_time_seconds", "When the server started, in seconds since 1970."),
    gauge("komainu_warning", "1 while this is something to look at (Admin, Health)."),
    gauge("komainu_gateway_connections", "MQTT connections now."),
    counter("komainu_gateway_connections_total", "MQTT connections since the start."),
    counter("komainu_gateway_refused_total", "Connections since the start that were not let in, by reason."),
    gauge("komainu_violations_active", "Violations that go on, suppressed ones among them."),
    gauge("komainu_outbox_waiting", "Messages that wait to be delivered."),
    gauge("komainu_outbox_oldest_seconds", "How long the one has waited that has waited longest."),
    gauge("komainu_outbox_dead", "Messages of the last 14 days that were given up."),
    counter("komainu_deliveries_total", "Attempts to deliver a message since the start, by outcome."),
    gauge("komainu_lake_rows", "Rows in a table of the lake."),
    gauge("komainu_lake_rows_hot", "Rows of it that are in no file yet."),
    gauge("komainu_lake_bytes", "Bytes of its files."),
    gauge("komainu_lake_parts", "Its files."),
    gauge("komainu_lake_kept_time_seconds", "When the lake's files were kept in order last, in seconds since 1970."),
    gauge("komainu_samples", "Samples of the laboratory, by state."),
    gauge("komainu_indicators_active", "Indicators that devices are judged by."),
    gauge("komainu_sensors", "Sensors that were ever heard of, by state."),
    gauge("komainu_disk_free_bytes", "What may still be written to the disk of the data folder."),
    gauge("komainu_disk_bytes", "The size of that disk."),
    counter("komainu_output_lines_total", "Lines for other systems since the start, by outcome."),
    gauge("komainu_output_waiting", "Lines for other systems that wait."),
    counter("process_cpu_seconds_total", "Processor time of the server."),
    gauge("process_resident_memory_bytes", "Memory of the server."),
    gauge("process_open_fds", "Open files of the server."),
    gauge("process_max_fds", "How many files it may open."),
];

/// One value: the metric's name, its label if it has one, the number.
struct Sample {
    name: &'static str,
    label: Option<(&'static str, &'static str)>,
    value: f64,
}

/// All metrics as text (<https://prometheus.io/docs/instrumenting/exposition_formats/>, version 0.0.4). What is not known is
/// left out.
fn text(vitals: &Vitals, now: Timestamp) -> String {
    let samples = samples(vitals, now);
    let mut text = String::new();
    for Metric { name, kind, help } in CATALOGUE {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for Sample { label, value, .. } in samples.iter().filter(|sample| sample.name == *name) {
            let _ = match label {
                Some((label, word)) => writeln!(text, "{name}{{{label}=\"{word}\"}} {value}"),
                None => writeln!(text, "{name} {value}"),
            };
        }
    }
    text
}

/// The values, in the order of the catalogue.
fn samples(vitals: &Vitals, now: Timestamp) -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut labelled = |name, label, value| samples.push(Sample { name, label, value });
    let mut one = |name, value: u64| labelled(name, None, number(value));
    if let Some(started_at) = vitals.started_at {
        one("komainu_start_time_seconds", seconds(started_at));
    }
    let gateway = vitals.gateway;
    one("komainu_gateway_connections", gateway.connections);
    one("komainu_gateway_connections_total", gateway.connections_total);
    if let Some(store) = vitals.store {
        one("komainu_violations_active", store.violations_active);
        one("komainu_outbox_waiting", store.deliveries_waiting);
        let waits = store.deliveries_waiting_since.map_or(0, |since| now.since(since).as_secs());
        one("komainu_outbox_oldest_seconds", waits);
        one("komainu_outbox_dead", store.deliveries_dead);
    }
    if let Some(kept_at) = vitals.lake_keeper.kept_at {
        one("komainu_lake_kept_time_seconds", seconds(kept_at));
    }
    one("komainu_indicators_active", vitals.indicators_active);
    if let Some(disk) = vitals.disk {
        one("komainu_disk_free_bytes", disk.free_bytes);
        one("komainu_disk_bytes", disk.bytes);
    }
    if let Some(process) = vitals.process {
        one("process_resident_memory_bytes", process.memory_bytes);
        one("process_open_fds", process.open_files);
        one("process_max_fds", process.open_files_max);
        labelled("process_cpu_seconds_total", None, process.cpu.as_secs_f64());
    }
    let warnings = vitals.warnings(now);
    for warning in Warning::ALL {
        let value = u64::from(warnings.contains(&warning));
        labelled("komainu_warning", Some(("warning", warning.as_str())), number(value));
    }
    let deliveries = vitals.deliveries;
    let mut split = |name, label, values: &[(&'static str, u64)]| {
        for (word, value) in values {
            labelled(name, Some((label, *word)), number(*value));
        }
    };
    split(
        "komainu_gateway_refused_total",
        "reason",
        &[("limit", gateway.turned_away), ("handshake", gateway.handshakes_failed)],
    );
    split(
        "komainu_deliveries_total",
        "outcome",
        &[("done", deliveries.done), ("retried", deliveries.retried), ("dead", deliveries.dead)],
    );
    for state in vitals.lake.iter().flatten() {
        let table = komainu_ports::KeptWhat::Lake(state.table).as_str();
        split("komainu_lake_rows", "table", &[(table, state.rows)]);
        split("komainu_lake_rows_hot", "table", &[(table, state.hot_rows)]);
        split("komainu_lake_bytes", "table", &[(table, state.bytes)]);
        split("komainu_lake_parts", "table", &[(table, state.parts)]);
    }
    if let Some(counts) = vitals.samples {
        let states = [
            ("waiting", counts.waiting),
            ("working", counts.working),
            ("done", counts.done),
            ("failed", counts.failed),
        ];
        split("komainu_samples", "state", &states);
    }
    let sensors = [("online", vitals.sensors_online), ("silent", vitals.sensors_silent_count)];
    split("komainu_sensors", "state", &sensors);
    if let Some(output) = vitals.output {
        split("komainu_output_lines_total", "outcome", &[("written", output.written), ("dropped", output.dropped)]);
        labelled("komainu_output_waiting", None, number(output.waiting));
    }
    samples
}

fn seconds(at: Timestamp) -> u64 {
    u64::try_from(at.unix_seconds()).unwrap_or(0)
}

/// Numbers of Prometheus are 64-bit floating point: exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "the format has no other numbers")]
const fn number(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use komainu_ports::{
        DiskVitals, KeeperVitals, LakeTable, LakeTableState, OutputVitals, ProcessVitals, SampleCounts, StoreCounts,
    };

    use super::*;

    fn full() -> Vitals {
        let at = Timestamp::from_unix_seconds(1_000);
        let state = LakeTableState { table: LakeTable::Attacks, rows: 5, hot_rows: 2, parts: 1, bytes: 9, times: None };
        Vitals {
            started_at: Some(at),
            store: Some(StoreCounts { deliveries_waiting_since: Some(at), ..StoreCounts::default() }),
            lake: Some(vec![state]),
            lake_keeper: KeeperVitals { kept_at: Some(at), failed: None },
            samples: Some(SampleCounts { waiting: 1, working: 2, done: 3, failed: 4 }),
            disk: Some(DiskVitals { free_bytes: 1, bytes: 2 }),
            process: Some(ProcessVitals { cpu: Duration::from_millis(1500), ..ProcessVitals::default() }),
            output: Some(OutputVitals::default()),
            ..Vitals::default()
        }
    }

    #[test]
    fn the_catalogue_has_what_is_written_and_all_of_it_is_written() {
        let written: BTreeSet<_> =
            samples(&full(), Timestamp::from_unix_seconds(2_000)).iter().map(|sample| sample.name).collect();
        assert_eq!(written, CATALOGUE.iter().map(|metric| metric.name).collect());
        for Metric { name, kind, .. } in CATALOGUE {
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
        }
    }

    #[test]
    fn values_are_written_as_prometheus_reads_them() {
        let text = text(&full(), Timestamp::from_unix_seconds(2_000));
        for line in [
            "# TYPE komainu_deliveries_total counter",
            "komainu_outbox_oldest_seconds 1000",
            "komainu_lake_rows{table=\"attacks\"} 5",
            "komainu_samples{state=\"failed\"} 4",
            "komainu_warning{warning=\"disk-full\"} 1",
            "process_cpu_seconds_total 1.5",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn the_documentation_has_the_catalogue() {
        let documented: Vec<_> = include_str!("../../../docs/metrics.md")
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
            .collect();
        assert_eq!(documented, CATALOGUE.iter().map(|metric| metric.name).collect::<Vec<_>>());
    }

    #[test]
    fn the_dashboard_asks_for_what_there_is() {
        let dashboard: serde_json::Value =
            serde_json::from_str(include_str!("../../../docs/grafana/komainu.json")).unwrap();
        let panels = dashboard["panels"].as_array().unwrap();
        let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
        let queries: Vec<_> = targets.map(|target| target["expr"].as_str().unwrap()).collect();
        assert!(queries.len() >= panels.len(), "a panel asks for nothing");
        let known: BTreeSet<_> = CATALOGUE.iter().map(|metric| metric.name).collect();
        for query in queries {
            let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let names: Vec<_> =
                words.filter(|word| word.starts_with("komainu_") || word.starts_with("process_")).collect();
            assert!(!names.is_empty(), "{query}");
            for name in names {
                assert!(known.contains(name), "{query}: {name} is no metric");
            }
        }
    }
}
