//! A letter as HTML that mail programs can show: tables and inline styles, no images, no scripts, nothing remote.
//!
//! Colours are chosen for a light background and stay readable where a program turns them around by itself; programs
//! that know `prefers-color-scheme` get dark ones. Everything that others chose is escaped by `maud`.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{Button, Figure, Letter, Step, Tone, Words};

/// Colours for programs that show mails on a dark background.
const DARK: &str = "
:root { color-scheme: light dark; supported-color-schemes: light dark; }
@media (prefers-color-scheme: dark) {
  .page { background: #14171c !important; }
  .card { background: #1e232b !important; border-color: #333b47 !important; }
  .ink { color: #eef1f5 !important; }
  .soft { color: #a9b4c2 !important; }
  .rule { border-color: #333b47 !important; }
  .code { background: #14171c !important; border-color: #333b47 !important; color: #dfe6ee !important; }
  .link { color: #8ab8ff !important; }
  .alarm { background: #40191b !important; color: #ffb3ae !important; border-color: #7a2e2c !important; }
  .good { background: #12351f !important; color: #9be3b4 !important; border-color: #24633b !important; }
  .neutral { background: #2a313c !important; color: #c9d3df !important; border-color: #465160 !important; }
}
@media (max-width: 480px) {
  .pad { padding-left: 18px !important; padding-right: 18px !important; }
  .figure { display: block !important; width: 100% !important; padding: 0 0 10px !important; }
  .fact { display: block !important; width: 100% !important; }
  .factname { padding-bottom: 0 !important; border-bottom: 0 !important; }
  .factvalue { padding-top: 0 !important; }
}
";
const FONT: &str = "font-family:-apple-system,BlinkMacSystemFont,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;";
const MONO: &str = "font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,'Liberation Mono',monospace;";

/// Lays a letter out as HTML.
pub(crate) fn render(letter: &Letter) -> String {
    let page: Markup = html! {
        (DOCTYPE)
        html lang=(letter.words.language().tag()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="supported-color-schemes" content="light dark";
                title { (letter.subject) }
                style { (PreEscaped(DARK)) }
            }
            body.page style="margin:0;padding:0;background:#f2f4f7;" {
                // What mail programs show of a mail in their list.
                div style="display:none;max-height:0;overflow:hidden;opacity:0;" { (letter.lead) }
                table.page role="presentation" width="100%" cellpadding="0" cellspacing="0"
                    style="background:#f2f4f7;" {
                    tr { td align="center" style="padding:28px 12px;" { (card(letter)) } }
                }
            }
        }
    };
    page.into_string()
}

fn card(letter: &Letter) -> Markup {
    html! {
        table.card role="presentation" width="100%" cellpadding="0" cellspacing="0"
            style={
                "max-width:600px;background:#ffffff;border:1px solid #dde2e9;border-radius:12px;text-align:left;" (FONT)
            } {
            tr { td.pad style="padding:24px 32px 0;" { (head(letter)) } }
            @if !letter.figures.is_empty() {
                tr { td.pad style="padding:20px 32px 0;" { (figures(&letter.figures, letter.tone)) } }
            }
            @if let Some(message) = &letter.message {
                tr { td.pad style="padding:16px 32px 0;" {
                    div.code style={ (CODE_BOX) "font-size:14px;line-height:21px;" (FONT) } { (message) }
                } }
            }
            @if let Some(button) = &letter.button {
                tr { td.pad style="padding:22px 32px 0;" { (button_box(letter.words, button)) } }
            }
            @if !letter.facts.is_empty() {
                tr { td.pad style="padding:22px 32px 0;" { (facts(&letter.facts)) } }
            }
            @if !letter.steps.is_empty() {
                tr { td.pad style="padding:26px 32px 0;" { (steps(letter.words, &letter.steps)) } }
            }
            tr { td.pad style="padding:26px 32px 26px;" { (foot(letter)) } }
        }
    }
}

const CODE_BOX: &str = "background:#f6f8fa;border:1px solid #dde2e9;border-radius:8px;padding:11px 13px;\
                        color:#1c2430;white-space:pre-wrap;overflow-wrap:anywhere;word-break:break-word;";

fn head(letter: &Letter) -> Markup {
    let (class, colours) = tone_style(letter.tone);
    html! {
        table role="presentation" width="100%" cellpadding="0" cellspacing="0" { tr {
            td.soft style="color:#5b6776;font-size:13px;font-weight:600;letter-spacing:.08em;" { "KOMAINU" }
            td align="right" {
                span class=(class) style={
                    (colours) "display:inline-block;border-radius:99px;padding:3px 12px;font-size:12px;"
                    "font-weight:700;letter-spacing:.04em;text-transform:uppercase;"
                } { (letter.badge) }
            }
        } }
        h1.ink style="margin:18px 0 0;color:#161d27;font-size:22px;line-height:29px;font-weight:700;\
                      overflow-wrap:anywhere;" { (letter.title) }
        p.soft style="margin:8px 0 0;color:#47525f;font-size:15px;line-height:23px;overflow-wrap:anywhere;" {
            (letter.lead)
        }
    }
}

fn figures(figures: &[Figure], tone: Tone) -> Markup {
    // The first figure is the news and has its colour.
    let (class, colours) = tone_style(tone);
    html! {
        table role="presentation" width="100%" cellpadding="0" cellspacing="0" { tr {
            @for (at, figure) in figures.iter().enumerate() {
                @let (class, colours) = if at == 0 { (class, colours) } else { tone_style(Tone::Neutral) };
                td.figure width="50%" valign="top"
                    style={ "width:50%;" @if at == 0 { "padding-right:6px;" } @else { "padding-left:6px;" } } {
                    table class=(class) role="presentation" width="100%" cellpadding="0" cellspacing="0"
                        style={ (colours) "border-radius:10px;" } {
                        tr { td style="padding:13px 16px;" {
                            div style="font-size:12px;line-height:16px;font-weight:600;" { (figure.caption) }
                            div style="font-size:21px;line-height:28px;font-weight:700;overflow-wrap:anywhere;" {
                                (figure.value)
                            }
                            div style="font-size:12px;line-height:17px;" { (figure.unit) }
                        } }
                    }
                }
            }
        } }
    }
}

fn button_box(words: Words, button: &Button) -> Markup {
    html! {
        table role="presentation" cellpadding="0" cellspacing="0" { tr {
            td style="background:#1f5fd0;border-radius:8px;" {
                a href=(button.url) style="display:inline-block;padding:12px 24px;color:#ffffff;font-size:15px;\
                                           font-weight:700;text-decoration:none;" { (button.label) }
            }
        } }
        p.soft style="margin:14px 0 0;color:#5b6776;font-size:12px;line-height:18px;" {
            (words.text("mail.or-open")) br;
            a.link href=(button.url) style="color:#1f5fd0;overflow-wrap:anywhere;word-break:break-all;" { (button.url) }
        }
    }
}

fn facts(facts: &[(&'static str, String)]) -> Markup {
    html! {
        table.rule role="presentation" width="100%" cellpadding="0" cellspacing="0"
            style="border-top:1px solid #e6eaef;" {
            @for (name, value) in facts {
                tr {
                    td.rule.fact.factname.soft width="34%" valign="top"
                        style="width:34%;padding:8px 12px 8px 0;border-bottom:1px solid #e6eaef;color:#5b6776;\
                               font-size:13px;line-height:19px;" { (name) }
                    td.rule.fact.factvalue.ink valign="top"
                        style="padding:8px 0;border-bottom:1px solid #e6eaef;color:#161d27;font-size:13px;\
                               line-height:19px;overflow-wrap:anywhere;word-break:break-word;" { (value) }
                }
            }
        }
    }
}

fn steps(words: Words, steps: &[Step]) -> Markup {
    html! {
        h2.ink style="margin:0;color:#161d27;font-size:15px;line-height:21px;font-weight:700;" { (words.text("mail.next")) }
        @for (number, step) in (1..).zip(steps) {
            p.ink style="margin:12px 0 0;color:#2b3542;font-size:14px;line-height:21px;overflow-wrap:anywhere;" {
                b { (number) ". " } (step.text)
            }
            @if !step.commands.is_empty() {
                div.code style={ (CODE_BOX) "margin-top:8px;font-size:12px;line-height:19px;" (MONO) } {
                    (step.commands.join("\n"))
                }
            }
        }
    }
}

fn foot(letter: &Letter) -> Markup {
    html! {
        p.soft.rule style="margin:0;padding-top:16px;border-top:1px solid #e6eaef;color:#5b6776;font-size:12px;\
                           line-height:18px;overflow-wrap:anywhere;" {
            (letter.reason)
            @if let Some(url) = &letter.unsubscribe {
                " " a.link href=(url) style="color:#1f5fd0;" { (letter.words.text("mail.unsubscribe")) }
            }
        }
    }
}

fn tone_style(tone: Tone) -> (&'static str, &'static str) {
    match tone {
        Tone::Alarm => ("alarm", "background:#fdecea;color:#9b1c14;border:1px solid #f3b7b1;"),
        Tone::Good => ("good", "background:#e7f6ec;color:#176b36;border:1px solid #a9dcba;"),
        Tone::Neutral => ("neutral", "background:#eef1f5;color:#3a4654;border:1px solid #d4dae2;"),
    }
}
