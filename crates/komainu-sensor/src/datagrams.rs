//! Datagrams: what comes to the ports of personas is answered as far as it may be, and recorded as flows.
//!
//! One task serves a socket. A flow is what one port of a client says to one address of ours; it ends when nothing is
//! said for a while. All that is said goes through [`ReplyBudget`], which sees to it that no sensor is of use to those
//! who forge sources.

mod acquainted;
mod budget;
mod socket;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use komainu_decode::{Conversation, Side, Transport};
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tracing::{debug, warn};

pub(crate) use self::acquainted::Acquainted;
use self::budget::Account;
pub(crate) use self::budget::ReplyBudget;
pub(crate) use self::socket::DatagramSocket;
use self::socket::Received;
use crate::events;
use crate::limits::Ticket;
use crate::listener::{Edge, Entrance};
use crate::service::answer::{Answer, Call};
use crate::service::{Service, Talk};
use crate::session::{Ending, Flow, Session};

/// The longest datagram there is, in bytes.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// How often flows are looked at that may have ended.
const END_INTERVAL: Duration = Duration::from_secs(1);

/// How long a socket rests that cannot be read.
const RECEIVE_RETRY: Duration = Duration::from_millis(50);

/// Where those who look for devices of UPnP and of ONVIF ask everybody (UPnP Device Architecture 1.1, 1.3.2;
/// WS-Discovery 1.1, 2.4).
const DISCOVERY_GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);

/// Opens a socket for a service.
pub(crate) fn bind(address: SocketAddr, service: &Service) -> io::Result<DatagramSocket> {
    let socket = DatagramSocket::bind(address)?;
    if matches!(service, Service::Ssdp(_) | Service::Wsd(_)) {
        socket.join(DISCOVERY_GROUP);
    }
    Ok(socket)
}

/// Takes datagrams until the sensor stops.
pub(crate) async fn receive_all(edge: Arc<Edge>, socket: DatagramSocket, entrance: Arc<Entrance>) {
    let mut stop = edge.stop.clone();
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    let mut door = Door::new(edge, socket, entrance);
    let mut ends = interval(END_INTERVAL);
    ends.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let has_flows = !door.flows.is_empty();
        let received = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return door.end_all(Ending::Stopped),
            // Before what comes, so that a flood does not keep flows from ending.
            _ = ends.tick(), if has_flows => {
                door.end_idle(Instant::now());
                continue;
            }
            received = door.socket.receive(&mut buffer) => received,
        };
        match received {
            Ok(received) => door.take(received, &buffer[..received.bytes]),
            Err(error) => {
                let port = door.entrance.door.port;
                warn!(event = events::RECEIVE_FAILED, port, %error, "cannot receive datagrams");
                sleep(RECEIVE_RETRY).await;
            }
        }
    }
}

/// A port for datagrams, and who speaks there.
struct Door {
    edge: Arc<Edge>,
    socket: DatagramSocket,
    entrance: Arc<Entrance>,
    flows: HashMap<(SocketAddr, IpAddr), Speaking>,
    begun: Begun,
    left_out: LeftOut,
}

/// A flow that goes on.
struct Speaking {
    session: Session,
    talk: Talk,
    account: Account,
    began: Instant,
    /// The same moment, in microseconds since 1970.
    began_at: i64,
    heard_at: Instant,
    heard_bytes: u64,
    has_answered: bool,
    is_withholding_noted: bool,
    _ticket: Ticket,
}

/// How many flows began in the second that goes on.
struct Begun {
    second: Instant,
    flows: u32,
}

/// Datagrams that would have begun flows and did not, in `honeypot.json` of the next flow that begins.
#[derive(Debug, Default, Serialize)]
struct LeftOut {
    datagrams: u64,
    bytes: u64,
}

