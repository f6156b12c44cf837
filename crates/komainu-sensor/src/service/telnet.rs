//! Telnet as a small device speaks it: BusyBox' telnetd and login, then the shell.
//!
//! [`Dialogue`] is the whole of it without sockets: bytes in, [`Turn`]s out.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::terminal::{self, Editor, Pressed, Turn};
use crate::link::Link;
use crate::persona::{Accounts, Device, PersonaError};
use crate::session::Ending;
use crate::shell::{Machine, Shell, ShellEvent, ShellLimits};

/// What BusyBox' telnetd says first: IAC DO ECHO, IAC DO NAWS, IAC WILL ECHO, IAC WILL SGA (networking/telnetd.c,
/// `iacs_to_send`). It answers no option that a client asks for, and so neither does a persona.
const OPENING: &[u8] = &[255, 253, 1, 255, 253, 31, 255, 251, 1, 255, 251, 3];

/// Bytes that wait while a command runs. More are dropped, as a full terminal does.
const WAITING_BYTES_MAX: usize = 64 * 1024;

/// What one turn shows before it is said, in bytes: lines that were typed ahead wait for their turn.
const TURN_BYTES_MAX: usize = 64 * 1024;

/// A login dialogue and a shell behind it.
#[derive(Debug)]
pub(crate) struct Telnet {
    /// Shown before the first prompt.
    issue: Vec<u8>,
    login_prompt: Vec<u8>,
    password_prompt: Vec<u8>,
    refusal: Vec<u8>,
    refusal_delay: Duration,
    /// Shown after a login, before the first prompt of the shell.
    greeting: Vec<u8>,
    accounts: Accounts,
    /// The try of a connection that is accepted whatever it says; 0 for none.
    accept_after: u32,
    /// The try of a connection after which it is closed.
    tries_max: u32,
    machine: Arc<Machine>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TelnetText {
    pub(crate) ports: Vec<u16>,
    #[serde(default)]
    issue: String,
    login_prompt: Option<String>,
    #[serde(default = "password_prompt")]
    password_prompt: String,
    #[serde(default = "refusal")]
    refusal: String,
    /// BusyBox's login waits three seconds (loginutils/login.c, FAIL_DELAY).
    #[serde(default = "refusal_delay_ms")]
    refusal_delay_ms: u64,
    #[serde(default)]
    greeting: String,
    #[serde(default)]
    accept_after: u32,
    #[serde(default = "tries_max")]
    tries_max: u32,
}

fn password_prompt() -> String {
    "Password: ".into()
}

fn refusal() -> String {
    "Login incorrect".into()
}

const fn refusal_delay_ms() -> u64 {
    3_000
}

const fn tries_max() -> u32 {
    3
}

impl Telnet {
    /// Checks what a persona says; `at` is where it says it.
    pub(crate) fn check(text: TelnetText, at: &str, device: &Device<'_>) -> Result<Self, PersonaError> {
        if text.tries_max == 0 {
            return Err(device.wrong(format!("{at}.tries_max"), "must be at least 1"));
        }
        Ok(Self {
            issue: terminal::text(&text.issue),
            login_prompt: text.login_prompt.unwrap_or_else(|| format!("{} login: ", device.host_name)).into(),
            password_prompt: text.password_prompt.into(),
            refusal: terminal::text(&text.refusal),
            refusal_delay: Duration::from_millis(text.refusal_delay_ms),
            greeting: terminal::text(&text.greeting),
            accounts: device.accounts.clone(),
            accept_after: text.accept_after,
            tries_max: text.tries_max,
            machine: device.machine.clone(),
        })
    }
}

/// Speaks with a client until the connection ends.
pub(crate) async fn serve(link: &mut Link, persona: &Arc<Telnet>, seed: u64) -> Ending {
    let mut dialogue = Box::new(Dialogue::new(persona.clone(), seed));
    let ending = converse(link, &mut dialogue).await;
    for event in dialogue.close() {
        record(link, event);
    }
    ending
}

async fn converse(link: &mut Link, dialogue: &mut Dialogue) -> Ending {
    if let Err(ending) = link.write(&dialogue.opening()).await {
        return ending;
    }
    loop {
        match link.read().await {
            Ok(bytes) => dialogue.take(&bytes),
            Err(ending) => return ending,
        }
        while let Some(turn) = dialogue.turn(link.age()) {
            for event in turn.events {
                record(link, event);
            }
            let said = async {
                link.write(&turn.at_once).await?;
                if !turn.delay.is_zero() {
                    link.pause(turn.delay).await?;
                }
                link.write(&turn.then).await
            };
            match said.await {
                Err(ending) => return ending,
                Ok(()) if turn.is_last => return Ending::Closed,
                Ok(()) => {}
            }
        }
    }
}

fn record(link: &mut Link, event: ShellEvent) {
    let now = link.now();
    link.keeper().shell_event(now, event);
}

/// A conversation over telnet.
struct Dialogue {
    persona: Arc<Telnet>,
    seed: u64,
    editor: Editor,
    /// Bytes that are not looked at yet.
    waiting: Vec<u8>,
    state: State,
    tries: u32,
}

enum State {
    /// A user name is awaited.
    Login,
    /// A password is awaited.
    Password {
        user: Vec<u8>,
    },
    Shell(Box<Shell>),
    Over,
}

impl Dialogue {
    fn new(persona: Arc<Telnet>, seed: u64) -> Self {
        Self { persona, seed, editor: Editor::of_telnet(), waiting: Vec::new(), state: State::Login, tries: 0 }
    }

