//! Applets that deal with files and folders.

use super::{Call, shown};
use crate::shell::files::{self, Data, Errno, Kind, Stat};
use crate::shell::machine::Device;
use crate::shell::run::{Run, Status, Stop};
use crate::shell::{CaptureReason, Note};

/// Files that one recursive call goes over.
pub(super) const WALK_MAX: usize = 4_096;

/// A path, what it is, and how deep it lies.
pub(super) type Walked = (Vec<u8>, Result<Stat, Errno>, usize);

/// Paths of everything below some paths, each before what is in it; links are not followed.
pub(super) fn walk(run: &mut Run<'_>, roots: Vec<Vec<u8>>) -> Result<Vec<Walked>, Stop> {
    let folder = run.folder();
    let mut todo: Vec<(Vec<u8>, usize)> = roots.into_iter().rev().map(|root| (root, 0)).collect();
    let mut found = Vec::new();
    while let Some((path, depth)) = todo.pop() {
        run.pay(path.len() + 64)?;
        let stat = run.files().stat_link(&folder, &path);
        let is_folder = stat.as_ref().is_ok_and(|stat| stat.kind == Kind::Folder);
        if is_folder {
            let names = run.files().list(&folder, &path).unwrap_or_default();
            todo.extend(names.into_iter().rev().map(|name| (files::join(&path, &name), depth + 1)));
        }
        found.push((path, stat, depth));
        if found.len() > WALK_MAX {
            return Err(Stop::Exhausted);
        }
    }
    Ok(found)
}

/// The files below some paths, for `grep -r`.
pub(super) fn all_files(run: &mut Run<'_>, roots: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, Stop> {
    let found = walk(run, roots)?;
    Ok(found
        .into_iter()
        .filter(|(_, stat, _)| !stat.as_ref().is_ok_and(|stat| stat.kind == Kind::Folder))
        .map(|(path, ..)| path)
        .collect())
}

/// Notes the removal or change of a file that tells something, and captures what is lost.
pub(super) fn before_removal(run: &mut Run<'_>, place: &[u8]) {
    let is_log = place.starts_with(b"/var/log/") || place.ends_with(b"_history") || place.starts_with(b"/var/run/utmp");
    if is_log {
        run.note(Note::RemovedLog);
    }
    run.note_path(place);
    run.capture(place, CaptureReason::Removed);
}

pub(super) fn rm(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "fiRrv") else { return Ok(1) };
    let (is_forced, is_recursive) = (options.has(b'f'), options.has(b'r') || options.has(b'R'));
    if options.rest.is_empty() {
        return if is_forced { Ok(0) } else { call.usage(run) };
    }
    let folder = run.folder();
    let mut status = 0;
    for name in &options.rest {
        let last = files::split(name).1;
        if last == b"." || last == b".." {
            call.complain(run, "can't remove '.' or '..'");
            status = 1;
            continue;
        }
        let kind = run.files().stat_link(&folder, name).map(|stat| stat.kind);
        match kind {
            Err(Errno::NotFound | Errno::NotDirectory) if is_forced => continue,
            Err(error) => {
                call.complain(run, [b"can't remove '", name.as_slice(), b"': ", error.text().as_bytes()].concat());
                status = 1;
                continue;
            }
            Ok(Kind::Folder) if !is_recursive => {
                call.complain(run, [b"'", name.as_slice(), b"' is a directory"].concat());
                status = 1;
                continue;
            }
            Ok(_) => {}
        }
        // What is inside goes first.
        for (path, stat, _) in walk(run, vec![name.clone()])?.into_iter().rev() {
            let Ok(place) = run.files().place(&folder, &path, false) else { continue };
            let result = if stat.is_ok_and(|stat| stat.kind == Kind::Folder) {
                run.files().remove_folder(&place)
            } else {
                before_removal(run, &place);
                run.files().remove(&place)
            };
            match result {
                Ok(()) if options.has(b'v') => run.line([b"removed '", path.as_slice(), b"'"].concat()),
                Ok(()) => {}
                Err(error) => {
                    call.complain(run, [b"can't remove '", path.as_slice(), b"': ", error.text().as_bytes()].concat());
                    status = 1;
                }
            }
        }
    }
    Ok(status)
}

