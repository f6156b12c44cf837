//! The process that scans, and the one that asks it.

use std::io;
use std::os::unix::net::UnixStream;

use komainu_confined::{ConfineError, ConfinedProcess, asker, confine, give_up_new_rights};
use komainu_ports::{PayloadMatch, PayloadScanner, ScanError};
use parking_lot::Mutex;

use crate::engine::{Engine, Taken};
use crate::files::{RuleFile, RuleFiles};
use crate::limits::{
    ANSWER_BYTES_MAX, ANSWER_GRACE, COMPILE_TIME_MAX, PROCESS_BYTES_MAX, RULE_BYTES_MAX, RULE_FILES_MAX,
    SCAN_BYTES_MAX, SCAN_TIME_MAX,
};
use crate::message::{self, Kind};

/// Asks rules in a process of its own, which it starts when there is something to scan and ends when it is to rest.
///
/// The process has the rules from here and an empty environment. If it ends or takes too long, the payload has no answer
/// and the next one a new process.
#[derive(Debug)]
pub struct ScannerProcess {
    /// The arguments by which this program becomes [`run_scanner`].
    arguments: Vec<String>,
    files: RuleFiles,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    process: ConfinedProcess,
    taken: Taken,
}

/// Why the process that scans ends before it is told to.
#[derive(Debug, thiserror::Error)]
pub enum RunScannerError {
    /// It cannot give up what it must not have.
    #[error("cannot give up rights")]
    Confine(#[source] ConfineError),
    /// Whoever asked it is not there, or says something else than questions.
    #[error("cannot understand who asks")]
    Asked(#[from] io::Error),
}

impl ScannerProcess {
    /// Asks the built-in rules and those of `files`. `arguments` make this program call [`run_scanner`].
    pub fn new(arguments: Vec<String>, files: RuleFiles) -> Self {
        Self { arguments, files, running: Mutex::default() }
    }

    /// Starts the process, if it does not run, and says which rules it took.
    pub fn start(&self) -> Result<Taken, ScanError> {
        let mut running = self.running.lock();
        Ok(self.started(&mut running)?.taken.clone())
    }

    /// The process, started if it does not run.
    fn started<'a>(&self, running: &'a mut Option<Running>) -> Result<&'a mut Running, ScanError> {
        let started = match running.take() {
            Some(started) => started,
            None => Running::start(&self.arguments, &self.files)?,
        };
        Ok(running.insert(started))
    }
}

impl PayloadScanner for ScannerProcess {
    fn scan(&self, contents: &[u8]) -> Result<Vec<PayloadMatch>, ScanError> {
        if contents.len() > SCAN_BYTES_MAX {
            return Err(ScanError::TooLarge { bytes: contents.len(), bytes_max: SCAN_BYTES_MAX });
        }
        let mut running = self.running.lock();
        let answer = self.started(&mut running)?.ask(contents);
        match answer {
            Ok(outcome) => outcome,
            Err(source) => {
                let is_late = matches!(source.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock);
                // In the middle of a message nothing more can be asked.
                *running = None;
                Err(if is_late { too_late() } else { failed("asking the process that scans", source) })
            }
        }
    }

    fn rest(&self) {
        *self.running.lock() = None;
    }
}

impl Running {
    fn start(arguments: &[String], files: &RuleFiles) -> Result<Self, ScanError> {
        let process =
            ConfinedProcess::start(arguments).map_err(|source| failed("starting the process that scans", source))?;
        let mut running = Self { process, taken: Taken::default() };
        running.taken = running.send_rules(files).map_err(|source| failed("compiling the rules", source))?;
        Ok(running)
    }

    fn send_rules(&mut self, files: &RuleFiles) -> io::Result<Taken> {
        let mut until = self.process.within(COMPILE_TIME_MAX);
        for file in files.files() {
            message::send_rules(&mut until, file)?;
        }
        message::send(&mut until, Kind::Begin, &[])?;
        match message::receive(&mut until, ANSWER_BYTES_MAX)? {
            Some((Kind::Taken, json)) => Ok(serde_json::from_slice(&json)?),
            Some(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "no word about the rules")),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// What the rules say of a payload. The outer error says that nothing more can be asked.
    fn ask(&mut self, contents: &[u8]) -> io::Result<Result<Vec<PayloadMatch>, ScanError>> {
        let mut until = self.process.within(SCAN_TIME_MAX + ANSWER_GRACE);
        message::send(&mut until, Kind::Payload, &[contents])?;
        match message::receive(&mut until, ANSWER_BYTES_MAX)? {
            Some((Kind::Matches, json)) => Ok(Ok(message::matches(&json)?)),
            Some((Kind::TimedOut, _)) => Ok(Err(too_late())),
            Some((Kind::Failed, why)) => {
                let why = String::from_utf8_lossy(&why).escape_debug().to_string();
                Ok(Err(ScanError::Failed { doing: "asking the rules", source: why.into() }))
            }
            Some((Kind::Rules | Kind::Begin | Kind::Taken | Kind::Payload, _)) => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "no answer to a payload"))
            }
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

fn too_late() -> ScanError {
    ScanError::TimedOut { limit_ms: u64::try_from(SCAN_TIME_MAX.as_millis()).unwrap_or(u64::MAX) }
}

fn failed(doing: &'static str, source: io::Error) -> ScanError {
    ScanError::Failed { doing, source: Box::new(source) }
}

/// Is the process that scans: takes rules and then payloads from its standard input, which is a socket, and answers
/// there, until nobody asks any more.
pub fn run_scanner() -> Result<(), RunScannerError> {
    give_up_new_rights().map_err(|source| RunScannerError::Confine(source.into()))?;
    let mut stream = asker()?;
    let Some(files) = receive_rules(&mut stream)? else { return Ok(()) };
    let (engine, taken) = Engine::compile(&files);
    drop(files);
    // The engine starts its clock, a thread, with the first scan; afterwards no thread can be started.
    let _ = engine.scan(b"");
    confine(PROCESS_BYTES_MAX).map_err(RunScannerError::Confine)?;
    let taken = serde_json::to_vec(&taken).expect("lists, texts and numbers are JSON");
    message::send(&mut stream, Kind::Taken, &[&taken])?;
    while let Some((kind, contents)) = message::receive(&mut stream, SCAN_BYTES_MAX)? {
        if kind != Kind::Payload {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "no payload").into());
        }
        message::send_outcome(&mut stream, &engine.scan(&contents))?;
    }
    Ok(())
}

