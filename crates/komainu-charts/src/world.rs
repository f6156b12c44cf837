//! The map of the world, as dots: where attacks come from, where sensors stand, and what goes from there to here.

mod dots;
mod projection;

use std::collections::BTreeMap;

use maud::{Markup, html};

use crate::frame::role;
use crate::layout::{COLUMN_PX, percent};
use crate::legend::Shades;
use crate::text::{HOVER_COLUMNS_MAX, columns, visible};
use crate::{Country, Language, Link, number};

use dots::LANDS;
use projection::{HEIGHT, WIDTH, project};

/// Sensors on a map at most; the first are drawn.
const SENSORS_MAX: usize = 200;

/// Arcs on a map at most; the first are drawn. More of them hide the land.
const ARCS_MAX: usize = 60;

/// Columns of a sensor's name on the map.
const SENSOR_COLUMNS_MAX: usize = 18;

/// The width of the map for which names are placed, in pixels, and that on a phone.
const MAP_WIDTHS_PX: [f64; 2] = [640.0, 320.0];

/// The height of a sensor's name, in pixels.
const NAME_PX: f64 = 13.0;

/// From the middle of a sensor to its name, in pixels.
const NAME_GAP_PX: f64 = 8.0;

/// What is shown on the map.
pub struct WorldMap<'a> {
    /// What is counted: the name for those who do not see it.
    pub title: &'a str,
    /// The language of the page and of the countries' names.
    pub language: Language,
    /// How many come from where. A country that is named twice has the sum.
    pub countries: &'a [(Country, u64)],
    /// Where a country leads.
    pub country_link: Option<&'a dyn Fn(Country) -> Option<Link>>,
    /// Our sensors.
    pub sensors: &'a [MapSensor<'a>],
    /// Attacks, drawn as arcs.
    pub arcs: &'a [MapArc<'a>],
}

/// A sensor on the map.
pub struct MapSensor<'a> {
    /// Its name; may be anybody's text.
    pub label: &'a str,
    /// Degrees to the east of Greenwich.
    pub longitude_degrees: f64,
    /// Degrees to the north of the equator.
    pub latitude_degrees: f64,
    /// Where it leads.
    pub link: Option<Link>,
}

/// Something that goes from one place to another.
pub struct MapArc<'a> {
    /// What is said of it; may be anybody's text.
    pub label: &'a str,
    /// Where it begins.
    pub from: Place,
    /// Where it ends.
    pub to: Place,
    /// The series whose colour it has, counted from 0; from 8 on, that of everything else.
    pub series: usize,
}

/// A place on the map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Place {
    /// The middle of a country.
    Country(Country),
    /// A point of the earth.
    Point {
        /// Degrees to the east of Greenwich.
        longitude_degrees: f64,
        /// Degrees to the north of the equator.
        latitude_degrees: f64,
    },
}

/// The land of one country, as `worldmap/` writes it.
struct Land {
    code: &'static str,
    /// The dot in its middle, in units.
    x: u32,
    y: u32,
    /// The path whose dashes of no length are the dots.
    runs: &'static str,
}

/// The map, and under it which shade is how many.
pub fn world_map(map: &WorldMap<'_>) -> Markup {
    let mut counts: BTreeMap<Country, u64> = BTreeMap::new();
    for (country, count) in map.countries {
        let sum = counts.entry(*country).or_default();
        *sum = sum.saturating_add(*count);
    }
    let count_of = |country: Country| counts.get(&country).copied().unwrap_or(0);
    let lands: Vec<(&Land, Country, u64)> = LANDS
        .iter()
        .filter_map(|land| Country::parse(land.code).map(|country| (land, country, count_of(country))))
        .collect();
    let shades = Shades::of(lands.iter().map(|(_, _, count)| *count));
    let links: Vec<Option<Link>> = lands
        .iter()
        .map(|(_, country, count)| map.country_link.filter(|_| *count > 0).and_then(|link_of| link_of(*country)))
        .collect();
    let sensors = &map.sensors[..map.sensors.len().min(SENSORS_MAX)];
    let has_links = links.iter().any(Option::is_some) || sensors.iter().any(|sensor| sensor.link.is_some());
    html! {
        figure class="k-chart k-world" {
            svg class="k-svg" role=(role(has_links)) {
                title { (visible(map.title, HOVER_COLUMNS_MAX)) }
                desc { (describe(map, &lands)) }
                svg class="k-land" viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) width="100%" height="100%" {
                    @for ((land, country, count), link) in lands.iter().zip(&links) {
                        (Link::around_passed(link.as_ref(), html! {
                            path class=[(*count > 0).then(|| shades.class_of(*count))] d=(land.runs) {
                                title {
                                    (country.name(map.language)) (map.language.colon())
                                    (number::grouped(u128::from(*count)))
                                }
                            }
                        }))
                    }
                    @for arc in map.arcs.iter().take(ARCS_MAX) { (draw_arc(arc)) }
                }
                @for name in place_names(sensors) { (name.draw()) }
            }
            (shades.legend())
        }
    }
}

