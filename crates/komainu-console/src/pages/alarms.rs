//! Alarms: first what is active and nobody has looked into, then the other active ones, then what happened.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use komainu_model::{
    ActiveViolation, ProfileName, ReporterName, SecurityProfile, VerificationState, ViolationEvent, ViolationId,
};
use komainu_ports::{ActiveViolationQuery, AlarmTotals, Page, PageToken, Paged, StoreError, ViolationEventQuery};
use maud::{Markup, html};

use crate::address::address;
use crate::judged::{
    VERIFICATIONS, alarm_words, device_link, event_badge, is_threat, offending_words, profile_link, value_words,
    verification_badge, verification_of,
};
use crate::pages::search::Hit;
use crate::period::{Period, Span};
use crate::problem::Problem;
use crate::routes::Answered;
use crate::value::filtered_by;
use crate::visit::{SignedIn, Visit};
use crate::watch::grouped;
use crate::{shell, time};

/// Alarms and events of one page. With all names as long and as hostile as they may be, a page has less than 150 KB.
const ROWS_MAX: usize = 25;

/// Active alarms that somebody has looked into, beside those that nobody has.
const VERIFIED_ROWS_MAX: usize = 10;

/// Alarms of the card on the overview.
const CARD_ROWS: usize = 5;

/// The states of those that somebody has looked into.
const LOOKED_INTO: [VerificationState; 3] =
    [VerificationState::TruePositive, VerificationState::BenignPositive, VerificationState::FalsePositive];

/// Which columns a table of alarms has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Columns {
    /// All.
    All,
    /// All but the device, on its own page.
    OfOneDevice,
}

/// The state of the page, as its address has it.
struct Asked {
    device: String,
    profile: String,
    state: Option<VerificationState>,
    with_suppressed: bool,
    period: Period,
    /// Where the page of active alarms before this one ended.
    after: String,
    /// The same of events.
    older: String,
}

impl Asked {
    fn of(visit: &Visit) -> Self {
        let one = |name: &str| visit.query.one(name).trim().to_owned();
        Self {
            device: one("device"),
            profile: one("profile"),
            state: verification_of(visit.query.one("state")),
            with_suppressed: visit.query.one("suppressed") == "1",
            period: Period::of(visit, Span::Week),
            after: one("after"),
            older: one("older"),
        }
    }

