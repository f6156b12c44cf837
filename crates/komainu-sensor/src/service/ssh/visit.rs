//! What a client does behind the encryption, without sockets and without cryptography: questions in, answers and records
//! out.

use std::sync::Arc;
use std::time::Duration;

use super::Ssh;
use super::scp::{Call, Sink, Source};
use super::sftp;
use crate::service::terminal::{self, Editor, Pressed, Turn};
use crate::service::upload::Record;
use crate::shell::{Reaction, Shell, ShellLimits};

/// Channels of one connection that are open at once. Clients that share a connection open fewer.
const CHANNELS_MAX: usize = 8;

/// The standard input of a command that is collected before the command runs, over all channels, in bytes: what the
/// files of a session may hold. More is dropped.
const INPUT_BYTES_MAX: usize = 4 << 20;

/// A line that comes without a terminal, in bytes. The shell takes no longer command.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Variables of the environment, refused forwardings and keys of one connection that are recorded. More say nothing new.
const REMARKS_MAX: u32 = 256;

/// Something that a client asks for or says. Channels are meant by their numbers.
#[derive(Debug)]
pub(super) enum Asked {
    /// A login with a password.
    Password { user: String, password: String },
    /// Whether a key would be taken.
    PublicKey { user: String, fingerprint: String },
    /// A channel for programs.
    Open(u32),
    /// A terminal for the program of a channel.
    Terminal(u32),
    /// A variable of the environment.
    Variable { name: String, value: String },
    /// A shell.
    Shell(u32),
    /// A command.
    Run(u32, Vec<u8>),
    /// A subsystem, such as `sftp`.
    Subsystem(u32, String),
    /// Bytes for the program of a channel.
    Data(u32, Vec<u8>),
    /// There are no more.
    End(u32),
    /// The channel is gone.
    Close(u32),
    /// A connection to somewhere else, or from there.
    Forward { what: &'static str, host: String, port: u32 },
}

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// Whether it is granted.
    pub(super) accepted: bool,
    pub(super) acts: Vec<Act>,
    /// Bytes that wait for their turn: they are to be said again, so that one piece does not make a persona work on and
    /// on.
    pub(super) rest: Vec<u8>,
    /// Whether there is more to do even when nothing waits.
    pub(super) goes_on: bool,
}

/// Something that is done on the channel of the question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Act {
    Say(Vec<u8>),
    Wait(Duration),
    /// The program ends with a status, and the channel with it.
    Exit(u8),
}

/// What the programs of a channel work with.
pub(super) struct Hand<'a> {
    pub(super) shell: &'a mut Shell,
    /// Where relative paths begin.
    pub(super) folder: &'a [u8],
    pub(super) now: Duration,
    files: &'a mut u32,
    pub(super) say: Vec<u8>,
    pub(super) records: Vec<Record>,
}

impl Hand<'_> {
    /// The number of the next file that is recorded.
    pub(super) fn next_file(&mut self) -> u32 {
        let file = *self.files;
        *self.files = self.files.wrapping_add(1);
        file
    }
}

/// A connection.
pub(super) struct Visit {
    persona: Arc<Ssh>,
    seed: u64,
    /// Logins that were tried.
    tries: u32,
    /// The device as this connection sees it, once it is let in.
    shell: Option<Box<Shell>>,
    channels: Vec<Channel>,
    files: u32,
    remarks: u32,
}

struct Channel {
    number: u32,
    has_terminal: bool,
    program: Program,
}

enum Program {
    /// Nothing was asked for yet, or it is over.
    None,
    /// A shell behind a terminal.
    Terminal(Editor),
    /// A shell that is told lines.
    Lines(Vec<u8>),
    /// A command that waits for the end of its input.
    Waiting {
        command: Vec<u8>,
        input: Vec<u8>,
    },
    Sink(Sink),
    Source(Source),
    Sftp(sftp::Server),
}

impl Visit {
    pub(super) fn new(persona: Arc<Ssh>, seed: u64) -> Self {
        Self { persona, seed, tries: 0, shell: None, channels: Vec::new(), files: 0, remarks: 0 }
    }

