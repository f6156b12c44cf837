//! Those who are asked over the network, against servers that answer by script.

use std::net::SocketAddr;
use std::path::Path;

use komainu_model::{SampleDigest, Timestamp};
use komainu_ports::{Authority, ElsewhereAnswer, LookupError, SampleDigests};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::LocalAuthority;

const KEY: &str = "0123456789abcdef-the-key";

/// A server that says the same to every question, and hands out what it received, to the last byte.
struct Server {
    address: SocketAddr,
    received: mpsc::UnboundedReceiver<String>,
}

impl Server {
    async fn start(answer: Vec<u8>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, received) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                match &tls {
                    None => converse(stream, &answer, &sender).await,
                    Some(tls) => match tls.accept(stream).await {
                        Ok(stream) => converse(stream, &answer, &sender).await,
                        Err(_) => continue,
                    },
                }
            }
        });
        Self { address, received }
    }

    /// What was received with what changes from run to run left out.
    async fn request(&mut self) -> String {
        let request = self.received.recv().await.unwrap();
        request.replace(&self.address.to_string(), "HOST").replace(env!("CARGO_PKG_VERSION"), "VERSION")
    }
}

async fn converse(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: &[u8],
    sender: &mpsc::UnboundedSender<String>,
) {
    let mut request = Vec::new();
    while !is_whole(&request) {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            break;
        }
    }
    sender.send(String::from_utf8(request).unwrap()).ok();
    // Who asked may have hung up.
    stream.write_all(answer).await.ok();
    stream.shutdown().await.ok();
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

fn http(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}").into_bytes()
}

fn digests() -> SampleDigests {
    SampleDigests { sha256: SampleDigest::from_sha256([0xab; 32]), sha1: [0xcd; 20], md5: [0xef; 16] }
}

#[derive(Clone, Copy)]
enum Who {
    VirusTotal,
    MalwareBazaar,
}

fn config(who: Who, url: &str, key_file: &Path) -> LookupConfig {
    let remote = RemoteLookup { key_file: key_file.to_owned(), url: url.to_owned(), pause: Duration::from_secs(15) };
    match who {
        Who::VirusTotal => LookupConfig { virustotal: Some(remote), ..LookupConfig::default() },
        Who::MalwareBazaar => LookupConfig { malwarebazaar: Some(remote), ..LookupConfig::default() },
    }
}

fn lookup_at(who: Who, url: &str) -> Arc<dyn SampleLookup> {
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("key");
    std::fs::write(&key_file, format!("  {KEY}\n")).unwrap();
    lookups(&config(who, url, &key_file)).unwrap().sources.remove(0)
}

async fn ask(who: Who, answer: Vec<u8>) -> (Result<ElsewhereAnswer, LookupError>, String) {
    let mut server = Server::start(answer, None).await;
    let lookup = lookup_at(who, &format!("http://{}/", server.address));
    let answer = lookup.look_up(&digests()).await;
    (answer, server.request().await)
}

/// What is made of an answer: `Known` and `Unknown` as they are, the others by their beginning and what they say.
async fn check(who: Who, answer: Vec<u8>, expected: Result<ElsewhereAnswer, &str>) {
    let shown = String::from_utf8_lossy(&answer[..answer.len().min(300)]).into_owned();
    match (ask(who, answer).await.0, expected) {
        (Ok(answer), Ok(expected)) => assert_eq!(answer, expected, "{shown}"),
        (Err(error), Err(expected)) => {
            let said = match error {
                LookupError::TooMany { after, .. } => format!("too many: {} s", after.as_secs()),
                LookupError::Refused { reason, .. } => format!("refused: {reason}"),
                LookupError::Unavailable { source, .. } => format!("unavailable: {source}"),
            };
            assert!(said.starts_with(expected), "{shown}: {said}");
            assert!(!said.contains(KEY) && said.len() < 300, "{said}");
        }
        (answer, expected) => panic!("{shown}: {answer:?} and not {expected:?}"),
    }
}

fn known(first_seen: Option<i64>, labels: &[&str], detections: Option<(u32, u32)>) -> ElsewhereAnswer {
    let labels = labels.iter().map(|label| (*label).to_owned()).collect();
    ElsewhereAnswer::Known { first_seen: first_seen.map(Timestamp::from_unix_seconds), labels, detections }
}

