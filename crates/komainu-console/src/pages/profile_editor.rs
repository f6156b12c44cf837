//! Writing a security profile: a form that keeps everything that is typed, and tries it on what devices reported before it is
//! saved.

mod draft;
mod trial;

use hyper::StatusCode;
use komainu_detect::WINDOWS_S;
use komainu_model::{CloudMetric, DeviceMetric, KomainuMetric, Metric, ProfileName, SecurityProfile};
use komainu_ports::{AuditAction, ProfileDeskError, TopicSummary};
use maud::{Markup, html};

use crate::behaviors::profile_path;
use crate::judged::{duration_words, metric_name};
use crate::pages::profiles::asked_for;
use crate::problem::Problem;
use crate::reply::Reply;
use crate::routes::Answered;
use crate::shown::{shown, shown_briefly};
use crate::visit::{SignedIn, Visit};
use crate::watch::brief;
use crate::{problem_words, shell};
use draft::{ALL_THINGS, Checked, Form, GROUP, KEEP_ONLY, OPERATORS, REGISTERED, Row, UNREGISTERED};
use trial::Trial;

/// Groups that are offered to be ticked; others are typed.
const GROUPS_OFFERED_MAX: usize = 60;

/// Topics that are offered.
const TOPICS_OFFERED_MAX: usize = 100;

/// Custom metrics of other profiles that are offered.
const CUSTOM_OFFERED_MAX: usize = 60;

/// Characters of the value of a behavior that is folded.
const FOLDED_CHARS_MAX: usize = 40;

/// What the page says besides the form.
#[derive(Default)]
struct Told {
    checked: Checked,
    trial: Option<Trial>,
    /// The version that somebody else made meanwhile.
    changed_to: Option<u64>,
}

/// A form for a new profile.
pub(crate) fn show_new(visit: &Visit, who: &SignedIn) -> Answered {
    Ok(page(visit, who, StatusCode::OK, &Form::fresh(), &Told::default()))
}

/// A form with a profile in it.
pub(crate) fn show(visit: &Visit, who: &SignedIn) -> Answered {
    let profile = asked_for(visit)?;
    match Form::of(&profile) {
        Some(form) => Ok(page(visit, who, StatusCode::OK, &form, &Told::default())),
        None => Ok(too_large(visit, who, &profile)),
    }
}

/// A profile that the form cannot show as it is.
fn too_large(visit: &Visit, who: &SignedIn, profile: &SecurityProfile) -> Reply {
    let content = html! {
        section.card.narrow {
            p { (visit.text("editor.not-shown")) }
            p { code.copy { "aws iot update-security-profile --security-profile-name " (profile.name) " …" } }
            p { a.button href=(profile_path(&profile.name)) { (visit.text("editor.back")) } }
        }
    };
    shell::page(visit, Some(who), profile.name.as_str(), content)
}

/// Takes the form of a new profile.
pub(crate) fn send_new(visit: &Visit, who: &SignedIn) -> Answered {
    sent(visit, who, None)
}

/// Takes the form of a profile that is there.
pub(crate) fn send(visit: &Visit, who: &SignedIn) -> Answered {
    let name = ProfileName::parse(visit.label("name")).map_err(|_| Problem::NotFound)?;
    sent(visit, who, Some(&name))
}

fn sent(visit: &Visit, who: &SignedIn, present: Option<&ProfileName>) -> Answered {
    let mut form = Form::typed(&visit.form);
    if let Some(name) = present {
        form.name = name.to_string();
    }
    let same = |form: &Form| Ok(page(visit, who, StatusCode::OK, form, &Told::default()));
    match visit.form.one("do") {
        "add" => {
            form.rows.push(Row::fresh());
            form.open(form.rows.len() - 1);
            same(&form)
        }
        "save" => save(visit, who, present, form),
        word => match word.split_once('-').map(|(deed, place)| (deed, place.parse::<usize>())) {
            Some(("remove", Ok(place))) if place < form.rows.len() => {
                form.remove(place);
                same(&form)
            }
            Some(("open", Ok(place))) => {
                form.open(place);
                same(&form)
            }
            Some(("remove", _)) => same(&form),
            Some(_) | None => attempt(visit, who, present, &form),
        },
    }
}

