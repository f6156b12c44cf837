//! File Transfer Protocol.

use komainu_decode::ftp::{DataReader, Direction, Event, Reader};
use komainu_decode::{Decoder, Fact, Place, Side};

use crate::conversation::{Protocol, Said, client, recorded, server};

const FTP: Protocol = Protocol { reader: || Box::new(Reader::default()), event, is_stream: true };

/// Without the exchanges.
const FTP_BRIEF: Protocol = Protocol { event: brief, ..FTP };

fn event(fact: &Fact<'_>) -> String {
    let Fact::Ftp(event) = fact else { return String::new() };
    match event {
        Event::Exchange(exchange) => {
            let codes: Vec<_> = exchange.codes.iter().map(|code| code.escape_ascii().to_string()).collect();
            let lines: Vec<_> = exchange.lines.iter().map(|line| line.escape_ascii().to_string()).collect();
            let port = exchange.data_port.map(|port| format!(" {port:?}")).unwrap_or_default();
            let (command, argument) = (exchange.command.escape_ascii(), exchange.argument.escape_ascii());
            let cut = if exchange.are_lines_cut { " cut" } else { "" };
            format!("[{command}|{argument}] {} {}{port}{cut}", codes.join(","), lines.join("/"))
        }
        other => brief(&Fact::Ftp(other.clone())),
    }
}

fn brief(fact: &Fact<'_>) -> String {
    match fact {
        Fact::Ftp(Event::DataChannel { address, passive, command, path, offset }) => {
            let ip = address.ip.map(|ip| format!("{ip} ")).unwrap_or_default();
            let mode = if *passive { "passive" } else { "active" };
            format!("data {mode} {ip}{} {} {} {offset}", address.port, command.escape_ascii(), path.escape_ascii())
        }
        Fact::Ftp(Event::Encrypted { mechanism }) => format!("encrypted {}", mechanism.escape_ascii()),
        _ => String::new(),
    }
}

#[test]
fn commands_and_replies_are_paired() {
    FTP.check(
        &[
            server("220-Welcome\r\n to us\r\n220 ready\r\n"),
            client("FEAT\r\nNOOP\r\nUSER anonymous\r\nPASS a@b\r\n"),
            server("211-Features:\r\n211x\r\n EPRT\r\n211 End\r\n200 ok\r\n331 go on\r\n230 in\r\n"),
            client("QUIT\r\n"),
            server("nonsense\r\n"),
        ],
        &[
            "[|] 220 Welcome/ to us/ready",
            "[FEAT|] 211 Features:/211x/ EPRT/End",
            "[NOOP|] 200 ok",
            "[USER|anonymous] 331 go on",
            "login 'anonymous' 'a@b' accepted",
            "[PASS|a@b] 230 in",
            "Skipped reply_without_code",
            "[QUIT|]  ",
        ],
    );
}

#[test]
fn logins() {
    FTP_BRIEF.check(
        &[
            client("USER root\r\n"),
            server("331 password\r\n"),
            client("pass 1 2\r\n"),
            server("530 no\r\n"),
            client("USER guest\r\n"),
            server("230 welcome\r\n"),
            client("USER other\r\n"),
            server("530 no\r\n"),
            client("PASS late\r\n"),
            server("503 user first\r\n"),
            client("USER a\r\nUSER b\r\nPASS c\r\n"),
        ],
        &[
            "login 'root' '1 2' refused",
            "login 'guest' - accepted",
            "login 'other' - refused",
            "login '' 'late' refused",
            "login 'a' - unanswered",
            "login 'b' 'c' unanswered",
        ],
    );
}

#[test]
fn data_connections() {
    FTP_BRIEF.check(
        &[
            client("PASV\r\n"),
            server("227 Entering Passive Mode (192,0,2,1,4,1)\r\n"),
            client("STOR /tmp/a b\r\n"),
            server("150 go\r\n226 done\r\n"),
            // The command comes before the answer.
            client("REST 100\r\nEPSV\r\nRETR x\r\n"),
            server("350 ok\r\n229 here (|||50000|)\r\n150 go\r\n226 done\r\n"),
            client("PORT 192,0,2,9,0,80\r\nLIST\r\n"),
            server("200 ok\r\n150 go\r\n226 done\r\n"),
            client("EPRT |2|2001:db8::1|99|\r\n"),
            server("200 ok\r\n"),
            client("retr y\r\n"),
            // Refused, and then without an address.
            client("PASV\r\n"),
            server("150 go\r\n226 done\r\n421 no\r\n"),
            client("STOR z\r\n"),
        ],
        &[
            "data passive 192.0.2.1 1025 STOR /tmp/a b 0",
            "data passive 50000 RETR x 100",
            "data active 192.0.2.9 80 LIST  0",
            "data active 2001:db8::1 99 RETR y 0",
        ],
    );
}

