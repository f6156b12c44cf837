//! Applets that read bytes and print bytes.

use super::{Call, lines, number, shown, size};
use crate::shell::files::Errno;
use crate::shell::run::{Run, Status};

/// The files of a call, or standard input.
pub(super) fn names(rest: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    if rest.is_empty() { vec![b"-".to_vec()] } else { rest }
}

pub(super) fn cat(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "nbvteAu") else { return Ok(1) };
    let mut status = 0;
    let mut count = 0;
    for name in names(options.rest.clone()) {
        match call.input(run, &name)? {
            Ok(bytes) if options.has(b'n') => {
                let mut out = Vec::new();
                for line in lines(&bytes) {
                    count += 1;
                    out.extend_from_slice(format!("{count:6}\t").as_bytes());
                    out.extend_from_slice(line);
                    out.push(b'\n');
                }
                run.out(out);
            }
            Ok(bytes) => run.out(bytes),
            Err(Errno::IsDirectory) => {
                call.complain(run, "read error: Is a directory");
                status = 1;
            }
            Err(error) => {
                call.cannot_open(run, &name, error);
                status = 1;
            }
        }
    }
    Ok(status)
}

pub(super) fn more(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    cat(run, call)
}

pub(super) fn cmp(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "sl") else { return Ok(2) };
    let [first, rest @ ..] = options.rest.as_slice() else { return call.usage(run) };
    let second = rest.first().map_or(b"-".as_slice(), Vec::as_slice);
    let mut both = Vec::new();
    for name in [first.as_slice(), second] {
        match call.input(run, name)? {
            Ok(bytes) => both.push(bytes),
            Err(error) => {
                call.fails_on(run, name, error);
                return Ok(2);
            }
        }
    }
    let (one, two) = (both.first().cloned().unwrap_or_default(), both.get(1).cloned().unwrap_or_default());
    let names = format!("{} {}", shown(first), shown(second));
    match one.iter().zip(&two).position(|(a, b)| a != b) {
        Some(at) => {
            let line = one.iter().take(at).filter(|&&byte| byte == b'\n').count() + 1;
            if !options.has(b's') {
                run.line(format!("{names} differ: char {}, line {line}", at + 1));
            }
            Ok(1)
        }
        None if one.len() != two.len() => {
            let shorter = if one.len() < two.len() { first.as_slice() } else { second };
            call.complain(run, format!("EOF on {}", shown(shorter)));
            Ok(1)
        }
        None => Ok(0),
    }
}

/// Old options with a number in place of a letter: `-5`.
fn with_count(arguments: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut arguments = arguments.to_vec();
    if let Some(first) = arguments.first_mut()
        && let Some(digits) = first.strip_prefix(b"-")
        && digits.first().is_some_and(u8::is_ascii_digit)
    {
        *first = [b"-n", digits].concat();
    }
    arguments
}

pub(super) fn head(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let arguments = with_count(call.arguments);
    let call = Call { applet: call.applet, arguments: &arguments };
    let Some(options) = call.options(run, "n:c:qv") else { return Ok(1) };
    let is_bytes = options.has(b'c');
    let given = options.value(if is_bytes { b'c' } else { b'n' }).unwrap_or(b"10").to_vec();
    let (is_all_but, digits) = match given.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, given.as_slice()),
    };
    let Some(count) = size(digits) else {
        call.complain(run, format!("invalid number '{}'", shown(&given)));
        return Ok(1);
    };
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let names = names(options.rest.clone());
    let has_titles = (names.len() > 1 || options.has(b'v')) && !options.has(b'q');
    let mut status = 0;
    for (index, name) in names.iter().enumerate() {
        // Of standard input only what is asked for is taken: what follows may read the rest.
        let bytes =
            if name == b"-" && is_bytes && !is_all_but { Ok(run.read_at_most(count)) } else { call.input(run, name)? };
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(error) => {
                match error {
                    Errno::IsDirectory => call.complain(run, [name.as_slice(), b": Is a directory"].concat()),
                    error => call.fails_on(run, name, error),
                }
                status = 1;
                continue;
            }
        };
        if has_titles {
            let shown_name = if name == b"-" { b"standard input" } else { name.as_slice() };
            run.out([if index > 0 { b"\n==> ".as_slice() } else { b"==> " }, shown_name, b" <==\n"].concat());
        }
        let units = if is_bytes { bytes.len() } else { lines(&bytes).len() };
        let taken = if is_all_but { units.saturating_sub(count) } else { count.min(units) };
        let end = if is_bytes { taken } else { line_end(&bytes, taken) };
        run.out(bytes.get(..end).unwrap_or_default());
    }
    Ok(status)
}

