//! Who is let in, and how others are told.

use std::time::Duration;

use komainu_api::Server;
use komainu_model::AccessKeyId;
use komainu_ports::AccessKeys;
use tokio::net::{TcpListener, TcpStream};

use crate::client::{Answer, Ask};
use crate::world::{KEY_ID, NOW_S, SECRET, World};

const GET_CALLER_IDENTITY: &str = "Action=GetCallerIdentity&Version=2011-06-15";

fn check(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (status, code.to_ascii_lowercase().as_str()), "{answer:?}");
    assert!(answer.header("x-amzn-requestid").is_some());
}

#[tokio::test]
async fn a_signed_request_is_answered() {
    let world = World::new();
    let answer = world.ask(&Ask::form(GET_CALLER_IDENTITY).signed("sts")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/xml"));
    let request_id = answer.header("x-amzn-requestid").unwrap();
    let expected = format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
         <Account>123456789012</Account><Arn>arn:aws:iam::123456789012:user/{KEY_ID}</Arn><UserId>{KEY_ID}</UserId>\
         </GetCallerIdentityResult><ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>\
         </GetCallerIdentityResponse>"
    );
    assert_eq!(answer.body, expected);

    let answer = world.ask(&Ask::new("GET", "/things", b"").signed("iot")).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(answer.json(), serde_json::json!({"things": []}));
}

#[tokio::test]
async fn a_presigned_request_is_answered() {
    let world = World::new();
    let ask = Ask::new("GET", "/things", b"").presigned("iot");
    // It is made to be sent more than once.
    for _ in 0..2 {
        assert_eq!(world.ask(&ask).await.status, 200);
        world.clock.advance(Duration::from_secs(60));
    }
}

#[tokio::test]
async fn each_protocol_has_its_own_errors() {
    let world = World::new();
    let things = || Ask::new("GET", "/things", b"");
    let identity = || Ask::form(GET_CALLER_IDENTITY);
    let other_key = "AKIDEXAMPLEEXAMPLE99";
    let wrong = "another secret of that kind";

    check(&world.ask(&things()).await, 403, "MissingAuthenticationTokenException");
    check(&world.ask(&identity()).await, 403, "MissingAuthenticationToken");
    check(&world.ask(&things().header("authorization", "Basic x")).await, 400, "IncompleteSignatureException");
    check(&world.ask(&identity().header("authorization", "Basic x")).await, 400, "IncompleteSignature");
    let unknown = |ask: Ask, service: &str| ask.signed_with(service, other_key, SECRET, NOW_S);
    check(&world.ask(&unknown(things(), "iot")).await, 403, "UnrecognizedClientException");
    check(&world.ask(&unknown(identity(), "sts")).await, 403, "InvalidClientTokenId");
    let forged = |ask: Ask, service: &str| ask.signed_with(service, KEY_ID, wrong, NOW_S);
    check(&world.ask(&forged(things(), "iot")).await, 403, "InvalidSignatureException");
    check(&world.ask(&forged(identity(), "sts")).await, 403, "SignatureDoesNotMatch");
    let late = world.ask(&things().signed_with("iot", KEY_ID, SECRET, NOW_S - 301)).await;
    check(&late, 403, "InvalidSignatureException");
    assert!(late.json()["message"].as_str().unwrap().starts_with("Signature expired: 20231114T220819Z"), "{late:?}");
}

#[tokio::test]
async fn a_revoked_key_opens_nothing() {
    let world = World::new();
    world.control.revoke(&AccessKeyId::parse(KEY_ID).unwrap()).unwrap();
    let answer = world.ask(&Ask::new("GET", "/things", b"").signed("iot")).await;
    check(&answer, 403, "UnrecognizedClientException");
}

