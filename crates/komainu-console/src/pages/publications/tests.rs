use std::sync::Arc;

use hyper::Method;
use komainu_model::Role;
use komainu_ports::MemoryLake;
use komainu_statistics::{Epss, Mistake, Problem, read_notes};

use crate::published::{Published, PublishedFile, PublishedFileState, PublishedKind};
use crate::request::tests::{NOW, ask, console_that_published, console_with, english_of_japanese};

const NOTES: &[u8] = b"date,title,cve,protocol,appliance,model,url\n\
    2023-11-10,Telnet <b>again,CVE-2023-1001,telnet,camera,,https://psirt.example/1\n\
    2023-10-01,Another,CVE-2023-1002,,,,\n";

#[test]
fn what_was_published_is_found() {
    let (publications, problems) = read_notes(NOTES);
    assert_eq!(problems, []);
    let state = PublishedFileState::Read {
        at: NOW,
        entries: 2,
        problems: vec![Problem { entry: 9, reason: Mistake::ColumnTwice("<i>wrong".to_owned()) }],
    };
    let files = vec![
        PublishedFile { kind: PublishedKind::Notes, path: "notes.csv".to_owned(), state },
        PublishedFile {
            kind: PublishedKind::Kev,
            path: "kev.json".to_owned(),
            state: PublishedFileState::Unreadable { reason: "no such file".to_owned() },
        },
    ];
    let published = Published { publications, epss: Arc::new(Epss::default()), files };
    let console = console_that_published(Arc::new(MemoryLake::default()), published);
    let check = |path: &str, there: &[&str], not_there: &[&str]| {
        let (status, text) = ask(&console, Some(Role::Viewer), Method::GET, path, "");
        assert_eq!(status, 200, "{path}");
        there.iter().for_each(|has| assert!(text.contains(has), "{path} has no {has:?}: {text}"));
        not_there.iter().for_each(|has| assert!(!text.contains(has), "{path} has {has:?}: {text}"));
    };
    check(
        "/publications",
        &[
            "Telnet &lt;b&gt;again",
            "Another",
            "line 9: the heading names the column &lt;i&gt;wrong twice",
            "no such file",
            "https://psirt.example/1",
        ],
        &["<b>again"],
    );
    let found = english_of_japanese(&console, Some(Role::Viewer), Method::GET, "/publications", "");
    assert!(!found.iter().any(|run| run.contains("heading")), "{found:?}");
    check("/publications?q=cve-2023-1002", &["Another"], &["Telnet"]);
    check("/publications?q=camera&from=99", &["notes.csv"], &["Another"]);
    check("/search?q=CVE-2023-1001", &["/publications?q=CVE-2023-1001"], &[]);
}

#[test]
fn without_files_it_says_what_to_set() {
    let console = console_with(Arc::new(MemoryLake::default()));
    let (_, text) = ask(&console, Some(Role::Viewer), Method::GET, "/publications", "");
    assert!(text.contains("[statistics] kev"), "{text}");
}
