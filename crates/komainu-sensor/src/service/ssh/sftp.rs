//! SFTP, version 3 (draft-ietf-secsh-filexfer-02), over the files of the session's shell.

use komainu_decode::FileVia;

use super::visit::Hand;
use crate::service::upload::{Record, Upload};
use crate::shell::{Errno, FileKind, Stat, join};

/// The longest packet, in bytes, as OpenSSH takes them (sftp-common.h, SFTP_MAX_MSG_LENGTH). A longer one ends it.
const PACKET_BYTES_MAX: usize = 256 * 1024;

/// The most that one READ gives, in bytes: what clients ask for at once.
const READ_BYTES_MAX: usize = 32 * 1024;

/// Files and folders that are open at once. A further one is refused.
const HANDLES_MAX: usize = 16;

/// What one piece makes a persona say before it takes a breath, in bytes: a client may ask for much with few bytes.
const SAID_BYTES_MAX: usize = 256 * 1024;

/// Names in one answer to READDIR.
const NAMES_MAX: usize = 64;

const OK: u32 = 0;
const END: u32 = 1;
const NO_SUCH_FILE: u32 = 2;
const PERMISSION_DENIED: u32 = 3;
const FAILURE: u32 = 4;
const BAD_MESSAGE: u32 = 5;
const UNSUPPORTED: u32 = 8;

/// Flags of OPEN (section 6.3).
const OPEN_WRITE: u32 = 0x2;
const OPEN_APPEND: u32 = 0x4;
const OPEN_CREATE: u32 = 0x8;
const OPEN_TRUNCATE: u32 = 0x10;
const OPEN_EXCLUSIVE: u32 = 0x20;

/// Flags of attributes (section 5).
const HAS_SIZE: u32 = 0x1;
const HAS_OWNER: u32 = 0x2;
const HAS_MODE: u32 = 0x4;
const HAS_TIMES: u32 = 0x8;

/// Answers the requests of a client.
#[derive(Debug, Default)]
pub(super) struct Server {
    /// The beginning of a packet.
    waiting: Vec<u8>,
    handles: Vec<(u32, Handle)>,
    handles_opened: u32,
}

#[derive(Debug)]
enum Handle {
    /// A file that is read, by its absolute path.
    Read(Vec<u8>),
    Write {
        upload: Upload,
        /// The artifact's number, once something was written.
        file: u32,
        appends: bool,
        /// How far it was written, in bytes.
        end: u64,
    },
    /// What is left of a folder.
    Folder { path: Vec<u8>, names: Vec<Vec<u8>> },
}

/// How much of what the client said was taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    All,
    /// So much that it made enough to say; the rest is taken the next time.
    Some,
    /// It makes no sense any more.
    Broken,
}

/// A packet that is no packet.
struct Broken;

impl Server {
    /// Takes what the client says.
    pub(super) fn take(&mut self, bytes: &[u8], hand: &mut Hand<'_>) -> Taken {
        self.waiting.extend_from_slice(bytes);
        let announced = self.waiting.first_chunk().map_or(0, |length| u32::from_be_bytes(*length) as usize);
        if announced <= PACKET_BYTES_MAX && self.waiting.len() < 4 + announced {
            return Taken::All;
        }
        let waiting = std::mem::take(&mut self.waiting);
        let mut rest = &waiting[..];
        while let Some((length, body)) = rest.split_first_chunk() {
            let length = u32::from_be_bytes(*length) as usize;
            if length == 0 || length > PACKET_BYTES_MAX {
                return Taken::Broken;
            }
            let Some((packet, after)) = body.split_at_checked(length) else { break };
            if hand.say.len() >= SAID_BYTES_MAX {
                self.waiting = rest.to_vec();
                return Taken::Some;
            }
            rest = after;
            self.packet(packet, hand);
        }
        self.waiting = rest.to_vec();
        Taken::All
    }

    /// The client has said everything: its files end.
    pub(super) fn end(&mut self, hand: &mut Hand<'_>) {
        for (_, handle) in std::mem::take(&mut self.handles) {
            if let Handle::Write { file, .. } = handle {
                hand.records.push(Record::FileEnd { file, is_complete: false });
            }
        }
    }

