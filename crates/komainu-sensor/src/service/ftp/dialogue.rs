//! The control connection without sockets: lines in, replies and what is to be done out.

use std::sync::Arc;
use std::time::Duration;

use komainu_decode::ftp::Direction;

use super::Ftp;
use crate::service::upload::{Record, Upload};
use crate::shell::{Errno, FileKind, Files, Shell, ShellLimits, Stat, join};

/// The longest command, in bytes: a path of the longest length that Linux takes, and a word. A longer one is refused.
pub(super) const LINE_BYTES_MAX: usize = 4096 + 64;

/// Data connections of one control connection. Then it is closed: each has records of its own.
const TRANSFERS_MAX: u32 = 256;

/// What a line brings about.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// How long the reply takes.
    pub(super) delay: Duration,
    pub(super) reply: Vec<u8>,
    pub(super) act: Act,
    pub(super) records: Vec<Record>,
}

/// What is to be done after the reply.
#[derive(Debug, Default)]
pub(super) enum Act {
    #[default]
    Nothing,
    /// A port is opened, and where is told with 227, or with 229 (RFC 2428).
    Listen {
        is_extended: bool,
    },
    Transfer(Transfer),
    Close,
}

/// What goes over a data connection.
#[derive(Debug)]
pub(super) struct Transfer {
    /// The file's path; empty for a listing.
    pub(super) path: Vec<u8>,
    /// Which way a file goes; none for a listing.
    pub(super) direction: Option<Direction>,
    /// Where in the file it begins, in bytes.
    pub(super) offset: u64,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    Send(Vec<u8>),
    Receive {
        upload: Upload,
        /// Where the next bytes belong; none for the end of the file.
        at: Option<u64>,
    },
}

/// A control connection.
pub(super) struct Dialogue {
    persona: Arc<Ftp>,
    shell: Box<Shell>,
    line: Vec<u8>,
    is_too_long: bool,
    user: Vec<u8>,
    is_in: bool,
    tries: u32,
    folder: Vec<u8>,
    renames: Option<Vec<u8>>,
    offset: u64,
    transfers: u32,
    unique: u32,
}

impl Dialogue {
    pub(super) fn new(persona: Arc<Ftp>, seed: u64) -> Self {
        let shell = Box::new(Shell::new(persona.machine.clone(), ShellLimits::default(), seed));
        let folder = persona.folder.clone();
        Self {
            persona,
            shell,
            line: Vec::new(),
            is_too_long: false,
            user: Vec::new(),
            is_in: false,
            tries: 0,
            folder,
            renames: None,
            offset: 0,
            transfers: 0,
            unique: 0,
        }
    }

    pub(super) fn opening(&self) -> Vec<u8> {
        reply(220, &self.persona.banner)
    }