/// Tries it on what devices reported.
fn attempt(visit: &Visit, who: &SignedIn, present: Option<&ProfileName>, form: &Form) -> Answered {
    let checked = form.check(visit, false);
    let trial = match &checked.draft {
        Some(draft) => match trial::run(visit, draft, present, trial::days_of(&form.days)) {
            Ok(trial) => Some(trial),
            Err(Problem::Busy) => {
                let busy = Checked { wrong: vec![visit.text("trial.busy").to_owned()], ..Checked::default() };
                let told = Told { checked: busy, ..Told::default() };
                return Ok(page(visit, who, StatusCode::SERVICE_UNAVAILABLE, form, &told));
            }
            Err(problem) => return Err(problem),
        },
        None => None,
    };
    let status = if trial.is_some() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    Ok(page(visit, who, status, form, &Told { checked, trial, changed_to: None }))
}

fn save(visit: &Visit, who: &SignedIn, present: Option<&ProfileName>, mut form: Form) -> Answered {
    let checked = form.check(visit, true);
    let again = |status: StatusCode, form: &Form, told: Told| Ok(page(visit, who, status, form, &told));
    let Some(draft) = &checked.draft else {
        return again(StatusCode::UNPROCESSABLE_ENTITY, &form, Told { checked, ..Told::default() });
    };
    let (desk, scope) = (&visit.console.profiles, &visit.console.scope);
    let (saved, action) = match present {
        None => (desk.create_profile(scope, draft), AuditAction::CreateProfile),
        Some(_) => {
            // Whoever saw that somebody else changed it may say that their own version counts all the same.
            let over = visit.form.one("over").parse().ok();
            form.version = over.or(form.version);
            let Some(version) = form.version else { return Err(Problem::FormUnreadable) };
            (desk.replace_profile(scope, draft, version), AuditAction::ChangeProfile)
        }
    };
    let wrong = |wrong: Vec<String>| Told { checked: Checked { wrong, ..Checked::default() }, ..Told::default() };
    match saved {
        Ok(()) => {
            visit.console.store().note(&visit.did(who, action, draft.name.as_str()))?;
            Ok(Reply::on_to(&format!("{}?said=profile-saved", profile_path(&draft.name))))
        }
        Err(ProfileDeskError::Invalid(problems)) => {
            let problems = problems.iter().map(|problem| problem_words::of_profile(visit, problem)).collect();
            again(StatusCode::UNPROCESSABLE_ENTITY, &form, wrong(problems))
        }
        Err(ProfileDeskError::Exists) => {
            again(StatusCode::CONFLICT, &form, wrong(vec![visit.text("editor.exists").to_owned()]))
        }
        Err(ProfileDeskError::Missing) => {
            again(StatusCode::CONFLICT, &form, wrong(vec![visit.text("editor.gone").to_owned()]))
        }
        Err(ProfileDeskError::Changed(version)) => {
            again(StatusCode::CONFLICT, &form, Told { changed_to: Some(version), ..Told::default() })
        }
        Err(ProfileDeskError::Unavailable(error)) => Err(error.into()),
    }
}

