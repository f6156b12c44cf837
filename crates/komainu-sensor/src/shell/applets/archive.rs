//! Archives: none of the device is packed, and what strangers bring stays as it is.

use super::Call;
use crate::shell::run::{Run, Status};

pub(super) fn tar(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    // The first word may be letters without a minus.
    let mut arguments = call.arguments.to_vec();
    if let Some(first) = arguments.first_mut()
        && !first.starts_with(b"-")
    {
        first.insert(0, b'-');
    }
    let inner = Call { applet: call.applet, arguments: &arguments };
    let Some(options) = inner.options(run, "txcZzJjahmvokOpC:f:T:X:") else { return Ok(1) };
    if !(options.has(b't') || options.has(b'x') || options.has(b'c')) {
        return call.usage(run);
    }
    let name = options.value(b'f').unwrap_or(b"-").to_vec();
    if options.has(b'c') {
        if name != b"-"
            && let Err(error) = run.open_path(&name, false)
        {
            call.cannot_open(run, &name, error);
            return Ok(1);
        }
        return Ok(0);
    }
    match call.input(run, &name)? {
        Err(error) => {
            call.cannot_open(run, &name, error);
            Ok(1)
        }
        Ok(_) => {
            call.complain(run, if options.has(b'z') { "invalid magic" } else { "short read" });
            Ok(1)
        }
    }
}

pub(super) fn unpack(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "cfkdtv123456789qn") else { return Ok(1) };
    let suffix: &[u8] = if call.applet == "bunzip2" || call.applet == "bzcat" { b".bz2" } else { b".gz" };
    let is_packing = call.applet == "gzip" && !options.has(b'd');
    let to_output = options.has(b'c') || matches!(call.applet, "zcat" | "bzcat");
    let mut status = 0;
    for name in &options.rest {
        match call.input(run, name)? {
            Err(error) => {
                call.fails_on(run, name, error);
                status = 1;
            }
            Ok(_) if is_packing => {}
            Ok(_) if !to_output && !name.ends_with(suffix) && !name.ends_with(b".tgz") => {
                call.complain(run, [name.as_slice(), b": unknown suffix - ignored"].concat());
                status = 1;
            }
            Ok(_) => {
                call.complain(run, "invalid magic");
                status = 1;
            }
        }
    }
    if options.rest.is_empty() && !is_packing {
        call.complain(run, "invalid magic");
        status = 1;
    }
    Ok(status)
}
