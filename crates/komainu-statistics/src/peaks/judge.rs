//! One series: what is usual in each of its buckets, and the runs of buckets that are not.
//!
//! The usual count of a bucket is *level* times *season*. The level is the median of the last weeks, of counts from which the
//! week has been taken out. The season is how far counts at the same time of earlier weeks lay from the level of their time,
//! by their median; growth that makes the level lag behind is in it as well. How far counts usually lie from what was expected is measured on a scale on which counts of
//! any size spread equally ([`scale`]), by quantiles of the last weeks.
//!
//! Counts within a run do not teach what is usual, so a long peak does not hide its own end. After some weeks it is the
//! usual, and the level starts anew.

use super::window::Window;
use crate::counts::Cadence;

/// From this many usual spreads on a count begins a peak. With 3.5 there are almost four times as many false findings, with 5
/// every tenth burst is lost (docs/statistics.md).
pub(super) const ENTER_SCORE: f64 = 4.0;
/// Below this many a peak is over.
const LEAVE_SCORE: f64 = 2.5;
/// What begins a peak is so many times the usual: less is of no interest, however regular the series.
const ENTER_RATIO: f64 = 1.5;
/// Below this ratio a peak is over.
const LEAVE_RATIO: f64 = 1.25;
/// What begins a peak is so many more than usual, and what appears for the first time is so many: two scanners that come by
/// are no peak.
const EXCESS_MIN: f64 = 10.0;
/// Nothing is taken to be more regular than this, as a share of its count.
const SPREAD_SHARE_MIN: f64 = 0.1;
/// So many earlier weeks tell the season.
const SEASON_WEEKS: usize = 12;
/// With fewer the season is not known.
const SEASON_WEEKS_MIN: usize = 3;
/// The season counts in full where the level is well above this; counts of a few are noise.
const SEASON_LEVEL: f64 = 8.0;

/// How far back and how long, in buckets.
struct Spans {
    /// A week.
    season: usize,
    /// The level is the median of so many.
    level: usize,
    /// With fewer the level is not known.
    level_min: usize,
    /// The spread is that of so many.
    spread: usize,
    /// With fewer the spread is not known. Together with `level_min` the shortest history by which can be judged.
    spread_min: usize,
    /// A peak may dip below its end for so many.
    dip_max: usize,
    /// What lasts so long is the usual from then on.
    settled: usize,
    /// What is new is looked at for so long.
    arrival: usize,
    /// After so many missing ones everything is learnt anew.
    gap_max: usize,
}

const DAYS: Spans = Spans {
    season: 7,
    level: 28,
    level_min: 14,
    spread: 84,
    spread_min: 21,
    dip_max: 1,
    settled: 28,
    arrival: 14,
    gap_max: 28,
};

const HOURS: Spans = Spans {
    season: 168,
    level: 168,
    level_min: 168,
    spread: 672,
    spread_min: 504,
    dip_max: 3,
    settled: 336,
    arrival: 72,
    gap_max: 336,
};

impl Cadence {
    fn spans(self) -> &'static Spans {
        match self {
            Self::Day => &DAYS,
            Self::Hour => &HOURS,
        }
    }

    /// The shortest history by which can be judged, in observed buckets.
    pub(super) fn history_min(self) -> usize {
        self.spans().level_min + self.spans().spread_min
    }
}

/// Stretches counts so that usual ones spread by about 1 wherever they lie: square roots where counts are small and only
/// chance spreads them, logarithms where they are large and spread by [`SPREAD_SHARE_MIN`] of themselves. It is the
/// stabilising transformation of the negative binomial law (Anscombe, Biometrika 35, 1948).
fn scale(count: f64) -> f64 {
    2.0 / SPREAD_SHARE_MIN * (SPREAD_SHARE_MIN * (count.max(0.0) + 0.375).sqrt()).asinh()
}

/// The count at a place of the scale; zero below the place of zero.
fn unscale(place: f64) -> f64 {
    ((place.max(0.0) * SPREAD_SHARE_MIN / 2.0).sinh() / SPREAD_SHARE_MIN).powi(2) - 0.375
}

/// What is usual in one bucket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usual {
    /// The count; not a number where it cannot be said.
    expected: f32,
    /// The spread on the scale, 1 at least.
    spread: f32,
}

impl Usual {
    const UNKNOWN: Self = Self { expected: f32::NAN, spread: 1.0 };
    /// What is usual for what never was.
    pub(super) const NEVER: Self = Self { expected: 0.0, spread: 1.0 };

