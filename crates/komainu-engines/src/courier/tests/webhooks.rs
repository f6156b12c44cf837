use std::convert::Infallible;
use std::net::SocketAddr;

use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use komainu_model::*;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::samples::*;
use super::*;

/// What a webhook received: its headers, and its body.
struct Received {
    headers: hyper::HeaderMap,
    path: String,
    body: String,
}

impl Received {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// A webhook that answers each request with `status` and hands out what it received.
struct Webhook {
    address: SocketAddr,
    received: mpsc::UnboundedReceiver<Received>,
}

impl Webhook {
    async fn start(status: u16, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, received) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let sender = sender.clone();
                let service = service_fn(move |request: Request<Incoming>| answer(request, status, sender.clone()));
                let tls = tls.clone();
                tokio::spawn(async move {
                    let http = hyper::server::conn::http1::Builder::new();
                    match tls {
                        None => http.serve_connection(TokioIo::new(stream), service).await.ok(),
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => http.serve_connection(TokioIo::new(stream), service).await.ok(),
                            Err(_) => None,
                        },
                    }
                });
            }
        });
        Self { address, received }
    }

    fn url(&self) -> String {
        format!("http://{}/hook?key=1", self.address)
    }
}

async fn answer(
    request: Request<Incoming>,
    status: u16,
    sender: mpsc::UnboundedSender<Received>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    let path = parts.uri.path_and_query().unwrap().to_string();
    sender.send(Received { headers: parts.headers, path, body }).ok();
    let response = Response::builder().status(status).header("location", "http://127.0.0.1:9/elsewhere");
    Ok(response.body(Full::new(Bytes::from_static(b"thanks"))).unwrap())
}

fn to(url: &str, kind: NotificationKind) -> Delivery {
    delivery(Protocol::Http, url, kind)
}

fn with_webhook_config(webhook: WebhookConfig) -> CourierSet {
    let config = CourierConfig { public_url: PUBLIC_URL.to_owned(), smtp: None, webhook };
    CourierSet::new(config, Arc::new(NoAuthority)).unwrap()
}

#[tokio::test]
async fn a_notification_arrives_as_sns_sends_it() {
    let mut webhook = Webhook::start(200, None).await;
    let mut delivery = to(&webhook.url(), message(Some("My subject"), "Hello\nworld"));
    let NotificationKind::Message { attributes, .. } = &mut delivery.notification.kind else { panic!("a message") };
    attributes.insert("team".to_owned(), ("String".to_owned(), "blue".to_owned()));
    assert_eq!(couriers(None).deliver(&delivery).await, DeliveryOutcome::Done);
    let received = webhook.received.recv().await.unwrap();
    let topic = "arn:aws:sns:us-east-1:123456789012:MisbehavingDevices";
    let subscription = format!("{topic}:6f5e4d3c-2b1a-4098-8765-43210fedcba9");
    for (name, expected) in [
        ("x-amz-sns-message-type", "Notification"),
        ("x-amz-sns-message-id", "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324"),
        ("x-amz-sns-topic-arn", topic),
        ("x-amz-sns-subscription-arn", &subscription),
        ("content-type", "text/plain; charset=UTF-8"),
    ] {
        assert_eq!(received.header(name), Some(expected), "{name}");
    }
    assert_eq!(received.header("x-amz-sns-rawdelivery"), None);
    assert_eq!(received.path, "/hook?key=1");
    let sha256 = hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"certificate"));
    let expected = serde_json::json!({
        "Type": "Notification",
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": topic,
        "Subject": "My subject",
        "Message": "Hello\nworld",
        "Timestamp": "2026-11-23T02:13:20.000Z",
        "SignatureVersion": "1",
        "Signature": STANDARD.encode("signature"),
        "SigningCertURL": format!("{PUBLIC_URL}/SimpleNotificationService-{sha256}.pem"),
        "UnsubscribeURL": format!(
            "{PUBLIC_URL}/?Action=Unsubscribe&SubscriptionArn={}&Token={}",
            subscription.replace(':', "%3A"),
            "0123456789abcdef".repeat(4)
        ),
        "MessageAttributes": {"team": {"Type": "String", "Value": "blue"}},
    });
    assert_eq!(serde_json::from_str::<Value>(&received.body).unwrap(), expected);
}

