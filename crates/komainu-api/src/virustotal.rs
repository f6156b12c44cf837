//! The laboratory for clients of VirusTotal: a subset of its API for files, version 3, so that `vt-py` and what is built on
//! it work unmodified.
//!
//! | request | answer |
//! |---|---|
//! | `POST /api/v3/files` | takes a file in, as a form (`multipart/form-data`, field `file`); an analysis |
//! | `GET /api/v3/files/upload_url` | where larger files go: to the same place |
//! | `GET /api/v3/files/DIGEST` | a file, by SHA-256, SHA-1 or MD5 |
//! | `POST /api/v3/files/DIGEST/analyse` | looks at it again; an analysis |
//! | `GET /api/v3/files/DIGEST/behaviours` | what its detonations showed |
//! | `GET /api/v3/files/DIGEST/behaviour_summary` | the same in one |
//! | `GET /api/v3/files/DIGEST/download` | its contents |
//! | `GET /api/v3/file_behaviours/SHA256_Komainu` | one of its `behaviours` |
//! | `GET /api/v3/analyses/ID` | how far an analysis is |
//! | `GET /api/v3/analyses/ID/item` | the file of an analysis |
//!
//! The key in `x-apikey` is an operator's access key, `ID:SECRET`. Shapes are those of
//! <https://docs.virustotal.com/reference/overview>; where VirusTotal has many scanners and sandboxes, here is one, `Komainu`.

mod behaviour;
mod documents;
mod objects;
mod upload;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_DISPOSITION, HOST, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::http::uri::Authority;
use hyper::{Method, Request, Response, StatusCode};
use komainu_model::{AccessKey, AccessKeyId, Confidentiality, Role, SampleDigest};
use komainu_ports::{ArtifactReadError, PeerInfo, SamplePriority, SamplesError, StoredSample};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tracing::{error, warn};

use self::documents::Documents;
use crate::auth::{self, HeaderKeyProblem};
use crate::request::{json, respond};
use crate::{Api, events};

/// Where all of this is.
pub(crate) const PREFIX: &str = "/api/v3/";

/// Clients that are asked to come again are told after how many seconds.
const RETRY_AFTER_S: &str = "10";

/// Files that are taken in at the same time. Each is in memory as a whole, 32 MiB: its digest is its place in the store.
const UPLOADS_AT_ONCE_MAX: usize = 2;

/// Files that are given out at the same time, each in memory as a whole until the client has it.
const DOWNLOADS_AT_ONCE_MAX: usize = 4;

/// Answers that are made of documents at the same time: a document has 16 MiB at most, and takes more while it is read.
const READS_AT_ONCE_MAX: usize = 4;

/// How long one waits for any of these. Then the client is asked to come again.
const TURN_TIMEOUT: Duration = Duration::from_secs(30);

/// How an id of an analysis begins; the SHA-256 of the file follows. A file has one analysis, which may begin anew.
const ANALYSIS: &str = "f-";

/// The name of the one scanner and of the one sandbox.
const ENGINE: &str = "Komainu";

/// What bounds the work that is done for clients at the same time.
pub(crate) struct Desk {
    uploads: Arc<Semaphore>,
    downloads: Arc<Semaphore>,
    reads: Arc<Semaphore>,
}

impl Default for Desk {
    fn default() -> Self {
        let turns = |count| Arc::new(Semaphore::new(count));
        Self {
            uploads: turns(UPLOADS_AT_ONCE_MAX),
            downloads: turns(DOWNLOADS_AT_ONCE_MAX),
            reads: turns(READS_AT_ONCE_MAX),
        }
    }
}

/// Whether a request is one of VirusTotal's API.
pub(crate) fn is_meant<B>(request: &Request<B>) -> bool {
    request.uri().path().starts_with(PREFIX)
}

/// Answers a client of VirusTotal.
pub(crate) async fn answer(api: &Arc<Api>, peer: &PeerInfo, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let answered = async {
        let key = authenticated(api, peer, &head.headers)?;
        let base = Base::of(peer, &head.headers)?;
        let asked = Asked::read(&head.method, head.uri.path())?;
        if key.role < asked.least_role() {
            return Err(Refusal::NeedsRole(asked.least_role()));
        }
        asked.answer(api, &base, key.id, &head.headers, body).await
    };
    answered.await.unwrap_or_else(|refusal| refusal.response())
}

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Asked {
    TakeIn,
    UploadUrl,
    File(FileId),
    Again(FileId),
    Behaviours(FileId),
    BehaviourSummary(FileId),
    Download(FileId),
    Behaviour(SampleDigest),
    Analysis(SampleDigest),
    ItemOfAnalysis(SampleDigest),
}