    /// Takes bytes up to the end of a line and does what it says; what is left of the bytes.
    pub(super) fn take<'a>(&mut self, bytes: &'a [u8], now: Duration) -> (Option<Step>, &'a [u8]) {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let part = &bytes[..end.unwrap_or(bytes.len())];
        if self.line.len() + part.len() > LINE_BYTES_MAX {
            self.is_too_long = true;
            self.line = Vec::new();
        }
        if !self.is_too_long {
            self.line.extend_from_slice(part);
        }
        let Some(end) = end else { return (None, &[]) };
        let rest = &bytes[end + 1..];
        let line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.is_too_long) {
            return (Some(say(500, "Line too long")), rest);
        }
        (self.command(&line, now), rest)
    }

    /// What the session leaves behind.
    pub(super) fn close(&mut self) -> Vec<Record> {
        self.shell.close().into_iter().map(Record::Shell).collect()
    }

    /// Writes what came for a file into it.
    pub(super) fn write(&mut self, upload: &Upload, at: &mut Option<u64>, bytes: &[u8], now: Duration) {
        upload.write(&mut self.shell, *at, bytes, now);
        if let Some(at) = at {
            *at = at.saturating_add(bytes.len() as u64);
        }
    }

    fn command(&mut self, line: &[u8], now: Duration) -> Option<Step> {
        // Telnet's "interrupt process" and "synch" may stand in front of ABOR (RFC 959, 4.1.3).
        let begin = line.iter().position(|byte| !matches!(byte, 0xF0..|b' '| 0)).unwrap_or(line.len());
        let line = line[begin..].strip_suffix(b"\r").unwrap_or(&line[begin..]);
        if line.is_empty() {
            return None;
        }
        let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
        let (word, argument) = (line[..end].to_ascii_uppercase(), line.get(end + 1..).unwrap_or_default());
        let renames = self.renames.take();
        let offset = std::mem::take(&mut self.offset);
        Some(match word.as_slice() {
            b"USER" => self.user(argument),
            b"PASS" => self.password(argument),
            b"QUIT" => Step { act: Act::Close, ..done(221) },
            b"SYST" => say(215, "UNIX Type: L8"),
            b"FEAT" => raw(b"211-Features:\r\n EPSV\r\n PASV\r\n REST STREAM\r\n MDTM\r\n SIZE\r\n211 Ok\r\n"),
            b"NOOP" => done(200),
            b"AUTH" => failed(502),
            _ if !self.is_in => say(530, "Login with USER and PASS"),
            b"PWD" | b"XPWD" => {
                say(257, &format!("\"{}\"", String::from_utf8_lossy(&self.folder).replace('"', "\"\"")))
            }
            b"CWD" | b"XCWD" => self.change_folder(argument, now),
            b"CDUP" | b"XCUP" => self.change_folder(b"..", now),
            b"TYPE" | b"MODE" | b"STRU" => done(200),
            b"ALLO" => done(202),
            b"HELP" | b"STAT" => {
                raw(b"214-Features:\r\n EPSV\r\n PASV\r\n REST STREAM\r\n MDTM\r\n SIZE\r\n214 Ok\r\n")
            }
            b"ABOR" => done(226),
            b"PASV" => Step { act: Act::Listen { is_extended: false }, ..Step::default() },
            b"EPSV" => Step { act: Act::Listen { is_extended: true }, ..Step::default() },
            // A persona opens no connections: it would be turned against others (RFC 2577, 3).
            b"PORT" | b"EPRT" => say(500, "Illegal PORT command"),
            b"REST" => match std::str::from_utf8(argument.trim_ascii()).ok().and_then(|digits| digits.parse().ok()) {
                Some(offset) => {
                    self.offset = offset;
                    done(350)
                }
                None => failed(501),
            },
            b"LIST" | b"NLST" | b"MLSD" => self.list(&word, argument, now),
            b"RETR" => self.retrieve(argument, offset, now),
            b"STOR" => self.store(argument, Some(offset), now),
            b"APPE" => self.store(argument, None, now),
            b"STOU" => {
                self.unique += 1;
                let name = format!("uniq.{:06}", self.unique);
                self.store(name.as_bytes(), Some(0), now)
            }
            b"SIZE" => match self.stat(argument, now) {
                Ok(stat) if stat.kind == FileKind::File => say(213, &stat.size.to_string()),
                Ok(_) | Err(_) => failed(550),
            },
            b"MDTM" => match self.stat(argument, now) {
                Ok(stat) => say(213, &self.stamp(&stat)),
                Err(_) => failed(550),
            },
            b"DELE" => self.change(now, |files, folder| {
                let place = files.place(folder, argument, false)?;
                files.remove(&place)
            }),
            b"MKD" | b"XMKD" => {
                let step = self.change(now, |files, folder| files.make_folder(folder, argument, 0o755));
                if step.reply.starts_with(b"250") {
                    say(257, &format!("\"{}\" created", String::from_utf8_lossy(argument)))
                } else {
                    step
                }
            }
            b"RMD" | b"XRMD" => self.change(now, |files, folder| {
                let place = files.place(folder, argument, false)?;
                files.remove_folder(&place)
            }),
            b"RNFR" => {
                if self.stat(argument, now).is_ok() {
                    self.renames = Some(argument.to_vec());
                    done(350)
                } else {
                    failed(550)
                }
            }
            b"RNTO" => match renames {
                Some(from) => self.change(now, |files, folder| {
                    let from = files.place(folder, &from, false)?;
                    let to = files.place(folder, argument, false)?;
                    files.rename(&from, &to)
                }),
                None => say(503, "Use RNFR first"),
            },
            b"SITE" => failed(500),
            _ => say(500, "Unknown command"),
        })
    }

    fn user(&mut self, name: &[u8]) -> Step {
        self.user = name.to_vec();
        self.is_in = false;
        say(331, "Specify password")
    }

    fn password(&mut self, password: &[u8]) -> Step {
        if self.is_in {
            return done(230);
        }
        let persona = &self.persona;
        self.tries += 1;
        let is_stubborn = persona.accept_after > 0 && self.tries >= persona.accept_after;
        let is_anonymous = persona.anonymous && matches!(self.user.as_slice(), b"anonymous" | b"ftp");
        if is_anonymous || is_stubborn || persona.accounts.has(&self.user, password) {
            self.is_in = true;
            return done(230);
        }
        let act = if self.tries >= persona.tries_max { Act::Close } else { Act::Nothing };
        Step { delay: persona.refusal_delay, act, ..say(530, "Login failed") }
    }

    fn change_folder(&mut self, path: &[u8], now: Duration) -> Step {
        let files = self.shell.files(now);
        let found = files.place(&self.folder, path, true).and_then(|place| Ok((files.stat(b"/", &place)?, place)));
        match found {
            Ok((stat, place)) if stat.kind == FileKind::Folder => {
                self.folder = place;
                done(250)
            }
            Ok(_) | Err(_) => failed(550),
        }
    }

    fn stat(&mut self, path: &[u8], now: Duration) -> Result<Stat, Errno> {
        self.shell.files(now).stat(&self.folder, path)
    }

    /// A change of files that succeeds with 250.
    fn change(&mut self, now: Duration, change: impl FnOnce(&mut Files<'_>, &[u8]) -> Result<(), Errno>) -> Step {
        match change(&mut self.shell.files(now), &self.folder) {
            Ok(()) => done(250),
            Err(_) => failed(550),
        }
    }

    fn list(&mut self, word: &[u8], argument: &[u8], now: Duration) -> Step {
        // Options, as people are used to from `ls`.
        let path = argument.split(|byte| *byte == b' ').filter(|part| !part.starts_with(b"-")).collect::<Vec<_>>();
        let path = path.join(&b' ');
        let path = if path.is_empty() { b".".to_vec() } else { path };
        let content = match word {
            b"MLSD" => match self.facts(&path, now) {
                Ok(content) => content,
                Err(_) => return failed(550),
            },
            b"NLST" => self.listed(b"ls -1 ", &path, now),
            _ => self.listed(b"ls -l ", &path, now),
        };
        let transfer = Transfer { path: Vec::new(), direction: None, offset: 0, content: Content::Send(content) };
        self.transfer("Directory listing", transfer)
    }

    /// What `ls` says of a path.
    fn listed(&mut self, command: &[u8], path: &[u8], now: Duration) -> Vec<u8> {
        let mut line = command.to_vec();
        line.push(b'\'');
        for byte in join(&self.folder, path) {
            match byte {
                b'\'' => line.extend_from_slice(b"'\\''"),
                byte => line.push(byte),
            }
        }
        line.push(b'\'');
        let output = self.shell.exec(&line, Vec::new(), now).output;
        let mut listing = Vec::new();
        for line in output.split_inclusive(|byte| *byte == b'\n') {
            // Complaints are for a terminal.
            if line.starts_with(b"ls: ") || line.starts_with(b"total ") {
                continue;
            }
            listing.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
            listing.extend_from_slice(b"\r\n");
        }
        listing
    }

    /// A listing for programs (RFC 3659, 7).
    fn facts(&mut self, path: &[u8], now: Duration) -> Result<Vec<u8>, Errno> {
        let files = self.shell.files(now);
        let place = files.place(&self.folder, path, true)?;
        let mut entries = Vec::new();
        for name in files.list(b"/", &place)? {
            if let Ok(stat) = files.stat(&place, &name) {
                entries.push((name, stat));
            }
        }
        let mut listing = Vec::new();
        for (name, stat) in entries {
            let kind = if stat.kind == FileKind::Folder { "dir" } else { "file" };
            let facts = format!("type={kind};size={};modify={}; ", stat.size, self.stamp(&stat));
            listing.extend_from_slice(&[facts.as_bytes(), &name, b"\r\n"].concat());
        }
        Ok(listing)
    }

    /// When something was changed: `YYYYMMDDhhmmss` (RFC 3659, 2.3).
    fn stamp(&self, stat: &Stat) -> String {
        let seconds = i64::try_from(self.shell.changed_s(stat)).unwrap_or(0);
        let time = jiff::Timestamp::from_second(seconds).unwrap_or_default();
        time.strftime("%Y%m%d%H%M%S").to_string()
    }

    fn retrieve(&mut self, path: &[u8], offset: u64, now: Duration) -> Step {
        let files = self.shell.files(now);
        let found = files.place(&self.folder, path, true).and_then(|place| match files.stat(b"/", &place)?.kind {
            FileKind::File => Ok((files.read(b"/", &place)?, place)),
            FileKind::Folder | FileKind::Link(_) | FileKind::Device(_) => Err(Errno::IsDirectory),
        });
        let Ok((data, place)) = found else { return failed(550) };
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = data.bytes().get(from..).unwrap_or_default().to_vec();
        let text = format!("Opening connection for {} ({} bytes)", String::from_utf8_lossy(path), bytes.len());
        let direction = Some(Direction::Download);
        self.transfer(&text, Transfer { path: place, direction, offset, content: Content::Send(bytes) })
    }

    fn store(&mut self, path: &[u8], at: Option<u64>, now: Duration) -> Step {
        let keeps = at != Some(0);
        let mut events = Vec::new();
        match Upload::open(&mut self.shell, (&self.folder, path), 0o644, keeps, now, &mut events) {
            Err(_) => failed(550),
            Ok(upload) => {
                let place = upload.place().unwrap_or(path).to_vec();
                let (direction, offset) = (Some(Direction::Upload), at.unwrap_or(0));
                let content = Content::Receive { upload, at };
                let mut step = self.transfer("Ok to send data", Transfer { path: place, direction, offset, content });
                step.records.extend(events.into_iter().map(Record::Shell));
                step
            }
        }
    }

    fn transfer(&mut self, text: &str, transfer: Transfer) -> Step {
        self.transfers += 1;
        if self.transfers > TRANSFERS_MAX {
            return Step { act: Act::Close, ..say(421, "Timeout") };
        }
        Step { act: Act::Transfer(transfer), ..say(150, text) }
    }
}

