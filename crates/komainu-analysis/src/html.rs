//! A report as one page of HTML that needs nothing else: no script, no font, no picture from elsewhere.
//!
//! `maud` escapes every text. A policy in the page forbids everything but its own style, so that whatever slipped through
//! could do nothing.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::behaviour::KINDS;
use crate::report::{BehaviourSeen, Endpoint, Evidenced, Phrase, Report};

/// The language of a page; texts of the sample and of the facts stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// English.
    English,
    /// Japanese.
    Japanese,
}

const STYLE: &str = include_str!("html/style.css");

/// The page.
pub fn page(report: &Report, language: Language) -> String {
    let say = Words { language };
    let title = say.is("Report", "解析レポート");
    let name = report.sample.name.as_deref().unwrap_or(&report.sample.sha256);
    html! {
        (DOCTYPE)
        html lang=(say.is("en", "ja")) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                title { (title) ": " (name) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (head(report, &say))
                main {
                    (summary(report, &say))
                    (behaviours(report, &say))
                    (network(report, &say))
                    (conduct(report, &say))
                    (processes(report, &say))
                    (timeline(report, &say))
                    (sample(report, &say))
                    (bounds(report, &say))
                }
                footer { p { (say.is("Made", "作成日時")) " " (report.made) " · Komainu · " (say.is("shape", "形式")) " " (report.version) } }
            }
        }
    }
    .into_string()
}

/// Words of the report, and how Japanese says them. The console says the same.
const JAPANESE_WORDS: [(&str, &str); 24] = [
    ("user", "一般ユーザー"),
    ("exited", "自ら終了"),
    ("quiet", "動きがなくなった"),
    ("time_over", "時間切れ"),
    ("guest_gone", "ゲストが停止"),
    ("not_run", "未実行"),
    ("bound", "上限に到達"),
    ("informational", "参考"),
    ("low", "低"),
    ("medium", "中"),
    ("high", "高"),
    ("critical", "重大"),
    ("random", "無作為"),
    ("sequential", "連番"),
    ("subnet", "一つのネットワーク"),
    ("list", "リスト"),
    ("unknown", "不明"),
    ("command", "C2 サーバー"),
    ("download", "ダウンロード元"),
    ("report", "ログイン結果の送信先"),
    ("resolver", "DNS サーバー"),
    ("time", "時刻サーバー"),
    ("ordinary", "通常"),
    ("target", "攻撃対象"),
];

struct Words {
    language: Language,
}

impl Words {
    fn is(&self, en: &'static str, ja: &'static str) -> &'static str {
        match self.language {
            Language::English => en,
            Language::Japanese => ja,
        }
    }

    /// A word of the report's closed lists: how a run ended, what an endpoint is. One that is not in them stays as it is.
    fn word<'w>(&self, word: &'w str) -> &'w str {
        match self.language {
            Language::English => word,
            Language::Japanese => JAPANESE_WORDS.iter().find(|(known, _)| *known == word).map_or(word, |(_, ja)| *ja),
        }
    }

    /// Reasons one after the other.
    fn all(&self, en: &[String], ja: &[String]) -> String {
        match self.language {
            Language::English => en.join("; "),
            Language::Japanese => ja.join("、"),
        }
    }

    fn of<'p>(&self, phrase: &'p Phrase) -> &'p str {
        match self.language {
            Language::English => &phrase.en,
            Language::Japanese => &phrase.ja,
        }
    }
}

fn head(report: &Report, say: &Words) -> Markup {
    let verdict = &report.verdict;
    html! {
        header class=(verdict.level) {
            p.level { (say.of(&verdict.title)) span.score title=(say.is("0 to 100", "0〜100")) { (verdict.score) } }
            h1 { (say.of(&verdict.sentence)) }
            p.file {
                @if let Some(name) = &report.sample.name { code { (name) } " · " }
                (report.sample.description) " · " (report.sample.bytes) " " (say.is("bytes", "バイト"))
            }
            p.digest { code { (report.sample.sha256) } }
        }
    }
}

