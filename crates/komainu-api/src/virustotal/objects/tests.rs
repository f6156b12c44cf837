use komainu_model::{SensorName, Timestamp};
use komainu_ports::{
    AttemptEnd, MemorySamples, NewSample, SampleDigests, SampleDocument, SampleEssentials, SampleLimits,
    SamplePriority, SampleStore,
};

use super::super::documents::Documents;
use super::*;

/// As `komainu-analysis` wrote it in this version.
const REPORT: &str = include_str!("../../../tests/data/report-1.json");
/// As `komainu-triage` wrote it in this version.
const TRIAGE: &str = include_str!("../../../../komainu-triage/tests/data/report-1.json");

const AT: Timestamp = Timestamp::from_unix_seconds(1_700_000_000);
const LATER: Timestamp = Timestamp::from_unix_seconds(1_700_000_060);

fn digests() -> SampleDigests {
    SampleDigests { sha256: SampleDigest::from_sha256([10; 32]), sha1: [11; 20], md5: [12; 16] }
}

fn base() -> Base {
    Base("http://hub.example/api/v3".to_owned())
}

/// A store with one sample, which somebody handed in and a sensor brought.
fn store() -> MemorySamples {
    let samples = MemorySamples::new(SampleLimits::default());
    for origin in [
        SampleOrigin::Upload { by: "AKIDEXAMPLE".to_owned(), name: "a.sh".to_owned() },
        SampleOrigin::Sensor { sensor: SensorName::parse("tokyo").unwrap(), session: None },
    ] {
        let (confidentiality, priority) = (Confidentiality::Open, SamplePriority::Urgent);
        samples.submit(&NewSample { digests: digests(), bytes: 144, origin, confidentiality, priority }, AT).unwrap();
    }
    samples
}

/// Works on the sample to an end.
fn end(samples: &MemorySamples, end: &AttemptEnd) {
    let lease = samples.lease(AT, LATER).unwrap().unwrap();
    assert!(samples.end(&lease, end, LATER).unwrap());
}

fn done(verdict: &str) -> AttemptEnd {
    AttemptEnd::Done(SampleEssentials {
        verdict: verdict.to_owned(),
        family: "mirai".to_owned(),
        processor: "arm".to_owned(),
        iot: Some(true),
        sentence: String::new(),
    })
}

fn known(samples: &MemorySamples) -> Documented {
    let sha256 = digests().sha256;
    let documents = Documents::read(samples, &sha256).unwrap();
    Documented { sample: samples.sample(&sha256).unwrap().unwrap(), documents }
}

/// A sample with documents.
fn reported() -> Documented {
    let samples = store();
    samples.put_document(&digests().sha256, SampleDocument::Triage, TRIAGE).unwrap();
    samples.put_document(&digests().sha256, SampleDocument::Report, REPORT).unwrap();
    end(&samples, &done("malicious"));
    known(&samples)
}

#[test]
fn an_analysis_says_how_far_it_is() {
    let check = |samples: &MemorySamples, status: &str, date: i64, category: Option<&str>, result: Value| {
        let analysis = analysis(&base(), &known(samples).sample);
        let attributes = &analysis["data"]["attributes"];
        assert_eq!((&attributes["status"], &attributes["date"]), (&json!(status), &json!(date)));
        assert_eq!(attributes["stats"].as_object().unwrap().len(), 8);
        let counted: Vec<_> =
            attributes["stats"].as_object().unwrap().iter().filter(|(_, n)| **n != json!(0)).collect();
        assert_eq!(
            counted,
            category.map(|name| (name.to_owned(), json!(1))).iter().map(|(a, b)| (a, b)).collect::<Vec<_>>()
        );
        assert_eq!(attributes["results"]["Komainu"]["category"].as_str(), category);
        assert_eq!(attributes["results"]["Komainu"]["result"], result);
    };
    let (at, later) = (AT.unix_seconds(), LATER.unix_seconds());
    let samples = store();
    check(&samples, "queued", at, None, Value::Null);
    let lease = samples.lease(AT, LATER).unwrap().unwrap();
    check(&samples, "in-progress", at, None, Value::Null);
    samples.end(&lease, &done("malicious"), LATER).unwrap();
    check(&samples, "completed", later, Some("malicious"), json!("mirai"));
    samples.again(&digests().sha256, SamplePriority::Urgent, LATER).unwrap();
    check(&samples, "queued", at, None, Value::Null);
    for (verdict, category, result) in [
        ("suspicious", Some("suspicious"), json!("mirai")),
        ("no_harm_seen", Some("undetected"), Value::Null),
        ("not_run", Some("type-unsupported"), Value::Null),
        ("of another version", None, Value::Null),
    ] {
        let samples = store();
        end(&samples, &done(verdict));
        check(&samples, "completed", later, category, result);
    }
    let samples = store();
    end(&samples, &AttemptEnd::Failed { problem: "the guest fell over".to_owned() });
    check(&samples, "completed", later, Some("failure"), Value::Null);
}

