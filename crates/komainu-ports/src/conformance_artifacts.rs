//! What every engine that keeps the artifacts of sensors must do. Whether contents have the digest under which they come
//! is checked by whoever brings them.

#![expect(clippy::unwrap_used, reason = "these functions are the bodies of tests")]

use komainu_model::Confidentiality;

use crate::sensor_records::{ArtifactKept, SensorArtifacts};

const OPEN: Confidentiality = Confidentiality::Open;
const CONFIDENTIAL: Confidentiality = Confidentiality::Confidential;

/// Checks everything that does not need a medium; `new` makes an empty store.
pub fn check_sensor_artifacts(new: &dyn Fn() -> Box<dyn SensorArtifacts>) {
    for pieces in [&[][..], &[1], &[65_536], &[65_535, 1, 1], &[1_000; 200]] {
        takes_pieces(&*new(), pieces);
    }
    forgets_what_breaks_off(&*new());
    for (brought, expected) in [
        (&[OPEN][..], OPEN),
        (&[CONFIDENTIAL], CONFIDENTIAL),
        (&[CONFIDENTIAL, CONFIDENTIAL], CONFIDENTIAL),
        (&[CONFIDENTIAL, OPEN], OPEN),
        (&[OPEN, CONFIDENTIAL], OPEN),
        (&[CONFIDENTIAL, OPEN, CONFIDENTIAL], OPEN),
    ] {
        knows_what_is_confidential(&*new(), brought, expected);
    }
}

fn keep(artifacts: &dyn SensorArtifacts, sha256: &[u8; 32], pieces: &[usize], confidentiality: Confidentiality) {
    let mut writer = artifacts.begin(sha256, pieces.iter().sum::<usize>() as u64).unwrap();
    for bytes in pieces {
        writer.write(&vec![7; *bytes]).unwrap();
    }
    assert_eq!(writer.finish(confidentiality), ArtifactKept::Yes);
}

fn takes_pieces(artifacts: &dyn SensorArtifacts, pieces: &[usize]) {
    assert_eq!(artifacts.holds(&[1; 32]), None);
    for _ in 0..2 {
        keep(artifacts, &[1; 32], pieces, OPEN);
        assert_eq!(artifacts.holds(&[1; 32]), Some(OPEN));
    }
    assert_eq!(artifacts.holds(&[2; 32]), None);
}

fn forgets_what_breaks_off(artifacts: &dyn SensorArtifacts) {
    let mut writer = artifacts.begin(&[1; 32], 10).unwrap();
    writer.write(b"12345").unwrap();
    drop(writer);
    assert_eq!(artifacts.holds(&[1; 32]), None);
    keep(artifacts, &[1; 32], &[10], OPEN);
    assert_eq!(artifacts.holds(&[1; 32]), Some(OPEN));
}

fn knows_what_is_confidential(artifacts: &dyn SensorArtifacts, brought: &[Confidentiality], expected: Confidentiality) {
    for confidentiality in brought {
        keep(artifacts, &[1; 32], &[10], *confidentiality);
    }
    assert_eq!(artifacts.holds(&[1; 32]), Some(expected), "{brought:?}");
}
