//! Applets that deal with the system itself: processes, users, names, time.

use super::{Call, shown};
use crate::shell::builtins;
use crate::shell::files::Errno;
use crate::shell::machine::Process;
use crate::shell::run::{Run, Status, Stop, Variable};
use crate::shell::{Note, applets};

/// Does what cannot be seen.
pub(super) fn quiet(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    match call.applet {
        "chown" | "chgrp" => {
            let words: Vec<&Vec<u8>> = call.arguments.iter().filter(|word| !word.starts_with(b"-")).collect();
            let [_, names @ ..] = words.as_slice() else { return call.usage(run) };
            if names.is_empty() {
                return call.usage(run);
            }
            let folder = run.folder();
            let mut status = 0;
            for name in names {
                if let Err(error) = run.files().stat(&folder, name) {
                    call.fails_on(run, name, error);
                    status = 1;
                }
            }
            return Ok(status);
        }
        "clear" | "reset" => run.out("\x1b[H\x1b[J"),
        "watchdog" => run.note(Note::WroteDevice),
        "true" | "sync" => {}
        _ => {}
    }
    Ok(0)
}

// Shells.

pub(super) fn shell(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let mut arguments = call.arguments;
    let mut command = None;
    while let Some((word, rest)) = arguments.split_first()
        && let [b'-', letters @ ..] = word.as_slice()
        && !letters.is_empty()
    {
        arguments = rest;
        if letters == b"-" || letters.starts_with(b"-") {
            continue;
        }
        if let Some(letter) = letters.iter().find(|letter| !b"aCefIimnpsuvxlbc".contains(letter)) {
            run.err(format!("{}: illegal option -{}\n", call.applet, char::from(*letter)));
            return Ok(2);
        }
        if letters.contains(&b'c') {
            let Some((source, rest)) = arguments.split_first() else {
                run.err(format!("{}: -c requires an argument\n", call.applet));
                return Ok(2);
            };
            command = Some(source.clone());
            arguments = rest;
            break;
        }
    }
    let name = call.applet.as_bytes().to_vec();
    if let Some(source) = command {
        let zero_and_arguments = if arguments.is_empty() { vec![name.clone()] } else { arguments.to_vec() };
        let name = zero_and_arguments.first().cloned().unwrap_or(name);
        return run.script(&name, false, &source, &zero_and_arguments);
    }
    if let Some(file) = arguments.first() {
        let folder = run.folder();
        return match run
            .files()
            .place(&folder, file, true)
            .and_then(|place| Ok((run.files().read(b"/", &place)?, place)))
        {
            Ok((data, place)) => {
                run.capture(&place, crate::shell::CaptureReason::Ran);
                run.script(file, true, data.bytes(), arguments)
            }
            Err(error) => {
                run.err(format!("{}: can't open '{}': {}\n", call.applet, shown(file), error.text()));
                Ok(2)
            }
        };
    }
    if run.is_terminal(0) {
        return run.nested(&name);
    }
    let source = run.read_all();
    run.script(&name, false, &source, std::slice::from_ref(&name))
}

pub(super) fn login(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let letters = if call.applet == "su" { "+lmpc:s:" } else { "+fh:p" };
    let Some(options) = call.options(run, letters) else { return Ok(1) };
    let user = options.rest.iter().find(|word| *word != b"-").cloned().unwrap_or_else(|| b"root".to_vec());
    if call.applet == "su" && !matches!(user.as_slice(), b"root" | b"daemon" | b"ftp" | b"nobody") {
        call.complain(run, format!("unknown user {}", shown(&user)));
        return Ok(1);
    }
    if let Some(command) = options.value(b'c') {
        return run.script(b"sh", false, command, &[b"sh".to_vec()]);
    }
    if run.is_terminal(0) { run.nested(if call.applet == "su" { b"sh" } else { b"-sh" }) } else { Ok(0) }
}

