//! What pages about attacks have in common: the lake that they read, its answers as charts take them, and cards that say what to
//! do when there is no answer.

use std::collections::BTreeMap;
use std::error::Error;
use std::ops::Deref;
use std::sync::Arc;

use komainu_charts::{BarList, BarRow, Country, Link, Series, bar_list};
use komainu_model::{Language, Timestamp};
use komainu_ports::{
    Lake, LakeAnswer, LakeError, LakeFilter, LakeGroup, LakeListing, LakeOrder, LakeQuestion, LakeRows, LakeTable,
    LakeTest, LakeValue, SensorStatus, TimeRange,
};
use komainu_statistics::{Cadence, Counts, Finding, Key, Kind, Peaks, find_peaks, unwatched_days};
use komainu_texts::Texts;
use maud::{Markup, html};
use tracing::error;

use crate::period::Period;
use crate::reply::Reply;
use crate::shown::shown;
use crate::visit::{SignedIn, Visit};
use crate::{Lakes, ShownLake, events, shell, value};

/// Days before a period that are looked at to know what is usual: the twelve weeks that tell a season, and as many more for
/// what is looked at first.
const HISTORY_DAYS: i64 = 180;

/// Countries, appliances and the like that a list of bars has.
pub(crate) const LISTED_MAX: usize = 10;

const DAY_MS: i64 = 86_400_000;

/// A lake, and the words for what it answers. It needs nobody who looks at a page, so that what is made without one, such as the
/// monthly report, asks and says the same.
pub(crate) struct Asker {
    lake: Arc<dyn Lake>,
    /// Whether nothing in it ever was.
    pub(crate) is_made_up: bool,
    pub(crate) language: Language,
    pub(crate) texts: &'static Texts,
    /// When it is asked.
    pub(crate) now: Timestamp,
}

/// What a page asks the lake.
pub(crate) struct Watch<'v> {
    pub(crate) visit: &'v Visit,
    asker: Asker,
}

/// A page asks as everybody does.
impl Deref for Watch<'_> {
    type Target = Asker;

    fn deref(&self) -> &Asker {
        &self.asker
    }
}

impl<'v> Watch<'v> {
    /// The lake that is shown now.
    pub(crate) fn of(visit: &'v Visit) -> Self {
        Self { visit, asker: Asker::of(&*visit.console.lakes, visit.language, visit.now) }
    }

    /// A page, which says above all when its attacks are made up.
    pub(crate) fn page(&self, who: &SignedIn, title: &str, content: Markup) -> Reply {
        let content = html! {
            @if self.is_made_up { p.note.warn role="note" { (self.visit.text("watch.made-up")) } }
            (content)
        };
        shell::page(self.visit, Some(who), title, content)
    }

    /// What is made of an answer, or why there is none.
    pub(crate) fn told<T>(&self, answer: &Result<T, LakeError>, content: impl FnOnce(&T) -> Markup) -> Markup {
        answer.as_ref().map_or_else(|error| self.problem(error), content)
    }

    /// A card.
    pub(crate) fn card<T>(
        &self,
        title: &str,
        answer: &Result<T, LakeError>,
        content: impl FnOnce(&T) -> Markup,
    ) -> Markup {
        html! { section.card { h2 { (title) } (self.told(answer, content)) } }
    }

    /// Why there is no answer, and what to do.
    pub(crate) fn problem(&self, error: &LakeError) -> Markup {
        let visit = self.visit;
        let text = match error {
            LakeError::Invalid { problem, .. } => visit.filled("lake.invalid", &[("problem", &shown(problem))]),
            LakeError::TooLarge { .. } => visit.text("lake.too-large").to_owned(),
            LakeError::Damaged { part, .. } => visit.filled("lake.damaged", &[("part", &shown(part))]),
            LakeError::Unavailable { .. } => visit.text("lake.unavailable").to_owned(),
        };
        if let LakeError::Damaged { .. } | LakeError::Unavailable { .. } = error
            && let Some(suppressed) = visit.console.budgets.unavailable.take_now()
        {
            let cause = error.source().map(ToString::to_string);
            error!(event = events::UNAVAILABLE, %error, cause, suppressed, "the lake is unavailable");
        }
        html! { p.note.bad role="alert" { (text) } }
    }

    /// Sensors that were heard of and are not any more, those first that fell silent last. None of what is made up.
    pub(crate) fn silent_sensors(&self) -> Vec<SensorStatus> {
        let mut silent = self.visit.console.threat.roll.sensors(&self.visit.console.scope);
        silent.retain(|sensor| !sensor.is_online && !self.is_made_up);
        silent.sort_by_key(|sensor| std::cmp::Reverse(sensor.last_seen));
        silent
    }