    /// The fields of what is filtered by.
    fn filters(&self) -> [(&'static str, &str); 4] {
        [
            ("device", &self.device),
            ("profile", &self.profile),
            ("state", self.state.map_or("", VerificationState::as_str)),
            ("suppressed", if self.with_suppressed { "1" } else { "" }),
        ]
    }

    /// The address of this page with a field more.
    fn with(&self, name: &str, value: &str) -> String {
        let period = self.period.fields();
        let mut fields = self.filters().to_vec();
        fields.extend(period.iter().map(|(name, value)| (*name, value.as_str())));
        fields.push((name, value));
        address("/alarms", &fields)
    }

    /// The device and the profile, as types; a text that cannot be one is found nowhere.
    fn names(&self) -> Option<(Option<ReporterName>, Option<ProfileName>)> {
        let device = match self.device.as_str() {
            "" => None,
            name => Some(ReporterName::parse(name).ok()?),
        };
        let profile = match self.profile.as_str() {
            "" => None,
            name => Some(ProfileName::parse(name).ok()?),
        };
        Some((device, profile))
    }
}

/// The page.
pub(crate) fn show(visit: &Visit, who: &SignedIn) -> Answered {
    let asked = Asked::of(visit);
    let totals = visit.console.history.alarm_totals(&visit.console.scope, 0)?;
    let content = html! {
        (shell::live(visit, "alarms"))
        (shell::said(visit))
        (filtered_by(&asked.with("", ""), &["device", "profile"], None))
        (tiles(visit, &totals))
        (form(visit, &asked))
        @match asked.names() {
            Some((device, profile)) => (lists(visit, &asked, device.as_ref(), profile.as_ref())?),
            None => section.card.empty { p { (visit.text("alarms.nothing-fits")) } },
        }
    };
    Ok(shell::page(visit, Some(who), visit.text("menu.alarms"), content))
}

fn tiles(visit: &Visit, totals: &AlarmTotals) -> Markup {
    let all = &totals.all;
    let tile = |title: &str, count: u64, class: &str, link: &str, note: String| {
        html! {
            a class=(format!("card tile link{class}")) href=(link) {
                h2 { (title) }
                p.big { (grouped(count)) }
                p.small.muted { (note) }
            }
        }
    };
    let alarm = if all.unverified > 0 { " alarm" } else { "" };
    let latest = match all.active {
        0 => String::new(),
        _ => visit.filled("alarms.latest", &[("time", &time::text(all.latest_at))]),
    };
    html! {
        div.tiles.pairs {
            (tile(visit.text("alarms.unverified"), all.unverified, alarm, "/alarms?state=unknown", visit.text("alarms.unverified-note").to_owned()))
            (tile(visit.text("alarms.active"), all.active, "", "/alarms?suppressed=1", latest))
            (tile(visit.text("alarms.devices"), totals.reporters, "", "/devices", visit.text("alarms.devices-note").to_owned()))
            (tile(visit.text("alarms.suppressed"), all.suppressed, "", "/alarms?suppressed=1", visit.text("alarms.suppressed-note").to_owned()))
        }
    }
}

fn form(visit: &Visit, asked: &Asked) -> Markup {
    let period = asked.period.fields();
    html! {
        form.card.line method="get" action="/alarms" {
            label { span { (visit.text("alarms.device")) }
                input name="device" value=(asked.device) maxlength="128" autocomplete="off"; }
            label { span { (visit.text("alarms.profile")) }
                input name="profile" value=(asked.profile) maxlength="128" autocomplete="off"; }
            label { span { (visit.text("alarms.state")) }
                select name="state" {
                    option value="" { (visit.text("alarms.any-state")) }
                    @for state in VERIFICATIONS {
                        @let word = state.as_str();
                        option value=(word) selected[asked.state == Some(state)] { (visit.texts.word("verification", word).unwrap_or(word)) }
                    }
                }
            }
            label.check { input type="checkbox" name="suppressed" value="1" checked[asked.with_suppressed]; " " (visit.text("alarms.with-suppressed")) }
            @for (name, value) in &period { @if !value.is_empty() { input type="hidden" name=(name) value=(value); } }
            button.primary type="submit" { (visit.text("alarms.show")) }
            a.button href="/alarms" { (visit.text("alarms.all")) }
        }
    }
}

fn lists(
    visit: &Visit,
    asked: &Asked,
    device: Option<&ReporterName>,
    profile: Option<&ProfileName>,
) -> Result<Markup, Problem> {
    let present = Present::of(visit);
    let query = |verification| ActiveViolationQuery {
        reporter: device.cloned(),
        profile: profile.cloned(),
        include_suppressed: asked.with_suppressed,
        verification: Some(verification),
        ..ActiveViolationQuery::default()
    };
    let first = asked.state.unwrap_or(VerificationState::Unknown);
    let page = Page { after: token(&asked.after), limit: ROWS_MAX };
    let found = visit.console.history.active_violations(&visit.console.scope, &query(first), &page)?;
    let others = match (asked.state, asked.after.as_str()) {
        (None, "") => looked_into(visit, &query)?,
        _ => Vec::new(),
    };
    let word = first.as_str();
    let title = match asked.state {
        None => visit.text("alarms.unverified-title"),
        Some(_) => visit.texts.word("verification", word).unwrap_or(word),
    };
    Ok(html! {
        (active_card(visit, asked, &present, title, &found))
        @if !others.is_empty() {
            section.card {
                div.card-head {
                    h2 { (visit.text("alarms.looked-into")) }
                    nav.words aria-label=(visit.text("alarms.state")) {
                        @for state in LOOKED_INTO {
                            @let word = state.as_str();
                            a href=(address("/alarms", &[("state", word), ("device", &asked.device), ("profile", &asked.profile)])) {
                                (visit.texts.word("verification", word).unwrap_or(word))
                            }
                        }
                    }
                }
                (present.table(visit, &others, Columns::All))
            }
        }
        (history(visit, asked, device, profile)?)
    })
}

/// The newest of those that somebody has looked into.
fn looked_into(
    visit: &Visit,
    query: &dyn Fn(VerificationState) -> ActiveViolationQuery,
) -> Result<Vec<ActiveViolation>, StoreError> {
    let page = Page { after: None, limit: VERIFIED_ROWS_MAX };
    let mut found = Vec::new();
    for state in LOOKED_INTO {
        found.extend(visit.console.history.active_violations(&visit.console.scope, &query(state), &page)?.items);
    }
    found.sort_by(|one, other| (other.started_at, &other.id).cmp(&(one.started_at, &one.id)));
    found.truncate(VERIFIED_ROWS_MAX);
    Ok(found)
}

fn active_card(
    visit: &Visit,
    asked: &Asked,
    present: &Present<'_>,
    title: &str,
    found: &Paged<ActiveViolation>,
) -> Markup {
    // The store knows what was suppressed when a device was looked at last; the profile may say more by now.
    let shown: Vec<ActiveViolation> = found
        .items
        .iter()
        .filter(|violation| asked.with_suppressed || !present.is_suppressed(violation))
        .cloned()
        .collect();
    let hidden = found.items.len() - shown.len();
    let is_urgent = shown.iter().any(|violation| violation.verification == VerificationState::Unknown);
    html! {
        section.card.urgent[is_urgent] {
            h2 { (title) }
            @if shown.is_empty() && hidden == 0 {
                p.muted {
                    @if asked.state.is_none() && asked.device.is_empty() && asked.profile.is_empty() { (visit.text("alarms.none")) }
                    @else { (visit.text("alarms.nothing-fits")) }
                }
            } @else if !shown.is_empty() {
                (present.table(visit, &shown, Columns::All))
            }
            @if hidden > 0 {
                p.small.muted {
                    (visit.filled("alarms.hidden", &[("count", &grouped(hidden as u64))])) " "
                    a href=(asked.with("suppressed", "1")) { (visit.text("alarms.show-hidden")) }
                }
            }
            nav.pages aria-label=(visit.text("audit.pages")) {
                @if !asked.after.is_empty() { a.button href=(asked.with("after", "")) { (visit.text("audit.newest")) } }
                @if let Some(next) = &found.next { a.button href=(asked.with("after", &next.0)) rel="next" { (visit.text("audit.older")) } }
            }
        }
    }
}

/// What happened in the period.
fn history(
    visit: &Visit,
    asked: &Asked,
    device: Option<&ReporterName>,
    profile: Option<&ProfileName>,
) -> Result<Markup, Problem> {
    let query = ViolationEventQuery {
        from: asked.period.range.from,
        to: asked.period.range.to,
        reporter: device.cloned(),
        profile: profile.cloned(),
        criteria: None,
        include_suppressed: asked.with_suppressed,
        verification: asked.state,
    };
    let page = Page { after: token(&asked.older), limit: ROWS_MAX };
    let found = visit.console.history.violation_events(&visit.console.scope, &query, &page)?;
    Ok(html! {
        section.card #history {
            div.card-head {
                h2 { (visit.text("alarms.history")) }
                (asked.period.picker(visit, "/alarms", &asked.filters()))
            }
            @if found.items.is_empty() { p.muted { (visit.text("alarms.no-events")) } }
            @else { (events_table(visit, &found.items, Columns::All)) }
            p.small.muted { (visit.text("alarms.kept")) }
            nav.pages aria-label=(visit.text("audit.pages")) {
                @if !asked.older.is_empty() { a.button href=(asked.with("older", "")) { (visit.text("audit.newest")) } }
                @if let Some(next) = &found.next { a.button href={ (asked.with("older", &next.0)) "#history" } rel="next" { (visit.text("audit.older")) } }
            }
        }
    })
}