/// `nohup`, `time` and their kin: a program behind some options.
pub(super) fn prefix(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let letters = match call.applet {
        "timeout" => "+s:t:k:p",
        "watch" => "+n:t",
        "time" => "+vpao:f:",
        _ => "+",
    };
    let Some(options) = call.options(run, letters) else { return Ok(1) };
    let mut words = options.rest.as_slice();
    if call.applet == "timeout" && !options.has(b't') {
        words = words.get(1..).unwrap_or_default();
    }
    let Some(name) = words.first().cloned() else { return call.usage(run) };
    let status = match super::xargs::start(run, &name, words)? {
        Ok(status) => status,
        Err(error) => {
            call.complain(run, format!("can't execute '{}': {}", shown(&name), error.text()));
            return Ok(if error == Errno::NotFound { 127 } else { 126 });
        }
    };
    if call.applet == "time" {
        run.err("real\t0m 0.00s\nuser\t0m 0.00s\nsys\t0m 0.00s\n");
    }
    Ok(status)
}

pub(super) fn env(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "+i0u:") else { return Ok(1) };
    let mut words = options.rest.as_slice();
    let mut variables: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    if !options.has(b'i') {
        let scope = run.scope();
        variables.extend(
            scope
                .variables
                .iter()
                .filter(|(_, variable)| variable.is_exported)
                .map(|(name, variable)| (name.clone(), variable.value.clone())),
        );
    }
    while let Some((word, rest)) = words.split_first()
        && let Some(at) = word.iter().position(|&byte| byte == b'=')
    {
        let (name, value) = (word.get(..at).unwrap_or_default(), word.get(at + 1..).unwrap_or_default());
        variables.retain(|(key, _)| key != name);
        variables.push((name.to_vec(), value.to_vec()));
        words = rest;
    }
    let Some(name) = words.first().cloned() else {
        for (name, value) in variables {
            run.line([name.as_slice(), b"=", &value].concat());
        }
        return Ok(0);
    };
    let words = words.to_vec();
    run.subshell(|run| {
        let as_variable = |value| Variable { value, is_exported: true, is_readonly: false };
        // The program is looked for before its environment is changed.
        let found = run.find_program(&name);
        run.scope().variables = variables.into_iter().map(|(name, value)| (name, as_variable(value))).collect();
        let started = match found {
            Some((place, _)) => run.start(&place, &name, &words)?,
            None => Err(Errno::NotFound),
        };
        Ok(match started {
            Ok(status) => status,
            Err(error) => {
                call.complain(run, format!("can't execute '{}': {}", shown(&name), error.text()));
                if error == Errno::NotFound { 127 } else { 126 }
            }
        })
    })
}

pub(super) fn which(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "a") else { return Ok(1) };
    if options.rest.is_empty() {
        return call.usage(run);
    }
    let mut status = 0;
    for name in &options.rest {
        match run.find_program(name) {
            Some((_, path)) => run.line(path),
            None => status = 1,
        }
    }
    Ok(status)
}

pub(super) fn sleep(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    if call.arguments.is_empty() {
        return call.usage(run);
    }
    match builtins::duration(call.arguments) {
        Ok(time) => run.wait(time).map(|()| 0),
        Err(word) => {
            call.complain(run, format!("invalid number '{}'", shown(&word)));
            Ok(1)
        }
    }
}

// Processes.

/// What runs, the session's shell and the asking program included.
pub(crate) fn processes(run: &Run<'_>) -> Vec<Process> {
    let mut processes: Vec<Process> =
        run.machine.processes.iter().filter(|process| !run.shell.ended.contains(&process.pid)).cloned().collect();
    processes.push(Process { pid: run.shell.pid, kib: 1_212, command: "-sh" });
    processes
}

pub(crate) fn end_process(run: &mut Run<'_>, pid: u32) {
    // Threads of the kernel and the first process stay.
    let is_program = run.machine.processes.iter().any(|process| process.pid == pid && process.kib > 0 && pid > 1);
    if is_program && !run.shell.ended.contains(&pid) {
        run.shell.ended.push(pid);
    }
}

fn program_name(process: &Process) -> &str {
    let first = process.command.split_whitespace().next().unwrap_or_default();
    files_name(first.trim_matches(['[', ']']).trim_start_matches('-'))
}

