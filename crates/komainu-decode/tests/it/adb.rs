//! Android Debug Bridge.

use komainu_decode::adb::{Event, Reader};
use komainu_decode::{Decoder, Fact, FileEvent, Place, Side};

use crate::conversation::{Protocol, client, recorded, server};

const ADB: Protocol = Protocol { reader: || Box::new(Reader::default()), event, is_stream: true };

fn event(fact: &Fact<'_>) -> String {
    let Fact::Adb(event) = fact else { return String::new() };
    match event {
        Event::Connect { version, payload_bytes_max, banner } => {
            format!("connect {version:#x} {payload_bytes_max} {}", banner.escape_ascii())
        }
        Event::Open { destination } => format!("open {}", destination.escape_ascii()),
        Event::Refused { destination } => format!("refused {}", destination.escape_ascii()),
        Event::Sync { request, path } => format!("sync {} {}", request.escape_ascii(), path.escape_ascii()),
        Event::SyncFailed { message } => format!("sync failed {}", message.escape_ascii()),
        Event::Exit { code } => format!("exit {code}"),
        Event::Encrypted => "encrypted".to_owned(),
    }
}

fn message(command: &[u8; 4], first: u32, second: u32, payload: &[u8]) -> Vec<u8> {
    let check = payload.iter().fold(0u32, |sum, byte| sum + u32::from(*byte));
    let word = u32::from_le_bytes(*command);
    let words = [word, first, second, u32::try_from(payload.len()).expect("short"), check, !word];
    words.iter().flat_map(|word| word.to_le_bytes()).chain(payload.iter().copied()).collect()
}

fn unit(id: &[u8; 4], data: &[u8]) -> Vec<u8> {
    [&id[..], &u32::try_from(data.len()).expect("short").to_le_bytes(), data].concat()
}

#[test]
fn a_command() {
    ADB.check(
        &[
            client(message(b"CNXN", 0x0100_0000, 4096, b"host::\0")),
            server(message(b"CNXN", 0x0100_0000, 4096, b"device::box")),
            client(message(b"OPEN", 1, 0, b"shell:cd /data/local/tmp; ls\0")),
            server([message(b"OKAY", 9, 1, b""), message(b"WRTE", 9, 1, b"x\n"), message(b"CLSE", 9, 1, b"")].concat()),
            client(message(b"OPEN", 2, 0, b"exec:id")),
            server(message(b"CLSE", 0, 2, b"")),
        ],
        &[
            "connect 0x1000000 4096 host::",
            "connect 0x1000000 4096 device::box",
            "open shell:cd /data/local/tmp; ls",
            "command cd /data/local/tmp; ls",
            "open exec:id",
            "command id",
            "refused exec:id",
        ],
    );
}

#[test]
fn lines_at_a_shell() {
    ADB.check(
        &[
            client(message(b"OPEN", 1, 0, b"shell:")),
            server(message(b"OKAY", 9, 1, b"")),
            client(message(b"WRTE", 1, 9, b"lx")),
            client(message(b"WRTE", 1, 9, b"\x08s\rid\n\n")),
            client(message(b"OPEN", 3, 0, b"shell,v2,pty:")),
            server(message(b"OKAY", 10, 3, b"")),
            client(message(b"WRTE", 3, 10, b"\x05\x03\0\0\x0024x\0\x02\0\0\0ps\0\x01\0\0")),
            client(message(b"WRTE", 3, 10, b"\0\n\0\0\0\0\0")),
            server(message(b"WRTE", 10, 3, b"\x01\x01\0\0\0x\x03\x01\0\0\0\x07")),
        ],
        &["open shell:", "command ls", "command id", "open shell,v2,pty:", "command ps", "exit 7"],
    );
}

