//! Reads what was drawn as a browser would, and says whether it holds what every chart must.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// Checks that `markup` is well-formed, has no script and no style of its own, leads nowhere else, and draws nothing
/// out of its box. `what` is said when it does not.
pub(crate) fn check(what: &str, markup: &str) {
    for c in markup.chars() {
        assert!(c == '\n' || !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}'), "{what}: {c:?} in the markup");
        assert!(!matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'), "{what}: {c:?} in the markup");
    }
    let mut reader = Reader::from_str(markup);
    // The plane's box, while the reader is in it.
    let mut boxes: Vec<Option<(f64, f64)>> = Vec::new();
    let mut depth = 0;
    loop {
        match reader.read_event().unwrap_or_else(|error| panic!("{what}: {error} in {markup}")) {
            Event::Start(element) => {
                let inherited = boxes.last().copied().flatten();
                boxes.push(check_element(what, &element, inherited));
                depth += 1;
            }
            Event::Empty(element) => {
                check_element(what, &element, boxes.last().copied().flatten());
            }
            Event::End(_) => {
                boxes.pop();
                depth -= 1;
            }
            Event::Eof => break,
            Event::Text(_) | Event::GeneralRef(_) => {}
            other => panic!("{what}: {other:?}"),
        }
    }
    assert_eq!(depth, 0, "{what}: elements that do not end");
}

/// The box of the units in which the content of the element is drawn.
fn check_element(what: &str, element: &BytesStart<'_>, units: Option<(f64, f64)>) -> Option<(f64, f64)> {
    let name = element.name().as_ref().to_owned();
    assert!(
        matches!(
            name.as_str(),
            "a" | "bdi"
                | "caption"
                | "circle"
                | "desc"
                | "figure"
                | "g"
                | "i"
                | "li"
                | "line"
                | "p"
                | "path"
                | "rect"
                | "span"
                | "svg"
                | "table"
                | "tbody"
                | "td"
                | "text"
                | "th"
                | "thead"
                | "title"
                | "tr"
                | "ul"
        ),
        "{what}: an element {name}"
    );
    let mut inner = units;
    let (mut x, mut width) = (0.0, 0.0);
    for attribute in element.attributes() {
        let attribute = attribute.unwrap_or_else(|error| panic!("{what}: {error}"));
        let key = attribute.key.as_ref().to_owned();
        let value = attribute.value.into_owned();
        assert!(key != "style" && !key.starts_with("on"), "{what}: an attribute {key}");
        match key.as_str() {
            "href" => assert!(value.starts_with(['/', '?', '#']) && !value.starts_with("//"), "{what}: {value}"),
            "viewBox" => {
                let numbers: Vec<f64> = value.split(' ').map(|number| number.parse().unwrap()).collect();
                inner = Some((numbers[2], numbers[3]));
            }
            "d" => check_path(what, &value, units.expect("a path is drawn in a box of units")),
            "x" | "x1" | "x2" | "cx" | "y" | "y1" | "y2" | "cy" | "r" | "dx" | "dy" | "width" | "height" => {
                let number = value.strip_suffix('%').unwrap_or(&value).parse::<f64>();
                let number = number.unwrap_or_else(|error| panic!("{what}: {key}={value}: {error}"));
                assert!(number.is_finite(), "{what}: {key}={value}");
                if value.ends_with('%') {
                    assert!((0.0..=100.0).contains(&number), "{what}: {key}={value}");
                    match key.as_str() {
                        "x" => x = number,
                        "width" => width = number,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    assert!(name != "rect" || x + width <= 100.05, "{what}: from {x} % over {width} %");
    inner
}

/// Follows a path's pen: no point may be more than a few units out of the box.
fn check_path(what: &str, path: &str, (width, height): (f64, f64)) {
    const BEYOND: f64 = 8.0;
    let (mut pen, mut start) = ((0.0, 0.0), (0.0, 0.0));
    let mut rest = path;
    while let Some(letter) = rest.chars().next() {
        let end = rest[1..].find(|c: char| c.is_ascii_alphabetic()).map_or(rest.len(), |at| at + 1);
        let numbers = numbers_of(&rest[1..end]);
        rest = &rest[end..];
        match (letter, numbers.as_slice()) {
            ('M', [x, y]) => pen = (*x, *y),
            ('m' | 'l', [dx, dy]) => pen = (pen.0 + dx, pen.1 + dy),
            ('h', [dx]) => pen.0 += dx,
            ('v', [dy]) => pen.1 += dy,
            // The curve lies between its ends and the point that bends it.
            ('Q', [_, bend_y, x, y]) => {
                assert!(*bend_y >= 0.0, "{what}: {path}");
                pen = (*x, *y);
            }
            ('z', []) => pen = start,
            other => panic!("{what}: {other:?} in {path}"),
        }
        if matches!(letter, 'M' | 'm') {
            start = pen;
        }
        let is_inside = (-BEYOND..=width + BEYOND).contains(&pen.0) && (-BEYOND..=height + BEYOND).contains(&pen.1);
        assert!(is_inside, "{what}: {pen:?} is out of {width} x {height}: {path}");
    }
}

fn numbers_of(text: &str) -> Vec<f64> {
    text.replace('-', " -").split_whitespace().map(|number| number.parse().unwrap()).collect()
}
