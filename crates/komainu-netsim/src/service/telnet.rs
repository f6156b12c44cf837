//! A device that is reached by telnet: it asks for name and password, and then has a shell that knows a few words.
//!
//! Nothing is run. What the shell answers is what a small Linux system with BusyBox says; it is enough for whoever looks
//! whether there is one, and each line is told.

use super::lines::Lines;
use super::{Call, Next, Service};

const IAC: u8 = 255;
const SE: u8 = 240;
const SB: u8 = 250;
const WILL: u8 = 251;
const WONT: u8 = 252;
const DO: u8 = 253;
const DONT: u8 = 254;

const ECHO: u8 = 1;
const SUPPRESS_GO_AHEAD: u8 = 3;

/// Commands of one line that are answered. More on a line only makes it longer.
const COMMANDS_MAX: usize = 32;

/// Refusals of options on one connection; a guest that asks for more is not answered (RFC 854 warns of loops).
const REFUSALS_MAX: u32 = 64;

/// Tries to be let in on one connection, as BusyBox' `login` has them.
const TRIES_MAX: u32 = 3;

/// What `cat /proc/cpuinfo` and the like may be about.
const FILES: &[(&str, &str)] = &[
    (
        "/proc/mounts",
        "rootfs / rootfs rw 0 0\r\nproc /proc proc rw 0 0\r\ntmpfs /tmp tmpfs rw 0 0\r\n/dev/mtdblock3 /usr jffs2 rw 0 0\r\n",
    ),
    (
        "/proc/cpuinfo",
        "system type\t\t: MT7620\r\nprocessor\t\t: 0\r\ncpu model\t\t: MIPS 24Kc V5.0\r\nBogoMIPS\t\t: 385.84\r\n",
    ),
    ("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\r\n"),
    ("/proc/version", "Linux version 3.10.14 (gcc version 4.6.3) #1 Fri Mar 4 10:11:32 CST 2016\r\n"),
];

/// A telnet service.
#[derive(Debug, Default)]
pub(crate) struct Telnet {
    lines: Lines,
    phase: Phase,
    command: Iac,
    refusals: u32,
    tries: u32,
}

#[derive(Debug, Default)]
enum Phase {
    #[default]
    User,
    Password(Vec<u8>),
    Shell,
}

/// Where in a command of telnet's the guest is.
#[derive(Debug, Default, Clone, Copy)]
enum Iac {
    #[default]
    None,
    Begun,
    Option(u8),
    Inside,
    InsideBegun,
}

impl Telnet {
    fn prompt(&self, call: &mut Call<'_>) {
        match self.phase {
            Phase::User => {
                let host = device_name(call);
                call.send(format!("{host} login: "));
            }
            Phase::Password(_) => call.send("Password: "),
            Phase::Shell => call.send("# "),
        }
    }

    /// What of a byte is text.
    fn text(&mut self, byte: u8, call: &mut Call<'_>) -> Option<u8> {
        let (next, text) = match (self.command, byte) {
            (Iac::None, IAC) => (Iac::Begun, None),
            (Iac::None, byte) => (Iac::None, Some(byte)),
            (Iac::Begun, IAC) => (Iac::None, Some(IAC)),
            (Iac::Begun, SB) => (Iac::Inside, None),
            (Iac::Begun, WILL | WONT | DO | DONT) => (Iac::Option(byte), None),
            (Iac::Begun, _) => (Iac::None, None),
            (Iac::Option(verb), option) => {
                let refusal = match (verb, option) {
                    // What was offered, and what goes with it.
                    (DO, ECHO | SUPPRESS_GO_AHEAD) | (WONT | DONT, _) => None,
                    (DO, _) => Some(WONT),
                    _ => Some(DONT),
                };
                if let Some(refusal) = refusal
                    && self.refusals < REFUSALS_MAX
                {
                    self.refusals += 1;
                    call.send([IAC, refusal, option]);
                }
                (Iac::None, None)
            }
            (Iac::Inside, IAC) => (Iac::InsideBegun, None),
            (Iac::InsideBegun, SE) => (Iac::None, None),
            (Iac::Inside | Iac::InsideBegun, _) => (Iac::Inside, None),
        };
        self.command = next;
        text
    }