#[tokio::test]
async fn nothing_but_a_digest_leaves_the_house() {
    let sha256 = "ab".repeat(32);
    let (_, request) = ask(Who::VirusTotal, http("404 Not Found", "", "{}")).await;
    let expected = format!(
        "GET /api/v3/files/{sha256} HTTP/1.1\r\naccept: application/json\r\nx-apikey: {KEY}\r\n\
         user-agent: Komainu/VERSION\r\nhost: HOST\r\n\r\n"
    );
    assert_eq!(request, expected);
    let (_, request) = ask(Who::MalwareBazaar, http("200 OK", "", "{}")).await;
    let expected = format!(
        "POST /api/v1/ HTTP/1.1\r\naccept: application/json\r\nauth-key: {KEY}\r\n\
         content-type: application/x-www-form-urlencoded\r\nuser-agent: Komainu/VERSION\r\nhost: HOST\r\n\
         content-length: 84\r\n\r\nquery=get_info&hash={sha256}"
    );
    assert_eq!(request, expected);
}

/// An answer of VirusTotal's, with the fields that are read and some of the others.
fn virustotal(attributes: Value) -> Vec<u8> {
    let data = json!({"id": "ab".repeat(32), "type": "file", "links": {"self": "x"}, "attributes": attributes});
    http("200 OK", "content-type: application/json\r\n", &json!({ "data": data }).to_string())
}

#[tokio::test]
async fn virustotal_knows() {
    let who = Who::VirusTotal;
    let whole = json!({
        "first_submission_date": 1_600_000_000, "last_submission_date": 1_700_000_000, "size": 5, "tlsh": "T1",
        "last_analysis_results": {
            "Zoner": {"category": "malicious", "engine_name": "Zoner", "method": "blacklist", "result": "Linux.Mirai"},
            "AVG": {"category": "malicious", "engine_name": "AVG", "method": "blacklist", "result": "ELF:Mirai-A"},
            "Avast": {"category": "malicious", "engine_name": "Avast", "method": "blacklist", "result": "ELF:Mirai-A"},
            "Bkav": {"category": "undetected", "engine_name": "Bkav", "method": "blacklist", "result": null},
        },
        "last_analysis_stats": {
            "harmless": 0, "type-unsupported": 12, "suspicious": 1, "confirmed-timeout": 0, "timeout": 2, "failure": 1,
            "malicious": 40, "undetected": 20,
        },
    });
    let expected = known(Some(1_600_000_000), &["ELF:Mirai-A", "Linux.Mirai"], Some((40, 61)));
    check(who, virustotal(whole), Ok(expected)).await;
    check(who, virustotal(json!({})), Ok(known(None, &[], None))).await;
    check(who, virustotal(json!({"first_submission_date": i64::MAX})), Ok(known(None, &[], None))).await;
    check(who, virustotal(json!({"first_submission_date": -1})), Ok(known(None, &[], None))).await;
    let stats = json!({"last_analysis_stats": {"malicious": u32::MAX, "undetected": 7}});
    check(who, virustotal(stats), Ok(known(None, &[], Some((u32::MAX, u32::MAX))))).await;
    let results = json!({"last_analysis_results": {"a": {"result": "\u{1b}[2Jx\n<b>"}, "b": {"result": " "}}});
    check(who, virustotal(results), Ok(known(None, &["\u{fffd}[2Jx\u{fffd}<b>"], None))).await;
    let scanners: serde_json::Map<String, Value> =
        (0..100).map(|n| (format!("{n:03}"), json!({"result": format!("{n:03}{}", "x".repeat(2000))}))).collect();
    let labels: Vec<String> = (0..64).map(|n| format!("{n:03}{}", "x".repeat(125))).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    check(who, virustotal(json!({ "last_analysis_results": scanners })), Ok(known(None, &labels, None))).await;
}

#[tokio::test]
async fn virustotal_does_not_know() {
    let who = Who::VirusTotal;
    let error = |code: &str| json!({"error": {"code": code, "message": "about it"}}).to_string();
    let not_found = http("404 Not Found", "", &error("NotFoundError"));
    check(who, not_found, Ok(ElsewhereAnswer::Unknown)).await;
    // Somebody else's page, for which "unknown" would be kept for ever.
    let page = http("404 Not Found", "", "<html>no such page</html>");
    check(who, page, Err("unavailable: the answer is 404 Not Found")).await;
    let quota = error("QuotaExceededError");
    check(who, http("429 Too Many Requests", "", &quota), Err("too many: 60 s")).await;
    check(who, http("429 Too Many Requests", "retry-after: 7\r\n", &quota), Err("too many: 7 s")).await;
    check(who, http("429 Too Many Requests", "retry-after: soon\r\n", ""), Err("too many: 60 s")).await;
    let wrong = http("401 Unauthorized", "", &error("WrongCredentialsError"));
    check(who, wrong, Err("refused: 401 Unauthorized, WrongCredentialsError")).await;
    check(who, http("403 Forbidden", "", ""), Err("refused: 403 Forbidden")).await;
    check(who, http("503 Service Unavailable", "", ""), Err("unavailable: the answer is 503")).await;
    let redirect = http("302 Found", "location: http://127.0.0.1:9/\r\n", "");
    check(who, redirect, Err("unavailable: the answer is 302 Found")).await;
    check(who, http("200 OK", "", "{\"data\": 5}"), Err("unavailable: the answer is not what")).await;
    check(who, http("200 OK", "", &"[".repeat(100_000)), Err("unavailable: the answer is not what")).await;
    let another = json!({"data": {"id": "00".repeat(32), "attributes": {}}}).to_string();
    check(who, http("200 OK", "", &another), Err("unavailable: the answer is about another")).await;
    let long = http("500 Oops", "", &error(&"x\u{7}".repeat(5000)));
    check(who, long, Err("unavailable: the answer is 500 Internal Server Error, x\u{fffd}x")).await;
    check(who, b"nonsense\r\n\r\n".to_vec(), Err("unavailable: the question could not be asked")).await;
    check(who, http("200 OK", "", &" ".repeat((4 << 20) + 1)), Err("unavailable: the answer has more than")).await;
}

