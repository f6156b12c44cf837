//! The grammar of the shell: POSIX.1-2017, XCU 2 "Shell Command Language", as BusyBox' ash reads it.
//!
//! A source is read one complete line at a time, because ash runs each before it reads the next: what stands before a
//! mistake on an earlier line was done already.

use std::sync::{Arc, OnceLock};

/// How deep commands may stand in each other. Deeper than anybody writes by hand; bounds the stack.
const NESTING_MAX: u32 = 24;

/// How often `$((` of one source may turn out to be a subshell in a substitution and be read again: in each other,
/// every one would double the work.
const SECOND_READINGS_MAX: u32 = 8;

/// A command.
#[derive(Debug)]
pub(crate) enum Node {
    Simple(Simple),
    /// One after the other.
    List(Vec<Node>),
    /// The first, then each if the one before succeeded (`true`) or failed (`false`).
    Chain(Box<Node>, Vec<(bool, Node)>),
    Pipeline(Vec<Node>),
    Not(Box<Node>),
    Background(Box<Node>),
    Subshell(Box<Node>),
    Group(Box<Node>),
    Redirected(Box<Node>, Vec<Redirect>),
    If(Vec<(Node, Node)>, Option<Box<Node>>),
    /// `until` has `true`.
    While(bool, Box<Node>, Box<Node>),
    /// Without words: the positional parameters.
    For(Vec<u8>, Option<Vec<Word>>, Box<Node>),
    Case(Word, Vec<(Vec<Word>, Node)>),
    Function(Vec<u8>, Function),
}

/// What a function does.
#[derive(Debug, Clone)]
pub(crate) struct Function {
    pub(crate) body: Arc<Node>,
    /// How long its source is, in bytes: what is kept of it is some ten times as large.
    pub(crate) source_bytes: usize,
}

/// A program or builtin with its arguments.
#[derive(Debug, Default)]
pub(crate) struct Simple {
    pub(crate) assignments: Vec<(Vec<u8>, Word)>,
    pub(crate) words: Vec<Word>,
    pub(crate) redirects: Vec<Redirect>,
    /// Counted from the start of the source.
    pub(crate) line: u32,
}

#[derive(Debug)]
pub(crate) struct Redirect {
    pub(crate) fd: u8,
    pub(crate) kind: RedirectKind,
}

#[derive(Debug)]
pub(crate) enum RedirectKind {
    Read(Word),
    Write(Word),
    Append(Word),
    ReadWrite(Word),
    /// `>&` and `<&`.
    Duplicate(Word),
    /// The text is known once the lines after the command were read.
    Here(Arc<OnceLock<Word>>),
}

#[derive(Debug, Default, Clone)]
pub(crate) struct Word(pub(crate) Vec<Part>);

#[derive(Debug, Clone)]
pub(crate) enum Part {
    /// As it is; `quoted` text is no pattern.
    Text {
        text: Vec<u8>,
        quoted: bool,
    },
    Parameter {
        parameter: Parameter,
        quoted: bool,
    },
    Command {
        source: Arc<[u8]>,
        line: u32,
        quoted: bool,
    },
    Arithmetic {
        word: Word,
        quoted: bool,
    },
}

#[derive(Debug, Clone)]
pub(crate) struct Parameter {
    pub(crate) name: Vec<u8>,
    pub(crate) change: Change,
}

/// What is done to the value of a parameter.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    None,
    Length,
    /// `-`, `+`, `=` or `?`; the flag says whether an empty value is as none.
    Absent {
        operator: u8,
        or_empty: bool,
        word: Word,
    },
    /// `#` or `%`; the flag says whether as much as possible is cut.
    Cut {
        operator: u8,
        most: bool,
        pattern: Word,
    },
    Replace {
        all: bool,
        pattern: Word,
        with: Word,
    },
    Slice {
        from: Word,
        length: Option<Word>,
    },
    /// Not a parameter: told when it is expanded.
    Bad,
}

/// Why there is no command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The source ends inside a command; the text is what ash says if nothing more comes.
    Unfinished(String),
    /// What ash says after `syntax error: `.
    Wrong(String),
}

/// Reads a source.
pub(crate) struct Reader<'a> {
    source: &'a [u8],
    at: usize,
    line: u32,
    depth: u32,
    /// Whether more lines may come, so that a text that is not there yet is waited for.
    more_may_come: bool,
    /// Texts that are to be read at the next end of line.
    waiting: Vec<Waiting>,
    /// How often `$((` may still turn out to be no arithmetic.
    second_readings: u32,
}

struct Waiting {
    text: Arc<OnceLock<Word>>,
    end: Vec<u8>,
    strip: bool,
    quoted: bool,
}

