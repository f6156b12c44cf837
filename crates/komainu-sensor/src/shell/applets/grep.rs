//! `grep`, `egrep`, `fgrep`.

use super::{Call, lines, number, shown};
use crate::shell::files::Errno;
use crate::shell::regex::Regex;
use crate::shell::run::{Run, Status};

pub(super) fn grep(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "lnqvscFiHhe:f:LorRm:wxEzA:B:C:") else { return Ok(2) };
    let mut rest = options.rest.clone();
    let mut sources: Vec<Vec<u8>> = options.values(b'e').map(<[u8]>::to_vec).collect();
    if let Some(name) = options.value(b'f') {
        if let Ok(bytes) = call.input(run, name)? {
            sources.extend(lines(&bytes).into_iter().map(<[u8]>::to_vec));
        }
    } else if sources.is_empty() {
        if rest.is_empty() {
            return call.usage(run).map(|_| 2);
        }
        sources.push(rest.remove(0));
    }
    let is_fixed = options.has(b'F') || call.applet == "fgrep";
    let is_extended = options.has(b'E') || call.applet == "egrep";
    let mut expressions = Vec::new();
    // It is told when there is something to look at.
    let mut mistake = None;
    for source in sources.iter().flat_map(|source| source.split(|&byte| byte == b'\n')).take(64) {
        if is_fixed {
            expressions.push(Regex::fixed(source, options.has(b'i')));
            continue;
        }
        match Regex::new(source, is_extended, options.has(b'i')) {
            Ok(regex) => expressions.push(regex),
            Err(message) => mistake = Some(format!("bad regex '{}': {message}", shown(source))),
        }
    }
    let is_recursive = options.has(b'r') || options.has(b'R');
    let mut names = rest;
    if is_recursive {
        names = super::disk::all_files(run, if names.is_empty() { vec![b".".to_vec()] } else { names })?;
    } else if names.is_empty() {
        names.push(b"-".to_vec());
    }
    let has_names = (names.len() > 1 || options.has(b'H') || is_recursive) && !options.has(b'h');
    let most = options.value(b'm').and_then(number).unwrap_or(u64::MAX);
    let (mut found_any, mut failed) = (false, false);
    for name in &names {
        let bytes = match call.input(run, name)? {
            Ok(bytes) => bytes,
            Err(Errno::IsDirectory) if is_recursive => continue,
            Err(error) => {
                if !options.has(b's') {
                    match error {
                        Errno::IsDirectory => {}
                        error => call.fails_on(run, name, error),
                    }
                }
                failed |= error != Errno::IsDirectory;
                continue;
            }
        };
        if let Some(message) = mistake.take_if(|_| !bytes.is_empty()) {
            call.complain(run, message);
            return Ok(2);
        }
        let shown_name = if name == b"-" { b"(standard input)".as_slice() } else { name };
        let is_binary = bytes.contains(&0);
        let mut count = 0_u64;
        let mut out = Vec::new();
        for (index, line) in lines(&bytes).into_iter().enumerate() {
            run.pay(line.len().saturating_mul(4))?;
            let found = expressions.iter().find_map(|regex| {
                let mut from = 0;
                loop {
                    let (start, end) = regex.find(line, from)?.first().copied().flatten()?;
                    let is_word_byte =
                        |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
                    let is_word =
                        !is_word_byte(start.checked_sub(1).and_then(|at| line.get(at))) && !is_word_byte(line.get(end));
                    let fits =
                        (!options.has(b'w') || is_word) && (!options.has(b'x') || start == 0 && end == line.len());
                    if fits {
                        return Some((start, end));
                    }
                    from = start + 1;
                    if from > line.len() {
                        return None;
                    }
                }
            });
            run.pay(expressions.iter().map(Regex::bill).sum())?;
            if found.is_some() == options.has(b'v') {
                continue;
            }
            if count >= most {
                break;
            }
            count += 1;
            if options.has(b'q') {
                return Ok(0);
            }
            if options.has(b'c') || options.has(b'l') || options.has(b'L') || is_binary {
                continue;
            }
            if has_names {
                out.extend_from_slice(&[shown_name, b":"].concat());
            }
            if options.has(b'n') {
                out.extend_from_slice(format!("{}:", index + 1).as_bytes());
            }
            let range = found.filter(|_| options.has(b'o')).unwrap_or((0, line.len()));
            out.extend_from_slice(line.get(range.0..range.1).unwrap_or_default());
            out.push(b'\n');
        }
        found_any |= count > 0;
        run.out(out);
        if options.has(b'c') {
            run.line(if has_names {
                [shown_name, b":", count.to_string().as_bytes()].concat()
            } else {
                count.to_string().into()
            });
        }
        if options.has(b'l') && count > 0 || options.has(b'L') && count == 0 {
            run.line(shown_name);
        } else if is_binary && count > 0 && !options.has(b'c') {
            run.line([b"Binary file ".as_slice(), shown_name, b" matches"].concat());
        }
    }
    Ok(if failed && !found_any { 2 } else { u8::from(!found_any) })
}
