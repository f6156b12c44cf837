//! The folder that kits are built in: steps that are done once for the same inputs, and what each cost.

use std::fs::{self, File};
use std::ops::Add;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Builds give way to everything else on the machine.
const NICENESS: &str = "10";

/// Runs the words after the first, and writes to the first the processor time of the shell and of its children.
const TIMED: &str = r#"out=$1; shift; "$@"; status=$?; times >"$out"; exit $status"#;

/// How many lines of a log are shown when a step fails.
const TAIL_LINES: usize = 20;

/// What a step cost.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Effort {
    pub(crate) wall_s: f64,
    pub(crate) cpu_s: f64,
}

impl Add for Effort {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { wall_s: self.wall_s + other.wall_s, cpu_s: self.cpu_s + other.cpu_s }
    }
}

/// What stands next to a finished step.
#[derive(Debug, Serialize, Deserialize)]
struct Stamp {
    inputs: String,
    effort: Effort,
}

/// A folder for builds. One process at a time works in it.
pub(crate) struct Work {
    root: PathBuf,
    /// Held locked for as long as this lives.
    _lock: File,
}

impl Work {
    pub(crate) fn new(root: PathBuf) -> anyhow::Result<Self> {
        fs::create_dir_all(&root).with_context(|| format!("cannot make {}", root.display()))?;
        let path = root.join("lock");
        let lock = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        lock.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(Self { root, _lock: lock })
    }

    /// The folder of this name, made if need be.
    pub(crate) fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.root.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(folder)
    }
}

/// Does a step unless it was done with the same inputs; gives what it cost then or now. `stamp` is the file that says
/// so: it is gone while the step is at work, so that an interrupted step is done again.
pub(crate) fn once(
    what: &str,
    stamp: &Path,
    inputs: &[&[u8]],
    act: impl FnOnce() -> anyhow::Result<Effort>,
) -> anyhow::Result<Effort> {
    let inputs = digest_of(inputs);
    let done = fs::read(stamp).ok().and_then(|text| serde_json::from_slice::<Stamp>(&text).ok());
    if let Some(done) = done.filter(|done| done.inputs == inputs) {
        return Ok(done.effort);
    }
    crate::interrupt::check()?;
    let _ = fs::remove_file(stamp);
    println!("{what} …");
    let effort = act().with_context(|| format!("cannot make {what}"))?;
    println!("{what}: {:.0} s, {:.0} s of processor time", effort.wall_s, effort.cpu_s);
    let text = serde_json::to_vec(&Stamp { inputs, effort }).context("cannot write a stamp")?;
    fs::write(stamp, text).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(effort)
}

/// Runs a program to its end. What it prints is added to `log`, whose end is shown when it fails.
pub(crate) fn run(command: &Command, log: &Path) -> anyhow::Result<Effort> {
    let started = Instant::now();
    let times = log.with_extension("times");
    let output = File::options()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("cannot open {}", log.display()))?;
    let errors = output.try_clone().context("cannot share a log file")?;
    let mut timed = Command::new("nice");
    timed.args(["-n", NICENESS, "sh", "-c", TIMED, "sh"]).arg(&times).arg(command.get_program());
    timed.args(command.get_args()).stdin(Stdio::null()).stdout(output).stderr(errors);
    if let Some(folder) = command.get_current_dir() {
        timed.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => timed.env(name, value),
            None => timed.env_remove(name),
        };
    }
    let name = command.get_program().display();
    let status = timed.status().with_context(|| format!("cannot run {name}"))?;
    if !status.success() {
        let text = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
        bail!("{name} failed ({status}); the end of {}:\n{tail}", log.display());
    }
    let cpu_s = fs::read_to_string(&times).ok().and_then(|text| seconds_of_children(&text)).unwrap_or_default();
    Ok(Effort { wall_s: started.elapsed().as_secs_f64(), cpu_s })
}

/// The processor seconds in the second line of what the shell's `times` prints (POSIX, "times").
fn seconds_of_children(text: &str) -> Option<f64> {
    let seconds = |word: &str| {
        let (minutes, seconds) = word.strip_suffix('s')?.split_once('m')?;
        Some(minutes.parse::<f64>().ok()? * 60.0 + seconds.parse::<f64>().ok()?)
    };
    text.lines().nth(1)?.split_whitespace().map(seconds).sum()
}

/// The SHA-256 of some bytes, in hexadecimal.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One digest of several inputs, each with its length, so that no two lists of inputs share a digest.
fn digest_of(inputs: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for input in inputs {
        hash.update((input.len() as u64).to_le_bytes());
        hash.update(input);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shell_tells_the_time_of_children() {
        for (text, expected) in [
            ("0m0.00s 0m0.01s\n1m2.50s 0m3.25s\n", Some(65.75)),
            ("0m0.000000s 0m0.000000s\n0m0.030000s 0m0.010000s\n", Some(0.04)),
            ("0m0.00s 0m0.01s\n", None),
            ("", None),
            ("x\ny z\n", None),
        ] {
            let seconds = seconds_of_children(text);
            assert_eq!(seconds.map(|s| (s * 1000.0).round()), expected.map(|s: f64| (s * 1000.0).round()), "{text:?}");
        }
    }

    #[test]
    fn a_step_is_done_once_for_the_same_inputs() {
        let folder = tempfile::tempdir().unwrap();
        let stamp = folder.path().join("stamp");
        let mut done = 0;
        for (inputs, expected) in [(["a", "b"], 1), (["a", "b"], 1), (["ab", ""], 2), (["a", "b"], 3)] {
            let inputs = inputs.map(str::as_bytes);
            once("a step", &stamp, &inputs, || {
                done += 1;
                Ok(Effort::default())
            })
            .unwrap();
            assert_eq!(done, expected);
        }
    }

    #[test]
    fn a_step_that_fails_is_not_done() {
        let folder = tempfile::tempdir().unwrap();
        let stamp = folder.path().join("stamp");
        once("a step", &stamp, &[b"a"], || Ok(Effort::default())).unwrap();
        once("a step", &stamp, &[b"b"], || bail!("no")).unwrap_err();
        assert!(!stamp.exists());
    }

    #[test]
    fn the_log_of_a_failed_program_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("x.log");
        let mut command = Command::new("sh");
        command.args(["-c", "echo it is broken; exit 3"]);
        let error = format!("{:#}", run(&command, &log).unwrap_err());
        assert!(error.contains("it is broken") && error.contains("exit status: 3"), "{error}");
    }
}