fn token(text: &str) -> Option<PageToken> {
    (!text.is_empty()).then(|| PageToken(text.to_owned()))
}

/// The profiles as they are now: whether somebody is told is decided there.
pub(crate) struct Present<'v> {
    visit: &'v Visit,
    profiles: RefCell<BTreeMap<ProfileName, Option<Arc<SecurityProfile>>>>,
}

impl<'v> Present<'v> {
    /// Of this moment.
    pub(crate) fn of(visit: &'v Visit) -> Self {
        Self { visit, profiles: RefCell::default() }
    }

    /// Whether nobody is told of an alarm.
    pub(crate) fn is_suppressed(&self, violation: &ActiveViolation) -> bool {
        let console = &self.visit.console;
        let mut profiles = self.profiles.borrow_mut();
        let profile = profiles
            .entry(violation.profile.clone())
            .or_insert_with(|| console.fleet.security_profile(&console.scope, &violation.profile));
        let mut behaviors = profile.iter().flat_map(|profile| &profile.behaviors);
        let now = behaviors.find(|behavior| behavior.name == violation.behavior.name);
        now.map_or(violation.behavior.suppress_alerts, |behavior| behavior.suppress_alerts)
    }

    /// Active alarms, the newest first.
    pub(crate) fn table(&self, visit: &Visit, violations: &[ActiveViolation], columns: Columns) -> Markup {
        html! {
            div.scroll tabindex="0" {
                table.rows.fold.alarms {
                    thead { tr {
                        th { (visit.text("alarms.raised")) }
                        @if columns == Columns::All { th { (visit.text("alarms.device")) } }
                        th { (visit.text("alarms.what")) }
                        th { (visit.text("alarms.value")) }
                        th { (visit.text("alarms.state")) }
                    } }
                    tbody { @for violation in violations { (self.row(visit, violation, columns)) } }
                }
            }
        }
    }

