//! Of which time a page is: a span up to now, or from one time to another.
//!
//! Times begin and end with whole hours or days, for which the lake has counts that stand ready.

use komainu_charts as charts;
use komainu_model::Timestamp;
use komainu_ports::{TimeBucket, TimeRange};
use maud::{Markup, html};

use crate::address::address;
use crate::visit::Visit;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Up to so many days a time is cut into hours: 192 points are what a chart can show.
const HOURS_DAYS_MAX: i64 = 8;

/// Up to so many days a chosen time begins and ends with hours, beyond it with days.
const ALIGNED_TO_HOURS_DAYS_MAX: i64 = 3;

/// The longest time that can be chosen: longer than anything is kept.
const DAYS_MAX: i64 = 3_660;

/// Spans up to now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Span {
    /// 24 hours.
    Day,
    /// Seven days.
    Week,
    /// 30 days.
    Month,
    /// 90 days.
    Quarter,
    /// 365 days.
    Year,
}

impl Span {
    const ALL: [Self; 5] = [Self::Day, Self::Week, Self::Month, Self::Quarter, Self::Year];

    /// The word for it in addresses and in keys of texts.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "24h",
            Self::Week => "7d",
            Self::Month => "30d",
            Self::Quarter => "90d",
            Self::Year => "1y",
        }
    }

    const fn days(self) -> i64 {
        match self {
            Self::Day => 1,
            Self::Week => 7,
            Self::Month => 30,
            Self::Quarter => 90,
            Self::Year => 365,
        }
    }

    /// From when to when it is: up to the end of the hour or day in which `now` lies.
    fn range(self, now: Timestamp) -> TimeRange {
        let step = if self == Self::Day { HOUR_MS } else { DAY_MS };
        let to = (now.unix_millis().div_euclid(step) + 1) * step;
        range(to - self.days() * DAY_MS, to)
    }
}

/// The time of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Period {
    /// From when to when.
    pub(crate) range: TimeRange,
    /// Into which pieces its charts cut it.
    pub(crate) bucket: TimeBucket,
    span: Option<Span>,
    now: Timestamp,
}

impl Period {
    /// What the address of a page says: `from` and `to`, or `range`; else `default`.
    pub(crate) fn of(visit: &Visit, default: Span) -> Self {
        let (now, query) = (visit.now, &visit.query);
        let chosen = parse(query.one("from")).zip(parse(query.one("to")));
        if let Some((from, to)) = chosen.filter(|(from, to)| from < to) {
            return Self::between(from, to, now);
        }
        let span = Span::ALL.into_iter().find(|span| span.as_str() == query.one("range")).unwrap_or(default);
        Self::last(span, now)
    }

    /// A span up to now.
    pub(crate) fn last(span: Span, now: Timestamp) -> Self {
        let range = span.range(now);
        Self { range, bucket: bucket(range), span: Some(span), now }
    }

    /// From the one time to the other, widened to whole hours or days.
    pub(crate) fn between(from: Timestamp, to: Timestamp, now: Timestamp) -> Self {
        let (from, to) = (from.unix_millis(), to.unix_millis());
        let step = if to.saturating_sub(from) <= ALIGNED_TO_HOURS_DAYS_MAX * DAY_MS { HOUR_MS } else { DAY_MS };
        let to = to.saturating_add(step - 1).div_euclid(step).saturating_mul(step);
        let from = from.div_euclid(step).saturating_mul(step).max(to.saturating_sub(DAYS_MAX * DAY_MS));
        let range = range(from, to);
        Self { range, bucket: bucket(range), span: None, now }
    }

    /// The time of the same length before it.
    pub(crate) fn before(&self) -> TimeRange {
        let (from, to) = (self.range.from.unix_millis(), self.range.to.unix_millis());
        range(from - (to - from), from)
    }

    /// How much of it is over, in days.
    pub(crate) fn elapsed_days(&self) -> f64 {
        let end = self.range.to.min(self.now).unix_millis();
        // An hour at least, so that it can be divided by.
        (end - self.range.from.unix_millis()).max(HOUR_MS) as f64 / DAY_MS as f64
    }

    /// How long it is, in days.
    pub(crate) fn days(&self) -> f64 {
        (self.range.to.unix_millis() - self.range.from.unix_millis()) as f64 / DAY_MS as f64
    }

