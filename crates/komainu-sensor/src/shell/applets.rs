//! The programs of the device: all of them are one file, and the name that it is called by says which it is.

mod archive;
mod awk;
mod dd;
mod disk;
mod dump;
mod expr;
mod find;
mod grep;
mod listing;
mod mounts;
pub(crate) mod net;
mod sed;
pub(crate) mod system;
mod text;
mod xargs;

use super::builtins;
use super::files::{self, Errno};
use super::run::{Run, Status};

/// Runs the applet of a name; `words` begins with the name as it was called.
pub(crate) fn run(run: &mut Run<'_>, called: &[u8], words: &[Vec<u8>]) -> Status {
    let called = called.strip_prefix(b"-").unwrap_or(called);
    if called == b"busybox" {
        return busybox(run, words);
    }
    let Some(applet) = run.machine.applets.iter().find(|applet| applet.as_bytes() == called).copied() else {
        run.err([called, b": applet not found\n"].concat());
        return Ok(127);
    };
    let arguments = words.get(1..).unwrap_or_default();
    if matches!(arguments, [only] if only == b"--help")
        && !matches!(applet, "test" | "[" | "[[" | "true" | "false" | "echo")
    {
        show_usage(run);
        return Ok(0);
    }
    let mut call = Call { applet, arguments };
    let status = dispatch(run, &mut call, words)?;
    Ok(match run.write_error() {
        Some(error) => {
            run.err(format!("{applet}: write error: {}\n", error.text()));
            1
        }
        None => status,
    })
}

/// An applet and its arguments.
pub(crate) struct Call<'w> {
    pub(crate) applet: &'static str,
    pub(crate) arguments: &'w [Vec<u8>],
}

fn dispatch(run: &mut Run<'_>, call: &mut Call<'_>, words: &[Vec<u8>]) -> Status {
    match call.applet {
        "[" | "[[" | "test" => builtins::test(run, words),
        "ash" | "sh" => system::shell(run, call),
        "true" | "sync" | "fsync" | "chown" | "chgrp" | "clear" | "reset" | "stty" | "chroot" | "logger" | "sysctl"
        | "fsck" | "swapon" | "swapoff" | "init" | "linuxrc" | "getty" | "klogd" | "syslogd" | "crond" | "watchdog"
        | "brctl" | "vconfig" | "udhcpc" | "vi" | "mknod" | "mkfifo" | "pivot_root" | "modprobe" => {
            system::quiet(run, call)
        }
        "false" => Ok(1),
        "echo" => builtins::echo(run, words),
        "printf" => builtins::printf(run, words),
        "kill" => builtins::kill(run, words),
        "pwd" => builtins::pwd(run, words),

        "basename" => text::basename(run, call),
        "base64" => dump::base64(run, call),
        "cat" => text::cat(run, call),
        "cmp" => text::cmp(run, call),
        "cut" => text::cut(run, call),
        "dirname" => text::dirname(run, call),
        "egrep" | "fgrep" | "grep" => grep::grep(run, call),
        "expr" => expr::expr(run, call),
        "head" => text::head(run, call),
        "hexdump" => dump::hexdump(run, call),
        "md5sum" | "sha1sum" | "sha256sum" | "sha512sum" => dump::sum(run, call),
        "more" | "less" => text::more(run, call),
        "od" => dump::od(run, call),
        "sed" => sed::sed(run, call),
        "awk" => awk::awk(run, call),
        "seq" => text::seq(run, call),
        "sort" => text::sort(run, call),
        "strings" => dump::strings(run, call),
        "tail" => text::tail(run, call),
        "tee" => text::tee(run, call),
        "tr" => text::tr(run, call),
        "uniq" => text::uniq(run, call),
        "wc" => text::wc(run, call),
        "xargs" => xargs::xargs(run, call),
        "yes" => text::yes(run, call),

        "bunzip2" | "bzcat" | "gunzip" | "gzip" | "zcat" => archive::unpack(run, call),
        "chmod" => disk::chmod(run, call),
        "cp" => disk::cp(run, call),
        "dd" => dd::dd(run, call),
        "df" => mounts::df(run, call),
        "du" => listing::du(run, call),
        "find" => find::find(run, call),
        "ln" => disk::ln(run, call),
        "ls" => listing::ls(run, call),
        "mkdir" => disk::mkdir(run, call),
        "mktemp" => disk::mktemp(run, call),
        "mount" => mounts::mount(run, call),
        "mv" => disk::mv(run, call),
        "readlink" => disk::readlink(run, call),
        "rm" => disk::rm(run, call),
        "rmdir" => disk::rmdir(run, call),
        "stat" => listing::stat(run, call),
        "tar" => archive::tar(run, call),
        "touch" => disk::touch(run, call),
        "umount" => mounts::umount(run, call),

        "arp" => net::arp(run, call),
        "arping" | "ping" | "traceroute" | "nslookup" => net::ping(run, call),
        "ftpget" | "ftpput" => net::ftp(run, call),
        "httpd" | "telnetd" => net::serve(run, call),
        "ifconfig" => net::ifconfig(run, call),
        "ip" => net::ip(run, call),
        "ipcalc" => system::quiet(run, call),
        "nc" | "telnet" => net::connect(run, call),
        "netstat" => net::netstat(run, call),
        "route" => net::route(run, call),
        "tftp" => net::tftp(run, call),
        "wget" => net::wget(run, call),

        "crontab" => system::crontab(run, call),
        "date" => system::date(run, call),
        "dmesg" | "logread" => system::dmesg(run, call),
        "env" => system::env(run, call),
        "free" => system::free(run, call),
        "groups" | "whoami" => system::whoami(run, call),
        "halt" | "poweroff" | "reboot" => system::reboot(run, call),
        "hostname" => system::hostname(run, call),
        "id" => system::id(run, call),
        "insmod" | "rmmod" => system::module(run, call),
        "lsmod" => system::lsmod(run, call),
        "killall" | "pkill" => system::killall(run, call),
        "login" | "su" => system::login(run, call),
        "nohup" | "time" | "timeout" | "watch" => system::prefix(run, call),
        "passwd" => system::passwd(run, call),
        "pgrep" | "pidof" => system::pidof(run, call),
        "ps" => system::ps(run, call),
        "sleep" => system::sleep(run, call),
        "top" => system::top(run, call),
        "uname" => system::uname(run, call),
        "uptime" => system::uptime(run, call),
        "w" | "who" => system::who(run, call),
        "which" => system::which(run, call),
        _ => Ok(0),
    }
}

