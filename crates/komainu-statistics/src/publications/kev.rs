//! The list of weaknesses that are known to be exploited, as CISA publishes it (JSON).

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::value::RawValue;

use super::{CveId, Mistake, Problem, Problems, Publication, Source, text};
use crate::day::Day;

/// The longest file, in bytes. The list of 2026 has about 2 MB.
pub const KEV_BYTES_MAX: usize = 32 << 20;
/// So many entries are read; the list of 2026 has fewer than 2,000.
const KEV_ENTRIES_MAX: usize = 100_000;

/// Reads the list. An entry without a CVE identifier or a day is told and not taken.
pub fn read_kev(bytes: &[u8]) -> (Vec<Publication>, Vec<Problem>) {
    let mut problems = Problems::default();
    if bytes.len() > KEV_BYTES_MAX {
        problems.add(0, Mistake::FileLarge { bytes: bytes.len(), bytes_max: KEV_BYTES_MAX });
        return (Vec::new(), problems.told());
    }
    let file: KevFile<'_> = match serde_json::from_slice(bytes) {
        Ok(file) => file,
        Err(error) => {
            problems.add(0, Mistake::NoList(error.to_string()));
            return (Vec::new(), problems.told());
        }
    };
    let mut publications = Vec::new();
    for (entry, raw) in (1..).zip(&file.vulnerabilities.entries) {
        match publication(raw) {
            Ok(publication) => publications.push(publication),
            Err(reason) => problems.add(entry, reason),
        }
    }
    if file.vulnerabilities.left_out > 0 {
        let count = file.vulnerabilities.left_out;
        problems.add(0, Mistake::LeftOut { count, read_max: KEV_ENTRIES_MAX });
    }
    (publications, problems.told())
}

#[derive(Deserialize)]
struct KevFile<'a> {
    #[serde(borrow)]
    vulnerabilities: RawEntries<'a>,
}

/// Entries as they are written, so that one that is wrong does not spoil the others.
struct RawEntries<'a> {
    entries: Vec<&'a RawValue>,
    left_out: usize,
}

impl<'de: 'a, 'a> Deserialize<'de> for RawEntries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = RawEntries<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of weaknesses")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while entries.len() < KEV_ENTRIES_MAX {
            match list.next_element::<&'de RawValue>()? {
                Some(entry) => entries.push(entry),
                None => return Ok(RawEntries { entries, left_out: 0 }),
            }
        }
        let mut left_out = 0;
        while list.next_element::<IgnoredAny>()?.is_some() {
            left_out += 1;
        }
        Ok(RawEntries { entries, left_out })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(rename = "cveID")]
    cve_id: String,
    date_added: String,
    #[serde(default, deserialize_with = "text_or_nothing")]
    vendor_project: String,
    #[serde(default, deserialize_with = "text_or_nothing")]
    product: String,
    #[serde(default, deserialize_with = "text_or_nothing")]
    vulnerability_name: String,
    #[serde(default, deserialize_with = "text_or_nothing")]
    known_ransomware_campaign_use: String,
}

/// A text; what is none is as if it were not there.
fn text_or_nothing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let value = serde_json::Value::deserialize(deserializer).map_err(de::Error::custom)?;
    Ok(value.as_str().unwrap_or_default().to_owned())
}

