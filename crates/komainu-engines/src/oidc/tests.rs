//! A provider on this machine that makes each mistake once.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::*;

const NOW: Timestamp = Timestamp::from_unix_seconds(1_700_000_000);

/// A key with a name.
struct Signer {
    id: &'static str,
    pair: EcdsaKeyPair,
}

impl Signer {
    fn new(id: &'static str) -> Self {
        Self { id, pair: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap() }
    }

    fn jwk(&self) -> Value {
        // The point without compression: 4, x, y (SEC 1, section 2.3.3).
        let point = self.pair.public_key().as_ref();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
        json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.id, "x": x, "y": y })
    }

    fn token(&self, header: &Value, claims: &Value) -> String {
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn header(id: &str) -> Value {
    json!({ "alg": "ES256", "kid": id })
}

fn claims(issuer: &str) -> Value {
    json!({
        "iss": issuer, "aud": "komainu", "sub": "7", "nonce": "n", "iat": 1_700_000_000, "exp": 1_700_000_300,
        "preferred_username": "mei", "groups": ["ops"],
    })
}

/// What is answered under each path: status and body.
type Answers = Arc<Mutex<HashMap<String, (u16, String)>>>;

/// Answers HTTP on this machine, one connection after the other; what was asked is kept.
struct Provider {
    issuer: String,
    answers: Answers,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Provider {
    fn start(signer: &Signer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let issuer = format!("http://{}/realm", listener.local_addr().unwrap());
        let (answers, asked) = (Answers::default(), Arc::new(Mutex::new(Vec::new())));
        let provider = Self { issuer: issuer.clone(), answers: answers.clone(), asked: asked.clone() };
        provider.says(
            "/realm/.well-known/openid-configuration",
            json!({
                "issuer": issuer,
                "authorization_endpoint": format!("{issuer}/authorize"),
                "token_endpoint": format!("{issuer}/token"),
                "jwks_uri": format!("{issuer}/keys"),
                "userinfo_endpoint": format!("{issuer}/userinfo"),
                "end_session_endpoint": format!("{issuer}/out"),
            }),
        );
        provider.says("/realm/keys", json!({ "keys": [signer.jwk(), { "kty": "strange" }] }));
        provider.grants(&signer.token(&header(signer.id), &claims(&issuer)));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let request = request(&mut stream);
                let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                asked.lock().push(request);
                let (status, body) = answers.lock().get(&path).cloned().unwrap_or((404, String::new()));
                let head = format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nLocation: /elsewhere\r\n");
                let length = body.len();
                let _ = write!(stream, "{head}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}");
            }
        });
        provider
    }

    fn says(&self, path: &str, json: Value) {
        self.answers.lock().insert(path.to_owned(), (200, json.to_string()));
    }

    fn fails(&self, path: &str, status: u16, body: &str) {
        self.answers.lock().insert(path.to_owned(), (status, body.to_owned()));
    }

    fn grants(&self, token: &str) {
        self.says("/realm/token", json!({ "id_token": token, "access_token": "access" }));
    }

    fn asked(&self, path: &str) -> usize {
        self.asked.lock().iter().filter(|request| request.split(' ').nth(1) == Some(path)).count()
    }
}

/// A request with its body.
fn request(stream: &mut impl Read) -> String {
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut piece).unwrap_or(0);
        bytes.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            if count == 0 {
                return text.into_owned();
            }
            continue;
        };
        let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if count == 0 || body.len() >= length.unwrap_or(0) {
            return text.into_owned();
        }
    }
}

/// We, with a secret, and a runtime that must live as long.
fn us(provider: &Provider) -> (Runtime, OidcProvider, tempfile::TempDir) {
    let runtime = Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "s:e+cret\n").unwrap();
    let entered = runtime.enter();
    let us = OidcProvider::new(OidcConfig {
        issuer: provider.issuer.clone(),
        client_id: "komainu".to_owned(),
        client_secret_file: Some(secret),
        scopes: vec!["openid".to_owned(), "email".to_owned()],
        username_claim: "preferred_username".to_owned(),
        roles_claim: "groups".to_owned(),
        ca_file: None,
    });
    drop(entered);
    (runtime, us.unwrap(), folder)
}

fn answer(code: &str) -> CodeAnswer {
    let text = |text: &str| text.to_owned();
    CodeAnswer { code: text(code), nonce: text("n"), verifier: text("v"), back_to: text("http://here/back") }
}