fn files_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

pub(super) fn ps(run: &mut Run<'_>, _: &Call<'_>) -> Status {
    let mut all = processes(run);
    run.shell.next_pid += 1;
    all.push(Process { pid: run.shell.next_pid, kib: 1_208, command: "ps" });
    let user = run.machine.user.clone();
    let mut out = "  PID USER       VSZ STAT COMMAND\n".to_owned();
    for process in all {
        let state = match (process.kib, process.command) {
            (_, "ps") => "R",
            (0, _) => "SW",
            _ => "S",
        };
        let owner = if process.pid < run.shell.pid { "root" } else { &user };
        out.push_str(&format!("{:5} {owner:<8.8} {:>5} {state:<4} {}\n", process.pid, process.kib, process.command));
    }
    run.out(out);
    Ok(0)
}

pub(super) fn top(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(_) = call.options(run, "bn:d:mHk") else { return Ok(1) };
    let total = run.machine.memory_kib;
    run.out(format!(
        "Mem: {}K used, {}K free, 72K shrd, {}K buff, {}K cached\nCPU:   2% usr   3% sys   0% nic  94% idle   0% \
            io   0% irq   \
         0% sirq\nLoad average: 0.02 0.05 0.01 1/{} {}\n",
        total - total / 3,
        total / 3,
        total / 25,
        total / 6,
        run.machine.processes.len(),
        run.shell.next_pid
    ));
    run.out("  PID  PPID USER     STAT   VSZ %VSZ %CPU COMMAND\n");
    for process in processes(run) {
        let state = if process.kib == 0 { "SW" } else { "S" };
        let share = u64::from(process.kib) * 100 / u64::from(total.max(1));
        run.out(format!(
            "{:5} {:5} root     {state:<4} {:5} {share:3}%   0% {}\n",
            process.pid, 1, process.kib, process.command
        ));
    }
    Ok(0)
}

pub(super) fn killall(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let mut words = call.arguments;
    let mut is_quiet = false;
    while let Some((word, rest)) = words.split_first()
        && let [b'-', letters @ ..] = word.as_slice()
    {
        match letters {
            b"l" => return builtins::list_signals(run),
            b"q" => is_quiet = true,
            b"f" | b"x" | b"o" | b"n" => {}
            _ if builtins::signal(letters).is_some() => {}
            _ => {
                call.complain(run, format!("bad signal name '{}'", shown(letters)));
                return Ok(1);
            }
        }
        words = rest;
    }
    if words.is_empty() {
        call.complain(run, "you need to specify whom to kill");
        return Ok(1);
    }
    run.note(Note::KilledProcess);
    let mut status = 0;
    for word in words {
        run.pay(64)?;
        let name = shown(word);
        let found: Vec<u32> = processes(run)
            .iter()
            .filter(|process| program_name(process) == files_name(&name) && process.pid != run.shell.pid)
            .map(|process| process.pid)
            .collect();
        if found.is_empty() {
            status = 1;
            if !is_quiet && call.applet == "killall" {
                call.complain(run, format!("{name}: no process killed"));
            }
        }
        for pid in found {
            end_process(run, pid);
        }
    }
    Ok(status)
}

pub(super) fn pidof(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let words: Vec<String> =
        call.arguments.iter().map(|word| shown(word)).filter(|word| !word.starts_with('-')).collect();
    let found: Vec<String> = processes(run)
        .iter()
        .filter(|process| words.iter().any(|word| program_name(process) == files_name(word)))
        .map(|process| process.pid.to_string())
        .collect();
    if found.is_empty() {
        return Ok(1);
    }
    run.line(found.join(if call.applet == "pidof" { " " } else { "\n" }));
    Ok(0)
}

pub(super) fn module(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(name) = call.arguments.first() else { return call.usage(run) };
    run.note(Note::ChangedModules);
    let reason = if call.applet == "insmod" { "can't insert" } else { "can't unload module" };
    call.complain(run, format!("{reason} '{}': No such file or directory", shown(name)));
    Ok(1)
}

