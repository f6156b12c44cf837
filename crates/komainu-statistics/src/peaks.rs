//! Peaks: when more was counted than usual, of what, and how unusual that is.
//!
//! Every series is judged by itself ([`judge`]), and so are the sums of all series with one value in one column and the sum
//! of everything. What rises in many series at once is told once, by the widest sum that explains it; what explains less
//! than there is leaves the rest to be told.

mod judge;
mod window;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use komainu_model::Timestamp;

pub use judge::Kind;
use judge::{ENTER_SCORE, Judged, Run, Usual, judge};
pub(crate) use window::quantile;

use crate::counts::{Counts, Key};

/// The most findings that are told; those with the least excess are left out. Nobody reads more.
const FINDINGS_MAX: usize = 1_000;
/// The most series that are named in a finding about many.
const MEMBERS_MAX: usize = 12;
/// Series with less than this for their usual do not say by how much all of them rose.
const RISE_EXPECTED_MIN: f64 = 5.0;
/// With fewer series there is no "all of them".
const RISE_SERIES_MIN: usize = 3;
/// From this on all of them rose.
const RISE_MIN: f64 = 1.25;

/// What a finding is about: for each column a value, or none where all values are meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope(pub Vec<Option<String>>);

impl Scope {
    /// Whether it is the sum of everything.
    pub fn is_everything(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }
}

/// More than usual, from begin to end.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// What kind.
    pub kind: Kind,
    /// Of what.
    pub scope: Scope,
    /// When the first bucket begins.
    pub begin: Timestamp,
    /// When the bucket begins in which most more than usual was counted.
    pub top: Timestamp,
    /// When the last bucket ends; `None` while it goes on, and for what came to stay.
    pub end: Option<Timestamp>,
    /// The count at the top.
    pub observed: u64,
    /// The usual count there; zero for what never was.
    pub expected: f64,
    /// About 95 of 100 usual counts lie between these; of what never was, a few.
    pub usual: (f64, f64),
    /// How many usual spreads the count lies above the usual one. From 4 on it is a finding.
    pub score: f64,
    /// How many more than usual there were from the begin to the last bucket that was looked at.
    pub excess: f64,
    /// Whether the sum of everything shows a peak at the top as well.
    pub is_visible_in_total: bool,
    /// How many single series have a peak at the top that belongs to this one.
    pub series: usize,
    /// Those of them with most more than usual, at most `MEMBERS_MAX`.
    pub members: Vec<Key>,
}

impl Finding {
    /// How many times the usual count the top has; `None` where next to nothing is usual.
    pub fn times_usual(&self) -> Option<f64> {
        (self.expected >= 0.5).then(|| self.observed as f64 / self.expected)
    }
}

/// One sentence about how unusual it is: `7.3 times the usual; usual is 120 to 310`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, high) = (self.usual.0.round(), self.usual.1.round());
        match (self.kind, self.times_usual()) {
            (Kind::New, _) => write!(f, "{} where there never was any", self.observed)?,
            (Kind::Peak | Kind::NewLevel, Some(times)) => {
                write!(f, "{times:.1} times the usual; usual is {low} to {high}")?;
            }
            (Kind::Peak | Kind::NewLevel, None) => {
                write!(f, "{} where next to none is usual", self.observed)?;
            }
        }
        if self.kind == Kind::NewLevel {
            f.write_str("; it has lasted so long that it is the usual now")?;
        }
        if !self.is_visible_in_total {
            f.write_str("; the total does not show it")?;
        }
        Ok(())
    }
}

/// What was found, and what could not be looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Peaks {
    /// In order of time.
    pub findings: Vec<Finding>,
    /// So many findings are left out at the bound.
    pub findings_left_out: usize,
    /// So many series were judged, for a part of the time at least.
    pub series_judged: usize,
    /// Single series of which nothing can be said at their end yet, for lack of history.
    pub unjudged: Vec<Unjudged>,
    /// So many buckets of single series had something to compare with.
    pub counts_judged: usize,
}

/// A series that is too young to be judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unjudged {
    /// Which.
    pub key: Key,
    /// So many buckets of it are known.
    pub history: usize,
    /// So many are needed.
    pub history_min: usize,
}

impl fmt::Display for Unjudged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} buckets that are needed to say what is usual", self.history, self.history_min)
    }
}

