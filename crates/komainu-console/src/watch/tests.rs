use std::ops::ControlFlow;
use std::slice;

use hyper::Method;
use komainu_model::Role;
use komainu_ports::{LakeAppended, LakeBatchName, LakeRowsBuilder, LakeTableState, MemoryLake};

use super::*;
use crate::request::tests::{ask, console_with};

/// Pages about attacks, with every part that can be asked for.
const PAGES: [&str; 15] = [
    "/",
    "/?range=24h",
    "/?range=1y",
    "/attacks",
    "/attacks?by=source&where=port%3E%3D1",
    "/attacks?by=model",
    "/sources/192.0.2.1",
    "/observables",
    "/observables/one?kind=command&value=x",
    "/trends",
    "/trends?compare=country",
    "/sensors",
    "/sensors/tokyo",
    "/appliances",
    "/appliances/x?by=port",
];

#[test]
fn numbers_are_grouped() {
    let check = |number, expected: &str| assert_eq!(grouped(number).replace('\u{2009}', " "), expected);
    check(0, "0");
    check(999, "999");
    check(1_000, "1 000");
    check(112_712, "112 712");
    check(u64::MAX, "18 446 744 073 709 551 615");
}

/// A lake in which every text is this one, as far as a stranger or a sensor chooses it.
fn lake_of(text: &str) -> Arc<MemoryLake> {
    let (mut attacks, mut observables) =
        (LakeRowsBuilder::new(LakeTable::Attacks), LakeRowsBuilder::new(LakeTable::Observables));
    let word = LakeValue::text;
    for minute in 0..150 {
        let at = LakeValue::Time(Timestamp::from_unix_seconds(1_700_000_000 - minute * 60));
        let source = word(if minute % 2 == 0 { "192.0.2.1" } else { text });
        attacks.push(&[
            at.clone(),
            source.clone(),
            word(text),
            LakeValue::Number(u32::MAX),
            word(text),
            word(text),
            word(text),
            word(text),
            word(text),
            LakeValue::Number(u32::MAX),
            word(text),
            word(text),
        ]);
        for kind in ["credential", "command", "url", "cve", text] {
            let values = [kind, text].map(word);
            let rest = [text; 6].map(word);
            observables.push(&[slice::from_ref(&at), &values, slice::from_ref(&source), &rest].concat());
        }
    }
    let lake = Arc::new(MemoryLake::default());
    let name = LakeBatchName { stream: "test".to_owned(), sequence: 1 };
    lake.append(&name, &[attacks.finish(), observables.finish()]).unwrap();
    lake
}

#[test]
fn what_attackers_wrote_is_text() {
    for text in ["<b>'\"&\u{202e}\u{1b}[2J\0", "\u{0}", "", "=cmd()", &"<u>\u{202e}".repeat(680), "a,b\\&#x3c;"] {
        let console = console_with(lake_of(text));
        for page in PAGES {
            let (status, page_text) = ask(&console, Some(Role::Viewer), Method::GET, page, "");
            assert_eq!(status, 200, "{page}");
            // A field keeps the value that it stands for; there it is by itself.
            let fields = page_text.split(" value=\"").enumerate();
            let page_text: String =
                fields.map(|(place, part)| if place == 0 { part } else { part.split_once('"').unwrap().1 }).collect();
            for bad in ["<b>", "<u>", "\u{202e}", "\u{1b}", "\0"] {
                assert!(!page_text.contains(bad), "{page} has {bad:?} of {text:?}: {page_text}");
            }
            assert!(page_text.len() < 150_000, "{page} has {} bytes with {text:?}", page_text.len());
        }
    }
}

/// A lake that has rows and answers nothing.
struct Broken(fn() -> LakeError);

impl Lake for Broken {
    fn append(&self, _: &LakeBatchName, _: &[LakeRows]) -> Result<LakeAppended, LakeError> {
        Err(self.0())
    }

    fn holds(&self, _: &LakeBatchName) -> bool {
        false
    }

    fn count(&self, _: &LakeQuestion) -> Result<LakeAnswer, LakeError> {
        Err(self.0())
    }

    fn list(&self, _: &LakeListing) -> Result<LakeRows, LakeError> {
        Err(self.0())
    }

    fn visit(&self, _: &LakeListing, _: &mut dyn FnMut(LakeRows) -> ControlFlow<()>) -> Result<(), LakeError> {
        Err(self.0())
    }

    fn state(&self) -> Result<Vec<LakeTableState>, LakeError> {
        let table = LakeTable::Attacks;
        Ok(vec![LakeTableState { table, rows: 1, hot_rows: 1, parts: 0, bytes: 0, times: None }])
    }

    fn retain(&self, _: Timestamp) -> Result<u64, LakeError> {
        Err(self.0())
    }
}

#[test]
fn a_page_without_an_answer_says_what_to_do() {
    let check = |error: fn() -> LakeError, expected: &str| {
        let console = console_with(Arc::new(Broken(error)));
        for page in PAGES {
            let (status, text) = ask(&console, Some(Role::Viewer), Method::GET, page, "");
            assert_eq!(status, 200, "{page}");
            assert!(text.contains(expected), "{page} does not say {expected:?}: {text}");
            assert!(text.contains("</html>"));
        }
    };
    check(|| LakeError::TooLarge { what: "groups", bound: 5 }, "Choose a shorter time");
    check(
        || LakeError::Damaged { part: "attacks/<2023>".to_owned(), problem: "cut off".to_owned() },
        "attacks/&lt;2023&gt;. What does not touch it",
    );
    check(|| LakeError::Unavailable { doing: "reading", source: "disk".into() }, "The lake cannot be read");
    check(|| LakeError::invalid("filters", "nothing fits"), "nothing fits");
}

#[test]
fn a_piece_of_time_that_is_not_over_is_in_no_chart() {
    let lake = lake_of("telnet");
    let now = Timestamp::from_unix_seconds(1_700_000_000);
    let period = Period::last(crate::period::Span::Day, now);
    let bucket = Some(period.bucket);
    let question = LakeQuestion { bucket, ..asked(LakeTable::Attacks, period.range, &["protocol"]) };
    let over_time = OverTime::of(&lake.count(&question).unwrap(), &period);
    let (_, counts) = &over_time.series[0];
    // From 22:00 to 22:13, which is not over, there were 14; before that 60 an hour.
    assert_eq!(counts[21..], [Some(60), Some(60), None]);
    // Unless that is all there is.
    let since = TimeRange { from: Timestamp::from_unix_seconds(1_699_999_200), ..period.range };
    let over_time = OverTime::of(&lake.count(&LakeQuestion { range: since, ..question }).unwrap(), &period);
    assert_eq!(over_time.series[0].1[23], Some(14));
}