/// The files of rules; none when whoever asks is gone.
fn receive_rules(stream: &mut UnixStream) -> io::Result<Option<Vec<RuleFile>>> {
    let mut files = Vec::new();
    let mut bytes = 0;
    loop {
        // Names are short beside the text.
        match message::receive(stream, 2 * RULE_BYTES_MAX)? {
            Some((Kind::Rules, contents)) if files.len() < RULE_FILES_MAX && bytes <= RULE_BYTES_MAX => {
                let file = message::rules(&contents)?;
                bytes += file.text.len();
                files.push(file);
            }
            Some((Kind::Begin, _)) => return Ok(Some(files)),
            Some(_) => return Err(io::Error::new(io::ErrorKind::InvalidData, "no rules")),
            None => return Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use komainu_ports::conformance_payload::{CONFORMANCE_RULE, CONFORMANCE_WORD, check_payload_scanner};

    use super::*;

    /// Becomes the process that scans when another test starts this program.
    #[test]
    #[ignore = "is the process that the other tests start"]
    fn scanner_child() {
        run_scanner().unwrap();
    }

    fn scanner(rules: &str) -> (ScannerProcess, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let path: PathBuf = folder.path().join("conformance.yar");
        fs::write(&path, rules).unwrap();
        let arguments = ["--exact", "process::tests::scanner_child", "--ignored", "--nocapture"];
        let files = RuleFiles::read(&[path]).unwrap();
        (ScannerProcess::new(arguments.map(str::to_owned).to_vec(), files), folder)
    }

    fn conforming() -> (ScannerProcess, tempfile::TempDir) {
        scanner(&format!(
            "rule {CONFORMANCE_RULE} : tag {{ meta: komainu_label = \"dropper\" strings: $a = \"{CONFORMANCE_WORD}\" condition: $a }}"
        ))
    }

    fn pid(scanner: &ScannerProcess) -> u32 {
        scanner.running.lock().as_ref().unwrap().process.id()
    }

    #[test]
    fn a_process_scans_payloads() {
        let (scanner, _folder) = conforming();
        let taken = scanner.start().unwrap();
        assert_eq!((taken.of_files, taken.refused), (vec![1], Vec::new()));
        check_payload_scanner(&scanner, SCAN_BYTES_MAX);
    }

    #[test]
    fn a_process_that_was_killed_is_started_again() {
        let (scanner, _folder) = conforming();
        scanner.start().unwrap();
        let first = pid(&scanner);
        scanner.running.lock().as_mut().unwrap().process.kill().unwrap();
        assert!(matches!(scanner.scan(b"something"), Err(ScanError::Failed { .. })));
        assert_eq!(scanner.scan(b"something").unwrap(), []);
        assert_ne!(pid(&scanner), first);
        scanner.rest();
        assert!(!PathBuf::from(format!("/proc/{first}")).exists(), "nothing is left of it");
    }

    #[test]
    fn the_process_can_open_nothing_and_make_no_memory_executable() {
        let (scanner, _folder) = conforming();
        scanner.start().unwrap();
        let pid = pid(&scanner);
        let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}"));
        let limits = read("limits").unwrap();
        for (name, most) in [
            ("Max open files", "3"),
            ("Max file size", "0"),
            ("Max core file size", "0"),
            ("Max processes", "0"),
            ("Max address space", "1073741824"),
        ] {
            let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
            let seen: Vec<_> = line[name.len()..].split_whitespace().take(2).collect();
            assert_eq!(seen, [most, most], "{line}");
        }
        let status = read("status").unwrap();
        let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let of_threads = threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("status")).unwrap());
        for status in of_threads {
            assert!(status.contains("NoNewPrivs:\t1") && status.contains("Seccomp:\t2"), "{status}");
        }
        assert!(!status.contains("Uid:\t0"), "{status}");
        // Only root may look there.
        if let Ok(maps) = read("maps") {
            let executable: Vec<_> =
                maps.lines().filter(|line| line.split(' ').nth(1).unwrap().contains('x')).collect();
            let is_of_file = |line: &&str| line.contains(" /") || line.contains("[v");
            assert!(executable.iter().all(is_of_file), "{executable:?}");
        }
    }

    #[test]
    fn a_scan_that_takes_too_long_is_given_up() {
        let (scanner, _folder) = scanner(
            "rule slow { condition: filesize > 10 and for all a in (0..9000000000) : (uint8(a % filesize) == 0x41) }",
        );
        assert!(matches!(scanner.scan(&[b'A'; 11]), Err(ScanError::TimedOut { limit_ms: 5_000 })));
        let before = pid(&scanner);
        assert_eq!(scanner.scan(b"short").unwrap(), []);
        assert_eq!(pid(&scanner), before, "it gave up by itself and goes on");
    }
}
