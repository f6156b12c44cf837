//! The mail server of demonstrations, and the mails that it has kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;

use crate::programs::{Program, run_to_end, wait_until};
use crate::steps::Notes;
use crate::tools::PythonTools;
use crate::workspace;

/// For the server to start, and for a mail that is about to be sent.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Each look costs next to nothing.
const FILE_PAUSE: Duration = Duration::from_millis(100);

/// What the mail server has kept.
pub(crate) struct Mailbox {
    folder: PathBuf,
}

/// A mail as a mail reader shows it.
#[derive(Debug, Clone, serde::Deserialize)]
pub(crate) struct Mail {
    pub(crate) to: Vec<String>,
    pub(crate) subject: String,
    pub(crate) text: String,
}

impl Mailbox {
    /// A mail server that keeps its mails below `folder`, and where it listens.
    pub(crate) fn start(folder: PathBuf, logs: &Path) -> anyhow::Result<(Self, Program, String)> {
        let mailbox = Self { folder };
        let mut command = Command::new(PythonTools::Clients.program("python"));
        command.arg(workspace::root().join("demo/mailbox.py")).arg(&mailbox.folder);
        let mut program = Program::start("mail-server", &mut command, logs)?;
        let address = program.wait_for("the mail server's address", START_LIMIT, |output| {
            let (_, rest) = output.split_once("listening on ")?;
            rest.split_once('\n').map(|(address, _)| address.to_owned())
        })?;
        Ok((mailbox, program, address))
    }

    /// Waits for the mail with a subscription's link, and follows it.
    pub(crate) fn confirm(&self, notes: &mut Notes) -> anyhow::Result<()> {
        let mail =
            self.wait_for("the mail with the link", START_LIMIT, |mail| mail.text.contains("ConfirmSubscription"))?;
        notes.show(format!("mail: {}", mail.subject));
        let link = mail
            .text
            .split_whitespace()
            .find(|word| word.starts_with("http") && word.contains("Action=ConfirmSubscription"))
            .with_context(|| format!("no link in the mail:\n{}", mail.text))?;
        notes.show(format!("follows {link}"));
        run_to_end(Command::new("curl").args(["--silent", "--show-error", "--fail", "--max-time", "30", link]))?;
        Ok(())
    }

    /// The mails so far, in the order of their arrival.
    pub(crate) fn mails(&self) -> anyhow::Result<Vec<Mail>> {
        let listed = fs::read_dir(&self.folder).with_context(|| format!("cannot list {}", self.folder.display()))?;
        let mut paths: Vec<PathBuf> = listed.flatten().map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        paths.sort();
        let read = |path: &PathBuf| {
            let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            serde_json::from_str(&text).with_context(|| format!("cannot read {}", path.display()))
        };
        paths.iter().map(read).collect()
    }

    pub(crate) fn wait_for(&self, what: &str, limit: Duration, is_it: impl Fn(&Mail) -> bool) -> anyhow::Result<Mail> {
        wait_until(what, limit, FILE_PAUSE, || Ok(self.mails()?.into_iter().find(&is_it)))
    }
}
