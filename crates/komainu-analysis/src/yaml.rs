//! Documents of YAML as trees that know their lines.
//!
//! Rules come from operators and from strangers' collections: depth, nodes and bytes are bounded, and anchors with their
//! aliases are refused, since a few lines of them can stand for gigabytes. `saphyr-parser` gives events with places, so
//! that all of this is decided here.

use saphyr_parser::{Event, Parser, ScalarStyle};

/// The longest file that is read, in bytes; the longest rule of SigmaHQ's collection has under 30 KiB.
pub(crate) const FILE_BYTES_MAX: usize = 256 * 1024;
/// The deepest nesting; a Sigma rule needs six.
const DEPTH_MAX: usize = 32;
/// The most nodes in a file: each costs about a hundred bytes.
const NODES_MAX: usize = 50_000;
/// The most documents in a file; a correlation stands with the rules that it counts.
const DOCUMENTS_MAX: usize = 64;

/// A piece of a document.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    /// The line that it begins in, from one.
    pub(crate) line: usize,
    pub(crate) kind: NodeKind,
}

/// What a piece is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum NodeKind {
    /// Nothing: `null`, `~` or left out.
    Null,
    Bool(bool),
    Integer(i64),
    /// A number that is no integer, as it is written.
    Float(String),
    Text(String),
    List(Vec<Node>),
    /// In the order of the file. No key stands twice.
    Map(Vec<(String, Node)>),
}

/// Why a file is no document, or one that is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct YamlError {
    /// From one; 0 if it is about the file.
    pub(crate) line: usize,
    pub(crate) what: String,
}

impl Node {
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        match &self.kind {
            NodeKind::Map(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, node)| node),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A scalar as it was meant to be read by people.
    pub(crate) fn scalar(&self) -> Option<String> {
        match &self.kind {
            NodeKind::Text(text) | NodeKind::Float(text) => Some(text.clone()),
            NodeKind::Integer(number) => Some(number.to_string()),
            NodeKind::Bool(value) => Some(value.to_string()),
            NodeKind::Null | NodeKind::List(_) | NodeKind::Map(_) => None,
        }
    }
}

/// All documents of a file.
pub(crate) fn read(text: &str) -> Result<Vec<Node>, YamlError> {
    if text.len() > FILE_BYTES_MAX {
        return Err(YamlError { line: 0, what: format!("the file has more than {FILE_BYTES_MAX} bytes") });
    }
    let mut reader = Reader { parser: Parser::new_from_str(text), nodes: 0 };
    let mut documents = Vec::new();
    loop {
        let (event, line) = reader.next()?;
        match event {
            Event::StreamEnd => return Ok(documents),
            Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
            event => {
                if documents.len() == DOCUMENTS_MAX {
                    return Err(YamlError { line, what: format!("more than {DOCUMENTS_MAX} documents in a file") });
                }
                documents.push(reader.node(event, line, 0)?);
            }
        }
    }
}

