//! A report as others take it in.

use komainu_analysis::report::{Endpoint, Report};
use komainu_stix::{AnalysisResult, EndpointRole, Findings, Marking};

/// What STIX 2.1 says of a report.
pub fn findings(report: &Report, marking: Marking) -> Findings {
    let techniques = report.behaviours.iter().flat_map(|behaviour| {
        behaviour.attack.iter().map(|technique| (technique.clone(), behaviour.meaning.en.clone()))
    });
    let mut isas: Vec<String> = report.sample.isa.iter().cloned().collect();
    isas.extend(report.runs.iter().map(|run| run.isa.to_owned()));
    Findings {
        by: "Komainu malware laboratory".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        made: report.made.clone(),
        began: report.runs.iter().filter_map(|run| run.started.clone()).min(),
        file: komainu_stix::File {
            name: report.sample.name.clone(),
            bytes: report.sample.bytes,
            sha256: report.sample.sha256.clone(),
            sha1: report.sample.sha1.clone(),
            md5: report.sample.md5.clone(),
        },
        family: report.family().map(ToOwned::to_owned),
        result: match report.verdict.level {
            "malicious" => AnalysisResult::Malicious,
            "suspicious" => AnalysisResult::Suspicious,
            _ => AnalysisResult::Unknown,
        },
        sentence_en: report.verdict.sentence.en.clone(),
        sentence_ja: report.verdict.sentence.ja.clone(),
        isas,
        kinds: report.behaviours.iter().map(|behaviour| behaviour.kind.clone()).collect(),
        techniques: techniques.collect(),
        endpoints: report.endpoints.iter().filter_map(endpoint).collect(),
        dropped: report.dropped.iter().filter_map(|file| Some((file.path.clone(), file.sha256.clone()?))).collect(),
        marking,
    }
}

fn endpoint(endpoint: &Endpoint) -> Option<komainu_stix::Endpoint> {
    let role = match endpoint.role {
        "command" => EndpointRole::Command,
        "download" => EndpointRole::Download,
        "report" => EndpointRole::Report,
        _ => return None,
    };
    Some(komainu_stix::Endpoint {
        address: if endpoint.address_is_real { endpoint.address.parse().ok() } else { None },
        names: endpoint.names.clone(),
        port: endpoint.port,
        protocol: endpoint.protocol.to_owned(),
        role,
        confidence: endpoint.confidence,
        reasons: endpoint.reasons.clone(),
    })
}
