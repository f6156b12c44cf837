//! How the installation is, for admins: what somebody has to look at first, then everything that runs, waits and fills.

use komainu_model::Timestamp;
use komainu_ports::{LaboratoryState, Listener, ListenerWish, MailWay, Vitals, Warning};
use maud::{Markup, html};

use crate::pages::retention::bytes;
use crate::routes::Answered;
use crate::shown::shown;
use crate::visit::{SignedIn, Visit};
use crate::watch::grouped;
use crate::{shell, time};

/// The page.
pub(crate) fn show(visit: &Visit, who: &SignedIn) -> Answered {
    let vitals = visit.console.vitals.vitals();
    let warnings = vitals.warnings(visit.now);
    let content = html! {
        (warned(visit, &warnings))
        (tiles(visit, &vitals))
        div.columns {
            (listeners(visit, &vitals.listeners))
            (messages(visit, &vitals))
            (lake(visit, &vitals))
            (laboratory(visit, &vitals))
            (sensors(visit, &vitals))
            (process(visit, &vitals))
        }
        p.small.muted { (visit.text("health.metrics")) " " code { "komainu serve --metrics 127.0.0.1:9464" } }
    };
    Ok(shell::page(visit, Some(who), visit.text("menu.health"), content))
}

fn warned(visit: &Visit, warnings: &[Warning]) -> Markup {
    html! {
        @if warnings.is_empty() { p.note.ok { (visit.text("health.well")) } }
        @for warning in warnings {
            @let word = warning.as_str();
            div.note.bad[warning.is_grave()].warn[!warning.is_grave()] {
                strong { (visit.texts.word("health.warning", word).unwrap_or(word)) }
                p { (visit.texts.word("health.advice", word).unwrap_or_default()) }
            }
        }
    }
}

fn tiles(visit: &Visit, vitals: &Vitals) -> Markup {
    let tile = |title: &str, value: &str, note: &str| {
        html! { section.card.tile { h2 { (title) } p.big { (value) } p.small.muted { (note) } } }
    };
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "–".to_owned());
    let running = vitals.started_at.map(|at| span(visit, at));
    let since = vitals.started_at.map(|at| time::text(at) + " UTC").unwrap_or_default();
    let disk = vitals.disk.map(|disk| bytes(disk.free_bytes));
    let of_disk = vitals.disk.map(|disk| visit.filled("health.of", &[("all", &bytes(disk.bytes))])).unwrap_or_default();
    let violations = vitals.store.map(|store| grouped(store.violations_active));
    let total = visit.filled("health.connections-total", &[("count", &grouped(vitals.gateway.connections_total))]);
    html! {
        div.tiles {
            (tile(visit.text("health.running"), &or_dash(running), &since))
            (tile(visit.text("health.disk"), &or_dash(disk), &of_disk))
            (tile(visit.text("health.connections"), &grouped(vitals.gateway.connections), &total))
            (tile(visit.text("health.violations"), &or_dash(violations), ""))
        }
    }
}

/// A table of names and values, numbers to the right.
fn card(title: &str, rows: &[(&str, String)]) -> Markup {
    html! {
        section.card {
            h2 { (title) }
            div.scroll tabindex="0" {
                table.rows { tbody { @for (name, value) in rows { tr { td { (name) } td.number { (value) } } } } }
            }
        }
    }
}

fn listeners(visit: &Visit, listeners: &[Listener]) -> Markup {
    html! {
        section.card {
            h2 { (visit.text("health.listeners")) }
            div.scroll tabindex="0" {
                table.rows { tbody {
                    @for Listener { name, address, wish } in listeners {
                        tr {
                            td.mono { (name) }
                            td.right {
                                @match (address, wish) {
                                    (Some(address), _) => span.mono { (address) },
                                    (None, ListenerWish::Open) => span.badge.bad { (visit.text("health.closed")) },
                                    (None, ListenerWish::Off) => span.muted { (visit.text("health.off")) },
                                }
                            }
                        }
                    }
                } }
            }
        }
    }
}

fn messages(visit: &Visit, vitals: &Vitals) -> Markup {
    let store = vitals.store.unwrap_or_default();
    let mail = match vitals.mail {
        MailWay::Server => visit.text("health.mail-server"),
        MailWay::None => visit.text("health.mail-none"),
    };
    let oldest = store.deliveries_waiting_since.map_or_else(|| "–".to_owned(), |since| span(visit, since));
    let rows = [
        (visit.text("health.waiting"), grouped(store.deliveries_waiting)),
        (visit.text("health.oldest"), oldest),
        (visit.text("health.dead"), grouped(store.deliveries_dead)),
        (visit.text("health.done"), grouped(vitals.deliveries.done)),
        (visit.text("health.retried"), grouped(vitals.deliveries.retried)),
        (visit.text("health.mail"), mail.to_owned()),
    ];
    card(visit.text("health.messages"), &rows)
}

