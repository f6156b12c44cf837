//! Talking with a service without a network, for tests.

use std::net::SocketAddr;

use komainu_trace::network::{FlowNumber, NetworkAct};

use crate::conversation::Conversation;
use crate::service::{Peer, Service};
use crate::settings::Settings;
use crate::world::World;

/// A conversation with a service.
pub(crate) struct Talk {
    world: World,
    conversation: Conversation,
    taken: Vec<u8>,
}

impl Talk {
    /// Begins to talk with a service at an address.
    pub(crate) fn new(service: Box<dyn Service>, at: &str) -> Self {
        let mut talk = Self::silent(Settings::default(), at, None);
        talk.conversation.begin_with(service, &mut talk.world);
        talk
    }

    /// Begins to talk with whoever turns out to be at an address.
    pub(crate) fn undecided(at: &str) -> Self {
        Self::with(Settings::default(), at, None)
    }

    /// The same with settings of its own, at an address that was found by a name.
    pub(crate) fn with(settings: Settings, at: &str, name: Option<&str>) -> Self {
        let mut talk = Self::silent(settings, at, name);
        talk.conversation.opened(&mut talk.world);
        talk
    }

    fn silent(settings: Settings, at: &str, name: Option<&str>) -> Self {
        let peer = Peer {
            flow: FlowNumber(1),
            to: at.parse().unwrap(),
            name: name.map(Into::into),
            inside_tls: false,
            lines_told: 0,
        };
        let world = World::new(settings).unwrap();
        Self { world, conversation: Conversation::new(peer), taken: Vec::new() }
    }

    pub(crate) fn say(&mut self, bytes: &[u8]) {
        if !self.conversation.is_closing() {
            self.conversation.data(bytes, &mut self.world);
        }
        self.read();
    }

    /// Lets the time pass that the service waits for.
    pub(crate) fn wake(&mut self) {
        let at = self.conversation.next_at().unwrap_or(self.world.now);
        self.world.now = self.world.now.max(at);
        // What is told of bytes waits, too; the service is what is meant.
        if let Some(at) = self.conversation.wake_at() {
            self.world.now = self.world.now.max(at);
        }
        self.conversation.woken(&mut self.world);
        self.read();
    }

    pub(crate) fn finish(&mut self) {
        self.conversation.finished(&mut self.world);
        self.read();
    }

    fn read(&mut self) {
        let taken = &mut self.taken;
        self.conversation.send(&mut self.world, |bytes| {
            taken.extend(bytes);
            bytes.len()
        });
    }

    /// What was answered since it was taken.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.read();
        std::mem::take(&mut self.taken)
    }

    /// What was answered, as text.
    pub(crate) fn text(&mut self) -> String {
        self.read();
        String::from_utf8_lossy(&self.taken).into_owned()
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.conversation.is_closing()
    }

    pub(crate) fn service_name(&self) -> &'static str {
        self.conversation.service_name()
    }

    pub(crate) fn world(&self) -> &World {
        &self.world
    }

    /// What was told, without the bytes of both sides.
    pub(crate) fn acts(&self) -> Vec<NetworkAct> {
        let is_of_bytes = |act: &NetworkAct| matches!(act, NetworkAct::Sent { .. } | NetworkAct::Answered { .. });
        self.world.record.events.iter().map(|event| event.act.clone()).filter(|act| !is_of_bytes(act)).collect()
    }

    /// The data connection that is expected.
    pub(crate) fn expected(&self) -> Option<SocketAddr> {
        self.world.first_expected()
    }

    pub(crate) fn forget(&mut self, at: SocketAddr) {
        self.world.forget(at);
    }
}
