//! What is told of conversations over SMB.
//!
//! The files in `smb/` are conversations of Samba 4.17's server with smbclient 4.17, and with impacket 0.13 where the
//! name says so, recorded on loopback: for each piece, its side (`C` or `S`), its length and its bytes. Beside each is
//! what is told of it. `KOMAINU_UPDATE=1` writes the latter again.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use komainu_decode::smb::{Change, Detail, Dialect, Event, Exchange, Reader, ShareType, Target};
use komainu_decode::{Conversation, Decoder, Fact, FileEvent, Login, Observer, Place, Secret, Side, Transport};
use proptest::prelude::*;

type Said = Vec<(Side, Vec<u8>)>;

/// Conversations with real peers: their names and what they are about.
const RECORDED: [&str; 9] = [
    "smbclient_smb3",
    "smbclient_smb1",
    "smbclient_list",
    "smbclient_guest",
    "smbclient_no_spnego",
    "smbclient_encrypted",
    "impacket_smb1",
    "impacket_smb2",
    "impacket_wrong",
];

#[test]
fn recorded_conversations() {
    for name in RECORDED {
        let told = tell(&recorded(name), usize::MAX).join("\n") + "\n";
        let expected = folder().join(name).with_extension("told");
        if std::env::var_os("KOMAINU_UPDATE").is_some() {
            std::fs::write(&expected, &told).unwrap();
        }
        assert_eq!(told, std::fs::read_to_string(&expected).unwrap(), "{name}");
    }
}

#[test]
fn pieces_of_any_size_tell_the_same() {
    for name in RECORDED {
        let said = recorded(name);
        let whole = tell(&said, usize::MAX);
        for size in (1..80).chain([127, 512, 1460]) {
            assert_eq!(tell(&said, size), whole, "{name} in pieces of {size}");
        }
    }
}

#[test]
fn every_cut_tells_the_same() {
    let said = recorded("smbclient_list");
    let whole = tell(&said, usize::MAX);
    for (index, (side, bytes)) in said.iter().enumerate() {
        for cut in 1..bytes.len() {
            let mut parts = said.clone();
            parts[index] = (*side, bytes[..cut].to_vec());
            parts.insert(index + 1, (*side, bytes[cut..].to_vec()));
            assert_eq!(tell(&parts, usize::MAX), whole, "piece {index} cut at {cut}");
        }
    }
}

/// Checks what is told of `said`, whole and byte by byte; without the negotiation and logins, which are in the recorded
/// conversations.
fn check(said: &[(Side, Vec<u8>)], expected: &[&str]) {
    for size in [usize::MAX, 7, 1] {
        assert_eq!(tell(said, size), expected, "in pieces of {size}");
    }
}

