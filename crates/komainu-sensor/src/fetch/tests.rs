//! Servers that try to break the guards, on the loopback interface.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use komainu_ports::SystemClock;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::artifact::{ArtifactLimits, ArtifactStore};
use crate::log::EventLog;
use crate::session::{
    Ending, Flow, Passwords, RecordLimits, Recorder, RecorderParts, SensorIdentity, Target, TargetKind,
};

/// What a test may take: a fetch that hangs is a failure.
const LIMIT: Duration = Duration::from_secs(20);

/// Answers each question about a name with the next of its answers, and the last one for ever.
#[derive(Default)]
struct Names {
    answers: HashMap<&'static str, Vec<Vec<&'static str>>>,
    asked: Mutex<HashMap<String, usize>>,
}

impl Resolver for Names {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Vec<IpAddr>> {
        let mut asked = self.asked.lock();
        let count = asked.entry(name.to_owned()).or_default();
        let answer = self.answers.get(name).and_then(|answers| answers.get(*count).or(answers.last()));
        *count += 1;
        let addresses = answer.into_iter().flatten().map(|address| address.parse().unwrap()).collect();
        Box::pin(async move { addresses })
    }
}

fn names(answers: &[(&'static str, &[&[&'static str]])]) -> Arc<Names> {
    let answers = answers.iter().map(|(name, answers)| (*name, answers.iter().map(|one| one.to_vec()).collect()));
    Arc::new(Names { answers: answers.collect(), asked: Mutex::default() })
}

/// Only 127.0.0.1 may be connected to; the rest of the loopback network stands for what may not.
fn policy() -> AddressPolicy {
    AddressPolicy::permitting(vec!["127.0.0.1".parse().unwrap()])
}

fn work(mode: FetchMode, resolver: Arc<Names>) -> Work {
    Work {
        dialer: Dialer::new(mode, policy(), resolver),
        limits: FetchLimits { bytes_max: 100_000, ..FetchLimits::default() },
        history: History::default(),
        clock: ClockOf(Arc::new(SystemClock)),
    }
}

async fn fetched(work: &Work, url: &str) -> (Result<Vec<u8>, WhyNot>, Trace) {
    let mut trace = Trace::default();
    let file = timeout(LIMIT, fetch(work, url.as_bytes(), &mut trace)).await.expect("a fetch ends");
    (file.map(|file| file.contents), trace)
}

async fn check(work: &Work, url: &str, expected: Result<&[u8], WhyNot>) -> Trace {
    let (file, trace) = fetched(work, url).await;
    assert_eq!(file.as_deref().map_err(|why| *why), expected, "{url}");
    trace
}

