//! What a file did, as VirusTotal writes it: <https://docs.virustotal.com/reference/file-behaviour-summary>.
//!
//! One report about all runs of a file is one sandbox's word. An address that the simulated Internet made up for a name means
//! nothing outside: it is not told, and the name is.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::documents::{BehaviourSeen, Evidenced, Process, Report};
use super::objects::{analysed_s, attributes};
use super::{Base, Documented, ENGINE};

/// How deep processes lie within each other; deeper ones stand beside those at the bound. Clients read what is in it by
/// functions that call themselves, and how deep a tree becomes is the sample's choice.
const TREE_DEPTH_MAX: usize = 32;

/// All sandboxes' reports about a file: one, or none before there is a report.
pub(super) fn list(base: &Base, known: &Documented) -> Value {
    let all: Vec<Value> = object(base, known).into_iter().collect();
    let link = base.link(&format!("files/{}/behaviours", known.sample.digests.sha256));
    json!({"meta": {"count": all.len()}, "data": all, "links": {"self": link}})
}

/// The one sandbox's report.
pub(super) fn one(base: &Base, known: &Documented) -> Option<Value> {
    object(base, known).map(|object| json!({"data": object}))
}

/// What all sandboxes saw together.
pub(super) fn summary(known: &Documented) -> Value {
    let seen = known.documents.report.as_ref().map(observed).unwrap_or_default();
    json!({"data": seen})
}

/// What our sandbox and its rules say of a file; nothing of one that did not run and shows nothing by itself.
pub(super) fn sandbox_verdict(report: &Report) -> Option<Value> {
    let category = match report.verdict.level.as_str() {
        "malicious" => "malicious",
        "suspicious" => "suspicious",
        "no_harm_seen" => "undetected",
        _ => return None,
    };
    let names: Vec<&str> = report.families.iter().map(|family| family.name.as_str()).collect();
    Some(json!({
        "category": category,
        "confidence": report.verdict.score,
        "malware_classification": verdicts(report),
        "malware_names": names,
        "sandbox_name": ENGINE,
    }))
}

/// Rules of Sigma that hold, worst first. VirusTotal has no level below `low`.
pub(super) fn sigma_results(report: &Report) -> Vec<Value> {
    let result = |behaviour: &BehaviourSeen| {
        let event = |evidence: &Evidenced| json!({"Category": evidence.category, "Evidence": evidence.text});
        let matches = behaviour.evidence.iter().map(|evidence| json!({"values": event(evidence)}));
        json!({
            "rule_id": behaviour.rule,
            "rule_title": behaviour.title.en,
            "rule_description": behaviour.meaning.en,
            "rule_level": behaviour.level,
            "rule_source": ENGINE,
            "rule_author": ENGINE,
            "match_context": matches.collect::<Vec<_>>(),
        })
    };
    report.behaviours.iter().filter(|behaviour| LEVELS.contains(&behaviour.level.as_str())).map(result).collect()
}

/// The levels of rules that VirusTotal has.
const LEVELS: [&str; 4] = ["critical", "high", "medium", "low"];

/// How many of these rules there are of each level.
pub(super) fn sigma_stats(report: &Report) -> Value {
    let count = |level: &str| report.behaviours.iter().filter(|behaviour| behaviour.level == level).count();
    LEVELS.into_iter().map(|level| (level.to_owned(), json!(count(level)))).collect::<Map<_, _>>().into()
}

fn object(base: &Base, known: &Documented) -> Option<Value> {
    let report = known.documents.report.as_ref()?;
    let id = format!("{}_{ENGINE}", known.sample.digests.sha256);
    let mut attributes = observed(report);
    let date = analysed_s(&known.sample, Some(report));
    let of_sandbox = [
        ("sandbox_name", json!(ENGINE)),
        ("analysis_date", json!(date)),
        ("last_modification_date", json!(date)),
        ("has_html_report", json!(false)),
        ("has_pcap", json!(false)),
        ("has_evtx", json!(false)),
        ("has_memdump", json!(false)),
    ];
    attributes.extend(
        of_sandbox.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.to_owned(), value)),
    );
    let links = json!({"self": base.link(&format!("file_behaviours/{id}"))});
    Some(json!({"type": "file_behaviour", "id": id, "links": links, "attributes": attributes}))
}

