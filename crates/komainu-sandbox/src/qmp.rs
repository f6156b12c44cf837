//! Speaking to QEMU: the QEMU Machine Protocol.
//!
//! A sample may have taken over the QEMU that answers. Its answers are bounded in length and in number, and nothing is
//! believed of them but whether a command was done and what became of the guest. What it does not say in time it does not
//! say at all: each command has its time.

use std::io::{self, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::limits::{QMP_BYTES_MAX, QMP_LINE_BYTES_MAX};

/// One connection to one QEMU, which is told what to do and asked what became of it.
#[derive(Debug)]
pub(crate) struct Qmp {
    stream: UnixStream,
    reader: QmpReader,
    next_id: u64,
    fate: GuestFate,
}

/// What QEMU told of the guest on its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct GuestFate {
    /// The guest switched itself off, began anew, or its kernel gave up.
    pub(crate) is_over: bool,
}

/// Why QEMU did not do something.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QmpError {
    /// It is gone, or cannot be spoken to.
    #[error("QEMU does not listen any more")]
    Gone(#[source] io::Error),
    /// It does not answer.
    #[error("QEMU did not answer `{0}` in time")]
    Late(&'static str),
    /// It says something else than the protocol has.
    #[error("QEMU talks nonsense: {0}")]
    Nonsense(#[from] QmpNonsense),
    /// It does not want to.
    #[error("QEMU refused `{command}`: {reason}")]
    Refused {
        /// What it was told.
        command: &'static str,
        /// What it says, escaped.
        reason: String,
    },
}

/// What no QEMU says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QmpNonsense {
    /// A line beyond the bound.
    #[error("a line of more than {QMP_LINE_BYTES_MAX} bytes")]
    LongLine,
    /// More in all than the bound.
    #[error("more than {QMP_BYTES_MAX} bytes in all")]
    TooMuch,
    /// A line that is no message.
    #[error("a line that is no message")]
    NoMessage,
}

/// What QEMU said in one line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum QmpMessage {
    /// Its first word.
    Greeting,
    /// What a command gave.
    Returned {
        /// The command's number, if it repeats one.
        id: Option<u64>,
        /// What.
        value: Value,
    },
    /// What it says to a command that it did not do.
    Refused {
        /// The command's number, if it repeats one.
        id: Option<u64>,
        /// Why, escaped and cut to 256 characters.
        reason: String,
    },
    /// It tells that the guest is over.
    GuestOver,
    /// It tells something else.
    Event,
}

/// Takes what QEMU says apart into messages.
#[derive(Debug, Default)]
pub(crate) struct QmpReader {
    line: Vec<u8>,
    bytes: usize,
}

impl Qmp {
    /// Begins a conversation over one end of a socket pair, whose other end QEMU has.
    pub(crate) fn begin(stream: UnixStream, time: Duration) -> Result<Self, QmpError> {
        let mut qmp = Self { stream, reader: QmpReader::default(), next_id: 0, fate: GuestFate::default() };
        let deadline = Instant::now() + time;
        while !qmp.hear("greeting", deadline)?.contains(&QmpMessage::Greeting) {}
        qmp.execute("qmp_capabilities", Value::Null, None, deadline)?;
        Ok(qmp)
    }

    /// Has a command done, with a descriptor beside it where the command takes one.
    pub(crate) fn execute(
        &mut self,
        command: &'static str,
        arguments: Value,
        descriptor: Option<BorrowedFd<'_>>,
        deadline: Instant,
    ) -> Result<Value, QmpError> {
        self.next_id += 1;
        let id = self.next_id;
        let mut message = json!({ "execute": command, "id": id });
        if !arguments.is_null() {
            message["arguments"] = arguments;
        }
        self.say(command, message.to_string().as_bytes(), descriptor, deadline)?;
        let mut value = None;
        loop {
            for heard in self.hear(command, deadline)? {
                match heard {
                    QmpMessage::Returned { id: of, value: given } if of == Some(id) => value = Some(given),
                    QmpMessage::Refused { id: of, reason } if of == Some(id) || of.is_none() => {
                        return Err(QmpError::Refused { command, reason });
                    }
                    // Answers to nothing that was asked.
                    QmpMessage::Returned { .. } | QmpMessage::Refused { .. } => {}
                    QmpMessage::Greeting | QmpMessage::GuestOver | QmpMessage::Event => {}
                }
            }
            if let Some(value) = value {
                return Ok(value);
            }
        }
    }

    /// Hears what QEMU tells on its own, without waiting.
    pub(crate) fn listen(&mut self) -> Result<GuestFate, QmpError> {
        self.stream.set_nonblocking(true).map_err(QmpError::Gone)?;
        let heard = self.hear_once();
        self.stream.set_nonblocking(false).map_err(QmpError::Gone)?;
        match heard {
            Ok(_) => Ok(self.fate),
            Err(QmpError::Gone(error)) if error.kind() == io::ErrorKind::WouldBlock => Ok(self.fate),
            Err(error) => Err(error),
        }
    }