/// A web server that says the same to everybody, and counts them.
struct Web {
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Web {
    async fn on(address: &str, answer: &[u8]) -> Self {
        let (listener, requests) = (TcpListener::bind((address, 0)).await.unwrap(), Arc::new(Mutex::new(Vec::new())));
        let web = Self { port: listener.local_addr().unwrap().port(), requests: requests.clone() };
        let answer = answer.to_vec();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let asked = request(&mut stream).await;
                requests.lock().push(asked);
                let _ = stream.write_all(&answer).await;
            }
        });
        web
    }

    async fn new(answer: &[u8]) -> Self {
        Self::on("127.0.0.1", answer).await
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

async fn request(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(request).unwrap()
}

fn ok(body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

fn moved(to: &str) -> Vec<u8> {
    format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

#[tokio::test]
async fn a_file_is_fetched_by_http() {
    let web = Web::new(&ok(b"a file")).await;
    let work = work(FetchMode::Direct(None), names(&[]));
    let trace = check(&work, &web.url("/a/b?c"), Ok(b"a file")).await;
    assert_eq!((trace.status, trace.bytes), (Some(200), 6));
    assert_eq!(trace.address, Some("127.0.0.1".parse().unwrap()));
    let expected =
        format!("GET /a/b?c HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nUser-Agent: Wget\r\nConnection: close\r\n\r\n", web.port);
    assert_eq!(*web.requests.lock(), [expected]);
    let (gone, closed) = (Web::new(b"HTTP/1.1 404 No\r\n\r\n").await, Web::new(b"").await);
    assert_eq!(check(&work, &gone.url("/"), Err(WhyNot::Status)).await.status, Some(404));
    check(&work, &closed.url("/"), Err(WhyNot::Closed)).await;
    let short = Web::new(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort").await;
    check(&work, &short.url("/"), Err(WhyNot::Closed)).await;
}

#[tokio::test]
async fn nothing_is_decompressed() {
    // Ten bytes that claim to be much more.
    let answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 10\r\n\r\n\x1f\x8b\x08\0\0\0\0\0\0\x03";
    let web = Web::new(answer).await;
    let (_, expected) = answer.split_at(answer.len() - 10);
    check(&work(FetchMode::Direct(None), names(&[])), &web.url("/"), Ok(expected)).await;
    assert!(!web.requests.lock()[0].to_ascii_lowercase().contains("accept-encoding"));
}

#[tokio::test]
async fn bodies_and_headers_without_end() {
    let work = work(FetchMode::Direct(None), names(&[]));
    let large = vec![b'x'; 100_001];
    let ok_head = b"HTTP/1.1 200 OK\r\n".as_slice();
    let until_closed = Web::new(&[ok_head, b"\r\n", &large].concat()).await;
    let trace = check(&work, &until_closed.url("/"), Err(WhyNot::TooLarge)).await;
    assert_eq!(trace.bytes, 100_000, "no more is held");
    let announced = Web::new(&[ok_head, b"Content-Length: 9999999999\r\n\r\n"].concat()).await;
    check(&work, &announced.url("/"), Err(WhyNot::TooLarge)).await;
    let chunks = [ok_head, b"Transfer-Encoding: chunked\r\n\r\n", &b"1\r\nx\r\n".repeat(100_001)].concat();
    let chunked = Web::new(&chunks).await;
    check(&work, &chunked.url("/"), Err(WhyNot::TooLarge)).await;
    let headers = Web::new(&[ok_head, &b"A: b\r\n".repeat(1_000_000)].concat()).await;
    check(&work, &headers.url("/"), Err(WhyNot::Protocol)).await;
    let whole = Web::new(&ok(&large[1..])).await;
    check(&work, &whole.url("/"), Ok(&large[1..])).await;
}

#[tokio::test]
async fn addresses_that_are_not_global() {
    let work = work(
        FetchMode::Direct(None),
        names(&[
            ("private.example", &[&["10.0.0.1"]]),
            ("metadata.example", &[&["169.254.169.254"]]),
            ("mapped.example", &[&["::ffff:127.0.0.1"]]),
            ("mixed.example", &[&["127.0.0.1", "10.0.0.1"]]),
        ]),
    );
    let inside = Web::on("127.0.0.2", &ok(b"secret")).await;
    for host in ["127.0.0.2", "10.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "0.0.0.0"] {
        for scheme in ["http", "https", "ftp", "tftp"] {
            let url = format!("{scheme}://{host}:{}/x", inside.port);
            check(&work, &url, Err(WhyNot::AddressNotGlobal)).await;
        }
    }
    for host in ["private.example", "metadata.example", "mapped.example", "mixed.example"] {
        check(&work, &format!("http://{host}:{}/", inside.port), Err(WhyNot::AddressNotGlobal)).await;
    }
    check(&work, "http://nowhere.example/", Err(WhyNot::NotResolved)).await;
    assert!(inside.requests.lock().is_empty());
}

#[tokio::test]
async fn a_name_that_changes_its_address_is_resolved_once() {
    let (outside, resolver) =
        (Web::new(&ok(b"file")).await, names(&[("rebound.example", &[&["127.0.0.1"], &["127.0.0.2"]])]));
    let inside = TcpListener::bind(("127.0.0.2", outside.port)).await.unwrap();
    let work = work(FetchMode::Direct(None), resolver.clone());
    let url = format!("http://rebound.example:{}/", outside.port);
    check(&work, &url, Ok(b"file")).await;
    assert_eq!(resolver.asked.lock()["rebound.example"], 1);
    check(&work, &url, Err(WhyNot::AddressNotGlobal)).await;
    assert!(timeout(Duration::ZERO, inside.accept()).await.is_err(), "nobody came");
}

#[tokio::test]
async fn redirects_are_judged_anew() {
    let resolver =
        names(&[("inside.example", &[&["127.0.0.2"]]), ("twice.example", &[&["127.0.0.1"], &["127.0.0.2"]])]);
    let work = work(FetchMode::Direct(None), resolver);
    let (file, inside) = (Web::new(&ok(b"file")).await, Web::on("127.0.0.2", &ok(b"secret")).await);
    let first = Web::new(&moved(&file.url("/there"))).await;
    let trace = check(&work, &first.url("/"), Ok(b"file")).await;
    assert_eq!((trace.final_url, trace.redirects), (Some(file.url("/there")), 1));
    let targets = [
        (format!("http://127.0.0.2:{}/", inside.port), WhyNot::AddressNotGlobal),
        (format!("//127.0.0.2:{}/", inside.port), WhyNot::AddressNotGlobal),
        (format!("http://inside.example:{}/", inside.port), WhyNot::AddressNotGlobal),
        (format!("http://2130706434:{}/", inside.port), WhyNot::AddressSpelling),
        (format!("http://0x7f.0.0.2:{}/", inside.port), WhyNot::AddressSpelling),
        (format!("http://a@127.0.0.2:{}/", inside.port), WhyNot::UserInfo),
        ("http://localhost/".to_owned(), WhyNot::HostName),
        ("http://127.0.0.1:25/".to_owned(), WhyNot::Port),
        ("ftp://127.0.0.1/".to_owned(), WhyNot::Scheme),
        ("file:///etc/hostname".to_owned(), WhyNot::Scheme),
    ];
    for (to, why) in targets {
        let web = Web::new(&moved(&to)).await;
        check(&work, &web.url("/"), Err(why)).await;
    }
    let back = Web::new(&moved("/again")).await;
    let trace = check(&work, &format!("http://twice.example:{}/", back.port), Err(WhyNot::AddressNotGlobal)).await;
    assert_eq!(trace.redirects, 1);
    assert!(inside.requests.lock().is_empty());
}

#[tokio::test]
async fn redirects_in_a_circle() {
    let web = Web::new(&moved("/again")).await;
    let trace = check(&work(FetchMode::Direct(None), names(&[])), &web.url("/"), Err(WhyNot::Redirects)).await;
    assert_eq!((trace.redirects, web.requests.lock().len()), (3, 4));
}

#[tokio::test]
async fn a_host_is_not_asked_too_often() {
    let web = Web::new(&ok(b"file")).await;
    let mut work = work(FetchMode::Direct(None), names(&[("a.example", &[&["127.0.0.1"]])]));
    work.limits.per_host_per_hour = 2;
    check(&work, &web.url("/1"), Ok(b"file")).await;
    check(&work, &format!("http://a.example:{}/2", web.port), Ok(b"file")).await;
    check(&work, &web.url("/3"), Err(WhyNot::HostRate)).await;
    assert_eq!(web.requests.lock().len(), 2, "names of one address are one host");
}

#[tokio::test]
async fn a_sensor_scans_nothing() {
    let resolver = names(&[("a.example", &[&["127.0.0.1"]])]);
    let mut work = work(FetchMode::Direct(None), resolver.clone());
    work.limits.per_host_per_hour = u32::MAX;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    for _ in 0..PER_HOUR_MAX {
        check(&work, &format!("http://127.0.0.1:{closed}/"), Err(WhyNot::NotConnected)).await;
    }
    check(&work, &format!("http://a.example:{closed}/"), Err(WhyNot::Rate)).await;
    assert!(resolver.asked.lock().is_empty(), "no name is resolved any more");
}

#[tokio::test]
async fn certificates_prove_nothing_and_are_recorded() {
    let certified = rcgen::generate_simple_self_signed(vec!["other.example".to_owned()]).unwrap();
    let der = certified.cert.der().clone();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![der.clone()], key.into())
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = TlsAcceptor::from(Arc::new(config.clone())).accept(stream).await else { continue };
            request(&mut stream).await;
            // And the connection ends without the word that TLS has for it.
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nfile").await;
            let _ = stream.flush().await;
        }
    });
    let work = work(FetchMode::Direct(None), names(&[]));
    let trace = check(&work, &format!("https://127.0.0.1:{port}/"), Ok(b"file")).await;
    let shown = trace.certificate.unwrap();
    assert_eq!(shown.sha256, Sha256Digest::of(&der));
    assert!(shown.error.is_some());
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = plain.local_addr().unwrap().port();
    tokio::spawn(async move { plain.accept().await.unwrap().0.write_all(&ok(b"file")).await });
    check(&work, &format!("https://127.0.0.1:{port}/"), Err(WhyNot::Tls)).await;
}