/// Looks for peaks. Takes time in proportion to the number of counts, for each finding about a sum to the number of
/// its series as well.
pub fn find_peaks(counts: &Counts) -> Peaks {
    let nodes = Nodes::of(counts);
    let mut telling = Telling::new(counts, &nodes);
    telling.tell();
    let mut findings = telling.findings;
    let findings_left_out = findings.len().saturating_sub(FINDINGS_MAX);
    if findings_left_out > 0 {
        findings.sort_by(|one, other| other.excess.total_cmp(&one.excess));
        findings.truncate(FINDINGS_MAX);
    }
    findings.sort_by(|one, other| (one.begin, &one.scope, one.kind).cmp(&(other.begin, &other.scope, other.kind)));
    let history_min = counts.cadence.history_min();
    let is_young = |cell: &&Cell| cell.node.judged.history < history_min;
    let unjudged = nodes.cells.iter().filter(is_young).map(|cell| Unjudged {
        key: cell.key.clone(),
        history: cell.node.judged.history,
        history_min,
    });
    Peaks {
        findings,
        findings_left_out,
        series_judged: nodes.cells.iter().filter(|cell| cell.node.judged.judged > 0).count(),
        unjudged: unjudged.collect(),
        counts_judged: nodes.cells.iter().map(|cell| cell.node.judged.judged).sum(),
    }
}

/// A series that was looked through.
struct Node<'a> {
    counts: Cow<'a, [u64]>,
    judged: Judged,
}

impl<'a> Node<'a> {
    fn new(counts: &Counts, series: Cow<'a, [u64]>) -> Self {
        let judged = judge(counts.cadence, &series, &counts.missing);
        Self { counts: series, judged }
    }

    /// The run that holds a bucket. Runs do not overlap.
    fn run_at(&self, bucket: usize) -> Option<&Run> {
        let behind = self.judged.runs.partition_point(|run| run.begin <= bucket);
        self.judged.runs[..behind].last().filter(|run| run.holds(bucket))
    }

    fn usual(&self, bucket: usize) -> Usual {
        self.judged.usual[bucket]
    }

    fn count(&self, bucket: usize) -> f64 {
        self.counts[bucket] as f64
    }

    fn excess(&self, bucket: usize) -> f64 {
        self.count(bucket) - self.usual(bucket).expected().unwrap_or_default()
    }
}

/// A single series.
struct Cell<'a> {
    key: &'a Key,
    node: Node<'a>,
    /// The places of the sums that it is a part of, the widest first.
    sums: Vec<usize>,
}

/// A sum of single series.
struct Sum<'a> {
    scope: Scope,
    node: Node<'a>,
    /// The places of its series among the cells.
    cells: Vec<usize>,
}

/// All that is looked at.
struct Nodes<'a> {
    /// The sum of everything, unless there is one series only; then, where there are several columns, the sums of those with
    /// one value in one column.
    sums: Vec<Sum<'a>>,
    cells: Vec<Cell<'a>>,
}

impl<'a> Nodes<'a> {
    fn of(counts: &'a Counts) -> Self {
        let node = |series: &'a Vec<u64>| Node::new(counts, series.into());
        let mut cells: Vec<Cell<'a>> =
            counts.series.iter().map(|(key, series)| Cell { key, node: node(series), sums: Vec::new() }).collect();
        let mut sums = Vec::new();
        if cells.len() > 1 || counts.left_out() > 0 {
            let scope = Scope(vec![None; counts.columns.len()]);
            sums.push(Sum { scope, node: node(&counts.total), cells: (0..cells.len()).collect() });
        }
        let mut margins: BTreeMap<Scope, Vec<usize>> = BTreeMap::new();
        if counts.columns.len() > 1 {
            for (place, cell) in cells.iter().enumerate() {
                for column in 0..cell.key.len() {
                    let mut scope = vec![None; cell.key.len()];
                    scope[column] = Some(cell.key[column].clone());
                    margins.entry(Scope(scope)).or_default().push(place);
                }
            }
        }
        for (scope, places) in margins.into_iter().filter(|(_, places)| places.len() > 1) {
            let mut sum = vec![0_u64; counts.total.len()];
            for place in &places {
                for (sum, count) in sum.iter_mut().zip(cells[*place].node.counts.iter()) {
                    *sum = sum.saturating_add(*count);
                }
            }
            sums.push(Sum { scope, node: Node::new(counts, sum.into()), cells: places });
        }
        for (number, sum) in sums.iter().enumerate() {
            for place in &sum.cells {
                cells[*place].sums.push(number);
            }
        }
        Self { sums, cells }
    }

