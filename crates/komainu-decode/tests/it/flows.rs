//! Frames in, flows and their bytes out.

use komainu_decode::capture::{CaptureReader, Frame, Next, PacketTime};
use komainu_decode::flows::{EndReason, Flow, FlowLimits, FlowObserver, FlowTable, TcpState};
use komainu_decode::packet::{LinkType, Segment};
use komainu_decode::{Fact, FileEvent, Place, Protocol, Side};
use proptest::prelude::*;

use crate::wire::{self, Ends};

/// What a table told.
#[derive(Debug, Default)]
struct Told {
    begun: Vec<Flow>,
    ended: Vec<(Flow, EndReason)>,
    /// All facts but the contents of files.
    facts: Vec<String>,
    /// The contents of files, one after the other.
    contents: Vec<u8>,
}

impl FlowObserver for Told {
    fn begin(&mut self, flow: &Flow) {
        self.begun.push(flow.clone());
    }

    fn fact(&mut self, flow: &Flow, _: PacketTime, place: Place, fact: Fact<'_>) {
        match fact {
            Fact::File(FileEvent::Part { bytes, .. }) => self.contents.extend_from_slice(bytes),
            fact => self.facts.push(format!("{} {:?} {} {fact:?}", flow.number, place.side, place.offset)),
        }
    }

    fn end(&mut self, flow: &Flow, reason: EndReason) {
        self.ended.push((flow.clone(), reason));
    }
}

/// Gives frames to a table, a millisecond apart.
fn told(frames: &[Vec<u8>]) -> Told {
    let (mut table, mut told) = (FlowTable::new(FlowLimits::default()), Told::default());
    for (index, frame) in frames.iter().enumerate() {
        table.frame(&ethernet(index as i64 * 1_000, frame), &mut told);
    }
    table.finish(&mut told);
    assert_eq!(told.begun.len(), told.ended.len(), "each flow ends once");
    told
}

fn ethernet(micros: i64, bytes: &[u8]) -> Frame<'_> {
    Frame { at: PacketTime::from_unix_micros(micros), link: Some(LinkType::Ethernet), bytes }
}

fn web() -> Ends {
    Ends::new("198.51.100.7:40000", "192.0.2.1:80")
}

const REQUEST: &[u8] = b"GET /index.html HTTP/1.1\r\nHost: camera.example\r\nUser-Agent: probe\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nServer: thttpd\r\nContent-Length: 5\r\n\r\nhello";

#[test]
fn a_connection_from_its_first_segment_to_its_last() {
    for ends in [web(), Ends::new("[2001:db8::7]:40000", "[2001:db8::1]:80")] {
        let told = told(&ends.conversation(&[(Side::Client, REQUEST), (Side::Server, ANSWER)], 10));
        let [(flow, EndReason::Closed)] = &told.ended[..] else { panic!("one flow: {:?}", told.ended) };
        assert_eq!((flow.client, flow.server, flow.protocol), (ends.client, ends.server, Some(Protocol::Http)));
        assert_eq!(flow.tcp, Some(TcpState::Closed));
        assert_eq!(flow.sent_by(Side::Client).payload_bytes, REQUEST.len() as u64);
        assert_eq!(flow.sent_by(Side::Server).payload_bytes, ANSWER.len() as u64);
        let hops = if ends.client.is_ipv4() { "4:57+7" } else { "6:64+0" };
        let syn = flow.syn.as_ref().expect("there was a SYN").to_string();
        assert_eq!(syn, format!("{hops}:0:1460:mss*44,7:mss,sok,nop,ws,eol+1:0"));
    }
}

#[test]
fn a_connection_whose_server_is_seen_first() {
    let frames = web().conversation(&[(Side::Client, REQUEST), (Side::Server, ANSWER)], 1_000);
    for skipped in 1..4 {
        let told = told(&frames[skipped..]);
        assert_eq!(told.begun[0].client, web().client, "{skipped} frames are missing");
    }
}