type Outcome<T> = Result<T, Trouble>;

const KEYWORDS: [&[u8]; 17] = [
    b"!",
    b"{",
    b"}",
    b"case",
    b"do",
    b"done",
    b"elif",
    b"else",
    b"esac",
    b"fi",
    b"for",
    b"function",
    b"if",
    b"in",
    b"then",
    b"until",
    b"while",
];
/// Those that cannot begin a command.
const CLOSERS: [&[u8]; 8] = [b"}", b"do", b"done", b"elif", b"else", b"esac", b"fi", b"then"];

/// Whether a word is one of the grammar's own.
pub(crate) fn is_keyword(word: &[u8]) -> bool {
    KEYWORDS.contains(&word)
}

pub(crate) fn is_name(text: &[u8]) -> bool {
    text.first().is_some_and(|&byte| byte.is_ascii_alphabetic() || byte == b'_')
        && text.iter().all(|&byte| is_name_byte(byte))
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn ends_word(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b';' | b'&' | b'|' | b'<' | b'>' | b'(' | b')') && byte != b'\r'
}

impl<'a> Reader<'a> {
    pub(crate) fn new(source: &'a [u8], first_line: u32, more_may_come: bool) -> Self {
        Self {
            source,
            at: 0,
            line: first_line,
            depth: 0,
            more_may_come,
            waiting: Vec::new(),
            second_readings: SECOND_READINGS_MAX,
        }
    }

    /// The line that is read next.
    pub(crate) fn line(&self) -> u32 {
        self.line
    }

    /// The next complete line; `None` at the end.
    pub(crate) fn next(&mut self) -> Option<Outcome<Node>> {
        loop {
            self.skip_blanks();
            match self.peek() {
                None => return None,
                Some(b'\n') => self.end_line_quietly(),
                Some(_) => break,
            }
        }
        let read = self.list(&[], false).and_then(|node| match self.peek() {
            None => self.texts_at_end().map(|()| node),
            Some(b'\n') => self.end_line().map(|()| node),
            Some(_) => Err(self.unexpected(None)),
        });
        Some(read)
    }

    fn peek(&self) -> Option<u8> {
        self.source.get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn skip(&mut self, text: &[u8]) -> bool {
        let is_there = self.rest().starts_with(text);
        if is_there {
            self.at += text.len();
        }
        is_there
    }

    fn skip_blanks(&mut self) {
        loop {
            match self.peek() {
                Some(b' ' | b'\t') => self.at += 1,
                Some(b'\\') if self.rest().starts_with(b"\\\n") => {
                    self.at += 2;
                    self.line += 1;
                }
                Some(b'#') => {
                    while self.peek().is_some_and(|byte| byte != b'\n') {
                        self.at += 1;
                    }
                }
                _ => return,
            }
        }
    }

    fn end_line_quietly(&mut self) {
        self.at += 1;
        self.line += 1;
    }

    /// Over the end of a line, and over the texts that stand below it.
    fn end_line(&mut self) -> Outcome<()> {
        self.end_line_quietly();
        self.texts()
    }

    fn skip_lines(&mut self) -> Outcome<()> {
        loop {
            self.skip_blanks();
            if self.peek() != Some(b'\n') {
                return Ok(());
            }
            self.end_line()?;
        }
    }

    fn texts_at_end(&mut self) -> Outcome<()> {
        if self.waiting.is_empty() { Ok(()) } else { self.texts() }
    }

    fn texts(&mut self) -> Outcome<()> {
        for waiting in std::mem::take(&mut self.waiting) {
            let mut text = Vec::new();
            loop {
                let rest = self.rest();
                if rest.is_empty() {
                    if self.more_may_come {
                        return Err(Trouble::Unfinished("unexpected end of file".to_owned()));
                    }
                    break;
                }
                let end = rest.iter().position(|&byte| byte == b'\n');
                let mut line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
                self.at += line.len() + usize::from(end.is_some());
                self.line += 1;
                while waiting.strip && line.first() == Some(&b'\t') {
                    line = line.get(1..).unwrap_or_default();
                }
                if line == waiting.end {
                    break;
                }
                text.extend_from_slice(line);
                if end.is_some() {
                    text.push(b'\n');
                }
            }
            let word = if waiting.quoted {
                Word(vec![Part::Text { text, quoted: true }])
            } else {
                let mut inner = Reader { depth: self.depth, ..Reader::new(&text, self.line, false) };
                let mut word = Word::default();
                inner.double_quoted(&mut word, None)?;
                word
            };
            // Each place is waited for once.
            let _ = waiting.text.set(word);
        }
        Ok(())
    }

    /// What stands where something else had to.
    fn unexpected(&self, expected: Option<&str>) -> Trouble {
        let expecting = expected.map(|word| format!(" (expecting {word})")).unwrap_or_default();
        let rest = self.rest();
        let operators: [&[u8]; 10] = [b";;", b"&&", b"||", b";", b"&", b"|", b"(", b")", b"<", b">"];
        if rest.is_empty() {
            return Trouble::Unfinished(format!("unexpected end of file{expecting}"));
        }
        let what = if rest.starts_with(b"\n") {
            "newline".to_owned()
        } else if let Some(keyword) = self.keyword() {
            format!("\"{}\"", String::from_utf8_lossy(keyword))
        } else if rest.starts_with(b"<") || rest.starts_with(b">") {
            "redirection".to_owned()
        } else if let Some(operator) = operators.iter().find(|operator| rest.starts_with(operator)) {
            format!("\"{}\"", String::from_utf8_lossy(operator))
        } else {
            "word".to_owned()
        };
        Trouble::Wrong(format!("unexpected {what}{expecting}"))
    }

    /// The keyword that stands here.
    fn keyword(&self) -> Option<&'static [u8]> {
        let rest = self.rest();
        let end = rest.iter().position(|&byte| ends_word(byte)).unwrap_or(rest.len());
        let word = rest.get(..end)?;
        KEYWORDS.into_iter().find(|keyword| *keyword == word)
    }

