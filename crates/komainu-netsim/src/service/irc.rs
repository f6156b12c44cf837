//! A server of Internet Relay Chat (RFC 2812), as far as a client needs one to be in a channel.

use std::time::Duration;

use super::lines::{Lines, split_word};
use super::{Call, Next, Service};

/// How often the server looks whether the client is there.
const PING_EVERY: Duration = Duration::from_secs(60);

/// A nick, a channel, a word of the client that is repeated, in bytes.
const WORD_BYTES_MAX: usize = 64;

/// An IRC server.
#[derive(Debug, Default)]
pub(crate) struct Irc {
    lines: Lines,
    nick: Vec<u8>,
    password: Vec<u8>,
    is_registered: bool,
    has_user: bool,
}

impl Irc {
    fn line(&mut self, line: &[u8], call: &mut Call<'_>) {
        if line.is_empty() {
            return;
        }
        call.command("irc", line);
        let server = call.host_name();
        let (word, rest) = split_word(line);
        match word.as_slice() {
            b"PASS" => self.password = cut(rest.strip_prefix(b":").unwrap_or(rest)),
            b"NICK" => {
                self.nick = cut(rest.strip_prefix(b":").unwrap_or(rest));
                self.register(&server, call);
            }
            b"USER" => {
                self.has_user = true;
                self.register(&server, call);
            }
            b"PING" => {
                let token = cut(rest);
                call.send([b":", server.as_bytes(), b" PONG ", server.as_bytes(), b" ", &token, b"\r\n"].concat());
            }
            b"JOIN" => {
                let channels = rest.split(|byte| *byte == b' ').next().unwrap_or_default();
                for channel in channels.split(|byte| *byte == b',').take(8) {
                    let channel = cut(channel);
                    call.send([b":", &self.nick[..], b"!user@guest JOIN :", &channel, b"\r\n"].concat());
                    let names = [b" = ".as_slice(), &channel, b" :", &self.nick, b" @op"].concat();
                    self.number(&server, "353", &names, call);
                    self.number(&server, "366", &[b" ".as_slice(), &channel, b" :End of /NAMES list."].concat(), call);
                }
            }
            b"MODE" => {
                let channel = cut(rest.split(|byte| *byte == b' ').next().unwrap_or_default());
                self.number(&server, "324", &[b" ".as_slice(), &channel, b" +nt"].concat(), call);
            }
            b"WHO" => self.number(&server, "315", b" * :End of WHO list", call),
            b"QUIT" => {
                call.send("ERROR :Closing Link\r\n");
                call.close();
            }
            b"PONG" | b"PRIVMSG" | b"NOTICE" | b"CAP" | b"USERHOST" | b"TOPIC" | b"PART" => {}
            _ => {
                let what = [b" ".as_slice(), &cut(&word), b" :Unknown command"].concat();
                self.number(&server, "421", &what, call);
            }
        }
    }

    fn register(&mut self, server: &str, call: &mut Call<'_>) {
        if self.is_registered || self.nick.is_empty() || !self.has_user {
            return;
        }
        self.is_registered = true;
        if !self.password.is_empty() {
            call.login("irc", &self.nick, &self.password);
        }
        self.number(server, "001", b" :Welcome to the network", call);
        self.number(server, "002", format!(" :Your host is {server}, running version u2.10").as_bytes(), call);
        self.number(server, "003", b" :This server was created Fri Mar 4 2016", call);
        self.number(server, "004", format!(" {server} u2.10 iowx biklmnopstv").as_bytes(), call);
        self.number(server, "422", b" :MOTD File is missing", call);
        call.wake_after(PING_EVERY);
    }

    fn number(&self, server: &str, number: &str, rest: &[u8], call: &mut Call<'_>) {
        let nick: &[u8] = if self.nick.is_empty() { b"*" } else { &self.nick };
        call.send([b":", server.as_bytes(), b" ", number.as_bytes(), b" ", nick, rest, b"\r\n"].concat());
    }
}

fn cut(word: &[u8]) -> Vec<u8> {
    word[..word.len().min(WORD_BYTES_MAX)].to_vec()
}

impl Service for Irc {
    fn name(&self) -> &'static str {
        "irc"
    }

    fn opened(&mut self, call: &mut Call<'_>) {
        let server = call.host_name();
        call.send(format!(":{server} NOTICE AUTH :*** Looking up your hostname...\r\n"));
    }

    fn data(&mut self, bytes: &[u8], call: &mut Call<'_>) -> Next {
        for byte in bytes {
            if let Some(line) = self.lines.take(*byte) {
                self.line(&line, call);
            }
        }
        Next::Stay
    }

    fn woken(&mut self, call: &mut Call<'_>) -> Next {
        let server = call.host_name();
        call.send(format!("PING :{server}\r\n"));
        call.wake_after(PING_EVERY);
        Next::Stay
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Talk;

    #[test]
    fn a_client_gets_into_a_channel() {
        let mut talk = Talk::new(Box::<Irc>::default(), "198.51.100.7:6667");
        talk.say(b"NICK probe1\r\nUSER a 0 * :b\r\n");
        assert!(talk.text().contains(" 001 probe1 :"), "{}", talk.text());
        talk.say(b"JOIN #room key\r\nPING :x\r\nFOO\r\n");
        let text = talk.text();
        assert!(text.contains("JOIN :#room") && text.contains(" 366 probe1 #room"), "{text}");
        assert!(text.contains("PONG") && text.contains(" 421 probe1 FOO"), "{text}");
        talk.wake();
        assert!(talk.text().contains("PING :"));
        talk.say(b"QUIT\r\n");
        assert!(talk.is_closing());
    }
}
