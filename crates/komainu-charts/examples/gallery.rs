//! All charts on one page, in dark and in light, with numbers that are made up: how one looks at them.
//!
//! ```sh
//! cargo run -p komainu-charts --example gallery > gallery.html
//! ```

use komainu_charts::{
    Annotation, Band, BarList, BarRow, Country, HeatMap, HeatRow, Language, Line, Lines, Link, MapArc, MapSensor, Peak,
    Place, STYLE, Series, Severity, Share, ShareBar, Stacked, Threshold, TimeRange, WorldMap, bar_list, heat_map,
    hours_of_week, lines, share_bar, sparkline, stacked_area, stacked_bars, world_map,
};
use maud::{DOCTYPE, Markup, html};

const DAY_MS: i64 = 86_400_000;

/// Monday, the 9th of November 2026.
const FROM_MS: i64 = 1_794_182_400_000;

const PAGE_STYLE: &str = "
*{box-sizing:border-box}
body{margin:0;font:14px/1.4 Inter,'Noto Sans','DejaVu Sans','Noto Sans CJK JP',sans-serif}
.theme{padding:20px;background:var(--page);color:var(--text)}
.dark{--page:#0b0f14;--card:#121920;--text:#e6edf3;--muted:#8b98a5;--line:#1f2a33;--accent:#4cc2f1;--alarm:#ff5f56;
--warn:#e8b64c;--series-1:#4cc2f1;--series-2:#f2a35c;--series-3:#e06c9f;--series-4:#9a83f5;--series-5:#7bd88f;
--series-6:#e5d352;--series-7:#5c8df6;--series-8:#d6765a;--map-land:#2a3640;--map-hot:#ff6b4a;color-scheme:dark}
.light{--page:#f3f5f7;--card:#fff;--text:#17212b;--muted:#5a6875;--line:#e1e6eb;--accent:#0a7cb5;--alarm:#c62828;
--warn:#9a6700;--series-1:#0a7cb5;--series-2:#c8690a;--series-3:#b8326f;--series-4:#6645d6;--series-5:#2c8a45;
--series-6:#8f7a00;--series-7:#2f5fd0;--series-8:#a8472a;--map-land:#c9d1d9;--map-hot:#d9411e;color-scheme:light}
.cards{display:grid;grid-template-columns:repeat(3,minmax(0,1fr));gap:14px}
.card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:16px;min-width:0}
.two{grid-column:span 2}
h2{font-size:13px;margin:0 0 12px;color:var(--muted);font-weight:600}
td,th{text-align:left}
@media(max-width:760px){
.cards{grid-template-columns:minmax(0,1fr)}
.two{grid-column:auto}
.theme{padding:10px}
}
";

/// Numbers that look random and are the same each time (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end.max(1)
    }
}

fn main() {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                title { "Charts" }
                style { (maud::PreEscaped(PAGE_STYLE)) (maud::PreEscaped(STYLE)) }
            }
            body {
                div class="theme dark" { div class="cards" { (cards(Language::English)) } }
                div class="theme light" { div class="cards" { (cards(Language::Japanese)) } }
            }
        }
    };
    println!("{}", page.into_string());
}

fn card(title: &str, is_wide: bool, content: &Markup) -> Markup {
    html! {
        section class=(if is_wide { "card two" } else { "card" }) {
            h2 { (title) " · " (content.0.len().div_ceil(1000)) " kB" }
            (content)
        }
    }
}

fn cards(language: Language) -> Markup {
    html! {
        (card("Where the attacks come from", true, &map(language)))
        (card("Top sources", false, &top_sources(language)))
        (card("Attacks by protocol, 14 days", true, &attacks(language, 14, 4, 5)))
        (card("Hostile names", false, &hostile(language)))
        (card("Attacks by protocol, two years", true, &attacks(language, 730, 1, 11)))
        (card("One hour, with a gap", false, &one_hour(language)))
        (card("Samples by day", true, &samples(language)))
        (card("Nothing", false, &nothing(language)))
        (card("Bytes out of a camera", true, &metric(language)))
        (card("A single value, and none", false, &single(language)))
        (card("When they come", true, &hours(language)))
        (card("Protocols against appliances", false, &appliances(language)))
        (card("Known elsewhere at capture", false, &known(language)))
        (card("Huge", false, &huge(language)))
        (card("Small", false, &small()))
    }
}

