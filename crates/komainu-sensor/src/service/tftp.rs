//! Trivial File Transfer Protocol: whoever sends a file may, and what a persona has can be read (RFC 1350, RFC 2347 to
//! 2349).
//!
//! A device answers from a port of its own for each transfer (RFC 1350, 4). A persona answers from the one that was
//! asked: clients take whichever the first answer comes from, and the flow stays one.

use std::collections::BTreeMap;
use std::sync::Arc;

use komainu_decode::tftp::{Event, Operation, Reader, Request};
use komainu_decode::{Decoder, Fact, Place, Side};
use serde::Deserialize;

use super::answer::{Answer, Call};
use crate::persona::{Device, PersonaError};

/// The size of a block, in bytes, when nothing else is agreed upon (RFC 1350, 2).
const BLOCK_BYTES: usize = 512;

/// The sizes of a block that are agreed to, in bytes: from the least that there is (RFC 2348) to what passes through a
/// network of 1,500 bytes in one piece.
const BLOCK_BYTES_ALLOWED: std::ops::RangeInclusive<usize> = 8..=1428;

/// Bytes of a file that is sent to a persona, as many as an artifact has at most.
const FILE_BYTES_MAX: usize = 32 << 20;

const NOT_DEFINED: u16 = 0;
const NOT_FOUND: u16 = 1;
const DISK_FULL: u16 = 3;
const UNKNOWN_TRANSFER: u16 = 5;

/// A server for files.
#[derive(Debug)]
pub(crate) struct Tftp {
    files: BTreeMap<Vec<u8>, Arc<[u8]>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TftpText {
    pub(crate) ports: Vec<u16>,
    #[serde(default)]
    file: Vec<FileText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    path: String,
    body: Option<String>,
    file: Option<String>,
}

impl Tftp {
    /// Checks what a persona says; `at` is where it says it.
    pub(crate) fn check(text: TftpText, at: &str, device: &Device<'_>) -> Result<Self, PersonaError> {
        let mut files = BTreeMap::new();
        for (number, FileText { path, body, file }) in text.file.into_iter().enumerate() {
            let at = format!("{at}.file[{number}]");
            if path.is_empty() || path.contains('\0') {
                return Err(device.wrong(format!("{at}.path"), "must be a path"));
            }
            let contents = match (body, file) {
                (Some(body), None) => body.into_bytes(),
                (None, Some(name)) => device.file(&name)?,
                (Some(_), Some(_)) | (None, None) => {
                    return Err(device.wrong(at, "must have one of body and file"));
                }
            };
            files.insert(path.trim_start_matches('/').into(), contents.into());
        }
        Ok(Self { files })
    }

    /// A file, whether its path begins with a slash or not.
    fn file(&self, path: &[u8]) -> Option<&Arc<[u8]>> {
        let slashes = path.iter().take_while(|byte| **byte == b'/').count();
        self.files.get(&path[slashes..])
    }
}

/// What is said in one flow.
#[derive(Debug)]
pub(crate) struct Talk {
    persona: Arc<Tftp>,
    transfer: Transfer,
}

#[derive(Debug)]
enum Transfer {
    None,
    /// The client sends a file.
    Taking {
        block_bytes: usize,
        /// The number of the block that comes next.
        next: u16,
        bytes: usize,
        is_over: bool,
    },
    /// The client is sent a file.
    Giving {
        block_bytes: usize,
        contents: Arc<[u8]>,
        /// The number of the block that was said last; 0 when it was options.
        last: u16,
        /// Where in the file that block begins.
        offset: usize,
    },
}

impl Talk {
    pub(crate) fn new(persona: Arc<Tftp>) -> Self {
        Self { persona, transfer: Transfer::None }
    }

    /// What is said to a datagram.
    pub(crate) fn answer(&mut self, datagram: &[u8], call: &Call) -> Answer {
        match datagram {
            [0, 1 | 2, ..] => {
                let mut answer = Answer::silence();
                Reader::default().data(Side::Client, datagram, &mut |_: Place, fact: Fact<'_>| {
                    if let Fact::Tftp(Event::Request(request)) = fact {
                        answer = self.begin(&request, call);
                    }
                });
                answer
            }
            [0, 3, high, low, data @ ..] => self.take(u16::from_be_bytes([*high, *low]), data.len(), call),
            [0, 4, high, low, ..] => self.confirmed(u16::from_be_bytes([*high, *low]), call),
            // An error ends the transfer and is not answered, lest errors answer errors.
            [0, 5, ..] => {
                self.transfer = Transfer::None;
                Answer::silence()
            }
            [0, _, ..] => error(NOT_DEFINED, "Illegal TFTP operation", call),
            _ => Answer::silence(),
        }
    }

