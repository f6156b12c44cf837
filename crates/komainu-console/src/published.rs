//! What was published about weaknesses, as files of the operator have it, and what of it lies near a peak.

use std::collections::BTreeSet;
use std::sync::Arc;

use komainu_charts::{Annotation, Link};
use komainu_model::Timestamp;
use komainu_ports::{LakeQuestion, LakeTable, TimeRange};
use komainu_statistics::{CveId, Day, Epss, Finding, Nearby, Occasion, Problem, Publication, Relation, Span, nearby};
use maud::{Markup, html};

use crate::address::address;
use crate::watch::{Asker, asked, brief, end_of_day, keys, one_of};

/// Publications that are told of one peak; the page of publications has the others.
const TOLD_MAX: usize = 3;

/// Peaks of one page whose publications are looked for, the latest: each asks for the weaknesses that were tried in it.
const PEAKS_MAX: usize = 10;

/// Weaknesses of one peak that are compared, those that were tried most often.
const CVES_MAX: usize = 100;

/// Publications that one chart shows.
const ANNOTATIONS_MAX: usize = 8;

/// Says what was published.
pub trait Publications: Send + Sync {
    /// What the files say now. It is asked for each page, and answers at once.
    fn now(&self) -> Arc<Published>;
}

/// What all files say.
#[derive(Debug, Clone, Default)]
pub struct Published {
    /// Entries and notes, the latest first.
    pub publications: Vec<Publication>,
    /// How likely weaknesses are to be exploited.
    pub epss: Arc<Epss>,
    /// The files that are configured.
    pub files: Vec<PublishedFile>,
}

/// A file that is configured.
#[derive(Debug, Clone)]
pub struct PublishedFile {
    /// What is in it.
    pub kind: PublishedKind,
    /// Where it is.
    pub path: String,
    /// Whether it could be read.
    pub state: PublishedFileState,
}

/// What is in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishedKind {
    /// Weaknesses that are known to be exploited.
    Kev,
    /// How likely each is to be exploited.
    Epss,
    /// The operator's own notes.
    Notes,
}

impl PublishedKind {
    /// The word for it, in configuration and keys of texts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kev => "kev",
            Self::Epss => "epss",
            Self::Notes => "notes",
        }
    }
}

/// Whether a file could be read.
#[derive(Debug, Clone)]
pub enum PublishedFileState {
    /// It was.
    Read {
        /// When.
        at: Timestamp,
        /// Entries that are taken.
        entries: usize,
        /// What is not taken, each with its line or entry.
        problems: Vec<Problem>,
    },
    /// It was not; what it said before is let go.
    Unreadable {
        /// Why.
        reason: String,
    },
}

/// What was published near the latest peaks of a page.
pub(crate) struct NearPeaks<'p>(Vec<(&'p Finding, Vec<Nearby<'p>>)>);

impl<'p> NearPeaks<'p> {
    /// For the latest of these findings, which are sorted by these columns.
    pub(crate) fn of(asker: &Asker, published: &'p Published, findings: &'p [Finding], columns: &[&str]) -> Self {
        if published.publications.is_empty() {
            return Self(Vec::new());
        }
        let latest = findings.iter().rev().take(PEAKS_MAX);
        Self(latest.map(|finding| (finding, near(asker, published, finding, columns))).collect())
    }

    /// What is worth telling of what was published then.
    fn of_finding(&self, finding: &Finding) -> &[Nearby<'p>] {
        let found = self.0.iter().find(|(of, _)| std::ptr::eq(*of, finding));
        found.map_or(&[], |(_, near)| worth_telling(near))
    }

    /// What was published then, in a list; nothing when nothing was.
    pub(crate) fn told(&self, asker: &Asker, finding: &Finding) -> Markup {
        let near = self.of_finding(finding);
        html! {
            @if !near.is_empty() {
                ul.then {
                    @for one in near {
                        li {
                            a href=(page_of(one.publication)) { (brief(&one.publication.title)) } " "
                            span.small.muted { (why(asker, one)) }
                        }
                    }
                }
            }
        }
    }

    /// The same without links, for those who have no console: what each is called, and what it has to do with the peak.
    pub(crate) fn sentences(&self, asker: &Asker, finding: &Finding) -> Vec<(String, String)> {
        self.of_finding(finding).iter().map(|one| (brief(&one.publication.title), why(asker, one))).collect()
    }