fn map(language: Language) -> Markup {
    let counts = [
        ("CN", 31_204),
        ("US", 22_841),
        ("BR", 14_022),
        ("IN", 12_090),
        ("RU", 9_811),
        ("VN", 7_120),
        ("TW", 5_102),
        ("NL", 4_410),
        ("KR", 3_902),
        ("EG", 2_210),
        ("DE", 900),
        ("ZA", 120),
        ("SG", 77),
        ("AU", 12),
        ("AR", 3),
        ("SO", 1),
    ];
    let countries: Vec<(Country, u64)> =
        counts.iter().filter_map(|(code, count)| Some((Country::parse(code)?, *count))).collect();
    let sensor = |label, longitude_degrees, latitude_degrees| MapSensor {
        label,
        longitude_degrees,
        latitude_degrees,
        link: Link::new("/sensors"),
    };
    let sensors = [
        sensor("Frankfurt", 8.7, 50.1),
        sensor("Tokyo", 139.7, 35.7),
        sensor("Osaka", 135.5, 34.7),
        sensor("Singapore", 103.8, 1.35),
        sensor("São Paulo", -46.6, -23.5),
        sensor("Sydney", 151.2, -33.9),
    ];
    let to = |index: usize| Place::Point {
        longitude_degrees: sensors[index].longitude_degrees,
        latitude_degrees: sensors[index].latitude_degrees,
    };
    let from = |code| Country::parse(code).map_or(to(0), Place::Country);
    let arc = |code, index, series| MapArc { label: "Telnet", from: from(code), to: to(index), series };
    let arcs = [arc("CN", 0, 3), arc("IN", 3, 4), arc("BR", 0, 0), arc("US", 1, 1), arc("RU", 1, 2)];
    let country_link = |country: Country| {
        Some(Link::new(&format!("/attacks?country={}", country.code()))?.with_filter("country", country.code()))
    };
    world_map(&WorldMap {
        title: "Attacks by country",
        language,
        countries: &countries,
        country_link: Some(&country_link),
        sensors: &sensors,
        arcs: &arcs,
    })
}

fn top_sources(language: Language) -> Markup {
    let counts = [
        ("CN", 31_204),
        ("US", 22_841),
        ("BR", 14_022),
        ("IN", 12_090),
        ("RU", 9_811),
        ("VN", 7_120),
        ("GB", 210),
        ("EG", 1),
    ];
    let rows: Vec<BarRow<'_>> = counts
        .iter()
        .filter_map(|(code, count)| {
            Some(BarRow {
                label: Country::parse(code)?.name(language),
                count: *count,
                link: Link::new("/attacks").map(|link| link.with_filter("country", code)),
            })
        })
        .collect();
    bar_list(&BarList { title: "Top sources", language, rows: &rows })
}

fn hostile(language: Language) -> Markup {
    let long = "A".repeat(10_000);
    let labels = [
        "<script>alert(1)</script>",
        "root\u{202e}toor\u{1b}[31m",
        long.as_str(),
        "z\u{300}\u{301}\u{302}\u{303}\u{304}\u{305}\u{306}algo",
        "\"><img src=x onerror=alert(1)>",
        "مرحبا بالعالم",
        "ユーザー名がとても長い場合にはここで切られるはずです",
        "",
    ];
    let rows: Vec<BarRow<'_>> = labels
        .iter()
        .zip([900_000_000, 70_000, 1200, 800, 500, 300, 20, 3])
        .map(|(label, count)| BarRow {
            label,
            count,
            link: Link::new("/x").map(|link| link.with_filter("user", label)),
        })
        .collect();
    bar_list(&BarList { title: "Credentials", language, rows: &rows })
}