/// What was seen, whichever sandbox it was.
fn observed(report: &Report) -> Map<String, Value> {
    let dropped = || report.dropped.iter();
    let names = report.endpoints.iter().flat_map(|endpoint| &endpoint.names);
    let generated = report.generated_names.iter().flat_map(|names| &names.examples);
    let hosts = distinct(names.chain(generated).map(String::as_str));
    let traffic: Vec<Value> = report
        .endpoints
        .iter()
        .filter(|endpoint| endpoint.address_is_real)
        .map(|endpoint| {
            json!({
                "destination_ip": endpoint.address,
                "destination_port": endpoint.port,
                "transport_layer_protocol": endpoint.protocol.to_ascii_uppercase(),
            })
        })
        .collect();
    let is_url = |url: &str| url.starts_with("http://") || url.starts_with("https://");
    let conversations: Vec<Value> = report
        .downloads
        .iter()
        .filter(|download| download.by_sample && is_url(&download.url))
        .map(|download| match download.status {
            Some(status) => json!({"url": download.url, "response_status_code": status}),
            None => json!({"url": download.url}),
        })
        .collect();
    let files: Vec<Value> = dropped()
        .map(|file| match &file.sha256 {
            Some(sha256) => json!({"path": file.path, "sha256": sha256}),
            None => json!({"path": file.path}),
        })
        .collect();
    let written = dropped().map(|file| &file.path).chain(&report.persistence).map(String::as_str);
    let changed = dropped().filter(|file| file.made_executable).map(|file| file.path.as_str());
    let lines = report.processes.iter().map(|process| process.command_line.as_str()).filter(|line| !line.is_empty());
    let ended = report.processes.iter().filter(|process| process.until_us.is_some());
    attributes([
        ("processes_created", json!(distinct(report.processes.iter().map(called)))),
        ("processes_terminated", json!(distinct(ended.map(called)))),
        ("processes_killed", json!(report.killed)),
        ("processes_tree", json!(tree(&report.processes))),
        ("command_executions", json!(distinct(lines))),
        ("files_written", json!(distinct(written))),
        ("files_dropped", json!(files)),
        ("files_deleted", json!(report.erased)),
        ("files_attribute_changed", json!(distinct(changed))),
        ("dns_lookups", hosts.into_iter().map(|host| json!({"hostname": host})).collect()),
        ("ip_traffic", json!(traffic)),
        ("http_conversations", json!(conversations)),
        ("mitre_attack_techniques", json!(techniques(report))),
        ("signature_matches", json!(signatures(report))),
        ("sigma_analysis_results", json!(sigma_results(report))),
        ("verdicts", json!(verdicts(report))),
        ("verdict_confidence", json!(report.verdict.score)),
    ])
}

/// Each text once, in the order in which they come.
fn distinct<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    texts.filter(|text| seen.insert(*text)).collect()
}

/// What stands for a process: its command line, or else its program.
fn called(process: &Process) -> &str {
    if process.command_line.is_empty() { &process.image } else { &process.command_line }
}

#[derive(Debug, Serialize)]
struct Node<'a> {
    name: &'a str,
    process_id: String,
    /// In seconds since the sample was started.
    time_offset: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    children: Vec<Self>,
}

/// Processes within those that made them. In the report each stands before its children.
fn tree(processes: &[Process]) -> Vec<Node<'_>> {
    let mut roots = Vec::new();
    // From a root down to the process that came last.
    let mut open: Vec<Node<'_>> = Vec::new();
    for process in processes {
        let depth = usize::try_from(process.depth).unwrap_or(usize::MAX).min(TREE_DEPTH_MAX - 1);
        while open.len() > depth {
            close(&mut open, &mut roots);
        }
        open.push(Node {
            name: called(process),
            process_id: process.pid.to_string(),
            time_offset: process.from_us / 1_000_000,
            children: Vec::new(),
        });
    }
    while !open.is_empty() {
        close(&mut open, &mut roots);
    }
    roots
}