/// An answer that was not given, in `honeypot.json`: what a reflection would have been.
#[derive(Debug, Serialize)]
struct ReplyWithheld {
    request_bytes: usize,
    /// Of all datagrams that a device would have said.
    reply_bytes: usize,
    /// Of what was said instead.
    said_bytes: usize,
}

impl Door {
    fn new(edge: Arc<Edge>, socket: DatagramSocket, entrance: Arc<Entrance>) -> Self {
        let begun = Begun { second: Instant::now(), flows: 0 };
        Self { edge, socket, entrance, flows: HashMap::new(), begun, left_out: LeftOut::default() }
    }

    fn take(&mut self, received: Received, datagram: &[u8]) {
        let Received { client, local, .. } = received;
        let (key, now) = ((client, local), Instant::now());
        if !self.flows.contains_key(&key) {
            match self.begin(client, local, now) {
                Ok(speaking) => drop(self.flows.insert(key, speaking)),
                Err(limit) => return self.leave_out(client, datagram, limit),
            }
        }
        let Some(speaking) = self.flows.get_mut(&key) else { return };
        speaking.hear(now, datagram);
        let at = speaking.at(now);
        let call = Call { client, local, at, room: self.edge.replies.room(now, &speaking.account) };
        let Answer { datagrams, mut withheld_bytes } = speaking.talk.answer(datagram, &call);
        let mut said_bytes = 0;
        for answer in datagrams {
            match self.edge.replies.permit(now, &mut speaking.account, answer) {
                Ok(permit) => {
                    said_bytes += permit.bytes().len();
                    speaking.session.keeper().count(Side::Server, 1, 0);
                    speaking.session.data(at, Side::Server, permit.bytes());
                    speaking.has_answered = true;
                    self.socket.send(local, &permit);
                }
                Err(answer) => withheld_bytes += answer.len(),
            }
        }
        if withheld_bytes > 0 && !std::mem::replace(&mut speaking.is_withholding_noted, true) {
            let note = ReplyWithheld { request_bytes: datagram.len(), reply_bytes: withheld_bytes, said_bytes };
            speaking.session.keeper().note(at, "reply_withheld", &note);
        }
        let limits = &self.edge.limits;
        let is_too_old = now.saturating_duration_since(speaking.began) >= Duration::from_secs(limits.connection_s_max);
        if speaking.heard_bytes > limits.bytes_in_max || is_too_old {
            self.end(&key, Ending::Bound, now);
        }
    }

    /// Begins a flow, or names the bound that it would exceed.
    fn begin(&mut self, client: SocketAddr, local: IpAddr, now: Instant) -> Result<Speaking, &'static str> {
        let Edge { limits, flow_doorkeeper, recorder, clock, acquainted, .. } = &*self.edge;
        if !acquainted.knows(now, client.ip()) && !self.begun.may_one_more(now, limits.flows_new_per_s_max) {
            return Err("flows_new_per_s_max");
        }
        if !recorder.log().has_room() {
            flow_doorkeeper.note_refused();
            return Err("spool_bytes_max");
        }
        let ticket = flow_doorkeeper.admit(client.ip())?;
        let began_at = clock.now().unix_millis().saturating_mul(1000);
        let door = &self.entrance.door;
        let server = SocketAddr::new(local, self.socket.address().port());
        let flow = Flow { transport: Transport::Udp, client, server };
        let mut keeper = recorder.begin(flow, self.entrance.target.clone(), began_at);
        let (service, seed) = (door.service.name(), keeper.seed());
        let talk = door.service.talk(seed);
        debug!(event = events::CONNECTED, session = keeper.session_id(), service, address = %client, "datagram");
        if self.left_out.datagrams > 0 {
            keeper.note(began_at, "datagrams_left_out", &std::mem::take(&mut self.left_out));
        }
        // The port is the persona's, as with connections.
        let conversation = match talk.protocol() {
            Some(protocol) => Conversation::of(protocol, Transport::Udp, door.port),
            None => Conversation::new(Transport::Udp, door.port),
        };
        let session = Session::new(keeper, conversation);
        Ok(Speaking {
            session,
            talk,
            account: ReplyBudget::account(client, door.port),
            began: now,
            began_at,
            heard_at: now,
            heard_bytes: 0,
            has_answered: false,
            is_withholding_noted: false,
            _ticket: ticket,
        })
    }

    fn leave_out(&mut self, client: SocketAddr, datagram: &[u8], limit: &'static str) {
        self.left_out.datagrams += 1;
        self.left_out.bytes += datagram.len() as u64;
        if let Some(suppressed) = self.edge.refused.take_now() {
            let address = client;
            warn!(event = events::LIMIT_REACHED, limit, %address, suppressed, "datagram dropped");
        }
    }

    fn end_idle(&mut self, now: Instant) {
        let idle = Duration::from_secs(self.edge.limits.flow_idle_s);
        let is_idle = |speaking: &Speaking| now.saturating_duration_since(speaking.heard_at) >= idle;
        for (_, speaking) in self.flows.extract_if(|_, speaking| is_idle(speaking)) {
            speaking.end(Ending::Idle, now);
        }
    }

    fn end(&mut self, key: &(SocketAddr, IpAddr), ending: Ending, now: Instant) {
        if let Some(speaking) = self.flows.remove(key) {
            speaking.end(ending, now);
        }
    }

    fn end_all(mut self, ending: Ending) {
        let now = Instant::now();
        for (_, speaking) in self.flows.drain() {
            speaking.end(ending, now);
        }
    }
}

