//! Rows with headings, as a table for people, as CSV, or as JSON.

use std::io::{self, Write};

use komainu_model::Timestamp;
use komainu_ports::{LakeColumn, LakeKind, LakeValue};
use komainu_triage::shown;
use serde_json::{Map, Value};

/// Letters of a cell of a table; of what is longer, the end is left out.
const CELL_LETTERS_MAX: usize = 80;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Aligned columns; what attackers wrote is escaped, and cut where it is long.
    Table,
    /// Comma-separated values (RFC 4180), with a line of names.
    Csv,
    /// One JSON object a line.
    Json,
}

/// What stands over a column.
#[derive(Debug)]
pub(super) struct Heading {
    name: String,
    /// Numbers stand at the right.
    is_number: bool,
}

/// What stands in a column.
#[derive(Debug, Clone)]
pub(super) enum Cell {
    Value(LakeValue),
    Count(u64),
}

/// Rows that are being written. A table is written at its end, when it is known how wide its columns are.
pub(super) struct Sheet<'a> {
    form: Form,
    headings: Vec<Heading>,
    rows: Vec<Vec<String>>,
    out: &'a mut dyn Write,
    is_terminal: bool,
}

impl Heading {
    pub(super) fn text(name: &str) -> Self {
        Self { name: name.to_owned(), is_number: false }
    }

    pub(super) fn number(name: &str) -> Self {
        Self { name: name.to_owned(), is_number: true }
    }

    pub(super) fn of_column(column: &LakeColumn) -> Self {
        let is_number = matches!(column.kind, LakeKind::Number | LakeKind::Float);
        Self { name: column.name.to_owned(), is_number }
    }
}

impl Cell {
    pub(super) fn time(at: Timestamp) -> Self {
        Self::Value(LakeValue::Time(at))
    }

    pub(super) fn text(text: &str) -> Self {
        Self::Value(LakeValue::text(text))
    }

    fn json(self) -> Value {
        match self {
            Self::Count(count) => count.into(),
            Self::Value(LakeValue::Number(number)) => number.into(),
            // What is no number has none in JSON.
            Self::Value(LakeValue::Float(number)) => number.into(),
            Self::Value(LakeValue::Time(at)) => calendar(at).into(),
            Self::Value(LakeValue::Text(text)) => Value::String(text.as_ref().to_owned()),
        }
    }

    fn plain(&self) -> String {
        match self {
            Self::Count(count) => count.to_string(),
            Self::Value(LakeValue::Time(at)) => calendar(*at),
            Self::Value(value) => value.to_string(),
        }
    }
}

impl<'a> Sheet<'a> {
    /// Begins to write; on a terminal, nothing is written that moves it.
    pub(super) fn begin(
        form: Form,
        headings: Vec<Heading>,
        out: &'a mut dyn Write,
        is_terminal: bool,
    ) -> io::Result<Self> {
        if form == Form::Csv {
            let names: Vec<&str> = headings.iter().map(|heading| heading.name.as_str()).collect();
            write!(out, "{}\r\n", names.join(","))?;
        }
        Ok(Self { form, headings, rows: Vec::new(), out, is_terminal })
    }

    /// Adds a row with a cell for each heading.
    pub(super) fn add(&mut self, cells: Vec<Cell>) -> io::Result<()> {
        match self.form {
            Form::Table => {
                self.rows.push(cells.iter().map(|cell| cut(&shown(cell.plain().as_bytes()))).collect());
                Ok(())
            }
            Form::Csv => {
                let text = |cell: &Cell| match cell.plain() {
                    text if self.is_terminal => shown(text.as_bytes()),
                    text => text,
                };
                let fields: Vec<String> = cells.iter().map(|cell| quoted(text(cell))).collect();
                write!(self.out, "{}\r\n", fields.join(","))
            }
            Form::Json => {
                let names = self.headings.iter().map(|heading| heading.name.clone());
                let object: Map<String, Value> = names.zip(cells.into_iter().map(Cell::json)).collect();
                writeln!(self.out, "{}", escaped(&Value::Object(object).to_string()))
            }
        }
    }

