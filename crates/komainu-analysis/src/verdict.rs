//! What to think of a sample: a level, a score, and one sentence for whoever makes the product.

use std::collections::BTreeSet;

use crate::behaviour::{Behaviour, Phrase};
use crate::c2::{Endpoint, Role, Traffic};
use crate::conduct::Conduct;
use crate::evidence::{Evidence, RunEnd};

/// From this score on a sample is malicious, in percent.
const MALICIOUS_MIN: u32 = 70;
/// From this score on it is suspicious.
const SUSPICIOUS_MIN: u32 = 25;
/// The most clauses of the sentence; one that nobody reads to its end says less.
const CLAUSES_MAX: usize = 5;
/// The most entries of a list in the sentence.
const NAMED_MAX: usize = 3;

/// What to think of a sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) level: VerdictLevel,
    /// 0 to 100.
    pub(crate) score: u8,
    pub(crate) sentence: Phrase,
}

/// How bad a sample is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum VerdictLevel {
    /// Nothing could be run; the file itself says nothing bad.
    NotRun,
    /// It ran and nothing bad was seen, which does not show that it is harmless.
    NoHarmSeen,
    /// Some of what it does is rare in harmless programs.
    Suspicious,
    /// It does harm, or is made to.
    Malicious,
}

impl VerdictLevel {
    /// Its name in reports.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::NotRun => "not_run",
            Self::NoHarmSeen => "no_harm_seen",
            Self::Suspicious => "suspicious",
            Self::Malicious => "malicious",
        }
    }

    /// In words.
    pub(crate) fn title(self) -> Phrase {
        let (en, ja) = match self {
            Self::NotRun => ("Not run", "実行できませんでした"),
            Self::NoHarmSeen => ("No harm seen", "有害な動作は見られませんでした"),
            Self::Suspicious => ("Suspicious", "疑わしい"),
            Self::Malicious => ("Malicious", "悪意あり"),
        };
        Phrase { en: en.into(), ja: ja.into() }
    }
}

/// A part of the sentence; in Japanese the verb has one form in the middle and another at the end.
struct Clause {
    en: String,
    ja_middle: String,
    ja_end: String,
}

impl Clause {
    fn new(en: impl Into<String>, ja: impl Into<String>, middle: &str, end: &str) -> Self {
        let ja = ja.into();
        Self { en: en.into(), ja_middle: format!("{ja}{middle}"), ja_end: format!("{ja}{end}") }
    }
}

pub(crate) fn of(evidence: &Evidence, behaviours: &[Behaviour], traffic: &Traffic, conduct: &Conduct) -> Verdict {
    let score: u32 = behaviours.iter().map(|behaviour| u32::from(behaviour.score)).sum();
    let score = score.min(100);
    let ran = evidence.runs.iter().any(|run| !matches!(run.end, RunEnd::NotRun(_)));
    let level = match score {
        MALICIOUS_MIN.. => VerdictLevel::Malicious,
        SUSPICIOUS_MIN.. => VerdictLevel::Suspicious,
        _ if ran => VerdictLevel::NoHarmSeen,
        _ => VerdictLevel::NotRun,
    };
    let mut clauses = clauses(behaviours, traffic, conduct);
    clauses.truncate(CLAUSES_MAX);
    let sentence = if clauses.is_empty() { nothing(evidence, behaviours, ran) } else { join(&clauses) };
    Verdict { level, score: u8::try_from(score).unwrap_or(100), sentence }
}

