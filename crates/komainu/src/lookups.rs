//! Who is asked what they know of samples, as the configuration has it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use komainu_engines::{ListRead, LookupConfig, RemoteLookup, SampleLookups};
use komainu_ports::SampleLookup;

use crate::config::LabSection;

/// Those who may know samples by their digests. Reads lists, so it blocks.
pub(crate) fn open(section: &LabSection) -> anyhow::Result<Vec<Arc<dyn SampleLookup>>> {
    let remote = |key_file: &Option<_>, url: &str, pause_s| {
        let (url, pause) = (url.to_owned(), Duration::from_secs(pause_s));
        key_file.clone().map(|key_file| RemoteLookup { key_file, url, pause })
    };
    let config = LookupConfig {
        virustotal: remote(&section.virustotal_key_file, &section.virustotal_url, section.virustotal_pause_s),
        malwarebazaar: remote(
            &section.malwarebazaar_key_file,
            &section.malwarebazaar_url,
            section.malwarebazaar_pause_s,
        ),
        lists: section.known_lists.clone(),
        extra_roots_file: section.extra_roots_file.clone(),
    };
    let SampleLookups { sources, lists } =
        komainu_engines::lookups(&config).context("cannot ask others about samples")?;
    lists.iter().for_each(log);
    Ok(sources)
}

/// What of a list can be used, and what cannot.
fn log(list: &ListRead) {
    let ListRead { source, digests, unusable, problems } = list;
    for problem in problems {
        let (event, line, reason) = (komainu_lab::LIST_LINE_UNUSABLE, problem.line, &problem.reason);
        tracing::warn!(event, source, line, reason, "line not used");
    }
    tracing::info!(event = komainu_lab::LIST_READ, source, digests, unusable, "list of known samples read");
}
