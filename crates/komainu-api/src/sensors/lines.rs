//! The lines of a batch.

use std::borrow::Cow;
use std::collections::BTreeSet;

use komainu_model::{SampleDigest, SessionId};
use memchr::memmem::Finder;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Artifacts of one batch that are told with their visits: a sensor's summaries have 256 each at most, and of the larger
/// ones some 16 fit into a batch.
pub(super) const MENTIONS_MAX: usize = 4096;

/// A line: which log it is of, whether it is confidential, and the line of that log.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(rename = "log")]
    _log: Log,
    #[serde(rename = "confidential", default)]
    _confidential: bool,
    #[serde(borrow)]
    line: &'a RawValue,
}

/// The event logs of a sensor.
#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Log {
    Eve,
    Honeypot,
}

/// Checks that a batch is whole lines, each an object of one of the logs. What the objects say is not looked at.
pub(super) fn check(batch: &[u8]) -> Result<(), String> {
    if batch.is_empty() {
        return Err("the batch is empty".to_owned());
    }
    for (number, line) in (1_u64..).zip(batch.split_inclusive(|byte| *byte == b'\n')) {
        let whole = line.strip_suffix(b"\n").ok_or_else(|| format!("line {number} is not whole"))?;
        // An array would pass for the fields in their order.
        if !whole.starts_with(b"{") {
            return Err(format!("line {number} is no record: it is no object"));
        }
        let parsed: Line<'_> =
            serde_json::from_slice(whole).map_err(|error| format!("line {number} is no record: {error}"))?;
        if !parsed.line.get().starts_with('{') {
            return Err(format!("line {number} is no record: `line` is no object"));
        }
    }
    Ok(())
}

/// A line that may say in which visit contents came: the summary of a visit, or what became of a URL that was named in one.
#[derive(Deserialize)]
struct Telling<'a> {
    log: Log,
    #[serde(borrow)]
    line: Told<'a>,
}

#[derive(Deserialize)]
struct Told<'a> {
    #[serde(borrow)]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    honeypot: Option<Summary<'a>>,
    #[serde(borrow)]
    fetch: Option<Fetched<'a>>,
}

#[derive(Deserialize)]
struct Summary<'a> {
    #[serde(borrow)]
    session: Session<'a>,
    #[serde(borrow, default)]
    artifacts: Vec<Artifact<'a>>,
}

#[derive(Deserialize)]
struct Session<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Artifact<'a> {
    #[serde(borrow)]
    sha256: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Fetched<'a> {
    #[serde(borrow)]
    session_id: Cow<'a, str>,
    sha256: Option<Cow<'a, str>>,
}