    fn begin(&mut self, request: &Request<'_>, call: &Call) -> Answer {
        let options = Options::of(request);
        match request.operation {
            Operation::Write => {
                if options.bytes.is_some_and(|bytes| bytes > FILE_BYTES_MAX) {
                    self.transfer = Transfer::None;
                    return error(DISK_FULL, "Disk full or allocation exceeded", call);
                }
                let agreed = options.agreed(options.bytes);
                let mut taking =
                    |block_bytes| self.transfer = Transfer::Taking { block_bytes, next: 1, bytes: 0, is_over: false };
                // What has no room for the options has none of them.
                if !agreed.is_empty() && agreed.len() <= call.room.next() {
                    taking(options.block_bytes.unwrap_or(BLOCK_BYTES));
                    Answer::first_fitting(call.room, [agreed])
                } else {
                    taking(BLOCK_BYTES);
                    Answer::first_fitting(call.room, [confirmation(0)])
                }
            }
            Operation::Read => {
                let Some(contents) = self.persona.file(request.path).cloned() else {
                    self.transfer = Transfer::None;
                    return error(NOT_FOUND, "File not found", call);
                };
                let agreed = options.agreed(options.bytes.map(|_| contents.len()));
                let block_bytes = options.block_bytes.unwrap_or(BLOCK_BYTES);
                let (last, first) =
                    if agreed.is_empty() { (1, block(1, &contents, 0, block_bytes)) } else { (0, agreed) };
                self.transfer = Transfer::Giving { block_bytes, contents, last, offset: 0 };
                Answer::first_fitting(call.room, [first])
            }
        }
    }

    fn take(&mut self, number: u16, data_bytes: usize, call: &Call) -> Answer {
        let Transfer::Taking { block_bytes, next, bytes, is_over } = &mut self.transfer else {
            return error(UNKNOWN_TRANSFER, "Unknown transfer ID", call);
        };
        if number != *next {
            // The block before came again: its acknowledgement was lost. Others are out of order, and wait.
            let is_repeated = number == next.wrapping_sub(1);
            return if is_repeated {
                Answer::first_fitting(call.room, [confirmation(number)])
            } else {
                Answer::silence()
            };
        }
        if *is_over {
            return Answer::silence();
        }
        *bytes += data_bytes;
        if *bytes > FILE_BYTES_MAX {
            self.transfer = Transfer::None;
            return error(DISK_FULL, "Disk full or allocation exceeded", call);
        }
        *is_over = data_bytes < *block_bytes;
        *next = next.wrapping_add(1);
        Answer::first_fitting(call.room, [confirmation(number)])
    }

    fn confirmed(&mut self, number: u16, call: &Call) -> Answer {
        let Transfer::Giving { block_bytes, contents, last, offset } = &mut self.transfer else {
            return Answer::silence();
        };
        // An acknowledgement that comes twice is not answered twice (RFC 1123, 4.2.3.1).
        if number != *last {
            return Answer::silence();
        }
        let next_offset = if *last == 0 && *offset == 0 { 0 } else { *offset + *block_bytes };
        // The last block is shorter than a block, be it empty.
        if next_offset > contents.len() {
            self.transfer = Transfer::None;
            return Answer::silence();
        }
        (*last, *offset) = (last.wrapping_add(1), next_offset);
        let next = block(*last, contents, next_offset, *block_bytes);
        Answer::first_fitting(call.room, [next])
    }
}

/// The options of a request that are understood.
#[derive(Debug, Default)]
struct Options {
    block_bytes: Option<usize>,
    /// The size of the file.
    bytes: Option<usize>,
    /// How long to wait for an answer, in seconds.
    wait_s: Option<usize>,
}

impl Options {
    fn of(request: &Request<'_>) -> Self {
        let value = |name: &[u8]| {
            let (_, value) = request.options.iter().find(|(option, _)| option.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(value).ok()?.parse::<usize>().ok()
        };
        Self {
            block_bytes: value(b"blksize")
                .filter(|bytes| bytes >= BLOCK_BYTES_ALLOWED.start())
                .map(|bytes| bytes.min(*BLOCK_BYTES_ALLOWED.end())),
            bytes: value(b"tsize"),
            wait_s: value(b"timeout").filter(|seconds| (1..=255).contains(seconds)),
        }
    }

    /// The acknowledgement of options; nothing when there are none. `bytes` is the size of the file.
    fn agreed(&self, bytes: Option<usize>) -> Vec<u8> {
        let mut agreed = Vec::new();
        for (name, value) in [("blksize", self.block_bytes), ("tsize", bytes), ("timeout", self.wait_s)] {
            if let Some(value) = value {
                agreed.extend_from_slice(format!("{name}\0{value}\0").as_bytes());
            }
        }
        if agreed.is_empty() { agreed } else { [&[0, 6][..], &agreed].concat() }
    }
}

fn confirmation(number: u16) -> Vec<u8> {
    [[0, 4], number.to_be_bytes()].concat()
}

/// The block of a file that begins at `offset`.
fn block(number: u16, contents: &[u8], offset: usize, block_bytes: usize) -> Vec<u8> {
    let rest = &contents[offset.min(contents.len())..];
    [&[0, 3][..], &number.to_be_bytes(), &rest[..rest.len().min(block_bytes)]].concat()
}

/// An error, without its words when there is no room for them.
fn error(code: u16, words: &str, call: &Call) -> Answer {
    let error = |words: &str| [&[0, 5][..], &code.to_be_bytes(), words.as_bytes(), &[0]].concat();
    Answer::first_fitting(call.room, [error(words), error("")])
}

#[cfg(test)]
mod tests {
    use super::super::answer::Room;
    use super::*;
    use crate::service::tests::{call, persona_of};

