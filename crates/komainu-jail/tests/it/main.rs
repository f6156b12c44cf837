//! Jails around programs of this machine, looked at from inside and from outside.
//!
//! A program of its own, and not a list of test functions, because it also is the launcher, which must have one thread.
#![expect(clippy::unwrap_used, reason = "a test program, whose functions are no test functions to Clippy")]

use std::fs;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use komainu_jail::{
    EndedBy, Finding, HowEnded, Jail, JailEnd, JailUser, JailedChild, Limits, run_launcher, run_self_test, self_test,
};

/// The argument by which this program becomes the launcher.
const LAUNCHER: &str = "launcher";

/// The argument by which it tests a jail from inside.
const TESTER: &str = "tester";

/// More than anything here takes.
const SOON: Duration = Duration::from_secs(30);

const TESTS: &[(&str, fn())] = &[
    ("what_a_program_sees_is_what_was_named", what_a_program_sees_is_what_was_named),
    ("a_program_is_a_user_without_rights", a_program_is_a_user_without_rights),
    ("nothing_can_be_written_but_in_the_scratch_folder", nothing_can_be_written_but_in_the_scratch_folder),
    ("a_program_starts_no_other", a_program_starts_no_other),
    ("descriptors_have_their_numbers_and_no_other_is_open", descriptors_have_their_numbers_and_no_other_is_open),
    ("a_program_ends_when_it_is_told", a_program_ends_when_it_is_told),
    ("a_program_ends_when_its_time_is_over", a_program_ends_when_its_time_is_over),
    ("a_program_ends_when_nobody_holds_it", a_program_ends_when_nobody_holds_it),
    ("a_program_ends_when_its_launcher_is_killed", a_program_ends_when_its_launcher_is_killed),
    ("processor_time_is_limited_and_told", processor_time_is_limited_and_told),
    ("folders_above_need_not_be_open_to_the_user_of_the_jail", folders_above_need_not_be_open_to_the_user_of_the_jail),
    ("the_self_test_holds", the_self_test_holds),
    ("what_makes_no_jail_is_refused", what_makes_no_jail_is_refused),
];

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some(LAUNCHER) => run_launcher().expect("the launcher of a test"),
        Some(TESTER) => run_self_test().expect("the self-test of a test"),
        // What `cargo test` and its relatives ask of each test program.
        Some("--list") => TESTS.iter().for_each(|(name, _)| println!("{name}: test")),
        _ => {
            let wanted = arguments.iter().find(|argument| !argument.starts_with('-'));
            for (name, test) in TESTS.iter().filter(|(name, _)| wanted.is_none_or(|wanted| name.contains(wanted))) {
                test();
                println!("test {name} ... ok");
            }
        }
    }
}

fn jail(program: &str, arguments: &[&str]) -> Jail {
    Jail {
        launcher: vec![LAUNCHER.to_owned()],
        program: PathBuf::from(program),
        arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
        environment: vec![("TOLD".to_owned(), "yes".to_owned())],
        read_only: Vec::new(),
        descriptors: Vec::new(),
        limits: Limits { time_s_max: 20, ..Limits::default() },
        user: JailUser::find_default().ok(),
    }
}

/// Runs a program to its end; what it said and how it ended.
fn run(mut jail: Jail) -> (String, JailEnd) {
    let (mut said, theirs) = UnixStream::pair().unwrap();
    let theirs = OwnedFd::from(theirs);
    jail.descriptors.push((theirs.as_fd().try_clone_to_owned().unwrap(), 1));
    jail.descriptors.push((theirs, 2));
    let mut child = jail.start().unwrap();
    let mut text = String::new();
    said.set_read_timeout(Some(SOON)).unwrap();
    said.read_to_string(&mut text).unwrap();
    (text, end(&mut child))
}

fn end(child: &mut JailedChild) -> JailEnd {
    child.wait(SOON).unwrap().expect("it ends soon")
}

fn status_of(child: &JailedChild, key: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{}/status", child.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn what_a_program_sees_is_what_was_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    fs::write(folder.path().join("named"), "contents").unwrap();
    let named = folder.path().to_str().unwrap();
    let mut with_folder = jail("/bin/cat", &[&format!("{named}/named")]);
    with_folder.read_only.push(folder.path().to_owned());
    assert_eq!(run(with_folder).0, "contents");

    let (seen, how) = run(jail("/bin/ls", &["-A", "/"]));
    let seen: Vec<_> = seen.split_whitespace().collect();
    assert_eq!(how.how, HowEnded::Exited(0));
    assert!(seen.iter().all(|name| ["bin", "dev", "etc", "lib", "lib64", "usr"].contains(name)), "{seen:?}");
    assert_eq!(run(jail("/bin/ls", &["/dev"])).0, "null\nurandom\nzero\n");
    for path in ["/etc/passwd", "/proc/1/environ", "/proc/self/status", "/sys/kernel", "/bin/sh", named] {
        let (said, how) = run(jail("/bin/cat", &[path]));
        assert_eq!((said.contains("No such file"), how.how), (true, HowEnded::Exited(1)), "{path}: {said}");
    }
    assert_eq!(run(jail("/usr/bin/env", &[])).0, "TOLD=yes\n");
    assert_eq!(run(jail("/bin/uname", &["-n"])).0, "jail\n");
}