/// Where so many lines end.
fn line_end(bytes: &[u8], count: usize) -> usize {
    if count == 0 {
        return 0;
    }
    bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(count - 1).map_or(bytes.len(), |(at, _)| at + 1)
}

pub(super) fn tail(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let arguments = with_count(call.arguments);
    let call = Call { applet: call.applet, arguments: &arguments };
    let Some(options) = call.options(run, "n:c:s:fFqv") else { return Ok(1) };
    let is_bytes = options.has(b'c');
    let given = options.value(if is_bytes { b'c' } else { b'n' }).unwrap_or(b"10").to_vec();
    let (is_from, digits) = match given.as_slice() {
        [b'+', digits @ ..] => (true, digits),
        [b'-', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let Some(count) = size(digits) else {
        call.complain(run, format!("invalid number '{}'", shown(&given)));
        return Ok(1);
    };
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let names = names(options.rest.clone());
    let has_titles = (names.len() > 1 || options.has(b'v')) && !options.has(b'q');
    let (mut status, mut done) = (0, 0);
    for name in &names {
        let bytes = match call.input(run, name)? {
            Ok(bytes) => bytes,
            Err(error) => {
                call.cannot_open(run, name, error);
                status = 1;
                continue;
            }
        };
        if has_titles {
            run.out([if done > 0 { b"\n==> ".as_slice() } else { b"==> " }, name, b" <==\n"].concat());
        }
        done += 1;
        let start = match (is_bytes, is_from) {
            (true, true) => count.saturating_sub(1).min(bytes.len()),
            (true, false) => bytes.len().saturating_sub(count),
            (false, true) => line_end(&bytes, count.saturating_sub(1)),
            (false, false) => line_end(&bytes, lines(&bytes).len().saturating_sub(count)),
        };
        run.out(bytes.get(start..).unwrap_or_default());
    }
    if done == 0 {
        call.complain(run, "no files");
    }
    Ok(status)
}

pub(super) fn wc(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "lwcmL") else { return Ok(1) };
    let all = !b"lwcmL".iter().any(|letter| options.has(*letter));
    let names = names(options.rest.clone());
    let mut total = [0_usize; 3];
    let mut status = 0;
    let has_total = names.len() > 1;
    let print = |run: &mut Run<'_>, counts: [usize; 3], name: &[u8]| {
        let mut chosen = Vec::new();
        for (count, letters) in counts.into_iter().zip([b"l".as_slice(), b"w", b"cm"]) {
            if all || letters.iter().any(|letter| options.has(*letter)) {
                chosen.push(count);
            }
        }
        let is_only = chosen.len() == 1 && !has_total;
        let text = |count: &usize| if is_only { count.to_string() } else { format!("{count:9}") };
        let mut line = chosen.iter().map(text).collect::<Vec<_>>().join(" ").into_bytes();
        if name != b"-" {
            line.push(b' ');
        }
        if name != b"-" {
            line.extend_from_slice(name);
        }
        run.line(line);
    };
    for name in &names {
        match call.input(run, name)? {
            Ok(bytes) => {
                let words = bytes.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).count();
                let counts = [bytes.iter().filter(|&&byte| byte == b'\n').count(), words, bytes.len()];
                print(run, counts, name);
                for (sum, count) in total.iter_mut().zip(counts) {
                    *sum += count;
                }
            }
            Err(error) => {
                call.fails_on(run, name, error);
                status = 1;
            }
        }
    }
    if has_total {
        print(run, total, b"total");
    }
    Ok(status)
}

