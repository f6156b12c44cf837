//! Words become arguments: parameters, substitutions, splitting, names of files; POSIX.1-2017, XCU 2.6.

use super::arithmetic;
use super::files::{self, Kind};
use super::pattern;
use super::run::{Run, Stop, quoted};
use super::syntax::{Change, Parameter, Part, Word};

/// Fields of one command; more than any command line of a device takes (`ARG_MAX` is 128 KiB).
const FIELDS_MAX: usize = 8_192;

/// Fields as they grow. They are patterns: what was quoted has backslashes.
#[derive(Default)]
struct Fields {
    done: Vec<Vec<u8>>,
    current: Vec<u8>,
    is_started: bool,
    /// The last field was ended by blanks: another separator right after them ends no other.
    is_after_blank: bool,
}

impl Fields {
    fn end(&mut self) {
        self.done.push(std::mem::take(&mut self.current));
        self.is_started = false;
    }

    fn push_quoted(&mut self, text: &[u8]) {
        pattern::push_plain(&mut self.current, text);
        self.is_started = true;
        self.is_after_blank = false;
    }

    fn push_split(&mut self, text: &[u8], separators: &[u8]) {
        for &byte in text {
            if !separators.contains(&byte) {
                if byte == b'\\' {
                    self.current.push(b'\\');
                }
                self.current.push(byte);
                self.is_started = true;
                self.is_after_blank = false;
            } else if matches!(byte, b' ' | b'\t' | b'\n') {
                if self.is_started {
                    self.end();
                    self.is_after_blank = true;
                }
            } else if std::mem::take(&mut self.is_after_blank) {
                // The blanks before it and it are one separator.
            } else {
                self.end();
            }
        }
    }
}

