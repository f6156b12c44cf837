use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use komainu_ports::conformance_triage::{SCRIPT, check_triage};
use komainu_yara::RuleFiles;

use crate::triage::line::{Line, Resumed};
use crate::triage::worker::TriageProcess;
use crate::triage::{files, line, show};

/// Becomes the process that looks at files when another test starts this program.
#[test]
#[ignore = "is the process that the other tests start"]
fn worker_child() {
    crate::triage::run_worker().unwrap();
}

fn process() -> TriageProcess {
    let arguments = ["--exact", "triage::tests::worker_child", "--ignored", "--nocapture"];
    TriageProcess::with_arguments(Arc::new(RuleFiles::default()), arguments.map(str::to_owned).to_vec())
}

#[test]
fn a_process_looks_at_samples() {
    check_triage(&process(), komainu_triage::SAMPLE_BYTES_MAX);
}

#[test]
fn a_worker_that_dies_is_told_and_the_next_file_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("script");
    fs::write(&path, SCRIPT).unwrap();
    let process = process();
    assert!(process.look(&path).error().is_none());
    let first = process.id().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(first.cast_signed()), nix::sys::signal::SIGKILL).unwrap();
    let died = process.look(&path);
    assert!(died.error().unwrap().contains("it died of this one"), "{:?}", died.error());
    assert!(process.look(&path).error().is_none());
    assert_ne!(process.id().unwrap(), first);
}

#[test]
fn the_process_can_open_nothing_and_make_few_system_calls() {
    let process = process();
    komainu_ports::Triage::triage(&process, SCRIPT).unwrap();
    let pid = process.id().unwrap();
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap();
    let limits = read("limits");
    for (name, most) in [("Max open files", "3"), ("Max processes", "0"), ("Max address space", "1610612736")] {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(line.split_whitespace().any(|word| word == most), "{line}");
    }
    let status = read("status");
    assert!(
        status.contains("Seccomp:\t2") && status.contains("NoNewPrivs:\t1") && !status.contains("Uid:\t0"),
        "{status}"
    );
}

#[test]
fn a_run_goes_on_where_it_was_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let path = |name: &str| PathBuf::from(name);
    let failed = |name: &str| Line::new(&path(name), Err("cannot".into()));
    let mut resumed = Resumed::open(&state).unwrap();
    assert!(resumed.done.is_empty());
    resumed.append(&failed("one")).unwrap();
    resumed.append(&failed("two\nlines")).unwrap();
    assert!(Resumed::open(&state).is_err(), "another run uses it");
    drop(resumed);
    let whole = fs::read(&state).unwrap();
    // It was stopped in the middle of a line.
    fs::write(&state, &whole[..whole.len() - 3]).unwrap();
    let mut resumed = Resumed::open(&state).unwrap();
    assert!(resumed.done.contains("one") && resumed.done.len() == 1);
    resumed.append(&failed("two\nlines")).unwrap();
    drop(resumed);
    assert_eq!(fs::read(&state).unwrap(), whole, "each file once");
    fs::write(&state, "something else\n").unwrap();
    assert!(Resumed::open(&state).is_err());
    assert_eq!(fs::read(&state).unwrap(), b"something else\n", "no file of others is changed");
}

#[test]
fn folders_are_listed_in_order_and_links_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("b")).unwrap();
    for name in ["c", "b/d", "a"] {
        fs::write(at(name), name).unwrap();
    }
    std::os::unix::fs::symlink(folder.path(), at("circle")).unwrap();
    assert_eq!(files::list(&[folder.path().to_owned()]).unwrap(), [at("a"), at("b/d"), at("c")]);
    assert!(files::list(&[at("missing")]).is_err());
}

#[test]
fn names_reach_no_terminal_raw() {
    let line = Line::new(&PathBuf::from("a\x1b[2Jb\nc"), Err("cannot be read".into()));
    let mut out = Vec::new();
    show::line(&mut out, &line).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), "FAILED        a\\u{1b}[2Jb\\nc\n  cannot be read\n\n");
    assert_eq!(line.json(), "{\"file\":\"a\\u001b[2Jb\\nc\",\"error\":\"cannot be read\"}");
    use std::os::unix::ffi::OsStrExt as _;
    assert_eq!(line::name(std::path::Path::new(std::ffi::OsStr::from_bytes(b"a\xff"))), "bytes:a\\xff");
}
