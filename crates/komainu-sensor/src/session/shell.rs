//! What was done in a persona's shell.

use serde::Serialize;

use super::Keeper;
use super::summary::{Bytes, RunLine};
use crate::eve::Log;
use crate::log::Time;
use crate::shell::{CaptureReason, Note, ShellEvent};

/// Arguments of a program that are recorded; the command line before it has all of them.
const ARGUMENTS_MAX: usize = 32;

/// Something that tells what somebody is up to.
#[derive(Debug, Serialize)]
struct NoteLine {
    what: &'static str,
}

impl Keeper {
    /// Writes down what somebody did in a shell at `at`.
    pub(crate) fn shell_event(&mut self, at: i64, event: ShellEvent) {
        match event {
            ShellEvent::Fetch { program, url, to } => {
                self.fetch(at, program, &url, (!to.is_empty()).then_some(&to));
            }
            ShellEvent::Captured { path, contents, why } => self.captured(at, &path, &contents, reason(why)),
            ShellEvent::Ran { path, arguments } => {
                let arguments = arguments.iter().take(ARGUMENTS_MAX).map(|one| Bytes::of(one)).collect();
                let run = RunLine { timestamp: Time(at), path: Bytes::of(&path), arguments };
                self.write(at, Log::Honeypot, "run", &run);
                self.summary().runs.push(run);
            }
            ShellEvent::Noted(note) => {
                let what = name(note);
                if self.summary().add_note(what) {
                    self.write(at, Log::Honeypot, "note", &NoteLine { what });
                }
            }
        }
    }
}

const fn reason(why: CaptureReason) -> &'static str {
    match why {
        CaptureReason::MadeExecutable => "made_executable",
        CaptureReason::Ran => "ran",
        CaptureReason::Removed => "removed",
        CaptureReason::Overwritten => "overwritten",
        CaptureReason::SessionEnded => "session_ended",
    }
}

const fn name(note: Note) -> &'static str {
    match note {
        Note::KilledProcess => "killed_process",
        Note::RemovedLog => "removed_log",
        Note::ClearedHistory => "cleared_history",
        Note::ChangedFirewall => "changed_firewall",
        Note::Scheduled => "scheduled",
        Note::StartsAtBoot => "starts_at_boot",
        Note::AddedKey => "added_key",
        Note::ChangedPassword => "changed_password",
        Note::ChangedNames => "changed_names",
        Note::Rebooted => "rebooted",
        Note::Mounted => "mounted",
        Note::WroteDevice => "wrote_device",
        Note::Listened => "listened",
        Note::Connected => "connected",
        Note::ChangedModules => "changed_modules",
    }
}