#[tokio::test]
async fn malwarebazaar_knows() {
    let who = Who::MalwareBazaar;
    let found = |entry: Value| {
        let body = json!({"query_status": "ok", "data": [entry]}).to_string();
        http("200 OK", "content-type: application/json\r\n", &body)
    };
    let whole = json!({
        "sha256_hash": "AB".repeat(32), "md5_hash": "ef", "first_seen": "2021-03-04 05:06:07", "last_seen": null,
        "file_name": "a.elf", "reporter": "anonymous", "signature": "Mirai", "tags": ["elf", "Mirai"],
        "vendor_intel": {
            "ANY.RUN": [{"malware_family": "mirai-botnet", "verdict": "Malicious activity"}, {"malware_family": null}],
            "CAPE": {"detection": "Gafgyt", "link": "https://example.org/"},
            "Intezer": {"verdict": "malicious", "family_name": "Mirai"},
            "ReversingLabs": {"threat_name": "Linux.Trojan.Mirai", "status": "MALICIOUS", "scanner_match": "24"},
            "Spamhaus_HBL": [{"detection": "malicious"}],
            "YOROI_YOMI": {"detection": "Malicious File", "score": "0.80"},
        },
    });
    let labels = ["Mirai", "elf", "mirai-botnet", "Gafgyt", "Linux.Trojan.Mirai"];
    check(who, found(whole), Ok(known(Some(1_614_834_367), &labels, None))).await;
    let bare = json!({"sha256_hash": "ab".repeat(32), "first_seen": "yesterday", "tags": null, "vendor_intel": []});
    check(who, found(bare), Ok(known(None, &[], None))).await;
    let another = json!({"sha256_hash": "00".repeat(32)});
    check(who, found(another), Err("unavailable: the answer is about another")).await;
}

#[tokio::test]
async fn malwarebazaar_does_not_know() {
    let who = Who::MalwareBazaar;
    let says = |status: &str| http("200 OK", "", &json!({ "query_status": status }).to_string());
    check(who, says("hash_not_found"), Ok(ElsewhereAnswer::Unknown)).await;
    check(who, says("user_blacklisted"), Err("refused: user_blacklisted")).await;
    check(who, says("unknown_auth_key"), Err("refused: unknown_auth_key")).await;
    check(who, says("illegal_hash"), Err("unavailable: the answer is 200 OK, illegal_hash")).await;
    check(who, says("ok"), Err("unavailable: the answer is not what")).await;
    check(who, http("200 OK", "", "{}"), Err("unavailable: the answer is 200 OK")).await;
    check(who, http("200 OK", "", "<html>"), Err("unavailable: the answer is not what")).await;
    let unauthorized = http("401 Unauthorized", "", "{\"error\": \"Unauthorized\"}");
    check(who, unauthorized, Err("refused: 401 Unauthorized")).await;
    let unknown_key = http("403 Forbidden", "", "{\"query_status\": \"unknown_auth_key\"}");
    check(who, unknown_key, Err("refused: 403 Forbidden, unknown_auth_key")).await;
    check(who, http("429 Too Many Requests", "", ""), Err("too many: 60 s")).await;
    check(who, http("404 Not Found", "", ""), Err("unavailable: the answer is 404 Not Found")).await;
}

#[tokio::test]
async fn nobody_there_is_nothing_that_is_known() {
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let lookup = lookup_at(Who::VirusTotal, &format!("http://{unused}"));
    match lookup.look_up(&digests()).await {
        Err(LookupError::Unavailable { source_name, .. }) => assert_eq!(source_name, "virustotal"),
        other => panic!("{other:?}"),
    }
    assert_eq!((lookup.source(), lookup.pause()), ("virustotal", Duration::from_secs(15)));
}