    pub(super) fn is_known(self) -> bool {
        !self.expected.is_nan()
    }

    /// The usual count, if it can be said.
    pub(super) fn expected(self) -> Option<f64> {
        self.is_known().then_some(f64::from(self.expected))
    }

    /// How many spreads a count lies above `factor` times the usual; 0 where it cannot be said.
    pub(super) fn score(self, count: f64, factor: f64) -> f64 {
        let expected = self.expected().unwrap_or(count);
        (scale(count) - scale(expected * factor)) / f64::from(self.spread)
    }

    /// Between which counts about 95 of 100 lie.
    pub(super) fn range(self) -> (f64, f64) {
        let (place, reach) = (scale(f64::from(self.expected)), 2.0 * f64::from(self.spread));
        (unscale(place - reach).max(0.0), unscale(place + reach))
    }

    fn is_peak(self, count: f64) -> bool {
        let expected = f64::from(self.expected);
        self.score(count, 1.0) >= ENTER_SCORE && count >= ENTER_RATIO * expected && count - expected >= EXCESS_MIN
    }

    fn is_still_peak(self, count: f64) -> bool {
        self.score(count, 1.0) >= LEAVE_SCORE && count >= LEAVE_RATIO * f64::from(self.expected)
    }
}

/// What kind of finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// More than usual for a time.
    Peak,
    /// More than usual for so long that it is the usual now: four weeks of days, two of hours.
    NewLevel,
    /// A series that never was.
    New,
}

/// Buckets in a row that are not usual.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) kind: Kind,
    pub(super) begin: usize,
    /// Where most more than usual was counted.
    pub(super) top: usize,
    /// The last bucket of it that was looked at.
    pub(super) last: usize,
    /// Whether it was not over then.
    pub(super) goes_on: bool,
}

impl Run {
    pub(super) fn holds(&self, bucket: usize) -> bool {
        (self.begin..=self.last).contains(&bucket)
    }
}

/// A series that was looked through.
#[derive(Debug, Default)]
pub(super) struct Judged {
    /// For each bucket.
    pub(super) usual: Vec<Usual>,
    /// In order of time.
    pub(super) runs: Vec<Run>,
    /// How many buckets there was something to compare with.
    pub(super) judged: usize,
    /// How many buckets were observed since the last time that everything was learnt anew.
    pub(super) history: usize,
}

/// Looks through a series once, from its first bucket to its last.
pub(super) fn judge(cadence: Cadence, counts: &[u64], missing: &[bool]) -> Judged {
    let spans = cadence.spans();
    let mut judge =
        Judge { spans, counts, learner: Learner::new(spans), judged: Judged::default(), run: None, dips: Vec::new() };
    let arrival = arrival(spans, counts, missing);
    let mut gap = 0;
    for (bucket, (count, is_missing)) in counts.iter().zip(missing).enumerate() {
        if *is_missing {
            gap += 1;
            judge.judged.usual.push(Usual::UNKNOWN);
            if gap == spans.gap_max + 1 {
                judge.end_run(false);
                judge.forget();
            }
            continue;
        }
        gap = 0;
        match &arrival {
            Some(arrival) if bucket == arrival.begin => {
                judge.judged.runs.push(*arrival);
                if arrival.goes_on {
                    judge.forget();
                }
            }
            _ => {}
        }
        judge.judged.history += 1;
        match &arrival {
            // What is new is told as such, and is neither a peak as well nor a lesson, unless it stays.
            Some(arrival) if arrival.holds(bucket) && !arrival.goes_on => judge.judged.usual.push(Usual::NEVER),
            _ => judge.bucket(bucket, *count as f64),
        }
    }
    judge.end_run(true);
    judge.judged.runs.sort_by_key(|run| run.begin);
    judge.judged
}

/// The first appearance of a series, if it was watched for long enough before and if enough came.
fn arrival(spans: &Spans, counts: &[u64], missing: &[bool]) -> Option<Run> {
    let begin = counts.iter().position(|count| *count > 0)?;
    let watched = missing[..begin].iter().filter(|is_missing| !**is_missing).count();
    let look_end = counts.len().min(begin + spans.arrival);
    let look = &counts[begin..look_end];
    let came: u64 = look.iter().fold(0, |sum, count| sum.saturating_add(*count));
    if watched < spans.level_min || (came as f64) < EXCESS_MIN {
        return None;
    }
    let last = begin + look.iter().rposition(|count| *count > 0)?;
    let top = begin + (0..look.len()).rev().max_by_key(|at| look[*at])?;
    // Seen in the second half of the time as well, or not looked at for so long: it is here to stay.
    let goes_on = last - begin >= spans.arrival / 2 || look_end == counts.len() && last + 1 == look_end;
    Some(Run { kind: Kind::New, begin, top, last, goes_on })
}

