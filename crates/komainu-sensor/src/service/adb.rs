//! Android Debug Bridge as a set-top box has it that listens without asking for a key (AOSP, protocol.txt): a shell,
//! commands, and files over the sync service.
//!
//! [`Dialogue`] is the whole of it without sockets: bytes in, [`Step`]s out. Commands and files are told by the decoder.

mod sync;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use self::sync::Sync;
use crate::link::Link;
use crate::persona::{Device, PersonaError};
use crate::service::terminal::{self, Editor, Pressed, Turn};
use crate::session::Ending;
use crate::shell::{Machine, Note, Reaction, Shell, ShellEvent, ShellLimits};

/// Bytes of a message before its payload.
const HEADER_BYTES: usize = 24;

/// The version that is told; with it, checksums are made (protocol.txt, A_VERSION_MIN).
const VERSION: u32 = 0x0100_0000;

/// The payload that is told to be taken, in bytes, as before Android 7 (adb.h, MAX_PAYLOAD_V1).
const PAYLOAD_BYTES: usize = 4096;

/// The payload that is taken, in bytes: some tools do not care what they are told. A longer one ends the connection.
const PAYLOAD_BYTES_MAX: usize = 64 * 1024;

/// Streams that are open at once. A further one is refused.
const STREAMS_MAX: usize = 8;

/// What waits to be said on a stream before what comes on it is dropped, in bytes. One command says less.
const QUEUE_BYTES_MAX: usize = 512 * 1024;

/// The standard input of a command that is collected before it runs, over all streams, in bytes.
const INPUT_BYTES_MAX: usize = 4 << 20;

/// A device that can be debugged.
#[derive(Debug)]
pub(crate) struct Adb {
    /// `device::` and the properties.
    banner: Vec<u8>,
    machine: Arc<Machine>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AdbText {
    pub(crate) ports: Vec<u16>,
    /// What the device says it is, such as `ro.product.name`.
    #[serde(default)]
    properties: BTreeMap<String, String>,
}

impl Adb {
    /// Checks what a persona says; `at` is where it says it.
    pub(crate) fn check(text: AdbText, at: &str, device: &Device<'_>) -> Result<Self, PersonaError> {
        let mut banner = b"device::".to_vec();
        for (name, value) in &text.properties {
            let is_plain = |text: &str| text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b';');
            if !is_plain(name) || !is_plain(value) || name.contains('=') {
                return Err(device.wrong(format!("{at}.properties"), "must be ASCII without ; and ="));
            }
            banner.extend_from_slice(format!("{name}={value};").as_bytes());
        }
        if banner.len() >= PAYLOAD_BYTES {
            return Err(device.wrong(format!("{at}.properties"), format!("must be shorter than {PAYLOAD_BYTES} bytes")));
        }
        banner.push(0);
        Ok(Self { banner, machine: Arc::new(device.machine.with_android_folders()) })
    }
}

/// Speaks with a client until the connection ends.
pub(crate) async fn serve(link: &mut Link, persona: &Arc<Adb>, seed: u64) -> Ending {
    let mut dialogue = Box::new(Dialogue::new(persona.clone(), seed));
    let ending = match converse(link, &mut dialogue).await {
        Ok(()) => Ending::Closed,
        Err(ending) => ending,
    };
    for event in dialogue.shell.close() {
        record(link, event);
    }
    ending
}

async fn converse(link: &mut Link, dialogue: &mut Dialogue) -> Result<(), Ending> {
    loop {
        let bytes = link.read().await?;
        dialogue.take(&bytes);
        while let Some(step) = dialogue.step(link.age()) {
            for event in step.events {
                record(link, event);
            }
            link.write(&step.at_once).await?;
            if !step.delay.is_zero() {
                link.pause(step.delay).await?;
            }
            link.write(&step.then).await?;
            if step.is_last {
                return Ok(());
            }
        }
    }
}

fn record(link: &mut Link, event: ShellEvent) {
    let now = link.now();
    link.keeper().shell_event(now, event);
}

