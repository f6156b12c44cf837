//! What was done in a persona's shell.

use komainu_intel::Watch;
use serde::Serialize;

use super::Keeper;
use super::summary::{Bytes, RunLine};
use crate::eve::{Log, Text};
use crate::log::Time;
use crate::shell::{CaptureReason, Note, ShellEvent};

/// Arguments of a program that are recorded; the command line before it has all of them.
const ARGUMENTS_MAX: usize = 32;

/// Bytes that are shown of what somebody said of something.
const DETAIL_BYTES_MAX: usize = 1024;

/// The remark that the client wanted to be passed on to another host, as with `direct-tcpip` of SSH.
pub(crate) const PROXY_REQUEST: &str = "proxy_request";

/// Something that tells what somebody is up to.
#[derive(Debug, Serialize)]
struct NoteLine<'a> {
    what: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<Text<'a>>,
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
                self.watch(at, Watch::ran);
                self.summary().runs.push(run);
            }
            ShellEvent::Noted(note) => {
                let what = name(note);
                self.watch(at, |watch| watch.noted(what));
                if self.summary().add_note(what) {
                    self.write(at, Log::Honeypot, "note", &NoteLine { what, detail: None });
                }
            }
        }
    }

    /// Writes down something else that tells what somebody is up to; `detail` is what they said of it.
    pub(crate) fn remark(&mut self, at: i64, what: &'static str, detail: &[u8]) {
        self.summary().add_note(what);
        let detail = Some(Text(&detail[..detail.len().min(DETAIL_BYTES_MAX)]));
        self.write(at, Log::Honeypot, "note", &NoteLine { what, detail });
        self.watch(at, |watch| match what {
            PROXY_REQUEST => watch.forward_wanted(),
            other => watch.noted(other),
        });
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