fn page(visit: &Visit, who: &SignedIn, status: StatusCode, form: &Form, told: &Told) -> Reply {
    let is_new = visit.label("name").is_empty();
    // Where it is looked at; of a new one, where all are.
    let back =
        ProfileName::parse(visit.label("name")).map_or_else(|_| "/profiles".to_owned(), |name| profile_path(&name));
    let title = if is_new {
        visit.text("profiles.new").to_owned()
    } else {
        visit.filled("editor.title", &[("name", &form.name)])
    };
    let is_wrong = told.checked.wrong_rows.iter().any(|wrong| !wrong.is_empty());
    let content = html! {
        @if is_wrong || !told.checked.wrong.is_empty() {
            div.note.bad role="alert" {
                p { (visit.text("editor.wrong")) }
                ul { @for wrong in &told.checked.wrong { li { (wrong) } } }
            }
        }
        @if let Some(version) = told.changed_to {
            p.note.bad role="alert" {
                (visit.filled("editor.changed", &[("version", &version.to_string())])) " "
                a href=(back) target="_blank" { (visit.text("editor.look")) }
            }
        }
        @if let Some(trial) = &told.trial { (trial::card(visit, trial)) }
        form.editor #editor method="post" action=(visit.path) {
            (shell::form_key_field(visit))
            (try_by_enter(visit))
            @if let Some(version) = form.version { input type="hidden" name="version" value=(version); }
            (what(visit, form, is_new))
            (rows(visit, form, &told.checked.wrong_rows))
            div.columns {
                (targets(visit, form))
                (told_and_kept(visit, form))
            }
            section.card.editor-end {
                @if let Some(version) = told.changed_to {
                    label.tick { input type="checkbox" name="over" value=(version); span { (visit.filled("editor.over", &[("version", &version.to_string())])) } }
                }
                div.line {
                    label.line { span.visually-hidden { (visit.text("editor.days")) }
                        select name="days" {
                            @for days in trial::DAYS {
                                option value=(days) selected[days == trial::days_of(&form.days)] { (visit.filled("editor.last-days", &[("count", &days.to_string())])) }
                            }
                        }
                    }
                    button type="submit" name="do" value="try" formaction={ (visit.path) "#trial" } { (visit.text("editor.try")) }
                    button.primary type="submit" name="do" value="save" { (visit.text("editor.save")) }
                    a.button href=(back) { (visit.text("editor.leave")) }
                }
                p.muted.small { (visit.text("editor.try-about")) }
            }
        }
    };
    shell::page_with_status(status, visit, Some(who), &title, content)
}

/// The first button of a form is the one that the key Enter presses; it must be one that changes nothing.
fn try_by_enter(visit: &Visit) -> Markup {
    html! {
        button.visually-hidden type="submit" form="editor" name="do" value="try" tabindex="-1" aria-hidden="true" {
            (visit.text("editor.try"))
        }
    }
}

fn what(visit: &Visit, form: &Form, is_new: bool) -> Markup {
    html! {
        section.card {
            div.editor-what {
                label { span { (visit.text("profiles.name")) }
                    @if is_new {
                        input name="name" value=(form.name) maxlength="128" autocomplete="off" spellcheck="false";
                    } @else {
                        input name="name" value=(form.name) readonly;
                    }
                }
                label { span { (visit.text("editor.description")) }
                    input name="description" value=(form.description) maxlength="1000" autocomplete="off"; }
            }
        }
    }
}

fn rows(visit: &Visit, form: &Form, wrong: &[Vec<String>]) -> Markup {
    let short = visit.console.profiles.short_windows_allowed();
    let open = form.open_rows(wrong);
    html! {
        section.card {
            h2 { (visit.text("profiles.behaviors")) }
            p.muted.small { (visit.text("editor.behaviors-about")) }
            datalist #metrics { @for (metric, name) in offered_metrics(visit) { option value=(metric) { (name) } } }
            @for place in &form.opened { input type="hidden" name="opened" value=(place); }
            @for (place, row) in form.rows.iter().enumerate() {
                @let wrong = wrong.get(place).map_or(&[][..], Vec::as_slice);
                @if open.contains(&place) { (behavior_row(visit, place, row, wrong, short)) }
                @else { (folded_row(visit, place, row, wrong)) }
            }
            div.line { button type="submit" name="do" value="add" { (visit.text("editor.add")) } }
        }
    }
}