    fn line(&mut self, line: &[u8], call: &mut Call<'_>) {
        match std::mem::take(&mut self.phase) {
            Phase::User if line.is_empty() => {}
            Phase::User => self.phase = Phase::Password(line.to_vec()),
            Phase::Password(user) => {
                self.tries += 1;
                if call.login("telnet", &user, line) {
                    self.phase = Phase::Shell;
                    call.send("\r\n\r\nBusyBox v1.19.4 (2016-03-04 10:11:32 CST) built-in shell (ash)\r\n");
                    call.send("Enter 'help' for a list of built-in commands.\r\n\r\n");
                } else {
                    call.send("\r\nLogin incorrect\r\n");
                    if self.tries >= TRIES_MAX {
                        call.close();
                        return;
                    }
                }
            }
            Phase::Shell => {
                self.phase = Phase::Shell;
                if !line.is_empty() {
                    call.command("telnet", line);
                }
                // A terminal shows what is typed; the line is not shown where it is a password.
                for command in line.split(|byte| matches!(byte, b';' | b'&' | b'|')).take(COMMANDS_MAX) {
                    if shell(command.trim_ascii(), call) {
                        call.close();
                        return;
                    }
                }
            }
        }
        self.prompt(call);
    }
}

/// The name that the device at an address calls itself.
fn device_name(call: &Call<'_>) -> &'static str {
    const NAMES: [&str; 6] = ["router", "dvr", "BCM96328", "localhost", "IPCAM", "OpenWrt"];
    let number = call.world.seed.below("device", call.peer.to.ip().to_string().as_bytes(), NAMES.len() as u64);
    NAMES.get(usize::try_from(number).unwrap_or(0)).copied().unwrap_or(NAMES[0])
}

/// Answers a command; true if it ends the session.
fn shell(command: &[u8], call: &mut Call<'_>) -> bool {
    let text = String::from_utf8_lossy(command).into_owned();
    let mut words = text.split_ascii_whitespace();
    let Some(mut word) = words.next() else { return false };
    if word == "/bin/busybox" || word == "busybox" {
        let Some(applet) = words.next() else {
            call.send("BusyBox v1.19.4 (2016-03-04 10:11:32 CST) multi-call binary.\r\n");
            return false;
        };
        if !matches!(applet, "cat" | "echo" | "wget" | "tftp" | "ps" | "kill" | "rm" | "cp" | "chmod" | "mkdir" | "sh")
        {
            call.send(format!("{applet}: applet not found\r\n"));
            return false;
        }
        word = applet;
    }
    match word {
        "exit" | "logout" => return true,
        // What whoever is inside first says to get a shell out of a vendor's menu; and what says nothing.
        "enable" | "system" | "shell" | "linuxshell" | "sh" | "su" | "cd" | "rm" | "cp" | "mv" | "chmod" | "mkdir" | "kill"
        | "export" | "unset" | "ulimit" | "iptables" | "history" | ">" => {}
        "echo" => {
            let escapes = text.contains(" -e") || text.contains(" -ne");
            let rest: Vec<_> = words.skip_while(|word| matches!(*word, "-e" | "-n" | "-ne" | "-en")).collect();
            let rest = rest.join(" ");
            // What goes to a file is not shown.
            if !rest.contains('>') {
                call.send(unquoted(&rest, escapes));
                call.send("\r\n");
            }
        }
        "cat" | "head" => {
            for file in words {
                match FILES.iter().find(|(name, _)| *name == file) {
                    Some((_, contents)) => call.send(contents),
                    None => call.send(format!("{word}: can't open '{file}': No such file or directory\r\n")),
                }
            }
        }
        "ps" => call.send("  PID USER       VSZ STAT COMMAND\r\n    1 root      1508 S    init\r\n  412 root      1512 S    telnetd\r\n"),
        "uname" => call.send("Linux router 3.10.14 #1 Fri Mar 4 10:11:32 CST 2016 mips GNU/Linux\r\n"),
        "id" => call.send("uid=0(root) gid=0(root)\r\n"),
        "whoami" => call.send("root\r\n"),
        "pwd" => call.send("/\r\n"),
        "ls" => call.send("bin   dev   etc   lib   proc  sbin  tmp   usr   var\r\n"),
        "wget" => call.send("wget: bad address\r\n"),
        "tftp" => call.send("tftp: timeout\r\n"),
        "help" => call.send("Built-in commands:\r\n------------------\r\n\t. : cd echo eval exec exit export kill pwd set shift ulimit unset\r\n"),
        other => call.send(format!("-sh: {other}: not found\r\n")),
    }
    false
}

/// A text without its quotes, with escapes such as `\x41` read where they are meant.
fn unquoted(text: &str, escapes: bool) -> Vec<u8> {
    let bytes: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b'"' | b'\'')).collect();
    if !escapes {
        return bytes;
    }
    let mut read = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let value = match bytes.get(at..at + 4) {
            Some([b'\\', b'x', digits @ ..]) => {
                std::str::from_utf8(digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok())
            }
            _ => None,
        };
        read.push(value.unwrap_or(*byte));
        at += if value.is_some() { 4 } else { 1 };
    }
    read
}