    fn say(
        &mut self,
        command: &'static str,
        message: &[u8],
        descriptor: Option<BorrowedFd<'_>>,
        deadline: Instant,
    ) -> Result<(), QmpError> {
        self.stream.set_write_timeout(Some(left(command, deadline)?)).map_err(QmpError::Gone)?;
        let Some(descriptor) = descriptor else {
            return self.stream.write_all(message).map_err(QmpError::Gone);
        };
        let descriptors = [descriptor];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        // The space is that of one descriptor.
        assert!(beside.push(SendAncillaryMessage::ScmRights(&descriptors)), "there is space for one descriptor");
        let sent = rustix::net::sendmsg(&self.stream, &[IoSlice::new(message)], &mut beside, SendFlags::NOSIGNAL)
            .map_err(|error| QmpError::Gone(error.into()))?;
        self.stream.write_all(message.get(sent..).unwrap_or_default()).map_err(QmpError::Gone)
    }

    /// Waits for one or more messages.
    fn hear(&mut self, command: &'static str, deadline: Instant) -> Result<Vec<QmpMessage>, QmpError> {
        loop {
            self.stream.set_read_timeout(Some(left(command, deadline)?)).map_err(QmpError::Gone)?;
            match self.hear_once() {
                Ok(heard) if heard.is_empty() => {}
                Ok(heard) => return Ok(heard),
                Err(QmpError::Gone(error)) if is_late(&error) => return Err(QmpError::Late(command)),
                Err(error) => return Err(error),
            }
        }
    }

    fn hear_once(&mut self) -> Result<Vec<QmpMessage>, QmpError> {
        let mut buffer = [0; 4096];
        let bytes = match self.stream.read(&mut buffer) {
            Ok(0) => return Err(QmpError::Gone(io::ErrorKind::UnexpectedEof.into())),
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Vec::new()),
            Err(error) => return Err(QmpError::Gone(error)),
        };
        let heard = self.reader.push(&buffer[..bytes])?;
        if heard.contains(&QmpMessage::GuestOver) {
            self.fate.is_over = true;
        }
        Ok(heard)
    }
}

impl AsFd for Qmp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// The time that is left, never none: a socket takes no time of zero.
fn left(command: &'static str, deadline: Instant) -> Result<Duration, QmpError> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(QmpError::Late(command)) } else { Ok(left) }
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

impl QmpReader {
    /// The messages that are whole with these bytes. After an error nothing more is to be read.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<QmpMessage>, QmpNonsense> {
        self.bytes += bytes.len();
        if self.bytes > QMP_BYTES_MAX {
            return Err(QmpNonsense::TooMuch);
        }
        let mut messages = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() + piece.len() > QMP_LINE_BYTES_MAX {
                return Err(QmpNonsense::LongLine);
            }
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                if !self.line.trim_ascii().is_empty() {
                    messages.push(message(&self.line)?);
                }
                self.line.clear();
            }
        }
        Ok(messages)
    }
}

#[derive(Deserialize)]
struct WireMessage {
    #[serde(rename = "QMP", default)]
    greeting: Option<serde::de::IgnoredAny>,
    #[serde(rename = "return", default)]
    returned: Option<Value>,
    #[serde(default)]
    error: Option<WireError>,
    #[serde(default)]
    event: Option<String>,
    #[serde(default)]
    id: Option<Value>,
}

#[derive(Deserialize)]
struct WireError {
    #[serde(default)]
    desc: String,
}

fn message(line: &[u8]) -> Result<QmpMessage, QmpNonsense> {
    let WireMessage { greeting, returned, error, event, id } =
        serde_json::from_slice(line).map_err(|_| QmpNonsense::NoMessage)?;
    let id = id.as_ref().and_then(Value::as_u64);
    if let Some(value) = returned {
        return Ok(QmpMessage::Returned { id, value });
    }
    if let Some(error) = error {
        return Ok(QmpMessage::Refused { id, reason: shown(&error.desc) });
    }
    if let Some(event) = event {
        // A guest that begins anew is as gone as one that is off: what was seen of the sample is over.
        return Ok(match &*event {
            "SHUTDOWN" | "POWERDOWN" | "RESET" | "GUEST_PANICKED" | "GUEST_CRASHLOADED" => QmpMessage::GuestOver,
            _ => QmpMessage::Event,
        });
    }
    greeting.map(|_| QmpMessage::Greeting).ok_or(QmpNonsense::NoMessage)
}

