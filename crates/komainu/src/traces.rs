//! Traces of what the server does, for a collector of OpenTelemetry (`docs/traces.md`).
//!
//! The spans stand where the work is done, in all crates, whether somebody collects them or not. What sends them to a collector
//! is in programs that are built with the feature `opentelemetry`; others refuse the configuration.

#[cfg(feature = "opentelemetry")]
mod collector;

use std::path::PathBuf;

use anyhow::bail;
use hyper::Uri;
use serde::{Deserialize, Serialize};

#[cfg(not(feature = "opentelemetry"))]
use crate::{config::Log, logs};

/// Names of log events, as they stand in the field `event`; a test compares them with `docs/events.md`.
#[cfg(any(feature = "opentelemetry", test))]
mod events {
    /// Spans are not with the collector.
    pub(super) const FAILED: &str = "traces.failed";
    /// The collector takes spans, for the first time or again.
    pub(super) const WORKS: &str = "traces.works";
    #[cfg(test)]
    pub(super) const ALL: &[&str] = &[FAILED, WORKS];
}

/// Who collects traces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TracesSection {
    /// The collector: `http://HOST:PORT` or `https://HOST:PORT`, with a path if it is not `/v1/traces`.
    pub(crate) endpoint: Option<String>,
    /// Of all traces this part is collected, from 0 to 1.
    pub(crate) sample_ratio: f64,
    /// A file with headers for the collector, such as a token, as lines `Name: value`.
    pub(crate) headers_file: Option<PathBuf>,
    /// A file with root certificates (PEM) that are trusted besides the system's.
    pub(crate) extra_roots_file: Option<PathBuf>,
}

impl Default for TracesSection {
    fn default() -> Self {
        Self { endpoint: None, sample_ratio: 1.0, headers_file: None, extra_roots_file: None }
    }
}

impl TracesSection {
    /// Whether its values make sense, and whether this program can do what they ask for.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        if !(0.0..=1.0).contains(&self.sample_ratio) {
            bail!("traces.sample_ratio is {}: it must be from 0 to 1", self.sample_ratio);
        }
        let Some(endpoint) = &self.endpoint else {
            if self.headers_file.is_some() || self.extra_roots_file.is_some() {
                bail!("traces.headers_file and traces.extra_roots_file belong to traces.endpoint, which is missing");
            }
            return Ok(());
        };
        read_endpoint(endpoint)?;
        if cfg!(not(feature = "opentelemetry")) {
            bail!(
                "traces.endpoint is set, and this program was built without traces: remove the key, or build the program \
                 with `cargo build --package komainu --release --features opentelemetry` (docs/traces.md)"
            );
        }
        Ok(())
    }
}

/// Where spans are sent: what is configured, and the usual path (OTLP 1.x, "OTLP/HTTP Request") if it has none.
fn read_endpoint(endpoint: &str) -> anyhow::Result<String> {
    let uri = endpoint.parse::<Uri>().ok().filter(|uri| {
        let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
        is_http && uri.authority().is_some_and(|place| !place.as_str().contains('@')) && uri.query().is_none()
    });
    let Some(uri) = uri else {
        bail!("traces.endpoint is {endpoint:?}: write http://HOST:PORT or https://HOST:PORT");
    };
    let base = endpoint.trim_end_matches('/');
    Ok(if uri.path() == "/" { format!("{base}/v1/traces") } else { endpoint.to_owned() })
}

#[cfg(feature = "opentelemetry")]
pub(crate) use self::collector::{Telling, start};

/// What tells a collector of spans; this program has none.
#[cfg(not(feature = "opentelemetry"))]
pub(crate) enum Telling {}

#[cfg(not(feature = "opentelemetry"))]
impl Telling {
    /// Begins to tell.
    pub(crate) fn run(&mut self) {
        match *self {}
    }

    /// Tells what waits.
    #[expect(clippy::unused_async, reason = "there is one that waits, with the feature")]
    pub(crate) async fn end(self) {
        match self {}
    }
}

/// Starts logging for the process, and the collecting of spans if that is configured.
#[cfg(not(feature = "opentelemetry"))]
pub(crate) fn start(log: &Log, _: &TracesSection) -> anyhow::Result<Option<Telling>> {
    logs::start(log)?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_all_events() {
        let documented: Vec<&str> = include_str!("../../../docs/events.md")
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
            .filter(|name| name.starts_with("traces."))
            .collect();
        assert_eq!(documented, events::ALL);
    }

    #[test]
    fn endpoints_are_read() {
        let check = |endpoint: &str, expected: Option<&str>| {
            assert_eq!(read_endpoint(endpoint).ok().as_deref(), expected, "{endpoint}");
        };
        check("http://127.0.0.1:4318", Some("http://127.0.0.1:4318/v1/traces"));
        check("https://collector.example.com/", Some("https://collector.example.com/v1/traces"));
        check("https://collector.example.com/otlp/traces", Some("https://collector.example.com/otlp/traces"));
        check("grpc://collector:4317", None);
        check("collector:4318", None);
        check("http://user:word@collector:4318", None);
        check("", None);
    }

    #[test]
    fn sections_are_checked() {
        let check = |section: TracesSection, expected: Option<&str>| {
            let error = section.check().err().map(|error| error.to_string());
            match expected {
                None => assert_eq!(error, None),
                Some(text) => assert!(error.as_deref().is_some_and(|error| error.contains(text)), "{error:?}"),
            }
        };
        check(TracesSection::default(), None);
        check(TracesSection { sample_ratio: 1.5, ..TracesSection::default() }, Some("sample_ratio"));
        check(TracesSection { sample_ratio: f64::NAN, ..TracesSection::default() }, Some("sample_ratio"));
        check(TracesSection { headers_file: Some("h".into()), ..TracesSection::default() }, Some("traces.endpoint"));
        let collected = TracesSection { endpoint: Some("http://[::1]:4318".into()), ..TracesSection::default() };
        check(collected, cfg!(not(feature = "opentelemetry")).then_some("--features opentelemetry"));
    }
}