    /// The sum of everything.
    fn total(&self) -> Option<&Sum<'a>> {
        self.sums.first().filter(|sum| sum.scope.is_everything())
    }

    /// By how much the series of a sum rose together: the median of their counts over their usual ones. `None` where too few
    /// of them are large enough to say.
    fn rise(&self, sum: usize, bucket: usize) -> Option<f64> {
        let rise = |place: &usize| {
            let node = &self.cells[*place].node;
            let expected = node.usual(bucket).expected().filter(|expected| *expected >= RISE_EXPECTED_MIN)?;
            Some(node.count(bucket) / expected)
        };
        let mut rises: Vec<f64> = self.sums[sum].cells.iter().filter_map(rise).collect();
        rises.sort_by(f64::total_cmp);
        if rises.len() < RISE_SERIES_MIN { None } else { quantile(&rises, 0.5) }
    }

    /// Whether at least half of the series of a sum have a run at a bucket.
    fn half_are_high(&self, sum: &Sum<'_>, bucket: usize) -> bool {
        let high = sum.cells.iter().filter(|place| self.cells[**place].node.run_at(bucket).is_some()).count();
        high >= RISE_SERIES_MIN && high * 2 >= sum.cells.len()
    }

    /// The runs of what is narrower than a sum where a run of it has its top or its begin.
    fn narrower_runs(&self, sum: &Sum<'_>, run: &Run) -> Vec<&Run> {
        let margins = self.sums.iter().filter(|other| sum.scope.is_everything() && !other.scope.is_everything());
        let cells = sum.cells.iter().map(|place| &self.cells[*place].node);
        let nodes = margins.map(|margin| &margin.node).chain(cells);
        nodes.filter_map(|node| node.run_at(run.top).or_else(|| node.run_at(run.begin))).collect()
    }
}

/// A run of a sum that was told, and explains what is narrower.
struct Told {
    run: Run,
    /// The place of its finding.
    finding: usize,
}

struct Telling<'a> {
    counts: &'a Counts,
    nodes: &'a Nodes<'a>,
    findings: Vec<Finding>,
    /// For each sum, in order of time.
    told: Vec<Vec<Told>>,
    /// What was asked of sums at buckets before.
    rises: BTreeMap<(usize, usize), Option<f64>>,
}

impl<'a> Telling<'a> {
    fn new(counts: &'a Counts, nodes: &'a Nodes<'a>) -> Self {
        let told = nodes.sums.iter().map(|_| Vec::new()).collect();
        Self { counts, nodes, findings: Vec::new(), told, rises: BTreeMap::new() }
    }

    /// The widest first: they explain who is narrower.
    fn tell(&mut self) {
        let nodes = self.nodes;
        for (number, sum) in nodes.sums.iter().enumerate() {
            let wider: &[usize] = if nodes.total().is_some() && number > 0 { &[0] } else { &[] };
            for run in &sum.node.judged.runs {
                if self.is_explained(wider, &sum.node, run) || !self.is_shared(number, wider, run) {
                    continue;
                }
                self.told[number].push(Told { run: *run, finding: self.findings.len() });
                self.finding(sum.scope.clone(), &sum.node, run);
            }
        }
        for cell in &nodes.cells {
            for run in &cell.node.judged.runs {
                if !self.is_explained(&cell.sums, &cell.node, run) {
                    self.finding(Scope(cell.key.iter().cloned().map(Some).collect()), &cell.node, run);
                }
            }
        }
        self.name_members();
    }

    /// Whether a run of a sum is one of many of its series. What rose alone speaks for itself; a sum of many that are too
    /// small to be seen by themselves does not.
    fn is_shared(&mut self, number: usize, wider: &[usize], run: &Run) -> bool {
        let (nodes, sum) = (self.nodes, &self.nodes.sums[number]);
        let narrower = nodes.narrower_runs(sum, run);
        let is_shared = match run.kind {
            Kind::New => narrower.iter().filter(|narrow| narrow.kind == Kind::New).count() > 1,
            Kind::Peak | Kind::NewLevel => match self.rise(number, run.top) {
                Some(rise) => {
                    let is_told = |wide: &&usize| self.told_at(**wide, run.top).is_some();
                    let told: Vec<usize> = wider.iter().filter(is_told).copied().collect();
                    let shared = told.into_iter().filter_map(|wide| self.rise(wide, run.top)).fold(1.0, f64::max);
                    rise >= RISE_MIN * shared
                }
                None => nodes.half_are_high(sum, run.top),
            },
        };
        is_shared || narrower.is_empty()
    }