/// An FTP server that says what it is told to; `{data}` becomes a port that gives `contents`.
async fn ftp_server(
    replies: &'static [(&'static str, &'static str)],
    contents: &'static [u8],
) -> (u16, Arc<Mutex<String>>) {
    let (control, data) =
        (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let (port, data_port) = (control.local_addr().unwrap().port(), data.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = data.accept().await {
            let _ = stream.write_all(contents).await;
        }
    });
    let heard = Arc::new(Mutex::new(String::new()));
    let log = heard.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = control.accept().await {
            let _ = stream.write_all(b"220-hello\r\n220 there\r\n").await;
            let mut line = String::new();
            while let Ok(byte) = stream.read_u8().await {
                line.push(char::from(byte));
                if !line.ends_with("\r\n") {
                    continue;
                }
                log.lock().push_str(&line);
                let reply =
                    replies.iter().find(|(begin, _)| line.starts_with(begin)).map_or("502 no\r\n", |(_, reply)| reply);
                let passive = format!("{},{}", data_port >> 8, data_port & 0xFF);
                let reply = reply.replace("{data}", &data_port.to_string()).replace("{passive}", &passive);
                if stream.write_all(reply.as_bytes()).await.is_err() {
                    break;
                }
                line.clear();
            }
        }
    });
    (port, heard)
}

