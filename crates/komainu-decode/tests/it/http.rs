use komainu_decode::http::{Event, Reader, Request, Response};
use komainu_decode::{Decoder, Fact, FileEvent, Place, Side};
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
    let Fact::Http(event) = fact else { panic!("{fact:?}") };
    Said::Whole(match event {
        Event::Request(request) => format!("request {}", head(request)),
        Event::RequestBody { offset, bytes } => {
            return Said::Piece { of: "body".to_owned(), offset: *offset, bytes: bytes.to_vec() };
        }
        Event::Response { request, response } => {
            format!("response {} to {}", answer(response), request.as_ref().map_or(String::new(), short))
        }
        Event::Exchange { request, response, response_bytes, framing_bytes } => {
            let status = response.as_ref().map_or("nothing".to_owned(), status);
            let framing = if *framing_bytes > 0 { format!(" + {framing_bytes}") } else { String::new() };
            format!(
                "exchange {}: {status}, {response_bytes}{framing} bytes",
                request.as_ref().map_or(String::new(), short)
            )
        }
        Event::Switched { protocol } => format!("switched to {}", protocol.escape_ascii()),
    })
}

fn head(request: &Request<'_>) -> String {
    let fields: String = request
        .headers
        .iter()
        .map(|(name, value)| format!(" {}={}", name.escape_ascii(), value.escape_ascii()))
        .collect();
    let cut = if request.is_cut { " (cut)" } else { "" };
    format!("{} {}{fields}{cut}", short(request), request.version.escape_ascii())
}

fn short(request: &Request<'_>) -> String {
    format!("{} {}", request.method.escape_ascii(), request.target.escape_ascii())
}

fn answer(response: &Response<'_>) -> String {
    let cut = if response.is_cut { " (cut)" } else { "" };
    format!("{} {} {}{cut}", response.version.escape_ascii(), status(response), response.reason.escape_ascii())
}

fn status(response: &Response<'_>) -> String {
    response.status.map_or("no status".to_owned(), |status| status.to_string())
}

