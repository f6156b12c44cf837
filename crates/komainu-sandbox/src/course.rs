//! How a run goes: when memory is asked for, and when it is over. It decides, and does nothing.

use std::time::Duration;

use komainu_ports::DetonationEnd;

use crate::limits::{FINISH_TIME_MAX, START_TIME_MAX};

/// The course of one run. All times are since its begin.
#[derive(Debug)]
pub(crate) struct Course {
    runs_for_max: Duration,
    quiet_for_max: Option<Duration>,
    begun: Duration,
    started: Option<Duration>,
    /// When something new was seen last.
    news: Duration,
    wants_dump: bool,
    has_dumped: bool,
    wants_stop: bool,
    /// When the agent was told to stop, and why the run ended.
    stopped: Option<(Duration, DetonationEnd)>,
    is_finished: bool,
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The agent is to hand in the memory of the sample's processes.
    Dump,
    /// The agent is to end the sample and to hand in what is left.
    Stop,
    /// The machine is to leave.
    Leave,
    /// Nothing before so much time went by.
    Wait(Duration),
}

impl Course {
    /// The course of a run whose job is given at `now`.
    pub(crate) fn new(runs_for_max: Duration, quiet_for_max: Option<Duration>, now: Duration) -> Self {
        Self {
            runs_for_max,
            quiet_for_max,
            begun: now,
            started: None,
            news: now,
            wants_dump: false,
            has_dumped: false,
            wants_stop: false,
            stopped: None,
            is_finished: false,
        }
    }

    /// The sample was started.
    pub(crate) fn on_started(&mut self, now: Duration) {
        self.started.get_or_insert(now);
        self.news = now;
    }

    /// Something was seen that was not seen before.
    pub(crate) fn on_news(&mut self, now: Duration) {
        self.news = now;
    }

    /// It connected: what it keeps hidden is unlocked by now.
    pub(crate) fn on_connect(&mut self) {
        self.wants_dump = true;
    }

    /// The guest could not run it. Its agent finishes on its own.
    pub(crate) fn on_not_run(&mut self, now: Duration, reason: String) {
        self.stop(now, DetonationEnd::NotRun(reason));
    }

    /// A bound of the sandbox was reached.
    pub(crate) fn on_bound(&mut self, now: Duration, which: &str) {
        if self.stopped.is_none() {
            self.stop(now, DetonationEnd::Bound(which.to_owned()));
            self.wants_stop = true;
        }
    }

    /// The agent has handed in everything.
    pub(crate) fn on_finished(&mut self, now: Duration) {
        // Without being told it finishes when everything is gone.
        self.stop(now, DetonationEnd::Exited);
        self.is_finished = true;
    }

    /// The guest is gone, and whatever it had not handed in.
    pub(crate) fn on_guest_gone(&mut self, now: Duration) {
        self.stop(now, DetonationEnd::GuestGone);
        self.is_finished = true;
    }

    /// What is to be done.
    pub(crate) fn next(&mut self, now: Duration) -> Step {
        if self.is_finished {
            return Step::Leave;
        }
        if self.wants_stop {
            self.wants_stop = false;
            return Step::Stop;
        }
        if let Some((stopped, _)) = self.stopped {
            return wait_until(stopped + FINISH_TIME_MAX, now).map_or(Step::Leave, Step::Wait);
        }
        let Some(started) = self.started else {
            return wait_until(self.begun + START_TIME_MAX, now).map_or_else(
                || {
                    self.on_guest_gone(now);
                    Step::Leave
                },
                Step::Wait,
            );
        };
        if self.wants_dump && !self.has_dumped {
            self.has_dumped = true;
            return Step::Dump;
        }
        let Some(until_over) = wait_until(started + self.runs_for_max, now) else {
            self.stop(now, DetonationEnd::TimeOver);
            return Step::Stop;
        };
        let Some(quiet_for_max) = self.quiet_for_max else { return Step::Wait(until_over) };
        let Some(until_quiet) = wait_until(self.news + quiet_for_max, now) else {
            self.stop(now, DetonationEnd::Quiet);
            return Step::Stop;
        };
        Step::Wait(until_over.min(until_quiet))
    }