impl Speaking {
    fn hear(&mut self, now: Instant, datagram: &[u8]) {
        self.heard_at = now;
        self.heard_bytes = self.heard_bytes.saturating_add(datagram.len() as u64);
        ReplyBudget::hear(&mut self.account, datagram.len());
        let at = self.at(now);
        self.session.keeper().count(Side::Client, 1, 0);
        self.session.data(at, Side::Client, datagram);
    }

    /// `now` in microseconds since 1970, by a clock that nobody sets while the flow goes on.
    fn at(&self, now: Instant) -> i64 {
        let age = now.saturating_duration_since(self.began);
        self.began_at.saturating_add(i64::try_from(age.as_micros()).unwrap_or(i64::MAX))
    }

    fn end(mut self, ending: Ending, now: Instant) {
        let state = if self.has_answered { "established" } else { "new" };
        self.session.keeper().flow_state(state);
        let at = self.at(now);
        self.session.end(at, ending);
    }
}

impl Begun {
    /// Whether a flow more may begin now.
    fn may_one_more(&mut self, now: Instant, flows_per_s_max: u32) -> bool {
        if now.saturating_duration_since(self.second) >= Duration::from_secs(1) {
            *self = Self { second: now, flows: 0 };
        }
        let may = self.flows < flows_per_s_max;
        self.flows += u32::from(may);
        may
    }
}

/// Every service for datagrams of the built-in personas and of one that has all protocols.
#[cfg(any(test, fuzzing))]
fn all_services() -> &'static [Service] {
    use std::sync::LazyLock;

    use crate::persona::Persona;

    static SERVICES: LazyLock<Vec<Service>> = LazyLock::new(|| {
        let built_in = Persona::built_in_names().into_iter().map(|name| Persona::load(name).expect("it is built in"));
        let personas: Vec<Persona> = built_in.chain([Persona::of_all_datagrams()]).collect();
        let doors = personas.iter().flat_map(Persona::doors);
        doors.filter(|door| door.transport == Transport::Udp).map(|door| door.service.clone()).collect()
    });
    &SERVICES
}