fn summary(report: &Report, say: &Words) -> Markup {
    html! {
        section {
            h2 { (say.is("Runs", "実行")) }
            @if report.runs.is_empty() {
                p { (say.is("It was not run.", "実行されていません。")) }
            } @else {
                (table(
                    &[say.is("#No.", "#番号"), say.is("Processor", "プロセッサー"), say.is("Rights", "権限"), say.is("#Time", "#時間"), say.is("End", "終了"), say.is("#Facts", "#記録数")],
                    html! {
                        @for run in &report.runs {
                            tr {
                                td.number { (run.number) } td { (run.isa) } td { (say.word(run.run_as)) } td.number { (seconds(run.ran_for_ms * 1000)) }
                                td { (say.word(run.end)) @if let Some(reason) = &run.end_reason { ": " (reason) } } td.number { (run.facts) }
                            }
                        }
                    },
                ))
            }
            @if let Some(difference) = &report.difference {
                @if difference.only_root.is_empty() && difference.only_user.is_empty() {
                    p { (say.is("As user and as root it does the same.", "一般ユーザーと root で動作に違いはありません。")) }
                }
                @if !difference.only_root.is_empty() {
                    p { (say.is("Only as root: ", "root でのみ: ")) (links(report, &difference.only_root, say)) }
                }
                @if !difference.only_user.is_empty() {
                    p { (say.is("Only as user: ", "一般ユーザーでのみ: ")) (links(report, &difference.only_user, say)) }
                }
            }
        }
    }
}

fn links(report: &Report, rules: &[String], say: &Words) -> Markup {
    html! {
        @for (number, rule) in rules.iter().enumerate() {
            @if number > 0 { ", " }
            @let place = report.behaviours.iter().position(|behaviour| behaviour.rule == *rule);
            @match place {
                Some(place) => { a href=(format!("#b{place}")) { (say.of(&report.behaviours[place].title)) } }
                None => (rule),
            }
        }
    }
}

fn behaviours(report: &Report, say: &Words) -> Markup {
    html! {
        section {
            h2 { (say.is("What it does", "動作")) }
            @if report.behaviours.is_empty() { p { (say.is("Nothing that a rule knows.", "ルールに該当する動作はありません。")) } }
            @for (kind, en, ja) in KINDS {
                @let of_kind: Vec<(usize, &BehaviourSeen)> =
                    report.behaviours.iter().enumerate().filter(|(_, behaviour)| behaviour.kind == *kind).collect();
                @if !of_kind.is_empty() {
                    h3 { (say.is(en, ja)) }
                    @for (place, behaviour) in of_kind { (one_behaviour(place, behaviour, say)) }
                }
            }
        }
    }
}

fn one_behaviour(place: usize, behaviour: &BehaviourSeen, say: &Words) -> Markup {
    html! {
        details id=(format!("b{place}")) class=(behaviour.level) {
            summary {
                span.badge { (say.word(behaviour.level)) }
                strong { (say.of(&behaviour.title)) }
                @for technique in &behaviour.attack { span.attack { (technique) } }
                span.count { "×" (behaviour.count) }
            }
            p { (say.of(&behaviour.meaning)) }
            (evidence(&behaviour.evidence))
        }
    }
}

fn evidence(lines: &[Evidenced]) -> Markup {
    html! {
        ol.evidence {
            @for line in lines {
                li {
                    span.at { @if let Some(run) = line.run { (run) " · " (seconds(line.at_us)) } @else { "—" } }
                    code { (line.text) }
                    a.fact href=(format!("#f{}", line.fact)) { "#" (line.fact) }
                }
            }
        }
    }
}