/// What a message brings about.
#[derive(Debug, Default)]
struct Step {
    at_once: Vec<u8>,
    delay: Duration,
    then: Vec<u8>,
    events: Vec<ShellEvent>,
    is_last: bool,
}

/// A connection.
struct Dialogue {
    persona: Arc<Adb>,
    shell: Box<Shell>,
    /// What was said and not looked at yet: a message at most, and what was read with it.
    waiting: Vec<u8>,
    /// How much of it was looked at.
    at: usize,
    streams: Vec<Stream>,
    streams_opened: u32,
}

/// A stream to a service.
struct Stream {
    /// Our number of it, and the client's.
    ours: u32,
    theirs: u32,
    service: Service,
    /// What is to be said yet.
    queue: Vec<u8>,
    /// How much of it was said.
    said: usize,
    /// Something was said and not acknowledged.
    is_waiting: bool,
    /// It is closed when everything is said.
    ends: bool,
}

enum Service {
    Terminal(Editor),
    /// A command that waits for the end of its input.
    Waiting {
        command: Vec<u8>,
        input: Vec<u8>,
    },
    Sync(Sync),
    /// Nothing more comes of it.
    Done,
}

impl Dialogue {
    fn new(persona: Arc<Adb>, seed: u64) -> Self {
        let shell = Box::new(Shell::new(persona.machine.clone(), ShellLimits::default(), seed));
        Self { persona, shell, waiting: Vec::new(), at: 0, streams: Vec::new(), streams_opened: 0 }
    }

    /// Takes what the client says.
    fn take(&mut self, bytes: &[u8]) {
        self.waiting.drain(..self.at);
        self.at = 0;
        self.waiting.extend_from_slice(bytes);
    }

    /// What follows from the next whole message; none when the client has to say more.
    fn step(&mut self, now: Duration) -> Option<Step> {
        let rest = self.waiting.get(self.at..)?;
        let (header, body) = rest.split_first_chunk::<HEADER_BYTES>()?;
        let word = |index: usize| {
            let word = header[index * 4..].first_chunk().expect("a header has six words of four bytes");
            u32::from_le_bytes(*word)
        };
        let length = word(3) as usize;
        // The magic is the complement of the command (protocol.txt). What has none is not this protocol.
        if word(5) != !word(0) || length > PAYLOAD_BYTES_MAX {
            return Some(Step { is_last: true, ..Step::default() });
        }
        let payload = body.get(..length)?.to_vec();
        let [a, b, c, d, ..] = *header;
        let (first, second) = (word(1), word(2));
        self.at += HEADER_BYTES + length;
        let mut step = Step::default();
        match &[a, b, c, d] {
            b"CNXN" => {
                self.streams.clear();
                push(&mut step.at_once, b"CNXN", VERSION, PAYLOAD_BYTES as u32, &self.persona.banner);
            }
            b"OPEN" => self.open(first, payload.strip_suffix(b"\0").unwrap_or(&payload), now, &mut step),
            b"WRTE" => self.write(first, second, &payload, now, &mut step),
            b"OKAY" => {
                if let Some(stream) = self.streams.iter_mut().find(|stream| stream.ours == second) {
                    stream.is_waiting = false;
                }
            }
            b"CLSE" => self.close(first, second, now, &mut step),
            // Answers to a question for a key, which was not asked, and what is new.
            _ => {}
        }
        let out = if step.delay.is_zero() { &mut step.at_once } else { &mut step.then };
        for stream in &mut self.streams {
            stream.go_on(&mut self.shell, now, out, &mut step.events);
        }
        self.streams.retain(|stream| !(stream.ends && stream.is_silent() && !stream.is_waiting));
        Some(step)
    }