fn lake(visit: &Visit, vitals: &Vitals) -> Markup {
    let states = vitals.lake.as_deref().unwrap_or_default();
    let sum = |of: fn(&komainu_ports::LakeTableState) -> u64| states.iter().map(of).sum::<u64>();
    let keeper = &vitals.lake_keeper;
    let kept = keeper.kept_at.map_or_else(|| "–".to_owned(), time::text);
    let mut rows = vec![
        (visit.text("health.lake-rows"), grouped(sum(|state| state.rows))),
        (visit.text("health.lake-hot"), grouped(sum(|state| state.hot_rows))),
        (visit.text("health.lake-parts"), grouped(sum(|state| state.parts))),
        (visit.text("health.lake-bytes"), bytes(sum(|state| state.bytes))),
        (visit.text("health.lake-kept"), kept),
    ];
    if let Some((at, why)) = &keeper.failed {
        rows.push((visit.text("health.lake-failed"), format!("{} {}", time::text(*at), shown(why))));
    }
    card(visit.text("health.lake"), &rows)
}

fn laboratory(visit: &Visit, vitals: &Vitals) -> Markup {
    let state = match vitals.laboratory {
        LaboratoryState::Runs => visit.text("health.lab-runs"),
        LaboratoryState::Off => visit.text("health.off"),
    };
    let of = |count: Option<u64>| count.map_or_else(|| "–".to_owned(), grouped);
    let samples = vitals.samples;
    let rows = [
        (visit.text("operators.state"), state.to_owned()),
        (visit.text("health.waiting"), of(samples.map(|samples| samples.waiting))),
        (visit.text("health.lab-working"), of(samples.map(|samples| samples.working))),
        (visit.text("health.lab-done"), of(samples.map(|samples| samples.done))),
        (visit.text("health.lab-failed"), of(samples.map(|samples| samples.failed))),
        (visit.text("health.indicators"), grouped(vitals.indicators_active)),
    ];
    card(visit.text("health.lab"), &rows)
}

fn sensors(visit: &Visit, vitals: &Vitals) -> Markup {
    html! {
        section.card {
            h2 { (visit.text("health.sensors")) }
            div.scroll tabindex="0" {
                table.rows { tbody {
                    tr { td { (visit.text("health.sensors-online")) } td.number { (grouped(vitals.sensors_online)) } }
                    tr { td { (visit.text("health.sensors-silent")) } td.number { (grouped(vitals.sensors_silent_count)) } }
                    @for (name, since) in &vitals.sensors_silent {
                        tr {
                            td { a href={ "/sensors/" (name) } { (name) } }
                            td.right { @if let Some(since) = since { (time::time(*since)) } }
                        }
                    }
                } }
            }
        }
    }
}

fn process(visit: &Visit, vitals: &Vitals) -> Markup {
    let gateway = vitals.gateway;
    let mut rows = vec![
        (visit.text("health.turned-away"), grouped(gateway.turned_away)),
        (visit.text("health.handshakes-failed"), grouped(gateway.handshakes_failed)),
    ];
    if let Some(process) = vitals.process {
        let files = format!("{} / {}", grouped(process.open_files), grouped(process.open_files_max));
        rows.push((visit.text("health.memory"), bytes(process.memory_bytes)));
        rows.push((visit.text("health.files"), files));
    }
    if let Some(output) = vitals.output {
        rows.push((visit.text("health.output-written"), grouped(output.written)));
        rows.push((visit.text("health.output-dropped"), grouped(output.dropped)));
        rows.push((visit.text("health.waiting"), grouped(output.waiting)));
    }
    card(visit.text("health.server"), &rows)
}

/// How long ago something was, in its two largest units.
fn span(visit: &Visit, since: Timestamp) -> String {
    let minutes = visit.now.since(since).as_secs() / 60;
    let (days, hours) = (minutes / 1440, minutes / 60);
    if days > 0 {
        visit.filled("health.days", &[("large", &days.to_string()), ("small", &(hours % 24).to_string())])
    } else {
        visit.filled("health.hours", &[("large", &hours.to_string()), ("small", &(minutes % 60).to_string())])
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hyper::Method;
    use komainu_model::{Language, Role};
    use komainu_ports::MemoryLake;

    use super::*;
    use crate::request::tests::{ask, console_with};
    use komainu_texts::Texts;

    #[test]
    fn warnings_come_first_and_say_what_to_do() {
        let console = console_with(Arc::new(MemoryLake::default()));
        let (status, page) = ask(&console, Some(Role::Admin), Method::GET, "/admin/health", "");
        assert_eq!(status, 200);
        let place = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text} is not on {page}"));
        assert!(place("The disk is nearly full") < place("Sensors fell silent"));
        assert!(place("Sensors fell silent") < place("listen.tls"));
        for text in ["not open", "gate-3", "2 h 0 min", "1.0 MiB", "of 10.0 GiB"] {
            place(text);
        }
        assert_eq!(ask(&console, Some(Role::Analyst), Method::GET, "/admin/health", "").0, 403);
    }

    #[test]
    fn every_warning_has_a_text_and_an_advice() {
        for language in Language::ALL {
            let texts = Texts::of(language);
            for warning in Warning::ALL {
                for start in ["health.warning", "health.advice"] {
                    assert!(texts.word(start, warning.as_str()).is_some(), "{start}.{}", warning.as_str());
                }
            }
        }
    }
}