fn network(report: &Report, say: &Words) -> Markup {
    let has_any = !report.endpoints.is_empty()
        || !report.scans.is_empty()
        || !report.credentials.is_empty()
        || !report.downloads.is_empty()
        || !report.floods.is_empty()
        || report.generated_names.is_some();
    html! {
        section {
            h2 { (say.is("Network", "通信")) }
            @if !has_any { p { (say.is("It spoke to nobody.", "通信はありませんでした。")) } }
            @if !report.endpoints.is_empty() { (endpoints(&report.endpoints, say)) }
            @if !report.scans.is_empty() {
                h3 { (say.is("Scans", "探索")) }
                (table(
                    &[say.is("Port", "ポート"), say.is("#Addresses", "#アドレス数"), say.is("#Per second", "#毎秒"), say.is("Targets", "対象の選び方"), say.is("Left out", "除外範囲")],
                    html! {
                        @for scan in &report.scans {
                            tr {
                                td { (scan.port) "/" (scan.protocol) } td.number { (scan.addresses) }
                                td.number { (hundredths(scan.per_second_hundredths)) }
                                td { (say.word(scan.generator)) br; small { (say.all(&scan.reasons, &scan.reasons_ja)) } }
                                td { (scan.excluded.join(", ")) }
                            }
                        }
                    },
                ))
            }
            @if !report.credentials.is_empty() {
                h3 { (say.is("Names and passwords that were tried", "試行された名前とパスワード")) " (" (report.credentials_tried) ")" }
                (table(
                    &[say.is("Service", "サービス"), say.is("Name", "名前"), say.is("Password", "パスワード"), say.is("#Times", "#回数")],
                    html! {
                        @for credential in &report.credentials {
                            tr { td { (credential.service) } td { code { (credential.user) } } td { code { (credential.password) } } td.number { (credential.count) } }
                        }
                    },
                ))
            }
            @if !report.downloads.is_empty() {
                h3 { (say.is("Downloads", "ダウンロード")) }
                ul {
                    @for download in &report.downloads {
                        li {
                            code { (download.url) }
                            @if let Some(status) = download.status { " → " (status) }
                            @if !download.by_sample { " " small { (say.is("(told others to)", "(他の機器への指示)")) } }
                        }
                    }
                }
            }
            @if !report.floods.is_empty() {
                h3 { (say.is("Floods", "DoS 攻撃")) }
                (table(
                    &[say.is("Packets", "パケット"), say.is("Target", "対象"), say.is("#Number", "#数"), say.is("#Per second", "#毎秒"), say.is("Forged senders", "送信元の偽装")],
                    html! {
                        @for flood in &report.floods {
                            tr {
                                td { (flood.kind) }
                                td { (flood.target.as_deref().unwrap_or("—")) @if let Some(port) = flood.port { " : " (port) } }
                                td.number { (flood.packets) } td.number { (flood.per_second) }
                                td { (if flood.forged_sources { say.is("yes", "あり") } else { say.is("no", "なし") }) }
                            }
                        }
                    },
                ))
            }
            @if let Some(names) = &report.generated_names {
                h3 { (say.is("Generated names", "自動生成された名前")) " (" (names.count) ")" }
                p { @for name in &names.examples { code { (name) } " " } }
            }
        }
    }
}

fn endpoints(endpoints: &[Endpoint], say: &Words) -> Markup {
    html! {
        h3 { (say.is("Endpoints", "通信先")) }
        (table(
            &[say.is("Endpoint", "通信先"), say.is("Role", "役割"), say.is("#Certainty", "#確度"), say.is("#Contacts", "#回数"), say.is("#Period", "#周期"), say.is("First words", "最初の送信"), say.is("Why", "理由")],
            html! {
                @for endpoint in endpoints {
                    tr class=(endpoint.role) {
                        td {
                            @for name in &endpoint.names { code { (name) } br; }
                            code { (endpoint.address) ":" (endpoint.port) "/" (endpoint.protocol) }
                            @if !endpoint.address_is_real { br; small { (say.is("address made up by the simulation", "アドレスは模擬環境のもの")) } }
                        }
                        td { (say.word(endpoint.role)) } td.number { (endpoint.confidence) " %" } td.number { (endpoint.contacts) }
                        td.number { @if let Some(period) = endpoint.beacon_ms { (seconds(period * 1000)) } }
                        td { @if let Some(hello) = &endpoint.hello { code { (hello) } } }
                        td { small { (say.all(&endpoint.reasons, &endpoint.reasons_ja)) } }
                    }
                }
            },
        ))
    }
}

fn conduct(report: &Report, say: &Words) -> Markup {
    let lists: [(&str, &[String]); 4] = [
        (say.is("Survives a restart through", "再起動後も残る仕組み"), &report.persistence),
        (say.is("Erased", "消去されたもの"), &report.erased),
        (say.is("Stopped", "停止されたもの"), &report.killed),
        (say.is("Looked for analysis at", "解析環境の検知"), &report.evasion),
    ];
    html! {
        @if !report.dropped.is_empty() || lists.iter().any(|(_, list)| !list.is_empty()) {
            section {
                h2 { (say.is("On the device", "機器上の変化")) }
                @for (title, list) in lists {
                    @if !list.is_empty() {
                        h3 { (title) }
                        ul { @for entry in list { li { code { (entry) } } } }
                    }
                }
                @if !report.dropped.is_empty() {
                    h3 { (say.is("Files that it wrote", "書き込まれたファイル")) }
                    (table(
                        &[say.is("File", "ファイル"), say.is("Executable", "実行可能"), say.is("Run", "実行"), "SHA-256"],
                        html! {
                            @for file in &report.dropped {
                                tr {
                                    td { code { (file.path) } }
                                    td { (if file.made_executable { say.is("yes", "はい") } else { "" }) }
                                    td { (if file.was_run { say.is("yes", "はい") } else { "" }) }
                                    td { @if let Some(sha256) = &file.sha256 { code { (sha256) } } }
                                }
                            }
                        },
                    ))
                }
            }
        }
    }
}