pub(super) fn rmdir(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "p") else { return Ok(1) };
    if options.rest.is_empty() {
        return call.usage(run);
    }
    let folder = run.folder();
    let mut status = 0;
    for name in &options.rest {
        let result = match run.files().place(&folder, name, false) {
            Ok(place) => run.files().remove_folder(&place),
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            call.complain(run, [b"'", name.as_slice(), b"': ", error.text().as_bytes()].concat());
            status = 1;
        }
    }
    Ok(status)
}

pub(super) fn mkdir(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options_with_long(run, "m:pv", &[("mode=", b'm'), ("parents", b'p')]) else {
        return Ok(1);
    };
    if options.rest.is_empty() {
        return call.usage(run);
    }
    let folder = run.folder();
    let mode = options.value(b'm').and_then(|mode| parse_mode(mode, 0o777)).unwrap_or(0o777 & !run.scope().umask);
    let mut status = 0;
    for name in &options.rest {
        let mut result = Ok(());
        if options.has(b'p') {
            let ends: Vec<usize> =
                name.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at).collect();
            for end in ends.into_iter().chain([name.len()]) {
                run.pay(end)?;
                let part = name.get(..end).unwrap_or_default();
                if part.is_empty() || run.files().stat(&folder, part).is_ok_and(|stat| stat.kind == Kind::Folder) {
                    continue;
                }
                result = run.files().make_folder(&folder, part, mode);
                if result.is_err() {
                    break;
                }
            }
        } else {
            result = run.files().make_folder(&folder, name, mode);
        }
        if let Err(error) = result {
            call.complain(
                run,
                [b"can't create directory '", name.as_slice(), b"': ", error.text().as_bytes()].concat(),
            );
            status = 1;
        }
    }
    Ok(status)
}

pub(super) fn touch(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "chamd:t:r:") else { return Ok(1) };
    if options.rest.is_empty() {
        return call.usage(run);
    }
    let folder = run.folder();
    let mode = 0o666 & !run.scope().umask;
    let mut status = 0;
    for name in &options.rest {
        let result = match run.files().place(&folder, name, true) {
            Ok(place) if run.files().stat(b"/", &place).is_ok() => run.files().touch(&place),
            Ok(_) if options.has(b'c') => Ok(()),
            _ => run.files().open(&folder, name, mode).map(|_| ()),
        };
        if let Err(error) = result {
            call.fails_on(run, name, error);
            status = 1;
        }
    }
    Ok(status)
}

/// New permission bits, from octal digits or `u+x,go-w`.
fn parse_mode(text: &[u8], old: u16) -> Option<u16> {
    if text.first().is_some_and(u8::is_ascii_digit) {
        let mode = u16::from_str_radix(std::str::from_utf8(text).ok()?, 8).ok()?;
        return (mode <= 0o7777).then_some(mode);
    }
    let mut mode = old;
    for clause in text.split(|&byte| byte == b',') {
        let letters = clause.iter().take_while(|byte| b"ugoa".contains(byte)).count();
        let (who, changes) = clause.split_at(letters);
        let mut mask = 0;
        for letter in who {
            mask |= match letter {
                b'u' => 0o4700,
                b'g' => 0o2070,
                b'o' => 0o1007,
                _ => 0o7777,
            };
        }
        if mask == 0 {
            mask = 0o7777;
        }
        let mut rest = changes;
        if rest.is_empty() {
            return None;
        }
        while let Some((&operator, after)) = rest.split_first() {
            if !matches!(operator, b'+' | b'-' | b'=') {
                return None;
            }
            let count = after.iter().take_while(|byte| b"rwxXst".contains(byte)).count();
            let (letters, after) = after.split_at(count);
            rest = after;
            let mut bits = 0;
            for letter in letters {
                bits |= match letter {
                    b'r' => 0o444,
                    b'w' => 0o222,
                    b'x' => 0o111,
                    b'X' => {
                        if old & 0o111 != 0 {
                            0o111
                        } else {
                            0
                        }
                    }
                    b's' => 0o6000,
                    _ => 0o1000,
                };
            }
            match operator {
                b'+' => mode |= bits & mask,
                b'-' => mode &= !(bits & mask),
                _ => mode = mode & !mask | bits & mask,
            }
        }
    }
    Some(mode)
}

