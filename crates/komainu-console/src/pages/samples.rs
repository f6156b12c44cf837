//! Samples: what was left behind or handed in, the newest first, filtered by what is known of each.

use komainu_model::{Confidentiality, SampleDigest, Timestamp};
use komainu_ports::{SampleBrief, SampleCounts, SampleState, SampleStateKind, SamplesError, StoredSample, TimeRange};
use maud::{Markup, html};

use crate::address::address;
use crate::pages::search::Hit;
use crate::problem::Problem;
use crate::routes::Answered;
use crate::shown::shown;
use crate::value::{filtered_by, shown_as, value};
use crate::visit::{SignedIn, Visit};
use crate::watch::{brief, grouped};
use crate::{shell, time};

/// Samples of one page.
const ROWS_MAX: usize = 50;

/// Samples through which a filter and statistics look, the youngest: four years of the largest network of sensors that was
/// described, in some tenths of a second.
pub(crate) const BRIEFS_MAX: usize = 50_000;

/// Characters of a digest in a list; twelve of them tell all samples of an installation apart.
const SHORT_CHARS: usize = 12;

/// Stands before a family or a processor that samples must not have.
const WITHOUT: &str = "!";

/// The fields of the filter, in the order of the form.
const FIELDS: [&str; 5] = ["state", "elsewhere", "access", "processor", "family"];

/// The page.
pub(crate) fn show(visit: &Visit, who: &SignedIn) -> Answered {
    let samples = &*visit.console.threat.samples;
    let counts = samples.counts()?;
    let filter = Filter::of(visit);
    let before = place(visit.query.one("before"));
    let found = if filter.is_open() { unfiltered(visit, before)? } else { filtered(visit, &filter, before)? };
    let is_empty = counts == SampleCounts::default();
    let content = html! {
        (shell::said(visit))
        (filtered_by(&address("/samples", &FIELDS.map(|name| (name, visit.query.one(name)))), &["family", "processor"], Some(WITHOUT)))
        @if is_empty {
            (nothing_yet(visit))
        } @else {
            (tiles(visit, counts))
            (form(visit))
            section.card {
                div.card-head {
                    h2 { (visit.text("samples.newest")) }
                    @if let Some(total) = found.total {
                        span.muted.small { (visit.filled("samples.found", &[("count", &grouped(total as u64))])) }
                    }
                }
                @if found.rows.is_empty() { p.muted { (visit.text("samples.none")) } } @else { (table(visit, &found.rows)) }
                (pages(visit, &found))
            }
        }
    };
    Ok(shell::page(visit, Some(who), visit.text("menu.samples"), content))
}

/// A sample by its SHA-256, SHA-1 or MD5.
pub(crate) fn find(visit: &Visit, _who: &SignedIn, wanted: &str) -> Result<Vec<Hit>, Problem> {
    let Ok(bytes) = hex::decode(wanted) else { return Ok(Vec::new()) };
    let samples = &*visit.console.threat.samples;
    let digest = match <[u8; 32]>::try_from(bytes.as_slice()) {
        Ok(sha256) => samples.sample(&SampleDigest::from_sha256(sha256))?.map(|sample| sample.digests.sha256),
        Err(_) => samples.find(&bytes)?,
    };
    let hit = |digest: SampleDigest| Hit {
        kind: visit.text("search.sample"),
        path: format!("/samples/{digest}"),
        name: digest.to_string(),
    };
    Ok(digest.map(hit).into_iter().collect())
}

/// Which samples.
struct Filter<'v> {
    state: Option<SampleStateKind>,
    elsewhere: Option<&'v str>,
    access: Option<Confidentiality>,
    processor: &'v str,
    family: &'v str,
}

/// What the address says of whether others knew a sample.
const ELSEWHERE: [&str; 3] = ["unknown", "known", "not-asked"];

/// What the address says of who may see a sample.
const ACCESS: [(&str, Confidentiality); 2] =
    [("open", Confidentiality::Open), ("confidential", Confidentiality::Confidential)];

impl<'v> Filter<'v> {
    fn of(visit: &'v Visit) -> Self {
        let one = |name| visit.query.one(name).trim();
        Self {
            state: SampleStateKind::ALL.into_iter().find(|kind| kind.as_str() == one("state")),
            elsewhere: ELSEWHERE.into_iter().find(|word| *word == one("elsewhere")),
            access: ACCESS.into_iter().find(|(word, _)| *word == one("access")).map(|(_, access)| access),
            processor: one("processor"),
            family: one("family"),
        }
    }

    fn is_open(&self) -> bool {
        let Self { state, elsewhere, access, processor, family } = self;
        state.is_none() && elsewhere.is_none() && access.is_none() && processor.is_empty() && family.is_empty()
    }

