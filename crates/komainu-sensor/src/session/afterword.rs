//! What becomes known of a flow by others than those who decode it, perhaps after its end.

use std::sync::Arc;

use serde::Serialize;

use super::summary::{ArtifactLine, Via};
use super::{Keeper, Recorder};
use crate::artifact::{Sha256Digest, Stored};
use crate::eve::Log;
use crate::log::Head;

/// Writes lines that belong to a flow: about 600 bytes, apart from what it shares.
#[derive(Debug)]
pub(crate) struct Afterword {
    recorder: Arc<Recorder>,
    session_id: Box<str>,
    flow_id: u64,
    ends: Box<str>,
    app_proto: Option<&'static str>,
    rest: Box<str>,
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
        }
    }

    pub(crate) fn session_id(&self) -> &str {
        &self.session_id
    }

    /// Writes a line of `honeypot.json`.
    pub(crate) fn note(&self, at: i64, event_type: &'static str, body: &impl Serialize) {
        let head = Head { at, flow_id: self.flow_id, ends: &self.ends, app_proto: self.app_proto, rest: &self.rest };
        self.recorder.parts.log.write(Log::Honeypot, &head, event_type, body);
    }

    /// Stores a file that was fetched, and writes its line.
    pub(crate) fn fetched(&self, at: i64, name: &str, contents: &[u8]) -> (Sha256Digest, Stored) {
        let sha256 = Sha256Digest::of(contents);
        let stored = match &self.recorder.parts.artifacts {
            Some(artifacts) => artifacts.put(sha256, contents),
            None => Stored::No,
        };
        self.note(at, "artifact", &ArtifactLine::new(at, sha256, contents, name.as_bytes(), Via::Fetch, stored));
        (sha256, stored)
    }
}