/// Says lines to a control connection; each file that is to come is a short one.
#[cfg(fuzzing)]
pub(crate) fn check_bytes(persona: &Arc<Ftp>, bytes: &[u8]) {
    let whole = told(persona, bytes, bytes.len().max(1));
    assert_eq!(told(persona, bytes, 3), whole, "cutting changes nothing");
}

/// What is replied to bytes in pieces of `size` bytes, with what is sent over data connections.
#[cfg(fuzzing)]
fn told(persona: &Arc<Ftp>, bytes: &[u8], size: usize) -> Vec<u8> {
    let mut dialogue = Dialogue::new(persona.clone(), 1);
    let mut said = Vec::new();
    for piece in bytes.chunks(size) {
        let mut rest = piece;
        while !rest.is_empty() {
            let (step, after) = dialogue.take(rest, Duration::ZERO);
            assert!(after.len() < rest.len(), "each line is taken once");
            rest = after;
            let Some(Step { reply, act, .. }) = step else { continue };
            let text = std::str::from_utf8(&reply).expect("a reply is text");
            assert!(text.is_empty() || text.ends_with("\r\n"), "a reply is whole lines");
            assert!(text.split("\r\n").all(|line| !line.contains(char::is_control)), "nobody else ends its lines");
            said.extend(reply);
            match act {
                Act::Nothing | Act::Listen { .. } => {}
                Act::Close => return said,
                Act::Transfer(transfer) => match transfer.content {
                    Content::Send(bytes) => said.extend(bytes),
                    Content::Receive { upload, mut at } => {
                        dialogue.write(&upload, &mut at, b"komainu\n", Duration::ZERO);
                    }
                },
            }
        }
    }
    dialogue.close();
    said
}

