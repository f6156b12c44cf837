//! An OpenID provider, asked over the network: what it says of itself, its keys, and a token for a code.
//!
//! In: where it is and who we are to it. Out: addresses for browsers, and who somebody is. Only the provider that the operator
//! configured is asked, over TLS (or on this machine), without redirects, and its answers are bounded. Who may come in with
//! which role is decided elsewhere.

mod claims;
mod metadata;
mod token;

use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use komainu_model::Timestamp;
use komainu_ports::{
    CodeAnswer, ISSUER_BYTES_MAX, IdentityProvider, ProviderError, SignInRequest, TokenFault, Vouched,
};
use parking_lot::Mutex;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Certificate, Client, RequestBuilder, StatusCode, Url};
use serde::Deserialize;
use tokio::runtime::Handle;

use self::claims::Claims;
use self::metadata::Metadata;
use self::token::Keys;
use crate::courier::visible;

/// How long a connection may take to stand, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a question may take with its answer. Signing in takes three of them at most, and a page half a minute.
const TIMEOUT: Duration = Duration::from_secs(8);
/// Bytes of an answer: descriptions and tokens have some kilobytes, sets of keys with certificates some tens of them.
const ANSWER_BYTES_MAX: usize = 512 << 10;
/// How long what a provider says of itself counts. Endpoints hardly ever change; keys that are new are asked for at once.
const METADATA_VALID: Duration = Duration::from_secs(3600);
/// How long a set of keys counts: one that the provider takes back is taken for no longer.
const KEYS_VALID: Duration = Duration::from_secs(15 * 60);
/// The least time between two questions for keys because of a key that is not known: names of keys come with tokens.
const KEYS_AGAIN: Duration = Duration::from_secs(30);
/// Bytes of a file with a secret; secrets have some tens.
const SECRET_FILE_BYTES_MAX: u64 = 4096;
/// Bytes of a code that is passed on; those of Microsoft have some 1,500.
const CODE_BYTES_MAX: usize = 8 << 10;
/// Characters of what a provider says in a refusal.
const REASON_CHARS_MAX: usize = 100;

/// Where a provider is, and who we are to it.
#[derive(Debug, Clone)]
pub struct OidcConfig {
    /// What it calls itself: `https://…`, or `http://…` on this machine.
    pub issuer: String,
    /// Who we are to it.
    pub client_id: String,
    /// The file with our secret there; white space around it does not count. Without one we are a public client.
    pub client_secret_file: Option<PathBuf>,
    /// What is asked for; `openid` is among them.
    pub scopes: Vec<String>,
    /// The claim that names people.
    pub username_claim: String,
    /// The claim by which roles are given.
    pub roles_claim: String,
    /// Root certificates (PEM) that are trusted beside the machine's own.
    pub ca_file: Option<PathBuf>,
}

