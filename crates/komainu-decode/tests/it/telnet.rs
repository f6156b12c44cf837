//! Telnet.

use komainu_decode::telnet::{Event, Negotiation, Reader};
use komainu_decode::{Fact, Side};

use crate::conversation::{Protocol, Said, client, recorded, server};

/// Without output and input.
const TELNET: Protocol = Protocol { reader: || Box::new(Reader::default()), event, is_stream: true };

/// With them.
const SCREEN: Protocol = Protocol { event: screen, ..TELNET };

fn event(fact: &Fact<'_>) -> String {
    let Fact::Telnet(Event::Option(negotiation)) = fact else { return String::new() };
    match negotiation {
        Negotiation::TerminalType(name) => format!("terminal {}", name.escape_ascii()),
        Negotiation::Variable { name, value } => {
            format!("variable {} {:?}", name.escape_ascii(), value.map(|value| value.escape_ascii().to_string()))
        }
        Negotiation::Parameters { option, bytes } => format!("parameters {option} {}", bytes.escape_ascii()),
        other => format!("{other:?}"),
    }
}

fn screen(fact: &Fact<'_>) -> String {
    match fact {
        Fact::Telnet(Event::Output { text }) => format!("output {}", text.escape_ascii()),
        Fact::Telnet(Event::Input { line, role }) => format!("input {role:?} {}", line.escape_ascii()),
        other => event(other),
    }
}

#[track_caller]
fn check(said: &[(Side, Vec<u8>)], expected: &[&str]) {
    TELNET.check(said, expected);
}

#[test]
fn a_login_and_a_command() {
    let said = [
        server("\r\ncamera login: "),
        client("root\r\n"),
        server("Password: "),
        client("xc3511\r\n"),
        server("\r\nBusyBox v1.19.4 built-in shell (ash)\r\n\r\n~ # "),
        client("uname -a\r\n"),
        server("Linux camera\r\n~ # "),
        client("exit\r\n"),
    ];
    check(&said, &["login 'root' 'xc3511' accepted", "command uname -a", "command exit"]);
    SCREEN.check(
        &said,
        &[
            "output \\r\\n",
            "output camera login: ",
            "input User root",
            "output Password: ",
            "input Password xc3511",
            "output \\r\\n",
            "output BusyBox v1.19.4 built-in shell (ash)\\r\\n",
            "output \\r\\n",
            "login 'root' 'xc3511' accepted",
            "output ~ # ",
            "input Command uname -a",
            "command uname -a",
            "output Linux camera\\r\\n",
            "output ~ # ",
            "input Command exit",
            "command exit",
        ],
    );
}

#[test]
fn what_is_echoed_is_output() {
    let mut said = vec![server("login: ")];
    for byte in b"root" {
        said.extend([client([*byte]), server([*byte])]);
    }
    said.extend([client("\r\0"), server("\r\nPassword: "), client("a"), client("\r\0"), server("\r\n# ")]);
    for byte in b"id" {
        said.extend([client([*byte]), server([*byte])]);
    }
    said.extend([client("\r\0"), server("\r\nuid=0\r\n# ")]);
    check(&said, &["login 'root' 'a' accepted", "command id"]);
}

#[test]
fn several_attempts() {
    check(
        &[
            server("Welcome\r\nUsername:"),
            client("admin\r\n"),
            server("Password:"),
            client("\r\n"),
            server("\r\nLogin incorrect\r\nUsername:"),
            client("admin\r\n"),
            server("Password:"),
            client("1234\r\n"),
            server("\r\nBad password\r\nPassword:"),
            client("12345\r\n"),
            server("\r\nToo many attempts\r\n"),
        ],
        &["login 'admin' '' refused", "login 'admin' '1234' refused", "login 'admin' '12345' refused"],
    );
}

#[test]
fn a_loader_that_does_not_wait() {
    let script = client("root\r\nxc3511\r\nenable\r\nsystem\r\nsh\r\n");
    // The server asks afterwards.
    check(
        &[script.clone(), server("login: Password: \r\n\r\nBusyBox\r\n# enable: not found\r\n# ")],
        &["login 'root' 'xc3511' accepted", "command enable", "command system", "command sh"],
    );
    // With echo, and an answer that comes late.
    check(
        &[
            script.clone(),
            server("login: root\r\nPassword: \r\n"),
            server("Login incorrect\r\nlogin: "),
            server("system\r\nPassword: \r\nLogin incorrect\r\n"),
        ],
        &["login 'root' 'xc3511' refused", "login 'enable' 'system' refused", "command sh"],
    );
    // There is no login.
    check(
        &[script.clone(), server("# root: not found\r\n# xc3511: not found\r\n# ")],
        &["command root", "command xc3511", "command enable", "command system", "command sh"],
    );
    // Nobody answers.
    check(&[script], &["login 'root' 'xc3511' unanswered", "command enable", "command system", "command sh"]);
}

