//! Trivial File Transfer Protocol (RFC 1350) with options (RFC 2347 to 2349, RFC 7440).
//!
//! The server answers from another port than the one that was asked; whoever keeps the flows gives both directions to
//! one reader. Files come out as the receiver stores them: in order, each block once, `netascii` translated.
//!
//! The state of a flow is the last request, at most 1 KiB.

use crate::oddities::Oddities;
use crate::{Decoder, Fact, FileEvent, FileNumber, FileVia, Observer, OddityKind, Place, Side};

/// The longest request that is remembered, in bytes. RFC 2347 allows 512; one datagram carries more.
const REQUEST_BYTES_MAX: usize = 1024;

/// The number of options of a packet that are told. Four are defined.
const OPTIONS_MAX: usize = 16;

/// The size of a block without an option, in bytes (RFC 1350, 2).
const BLOCK_BYTES: u64 = 512;

/// The sizes of a block that can be agreed upon, in bytes (RFC 2348).
const BLOCK_BYTES_ALLOWED: std::ops::RangeInclusive<u64> = 8..=65464;

/// What only this protocol has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// A file was asked for, or announced.
    Request(Request<'a>),
    /// The server accepted options.
    OptionsAccepted {
        /// The options with their values, at most 16.
        options: &'a [(&'a [u8], &'a [u8])],
    },
    /// The transfer was refused or ended.
    Error {
        /// Why (RFC 1350, appendix I), such as 1: file not found.
        code: u16,
        /// Why, in words.
        message: &'a [u8],
    },
}

/// A read or write request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    /// What is asked for.
    pub operation: Operation,
    /// The path of the file.
    pub path: &'a [u8],
    /// The mode as it was sent, such as `octet`.
    pub mode: &'a [u8],
    /// The options with their values, at most 16.
    pub options: &'a [(&'a [u8], &'a [u8])],
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// RRQ: the server is to send a file.
    Read,
    /// WRQ: the client sends a file.
    Write,
}

/// Reads one transfer, or several between the same ports.
#[derive(Debug, Default)]
pub struct Reader {
    /// How many bytes each side's datagrams had.
    offsets: [u64; 2],
    transfer: Option<Transfer>,
    files: u32,
    oddities: Oddities,
}

#[derive(Debug)]
struct Transfer {
    /// The datagram of the request, to know it again; empty when it was not seen.
    request: Vec<u8>,
    sender: Side,
    name: Vec<u8>,
    is_netascii: bool,
    /// The file ended in CR: the next byte tells what it means.
    has_open_cr: bool,
    block_bytes: u64,
    /// What the request asks the size of a block to be.
    block_bytes_asked: Option<u64>,
    bytes_expected: Option<u64>,
    /// The number of the next block.
    expected: u16,
    /// Where in the file the next block belongs.
    file_offset: u64,
    /// The receiver was heard: blocks that it did not confirm are out of order.
    has_heard_receiver: bool,
    file: Option<FileNumber>,
    is_complete: bool,
    has_ended: bool,
}

impl Decoder for Reader {
    fn data(&mut self, side: Side, bytes: &[u8], observer: &mut dyn Observer) {
        let place = Place { side, offset: self.offsets[side.index()], bytes: bytes.len() as u64 };
        self.offsets[side.index()] += bytes.len() as u64;
        match bytes {
            [0, opcode @ (1 | 2), rest @ ..] => {
                let operation = if *opcode == 1 { Operation::Read } else { Operation::Write };
                self.request(operation, bytes, rest, place, observer);
            }
            [0, 3, high, low, data @ ..] => {
                self.block(u16::from_be_bytes([*high, *low]), data, place, observer);
            }
            [0, 4, high, low, ..] => self.confirmed(u16::from_be_bytes([*high, *low]), place, observer),
            [0, 5, high, low, message @ ..] => {
                let (message, _) = text(message).unwrap_or((message, &[]));
                let code = u16::from_be_bytes([*high, *low]);
                observer.fact(place, Fact::Tftp(Event::Error { code, message }));
                self.end_transfer(observer);
            }
            [0, 6, rest @ ..] => self.options_accepted(rest, place, observer),
            _ => self.oddities.tell(place, OddityKind::Skipped, "packet_unknown", observer),
        }
    }

    fn gap(&mut self, _: Side, _: u64, _: &mut dyn Observer) {}

    fn finish(&mut self, _: Side, _: &mut dyn Observer) {}

    fn end(&mut self, observer: &mut dyn Observer) {
        self.end_transfer(observer);
    }
}