fn processes(report: &Report, say: &Words) -> Markup {
    html! {
        @if !report.processes.is_empty() {
            section {
                h2 { (say.is("Processes", "プロセス")) }
                ul.tree {
                    @for process in &report.processes {
                        // The page shows twelve steps; deeper ones stand where the twelfth does.
                        li class=(format!("d{}", process.depth.min(12))) {
                            span.at { (process.run) " · " (seconds(process.from_us)) }
                            strong { (process.name) } " [" (process.pid) "] "
                            code { (if process.command_line.is_empty() { &process.image } else { &process.command_line }) }
                            @if let Some(exit) = process.exit {
                                small { @if exit & 0x7f != 0 { " ✝ " (exit & 0x7f) } @else { " → " ((exit >> 8) & 0xff) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn timeline(report: &Report, say: &Words) -> Markup {
    html! {
        @if !report.timeline.is_empty() {
            section {
                h2 { (say.is("Timeline", "時系列")) }
                ol.evidence {
                    @for line in &report.timeline {
                        li id=(format!("f{}", line.fact)) {
                            span.at { @if let Some(run) = line.run { (run) " · " } (seconds(line.at_us)) }
                            code { (line.text) }
                            span.fact { "#" (line.fact) }
                        }
                    }
                }
            }
        }
    }
}

fn sample(report: &Report, say: &Words) -> Markup {
    let sample = &report.sample;
    html! {
        section {
            h2 { (say.is("The file", "ファイル")) }
            dl {
                dt { "SHA-256" } dd { code { (sample.sha256) } }
                @if let Some(sha1) = &sample.sha1 { dt { "SHA-1" } dd { code { (sha1) } } }
                @if let Some(md5) = &sample.md5 { dt { "MD5" } dd { code { (md5) } } }
                dt { (say.is("Kind", "種類")) } dd { (sample.kind) " · " (sample.description) }
                @if let Some(packing) = &sample.packing { dt { (say.is("Packing", "パック")) } dd { (packing) } }
                @if !report.families.is_empty() {
                    dt { (say.is("Families", "ファミリー")) }
                    dd { @for family in &report.families { (family.name) " (" (family.votes) ") " } }
                }
                @if !sample.rules.is_empty() { dt { (say.is("Rules about contents", "内容のルール")) } dd { (sample.rules.join(", ")) } }
            }
            @if !report.similar.is_empty() {
                h3 { (say.is("Earlier samples that are alike", "類似する過去の検体")) }
                (table(
                    &["SHA-256", "#%", say.is("Family", "ファミリー"), say.is("Why", "理由")],
                    html! {
                        @for near in &report.similar {
                            tr {
                                td { code { (near.sha256) } } td.number { (near.percent) }
                                td { (near.family.as_deref().unwrap_or("—")) } td { small { (say.all(&near.reasons, &near.reasons_ja)) } }
                            }
                        }
                    },
                ))
            }
            @if !sample.texts.is_empty() {
                h3 { (say.is("Addresses, names and other texts in it", "含まれるアドレス・名前など")) }
                ul.texts {
                    @for text in &sample.texts {
                        li { small { (text.kind) @if text.decoded { " " (say.is("(encoded)", "(符号化)")) } } " " code { (text.value) } }
                    }
                }
            }
        }
    }
}

fn bounds(report: &Report, say: &Words) -> Markup {
    html! {
        @if !report.left_out.is_empty() || !report.cut.is_empty() {
            section {
                h2 { (say.is("What is missing here", "記載されていないもの")) }
                ul {
                    @for (what, count) in &report.left_out { li { (what) " ×" (count) } }
                    @for what in &report.cut { li { (what) } }
                }
            }
        }
    }
}

/// A table; headings of columns with numbers begin with `#`.
fn table(columns: &[&str], rows: Markup) -> Markup {
    html! {
        div.table {
            table {
                thead {
                    tr {
                        @for column in columns {
                            @match column.strip_prefix('#') {
                                Some(number) => { th.number scope="col" { (number) } }
                                None => { th scope="col" { (column) } }
                            }
                        }
                    }
                }
                tbody { (rows) }
            }
        }
    }
}

fn seconds(us: u64) -> String {
    format!("{}.{:03} s", us / 1_000_000, us / 1000 % 1000)
}

fn hundredths(value: u64) -> String {
    format!("{}.{:02}", value / 100, value % 100)
}

#[cfg(test)]
mod tests;
