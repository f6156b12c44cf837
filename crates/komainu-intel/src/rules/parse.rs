//! One rule, from its text.

use memchr::memmem::Finder;
use regex::bytes::{Regex, RegexBuilder};

use super::buffer::{self, Buffer, Unit};
use super::header::{Carrier, Header};
use super::inspect::{Comparison, Content, Form, Number, Pcre, Range, Test};
use super::{About, Bits, Group, Limit, LimitKind, Rule, classtype};
use komainu_decode::Side;

/// Options of one rule. Rules that are published have about 30.
const OPTIONS_MAX: usize = 256;
/// Tests of one buffer: the search for them is as deep.
const TESTS_MAX: usize = 64;
/// Bytes of one `content`: as Suricata has it.
const CONTENT_BYTES_MAX: usize = 255;
/// Memory of one compiled `pcre`, in bytes. Ordinary ones need some kilobytes.
const PCRE_BYTES_MAX: usize = 1 << 20;
/// A number in a rule that counts bytes: no buffer is longer than this.
const BYTES_MAX: i64 = 1 << 20;

/// A rule, and the names of the bits it uses: they get their numbers when all rules are known.
#[derive(Debug, Clone)]
pub(crate) struct Parsed {
    pub(crate) rule: Rule,
    pub(crate) bits: Vec<(BitsVerb, Vec<String>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BitsVerb {
    Set,
    Unset,
    Toggle,
    IsSet,
    IsNotSet,
}

/// Why a rule is not taken.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) sid: Option<u32>,
    pub(crate) reason: String,
}

/// Reads a rule.
pub(crate) fn parse(line: &str) -> Result<Parsed, Refusal> {
    let mut sid = None;
    parse_into(line, &mut sid).map_err(|reason| Refusal { sid, reason })
}

fn parse_into(line: &str, sid: &mut Option<u32>) -> Result<Parsed, String> {
    let open = line.find('(').ok_or("there are no options")?;
    let options = line[open + 1..].trim_end().strip_suffix(')').ok_or("the options do not end in `)`")?;
    let options = split_options(options)?;
    // Known first, so that a refusal can name the rule.
    if let Some((_, value)) = options.iter().find(|(name, _)| *name == "sid") {
        *sid = value.and_then(|value| value.parse().ok());
    }
    let sid = sid.ok_or("it has no sid")?;
    let mut draft = Draft::new(Header::parse(&line[..open])?, sid);
    for (name, value) in options {
        draft.option(name, value)?;
    }
    draft.finish()
}

/// Names and values of options: what stands between semicolons, those in quotes and behind `\` excepted.
fn split_options(text: &str) -> Result<Vec<(&str, Option<&str>)>, String> {
    let mut options = Vec::new();
    let (mut begin, mut is_quoted, mut is_escaped) = (0, false, false);
    for (at, letter) in text.char_indices() {
        if std::mem::take(&mut is_escaped) {
            continue;
        }
        match letter {
            '\\' => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            ';' if !is_quoted => {
                let option = text[begin..at].trim();
                begin = at + 1;
                if !option.is_empty() {
                    options.push(match option.split_once(':') {
                        Some((name, value)) => (name.trim(), Some(value.trim())),
                        None => (option, None),
                    });
                }
                if options.len() > OPTIONS_MAX {
                    return Err(format!("it has more than {OPTIONS_MAX} options"));
                }
            }
            _ => {}
        }
    }
    if is_quoted {
        return Err("a quote is not closed".into());
    }
    if !text[begin..].trim().is_empty() {
        return Err("the last option does not end in `;`".into());
    }
    Ok(options)
}

/// A rule that is being read.
struct Draft {
    header: Header,
    about: About,
    side: Option<Side>,
    current: Buffer,
    groups: Vec<Group>,
    /// Where the last `content` is: modifiers behind it change it.
    last: Option<(usize, usize)>,
    /// What the last test that has a place looks into.
    last_buffer: Buffer,
    bits: Vec<(BitsVerb, Vec<String>)>,
    limit: Option<Limit>,
    is_silent: bool,
    priority: Option<u8>,
}

impl Draft {
    fn new(header: Header, sid: u32) -> Self {
        Self {
            header,
            about: About { gid: 1, sid, rev: 0, severity: 3, ..About::default() },
            side: None,
            current: Buffer::Raw,
            groups: Vec::new(),
            last: None,
            last_buffer: Buffer::Raw,
            bits: Vec::new(),
            limit: None,
            is_silent: false,
            priority: None,
        }
    }

