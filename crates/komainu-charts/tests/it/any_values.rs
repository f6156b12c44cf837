//! Properties: whatever the values and texts are, what is drawn is well-formed, finite and inside of its box.

use komainu_charts::{
    Annotation, Band, BarList, BarRow, Country, HeatMap, HeatRow, Language, Line, Lines, Link, MapArc, MapSensor, Peak,
    Place, Series, Severity, Share, ShareBar, Stacked, Threshold, TimeRange, WorldMap, bar_list, heat_map, lines,
    share_bar, sparkline, stacked_area, stacked_bars, world_map,
};
use proptest::collection::vec;
use proptest::num::f64::ANY;
use proptest::option;
use proptest::prelude::*;

use crate::drawing::check;

fn count() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(1), Just(u64::MAX), 0..1000u64, any::<u64>()]
}

/// Times around the range that is shown, and any.
fn time() -> impl Strategy<Value = i64> {
    prop_oneof![any::<i64>(), 0..4_000_000_000_000i64, 1_794_000_000_000..1_795_000_000_000i64]
}

fn range() -> impl Strategy<Value = TimeRange> {
    (time(), time()).prop_map(|(from_ms, to_ms)| TimeRange::new(from_ms, to_ms))
}

/// Any text, and such as attackers send.
fn label() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        Just("\"'><script>alert(1)</script>&amp;]]>".to_owned()),
        Just("\u{202e}\u{0}\u{1b}[2J\u{feff}\u{fffe}\r\n".to_owned()),
        Just("z\u{300}".repeat(3) + &"\u{301}".repeat(50)),
    ]
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![ANY, -1000.0..1000.0f64, Just(0.0), Just(f64::MAX), Just(f64::MIN)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn stacks(
        range in range(),
        series in vec((label(), vec(option::of(count()), 0..300)), 0..12),
        notes in vec((time(), label()), 0..30),
        title in label(),
    ) {
        let series: Vec<Series<'_>> = series
            .iter()
            .map(|(label, counts)| {
                let link = Link::new("/x").map(|link| link.with_filter("a", label));
                Series { label, counts, link }
            })
            .collect();
        let annotations: Vec<Annotation<'_>> =
            notes.iter().map(|(at_ms, label)| Annotation { at_ms: *at_ms, label, link: None }).collect();
        let peaks: Vec<Peak<'_>> =
            notes.iter().map(|(at_ms, label)| Peak { at_ms: *at_ms, label, link: Link::new("/p") }).collect();
        let slice_link = |range: TimeRange| Link::new(&format!("?from={}", range.from_ms()));
        let chart = Stacked {
            title: &title,
            language: Language::English,
            range,
            series: &series,
            annotations: &annotations,
            peaks: &peaks,
            slice_link: Some(&slice_link),
        };
        let area = stacked_area(&chart).0;
        check("area", &area);
        prop_assert_eq!(area, stacked_area(&chart).0);
        check("bars", &stacked_bars(&chart).0);
        if let Some(series) = series.first() {
            check("sparkline", &sparkline(&title, series.counts).0);
        }
    }

    #[test]
    fn measured_values(
        range in range(),
        points in vec((label(), vec((time(), value()), 0..600)), 0..10),
        band in vec((time(), value(), value()), 0..600),
        thresholds in vec((label(), value()), 0..8),
        gap_ms in any::<i64>(),
        unit in label(),
    ) {
        let drawn: Vec<Line<'_>> = points.iter().map(|(label, points)| Line { label, points, link: None }).collect();
        let thresholds: Vec<Threshold<'_>> = thresholds
            .iter()
            .map(|(label, value)| Threshold { label, value: *value, severity: Severity::Alarm })
            .collect();
        check("lines", &lines(&Lines {
            title: "t",
            language: Language::Japanese,
            range,
            unit: &unit,
            lines: &drawn,
            band: Some(Band { label: &unit, points: &band }),
            thresholds: &thresholds,
            annotations: &[],
            gap_ms,
            slice_link: None,
        }).0);
    }

    #[test]
    fn lists_shares_and_heat(rows in vec((label(), count()), 0..130), title in label()) {
        let language = Language::English;
        let bars: Vec<BarRow<'_>> =
            rows.iter().map(|(label, count)| BarRow { label, count: *count, link: Link::new("/x") }).collect();
        check("list", &bar_list(&BarList { title: &title, language, rows: &bars }).0);
        let parts: Vec<Share<'_>> =
            rows.iter().map(|(label, count)| Share { label, count: *count, link: Link::new("/x") }).collect();
        check("shares", &share_bar(&ShareBar { title: &title, language, parts: &parts }).0);
        let columns: Vec<&str> = rows.iter().map(|(label, _)| label.as_str()).collect();
        let counts: Vec<u64> = rows.iter().map(|(_, count)| *count).collect();
        let lines: Vec<HeatRow<'_>> = columns.iter().take(3).map(|label| HeatRow { label, counts: &counts }).collect();
        let map = HeatMap { title: &title, language, columns: &columns, rows: &lines, cell_link: None };
        check("heat", &heat_map(&map).0);
    }
}

proptest! {
    // The map is 20 KB each time.
    #![proptest_config(ProptestConfig { cases: 30, ..ProptestConfig::default() })]

    #[test]
    fn maps(
        counts in vec((0..250usize, count()), 0..300),
        places in vec((label(), value(), value()), 0..30),
    ) {
        let all: Vec<Country> = Country::all().collect();
        let countries: Vec<(Country, u64)> = counts.iter().map(|(index, count)| (all[*index], *count)).collect();
        let sensors: Vec<MapSensor<'_>> = places
            .iter()
            .map(|(label, x, y)| MapSensor { label, longitude_degrees: *x, latitude_degrees: *y, link: None })
            .collect();
        let arcs: Vec<MapArc<'_>> = places
            .iter()
            .zip(&countries)
            .map(|((label, x, y), (country, _))| MapArc {
                label,
                from: Place::Country(*country),
                to: Place::Point { longitude_degrees: *x, latitude_degrees: *y },
                series: 3,
            })
            .collect();
        check("map", &world_map(&WorldMap {
            title: "t",
            language: Language::English,
            countries: &countries,
            country_link: None,
            sensors: &sensors,
            arcs: &arcs,
        }).0);
    }
}
