//! Players: command-and-control servers as files of data tell them to behave.
//!
//! A file says for which connections it is (port, name, first bytes) and what happens on them, step by step. A player only
//! answers on a connection that the guest made; it can do nothing else. The format is described in `docs/netsim.md`.

use std::sync::Arc;
use std::time::Duration;

use komainu_trace::network::NetworkAct;
use serde::Deserialize;

use crate::internet::InternetError;
use crate::limits::{DECIDE_BYTES_MAX, EXPECT_WINDOW_BYTES, PIECES_TOLD_MAX, SCRIPTS_MAX, STEP_BYTES_MAX, STEPS_MAX};
use crate::service::{Call, Next, Peer, Service};
use crate::settings::Settings;

/// The players that are built in: for our own test programs, in protocols that we made up.
const BUILT_IN: [&str; 3] = [
    include_str!("../players/text-line.toml"),
    include_str!("../players/irc.toml"),
    include_str!("../players/keep-alive.toml"),
];

/// The shortest wait inside of what is repeated.
const REPEAT_WAIT_MS_MIN: u64 = 10;

/// The longest wait, in milliseconds: an hour, which no detonation lasts.
const WAIT_MS_MAX: u64 = 3_600_000;

/// All scripts.
#[derive(Debug, Default)]
pub(crate) struct Scripts(Vec<Arc<Script>>);

/// What happens on some connections.
#[derive(Debug, PartialEq)]
pub(crate) struct Script {
    name: String,
    ports: Vec<(u16, u16)>,
    names: Vec<String>,
    first: Option<Pattern>,
    steps: Vec<Step>,
}

