//! The bundle: objects and how they belong together.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::{Map, Value, json};

use crate::attack;
use crate::id::{of_observable, of_ours};
use crate::{AnalysisResult, Endpoint, EndpointRole, Findings, Marking};

/// The most endpoints, and files that were left behind: each makes up to thirty objects, and whoever reads a bundle has
/// bounds, too. The report of the analysis has them all.
const LIST_MAX: usize = 64;
/// The most names of an endpoint.
const NAMES_MAX: usize = 4;

/// The bundle of these findings, as text.
pub fn bundle_text(findings: &Findings) -> String {
    // The alternate form has a line for each property.
    format!("{:#}\n", bundle(findings))
}

/// The bundle of these findings.
pub fn bundle(findings: &Findings) -> Value {
    let mut maker = Maker::new(findings);
    maker.all();
    json!({
        "type": "bundle",
        "id": of_ours("bundle", &maker.about),
        "objects": maker.objects,
    })
}

struct Maker<'f> {
    findings: &'f Findings,
    /// What makes identifiers of this report differ from those of another about the same file.
    about: String,
    identity: String,
    marking: &'static str,
    objects: Vec<Value>,
    /// What the report refers to, in its order; and the same to look up.
    referred: Vec<String>,
    known: BTreeSet<String>,
}

impl<'f> Maker<'f> {
    fn new(findings: &'f Findings) -> Self {
        let (marking, object) = marking(findings.marking);
        let about = format!("{}\n{}", findings.file.sha256, findings.made);
        Self {
            findings,
            about,
            identity: of_ours("identity", &findings.by),
            marking,
            objects: vec![object],
            referred: Vec::new(),
            known: BTreeSet::new(),
        }
    }

    fn all(&mut self) {
        let findings = self.findings;
        // An identity is older than each of its reports; a fixed time keeps it the same object in all of them.
        self.objects.push(json!({
            "type": "identity",
            "spec_version": "2.1",
            "id": self.identity,
            "created": "2026-01-01T00:00:00.000Z",
            "modified": "2026-01-01T00:00:00.000Z",
            "name": findings.by,
            "identity_class": "system",
            "object_marking_refs": [self.marking],
        }));
        let file = self.file();
        let malware = self.malware(&file);
        let mut observed = vec![file.clone()];
        let mut indicators = Vec::new();
        for endpoint in findings.endpoints.iter().take(LIST_MAX) {
            self.endpoint(endpoint, &malware, &mut observed, &mut indicators);
        }
        for (path, sha256) in findings.dropped.iter().take(LIST_MAX) {
            let name = path.rsplit('/').next().unwrap_or_default();
            let dropped = self.observable_file(Some(name), sha256, None, None, None);
            if dropped != file {
                self.relate(&malware, "drops", &dropped, None);
                observed.push(dropped);
            }
        }
        let observed_data = self.observed(&observed);
        for indicator in &indicators {
            self.relate(indicator, "based-on", &observed_data, None);
        }
        self.hash_indicator(&malware);
        for (technique, seen) in &findings.techniques {
            let pattern = self.technique(technique);
            self.relate(&malware, "uses", &pattern, Some(seen));
        }
        self.analysis(&file, &observed, &malware);
        self.note(&malware, "en", &findings.sentence_en);
        self.note(&malware, "ja", &findings.sentence_ja);
        self.report();
    }

    /// An object of ours with what all of them have.
    fn object(&mut self, kind: &str, about: &str, properties: Value) -> String {
        let id = of_ours(kind, &format!("{}\n{about}", self.about));
        self.object_with_id(kind, &id, properties);
        id
    }

    fn object_with_id(&mut self, kind: &str, id: &str, properties: Value) {
        if !self.known.insert(id.to_owned()) {
            return;
        }
        let mut object = Map::new();
        object.insert("type".into(), kind.into());
        object.insert("spec_version".into(), "2.1".into());
        object.insert("id".into(), id.into());
        object.insert("created_by_ref".into(), self.identity.as_str().into());
        object.insert("created".into(), self.findings.made.as_str().into());
        object.insert("modified".into(), self.findings.made.as_str().into());
        put(&mut object, properties);
        object.insert("object_marking_refs".into(), json!([self.marking]));
        self.objects.push(Value::Object(object));
        self.referred.push(id.to_owned());
    }

    /// An observable; one that is there already is the same.
    fn observable(&mut self, kind: &str, contributing: &Value, properties: Value) -> String {
        let id = of_observable(kind, contributing);
        if self.known.insert(id.clone()) {
            let mut object = Map::new();
            object.insert("type".into(), kind.into());
            object.insert("spec_version".into(), "2.1".into());
            object.insert("id".into(), id.as_str().into());
            put(&mut object, properties);
            object.insert("object_marking_refs".into(), json!([self.marking]));
            self.objects.push(Value::Object(object));
            self.referred.push(id.clone());
        }
        id
    }