/// The five countries that have most, for those who do not see the map.
fn describe(map: &WorldMap<'_>, lands: &[(&Land, Country, u64)]) -> String {
    let mut largest: Vec<(Country, u64)> =
        lands.iter().filter(|(_, _, count)| *count > 0).map(|(_, country, count)| (*country, *count)).collect();
    largest.sort_by_key(|(country, count)| (std::cmp::Reverse(*count), *country));
    if largest.is_empty() {
        return map.language.no_data().to_owned();
    }
    let line = |(country, count): &(Country, u64)| {
        format!("{}{}{}", country.name(map.language), map.language.colon(), number::grouped(u128::from(*count)))
    };
    largest.iter().take(5).map(line).collect::<Vec<_>>().join("; ")
}

/// The point of a place, in units; the middle of the Gulf of Guinea for a country that has no dot.
fn point_of(place: Place) -> (f64, f64) {
    match place {
        Place::Country(country) => LANDS
            .iter()
            .find(|land| land.code == country.code())
            .map_or_else(|| project(0.0, 0.0), |land| (f64::from(land.x), f64::from(land.y))),
        Place::Point { longitude_degrees, latitude_degrees } => project(longitude_degrees, latitude_degrees),
    }
}

/// A curve that rises to the north, the higher the longer it is, and never out of the map.
fn draw_arc(arc: &MapArc<'_>) -> Markup {
    let (from, to) = (point_of(arc.from), point_of(arc.to));
    let length = (to.0 - from.0).hypot(to.1 - from.1);
    let (x, y) = ((from.0 + to.0) / 2.0, ((from.1 + to.1) / 2.0 - length * 0.35).max(0.0));
    let d = format!("M{:.0} {:.0}Q{x:.0} {y:.0} {:.0} {:.0}", from.0, from.1, to.0, to.1);
    html! {
        path class=(format!("k-arc {}", crate::legend::series_class(arc.series))) d=(d) {
            title { (visible(arc.label, HOVER_COLUMNS_MAX)) }
        }
    }
}

/// On which side of its sensor a name stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Right,
    Left,
    Above,
    Below,
}

impl Side {
    /// The class that says which end of the text is fixed, and how far right and below of the sensor, in pixels.
    fn anchor(self) -> (&'static str, f64, f64) {
        match self {
            Self::Right => ("k-start", NAME_GAP_PX, -3.0),
            Self::Left => ("k-e", -NAME_GAP_PX, -3.0),
            Self::Above => ("k-middle", 0.0, -9.0),
            Self::Below => ("k-middle", 0.0, 17.0),
        }
    }
}

/// A sensor and its name.
struct Name<'a> {
    sensor: &'a MapSensor<'a>,
    text: String,
    /// In parts of the width and of the height.
    at: (f64, f64),
    /// Where the name stands; nowhere if there is no room.
    side: Option<Side>,
    /// There is no room for the name when the map is narrow.
    wide_only: bool,
}

impl Name<'_> {
    fn draw(&self) -> Markup {
        let (x, y) = (percent(self.at.0), percent(self.at.1));
        let room = if self.wide_only { " k-w" } else { "" };
        html! {
            (Link::around(self.sensor.link.as_ref(), html! {
                g class="k-sensor" {
                    title { (visible(self.sensor.label, HOVER_COLUMNS_MAX)) }
                    circle cx=(x) cy=(y) r="4" {}
                    @if let Some(side) = self.side {
                        @let (anchor, dx, dy) = side.anchor();
                        text class=(format!("{anchor}{room}")) x=(x) y=(y) dx=(dx) dy=(dy) { (self.text) }
                    }
                }
            }))
        }
    }

    /// Left, right, upper and lower end of the name, in pixels.
    fn box_at(&self, side: Side, width_px: f64) -> [f64; 4] {
        let height_px = width_px * f64::from(HEIGHT) / f64::from(WIDTH);
        let (x, y) = (self.at.0 * width_px, self.at.1 * height_px);
        let length = columns(&self.text) as f64 * COLUMN_PX;
        let (_, dx, dy) = side.anchor();
        let left = match side {
            Side::Right => x + dx,
            Side::Left => x + dx - length,
            Side::Above | Side::Below => x - length / 2.0,
        };
        // Most of a letter is above the line on which it stands.
        [left, left + length, y + dy - NAME_PX * 0.8, y + dy + NAME_PX * 0.2]
    }

    fn circle(&self, width_px: f64) -> [f64; 4] {
        let height_px = width_px * f64::from(HEIGHT) / f64::from(WIDTH);
        let (x, y) = (self.at.0 * width_px, self.at.1 * height_px);
        [x - 5.0, x + 5.0, y - 5.0, y + 5.0]
    }
}

