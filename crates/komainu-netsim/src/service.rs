//! Who answers on a connection: one service for each protocol, and the one that waits to see which it is.

mod data;
mod ftp;
mod http;
mod irc;
mod lines;
mod mail;
mod small;
mod ssh;
mod telnet;
mod undecided;

use std::net::SocketAddr;
use std::time::Duration;

use komainu_trace::RawText;
use komainu_trace::network::{FlowNumber, NetworkAct};

pub(crate) use self::undecided::first;
use crate::limits::{LINE_BYTES_MAX, LINES_TOLD_MAX, PENDING_BYTES_MAX, PENDING_IN_ALL_BYTES_MAX};
use crate::world::World;

/// Answers on one connection.
pub(crate) trait Service: std::fmt::Debug {
    /// What it speaks.
    fn name(&self) -> &'static str;

    /// The connection is there; nobody said anything.
    fn opened(&mut self, call: &mut Call<'_>) {
        let _ = call;
    }

    /// The guest said something.
    fn data(&mut self, bytes: &[u8], call: &mut Call<'_>) -> Next;

    /// The time that was asked for has come.
    fn woken(&mut self, call: &mut Call<'_>) -> Next {
        let _ = call;
        Next::Stay
    }

    /// The guest says no more, or the connection is gone: nothing is called after this.
    fn finished(&mut self, call: &mut Call<'_>) {
        let _ = call;
    }
}

/// Who answers from here on.
#[derive(Debug)]
pub(crate) enum Next {
    /// The same.
    Stay,
    /// Another one, who gets these bytes first, if there are any.
    Become(Box<dyn Service>, Vec<u8>),
    /// TLS begins with these bytes; inside, it begins anew.
    Tls(Vec<u8>),
}

/// Whom a connection is with.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) flow: FlowNumber,
    /// Whom the guest believes to speak with.
    pub(crate) to: SocketAddr,
    /// The name that was given that address, or that TLS or a proxy was asked for.
    pub(crate) name: Option<RawText>,
    pub(crate) inside_tls: bool,
    /// Lines that were told.
    pub(crate) lines_told: u32,
}

/// What a service can do while it is asked.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) world: &'a mut World,
    pub(crate) peer: &'a mut Peer,
    pub(crate) out: &'a mut Vec<u8>,
    pub(crate) is_closing: &'a mut bool,
    pub(crate) wake_at: &'a mut Option<Duration>,
}

impl Call<'_> {
    /// Answers. A guest that asks without reading gets no more, and its connection is closed.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        // Twice the bound from which on the guest is not read: one answer may be as long as it.
        let is_too_much = self.out.len() + bytes.len() > 2 * PENDING_BYTES_MAX;
        if is_too_much || self.world.pending_bytes + bytes.len() > PENDING_IN_ALL_BYTES_MAX {
            self.world.record.lost("answers");
            self.close();
            return;
        }
        self.out.extend(bytes);
    }

    /// Ends the connection once all is sent.
    pub(crate) fn close(&mut self) {
        *self.is_closing = true;
    }

    /// Asks to be woken; the last time counts.
    pub(crate) fn wake_after(&mut self, time: Duration) {
        *self.wake_at = Some(self.world.now + time);
    }

    /// Tells what the guest did.
    pub(crate) fn event(&mut self, act: NetworkAct) {
        self.world.event(act);
    }

    /// Tells of a line that the guest gave.
    pub(crate) fn command(&mut self, service: &str, line: &[u8]) {
        if self.peer.lines_told >= LINES_TOLD_MAX {
            self.world.record.lost("lines");
            return;
        }
        self.peer.lines_told += 1;
        let line = line[..line.len().min(LINE_BYTES_MAX)].into();
        self.event(NetworkAct::Command { flow: self.peer.flow, service: service.to_owned(), line });
    }

    /// Whether a name and a password are let in; tells of the try.
    pub(crate) fn login(&mut self, service: &str, user: &[u8], password: &[u8]) -> bool {
        let cut = |text: &'_ [u8]| text[..text.len().min(LINE_BYTES_MAX)].to_vec();
        let (user, password) = (cut(user), cut(password));
        self.world.login(self.peer.flow, service, self.peer.to, (&user, &password))
    }

    /// The name of the server, as the guest knows it or as providers make them up.
    pub(crate) fn host_name(&self) -> String {
        match &self.peer.name {
            Some(name) => String::from_utf8_lossy(&name.0).into_owned(),
            None => self.world.host_name(self.peer.to.ip()),
        }
    }
}