    /// Marks for a chart over time: of each peak the nearest, each publication once.
    pub(crate) fn marks(&self) -> Marks {
        let mut marks: Vec<(i64, String, String)> = Vec::new();
        for (finding, near) in &self.0 {
            let Some(one) = near.first() else { continue };
            let label = brief(&one.publication.title);
            if marks.len() < ANNOTATIONS_MAX && marks.iter().all(|(_, known, _)| *known != label) {
                let begin = end_of_day(finding.begin).unix_millis() - DAY_MS;
                let at = begin - i64::from(one.days_before) * DAY_MS + DAY_MS / 2;
                marks.push((at, label, page_of(one.publication)));
            }
        }
        Marks(marks)
    }
}

const DAY_MS: i64 = 86_400_000;

/// Marks for a chart: when, what, and where it leads.
#[derive(Default)]
pub(crate) struct Marks(Vec<(i64, String, String)>);

impl Marks {
    /// As charts take them.
    pub(crate) fn of_chart(&self) -> Vec<Annotation<'_>> {
        self.0.iter().map(|(at_ms, label, path)| Annotation { at_ms: *at_ms, label, link: Link::new(path) }).collect()
    }

    /// The same, leading nowhere.
    pub(crate) fn without_links(&self) -> Vec<Annotation<'_>> {
        self.0.iter().map(|(at_ms, label, _)| Annotation { at_ms: *at_ms, label, link: None }).collect()
    }
}

fn near<'p>(asker: &Asker, published: &'p Published, finding: &Finding, columns: &[&str]) -> Vec<Nearby<'p>> {
    let about = finding.scope.0.iter().flatten().cloned().collect();
    let occasion = Occasion { begin: Day::of(finding.begin), cves: tried(asker, finding, columns), about };
    nearby(&occasion, &published.publications, &published.epss, Span::default()).0
}

/// Weaknesses that were tried in the attacks of a peak. Without an answer, only words are compared.
fn tried(asker: &Asker, finding: &Finding, columns: &[&str]) -> BTreeSet<CveId> {
    let table = LakeTable::Observables;
    let to = finding.end.unwrap_or(asker.now).max(end_of_day(finding.top));
    let mut filters = vec![one_of(table, "kind", &["cve"])];
    for (value, column) in finding.scope.0.iter().zip(columns) {
        filters.extend(value.as_ref().map(|value| one_of(table, column, &[value])));
    }
    let range = TimeRange { from: finding.begin, to };
    let answer = asker.count(&LakeQuestion { filters, top: Some(CVES_MAX), ..asked(table, range, &["value"]) });
    let values = answer.as_ref().map_or(Vec::new(), keys);
    values.iter().filter_map(|(key, _)| CveId::parse(key.first()?)).collect()
}

/// What is told of one peak: what has something to do with it, or else the one that was nearest in time.
fn worth_telling<'n, 'p>(near: &'n [Nearby<'p>]) -> &'n [Nearby<'p>] {
    let related = near.iter().take_while(|one| one.relation != Relation::TimeOnly).count();
    &near[..near.len().min(related.clamp(1, TOLD_MAX))]
}

/// The page of a publication.
fn page_of(publication: &Publication) -> String {
    let wanted = match publication.cve {
        Some(cve) => cve.to_string(),
        None => publication.title.chars().take(80).collect(),
    };
    address("/publications", &[("q", &wanted)])
}

/// What it has to do with the peak.
fn why(asker: &Asker, one: &Nearby<'_>) -> String {
    let days = one.days_before.unsigned_abs().to_string();
    let when = match one.days_before {
        0 => asker.text("published.same-day").to_owned(),
        1 => asker.text("published.day-before").to_owned(),
        2.. => asker.filled("published.before", &[("days", &days)]),
        -1 => asker.text("published.day-after").to_owned(),
        _ => asker.filled("published.after", &[("days", &days)]),
    };
    let relation = match &one.relation {
        Relation::SameCve => asker.text("published.same-cve").to_owned(),
        Relation::SameThing(words) => asker.filled("published.same-thing", &[("words", &brief(&words.join(", ")))]),
        Relation::TimeOnly => asker.text("published.time-only").to_owned(),
    };
    format!("{when}; {relation}")
}

#[cfg(test)]
mod tests;
