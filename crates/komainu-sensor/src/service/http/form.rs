//! Fields of a login form, as browsers and the programs of makers send them.

use serde::Deserialize;
use serde_json::Value;

/// The names of the two fields of a form that are a login.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FormText {
    pub(super) user: String,
    pub(super) password: String,
}

/// A login that was sent in a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BodyLogin {
    pub(super) user: Vec<u8>,
    /// A password, or the proof of one.
    pub(super) secret: Vec<u8>,
    /// What makes proofs; none for a password.
    pub(super) mechanism: Option<&'static str>,
    pub(super) is_accepted: bool,
}

/// The value of a field: in a body that is an object of JSON, or in a body or a query that is encoded as an HTML form
/// (application/x-www-form-urlencoded).
pub(super) fn field(body: &[u8], query: &[u8], name: &str) -> Option<Vec<u8>> {
    if body.trim_ascii_start().starts_with(b"{") {
        return match serde_json::from_slice::<Value>(body).ok()?.get(name)? {
            Value::String(text) => Some(text.clone().into_bytes()),
            Value::Number(number) => Some(number.to_string().into_bytes()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
    }
    encoded(body, name).or_else(|| encoded(query, name))
}

fn encoded(form: &[u8], name: &str) -> Option<Vec<u8>> {
    form.trim_ascii().split(|byte| *byte == b'&').find_map(|pair| {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        (decoded(&pair[..equals]) == name.as_bytes()).then(|| decoded(&pair[equals + 1..]))
    })
}

/// What is not encoded as it should be stays as it is.
fn decoded(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let digit = |at: usize| char::from(*after.get(at)?).to_digit(16);
        match (first, digit(0), digit(1)) {
            (b'+', ..) => bytes.push(b' '),
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                rest = &after[2..];
            }
            _ => bytes.push(*first),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields() {
        let check = |body: &str, query: &str, expected: Option<&str>| {
            let value = field(body.as_bytes(), query.as_bytes(), "user");
            assert_eq!(value.as_deref(), expected.map(str::as_bytes), "{body:?} {query:?}");
        };
        check("user=admin&password=x", "", Some("admin"));
        check("a=b&user=a%20b+c%2", "", Some("a b c%2"));
        check("us%65r=\r\n", "", Some(""));
        check("", "user=admin", Some("admin"));
        check("{\"user\": \"admin\", \"n\": 1}", "user=other", Some("admin"));
        check("{\"user\": 12}", "", Some("12"));
        check("{\"user\": [1]}", "", None);
        check("{\"user\"", "", None);
        check("user", "", None);
        check("", "", None);
    }
}