    fn file(&mut self) -> String {
        let file = &self.findings.file;
        self.observable_file(
            file.name.as_deref(),
            &file.sha256,
            file.sha1.as_deref(),
            file.md5.as_deref(),
            Some(file.bytes),
        )
    }

    fn observable_file(
        &mut self,
        name: Option<&str>,
        sha256: &str,
        sha1: Option<&str>,
        md5: Option<&str>,
        bytes: Option<u64>,
    ) -> String {
        let mut hashes = Map::new();
        for (algorithm, digest) in [("MD5", md5), ("SHA-1", sha1), ("SHA-256", Some(sha256))] {
            hashes.extend(digest.map(|digest| (algorithm.to_owned(), Value::from(digest))));
        }
        // Of several digests one counts: MD5, else SHA-1, else SHA-256 (section 2.9).
        let one: Map<String, Value> =
            hashes.iter().take(1).map(|(name, digest)| (name.clone(), digest.clone())).collect();
        let name = name.filter(|name| !name.is_empty());
        let contributing = match name {
            Some(name) => json!({ "hashes": one, "name": name }),
            None => json!({ "hashes": one }),
        };
        let mut properties = json!({ "hashes": hashes });
        if let Some(bytes) = bytes {
            properties["size"] = bytes.into();
        }
        if let Some(name) = name {
            properties["name"] = name.into();
        }
        self.observable("file", &contributing, properties)
    }

    fn malware(&mut self, file: &str) -> String {
        let findings = self.findings;
        let name = match &findings.family {
            Some(family) => format!("{family} {}", short(&findings.file.sha256)),
            None => short(&findings.file.sha256).to_owned(),
        };
        let has = |kind: &str| findings.kinds.iter().any(|known| known == kind);
        let mut types = Vec::new();
        let types_of = [
            ("command", "bot"),
            ("spread", "worm"),
            ("download", "downloader"),
            ("impact", "ddos"),
            ("access", "spyware"),
        ];
        types.extend(types_of.iter().filter(|(kind, _)| has(kind)).map(|(_, word)| *word));
        if types.is_empty() {
            types.push("unknown");
        }
        let abilities: Vec<&str> = [
            ("command", "communicates-with-c2"),
            ("spread", "infects-remote-machines"),
            ("spread", "probes-network-environment"),
            ("download", "installs-other-components"),
            ("impact", "compromises-system-availability"),
            ("persistence", "persists-after-system-reboot"),
            ("rivals", "degrades-security-software"),
            ("defence", "violates-system-operational-integrity"),
            ("traces", "cleans-traces-of-infection"),
            ("disguise", "hides-executing-code"),
            ("access", "steals-authentication-credentials"),
            ("analysis", "anti-sandbox"),
            ("discovery", "fingerprints-host"),
        ]
        .iter()
        .filter(|(kind, _)| has(kind))
        .map(|(_, word)| *word)
        .collect();
        let mut architectures: Vec<&str> = findings.isas.iter().map(|isa| architecture(isa)).collect();
        architectures.sort_unstable();
        architectures.dedup();
        let mut properties = json!({
            "name": name,
            "description": findings.sentence_en,
            "malware_types": types,
            "is_family": false,
            "sample_refs": [file],
        });
        if !abilities.is_empty() {
            properties["capabilities"] = json!(abilities);
        }
        if !architectures.is_empty() {
            properties["architecture_execution_envs"] = json!(architectures);
        }
        if let Some(family) = &findings.family {
            properties["aliases"] = json!([family]);
        }
        self.object("malware", "malware", properties)
    }

