//! Addresses of pages: all that a page shows is in its own.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// All but what RFC 3986, section 2.3, calls unreserved, and signs of the language of tests that mean nothing in a query.
const ENCODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'!').remove(b',');

/// A path with a query. Fields without a value are left out.
pub(crate) fn address(path: &str, fields: &[(&str, &str)]) -> String {
    let mut address = path.to_owned();
    for (place, (name, value)) in fields.iter().filter(|(_, value)| !value.is_empty()).enumerate() {
        address.push(if place == 0 { '?' } else { '&' });
        address.push_str(name);
        address.push('=');
        address.extend(utf8_percent_encode(value, ENCODED));
    }
    address
}

/// A part of a path.
pub(crate) fn part(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// An address or a URL as it is passed on in mails and chats, where nothing makes a link of it.
pub(crate) fn defanged(text: &str) -> String {
    with_scheme(text, "http", "hxxp").replace('.', "[.]")
}

/// The same as it was before.
pub(crate) fn refanged(text: &str) -> String {
    with_scheme(&text.replace("[.]", "."), "hxxp", "http")
}

/// A text with another scheme, and that with its `s`, wherever a URL begins in it: also within a command.
fn with_scheme(text: &str, from: &str, to: &str) -> String {
    ["", "s"]
        .iter()
        .fold(text.to_owned(), |text, secure| text.replace(&format!("{from}{secure}://"), &format!("{to}{secure}://")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_an_address_comes_back() {
        let check = |fields: &[(&str, &str)], expected: &str| {
            let address = address("/attacks", fields);
            assert_eq!(address, expected);
            let query = address.split_once('?').map_or("", |(_, query)| query);
            let read = crate::fields::Fields::parse(query.as_bytes()).unwrap();
            for (name, value) in fields {
                assert_eq!(read.one(name), *value);
            }
        };
        check(&[], "/attacks");
        check(&[("range", ""), ("by", "port")], "/attacks?by=port");
        check(&[("where", "country!=CN,US"), ("range", "7d")], "/attacks?where=country!%3DCN,US&range=7d");
        check(
            &[("where", "model=a&b=<\"> +é\u{202e}")],
            "/attacks?where=model%3Da%26b%3D%3C%22%3E%20%2B%C3%A9%E2%80%AE",
        );
    }

    #[test]
    fn what_is_passed_on_is_no_link() {
        let check = |text: &str, expected: &str| {
            assert_eq!(defanged(text), expected);
            assert_eq!(refanged(expected), text);
        };
        check("192.0.2.1", "192[.]0[.]2[.]1");
        check("https://a.example/x.sh", "hxxps://a[.]example/x[.]sh");
        check("http://192.0.2.1/a", "hxxp://192[.]0[.]2[.]1/a");
        check("httpd", "httpd");
        check("wget http://192.0.2.1/a;curl https://b", "wget hxxp://192[.]0[.]2[.]1/a;curl hxxps://b");
        check("http://198.51.100.7", "hxxp://198[.]51[.]100[.]7");
    }
}
