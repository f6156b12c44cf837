//! News for pages that show what is now: that attacks were counted, or that an alarm was raised or cleared.
//!
//! One task looks once a second whether there is news and tells all streams (`text/event-stream`, the HTML standard, "Server-sent
//! events"). A stream says only what kind of thing changed; the browser asks for the page again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use komainu_model::{OperatorName, Timestamp, ViolationEvent};
use komainu_ports::{LakeTable, Page, TokenDigest, ViolationEventQuery};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use crate::problem::Problem;
use crate::reply::Reply;
use crate::routes::Answered;
use crate::visit::{SignedIn, Visit};
use crate::{Console, ShownLake};

/// Streams in all: a quarter of the connections.
const STREAMS_MAX: usize = 128;

/// Streams of one session. A browser has six connections to a server; the others are for pages.
const STREAMS_PER_SESSION_MAX: usize = 3;

/// How often somebody looks whether there is news.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often a stream shows that it is there, and looks whether its session still is.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);

/// Messages of a stream that wait. Who has not taken so many is too slow.
const WAITING_MAX: usize = 4;

/// How long a message waits for its place; then the stream ends.
const SEND_WAIT_MAX: Duration = Duration::from_secs(10);

/// Events of violations that are looked at: as many as may come in one millisecond.
const LATEST_EVENTS: usize = 32;

/// Tells streams what is new.
pub(crate) struct Live {
    news: watch::Sender<News>,
    places: Arc<Semaphore>,
    of_sessions: Arc<Mutex<HashMap<TokenDigest, usize>>>,
}

/// How often something changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct News {
    attacks: u64,
    alarms: u64,
    /// Whether nothing will change any more.
    is_over: bool,
}

/// The places of a stream; they are free again when it is dropped.
struct Places {
    _place: OwnedSemaphorePermit,
    of_sessions: Arc<Mutex<HashMap<TokenDigest, usize>>>,
    session: TokenDigest,
}

impl Default for Live {
    fn default() -> Self {
        let (news, _) = watch::channel(News::default());
        Self { news, places: Arc::new(Semaphore::new(STREAMS_MAX)), of_sessions: Arc::default() }
    }
}

/// The stream of an operator.
pub(crate) fn show(visit: &Visit, who: &SignedIn) -> Answered {
    let runtime = Handle::try_current().map_err(|_| Problem::Busy)?;
    let live = &visit.console.live;
    let places = live.places_for(who.session.token).ok_or(Problem::Busy)?;
    let (messages, waiting) = mpsc::channel(WAITING_MAX);
    let stream = Stream {
        console: visit.console.clone(),
        operator: who.operator.name.clone(),
        news: live.news.subscribe(),
        messages,
        places,
    };
    runtime.spawn(stream.run());
    Ok(Reply::stream("text/event-stream", waiting))
}

/// Looks for news until nobody asks for it any more: one task for all streams.
pub(crate) async fn look(console: Arc<Console>) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known = Seen::default();
    loop {
        ticks.tick().await;
        let (looker, before) = (console.clone(), known.clone());
        let Ok(seen) = tokio::task::spawn_blocking(move || Seen::of(&looker, before)).await else { continue };
        console.live.news.send_if_modified(|news| {
            let (attacks, alarms) = (seen.attacks != known.attacks, seen.events != known.events);
            news.attacks += u64::from(attacks);
            news.alarms += u64::from(alarms);
            attacks || alarms
        });
        known = seen;
    }
}

/// What was there when somebody looked last.
#[derive(Debug, Clone, Default, PartialEq)]
struct Seen {
    attacks: u64,
    events: Vec<ViolationEvent>,
}

impl Seen {
    /// What is there now; what cannot be read is as it was. Pages say what is wrong.
    fn of(console: &Console, before: Self) -> Self {
        let lake = match console.lakes.shown() {
            ShownLake::Real(lake) | ShownLake::MadeUp(lake) => lake,
        };
        let attacks = lake.state().map(|tables| {
            tables.iter().filter(|state| state.table == LakeTable::Attacks).map(|state| state.rows).sum()
        });
        let query = ViolationEventQuery {
            from: Timestamp::from_unix_millis(0),
            to: Timestamp::from_unix_millis(i64::MAX),
            reporter: None,
            profile: None,
            criteria: None,
            include_suppressed: true,
            verification: None,
        };
        let page = Page { after: None, limit: LATEST_EVENTS };
        let events = console.history.violation_events(&console.scope, &query, &page);
        Self { attacks: attacks.unwrap_or(before.attacks), events: events.map_or(before.events, |page| page.items) }
    }
}

impl Live {
    /// Ends all streams.
    pub(crate) fn end(&self) {
        self.news.send_modify(|news| news.is_over = true);
    }

    fn places_for(&self, session: TokenDigest) -> Option<Places> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        let mut of_sessions = self.of_sessions.lock();
        let taken = of_sessions.entry(session).or_default();
        if *taken >= STREAMS_PER_SESSION_MAX {
            return None;
        }
        *taken += 1;
        Some(Places { _place: place, of_sessions: self.of_sessions.clone(), session })
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        let mut of_sessions = self.of_sessions.lock();
        if let Some(taken) = of_sessions.get_mut(&self.session) {
            *taken -= 1;
            if *taken == 0 {
                of_sessions.remove(&self.session);
            }
        }
    }
}

