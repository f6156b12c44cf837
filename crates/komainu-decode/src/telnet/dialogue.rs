//! Who asked what, and which line answers it.

use std::collections::VecDeque;

use super::{Event, Role};
use crate::{Command, Fact, Login, Observer, Place, Secret, Side};

/// The longest open line of a server that can be a prompt, in bytes: a host name, a folder and a word or two.
const PROMPT_BYTES_MAX: usize = 128;

/// The number of lines that may wait for prompts, and their bytes: a loader's whole script. When there are more, they
/// are taken for commands.
const WAITING_LINES_MAX: usize = 64;
const WAITING_BYTES_MAX: usize = 8192;

/// The number of lines that a server may say after a password before it counts as an answer. Messages of the day are
/// shorter.
const ANSWER_LINES_MAX: u32 = 64;

/// A line of the client, after editing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: Vec<u8>,
    /// Where it begins on the wire.
    pub(super) offset: u64,
    /// How long it is on the wire, without its end.
    pub(super) bytes: u64,
}

impl Line {
    fn place(&self) -> Place {
        Place { side: Side::Client, offset: self.offset, bytes: self.bytes }
    }
}

/// What the open line of a server asks for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prompt {
    #[default]
    None,
    User,
    Password,
    /// It ends in a colon: a menu, or a prompt in another language.
    Question,
    Shell,
}

#[derive(Debug, Default)]
enum Stage {
    /// Nobody was asked for anything.
    #[default]
    Unasked,
    UserAsked,
    /// A user name was given; a prompt for a password, or an answer, comes next.
    UserGiven(Line),
    PasswordAsked(Option<Line>),
    PasswordGiven(Option<Line>, Line),
    Shell,
}

/// The dialogue between the server's prompts and the client's lines.
#[derive(Debug, Default)]
pub(super) struct Dialogue {
    stage: Stage,
    /// Lines that came before the prompts they answer.
    waiting: VecDeque<Line>,
    /// The prompt that was answered with a user name: the same again asks for one again, whatever the language.
    asked: Vec<u8>,
    /// The server said something that is more than an echo.
    has_printed: bool,
    /// Bytes of the client were lost.
    has_lost: bool,
    /// There was a login.
    has_login: bool,
    answer: Answer,
}

/// What the server said since the last thing that it asked for was given.
#[derive(Debug, Default)]
struct Answer {
    lines: u32,
    is_refusal: bool,
}

impl Dialogue {
    /// What `open_line` asks for.
    pub(super) fn prompt_of(&self, open_line: &[u8]) -> Prompt {
        match prompt_of(open_line) {
            Prompt::Question if !self.asked.is_empty() && without_escapes(open_line) == self.asked => Prompt::User,
            prompt => prompt,
        }
    }

    /// What `open_line`, whatever follows it, asks lines for that may be there already. Decided byte by byte, so that
    /// it does not matter where the server's pieces are cut.
    pub(super) fn early_prompt(&self, open_line: &[u8]) -> Prompt {
        if matches!(self.stage, Stage::Shell) {
            return Prompt::None;
        }
        match prompt_of(open_line) {
            prompt @ (Prompt::User | Prompt::Password) => prompt,
            // Banners before a login are often framed in `#`; only after a password it is a prompt. Routers begin
            // the refusal in `%`.
            Prompt::Shell
                if matches!(self.stage, Stage::PasswordGiven(..))
                    && !open_line.trim_ascii_end().ends_with(b"%")
                    && !is_refusal(open_line) =>
            {
                Prompt::Shell
            }
            Prompt::Shell | Prompt::Question | Prompt::None => Prompt::None,
        }
    }

    /// Whether lines wait for a prompt.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Takes a line that the server ended.
    pub(super) fn printed(&mut self, line: &[u8], observer: &mut dyn Observer) {
        let line = line.trim_ascii();
        if matches!(self.stage, Stage::Shell) || line.is_empty() || self.is_echo(line) {
            return;
        }
        self.has_printed = true;
        if matches!(self.stage, Stage::Unasked | Stage::UserAsked) {
            return;
        }
        self.answer.is_refusal |= is_refusal(line);
        self.answer.lines += 1;
        if self.answer.lines > ANSWER_LINES_MAX && matches!(self.stage, Stage::PasswordGiven(..)) {
            let accepted = !self.answer.is_refusal;
            self.answered(Some(accepted), observer);
            self.stage = if accepted { Stage::Shell } else { Stage::Unasked };
            self.take_waiting(observer);
        }
    }

    /// Takes a line of the client; `prompt` and `open_line` are what the server had shown when it was begun.
    pub(super) fn line(&mut self, line: Line, prompt: Prompt, open_line: &[u8], observer: &mut dyn Observer) {
        self.asks(prompt, open_line, observer);
        self.waiting.push_back(line);
        self.take_waiting(observer);
        let bytes: usize = self.waiting.iter().map(|line| line.text.len()).sum();
        if self.waiting.len() > WAITING_LINES_MAX || bytes > WAITING_BYTES_MAX {
            self.give_up_waiting(observer);
            self.stage = Stage::Shell;
        }
    }

