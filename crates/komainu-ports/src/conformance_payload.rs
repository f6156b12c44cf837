//! What every engine that scans payloads must do.

use crate::payload::{PayloadScanner, ScanError};

/// The name of the one rule that the engine under test has. It holds where [`CONFORMANCE_WORD`] stands, its namespace is
/// `conformance`, it has the tag `tag`, and `komainu_label` is `dropper`.
pub const CONFORMANCE_RULE: &str = "holds";
/// What that rule looks for.
pub const CONFORMANCE_WORD: &str = "a word that is not there by accident";

/// Checks an engine with that rule, which scans at most `bytes_max` bytes.
///
/// # Panics
///
/// When the engine does anything else.
pub fn check_payload_scanner(scanner: &dyn PayloadScanner, bytes_max: usize) {
    let with_word = [b"something, ".as_slice(), CONFORMANCE_WORD.as_bytes(), b", something else"].concat();
    for round in 0..3 {
        let found = scanner.scan(&with_word).expect("a small payload is scanned");
        let [one] = &found[..] else { panic!("round {round}: one rule holds, not {found:?}") };
        assert_eq!((&*one.namespace, &*one.rule), ("conformance", CONFORMANCE_RULE));
        assert_eq!(one.tags, ["tag"]);
        assert_eq!(one.meta, [("komainu_label".to_owned(), "dropper".to_owned())]);
        let places: Vec<_> = one.places.iter().map(|place| (place.offset, place.bytes)).collect();
        assert_eq!(places, [(11, CONFORMANCE_WORD.len() as u64)]);
        assert_eq!(scanner.scan(b"nothing of that kind").expect("a small payload is scanned"), []);
        assert_eq!(scanner.scan(b"").expect("an empty payload is scanned"), []);
        // It goes on where it was left.
        scanner.rest();
    }
    assert_eq!(scanner.scan(&vec![0; bytes_max]).expect("a payload of the largest size is scanned"), []);
    match scanner.scan(&vec![0; bytes_max + 1]) {
        Err(ScanError::TooLarge { bytes, bytes_max: most }) => assert_eq!((bytes, most), (bytes_max + 1, bytes_max)),
        other => panic!("a payload that is too large is refused, not {other:?}"),
    }
}
