//! Android Debug Bridge (AOSP, `packages/modules/adb`: protocol.txt, SERVICES.TXT, SYNC.TXT, `shell_protocol.h`).
//!
//! Messages of 24 bytes with a payload open streams to services; what is told is what the services are asked: shell
//! commands, lines of interactive shells, files that are pushed, pulled or installed.
//!
//! The state of a flow is bounded: [`STREAMS_MAX`] streams with the name of their service (4 KiB), their open line
//! (4 KiB) or their requests (20 KiB), and a short payload of each side (4 KiB): less than 400 KiB, and about 1 KiB
//! for a flow that behaves.

mod lines;
mod shell;
mod stream;
mod sync;

use stream::Stream;

use crate::oddities::Oddities;
use crate::pending::{Pending, Step};
use crate::{Decoder, Fact, FileNumber, Login, Observer, OddityKind, Place, Secret, Side};

/// The number of streams that are open at once and looked at. Clients open one after the other.
pub const STREAMS_MAX: usize = 16;

/// The longest text that is told, in bytes: a banner, the name of a service with its command line, a path, a line.
pub const TEXT_BYTES_MAX: usize = 4096;

/// The longest payload (AOSP, `adb.h`: `MAX_PAYLOAD`), in bytes.
const PAYLOAD_BYTES_MAX: u32 = 1024 * 1024;

/// What a message begins with.
const HEADER_BYTES: usize = 24;

/// What only this protocol has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// A side says who it is (CNXN).
    Connect {
        /// Version of the protocol, such as 0x0100_0000.
        version: u32,
        /// The longest payload that it takes, in bytes.
        payload_bytes_max: u32,
        /// Its kind and properties, such as `device::ro.product.name=box;`, at most [`TEXT_BYTES_MAX`] bytes.
        banner: &'a [u8],
    },
    /// A stream to a service is asked for (OPEN).
    Open {
        /// The service and what it is asked, such as `shell:id`, at most [`TEXT_BYTES_MAX`] bytes.
        destination: &'a [u8],
    },
    /// A stream is refused, or closed before it was opened.
    Refused {
        /// The service that was asked for.
        destination: &'a [u8],
    },
    /// The sync service is asked for something about a path.
    Sync {
        /// What, such as `STAT`, `LIST`, `SEND` or `RECV`.
        request: [u8; 4],
        /// The path.
        path: &'a [u8],
    },
    /// The sync service failed.
    SyncFailed {
        /// Why.
        message: &'a [u8],
    },
    /// A command of a shell ended (only the shell protocol of version 2 says so).
    Exit {
        /// Its exit code.
        code: u8,
    },
    /// The rest of the flow is encrypted (STLS).
    Encrypted,
}

/// Reads one flow.
#[derive(Debug)]
pub struct Reader {
    sides: [Incoming; 2],
    streams: Vec<Stream>,
    /// The client's answer to a challenge, until the server says what it thinks of it.
    login: Option<Proof>,
    files: Files,
    is_encrypted: bool,
    oddities: Oddities,
}

/// What a side is sending.
#[derive(Debug)]
struct Incoming {
    pending: Pending,
    state: State,
    /// A short payload, while it comes.
    text: Vec<u8>,
    /// Up to where it was understood.
    end: u64,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Header,
    Payload { header: Header, left: u32, sum: u32 },
    GivenUp,
}

#[derive(Debug, Clone, Copy)]
struct Header {
    command: [u8; 4],
    arguments: [u32; 2],
    length: u32,
    check: u32,
    /// Where the message begins.
    offset: u64,
}

/// An answer to a challenge.
#[derive(Debug)]
struct Proof {
    user: Vec<u8>,
    mechanism: &'static str,
    bytes: Vec<u8>,
    place: Place,
}

/// Numbers the files of a flow.
#[derive(Debug, Default)]
pub(crate) struct Files(u32);

impl Files {
    fn next(&mut self) -> FileNumber {
        let number = FileNumber(self.0);
        self.0 = self.0.saturating_add(1);
        number
    }
}

impl Default for Reader {
    fn default() -> Self {
        let incoming = |side| Incoming {
            pending: Pending::new(side, HEADER_BYTES),
            state: State::Header,
            text: Vec::new(),
            end: 0,
        };
        Self {
            sides: [Side::Client, Side::Server].map(incoming),
            streams: Vec::new(),
            login: None,
            files: Files::default(),
            is_encrypted: false,
            oddities: Oddities::default(),
        }
    }
}

impl Decoder for Reader {
    fn data(&mut self, side: Side, bytes: &[u8], observer: &mut dyn Observer) {
        if self.is_encrypted {
            return;
        }
        let index = side.index();
        let mut pending = std::mem::replace(&mut self.sides[index].pending, Pending::new(side, HEADER_BYTES));
        let fed = pending.feed(bytes, |bytes, offset| {
            if self.is_encrypted {
                return Step::Used(bytes.len());
            }
            match self.sides[index].state {
                State::GivenUp => Step::Used(bytes.len()),
                State::Header => match bytes.first_chunk() {
                    None => Step::More,
                    Some(header) => {
                        self.header(side, header, offset, observer);
                        Step::Used(HEADER_BYTES)
                    }
                },
                State::Payload { header, left, sum } => {
                    let used = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    let (payload, _) = bytes.split_at(used);
                    self.payload(side, header, left, sum, payload, offset, observer);
                    Step::Used(used)
                }
            }
        });
        debug_assert!(fed.is_ok(), "a header fits");
        self.sides[index].pending = pending;
    }