    /// Learns that bytes of the client were lost.
    pub(super) fn client_lost(&mut self) {
        self.has_lost = true;
    }

    /// Learns that nobody says anything more; `open_line` is what the server showed last.
    pub(super) fn end(&mut self, open_line: &[u8], observer: &mut dyn Observer) {
        let prompt = self.prompt_of(open_line);
        if prompt != Prompt::Question {
            self.asks(prompt, open_line, observer);
        }
        if !open_line.trim_ascii().is_empty() {
            self.printed(open_line, observer);
        }
        self.give_up_waiting(observer);
    }

    /// The server asks for something: that says what became of the login before, too.
    pub(super) fn asks(&mut self, prompt: Prompt, open_line: &[u8], observer: &mut dyn Observer) {
        if prompt == Prompt::None {
            return;
        }
        let was_refused = self.answer.is_refusal;
        self.stage = match (std::mem::take(&mut self.stage), prompt) {
            (stage, Prompt::None) => stage,
            (Stage::Shell, Prompt::Shell | Prompt::Question) => Stage::Shell,
            (Stage::Unasked | Stage::UserAsked | Stage::Shell, Prompt::Password) => Stage::PasswordAsked(None),
            (Stage::UserGiven(user), Prompt::Password | Prompt::Question) => Stage::PasswordAsked(Some(user)),
            (Stage::PasswordAsked(user), Prompt::Password | Prompt::Question) => Stage::PasswordAsked(user),
            (Stage::Unasked | Stage::UserAsked | Stage::Shell, Prompt::User | Prompt::Question) => Stage::UserAsked,
            (Stage::Unasked | Stage::UserAsked, Prompt::Shell) => Stage::Shell,
            (Stage::PasswordGiven(user, password), Prompt::Password) => {
                tell_login(user.as_ref(), Some(&password), Some(false), observer);
                self.has_login = true;
                Stage::PasswordAsked(user)
            }
            (stage @ (Stage::UserGiven(_) | Stage::PasswordAsked(_) | Stage::PasswordGiven(..)), prompt) => {
                // A question after a password is a menu, unless the password was called wrong.
                let accepted = prompt == Prompt::Shell || (prompt == Prompt::Question && !was_refused);
                self.stage = stage;
                self.answered(Some(accepted), observer);
                if accepted { Stage::Shell } else { Stage::UserAsked }
            }
        };
        if matches!(self.stage, Stage::UserAsked) {
            self.asked = without_escapes(open_line).to_vec();
        }
        self.answer = Answer::default();
        self.has_printed = true;
        self.take_waiting(observer);
    }

    /// Tells the login that has been given, if there is one.
    fn answered(&mut self, accepted: Option<bool>, observer: &mut dyn Observer) {
        match std::mem::take(&mut self.stage) {
            Stage::UserGiven(user) | Stage::PasswordAsked(Some(user)) => {
                // Return at a prompt for a name only brings the prompt again.
                if user.text.is_empty() {
                    return;
                }
                tell_login(Some(&user), None, accepted, observer);
            }
            Stage::PasswordGiven(user, password) => tell_login(user.as_ref(), Some(&password), accepted, observer),
            Stage::Unasked | Stage::UserAsked | Stage::PasswordAsked(None) | Stage::Shell => return,
        }
        self.has_login = true;
    }

    /// Gives the lines that wait to what the server asks for.
    fn take_waiting(&mut self, observer: &mut dyn Observer) {
        while matches!(self.stage, Stage::UserAsked | Stage::PasswordAsked(_) | Stage::Shell) {
            let Some(line) = self.waiting.pop_front() else { return };
            self.stage = match std::mem::take(&mut self.stage) {
                Stage::PasswordAsked(user) => {
                    tell_input(&line, Role::Password, observer);
                    Stage::PasswordGiven(user, line)
                }
                Stage::Shell => {
                    tell_command(&line, observer);
                    Stage::Shell
                }
                Stage::Unasked | Stage::UserAsked | Stage::UserGiven(_) | Stage::PasswordGiven(..) => {
                    tell_input(&line, Role::User, observer);
                    Stage::UserGiven(line)
                }
            };
            self.answer = Answer::default();
        }
    }

