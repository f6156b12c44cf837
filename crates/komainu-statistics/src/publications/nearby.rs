//! Which publications have to do with a peak.

use std::collections::BTreeSet;
use std::fmt;

use super::{CveId, Epss, Likelihood, Publication};
use crate::day::Day;

/// The most publications that are told of one peak.
const NEARBY_MAX: usize = 20;
/// The most words of a text that are compared.
const WORDS_MAX: usize = 64;

/// Words that mean the same to those who write about weaknesses. All of a row count as its first.
const SAME: &[&[&str]] = &[
    &["upnp", "ssdp", "miniupnpd", "minissdpd", "libupnp"],
    &["smb", "samba", "cifs", "smbv1", "smbv3", "netbios"],
    &["http", "https", "web", "httpd", "webserver", "goahead", "boa", "cgi"],
    &["telnet", "telnetd"],
    &["ssh", "sshd", "openssh", "dropbear"],
    &["ftp", "ftpd", "vsftpd", "proftpd"],
    &["mqtt", "mosquitto"],
    &["rtsp", "onvif"],
    &["tls", "ssl", "openssl"],
    &["dns", "dnsmasq"],
    &["adb", "debug"],
    &["camera", "cameras", "webcam", "ipcam", "nvr"],
    &["recorder", "recorders", "dvr", "dvrs"],
    &["router", "routers", "gateway", "gateways"],
    &["nas", "storage"],
    &["printer", "printers"],
    &["tv", "television"],
];

/// What is known of a peak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occasion {
    /// When it began.
    pub begin: Day,
    /// Weaknesses that were tried in its sessions.
    pub cves: BTreeSet<CveId>,
    /// Protocol, appliance, model: what the finding is about.
    pub about: Vec<String>,
}

/// How far from the begin of a peak a publication may lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Days before.
    pub before_days: u16,
    /// Days after: what attackers knew before it was published.
    pub after_days: u16,
}

impl Default for Span {
    /// Thirty days before, a week after.
    fn default() -> Self {
        Self { before_days: 30, after_days: 7 }
    }
}

/// What a publication has to do with a peak, the strongest first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relation {
    /// Its weakness was tried in the sessions of the peak.
    SameCve,
    /// It is about the same thing: these words of the peak are in it, too.
    SameThing(Vec<String>),
    /// Nothing but the time.
    TimeOnly,
}

/// A publication near the begin of a peak.
#[derive(Debug, Clone, PartialEq)]
pub struct Nearby<'a> {
    /// The publication.
    pub publication: &'a Publication,
    /// What it has to do with the peak.
    pub relation: Relation,
    /// How many days before the peak it was published; negative if after.
    pub days_before: i32,
    /// How likely its weakness is to be exploited, if that is known.
    pub likelihood: Option<Likelihood>,
}

/// Why it is told: `published 2 days before; is about upnp, too`.
impl fmt::Display for Nearby<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = |count: u32| if count == 1 { "day" } else { "days" };
        let count = self.days_before.unsigned_abs();
        match self.days_before {
            0 => f.write_str("published on the same day")?,
            1.. => write!(f, "published {count} {} before", days(count))?,
            _ => write!(f, "published {count} {} after", days(count))?,
        }
        match &self.relation {
            Relation::SameCve => f.write_str("; its weakness was tried in the sessions of the peak"),
            Relation::SameThing(words) => write!(f, "; is about {}, too", words.join(" and ")),
            Relation::TimeOnly => f.write_str("; nothing else connects them"),
        }
    }
}

/// The publications near the begin of a peak: the strongest relation first, then the nearest in time with those before the
/// peak ahead, then the likelier to be exploited. At most `NEARBY_MAX`; the second value says how many more there were.
pub fn nearby<'a>(
    occasion: &Occasion,
    publications: &'a [Publication],
    epss: &Epss,
    span: Span,
) -> (Vec<Nearby<'a>>, usize) {
    let about: BTreeSet<String> = occasion.about.iter().flat_map(|text| words(text)).collect();
    let within = |publication: &&'a Publication| {
        let days_before = occasion.begin.since(publication.day);
        (-i32::from(span.after_days)..=i32::from(span.before_days)).contains(&days_before)
    };
    let told = |publication: &'a Publication| Nearby {
        publication,
        relation: relation(occasion, &about, publication),
        days_before: occasion.begin.since(publication.day),
        likelihood: publication.cve.and_then(|cve| epss.of(cve)),
    };
    let mut found: Vec<Nearby<'a>> = publications.iter().filter(within).map(told).collect();
    // More words in common are a stronger relation; that they are other words is none.
    let strength = |near: &Nearby<'_>| match &near.relation {
        Relation::SameCve => 0,
        Relation::SameThing(words) => 1 + WORDS_MAX - words.len().min(WORDS_MAX),
        Relation::TimeOnly => 2 + WORDS_MAX,
    };
    let probability = |near: &Nearby<'_>| near.likelihood.map_or(0.0, |likelihood| likelihood.probability);
    found.sort_by(|one, other| {
        let place = |near: &Nearby<'_>| (strength(near), near.days_before.unsigned_abs(), near.days_before < 0);
        let by_place = place(one).cmp(&place(other));
        let by_likelihood = probability(other).total_cmp(&probability(one));
        let by_name =
            (one.publication.cve, &one.publication.title).cmp(&(other.publication.cve, &other.publication.title));
        by_place.then(by_likelihood).then(by_name)
    });
    let left_out = found.len().saturating_sub(NEARBY_MAX);
    found.truncate(NEARBY_MAX);
    (found, left_out)
}