struct Judge<'a> {
    spans: &'static Spans,
    counts: &'a [u64],
    learner: Learner,
    judged: Judged,
    run: Option<Run>,
    /// Buckets of a run that were no longer high: they are usual if it does not go on.
    dips: Vec<usize>,
}

impl Judge<'_> {
    fn bucket(&mut self, bucket: usize, count: f64) {
        let usual = self.learner.usual(bucket);
        self.judged.usual.push(usual);
        self.judged.judged += usize::from(usual.is_known());
        if self.run.is_none() {
            if !usual.is_known() || !usual.is_peak(count) {
                return self.learner.learn(bucket, count);
            }
            // Whoever peaks in more than one of ten buckets has peaks for his usual.
            self.learner.remember_spread(bucket, count);
            self.run = Some(Run { kind: Kind::Peak, begin: bucket, top: bucket, last: bucket, goes_on: true });
            return;
        }
        if !usual.is_still_peak(count) {
            self.dips.push(bucket);
            if self.dips.len() > self.spans.dip_max {
                self.end_run(false);
            }
            return;
        }
        self.dips.clear();
        let Some(run) = &mut self.run else { return };
        run.last = bucket;
        let excess = |at: usize| self.counts[at] as f64 - self.judged.usual[at].expected().unwrap_or_default();
        if excess(bucket) > excess(run.top) {
            run.top = bucket;
        }
        if bucket - run.begin + 1 >= self.spans.settled {
            run.kind = Kind::NewLevel;
            let run = *run;
            self.judged.runs.push(run);
            self.run = None;
            self.learner.level.clear();
            for at in run.begin..=bucket {
                if self.judged.usual[at].is_known() {
                    let even = self.learner.without_week(at, self.counts[at] as f64);
                    self.learner.level.push(even);
                }
            }
        }
    }

    fn end_run(&mut self, is_end_of_data: bool) {
        if let Some(mut run) = self.run.take() {
            run.goes_on = is_end_of_data && self.dips.is_empty();
            self.judged.runs.push(run);
        }
        for bucket in std::mem::take(&mut self.dips) {
            self.learner.learn(bucket, self.counts[bucket] as f64);
        }
    }

    fn forget(&mut self) {
        self.learner = Learner::new(self.spans);
        self.judged.history = 0;
    }
}

/// What was usual so far.
struct Learner {
    spans: &'static Spans,
    /// Counts without the week in them.
    level: Window,
    /// For each place in the week.
    seasons: Vec<Season>,
    /// The sum of what all places have for their logarithm.
    season_ln_sum: f64,
    /// How far counts lay from what was expected, on the scale.
    spread: Window,
}

impl Learner {
    fn new(spans: &'static Spans) -> Self {
        Self {
            spans,
            level: Window::new(spans.level),
            seasons: (0..spans.season).map(|_| Season::new()).collect(),
            season_ln_sum: 0.0,
            spread: Window::new(spans.spread),
        }
    }

    fn usual(&self, bucket: usize) -> Usual {
        let (Some(expected), true) = (self.expected(bucket), self.spread.len() >= self.spans.spread_min) else {
            return Usual::UNKNOWN;
        };
        let quantile = |share| self.spread.quantile(share).unwrap_or_default();
        let centre = quantile(0.5);
        // A normal law has so many standard deviations between these quantiles.
        let inner = (quantile(0.75) - quantile(0.25)) / 1.349;
        let upper = (quantile(0.9) - centre) / 1.2816;
        Usual { expected: unscale(scale(expected) + centre).max(0.0) as f32, spread: inner.max(upper).max(1.0) as f32 }
    }

    fn learn(&mut self, bucket: usize, count: f64) {
        self.remember_spread(bucket, count);
        let even = self.without_week(bucket, count);
        if let Some(level) = self.level() {
            let season = &mut self.seasons[bucket % self.spans.season];
            self.season_ln_sum -= season.ln;
            season.learn((count + 0.5) / (level + 0.5));
            self.season_ln_sum += season.ln;
        }
        self.level.push(even);
    }

