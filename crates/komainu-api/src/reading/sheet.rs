//! Answers as rows with names, written as JSON or CSV.

use serde_json::{Map, Value};

/// Rows with a name over each column.
pub(super) struct Sheet {
    pub(super) columns: Vec<String>,
    /// A value for each column.
    pub(super) rows: Vec<Vec<Value>>,
    /// Rows that are meant, when those that are shown are groups of them.
    pub(super) counted: Option<u64>,
    /// What leads to the page that follows.
    pub(super) next: Option<String>,
}

impl Sheet {
    /// Without rows.
    pub(super) fn new(columns: &[&str]) -> Self {
        let columns = columns.iter().map(|name| (*name).to_owned()).collect();
        Self { columns, rows: Vec::new(), counted: None, next: None }
    }

    /// One object: `items`, an object for each row; `rows`, if something was counted; `next`, if there is more.
    pub(super) fn json(self) -> String {
        let Self { columns, rows, counted, next } = self;
        let object = |row: Vec<Value>| columns.iter().cloned().zip(row).collect::<Map<_, _>>();
        let items: Vec<Value> = rows.into_iter().map(|row| Value::Object(object(row))).collect();
        let mut answer = Map::from_iter([("items".to_owned(), Value::Array(items))]);
        answer.extend(counted.map(|counted| ("rows".to_owned(), counted.into())));
        answer.extend(next.map(|next| ("next".to_owned(), next.into())));
        Value::Object(answer).to_string()
    }

    /// A line of names and a line for each row (RFC 4180). Lists have spaces between their parts.
    pub(super) fn csv(self) -> String {
        let mut text = self.columns.join(",") + "\r\n";
        for row in &self.rows {
            let fields: Vec<String> = row.iter().map(|value| quoted(&plain(value))).collect();
            text.push_str(&fields.join(","));
            text.push_str("\r\n");
        }
        text
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(" "),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

/// A field. What attackers sent stays as it is, but a spreadsheet takes no text for a formula: an apostrophe stands before one.
fn quoted(field: &str) -> String {
    let is_number = field.parse::<f64>().is_ok();
    let is_formula = !is_number && field.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let field = if is_formula { format!("'{field}") } else { field.to_owned() };
    if field.contains([',', '"', '\r', '\n']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sheet() -> Sheet {
        let rows = vec![vec![json!("=1+1"), json!(-5)], vec![json!("a \"b\", c\n"), json!(["x", "y"])]];
        Sheet { rows, counted: Some(7), next: Some("n".to_owned()), ..Sheet::new(&["value", "count"]) }
    }

    #[test]
    fn answers_are_written() {
        let items = json!([{"value": "=1+1", "count": -5}, {"value": "a \"b\", c\n", "count": ["x", "y"]}]);
        let read: Value = serde_json::from_str(&sheet().json()).unwrap();
        assert_eq!(read, json!({"items": items, "rows": 7, "next": "n"}));
        assert_eq!(sheet().csv(), "value,count\r\n'=1+1,-5\r\n\"a \"\"b\"\", c\n\",x y\r\n");
    }
}