    fn option(&mut self, name: &str, value: Option<&str>) -> Result<(), String> {
        let needed = || value.ok_or_else(|| format!("`{name}` has no value"));
        let bytes = || number(name, needed()?);
        match name {
            "msg" => self.about.message = unquoted(needed()?),
            "sid" => {}
            "rev" => self.about.rev = needed()?.parse().map_err(|_| "`rev` is no number")?,
            "gid" => self.about.gid = needed()?.parse().map_err(|_| "`gid` is no number")?,
            "classtype" => {
                let (category, severity) = classtype::of(needed()?);
                (self.about.category, self.about.severity) = (category.into(), severity);
                self.about.classtype = needed()?.into();
            }
            "priority" => {
                let priority = needed()?.parse().ok().filter(|priority| (1..=255).contains(priority));
                self.priority = Some(priority.ok_or("`priority` is no number from 1 to 255")?);
            }
            "reference" => self.about.reference(needed()?),
            "metadata" => self.about.metadata(needed()?),
            "flow" => self.flow(needed()?)?,
            "fast_pattern" | "rawbytes" | "target" => {}
            "content" | "uricontent" => {
                let buffer = if name == "content" { self.current } else { Buffer::HttpUri };
                let content = content(needed()?)?;
                self.push(buffer, Test::Content(Box::new(content)))?;
            }
            "nocase" => {
                let content = self.content(name)?;
                content.is_any_case = true;
                let lower = content.finder.needle().to_ascii_lowercase();
                content.finder = Finder::new(&lower).into_owned();
            }
            "offset" => self.content(name)?.offset = usize::try_from(bytes()?).map_err(|_| "`offset` is below 0")?,
            "depth" => {
                let depth = usize::try_from(bytes()?).map_err(|_| "`depth` is below 0")?;
                let content = self.content(name)?;
                if depth < content.bytes() {
                    return Err("`depth` is less than its content has bytes".into());
                }
                content.depth = Some(depth);
            }
            "distance" => self.content(name)?.distance = Some(bytes()?),
            "within" => {
                let within = bytes()?;
                let content = self.content(name)?;
                if within < content.bytes() as i64 {
                    return Err("`within` is less than its content has bytes".into());
                }
                content.within = Some(within);
            }
            "startswith" => {
                let content = self.content(name)?;
                (content.offset, content.depth) = (0, Some(content.bytes()));
            }
            "endswith" => self.content(name)?.is_at_end = true,
            "pcre" => {
                let (buffer, pcre) = pcre(needed()?)?;
                self.push(buffer.unwrap_or(self.current), Test::Pcre(pcre))?;
            }
            "isdataat" => {
                let test = data_at(needed()?)?;
                self.push(self.buffer_of(&test), test)?;
            }
            "bsize" => {
                let range = range(name, needed()?)?;
                self.push(self.current, Test::Size(range))?;
            }
            "urilen" => {
                let value = needed()?;
                let (value, buffer) = match value.split_once(',') {
                    Some((value, "raw")) => (value, Buffer::HttpUriRaw),
                    Some((value, "norm")) => (value, Buffer::HttpUri),
                    Some(_) => return Err("`urilen` has an unknown form".into()),
                    None => (value, Buffer::HttpUri),
                };
                self.push(buffer, Test::Size(range(name, value)?))?;
            }
            "dsize" => {
                if !self.header.carrier.is_datagrams() {
                    return Err("`dsize` is about packets, and a stream has none here".into());
                }
                self.push(Buffer::Raw, Test::Size(range(name, needed()?)?))?;
            }
            "byte_test" => {
                let test = byte_test(needed()?)?;
                self.push(self.buffer_of(&test), test)?;
            }
            "byte_jump" => {
                let test = byte_jump(needed()?)?;
                self.push(self.buffer_of(&test), test)?;
            }
            "flowbits" => self.flowbits(needed()?)?,
            "noalert" => self.is_silent = true,
            "threshold" | "detection_filter" => self.limit = Some(limit(name, needed()?)?),
            "file_data" | "file.data" => {
                if self.header.carrier != Carrier::Protocol(komainu_decode::Protocol::Http) {
                    return Err(format!("`{name}` is there for http only"));
                }
                (self.current, self.last) = (Buffer::HttpRequestBody, None);
            }
            _ => {
                if let Some(buffer) = buffer::sticky(name).filter(|_| value.is_none()) {
                    (self.current, self.last) = (buffer, None);
                } else if let Some(buffer) = buffer::modifier(name).filter(|_| value.is_none()) {
                    self.move_last(name, buffer)?;
                } else {
                    return Err(format!("keyword `{name}`"));
                }
            }
        }
        Ok(())
    }

