//! One value of a search against one value of a fact.

use std::net::IpAddr;

use base64::Engine as _;
use ipnet::IpNet;
use regex::{Regex, RegexBuilder};

use crate::fact::{Fact, Field, Value};
use crate::yaml::{Node, NodeKind};

/// The most memory of a compiled regular expression, in bytes.
const REGEX_BYTES_MAX: usize = 512 * 1024;
/// The longest value of a rule, in bytes.
const VALUE_BYTES_MAX: usize = 4096;

/// What a value of a fact is compared with.
#[derive(Debug, Clone)]
pub(super) enum Matcher {
    /// A text; in small letters unless case counts.
    Text {
        pattern: Pattern,
        cased: bool,
    },
    Regex(Regex),
    Network(IpNet),
    Number(i64),
    Compare(Compare, f64),
    /// The fact does not have the field, or it is empty.
    Null,
    /// Whether the fact has the field.
    Exists(bool),
    /// The value of another field of the same fact.
    Other(Field),
}

/// How numbers are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compare {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Compare {
    pub(super) fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

/// A text with wildcards, by what it needs.
#[derive(Debug, Clone)]
pub(super) enum Pattern {
    Equal(String),
    Starts(String),
    Ends(String),
    Contains(Box<memchr::memmem::Finder<'static>>),
    Wild(Vec<Piece>),
}

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Byte(u8),
    /// One character.
    One,
    /// Any number of characters.
    Many,
}

/// What the modifiers of an item say.
#[derive(Debug, Default)]
pub(super) struct Modifiers {
    pub(super) all: bool,
    cased: bool,
    place: Place,
    encoding: Vec<Encoding>,
    kind: Kind,
    regex_flags: (bool, bool, bool),
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    #[default]
    Whole,
    Anywhere,
    Start,
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Base64,
    Base64Offset,
    Utf16Little,
    Utf16Big,
    Utf16,
    AnyDash,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Kind {
    #[default]
    Value,
    Regex,
    Network,
    Compare(Compare),
    Exists,
    Field,
}

impl Modifiers {
    /// Reads the words after the field's name.
    pub(super) fn read<'t>(words: impl Iterator<Item = &'t str>) -> Result<Self, String> {
        let mut modifiers = Self::default();
        for word in words {
            match word {
                "contains" => modifiers.place = Place::Anywhere,
                "startswith" => modifiers.place = Place::Start,
                "endswith" => modifiers.place = Place::End,
                "all" => modifiers.all = true,
                "cased" => modifiers.cased = true,
                "re" => modifiers.kind = Kind::Regex,
                "i" if modifiers.kind == Kind::Regex => modifiers.regex_flags.0 = true,
                "m" if modifiers.kind == Kind::Regex => modifiers.regex_flags.1 = true,
                "s" if modifiers.kind == Kind::Regex => modifiers.regex_flags.2 = true,
                "cidr" => modifiers.kind = Kind::Network,
                "lt" => modifiers.kind = Kind::Compare(Compare::Less),
                "lte" => modifiers.kind = Kind::Compare(Compare::LessOrEqual),
                "gt" => modifiers.kind = Kind::Compare(Compare::Greater),
                "gte" => modifiers.kind = Kind::Compare(Compare::GreaterOrEqual),
                "exists" => modifiers.kind = Kind::Exists,
                "fieldref" => modifiers.kind = Kind::Field,
                "base64" => modifiers.encoding.push(Encoding::Base64),
                "base64offset" => modifiers.encoding.push(Encoding::Base64Offset),
                "wide" | "utf16le" => modifiers.encoding.push(Encoding::Utf16Little),
                "utf16be" => modifiers.encoding.push(Encoding::Utf16Big),
                "utf16" => modifiers.encoding.push(Encoding::Utf16),
                "windash" => modifiers.encoding.push(Encoding::AnyDash),
                "expand" => return Err("placeholders (`expand`) are not filled in here".into()),
                other => return Err(format!("there is no modifier `{other}`")),
            }
        }
        if modifiers.kind != Kind::Value && (modifiers.place != Place::Whole || !modifiers.encoding.is_empty()) {
            return Err("modifiers that exclude each other".into());
        }
        // More encodings after each other would multiply the values.
        if modifiers.encoding.len() > 2 {
            return Err("more than two encodings".into());
        }
        Ok(modifiers)
    }

