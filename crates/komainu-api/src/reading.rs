//! Reading over HTTP, for other tools: attacks, alarms, sensors, indicators, as JSON or CSV, with an access key in a header.
//!
//! [`PATHS`] is all there is: what is asked for, with which parameters. Requests are read by it and the description in
//! OpenAPI ([`openapi`]) is written from it, so that the two cannot differ. The words of questions are those of the command
//! line (`komainu attacks`), and so are the bounds.

mod answers;
mod lake;
mod openapi;
mod sheet;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CACHE_CONTROL, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};
use komainu_model::{InvalidName, Region, Scope};
use komainu_ports::{LISTED_ROWS_MAX, LakeError, PeerInfo, StoreError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tracing::{Span, debug_span, error, warn};

use crate::auth::{self, HeaderKeyProblem};
use crate::request::{json, note_route, respond};
use crate::{Api, events};

/// Where all of this is.
const PREFIX: &str = "/api/v1/";

/// Answers that are made at the same time: one may have ten thousand rows, and a question may take a second.
const ANSWERS_AT_ONCE_MAX: usize = 4;

/// How long one waits for that; then the client is asked to come again.
const TURN_TIMEOUT: Duration = Duration::from_secs(30);

/// Clients that are asked to come again are told after how many seconds.
const RETRY_AFTER_S: &str = "10";

/// Bytes of a query string: a few tests with many values.
const QUERY_BYTES_MAX: usize = 16 * 1024;

/// Items of a list in pages: alarms, indicators.
const PAGE_ITEMS_MAX: usize = 1000;

/// Items when nobody says how many.
const PAGE_ITEMS_DEFAULT: usize = 100;

/// What bounds the work that is done at the same time.
pub(crate) struct ReadingRoom(Arc<Semaphore>);

impl Default for ReadingRoom {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ANSWERS_AT_ONCE_MAX)))
    }
}

/// Something that can be read.
struct Path {
    /// Its name below [`PREFIX`].
    name: &'static str,
    /// What it is, for people.
    about: &'static str,
    parameters: &'static [Parameter],
    /// What the items of the answer are, for people.
    items: &'static str,
    read: fn(&Api, &Asked) -> Result<Sheet, Refusal>,
}

pub use answers::metric_value_json;
use sheet::Sheet;

/// A parameter of a query string.
struct Parameter {
    name: &'static str,
    about: &'static str,
    kind: Kind,
}

/// What a parameter may be.
#[derive(Clone, Copy)]
enum Kind {
    /// A text.
    Text,
    /// A text that may be given several times.
    Texts,
    /// A whole number from one on.
    Number {
        /// The largest.
        max: usize,
    },
    /// One of these words.
    Word(&'static [&'static str]),
}

const fn text(name: &'static str, about: &'static str) -> Parameter {
    Parameter { name, about, kind: Kind::Text }
}

const FORMAT: Parameter =
    Parameter { name: "format", about: "How the answer is written.", kind: Kind::Word(&["json", "csv"]) };
const REGION: Parameter = text("region", "Of which region; without it that of the configuration (account.region).");
const AFTER: Parameter = text("after", "What `next` of the answer before was: the page that follows it.");
const LIMIT: Parameter = Parameter {
    name: "limit",
    about: "How many items a page has at most; without it 100.",
    kind: Kind::Number { max: PAGE_ITEMS_MAX },
};

/// The parameters of questions to the lake.
const OF_LAKE: &[Parameter] = &[
    text(
        "since",
        "Only what happened then or later: `7d` ago (also `m`, `h`, `w`), `2026-11-01`, `2026-11-01T12:00:00Z`.",
    ),
    text("until", "Only what happened before."),
    Parameter {
        name: "where",
        about: "Only rows of which this holds: `port=23,2323`, `country!=CN`, `port>=1024`, `source^=192.0.2.` (begins with), \
                `value~=busybox` (has in it). May be given several times, and all must hold.",
        kind: Kind::Texts,
    },
    text("by", "Count by these columns, with commas between them, four at most."),
    Parameter {
        name: "every",
        about: "Count by pieces of time, in UTC.",
        kind: Kind::Word(&["hour", "day", "week", "month"]),
    },
    text("distinct", "Also count the different values of this column."),
    Parameter {
        name: "top",
        about: "Only so many groups, of each piece of time, those with the most rows.",
        kind: Kind::Number { max: LISTED_ROWS_MAX },
    },
    Parameter {
        name: "list",
        about: "List so many rows, the latest first, instead of counting them.",
        kind: Kind::Number { max: LISTED_ROWS_MAX },
    },
    FORMAT,
];

