//! What every engine that keeps the artifacts of sensors must do. Whether contents have the digest under which they come
//! is checked by whoever brings them.

#![expect(clippy::unwrap_used, reason = "these functions are the bodies of tests")]

use komainu_model::{Confidentiality, SampleDigest};

use crate::sensor_records::{ArtifactKept, ArtifactReadError, SensorArtifacts, StoredArtifact};

const OPEN: Confidentiality = Confidentiality::Open;
const CONFIDENTIAL: Confidentiality = Confidentiality::Confidential;

/// Checks everything that does not need a medium; `new` makes an empty store.
pub fn check_sensor_artifacts(new: &dyn Fn() -> Box<dyn SensorArtifacts>) {
    // So many bytes of 7, and their SHA-256.
    for (pieces, sha256) in [
        (&[][..], "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (&[1], "ca358758f6d27e6cf45272937977a748fd88391db679ceda7dc7bf1f005ee879"),
        (&[65_536], "07dcb6d11a03624831513672ffdb84d6b1730f54e90aaace444fe3a8ea9b2163"),
        (&[65_535, 1, 1], "5ada55500fc283f478a1303fb529ad69626d1ce9209ebc5878f9a45de61e635e"),
        (&[1_000; 200], "8cfcba83dcfc81a193bb4e52fd3161efb513906f52cbbe2328fac5f1a79c2b6e"),
    ] {
        takes_pieces(&*new(), pieces, SampleDigest::parse(sha256).unwrap().sha256());
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

fn takes_pieces(artifacts: &dyn SensorArtifacts, pieces: &[usize], sha256: &[u8; 32]) {
    assert_eq!(artifacts.holds(sha256), None);
    for _ in 0..2 {
        keep(artifacts, sha256, pieces, OPEN);
        assert_eq!(artifacts.holds(sha256), Some(OPEN));
        let bytes = pieces.iter().sum::<usize>();
        assert_eq!(artifacts.read(sha256).unwrap(), vec![7; bytes]);
        let all = [StoredArtifact { sha256: *sha256, bytes: bytes as u64, confidentiality: OPEN }];
        assert_eq!(artifacts.artifacts().unwrap(), all);
    }
    assert_eq!(artifacts.holds(&[2; 32]), None);
    assert!(matches!(artifacts.read(&[2; 32]), Err(ArtifactReadError::Missing)));
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