#[tokio::test]
async fn a_file_is_fetched_by_ftp() {
    let work = work(FetchMode::Direct(None), names(&[]));
    let (port, heard) = ftp_server(
        &[
            ("USER", "331 password\r\n"),
            ("PASS", "230 in\r\n"),
            ("TYPE", "200 ok\r\n"),
            ("EPSV", "229 here (|||{data}|)\r\n"),
            ("RETR", "150 comes\r\n226 done\r\n"),
        ],
        b"a file",
    )
    .await;
    check(&work, &format!("ftp://127.0.0.1:{port}/a%20b"), Ok(b"a file")).await;
    assert_eq!(*heard.lock(), "USER anonymous\r\nPASS busybox@\r\nTYPE I\r\nEPSV\r\nRETR a b\r\n");
    heard.lock().clear();
    check(&work, &format!("ftp://u:p@127.0.0.1:{port}/x"), Ok(b"a file")).await;
    assert!(heard.lock().starts_with("USER u\r\nPASS p\r\n"));
    check(&work, &format!("ftp://127.0.0.1:{port}/x%0d%0aDELE%20y"), Err(WhyNot::Form)).await;
}

#[tokio::test]
async fn ftp_data_comes_from_the_same_address_only() {
    let work = work(FetchMode::Direct(None), names(&[]));
    // 127.0.0.2 is not connected to, whatever the server says; the port is taken, on the address that was judged.
    let (port, _) = ftp_server(
        &[
            ("USER", "230 in\r\n"),
            ("TYPE", "200 ok\r\n"),
            ("PASV", "227 elsewhere (127,0,0,2,{passive})\r\n"),
            ("RETR", "150 comes\r\n226 done\r\n"),
        ],
        b"a file",
    )
    .await;
    check(&work, &format!("ftp://127.0.0.1:{port}/x"), Ok(b"a file")).await;
    let (port, heard) =
        ftp_server(&[("USER", "230 in\r\n"), ("TYPE", "200 ok\r\n"), ("PASV", "227 mail (127,0,0,1,0,25)\r\n")], b"")
            .await;
    check(&work, &format!("ftp://127.0.0.1:{port}/x"), Err(WhyNot::Protocol)).await;
    assert!(heard.lock().ends_with("PASV\r\n"));
}