    fn packet(&mut self, packet: &[u8], hand: &mut Hand<'_>) {
        let Some((&kind, body)) = packet.split_first() else { return };
        if kind == 1 {
            // Which version the client has does not matter: it takes this one or goes.
            return send(hand, 2, |out| out.extend_from_slice(&3_u32.to_be_bytes()));
        }
        let mut fields = Fields(body);
        let Ok(id) = fields.number() else { return };
        if self.request(kind, id, fields, hand).is_err() {
            status(hand, id, BAD_MESSAGE);
        }
    }

    fn request(&mut self, kind: u8, id: u32, mut fields: Fields<'_>, hand: &mut Hand<'_>) -> Result<(), Broken> {
        match kind {
            3 => {
                let (path, flags) = (fields.text()?, fields.number()?);
                let mode = fields.mode().unwrap_or(0o666);
                self.open(id, path, flags, mode, hand);
            }
            4 => self.close(id, fields.text()?, hand),
            5 => {
                let (handle, offset, length) = (fields.text()?, fields.long()?, fields.number()?);
                self.read(id, handle, offset, length, hand);
            }
            6 => {
                let (handle, offset, bytes) = (fields.text()?, fields.long()?, fields.text()?);
                self.write(id, handle, offset, bytes, hand);
            }
            7 | 17 => {
                let path = fields.text()?;
                let files = hand.shell.files(hand.now);
                let found = if kind == 7 { files.stat_link(hand.folder, path) } else { files.stat(hand.folder, path) };
                match found {
                    Ok(stat) => attributes(hand, id, &stat),
                    Err(error) => status(hand, id, code(error)),
                }
            }
            8 => {
                let path: Option<Vec<u8>> = match self.handle(fields.text()?) {
                    Some(Handle::Read(path) | Handle::Folder { path, .. }) => Some(path.clone()),
                    Some(Handle::Write { upload, .. }) => upload.place().map(<[u8]>::to_vec),
                    None => None,
                };
                let stat = path.and_then(|path| hand.shell.files(hand.now).stat(b"/", &path).ok());
                match stat {
                    Some(stat) => attributes(hand, id, &stat),
                    None => status(hand, id, FAILURE),
                }
            }
            9 => {
                let path = fields.text()?;
                let mode = fields.mode();
                let mut files = hand.shell.files(hand.now);
                let done = files.place(hand.folder, path, true).and_then(|place| match mode {
                    Some(mode) => files.set_mode(&place, mode),
                    None => files.touch(&place),
                });
                finish(hand, id, done);
            }
            // Owners and times that are set through a handle make no difference to anything that a session sees.
            10 => {
                let place: Option<Vec<u8>> = match self.handle(fields.text()?) {
                    Some(Handle::Write { upload, .. }) => upload.place().map(<[u8]>::to_vec),
                    Some(Handle::Read(_) | Handle::Folder { .. }) | None => None,
                };
                if let (Some(place), Some(mode)) = (place, fields.mode()) {
                    let _ = hand.shell.files(hand.now).set_mode(&place, mode);
                }
                status(hand, id, OK);
            }
            11 => self.open_folder(id, fields.text()?, hand),
            12 => self.read_folder(id, fields.text()?, hand),
            13 => {
                let path = fields.text()?;
                let mut files = hand.shell.files(hand.now);
                let done = files.place(hand.folder, path, false).and_then(|place| files.remove(&place));
                finish(hand, id, done);
            }
            14 => {
                let path = fields.text()?;
                let mode = fields.mode().unwrap_or(0o777) & 0o777 & !0o022;
                let done = hand.shell.files(hand.now).make_folder(hand.folder, path, mode);
                finish(hand, id, done);
            }
            15 => {
                let path = fields.text()?;
                let mut files = hand.shell.files(hand.now);
                let done = files.place(hand.folder, path, false).and_then(|place| files.remove_folder(&place));
                finish(hand, id, done);
            }
            16 => {
                let path = fields.text()?;
                let path = if path.is_empty() { b".".as_slice() } else { path };
                match hand.shell.files(hand.now).place(hand.folder, path, true) {
                    Ok(place) => send(hand, 104, |out| {
                        out.extend_from_slice(&id.to_be_bytes());
                        out.extend_from_slice(&1_u32.to_be_bytes());
                        push_text(out, &place);
                        push_text(out, &place);
                        out.extend_from_slice(&0_u32.to_be_bytes());
                    }),
                    Err(error) => status(hand, id, code(error)),
                }
            }
            18 => {
                let (from, to) = (fields.text()?, fields.text()?);
                let mut files = hand.shell.files(hand.now);
                let places = (files.place(hand.folder, from, false), files.place(hand.folder, to, false));
                let done = match places {
                    (Ok(_), Ok(to)) if files.stat_link(b"/", &to).is_ok() => Err(Errno::Exists),
                    (Ok(from), Ok(to)) => files.rename(&from, &to),
                    (Err(error), _) | (_, Err(error)) => Err(error),
                };
                finish(hand, id, done);
            }
            19 => {
                let path = fields.text()?;
                match hand.shell.files(hand.now).stat_link(hand.folder, path).map(|stat| stat.kind) {
                    Ok(FileKind::Link(target)) => send(hand, 104, |out| {
                        out.extend_from_slice(&id.to_be_bytes());
                        out.extend_from_slice(&1_u32.to_be_bytes());
                        push_text(out, &target);
                        push_text(out, &target);
                        out.extend_from_slice(&0_u32.to_be_bytes());
                    }),
                    Ok(FileKind::Folder | FileKind::File | FileKind::Device(_)) => status(hand, id, FAILURE),
                    Err(error) => status(hand, id, code(error)),
                }
            }
            20 => {
                // OpenSSH and its clients have the two the other way round than the draft (OpenSSH PROTOCOL, 4.1).
                let (target, path) = (fields.text()?, fields.text()?);
                let done = hand.shell.files(hand.now).make_link(hand.folder, path, target);
                finish(hand, id, done);
            }
            _ => status(hand, id, UNSUPPORTED),
        }
        Ok(())
    }