    /// Answers a question; `now` is the time since the connection began.
    pub(super) fn ask(&mut self, asked: Asked, now: Duration, records: &mut Vec<Record>) -> Answer {
        match asked {
            Asked::Password { user, password } => {
                let accepted = self.lets_in(user.as_bytes(), password.as_bytes());
                records.push(Record::Password { user: user.into(), password: password.into(), accepted });
                granted(accepted)
            }
            Asked::PublicKey { user, fingerprint } => {
                if self.may_remark() {
                    records.push(Record::PublicKey { user: user.into(), fingerprint, accepted: false });
                }
                granted(false)
            }
            Asked::Open(number) => {
                let accepted = self.shell.is_some() && self.channels.len() < CHANNELS_MAX;
                if accepted {
                    self.channels.push(Channel { number, has_terminal: false, program: Program::None });
                }
                granted(accepted)
            }
            Asked::Terminal(number) => match self.channel(number) {
                Some(channel) => {
                    channel.has_terminal = true;
                    granted(true)
                }
                None => granted(false),
            },
            Asked::Variable { name, value } => {
                if self.may_remark() {
                    let detail = format!("{name}={value}").into_bytes();
                    records.push(Record::Remark { what: "set_variable", detail });
                }
                // Without a list of variables that are allowed, as Dropbear has none, each is refused.
                granted(false)
            }
            Asked::Shell(number) => self.start(number, |channel| {
                channel.program =
                    if channel.has_terminal { Program::Terminal(Editor::plain()) } else { Program::Lines(Vec::new()) };
            }),
            Asked::Run(number, command) => self.run(number, command, now, records),
            Asked::Subsystem(number, name) => {
                if name != "sftp" || !self.persona.has_sftp {
                    return granted(false);
                }
                self.start(number, |channel| channel.program = Program::Sftp(sftp::Server::default()))
            }
            Asked::Data(number, bytes) => self.data(number, &bytes, now, records),
            Asked::End(number) => self.end(number, now, records),
            Asked::Close(number) => {
                let answer = self.end(number, now, records);
                self.channels.retain(|channel| channel.number != number);
                answer
            }
            Asked::Forward { what, host, port } => {
                if self.may_remark() {
                    records.push(Record::Remark { what, detail: format!("{host}:{port}").into_bytes() });
                }
                granted(false)
            }
        }
    }

    /// What is to be recorded when the connection is over.
    pub(super) fn close(&mut self) -> Vec<Record> {
        let mut records = Vec::new();
        for number in self.channels.iter().map(|channel| channel.number).collect::<Vec<_>>() {
            self.with_program(number, Duration::ZERO, &mut records, |program, hand| match program {
                Program::Sink(sink) => sink.end(hand),
                Program::Sftp(server) => server.end(hand),
                Program::None
                | Program::Terminal(_)
                | Program::Lines(_)
                | Program::Waiting { .. }
                | Program::Source(_) => {}
            });
        }
        if let Some(shell) = &mut self.shell {
            records.extend(shell.close().into_iter().map(Record::Shell));
        }
        records
    }

    fn lets_in(&mut self, user: &[u8], password: &[u8]) -> bool {
        self.tries += 1;
        let persona = &self.persona;
        let is_stubborn = persona.accept_after > 0 && self.tries >= persona.accept_after;
        let accepted = persona.accounts.has(user, password) || is_stubborn;
        if accepted {
            self.shell = Some(Box::new(Shell::new(persona.machine.clone(), ShellLimits::default(), self.seed)));
        }
        accepted
    }

    fn may_remark(&mut self) -> bool {
        self.remarks += 1;
        self.remarks <= REMARKS_MAX
    }

    fn channel(&mut self, number: u32) -> Option<&mut Channel> {
        self.channels.iter_mut().find(|channel| channel.number == number)
    }

    /// Starts a program on a channel that has none yet.
    fn start(&mut self, number: u32, start: impl FnOnce(&mut Channel)) -> Answer {
        let Some(mut shell) = self.shell.take() else { return granted(false) };
        let mut answer = granted(false);
        if let Some(channel) = self.channel(number)
            && matches!(channel.program, Program::None)
        {
            shell.log_in_again();
            start(channel);
            answer = granted(true);
            if let Program::Terminal(_) = channel.program {
                let mut say = Vec::new();
                terminal::push(&mut say, &shell.banner());
                say.extend(shell.prompt());
                answer.acts.push(Act::Say(say));
            }
        }
        self.shell = Some(shell);
        answer
    }

