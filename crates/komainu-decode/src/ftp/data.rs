//! A data connection.

use crate::oddities::Oddities;
use crate::{Decoder, Fact, FileEvent, FileNumber, FileVia, Observer, OddityKind, Place, Side};

/// Which way a file goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From the client of the control connection to its server: STOR, STOU, APPE.
    Upload,
    /// From the server of the control connection to its client: RETR.
    Download,
}

impl Direction {
    /// The direction of a command that transfers a file; none for a listing, which is no file.
    pub fn of(command: &[u8]) -> Option<Self> {
        match command {
            b"STOR" | b"STOU" | b"APPE" => Some(Self::Upload),
            b"RETR" => Some(Self::Download),
            _ => None,
        }
    }
}

/// Reads a data connection that carries one file, as the control connection announced it
/// ([`Event::DataChannel`](super::Event::DataChannel)).
#[derive(Debug)]
pub struct DataReader {
    name: Vec<u8>,
    via: FileVia,
    /// Who sends the file, in terms of the data connection.
    sender: Side,
    /// Where in the file the transfer begins.
    file_offset: u64,
    /// How many bytes each side said, or lost.
    offsets: [u64; 2],
    has_begun: bool,
    has_ended: bool,
    is_complete: bool,
    oddities: Oddities,
}

impl DataReader {
    /// A connection that carries the file `name` from `offset` on. With `passive` the client of the control
    /// connection opens the data connection, without it the server does.
    pub fn new(name: &[u8], direction: Direction, passive: bool, offset: u64) -> Self {
        let (via, is_from_opener) = match direction {
            Direction::Upload => (FileVia::FtpUpload, passive),
            Direction::Download => (FileVia::FtpDownload, !passive),
        };
        Self {
            name: name.to_vec(),
            via,
            sender: if is_from_opener { Side::Client } else { Side::Server },
            file_offset: offset,
            offsets: [0; 2],
            has_begun: false,
            has_ended: false,
            is_complete: true,
            oddities: Oddities::default(),
        }
    }

    const FILE: FileNumber = FileNumber(0);

    fn begin(&mut self, place: Place, observer: &mut dyn Observer) {
        if !std::mem::replace(&mut self.has_begun, true) {
            let begin = FileEvent::Begin { file: Self::FILE, name: &self.name, via: self.via, bytes_expected: None };
            observer.fact(place, Fact::File(begin));
        }
    }

    fn finish_file(&mut self, is_complete: bool, observer: &mut dyn Observer) {
        let place = Place { side: self.sender, offset: self.offsets[self.sender.index()], bytes: 0 };
        self.begin(place, observer);
        if !std::mem::replace(&mut self.has_ended, true) {
            observer.fact(place, Fact::File(FileEvent::End { file: Self::FILE, is_complete }));
        }
    }
}

impl Decoder for DataReader {
    fn data(&mut self, side: Side, bytes: &[u8], observer: &mut dyn Observer) {
        if bytes.is_empty() || self.has_ended {
            return;
        }
        let offset = self.offsets[side.index()];
        let place = Place { side, offset, bytes: bytes.len() as u64 };
        self.offsets[side.index()] += bytes.len() as u64;
        if side != self.sender {
            if offset == 0 {
                self.oddities.tell(Place { bytes: 1, ..place }, OddityKind::Skipped, "data_from_receiver", observer);
            }
            return;
        }
        self.begin(Place { bytes: 0, ..place }, observer);
        let part = FileEvent::Part { file: Self::FILE, offset: self.file_offset.saturating_add(offset), bytes };
        observer.fact(place, Fact::File(part));
    }

    fn gap(&mut self, side: Side, bytes: u64, observer: &mut dyn Observer) {
        let place = Place { side, offset: self.offsets[side.index()], bytes };
        self.offsets[side.index()] += bytes;
        self.is_complete &= side != self.sender;
        self.oddities.tell(place, OddityKind::Gap, "data_lost", observer);
    }

    /// The end of the stream is the end of the file (RFC 959, 3.4.1).
    fn finish(&mut self, side: Side, observer: &mut dyn Observer) {
        if side == self.sender {
            self.finish_file(self.is_complete, observer);
        }
    }

    fn end(&mut self, observer: &mut dyn Observer) {
        self.finish_file(false, observer);
    }
}