    fn skip_keyword(&mut self, keyword: &str) -> bool {
        let is_there = self.keyword() == Some(keyword.as_bytes());
        if is_there {
            self.at += keyword.len();
        }
        is_there
    }

    fn expect_keyword(&mut self, keyword: &str) -> Outcome<()> {
        self.skip_lines()?;
        if self.skip_keyword(keyword) { Ok(()) } else { Err(self.unexpected(Some(&format!("\"{keyword}\"")))) }
    }

    /// Commands up to one of the keywords or a closing mark, over many lines; or those of one line.
    fn list(&mut self, ends: &[&[u8]], many_lines: bool) -> Outcome<Node> {
        self.depth += 1;
        if self.depth > NESTING_MAX {
            return Err(Trouble::Wrong("unexpected end of file".to_owned()));
        }
        let mut nodes = Vec::new();
        loop {
            if many_lines {
                self.skip_lines()?;
            }
            self.skip_blanks();
            let is_at_end = match self.peek() {
                None | Some(b'\n' | b')') => true,
                Some(b';') if many_lines && self.rest().starts_with(b";;") => true,
                Some(_) => self.keyword().is_some_and(|keyword| ends.contains(&keyword)),
            };
            if is_at_end && (!nodes.is_empty() || many_lines) {
                break;
            }
            let node = self.chain()?;
            self.skip_blanks();
            match self.peek() {
                Some(b'&') => {
                    self.at += 1;
                    nodes.push(Node::Background(Box::new(node)));
                }
                Some(b';') if !self.rest().starts_with(b";;") => {
                    self.at += 1;
                    nodes.push(node);
                }
                Some(b'\n') if many_lines => nodes.push(node),
                _ => {
                    nodes.push(node);
                    break;
                }
            }
        }
        self.depth -= 1;
        match nodes.len() {
            1 => Ok(nodes.pop().expect("there is one")),
            _ => Ok(Node::List(nodes)),
        }
    }

    /// A list that must not be empty, and the keyword after it.
    fn body(&mut self, ends: &[&[u8]]) -> Outcome<Node> {
        let node = self.list(ends, true)?;
        if let Node::List(nodes) = &node
            && nodes.is_empty()
        {
            let expected = ends.first().filter(|_| self.rest().is_empty() || ends.len() == 1);
            let expected = expected.map(|end| format!("\"{}\"", String::from_utf8_lossy(end)));
            return Err(self.unexpected(expected.as_deref().filter(|_| self.rest().is_empty())));
        }
        Ok(node)
    }

    fn chain(&mut self) -> Outcome<Node> {
        let first = self.pipeline()?;
        let mut rest = Vec::new();
        loop {
            self.skip_blanks();
            let on_success = if self.skip(b"&&") {
                true
            } else if self.skip(b"||") {
                false
            } else {
                break;
            };
            self.skip_lines()?;
            rest.push((on_success, self.pipeline()?));
        }
        Ok(if rest.is_empty() { first } else { Node::Chain(Box::new(first), rest) })
    }

    fn pipeline(&mut self) -> Outcome<Node> {
        self.skip_blanks();
        let is_negated = self.skip_keyword("!");
        let mut parts = vec![self.command()?];
        loop {
            self.skip_blanks();
            if self.rest().starts_with(b"||") || !self.skip(b"|") {
                break;
            }
            self.skip_lines()?;
            parts.push(self.command()?);
        }
        let node = if parts.len() == 1 { parts.pop().expect("there is one") } else { Node::Pipeline(parts) };
        Ok(if is_negated { Node::Not(Box::new(node)) } else { node })
    }

