//! `find`.

use super::disk::{before_removal, walk};
use super::{Call, number, show_usage, shown};
use crate::shell::files::{self, Kind};
use crate::shell::run::{Run, Status};

pub(super) fn find(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let is_test = |word: &Vec<u8>| word.starts_with(b"-") || matches!(word.as_slice(), b"(" | b"!" | b")");
    let roots: Vec<Vec<u8>> = call.arguments.iter().take_while(|word| !is_test(word)).cloned().collect();
    let mut tests = call.arguments.get(roots.len()..).unwrap_or_default().iter();
    let roots = if roots.is_empty() { vec![b".".to_vec()] } else { roots };
    let mut name: Option<(Vec<u8>, bool)> = None;
    let (mut kind, mut most, mut least, mut is_writable, mut deletes, mut commands) =
        (None, usize::MAX, 0, false, false, Vec::new());
    let mut is_negated = false;
    while let Some(test) = tests.next() {
        match test.as_slice() {
            b"-name" => name = tests.next().cloned().map(|name| (name, std::mem::take(&mut is_negated))),
            b"-iname" | b"-path" => name = tests.next().cloned().map(|name| (name, false)),
            b"-type" => kind = tests.next().and_then(|kind| Some((*kind.first()?, std::mem::take(&mut is_negated)))),
            b"-maxdepth" => most = tests.next().and_then(|depth| number(depth)).unwrap_or(0) as usize,
            b"-mindepth" => least = tests.next().and_then(|depth| number(depth)).unwrap_or(0) as usize,
            b"-perm" => is_writable = tests.next().is_some(),
            b"-size" | b"-mtime" | b"-mmin" | b"-user" | b"-group" | b"-newer" => {
                tests.next();
            }
            b"-delete" => deletes = true,
            b"!" | b"-not" => is_negated = true,
            b"-exec" => {
                let command: Vec<Vec<u8>> =
                    tests.by_ref().take_while(|word| !matches!(word.as_slice(), b";" | b"+")).cloned().collect();
                commands.push(command);
            }
            b"-print" | b"-xdev" | b"-follow" | b"-depth" | b"-o" | b"-a" | b"(" | b")" | b"-prune" | b"-print0"
            | b"-executable" => {}
            _ => {
                call.complain(run, format!("unrecognized: {}", shown(test)));
                show_usage(run);
                return Ok(1);
            }
        }
    }
    let mut status = 0;
    for (path, stat, depth) in walk(run, roots)? {
        let stat = match stat {
            Ok(stat) => stat,
            Err(error) => {
                call.fails_on(run, &path, error);
                status = 1;
                continue;
            }
        };
        let own = files::split(&path).1;
        let own = if own.is_empty() { path.as_slice() } else { own };
        run.pay(path.len())?;
        let is_named = name
            .as_ref()
            .is_none_or(|(pattern, is_negated)| crate::shell::pattern::matches(pattern, own) != *is_negated);
        let letter = match stat.kind {
            Kind::Folder => b'd',
            Kind::File => b'f',
            Kind::Link(_) => b'l',
            Kind::Device(_) => b'c',
        };
        let is_right =
            kind.is_none_or(|(kind, is_negated)| (kind == letter) != is_negated) && (least..=most).contains(&depth);
        if !is_named || !is_right || is_writable && stat.mode & 0o002 == 0 {
            continue;
        }
        if deletes {
            if let Ok(place) = run.files().place(b"/", &path, false) {
                before_removal(run, &place);
                // What cannot be removed stays.
                let _ = run.files().remove(&place);
            }
        } else if commands.is_empty() {
            run.line(&path);
        }
        for command in &commands {
            let words: Vec<Vec<u8>> =
                command.iter().map(|word| if word == b"{}" { path.clone() } else { word.clone() }).collect();
            let Some(name) = words.first().cloned() else { continue };
            if let Err(error) = super::xargs::start(run, &name, &words)? {
                call.fails_on(run, &name, error);
            }
        }
    }
    Ok(status)
}

// File systems.