#[test]
fn files_up_and_down() {
    let push = [
        unit(b"SEND", b"/data/local/tmp/a,b,33261"),
        unit(b"DATA", b"first "),
        unit(b"DATA", b"second"),
        b"DONE\x01\0\0\0".to_vec(),
        unit(b"RECV", b"/etc/hosts"),
    ]
    .concat();
    let (one, other) = push.split_at(50);
    ADB.check(
        &[
            client(message(b"OPEN", 1, 0, b"sync:\0")),
            server(message(b"OKAY", 9, 1, b"")),
            client(message(b"WRTE", 1, 9, one)),
            client(message(b"WRTE", 1, 9, other)),
            server(message(
                b"WRTE",
                9,
                1,
                &[unit(b"OKAY", b""), unit(b"DATA", b"127.0.0.1"), unit(b"DONE", b"")].concat(),
            )),
            client(message(b"WRTE", 1, 9, &[unit(b"RECV", b"/no"), unit(b"LIST", b"/tmp")].concat())),
            server(message(b"WRTE", 9, 1, &unit(b"FAIL", b"no such file"))),
            server(message(b"WRTE", 9, 1, &[&b"DENT"[..], &[0; 12], &[1, 0, 0, 0], b"xDONE", &[0; 16]].concat())),
            client(message(
                b"WRTE",
                1,
                9,
                &[unit(b"SND2", b"/x"), b"SND2\0\0\0\0\0\0\0\0".to_vec(), unit(b"DATA", b"open")].concat(),
            )),
        ],
        &[
            "open sync:",
            "sync SEND /data/local/tmp/a,b",
            "file 0 begins /data/local/tmp/a,b AdbPush",
            "file 0 at 0: first second",
            "file 0 ends complete",
            "sync RECV /etc/hosts",
            "file 1 begins /etc/hosts AdbPull",
            "file 1 at 0: 127.0.0.1",
            "file 1 ends complete",
            "sync RECV /no",
            "sync LIST /tmp",
            "sync failed no such file",
            "sync SND2 /x",
            "file 2 begins /x AdbPush",
            "file 2 at 0: open",
            "file 2 ends incomplete",
        ],
    );
}

#[test]
fn a_package_that_is_streamed() {
    ADB.check(
        &[
            client(message(b"OPEN", 1, 0, b"exec:cmd package 'install' -S 6")),
            server(message(b"OKAY", 9, 1, b"")),
            client(message(b"WRTE", 1, 9, b"abc")),
            client(message(b"WRTE", 1, 9, b"def")),
            server(message(b"WRTE", 9, 1, b"Success")),
            client(message(b"CLSE", 1, 9, b"")),
        ],
        &[
            "open exec:cmd package \\'install\\' -S 6",
            "command cmd package \\'install\\' -S 6",
            "file 0 begins  AdbPush of 6",
            "file 0 at 0: abcdef",
            "file 0 ends complete",
        ],
    );
}

#[test]
fn keys() {
    ADB.check(
        &[
            client(message(b"CNXN", 0x0100_0001, 4096, b"host::")),
            server(message(b"AUTH", 1, 0, b"token")),
            client(message(b"AUTH", 2, 0, b"signature")),
            server(message(b"AUTH", 1, 0, b"token")),
            client(message(b"AUTH", 3, 0, b"QAAA me@host\0")),
            server(message(b"CNXN", 0x0100_0000, 4096, b"device::")),
        ],
        &[
            "connect 0x1000001 4096 host::",
            "login '' adb_signature signature refused",
            "login 'me@host' adb_key QAAA accepted",
            "connect 0x1000000 4096 device::",
        ],
    );
    ADB.check(
        &[server(message(b"STLS", 1, 0, b"")), client(message(b"STLS", 1, 0, b"")), client("\x16\x03"), server("x")],
        &["encrypted"],
    );
}

#[test]
fn what_is_broken() {
    let mut wrong = message(b"OPEN", 1, 0, b"shell:id");
    wrong[16] ^= 1;
    ADB.check(&[client(&wrong)], &["Tolerated checksum_wrong", "open shell:id", "command id"]);
    wrong[20] ^= 1;
    ADB.check(&[client(&wrong), client(message(b"CNXN", 1, 1, b""))], &["GaveUp magic_wrong"]);
    let mut long = message(b"OPEN", 1, 0, b"");
    long[15] = 1;
    ADB.check(&[client(&long)], &["GaveUp payload_too_long"]);
    ADB.check(&[client(message(b"WHAT", 1, 1, b"x"))], &["Skipped message_unknown"]);
    ADB.check(&[client(&message(b"OPEN", 1, 0, b"shell:id")[..30])], &["Tolerated message_cut_off"]);
    let mut said = vec![client(message(b"OPEN", 1, 0, b"sync:"))];
    said.push(client(message(b"WRTE", 1, 9, b"NONSENSE")));
    ADB.check(&said, &["open sync:", "GaveUp sync_unreadable"]);
    let opens: Vec<u8> = (0..20).flat_map(|number| message(b"OPEN", number, 0, b"x")).collect();
    let facts = ADB.facts(&[client(opens)]);
    assert_eq!(facts.iter().filter(|(_, line)| line == "Bound too_many_streams").count(), 4);
}

