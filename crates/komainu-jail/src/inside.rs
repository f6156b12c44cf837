//! What becomes the program: the one process of the jail, until it starts it.

use std::ffi::CString;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use nix::fcntl::{AtFlags, FcntlArg, OFlag, fcntl, open};
use nix::sys::stat::Mode;
use nix::unistd::{execveat, setsid};
use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_capabilities_secure_bits,
};

use crate::filesystem;
use crate::message::Order;
use crate::problem::{Problem, problem};
use crate::system_calls::Filters;

/// The name of the machine in the jail.
const HOST_NAME: &str = "jail";

/// Where descriptors wait to get their numbers: above all that a program is given and may open.
const NUMBERS_BEYOND: RawFd = 5_000;

/// Builds the jail around this process and becomes the program in it. Only comes back when that failed; then says why over
/// `failure`. `begin` is read first: who holds its other end must still be there.
pub(crate) fn become_program(order: &Order, given: Vec<OwnedFd>, begin: OwnedFd, failure: OwnedFd) {
    let Ok(beyond) = move_beyond(failure) else { return };
    let Err((doing, error)) = prepare_and_start(order, given, begin, &beyond);
    // Whoever would read it is gone if this fails.
    let _ = writeln!(std::fs::File::from(beyond), "{doing}\n{error}");
}

fn prepare_and_start(
    order: &Order,
    given: Vec<OwnedFd>,
    begin: OwnedFd,
    failure: &OwnedFd,
) -> Result<std::convert::Infallible, Problem> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(problem("asking to end with the launcher"))?;
    // It may have ended before it could be asked for.
    let mut byte = [0];
    if nix::unistd::read(&begin, &mut byte) != Ok(1) {
        return Err(("waiting for the launcher".to_owned(), io::ErrorKind::BrokenPipe.into()));
    }
    drop(begin);
    // Without a terminal nothing can be typed into one.
    setsid().map_err(problem("leaving the session"))?;
    nix::unistd::sethostname(HOST_NAME).map_err(problem("naming the machine"))?;
    filesystem::enter(&order.visible, order.limits.scratch_bytes_max)?;

    let program = open(&order.program, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())
        .map_err(problem("opening the program"))?;
    let program = move_beyond(program)?;
    place(order, given)?;
    close_all_but(order, &program, failure)?;

    let filters = Filters::new(program.as_raw_fd())
        .map_err(|error| ("making the filter of system calls".to_owned(), io::Error::other(error)))?;
    let text = |text: &[u8]| CString::new(text).map_err(problem("reading the arguments"));
    let mut arguments = vec![text(order.program.as_os_str().as_bytes())?];
    for argument in &order.arguments {
        arguments.push(text(argument.as_bytes())?);
    }
    let mut environment = Vec::new();
    for (name, value) in &order.environment {
        environment.push(text(format!("{name}={value}").as_bytes())?);
    }

    give_up_capabilities().map_err(problem("giving up capabilities"))?;
    order.limits.set().map_err(problem("setting limits"))?;
    filters.apply().map_err(|error| ("filtering system calls".to_owned(), io::Error::other(error)))?;
    // The descriptor is above the limit of descriptors: once it is closed, which it is by being started, nobody ever gets
    // its number again, and this is the only number by which something can be started.
    execveat(&program, c"", &arguments, &environment, AtFlags::AT_EMPTY_PATH).map_err(problem("starting the program"))
}

/// A copy above all numbers that are given out. The descriptor itself is closed now: closed later, it might take one with it
/// that has got its number meanwhile.
fn move_beyond(descriptor: OwnedFd) -> Result<OwnedFd, Problem> {
    let number =
        fcntl(&descriptor, FcntlArg::F_DUPFD_CLOEXEC(NUMBERS_BEYOND)).map_err(problem("moving descriptors"))?;
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Gives descriptors the numbers that the program expects, and `/dev/null` to the first three that are not given.
fn place(order: &Order, given: Vec<OwnedFd>) -> Result<(), Problem> {
    // All out of the way first: one may have a number that another is to get.
    let given = given.into_iter().map(move_beyond).collect::<Result<Vec<_>, _>>()?;
    let null =
        open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()).map_err(problem("opening /dev/null"))?;
    let null = move_beyond(null)?;
    for number in 0..3 {
        set_number(&null, number)?;
    }
    order.numbers.iter().zip(&given).try_for_each(|(number, descriptor)| set_number(descriptor, *number))
}

fn set_number(descriptor: &OwnedFd, number: RawFd) -> Result<(), Problem> {
    // SAFETY: whatever has this number is closed by it. All descriptors that this process still owns are at or above
    // `NUMBERS_BEYOND`; those of the launcher that it was forked with are never used nor dropped here, since the process
    // ends in `become_program`'s caller or becomes the program.
    let result = unsafe { libc::dup2(descriptor.as_raw_fd(), number) };
    nix::errno::Errno::result(result).map(|_| ()).map_err(problem("numbering descriptors"))
}

/// Closes whatever this process inherited.
fn close_all_but(order: &Order, program: &OwnedFd, failure: &OwnedFd) -> Result<(), Problem> {
    let mut kept = vec![0, 1, 2, program.as_raw_fd(), failure.as_raw_fd()];
    kept.extend(&order.numbers);
    kept.sort_unstable();
    kept.dedup();
    let mut first = 0;
    for number in kept.into_iter().map(RawFd::unsigned_abs) {
        if first < number {
            close_range(first, number - 1)?;
        }
        first = number + 1;
    }
    close_range(first, u32::MAX)
}

/// Closes descriptors, the last one included.
fn close_range(first: u32, last: u32) -> Result<(), Problem> {
    // SAFETY: as in `set_number`: nothing here uses any of them any more.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    let closed = nix::errno::Errno::result(result).map(|_| ());
    closed.map_err(problem("closing descriptors (it takes Linux 5.9)"))
}

/// Gives up all capabilities and every way to get one again.
pub(crate) fn give_up_capabilities() -> rustix::io::Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    clear_ambient_capability_set()?;
    // Numbers that this kernel does not have are refused; the highest one has is below 64.
    for number in 0..u64::BITS {
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)) {
            Ok(()) => {}
            Err(rustix::io::Errno::INVAL) => break,
            Err(error) => return Err(error),
        }
    }
    let bits = CapabilitiesSecureBits::NO_ROOT
        | CapabilitiesSecureBits::NO_ROOT_LOCKED
        | CapabilitiesSecureBits::NO_SETUID_FIXUP
        | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
        | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED;
    set_capabilities_secure_bits(bits)?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
}

/// Whether a number may be that of a descriptor.
pub(crate) fn may_be_number(number: RawFd, descriptors_max: u64) -> bool {
    u64::try_from(number).is_ok_and(|number| number < descriptors_max) && number < NUMBERS_BEYOND
}