struct Reader<'t> {
    parser: Parser<'t, saphyr_parser::StrInput<'t>>,
    nodes: usize,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<(Event<'t>, usize), YamlError> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, span.start.line())),
            Some(Err(error)) => Err(YamlError { line: error.marker().line(), what: error.info().to_owned() }),
            None => Ok((Event::StreamEnd, 0)),
        }
    }

    /// Bounded by [`DEPTH_MAX`], so that the stack is.
    fn node(&mut self, event: Event<'t>, line: usize, depth: usize) -> Result<Node, YamlError> {
        let refuse = |what: &str| Err(YamlError { line, what: what.to_owned() });
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return refuse("too many values in one file");
        }
        if depth > DEPTH_MAX {
            return refuse("nested too deeply");
        }
        let kind = match event {
            Event::Scalar(_, _, 1.., _) | Event::SequenceStart(1.., _) | Event::MappingStart(1.., _) => {
                return refuse("anchors (`&name`) are not read");
            }
            Event::Alias(_) => return refuse("aliases (`*name`) are not read"),
            Event::Scalar(text, style, _, _) => match style {
                ScalarStyle::Plain => plain(&text),
                ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted | ScalarStyle::Literal | ScalarStyle::Folded => {
                    NodeKind::Text(text.into_owned())
                }
            },
            Event::SequenceStart(..) => {
                let mut list = Vec::new();
                loop {
                    let (event, line) = self.next()?;
                    if event == Event::SequenceEnd {
                        break NodeKind::List(list);
                    }
                    list.push(self.node(event, line, depth + 1)?);
                }
            }
            Event::MappingStart(..) => {
                let mut map: Vec<(String, Node)> = Vec::new();
                let mut names = std::collections::BTreeSet::new();
                loop {
                    let (event, line) = self.next()?;
                    if event == Event::MappingEnd {
                        break NodeKind::Map(map);
                    }
                    let key = self.node(event, line, depth + 1)?;
                    let Some(name) = key.scalar() else {
                        return Err(YamlError { line, what: "a key is not a word".into() });
                    };
                    if !names.insert(name.clone()) {
                        return Err(YamlError { line, what: format!("the key `{name}` stands twice") });
                    }
                    let (event, line) = self.next()?;
                    map.push((name, self.node(event, line, depth + 1)?));
                }
            }
            Event::StreamEnd | Event::DocumentEnd | Event::SequenceEnd | Event::MappingEnd => {
                return refuse("the document ends in the middle");
            }
            Event::Nothing | Event::StreamStart | Event::DocumentStart(_) => return refuse("a document in a document"),
        };
        Ok(Node { line, kind })
    }
}

/// A scalar without quotes, by the core schema of YAML 1.2 (clause 10.3.2).
fn plain(text: &str) -> NodeKind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return NodeKind::Null,
        "true" | "True" | "TRUE" => return NodeKind::Bool(true),
        "false" | "False" | "FALSE" => return NodeKind::Bool(false),
        _ => {}
    }
    if let Some(number) = integer(text) {
        return NodeKind::Integer(number);
    }
    let looks_like_number = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
    if looks_like_number && text.contains(|c: char| c.is_ascii_digit()) && text.parse::<f64>().is_ok() {
        return NodeKind::Float(text.to_owned());
    }
    NodeKind::Text(text.to_owned())
}

fn integer(text: &str) -> Option<i64> {
    if let Some(digits) = text.strip_prefix("0x") {
        return i64::from_str_radix(digits, 16).ok();
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return i64::from_str_radix(digits, 8).ok();
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_are_what_they_look_like() {
        for (text, kind) in [
            ("a: 12", NodeKind::Integer(12)),
            ("a: -1", NodeKind::Integer(-1)),
            ("a: 0x1f", NodeKind::Integer(31)),
            ("a: '12'", NodeKind::Text("12".into())),
            ("a: 1.5", NodeKind::Float("1.5".into())),
            ("a: 1.2.3.4", NodeKind::Text("1.2.3.4".into())),
            ("a: no", NodeKind::Text("no".into())),
            ("a: true", NodeKind::Bool(true)),
            ("a:", NodeKind::Null),
        ] {
            let documents = read(text).unwrap();
            assert_eq!(documents[0].get("a").unwrap().kind, kind, "{text}");
        }
    }

    #[test]
    fn what_is_refused_is_told_with_its_line() {
        let check = |text: &str, line: usize, part: &str| {
            let error = read(text).unwrap_err();
            assert!(error.line == line && error.what.contains(part), "{text:?}: {error:?}");
        };
        check("a: 1\nb: &x 2\n", 2, "anchors");
        check("a: 1\na: 2\n", 2, "twice");
        check("a: [1, [2\n", 2, "");
        check(&"[".repeat(100), 1, "deeply");
        check(&format!("[{}]", "1,".repeat(60_000)), 1, "too many");
        check(&"---\na\n".repeat(100), 130, "documents");
        check(&" ".repeat(FILE_BYTES_MAX + 1), 0, "bytes");
    }

    #[test]
    fn documents_of_one_file_are_apart() {
        let documents = read("a: 1\n---\nb:\n  - x\n  - y\n").unwrap();
        assert_eq!(documents.len(), 2);
        assert_eq!(documents[1].get("b").unwrap().line, 4);
    }
}
