//! `sed` as far as people type it: `s///`, `p`, `d`, `q`, addresses by number, `$` and expression.

use super::{Call, lines, number, shown};
use crate::shell::regex::Regex;
use crate::shell::run::{Run, Status};

/// Commands of one call.
const COMMANDS_MAX: usize = 64;

struct Command {
    from: Option<Address>,
    to: Option<Address>,
    is_negated: bool,
    action: Action,
    is_inside: bool,
}

enum Address {
    Line(u64),
    Last,
    Match(Regex),
}

enum Action {
    Substitute { regex: Regex, with: Vec<u8>, is_global: bool, prints: bool, nth: usize },
    Print,
    Delete,
    Quit,
    Number,
    Nothing,
    Translate(Vec<u8>, Vec<u8>),
    Text { kind: u8, text: Vec<u8> },
}

pub(super) fn sed(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "i::rEne:f:s") else { return Ok(1) };
    let mut rest = options.rest.clone();
    let mut sources: Vec<Vec<u8>> = options.values(b'e').map(<[u8]>::to_vec).collect();
    if let Some(name) = options.value(b'f') {
        match call.input(run, name)? {
            Ok(bytes) => sources.push(bytes),
            Err(error) => {
                call.fails_on(run, name, error);
                return Ok(1);
            }
        }
    }
    if sources.is_empty() {
        if rest.is_empty() {
            return call.usage(run);
        }
        sources.push(rest.remove(0));
    }
    let source = sources.join(&b'\n');
    let is_extended = options.has(b'r') || options.has(b'E');
    let mut commands = match (Parser { rest: &source, is_extended }).commands() {
        Ok(commands) => commands,
        Err(message) => {
            call.complain(run, message);
            return Ok(1);
        }
    };
    let in_place = options.has(b'i');
    let names = if rest.is_empty() { vec![b"-".to_vec()] } else { rest };
    let mut status = 0;
    for name in names {
        let bytes = match call.input(run, &name)? {
            Ok(bytes) => bytes,
            Err(error) => {
                call.fails_on(run, &name, error);
                status = 1;
                continue;
            }
        };
        let (out, quits) = edit(run, &mut commands, &bytes, options.has(b'n'))?;
        if in_place {
            match run.open_path(&name, false) {
                Ok(fd) => run.with_fds(None, Some(fd), |run| run.out(out)),
                Err(error) => {
                    call.cannot_open(run, &name, error);
                    status = 1;
                }
            }
        } else {
            run.out(out);
        }
        if quits {
            break;
        }
    }
    Ok(status)
}

fn edit(
    run: &mut Run<'_>,
    commands: &mut [Command],
    bytes: &[u8],
    is_silent: bool,
) -> Result<(Vec<u8>, bool), crate::shell::run::Stop> {
    let all = lines(bytes);
    let ends_line = bytes.is_empty() || bytes.ends_with(b"\n");
    let mut out = Vec::new();
    for (index, line) in all.iter().enumerate() {
        let is_last = index + 1 == all.len();
        let at = index as u64 + 1;
        let end: &[u8] = if is_last && !ends_line { b"" } else { b"\n" };
        let mut space = line.to_vec();
        let mut after = Vec::new();
        let (mut is_deleted, mut quits) = (false, false);
        for command in commands.iter_mut() {
            run.pay(space.len().saturating_mul(4))?;
            let applies = command.applies(&space, at, is_last);
            run.pay(command.bill())?;
            if applies == command.is_negated {
                continue;
            }
            match &command.action {
                Action::Nothing => {}
                Action::Print => out.extend_from_slice(&[&space, end].concat()),
                Action::Number => out.extend_from_slice(format!("{at}\n").as_bytes()),
                Action::Delete => {
                    is_deleted = true;
                    break;
                }
                Action::Quit => {
                    quits = true;
                    break;
                }
                Action::Translate(from, to) => {
                    for byte in &mut space {
                        if let Some(place) = from.iter().position(|from| from == byte) {
                            *byte = to.get(place).copied().unwrap_or(*byte);
                        }
                    }
                }
                Action::Text { kind: b'i', text } => out.extend_from_slice(&[text.as_slice(), b"\n"].concat()),
                Action::Text { kind: b'c', text } => {
                    out.extend_from_slice(&[text.as_slice(), b"\n"].concat());
                    is_deleted = true;
                    break;
                }
                Action::Text { text, .. } => after.extend_from_slice(&[text.as_slice(), b"\n"].concat()),
                Action::Substitute { regex, with, is_global, prints, nth } => {
                    let most = run.room();
                    let changed = substitute(regex, with, *is_global, *nth, &space, most);
                    run.pay(regex.bill())?;
                    if let Some(changed) = changed {
                        run.pay(changed.len())?;
                        space = changed;
                        if *prints {
                            out.extend_from_slice(&[&space, end].concat());
                        }
                    }
                }
            }
        }
        if !is_deleted && !is_silent {
            out.extend_from_slice(&[&space, end].concat());
        }
        out.extend_from_slice(&after);
        run.pay(space.len())?;
        if quits || out.len() > run.room() {
            return Ok((out, quits));
        }
    }
    Ok((out, false))
}