/// What is told to one browser.
struct Stream {
    console: Arc<Console>,
    operator: OperatorName,
    news: watch::Receiver<News>,
    messages: mpsc::Sender<Bytes>,
    places: Places,
}

impl Stream {
    async fn run(mut self) {
        let mut told = *self.news.borrow_and_update();
        let mut beat_at = Instant::now() + HEARTBEAT_EVERY;
        // A browser that was cut off comes again after so many milliseconds.
        if told.is_over || !self.send("retry: 5000\n\n".to_owned()).await {
            return;
        }
        loop {
            tokio::select! {
                biased;
                () = self.messages.closed() => return,
                changed = self.news.changed() => {
                    let news = *self.news.borrow_and_update();
                    if changed.is_err() || news.is_over {
                        return;
                    }
                    let mut text = String::new();
                    if news.attacks != told.attacks {
                        text.push_str("event: attacks\ndata: new\n\n");
                    }
                    if news.alarms != told.alarms {
                        text.push_str("event: alarms\ndata: new\n\n");
                    }
                    told = news;
                    if !self.send(text).await {
                        return;
                    }
                }
                () = tokio::time::sleep_until(beat_at) => {
                    beat_at = Instant::now() + HEARTBEAT_EVERY;
                    if !self.is_session_there().await || !self.send(":\n\n".to_owned()).await {
                        return;
                    }
                }
            }
        }
    }

    /// Whether a message found its place in time.
    async fn send(&self, text: String) -> bool {
        self.messages.send_timeout(text.into(), SEND_WAIT_MAX).await.is_ok()
    }

    /// Whether the session holds. A stream is no use of it: it ends like one that nobody uses.
    async fn is_session_there(&self) -> bool {
        let (console, operator, session) = (self.console.clone(), self.operator.clone(), self.places.session);
        let looked = tokio::task::spawn_blocking(move || {
            let sessions = console.store().sessions(&operator, console.clock.now())?;
            Ok::<_, komainu_ports::AccountsError>(sessions.iter().any(|known| known.token == session))
        });
        matches!(looked.await, Ok(Ok(true)))
    }
}

#[cfg(test)]
mod tests {
    use komainu_model::Role;
    use komainu_ports::{Lake, LakeBatchName, LakeRowsBuilder, LakeValue, MemoryLake};

    use super::*;
    use crate::request::tests::{NOW, console_with, stream_of};

    fn attack(lake: &MemoryLake, sequence: u64) {
        let mut rows = LakeRowsBuilder::new(LakeTable::Attacks);
        let word = LakeValue::text;
        rows.push(&[
            LakeValue::Time(NOW),
            word("192.0.2.1"),
            word("JP"),
            LakeValue::Number(64_500),
            word("tokyo"),
            word("camera"),
            word("c200"),
            word("telnet"),
            word("tcp"),
            LakeValue::Number(23),
            word("scan"),
            word(""),
        ]);
        let name = LakeBatchName { stream: "test".to_owned(), sequence };
        lake.append(&name, &[rows.finish()]).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn streams_say_what_is_new_until_the_session_ends() {
        let lake = Arc::new(MemoryLake::default());
        let console = console_with(lake.clone());
        let looking = tokio::spawn(look(console.clone()));
        let mut stream = stream_of(&console, Role::Viewer).unwrap();
        assert_eq!(stream.recv().await.unwrap(), "retry: 5000\n\n");
        tokio::time::sleep(LOOK_EVERY * 2).await;
        attack(&lake, 0);
        assert_eq!(stream.recv().await.unwrap(), "event: attacks\ndata: new\n\n");
        assert_eq!(stream.recv().await.unwrap(), ":\n\n");
        let name = OperatorName::parse("viewer").unwrap();
        let done = crate::By::COMMAND_LINE.did(komainu_ports::AuditAction::EndSessions, "", NOW);
        console.store().end_sessions(&name, &done).unwrap();
        assert_eq!(stream.recv().await, None);
        looking.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn streams_are_few_and_end_with_the_server() {
        let console = console_with(Arc::new(MemoryLake::default()));
        let mut streams: Vec<_> =
            (0..STREAMS_PER_SESSION_MAX).map(|_| stream_of(&console, Role::Viewer).unwrap()).collect();
        assert!(stream_of(&console, Role::Viewer).is_none());
        let mut other = stream_of(&console, Role::Admin).unwrap();
        assert_eq!(other.recv().await.unwrap(), "retry: 5000\n\n");
        // Whoever closes one may have another.
        streams.pop();
        tokio::time::sleep(LOOK_EVERY).await;
        assert!(stream_of(&console, Role::Viewer).is_some());
        console.live.end();
        assert_eq!(other.recv().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_dropped() {
        let lake = Arc::new(MemoryLake::default());
        let console = console_with(lake.clone());
        let looking = tokio::spawn(look(console.clone()));
        let mut stream = stream_of(&console, Role::Viewer).unwrap();
        for sequence in 0..10 {
            tokio::time::sleep(LOOK_EVERY * 2).await;
            attack(&lake, sequence);
        }
        tokio::time::sleep(SEND_WAIT_MAX).await;
        for _ in 0..WAITING_MAX {
            assert!(stream.recv().await.is_some());
        }
        assert_eq!(stream.recv().await, None);
        looking.abort();
    }
}