/// A behavior in one line. Its fields are there, so that nothing is lost when the form is sent.
fn folded_row(visit: &Visit, place: usize, row: &Row, wrong: &[String]) -> Markup {
    let number = (place + 1).to_string();
    let operator = visit.texts.word("editor-operator", &row.operator).unwrap_or(&row.operator);
    let fields = [
        ("b-name", &row.name),
        ("b-metric", &row.metric),
        ("b-operator", &row.operator),
        ("b-value", &row.value),
        ("b-window", &row.window),
        ("b-alarm", &row.to_alarm),
        ("b-clear", &row.to_clear),
    ];
    html! {
        div.behavior.folded.bad[!wrong.is_empty()] {
            @for (name, value) in fields { input type="hidden" name=(name) value=(value); }
            @if row.is_suppressed { input type="hidden" name="b-suppress" value=(place); }
            span.break {
                strong { (brief(&row.name)) } " " span.muted { (brief(&row.metric)) " " (brief(operator)) " " (shown_briefly(&row.value, FOLDED_CHARS_MAX)) }
                @if !wrong.is_empty() { " " span.badge.bad { (visit.text("editor.row-wrong")) } }
            }
            button.quiet type="submit" name="do" value={ "open-" (place) } aria-label=(visit.filled("editor.open-row", &[("number", &number)])) {
                (visit.text("editor.open"))
            }
        }
    }
}

fn behavior_row(visit: &Visit, place: usize, row: &Row, wrong: &[String], short_windows: bool) -> Markup {
    let label = |key: &'static str| visit.texts.word("editor-field", key).unwrap_or(key);
    let number = (place + 1).to_string();
    html! {
        fieldset.behavior.bad[!wrong.is_empty()] {
            legend.visually-hidden { (visit.filled("editor.row", &[("number", &number)])) }
            @if !wrong.is_empty() { ul.wrong role="alert" { @for wrong in wrong { li { (wrong) } } } }
            div.behavior-fields {
                label.wide-field { span { (visit.text("profiles.name")) }
                    input name="b-name" value=(row.name) maxlength="128" autocomplete="off" spellcheck="false"; }
                label.wide-field { span { (visit.text("profile.metric")) }
                    input name="b-metric" value=(row.metric) list="metrics" maxlength="128" autocomplete="off" spellcheck="false"; }
                label { span { (visit.text("profile.normal")) }
                    select name="b-operator" {
                        @for (word, _) in OPERATORS {
                            option value=(word) selected[word == row.operator] { (visit.texts.word("editor-operator", word).unwrap_or(word)) }
                        }
                        option value=(KEEP_ONLY) selected[row.operator == KEEP_ONLY] { (visit.texts.word("editor-operator", KEEP_ONLY).unwrap_or(KEEP_ONLY)) }
                    }
                }
                label { span { (label("value")) }
                    textarea name="b-value" rows=(row.value.lines().count().clamp(1, 6)) autocomplete="off" spellcheck="false" { "\n" (row.value) } }
                label.wide-field { span { @if short_windows { (visit.text("editor.window-s")) } @else { (label("window")) } }
                    @if short_windows {
                        input name="b-window" value=(row.window) inputmode="numeric" maxlength="16" autocomplete="off";
                    } @else {
                        select name="b-window" {
                            option value="" selected[row.window.is_empty()] { (visit.text("editor.no-window")) }
                            @for window_s in WINDOWS_S {
                                option value=(window_s) selected[window_s.to_string() == row.window] { (duration_words(visit, window_s)) }
                            }
                            // What was typed elsewhere is not lost.
                            @if !row.window.is_empty() && !WINDOWS_S.iter().any(|window_s| window_s.to_string() == row.window) {
                                option value=(row.window) selected { (shown(&row.window)) }
                            }
                        }
                    }
                }
                label { span { (label("to-alarm")) }
                    input name="b-alarm" value=(row.to_alarm) inputmode="numeric" maxlength="16" autocomplete="off"; }
                label { span { (label("to-clear")) }
                    input name="b-clear" value=(row.to_clear) inputmode="numeric" maxlength="16" autocomplete="off"; }
            }
            div.line {
                label.tick { input type="checkbox" name="b-suppress" value=(place) checked[row.is_suppressed]; span { (visit.text("editor.suppress")) } }
                button.quiet.danger type="submit" name="do" value={ "remove-" (place) } aria-label=(visit.filled("editor.remove-row", &[("number", &number)])) {
                    (visit.text("editor.remove"))
                }
            }
        }
    }
}