/// What can be said, the most important first.
fn clauses(behaviours: &[Behaviour], traffic: &Traffic, conduct: &Conduct) -> Vec<Clause> {
    let mut clauses = Vec::new();
    let has = |key: &str| behaviours.iter().any(|behaviour| behaviour.key == key);
    if has("wiper") {
        clauses.push(Clause::new("destroys what is stored on the device", "機器の記憶内容を破壊", "し", "します"));
    }
    if has("firmware-write") {
        clauses.push(Clause::new("overwrites the device's firmware", "機器のファームウェアを上書き", "し", "します"));
    }
    if let Some(clause) = scans(traffic) {
        clauses.push(clause);
    } else if traffic.credentials_tried > 2 {
        let count = traffic.credentials_tried;
        clauses.push(Clause::new(
            format!("tries {count} names and passwords"),
            format!("{count} 組の名前とパスワードを試行"),
            "し",
            "します",
        ));
    }
    let command: Vec<&Endpoint> = traffic.endpoints.iter().filter(|endpoint| endpoint.role == Role::Command).collect();
    if let Some(first) = command.first() {
        clauses.push(orders(first, command.len()));
    }
    if let Some(names) = &traffic.generated_names {
        clauses.push(Clause::new(
            format!("looks for its server under {} generated names", names.count),
            format!("{} 個の自動生成された名前で指令サーバーを探", names.count),
            "し",
            "します",
        ));
    }
    if !traffic.floods.is_empty() {
        let kinds: BTreeSet<&str> = traffic.floods.iter().map(|flood| flood.kind.as_str()).collect();
        let kinds = kinds.into_iter().take(NAMED_MAX).collect::<Vec<_>>();
        clauses.push(Clause::new(
            format!("floods others with {} packets", list(&kinds, " and ")),
            format!("{} パケットで他者を攻撃", list(&kinds, " と ")),
            "し",
            "します",
        ));
    }
    if has("miner") {
        clauses.push(Clause::new(
            "mines a currency at the owner's cost",
            "所有者の負担で暗号資産を採掘",
            "し",
            "します",
        ));
    }
    if !conduct.persistence.is_empty() {
        let places: Vec<&str> = conduct.persistence.iter().take(NAMED_MAX).map(String::as_str).collect();
        clauses.push(Clause::new(
            format!("survives a restart through {}", list(&places, " and ")),
            format!("{} により再起動後も残", list(&places, " と ")),
            "り",
            "ります",
        ));
    }
    if let Some(download) = traffic.downloads.iter().find(|download| download.by_sample) {
        clauses.push(Clause::new(
            format!("loads {}", shorten(&download.url)),
            format!("{} をダウンロード", shorten(&download.url)),
            "し",
            "します",
        ));
    }
    if behaviours.iter().any(|behaviour| behaviour.kind == "rivals") {
        clauses.push(Clause::new("stops other programs", "他のプログラムを停止", "し", "します"));
    }
    if has("watchdog-disabled") {
        let en = "keeps the watchdog from restarting the device";
        clauses.push(Clause::new(en, "ウォッチドッグによる再起動を妨害", "し", "します"));
    }
    if has("sandbox-attacked") || has("tracefs-mounted") {
        clauses.push(Clause::new("works against its analysis", "解析を妨害", "し", "します"));
    }
    if behaviours.iter().any(|behaviour| behaviour.kind == "access") {
        clauses.push(Clause::new("reads secrets of the device", "機器の秘密情報を読み取", "り", "ります"));
    }
    if behaviours.iter().any(|behaviour| behaviour.kind == "traces") {
        clauses.push(Clause::new("erases its traces", "自身の痕跡を消去", "し", "します"));
    }
    clauses
}

fn scans(traffic: &Traffic) -> Option<Clause> {
    if traffic.scans.is_empty() {
        return None;
    }
    let mut ports: Vec<u16> = traffic.scans.iter().map(|scan| scan.port).filter(|port| *port != 0).collect();
    ports.sort_unstable();
    ports.dedup();
    let services: BTreeSet<&str> = ports.iter().map(|port| service(*port)).collect();
    let service = match services.iter().collect::<Vec<_>>()[..] {
        [service] if !service.is_empty() => format!("{service} "),
        _ => String::new(),
    };
    let ja_service = if service.is_empty() { String::new() } else { format!("{}の", service.trim()) };
    let names: Vec<String> = ports.iter().take(NAMED_MAX + 1).map(u16::to_string).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let more = ports.len().saturating_sub(names.len());
    let (more_en, more_ja) = match more {
        0 => (String::new(), String::new()),
        more => (format!(" and {more} more"), format!(" など計 {} 個", ports.len())),
    };
    let (with_en, with_ja) = match traffic.credentials_tried {
        0 => (String::new(), String::new()),
        1 => (" with one password".into(), " 1 組のパスワードで".into()),
        count => (format!(" with {count} passwords"), format!(" {count} 組のパスワードで")),
    };
    let (en, ja) = match ports.len() {
        0 => (format!("scans many ports{with_en}"), format!("多数のポートを{with_ja}探索")),
        1 => (
            format!("scans {service}on port {}{with_en}", names.concat()),
            format!("{ja_service}ポート {} を{with_ja}探索", names.concat()),
        ),
        _ => (
            format!("scans {service}on ports {}{more_en}{with_en}", list(&names, " and ")),
            format!("{ja_service}ポート {}{more_ja} を{with_ja}探索", list(&names, " と ")),
        ),
    };
    Some(Clause::new(en, ja, "し", "します"))
}

