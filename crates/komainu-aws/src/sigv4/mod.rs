//! Verification of AWS Signature Version 4.
//!
//! [`Claim::parse`] reads who a request says it comes from; the caller finds that key's secret; [`Claim::verify`]
//! computes the signature over what arrived and compares. What is verified is what is used: the raw path, the raw
//! query string and exactly the headers that were signed.
//!
//! Form: AWS General Reference, "Create a signed AWS API request". Two points where AWS leaves room are decided here:
//! every `x-amz…` header must be signed, because operations read them, and an unsigned payload is accepted only in
//! presigned requests without a body.

mod canonical;
mod replay;
mod time;

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;

use crate::http::decode_component;
pub use replay::{REPLAY_GRACE_S, ReplayGuard};
use time::{AmzDate, display};

/// A signature's time may differ from ours by this much, in seconds; AWS's bound for these services.
pub const CLOCK_SKEW_S_MAX: i64 = 300;

/// A presigned request may be good for this long, in seconds: seven days, AWS's bound.
pub const PRESIGNED_S_MAX: i64 = 604_800;

/// At most so many signed headers; more than any client sends.
const SIGNED_HEADERS_MAX: usize = 64;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// A request as it arrived.
#[derive(Debug, Clone, Copy)]
pub struct SignedParts<'a> {
    /// The method.
    pub method: &'a str,
    /// The path, percent-encoded as it came.
    pub path: &'a str,
    /// The query string without `?`, percent-encoded as it came.
    pub query: &'a str,
    /// The headers: names in lower case, values as they came.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// The body.
    pub body: &'a [u8],
}

/// Who a request says it comes from. Nothing of it is proven before [`Claim::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The access key's id.
    pub key_id: String,
    /// The region of the credential scope.
    pub region: String,
    /// The service of the credential scope, as it is spelled there.
    pub service: String,
    signed_headers: Vec<String>,
    signature: [u8; 32],
    date: AmzDate,
    /// For how long the request is good, when it is presigned.
    presigned_s: Option<i64>,
}

/// A signature that was right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The signature, to remember it by.
    pub signature: [u8; 32],
    /// The request is presigned: made to be sent more than once until it expires.
    pub is_presigned: bool,
    /// The names of the headers that were signed.
    pub signed_headers: Vec<String>,
}

/// Why a signature is not accepted. Displays as AWS's messages do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignatureError {
    /// The request is not signed at all.
    Missing,
    /// Parts of the signature are missing or have the wrong form.
    Incomplete(String),
    /// The request carries a session token; Komainu gives none out.
    SessionToken,
    /// The time of the signature is too far from ours, or the presigned request is over.
    Time(String),
    /// The signature was made with another secret, or over another request.
    Mismatch,
    /// Something that must be signed is not.
    NotSigned(String),
}

impl fmt::Display for SignatureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("Missing Authentication Token"),
            Self::Incomplete(what) | Self::Time(what) => f.write_str(what),
            Self::SessionToken => f.write_str("The security token included in the request is invalid."),
            Self::Mismatch => f.write_str(
                "The request signature we calculated does not match the signature you provided. Check your AWS \
                 Secret Access Key and signing method. Consult the service documentation for details.",
            ),
            Self::NotSigned(header) => write!(f, "Header {header:?} must be a signed header in the request."),
        }
    }
}

impl std::error::Error for SignatureError {}

fn incomplete<T>(what: impl Into<String>) -> Result<T, SignatureError> {
    Err(SignatureError::Incomplete(what.into()))
}

impl Claim {
    /// Reads the claim from the `Authorization` header, or from the query string of a presigned request.
    pub fn parse(request: &SignedParts<'_>) -> Result<Self, SignatureError> {
        let mut authorizations = request.headers.iter().filter(|(name, _)| *name == "authorization");
        let claim = match (authorizations.next(), authorizations.next()) {
            (None, _) => Self::parse_presigned(request)?,
            (Some((_, value)), None) => Self::parse_header(value, request)?,
            (Some(_), Some(_)) => return incomplete("Authorization header is given twice."),
        };
        claim.check_signed_headers(request)?;
        Ok(claim)
    }

    /// Checks the time and the signature. `now_s` is in seconds since the Unix epoch.
    pub fn verify(&self, request: &SignedParts<'_>, secret: &str, now_s: i64) -> Result<Verified, SignatureError> {
        self.check_time(now_s)?;
        let payload = self.payload_hash(request)?;
        let key = self.signing_key(secret);
        let is_right = canonical::requests(request, &self.signed_headers, &payload, self.presigned_s.is_some())
            .into_iter()
            .any(|canonical| {
                let text = self.string_to_sign(&canonical);
                let expected = hmac::sign(&key, text.as_bytes());
                verify_slices_are_equal(expected.as_ref(), &self.signature).is_ok()
            });
        if !is_right {
            return Err(SignatureError::Mismatch);
        }
        Ok(Verified {
            signature: self.signature,
            is_presigned: self.presigned_s.is_some(),
            signed_headers: self.signed_headers.clone(),
        })
    }