    fn command(&mut self) -> Outcome<Node> {
        self.skip_blanks();
        let node = match self.keyword() {
            Some(b"{") => {
                self.at += 1;
                let body = self.body(&[b"}"])?;
                self.expect_keyword("}")?;
                Node::Group(Box::new(body))
            }
            Some(b"if") => self.if_command()?,
            Some(b"while") => self.while_command("while")?,
            Some(b"until") => self.while_command("until")?,
            Some(b"for") => self.for_command()?,
            Some(b"case") => self.case_command()?,
            // As in ksh and bash; ash takes it since 1.28.
            Some(b"function") => {
                self.at += 8;
                self.skip_blanks();
                let start = self.at;
                while self.peek().is_some_and(|byte| !ends_word(byte)) {
                    self.at += 1;
                }
                let name = self.source.get(start..self.at).unwrap_or_default().to_vec();
                self.skip_blanks();
                if self.skip(b"(") {
                    self.skip_blanks();
                    self.skip(b")");
                }
                return self.function(name);
            }
            Some(keyword) if CLOSERS.contains(&keyword) => return Err(self.unexpected(None)),
            _ if self.peek() == Some(b'(') => {
                self.at += 1;
                let body = self.body(&[])?;
                self.skip_lines()?;
                if !self.skip(b")") {
                    return Err(self.unexpected(Some("\")\"")));
                }
                Node::Subshell(Box::new(body))
            }
            _ => return self.simple(),
        };
        let mut redirects = Vec::new();
        loop {
            self.skip_blanks();
            match self.redirect()? {
                Some(redirect) => redirects.push(redirect),
                None => break,
            }
        }
        Ok(if redirects.is_empty() { node } else { Node::Redirected(Box::new(node), redirects) })
    }

    fn if_command(&mut self) -> Outcome<Node> {
        self.at += 2;
        let mut arms = Vec::new();
        loop {
            let test = self.body(&[b"then"])?;
            self.expect_keyword("then")?;
            let body = self.body(&[b"fi", b"else", b"elif"])?;
            arms.push((test, body));
            self.skip_lines()?;
            if self.skip_keyword("elif") {
                continue;
            }
            let otherwise = if self.skip_keyword("else") { Some(Box::new(self.body(&[b"fi"])?)) } else { None };
            self.expect_keyword("fi")?;
            return Ok(Node::If(arms, otherwise));
        }
    }

    fn while_command(&mut self, keyword: &str) -> Outcome<Node> {
        self.at += keyword.len();
        let test = self.body(&[b"do"])?;
        self.expect_keyword("do")?;
        let body = self.body(&[b"done"])?;
        self.expect_keyword("done")?;
        Ok(Node::While(keyword == "until", Box::new(test), Box::new(body)))
    }

    fn for_command(&mut self) -> Outcome<Node> {
        self.at += 3;
        self.skip_blanks();
        let start = self.at;
        while self.peek().is_some_and(is_name_byte) {
            self.at += 1;
        }
        let name = self.source.get(start..self.at).unwrap_or_default().to_vec();
        if !is_name(&name) {
            return Err(Trouble::Wrong("bad for loop variable".to_owned()));
        }
        self.skip_lines()?;
        let words = if self.skip_keyword("in") {
            let mut words = Vec::new();
            loop {
                self.skip_blanks();
                match self.peek() {
                    Some(b'\n' | b';') => break,
                    Some(byte) if ends_word(byte) => return Err(self.unexpected(None)),
                    None => return Err(self.unexpected(None)),
                    Some(_) => words.push(self.word()?),
                }
            }
            Some(words)
        } else {
            None
        };
        self.skip_blanks();
        if !self.rest().starts_with(b";;") {
            self.skip(b";");
        }
        self.expect_keyword("do")?;
        let body = self.body(&[b"done"])?;
        self.expect_keyword("done")?;
        Ok(Node::For(name, words, Box::new(body)))
    }