#[tokio::test]
async fn a_late_copy_is_refused() {
    let world = World::new();
    let ask = Ask::new("GET", "/things", b"").signed("iot");
    assert_eq!(world.ask(&ask).await.status, 200);
    assert_eq!(world.ask(&ask).await.status, 200, "equal requests within a second have equal signatures");
    world.clock.advance(Duration::from_secs(11));
    check(&world.ask(&ask).await, 403, "InvalidSignatureException");
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let world = World::new();
    let check_message = async |ask: Ask, service: &str, status: u16, code: &str, message: &str| {
        let answer = world.ask(&ask.signed(service)).await;
        check(&answer, status, code);
        assert!(answer.body.contains(message), "{answer:?}");
    };
    let get = |path: &str| Ask::new("GET", path, b"");
    let not_yet = "The operation ListJobs of iot is not available yet in Komainu.";
    check_message(get("/jobs"), "iot", 501, "NotImplementedException", not_yet).await;
    let not_yet = "The operation GetSessionToken of sts is not available yet in Komainu.";
    check_message(Ask::form("Action=GetSessionToken"), "sts", 501, "NotImplemented", not_yet).await;
    check_message(get("/jobs/x"), "iot-jobs-data", 501, "NotImplementedException", "iot-jobs-data").await;
    check_message(get("/nothing"), "iot", 404, "UnknownOperationException", "GET /nothing is no operation").await;
    check_message(Ask::form("Action=Nothing"), "sns", 400, "InvalidAction", "Nothing").await;
    check_message(Ask::form("Version=1"), "sns", 400, "InvalidAction", "Missing Action").await;
    check_message(Ask::form("Action=%ff"), "sns", 400, "InvalidParameter", "not a UTF-8 form").await;
    // A path that is not its own canonical form says something else than what was signed.
    check_message(get("/nothing/../things"), "iot", 404, "UnknownOperationException", "no operation").await;
    check_message(get("/things?maxResults=x"), "iot", 400, "InvalidRequestException", "maxResults").await;
    check_message(Ask::new("POST", "/things/t", b"{"), "iot", 400, "InvalidRequestException", "not JSON").await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let world = World::new();
    let at_bound = Ask::new("POST", "/things/t", &vec![b' '; 1024 * 1024]).signed("iot");
    check(&world.ask(&at_bound).await, 400, "InvalidRequestException");
    let mut over_bound = Ask::new("POST", "/things/t", b"").signed("iot");
    over_bound.headers.push(("content-length".to_owned(), "1048577".to_owned()));
    let head = String::from_utf8(over_bound.bytes()).unwrap().replace("content-length: 0\r\n", "");
    let mut stream = world.connect();
    tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes()).await.unwrap();
    check(&Answer::read(&mut stream).await, 413, "RequestEntityTooLargeException");
}

#[tokio::test]
async fn public_paths_need_no_signature() {
    let world = World::new();
    let get = async |path: &str| world.ask(&Ask::new("GET", path, b"")).await;
    for path in ["/", "/healthz", "/readyz", "/version"] {
        assert_eq!(get(path).await.status, 200, "{path}");
    }
    // The name is the SHA-256 of the certificate, `printf -- '-----BEGIN CERTIFICATE-----\n' | sha256sum`.
    let path = "/SimpleNotificationService-b93f51c3ac1bdd90edcce2019d2452a328cbf97443f3744cc7ec63033a5b2c16.pem";
    assert!(get(path).await.body.starts_with("-----BEGIN CERTIFICATE"));
    check(&get("/SimpleNotificationService-0.pem").await, 403, "MissingAuthenticationTokenException");
    world.store.break_medium();
    assert_eq!(get("/readyz").await.status, 503);
    assert_eq!(get("/healthz").await.status, 200);
    world.store.mend_medium();
    check(&world.ask(&Ask::new("POST", "/healthz", b"")).await, 403, "MissingAuthenticationTokenException");
}

/// The same over a socket, until the server is told to stop.
#[tokio::test]
async fn the_listener_serves_until_it_is_told_to_stop() {
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(Server::listen(world.server.clone(), listener));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let ask = Ask::new("GET", "/things", b"").signed("iot");
    assert_eq!(ask.send(&mut stream).await.status, 200);
    assert_eq!(ask.send(&mut stream).await.status, 200, "the connection stays");
    world.server.stop(Duration::from_secs(10)).await;
    serving.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
    assert_eq!(tokio::io::AsyncReadExt::read(&mut stream, &mut [0]).await.unwrap_or(0), 0, "the connection is closed");
}
