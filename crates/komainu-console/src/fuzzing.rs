//! Entrances for the fuzz target.

use komainu_model::Timestamp;

use crate::{browsers, cookie, fields, provider, shown, totp};

/// What a browser may send: no panic; an address that is gone on to is one of ours, and what is shown has nothing unseen.
pub fn request(bytes: &[u8]) {
    let fields = fields::Fields::parse(bytes).unwrap_or_default();
    if let Some(path) = fields::local_path(fields.one("then")) {
        assert!(path.starts_with('/') && !path.starts_with("//") && path.is_ascii());
    }
    let text = String::from_utf8_lossy(bytes);
    cookie::find(&text, cookie::SESSION);
    let flow = cookie::find_within(&text, cookie::FLOW, provider::FLOW_BYTES_MAX).unwrap_or(&text);
    let (flows, now) = (provider::Flows::new([1; 32]), Timestamp::from_unix_seconds(1_700_000_000));
    assert!(flows.of_cookie(flow, now).is_none(), "nobody signed it");
    if let Some(flow) = flows.of_cookie(&flows.signed(flow), now) {
        assert!(fields::local_path(&flow.then).is_some());
    }
    assert!(browsers::Browsers::new([1; 32]).known(&text, "aiko").is_none(), "nobody signed it");
    komainu_texts::wished(&text);
    let _ = crate::routes::find(&hyper::Method::GET, &text);
    if let Some(secret) = totp::from_base32(&text) {
        assert!(totp::from_base32(&totp::base32(&secret)) == Some(secret));
    }
    let shown = shown::shown(bytes);
    assert!(!shown.chars().any(char::is_control) && !shown.contains('\u{202e}'));
}
