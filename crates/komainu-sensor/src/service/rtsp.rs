//! The streams of a camera (RTSP, RFC 2326): whoever logs in sees a grey picture.
//!
//! [`Dialogue`] is the whole of it without sockets: bytes in, [`Turn`]s out. What requests are is known from the decoder.
//! A stream is carried over the connection only: a persona that sent datagrams to where it is told would be a weapon.

mod picture;

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use komainu_decode::{Decoder, Fact, Place, Request, Side, rtsp};
use serde::Deserialize;
use tokio::time::Instant;

use self::picture::Picture;
use super::gate::{Gate, GateText, Refusal};
use super::http::date;
use crate::link::Link;
use crate::persona::{Device, PersonaError};
use crate::session::Ending;

/// Bytes of `CSeq` that are repeated; it is a number.
const SEQUENCE_BYTES_MAX: usize = 32;

/// Bytes of a URL that are repeated to whoever said it.
const URL_BYTES_MAX: usize = 512;

/// How often a picture is sent.
const FRAME_INTERVAL: Duration = Duration::from_millis(200);

/// Pictures that are sent after one PLAY: a minute, in which a program has seen that there is a stream. Then the camera
/// hangs.
const FRAMES_MAX: u32 = 300;

/// How far apart pictures are in the stream's own clock of 90 kHz (RFC 6184, 8.2.1).
const FRAME_TICKS: u32 = 18_000;

/// A camera's streams.
#[derive(Debug)]
pub(crate) struct Rtsp {
    server: Option<String>,
    gate: Gate,
    paths: Vec<Vec<u8>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RtspText {
    pub(crate) ports: Vec<u16>,
    server: Option<String>,
    realm: String,
    #[serde(default = "auth")]
    auth: GateText,
    paths: Vec<String>,
}

const fn auth() -> GateText {
    GateText::Digest
}

impl Rtsp {
    /// Checks what a persona says; `at` is where it says it.
    pub(crate) fn check(text: RtspText, at: &str, device: &Device<'_>) -> Result<Self, PersonaError> {
        if text.server.as_ref().is_some_and(|server| server.bytes().any(|byte| !(b' '..=b'~').contains(&byte))) {
            return Err(device.wrong(format!("{at}.server"), "must be printable"));
        }
        if text.paths.iter().any(|path| !path.starts_with('/')) {
            return Err(device.wrong(format!("{at}.paths"), "must begin with /"));
        }
        Ok(Self {
            server: text.server,
            gate: Gate::of_camera(text.realm, text.auth, at, device)?,
            paths: text.paths.into_iter().map(String::into_bytes).collect(),
        })
    }

    /// Whether there is a stream, or one of its tracks, at a path.
    fn has(&self, path: &[u8]) -> bool {
        self.paths.iter().any(|known| match path.strip_prefix(known.as_slice()) {
            Some(rest) => rest.is_empty() || rest.starts_with(b"/") || known.ends_with(b"/"),
            None => false,
        })
    }
}

/// Speaks with a client until the connection ends.
pub(crate) async fn serve(link: &mut Link, persona: &Arc<Rtsp>, seed: u64) -> Ending {
    let mut dialogue = Box::new(Dialogue::new(persona.clone(), seed));
    let mut next_frame = Instant::now();
    loop {
        let read = if dialogue.is_playing() { link.read_before(next_frame).await } else { link.read().await.map(Some) };
        let turn = match read {
            Ok(Some(bytes)) => dialogue.take(&bytes, link.now()),
            Ok(None) => {
                next_frame = Instant::now() + FRAME_INTERVAL;
                Turn { said: dialogue.frame(), is_last: false }
            }
            Err(ending) => return ending,
        };
        match link.write(&turn.said).await {
            Err(ending) => return ending,
            Ok(()) if turn.is_last => return Ending::Closed,
            Ok(()) => {}
        }
    }
}

/// Answers what a client might say.
#[cfg(fuzzing)]
pub(crate) fn check_bytes(persona: &Arc<Rtsp>, bytes: &[u8]) {
    let mut dialogue = Dialogue::new(persona.clone(), 1);
    dialogue.take(bytes, 0);
    while dialogue.is_playing() {
        assert!(!dialogue.frame().is_empty());
    }
}

/// A conversation over RTSP.
struct Dialogue {
    reader: rtsp::Reader,
    camera: Camera,
}

/// What a persona says next.
#[derive(Debug, Default, PartialEq, Eq)]
struct Turn {
    said: Vec<u8>,
    is_last: bool,
}

struct Camera {
    persona: Arc<Rtsp>,
    seed: u64,
    /// The channel of the connection on which the stream is carried, once it was set up (RFC 2326, 10.12).
    channel: Option<u8>,
    /// The pictures that were sent since PLAY; none while nothing plays.
    playing: Option<u32>,
    /// The packets that were sent.
    packets: u16,
}

impl Dialogue {
    fn new(persona: Arc<Rtsp>, seed: u64) -> Self {
        let camera = Camera { persona, seed, channel: None, playing: None, packets: 0 };
        Self { reader: rtsp::Reader::default(), camera }
    }

