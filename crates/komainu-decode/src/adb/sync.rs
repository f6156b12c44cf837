//! The sync service: files to and from the device (AOSP, SYNC.TXT, `file_sync_protocol.h`).

use std::collections::VecDeque;

use super::{Event, Files};
use crate::oddities::Oddities;
use crate::{Fact, FileEvent, FileNumber, FileVia, Observer, OddityKind, Place};

/// The number of requests, those to send a file not counted, that may wait for their answers. Clients wait for each.
const REQUESTS_MAX: usize = 16;

/// The longest path, in bytes (SYNC.TXT).
const PATH_BYTES_MAX: usize = 1024;

/// What an entry of a listing begins with in version 2: the longest header there is, in bytes.
const HEADER_BYTES_MAX: usize = 76;

/// A stream of the service.
#[derive(Debug, Default)]
pub(super) struct Sync {
    /// What the client says, and what the device says.
    sides: [Half; 2],
    /// What the device has not answered yet, those to send a file left out: they are answered with a mere OKAY.
    requests: VecDeque<Asked>,
    /// The path of the client's last request, if flags are to follow it (SND2, RCV2).
    without_flags: Option<([u8; 4], Vec<u8>)>,
}

#[derive(Debug)]
struct Asked {
    request: [u8; 4],
    /// The path, for those that bring a file.
    path: Vec<u8>,
}

/// What one side says.
#[derive(Debug, Default)]
struct Half {
    state: State,
    /// The header or the text that is being read.
    text: Vec<u8>,
    is_text_cut: bool,
    /// Where it begins.
    begin: u64,
    file: Option<File>,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    #[default]
    Header,
    /// A path or a message of so many more bytes follows.
    Text {
        id: [u8; 4],
        left: u32,
    },
    /// So many more bytes of a file follow.
    Data {
        left: u32,
    },
    /// So many more bytes follow that nobody looks at.
    Skip {
        left: u32,
    },
    GivenUp,
}

#[derive(Debug)]
struct File {
    number: FileNumber,
    offset: u64,
}

impl Sync {
    pub(super) fn data(
        &mut self,
        is_client: bool,
        mut bytes: &[u8],
        mut place: Place,
        files: &mut Files,
        oddities: &mut Oddities,
        observer: &mut dyn Observer,
    ) {
        while !bytes.is_empty() {
            let used = self.step(is_client, bytes, place, files, oddities, observer).clamp(1, bytes.len());
            bytes = &bytes[used..];
            place = Place { offset: place.offset + used as u64, bytes: bytes.len() as u64, ..place };
        }
    }

    /// Learns that bytes of a side were lost: where its next header is cannot be known.
    pub(super) fn lose(&mut self, is_client: bool, place: Place, observer: &mut dyn Observer) {
        let half = &mut self.sides[usize::from(!is_client)];
        half.end_file(false, place, observer);
        half.state = State::GivenUp;
    }

    pub(super) fn end(&mut self, client: Place, device: Place, observer: &mut dyn Observer) {
        let [client_half, device_half] = &mut self.sides;
        client_half.end_file(false, client, observer);
        device_half.end_file(false, device, observer);
    }