/// A name of a file: the bytes of its SHA-256, SHA-1 or MD5.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FileId(Vec<u8>);

/// Why a client is not given what it asks for. [`Refusal::response`] is the only table from there to statuses and to the
/// codes of <https://docs.virustotal.com/reference/errors>.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Refusal {
    /// The request makes no sense: it would not at another time, either.
    Malformed(String),
    /// There is nothing of the kind.
    NotFound(&'static str),
    /// The path knows no such method.
    NoSuchMethod,
    /// There is no key in the request.
    NoKey,
    /// There is no such key, or it is not active.
    WrongKey,
    /// The key is right, and its role does not allow this.
    NeedsRole(Role),
    /// The contents are of a device that is not out yet: they are given to nobody over the network.
    Confidential,
    /// The file is too large.
    TooLarge {
        /// The bound.
        bytes_max: usize,
    },
    /// Too many others ask for the same kind of thing.
    Busy,
    /// As many files wait to be looked at as may.
    Full,
    /// A store failed, or has no room.
    Unavailable,
}

impl Refusal {
    fn response(&self) -> Response<Full<Bytes>> {
        let (status, code, message) = match self {
            Self::Malformed(message) => (StatusCode::BAD_REQUEST, "BadRequestError", message.clone()),
            Self::NotFound(what) => (StatusCode::NOT_FOUND, "NotFoundError", format!("{what} not found")),
            Self::NoSuchMethod => {
                (StatusCode::METHOD_NOT_ALLOWED, "BadRequestError", "this path has no such method".to_owned())
            }
            Self::NoKey => (
                StatusCode::UNAUTHORIZED,
                "AuthenticationRequiredError",
                "x-apikey is missing: give an access key as ID:SECRET".to_owned(),
            ),
            Self::WrongKey => (
                StatusCode::UNAUTHORIZED,
                "WrongCredentialsError",
                "x-apikey is no active access key as ID:SECRET".to_owned(),
            ),
            Self::NeedsRole(role) => {
                let message = format!("the access key's role does not allow this, which needs the role {role}");
                (StatusCode::FORBIDDEN, "ForbiddenError", message)
            }
            Self::Confidential => (
                StatusCode::FORBIDDEN,
                "ForbiddenError",
                "the contents are confidential; the server's owner can export them there".to_owned(),
            ),
            Self::TooLarge { bytes_max } => {
                (StatusCode::PAYLOAD_TOO_LARGE, "BadRequestError", format!("the file has more than {bytes_max} bytes"))
            }
            Self::Busy => (StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsError", "come again later".to_owned()),
            Self::Full => {
                (StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsError", "too many files wait already".to_owned())
            }
            Self::Unavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "TransientError", "the laboratory does not answer".to_owned())
            }
        };
        let mut response = json(status, serde_json::json!({"error": {"code": code, "message": message}}).to_string());
        if matches!(self, Self::Busy | Self::Full | Self::Unavailable) {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
        }
        response
    }
}

/// The key of the request, when it is one of ours and active.
fn authenticated(api: &Api, peer: &PeerInfo, headers: &HeaderMap) -> Result<AccessKey, Refusal> {
    auth::by_header(api, headers).map_err(|problem| match problem {
        HeaderKeyProblem::Missing => Refusal::NoKey,
        HeaderKeyProblem::Wrong { key, suppressed } => {
            if let Some(suppressed) = suppressed {
                let (address, key) = (peer.address, key.as_ref().map(tracing::field::display));
                warn!(event = events::VIRUSTOTAL_REFUSED, %address, key, suppressed, "access key refused");
            }
            Refusal::WrongKey
        }
    })
}

/// Where the client found this API, without a slash at the end. Links that lead elsewhere begin so.
struct Base(String);