pub(super) fn lsmod(run: &mut Run<'_>, _: &Call<'_>) -> Status {
    run.out("Module                  Size  Used by    Not tainted\n");
    Ok(0)
}

pub(super) fn reboot(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(_) = call.options(run, "d:nfwi") else { return Ok(1) };
    run.note(Note::Rebooted);
    // The connection ends as the device goes down.
    run.shell.levels.clear();
    Err(Stop::Exit(0))
}

// Users.

pub(super) fn whoami(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    if call.applet == "whoami" && !call.arguments.is_empty() {
        return call.usage(run);
    }
    let user = run.machine.user.clone();
    run.line(user);
    Ok(0)
}

pub(super) fn id(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "ugGnr") else { return Ok(1) };
    let (user, uid) = (run.machine.user.clone(), run.machine.uid);
    if let Some(name) = options.rest.first()
        && *name != user.as_bytes()
    {
        call.complain(run, format!("unknown user {}", shown(name)));
        return Ok(1);
    }
    if options.has(b'u') || options.has(b'g') || options.has(b'G') {
        run.line(if options.has(b'n') { user } else { uid.to_string() });
    } else {
        run.line(format!("uid={uid}({user}) gid={uid}({user})"));
    }
    Ok(0)
}

pub(super) fn who(run: &mut Run<'_>, _: &Call<'_>) -> Status {
    run.out("USER\t\tTTY\t\tIDLE\tTIME\t\t HOST\n");
    Ok(0)
}

pub(super) fn passwd(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(_) = call.options(run, "a:lud") else { return Ok(1) };
    run.note(Note::ChangedPassword);
    let user = call.arguments.iter().find(|word| !word.starts_with(b"-")).map_or("root".to_owned(), |word| shown(word));
    let given = run.read_all();
    run.out(format!("Changing password for {user}\nNew password: \n"));
    if given.is_empty() {
        run.out(format!("passwd: password for {user} is unchanged\n"));
        return Ok(1);
    }
    run.out(format!("Retype password: \npasswd: password for {user} changed by root\n"));
    Ok(0)
}

pub(super) fn crontab(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "c:u:erl") else { return Ok(1) };
    let path = b"/etc/crontabs/root".as_slice();
    if options.has(b'l') {
        return match run.files().read(b"/", b"/var/spool/cron/root").or_else(|_| run.files().read(b"/", path)) {
            Ok(data) => {
                run.out(data.bytes());
                Ok(0)
            }
            Err(error) => {
                call.complain(run, format!("can't open 'root': {}", error.text()));
                Ok(1)
            }
        };
    }
    run.note(Note::Scheduled);
    if options.has(b'r') || options.has(b'e') {
        return Ok(0);
    }
    let name = options.rest.first().map_or(b"-".as_slice(), Vec::as_slice);
    match call.input(run, name)? {
        Ok(bytes) => {
            if let Ok(fd) = run.open_path(b"/var/spool/cron/root", false) {
                run.with_fds(None, Some(fd), |run| run.out(bytes));
            }
            Ok(0)
        }
        Err(error) => {
            call.cannot_open(run, name, error);
            Ok(1)
        }
    }
}

// Names and time.

pub(super) fn hostname(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "sidfF:") else { return Ok(1) };
    if let Some(name) = options.rest.first() {
        let name = shown(name.get(..name.len().min(64)).unwrap_or_default());
        run.shell.host_name = Some(name);
        return Ok(0);
    }
    let name = host_name(run);
    run.line(name);
    Ok(0)
}

fn host_name(run: &Run<'_>) -> String {
    run.shell.host_name.clone().unwrap_or_else(|| run.machine.host_name.clone())
}

