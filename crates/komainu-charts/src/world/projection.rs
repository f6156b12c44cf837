//! Where a place lies on the map: Tom Patterson's Natural Earth projection, and the grid of dots laid over it.
//!
//! The generator of the dots (`worldmap/`) compiles this file as well, so that dots and sensors agree.

/// Dots in a row.
pub(crate) const COLUMNS: u32 = 208;
/// Rows of dots; they reach from [`NORTH_DEGREES`] to about 57° south, which leaves out Antarctica.
pub(crate) const ROWS: u32 = 100;
/// Units of the drawing from one dot to the next in its row.
pub(crate) const COLUMN_UNITS: u32 = 8;
/// Units from one row to the next. 7 of 8 is nearly √3/2: dots of the next row stand in the gaps, all equally far
/// apart.
pub(crate) const ROW_UNITS: u32 = 7;
/// The width of the drawing, in units.
pub(crate) const WIDTH: u32 = COLUMNS * COLUMN_UNITS;
/// The height of the drawing, in units.
pub(crate) const HEIGHT: u32 = ROWS * ROW_UNITS;

/// The meridian in the middle: the edge of the map then runs through Bering Strait and cuts no country in two.
pub(crate) const MIDDLE_DEGREES: f64 = 11.0;
/// The latitude of the upper edge. North of it is nothing but the end of Greenland and ice.
pub(crate) const NORTH_DEGREES: f64 = 80.0;
/// Half of the width of the whole earth at the equator, on a sphere of radius 1: π times the first coefficient.
const HALF_WIDTH: f64 = 2.735_38;

/// The point of the drawing at this longitude and latitude, in units; what is no number lies in the middle, and what is
/// beyond an edge lies on it.
pub(crate) fn project(longitude_degrees: f64, latitude_degrees: f64) -> (f64, f64) {
    let longitude = if longitude_degrees.is_finite() { longitude_degrees } else { MIDDLE_DEGREES };
    let latitude = if latitude_degrees.is_finite() { latitude_degrees } else { 0.0 };
    let east = (longitude - MIDDLE_DEGREES + 180.0).rem_euclid(360.0) - 180.0;
    let latitude = latitude.clamp(-90.0, 90.0).to_radians();
    let x = f64::from(WIDTH) / 2.0 + east.to_radians() * parallel(latitude) * scale();
    let y = (meridian(NORTH_DEGREES.to_radians()) - meridian(latitude)) * scale();
    (x.clamp(0.0, f64::from(WIDTH)), y.clamp(0.0, f64::from(HEIGHT)))
}

/// Units for the radius of the sphere.
pub(crate) fn scale() -> f64 {
    f64::from(WIDTH) / (2.0 * HALF_WIDTH)
}

/// How long the parallel at `latitude` (radians) is drawn. B. Šavrič et al., "A Polynomial Equation for the Natural
/// Earth Projection", 2011, equation 4.
pub(crate) fn parallel(latitude: f64) -> f64 {
    let square = latitude * latitude;
    let fourth = square * square;
    0.870_700 - 0.131_979 * square + fourth * (-0.013_791 + fourth * square * (0.003_971 - 0.001_529 * square))
}

/// How far from the equator the parallel at `latitude` (radians) is drawn; the same paper, equation 5.
pub(crate) fn meridian(latitude: f64) -> f64 {
    let square = latitude * latitude;
    let sixth = square * square * square;
    latitude
        * (1.007_226 + 0.015_085 * square + sixth * (-0.044_475 + 0.028_874 * square - 0.005_916 * square * square))
}