/// All that can be read.
const PATHS: &[Path] = &[
    Path {
        name: "attacks",
        about: "Sessions of strangers with sensors, counted or listed, as `komainu attacks` does.",
        parameters: OF_LAKE,
        items: "A group with its count, or a session: the columns are those of docs/lake.md.",
        read: lake::attacks,
    },
    Path {
        name: "observables",
        about: "What sessions showed (credentials, commands, URLs, files, weaknesses), counted or listed, as \
                `komainu observables` does.",
        parameters: OF_LAKE,
        items: "A group with its count, or an observable: the columns are those of docs/lake.md.",
        read: lake::observables,
    },
    Path {
        name: "alarms",
        about: "Violations that go on, the latest first.",
        parameters: &[
            REGION,
            text("device", "Only of this device."),
            text("profile", "Only of this security profile."),
            Parameter {
                name: "suppressed",
                about: "Whether those are listed as well whose behavior suppresses alerts.",
                kind: Kind::Word(&["no", "yes"]),
            },
            AFTER,
            LIMIT,
            FORMAT,
        ],
        items: "A violation.",
        read: answers::alarms,
    },
    Path {
        name: "sensors",
        about: "Sensors that were heard of, in the order of their names.",
        parameters: &[REGION, FORMAT],
        items: "A sensor with what it says of its health.",
        read: answers::sensors,
    },
    Path {
        name: "indicators",
        about: "What devices should not be in contact with, in the order of their ids.",
        parameters: &[
            Parameter {
                name: "state",
                about: "Only of this state; without it those that devices are judged by.",
                kind: Kind::Word(&["active", "expired", "revoked", "all"]),
            },
            AFTER,
            LIMIT,
            FORMAT,
        ],
        items: "An indicator.",
        read: answers::indicators,
    },
];

/// Whether a request is one of these.
pub(crate) fn is_meant<B>(request: &Request<B>) -> bool {
    request.uri().path().starts_with(PREFIX)
}

/// Answers somebody who reads.
pub(crate) async fn answer<B>(api: &Arc<Api>, peer: &PeerInfo, request: &Request<B>) -> Response<Full<Bytes>> {
    let answered = match request.uri().path().strip_prefix(PREFIX) {
        // What can be asked for is no secret.
        Some("openapi.json") if request.method() == Method::GET => {
            Ok(json(StatusCode::OK, openapi::description().to_string()))
        }
        Some("openapi.json") => Err(Refusal::NoSuchMethod),
        name => read(api, peer, request, name.unwrap_or_default()).await,
    };
    let mut response = answered.unwrap_or_else(|refusal| refusal.response());
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn read<B>(
    api: &Arc<Api>,
    peer: &PeerInfo,
    request: &Request<B>,
    name: &str,
) -> Result<Response<Full<Bytes>>, Refusal> {
    // Whoever has a key may read: there is no lesser role than a viewer's.
    auth::by_header(api, request.headers()).map_err(|problem| match problem {
        HeaderKeyProblem::Missing => Refusal::NoKey,
        HeaderKeyProblem::Wrong { key, suppressed } => {
            if let Some(suppressed) = suppressed {
                let (address, key) = (peer.address, key.as_ref().map(tracing::field::display));
                warn!(event = events::READING_REFUSED, %address, key, suppressed, "access key refused");
            }
            Refusal::WrongKey
        }
    })?;
    let path = PATHS.iter().find(|path| path.name == name).ok_or(Refusal::NotFound)?;
    note_route(format_args!("{PREFIX}{}", path.name));
    if request.method() != Method::GET {
        return Err(Refusal::NoSuchMethod);
    }
    let asked = Asked::read(path, request.uri().query().unwrap_or_default())?;
    let turn = turn(api).await?;
    let api = api.clone();
    let span = Span::current();
    let made = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let _span = debug_span!(parent: &span, "read").entered();
        let is_csv = asked.one("format") == Some("csv");
        (path.read)(&api, &asked).map(|sheet| if is_csv { (CSV, sheet.csv()) } else { (JSON, sheet.json()) })
    });
    let (media_type, body) = made.await.map_err(|error| {
        error!(event = events::READING_UNAVAILABLE, %error, "a question ended in a bug");
        Refusal::Unavailable
    })??;
    Ok(respond(StatusCode::OK, media_type, body))
}