#[tokio::test]
async fn ftp_servers_that_misbehave() {
    let work = work(FetchMode::Direct(None), names(&[]));
    static LARGE: [u8; 100_001] = [b'x'; 100_001];
    let (port, _) = ftp_server(
        &[
            ("USER", "230 in\r\n"),
            ("TYPE", "200 ok\r\n"),
            ("EPSV", "229 here (|||{data}|)\r\n"),
            ("RETR", "150 comes\r\n226 done\r\n"),
        ],
        &LARGE,
    )
    .await;
    check(&work, &format!("ftp://127.0.0.1:{port}/x"), Err(WhyNot::TooLarge)).await;
    let (port, _) = ftp_server(
        &[
            ("USER", "230 in\r\n"),
            ("TYPE", "200 ok\r\n"),
            ("EPSV", "229 here (|||{data}|)\r\n"),
            ("RETR", "150 comes\r\n426 cut\r\n"),
        ],
        b"half",
    )
    .await;
    check(&work, &format!("ftp://127.0.0.1:{port}/x"), Err(WhyNot::Closed)).await;
    let (port, _) = ftp_server(&[("USER", "530 no\r\n")], b"").await;
    check(&work, &format!("ftp://127.0.0.1:{port}/x"), Err(WhyNot::Status)).await;
    let endless = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = endless.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = endless.accept().await.unwrap();
        while stream.write_all(b"220-more\r\n").await.is_ok() {}
    });
    check(&work, &format!("ftp://127.0.0.1:{port}/x"), Err(WhyNot::Protocol)).await;
}

/// A TFTP server for one file: `elsewhere` says something first, as an attacker between would.
async fn tftp_server(contents: Vec<u8>, elsewhere: Option<UdpSocket>) -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut buffer = [0; 1024];
        let (bytes, client) = socket.recv_from(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..bytes], b"\0\x01a/b\0octet\0");
        if let Some(elsewhere) = elsewhere {
            elsewhere.send_to(b"\0\x03\0\x01not this", client).await.unwrap();
        }
        // Answers come from a port of their own.
        let transfer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        for number in 0..=contents.len() / 512 {
            let block = &contents[number * 512..contents.len().min(number * 512 + 512)];
            let count = u16::try_from(number + 1).unwrap().to_be_bytes();
            transfer.send_to(&[&[0, 3], &count[..], block].concat(), client).await.unwrap();
            let (bytes, from) = transfer.recv_from(&mut buffer).await.unwrap();
            assert_eq!((&buffer[..bytes], from), ([[0, 4], count].concat().as_slice(), client));
        }
    });
    port
}

#[tokio::test]
async fn a_file_is_fetched_by_tftp() {
    let work = work(FetchMode::Direct(None), names(&[]));
    for bytes in [0, 511, 512, 1300] {
        let contents = vec![b'x'; bytes];
        let port = tftp_server(contents.clone(), None).await;
        let trace = check(&work, &format!("tftp://127.0.0.1:{port}/a/b"), Ok(&contents)).await;
        assert_eq!(trace.bytes, bytes as u64);
    }
    let port = tftp_server(vec![b'x'; 100_001], None).await;
    check(&work, &format!("tftp://127.0.0.1:{port}/a/b"), Err(WhyNot::TooLarge)).await;
}

#[tokio::test]
async fn tftp_answers_of_others_are_dropped() {
    let elsewhere = UdpSocket::bind("127.0.0.2:0").await.unwrap();
    let port = tftp_server(b"this".to_vec(), Some(elsewhere)).await;
    check(&work(FetchMode::Direct(None), names(&[])), &format!("tftp://127.0.0.1:{port}/a/b"), Ok(b"this")).await;
}

/// A proxy that speaks SOCKS 5 or CONNECT and answers every request itself; it notes what it was asked for.
async fn proxy(kind: &'static str) -> (Proxy, Arc<Mutex<Vec<u8>>>) {
    let (listener, asked) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), Arc::new(Mutex::new(Vec::new())));
    let proxy = Proxy::parse(&format!("{kind}://{}", listener.local_addr().unwrap())).unwrap();
    let noted = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let wanted = if kind == "socks5" { socks(&mut stream).await } else { connect(&mut stream).await };
            noted.lock().extend(wanted);
            request(&mut stream).await;
            let _ = stream.write_all(&ok(b"through the proxy")).await;
        }
    });
    (proxy, asked)
}

async fn socks(stream: &mut TcpStream) -> Vec<u8> {
    let mut greeting = [0; 3];
    stream.read_exact(&mut greeting).await.unwrap();
    assert_eq!(greeting, [5, 1, 0]);
    stream.write_all(&[5, 0]).await.unwrap();
    let mut head = [0; 5];
    stream.read_exact(&mut head).await.unwrap();
    let bytes = if head[3] == 3 { usize::from(head[4]) + 2 } else { 5 };
    let mut rest = vec![0; bytes];
    stream.read_exact(&mut rest).await.unwrap();
    stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
    [&head[..], &rest].concat()
}