    fn open(&mut self, id: u32, path: &[u8], flags: u32, mode: u16, hand: &mut Hand<'_>) {
        if self.handles.len() >= HANDLES_MAX {
            return status(hand, id, FAILURE);
        }
        let found = hand.shell.files(hand.now).stat(hand.folder, path);
        if flags & OPEN_WRITE == 0 {
            let place = hand.shell.files(hand.now).place(hand.folder, path, true);
            return match (found, place) {
                (Ok(stat), _) if stat.kind == FileKind::Folder => status(hand, id, FAILURE),
                (Ok(_), Ok(place)) => self.give(id, Handle::Read(place), hand),
                (Err(error), _) | (_, Err(error)) => status(hand, id, code(error)),
            };
        }
        match found {
            Ok(_) if flags & OPEN_EXCLUSIVE != 0 => return status(hand, id, FAILURE),
            Err(Errno::NotFound) if flags & OPEN_CREATE == 0 => return status(hand, id, NO_SUCH_FILE),
            Ok(_) | Err(_) => {}
        }
        let mut events = Vec::new();
        let keeps = flags & OPEN_TRUNCATE == 0;
        let at = (hand.folder, path);
        match Upload::open(hand.shell, at, mode & 0o777 & !0o022, keeps, hand.now, &mut events) {
            Err(error) => status(hand, id, code(error)),
            Ok(upload) => {
                hand.records.extend(events.into_iter().map(Record::Shell));
                let file = hand.next_file();
                let name = upload.place().unwrap_or(path).to_vec();
                hand.records.push(Record::FileBegin { file, name, via: FileVia::SftpUpload });
                let appends = flags & OPEN_APPEND != 0;
                self.give(id, Handle::Write { upload, file, appends, end: 0 }, hand);
            }
        }
    }

    fn give(&mut self, id: u32, handle: Handle, hand: &mut Hand<'_>) {
        let number = self.handles_opened;
        self.handles_opened = self.handles_opened.wrapping_add(1);
        self.handles.push((number, handle));
        send(hand, 102, |out| {
            out.extend_from_slice(&id.to_be_bytes());
            push_text(out, &number.to_be_bytes());
        });
    }

    fn handle(&mut self, handle: &[u8]) -> Option<&mut Handle> {
        let number = u32::from_be_bytes(handle.try_into().ok()?);
        self.handles.iter_mut().find(|(known, _)| *known == number).map(|(_, handle)| handle)
    }