const CSV: &str = "text/csv; charset=utf-8; header=present";
const JSON: &str = "application/json";

async fn turn(api: &Api) -> Result<OwnedSemaphorePermit, Refusal> {
    match timeout(TURN_TIMEOUT, api.reading_room.0.clone().acquire_owned()).await {
        Ok(Ok(turn)) => Ok(turn),
        Ok(Err(_)) | Err(_) => Err(Refusal::Busy),
    }
}

/// The parameters of a request, of which each is one of its path's and well-formed.
struct Asked {
    path: &'static Path,
    given: Vec<(String, String)>,
}

impl Asked {
    fn read(path: &'static Path, query: &str) -> Result<Self, Refusal> {
        if query.len() > QUERY_BYTES_MAX {
            return Err(Refusal::Malformed(format!("the query has more than {QUERY_BYTES_MAX} bytes")));
        }
        let form = query.replace('+', "%20");
        let given = komainu_aws::parse_query(&form);
        let given = given.ok_or_else(|| Refusal::Malformed("the query is not UTF-8".to_owned()))?;
        for (place, (name, value)) in given.iter().enumerate() {
            let wrong = |problem: String| Err(Refusal::Malformed(format!("{name}: {problem}")));
            let Some(parameter) = path.parameters.iter().find(|parameter| parameter.name == name) else {
                let names: Vec<_> = path.parameters.iter().map(|parameter| parameter.name).collect();
                let (name, names) = (name.escape_debug(), names.join(", "));
                return Err(Refusal::Malformed(format!("there is no parameter `{name}`; there are: {names}")));
            };
            let is_again = given[..place].iter().any(|(before, _)| before == name);
            match parameter.kind {
                Kind::Texts => {}
                Kind::Text | Kind::Number { .. } | Kind::Word(_) if is_again => {
                    return wrong("it is given twice".to_owned());
                }
                Kind::Text => {}
                Kind::Number { max } if !value.parse().is_ok_and(|number| (1..=max).contains(&number)) => {
                    return wrong(format!("write a number from 1 to {max}"));
                }
                Kind::Word(words) if !words.contains(&value.as_str()) => {
                    return wrong(format!("write one of {}", words.join(", ")));
                }
                Kind::Number { .. } | Kind::Word(_) => {}
            }
        }
        Ok(Self { path, given })
    }

    /// The value of a parameter that is given once at most.
    fn one(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All values of a parameter.
    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        debug_assert!(self.path.parameters.iter().any(|parameter| parameter.name == name), "{name} is not described");
        self.given.iter().filter(move |(of, _)| of == name).map(|(_, value)| value.as_str())
    }

    /// A number, which was checked when the request was read.
    fn number(&self, name: &str) -> Option<usize> {
        self.one(name)?.parse().ok()
    }

    /// Whose things are meant.
    fn scope(&self, api: &Api) -> Result<Scope, Refusal> {
        let region = self.one("region").map(Region::parse).transpose()?;
        Ok(Scope { account: api.control.account().clone(), region: region.unwrap_or(api.config.region.clone()) })
    }
}

/// Why somebody is not given what they ask for. [`Refusal::response`] is the only table from there to statuses.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Refusal {
    /// The question makes no sense: it would not at another time, either.
    Malformed(String),
    /// There is nothing of the name.
    NotFound,
    /// It is for reading.
    NoSuchMethod,
    /// There is no key in the request.
    NoKey,
    /// There is no such key, or it is not active.
    WrongKey,
    /// The answer would be too large.
    TooLarge(String),
    /// Too many others ask.
    Busy,
    /// A store failed.
    Unavailable,
}

impl Refusal {
    fn response(&self) -> Response<Full<Bytes>> {
        let (status, code, message) = match self {
            Self::Malformed(message) => (StatusCode::BAD_REQUEST, "malformed", message.as_str()),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "what there is stands in /api/v1/openapi.json"),
            Self::NoSuchMethod => (StatusCode::METHOD_NOT_ALLOWED, "no-such-method", "this is for reading: GET"),
            Self::NoKey => (StatusCode::UNAUTHORIZED, "no-key", "x-apikey is missing: give an access key as ID:SECRET"),
            Self::WrongKey => (StatusCode::UNAUTHORIZED, "wrong-key", "x-apikey is no active access key as ID:SECRET"),
            Self::TooLarge(message) => (StatusCode::UNPROCESSABLE_ENTITY, "too-large", message.as_str()),
            Self::Busy => (StatusCode::TOO_MANY_REQUESTS, "busy", "come again later"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the store does not answer"),
        };
        let mut response = json(status, serde_json::json!({"error": {"code": code, "message": message}}).to_string());
        if matches!(self, Self::Busy | Self::Unavailable) {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
        }
        response
    }

