//! How much of what happened is found, and how much is found that did not happen.

use komainu_statistics::{Finding, find_peaks};

use crate::peers::{mean_and_deviations, median_and_deviations};
use crate::world::{CALM, DAYS, EVENT_MIN, Line, Noise, ROUGH, WILD, World, day_of};

const SEEDS: u64 = 20;
/// Bursts from this on are looked for, times the usual.
const BURST_MIN: f64 = 3.0;
/// Before this day nobody can judge.
const LEARNT_DAY: usize = 60;
/// An event of less than so many more than usual is too small to be told of.
const SMALL_EXCESS: f64 = 20.0;

/// What one way of looking found.
#[derive(Debug, Default)]
struct Score {
    /// By the usual count of a day: below 10, below 100, more.
    bursts: [u32; 3],
    bursts_found: [u32; 3],
    findings: u32,
    findings_false: u32,
    series_days: u32,
}

impl Score {
    /// Compares the runs of days that were found in a series with what happened to it.
    fn add(&mut self, world: &World, line: &Line, found: &[(usize, usize)]) {
        self.series_days += DAYS as u32;
        self.findings += found.len() as u32;
        let happened = |days: &(usize, usize)| (days.0..=days.1).any(|day| line.factor[day] >= EVENT_MIN);
        self.findings_false += found.iter().filter(|days| !happened(days)).count() as u32;
        let is_burst = |day: usize| line.factor[day] >= BURST_MIN && !world.missing.contains(&day);
        let mut day = LEARNT_DAY;
        while day < DAYS {
            let length = (day..DAYS).take_while(|day| is_burst(*day)).count();
            // What is new has to be learnt first.
            let is_learnt = line.usual[day - LEARNT_DAY] > 0.0;
            if length > 0 && is_learnt {
                let is_found = found.iter().any(|(begin, end)| *begin < day + length && *end >= day);
                let class = if line.usual[day] < 10.0 { 0 } else { usize::from(line.usual[day] >= 100.0) + 1 };
                self.bursts[class] += 1;
                self.bursts_found[class] += u32::from(is_found);
            }
            day += length.max(1);
        }
    }

    fn recall(&self, class: usize) -> f64 {
        f64::from(self.bursts_found[class]) / f64::from(self.bursts[class])
    }

    fn precision(&self) -> f64 {
        1.0 - f64::from(self.findings_false) / f64::from(self.findings)
    }

    fn false_per_thousand(&self) -> f64 {
        1000.0 * f64::from(self.findings_false) / f64::from(self.series_days)
    }

    fn print(&self, name: &str) {
        println!(
            "| {name} | {:.3} | {:.3} | {:.3} | {:.3} | {:.3} |",
            self.recall(2),
            self.recall(1),
            self.recall(0),
            self.precision(),
            self.false_per_thousand()
        );
    }
}

#[test]
fn bursts_are_found_in_single_series() {
    let mut ours = Score::default();
    // As they are usually written, and with bounds so high that they find hardly more that is false than we do.
    let mut means = [(3.0, Score::default()), (6.0, Score::default())];
    let mut medians = [(5.0, Score::default()), (11.0, Score::default())];
    for seed in 0..SEEDS {
        let world = World::new(seed, CALM);
        let is_missing = |day: usize| world.missing.contains(&day);
        for line in &world.lines {
            let found = find_peaks(&world.table_of(line)).findings;
            let days = |finding: &Finding| (day_of(finding.begin), last_day(finding));
            ours.add(&world, line, &found.iter().map(days).collect::<Vec<_>>());
            for (deviations, score) in &mut means {
                score.add(&world, line, &mean_and_deviations(&line.counts, &is_missing, *deviations));
            }
            for (deviations, score) in &mut medians {
                score.add(&world, line, &median_and_deviations(&line.counts, &is_missing, *deviations));
            }
        }
    }
    println!("| way | usual >= 100 a day | 10 to 100 | < 10 | precision | false findings per 1,000 series-days |");
    println!("|---|---|---|---|---|---|");
    ours.print("Komainu");
    for (deviations, score) in &means {
        score.print(&format!("mean + {deviations} standard deviations"));
    }
    for (deviations, score) in &medians {
        score.print(&format!("median + {deviations} deviations, no season"));
    }
    assert!(ours.recall(2) >= 0.95, "{ours:?}");
    assert!(ours.false_per_thousand() <= 0.1, "{ours:?}");
    for (_, usual) in [&means[0], &medians[0]] {
        assert!(ours.recall(2) > usual.recall(2) - 0.01, "{ours:?} {usual:?}");
        assert!(ours.false_per_thousand() * 10.0 < usual.false_per_thousand(), "{ours:?} {usual:?}");
    }
    for (_, strict) in [&means[1], &medians[1]] {
        assert!((1..3).all(|class| ours.recall(class) > strict.recall(class)), "{ours:?} {strict:?}");
    }
}

