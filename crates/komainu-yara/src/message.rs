//! What the process that scans and the one that asks it say to each other.
//!
//! Messages are those of `komainu-confined`; the answers are JSON. Whoever asks reads them as those of a stranger: a
//! sample may have taken over the process that scans.

use std::io::{self, Read, Write};

use komainu_ports::{PatternPlace, PayloadMatch, ScanError};
use serde::{Deserialize, Serialize};

use crate::files::RuleFile;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A file of rules: its name, its namespace and its text, with a zero byte between them.
    Rules,
    /// All files were sent.
    Begin,
    /// The answer: which rules are taken.
    Taken,
    /// A payload.
    Payload,
    /// The answer: which rules hold.
    Matches,
    /// Or: the rules were not done in time.
    TimedOut,
    /// Or: the engine failed, and why.
    Failed,
}

impl Kind {
    const ALL: [Self; 7] =
        [Self::Rules, Self::Begin, Self::Taken, Self::Payload, Self::Matches, Self::TimedOut, Self::Failed];

    fn byte(self) -> u8 {
        match self {
            Self::Rules => 1,
            Self::Begin => 2,
            Self::Taken => 3,
            Self::Payload => 4,
            Self::Matches => 5,
            Self::TimedOut => 6,
            Self::Failed => 7,
        }
    }
}

/// Sends a message.
pub(crate) fn send(to: &mut impl Write, kind: Kind, parts: &[&[u8]]) -> io::Result<()> {
    komainu_confined::send(to, kind.byte(), parts)
}

/// Receives a message of at most `bytes_max` bytes; none when there are no more.
pub(crate) fn receive(from: &mut impl Read, bytes_max: usize) -> io::Result<Option<(Kind, Vec<u8>)>> {
    let Some((kind, contents)) = komainu_confined::receive(from, bytes_max)? else { return Ok(None) };
    let kind = Kind::ALL.into_iter().find(|known| known.byte() == kind);
    kind.map(|kind| Some((kind, contents))).ok_or_else(|| invalid("a message of no kind"))
}

/// Sends a file of rules.
pub(crate) fn send_rules(to: &mut impl Write, file: &RuleFile) -> io::Result<()> {
    send(to, Kind::Rules, &[file.name.as_bytes(), &[0], file.namespace.as_bytes(), &[0], &file.text])
}

/// Reads a file of rules.
pub(crate) fn rules(contents: &[u8]) -> io::Result<RuleFile> {
    let mut parts = contents.splitn(3, |byte| *byte == 0);
    let (Some(name), Some(namespace), Some(text)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(invalid("rules without a name"));
    };
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(RuleFile { name: shown(name), namespace: shown(namespace), text: text.to_vec() })
}

/// Sends what came of a payload.
pub(crate) fn send_outcome(to: &mut impl Write, outcome: &Result<Vec<PayloadMatch>, ScanError>) -> io::Result<()> {
    match outcome {
        Ok(matches) => send(to, Kind::Matches, &[&matches_json(matches)]),
        Err(ScanError::TimedOut { .. }) => send(to, Kind::TimedOut, &[]),
        Err(error @ (ScanError::TooLarge { .. } | ScanError::Failed { .. })) => {
            send(to, Kind::Failed, &[error.to_string().as_bytes()])
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct WireMatch {
    namespace: String,
    rule: String,
    tags: Vec<String>,
    meta: Vec<(String, String)>,
    places: Vec<(String, u64, u64)>,
}

pub(crate) fn matches_json(matches: &[PayloadMatch]) -> Vec<u8> {
    let wire: Vec<_> = matches
        .iter()
        .map(|one| WireMatch {
            namespace: one.namespace.clone(),
            rule: one.rule.clone(),
            tags: one.tags.clone(),
            meta: one.meta.clone(),
            places: one.places.iter().map(|place| (place.pattern.clone(), place.offset, place.bytes)).collect(),
        })
        .collect();
    serde_json::to_vec(&wire).expect("lists, texts and numbers are JSON")
}

pub(crate) fn matches(json: &[u8]) -> Result<Vec<PayloadMatch>, serde_json::Error> {
    let wire: Vec<WireMatch> = serde_json::from_slice(json)?;
    let place = |(pattern, offset, bytes)| PatternPlace { pattern, offset, bytes };
    let one = |one: WireMatch| PayloadMatch {
        namespace: one.namespace,
        rule: one.rule,
        tags: one.tags,
        meta: one.meta,
        places: one.places.into_iter().map(place).collect(),
    };
    Ok(wire.into_iter().map(one).collect())
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_as_they_were() {
        for kind in Kind::ALL {
            let mut sent = Vec::new();
            send(&mut sent, kind, &[b"one"]).unwrap();
            assert_eq!(receive(&mut &sent[..], 7).unwrap(), Some((kind, b"one".to_vec())));
        }
        assert!(receive(&mut &[99, 0, 0, 0, 0][..], 7).is_err(), "no kind");
    }

    #[test]
    fn rules_and_matches_come_back_as_they_were() {
        let file = RuleFile { name: "a b.yar".into(), namespace: "a b".into(), text: b"with\0zero\xff".to_vec() };
        let mut sent = Vec::new();
        send_rules(&mut sent, &file).unwrap();
        let (_, contents) = receive(&mut &sent[..], 1000).unwrap().unwrap();
        assert_eq!(rules(&contents).unwrap(), file);
        assert!(rules(b"only a name").is_err());
        let found = vec![PayloadMatch {
            namespace: "n".into(),
            rule: "r".into(),
            tags: vec!["t".into()],
            meta: vec![("k".into(), "v\u{e9}".into())],
            places: vec![PatternPlace { pattern: "$a".into(), offset: 1, bytes: u64::MAX }],
        }];
        assert_eq!(matches(&matches_json(&found)).unwrap(), found);
        assert!(matches(b"[{}]").is_err());
    }
}
