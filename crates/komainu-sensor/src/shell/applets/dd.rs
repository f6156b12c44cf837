//! `dd`.

use super::{Call, shown, size};
use crate::shell::files::{Data, Errno, Kind};
use crate::shell::machine::Device;
use crate::shell::run::{Fd, Run, Status};

/// The most that `dd` moves in one call, in bytes.
const DD_BYTES_MAX: u64 = 64 << 20;

pub(super) fn dd(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let (mut input, mut output) = (None, None);
    let (mut ibs, mut obs, mut count, mut skip, mut seek) = (512, 512, u64::MAX, 0, 0);
    let (mut is_cut, mut is_quiet, mut pads) = (true, false, false);
    for word in call.arguments {
        let Some(at) = word.iter().position(|&byte| byte == b'=') else { return call.usage(run) };
        let (key, value) = (word.get(..at).unwrap_or_default(), word.get(at + 1..).unwrap_or_default());
        let set = |slots: &mut [&mut u64]| match size(value) {
            Some(size) => {
                for slot in slots {
                    **slot = size;
                }
                true
            }
            None => false,
        };
        let is_right = match key {
            b"if" => {
                input = Some(value.to_vec());
                true
            }
            b"of" => {
                output = Some(value.to_vec());
                true
            }
            b"bs" => set(&mut [&mut ibs, &mut obs]),
            b"ibs" => set(&mut [&mut ibs]),
            b"obs" => set(&mut [&mut obs]),
            b"count" => set(&mut [&mut count]),
            b"skip" => set(&mut [&mut skip]),
            b"seek" => set(&mut [&mut seek]),
            b"conv" => {
                for part in value.split(|&byte| byte == b',') {
                    is_cut &= part != b"notrunc";
                    pads |= part == b"sync";
                }
                true
            }
            b"status" => {
                is_quiet = value == b"none";
                true
            }
            b"iflag" | b"oflag" => true,
            _ => return call.usage(run),
        };
        if !is_right {
            call.complain(run, format!("invalid number '{}'", shown(value)));
            return Ok(1);
        }
    }
    if ibs == 0 || obs == 0 {
        call.complain(run, "number 0 is not in 1..2147483647 range");
        return Ok(1);
    }
    let folder = run.folder();
    let wanted = count.saturating_mul(ibs);
    let skipped = skip.saturating_mul(ibs);
    let data = match &input {
        None => {
            let whole = run.read_at_most(usize::try_from(wanted.saturating_add(skipped)).unwrap_or(usize::MAX));
            Data::Owned(whole)
        }
        Some(name) => {
            let endless = match run.files().stat(&folder, name).map(|stat| stat.kind) {
                Ok(Kind::Device(Device::Zero | Device::Full)) => Some(true),
                Ok(Kind::Device(Device::Random)) => Some(false),
                _ => None,
            };
            match (endless, run.files().read(&folder, name)) {
                (_, Err(error)) => {
                    call.cannot_open(run, name, error);
                    return Ok(1);
                }
                (Some(_), Ok(piece)) => {
                    // As much as is asked for, as far as there can be room for it.
                    let room = if output.is_some() { run.files().room() as u64 + obs } else { run.room() as u64 + 1 };
                    let most = wanted.min(DD_BYTES_MAX).min(room) as usize;
                    run.pay(most)?;
                    Data::Owned(piece.bytes().iter().copied().cycle().take(most).collect())
                }
                (None, Ok(data)) => data,
            }
        }
    };
    let bytes = data.bytes();
    let start = usize::try_from(skipped).unwrap_or(usize::MAX).min(bytes.len());
    let length = usize::try_from(wanted).unwrap_or(usize::MAX).min(bytes.len() - start);
    let mut moved = bytes.get(start..start + length).unwrap_or_default().to_vec();
    run.pay(moved.len())?;
    let records = |bytes: usize, block: u64| {
        let bytes = bytes as u64;
        (bytes / block, u64::from(!bytes.is_multiple_of(block)))
    };
    let mut taken = records(moved.len(), ibs);
    if pads && taken.1 > 0 && moved.len() as u64 + ibs < DD_BYTES_MAX {
        moved.resize(((taken.0 + 1) * ibs) as usize, 0);
    }
    let mut given = records(moved.len(), obs);
    let mut status = 0;
    match &output {
        None => run.out(&moved),
        Some(name) => {
            let place = run.files().place(&folder, name, true).unwrap_or_default();
            let keeps = !is_cut || seek > 0;
            let fd = match run.open_path(name, keeps) {
                Ok(fd) => fd,
                Err(error) => {
                    call.cannot_open(run, name, error);
                    return Ok(1);
                }
            };
            let is_file = matches!(fd, Fd::File(_));
            let mut error = None;
            if is_file && moved.len() > run.files().room() {
                // Block by block until the disk is full.
                let blocks = run.files().room() as u64 / obs;
                moved.truncate((blocks * obs) as usize);
                (taken, given) = ((blocks * obs / ibs + 1, 0), (blocks, 0));
                error = Some(Errno::NoSpace);
            }
            if keeps && is_file {
                let at = usize::try_from(seek.saturating_mul(obs)).unwrap_or(usize::MAX);
                error = error.or(run.files().write(&place, Some(at), &moved).err());
            } else {
                run.with_fds(None, Some(fd), |run| run.out(&moved));
                error = error.or(run.write_error());
            }
            if let Some(error) = error {
                call.complain(run, format!("error writing '{}': {}", shown(name), error.text()));
                status = 1;
            }
        }
    }
    if !is_quiet {
        let line = |(full, part): (u64, u64), what: &str| format!("{full}+{part} records {what}\n");
        run.err(line(taken, "in") + &line(given, "out"));
    }
    Ok(status)
}