    fn flow(&mut self, value: &str) -> Result<(), String> {
        for word in value.split(',').map(str::trim) {
            match word {
                "to_server" | "from_client" => self.side = Some(Side::Client),
                "to_client" | "from_server" => self.side = Some(Side::Server),
                // Each flow is followed from its beginning.
                "established" | "stateless" => {}
                _ => return Err(format!("`flow:{word}`")),
            }
        }
        Ok(())
    }

    fn flowbits(&mut self, value: &str) -> Result<(), String> {
        let (verb, names) = value.split_once(',').unwrap_or((value, ""));
        let verb = match verb.trim() {
            "noalert" => {
                self.is_silent = true;
                return Ok(());
            }
            "set" => BitsVerb::Set,
            "unset" => BitsVerb::Unset,
            "toggle" => BitsVerb::Toggle,
            "isset" => BitsVerb::IsSet,
            "isnotset" => BitsVerb::IsNotSet,
            other => return Err(format!("`flowbits:{other}`")),
        };
        let names: Vec<String> = names.split('|').map(|name| name.trim().to_owned()).collect();
        let are_several = names.len() > 1 && !matches!(verb, BitsVerb::IsSet | BitsVerb::IsNotSet);
        if names.iter().any(String::is_empty) || are_several {
            return Err("`flowbits` has no name, or too many".into());
        }
        self.bits.push((verb, names));
        Ok(())
    }

    fn push(&mut self, buffer: Buffer, test: Test) -> Result<(), String> {
        let index = match self.groups.iter().position(|group| group.buffer == buffer) {
            Some(index) => index,
            None => {
                self.groups.push(Group { buffer, tests: Vec::new() });
                self.groups.len() - 1
            }
        };
        let is_content = matches!(test, Test::Content(_));
        let tests = &mut self.groups[index].tests;
        if tests.len() == TESTS_MAX {
            return Err(format!("a buffer has more than {TESTS_MAX} tests"));
        }
        if !matches!(test, Test::Size(_)) {
            self.last_buffer = buffer;
        }
        tests.push(test);
        if is_content {
            self.last = Some((index, tests.len() - 1));
        }
        Ok(())
    }

    /// What a test looks into: one that is relative, what the test before it does, unless a keyword made a buffer current.
    fn buffer_of(&self, test: &Test) -> Buffer {
        if self.current == Buffer::Raw && test.is_relative() { self.last_buffer } else { self.current }
    }

    /// The last `content`.
    fn content(&mut self, keyword: &str) -> Result<&mut Content, String> {
        let found = self.last.and_then(|(group, test)| self.groups[group].tests.get_mut(test));
        match found {
            Some(Test::Content(content)) => Ok(content),
            Some(_) | None => Err(format!("`{keyword}` without a content before it")),
        }
    }

    fn move_last(&mut self, keyword: &str, buffer: Buffer) -> Result<(), String> {
        self.content(keyword)?;
        let (group, test) = self.last.take().ok_or("there is no content")?;
        let moved = self.groups[group].tests.remove(test);
        self.push(buffer, moved)
    }