#[test]
fn a_gap_in_a_payload() {
    let mut facts = Vec::new();
    let mut observer = |_: Place, fact: Fact<'_>| match fact {
        Fact::File(FileEvent::End { is_complete, .. }) => facts.push(format!("end {is_complete}")),
        Fact::File(_) => {}
        other => facts.push(event(&other)),
    };
    let mut reader = Reader::default();
    reader.data(Side::Client, &message(b"OPEN", 1, 0, b"sync:"), &mut observer);
    let push = [unit(b"SEND", b"/a,1"), unit(b"DATA", &[b'x'; 100])].concat();
    let whole = message(b"WRTE", 1, 9, &push);
    reader.data(Side::Client, &whole[..80], &mut observer);
    reader.gap(Side::Client, whole.len() as u64 - 90, &mut observer);
    reader.data(Side::Client, &whole[whole.len() - 10..], &mut observer);
    reader.data(Side::Client, &message(b"OPEN", 2, 0, b"shell:id"), &mut observer);
    reader.end(&mut observer);
    assert_eq!(facts, ["open sync:", "sync SEND /a", "", "end false", "open shell:id", ""]);
}

#[test]
fn a_real_client() {
    ADB.check(
        &recorded(include_str!("../conversations/adb_v1.txt")),
        &[
            "connect 0x1000001 1048576 host::features=remount_shell,abb_exec,abb,apex,fixed_push_mkdir,ls_v2,stat_v2,\
             fixed_push_symlink_timestamp,cmd,shell_v2",
            "connect 0x1000000 4096 device::ro.product.name=box;ro.product.model=box;ro.product.device=box;",
            "open shell:id",
            "command id",
            "open shell:",
            "command echo ours",
            "command exit",
            "open sync:",
            "sync STAT /data/local/tmp/x",
            "sync SEND /data/local/tmp/x",
            "file 0 begins /data/local/tmp/x AdbPush",
            "file 0 at 0: a file of ours\\n",
            "file 0 ends complete",
            "open sync:",
            "sync STAT /data/local/tmp/x",
            "sync RECV /data/local/tmp/x",
            "file 1 begins /data/local/tmp/x AdbPull",
            "file 1 at 0: a file of ours\\n",
            "file 1 ends complete",
            "open sync:",
            "sync LIST /data/local/tmp",
            "open exec:cat \\'/proc/version\\'",
            "command cat \\'/proc/version\\'",
            "open sync:",
            "sync STAT /data/local/tmp/ours.apk",
            "sync SEND /data/local/tmp/ours.apk",
            "file 2 begins /data/local/tmp/ours.apk AdbPush",
            "file 2 at 0: not really a package",
            "file 2 ends complete",
            "open shell:pm \\'install\\' \\'/data/local/tmp/ours.apk\\'",
            "command pm \\'install\\' \\'/data/local/tmp/ours.apk\\'",
            "open shell:rm \\'/data/local/tmp/ours.apk\\' </dev/null",
            "command rm \\'/data/local/tmp/ours.apk\\' </dev/null",
        ],
    );
    ADB.check(
        &recorded(include_str!("../conversations/adb_v2.txt")),
        &[
"connect 0x1000001 1048576 host::features=remount_shell,abb_exec,abb,apex,fixed_push_mkdir,ls_v2,stat_v2,\
             fixed_push_symlink_timestamp,cmd,shell_v2",
"connect 0x1000000 4096 device::ro.product.name=box;ro.product.model=box;ro.product.device=box;features=shell_v2,cmd",
"open shell,v2,TERM=xterm,raw:id",
"command id",
"exit 5",
"open shell,v2,TERM=xterm,raw:",
"command echo ours",
"command exit",
"open sync:",
"sync STAT /data/local/tmp/x",
"sync SEND /data/local/tmp/x",
"file 0 begins /data/local/tmp/x AdbPush",
"file 0 at 0: a file of ours\\n",
"file 0 ends complete",
"open sync:",
"sync STAT /data/local/tmp/x",
"sync RECV /data/local/tmp/x",
"file 1 begins /data/local/tmp/x AdbPull",
"file 1 at 0: a file of ours\\n",
"file 1 ends complete",
"open sync:",
"sync LIST /data/local/tmp",
"open exec:cat \\'/proc/version\\'",
"command cat \\'/proc/version\\'",
"open exec:cmd package \\'install\\' -S 20",
"command cmd package \\'install\\' -S 20",
"file 2 begins  AdbPush of 20",
"file 2 at 0: not really a package",
"file 2 ends complete",
],
    );
}

#[test]
fn whatever_comes_is_read_in_peace() {
    ADB.check_damaged(recorded(include_str!("../conversations/adb_v2.txt")));
}