fn orders(endpoint: &Endpoint, count: usize) -> Clause {
    let host = match endpoint.names.first() {
        Some(name) => format!("{}:{}", shorten(name), endpoint.port),
        None => std::net::SocketAddr::new(endpoint.address, endpoint.port).to_string(),
    };
    let (every_en, every_ja) = match &endpoint.beacon {
        Some(beacon) => (format!(" every {} s", beacon.period_s()), format!(" {} 秒ごとに", beacon.period_s())),
        None => (String::new(), String::new()),
    };
    let (more_en, more_ja) = match count {
        0 | 1 => (String::new(), String::new()),
        2 => (" and one more server".into(), "ほか 1 台".into()),
        more => (format!(" and {} more servers", more - 1), format!("ほか {} 台", more - 1)),
    };
    Clause::new(
        format!("takes orders from {host}{more_en}{every_en}"),
        format!("{host} {more_ja}から{every_ja}指令を受け"),
        "",
        "ます",
    )
}

/// What usually listens on a port that scanners like.
fn service(port: u16) -> &'static str {
    match port {
        22 | 2222 => "SSH",
        23 | 2323 | 26 | 9527 => "telnet",
        80 | 81 | 8080 | 8081 | 8443 | 443 | 8000 | 8888 => "web",
        445 | 139 => "SMB",
        554 => "RTSP",
        1883 => "MQTT",
        5555 => "ADB",
        7547 => "TR-069",
        37_215 | 52_869 => "UPnP",
        6379 => "Redis",
        _ => "",
    }
}

fn nothing(evidence: &Evidence, behaviours: &[Behaviour], ran: bool) -> Phrase {
    if let Some(behaviour) = behaviours.iter().find(|behaviour| behaviour.score > 0) {
        return Phrase {
            en: format!("Shows no more than this: {}.", behaviour.title.en),
            ja: format!("確認された動作は次のとおりです: {}。", behaviour.title.ja),
        };
    }
    if !ran {
        let reason = evidence
            .runs
            .iter()
            .find_map(|run| if let RunEnd::NotRun(reason) = &run.end { Some(reason.clone()) } else { None });
        let reason = reason.unwrap_or_else(|| "no run was made".into());
        return Phrase {
            en: format!("Could not be run ({reason}); only what the file itself says is known."),
            ja: format!("実行できなかったため ({reason})、ファイル自体から分かることだけを示します。"),
        };
    }
    let seconds = evidence.runs.iter().map(|run| run.ran_for_ms).max().unwrap_or_default().div_ceil(1000);
    Phrase {
        en: format!("Showed nothing harmful in {seconds} s, which does not mean that it never does."),
        ja: format!("{seconds} 秒間の実行では有害な動作は見られませんでしたが、無害であるとは限りません。"),
    }
}

fn join(clauses: &[Clause]) -> Phrase {
    let english: Vec<&str> = clauses.iter().map(|clause| clause.en.as_str()).collect();
    let mut en = list(&english, if clauses.len() > 2 { ", and " } else { " and " });
    if let Some(first) = en.get(..1) {
        let first = first.to_ascii_uppercase();
        en.replace_range(..1, &first);
    }
    let (last, before) = clauses.split_last().map_or((None, clauses), |(last, before)| (Some(last), before));
    let mut ja: String = before.iter().map(|clause| format!("{}、", clause.ja_middle)).collect();
    ja.extend(last.map(|clause| clause.ja_end.as_str()));
    Phrase { en: format!("{en}."), ja: format!("{ja}。") }
}

fn list(words: &[&str], last: &str) -> String {
    match words {
        [] => String::new(),
        [before @ .., end] if !before.is_empty() => format!("{}{last}{end}", before.join(", ")),
        words => words.concat(),
    }
}

/// Texts of the sample in a sentence are short; whole ones stand in the tables.
fn shorten(text: &str) -> String {
    const CHARACTERS_MAX: usize = 80;
    match text.char_indices().nth(CHARACTERS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
