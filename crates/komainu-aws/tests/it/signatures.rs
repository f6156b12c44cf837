//! Signatures made by AWS's signer for Rust are accepted, and nothing else is.

use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4;
use komainu_aws::sigv4::{CLOCK_SKEW_S_MAX, Claim, SignatureError, SignedParts, Verified};

const KEY_ID: &str = "AKIDEXAMPLEEXAMPLE00";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const NOW_S: i64 = 1_700_000_000;

/// A request as it travels.
#[derive(Debug, Clone)]
struct Sent {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Sent {
    fn new(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut all = vec![("host".to_owned(), b"127.0.0.1:8080".to_vec())];
        all.extend(headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())));
        Self { method: method.into(), path: path.into(), query: query.into(), headers: all, body: body.into() }
    }

    /// Signs with AWS's signer.
    fn signed(mut self, service: &str, presigned_s: Option<u64>) -> Self {
        let identity = Credentials::new(KEY_ID, SECRET, None, None, "test").into();
        let mut settings = SigningSettings::default();
        if let Some(seconds) = presigned_s {
            settings.signature_location = SignatureLocation::QueryParams;
            settings.expires_in = Some(Duration::from_secs(seconds));
        }
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region("eu-west-1")
            .name(service)
            .time(UNIX_EPOCH + Duration::from_secs(NOW_S as u64))
            .settings(settings)
            .build()
            .unwrap()
            .into();
        let host = self.header("host");
        let uri = format!("http://{host}{}?{}", self.path, self.query);
        let uri = uri.trim_end_matches('?');
        let headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (name.as_str(), std::str::from_utf8(value).unwrap())).collect();
        let request =
            SignableRequest::new(&self.method, uri, headers.into_iter(), SignableBody::Bytes(&self.body)).unwrap();
        let (instructions, _) = sign(request, &params).unwrap().into_parts();
        let added: Vec<_> =
            instructions.headers().map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).collect();
        self.headers.extend(added);
        for (name, value) in instructions.params() {
            let value = percent_encoding::percent_encode(value.as_bytes(), percent_encoding::NON_ALPHANUMERIC);
            let separator = if self.query.is_empty() { "" } else { "&" };
            self.query += &format!("{separator}{name}={value}");
        }
        self
    }

    fn header(&self, name: &str) -> String {
        let (_, value) = self.headers.iter().find(|(header, _)| header == name).unwrap();
        String::from_utf8(value.clone()).unwrap()
    }

    fn set_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.retain(|(header, _)| header != name);
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    fn without_header(mut self, name: &str) -> Self {
        self.headers.retain(|(header, _)| header != name);
        self
    }

    fn verify_at(&self, secret: &str, now_s: i64) -> Result<(Claim, Verified), SignatureError> {
        let headers: Vec<(&str, &[u8])> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        let parts = SignedParts {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers: &headers,
            body: &self.body,
        };
        let claim = Claim::parse(&parts)?;
        let verified = claim.verify(&parts, secret, now_s)?;
        Ok((claim, verified))
    }

    fn verify(&self) -> Result<(Claim, Verified), SignatureError> {
        self.verify_at(SECRET, NOW_S)
    }
}

