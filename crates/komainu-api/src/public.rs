//! What anybody may ask for: health, version, the certificate that notifications are signed with.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, Response, StatusCode};
use tracing::warn;

use crate::Api;
use crate::request::{is_signed, json, respond};

const TEXT: &str = "text/plain; charset=utf-8";

/// Answers a request that needs no signature; `None` when it is not one.
pub(crate) async fn answer<B>(api: &Arc<Api>, request: &Request<B>) -> Option<Response<Full<Bytes>>> {
    if request.method() != Method::GET || is_signed(request) {
        return None;
    }
    match request.uri().path() {
        "/" => Some(respond(StatusCode::OK, TEXT, "This is the control plane of Komainu; it speaks to AWS clients.\n")),
        "/healthz" => Some(respond(StatusCode::OK, TEXT, "ok\n")),
        "/readyz" => Some(ready(api).await),
        "/version" => {
            let body = format!(r#"{{"name":"komainu","version":"{}"}}"#, env!("CARGO_PKG_VERSION"));
            Some(json(StatusCode::OK, body))
        }
        path if path.starts_with("/SimpleNotificationService-") && path.ends_with(".pem") => {
            let pem = Bytes::copy_from_slice(api.authority.notification_certificate_pem().as_bytes());
            Some(respond(StatusCode::OK, "application/x-pem-file", pem))
        }
        _ => None,
    }
}

/// Ready when the store answers.
async fn ready(api: &Arc<Api>) -> Response<Full<Bytes>> {
    let (store, now) = (api.store.clone(), api.clock.now());
    match tokio::task::spawn_blocking(move || store.next_delivery_at(now)).await {
        Ok(Ok(_)) => respond(StatusCode::OK, TEXT, "ready\n"),
        Ok(Err(error)) => {
            warn!(%error, "not ready");
            respond(StatusCode::SERVICE_UNAVAILABLE, TEXT, "the store does not answer\n")
        }
        Err(error) => {
            warn!(%error, "not ready");
            respond(StatusCode::SERVICE_UNAVAILABLE, TEXT, "the store does not answer\n")
        }
    }
}