    fn finish(mut self) -> Result<Parsed, String> {
        self.groups.retain(|group| !group.tests.is_empty());
        let mut unit = Unit::Raw;
        for group in &self.groups {
            match (unit, group.buffer.unit()) {
                (_, Unit::Raw) => {}
                (Unit::Raw, its) => unit = its,
                (known, its) if known == its => {}
                _ => return Err("its buffers belong to different messages".into()),
            }
        }
        if (self.side, unit) == (Some(Side::Server), Unit::HttpRequest) {
            return Err("it is about what a server says, and its buffers are those of a request here".into());
        }
        if self.groups.is_empty() && self.bits.is_empty() {
            return Err("it looks for nothing".into());
        }
        if self.groups.is_empty() {
            return Err("it has only `flowbits`".into());
        }
        self.about.severity = self.priority.unwrap_or(self.about.severity);
        self.about.finish();
        let needs_body = self.groups.iter().any(|group| group.buffer == Buffer::HttpRequestBody);
        let rule = Rule {
            about: std::sync::Arc::new(self.about),
            header: self.header,
            side: self.side,
            unit,
            needs_body,
            groups: self.groups,
            bits: Bits::default(),
            limit: self.limit,
            is_silent: self.is_silent,
        };
        Ok(Parsed { rule, bits: self.bits })
    }
}

/// A number of bytes that the buffers here can have.
fn number(name: &str, value: &str) -> Result<i64, String> {
    let number = value.parse::<i64>().ok().filter(|number| (-BYTES_MAX..=BYTES_MAX).contains(number));
    number.ok_or_else(|| format!("`{name}:{value}` is no number that is known, or too large"))
}

/// The text of a quoted value.
fn unquoted(value: &str) -> String {
    let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    let mut text = String::with_capacity(inner.len());
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => text.extend(letters.next()),
            letter => text.push(letter),
        }
    }
    text
}

/// `[!]"…"`, its quotes taken off.
fn quoted(keyword: &str, value: &str) -> Result<(bool, String), String> {
    let (value, is_negated) = match value.strip_prefix('!') {
        Some(rest) => (rest.trim_start(), true),
        None => (value, false),
    };
    let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    inner
        .map(|inner| (is_negated, inner.to_owned()))
        .ok_or_else(|| format!("`{keyword}` is not in quotes, or has more behind them"))
}

fn content(value: &str) -> Result<Content, String> {
    let (is_negated, text) = quoted("content", value)?;
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'\\' => bytes.push(rest.next().ok_or("`content` ends in `\\`")?),
            b'|' => {
                let hex: Vec<u8> =
                    rest.by_ref().take_while(|byte| *byte != b'|').filter(|byte| *byte != b' ').collect();
                for pair in hex.chunks(2) {
                    let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2);
                    let byte = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok());
                    bytes.push(byte.ok_or("`content` has wrong hexadecimal digits")?);
                }
            }
            byte => bytes.push(byte),
        }
    }
    if bytes.is_empty() || bytes.len() > CONTENT_BYTES_MAX {
        return Err(format!("`content` has no bytes, or more than {CONTENT_BYTES_MAX}"));
    }
    Ok(Content {
        finder: Finder::new(&bytes).into_owned(),
        is_any_case: false,
        is_negated,
        offset: 0,
        depth: None,
        distance: None,
        within: None,
        is_at_end: false,
    })
}

fn pcre(value: &str) -> Result<(Option<Buffer>, Pcre), String> {
    let (is_negated, text) = quoted("pcre", value)?;
    let body = text.strip_prefix('/').ok_or("`pcre` does not begin with `/`")?;
    let (pattern, flags) = body.rsplit_once('/').ok_or("`pcre` does not end in `/`")?;
    // Variables that are caught stand behind a comma.
    if flags.contains(',') {
        return Err("`pcre` that keeps what it finds".into());
    }
    let anchored;
    let mut pattern = pattern;
    let mut builder_flags = Vec::new();
    let (mut buffer, mut is_relative) = (None, false);
    for flag in flags.chars() {
        match flag {
            'R' => is_relative = true,
            // `B` and `O` are about how Suricata searches; `E` is how `$` works here.
            'B' | 'O' | 'E' => {}
            'i' | 's' | 'm' | 'x' | 'G' | 'A' => builder_flags.push(flag),
            flag => {
                let named = buffer::of_pcre_flag(flag).ok_or_else(|| format!("flag `{flag}` of `pcre`"))?;
                if buffer.replace(named).is_some() {
                    return Err("`pcre` names two buffers".into());
                }
            }
        }
    }
    let has = |flag| builder_flags.contains(&flag);
    if has('A') {
        anchored = format!(r"\A(?:{pattern})");
        pattern = &anchored;
    }
    let regex = compiled(pattern, &has)?;
    Ok((buffer, Pcre { regex, is_relative, is_negated }))
}

