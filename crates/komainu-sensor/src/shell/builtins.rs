//! What the shell does itself, without a program.

mod printf;
mod test;

pub(crate) use printf::printf;
pub(crate) use test::test;

use std::time::Duration;

use super::files::{self, Errno, Kind};
use super::run::{Run, Status, Stop, Variable, quoted};
use super::syntax::is_name;
use super::{CaptureReason, Note, applet_name, applets, escapes, syntax};

/// A builtin: it gets its name and arguments.
pub(crate) type Builtin = fn(&mut Run<'_>, &[Vec<u8>]) -> Status;

/// What `help` lists, in its order.
const NAMES: &str = ". : [ [[ alias bg break cd chdir command continue echo eval exec exit export false fg getopts \
    hash \
    help history jobs kill let local printf pwd read readonly return set shift source test times trap true type ulimit \
    umask unalias unset wait";

/// The builtin of a name.
pub(crate) fn find(name: &str) -> Option<Builtin> {
    Some(match name {
        "." | "source" => dot,
        ":" | "true" | "alias" | "unalias" | "jobs" | "times" | "getopts" => succeed,
        "hash" => hash,
        "let" => let_,
        "false" => |_, _| Ok(1),
        "[" | "[[" | "test" => test,
        "bg" | "fg" => no_job,
        "break" => |run, words| leave_loop(run, words, Stop::Break),
        "continue" => |run, words| leave_loop(run, words, Stop::Continue),
        "cd" | "chdir" => cd,
        "command" => command,
        "echo" => echo,
        "eval" => eval,
        "exec" => exec,
        "exit" => exit,
        "export" => |run, words| export(run, words, "export"),
        "readonly" => |run, words| export(run, words, "readonly"),
        "help" => help,
        "history" => history,
        "kill" => kill,
        "local" => local,
        "printf" => printf,
        "pwd" => pwd,
        "read" => read,
        "return" => |run, words| Err(Stop::Return(number_or_status(run, words, "return")?)),
        "set" => set,
        "shift" => shift,
        "trap" => trap,
        "type" => type_of,
        "ulimit" => ulimit,
        "umask" => umask,
        "unset" => unset,
        "wait" => wait,
        _ => return None,
    })
}

fn succeed(_: &mut Run<'_>, _: &[Vec<u8>]) -> Status {
    Ok(0)
}

fn hash(run: &mut Run<'_>, words: &[Vec<u8>]) -> Status {
    let mut status = 0;
    for name in arguments(words).iter().filter(|word| !word.starts_with(b"-")) {
        if run.find_program(name).is_none() {
            run.complain_of("hash", quoted("", name, "not found"));
            status = 1;
        }
    }
    Ok(status)
}

fn let_(run: &mut Run<'_>, words: &[Vec<u8>]) -> Status {
    let mut value = 0;
    for word in arguments(words) {
        run.pay(word.len() * 4)?;
        match super::arithmetic::evaluate(word, run) {
            Ok(result) => value = result,
            Err(message) => {
                run.complain(message);
                return Err(Stop::Failed(2));
            }
        }
    }
    Ok(u8::from(value == 0))
}

fn wait(run: &mut Run<'_>, words: &[Vec<u8>]) -> Status {
    match arguments(words).first() {
        None => Ok(0),
        Some(word) if word.iter().all(u8::is_ascii_digit) => Ok(127),
        Some(word) => {
            run.complain_of("wait", [b"Illegal number: ", word.as_slice()].concat());
            Ok(2)
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The name under which builtins that are applets, too, complain.
fn own_name(run: &Run<'_>) -> String {
    applet_name(&run.speaker.name)
}

fn arguments(words: &[Vec<u8>]) -> &[Vec<u8>] {
    words.get(1..).unwrap_or_default()
}

fn number_or_status(run: &mut Run<'_>, words: &[Vec<u8>], name: &str) -> Status {
    let Some(word) = words.get(1) else { return Ok(run.scope().status) };
    match std::str::from_utf8(word).ok().and_then(|word| word.parse::<u32>().ok()) {
        Some(number) => Ok(number as u8),
        None => {
            run.complain_of(name, [b"Illegal number: ", word.as_slice()].concat());
            Err(Stop::Failed(2))
        }
    }
}

fn dot(run: &mut Run<'_>, words: &[Vec<u8>]) -> Status {
    let Some(name) = words.get(1) else { return Ok(0) };
    let folder = run.folder();
    let found = if name.contains(&b'/') {
        run.files().place(&folder, name, true).ok()
    } else {
        run.find_program(name).map(|(place, _)| place).or_else(|| run.files().place(&folder, name, true).ok())
    };
    let data = found.as_ref().and_then(|place| run.files().read(b"/", place).ok());
    let (Some(place), Some(data)) = (found, data) else {
        run.complain_of(".", quoted("", name, "not found").as_slice());
        return Err(Stop::Failed(2));
    };
    run.capture(&place, CaptureReason::Ran);
    run.depth_checked(|run| {
        let speaker = run.speaker.clone();
        run.speaker.name = name.clone();
        run.speaker.is_script = true;
        let result = run.source(data.bytes(), 1);
        run.speaker = speaker;
        match result {
            Ok(()) => Ok(run.scope().status),
            Err(Stop::Return(status)) => Ok(status),
            Err(stop) => Err(stop),
        }
    })
}

fn no_job(run: &mut Run<'_>, words: &[Vec<u8>]) -> Status {
    let name = text(words.first().map_or(b"fg", Vec::as_slice));
    match words.get(1) {
        Some(job) => run.complain_of(&name, quoted("", job, "no such job")),
        None => run.complain_of(&name, "No current job"),
    }
    Ok(2)
}

fn leave_loop(run: &mut Run<'_>, words: &[Vec<u8>], stop: fn(u32) -> Stop) -> Status {
    let count = words.get(1).and_then(|word| std::str::from_utf8(word).ok()?.parse().ok()).unwrap_or(1_u32).max(1);
    if run.loops == 0 { Ok(0) } else { Err(stop(count.min(run.loops))) }
}

fn cd(run: &mut Run<'_>, words: &[Vec<u8>]) -> Status {
    let named = arguments(words).iter().find(|word| !matches!(word.as_slice(), b"-L" | b"-P" | b"--"));
    let is_back = named.is_some_and(|name| name == b"-");
    let target = match named {
        Some(_) if is_back => run.variable(b"OLDPWD").cloned().unwrap_or_else(|| run.folder()),
        Some(name) => name.clone(),
        None => run.variable(b"HOME").cloned().unwrap_or_else(|| b"/".to_vec()),
    };
    if target.is_empty() {
        return Ok(0);
    }
    let folder = run.folder();
    let reason = match run.files().stat(&folder, &target).map(|stat| stat.kind) {
        Ok(Kind::Folder) => None,
        Ok(_) => Some(Errno::NotDirectory),
        Err(error) => Some(error),
    };
    if let Some(reason) = reason {
        run.complain_of("cd", quoted("can't cd to ", &target, reason.text()));
        return Ok(2).map(|_: u8| 1);
    }
    let place = logical(&folder, &target);
    // A path with links is kept as it was typed; if `..` leads elsewhere then, the true place is taken.
    let place = match run.files().stat(b"/", &place) {
        Ok(stat) if stat.kind == Kind::Folder => place,
        _ => run.files().place(&folder, &target, true).unwrap_or(folder.clone()),
    };
    run.assign(b"OLDPWD", folder)?;
    run.assign(b"PWD", place.clone())?;
    run.scope().folder = place.clone();
    if is_back {
        run.line(place);
    }
    Ok(0)
}

/// A path without `.` and `..`, links not followed.
fn logical(folder: &[u8], path: &[u8]) -> Vec<u8> {
    let whole = if path.starts_with(b"/") { path.to_vec() } else { files::join(folder, path) };
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in whole.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    let mut place = b"/".to_vec();
    place.extend_from_slice(&parts.join(&b'/'));
    place
}

pub(crate) fn pwd(run: &mut Run<'_>, _: &[Vec<u8>]) -> Status {
    let folder = run.folder();
    run.line(folder);
    Ok(0)
}

fn command(run: &mut Run<'_>, words: &[Vec<u8>]) -> Status {
    match words.get(1).map(Vec::as_slice) {
        None => Ok(0),
        Some(b"-v") => match words.get(2) {
            Some(name) => describe(run, name, true),
            None => Ok(2),
        },
        Some(b"-V") => match words.get(2) {
            Some(name) => describe(run, name, false),
            None => Ok(2),
        },
        Some(b"-p") => {
            run.command_or_builtin(&words.get(2).cloned().unwrap_or_default(), words.get(2..).unwrap_or_default())
        }
        Some(name) => run.command_or_builtin(name, words.get(1..).unwrap_or_default()),
    }
}

fn type_of(run: &mut Run<'_>, words: &[Vec<u8>]) -> Status {
    let mut status = 0;
    for name in arguments(words) {
        status |= describe(run, name, false)?;
    }
    Ok(status)
}

fn describe(run: &mut Run<'_>, name: &[u8], is_short: bool) -> Status {
    let what = if syntax::is_keyword(name) {
        "a shell keyword"
    } else if run.scope().functions.contains_key(name) {
        "a function"
    } else if std::str::from_utf8(name).ok().and_then(find).is_some() {
        if is_special(name) { "a special shell builtin" } else { "a shell builtin" }
    } else {
        let path = run.find_program(name).map(|(_, path)| path);
        return Ok(match path {
            Some(path) if is_short => {
                run.line(path);
                0
            }
            Some(path) => {
                run.line([name, b" is ", &path].concat());
                0
            }
            None if is_short => 127,
            None => {
                run.line([name, b": not found"].concat());
                127
            }
        });
    };
    if is_short {
        run.line(name);
    } else {
        run.line([name, b" is ", what.as_bytes()].concat());
    }
    Ok(0)
}

fn is_special(name: &[u8]) -> bool {
    matches!(
        name,
        b"." | b":"
            | b"break"
            | b"continue"
            | b"eval"
            | b"exec"
            | b"exit"
            | b"export"
            | b"readonly"
            | b"return"
            | b"set"
            | b"shift"
            | b"source"
            | b"times"
            | b"trap"
            | b"unset"
    )
}

/// `echo`: options are taken only if they are made of `n`, `e` and `E` alone.
pub(crate) fn echo(run: &mut Run<'_>, words: &[Vec<u8>]) -> Status {
    let mut words = arguments(words);
    let (mut ends_line, mut has_escapes) = (true, false);
    while let Some((word, rest)) = words.split_first() {
        let Some(letters) = word.strip_prefix(b"-") else { break };
        if letters.is_empty() || !letters.iter().all(|letter| matches!(letter, b'n' | b'e' | b'E')) {
            break;
        }
        for letter in letters {
            match letter {
                b'n' => ends_line = false,
                b'e' => has_escapes = true,
                _ => has_escapes = false,
            }
        }
        words = rest;
    }
    let mut out = Vec::new();
    for (index, word) in words.iter().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        if has_escapes {
            let (text, is_cut) = escapes::text(word);
            out.extend_from_slice(&text);
            if is_cut {
                run.out(out);
                return Ok(0);
            }
        } else {
            out.extend_from_slice(word);
        }
    }
    if ends_line {
        out.push(b'\n');
    }
    run.out(out);
    Ok(0)
}

fn eval(run: &mut Run<'_>, words: &[Vec<u8>]) -> Status {
    let source = arguments(words).join(&b' ');
    run.scope().status = 0;
    run.depth_checked(|run| {
        let line = run.speaker.line;
        run.source(&source, line)?;
        Ok(run.scope().status)
    })
}

fn exec(run: &mut Run<'_>, words: &[Vec<u8>]) -> Status {
    let words = arguments(words);
    let Some(name) = words.first() else {
        run.keep_redirects();
        return Ok(0);
    };
    if run.find_program(name).is_none() {
        run.complain_of("exec", quoted("", name, "not found"));
        return Err(Stop::Failed(127));
    }
    let levels = run.shell.levels.len();
    let status = run.program(name, words)?;
    // A shell that replaces this one goes on; another program ends it.
    if run.shell.levels.len() > levels { Ok(status) } else { Err(Stop::Exit(status)) }
}

fn exit(run: &mut Run<'_>, words: &[Vec<u8>]) -> Status {
    let status = number_or_status(run, words, "exit")?;
    Err(Stop::Exit(status))
}

fn export(run: &mut Run<'_>, words: &[Vec<u8>], name: &str) -> Status {
    let is_readonly = name == "readonly";
    let words: Vec<&Vec<u8>> = arguments(words).iter().filter(|word| *word != b"-p").collect();
    if words.is_empty() {
        let chosen = |variable: &Variable| if is_readonly { variable.is_readonly } else { variable.is_exported };
        let lines: Vec<Vec<u8>> = run
            .scope()
            .variables
            .iter()
            .filter(|(_, variable)| chosen(variable))
            .map(|(key, variable)| [name.as_bytes(), b" ", key, b"='", &variable.value, b"'\n"].concat())
            .collect();
        run.out(lines.concat());
        return Ok(0);
    }
    for word in words {
        let (key, value) = split_assignment(word);
        if !is_name(key) {
            run.complain_of(name, quoted("", key, "bad variable name"));
            return Err(Stop::Failed(2));
        }
        if key == b"HISTFILE" || key == b"HISTSIZE" {
            run.note(Note::ClearedHistory);
        }
        if let Some(value) = value {
            run.assign(key, value.to_vec())?;
        } else if is_readonly || run.scope().variables.contains_key(key) {
            let value = run.variable(key).cloned().unwrap_or_default();
            run.assign(key, value)?;
        } else {
            continue;
        }
        if let Some(variable) = run.scope().variables.get_mut(key) {
            variable.is_exported |= !is_readonly;
            variable.is_readonly |= is_readonly;
        }
    }
    Ok(0)
}

fn split_assignment(word: &[u8]) -> (&[u8], Option<&[u8]>) {
    match word.iter().position(|&byte| byte == b'=') {
        Some(at) => (word.get(..at).unwrap_or_default(), word.get(at + 1..)),
        None => (word, None),
    }
}

fn help(run: &mut Run<'_>, _: &[Vec<u8>]) -> Status {
    let mut out = "Built-in commands:\n------------------\n".to_owned();
    let mut column = 0;
    for name in NAMES.split_whitespace() {
        let gap = if column == 0 { '\t' } else { ' ' };
        out.push(gap);
        out.push_str(name);
        column += name.len() + 1;
        if column > 60 {
            out.push('\n');
            column = 0;
        }
    }
    if column > 0 {
        out.push('\n');
    }
    run.out(out);
    Ok(0)
}

fn history(run: &mut Run<'_>, words: &[Vec<u8>]) -> Status {
    if words.get(1).is_some_and(|word| word == b"-c") {
        run.note(Note::ClearedHistory);
    }
    Ok(0)
}

/// The signals of Linux by number; those of MIPS are numbered otherwise, but loaders name 9 and 15.
const SIGNALS: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "POLL",
    "PWR", "SYS",
];

/// The number of a signal, by number or name.
pub(crate) fn signal(name: &[u8]) -> Option<usize> {
    let name = std::str::from_utf8(name).ok()?;
    if let Ok(number) = name.parse::<usize>() {
        return (number <= 64).then_some(number);
    }
    let name = name.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    SIGNALS.iter().position(|signal| *signal == name).map(|at| at + 1)
}

pub(crate) fn list_signals(run: &mut Run<'_>) -> Status {
    let lines: Vec<String> = SIGNALS.iter().enumerate().map(|(at, name)| format!("{:2}) {name}\n", at + 1)).collect();
    run.out(lines.concat());
    Ok(0)
}

pub(crate) fn kill(run: &mut Run<'_>, words: &[Vec<u8>]) -> Status {
    let name = own_name(run);
    let mut words = arguments(words);
    let mut number = 15;
    if let Some((first, rest)) = words.split_first()
        && first.starts_with(b"-")
        && first.len() > 1
    {
        if first == b"-l" {
            return list_signals(run);
        }
        let (signal_name, rest) = match (first.as_slice(), rest.split_first()) {
            (b"-s", Some((signal_name, rest))) => (signal_name.as_slice(), rest),
            _ => (first.get(1..).unwrap_or_default(), rest),
        };
        match signal(signal_name) {
            Some(signal) => number = signal,
            None => {
                run.err(format!("{name}: bad signal name '{}'\n", text(signal_name)));
                return Ok(1);
            }
        }
        words = rest;
    }
    if words.is_empty() {
        run.err(format!("{name}: you need to specify whom to kill\n"));
        return Ok(1);
    }
    let mut status = 0;
    for word in words {
        run.pay(0)?;
        if word.starts_with(b"%") {
            run.complain_of("kill", quoted("", word, "no such job"));
            return Ok(2);
        }
        let Some(pid) = std::str::from_utf8(word).ok().and_then(|word| word.parse::<i64>().ok()) else {
            run.err(format!("{name}: invalid number '{}'\n", text(word)));
            status = 1;
            continue;
        };
        if pid == i64::from(run.shell.pid) || pid == -1 && number > 0 {
            run.note(Note::KilledProcess);
            if matches!(number, 1 | 9) {
                return Err(Stop::Exit(128 + number as u8));
            }
            continue;
        }
        let is_there = applets::system::processes(run).iter().any(|process| i64::from(process.pid) == pid)
            || pid > 0 && pid == i64::from(run.scope().background_pid);
        if !is_there {
            run.err(format!("{name}: can't kill pid {pid}: No such process\n"));
            status = 1;
        } else if number > 0 {
            run.note(Note::KilledProcess);
            applets::system::end_process(run, pid as u32);
        }
    }
    Ok(status)
}

fn local(run: &mut Run<'_>, words: &[Vec<u8>]) -> Status {
    if run.functions == 0 {
        run.complain_of("local", "not in a function");
        return Err(Stop::Failed(2));
    }
    for word in arguments(words) {
        let (key, value) = split_assignment(word);
        let before = run.scope().variables.get(key).cloned();
        run.pay(64)?;
        run.locals.push((key.to_vec(), before));
        if let Some(value) = value {
            run.assign(key, value.to_vec())?;
        }
    }
    Ok(0)
}

fn read(run: &mut Run<'_>, words: &[Vec<u8>]) -> Status {
    let (mut is_raw, mut names) = (false, arguments(words));
    while let Some((word, rest)) = names.split_first() {
        match word.as_slice() {
            b"-r" => {
                is_raw = true;
                names = rest;
            }
            b"-s" => names = rest,
            b"-p" | b"-t" | b"-n" | b"-d" | b"-u" => {
                if word == b"-p"
                    && let Some(prompt) = rest.first()
                    && run.is_terminal(0)
                {
                    run.err(prompt);
                }
                names = rest.get(1..).unwrap_or_default();
            }
            _ => break,
        }
    }
    let (mut line, mut status) = (Vec::new(), 1);
    // Bytes behind a backslash are marked, so that they separate nothing.
    let mut is_plain = Vec::new();
    'lines: while let Some((raw, is_ended)) = run.read_line() {
        run.pay(raw.len())?;
        status = u8::from(!is_ended);
        let mut bytes = raw.into_iter();
        while let Some(byte) = bytes.next() {
            if byte == b'\\' && !is_raw {
                match bytes.next() {
                    Some(byte) => {
                        line.push(byte);
                        is_plain.push(true);
                    }
                    None => continue 'lines,
                }
            } else if byte != 0 {
                line.push(byte);
                is_plain.push(false);
            }
        }
        break;
    }
    let separators = run.variable(b"IFS").map_or(b" \t\n".as_slice(), Vec::as_slice).to_vec();
    let is_blank = |at: usize| {
        is_plain.get(at) == Some(&false)
            && line.get(at).is_some_and(|byte| separators.contains(byte) && matches!(byte, b' ' | b'\t' | b'\n'))
    };
    let is_separator =
        |at: usize| is_plain.get(at) == Some(&false) && line.get(at).is_some_and(|byte| separators.contains(byte));
    let default = [b"REPLY".to_vec()];
    let names = if names.is_empty() { default.as_slice() } else { names };
    let (mut at, mut end) = (0, line.len());
    while at < end && is_blank(at) {
        at += 1;
    }
    while end > at && is_blank(end - 1) {
        end -= 1;
    }
    for (index, name) in names.iter().enumerate() {
        let start = at;
        if index + 1 == names.len() {
            at = end;
        } else {
            while at < end && !is_separator(at) {
                at += 1;
            }
        }
        let value = line.get(start..at).unwrap_or_default().to_vec();
        while at < end && is_blank(at) {
            at += 1;
        }
        if at < end && is_separator(at) && !is_blank(at) {
            at += 1;
            while at < end && is_blank(at) {
                at += 1;
            }
        }
        if !is_name(name) {
            run.complain_of("read", quoted("", name, "bad variable name"));
            return Err(Stop::Failed(2));
        }
        run.assign(name, value)?;
    }
    Ok(status)
}

fn set(run: &mut Run<'_>, words: &[Vec<u8>]) -> Status {
    let mut words = arguments(words);
    if words.is_empty() {
        let lines: Vec<Vec<u8>> = run
            .scope()
            .variables
            .iter()
            .filter(|(key, _)| is_name(key))
            .map(|(key, variable)| [key, b"='".as_slice(), &variable.value, b"'\n"].concat())
            .collect();
        run.out(lines.concat());
        return Ok(0);
    }
    while let Some((word, rest)) = words.split_first() {
        match word.as_slice() {
            b"--" => {
                run.scope().arguments = rest.to_vec();
                return Ok(0);
            }
            b"-o" | b"+o" => words = rest.get(1..).unwrap_or_default(),
            [b'-' | b'+', letters @ ..] if !letters.is_empty() => {
                let allowed = b"aCefImnuvxb";
                if let Some(letter) = letters.iter().find(|letter| !allowed.contains(letter)) {
                    let sign = char::from(word[0]);
                    run.complain_of("set", format!("illegal option {sign}{}", char::from(*letter)));
                    return Err(Stop::Failed(2));
                }
                words = rest;
            }
            _ => {
                run.scope().arguments = words.to_vec();
                return Ok(0);
            }
        }
    }
    Ok(0)
}

fn shift(run: &mut Run<'_>, words: &[Vec<u8>]) -> Status {
    let count = words.get(1).map_or(Some(1), |word| std::str::from_utf8(word).ok()?.parse::<usize>().ok());
    let arguments = &mut run.scope().arguments;
    match count {
        Some(count) if count <= arguments.len() => {
            arguments.drain(..count);
            Ok(0)
        }
        Some(_) => Ok(1),
        None => {
            run.complain_of("shift", "Illegal number: ");
            Err(Stop::Failed(2))
        }
    }
}

fn trap(run: &mut Run<'_>, words: &[Vec<u8>]) -> Status {
    let words = arguments(words);
    let [action, signals @ ..] = words else { return Ok(0) };
    if signals.iter().any(|signal| matches!(signal.as_slice(), b"EXIT" | b"0")) {
        run.scope().exit_trap = if action == b"-" { Vec::new() } else { action.clone() };
    }
    Ok(0)
}

fn ulimit(run: &mut Run<'_>, words: &[Vec<u8>]) -> Status {
    let words = arguments(words);
    if words.len() > 1 || words.first().is_some_and(|word| !word.starts_with(b"-")) {
        return Ok(0);
    }
    let limit = match words.first().map(Vec::as_slice) {
        Some(b"-n") => "1024",
        Some(b"-s") => "8192",
        Some(b"-u" | b"-p") => "445",
        Some(b"-c") => "0",
        _ => "unlimited",
    };
    run.line(limit);
    Ok(0)
}

fn umask(run: &mut Run<'_>, words: &[Vec<u8>]) -> Status {
    let mask = run.scope().umask;
    match words.get(1).map(Vec::as_slice) {
        None => run.line(format!("{mask:04o}")),
        Some(b"-S") => {
            let letters = |shift: u16| {
                let bits = !mask >> shift & 7;
                let letter = |bit, letter| if bits & bit != 0 { letter } else { "" };
                format!("{}{}{}", letter(4, "r"), letter(2, "w"), letter(1, "x"))
            };
            run.line(format!("u={},g={},o={}", letters(6), letters(3), letters(0)));
        }
        Some(word) => match std::str::from_utf8(word).ok().and_then(|word| u16::from_str_radix(word, 8).ok()) {
            Some(mask) if mask <= 0o777 => run.scope().umask = mask,
            _ => {
                run.complain_of("umask", quoted("illegal mode: ", word, "").strip_suffix(b": ").unwrap_or_default());
                return Err(Stop::Failed(2));
            }
        },
    }
    Ok(0)
}

fn unset(run: &mut Run<'_>, words: &[Vec<u8>]) -> Status {
    for word in arguments(words) {
        match word.as_slice() {
            b"-v" | b"-f" => {}
            [b'-', letter, ..] => {
                run.complain_of("unset", format!("illegal option -{}", char::from(*letter)));
                return Err(Stop::Failed(2));
            }
            name => {
                if matches!(name, b"HISTFILE" | b"HISTSIZE" | b"HISTORY" | b"HISTFILESIZE") {
                    run.note(Note::ClearedHistory);
                }
                if run.scope().variables.get(name).is_some_and(|variable| variable.is_readonly) {
                    run.complain_of("unset", quoted("", name, "is read only"));
                    return Err(Stop::Failed(2));
                }
                run.scope().variables.remove(name);
                run.scope().functions.remove(name);
            }
        }
    }
    Ok(0)
}

/// `sleep` and its kin: a time as words, or what is wrong.
pub(crate) fn duration(words: &[Vec<u8>]) -> Result<Duration, Vec<u8>> {
    let mut total = Duration::ZERO;
    for word in words {
        let (digits, unit) = match word.split_last() {
            Some((b's', digits)) => (digits, 1.0),
            Some((b'm', digits)) => (digits, 60.0),
            Some((b'h', digits)) => (digits, 3_600.0),
            Some((b'd', digits)) => (digits, 86_400.0),
            _ => (word.as_slice(), 1.0),
        };
        let is_number = !digits.is_empty() && digits.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
        let number = std::str::from_utf8(digits).ok().filter(|_| is_number).and_then(|text| text.parse::<f64>().ok());
        let time = number.and_then(|number| Duration::try_from_secs_f64(number * unit).ok());
        total = total.saturating_add(time.ok_or_else(|| word.clone())?);
    }
    Ok(total)
}