impl Run<'_> {
    /// The arguments that words become.
    pub(crate) fn fields(&mut self, words: &[Word]) -> Result<Vec<Vec<u8>>, Stop> {
        let mut arguments = Vec::new();
        for word in words {
            let mut fields = Fields::default();
            self.expand(word, true, &mut fields)?;
            if fields.is_started {
                fields.end();
            }
            for field in fields.done {
                self.pay(field.len())?;
                if pattern::is_pattern(&field) {
                    self.names(&field, &mut arguments)?;
                } else {
                    arguments.push(pattern::plain(&field));
                }
                if arguments.len() > FIELDS_MAX {
                    return Err(Stop::Exhausted);
                }
            }
        }
        Ok(arguments)
    }

    /// The one text that a word becomes where nothing is split.
    pub(crate) fn single(&mut self, word: &Word) -> Result<Vec<u8>, Stop> {
        self.pattern(word).map(|text| pattern::plain(&text))
    }

    /// The same as a pattern: what is quoted stands for itself.
    pub(crate) fn pattern(&mut self, word: &Word) -> Result<Vec<u8>, Stop> {
        let mut fields = Fields::default();
        self.expand(word, false, &mut fields)?;
        if fields.done.is_empty() {
            return Ok(fields.current);
        }
        fields.end();
        Ok(fields.done.join(&b' '))
    }

    fn expand(&mut self, word: &Word, splits: bool, fields: &mut Fields) -> Result<(), Stop> {
        for (index, part) in word.0.iter().enumerate() {
            match part {
                Part::Text { text, quoted: true } => fields.push_quoted(text),
                Part::Text { text, quoted: false } => {
                    let text = if index == 0 { self.home(text) } else { text.clone() };
                    fields.is_started |= !text.is_empty();
                    fields.is_after_blank = false;
                    fields.current.extend_from_slice(&text);
                }
                Part::Parameter { parameter, quoted } => self.parameter(parameter, *quoted, splits, fields)?,
                Part::Command { source, line, quoted } => {
                    let value = self.substitute(source, *line)?;
                    self.push(&value, *quoted, splits, fields);
                }
                Part::Arithmetic { word, quoted } => {
                    let value = self.arithmetic(word)?.to_string();
                    self.push(value.as_bytes(), *quoted, splits, fields);
                }
            }
            if fields.done.len() > FIELDS_MAX {
                return Err(Stop::Exhausted);
            }
            self.pay(fields.current.len() / 16)?;
        }
        Ok(())
    }

    fn push(&mut self, value: &[u8], is_quoted: bool, splits: bool, fields: &mut Fields) {
        if is_quoted {
            fields.push_quoted(value);
        } else if splits {
            let separators = self.variable(b"IFS").map_or(b" \t\n".as_slice(), Vec::as_slice).to_vec();
            fields.push_split(value, &separators);
        } else {
            fields.push_split(value, b"");
        }
    }

    /// `~` at the start of a word.
    fn home(&self, text: &[u8]) -> Vec<u8> {
        let Some(rest) = text.strip_prefix(b"~") else { return text.to_vec() };
        let end = rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len());
        let (user, rest) = rest.split_at(end);
        let home = match user {
            b"" => self.variable(b"HOME").cloned(),
            _ if user == self.machine.user.as_bytes() => Some(b"/root".to_vec()),
            _ => None,
        };
        match home {
            Some(home) => [home.as_slice(), rest].concat(),
            None => text.to_vec(),
        }
    }

    fn substitute(&mut self, source: &[u8], line: u32) -> Result<Vec<u8>, Stop> {
        let source = source.to_vec();
        let (mut output, result) = self.capturing(None, |run| {
            run.depth_checked(|run| {
                run.subshell(|run| {
                    run.scope().status = 0;
                    run.source(&source, line)?;
                    Ok(run.scope().status)
                })
            })
        });
        match result {
            Ok(status) => self.substituted = status,
            Err(Stop::BrokenPipe) => self.substituted = 141,
            Err(stop) => return Err(stop),
        }
        output.retain(|&byte| byte != 0);
        while output.last() == Some(&b'\n') {
            output.pop();
        }
        Ok(output)
    }

    /// The value of `$((…))`.
    pub(crate) fn arithmetic(&mut self, word: &Word) -> Result<i64, Stop> {
        let source = self.single(word)?;
        self.pay(source.len() * 4)?;
        match arithmetic::evaluate(&source, self) {
            Ok(value) => Ok(value),
            Err(message) => {
                self.complain(message);
                Err(Stop::Failed(2))
            }
        }
    }

    /// The value of a parameter other than `$@`.
    pub(crate) fn value(&self, name: &[u8]) -> Option<Vec<u8>> {
        let scope = &self.shell.scope;
        Some(match name {
            b"?" => scope.status.to_string().into(),
            b"$" => self.shell.pid.to_string().into(),
            b"#" => scope.arguments.len().to_string().into(),
            b"!" if scope.background_pid > 0 => scope.background_pid.to_string().into(),
            b"!" => return None,
            b"-" => (if self.speaker.is_interactive { b"smi".as_slice() } else { b"c" }).to_vec(),
            b"LINENO" => self.speaker.line.to_string().into(),
            b"PPID" => (self.shell.pid - 1).to_string().into(),
            b"0" => self.variable(name).cloned().unwrap_or_else(|| self.speaker.name.clone()),
            b"@" | b"*" if scope.arguments.is_empty() => return None,
            b"@" => scope.arguments.join(&b' '),
            b"*" => {
                let separator = self.variable(b"IFS").map_or(Some(b' '), |ifs| ifs.first().copied());
                let separator: Vec<u8> = separator.into_iter().collect();
                scope.arguments.join(separator.as_slice())
            }
            b"RANDOM" => {
                let spread =
                    self.shell.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(self.now.as_nanos() as u64);
                ((spread >> 33) & 0x7fff).to_string().into()
            }
            [b'0'..=b'9', ..] => {
                let number: usize = std::str::from_utf8(name).ok()?.parse().ok()?;
                scope.arguments.get(number.checked_sub(1)?)?.clone()
            }
            _ => match self.variable(name) {
                Some(value) => value.clone(),
                // Every shell has these; they are kept nowhere, because an idle session is to be small.
                None => match name {
                    b"HOSTNAME" => self.machine.host_name.clone().into(),
                    b"IFS" => b" \t\n".to_vec(),
                    b"OPTIND" => b"1".to_vec(),
                    b"PS1" => b"\\w \\$ ".to_vec(),
                    b"PS2" => b"> ".to_vec(),
                    b"PS4" => b"+ ".to_vec(),
                    _ => return None,
                },
            },
        })
    }

    fn parameter(
        &mut self,
        parameter: &Parameter,
        is_quoted: bool,
        splits: bool,
        fields: &mut Fields,
    ) -> Result<(), Stop> {
        let name = parameter.name.as_slice();
        if matches!(parameter.change, Change::None) && name == b"@" && splits {
            let arguments = self.scope().arguments.clone();
            let last = arguments.len().wrapping_sub(1);
            for (index, argument) in arguments.iter().enumerate() {
                self.pay(argument.len())?;
                self.push(argument, is_quoted, splits, fields);
                if index != last && (is_quoted || fields.is_started) {
                    fields.end();
                }
            }
            return Ok(());
        }
        let value = self.value(name);
        let value = match &parameter.change {
            Change::None => value.unwrap_or_default(),
            Change::Length => value.unwrap_or_default().len().to_string().into_bytes(),
            Change::Bad => return Err(self.syntax_error("bad substitution")),
            Change::Absent { operator, or_empty, word } => {
                let is_absent = value.as_ref().is_none_or(|value| *or_empty && value.is_empty());
                match (operator, is_absent) {
                    (b'+', false) | (b'-', true) => return self.inner(word, is_quoted, splits, fields),
                    (b'+', true) => Vec::new(),
                    (b'=', true) => {
                        let value = self.single(word)?;
                        self.assign(name, value.clone())?;
                        value
                    }
                    (b'?', true) => {
                        let message = self.single(word)?;
                        let default = if *or_empty { "parameter not set or null" } else { "parameter not set" };
                        let message = if message.is_empty() { default.as_bytes().to_vec() } else { message };
                        self.complain(quoted("", name, &String::from_utf8_lossy(&message)));
                        return Err(Stop::Failed(2));
                    }
                    _ => value.unwrap_or_default(),
                }
            }
            Change::Cut { operator, most, pattern } => {
                let value = value.unwrap_or_default();
                let pattern = self.pattern(pattern)?;
                self.cut(&value, *operator, *most, &pattern)?
            }
            Change::Replace { all, pattern, with } => {
                let value = value.unwrap_or_default();
                let pattern = self.pattern(pattern)?;
                let with = self.single(with)?;
                self.replace(&value, *all, &pattern, &with)?
            }
            Change::Slice { from, length } => {
                let value = value.unwrap_or_default();
                let from = self.arithmetic(from)?;
                let length = length.as_ref().map(|length| self.arithmetic(length)).transpose()?;
                let size = value.len() as i64;
                let start = if from < 0 { from.saturating_add(size).max(0) } else { from.min(size) };
                let end = match length {
                    None => size,
                    Some(length) if length < 0 => size.saturating_add(length).max(start),
                    Some(length) => start.saturating_add(length).min(size),
                };
                value.get(start as usize..end as usize).unwrap_or_default().to_vec()
            }
        };
        self.pay(value.len())?;
        self.push(&value, is_quoted, splits, fields);
        Ok(())
    }

    /// The word inside `${…}` in place of the value.
    fn inner(&mut self, word: &Word, is_quoted: bool, splits: bool, fields: &mut Fields) -> Result<(), Stop> {
        self.depth_checked(|run| {
            for part in &word.0 {
                match part {
                    Part::Text { text, quoted: false } => run.push(text, is_quoted, splits, fields),
                    _ => run.expand(&Word(vec![part.clone()]), splits, fields)?,
                }
            }
            Ok(0)
        })
        .map(|_| ())
    }

    fn cut(&mut self, value: &[u8], operator: u8, most: bool, pattern: &[u8]) -> Result<Vec<u8>, Stop> {
        let lengths: Box<dyn Iterator<Item = usize>> =
            if most { Box::new((0..=value.len()).rev()) } else { Box::new(0..=value.len()) };
        for length in lengths {
            self.pay(length.saturating_mul(pattern.len()))?;
            let (cut, kept) = if operator == b'#' {
                value.split_at(length)
            } else {
                let (kept, cut) = value.split_at(value.len() - length);
                (cut, kept)
            };
            if pattern::matches(pattern, cut) {
                return Ok(kept.to_vec());
            }
        }
        Ok(value.to_vec())
    }

    fn replace(&mut self, value: &[u8], all: bool, pattern: &[u8], with: &[u8]) -> Result<Vec<u8>, Stop> {
        let mut out = Vec::new();
        let mut at = 0;
        if pattern.is_empty() {
            return Ok(value.to_vec());
        }
        'next: while at < value.len() {
            for end in (at + 1..=value.len()).rev() {
                self.pay((end - at).saturating_mul(pattern.len()))?;
                if pattern::matches(pattern, value.get(at..end).unwrap_or_default()) {
                    out.extend_from_slice(with);
                    self.pay(out.len())?;
                    if out.len() > self.shell.limits.output_bytes {
                        return Err(Stop::Exhausted);
                    }
                    at = end;
                    if !all {
                        break 'next;
                    }
                    continue 'next;
                }
            }
            out.extend(value.get(at));
            at += 1;
        }
        out.extend_from_slice(value.get(at..).unwrap_or_default());
        Ok(out)
    }

    /// The names of files that a pattern stands for; the pattern itself if there are none.
    fn names(&mut self, field: &[u8], arguments: &mut Vec<Vec<u8>>) -> Result<(), Stop> {
        let mut found: Vec<Vec<u8>> = vec![Vec::new()];
        if field.starts_with(b"/") {
            found = vec![b"/".to_vec()];
        }
        let parts: Vec<&[u8]> = field.split(|&byte| byte == b'/').filter(|part| !part.is_empty()).collect();
        let here = self.folder();
        for (index, part) in parts.iter().enumerate() {
            let is_last = index + 1 == parts.len();
            let mut next = Vec::new();
            for path in &found {
                let join = |name: &[u8]| if path.is_empty() { name.to_vec() } else { files::join(path, name) };
                if !pattern::is_pattern(part) {
                    let candidate = join(&pattern::plain(part));
                    if self.files().stat_link(&here, &candidate).is_ok() {
                        next.push(candidate);
                    }
                    continue;
                }
                let folder = if path.is_empty() { b".".as_slice() } else { path };
                let names = self.files().list(&here, folder).unwrap_or_default();
                self.pay(names.len() * 64)?;
                for name in names {
                    let is_hidden = name.starts_with(b".") && !part.starts_with(b".");
                    self.pay(name.len().saturating_mul(part.len()) / 16)?;
                    if is_hidden || !pattern::matches(part, &name) {
                        continue;
                    }
                    let candidate = join(&name);
                    if is_last || self.files().stat(&here, &candidate).is_ok_and(|stat| stat.kind == Kind::Folder) {
                        next.push(candidate);
                    }
                    if next.len() > FIELDS_MAX {
                        return Err(Stop::Exhausted);
                    }
                }
            }
            found = next;
        }
        if field.ends_with(b"/") {
            found.retain(|path| self.files().stat(&here, path).is_ok_and(|stat| stat.kind == Kind::Folder));
            for path in &mut found {
                path.push(b'/');
            }
        }
        if found.is_empty() || parts.is_empty() {
            arguments.push(pattern::plain(field));
        } else {
            arguments.append(&mut found);
        }
        Ok(())
    }
}

impl arithmetic::Variables for Run<'_> {
    fn value(&self, name: &[u8]) -> Vec<u8> {
        self.value(name).unwrap_or_default()
    }

    fn set(&mut self, name: &[u8], value: i64) {
        // What cannot be set was told.
        let _ = self.assign(name, value.to_string().into_bytes());
    }
}
