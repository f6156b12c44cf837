//! `expr`: POSIX.1-2017, XCU `expr`.

use super::{Call, number};
use crate::shell::regex::Regex;
use crate::shell::run::{Run, Status};

pub(super) fn expr(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    if call.arguments.is_empty() {
        call.complain(run, "too few arguments");
        return Ok(2);
    }
    let mut reader = Expression { words: call.arguments, depth: 0 };
    let value = reader.level(0).and_then(|value| if reader.words.is_empty() { Ok(value) } else { Err("syntax error") });
    match value {
        Ok(value) => {
            run.line(&value);
            Ok(u8::from(value.is_empty() || value == b"0"))
        }
        Err(message) => {
            call.complain(run, message);
            Ok(2)
        }
    }
}

struct Expression<'w> {
    words: &'w [Vec<u8>],
    depth: u32,
}

/// How deep `expr` may nest brackets; bounds the stack.
const EXPRESSION_DEPTH_MAX: u32 = 16;

impl Expression<'_> {
    fn level(&mut self, level: usize) -> Result<Vec<u8>, &'static str> {
        let levels: [&[&[u8]]; 6] = [
            &[b"|"],
            &[b"&"],
            &[b"=", b"==", b"!=", b"<", b"<=", b">", b">="],
            &[b"+", b"-"],
            &[b"*", b"/", b"%"],
            &[b":"],
        ];
        let Some(operators) = levels.get(level) else { return self.operand() };
        let mut left = self.level(level + 1)?;
        while let Some((operator, rest)) = self.words.split_first()
            && operators.contains(&operator.as_slice())
        {
            self.words = rest;
            let right = self.level(level + 1)?;
            left = apply(&left, operator, &right)?;
        }
        Ok(left)
    }

    fn next(&mut self) -> Result<Vec<u8>, &'static str> {
        let (first, rest) = self.words.split_first().ok_or("syntax error")?;
        self.words = rest;
        Ok(first.clone())
    }

    fn operand(&mut self) -> Result<Vec<u8>, &'static str> {
        let word = self.next()?;
        match word.as_slice() {
            b"(" => {
                self.depth += 1;
                if self.depth > EXPRESSION_DEPTH_MAX {
                    return Err("syntax error");
                }
                let value = self.level(0)?;
                self.depth -= 1;
                if self.next()? == b")" { Ok(value) } else { Err("syntax error") }
            }
            b"length" => Ok(self.operand_word()?.len().to_string().into()),
            b"substr" => {
                let (text, from, length) = (self.operand_word()?, self.operand_word()?, self.operand_word()?);
                let from = number(&from).unwrap_or(0) as usize;
                let length = number(&length).unwrap_or(0) as usize;
                if from == 0 {
                    return Ok(Vec::new());
                }
                Ok(text.into_iter().skip(from - 1).take(length).collect())
            }
            b"index" => {
                let (text, set) = (self.operand_word()?, self.operand_word()?);
                Ok(text.iter().position(|byte| set.contains(byte)).map_or(0, |at| at + 1).to_string().into())
            }
            _ => Ok(word),
        }
    }

    fn operand_word(&mut self) -> Result<Vec<u8>, &'static str> {
        self.next()
    }
}

fn apply(left: &[u8], operator: &[u8], right: &[u8]) -> Result<Vec<u8>, &'static str> {
    let parse = |word: &[u8]| std::str::from_utf8(word).ok().and_then(|word| word.parse::<i64>().ok());
    let is_empty = |word: &[u8]| word.is_empty() || word == b"0";
    let truth = |is_true: bool| Ok(if is_true { b"1".to_vec() } else { b"0".to_vec() });
    let numbers = parse(left).zip(parse(right));
    let order = numbers.map_or_else(|| left.cmp(right), |(left, right)| left.cmp(&right));
    match operator {
        b"|" => return Ok(if is_empty(left) { right.to_vec() } else { left.to_vec() }),
        b"&" => return Ok(if is_empty(left) || is_empty(right) { b"0".to_vec() } else { left.to_vec() }),
        b"=" | b"==" => return truth(order.is_eq()),
        b"!=" => return truth(order.is_ne()),
        b"<" => return truth(order.is_lt()),
        b"<=" => return truth(order.is_le()),
        b">" => return truth(order.is_gt()),
        b">=" => return truth(order.is_ge()),
        b":" => {
            let pattern = [b"^".as_slice(), right].concat();
            let regex = Regex::new(&pattern, false, false)?;
            let has_group = right.windows(2).any(|pair| pair == b"\\(");
            let found = regex.find(left, 0);
            let group = found.and_then(|found| *found.get(usize::from(has_group))?);
            return Ok(match (group, has_group) {
                (Some((start, end)), true) => left.get(start..end).unwrap_or_default().to_vec(),
                (Some((start, end)), false) => (end - start).to_string().into(),
                (None, true) => Vec::new(),
                (None, false) => b"0".to_vec(),
            });
        }
        _ => {}
    }
    let (left, right) = numbers.ok_or("non-numeric argument")?;
    let value = match operator {
        b"+" => left.wrapping_add(right),
        b"-" => left.wrapping_sub(right),
        b"*" => left.wrapping_mul(right),
        _ if right == 0 => return Err("division by zero"),
        b"/" => left.wrapping_div(right),
        _ => left.wrapping_rem(right),
    };
    Ok(value.to_string().into())
}