    /// Takes what the client says; `now` is in microseconds since 1970.
    fn take(&mut self, bytes: &[u8], now: i64) -> Turn {
        let (camera, mut turn) = (&mut self.camera, Turn::default());
        self.reader.data(Side::Client, bytes, &mut |_: Place, fact: Fact<'_>| {
            if let Fact::Rtsp(rtsp::Event::Request(request)) = fact
                && !turn.is_last
            {
                camera.answer(&request, now, &mut turn);
            }
        });
        turn
    }

    fn is_playing(&self) -> bool {
        self.camera.playing.is_some()
    }

    /// The next picture of the stream that plays.
    fn frame(&mut self) -> Vec<u8> {
        self.camera.frame()
    }
}

impl Camera {
    fn answer(&mut self, request: &Request<'_>, now: i64, turn: &mut Turn) {
        if request.version.is_empty() || request.is_cut {
            turn.said.extend(self.head(request, 400, now).into_bytes());
            turn.said.extend_from_slice(b"\r\n");
            turn.is_last = true;
            return;
        }
        let path = path(request.target);
        let is_of_stream = matches!(request.method, b"DESCRIBE" | b"SETUP" | b"PLAY");
        if is_of_stream && !self.persona.has(path) {
            return self.say(request, 404, now, "", "", turn);
        }
        let admitted = self.persona.gate.admit(request.method, request.header("authorization"), now);
        if let Err(refusal) = admitted
            && is_of_stream
        {
            return self.refuse(request, refusal, now, turn);
        }
        match request.method {
            b"OPTIONS" => {
                let methods = "Public: OPTIONS, DESCRIBE, SETUP, TEARDOWN, PLAY, PAUSE, GET_PARAMETER\r\n";
                self.say(request, 200, now, methods, "", turn);
            }
            b"DESCRIBE" => self.describe(request, now, turn),
            b"SETUP" => self.set_up(request, now, turn),
            b"PLAY" | b"PAUSE" if self.channel.is_none() => self.say(request, 455, now, "", "", turn),
            b"PLAY" => {
                self.playing = Some(0);
                let fields = format!("{}Range: npt=0.000-\r\n", self.session());
                self.say(request, 200, now, &fields, "", turn);
            }
            b"PAUSE" => {
                self.playing = None;
                self.say(request, 200, now, &self.session(), "", turn);
            }
            b"GET_PARAMETER" | b"SET_PARAMETER" => self.say(request, 200, now, "", "", turn),
            b"TEARDOWN" => {
                (self.channel, self.playing) = (None, None);
                self.say(request, 200, now, &self.session(), "", turn);
                turn.is_last = true;
            }
            _ => self.say(request, 405, now, "Allow: OPTIONS, DESCRIBE, SETUP, TEARDOWN, PLAY\r\n", "", turn),
        }
    }