    /// Whether what was told of something wider explains a run: the rest is not unusual.
    fn is_explained(&mut self, wider: &[usize], node: &Node<'_>, run: &Run) -> bool {
        wider.iter().any(|wide| {
            let Some(told) = self.told_at(*wide, run.top) else { return false };
            if run.kind == Kind::New {
                return told.run.kind == Kind::New;
            }
            // Where it cannot be said by how much all rose, that half of them did is all that there is to tell.
            let rise = self.rise(*wide, run.top);
            rise.is_none_or(|rise| node.usual(run.top).score(node.count(run.top), rise.max(1.0)) < ENTER_SCORE)
        })
    }

    fn told_at(&self, sum: usize, bucket: usize) -> Option<&Told> {
        let told = &self.told[sum];
        let behind = told.partition_point(|told| told.run.begin <= bucket);
        told[..behind].last().filter(|told| told.run.holds(bucket))
    }

    fn rise(&mut self, sum: usize, bucket: usize) -> Option<f64> {
        *self.rises.entry((sum, bucket)).or_insert_with(|| self.nodes.rise(sum, bucket))
    }

    fn finding(&mut self, scope: Scope, node: &Node<'_>, run: &Run) {
        let usual = if run.kind == Kind::New { Usual::NEVER } else { node.usual(run.top) };
        let end = match run.goes_on || run.kind == Kind::NewLevel {
            true => None,
            false => Some(self.counts.begin_of(run.last + 1)),
        };
        let more = |bucket: usize| match run.kind {
            Kind::New => node.count(bucket),
            Kind::Peak | Kind::NewLevel if node.usual(bucket).is_known() => node.excess(bucket).max(0.0),
            Kind::Peak | Kind::NewLevel => 0.0,
        };
        self.findings.push(Finding {
            kind: run.kind,
            scope,
            begin: self.counts.begin_of(run.begin),
            top: self.counts.begin_of(run.top),
            end,
            observed: node.counts[run.top],
            expected: usual.expected().unwrap_or_default(),
            usual: usual.range(),
            score: usual.score(node.count(run.top), 1.0),
            excess: (run.begin..=run.last).map(more).sum(),
            is_visible_in_total: self.nodes.total().is_none_or(|total| total.node.run_at(run.top).is_some()),
            series: 1,
            members: Vec::new(),
        });
    }