    fn open(&mut self, theirs: u32, destination: &[u8], now: Duration, step: &mut Step) {
        if self.streams.len() >= STREAMS_MAX {
            return push(&mut step.at_once, b"CLSE", 0, theirs, &[]);
        }
        let end = destination.iter().position(|byte| *byte == b':').unwrap_or(destination.len());
        let argument = destination.get(end + 1..).unwrap_or_default();
        let mut queue = Vec::new();
        let service = match &destination[..end] {
            b"shell" if argument.is_empty() => {
                self.shell.log_in_again();
                queue.extend(self.shell.prompt());
                Service::Terminal(Editor::plain())
            }
            b"shell" | b"exec" => {
                self.shell.log_in_again();
                match self.shell.exec_without_input(argument, now) {
                    Some(reaction) => {
                        let is_terminal = destination.starts_with(b"shell");
                        queue = ran(reaction, is_terminal, step);
                        Service::Done
                    }
                    None => Service::Waiting { command: argument.to_vec(), input: Vec::new() },
                }
            }
            b"sync" => Service::Sync(Sync::default()),
            b"root" => {
                queue.extend_from_slice(b"adbd is already running as root\n");
                Service::Done
            }
            b"remount" => {
                queue.extend_from_slice(b"remount failed: Read-only file system\n");
                Service::Done
            }
            b"reboot" => {
                step.events.push(ShellEvent::Noted(Note::Rebooted));
                Service::Done
            }
            _ => return push(&mut step.at_once, b"CLSE", 0, theirs, &[]),
        };
        self.streams_opened = self.streams_opened.wrapping_add(1).max(1);
        let ours = self.streams_opened;
        push(&mut step.at_once, b"OKAY", ours, theirs, &[]);
        let ends = matches!(service, Service::Done);
        self.streams.push(Stream { ours, theirs, service, queue, said: 0, is_waiting: false, ends });
    }

    fn write(&mut self, theirs: u32, ours: u32, bytes: &[u8], now: Duration, step: &mut Step) {
        let held: usize = self.streams.iter().map(Stream::input_bytes).sum();
        let Some(stream) = self.streams.iter_mut().find(|stream| stream.ours == ours) else {
            return push(&mut step.at_once, b"CLSE", 0, theirs, &[]);
        };
        push(&mut step.at_once, b"OKAY", stream.ours, stream.theirs, &[]);
        match &mut stream.service {
            Service::Done => {}
            Service::Waiting { input, .. } => {
                let room = INPUT_BYTES_MAX.saturating_sub(held);
                input.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            Service::Sync(sync) => sync.take(bytes),
            Service::Terminal(editor) => {
                let mut turn = Turn::default();
                for byte in bytes {
                    if stream.queue.len() + turn.at_once.len() + turn.then.len() > QUEUE_BYTES_MAX {
                        break;
                    }
                    match editor.press(*byte, true, &mut turn.at_once) {
                        Pressed::Nothing => {}
                        Pressed::Interrupt => {
                            turn.at_once.extend_from_slice(b"^C\r\n");
                            turn.at_once.extend(self.shell.prompt());
                        }
                        Pressed::EndOfInput => turn.is_last = true,
                        Pressed::Line(line) => terminal::enter(&mut self.shell, &line, &mut turn, now),
                    }
                    step.delay = step.delay.max(turn.delay);
                    turn.at_once.append(&mut turn.then);
                    if turn.is_last {
                        break;
                    }
                }
                step.events.append(&mut turn.events);
                stream.queue.append(&mut turn.at_once);
                if turn.is_last {
                    stream.service = Service::Done;
                    stream.ends = true;
                }
            }
        }
    }

    fn close(&mut self, theirs: u32, ours: u32, now: Duration, step: &mut Step) {
        let known = self.streams.iter().position(|stream| stream.ours == ours && stream.theirs == theirs);
        let Some(index) = known else { return };
        let stream = self.streams.remove(index);
        if let Service::Waiting { command, input } = stream.service {
            // Nobody waits for what it says.
            step.events.extend(self.shell.exec(&command, input, now).events);
        }
        push(&mut step.at_once, b"CLSE", stream.ours, stream.theirs, &[]);
    }
}

impl Stream {
    /// Says what may be said now, and closes the stream when there is no more.
    fn go_on(&mut self, shell: &mut Shell, now: Duration, out: &mut Vec<u8>, events: &mut Vec<ShellEvent>) {
        if self.is_waiting {
            return;
        }
        if self.is_silent() {
            self.queue.clear();
            self.said = 0;
            if let Service::Sync(sync) = &mut self.service {
                self.ends |= sync.go_on(shell, now, &mut self.queue, events);
            }
        }
        if !self.is_silent() {
            let rest = &self.queue[self.said..];
            let part = &rest[..rest.len().min(PAYLOAD_BYTES)];
            push(out, b"WRTE", self.ours, self.theirs, part);
            self.said += part.len();
            self.is_waiting = true;
        } else if self.ends {
            push(out, b"CLSE", self.ours, self.theirs, &[]);
        }
    }

