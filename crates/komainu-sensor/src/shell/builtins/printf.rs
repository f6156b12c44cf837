//! `printf`: POSIX.1-2017, XCU `printf`.

use super::{own_name, text};
use crate::shell::escapes;
use crate::shell::run::{Run, Status, Stop};

pub(crate) fn printf(run: &mut Run<'_>, words: &[Vec<u8>]) -> Status {
    let name = own_name(run);
    let Some(format) = words.get(1) else {
        run.err(format!("{name}: usage: printf FORMAT [ARGUMENT...]\n"));
        return Ok(2);
    };
    let mut printer = Printer { run, name, arguments: words.get(2..).unwrap_or_default(), out: Vec::new(), status: 0 };
    loop {
        let before = printer.arguments.len();
        printer.run.pay(format.len())?;
        let goes_on = printer.once(format)?;
        if !goes_on || printer.arguments.is_empty() || printer.arguments.len() == before {
            break;
        }
    }
    let (out, status) = (std::mem::take(&mut printer.out), printer.status);
    run.out(out);
    Ok(status)
}

struct Printer<'r, 'a, 'w> {
    run: &'r mut Run<'a>,
    name: String,
    arguments: &'w [Vec<u8>],
    out: Vec<u8>,
    status: u8,
}

/// The widest field of `printf`, in bytes: it is a way to ask for much with little.
const WIDTH_MAX: usize = 4_096;