#[test]
fn what_is_encrypted_is_not_read() {
    FTP_BRIEF.check(
        &[client("AUTH TLS\r\n"), server("234 go\r\n"), client(b"\x16\x03\x01\nUSER x\r\n"), server("230 \x16\r\n")],
        &["encrypted TLS"],
    );
    FTP_BRIEF.check(
        &[client("AUTH TLS\r\n"), server("502 no\r\n"), client("USER x\r\n"), server("230 in\r\n")],
        &["login 'x' - accepted"],
    );
}

#[test]
fn programs_of_the_site() {
    FTP_BRIEF.check(&[client("SITE EXEC id -u\r\nSITE CHMOD 1 x\r\nsite exec\r\n")], &["command id -u"]);
}

#[test]
fn bounds() {
    let long = "x".repeat(5000);
    FTP_BRIEF.check(&[client(format!("{long}\r\nUSER a\r\n"))], &["Bound line_too_long", "login 'a' - unanswered"]);
    let facts = FTP.facts(&[client("NOOP\r\n".repeat(100))]);
    assert_eq!(facts.iter().filter(|(_, line)| line.starts_with("[NOOP")).count(), 100);
    assert_eq!(facts.iter().filter(|(_, line)| line.starts_with("Bound")).count(), 1);
    let facts = FTP.facts(&[client("HELP\r\n"), server(format!("214-x\r\n{}214 y\r\n", "line\r\n".repeat(1000)))]);
    assert!(facts[0].1.ends_with(" cut"), "{facts:?}");
}

#[test]
fn after_a_gap_lines_are_read_again() {
    let mut facts = Vec::new();
    let mut observer = |_: Place, fact: Fact<'_>| facts.push(event(&fact));
    let mut reader = Reader::default();
    reader.data(Side::Client, b"NOOP\r\nUSE", &mut observer);
    reader.gap(Side::Client, 10, &mut observer);
    reader.data(Side::Client, b"me\r\nPWD\r\n", &mut observer);
    reader.data(Side::Server, b"257 /\r\n", &mut observer);
    reader.end(&mut observer);
    assert_eq!(facts, ["", "[NOOP|]  ", "[PWD|] 257 /"]);
}

#[test]
fn files() {
    let upload = Protocol {
        reader: || Box::new(DataReader::new(b"a", Direction::Upload, true, 0)),
        event: |_| String::new(),
        is_stream: true,
    };
    upload.check(
        &[client("abc"), client("def"), server("x")],
        &["file 0 begins a FtpUpload", "file 0 at 0: abcdef", "Skipped data_from_receiver", "file 0 ends complete"],
    );
    upload.check(&[], &["file 0 begins a FtpUpload", "file 0 ends complete"]);
    let active = Protocol { reader: || Box::new(DataReader::new(b"b", Direction::Download, false, 10)), ..upload };
    active.check(&[client("abc")], &["file 0 begins b FtpDownload", "file 0 at 10: abc", "file 0 ends complete"]);
    let mut facts = 0;
    let mut observer = |_: Place, fact: Fact<'_>| {
        facts += 1;
        if let Fact::File(komainu_decode::FileEvent::End { is_complete, .. }) = fact {
            assert!(!is_complete);
        }
    };
    let mut reader = DataReader::new(b"a", Direction::Download, true, 0);
    reader.data(Side::Server, b"ab", &mut observer);
    reader.gap(Side::Server, 2, &mut observer);
    reader.data(Side::Server, b"ef", &mut observer);
    reader.finish(Side::Server, &mut observer);
    reader.end(&mut observer);
    assert_eq!(facts, 5);
    assert_eq!(Direction::of(b"STOU"), Some(Direction::Upload));
    assert_eq!(Direction::of(b"LIST"), None);
}

#[test]
fn real_clients_and_servers() {
    FTP_BRIEF.check(
        &recorded(include_str!("../conversations/ftp_lftp.txt")),
        &[
            "login 'admin' '12345' accepted",
            "data passive 127.0.0.1 48801 LIST  0",
            "data passive 127.0.0.1 42853 RETR hello.txt 0",
            "data passive 127.0.0.1 49849 STOR up/b.txt 0",
        ],
    );
    FTP_BRIEF.check(
        &recorded(include_str!("../conversations/ftp_curl_active.txt")),
        &["login 'admin' '12345' accepted", "data active 127.0.0.1 54673 RETR hello.txt 0"],
    );
    FTP_BRIEF.check(
        &recorded(include_str!("../conversations/ftp_vsftpd.txt")),
        &["login 'anonymous' 'ftp@example.com' accepted", "data passive 43220 RETR a.txt 0"],
    );
}

#[test]
fn whatever_comes_is_read_in_peace() {
    let said: Said = recorded(include_str!("../conversations/ftp_lftp.txt"));
    FTP.check_damaged(said);
}
