//! Printing a document of HTML to PDF, by a Chromium of this machine.
//!
//! The browser gets a file and writes a file, both in a folder of its own that is removed afterwards: it has no profile, no home,
//! and no name is resolved, because the document needs nothing from elsewhere. It has a minute; then it and all that it started
//! are ended.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, geteuid};

/// Names by which a Chromium is installed: Debian's, Ubuntu's, Google's.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// A report is printed in one to five seconds; a small machine that starts a browser for the first time takes ten times that.
const PRINT_TIME_MAX: Duration = Duration::from_secs(60);

/// How often it is looked whether the browser is done.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Bytes of a PDF: fifty times what a report has.
const PDF_BYTES_MAX: u64 = 32 << 20;

/// Bytes of the browser's complaints that are told, the last.
const COMPLAINTS_BYTES_MAX: usize = 600;

/// What a PDF begins with (ISO 32000-1, section 7.5.2), and what stands in its last lines (section 7.5.5).
const BEGIN: &[u8] = b"%PDF-";
const END: &[u8] = b"%%EOF";

/// Prints without a window, and asks nobody anything: no updates, no reports of crashes, no lists, no names.
const OPTIONS: [&str; 19] = [
    "--headless",
    "--disable-gpu",
    "--no-pdf-header-footer",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-pings",
    "--no-service-autorun",
    "--metrics-recording-only",
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-client-side-phishing-detection",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-extensions",
    "--disable-sync",
    "--disable-features=Translate,MediaRouter,OptimizationHints,AutofillServerCommunication",
    "--password-store=basic",
    "--host-resolver-rules=MAP * ~NOTFOUND",
];

/// A Chromium that is installed.
pub(super) struct Browser {
    program: PathBuf,
}

impl Browser {
    /// The one that was asked for, or the first of those that are installed.
    pub(super) fn find(wanted: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(program) = wanted {
            return match found(program) {
                Some(program) => Ok(Self { program }),
                None => bail!("there is no program {} (--browser)", program.display()),
            };
        }
        match NAMES.iter().find_map(|name| found(Path::new(name))) {
            Some(program) => Ok(Self { program }),
            None => bail!(
                "no browser makes the PDF: none of {} is installed. Install one (on Debian: apt install chromium), name one \
                 with --browser PROGRAM, or write HTML with --out FILE.html and print that in any browser",
                NAMES.join(", ")
            ),
        }
    }

    /// The document as PDF. Blocks, a minute at most.
    pub(super) fn print(&self, document: &str) -> anyhow::Result<Vec<u8>> {
        let folder =
            tempfile::Builder::new().prefix("komainu-print-").tempdir().context("cannot make a folder to print in")?;
        let [page, pdf, complaints] = ["report.html", "report.pdf", "complaints"].map(|name| folder.path().join(name));
        fs::write(&page, document).context("cannot write what is printed")?;
        let told = File::create(&complaints).context("cannot write what the browser complains about")?;
        let (name, started) = (self.program.display(), Instant::now());
        let mut command = Command::new(&self.program);
        command.args(OPTIONS).args([option("--user-data-dir=", folder.path()), option("--print-to-pdf=", &pdf)]);
        // Chromium's sandbox refuses to run as root. The document runs no script and has nothing of elsewhere: without the
        // sandbox it is still a file of ours. Everybody else keeps it.
        if geteuid().is_root() {
            command.arg("--no-sandbox");
        }
        command.arg(option("file://", &page));
        // Nothing of whoever asks: neither a profile nor a proxy nor a session bus.
        command.env_clear().env("HOME", folder.path()).env("TMPDIR", folder.path()).env("LANG", "C.UTF-8");
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(told).process_group(0);
        let mut group = Group(command.spawn().with_context(|| format!("cannot start {name}"))?);
        let Some(status) =
            group.wait_until(started + PRINT_TIME_MAX).with_context(|| format!("cannot wait for {name}"))?
        else {
            bail!("{name} did not print within {} s and was ended", PRINT_TIME_MAX.as_secs());
        };
        drop(group);
        read(&pdf).with_context(|| format!("{name} ({status}) made no PDF{}", last_words(&complaints)))
    }
}