    fn row(&self, visit: &Visit, violation: &ActiveViolation, columns: Columns) -> Markup {
        let is_suppressed = self.is_suppressed(violation);
        let is_fresh = violation.verification == VerificationState::Unknown && !is_suppressed;
        html! {
            tr.fresh[is_fresh] {
                td.head.nowrap { (time::in_year(violation.started_at)) }
                @if columns == Columns::All {
                    td.wide.name data-label=(visit.text("alarms.device")) { (device_link(violation.reporter.as_str())) }
                }
                td.wide.what data-label=(visit.text("alarms.what")) {
                    div {
                        a href={ "/alarms/" (violation.id) } { (alarm_words(visit, &violation.behavior)) }
                        div.small.muted.inline { (profile_link(&violation.profile)) " · " (violation.behavior.name) }
                    }
                }
                td.wide data-label=(visit.text("alarms.value")) {
                    @if let Some(value) = &violation.last_value {
                        (offending_words(visit, &violation.behavior, value).unwrap_or_else(|| value_words(visit, value)))
                    }
                }
                td data-label=(visit.text("alarms.state")) {
                    div.badges {
                        @if is_threat(&violation.behavior) { span.badge.bad { (visit.text("alarms.threat")) } }
                        (verification_badge(visit, violation.verification))
                        @if is_suppressed { span.badge { (visit.text("alarms.is-suppressed")) } }
                    }
                }
            }
        }
    }
}

/// What happened, the newest first.
pub(crate) fn events_table(visit: &Visit, events: &[ViolationEvent], columns: Columns) -> Markup {
    html! {
        div.scroll tabindex="0" {
            table.rows.fold.alarms {
                thead { tr {
                    th { (visit.text("alarms.when")) }
                    th { (visit.text("alarms.event")) }
                    @if columns == Columns::All { th { (visit.text("alarms.device")) } }
                    th { (visit.text("alarms.what")) }
                    th { (visit.text("alarms.value")) }
                    th { (visit.text("alarms.state")) }
                } }
                tbody {
                    @for event in events {
                        tr {
                            td.head.nowrap { (time::in_year(event.at)) }
                            td data-label=(visit.text("alarms.event")) { (event_badge(visit, event.kind)) }
                            @if columns == Columns::All {
                                td.wide.name data-label=(visit.text("alarms.device")) { (device_link(event.reporter.as_str())) }
                            }
                            td.wide.what data-label=(visit.text("alarms.what")) {
                                a href={ "/alarms/" (event.violation) } { (alarm_words(visit, &event.behavior)) }
                            }
                            td.wide data-label=(visit.text("alarms.value")) {
                                @if let Some(value) = &event.value {
                                    (offending_words(visit, &event.behavior, value).unwrap_or_else(|| value_words(visit, value)))
                                }
                            }
                            td data-label=(visit.text("alarms.state")) { (verification_badge(visit, event.verification)) }
                        }
                    }
                }
            }
        }
    }
}

/// The card of the overview, and whether somebody should look at it before everything else.
pub(crate) fn card(visit: &Visit) -> Result<(Markup, bool), Problem> {
    let console = &visit.console;
    let totals = console.history.alarm_totals(&console.scope, 0)?.all;
    let is_urgent = totals.unverified > 0;
    let query = ActiveViolationQuery {
        verification: is_urgent.then_some(VerificationState::Unknown),
        ..ActiveViolationQuery::default()
    };
    let page = Page { after: None, limit: CARD_ROWS };
    let latest = console.history.active_violations(&console.scope, &query, &page)?.items;
    let present = Present::of(visit);
    let (active, unverified) = (grouped(totals.active), grouped(totals.unverified));
    let card = html! {
        section.card.urgent[is_urgent] {
            div.card-head {
                h2 { (visit.text("menu.alarms")) }
                span.small {
                    @if is_urgent { strong.alarm { (visit.filled("alarms.card-unverified", &[("count", &unverified)])) } " · " }
                    span.muted { (visit.filled("alarms.card-active", &[("count", &active)])) }
                }
            }
            @if latest.is_empty() { p.muted { (visit.text("alarms.none")) } }
            @else { (present.table(visit, &latest, Columns::All)) }
            p.small { a href="/alarms" { (visit.text("alarms.to-all")) } }
        }
    };
    Ok((card, is_urgent))
}

/// An alarm by its id.
pub(crate) fn find(visit: &Visit, _who: &SignedIn, wanted: &str) -> Result<Vec<Hit>, Problem> {
    let Ok(violation) = ViolationId::parse(wanted) else { return Ok(Vec::new()) };
    let life = visit.console.history.violation(&visit.console.scope, &violation)?;
    let reporter = life.active.map(|active| active.reporter);
    let reporter = reporter.or_else(|| life.events.into_iter().next().map(|event| event.reporter));
    let hit = |reporter: ReporterName| Hit {
        kind: visit.text("alarms.one"),
        name: format!("{violation} {reporter}"),
        path: format!("/alarms/{violation}"),
    };
    Ok(reporter.map(hit).into_iter().collect())
}

#[cfg(test)]
mod tests;