    fn name_members(&mut self) {
        for (sum, told) in self.nodes.sums.iter().zip(&self.told) {
            for Told { run, finding } in told {
                let mut members: Vec<&Cell<'_>> = sum.cells.iter().map(|place| &self.nodes.cells[*place]).collect();
                members.retain(|cell| cell.node.run_at(run.top).is_some());
                members.sort_by(|one, other| other.node.excess(run.top).total_cmp(&one.node.excess(run.top)));
                let finding = &mut self.findings[*finding];
                finding.series = members.len();
                finding.members = members.iter().take(MEMBERS_MAX).map(|cell| cell.key.clone()).collect();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::Cadence;

    const DAYS: usize = 150;
    const PROTOCOLS: [&str; 5] = ["upnp", "telnet", "smb", "http", "ssh"];
    const APPLIANCES: [&str; 4] = ["camera", "recorder", "intercom", "nas"];

    fn at(day: usize) -> Timestamp {
        Timestamp::from_unix_seconds(day as i64 * 86_400)
    }

    /// Half of everything is telnet; `factor` says what happens to a protocol on an appliance on a day.
    fn table(factor: impl Fn(&str, &str, usize) -> u64) -> Counts {
        let mut counts = Counts::new(&["protocol", "appliance"], Cadence::Day, at(0), DAYS).unwrap();
        for day in 0..DAYS {
            for (place, protocol) in PROTOCOLS.iter().enumerate() {
                for appliance in APPLIANCES {
                    let noise = (day * 7919 + place * 31 + appliance.len() * 17) % 13;
                    let usual = if *protocol == "telnet" { 1000 } else { 50 } * (94 + noise as u64) / 100;
                    let key = vec![(*protocol).to_owned(), appliance.to_owned()];
                    counts.add(at(day), &key, usual * factor(protocol, appliance, day));
                }
            }
        }
        counts
    }

    fn shown(scope: &Scope) -> String {
        scope.0.iter().map(|value| value.as_deref().unwrap_or("*")).collect::<Vec<_>>().join(" ")
    }

    /// Findings as scope, day of the top, number of series, whether the total shows it.
    #[track_caller]
    fn check(factor: impl Fn(&str, &str, usize) -> u64, expected: &[(&str, i64, usize, bool)]) -> Vec<Finding> {
        let findings = find_peaks(&table(factor)).findings;
        let told = findings.iter().map(|found| {
            (shown(&found.scope), found.top.unix_seconds() / 86_400, found.series, found.is_visible_in_total)
        });
        let expected = expected.iter().map(|(scope, day, series, total)| ((*scope).to_owned(), *day, *series, *total));
        assert_eq!(told.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        findings
    }

    #[test]
    fn what_all_have_in_common_is_told_once() {
        check(|_, _, _| 1, &[]);
        let on = |wanted: bool, by: u64| if wanted { by } else { 1 };
        check(|_, _, day| on(day == 100, 4), &[("* *", 100, 20, true)]);
        check(|protocol, _, day| on(day == 100 && protocol == "upnp", 4), &[("upnp *", 100, 4, false)]);
        check(|protocol, _, day| on(day == 100 && protocol == "telnet", 4), &[("telnet *", 100, 4, true)]);
        check(|_, appliance, day| on(day == 100 && appliance == "nas", 4), &[("* nas", 100, 5, true)]);
        check(
            |protocol, appliance, day| on(day == 100 && protocol == "smb" && appliance == "nas", 4),
            &[("smb nas", 100, 1, false)],
        );
    }

    #[test]
    fn what_rises_more_than_all_is_told_as_well() {
        let findings = check(
            |protocol, _, day| match (day, protocol) {
                (100, "upnp") => 30,
                (100, _) => 3,
                _ => 1,
            },
            &[("* *", 100, 20, true), ("upnp *", 100, 4, true)],
        );
        assert_eq!(findings[0].members.len(), MEMBERS_MAX);
        assert_eq!(findings[0].members[0][0], "telnet", "most more than usual comes first");
        assert_eq!(findings[1].members[0][0], "upnp");
    }

    #[test]
    fn what_is_new_everywhere_is_told_once() {
        let from_100 = |protocol: &str, day: usize| u64::from(protocol != "ssh" || day >= 100);
        let findings = check(|protocol, _, day| from_100(protocol, day), &[("ssh *", 107, 4, false)]);
        assert_eq!((findings[0].kind, findings[0].end, findings[0].begin), (Kind::New, None, at(100)));
        let on_nas = |protocol: &str, appliance: &str, day: usize| {
            u64::from(protocol != "ssh" || appliance == "camera" || day >= 100 && appliance == "nas")
        };
        let findings = check(on_nas, &[("ssh nas", 107, 1, false)]);
        assert_eq!(findings[0].kind, Kind::New);
    }

    #[test]
    fn sentences() {
        let sentence = |protocol: &'static str, factor: fn(usize) -> u64| {
            let factor = |other: &str, _: &str, day: usize| if other == protocol { factor(day) } else { 1 };
            find_peaks(&table(factor)).findings.iter().map(Finding::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            sentence("upnp", |day| if day == 100 { 7 } else { 1 }),
            ["7.1 times the usual; usual is 155 to 254; the total does not show it"]
        );
        assert_eq!(
            sentence("telnet", |day| if day >= 100 { 3 } else { 1 }),
            ["3.1 times the usual; usual is 3278 to 4914; it has lasted so long that it is the usual now"]
        );
        assert_eq!(
            sentence("ssh", |day| u64::from(day > 120)),
            ["205 where there never was any; the total does not show it"]
        );
        assert_eq!(
            sentence("ssh", |day| u64::from(day < 20 || day == 120)),
            ["205 where next to none is usual; the total does not show it"]
        );
    }

    #[test]
    fn excess_adds_up_from_begin_to_end() {
        let mut counts = Counts::new(&["protocol"], Cadence::Day, at(0), DAYS).unwrap();
        for day in 0..DAYS {
            let count = match day {
                100 => 500,
                101 => 900,
                _ => 100,
            };
            counts.add(at(day), &vec!["upnp".to_owned()], count);
        }
        let peaks = find_peaks(&counts);
        let [found] = peaks.findings.as_slice() else { panic!("{peaks:?}") };
        assert_eq!((found.begin, found.top, found.end), (at(100), at(101), Some(at(102))));
        assert!((found.excess - 1200.0).abs() < 1.0 && found.is_visible_in_total, "{found:?}");
        assert_eq!((found.observed, found.times_usual().map(f64::round)), (900, Some(9.0)));
    }

    #[test]
    fn who_is_too_young_is_named() {
        let mut counts = Counts::new(&["protocol"], Cadence::Day, at(0), 20).unwrap();
        for day in 0..20 {
            counts.add(at(day), &vec!["upnp".to_owned()], if day == 15 { 1000 } else { 10 });
        }
        let peaks = find_peaks(&counts);
        assert_eq!((peaks.findings.len(), peaks.series_judged, peaks.counts_judged), (0, 0, 0));
        assert_eq!(peaks.unjudged[0].to_string(), "20 of 35 buckets that are needed to say what is usual");
        assert_eq!(find_peaks(&Counts::new(&["a"], Cadence::Hour, at(0), 0).unwrap()).findings, []);
    }

    /// Series of chance, with gaps, that begin and end anywhere: whatever is told holds together.
    #[test]
    fn whatever_is_counted_findings_hold_together() {
        let mut told = 0;
        for seed in 1..60_u64 {
            let mut state = seed;
            let mut below = |bound: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) % bound
            };
            let cadence = if seed % 4 == 0 { Cadence::Hour } else { Cadence::Day };
            let buckets = if seed % 4 == 0 { 1200 } else { 300 };
            let columns: &[&str] = if seed % 3 == 0 { &["a", "b", "c"] } else { &["a"] };
            let time = |bucket: u64| at(0).plus(cadence.width() * bucket as u32);
            let mut counts = Counts::new(columns, cadence, at(0), buckets as usize).unwrap();
            for _ in 0..2 + below(10) {
                let key: Key = columns.iter().map(|_| below(3).to_string()).collect();
                let size = below(40);
                let (begin, level, rare) = (below(buckets), 1 + below(1 << size), 1 + below(20));
                for bucket in begin..buckets {
                    let burst = if below(40) == 0 { 1 << (seed % 24) } else { 1 };
                    let count = if below(rare) == 0 { below(level) } else { 0 };
                    counts.add(time(bucket), &key, count.saturating_mul(burst));
                }
            }
            let (gap, length) = (below(buckets), below(400));
            (gap..gap + length).for_each(|bucket| counts.set_missing(time(bucket)));
            let peaks = find_peaks(&counts);
            let mut ends: BTreeMap<Scope, Timestamp> = BTreeMap::new();
            for found in &peaks.findings {
                assert!(found.begin <= found.top && found.end.is_none_or(|end| end > found.top), "{seed}: {found:?}");
                assert!(
                    found.excess >= 10.0 && found.score.is_finite() && !found.to_string().is_empty(),
                    "{seed}: {found:?}"
                );
                assert!(found.kind == Kind::New || found.score > 2.0, "{seed}: {found:?}");
                let end = ends.insert(found.scope.clone(), found.end.unwrap_or(found.top));
                assert!(end.is_none_or(|end| end <= found.begin), "{seed}: {found:?} overlaps the one before");
            }
            told += peaks.findings.len();
        }
        assert!(told > 100, "{told} findings say little");
    }

    #[test]
    fn findings_are_bounded() {
        let mut counts = Counts::new(&["source"], Cadence::Day, at(0), 60).unwrap();
        for day in 0..60 {
            counts.add(at(day), &vec!["everybody".to_owned()], 100_000);
        }
        for number in 0..FINDINGS_MAX + 10 {
            counts.add(at(20 + number % 30), &vec![number.to_string()], 20 + number as u64);
        }
        let peaks = find_peaks(&counts);
        assert!(peaks.findings.len() == FINDINGS_MAX && peaks.findings_left_out == 10, "{}", peaks.findings_left_out);
    }
}