#[tokio::test]
async fn confirmations_carry_what_confirms() {
    let mut webhook = Webhook::start(200, None).await;
    for (kind, message_type, has_subscription) in
        [(confirmation(), "SubscriptionConfirmation", false), (farewell(), "UnsubscribeConfirmation", true)]
    {
        assert_eq!(couriers(None).deliver(&to(&webhook.url(), kind)).await, DeliveryOutcome::Done);
        let received = webhook.received.recv().await.unwrap();
        assert_eq!(received.header("x-amz-sns-message-type"), Some(message_type));
        assert_eq!(received.header("x-amz-sns-subscription-arn").is_some(), has_subscription);
        let body: Value = serde_json::from_str(&received.body).unwrap();
        assert_eq!(body["Type"], message_type);
        assert_eq!(body["Token"], "0123456789abcdef".repeat(4));
        let url = body["SubscribeURL"].as_str().unwrap();
        let expected = format!("{PUBLIC_URL}/?Action=ConfirmSubscription&TopicArn=arn%3Aaws%3Asns%3A");
        assert!(url.starts_with(&expected), "{url}");
        assert!(body.get("UnsubscribeURL").is_none());
    }
}

#[tokio::test]
async fn raw_messages_come_without_the_envelope() {
    let mut webhook = Webhook::start(204, None).await;
    let raw = Delivery { raw: true, ..to(&webhook.url(), message(Some("s"), "{\"a\": 1}")) };
    assert_eq!(couriers(None).deliver(&raw).await, DeliveryOutcome::Done);
    let received = webhook.received.recv().await.unwrap();
    assert_eq!(received.body, "{\"a\": 1}");
    assert_eq!(received.header("x-amz-sns-rawdelivery"), Some("true"));
    // What must be confirmed cannot be raw.
    let raw = Delivery { raw: true, ..to(&webhook.url(), confirmation()) };
    assert_eq!(couriers(None).deliver(&raw).await, DeliveryOutcome::Done);
    assert!(webhook.received.recv().await.unwrap().body.contains("SubscribeURL"));
}

/// The verifier of the SNS developer guide, written from the received JSON alone.
fn verify(body: &str, certificate_pem: &str) -> bool {
    let body: Value = serde_json::from_str(body).unwrap();
    let names: &[&str] = match body["Type"].as_str().unwrap() {
        "Notification" => &["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"],
        _ => &["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"],
    };
    let mut string_to_sign = String::new();
    for name in names {
        if let Some(value) = body.get(*name) {
            string_to_sign.push_str(&format!("{name}\n{}\n", value.as_str().unwrap()));
        }
    }
    let algorithm: &dyn VerificationAlgorithm = match body["SignatureVersion"].as_str().unwrap() {
        "1" => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
        "2" => &RSA_PKCS1_2048_8192_SHA256,
        other => panic!("signature version {other}"),
    };
    let (_, pem) = x509_parser::pem::parse_x509_pem(certificate_pem.as_bytes()).unwrap();
    let certificate = pem.parse_x509().unwrap();
    let key = &certificate.public_key().subject_public_key.data;
    let signature = STANDARD.decode(body["Signature"].as_str().unwrap()).unwrap();
    UnparsedPublicKey::new(algorithm, key).verify(string_to_sign.as_bytes(), &signature).is_ok()
}

