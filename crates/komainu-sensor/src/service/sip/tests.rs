use super::*;
use crate::service::tests::{call, persona_of, text};

const PERSONA: &str = r#"
    model = "Door 1"
    [[account]]
    user = "100"
    password = "1234"
    [sip]
    ports = [5060]
    extensions = ["100", "101"]
"#;

fn request(method: &str, to: &str, more: &str) -> String {
    format!(
        "{method} sip:{to}@198.51.100.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1:5070;branch=z9hG4bK1;rport\r\n\
         f: <sip:a@b>;tag=1\r\nTo: <sip:{to}@c>\r\nCall-ID: 5@d\r\nCSeq: 1 {method}\r\nMax-Forwards: 70\r\n{more}\r\n"
    )
}

fn said(request: &str, room: Room) -> String {
    text(&persona_of(PERSONA).answer(request.as_bytes(), &call(room)).datagrams.concat())
}

#[test]
fn options_are_told() {
    assert_eq!(
        said(&request("OPTIONS", "100", ""), Room::STREAM),
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 10.0.0.1:5070;branch=z9hG4bK1;rport=40000;received=192.0.2.1\r\n\
         From: <sip:a@b>;tag=1\r\nTo: <sip:100@c>;tag=00000007\r\nCall-ID: 5@d\r\nCSeq: 1 OPTIONS\r\n\
         Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, INFO, MESSAGE, NOTIFY, SUBSCRIBE\r\n\
         Accept: application/sdp\r\nUser-Agent: Door 1\r\nContent-Length: 0\r\n\r\n"
    );
}

#[test]
fn with_little_room_less_is_told() {
    let request = request("OPTIONS", "100", &format!("User-Agent: {}\r\n", "x".repeat(60)));
    let answer = said(&request, Room { bytes: request.len(), datagrams: 1 });
    assert!(answer.starts_with("SIP/2.0 200 OK\r\n") && !answer.contains("User-Agent"), "{answer}");
    assert_eq!(said(&request, Room { bytes: 100, datagrams: 1 }), "");
}

#[test]
fn each_method_has_its_status() {
    let check = |method: &str, to: &str, expected: &str| {
        let answer = said(&request(method, to, ""), Room::STREAM);
        assert_eq!(answer.lines().next().unwrap_or_default(), expected, "{method}");
    };
    check("INVITE", "101", "SIP/2.0 486 Busy Here");
    check("INVITE", "102", "SIP/2.0 404 Not Found");
    check("ACK", "101", "");
    check("BYE", "101", "SIP/2.0 481 Call/Transaction Does Not Exist");
    check("CANCEL", "101", "SIP/2.0 481 Call/Transaction Does Not Exist");
    check("SUBSCRIBE", "101", "SIP/2.0 489 Bad Event");
    check("MESSAGE", "101", "SIP/2.0 200 OK");
    check("REFER", "101", "SIP/2.0 405 Method Not Allowed");
}

#[test]
fn accounts_can_register() {
    let mut talk = persona_of(PERSONA);
    let mut say =
        |more: &str| text(&talk.answer(request("REGISTER", "100", more).as_bytes(), &call(Room::STREAM)).datagrams[0]);
    let challenge = say("");
    assert!(challenge.starts_with("SIP/2.0 401 Unauthorized\r\n"), "{challenge}");
    let nonce = challenge.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    assert!(challenge.contains("realm=\"mine\""), "{challenge}");
    let mut register = |password: &str, nonce: &str| {
        use md5::{Digest, Md5};
        let md5 = |text: String| hex::encode(Md5::digest(text));
        let secret = md5(format!("100:mine:{password}"));
        let response = md5(format!("{secret}:{nonce}:{}", md5("REGISTER:sip:c".into())));
        say(&format!(
            "Authorization: Digest username=\"100\", realm=\"mine\", nonce=\"{nonce}\", uri=\"sip:c\", \
             response=\"{response}\"\r\nContact: <sip:100@10.0.0.1>\r\nExpires: 60\r\n"
        ))
    };
    let registered = register("1234", &nonce);
    assert!(registered.starts_with("SIP/2.0 200 OK\r\n"), "{registered}");
    assert!(registered.contains("Contact: <sip:100@10.0.0.1>\r\nExpires: 60\r\n"), "{registered}");
    assert!(register("1235", &nonce).starts_with("SIP/2.0 403 Forbidden\r\n"));
    assert!(register("1234", "of another").starts_with("SIP/2.0 401 Unauthorized\r\n"));
}

#[test]
fn what_has_no_place_to_go_is_not_answered() {
    for message in [
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a\r\n\r\n".to_owned(),
        "OPTIONS sip:a SIP/2.0\r\n\r\n".to_owned(),
        request("OPTIONS", "a", "").replace("CSeq", "x"),
        request("OPTIONS", "a", "").replace("Call-ID: ", &format!("Call-ID: {}", "x".repeat(600))),
        request("OPTIONS", "a", &"Via: SIP/2.0/UDP a\r\n".repeat(8)),
        "\r\n\r\n".to_owned(),
        "OPTIONS * HTTP/1.1\r\n\r\n".to_owned(),
    ] {
        assert_eq!(said(&message, Room::STREAM), "", "{message}");
    }
}

#[test]
fn lines_that_are_folded_do_not_make_new_ones() {
    let folded = request("OPTIONS", "a", "").replace("5@d", "5\r\n @d");
    assert!(said(&folded, Room::STREAM).contains("Call-ID: 5   @d\r\n"));
}

#[test]
fn the_source_is_told_where_it_differs() {
    let check = |via: &str, expected: &str| {
        let mut field = via.as_bytes().to_vec();
        tell_source(&mut field, &call(Room::STREAM));
        assert_eq!(text(&field), expected);
    };
    check("SIP/2.0/UDP 192.0.2.1:5060;branch=1", "SIP/2.0/UDP 192.0.2.1:5060;branch=1");
    check("SIP/2.0/UDP 192.0.2.10;branch=1", "SIP/2.0/UDP 192.0.2.10;branch=1;received=192.0.2.1");
    check("SIP/2.0/UDP a;rport, SIP/2.0/UDP b", "SIP/2.0/UDP a;rport=40000;received=192.0.2.1, SIP/2.0/UDP b");
    check("", ";received=192.0.2.1");
}
