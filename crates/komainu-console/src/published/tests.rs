use hyper::Method;
use komainu_model::Role;
use komainu_ports::{Lake, LakeBatchName, LakeRowsBuilder, LakeValue, MemoryLake};
use komainu_statistics::read_notes;

use super::*;
use crate::request::tests::{NOW, ask, console_that_published};

/// Some attacks on each of 120 days, and many on one of them, 10 days ago, in which a weakness was tried.
fn lake_with_a_peak() -> Arc<MemoryLake> {
    let (mut attacks, mut observables) =
        (LakeRowsBuilder::new(LakeTable::Attacks), LakeRowsBuilder::new(LakeTable::Observables));
    let word = LakeValue::text;
    for day in 0..120_i64 {
        let count = if day == 10 { 600 } else { 40 + day % 3 };
        for number in 0..count {
            let at = NOW.unix_millis() - day * DAY_MS - number * 1_000;
            let at = LakeValue::Time(Timestamp::from_unix_millis(at));
            let (source, country, sensor) = (word("192.0.2.1"), word("JP"), word("tokyo"));
            let of_appliance = [word("camera"), word("Example"), word("telnet")];
            if day == 10 && number < 5 {
                let shown =
                    [at.clone(), word("cve"), word("CVE-2023-1001"), source.clone(), country.clone(), sensor.clone()];
                observables.push(&[&shown[..], &of_appliance, &[word("released")]].concat());
            }
            let head = [at, source, country, LakeValue::Number(64_500), sensor];
            let tail = [word("tcp"), LakeValue::Number(23), word("bruteforce"), word("released")];
            attacks.push(&[&head[..], &of_appliance, &tail].concat());
        }
    }
    let lake = Arc::new(MemoryLake::default());
    let name = LakeBatchName { stream: "test".to_owned(), sequence: 1 };
    lake.append(&name, &[attacks.finish(), observables.finish()]).unwrap();
    lake
}

#[test]
fn a_peak_has_what_was_published_then() {
    // The peak is on 2023-11-04.
    let notes = "date,title,cve,protocol,appliance,model,url\n\
        2023-11-02,Login <bypass>,CVE-2023-1001,,,,\n\
        2023-11-03,About Telnet,,telnet,,,\n\
        2023-11-04,About nothing,,,,,\n\
        2023-08-01,Long ago,,telnet,,,\n";
    let (publications, problems) = read_notes(notes.as_bytes());
    assert_eq!(problems, []);
    let published = Published { publications, ..Published::default() };
    let console = console_that_published(lake_with_a_peak(), published);
    for page in ["/trends", "/?range=30d"] {
        let (status, text) = ask(&console, Some(Role::Viewer), Method::GET, page, "");
        assert_eq!(status, 200, "{page}");
        for has in [
            "/publications?q=CVE-2023-1001",
            "Login &lt;bypass&gt;",
            "published 2 days before; its weakness was tried in these attacks",
            "published the day before; is about telnet, too",
        ] {
            assert!(text.contains(has), "{page} has no {has:?}: {text}");
        }
        for not in ["About nothing", "Long ago", "<bypass>"] {
            assert!(!text.contains(not), "{page} has {not:?}");
        }
        // Once in a chart at least, and once in words.
        assert!(text.matches("Login &lt;bypass&gt;").count() >= 2, "{page} has no mark");
    }
}
