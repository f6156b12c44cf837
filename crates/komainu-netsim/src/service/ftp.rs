//! A server of FTP (RFC 959): who logs in may list an empty folder, fetch small texts and store files.
//!
//! Data connections are those that the guest opens (PASV, EPSV). It is never called itself (PORT): its own address would
//! have to be believed.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::lines::{Lines, split_word};
use super::{Call, Next, Service};
use crate::download;
use crate::world::{Expected, Transfer};

/// How often it is looked whether a transfer is over.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long a transfer may take.
const TRANSFER_TIME_MAX: Duration = Duration::from_secs(120);

/// The ports of data connections.
const DATA_PORTS: std::ops::Range<u16> = 50_000..60_000;

/// A name of a file that is told, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// An FTP server.
#[derive(Debug, Default)]
pub(crate) struct Ftp {
    lines: Lines,
    user: Vec<u8>,
    is_in: bool,
    data_at: Option<SocketAddr>,
    data_number: u64,
    transfer_since: Option<Duration>,
}

impl Ftp {
    fn line(&mut self, line: &[u8], call: &mut Call<'_>) {
        let (word, rest) = split_word(line);
        match word.as_slice() {
            b"USER" => {
                self.user = rest.to_vec();
                self.is_in = false;
                call.send("331 Please specify the password.\r\n");
                return;
            }
            b"PASS" => {
                let user = std::mem::take(&mut self.user);
                // Anybody is let in as anybody.
                let anonymous = matches!(user.as_slice(), b"anonymous" | b"ftp");
                self.is_in = call.login("ftp", &user, rest) || anonymous;
                call.send(if self.is_in { "230 Login successful.\r\n" } else { "530 Login incorrect.\r\n" });
                return;
            }
            b"QUIT" => {
                call.send("221 Goodbye.\r\n");
                call.close();
                return;
            }
            b"SYST" => return call.send("215 UNIX Type: L8\r\n"),
            b"FEAT" => return call.send("211-Features:\r\n EPSV\r\n PASV\r\n SIZE\r\n211 End\r\n"),
            b"NOOP" | b"OPTS" => return call.send("200 OK.\r\n"),
            b"AUTH" => return call.send("530 Please login with USER and PASS.\r\n"),
            b"" => return,
            _ => call.command("ftp", line),
        }
        if !self.is_in {
            return call.send("530 Please login with USER and PASS.\r\n");
        }
        match word.as_slice() {
            b"PWD" | b"XPWD" => call.send("257 \"/\" is the current directory\r\n"),
            b"TYPE" => call.send("200 Switching to Binary mode.\r\n"),
            b"CWD" | b"CDUP" => call.send("250 Directory successfully changed.\r\n"),
            b"MKD" | b"XMKD" => call.send("257 created\r\n"),
            b"DELE" | b"RMD" | b"RNTO" | b"SITE" => call.send("250 Done.\r\n"),
            b"RNFR" => call.send("350 Ready for RNTO.\r\n"),
            b"REST" => call.send("350 Restart position accepted.\r\n"),
            b"SIZE" | b"MDTM" => call.send("550 Could not get file size.\r\n"),
            b"PASV" | b"EPSV" => self.passive(word == b"EPSV", call),
            b"PORT" | b"EPRT" => call.send("500 Illegal PORT command.\r\n"),
            b"STOR" | b"APPE" | b"STOU" => self.transfer(Transfer::Upload(name(rest)), call),
            b"LIST" | b"NLST" => self.transfer(Transfer::Download(Vec::new()), call),
            b"RETR" => match download::answer(call.world.settings.downloads, rest) {
                Some(contents) => self.transfer(Transfer::Download(contents), call),
                None => call.send("550 Failed to open file.\r\n"),
            },
            b"ABOR" => call.send("225 No transfer to ABOR.\r\n"),
            _ => call.send("500 Unknown command.\r\n"),
        }
    }