    fn endpoint(
        &mut self,
        endpoint: &Endpoint,
        malware: &str,
        observed: &mut Vec<String>,
        indicators: &mut Vec<String>,
    ) {
        let mut hosts = Vec::new();
        for name in endpoint.names.iter().take(NAMES_MAX) {
            let id = self.observable("domain-name", &json!({ "value": name }), json!({ "value": name }));
            hosts.push((id, name.clone(), "domain-name"));
        }
        if let Some(address) = endpoint.address {
            let value = address.to_string();
            let kind = address_kind(address);
            let id = self.observable(kind, &json!({ "value": value }), json!({ "value": value }));
            hosts.push((id, value, kind));
        }
        let Some((_, first, _)) = hosts.first() else { return };
        let title = format!("{first}:{}", endpoint.port);
        let (purpose, phase, kinds) = match endpoint.role {
            EndpointRole::Command => ("command and control", "command-and-control", "command-and-control"),
            EndpointRole::Download => ("programs to download", "command-and-control", "hosting-malware"),
            EndpointRole::Report => ("what was found is reported to it", "exfiltration", "exfiltration"),
        };
        let reasons = endpoint.reasons.join("; ");
        let description = format!("{purpose} of {}: {reasons}", short(&self.findings.file.sha256));
        let infrastructure = self.object(
            "infrastructure",
            &format!("{title} {}", endpoint.protocol),
            json!({
                "name": title,
                "description": description,
                "infrastructure_types": [kinds],
                "confidence": endpoint.confidence,
            }),
        );
        let verb = match endpoint.role {
            EndpointRole::Command => "beacons-to",
            EndpointRole::Download => "uses",
            EndpointRole::Report => "exfiltrates-to",
        };
        self.relate(malware, verb, &infrastructure, None);
        for (host, value, kind) in hosts {
            self.relate(&infrastructure, "consists-of", &host, None);
            let version = if kind == "ipv6-addr" { "ipv6" } else { "ipv4" };
            let protocols = json!([version, endpoint.protocol]);
            let contributing = json!({ "dst_ref": host, "dst_port": endpoint.port, "protocols": protocols });
            let traffic = self.observable("network-traffic", &contributing, contributing.clone());
            observed.extend([host, traffic]);
            let pattern = format!(
                "[network-traffic:dst_ref.type = '{kind}' AND network-traffic:dst_ref.value = '{}' AND \
                 network-traffic:dst_port = {}]",
                quoted(&value),
                endpoint.port
            );
            let indicator = self.object(
                "indicator",
                &pattern,
                json!({
                    "name": format!("{value}:{} ({purpose})", endpoint.port),
                    "description": description,
                    "indicator_types": ["malicious-activity"],
                    "pattern": pattern,
                    "pattern_type": "stix",
                    "pattern_version": "2.1",
                    "valid_from": self.findings.made,
                    "kill_chain_phases": [{ "kill_chain_name": "mitre-attack", "phase_name": phase }],
                    "confidence": endpoint.confidence,
                }),
            );
            self.relate(&indicator, "indicates", malware, None);
            indicators.push(indicator);
        }
    }

    fn hash_indicator(&mut self, malware: &str) {
        if self.findings.result != AnalysisResult::Malicious {
            return;
        }
        let sha256 = &self.findings.file.sha256;
        let pattern = format!("[file:hashes.'SHA-256' = '{}']", quoted(sha256));
        let indicator = self.object(
            "indicator",
            &pattern,
            json!({
                "name": format!("File {}", short(sha256)),
                "description": self.findings.sentence_en,
                "indicator_types": ["malicious-activity"],
                "pattern": pattern,
                "pattern_type": "stix",
                "pattern_version": "2.1",
                "valid_from": self.findings.made,
            }),
        );
        self.relate(&indicator, "indicates", malware, None);
    }

    fn observed(&mut self, observed: &[String]) -> String {
        let mut refs = observed.to_vec();
        refs.sort();
        refs.dedup();
        let first = self.findings.began.as_deref().unwrap_or(&self.findings.made);
        let last = if self.findings.made.as_str() >= first { self.findings.made.as_str() } else { first };
        let properties = json!({
            "first_observed": first,
            "last_observed": last,
            "number_observed": 1,
            "object_refs": refs,
        });
        self.object("observed-data", "observed", properties)
    }

    fn technique(&mut self, technique: &str) -> String {
        // The same technique is the same object in every report.
        let id = of_ours("attack-pattern", technique);
        let place = technique.replace('.', "/");
        let properties = json!({
            "name": attack::name(technique).unwrap_or(technique),
            "external_references": [{
                "source_name": "mitre-attack",
                "external_id": technique,
                "url": format!("https://attack.mitre.org/techniques/{place}/"),
            }],
        });
        self.object_with_id("attack-pattern", &id, properties);
        id
    }

    fn analysis(&mut self, file: &str, observed: &[String], malware: &str) {
        let result = match self.findings.result {
            AnalysisResult::Malicious => "malicious",
            AnalysisResult::Suspicious => "suspicious",
            AnalysisResult::Unknown => "unknown",
        };
        let mut refs = observed.to_vec();
        refs.sort();
        refs.dedup();
        let mut properties = json!({
            "product": "komainu",
            "version": self.findings.version,
            "result": result,
            "sample_ref": file,
            "analysis_sco_refs": refs,
        });
        if let Some(began) = &self.findings.began {
            properties["analysis_started"] = began.as_str().into();
            properties["analysis_ended"] = self.findings.made.as_str().max(began).into();
        }
        let analysis = self.object("malware-analysis", "analysis", properties);
        let verb =
            if self.findings.result == AnalysisResult::Unknown { "dynamic-analysis-of" } else { "characterizes" };
        self.relate(&analysis, verb, malware, None);
    }