    /// The count as it would be at another time of the week, so that some missing days do not tilt the level. Only the shape
    /// of the week is taken out: with the growth that seasons hold as well, the level would run away from the counts.
    fn without_week(&self, bucket: usize, count: f64) -> f64 {
        let mean_ln = self.season_ln_sum / self.spans.season as f64;
        let ln = self.seasons[bucket % self.spans.season].ln - mean_ln;
        count / (ln * trust(self.level().unwrap_or_default())).exp()
    }

    fn remember_spread(&mut self, bucket: usize, count: f64) {
        if let Some(expected) = self.expected(bucket) {
            self.spread.push(scale(count) - scale(expected));
        }
    }

    fn level(&self) -> Option<f64> {
        if self.level.len() < self.spans.level_min { None } else { self.level.quantile(0.5) }
    }

    fn expected(&self, bucket: usize) -> Option<f64> {
        let level = self.level()?;
        let expected = level * (self.seasons[bucket % self.spans.season].ln * trust(level)).exp();
        Some(if level < SEASON_LEVEL { expected.max(self.level.lower_mean()) } else { expected })
    }
}

/// How much of the season is believed at a level.
fn trust(level: f64) -> f64 {
    level / (level + SEASON_LEVEL)
}

/// One place in the week.
struct Season {
    /// Counts over the level of their time.
    ratios: Window,
    /// The logarithm of their median; 0 while they are too few.
    ln: f64,
}

impl Season {
    fn new() -> Self {
        Self { ratios: Window::new(SEASON_WEEKS), ln: 0.0 }
    }

    fn learn(&mut self, ratio: f64) {
        self.ratios.push(ratio);
        let median = self.ratios.quantile(0.5).filter(|_| self.ratios.len() >= SEASON_WEEKS_MIN);
        self.ln = median.map_or(0.0, f64::ln);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A series of `len` days: `level` with a quiet end of the week and a little noise, and `change` of it.
    fn days(len: usize, level: u64, change: impl Fn(usize, u64) -> u64) -> Vec<u64> {
        let noise = |day: usize| (day * 7919 % 13) as u64;
        let week = |day: usize| if day % 7 >= 5 { 6 } else { 10 };
        (0..len).map(|day| change(day, level * week(day) * (94 + noise(day)) / 1000)).collect()
    }

    #[track_caller]
    fn check(counts: &[u64], missing: &[usize], expected: &[(Kind, usize, usize, usize, bool)]) {
        let missing: Vec<bool> = (0..counts.len()).map(|day| missing.contains(&day)).collect();
        let judged = judge(Cadence::Day, counts, &missing);
        let shown = |run: &Run| (run.kind, run.begin, run.top, run.last, run.goes_on);
        assert_eq!(judged.runs.iter().map(shown).collect::<Vec<_>>(), expected);
        assert_eq!(judged.usual.len(), counts.len());
    }

    #[test]
    fn a_week_and_growth_are_no_peaks() {
        for level in [0, 1, 5, 30, 300, 100_000] {
            check(&days(200, level, |_, count| count), &[], &[]);
        }
        // Ten times as much after half a year.
        check(&days(180, 100, |day, count| (count as f64 * 1.013_f64.powi(day as i32)) as u64), &[], &[]);
        // To a third from one day to the next, and ten days of silence.
        check(&days(200, 300, |day, count| if day > 100 { count / 3 } else { count }), &[], &[]);
        check(&days(200, 300, |day, count| if (100..110).contains(&day) { 0 } else { count }), &[], &[]);
    }

    #[test]
    fn a_peak_has_a_begin_a_top_and_an_end() {
        let with = |factors: &'static [(usize, u64)]| {
            days(150, 200, |day, count| count * factors.iter().find(|(at, _)| *at == day).map_or(1, |(_, by)| *by))
        };
        check(&with(&[(100, 3)]), &[], &[(Kind::Peak, 100, 100, 100, false)]);
        check(&with(&[(100, 3), (101, 9), (102, 2)]), &[], &[(Kind::Peak, 100, 101, 102, false)]);
        // A dip of a day does not make two of it, nor does a day without records.
        check(&with(&[(100, 3), (102, 3)]), &[], &[(Kind::Peak, 100, 102, 102, false)]);
        check(&with(&[(100, 3), (102, 3)]), &[101], &[(Kind::Peak, 100, 102, 102, false)]);
        check(
            &with(&[(100, 3), (104, 3)]),
            &[],
            &[(Kind::Peak, 100, 100, 100, false), (Kind::Peak, 104, 104, 104, false)],
        );
        check(&with(&[(148, 3), (149, 3)]), &[], &[(Kind::Peak, 148, 149, 149, true)]);
    }