    fn close(&mut self, id: u32, handle: &[u8], hand: &mut Hand<'_>) {
        let number = handle.try_into().ok().map(u32::from_be_bytes);
        let Some(index) = self.handles.iter().position(|(known, _)| Some(*known) == number) else {
            return status(hand, id, FAILURE);
        };
        if let (_, Handle::Write { file, .. }) = self.handles.swap_remove(index) {
            hand.records.push(Record::FileEnd { file, is_complete: true });
        }
        status(hand, id, OK);
    }

    fn read(&mut self, id: u32, handle: &[u8], offset: u64, length: u32, hand: &mut Hand<'_>) {
        let Some(Handle::Read(path)) = self.handle(handle) else { return status(hand, id, FAILURE) };
        let data = match hand.shell.files(hand.now).read(b"/", path) {
            Ok(data) => data,
            Err(error) => return status(hand, id, code(error)),
        };
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = data.bytes().get(from..).unwrap_or_default();
        if rest.is_empty() {
            return status(hand, id, END);
        }
        let bytes = &rest[..rest.len().min(length as usize).min(READ_BYTES_MAX)];
        send(hand, 103, |out| {
            out.extend_from_slice(&id.to_be_bytes());
            push_text(out, bytes);
        });
    }

    fn write(&mut self, id: u32, handle: &[u8], offset: u64, bytes: &[u8], hand: &mut Hand<'_>) {
        let Some(Handle::Write { upload, file, appends, end }) = self.handle(handle) else {
            return status(hand, id, FAILURE);
        };
        let offset = if *appends { *end } else { offset };
        *end = (*end).max(offset.saturating_add(bytes.len() as u64));
        upload.write(hand.shell, (!*appends).then_some(offset), bytes, hand.now);
        hand.records.push(Record::FilePart { file: *file, offset, bytes: bytes.to_vec() });
        status(hand, id, OK);
    }

    fn open_folder(&mut self, id: u32, path: &[u8], hand: &mut Hand<'_>) {
        if self.handles.len() >= HANDLES_MAX {
            return status(hand, id, FAILURE);
        }
        let files = hand.shell.files(hand.now);
        let found = files.place(hand.folder, path, true).and_then(|place| Ok((files.list(b"/", &place)?, place)));
        match found {
            Ok((mut names, path)) => {
                names.extend([b"..".to_vec(), b".".to_vec()]);
                self.give(id, Handle::Folder { path, names }, hand);
            }
            Err(error) => status(hand, id, code(error)),
        }
    }

    fn read_folder(&mut self, id: u32, handle: &[u8], hand: &mut Hand<'_>) {
        let Some(Handle::Folder { path, names }) = self.handle(handle) else { return status(hand, id, FAILURE) };
        let mut entries = Vec::new();
        let mut count: u32 = 0;
        while count < NAMES_MAX as u32
            && let Some(name) = names.pop()
        {
            let Ok(stat) = hand.shell.files(hand.now).stat_link(path, &join(path, &name)) else { continue };
            push_text(&mut entries, &name);
            push_text(&mut entries, &[long_line(&stat).as_bytes(), &name].concat());
            push_attributes(&mut entries, hand, &stat);
            count += 1;
        }
        if count == 0 {
            return status(hand, id, END);
        }
        send(hand, 104, |out| {
            out.extend_from_slice(&id.to_be_bytes());
            out.extend_from_slice(&count.to_be_bytes());
            out.extend_from_slice(&entries);
        });
    }
}

/// What is left of a packet.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn number(&mut self) -> Result<u32, Broken> {
        let (number, rest) = self.0.split_first_chunk().ok_or(Broken)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*number))
    }

    fn long(&mut self) -> Result<u64, Broken> {
        let (number, rest) = self.0.split_first_chunk().ok_or(Broken)?;
        self.0 = rest;
        Ok(u64::from_be_bytes(*number))
    }

    fn text(&mut self) -> Result<&'a [u8], Broken> {
        let length = self.number()? as usize;
        let (text, rest) = self.0.split_at_checked(length).ok_or(Broken)?;
        self.0 = rest;
        Ok(text)
    }

    /// The permissions in attributes, if they have some.
    fn mode(&mut self) -> Option<u16> {
        let flags = self.number().ok()?;
        if flags & HAS_SIZE != 0 {
            self.long().ok()?;
        }
        if flags & HAS_OWNER != 0 {
            self.long().ok()?;
        }
        (flags & HAS_MODE != 0).then(|| self.number().ok()).flatten().map(|mode| (mode & 0o7777) as u16)
    }
}

