//! Addresses, names and URLs in the memory of a process.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use crate::evidence::StaticText;

/// Shorter runs of printable bytes say nothing.
const RUN_BYTES_MIN: usize = 6;
/// The longest run that is looked at.
const RUN_BYTES_MAX: usize = 512;

/// Looks for texts, piece by piece.
#[derive(Debug)]
pub struct Finder {
    found: BTreeSet<(&'static str, String)>,
    texts_max: usize,
}

impl Finder {
    /// Keeps so many different texts.
    pub fn new(texts_max: usize) -> Self {
        Self { found: BTreeSet::new(), texts_max }
    }

    /// Looks at a piece of memory.
    pub fn look(&mut self, memory: &[u8]) {
        for run in memory.split(|byte| !byte.is_ascii_graphic()) {
            if run.len() < RUN_BYTES_MIN || run.len() > RUN_BYTES_MAX || self.found.len() == self.texts_max {
                continue;
            }
            let text = String::from_utf8_lossy(run);
            if let Some(kind) = kind_of(&text) {
                self.found.insert((kind, text.into_owned()));
            }
        }
    }

    /// What was found, sorted.
    pub fn finish(self) -> Vec<StaticText> {
        let texts = self.found.into_iter();
        texts.map(|(kind, value)| StaticText { kind: kind.into(), value, decoded: false }).collect()
    }
}

/// What a text is, if it is something that can be looked for elsewhere.
fn kind_of(text: &str) -> Option<&'static str> {
    if ["http://", "https://", "ftp://", "tftp://", "stratum+tcp://"].iter().any(|scheme| text.contains(scheme)) {
        return Some("url");
    }
    let host = text.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(text, |(host, _)| host);
    if host.parse::<Ipv4Addr>().is_ok() {
        return Some("ipv4");
    }
    let labels: Vec<&str> = host.split('.').collect();
    let is_label = |label: &&str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    let (last, before) = labels.split_last()?;
    let ends_as_name = last.len() >= 2 && last.bytes().all(|byte| byte.is_ascii_lowercase());
    // Names of shared libraries and of files look the same.
    let is_file =
        ["so", "sh", "conf", "txt", "log", "pid", "html", "php", "gz"].contains(last) || host.contains(".so.");
    (!before.is_empty() && ends_as_name && !is_file && labels.iter().all(is_label)).then_some("domain")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_between_other_bytes() {
        let mut finder = Finder::new(10);
        finder.look(b"\x00203.0.113.7:5555\x00\xffcnc.example\n/lib/libc.so.6\x00libc.so\x00GET http://a/b\x00a.b\x00words here");
        finder.look(b"203.0.113.7:5555");
        let found: Vec<(String, String)> = finder.finish().into_iter().map(|text| (text.kind, text.value)).collect();
        let expected = [("domain", "cnc.example"), ("ipv4", "203.0.113.7:5555"), ("url", "http://a/b")];
        assert_eq!(found, expected.map(|(kind, value)| (kind.to_owned(), value.to_owned())));
    }

    #[test]
    fn no_more_than_the_bound_is_kept() {
        let mut finder = Finder::new(2);
        finder.look(b"a.example b.example c.example");
        assert_eq!(finder.finish().len(), 2);
    }
}