    #[test]
    fn a_quiet_day_of_the_week_has_peaks_of_its_own() {
        // Day 103 of these weeks has 120 instead of 200; 400 is twice a loud day and more than three times a quiet one.
        let counts = days(150, 200, |day, count| if day == 103 { 400 } else { count });
        check(&counts, &[], &[(Kind::Peak, 103, 103, 103, false)]);
    }

    #[test]
    fn a_long_peak_is_one_and_then_the_usual() {
        let from_to =
            |from, to| days(250, 200, move |day, count| if (from..to).contains(&day) { count * 4 } else { count });
        check(&from_to(100, 120), &[], &[(Kind::Peak, 100, 116, 119, false)]);
        check(&from_to(100, 250), &[], &[(Kind::NewLevel, 100, 123, 127, true)]);
    }

    #[test]
    fn what_never_was_is_new() {
        let from_to = |from, to| days(200, 50, move |day, count| if (from..to).contains(&day) { count } else { 0 });
        check(&from_to(100, 200), &[], &[(Kind::New, 100, 109, 113, true)]);
        check(&from_to(100, 102), &[], &[(Kind::New, 100, 101, 101, false)]);
        check(&from_to(199, 200), &[], &[(Kind::New, 199, 199, 199, true)]);
        // At the beginning nobody knows what was before.
        check(&from_to(5, 200), &[], &[]);
        // One now and then is nothing.
        check(&days(200, 0, |day, _| u64::from(day % 30 == 29)), &[], &[]);
        // It is new once; later it is a peak.
        let counts = days(200, 0, |day, _| if day == 100 || day == 160 { 40 } else { 0 });
        check(&counts, &[], &[(Kind::New, 100, 100, 100, false), (Kind::Peak, 160, 160, 160, false)]);
    }

    #[test]
    fn nothing_is_said_before_there_is_history() {
        let burst = |len: usize, at: usize| days(len, 200, move |day, count| if day == at { count * 9 } else { count });
        let history = Cadence::Day.history_min();
        check(&burst(100, history - 1), &[], &[]);
        check(&burst(100, history), &[], &[(Kind::Peak, history, history, history, false)]);
        let missing: Vec<usize> = (100..140).collect();
        check(&burst(200, 145), &missing, &[]);
        let judged = judge(Cadence::Day, &burst(20, 10), &[false; 20]);
        assert_eq!((judged.judged, judged.history), (0, 20));
        assert!(judge(Cadence::Day, &[], &[]).usual.is_empty());
    }

    #[test]
    fn who_peaks_all_the_time_has_peaks_for_his_usual() {
        let counts = days(400, 200, |day, count| if day % 8 == 0 { count * 6 } else { count });
        let judged = judge(Cadence::Day, &counts, &[false; 400]);
        assert!(judged.runs.len() <= 8, "{} of 50", judged.runs.len());
    }

    #[test]
    fn hours_of_the_week_are_compared() {
        let counts = |at: usize, by: u64| -> Vec<u64> {
            let usual = |hour: usize| if hour % 24 < 8 { 20 } else { 100 + (hour * 7919 % 11) as u64 };
            (0..24 * 60).map(|hour| if hour == at { usual(hour) * by } else { usual(hour) }).collect()
        };
        let runs = |counts: &[u64]| {
            let judged = judge(Cadence::Hour, counts, &vec![false; counts.len()]);
            judged.runs.iter().map(|run| (run.begin, run.last)).collect::<Vec<_>>()
        };
        // At night 80 are many, by day they are few.
        assert_eq!(runs(&counts(24 * 50 + 3, 4)), [(24 * 50 + 3, 24 * 50 + 3)]);
        assert_eq!(runs(&counts(24 * 50 + 3, 1)), []);
    }

    #[test]
    fn counts_without_measure_are_no_harm() {
        let counts: Vec<u64> = (0..200).map(|day| if day % 3 == 0 { u64::MAX } else { 0 }).collect();
        let judged = judge(Cadence::Day, &counts, &[false; 200]);
        assert!(judged.usual.iter().all(|usual| !usual.is_known() || usual.range().1.is_finite()));
    }

    #[test]
    fn the_scale_can_be_walked_back() {
        for count in [0.0, 0.3, 1.0, 10.0, 1e3, 1e6, 1e12] {
            assert!((unscale(scale(count)) - count).abs() <= 1e-9 * (1.0 + count), "{count}");
        }
    }
}