impl Printer<'_, '_, '_> {
    /// Prints the format once; `false` if `\c` or a mistake ended it.
    fn once(&mut self, format: &[u8]) -> Result<bool, Stop> {
        let mut rest = format;
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            match byte {
                b'\\' if rest.first() == Some(&b'c') => return Ok(false),
                b'\\' => {
                    let (value, read) = escapes::one(rest);
                    self.out.push(value);
                    rest = rest.get(read..).unwrap_or_default();
                }
                b'%' if rest.first() == Some(&b'%') => {
                    self.out.push(b'%');
                    rest = rest.get(1..).unwrap_or_default();
                }
                b'%' => match self.field(rest)? {
                    Some(read) => rest = rest.get(read..).unwrap_or_default(),
                    None => return Ok(false),
                },
                _ => self.out.push(byte),
            }
        }
        Ok(true)
    }

    fn next(&mut self) -> Option<Vec<u8>> {
        let (first, rest) = self.arguments.split_first()?;
        self.arguments = rest;
        Some(first.clone())
    }

    fn size(&mut self, spec: &[u8], at: &mut usize) -> Option<usize> {
        if spec.get(*at) == Some(&b'*') {
            *at += 1;
            let argument = self.next().unwrap_or_default();
            return Some(self.number(&argument).unsigned_abs() as usize);
        }
        let digits = spec.get(*at..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = std::str::from_utf8(spec.get(*at..*at + digits)?).ok()?.parse().ok();
        *at += digits;
        number
    }

    /// Prints one field; how long its specification is, or `None` after a mistake.
    fn field(&mut self, spec: &[u8]) -> Result<Option<usize>, Stop> {
        let mut at = spec.iter().take_while(|byte| b"-+ #0".contains(byte)).count();
        let flags = spec.get(..at).unwrap_or_default();
        let width = self.size(spec, &mut at).unwrap_or(0).min(WIDTH_MAX);
        let precision = if spec.get(at) == Some(&b'.') {
            at += 1;
            Some(self.size(spec, &mut at).unwrap_or(0).min(WIDTH_MAX))
        } else {
            None
        };
        while spec.get(at).is_some_and(|byte| matches!(byte, b'l' | b'h' | b'L' | b'z' | b'j' | b't')) {
            at += 1;
        }
        let Some(&conversion) = spec.get(at) else {
            self.wrong_format(spec);
            return Ok(None);
        };
        let argument = if b"bcsdiuxXofeEgG".contains(&conversion) { self.next() } else { None };
        let given = argument.unwrap_or_default();
        let is_numeric = b"diuxXofeEgG".contains(&conversion);
        let (sign, mut digits): (&str, Vec<u8>) = match conversion {
            b's' => ("", given.get(..precision.unwrap_or(given.len()).min(given.len())).unwrap_or_default().to_vec()),
            b'b' => {
                let (text, is_cut) = escapes::text(&given);
                if is_cut {
                    self.out.extend_from_slice(&text);
                    return Ok(None);
                }
                ("", text)
            }
            b'c' => ("", given.get(..1).unwrap_or_default().to_vec()),
            b'd' | b'i' => {
                let value = self.number(&given);
                let sign = match value {
                    ..0 => "-",
                    _ if flags.contains(&b'+') => "+",
                    _ if flags.contains(&b' ') => " ",
                    _ => "",
                };
                (sign, value.unsigned_abs().to_string().into())
            }
            b'u' => ("", (self.number(&given) as u64).to_string().into()),
            b'x' | b'X' | b'o' => {
                let value = self.number(&given) as u64;
                let is_marked = flags.contains(&b'#') && value != 0;
                match conversion {
                    b'x' => (if is_marked { "0x" } else { "" }, format!("{value:x}").into()),
                    b'X' => (if is_marked { "0X" } else { "" }, format!("{value:X}").into()),
                    _ => (if is_marked { "0" } else { "" }, format!("{value:o}").into()),
                }
            }
            b'f' | b'e' | b'E' | b'g' | b'G' => {
                let value: f64 =
                    std::str::from_utf8(&given).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0.0);
                (
                    if value < 0.0 { "-" } else { "" },
                    format!("{:.*}", precision.unwrap_or(6).min(64), value.abs()).into(),
                )
            }
            _ => {
                self.wrong_format(spec.get(..=at).unwrap_or_default());
                return Ok(None);
            }
        };
        if is_numeric && !b"feEgG".contains(&conversion) {
            while digits.len() < precision.unwrap_or(0) {
                digits.insert(0, b'0');
            }
        }
        let length = sign.len() + digits.len();
        let padding = width.saturating_sub(length);
        self.run.pay(length + padding)?;
        let is_left = flags.contains(&b'-');
        let is_zero = flags.contains(&b'0') && !is_left && is_numeric && precision.is_none();
        if !is_left && !is_zero {
            self.out.resize(self.out.len() + padding, b' ');
        }
        self.out.extend_from_slice(sign.as_bytes());
        if is_zero {
            self.out.resize(self.out.len() + padding, b'0');
        }
        self.out.extend_from_slice(&digits);
        if is_left {
            self.out.resize(self.out.len() + padding, b' ');
        }
        Ok(Some(at + 1))
    }

    fn wrong_format(&mut self, spec: &[u8]) {
        let out = std::mem::take(&mut self.out);
        self.run.out(out);
        let message = format!("{}: %{}: invalid format\n", self.name, text(spec));
        self.run.err(message);
        self.status = 1;
    }

    fn number(&mut self, given: &[u8]) -> i64 {
        match given {
            [] => return 0,
            [b'"' | b'\'', character, ..] => return i64::from(*character),
            _ => {}
        }
        let shown = text(given);
        let trimmed = shown.trim_start();
        let (is_negative, digits) = match trimmed.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, trimmed.strip_prefix('+').unwrap_or(trimmed)),
        };
        let value = if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
            u64::from_str_radix(hex, 16)
        } else if digits.len() > 1 && digits.starts_with('0') {
            u64::from_str_radix(digits, 8)
        } else {
            digits.parse()
        };
        match value {
            Ok(value) => {
                if is_negative {
                    (value as i64).wrapping_neg()
                } else {
                    value as i64
                }
            }
            Err(_) => {
                let out = std::mem::take(&mut self.out);
                // What was printed before is shown after the complaint, which is not buffered.
                let message = format!("{}: invalid number '{shown}'\n", self.name);
                self.run.err(message);
                self.out = out;
                self.status = 1;
                0
            }
        }
    }
}