impl Base {
    /// As the client calls the server; encrypted, if the client came like that. Whoever ends TLS in front of the server
    /// hides that.
    fn of(peer: &PeerInfo, headers: &HeaderMap) -> Result<Self, Refusal> {
        let host = headers.get(HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
        let host = host.filter(|host| !host.as_str().contains('@'));
        let host = host.ok_or_else(|| Refusal::Malformed("the header host names no server".to_owned()))?;
        let scheme = if peer.tls { "https" } else { "http" };
        Ok(Self(format!("{scheme}://{host}{}", PREFIX.trim_end_matches('/'))))
    }

    /// A link to what is at `path`.
    fn link(&self, path: &str) -> String {
        format!("{}/{path}", self.0)
    }
}

impl Asked {
    /// The least role that may ask for it: who looks, looks; handing in is work, and so is taking malware away.
    const fn least_role(&self) -> Role {
        match self {
            Self::TakeIn | Self::UploadUrl | Self::Again(_) | Self::Download(_) => Role::Analyst,
            Self::File(_)
            | Self::Behaviours(_)
            | Self::BehaviourSummary(_)
            | Self::Behaviour(_)
            | Self::Analysis(_)
            | Self::ItemOfAnalysis(_) => Role::Viewer,
        }
    }

    fn read(method: &Method, path: &str) -> Result<Self, Refusal> {
        let mut parts = path.strip_prefix(PREFIX).unwrap_or_default().split('/');
        let parts = (parts.next(), parts.next(), parts.next(), parts.next());
        let (wanted, asked) = match parts {
            (Some("files"), None, None, None) => (Method::POST, Self::TakeIn),
            (Some("files"), Some("upload_url"), None, None) => (Method::GET, Self::UploadUrl),
            (Some("files"), Some(id), None, None) => (Method::GET, Self::File(FileId::read(id)?)),
            (Some("files"), Some(id), Some(what), None) => {
                let id = FileId::read(id)?;
                match what {
                    "analyse" => (Method::POST, Self::Again(id)),
                    "behaviours" => (Method::GET, Self::Behaviours(id)),
                    "behaviour_summary" => (Method::GET, Self::BehaviourSummary(id)),
                    "download" => (Method::GET, Self::Download(id)),
                    _ => return Err(Refusal::NotFound("path")),
                }
            }
            (Some("file_behaviours"), Some(id), None, None) => {
                let sample = id.strip_suffix(ENGINE).and_then(|id| SampleDigest::parse(id.strip_suffix('_')?).ok());
                (Method::GET, Self::Behaviour(sample.ok_or(Refusal::NotFound("behaviour"))?))
            }
            (Some("analyses"), Some(id), what @ (None | Some("item")), None) => {
                let sample = id.strip_prefix(ANALYSIS).and_then(|sha256| SampleDigest::parse(sha256).ok());
                let sample = sample.ok_or(Refusal::NotFound("analysis"))?;
                let asked = if what.is_none() { Self::Analysis(sample) } else { Self::ItemOfAnalysis(sample) };
                (Method::GET, asked)
            }
            _ => return Err(Refusal::NotFound("path")),
        };
        if *method == wanted { Ok(asked) } else { Err(Refusal::NoSuchMethod) }
    }

    async fn answer(
        self,
        api: &Arc<Api>,
        base: &Base,
        key: AccessKeyId,
        headers: &HeaderMap,
        body: Incoming,
    ) -> Result<Response<Full<Bytes>>, Refusal> {
        let answer = match self {
            Self::TakeIn => {
                let sample = upload::take_in(api, &key, headers, body).await?;
                objects::analysis_link(base, sample)
            }
            Self::UploadUrl => serde_json::json!({"data": base.link("files")}),
            Self::File(id) => objects::file(base, &documented(api, id).await?),
            Self::Again(id) => {
                let sample = stored(api, id).await?.digests.sha256;
                let intake = api.intake.clone();
                // One that waits already, or is looked at now, is on its way.
                blocking(move || intake.again(&sample, SamplePriority::Urgent)).await?;
                objects::analysis_link(base, sample)
            }
            Self::Behaviours(id) => behaviour::list(base, &documented(api, id).await?),
            Self::BehaviourSummary(id) => behaviour::summary(&documented(api, id).await?),
            Self::Download(id) => return download(api, stored(api, id).await?).await,
            Self::Behaviour(sample) => {
                let known = documented(api, FileId::of(sample)).await;
                behaviour::one(base, &known?).ok_or(Refusal::NotFound("behaviour"))?
            }
            Self::Analysis(sample) => objects::analysis(base, &stored(api, FileId::of(sample)).await?),
            Self::ItemOfAnalysis(sample) => objects::file(base, &documented(api, FileId::of(sample)).await?),
        };
        Ok(json(StatusCode::OK, answer.to_string()))
    }
}

impl FileId {
    fn read(text: &str) -> Result<Self, Refusal> {
        match hex::decode(text) {
            Ok(bytes) if matches!(bytes.len(), 16 | 20 | 32) => Ok(Self(bytes)),
            Ok(_) | Err(_) => Err(Refusal::NotFound("file, named by SHA-256, SHA-1 or MD5,")),
        }
    }