/// Says a packet.
fn send(hand: &mut Hand<'_>, kind: u8, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut body = vec![kind];
    fill(&mut body);
    push_text(&mut hand.say, &body);
}

fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    let length = u32::try_from(text.len()).expect("texts are shorter than a packet or a path");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text);
}

fn finish(hand: &mut Hand<'_>, id: u32, done: Result<(), Errno>) {
    status(hand, id, done.map_or_else(code, |()| OK));
}

fn status(hand: &mut Hand<'_>, id: u32, code: u32) {
    let text = match code {
        OK => "Success",
        END => "End of file",
        NO_SUCH_FILE => "No such file",
        PERMISSION_DENIED => "Permission denied",
        BAD_MESSAGE => "Bad message",
        UNSUPPORTED => "Operation unsupported",
        _ => "Failure",
    };
    send(hand, 101, |out| {
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&code.to_be_bytes());
        push_text(out, text.as_bytes());
        push_text(out, b"");
    });
}

const fn code(error: Errno) -> u32 {
    match error {
        Errno::NotFound | Errno::NotDirectory | Errno::TooManyLinks => NO_SUCH_FILE,
        Errno::Permission | Errno::ReadOnly => PERMISSION_DENIED,
        Errno::Exists | Errno::IsDirectory | Errno::NotEmpty | Errno::NoSpace | Errno::Invalid | Errno::Busy => FAILURE,
    }
}

fn attributes(hand: &mut Hand<'_>, id: u32, stat: &Stat) {
    let mut body = Vec::new();
    push_attributes(&mut body, hand, stat);
    send(hand, 105, |out| {
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&body);
    });
}

fn push_attributes(out: &mut Vec<u8>, hand: &Hand<'_>, stat: &Stat) {
    let kind = match stat.kind {
        FileKind::Folder => 0o040_000,
        FileKind::File => 0o100_000,
        FileKind::Link(_) => 0o120_000,
        FileKind::Device(_) => 0o020_000,
    };
    let changed_s = u32::try_from(hand.shell.changed_s(stat)).unwrap_or(u32::MAX);
    out.extend_from_slice(&(HAS_SIZE | HAS_OWNER | HAS_MODE | HAS_TIMES).to_be_bytes());
    out.extend_from_slice(&(stat.size as u64).to_be_bytes());
    for number in [stat.uid, stat.uid, kind | u32::from(stat.mode), changed_s, changed_s] {
        out.extend_from_slice(&number.to_be_bytes());
    }
}

