//! One connection above TCP: who answers, TLS around it, and what is told of both sides' bytes.

use std::time::Duration;

use komainu_trace::network::NetworkAct;

use crate::limits::{
    ANSWERED_HEAD_BYTES, PENDING_BYTES_MAX, PIECE_GAP, PIECES_TOLD_MAX, PROTOCOLS_DEEP_MAX, SENT_HEAD_BYTES,
    TLS_CONNECTIONS_MAX,
};
use crate::service::{Call, Next, Peer, Service, first};
use crate::tls::Layer;
use crate::world::World;

/// A connection above TCP.
#[derive(Debug)]
pub(crate) struct Conversation {
    pub(crate) peer: Peer,
    service: Option<Box<dyn Service>>,
    layer: Option<Layer>,
    /// What is to be sent.
    out: Vec<u8>,
    /// How much of it the world counts.
    out_counted: usize,
    is_closing: bool,
    is_finished: bool,
    wake_at: Option<Duration>,
    told: Told,
    deep: u32,
}

/// What is told of the bytes. Inside of TLS it is what is said inside.
#[derive(Debug, Default)]
struct Told {
    sent_bytes: u64,
    answered_bytes: u64,
    pieces: [u32; 2],
    /// A piece of the guest that is not told yet: its begin, when it began, when it was last added to.
    piece: Option<(Vec<u8>, Duration, Duration)>,
}

impl Conversation {
    /// Nobody said anything yet.
    pub(crate) fn new(peer: Peer) -> Self {
        Self {
            peer,
            service: None,
            layer: None,
            out: Vec::new(),
            out_counted: 0,
            is_closing: false,
            is_finished: false,
            wake_at: None,
            told: Told::default(),
            deep: 0,
        }
    }

    /// The connection is there.
    pub(crate) fn opened(&mut self, world: &mut World) {
        let service = {
            let mut unused = Vec::new();
            first(&self.call(world, &mut unused))
        };
        self.begin(service, world);
        self.settle(world);
    }

    /// The guest said something.
    pub(crate) fn data(&mut self, bytes: &[u8], world: &mut World) {
        let inside = match self.layer.take() {
            None => bytes.to_vec(),
            Some(mut layer) => {
                let inside = self.with_wire(world, |call| layer.take(bytes, call));
                self.layer = Some(layer);
                inside
            }
        };
        self.inside(inside, world);
        self.settle(world);
    }

    /// The time that it asked for has come.
    pub(crate) fn woken(&mut self, world: &mut World) {
        self.told.tell_old(world, &self.peer);
        if self.wake_at.is_some_and(|at| at <= world.now) {
            self.wake_at = None;
            let next = self.ask(world, |service, call| service.woken(call));
            self.follow(next, world);
        }
        self.settle(world);
    }

    /// The guest says no more, or is gone.
    pub(crate) fn finished(&mut self, world: &mut World) {
        if !std::mem::replace(&mut self.is_finished, true) {
            self.ask(world, |service, call| {
                service.finished(call);
                Next::Stay
            });
            if let Some(mut layer) = self.layer.take() {
                self.with_wire(world, |call| layer.end(call));
                world.tls_connections = world.tls_connections.saturating_sub(1);
            }
            self.told.tell_piece(world, &self.peer);
        }
        self.is_closing = true;
        self.settle(world);
    }

    /// It is over, whatever waits to be sent.
    pub(crate) fn end(&mut self, world: &mut World) {
        self.finished(world);
        self.out.clear();
        self.settle(world);
    }

    /// When it wants to be woken.
    pub(crate) fn next_at(&self) -> Option<Duration> {
        let piece_at = self.told.piece.as_ref().map(|(_, _, last)| *last + PIECE_GAP);
        self.wake_at.into_iter().chain(piece_at).min()
    }

    /// Whether the guest is to be read: not while it does not take what it was answered.
    pub(crate) fn is_listening(&self) -> bool {
        self.out.len() < PENDING_BYTES_MAX
    }

    /// Whether the connection is to be ended.
    pub(crate) fn is_over(&self) -> bool {
        self.is_closing && self.out.is_empty()
    }