    /// What one value of the rule stands for: one matcher, or several of which one has to match.
    pub(super) fn matchers(&self, value: &Node) -> Result<Vec<Matcher>, String> {
        if let NodeKind::Text(text) = &value.kind
            && text.len() > VALUE_BYTES_MAX
        {
            return Err(format!("a value has more than {VALUE_BYTES_MAX} bytes"));
        }
        match self.kind {
            Kind::Value => self.value(value),
            Kind::Regex => {
                let text = value.scalar().ok_or("a regular expression is a text")?;
                let (i, m, s) = self.regex_flags;
                let regex = RegexBuilder::new(&text)
                    .case_insensitive(i)
                    .multi_line(m)
                    .dot_matches_new_line(s)
                    .size_limit(REGEX_BYTES_MAX)
                    .nest_limit(64)
                    .build()
                    .map_err(|error| first_line("a regular expression that is not read", &error.to_string()))?;
                Ok(vec![Matcher::Regex(regex)])
            }
            Kind::Network => {
                let text = value.scalar().ok_or("a network is a text")?;
                let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
                Ok(vec![Matcher::Network(network.map_err(|_| format!("`{text}` is no network"))?)])
            }
            Kind::Compare(compare) => {
                let number =
                    value.scalar().and_then(|text| text.parse::<f64>().ok()).filter(|number| number.is_finite());
                Ok(vec![Matcher::Compare(compare, number.ok_or("only numbers are larger or smaller")?)])
            }
            Kind::Exists => match value.kind {
                NodeKind::Bool(wanted) => Ok(vec![Matcher::Exists(wanted)]),
                _ => Err("`exists` is true or false".into()),
            },
            Kind::Field => {
                let name = value.text().ok_or("`fieldref` names a field")?;
                let field = name.parse().map_err(|_| format!("no fact has the field `{name}`"))?;
                Ok(vec![Matcher::Other(field)])
            }
        }
    }

    fn value(&self, value: &Node) -> Result<Vec<Matcher>, String> {
        match &value.kind {
            NodeKind::Null => return Ok(vec![Matcher::Null]),
            NodeKind::Integer(number) if self.place == Place::Whole && self.encoding.is_empty() => {
                return Ok(vec![Matcher::Number(*number)]);
            }
            NodeKind::List(_) | NodeKind::Map(_) => {
                return Err("a list in a list, or a map where a value should be".into());
            }
            NodeKind::Bool(_) | NodeKind::Integer(_) | NodeKind::Float(_) | NodeKind::Text(_) => {}
        }
        let text = value.scalar().unwrap_or_default();
        if self.encoding.is_empty() {
            return Ok(vec![Matcher::Text { pattern: self.pattern(&text), cased: self.cased }]);
        }
        let mut forms: Vec<Vec<u8>> = vec![unescaped(&text)?];
        let mut cased = self.cased;
        for encoding in &self.encoding {
            let encoded = forms.iter().map(|form| encoding.encode(form)).collect::<Result<Vec<_>, _>>()?;
            forms = encoded.into_iter().flatten().collect();
            cased |= *encoding != Encoding::AnyDash;
        }
        let matchers = forms.into_iter().map(|form| {
            // Facts have bytes beyond ASCII escaped; so does what they are compared with.
            let text = komainu_trace::RawText(form).to_string();
            Matcher::Text { pattern: self.literal(&text, cased), cased }
        });
        Ok(matchers.collect())
    }

    fn literal(&self, text: &str, cased: bool) -> Pattern {
        let text = if cased { text.to_owned() } else { text.to_lowercase() };
        match self.place {
            Place::Whole => Pattern::Equal(text),
            Place::Start => Pattern::Starts(text),
            Place::End => Pattern::Ends(text),
            Place::Anywhere => Pattern::contains(&text),
        }
    }

