//! Servers of mail: SMTP (RFC 5321), which takes every mail and keeps it, and POP3 (RFC 1939), which has none.

use komainu_trace::network::NetworkAct;

use super::lines::{Lines, split_word};
use super::{Call, Next, Service};
use crate::record::Collector;

/// An SMTP server.
#[derive(Debug, Default)]
pub(crate) struct Smtp {
    lines: Lines,
    phase: Phase,
    has_recipient: bool,
}

#[derive(Debug, Default)]
enum Phase {
    #[default]
    Commands,
    /// The name, then the password, of AUTH LOGIN; in base64, as they came.
    AuthUser,
    AuthPassword(Vec<u8>),
    AuthPlain,
    /// A mail, and how far into "line end, dot, line end" its last bytes are.
    Mail(Collector, usize),
}

/// The end of a mail.
const MAIL_END: &[u8] = b"\r\n.\r\n";

impl Smtp {
    fn line(&mut self, line: &[u8], call: &mut Call<'_>) {
        match std::mem::take(&mut self.phase) {
            Phase::AuthUser => {
                self.phase = Phase::AuthPassword(base64(line));
                return call.send("334 UGFzc3dvcmQ6\r\n");
            }
            Phase::AuthPassword(user) => return auth(&user, &base64(line), call),
            Phase::AuthPlain => return auth_plain(line, call),
            Phase::Commands => {}
            Phase::Mail(..) => return,
        }
        if line.is_empty() {
            return;
        }
        call.command("smtp", line);
        let host = call.host_name();
        let (word, rest) = split_word(line);
        match word.as_slice() {
            b"HELO" => call.send(format!("250 {host}\r\n")),
            b"EHLO" => {
                call.send(format!("250-{host}\r\n250-SIZE 10240000\r\n250-AUTH LOGIN PLAIN\r\n250 8BITMIME\r\n"));
            }
            b"MAIL" => {
                self.has_recipient = false;
                call.send("250 2.1.0 Ok\r\n");
            }
            b"RCPT" => {
                self.has_recipient = true;
                call.send("250 2.1.5 Ok\r\n");
            }
            b"DATA" if self.has_recipient => {
                // The line end before the first line counts: a mail may be empty.
                self.phase = Phase::Mail(call.world.record.collect(), 2);
                call.send("354 End data with <CR><LF>.<CR><LF>\r\n");
            }
            b"DATA" => call.send("503 5.5.1 Error: need RCPT command\r\n"),
            b"AUTH" => {
                let (kind, initial) = split_word(rest);
                match (kind.as_slice(), initial) {
                    (b"LOGIN", b"") => {
                        self.phase = Phase::AuthUser;
                        call.send("334 VXNlcm5hbWU6\r\n");
                    }
                    (b"LOGIN", user) => {
                        self.phase = Phase::AuthPassword(base64(user));
                        call.send("334 UGFzc3dvcmQ6\r\n");
                    }
                    (b"PLAIN", b"") => {
                        self.phase = Phase::AuthPlain;
                        call.send("334 \r\n");
                    }
                    (b"PLAIN", response) => auth_plain(response, call),
                    _ => call.send("504 5.5.4 Unrecognized authentication type\r\n"),
                }
            }
            b"RSET" | b"NOOP" => call.send("250 2.0.0 Ok\r\n"),
            b"VRFY" => call.send("252 2.0.0 Ok\r\n"),
            b"QUIT" => {
                call.send("221 2.0.0 Bye\r\n");
                call.close();
            }
            _ => call.send("502 5.5.2 Error: command not recognized\r\n"),
        }
    }
}

fn auth(user: &[u8], password: &[u8], call: &mut Call<'_>) {
    let accepted = call.login("smtp", user, password);
    call.send(if accepted {
        "235 2.7.0 Authentication successful\r\n"
    } else {
        "535 5.7.8 Error: authentication failed\r\n"
    });
}

fn auth_plain(response: &[u8], call: &mut Call<'_>) {
    let read = base64(response);
    let mut parts = read.splitn(3, |byte| *byte == 0).skip(1);
    let (user, password) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    auth(user, password, call);
}

/// What base64 stands for (RFC 4648, 4), up to the first thing that is none.
pub(super) fn base64(text: &[u8]) -> Vec<u8> {
    let (mut read, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for byte in text.trim_ascii() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => break,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            read.push(u8::try_from(bits >> count & 0xFF).expect("eight bits"));
        }
    }
    read
}

