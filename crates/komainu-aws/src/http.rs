//! Percent-encoding of paths, query strings and forms.

use std::borrow::Cow;

use percent_encoding::percent_decode;

/// Decodes one path segment or one name or value of a query string; `None` when it is not UTF-8.
pub fn decode_component(text: &str) -> Option<String> {
    percent_decode(text.as_bytes()).decode_utf8().ok().map(Cow::into_owned)
}

/// Decodes one name or value of a form, where `+` is a space; `None` when it is not UTF-8.
pub fn decode_form_component(text: &str) -> Option<String> {
    if text.contains('+') { decode_component(&text.replace('+', " ")) } else { decode_component(text) }
}

/// The decoded names and values of a raw query string, in their order; `None` when one is not UTF-8.
///
/// A `+` stays a `+`: signatures are computed over the query string with spaces as `%20`, and what is read must be
/// what was signed.
pub fn parse_query(raw: &str) -> Option<Vec<(String, String)>> {
    parse_pairs(raw, decode_component)
}

/// The decoded names and values of a form body, in their order; `None` when one is not UTF-8.
pub fn parse_form(body: &[u8]) -> Option<Vec<(String, String)>> {
    parse_pairs(std::str::from_utf8(body).ok()?, decode_form_component)
}

fn parse_pairs(raw: &str, decode: fn(&str) -> Option<String>) -> Option<Vec<(String, String)>> {
    raw.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name)?, decode(value)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(of: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
        Some(of.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect())
    }

    #[test]
    fn query_strings_keep_plus_and_forms_do_not() {
        assert_eq!(parse_query("a=1+2&b=%20x&flag&&c="), pairs(&[("a", "1+2"), ("b", " x"), ("flag", ""), ("c", "")]));
        assert_eq!(parse_form(b"a=1+2%2B&b=x%3Dy"), pairs(&[("a", "1 2+"), ("b", "x=y")]));
        assert_eq!(parse_query(""), pairs(&[]));
        assert_eq!(parse_query("a=%ff"), None);
        assert_eq!(parse_form(b"a=\xff"), None);
    }
}
