use komainu_decode::rtsp::{Event, Reader, Request, Response};
use komainu_decode::{Decoder, Fact, Place, Side};
use proptest::prelude::*;

use crate::talk::{self, Said, Talk};

const C: Side = Side::Client;
const S: Side = Side::Server;

fn reader() -> Box<dyn Decoder> {
    Box::new(Reader::default())
}

fn check(talk: &Talk<'_>, expected: &[&str]) {
    talk::check(reader, describe, talk, expected);
}

pub(crate) fn describe(fact: &Fact<'_>) -> Said {
    let Fact::Rtsp(event) = fact else { panic!("{fact:?}") };
    Said::Whole(match event {
        Event::Request(request) => format!("request {}", short(request)),
        Event::Response { request, response } => {
            format!("response {} to {}", status(response), request.as_ref().map_or(String::new(), short))
        }
        Event::Unanswered(request) => format!("unanswered {}", short(request)),
    })
}

fn short(request: &Request<'_>) -> String {
    let cut = if request.is_cut { " (cut)" } else { "" };
    let agent = request.header("user-agent").unwrap_or_default().escape_ascii();
    format!("{} {} {agent}{cut}", request.method.escape_ascii(), request.target.escape_ascii())
}

fn status(response: &Response<'_>) -> String {
    response.status.map_or("nothing".to_owned(), |status| status.to_string())
}