fn busybox(run: &mut Run<'_>, words: &[Vec<u8>]) -> Status {
    let Some(name) = words.get(1) else {
        let banner = run.machine.banner();
        let mut out = format!(
            "{banner} multi-call binary.\n\nUsage: busybox [function [arguments]...]\n   or: function [arguments]...\n\n\
             Currently defined functions:\n"
        );
        out.push_str(&applet_list(&run.machine.applets));
        run.out(out);
        return Ok(0);
    };
    match name.as_slice() {
        b"--list" => {
            let list: Vec<String> = run.machine.applets.iter().map(|applet| format!("{applet}\n")).collect();
            run.out(list.concat());
            Ok(0)
        }
        b"--help" => match words.get(2) {
            Some(applet) => {
                let applet = applet.clone();
                run.depth_checked(|run| self::run(run, &applet, &[applet.clone(), b"--help".to_vec()]))
            }
            None => busybox(run, words.get(..1).unwrap_or_default()),
        },
        b"--install" => {
            run.err("busybox: /usr/bin/[: Read-only file system\n");
            Ok(1)
        }
        _ => {
            // A path is taken by its last part.
            let called = files::split(name).1.to_vec();
            let words = words.get(1..).unwrap_or_default();
            run.depth_checked(|run| self::run(run, &called, words))
        }
    }
}

/// The list of `busybox`: names in lines of 80 columns that begin with a tab.
fn applet_list(applets: &[&str]) -> String {
    let mut out = String::new();
    let mut column = 0;
    for (index, name) in applets.iter().enumerate() {
        let name_and_comma = name.len() + 2;
        if column > 80 - 8 - name_and_comma - 3 {
            out.push_str(",\n");
            column = 0;
        }
        if column == 0 {
            out.push('\t');
        } else {
            out.push_str(", ");
        }
        out.push_str(name);
        column += name_and_comma;
        if index + 1 == applets.len() {
            out.push_str("\n\n");
        }
    }
    out
}

/// Prints the banner, and that there is no help: what a BusyBox says that was built without its texts, as many devices'
/// are, to save room.
pub(crate) fn show_usage(run: &mut Run<'_>) {
    let banner = run.machine.banner();
    run.err(format!("{banner} multi-call binary.\nNo help available.\n"));
}

/// Options that were given, in order, and what is left.
#[derive(Debug, Default)]
pub(crate) struct Options {
    given: Vec<(u8, Vec<u8>)>,
    pub(crate) rest: Vec<Vec<u8>>,
}

impl Options {
    pub(crate) fn has(&self, letter: u8) -> bool {
        self.given.iter().any(|(given, _)| *given == letter)
    }

    /// What the last option of this letter was given.
    pub(crate) fn value(&self, letter: u8) -> Option<&[u8]> {
        self.given.iter().rev().find(|(given, _)| *given == letter).map(|(_, value)| value.as_slice())
    }

    pub(crate) fn values(&self, letter: u8) -> impl Iterator<Item = &[u8]> {
        self.given.iter().filter(move |(given, _)| *given == letter).map(|(_, value)| value.as_slice())
    }
}