    fn refuse(&self, request: &Request<'_>, refusal: Refusal, now: i64, turn: &mut Turn) {
        let challenge = format!("WWW-Authenticate: {}\r\n", self.persona.gate.challenge(refusal, now));
        self.say(request, 401, now, &challenge, "", turn);
    }

    /// What there is to see (RFC 8866, RFC 6184, 8.2.1).
    fn describe(&self, request: &Request<'_>, now: i64, turn: &mut Turn) {
        let [sequence, picture] =
            [Picture::VGA.sequence_parameters(), Picture::picture_parameters()].map(|set| STANDARD.encode(set));
        let body = format!(
            "v=0\r\no=- {} 1 IN IP4 0.0.0.0\r\ns=Media Server\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\na=control:*\r\n\
             a=range:npt=0-\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1; \
             profile-level-id=42C01E; sprop-parameter-sets={sequence},{picture}\r\na=control:trackID=1\r\n",
            self.seed >> 32
        );
        let url = shown(request.target, URL_BYTES_MAX);
        let fields = format!("Content-Base: {url}/\r\nContent-Type: application/sdp\r\n");
        self.say(request, 200, now, &fields, &body, turn);
    }

    fn set_up(&mut self, request: &Request<'_>, now: i64, turn: &mut Turn) {
        let transport = request.header("transport").unwrap_or_default();
        let Some(channel) = interleaved(transport) else { return self.say(request, 461, now, "", "", turn) };
        self.channel = Some(channel);
        let fields = format!(
            "Transport: RTP/AVP/TCP;unicast;interleaved={channel}-{};ssrc={:08X}\r\n{}",
            u16::from(channel) + 1,
            self.source(),
            self.session()
        );
        self.say(request, 200, now, &fields, "", turn);
    }

    fn say(&self, request: &Request<'_>, status: u16, now: i64, fields: &str, body: &str, turn: &mut Turn) {
        let mut answer = self.head(request, status, now) + fields;
        if !body.is_empty() {
            write!(answer, "Content-Length: {}\r\n", body.len()).expect("a string takes everything");
        }
        turn.said.extend_from_slice((answer + "\r\n" + body).as_bytes());
    }

    fn head(&self, request: &Request<'_>, status: u16, now: i64) -> String {
        let mut head = format!("RTSP/1.0 {status} {}\r\n", reason(status));
        if let Some(sequence) = request.header("cseq") {
            write!(head, "CSeq: {}\r\n", shown(sequence, SEQUENCE_BYTES_MAX)).expect("a string takes everything");
        }
        if let Some(server) = &self.persona.server {
            write!(head, "Server: {server}\r\n").expect("a string takes everything");
        }
        write!(head, "Date: {}\r\n", date(now)).expect("a string takes everything");
        head
    }

    fn session(&self) -> String {
        format!("Session: {:08X};timeout=60\r\n", self.seed as u32)
    }

    /// Who sends the stream (SSRC, RFC 3550, 3).
    fn source(&self) -> u32 {
        (self.seed >> 16) as u32
    }

    fn frame(&mut self) -> Vec<u8> {
        let (Some(number), Some(channel)) = (self.playing, self.channel) else { return Vec::new() };
        let mut units = vec![Picture::VGA.frame(number)];
        if number % picture::GROUP == 0 {
            units.insert(0, Picture::picture_parameters());
            units.insert(0, Picture::VGA.sequence_parameters());
        }
        let mut said = Vec::new();
        for (index, unit) in units.iter().enumerate() {
            // RFC 3550, 5.1; the marker is on the last packet of a picture.
            let marker = if index + 1 == units.len() { 0x80 } else { 0 };
            let bytes = u16::try_from(12 + unit.len()).expect("a grey picture has less than 2 KiB");
            said.extend_from_slice(&[b'$', channel]);
            said.extend(bytes.to_be_bytes());
            said.extend_from_slice(&[0x80, marker | 96]);
            said.extend(self.packets.to_be_bytes());
            said.extend(number.wrapping_mul(FRAME_TICKS).to_be_bytes());
            said.extend(self.source().to_be_bytes());
            said.extend_from_slice(unit);
            self.packets = self.packets.wrapping_add(1);
        }
        self.playing = Some(number + 1).filter(|sent| *sent < FRAMES_MAX);
        said
    }
}