/// Which contents came in which visits, as the lines of a batch say: the first [`MENTIONS_MAX`], and how many more there
/// were. A line that says nothing of the kind, or nothing that makes sense, is passed over.
pub(super) fn mentions(batch: &[u8]) -> (BTreeSet<(SampleDigest, SessionId)>, u64) {
    // Most lines are told apart by this, which is cheap. An attacker's text has its quotes escaped.
    let marks = [Finder::new("\"artifacts\""), Finder::new("\"fetch\"")];
    let (mut found, mut left_out) = (BTreeSet::new(), 0);
    for line in batch.split(|byte| *byte == b'\n') {
        if marks.iter().all(|mark| mark.find(line).is_none()) {
            continue;
        }
        let Ok(Telling { log: Log::Honeypot, line: told }) = serde_json::from_slice(line) else { continue };
        let (session, contents) = match (told.event_type.as_ref(), told.honeypot, told.fetch) {
            ("honeypot", Some(summary), _) => {
                (summary.session.id, summary.artifacts.into_iter().map(|artifact| artifact.sha256).collect())
            }
            ("fetch", _, Some(fetched)) => (fetched.session_id, Vec::from_iter(fetched.sha256)),
            _ => continue,
        };
        let Ok(session) = SessionId::parse(&session) else { continue };
        for sha256 in contents.iter().filter_map(|sha256| SampleDigest::parse(sha256).ok()) {
            let mention = (sha256, session.clone());
            if found.len() < MENTIONS_MAX {
                found.insert(mention);
            } else if !found.contains(&mention) {
                left_out += 1;
            }
        }
    }
    (found, left_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_whole_lines_of_json() {
        let check = |batch: &str, expected: Result<(), &str>| match (check(batch.as_bytes()), expected) {
            (Ok(()), Ok(())) => {}
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{batch:?}: {error}"),
            (seen, _) => panic!("{batch:?}: {seen:?}"),
        };
        check("{\"log\":\"eve\",\"line\":{}}\n{\"log\":\"honeypot\",\"line\":{\"a\":[1]}}\n", Ok(()));
        check("{\"log\":\"eve\",\"confidential\":true,\"line\":{}}\n", Ok(()));
        check("{\"log\":\"eve\",\"confidential\":1,\"line\":{}}\n", Err("line 1 is no record"));
        check("", Err("empty"));
        check("\n", Err("line 1 is no record"));
        check("{\"log\":\"eve\",\"line\":{}}", Err("line 1 is not whole"));
        check("{\"log\":\"eve\",\"line\":{}}\n{\"log\":\"eve\",\"li", Err("line 2 is not whole"));
        check("{\"log\":\"other\",\"line\":{}}\n", Err("unknown variant"));
        check("{\"log\":\"eve\",\"line\":1}\n", Err("no object"));
        check("[\"eve\",{}]\n", Err("no object"));
        check("{\"log\":\"eve\",\"line\":{},\"more\":1}\n", Err("unknown field"));
        check(&format!("{{\"log\":\"eve\",\"line\":{{\"a\":{}}}}}\n", "[".repeat(100_000)), Err("line 1"));
    }

    #[test]
    fn lines_say_in_which_visit_contents_came() {
        let (a, b) = ("0a".repeat(32), "0b".repeat(32));
        let check = |lines: &[String], expected: &[(&str, &str)]| {
            let (found, left_out) = mentions(lines.concat().as_bytes());
            let found: Vec<_> =
                found.iter().map(|(sha256, session)| (sha256.to_string(), session.to_string())).collect();
            let found: Vec<_> = found.iter().map(|(sha256, session)| (sha256.as_str(), session.as_str())).collect();
            assert_eq!((found.as_slice(), left_out), (expected, 0), "{lines:?}");
        };
        let line = |log: &str, line: &str| format!("{{\"log\":\"{log}\",\"confidential\":true,\"line\":{line}}}\n");
        let summary = |session: &str, artifacts: &str| {
            let session = format!(r#""session":{{"id":"{session}","ended":"closed"}}"#);
            let commands = r#""commands":[{"line":"\"artifacts\""}]"#;
            let told = format!(r#"{{{session},{commands},"artifacts":[{artifacts}],"bytes_toserver":1}}"#);
            let head = r#""timestamp":"t","flow_id":1,"event_type":"honeypot","host":"h""#;
            line("honeypot", &format!(r#"{{{head},"honeypot":{told}}}"#))
        };
        let entry = |sha256: &str| format!(r#"{{"timestamp":"t","sha256":"{sha256}","bytes":3,"stored":true}}"#);
        let fetch = |rest: &str| {
            line(
                "honeypot",
                &format!(r#"{{"event_type":"fetch","fetch":{{"url":"http://x/","session_id":"s2"{rest}}}}}"#),
            )
        };
        let two = format!("{},{}", entry(&b), entry(&a));
        check(&[summary("s1", &two)], &[(&a, "s1"), (&b, "s1")]);
        check(&[summary("s1", &entry(&a)).repeat(2), summary("s2", &entry(&a))], &[(&a, "s1"), (&a, "s2")]);
        check(&[fetch(&format!(r#","outcome":"fetched","sha256":"{a}""#)), fetch("")], &[(&a, "s2")]);
        check(&[summary("s1", "")], &[]);
        // What makes no sense is passed over, and what comes after it is not.
        check(&[summary("s1", &format!("{},{}", entry("0a"), entry(&a)))], &[(&a, "s1")]);
        check(&[summary("a session", &two), summary("s1", "1"), summary("s3", &entry(&b))], &[(&b, "s3")]);
        check(&[summary("s1", &two).replace("honeypot", "eve")], &[]);
        check(&[line("eve", &format!(r#"{{"event_type":"fileinfo","artifacts":[{{"sha256":"{a}"}}]}}"#))], &[]);
        check(&["\"artifacts\"\n".to_owned(), "{\"artifacts\":".to_owned()], &[]);
    }

    #[test]
    fn a_batch_tells_of_so_many_visits() {
        let session = |number: usize| {
            let entries: Vec<_> =
                (0..256).map(|entry| format!(r#"{{"sha256":"{:064x}"}}"#, number * 256 + entry)).collect();
            let honeypot = format!(r#"{{"session":{{"id":"{number}"}},"artifacts":[{}]}}"#, entries.join(","));
            format!("{{\"log\":\"honeypot\",\"line\":{{\"event_type\":\"honeypot\",\"honeypot\":{honeypot}}}}}\n")
        };
        let batch: String = (0..17).map(session).collect();
        let (found, left_out) = mentions((batch.clone() + &batch).as_bytes());
        assert_eq!((found.len(), left_out), (MENTIONS_MAX, 2 * 256));
    }
}