    /// What is said before the client says anything.
    fn opening(&self) -> Vec<u8> {
        [OPENING, &self.persona.issue, &self.persona.login_prompt].concat()
    }

    /// Takes what the client says.
    fn take(&mut self, bytes: &[u8]) {
        let room = WAITING_BYTES_MAX.saturating_sub(self.waiting.len());
        self.waiting.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// What follows from what the client said, up to the first thing that takes time; none when it has to say more.
    fn turn(&mut self, now: Duration) -> Option<Turn> {
        let mut turn = Turn::default();
        let waiting = std::mem::take(&mut self.waiting);
        let mut rest = &waiting[..];
        while let Some((byte, after)) = rest.split_first() {
            rest = after;
            if self.press(*byte, &mut turn, now) || turn.at_once.len() > TURN_BYTES_MAX {
                break;
            }
        }
        if !turn.is_last {
            self.waiting = rest.to_vec();
        }
        let has_effect = !turn.at_once.is_empty() || !turn.then.is_empty() || !turn.events.is_empty() || turn.is_last;
        has_effect.then_some(turn)
    }

    /// Does what a byte brings about; true when the turn ends with it.
    fn press(&mut self, byte: u8, turn: &mut Turn, now: Duration) -> bool {
        let shows = !matches!(self.state, State::Password { .. });
        match self.editor.press(byte, shows, &mut turn.at_once) {
            Pressed::Nothing => false,
            Pressed::Interrupt => {
                if let State::Shell(shell) = &self.state {
                    turn.at_once.extend_from_slice(b"^C\r\n");
                    turn.at_once.extend(shell.prompt());
                    return false;
                }
                // login is ended by the signal, and telnetd with it.
                self.state = State::Over;
                turn.is_last = true;
                true
            }
            Pressed::EndOfInput => {
                turn.events.extend(self.close());
                self.state = State::Over;
                turn.is_last = true;
                true
            }
            Pressed::Line(line) => self.enter(line, turn, now),
        }
    }

    fn enter(&mut self, line: Vec<u8>, turn: &mut Turn, now: Duration) -> bool {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Login if line.is_empty() => {
                self.state = State::Login;
                turn.at_once.extend_from_slice(&self.persona.login_prompt);
                false
            }
            State::Login => {
                self.state = State::Password { user: line };
                turn.at_once.extend_from_slice(&self.persona.password_prompt);
                false
            }
            State::Password { user } => self.log_in(&user, &line, turn),
            State::Shell(mut shell) => {
                terminal::enter(&mut shell, &line, turn, now);
                if turn.is_last {
                    turn.events.extend(shell.close());
                    return true;
                }
                self.state = State::Shell(shell);
                !turn.delay.is_zero()
            }
            State::Over => true,
        }
    }

    fn log_in(&mut self, user: &[u8], password: &[u8], turn: &mut Turn) -> bool {
        let persona = &self.persona;
        self.tries += 1;
        let is_stubborn = persona.accept_after > 0 && self.tries >= persona.accept_after;
        if persona.accounts.has(user, password) || is_stubborn {
            let shell = Box::new(Shell::new(persona.machine.clone(), ShellLimits::default(), self.seed));
            turn.at_once.extend_from_slice(&persona.greeting);
            terminal::push(&mut turn.at_once, &shell.banner());
            turn.at_once.extend(shell.prompt());
            self.state = State::Shell(shell);
            return false;
        }
        turn.delay = persona.refusal_delay;
        turn.then.extend_from_slice(&persona.refusal);
        turn.then.extend_from_slice(b"\r\n");
        if self.tries >= persona.tries_max {
            turn.is_last = true;
        } else {
            turn.then.extend_from_slice(&persona.login_prompt);
            self.state = State::Login;
        }
        true
    }