    fn run(&mut self, number: u32, command: Vec<u8>, now: Duration, records: &mut Vec<Record>) -> Answer {
        records.push(Record::Command(command.clone()));
        let mut answer = self.start(number, |channel| {
            channel.program = Program::Waiting { command: command.clone(), input: Vec::new() };
        });
        if !answer.accepted {
            return answer;
        }
        match Call::of(&command) {
            Some(Call::To(path)) => {
                self.with_program(number, now, records, |program, hand| {
                    *program = Program::Sink(Sink::new(path, hand));
                    answer.acts.push(Act::Say(std::mem::take(&mut hand.say)));
                });
            }
            Some(Call::From(path)) => {
                self.with_program(number, now, records, |program, hand| {
                    *program = Program::Source(Source::new(&path, hand));
                });
            }
            None => {
                let Some(shell) = &mut self.shell else { return answer };
                if let Some(reaction) = shell.exec_without_input(&command, now) {
                    self.ran(number, reaction, records, &mut answer);
                }
            }
        }
        answer
    }

    /// A command has run.
    fn ran(&mut self, number: u32, reaction: Reaction, records: &mut Vec<Record>, answer: &mut Answer) {
        records.extend(reaction.events.into_iter().map(Record::Shell));
        let mut output = reaction.output;
        if let Some(channel) = self.channel(number) {
            channel.program = Program::None;
            if channel.has_terminal {
                let mut shown = Vec::new();
                terminal::push(&mut shown, &output);
                output = shown;
            }
        }
        answer.wait(reaction.delay);
        answer.say(output);
        answer.acts.push(Act::Exit(reaction.status));
    }