#[test]
fn signatures_verify_as_the_developer_guide_says() {
    let authority = authority();
    let links = Links::new(PUBLIC_URL);
    let pem = authority.notification_certificate_pem();
    for kind in
        [message(Some("subject"), "text\nwith \"quotes\" and ünïcode"), message(None, "x"), confirmation(), farewell()]
    {
        for signature in [NotificationSignature::V1, NotificationSignature::V2] {
            let mut delivery = to("http://example.com/", kind.clone());
            delivery.notification.signature = signature;
            let json = envelope::json(&delivery, &links, &*authority).unwrap();
            assert!(verify(&json, &pem), "{json}");
            assert!(!verify(&json.replace("MisbehavingDevices", "OtherDevices"), &pem), "{json}");
            assert!(!verify(&json.replace("02:13:20", "02:13:21"), &pem), "{json}");
        }
    }
}

#[tokio::test]
async fn answers() {
    let check = async |status: u16, attempts: u32, expected: Result<(), (&str, bool)>| {
        let webhook = Webhook::start(status, None).await;
        let delivery = Delivery { attempts, ..to(&webhook.url(), message(None, "x")) };
        match (couriers(None).deliver(&delivery).await, expected) {
            (DeliveryOutcome::Done, Ok(())) => {}
            (DeliveryOutcome::Retry { error }, Err((text, false)))
            | (DeliveryOutcome::Gone { error }, Err((text, true))) => assert!(error.contains(text), "{error}"),
            (outcome, _) => panic!("{status} after {attempts}: {outcome:?}"),
        }
    };
    check(200, 0, Ok(())).await;
    check(202, 0, Ok(())).await;
    check(302, 0, Err(("redirects are not followed", false))).await;
    check(403, 0, Err(("403", false))).await;
    check(403, 1, Err(("403", false))).await;
    check(403, 2, Err(("403", true))).await;
    check(404, 7, Err(("404", true))).await;
    check(410, 0, Err(("410", true))).await;
    check(429, 9, Err(("429", false))).await;
    check(500, 9, Err(("500", false))).await;
    check(503, 0, Err(("503", false))).await;
}

#[tokio::test]
async fn what_cannot_be_reached_is_worth_another_try() {
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url = format!("http://user:secret@{unused}/");
    match couriers(None).deliver(&to(&url, message(None, "x"))).await {
        DeliveryOutcome::Retry { error } => {
            assert!(error.contains("refused") && !error.contains("secret"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    // A server that takes the connection and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let courier =
        with_webhook_config(WebhookConfig { timeout: Duration::from_millis(200), ..WebhookConfig::default() });
    let url = format!("http://{}/", silent.local_addr().unwrap());
    assert_retry(courier.deliver(&to(&url, message(None, "x"))).await, "timed out");
}

#[tokio::test]
async fn denied_addresses_are_not_connected_to() {
    let mut webhook = Webhook::start(200, None).await;
    let egress = EgressRules { loopback: false, ..EgressRules::default() };
    let courier = with_webhook_config(WebhookConfig { egress, ..WebhookConfig::default() });
    let port = webhook.address.port();
    for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1"] {
        let outcome = courier.deliver(&to(&format!("http://{host}:{port}/"), message(None, "x"))).await;
        assert_gone(outcome, "is an address of this machine");
    }
    assert_gone(courier.deliver(&to("http://169.254.169.254/", message(None, "x"))).await, "link-local");
    assert!(webhook.received.try_recv().is_err());
}

#[tokio::test]
async fn private_roots_are_trusted_when_the_configuration_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let now = Timestamp::from_unix_millis(i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap());
    let authority = LocalAuthority::open(dir.path(), now).unwrap();
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
    let mut webhook = Webhook::start(200, Some(TlsAcceptor::from(Arc::new(tls)))).await;
    let url = format!("https://localhost:{}/", webhook.address.port());
    let delivery = delivery(Protocol::Https, &url, message(None, "x"));

    assert_retry(couriers(None).deliver(&delivery).await, "certificate");
    let root = dir.path().join("extra.pem");
    std::fs::write(&root, authority.root_pem().as_bytes()).unwrap();
    let courier = with_webhook_config(WebhookConfig { extra_roots_file: Some(root), ..WebhookConfig::default() });
    assert_eq!(courier.deliver(&delivery).await, DeliveryOutcome::Done);
    assert!(webhook.received.recv().await.is_some());
}