impl Service for Telnet {
    fn name(&self) -> &'static str {
        "telnet"
    }

    fn opened(&mut self, call: &mut Call<'_>) {
        call.send([IAC, WILL, ECHO, IAC, WILL, SUPPRESS_GO_AHEAD]);
        call.send("\r\n");
        self.prompt(call);
    }

    fn data(&mut self, bytes: &[u8], call: &mut Call<'_>) -> Next {
        for byte in bytes {
            let Some(text) = self.text(*byte, call) else { continue };
            if let Some(line) = self.lines.take(text) {
                if !matches!(self.phase, Phase::Password(_)) {
                    call.send(&line);
                }
                call.send("\r\n");
                self.line(&line, call);
            }
            if *call.is_closing {
                break;
            }
        }
        Next::Stay
    }

    fn finished(&mut self, call: &mut Call<'_>) {
        let rest = self.lines.rest();
        if matches!(self.phase, Phase::Shell) && !rest.is_empty() {
            call.command("telnet", &rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Talk;

    #[test]
    fn a_loader_gets_in_and_looks_around() {
        let mut talk = Talk::new(Box::<Telnet>::default(), "198.51.100.7:23");
        assert!(talk.text().ends_with("login: "), "{}", talk.text());
        for (user, password) in [("admin", "admin"), ("root", "1234")] {
            talk.say(format!("{user}\r\n").as_bytes());
            assert!(talk.text().ends_with("Password: "));
            talk.say(format!("{password}\r\n").as_bytes());
            assert!(talk.text().contains("Login incorrect"));
        }
        talk.say(b"root\r\0xc3511\r\0");
        assert!(talk.text().ends_with("# "), "the third try is let in: {}", talk.text());
        talk.say(b"enable\r\nsystem\r\nshell\r\nsh\r\n/bin/busybox MIRROR\r\n");
        assert!(talk.text().contains("MIRROR: applet not found"));
        talk.say(b"cat /proc/mounts; /bin/busybox echo -e '\\x6b\\x61mi'; nothere\r\n");
        let text = talk.text();
        assert!(
            text.contains("tmpfs /tmp") && text.contains("\r\nkami\r\n") && text.contains("nothere: not found"),
            "{text}"
        );
        let told: Vec<_> = talk.acts().iter().map(|act| serde_json::to_value(act).unwrap()).collect();
        let logins: Vec<_> = told.iter().filter(|act| act["event"] == "login").map(|act| &act["accepted"]).collect();
        assert_eq!(logins, [false, false, true]);
        assert_eq!(told.iter().filter(|act| act["event"] == "command").count(), 6);
        talk.say(b"exit\r\n");
        assert!(talk.is_closing());
    }

    #[test]
    fn options_are_refused_and_not_shown() {
        let mut talk = Talk::new(Box::<Telnet>::default(), "198.51.100.7:23");
        talk.take();
        talk.say(&[IAC, DO, 24, IAC, WILL, 31, IAC, DO, ECHO, IAC, SB, 24, 0, b'x', IAC, SE]);
        assert_eq!(talk.take(), [IAC, WONT, 24, IAC, DONT, 31]);
        talk.say(&[IAC, WILL, 99].repeat(10_000));
        assert!(talk.take().len() <= 3 * REFUSALS_MAX as usize);
    }
}
