//! What is sent back, and the headers that every answer has.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, REFERRER_POLICY,
    SET_COOKIE, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use maud::Markup;
use tokio::sync::mpsc;

use crate::CookieScope;

/// What a page may do: show itself, with our style, our script and our pictures, and send its forms here. Nothing inline,
/// nothing from elsewhere, in no frame.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// What a document that stands alone may do: show itself with the style that stands in it. It says the same of itself, for those
/// who open it as a file.
const DOCUMENT_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; \
                               frame-ancestors 'none'; base-uri 'none'; sandbox allow-modals";

/// Headers of every answer, besides its policy. Addresses of pages are told to no other site (`Referrer-Policy`): they name what is looked at,
/// and one has a token. With `no-referrer`, browsers would not say either from where a form comes (Fetch, "append a request
/// `Origin` header").
const HEADERS: [(HeaderName, &str); 4] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// A page shows what somebody may see now, and is kept nowhere.
const NOT_KEPT: &str = "no-store";

/// Browsers that came over TLS come over nothing else for a year.
const TLS_ONLY: &str = "max-age=31536000";

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: ReplyBody,
    /// What browsers let it do.
    policy: &'static str,
}

/// What is sent.
#[derive(Debug)]
pub(crate) enum ReplyBody {
    /// All of it; nothing when it was sent.
    Whole(Bytes),
    /// What comes, until nothing more does.
    Stream(mpsc::Receiver<Bytes>),
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Stream(messages) => messages.poll_recv(context).map(|message| Some(Ok(Frame::data(message?)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

impl Reply {
    /// What the client is told.
    pub(crate) const fn status(&self) -> StatusCode {
        self.status
    }

    /// A page.
    pub(crate) fn page(status: StatusCode, page: Markup) -> Self {
        Self::of(status, "text/html; charset=utf-8", page.into_string().into())
    }

    /// Something of this media type.
    pub(crate) fn of(status: StatusCode, media_type: &'static str, body: Bytes) -> Self {
        Self {
            status,
            headers: vec![(CONTENT_TYPE, HeaderValue::from_static(media_type))],
            body: ReplyBody::Whole(body),
            policy: POLICY,
        }
    }

    /// A document of HTML with its own style, which needs nothing else.
    pub(crate) fn document(status: StatusCode, document: String) -> Self {
        Self { policy: DOCUMENT_POLICY, ..Self::of(status, "text/html; charset=utf-8", document.into()) }
    }

    /// Something of this media type that comes piece by piece.
    pub(crate) fn stream(media_type: &'static str, pieces: mpsc::Receiver<Bytes>) -> Self {
        Self { body: ReplyBody::Stream(pieces), ..Self::of(StatusCode::OK, media_type, Bytes::new()) }
    }

    /// On to another page: what a form did is shown there, and loading it again does nothing twice.
    pub(crate) fn on_to(path: &str) -> Self {
        let location = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static("/"));
        Self {
            status: StatusCode::SEE_OTHER,
            headers: vec![(LOCATION, location)],
            body: ReplyBody::Whole(Bytes::new()),
            policy: POLICY,
        }
    }

    /// The same with another header.
    pub(crate) fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.push((name, HeaderValue::from_static(value)));
        self
    }

    /// The same with another header, whose value is made of words of ours; one that is no header's is left out.
    pub(crate) fn with_text(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
        self
    }

    /// The same with a cookie, as `cookie` writes it.
    pub(crate) fn with_cookie(mut self, cookie: &str) -> Self {
        // What is no header value cannot be a cookie of ours.
        self.headers.extend(HeaderValue::from_str(cookie).ok().map(|cookie| (SET_COOKIE, cookie)));
        self
    }

    /// The answer as it is sent.
    pub(crate) fn into_response(self, scope: CookieScope) -> Response<ReplyBody> {
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(self.policy));
        for (name, value) in HEADERS {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if scope == CookieScope::Tls {
            headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(TLS_ONLY));
        }
        for (name, value) in self.headers {
            headers.append(name, value);
        }
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static(NOT_KEPT));
        response
    }
}
