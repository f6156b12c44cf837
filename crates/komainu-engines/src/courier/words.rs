//! Values, limits and times in words that people read, and hostile text made visible.

use std::net::IpAddr;
use std::time::Duration;

use komainu_model::{
    Behavior, Comparison, ConfidenceLevel, Criteria, ExpectedValue, Language, Metric, MetricValue, Statistic, Threat,
    Timestamp,
};
use komainu_texts::Texts;

/// So many items of a set are named; the rest is counted.
const ITEMS_MAX: usize = 12;
/// The longest item of a set that a device names itself, in characters.
const ITEM_CHARS_MAX: usize = 61;

/// Says things to people in one language: texts of the catalogue, values, limits, times.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words {
    language: Language,
    texts: &'static Texts,
}

impl Words {
    pub(crate) fn of(language: Language) -> Self {
        Self { language, texts: Texts::of(language) }
    }

    pub(crate) fn language(&self) -> Language {
        self.language
    }

    /// A text of the catalogue.
    pub(crate) fn text(&self, key: &'static str) -> &'static str {
        self.texts.text(key)
    }

    /// A text with its places filled in.
    pub(crate) fn filled(&self, key: &'static str, places: &[(&str, &str)]) -> String {
        self.texts.filled(key, places)
    }

    /// Sentences one after the other.
    pub(crate) fn sentences(&self, sentences: &[String]) -> String {
        sentences.join(match self.language {
            Language::English => " ",
            Language::Japanese => "",
        })
    }

    /// Things one after the other: `a, b`.
    pub(crate) fn joined(&self, items: &[String]) -> String {
        items.join(match self.language {
            Language::English => ", ",
            Language::Japanese => "、",
        })
    }

    /// What a metric counts: `bytes sent`.
    pub(crate) fn metric(&self, metric: &Metric) -> String {
        let name = metric.as_str();
        match metric {
            Metric::Device(_) | Metric::Cloud(_) | Metric::Komainu(_) => {
                let word = name.split_once(':').map_or(name, |(_namespace, word)| word);
                self.texts.word("mail-metric", word).unwrap_or(name).to_owned()
            }
            Metric::Custom(name) => name.as_str().to_owned(),
        }
    }

    /// What an indicator is known for, in a word; in English as commands and programs write it.
    pub(crate) fn threat(&self, threat: Threat) -> &'static str {
        match self.language {
            Language::English => threat.as_str(),
            Language::Japanese => self.texts.word("threat", threat.as_str()).unwrap_or(threat.as_str()),
        }
    }

    /// A measured value: `52,000`, or the items of a set.
    pub(crate) fn value(&self, value: &MetricValue) -> String {
        match value {
            MetricValue::Count(count) => grouped(*count),
            MetricValue::Number(number) => number.to_string(),
            MetricValue::Addresses(addresses) => {
                self.list(addresses.iter().map(ToString::to_string), self.text("mail.no-addresses"))
            }
            MetricValue::Ports(ports) => self.list(ports.iter().map(ToString::to_string), self.text("mail.no-ports")),
            MetricValue::Numbers(numbers) => {
                self.list(numbers.iter().map(ToString::to_string), self.text("mail.no-numbers"))
            }
            MetricValue::Strings(strings) => {
                self.list(strings.iter().map(|text| self.item(text)), self.text("mail.no-strings"))
            }
            MetricValue::Matches(matches) => {
                self.list(matches.iter().map(|found| found.remote.to_string()), self.text("mail.no-matches"))
            }
        }
    }

    /// What is normal: `less than 10,000`.
    pub(crate) fn limit(&self, expected: &ExpectedValue) -> String {
        let set = |within: bool, items: String| {
            if within {
                self.filled("mail.limit-only", &[("items", &items)])
            } else {
                self.filled("mail.limit-none-of", &[("items", &items)])
            }
        };
        match expected {
            ExpectedValue::Count(comparison, count) => self.compared(*comparison, &grouped(*count)),
            ExpectedValue::Number(comparison, number) => self.compared(*comparison, &number.to_string()),
            ExpectedValue::Numbers { within, set: items } => {
                set(*within, self.list(items.iter().map(ToString::to_string), self.text("mail.nothing")))
            }
            ExpectedValue::Strings { within, set: items } => {
                set(*within, self.list(items.iter().map(|text| self.item(text)), self.text("mail.nothing")))
            }
            ExpectedValue::Cidrs { within, set: items } => {
                set(*within, self.list(items.iter().map(ToString::to_string), self.text("mail.nothing")))
            }
            ExpectedValue::Ports { within, set: items } => {
                set(*within, self.list(items.iter().map(ToString::to_string), self.text("mail.nothing")))
            }
            ExpectedValue::Statistical(comparison, statistic) => self.compared(*comparison, self.statistic(*statistic)),
            ExpectedValue::Learned(confidence) => match confidence {
                ConfidenceLevel::Low => self.text("mail.learned-low"),
                ConfidenceLevel::Medium => self.text("mail.learned-medium"),
                ConfidenceLevel::High => self.text("mail.learned-high"),
            }
            .to_owned(),
        }
    }

