//! One request: what it is, who sent it, and what is answered.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode};
use komainu_aws::sigv4::{SignedParts, is_canonical_path};
use komainu_aws::{Operation, Protocol, Service, decode_component, parse_query, query_response};
use komainu_ports::{PeerInfo, WebSocketIdentity};
use parking_lot::Mutex;
use tracing::field::{Empty, display};
use tracing::{Instrument, Span, debug, debug_span, info, warn};

use crate::auth::Claimed;
use crate::dispatch::{CallContext, OwnedRequest};
use crate::error::{ApiError, ErrorKind};
use crate::{Api, Caller, iot_data, public, reading, sensors, virustotal, websocket};

/// The largest body of a request, in bytes. The largest legitimate one is a batch of SNS messages, 256 KiB before it
/// is percent-encoded into a form.
pub(crate) const BODY_BYTES_MAX: usize = 1024 * 1024;

/// A body must be there after this time.
const BODY_READ_S_MAX: u64 = 30;

/// An operation must be done after this time, waiting for its turn included.
const OPERATION_S_MAX: u64 = 30;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// A connection that is about to become a WebSocket.
pub(crate) struct Upgraded {
    pub(crate) stream: OnUpgrade,
    pub(crate) identity: WebSocketIdentity,
}

/// Answers a request.
pub(crate) async fn answer(
    api: Arc<Api>,
    peer: PeerInfo,
    request: Request<Incoming>,
    upgraded: &Mutex<Option<Upgraded>>,
) -> Response<Full<Bytes>> {
    let request_id = api.ids.uuid();
    let span = debug_span!(
        "api.request",
        otel.name = Empty,
        otel.kind = "server",
        http.request.method = method_of(request.method()),
        network.peer.address = %peer.address.ip(),
        komainu.request = %request_id,
        http.route = Empty,
        rpc.system = Empty,
        rpc.service = Empty,
        rpc.method = Empty,
        http.response.status_code = Empty,
    );
    let exchange = Exchange { api, peer, request_id };
    let response = exchange.answer(request, upgraded).instrument(span.clone()).await;
    span.record("http.response.status_code", i64::from(response.status().as_u16()));
    response
}

/// A method as spans tell it: anybody may come with a word of their own (OpenTelemetry's conventions for HTTP).
fn method_of(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "_OTHER",
    }
}

/// Notes in the span of a request which route it took: a pattern of ours, never a path as it came.
pub(crate) fn note_route(route: impl Display) {
    let (span, route) = (Span::current(), display(route));
    span.record("otel.name", &route);
    span.record("http.route", &route);
}

/// What a request is answered with.
struct Exchange {
    api: Arc<Api>,
    peer: PeerInfo,
    request_id: String,
}

/// The operation a request asks for, and who asks.
struct Asked {
    service: Service,
    operation: &'static Operation,
    caller: Caller,
    input: OwnedRequest,
}

impl Exchange {
    async fn answer(
        &self,
        mut request: Request<Incoming>,
        upgraded: &Mutex<Option<Upgraded>>,
    ) -> Response<Full<Bytes>> {
        let mut response = if websocket::is_upgrade(&request) {
            note_route("/mqtt");
            self.upgrade(&mut request, upgraded)
        } else if sensors::is_meant(&request) {
            sensors::answer(&self.api, &self.peer, request).await
        } else if virustotal::is_meant(&request) {
            note_route(virustotal::PREFIX);
            virustotal::answer(&self.api, &self.peer, request).await
        } else if reading::is_meant(&request) {
            reading::answer(&self.api, &self.peer, &request).await
        } else if let Some(response) = public::answer(&self.api, &request, &self.request_id).await {
            response
        } else if is_device_publish(&request, &self.peer) {
            note_route("/topics/{topic}");
            self.publish_as_device(request).await
        } else {
            self.operation(request).await
        };
        let id = HeaderValue::from_str(&self.request_id).expect("a UUID is a header value");
        response.headers_mut().insert(REQUEST_ID, id);
        response
    }

    fn upgrade(&self, request: &mut Request<Incoming>, upgraded: &Mutex<Option<Upgraded>>) -> Response<Full<Bytes>> {
        let stream = hyper::upgrade::on(&mut *request);
        let headers = header_list(request);
        match websocket::upgrade(&self.api, request, &signed_parts(request, &headers, &[]), &self.peer) {
            Ok(granted) => {
                debug!(peer = %self.peer.address, "websocket upgraded");
                *upgraded.lock() = Some(Upgraded { stream, identity: granted.identity });
                granted.response.map(|()| Full::default())
            }
            Err(error) => self.refuse(Service::IotData, request, &error),
        }
    }

