//! Outlines in whole units, written as short as SVG allows.

use std::fmt::Write as _;

use crate::layout::{PLANE_HEIGHT, PLANE_WIDTH};

/// How far beyond the plane an outline may reach, in units: where it is cut off, so that its end is not seen.
pub(crate) const BEYOND: i32 = 6;

/// The `d` of a path in the plane. Every point lies in the plane or a little beyond it.
#[derive(Debug, Default)]
pub(crate) struct Path {
    text: String,
    /// Where the pen is, and where the outline began.
    pen: (i32, i32),
    start: (i32, i32),
}

impl Path {
    pub(crate) fn move_to(&mut self, (x, y): (i32, i32)) {
        let (x, y) = within(x, y);
        self.command('m', x, y);
        self.start = (x, y);
    }

    pub(crate) fn line_to(&mut self, (x, y): (i32, i32)) {
        let (x, y) = within(x, y);
        self.command('l', x, y);
    }

    /// A dot: a line of no length, which has round ends.
    pub(crate) fn dot(&mut self, at: (i32, i32)) {
        self.move_to(at);
        self.text.push_str("h0");
    }

    pub(crate) fn close(&mut self) {
        self.text.push('z');
        self.pen = self.start;
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    fn command(&mut self, letter: char, x: i32, y: i32) {
        let (dx, dy) = (x - self.pen.0, y - self.pen.1);
        self.pen = (x, y);
        // Writing into a string cannot fail.
        let _ = match (letter, dx, dy) {
            ('l', 0, 0) => Ok(()),
            ('l', dx, 0) => write!(self.text, "h{dx}"),
            ('l', 0, dy) => write!(self.text, "v{dy}"),
            (_, dx, dy) if dy < 0 => write!(self.text, "{letter}{dx}{dy}"),
            _ => write!(self.text, "{letter}{dx} {dy}"),
        };
    }
}

/// The unit of a place between 0 and 1 on the plane's width.
pub(crate) fn unit_x(place: f64) -> i32 {
    unit(place, PLANE_WIDTH)
}

/// The unit of a depth between 0 and 1 on the plane's height.
pub(crate) fn unit_y(depth: f64) -> i32 {
    unit(depth, PLANE_HEIGHT)
}

/// What is no number becomes 0: a cast does that.
fn unit(part: f64, units: i32) -> i32 {
    (part.clamp(0.0, 1.0) * f64::from(units)).round() as i32
}

fn within(x: i32, y: i32) -> (i32, i32) {
    (x.clamp(-BEYOND, PLANE_WIDTH + BEYOND), y.clamp(-BEYOND, PLANE_HEIGHT + BEYOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outlines_are_short_and_stay_inside() {
        let mut path = Path::default();
        path.move_to((10, 20));
        path.line_to((14, 17));
        path.line_to((18, 17));
        path.line_to((18, 19));
        path.close();
        path.dot((11, 22));
        path.line_to((i32::MAX, i32::MIN));
        assert_eq!(path.into_text(), format!("m10 20l4-3h4v2zm1 2h0l{}{}", PLANE_WIDTH + BEYOND - 11, -BEYOND - 22));
        assert_eq!((unit_x(f64::NAN), unit_x(2.0), unit_y(-1.0)), (0, PLANE_WIDTH, 0));
    }
}