    /// The items of a set that are not as they should be: the part of a long set that people need to see.
    pub(crate) fn offending(&self, behavior: &Behavior, value: &MetricValue) -> Option<String> {
        let expected = &behavior.criteria.as_ref()?.expected;
        let items: Vec<String> = match (expected, value) {
            (ExpectedValue::Ports { within, set }, MetricValue::Ports(ports)) => {
                ports.iter().filter(|port| set.contains(port) != *within).map(ToString::to_string).collect()
            }
            (ExpectedValue::Cidrs { within, set }, MetricValue::Addresses(addresses)) => {
                let is_in = |address: &IpAddr| set.iter().any(|network| network.contains(address));
                addresses.iter().filter(|address| is_in(address) != *within).map(ToString::to_string).collect()
            }
            (ExpectedValue::Strings { within, set }, MetricValue::Strings(strings)) => {
                strings.iter().filter(|text| set.contains(text) != *within).map(|text| self.item(text)).collect()
            }
            (ExpectedValue::Numbers { within, set }, MetricValue::Numbers(numbers)) => {
                numbers.iter().filter(|number| set.contains(number) != *within).map(ToString::to_string).collect()
            }
            _ => return None,
        };
        if items.is_empty() { None } else { Some(self.list(items.into_iter(), self.text("mail.nothing"))) }
    }

    /// Over which time a value is: `5 minutes`. `None` for values of a moment.
    pub(crate) fn window(&self, criteria: Option<&Criteria>) -> Option<String> {
        let seconds = criteria.and_then(|criteria| criteria.duration_s)?;
        Some(self.duration(Duration::from_secs(u64::from(seconds))))
    }

    /// The two largest units of a duration: `2 hours 5 minutes`.
    pub(crate) fn duration(&self, duration: Duration) -> String {
        let seconds = duration.as_secs();
        let days = match seconds / 86_400 {
            1 => self.text("mail.one-day").to_owned(),
            days => self.filled("mail.days", &[("count", &days.to_string())]),
        };
        let hours = match seconds / 3600 % 24 {
            1 => self.text("mail.one-hour").to_owned(),
            hours => self.filled("mail.hours", &[("count", &hours.to_string())]),
        };
        let minutes = match seconds / 60 % 60 {
            1 => self.text("mail.one-minute").to_owned(),
            minutes => self.filled("mail.minutes", &[("count", &minutes.to_string())]),
        };
        let rest = match seconds % 60 {
            1 => self.text("mail.one-second").to_owned(),
            rest => self.filled("mail.seconds", &[("count", &rest.to_string())]),
        };
        let units = [(seconds / 86_400, days), (seconds / 3600 % 24, hours), (seconds / 60 % 60, minutes)];
        let units = units.into_iter().chain([(seconds % 60, rest)]);
        let counted = units.skip_while(|(count, _)| *count == 0).take(2).filter(|(count, _)| *count > 0);
        let words: Vec<String> = counted.map(|(_, words)| words).collect();
        if words.is_empty() { self.text("mail.no-second").to_owned() } else { words.join(" ") }
    }

    /// A point in time as people write it: `23 November 2026, 03:48:42 UTC`.
    pub(crate) fn time(&self, at: Timestamp) -> String {
        let form = match self.language {
            Language::English => "%-d %B %Y, %H:%M:%S UTC",
            Language::Japanese => "%Y年%-m月%-d日 %H:%M:%S UTC",
        };
        utc(at).strftime(form).to_string()
    }

    fn item(&self, text: &str) -> String {
        let text = visible(text);
        let shown = shortened(&text, ITEM_CHARS_MAX);
        self.filled("mail.item", &[("item", &shown)])
    }

    fn list(&self, items: impl ExactSizeIterator<Item = String>, none: &str) -> String {
        let count = items.len();
        let named: Vec<String> = items.take(ITEMS_MAX).collect();
        match count.saturating_sub(ITEMS_MAX) {
            _ if count == 0 => none.to_owned(),
            0 => self.joined(&named),
            more => self.filled("mail.items-more", &[("items", &self.joined(&named)), ("count", &more.to_string())]),
        }
    }

    fn compared(&self, comparison: Comparison, limit: &str) -> String {
        match comparison {
            Comparison::LessThan => self.filled("mail.limit-less-than", &[("limit", limit)]),
            Comparison::LessThanEquals => self.filled("mail.limit-at-most", &[("limit", limit)]),
            Comparison::GreaterThan => self.filled("mail.limit-more-than", &[("limit", limit)]),
            Comparison::GreaterThanEquals => self.filled("mail.limit-at-least", &[("limit", limit)]),
        }
    }

    fn statistic(&self, statistic: Statistic) -> &'static str {
        match statistic {
            Statistic::Average => self.text("mail.average"),
            Statistic::P0 => self.text("mail.smallest"),
            Statistic::P0_1 => self.text("mail.percentile-0-1"),
            Statistic::P0_01 => self.text("mail.percentile-0-01"),
            Statistic::P1 => self.text("mail.percentile-1"),
            Statistic::P10 => self.text("mail.percentile-10"),
            Statistic::P50 => self.text("mail.median"),
            Statistic::P90 => self.text("mail.percentile-90"),
            Statistic::P99 => self.text("mail.percentile-99"),
            Statistic::P99_9 => self.text("mail.percentile-99-9"),
            Statistic::P99_99 => self.text("mail.percentile-99-99"),
            Statistic::P100 => self.text("mail.largest"),
        }
    }
}