impl Reader {
    fn request(
        &mut self,
        operation: Operation,
        datagram: &[u8],
        rest: &[u8],
        place: Place,
        observer: &mut dyn Observer,
    ) {
        if self.transfer.as_ref().is_some_and(|transfer| transfer.request == datagram && transfer.file.is_none()) {
            // The answer did not come in time, and the request was repeated.
            return;
        }
        let Some((path, rest)) = text(rest) else {
            return self.oddities.tell(place, OddityKind::Skipped, "request_cut_off", observer);
        };
        let (mode, rest) = text(rest).unwrap_or_else(|| {
            self.oddities.tell(place, OddityKind::Tolerated, "mode_not_ended", observer);
            (rest, &[])
        });
        let options = self.options(rest, place, observer);
        self.end_transfer(observer);
        let request = Request { operation, path, mode, options: &options };
        observer.fact(place, Fact::Tftp(Event::Request(request)));
        if datagram.len() > REQUEST_BYTES_MAX {
            return self.oddities.tell(place, OddityKind::Bound, "request_too_long", observer);
        }
        let sender = match operation {
            Operation::Read => place.side.other(),
            Operation::Write => place.side,
        };
        let mut transfer = Transfer::new(sender, path, datagram);
        transfer.is_netascii = !mode.eq_ignore_ascii_case(b"octet");
        transfer.block_bytes_asked = option(&options, b"blksize").filter(|size| BLOCK_BYTES_ALLOWED.contains(size));
        // With a read request the size is 0: the server is to say it (RFC 2349).
        transfer.bytes_expected = option(&options, b"tsize").filter(|_| operation == Operation::Write);
        self.transfer = Some(transfer);
    }

    fn options_accepted(&mut self, rest: &[u8], place: Place, observer: &mut dyn Observer) {
        let options = self.options(rest, place, observer);
        observer.fact(place, Fact::Tftp(Event::OptionsAccepted { options: &options }));
        let Some(transfer) = self.transfer.as_mut().filter(|transfer| transfer.file.is_none()) else { return };
        transfer.has_heard_receiver |= place.side != transfer.sender;
        if let Some(size) = option(&options, b"blksize").filter(|size| BLOCK_BYTES_ALLOWED.contains(size)) {
            transfer.block_bytes = size;
            transfer.block_bytes_asked = None;
        }
        if let Some(size) = option(&options, b"tsize") {
            transfer.bytes_expected = Some(size);
        }
    }

    fn block(&mut self, number: u16, data: &[u8], place: Place, observer: &mut dyn Observer) {
        if self.transfer.is_none() && number == 1 {
            // The request was not seen; the file is whole nevertheless.
            self.transfer = Some(Transfer::new(place.side, &[], &[]));
        }
        let Some(transfer) = &mut self.transfer else {
            return self.oddities.tell(place, OddityKind::Skipped, "data_without_request", observer);
        };
        if place.side != transfer.sender {
            return self.oddities.tell(place, OddityKind::Skipped, "data_from_receiver", observer);
        }
        if transfer.has_ended {
            return;
        }
        // Some count from 65535 to 0, some to 1.
        if transfer.expected == 0 && number == 1 {
            transfer.expected = 1;
        }
        match number.wrapping_sub(transfer.expected) {
            0 => {}
            // Sent again; the receiver has it.
            0x8000.. => return,
            // The receiver did not confirm the one before, so it does not take this one either.
            1.. if transfer.has_heard_receiver => {
                return self.oddities.tell(place, OddityKind::Skipped, "block_out_of_order", observer);
            }
            lost @ 1.. => {
                transfer.lose(lost);
                self.oddities.tell(place, OddityKind::Gap, "blocks_lost", observer);
            }
        }
        if transfer.file.is_none() {
            // Without the server's answer, the first long block shows that it took the size that it was asked for.
            if let Some(size) = transfer.block_bytes_asked.filter(|_| data.len() as u64 > BLOCK_BYTES) {
                transfer.block_bytes = size;
            }
            let file = FileNumber(self.files);
            self.files = self.files.saturating_add(1);
            transfer.file = Some(file);
            let via = match transfer.sender {
                Side::Client => FileVia::TftpUpload,
                Side::Server => FileVia::TftpDownload,
            };
            let bytes_expected = transfer.bytes_expected;
            let begin = FileEvent::Begin { file, name: &transfer.name, via, bytes_expected };
            observer.fact(place, Fact::File(begin));
        }
        let data_place = Place { offset: place.offset + 4, bytes: data.len() as u64, ..place };
        transfer.part(data, data_place, observer);
        transfer.expected = number.wrapping_add(1);
        // A short block is the last one (RFC 1350, 6).
        if (data.len() as u64) < transfer.block_bytes {
            let is_complete = transfer.is_complete;
            transfer.end(is_complete, data_place, observer);
        } else if data.len() as u64 > transfer.block_bytes {
            self.oddities.tell(place, OddityKind::Tolerated, "block_too_long", observer);
        }
    }