#[test]
fn answers_to_nobody_begin_no_flow() {
    let (mut table, mut told) = (FlowTable::new(FlowLimits::default()), Told::default());
    for flags in [Segment::RST, Segment::ACK, Segment::FIN | Segment::ACK] {
        table.frame(&ethernet(0, &web().segment(Side::Server, 1, 1, flags, b"")), &mut told);
    }
    assert_eq!((told.begun.len(), table.counts().stray), (0, 3));
}

#[test]
fn a_new_connection_over_the_same_ports() {
    let mut frames = web().conversation(&[(Side::Client, REQUEST)], 1_000);
    let late = frames[frames.len() - 2].clone();
    frames.push(late);
    let mut second = web().conversation(&[(Side::Client, REQUEST)], 1_000);
    // Another initial sequence number.
    second[0] = web().segment(Side::Client, 77_000, 0, Segment::SYN, b"");
    frames.extend(second);
    assert_eq!(told(&frames).begun.len(), 2, "what comes late begins no flow, a SYN does");
}

#[test]
fn a_broken_connection_ends() {
    let mut frames = web().conversation(&[(Side::Client, REQUEST)], 1_000);
    frames.truncate(4);
    frames.push(web().segment(Side::Server, u32::MAX - 19, 0, Segment::RST, b""));
    let told = told(&frames);
    assert_eq!((told.ended[0].0.tcp, told.ended[0].1), (Some(TcpState::Reset), EndReason::Closed));
}

#[test]
fn silence_ends_flows() {
    let (mut table, mut told) = (FlowTable::new(FlowLimits::default()), Told::default());
    let scan = |port: u16| Ends::new("198.51.100.7:40000", &format!("192.0.2.1:{port}"));
    for port in 1..=50 {
        table.frame(&ethernet(0, &scan(port).segment(Side::Client, 1, 0, Segment::SYN, b"")), &mut told);
    }
    table.frame(&ethernet(59_000_000, &scan(60).datagram(Side::Client, b"x")), &mut told);
    assert_eq!(told.ended.len(), 0);
    table.frame(&ethernet(61_000_000, &scan(61).datagram(Side::Client, b"x")), &mut told);
    assert_eq!(told.ended.len(), 50);
    assert!(
        told.ended
            .iter()
            .all(|(flow, reason)| { flow.tcp == Some(TcpState::SynSent) && *reason == EndReason::Timeout })
    );
}

#[test]
fn flows_are_bounded() {
    let (mut table, mut told) =
        (FlowTable::new(FlowLimits { flows_max: 10, ..FlowLimits::default() }), Told::default());
    for port in 1..=25 {
        let ends = Ends::new(&format!("198.51.100.7:{port}"), "192.0.2.1:9");
        table.frame(&ethernet(0, &ends.datagram(Side::Client, b"x")), &mut told);
    }
    let evicted: Vec<u16> = told.ended.iter().map(|(flow, _)| flow.client.port()).collect();
    assert_eq!(evicted, (1..=15).collect::<Vec<_>>(), "those that were silent for longest");
    assert!(told.ended.iter().all(|(_, reason)| *reason == EndReason::Evicted));
}

#[test]
fn a_datagram_in_pieces() {
    let ends = Ends::new("198.51.100.7:40000", "192.0.2.1:1900");
    let udp = wire::udp(40_000, 1_900, b"M-SEARCH * HTTP/1.1\r\nST: upnp:rootdevice\r\n\r\n");
    let (from, to) = (ends.client.ip(), ends.server.ip());
    let mut frames: Vec<Vec<u8>> =
        vec![wire::ipv4(from, to, 17, 9, 2, &udp[16..]), wire::ipv4(from, to, 17, 9, 0x2000, &udp[..16])];
    for frame in &mut frames {
        frame.splice(0..0, [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]);
    }
    let told = told(&frames);
    assert_eq!(told.ended[0].0.protocol, Some(Protocol::Ssdp));
    assert_eq!(told.ended[0].0.sent_by(Side::Client).payload_bytes, udp.len() as u64 - 8);
}

