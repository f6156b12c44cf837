//! A draft tried on what devices reported: what it would have found, beside what detection did find.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use komainu_charts::{Series, Stacked, TimeRange, sparkline, stacked_bars};
use komainu_detect::{
    BACK_TEST_VALUES_MAX, BackTest, BackTestPeriod, BackTested, BehaviorBackTest, DevicePlace, Fidelity, Firing,
};
use komainu_model::{BehaviorName, ProfileName, ReporterName, SecurityProfile, Timestamp, ViolationEventType};
use komainu_ports::{Page, ProfileDraft, ViolationEventQuery};
use maud::{Markup, html};

use crate::judged::{device_link, value_words};
use crate::problem::Problem;
use crate::time;
use crate::visit::Visit;
use crate::watch::{charts_language, grouped};

/// Days that can be tried; values are kept for 14.
pub(super) const DAYS: [u32; 3] = [1, 7, 14];

/// Reading values ends after this time: a page has 30 seconds, the time for its turn included.
const TRIAL_MAX: Duration = Duration::from_secs(20);

/// The clock is asked once in so many values.
const CLOCK_EVERY: u64 = 4_096;

/// Slices of the timeline: of a week, one is two hours.
const SLICES: usize = 84;

/// Firings that are listed; the others are counted.
const LISTED_MAX: usize = 100;

/// Events that are read to say what did happen.
const EVENTS_MAX: usize = 10_000;

/// What came of a trial.
pub(super) struct Trial {
    tested: BackTested,
    /// What did happen under the present version, by behavior.
    happened: Option<Happened>,
    period: BackTestPeriod,
    days: u32,
    /// Whether all stored values of the period were read.
    is_whole: bool,
}

/// Alarms that were raised.
struct Happened {
    by_behavior: BTreeMap<BehaviorName, (u64, BTreeSet<ReporterName>)>,
    /// Whether all of them were counted.
    is_whole: bool,
}

/// The days that were chosen.
pub(super) fn days_of(word: &str) -> u32 {
    DAYS.into_iter().find(|days| days.to_string() == word).unwrap_or(7)
}

