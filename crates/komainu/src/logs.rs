//! Log lines on standard error: for people on a terminal, JSON for programs.

use std::io::IsTerminal;

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Starts logging for the process.
pub(crate) fn start(config: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.filter)
        .with_context(|| format!("log.filter {:?} is not a filter such as info,komainu=debug", config.filter))?;
    let is_terminal = std::io::stderr().is_terminal();
    let as_text = match config.format {
        LogFormat::Auto => is_terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if as_text {
        lines.with_ansi(is_terminal && std::env::var_os("NO_COLOR").is_none()).init();
    } else {
        lines.json().init();
    }
    Ok(())
}