#[test]
fn an_answer_by_tftp_comes_from_another_port() {
    let ends = Ends::new("198.51.100.7:40000", "192.0.2.1:69");
    let other = Ends::new("198.51.100.7:40000", "192.0.2.1:33333");
    let told = told(&[
        ends.datagram(Side::Client, b"\0\x01boot.cfg\0octet\0"),
        other.datagram(Side::Server, b"\0\x03\0\x01hello"),
        other.datagram(Side::Client, b"\0\x04\0\x01"),
    ]);
    assert_eq!(told.begun.len(), 1);
    assert_eq!(told.ended[0].0.sent_by(Side::Server).packets, 1);
    assert_eq!(told.ended[0].0.sent_by(Side::Client).packets, 2);
}

#[test]
fn a_file_over_ftp_comes_over_another_connection() {
    let control = Ends::new("198.51.100.7:40000", "192.0.2.1:21");
    let passive = Ends::new("198.51.100.7:40001", "192.0.2.1:50000");
    let active = Ends::new("192.0.2.1:20", "198.51.100.7:40002");
    let talk = control.conversation(
        &[
            (Side::Server, b"220 ready\r\n"),
            (Side::Client, b"PASV\r\n"),
            // A server behind a translator says an address that nobody can reach.
            (Side::Server, b"227 Entering Passive Mode (10,0,0,1,195,80)\r\n"),
            (Side::Client, b"STOR notes.txt\r\n"),
            (Side::Server, b"150 go on\r\n"),
            (Side::Server, b"226 done\r\n"),
            (Side::Client, b"PORT 198,51,100,7,156,66\r\n"),
            (Side::Server, b"200 ok\r\n"),
            (Side::Client, b"RETR readme.txt\r\n"),
            (Side::Server, b"150 here it is\r\n"),
            (Side::Server, b"226 done\r\n"),
        ],
        1_000,
    );
    let upload = passive.conversation(&[(Side::Client, b"some notes\n")], 4);
    let download = active.conversation(&[(Side::Client, b"read me\n")], 1_000);
    // The client opens the first data connection before it asks for the transfer; the server the second one after.
    let frames =
        [&talk[..6], &upload[..3], &talk[6..8], &upload[3..], &talk[8..13], &download[..], &talk[13..]].concat();
    let told = told(&frames);
    assert_eq!(told.begun.len(), 3);
    assert_eq!(String::from_utf8_lossy(&told.contents), "some notes\nread me\n");
    let files: Vec<&String> = told.facts.iter().filter(|fact| fact.contains("File(Begin")).collect();
    assert!(files[0].contains("FtpUpload") && files[1].contains("FtpDownload"), "{files:?}");
}

#[test]
fn two_files_over_ftp_that_are_announced_in_one_segment() {
    let control = Ends::new("198.51.100.7:40000", "192.0.2.1:21");
    let answers: &[u8] = b"200 ok\r\n150 one\r\n226 done\r\n200 ok\r\n150 two\r\n226 done\r\n";
    let mut frames = control.conversation(
        &[
            (Side::Server, b"220 ready\r\n"),
            (Side::Client, b"PORT 198,51,100,7,156,65\r\nRETR one\r\nPORT 198,51,100,7,156,66\r\nRETR two\r\n"),
            (Side::Server, answers),
        ],
        1_000,
    );
    for (port, text) in [(40_001, &b"first "[..]), (40_002, b"second")] {
        let data = Ends::new("192.0.2.1:20", &format!("198.51.100.7:{port}"));
        frames.extend(data.conversation(&[(Side::Client, text)], 1_000));
    }
    assert_eq!(String::from_utf8_lossy(&told(&frames).contents), "first second");
}

#[test]
fn captures_of_every_form_hold_the_same() {
    let frames = web().conversation(&[(Side::Client, REQUEST), (Side::Server, ANSWER)], 33);
    let expected: Vec<(i64, Vec<u8>)> = frames
        .iter()
        .enumerate()
        .map(|(index, frame)| (1_700_000_000_000_000 + index as i64 * 1_000, frame.clone()))
        .collect();
    for file in [
        wire::pcap(&frames, false, false),
        wire::pcap(&frames, true, false),
        wire::pcap(&frames, false, true),
        wire::pcapng(&frames, false),
        wire::pcapng(&frames, true),
        [wire::pcapng(&frames[..4], false), wire::pcapng(&frames[4..], true)].concat(),
    ] {
        let read = read_all(&file);
        assert_eq!(read.iter().map(|(_, frame)| frame).collect::<Vec<_>>(), frames.iter().collect::<Vec<_>>());
        if file[0] != 0x0A || !file[8..].windows(4).any(|window| window == [0x1A, 0x2B, 0x3C, 0x4D]) {
            assert_eq!(read, expected);
        }
    }
}