    /// In which pieces of a period nobody watched: nothing was counted for a day at least, or since all sensors fell silent. None
    /// when there is no answer.
    pub(crate) fn gaps(&self, period: &Period) -> Vec<bool> {
        let question = asked(LakeTable::Attacks, period.range, &[]);
        let Ok(answer) = self.count(&LakeQuestion { bucket: Some(period.bucket), ..question }) else {
            return Vec::new();
        };
        let mut gaps = vec![true; period.buckets()];
        for group in answer.groups().filter(|group| group.count > 0) {
            if let Some(place) = group.bucket.and_then(|at| period.bucket_at(at)) {
                gaps[place] = false;
            }
        }
        let sensors = self.visit.console.threat.roll.sensors(&self.visit.console.scope);
        let is_one_online = sensors.iter().any(|sensor| sensor.is_online) || self.is_made_up;
        let heard = sensors.iter().filter_map(|sensor| sensor.last_seen).max().filter(|_| !is_one_online);
        let least = usize::try_from(DAY_MS / period.bucket_ms()).unwrap_or(1);
        let mut begin = 0;
        while begin < gaps.len() {
            let length = gaps[begin..].iter().take_while(|is_gap| **is_gap).count();
            for place in (begin..begin + length).filter(|_| length < least) {
                gaps[place] = heard.is_some_and(|heard| period.bucket_begin(place) >= heard.unix_millis());
            }
            begin += length + 1;
        }
        gaps
    }
}

impl Asker {
    /// The lake that is shown now.
    pub(crate) fn of(lakes: &dyn Lakes, language: Language, now: Timestamp) -> Self {
        let (lake, is_made_up) = match lakes.shown() {
            ShownLake::Real(lake) => (lake, false),
            ShownLake::MadeUp(lake) => (lake, true),
        };
        Self { lake, is_made_up, language, texts: Texts::of(language), now }
    }

