//! What a report teaches the fleet: with whom no device should be in contact.

use komainu_analysis::report::{Endpoint, Report};
use komainu_model::{
    Confidence, DetonationId, DomainName, IndicatorCandidate, IndicatorSource, IndicatorValue, Provenance,
    SampleDigest, SensorName, SessionId, Threat, Timestamp, Transport,
};
use komainu_ports::{RunAs, SampleOrigin};
use serde::{Deserialize, Serialize};

/// From this confidence on a server of orders becomes an indicator, in percent: an address that something else than the
/// order of connections speaks for.
const CONFIDENCE_MIN: u8 = 50;

/// Servers of one sample that become indicators: a bot has one, with spare ones a handful. Those who are asked by dozens are
/// generated names, or a trick to have many addresses blocked.
const LESSONS_MAX: usize = 32;

/// Ways in which a sample came that become provenance: as many as an indicator shows of one sample in a mail.
const ORIGINS_MAX: usize = 8;

/// One value that a sample taught, as it is kept with the sample: records that name the visit may come later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lesson {
    /// As [`IndicatorValue`] shows it.
    value: String,
    /// In percent.
    confidence: u8,
    /// The run that showed it.
    detonation: String,
}

/// What a report teaches. `runs` are the detonations by the numbers of the report's runs, from 0.
pub(crate) fn lessons(report: &Report, detonations: &[DetonationId]) -> Vec<Lesson> {
    if !matches!(report.verdict.level, "malicious" | "suspicious") {
        return Vec::new();
    }
    let is_meant = |endpoint: &&Endpoint| endpoint.role == "command" && endpoint.confidence >= CONFIDENCE_MIN;
    let mut lessons = Vec::new();
    for endpoint in report.endpoints.iter().filter(is_meant) {
        let Some(detonation) = endpoint.runs.first().and_then(|run| detonations.get(usize::from(*run))) else {
            continue;
        };
        for value in values(endpoint) {
            let lesson = Lesson {
                value: value.to_string(),
                confidence: endpoint.confidence,
                detonation: detonation.to_string(),
            };
            if lessons.len() < LESSONS_MAX && !lessons.iter().any(|known: &Lesson| known.value == lesson.value) {
                lessons.push(lesson);
            }
        }
    }
    lessons
}

/// The names of a server, and its address if it is not one that the simulated Internet made up.
fn values(endpoint: &Endpoint) -> Vec<IndicatorValue> {
    let names = endpoint.names.iter().filter_map(|name| DomainName::parse(name).ok()).map(IndicatorValue::Name);
    let address = endpoint.address.parse().ok().filter(|_| endpoint.address_is_real);
    let transport = match endpoint.protocol {
        "tcp" => Some(Transport::Tcp),
        "udp" => Some(Transport::Udp),
        _ => None,
    };
    let port = Some(endpoint.port).filter(|port| *port != 0);
    let address = address.map(|address| IndicatorValue::Address { address, port, transport: port.and(transport) });
    names.chain(address).collect()
}

/// The candidates of lessons: each with each way in which the sample came.
pub(crate) fn candidates(
    sample: SampleDigest,
    lessons: &[Lesson],
    origins: &[SampleOrigin],
    now: Timestamp,
) -> Vec<IndicatorCandidate> {
    let mut visits: Vec<(Option<SensorName>, Option<SessionId>)> = Vec::new();
    for origin in origins {
        if let SampleOrigin::Sensor { sensor, session } = origin {
            visits.push((Some(sensor.clone()), session.clone()));
        }
    }
    // What a record says of a sensor's visit says more than that the sensor brought it.
    let named: Vec<SensorName> =
        visits.iter().filter(|visit| visit.1.is_some()).filter_map(|visit| visit.0.clone()).collect();
    visits.retain(|(sensor, session)| session.is_some() || sensor.as_ref().is_none_or(|name| !named.contains(name)));
    visits.truncate(ORIGINS_MAX);
    if visits.is_empty() {
        visits.push((None, None));
    }
    let mut candidates = Vec::new();
    for lesson in lessons {
        // Written by this program; what is not understood any more teaches nothing.
        let (Ok(value), Ok(confidence), Ok(detonation)) = (
            IndicatorValue::parse(&lesson.value),
            Confidence::new(lesson.confidence),
            DetonationId::parse(&lesson.detonation),
        ) else {
            continue;
        };
        for (sensor, session) in &visits {
            candidates.push(IndicatorCandidate {
                value: value.clone(),
                threat: Threat::CommandAndControl,
                confidence,
                source: IndicatorSource::Detonation(detonation.clone()),
                provenance: Some(Provenance {
                    sample: Some(sample),
                    detonation: Some(detonation.clone()),
                    session: session.clone(),
                    sensor: sensor.clone(),
                    at: now,
                }),
                valid_for: None,
                note: None,
                reviewed: false,
            });
        }
    }
    candidates
}

/// The name of a run: the sample's first digits, the attempt, and whose rights it had.
pub(crate) fn detonation_id(sample: SampleDigest, attempt: u32, now: Timestamp, run_as: RunAs) -> DetonationId {
    let rights = match run_as {
        RunAs::User => "user",
        RunAs::Root => "root",
    };
    let digits = sample.to_string();
    let name = format!("{}-{}-{attempt}-{rights}", &digits[..16], now.unix_seconds());
    DetonationId::parse(&name).expect("digits, hyphens and a word are a name")
}