fn a_program_is_a_user_without_rights() {
    assert_eq!(run(jail("/usr/bin/id", &["-u"])).0, "1000\n");
    let child = jail("/bin/sleep", &["100"]).start().unwrap();
    for key in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(status_of(&child, key), "0000000000000000", "{key}");
    }
    assert_eq!((status_of(&child, "NoNewPrivs"), status_of(&child, "Seccomp")), ("1".into(), "2".into()));
    assert_eq!(status_of(&child, "Seccomp_filters"), "3");
    assert!(!status_of(&child, "Uid").split(' ').any(|uid| uid == "0"), "{}", status_of(&child, "Uid"));
    // It is the first and only process that it could see.
    assert_eq!(status_of(&child, "NSpid"), format!("{} 1", child.pid()));
    let inside = |name: &str| fs::read_link(format!("/proc/{}/ns/{name}", child.pid()));
    for name in ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"] {
        let outside = fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
        // Only root, and whoever made the namespace of users, may look.
        if let Ok(inside) = inside(name) {
            assert_ne!(inside, outside, "{name}");
        }
    }
}

fn nothing_can_be_written_but_in_the_scratch_folder() {
    for place in ["/new", "/dev/new", "/usr/new", "/bin/cat", "/scratch/new"] {
        let (said, how) = run(jail("/bin/dd", &["if=/dev/zero", "count=1", &format!("of={place}")]));
        assert_eq!(how.how, HowEnded::Exited(1), "{place}: {said}");
    }
    let mut roomy = jail("/bin/dd", &["if=/dev/zero", "bs=4096", "of=/scratch/new"]);
    roomy.limits.scratch_bytes_max = 1 << 20;
    let (said, how) = run(roomy);
    assert!(said.contains("No space left") && said.contains("1048576 bytes"), "{said}");
    assert_eq!(how.how, HowEnded::Exited(1));
}

fn a_program_starts_no_other() {
    for command in ["/bin/true", "(true)"] {
        let mut shell = jail("/bin/sh", &["-c", &format!("{command}; echo went on $?")]);
        shell.read_only.push("/bin/true".into());
        let (said, _) = run(shell);
        assert!(!said.contains("went on 0"), "{command}: {said}");
    }
    let (said, how) = run(jail("/bin/sh", &["-c", "exec /bin/sh -c 'echo went on'"]));
    assert!(!said.contains("went on\n"), "{said}");
    assert_ne!(how.how, HowEnded::Exited(0));
}

fn descriptors_have_their_numbers_and_no_other_is_open() {
    let (one, other) = UnixStream::pair().unwrap();
    let mut giving = jail("/bin/sleep", &["100"]);
    // Numbers that descriptors also have on their way there, in another order.
    let numbers = [7, 3, 4, 14, 6, 5, 8, 9, 13, 10, 11, 12];
    giving.descriptors.push((one.into(), 63));
    let files: Vec<_> = numbers.iter().map(|_| tempfile::NamedTempFile::new().unwrap()).collect();
    for (file, number) in files.iter().zip(numbers) {
        giving.descriptors.push((file.reopen().unwrap().into(), number));
    }
    let child = giving.start().unwrap();
    let open = || {
        // Only root, and who made the namespace of users, may look.
        let open = fs::read_dir(format!("/proc/{}/fd", child.pid())).ok()?;
        let mut open: Vec<i32> =
            open.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect();
        open.sort_unstable();
        Some(open)
    };
    if open().is_some() {
        let expected: Vec<_> = (0..=14).chain([63]).collect();
        // While its libraries are loaded, it has one of them open.
        let until = Instant::now() + SOON;
        while open().as_ref() != Some(&expected) && Instant::now() < until {
            std::thread::yield_now();
        }
        assert_eq!(open(), Some(expected));
        for (file, number) in files.iter().zip(numbers) {
            let target = fs::read_link(format!("/proc/{}/fd/{number}", child.pid())).unwrap();
            assert_eq!(target.file_name(), file.path().file_name(), "{number}");
        }
    }
    drop(child);
    // Nobody has the other end any more.
    other.set_read_timeout(Some(SOON)).unwrap();
    assert_eq!((&other).read(&mut [0; 1]).unwrap(), 0);
}

fn a_program_ends_when_it_is_told() {
    let mut child = jail("/bin/sleep", &["100"]).start().unwrap();
    assert_eq!(child.wait(Duration::ZERO).unwrap(), None);
    child.kill();
    let end = end(&mut child);
    assert_eq!((end.how, end.by), (HowEnded::Killed(9), EndedBy::Holder));
    assert!(!Path::new(&format!("/proc/{}", child.pid())).exists(), "nothing is left of it");
    child.kill();
    assert_eq!(child.wait(Duration::ZERO).unwrap(), Some(end), "it is said again");
}

