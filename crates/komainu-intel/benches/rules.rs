//! How many bytes of HTTP requests are judged in a second on one core, decoding included: with the built-in rules alone,
//! and with a thousand and ten thousand more that are like published ones. Also what a session costs that shows nothing.

use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use divan::counter::{BytesCount, ItemsCount};
use komainu_decode::{Conversation, Fact, Observer, Place, Protocol, Side, Transport};
use komainu_intel::{BUILT_IN_RULES, Classifier, FlowEnds, RuleList, Scanners, Watch};

fn main() {
    divan::main();
}

struct Told<'a>(&'a mut Watch);

impl Observer for Told<'_> {
    fn fact(&mut self, place: Place, fact: Fact<'_>) {
        self.0.fact(0, place, &fact);
    }

    fn protocol(&mut self, protocol: Protocol) {
        self.0.protocol(0, protocol);
    }

    fn payload(&mut self, side: Side, bytes: &[u8]) {
        self.0.payload(0, side, bytes);
    }
}

fn classifier(more: usize) -> Arc<Classifier> {
    let mut text = BUILT_IN_RULES.to_owned();
    for number in 0..more {
        let tests = match number % 4 {
            0 => format!("http.uri; content:\"/page{number}/form.cgi\"; nocase; content:\"arg=\"; distance:0;"),
            1 => format!("http.method; content:\"POST\"; http.uri; content:\"/api/v{number}/\"; startswith;"),
            2 => format!("http.user_agent; content:\"agent-{number}\"; startswith;"),
            _ => format!("content:\"marker{number}\"; content:\"value\"; distance:1; within:40;"),
        };
        writeln!(text, "alert http any any -> any any (flow:to_server; {tests} sid:{};)", number + 1)
            .expect("a string takes everything");
    }
    let mut list = RuleList::default();
    assert!(list.add(&text).is_empty(), "the rules of the bench are supported");
    Classifier::new(list.compile(), Scanners::default(), None)
}

/// Requests as browsers and scanners send them.
fn requests() -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in 0..200 {
        let request = format!(
            "GET /index{number}.html?page={number}&lang=en HTTP/1.1\r\nHost: camera.example\r\n\
             User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\nAccept: text/html,*/*;q=0.8\r\n\
             Accept-Language: en\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\n\r\n"
        );
        bytes.extend_from_slice(request.as_bytes());
    }
    bytes
}

fn session(classifier: &Arc<Classifier>, pieces: &[&[u8]]) -> u8 {
    let client = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 40_000));
    let server = SocketAddr::from((Ipv4Addr::new(198, 51, 100, 1), 80));
    let mut watch = classifier.watch(FlowEnds { transport: Transport::Tcp, client, server });
    let mut conversation = Conversation::new(Transport::Tcp, 80);
    for piece in pieces {
        conversation.data(Side::Client, piece, &mut Told(&mut watch));
    }
    conversation.end(&mut Told(&mut watch));
    watch.finish(0);
    watch.verdict(0).confidence
}

#[divan::bench(args = [0, 1_000, 10_000])]
fn requests_with_more_rules(bencher: divan::Bencher<'_, '_>, more: usize) {
    let (classifier, bytes) = (classifier(more), requests());
    let pieces: Vec<&[u8]> = bytes.chunks(1460).collect();
    bencher.counter(BytesCount::of_slice(&bytes)).bench(|| session(&classifier, &pieces));
}

#[divan::bench]
fn requests_only_decoded(bencher: divan::Bencher<'_, '_>) {
    let bytes = requests();
    bencher.counter(BytesCount::of_slice(&bytes)).bench(|| {
        let mut conversation = Conversation::new(Transport::Tcp, 80);
        let mut facts = 0u32;
        for piece in bytes.chunks(1460) {
            conversation.data(Side::Client, piece, &mut |_: Place, _: Fact<'_>| facts += 1);
        }
        facts
    });
}

#[divan::bench]
fn sessions_that_show_nothing(bencher: divan::Bencher<'_, '_>) {
    let classifier = classifier(1_000);
    bencher.counter(ItemsCount::new(1u32)).bench(|| session(&classifier, &[]));
}
