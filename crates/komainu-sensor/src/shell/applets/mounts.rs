//! Applets that deal with file systems.

use super::Call;
use super::listing::human;
use crate::shell::Note;
use crate::shell::run::{Run, Status};

pub(super) fn df(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "kmhiPaB:t:T") else { return Ok(1) };
    let is_human = options.has(b'h');
    let folder = run.folder();
    let mut chosen = Vec::new();
    let mut status = 0;
    let title = if is_human {
        "Filesystem                Size      Used Available Use% Mounted on\n"
    } else {
        "Filesystem           1K-blocks      Used Available Use% Mounted on\n"
    };
    run.out(title);
    if options.rest.is_empty() {
        chosen.extend(run.machine.mounts.iter().filter(|mount| mount.kib > 0).cloned());
    }
    for name in &options.rest {
        let place = run.files().place(&folder, name, true).ok().filter(|place| run.files().stat(b"/", place).is_ok());
        match place.and_then(|place| run.machine.mount_of(&place).cloned()) {
            Some(mount) => chosen.push(mount),
            None => {
                call.complain(run, [name.as_slice(), b": can't find mount point"].concat());
                status = 1;
            }
        }
    }
    for mount in chosen {
        let free = mount.kib.saturating_sub(mount.used_kib);
        let percent = if mount.kib == 0 { 0 } else { (u64::from(mount.used_kib) * 100).div_ceil(u64::from(mount.kib)) };
        let line = if is_human {
            let human = |kib: u32| if kib == 0 { "0".to_owned() } else { human(kib as usize * 1024) };
            format!(
                "{:<20} {:>9} {:>9} {:>9} {percent:>3}% {}\n",
                mount.source,
                human(mount.kib),
                human(mount.used_kib),
                human(free),
                mount.at
            )
        } else {
            format!(
                "{:<20} {:>9} {:>9} {free:>9} {percent:>3}% {}\n",
                mount.source, mount.kib, mount.used_kib, mount.at
            )
        };
        run.out(line);
    }
    Ok(status)
}

pub(super) fn mount(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "o:t:rwanfiv") else { return Ok(1) };
    if options.rest.is_empty() && !options.has(b'a') {
        let lines: Vec<String> = run
            .machine
            .mounts
            .iter()
            .map(|m| format!("{} on {} type {} ({})\n", m.source, m.at, m.kind, m.options))
            .collect();
        run.out(lines.concat());
        return Ok(0);
    }
    run.note(Note::Mounted);
    if options.value(b'o').is_some_and(|given| given.windows(7).any(|window| window == b"remount")) {
        let at = options.rest.last().cloned().unwrap_or_default();
        if at == b"/" && run.machine.mount_of(b"/").is_none_or(|root| !root.is_writable()) {
            call.complain(
                run,
                "can't remount /dev/root on / read-write: Invalid argument"
                    .replace("Invalid argument", "Read-only file system"),
            );
            return Ok(1);
        }
        return Ok(0);
    }
    Ok(0)
}

pub(super) fn umount(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "fldnrat:") else { return Ok(1) };
    if options.rest.is_empty() && !options.has(b'a') {
        return call.usage(run);
    }
    let mut status = 0;
    for name in &options.rest {
        let folder = run.folder();
        if let Err(error) = run.files().stat(&folder, name) {
            call.complain(run, [b"can't unmount ", name.as_slice(), b": ", error.text().as_bytes()].concat());
            status = 1;
            continue;
        }
        let is_mounted = run.machine.mounts.iter().any(|mount| mount.at.as_bytes() == name.as_slice());
        run.note(Note::Mounted);
        let reason = if is_mounted { "Device or resource busy" } else { "Invalid argument" };
        call.complain(run, [b"can't unmount ", name.as_slice(), b": ", reason.as_bytes()].concat());
        status = 1;
    }
    Ok(status)
}

// Archives: none of the device is packed, and what strangers bring stays as it is.