/// What stands before the name in a listing for people (section 7).
fn long_line(stat: &Stat) -> String {
    let kind = match stat.kind {
        FileKind::Folder => 'd',
        FileKind::File => '-',
        FileKind::Link(_) => 'l',
        FileKind::Device(_) => 'c',
    };
    let bits = (0..9).map(|at| if stat.mode >> (8 - at) & 1 == 1 { ['r', 'w', 'x'][at % 3] } else { '-' });
    let permissions: String = bits.collect();
    format!("{kind}{permissions}    1 root     root     {:8} Jan  1 00:00 ", stat.size)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::service::ssh::visit::tests::with_hand;

    fn packet(kind: u8, fields: &[&[u8]]) -> Vec<u8> {
        let mut whole = Vec::new();
        push_text(&mut whole, &[&[kind], fields.concat().as_slice()].concat());
        whole
    }

    fn text(text: &[u8]) -> Vec<u8> {
        let mut whole = Vec::new();
        push_text(&mut whole, text);
        whole
    }

    const ID: &[u8] = &[0, 0, 0, 7];
    const NO_ATTRIBUTES: &[u8] = &[0; 4];

    /// The kinds of the answers to some packets, and the status of the last where it is one.
    fn check(packets: &[Vec<u8>], kinds: &[u8], last: Option<u32>) -> Vec<Record> {
        with_hand(|hand| {
            let mut server = Server::default();
            for piece in packets.concat().chunks(5) {
                assert_eq!(server.take(piece, hand), Taken::All);
            }
            server.end(hand);
            let (mut seen, mut code) = (Vec::new(), None);
            let mut rest = &hand.say[..];
            while let Some((length, body)) = rest.split_first_chunk::<4>() {
                let (answer, after) = body.split_at(u32::from_be_bytes(*length) as usize);
                seen.push(answer[0]);
                code = (answer[0] == 101).then(|| u32::from_be_bytes(answer[5..9].try_into().unwrap()));
                rest = after;
            }
            assert_eq!((seen.as_slice(), code), (kinds, last));
            std::mem::take(&mut hand.records)
        })
    }

    #[test]
    fn a_file_is_written_and_read() {
        let handle = text(&[0; 4]);
        let flags = (OPEN_WRITE | OPEN_CREATE | OPEN_TRUNCATE).to_be_bytes();
        let packets = [
            packet(1, &[&[0, 0, 0, 3]]),
            packet(16, &[ID, &text(b".")]),
            packet(3, &[ID, &text(b"/tmp/x"), &flags, NO_ATTRIBUTES]),
            packet(6, &[ID, &handle, &[0; 8], &text(b"hello")]),
            packet(4, &[ID, &handle]),
            packet(17, &[ID, &text(b"/tmp/x")]),
            packet(3, &[ID, &text(b"/tmp/x"), &[0, 0, 0, 1], NO_ATTRIBUTES]),
            packet(5, &[ID, &text(&[0, 0, 0, 1]), &[0; 8], &[0, 0, 1, 0]]),
            packet(5, &[ID, &text(&[0, 0, 0, 1]), &5_u64.to_be_bytes(), &[0, 0, 1, 0]]),
        ];
        let records = check(&packets, &[2, 104, 102, 101, 101, 105, 102, 103, 101], Some(END));
        assert_eq!(
            records,
            [
                Record::FileBegin { file: 0, name: b"/tmp/x".to_vec(), via: FileVia::SftpUpload },
                Record::FilePart { file: 0, offset: 0, bytes: b"hello".to_vec() },
                Record::FileEnd { file: 0, is_complete: true },
            ]
        );
    }

    #[test]
    fn folders() {
        let packets = [
            packet(14, &[ID, &text(b"/tmp/d"), NO_ATTRIBUTES]),
            packet(11, &[ID, &text(b"/tmp")]),
            packet(12, &[ID, &text(&[0; 4])]),
            packet(12, &[ID, &text(&[0; 4])]),
            packet(18, &[ID, &text(b"/tmp/d"), &text(b"/tmp/e")]),
            packet(15, &[ID, &text(b"/tmp/e")]),
        ];
        check(&packets, &[101, 102, 104, 101, 101, 101], Some(OK));
    }

    #[test]
    fn what_is_refused() {
        let one = |packet: Vec<u8>, code| check(&[packet], &[101], Some(code));
        one(packet(13, &[ID, &text(b"/tmp/none")]), NO_SUCH_FILE);
        one(packet(13, &[ID, &text(b"/bin/busybox")]), PERMISSION_DENIED);
        one(packet(4, &[ID, &text(&[9; 4])]), FAILURE);
        one(packet(4, &[ID, &text(&[9; 3])]), FAILURE);
        one(packet(3, &[ID, &[0, 0, 1, 0]]), BAD_MESSAGE);
        one(packet(200, &[ID, &text(b"statvfs@openssh.com")]), UNSUPPORTED);
        with_hand(|hand| {
            assert_eq!(Server::default().take(&[0xff; 4], hand), Taken::Broken);
            assert_eq!(Server::default().take(&[0; 4], hand), Taken::Broken);
        });
    }

    #[test]
    fn handles_are_bounded() {
        with_hand(|hand| {
            let mut server = Server::default();
            for _ in 0..HANDLES_MAX + 5 {
                server.take(&packet(11, &[ID, &text(b"/tmp")]), hand);
            }
            assert_eq!(server.handles.len(), HANDLES_MAX);
        });
    }

    proptest! {
        #[test]
        fn whatever_is_asked_is_survived(
            packets in proptest::collection::vec((1_u8..21, proptest::collection::vec(any::<u8>(), 0..40)), 0..30),
        ) {
            with_hand(|hand| {
                let mut server = Server::default();
                for (kind, body) in &packets {
                    server.take(&packet(*kind, &[ID, body]), hand);
                }
                server.end(hand);
            });
        }
    }
}