    /// A text with `*` and `?`; a backslash takes their meaning away, and its own.
    fn pattern(&self, text: &str) -> Pattern {
        let text = if self.cased { text.to_owned() } else { text.to_lowercase() };
        let mut pieces = Vec::with_capacity(text.len() + 2);
        if matches!(self.place, Place::Anywhere | Place::End) {
            pieces.push(Piece::Many);
        }
        let mut bytes = text.bytes().peekable();
        while let Some(byte) = bytes.next() {
            let piece = match byte {
                b'*' => Piece::Many,
                b'?' => Piece::One,
                b'\\' => match bytes.next_if(|next| matches!(next, b'*' | b'?' | b'\\')) {
                    Some(next) => Piece::Byte(next),
                    None => Piece::Byte(b'\\'),
                },
                byte => Piece::Byte(byte),
            };
            if piece != Piece::Many || pieces.last() != Some(&Piece::Many) {
                pieces.push(piece);
            }
        }
        if matches!(self.place, Place::Anywhere | Place::Start) && pieces.last() != Some(&Piece::Many) {
            pieces.push(Piece::Many);
        }
        Pattern::of(pieces)
    }
}

impl Encoding {
    fn encode(self, text: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        let standard = base64::engine::general_purpose::STANDARD;
        let utf16 = |to_bytes: fn(u16) -> [u8; 2]| -> Result<Vec<u8>, String> {
            let text = std::str::from_utf8(text).map_err(|_| "encodings in an order that makes no text".to_owned())?;
            Ok(text.encode_utf16().flat_map(to_bytes).collect())
        };
        Ok(match self {
            Self::Base64 => vec![standard.encode(text).into_bytes()],
            // At each of the three places that a text can have in a group of three bytes, the digits that are its own.
            Self::Base64Offset => (0..3usize)
                .map(|offset| {
                    let mut padded = vec![b' '; offset];
                    padded.extend_from_slice(text);
                    let encoded = standard.encode(&padded).into_bytes();
                    let begin = [0, 2, 3][offset];
                    let end = encoded.len() - [0, 3, 2][padded.len() % 3];
                    encoded.get(begin..end).unwrap_or_default().to_vec()
                })
                .collect(),
            Self::Utf16Little => vec![utf16(u16::to_le_bytes)?],
            Self::Utf16Big => vec![utf16(u16::to_be_bytes)?],
            Self::Utf16 => vec![[vec![0xff, 0xfe], utf16(u16::to_le_bytes)?].concat()],
            Self::AnyDash => {
                let text =
                    std::str::from_utf8(text).map_err(|_| "encodings in an order that makes no text".to_owned())?;
                let dashes = ["-", "/", "\u{2013}", "\u{2014}", "\u{2015}"];
                dashes.iter().map(|dash| text.replacen('-', dash, 1).into_bytes()).collect()
            }
        })
    }
}

/// The text without the backslashes before wildcards; with a wildcard there is nothing to encode.
fn unescaped(text: &str) -> Result<Vec<u8>, String> {
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'*' | b'?' => return Err("wildcards cannot be encoded".into()),
            b'\\' => plain.push(bytes.next_if(|next| matches!(next, b'*' | b'?' | b'\\')).unwrap_or(b'\\')),
            byte => plain.push(byte),
        }
    }
    Ok(plain)
}

fn first_line(what: &str, error: &str) -> String {
    // The errors of the engine draw the expression over several lines; the last says what is wrong.
    format!("{what}: {}", error.lines().last().unwrap_or_default().trim())
}