    fn gap(&mut self, side: Side, bytes: u64, observer: &mut dyn Observer) {
        let Self { sides, streams, oddities, .. } = self;
        let incoming = &mut sides[side.index()];
        let rest = incoming.pending.rest_place();
        let place = Place { offset: rest.offset + rest.bytes, bytes, ..rest };
        incoming.pending.skip_gap(bytes);
        if self.is_encrypted {
            return;
        }
        oddities.tell(place, OddityKind::Gap, "messages_lost", observer);
        for stream in streams.iter_mut() {
            stream.lose(side, place, observer);
        }
        match &mut incoming.state {
            // Where the payload ends is known; what was in it is not.
            State::Payload { left, header, .. } if u64::from(*left) >= bytes => {
                *left -= u32::try_from(bytes).expect("it is no more than what is left of a payload");
                header.check = 0;
                incoming.text.clear();
                if *left == 0 {
                    incoming.state = State::Header;
                }
            }
            state => {
                *state = State::GivenUp;
                oddities.tell(Place { bytes: 0, ..place }, OddityKind::GaveUp, "message_begin_lost", observer);
            }
        }
    }

    fn finish(&mut self, _: Side, _: &mut dyn Observer) {}

    fn end(&mut self, observer: &mut dyn Observer) {
        for side in [Side::Client, Side::Server] {
            let Incoming { pending, state, .. } = &self.sides[side.index()];
            let is_cut = matches!(state, State::Payload { .. }) || !pending.rest().is_empty();
            if is_cut && !self.is_encrypted {
                self.oddities.tell(pending.rest_place(), OddityKind::Tolerated, "message_cut_off", observer);
            }
        }
        let places = self.places();
        for mut stream in std::mem::take(&mut self.streams) {
            stream.end(places, observer);
        }
        self.answered(None, observer);
    }
}

