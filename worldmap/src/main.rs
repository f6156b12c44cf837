//! Writes `crates/komainu-charts/src/world/dots.rs`: the land as dots, one path of them for each country.
//!
//! ```sh
//! cd worldmap && cargo run            # writes the file
//! cd worldmap && cargo run -- --check # changes nothing; fails when the committed file is another
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use world_data::world_data_types::data::WorldData;

use projection::{COLUMN_UNITS, COLUMNS, MIDDLE_DEGREES, NORTH_DEGREES, ROW_UNITS, ROWS, WIDTH};

#[path = "../../crates/komainu-charts/src/world/projection.rs"]
mod projection;

/// Below this many dots, a country gives none of them to a smaller one that has no dot.
const GIVES_DOTS_MIN: usize = 12;

/// How many cells around its place a country without a dot may get one, before it takes one of a neighbour's.
const NEAR_CELLS: i32 = 2;

/// Land that the source leaves out, because it is disputed: outlines by hand, good for dots 200 km apart.
const DISPUTED: [(&str, &[(f64, f64)]); 2] = [
    (
        "TW",
        &[
            (121.0, 25.2),
            (121.6, 25.4),
            (122.1, 25.0),
            (121.6, 23.9),
            (121.3, 22.9),
            (120.9, 21.8),
            (120.5, 22.4),
            (120.0, 23.1),
            (120.2, 23.9),
            (120.7, 24.7),
        ],
    ),
    // Somaliland, which ISO 3166 counts as a part of Somalia.
    (
        "SO",
        &[(42.7, 10.6), (43.3, 11.5), (44.3, 10.4), (47.0, 11.2), (49.1, 11.3), (49.0, 8.6), (47.8, 8.0), (44.0, 9.0)],
    ),
];

/// What the source counts as a part of another country, and ISO 3166 does not: whose, and between which longitudes and
/// latitudes.
const WITHIN: [(&str, &str, [f64; 4]); 6] = [
    ("GF", "FR", [-55.0, -51.0, 2.0, 6.0]),
    ("GP", "FR", [-62.0, -60.9, 15.7, 16.6]),
    ("MQ", "FR", [-61.4, -60.7, 14.3, 15.0]),
    ("RE", "FR", [55.0, 56.0, -21.6, -20.7]),
    ("YT", "FR", [44.9, 45.5, -13.1, -12.5]),
    ("SJ", "NO", [5.0, 40.0, 74.0, 82.0]),
];

/// Islands that the source does not have at all: where they are.
const ISLANDS: [(&str, f64, f64); 4] =
    [("BQ", -68.27, 12.18), ("BV", 3.41, -54.42), ("CC", 96.83, -12.17), ("CX", 105.63, -10.49)];