#[tokio::test]
async fn a_mirror_with_a_private_root_can_be_asked() {
    let folder = tempfile::tempdir().unwrap();
    let now = Timestamp::from_unix_millis(i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap());
    let authority = LocalAuthority::open(folder.path(), now).unwrap();
    let certificate = authority.server_certificate(&[], now).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(certificate.chain_pem.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let mut server = Server::start(virustotal(json!({})), Some(TlsAcceptor::from(Arc::new(tls)))).await;
    let url = format!("https://localhost:{}/mirror", server.address.port());
    // Whoever is not trusted does not see the key.
    assert!(lookup_at(Who::VirusTotal, &url).look_up(&digests()).await.is_err());
    assert!(server.received.try_recv().is_err());

    let (root, key_file) = (folder.path().join("extra.pem"), folder.path().join("key"));
    std::fs::write(&root, authority.root_pem().as_bytes()).unwrap();
    std::fs::write(&key_file, KEY).unwrap();
    let trusting = LookupConfig { extra_roots_file: Some(root), ..config(Who::VirusTotal, &url, &key_file) };
    let answer = lookups(&trusting).unwrap().sources[0].look_up(&digests()).await.unwrap();
    assert_eq!(answer, known(None, &[], None));
    assert!(server.request().await.starts_with("GET /mirror/api/v3/files/abab"));
}

#[test]
fn settings_that_make_no_sense_are_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    };
    let key = file("key", KEY);
    let check = |config: LookupConfig, expected: &str| {
        let error = format!("{:#}", lookups(&config).err().expect(expected));
        assert!(error.contains(expected) && !error.contains(KEY), "{error}");
    };
    let (virustotal, bazaar, url) = (Who::VirusTotal, Who::MalwareBazaar, "https://www.virustotal.com");
    assert_eq!(lookups(&config(virustotal, url, &key)).unwrap().sources.len(), 1);
    check(config(virustotal, url, &folder.path().join("none")), "none` (lab.virustotal_key_file)");
    check(config(bazaar, url, &folder.path().join("none")), "none` (lab.malwarebazaar_key_file)");
    check(config(virustotal, url, &file("empty", " \n")), "lab.virustotal_key_file is not usable");
    check(config(virustotal, url, &file("two", &format!("{KEY} {KEY}"))), "has no key");
    check(config(virustotal, url, &file("long", &"k".repeat(5000))), "has no key");
    check(config(virustotal, "virustotal.com", &key), "lab.virustotal_url is not usable");
    check(config(bazaar, "ftp://mb-api.abuse.ch", &key), "lab.malwarebazaar_url is not usable");
    check(config(virustotal, "http://www.virustotal.com", &key), "the key would travel unprotected");
    check(config(virustotal, "https://user:password@www.virustotal.com", &key), "all that it may have");
    check(config(virustotal, "https://www.virustotal.com/?a=b", &key), "all that it may have");
    assert!(lookups(&config(virustotal, "http://[::1]:8080", &key)).is_ok());
    let roots = LookupConfig { extra_roots_file: Some("/nonexistent".into()), ..config(virustotal, url, &key) };
    check(roots, "cannot read `/nonexistent` (lab.extra_roots_file)");

    let of_lists = |lists: &[PathBuf]| LookupConfig { lists: lists.to_vec(), ..LookupConfig::default() };
    let known = file("known.txt", &format!("{} Mirai\nno digest\n", "ab".repeat(32)));
    let SampleLookups { sources, lists } = lookups(&of_lists(std::slice::from_ref(&known))).unwrap();
    assert_eq!((sources[0].source(), sources[0].pause()), ("list:known.txt", Duration::ZERO));
    assert_eq!((lists[0].digests, lists[0].unusable, lists[0].problems[0].line), (1, 1, 2));
    check(of_lists(&[known.clone(), file("other/known.txt", "")]), "two lists are called list:known.txt");
    check(of_lists(&["/nonexistent".into()]), "cannot read `/nonexistent` (lab.known_lists)");
    check(of_lists(&[folder.path().to_owned()]), "(lab.known_lists)");
    check(of_lists(&vec![known; 17]), "there may be 16 lists");
}

#[tokio::test]
async fn a_list_answers_by_each_digest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("known.txt");
    for digest in ["ab".repeat(32), "cd".repeat(20), "ef".repeat(16)] {
        std::fs::write(&path, format!("{digest} Mirai")).unwrap();
        let config = LookupConfig { lists: vec![path.clone()], ..LookupConfig::default() };
        let list = lookups(&config).unwrap().sources.remove(0);
        assert_eq!(list.look_up(&digests()).await.unwrap(), known(None, &["Mirai"], None));
        let other = SampleDigests { sha256: SampleDigest::from_sha256([0; 32]), sha1: [0; 20], md5: [0; 16] };
        assert_eq!(list.look_up(&other).await.unwrap(), ElsewhereAnswer::Unknown);
    }
}