    fn is_silent(&self) -> bool {
        self.said >= self.queue.len()
    }

    fn input_bytes(&self) -> usize {
        match &self.service {
            Service::Waiting { input, .. } => input.len(),
            Service::Terminal(_) | Service::Sync(_) | Service::Done => 0,
        }
    }
}

/// Says messages to a device and acknowledges what it writes. Each is five bytes, which are its command, two arguments
/// and the length of its payload, and the payload; what is no command is said as it is.
#[cfg(fuzzing)]
pub(crate) fn check_bytes(persona: &Arc<Adb>, bytes: &[u8]) {
    let whole = told(persona, bytes, usize::MAX);
    assert_eq!(told(persona, bytes, 7), whole, "cutting changes nothing");
}

/// What is answered when each message comes in pieces of `size` bytes.
#[cfg(fuzzing)]
fn told(persona: &Arc<Adb>, mut bytes: &[u8], size: usize) -> Vec<u8> {
    let mut dialogue = Dialogue::new(persona.clone(), 1);
    let mut said = Vec::new();
    while let Some((&[command, first, second, high, low], rest)) = bytes.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([high, low])).min(rest.len());
        let (payload, rest) = rest.split_at(length);
        bytes = rest;
        let mut todo = Vec::new();
        match [b"CNXN", b"OPEN", b"WRTE", b"OKAY", b"CLSE", b"AUTH"].get(usize::from(command)) {
            Some(command) => push(&mut todo, command, first.into(), second.into(), payload),
            None => todo.extend_from_slice(payload),
        }
        while !todo.is_empty() {
            let mut acknowledged = Vec::new();
            for piece in todo.chunks(size) {
                dialogue.take(piece);
                while let Some(step) = dialogue.step(Duration::ZERO) {
                    let answers = [step.at_once, step.then].concat();
                    let mut rest = answers.as_slice();
                    while let Some((header, body)) = rest.split_first_chunk::<HEADER_BYTES>() {
                        let words = header.as_chunks::<4>().0;
                        let length = u32::from_le_bytes(words[3]) as usize;
                        assert!(length <= PAYLOAD_BYTES, "nothing is longer than what was told");
                        if &words[0] == b"WRTE" {
                            let [ours, theirs] = [words[1], words[2]].map(u32::from_le_bytes);
                            push(&mut acknowledged, b"OKAY", theirs, ours, &[]);
                        }
                        rest = body.get(length..).expect("a message is whole");
                    }
                    assert!(rest.is_empty(), "a message is whole");
                    said.extend(answers);
                    if step.is_last {
                        return said;
                    }
                    assert!(dialogue.streams.len() <= STREAMS_MAX);
                    assert!(dialogue.streams.iter().map(Stream::input_bytes).sum::<usize>() <= INPUT_BYTES_MAX);
                }
            }
            todo = acknowledged;
        }
    }
    dialogue.shell.close();
    said
}