impl Matcher {
    pub(super) fn matches(&self, fact: &Fact, value: Option<&Value>) -> bool {
        match (self, value) {
            (Self::Null, None) => true,
            (Self::Null, Some(Value::Text(text))) => text.as_str().is_empty(),
            (Self::Null, Some(Value::Number(_))) => false,
            (Self::Exists(wanted), value) => value.is_some() == *wanted,
            (_, None) => false,
            (Self::Text { pattern, cased }, Some(Value::Text(text))) => {
                pattern.matches(if *cased { text.as_str() } else { text.folded() })
            }
            (Self::Text { pattern, .. }, Some(Value::Number(number))) => pattern.matches(&number.to_string()),
            (Self::Regex(regex), Some(Value::Text(text))) => regex.is_match(text.as_str()),
            (Self::Regex(regex), Some(Value::Number(number))) => regex.is_match(&number.to_string()),
            (Self::Network(network), Some(Value::Text(text))) => {
                text.as_str().parse::<IpAddr>().is_ok_and(|address| network.contains(&address))
            }
            (Self::Network(_), Some(Value::Number(_))) => false,
            (Self::Number(wanted), Some(Value::Number(number))) => wanted == number,
            (Self::Number(wanted), Some(Value::Text(text))) => text.as_str() == wanted.to_string(),
            (Self::Compare(compare, bound), Some(Value::Number(number))) => compare.holds(*number as f64, *bound),
            (Self::Compare(compare, bound), Some(Value::Text(text))) => {
                text.as_str().parse::<f64>().is_ok_and(|number| compare.holds(number, *bound))
            }
            (Self::Other(other), Some(value)) => fact.value(*other).is_some_and(|other| match (value, other) {
                (Value::Text(one), Value::Text(two)) => one.folded() == two.folded(),
                (one, two) => one.to_string() == two.to_string(),
            }),
        }
    }
}

impl Pattern {
    fn contains(text: &str) -> Self {
        Self::Contains(Box::new(memchr::memmem::Finder::new(text.as_bytes()).into_owned()))
    }

    fn of(pieces: Vec<Piece>) -> Self {
        let wild = |piece: &Piece| !matches!(piece, Piece::Byte(_));
        let (first, last) = (pieces.first() == Some(&Piece::Many), pieces.last() == Some(&Piece::Many));
        let body = &pieces[usize::from(first)..pieces.len() - usize::from(last && pieces.len() > 1)];
        if body.iter().any(wild) {
            return Self::Wild(pieces);
        }
        let bytes = body.iter().filter_map(|piece| match piece {
            Piece::Byte(byte) => Some(*byte),
            Piece::One | Piece::Many => None,
        });
        // The bytes are those of a text, in which only ASCII was taken out.
        let Ok(text) = String::from_utf8(bytes.collect()) else { return Self::Wild(pieces) };
        match (first, last) {
            (false, false) => Self::Equal(text),
            (false, true) => Self::Starts(text),
            (true, false) => Self::Ends(text),
            (true, true) => Self::contains(&text),
        }
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Equal(wanted) => text == wanted,
            Self::Starts(wanted) => text.starts_with(wanted.as_str()),
            Self::Ends(wanted) => text.ends_with(wanted.as_str()),
            Self::Contains(finder) => finder.find(text.as_bytes()).is_some(),
            Self::Wild(pieces) => wild(pieces, text.as_bytes()),
        }
    }
}

/// Whether a text fits a pattern; at most the product of both lengths steps, which are bounded.
fn wild(pieces: &[Piece], text: &[u8]) -> bool {
    let (mut piece, mut at) = (0, 0);
    // Where to go on when it does not fit: after the last `*`, with one byte more given to it.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let fits = match (pieces.get(piece), text.get(at)) {
            (Some(Piece::Many), _) => {
                retry = Some((piece + 1, at));
                piece += 1;
                continue;
            }
            (None, None) => return true,
            (Some(Piece::Byte(wanted)), Some(byte)) if wanted == byte => 1,
            (Some(Piece::One), Some(byte)) => character_bytes(*byte),
            _ => 0,
        };
        if fits > 0 {
            piece += 1;
            at += fits;
            continue;
        }
        match retry {
            Some((after, from)) if from < text.len() => {
                retry = Some((after, from + 1));
                (piece, at) = (after, from + 1);
            }
            _ => return false,
        }
    }
}

/// How many bytes the character has that begins with this one (UTF-8).
fn character_bytes(first: u8) -> usize {
    match first {
        0xf0.. => 4,
        0xe0.. => 3,
        0xc0.. => 2,
        _ => 1,
    }
}
