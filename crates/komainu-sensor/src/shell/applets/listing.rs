//! Applets that tell about files: `ls`, `stat`, `du`.

use super::disk::{WALK_MAX, Walked, walk};
use super::{Call, shown, system};
use crate::shell::files::{self, Kind, Stat};
use crate::shell::run::{Run, Status, Stop};

/// `-rwxr-xr-x`.
fn mode_text(stat: &Stat) -> String {
    let kind = match stat.kind {
        Kind::Folder => 'd',
        Kind::File => '-',
        Kind::Link(_) => 'l',
        Kind::Device(_) => 'c',
    };
    let mut text = String::from(kind);
    for (shift, special) in [(6, 's'), (3, 's'), (0, 't')] {
        let bits = stat.mode >> shift & 7;
        let is_special = stat.mode
            & (if shift == 6 {
                0o4000
            } else if shift == 3 {
                0o2000
            } else {
                0o1000
            })
            != 0;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (bits & 1 != 0, is_special) {
            (true, true) => special,
            (false, true) => special.to_ascii_uppercase(),
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    text
}

struct Listing {
    is_long: bool,
    shows_all: bool,
    almost_all: bool,
    marks: bool,
    is_human: bool,
    has_inodes: bool,
    shows_numbers: bool,
    by_time: bool,
    is_reversed: bool,
    in_columns: bool,
}

pub(super) fn ls(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let letters = "1AaCxdLHRFplinshrSXvctuTkwqZ:g";
    let Some(options) = call.options_with_long(run, letters, &[("color", b'Z'), ("color=", b'Z'), ("full-time", b'g')])
    else {
        return Ok(1);
    };
    let listing = Listing {
        is_long: options.has(b'l') || options.has(b'n') || options.has(b'g'),
        shows_all: options.has(b'a'),
        almost_all: options.has(b'A'),
        marks: options.has(b'F') || options.has(b'p'),
        is_human: options.has(b'h'),
        has_inodes: options.has(b'i'),
        shows_numbers: options.has(b'n'),
        by_time: options.has(b't'),
        is_reversed: options.has(b'r'),
        in_columns: (run.has_terminal && run.is_terminal(1) || options.has(b'C')) && !options.has(b'1'),
    };
    let folder = run.folder();
    let names = if options.rest.is_empty() { vec![b".".to_vec()] } else { options.rest.clone() };
    let (mut files_found, mut folders) = (Vec::new(), Vec::new());
    let mut status = 0;
    for name in &names {
        // A link that is named is followed, unless its own entry is wanted.
        let own = run.files().stat_link(&folder, name);
        let stat = if listing.is_long { own.clone() } else { run.files().stat(&folder, name).or(own.clone()) };
        match stat {
            Err(error) => {
                call.fails_on(run, name, error);
                status = 1;
            }
            Ok(stat) if stat.kind == Kind::Folder && !options.has(b'd') => folders.push(name.clone()),
            Ok(stat) => files_found.push((name.clone(), stat)),
        }
    }
    let has_titles = names.len() > 1 || options.has(b'R');
    let mut is_first = files_found.is_empty();
    list(run, &listing, &folder, files_found, None)?;
    folders.reverse();
    let mut count = 0;
    while let Some(name) = folders.pop() {
        count += 1;
        if count > WALK_MAX {
            return Err(Stop::Exhausted);
        }
        if has_titles {
            run.out([if is_first { b"".as_slice() } else { b"\n" }, &name, b":\n"].concat());
        }
        is_first = false;
        let mut entries = Vec::new();
        if listing.shows_all {
            for own in [b".".as_slice(), b".."] {
                if let Ok(stat) = run.files().stat(&folder, &files::join(&name, own)) {
                    entries.push((own.to_vec(), stat));
                }
            }
        }
        let found = run.files().list(&folder, &name).unwrap_or_default();
        run.pay(found.len() * 64)?;
        for entry in found {
            if entry.starts_with(b".") && !listing.shows_all && !listing.almost_all {
                continue;
            }
            if let Ok(stat) = run.files().stat_link(&folder, &files::join(&name, &entry)) {
                entries.push((entry, stat));
            }
        }
        if options.has(b'R') {
            let below: Vec<Vec<u8>> = entries
                .iter()
                .filter(|(entry, stat)| stat.kind == Kind::Folder && !matches!(entry.as_slice(), b"." | b".."))
                .map(|(entry, _)| files::join(&name, entry))
                .collect();
            folders.extend(below.into_iter().rev());
        }
        list(run, &listing, &name, entries, Some(()))?;
    }
    Ok(status)
}

fn list(
    run: &mut Run<'_>,
    listing: &Listing,
    folder: &[u8],
    mut entries: Vec<(Vec<u8>, Stat)>,
    total: Option<()>,
) -> Result<(), Stop> {
    entries.sort_by(|(one, one_stat), (two, two_stat)| {
        let order =
            if listing.by_time { two_stat.changed_s.cmp(&one_stat.changed_s) } else { std::cmp::Ordering::Equal };
        let order = order.then_with(|| one.cmp(two));
        if listing.is_reversed { order.reverse() } else { order }
    });
    if listing.is_long && total.is_some() {
        let blocks: usize = entries.iter().map(|(_, stat)| blocks(stat)).sum();
        run.line(format!("total {blocks}"));
    }
    let here = run.folder();
    let now_s = run.wall_clock_s();
    let mut cells: Vec<(Vec<u8>, usize)> = Vec::new();
    for (name, stat) in &entries {
        run.pay(name.len() + 64)?;
        let mut cell = Vec::new();
        if listing.has_inodes {
            let inode =
                name.iter().fold(stat.size as u32 % 7, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(*byte)));
            cell.extend_from_slice(format!("{:7} ", inode % 9_000 + 12).as_bytes());
        }
        if listing.is_long {
            let owner = if listing.shows_numbers || stat.uid != 0 { stat.uid.to_string() } else { "root".to_owned() };
            let size = match stat.kind {
                Kind::Device(_) => format!("{:4}, {:3} ", 1, name.len() % 10),
                _ if listing.is_human => format!("{:>9} ", human(stat.size)),
                _ => format!("{:9} ", stat.size),
            };
            let changed = run.machine.wall_clock_s + stat.changed_s.unwrap_or(0);
            let changed = if stat.changed_s.is_none() {
                run.machine.wall_clock_s.saturating_sub(run.machine.uptime_s)
            } else {
                changed
            };
            let date = system::short_date(changed, now_s);
            let links = if stat.kind == Kind::Folder { 2 } else { 1 };
            let line = format!("{} {links:4} {owner:<8} {owner:<8} {size}{date} ", mode_text(stat));
            cell.extend_from_slice(line.as_bytes());
        }
        let mark = match stat.kind {
            Kind::Folder => "/",
            Kind::Link(_) => "@",
            Kind::File if stat.mode & 0o111 != 0 => "*",
            _ => "",
        };
        let colour = listing.in_columns.then_some(match &stat.kind {
            Kind::Folder => "1;34",
            Kind::Link(_) => "1;36",
            Kind::Device(_) => "1;33",
            Kind::File if stat.mode & 0o111 != 0 => "1;32",
            Kind::File => "",
        });
        let start = cell.len();
        match colour {
            Some(code) if run.has_terminal => {
                let code = if code.is_empty() { "0;0" } else { code };
                cell.extend_from_slice(format!("\x1b[{code}m").as_bytes());
                cell.extend_from_slice(name);
                cell.extend_from_slice(b"\x1b[m");
            }
            _ => cell.extend_from_slice(name),
        }
        if let Kind::Link(target) = &stat.kind
            && listing.is_long
        {
            cell.extend_from_slice(b" -> ");
            let target_kind = run.files().stat(&here, &files::join(folder, name)).ok();
            match colour {
                Some(_) if run.has_terminal => {
                    let code = match target_kind.as_ref().map(|stat| (&stat.kind, stat.mode)) {
                        Some((Kind::Folder, _)) => "1;34",
                        Some((Kind::File, mode)) if mode & 0o111 != 0 => "1;32",
                        Some((Kind::Device(_), _)) => "1;33",
                        _ => "0;0",
                    };
                    cell.extend_from_slice(format!("\x1b[{code}m").as_bytes());
                    cell.extend_from_slice(target);
                    cell.extend_from_slice(b"\x1b[m");
                }
                _ => cell.extend_from_slice(target),
            }
        } else if listing.marks {
            cell.extend_from_slice(mark.as_bytes());
        }
        let width = start + name.len() + if listing.marks { mark.len() } else { 0 };
        cells.push((cell, width));
    }
    let mut out = Vec::new();
    let widest = cells.iter().map(|(_, width)| width + 2).max().unwrap_or(1);
    let columns = if listing.in_columns && !listing.is_long { (80 / widest).max(1) } else { 1 };
    let rows = if columns > 1 { cells.len().div_ceil(columns) } else { cells.len() };
    for row in 0..rows {
        let mut padding = 0;
        for column in 0..columns {
            if let Some((cell, width)) = cells.get(column * rows + row) {
                out.resize(out.len() + padding, b' ');
                out.extend_from_slice(cell);
                padding = widest.saturating_sub(*width);
            }
        }
        out.push(b'\n');
    }
    run.out(out);
    Ok(())
}

pub(super) fn human(size: usize) -> String {
    match size {
        0..1024 => size.to_string(),
        1024..1_048_576 => format!("{:.1}K", size as f64 / 1024.0),
        _ => format!("{:.1}M", size as f64 / 1_048_576.0),
    }
}

/// What a file takes on the disk, in KiB.
fn blocks(stat: &Stat) -> usize {
    match stat.kind {
        Kind::File => stat.size.div_ceil(4096) * 4,
        _ => 0,
    }
}

pub(super) fn stat(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "ltc:f") else { return Ok(1) };
    if options.rest.is_empty() {
        return call.usage(run);
    }
    let folder = run.folder();
    let mut status = 0;
    for name in &options.rest {
        let found = match run.files().stat_link(&folder, name) {
            Ok(found) => found,
            Err(error) => {
                call.complain(run, [b"can't stat '", name.as_slice(), b"': ", error.text().as_bytes()].concat());
                status = 1;
                continue;
            }
        };
        if let Some(format) = options.value(b'c') {
            let text = shown(format)
                .replace("%s", &found.size.to_string())
                .replace("%a", &format!("{:o}", found.mode))
                .replace("%A", &mode_text(&found))
                .replace("%U", "root")
                .replace("%G", "root")
                .replace("%n", &shown(name));
            run.line(text);
            continue;
        }
        let kind = match found.kind {
            Kind::Folder => "directory",
            Kind::File if found.size == 0 => "regular empty file",
            Kind::File => "regular file",
            Kind::Link(_) => "symbolic link",
            Kind::Device(_) => "character special file",
        };
        let mode = mode_text(&found);
        let size = found.size;
        run.out(format!(
            "  File: {}\n  Size: {size:<10}\tBlocks: {:<10} IO Block: 4096   {kind}\nDevice: fh/15d\tInode: {:<10}  \
                Links: 1\n\
             Access: ({:04o}/{mode})  Uid: (    0/    root)   Gid: (    0/    root)\n",
            shown(name),
            blocks(&found) * 2,
            1_204,
            found.mode
        ));
    }
    Ok(status)
}

pub(super) fn du(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "aHkLsxhmcd:") else { return Ok(1) };
    let roots = if options.rest.is_empty() { vec![b".".to_vec()] } else { options.rest.clone() };
    let mut status = 0;
    for root in roots {
        let found = walk(run, vec![root.clone()])?;
        if let [(path, Err(error), _)] = found.as_slice() {
            call.fails_on(run, path, *error);
            status = 1;
            continue;
        }
        for (path, stat, depth) in found.iter().rev() {
            run.pay(found.len() * 16)?;
            let is_folder = stat.as_ref().is_ok_and(|stat| stat.kind == Kind::Folder);
            if *depth > 0 && (options.has(b's') || !is_folder && !options.has(b'a')) {
                continue;
            }
            let prefix = files::join(path, b"");
            let below = |(other, _, _): &&Walked| other == path || other.starts_with(&prefix);
            let kib: usize = found.iter().filter(below).filter_map(|(_, stat, _)| stat.as_ref().ok()).map(blocks).sum();
            run.line([kib.to_string().as_bytes(), b"\t", path].concat());
        }
    }
    Ok(status)
}