/// Every frame of a capture, with its time in microseconds.
fn read_all(file: &[u8]) -> Vec<(i64, Vec<u8>)> {
    let (mut reader, mut at, mut frames) = (CaptureReader::default(), 0, Vec::new());
    while at < file.len() {
        match reader.next(&file[at..]).expect("a capture") {
            Next::Frame { frame, used } => {
                frames.push((frame.at.unix_micros(), frame.bytes.to_vec()));
                at += used;
            }
            Next::Other { used } => at += used,
            Next::More { bytes } => panic!("{bytes} bytes wanted at {at} of {}", file.len()),
        }
    }
    frames
}

#[test]
fn what_is_no_capture_is_refused() {
    let error = |bytes: &[u8]| CaptureReader::default().next(bytes).expect_err("no capture").to_string();
    assert_eq!(error(b"GET / HT"), "not a capture file: neither pcap nor pcapng (it begins with [47, 45, 54, 20])");
    let mut file = wire::pcap(&[vec![0; 60]], false, false);
    file[24 + 8..24 + 12].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut reader = CaptureReader::default();
    reader.next(&file).expect("a header");
    reader.next(&file[24..]).expect_err("no frame is that long");
}

proptest! {
    /// Segments of a side in another order, repeated and cut elsewhere show the same facts.
    #[test]
    fn disorder_changes_nothing(
        segment_bytes in 1usize..60,
        swaps in proptest::collection::vec((0usize..200, 1usize..6), 0..40),
    ) {
        let said: &[(Side, &[u8])] = &[(Side::Client, REQUEST), (Side::Server, ANSWER)];
        let expected = told(&web().conversation(said, 1_000));
        let frames = web().conversation(said, segment_bytes);
        let requests = REQUEST.len().div_ceil(segment_bytes);
        let (before, rest) = frames.split_at(3);
        let (asked, rest) = rest.split_at(requests);
        let (answered, after) = rest.split_at(rest.len() - 3);
        let disorder = |frames: &[Vec<u8>]| {
            let mut frames = frames.to_vec();
            for (at, by) in &swaps {
                let (one, other) = (at % frames.len(), (at + by) % frames.len());
                frames.swap(one, other);
                frames.insert(other, frames[one].clone());
            }
            frames
        };
        let seen = told(&[before, &disorder(asked), &disorder(answered), after].concat());
        prop_assert_eq!(seen.facts, expected.facts);
        prop_assert_eq!(seen.contents, expected.contents);
    }

    /// Whatever a capture holds, it is read without a panic.
    #[test]
    fn anything_can_be_read(mut file: Vec<u8>, changes in proptest::collection::vec((0usize..2_000, 0u8..), 0..20), form in 0..3) {
        let frames = web().conversation(&[(Side::Client, REQUEST), (Side::Server, ANSWER)], 20);
        let begin = match form {
            0 => wire::pcap(&frames, false, false),
            1 => wire::pcapng(&frames, true),
            _ => vec![0xA1, 0xB2, 0xC3, 0xD4],
        };
        file.splice(0..0, begin);
        for (at, byte) in changes {
            let length = file.len();
            file[at % length] = byte;
        }
        let (mut reader, mut at) = (CaptureReader::default(), 0);
        let (mut table, mut told) = (FlowTable::new(FlowLimits::default()), Told::default());
        while let Ok(next) = reader.next(&file[at..]) {
            match next {
                Next::Frame { frame, used } => {
                    table.frame(&frame, &mut told);
                    at += used;
                }
                Next::Other { used } => at += used,
                Next::More { .. } => break,
            }
        }
        table.finish(&mut told);
        prop_assert_eq!(told.begun.len(), told.ended.len());
    }
}
