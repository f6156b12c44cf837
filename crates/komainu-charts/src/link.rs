//! Where a value leads.

use std::fmt::Write as _;

use maud::{Markup, html};

/// Bytes of an address at most; browsers and servers take eight times that.
const HREF_BYTES_MAX: usize = 1024;

/// A link to a page of the same origin, with the condition that it stands for. The address begins with `/`, `?` or `#`,
/// names no host, and is visible ASCII without blanks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    href: String,
    filter: Option<String>,
    safe: Option<String>,
}

impl Link {
    /// A link to a path, query or fragment, which whoever calls has percent-encoded. Anything else is no link.
    pub fn new(href: &str) -> Option<Self> {
        let begins_well = match href.as_bytes() {
            [b'/', b'/' | b'\\', ..] => false,
            [b'/' | b'?' | b'#', ..] => true,
            _ => false,
        };
        let is_plain = href.len() <= HREF_BYTES_MAX && href.bytes().all(|byte| byte.is_ascii_graphic());
        (begins_well && is_plain).then(|| Self { href: href.to_owned(), filter: None, safe: None })
    }

    /// The same link, which also says for scripts that it means `column` to be `value`. A condition that is too long to
    /// be in an address is left out.
    pub fn with_filter(mut self, column: &str, value: &str) -> Self {
        let filter = format!("{}={}", encoded(column), encoded(value));
        self.filter = (filter.len() <= HREF_BYTES_MAX).then_some(filter);
        self
    }

    /// The same link, which also says for scripts how the value is passed on so that no program makes a link of it. The text is
    /// percent-encoded by whoever calls; what is no visible ASCII, or too long, is left out.
    pub fn with_safe(mut self, encoded: &str) -> Self {
        let is_plain = encoded.len() <= HREF_BYTES_MAX && encoded.bytes().all(|byte| byte.is_ascii_graphic());
        self.safe = is_plain.then(|| encoded.to_owned());
        self
    }

    /// The markup within the link.
    pub(crate) fn around(link: Option<&Self>, content: Markup) -> Markup {
        match link {
            Some(Self { href, filter, safe }) => {
                html! { a href=(href) data-filter=[filter] data-safe=[safe] { (content) } }
            }
            None => content,
        }
    }

    /// The markup within a link that the keyboard passes over: for values that are many, and stand in a table as well.
    pub(crate) fn around_passed(link: Option<&Self>, content: Markup) -> Markup {
        match link {
            Some(Self { href, filter, safe }) => {
                html! { a href=(href) data-filter=[filter] data-safe=[safe] tabindex="-1" { (content) } }
            }
            None => content,
        }
    }
}

/// Percent-encoded, all but the characters that RFC 3986, section 2.3, calls unreserved.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes().take(HREF_BYTES_MAX + 1) {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing into a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_at_home() {
        let check = |href: &str, expected: bool| assert_eq!(Link::new(href).is_some(), expected, "{href}");
        check("/attacks?country=CN", true);
        check("?since=7d", true);
        check("#table", true);
        check("//evil.example/", false);
        check("/\\evil.example/", false);
        check("javascript:alert(1)", false);
        check("https://evil.example/", false);
        check("/a b", false);
        check("/a\nb", false);
        check("", false);
        check(&format!("/{}", "a".repeat(HREF_BYTES_MAX)), false);
    }

    #[test]
    fn conditions_are_encoded() {
        let link = Link::new("/attacks").unwrap().with_filter("user", "a=\"b\"\0");
        let text = Link::around(Some(&link), html! {}).into_string();
        assert_eq!(text, r#"<a href="/attacks" data-filter="user=a%3D%22b%22%00"></a>"#);
        let link = Link::new("/attacks").unwrap().with_filter("user", &"x".repeat(10_000_000));
        assert_eq!(link.filter, None);
        let link = Link::new("/attacks").unwrap().with_safe("192%5B.%5D0");
        assert_eq!(
            Link::around(Some(&link), html! {}).into_string(),
            r#"<a href="/attacks" data-safe="192%5B.%5D0"></a>"#
        );
        assert_eq!(Link::new("/attacks").unwrap().with_safe("a b").safe, None);
    }
}
