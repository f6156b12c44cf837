//! SSH as a small device speaks it: Dropbear with its shell behind it, files over scp and SFTP, and nothing beyond the
//! device: what is to be forwarded is recorded and refused.
//!
//! The protocol and its cryptography are russh's. What a client does inside is a [`Visit`](visit::Visit), which knows
//! neither. The bytes go through the connection's [`Link`] like those of any other persona; [`Wire`](wire::Wire) is what
//! russh takes it for.

mod host_keys;
mod scp;
mod server;
mod sftp;
mod visit;
mod wire;

use std::borrow::Cow;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use russh::keys::{Algorithm, HashAlg};
use russh::server::{Config, run_stream};
use russh::{MethodKind, MethodSet, Preferred, SshId, cipher, compression, kex, mac};
use serde::Deserialize;
use tokio::time::sleep_until;

use self::host_keys::{KeyKind, host_key};
use self::server::Messenger;
use self::visit::Visit;
#[cfg(fuzzing)]
pub(crate) use self::visit::check_bytes;
use self::wire::Wire;
use crate::host_keys::{HostKeyError, HostKeys};
use crate::link::Link;
use crate::persona::{Accounts, Device, PersonaError};
use crate::session::Ending;
use crate::shell::Machine;

/// What a client may send on a channel before it is told to go on, in bytes; as Dropbear has it (options.h,
/// DEFAULT_RECV_WINDOW is 24 KiB), and a little more for uploads.
const WINDOW_BYTES: u32 = 128 * 1024;

/// The largest packet that is taken, in bytes (RFC 4253, 6.1).
const PACKET_BYTES_MAX: u32 = 32 * 1024;

/// The longest that a refusal may be made to take, in milliseconds.
const REFUSAL_DELAY_MS_MAX: u64 = 10_000;

/// The longest that a client says first, in bytes of a banner (RFC 4253, 4.2).
const BANNER_BYTES_MAX: usize = 253;

/// The most algorithms that a device of some years knows and russh speaks, the cheapest first.
const KEY_EXCHANGES: &[kex::Name] = &[
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::ECDH_SHA2_NISTP256,
    kex::ECDH_SHA2_NISTP384,
    kex::ECDH_SHA2_NISTP521,
    kex::DH_G14_SHA256,
    kex::DH_G14_SHA1,
    kex::DH_G1_SHA1,
];
const CIPHERS: &[cipher::Name] =
    &[cipher::CHACHA20_POLY1305, cipher::AES_128_CTR, cipher::AES_192_CTR, cipher::AES_256_CTR];
const MACS: &[mac::Name] = &[mac::HMAC_SHA1, mac::HMAC_SHA256, mac::HMAC_SHA512];

