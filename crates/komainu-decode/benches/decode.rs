//! How fast a capture is decoded, from the bytes of the file to facts, on one core.
//!
//! The captures are made here: connections of each protocol as attackers and devices speak it, one after the other and
//! interleaved, in segments of 1,448 bytes.

#[path = "../tests/it/wire.rs"]
#[expect(dead_code, reason = "tests make more kinds of frames")]
mod wire;

use std::hint::black_box;

use divan::counter::BytesCount;
use komainu_decode::capture::{CaptureReader, Next, PacketTime};
use komainu_decode::flows::{EndReason, Flow, FlowLimits, FlowObserver, FlowTable};
use komainu_decode::{Fact, FileEvent, Place, Side};

use crate::wire::Ends;

fn main() {
    divan::main();
}

/// Counts, and looks at the bytes of files, as whoever stores them does.
#[derive(Default)]
struct Counter {
    facts: usize,
    file_bytes: usize,
}

impl FlowObserver for Counter {
    fn begin(&mut self, _: &Flow) {}

    fn fact(&mut self, _: &Flow, _: PacketTime, _: Place, fact: Fact<'_>) {
        self.facts += 1;
        if let Fact::File(FileEvent::Part { bytes, .. }) = black_box(fact) {
            self.file_bytes += bytes.len();
        }
    }

    fn end(&mut self, _: &Flow, _: EndReason) {}
}

fn decode(file: &[u8]) -> Counter {
    let (mut reader, mut table, mut counter) =
        (CaptureReader::default(), FlowTable::new(FlowLimits::default()), Counter::default());
    let mut at = 0;
    while at < file.len() {
        match reader.next(&file[at..]).expect("a capture") {
            Next::Frame { frame, used } => {
                table.frame(&frame, &mut counter);
                at += used;
            }
            Next::Other { used } => at += used,
            Next::More { .. } => break,
        }
    }
    table.finish(&mut counter);
    counter
}

/// One conversation: the port, and what was said.
type Talk = (u16, Vec<(Side, Vec<u8>)>);

/// A capture of `count` times each of `talks`, segment by segment in turn.
fn capture(talks: &[Talk], count: u16) -> Vec<u8> {
    let mut conversations: Vec<std::vec::IntoIter<Vec<u8>>> = Vec::new();
    for round in 0..count {
        for (index, (port, said)) in talks.iter().enumerate() {
            let client = format!("198.51.{}.{}:{}", index, 1 + round % 250, 20_000 + round);
            let ends = Ends::new(&client, &format!("192.0.2.1:{port}"));
            let said: Vec<(Side, &[u8])> = said.iter().map(|(side, bytes)| (*side, &bytes[..])).collect();
            conversations.push(ends.conversation(&said, 1_448).into_iter());
        }
    }
    let mut frames = Vec::new();
    while !conversations.is_empty() {
        conversations.retain_mut(|conversation| {
            let frame = conversation.next();
            let goes_on = frame.is_some();
            frames.extend(frame);
            goes_on
        });
    }
    wire::pcap(&frames, false, false)
}

fn client(text: &str) -> (Side, Vec<u8>) {
    (Side::Client, text.as_bytes().to_vec())
}

fn server(text: &str) -> (Side, Vec<u8>) {
    (Side::Server, text.as_bytes().to_vec())
}

/// Bytes that do not repeat soon.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 7u64;
    (0..bytes)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect()
}

/// A page of a camera.
fn http_page() -> Talk {
    let mut said = Vec::new();
    for path in ["/", "/login.htm", "/cgi-bin/status?user=admin", "/favicon.ico"] {
        said.push(client(&format!(
            "GET {path} HTTP/1.1\r\nHost: 192.0.2.1\r\nUser-Agent: Mozilla/5.0 (probe)\r\nAccept: */*\r\n\
             Accept-Encoding: gzip\r\nConnection: keep-alive\r\n\r\n"
        )));
        let body = "<html><body>device</body></html>\n".repeat(60);
        said.push(server(&format!(
            "HTTP/1.1 200 OK\r\nServer: thttpd/2.27\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )));
    }
    (80, said)
}

/// A file that is downloaded.
fn http_download(bytes: usize) -> Talk {
    let mut answer =
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {bytes}\r\n\r\n")
            .into_bytes();
    answer.extend(noise(bytes));
    (80, vec![client("GET /firmware.bin HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n"), (Side::Server, answer)])
}

/// A login and some commands.
fn telnet() -> Talk {
    let mut said = vec![
        (Side::Server, b"\xff\xfb\x01\xff\xfb\x03\xff\xfd\x1f\r\ncamera login: ".to_vec()),
        client("root\r\n"),
        server("root\r\nPassword: "),
        client("example\r\n"),
        server("\r\n\r\nBusyBox v1.19.4 built-in shell (ash)\r\n\r\n~ # "),
    ];
    for command in ["enable", "cat /proc/mounts", "/bin/busybox KOMAINU", "ls -l /tmp"] {
        said.push(client(&format!("{command}\r\n")));
        said.push(server(&format!("{command}\r\n{}~ # ", "tmpfs /tmp tmpfs rw,nosuid 0 0\r\n".repeat(8))));
    }
    (23, said)
}

/// Everything in turn.
fn mixed() -> Vec<u8> {
    capture(&[http_page(), telnet(), http_download(64 * 1024)], 300)
}

#[divan::bench(sample_count = 20)]
fn mixed_capture(bencher: divan::Bencher<'_, '_>) {
    run(bencher, &mixed());
}

#[divan::bench(sample_count = 20)]
fn http_pages(bencher: divan::Bencher<'_, '_>) {
    run(bencher, &capture(&[http_page()], 2_000));
}

#[divan::bench(sample_count = 20)]
fn http_downloads(bencher: divan::Bencher<'_, '_>) {
    run(bencher, &capture(&[http_download(1024 * 1024)], 20));
}

#[divan::bench(sample_count = 20)]
fn telnet_sessions(bencher: divan::Bencher<'_, '_>) {
    run(bencher, &capture(&[telnet()], 2_000));
}

fn run(bencher: divan::Bencher<'_, '_>, file: &[u8]) {
    let facts = decode(file).facts;
    bencher.counter(BytesCount::new(file.len())).bench_local(|| {
        let counter = decode(black_box(file));
        assert_eq!(counter.facts, facts);
        counter.file_bytes
    });
}