    fn unavailable(error: &dyn Error) -> Self {
        let cause = error.source().map(tracing::field::display);
        error!(event = events::READING_UNAVAILABLE, %error, cause, "what was asked for cannot be read");
        Self::Unavailable
    }
}

impl From<InvalidName> for Refusal {
    fn from(error: InvalidName) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl From<LakeError> for Refusal {
    fn from(error: LakeError) -> Self {
        match error {
            LakeError::Invalid { .. } => Self::Malformed(error.to_string()),
            LakeError::TooLarge { .. } => Self::TooLarge(error.to_string()),
            LakeError::Damaged { .. } | LakeError::Unavailable { .. } => Self::unavailable(&error),
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::BadPageToken => Self::Malformed("after: it is not one that was given out".to_owned()),
            StoreError::Damaged { .. } | StoreError::Unavailable { .. } => Self::unavailable(&error),
        }
    }
}

/// A line that names a path, then a query: what is asked of an empty lake has an answer whose rows have its columns.
#[cfg(fuzzing)]
pub(crate) fn fuzz(bytes: &[u8]) {
    use komainu_model::Timestamp;
    use komainu_ports::{LakeTable, MemoryLake};

    let text = String::from_utf8_lossy(bytes);
    let (name, query) = text.split_once('\n').unwrap_or(("attacks", &text));
    let Some(path) = PATHS.iter().find(|path| path.name == name) else { return };
    let Ok(asked) = Asked::read(path, query) else { return };
    for parameter in path.parameters {
        match parameter.kind {
            Kind::Texts => {}
            Kind::Text | Kind::Number { .. } | Kind::Word(_) => assert!(asked.all(parameter.name).count() <= 1),
        }
    }
    let table = match path.name {
        "attacks" => LakeTable::Attacks,
        "observables" => LakeTable::Observables,
        _ => return,
    };
    let Ok(wanted) = lake::Wanted::read(&asked, table, Timestamp::from_unix_seconds(1_800_000_000)) else { return };
    let Ok(sheet) = wanted.answer(&MemoryLake::default()) else { return };
    assert!(sheet.rows.iter().all(|row| row.len() == sheet.columns.len()));
    assert!(serde_json::from_str::<serde::de::IgnoredAny>(&sheet.json()).is_ok());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_read_by_the_table() {
        let check = |name: &str, query: &str, expected: Result<(), &str>| {
            let path = PATHS.iter().find(|path| path.name == name).unwrap();
            let read = Asked::read(path, query).map(drop).map_err(|refusal| match refusal {
                Refusal::Malformed(message) => message,
                other => format!("{other:?}"),
            });
            match expected {
                Ok(()) => assert_eq!(read, Ok(()), "{query}"),
                Err(start) => {
                    let message = read.unwrap_err();
                    assert!(message.starts_with(start), "{query}: {message}");
                }
            }
        };
        check("attacks", "", Ok(()));
        check("attacks", "by=country,port&since=7d&where=port%3D23&where=country!%3DCN&top=10&format=csv", Ok(()));
        check("attacks", "list=10001", Err("list: write a number from 1 to 10000"));
        check("attacks", "list=0", Err("list: write a number"));
        check("attacks", "list=x", Err("list: write a number"));
        check("attacks", "every=minute", Err("every: write one of hour, day, week, month"));
        check("attacks", "by=country&by=port", Err("by: it is given twice"));
        check("attacks", "b%0Ay=1", Err("there is no parameter `b\\ny`; there are: since"));
        check("attacks", "%ff=1", Err("the query is not UTF-8"));
        check("alarms", "device=lamp&limit=1000&after=x", Ok(()));
        check("alarms", "limit=1001", Err("limit: write a number"));
        check("sensors", "limit=1", Err("there is no parameter"));
        check("attacks", &format!("by={}", "a".repeat(QUERY_BYTES_MAX)), Err("the query has more than"));
    }
}