    /// Whether what the guest says is of no interest any more.
    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing
    }

    /// Hands what is to be sent to `send`, which says how much of it it took.
    pub(crate) fn send(&mut self, world: &mut World, send: impl FnOnce(&[u8]) -> usize) {
        let taken = send(&self.out).min(self.out.len());
        self.out.drain(..taken);
        if self.out.is_empty() {
            // Of thousands of connections most wait: they keep no room for what they do not say.
            self.out = Vec::new();
        }
        self.settle(world);
    }

    fn settle(&mut self, world: &mut World) {
        world.pending_bytes = world.pending_bytes.saturating_sub(self.out_counted) + self.out.len();
        self.out_counted = self.out.len();
    }

    fn call<'a>(&'a mut self, world: &'a mut World, out: &'a mut Vec<u8>) -> Call<'a> {
        let Self { peer, is_closing, wake_at, .. } = self;
        Call { world, peer, out, is_closing, wake_at }
    }

    /// Does something whose answer goes to the guest as it is.
    fn with_wire<R>(&mut self, world: &mut World, act: impl FnOnce(&mut Call<'_>) -> R) -> R {
        let mut out = std::mem::take(&mut self.out);
        let result = act(&mut self.call(world, &mut out));
        self.out = out;
        result
    }

    /// Asks the service, and says what it answers.
    fn ask(&mut self, world: &mut World, act: impl FnOnce(&mut dyn Service, &mut Call<'_>) -> Next) -> Next {
        let Some(mut service) = self.service.take() else { return Next::Stay };
        let mut answer = Vec::new();
        let next = act(service.as_mut(), &mut self.call(world, &mut answer));
        if !answer.is_empty() {
            self.told.answered(&answer, service.name(), world, &self.peer);
        }
        self.service = Some(service);
        match self.layer.take() {
            None => self.out.extend(answer),
            Some(mut layer) => {
                self.with_wire(world, |call| layer.say(&answer, call));
                self.layer = Some(layer);
            }
        }
        next
    }

    fn begin(&mut self, service: Box<dyn Service>, world: &mut World) {
        self.service = Some(service);
        self.wake_at = None;
        self.ask(world, |service, call| {
            service.opened(call);
            Next::Stay
        });
    }

    fn inside(&mut self, bytes: Vec<u8>, world: &mut World) {
        self.told.sent(&bytes, world, &self.peer);
        self.hear(bytes, world);
    }

    fn hear(&mut self, bytes: Vec<u8>, world: &mut World) {
        if bytes.is_empty() || self.is_closing {
            return;
        }
        let next = self.ask(world, |service, call| service.data(&bytes, call));
        self.follow(next, world);
    }

    fn follow(&mut self, next: Next, world: &mut World) {
        if !matches!(next, Next::Stay) {
            self.deep += 1;
            if self.deep > PROTOCOLS_DEEP_MAX {
                world.record.lost("protocols inside of protocols");
                self.is_closing = true;
                return;
            }
        }
        match next {
            Next::Stay => {}
            Next::Become(service, bytes) => {
                self.begin(service, world);
                self.hear(bytes, world);
            }
            Next::Tls(bytes) => {
                if self.layer.is_some() || world.tls_connections >= TLS_CONNECTIONS_MAX {
                    world.record.lost("connections inside of TLS");
                    self.is_closing = true;
                    return;
                }
                world.tls_connections += 1;
                // What was told of these bytes is the handshake; from here on it is what is inside.
                self.told.piece = None;
                self.told.sent_bytes = 0;
                let mut layer = Layer::new();
                let inside = self.with_wire(world, |call| layer.take(&bytes, call));
                if let Some(name) = layer.server_name() {
                    self.peer.name = Some(name.clone());
                }
                self.peer.inside_tls = true;
                self.layer = Some(layer);
                let service = {
                    let mut unused = Vec::new();
                    first(&self.call(world, &mut unused))
                };
                self.begin(service, world);
                self.inside(inside, world);
            }
        }
    }

    /// Begins with a service, whatever the port is.
    #[cfg(test)]
    pub(crate) fn begin_with(&mut self, service: Box<dyn Service>, world: &mut World) {
        self.begin(service, world);
        self.settle(world);
    }

    /// When the service wants to be woken.
    #[cfg(test)]
    pub(crate) fn wake_at(&self) -> Option<Duration> {
        self.wake_at
    }

    /// What speaks now.
    #[cfg(test)]
    pub(crate) fn service_name(&self) -> &'static str {
        self.service.as_ref().map_or("", |service| service.name())
    }
}

impl Told {
    fn sent(&mut self, bytes: &[u8], world: &mut World, peer: &Peer) {
        if bytes.is_empty() {
            return;
        }
        self.tell_old(world, peer);
        self.sent_bytes += bytes.len() as u64;
        let (head, _, last) = self.piece.get_or_insert_with(|| (Vec::new(), world.now, world.now));
        let room = SENT_HEAD_BYTES - head.len();
        head.extend(&bytes[..bytes.len().min(room)]);
        *last = world.now;
    }

    fn answered(&mut self, bytes: &[u8], by: &str, world: &mut World, peer: &Peer) {
        self.tell_piece(world, peer);
        self.answered_bytes += bytes.len() as u64;
        if self.pieces[1] >= PIECES_TOLD_MAX {
            return world.record.lost("pieces of answers");
        }
        self.pieces[1] += 1;
        let head = bytes[..bytes.len().min(ANSWERED_HEAD_BYTES)].into();
        world.event(NetworkAct::Answered { flow: peer.flow, bytes: self.answered_bytes, head, by: by.to_owned() });
    }

    /// Tells the piece at hand if it has become old.
    fn tell_old(&mut self, world: &mut World, peer: &Peer) {
        if self.piece.as_ref().is_some_and(|(_, _, last)| *last + PIECE_GAP <= world.now) {
            self.tell_piece(world, peer);
        }
    }

    fn tell_piece(&mut self, world: &mut World, peer: &Peer) {
        let Some((head, at, _)) = self.piece.take() else { return };
        if self.pieces[0] >= PIECES_TOLD_MAX {
            return world.record.lost("pieces that were sent");
        }
        self.pieces[0] += 1;
        let head = head.as_slice().into();
        world.record.event(at, NetworkAct::Sent { flow: peer.flow, bytes: self.sent_bytes, head });
    }
}