/// Bytes, some of which may be any.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern(Vec<Option<u8>>);

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Wait(Duration),
    Send(Vec<u8>),
    Expect(Pattern, Duration),
    /// Goes back to a step, at most so many times.
    Repeat(usize, u32),
    Close,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    #[serde(default)]
    ports: Vec<Ports>,
    #[serde(default)]
    names: Vec<String>,
    first: Option<String>,
    steps: Vec<FileStep>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Ports {
    One(u16),
    Range(String),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum FileStep {
    WaitMs(u64),
    Send(String),
    Expect { bytes: String, within_ms: u64 },
    Repeat { from: usize, times: u32 },
    Close {},
}

impl Scripts {
    /// Reads the scripts of the settings, those of an operator first.
    pub(crate) fn read(settings: &Settings) -> Result<Self, InternetError> {
        let built_in = if settings.built_in_players { &BUILT_IN[..] } else { &[] };
        let texts = settings.players.iter().map(String::as_str).chain(built_in.iter().copied());
        let scripts: Vec<Arc<Script>> = texts
            .map(|text| Script::parse(text).map(Arc::new).map_err(InternetError::Player))
            .collect::<Result<_, _>>()?;
        if scripts.len() > SCRIPTS_MAX {
            return Err(InternetError::Player(format!("there are more than {SCRIPTS_MAX}")));
        }
        Ok(Self(scripts))
    }

    /// The script that begins a connection without waiting for the guest.
    pub(crate) fn at_begin(&self, peer: &Peer) -> Option<Arc<Script>> {
        self.0.iter().find(|script| script.first.is_none() && script.is_for(peer)).cloned()
    }

    /// The script that is for what the guest said first.
    pub(crate) fn by_first(&self, peer: &Peer, said: &[u8]) -> Option<Arc<Script>> {
        let begins = |script: &&Arc<Script>| script.first.as_ref().is_some_and(|first| first.begins(said));
        self.0.iter().filter(|script| script.is_for(peer)).find(begins).cloned()
    }

    /// Whether more that the guest says may make it one of a script's.
    pub(crate) fn may_become(&self, peer: &Peer, said: &[u8]) -> bool {
        let may = |script: &Arc<Script>| script.first.as_ref().is_some_and(|first| first.may_begin(said));
        self.0.iter().any(|script| script.is_for(peer) && may(script))
    }

    /// Whether a script waits at a port.
    pub(crate) fn wait_at(&self, port: u16) -> bool {
        self.0.iter().any(|script| script.ports.iter().any(|(first, last)| (*first..=*last).contains(&port)))
    }
}

impl Script {
    /// Reads a file. An error says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        let wrong = |what: String| format!("player `{}`: {what}", file.name.escape_debug());
        let mut ports = Vec::new();
        for one in &file.ports {
            let range = match one {
                Ports::One(port) => Some((*port, *port)),
                Ports::Range(text) => text
                    .split_once('-')
                    .and_then(|(first, last)| Some((first.trim().parse().ok()?, last.trim().parse().ok()?))),
            };
            ports.push(range.ok_or_else(|| wrong(format!("{one:?} is no port and no range of ports")))?);
        }
        let first = file.first.as_deref().map(Pattern::parse).transpose().map_err(&wrong)?;
        if first.as_ref().is_some_and(|first| first.0.len() > DECIDE_BYTES_MAX) {
            return Err(wrong(format!("`first` has more than {DECIDE_BYTES_MAX} bytes")));
        }
        if first.is_none() && ports.is_empty() && file.names.is_empty() {
            return Err(wrong("it is for all connections: `ports`, `names` or `first` must say for which".into()));
        }
        if file.steps.len() > STEPS_MAX {
            return Err(wrong(format!("it has more than {STEPS_MAX} steps")));
        }
        let mut steps: Vec<Step> = Vec::new();
        for (number, step) in file.steps.iter().enumerate() {
            let at = |what: String| wrong(format!("step {number}: {what}"));
            let step = match step {
                FileStep::WaitMs(ms) if *ms > WAIT_MS_MAX => {
                    return Err(at(format!("waits longer than {WAIT_MS_MAX} ms")));
                }
                FileStep::WaitMs(ms) => Step::Wait(Duration::from_millis(*ms)),
                FileStep::Send(bytes) => {
                    let pattern = Pattern::parse(bytes).map_err(at)?;
                    let bytes: Option<Vec<u8>> = pattern.0.into_iter().collect();
                    Step::Send(bytes.ok_or_else(|| at("what is sent has no wildcards".into()))?)
                }
                FileStep::Expect { bytes, within_ms } => {
                    let within = Duration::from_millis((*within_ms).min(WAIT_MS_MAX));
                    Step::Expect(Pattern::parse(bytes).map_err(at)?, within)
                }
                FileStep::Repeat { from, times } => {
                    let repeated = steps.get(*from..).unwrap_or_default();
                    let takes_time = repeated.iter().any(|step| match step {
                        Step::Wait(time) => *time >= Duration::from_millis(REPEAT_WAIT_MS_MIN),
                        Step::Expect(..) => true,
                        Step::Send(_) | Step::Repeat(..) | Step::Close => false,
                    });
                    if !takes_time {
                        let least = format!("at least {REPEAT_WAIT_MS_MIN} ms");
                        return Err(at(format!("what is repeated must expect something, or wait {least}")));
                    }
                    Step::Repeat(*from, *times)
                }
                FileStep::Close {} => Step::Close,
            };
            steps.push(step);
        }
        Ok(Self { name: file.name, ports, names: file.names, first, steps })
    }

    fn is_for(&self, peer: &Peer) -> bool {
        let port = peer.to.port();
        let of_port = self.ports.is_empty() || self.ports.iter().any(|(first, last)| (*first..=*last).contains(&port));
        let of_name = || match &peer.name {
            Some(name) => self.names.iter().any(|pattern| is_name(pattern, &String::from_utf8_lossy(&name.0))),
            None => false,
        };
        of_port && (self.names.is_empty() || of_name())
    }
}

/// Whether a name is the one of a pattern, or lies below it where that begins with `*.`.
fn is_name(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(parent) => name.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.')),
        None => pattern == name,
    }
}

impl Pattern {
    /// Reads `text:…` or `hex:…`, where `??` is any byte.
    fn parse(text: &str) -> Result<Self, String> {
        let bytes: Vec<Option<u8>> = if let Some(text) = text.strip_prefix("text:") {
            text.bytes().map(Some).collect()
        } else if let Some(digits) = text.strip_prefix("hex:") {
            let digits: Vec<u8> = digits.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
            let (pairs, []) = digits.as_chunks::<2>() else { return Err(format!("`{text}` has half a byte")) };
            let byte = |pair: &[u8; 2]| match pair {
                b"??" => Ok(None),
                _ => std::str::from_utf8(pair)
                    .ok()
                    .and_then(|pair| u8::from_str_radix(pair, 16).ok())
                    .map(Some)
                    .ok_or_else(|| format!("`{text}` has something else than hexadecimal digits and ??")),
            };
            pairs.iter().map(byte).collect::<Result<_, _>>()?
        } else {
            return Err(format!("`{}` begins neither with `text:` nor with `hex:`", text.escape_debug()));
        };
        match bytes.len() {
            0 => Err("no bytes".into()),
            1..=STEP_BYTES_MAX => Ok(Self(bytes)),
            _ => Err(format!("more than {STEP_BYTES_MAX} bytes")),
        }
    }