#[test]
fn an_analysis_names_its_file() {
    let analysis = analysis(&base(), &known(&store()).sample);
    let id = format!("f-{}", "0a".repeat(32));
    assert_eq!((&analysis["data"]["type"], &analysis["data"]["id"]), (&json!("analysis"), &json!(id)));
    let link = format!("http://hub.example/api/v3/analyses/{id}");
    assert_eq!(analysis["data"]["links"], json!({"item": format!("{link}/item"), "self": link}));
    let file = json!({"sha256": "0a".repeat(32), "sha1": "0b".repeat(20), "md5": "0c".repeat(16), "size": 144});
    assert_eq!(analysis["meta"]["file_info"], file);
    let link = analysis_link(&base(), digests().sha256);
    assert_eq!((&link["data"]["type"], &link["data"]["id"]), (&json!("analysis"), &json!(id)));
}

#[test]
fn a_file_that_nobody_looked_at_yet_has_names_and_times() {
    let file = file(&base(), &known(&store()));
    let sha256 = "0a".repeat(32);
    assert_eq!((&file["data"]["type"], &file["data"]["id"]), (&json!("file"), &json!(sha256)));
    assert_eq!(file["data"]["links"]["self"], json!(format!("http://hub.example/api/v3/files/{sha256}")));
    let mut attributes = file["data"]["attributes"].clone();
    assert_eq!(attributes["last_analysis_stats"].as_object().unwrap().values().filter(|count| **count == 0).count(), 8);
    attributes.as_object_mut().unwrap().remove("last_analysis_stats");
    let expected = json!({
        "sha256": sha256,
        "sha1": "0b".repeat(20),
        "md5": "0c".repeat(16),
        "size": 144,
        "first_submission_date": AT.unix_seconds(),
        "last_submission_date": AT.unix_seconds(),
        "last_modification_date": AT.unix_seconds(),
        "times_submitted": 2,
        "unique_sources": 2,
        "names": ["a.sh"],
        "meaningful_name": "a.sh",
        "downloadable": true,
        "last_analysis_results": {},
        "reputation": 0,
        "total_votes": {"harmless": 0, "malicious": 0},
        "tags": ["honeypot"],
    });
    assert_eq!(attributes, expected);
}

#[test]
fn a_file_has_what_documents_say() {
    let file = file(&base(), &reported());
    let attributes = &file["data"]["attributes"];
    let check = |name: &str, expected: Value| assert_eq!(attributes[name], expected, "{name}");
    check("type_tag", json!("shell"));
    check("type_description", json!("Shell script"));
    check("magic", json!("shell script"));
    check("tlsh", json!("T115C02BCC62150840DCD52C2FF4230C557041618C28470F6158CF203FC689B8CF540610"));
    check("telfhash", Value::Null);
    check("last_analysis_date", json!(LATER.unix_seconds()));
    check("last_modification_date", json!(LATER.unix_seconds()));
    check("tags", json!(["arm", "honeypot", "iot", "shell"]));
    let names = json!([{"value": "mirai", "count": 1}]);
    check("popular_threat_classification", json!({"suggested_threat_label": "mirai", "popular_threat_name": names}));
    check("sigma_analysis_stats", json!({"critical": 0, "high": 6, "medium": 3, "low": 1}));
    check("sigma_analysis_summary", json!({"Komainu": attributes["sigma_analysis_stats"]}));
    let first = &attributes["sigma_analysis_results"][0];
    assert_eq!((&first["rule_id"], &first["rule_level"]), (&json!("c2-address"), &json!("high")));
    assert!(first["match_context"][0]["values"]["Evidence"].as_str().unwrap().contains("203.0.113.7"), "{first}");
    let verdict = json!({
        "category": "malicious",
        "confidence": 100,
        "malware_classification": ["MALWARE", "SPREADER"],
        "malware_names": [],
        "sandbox_name": "Komainu",
    });
    check("sandbox_verdicts", json!({"Komainu": verdict}));
    assert_eq!(attributes["last_analysis_stats"]["malicious"], json!(1));
}