    /// The receiver confirms a block, and all before it.
    fn confirmed(&mut self, number: u16, place: Place, observer: &mut dyn Observer) {
        let Some(transfer) = self.transfer.as_mut().filter(|transfer| place.side != transfer.sender) else { return };
        transfer.has_heard_receiver = true;
        let ahead = number.wrapping_sub(transfer.expected);
        if ahead < 0x8000 && !transfer.has_ended && (number != 0 || transfer.file.is_some()) {
            transfer.lose(ahead + 1);
            self.oddities.tell(place, OddityKind::Gap, "blocks_lost", observer);
        }
    }

    fn end_transfer(&mut self, observer: &mut dyn Observer) {
        if let Some(mut transfer) = self.transfer.take() {
            let side = transfer.sender;
            transfer.end(false, Place { side, offset: self.offsets[side.index()], bytes: 0 }, observer);
        }
    }

    fn options<'a>(
        &mut self,
        mut rest: &'a [u8],
        place: Place,
        observer: &mut dyn Observer,
    ) -> Vec<(&'a [u8], &'a [u8])> {
        let mut options = Vec::new();
        while let Some((name, after)) = text(rest) {
            let Some((value, after)) = text(after) else { break };
            if options.len() == OPTIONS_MAX {
                self.oddities.tell(place, OddityKind::Bound, "too_many_options", observer);
                return options;
            }
            options.push((name, value));
            rest = after;
        }
        if !rest.is_empty() {
            self.oddities.tell(place, OddityKind::Tolerated, "option_cut_off", observer);
        }
        options
    }
}

impl Transfer {
    fn new(sender: Side, name: &[u8], request: &[u8]) -> Self {
        Self {
            request: request.to_vec(),
            sender,
            name: name.to_vec(),
            is_netascii: false,
            has_open_cr: false,
            block_bytes: BLOCK_BYTES,
            block_bytes_asked: None,
            bytes_expected: None,
            expected: 1,
            file_offset: 0,
            has_heard_receiver: false,
            file: None,
            is_complete: true,
            has_ended: false,
        }
    }

    /// Learns that blocks were not seen.
    fn lose(&mut self, blocks: u16) {
        self.is_complete = false;
        self.file_offset = self.file_offset.saturating_add(u64::from(blocks) * self.block_bytes);
        self.expected = self.expected.wrapping_add(blocks);
    }

    fn part(&mut self, data: &[u8], place: Place, observer: &mut dyn Observer) {
        let translated;
        let bytes = if self.is_netascii {
            translated = self.translate(data);
            translated.as_slice()
        } else {
            data
        };
        let Some(file) = self.file.filter(|_| !bytes.is_empty()) else { return };
        let part = FileEvent::Part { file, offset: self.file_offset, bytes };
        observer.fact(place, Fact::File(part));
        self.file_offset += bytes.len() as u64;
    }

    /// CR LF is a line's end and CR NUL is CR (RFC 764, "the NVT printer and keyboard").
    fn translate(&mut self, data: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(data.len() + 1);
        for byte in data {
            match (std::mem::replace(&mut self.has_open_cr, *byte == b'\r'), *byte) {
                (true, b'\n') => bytes.push(b'\n'),
                (true, 0) => bytes.push(b'\r'),
                (true, b'\r') => bytes.push(b'\r'),
                (true, byte) => bytes.extend_from_slice(&[b'\r', byte]),
                (false, b'\r') => {}
                (false, byte) => bytes.push(byte),
            }
        }
        bytes
    }

    fn end(&mut self, is_complete: bool, place: Place, observer: &mut dyn Observer) {
        let Some(file) = self.file.filter(|_| !self.has_ended) else { return };
        self.has_ended = true;
        if std::mem::take(&mut self.has_open_cr) {
            let part = FileEvent::Part { file, offset: self.file_offset, bytes: b"\r" };
            observer.fact(place, Fact::File(part));
        }
        observer.fact(place, Fact::File(FileEvent::End { file, is_complete }));
    }
}

/// A text that ends in NUL, and what follows it.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// The value of an option that is a number.
fn option(options: &[(&[u8], &[u8])], name: &[u8]) -> Option<u64> {
    let (_, value) = options.iter().find(|(option, _)| option.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(value).ok()?.parse().ok()
}