/// Gives the last open process to the one that made it.
fn close<'a>(open: &mut Vec<Node<'a>>, roots: &mut Vec<Node<'a>>) {
    let Some(closed) = open.pop() else { return };
    open.last_mut().map_or(roots, |parent| &mut parent.children).push(closed);
}

/// Techniques of ATT&CK, each with the behaviours that show it.
fn techniques(report: &Report) -> Vec<Value> {
    let technique = |id: &str, behaviour: &BehaviourSeen| {
        json!({
            "id": id,
            "signature_description": behaviour.title.en,
            "severity": format!("IMPACT_SEVERITY_{}", severity(&behaviour.level)),
        })
    };
    let of_one =
        |behaviour: &BehaviourSeen| behaviour.attack.iter().map(|id| technique(id, behaviour)).collect::<Vec<_>>();
    report.behaviours.iter().flat_map(of_one).collect()
}

/// A rule's level, as VirusTotal weighs techniques.
fn severity(level: &str) -> &'static str {
    match level {
        "critical" | "high" => "HIGH",
        "medium" => "MEDIUM",
        "low" => "LOW",
        "informational" => "INFO",
        _ => "UNKNOWN",
    }
}

fn signatures(report: &Report) -> Vec<Value> {
    let signature = |behaviour: &BehaviourSeen| {
        json!({
            "id": behaviour.rule,
            "name": behaviour.title.en,
            "description": behaviour.meaning.en,
            "format": "SIG_FORMAT_SIGMA",
            "authors": [ENGINE],
        })
    };
    report.behaviours.iter().map(signature).collect()
}

/// The words of <https://docs.virustotal.com/reference/verdict-tag> that hold; none for what is only suspicious.
fn verdicts(report: &Report) -> Vec<&'static str> {
    match report.verdict.level.as_str() {
        "malicious" => {
            let more = [(!report.evasion.is_empty(), "EVADER"), (report.credentials_tried > 0, "SPREADER")];
            let more = more.into_iter().filter(|(holds, _)| *holds).map(|(_, word)| word);
            std::iter::once("MALWARE").chain(more).collect()
        }
        "no_harm_seen" => vec!["CLEAN"],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `0(1 2(3))`: numbers of processes, and within them those that they made.
    fn shown(nodes: &[Node<'_>]) -> String {
        let one = |node: &Node<'_>| match node.children.as_slice() {
            [] => node.process_id.clone(),
            children => format!("{}({})", node.process_id, shown(children)),
        };
        nodes.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_tree_has_a_bound() {
        let process = |pid: u32, depth: u32| Process {
            pid,
            depth,
            image: format!("/bin/{pid}"),
            command_line: String::new(),
            from_us: 0,
            until_us: None,
        };
        let check = |depths: &[u32], expected: &str| {
            let processes: Vec<Process> = (0..).zip(depths).map(|(pid, depth)| process(pid, *depth)).collect();
            assert_eq!(shown(&tree(&processes)), expected, "{depths:?}");
        };
        check(&[], "");
        check(&[0, 1, 2, 1], "0(1(2) 3)");
        check(&[0, 0, 1, 0], "0 1(2) 3");
        // A report that makes no sense: children without parents.
        check(&[3, 7, 1], "0(1 2)");
        let chain: Vec<Process> = (0..500).map(|pid| process(pid, pid)).collect();
        let chain = shown(&tree(&chain));
        assert_eq!(chain.matches('(').count(), TREE_DEPTH_MAX - 1);
        assert_eq!(chain.split([' ', '(']).count(), 500, "none is lost");
    }
}
