//! Programs that run while something else happens: started with a log file, waited for, stopped for certain.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};

use crate::interrupt;

/// How long a program may take to end after SIGTERM before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(15);
/// The pause between two looks at a condition that costs nothing to look at.
const POLL_PAUSE: Duration = Duration::from_millis(50);
/// How much of a log is shown when something fails.
const TAIL_LINES: usize = 25;

/// A running program. It is killed when it is dropped.
pub(crate) struct Program {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts a program; what it prints goes to `NAME.log` in `logs`.
    pub(crate) fn start(name: &str, command: &mut Command, logs: &Path) -> anyhow::Result<Self> {
        let log = logs.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("cannot make {}", log.display()))?;
        let errors = file.try_clone().context("cannot share a log file")?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors)
            // A group of its own: Ctrl-C is ours to handle, and its own children end with it.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name} ({})", command.get_program().display()))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// What it has printed so far.
    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `found` finds what it looks for in the output; fails when the program ends first.
    pub(crate) fn wait_for<T>(
        &mut self,
        what: &str,
        limit: Duration,
        found: impl Fn(&str) -> Option<T>,
    ) -> anyhow::Result<T> {
        let deadline = Instant::now() + limit;
        loop {
            // Asked before reading, so that the last words of a program that ended are read.
            let ended = self.child.try_wait().with_context(|| format!("cannot watch {}", self.name))?;
            if let Some(value) = found(&self.output()) {
                return Ok(value);
            }
            if let Some(status) = ended {
                bail!("{} ended ({status}) before {what} was seen", self.name);
            }
            if Instant::now() >= deadline {
                bail!("{what} was not seen of {} within {} s", self.name, limit.as_secs());
            }
            interrupt::check()?;
            thread::sleep(POLL_PAUSE);
        }
    }

    /// Asks it to end and waits; kills it when it does not.
    pub(crate) fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        if let Some(status) = self.child.try_wait().with_context(|| format!("cannot watch {}", self.name))? {
            return Ok(status);
        }
        self.signal("TERM")?;
        let deadline = Instant::now() + STOP_LIMIT;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().with_context(|| format!("cannot watch {}", self.name))? {
                return Ok(status);
            }
            thread::sleep(POLL_PAUSE);
        }
        self.signal("KILL")?;
        self.child.wait().with_context(|| format!("cannot wait for {}", self.name))?;
        Err(anyhow!("{} did not end within {} s of SIGTERM and was killed", self.name, STOP_LIMIT.as_secs()))
    }

    /// Ends it with SIGKILL, at once.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.signal("KILL")?;
        self.child.wait().with_context(|| format!("cannot wait for {}", self.name))?;
        Ok(())
    }

    fn signal(&self, signal: &str) -> anyhow::Result<()> {
        // The shell's own `kill` is always there. The minus names the whole group.
        Command::new("sh")
            .args(["-c", &format!("kill -{signal} -{}", self.child.id())])
            .stderr(Stdio::null())
            .status()
            .with_context(|| format!("cannot send SIG{signal} to {}", self.name))?;
        Ok(())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Ok(Some(_)) = self.child.try_wait() {
            return;
        }
        if let Err(error) = self.signal("KILL").and_then(|()| Ok(self.child.wait()?)) {
            eprintln!("{} may still run as process {}: {error:#}", self.name, self.child.id());
        }
    }
}

/// The last words of every program that wrote its log to `logs`, and where all of them are.
pub(crate) fn last_words(logs: &Path) -> String {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(logs).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let mut text = String::new();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "log")) {
        let output = String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        let lines: Vec<&str> = output.lines().collect();
        text.push_str(&format!("--- {}\n", path.display()));
        for line in &lines[lines.len().saturating_sub(TAIL_LINES)..] {
            text.push_str(&format!("    {line}\n"));
        }
    }
    text
}

/// Waits until `look` finds something, looking again after each `pause`.
pub(crate) fn wait_until<T>(
    what: &str,
    limit: Duration,
    pause: Duration,
    mut look: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = look()? {
            return Ok(value);
        }
        let next = Instant::now() + pause;
        if next >= deadline {
            bail!("{what} was not seen within {} s", limit.as_secs());
        }
        while Instant::now() < next {
            interrupt::check()?;
            thread::sleep(POLL_PAUSE.min(next.saturating_duration_since(Instant::now())));
        }
    }
}

/// Runs a program to its end and gives what it printed; fails with all of it when the program does.
pub(crate) fn run_to_end(command: &mut Command) -> anyhow::Result<String> {
    let shown = shown(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {shown}"))?;
    if !output.status.success() {
        bail!(
            "{shown} failed ({})\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A command as one would type it.
fn shown(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&quoted(&argument.to_string_lossy()));
    }
    text
}

/// One word for a shell.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        for (word, expected) in [
            ("--name=x", "--name=x"),
            ("", "''"),
            ("two words", "'two words'"),
            ("it's", r"'it'\''s'"),
            (r#"{"a":1}"#, r#"'{"a":1}'"#),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }

    #[test]
    fn a_program_is_heard_and_stopped() {
        let logs = tempfile::tempdir().unwrap();
        let mut program =
            Program::start("talker", Command::new("sh").args(["-c", "echo hello; exec sleep 600"]), logs.path())
                .unwrap();
        let word = program
            .wait_for("a greeting", Duration::from_secs(10), |text| text.contains("hello").then_some("hello"))
            .unwrap();
        assert_eq!(word, "hello");
        assert!(!program.stop().unwrap().success());
    }

    #[test]
    fn a_program_that_ends_early_is_an_error_with_its_last_words() {
        let logs = tempfile::tempdir().unwrap();
        let mut program =
            Program::start("quitter", Command::new("sh").args(["-c", "echo oh no; exit 3"]), logs.path()).unwrap();
        let error = program.wait_for("a greeting", Duration::from_secs(10), |_| None::<()>).unwrap_err();
        assert!(format!("{error:#}").contains("exit status: 3"), "{error:#}");
        assert!(last_words(logs.path()).contains("oh no"));
    }
}