    fn fits(&self, bytes: &[u8]) -> bool {
        self.0.iter().zip(bytes).all(|(wanted, byte)| wanted.is_none_or(|wanted| wanted == *byte))
    }

    fn begins(&self, said: &[u8]) -> bool {
        said.len() >= self.0.len() && self.fits(said)
    }

    fn may_begin(&self, said: &[u8]) -> bool {
        self.fits(said)
    }

    /// Where what fits ends, if it is there. `from` is where nothing before needs to be looked at again.
    fn end_in(&self, bytes: &[u8], from: usize) -> Option<usize> {
        let starts = from..=bytes.len().checked_sub(self.0.len())?;
        starts.into_iter().find(|start| self.fits(&bytes[*start..])).map(|start| start + self.0.len())
    }
}

/// Plays a script on one connection.
#[derive(Debug)]
pub(crate) struct Player {
    script: Arc<Script>,
    at: usize,
    /// What the guest said and no step took.
    heard: Vec<u8>,
    /// How much of it the step that expects has looked through.
    looked: usize,
    /// Until when the step at hand waits.
    until: Option<Duration>,
    repeated: u32,
    told: u32,
}

impl Player {
    pub(crate) fn new(script: Arc<Script>) -> Self {
        Self { script, at: 0, heard: Vec::new(), looked: 0, until: None, repeated: 0, told: 0 }
    }

    fn run(&mut self, call: &mut Call<'_>) {
        let script = Arc::clone(&self.script);
        // Each step that is repeated takes time, so this ends; the bound holds whatever the clock does.
        for _ in 0..4 * STEPS_MAX {
            let Some(step) = script.steps.get(self.at) else { return };
            match step {
                Step::Wait(time) => {
                    let until = *self.until.get_or_insert(call.world.now + *time);
                    if call.world.now < until {
                        return call.wake_after(until - call.world.now);
                    }
                    self.next();
                }
                Step::Send(bytes) => {
                    call.send(bytes);
                    self.tell(format!("send {} bytes", bytes.len()), call);
                    self.next();
                }
                Step::Expect(pattern, within) => {
                    let until = *self.until.get_or_insert(call.world.now + *within);
                    if let Some(end) = pattern.end_in(&self.heard, self.looked) {
                        self.heard.drain(..end);
                        self.tell("expected bytes came".into(), call);
                        self.next();
                    } else if call.world.now >= until {
                        self.tell("expected bytes did not come".into(), call);
                        return call.close();
                    } else {
                        self.looked = (self.heard.len() + 1).saturating_sub(pattern.0.len());
                        return call.wake_after(until - call.world.now);
                    }
                }
                Step::Repeat(from, times) => {
                    if self.repeated < *times {
                        self.repeated += 1;
                        self.next();
                        self.at = *from;
                    } else {
                        self.repeated = 0;
                        self.next();
                    }
                }
                Step::Close => {
                    self.tell("close".into(), call);
                    return call.close();
                }
            }
        }
        call.wake_after(Duration::from_millis(REPEAT_WAIT_MS_MIN));
    }

    fn next(&mut self) {
        self.at += 1;
        self.until = None;
        self.looked = 0;
    }

    fn tell(&mut self, step: String, call: &mut Call<'_>) {
        if self.told < PIECES_TOLD_MAX {
            self.told += 1;
            call.event(NetworkAct::Played { flow: call.peer.flow, script: self.script.name.clone(), step });
        } else {
            call.world.record.lost("steps of players");
        }
    }
}