#[test]
fn a_browser_is_sent_and_comes_back() {
    let signer = Signer::new("a");
    let provider = Provider::start(&signer);
    let (_runtime, us, _folder) = us(&provider);
    assert_eq!(us.sign_out_address("http://here"), None, "nothing is known yet");
    let text = |text: &str| text.to_owned();
    // Of RFC 7636, appendix B.
    let verifier = text("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    let request = SignInRequest { state: text("s"), nonce: text("n"), verifier, back_to: text("http://h/b") };
    let expected = format!(
        "{}/authorize?response_type=code&client_id=komainu&redirect_uri=http%3A%2F%2Fh%2Fb&scope=openid%20email\
         &state=s&nonce=n&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw%2DcM&code_challenge_method=S256",
        provider.issuer
    );
    assert_eq!(us.address(&request, NOW).unwrap(), expected);
    let vouched = us.redeem(&answer("a+code"), NOW).unwrap();
    assert_eq!((vouched.identity.issuer.as_str(), vouched.identity.subject.as_str()), (&*provider.issuer, "7"));
    assert_eq!((vouched.name.as_deref(), vouched.values.as_slice()), (Some("mei"), &["ops".to_owned()][..]));
    let asked = provider.asked.lock().iter().find(|request| request.starts_with("POST ")).unwrap().clone();
    assert!(asked.contains("code=a%2Bcode") && asked.contains("code_verifier=v"), "{asked}");
    // Base64 of `komainu:s%3Ae%2Bcret`.
    assert!(
        asked.to_lowercase().contains(&"authorization: basic a29tYWludTpzJTNBZSUyQmNyZXQ=".to_lowercase()),
        "{asked}"
    );
    assert!(!asked.contains("client_secret"), "{asked}");
    // What it says of itself and its keys are known for a while.
    us.redeem(&answer("b"), NOW.plus(Duration::from_secs(200))).unwrap();
    assert_eq!((provider.asked("/realm/keys"), provider.asked("/realm/.well-known/openid-configuration")), (1, 1));
    let out = format!("{}/out?client_id=komainu&post_logout_redirect_uri=http%3A%2F%2Fhere", provider.issuer);
    assert_eq!(us.sign_out_address("http://here"), Some(out));
    assert_eq!(provider.asked("/realm/userinfo"), 0, "the token says it all");
}

#[test]
fn each_mistake_is_found() {
    let (signer, other) = (Signer::new("a"), Signer::new("a"));
    let provider = Provider::start(&signer);
    let (_runtime, us, _folder) = us(&provider);
    let of = |change: &dyn Fn(&mut Value)| {
        let mut claims = claims(&provider.issuer);
        change(&mut claims);
        signer.token(&header("a"), &claims)
    };
    let check = |token: &str, expected: TokenFault| {
        provider.grants(token);
        let error = us.redeem(&answer("c"), NOW).unwrap_err();
        assert!(matches!(error, ProviderError::Token(fault) if fault == expected), "{expected:?}: {error:?}");
    };
    check(&of(&|claims| claims["iss"] = "https://other.example".into()), TokenFault::Issuer);
    check(&of(&|claims| claims["aud"] = "other".into()), TokenFault::Audience);
    check(&of(&|claims| claims["azp"] = "other".into()), TokenFault::Party);
    check(&of(&|claims| claims["exp"] = 1_600_000_000.into()), TokenFault::Time);
    check(&of(&|claims| claims["nonce"] = "m".into()), TokenFault::Nonce);
    check(&of(&|claims| claims["sub"] = Value::Null), TokenFault::Malformed);
    check(&other.token(&header("a"), &claims(&provider.issuer)), TokenFault::Signature);
    check(&signer.token(&header("b"), &claims(&provider.issuer)), TokenFault::Key);
    check(&signer.token(&json!({ "alg": "none" }), &claims(&provider.issuer)), TokenFault::Algorithm);
    check(&signer.token(&json!({ "alg": "HS256", "kid": "a" }), &claims(&provider.issuer)), TokenFault::Algorithm);
    check(&signer.token(&json!({ "alg": "RS256", "kid": "a" }), &claims(&provider.issuer)), TokenFault::Key);
    let good = of(&|_| ());
    check(&format!("{}.", good.rsplit_once('.').unwrap().0), TokenFault::Signature);
    check(&good[..good.len() - 8], TokenFault::Signature);
    check("", TokenFault::Malformed);
    check("a.b.c", TokenFault::Malformed);
    check(&"a".repeat(200_000), TokenFault::Malformed);
    let tampered = good.replacen('.', ".e30", 1);
    check(&tampered, TokenFault::Signature);
    provider.grants(&good);
    us.redeem(&answer("c"), NOW).unwrap();
}

#[test]
fn a_secret_of_both_signs_nothing() {
    // The provider's public key, used as a secret: what a confused verifier takes.
    let signer = Signer::new("a");
    let keys =
        Keys::read(json!({ "keys": [signer.jwk(), { "kty": "oct", "kid": "b", "k": "AAAA" }] }).to_string().as_bytes());
    let key = jsonwebtoken::EncodingKey::from_secret(&[0, 0, 0]);
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    header.kid = Some("b".to_owned());
    let token = jsonwebtoken::encode(&header, &claims("https://id.example"), &key).unwrap();
    assert_eq!(keys.unwrap().verified(&token).unwrap_err(), TokenFault::Algorithm);
}

#[test]
fn a_new_key_is_looked_for_and_not_too_often() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let provider = Provider::start(&old);
    let (_runtime, us, _folder) = us(&provider);
    us.redeem(&answer("c"), NOW).unwrap();
    let claims = claims(&provider.issuer);
    provider.grants(&new.token(&header("new"), &claims));
    let at = |seconds| us.redeem(&answer("c"), NOW.plus(Duration::from_secs(seconds)));
    assert!(at(10).is_err() && at(20).is_err());
    assert_eq!(provider.asked("/realm/keys"), 1);
    provider.says("/realm/keys", json!({ "keys": [old.jwk(), new.jwk()] }));
    at(31).unwrap();
    assert_eq!(provider.asked("/realm/keys"), 2);
}