impl Reader {
    fn header(&mut self, side: Side, bytes: &[u8; HEADER_BYTES], offset: u64, observer: &mut dyn Observer) {
        let word = |at: usize| {
            let word = bytes[at..].first_chunk().expect("a header has six words of four bytes");
            u32::from_le_bytes(*word)
        };
        let place = Place { side, offset, bytes: HEADER_BYTES as u64 };
        let [a, b, c, d, ..] = *bytes;
        let header =
            Header { command: [a, b, c, d], arguments: [word(4), word(8)], length: word(12), check: word(16), offset };
        // The magic is the complement of the command (protocol.txt).
        let what = if word(20) != !word(0) {
            Some("magic_wrong")
        } else if header.length > PAYLOAD_BYTES_MAX {
            Some("payload_too_long")
        } else {
            None
        };
        if let Some(what) = what {
            self.sides[side.index()].state = State::GivenUp;
            return self.oddities.tell(place, OddityKind::GaveUp, what, observer);
        }
        let incoming = &mut self.sides[side.index()];
        incoming.text.clear();
        incoming.state = State::Payload { header, left: header.length, sum: 0 };
        if header.length == 0 {
            incoming.state = State::Header;
            self.message(side, header, offset + HEADER_BYTES as u64, observer);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a step of the one state machine")]
    fn payload(
        &mut self,
        side: Side,
        header: Header,
        left: u32,
        sum: u32,
        payload: &[u8],
        offset: u64,
        observer: &mut dyn Observer,
    ) {
        let left = left - u32::try_from(payload.len()).expect("no more is given than is left");
        // Newer versions leave the check out (protocol.txt, A_VERSION_SKIP_CHECKSUM).
        let sum = match header.check {
            0 => 0,
            _ => payload.iter().fold(sum, |sum, byte| sum.wrapping_add(u32::from(*byte))),
        };
        let Self { sides, streams, files, oddities, .. } = self;
        let incoming = &mut sides[side.index()];
        let place = Place { side, offset, bytes: payload.len() as u64 };
        if &header.command == b"WRTE" {
            if let Some(at) = find(streams, side, header.arguments)
                && let Some(stream) = streams.get_mut(at)
            {
                stream.data(payload, place, files, oddities, observer);
            }
        } else {
            let space = TEXT_BYTES_MAX - incoming.text.len();
            if payload.len() > space && incoming.text.len() < TEXT_BYTES_MAX {
                let place = Place { side, offset: header.offset, bytes: HEADER_BYTES as u64 };
                oddities.tell(place, OddityKind::Bound, "payload_text_too_long", observer);
            }
            incoming.text.extend_from_slice(&payload[..payload.len().min(space)]);
        }
        incoming.state = State::Payload { header, left, sum };
        if left > 0 {
            return;
        }
        incoming.state = State::Header;
        let end = offset + payload.len() as u64;
        if header.check != 0 && header.check != sum {
            let place = Place { side, offset: header.offset, bytes: end - header.offset };
            oddities.tell(place, OddityKind::Tolerated, "checksum_wrong", observer);
        }
        self.message(side, header, end, observer);
    }

    /// A message is complete; `end` is where.
    fn message(&mut self, side: Side, header: Header, end: u64, observer: &mut dyn Observer) {
        let place = Place { side, offset: header.offset, bytes: end - header.offset };
        self.sides[side.index()].end = end;
        let text = std::mem::take(&mut self.sides[side.index()].text);
        let text_without_nul = text.strip_suffix(b"\0").unwrap_or(&text);
        let [first, second] = header.arguments;
        match &header.command {
            b"CNXN" => {
                if side == Side::Server {
                    self.answered(Some(true), observer);
                }
                let (version, payload_bytes_max) = (first, second);
                let banner = text_without_nul;
                observer.fact(place, Fact::Adb(Event::Connect { version, payload_bytes_max, banner }));
            }
            b"AUTH" => self.auth(side, first, &text, place, observer),
            b"STLS" => {
                // Both sides say it; what the client says after its own is TLS.
                if side == Side::Client {
                    self.is_encrypted = true;
                    observer.fact(place, Fact::Adb(Event::Encrypted));
                }
            }
            b"OPEN" => {
                observer.fact(place, Fact::Adb(Event::Open { destination: text_without_nul }));
                // A number that is used again: its stream is over.
                if let Some(at) = self.streams.iter().position(|of| of.opener == side && of.number == first) {
                    let places = self.places();
                    self.streams.remove(at).end(places, observer);
                }
                if self.streams.len() == STREAMS_MAX {
                    self.oddities.tell(place, OddityKind::Bound, "too_many_streams", observer);
                    return;
                }
                // Text begins behind the header.
                let bytes = text_without_nul.len() as u64;
                let place = Place { offset: header.offset + HEADER_BYTES as u64, bytes, ..place };
                self.streams.push(Stream::new(side, first, text_without_nul, place, observer));
            }
            b"OKAY" => {
                if let Some(at) = find(&self.streams, side, header.arguments)
                    && let Some(stream) = self.streams.get_mut(at)
                {
                    stream.is_open = true;
                }
            }
            b"CLSE" => {
                let Some(at) = find(&self.streams, side, header.arguments) else { return };
                let mut stream = self.streams.remove(at);
                if !stream.is_open && side != stream.opener {
                    observer.fact(place, Fact::Adb(Event::Refused { destination: &stream.destination }));
                }
                stream.end(self.places(), observer);
            }
            b"WRTE" | b"SYNC" => {}
            _ => self.oddities.tell(place, OddityKind::Skipped, "message_unknown", observer),
        }
    }

    /// Where each side is.
    fn places(&self) -> [Place; 2] {
        [Side::Client, Side::Server].map(|side| Place { side, offset: self.sides[side.index()].end, bytes: 0 })
    }

    /// AUTH: 1 a challenge, 2 its signature, 3 a key that the user is to allow (protocol.txt).
    fn auth(&mut self, side: Side, kind: u32, bytes: &[u8], place: Place, observer: &mut dyn Observer) {
        match (side, kind) {
            // Another challenge: the answer to the last one was not enough.
            (Side::Server, 1) => self.answered(Some(false), observer),
            (Side::Client, 2) => {
                self.answered(None, observer);
                self.login = Some(Proof { user: Vec::new(), mechanism: "adb_signature", bytes: bytes.to_vec(), place });
            }
            (Side::Client, 3) => {
                self.answered(None, observer);
                // A key in base64, a space, and who and where made it.
                let key = bytes.strip_suffix(b"\0").unwrap_or(bytes);
                let space = key.iter().position(|byte| *byte == b' ').unwrap_or(key.len());
                let user = key.get(space + 1..).unwrap_or_default().to_vec();
                self.login = Some(Proof { user, mechanism: "adb_key", bytes: key[..space].to_vec(), place });
            }
            (_, _) => self.oddities.tell(place, OddityKind::Skipped, "auth_unknown", observer),
        }
    }

    fn answered(&mut self, accepted: Option<bool>, observer: &mut dyn Observer) {
        if let Some(Proof { user, mechanism, bytes, place }) = self.login.take() {
            let secret = Secret::Response { mechanism, bytes: &bytes };
            observer.fact(place, Fact::Login(Login { user: &user, secret, accepted }));
        }
    }
}

/// The stream that a message of `side` is about: its first argument is the sender's number of it, the second the
/// receiver's; here it is known by its opener's.
fn find(streams: &[Stream], side: Side, [local, remote]: [u32; 2]) -> Option<usize> {
    streams.iter().position(|stream| stream.number == if stream.opener == side { local } else { remote })
}
