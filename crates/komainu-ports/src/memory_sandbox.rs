//! A sandbox that runs nothing: it answers with what was recorded before.

use komainu_trace::GuestIsa;

use crate::BoxFuture;
use crate::sandbox::{Detonation, DetonationRequest, Sandbox, SandboxError};

/// Answers each request with a recorded detonation for the same processor and the same rights: for tests, and to look at
/// a recording as if it had just been made.
#[derive(Debug, Default)]
pub struct MemorySandbox {
    recorded: Vec<Detonation>,
    sample_bytes_max: usize,
}

impl MemorySandbox {
    /// Answers with these, and refuses samples of no byte and of more than `sample_bytes_max`.
    pub fn new(recorded: Vec<Detonation>, sample_bytes_max: usize) -> Self {
        Self { recorded, sample_bytes_max }
    }
}

impl Sandbox for MemorySandbox {
    fn isas(&self) -> Vec<GuestIsa> {
        GuestIsa::ALL.into_iter().filter(|isa| self.recorded.iter().any(|one| one.isa == *isa)).collect()
    }

    fn detonate(&self, request: DetonationRequest) -> BoxFuture<'_, Result<Detonation, SandboxError>> {
        Box::pin(async move {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
            let is_name = !request.file_name.is_empty() && request.file_name.bytes().all(is_plain);
            if request.sample.is_empty() || request.sample.len() > self.sample_bytes_max || !is_name {
                return Err(SandboxError::Refused("it is beyond a bound".to_owned()));
            }
            let isa = request.isa;
            let of_isa = self.recorded.iter().filter(|one| one.isa == isa);
            let recorded = of_isa.clone().find(|one| one.run_as == request.run_as).or_else(|| of_isa.clone().next());
            let none = || SandboxError::NoGuest { isa, reason: "nothing is recorded for it".to_owned() };
            let recorded = recorded.ok_or_else(none)?;
            let ran_for = recorded.ran_for.min(request.runs_for_max);
            Ok(Detonation { id: request.id, run_as: request.run_as, ran_for, ..recorded.clone() })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use komainu_model::Timestamp;

    use super::*;
    use crate::conformance_sandbox::check_sandbox;
    use crate::{DetonationCost, DetonationEnd, RunAs};

    #[tokio::test]
    async fn memory_runs_samples() {
        let recorded = Detonation {
            id: "recorded".into(),
            isa: GuestIsa::Mips,
            run_as: RunAs::User,
            started: Timestamp::from_unix_millis(0),
            ran_for: Duration::from_secs(60),
            end: DetonationEnd::TimeOver,
            guest: Vec::new(),
            network: Vec::new(),
            packets: Vec::new(),
            contents: Vec::new(),
            cut: Vec::new(),
            cost: DetonationCost::default(),
        };
        let sandbox = MemorySandbox::new(vec![recorded], 1 << 10);
        check_sandbox(&sandbox, b"#!/bin/sh\n", 1 << 10).await;
    }
}