fn compiled(pattern: &str, has: &dyn Fn(char) -> bool) -> Result<Regex, String> {
    RegexBuilder::new(pattern)
        .unicode(false)
        .case_insensitive(has('i'))
        .dot_matches_new_line(has('s'))
        .multi_line(has('m'))
        .ignore_whitespace(has('x'))
        .swap_greed(has('G'))
        .size_limit(PCRE_BYTES_MAX)
        .dfa_size_limit(PCRE_BYTES_MAX)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(bytes) => format!("`pcre` needs more than {bytes} bytes"),
            error => {
                let text = error.to_string();
                let last = text.lines().last().unwrap_or_default();
                format!("`pcre` cannot be read: {}", last.trim_start_matches("error: "))
            }
        })
}

fn data_at(value: &str) -> Result<Test, String> {
    let mut parts = value.split(',').map(str::trim);
    let first = parts.next().unwrap_or_default();
    let (first, is_negated) = match first.strip_prefix('!') {
        Some(rest) => (rest, true),
        None => (first, false),
    };
    let bytes = usize::try_from(number("isdataat", first)?).map_err(|_| "`isdataat` is below 0")?;
    let mut is_relative = false;
    for part in parts {
        match part {
            "relative" => is_relative = true,
            "rawbytes" => {}
            other => return Err(format!("`isdataat` with `{other}`")),
        }
    }
    Ok(Test::DataAt { bytes, is_relative, is_negated })
}

/// `N`, `=N`, `<N`, `>N`, `<=N`, `>=N`, `!N`, `!=N`, and `N<>M` or `N-M` (between, both excluded).
fn range(name: &str, value: &str) -> Result<Range, String> {
    let value = value.trim();
    let count = |text: &str| usize::try_from(number(name, text.trim())?).map_err(|_| format!("`{name}` is below 0"));
    let wrong = || format!("`{name}:{value}` has nothing in it");
    let of = |least, most, is_negated| Range { least, most, is_negated };
    if let Some((low, high)) = value.split_once("<>").or_else(|| value.split_once('-')) {
        let (low, high) = (count(low)?, count(high)?);
        return if high > low + 1 { Ok(of(low + 1, high - 1, false)) } else { Err(wrong()) };
    }
    Ok(if let Some(most) = value.strip_prefix("<=") {
        of(0, count(most)?, false)
    } else if let Some(least) = value.strip_prefix(">=") {
        of(count(least)?, usize::MAX, false)
    } else if let Some(above) = value.strip_prefix('<') {
        of(0, count(above)?.checked_sub(1).ok_or_else(wrong)?, false)
    } else if let Some(below) = value.strip_prefix('>') {
        of(count(below)? + 1, usize::MAX, false)
    } else if let Some(not) = value.strip_prefix("!=").or_else(|| value.strip_prefix('!')) {
        of(count(not)?, count(not)?, true)
    } else {
        let exact = count(value.strip_prefix('=').unwrap_or(value))?;
        of(exact, exact, false)
    })
}

/// What stands behind the first parts of `byte_test` and `byte_jump`.
struct NumberWords {
    is_relative: bool,
    is_little: bool,
    is_text: bool,
    base: u32,
}

impl NumberWords {
    /// Takes a word; false when it is none of these.
    fn take(&mut self, word: &str) -> bool {
        match word {
            "relative" => self.is_relative = true,
            "big" => self.is_little = false,
            "little" => self.is_little = true,
            "string" => self.is_text = true,
            "hex" => self.base = 16,
            "dec" => self.base = 10,
            "oct" => self.base = 8,
            _ => return false,
        }
        true
    }

    fn number(&self, name: &str, bytes: &str, offset: &str) -> Result<Number, String> {
        let most = if self.is_text { 20 } else { 8 };
        let bytes = bytes.parse().ok().filter(|bytes| (1..=most).contains(bytes));
        Ok(Number {
            bytes: bytes.ok_or_else(|| format!("`{name}` has a number of bytes that is not known"))?,
            offset: number(name, offset)?,
            is_relative: self.is_relative,
            form: match (self.is_text, self.is_little) {
                (true, _) => Form::Text(self.base),
                (false, true) => Form::LittleEndian,
                (false, false) => Form::BigEndian,
            },
        })
    }
}