    /// A text in its language.
    pub(crate) fn text(&self, key: &'static str) -> &'static str {
        self.texts.text(key)
    }

    /// A text with its places filled in.
    pub(crate) fn filled(&self, key: &'static str, places: &[(&str, &str)]) -> String {
        self.texts.filled(key, places)
    }

    /// Whether there is no attack at all.
    pub(crate) fn is_empty(&self) -> Result<bool, LakeError> {
        let tables = self.lake.state()?;
        Ok(tables.iter().filter(|state| state.table == LakeTable::Attacks).all(|state| state.rows == 0))
    }

    /// Counts.
    pub(crate) fn count(&self, question: &LakeQuestion) -> Result<LakeAnswer, LakeError> {
        self.lake.count(question)
    }

    /// Rows, the newest or the oldest first.
    pub(crate) fn list(
        &self,
        table: LakeTable,
        range: TimeRange,
        filters: &[LakeFilter],
        (order, limit): (LakeOrder, usize),
    ) -> Result<LakeRows, LakeError> {
        self.lake.list(&LakeListing { table, range, filters: filters.to_vec(), order, limit })
    }

    /// What was unusual, by day, in the period or until now; `columns` are those by which attacks are sorted.
    pub(crate) fn peaks(&self, columns: &[&str], period: &Period) -> Result<Peaks, LakeError> {
        let from = day_of(period.range.from) - HISTORY_DAYS;
        let to = day_of(Timestamp::from_unix_millis(period.range.to.unix_millis() - 1)) + 1;
        let range = TimeRange { from: begin_of(from), to: begin_of(to) };
        let by_day = |columns: &[&str]| LakeQuestion {
            bucket: Some(komainu_ports::TimeBucket::Day),
            ..asked(LakeTable::Attacks, range, columns)
        };
        let answer = self.count(&by_day(columns))?;
        let days = usize::try_from(to - from).unwrap_or(0);
        // Neither can be refused: a period has 3,660 days at most, and columns are two.
        let Ok(mut counts) = Counts::new(columns, Cadence::Day, range.from, days) else { return Ok(no_peaks()) };
        let mut recorded = vec![false; days];
        for group in answer.groups() {
            let Some(at) = group.bucket else { continue };
            if let Some(day) = usize::try_from(day_of(at) - from).ok().and_then(|day| recorded.get_mut(day)) {
                *day = true;
            }
            counts.add(at, &key_of(&group), group.count);
        }
        // Nor is a day on which those were silent who see much of it.
        let by_sensor = self.count(&by_day(&["sensor"]))?;
        let mut of_sensors: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for group in by_sensor.groups() {
            let Some((at, sensor)) = group.bucket.zip(group.values.first()) else { continue };
            let counts = of_sensors.entry(sensor.to_string()).or_insert_with(|| vec![0; days]);
            if let Some(count) = usize::try_from(day_of(at) - from).ok().and_then(|day| counts.get_mut(day)) {
                *count += group.count;
            }
        }
        // The last day goes on: who was not attacked yet is not silent.
        for (day, _) in (from..to - 1).zip(unwatched_days(&of_sensors)).filter(|(_, is_unwatched)| *is_unwatched) {
            counts.set_missing(begin_of(day));
        }
        // A day without a single attack is one without a sensor.
        for (day, _) in (from..).zip(&recorded).filter(|(_, is_recorded)| !**is_recorded) {
            counts.set_missing(begin_of(day));
        }
        let mut peaks = find_peaks(&counts);
        peaks.findings.retain(|finding| finding.end.is_none_or(|end| end > period.range.from));
        peaks.findings.retain(|finding| finding.kind != Kind::NewLevel || finding.begin >= period.range.from);
        Ok(peaks)
    }

    /// The name of a country; its code when it has none, and what is said of none.
    pub(crate) fn country(&self, code: &str) -> String {
        match Country::parse(code) {
            Some(country) => country.name(charts_language(self.language)).to_owned(),
            None if code.is_empty() => self.text("watch.unknown-country").to_owned(),
            None => code.to_owned(),
        }
    }

    /// What is said of a value of a column.
    pub(crate) fn value(&self, column: &str, value: &LakeValue) -> String {
        let text = value.to_string();
        match column {
            "country" => self.country(&text),
            "asn" if text == "0" => self.text("watch.unknown-network").to_owned(),
            "asn" => format!("AS{text}"),
            "label" => self.texts.word("label", &text).map_or(text, str::to_owned),
            _ => text,
        }
    }

    /// A list of bars for an answer that is sorted by one column, with where each leads.
    pub(crate) fn bars(
        &self,
        title: &str,
        column: &str,
        answer: &LakeAnswer,
        link: &dyn Fn(&LakeValue) -> Option<Link>,
    ) -> Markup {
        let listed = answer.groups().take(LISTED_MAX);
        let groups: Vec<(LakeValue, u64)> =
            listed.filter_map(|group| Some((group.values.into_iter().next()?, group.count))).collect();
        let names: Vec<String> = groups.iter().map(|(value, _)| self.value(column, value)).collect();
        let rows: Vec<BarRow<'_>> = groups
            .iter()
            .zip(&names)
            .map(|((value, count), label)| {
                let link = value::link(link(value), column, &value.to_string());
                BarRow { label, count: *count, link }
            })
            .collect();
        bar_list(&BarList { title, language: charts_language(self.language), rows: &rows })
    }

    /// Of what a finding is.
    pub(crate) fn scope(&self, finding: &Finding, columns: &[&str]) -> String {
        let named = finding.scope.0.iter().zip(columns).filter_map(|(value, column)| {
            let value = value.as_ref()?;
            Some(self.value(column, &LakeValue::text(value)))
        });
        let named: Vec<String> = named.collect();
        if named.is_empty() { self.text("peak.everything").to_owned() } else { named.join(" × ") }
    }

    /// What is said when nothing was unusual, or when nobody can know yet.
    pub(crate) fn nothing_unusual(&self, peaks: &Peaks) -> &'static str {
        match peaks.counts_judged {
            0 => self.text("peak.too-young"),
            _ => self.text("peak.none"),
        }
    }

    /// How unusual a finding is, in numbers.
    pub(crate) fn unusual(&self, finding: &Finding) -> String {
        let observed = grouped(finding.observed);
        let mut text = match (finding.kind, finding.times_usual()) {
            (Kind::New, _) => self.filled("peak.new", &[("count", &observed)]),
            (Kind::Peak | Kind::NewLevel, None) => self.filled("peak.from-nothing", &[("count", &observed)]),
            (Kind::Peak | Kind::NewLevel, Some(times)) => {
                let times = format!("{times:.1}");
                let [low, high] =
                    [finding.usual.0, finding.usual.1].map(|bound| grouped(bound.max(0.0).round() as u64));
                let places = [("times", times.as_str()), ("count", &observed), ("low", &low), ("high", &high)];
                self.filled("peak.times", &places)
            }
        };
        if !finding.is_visible_in_total {
            text.push_str(self.text("peak.hidden"));
        }
        if finding.kind == Kind::NewLevel {
            text.push_str(self.text("peak.new-level"));
        }
        text
    }
}

fn no_peaks() -> Peaks {
    Peaks { findings: Vec::new(), findings_left_out: 0, series_judged: 0, unjudged: Vec::new(), counts_judged: 0 }
}

fn day_of(at: Timestamp) -> i64 {
    at.unix_millis().div_euclid(DAY_MS)
}

fn begin_of(day: i64) -> Timestamp {
    Timestamp::from_unix_millis(day.saturating_mul(DAY_MS))
}

/// The day after the one in which a time lies.
pub(crate) fn end_of_day(at: Timestamp) -> Timestamp {
    begin_of(day_of(at) + 1)
}