    /// Takes the next unit of a side, or a piece of one; gives back how many bytes it had.
    fn step(
        &mut self,
        is_client: bool,
        bytes: &[u8],
        place: Place,
        files: &mut Files,
        oddities: &mut Oddities,
        observer: &mut dyn Observer,
    ) -> usize {
        let half = &mut self.sides[usize::from(!is_client)];
        let within = |left: u32| usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let less = |left: u32, used: usize| left - u32::try_from(used).expect("no more is used than is left");
        match half.state {
            State::GivenUp => bytes.len(),
            State::Skip { left } => {
                let used = within(left);
                half.state = if less(left, used) > 0 { State::Skip { left: less(left, used) } } else { State::Header };
                used
            }
            State::Data { left } => {
                let used = within(left);
                half.part(&bytes[..used], Place { bytes: used as u64, ..place }, observer);
                half.state = if less(left, used) > 0 { State::Data { left: less(left, used) } } else { State::Header };
                used
            }
            State::Text { id, left } => {
                let used = within(left);
                let space = PATH_BYTES_MAX - half.text.len();
                half.is_text_cut |= used > space;
                half.text.extend_from_slice(&bytes[..used.min(space)]);
                half.state = State::Text { id, left: less(left, used) };
                if less(left, used) == 0 {
                    let bytes = place.offset + used as u64 - half.begin;
                    let place = Place { offset: half.begin, bytes, ..place };
                    self.text(is_client, id, place, files, oddities, observer);
                }
                used
            }
            State::Header => {
                if half.text.is_empty() {
                    half.begin = place.offset;
                }
                let id = id_of(&half.text, bytes);
                let length = id.map_or(8, |id| self.header_bytes(is_client, id));
                let half = &mut self.sides[usize::from(!is_client)];
                let used = length.saturating_sub(half.text.len()).min(bytes.len());
                half.text.extend_from_slice(&bytes[..used]);
                if half.text.len() >= length && id.is_some() {
                    let header = std::mem::take(&mut half.text);
                    let bytes = place.offset + used as u64 - half.begin;
                    let place = Place { offset: half.begin, bytes, ..place };
                    self.header(is_client, &header, place, files, oddities, observer);
                }
                used
            }
        }
    }

    /// How long the header of a unit is.
    fn header_bytes(&self, is_client: bool, id: [u8; 4]) -> usize {
        let is_list_end = matches!(self.requests.front(), Some(Asked { request: [b'L', b'I', b'S', b'T' | b'2'], .. }));
        let is_list_of_2 = matches!(self.requests.front(), Some(Asked { request: [.., b'2'], .. }));
        match (is_client, &id) {
            (false, b"STAT") => 16,
            (false, b"DENT") => 20,
            (false, b"STA2" | b"LST2") => 72,
            (false, b"DNT2") => HEADER_BYTES_MAX,
            (false, b"DONE") if is_list_end => {
                if is_list_of_2 {
                    HEADER_BYTES_MAX
                } else {
                    20
                }
            }
            // The mode, and the flags.
            (true, b"SND2") if self.is_second(id) => 12,
            (_, _) => 8,
        }
    }

    /// Whether `id` is the second half of a request that comes in two: a path, and flags.
    fn is_second(&self, id: [u8; 4]) -> bool {
        self.without_flags.as_ref().is_some_and(|(first, _)| *first == id)
    }

    fn header(
        &mut self,
        is_client: bool,
        header: &[u8],
        place: Place,
        files: &mut Files,
        oddities: &mut Oddities,
        observer: &mut dyn Observer,
    ) {
        let Some((&id, rest)) = header.split_first_chunk::<4>() else { return };
        let length = rest.last_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let first = self.without_flags.take_if(|(first, _)| is_client && *first == id);
        let half = &mut self.sides[usize::from(!is_client)];
        half.is_text_cut = false;
        match (is_client, &id) {
            (true, b"SND2" | b"RCV2") if first.is_some() => {
                // How the data are compressed (`SyncFlag`).
                if length & 7 != 0 {
                    oddities.tell(place, OddityKind::Tolerated, "file_is_compressed", observer);
                }
                if let Some((_, path)) = first.filter(|_| &id == b"SND2") {
                    half.begin_file(&path, FileVia::AdbPush, place, files, observer);
                }
            }
            (true, b"STAT" | b"STA2" | b"LST2" | b"LIST" | b"LIS2" | b"SEND" | b"SND2" | b"RECV" | b"RCV2")
            | (false, b"FAIL") => {
                half.state = State::Text { id, left: length };
                if length == 0 {
                    self.text(is_client, id, place, files, oddities, observer);
                }
            }
            (_, b"DATA") => {
                if !is_client && half.file.is_none() {
                    let path = self.requests.front().map(|asked| asked.path.clone()).unwrap_or_default();
                    half.begin_file(&path, FileVia::AdbPull, place, files, observer);
                }
                half.state = if length > 0 { State::Data { left: length } } else { State::Header };
            }
            (true, b"DONE") => half.end_file(true, place, observer),
            (false, b"DONE") => {
                // An empty file has no data.
                if let Some(Asked { request: [b'R', ..], path }) = self.requests.pop_front()
                    && half.file.is_none()
                {
                    half.begin_file(&path, FileVia::AdbPull, place, files, observer);
                }
                half.end_file(true, place, observer);
            }
            (true, b"QUIT") => {}
            (false, b"OKAY") => {}
            (false, b"STAT" | b"STA2" | b"LST2") => {
                self.requests.pop_front();
            }
            (false, b"DENT" | b"DNT2") => half.state = skip(length),
            (_, _) => {
                half.end_file(false, place, observer);
                half.state = State::GivenUp;
                oddities.tell(place, OddityKind::GaveUp, "sync_unreadable", observer);
            }
        }
    }

