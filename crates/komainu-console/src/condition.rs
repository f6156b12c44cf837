//! Which rows are meant: tests of columns, as people write them and as addresses have them.
//!
//! The language is that of [`LakeFilter::parse`], which the command line has, too.

use komainu_ports::{FILTERS_MAX, LakeFilter, LakeKind, LakeTable, LakeTest, LakeValue};

use crate::fields::Fields;

/// The longest test that is read, in bytes: more is in no address.
const TEST_BYTES_MAX: usize = 2_048;

/// Tests that must all hold.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Conditions {
    table: LakeTable,
    /// At most [`FILTERS_MAX`].
    filters: Vec<LakeFilter>,
}

/// A text that is no test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoTest(pub(crate) String);

impl Conditions {
    /// None at all.
    pub(crate) const fn none(table: LakeTable) -> Self {
        Self { table, filters: Vec::new() }
    }

    /// What an address says: each `where`, and each field that has the name of a column as `NAME=VALUE`.
    pub(crate) fn of(table: LakeTable, query: &Fields) -> Result<Self, NoTest> {
        let mut all = Self::none(table);
        let texts = query.all("where").map(str::to_owned);
        let columns = table.columns().iter().filter(|column| column.kind != LakeKind::Time);
        let named = columns.flat_map(|column| query.all(column.name).map(|value| (column.name, value)));
        let named = named.filter(|(_, value)| !value.trim().is_empty());
        for text in texts.chain(named.map(|(name, value)| format!("{name}={}", value.trim()))) {
            if !text.trim().is_empty() {
                all = all.with(parse(table, text.trim())?).ok_or(NoTest(text))?;
            }
        }
        Ok(all)
    }

    /// The tests.
    pub(crate) fn filters(&self) -> &[LakeFilter] {
        &self.filters
    }

    /// The tests as texts.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.filters.iter().map(|filter| filter.written(self.table)).collect()
    }

    /// The same with one more. A test for values of a column replaces the one that was there; nothing when there are too many.
    pub(crate) fn with(&self, filter: LakeFilter) -> Option<Self> {
        let mut all = self.clone();
        if matches!(filter.test, LakeTest::OneOf(_)) {
            all.filters.retain(|known| known.column != filter.column || !matches!(known.test, LakeTest::OneOf(_)));
        }
        if !all.filters.contains(&filter) {
            all.filters.push(filter);
        }
        (all.filters.len() <= FILTERS_MAX).then_some(all)
    }

    /// The same with this value of a column only.
    pub(crate) fn only(&self, column: usize, value: LakeValue) -> Option<Self> {
        self.with(LakeFilter { column, test: LakeTest::OneOf(vec![value]) })
    }

    /// The same without the test at a place.
    pub(crate) fn without(&self, place: usize) -> Self {
        let mut all = self.clone();
        if place < all.filters.len() {
            all.filters.remove(place);
        }
        all
    }

    /// The values that a column must have one of, as the field of a form has them.
    pub(crate) fn values_of(&self, column: usize) -> String {
        let mut of_column = self.filters.iter().filter(|filter| filter.column == column);
        of_column
            .find_map(|filter| Some(filter.values_written()).filter(|values| !values.is_empty()))
            .unwrap_or_default()
    }

    /// Tests that no field of a form has, as texts.
    pub(crate) fn others(&self) -> Vec<String> {
        let others = self.filters.iter().filter(|filter| filter.values_written().is_empty());
        others.map(|filter| filter.written(self.table)).collect()
    }
}

/// The test whether a column has this value, as addresses have it.
pub(crate) fn is_one(column: &str, value: &str) -> String {
    format!("{column}={}", value.replace('\\', "\\\\").replace(',', "\\,"))
}

/// A test that somebody wrote.
fn parse(table: LakeTable, text: &str) -> Result<LakeFilter, NoTest> {
    let read = if text.len() > TEST_BYTES_MAX { None } else { LakeFilter::parse(table, text).ok() };
    read.ok_or_else(|| NoTest(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str) -> Result<Vec<String>, String> {
        let fields = Fields::parse(query.as_bytes()).unwrap();
        Conditions::of(LakeTable::Attacks, &fields).map(|all| all.texts()).map_err(|NoTest(text)| text)
    }

    #[test]
    fn tests_are_read_and_written_alike() {
        let check = |query: &str, expected: &[&str]| {
            let expected: Vec<String> = expected.iter().map(|text| (*text).to_owned()).collect();
            assert_eq!(of(query), Ok(expected), "{query}");
        };
        check("", &[]);
        check("where=port%3D23,2323&where=country!%3DCN", &["port=23,2323", "country!=CN"]);
        check("where=port%3E%3D1024&where=port%3C%3D2000", &["port>=1024", "port<=2000"]);
        check("where=source%5E%3D192.0.2.&where=model~%3Da%3Db", &["source^=192.0.2.", "model~=a=b"]);
        check("where=model%3Da%5C,b%5C%5C,c", &["model=a\\,b\\\\,c"]);
        check("country=CN&port=&label=+scan+", &["country=CN", "label=scan"]);
        // One column has one list of values: the latter counts.
        check("where=country%3DUS&country=CN", &["country=CN"]);
        check("where=country%3D", &["country="]);
    }

    #[test]
    fn what_is_no_test_is_told() {
        for test in [
            "nonsense",
            "colour=red",
            "port=many",
            "port=-1",
            "port~=1",
            "country>=C",
            "port>=NaN",
            "time=1",
            "=",
            "port",
        ] {
            let query = crate::address::address("", &[("where", test)]);
            assert_eq!(of(query.trim_start_matches('?')), Err(test.to_owned()));
        }
        let many: String = (0..20).map(|number| format!("&where=port!%3D{number}")).collect();
        assert!(of(&many).is_err());
        assert!(of(&format!("country={}", "a".repeat(3_000))).is_err());
        assert!(of(&format!("country={}", "a,".repeat(1_500))).is_err());
    }

    #[test]
    fn links_narrow_what_is_meant() {
        let all = Conditions::none(LakeTable::Attacks);
        let (country, port, word) = (2, 9, LakeValue::text);
        let china = all.only(country, word("CN")).unwrap();
        let but = LakeFilter { column: port, test: LakeTest::NoneOf(vec![LakeValue::Number(23)]) };
        assert_eq!(china.with(but).unwrap().texts(), ["country=CN", "port!=23"]);
        assert_eq!(china.only(country, word("US")).unwrap().texts(), ["country=US"]);
        assert_eq!(china.without(0), all);
        assert_eq!((china.values_of(country), china.others()), ("CN".to_owned(), Vec::new()));
    }
}
