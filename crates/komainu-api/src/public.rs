//! What anybody may ask for: health, version, the certificate that notifications are signed with, and what the links
//! in messages lead to.

use std::sync::Arc;

use aws_lc_rs::digest;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, Response, StatusCode};
use tracing::warn;

use crate::request::{is_signed, json, respond};
use crate::{Api, sns};

const TEXT: &str = "text/plain; charset=utf-8";

/// Answers a request that needs no signature; `None` when it is not one.
pub(crate) async fn answer<B>(api: &Arc<Api>, request: &Request<B>, request_id: &str) -> Option<Response<Full<Bytes>>> {
    if is_signed(request) {
        return None;
    }
    if let Some(response) = sns::links::answer(api, request, request_id).await {
        return Some(response);
    }
    if request.method() != Method::GET {
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
        path => {
            let pem = api.authority.notification_certificate_pem();
            let is_asked_for = path == signing_certificate_path(&pem);
            is_asked_for
                .then(|| respond(StatusCode::OK, "application/x-pem-file", Bytes::copy_from_slice(pem.as_bytes())))
        }
    }
}

/// Where the certificate of the notification key is found; notifications name it by the SHA-256 of its PEM form.
fn signing_certificate_path(pem: &str) -> String {
    let sha256 = digest::digest(&digest::SHA256, pem.as_bytes());
    format!("/SimpleNotificationService-{}.pem", hex::encode(sha256))
}

/// Ready when the store answers.
async fn ready(api: &Arc<Api>) -> Response<Full<Bytes>> {
    let (store, now) = (api.store.clone(), api.clock.now());
    let asked = tokio::task::spawn_blocking(move || store.next_delivery_at(now).map_err(|error| error.to_string()));
    match asked.await.unwrap_or_else(|error| Err(error.to_string())) {
        Ok(_) => respond(StatusCode::OK, TEXT, "ready\n"),
        Err(error) => {
            warn!(error, "not ready");
            respond(StatusCode::SERVICE_UNAVAILABLE, TEXT, "the store does not answer\n")
        }
    }
}