fn samples() -> Vec<Sent> {
    let text = [("content-type", "application/json")];
    [
        Sent::new("GET", "/things", &[], b""),
        Sent::new("GET", "/", &[], b""),
        Sent::new("POST", "/things/a%3Ab", &text, br#"{"attributePayload":{}}"#),
        Sent::new("POST", "/attached-policies/arn%3Aaws%3Aiot%3Aeu-west-1%3A123456789012%3Acert%2Fabc", &[], b""),
        Sent::new("POST", "/topics/rogue%2Fagent?qos=1", &[], b"\xff\x00binary"),
        Sent::new("GET", "/violation-events?startTime=2019-06-05T15%3A05%3A25Z&endTime=x%20y&a=&b=%2B&a=1", &[], b""),
        Sent::new("PUT", "/things/t/principals", &[("x-amzn-principal", "  arn:aws:iot:x   y ")], b""),
        Sent::new(
            "POST",
            "/",
            &[("content-type", "application/x-www-form-urlencoded; charset=utf-8")],
            b"Action=Publish",
        ),
        Sent::new("GET", "/policies/a.b~c_d-e@f,g=h+i", &[], b""),
    ]
    .into()
}

#[test]
fn signatures_of_awss_signer_are_right() {
    for sample in samples() {
        let signed = sample.clone().signed("iot", None);
        let (claim, verified) = signed.verify().unwrap_or_else(|error| panic!("{error}: {signed:?}"));
        assert_eq!(
            (claim.key_id.as_str(), claim.region.as_str(), claim.service.as_str()),
            (KEY_ID, "eu-west-1", "iot")
        );
        assert!(!verified.is_presigned && verified.signed_headers.contains(&"host".to_owned()));

        let presigned = sample.signed("iotdevicegateway", Some(3600));
        let (claim, verified) = presigned.verify().unwrap_or_else(|error| panic!("{error}: {presigned:?}"));
        assert!(verified.is_presigned && claim.service == "iotdevicegateway");
    }
}

#[test]
fn any_change_breaks_the_signature() {
    for presigned_s in [None, Some(600)] {
        for sample in samples() {
            let signed = sample.signed("iot", presigned_s);
            let mismatch = |what: &str, changed: &Sent| {
                assert_eq!(changed.verify().err(), Some(SignatureError::Mismatch), "{what}: {changed:?}");
            };
            mismatch("method", &Sent { method: "DELETE".into(), ..signed.clone() });
            mismatch("path", &Sent { path: format!("{}x", signed.path), ..signed.clone() });
            mismatch("path encoding", &Sent { path: format!("{}%41", signed.path), ..signed.clone() });
            mismatch("query", &Sent { query: format!("{}&more=1", signed.query), ..signed.clone() });
            mismatch("host", &signed.clone().set_header("host", "other:8080"));
            mismatch("body", &Sent { body: [&signed.body[..], b"x"].concat(), ..signed.clone() });
            assert_eq!(signed.verify_at("another secret of that kind", NOW_S).err(), Some(SignatureError::Mismatch));
        }
    }
}

#[test]
fn headers_that_operations_read_must_be_signed() {
    let signed = Sent::new("PUT", "/things/t/principals", &[], b"").signed("iot", None);
    let changed = signed.clone().set_header("x-amzn-principal", "arn:other");
    assert_eq!(changed.verify().err(), Some(SignatureError::NotSigned("x-amzn-principal".into())));
    assert!(signed.clone().set_header("x-amzn-trace-id", "added by a proxy").verify().is_ok());
    assert!(signed.clone().set_header("user-agent", "anything").verify().is_ok());
    let session = signed.set_header("x-amz-security-token", "t");
    assert_eq!(session.verify().err(), Some(SignatureError::SessionToken));
}

#[test]
fn time_is_bounded_on_both_sides() {
    let signed = Sent::new("GET", "/things", &[], b"").signed("iot", None);
    for offset_s in [-CLOCK_SKEW_S_MAX, 0, CLOCK_SKEW_S_MAX] {
        assert!(signed.verify_at(SECRET, NOW_S + offset_s).is_ok());
    }
    let message = |request: &Sent, now_s: i64| request.verify_at(SECRET, now_s).unwrap_err().to_string();
    let expected =
        "Signature expired: 20231114T221320Z is now earlier than 20231114T221321Z (20231114T221821Z - 300 s.)";
    assert_eq!(message(&signed, NOW_S + 301), expected);
    assert!(message(&signed, NOW_S - 301).starts_with("Signature not yet current: 20231114T221320Z"));

    let presigned = Sent::new("GET", "/mqtt", &[], b"").signed("iotdevicegateway", Some(3600));
    assert!(presigned.verify_at(SECRET, NOW_S + 3600).is_ok());
    assert!(message(&presigned, NOW_S + 3601).starts_with("Signature expired"));
    assert!(message(&presigned, NOW_S - 301).starts_with("Signature not yet current"));
    assert!(presigned.verify_at(SECRET, i64::MAX).is_err() && signed.verify_at(SECRET, i64::MIN).is_err());
}

#[test]
fn presigned_hosts_may_or_may_not_have_their_port() {
    let presigned =
        |host: &str| Sent::new("GET", "/mqtt", &[], b"").set_header("host", host).signed("iotdevicegateway", Some(60));
    assert!(presigned("iot.example").set_header("host", "iot.example:8443").verify().is_ok());
    assert!(presigned("iot.example:443").set_header("host", "iot.example").verify().is_ok());
    assert!(presigned("iot.example").set_header("host", "other.example").verify().is_err());
    let in_header = Sent::new("GET", "/things", &[], b"").set_header("host", "iot.example").signed("iot", None);
    assert!(in_header.set_header("host", "iot.example:8443").verify().is_err());
}

#[test]
fn the_payload_hash_is_ours() {
    let signed = Sent::new("POST", "/things/t", &[], b"{}").signed("iot", None);
    let hash = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    let with_hash = |hash: &str, body: &[u8]| {
        Sent::new("POST", "/things/t", &[("x-amz-content-sha256", hash)], body).signed("iot", None).verify().err()
    };
    assert_eq!(with_hash(hash, b"{}"), None);
    assert_eq!(with_hash(hash, b"{ }"), Some(SignatureError::Mismatch));
    assert_eq!(with_hash("UNSIGNED-PAYLOAD", b"{}"), Some(SignatureError::Mismatch));
    let added = signed.set_header("x-amz-content-sha256", hash);
    assert_eq!(added.verify().err(), Some(SignatureError::NotSigned("x-amz-content-sha256".into())));
}

#[test]
fn what_is_missing_or_malformed_is_named() {
    let signed = Sent::new("GET", "/things", &[], b"").signed("iot", None);
    let authorization = signed.header("authorization");
    let check = |from: &str, to: &str, expected: &str| {
        assert!(authorization.contains(from), "{authorization}");
        let error = signed.clone().set_header("authorization", authorization.replace(from, to)).verify().unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(matches!(error, SignatureError::Incomplete(_)));
    };
    assert_eq!(signed.clone().without_header("authorization").verify().err(), Some(SignatureError::Missing));
    check("AWS4-HMAC-SHA256", "Basic", "Unsupported AWS 'algorithm': \"Basic\". Only AWS4-HMAC-SHA256 is known.");
    check("Credential=", "Cred=", "\"Cred\" is not a parameter of the Authorization header.");
    check("Signature=", "Signature", &{
        let (_, digits) = authorization.split_once("Signature=").unwrap();
        format!("\"Signature{digits}\" is not a key=value pair in Authorization header.")
    });
    check("/iot/", "/iot/x/", "Credential must have the form KEY/DATE/REGION/SERVICE/aws4_request.");
    check(
        "/20231114/",
        "/20231115/",
        "Date in Credential scope does not match YYYYMMDD from the request's date: \"20231115\".",
    );
    check("host;x-amz-date", "x-amz-date;host", "SignedHeaders must be names in lower case, sorted, each once.");
    check("host;", "host;range;", "Signed header \"range\" is not in the request.");
    let error = signed.clone().without_header("x-amz-date").verify().unwrap_err();
    assert_eq!(error.to_string(), "Authorization requires 'X-Amz-Date' parameter.");
    let twice = Sent { headers: [&signed.headers[..], &signed.headers[..]].concat(), ..signed.clone() };
    assert_eq!(twice.verify().unwrap_err().to_string(), "Authorization header is given twice.");
    let error = signed.set_header("authorization", b"AWS4-HMAC-SHA256 \xff").verify().unwrap_err();
    assert_eq!(error.to_string(), "Authorization header is not text.");

    let presigned = Sent::new("GET", "/mqtt", &[], b"").signed("iotdevicegateway", Some(60));
    let check = |from: &str, to: &str, expected: &str| {
        assert!(presigned.query.contains(from), "{}", presigned.query);
        let changed = Sent { query: presigned.query.replace(from, to), ..presigned.clone() };
        assert_eq!(changed.verify().unwrap_err().to_string(), expected);
    };
    check("X-Amz-Expires=60", "X-Amz-Expires=604801", "X-Amz-Expires must be a number from 1 to 604800.");
    check("X-Amz-Expires=60", "X-Amz-Expires=-1", "X-Amz-Expires must be a number from 1 to 604800.");
    check("X-Amz-Expires=60", "X-Amz-Expires=60&X-Amz-Expires=60", "X-Amz-Expires is given twice.");
    check("X-Amz-Signature=", "X-Amz-Security-Token=", "The security token included in the request is invalid.");
}