    /// Writes what is left.
    pub(super) fn end(self) -> io::Result<()> {
        if self.form != Form::Table {
            return Ok(());
        }
        let letters = |text: &str| text.chars().count();
        let widths: Vec<usize> = self
            .headings
            .iter()
            .enumerate()
            .map(|(place, heading)| {
                self.rows.iter().map(|row| letters(&row[place])).fold(letters(&heading.name), usize::max)
            })
            .collect();
        let names: Vec<String> = self.headings.iter().map(|heading| heading.name.clone()).collect();
        for row in std::iter::once(&names).chain(&self.rows) {
            let cells = row.iter().zip(&widths).zip(&self.headings).map(|((text, width), heading)| {
                if heading.is_number { format!("{text:>width$}") } else { format!("{text:<width$}") }
            });
            writeln!(self.out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// A time in ISO 8601, in UTC; as its milliseconds when no calendar has it.
fn calendar(at: Timestamp) -> String {
    let millis = at.unix_millis();
    jiff::Timestamp::from_millisecond(millis).map_or_else(|_| millis.to_string(), |time| time.to_string())
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(CELL_LETTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A field of CSV, in quotes where it must be.
fn quoted(text: String) -> String {
    let is_plain = !text.contains([',', '"', '\r', '\n']) && text.trim() == text;
    if is_plain { text } else { format!("\"{}\"", text.replace('"', "\"\"")) }
}

/// JSON with the same meaning, in which no letter moves a terminal or changes how others are read.
fn escaped(json: &str) -> String {
    if json.bytes().all(|byte| byte.is_ascii() && byte != 0x7f) {
        return json.to_owned();
    }
    let mut text = String::with_capacity(json.len());
    for letter in json.chars() {
        let mut bytes = [0; 4];
        let is_shown = letter.is_ascii_graphic()
            || letter == ' '
            || shown(letter.encode_utf8(&mut bytes).as_bytes()) == *letter.encode_utf8(&mut [0; 4]);
        if is_shown {
            text.push(letter);
        } else {
            let mut units = [0; 2];
            for unit in letter.encode_utf16(&mut units) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(form: Form, is_terminal: bool, rows: Vec<Vec<Cell>>) -> String {
        let mut out = Vec::new();
        let headings = vec![Heading::text("time"), Heading::text("value"), Heading::number("count")];
        let mut sheet = Sheet::begin(form, headings, &mut out, is_terminal).unwrap();
        rows.into_iter().try_for_each(|row| sheet.add(row)).unwrap();
        sheet.end().unwrap();
        String::from_utf8(out).unwrap()
    }

    fn row(at_ms: i64, value: &str, count: u64) -> Vec<Cell> {
        vec![Cell::time(Timestamp::from_unix_millis(at_ms)), Cell::text(value), Cell::Count(count)]
    }

    #[test]
    fn a_table_is_aligned_and_moves_no_terminal() {
        let rows =
            vec![row(0, "telnet", 5), row(1_795_568_523_004, "a\u{1b}[2J\u{202e}b", 12_345), row(i64::MAX, "", 0)];
        let expected = "\
time                      value                count
1970-01-01T00:00:00Z      telnet                   5
2026-11-25T01:02:03.004Z  a\\u{1b}[2J\\u{202e}b  12345
9223372036854775807                                0
";
        assert_eq!(written(Form::Table, true, rows), expected);
        let long = written(Form::Table, false, vec![row(0, &"é".repeat(81), 1)]);
        assert!(long.contains(&format!("{}…", "é".repeat(80))), "{long}");
    }

    #[test]
    fn csv_is_quoted_where_it_must_be() {
        let check = |value: &str, is_terminal: bool, expected: &str| {
            let csv = written(Form::Csv, is_terminal, vec![row(0, value, 1)]);
            assert_eq!(csv, format!("time,value,count\r\n1970-01-01T00:00:00Z,{expected},1\r\n"));
        };
        check("telnet", false, "telnet");
        check("", false, "");
        check("a,b", false, "\"a,b\"");
        check("say \"x\"\nnow", false, "\"say \"\"x\"\"\nnow\"");
        check(" a", false, "\" a\"");
        check("\u{1b}[2J", false, "\u{1b}[2J");
        check("\u{1b}[2J", true, "\\u{1b}[2J");
    }

    #[test]
    fn json_means_the_same_whatever_it_is_shown_on() {
        let hostile = "\u{1b}[2J\u{9b}\u{202e}日本\u{10ffff}\"";
        let json = written(Form::Json, true, vec![row(0, hostile, u64::MAX)]);
        assert!(json.contains("日本") && !json.contains(['\u{9b}', '\u{202e}', '\u{1b}']), "{json}");
        let read: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read["value"], hostile);
        assert_eq!((&read["time"], &read["count"]), (&"1970-01-01T00:00:00Z".into(), &u64::MAX.into()));
        assert!(json.starts_with("{\"time\""), "keys are in the order of the columns: {json}");
        assert_eq!(Cell::Value(LakeValue::Float(f64::NAN)).json(), Value::Null);
    }
}