/// Why a provider cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum OidcConfigError {
    /// A file cannot be read.
    #[error("cannot read `{path}` ({setting})")]
    File {
        /// The setting that names it.
        setting: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A setting does not make sense.
    #[error("{setting} is not usable: {reason}")]
    Setting {
        /// Which setting.
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// TLS cannot be prepared, mostly because of the root certificates.
    #[error("TLS cannot be prepared (console.oidc.ca_file)")]
    Tls(#[source] reqwest::Error),
}

/// An OpenID provider over HTTP.
pub struct OidcProvider {
    client: Client,
    /// Where questions are asked: pages that ask run on threads that may block.
    runtime: Handle,
    config: OidcConfig,
    secret: Option<String>,
    known: Mutex<Known>,
}

/// What is known of the provider, and since when.
#[derive(Default)]
struct Known {
    metadata: Option<(Timestamp, Arc<Metadata>)>,
    keys: Option<(Timestamp, Arc<Keys>)>,
}

/// Why an answer is none.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error("the question could not be asked")]
    Http(#[source] reqwest::Error),
    #[error("the answer has more than {ANSWER_BYTES_MAX} bytes")]
    TooLarge,
    #[error("the answer is not what was expected")]
    Json(#[source] serde_json::Error),
    #[error("the answer is {0}")]
    Status(StatusCode),
}

struct Answer {
    status: StatusCode,
    is_json: bool,
    body: Vec<u8>,
}

impl Answer {
    /// What it says, if it is what was wished for.
    fn wished(self, doing: &'static str) -> Result<Vec<u8>, ProviderError> {
        if self.status == StatusCode::OK {
            Ok(self.body)
        } else {
            Err(unavailable(doing, NoAnswer::Status(self.status)))
        }
    }
}

/// The answer to a code (OpenID Connect Core 1.0, section 3.1.3.3).
#[derive(Deserialize)]
struct Tokens {
    id_token: Option<String>,
    access_token: Option<String>,
}

/// The answer to a code that is not taken (RFC 6749, section 5.2).
#[derive(Deserialize, Default)]
struct Refusal {
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_description: String,
}

impl OidcProvider {
    /// Prepares asking; nobody is asked yet. Reads files, so it blocks. Must be called within a runtime, on which questions are
    /// asked later.
    pub fn new(config: OidcConfig) -> Result<Self, OidcConfigError> {
        check_issuer(&config.issuer)?;
        let secret = config.client_secret_file.as_ref().map(read_secret).transpose()?;
        let mut builder = Client::builder()
            .user_agent(concat!("Komainu/", env!("CARGO_PKG_VERSION")))
            // A redirect would take a code and the secret somewhere else.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .pool_max_idle_per_host(1);
        if let Some(path) = &config.ca_file {
            let source = |source| OidcConfigError::File { setting: "console.oidc.ca_file", path: path.clone(), source };
            let pem = std::fs::read(path).map_err(source)?;
            let roots = Certificate::from_pem_bundle(&pem).map_err(OidcConfigError::Tls)?;
            if roots.is_empty() {
                let reason = format!("`{}` has no certificate", path.display());
                return Err(OidcConfigError::Setting { setting: "console.oidc.ca_file", reason });
            }
            builder = builder.tls_certs_merge(roots);
        }
        let client = builder.build().map_err(OidcConfigError::Tls)?;
        Ok(Self { client, runtime: Handle::current(), config, secret, known: Mutex::default() })
    }

    /// What the provider says of itself.
    fn metadata(&self, now: Timestamp) -> Result<Arc<Metadata>, ProviderError> {
        if let Some(known) = fresh(self.known.lock().metadata.as_ref(), METADATA_VALID, now) {
            return Ok(known);
        }
        let doing = "reading what it says of itself";
        let address = format!("{}/.well-known/openid-configuration", self.config.issuer.trim_end_matches('/'));
        let body = self.ask(doing, self.client.get(address))?.wished(doing)?;
        let metadata = Metadata::read(&body, &self.config.issuer).map_err(|reason| ProviderError::Misfit { reason })?;
        let metadata = Arc::new(metadata);
        self.known.lock().metadata = Some((now, metadata.clone()));
        Ok(metadata)
    }

    /// Its keys, which must be at most `valid` old.
    fn keys(&self, metadata: &Metadata, valid: Duration, now: Timestamp) -> Result<Arc<Keys>, ProviderError> {
        if let Some(known) = fresh(self.known.lock().keys.as_ref(), valid, now) {
            return Ok(known);
        }
        let doing = "reading its keys";
        let body = self.ask(doing, self.client.get(&metadata.jwks_uri))?.wished(doing)?;
        let keys = Keys::read(&body).map_err(|error| unavailable(doing, NoAnswer::Json(error)))?;
        let keys = Arc::new(keys);
        self.known.lock().keys = Some((now, keys.clone()));
        Ok(keys)
    }

    /// The tokens for a code.
    fn exchange(&self, metadata: &Metadata, answer: &CodeAnswer) -> Result<Tokens, ProviderError> {
        let doing = "exchanging a code";
        if answer.code.is_empty() || answer.code.len() > CODE_BYTES_MAX {
            return Err(ProviderError::CodeRefused { reason: "there is none, or it is too long".to_owned() });
        }
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", &answer.code),
            ("redirect_uri", &answer.back_to),
            ("code_verifier", &answer.verifier),
        ];
        let mut question = self.client.post(&metadata.token_endpoint);
        match &self.secret {
            // RFC 6749, section 2.3.1: name and secret are encoded before they are put into the header.
            Some(secret) if metadata.takes_basic => {
                question = question.basic_auth(encoded(&self.config.client_id), Some(encoded(secret)));
            }
            Some(secret) => fields.extend([("client_id", self.config.client_id.as_str()), ("client_secret", secret)]),
            None => fields.push(("client_id", &self.config.client_id)),
        }
        let body: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let question = question.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body.join("&"));
        let answer = self.ask(doing, question)?;
        match answer.status {
            StatusCode::OK => {
                serde_json::from_slice(&answer.body).map_err(|error| unavailable(doing, NoAnswer::Json(error)))
            }
            StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let refusal: Refusal = serde_json::from_slice(&answer.body).unwrap_or_default();
                let said = one_line(&format!("{} {}", refusal.error, refusal.error_description));
                Err(match refusal.error.as_str() {
                    "invalid_grant" => ProviderError::CodeRefused { reason: said },
                    _ => ProviderError::Misfit { reason: format!("it answers {} to a code: {said}", answer.status) },
                })
            }
            status => Err(unavailable(doing, NoAnswer::Status(status))),
        }
    }

    /// What the provider says beside the token: claims of scopes other than `openid` need not be in it (OpenID Connect Core
    /// 1.0, section 5.4). Some providers say it only as a token, which is not read: then there is nothing more. One that fails
    /// there is down: without what it would say, somebody could come in with another role.
    fn beside(&self, metadata: &Metadata, tokens: &Tokens, subject: &str) -> Result<Option<Claims>, ProviderError> {
        let doing = "asking who somebody is";
        let (Some(endpoint), Some(token)) = (&metadata.userinfo_endpoint, &tokens.access_token) else {
            return Ok(None);
        };
        // It is sent as a header.
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenFault::Malformed.into());
        }
        let answer = self.ask(doing, self.client.get(endpoint).bearer_auth(token))?;
        let is_json = answer.is_json;
        let body = answer.wished(doing)?;
        if !is_json {
            return Ok(None);
        }
        let claims = Claims::read(&body).ok_or(TokenFault::Malformed)?;
        // Section 5.3.2: without the same subject it must not be used.
        if claims.text("sub") != Some(subject) {
            return Err(TokenFault::Subject.into());
        }
        Ok(Some(claims))
    }

    fn ask(&self, doing: &'static str, question: RequestBuilder) -> Result<Answer, ProviderError> {
        let asked = async {
            // The address is known to whoever reads the error, and may be long.
            let http = |error: reqwest::Error| NoAnswer::Http(error.without_url());
            let mut response = question.header(ACCEPT, "application/json").send().await.map_err(http)?;
            let mut body = Vec::new();
            while let Some(piece) = response.chunk().await.map_err(http)? {
                if body.len() + piece.len() > ANSWER_BYTES_MAX {
                    return Err(NoAnswer::TooLarge);
                }
                body.extend_from_slice(&piece);
            }
            let media_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
            let is_json = media_type.is_some_and(|media_type| media_type.starts_with("application/json"));
            Ok(Answer { status: response.status(), is_json, body })
        };
        self.runtime.block_on(asked).map_err(|error| unavailable(doing, error))
    }
}

