//! Applets that show bytes as numbers and text, and the other way round.

use super::text::names;
use super::{Call, number, shown, size};
use crate::shell::run::{Run, Status};

pub(super) fn strings(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "fon:at:") else { return Ok(1) };
    let least = options.value(b'n').and_then(number).unwrap_or(4).max(1) as usize;
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
        let mut out = Vec::new();
        for text in bytes.split(|byte| !byte.is_ascii_graphic() && !matches!(byte, b' ' | b'\t')) {
            if text.len() >= least {
                out.extend_from_slice(text);
                out.push(b'\n');
            }
        }
        run.out(out);
    }
    Ok(status)
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(super) fn base64(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "dw:") else { return Ok(1) };
    let name = options.rest.first().map_or(b"-".as_slice(), Vec::as_slice);
    let bytes = match call.input(run, name)? {
        Ok(bytes) => bytes,
        Err(error) => {
            call.fails_on(run, name, error);
            return Ok(1);
        }
    };
    if options.has(b'd') {
        let mut out = Vec::new();
        let (mut bits, mut count) = (0_u32, 0);
        for byte in bytes {
            if byte == b'=' {
                break;
            }
            let Some(value) = BASE64.iter().position(|&letter| letter == byte) else { continue };
            bits = bits << 6 | value as u32;
            count += 1;
            if count == 4 {
                out.extend_from_slice(bits.to_be_bytes().get(1..).unwrap_or_default());
                (bits, count) = (0, 0);
            }
        }
        match count {
            2 => out.push((bits >> 4) as u8),
            3 => out.extend_from_slice(&[(bits >> 10) as u8, (bits >> 2) as u8]),
            _ => {}
        }
        run.out(out);
        return Ok(0);
    }
    let width = options.value(b'w').and_then(number).unwrap_or(76) as usize;
    let mut text = Vec::with_capacity(bytes.len() * 4 / 3 + 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| chunk.get(at).copied().unwrap_or(0);
        let bits = u32::from_be_bytes([0, byte(0), byte(1), byte(2)]);
        for place in 0..4 {
            let letter = BASE64.get((bits >> (18 - 6 * place) & 63) as usize).copied().unwrap_or(b'=');
            text.push(if place > chunk.len() { b'=' } else { letter });
        }
    }
    let mut out = Vec::new();
    for chunk in text.chunks(if width == 0 { usize::MAX } else { width }) {
        out.extend_from_slice(chunk);
        if width > 0 {
            out.push(b'\n');
        }
    }
    run.out(out);
    Ok(0)
}

pub(super) fn hexdump(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "bcdoxCe:f:n:s:vR") else { return Ok(1) };
    let mut bytes = Vec::new();
    let mut status = 0;
    for name in names(options.rest.clone()) {
        match call.input(run, &name)? {
            Ok(more) => bytes.extend_from_slice(&more),
            Err(error) => {
                call.fails_on(run, &name, error);
                status = 1;
            }
        }
    }
    if let Some(skip) = options.value(b's').and_then(size) {
        bytes.drain(..bytes.len().min(skip as usize));
    }
    if let Some(most) = options.value(b'n').and_then(size) {
        bytes.truncate(most as usize);
    }
    if let Some(format) = options.value(b'e') {
        return formatted(run, call, &bytes, format);
    }
    let is_canonical = options.has(b'C');
    run.pay(bytes.len() * 4)?;
    let mut out = String::new();
    let mut last: Option<&[u8]> = None;
    let mut is_starred = false;
    for (index, chunk) in bytes.chunks(16).enumerate() {
        if last == Some(chunk) && chunk.len() == 16 && !options.has(b'v') {
            if !is_starred {
                out.push_str("*\n");
                is_starred = true;
            }
            continue;
        }
        (last, is_starred) = (Some(chunk), false);
        if is_canonical {
            let hex: Vec<String> =
                (0..16).map(|at| chunk.get(at).map_or("   ".to_owned(), |byte| format!(" {byte:02x}"))).collect();
            let (left, right) = hex.split_at(8);
            let text: String = chunk
                .iter()
                .map(|&byte| if byte.is_ascii_graphic() || byte == b' ' { char::from(byte) } else { '.' })
                .collect();
            out.push_str(&format!("{:08x} {} {}  |{text}|\n", index * 16, left.concat(), right.concat()));
        } else {
            let words: String = (0..8)
                .map(|at| match (chunk.get(at * 2), chunk.get(at * 2 + 1)) {
                    (Some(low), high) => format!(" {:02x}{low:02x}", high.copied().unwrap_or(0)),
                    _ => "     ".to_owned(),
                })
                .collect();
            out.push_str(&format!("{:07x}{words}\n", index * 16));
        }
    }
    if !bytes.is_empty() {
        out.push_str(&if is_canonical { format!("{:08x}\n", bytes.len()) } else { format!("{:07x}\n", bytes.len()) });
    }
    run.out(out);
    Ok(status)
}