    fn parse_header(value: &[u8], request: &SignedParts<'_>) -> Result<Self, SignatureError> {
        let Ok(value) = std::str::from_utf8(value) else { return incomplete("Authorization header is not text.") };
        let (algorithm, parameters) = value.split_once(' ').unwrap_or((value, ""));
        if algorithm != ALGORITHM {
            return incomplete(format!("Unsupported AWS 'algorithm': {algorithm:?}. Only {ALGORITHM} is known."));
        }
        let mut parts = Parameters::default();
        for parameter in parameters.split(',').map(str::trim).filter(|parameter| !parameter.is_empty()) {
            let Some((name, value)) = parameter.split_once('=') else {
                return incomplete(format!("{parameter:?} is not a key=value pair in Authorization header."));
            };
            match name {
                "Credential" => parts.credential = Some(value.to_owned()),
                "SignedHeaders" => parts.signed_headers = Some(value.to_owned()),
                "Signature" => parts.signature = Some(value.to_owned()),
                _ => return incomplete(format!("{name:?} is not a parameter of the Authorization header.")),
            }
        }
        let mut dates = request.headers.iter().filter(|(name, _)| *name == "x-amz-date");
        parts.date = dates.next().map(|(_, value)| String::from_utf8_lossy(value).into_owned());
        if dates.next().is_some() {
            return incomplete("X-Amz-Date header is given twice.");
        }
        if request.headers.iter().any(|(name, _)| *name == "x-amz-security-token") {
            return Err(SignatureError::SessionToken);
        }
        Self::from_parameters(parts, None)
    }