/// The path of a URL without its query; of `*` or a bare path, itself.
fn path(target: &[u8]) -> &[u8] {
    let path = match target.windows(3).position(|three| three == b"://") {
        Some(colon) => {
            let rest = &target[colon + 3..];
            let slash = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
            &rest[slash..]
        }
        None => target,
    };
    let end = path.iter().position(|byte| *byte == b'?').unwrap_or(path.len());
    if path.is_empty() { b"/" } else { &path[..end] }
}

/// The first channel of a transport over the connection: `RTP/AVP/TCP;unicast;interleaved=0-1`.
fn interleaved(transport: &[u8]) -> Option<u8> {
    let transport = String::from_utf8_lossy(transport);
    let offered =
        transport.split(',').find(|offer| offer.trim_start().to_ascii_uppercase().starts_with("RTP/AVP/TCP"))?;
    let channels = offered.split(';').find_map(|part| part.trim().strip_prefix("interleaved=")).unwrap_or("0-1");
    channels.split('-').next()?.parse().ok()
}

/// What a client said, repeated to it: printable, and not too long.
fn shown(said: &[u8], bytes_max: usize) -> String {
    let said = &said[..said.len().min(bytes_max)];
    said.iter().filter(|byte| (b'!'..=b'~').contains(*byte)).map(|byte| char::from(*byte)).collect()
}

