//! The laboratory of a server: what it is made of.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use komainu_lab::{Intake, Laboratory, LaboratoryConfig, LaboratoryPorts};
use komainu_ports::{Clock, IndicatorSink, SampleStore, Sandbox as _, SensorArtifacts};
use komainu_stix::Marking;
use komainu_yara::RuleFiles;

use crate::config::{Config, TlpSetting};
use crate::triage::TriageProcess;
use crate::{lookups, report, sandbox};

/// What a server has for its laboratory.
pub(crate) struct Given {
    pub(crate) store: Arc<dyn SampleStore>,
    pub(crate) intake: Arc<Intake>,
    pub(crate) artifacts: Arc<dyn SensorArtifacts>,
    pub(crate) indicators: Arc<dyn IndicatorSink>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// Opens the laboratory. Also says for people what it can do.
pub(crate) async fn open(config: &Config, given: Given) -> anyhow::Result<(Laboratory, String)> {
    let section = &config.lab;
    let rules = report::rules(&section.rules, false).context("lab.rules")?;
    let yara = Arc::new(RuleFiles::read(&section.yara).context("lab.yara")?);
    let sandbox = Arc::new(sandbox::sandbox(&config.sandbox));
    let of_sandbox = sandbox.clone();
    let isas = tokio::task::spawn_blocking(move || of_sandbox.isas()).await.context("cannot look for guests")?;
    let of_lookups = section.clone();
    let lookups = tokio::task::spawn_blocking(move || lookups::open(&of_lookups)).await;
    let lookups = lookups.context("cannot prepare to ask others about samples")??;
    let asked: Vec<String> = lookups.iter().map(|lookup| lookup.source().to_owned()).collect();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let quiet = Duration::from_secs(section.quiet_seconds);
    let laboratory = Laboratory::start(
        LaboratoryConfig {
            workers: section.workers.unwrap_or(processors),
            runs_for_max: Duration::from_secs(section.seconds),
            quiet_for_max: (!quiet.is_zero()).then_some(quiet),
            rules,
            marking: match section.tlp {
                TlpSetting::White => Marking::White,
                TlpSetting::Green => Marking::Green,
                TlpSetting::Amber => Marking::Amber,
                TlpSetting::Red => Marking::Red,
            },
        },
        LaboratoryPorts {
            store: given.store,
            intake: given.intake,
            artifacts: given.artifacts,
            triage: Arc::new(TriageProcess::new(yara)),
            sandbox,
            lookups,
            indicators: given.indicators,
            clock: given.clock,
        },
    )
    .await?;
    let names: Vec<_> = isas.iter().map(|isa| isa.name()).collect();
    let mut says = if names.is_empty() {
        "static only: no guests (`komainu sandbox isas` says what is missing)".to_owned()
    } else {
        format!("runs samples for {}", names.join(", "))
    };
    if !asked.is_empty() {
        says = format!("{says}; asks {} by digest", asked.join(", "));
    }
    Ok((laboratory, says))
}