#[test]
fn a_script_that_ends_while_a_password_is_checked() {
    check(
        &[server("login: "), client("root\r\n"), server("Password: "), client("a\r\nenable\r\nsh\r\n")],
        &["login 'root' 'a' unanswered", "command enable", "command sh"],
    );
    check(
        &[server("login: "), client("root\r\na\r\nsh\r\n"), server("\r\nPassword: "), server("\r\nWelcome\r\n> ")],
        &["login 'root' 'a' accepted", "command sh"],
    );
}

#[test]
fn logins_of_other_kinds() {
    // No password is asked for.
    check(
        &[server("login: "), client("root\n"), server("\r\n# "), client("id\n")],
        &["login 'root' - accepted", "command id"],
    );
    // Only a password is asked for, and later another one.
    check(
        &[
            server("User Access Verification\r\n\r\nPassword: "),
            client("cisco\r\n"),
            server("\r\nRouter>"),
            client("enable\r\n"),
            server("enable\r\nPassword: "),
            client("secret\r\n"),
            server("\r\nRouter#"),
            client("show version\r\n"),
        ],
        &["login '' 'cisco' accepted", "command enable", "login '' 'secret' accepted", "command show version"],
    );
    // In another language.
    check(
        &[
            server("ユーザー名: "),
            client("admin\r\n"),
            server("パスワード: "),
            client("admin\r\n"),
            server("\r\n認証に失敗しました\r\nユーザー名: "),
            client("root\r\n"),
            server("パスワード: "),
            client("root\r\n"),
            server("\r\n$ "),
            client("ls\r\n"),
        ],
        &["login 'admin' 'admin' refused", "login 'root' 'root' accepted", "command ls"],
    );
    // None at all.
    check(&[server("BusyBox\r\n/ # "), client("ls\r\n")], &["command ls"]);
    // The name was never followed by a password.
    check(&[server("login: "), client("root\r\n"), server("Password: ")], &["login 'root' - unanswered"]);
}

#[test]
fn what_greets_is_no_prompt() {
    check(
        &[
            server("host login: "),
            client("pi\r\n"),
            server("Password: "),
            client("raspberry\r\n"),
            server("\r\nLast failed login: Mon Jan  5\r\nLast login: Tue Jan  6 from 192.0.2.1\r\n"),
            server("pi@host:~$ \x1b[6n"),
            client("\x1b[24;80Rls\r\n"),
        ],
        &["login 'pi' 'raspberry' accepted", "command ls"],
    );
    check(
        &[
            server("####################\r\n# Authorised use only #\r\n####################\r\nlogin: "),
            client("a\r\n"),
            server("Password: "),
            client("b\r\n"),
            server("\r\n% Login invalid\r\n"),
        ],
        &["login 'a' 'b' refused"],
    );
}

#[test]
fn lines_are_edited() {
    check(
        &[server("# "), client("lx\x08s\r\nrm -rf\x15id\nfoo\x03who\x7f\x7f\x7fps\0\r\n\x04\r\n\r\nq\x1b[Ax\r")],
        &["command ls", "command id", "command ps", "command qx"],
    );
    let long = "a".repeat(9000);
    check(
        &[server("# "), client(format!("{long}\r\nid\r\n"))],
        &["Bound line_too_long", &format!("command {}", &long[..8192]), "command id"],
    );
    check(&[server("# "), client("id\r\nreboo")], &["command id", "Tolerated line_not_ended"]);
}

#[test]
fn options_are_taken_out() {
    check(
        &[
            server(b"\xff\xfd\x18\xff\xfb\x01\xff\xf1login: "),
            client(b"\xff\xfc\x18ro\xff\xfa\x1f\0\x50\0\x18\xff\xf0ot\xff\xf6\r\n"),
            client(b"\xff\xfa\x18\0xterm\xff\xf0\xff\xfa\x20\x0038400\xff\xff\xff\xf0"),
            client(b"\xff\xfa\x27\0\0USER\x01-f \x02\x01root\x03X\xff\xf0"),
            server(b"Password: "),
            client(b"a\xff\xffb\r\n"),
            server(b"\r\n# \xff\xff"),
        ],
        &[
            "Do(24)",
            "Will(1)",
            "Wont(24)",
            "WindowSize { columns: 80, rows: 24 }",
            "Command(246)",
            "terminal xterm",
            "parameters 32 \\x0038400\\xff",
            "variable USER Some(\"-f \\\\x01root\")",
            "variable X None",
            "login 'root' 'a\\xffb' accepted",
        ],
    );
}