pub(super) fn uname(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "snrvmpioa") else { return Ok(1) };
    let host = host_name(run);
    let machine = run.machine.clone();
    let all = options.has(b'a');
    let values = [
        (b's', "Linux"),
        (b'n', host.as_str()),
        (b'r', machine.kernel.as_str()),
        (b'v', machine.kernel_build.as_str()),
        (b'm', machine.cpu.machine_name()),
        (b'p', "unknown"),
        (b'i', "unknown"),
        (b'o', "GNU/Linux"),
    ];
    let is_default = !values.iter().any(|(letter, _)| options.has(*letter)) && !all;
    let chosen: Vec<&str> = values
        .iter()
        .filter(|(letter, value)| options.has(*letter) || all && *value != "unknown" || is_default && *letter == b's')
        .map(|(_, value)| *value)
        .collect();
    run.line(chosen.join(" "));
    Ok(0)
}

pub(super) fn uptime(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(_) = call.options(run, "s") else { return Ok(1) };
    let up = run.machine.uptime_s + run.now.as_secs();
    let now = civil(run.wall_clock_s());
    let (days, hours, minutes) = (up / 86_400, up / 3_600 % 24, up / 60 % 60);
    let days = match days {
        0 => String::new(),
        1 => "1 day, ".to_owned(),
        days => format!("{days} days, "),
    };
    let time = if hours > 0 { format!("{hours:2}:{minutes:02}") } else { format!("{minutes} min") };
    run.out(format!(
        " {:02}:{:02}:{:02} up {days}{time},  0 users,  load average: 0.02, 0.05, 0.01\n",
        now.hour, now.minute, now.second
    ));
    Ok(0)
}

