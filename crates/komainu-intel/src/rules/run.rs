//! The rules over one session.
//!
//! A session keeps, in bytes: of each side that a rule looks at as it is sent, a window of [`WINDOW_BYTES_MAX`] and
//! numbers of rules that may still hold; the buffers of one HTTP request and the beginning of its body. A session about
//! which no rule asks keeps nothing.

use aho_corasick::Anchored;
use aho_corasick::automaton::{Automaton, StateID};
use komainu_decode::{Place, Side, Transport};

use super::inspect::{View, holds};
use super::parse::BitsVerb;
use super::{Buffer, Ends, LimitKind, RawFilter, Rule, RuleSet, Unit};

/// What is kept of what a side says. A rule whose contents are farther apart does not hold.
pub(crate) const WINDOW_BYTES_MAX: usize = 64 * 1024;
/// What is left of a full window when it moves on.
const OVERLAP_BYTES: usize = 8 * 1024;
/// Bytes of the body of a request that are kept: what the decoder tells of it.
const BODY_BYTES_MAX: usize = 4 * 1024;
/// Rules that may still hold for one stream or request. More begin to hold only where rules are much alike; these are
/// left out.
const CANDIDATES_MAX: usize = 4 * 1024;
/// Bits of one session that are set. A further one is not set.
const BITS_MAX: usize = 256;
/// Rules of one session whose alerts are counted for their limits. A further one tells nothing.
const COUNTS_MAX: usize = 256;
/// Values of one buffer in one message, such as the names of a DNS question.
const VALUES_MAX: usize = 64;

/// A rule that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) rule: u32,
    /// The bytes that were looked at.
    pub(crate) place: Place,
}

/// What rules have seen of a session.
#[derive(Debug, Default)]
pub(crate) struct Run {
    streams: [Option<Box<Stream>>; 2],
    /// Bytes that each side has said, for those of whom no stream is kept.
    said: [u64; 2],
    request: Option<Box<Request>>,
    bits: Vec<u32>,
    counts: Vec<Count>,
}

/// What a side said.
#[derive(Debug, Default)]
struct Stream {
    window: Vec<u8>,
    /// Where the window begins.
    base: u64,
    state: Option<StateID>,
    /// Patterns that were found, in the order of their numbers.
    seen: Vec<u32>,
    /// Rules that may hold.
    candidates: Vec<u32>,
    /// How much of the window there was when they were asked the last time.
    asked: usize,
}

/// A request.
#[derive(Debug)]
struct Request {
    buffers: Vec<(Buffer, Vec<u8>)>,
    place: Place,
    body: Vec<u8>,
    /// Rules that hold for the head, as far as that can be known, and wait for the body.
    waiting: Vec<u32>,
    /// Rules that hold: they are told once.
    held: Vec<u32>,
    /// Bytes of the body when they were asked the last time.
    asked: usize,
}

#[derive(Debug)]
struct Count {
    rule: u32,
    count: u32,
    /// Since when, in microseconds since 1970.
    since: i64,
}

pub(super) const fn index(side: Side) -> usize {
    match side {
        Side::Client => 0,
        Side::Server => 1,
    }
}

impl Run {
    /// Takes what a side said next.
    pub(crate) fn payload(&mut self, set: &RuleSet, ends: &Ends, at: i64, side: Side, bytes: &[u8]) -> Vec<Found> {
        let filter = &set.raw[index(side)];
        let offset = self.said[index(side)];
        self.said[index(side)] += bytes.len() as u64;
        if !filter.is_used || bytes.is_empty() {
            return Vec::new();
        }
        match ends.transport {
            Transport::Tcp => {
                let fresh =
                    || Box::new(Stream { candidates: filter.always.clone(), base: offset, ..Stream::default() });
                let mut stream = self.streams[index(side)].take().unwrap_or_else(fresh);
                let mut found = Vec::new();
                for piece in bytes.chunks(WINDOW_BYTES_MAX - OVERLAP_BYTES) {
                    stream.make_room(piece.len());
                    let new = stream.add(filter, piece);
                    let is_due = stream.window.len() >= stream.asked + (stream.asked / 8).max(1);
                    if !stream.candidates.is_empty() && (new || is_due) {
                        self.ask_stream(set, ends, at, side, &mut stream, &mut found);
                    }
                }
                self.streams[index(side)] = Some(stream);
                found
            }
            Transport::Udp => {
                let fresh = Stream { candidates: filter.always.clone(), base: offset, ..Stream::default() };
                let mut datagram = Box::new(fresh);
                datagram.add(filter, bytes);
                let mut found = Vec::new();
                self.ask_stream(set, ends, at, side, &mut datagram, &mut found);
                // Kept until the next: only now will it be known which protocol it is.
                self.streams[index(side)] = Some(datagram);
                found
            }
        }
    }