#[test]
fn a_path_on_the_share_of_pipes_is_told_as_one() {
    let said = [
        client(v2(3, 1, 0, &tree_connect("\\\\camera\\IPC$"))),
        server(v2(3, 1, 0, &[16, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
        client(v2(5, 2, 0, &create("/share/notes.txt"))),
        server(v2(5, 2, 0xC000_0034, &[9, 0, 0, 0, 0, 0, 0, 0])),
    ];
    check(
        &said,
        &[
            "client 4+98 SMB2_COMMAND_TREE_CONNECT STATUS_SUCCESS: \\\\camera\\IPC$ Pipe",
            "client 106+152 SMB2_COMMAND_CREATE STATUS_OBJECT_NAME_NOT_FOUND: pipe path /share/notes.txt on \\\\camera\\IPC$ \
             FILE_OPEN",
        ],
    );
}

#[test]
fn what_is_written_within_a_compound_has_the_name_of_what_it_creates() {
    let mut first = create("a.txt");
    first.resize(first.len().next_multiple_of(8), 0);
    let mut compound = v2_message(5, 1, 0, 0, &first);
    let next = u32::try_from(compound.len()).unwrap();
    compound[20..24].copy_from_slice(&next.to_le_bytes());
    let mut second = v2_message(9, 2, 0, 4, &write([0xFF; 16], 0, b"harmless"));
    let next = u32::try_from(second.len()).unwrap();
    second[20..24].copy_from_slice(&next.to_le_bytes());
    compound.extend(second);
    compound.extend(v2_message(6, 3, 0, 4, &close([0xFF; 16])));
    let said = [
        client(framed(&compound)),
        server(v2(5, 1, 0, &created([7; 16], 0))),
        server(v2(9, 2, 0, &[17, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
        server(v2(6, 3, 0, &[60, 0, 0, 0])),
    ];
    check(
        &said,
        &[
            "file 0 begins: a.txt SmbWrite None",
            "file 0 at 0: harmless",
            "client 4+136 SMB2_COMMAND_CREATE STATUS_SUCCESS: file a.txt on  FILE_OPEN action 2 bytes 0",
            "client 140+120 SMB2_COMMAND_WRITE STATUS_SUCCESS: file Some(0) at 0 bytes 8",
            "file 0 ends: complete",
            "client 260+88 SMB2_COMMAND_CLOSE STATUS_SUCCESS: a.txt",
        ],
    );
}

#[test]
fn a_megabyte_is_told_as_it_comes() {
    let data = vec![b'x'; 1 << 20];
    let message = framed(&v2_message(9, 2, 0, 0, &write([7; 16], 1 << 33, &data)));
    let mut reader = Reader::default();
    let mut seen = 0;
    let mut longest = 0;
    for piece in message.chunks(1460) {
        let mut here = 0;
        reader.data(Side::Client, piece, &mut |_: Place, fact: Fact<'_>| {
            if let Fact::File(FileEvent::Part { offset, bytes, .. }) = fact {
                assert_eq!(offset, (1 << 33) + seen);
                seen += bytes.len() as u64;
                here += bytes.len();
            }
        });
        longest = longest.max(here);
    }
    assert_eq!((seen, longest), (1 << 20, 1460));
}

#[test]
fn a_write_that_is_refused_or_not_closed_is_not_whole() {
    let opened = [client(v2(5, 1, 0, &create("a"))), server(v2(5, 1, 0, &created([7; 16], 0)))];
    let written = client(v2(9, 2, 0, &write([7; 16], 4, b"data")));
    let refused = server(v2(9, 2, 0xC000_007F, &[9, 0, 0, 0, 0, 0, 0, 0]));
    let closed = [client(v2(6, 3, 0, &close([7; 16]))), server(v2(6, 3, 0, &[60, 0, 0, 0]))];
    let ends = |said: &[(Side, Vec<u8>)]| -> Vec<String> {
        tell(said, usize::MAX).into_iter().filter(|line| line.starts_with("file 0 ends")).collect()
    };
    let open_and = |rest: &[(Side, Vec<u8>)]| [&opened[..], std::slice::from_ref(&written), rest].concat();
    assert_eq!(ends(&open_and(&[])), ["file 0 ends: incomplete"]);
    assert_eq!(ends(&open_and(&closed[..1])), ["file 0 ends: complete"]);
    assert_eq!(ends(&open_and(&[&[refused], &closed[..]].concat())), ["file 0 ends: incomplete"]);
}

#[test]
fn only_one_side_is_seen() {
    for name in RECORDED {
        for side in [Side::Client, Side::Server] {
            let said: Said = recorded(name).into_iter().filter(|(by, _)| *by == side).collect();
            let told = tell(&said, 100);
            let is_login = |line: &String| line.starts_with("login") && line.ends_with("accepted None");
            assert!(!told.is_empty(), "{name}");
            if side == Side::Client {
                assert!(told.iter().any(is_login), "{name}: {told:#?}");
                assert!(!told.iter().any(|line| line.contains("malformed")), "{name}: {told:#?}");
            }
        }
    }
}

#[test]
fn after_a_gap_within_a_write_the_rest_of_it_is_in_its_place() {
    let message = framed(&v2_message(9, 2, 0, 0, &write([7; 16], 0, &[b'x'; 1000])));
    let mut after = message.clone();
    after.extend(framed(&v2_message(13, 3, 0, 0, &[4, 0, 0, 0])));
    let head = message.len() - 1000;
    let mut watch = Watch::default();
    let mut reader = Reader::default();
    reader.data(Side::Client, &after[..head + 100], &mut watch);
    reader.gap(Side::Client, 300, &mut watch);
    reader.data(Side::Client, &after[head + 400..], &mut watch);
    reader.end(&mut watch);
    assert_eq!(
        watch.lines(),
        [
            "oddity handle_unknown Tolerated".to_owned(),
            "file 0 begins:  SmbWrite None".to_owned(),
            format!("file 0 at 0: {}", "x".repeat(100)),
            "oddity bytes_lost Gap".to_owned(),
            format!("file 0 at 400: {}", "x".repeat(600)),
            "client 4+1112 SMB2_COMMAND_WRITE none: file Some(0) at 0 bytes 1000".to_owned(),
            "client 1120+68 SMB2_COMMAND_KEEPALIVE none".to_owned(),
            "file 0 ends: incomplete".to_owned(),
        ]
    );
}

#[test]
fn after_a_longer_gap_the_next_message_is_found() {
    let message = framed(&v2_message(13, 3, 0, 0, &[4, 0, 0, 0]));
    let mut watch = Watch::default();
    let mut reader = Reader::default();
    reader.data(Side::Client, &message[..10], &mut watch);
    reader.gap(Side::Client, 5000, &mut watch);
    reader.data(Side::Client, b"the end of something \xfeSMB", &mut watch);
    for byte in message.chunks(1) {
        reader.data(Side::Client, byte, &mut watch);
    }
    reader.end(&mut watch);
    assert_eq!(watch.lines(), ["oddity bytes_lost Gap", "client 5039+68 SMB2_COMMAND_KEEPALIVE none"]);
}

#[test]
fn a_pending_answer_is_not_the_answer() {
    let mut pending = v2_message(15, 1, 0x103, 3, &[9, 0, 0, 0, 0, 0, 0, 0]);
    pending[40..48].copy_from_slice(&[0; 8]);
    let said = [
        client(v2(15, 1, 0, &[32, 0])),
        server(framed(&pending)),
        server(v2(15, 1, 0xC000_0120, &[9, 0, 0, 0, 0, 0, 0, 0])),
    ];
    check(&said, &["client 4+66 SMB2_COMMAND_CHANGE_NOTIFY STATUS_CANCELLED"]);
}

#[test]
fn a_password_in_the_clear() {
    let mut request = vec![13, 0xFF, 0, 0, 0, 0, 0x10, 2, 0, 1, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    request.extend([25, 0]);
    request.extend(b"secret\0root\0GROUP\0os\0lm\0");
    let negotiate = [&[0, 12, 0][..], b"\x02NT LM 0.12\0"].concat();
    let mut negotiated = vec![17, 0, 0, 1];
    negotiated.extend([0; 31]);
    negotiated.extend([0, 0]);
    let said = [
        client(v1(0x72, 1, &negotiate)),
        server(v1(0x72, 1, &negotiated)),
        client(v1(0x73, 2, &request)),
        server(v1(0x73, 2, &[3, 0xFF, 0, 0, 0, 0, 0, 0, 0])),
    ];
    check(
        &said,
        &[
            "client 4+47 SMB1_COMMAND_NEGOTIATE_PROTOCOL STATUS_SUCCESS: NT LM 0.12 -> Named(\"NT LM 0.12\")",
            "login root password secret accepted Some(true)",
            "client 55+85 SMB1_COMMAND_SESSION_SETUP_ANDX STATUS_SUCCESS: Plain GROUP root  os/lm",
        ],
    );
}

#[test]
fn a_chain_is_told_command_by_command() {
    let mut chain = vec![13, 0x75, 0, 0, 0, 0, 0x10, 2, 0, 1, 0, 0, 0, 0, 0, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    chain.extend([35, 0]);
    chain.extend([b'r'; 24]);
    chain.extend(b"root\0\0os\0lm");
    let second = u16::try_from(32 + chain.len()).unwrap();
    chain[3..5].copy_from_slice(&second.to_le_bytes());
    chain.extend([4, 0xFF, 0, 0, 0, 0, 0, 1, 0]);
    chain.extend([20, 0]);
    chain.extend(b"\0\\\\camera\\disk\0?????\0");
    let setup = "client 4+128 SMB1_COMMAND_SESSION_SETUP_ANDX";
    let connect = "client 4+128 SMB1_COMMAND_TREE_CONNECT_ANDX";

    let mut both = vec![3, 0x75, 0, 41, 0, 1, 0, 0, 0];
    both.extend([3, 0xFF, 0, 0, 0, 0, 0, 3, 0]);
    both.extend(b"A:\0");
    check(
        &[client(v1(0x73, 1, &chain)), server(v1(0x73, 1, &both))],
        &[
            "login root nothing accepted Some(true)",
            &format!("{setup} STATUS_SUCCESS: Ntlm  root  os/lm as guest"),
            &format!("{connect} STATUS_SUCCESS: \\\\camera\\disk Disk"),
        ],
    );

    let mut refused = v1(0x73, 1, &[0, 0, 0]);
    refused[9..13].copy_from_slice(&0xC000_006D_u32.to_le_bytes());
    check(
        &[client(v1(0x73, 1, &chain)), server(refused)],
        &[
            "login root ntlm of 24 bytes accepted Some(false)",
            &format!("{setup} STATUS_LOGON_FAILURE: Ntlm  root  os/lm"),
            &format!("{connect} none: \\\\camera\\disk "),
        ],
    );
}

#[test]
fn the_oldest_commands_of_smb1() {
    let said = [
        client(v1(0x02, 1, &[2, 0, 0, 0, 0, 3, 0, 4, b'a', 0])),
        server(v1(0x02, 1, &[7, 9, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0])),
        client(v1(0x0B, 2, &[5, 9, 0, 4, 0, 0, 0, 0, 0, 0, 0, 7, 0, 1, 4, 0, b'd', b'a', b't', b'a'])),
        server(v1(0x0B, 2, &[1, 4, 0, 0, 0])),
        client(v1(0x0A, 3, &[5, 9, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
        server(v1(0x0A, 3, &[5, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 1, 4, 0, b'd', b'a', b't', b'a'])),
        client(v1(0x04, 4, &[3, 9, 0, 0, 0, 0, 0, 0, 0])),
        server(v1(0x04, 4, &[0, 0, 0])),
        client(v1(0x81, 5, &[2, 1, 0, 0, 0, 5, 0, 4, b'*', 0, 5, 0, 0])),
    ];
    check(
        &said,
        &[
            "client 4+42 SMB1_COMMAND_OPEN STATUS_SUCCESS: file a on  ",
            "file 0 begins: a SmbWrite None",
            "file 0 at 0: data",
            "client 50+52 SMB1_COMMAND_WRITE STATUS_SUCCESS: file Some(0) at 0 bytes 4",
            "file 1 begins: a SmbRead Some(4)",
            "client 106+45 SMB1_COMMAND_READ STATUS_SUCCESS: file Some(1) at 0 asked 4 bytes 4",
            "file 1 at 0: data",
            "file 0 ends: complete",
            "file 1 ends: complete",
            "client 155+41 SMB1_COMMAND_CLOSE STATUS_SUCCESS: a",
            "client 200+45 SMB1_COMMAND_SEARCH none: * in ",
        ],
    );
}

#[test]
fn a_flow_without_its_beginning_is_found_by_its_port() {
    let mut watch = Watch::default();
    let mut flow = Conversation::new(Transport::Tcp, 445);
    flow.gap(Side::Client, 100, &mut watch);
    flow.data(Side::Client, b"the end of a message", &mut watch);
    flow.data(Side::Client, &v2(13, 3, 0, &[4, 0, 0, 0]), &mut watch);
    flow.end(&mut watch);
    assert_eq!(
        watch.lines(),
        ["oddity beginning_lost Gap", "oddity bytes_lost Gap", "client 124+68 SMB2_COMMAND_KEEPALIVE none",]
    );
}

#[test]
fn many_open_files_are_bounded() {
    let mut said = Said::new();
    for id in 0..100u8 {
        said.push(client(v2(5, id.into(), 0, &create("a"))));
        said.push(server(v2(5, id.into(), 0, &created([id; 16], 0))));
        said.push(client(v2(9, u64::from(id) + 1000, 0, &write([id; 16], 0, b"data"))));
    }
    let told = tell(&said, usize::MAX);
    let times = |what: &str| told.iter().filter(|line| line.contains(what)).count();
    assert_eq!((times("begins"), times("incomplete"), times("too_many_open_files")), (100, 100, 16));
}

#[test]
fn what_is_no_smb() {
    check(&[client(b"GET / HTTP/1.1\r\n\r\n".to_vec())], &["oddity no_session_message Skipped"]);
    check(&[client(vec![0, 0, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8])], &["oddity no_smb_message Skipped"]);
    check(&[client(vec![0, 0, 0, 5, 0xFE, b'S', b'M', b'B', 0])], &["oddity message_too_short Skipped"]);
    check(
        &[client(v2(5, 1, 0, &[57, 0]))],
        &["oddity request_malformed Tolerated", "client 4+66 SMB2_COMMAND_CREATE none"],
    );
    check(&[client(vec![0x85, 0, 0, 0])], &[]);
    for length in [511u16, 512] {
        let [high, low] = length.to_be_bytes();
        let mut request = vec![0x81, 0, high, low];
        request.resize(4 + usize::from(length), 0);
        check(&[client(request)], &["session  "]);
    }
    check(&[client([&[0x81, 0, 2, 1][..], &[0; 600]].concat())], &["oddity no_session_message Skipped"]);
}

#[test]
fn messages_at_the_bound() {
    for name_bytes in [15_000, 16_000, 16_264, 16_266, 30_000] {
        let told = tell(&[client(v2(5, 1, 0, &create(&"n".repeat(name_bytes / 2))))], 100);
        let expected =
            if name_bytes <= 16_264 { "oddity name_too_long Bound" } else { "oddity message_too_long Bound" };
        assert_eq!(told[0], expected, "{name_bytes} bytes");
        assert!(told[1].contains("SMB2_COMMAND_CREATE"));
        assert_eq!(told.len(), 2);
    }
}

#[test]
fn many_requests_without_answers_are_told_and_bounded() {
    let said: Said = (0..1000).map(|id| client(v2(5, id, 0, &create(&"n".repeat(400))))).collect();
    let told = tell(&said, usize::MAX);
    assert_eq!(told.iter().filter(|line| line.contains("SMB2_COMMAND_CREATE")).count(), 1000);
    assert_eq!(told.iter().filter(|line| line.contains("too_many_requests")).count(), 16);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_cuts_tell_the_same(which in 0..RECORDED.len(), sizes in prop::collection::vec(1usize..3000, 1..20)) {
        let said = recorded(RECORDED[which]);
        let mut sizes = sizes.iter().cycle();
        let mut cut = Said::new();
        for (side, mut bytes) in said.clone() {
            while !bytes.is_empty() {
                let rest = bytes.split_off(bytes.len().min(*sizes.next().unwrap()));
                cut.push((side, bytes));
                bytes = rest;
            }
        }
        prop_assert_eq!(tell(&cut, usize::MAX), tell(&said, usize::MAX));
    }

    #[test]
    fn mutations_are_survived(
        which in 0..RECORDED.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..30),
        gap in prop::option::of((any::<prop::sample::Index>(), 1u64..3000)),
    ) {
        let mut said = recorded(RECORDED[which]);
        for (piece, at, byte) in changes {
            let bytes = &mut piece.get_mut(&mut said).1;
            *at.get_mut(bytes) = byte;
        }
        let whole = tell(&said, usize::MAX);
        prop_assert_eq!(tell(&said, 11), whole);
        let mut watch = Watch::default();
        let mut reader = Reader::default();
        for (index, (side, bytes)) in said.iter().enumerate() {
            if let Some((at, lost)) = &gap
                && at.index(said.len()) == index
            {
                reader.gap(*side, *lost, &mut watch);
            }
            reader.data(*side, bytes, &mut watch);
        }
        reader.end(&mut watch);
        watch.lines();
    }

    #[test]
    fn random_bytes_are_survived(
        pieces in prop::collection::vec((any::<bool>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..300)), 1..20),
    ) {
        let said: Said = pieces
            .into_iter()
            .map(|(is_client, is_v2, bytes)| {
                let mut message = if is_v2 { b"\xfeSMB".to_vec() } else { b"\xffSMB".to_vec() };
                message.extend(bytes);
                (if is_client { Side::Client } else { Side::Server }, framed(&message))
            })
            .collect();
        prop_assert_eq!(tell(&said, 5), tell(&said, usize::MAX));
    }
}

/// What is told of `said`, cut into pieces of at most `size` bytes.
fn tell(said: &[(Side, Vec<u8>)], size: usize) -> Vec<String> {
    let mut watch = Watch::default();
    for (side, bytes) in said {
        watch.said[usize::from(*side == Side::Server)].extend(bytes);
    }
    let mut reader = Reader::default();
    for (side, bytes) in said {
        for piece in bytes.chunks(size) {
            reader.data(*side, piece, &mut watch);
        }
    }
    reader.finish(Side::Client, &mut watch);
    reader.finish(Side::Server, &mut watch);
    reader.end(&mut watch);
    watch.lines()
}

/// Writes down what is told, and sees that it keeps the rules: places are right, files begin and end once.
#[derive(Default)]
struct Watch {
    told: Vec<Told>,
    /// What each side said; empty when places are not to be looked at.
    said: [Vec<u8>; 2],
    /// The files that began, and whether they ended.
    files: HashMap<u32, bool>,
}

enum Told {
    Line(String),
    Part { file: u32, offset: u64, bytes: Vec<u8> },
}

impl Watch {
    fn lines(&self) -> Vec<String> {
        assert!(self.files.values().all(|has_ended| *has_ended), "each file ends");
        self.told
            .iter()
            .map(|told| match told {
                Told::Line(line) => line.clone(),
                Told::Part { file, offset, bytes } => format!("file {file} at {offset}: {}", bytes.escape_ascii()),
            })
            .collect()
    }

    fn at(&self, place: Place) -> Option<&[u8]> {
        let said = &self.said[usize::from(place.side == Side::Server)];
        let (at, bytes) = (place.offset as usize, place.bytes as usize);
        (!said.is_empty())
            .then(|| said.get(at..(at + bytes).min(said.len())).expect("the place is within what was said"))
    }

    fn line(&mut self, line: String) {
        self.told.push(Told::Line(line));
    }

    fn file(&mut self, place: Place, event: FileEvent<'_>) {
        match event {
            FileEvent::Begin { file, name, via, bytes_expected } => {
                assert_eq!(self.files.insert(file.0, false), None, "each file begins once");
                self.line(format!("file {} begins: {} {via:?} {bytes_expected:?}", file.0, name.escape_ascii()));
            }
            FileEvent::Part { file, offset, bytes } => {
                assert_eq!(self.files.get(&file.0), Some(&false), "a part is between begin and end");
                if let Some(there) = self.at(place) {
                    assert_eq!(there, bytes);
                }
                match self.told.last_mut() {
                    Some(Told::Part { file: last, offset: begin, bytes: before })
                        if *last == file.0 && *begin + before.len() as u64 == offset =>
                    {
                        before.extend(bytes);
                    }
                    _ => self.told.push(Told::Part { file: file.0, offset, bytes: bytes.to_vec() }),
                }
            }
            FileEvent::End { file, is_complete } => {
                assert_eq!(self.files.insert(file.0, true), Some(false), "each file ends once");
                let how = if is_complete { "complete" } else { "incomplete" };
                self.line(format!("file {} ends: {how}", file.0));
            }
        }
    }

    fn exchange(&mut self, place: Place, exchange: Exchange<'_>) {
        if let Some(there) = self.at(place) {
            assert_eq!(there.get(1..4), Some(&b"SMB"[..]));
        }
        let side = if place.side == Side::Client { "client" } else { "server" };
        let name = exchange.command.name().map_or_else(|| format!("{:?}", exchange.command), str::to_owned);
        let status = match exchange.status {
            None => "none".to_owned(),
            Some(status) => status.name().map_or_else(|| format!("{status:?}"), str::to_owned),
        };
        let detail = describe(&exchange.detail);
        let detail = if detail.is_empty() { detail } else { format!(": {detail}") };
        self.line(format!("{side} {}+{} {name} {status}{detail}", place.offset, place.bytes));
    }
}

impl Observer for Watch {
    fn fact(&mut self, place: Place, fact: Fact<'_>) {
        match fact {
            Fact::File(event) => self.file(place, event),
            Fact::Login(Login { user, secret, accepted }) => {
                let secret = match secret {
                    Secret::None => "nothing".to_owned(),
                    Secret::Password(password) => format!("password {}", password.escape_ascii()),
                    Secret::Response { mechanism, bytes } => format!("{mechanism} of {} bytes", bytes.len()),
                    Secret::PublicKey { fingerprint } => (*fingerprint).to_owned(),
                };
                self.line(format!("login {} {secret} accepted {accepted:?}", user.escape_ascii()));
            }
            Fact::Oddity(oddity) => self.line(format!("oddity {} {:?}", oddity.what, oddity.kind)),
            Fact::Smb(Event::Exchange(exchange)) => self.exchange(place, exchange),
            Fact::Smb(Event::Rpc(rpc)) => {
                if let Some(there) = self.at(place) {
                    assert_eq!(there.first(), Some(&5));
                }
                let interfaces: Vec<String> =
                    rpc.interfaces.iter().map(|one| format!("{} {:?}", hex(&one.uuid), one.version)).collect();
                self.line(format!(
                    "rpc {} call {} over {}: {interfaces:?} {:?} stub {}",
                    rpc.kind,
                    rpc.call_id,
                    rpc.pipe.escape_ascii(),
                    rpc.operation,
                    rpc.stub_bytes
                ));
            }
            Fact::Smb(event) => {
                if let Event::SessionRequest { called, calling } = &event {
                    return self.line(format!("session {} {}", called.escape_ascii(), calling.escape_ascii()));
                }
                self.line(format!("{event:?}"));
            }
            other => panic!("{other:?} is not of SMB"),
        }
    }
}

/// What an exchange is about, in short. Bytes that differ with each run, such as handles and times, are left out.
fn describe(detail: &Detail<'_>) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match detail {
        Detail::Negotiate(negotiate) => {
            let names: Vec<String> = negotiate.names.iter().map(|name| text(name)).collect();
            let revisions: Vec<String> = negotiate.revisions.iter().map(|one| format!("{one:04x}")).collect();
            let chosen = match negotiate.chosen {
                Some(Dialect::Revision(revision)) => format!("{revision:04x}"),
                chosen => chosen.map_or_else(String::new, |chosen| format!("{chosen:?}")),
            };
            format!("{} -> {chosen}", [names, revisions].concat().join(", "))
        }
        Detail::SessionSetup(setup) => {
            let kind = match (setup.ntlm, setup.mechanism) {
                (Some(ntlm), _) => format!("{ntlm:?}"),
                (None, Some(mechanism)) => format!("{mechanism:?}"),
                (None, None) => String::new(),
            };
            let guest = if setup.is_guest { " as guest" } else { "" };
            format!(
                "{kind} {} {} {} {}/{}{guest}",
                text(&setup.domain),
                text(&setup.user),
                text(&setup.workstation),
                text(&setup.native_os),
                text(&setup.native_lm)
            )
        }
        Detail::TreeConnect { path, share_type, .. } => {
            let kind = match share_type {
                Some(ShareType::Unknown(_)) | None => String::new(),
                Some(kind) => format!("{kind:?}"),
            };
            format!("{} {kind}", text(path))
        }
        Detail::Open(open) => {
            let target = match open.target {
                Target::File if open.is_directory => "directory",
                Target::File => "file",
                Target::Pipe => "pipe",
                Target::PipePath => "pipe path",
            };
            let disposition = open.disposition.and_then(|disposition| disposition.name()).unwrap_or("");
            let mut line = format!("{target} {} on {} {disposition}", text(&open.name), text(&open.share));
            if let Some(action) = open.action {
                line += &format!(" action {action} bytes {}", open.file_bytes.unwrap_or(0));
            }
            line
        }
        Detail::Close { name } | Detail::Path { name } => text(name),
        Detail::Read { file, offset, bytes_asked, bytes } => {
            format!("file {:?} at {offset} asked {bytes_asked} bytes {bytes}", file.map(|file| file.0))
        }
        Detail::Write { file, offset, bytes } => {
            format!("file {:?} at {offset} bytes {bytes}", file.map(|file| file.0))
        }
        Detail::Rename { from, to } => format!("{} -> {}", text(from), text(to)),
        Detail::SetInfo { name, change } => match change {
            Change::Delete(is_set) => format!("{} delete {is_set}", text(name)),
            Change::End(end) => format!("{} end {end}", text(name)),
            Change::Level { info_type, level } => format!("{} level {info_type} {level}", text(name)),
        },
        Detail::Find { pattern, directory } => format!("{} in {}", text(pattern), text(directory)),
        Detail::Transaction { subcommand, name } => format!("{subcommand:?} {}", text(name)),
        Detail::Control { code } => format!("{code:#x}"),
        Detail::Other => String::new(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/smb")
}

fn recorded(name: &str) -> Said {
    let bytes = std::fs::read(folder().join(name).with_extension("said")).expect("the conversation is there");
    let mut rest = &bytes[..];
    let mut said = Said::new();
    while let [side, a, b, c, d, behind @ ..] = rest {
        let (piece, next) = behind.split_at(u32::from_be_bytes([*a, *b, *c, *d]) as usize);
        said.push((if *side == b'C' { Side::Client } else { Side::Server }, piece.to_vec()));
        rest = next;
    }
    said
}

fn client(bytes: Vec<u8>) -> (Side, Vec<u8>) {
    (Side::Client, bytes)
}

fn server(bytes: Vec<u8>) -> (Side, Vec<u8>) {
    (Side::Server, bytes)
}

/// A message behind the header of the session service.
fn framed(message: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(message.len()).expect("it is short").to_be_bytes();
    [&[0][..], &length, message].concat()
}

fn v2(command: u16, message_id: u64, status: u32, body: &[u8]) -> Vec<u8> {
    framed(&v2_message(command, message_id, status, 0, body))
}

fn v2_message(command: u16, message_id: u64, status: u32, flags: u32, body: &[u8]) -> Vec<u8> {
    let mut message = b"\xfeSMB\x40\0\0\0".to_vec();
    message.extend(status.to_le_bytes());
    message.extend(command.to_le_bytes());
    message.extend([1, 0]);
    message.extend(flags.to_le_bytes());
    message.extend(0u32.to_le_bytes());
    message.extend(message_id.to_le_bytes());
    message.extend([0; 4]);
    message.extend(5u32.to_le_bytes());
    message.extend(9u64.to_le_bytes());
    message.extend([0; 16]);
    message.extend(body);
    message
}

fn v1(command: u8, multiplex_id: u16, body: &[u8]) -> Vec<u8> {
    let mut message = b"\xffSMB".to_vec();
    message.push(command);
    message.extend([0; 5]);
    message.extend([0, 0x40]);
    message.extend([0; 18]);
    message.extend(multiplex_id.to_le_bytes());
    message.extend(body);
    framed(&message)
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn tree_connect(path: &str) -> Vec<u8> {
    let path = wide(path);
    let mut body = vec![9, 0, 0, 0, 72, 0];
    body.extend(u16::try_from(path.len()).expect("it is short").to_le_bytes());
    body.extend(path);
    body
}

fn create(name: &str) -> Vec<u8> {
    let name = wide(name);
    let mut body = vec![57, 0];
    body.resize(36, 0);
    body.extend(1u32.to_le_bytes());
    body.extend(0u32.to_le_bytes());
    body.extend(120u16.to_le_bytes());
    body.extend(u16::try_from(name.len()).expect("it is short").to_le_bytes());
    body.extend([0; 8]);
    body.extend(name);
    body
}

fn created(file_id: [u8; 16], bytes: u64) -> Vec<u8> {
    let mut body = vec![89, 0, 0, 0, 2, 0, 0, 0];
    body.resize(48, 0);
    body.extend(bytes.to_le_bytes());
    body.extend([0; 8]);
    body.extend(file_id);
    body.extend([0; 8]);
    body
}

fn write(file_id: [u8; 16], offset: u64, data: &[u8]) -> Vec<u8> {
    let mut body = vec![49, 0, 112, 0];
    body.extend(u32::try_from(data.len()).expect("it is short").to_le_bytes());
    body.extend(offset.to_le_bytes());
    body.extend(file_id);
    body.extend([0; 16]);
    body.extend(data);
    body
}

fn close(file_id: [u8; 16]) -> Vec<u8> {
    let mut body = vec![24, 0, 0, 0, 0, 0, 0, 0];
    body.extend(file_id);
    body
}