impl Call<'_> {
    /// Reads options as GNU `getopt` does: `ab:` is `-a` and `-b VALUE`; with a leading `+` it ends at the first word.
    /// `None` after a mistake, which was told with the usage.
    pub(crate) fn options(&self, run: &mut Run<'_>, letters: &str) -> Option<Options> {
        self.options_with_long(run, letters, &[])
    }

    /// The same with long names for letters; a name that ends in `=` takes a value.
    pub(crate) fn options_with_long(&self, run: &mut Run<'_>, letters: &str, long: &[(&str, u8)]) -> Option<Options> {
        let ends_at_word = letters.starts_with('+');
        let letters = letters.as_bytes();
        let mut options = Options::default();
        let mut words = self.arguments.iter();
        while let Some(word) = words.next() {
            if word == b"--" {
                options.rest.extend(words.cloned());
                break;
            }
            let Some(cluster) = word.strip_prefix(b"-").filter(|cluster| !cluster.is_empty()) else {
                options.rest.push(word.clone());
                if ends_at_word {
                    options.rest.extend(words.cloned());
                    break;
                }
                continue;
            };
            if let Some(name) = cluster.strip_prefix(b"-") {
                let (name, value) = match name.iter().position(|&byte| byte == b'=') {
                    Some(at) => (name.get(..at).unwrap_or_default(), name.get(at + 1..)),
                    None => (name, None),
                };
                let found = long.iter().find(|(known, _)| known.trim_end_matches('=').as_bytes() == name);
                let Some((known, letter)) = found else {
                    self.wrong(run, &format!("unrecognized option '{}'", String::from_utf8_lossy(word)));
                    return None;
                };
                let value = if !known.ends_with('=') {
                    Vec::new()
                } else if let Some(value) = value {
                    value.to_vec()
                } else if let Some(value) = words.next() {
                    value.clone()
                } else {
                    self.wrong(run, &format!("option '{}' requires an argument", String::from_utf8_lossy(word)));
                    return None;
                };
                options.given.push((*letter, value));
                continue;
            }
            let mut cluster = cluster;
            while let Some((&letter, after)) = cluster.split_first() {
                cluster = after;
                let at = letters.iter().position(|&known| known == letter).filter(|_| !matches!(letter, b':' | b'+'));
                let Some(at) = at else {
                    self.wrong(run, &format!("invalid option -- '{}'", char::from(letter)));
                    return None;
                };
                let mut value = Vec::new();
                if letters.get(at + 1) == Some(&b':') {
                    if !cluster.is_empty() || letters.get(at + 2) == Some(&b':') {
                        value = std::mem::take(&mut cluster).to_vec();
                    } else if let Some(next) = words.next() {
                        value = next.clone();
                    } else {
                        self.wrong(run, &format!("option requires an argument -- '{}'", char::from(letter)));
                        return None;
                    }
                }
                options.given.push((letter, value));
            }
        }
        Some(options)
    }

    /// Prints a complaint and the usage.
    fn wrong(&self, run: &mut Run<'_>, message: &str) {
        run.err(format!("{}: {message}\n", self.applet));
        show_usage(run);
    }

    /// The usage, for a call that makes no sense.
    pub(crate) fn usage(&self, run: &mut Run<'_>) -> Status {
        show_usage(run);
        Ok(1)
    }

    /// `APPLET: MESSAGE`.
    pub(crate) fn complain(&self, run: &mut Run<'_>, message: impl AsRef<[u8]>) {
        run.err([self.applet.as_bytes(), b": ", message.as_ref(), b"\n"].concat());
    }

    /// `APPLET: can't open 'NAME': REASON`.
    pub(crate) fn cannot_open(&self, run: &mut Run<'_>, name: &[u8], error: Errno) {
        self.complain(run, [b"can't open '", name, b"': ", error.text().as_bytes()].concat());
    }

    /// `APPLET: NAME: REASON`.
    pub(crate) fn fails_on(&self, run: &mut Run<'_>, name: &[u8], error: Errno) {
        self.complain(run, [name, b": ", error.text().as_bytes()].concat());
    }

    /// The bytes of a file, or of standard input for `-`; pays for them.
    pub(crate) fn input(&self, run: &mut Run<'_>, name: &[u8]) -> Result<Result<Vec<u8>, Errno>, super::run::Stop> {
        if name == b"-" {
            let bytes = run.read_all();
            run.pay(bytes.len())?;
            return Ok(Ok(bytes));
        }
        let folder = run.folder();
        match run.files().read(&folder, name) {
            Ok(data) => {
                run.pay(data.bytes().len())?;
                Ok(Ok(data.bytes().to_vec()))
            }
            Err(error) => Ok(Err(error)),
        }
    }
}

/// Text for messages.
pub(crate) fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A number as arguments have it.
pub(crate) fn number(word: &[u8]) -> Option<u64> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// A size as arguments have it: `512`, `10k`, `1M`.
pub(crate) fn size(word: &[u8]) -> Option<u64> {
    let digits = word.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let value = number(word.get(..digits)?)?;
    let factor = match word.get(digits..)? {
        b"" | b"c" => 1,
        b"w" => 2,
        b"b" => 512,
        b"k" | b"K" => 1 << 10,
        b"kB" => 1_000,
        b"m" | b"M" => 1 << 20,
        b"MB" => 1_000_000,
        b"g" | b"G" => 1 << 30,
        _ => return None,
    };
    value.checked_mul(factor)
}

/// The lines of a text, without their ends.
pub(crate) fn lines(text: &[u8]) -> Vec<&[u8]> {
    let mut lines: Vec<&[u8]> = text.split(|&byte| byte == b'\n').collect();
    if lines.last().is_some_and(|last| last.is_empty()) {
        lines.pop();
    }
    lines
}