    /// What the shell still has to tell.
    fn close(&mut self) -> Vec<ShellEvent> {
        match &mut self.state {
            State::Shell(shell) => shell.close(),
            State::Login | State::Password { .. } | State::Over => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::persona::Persona;
    use crate::service::Service;

    fn camera() -> Dialogue {
        let persona = Persona::load("camera").unwrap();
        let mut telnets = persona.doors().iter().filter_map(|door| match &door.service {
            Service::Telnet(telnet) => Some(telnet.clone()),
            _ => None,
        });
        Dialogue::new(telnets.next().unwrap(), 1)
    }

    /// Types `pieces`; gives back what is shown, with `{…}` for a delay and `<end>` for the end.
    fn talk(dialogue: &mut Dialogue, pieces: &[&[u8]]) -> String {
        let mut shown = String::new();
        for piece in pieces {
            dialogue.take(piece);
            while let Some(turn) = dialogue.turn(Duration::ZERO) {
                shown += &String::from_utf8(turn.at_once).unwrap();
                if !turn.delay.is_zero() {
                    shown += &format!("{{{} ms}}", turn.delay.as_millis());
                }
                shown += &String::from_utf8(turn.then).unwrap();
                if turn.is_last {
                    return shown + "<end>";
                }
            }
        }
        shown
    }

    fn check(typed: &str, expected: &str) {
        assert_eq!(talk(&mut camera(), &[typed.as_bytes()]), expected, "{typed:?}");
        let bytes: Vec<&[u8]> = typed.as_bytes().chunks(1).collect();
        assert_eq!(talk(&mut camera(), &bytes), expected, "{typed:?}, byte by byte");
    }

    #[test]
    fn a_device_greets_as_busybox_does() {
        assert_eq!(camera().opening(), [OPENING, b"hl-c220 login: "].concat());
    }

    #[test]
    fn the_login() {
        let wrong = "r\r\nPassword: \r\n{3000 ms}Login incorrect\r\n";
        let prompt = "hl-c220 login: ";
        check("", "");
        check("\r\n", &format!("\r\n{prompt}"));
        check("ro\x7foot\r\n", "ro\x08 \x08oot\r\nPassword: ");
        check("r\nsecret\n", &format!("{wrong}{prompt}"));
        check("r\nsecret\nroot\n", &format!("{wrong}{prompt}root\r\nPassword: "));
        check("\x04", "<end>");
        check("root\n\x03", "root\r\nPassword: <end>");
    }

    #[test]
    fn who_gets_in() {
        let is_in = |typed: &str| {
            let shown = talk(&mut camera(), &[typed.as_bytes()]);
            shown.contains("built-in commands") && shown.ends_with(" # ")
        };
        assert!(is_in("root\r\nxc3511\r\n"));
        assert!(!is_in("root\r\nxc3512\r\n"));
        assert!(!is_in("a\nb\na\nb\n"));
        assert!(is_in("a\nb\na\nb\na\nb\n"), "the third try");
    }

    #[test]
    fn the_third_refusal_is_the_last() {
        let mut dialogue = camera();
        let mut persona = Arc::into_inner(dialogue.persona).unwrap();
        persona.accept_after = 0;
        dialogue.persona = Arc::new(persona);
        let shown = talk(&mut dialogue, &[b"a\nb\na\nb\na\nb\na\n"]);
        assert!(shown.ends_with("a\r\nPassword: \r\n{3000 ms}Login incorrect\r\n<end>"), "{shown}");
    }

    #[test]
    fn the_shell() {
        let shown = |typed: &str| {
            let mut dialogue = camera();
            talk(&mut dialogue, &[b"root\nxc3511\n"]);
            talk(&mut dialogue, &[typed.as_bytes()])
        };
        assert_eq!(shown("/bin/busybox KOMAINU\r\n"), "/bin/busybox KOMAINU\r\nKOMAINU: applet not found\r\n~ # ");
        assert_eq!(shown("abc\x03"), "abc^C\r\n~ # ");
        assert_eq!(shown("ab\x15c"), "ab\x08 \x08\x08 \x08c");
        assert_eq!(shown("exit\n"), "exit\r\n<end>");
        assert_eq!(shown("\x04"), "<end>");
        let long = "a".repeat(terminal::LINE_BYTES_MAX + 100);
        assert_eq!(shown(&long).len(), terminal::LINE_BYTES_MAX);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut dialogue = camera();
        for _ in 0..100 {
            dialogue.take(&[b'a'; 10_000]);
        }
        assert_eq!(dialogue.waiting.len(), WAITING_BYTES_MAX);
    }

    proptest! {
        /// What ends a subnegotiation, a line or a session is likelier than chance would have it.
        #[test]
        fn whatever_is_typed_is_survived(
            pieces in proptest::collection::vec(
                proptest::collection::vec(prop_oneof![any::<u8>(), proptest::sample::select(&b"\r\n\x03\x15\x1b\xff\xf0\xfa a"[..])], 0..40),
                0..40,
            ),
        ) {
            let mut dialogue = camera();
            talk(&mut dialogue, &[b"root\nxc3511\n"]);
            for piece in &pieces {
                dialogue.take(piece);
                while let Some(turn) = dialogue.turn(Duration::ZERO) {
                    if turn.is_last {
                        return Ok(());
                    }
                }
                prop_assert!(dialogue.editor.typed() <= terminal::LINE_BYTES_MAX && dialogue.waiting.len() <= WAITING_BYTES_MAX);
            }
            dialogue.close();
        }
    }
}