/// Has a stranger say `said` to every service, and panics when one would answer with more.
#[cfg(any(test, fuzzing))]
pub(crate) fn check_said(said: &[&[u8]]) {
    let now = Instant::now();
    let (client, local) = (SocketAddr::from(([192, 0, 2, 1], 4000)), IpAddr::from([192, 0, 2, 2]));
    for service in all_services() {
        let budget = ReplyBudget::new(Arc::new(Acquainted::default()), now);
        let (mut talk, mut account) = (service.talk(1), ReplyBudget::account(client, 1));
        let (mut heard_bytes, mut said_bytes) = (0, 0);
        for datagram in said {
            heard_bytes += datagram.len();
            ReplyBudget::hear(&mut account, datagram.len());
            let call = Call { client, local, at: 0, room: budget.room(now, &account) };
            for answer in talk.answer(datagram, &call).datagrams {
                let permit = budget.permit(now, &mut account, answer);
                said_bytes += permit.expect("a service says what it was told that there is room for").bytes().len();
            }
            assert!(said_bytes <= heard_bytes, "{} says more than it hears", service.name());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::service::answer::Room;

    /// What is asked of these protocols; changed here and there, most of it is still understood.
    const QUESTIONS: [&[u8]; 12] = [
        b"M-SEARCH * HTTP/1.1\r\nMAN: \"ssdp:discover\"\r\nST: ssdp:all\r\n\r\n",
        b"<Envelope><Header><MessageID>1</MessageID></Header><Body><Probe/></Body></Envelope>",
        b"\0\x01/etc/config\0octet\0blksize\x001400\0",
        b"\0\x02a\0octet\0tsize\x009\0",
        b"\0\x03\0\x01data",
        b"\0\x04\0\x01",
        b"\x40\x01\0\x01\xbb.well-known\x04core",
        b"\x40\0\0\x01",
        b"\x30\x26\x02\x01\x01\x04\x06public\xa5\x19\x02\x01\x01\x02\x01\0\x02\x01\x32\x30\x0e\x30\x0c\x06\x08\x2b\x06\x01\x02\x01\x01\x01\0\x05\0",
        b"\x30\x1f\x02\x01\x01\x04\x06public\xa1\x12\x02\x01\x01\x02\x01\0\x02\x01\0\x30\x07\x30\x05\x06\x01\x2b\x05\0",
        b"OPTIONS sip:1 SIP/2.0\r\nv: SIP/2.0/UDP a;rport\r\nf: a\r\nt: b\r\ni: 1\r\nCSeq: 1 OPTIONS\r\n\r\n",
        b"REGISTER sip:1 SIP/2.0\r\nv: SIP/2.0/UDP a\r\nf: a\r\nt: b\r\ni: 1\r\nCSeq: 1 REGISTER\r\n\r\n",
    ];

    #[test]
    fn every_protocol_answers_who_is_known() {
        for service in all_services() {
            let is_answered = |question: &&&[u8]| {
                let room = Room { bytes: 100_000, datagrams: 100 };
                let call =
                    Call { client: "192.0.2.1:4000".parse().unwrap(), local: [192, 0, 2, 2].into(), at: 0, room };
                !service.talk(1).answer(question, &call).datagrams.is_empty()
            };
            assert!(QUESTIONS.iter().filter(is_answered).count() > 0, "{service:?}");
        }
    }

    proptest! {
        /// Whatever strangers say to whichever service: no panic, and never more out than in.
        #[test]
        fn no_service_amplifies(
            said in proptest::collection::vec(
                (0..QUESTIONS.len(), proptest::option::of((any::<proptest::sample::Index>(), any::<u8>())), any::<bool>()),
                1..20,
            ),
        ) {
            let said: Vec<Vec<u8>> = said
                .into_iter()
                .map(|(question, change, is_cut)| {
                    let mut datagram = QUESTIONS[question].to_vec();
                    if let Some((index, byte)) = change {
                        let at = index.index(datagram.len());
                        datagram[at] = byte;
                        if is_cut {
                            datagram.truncate(at);
                        }
                    }
                    datagram
                })
                .collect();
            check_said(&said.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
    }
}