/// Gives each name a side on which it touches no other name and no other sensor.
fn place_names<'a>(sensors: &'a [MapSensor<'a>]) -> Vec<Name<'a>> {
    let mut names: Vec<Name<'_>> = sensors
        .iter()
        .map(|sensor| {
            let (x, y) = project(sensor.longitude_degrees, sensor.latitude_degrees);
            let at = (x / f64::from(WIDTH), y / f64::from(HEIGHT));
            Name { sensor, text: visible(sensor.label, SENSOR_COLUMNS_MAX), at, side: None, wide_only: false }
        })
        .collect();
    let [wide_px, narrow_px] = MAP_WIDTHS_PX;
    for index in 0..names.len() {
        let sides = [Side::Right, Side::Left, Side::Above, Side::Below];
        let everywhere = sides.into_iter().find(|side| {
            has_room(&names, index, *side, narrow_px, false) && has_room(&names, index, *side, wide_px, true)
        });
        let when_wide = || {
            let has_wide = |side: &Side| {
                has_room(&names, index, *side, wide_px, true) && has_room(&names, index, *side, wide_px * 0.75, true)
            };
            sides.into_iter().find(has_wide)
        };
        let wide_only = everywhere.is_none();
        names[index].side = everywhere.or_else(when_wide);
        names[index].wide_only = wide_only;
    }
    names
}

fn has_room(names: &[Name<'_>], index: usize, side: Side, width_px: f64, also_wide: bool) -> bool {
    let wanted = names[index].box_at(side, width_px);
    let height_px = width_px * f64::from(HEIGHT) / f64::from(WIDTH);
    let is_inside = wanted[0] >= 0.0 && wanted[1] <= width_px && wanted[2] >= 0.0 && wanted[3] <= height_px;
    is_inside
        && names.iter().enumerate().filter(|(other, _)| *other != index).all(|(_, other)| {
            let name = other.side.filter(|_| also_wide || !other.wide_only).map(|side| other.box_at(side, width_px));
            !touches(wanted, other.circle(width_px)) && name.is_none_or(|name| !touches(wanted, name))
        })
}

fn touches(a: [f64; 4], b: [f64; 4]) -> bool {
    a[0] < b[1] && b[0] < a[1] && a[2] < b[3] && b[2] < a[3]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_country_of_the_map_has_names() {
        for land in LANDS {
            let country = Country::parse(land.code).unwrap();
            assert_eq!(country.code(), land.code);
            assert!(land.runs.starts_with('m') && land.x < WIDTH && land.y < HEIGHT, "{}", land.code);
        }
        assert!(LANDS.is_sorted_by_key(|land| land.code));
        assert!(crate::STYLE.contains(&format!("aspect-ratio:{WIDTH}/{HEIGHT}")));
        // What has no dot: Antarctica, which the map leaves out, and islands of which the borders say nothing.
        let missing: Vec<&str> =
            Country::all().map(Country::code).filter(|code| LANDS.iter().all(|land| land.code != *code)).collect();
        assert_eq!(missing, ["AQ", "TK"]);
    }

    #[test]
    fn places_lie_where_they_belong() {
        let check = |longitude: f64, latitude: f64, code: &str| {
            let (x, y) = project(longitude, latitude);
            let land = LANDS.iter().find(|land| land.code == code).unwrap();
            let distance = (x - f64::from(land.x)).hypot(y - f64::from(land.y));
            assert!(distance < 60.0, "{code}: {distance}");
        };
        check(138.0, 37.0, "JP");
        check(103.8, 1.35, "SG");
        check(-52.0, -10.0, "BR");
        check(10.4, 51.2, "DE");
        check(134.0, -25.0, "AU");
        let (x, y) = project(f64::NAN, f64::INFINITY);
        assert!(x.is_finite() && y.is_finite());
    }

    #[test]
    fn names_of_sensors_never_touch() {
        let sensors: Vec<MapSensor<'_>> = (0..40)
            .map(|index| MapSensor {
                label: "Tokyo, second floor",
                longitude_degrees: f64::from(index * index * 61 % 331 - 165),
                latitude_degrees: f64::from(index * 29 % 97 - 40),
                link: None,
            })
            .collect();
        let names = place_names(&sensors);
        for (width_px, also_wide) in [(320.0, false), (640.0, true)] {
            for (index, name) in names.iter().enumerate() {
                if let Some(side) = name.side.filter(|_| also_wide || !name.wide_only) {
                    assert!(has_room(&names, index, side, width_px, also_wide), "{index} at {width_px}");
                }
            }
        }
        assert!(names.iter().filter(|name| name.side.is_some()).count() > 10);
    }
}