#[test]
fn a_request_and_its_response() {
    check(
        &[
            (C, b"GET /a/b.bin?x=1 HTTP/1.1\r\nHost: cam\r\n\r\n"),
            (S, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
        ],
        &[
            "request GET /a/b.bin?x=1 HTTP/1.1 Host=cam",
            "response HTTP/1.1 200 OK to GET /a/b.bin?x=1",
            "file 0 is b.bin by HttpResponse, 5 bytes",
            "file 0 at 0: hello",
            "file 0 is complete",
            "exchange GET /a/b.bin?x=1: 200, 5 bytes",
        ],
    );
}

#[test]
fn pipelined_requests_get_their_responses_in_order() {
    check(
        &[
            (C, b"HEAD /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\nDELETE /c HTTP/1.1\r\n\r\n\r\n\r\nGET /d HTTP/1.1\r\n\r\n"),
            (S, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"),
            (S, b"HTTP/1.1 204 No Content\r\n\r\n"),
        ],
        &[
            "request HEAD /a HTTP/1.1",
            "request GET /b HTTP/1.1",
            "request DELETE /c HTTP/1.1",
            "request GET /d HTTP/1.1",
            "response HTTP/1.1 200 OK to HEAD /a",
            "exchange HEAD /a: 200, 0 bytes",
            "response HTTP/1.1 304 Not Modified to GET /b",
            "exchange GET /b: 304, 0 bytes",
            "response HTTP/1.1 204 No Content to DELETE /c",
            "exchange DELETE /c: 204, 0 bytes",
            "exchange GET /d: nothing, 0 bytes",
        ],
    );
}

#[test]
fn a_body_in_chunks_with_extensions_and_a_trailer() {
    check(
        &[
            (
                C,
                b"PUT /up/x.txt HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
                5;a=b\r\nhello\r\n 6\n world\n0\r\nTrail: er\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            ),
            (S, b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"),
            (S, b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"),
        ],
        &[
            "request PUT /up/x.txt HTTP/1.1 Transfer-Encoding=chunked",
            "body at 0: hello world",
            "file 0 is x.txt by HttpRequest, unknown bytes",
            "file 0 at 0: hello world",
            "Tolerated chunk_size_malformed",
            "Tolerated chunk_end_malformed",
            "file 0 is complete",
            "request GET / HTTP/1.1",
            "response HTTP/1.1 201 Created to PUT /up/x.txt",
            "exchange PUT /up/x.txt: 201, 0 bytes",
            "response HTTP/1.1 200 OK to GET /",
            "file 1 is  by HttpResponse, unknown bytes",
            "file 1 at 0: ab",
            "file 1 is complete",
            "exchange GET /: 200, 2 + 8 bytes",
        ],
    );
}

const FORM: &[u8] = b"----xx\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nvalue\r\n\
    ----xx\r\nContent-Disposition: form-data; name=\"f\"; filename=\"fw.bin\"\r\nX: y\r\n\r\n\
    \r\n\r\r\n----xy\r\n----x\r\n\
    ----xx\nContent-Disposition: form-data; name=g; filename=empty\n\n\
    ----xx  \r\nContent-Disposition: form-data; filename=\"a b\"\r\n\r\n\n--\r\n\r\n----xx--\r\nepilogue";

const FORM_FACTS: [&str; 10] = [
    "file 0 is fw.bin by HttpForm, unknown bytes",
    "file 0 at 0: \\r\\n\\r\\r\\n----xy\\r\\n----x",
    "file 0 is complete",
    "file 1 is empty by HttpForm, unknown bytes",
    "file 1 is complete",
    "file 2 is a b by HttpForm, unknown bytes",
    "file 2 at 0: \\n--\\r\\n",
    "file 2 is complete",
    "request GET / HTTP/1.1",
    "exchange POST /up: nothing, 0 bytes",
];

#[test]
fn a_form_with_files_is_told_part_by_part() {
    let head = format!(
        "POST /up HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=\"--xx\"\r\nContent-Length: {}\r\n\r\n",
        FORM.len()
    );
    let message = [head.as_bytes(), FORM, b"GET / HTTP/1.1\r\n\r\n"].concat();
    let told = talk::read(reader(), &[(C, &message)], usize::MAX, describe);
    assert_eq!(talk::lines(&told)[2..12], FORM_FACTS);
    talk::same_when_cut(reader, describe, &[(C, &message)], &told);
}

#[test]
fn a_form_in_small_chunks_gives_the_same_files() {
    for size in [1, 2, 3, 5] {
        let mut message = b"POST /up HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=--xx\r\n\
            Transfer-Encoding: chunked\r\n\r\n"
            .to_vec();
        for chunk in FORM.chunks(size) {
            message.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            message.extend_from_slice(chunk);
            message.extend_from_slice(b"\r\n");
        }
        message.extend_from_slice(b"0\r\n\r\nGET / HTTP/1.1\r\n\r\n");
        let told = talk::read(reader(), &[(C, &message)], usize::MAX, describe);
        assert_eq!(talk::lines(&told)[2..12], FORM_FACTS, "in chunks of {size}");
        talk::same_when_cut(reader, describe, &[(C, &message)], &told);
    }
}

#[test]
fn a_form_that_breaks_off_leaves_a_broken_file() {
    check(
        &[(
            C,
            b"POST /u HTTP/1.1\r\nContent-Length: 90\r\nContent-Type: multipart/form-data; boundary=b\r\n\r\n\
            --b\r\nContent-Disposition: form-data; filename=f\r\n\r\nabc\r\n--",
        )],
        &[
            "request POST /u HTTP/1.1 Content-Length=90 Content-Type=multipart/form-data; boundary=b",
            "body at 0: --b\\r\\nContent-Disposition: form-data; filename=f\\r\\n\\r\\nabc\\r\\n--",
            "file 0 is f by HttpForm, unknown bytes",
            "file 0 at 0: abc\\r\\n--",
            "file 0 is broken off",
            "exchange POST /u: nothing, 0 bytes",
        ],
    );
}

#[test]
fn a_form_without_a_boundary_is_one_file() {
    check(
        &[(C, b"POST /u HTTP/1.1\r\nContent-Length: 2\r\nContent-Type: multipart/form-data\r\n\r\nab")],
        &[
            "request POST /u HTTP/1.1 Content-Length=2 Content-Type=multipart/form-data",
            "Tolerated boundary_unusable",
            "body at 0: ab",
            "file 0 is u by HttpRequest, 2 bytes",
            "file 0 at 0: ab",
            "file 0 is complete",
            "exchange POST /u: nothing, 0 bytes",
        ],
    );
}

#[test]
fn logins_are_told_with_their_answer() {
    check(
        &[
            (C, b"GET /a HTTP/1.1\r\nAuthorization: Basic YWRtaW46MTIzNA==\r\n\r\n"),
            (S, b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"),
            (C, b"GET /b HTTP/1.1\r\nAuthorization: Basic YWRtaW46YWRtaW4=\r\n\r\n"),
            (S, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
            (C, b"GET /c HTTP/1.1\r\nAuthorization: Basic YWRtaW46YWRtaW4=\r\n\r\n"),
            (S, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
            (C, b"GET /d HTTP/1.1\r\nAuthorization: Digest username=\"u\", realm=\"r\", response=\"00ff\"\r\n\r\n"),
        ],
        &[
            "request GET /a HTTP/1.1 Authorization=Basic YWRtaW46MTIzNA==",
            "response HTTP/1.1 401 No to GET /a",
            "login admin with 1234: refused",
            "exchange GET /a: 401, 0 bytes",
            "request GET /b HTTP/1.1 Authorization=Basic YWRtaW46YWRtaW4=",
            "response HTTP/1.1 200 OK to GET /b",
            "login admin with admin: accepted",
            "exchange GET /b: 200, 0 bytes",
            "request GET /c HTTP/1.1 Authorization=Basic YWRtaW46YWRtaW4=",
            "response HTTP/1.1 200 OK to GET /c",
            "exchange GET /c: 200, 0 bytes",
            "request GET /d HTTP/1.1 Authorization=Digest username=\\\"u\\\", realm=\\\"r\\\", response=\\\"00ff\\\"",
            "login u with digest 00ff: unanswered",
            "exchange GET /d: nothing, 0 bytes",
        ],
    );
}

#[test]
fn an_interim_response_is_not_the_last() {
    check(
        &[
            (C, b"PUT /f HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"),
            (S, b"HTTP/1.1 100 Continue\r\n\r\n"),
            (C, b"abc"),
            (S, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ],
        &[
            "request PUT /f HTTP/1.1 Expect=100-continue Content-Length=3",
            "response HTTP/1.1 100 Continue to PUT /f",
            "body at 0: abc",
            "file 0 is f by HttpRequest, 3 bytes",
            "file 0 at 0: abc",
            "file 0 is complete",
            "response HTTP/1.1 200 OK to PUT /f",
            "exchange PUT /f: 200, 0 bytes",
        ],
    );
}

#[test]
fn what_follows_connect_and_upgrade_is_opaque() {
    check(
        &[
            (C, b"CONNECT a:443 HTTP/1.1\r\n\r\n"),
            (S, b"HTTP/1.0 403 No\r\nContent-Length: 0\r\n\r\n"),
            (C, b"CONNECT b:443 HTTP/1.1\r\n\r\n"),
            (S, b"HTTP/1.0 200 OK\r\nContent-Length: 7\r\n\r\n\x16\x03\x01"),
            (C, b"\x16\x03\x01GET / HTTP/1.1\r\n\r\n"),
        ],
        &[
            "request CONNECT a:443 HTTP/1.1",
            "response HTTP/1.0 403 No to CONNECT a:443",
            "exchange CONNECT a:443: 403, 0 bytes",
            "request CONNECT b:443 HTTP/1.1",
            "response HTTP/1.0 200 OK to CONNECT b:443",
            "exchange CONNECT b:443: 200, 0 bytes",
            "switched to ",
        ],
    );
    check(
        &[
            (C, b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"),
            (S, b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n\x81\x02hi"),
            (C, b"\x81\x82abcdef"),
        ],
        &[
            "request GET / HTTP/1.1 Upgrade=websocket",
            "response HTTP/1.1 101 Switching to GET /",
            "exchange GET /: 101, 0 bytes",
            "switched to websocket",
        ],
    );
}

#[test]
fn http_2_is_noticed() {
    check(
        &[
            (C, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"),
            (S, b"\0\0\0\x04\0\0\0\0\0"),
            (C, b"GET / HTTP/1.1\r\n\r\n"),
        ],
        &[
            "request PRI * HTTP/2.0",
            "Skipped bytes_after_request",
            "body at 0: SM\\r\\n\\x00\\x00\\x00\\x04\\x00\\x00\\x00\\x00\\x00",
            "Skipped bytes_after_request",
            "GaveUp http2_not_decoded",
            "exchange PRI *: nothing, 0 bytes",
        ],
    );
}

#[test]
fn a_preface_of_http_2_hides_nothing_from_a_server_that_does_not_speak_it() {
    check(
        &[
            (C, b"PRI * HTTP/2.0\r\n\r\nGET /a HTTP/1.1\r\n\r\n"),
            (S, b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\nHTTP/1.1 204 N\r\n\r\n"),
        ],
        &[
            "request PRI * HTTP/2.0",
            "request GET /a HTTP/1.1",
            "response HTTP/1.1 400 Bad to PRI *",
            "exchange PRI *: 400, 0 bytes",
            "response HTTP/1.1 204 N to GET /a",
            "exchange GET /a: 204, 0 bytes",
        ],
    );
}

#[test]
fn a_request_without_a_version_is_answered_without_a_head() {
    check(
        &[(C, b"GET /old.bin\r\n"), (S, b"\r\nbytes\n")],
        &[
            "request GET /old.bin ",
            "Tolerated version_missing",
            "response  no status  to GET /old.bin",
            "file 0 is old.bin by HttpResponse, unknown bytes",
            "file 0 at 0: \\r\\nbytes\\n",
            "file 0 is complete",
            "exchange GET /old.bin: no status, 8 bytes",
        ],
    );
}

#[test]
fn a_request_without_a_version_may_have_header_fields() {
    check(
        &[
            (C, b"GET /x\nHost: a\n\nGET /y\nGET /z HTTP/1.1\n\n"),
            (S, b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n"),
        ],
        &[
            "request GET /x  Host=a",
            "Tolerated bare_line_feed",
            "Tolerated version_missing",
            "request GET /y ",
            "Tolerated bare_line_feed",
            "Tolerated version_missing",
            "request GET /z HTTP/1.1",
            "Tolerated bare_line_feed",
            "response HTTP/1.1 400 Bad to GET /x",
            "exchange GET /x: 400, 0 bytes",
            "exchange GET /y: nothing, 0 bytes",
            "exchange GET /z: nothing, 0 bytes",
        ],
    );
}

#[test]
fn broken_requests_are_read_all_the_same() {
    check(
        &[(C, b"G\xffT http://a/b?c=`id` HTTP/9\r\nno colon\r\nX : y\r\nFold: a\r\n  b\r\nN: \0\r\n\r\n")],
        &[
            "request G\\xffT http://a/b?c=`id` HTTP/9 no colon= X=y Fold=a\\r\\n  b N=\\x00",
            "Tolerated folded_header",
            "Tolerated header_without_colon",
            "Tolerated space_before_colon",
            "Tolerated nul_in_head",
            "Tolerated method_malformed",
            "Tolerated version_unknown",
            "exchange G\\xffT http://a/b?c=`id`: nothing, 0 bytes",
        ],
    );
}

#[test]
fn both_lengths_differing_lengths_and_wrong_lengths() {
    check(
        &[(
            C,
            b"POST /a HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n\
            POST /b HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nab\
            POST /c HTTP/1.1\r\nContent-Length: +2\r\n\r\ncmd=id&x\r\nand more\r\nGET /d HTTP/1.1\r\n\r\n",
        )],
        &[
            "request POST /a HTTP/1.1 Content-Length=5 Transfer-Encoding=chunked",
            "Tolerated length_and_chunked",
            "body at 0: a",
            "file 0 is a by HttpRequest, unknown bytes",
            "file 0 at 0: a",
            "file 0 is complete",
            "request POST /b HTTP/1.1 Content-Length=2 Content-Length=3",
            "Tolerated content_lengths_differ",
            "body at 0: ab",
            "file 1 is b by HttpRequest, 2 bytes",
            "file 1 at 0: ab",
            "file 1 is complete",
            "request POST /c HTTP/1.1 Content-Length=+2",
            "Tolerated content_length_malformed",
            "Skipped bytes_after_request",
            "body at 0: cmd=id&x\\r\\nand more\\r\\n",
            "Skipped bytes_after_request",
            "request GET /d HTTP/1.1",
            "exchange POST /a: nothing, 0 bytes",
            "exchange POST /b: nothing, 0 bytes",
            "exchange POST /c: nothing, 0 bytes",
            "exchange GET /d: nothing, 0 bytes",
        ],
    );
}

#[test]
fn only_the_beginning_of_a_body_is_told_as_it_is() {
    let head = b"POST /a HTTP/1.1\r\nContent-Length: 5000\r\n\r\n";
    let message = [&head[..], &[b'x'; 5000]].concat();
    let told = talk::read(reader(), &[(C, &message)], usize::MAX, describe);
    let Said::Piece { bytes, .. } = &told[1].said else { panic!("{told:?}") };
    assert_eq!(bytes.len() as u64, komainu_decode::http::BODY_TOLD_BYTES_MAX);
    talk::same_when_cut(reader, describe, &[(C, &message)], &told);
}

#[test]
fn a_head_that_is_too_long_is_cut_and_its_length_counts() {
    let long = [b'a'; 20_000];
    let message = [
        b"POST /",
        &long[..],
        b" HTTP/1.1\r\nA: ",
        &long,
        b"\r\nB: ",
        &long,
        b"\r\nContent-Length: 2\r\n\r\nokGET / HTTP/1.1\r\n\r\n",
    ]
    .concat();
    let answer = [b"HTTP/1.1 200 OK\r\nA: ", &long[..], &long, b"\r\nContent-Length: 2\r\n\r\nno"].concat();
    let conversation: [(Side, &[u8]); 2] = [(C, &message), (S, &answer)];
    let told = talk::read(reader(), &conversation, usize::MAX, describe);
    let lines: Vec<String> = talk::lines(&told).iter().map(|line| line.replace(&"a".repeat(1000), "*")).collect();
    assert_eq!(lines[0][lines[0].len() - 5..], *"(cut)");
    assert_eq!(lines[1], "Bound head_too_long");
    assert_eq!(lines[2], "body at 0: ok");
    assert_eq!(lines[5], "file 0 is complete");
    assert_eq!(lines[6], "request GET / HTTP/1.1");
    assert!(lines[7].starts_with("response HTTP/1.1 200 OK"), "{}", lines[7]);
    assert_eq!(lines[8], "Bound head_too_long");
    assert!(lines[12].starts_with("exchange POST /********aaa"), "{}", lines[12]);
    assert!(lines[12].ends_with("a: 200, 2 bytes"), "{}", lines[12]);
    assert_eq!(talk::read(reader(), &conversation, 1000, describe), told);
    assert_eq!(talk::read(reader(), &conversation, 7, describe), told);
}

#[test]
fn a_head_that_does_not_end_is_told_when_the_server_answers() {
    check(
        &[
            (C, b"GET /slow HTTP/1.1\r\nHost: a"),
            (S, b"HTTP/1.1 408 Timeout\r\nContent-Length: 0\r\n\r\n"),
            (C, b"\r\nX: y\r\n\r\nGET /b HTTP/1.1\r\nHo"),
        ],
        &[
            "request GET /slow HTTP/1.1 Host=a (cut)",
            "Tolerated head_incomplete",
            "response HTTP/1.1 408 Timeout to GET /slow",
            "exchange GET /slow: 408, 0 bytes",
            "request GET /b HTTP/1.1 Ho= (cut)",
            "Tolerated header_without_colon",
            "Tolerated head_incomplete",
            "exchange GET /b: nothing, 0 bytes",
        ],
    );
}

#[test]
fn a_server_without_a_status_line_still_answers() {
    check(
        &[(C, b"GET / HTTP/1.1\r\n\r\n"), (S, b"<html>")],
        &[
            "request GET / HTTP/1.1",
            "Tolerated status_line_missing",
            "response  no status  to GET /",
            "file 0 is  by HttpResponse, unknown bytes",
            "file 0 at 0: <html>",
            "file 0 is complete",
            "exchange GET /: no status, 6 bytes",
        ],
    );
}

#[test]
fn only_one_side_is_enough() {
    check(
        &[(S, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Disposition: attachment; filename=\"f\"\r\n\r\nabx\r\nHTTP/1.0 204 N\r\n\r\n")],
        &[
            "response HTTP/1.1 200 OK to ",
            "file 0 is f by HttpResponse, 2 bytes",
            "file 0 at 0: ab",
            "file 0 is complete",
            "exchange : 200, 2 bytes",
            "Skipped bytes_after_response",
            "response HTTP/1.0 204 N to ",
            "exchange : 204, 0 bytes",
        ],
    );
}

/// Reads pieces and gaps, given as a side and a number of bytes.
fn with_gaps(said: &[(Side, Result<&[u8], u64>)]) -> Vec<String> {
    let mut reader = Reader::default();
    let mut lines = Vec::new();
    let mut observer = |_: Place, fact: Fact<'_>| {
        lines.push(match fact {
            Fact::Http(_) => match describe(&fact) {
                Said::Whole(text) => text,
                Said::Piece { offset, bytes, .. } => format!("body at {offset}: {}", bytes.escape_ascii()),
            },
            Fact::File(FileEvent::Begin { file, .. }) => format!("file {}", file.0),
            Fact::File(FileEvent::Part { offset, bytes, .. }) => format!("part at {offset}: {}", bytes.escape_ascii()),
            Fact::File(FileEvent::End { is_complete, .. }) => format!("end {is_complete}"),
            other => format!("{other:?}"),
        });
    };
    for (side, piece) in said {
        match piece {
            Ok(bytes) => reader.data(*side, bytes, &mut observer),
            Err(bytes) => reader.gap(*side, *bytes, &mut observer),
        }
    }
    reader.end(&mut observer);
    lines.retain(|line| !line.contains("bytes_lost"));
    lines
}

#[test]
fn a_gap_within_a_body_leaves_a_hole_in_the_file() {
    let told = with_gaps(&[
        (S, Ok(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")),
        (S, Err(4)),
        (S, Ok(b"hijHTTP/1.1 204 N\r\n\r\n")),
    ]);
    let expected = [
        "response HTTP/1.1 200 OK to ",
        "file 0",
        "part at 0: abc",
        "part at 7: hij",
        "end false",
        "exchange : 200, 10 bytes",
        "response HTTP/1.1 204 N to ",
        "exchange : 204, 0 bytes",
    ];
    assert_eq!(told, expected);
}

#[test]
fn behind_a_gap_the_next_request_is_found() {
    let told = with_gaps(&[
        (C, Ok(b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc")),
        (C, Err(40)),
        (C, Ok(b"x: y\r\n\r\nGET /b HTTP/1.1\r\n\r\n")),
        (S, Ok(b"HTTP/1.1 204 N\r\n\r\n")),
        (S, Err(100)),
        (C, Ok(b"GET /c HTTP/1.1\r\n\r\n")),
        (S, Ok(b"body\nHTTP/1.1 204 C\r\n\r\n")),
    ]);
    let expected = [
        "request POST / HTTP/1.1 Content-Length=10",
        "body at 0: abc",
        "file 0",
        "part at 0: abc",
        "end false",
        "request GET /b HTTP/1.1",
        "response HTTP/1.1 204 N to POST /",
        "exchange POST /: 204, 0 bytes",
        "exchange GET /b: nothing, 0 bytes",
        "request GET /c HTTP/1.1",
        "response HTTP/1.1 204 C to GET /c",
        "exchange GET /c: 204, 0 bytes",
    ];
    assert_eq!(told, expected);
}

#[test]
fn soap_actions_are_read_from_their_header() {
    let mut actions = Vec::new();
    let mut observer = |_: Place, fact: Fact<'_>| {
        if let Fact::Http(Event::Request(request)) = fact {
            actions.push(request.soap_action().map(<[u8]>::to_vec));
        }
    };
    let mut reader = Reader::default();
    let requests =
        b"POST / HTTP/1.1\r\nsoapaction: \"urn:schemas-upnp-org:service:WANIPConnection:1#AddPortMapping\"\r\n\r\n\
        POST / HTTP/1.1\r\nSOAPAction: Reboot\r\n\r\nGET / HTTP/1.1\r\n\r\n";
    reader.data(C, requests, &mut observer);
    assert_eq!(actions, [Some(b"AddPortMapping".to_vec()), Some(b"Reboot".to_vec()), None]);
}

/// A conversation with a bit of everything.
fn valid() -> Vec<(Side, Vec<u8>)> {
    let form = format!(
        "POST /up HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=--xx\r\nContent-Length: {}\r\n\r\n",
        FORM.len()
    );
    vec![
        (C, b"GET /a HTTP/1.1\r\nAuthorization: Basic YTpi\r\nFold: a\r\n b\r\n\r\nGET /b\r\nX\r\n".to_vec()),
        (S, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nT: r\r\n\r\n".to_vec()),
        (C, [form.as_bytes(), FORM].concat()),
        (S, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc".to_vec()),
        (C, b"PUT /c HTTP/1.1\nTransfer-Encoding: chunked\n\n2\nab\n0\n\nCONNECT x HTTP/1.1\r\n\r\n".to_vec()),
        (S, b"HTTP/1.1 204 No\r\n\r\nHTTP/1.1 200 OK\r\n\r\nopaque".to_vec()),
    ]
}

/// Words that messages are made of, to be put together in any order.
const WORDS: [&[u8]; 33] = [
    b"GET /a HTTP/1.1\r\n",
    b"POST /b HTTP/1.1\r\n",
    b"HEAD /c HTTP/1.0\n",
    b"CONNECT d HTTP/1.1\r\n",
    b"PRI * HTTP/2.0\r\n",
    b"get /e",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 204 N\r\n",
    b"HTTP/1.1 100 C\r\n\r\n",
    b"HTTP",
    b"Content-Length: 3\r\n",
    b"Content-Length: 40\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Type: multipart/form-data; boundary=b\r\n",
    b"Content-Disposition: form-data; filename=f\r\n\r\n",
    b"Authorization: Basic YTpi\r\n",
    b"Upgrade: x\r\n",
    b"\r\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b"--b",
    b"\r\n--b\r\n",
    b"--b--",
    b"-",
    b"0\r\n\r\n",
    b"3\r\nabc\r\n",
    b"5;x\r\n",
    b"abc",
    b" ",
    b":",
    b"\0\xff",
];

proptest! {
    #[test]
    fn words_in_any_order_are_told_the_same_when_cut(
        said in prop::collection::vec((any::<bool>(), prop::collection::vec(prop::sample::select(&WORDS[..]), 1..12)), 1..8),
        size in 1usize..12,
    ) {
        let said: Vec<(Side, Vec<u8>)> =
            said.into_iter().map(|(is_client, words)| (if is_client { C } else { S }, words.concat())).collect();
        let talk: Vec<(Side, &[u8])> = said.iter().map(|(side, bytes)| (*side, &bytes[..])).collect();
        let whole = talk::read(reader(), &talk, usize::MAX, describe);
        prop_assert_eq!(talk::read(reader(), &talk, size, describe), whole.clone());
        let count = |end: &str| talk::lines(&whole).iter().filter(|line| line.starts_with("file ") && line.ends_with(end)).count();
        prop_assert_eq!(count(" bytes"), count(" is complete") + count(" is broken off"), "each file ends");
    }

    #[test]
    fn with_gaps_anywhere_each_file_ends(
        said in prop::collection::vec(
            (any::<bool>(), prop::option::weighted(0.8, prop::collection::vec(prop::sample::select(&WORDS[..]), 1..12))),
            1..12,
        ),
    ) {
        let said: Vec<(Side, Option<Vec<u8>>)> = said
            .into_iter()
            .map(|(is_client, words)| (if is_client { C } else { S }, words.map(|words| words.concat())))
            .collect();
        let said: Vec<(Side, Result<&[u8], u64>)> =
            said.iter().map(|(side, bytes)| (*side, bytes.as_deref().ok_or(3))).collect();
        let told = with_gaps(&said);
        let count = |start: &str| told.iter().filter(|line| line.starts_with(start)).count();
        prop_assert_eq!(count("file "), count("end "));
    }

    #[test]
    fn cuts_and_mutations_make_no_difference_to_what_is_told(
        changes in prop::collection::vec((0usize..6, any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cuts in prop::collection::vec((0usize..6, any::<prop::sample::Index>()), 0..12),
    ) {
        let mut talk = valid();
        for (turn, at, byte) in changes {
            let bytes = &mut talk[turn].1;
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let talk: Vec<(Side, &[u8])> = talk.iter().map(|(side, bytes)| (*side, &bytes[..])).collect();
        let whole = talk::read(reader(), &talk, usize::MAX, describe);
        let pieces: Vec<(Side, Vec<&[u8]>)> = talk.iter().enumerate().map(|(turn, (side, bytes))| {
            let mut at: Vec<usize> = cuts.iter().filter(|(by, _)| *by == turn).map(|(_, at)| at.index(bytes.len())).collect();
            at.extend([0, bytes.len()]);
            at.sort_unstable();
            (*side, at.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect())
        }).collect();
        let told = talk::read_pieces(&mut *reader(), &talk, &pieces, describe);
        prop_assert_eq!(told, whole);
    }

    #[test]
    fn any_bytes_do_no_harm(said in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..200)), 0..8)) {
        let talk: Vec<(Side, &[u8])> = said.iter().map(|(is_client, bytes)| (if *is_client { C } else { S }, &bytes[..])).collect();
        let told = talk::read(reader(), &talk, 3, describe);
        prop_assert!(told.len() <= 100 + said.len() * 200);
    }
}
