//! `xargs`, and how programs start programs.

use super::{Call, lines, number};
use crate::shell::files::Errno;
use crate::shell::run::{Run, Status, Stop};

pub(super) fn xargs(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "+pr0txn:s:I:i:E:e:P:") else { return Ok(1) };
    let bytes = run.read_all();
    run.pay(bytes.len())?;
    let command = if options.rest.is_empty() { vec![b"echo".to_vec()] } else { options.rest.clone() };
    let replaced = options.value(b'I').map(<[u8]>::to_vec);
    let words: Vec<Vec<u8>> = if replaced.is_some() {
        lines(&bytes).into_iter().map(|line| line.trim_ascii_start().to_vec()).filter(|line| !line.is_empty()).collect()
    } else if options.has(b'0') {
        bytes.split(|&byte| byte == 0).filter(|word| !word.is_empty()).map(<[u8]>::to_vec).collect()
    } else {
        let mut words = Vec::new();
        let (mut word, mut is_started, mut quote) = (Vec::new(), false, None);
        let mut all = bytes.iter().copied();
        while let Some(byte) = all.next() {
            match (quote, byte) {
                (Some(open), byte) if open == byte => quote = None,
                (None, b'\'' | b'"') => {
                    quote = Some(byte);
                    is_started = true;
                }
                (None, b'\\') => {
                    word.extend(all.next());
                    is_started = true;
                }
                (None, b' ' | b'\t' | b'\n') => {
                    if std::mem::take(&mut is_started) {
                        words.push(std::mem::take(&mut word));
                    }
                }
                _ => {
                    word.push(byte);
                    is_started = true;
                }
            }
        }
        if is_started {
            words.push(word);
        }
        words
    };
    let per_call = options.value(b'n').and_then(number).map_or(usize::MAX, |count| (count as usize).max(1));
    let mut calls: Vec<Vec<Vec<u8>>> = Vec::new();
    if let Some(mark) = &replaced {
        for word in &words {
            run.pay(command.iter().map(Vec::len).sum())?;
            calls.push(command.iter().map(|part| replace(part, mark, word)).collect());
        }
    } else if words.is_empty() {
        if !options.has(b'r') {
            calls.push(command.clone());
        }
    } else {
        for chunk in words.chunks(per_call) {
            run.pay(command.iter().map(Vec::len).sum())?;
            calls.push(command.iter().chain(chunk).cloned().collect());
        }
    }
    let mut status = 0;
    for words in calls {
        let name = words.first().cloned().unwrap_or_default();
        let result = start(run, &name, &words)?;
        match result {
            Ok(0) => {}
            Ok(_) => status = 123,
            Err(error) => {
                call.fails_on(run, &name, error);
                return Ok(if error == Errno::NotFound { 127 } else { 126 });
            }
        }
    }
    Ok(status)
}

/// Starts a program as programs do, not the shell: functions and builtins do not count.
pub(super) fn start(run: &mut Run<'_>, name: &[u8], words: &[Vec<u8>]) -> Result<Result<u8, Errno>, Stop> {
    let Some((place, _)) = run.find_program(name) else { return Ok(Err(Errno::NotFound)) };
    let result = run.with_fds(Some(Vec::new()), None, |run| run.start(&place, name, words));
    match result {
        Err(Stop::Exit(status) | Stop::Failed(status)) => Ok(Ok(status)),
        other => other,
    }
}

fn replace(part: &[u8], mark: &[u8], word: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = part;
    while !mark.is_empty()
        && let Some(at) = rest.windows(mark.len()).position(|window| window == mark)
    {
        out.extend_from_slice(rest.get(..at).unwrap_or_default());
        out.extend_from_slice(word);
        rest = rest.get(at + mark.len()..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out
}
