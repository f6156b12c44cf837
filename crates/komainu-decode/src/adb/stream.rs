//! A stream to a service.

use super::lines::Lines;
use super::shell::Packets;
use super::sync::Sync;
use super::{Files, TEXT_BYTES_MAX};
use crate::oddities::Oddities;
use crate::{Command, Fact, FileEvent, FileNumber, FileVia, Observer, Place, Side};

/// A stream.
#[derive(Debug)]
pub(super) struct Stream {
    /// Who opened it.
    pub(super) opener: Side,
    /// The opener's number of it.
    pub(super) number: u32,
    /// The other side agreed to it.
    pub(super) is_open: bool,
    /// The service.
    pub(super) destination: Vec<u8>,
    service: Service,
}

#[derive(Debug)]
enum Service {
    /// A shell that somebody types at.
    Interactive(Lines),
    /// A shell in the protocol of version 2; with lines, somebody types at it.
    Packets {
        sides: [Packets; 2],
        lines: Option<Lines>,
        is_lost: [bool; 2],
    },
    Sync(Box<Sync>),
    /// A package that is streamed to its installer.
    Install(Install),
    /// Nothing is told of what is said on it.
    Other,
}

#[derive(Debug)]
struct Install {
    bytes_expected: u64,
    file: Option<FileNumber>,
    offset: u64,
    is_complete: bool,
}

impl Stream {
    /// The stream that `opener` asks for. Tells the command that the service is asked to run.
    pub(super) fn new(
        opener: Side,
        number: u32,
        destination: &[u8],
        place: Place,
        observer: &mut dyn Observer,
    ) -> Self {
        let colon = destination.iter().position(|byte| *byte == b':').unwrap_or(destination.len());
        let (service, line) = (&destination[..colon], destination.get(colon + 1..).unwrap_or_default());
        // `shell,v2,TERM=xterm-256color,pty:…` (SERVICES.TXT).
        let mut words = service.split(|byte| *byte == b',');
        let name = words.next().unwrap_or_default();
        let is_command = matches!(name, b"shell" | b"exec" | b"abb" | b"abb_exec") && !line.is_empty();
        if is_command {
            let line_place = Place {
                offset: place.offset + (destination.len() - line.len()) as u64,
                bytes: line.len() as u64,
                ..place
            };
            observer.fact(line_place, Fact::Command(Command { line }));
        }
        let is_v2 = words.any(|word| word == b"v2");
        let service = match name {
            b"shell" if is_v2 => Service::Packets {
                sides: [Packets::default(), Packets::default()],
                lines: (!is_command).then(Lines::default),
                is_lost: [false; 2],
            },
            b"shell" if !is_command => Service::Interactive(Lines::default()),
            b"sync" => Service::Sync(Box::default()),
            b"exec" | b"abb_exec" => match installed_bytes(line) {
                Some(bytes_expected) => {
                    Service::Install(Install { bytes_expected, file: None, offset: 0, is_complete: true })
                }
                None => Service::Other,
            },
            _ => Service::Other,
        };
        let destination = destination[..destination.len().min(TEXT_BYTES_MAX)].to_vec();
        Self { opener, number, is_open: false, destination, service }
    }

    /// Takes a piece of what a side says on the stream.
    pub(super) fn data(
        &mut self,
        bytes: &[u8],
        place: Place,
        files: &mut Files,
        oddities: &mut Oddities,
        observer: &mut dyn Observer,
    ) {
        let is_opener = place.side == self.opener;
        match &mut self.service {
            Service::Interactive(lines) if is_opener => lines.take(bytes, place, oddities, observer),
            Service::Packets { sides, lines, is_lost } if !is_lost[place.side.index()] => {
                sides[place.side.index()].take(bytes, place, lines.as_mut(), oddities, observer);
            }
            Service::Sync(sync) => sync.data(is_opener, bytes, place, files, oddities, observer),
            Service::Install(install) if is_opener => install.data(bytes, place, files, observer),
            Service::Interactive(_) | Service::Packets { .. } | Service::Install(_) | Service::Other => {}
        }
    }

    /// Learns that bytes of a side were lost, which may be of this stream.
    pub(super) fn lose(&mut self, side: Side, place: Place, observer: &mut dyn Observer) {
        match &mut self.service {
            Service::Interactive(lines) if side == self.opener => lines.lose(),
            Service::Packets { is_lost, .. } => is_lost[side.index()] = true,
            Service::Sync(sync) => sync.lose(side == self.opener, place, observer),
            Service::Install(install) => install.is_complete &= side != self.opener,
            Service::Interactive(_) | Service::Other => {}
        }
    }

    /// The stream is closed; `places` say where each side is.
    pub(super) fn end(&mut self, places: [Place; 2], observer: &mut dyn Observer) {
        let [opener, other] = [self.opener, self.opener.other()].map(|side| places[side.index()]);
        match &mut self.service {
            Service::Sync(sync) => sync.end(opener, other, observer),
            Service::Install(install) => install.end(opener, observer),
            Service::Interactive(_) | Service::Packets { .. } | Service::Other => {}
        }
    }
}

impl Install {
    fn data(&mut self, bytes: &[u8], place: Place, files: &mut Files, observer: &mut dyn Observer) {
        let file = *self.file.get_or_insert_with(|| {
            let file = files.next();
            let begin =
                FileEvent::Begin { file, name: &[], via: FileVia::AdbPush, bytes_expected: Some(self.bytes_expected) };
            observer.fact(Place { bytes: 0, ..place }, Fact::File(begin));
            file
        });
        observer.fact(place, Fact::File(FileEvent::Part { file, offset: self.offset, bytes }));
        self.offset += bytes.len() as u64;
    }

    fn end(&mut self, place: Place, observer: &mut dyn Observer) {
        if let Some(file) = self.file.take() {
            let is_complete = self.is_complete && self.offset == self.bytes_expected;
            observer.fact(place, Fact::File(FileEvent::End { file, is_complete }));
        }
    }
}

/// The size in `cmd package 'install' … -S 1234`, with which clients announce that the package follows.
fn installed_bytes(line: &[u8]) -> Option<u64> {
    let mut words = line.split(|byte| matches!(*byte, b' ' | 0)).filter(|word| !word.is_empty());
    words.find(|word| word.windows(7).any(|part| part == b"install"))?;
    words.find(|word| *word == b"-S")?;
    std::str::from_utf8(words.next()?).ok()?.trim_matches('\'').parse().ok()
}