    fn text(
        &mut self,
        is_client: bool,
        id: [u8; 4],
        place: Place,
        files: &mut Files,
        oddities: &mut Oddities,
        observer: &mut dyn Observer,
    ) {
        let half = &mut self.sides[usize::from(!is_client)];
        half.state = State::Header;
        let text = std::mem::take(&mut half.text);
        if half.is_text_cut {
            oddities.tell(place, OddityKind::Bound, "path_too_long", observer);
        }
        if !is_client {
            observer.fact(place, Fact::Adb(Event::SyncFailed { message: &text }));
            half.end_file(false, place, observer);
            self.requests.pop_front();
            return;
        }
        // `path,mode`: the mode stands behind the last comma (SYNC.TXT).
        let path = match &id {
            b"SEND" => &text[..text.iter().rposition(|byte| *byte == b',').unwrap_or(text.len())],
            _ => &text,
        };
        observer.fact(place, Fact::Adb(Event::Sync { request: id, path }));
        match &id {
            b"SEND" => return half.begin_file(path, FileVia::AdbPush, place, files, observer),
            b"SND2" | b"RCV2" => self.without_flags = Some((id, path.to_vec())),
            _ => {}
        }
        if &id == b"SND2" {
            return;
        }
        if self.requests.len() == REQUESTS_MAX {
            oddities.tell(place, OddityKind::Bound, "too_many_requests_without_answer", observer);
            self.requests.pop_front();
        }
        let path = if matches!(&id, b"RECV" | b"RCV2") { path.to_vec() } else { Vec::new() };
        self.requests.push_back(Asked { request: id, path });
    }
}

impl Half {
    fn begin_file(&mut self, name: &[u8], via: FileVia, place: Place, files: &mut Files, observer: &mut dyn Observer) {
        self.end_file(false, place, observer);
        let file = files.next();
        self.file = Some(File { number: file, offset: 0 });
        observer.fact(place, Fact::File(FileEvent::Begin { file, name, via, bytes_expected: None }));
    }

    fn part(&mut self, bytes: &[u8], place: Place, observer: &mut dyn Observer) {
        if let Some(File { number, offset }) = &mut self.file {
            observer.fact(place, Fact::File(FileEvent::Part { file: *number, offset: *offset, bytes }));
            *offset += bytes.len() as u64;
        }
    }

    fn end_file(&mut self, is_complete: bool, place: Place, observer: &mut dyn Observer) {
        if let Some(File { number: file, .. }) = self.file.take() {
            observer.fact(place, Fact::File(FileEvent::End { file, is_complete }));
        }
    }
}

fn skip(left: u32) -> State {
    if left > 0 { State::Skip { left } } else { State::Header }
}

/// The name of the unit that begins with `begun` and goes on with `bytes`.
fn id_of(begun: &[u8], bytes: &[u8]) -> Option<[u8; 4]> {
    let mut id = [0; 4];
    let mut all = begun.iter().chain(bytes);
    for byte in &mut id {
        *byte = *all.next()?;
    }
    Some(id)
}
