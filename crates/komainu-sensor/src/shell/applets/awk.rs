//! `awk`, the little of it that one-liners need.

use super::text::names;
use super::{Call, lines, number, shown};
use crate::shell::regex::Regex;
use crate::shell::run::{Run, Status};

/// An `awk` of the kind that one-liners need: an expression or a line number in front, `print` with fields behind.
pub(super) fn awk(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "+F:v:f:e:") else { return Ok(1) };
    let Some((program, rest)) = options.rest.split_first() else { return call.usage(run) };
    let separator = options.value(b'F').map(<[u8]>::to_vec);
    let (pattern, action) = match program.iter().position(|&byte| byte == b'{') {
        Some(at) => program.split_at(at),
        None => (program.as_slice(), b"{print}".as_slice()),
    };
    let pattern = pattern.trim_ascii();
    let inner = action.trim_ascii().strip_prefix(b"{").and_then(|inner| inner.strip_suffix(b"}"));
    let Some(inner) = inner else {
        run.err("awk: cmd. line:1: Unexpected end of string\n");
        return Ok(1);
    };
    let inner = inner.trim_ascii();
    let regex = pattern.strip_prefix(b"/").and_then(|pattern| pattern.strip_suffix(b"/"));
    let regex = match regex.map(|source| Regex::new(source, true, false)) {
        Some(Err(message)) => {
            call.complain(run, format!("bad regex '{}': {message}", shown(pattern)));
            return Ok(1);
        }
        Some(Ok(regex)) => Some(regex),
        None => None,
    };
    let wanted_line = pattern
        .strip_prefix(b"NR")
        .and_then(|rest| rest.trim_ascii().strip_prefix(b"=="))
        .map(|rest| number(rest.trim_ascii()));
    let mut count = 0_u64;
    for name in names(rest.to_vec()) {
        let bytes = match call.input(run, &name)? {
            Ok(bytes) => bytes,
            Err(error) => {
                call.fails_on(run, &name, error);
                return Ok(2);
            }
        };
        let mut out = Vec::new();
        for line in lines(&bytes) {
            count += 1;
            run.pay(regex.as_ref().map_or(0, Regex::bill))?;
            run.pay(line.len().saturating_mul(4))?;
            if regex.as_ref().is_some_and(|regex| !regex.is_in(line))
                || wanted_line.is_some_and(|wanted| wanted != Some(count))
            {
                continue;
            }
            let fields: Vec<&[u8]> = match separator.as_deref() {
                Some([single]) if *single != b' ' => line.split(|byte| byte == single).collect(),
                _ => line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty()).collect(),
            };
            for statement in inner.split(|&byte| byte == b';') {
                if let Some(arguments) = statement.trim_ascii().strip_prefix(b"print") {
                    out.extend_from_slice(&awk_print(arguments.trim_ascii(), line, &fields, count));
                    out.push(b'\n');
                }
            }
        }
        run.out(out);
    }
    Ok(0)
}

fn awk_print(arguments: &[u8], line: &[u8], fields: &[&[u8]], count: u64) -> Vec<u8> {
    if arguments.is_empty() {
        return line.to_vec();
    }
    let mut out = Vec::new();
    let mut rest = arguments;
    while let Some((&byte, after)) = rest.split_first() {
        match byte {
            b'"' => {
                let end = after.iter().position(|&byte| byte == b'"').unwrap_or(after.len());
                out.extend_from_slice(&crate::shell::escapes::text(after.get(..end).unwrap_or_default()).0);
                rest = after.get(end + 1..).unwrap_or_default();
            }
            b',' => {
                out.push(b' ');
                rest = after;
            }
            b'$' => {
                let digits = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
                if after.starts_with(b"NF") {
                    out.extend_from_slice(fields.last().copied().unwrap_or_default());
                    rest = after.get(2..).unwrap_or_default();
                    continue;
                }
                match number(after.get(..digits).unwrap_or_default()).unwrap_or(0) {
                    0 => out.extend_from_slice(line),
                    field => out.extend_from_slice(fields.get(field as usize - 1).copied().unwrap_or_default()),
                }
                rest = after.get(digits..).unwrap_or_default();
            }
            _ if rest.starts_with(b"NR") => {
                out.extend_from_slice(count.to_string().as_bytes());
                rest = rest.get(2..).unwrap_or_default();
            }
            _ if rest.starts_with(b"NF") => {
                out.extend_from_slice(fields.len().to_string().as_bytes());
                rest = rest.get(2..).unwrap_or_default();
            }
            b'0'..=b'9' => {
                out.push(byte);
                rest = after;
            }
            _ => rest = after,
        }
    }
    out
}