/// What a command that has run says.
fn ran(reaction: Reaction, is_terminal: bool, step: &mut Step) -> Vec<u8> {
    step.events.extend(reaction.events);
    step.delay = reaction.delay.min(terminal::DELAY_MAX);
    if !is_terminal {
        return reaction.output;
    }
    let mut shown = Vec::new();
    terminal::push(&mut shown, &reaction.output);
    shown
}

/// Adds a message (protocol.txt): command, two arguments, length, sum of the bytes, magic.
fn push(out: &mut Vec<u8>, command: &[u8; 4], first: u32, second: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("a payload has 4 KiB at most");
    let sum = payload.iter().fold(0_u32, |sum, byte| sum.wrapping_add(u32::from(*byte)));
    let number = u32::from_le_bytes(*command);
    for word in [number, first, second, length, sum, !number] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::shell::Cpu;

    fn box_of_android() -> Dialogue {
        let machine = Arc::new(Machine::new(Cpu::Armv7, "tv").with_android_folders());
        Dialogue::new(Arc::new(Adb { banner: b"device::ro.product.name=tv;\0".to_vec(), machine }), 1)
    }

    fn message(command: &[u8; 4], first: u32, second: u32, payload: &[u8]) -> Vec<u8> {
        let mut whole = Vec::new();
        push(&mut whole, command, first, second, payload);
        whole
    }

    /// Says messages and acknowledges what is written; the answers, as `NAME payload`.
    fn talk(dialogue: &mut Dialogue, said: &[u8]) -> Vec<String> {
        let mut shown = Vec::new();
        let mut todo = said.to_vec();
        while !todo.is_empty() {
            for piece in std::mem::take(&mut todo).chunks(7) {
                dialogue.take(piece);
                while let Some(step) = dialogue.step(Duration::ZERO) {
                    let answers = [step.at_once, step.then].concat();
                    let mut rest = answers.as_slice();
                    while !rest.is_empty() {
                        let word = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
                        let payload = &rest[HEADER_BYTES..HEADER_BYTES + word(12) as usize];
                        let name = String::from_utf8_lossy(&rest[..4]);
                        shown.push(
                            format!("{name} {}", String::from_utf8_lossy(payload)).trim_end_matches(' ').to_owned(),
                        );
                        if name == "WRTE" {
                            todo.extend(message(b"OKAY", word(8), word(4), &[]));
                        }
                        rest = &rest[HEADER_BYTES + payload.len()..];
                    }
                    if step.is_last {
                        shown.push("<end>".into());
                        return shown;
                    }
                }
            }
        }
        shown
    }

    fn check(said: &[Vec<u8>], expected: &[&str]) {
        assert_eq!(talk(&mut box_of_android(), &said.concat()), expected);
    }

    #[test]
    fn who_it_is() {
        check(&[message(b"CNXN", VERSION, 4096, b"host::\0")], &["CNXN device::ro.product.name=tv;\0"]);
        check(&[b"GET / HTTP/1.0\r\nHost: x\r\n\r\n".to_vec()], &["<end>"]);
        let mut long = message(b"CNXN", VERSION, 4096, b"");
        long[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
        check(&[long], &["<end>"]);
    }

    #[test]
    fn commands() {
        let open = |destination: &[u8]| message(b"OPEN", 5, 0, &[destination, b"\0"].concat());
        check(&[open(b"shell:echo a")], &["OKAY", "WRTE a\r\n", "CLSE"]);
        check(&[open(b"exec:echo a")], &["OKAY", "WRTE a\n", "CLSE"]);
        check(&[open(b"jdwp:1")], &["CLSE"]);
        check(
            &[open(b"shell:"), message(b"WRTE", 5, 1, b"pwd\n"), message(b"WRTE", 5, 1, b"exit\n")],
            &["OKAY", "WRTE ~ #", "OKAY", "OKAY", "WRTE pwd\r\n/root\r\n~ # exit\r\n", "CLSE"],
        );
        let mut dialogue = box_of_android();
        let said = [
            open(b"shell:cat > /data/local/tmp/x"),
            message(b"WRTE", 5, 1, b"hello\n"),
            message(b"CLSE", 5, 1, b""),
            open(b"exec:cat /data/local/tmp/x"),
        ];
        assert_eq!(talk(&mut dialogue, &said.concat()), ["OKAY", "OKAY", "CLSE", "OKAY", "WRTE hello\n", "CLSE"]);
        assert_eq!(dialogue.shell.close().len(), 1, "it is an artifact");
    }

    #[test]
    fn long_answers_wait_for_each_part() {
        let mut dialogue = box_of_android();
        let shown =
            talk(&mut dialogue, &message(b"OPEN", 5, 0, b"exec:dd if=/dev/zero bs=10000 count=1 2>/dev/null\0"));
        let lengths: Vec<usize> = shown.iter().filter(|one| one.starts_with("WRTE")).map(|one| one.len() - 5).collect();
        assert_eq!(lengths, [4096, 4096, 10_000 - 2 * 4096]);
    }

    #[test]
    fn files_come_and_go() {
        let open = message(b"OPEN", 5, 0, b"sync:\0");
        let write = |bytes: &[u8]| message(b"WRTE", 5, 1, bytes);
        let request = |id: &[u8; 4], text: &[u8]| [id, (text.len() as u32).to_le_bytes().as_slice(), text].concat();
        let mut dialogue = box_of_android();
        let push =
            [request(b"SEND", b"/data/local/tmp/a/x,33261"), request(b"DATA", b"hello"), b"DONE\x01\0\0\0".to_vec()];
        let shown = talk(&mut dialogue, &[open.clone(), write(&push.concat())].concat());
        assert_eq!(shown, ["OKAY", "OKAY", "WRTE OKAY\0\0\0\0"]);
        let shown = talk(&mut dialogue, &write(&request(b"RECV", b"/data/local/tmp/a/x")));
        assert_eq!(shown, ["OKAY", "WRTE DATA\x05\0\0\0helloDONE\0\0\0\0"]);
        let shown = talk(&mut dialogue, &write(&request(b"LIST", b"/data/local/tmp/a")));
        assert!(
            shown[1].contains("DENT") && shown[1].contains("\x01\0\0\0x") && shown[1].contains("DONE"),
            "{shown:?}"
        );
        let shown = talk(&mut dialogue, &write(&request(b"RECV", b"/none")));
        assert!(shown[1].contains("FAIL") && shown[1].ends_with("No such file or directory"), "{shown:?}");
        let shown =
            talk(&mut dialogue, &write(&[request(b"SEND", b"/bin/x,33261"), b"DONE\x01\0\0\0".to_vec()].concat()));
        assert!(shown[1].contains("FAIL") && shown[1].ends_with("Read-only file system"), "{shown:?}");
        assert!(dialogue.shell.close().is_empty(), "the decoder tells what was sent");
    }

    #[test]
    fn streams_are_bounded() {
        let mut dialogue = box_of_android();
        for number in 0..20 {
            talk(&mut dialogue, &message(b"OPEN", number, 0, b"shell:\0"));
        }
        assert_eq!(dialogue.streams.len(), STREAMS_MAX);
    }

    proptest! {
        #[test]
        fn whatever_is_said_is_survived(
            said in proptest::collection::vec(
                (
                    proptest::sample::select(&[b"OPEN", b"WRTE", b"OKAY", b"CLSE", b"CNXN"][..]),
                    0..3_u32,
                    prop_oneof![
                        proptest::collection::vec(any::<u8>(), 0..40),
                        proptest::sample::select(vec![b"sync:".to_vec(), b"shell:".to_vec(), b"SEND\x05\0\0\0/tmp/".to_vec()]),
                    ],
                ),
                0..30,
            ),
        ) {
            let mut dialogue = box_of_android();
            for (command, number, payload) in said {
                dialogue.take(&message(command, number, number, &payload));
                while dialogue.step(Duration::ZERO).is_some_and(|step| !step.is_last) {}
            }
            dialogue.shell.close();
        }
    }
}
