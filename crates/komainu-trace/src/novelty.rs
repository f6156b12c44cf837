//! Whether something like it was done before.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::guest::{GuestAct, GuestEvent};

/// Kinds of events that are remembered. A sample that shows more of them is not finished early: whatever comes then counts
/// as known, and the run ends at its quiet time or at its limit.
const KINDS_MAX: usize = 16 * 1024;

/// Remembers what kinds of things were done.
///
/// Two events are of one kind when they are the same act on the same thing, where numbers in paths and addresses do not
/// count: a scan of a thousand addresses on one port is one kind, and so is reading every `/proc/NUMBER/exe`.
#[derive(Debug, Default)]
pub struct Novelty {
    seen: BTreeSet<u64>,
}

impl Novelty {
    /// Whether nothing of this kind was seen before.
    pub fn is_new(&mut self, event: &GuestEvent) -> bool {
        // The default hasher has fixed keys: the same events give the same answers. Who finds two kinds with one hash only
        // hides one of them from the question whether to go on.
        let mut hasher = DefaultHasher::new();
        hash_kind(&event.act, &mut hasher);
        self.seen.len() < KINDS_MAX && self.seen.insert(hasher.finish())
    }
}

fn hash_kind(act: &GuestAct, hasher: &mut impl Hasher) {
    std::mem::discriminant(act).hash(hasher);
    let mut text = |bytes: &[u8]| {
        let mut was_digit = false;
        for &byte in bytes {
            let is_digit = byte.is_ascii_digit();
            if !(is_digit && was_digit) {
                hasher.write_u8(if is_digit { b'0' } else { byte });
            }
            was_digit = is_digit;
        }
        hasher.write_u8(0);
    };
    match act {
        GuestAct::Fork { comm, .. } | GuestAct::Rename { comm } => text(&comm.0),
        GuestAct::Exec { path, arguments } => {
            text(&path.0);
            for argument in arguments {
                text(&argument.0);
            }
        }
        GuestAct::Open { path, result, .. } => {
            text(&path.0);
            result.is_some_and(|result| result < 0).hash(hasher);
        }
        GuestAct::Unlink { path }
        | GuestAct::MakeFolder { path }
        | GuestAct::ChangeMode { path, .. }
        | GuestAct::ChangeFolder { path }
        | GuestAct::Look { path } => text(&path.0),
        GuestAct::Move { from, to } => {
            text(&from.0);
            text(&to.0);
        }
        GuestAct::Mount { source, target, kind } => {
            text(&source.0);
            text(&target.0);
            text(&kind.0);
        }
        GuestAct::Write { descriptor, .. } => descriptor.hash(hasher),
        GuestAct::Socket { family, kind, protocol } => (family, kind, protocol).hash(hasher),
        GuestAct::Connect { to } => (to.is_ipv4(), to.port()).hash(hasher),
        GuestAct::Bind { at } => (at.is_ipv4(), at.port()).hash(hasher),
        GuestAct::Send { to, .. } => to.map(|to| (to.is_ipv4(), to.port())).hash(hasher),
        GuestAct::Kill { signal, .. } => signal.hash(hasher),
        GuestAct::Trace { request, .. } => request.hash(hasher),
        GuestAct::Control { operation, .. } => operation.hash(hasher),
        GuestAct::DeviceControl { command, .. } => command.hash(hasher),
        GuestAct::Module { name } => text(&name.0),
        GuestAct::ChangeUser { uid } => uid.hash(hasher),
        GuestAct::Machine { call } => text(&call.0),
        GuestAct::Call { name, .. } => text(&name.0),
        GuestAct::Listen { .. } | GuestAct::Exit { .. } | GuestAct::Sleep { .. } | GuestAct::Lost { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(acts: &[(GuestAct, bool)]) {
        let mut novelty = Novelty::default();
        for (act, expected) in acts {
            let event = GuestEvent { at_ns: 0, pid: 1, act: act.clone() };
            assert_eq!(novelty.is_new(&event), *expected, "{act:?}");
        }
    }

    #[test]
    fn a_scan_is_new_once() {
        let connect = |to: &str| GuestAct::Connect { to: to.parse().unwrap() };
        check(&[
            (connect("203.0.113.7:23"), true),
            (connect("203.0.113.8:23"), false),
            (connect("203.0.113.8:2323"), true),
            (connect("[2001:db8::1]:23"), true),
        ]);
    }

    #[test]
    fn numbers_in_paths_do_not_count() {
        let look = |path: &str| GuestAct::Look { path: path.into() };
        check(&[
            (look("/proc/1/exe"), true),
            (look("/proc/4711/exe"), false),
            (look("/proc/4711/maps"), true),
            (GuestAct::Unlink { path: "/proc/1/exe".into() }, true),
        ]);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut novelty = Novelty::default();
        let mut is_new = |number: u32| {
            let act = GuestAct::ChangeUser { uid: number };
            novelty.is_new(&GuestEvent { at_ns: 0, pid: 1, act })
        };
        assert!((0..KINDS_MAX as u32).all(&mut is_new));
        assert!(!is_new(u32::MAX));
    }
}