impl IdentityProvider for OidcProvider {
    fn address(&self, request: &SignInRequest, now: Timestamp) -> Result<String, ProviderError> {
        let metadata = self.metadata(now)?;
        // RFC 7636, section 4.2.
        let challenge = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, request.verifier.as_bytes()));
        let scopes = self.config.scopes.join(" ");
        let fields = [
            ("response_type", "code"),
            ("client_id", &self.config.client_id),
            ("redirect_uri", &request.back_to),
            ("scope", &scopes),
            ("state", &request.state),
            ("nonce", &request.nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        Ok(with_fields(&metadata.authorization_endpoint, &fields))
    }

    fn check_issuer(&self, issuer: Option<&str>, now: Timestamp) -> Result<(), ProviderError> {
        match issuer {
            Some(issuer) if issuer == self.config.issuer => Ok(()),
            None if !self.metadata(now)?.says_issuer => Ok(()),
            Some(_) | None => Err(ProviderError::WrongIssuer),
        }
    }

    fn redeem(&self, answer: &CodeAnswer, now: Timestamp) -> Result<Vouched, ProviderError> {
        let metadata = self.metadata(now)?;
        let tokens = self.exchange(&metadata, answer)?;
        let id_token = tokens.id_token.as_deref().ok_or(TokenFault::Malformed)?;
        let keys = self.keys(&metadata, KEYS_VALID, now)?;
        let claims = match keys.verified(id_token) {
            // The provider may have begun to use another key since.
            Err(TokenFault::Key) => self.keys(&metadata, KEYS_AGAIN, now)?.verified(id_token)?,
            verified => verified?,
        };
        let identity = claims.identity(&self.config, &answer.nonce, now)?;
        let (name, roles) = (&self.config.username_claim, &self.config.roles_claim);
        let beside = match claims.has(name) && claims.has(roles) {
            true => None,
            false => self.beside(&metadata, &tokens, &identity.subject)?,
        };
        let of = |claim: &str| if claims.has(claim) { Some(&claims) } else { beside.as_ref() };
        Ok(Vouched {
            name: of(name).and_then(|claims| claims.name(name)),
            values: of(roles).map(|claims| claims.values(roles)).unwrap_or_default(),
            identity,
        })
    }

    fn sign_out_address(&self, back_to: &str) -> Option<String> {
        let (_, metadata) = self.known.lock().metadata.clone()?;
        let endpoint = metadata.end_session_endpoint.as_ref()?;
        let fields = [("client_id", self.config.client_id.as_str()), ("post_logout_redirect_uri", back_to)];
        Some(with_fields(endpoint, &fields))
    }
}