/// A login, a shell behind it, and files.
#[derive(Debug)]
pub(crate) struct Ssh {
    /// The persona's name, by which its keys are found.
    persona: String,
    banner: String,
    host_keys: Vec<KeyKind>,
    refusal_delay: Duration,
    accounts: Accounts,
    /// The try of a connection that is accepted whatever it says; 0 for none.
    accept_after: u32,
    /// The tries of a connection, after which it is closed.
    tries_max: u32,
    has_sftp: bool,
    machine: Arc<Machine>,
    /// Set when the sensor starts.
    config: OnceLock<Arc<Config>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SshText {
    pub(crate) ports: Vec<u16>,
    #[serde(default = "banner")]
    banner: String,
    #[serde(default = "host_keys")]
    host_keys: Vec<KeyKindText>,
    #[serde(default = "refusal_delay_ms")]
    refusal_delay_ms: u64,
    #[serde(default)]
    accept_after: u32,
    #[serde(default = "tries_max")]
    tries_max: u32,
    #[serde(default = "sftp")]
    sftp: bool,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KeyKindText {
    Ed25519,
    Rsa,
}

fn banner() -> String {
    "SSH-2.0-dropbear_2020.81".into()
}

fn host_keys() -> Vec<KeyKindText> {
    vec![KeyKindText::Ed25519, KeyKindText::Rsa]
}

/// Dropbear waits 250 to 350 milliseconds (svr-auth.c).
const fn refusal_delay_ms() -> u64 {
    300
}

/// Dropbear's default (default_options.h, MAX_AUTH_TRIES).
const fn tries_max() -> u32 {
    10
}

const fn sftp() -> bool {
    true
}

impl Ssh {
    /// Checks what a persona says; `at` is where it says it.
    pub(crate) fn check(text: SshText, at: &str, device: &Device<'_>) -> Result<Self, PersonaError> {
        let wrong = |field: &str, problem: String| Err(device.wrong(format!("{at}.{field}"), problem));
        if !text.banner.starts_with("SSH-2.0-") || !text.banner.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return wrong("banner", "must begin with SSH-2.0- and be ASCII".into());
        }
        if text.banner.len() > BANNER_BYTES_MAX {
            return wrong("banner", format!("must have at most {BANNER_BYTES_MAX} bytes"));
        }
        if text.tries_max == 0 {
            return wrong("tries_max", "must be at least 1".into());
        }
        if text.refusal_delay_ms > REFUSAL_DELAY_MS_MAX {
            return wrong("refusal_delay_ms", format!("must be at most {REFUSAL_DELAY_MS_MAX}"));
        }
        if text.host_keys.is_empty() {
            return wrong("host_keys", "is empty".into());
        }
        let host_keys = text.host_keys.iter().map(|kind| match kind {
            KeyKindText::Ed25519 => KeyKind::Ed25519,
            KeyKindText::Rsa => KeyKind::Rsa,
        });
        Ok(Self {
            persona: device.name.clone(),
            banner: text.banner,
            host_keys: host_keys.collect(),
            refusal_delay: Duration::from_millis(text.refusal_delay_ms),
            accounts: device.accounts.clone(),
            accept_after: text.accept_after,
            tries_max: text.tries_max,
            has_sftp: text.sftp,
            machine: device.machine.clone(),
            config: OnceLock::new(),
        })
    }

    /// Gives the persona its keys. Without them it says nothing.
    pub(crate) fn make_keys(&self, host_keys: &HostKeys) -> Result<(), HostKeyError> {
        if self.config.get().is_some() {
            return Ok(());
        }
        let mut keys = Vec::new();
        for kind in &self.host_keys {
            keys.push(host_key(host_keys, &self.persona, *kind)?);
        }
        let sha2 = |hash| Algorithm::Rsa { hash };
        let preferred = Preferred {
            kex: Cow::Borrowed(KEY_EXCHANGES),
            key: Cow::Owned(vec![Algorithm::Ed25519, sha2(Some(HashAlg::Sha256)), sha2(None)]),
            host_key_certificates: Cow::Borrowed(&[]),
            cipher: Cow::Borrowed(CIPHERS),
            mac: Cow::Borrowed(MACS),
            compression: Cow::Borrowed(&[compression::NONE]),
        };
        // Who asks for nothing first, as OpenSSH's client does, has one try more: that one is counted, too.
        let tries_max = usize::try_from(self.tries_max).unwrap_or(usize::MAX).saturating_add(1);
        let config = Config {
            server_id: SshId::Standard(Cow::Owned(self.banner.clone())),
            methods: MethodSet::from([MethodKind::PublicKey, MethodKind::Password].as_slice()),
            auth_rejection_time: self.refusal_delay,
            auth_rejection_time_initial: Some(Duration::ZERO),
            keys,
            window_size: WINDOW_BYTES,
            maximum_packet_size: PACKET_BYTES_MAX,
            channel_buffer_size: 1,
            event_buffer_size: 1,
            preferred,
            max_auth_attempts: tries_max,
            // The connection has bounds of its own.
            inactivity_timeout: None,
            ..Config::default()
        };
        let _ = self.config.set(Arc::new(config));
        Ok(())
    }
}

/// Speaks with a client until the connection ends, and ends its record.
pub(crate) async fn serve(link: Box<Link>, persona: &Arc<Ssh>, seed: u64) {
    let Some(config) = persona.config.get() else { return link.end(Ending::Closed) };
    let stop = link.stop_signal();
    let wire = Wire::new(link, Visit::new(persona.clone(), seed));
    let ending = converse(&wire, config, stop).await;
    wire.end(ending);
}

/// Has russh speak until it has nothing more to say, or the connection has to end. Everything is done in russh's own
/// task: what it reads and writes is recorded there, and what it asks is answered there.
async fn converse(wire: &Wire, config: &Arc<Config>, stop: impl Future<Output = ()>) -> Ending {
    let server = run_stream(config.clone(), wire.clone(), Messenger::new(wire.clone()));
    let server = async { server.await?.await };
    tokio::pin!(server, stop);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => return Ending::Stopped,
            // Its reasons are the client's, or a panic inside; either way the connection is over.
            _ = &mut server => return wire.ending(),
            () = sleep_until(wire.deadline()) => if let Some(ending) = wire.overdue() {
                return ending;
            }
        }
    }
}