pub(super) fn reply(code: u16, text: &str) -> Vec<u8> {
    // A line end inside would be another reply.
    let text: String = text.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect();
    format!("{code} {text}\r\n").into_bytes()
}

fn say(code: u16, text: &str) -> Step {
    Step { reply: reply(code, text), ..Step::default() }
}

fn raw(reply: &[u8]) -> Step {
    Step { reply: reply.to_vec(), ..Step::default() }
}

/// BusyBox has one text for everything that succeeds, and one for what does not (networking/ftpd.c).
fn done(code: u16) -> Step {
    say(code, "Operation successful")
}

fn failed(code: u16) -> Step {
    say(code, "Error")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::persona::Persona;
    use crate::service::Service;

    fn camera() -> Dialogue {
        let persona = Persona::load("camera").unwrap();
        let mut found = persona.doors().iter().filter_map(|door| match &door.service {
            Service::Ftp(ftp) => Some(ftp.clone()),
            _ => None,
        });
        Dialogue::new(found.next().unwrap(), 1)
    }

    /// Says `lines`; the replies, with what is done in brackets.
    fn talk(dialogue: &mut Dialogue, lines: &str) -> Vec<String> {
        let mut shown = Vec::new();
        let mut rest = lines.as_bytes();
        while !rest.is_empty() {
            let (step, after) = dialogue.take(rest, Duration::ZERO);
            rest = after;
            let Some(step) = step else { continue };
            let act = match step.act {
                Act::Nothing => String::new(),
                Act::Listen { is_extended } => format!("<listen {is_extended}>"),
                Act::Close => "<close>".into(),
                Act::Transfer(Transfer { path, content: Content::Send(bytes), .. }) => {
                    format!("<{}: {}>", String::from_utf8_lossy(&path), String::from_utf8_lossy(&bytes))
                }
                Act::Transfer(Transfer { path, mut content, .. }) => {
                    if let Content::Receive { upload, at } = &mut content {
                        dialogue.write(upload, at, b"hello\n", Duration::ZERO);
                    }
                    format!("<to {}>", String::from_utf8_lossy(&path))
                }
            };
            shown.push(String::from_utf8(step.reply).unwrap().trim_end().to_owned() + &act);
        }
        shown
    }

    fn inside() -> Dialogue {
        let mut dialogue = camera();
        assert_eq!(talk(&mut dialogue, "USER root\r\nPASS xc3511\r\n")[1], "230 Operation successful");
        dialogue
    }

    fn check(lines: &str, expected: &[&str]) {
        assert_eq!(talk(&mut inside(), lines), expected, "{lines:?}");
    }

    #[test]
    fn who_gets_in() {
        let said = |lines: &str| talk(&mut camera(), lines);
        assert_eq!(said("PWD\r\n"), ["530 Login with USER and PASS"]);
        assert_eq!(said("user root\nPASS no\n")[1], "530 Login failed");
        assert_eq!(said("PASS a\nPASS a\nPASS a\nPASS a\n")[3], "230 Operation successful");
        assert_eq!(said("SYST\r\nQUIT\r\n"), ["215 UNIX Type: L8", "221 Operation successful<close>"]);
    }

    #[test]
    fn files() {
        check(
            "CWD /tmp\r\nSTOR a\r\nSIZE a\r\nAPPE a\r\nRETR a\r\n",
            &[
                "250 Operation successful",
                "150 Ok to send data<to /tmp/a>",
                "213 6",
                "150 Ok to send data<to /tmp/a>",
                "150 Opening connection for a (12 bytes)</tmp/a: hello\nhello\n>",
            ],
        );
        check(
            "CWD /tmp\nSTOR a\nREST 2\nRETR a\n",
            &[
                "250 Operation successful",
                "150 Ok to send data<to /tmp/a>",
                "350 Operation successful",
                "150 Opening connection for a (4 bytes)</tmp/a: llo\n>",
            ],
        );
        check("STOR /bin/x\nRETR /none\nRETR /bin\nDELE /bin/busybox\n", &["550 Error"; 4]);
        check("CWD /tmp\nSTOU\n", &["250 Operation successful", "150 Ok to send data<to /tmp/uniq.000001>"]);
    }

    #[test]
    fn folders() {
        check(
            "CWD /\nPWD\nCWD none\nCDUP\n",
            &["250 Operation successful", "257 \"/\"", "550 Error", "250 Operation successful"],
        );
        check(
            "CWD /tmp\nMKD d\nRNFR d\nRNTO e\nRNTO f\nRMD e\n",
            &[
                "250 Operation successful",
                "257 \"d\" created",
                "350 Operation successful",
                "250 Operation successful",
                "503 Use RNFR first",
                "250 Operation successful",
            ],
        );
        let listing = &talk(&mut inside(), "CWD /tmp\nMKD it's\nSTOR a b\nLIST -la\nNLST\nMLSD\n");
        assert!(listing[3].contains("drwxr-xr-x") && listing[3].contains(" it's\r\n"), "{listing:?}");
        assert!(listing[4].contains("a b\r\n"), "{listing:?}");
        assert!(listing[5].contains("type=file;size=6;modify=") && listing[5].contains("; a b\r\n"), "{listing:?}");
    }

    #[test]
    fn what_is_refused() {
        check("PORT 192,0,2,1,0,25\nEPRT |1|192.0.2.1|25|\n", &["500 Illegal PORT command"; 2]);
        check("XYZZY\n\r\n", &["500 Unknown command"]);
        let long = "A".repeat(LINE_BYTES_MAX + 10) + "\r\nNOOP\r\n";
        check(&long, &["500 Line too long", "200 Operation successful"]);
        let many = "NLST\n".repeat(TRANSFERS_MAX as usize + 1);
        assert_eq!(talk(&mut inside(), &many).last().unwrap(), "421 Timeout<close>");
    }

    proptest! {
        #[test]
        fn whatever_is_said_is_survived(
            lines in proptest::collection::vec(
                (
                    proptest::sample::select(vec!["CWD", "STOR", "RETR", "LIST", "RNFR", "RNTO", "REST", "DELE", "MKD", "SIZE", ""]),
                    proptest::collection::vec(any::<u8>(), 0..20),
                ),
                0..30,
            ),
        ) {
            let mut dialogue = inside();
            for (word, argument) in lines {
                let line = [word.as_bytes(), b" ", &argument, b"\r\n"].concat();
                let mut rest = line.as_slice();
                while !rest.is_empty() {
                    let (step, after) = dialogue.take(rest, Duration::ZERO);
                    if let Some(step) = step {
                        prop_assert!(step.reply.is_empty() || step.reply.ends_with(b"\r\n"));
                    }
                    rest = after;
                }
            }
            dialogue.close();
        }
    }
}