pub(super) fn cut(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "b:c:f:d:sn") else { return Ok(1) };
    let is_fields = options.has(b'f');
    let Some(list) = [b'b', b'c', b'f'].into_iter().find_map(|letter| options.value(letter).map(<[u8]>::to_vec)) else {
        call.complain(run, "expected a list of bytes, characters, or fields");
        return Ok(1);
    };
    let mut ranges = Vec::new();
    for part in list.split(|&byte| byte == b',') {
        let (from, to) = match part.iter().position(|&byte| byte == b'-') {
            Some(at) => {
                let (from, to) = (part.get(..at).unwrap_or_default(), part.get(at + 1..).unwrap_or_default());
                (
                    if from.is_empty() { Some(1) } else { number(from) },
                    if to.is_empty() { Some(u64::MAX) } else { number(to) },
                )
            }
            None => (number(part), number(part)),
        };
        match (from, to) {
            (Some(from @ 1..), Some(to)) => ranges.push(from..=to),
            _ => {
                call.complain(run, format!("invalid number '{}'", shown(part)));
                return Ok(1);
            }
        }
    }
    let is_in = |at: usize| ranges.iter().any(|range| range.contains(&(at as u64 + 1)));
    let separator = options.value(b'd').and_then(|value| value.first().copied()).unwrap_or(b'\t');
    let mut status = 0;
    for name in names(options.rest.clone()) {
        let bytes = match call.input(run, &name)? {
            Ok(bytes) => bytes,
            Err(error) => {
                call.fails_on(run, &name, error);
                status = 1;
                continue;
            }
        };
        run.pay(bytes.len().saturating_mul(ranges.len()))?;
        let mut out = Vec::new();
        for line in lines(&bytes) {
            if !is_fields {
                out.extend(line.iter().enumerate().filter(|(at, _)| is_in(*at)).map(|(_, byte)| byte));
            } else if !line.contains(&separator) {
                if options.has(b's') {
                    continue;
                }
                out.extend_from_slice(line);
            } else {
                let fields = line.split(|&byte| byte == separator).enumerate();
                let fields: Vec<&[u8]> = fields.filter(|(at, _)| is_in(*at)).map(|(_, field)| field).collect();
                out.extend_from_slice(&fields.join(&separator));
            }
            out.push(b'\n');
        }
        run.out(out);
    }
    Ok(status)
}

/// The bytes that a set of `tr` stands for.
fn set(text: &[u8]) -> Vec<u8> {
    let mut set = Vec::new();
    let mut plain = Vec::new();
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'\\' && !rest.is_empty() {
            let (value, read) = crate::shell::escapes::one(rest);
            plain.push((value, false));
            rest = rest.get(read..).unwrap_or_default();
        } else {
            plain.push((byte, true));
        }
    }
    let mut at = 0;
    while let Some(&(byte, is_plain)) = plain.get(at) {
        let after: Vec<u8> = plain.iter().skip(at).take(12).map(|(byte, _)| *byte).collect();
        let class = [(b"[:upper:]".as_slice(), b'A'..=b'Z'), (b"[:lower:]", b'a'..=b'z'), (b"[:digit:]", b'0'..=b'9')];
        if let Some((name, range)) = class.into_iter().find(|(name, _)| is_plain && after.starts_with(name)) {
            set.extend(range);
            at += name.len();
        } else if is_plain && after.starts_with(b"[:alpha:]") {
            set.extend((b'A'..=b'Z').chain(b'a'..=b'z'));
            at += 9;
        } else if is_plain && after.starts_with(b"[:alnum:]") {
            set.extend((b'0'..=b'9').chain(b'A'..=b'Z').chain(b'a'..=b'z'));
            at += 9;
        } else if is_plain && after.starts_with(b"[:space:]") {
            set.extend_from_slice(b"\t\n\x0b\x0c\r ");
            at += 9;
        } else if plain.get(at + 1) == Some(&(b'-', true))
            && let Some(&(high, _)) = plain.get(at + 2)
        {
            set.extend(byte..=high);
            at += 3;
        } else {
            set.push(byte);
            at += 1;
        }
    }
    set
}

