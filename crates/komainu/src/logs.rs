//! Log lines on standard error: for people on a terminal, JSON for programs.

use std::io::IsTerminal;

use anyhow::Context;
use tracing_subscriber::EnvFilter;
#[cfg(feature = "opentelemetry")]
use tracing_subscriber::{Layer, Registry, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::config::{Log, LogFormat};

/// Starts logging for the process.
pub(crate) fn start(config: &Log) -> anyhow::Result<()> {
    let filter = filter(config)?;
    let Style { as_text, with_colours } = Style::of(config);
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if as_text {
        lines.with_ansi(with_colours).init();
    } else {
        lines.json().init();
    }
    Ok(())
}

/// The same, with a layer besides that has a filter of its own. It costs more: each layer is asked about what is told.
#[cfg(feature = "opentelemetry")]
pub(crate) fn start_with(config: &Log, layer: impl Layer<Registry> + Send + Sync) -> anyhow::Result<()> {
    let filter = filter(config)?;
    let Style { as_text, with_colours } = Style::of(config);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(layer);
    if as_text {
        registry.with(lines.with_ansi(with_colours).with_filter(filter)).init();
    } else {
        registry.with(lines.json().with_filter(filter)).init();
    }
    Ok(())
}

fn filter(config: &Log) -> anyhow::Result<EnvFilter> {
    EnvFilter::try_new(&config.filter)
        .with_context(|| format!("log.filter {:?} is not a filter such as info,komainu=debug", config.filter))
}

/// How lines look.
struct Style {
    as_text: bool,
    with_colours: bool,
}

impl Style {
    fn of(config: &Log) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let as_text = match config.format {
            LogFormat::Auto => is_terminal,
            LogFormat::Text => true,
            LogFormat::Json => false,
        };
        Self { as_text, with_colours: is_terminal && std::env::var_os("NO_COLOR").is_none() }
    }
}