/// A point in time as commands take it: `2026-11-23T03:48:42Z`.
pub(crate) fn time_iso(at: Timestamp) -> String {
    utc(at).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A point in time as SNS writes it: `2026-11-23T03:48:42.123Z`.
pub(crate) fn time_iso_millis(at: Timestamp) -> String {
    utc(at).strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

fn utc(at: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(at.unix_millis()).unwrap_or_default()
}

/// A text that is cut when it has more characters.
pub(crate) fn shortened(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    text.chars().take(chars_max.saturating_sub(1)).chain(['…']).collect()
}

/// Text that others chose, for one line: characters that nobody sees, or that turn a line around, become `�`.
pub(crate) fn visible(text: &str) -> String {
    text.chars().map(|c| if is_hidden(c) { '\u{fffd}' } else { c }).collect()
}

/// Text that others chose, for a paragraph: as [`visible`], with its line breaks and tabs.
pub(crate) fn visible_lines(text: &str) -> String {
    let unified = text.replace("\r\n", "\n");
    unified.chars().map(|c| if is_hidden(c) && !matches!(c, '\n' | '\t') { '\u{fffd}' } else { c }).collect()
}

/// Controls, separators, bidirectional controls, zero-width characters, tags, interlinear marks.
pub(crate) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// `52000` as `52,000`.
fn grouped(count: u64) -> String {
    komainu_model::grouped(count.into(), ',')
}

#[cfg(test)]
mod tests {
    use komainu_model::{CloudMetric, DeviceMetric, KomainuMetric};

    use super::*;

    #[test]
    fn numbers_and_durations() {
        for (count, expected) in
            [(0, "0"), (999, "999"), (1_000, "1,000"), (52_000, "52,000"), (1_234_567, "1,234,567")]
        {
            assert_eq!(grouped(count), expected);
        }
        for (seconds, expected) in [
            (0, "less than a second"),
            (1, "1 second"),
            (60, "1 minute"),
            (61, "1 minute 1 second"),
            (300, "5 minutes"),
            (7_500, "2 hours 5 minutes"),
            (3_601, "1 hour"),
            (172_800, "2 days"),
        ] {
            assert_eq!(Words::of(Language::English).duration(Duration::from_secs(seconds)), expected);
        }
        for (seconds, expected) in
            [(0, "1 秒未満"), (1, "1 秒"), (300, "5 分"), (7_500, "2 時間 5 分"), (172_800, "2 日")]
        {
            assert_eq!(Words::of(Language::Japanese).duration(Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn times() {
        let at = Timestamp::from_unix_millis(1_795_400_000_123);
        assert_eq!(Words::of(Language::English).time(at), "23 November 2026, 02:13:20 UTC");
        assert_eq!(Words::of(Language::Japanese).time(at), "2026年11月23日 02:13:20 UTC");
        assert_eq!(time_iso(at), "2026-11-23T02:13:20Z");
        assert_eq!(time_iso_millis(at), "2026-11-23T02:13:20.123Z");
        assert_eq!(time_iso(Timestamp::from_unix_millis(i64::MAX)), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn hidden_characters_are_shown() {
        assert_eq!(visible("a\r\nb\u{202e}c\u{200b}d"), "a��b�c�d");
        assert_eq!(visible("Grüße 你好"), "Grüße 你好");
        assert_eq!(visible_lines("a\r\nb\tc\u{7}"), "a\nb\tc�");
    }

    #[test]
    fn long_sets_are_counted() {
        let (english, japanese) = (Words::of(Language::English), Words::of(Language::Japanese));
        let ports = MetricValue::Ports((1..=20).collect());
        assert_eq!(english.value(&ports), "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 8 more");
        assert_eq!(japanese.value(&ports), "1、2、3、4、5、6、7、8、9、10、11、12 ほか 8 件");
        assert_eq!(english.value(&MetricValue::Ports(vec![])), "no ports");
        assert_eq!(japanese.value(&MetricValue::Ports(vec![])), "なし");
        let long = MetricValue::Strings(vec!["x".repeat(100)]);
        assert_eq!(english.value(&long), format!("“{}…”", "x".repeat(60)));
        assert_eq!(japanese.value(&long), format!("「{}…」", "x".repeat(60)));
    }

    #[test]
    fn every_metric_has_its_words() {
        let names = DeviceMetric::ALL.iter().map(|metric| Metric::Device(*metric));
        let names = names.chain(CloudMetric::ALL.iter().map(|metric| Metric::Cloud(*metric)));
        for metric in names.chain([Metric::Komainu(KomainuMetric::IndicatorMatches)]) {
            for language in Language::ALL {
                assert_ne!(Words::of(language).metric(&metric), metric.as_str());
            }
        }
    }
}
