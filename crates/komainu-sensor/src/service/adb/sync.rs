//! The sync service: files to and from the device (AOSP, SYNC.TXT). Requests are a name of four letters, a length, and
//! so many bytes; all numbers are little-endian.

use std::time::Duration;

use crate::service::upload::Upload;
use crate::shell::{Errno, FileKind, Shell, ShellEvent, Stat, split};

/// The longest path, in bytes (SYNC.TXT).
const PATH_BYTES_MAX: usize = 1024;

/// The most of a file in one piece, in bytes (SYNC.TXT).
const DATA_BYTES_MAX: usize = 64 * 1024;

/// What is waiting to be read, in bytes: a whole request that is answered later, and what was sent with it.
const WAITING_BYTES_MAX: usize = 2 * DATA_BYTES_MAX;

/// Folders that are made for one file.
const FOLDERS_MAX: usize = 32;

/// A stream of the service.
#[derive(Debug, Default)]
pub(super) struct Sync {
    waiting: Vec<u8>,
    state: State,
    /// It makes no sense any more, or more was sent than may wait.
    is_broken: bool,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Request,
    /// A file comes, or why it is not taken.
    File(Result<Upload, Errno>),
    /// So many bytes of it.
    Data { file: Result<Upload, Errno>, left: usize },
}

impl Sync {
    /// Takes what the client says.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        if self.waiting.len() + bytes.len() > WAITING_BYTES_MAX {
            self.is_broken = true;
            return;
        }
        self.waiting.extend_from_slice(bytes);
    }

    /// Does what was asked for up to the first answer; true when the stream ends.
    pub(super) fn go_on(
        &mut self,
        shell: &mut Shell,
        now: Duration,
        out: &mut Vec<u8>,
        events: &mut Vec<ShellEvent>,
    ) -> bool {
        let waiting = std::mem::take(&mut self.waiting);
        let mut rest = waiting.as_slice();
        while out.is_empty() && !self.is_broken {
            if let State::Data { file, left } = &mut self.state {
                let (part, after) = rest.split_at(rest.len().min(*left));
                if let Ok(upload) = file {
                    upload.write(shell, None, part, now);
                }
                *left -= part.len();
                rest = after;
                if *left > 0 {
                    break;
                }
                let State::Data { file, .. } = std::mem::take(&mut self.state) else { break };
                self.state = State::File(file);
            }
            let Some((header, body)) = rest.split_first_chunk::<8>() else { break };
            let [a, b, c, d, length @ ..] = *header;
            let length = u32::from_le_bytes(length) as usize;
            match (&[a, b, c, d], std::mem::take(&mut self.state)) {
                (b"DATA", State::File(file)) if length <= DATA_BYTES_MAX => {
                    self.state = State::Data { file, left: length };
                    rest = body;
                }
                // Its number is the file's time.
                (b"DONE", State::File(file)) => {
                    rest = body;
                    match file {
                        Ok(_) => out.extend_from_slice(b"OKAY\0\0\0\0"),
                        Err(error) => fail(out, &format!("couldn't create file: {}", error.text())),
                    }
                }
                (b"QUIT", State::Request) => self.is_broken = true,
                (request, State::Request) if length <= PATH_BYTES_MAX => {
                    let Some((path, after)) = body.split_at_checked(length) else { break };
                    rest = after;
                    self.request(request, path, shell, now, out, events);
                }
                (_, _) => self.is_broken = true,
            }
        }
        self.waiting = rest.to_vec();
        self.is_broken
    }

    fn request(
        &mut self,
        request: &[u8; 4],
        path: &[u8],
        shell: &mut Shell,
        now: Duration,
        out: &mut Vec<u8>,
        events: &mut Vec<ShellEvent>,
    ) {
        match request {
            b"STAT" => {
                out.extend_from_slice(b"STAT");
                match shell.files(now).stat(b"/", path) {
                    Ok(stat) => push_stat(out, shell, &stat),
                    Err(_) => out.extend_from_slice(&[0; 12]),
                }
            }
            b"LIST" => {
                let files = shell.files(now);
                let mut entries = Vec::new();
                for name in files.list(b"/", path).unwrap_or_default() {
                    if let Ok(stat) = files.stat_link(path, &name) {
                        entries.push((name, stat));
                    }
                }
                for (name, stat) in entries {
                    out.extend_from_slice(b"DENT");
                    push_stat(out, shell, &stat);
                    push_number(out, name.len());
                    out.extend_from_slice(&name);
                }
                out.extend_from_slice(b"DONE");
                out.extend_from_slice(&[0; 16]);
            }
            b"RECV" => match shell.files(now).read(b"/", path) {
                Ok(data) => {
                    for part in data.bytes().chunks(DATA_BYTES_MAX) {
                        out.extend_from_slice(b"DATA");
                        push_number(out, part.len());
                        out.extend_from_slice(part);
                    }
                    out.extend_from_slice(b"DONE\0\0\0\0");
                }
                Err(error) => fail(out, error.text()),
            },
            b"SEND" => {
                // `path,mode`, the mode as a decimal number.
                let comma = path.iter().rposition(|byte| *byte == b',').unwrap_or(path.len());
                let (path, mode) = (&path[..comma], path.get(comma + 1..).unwrap_or_default());
                let mode = std::str::from_utf8(mode).ok().and_then(|digits| digits.parse::<u32>().ok());
                let mode = mode.map_or(0o644, |mode| (mode & 0o777) as u16);
                make_folders(path, shell, now);
                self.state = State::File(Upload::open(shell, (b"/", path), mode, false, now, events));
            }
            // Newer requests are for devices that say that they know them.
            _ => fail(out, "unknown command"),
        }
    }
}

/// The service makes the folders that are missing.
fn make_folders(path: &[u8], shell: &mut Shell, now: Duration) {
    let folder = split(path).0;
    let ends = folder.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    for end in ends.chain([folder.len()]).take(FOLDERS_MAX).filter(|end| *end > 0) {
        // One that is there already, or cannot be made: opening the file tells.
        let _ = shell.files(now).make_folder(b"/", &folder[..end], 0o755);
    }
}

fn push_stat(out: &mut Vec<u8>, shell: &Shell, stat: &Stat) {
    let kind: u32 = match stat.kind {
        FileKind::Folder => 0o040_000,
        FileKind::File => 0o100_000,
        FileKind::Link(_) => 0o120_000,
        FileKind::Device(_) => 0o020_000,
    };
    push_number(out, (kind | u32::from(stat.mode)) as usize);
    push_number(out, stat.size);
    push_number(out, usize::try_from(shell.changed_s(stat)).unwrap_or(usize::MAX));
}

fn push_number(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
}

fn fail(out: &mut Vec<u8>, why: &str) {
    out.extend_from_slice(b"FAIL");
    push_number(out, why.len());
    out.extend_from_slice(why.as_bytes());
}