    /// When the sample was started, if it was.
    pub(crate) fn started(&self) -> Option<Duration> {
        self.started
    }

    /// Why it ended, and how long the sample ran.
    pub(crate) fn end(self, now: Duration) -> (DetonationEnd, Duration) {
        let (stopped, end) = self.stopped.unwrap_or((now, DetonationEnd::GuestGone));
        (end, self.started.map_or(Duration::ZERO, |started| stopped.saturating_sub(started)))
    }

    /// The first reason counts.
    fn stop(&mut self, now: Duration, end: DetonationEnd) {
        self.stopped.get_or_insert((now, end));
    }
}

/// How long until then; none if it is then, or later.
fn wait_until(then: Duration, now: Duration) -> Option<Duration> {
    then.checked_sub(now).filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[derive(Clone, Copy)]
    enum Seen {
        Started,
        News,
        Connect,
        Finished,
        GuestGone,
        NotRun,
        Bound,
    }

    /// What is done at which second in a run of at most 60 s that may be quiet for 10 s, and how it ends.
    fn check(seen: &[(u64, Seen)], done: &[(u64, Step)], end: DetonationEnd, ran_for: u64) {
        let mut course = Course::new(s(60), Some(s(10)), s(0));
        let mut did = Vec::new();
        for second in 0..600 {
            for (_, what) in seen.iter().filter(|(at, _)| *at == second) {
                match what {
                    Seen::Started => course.on_started(s(second)),
                    Seen::News => course.on_news(s(second)),
                    Seen::Connect => course.on_connect(),
                    Seen::Finished => course.on_finished(s(second)),
                    Seen::GuestGone => course.on_guest_gone(s(second)),
                    Seen::NotRun => course.on_not_run(s(second), "no".into()),
                    Seen::Bound => course.on_bound(s(second), "bytes"),
                }
            }
            loop {
                match course.next(s(second)) {
                    Step::Wait(time) => {
                        assert!(!time.is_zero());
                        break;
                    }
                    Step::Leave => {
                        did.push((second, Step::Leave));
                        assert_eq!(did, done);
                        assert_eq!(course.end(s(second)), (end, s(ran_for)));
                        return;
                    }
                    step @ (Step::Dump | Step::Stop) => did.push((second, step)),
                }
            }
        }
        panic!("it goes on for ever: {course:?}");
    }

    #[test]
    fn a_run_ends_in_time_whatever_happens() {
        use Seen::*;
        use Step::{Dump, Leave, Stop};
        check(&[(1, Started), (3, Finished)], &[(3, Leave)], DetonationEnd::Exited, 2);
        check(&[(1, Started), (13, Finished)], &[(11, Stop), (13, Leave)], DetonationEnd::Quiet, 10);
        check(&[(1, Started), (5, News), (16, Finished)], &[(15, Stop), (16, Leave)], DetonationEnd::Quiet, 14);
        check(
            &[(1, Started), (2, Connect), (4, Connect)],
            &[(2, Dump), (11, Stop), (31, Leave)],
            DetonationEnd::Quiet,
            10,
        );
        let busy: Vec<_> = (1..100).map(|at| (at, if at == 1 { Started } else { News })).collect();
        check(&busy, &[(61, Stop), (81, Leave)], DetonationEnd::TimeOver, 60);
        check(&[(1, Started), (2, GuestGone)], &[(2, Leave)], DetonationEnd::GuestGone, 1);
        check(&[], &[(30, Leave)], DetonationEnd::GuestGone, 0);
        check(&[(1, NotRun), (2, Finished)], &[(2, Leave)], DetonationEnd::NotRun("no".into()), 0);
        check(&[(1, Started), (9, Bound), (9, GuestGone)], &[(9, Leave)], DetonationEnd::Bound("bytes".into()), 8);
        check(&[(1, Started), (9, Bound)], &[(9, Stop), (29, Leave)], DetonationEnd::Bound("bytes".into()), 8);
    }

    #[test]
    fn who_does_not_ask_for_quiet_waits_for_the_time() {
        let mut course = Course::new(s(60), None, s(0));
        course.on_started(s(1));
        assert_eq!(course.next(s(2)), Step::Wait(s(59)));
        assert_eq!(course.next(s(61)), Step::Stop);
    }
}
