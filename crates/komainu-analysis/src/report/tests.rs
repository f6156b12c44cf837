use super::*;
use crate::trace::evidence_of;

pub(crate) const BOT: &str = "static ipv4 203.0.113.7 decoded\n\
    guest 0 100 exec /tmp/sample ./sample\nguest 0.1 100 unlink /tmp/sample\nguest 0.2 100 open /dev/watchdog 2 4\n\
    guest 0.3 100 open /etc/rc.local 1089 5\nguest 0.4 100 write 5 12 /tmp/sample\nguest 0.5 100 fork 101 sample\n\
    guest 0.6 101 look /proc/44/exe\nguest 0.7 101 kill 44 9\n\
    repeat 5 every 60 net 1 connect {i} 203.0.113.7:5555\nrepeat 5 every 60 net 1.1 sent {i} \\x00\\x01\n\
    repeat 20 every 0.1 net 2 connect 1{i} {ip}:23\nrepeat 20 every 0.1 net 3 connect 2{i} {ip}:2323\n\
    repeat 7 every 1 net 4 login 15 telnet root pass{i} no\n";

fn check(trace: &str, level: &str, en: &str, ja: &str) {
    let report = analyse(&evidence_of(trace), &RuleSet::own(), Timestamp::from_unix_seconds(0));
    assert_eq!((report.verdict.level, report.verdict.sentence.en.as_str()), (level, en));
    assert_eq!(report.verdict.sentence.ja, ja);
}

#[test]
fn the_sentence_says_what_matters_most() {
    check(
        BOT,
        "malicious",
        "Scans telnet on ports 23 and 2323 with 7 passwords, takes orders from 203.0.113.7:5555 every 60 s, survives a \
         restart through /etc/rc.local, stops other programs, and keeps the watchdog from restarting the device.",
        "telnetのポート 23 と 2323 を 7 組のパスワードで探索し、203.0.113.7:5555 から 60 秒ごとに指令を受け、/etc/rc.local \
         により再起動後も残り、他のプログラムを停止し、ウォッチドッグによる再起動を妨害します。",
    );
    check(
        "guest 0 100 exec /tmp/sample s\nguest 1 100 exit 0\n",
        "no_harm_seen",
        "Showed nothing harmful in 60 s, which does not mean that it never does.",
        "60 秒間の実行では有害な動作は見られませんでしたが、無害であるとは限りません。",
    );
    check(
        "packing none\n",
        "not_run",
        "Could not be run (no run was made); only what the file itself says is known.",
        "実行できなかったため (no run was made)、ファイル自体から分かることだけを示します。",
    );
}

#[test]
fn the_same_evidence_gives_the_same_bytes() {
    let write = || {
        let report = analyse(&evidence_of(BOT), &RuleSet::own(), Timestamp::from_unix_seconds(1_795_000_000));
        serde_json::to_string(&report).unwrap()
    };
    assert_eq!(write(), write());
}

#[test]
fn what_only_the_owner_could_do_is_told() {
    let trace = "as user\nguest 0 100 exec /tmp/sample s\nguest 1 100 unlink /tmp/sample\n\
                 as root\nguest 0 100 exec /tmp/sample s\nguest 1 100 unlink /tmp/sample\nguest 2 100 open /dev/watchdog 1 3\n";
    let report = analyse(&evidence_of(trace), &RuleSet::own(), Timestamp::from_unix_seconds(0));
    let difference = report.difference.unwrap();
    assert_eq!(difference.only_root, ["watchdog-disabled"]);
    assert_eq!(difference.only_user, Vec::<String>::new());
}

#[test]
fn lists_of_the_device_are_those_of_the_evidence() {
    let report = analyse(&evidence_of(BOT), &RuleSet::own(), Timestamp::from_unix_seconds(0));
    assert_eq!(report.persistence, ["/etc/rc.local"]);
    assert_eq!(report.erased, ["/tmp/sample"]);
    assert_eq!(report.killed, ["process 44"]);
    assert_eq!(report.dropped.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["/etc/rc.local"]);
    assert_eq!(report.command_and_control().map(|endpoint| endpoint.port).collect::<Vec<_>>(), [5555]);
    let tree: Vec<(u32, u32)> = report.processes.iter().map(|process| (process.pid, process.depth)).collect();
    assert_eq!(tree, [(100, 0), (101, 1)]);
    for behaviour in &report.behaviours {
        assert!(!behaviour.evidence.is_empty(), "{}", behaviour.rule);
    }
}

#[test]
fn bounds_show_in_the_report() {
    let mut trace = String::from("guest 0 100 exec /tmp/sample s\n");
    trace.push_str("repeat 6000 every 0.001 guest 1 100 fork {pid} s\n");
    let report = analyse(&evidence_of(&trace), &RuleSet::own(), Timestamp::from_unix_seconds(0));
    assert_eq!(report.processes.len(), TREE_MAX);
    assert!(report.left_out.contains_key("processes") && report.left_out.contains_key("processes of the tree"));
}
