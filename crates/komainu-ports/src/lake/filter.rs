//! Tests of columns, as people write them: on the command line, in addresses of pages.
//!
//! `port=23,2323`, `country!=CN`, `port>=1024`, `port<=1023`, `source^=192.0.2.` (begins with), `value~=busybox` (has in it); `\`
//! stands before a comma that belongs to a value.

use super::{FILTER_VALUES_MAX, LakeError, LakeFilter, LakeKind, LakeTable, LakeTest, LakeValue};

/// How a value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    OneOf,
    NoneOf,
    AtLeast,
    AtMost,
    BeginsWith,
    Contains,
}

const COMPARISONS: [(&str, Comparison); 6] = [
    ("!=", Comparison::NoneOf),
    (">=", Comparison::AtLeast),
    ("<=", Comparison::AtMost),
    ("^=", Comparison::BeginsWith),
    ("~=", Comparison::Contains),
    ("=", Comparison::OneOf),
];

impl LakeTable {
    /// The place of a column that somebody named.
    pub fn named_column(self, name: &str) -> Result<usize, LakeError> {
        self.column(name).ok_or_else(|| {
            let names: Vec<&str> = self.columns().iter().map(|column| column.name).collect();
            let (name, table) = (name.escape_debug(), self.as_str());
            let problem = format!("there is no column `{name}` in {table}; it has: {}", names.join(", "));
            LakeError::invalid("column", problem)
        })
    }
}

impl LakeFilter {
    /// A test that somebody wrote, such as `port>=1024`.
    pub fn parse(table: LakeTable, text: &str) -> Result<Self, LakeError> {
        let invalid = |problem: String| LakeError::invalid("where", problem);
        let parts = text.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').and_then(|end| {
            let (name, rest) = text.split_at(end);
            COMPARISONS.iter().find_map(|(sign, comparison)| Some((name, *comparison, rest.strip_prefix(sign)?)))
        });
        let Some((name, comparison, value)) = parts else {
            let text = text.escape_debug();
            return Err(invalid(format!(
                "`{text}` is no test: write COLUMN=VALUE, or !=, >=, <=, ^= (begins with), ~= (has in it)"
            )));
        };
        let column = table.named_column(name)?;
        let kind = table.columns()[column].kind;
        let number = |text: &str| {
            let number = text.trim().parse().ok().filter(|number: &f64| number.is_finite());
            number.ok_or_else(|| invalid(format!("`{}` is no number: `{name}` is one", text.escape_debug())))
        };
        let one = |text: String| match kind {
            LakeKind::Time => Err(invalid(format!("`{name}` is chosen by the range of time"))),
            LakeKind::Text => Ok(LakeValue::text(&text)),
            LakeKind::Number => text.trim().parse().map(LakeValue::Number).map_err(|_| {
                let text = text.escape_debug();
                invalid(format!("`{text}` is no number: `{name}` is a whole one below 2^32"))
            }),
            LakeKind::Float => number(&text).map(LakeValue::Float),
        };
        let values = || {
            let values = values_in(value);
            if values.len() > FILTER_VALUES_MAX {
                return Err(invalid(format!("{} values of `{name}` are more than {FILTER_VALUES_MAX}", values.len())));
            }
            values.into_iter().map(one).collect::<Result<Vec<_>, LakeError>>()
        };
        let test = match (comparison, kind) {
            (Comparison::OneOf, _) => LakeTest::OneOf(values()?),
            (Comparison::NoneOf, _) => LakeTest::NoneOf(values()?),
            (_, LakeKind::Time) => return Err(invalid(format!("`{name}` is chosen by the range of time"))),
            (Comparison::BeginsWith, LakeKind::Text) => LakeTest::BeginsWith(value.to_owned()),
            (Comparison::Contains, LakeKind::Text) => LakeTest::Contains(value.to_owned()),
            (Comparison::AtLeast, LakeKind::Number | LakeKind::Float) => {
                LakeTest::Between(number(value)?, f64::INFINITY)
            }
            (Comparison::AtMost, LakeKind::Number | LakeKind::Float) => {
                LakeTest::Between(f64::NEG_INFINITY, number(value)?)
            }
            (Comparison::AtLeast | Comparison::AtMost, LakeKind::Text) => {
                let allowed = "it is tested with =, !=, ^= (begins with) or ~= (has in it)";
                return Err(invalid(format!("`{name}` is a text: {allowed}")));
            }
            (Comparison::BeginsWith | Comparison::Contains, LakeKind::Number | LakeKind::Float) => {
                return Err(invalid(format!("`{name}` is a number: it is tested with =, !=, >= or <=")));
            }
        };
        Ok(Self { column, test })
    }

    /// The test as [`LakeFilter::parse`] reads it. Of a test between two bounds, which nobody can write, the upper is told.
    pub fn written(&self, table: LakeTable) -> String {
        let name = table.columns()[self.column].name;
        match &self.test {
            LakeTest::OneOf(values) => format!("{name}={}", values_written(values)),
            LakeTest::NoneOf(values) => format!("{name}!={}", values_written(values)),
            LakeTest::BeginsWith(text) => format!("{name}^={text}"),
            LakeTest::Contains(text) => format!("{name}~={text}"),
            LakeTest::Between(least, most) if most.is_infinite() => format!("{name}>={least}"),
            LakeTest::Between(_, most) => format!("{name}<={most}"),
        }
    }

    /// The values that the column must have one of, as they stand behind its `=`; empty when it is another test.
    pub fn values_written(&self) -> String {
        match &self.test {
            LakeTest::OneOf(values) => values_written(values),
            LakeTest::NoneOf(_) | LakeTest::BeginsWith(_) | LakeTest::Contains(_) | LakeTest::Between(..) => {
                String::new()
            }
        }
    }
}