/// The last day of a finding; of one that goes on, that of its top.
fn last_day(finding: &Finding) -> usize {
    finding.end.map_or(day_of(finding.top), |end| day_of(end) - 1)
}

/// Whether a series is part of what a finding is about.
fn concerns(finding: &Finding, line: &Line) -> bool {
    let is_wanted = |(value, wanted): (&String, &Option<String>)| wanted.as_ref().is_none_or(|wanted| wanted == value);
    line.key.iter().zip(&finding.scope.0).all(is_wanted)
}

/// How events are told of when all series are in one table.
#[derive(Debug, Default)]
struct Told {
    events: u32,
    found: u32,
    /// Found, and told of the protocol by name.
    named: u32,
    /// Days on which everything else was twice the usual or more, too.
    wide: u32,
    /// Found, and told of everything.
    wide_found: u32,
    findings: u32,
    findings_false: u32,
    /// What single series alone would have told.
    findings_single: u32,
}

#[test]
fn what_happens_in_many_series_is_told_once() {
    let told = tell(CALM);
    println!("{told:?}");
    assert!(f64::from(told.found) >= 0.95 * f64::from(told.events), "{told:?}");
    assert!(f64::from(told.wide_found) >= 0.95 * f64::from(told.wide), "{told:?}");
    assert!(f64::from(told.findings_false) <= 0.08 * f64::from(told.findings), "{told:?}");
    assert!(told.findings * 5 <= told.findings_single, "{told:?}");
}

/// Where counts are less regular than they should be, most events are told all the same.
#[test]
fn rough_worlds_hide_little() {
    for (noise, false_share_max) in [(ROUGH, 0.15), (WILD, 0.65)] {
        let told = tell(noise);
        println!("{noise:?} {told:?}");
        assert!(f64::from(told.found) >= 0.9 * f64::from(told.events), "{told:?}");
        assert!(f64::from(told.findings_false) <= false_share_max * f64::from(told.findings), "{told:?}");
    }
}

/// Looks through all worlds with a noise.
fn tell(noise: Noise) -> Told {
    let mut told = Told::default();
    for seed in 0..SEEDS {
        let world = World::new(seed, noise);
        let peaks = find_peaks(&world.table());
        assert_eq!(peaks.findings_left_out, 0);
        told.findings += peaks.findings.len() as u32;
        told.findings_single +=
            world.lines.iter().map(|line| find_peaks(&world.table_of(line)).findings.len() as u32).sum::<u32>();
        let holds = |finding: &Finding, day: usize| (day_of(finding.begin)..=last_day(finding)).contains(&day);
        for finding in &peaks.findings {
            let concerned: Vec<&Line> = world.lines.iter().filter(|line| concerns(finding, line)).collect();
            let sum = |count: &dyn Fn(&Line) -> f64| concerned.iter().map(|line| count(line)).sum::<f64>();
            let happened = |day: usize| {
                let usual = sum(&|line| line.usual[day]);
                sum(&|line| line.usual[day] * line.factor[day]) >= EVENT_MIN * usual
            };
            let is_true = (day_of(finding.begin)..=last_day(finding)).any(happened);
            told.findings_false += u32::from(!is_true);
        }
        for event in &world.events {
            let days = event.begin..event.begin + event.days;
            let is_seen = days.clone().any(|day| !world.missing.contains(&day));
            let of_event = |line: &&Line| {
                line.key[0] == event.protocol
                    && event.appliance.as_ref().is_none_or(|appliance| *appliance == line.key[1])
            };
            let excess: f64 =
                world.lines.iter().filter(of_event).map(|line| line.usual[event.begin] * (event.factor - 1.0)).sum();
            if event.begin < LEARNT_DAY || event.factor < BURST_MIN || !is_seen || excess < SMALL_EXCESS {
                continue;
            }
            let found = |finding: &&Finding| days.clone().any(|day| holds(finding, day));
            let names = |finding: &Finding| {
                let is_elsewhere =
                    |named: &String| event.appliance.as_ref().is_some_and(|appliance| appliance != named);
                let [protocol, appliance] = finding.scope.0.as_slice() else { return false };
                protocol.as_ref() == Some(&event.protocol) && !appliance.as_ref().is_some_and(is_elsewhere)
            };
            told.events += 1;
            told.found += u32::from(
                peaks
                    .findings
                    .iter()
                    .any(|finding| found(&finding) && (names(finding) || finding.scope.is_everything())),
            );
            told.named += u32::from(peaks.findings.iter().filter(found).any(names));
            if event.factor_of_others >= 2.0 {
                told.wide += 1;
                told.wide_found +=
                    u32::from(peaks.findings.iter().filter(found).any(|finding| finding.scope.is_everything()));
            }
        }
    }
    told
}

#[test]
fn the_same_counts_give_the_same_findings() {
    let world = World::new(3, CALM);
    assert_eq!(find_peaks(&world.table()), find_peaks(&world.table()));
    assert_ne!(find_peaks(&world.table()), find_peaks(&World::new(4, CALM).table()));
}