fn key_of(group: &LakeGroup) -> Key {
    group.values.iter().map(ToString::to_string).collect()
}

/// The key and the count of each group.
pub(crate) fn keys(answer: &LakeAnswer) -> Vec<(Key, u64)> {
    answer.groups().map(|group| (key_of(&group), group.count)).collect()
}

/// The place of a column that the code names.
pub(crate) fn column(table: LakeTable, name: &str) -> usize {
    table.column(name).expect("the code names columns that are there")
}

/// The question how many rows there are by these columns.
pub(crate) fn asked(table: LakeTable, range: TimeRange, by: &[&str]) -> LakeQuestion {
    LakeQuestion {
        table,
        range,
        filters: Vec::new(),
        bucket: None,
        group_by: by.iter().map(|name| column(table, name)).collect(),
        distinct: None,
        top: None,
    }
}

/// A test whether a column of texts has one of these values.
pub(crate) fn one_of(table: LakeTable, name: &str, values: &[&str]) -> LakeFilter {
    let values = values.iter().map(|value| LakeValue::text(value)).collect();
    LakeFilter { column: column(table, name), test: LakeTest::OneOf(values) }
}

/// The language of charts.
pub(crate) fn charts_language(language: Language) -> komainu_charts::Language {
    match language {
        Language::English => komainu_charts::Language::English,
        Language::Japanese => komainu_charts::Language::Japanese,
    }
}

/// A whole number in groups of three digits.
pub(crate) fn grouped(number: u64) -> String {
    // A thin space.
    komainu_model::grouped(number.into(), '\u{2009}')
}

/// A value in a list or a table: its beginning, as far as it has room.
pub(crate) fn brief(text: &str) -> String {
    /// Characters; a model's name is seldom half as long.
    const CHARS_MAX: usize = 64;
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => shown(&text[..end]) + "…",
        None => shown(text),
    }
}

/// The source of an attack, with where it leads when it is an address.
pub(crate) fn source(text: &str) -> Markup {
    html! { span.mono { (value::value("source", text)) } }
}

/// Counts over the time of a page, one for each piece of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OverTime {
    /// The value of each series, the one that has most first; none for all others, or for everything.
    pub(crate) series: Vec<(Option<LakeValue>, Vec<Option<u64>>)>,
}

impl OverTime {
    /// An answer in pieces of time, sorted by one column or by none. A piece that is not over has no count, unless it has all that
    /// there is.
    pub(crate) fn of(answer: &LakeAnswer, period: &Period) -> Self {
        let buckets = period.buckets();
        let mut known = period.buckets_over();
        let mut counted: Vec<(Option<LakeValue>, Vec<u64>)> = Vec::new();
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        for group in answer.groups() {
            let Some(bucket) = group.bucket.and_then(|at| period.bucket_at(at)) else { continue };
            let value = group.values.into_iter().next();
            let name = value.as_ref().map_or_else(String::new, ToString::to_string);
            let place = *places.entry(name).or_insert_with(|| {
                counted.push((value, vec![0; buckets]));
                counted.len() - 1
            });
            counted[place].1[bucket] += group.count;
        }
        let is_over = |counts: &Vec<u64>| counts[..known].iter().any(|count| *count > 0);
        if !counted.iter().any(|(_, counts)| is_over(counts)) {
            known = (known + 1).min(buckets);
        }
        counted.sort_by_key(|(_, counts)| std::cmp::Reverse(counts.iter().sum::<u64>()));
        let series = counted.into_iter().map(|(value, counts)| {
            let counts = counts.into_iter().enumerate().map(|(place, count)| (place < known).then_some(count));
            (value, counts.collect())
        });
        Self { series: series.collect() }
    }

    /// Nothing is known of these pieces.
    pub(crate) fn without(mut self, gaps: &[bool]) -> Self {
        for (_, counts) in &mut self.series {
            for (count, _) in counts.iter_mut().zip(gaps).filter(|(_, is_gap)| **is_gap) {
                *count = None;
            }
        }
        self
    }

    /// The names of the series.
    pub(crate) fn names(&self, asker: &Asker, column: &str) -> Vec<String> {
        let name = |value: &Option<LakeValue>| match value {
            Some(value) => asker.value(column, value),
            None => asker.text("attacks.rest").to_owned(),
        };
        self.series.iter().map(|(value, _)| name(value)).collect()
    }

    /// The series as charts take them, with where each leads.
    pub(crate) fn of_chart<'c>(
        &'c self,
        names: &'c [String],
        link: &dyn Fn(&LakeValue) -> Option<Link>,
    ) -> Vec<Series<'c>> {
        let series = self.series.iter().zip(names);
        series.map(|((value, counts), label)| Series { label, counts, link: value.as_ref().and_then(link) }).collect()
    }
}

#[cfg(test)]
mod tests;