    /// The fields by which an address says it: of `range`, `from` and `to` those that are needed.
    pub(crate) fn fields(&self) -> [(&'static str, String); 3] {
        let (from, to) = match self.span {
            Some(_) => (String::new(), String::new()),
            None => (minute(self.range.from), minute(self.range.to)),
        };
        [("range", self.span.map_or(String::new(), |span| span.as_str().to_owned())), ("from", from), ("to", to)]
    }

    /// Whether it goes on: what happens now is in it.
    pub(crate) fn goes_on(&self) -> bool {
        self.span.is_some()
    }

    /// What charts call it.
    pub(crate) fn of_chart(&self) -> charts::TimeRange {
        charts::TimeRange::new(self.range.from.unix_millis(), self.range.to.unix_millis())
    }

    /// Into how many pieces it is cut.
    pub(crate) fn buckets(&self) -> usize {
        let first = self.bucket.number(self.range.from);
        let last = self.bucket.number(Timestamp::from_unix_millis(self.range.to.unix_millis() - 1));
        usize::try_from(last - first + 1).unwrap_or(0)
    }

    /// The place of the piece that begins then.
    pub(crate) fn bucket_at(&self, at: Timestamp) -> Option<usize> {
        let place = self.bucket.number(at) - self.bucket.number(self.range.from);
        usize::try_from(place).ok().filter(|place| *place < self.buckets())
    }

    /// When a piece begins, in milliseconds.
    pub(crate) fn bucket_begin(&self, place: usize) -> i64 {
        let first = self.range.from.unix_millis().div_euclid(self.bucket_ms());
        (first.saturating_add(i64::try_from(place).unwrap_or(i64::MAX))).saturating_mul(self.bucket_ms())
    }

    /// How long a piece is, in milliseconds.
    pub(crate) fn bucket_ms(&self) -> i64 {
        match self.bucket {
            TimeBucket::Hour => HOUR_MS,
            // It is cut into hours or days only.
            TimeBucket::Day | TimeBucket::Week | TimeBucket::Month => DAY_MS,
        }
    }

    /// So many pieces are over; of the rest nothing, or not everything, is known yet.
    pub(crate) fn buckets_over(&self) -> usize {
        let over = self.bucket.number(self.now) - self.bucket.number(self.range.from);
        usize::try_from(over).unwrap_or(0).min(self.buckets())
    }

    /// Links to the spans; `path` and the other fields of the page stay.
    pub(crate) fn picker(&self, visit: &Visit, path: &str, others: &[(&str, &str)]) -> Markup {
        html! {
            nav.spans aria-label=(visit.text("period.title")) {
                @for span in Span::ALL {
                    @let fields: Vec<(&str, &str)> = [("range", span.as_str())].into_iter().chain(others.iter().copied()).collect();
                    a href=(address(path, &fields)) aria-current=[(self.span == Some(span)).then_some("true")] {
                        (visit.texts.word("span", span.as_str()).unwrap_or(span.as_str()))
                    }
                }
                @if self.span.is_none() { span.chosen { (self.text()) } }
            }
        }
    }

    /// From when to when, for people.
    pub(crate) fn text(&self) -> String {
        let both = [self.range.from, self.range.to].map(|at| minute(at).replace('T', " "));
        both.map(|text| text.strip_suffix(" 00:00").map_or(text.clone(), str::to_owned)).join(" – ")
    }
}

fn bucket(range: TimeRange) -> TimeBucket {
    let is_short = range.to.unix_millis() - range.from.unix_millis() <= HOURS_DAYS_MAX * DAY_MS;
    if is_short { TimeBucket::Hour } else { TimeBucket::Day }
}

fn range(from: i64, to: i64) -> TimeRange {
    TimeRange { from: Timestamp::from_unix_millis(from), to: Timestamp::from_unix_millis(to) }
}

/// A time as fields of forms have it, in UTC: `2026-11-26T22:00`.
pub(crate) fn minute(at: Timestamp) -> String {
    match jiff::Timestamp::from_second(at.unix_seconds()) {
        Ok(time) => time.strftime("%Y-%m-%dT%H:%M").to_string(),
        Err(_) => String::new(),
    }
}

/// Takes such a time, or a day alone, in UTC.
fn parse(text: &str) -> Option<Timestamp> {
    let time: jiff::civil::DateTime = text.parse().ok()?;
    let at = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond();
    (at >= 0).then(|| Timestamp::from_unix_millis(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        parse(text).unwrap()
    }

    #[test]
    fn times_are_whole_hours_or_days() {
        let now = at("2026-11-26T22:19");
        let check = |period: Period, from: &str, to: &str, bucket: TimeBucket, buckets: usize| {
            assert_eq!((period.range.from, period.range.to), (at(from), at(to)));
            assert_eq!((period.bucket, period.buckets()), (bucket, buckets));
        };
        check(Period::last(Span::Day, now), "2026-11-25T23:00", "2026-11-26T23:00", TimeBucket::Hour, 24);
        check(Period::last(Span::Week, now), "2026-11-20", "2026-11-27", TimeBucket::Hour, 168);
        check(Period::last(Span::Month, now), "2026-10-28", "2026-11-27", TimeBucket::Day, 30);
        let between = |from, to| Period::between(at(from), at(to), now);
        let hours = between("2026-11-20T03:10", "2026-11-20T05:20");
        check(hours, "2026-11-20T03:00", "2026-11-20T06:00", TimeBucket::Hour, 3);
        check(between("2026-11-01T03:10", "2026-11-20T05:20"), "2026-11-01", "2026-11-21", TimeBucket::Day, 20);
        check(between("1970-01-01", "2026-11-20"), "2016-11-12", "2026-11-20", TimeBucket::Day, 3_660);
        assert_eq!(hours.before().from, at("2026-11-20T00:00"));
        assert_eq!(hours.text(), "2026-11-20 03:00 – 2026-11-20 06:00");
        let ends = Period::between(Timestamp::from_unix_millis(0), Timestamp::from_unix_millis(i64::MAX), now);
        assert!(ends.buckets() <= 3_661 && ends.bucket_at(now).is_none());
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in ["", "yesterday", "2026-13-01", "1969-12-31", "2026-11-26T25:00", "+999999-01-01"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_not_over_is_not_known() {
        let now = at("2026-11-26T22:19");
        assert_eq!(Period::last(Span::Day, now).buckets_over(), 23);
        assert_eq!(Period::last(Span::Month, now).buckets_over(), 29);
        assert_eq!(Period::between(at("2026-01-01"), at("2026-02-01"), now).buckets_over(), 31);
        assert_eq!(Period::between(at("2027-01-01"), at("2027-02-01"), now).buckets_over(), 0);
    }
}