    fn of(sample: SampleDigest) -> Self {
        Self(sample.sha256().to_vec())
    }

    /// The sample of this name. Blocks.
    fn find(&self, api: &Api) -> Result<Option<StoredSample>, SamplesError> {
        let found = match <[u8; 32]>::try_from(self.0.as_slice()) {
            Ok(sha256) => Some(SampleDigest::from_sha256(sha256)),
            Err(_) => api.samples.find(&self.0)?,
        };
        found.map_or(Ok(None), |sample| api.samples.sample(&sample))
    }
}

/// All that objects are made of.
struct Documented {
    sample: StoredSample,
    documents: Documents,
}

/// The sample of this name.
async fn stored(api: &Arc<Api>, id: FileId) -> Result<StoredSample, Refusal> {
    let asked = api.clone();
    blocking(move || id.find(&asked)).await?.ok_or(Refusal::NotFound("file"))
}

/// The sample of this name, with what is said of it.
async fn documented(api: &Arc<Api>, id: FileId) -> Result<Documented, Refusal> {
    let _turn = turn(&api.desk.reads).await?;
    let asked = api.clone();
    let found = blocking(move || {
        let Some(sample) = id.find(&asked)? else { return Ok(None) };
        let documents = Documents::read(asked.samples.as_ref(), &sample.digests.sha256)?;
        Ok(Some(Documented { sample, documents }))
    });
    found.await?.ok_or(Refusal::NotFound("file"))
}

async fn download(api: &Arc<Api>, sample: StoredSample) -> Result<Response<Full<Bytes>>, Refusal> {
    match sample.confidentiality {
        Confidentiality::Open => {}
        Confidentiality::Confidential => return Err(Refusal::Confidential),
    }
    let turn = turn(&api.desk.downloads).await?;
    let (artifacts, sha256) = (api.artifacts.clone(), sample.digests.sha256);
    let contents = blocking(move || match artifacts.read(sha256.sha256()) {
        Ok(contents) => Ok(Some(contents)),
        Err(ArtifactReadError::Missing) => Ok(None),
        Err(error) => Err(SamplesError::Unavailable { doing: "reading an artifact", source: error.into() }),
    });
    let contents = contents.await?.ok_or(Refusal::NotFound("contents of this file"))?;
    let contents = Bytes::from_owner(GivenOut { contents, _turn: turn });
    let mut response = respond(StatusCode::OK, "application/octet-stream", contents);
    let disposition = HeaderValue::from_str(&format!("attachment; filename=\"{sha256}\""));
    response.headers_mut().insert(CONTENT_DISPOSITION, disposition.expect("digits are a header value"));
    Ok(response)
}

/// Contents on their way to a client. Their turn ends when they are no longer in memory.
struct GivenOut {
    contents: Vec<u8>,
    _turn: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for GivenOut {
    fn as_ref(&self) -> &[u8] {
        &self.contents
    }
}

/// The right to do one of the things of which few are done at the same time.
async fn turn(turns: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Refusal> {
    match timeout(TURN_TIMEOUT, turns.clone().acquire_owned()).await {
        Ok(Ok(turn)) => Ok(turn),
        Ok(Err(_)) | Err(_) => Err(Refusal::Busy),
    }
}

/// Asks the stores, which may wait for a disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SamplesError> + Send + 'static,
) -> Result<T, Refusal> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            let cause = error.source().map(tracing::field::display);
            error!(event = events::VIRUSTOTAL_UNAVAILABLE, %error, cause, "the laboratory does not answer");
            Err(Refusal::Unavailable)
        }
        Err(error) => {
            error!(event = events::VIRUSTOTAL_UNAVAILABLE, %error, "a request of a client ended in a bug");
            Err(Refusal::Unavailable)
        }
    }
}

