//! The audit trail, for admins: who did what, the newest first.

use komainu_ports::{Actor, AuditEntry, AuditNumber, AuditOutcome};
use maud::{Markup, html};

use crate::routes::Answered;
use crate::shown::shown;
use crate::visit::{SignedIn, Visit};
use crate::{shell, time};

/// Lines of one page.
const LINES_MAX: usize = 100;

/// A page of lines; `before` in the query is the number of the last line of the page before.
pub(crate) fn show(visit: &Visit, who: &SignedIn) -> Answered {
    let before = visit.query.one("before").parse().ok().map(AuditNumber);
    let mut lines = visit.console.store().audit(before, LINES_MAX + 1)?;
    let has_more = lines.len() > LINES_MAX;
    lines.truncate(LINES_MAX);
    let last = lines.last().map_or(0, |(AuditNumber(number), _)| *number);
    let content = html! {
        section.card {
            @if lines.is_empty() {
                p.muted { (visit.text("audit.nothing")) }
            } @else {
                div.scroll tabindex="0" {
                    table.rows.fold {
                        thead { tr {
                            th { (visit.text("audit.when")) }
                            th { (visit.text("audit.who")) }
                            th { (visit.text("audit.address")) }
                            th { (visit.text("audit.what")) }
                            th { (visit.text("audit.subject")) }
                            th { (visit.text("audit.outcome")) }
                        } }
                        tbody { @for (_, line) in &lines { (row(visit, line)) } }
                    }
                }
            }
            nav.pages aria-label=(visit.text("audit.pages")) {
                @if before.is_some() { a.button href="/admin/audit" { (visit.text("audit.newest")) } }
                @if has_more { a.button href={ "/admin/audit?before=" (last) } rel="next" { (visit.text("audit.older")) } }
            }
        }
    };
    Ok(shell::page(visit, Some(who), visit.text("menu.audit"), content))
}

fn row(visit: &Visit, line: &AuditEntry) -> Markup {
    let action = line.action.as_str();
    html! {
        tr {
            td.head.nowrap { (time::time(line.at)) }
            td data-label=(visit.text("audit.who")) {
                @match &line.actor {
                    Actor::Operator(name) => (name),
                    Actor::CommandLine => span.muted { (visit.text("audit.command-line")) },
                    Actor::Provider => span.muted { (visit.text("audit.provider")) },
                    Actor::Stranger => span.muted { (visit.text("audit.stranger")) },
                }
            }
            td.nowrap data-label=(visit.text("audit.address")) { @if let Some(address) = line.address { (address) } }
            td.nowrap data-label=(visit.text("audit.what")) { (visit.texts.word("action", action).unwrap_or(action)) }
            td.wide data-label=(visit.text("audit.subject")) { (shown(&line.subject)) }
            td data-label=(visit.text("audit.outcome")) {
                @match line.outcome {
                    AuditOutcome::Done => span.muted { (visit.text("audit.done")) },
                    AuditOutcome::Refused => span.badge.bad { (visit.text("audit.refused")) },
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use komainu_ports::AuditAction;

    use komainu_texts::Texts;

    #[test]
    fn every_action_has_a_name() {
        for language in komainu_model::Language::ALL {
            for action in AuditAction::ALL {
                let name = Texts::of(language).word("action", action.as_str());
                assert!(name.is_some(), "there is no text action.{}", action.as_str());
            }
        }
    }
}