/// `hexdump -e 'COUNT/SIZE "FORMAT"'`: each unit of bytes through the format. Loaders read program headers so.
fn formatted(run: &mut Run<'_>, call: &Call<'_>, bytes: &[u8], format: &[u8]) -> Status {
    let text = shown(format);
    let (units, rest) = text.split_once('"').unwrap_or(("", ""));
    let Some((format, _)) = rest.rsplit_once('"') else {
        call.complain(run, format!("bad format {{{text}}}"));
        return Ok(1);
    };
    let size =
        units.trim().split_once('/').and_then(|(_, size)| size.trim().parse().ok()).unwrap_or(1_usize).clamp(1, 8);
    run.pay(bytes.len().saturating_mul(4))?;
    let (before, rest) = format.split_once('%').unwrap_or((format, ""));
    let end = rest.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(0);
    let (flags, rest) = rest.split_at(end);
    let letter = rest.chars().next();
    let after = rest.get(1..).unwrap_or_default();
    let width = flags.parse().unwrap_or(0_usize).min(64);
    let [before, after] = [before, after].map(|text| crate::shell::escapes::text(text.as_bytes()).0);
    let mut out = Vec::new();
    for unit in bytes.chunks(size) {
        let value = unit.iter().rev().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
        let is_zero = flags.starts_with('0');
        out.extend_from_slice(&before);
        match letter {
            Some('c') => out.extend_from_slice(unit.get(..1).unwrap_or_default()),
            Some('x') if is_zero => out.extend_from_slice(format!("{value:0width$x}").as_bytes()),
            Some('x') => out.extend_from_slice(format!("{value:width$x}").as_bytes()),
            Some('X') => out.extend_from_slice(format!("{value:0width$X}").as_bytes()),
            Some('o') => out.extend_from_slice(format!("{value:0width$o}").as_bytes()),
            Some('d' | 'u' | 'i') => out.extend_from_slice(format!("{value:width$}").as_bytes()),
            _ => {}
        }
        out.extend_from_slice(&after);
    }
    run.out(out);
    Ok(0)
}

pub(super) fn od(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "abcdfhilovxsBDFHILOXA:N:j:t:S:w:") else { return Ok(1) };
    let mut bytes = Vec::new();
    let mut status = 0;
    for name in names(options.rest.clone()) {
        match call.input(run, &name)? {
            Ok(more) => bytes.extend_from_slice(&more),
            Err(error) => {
                call.fails_on(run, &name, error);
                status = 1;
            }
        }
    }
    if let Some(most) = options.value(b'N').and_then(size) {
        bytes.truncate(most as usize);
    }
    run.pay(bytes.len() * 4)?;
    let kind = options.value(b't').unwrap_or(b"").to_vec();
    let address = |at: usize| match options.value(b'A') {
        Some(b"n") => String::new(),
        Some(b"x") => format!("{at:06x}"),
        Some(b"d") => format!("{at:07}"),
        _ => format!("{at:07o}"),
    };
    let letter = kind.first().copied().unwrap_or(match () {
        () if options.has(b'c') => b'c',
        () if options.has(b'x') || options.has(b'h') => b'x',
        () if options.has(b'd') => b'u',
        () => b'o',
    });
    let default = if options.has(b'b') {
        1
    } else if kind.is_empty() {
        2
    } else {
        4
    };
    let width = kind.get(1..).and_then(number).unwrap_or(default).clamp(1, 8) as usize;
    let mut out = String::new();
    for (index, chunk) in bytes.chunks(16).enumerate() {
        out.push_str(&address(index * 16));
        if letter == b'c' {
            out.extend(chunk.iter().map(|byte| format!(" {:>3}", character(*byte))));
        } else {
            for unit in chunk.chunks(width) {
                let value = unit.iter().rev().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
                let shift = 64 - 8 * width as u32;
                let signed = ((value << shift) as i64) >> shift;
                let hex = width * 2;
                let signs = 1 + if width == 1 { 3 } else { width * 8 / 3 };
                let octal = (width * 8).div_ceil(3);
                // As many columns as the largest value has digits.
                let decimal = [3, 5, 8, 10, 13, 15, 17, 20].get(width - 1).copied().unwrap_or(20);
                out.push_str(&match letter {
                    b'x' => format!(" {value:0hex$x}"),
                    b'u' => format!(" {value:decimal$}"),
                    b'd' => format!(" {signed:>signs$}"),
                    _ => format!(" {value:0octal$o}"),
                });
            }
        }
        out.push('\n');
    }
    let end = address(bytes.len());
    if !end.is_empty() {
        out.push_str(&end);
        out.push('\n');
    }
    run.out(out);
    Ok(status)
}

/// A byte as `od -c` shows it.
fn character(byte: u8) -> String {
    match byte {
        0 => "\\0".to_owned(),
        7 => "\\a".to_owned(),
        8 => "\\b".to_owned(),
        b'\t' => "\\t".to_owned(),
        b'\n' => "\\n".to_owned(),
        11 => "\\v".to_owned(),
        12 => "\\f".to_owned(),
        b'\r' => "\\r".to_owned(),
        32..=126 => char::from(byte).to_string(),
        _ => format!("{byte:03o}"),
    }
}

pub(super) fn sum(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "scw") else { return Ok(1) };
    let mut status = 0;
    for name in names(options.rest.clone()) {
        match call.input(run, &name)? {
            Ok(bytes) => {
                run.pay(bytes.len() * 8)?;
                let digest = super::super::digest::digest(call.applet, &bytes);
                run.line([digest.as_bytes(), b"  ", &name].concat());
            }
            Err(error) => {
                call.cannot_open(run, &name, error);
                status = 1;
            }
        }
    }
    Ok(status)
}
