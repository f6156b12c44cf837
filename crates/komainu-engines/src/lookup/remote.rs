//! What those who are asked over the network have in common: a key, a bounded question, a bounded answer.

use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use komainu_ports::LookupError;
use reqwest::header::{ACCEPT, HeaderValue, RETRY_AFTER};
use reqwest::{Certificate, Client, RequestBuilder, StatusCode, Url};
use serde::de::DeserializeOwned;

use super::{LookupConfigError, RemoteLookup};
use crate::courier::visible;

/// How long a connection may take to stand, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a question may take with its answer. Answers of VirusTotal can be large.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Connections that wait for further questions are closed after this.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of an answer; VirusTotal's have some 100 KB.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// Bytes of a file with a key; keys have 64 or less.
const KEY_FILE_BYTES_MAX: u64 = 4096;
/// The time after which somebody may be asked again who did not say when: their quotas are for a minute.
const TOO_MANY_PAUSE: Duration = Duration::from_secs(60);
/// Characters of what somebody says in their refusal.
const REASON_CHARS_MAX: usize = 100;

/// What those who are asked differ in.
pub(super) struct Settings {
    /// Their name.
    pub(super) source: &'static str,
    /// The setting with the file of the key.
    pub(super) key_file: &'static str,
    /// The setting with the address.
    pub(super) url: &'static str,
}

/// Somebody who is asked over the network.
pub(super) struct Remote {
    client: Client,
    pub(super) source: &'static str,
    /// The beginning of all addresses, without a slash at its end.
    pub(super) base: String,
    pub(super) key: HeaderValue,
    pub(super) pause: Duration,
}

/// What was answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
    retry_after: Option<Duration>,
}

/// Why an answer is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    #[error("the question could not be asked")]
    Http(#[source] reqwest::Error),
    #[error("the answer has more than {ANSWER_BYTES_MAX} bytes")]
    TooLarge,
    #[error("the answer is not what was expected")]
    Json(#[source] serde_json::Error),
    #[error("the answer is about another sample")]
    AnotherSample,
    #[error("the answer is {status}{said}")]
    Said { status: StatusCode, said: String },
}

impl Remote {
    pub(super) fn new(
        settings: &Settings,
        RemoteLookup { key_file, url, pause }: &RemoteLookup,
        extra_roots: Option<&Path>,
    ) -> Result<Self, LookupConfigError> {
        let base = checked_base(url).map_err(|reason| LookupConfigError::Setting { setting: settings.url, reason })?;
        let key = read_key(settings.key_file, key_file)?;
        let mut builder = Client::builder()
            .user_agent(concat!("Komainu/", env!("CARGO_PKG_VERSION")))
            // A redirect would take the key somewhere else.
            .redirect(reqwest::redirect::Policy::none())
            // As webhooks: what the environment says does not change who learns of a sample.
            .no_proxy()
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(1);
        if let Some(path) = extra_roots {
            let pem = std::fs::read(path).map_err(|source| LookupConfigError::File {
                setting: "lab.extra_roots_file",
                path: path.to_owned(),
                source,
            })?;
            let roots = Certificate::from_pem_bundle(&pem).map_err(LookupConfigError::Tls)?;
            builder = builder.tls_certs_merge(roots);
        }
        let client = builder.build().map_err(LookupConfigError::Tls)?;
        Ok(Self { client, source: settings.source, base, key, pause: *pause })
    }

    pub(super) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.base)).header(ACCEPT, "application/json")
    }

    pub(super) fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.base)).header(ACCEPT, "application/json")
    }

    /// Asks. An answer that says "too many" is an error already.
    pub(super) async fn ask(&self, question: RequestBuilder) -> Result<Answer, LookupError> {
        // The address is known to whoever reads the error, and may be long.
        let http = |error: reqwest::Error| self.unavailable(NoAnswer::Http(error.without_url()));
        let mut response = question.send().await.map_err(http)?;
        let seconds = |value: &HeaderValue| value.to_str().ok()?.trim().parse().ok().map(Duration::from_secs);
        let retry_after = response.headers().get(RETRY_AFTER).and_then(seconds);
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(http)? {
            if body.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(self.unavailable(NoAnswer::TooLarge));
            }
            body.extend_from_slice(&piece);
        }
        let answer = Answer { status: response.status(), body, retry_after };
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            let after = answer.retry_after.unwrap_or(TOO_MANY_PAUSE);
            return Err(LookupError::TooMany { source_name: self.source.to_owned(), after });
        }
        Ok(answer)
    }

    /// Nobody answered, or nothing that makes sense.
    pub(super) fn unavailable(&self, why: impl Error + Send + Sync + 'static) -> LookupError {
        LookupError::Unavailable { source_name: self.source.to_owned(), source: Box::new(why) }
    }

    /// An answer that is neither yes nor no. `said` is their word for it, if they have one.
    pub(super) fn neither(&self, status: StatusCode, said: Option<&str>) -> LookupError {
        let said = said.map(|said| format!(", {}", one_line(said))).unwrap_or_default();
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => self.refused(&format!("{status}{said}")),
            _ => self.unavailable(NoAnswer::Said { status, said }),
        }
    }

    /// They do not accept the key.
    pub(super) fn refused(&self, reason: &str) -> LookupError {
        LookupError::Refused { source_name: self.source.to_owned(), reason: one_line(reason) }
    }
}

impl Answer {
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, NoAnswer> {
        serde_json::from_slice(&self.body).map_err(NoAnswer::Json)
    }
}

/// What somebody says, fit for a log line.
fn one_line(text: &str) -> String {
    visible(text.trim()).chars().take(REASON_CHARS_MAX).collect()
}

/// The beginning of all addresses, without a slash at its end.
fn checked_base(text: &str) -> Result<String, String> {
    let url = Url::parse(text).map_err(|error| format!("{text:?} is not a URL: {error}"))?;
    let host = url.host_str().unwrap_or_default();
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_here = host == "localhost" || literal.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    match url.scheme() {
        "https" => {}
        "http" if is_here => {}
        "http" => return Err(format!("to {text:?} the key would travel unprotected")),
        _ => return Err(format!("{text:?} is not a http or https URL")),
    }
    let is_bare =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    if !is_bare {
        return Err("a scheme, a host, a port and a path are all that it may have".to_owned());
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn read_key(setting: &'static str, path: &Path) -> Result<HeaderValue, LookupConfigError> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text))
        .map_err(|source| LookupConfigError::File { setting, path: path.to_owned(), source })?;
    let is_cut = text.len() as u64 == KEY_FILE_BYTES_MAX;
    let text = text.trim();
    // Whatever is wrong, the reason does not show the key.
    if is_cut || text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        let reason = format!("`{}` has no key, which is one word of ASCII", path.display());
        return Err(LookupConfigError::Setting { setting, reason });
    }
    let mut key = HeaderValue::from_str(text).expect("printable ASCII is a header's value");
    // Neither logs nor `Debug` show it.
    key.set_sensitive(true);
    Ok(key)
}