fn a_program_ends_when_its_time_is_over() {
    let mut short = jail("/bin/sleep", &["100"]);
    short.limits.time_s_max = 1;
    let end = end(&mut short.start().unwrap());
    assert_eq!((end.how, end.by), (HowEnded::Killed(9), EndedBy::TimeOver));
}

fn a_program_ends_when_nobody_holds_it() {
    let child = jail("/bin/sleep", &["100"]).start().unwrap();
    let pid = child.pid();
    drop(child);
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
}

fn a_program_ends_when_its_launcher_is_killed() {
    let (mut other, theirs) = UnixStream::pair().unwrap();
    let mut holding = jail("/bin/sleep", &["100"]);
    holding.descriptors.push((theirs.into(), 5));
    let mut child = holding.start().unwrap();
    let launcher: i32 = status_of(&child, "PPid").parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(launcher), nix::sys::signal::Signal::SIGKILL).unwrap();
    other.set_read_timeout(Some(SOON)).unwrap();
    assert_eq!(other.read(&mut [0; 1]).unwrap(), 0, "its end of the socket is closed");
    assert!(child.wait(SOON).is_err(), "nobody knows what it used");
}

fn processor_time_is_limited_and_told() {
    let mut busy = jail("/bin/sh", &["-c", "while :; do :; done"]);
    busy.limits.cpu_s_max = 1;
    let (_, end) = run(busy);
    assert_eq!((end.how, end.by), (HowEnded::Killed(9), EndedBy::Itself));
    let used = end.user + end.system;
    assert!(used > Duration::from_millis(900) && used < Duration::from_millis(1_800), "{used:?}");
    assert!(end.memory_bytes_max > 1 << 18, "{end:?}");
}

fn the_self_test_holds() {
    let tested = self_test(vec![LAUNCHER.to_owned()], vec![TESTER.to_owned()], JailUser::find_default().ok()).unwrap();
    assert!(tested.len() > 10 && tested.iter().all(|finding| finding.holds), "{tested:#?}");
    // It can fail: outside of a jail almost nothing holds.
    let output = std::process::Command::new(std::env::current_exe().unwrap()).arg(TESTER).output().unwrap();
    let free: Vec<Finding> = serde_json::from_slice(&output.stdout).unwrap();
    let held: Vec<_> = free.iter().filter(|finding| finding.holds).map(|finding| &finding.what).collect();
    assert!(held.len() < 4, "{held:?}");
}

/// A jail for a copy of `/bin/true` in this folder.
fn copy_of_true(folder: &tempfile::TempDir, folder_mode: u32, file_mode: u32) -> Jail {
    let set_mode =
        |path: &Path, mode| fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    let program = folder.path().join("true");
    fs::copy("/bin/true", &program).unwrap();
    set_mode(&program, file_mode);
    set_mode(folder.path(), folder_mode);
    Jail { program, ..jail("/bin/true", &[]) }
}

/// Whoever may pass a folder may show what is in it: root's home is closed to all others, and root's programs lie there.
fn folders_above_need_not_be_open_to_the_user_of_the_jail() {
    let folder = tempfile::tempdir().unwrap();
    let (_, end) = run(copy_of_true(&folder, 0o700, 0o755));
    assert_eq!(end.how, HowEnded::Exited(0));
}

fn what_makes_no_jail_is_refused() {
    let check = |change: fn(&mut Jail), expected: &str| {
        let mut jail = jail("/bin/true", &[]);
        change(&mut jail);
        let error = jail.start().map(|_| ()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    };
    check(|jail| jail.program = "/bin/not-there".into(), "/bin/not-there visible");
    check(|jail| jail.program = "bin/true".into(), "absolute");
    check(|jail| jail.program = "/etc/passwd".into(), "cannot start /etc/passwd");
    check(|jail| jail.read_only.push("/proc".into()), "/proc visible");
    check(|jail| jail.read_only.push("/".into()), "/ visible");
    check(|jail| jail.limits.memory_bytes_max = u64::MAX, "must have limits");
    check(|jail| jail.limits.threads_max = 0, "must have limits");
    check(|jail| jail.descriptors.push((UnixDatagram::pair().unwrap().0.into(), 3)), "SOCK_SEQPACKET");
    check(|jail| jail.descriptors.push((tempfile::tempfile().unwrap().into(), 256)), "below");
    check(|jail| jail.descriptors.push((tempfile::tempfile().unwrap().into(), -1)), "below");
    if nix::unistd::Uid::effective().is_root() {
        // A file that only root may read.
        let folder = tempfile::tempdir().unwrap();
        let closed = copy_of_true(&folder, 0o755, 0o700);
        let error = closed.start().map(drop).unwrap_err().to_string();
        assert!(error.contains("starting the program"), "{error}");
        check(|jail| jail.user = None, "never root");
        check(|jail| jail.user = Some(JailUser { uid: 0, gid: 0 }), "without rights");
        let error = jail("/bin/true", &[]).start().map(drop);
        assert!(error.is_ok(), "the same, unchanged: {error:?}");
    }
}