fn attacks(language: Language, days: usize, per_day: usize, kinds: usize) -> Markup {
    const NAMES: [&str; 11] = ["Telnet", "HTTP", "UPnP", "SMB", "ADB", "SSH", "RTSP", "SIP", "Redis", "FTP", "CoAP"];
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let buckets = days * per_day;
    let counts: Vec<Vec<Option<u64>>> = (0..kinds)
        .map(|kind| {
            (0..buckets)
                .map(|bucket| {
                    let base = 420 / (kind as u64 + 1) + numbers.below(90);
                    let distance = bucket.abs_diff(buckets * 5 / 8) as u64;
                    let peak = if kind == 2 && distance < 6 { 900 - distance * 150 } else { 0 };
                    Some(base + peak)
                })
                .collect()
        })
        .collect();
    let series: Vec<Series<'_>> = counts
        .iter()
        .zip(NAMES)
        .map(|(counts, label)| Series {
            label,
            counts,
            link: Link::new("/attacks").map(|link| link.with_filter("protocol", label)),
        })
        .collect();
    let to_ms = FROM_MS + days as i64 * DAY_MS;
    let range = TimeRange::new(FROM_MS, to_ms);
    let at = |part: f64| FROM_MS + ((to_ms - FROM_MS) as f64 * part) as i64;
    let note = |part, label| Annotation { at_ms: at(part), label, link: Link::new("/notes") };
    let annotations = [
        note(0.20, "CVE-2026-1001 published"),
        note(0.55, "Advisory published"),
        note(0.57, "CVE-2026-31337 in KEV"),
        note(0.95, "Firmware 4.2 released to everybody"),
        note(0.96, "Maintenance"),
    ];
    let peaks = [Peak { at_ms: at(5.0 / 8.0) + 1, label: "UPnP: 5 times the usual", link: Link::new("/peaks/1") }];
    let slice_link = |range: TimeRange| Link::new(&format!("/attacks?from={}&to={}", range.from_ms(), range.to_ms()));
    stacked_area(&Stacked {
        title: "Attacks by protocol",
        language,
        range,
        series: &series,
        annotations: if per_day == 4 { &annotations } else { &annotations[1..2] },
        peaks: &peaks,
        slice_link: Some(&slice_link),
    })
}

fn one_hour(language: Language) -> Markup {
    let mut numbers = Numbers(7);
    let mut counts = || -> Vec<Option<u64>> {
        (0..60).map(|minute| (!(20..31).contains(&minute) && minute != 45).then(|| numbers.below(9))).collect()
    };
    let (a, b) = (counts(), counts());
    let series = [Series { label: "Telnet", counts: &a, link: None }, Series { label: "HTTP", counts: &b, link: None }];
    let range = TimeRange::new(FROM_MS + 50_400_000, FROM_MS + 54_000_000);
    stacked_area(&Stacked {
        title: "Attacks in one hour",
        language,
        range,
        series: &series,
        annotations: &[],
        peaks: &[],
        slice_link: None,
    })
}

fn samples(language: Language) -> Markup {
    let mut numbers = Numbers(99);
    let mut counts = |below: u64| -> Vec<Option<u64>> { (0..60).map(|_| Some(numbers.below(below))).collect() };
    let (a, b, c) = (counts(90), counts(40), counts(15));
    let series = [
        Series { label: "Mirai", counts: &a, link: None },
        Series { label: "Gafgyt", counts: &b, link: None },
        Series { label: "unknown", counts: &c, link: None },
    ];
    stacked_bars(&Stacked {
        title: "New samples by day",
        language,
        range: TimeRange::new(FROM_MS - 60 * DAY_MS, FROM_MS),
        series: &series,
        annotations: &[],
        peaks: &[],
        slice_link: None,
    })
}

fn nothing(language: Language) -> Markup {
    stacked_area(&Stacked {
        title: "Attacks",
        language,
        range: TimeRange::new(FROM_MS, FROM_MS + DAY_MS),
        series: &[],
        annotations: &[],
        peaks: &[],
        slice_link: None,
    })
}