    /// Has the program of a channel do something.
    fn with_program<T>(
        &mut self,
        number: u32,
        now: Duration,
        records: &mut Vec<Record>,
        act: impl FnOnce(&mut Program, &mut Hand<'_>) -> T,
    ) -> Option<T> {
        let shell = self.shell.as_mut()?;
        let channel = self.channels.iter_mut().find(|channel| channel.number == number)?;
        let (say, taken) = (Vec::new(), std::mem::take(records));
        let mut hand = Hand { shell, folder: b"/root", now, files: &mut self.files, say, records: taken };
        let result = act(&mut channel.program, &mut hand);
        *records = hand.records;
        Some(result)
    }

    fn data(&mut self, number: u32, bytes: &[u8], now: Duration, records: &mut Vec<Record>) -> Answer {
        let held: usize = self.channels.iter().map(|channel| channel.program.input_bytes()).sum();
        let answer = self.with_program(number, now, records, |program, hand| {
            let mut answer = granted(true);
            match program {
                Program::None => {}
                Program::Waiting { input, .. } => {
                    let room = INPUT_BYTES_MAX.saturating_sub(held);
                    input.extend_from_slice(&bytes[..bytes.len().min(room)]);
                }
                Program::Terminal(editor) => {
                    if type_in(editor, bytes, hand, &mut answer) {
                        *program = Program::None;
                    }
                }
                Program::Lines(line) => {
                    if tell_line(line, bytes, hand, &mut answer) {
                        *program = Program::None;
                    }
                }
                Program::Sink(sink) => {
                    sink.take(bytes, hand);
                    answer.say(std::mem::take(&mut hand.say));
                }
                Program::Source(source) => {
                    let status = source.take(bytes, hand);
                    answer.say(std::mem::take(&mut hand.say));
                    if let Some(status) = status {
                        *program = Program::None;
                        answer.acts.push(Act::Exit(status));
                    }
                }
                Program::Sftp(server) => {
                    let taken = server.take(bytes, hand);
                    answer.say(std::mem::take(&mut hand.say));
                    match taken {
                        sftp::Taken::All => {}
                        sftp::Taken::Some => answer.goes_on = true,
                        sftp::Taken::Broken => {
                            server.end(hand);
                            *program = Program::None;
                            answer.acts.push(Act::Exit(255));
                        }
                    }
                }
            }
            answer
        });
        answer.unwrap_or_default()
    }

    /// The client has no more to say to a program.
    fn end(&mut self, number: u32, now: Duration, records: &mut Vec<Record>) -> Answer {
        let answer = self.with_program(number, now, records, |program, hand| {
            let mut answer = granted(true);
            match std::mem::replace(program, Program::None) {
                Program::None => {}
                Program::Terminal(_) => answer.acts.push(Act::Exit(0)),
                Program::Lines(mut line) => {
                    if !line.is_empty() {
                        line.push(b'\n');
                    }
                    if !tell_line(&mut Vec::new(), &line, hand, &mut answer) {
                        answer.acts.push(Act::Exit(0));
                    }
                }
                Program::Waiting { command, input } => {
                    let reaction = hand.shell.exec(&command, input, now);
                    hand.records.extend(reaction.events.into_iter().map(Record::Shell));
                    answer.wait(reaction.delay);
                    answer.say(reaction.output);
                    answer.acts.push(Act::Exit(reaction.status));
                }
                Program::Sink(mut sink) => {
                    sink.end(hand);
                    answer.acts.push(Act::Exit(0));
                }
                Program::Source(_) => answer.acts.push(Act::Exit(1)),
                Program::Sftp(mut server) => {
                    server.end(hand);
                    answer.acts.push(Act::Exit(0));
                }
            }
            answer
        });
        answer.unwrap_or_default()
    }
}

/// Types bytes at a terminal up to the end of a line; true when the shell behind it ended.
fn type_in(editor: &mut Editor, bytes: &[u8], hand: &mut Hand<'_>, answer: &mut Answer) -> bool {
    let mut turn = Turn::default();
    let mut rest = bytes;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match editor.press(*byte, true, &mut turn.at_once) {
            Pressed::Nothing => {}
            Pressed::Interrupt => {
                turn.at_once.extend_from_slice(b"^C\r\n");
                turn.at_once.extend(hand.shell.prompt());
            }
            Pressed::EndOfInput => {
                turn.is_last = true;
                break;
            }
            Pressed::Line(line) => {
                if !line.is_empty() {
                    hand.records.push(Record::Command(line.clone()));
                }
                terminal::enter(hand.shell, &line, &mut turn, hand.now);
                break;
            }
        }
    }
    hand.records.extend(turn.events.into_iter().map(Record::Shell));
    answer.say(turn.at_once);
    answer.wait(turn.delay);
    answer.say(turn.then);
    if turn.is_last {
        answer.acts.push(Act::Exit(turn.status));
    } else {
        answer.rest = rest.to_vec();
    }
    turn.is_last
}

/// Tells a shell without a terminal bytes up to the end of a line; true when it ended.
fn tell_line(line: &mut Vec<u8>, bytes: &[u8], hand: &mut Hand<'_>, answer: &mut Answer) -> bool {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let room = LINE_BYTES_MAX.saturating_sub(line.len());
    let part = &bytes[..end.unwrap_or(bytes.len())];
    line.extend_from_slice(&part[..part.len().min(room)]);
    let Some(end) = end else { return false };
    let whole = std::mem::take(line);
    let reaction = hand.shell.line(&whole, hand.now);
    if !whole.is_empty() {
        hand.records.push(Record::Command(whole));
    }
    hand.records.extend(reaction.events.into_iter().map(Record::Shell));
    answer.wait(reaction.delay);
    answer.say(reaction.output);
    if reaction.is_over {
        answer.acts.push(Act::Exit(reaction.status));
    } else {
        answer.rest = bytes[end + 1..].to_vec();
    }
    reaction.is_over
}

const fn granted(accepted: bool) -> Answer {
    Answer { accepted, acts: Vec::new(), rest: Vec::new(), goes_on: false }
}

/// Says bytes to a program of somebody who is in: a line that names it, then what it is told. The line is `sftp`, a
/// command, `tty` for a shell behind a terminal, or empty for one that is told lines.
#[cfg(fuzzing)]
pub(crate) fn check_bytes(persona: &Arc<Ssh>, bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (program, said) = (&bytes[..end], bytes.get(end + 1..).unwrap_or_default());
    let whole = told(persona, program, said, said.len().max(1));
    assert_eq!(told(persona, program, said, 3), whole, "cutting changes nothing");
}

