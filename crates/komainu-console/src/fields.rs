//! Fields of forms and queries (application/x-www-form-urlencoded).

use percent_encoding::percent_decode;

/// Fields of one form or query; more are no form of ours. The largest is a security profile: 100 behaviors with eight fields each.
const FIELDS_MAX: usize = 1_024;

/// Fields in the order in which they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Takes fields that are UTF-8, at most [`FIELDS_MAX`].
    pub(crate) fn parse(encoded: &[u8]) -> Option<Self> {
        let mut fields = Vec::new();
        for pair in encoded.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            if fields.len() == FIELDS_MAX {
                return None;
            }
            let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &[][..]),
            };
            fields.push((decode(name)?, decode(value)?));
        }
        Some(Self(fields))
    }

    /// The first value of a field; empty when there is none.
    pub(crate) fn one(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or("")
    }

    /// All values of a field.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(of, _)| of == name).map(|(_, value)| value.as_str())
    }
}

fn decode(text: &[u8]) -> Option<String> {
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    String::from_utf8(percent_decode(&spaced).collect()).ok()
}

/// A place of this console to go on to, as a field names it: a path, with its query. Nothing that a browser would take for
/// another site.
pub(crate) fn local_path(text: &str) -> Option<&str> {
    /// Bytes of an address that is carried along; a page with a larger one is not gone back to.
    const BYTES_MAX: usize = 2_048;
    let is_local = text.starts_with('/') && !text.starts_with("//");
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    (is_local && is_plain && text.len() <= BYTES_MAX).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_browsers_send() {
        let fields = Fields::parse("name=aiko&password=a+b%2B%E9%8D%B5&empty=&bare&name=ken".as_bytes()).unwrap();
        let check = |name, expected| assert_eq!(fields.one(name), expected);
        check("name", "aiko");
        check("password", "a b+鍵");
        check("empty", "");
        check("bare", "");
        check("missing", "");
    }

    #[test]
    fn refuses_what_they_do_not() {
        assert_eq!(Fields::parse(b"a=%ff"), None);
        assert_eq!(Fields::parse("a&".repeat(1_025).as_bytes()), None);
        assert!(Fields::parse("a&".repeat(1_024).as_bytes()).is_some());
        assert_eq!(Fields::parse(b"%4=%").unwrap().one("%4"), "%");
    }

    #[test]
    fn goes_to_no_other_site() {
        let check = |text: &str, is_local| assert_eq!(local_path(text).is_some(), is_local, "{text:?}");
        check("/", true);
        check("/admin/audit?before=5", true);
        check("//example.com", false);
        check("/\\example.com", false);
        check("https://example.com", false);
        check("/\n/example.com", false);
        check("", false);
        check(&format!("/{}", "a".repeat(2_048)), false);
    }
}