fn main() -> ExitCode {
    let text = source(&dots(&world_data::load()));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/komainu-charts/src/world/dots.rs");
    if std::env::args().any(|argument| argument == "--check") {
        let is_same = std::fs::read_to_string(&path).is_ok_and(|committed| committed == text);
        println!("{}", if is_same { "the dots are what would be written" } else { "other dots would be written" });
        return if is_same { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    if let Err(error) = std::fs::write(&path, &text) {
        eprintln!("cannot write {}: {error}", path.display());
        return ExitCode::FAILURE;
    }
    println!("{} bytes written", text.len());
    ExitCode::SUCCESS
}

/// The place of a dot: row, then column, so that they sort as they are drawn.
type Cell = (u32, u32);

/// A ring of longitudes and latitudes with the box around it.
struct Ring {
    points: Vec<(f64, f64)>,
    box_around: [f64; 4],
}

impl Ring {
    /// A ring of the source.
    fn of(points: impl Iterator<Item = (f32, f32)>) -> Self {
        Self::new(points.map(|(x, y)| (f64::from(x), f64::from(y))).collect())
    }

    fn new(points: Vec<(f64, f64)>) -> Self {
        let mut box_around = [f64::MAX, f64::MIN, f64::MAX, f64::MIN];
        for (x, y) in &points {
            box_around = [box_around[0].min(*x), box_around[1].max(*x), box_around[2].min(*y), box_around[3].max(*y)];
        }
        Self { points, box_around }
    }

    /// Whether a line from the point to the east crosses the ring an odd number of times.
    fn holds(&self, (x, y): (f64, f64)) -> bool {
        let [west, east, south, north] = self.box_around;
        if x < west || x > east || y < south || y > north {
            return false;
        }
        let mut inside = false;
        let mut previous = self.points[self.points.len() - 1];
        for &point in &self.points {
            if (point.1 > y) != (previous.1 > y) {
                let crossing = point.0 + (y - point.1) / (previous.1 - point.1) * (previous.0 - point.0);
                inside ^= x < crossing;
            }
            previous = point;
        }
        inside
    }

    fn area_of_box(&self) -> f64 {
        let [west, east, south, north] = self.box_around;
        (east - west) * (north - south)
    }

    fn middle(&self) -> (f64, f64) {
        let [west, east, south, north] = self.box_around;
        ((west + east) / 2.0, (south + north) / 2.0)
    }
}

/// The cells of each country's dots.
fn dots(world: &WorldData) -> BTreeMap<String, BTreeSet<Cell>> {
    // Each part of a country: its outer ring, and its holes.
    let mut countries: BTreeMap<String, Vec<(Ring, Vec<Ring>)>> = BTreeMap::new();
    for (code, country) in &world.countries {
        for polygon in &country.polygons {
            let outer = Ring::of(polygon.exterior().coords().map(|at| (at.x, at.y)));
            let holes = polygon.interiors().iter().map(|hole| Ring::of(hole.coords().map(|at| (at.x, at.y)))).collect();
            let owner = WITHIN.iter().find(|(_, of, [west, east, south, north])| {
                let (x, y) = outer.middle();
                *of == code.as_str() && x > *west && x < *east && y > *south && y < *north
            });
            let code = owner.map_or(code.as_str(), |(code, _, _)| *code);
            countries.entry(code.to_owned()).or_default().push((outer, holes));
        }
    }
    for (code, points) in DISPUTED {
        countries.entry(code.to_owned()).or_default().push((Ring::new(points.to_vec()), Vec::new()));
    }
    // Antarctica lies below the lower edge.
    countries.remove("AQ");

    let mut dots: BTreeMap<String, BTreeSet<Cell>> = BTreeMap::new();
    let mut owner: BTreeMap<Cell, String> = BTreeMap::new();
    for row in 0..ROWS {
        for column in 0..COLUMNS {
            let Some(place) = place((row, column)) else { continue };
            let held_by = countries.iter().find(|(_, parts)| {
                parts.iter().any(|(outer, holes)| outer.holds(place) && !holes.iter().any(|hole| hole.holds(place)))
            });
            if let Some((code, _)) = held_by {
                dots.entry(code.clone()).or_default().insert((row, column));
                owner.insert((row, column), code.clone());
            }
        }
    }
    let mut without: Vec<(String, (f64, f64))> =
        ISLANDS.iter().map(|(code, x, y)| ((*code).to_owned(), (*x, *y))).collect();
    for (code, parts) in &countries {
        if !dots.contains_key(code) {
            let largest = parts.iter().max_by(|a, b| a.0.area_of_box().total_cmp(&b.0.area_of_box()));
            without.extend(largest.map(|(ring, _)| (code.clone(), ring.middle())));
        }
    }
    without.sort_by(|a, b| a.0.cmp(&b.0));
    for (code, place) in without {
        let Some(cell) = cell_for(place, &dots, &owner) else {
            eprintln!("no dot for {code}");
            continue;
        };
        if let Some(before) = owner.insert(cell, code.clone()) {
            dots.entry(before).or_default().remove(&cell);
        }
        dots.entry(code).or_default().insert(cell);
    }
    dots
}

/// Where a country without a dot gets one: the nearest cell that is sea, or the nearest of a neighbour that has many.
fn cell_for(
    (longitude, latitude): (f64, f64),
    dots: &BTreeMap<String, BTreeSet<Cell>>,
    owner: &BTreeMap<Cell, String>,
) -> Option<Cell> {
    let (x, y) = projection::project(longitude, latitude);
    let row = (y / f64::from(ROW_UNITS)) as i32;
    let column = (x / f64::from(COLUMN_UNITS)) as i32;
    let mut near = Vec::new();
    for row in row - NEAR_CELLS..=row + NEAR_CELLS {
        for column in column - NEAR_CELLS..=column + NEAR_CELLS {
            let (Ok(row), Ok(column)) = (u32::try_from(row), u32::try_from(column)) else { continue };
            if row < ROWS && column < COLUMNS {
                let at = middle((row, column));
                near.push(((at.0 - x).hypot(at.1 - y), (row, column)));
            }
        }
    }
    near.sort_by(|a, b| a.0.total_cmp(&b.0));
    let gives = |cell: &Cell| owner.get(cell).is_none_or(|code| dots[code].len() >= GIVES_DOTS_MIN);
    near.into_iter().map(|(_, cell)| cell).find(gives)
}

/// The middle of a dot in the drawing; odd rows stand in the gaps of even ones.
fn middle((row, column): Cell) -> (f64, f64) {
    let shift = if row % 2 == 1 { COLUMN_UNITS / 2 } else { 0 };
    let x = column * COLUMN_UNITS + shift + COLUMN_UNITS / 4;
    (f64::from(x), f64::from(row * ROW_UNITS + ROW_UNITS / 2))
}

/// The longitude and latitude under a dot, if the earth reaches there.
fn place(cell: Cell) -> Option<(f64, f64)> {
    let (x, y) = middle(cell);
    let wanted = projection::meridian(NORTH_DEGREES.to_radians()) - y / projection::scale();
    let (mut low, mut high) = (-90f64.to_radians(), 90f64.to_radians());
    for _ in 0..60 {
        let between = (low + high) / 2.0;
        if projection::meridian(between) < wanted { low = between } else { high = between }
    }
    let east = ((x - f64::from(WIDTH) / 2.0) / projection::scale() / projection::parallel(low)).to_degrees();
    let longitude = (east + MIDDLE_DEGREES + 180.0).rem_euclid(360.0) - 180.0;
    (east.abs() < 180.0).then_some((longitude, low.to_degrees()))
}

/// The file: for each country its code, the middle of its dots, and the dots as runs.
fn source(dots: &BTreeMap<String, BTreeSet<Cell>>) -> String {
    let mut text = String::from(
        "//! The land as dots. Written by `worldmap/` from Natural Earth's borders (public domain); not by hand.\n\n\
         use super::Land;\n\n\
         /// Each country that has a dot, by its code.\n\
         #[rustfmt::skip]\n\
         pub(super) const LANDS: &[Land] = &[\n",
    );
    for (code, cells) in dots.iter().filter(|(_, cells)| !cells.is_empty()) {
        let runs = runs(cells);
        let (x, y) = middle_of(cells);
        let _ = writeln!(text, "    Land {{ code: \"{code}\", x: {x}, y: {y}, runs: \"{runs}\" }},");
    }
    text.push_str("];\n");
    text
}

/// The dot of the country that is nearest to the middle of all of them, so that it lies on land.
fn middle_of(cells: &BTreeSet<Cell>) -> (u32, u32) {
    let count = cells.len() as f64;
    let sum = cells.iter().map(|cell| middle(*cell)).fold((0.0, 0.0), |sum, at| (sum.0 + at.0, sum.1 + at.1));
    let (x, y) = (sum.0 / count, sum.1 / count);
    let distance = |cell: &Cell| (middle(*cell).0 - x).hypot(middle(*cell).1 - y);
    let nearest = cells.iter().min_by(|a, b| distance(a).total_cmp(&distance(b))).copied().unwrap_or_default();
    let (x, y) = middle(nearest);
    (x as u32, y as u32)
}

/// An SVG path whose dashes of no length, with round ends, are the dots. A run is one unit longer than its last dot's
/// middle, so that no rounding loses that dot.
fn runs(cells: &BTreeSet<Cell>) -> String {
    let mut text = String::new();
    let mut pen = (0i64, 0i64);
    let mut rest = cells.iter().copied().peekable();
    while let Some(first) = rest.next() {
        let mut last = first;
        while let Some(next) = rest.next_if(|next| *next == (last.0, last.1 + 1)) {
            last = next;
        }
        let (x, y) = middle(first);
        let (x, y) = (x as i64, y as i64);
        let length = i64::from((last.1 - first.1) * COLUMN_UNITS) + 1;
        let (dx, dy) = (x - pen.0, y - pen.1);
        let _ = write!(text, "m{dx} {dy}h{length}");
        pen = (x + length, y);
    }
    text
}