impl Command {
    fn bill(&self) -> usize {
        let of = |address: &Option<Address>| match address {
            Some(Address::Match(regex)) => regex.bill(),
            _ => 0,
        };
        of(&self.from) + of(&self.to)
    }

    fn applies(&mut self, space: &[u8], at: u64, is_last: bool) -> bool {
        let is_at = |address: &Address| match address {
            Address::Line(line) => *line == at,
            Address::Last => is_last,
            Address::Match(regex) => regex.is_in(space),
        };
        match (&self.from, &self.to) {
            (None, _) => true,
            (Some(from), None) => is_at(from),
            (Some(from), Some(to)) => {
                if self.is_inside {
                    self.is_inside = !is_at(to) && !matches!(to, Address::Line(line) if *line <= at);
                    return true;
                }
                let begins = is_at(from);
                self.is_inside = begins && !matches!(to, Address::Line(line) if *line <= at);
                begins
            }
        }
    }
}

fn substitute(regex: &Regex, with: &[u8], is_global: bool, nth: usize, space: &[u8], most: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut from = 0;
    let mut count = 0;
    let mut is_changed = false;
    while from <= space.len() {
        let Some(found) = regex.find(space, from) else { break };
        let Some((start, end)) = found.first().copied().flatten() else { break };
        out.extend_from_slice(space.get(from..start).unwrap_or_default());
        count += 1;
        if count >= nth {
            is_changed = true;
            let mut rest = with;
            while let Some((&byte, after)) = rest.split_first() {
                rest = after;
                match (byte, rest.first()) {
                    (b'&', _) => out.extend_from_slice(space.get(start..end).unwrap_or_default()),
                    (b'\\', Some(&next)) => {
                        rest = rest.get(1..).unwrap_or_default();
                        match next {
                            b'0'..=b'9' => {
                                let group = found.get(usize::from(next - b'0')).copied().flatten();
                                let (start, end) = group.unwrap_or((0, 0));
                                out.extend_from_slice(space.get(start..end).unwrap_or_default());
                            }
                            b'n' => out.push(b'\n'),
                            b't' => out.push(b'\t'),
                            _ => out.push(next),
                        }
                    }
                    _ => out.push(byte),
                }
            }
        } else {
            out.extend_from_slice(space.get(start..end).unwrap_or_default());
        }
        from = end;
        if start == end {
            out.extend(space.get(end));
            from += 1;
        }
        if is_changed && !is_global || out.len() > most {
            break;
        }
    }
    out.extend_from_slice(space.get(from.min(space.len())..).unwrap_or_default());
    is_changed.then_some(out)
}

struct Parser<'s> {
    rest: &'s [u8],
    is_extended: bool,
}