impl Service for Player {
    fn name(&self) -> &'static str {
        "player"
    }

    fn opened(&mut self, call: &mut Call<'_>) {
        self.tell("begin".into(), call);
        self.run(call);
    }

    fn data(&mut self, bytes: &[u8], call: &mut Call<'_>) -> Next {
        self.heard.extend(bytes);
        if let Some(more) = self.heard.len().checked_sub(EXPECT_WINDOW_BYTES) {
            self.heard.drain(..more);
            self.looked = self.looked.saturating_sub(more);
        }
        self.run(call);
        Next::Stay
    }

    fn woken(&mut self, call: &mut Call<'_>) -> Next {
        self.run(call);
        Next::Stay
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Talk;

    #[test]
    fn the_built_in_players_are_read() {
        let scripts = Scripts::read(&Settings::default()).unwrap();
        assert_eq!(scripts.0.len(), BUILT_IN.len());
    }

    #[test]
    fn a_text_line_bot_is_answered_and_asked_again_and_again() {
        let mut talk = Talk::undecided("203.0.113.7:4444");
        talk.say(b"LAB-");
        talk.say(b"HELLO arm\n");
        assert_eq!(talk.text(), "WELCOME\n");
        for _ in 0..3 {
            talk.wake();
            assert!(talk.text().ends_with("PING\n"));
            talk.say(b"PONG\n");
        }
        let steps = talk
            .acts()
            .into_iter()
            .filter(|act| matches!(act, NetworkAct::Played { script, .. } if script == "text-line"));
        assert!(steps.count() >= 8);
        talk.wake();
        talk.wake();
        assert!(talk.is_closing(), "nobody answers any more");
    }

    #[test]
    fn a_keep_alive_bot_is_known_by_bytes_of_which_some_are_any() {
        let mut talk = Talk::undecided("203.0.113.7:9");
        talk.say(&[0x4B, 0x4D, 1, 99]);
        assert_eq!(talk.take(), [0x4B, 0x4D, 2, 0]);
        talk.wake();
        assert_eq!(talk.take(), [0x4B, 0x4D, 3, 0]);
    }

    #[test]
    fn a_bot_of_irc_is_told_something_in_its_channel() {
        let mut talk = Talk::undecided("203.0.113.7:16667");
        talk.say(b"NICK lab|arm|1\r\nUSER a 0 * :b\r\n");
        assert!(talk.text().contains(" 001 "));
        talk.say(b"JOIN #lab\r\n");
        assert!(talk.text().contains("PRIVMSG #lab :"));
    }

    #[test]
    fn names_ports_and_begin() {
        let script = "name = \"x\"\nports = [1, \"5-7\"]\nnames = [\"*.c2.example\"]\nsteps = [{ send = \"hex:00 ff\" }, { close = {} }]";
        let settings = Settings { players: vec![script.into()], ..Settings::default() };
        let mut talk = Talk::with(settings.clone(), "203.0.113.7:6", Some("a.c2.example"));
        assert_eq!((talk.take(), talk.is_closing()), (vec![0, 0xFF], true));
        for (at, name) in
            [("203.0.113.7:6", None), ("203.0.113.7:8", Some("a.c2.example")), ("203.0.113.7:6", Some("c2.example"))]
        {
            assert!(Talk::with(settings.clone(), at, name).take().is_empty(), "{at} {name:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let check = |text: &str, what: &str| {
            let error = Script::parse(text).unwrap_err();
            assert!(error.contains(what), "{text}: {error}");
        };
        check("", "missing field");
        check("name = \"x\"\nsteps = []", "all connections");
        check("name = \"x\"\nports = [\"a\"]\nsteps = []", "no port");
        check("name = \"x\"\nports = [1]\nsteps = [{ send = \"x\" }]", "neither");
        check("name = \"x\"\nports = [1]\nsteps = [{ send = \"hex:0\" }]", "half");
        check("name = \"x\"\nports = [1]\nsteps = [{ send = \"hex:??\" }]", "wildcards");
        check("name = \"x\"\nports = [1]\nsteps = [{ send = \"text:\" }]", "no bytes");
        check(
            "name = \"x\"\nports = [1]\nsteps = [{ send = \"text:a\" }, { repeat = { from = 0, times = 2 } }]",
            "wait",
        );
        let long = format!("name = \"x\"\nfirst = \"text:{}\"\nsteps = []", "a".repeat(DECIDE_BYTES_MAX + 1));
        check(&long, "more than 64 bytes");
        check("name = \"x\"\nports = [1]\nsteps = [{ jump = 1 }]", "unknown variant");
        check("name = \"x\"\nports = [1]\nport = 1\nsteps = []", "unknown field");
    }

    #[test]
    fn a_repeat_ends() {
        let script = "name = \"x\"\nports = [6]\nsteps = [{ wait_ms = 10 }, { send = \"text:a\" }, { repeat = { from = 0, times = 3 } }, { send = \"text:b\" }]";
        let settings = Settings { players: vec![script.into()], ..Settings::default() };
        let mut talk = Talk::with(settings, "203.0.113.7:6", None);
        (0..20).for_each(|_| talk.wake());
        assert_eq!(talk.text(), "aaaab");
    }
}