/// Refuses what no issuer is: one over which others could read along, or with more than an address of a provider has.
pub fn check_issuer(issuer: &str) -> Result<(), OidcConfigError> {
    let with_query = || issuer.contains('?').then(|| format!("{issuer:?} has a query"));
    let reason = check_address(issuer).err().or_else(with_query);
    reason.map_or(Ok(()), |reason| Err(OidcConfigError::Setting { setting: "console.oidc.issuer", reason }))
}

/// What is known, if it is not older than it may be. A clock that was set back makes it old.
fn fresh<T>(known: Option<&(Timestamp, Arc<T>)>, valid: Duration, now: Timestamp) -> Option<Arc<T>> {
    known.filter(|(since, _)| now >= *since && now.since(*since) < valid).map(|(_, known)| known.clone())
}

/// Refuses an address over which others could read along, or that is none.
fn check_address(text: &str) -> Result<(), String> {
    if text.len() > ISSUER_BYTES_MAX {
        return Err(format!("it has more than {ISSUER_BYTES_MAX} bytes"));
    }
    let url = Url::parse(text).map_err(|error| format!("{text:?} is not a URL: {error}"))?;
    let host = url.host_str().unwrap_or_default();
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_here = host == "localhost" || literal.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(format!("{text:?} has a user, a password or a fragment"));
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_here => Ok(()),
        "http" => Err(format!("{text:?} is not encrypted: it must be https://…")),
        _ => Err(format!("{text:?} is not a https URL")),
    }
}

fn read_secret(path: &PathBuf) -> Result<String, OidcConfigError> {
    let setting = "console.oidc.client_secret_file";
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(SECRET_FILE_BYTES_MAX).read_to_string(&mut text))
        .map_err(|source| OidcConfigError::File { setting, path: path.clone(), source })?;
    let is_cut = text.len() as u64 == SECRET_FILE_BYTES_MAX;
    let text = text.trim();
    // Whatever is wrong, the reason does not show the secret.
    if is_cut || text.is_empty() || text.chars().any(char::is_control) {
        let reason = format!("`{}` has no secret, which is one line", path.display());
        return Err(OidcConfigError::Setting { setting, reason });
    }
    Ok(text.to_owned())
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// An address with further fields; it may have some of its own.
fn with_fields(address: &str, fields: &[(&str, &str)]) -> String {
    let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    let join = if address.contains('?') { '&' } else { '?' };
    format!("{address}{join}{}", fields.join("&"))
}

fn unavailable(doing: &'static str, why: NoAnswer) -> ProviderError {
    ProviderError::Unavailable { doing, source: why.into() }
}

/// What a provider says, fit for a log line.
fn one_line(text: &str) -> String {
    visible(text.trim()).chars().take(REASON_CHARS_MAX).collect()
}

/// See [`crate::fuzzing::openid_provider`].
#[cfg(fuzzing)]
pub(crate) fn fuzz(bytes: &[u8]) {
    let issuer = "https://id.example";
    if let Ok(metadata) = Metadata::read(bytes, issuer) {
        assert!(metadata.token_endpoint.starts_with("http") && metadata.token_endpoint.is_ascii());
    }
    let text = String::from_utf8_lossy(bytes);
    if let Ok(keys) = Keys::read(bytes) {
        assert!(keys.verified(&text).is_err(), "what are keys is no token");
    }
    let key =
        br#"{"keys":[{"kty":"RSA","kid":"a","n":"AQAB","e":"AQAB"},{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}"#;
    let keys = Keys::read(key).expect("it is a set of keys");
    assert!(keys.verified(&text).is_err(), "nobody has signed it");
    if let Some(claims) = Claims::read(bytes) {
        let config = OidcConfig {
            issuer: issuer.to_owned(),
            client_id: "komainu".to_owned(),
            client_secret_file: None,
            scopes: Vec::new(),
            username_claim: "preferred_username".to_owned(),
            roles_claim: "groups".to_owned(),
            ca_file: None,
        };
        if let Ok(identity) = claims.identity(&config, "n", Timestamp::from_unix_seconds(1_700_000_000)) {
            assert!(!identity.subject.is_empty() && identity.subject.len() <= komainu_ports::SUBJECT_BYTES_MAX);
        }
        assert!(claims.values(&text).len() <= komainu_ports::VOUCHED_VALUES_MAX);
        assert!(claims.values("groups").iter().all(|value| value.len() <= 256));
        claims.name("preferred_username");
    }
    let _ = check_issuer(&text);
}

#[cfg(test)]
mod tests;