    /// No prompt will come for the lines that wait: what they are is guessed.
    fn give_up_waiting(&mut self, observer: &mut dyn Observer) {
        // Servers of this protocol ask for a name and a password; a loader that was never answered sent them first.
        let is_unheard = !self.has_printed && !self.has_lost && !self.has_login && self.waiting.len() > 1;
        if is_unheard && matches!(self.stage, Stage::Unasked) {
            self.stage = Stage::UserAsked;
            self.take_waiting(observer);
        }
        if let Stage::UserGiven(user) = &self.stage
            && !self.waiting.is_empty()
        {
            self.stage = Stage::PasswordAsked(Some(user.clone()));
            self.take_waiting(observer);
        }
        let accepted = match (&self.stage, &self.answer) {
            (_, Answer { is_refusal: true, .. }) => Some(false),
            (Stage::PasswordGiven(..), Answer { lines: 1.., .. }) => Some(true),
            (_, _) => None,
        };
        self.answered(accepted, observer);
        for line in std::mem::take(&mut self.waiting) {
            tell_command(&line, observer);
        }
    }

    /// Whether a line of the server is what the client typed.
    fn is_echo(&self, line: &[u8]) -> bool {
        let given: [Option<&Line>; 2] = match &self.stage {
            Stage::UserGiven(user) | Stage::PasswordAsked(Some(user)) => [Some(user), None],
            Stage::PasswordGiven(user, password) => [user.as_ref(), Some(password)],
            Stage::Unasked | Stage::UserAsked | Stage::PasswordAsked(None) | Stage::Shell => [None, None],
        };
        given.into_iter().flatten().chain(&self.waiting).any(|typed| typed.text.trim_ascii() == line)
    }
}

fn tell_login(user: Option<&Line>, password: Option<&Line>, accepted: Option<bool>, observer: &mut dyn Observer) {
    let Some(first) = user.or(password) else { return };
    let last = password.unwrap_or(first);
    let bytes = last.offset + last.bytes - first.offset;
    let place = Place { side: Side::Client, offset: first.offset, bytes };
    let secret = password.map_or(Secret::None, |password| Secret::Password(&password.text));
    let user = user.map_or(&[][..], |user| &user.text);
    observer.fact(place, Fact::Login(Login { user, secret, accepted }));
}

fn tell_command(line: &Line, observer: &mut dyn Observer) {
    tell_input(line, Role::Command, observer);
    if !line.text.trim_ascii().is_empty() {
        observer.fact(line.place(), Fact::Command(Command { line: &line.text }));
    }
}

fn tell_input(line: &Line, role: Role, observer: &mut dyn Observer) {
    if !line.text.is_empty() {
        observer.fact(line.place(), Fact::Telnet(Event::Input { line: &line.text, role }));
    }
}

fn prompt_of(open_line: &[u8]) -> Prompt {
    if open_line.len() > PROMPT_BYTES_MAX {
        return Prompt::None;
    }
    let line = without_escapes(open_line).to_ascii_lowercase();
    let Some(question) = line.strip_suffix(b":").or_else(|| line.strip_suffix("：".as_bytes())) else {
        return if line.ends_with(b"#") || line.ends_with(b"$") || line.ends_with(b">") || line.ends_with(b"%") {
            Prompt::Shell
        } else {
            Prompt::None
        };
    };
    let question = question.trim_ascii();
    let ends_in = |words: &[&str]| words.iter().any(|word| question.ends_with(word.as_bytes()));
    let asks_for_user = ends_in(&["login", "username", "user name", "login name", "userid", "user id"])
        // `Last login: Mon Jan 5` greets.
        && !contains(question, b"last")
        || matches!(question, b"user" | b"account" | b"name" | b"enter user" | b"enter account");
    if asks_for_user {
        Prompt::User
    } else if ends_in(&["password", "passwd", "passcode", "passphrase"]) || question == b"pass" {
        Prompt::Password
    } else {
        Prompt::Question
    }
}

/// A line without space around it and without the escape sequences at its end (ECMA-48, 5.4): busybox' shell asks the
/// terminal for the place of the cursor behind its prompt.
fn without_escapes(line: &[u8]) -> &[u8] {
    let mut line = line.trim_ascii();
    // No prompt has more.
    for _ in 0..4 {
        let Some(at) = line.iter().rposition(|byte| *byte == 0x1B) else { break };
        let Some([0x1B, b'[', parameters @ .., last]) = line.get(at..) else { break };
        if !last.is_ascii_alphabetic() || !parameters.iter().all(|byte| matches!(byte, 0x20..=0x3F)) {
            break;
        }
        line = line[..at].trim_ascii_end();
    }
    line
}

/// Whether a line says that a login was not accepted.
fn is_refusal(line: &[u8]) -> bool {
    const WORDS: [&[u8]; 13] = [
        b"incorrect",
        b"fail",
        b"denied",
        b"invalid",
        b"bad pass",
        b"bad user",
        b"bad login",
        b"wrong",
        b"rejected",
        b"not authorized",
        b"too many",
        b"timed out",
        b"locked",
    ];
    let line = line.to_ascii_lowercase();
    // `Last failed login: …` and `3 failed attempts since …` greet.
    WORDS.iter().any(|word| contains(&line, word)) && !contains(&line, b"last") && !contains(&line, b"since")
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