    /// Learns that the next bytes of a side are not known.
    pub(crate) fn gap(&mut self, side: Side, bytes: u64) {
        self.said[index(side)] = self.said[index(side)].saturating_add(bytes);
        if let Some(stream) = &mut self.streams[index(side)] {
            // What follows is not joined to what was before; nothing is at the beginning any more.
            stream.base = self.said[index(side)].max(1);
            stream.window.clear();
            (stream.state, stream.asked) = (None, 0);
        }
    }

    /// Asks rules again that could not hold before: when the protocol has become known, and at the end.
    pub(crate) fn ask_again(&mut self, set: &RuleSet, ends: &Ends, at: i64) -> Vec<Found> {
        let mut found = Vec::new();
        for side in [Side::Client, Side::Server] {
            if let Some(mut stream) = self.streams[index(side)].take() {
                if !stream.candidates.is_empty() {
                    self.ask_stream(set, ends, at, side, &mut stream, &mut found);
                }
                self.streams[index(side)] = Some(stream);
            }
        }
        found
    }

    fn ask_stream(
        &mut self,
        set: &RuleSet,
        ends: &Ends,
        at: i64,
        side: Side,
        stream: &mut Stream,
        found: &mut Vec<Found>,
    ) {
        stream.asked = stream.window.len();
        let view = View::new(&stream.window);
        let place = Place { side, offset: stream.base, bytes: stream.window.len() as u64 };
        let is_moved = stream.base > 0 && ends.transport == Transport::Tcp;
        stream.candidates.retain(|number| {
            let rule = &set.rules[*number as usize];
            let holds = !(is_moved && rule.is_anchored())
                && rule.is_for(ends, side)
                && self.bits_allow(rule)
                && rule.groups.iter().all(|group| holds(&group.tests, &view));
            if holds {
                found.extend(self.tell(rule, *number, at, place));
            }
            !holds
        });
    }

    /// Takes a message that is whole: its buffers, of which some may have several values.
    pub(crate) fn message(
        &mut self,
        set: &RuleSet,
        ends: &Ends,
        at: i64,
        place: Place,
        buffers: &[(Buffer, &[u8])],
    ) -> Vec<Found> {
        let buffers = &buffers[..buffers.len().min(VALUES_MAX)];
        let Some((first, _)) = buffers.first() else { return Vec::new() };
        let candidates = set.candidates(first.unit(), buffers.iter().copied());
        self.ask(set, ends, at, place, &candidates, buffers).0
    }

    /// Takes the head of a request.
    pub(crate) fn request(
        &mut self,
        set: &RuleSet,
        ends: &Ends,
        at: i64,
        place: Place,
        buffers: Vec<(Buffer, Vec<u8>)>,
    ) -> Vec<Found> {
        let mut found = self.request_ends(set, ends, at);
        let borrowed: Vec<(Buffer, &[u8])> = buffers.iter().map(|(buffer, value)| (*buffer, &value[..])).collect();
        let candidates = set.candidates(Unit::HttpRequest, borrowed.iter().copied());
        let (mut waiting, now): (Vec<u32>, Vec<u32>) =
            candidates.into_iter().partition(|number| set.rules[*number as usize].needs_body);
        found.extend(self.ask(set, ends, at, place, &now, &borrowed).0);
        if set.uses(&[Buffer::HttpRequestBody]) {
            waiting.truncate(CANDIDATES_MAX);
            self.request =
                Some(Box::new(Request { buffers, place, body: Vec::new(), waiting, held: Vec::new(), asked: 0 }));
        }
        found
    }