impl Parser<'_> {
    fn commands(&mut self) -> Result<Vec<Command>, String> {
        let mut commands = Vec::new();
        loop {
            while let [b' ' | b'\t' | b'\n' | b';' | b'}', after @ ..] = self.rest {
                self.rest = after;
            }
            if self.rest.is_empty() || commands.len() >= COMMANDS_MAX {
                return Ok(commands);
            }
            commands.push(self.command()?);
        }
    }

    fn next(&mut self) -> Option<u8> {
        let (&first, after) = self.rest.split_first()?;
        self.rest = after;
        Some(first)
    }

    fn blanks(&mut self) {
        while let [b' ' | b'\t', after @ ..] = self.rest {
            self.rest = after;
        }
    }

    fn command(&mut self) -> Result<Command, String> {
        let from = self.address()?;
        let mut to = None;
        if from.is_some() && self.rest.first() == Some(&b',') {
            self.next();
            to = self.address()?;
            if to.is_none() {
                return Err("unexpected `,'".to_owned());
            }
        }
        self.blanks();
        let is_negated = self.rest.first() == Some(&b'!');
        if is_negated {
            self.next();
        }
        self.blanks();
        let action = match self.next() {
            None => return Err("missing command".to_owned()),
            Some(b'p') => Action::Print,
            Some(b'd') => Action::Delete,
            Some(b'q') => Action::Quit,
            Some(b'=') => Action::Number,
            Some(b'{' | b':' | b'#') => {
                let end = self.rest.iter().position(|&byte| byte == b'\n').unwrap_or(0);
                self.rest = self.rest.get(end..).unwrap_or_default();
                Action::Nothing
            }
            Some(b'n' | b'N' | b'g' | b'G' | b'h' | b'H' | b'x' | b'D' | b'P' | b'b' | b't') => Action::Nothing,
            Some(kind @ (b'a' | b'i' | b'c')) => {
                if let [b'\\', b'\n', after @ ..] | [b'\\', after @ ..] = self.rest {
                    self.rest = after;
                }
                self.blanks();
                let end = self.rest.iter().position(|&byte| byte == b'\n').unwrap_or(self.rest.len());
                let (text, after) = self.rest.split_at(end);
                self.rest = after;
                Action::Text { kind, text: text.to_vec() }
            }
            Some(b'y') => {
                let mark = self.next().ok_or("unterminated `y' command")?;
                let (from, to) = (self.until(mark), self.until(mark));
                match (from, to) {
                    (Some(from), Some(to)) if from.len() == to.len() => Action::Translate(from, to),
                    _ => return Err("bad format in y command".to_owned()),
                }
            }
            Some(b's') => {
                let mark = self.next().ok_or("bad format in substitution expression")?;
                let (Some(source), Some(with)) = (self.until(mark), self.until(mark)) else {
                    return Err("unmatched '".to_owned() + &char::from(mark).to_string() + "'");
                };
                let (mut is_global, mut prints, mut ignores_case, mut nth) = (false, false, false, 1);
                loop {
                    match self.rest.first() {
                        Some(b'g') => is_global = true,
                        Some(b'p') => prints = true,
                        Some(b'i' | b'I') => ignores_case = true,
                        Some(digit @ b'1'..=b'9') => nth = usize::from(digit - b'0'),
                        _ => break,
                    }
                    self.next();
                }
                let regex = Regex::new(&source, self.is_extended, ignores_case)
                    .map_err(|message| format!("bad regex '{}': {message}", shown(&source)))?;
                Action::Substitute { regex, with, is_global, prints, nth }
            }
            Some(other) => return Err(format!("unsupported command {}", char::from(other))),
        };
        Ok(Command { from, to, is_negated, action, is_inside: false })
    }

    /// The text up to a mark that has no backslash before it.
    fn until(&mut self, mark: u8) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        loop {
            let byte = self.next()?;
            if byte == mark {
                return Some(text);
            }
            if byte == b'\\' {
                let next = self.next()?;
                if next != mark {
                    text.push(b'\\');
                }
                text.push(next);
            } else {
                text.push(byte);
            }
        }
    }

    fn address(&mut self) -> Result<Option<Address>, String> {
        self.blanks();
        Ok(match self.rest.first() {
            Some(b'0'..=b'9') => {
                let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                let (line, after) = self.rest.split_at(digits);
                self.rest = after;
                Some(Address::Line(number(line).unwrap_or(u64::MAX)))
            }
            Some(b'$') => {
                self.next();
                Some(Address::Last)
            }
            Some(b'/') => {
                self.next();
                let source = self.until(b'/').ok_or("unmatched '/'")?;
                let regex = Regex::new(&source, self.is_extended, false)
                    .map_err(|message| format!("bad regex '{}': {message}", shown(&source)))?;
                Some(Address::Match(regex))
            }
            _ => None,
        })
    }
}