#[cfg(fuzzing)]
pub(crate) fn fuzz(bytes: &[u8]) {
    let path = format!("{PREFIX}{}", String::from_utf8_lossy(bytes));
    for method in [Method::GET, Method::POST] {
        let _ = Asked::read(&method, &path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read() {
        let check = |method: Method, path: &str, expected: Result<Asked, StatusCode>| {
            let asked = Asked::read(&method, &format!("{PREFIX}{path}"));
            assert_eq!(asked.map_err(|refusal| refusal.response().status()), expected, "{method} {path}");
        };
        let (sha256, sha1, md5) = ("0a".repeat(32), "0c".repeat(20), "0B".repeat(16));
        let sample = SampleDigest::from_sha256([10; 32]);
        let by_md5 = FileId(vec![11; 16]);
        check(Method::POST, "files", Ok(Asked::TakeIn));
        check(Method::GET, "files/upload_url", Ok(Asked::UploadUrl));
        check(Method::GET, &format!("files/{sha256}"), Ok(Asked::File(FileId(vec![10; 32]))));
        check(Method::GET, &format!("files/{sha1}"), Ok(Asked::File(FileId(vec![12; 20]))));
        check(Method::GET, &format!("files/{md5}"), Ok(Asked::File(by_md5.clone())));
        check(Method::POST, &format!("files/{md5}/analyse"), Ok(Asked::Again(by_md5.clone())));
        check(Method::GET, &format!("files/{md5}/behaviours"), Ok(Asked::Behaviours(by_md5.clone())));
        check(Method::GET, &format!("files/{md5}/behaviour_summary"), Ok(Asked::BehaviourSummary(by_md5.clone())));
        check(Method::GET, &format!("files/{md5}/download"), Ok(Asked::Download(by_md5)));
        check(Method::GET, &format!("file_behaviours/{sha256}_Komainu"), Ok(Asked::Behaviour(sample)));
        check(Method::GET, &format!("analyses/f-{sha256}"), Ok(Asked::Analysis(sample)));
        check(Method::GET, &format!("analyses/f-{sha256}/item"), Ok(Asked::ItemOfAnalysis(sample)));
        check(Method::GET, "files", Err(StatusCode::METHOD_NOT_ALLOWED));
        check(Method::POST, &format!("analyses/f-{sha256}"), Err(StatusCode::METHOD_NOT_ALLOWED));
        for path in ["", "files/", "files/xyz", "files/0a", "urls", "analyses/f-0a", "analyses/0a", "files/../x/y/z"] {
            check(Method::GET, path, Err(StatusCode::NOT_FOUND));
        }
        for path in ["comments", "download/more", ""] {
            check(Method::GET, &format!("files/{sha256}/{path}"), Err(StatusCode::NOT_FOUND));
        }
        for id in ["_Komainu", "0a_Komainu", &sha256, &format!("{sha256}_Other")] {
            check(Method::GET, &format!("file_behaviours/{id}"), Err(StatusCode::NOT_FOUND));
        }
    }

    #[test]
    fn links_lead_to_where_the_client_came() {
        let check = |tls: bool, host: Option<&str>, expected: Option<&str>| {
            let address = "192.0.2.1:1234".parse().unwrap();
            let peer = PeerInfo { address, tls, certificate: None, server_name: None };
            let headers = host.map(|host| (HOST, HeaderValue::from_str(host).unwrap())).into_iter().collect();
            let base = Base::of(&peer, &headers).ok().map(|base| base.link("files"));
            assert_eq!(base.as_deref(), expected, "{host:?}");
        };
        check(false, Some("127.0.0.1:8080"), Some("http://127.0.0.1:8080/api/v3/files"));
        check(true, Some("hub.example"), Some("https://hub.example/api/v3/files"));
        check(true, Some("[2001:db8::1]:443"), Some("https://[2001:db8::1]:443/api/v3/files"));
        for host in [None, Some(""), Some("a/b"), Some("a b"), Some("user@hub.example"), Some("a\"b")] {
            check(false, host, None);
        }
    }
}