/// Text of QEMU, as text that harms nobody.
fn shown(text: &str) -> String {
    text.escape_debug().take(256).collect()
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn check(said: &str, expected: Result<Vec<QmpMessage>, QmpNonsense>) {
        assert_eq!(QmpReader::default().push(said.as_bytes()), expected, "{said}");
        // However it is cut, it is the same.
        let mut reader = QmpReader::default();
        let mut heard = Vec::new();
        let mut outcome = Ok(());
        for byte in said.as_bytes() {
            match reader.push(&[*byte]) {
                Ok(more) => heard.extend(more),
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        assert_eq!(outcome.map(|()| heard), expected, "cut: {said}");
    }

    #[test]
    fn what_qemu_says_is_understood() {
        check(
            "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}}, \"capabilities\": [\"oob\"]}}\r\n",
            Ok(vec![QmpMessage::Greeting]),
        );
        check("{\"return\": {}, \"id\": 3}\r\n", Ok(vec![QmpMessage::Returned { id: Some(3), value: json!({}) }]));
        check("\r\n\n", Ok(Vec::new()));
        check("{\"return\": {}", Ok(Vec::new()));
        let reason = "no \\u{1b}[2J such".to_owned();
        check(
            "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no \\u001b[2J such\"}}\n",
            Ok(vec![QmpMessage::Refused { id: None, reason }]),
        );
        check(
            "{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \"event\": \"STOP\"}\n{\"event\": \"SHUTDOWN\", \"data\": {\"guest\": true, \"reason\": \"guest-reset\"}}\n",
            Ok(vec![QmpMessage::Event, QmpMessage::GuestOver]),
        );
    }

    #[test]
    fn what_no_qemu_says_ends_the_conversation() {
        for said in ["[]\n", "{}\n", "hello\n", "{\"id\": 1}\n", "{\"event\": 5}\n", "\u{0}\n"] {
            check(said, Err(QmpNonsense::NoMessage));
        }
        let deep = format!("{}\n", "[".repeat(10_000));
        assert_eq!(QmpReader::default().push(deep.as_bytes()), Err(QmpNonsense::NoMessage));
        let long = vec![b' '; QMP_LINE_BYTES_MAX + 1];
        assert_eq!(QmpReader::default().push(&long), Err(QmpNonsense::LongLine));
        let mut reader = QmpReader::default();
        let event = b"{\"event\": \"STOP\"}\n";
        let heard = (0..).map(|_| reader.push(event)).find(Result::is_err);
        assert_eq!(heard, Some(Err(QmpNonsense::TooMuch)));
    }

    /// A QEMU that says these lines, one after each line that it hears.
    fn peer(lines: &'static [&'static str]) -> (UnixStream, thread::JoinHandle<()>) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let thread = thread::spawn(move || {
            for (number, line) in lines.iter().enumerate() {
                if number > 0 && theirs.read(&mut [0; 4096]).unwrap_or(0) == 0 {
                    return;
                }
                let _ = theirs.write_all(line.as_bytes());
            }
            // Silent from here on, until the other side is gone.
            while theirs.read(&mut [0; 4096]).unwrap_or(0) > 0 {}
        });
        (ours, thread)
    }

    const SHORT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn a_command_is_answered_whatever_is_told_between() {
        let (stream, thread) = peer(&[
            "{\"QMP\": {}}\n",
            "{\"return\": {}, \"id\": 1}\n",
            "{\"event\": \"STOP\"}\n{\"return\": 7, \"id\": 1}\n{\"return\": 8, \"id\": 2}\n{\"event\": \"SHUTDOWN\"}\n",
            "{\"error\": {\"desc\": \"no\"}, \"id\": 3}\n",
        ]);
        let mut qmp = Qmp::begin(stream, LONG).unwrap();
        let deadline = Instant::now() + LONG;
        assert_eq!(qmp.execute("query-status", Value::Null, None, deadline).unwrap(), json!(8));
        let file = tempfile::tempfile().unwrap();
        let refused = qmp.execute("getfd", json!({ "fdname": "a" }), Some(file.as_fd()), deadline);
        assert!(matches!(refused, Err(QmpError::Refused { command: "getfd", .. })), "{refused:?}");
        assert!(qmp.listen().unwrap().is_over);
        drop(qmp);
        thread.join().unwrap();
    }

    #[test]
    fn a_qemu_that_is_silent_or_gone_is_not_waited_for() {
        let (stream, thread) = peer(&["{\"QMP\": {}}\n", "{\"event\": \"STOP\"}\n"]);
        assert!(matches!(Qmp::begin(stream, SHORT), Err(QmpError::Late("qmp_capabilities"))));
        thread.join().unwrap();
        let (stream, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        assert!(matches!(Qmp::begin(stream, LONG), Err(QmpError::Gone(_))));
    }
}
