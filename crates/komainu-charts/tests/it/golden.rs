//! What charts of chosen values look like, to the byte. `KOMAINU_UPDATE_GOLDEN=1` writes the files anew; how they look
//! in a browser shows the example `gallery`.

use std::path::Path;

use komainu_charts::{
    Annotation, Band, BarList, BarRow, HeatMap, HeatRow, Language, Line, Lines, Link, Peak, Series, Severity, Share,
    ShareBar, Stacked, Threshold, TimeRange, bar_list, heat_map, hours_of_week, lines, share_bar, sparkline,
    stacked_area, stacked_bars,
};
use maud::Markup;

use crate::drawing;

/// The 9th of November 2026.
const FROM_MS: i64 = 1_794_182_400_000;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Compares with `golden/NAME.html`.
fn check(name: &str, markup: &Markup) {
    drawing::check(name, &markup.0);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden").join(format!("{name}.html"));
    // One element to a line, so that a change is seen in review.
    let text = format!("{}\n", markup.0.replace("><", ">\n<"));
    if std::env::var_os("KOMAINU_UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{name}: KOMAINU_UPDATE_GOLDEN=1 writes what is drawn now");
}

fn days(count: i64) -> TimeRange {
    TimeRange::new(FROM_MS, FROM_MS + count * DAY_MS)
}

fn stacked<'a>(range: TimeRange, series: &'a [Series<'a>]) -> Stacked<'a> {
    Stacked {
        title: "Attacks",
        language: Language::English,
        range,
        series,
        annotations: &[],
        peaks: &[],
        slice_link: None,
    }
}

fn series<'a>(label: &'a str, counts: &'a [Option<u64>]) -> Series<'a> {
    Series { label, counts, link: None }
}

#[test]
fn stacks() {
    let telnet = [Some(120), Some(80), None, Some(300), Some(0)];
    let http = [Some(30), Some(45), None, Some(10), Some(0)];
    let mut both = [series("Telnet", &telnet), series("HTTP", &http)];
    check("stacked_area_with_a_gap", &stacked_area(&stacked(days(5), &both)));
    check("stacked_bars", &stacked_bars(&stacked(days(5), &both)));

    both[0].link = Link::new("/attacks").map(|link| link.with_filter("protocol", "telnet"));
    let slice_link = |range: TimeRange| Link::new(&format!("?from={}&to={}", range.from_ms(), range.to_ms()));
    let note = |hours: i64, label| Annotation { at_ms: FROM_MS + hours * HOUR_MS, label, link: None };
    let chart = Stacked {
        language: Language::Japanese,
        annotations: &[note(60, "CVE-2026-1 公開"), note(61, "CVE-2026-2 公開"), note(-1, "before")],
        peaks: &[Peak { at_ms: FROM_MS + 80 * HOUR_MS, label: "Telnet: 3 x", link: Link::new("/peaks/1") }],
        slice_link: Some(&slice_link),
        ..stacked(days(5), &both)
    };
    check("stacked_area_with_notes", &stacked_area(&chart));
}

#[test]
fn stacks_of_little() {
    check("stacked_nothing", &stacked_area(&stacked(days(1), &[])));
    check("stacked_all_unknown", &stacked_area(&stacked(days(1), &[series("a", &[None, None])])));
    check("stacked_zeros", &stacked_area(&stacked(days(2), &[series("a", &[Some(0), Some(0)])])));
    check("stacked_one", &stacked_area(&stacked(days(1), &[series("a", &[Some(7)])])));
    let most = [Some(u64::MAX), Some(1)];
    check("stacked_most", &stacked_bars(&stacked(days(2), &[series("a", &most), series("b", &most)])));
}

#[test]
fn stacks_of_many_series() {
    let counts = [Some(5), Some(6)];
    let names: Vec<String> = (0..11).map(|index| format!("series {index}")).collect();
    let many: Vec<Series<'_>> = names.iter().map(|name| series(name, &counts)).collect();
    check("stacked_other", &stacked_area(&stacked(days(2), &many)));
}

#[test]
fn measured_values() {
    let points: Vec<(i64, f64)> = (0..24)
        .filter(|hour| *hour != 9)
        .map(|hour| (FROM_MS + hour * HOUR_MS, 50.0 + (hour * hour % 17) as f64))
        .collect();
    let others: Vec<(i64, f64, f64)> = (0..24).map(|hour| (FROM_MS + hour * HOUR_MS, 30.0, 80.5)).collect();
    let chart = Lines {
        title: "Bytes out",
        language: Language::English,
        range: days(1),
        unit: "bytes",
        lines: &[Line { label: "camera-17", points: &points, link: None }],
        band: Some(Band { label: "its group", points: &others }),
        thresholds: &[
            Threshold { label: "alarm above 100", value: 100.0, severity: Severity::Alarm },
            Threshold { label: "clears below 95", value: 95.0, severity: Severity::Warning },
        ],
        annotations: &[],
        gap_ms: HOUR_MS,
        slice_link: None,
    };
    check("lines", &lines(&chart));
    check("lines_nothing", &lines(&Lines { lines: &[], band: None, thresholds: &[], ..chart }));
}

#[test]
fn lists() {
    let row = |label, count| BarRow { label, count, link: Link::new("/x").map(|link| link.with_filter("user", label)) };
    let rows = [row("root / <admin>", 31_204), row("a\u{202e}b\n", 12), row("", 0)];
    let list = BarList { title: "Credentials", language: Language::English, rows: &rows };
    check("bar_list", &bar_list(&list));
    check("bar_list_nothing", &bar_list(&BarList { rows: &[], ..list }));
}

#[test]
fn shares() {
    let part = |label, count| Share { label, count, link: None };
    let parts = [part("known", 7312), part("unknown", 2701), part("not asked", 0)];
    let chart = ShareBar { title: "Known elsewhere", language: Language::English, parts: &parts };
    check("share_bar", &share_bar(&chart));
    check("share_bar_nothing", &share_bar(&ShareBar { parts: &[], ..chart }));
}

#[test]
fn heat() {
    let rows = [HeatRow { label: "NVR", counts: &[1, 20, 300] }, HeatRow { label: "<b>", counts: &[0] }];
    let map = HeatMap {
        title: "Protocols",
        language: Language::English,
        columns: &["Telnet", "HTTP", "SIP"],
        rows: &rows,
        cell_link: None,
    };
    check("heat_map", &heat_map(&map));
    check("heat_map_nothing", &heat_map(&HeatMap { rows: &[], ..map }));
    let mut week = [[0; 24]; 7];
    week[6][23] = 5;
    check("hours_of_week", &hours_of_week("Attacks", Language::Japanese, &week, None));
}

#[test]
fn sparklines() {
    check("sparkline", &sparkline("Attacks", &[Some(1), Some(4), None, Some(2), None, Some(3), Some(3)]));
    check("sparkline_nothing", &sparkline("Attacks", &[]));
}