#[test]
fn behaviours_are_what_was_seen() {
    let known = reported();
    let list = behaviour::list(&base(), &known);
    let id = format!("{}_Komainu", "0a".repeat(32));
    assert_eq!((&list["meta"]["count"], &list["data"][0]["id"]), (&json!(1), &json!(id)));
    assert_eq!(behaviour::one(&base(), &known).unwrap()["data"], list["data"][0]);
    let attributes = &list["data"][0]["attributes"];
    let check = |name: &str, expected: Value| assert_eq!(attributes[name], expected, "{name}");
    check("sandbox_name", json!("Komainu"));
    check("analysis_date", json!(LATER.unix_seconds()));
    check("processes_created", json!(["./sample", "./next -d"]));
    check("processes_terminated", json!(["./next -d"]));
    check("processes_killed", json!(["process 44"]));
    let grandchild = json!({"name": "./next -d", "process_id": "102", "time_offset": 2});
    let child = json!({"name": "./next -d", "process_id": "101", "time_offset": 0, "children": [grandchild]});
    let root = json!({"name": "./sample", "process_id": "100", "time_offset": 0, "children": [child]});
    check("processes_tree", json!([root]));
    check("files_written", json!(["/tmp/next", "/etc/rc.local"]));
    check("files_dropped", json!([{"path": "/tmp/next"}, {"path": "/etc/rc.local"}]));
    check("files_attribute_changed", json!(["/tmp/next"]));
    check("files_deleted", json!(["/tmp/sample"]));
    // The other address was made up for the name.
    let endpoint =
        json!({"destination_ip": "203.0.113.7", "destination_port": 5555, "transport_layer_protocol": "TCP"});
    check("ip_traffic", json!([endpoint]));
    check("dns_lookups", json!([{"hostname": "update.example"}]));
    check("http_conversations", json!([{"url": "http://update.example/next", "response_status_code": 200}]));
    check("verdicts", json!(["MALWARE", "SPREADER"]));
    let techniques = attributes["mitre_attack_techniques"].as_array().unwrap();
    assert_eq!(techniques.len(), 13);
    assert_eq!((&techniques[0]["id"], &techniques[0]["severity"]), (&json!("T1071"), &json!("IMPACT_SEVERITY_HIGH")));
    assert_eq!(attributes["signature_matches"].as_array().unwrap().len(), 10);
    let mut of_sandbox = attributes.as_object().unwrap().clone();
    for name in ["sandbox_name", "analysis_date", "last_modification_date"] {
        of_sandbox.remove(name);
    }
    of_sandbox.retain(|name, _| !name.starts_with("has_"));
    assert_eq!(behaviour::summary(&known)["data"], Value::Object(of_sandbox));
}

#[test]
fn without_a_report_there_is_no_behaviour() {
    let known = known(&store());
    assert_eq!(behaviour::list(&base(), &known)["data"], json!([]));
    assert_eq!(behaviour::summary(&known), json!({"data": {}}));
    assert_eq!(behaviour::one(&base(), &known), None);
}

#[test]
fn what_is_no_document_is_as_good_as_none() {
    let samples = store();
    for (kind, json) in [(SampleDocument::Triage, r#"{"version":2}"#), (SampleDocument::Report, "[]")] {
        samples.put_document(&digests().sha256, kind, json).unwrap();
    }
    let known = known(&samples);
    assert!(known.documents.triage.is_none() && known.documents.report.is_none());
}

#[test]
fn a_report_counts_until_there_is_another() {
    let samples = store();
    samples.put_document(&digests().sha256, SampleDocument::Report, REPORT).unwrap();
    end(&samples, &done("malicious"));
    samples.again(&digests().sha256, SamplePriority::Urgent, LATER).unwrap();
    let stats = |samples: &MemorySamples| {
        let attributes = file(&base(), &known(samples))["data"]["attributes"].clone();
        (attributes["last_analysis_stats"]["malicious"].clone(), attributes["last_analysis_date"].clone())
    };
    assert_eq!(stats(&samples), (json!(1), json!(LATER.unix_seconds())));
    let later = Timestamp::from_unix_seconds(1_700_001_000);
    let lease = samples.lease(later, later).unwrap().unwrap();
    samples.end(&lease, &AttemptEnd::Failed { problem: String::new() }, later).unwrap();
    assert_eq!(stats(&samples), (json!(1), json!(LATER.unix_seconds())));
}
