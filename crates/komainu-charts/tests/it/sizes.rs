//! How large charts are at most: they are sent with every page.

use komainu_charts::{
    Country, HeatMap, HeatRow, Language, Line, Lines, Link, MapArc, MapSensor, Place, STYLE, Series, Stacked,
    TimeRange, WorldMap, heat_map, lines, stacked_area, stacked_bars, world_map,
};

use crate::drawing;

const DAY_MS: i64 = 86_400_000;

fn assert_below(what: &str, markup: &str, bytes_max: usize) {
    drawing::check(what, markup);
    assert!(markup.len() < bytes_max, "{what}: {} bytes", markup.len());
}

#[test]
fn two_years_in_eight_series() {
    let counts: Vec<Vec<Option<u64>>> = (0..8u64)
        .map(|kind| (0..730u64).map(|day| Some(1000 / (kind + 1) + (day * (kind + 7) * 2_654_435_761) % 997)).collect())
        .collect();
    let series: Vec<Series<'_>> =
        counts.iter().map(|counts| Series { label: "Protocol", counts, link: None }).collect();
    let chart = Stacked {
        title: "Attacks",
        language: Language::English,
        range: TimeRange::new(1_700_000_000_000, 1_700_000_000_000 + 730 * DAY_MS),
        series: &series,
        annotations: &[],
        peaks: &[],
        slice_link: None,
    };
    assert_below("areas", &stacked_area(&chart).0, 40_000);
    assert_below("bars", &stacked_bars(&chart).0, 48_000);
}

#[test]
fn a_line_of_a_hundred_thousand_points() {
    let points: Vec<(i64, f64)> = (0..100_000).map(|index| (index * 1000, (index * 7919 % 1013) as f64)).collect();
    let chart = Lines {
        title: "Bytes",
        language: Language::English,
        range: TimeRange::new(0, 100_000_000),
        unit: "",
        lines: &[Line { label: "a", points: &points, link: None }],
        band: None,
        thresholds: &[],
        annotations: &[],
        gap_ms: 1000,
        slice_link: None,
    };
    assert_below("line", &lines(&chart).0, 20_000);
}

#[test]
fn the_map_of_all_countries() {
    let countries: Vec<(Country, u64)> = Country::all().zip((1..).map(|number| number * number * 977)).collect();
    let country_link = |country: Country| {
        Some(
            Link::new(&format!("/attacks?since=14d&country={}", country.code()))?
                .with_filter("country", country.code()),
        )
    };
    let sensors: Vec<MapSensor<'_>> = (0..20)
        .map(|index| MapSensor {
            label: "Sensor",
            longitude_degrees: f64::from(index * 17 - 170),
            latitude_degrees: f64::from(index * 5 - 45),
            link: Link::new("/sensors/1"),
        })
        .collect();
    let arcs: Vec<MapArc<'_>> = Country::all()
        .take(30)
        .map(|country| MapArc {
            label: "Telnet",
            from: Place::Country(country),
            to: Place::Point { longitude_degrees: 139.7, latitude_degrees: 35.7 },
            series: 1,
        })
        .collect();
    let map = WorldMap {
        title: "Attacks by country",
        language: Language::Japanese,
        countries: &countries,
        country_link: Some(&country_link),
        sensors: &sensors,
        arcs: &arcs,
    };
    let markup = world_map(&map).0;
    assert_below("map", &markup, 60_000);
    // Each country that the borders know, and none twice; the sensors, the arcs, and the map itself.
    assert_eq!(markup.matches("<title>").count(), 248 + 20 + 30 + 1);
    let bare = WorldMap { countries: &[], country_link: None, sensors: &[], arcs: &[], ..map };
    assert_below("map of nothing", &world_map(&bare).0, 32_000);
}

#[test]
fn labels_of_ten_megabytes() {
    let label = "\u{202e}<\u{0}".repeat(2_000_000);
    let counts = [Some(3); 10];
    let chart = Stacked {
        title: &label,
        language: Language::English,
        range: TimeRange::new(0, DAY_MS),
        series: &[
            Series { label: &label, counts: &counts, link: None },
            Series { label: &label, counts: &counts, link: None },
        ],
        annotations: &[],
        peaks: &[],
        slice_link: None,
    };
    assert_below("areas", &stacked_area(&chart).0, 8_000);
    let map = HeatMap {
        title: &label,
        language: Language::English,
        columns: &[&label],
        rows: &[HeatRow { label: &label, counts: &[1] }],
        cell_link: None,
    };
    assert_below("heat map", &heat_map(&map).0, 4_000);
}

#[test]
fn the_stylesheet() {
    assert!(STYLE.len() < 10_000, "{} bytes", STYLE.len());
    assert!(!STYLE.contains("url(") && !STYLE.contains("@import") && !STYLE.contains('#'));
    assert_eq!(STYLE.matches('{').count(), STYLE.matches('}').count());
}