#[test]
fn what_is_beside_the_token_counts_for_the_same_person() {
    let signer = Signer::new("a");
    let provider = Provider::start(&signer);
    let (_runtime, us, _folder) = us(&provider);
    let mut short = claims(&provider.issuer);
    short.as_object_mut().unwrap().remove("groups");
    provider.grants(&signer.token(&header("a"), &short));
    assert_eq!(us.redeem(&answer("c"), NOW).unwrap_err().word(), "provider-unavailable", "it does not answer there");
    provider.says("/realm/userinfo", json!({ "sub": "7" }));
    assert_eq!(us.redeem(&answer("c"), NOW).unwrap().values, [""; 0], "it says nothing of groups");
    provider.says("/realm/userinfo", json!({ "sub": "7", "preferred_username": "other", "groups": ["staff"] }));
    let vouched = us.redeem(&answer("c"), NOW).unwrap();
    assert_eq!((vouched.name.as_deref(), vouched.values.as_slice()), (Some("mei"), &["staff".to_owned()][..]));
    provider.says("/realm/userinfo", json!({ "sub": "8", "groups": ["ops"] }));
    assert!(matches!(us.redeem(&answer("c"), NOW), Err(ProviderError::Token(TokenFault::Subject))));
}

#[test]
fn a_provider_that_is_not_well_is_no_surprise() {
    let signer = Signer::new("a");
    let provider = Provider::start(&signer);
    let (_runtime, us, _folder) = us(&provider);
    let check = |path: &str, status: u16, body: &str, expected: &str| {
        let before = provider.answers.lock().clone();
        provider.fails(path, status, body);
        us.known.lock().metadata = None;
        us.known.lock().keys = None;
        let error = us.redeem(&answer("c"), NOW).unwrap_err();
        assert_eq!(error.word(), expected, "{path} {status}: {error:?}");
        *provider.answers.lock() = before;
    };
    let metadata = "/realm/.well-known/openid-configuration";
    check(metadata, 500, "", "provider-unavailable");
    // A redirect is not followed.
    check(metadata, 302, "", "provider-unavailable");
    check(metadata, 200, "<html>", "provider-misfit");
    check(metadata, 200, "{\"issuer\": \"https://evil.example\"}", "provider-misfit");
    check(metadata, 200, &"a".repeat(ANSWER_BYTES_MAX + 1), "provider-unavailable");
    check("/realm/token", 400, "{\"error\": \"invalid_grant\"}", "code-refused");
    check("/realm/token", 401, "{\"error\": \"invalid_client\"}", "provider-misfit");
    check("/realm/token", 400, "no JSON", "provider-misfit");
    check("/realm/token", 503, "", "provider-unavailable");
    check("/realm/token", 307, "", "provider-unavailable");
    check("/realm/token", 200, "[]", "provider-unavailable");
    check("/realm/token", 200, "{}", "token-malformed");
    check("/realm/keys", 200, "{}", "provider-unavailable");
    check("/realm/keys", 200, "{\"keys\": [{\"kty\": \"EC\"}, 7]}", "token-key");
    assert_eq!(provider.asked("/elsewhere"), 0);
    assert_eq!(us.redeem(&answer(""), NOW).unwrap_err().word(), "code-refused");
    us.known.lock().keys = None;
    us.redeem(&answer("c"), NOW).unwrap();
}

#[test]
fn an_issuer_must_be_said_where_it_is_announced() {
    let signer = Signer::new("a");
    let provider = Provider::start(&signer);
    let (_runtime, us, _folder) = us(&provider);
    us.check_issuer(Some(&provider.issuer), NOW).unwrap();
    us.check_issuer(None, NOW).unwrap();
    assert!(us.check_issuer(Some("https://evil.example"), NOW).is_err());
    let path = "/realm/.well-known/openid-configuration";
    let mut document: Value = serde_json::from_str(&provider.answers.lock()[path].1).unwrap();
    document["authorization_response_iss_parameter_supported"] = true.into();
    provider.says(path, document);
    us.known.lock().metadata = None;
    assert!(us.check_issuer(None, NOW).is_err());
    us.check_issuer(Some(&provider.issuer), NOW).unwrap();
}

#[test]
fn an_issuer_is_an_address_that_nobody_reads_along() {
    let check = |issuer: &str, is_one: bool| assert_eq!(check_issuer(issuer).is_ok(), is_one, "{issuer}");
    check("https://id.example/realms/komainu", true);
    check("http://127.0.0.1:8080", true);
    check("http://[::1]:8080", true);
    check("http://localhost/a", true);
    check("http://id.example", false);
    check("ftp://id.example", false);
    check("id.example", false);
    check("https://a:b@id.example", false);
    check("https://id.example?a=b", false);
    check("https://id.example#a", false);
    check(&format!("https://id.example/{}", "a".repeat(512)), false);
}
