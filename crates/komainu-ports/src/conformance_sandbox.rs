//! What every sandbox must do.

use std::time::Duration;

use komainu_trace::GuestIsa;

use crate::sandbox::{DetonationRequest, RunAs, Sandbox, SandboxError};

/// From the end of a sample's time until its detonation is there: what is left is handed in, or its guest is ended. On a
/// machine without a moment's time, and with a guest that has to boot first.
const GRACE: Duration = Duration::from_secs(300);

/// Checks a sandbox with a sample that does no harm and runs, or is refused by its guest, on each of its processors; it
/// takes samples of at most `sample_bytes_max` bytes.
///
/// # Panics
///
/// When the sandbox does anything else.
pub async fn check_sandbox(sandbox: &dyn Sandbox, sample: &[u8], sample_bytes_max: usize) {
    let isas = sandbox.isas();
    assert!(!isas.is_empty(), "there is a guest");
    let request = |isa: GuestIsa, run_as: RunAs| DetonationRequest {
        id: format!("conformance-{isa}"),
        sample: sample.to_vec(),
        file_name: "sample".to_owned(),
        arguments: Vec::new(),
        isa,
        run_as,
        runs_for_max: Duration::from_secs(2),
        quiet_for_max: None,
        seed: None,
    };
    for isa in isas.iter().copied() {
        for run_as in [RunAs::User, RunAs::Root] {
            let asked = request(isa, run_as);
            let time = asked.runs_for_max + GRACE;
            let detonation = tokio::time::timeout(time, sandbox.detonate(asked.clone()));
            let detonation = detonation.await.expect("a run ends in time").expect("a run has a result");
            assert_eq!((&detonation.id, detonation.isa, detonation.run_as), (&asked.id, isa, run_as));
            // The word to stop has its way to go.
            let most = asked.runs_for_max + Duration::from_secs(1);
            assert!(detonation.ran_for <= most, "it ran for {:?}", detonation.ran_for);
        }
    }
    let refused = [
        DetonationRequest { sample: Vec::new(), ..request(isas[0], RunAs::User) },
        DetonationRequest { sample: vec![0; sample_bytes_max + 1], ..request(isas[0], RunAs::User) },
        DetonationRequest { file_name: "../up".to_owned(), ..request(isas[0], RunAs::User) },
        DetonationRequest { file_name: String::new(), ..request(isas[0], RunAs::User) },
    ];
    for request in refused {
        let outcome = sandbox.detonate(request).await;
        assert!(matches!(outcome, Err(SandboxError::Refused(_))), "what is beyond a bound is refused, not {outcome:?}");
    }
    if let Some(isa) = GuestIsa::ALL.into_iter().find(|isa| !isas.contains(isa)) {
        let outcome = sandbox.detonate(request(isa, RunAs::User)).await;
        assert!(matches!(outcome, Err(SandboxError::NoGuest { .. })), "there is no guest, not {outcome:?}");
    }
}
