//! Telnet as a small device speaks it: BusyBox' telnetd and login, then the shell.
//!
//! [`Dialogue`] is the whole of it without sockets: bytes in, [`Turn`]s out.

mod keys;

use std::sync::Arc;
use std::time::Duration;

use self::keys::{Key, Keys};
use crate::link::Link;
use crate::persona::Telnet;
use crate::session::Ending;
use crate::shell::{Shell, ShellEvent, ShellLimits};

/// What BusyBox' telnetd says first: IAC DO ECHO, IAC DO NAWS, IAC WILL ECHO, IAC WILL SGA (networking/telnetd.c,
/// `iacs_to_send`). It answers no option that a client asks for, and so neither does a persona.
const OPENING: &[u8] = &[255, 253, 1, 255, 253, 31, 255, 251, 1, 255, 251, 3];

/// The longest line, in bytes. The terminal of a device takes fewer; what is beyond is dropped, as there.
const LINE_BYTES_MAX: usize = 8192;

/// Bytes that wait while a command runs. More are dropped, as a full terminal does.
const WAITING_BYTES_MAX: usize = 64 * 1024;

/// The longest that a command takes. `sleep 3600` is not worth a connection.
const DELAY_MAX: Duration = Duration::from_secs(30);

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
    keys: Keys,
    /// Bytes that are not looked at yet.
    waiting: Vec<u8>,
    line: Vec<u8>,
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

/// What a persona does next.
#[derive(Debug, Default)]
struct Turn {
    /// The echo, and what is known without delay.
    at_once: Vec<u8>,
    /// How long what was asked for takes.
    delay: Duration,
    then: Vec<u8>,
    events: Vec<ShellEvent>,
    is_last: bool,
}

impl Dialogue {
    fn new(persona: Arc<Telnet>, seed: u64) -> Self {
        let (waiting, line) = (Vec::new(), Vec::new());
        Self { persona, seed, keys: Keys::default(), waiting, line, state: State::Login, tries: 0 }
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
            let Some(key) = self.keys.byte(*byte) else { continue };
            if self.press(key, &mut turn, now) {
                break;
            }
        }
        if !turn.is_last {
            self.waiting = rest.to_vec();
        }
        let has_effect = !turn.at_once.is_empty() || !turn.then.is_empty() || !turn.events.is_empty() || turn.is_last;
        has_effect.then_some(turn)
    }

    /// Does what a key does; true when the turn ends with it.
    fn press(&mut self, key: Key, turn: &mut Turn, now: Duration) -> bool {
        let shows = !matches!(self.state, State::Password { .. });
        match key {
            Key::Byte(byte) => {
                if self.line.len() < LINE_BYTES_MAX {
                    self.line.push(byte);
                    if shows {
                        turn.at_once.push(byte);
                    }
                }
                false
            }
            Key::Erase => {
                if self.line.pop().is_some() && shows {
                    turn.at_once.extend_from_slice(b"\x08 \x08");
                }
                false
            }
            Key::EraseLine => {
                let erased = std::mem::take(&mut self.line).len();
                if shows {
                    turn.at_once.extend(b"\x08 \x08".repeat(erased));
                }
                false
            }
            Key::Interrupt => {
                self.line.clear();
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
            Key::EndOfInput => {
                if !self.line.is_empty() {
                    return false;
                }
                turn.events.extend(self.close());
                self.state = State::Over;
                turn.is_last = true;
                true
            }
            Key::Enter => {
                turn.at_once.extend_from_slice(b"\r\n");
                let line = std::mem::take(&mut self.line);
                self.enter(line, turn, now)
            }
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
                let reaction = shell.line(&line, now);
                turn.events.extend(reaction.events);
                turn.delay = reaction.delay.min(DELAY_MAX);
                let said = if turn.delay.is_zero() { &mut turn.at_once } else { &mut turn.then };
                push_on_terminal(said, &reaction.output);
                if reaction.is_over {
                    turn.events.extend(shell.close());
                    turn.is_last = true;
                    return true;
                }
                said.extend(shell.prompt());
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
            push_on_terminal(&mut turn.at_once, &shell.banner());
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

/// Adds what a program printed, with the line ends of a terminal.
fn push_on_terminal(to: &mut Vec<u8>, printed: &[u8]) {
    for byte in printed {
        if *byte == b'\n' {
            to.push(b'\r');
        }
        to.push(*byte);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::persona::{Persona, Service};

    fn camera() -> Dialogue {
        let persona = Persona::load("camera").unwrap();
        let mut telnets = persona.doors().iter().filter_map(|door| match &door.service {
            Service::Telnet(telnet) => Some(telnet.clone()),
            Service::Http(_) | Service::Raw(_) => None,
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
        let long = "a".repeat(LINE_BYTES_MAX + 100);
        assert_eq!(shown(&long).len(), LINE_BYTES_MAX);
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
                prop_assert!(dialogue.line.len() <= LINE_BYTES_MAX && dialogue.waiting.len() <= WAITING_BYTES_MAX);
            }
            dialogue.close();
        }
    }
}