    fn lets_through(&self, sample: &SampleBrief) -> bool {
        let elsewhere = match sample.known_elsewhere {
            Some(false) => "unknown",
            Some(true) => "known",
            None => "not-asked",
        };
        self.state.is_none_or(|state| state == sample.state)
            && self.elsewhere.is_none_or(|word| word == elsewhere)
            && self.access.is_none_or(|access| access == sample.confidentiality)
            && fits(self.processor, &sample.processor)
            && fits(self.family, &sample.family)
    }
}

/// Whether a word is the wanted one, or with [`WITHOUT`] before that, another one. No case is told apart.
fn fits(wanted: &str, word: &str) -> bool {
    match wanted.strip_prefix(WITHOUT) {
        Some(unwanted) => !unwanted.eq_ignore_ascii_case(word),
        None => wanted.is_empty() || wanted.eq_ignore_ascii_case(word),
    }
}

/// A page of samples.
struct Found {
    rows: Vec<StoredSample>,
    /// How many there are in all, when that was counted.
    total: Option<usize>,
    /// Whether there are older ones.
    has_more: bool,
}

fn unfiltered(visit: &Visit, before: Option<(Timestamp, SampleDigest)>) -> Result<Found, SamplesError> {
    let mut rows = visit.console.threat.samples.list(before, ROWS_MAX + 1)?;
    let has_more = rows.len() > ROWS_MAX;
    rows.truncate(ROWS_MAX);
    Ok(Found { rows, total: None, has_more })
}

fn filtered(
    visit: &Visit,
    filter: &Filter<'_>,
    before: Option<(Timestamp, SampleDigest)>,
) -> Result<Found, SamplesError> {
    let samples = &*visit.console.threat.samples;
    let mut briefs = samples.briefs(TimeRange::ALL, BRIEFS_MAX)?;
    briefs.retain(|sample| filter.lets_through(sample));
    let total = Some(briefs.len());
    briefs.retain(|sample| before.is_none_or(|before| (sample.first_at, sample.sample) < before));
    let has_more = briefs.len() > ROWS_MAX;
    let mut rows = Vec::new();
    for found in briefs.iter().take(ROWS_MAX) {
        rows.extend(samples.sample(&found.sample)?);
    }
    Ok(Found { rows, total, has_more })
}

/// Where a page ended, as the address of the next one says it: milliseconds and digest.
fn place(text: &str) -> Option<(Timestamp, SampleDigest)> {
    let (at, digest) = text.split_once('.')?;
    Some((Timestamp::from_unix_millis(at.parse().ok()?), SampleDigest::parse(digest).ok()?))
}

fn nothing_yet(visit: &Visit) -> Markup {
    html! {
        section.card.empty {
            h2 { (visit.text("samples.nothing")) }
            p { (visit.text("samples.nothing-advice")) }
            p { code { "komainu samples submit FILE" } }
        }
    }
}

fn tiles(visit: &Visit, counts: SampleCounts) -> Markup {
    let tile = |kind: SampleStateKind, count: u64| {
        let title = visit.texts.word("sample-state", kind.as_str()).unwrap_or(kind.as_str());
        html! {
            a.card.tile.link href=(address("/samples", &[("state", kind.as_str())])) {
                h2 { (title) }
                p.big { (grouped(count)) }
            }
        }
    };
    html! {
        div.tiles {
            (tile(SampleStateKind::Done, counts.done))
            (tile(SampleStateKind::Working, counts.working))
            (tile(SampleStateKind::Waiting, counts.waiting))
            (tile(SampleStateKind::Failed, counts.failed))
        }
    }
}

fn form(visit: &Visit) -> Markup {
    let states = SampleStateKind::ALL.map(|kind| (kind.as_str(), visit.texts.word("sample-state", kind.as_str())));
    let elsewhere = ELSEWHERE.map(|word| (word, visit.texts.word("sample-elsewhere", word)));
    let access = ACCESS.map(|(word, _)| (word, visit.texts.word("sample-access", word)));
    let select = |name: &'static str, title: &'static str, words: &[(&'static str, Option<&'static str>)]| {
        html! {
            label { span { (title) }
                select name=(name) {
                    option value="" { (visit.text("observables.all")) }
                    @for (word, text) in words {
                        option value=(word) selected[*word == visit.query.one(name)] { (text.unwrap_or(word)) }
                    }
                }
            }
        }
    };
    let input = |name: &'static str, title: &'static str| {
        html! {
            label { span { (title) }
                input name=(name) value=(visit.query.one(name)) maxlength="128" autocomplete="off"; }
        }
    };
    html! {
        form.card.line method="get" action="/samples" {
            (select("state", visit.text("samples.state"), &states))
            (select("elsewhere", visit.text("samples.elsewhere"), &elsewhere))
            (select("access", visit.text("samples.access"), &access))
            (input("processor", visit.text("samples.processor")))
            (input("family", visit.text("samples.family")))
            button type="submit" { (visit.text("attacks.apply")) }
            @if !Filter::of(visit).is_open() { a.button href="/samples" { (visit.text("samples.all")) } }
        }
    }
}