fn targets(visit: &Visit, form: &Form) -> Markup {
    let groups = visit.console.profiles.groups(&visit.console.scope, GROUPS_OFFERED_MAX);
    let offered: Vec<String> = groups.iter().map(|group| format!("{GROUP}{group}")).collect();
    // A group that is not offered any more stays ticked: what was chosen is not lost.
    let others = form.targets.iter().filter(|target| target.starts_with(GROUP) && !offered.contains(target));
    let tick = |word: &str, text: Markup| {
        html! { label.tick { input type="checkbox" name="target" value=(word) checked[form.targets.contains(word)]; span { (text) } } }
    };
    html! {
        section.card {
            h2 { (visit.text("editor.targets")) }
            div.ticks {
                (tick(ALL_THINGS, html! { (visit.text("judged.all-things")) }))
                (tick(REGISTERED, html! { (visit.text("judged.registered-things")) }))
                (tick(UNREGISTERED, html! { (visit.text("judged.unregistered-things")) }))
                @for group in offered.iter().chain(others) {
                    (tick(group, html! { (visit.text("editor.group")) " " (shown(group.strip_prefix(GROUP).unwrap_or(group))) }))
                }
            }
            label { span { (visit.text("editor.more-groups")) }
                input name="groups" value=(form.more_groups) autocomplete="off" spellcheck="false"; }
        }
    }
}

fn told_and_kept(visit: &Visit, form: &Form) -> Markup {
    let topics = visit.console.topics.topics(&visit.console.scope, None, TOPICS_OFFERED_MAX);
    let is_offered = |arn: &str| topics.iter().any(|topic: &TopicSummary| topic.arn.as_str() == arn);
    html! {
        section.card {
            h2 { (visit.text("profile.told")) }
            label { span { (visit.text("editor.topic")) }
                select name="topic" {
                    option value="" selected[form.topic.is_empty()] { (visit.text("editor.nobody")) }
                    @for topic in &topics { option value=(topic.arn) selected[topic.arn.as_str() == form.topic] { (topic.name) } }
                    @if !form.topic.is_empty() && !is_offered(&form.topic) { option value=(form.topic) selected { (shown(&form.topic)) } }
                }
            }
            h2 { (visit.text("profile.retained")) }
            p.muted.small { (visit.text("editor.retain-about")) }
            details open[!form.retained.is_empty()] {
                summary { (visit.text("editor.retain-choose")) }
                div.ticks {
                    @for metric in known_metrics() {
                        label.tick {
                            input type="checkbox" name="retain" value=(metric.as_str()) checked[form.retained.contains(metric.as_str())];
                            span { (metric_name(visit, &metric)) }
                        }
                    }
                }
            }
            label { span { (visit.text("editor.retain-more")) }
                input name="retain-more" value=(form.more_retained) autocomplete="off" spellcheck="false"; }
        }
    }
}

/// All metrics that are not the operators' own.
fn known_metrics() -> impl Iterator<Item = Metric> {
    let device = DeviceMetric::ALL.into_iter().map(Metric::Device);
    let cloud = CloudMetric::ALL.into_iter().map(Metric::Cloud);
    device.chain(cloud).chain(KomainuMetric::ALL.into_iter().map(Metric::Komainu))
}

/// Metrics that are offered with what they count, custom ones of other profiles, too.
fn offered_metrics(visit: &Visit) -> Vec<(String, String)> {
    let profiles = visit.console.profiles.profiles();
    let of_behaviors =
        profiles.iter().flat_map(|(_, profile)| profile.behaviors.iter().map(|behavior| &behavior.metric));
    let retained = profiles.iter().flat_map(|(_, profile)| profile.metrics_to_retain.iter().map(|kept| &kept.metric));
    let custom: std::collections::BTreeSet<&Metric> =
        of_behaviors.chain(retained).filter(|metric| matches!(metric, Metric::Custom(_))).collect();
    let known = known_metrics().map(|metric| (metric.as_str().to_owned(), metric_name(visit, &metric)));
    let custom = custom.into_iter().take(CUSTOM_OFFERED_MAX);
    let own = visit.text("editor.own-metric");
    known.chain(custom.map(|metric| (metric.as_str().to_owned(), own.to_owned()))).collect()
}

#[cfg(test)]
mod tests;