    /// Takes the next bytes of its body.
    pub(crate) fn body(&mut self, set: &RuleSet, ends: &Ends, at: i64, bytes: &[u8]) -> Vec<Found> {
        let Some(request) = &mut self.request else { return Vec::new() };
        let room = BODY_BYTES_MAX - request.body.len();
        request.body.extend_from_slice(&bytes[..bytes.len().min(room)]);
        let is_due = request.body.len() >= request.asked * 2 && request.body.len() > request.asked;
        if is_due { self.ask_body(set, ends, at) } else { Vec::new() }
    }

    /// Learns that the request is over.
    pub(crate) fn request_ends(&mut self, set: &RuleSet, ends: &Ends, at: i64) -> Vec<Found> {
        let found = self.ask_body(set, ends, at);
        self.request = None;
        found
    }

    fn ask_body(&mut self, set: &RuleSet, ends: &Ends, at: i64) -> Vec<Found> {
        let Some(mut request) = self.request.take() else { return Vec::new() };
        let mut found = Vec::new();
        if request.body.len() > request.asked {
            request.asked = request.body.len();
            let body = (Buffer::HttpRequestBody, &request.body[..]);
            let of_body = set.candidates(Unit::HttpRequest, [body].into_iter());
            let needs_body = |number: &u32| set.rules[*number as usize].needs_body;
            for number in of_body.into_iter().filter(needs_body) {
                let is_known = request.waiting.contains(&number) || request.held.contains(&number);
                if !is_known && request.waiting.len() < CANDIDATES_MAX {
                    request.waiting.push(number);
                }
            }
            let mut buffers: Vec<(Buffer, &[u8])> =
                request.buffers.iter().map(|(buffer, value)| (*buffer, &value[..])).collect();
            buffers.push(body);
            let held;
            (found, held) = self.ask(set, ends, at, request.place, &request.waiting, &buffers);
            request.waiting.retain(|number| !held.contains(number));
            request.held.extend(held);
        }
        self.request = Some(request);
        found
    }

    /// Asks rules about a message: what is to be told, and which hold.
    fn ask(
        &mut self,
        set: &RuleSet,
        ends: &Ends,
        at: i64,
        place: Place,
        candidates: &[u32],
        buffers: &[(Buffer, &[u8])],
    ) -> (Vec<Found>, Vec<u32>) {
        if candidates.is_empty() {
            return (Vec::new(), Vec::new());
        }
        let views: Vec<(Buffer, View<'_>)> =
            buffers.iter().map(|(buffer, value)| (*buffer, View::new(value))).collect();
        let window = self.streams[index(place.side)].take();
        let raw = window.as_ref().map(|stream| View::new(&stream.window));
        let (mut found, mut held) = (Vec::new(), Vec::new());
        for number in candidates {
            let rule = &set.rules[*number as usize];
            let holds = rule.is_for(ends, place.side)
                && self.bits_allow(rule)
                && rule.groups.iter().all(|group| match group.buffer {
                    Buffer::Raw => raw.as_ref().is_some_and(|raw| holds(&group.tests, raw)),
                    buffer => {
                        let mut values = views.iter().filter(|(its, _)| *its == buffer);
                        values.any(|(_, view)| holds(&group.tests, view))
                    }
                });
            if holds {
                held.push(*number);
                found.extend(self.tell(rule, *number, at, place));
            }
        }
        drop(raw);
        self.streams[index(place.side)] = window;
        (found, held)
    }

    fn bits_allow(&self, rule: &Rule) -> bool {
        let is_set = |bit: &u32| self.bits.contains(bit);
        rule.bits.set.iter().all(|bits| bits.iter().any(is_set))
            && rule.bits.not_set.iter().all(|bits| bits.iter().any(|bit| !is_set(bit)))
    }

    /// Does what follows from a rule that holds; none when that is nothing to be told.
    fn tell(&mut self, rule: &Rule, number: u32, at: i64, place: Place) -> Option<Found> {
        for (verb, bit) in &rule.bits.then {
            let known = self.bits.iter().position(|known| known == bit);
            match (verb, known) {
                (BitsVerb::Unset | BitsVerb::Toggle, Some(known)) => drop(self.bits.swap_remove(known)),
                (BitsVerb::Set | BitsVerb::Toggle, None) if self.bits.len() < BITS_MAX => self.bits.push(*bit),
                _ => {}
            }
        }
        (!rule.is_silent && self.limit_allows(rule, number, at)).then_some(Found { rule: number, place })
    }

    fn limit_allows(&mut self, rule: &Rule, number: u32, at: i64) -> bool {
        let Some(limit) = rule.limit else { return true };
        let known = self.counts.iter().position(|count| count.rule == number);
        let index = match known {
            Some(index) => index,
            None if self.counts.len() < COUNTS_MAX => {
                self.counts.push(Count { rule: number, count: 0, since: at });
                self.counts.len() - 1
            }
            None => return false,
        };
        let count = &mut self.counts[index];
        if at.saturating_sub(count.since) >= i64::from(limit.seconds) * 1_000_000 {
            (count.count, count.since) = (0, at);
        }
        count.count = count.count.saturating_add(1);
        match limit.kind {
            LimitKind::Limit => count.count <= limit.count,
            LimitKind::Threshold => {
                let is_due = count.count >= limit.count;
                if is_due {
                    count.count = 0;
                }
                is_due
            }
            LimitKind::Both => count.count == limit.count,
            LimitKind::Above => count.count > limit.count,
        }
    }
}

impl Stream {
    /// Makes room for `bytes` more.
    fn make_room(&mut self, bytes: usize) {
        if self.window.len() + bytes > WINDOW_BYTES_MAX {
            let drained = self.window.len() - OVERLAP_BYTES.min(self.window.len());
            self.window.drain(..drained);
            self.base += drained as u64;
            self.asked = self.window.len().min(self.asked);
        }
    }