#[test]
fn broken_options() {
    check(
        &[client(b"\xff\xfa\x18\0x\xff\xfd\x01\xff\xf0\xff\x01\xff\xfa\x18")],
        &[
            "terminal x",
            "Tolerated subnegotiation_not_ended",
            "Do(1)",
            "Tolerated end_without_subnegotiation",
            "Tolerated command_unknown",
            "Tolerated option_cut_off",
        ],
    );
    let mut flood = Vec::new();
    for _ in 0..200 {
        flood.extend_from_slice(b"\xff\xfd\x01");
    }
    let facts = TELNET.facts(&[client(&flood)]);
    assert_eq!(facts.len(), 129);
    assert_eq!(facts.last().unwrap().1, "Bound too_many_options");
    let mut long = b"\xff\xfa\x18\0".to_vec();
    long.extend([b'x'; 5000]);
    long.extend_from_slice(b"\xff\xf0");
    check(&[client(&long)], &[&format!("terminal {}", "x".repeat(1023)), "Bound subnegotiation_too_long"]);
}

#[test]
fn the_line_in_which_bytes_were_lost_is_no_command() {
    let mut facts = Vec::new();
    let mut observer = |_: komainu_decode::Place, fact: Fact<'_>| {
        if let Fact::Command(command) = fact {
            facts.push(String::from_utf8(command.line.to_vec()).unwrap());
        }
    };
    let mut reader = (TELNET.reader)();
    reader.data(Side::Server, b"# ", &mut observer);
    reader.data(Side::Client, b"ls\r\nrm -", &mut observer);
    reader.gap(Side::Client, 10, &mut observer);
    reader.data(Side::Client, b"tmp\r\nid\r\n", &mut observer);
    reader.end(&mut observer);
    assert_eq!(facts, ["ls", "id"]);
}

#[test]
fn lines_that_nobody_waits_for_are_bounded() {
    let mut script = String::new();
    for line in 0..1000 {
        script.push_str(&format!("line {line}\r\n"));
    }
    let facts = TELNET.facts(&[client(&script)]);
    assert_eq!(facts.len(), 999);
    assert_eq!(facts[0].1, "login 'line 0' 'line 1' unanswered");
}

#[test]
fn real_clients_and_servers() {
    let said = recorded(include_str!("../conversations/telnet_inetutils.txt"));
    TELNET.check_cuts(&said);
    let facts = TELNET.facts(&said);
    let lines: Vec<&str> = facts
        .iter()
        .map(|(_, line)| line.as_str())
        .filter(|line| line.contains(' ') && !line.contains(" \\x"))
        .collect();
    assert_eq!(
        lines,
        [
            "terminal XTERM",
            "WindowSize { columns: 0, rows: 0 }",
            "login 'root' 'wrong' refused",
            "login 'root' 'xc3511' accepted",
            "command echo komainu",
            "command exit",
        ]
    );

    let said = recorded(include_str!("../conversations/telnet_busybox.txt"));
    TELNET.check_cuts(&said);
    let facts = TELNET.facts(&said);
    let lines: Vec<&str> = facts.iter().map(|(_, line)| line.as_str()).filter(|line| line.contains(' ')).collect();
    assert_eq!(
        lines,
        [
            "parameters 24 \\x01",
            "terminal xterm",
            "WindowSize { columns: 80, rows: 24 }",
            "login 'root' 'xc3511' accepted",
            "command echo a",
            "command exit",
        ]
    );

    let said = recorded(include_str!("../conversations/telnet_impatient.txt"));
    TELNET.check_cuts(&said);
    let facts = TELNET.facts(&said);
    let lines: Vec<&str> = facts.iter().map(|(_, line)| line.as_str()).filter(|line| line.contains(' ')).collect();
    assert_eq!(
        lines,
        [
            "login 'root' 'xc3511' accepted",
            "command enable",
            "command system",
            "command sh",
            "command /bin/busybox KOMAINU",
        ]
    );
}

fn conversation() -> Said {
    vec![
        server(b"\xff\xfd\x18\xff\xfb\x01\r\ncamera login: "),
        client(b"\xff\xfb\x18\xff\xfa\x18\0vt100\xff\xf0root\r\n"),
        server("root\r\nPassword: "),
        client("1234\r\n"),
        server("\r\nLogin incorrect\r\ncamera login: "),
        client("root\r\nxc3511\r\nenable\r\nsh\r\n/bin/busybox KOMAINU\r\n"),
        server("root\r\nPassword: \r\n\r\nBusyBox v1.19\r\n# enable\r\n-sh: enable: not found\r\n# "),
        client("cat /proc/mounts\r\n"),
        server("rootfs / rootfs rw 0 0\r\n# "),
    ]
}

#[test]
fn whatever_comes_is_read_in_peace() {
    TELNET.check(
        &conversation(),
        &[
            "Do(24)",
            "Will(1)",
            "Will(24)",
            "terminal vt100",
            "login 'root' '1234' refused",
            "login 'root' 'xc3511' accepted",
            "command enable",
            "command sh",
            "command /bin/busybox KOMAINU",
            "command cat /proc/mounts",
        ],
    );
    SCREEN.check_cuts(&conversation());
    SCREEN.check_damaged(conversation());
}