    /// A device publishes over HTTPS with its certificate; AWS answers `{"message":"OK"}`.
    async fn publish_as_device(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let head = Request::from_parts(head, ());
        match self.try_publish_as_device(&head, body).await {
            Ok(()) => {
                let body = format!(r#"{{"message":"OK","traceId":"{}"}}"#, self.request_id);
                json(StatusCode::OK, body)
            }
            Err(error) => self.refuse(Service::IotData, &head, &error),
        }
    }

    async fn try_publish_as_device(&self, head: &Request<()>, body: Incoming) -> Result<(), ApiError> {
        let certificate =
            self.peer.certificate.ok_or_else(|| ApiError::new(ErrorKind::Unauthorized, "no certificate"))?;
        let topic = head.uri().path().strip_prefix(TOPICS).unwrap_or_default();
        let topic = decode_component(topic).ok_or_else(|| ApiError::invalid("topic is not UTF-8"))?;
        let query = parse_query(head.uri().query().unwrap_or_default());
        let query = query.ok_or_else(|| ApiError::invalid("query string is not UTF-8"))?;
        let headers = text_headers(head, |_| true);
        let body = read_body(body).await?;
        let request =
            komainu_aws::Request { labels: &[("topic", topic)], query: &query, headers: &headers, body: &body };
        let publish = iot_data::publish_as_device(&self.api, certificate, self.peer.clone(), &request);
        within_deadline(publish).await
    }

    async fn operation(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let head = Request::from_parts(head, ());
        let asked = match self.ask(&head, body).await {
            Ok(asked) => asked,
            Err((service, error)) => return self.refuse(service, &head, &error),
        };
        let Asked { service, operation, caller, input } = asked;
        let span = Span::current();
        span.record("otel.name", display(format_args!("{}/{}", service.signing_name(), operation.name)));
        span.record("rpc.system", "aws-api");
        span.record("rpc.service", service.signing_name());
        span.record("rpc.method", operation.name);
        let key = caller.key.clone();
        let context = CallContext { api: self.api.clone(), caller, request: input };
        match within_deadline(self.api.handlers.call(service, operation, context)).await {
            Ok(output) => {
                debug!(peer = %self.peer.address, %key, operation = operation.name, "operation done");
                match service.protocol() {
                    Protocol::RestJson => json(StatusCode::OK, output.unwrap_or_default()),
                    Protocol::Query => {
                        let namespace = service.xml_namespace();
                        xml(
                            StatusCode::OK,
                            query_response(namespace, operation.name, output.as_deref(), &self.request_id),
                        )
                    }
                }
            }
            Err(error) => self.refuse(service, &head, &error),
        }
    }

    /// Finds out what is asked for and by whom. An error comes with the service whose form it takes.
    async fn ask(&self, head: &Request<()>, body: Incoming) -> Result<Asked, (Service, ApiError)> {
        let guessed = guess_service(head);
        let headers = header_list(head);
        let claimed = Claimed::read(&self.api, &signed_parts(head, &headers, &[])).map_err(|error| (guessed, error))?;
        let service = Service::from_signing_name(claimed.service());
        let body = read_body(body).await.map_err(|error| (service.unwrap_or(guessed), error))?;
        let parts = signed_parts(head, &headers, &body);
        let (caller, verified) =
            claimed.verify(&self.api, &parts).map_err(|error| (service.unwrap_or(guessed), error))?;
        let service = service.ok_or_else(|| {
            let message = format!("The service {:?} is not available yet in Komainu.", claimed.service());
            (guessed, ApiError::new(ErrorKind::NotAvailableYet, message))
        })?;
        let signed = |name: &str| verified.signed_headers.iter().any(|signed| signed == name);
        let (operation, input) =
            route(service, head, text_headers(head, signed), body).map_err(|error| (service, error))?;
        Ok(Asked { service, operation, caller, input })
    }

    /// Answers with an error in the service's form, and logs its cause.
    fn refuse<B>(&self, service: Service, request: &Request<B>, error: &ApiError) -> Response<Full<Bytes>> {
        let (code, status) = error.code_and_status(service);
        let (peer, method, path, request_id) =
            (self.peer.address, request.method(), request.uri().path(), &self.request_id);
        let is_stranger = matches!(
            error.kind,
            ErrorKind::UnknownKey | ErrorKind::BadSignature | ErrorKind::Unauthorized | ErrorKind::AccessDenied
        );
        if is_stranger {
            warn!(%peer, %method, path, code, cause = error.message, request_id, "request not authorized");
        } else {
            info!(%peer, %method, path, code, cause = error.message, request_id, "request refused");
        }
        let status = StatusCode::from_u16(status).expect("the table has HTTP statuses");
        match service.protocol() {
            Protocol::RestJson => {
                let arn = error
                    .resource
                    .as_ref()
                    .map(|(id, arn)| [("resourceId", id.as_str()), ("resourceArn", arn.as_str())]);
                let members = arn.as_ref().map(|members| &members[..]).unwrap_or_default();
                let mut response = json(status, komainu_aws::error::rest_json(&error.message, members));
                response.headers_mut().insert(ERROR_TYPE, HeaderValue::from_static(code));
                response
            }
            Protocol::Query => {
                let (namespace, is_sender_fault) = (service.xml_namespace(), status.is_client_error());
                let body =
                    komainu_aws::error::query(namespace, code, &error.message, is_sender_fault, &self.request_id);
                xml(status, body)
            }
        }
    }
}

/// Finds the operation, by path or by the form's `Action`.
fn route(
    service: Service,
    head: &Request<()>,
    headers: Vec<(String, String)>,
    body: Bytes,
) -> Result<(&'static Operation, OwnedRequest), ApiError> {
    let raw_query = head.uri().query().unwrap_or_default();
    let query = parse_query(raw_query).ok_or_else(|| ApiError::invalid("query string is not UTF-8"))?;
    match service.protocol() {
        Protocol::RestJson => {
            let (method, path) = (head.method().as_str(), head.uri().path());
            let routed = Some(path).filter(|path| is_canonical_path(path)).and_then(|path| service.route(method, path));
            let routed = routed.ok_or_else(|| {
                ApiError::new(ErrorKind::UnknownOperation, format!("{method} {path} is no operation of this service."))
            })?;
            Ok((routed.operation, OwnedRequest { labels: routed.labels, query, headers, body }))
        }
        Protocol::Query => {
            // A presigned GET carries the form in its query string.
            let body = if head.method() == Method::GET { Bytes::copy_from_slice(raw_query.as_bytes()) } else { body };
            let form =
                komainu_aws::parse_form(&body).ok_or_else(|| ApiError::invalid("request body is not a UTF-8 form"))?;
            let action = form.iter().find(|(name, _)| name == "Action").map(|(_, action)| action.as_str());
            let action = action.ok_or_else(|| ApiError::new(ErrorKind::UnknownOperation, "Missing Action"))?;
            let operation = service.operation(action).ok_or_else(|| {
                let message = format!("The action {action:?} is not valid for this endpoint.");
                ApiError::new(ErrorKind::UnknownOperation, message)
            })?;
            Ok((operation, OwnedRequest { labels: Vec::new(), query, headers, body }))
        }
    }
}

/// The service in whose form an error is written while nobody knows yet which one is meant: forms are sent to query
/// services, everything else to IoT.
fn guess_service(head: &Request<()>) -> Service {
    let content_type = head.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_form = content_type.starts_with("application/x-www-form-urlencoded");
    if is_form || head.uri().path() == "/" { Service::Sts } else { Service::Iot }
}

const TOPICS: &str = "/topics/";

/// Whether a device publishes: a certificate and no signature.
fn is_device_publish<B>(request: &Request<B>, peer: &PeerInfo) -> bool {
    request.method() == Method::POST
        && request.uri().path().starts_with(TOPICS)
        && peer.certificate.is_some()
        && !is_signed(request)
}

/// Whether the request carries a signature, right or wrong.
pub(crate) fn is_signed<B>(request: &Request<B>) -> bool {
    request.headers().contains_key(hyper::header::AUTHORIZATION)
        || request.uri().query().is_some_and(|query| query.contains("X-Amz-Algorithm="))
}

async fn read_body(body: Incoming) -> Result<Bytes, ApiError> {
    let too_large =
        || ApiError::new(ErrorKind::TooLarge, format!("Request body is larger than {BODY_BYTES_MAX} bytes."));
    if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
        return Err(too_large());
    }
    let read = Limited::new(body, BODY_BYTES_MAX).collect();
    match tokio::time::timeout(Duration::from_secs(BODY_READ_S_MAX), read).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => Err(ApiError::invalid(format!("request body cannot be read: {error}"))),
        Err(_) => Err(ApiError::invalid(format!("request body did not come within {BODY_READ_S_MAX} s"))),
    }
}

async fn within_deadline<T>(work: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
    let deadline = Duration::from_secs(OPERATION_S_MAX);
    tokio::time::timeout(deadline, work).await.unwrap_or_else(|_| {
        Err(ApiError::new(
            ErrorKind::Unavailable,
            "The service is busy; the operation may have been carried out or not.",
        ))
    })
}

fn header_list<B>(request: &Request<B>) -> Vec<(&str, &[u8])> {
    request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
}

fn signed_parts<'a, B>(request: &'a Request<B>, headers: &'a [(&'a str, &'a [u8])], body: &'a [u8]) -> SignedParts<'a> {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    SignedParts { method: request.method().as_str(), path, query, headers, body }
}

/// The headers that an operation may read, as far as they are text.
fn text_headers<B>(request: &Request<B>, may_read: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let headers = request.headers().iter().filter(|(name, _)| may_read(name.as_str()));
    headers.filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))).collect()
}

pub(crate) fn json(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    respond(status, "application/json", body)
}

fn xml(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    respond(status, "text/xml", body)
}

/// A response of this type.
pub(crate) fn respond(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
