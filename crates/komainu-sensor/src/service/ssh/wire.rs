//! A connection as russh sees it: a stream whose bytes are recorded, and whoever answers what russh asks.
//!
//! russh works in a task of its own. Two tasks that hand each other every packet, one that has the connection and one
//! that has russh, spend a sixth of a session's processor time on changing from one to the other; so russh's task has
//! both, and the other one only waits until the connection has to end.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::visit::{Answer, Asked, Visit};
use crate::link::{Link, WRITE_TIMEOUT};
use crate::session::Ending;

/// A connection, and what is done behind its encryption. Clones are the same one.
#[derive(Clone)]
pub(super) struct Wire(Arc<Shared>);

struct Shared {
    /// None once the connection has ended.
    inside: Mutex<Option<Inside>>,
    /// Told when it ends.
    over: Notify,
}

struct Inside {
    link: Box<Link>,
    visit: Visit,
    /// What the client said and russh has not read, and how much of it russh has.
    heard: Vec<u8>,
    read: usize,
    /// When something was said the last time, by either side.
    active_at: Instant,
    /// Until when what is to be said waits: until it may be said, or until the client has taken nothing for too long.
    pause: Option<Pin<Box<Sleep>>>,
    patience: Option<Pin<Box<Sleep>>>,
    /// Why the connection has to end.
    ending: Option<Ending>,
    /// Who waits for the client.
    waiting: Option<Waker>,
}

impl Wire {
    pub(super) fn new(link: Box<Link>, visit: Visit) -> Self {
        let inside = Inside {
            link,
            visit,
            heard: Vec::new(),
            read: 0,
            active_at: Instant::now(),
            pause: None,
            patience: None,
            ending: None,
            waiting: None,
        };
        Self(Arc::new(Shared { inside: Mutex::new(Some(inside)), over: Notify::new() }))
    }

    /// Answers a question of russh's; none when the connection has ended.
    pub(super) fn ask(&self, asked: Asked) -> Option<Answer> {
        let mut inside = self.0.inside.lock();
        let Inside { link, visit, .. } = inside.as_mut()?;
        let mut records = Vec::new();
        let answer = visit.ask(asked, link.age(), &mut records);
        for record in records {
            record.write(link);
        }
        Some(answer)
    }

    /// Lets time pass; false when the connection ends meanwhile.
    pub(super) async fn pause(&self, delay: Duration) -> bool {
        tokio::select! {
            () = sleep(delay) => true,
            () = self.0.over.notified() => false,
        }
    }

    /// When it has to be looked whether the connection is [overdue](Self::overdue).
    pub(super) fn deadline(&self) -> Instant {
        self.0.inside.lock().as_ref().map_or_else(Instant::now, Inside::deadline)
    }

    /// Why the connection has to end now, if it has to.
    pub(super) fn overdue(&self) -> Option<Ending> {
        let (inside, now) = (self.0.inside.lock(), Instant::now());
        let inside = inside.as_ref()?;
        match now >= inside.deadline() {
            true if now >= inside.link.last_moment() => Some(Ending::Bound),
            true => Some(Ending::Idle),
            false => None,
        }
    }

    /// Why the connection is over, now that russh has said its last.
    pub(super) fn ending(&self) -> Ending {
        self.0.inside.lock().as_ref().and_then(|inside| inside.ending).unwrap_or(Ending::Closed)
    }

    /// Ends the connection and its record. What russh still does meets nobody.
    pub(super) fn end(&self, ending: Ending) {
        let Some(Inside { mut link, mut visit, waiting, .. }) = self.0.inside.lock().take() else { return };
        for record in visit.close() {
            record.write(&mut link);
        }
        link.end(ending);
        self.0.over.notify_one();
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }

    fn poll<T>(
        &self,
        context: &mut Context<'_>,
        act: impl FnOnce(&mut Inside, &mut Context<'_>) -> Poll<Result<T, Ending>>,
    ) -> Poll<io::Result<T>> {
        let mut inside = self.0.inside.lock();
        let over = || io::Error::from(io::ErrorKind::ConnectionAborted);
        let Some(inside) = inside.as_mut().filter(|inside| inside.ending.is_none()) else {
            return Poll::Ready(Err(over()));
        };
        match act(inside, context) {
            Poll::Ready(Ok(done)) => Poll::Ready(Ok(done)),
            Poll::Ready(Err(ending)) => {
                inside.ending = Some(ending);
                Poll::Ready(Err(over()))
            }
            Poll::Pending => {
                inside.wait(context);
                Poll::Pending
            }
        }
    }
}

impl Inside {
    fn deadline(&self) -> Instant {
        (self.active_at + self.link.idle_max()).min(self.link.last_moment())
    }

    /// Keeps whom to wake: a connection that is taken away wakes nobody who waits for it.
    fn wait(&mut self, context: &Context<'_>) {
        match &mut self.waiting {
            Some(waiting) => waiting.clone_from(context.waker()),
            waiting @ None => *waiting = Some(context.waker().clone()),
        }
    }

    fn read(&mut self, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<Result<(), Ending>> {
        if self.read == self.heard.len() {
            self.heard = ready!(self.link.poll_read(context))?;
            self.read = 0;
            self.active_at = Instant::now();
        }
        let rest = &self.heard[self.read..];
        let bytes = rest.len().min(into.remaining());
        into.put_slice(&rest[..bytes]);
        self.read += bytes;
        if self.read == self.heard.len() {
            (self.heard, self.read) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }

    fn write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Ending>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        let Poll::Ready(written) = self.link.poll_write(context, bytes) else {
            let patience = self.patience.get_or_insert_with(|| Box::pin(sleep(WRITE_TIMEOUT)));
            ready!(patience.as_mut().poll(context));
            return Poll::Ready(Err(Ending::Idle));
        };
        self.patience = None;
        let written = written?;
        let now = Instant::now();
        self.active_at = now;
        let may_speak_at = self.link.may_speak_at();
        if may_speak_at > now {
            self.pause = Some(Box::pin(sleep_until(may_speak_at)));
        }
        Poll::Ready(Ok(written))
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll(context, |inside, context| inside.read(context, into))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll(context, |inside, context| inside.write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// russh has said its last: the connection is closed at once, as a device closes it.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(context, |_, _| Poll::Ready(Err(Ending::Closed)))
    }
}