pub(super) fn chmod(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    // A mode may begin with a minus.
    let mut arguments: Vec<Vec<u8>> = call.arguments.to_vec();
    let is_mode =
        |word: &Vec<u8>| word.starts_with(b"-") && word.get(1).is_some_and(|letter| b"rwxXst".contains(letter));
    let minus = arguments.iter().position(is_mode).map(|at| arguments.remove(at));
    let inner = Call { applet: call.applet, arguments: &arguments };
    let Some(mut options) = inner.options(run, "Rcvf") else { return Ok(1) };
    if let Some(minus) = minus {
        options.rest.insert(0, minus);
    }
    let [mode, names @ ..] = options.rest.as_slice() else { return call.usage(run) };
    if names.is_empty() {
        return call.usage(run);
    }
    let folder = run.folder();
    let names = if options.has(b'R') {
        walk(run, names.to_vec())?.into_iter().map(|(path, ..)| path).collect()
    } else {
        names.to_vec()
    };
    let mut status = 0;
    for name in &names {
        run.pay(name.len())?;
        let place = match run.files().place(&folder, name, true) {
            Ok(place) if run.files().stat(b"/", &place).is_ok() => place,
            Ok(_) | Err(Errno::NotFound) => {
                if !options.has(b'f') {
                    call.fails_on(run, name, Errno::NotFound);
                }
                status = 1;
                continue;
            }
            Err(error) => {
                call.fails_on(run, name, error);
                status = 1;
                continue;
            }
        };
        let old = run.files().stat(b"/", &place).map_or(0, |stat| stat.mode);
        let Some(new) = parse_mode(mode, old) else {
            call.complain(run, format!("invalid mode '{}'", shown(mode)));
            return Ok(1);
        };
        if let Err(error) = run.files().set_mode(&place, new) {
            call.fails_on(run, name, error);
            status = 1;
            continue;
        }
        if new & 0o111 != 0 {
            run.capture(&place, CaptureReason::MadeExecutable);
        }
    }
    Ok(status)
}

pub(super) fn cp(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "pdRfilsLHarPTnt:u") else { return Ok(1) };
    let is_recursive = options.has(b'r') || options.has(b'R') || options.has(b'a');
    let mut sources = options.rest.clone();
    let target = match options.value(b't') {
        Some(target) => target.to_vec(),
        None if sources.len() < 2 => return call.usage(run),
        None => sources.pop().unwrap_or_default(),
    };
    let folder = run.folder();
    let is_folder = run.files().stat(&folder, &target).is_ok_and(|stat| stat.kind == Kind::Folder);
    // Many sources need a folder; if it is none, each fails for itself.
    let is_folder = is_folder || sources.len() > 1;
    let mut status = 0;
    for source in &sources {
        let name = trim(source);
        let to = if is_folder { files::join(&target, files::split(name).1) } else { target.clone() };
        match run.files().stat(&folder, source) {
            Err(error) => {
                call.complain(run, [b"can't stat '", source.as_slice(), b"': ", error.text().as_bytes()].concat());
                status = 1;
            }
            Ok(Stat { kind: Kind::Folder, .. }) if !is_recursive => {
                call.complain(run, [b"omitting directory '", source.as_slice(), b"'"].concat());
                status = 1;
            }
            Ok(Stat { kind: Kind::Folder, .. }) => {
                for (path, stat, _) in walk(run, vec![name.to_vec()])? {
                    let rest = path.strip_prefix(name).unwrap_or_default();
                    let to = [to.as_slice(), rest].concat();
                    if stat.is_ok_and(|stat| stat.kind == Kind::Folder) {
                        match run.files().make_folder(&folder, &to, 0o755) {
                            Ok(()) | Err(Errno::Exists) => {}
                            Err(error) => {
                                let text =
                                    [b"can't create directory '", to.as_slice(), b"': ", error.text().as_bytes()];
                                call.complain(run, text.concat());
                                return Ok(1);
                            }
                        }
                    } else {
                        status |= copy_file(run, call, &path, &to)?;
                    }
                }
            }
            Ok(_) => status |= copy_file(run, call, source, &to)?,
        }
    }
    Ok(status)
}