/// Samples as lines of a table.
pub(crate) fn table(visit: &Visit, samples: &[StoredSample]) -> Markup {
    html! {
        div.scroll tabindex="0" {
            table.rows.fold {
                thead { tr {
                    th { "SHA-256" }
                    th { (visit.text("samples.state")) }
                    th { (visit.text("samples.family")) }
                    th { (visit.text("samples.processor")) }
                    th.number { (visit.text("samples.bytes")) }
                    th { (visit.text("samples.first")) }
                    th.number { (visit.text("samples.times")) }
                    th { (visit.text("samples.elsewhere")) }
                } }
                tbody { @for sample in samples { (row(visit, sample)) } }
            }
        }
    }
}

fn row(visit: &Visit, sample: &StoredSample) -> Markup {
    let essentials = &sample.essentials;
    html! {
        tr {
            td.head.nowrap { (link(&sample.digests.sha256)) @if sample.confidentiality == Confidentiality::Confidential {
                " " span.badge { (visit.texts.word("sample-access", "confidential").unwrap_or("confidential")) }
            } }
            td data-label=(visit.text("samples.state")) { (state(visit, sample)) }
            td data-label=(visit.text("samples.family")) { (family(visit, &essentials.family)) }
            td.mono data-label=(visit.text("samples.processor")) { (value("processor", &essentials.processor)) }
            td.number data-label=(visit.text("samples.bytes")) { (grouped(sample.bytes)) }
            td.nowrap data-label=(visit.text("samples.first")) { (time::time(sample.first_at)) }
            td.number data-label=(visit.text("samples.times")) { (grouped(sample.times)) }
            td data-label=(visit.text("samples.elsewhere")) { (elsewhere(visit, SampleBrief::of(sample).known_elsewhere)) }
        }
    }
}

/// A sample by the beginning of its digest, with where it leads.
pub(crate) fn link(sample: &SampleDigest) -> Markup {
    let digits = sample.to_string();
    html! { span.mono title=(digits) { (shown_as("sample", &digits, html! { (&digits[..SHORT_CHARS]) "…" })) } }
}

/// A family, with where it leads.
pub(crate) fn family(visit: &Visit, name: &str) -> Markup {
    match name {
        "" => html! { span.muted { (visit.text("samples.no-family")) } },
        name => value("family", name),
    }
}

/// Where a sample stands; its verdict when it is done.
pub(crate) fn state(visit: &Visit, sample: &StoredSample) -> Markup {
    let kind = SampleStateKind::of(&sample.state).as_str();
    let name = visit.texts.word("sample-state", kind).unwrap_or(kind);
    match &sample.state {
        SampleState::Done { .. } => verdict(visit, &sample.essentials.verdict),
        SampleState::Waiting { problem, .. } => html! {
            span.badge { (name) } @if !problem.is_empty() { " " span.small.muted { (brief(problem)) } }
        },
        SampleState::Working { step, percent, .. } => html! {
            span.badge.warn { (name) } " " span.small.muted { (shown(step)) " " (percent) " %" }
        },
        SampleState::Failed { problem, .. } => html! {
            span.badge.bad { (name) } " " span.small.muted { (brief(problem)) }
        },
    }
}

/// A verdict, in the colour of how bad it is.
pub(crate) fn verdict(visit: &Visit, level: &str) -> Markup {
    let name = visit.texts.word("verdict", level).map_or_else(|| brief(level), str::to_owned);
    match level {
        "malicious" => html! { span.badge.bad { (name) } },
        "suspicious" => html! { span.badge.warn { (name) } },
        _ => html! { span.badge { (name) } },
    }
}

/// Whether others knew a sample.
pub(crate) fn elsewhere(visit: &Visit, known: Option<bool>) -> Markup {
    let word = |word: &'static str| visit.texts.word("sample-elsewhere", word).unwrap_or(word);
    match known {
        Some(false) => html! { span.badge.warn { (word("unknown")) } },
        Some(true) => html! { span.muted { (word("known")) } },
        None => html! { span.muted { (word("not-asked")) } },
    }
}

fn pages(visit: &Visit, found: &Found) -> Markup {
    let fields = FIELDS.map(|name| (name, visit.query.one(name)));
    let next = found.rows.last().filter(|_| found.has_more).map(|last| {
        let place = format!("{}.{}", last.first_at.unix_millis(), last.digests.sha256);
        let mut all = fields.to_vec();
        all.push(("before", &place));
        address("/samples", &all)
    });
    html! {
        nav.pages aria-label=(visit.text("audit.pages")) {
            @if !visit.query.one("before").is_empty() { a.button href=(address("/samples", &fields)) { (visit.text("audit.newest")) } }
            @if let Some(next) = next { a.button href=(next) rel="next" { (visit.text("audit.older")) } }
        }
    }
}

#[cfg(test)]
mod tests;
