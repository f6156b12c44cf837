//! What becomes known of a flow by others than those who decode it, perhaps after its end.

use std::sync::Arc;

use komainu_model::Confidentiality;
use serde::Serialize;

use super::summary::{ArtifactLine, Via};
use super::{Keeper, Recorder};
use crate::artifact::{Sha256Digest, Stored};
use crate::eve::Log;
use crate::log::Head;

/// Writes lines that belong to a flow: about 600 bytes, apart from what it shares.
#[derive(Debug, Clone)]
pub(crate) struct Afterword {
    pub(super) recorder: Arc<Recorder>,
    session_id: Box<str>,
    flow_id: u64,
    ends: Box<str>,
    app_proto: Option<&'static str>,
    rest: Box<str>,
    confidentiality: Confidentiality,
}

impl Afterword {
    /// Who writes further lines about the flow of a keeper.
    pub(super) fn of(keeper: &Keeper) -> Self {
        let head = keeper.head(0);
        Self {
            recorder: keeper.recorder.clone(),
            session_id: keeper.session_id().into(),
            flow_id: head.flow_id,
            ends: head.ends.into(),
            app_proto: head.app_proto,
            rest: head.rest.into(),
            confidentiality: head.confidentiality,
        }
    }

    pub(crate) fn session_id(&self) -> &str {
        &self.session_id
    }

    /// Writes the line of a file that was found in a share of the target and can have been brought by nobody else.
    pub(crate) fn found_in_share(&self, at: i64, path: &str, contents: &[u8], sha256: Sha256Digest, stored: Stored) {
        self.note(at, "artifact", &ArtifactLine::new(at, sha256, contents, path.as_bytes(), Via::Share, stored));
    }

    /// Writes a line of `honeypot.json`.
    pub(crate) fn note(&self, at: i64, event_type: &'static str, body: &impl Serialize) {
        let head = Head {
            at,
            flow_id: self.flow_id,
            ends: &self.ends,
            app_proto: self.app_proto,
            rest: &self.rest,
            confidentiality: self.confidentiality,
        };
        self.recorder.parts.log.write(Log::Honeypot, &head, event_type, body);
    }

    /// Stores a file that was fetched, writes its line, and has it scanned.
    pub(crate) fn fetched(&self, at: i64, name: &str, contents: &[u8]) -> (Sha256Digest, Stored) {
        let (sha256, stored) = self.recorder.keep(contents);
        self.note(at, "artifact", &ArtifactLine::new(at, sha256, contents, name.as_bytes(), Via::Fetch, stored));
        self.scan(at, sha256, contents);
        (sha256, stored)
    }
}