    fn note(&mut self, malware: &str, language: &str, sentence: &str) {
        if sentence.is_empty() {
            return;
        }
        let properties = json!({
            "lang": language,
            "abstract": if language == "ja" { "製品開発者向けの要約" } else { "In a sentence" },
            "content": sentence,
            "object_refs": [malware],
        });
        self.object("note", language, properties);
    }

    fn report(&mut self) {
        let refs = self.referred.clone();
        let properties = json!({
            "name": format!("Analysis of {}", short(&self.findings.file.sha256)),
            "description": self.findings.sentence_en,
            "report_types": ["malware"],
            "published": self.findings.made,
            "object_refs": refs,
        });
        self.object("report", "report", properties);
    }

    fn relate(&mut self, from: &str, verb: &str, to: &str, description: Option<&str>) {
        let mut properties = json!({ "relationship_type": verb, "source_ref": from, "target_ref": to });
        if let Some(description) = description {
            properties["description"] = description.into();
        }
        self.object("relationship", &format!("{from} {verb} {to}"), properties);
    }
}

fn put(object: &mut Map<String, Value>, properties: Value) {
    if let Value::Object(properties) = properties {
        object.extend(properties);
    }
}

fn address_kind(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "ipv4-addr",
        IpAddr::V6(_) => "ipv6-addr",
    }
}

/// A text within quotes of a pattern.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "\\'")
}

fn short(sha256: &str) -> &str {
    sha256.get(..12).unwrap_or(sha256)
}

/// The word of `processor-architecture-ov` (section 10.18), where there is one.
fn architecture(isa: &str) -> &str {
    match isa {
        "arm" | "arm64" => "arm",
        "mips" | "mipsel" => "mips",
        "powerpc" => "powerpc",
        "sparc64" => "sparc",
        "x86" => "x86",
        "x86_64" => "x86-64",
        other => other,
    }
}

/// The object of a marking: the standard sets it, letter by letter (section 7.2.1.4).
fn marking(marking: Marking) -> (&'static str, Value) {
    let (id, name, color) = match marking {
        Marking::White => ("marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9", "TLP:WHITE", "white"),
        Marking::Green => ("marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da", "TLP:GREEN", "green"),
        Marking::Amber => ("marking-definition--f88d31f6-486f-44da-b317-01333bde0b82", "TLP:AMBER", "amber"),
        Marking::Red => ("marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed", "TLP:RED", "red"),
    };
    let object = json!({
        "type": "marking-definition",
        "spec_version": "2.1",
        "id": id,
        "created": "2017-01-20T00:00:00.000Z",
        "definition_type": "tlp",
        "name": name,
        "definition": { "tlp": color },
    });
    (id, object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::File;

    fn findings() -> Findings {
        Findings {
            by: "Komainu".into(),
            version: "0.1.0".into(),
            made: "2026-11-26T00:00:00.000Z".into(),
            file: File { sha256: "ab".repeat(32), bytes: 9, name: Some("a'b\\c".into()), ..File::default() },
            result: AnalysisResult::Malicious,
            sentence_en: "Does harm.".into(),
            kinds: vec!["command".into()],
            techniques: vec![("T1053.003".into(), "crontab".into()), ("T1053.003".into(), "crontab".into())],
            endpoints: vec![Endpoint {
                address: Some("198.51.100.7".parse().unwrap()),
                names: vec!["c'2.example".into()],
                port: 23,
                protocol: "tcp".into(),
                role: EndpointRole::Command,
                confidence: 90,
                reasons: vec![],
            }],
            ..Findings::default()
        }
    }

    #[test]
    fn everything_that_is_referred_to_is_there_once() {
        let bundle = bundle(&findings());
        let objects = bundle["objects"].as_array().unwrap();
        let ids: Vec<&str> = objects.iter().map(|object| object["id"].as_str().unwrap()).collect();
        let different: BTreeSet<&str> = ids.iter().copied().collect();
        assert_eq!(ids.len(), different.len());
        for object in objects {
            for (key, value) in object.as_object().unwrap() {
                let refs = match value {
                    Value::String(id) if key.ends_with("_ref") => vec![id.as_str()],
                    Value::Array(ids) if key.ends_with("_refs") => ids.iter().filter_map(Value::as_str).collect(),
                    _ => vec![],
                };
                refs.iter().for_each(|id| assert!(different.contains(id), "{key} of {}: {id}", object["id"]));
            }
        }
        assert!(ids.contains(&"ipv4-addr--12592121-be4c-5a93-a813-5a5af16e50db"));
    }

    #[test]
    fn the_same_findings_give_the_same_bytes() {
        assert_eq!(bundle_text(&findings()), bundle_text(&findings()));
    }

    #[test]
    fn texts_cannot_leave_their_quotes() {
        let text = bundle_text(&findings());
        assert!(text.contains("= 'c\\\\'2.example'"), "{text}");
    }
}