    fn case_command(&mut self) -> Outcome<Node> {
        self.at += 4;
        self.skip_blanks();
        if self.peek().is_none_or(ends_word) {
            return Err(self.unexpected(Some("word")));
        }
        let word = self.word()?;
        self.expect_keyword("in")?;
        let mut arms = Vec::new();
        loop {
            self.skip_lines()?;
            if self.skip_keyword("esac") {
                return Ok(Node::Case(word, arms));
            }
            self.skip(b"(");
            let mut patterns = Vec::new();
            loop {
                self.skip_blanks();
                if self.peek().is_none_or(ends_word) {
                    let expected = if self.peek().is_none() { Some("\")\"") } else { None };
                    return Err(self.unexpected(expected));
                }
                patterns.push(self.word()?);
                self.skip_blanks();
                if !self.skip(b"|") {
                    break;
                }
            }
            if !self.skip(b")") {
                return Err(self.unexpected(Some("\")\"")));
            }
            let body = self.list(&[b"esac"], true)?;
            arms.push((patterns, body));
            self.skip_lines()?;
            if !self.skip(b";;") && self.keyword() != Some(b"esac") {
                return Err(self.unexpected(Some("\";;\"")));
            }
        }
    }

    fn simple(&mut self) -> Outcome<Node> {
        let mut simple = Simple { line: self.line, ..Simple::default() };
        loop {
            self.skip_blanks();
            if let Some(redirect) = self.redirect()? {
                simple.redirects.push(redirect);
                continue;
            }
            let Some(byte) = self.peek() else { break };
            if byte == b'(' {
                if simple.words.len() == 1
                    && simple.assignments.is_empty()
                    && let Some(Word(parts)) = simple.words.first()
                    && let [Part::Text { text, quoted: false }] = parts.as_slice()
                {
                    let name = text.clone();
                    self.at += 1;
                    self.skip_blanks();
                    if !self.skip(b")") {
                        return Err(self.unexpected(Some("\")\"")));
                    }
                    return self.function(name);
                }
                return Err(self.unexpected(None));
            }
            if ends_word(byte) {
                break;
            }
            if simple.words.is_empty()
                && let Some(equals) = self.assignment()
            {
                let name = self.source.get(self.at..equals).unwrap_or_default().to_vec();
                self.at = equals + 1;
                let value = if self.peek().is_none_or(ends_word) { Word::default() } else { self.word()? };
                simple.assignments.push((name, value));
                continue;
            }
            simple.words.push(self.word()?);
        }
        if simple.words.is_empty() && simple.assignments.is_empty() && simple.redirects.is_empty() {
            return Err(self.unexpected(None));
        }
        Ok(Node::Simple(simple))
    }

    /// The body of a function, after its name.
    fn function(&mut self, name: Vec<u8>) -> Outcome<Node> {
        if !is_name(&name) {
            return Err(Trouble::Wrong("bad function name".to_owned()));
        }
        let start = self.at;
        self.skip_lines()?;
        self.depth += 1;
        if self.depth > NESTING_MAX {
            return Err(Trouble::Wrong("unexpected end of file".to_owned()));
        }
        let body = self.command()?;
        self.depth -= 1;
        let source_bytes = self.at.saturating_sub(start);
        Ok(Node::Function(name, Function { body: Arc::new(body), source_bytes }))
    }

    /// Where the `=` of an assignment is that begins here.
    fn assignment(&self) -> Option<usize> {
        let rest = self.rest();
        let equals = rest.iter().position(|&byte| !is_name_byte(byte)).filter(|&at| rest.get(at) == Some(&b'='))?;
        is_name(rest.get(..equals)?).then_some(self.at + equals)
    }

    fn redirect(&mut self) -> Outcome<Option<Redirect>> {
        let rest = self.rest();
        let (number, operator_at) = match rest {
            [digit @ b'0'..=b'9', b'<' | b'>', ..] => (Some(digit - b'0'), 1),
            [b'<' | b'>', ..] => (None, 0),
            _ => return Ok(None),
        };
        self.at += operator_at;
        let operators: [&[u8]; 9] = [b"<<-", b"<<", b"<&", b"<>", b"<", b">>", b">&", b">|", b">"];
        let operator =
            operators.into_iter().find(|operator| self.skip(operator)).expect("the match above saw one of them");
        let fd = number.unwrap_or(u8::from(operator.starts_with(b">")));
        self.skip_blanks();
        if self.peek().is_none_or(ends_word) {
            return Err(self.unexpected(None));
        }
        let start = self.at;
        let word = self.word()?;
        let kind = match operator {
            b"<" => RedirectKind::Read(word),
            b"<>" => RedirectKind::ReadWrite(word),
            b">>" => RedirectKind::Append(word),
            b"<&" | b">&" => RedirectKind::Duplicate(word),
            b"<<" | b"<<-" => {
                let raw = self.source.get(start..self.at).unwrap_or_default();
                let text = Arc::new(OnceLock::new());
                self.waiting.push(Waiting {
                    text: text.clone(),
                    end: raw.iter().copied().filter(|byte| !matches!(byte, b'\'' | b'"' | b'\\')).collect(),
                    strip: operator == b"<<-",
                    quoted: raw.iter().any(|byte| matches!(byte, b'\'' | b'"' | b'\\')),
                });
                RedirectKind::Here(text)
            }
            _ => RedirectKind::Write(word),
        };
        Ok(Some(Redirect { fd, kind }))
    }