    fn parse_presigned(request: &SignedParts<'_>) -> Result<Self, SignatureError> {
        let mut parts = Parameters::default();
        let (mut algorithm, mut expires) = (None, None);
        for pair in request.query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let slot = match name {
                "X-Amz-Algorithm" => &mut algorithm,
                "X-Amz-Credential" => &mut parts.credential,
                "X-Amz-Date" => &mut parts.date,
                "X-Amz-Expires" => &mut expires,
                "X-Amz-SignedHeaders" => &mut parts.signed_headers,
                "X-Amz-Signature" => &mut parts.signature,
                "X-Amz-Security-Token" => return Err(SignatureError::SessionToken),
                _ => continue,
            };
            let Some(value) = decode_component(value) else { return incomplete(format!("{name} is not UTF-8.")) };
            if slot.replace(value).is_some() {
                return incomplete(format!("{name} is given twice."));
            }
        }
        match algorithm.as_deref() {
            None => return Err(SignatureError::Missing),
            Some(ALGORITHM) => {}
            Some(other) => {
                return incomplete(format!("Unsupported AWS 'algorithm': {other:?}. Only {ALGORITHM} is known."));
            }
        }
        // AWS IoT's own examples leave the parameter out; the request is then good for as long as one with a header.
        let expires_s = match expires {
            None => CLOCK_SKEW_S_MAX,
            Some(text) => match text.parse::<i64>() {
                Ok(seconds @ 1..=PRESIGNED_S_MAX) => seconds,
                _ => return incomplete(format!("X-Amz-Expires must be a number from 1 to {PRESIGNED_S_MAX}.")),
            },
        };
        Self::from_parameters(parts, Some(expires_s))
    }

    fn from_parameters(parts: Parameters, presigned_s: Option<i64>) -> Result<Self, SignatureError> {
        let require = |part: Option<String>, name: &str| {
            part.filter(|text| !text.is_empty())
                .ok_or_else(|| SignatureError::Incomplete(format!("Authorization requires '{name}' parameter.")))
        };
        let credential = require(parts.credential, "Credential")?;
        let signed_headers = require(parts.signed_headers, "SignedHeaders")?;
        let signature = require(parts.signature, "Signature")?;
        let date = require(parts.date, "X-Amz-Date")?;

        let mut digits = [0; 32];
        if hex::decode_to_slice(&signature, &mut digits).is_err() {
            return incomplete("Signature must be 64 hexadecimal digits.");
        }
        let Some(date) = AmzDate::parse(&date) else {
            return incomplete(format!("Date must be in ISO-8601 'basic format'. Got {date:?}."));
        };
        let scope: Vec<&str> = credential.split('/').collect();
        let [key_id, day, region, service, "aws4_request"] = scope[..] else {
            return incomplete("Credential must have the form KEY/DATE/REGION/SERVICE/aws4_request.");
        };
        if day != date.day() {
            return incomplete(format!(
                "Date in Credential scope does not match YYYYMMDD from the request's date: {day:?}."
            ));
        }
        let signed_headers: Vec<String> = signed_headers.split(';').map(str::to_owned).collect();
        let is_list =
            signed_headers.iter().all(|name| !name.is_empty() && !name.bytes().any(|b| b.is_ascii_uppercase()))
                && signed_headers.is_sorted_by(|one, next| one < next);
        if !is_list || signed_headers.len() > SIGNED_HEADERS_MAX {
            return incomplete("SignedHeaders must be names in lower case, sorted, each once.");
        }
        Ok(Self {
            key_id: key_id.to_owned(),
            region: region.to_owned(),
            service: service.to_owned(),
            signed_headers,
            signature: digits,
            date,
            presigned_s,
        })
    }

    /// What an operation may read must be signed: the host and every `x-amz…` header. Proxies add a trace id.
    fn check_signed_headers(&self, request: &SignedParts<'_>) -> Result<(), SignatureError> {
        let must = request
            .headers
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| *name == "host" || (name.starts_with("x-amz") && *name != "x-amzn-trace-id"));
        for name in must.chain(["host"]) {
            if !self.signed_headers.iter().any(|signed| signed == name) {
                return Err(SignatureError::NotSigned(name.to_owned()));
            }
        }
        for name in &self.signed_headers {
            if !request.headers.iter().any(|(header, _)| header == name) {
                return incomplete(format!("Signed header {name:?} is not in the request."));
            }
        }
        Ok(())
    }

    fn check_time(&self, now_s: i64) -> Result<(), SignatureError> {
        let signed_s = self.date.unix_s();
        let good_s = self.presigned_s.unwrap_or(CLOCK_SKEW_S_MAX);
        if signed_s.saturating_add(good_s) < now_s {
            let (signed, now) = (display(signed_s), display(now_s));
            let earliest = display(now_s - good_s);
            return Err(SignatureError::Time(format!(
                "Signature expired: {signed} is now earlier than {earliest} ({now} - {good_s} s.)"
            )));
        }
        if signed_s > now_s.saturating_add(CLOCK_SKEW_S_MAX) {
            let (signed, now) = (display(signed_s), display(now_s));
            let latest = display(now_s + CLOCK_SKEW_S_MAX);
            return Err(SignatureError::Time(format!(
                "Signature not yet current: {signed} is still later than {latest} ({now} + {CLOCK_SKEW_S_MAX} s.)"
            )));
        }
        Ok(())
    }

    /// What stands for the body in the canonical request.
    fn payload_hash(&self, request: &SignedParts<'_>) -> Result<String, SignatureError> {
        let hash = if request.body.is_empty() {
            EMPTY_SHA256.to_owned()
        } else {
            hex::encode(digest(&SHA256, request.body).as_ref())
        };
        let given = request.headers.iter().find(|(name, _)| *name == "x-amz-content-sha256").map(|(_, value)| *value);
        match given {
            None => Ok(hash),
            Some(value) if value == hash.as_bytes() => Ok(hash),
            Some(value)
                if value == UNSIGNED_PAYLOAD.as_bytes() && self.presigned_s.is_some() && request.body.is_empty() =>
            {
                Ok(UNSIGNED_PAYLOAD.to_owned())
            }
            Some(_) => Err(SignatureError::Mismatch),
        }
    }

    fn signing_key(&self, secret: &str) -> hmac::Key {
        let first = hmac::Key::new(hmac::HMAC_SHA256, format!("AWS4{secret}").as_bytes());
        [self.date.day(), &self.region, &self.service, "aws4_request"]
            .into_iter()
            .fold(first, |key, part| hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref()))
    }

    fn string_to_sign(&self, canonical_request: &str) -> String {
        let hash = hex::encode(digest(&SHA256, canonical_request.as_bytes()).as_ref());
        let (date, day) = (self.date.as_str(), self.date.day());
        format!("{ALGORITHM}\n{date}\n{day}/{}/{}/aws4_request\n{hash}", self.region, self.service)
    }
}

/// The parameters of a signature, in the header or in the query string.
#[derive(Default)]
struct Parameters {
    credential: Option<String>,
    date: Option<String>,
    signed_headers: Option<String>,
    signature: Option<String>,
}

/// Whether a raw path is its own canonical form: no empty, `.` or `..` segments. Signatures are computed over the
/// canonical form, so that only such a path says exactly what was signed.
pub fn is_canonical_path(path: &str) -> bool {
    canonical::normalize_path(path) == path
}