    fn passive(&mut self, is_extended: bool, call: &mut Call<'_>) {
        self.forget(call);
        let of = format!("{} {} {}", call.peer.to, call.peer.flow.0, self.data_number);
        self.data_number += 1;
        let ports = u64::from(DATA_PORTS.end - DATA_PORTS.start);
        let number = call.world.seed.below("ftp", of.as_bytes(), ports);
        let port = DATA_PORTS.start + u16::try_from(number).expect("smaller than the range");
        let at = SocketAddr::new(call.peer.to.ip(), port);
        let expected = Expected { control: call.peer.flow, transfer: Transfer::Unknown };
        if !call.world.expect(at, expected) {
            return call.send("425 Cannot open data connection.\r\n");
        }
        self.data_at = Some(at);
        match at.ip() {
            _ if is_extended => call.send(format!("229 Entering Extended Passive Mode (|||{port}|)\r\n")),
            IpAddr::V4(address) => {
                let [a, b, c, d] = address.octets();
                let [high, low] = port.to_be_bytes();
                call.send(format!("227 Entering Passive Mode ({a},{b},{c},{d},{high},{low}).\r\n"));
            }
            IpAddr::V6(_) => call.send("425 Use EPSV.\r\n"),
        }
    }

    fn transfer(&mut self, transfer: Transfer, call: &mut Call<'_>) {
        let Some(at) = self.data_at else { return call.send("425 Use PASV first.\r\n") };
        let expected = Expected { control: call.peer.flow, transfer };
        call.world.expect(at, expected);
        call.send("150 Ok to send data.\r\n");
        self.transfer_since = Some(call.world.now);
        call.wake_after(LOOK_EVERY);
    }

    fn forget(&mut self, call: &mut Call<'_>) {
        if let Some(at) = self.data_at.take() {
            call.world.forget(at);
        }
    }
}

fn name(text: &[u8]) -> komainu_trace::RawText {
    text[..text.len().min(NAME_BYTES_MAX)].into()
}

impl Service for Ftp {
    fn name(&self) -> &'static str {
        "ftp"
    }

    fn opened(&mut self, call: &mut Call<'_>) {
        call.send("220 (vsFTPd 2.3.4)\r\n");
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
        let Some(since) = self.transfer_since else { return Next::Stay };
        if self.data_at.is_none_or(|at| call.world.expected(at).is_none()) {
            self.data_at = None;
            self.transfer_since = None;
            call.send("226 Transfer complete.\r\n");
        } else if call.world.now.saturating_sub(since) > TRANSFER_TIME_MAX {
            self.transfer_since = None;
            self.forget(call);
            call.send("426 Failure writing network stream.\r\n");
        } else {
            call.wake_after(LOOK_EVERY);
        }
        Next::Stay
    }

    fn finished(&mut self, call: &mut Call<'_>) {
        self.forget(call);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Talk;

    #[test]
    fn a_client_logs_in_and_announces_a_file() {
        let mut talk = Talk::new(Box::<Ftp>::default(), "198.51.100.7:21");
        assert!(talk.text().starts_with("220 "));
        talk.say(b"LIST\r\nUSER anonymous\r\nPASS a@b\r\nPORT 1,2,3,4,5,6\r\nSTOR a\r\n");
        let text = talk.text();
        assert!(text.contains("530 ") && text.contains("230 ") && text.contains("500 Illegal PORT"), "{text}");
        assert!(text.contains("425 "), "{text}");
        talk.say(b"EPSV\r\nSTOR stolen.txt\r\n");
        assert!(talk.text().contains("229 ") && talk.text().contains("150 "));
        talk.wake();
        assert!(!talk.text().contains("226 "), "nothing came yet");
        let at = talk.expected().unwrap();
        talk.forget(at);
        talk.wake();
        assert!(talk.text().contains("226 "));
        talk.say(b"PASV\r\n");
        assert!(talk.text().contains("227 Entering Passive Mode (198,51,100,7,"));
        talk.finish();
        assert_eq!(talk.expected(), None);
    }
}