    fn word(&mut self) -> Outcome<Word> {
        let mut word = Word::default();
        while let Some(byte) = self.peek() {
            if ends_word(byte) {
                break;
            }
            self.word_piece(&mut word)?;
        }
        Ok(word)
    }

    /// One piece of a word outside double quotes.
    fn word_piece(&mut self, word: &mut Word) -> Outcome<()> {
        let Some(byte) = self.peek() else { return Ok(()) };
        match byte {
            b'\\' => {
                self.at += 1;
                match self.peek() {
                    None => push_text(word, b'\\', true),
                    Some(b'\n') => self.end_line_quietly(),
                    Some(byte) => {
                        push_text(word, byte, true);
                        self.at += 1;
                    }
                }
            }
            b'\'' => {
                self.at += 1;
                let rest = self.rest();
                let Some(end) = rest.iter().position(|&byte| byte == b'\'') else {
                    return Err(Trouble::Unfinished("unterminated quoted string".to_owned()));
                };
                let text = rest.get(..end).unwrap_or_default();
                self.line += text.iter().filter(|&&byte| byte == b'\n').count() as u32;
                self.at += end + 1;
                word.0.push(Part::Text { text: text.to_vec(), quoted: true });
            }
            b'"' => {
                self.at += 1;
                word.0.push(Part::Text { text: Vec::new(), quoted: true });
                self.double_quoted(word, Some(b'"'))?;
            }
            // ash has $'…' as bash has (BusyBox 1.35, shell/ash.c: "bash compatible").
            b'$' if self.rest().starts_with(b"$'") => self.dollar_quoted(word)?,
            b'$' | b'`' => self.expansion(word, false)?,
            _ => {
                push_text(word, byte, false);
                self.at += 1;
            }
        }
        Ok(())
    }

    /// Text in which only `$`, backquotes and backslashes mean something, up to the mark or to the end.
    fn double_quoted(&mut self, word: &mut Word, end: Option<u8>) -> Outcome<()> {
        loop {
            let Some(byte) = self.peek() else {
                if end.is_none() {
                    return Ok(());
                }
                return Err(Trouble::Unfinished("unterminated quoted string".to_owned()));
            };
            if Some(byte) == end {
                self.at += 1;
                return Ok(());
            }
            match byte {
                b'\\' => {
                    self.at += 1;
                    match self.peek() {
                        Some(b'\n') => self.end_line_quietly(),
                        Some(next) if matches!(next, b'$' | b'`' | b'\\') || Some(next) == end => {
                            push_text(word, next, true);
                            self.at += 1;
                        }
                        _ => push_text(word, b'\\', true),
                    }
                }
                b'$' | b'`' => self.expansion(word, true)?,
                _ => {
                    self.line += u32::from(byte == b'\n');
                    push_text(word, byte, true);
                    self.at += 1;
                }
            }
        }
    }

    fn dollar_quoted(&mut self, word: &mut Word) -> Outcome<()> {
        self.at += 2;
        let start = self.at;
        loop {
            match self.peek() {
                None => return Err(Trouble::Unfinished("unterminated quoted string".to_owned())),
                Some(b'\'') => break,
                Some(b'\\') => self.at += 2,
                Some(byte) => {
                    self.line += u32::from(byte == b'\n');
                    self.at += 1;
                }
            }
        }
        let raw = self.source.get(start..self.at).unwrap_or_default();
        self.at += 1;
        let text = super::escapes::dollar_quoted(raw);
        word.0.push(Part::Text { text, quoted: true });
        Ok(())
    }

    /// What begins with `$` or a backquote.
    fn expansion(&mut self, word: &mut Word, quoted: bool) -> Outcome<()> {
        self.depth += 1;
        if self.depth > NESTING_MAX {
            return Err(Trouble::Wrong("unexpected end of file".to_owned()));
        }
        let part = self.expansion_part(quoted)?;
        self.depth -= 1;
        match part {
            Some(part) => word.0.push(part),
            None => push_text(word, b'$', quoted),
        }
        Ok(())
    }

