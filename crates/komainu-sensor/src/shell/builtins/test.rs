//! `test` and `[`: POSIX.1-2017, XCU `test`, with the binary operators first, as ash decides.

use super::{arguments, own_name, text};
use crate::shell::files::Kind;
use crate::shell::run::{Run, Status, quoted};

pub(crate) fn test(run: &mut Run<'_>, words: &[Vec<u8>]) -> Status {
    let name = own_name(run);
    let mut expression = arguments(words);
    let closing: &[u8] = match words.first().map(Vec::as_slice) {
        Some(b"[") => b"]",
        Some(b"[[") => b"]]",
        _ => b"",
    };
    if !closing.is_empty() {
        match expression.split_last() {
            Some((last, rest)) if last == closing => expression = rest,
            _ => {
                run.err(format!("{name}: missing {}\n", text(closing)));
                return Ok(2);
            }
        }
    }
    let mut test = Test { run, words: expression, depth: 0 };
    let outcome = if test.words.is_empty() { Ok(false) } else { test.either() };
    let left = test.words.first().cloned();
    match (outcome, left) {
        (Ok(is_true), None) => Ok(u8::from(!is_true)),
        (Ok(_), Some(word)) => {
            run.err([name.as_bytes(), b": ", &word, b": unknown operand\n"].concat());
            Ok(2)
        }
        (Err(message), _) => {
            run.err([name.as_bytes(), b": ", &message, b"\n"].concat());
            Ok(2)
        }
    }
}

struct Test<'r, 'a, 'w> {
    run: &'r mut Run<'a>,
    words: &'w [Vec<u8>],
    depth: u32,
}

/// How deep `test` may nest `(` and `!`; bounds the stack.
const TEST_DEPTH_MAX: u32 = 32;

type Truth = Result<bool, Vec<u8>>;

impl Test<'_, '_, '_> {
    fn next(&mut self) -> Option<Vec<u8>> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first.clone())
    }

    fn skip(&mut self, words: &[&[u8]]) -> bool {
        let is_there = self.words.first().is_some_and(|word| words.contains(&word.as_slice()));
        if is_there {
            self.next();
        }
        is_there
    }

    fn either(&mut self) -> Truth {
        let mut is_true = self.both()?;
        while self.skip(&[b"-o", b"||"]) {
            is_true |= self.both()?;
        }
        Ok(is_true)
    }

    fn both(&mut self) -> Truth {
        let mut is_true = self.not()?;
        while self.skip(&[b"-a", b"&&"]) {
            is_true &= self.not()?;
        }
        Ok(is_true)
    }

    fn not(&mut self) -> Truth {
        let mut is_negated = false;
        while self.words.len() > 1 && !is_binary(self.words.get(1)) && self.skip(&[b"!"]) {
            is_negated = !is_negated;
        }
        Ok(self.primary()? != is_negated)
    }

    fn primary(&mut self) -> Truth {
        let Some(first) = self.next() else { return Err(b"argument expected".to_vec()) };
        if is_binary(self.words.first()) && self.words.len() > 1 {
            let operator = self.next().unwrap_or_default();
            let second = self.next().unwrap_or_default();
            return self.compare(&first, &operator, &second);
        }
        if first == b"(" && !self.words.is_empty() {
            self.depth += 1;
            if self.depth > TEST_DEPTH_MAX {
                return Err(b"closing paren expected".to_vec());
            }
            let is_true = self.either()?;
            self.depth -= 1;
            return if self.skip(&[b")"]) { Ok(is_true) } else { Err(b"closing paren expected".to_vec()) };
        }
        if let [b'-', letter] = first.as_slice()
            && b"bcdefghkLnoprsStuwxz".contains(letter)
            && let Some(operand) = self.next()
        {
            return Ok(self.one(*letter, &operand));
        }
        Ok(!first.is_empty())
    }

    fn one(&mut self, letter: u8, operand: &[u8]) -> bool {
        let folder = self.run.folder();
        match letter {
            b'n' => return !operand.is_empty(),
            b'z' => return operand.is_empty(),
            b't' => {
                let number = std::str::from_utf8(operand).ok().and_then(|text| text.parse().ok()).unwrap_or(9);
                return self.run.is_terminal(number);
            }
            b'h' | b'L' => {
                return self
                    .run
                    .files()
                    .stat_link(&folder, operand)
                    .is_ok_and(|stat| matches!(stat.kind, Kind::Link(_)));
            }
            _ => {}
        }
        let Ok(stat) = self.run.files().stat(&folder, operand) else { return false };
        match letter {
            b'd' => stat.kind == Kind::Folder,
            b'f' => stat.kind == Kind::File,
            b's' => stat.size > 0,
            b'c' => matches!(stat.kind, Kind::Device(_)),
            b'x' => stat.mode & 0o111 != 0,
            b'b' | b'p' | b'S' | b'g' | b'u' | b'k' => false,
            // Root may do everything, except write where nobody can.
            b'w' => {
                self.run.machine.mount_of(operand).is_none_or(|mount| mount.is_writable() || !operand.starts_with(b"/"))
            }
            _ => true,
        }
    }

    fn compare(&mut self, left: &[u8], operator: &[u8], right: &[u8]) -> Truth {
        let number = |word: &[u8]| -> Result<i64, Vec<u8>> {
            let parsed = std::str::from_utf8(word.trim_ascii()).ok().and_then(|text| text.parse().ok());
            parsed.ok_or_else(|| quoted("", word, "bad number"))
        };
        let folder = self.run.folder();
        Ok(match operator {
            b"=" | b"==" => left == right,
            b"!=" => left != right,
            b"<" => left < right,
            b">" => left > right,
            b"-eq" => number(left)? == number(right)?,
            b"-ne" => number(left)? != number(right)?,
            b"-lt" => number(left)? < number(right)?,
            b"-le" => number(left)? <= number(right)?,
            b"-gt" => number(left)? > number(right)?,
            b"-ge" => number(left)? >= number(right)?,
            _ => {
                let left = self.run.files().place(&folder, left, true);
                let right = self.run.files().place(&folder, right, true);
                operator == b"-ef" && left.is_ok() && left == right
            }
        })
    }
}

fn is_binary(word: Option<&Vec<u8>>) -> bool {
    word.is_some_and(|word| {
        matches!(
            word.as_slice(),
            b"=" | b"=="
                | b"!="
                | b"<"
                | b">"
                | b"-eq"
                | b"-ne"
                | b"-lt"
                | b"-le"
                | b"-gt"
                | b"-ge"
                | b"-ef"
                | b"-nt"
                | b"-ot"
        )
    })
}