    /// Takes a piece; true when a rule has become one that may hold.
    fn add(&mut self, filter: &RawFilter, piece: &[u8]) -> bool {
        self.window.extend_from_slice(piece);
        let Some(automaton) = &filter.automaton else { return false };
        let start = || automaton.start_state(Anchored::No).expect("the automaton is not for anchored searches only");
        let mut state = self.state.unwrap_or_else(start);
        let mut is_new = false;
        for byte in piece {
            state = automaton.next_state(Anchored::No, state, *byte);
            if !automaton.is_special(state) || !automaton.is_match(state) {
                continue;
            }
            for nth in 0..automaton.match_len(state) {
                let pattern = automaton.match_pattern(state, nth);
                if let Err(at) = self.seen.binary_search(&pattern.as_u32()) {
                    self.seen.insert(at, pattern.as_u32());
                    let room = CANDIDATES_MAX.saturating_sub(self.candidates.len());
                    self.candidates.extend(filter.rules[pattern.as_usize()].iter().take(room));
                    is_new = true;
                }
            }
        }
        self.state = Some(state);
        if is_new {
            // In the order of the rules: who sets a bit comes before who asks for it.
            self.candidates.sort_unstable();
        }
        is_new
    }
}

impl Rule {
    fn is_for(&self, ends: &Ends, side: Side) -> bool {
        self.side.is_none_or(|its| its == side) && self.header.is_for(ends, side)
    }
}

impl RuleSet {
    /// The rules of a unit that may hold for a message with these buffers, in their order.
    fn candidates<'a>(&self, unit: Unit, buffers: impl Iterator<Item = (Buffer, &'a [u8])>) -> Vec<u32> {
        let mut candidates = self.always[unit as usize].clone();
        for (buffer, value) in buffers {
            let Some(filter) = self.filters.get(&buffer) else { continue };
            let mut seen: Vec<u32> = Vec::new();
            for found in filter.automaton.find_overlapping_iter(value) {
                let pattern = found.pattern();
                if let Err(at) = seen.binary_search(&pattern.as_u32()) {
                    seen.insert(at, pattern.as_u32());
                    candidates.extend(&filter.rules[pattern.as_usize()]);
                }
            }
        }
        candidates.sort_unstable();
        candidates.dedup();
        candidates.truncate(CANDIDATES_MAX);
        candidates
    }
}