    const PERSONA: &str = "[tftp]\nports = [69]\n[[tftp.file]]\npath = \"/etc/config\"\nbody = \"0123456789\"\n";

    /// Says one after the other; `room` is in bytes, for each. Gives what is answered to each.
    fn talk(room: usize, said: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut talk = persona_of(PERSONA);
        let call = call(Room { bytes: room, datagrams: 1 });
        said.iter().map(|datagram| talk.answer(datagram, &call).datagrams.concat()).collect()
    }

    fn check(room: usize, said: &[&[u8]], expected: &[&[u8]]) {
        assert_eq!(talk(room, said), expected, "{said:?}");
    }

    #[test]
    fn a_file_is_taken() {
        let block = [&b"\0\x03\0\x01"[..], &[b'a'; 512]].concat();
        check(
            4,
            &[b"\0\x02a\0octet\0", &block, &block, b"\0\x03\0\x02end", b"\0\x03\0\x02end", b"\0\x03\0\x03more"],
            &[b"\0\x04\0\0", b"\0\x04\0\x01", b"\0\x04\0\x01", b"\0\x04\0\x02", b"\0\x04\0\x02", b""],
        );
        check(100, &[b"\0\x02a\0octet\0", b"\0\x03\0\x02out of order"], &[b"\0\x04\0\0", b""]);
    }

    #[test]
    fn options_are_agreed_upon_where_there_is_room() {
        let write = b"\0\x02a\0octet\0blksize\x009000\0tsize\x00700\0timeout\x005\0other\x001\0";
        check(100, &[write], &[b"\0\x06blksize\x001428\0tsize\x00700\0timeout\x005\0"]);
        check(4, &[write], &[b"\0\x04\0\0"]);
        check(100, &[b"\0\x02a\0octet\0blksize\x007\0"], &[b"\0\x04\0\0"]);
        check(100, &[b"\0\x02a\0octet\0tsize\x0099999999999\0"], &[b"\0\x05\0\x03Disk full or allocation exceeded\0"]);
        // With blocks of 8 bytes, one of 4 is the last.
        check(
            100,
            &[b"\0\x02a\0octet\0blksize\x008\0", b"\0\x03\0\x0112345678", b"\0\x03\0\x021234"],
            &[b"\0\x06blksize\x008\0", b"\0\x04\0\x01", b"\0\x04\0\x02"],
        );
    }

    #[test]
    fn a_file_of_the_persona_can_be_read() {
        check(
            100,
            &[
                b"\0\x01etc/config\0octet\0blksize\x008\0tsize\x000\0",
                b"\0\x04\0\0",
                b"\0\x04\0\x01",
                b"\0\x04\0\x01",
                b"\0\x04\0\x02",
            ],
            &[b"\0\x06blksize\x008\0tsize\x0010\0", b"\0\x03\0\x0101234567", b"\0\x03\0\x0289", b"", b""],
        );
        check(100, &[b"\0\x01//etc/config\0octet\0", b"\0\x04\0\x01"], &[b"\0\x03\0\x010123456789", b""]);
        check(13, &[b"\0\x01/etc/config\0octet\0"], &[b""]);
    }

    #[test]
    fn errors_are_short_where_there_is_little_room() {
        check(100, &[b"\0\x01b\0octet\0"], &[b"\0\x05\0\x01File not found\0"]);
        check(10, &[b"\0\x01b\0octet\0"], &[b"\0\x05\0\x01\0"]);
        check(4, &[b"\0\x03\0\x01"], &[b""]);
        check(100, &[b"\0\x03\0\x01"], &[b"\0\x05\0\x05Unknown transfer ID\0"]);
        check(100, &[b"\0\x05\0\0\0", b"", b"\0", b"\x01\x02"], &[b"", b"", b"", b""]);
        check(100, &[b"\0\x09"], &[b"\0\x05\0\0Illegal TFTP operation\0"]);
    }

    #[test]
    fn blocks_are_counted_beyond_65535() {
        let mut talk = persona_of(PERSONA);
        let call = call(Room::STREAM);
        talk.answer(b"\0\x02a\0octet\0blksize\x008\0", &call);
        for number in (1..=65_535u16).chain([0, 1]) {
            let answer = talk.answer(&[&[0, 3][..], &number.to_be_bytes(), b"12345678"].concat(), &call);
            assert_eq!(answer.datagrams, [confirmation(number)]);
        }
    }
}