#[test]
fn a_camera_is_asked_for_its_stream() {
    check(
        &[
            (C, b"OPTIONS rtsp://cam/1 RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: x\r\n\r\n"),
            (S, b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nPublic: DESCRIBE\r\n\r\n"),
            (C, b"DESCRIBE rtsp://cam/1 RTSP/1.0\r\nCSeq: 2\r\nAuthorization: Basic YWRtaW46MTIzNDU=\r\n\r\n"),
            (S, b"RTSP/1.0 401 Unauthorized\r\nCSeq: 2\r\n\r\n"),
            (C, b"DESCRIBE rtsp://cam/1 RTSP/1.0\r\nCSeq: 3\r\nAuthorization: Digest username=\"a\", response=\"0f\"\r\n\r\n"),
            (S, b"RTSP/1.0 200 OK\r\nCSeq: 3\r\nContent-Length: 12\r\n\r\nv=0\r\nm=x 0 y\r"),
            (C, b"PLAY rtsp://cam/1 RTSP/1.0\r\nCSeq: 4\r\n\r\n"),
        ],
        &[
            "request OPTIONS rtsp://cam/1 x",
            "response 200 to OPTIONS rtsp://cam/1 x",
            "request DESCRIBE rtsp://cam/1 ",
            "response 401 to DESCRIBE rtsp://cam/1 ",
            "login admin with 12345: refused",
            "request DESCRIBE rtsp://cam/1 ",
            "response 200 to DESCRIBE rtsp://cam/1 ",
            "login a with digest 0f: accepted",
            "request PLAY rtsp://cam/1 ",
            "unanswered PLAY rtsp://cam/1 ",
        ],
    );
}

#[test]
fn frames_between_messages_are_skipped() {
    check(
        &[
            (C, b"$\x01\0\x04\r\n\r\nPLAY rtsp://a RTSP/1.0\r\nCSeq: 9\r\n\r\n$\x01\0\0"),
            (S, b"$\0\0\x09RTSP/1.0 RTSP/1.0 200 OK\r\nCSeq: 9\r\n\r\n$\0\x01\0"),
        ],
        &["request PLAY rtsp://a ", "response 200 to PLAY rtsp://a "],
    );
}

#[test]
fn responses_are_matched_by_their_number_from_either_side() {
    check(
        &[
            (C, b"SETUP a RTSP/1.0\r\nCSeq: 1\r\n\r\nPLAY b RTSP/1.0\r\nCSeq: 2\r\n\r\n"),
            (S, b"ANNOUNCE c RTSP/1.0\r\nCSeq: 1\r\n\r\nRTSP/1.0 200 OK\r\nCSeq: 2\r\n\r\n"),
            (C, b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n"),
            (S, b"RTSP/1.0 454 No\r\n\r\nRTSP/1.0 200 OK\r\nCSeq: 7\r\n\r\n"),
        ],
        &[
            "request SETUP a ",
            "request PLAY b ",
            "request ANNOUNCE c ",
            "response 200 to PLAY b ",
            "response 200 to ANNOUNCE c ",
            "response 454 to SETUP a ",
            "response 200 to ",
        ],
    );
}

#[test]
fn broken_messages_are_read_all_the_same() {
    check(
        &[(C, b"DESCRIBE /x\nCSeq: 1\nContent-Length: x\n\n\x01\x02\nPLAY a RTSP/1.0\r\nbad\r\n\r\nOPTIONS b RTSP/1.0\r\nCS")],
        &[
            "request DESCRIBE /x ",
            "Tolerated version_missing",
            "Tolerated bare_line_feed",
            "Tolerated content_length_malformed",
            "Skipped bytes_between_messages",
            "request PLAY a ",
            "Tolerated header_without_colon",
            "request OPTIONS b  (cut)",
            "Tolerated head_incomplete",
            "unanswered DESCRIBE /x ",
            "unanswered PLAY a ",
            "unanswered OPTIONS b  (cut)",
        ],
    );
}

#[test]
fn a_head_that_is_too_long_is_cut_and_its_length_counts() {
    let long = [b'a'; 20_000];
    let message =
        [b"PLAY a RTSP/1.0\r\nA: ", &long[..], b"\r\nContent-Length: 3\r\n\r\nabcSTOP b RTSP/1.0\r\n\r\n"].concat();
    check(
        &[(C, &message)],
        &[
            "request PLAY a  (cut)",
            "Bound head_too_long",
            "request STOP b ",
            "unanswered PLAY a  (cut)",
            "unanswered STOP b ",
        ],
    );
}

#[test]
fn too_many_requests_at_once_are_given_up_one_by_one() {
    let message = b"PLAY a RTSP/1.0\r\n\r\n".repeat(40);
    let told = talk::read(reader(), &[(C, &message)], usize::MAX, describe);
    let lines = talk::lines(&told);
    let count = |text: &str| lines.iter().filter(|line| line.starts_with(text)).count();
    assert_eq!((count("request"), count("unanswered"), count("Bound too_many_requests")), (40, 40, 8));
}

#[test]
fn behind_a_gap_the_next_message_is_found() {
    let mut reader = Reader::default();
    let mut lines = Vec::new();
    let mut observer = |_: Place, fact: Fact<'_>| {
        if let Fact::Rtsp(_) = fact
            && let Said::Whole(text) = describe(&fact)
        {
            lines.push(text);
        }
    };
    reader.data(C, b"PLAY a RTSP/1.0\r\nCont", &mut observer);
    reader.gap(C, 10, &mut observer);
    reader.data(C, b"x: y\r\n\r\nPAUSE b RTSP/1.0\r\n\r\n", &mut observer);
    reader.data(S, b"$\0\0\x20abc", &mut observer);
    reader.gap(S, 0x20 - 3, &mut observer);
    reader.data(S, b"RTSP/1.0 200 OK\r\n\r\n", &mut observer);
    reader.end(&mut observer);
    assert_eq!(
        lines,
        ["request PLAY a  (cut)", "request PAUSE b ", "response 200 to PLAY a  (cut)", "unanswered PAUSE b "]
    );
}

proptest! {
    #[test]
    fn cuts_and_mutations_make_no_difference_to_what_is_told(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        size in 1usize..40,
    ) {
        let mut message = b"$\0\0\x04abcdPLAY a RTSP/1.0\r\nCSeq: 1\r\nAuthorization: Basic YTpi\r\nContent-Length: 3\r\n\r\nabc\
            RTSP/1.0 200 OK\r\nCSeq: 4\r\n\r\n$\x01\0\x01xTEARDOWN b RTSP/1.0\nCSeq: 2\n\n".to_vec();
        for (at, byte) in changes {
            let at = at.index(message.len());
            message[at] = byte;
        }
        let talk: [(Side, &[u8]); 2] = [(C, &message), (S, &message)];
        prop_assert_eq!(
            talk::read(reader(), &talk, size, describe),
            talk::read(reader(), &talk, usize::MAX, describe)
        );
    }
}