fn values_written(values: &[LakeValue]) -> String {
    let escaped = values.iter().map(|value| value.to_string().replace('\\', "\\\\").replace(',', "\\,"));
    escaped.collect::<Vec<_>>().join(",")
}

/// The values between commas. Behind a `\` stands what belongs to a value.
fn values_in(text: &str) -> Vec<String> {
    let mut values = vec![String::new()];
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        let last = values.last_mut().expect("there is one from the beginning");
        match letter {
            ',' => values.push(String::new()),
            '\\' => last.push(letters.next().unwrap_or('\\')),
            letter => last.push(letter),
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_read() {
        let check = |text: &str, name: &str, test: LakeTest| {
            let expected = LakeFilter { column: LakeTable::Attacks.column(name).unwrap(), test };
            let read = LakeFilter::parse(LakeTable::Attacks, text).unwrap();
            assert_eq!(read, expected, "{text}");
            let again = LakeFilter::parse(LakeTable::Attacks, &read.written(LakeTable::Attacks)).unwrap();
            assert_eq!(again, expected, "{text}");
        };
        let text = LakeValue::text;
        check("protocol=telnet", "protocol", LakeTest::OneOf(vec![text("telnet")]));
        check("country!=CN,US", "country", LakeTest::NoneOf(vec![text("CN"), text("US")]));
        check("country=", "country", LakeTest::OneOf(vec![text("")]));
        check("port=23, 2323", "port", LakeTest::OneOf(vec![LakeValue::Number(23), LakeValue::Number(2323)]));
        check("port>=1024", "port", LakeTest::Between(1024.0, f64::INFINITY));
        check("port<=1023", "port", LakeTest::Between(f64::NEG_INFINITY, 1023.0));
        check("source^=192.0.2.", "source", LakeTest::BeginsWith("192.0.2.".to_owned()));
        check("model~=DB, 1", "model", LakeTest::Contains("DB, 1".to_owned()));
        check(r"model=a\,b,c\\,=", "model", LakeTest::OneOf(vec![text("a,b"), text(r"c\"), text("=")]));
        check("model==", "model", LakeTest::OneOf(vec![text("=")]));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let check = |table: LakeTable, text: &str, expected: &str| {
            let error = LakeFilter::parse(table, text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        };
        let attacks = LakeTable::Attacks;
        check(attacks, "contry=CN", "there is no column `contry` in attacks; it has: time, source, country,");
        check(attacks, "port", "`port` is no test: write COLUMN=VALUE");
        check(attacks, "port>23", "is no test");
        check(attacks, "=23", "there is no column ``");
        check(attacks, "a b=23", "is no test");
        check(attacks, "port=telnet", "`telnet` is no number: `port` is a whole one below 2^32");
        check(attacks, "port=4294967296", "is a whole one");
        check(attacks, "port>=x", "`x` is no number: `port` is one");
        check(attacks, "port^=2", "`port` is a number: it is tested with =, !=, >= or <=");
        check(attacks, "source>=1", "`source` is a text: it is tested with =, !=, ^=");
        check(attacks, "time>=1", "`time` is chosen by the range of time");
        check(attacks, "\u{202e}=1", "is no test");
        check(LakeTable::Datapoints, "value~=1", "is a number");
        check(attacks, "port>=NaN", "is no number");
        let many = format!("country={}", "a,".repeat(FILTER_VALUES_MAX));
        check(attacks, &many, "1025 values of `country` are more than 1024");
    }
}