fn relation(occasion: &Occasion, about: &BTreeSet<String>, publication: &Publication) -> Relation {
    if publication.cve.is_some_and(|cve| occasion.cves.contains(&cve)) {
        return Relation::SameCve;
    }
    let texts = publication.concerns.iter().chain([&publication.title]);
    let concerns: BTreeSet<String> = texts.flat_map(|text| words(text)).collect();
    let common: Vec<String> = about.intersection(&concerns).cloned().collect();
    if common.is_empty() { Relation::TimeOnly } else { Relation::SameThing(common) }
}

/// The words of a text in lower case, those that mean the same made one.
fn words(text: &str) -> BTreeSet<String> {
    let separate = |character: char| !character.is_alphanumeric();
    let words = text.split(separate).filter(|word| word.chars().count() > 1).take(WORDS_MAX);
    let one = |word: &str| {
        let word = word.to_lowercase();
        let row = SAME.iter().find(|row| row.contains(&word.as_str()));
        row.map_or(word, |row| row[0].to_owned())
    };
    words.map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publications::{read_epss, read_notes};

    const NOTES: &str = "date,title,cve,protocol,appliance\n\
        2019-04-05,UPnP library overflow,CVE-2019-1001,upnp,\n\
        2019-03-20,SSDP again,CVE-2019-1002,,camera\n\
        2019-04-06,Samba share,CVE-2019-1003,smb,\n\
        2019-04-10,Told late,CVE-2019-1004,,\n\
        2019-04-06,Likely,CVE-2019-1005,,\n\
        2019-01-01,UPnP long ago,CVE-2019-1006,upnp,\n\
        2019-05-01,UPnP later,CVE-2019-1007,upnp,\n";

    #[track_caller]
    fn check(about: &[&str], cves: &[&str], expected: &[(&str, &str)]) {
        let (publications, problems) = read_notes(NOTES.as_bytes());
        let (epss, _) = read_epss(b"cve,epss,percentile\nCVE-2019-1005,0.9,0.9\nCVE-2019-1003,0.1,0.5\n");
        assert_eq!(problems, []);
        let occasion = Occasion {
            begin: Day::parse("2019-04-07").unwrap(),
            cves: cves.iter().map(|cve| CveId::parse(cve).unwrap()).collect(),
            about: about.iter().map(|text| (*text).to_owned()).collect(),
        };
        let (found, left_out) = nearby(&occasion, &publications, &epss, Span::default());
        let told: Vec<_> = found.iter().map(|near| (near.publication.title.as_str(), near.to_string())).collect();
        let told: Vec<_> = told.iter().map(|(title, why)| (*title, why.as_str())).collect();
        assert_eq!((told.as_slice(), left_out), (expected, 0));
    }

    #[test]
    fn the_strongest_relation_comes_first() {
        check(
            &["upnp", "ip_camera"],
            &["CVE-2019-1004"],
            &[
                ("Told late", "published 3 days after; its weakness was tried in the sessions of the peak"),
                ("SSDP again", "published 18 days before; is about camera and upnp, too"),
                ("UPnP library overflow", "published 2 days before; is about upnp, too"),
                ("Likely", "published 1 day before; nothing else connects them"),
                ("Samba share", "published 1 day before; nothing else connects them"),
            ],
        );
        check(
            &["SMB"],
            &[],
            &[
                ("Samba share", "published 1 day before; is about smb, too"),
                ("Likely", "published 1 day before; nothing else connects them"),
                ("UPnP library overflow", "published 2 days before; nothing else connects them"),
                ("Told late", "published 3 days after; nothing else connects them"),
                ("SSDP again", "published 18 days before; nothing else connects them"),
            ],
        );
    }

    #[test]
    fn what_is_told_is_bounded() {
        let notes = format!("date,title\n{}", "2019-04-07,a\n".repeat(50));
        let (publications, _) = read_notes(notes.as_bytes());
        let begin = Day::parse("2019-04-07").unwrap();
        let occasion = Occasion { begin, cves: BTreeSet::new(), about: vec!["x ".repeat(100_000)] };
        let (found, left_out) =
            nearby(&occasion, &publications, &Epss::default(), Span { before_days: 0, after_days: 0 });
        assert_eq!((found.len(), left_out), (NEARBY_MAX, 30));
        assert_eq!(found[0].to_string(), "published on the same day; nothing else connects them");
    }
}
