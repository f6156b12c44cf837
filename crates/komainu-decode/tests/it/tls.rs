use komainu_decode::{
    Decoder, Fact, Side,
    tls::{Event, Reader},
};

use crate::flow::{Turns, check_stream, recorded, survives, text};

fn new() -> Box<dyn Decoder> {
    Box::new(Reader::default())
}

fn describe(fact: &Fact<'_>) -> String {
    let Fact::Tls(event) = fact else { unreachable!() };
    match event {
        Event::ClientHello(hello) => format!(
            "client {:x} for {} with {} {} {}",
            hello.version(),
            hello.server_name.as_deref().map_or("-".to_owned(), text),
            hello.alpns.iter().map(|name| text(name)).collect::<Vec<_>>().join(","),
            hello.ja3_hash,
            hello.ja4,
        ),
        Event::ServerHello(hello) => format!(
            "server {:x} {:04x} {} {}{}",
            hello.version,
            hello.cipher,
            hello.alpn.as_deref().map_or("-".to_owned(), text),
            hello.ja3s_hash,
            if hello.is_retry { " again" } else { "" },
        ),
        Event::Certificate(it) => {
            format!("certificate {} {} of {}", text(it.subject.as_deref().unwrap_or(b"?")), it.sha1, it.chain)
        }
        Event::Alert { level, description } => format!("alert {level} {description}"),
        Event::Handshake { client, server, certificate } => {
            format!("handshake {} {} {}", client.is_some(), server.is_some(), certificate.is_some())
        }
    }
}

fn check(turns: &Turns, expected: &[&str]) {
    check_stream(new, describe, turns, expected);
}

#[test]
fn curl() {
    check(
        &recorded(include_str!("../talks/tls13_curl.txt")),
        &[
            "client 304 for camera.example with h2,http/1.1 0149f47eabf9a20d0893e2a44e5a6323 \
              t13d3112h2_e8f1e7e78f70_b26ce05bbdd6",
            "server 304 1302 - 15af977ce25de452b96affa2addb1036",
            "handshake true true false",
        ],
    );
}

/// The fingerprints are those that tshark and another program for JA4 find.
#[test]
fn chrome_with_post_quantum_shares() {
    check(
        &recorded(include_str!("../talks/tls13_chrome.txt")),
        &[
            "client 304 for localhost with h2,http/1.1 1296e841a4b795f94c4f0e1044484e18 \
              t13d1516h2_8daaf6152771_02713d6af862",
            "server 304 1301 - f4febc55ea12b31ae17cfb7e614afda8",
            "handshake true true false",
        ],
    );
}

#[test]
fn tls_1_2_shows_the_certificate() {
    check(
        &recorded(include_str!("../talks/tls12_openssl.txt")),
        &[
            "client 303 for camera.example with h2,http/1.1 22558766122974704364c9c75c5cce0a \
              t12d2808h2_d943125447b4_e7e480e5a997",
            "server 303 c030 http/1.1 895252f3ce80cebf7a8837be83ec8e16",
            "certificate C=JP, O=Example, CN=camera.example 0f41fdf8f09b0d7b1af0d750648880b8b1974eca of 1",
            "handshake true true true",
        ],
    );
}

#[test]
fn another_hello_is_asked_for() {
    check(
        &recorded(include_str!("../talks/tls13_retry.txt")),
        &[
            "client 304 for camera.example with  d7d477dd98b3fab865d1970dc88a3b9c t13d311000_e8f1e7e78f70_1f22a2ca17c4",
            "server 304 1302 - 15af977ce25de452b96affa2addb1036 again",
            "client 304 for camera.example with  d7d477dd98b3fab865d1970dc88a3b9c t13d311000_e8f1e7e78f70_1f22a2ca17c4",
            "server 304 1302 - 15af977ce25de452b96affa2addb1036",
            "handshake true true false",
        ],
    );
}

#[test]
fn an_alert() {
    check(
        &recorded(include_str!("../talks/tls_alert.txt")),
        &[
            "client 304 for - with  2bf1542247527c143cd97366b3b77c6b t13i040900_16476d049b0b_78f1d400d464",
            "alert 2 40",
            "handshake true false false",
        ],
    );
}

/// A handshake message in records of at most `size` bytes.
fn records(kind: u8, body: &[u8], size: usize) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let message = [&[kind], &length[1..], body].concat();
    let record =
        |content: &[u8]| [&[22, 3, 1][..], &u16::try_from(content.len()).unwrap().to_be_bytes(), content].concat();
    message.chunks(size).flat_map(record).collect()
}

/// A ClientHello with such extensions.
fn hello(extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let list: Vec<u8> = extensions
        .iter()
        .flat_map(|(kind, content)| {
            [&kind.to_be_bytes()[..], &u16::try_from(content.len()).unwrap().to_be_bytes(), content].concat()
        })
        .collect();
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 4, 0x1A, 0x1A, 0x13, 0x01, 1, 0]);
    body.extend(u16::try_from(list.len()).unwrap().to_be_bytes());
    body.extend(list);
    body
}

fn host(name: &str) -> Vec<u8> {
    let length = |bytes: usize| u16::try_from(bytes).unwrap().to_be_bytes();
    [&length(name.len() + 3)[..], &[0], &length(name.len()), name.as_bytes()].concat()
}

/// A key share of X25519MLKEM768 (1,216 bytes) and one of X25519 make a hello that fills more than a packet; it may lie
/// in records of any size, too.
#[test]
fn a_hello_with_post_quantum_shares() {
    let mut shares = vec![0x04, 0xEA, 0x11, 0xEC, 0x04, 0xC0];
    shares.extend([5; 1216]);
    shares.extend([0x00, 0x1D, 0x00, 0x20]);
    shares.extend([6; 32]);
    let extensions = [(0, host("lamp.example")), (51, shares), (43, vec![4, 0x3A, 0x3A, 3, 4]), (0x5A5A, Vec::new())];
    let body = hello(&extensions);
    assert!(body.len() > 1300);
    for size in [16_384, 1000, 100] {
        let turns = vec![(Side::Client, records(1, &body, size))];
        check(
            &turns,
            &[
                "client 304 for lamp.example with  e6eca6d34ff2e8984559dcf59fc7f161 \
                  t13d010300_0f2cb44170f4_a56c5b993250",
                "handshake true false false",
            ],
        );
    }
}

#[test]
fn broken_hellos() {
    let client = |bytes: Vec<u8>| vec![(Side::Client, bytes)];
    check(&client(records(1, &[3, 3, 0], 100)), &["Skipped malformed_client_hello"]);
    check(&client(records(2, &hello(&[]), 100)), &["Skipped message_of_wrong_side"]);
    check(&client(b"\x16\x03\x01\xff\xff".to_vec()), &["GaveUp record_too_long"]);
    check(&client(b"\x16\x03\x01\x00\x04\x99\0\0\0".to_vec()), &["GaveUp no_handshake_message"]);
    check(&client(b"GET / HTTP/1.1\r\n".to_vec()), &["GaveUp no_record"]);
    check(&client(b"\x16\x03\x01\x00\x04\x01\xff\xff\xff".to_vec()), &["Bound message_too_long"]);
    let mut cut = hello(&[(0, host("lamp.example"))]);
    cut.truncate(60);
    check(&client(records(1, &cut, 100)), &["Skipped malformed_client_hello"]);
}

#[test]
fn hostile_bytes_are_survived() {
    for text in [include_str!("../talks/tls12_openssl.txt"), include_str!("../talks/tls13_retry.txt")] {
        survives(new, &recorded(text), true);
    }
}