pub(super) fn tr(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "+cCds") else { return Ok(1) };
    let (deletes, squeezes) = (options.has(b'd'), options.has(b's'));
    let [first, rest @ ..] = options.rest.as_slice() else { return call.usage(run) };
    if rest.len() > 1 {
        return call.usage(run);
    }
    let mut from = set(first);
    if options.has(b'c') || options.has(b'C') {
        from = (0..=255).filter(|byte| !from.contains(byte)).collect();
    }
    let to = rest.first().map(|text| set(text)).unwrap_or_default();
    let bytes = run.read_all();
    run.pay(bytes.len())?;
    let mut table: Vec<u8> = (0..=255).collect();
    if !deletes && let Some(&last) = to.last() {
        for (index, byte) in from.iter().enumerate() {
            if let Some(slot) = table.get_mut(usize::from(*byte)) {
                *slot = to.get(index).copied().unwrap_or(last);
            }
        }
    }
    let mut squeezed = [false; 256];
    for byte in if to.is_empty() { &from } else { &to } {
        squeezed[usize::from(*byte)] = squeezes;
    }
    let mut is_from = [false; 256];
    for byte in &from {
        is_from[usize::from(*byte)] = true;
    }
    let mut out: Vec<u8> = Vec::with_capacity(bytes.len());
    for byte in bytes {
        if deletes && is_from[usize::from(byte)] {
            continue;
        }
        let byte = table.get(usize::from(byte)).copied().unwrap_or(byte);
        if squeezed[usize::from(byte)] && out.last() == Some(&byte) {
            continue;
        }
        out.push(byte);
    }
    run.out(out);
    Ok(0)
}

pub(super) fn sort(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "nrugMcszbdfiok:o:t:T:") else { return Ok(1) };
    let mut all = Vec::new();
    for name in names(options.rest.clone()) {
        match call.input(run, &name)? {
            Ok(bytes) => all.extend(lines(&bytes).into_iter().map(<[u8]>::to_vec)),
            Err(error) => {
                call.fails_on(run, &name, error);
                return Ok(2);
            }
        }
    }
    run.pay(all.iter().map(|line| line.len() * 8).sum::<usize>())?;
    let field = options.value(b'k').and_then(|key| {
        let digits = key.iter().take_while(|byte| byte.is_ascii_digit()).count();
        number(key.get(..digits)?).and_then(|field| (field as usize).checked_sub(1))
    });
    let separator = options.value(b't').and_then(|value| value.first().copied());
    let key = |line: &[u8]| -> Vec<u8> {
        let Some(field) = field else { return line.to_vec() };
        match separator {
            Some(separator) => line.split(|&byte| byte == separator).skip(field).collect::<Vec<_>>().join(&separator),
            None => {
                let fields = line.split(u8::is_ascii_whitespace).filter(|part| !part.is_empty());
                fields.skip(field).collect::<Vec<_>>().join(&b' ')
            }
        }
    };
    let value = |key: &[u8]| -> i64 {
        let key = key.trim_ascii_start();
        let end =
            key.iter().enumerate().take_while(|(at, byte)| byte.is_ascii_digit() || *at == 0 && **byte == b'-').count();
        std::str::from_utf8(key.get(..end).unwrap_or_default()).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
    };
    let is_numeric =
        options.has(b'n') || options.has(b'g') || options.value(b'k').is_some_and(|key| key.ends_with(b"n"));
    let compare = |one: &Vec<u8>, two: &Vec<u8>| {
        let (one_key, two_key) = (key(one), key(two));
        if is_numeric {
            value(&one_key).cmp(&value(&two_key))
        } else if options.has(b'f') {
            one_key.to_ascii_uppercase().cmp(&two_key.to_ascii_uppercase())
        } else {
            one_key.cmp(&two_key)
        }
    };
    all.sort_by(|one, two| {
        let order = compare(one, two);
        let order = if options.has(b'r') { order.reverse() } else { order };
        let is_final = options.has(b's') || options.has(b'u');
        order.then_with(|| if is_final { std::cmp::Ordering::Equal } else { one.cmp(two) })
    });
    if options.has(b'u') {
        all.dedup_by(|two, one| compare(one, two).is_eq());
    }
    let mut out = all.join(&b'\n');
    if !all.is_empty() {
        out.push(b'\n');
    }
    match options.value(b'o').map(<[u8]>::to_vec) {
        Some(name) => write_file(run, call, &name, &out),
        None => {
            run.out(out);
            Ok(0)
        }
    }
}

/// Writes a whole file.
fn write_file(run: &mut Run<'_>, call: &Call<'_>, name: &[u8], bytes: &[u8]) -> Status {
    match run.open_path(name, false) {
        Ok(fd) => {
            run.with_fds(None, Some(fd), |run| run.out(bytes));
            Ok(0)
        }
        Err(error) => {
            call.cannot_open(run, name, error);
            Ok(1)
        }
    }
}

