//! VirusTotal, by the third version of its interface: `GET /api/v3/files/SHA-256`
//! (<https://docs.virustotal.com/reference/file-info>, <https://docs.virustotal.com/reference/errors>).

use std::collections::BTreeMap;
use std::time::Duration;

use komainu_model::Timestamp;
use komainu_ports::{BoxFuture, ElsewhereAnswer, LookupError, SampleDigests, SampleLookup};
use reqwest::StatusCode;
use serde::Deserialize;

use super::labels;
use super::remote::{Answer, NoAnswer, Remote, Settings};

pub(super) const SETTINGS: Settings =
    Settings { source: "virustotal", key_file: "lab.virustotal_key_file", url: "lab.virustotal_url" };

/// The last second of the year 9999: a later one is no time at which anybody saw a file.
const LAST_SECOND: i64 = 253_402_300_799;

/// Asks VirusTotal.
pub(super) struct VirusTotalLookup(Remote);

impl VirusTotalLookup {
    pub(super) fn new(remote: Remote) -> Self {
        Self(remote)
    }

    fn read(&self, digests: &SampleDigests, answer: &Answer) -> Result<ElsewhereAnswer, LookupError> {
        if answer.status != StatusCode::OK {
            let error = answer.json::<Failure>().ok().and_then(|failure| failure.error?.code);
            return match (answer.status, error.as_deref()) {
                // Without their word it may be the answer of somebody who does not know the address.
                (StatusCode::NOT_FOUND, Some("NotFoundError")) => Ok(ElsewhereAnswer::Unknown),
                (status, said) => Err(self.0.neither(status, said)),
            };
        }
        let file: File = answer.json().map_err(|error| self.0.unavailable(error))?;
        if !file.data.id.eq_ignore_ascii_case(&digests.sha256.to_string()) {
            return Err(self.0.unavailable(NoAnswer::AnotherSample));
        }
        let Attributes { first_submission_date, last_analysis_results, last_analysis_stats } = file.data.attributes;
        let results = last_analysis_results.unwrap_or_default();
        Ok(ElsewhereAnswer::Known {
            first_seen: first_submission_date
                .filter(|second| (0..=LAST_SECOND).contains(second))
                .map(Timestamp::from_unix_seconds),
            labels: labels(results.values().filter_map(|scanner| scanner.result.as_deref())),
            detections: last_analysis_stats.map(|stats| {
                let looked = [stats.malicious, stats.suspicious, stats.undetected, stats.harmless];
                (stats.malicious, looked.into_iter().fold(0, u32::saturating_add))
            }),
        })
    }
}

impl SampleLookup for VirusTotalLookup {
    fn source(&self) -> &str {
        self.0.source
    }

    fn pause(&self) -> Duration {
        self.0.pause
    }

    fn look_up<'a>(&'a self, digests: &'a SampleDigests) -> BoxFuture<'a, Result<ElsewhereAnswer, LookupError>> {
        Box::pin(async move {
            let path = format!("/api/v3/files/{}", digests.sha256);
            let answer = self.0.ask(self.0.get(&path).header("x-apikey", &self.0.key)).await?;
            self.read(digests, &answer)
        })
    }
}

#[derive(Deserialize)]
struct File {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    id: String,
    attributes: Attributes,
}

#[derive(Deserialize)]
struct Attributes {
    first_submission_date: Option<i64>,
    /// By scanner, so that names have an order.
    last_analysis_results: Option<BTreeMap<String, Scanner>>,
    last_analysis_stats: Option<Stats>,
}

#[derive(Deserialize)]
struct Scanner {
    result: Option<String>,
}

/// Those who ran out of time, failed, or do not read such files did not look.
#[derive(Deserialize)]
struct Stats {
    #[serde(default)]
    malicious: u32,
    #[serde(default)]
    suspicious: u32,
    #[serde(default)]
    undetected: u32,
    #[serde(default)]
    harmless: u32,
}

#[derive(Deserialize)]
struct Failure {
    error: Option<FailureBody>,
}

#[derive(Deserialize)]
struct FailureBody {
    code: Option<String>,
}