/// A time of day and a day, in UTC.
struct Civil {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    /// From Sunday.
    weekday: u64,
    /// From 1.
    day_of_year: u64,
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const LONG_WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const LONG_MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The civil date of seconds since 1970. Years begin in March here, so that the leap day is the last.
fn civil(seconds: u64) -> Civil {
    let days = seconds / 86_400;
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let before = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let day_of_year = before.get(month as usize - 1).copied().unwrap_or(0) + day + u64::from(is_leap && month > 2);
    Civil {
        year,
        month,
        day,
        hour: seconds / 3_600 % 24,
        minute: seconds / 60 % 60,
        second: seconds % 60,
        weekday: (days + 4) % 7,
        day_of_year,
    }
}

fn name_of(names: &[&'static str], at: u64) -> &'static str {
    names.get(at as usize).copied().unwrap_or_default()
}

/// `Jan  1 00:00`, or the year in place of the time if it is half a year ago or more.
pub(super) fn short_date(time: u64, now: u64) -> String {
    let date = civil(time);
    let month = name_of(&MONTHS, date.month - 1);
    if now.saturating_sub(time) > 365 * 86_400 / 2 {
        format!("{month} {:2}  {}", date.day, date.year)
    } else {
        format!("{month} {:2} {:02}:{:02}", date.day, date.hour, date.minute)
    }
}

pub(super) fn date(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "Rs:ud:r:D:I::") else { return Ok(1) };
    let mut seconds = run.wall_clock_s();
    if let Some(given) = options.value(b'd').or(options.value(b's')) {
        match given.strip_prefix(b"@").and_then(applets::number) {
            Some(time) if time < 1 << 40 => seconds = time,
            _ => {
                call.complain(run, format!("invalid date '{}'", shown(given)));
                return Ok(1);
            }
        }
    }
    if let Some(name) = options.value(b'r') {
        let folder = run.folder();
        match run.files().stat(&folder, name) {
            Ok(stat) => seconds = run.machine.wall_clock_s + stat.changed_s.unwrap_or(0),
            Err(error) => {
                call.fails_on(run, name, error);
                return Ok(1);
            }
        }
    }
    let date = civil(seconds);
    let format = match options.rest.first().map(Vec::as_slice) {
        Some([b'+', format @ ..]) => format.to_vec(),
        Some(word) if word.len() >= 8 && word.iter().all(|byte| byte.is_ascii_digit() || b".:- ".contains(byte)) => {
            return Ok(0);
        }
        Some(word) => {
            call.complain(run, format!("invalid date '{}'", shown(word)));
            return Ok(1);
        }
        None if options.has(b'R') => b"%a, %d %b %Y %H:%M:%S +0000".to_vec(),
        None if options.has(b'I') => b"%Y-%m-%d".to_vec(),
        None => b"%a %b %e %H:%M:%S UTC %Y".to_vec(),
    };
    run.pay(format.len() * 4)?;
    let mut out = Vec::new();
    let mut rest = format.as_slice();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let Some((&letter, after)) = rest.split_first().filter(|_| byte == b'%') else {
            out.push(byte);
            continue;
        };
        rest = after;
        let text = match letter {
            b'a' => name_of(&WEEKDAYS, date.weekday).to_owned(),
            b'A' => name_of(&LONG_WEEKDAYS, date.weekday).to_owned(),
            b'b' | b'h' => name_of(&MONTHS, date.month - 1).to_owned(),
            b'B' => name_of(&LONG_MONTHS, date.month - 1).to_owned(),
            b'c' => format!(
                "{} {} {:2} {:02}:{:02}:{:02} {}",
                name_of(&WEEKDAYS, date.weekday),
                name_of(&MONTHS, date.month - 1),
                date.day,
                date.hour,
                date.minute,
                date.second,
                date.year
            ),
            b'd' => format!("{:02}", date.day),
            b'D' | b'x' => format!("{:02}/{:02}/{:02}", date.month, date.day, date.year % 100),
            b'e' => format!("{:2}", date.day),
            b'F' => format!("{}-{:02}-{:02}", date.year, date.month, date.day),
            b'H' => format!("{:02}", date.hour),
            b'j' => format!("{:03}", date.day_of_year),
            b'm' => format!("{:02}", date.month),
            b'M' => format!("{:02}", date.minute),
            b'n' => "\n".to_owned(),
            b's' => seconds.to_string(),
            b'S' => format!("{:02}", date.second),
            b't' => "\t".to_owned(),
            b'T' | b'X' => format!("{:02}:{:02}:{:02}", date.hour, date.minute, date.second),
            b'u' => (if date.weekday == 0 { 7 } else { date.weekday }).to_string(),
            b'w' => date.weekday.to_string(),
            b'y' => format!("{:02}", date.year % 100),
            b'Y' => date.year.to_string(),
            b'z' => "+0000".to_owned(),
            b'Z' => "UTC".to_owned(),
            b'%' => "%".to_owned(),
            other => format!("%{}", char::from(other)),
        };
        out.extend_from_slice(text.as_bytes());
    }
    run.line(out);
    Ok(0)
}

pub(super) fn free(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "bkmgh") else { return Ok(1) };
    let divisor = if options.has(b'm') { 1_024 } else { 1 };
    let total = run.machine.memory_kib;
    let (free, cached) = (total / 3, total / 6 + total / 25);
    let used = total - free - cached;
    let [total, used, free_now, cached] = [total, used, free, cached].map(|kib| kib / divisor);
    run.out(format!(
        "              total        used        free      shared  buff/cache   available\nMem:    {total:12} {used:11} \
         {free_now:11} {:11} {cached:11} {:11}\nSwap:   {:12} {:11} {:11}\n",
        72 / divisor,
        free_now + cached / 2,
        0,
        0,
        0
    ));
    Ok(0)
}

pub(super) fn dmesg(run: &mut Run<'_>, call: &Call<'_>) -> Status {
    let Some(options) = call.options(run, "cn:s:rl:f") else { return Ok(1) };
    if options.has(b'c') {
        run.note(Note::RemovedLog);
    }
    let machine = run.machine.clone();
    run.out(format!(
        "[    0.000000] {}[    0.000000] Kernel command line: console=ttyS0,115200 root=/dev/mtdblock2 \
         rootfstype=squashfs\n[    0.000000] Memory: {}K/65536K available\n[    0.412207] squashfs: version 4.0 (2009/01/31) \
         Phillip Lougher\n[    1.207318] VFS: Mounted root (squashfs filesystem) readonly on device 31:2.\n[    \
         9.118240] eth0: link up (100Mbps/Full duplex)\n",
        machine.version_text(),
        machine.memory_kib
    ));
    Ok(0)
}