    fn expansion_part(&mut self, quoted: bool) -> Outcome<Option<Part>> {
        let line = self.line;
        if self.skip(b"`") {
            let mut source = Vec::new();
            loop {
                match self.peek() {
                    None => return Err(Trouble::Unfinished("EOF in backquote substitution".to_owned())),
                    Some(b'`') => break,
                    Some(b'\\') => {
                        self.at += 1;
                        match self.peek() {
                            Some(next) if matches!(next, b'$' | b'`' | b'\\') || quoted && next == b'"' => {
                                source.push(next);
                                self.at += 1;
                            }
                            _ => source.push(b'\\'),
                        }
                    }
                    Some(byte) => {
                        self.line += u32::from(byte == b'\n');
                        source.push(byte);
                        self.at += 1;
                    }
                }
            }
            self.at += 1;
            return Ok(Some(Part::Command { source: source.into(), line, quoted }));
        }
        self.at += 1;
        let rest = self.rest();
        if rest.starts_with(b"((") && self.second_readings > 0 {
            let (start, depth, old_line) = (self.at, self.depth, self.line);
            self.at += 2;
            let mut word = Word::default();
            if self.arithmetic(&mut word)? {
                return Ok(Some(Part::Arithmetic { word, quoted }));
            }
            (self.at, self.depth, self.line) = (start, depth, old_line);
            self.second_readings -= 1;
        }
        if self.skip(b"(") {
            let start = self.at;
            let waiting = std::mem::take(&mut self.waiting);
            self.list(&[], true)?;
            self.skip_lines()?;
            if self.peek() != Some(b')') {
                return Err(self.unexpected(Some("\")\"")));
            }
            let source = self.source.get(start..self.at).unwrap_or_default();
            self.waiting = waiting;
            self.at += 1;
            return Ok(Some(Part::Command { source: source.into(), line, quoted }));
        }
        if self.skip(b"{") {
            let parameter = self.braced(quoted)?;
            return Ok(Some(Part::Parameter { parameter, quoted }));
        }
        let name_end = match rest.first() {
            Some(byte) if byte.is_ascii_alphabetic() || *byte == b'_' => {
                rest.iter().position(|&byte| !is_name_byte(byte)).unwrap_or(rest.len())
            }
            Some(b'0'..=b'9' | b'?' | b'$' | b'#' | b'@' | b'*' | b'!' | b'-') => 1,
            _ => return Ok(None),
        };
        let name = rest.get(..name_end).unwrap_or_default().to_vec();
        self.at += name_end;
        Ok(Some(Part::Parameter { parameter: Parameter { name, change: Change::None }, quoted }))
    }

    /// The inside of `$((…))`; `false` if it is none, but a subshell in a command.
    fn arithmetic(&mut self, word: &mut Word) -> Outcome<bool> {
        let mut open = 0;
        loop {
            match self.peek() {
                None => return Err(Trouble::Unfinished("unterminated quoted string".to_owned())),
                Some(b')') if open == 0 => {
                    if self.skip(b"))") {
                        return Ok(true);
                    }
                    return Ok(false);
                }
                Some(byte @ (b'(' | b')')) => {
                    open += if byte == b'(' { 1 } else { -1 };
                    push_text(word, byte, true);
                    self.at += 1;
                }
                Some(b'$' | b'`') => self.expansion(word, true)?,
                Some(b'"') => self.at += 1,
                Some(b'\\') => {
                    self.at += 1;
                    if self.peek() == Some(b'\n') {
                        self.end_line_quietly();
                    } else {
                        push_text(word, b'\\', true);
                    }
                }
                Some(byte) => {
                    self.line += u32::from(byte == b'\n');
                    push_text(word, byte, true);
                    self.at += 1;
                }
            }
        }
    }

    fn braced(&mut self, quoted: bool) -> Outcome<Parameter> {
        let rest = self.rest();
        let is_length = rest.starts_with(b"#") && rest.get(1).is_some_and(|&byte| byte != b'}');
        if is_length {
            self.at += 1;
        }
        let rest = self.rest();
        let name_end = match rest.first() {
            Some(byte) if is_name_byte(*byte) => {
                rest.iter().position(|&byte| !is_name_byte(byte)).unwrap_or(rest.len())
            }
            Some(b'?' | b'$' | b'#' | b'@' | b'*' | b'!' | b'-') => 1,
            _ => 0,
        };
        let name = rest.get(..name_end).unwrap_or_default().to_vec();
        self.at += name_end;
        if name.is_empty() || is_length && self.peek() != Some(b'}') {
            self.braced_word(quoted, b"}")?;
            self.close_brace()?;
            return Ok(Parameter { name, change: Change::Bad });
        }
        if is_length {
            self.close_brace()?;
            return Ok(Parameter { name, change: Change::Length });
        }
        let or_empty = self.skip(b":");
        let change = match self.peek() {
            None => return Err(Trouble::Unfinished("missing '}'".to_owned())),
            Some(b'}') if !or_empty => Change::None,
            Some(operator @ (b'-' | b'+' | b'=' | b'?')) => {
                self.at += 1;
                Change::Absent { operator, or_empty, word: self.braced_word(quoted, b"}")? }
            }
            Some(operator @ (b'#' | b'%')) if !or_empty => {
                self.at += 1;
                let most = self.skip(&[operator]);
                Change::Cut { operator, most, pattern: self.braced_word(false, b"}")? }
            }
            Some(b'/') if !or_empty => {
                self.at += 1;
                let all = self.skip(b"/");
                let pattern = self.braced_word(false, b"/}")?;
                let with = if self.skip(b"/") { self.braced_word(quoted, b"}")? } else { Word::default() };
                Change::Replace { all, pattern, with }
            }
            Some(_) if or_empty => {
                let from = self.braced_word(true, b":}")?;
                let length = if self.skip(b":") { Some(self.braced_word(true, b"}")?) } else { None };
                Change::Slice { from, length }
            }
            Some(_) => {
                self.braced_word(quoted, b"}")?;
                Change::Bad
            }
        };
        self.close_brace()?;
        Ok(Parameter { name, change })
    }