pub(super) fn uniq(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "cduf:s:w:i") else { return Ok(1) };
    let name = options.rest.first().map_or(b"-".as_slice(), Vec::as_slice);
    let bytes = match call.input(run, name)? {
        Ok(bytes) => bytes,
        Err(error) => {
            call.cannot_open(run, name, error);
            return Ok(1);
        }
    };
    let mut out = Vec::new();
    let all = lines(&bytes);
    for group in all.chunk_by(|one, two| if options.has(b'i') { one.eq_ignore_ascii_case(two) } else { one == two }) {
        if options.has(b'd') && group.len() < 2 || options.has(b'u') && group.len() > 1 {
            continue;
        }
        if options.has(b'c') {
            out.extend_from_slice(format!("{:7} ", group.len()).as_bytes());
        }
        out.extend_from_slice(group.first().copied().unwrap_or_default());
        out.push(b'\n');
    }
    run.out(out);
    Ok(0)
}

pub(super) fn tee(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "ia") else { return Ok(1) };
    let bytes = run.read_all();
    run.pay(bytes.len())?;
    let mut status = 0;
    for name in &options.rest {
        match run.open_path(name, options.has(b'a')) {
            Ok(fd) => run.with_fds(None, Some(fd), |run| run.out(&bytes)),
            Err(error) => {
                call.fails_on(run, name, error);
                status = 1;
            }
        }
    }
    run.out(bytes);
    Ok(status)
}

pub(super) fn yes(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let mut line = if call.arguments.is_empty() { b"y".to_vec() } else { call.arguments.join(&b' ') };
    line.push(b'\n');
    // It writes until nobody reads any more; on a terminal that is until somebody interrupts it.
    let most = run.room().saturating_add(1).min(1 << 20);
    run.pay(most)?;
    let bytes: Vec<u8> = line.iter().copied().cycle().take(most).collect();
    run.out(bytes);
    run.pay(0).map(|()| 1)
}

pub(super) fn basename(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(name) = call.arguments.first() else { return call.usage(run) };
    let trimmed = trim_slashes(name);
    let mut base = if trimmed == b"/" { trimmed } else { crate::shell::files::split(trimmed).1 };
    if let Some(suffix) = call.arguments.get(1)
        && let Some(shorter) = base.strip_suffix(suffix.as_slice())
        && !shorter.is_empty()
    {
        base = shorter;
    }
    run.line(base);
    Ok(0)
}

pub(super) fn dirname(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let [name] = call.arguments else { return call.usage(run) };
    let (folder, _) = crate::shell::files::split(trim_slashes(name));
    run.line(if folder.is_empty() { b"." } else { folder });
    Ok(0)
}

fn trim_slashes(name: &[u8]) -> &[u8] {
    let mut name = name;
    while name.len() > 1 && name.ends_with(b"/") {
        name = name.get(..name.len() - 1).unwrap_or_default();
    }
    name
}

pub(super) fn seq(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "+ws:") else { return Ok(1) };
    let mut values = Vec::new();
    for word in &options.rest {
        match std::str::from_utf8(word).ok().and_then(|word| word.parse::<i64>().ok()) {
            Some(value) => values.push(value),
            None => return call.usage(run),
        }
    }
    let (first, step, last) = match values.as_slice() {
        [last] => (1, 1, *last),
        [first, last] => (*first, 1, *last),
        [first, step, last] => (*first, *step, *last),
        _ => return call.usage(run),
    };
    let separator = options.value(b's').unwrap_or(b"\n").to_vec();
    let mut out = Vec::new();
    let mut at = Some(first);
    while let Some(value) = at.filter(|&value| if step < 0 { value >= last } else { value <= last }) {
        run.pay(0)?;
        if !out.is_empty() {
            out.extend_from_slice(&separator);
        }
        out.extend_from_slice(value.to_string().as_bytes());
        if step == 0 || out.len() > run.room() {
            break;
        }
        at = value.checked_add(step);
    }
    if !out.is_empty() {
        out.push(b'\n');
    }
    run.out(out);
    Ok(0)
}