/// What a program says, and its status, when it is told bytes in pieces of `size` bytes.
#[cfg(fuzzing)]
fn told(persona: &Arc<Ssh>, program: &[u8], said: &[u8], size: usize) -> (Vec<u8>, Vec<u8>) {
    let mut visit = Visit::new(persona.clone(), 1);
    visit.shell = Some(Box::new(Shell::new(persona.machine.clone(), ShellLimits::default(), 1)));
    let (mut records, mut answers) = (Vec::new(), Vec::new());
    let mut ask = |visit: &mut Visit, asked| {
        let mut answer = visit.ask(asked, Duration::ZERO, &mut records);
        answers.append(&mut answer.acts);
        answer
    };
    assert!(ask(&mut visit, Asked::Open(0)).accepted, "the first channel is opened");
    match program {
        b"" => ask(&mut visit, Asked::Shell(0)),
        b"tty" => {
            ask(&mut visit, Asked::Terminal(0));
            ask(&mut visit, Asked::Shell(0))
        }
        b"sftp" => ask(&mut visit, Asked::Subsystem(0, "sftp".into())),
        command => ask(&mut visit, Asked::Run(0, command.to_vec())),
    };
    for piece in said.chunks(size) {
        let mut rest = piece.to_vec();
        loop {
            let length = rest.len();
            let answer = ask(&mut visit, Asked::Data(0, rest));
            if answer.rest.is_empty() && !answer.goes_on {
                break;
            }
            assert!(answer.goes_on || answer.rest.len() < length, "it goes on only with something");
            rest = answer.rest;
        }
    }
    while !ask(&mut visit, Asked::End(0)).rest.is_empty() {}
    records.extend(visit.close());
    let mut open = Vec::new();
    for record in &records {
        match record {
            Record::FileBegin { file, .. } => open.push(*file),
            Record::FilePart { file, .. } => assert!(open.contains(file), "a part is of a file that began"),
            Record::FileEnd { file, .. } => {
                let at = open.iter().position(|open| open == file).expect("a file ends after it began, once");
                open.remove(at);
            }
            Record::Shell(_)
            | Record::Command(_)
            | Record::Password { .. }
            | Record::PublicKey { .. }
            | Record::Remark { .. } => {}
        }
    }
    assert!(open.is_empty(), "each file ends");
    let (mut output, mut statuses) = (Vec::new(), Vec::new());
    for act in answers {
        match act {
            Act::Say(bytes) => output.extend(bytes),
            Act::Wait(delay) => assert!(delay <= terminal::DELAY_MAX, "nobody waits for long"),
            Act::Exit(status) => statuses.push(status),
        }
    }
    (output, statuses)
}

impl Answer {
    fn say(&mut self, bytes: Vec<u8>) {
        match self.acts.last_mut() {
            _ if bytes.is_empty() => {}
            Some(Act::Say(said)) => said.extend(bytes),
            Some(Act::Wait(_) | Act::Exit(_)) | None => self.acts.push(Act::Say(bytes)),
        }
    }

    fn wait(&mut self, delay: Duration) {
        if !delay.is_zero() {
            self.acts.push(Act::Wait(delay.min(terminal::DELAY_MAX)));
        }
    }
}

