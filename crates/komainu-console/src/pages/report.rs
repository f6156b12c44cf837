//! The monthly report: which months there are, what the chosen one says, and the document itself.

use hyper::StatusCode;
use hyper::header::CONTENT_DISPOSITION;
use komainu_model::Language;
use maud::{Markup, html};

use crate::address::address;
use crate::monthly::{self, Edition, Month, MonthlyError, MonthlyParts, monthly_report};
use crate::problem::Problem;
use crate::reply::Reply;
use crate::routes::Answered;
use crate::visit::{SignedIn, Visit};
use crate::watch::{Watch, grouped};

/// Months that are listed: three years, as the lake keeps them without another setting.
const MONTHS_MAX: usize = 37;

/// The ending of the document's address.
const ENDING: &str = ".html";

impl From<MonthlyError> for Problem {
    fn from(error: MonthlyError) -> Self {
        match error {
            MonthlyError::Future { .. } => Self::NotFound,
            MonthlyError::Samples(error) => error.into(),
            MonthlyError::Store(error) => error.into(),
            error @ (MonthlyError::Lake(_) | MonthlyError::TooLarge { .. }) => Self::OutOfOrder(Box::new(error)),
        }
    }
}

/// The page.
pub(crate) fn show(visit: &Visit, who: &SignedIn) -> Answered {
    let watch = Watch::of(visit);
    let chosen = match visit.query.one("month") {
        "" => Month::of(visit.now).before(),
        text => Month::parse(text).ok_or(Problem::NotFound)?,
    };
    let parts = parts(visit);
    let months = monthly::months(&watch);
    let preview = match Edition::of(&parts, chosen, visit.language, visit.now) {
        Ok(edition) => preview(visit, &watch, &edition),
        Err(MonthlyError::Future { .. }) => {
            html! { section.card.empty { p { (visit.text("monthly.no-month")) } } }
        }
        Err(error) => return Err(error.into()),
    };
    let content = html! {
        p.muted { (visit.text("monthly.console-about")) }
        (preview)
        (watch.card(visit.text("monthly.choose"), &months, |months| list(visit, months, chosen)))
    };
    Ok(watch.page(who, visit.text("menu.report"), content))
}

/// The document. With `view` it is shown, otherwise it becomes a file.
pub(crate) fn document(visit: &Visit, _who: &SignedIn) -> Answered {
    let month = visit.label("month").strip_suffix(ENDING).and_then(Month::parse).ok_or(Problem::NotFound)?;
    let language = match visit.query.one("lang") {
        "" => visit.language,
        tag => Language::parse(tag).map_err(|_| Problem::NotFound)?,
    };
    let document = monthly_report(&parts(visit), month, language, visit.now)?;
    let reply = Reply::document(StatusCode::OK, document);
    if visit.query.one("view") == "1" {
        return Ok(reply);
    }
    let name = format!("attachment; filename=\"komainu-{month}-{}{ENDING}\"", language.tag());
    Ok(reply.with_text(CONTENT_DISPOSITION, &name))
}

fn parts(visit: &Visit) -> MonthlyParts {
    let console = &visit.console;
    MonthlyParts {
        lakes: console.lakes.clone(),
        scope: console.scope.clone(),
        history: console.history.clone(),
        samples: console.threat.samples.clone(),
        indicators: console.threat.indicators.clone(),
        publications: console.publications.clone(),
    }
}

/// What the report says first, and where all of it is.
fn preview(visit: &Visit, watch: &Watch<'_>, edition: &Edition<'_>) -> Markup {
    let month = edition.month.to_string();
    let path = format!("/report/{month}{ENDING}");
    let of = |fields: &[(&str, &str)]| address(&path, fields);
    let tag = visit.language.tag();
    let opening = monthly::opening(edition);
    html! {
        section.card {
            div.card-head {
                h2 { (edition.month.name(visit.texts)) }
                nav.words aria-label=(visit.text("menu.report")) {
                    a.button.primary href=(of(&[("lang", tag), ("view", "1")])) { (visit.text("monthly.view")) }
                    a.button href=(of(&[("lang", "en")])) { (visit.text("monthly.download-en")) }
                    a.button href=(of(&[("lang", "ja")])) { (visit.text("monthly.download-ja")) }
                }
            }
            (watch.told(&opening, |(sentence, _)| html! { p { (sentence) } }))
            p.small.muted {
                (visit.text("monthly.to-pdf")) " "
                code { "komainu monthly --month " (month) " --language " (tag) " --out komainu-" (month) ".pdf" }
            }
        }
        @if let Ok((_, numbers)) = &opening { (numbers) }
    }
}

fn list(visit: &Visit, months: &[(Month, u64)], chosen: Month) -> Markup {
    html! {
        ul.plain {
            @for (month, count) in months.iter().take(MONTHS_MAX) {
                @let text = month.to_string();
                li {
                    a href=(address("/report", &[("month", &text)])) aria-current=[(*month == chosen).then_some("true")] {
                        (visit.filled("monthly.attacks-of", &[("month", &month.name(visit.texts)), ("count", &grouped(*count))]))
                    }
                }
            }
        }
    }
}