    fn close_brace(&mut self) -> Outcome<()> {
        if self.skip(b"}") { Ok(()) } else { Err(Trouble::Unfinished("missing '}'".to_owned())) }
    }

    /// A word inside `${…}`, which may hold blanks.
    fn braced_word(&mut self, quoted: bool, ends: &[u8]) -> Outcome<Word> {
        let mut word = Word::default();
        while let Some(byte) = self.peek() {
            if ends.contains(&byte) {
                break;
            }
            match byte {
                b'\'' if quoted => {
                    push_text(&mut word, byte, true);
                    self.at += 1;
                }
                b'$' | b'`' => self.expansion(&mut word, quoted)?,
                b'"' | b'\'' | b'\\' => self.word_piece(&mut word)?,
                _ => {
                    self.line += u32::from(byte == b'\n');
                    push_text(&mut word, byte, quoted);
                    self.at += 1;
                }
            }
        }
        Ok(word)
    }
}

fn push_text(word: &mut Word, byte: u8, is_quoted: bool) {
    if let Some(Part::Text { text, quoted }) = word.0.last_mut()
        && *quoted == is_quoted
    {
        text.push(byte);
    } else {
        word.0.push(Part::Text { text: vec![byte], quoted: is_quoted });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(source: &str) -> Vec<Result<String, Trouble>> {
        let mut reader = Reader::new(source.as_bytes(), 1, true);
        let mut read = Vec::new();
        while let Some(node) = reader.next() {
            let is_error = node.is_err();
            read.push(node.map(|node| format!("{node:?}")));
            if is_error {
                break;
            }
        }
        read
    }

    #[test]
    fn an_unfinished_command_is_told_from_a_wrong_one() {
        let unfinished = |source: &str| {
            assert!(matches!(read(source).pop(), Some(Err(Trouble::Unfinished(_)))), "{source}: {:?}", read(source));
        };
        let wrong =
            |source: &str, text: &str| assert_eq!(read(source).pop(), Some(Err(Trouble::Wrong(text.to_owned()))));
        for source in [
            "echo 'a",
            "echo \"a",
            "if true",
            "while a; do",
            "for i in a; do echo",
            "case a in",
            "f() {",
            "a &&\n",
            "(a",
            "cat <<E\na\n",
            "echo $(a",
            "echo `a",
            "echo ${a",
            "echo $((1",
        ] {
            unfinished(source);
        }
        wrong("fi", "unexpected \"fi\"");
        wrong("a; )", "unexpected \")\"");
        wrong("; a", "unexpected \";\"");
        wrong("| a", "unexpected \"|\"");
        wrong("&", "unexpected \"&\"");
        wrong("a (b", "unexpected word (expecting \")\")");
        wrong("echo >\n", "unexpected newline");
    }

    #[test]
    fn lines_are_read_one_by_one() {
        assert_eq!(read("a\nb; c\n\n# d\ne & f").len(), 3);
        assert_eq!(read("cat <<E\nx\nE\nb").len(), 2);
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = "(".repeat(100_000);
        assert!(matches!(read(&deep).pop(), Some(Err(_))));
        let deep = "$(".repeat(100_000);
        assert!(matches!(read(&deep).pop(), Some(Err(_))));
        let deep = "${a-".repeat(100_000);
        assert!(matches!(read(&deep).pop(), Some(Err(_))));
        let deep = "$((".repeat(100_000);
        assert!(matches!(read(&deep).pop(), Some(Err(_))));
        let deep = "f() ".repeat(100_000);
        assert!(matches!(read(&deep).pop(), Some(Err(_))));
    }
}