fn publication(raw: &RawValue) -> Result<Publication, Mistake> {
    let entry: Entry = serde_json::from_str(raw.get()).map_err(|error| Mistake::NoWeakness(error.to_string()))?;
    let cve = CveId::parse(entry.cve_id.trim()).ok_or(Mistake::NoCve("cveID"))?;
    let day = Day::parse(entry.date_added.trim()).ok_or(Mistake::NoDay("dateAdded"))?;
    let name = text(&entry.vulnerability_name);
    let concerns = [text(&entry.vendor_project), text(&entry.product)];
    Ok(Publication {
        day,
        title: if name.is_empty() { concerns.join(" ").trim().to_owned() } else { name },
        cve: Some(cve),
        source: Source::Kev { by_ransomware: entry.known_ransomware_campaign_use.eq_ignore_ascii_case("known") },
        concerns: concerns.into_iter().filter(|concern| !concern.is_empty()).collect(),
        url: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(file: &str, expected: &[&str], problems: &[&str]) -> Vec<Publication> {
        let (publications, told) = read_kev(file.as_bytes());
        let shown = publications
            .iter()
            .map(|publication| format!("{} {} {}", publication.day, publication.cve.unwrap(), publication.title));
        assert_eq!(shown.collect::<Vec<_>>(), expected);
        assert_eq!(told.len(), problems.len(), "{told:?}");
        for (told, expected) in told.iter().zip(problems) {
            assert!(told.to_string().contains(expected), "{told}");
        }
        publications
    }

    #[test]
    fn the_list_is_read() {
        let publications = check(
            r#"{"title": "Catalog", "count": 2, "vulnerabilities": [
                {"cveID": "CVE-2017-7494", "vendorProject": "Samba", "product": "Samba", "dueDate": "2023-04-20",
                 "vulnerabilityName": "Samba Remote Code Execution Vulnerability", "dateAdded": "2023-03-30",
                 "knownRansomwareCampaignUse": "Known", "cwes": []},
                {"cveID": "CVE-2014-8361", "vendorProject": "Realtek", "product": "SDK", "dateAdded": "2023-09-18",
                 "knownRansomwareCampaignUse": "Unknown", "vulnerabilityName": 5}]}"#,
            &[
                "2023-03-30 CVE-2017-7494 Samba Remote Code Execution Vulnerability",
                "2023-09-18 CVE-2014-8361 Realtek SDK",
            ],
            &[],
        );
        assert_eq!(publications[0].source, Source::Kev { by_ransomware: true });
        assert_eq!(publications[1].source, Source::Kev { by_ransomware: false });
        assert_eq!(publications[1].concerns, ["Realtek", "SDK"]);
    }

    #[test]
    fn what_is_wrong_is_told_and_the_rest_is_read() {
        check(
            r#"{"vulnerabilities": [5, {}, {"cveID": "x", "dateAdded": "2023-03-30"}, [[[]]],
                {"cveID": "CVE-2017-7494", "dateAdded": "30.3.2023"},
                {"cveID": "CVE-2017-7494", "dateAdded": "2023-03-30", "vulnerabilityName": "a\u0000\u001b[31mb"}]}"#,
            &["2023-03-30 CVE-2017-7494 a[31mb"],
            &["entry 1:", "entry 2:", "entry 3: `cveID`", "entry 4:", "entry 5: `dateAdded`"],
        );
        for broken in ["", "[]", "{}", "{\"vulnerabilities\": 5}", "{\"vulnerabilities\": [", &"[".repeat(100_000)] {
            check(broken, &[], &["no list of exploited"]);
        }
        assert_eq!(read_kev(b"\xff\xfe").1.len(), 1);
        let deep = format!("{{\"vulnerabilities\": [{}{}]}}", "[".repeat(100_000), "]".repeat(100_000));
        check(&deep, &[], &["entry 1: it is no weakness"]);
    }

    #[test]
    fn lists_are_bounded() {
        let many = |count: usize| format!("{{\"vulnerabilities\": [{}0]}}", "0,".repeat(count - 1));
        let (publications, problems) = read_kev(many(KEV_ENTRIES_MAX + 3).as_bytes());
        assert_eq!((publications.len(), problems.len()), (0, PROBLEMS_AND_ONE));
        assert!(read_kev(&vec![b' '; KEV_BYTES_MAX + 1]).1[0].reason.to_string().contains("at most"));
    }

    const PROBLEMS_AND_ONE: usize = super::super::PROBLEMS_MAX + 1;
}