const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        455 => "Method Not Valid in This State",
        461 => "Unsupported Transport",
        _ => "Status",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::persona::Persona;
    use crate::service::Service;

    const NOW: i64 = 784_111_777_000_000;

    fn camera() -> Dialogue {
        let persona = Persona::load("camera").unwrap();
        let mut found = persona.doors().iter().filter_map(|door| match &door.service {
            Service::Rtsp(rtsp) => Some(rtsp.clone()),
            _ => None,
        });
        Dialogue::new(found.next().unwrap(), 0x0123_4567_89AB_CDEF)
    }

    /// A camera that lets in whoever says `root:xc3511` in the clear.
    fn basic() -> (Dialogue, String) {
        let mut dialogue = camera();
        let mut persona = Arc::into_inner(dialogue.camera.persona).unwrap();
        persona.gate = persona.gate.as_basic();
        dialogue.camera.persona = Arc::new(persona);
        (dialogue, format!("Authorization: Basic {}\r\n", STANDARD.encode("root:xc3511")))
    }

    fn ask(dialogue: &mut Dialogue, line: &str, fields: &str) -> String {
        let request = format!("{line} RTSP/1.0\r\nCSeq: 7\r\n{fields}\r\n");
        String::from_utf8(dialogue.take(request.as_bytes(), NOW).said).unwrap()
    }

    #[test]
    fn what_everybody_is_told() {
        let check = |line: &str, expected: &str, part: &str| {
            let answer = ask(&mut camera(), line, "");
            assert!(answer.starts_with(&format!("RTSP/1.0 {expected}\r\nCSeq: 7\r\n")), "{line}: {answer}");
            assert!(answer.contains(part), "{line}: {answer}");
        };
        check("OPTIONS *", "200 OK", "Public: OPTIONS, DESCRIBE");
        check("DESCRIBE rtsp://192.0.2.1/nowhere", "404 Not Found", "");
        check(
            "DESCRIBE rtsp://192.0.2.1:554/live/ch0?a=b",
            "401 Unauthorized",
            "WWW-Authenticate: Digest realm=\"HL-C220\"",
        );
        check("SETUP rtsp://192.0.2.1/live/ch0/trackID=1", "401 Unauthorized", "");
        check("PLAY rtsp://192.0.2.1/live/ch0", "401 Unauthorized", "");
        check("PAUSE rtsp://192.0.2.1/live/ch0", "455 Method Not Valid in This State", "");
        check("RECORD rtsp://192.0.2.1/live/ch0", "405 Method Not Allowed", "Allow: ");
        check("TEARDOWN rtsp://192.0.2.1/live/ch0", "200 OK", "");
    }

    #[test]
    fn a_stream_over_the_connection() {
        let (mut dialogue, login) = basic();
        let url = "rtsp://192.0.2.1/live/ch0";
        let described = ask(&mut dialogue, &format!("DESCRIBE {url}"), &login);
        assert!(described.contains("Content-Base: rtsp://192.0.2.1/live/ch0/\r\n"), "{described}");
        let (head, body) = described.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{head}");
        assert!(body.contains("a=rtpmap:96 H264/90000\r\n"), "{body}");
        let set_up = |transport: &str| format!("{login}Transport: {transport}\r\n");
        let track = format!("SETUP {url}/trackID=1");
        let refused = ask(&mut dialogue, &track, &set_up("RTP/AVP;unicast;client_port=5000-5001"));
        assert!(refused.starts_with("RTSP/1.0 461 Unsupported Transport\r\n"), "{refused}");
        let early = ask(&mut dialogue, &format!("PLAY {url}"), &login);
        assert!(early.starts_with("RTSP/1.0 455"), "{early}");
        let granted = ask(&mut dialogue, &track, &set_up("RTP/AVP/TCP;unicast;interleaved=2-3"));
        assert!(granted.contains("Transport: RTP/AVP/TCP;unicast;interleaved=2-3;ssrc=456789AB\r\n"), "{granted}");
        assert!(!dialogue.is_playing());
        assert!(ask(&mut dialogue, &format!("PLAY {url}"), &login).contains("Session: 89ABCDEF;timeout=60\r\n"));
        let mut packets = 0;
        for number in 0..FRAMES_MAX {
            assert!(dialogue.is_playing(), "{number}");
            let frame = dialogue.frame();
            let mut rest = &frame[..];
            while let [b'$', 2, high, low, packet @ ..] = rest {
                let (packet, after) = packet.split_at(usize::from(u16::from_be_bytes([*high, *low])));
                assert_eq!(packet[2..4], (packets as u16).to_be_bytes());
                assert_eq!(packet[1] & 0x80 != 0, after.is_empty());
                (rest, packets) = (after, packets + 1);
            }
            assert!(rest.is_empty());
        }
        assert!(!dialogue.is_playing());
        assert!(dialogue.frame().is_empty());
        let over = dialogue.take(format!("TEARDOWN {url} RTSP/1.0\r\nCSeq: 9\r\n\r\n").as_bytes(), NOW);
        assert!(over.is_last);
    }

    #[test]
    fn what_is_no_request_ends_the_conversation() {
        let turn = camera().take(b"GET / HTTP/1.1\r\n\r\nOPTIONS * RTSP/1.0\r\n\r\n", NOW);
        assert_eq!(turn.said.windows(8).filter(|eight| *eight == b"RTSP/1.0").count(), 1);
        assert!(turn.said.starts_with(b"RTSP/1.0 400 Bad Request\r\n"));
        assert!(turn.is_last);
    }

    #[test]
    fn paths() {
        let check = |target: &str, expected: &str| assert_eq!(path(target.as_bytes()), expected.as_bytes(), "{target}");
        check("rtsp://a:554/b/c?d=e", "/b/c");
        check("rtsp://a", "/");
        check("/b", "/b");
        check("*", "*");
    }

    proptest! {
        #[test]
        fn whatever_is_sent_is_survived(said in "(OPTIONS|DESCRIBE|SETUP|PLAY|\\$|[ -~]{0,9})[ -~\r\n]{0,90}\r\n\r\n") {
            camera().take(said.as_bytes(), NOW);
        }
    }
}