/// The program of this name: a path as it is, a name in one of the folders of `PATH`.
fn found(program: &Path) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return program.is_file().then(|| program.to_owned());
    }
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(program)).find(|path| path.is_file())
}

fn option(name: &str, path: &Path) -> OsString {
    let mut option = OsString::from(name);
    option.push(path);
    option
}

/// A process and all that it started in its group, which ends with this value.
struct Group(Child);

impl Group {
    /// How the first of them ended; nothing when it had not by then.
    fn wait_until(&mut self, deadline: Instant) -> std::io::Result<Option<ExitStatus>> {
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(Some(status));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Nobody is left in the group when all of them ended by themselves.
        if let Ok(pid) = i32::try_from(self.0.id()) {
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let _ = self.0.wait();
    }
}

/// A PDF that is whole.
fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let file = File::open(path).context("there is no file")?;
    let mut bytes = Vec::new();
    file.take(PDF_BYTES_MAX + 1).read_to_end(&mut bytes).context("it cannot be read")?;
    if bytes.len() as u64 > PDF_BYTES_MAX {
        bail!("it has more than {PDF_BYTES_MAX} bytes");
    }
    let tail = &bytes[bytes.len().saturating_sub(64)..];
    if !(bytes.starts_with(BEGIN) && tail.windows(END.len()).any(|part| part == END)) {
        bail!("it is no whole PDF");
    }
    Ok(bytes)
}

/// What the browser complained about last, for an error.
fn last_words(path: &Path) -> String {
    // It is no more than advice: without it, the error says what it can.
    let bytes = fs::read(path).unwrap_or_default();
    let words = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(COMPLAINTS_BYTES_MAX)..])
        .trim()
        .escape_debug()
        .to_string();
    if words.is_empty() { String::new() } else { format!("; it said: {}", words.replace("\\n", " ")) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A program that is no browser.
    fn program(folder: &Path, script: &str) -> Browser {
        let path = folder.join("browser");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        Browser { program: path }
    }

    #[test]
    fn what_is_no_pdf_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        // The options are searched for the path of the PDF.
        let out = "for one; do case $one in --print-to-pdf=*) out=${one#*=};; esac; done";
        let check = |script: &str, expected: Result<&[u8], &str>| {
            let made = program(folder.path(), &format!("{out}\n{script}")).print("<p>");
            match (made, expected) {
                (Ok(bytes), Ok(expected)) => assert_eq!(bytes, expected, "{script}"),
                (Err(error), Err(expected)) => {
                    let text = format!("{error:#}");
                    assert!(text.contains(expected), "{script}: {text}");
                }
                (made, _) => panic!("{script}: {made:?}"),
            }
        };
        check("printf '%%PDF-1.4 x %%%%EOF\\n' > $out", Ok(b"%PDF-1.4 x %%EOF\n"));
        check("exit 3", Err("exit status: 3) made no PDF: there is no file"));
        check("echo 'no display' >&2; exit 1", Err("it said: no display"));
        check("printf '%%PDF-1.4 half' > $out", Err("it is no whole PDF"));
        check(": > $out", Err("it is no whole PDF"));
        let missing = Browser::find(Some(Path::new("/nowhere/chromium"))).err().unwrap().to_string();
        assert_eq!(missing, "there is no program /nowhere/chromium (--browser)");
    }

    #[test]
    fn all_that_was_started_ends() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let script = format!("sleep 600 & echo $! > {}; exit 0", pid.display());
        assert!(program(folder.path(), &script).print("<p>").is_err());
        let pid: i32 = fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
        let is_there = || match fs::read_to_string(format!("/proc/{pid}/stat")) {
            Ok(stat) => !stat.contains(") Z "),
            Err(_) => false,
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        while is_there() && Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert!(!is_there(), "{pid} is still there");
    }
}