impl Program {
    fn input_bytes(&self) -> usize {
        match self {
            Self::Waiting { input, .. } => input.len(),
            Self::None | Self::Terminal(_) | Self::Lines(_) | Self::Sink(_) | Self::Source(_) | Self::Sftp(_) => 0,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::persona::Persona;
    use crate::service::Service;
    use crate::shell::{Cpu, Machine, ShellEvent};

    /// Gives what a program of a channel works with.
    pub(in crate::service::ssh) fn with_hand<T>(act: impl FnOnce(&mut Hand<'_>) -> T) -> T {
        let machine = Arc::new(Machine::new(Cpu::Armv7, "cam"));
        let mut shell = Shell::new(machine, ShellLimits::default(), 1);
        let (now, say, records) = (Duration::ZERO, Vec::new(), Vec::new());
        act(&mut Hand { shell: &mut shell, folder: b"/root", now, files: &mut 0, say, records })
    }

    fn router() -> Arc<Ssh> {
        let persona = Persona::load("router").unwrap();
        let mut found = persona.doors().iter().filter_map(|door| match &door.service {
            Service::Ssh(ssh) => Some(ssh.clone()),
            _ => None,
        });
        found.next().unwrap()
    }

    struct Talk {
        visit: Visit,
        records: Vec<Record>,
    }

    impl Talk {
        fn new() -> Self {
            Self { visit: Visit::new(router(), 1), records: Vec::new() }
        }

        fn inside() -> Self {
            let mut talk = Self::new();
            assert!(talk.password("admin", "admin"));
            assert!(talk.ask(Asked::Open(3)).accepted);
            talk.records.clear();
            talk
        }

        fn ask(&mut self, asked: Asked) -> Answer {
            self.visit.ask(asked, Duration::ZERO, &mut self.records)
        }

        fn password(&mut self, user: &str, password: &str) -> bool {
            self.ask(Asked::Password { user: user.into(), password: password.into() }).accepted
        }

        /// Sends bytes; what is said, with `{…}` for a delay and `<status>` for an end.
        fn data(&mut self, bytes: &[u8]) -> String {
            let mut shown = String::new();
            let mut rest = bytes.to_vec();
            loop {
                let answer = self.ask(Asked::Data(3, rest));
                shown += &show(&answer);
                rest = answer.rest;
                if rest.is_empty() && !answer.goes_on {
                    return shown;
                }
            }
        }
    }

    fn show(answer: &Answer) -> String {
        let one = |act: &Act| match act {
            Act::Say(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Act::Wait(delay) => format!("{{{} ms}}", delay.as_millis()),
            Act::Exit(status) => format!("<{status}>"),
        };
        answer.acts.iter().map(one).collect()
    }

    #[test]
    fn who_gets_in() {
        let mut talk = Talk::new();
        assert!(!talk.ask(Asked::Open(3)).accepted, "nobody was let in");
        assert!(!talk.password("root", "not this"));
        assert!(!talk.ask(Asked::PublicKey { user: "root".into(), fingerprint: "SHA256:x".into() }).accepted);
        assert!(talk.password("admin", "admin"));
        let accepted: Vec<bool> = talk
            .records
            .iter()
            .filter_map(|record| match record {
                Record::Password { accepted, .. } | Record::PublicKey { accepted, .. } => Some(*accepted),
                _ => None,
            })
            .collect();
        assert_eq!(accepted, [false, false, true]);
    }

    #[test]
    fn commands() {
        let check = |command: &str, expected: &str| {
            let mut talk = Talk::inside();
            assert_eq!(show(&talk.ask(Asked::Run(3, command.into()))), expected, "{command}");
            assert_eq!(talk.records[0], Record::Command(command.into()));
        };
        check("echo a; exit 3", "a\n<3>");
        check("/bin/busybox KOMAINU", "KOMAINU: applet not found\n<127>");
        check("sleep 2; echo b", "{2000 ms}b\n<0>");
        check("nothing-like-it", "sh: nothing-like-it: not found\n<127>");
    }

    #[test]
    fn a_command_waits_for_the_input_that_it_reads() {
        let mut talk = Talk::inside();
        assert_eq!(show(&talk.ask(Asked::Run(3, b"echo c; cat > /tmp/x; cat /tmp/x".to_vec()))), "");
        assert_eq!(talk.data(b"a\n"), "");
        assert_eq!(talk.data(b"b\n"), "");
        assert_eq!(show(&talk.ask(Asked::End(3))), "c\na\nb\n<0>");
        let left = talk.visit.close();
        let is_it = |record: &Record| match record {
            Record::Shell(ShellEvent::Captured { path, contents, .. }) => {
                (path, contents) == (&b"/tmp/x".to_vec(), &b"a\nb\n".to_vec())
            }
            _ => false,
        };
        assert!(left.iter().any(is_it), "{left:?}");
    }

    #[test]
    fn a_terminal() {
        let mut talk = Talk::inside();
        assert!(talk.ask(Asked::Terminal(3)).accepted);
        assert!(show(&talk.ask(Asked::Shell(3))).ends_with("~ # "));
        assert_eq!(talk.data(b"echo \x7f hi\r"), "echo \x08 \x08 hi\r\nhi\r\n~ # ");
        assert_eq!(talk.data(b"cd /tmp\rpwd\r"), "cd /tmp\r\n/tmp # pwd\r\n/tmp\r\n/tmp # ");
        assert_eq!(talk.data(b"abc\x03"), "abc^C\r\n/tmp # ");
        assert_eq!(talk.data(b"exit 4\rid\r"), "exit 4\r\n<4>");
        assert_eq!(talk.data(b"id\r"), "");
        let lines: Vec<_> = talk
            .records
            .iter()
            .filter_map(|record| match record {
                Record::Command(line) => Some(String::from_utf8_lossy(line)),
                _ => None,
            })
            .collect();
        assert_eq!(lines, ["echo hi", "cd /tmp", "pwd", "exit 4"]);
        assert!(!talk.ask(Asked::Open(4)).acts.iter().any(|_| true));
        assert!(show(&talk.ask(Asked::Run(4, b"pwd".to_vec()))).starts_with("/root\n"), "each login begins at home");
    }

    #[test]
    fn a_shell_without_a_terminal() {
        let mut talk = Talk::inside();
        assert_eq!(show(&talk.ask(Asked::Shell(3))), "");
        assert_eq!(talk.data(b"echo a\nec"), "a\n");
        assert_eq!(talk.data(b"ho b\necho c"), "b\n");
        assert_eq!(show(&talk.ask(Asked::End(3))), "c\n<0>");
    }

    #[test]
    fn files_that_come_over_scp() {
        let mut talk = Talk::inside();
        assert_eq!(show(&talk.ask(Asked::Run(3, b"scp -t /tmp".to_vec()))), "\0");
        assert_eq!(talk.data(b"C0755 3 a.sh\nid\n\0"), "\0\0");
        assert_eq!(show(&talk.ask(Asked::End(3))), "<0>");
        talk.ask(Asked::Close(3));
        talk.ask(Asked::Open(5));
        assert!(show(&talk.ask(Asked::Run(5, b"/tmp/a.sh".to_vec()))).contains("uid=0"));
        assert!(talk.visit.close().is_empty(), "what was recorded once is not recorded again");
    }

    #[test]
    fn what_is_refused_and_told() {
        let mut talk = Talk::inside();
        let forward = Asked::Forward { what: "proxy_request", host: "192.0.2.1".into(), port: 25 };
        assert!(!talk.ask(forward).accepted);
        assert_eq!(talk.records, [Record::Remark { what: "proxy_request", detail: b"192.0.2.1:25".to_vec() }]);
        assert!(!talk.ask(Asked::Subsystem(3, "netconf".into())).accepted);
        assert!(!talk.ask(Asked::Shell(9)).accepted);
        for number in 10..30 {
            talk.ask(Asked::Open(number));
        }
        assert_eq!(talk.visit.channels.len(), CHANNELS_MAX);
        for _ in 0..1_000 {
            talk.ask(Asked::Variable { name: "A".into(), value: "b".into() });
        }
        assert!(talk.records.len() <= REMARKS_MAX as usize + 1);
    }

    proptest! {
        #[test]
        fn whatever_is_said_is_survived(
            kind in 0..5,
            pieces in proptest::collection::vec(
                proptest::collection::vec(prop_oneof![any::<u8>(), proptest::sample::select(&b"\r\n\0C0 a"[..])], 0..40),
                0..20,
            ),
        ) {
            let mut talk = Talk::inside();
            match kind {
                0 => drop((talk.ask(Asked::Terminal(3)), talk.ask(Asked::Shell(3)))),
                1 => drop(talk.ask(Asked::Shell(3))),
                2 => drop(talk.ask(Asked::Run(3, b"scp -t /tmp".to_vec()))),
                3 => drop(talk.ask(Asked::Run(3, b"cat".to_vec()))),
                _ => drop(talk.ask(Asked::Subsystem(3, "sftp".into()))),
            }
            for piece in &pieces {
                talk.data(piece);
            }
            talk.ask(Asked::End(3));
            talk.visit.close();
        }
    }
}
