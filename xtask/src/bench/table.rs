//! The table of ratios.

use std::fmt::Write as _;
use std::fs;

use super::measure::Measured;

/// How a metric is compared.
#[derive(Debug, Clone, Copy)]
enum Compared {
    /// Komainu's value over mosquitto's; larger is better.
    RatioAtLeast { floor: f64, aim: f64 },
    /// Komainu's value over mosquitto's; smaller is better.
    RatioAtMost { floor: f64, aim: f64 },
    /// Komainu's own value; smaller is better.
    AtMost { floor: f64, aim: f64 },
    /// Shown, not judged.
    Shown,
}

/// The metrics in the order of the table, with the bounds that the project has set itself.
const ROWS: &[(&str, Compared)] = &[
    ("fan-in delivered/s", Compared::RatioAtLeast { floor: 1.5, aim: 3.0 }),
    ("fan-in CPU us/message", Compared::RatioAtMost { floor: 0.7, aim: 0.35 }),
    ("fan-in p50 ms", Compared::Shown),
    ("fan-in p99 ms", Compared::Shown),
    ("fan-in lost", Compared::AtMost { floor: 0.0, aim: 0.0 }),
    ("half load delivered/s", Compared::Shown),
    ("half load p50 ms", Compared::Shown),
    ("half load p99 ms", Compared::RatioAtMost { floor: 1.5, aim: 1.0 }),
    ("P-256 connections/s", Compared::RatioAtLeast { floor: 2.0, aim: 3.5 }),
    ("P-256 CPU ms/connection", Compared::Shown),
    ("RSA-2048 connections/s", Compared::RatioAtLeast { floor: 1.3, aim: 2.0 }),
    ("RSA-2048 CPU ms/connection", Compared::Shown),
    ("idle connections", Compared::Shown),
    ("idle kB/connection", Compared::RatioAtMost { floor: 1.3, aim: 0.8 }),
    ("slowdown with 10k wildcards", Compared::AtMost { floor: 1.3, aim: 1.1 }),
    ("lost of 50 by kill -9", Compared::AtMost { floor: 0.0, aim: 0.0 }),
    ("lost of 8,000 by kill -9", Compared::AtMost { floor: 0.0, aim: 0.0 }),
    ("offline acknowledged/s", Compared::RatioAtLeast { floor: 0.0, aim: 0.5 }),
    ("connection p99 ms", Compared::Shown),
    ("connection p99 ms, 1,000 silent peers", Compared::Shown),
    ("round trip p99 ms", Compared::Shown),
    ("round trip p99 ms, one device floods", Compared::Shown),
    ("round trip p99 ms, one device sends 30,000/s", Compared::Shown),
];

/// The table, in Markdown.
pub(crate) fn report(measured: &Measured) -> String {
    let mut text = String::new();
    let (mosquitto, komainu) = (&measured.brokers[0], &measured.brokers[1]);
    let _ = writeln!(
        text,
        "{} rounds of {} s, medians; {}; load average at the end {}\n\n\
         | metric | {mosquitto} | {komainu} | compared | floor | aim | |\n|---|---|---|---|---|---|---|",
        measured.rounds,
        measured.seconds,
        machine(),
        load_average(),
    );
    for (metric, compared) in ROWS {
        if let (Some(theirs), Some(ours)) = (measured.median(metric, 0), measured.median(metric, 1)) {
            let _ = writeln!(text, "{}", row(metric, *compared, theirs, ours));
        }
    }
    for (name, alone, among, floor, aim) in [
        ("silent peers", "connection p99 ms", "connection p99 ms, 1,000 silent peers", 2.0, 1.2),
        ("one device floods", "round trip p99 ms", "round trip p99 ms, one device floods", 3.0, 1.5),
        ("one device sends 30,000/s", "round trip p99 ms", "round trip p99 ms, one device sends 30,000/s", 3.0, 1.5),
    ] {
        let factor = |broker| Some(measured.median(among, broker)? / measured.median(alone, broker)?);
        if let (Some(theirs), Some(ours)) = (factor(0), factor(1)) {
            let metric = format!("{name}: factor on p99");
            let _ = writeln!(text, "{}", row(&metric, Compared::AtMost { floor, aim }, theirs, ours));
        }
    }
    text
}

fn row(metric: &str, compared: Compared, theirs: f64, ours: f64) -> String {
    let ratio = ours / theirs;
    let (shown, floor, aim, verdict) = match compared {
        Compared::RatioAtLeast { floor, aim } => (
            format!("{ratio:.2} x"),
            format!(">= {floor} x"),
            format!(">= {aim} x"),
            verdict(ratio >= floor, ratio >= aim),
        ),
        Compared::RatioAtMost { floor, aim } => (
            format!("{ratio:.2} x"),
            format!("<= {floor} x"),
            format!("<= {aim} x"),
            verdict(ratio <= floor, ratio <= aim),
        ),
        Compared::AtMost { floor, aim } => {
            (shown(ours), format!("<= {floor}"), format!("<= {aim}"), verdict(ours <= floor, ours <= aim))
        }
        Compared::Shown if theirs > 0.0 => (format!("{ratio:.2} x"), String::new(), String::new(), ""),
        Compared::Shown => (String::new(), String::new(), String::new(), ""),
    };
    format!("| {metric} | {} | {} | {shown} | {floor} | {aim} | {verdict} |", self::shown(theirs), self::shown(ours))
}

fn verdict(floor: bool, aim: bool) -> &'static str {
    match (floor, aim) {
        (_, true) => "aim reached",
        (true, false) => "floor reached",
        (false, false) => "missed",
    }
}

/// Three digits or more, and no more after the point than they say.
fn shown(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cores = info.lines().filter(|line| line.starts_with("processor")).count();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    format!("{cores} cores ({})", model.trim_start_matches(['\t', ' ', ':']))
}

fn load_average() -> String {
    fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').take(1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_say_what_was_reached() {
        let check = |compared, theirs, ours, expected: &str| assert_eq!(row("m", compared, theirs, ours), expected);
        let at_least = Compared::RatioAtLeast { floor: 1.5, aim: 3.0 };
        check(at_least, 100.0, 310.0, "| m | 100 | 310 | 3.10 x | >= 1.5 x | >= 3 x | aim reached |");
        check(at_least, 100.0, 200.0, "| m | 100 | 200 | 2.00 x | >= 1.5 x | >= 3 x | floor reached |");
        check(at_least, 100.0, 100.0, "| m | 100 | 100 | 1.00 x | >= 1.5 x | >= 3 x | missed |");
        let none = Compared::AtMost { floor: 0.0, aim: 0.0 };
        check(none, 50.0, 0.0, "| m | 50.0 | 0 | 0 | <= 0 | <= 0 | aim reached |");
    }
}