impl Service for Smtp {
    fn name(&self) -> &'static str {
        "smtp"
    }

    fn opened(&mut self, call: &mut Call<'_>) {
        let host = call.host_name();
        call.send(format!("220 {host} ESMTP Postfix\r\n"));
    }

    fn data(&mut self, mut bytes: &[u8], call: &mut Call<'_>) -> Next {
        while let Some((byte, rest)) = bytes.split_first() {
            let Phase::Mail(mail, matched) = &mut self.phase else {
                bytes = rest;
                if let Some(line) = self.lines.take(*byte) {
                    self.line(&line, call);
                }
                continue;
            };
            // The line feed that ends DATA itself.
            if self.lines.ends_last(*byte) {
                bytes = rest;
                continue;
            }
            // Up to the end of the mail, if it is here.
            let end = bytes.iter().position(|byte| {
                *matched = if *byte == MAIL_END[*matched] { *matched + 1 } else { usize::from(*byte == MAIL_END[0]) };
                *matched == MAIL_END.len()
            });
            let (of_mail, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
            mail.add(of_mail);
            bytes = rest;
            if end.is_some()
                && let Phase::Mail(mail, _) = std::mem::take(&mut self.phase)
            {
                let (sha256, bytes) = call.world.record.collected(mail);
                call.event(NetworkAct::Content { flow: call.peer.flow, name: None, sha256, bytes });
                call.send("250 2.0.0 Ok: queued as 4F2C81A03D\r\n");
                self.has_recipient = false;
            }
        }
        Next::Stay
    }
}

/// A POP3 server without mails.
#[derive(Debug, Default)]
pub(crate) struct Pop3 {
    lines: Lines,
    user: Vec<u8>,
}

impl Service for Pop3 {
    fn name(&self) -> &'static str {
        "pop3"
    }

    fn opened(&mut self, call: &mut Call<'_>) {
        call.send("+OK Dovecot ready.\r\n");
    }

    fn data(&mut self, bytes: &[u8], call: &mut Call<'_>) -> Next {
        for byte in bytes {
            let Some(line) = self.lines.take(*byte) else { continue };
            let (word, rest) = split_word(&line);
            match word.as_slice() {
                b"USER" => {
                    self.user = rest.to_vec();
                    call.send("+OK\r\n");
                }
                b"PASS" => {
                    let user = std::mem::take(&mut self.user);
                    let accepted = call.login("pop3", &user, rest);
                    call.send(if accepted { "+OK Logged in.\r\n" } else { "-ERR [AUTH] Authentication failed.\r\n" });
                }
                b"STAT" => call.send("+OK 0 0\r\n"),
                b"LIST" | b"UIDL" | b"CAPA" => call.send("+OK\r\n.\r\n"),
                b"QUIT" => {
                    call.send("+OK Logging out.\r\n");
                    call.close();
                }
                _ => call.send("-ERR Unknown command.\r\n"),
            }
        }
        Next::Stay
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Talk;

    #[test]
    fn a_mail_is_taken_however_it_is_cut() {
        let mail =
            b"EHLO me\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nSubject: x\r\n\r\n.. line\r\n\r\n.\r\nQUIT\r\n";
        let mut hashes = Vec::new();
        for piece in [1, 2, 3, 7, mail.len()] {
            let mut talk = Talk::new(Box::<Smtp>::default(), "198.51.100.7:25");
            mail.chunks(piece).for_each(|piece| talk.say(piece));
            assert!(talk.text().contains("queued") && talk.is_closing(), "{}", talk.text());
            let content = talk.acts().into_iter().find_map(|act| match act {
                NetworkAct::Content { sha256, bytes, .. } => Some((sha256, bytes)),
                _ => None,
            });
            hashes.push(content.unwrap());
        }
        assert!(hashes.iter().all(|one| *one == hashes[0] && one.1 == 28), "{hashes:?}");
    }

    #[test]
    fn logins_are_read() {
        let mut talk = Talk::new(Box::<Smtp>::default(), "198.51.100.7:587");
        talk.say(b"AUTH LOGIN\r\ncm9vdA==\r\ncGFzcw==\r\nAUTH PLAIN AHJvb3QAcGFzcw==\r\nAUTH PLAIN\r\nAHJvb3QAcGFzcw==\r\nDATA\r\n");
        assert!(talk.text().contains("535 ") && talk.text().contains("235 ") && talk.text().contains("503 "));
        let mut logins = 0;
        for act in talk.acts() {
            if let NetworkAct::Login { user, password, .. } = act {
                assert_eq!((user.0.as_slice(), password.0.as_slice()), (&b"root"[..], &b"pass"[..]));
                logins += 1;
            }
        }
        assert_eq!(logins, 3);
        let mut talk = Talk::new(Box::<Pop3>::default(), "198.51.100.7:110");
        talk.say(b"USER a\r\nPASS b c\r\nSTAT\r\nQUIT\r\n");
        assert!(talk.text().contains("-ERR [AUTH]") && talk.is_closing());
    }
}
