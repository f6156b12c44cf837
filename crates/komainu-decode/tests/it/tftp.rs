//! Trivial File Transfer Protocol.

use komainu_decode::Fact;
use komainu_decode::tftp::{Event, Reader};

use crate::conversation::{Protocol, client, recorded, server};

const TFTP: Protocol = Protocol { reader: || Box::new(Reader::default()), event, is_stream: false };

fn event(fact: &Fact<'_>) -> String {
    let options = |options: &[(&[u8], &[u8])]| -> String {
        options.iter().map(|(name, value)| format!(" {}={}", name.escape_ascii(), value.escape_ascii())).collect()
    };
    match fact {
        Fact::Tftp(Event::Request(request)) => {
            let (path, mode) = (request.path.escape_ascii(), request.mode.escape_ascii());
            format!("{:?} {path} {mode}{}", request.operation, options(request.options))
        }
        Fact::Tftp(Event::OptionsAccepted { options: of }) => format!("accepted{}", options(of)),
        Fact::Tftp(Event::Error { code, message }) => format!("error {code} {}", message.escape_ascii()),
        _ => String::new(),
    }
}

fn block(number: u16, data: &[u8]) -> Vec<u8> {
    [&[0, 3][..], &number.to_be_bytes(), data].concat()
}

fn ack(number: u16) -> Vec<u8> {
    [&[0, 4][..], &number.to_be_bytes()].concat()
}

#[test]
fn blocks_that_are_sent_again_are_told_once() {
    let full = [b'a'; 512];
    TFTP.check(
        &[
            client(b"\0\x02/tmp/x\0octet\0"),
            client(b"\0\x02/tmp/x\0octet\0"),
            server(ack(0)),
            client(block(1, &full)),
            client(block(1, &full)),
            server(ack(1)),
            client(block(2, b"bc")),
            client(block(2, b"bc")),
            server(ack(2)),
            client(block(2, b"bc")),
        ],
        &[
            "Write /tmp/x octet",
            "file 0 begins /tmp/x TftpUpload",
            &format!("file 0 at 0: {}bc", "a".repeat(512)),
            "file 0 ends complete",
        ],
    );
}

#[test]
fn netascii_is_translated() {
    let mut first = vec![b'a'; 511];
    first.push(b'\r');
    TFTP.check(
        &[client(b"\0\x01x\0NetASCII\0"), server(block(1, &first)), client(ack(1)), server(block(2, b"\nb\r\0c\rd\r"))],
        &[
            "Read x NetASCII",
            "file 0 begins x TftpDownload",
            &format!("file 0 at 0: {}\\nb\\rc\\rd\\r", "a".repeat(511)),
            "file 0 ends complete",
        ],
    );
}

#[test]
fn numbers_of_blocks_begin_again() {
    for begin in [0, 1] {
        let mut said = vec![client(b"\0\x01x\0octet\0blksize\x008\0"), server(b"\0\x06blksize\x008\0")];
        for number in 1..=65535 {
            said.push(server(block(number, b"12345678")));
        }
        said.extend([server(block(begin, b"abcdefgh")), server(block(begin + 1, b"end"))]);
        let facts = TFTP.facts(&said);
        let lines: Vec<&str> = facts.iter().map(|(_, line)| line.as_str()).collect();
        assert_eq!(lines.len(), 5, "{:?}", &lines[..2]);
        assert!(lines[3].ends_with("12345678abcdefghend"));
        assert_eq!(lines[4], "file 0 ends complete");
    }
}

#[test]
fn lost_blocks() {
    let full = [b'a'; 512];
    // Only the sender was recorded.
    let facts = TFTP.facts(&[
        client(b"\0\x02x\0octet\0"),
        client(block(1, &full)),
        client(block(3, &full)),
        client(block(4, b"")),
    ]);
    let lines: Vec<&str> = facts.iter().map(|(_, line)| line.as_str()).collect();
    assert!(lines.contains(&"Gap blocks_lost"), "{lines:?}");
    assert!(lines[4].starts_with("file 0 at 1024: aa"), "{lines:?}");
    assert_eq!(lines.last(), Some(&"file 0 ends incomplete"));
    // The receiver confirms what was not seen, but takes nothing out of order.
    let facts = TFTP.facts(&[
        client(b"\0\x02x\0octet\0"),
        server(ack(0)),
        client(block(1, &full)),
        client(block(5, b"out of order")),
        server(ack(1)),
        server(ack(2)),
        client(block(3, b"end")),
    ]);
    let lines: Vec<&str> = facts.iter().map(|(_, line)| line.as_str()).collect();
    assert_eq!(
        lines[3..],
        ["Skipped block_out_of_order", "Gap blocks_lost", "file 0 at 1024: end", "file 0 ends incomplete"]
    );
}

#[test]
fn transfers_that_end_early_or_begin_late() {
    TFTP.check(
        &[
            client(b"\0\x02x\0octet\0"),
            client(block(1, &[b'a'; 512])),
            server([b'x'; 1000]),
            server(b"\0\x05\0\x03disk full\0"),
            client(block(2, b"b")),
            client(block(1, b"late")),
            client(b"\0\x01y"),
            client(b"\0\x09"),
            client(b"\0\x01y\0octet"),
        ],
        &[
            "Write x octet",
            "file 0 begins x TftpUpload",
            &format!("file 0 at 0: {}", "a".repeat(512)),
            "Skipped packet_unknown",
            "error 3 disk full",
            "file 0 ends incomplete",
            "Skipped data_without_request",
            "file 1 begins  TftpUpload",
            "file 1 at 0: late",
            "file 1 ends complete",
            "Skipped request_cut_off",
            "Skipped packet_unknown",
            "Tolerated mode_not_ended",
            "Read y octet",
        ],
    );
}

#[test]
fn real_clients_and_servers() {
    let file = "k".repeat(1300);
    TFTP.check(
        &recorded(include_str!("../conversations/tftp.txt")),
        &[
            "Read get.txt octet",
            "file 0 begins get.txt TftpDownload",
            &format!("file 0 at 0: {file}"),
            "file 0 ends complete",
            "Write put.bin octet",
            "file 1 begins put.bin TftpUpload",
            &format!("file 1 at 0: {file}"),
            "file 1 ends complete",
            "Write netup2.txt netascii",
            "file 2 begins netup2.txt TftpUpload",
            "file 2 at 0: one\\ntwo\\rx\\n",
            "file 2 ends complete",
            "Read net.txt netascii",
            "file 3 begins net.txt TftpDownload",
            "file 3 at 0: one\\ntwo\\rx\\n",
            "file 3 ends complete",
            "Read get.txt octet tsize=0 blksize=1024 timeout=6",
            "accepted tsize=1300 blksize=1024 timeout=6",
            "file 4 begins get.txt TftpDownload of 1300",
            &format!("file 4 at 0: {file}"),
            "file 4 ends complete",
            "Read none.txt octet tsize=0 blksize=512 timeout=6",
            "error 1 File not found",
        ],
    );
}

#[test]
fn whatever_comes_is_read_in_peace() {
    TFTP.check_damaged(recorded(include_str!("../conversations/tftp.txt")));
}
