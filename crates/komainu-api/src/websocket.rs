//! The WebSocket handshake of MQTT clients on `/mqtt` (RFC 6455, section 4.2; MQTT 3.1.1, section 6).

use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use komainu_aws::sigv4::SignedParts;
use komainu_ports::{PeerInfo, WebSocketIdentity};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::auth::Claimed;
use crate::error::{ApiError, ErrorKind};
use crate::{Api, roles};

/// The path AWS serves MQTT over WebSocket on.
pub(crate) const PATH: &str = "/mqtt";

/// The service that clients sign WebSocket requests for.
const SIGNING_NAME: &str = "iotdevicegateway";

/// The subprotocol.
const PROTOCOL: &str = "mqtt";

/// Whether the request asks for an upgrade to a WebSocket.
pub(crate) fn is_upgrade<B>(request: &Request<B>) -> bool {
    request.uri().path() == PATH && has_token(request.headers(), UPGRADE.as_str(), "websocket")
}

/// An upgrade that was granted.
pub(crate) struct Upgrade {
    /// What answers the request.
    pub(crate) response: Response<()>,
    /// Who speaks.
    pub(crate) identity: WebSocketIdentity,
}

/// Grants or refuses an upgrade. A signature counts before a certificate: who signs says who he wants to be.
pub(crate) fn upgrade(
    api: &Api,
    request: &Request<Incoming>,
    parts: &SignedParts<'_>,
    peer: &PeerInfo,
) -> Result<Upgrade, ApiError> {
    let accept = check_handshake(request.method(), request.headers())?;
    let identity = match (Claimed::read(api, parts), peer.certificate) {
        (Ok(claimed), _) => {
            if claimed.service() != SIGNING_NAME {
                let message = format!("Credential should be scoped to correct service: '{SIGNING_NAME}'.");
                return Err(ApiError::new(ErrorKind::BadSignature, message));
            }
            let (caller, _) = claimed.verify(api, parts)?;
            roles::check_broker(&caller)?;
            WebSocketIdentity::Operator { key: caller.key, scope: caller.scope }
        }
        (Err(error), Some(certificate)) if error.kind == ErrorKind::MissingAuthentication => {
            WebSocketIdentity::Certificate(certificate)
        }
        (Err(error), _) => return Err(error),
    };
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    Ok(Upgrade { response, identity })
}

/// Checks what RFC 6455 asks of the client and gives the value of `Sec-WebSocket-Accept`.
fn check_handshake(method: &Method, headers: &HeaderMap) -> Result<HeaderValue, ApiError> {
    if method != Method::GET || !has_token(headers, CONNECTION.as_str(), "upgrade") {
        return Err(ApiError::invalid("a WebSocket upgrade must be a GET with `Connection: Upgrade`"));
    }
    if !has_token(headers, SEC_WEBSOCKET_VERSION.as_str(), "13") {
        return Err(ApiError::invalid("Sec-WebSocket-Version must be 13"));
    }
    if !has_token(headers, SEC_WEBSOCKET_PROTOCOL.as_str(), PROTOCOL) {
        return Err(ApiError::invalid("Sec-WebSocket-Protocol must offer mqtt"));
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).filter(|key| key.len() == 24);
    let key = key.ok_or_else(|| ApiError::invalid("Sec-WebSocket-Key must be 16 bytes in base64"))?;
    let accept = derive_accept_key(key);
    Ok(HeaderValue::from_str(&accept).expect("base64 is a header value"))
}

/// Whether a comma-separated header has this token, whatever its case.
fn has_token(headers: &HeaderMap, name: &str, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|part| part.trim().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: (&'static str, Option<&'static str>), expected: Result<&str, &str>) {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-protocol", "mqttv3.1, mqtt"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        match change {
            (name, Some(value)) => drop(headers.insert(name, HeaderValue::from_static(value))),
            (name, None) => drop(headers.remove(name)),
        }
        let found = check_handshake(&Method::GET, &headers);
        let found = found.as_ref().map(|accept| accept.to_str().unwrap()).map_err(|error| error.message.as_str());
        assert_eq!(found, expected);
    }

    #[test]
    fn handshakes_are_checked() {
        // The key and its answer are those of RFC 6455, section 1.3.
        check(("x-other", None), Ok("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        check(("sec-websocket-version", Some("8")), Err("Sec-WebSocket-Version must be 13"));
        check(("sec-websocket-protocol", Some("chat")), Err("Sec-WebSocket-Protocol must offer mqtt"));
        check(("sec-websocket-protocol", None), Err("Sec-WebSocket-Protocol must offer mqtt"));
        check(("sec-websocket-key", Some("short")), Err("Sec-WebSocket-Key must be 16 bytes in base64"));
        check(("connection", Some("close")), Err("a WebSocket upgrade must be a GET with `Connection: Upgrade`"));
    }
}
