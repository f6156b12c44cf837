use clap::Parser;
use komainu_ports::{LakeBatchName, LakeRowsBuilder, LakeValue, MemoryLake};

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: AskArgs,
}

fn parsed(line: &str) -> Result<AskArgs, String> {
    let words = std::iter::once("ask").chain(line.split_whitespace());
    Line::try_parse_from(words).map(|line| line.args).map_err(|error| error.to_string())
}

/// Three attacks: two of one source on one day.
fn lake() -> MemoryLake {
    let mut rows = LakeRowsBuilder::new(LakeTable::Attacks);
    for (at_s, source, country, port) in [
        (1_793_491_200, "192.0.2.1", "CN", 23),
        (1_793_491_260, "192.0.2.1", "CN", 80),
        (1_793_577_600, "192.0.2.2", "JP", 23),
    ] {
        let text = LakeValue::text;
        rows.push(&[
            LakeValue::Time(Timestamp::from_unix_seconds(at_s)),
            text(source),
            text(country),
            LakeValue::Number(64_500),
            text("tokyo"),
            text("ip_camera"),
            text("Example DB-1"),
            text("telnet"),
            text("tcp"),
            LakeValue::Number(port),
            text("scan"),
            text(""),
        ]);
    }
    let lake = MemoryLake::default();
    lake.append(&LakeBatchName { stream: "a".to_owned(), sequence: 0 }, &[rows.finish()]).unwrap();
    lake
}

fn answered(line: &str) -> String {
    let args = parsed(line).unwrap();
    let asked = Asked { table: LakeTable::Attacks, range: TimeRange::ALL, args: &args };
    let question = asked.question().unwrap();
    let mut out = Vec::new();
    let answer = lake().count(&question).unwrap();
    show_answer(&question, &answer, asked.form(Form::Table).unwrap(), &mut out, true).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn questions_are_answered() {
    let check = |line: &str, expected: &str| assert_eq!(answered(line), expected, "{line}");
    check("", "count\n    3\n");
    check("--where country=XX", "count\n    0\n");
    check("--where port=23 --distinct source", "count  distinct_source\n    2                2\n");
    check("--by country", "country  count\nCN           2\nJP           1\n3 rows in all\n");
    check("--by country,port --top 1", "country  port  count\nCN         23      1\n3 rows in all\n");
    check(
        "--every day --distinct source --format csv",
        "time,count,distinct_source\r\n2026-11-01T00:00:00Z,2,1\r\n2026-11-02T00:00:00Z,1,1\r\n",
    );
    check("--by country --json --top 1", "{\"country\":\"CN\",\"count\":2}\n");
    check("--by country --where country~=x", "country  count\n0 rows in all\n");
}

#[test]
fn questions_that_make_no_sense_are_refused() {
    let check = |line: &str, expected: &str| {
        let error = match parsed(line) {
            Ok(args) => {
                let asked = Asked { table: LakeTable::Attacks, range: TimeRange::ALL, args: &args };
                let checked =
                    if args.list || args.export { asked.listing().map(drop) } else { asked.question().map(drop) };
                format!("{:#}", checked.unwrap_err())
            }
            Err(error) => error,
        };
        assert!(error.contains(expected), "{line}: {error}");
    };
    check("--by contry", "there is no column `contry` in attacks; it has: time, source,");
    check("--by time", "times are sorted into pieces of time");
    check("--by source,country,asn,sensor,port", "5 columns are more than 4");
    check("--by source,source", "source is named twice");
    check("--distinct time", "not counted");
    check("--top 0", "0 groups are none");
    check("--since soon", "write how long ago");
    check("--every year", "possible values: hour, day, week, month");
    check("--list --by source", "cannot be used with");
    check("--list --export", "cannot be used with");
    check("--list --limit 10001", "10000 at most");
    check("--list --limit 0", "1 to 10000");
    check("--limit 5", "--list");
    check("--format table --json", "cannot be used with");
}

#[test]
fn all_rows_are_exported() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("attacks.csv");
    let args = parsed(&format!("--export --where port=23 --out {}", out.display())).unwrap();
    let asked = Asked { table: LakeTable::Attacks, range: TimeRange::ALL, args: &args };
    let listing = asked.listing().unwrap();
    asked.export(&lake(), &listing).unwrap();
    let written = std::fs::read_to_string(&out).unwrap();
    let lines: Vec<&str> = written.lines().collect();
    assert_eq!(lines[0], "time,source,country,asn,sensor,appliance,model,protocol,transport,port,label,release");
    assert_eq!(lines[1], "2026-11-01T00:00:00Z,192.0.2.1,CN,64500,tokyo,ip_camera,Example DB-1,telnet,tcp,23,scan,");
    assert_eq!(lines.len(), 3);
    let again = format!("{:#}", asked.export(&lake(), &listing).unwrap_err());
    assert!(again.contains("cannot write"), "what is there stays: {again}");
    assert_eq!(std::fs::read_to_string(&out).unwrap(), written);
}

#[test]
fn rows_are_listed_latest_first() {
    let folder = tempfile::tempdir().unwrap();
    let check = |line: &str, expected: &[&str]| {
        let out = folder.path().join(format!("{}", expected.len()));
        let args = parsed(&format!("--list --format json --out {} {line}", out.display())).unwrap();
        let asked = Asked { table: LakeTable::Attacks, range: TimeRange::ALL, args: &args };
        asked.list(&lake(), &asked.listing().unwrap()).unwrap();
        let written = std::fs::read_to_string(&out).unwrap();
        let times: Vec<String> = written
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["time"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(times, expected, "{line}");
    };
    check("", &["2026-11-02T00:00:00Z", "2026-11-01T00:01:00Z", "2026-11-01T00:00:00Z"]);
    check("--limit 1", &["2026-11-02T00:00:00Z"]);
    check("--oldest --limit 2", &["2026-11-01T00:00:00Z", "2026-11-01T00:01:00Z"]);
}

#[test]
fn the_state_is_shown() {
    let mut out = Vec::new();
    show_state(&lake().state().unwrap(), Form::Table, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let expected = "attacks         3         3      0      0  2026-11-01T00:00:00Z  2026-11-02T00:00:00Z";
    assert!(text.lines().any(|line| line == expected), "{text}");
    assert!(text.lines().any(|line| line == "connections     0         0      0      0"), "{text}");
}