fn trim(name: &[u8]) -> &[u8] {
    let mut name = name;
    while name.len() > 1 && name.ends_with(b"/") {
        name = name.get(..name.len() - 1).unwrap_or_default();
    }
    name
}

fn copy_file(run: &mut Run<'_>, call: &Call<'_>, from: &[u8], to: &[u8]) -> Status {
    let folder = run.folder();
    let cannot_create = |error: Errno| [b"can't create '", to, b"': ", error.text().as_bytes()].concat();
    let place = run.files().place(&folder, from, true);
    let target = run.files().place(&folder, to, true);
    if place.is_ok() && place == target && run.files().stat(&folder, to).is_ok() {
        call.complain(run, [b"'", from, b"' and '", to, b"' are the same file"].concat());
        return Ok(1);
    }
    let data = match run.files().read(&folder, from) {
        Ok(data) => data,
        Err(error) => {
            call.cannot_open(run, from, error);
            return Ok(1);
        }
    };
    run.pay(if matches!(data, Data::Shared(_)) { 0 } else { data.bytes().len() })?;
    let mode = run.files().stat(&folder, from).map_or(0o644, |stat| stat.mode);
    let is_known = place.is_ok_and(|place| run.files().is_known(&place));
    let new_mode = mode & 0o777 & !run.scope().umask;
    match run.files().open(&folder, to, new_mode) {
        Ok(files::Opened::Device(Device::Full)) => {
            call.complain(run, "write error: No space left on device");
            Ok(1)
        }
        Ok(files::Opened::Device(device)) => {
            if device == Device::Other {
                run.note(Note::WroteDevice);
            }
            Ok(0)
        }
        Ok(files::Opened::File(place)) => {
            let lost = run.files().truncate(&place);
            run.captured(&place, lost, CaptureReason::Overwritten);
            run.note_path(&place);
            let mode = run.files().stat(b"/", &place).map_or(new_mode, |stat| stat.mode);
            if let Err(error) = run.files().store(&place, mode, data, is_known) {
                call.complain(run, format!("write error: {}", error.text()));
                return Ok(1);
            }
            Ok(0)
        }
        Err(error) => {
            call.complain(run, cannot_create(error));
            Ok(1)
        }
    }
}

pub(super) fn mv(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "finTt:") else { return Ok(1) };
    let mut sources = options.rest.clone();
    let target = match options.value(b't') {
        Some(target) => target.to_vec(),
        None if sources.len() < 2 => return call.usage(run),
        None => sources.pop().unwrap_or_default(),
    };
    let folder = run.folder();
    let is_folder = run.files().stat(&folder, &target).is_ok_and(|stat| stat.kind == Kind::Folder);
    // Many sources need a folder; if it is none, each fails for itself.
    let is_folder = is_folder || sources.len() > 1;
    let mut status = 0;
    for source in &sources {
        let name = trim(source);
        let to = if is_folder { files::join(&target, files::split(name).1) } else { target.clone() };
        let places = run.files().place(&folder, name, false).and_then(|from| {
            run.files().stat(b"/", &from).or_else(|_| run.files().stat_link(b"/", &from))?;
            Ok((from, run.files().place(&folder, &to, false)?))
        });
        let result = match places {
            Ok((from, to)) => {
                run.note_path(&from);
                run.note_path(&to);
                if from != to {
                    run.capture(&to, CaptureReason::Overwritten);
                }
                run.files().rename(&from, &to)
            }
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            call.complain(run, [b"can't rename '", source.as_slice(), b"': ", error.text().as_bytes()].concat());
            status = 1;
        }
    }
    Ok(status)
}

