//! A server of SSH up to the point where it would be encrypted: who the client is, and what it offers, is told.
//!
//! There is no login here. The client sees a server that closes when the keys are to be exchanged.

use komainu_decode::ssh::{Event, Reader};
use komainu_decode::{Decoder, Fact, Place, Side};
use komainu_trace::network::NetworkAct;

use super::{Call, Next, Service};

/// The identification of a small device.
const IDENTIFICATION: &str = "SSH-2.0-dropbear_2019.78\r\n";

/// What such a server offers (RFC 4253, 7.1).
const OFFERS: [&str; 10] = [
    "curve25519-sha256,ecdh-sha2-nistp256,diffie-hellman-group14-sha256,diffie-hellman-group14-sha1",
    "ssh-rsa,ecdsa-sha2-nistp256,ssh-ed25519",
    "aes128-ctr,aes256-ctr",
    "aes128-ctr,aes256-ctr",
    "hmac-sha1,hmac-sha2-256",
    "hmac-sha1,hmac-sha2-256",
    "none",
    "none",
    "",
    "",
];

/// Bytes of the client that are looked at: an identification, one packet of offers, one that begins the exchange.
const BYTES_MAX: u64 = 80_000;

/// An SSH server.
#[derive(Debug, Default)]
pub(crate) struct Ssh {
    reader: Reader,
    identification: Vec<u8>,
    is_offered: bool,
    is_told: bool,
    bytes: u64,
}

impl Service for Ssh {
    fn name(&self) -> &'static str {
        "ssh"
    }

    fn opened(&mut self, call: &mut Call<'_>) {
        call.send(IDENTIFICATION);
        call.send(offer(call.world.seed.number("ssh", call.peer.to.to_string().as_bytes())));
    }

    fn data(&mut self, bytes: &[u8], call: &mut Call<'_>) -> Next {
        self.bytes += bytes.len() as u64;
        let was_offered = self.is_offered;
        let (mut identification, mut hassh) = (None, None);
        let mut observer = |_: Place, fact: Fact<'_>| match fact {
            Fact::Ssh(Event::Identification(said)) => identification = Some(said.line.to_vec()),
            Fact::Ssh(Event::KeyExchange(offered)) => hassh = Some(offered.hassh.hash),
            _ => {}
        };
        self.reader.data(Side::Client, bytes, &mut observer);
        if let Some(identification) = identification {
            self.identification = identification;
        }
        if let Some(hassh) = hassh {
            self.is_offered = true;
            self.tell(Some(hassh), call);
        }
        // The client goes on with its half of the exchange, in the same piece or in the next one.
        if was_offered || self.bytes > BYTES_MAX {
            call.close();
        }
        Next::Stay
    }

    fn finished(&mut self, call: &mut Call<'_>) {
        if !self.identification.is_empty() {
            self.tell(None, call);
        }
    }
}

impl Ssh {
    fn tell(&mut self, hassh: Option<String>, call: &mut Call<'_>) {
        if !std::mem::replace(&mut self.is_told, true) {
            let identification = self.identification.as_slice().into();
            call.event(NetworkAct::Ssh { flow: call.peer.flow, identification, hassh });
        }
    }
}

/// A packet with the offers (RFC 4253, 6 and 7.1).
fn offer(cookie: u64) -> Vec<u8> {
    const PADDING: usize = 4;
    let mut payload = vec![20];
    payload.extend(cookie.to_be_bytes());
    payload.extend(cookie.rotate_left(32).to_be_bytes());
    for list in OFFERS {
        payload.extend(u32::try_from(list.len()).expect("short").to_be_bytes());
        payload.extend(list.as_bytes());
    }
    payload.extend([0; 5]);
    // The whole is a multiple of eight.
    let padding = PADDING + (8 - (5 + payload.len() + PADDING) % 8) % 8;
    let length = 1 + payload.len() + padding;
    let mut packet = u32::try_from(length).expect("short").to_be_bytes().to_vec();
    packet.push(u8::try_from(padding).expect("at most 11"));
    packet.extend(payload);
    packet.resize(4 + length, 0);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Talk;

    #[test]
    fn a_client_is_known_by_its_offers() {
        let mut talk = Talk::new(Box::<Ssh>::default(), "198.51.100.7:22");
        let said = talk.take();
        assert!(said.starts_with(b"SSH-2.0-dropbear"));
        assert_eq!((said.len() - IDENTIFICATION.len()) % 8, 0);
        talk.say(b"SSH-2.0-Go\r\n");
        talk.say(&offer(1));
        assert!(!talk.is_closing());
        talk.say(&[0, 0, 0, 12, 6, 30, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert!(talk.is_closing());
        let [NetworkAct::Ssh { identification, hassh: Some(hassh), .. }] = &talk.acts()[..] else {
            panic!("{:?}", talk.acts())
        };
        assert_eq!((identification.0.as_slice(), hassh.len()), (&b"SSH-2.0-Go"[..], 32));
    }

    #[test]
    fn one_who_only_says_who_it_is_is_told_at_the_end() {
        let mut talk = Talk::new(Box::<Ssh>::default(), "198.51.100.7:22");
        talk.say(b"SSH-2.0-scan\r\n");
        assert!(talk.acts().is_empty());
        talk.finish();
        assert_eq!(talk.acts().len(), 1);
    }
}
