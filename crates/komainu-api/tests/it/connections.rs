//! Peers that are slow, silent, too many, or do not speak HTTP.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::Instant;

use crate::client::Ask;
use crate::world::World;

/// Reads until the server closes the connection; says how long that took on the paused clock.
async fn read_to_end(stream: &mut DuplexStream) -> (String, Duration) {
    let start = Instant::now();
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text).await;
    (String::from_utf8_lossy(&text).into_owned(), start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn silent_and_slow_peers_are_let_go() {
    let world = World::new();
    let mut silent = world.connect();
    let (text, after) = read_to_end(&mut silent).await;
    assert!(after >= Duration::from_secs(20) && after < Duration::from_secs(22), "{text} {after:?}");

    let mut slow = world.connect();
    slow.write_all(b"GET /things HTTP/1.1\r\nhost:").await.unwrap();
    let (_, after) = read_to_end(&mut slow).await;
    assert!(after < Duration::from_secs(22), "{after:?}");

    // A signed request whose body does not come.
    let ask = Ask::new("POST", "/things/t", b"{}").signed("iot");
    let bytes = ask.bytes();
    let mut slow = world.connect();
    slow.write_all(&bytes[..bytes.len() - 1]).await.unwrap();
    let (text, after) = read_to_end(&mut slow).await;
    assert!(text.contains("request body did not come within 30 s"), "{text}");
    assert!(after < Duration::from_secs(60), "{after:?}");
}

#[tokio::test]
async fn what_is_not_http_is_let_go() {
    let world = World::new();
    let junk: [&[u8]; 5] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n",
    ];
    for bytes in junk {
        let mut stream = world.connect();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{bytes:?}: {answer}");
    }
    let mut stream = world.connect();
    let lines = "x: y\r\n".repeat(20_000);
    let _ = stream.write_all(format!("GET / HTTP/1.1\r\n{lines}\r\n").as_bytes()).await;
    let (answer, _) = read_to_end(&mut stream).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert_eq!(world.ask(&Ask::new("GET", "/healthz", b"")).await.status, 200);
}

#[tokio::test]
async fn connections_are_bounded() {
    let world = World::new();
    let mut held: Vec<DuplexStream> = (0..512).map(|_| world.connect()).collect();
    let mut one_more = world.connect();
    assert_eq!(one_more.read(&mut [0]).await.unwrap_or(0), 0, "the newest is closed");
    let health = Ask::new("GET", "/healthz", b"");
    assert_eq!(health.send(held.last_mut().unwrap()).await.status, 200, "the others are served");
    drop(held);
    let mut status = 0;
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
        let mut stream = world.connect();
        if stream.write_all(&health.bytes()).await.is_ok() && stream.read(&mut [0; 64]).await.is_ok_and(|read| read > 0)
        {
            status = 200;
            break;
        }
    }
    assert_eq!(status, 200, "there is room again");
}