fn metric(language: Language) -> Markup {
    let mut numbers = Numbers(4711);
    let value = |index: i64, numbers: &mut Numbers| {
        let daily = (index as f64 / 288.0 * std::f64::consts::TAU).sin() * 40_000.0;
        120_000.0 + daily + numbers.below(9000) as f64 + if index == 1500 { 260_000.0 } else { 0.0 }
    };
    let points: Vec<(i64, f64)> = (0..2016)
        .filter(|index| !(800..950).contains(index))
        .map(|index| (FROM_MS + index * 300_000, value(index, &mut numbers)))
        .collect();
    let band: Vec<(i64, f64, f64)> = (0..2016)
        .map(|index| {
            let middle = value(index % 288, &mut numbers);
            (FROM_MS + index * 300_000, middle - 50_000.0, middle + 50_000.0)
        })
        .collect();
    lines(&Lines {
        title: "Bytes out of camera-17",
        language,
        range: TimeRange::new(FROM_MS, FROM_MS + 7 * DAY_MS),
        unit: "bytes",
        lines: &[Line { label: "camera-17", points: &points, link: None }],
        band: Some(Band { label: "others of its group", points: &band }),
        thresholds: &[
            Threshold { label: "alarm above 300 000", value: 300_000.0, severity: Severity::Alarm },
            Threshold { label: "clears below 290 000", value: 290_000.0, severity: Severity::Warning },
        ],
        annotations: &[Annotation {
            at_ms: FROM_MS + 5 * DAY_MS + 20_000_000,
            label: "violation",
            link: Link::new("/v"),
        }],
        gap_ms: 900_000,
        slice_link: None,
    })
}

fn single(language: Language) -> Markup {
    lines(&Lines {
        title: "Connections",
        language,
        range: TimeRange::new(FROM_MS, FROM_MS + DAY_MS),
        unit: "",
        lines: &[
            Line { label: "one value", points: &[(FROM_MS + 30_000_000, -0.4)], link: None },
            Line { label: "no number", points: &[(FROM_MS, f64::NAN)], link: None },
        ],
        band: None,
        thresholds: &[],
        annotations: &[],
        gap_ms: 1000,
        slice_link: None,
    })
}

fn hours(language: Language) -> Markup {
    let mut numbers = Numbers(21);
    let counts: [[u64; 24]; 7] = std::array::from_fn(|day| {
        std::array::from_fn(|hour| if hour == 3 { 0 } else { numbers.below(40) * numbers.below(90) * (8 - day as u64) })
    });
    hours_of_week("Attacks by hour and weekday", language, &counts, None)
}

fn appliances(language: Language) -> Markup {
    let columns = ["Telnet", "HTTP", "UPnP", "SMB", "ADB", "RTSP", "SIP"];
    let names = ["NVR-2000", "Router AC1200 with a long name", "Camera", "Set-top box", "NAS<b>", "プリンター"];
    let mut numbers = Numbers(3);
    let counts: Vec<Vec<u64>> = names
        .iter()
        .map(|_| columns.iter().map(|_| numbers.below(50) * numbers.below(50) * numbers.below(9)).collect())
        .collect();
    let rows: Vec<HeatRow<'_>> = names.iter().zip(&counts).map(|(label, counts)| HeatRow { label, counts }).collect();
    let cell_link = |row: usize, column: usize| {
        Some(Link::new(&format!("/attacks?protocol={}", columns[column]))?.with_filter("appliance", names[row]))
    };
    heat_map(&HeatMap {
        title: "Protocols against appliances",
        language,
        columns: &columns,
        rows: &rows,
        cell_link: Some(&cell_link),
    })
}

fn known(language: Language) -> Markup {
    let parts = [
        Share { label: "known", count: 7312, link: Link::new("/samples?known=yes") },
        Share { label: "unknown", count: 2701, link: Link::new("/samples?known=no") },
        Share { label: "not asked", count: 3, link: None },
    ];
    share_bar(&ShareBar { title: "Known elsewhere", language, parts: &parts })
}

fn huge(language: Language) -> Markup {
    let counts = [Some(u64::MAX), Some(u64::MAX / 2), Some(0), Some(u64::MAX)];
    let series =
        [Series { label: "a", counts: &counts, link: None }, Series { label: "b", counts: &counts, link: None }];
    stacked_bars(&Stacked {
        title: "Huge",
        language,
        range: TimeRange::new(0, i64::MAX),
        series: &series,
        annotations: &[],
        peaks: &[],
        slice_link: None,
    })
}

fn small() -> Markup {
    let mut numbers = Numbers(5);
    let many: Vec<Option<u64>> =
        (0..500).map(|index| (!(200..240).contains(&index)).then(|| numbers.below(100))).collect();
    let rows = [("many", many.as_slice()), ("one", &[Some(4)]), ("zero", &[Some(0), Some(0)]), ("none", &[])];
    html! {
        table {
            @for (name, counts) in rows {
                tr { th { (name) } td { (sparkline(name, counts)) } }
            }
        }
    }
}