pub(super) fn ln(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "sfnbtS:vT") else { return Ok(1) };
    let mut targets = options.rest.clone();
    let link = match targets.len() {
        0 => return call.usage(run),
        1 => files::split(targets.first().map_or(b"", Vec::as_slice)).1.to_vec(),
        _ => targets.pop().unwrap_or_default(),
    };
    let folder = run.folder();
    let is_folder = run.files().stat(&folder, &link).is_ok_and(|stat| stat.kind == Kind::Folder) && !options.has(b'n');
    let mut status = 0;
    for target in &targets {
        let path = if is_folder { files::join(&link, files::split(trim(target)).1) } else { link.clone() };
        if options.has(b'f')
            && let Ok(place) = run.files().place(&folder, &path, false)
            && run.files().stat_link(b"/", &place).is_ok_and(|stat| stat.kind != Kind::Folder)
        {
            before_removal(run, &place);
            // What could not be removed is in the way, which is told below.
            let _ = run.files().remove(&place);
        }
        let result = if options.has(b's') {
            run.files().make_link(&folder, &path, target)
        } else {
            match run.files().stat(&folder, target) {
                Err(error) => {
                    call.fails_on(run, target, error);
                    status = 1;
                    continue;
                }
                Ok(_) if run.files().stat_link(&folder, &path).is_ok() => Err(Errno::Exists),
                Ok(_) => {
                    status |= copy_file(run, call, target, &path)?;
                    Ok(())
                }
            }
        };
        if let Err(error) = result {
            call.fails_on(run, &path, error);
            status = 1;
        }
    }
    Ok(status)
}

pub(super) fn readlink(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "fnvsq") else { return Ok(1) };
    let [name] = options.rest.as_slice() else { return call.usage(run) };
    let folder = run.folder();
    if options.has(b'f') {
        return Ok(match run.files().place(&folder, name, true) {
            Ok(place) => {
                run.line(place);
                0
            }
            Err(_) => 1,
        });
    }
    match run.files().stat_link(&folder, name) {
        Ok(Stat { kind: Kind::Link(target), .. }) => {
            run.line(target);
            Ok(0)
        }
        _ => Ok(1),
    }
}

pub(super) fn mktemp(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "dqtp:u") else { return Ok(1) };
    let template = options.rest.first().cloned().unwrap_or_else(|| b"tmp.XXXXXX".to_vec());
    let marks = template.iter().rev().take_while(|&&byte| byte == b'X').count();
    if marks < 6 {
        call.complain(run, "Invalid argument");
        return Ok(1);
    }
    let path = if options.rest.is_empty() { [b"/tmp/".as_slice(), &template].concat() } else { template };
    let letters = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    run.shell.next_pid += 1;
    let mut state = run.shell.seed ^ u64::from(run.shell.next_pid);
    let stem = path.get(..path.len() - marks).unwrap_or_default();
    let mut name = stem.to_vec();
    for _ in 0..marks {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        name.extend(letters.get((state >> 33) as usize % letters.len()));
    }
    let folder = run.folder();
    let result = if options.has(b'd') {
        run.files().make_folder(&folder, &name, 0o700)
    } else {
        run.files().open(&folder, &name, 0o600).map(|_| ())
    };
    match result {
        Ok(()) => {
            run.line(name);
            Ok(0)
        }
        Err(error) => {
            call.fails_on(run, &path, error);
            Ok(1)
        }
    }
}