async fn connect(stream: &mut TcpStream) -> Vec<u8> {
    let asked = request(stream).await;
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
    asked.into_bytes()
}

#[tokio::test]
async fn a_proxy_resolves_names() {
    let resolver = names(&[]);
    let (socks5, asked) = proxy("socks5").await;
    let through = work(FetchMode::Proxied(socks5), resolver.clone());
    check(&through, "http://a.example/x", Ok(b"through the proxy")).await;
    assert_eq!(*asked.lock(), b"\x05\x01\x00\x03\x09a.example\x00\x50");
    asked.lock().clear();
    check(&through, "http://8.8.8.8:8080/", Ok(b"through the proxy")).await;
    assert_eq!(*asked.lock(), b"\x05\x01\x00\x01\x08\x08\x08\x08\x1f\x90");
    let (http, asked) = proxy("http").await;
    let through = work(FetchMode::Proxied(http), resolver.clone());
    check(&through, "http://a.example:8080/x", Ok(b"through the proxy")).await;
    assert_eq!(*asked.lock(), b"CONNECT a.example:8080 HTTP/1.1\r\nHost: a.example:8080\r\n\r\n");
    // What is known without a resolver is still refused.
    check(&through, "http://127.0.0.2/", Err(WhyNot::AddressNotGlobal)).await;
    check(&through, "http://localhost/", Err(WhyNot::HostName)).await;
    check(&through, "tftp://8.8.8.8/x", Err(WhyNot::NotByProxy)).await;
    assert!(resolver.asked.lock().is_empty());
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A recorder with a fetcher.
struct Scene {
    kept: Kept,
    log: Arc<EventLog>,
    artifacts: Arc<ArtifactStore>,
    recorder: Arc<Recorder>,
    fetcher: Fetcher,
    flows: AtomicUsize,
    _folder: tempfile::TempDir,
}

impl Scene {
    fn new(limits: FetchLimits) -> Self {
        let kept = Kept::default();
        let log = Arc::new(EventLog::to_writers(io::sink(), kept.clone()));
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Arc::new(ArtifactStore::open(folder.path(), &[1; 32], ArtifactLimits::default()).unwrap());
        let fetcher = Fetcher::start(
            FetchConfig { mode: FetchMode::Direct(None), limits },
            FetchPorts { policy: policy(), resolver: names(&[]), clock: Arc::new(SystemClock) },
        );
        let recorder = Recorder::new(RecorderParts {
            classifier: None,
            log: log.clone(),
            artifacts: Some(artifacts.clone()),
            sensor: SensorIdentity { id: "tokyo-1".into(), site: None, country: None },
            passwords: Passwords::Clear,
            limits: RecordLimits::default(),
            fetches: Some(fetcher.queue()),
            scans: None,
        });
        Self { kept, log, artifacts, recorder, fetcher, flows: AtomicUsize::new(0), _folder: folder }
    }

    /// A session that names URLs and ends; its id.
    fn session(&self, urls: &[String]) -> String {
        let port = 40_000 + u16::try_from(self.flows.fetch_add(1, Ordering::Relaxed)).unwrap();
        let target = Target::of_kind(TargetKind::Emulated);
        let flow = Flow {
            transport: komainu_decode::Transport::Tcp,
            client: ([192, 0, 2, 7], port).into(),
            server: ([198, 51, 100, 1], 23).into(),
        };
        let mut keeper = self.recorder.begin(flow, Arc::new(target), 1_795_568_523_000_004);
        for url in urls {
            keeper.fetch(1_795_568_523_000_005, "wget", url.as_bytes(), None);
        }
        let id = keeper.session_id().to_owned();
        keeper.end(1_795_568_523_000_006, Ending::Closed);
        id
    }

    fn lines(&self, event_type: &str) -> Vec<Value> {
        self.log.flush();
        let bytes = self.kept.0.lock().clone();
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines
            .map(|line| serde_json::from_slice::<Value>(line).unwrap())
            .filter(|line| line["event_type"] == event_type)
            .collect()
    }

    /// The bodies of so many lines `fetch`, when they are there.
    async fn fetches(&self, count: usize) -> Vec<Value> {
        let there = async {
            loop {
                let lines = self.lines("fetch");
                if lines.len() >= count {
                    return lines.into_iter().map(|line| line["fetch"].clone()).collect();
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(LIMIT, there).await.expect("each URL has its line")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_is_recorded_with_its_session() {
    let web = Web::new(&ok(b"#!/bin/sh\necho hello\n")).await;
    let scene = Scene::new(FetchLimits::default());
    let url = web.url("/bins/x.sh");
    let session = scene.session(std::slice::from_ref(&url));
    let line = scene.fetches(1).await.remove(0);
    let sha256 = Sha256Digest::of(b"#!/bin/sh\necho hello\n");
    let expected = [
        ("url", Value::from(url.clone())),
        ("session_id", session.clone().into()),
        ("program", "wget".into()),
        ("outcome", "fetched".into()),
        ("status", 200.into()),
        ("address", "127.0.0.1".into()),
        ("bytes", 21.into()),
        ("sha256", sha256.to_string().into()),
        ("stored", true.into()),
    ];
    for (key, value) in expected {
        assert_eq!(line[key], value, "{key}: {line}");
    }
    assert_eq!(scene.artifacts.read(sha256).unwrap(), b"#!/bin/sh\necho hello\n");
    let artifact = &scene.lines("artifact")[0];
    assert_eq!((&artifact["artifact"]["via"], &artifact["artifact"]["name"]), (&"fetch".into(), &"x.sh".into()));
    let flow = &scene.lines("honeypot")[0]["flow_id"];
    assert_eq!(flow, &artifact["flow_id"], "all are of one flow");
    assert_eq!(flow, &scene.lines("fetch")[0]["flow_id"]);
    // Whoever names it next gets what is known.
    let other = scene.session(std::slice::from_ref(&url));
    let line = scene.fetches(2).await.remove(1);
    assert_eq!((&line["outcome"], &line["session_id"]), (&"known".into(), &other.into()));
    assert_eq!(line["sha256"], sha256.to_string());
    assert_eq!(web.requests.lock().len(), 1);
    scene.fetcher.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_recorded_too() {
    let scene = Scene::new(FetchLimits::default());
    let urls = ["http://10.0.0.1/x", "http://$server/x", "gopher://a.b/"].map(str::to_owned);
    scene.session(&urls);
    let mut told: Vec<_> =
        scene.fetches(3).await.iter().map(|line| (line["url"].clone(), line["why_not"].clone())).collect();
    told.sort_by_key(|(url, _)| url.to_string());
    let whys: Vec<_> = told.iter().map(|(_, why)| why.as_str().unwrap()).collect();
    assert_eq!(whys, ["scheme", "form", "address_not_global"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_drips_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        let mut drip = tokio::time::interval(Duration::from_millis(50));
        while stream.write_all(b"x").await.is_ok() {
            drip.tick().await;
        }
    });
    let scene = Scene::new(FetchLimits { timeout_s: 1, ..FetchLimits::default() });
    scene.session(&[format!("http://127.0.0.1:{port}/")]);
    let line = scene.fetches(1).await.remove(0);
    assert_eq!((&line["outcome"], &line["why_not"]), (&"failed".into(), &"timeout_s".into()));
    assert!(line["bytes"].as_u64().unwrap() > 0);
    assert_eq!(line.get("sha256"), None);
}

/// A server that accepts and says nothing.
async fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://127.0.0.1:{}/", listener.local_addr().unwrap().port());
    (listener, url)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_has_a_bound_and_ends_when_told() {
    let (_listener, url) = silent().await;
    let scene = Scene::new(FetchLimits { per_host_per_hour: 1000, ..FetchLimits::default() });
    let sessions = 20;
    for session in 0..sessions {
        let urls: Vec<String> = (0..30).map(|number| format!("{url}{session}/{number}")).collect();
        scene.session(&urls);
    }
    let offered = sessions * 24;
    let refused = scene.fetches(offered - WAITING_MAX - AT_ONCE_MAX).await;
    assert!(refused.iter().all(|line| line["why_not"] == "queue_full" && line["outcome"] == "refused"));
    let Scene { fetcher, log, kept, .. } = scene;
    timeout(LIMIT, fetcher.shutdown()).await.unwrap();
    log.flush();
    let text = String::from_utf8(kept.0.lock().clone()).unwrap();
    let of = |why: &str| text.matches(&format!("\"why_not\":\"{why}\"")).count();
    assert_eq!(of("queue_full") + of("stopped"), offered, "each URL that was offered has its line");
}