/// Tries a draft. `present` is the profile whose draft it is, when there is one. Blocks for seconds; few at a time.
pub(super) fn run(
    visit: &Visit,
    draft: &ProfileDraft,
    present: Option<&ProfileName>,
    days: u32,
) -> Result<Trial, Problem> {
    let Ok(_turn) = visit.console.trials.try_acquire() else { return Err(Problem::Busy) };
    let console = &visit.console;
    let from = visit.now.minus(Duration::from_secs(u64::from(days) * 24 * 3600));
    let period = BackTestPeriod { from, to: visit.now, slices: SLICES };
    let profile = Arc::new(SecurityProfile {
        name: draft.name.clone(),
        description: None,
        behaviors: draft.behaviors.clone(),
        alert_targets: Vec::new(),
        metrics_to_retain: Vec::new(),
        metrics_export: None,
        targets: draft.targets.clone(),
        version: 1,
        created_at: visit.now,
        modified_at: visit.now,
    });
    let place = |reporter: &ReporterName| {
        let device = console.profiles.device(&console.scope, reporter);
        DevicePlace { registered: device.registered, groups: device.groups }
    };
    let mut test = BackTest::new(&console.scope, &profile, &place, period);
    let (mut is_whole, mut read) = (true, 0u64);
    console.history.replay_datapoints(test.reads_from(), &mut |scope, datapoint| {
        read += 1;
        if datapoint.at >= period.to {
            return ControlFlow::Break(());
        }
        let is_late = read.is_multiple_of(CLOCK_EVERY) && console.clock.now().since(visit.now) > TRIAL_MAX;
        if is_late || scope == console.scope && test.take(&datapoint).is_break() {
            is_whole = false;
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    let happened = present.map(|present| happened(visit, present, period)).transpose()?;
    Ok(Trial { tested: test.end(is_whole), happened, period, days, is_whole })
}

fn happened(visit: &Visit, profile: &ProfileName, period: BackTestPeriod) -> Result<Happened, Problem> {
    let query = ViolationEventQuery {
        from: period.from,
        to: period.to,
        reporter: None,
        profile: Some(profile.clone()),
        criteria: None,
        include_suppressed: true,
        verification: None,
    };
    let mut happened = Happened { by_behavior: BTreeMap::new(), is_whole: true };
    let (mut page, mut read) = (Page { after: None, limit: 1_000 }, 0);
    loop {
        let part = visit.console.history.violation_events(&visit.console.scope, &query, &page)?;
        read += part.items.len();
        for event in part.items {
            if event.kind == ViolationEventType::InAlarm {
                let (count, devices) = happened.by_behavior.entry(event.behavior.name).or_default();
                *count += 1;
                devices.insert(event.reporter);
            }
        }
        match part.next {
            Some(next) if read < EVENTS_MAX => page.after = Some(next),
            next => {
                happened.is_whole = next.is_none();
                return Ok(happened);
            }
        }
    }
}

/// What came of it, for the page.
pub(super) fn card(visit: &Visit, trial: &Trial) -> Markup {
    let tested = &trial.tested;
    html! {
        section.card.fresh #trial {
            h2 { (visit.text("trial.title")) }
            p { strong.warn[tested.fired > 0] { (sentence(visit, tested, trial.days)) } }
            @if tested.devices == 0 { p.note.warn { (visit.text("trial.no-devices")) } }
            @if tested.left_out { p.note.warn { (visit.text("trial.left-out")) } }
            @if !trial.is_whole {
                p.note.warn {
                    (visit.filled("trial.not-whole", &[("time", &time::text(tested.until)), ("count", &grouped(BACK_TEST_VALUES_MAX))]))
                }
            }
            @if tested.fired > 0 { (timeline(visit, trial)) }
            (behaviors(visit, trial))
            p.muted.small {
                (visit.filled("trial.about", &[("values", &grouped(tested.values)), ("devices", &grouped(tested.devices))]))
            }
            div.line {
                // The key Enter presses the first button of a form, and this one stands before those within it.
                (super::try_by_enter(visit))
                button.primary type="submit" form="editor" name="do" value="save" { (visit.text("editor.save")) }
                a.button href="#editor" { (visit.text("trial.go-on")) }
            }
        }
        @if !tested.firings.is_empty() { (firings(visit, tested)) }
    }
}

/// `This would have fired 3 times in 7 days, on 2 devices.`
fn sentence(visit: &Visit, tested: &BackTested, days: u32) -> String {
    let devices: BTreeSet<&ReporterName> = tested.firings.iter().map(|firing| &firing.reporter).collect();
    let days = days.to_string();
    let places = [("times", &*grouped(tested.fired)), ("days", &days), ("devices", &grouped(devices.len() as u64))];
    match tested.fired {
        0 => visit.filled("trial.never", &places),
        // Only some firings are told one by one: of the others, devices are not known together.
        fired if fired > tested.firings.len() as u64 => visit.filled("trial.fired-often", &places),
        1 => visit.filled("trial.fired-once", &places),
        _ if devices.len() == 1 => visit.filled("trial.fired-on-one", &places),
        _ => visit.filled("trial.fired", &places),
    }
}

fn timeline(visit: &Visit, trial: &Trial) -> Markup {
    let counts: Vec<Vec<Option<u64>>> =
        trial.tested.behaviors.iter().map(|behavior| behavior.slices.iter().copied().map(Some).collect()).collect();
    let series: Vec<Series<'_>> = trial
        .tested
        .behaviors
        .iter()
        .zip(&counts)
        .filter(|(behavior, _)| behavior.fired > 0)
        .map(|(behavior, counts)| Series { label: behavior.name.as_str(), counts, link: None })
        .collect();
    stacked_bars(&Stacked {
        title: visit.text("trial.timeline"),
        language: charts_language(visit.language),
        range: TimeRange::new(trial.period.from.unix_millis(), trial.period.to.unix_millis()),
        series: &series,
        annotations: &[],
        peaks: &[],
        slice_link: None,
    })
}

fn behaviors(visit: &Visit, trial: &Trial) -> Markup {
    html! {
        div.scroll tabindex="0" { table.rows.fold {
            thead { tr {
                th { (visit.text("profile.behavior")) }
                th.number { (visit.text("trial.times")) }
                th.number { (visit.text("trial.devices")) }
                @if trial.happened.is_some() { th.number { (visit.text("trial.happened")) } }
                th { (visit.text("trial.when")) }
                th { (visit.text("trial.fidelity")) }
            } }
            tbody { @for behavior in &trial.tested.behaviors { (behavior_row(visit, trial, behavior)) } }
        } }
    }
}

fn behavior_row(visit: &Visit, trial: &Trial, behavior: &BehaviorBackTest) -> Markup {
    let is_judged =
        !matches!(behavior.fidelity, Fidelity::NothingStored | Fidelity::SmallestNotStored | Fidelity::NothingJudged);
    let counts: Vec<Option<u64>> = behavior.slices.iter().copied().map(Some).collect();
    let (word, class) = match behavior.fidelity {
        Fidelity::Same => ("same", "muted small"),
        Fidelity::SameLater => ("same-later", "muted small"),
        Fidelity::Coarse => ("coarse", "small"),
        Fidelity::SmallestNotStored => ("smallest-not-stored", "small"),
        Fidelity::NothingStored => ("nothing-stored", "small"),
        Fidelity::NothingJudged => ("nothing-judged", "muted small"),
    };
    html! {
        tr {
            td.head { (behavior.name) }
            td.number data-label=(visit.text("trial.times")) {
                @if !is_judged { span.muted { "–" } }
                @else if behavior.fired > 0 { span.badge.warn { (grouped(behavior.fired)) } }
                @else { "0" }
            }
            td.number data-label=(visit.text("trial.devices")) {
                @if is_judged { (grouped(behavior.devices)) " / " (grouped(behavior.devices_with_values)) } @else { span.muted { "–" } }
            }
            @if let Some(happened) = &trial.happened {
                td.number data-label=(visit.text("trial.happened")) {
                    @match happened.by_behavior.get(&behavior.name) {
                        Some((count, devices)) => {
                            (grouped(*count)) @if !happened.is_whole { "+" } " / " (grouped(devices.len() as u64))
                        }
                        None => "0",
                    }
                }
            }
            td data-label=(visit.text("trial.when")) {
                @if behavior.fired > 0 { div.trial-trend { (sparkline(behavior.name.as_str(), &counts)) } }
            }
            td.wide data-label=(visit.text("trial.fidelity")) {
                span class=(class) { (visit.texts.word("fidelity", word).unwrap_or(word)) }
                @if behavior.on_before > 0 {
                    " " span.small { (visit.filled("trial.on-before", &[("count", &grouped(behavior.on_before))])) }
                }
                @if let Some(first_at) = behavior.first_value_at.filter(|first_at| is_late(trial, *first_at)) {
                    " " span.small { (visit.filled("trial.values-since", &[("time", &time::text(first_at))])) }
                }
            }
        }
    }
}

/// Whether the first value came so late that most of a day of the period has none.
fn is_late(trial: &Trial, first_at: Timestamp) -> bool {
    first_at.since(trial.period.from) > Duration::from_secs(12 * 3600)
}

fn firings(visit: &Visit, tested: &BackTested) -> Markup {
    /// So many are shown without being asked for: the form is below.
    const OPEN_MAX: usize = 10;
    html! {
        section.card {
            details open[tested.firings.len() <= OPEN_MAX] {
                summary { (visit.filled("trial.firings", &[("count", &grouped(tested.fired))])) }
                div.scroll tabindex="0" { table.rows.fold.tight {
                    thead { tr {
                        th { (visit.text("trial.raised")) }
                        th { (visit.text("profile.device")) }
                        th { (visit.text("profile.behavior")) }
                        th { (visit.text("trial.value")) }
                        th { (visit.text("trial.ended")) }
                    } }
                    tbody { @for firing in tested.firings.iter().take(LISTED_MAX) { (firing_row(visit, firing)) } }
                } }
                @if tested.fired > LISTED_MAX as u64 {
                    p.muted.small { (visit.filled("trial.more", &[("count", &grouped(tested.fired - LISTED_MAX as u64))])) }
                }
            }
        }
    }
}

fn firing_row(visit: &Visit, firing: &Firing) -> Markup {
    html! {
        tr {
            td.head.nowrap { (time::time(firing.raised_at)) }
            td data-label=(visit.text("profile.device")) { (device_link(firing.reporter.as_str())) }
            td data-label=(visit.text("profile.behavior")) { (firing.behavior) }
            td.wide data-label=(visit.text("trial.value")) { @if let Some(value) = &firing.value { (value_words(visit, value)) } }
            td.nowrap data-label=(visit.text("trial.ended")) {
                @match firing.ended {
                    Some((ViolationEventType::AlarmInvalidated, at)) => { (time::time(at)) " " span.badge { (visit.text("trial.silent")) } }
                    Some((ViolationEventType::AlarmCleared | ViolationEventType::InAlarm, at)) => (time::time(at)),
                    None => span.badge.bad { (visit.text("trial.still-on")) },
                }
            }
        }
    }
}