const NUMBER_WORDS: NumberWords = NumberWords { is_relative: false, is_little: false, is_text: false, base: 10 };

fn byte_test(value: &str) -> Result<Test, String> {
    let parts: Vec<&str> = value.split(',').map(str::trim).collect();
    let [bytes, comparison, wanted, offset, more @ ..] = &parts[..] else {
        return Err("`byte_test` has too few parts".into());
    };
    let mut words = NUMBER_WORDS;
    for word in more {
        if !words.take(word) {
            return Err(format!("`byte_test` with `{word}`"));
        }
    }
    let (comparison, is_negated) = match comparison.strip_prefix('!') {
        Some("") => ("=", true),
        Some(rest) => (rest, true),
        None => (*comparison, false),
    };
    let comparison = match comparison {
        "<" => Comparison::Less,
        ">" => Comparison::Greater,
        "=" => Comparison::Equal,
        "<=" => Comparison::LessOrEqual,
        ">=" => Comparison::GreaterOrEqual,
        "&" => Comparison::And,
        "^" => Comparison::Or,
        other => return Err(format!("`byte_test` with `{other}`")),
    };
    let value = match wanted.strip_prefix("0x").or_else(|| wanted.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => wanted.parse(),
    };
    let value = value.map_err(|_| format!("`byte_test` with `{wanted}`"))?;
    Ok(Test::Number { number: words.number("byte_test", bytes, offset)?, comparison, value, is_negated })
}

fn byte_jump(value: &str) -> Result<Test, String> {
    let parts: Vec<&str> = value.split(',').map(str::trim).collect();
    let [bytes, offset, more @ ..] = &parts[..] else { return Err("`byte_jump` has too few parts".into()) };
    let mut words = NUMBER_WORDS;
    let (mut multiplier, mut is_aligned, mut is_from_beginning, mut then) = (1, false, false, 0);
    for word in more {
        match word.split_once(' ') {
            Some(("multiplier", factor)) => {
                let factor = factor.trim().parse().ok().filter(|factor| (1..=65_535).contains(factor));
                multiplier = factor.ok_or("`multiplier` is no number from 1 to 65535")?;
            }
            Some(("post_offset", offset)) => then = number("post_offset", offset.trim())?,
            _ if *word == "align" => is_aligned = true,
            _ if *word == "from_beginning" => is_from_beginning = true,
            _ if words.take(word) => {}
            _ => return Err(format!("`byte_jump` with `{word}`")),
        }
    }
    Ok(Test::ByteJump {
        number: words.number("byte_jump", bytes, offset)?,
        multiplier,
        is_aligned,
        is_from_beginning,
        then,
    })
}

/// `type limit, track by_src, count 1, seconds 60`; `detection_filter` has no type.
fn limit(name: &str, value: &str) -> Result<Limit, String> {
    let (mut kind, mut count, mut seconds) = ((name == "detection_filter").then_some(LimitKind::Above), None, None);
    for part in value.split(',').map(str::trim) {
        let (word, value) = part.split_once(' ').ok_or_else(|| format!("`{name}` with `{part}`"))?;
        let positive = || value.trim().parse::<u32>().ok().filter(|number| *number > 0);
        match (word, value.trim()) {
            ("type", "limit") => kind = Some(LimitKind::Limit),
            ("type", "threshold") => kind = Some(LimitKind::Threshold),
            ("type", "both") => kind = Some(LimitKind::Both),
            // Within one session all of these are the same.
            ("track", "by_src" | "by_dst" | "by_rule" | "by_both" | "by_flow") => {}
            ("count", _) => count = positive(),
            ("seconds", _) => seconds = positive(),
            _ => return Err(format!("`{name}` with `{part}`")),
        }
    }
    match (kind, count, seconds) {
        (Some(kind), Some(count), Some(seconds)) => Ok(Limit { kind, count, seconds }),
        _ => Err(format!("`{name}` has no type, count or seconds")),
    }
}
