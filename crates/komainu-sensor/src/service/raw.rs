//! A port where nothing is understood and everything is kept.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::artifact::Sha256Digest;
use crate::eve::Text;
use crate::link::Link;
use crate::persona::{Device, PersonaError};
use crate::session::Ending;

/// Bytes that a line of the log shows of what was said: enough to know it again.
const SHOWN_BYTES_MAX: usize = 1024;

/// The most of what a client says at a raw port that can be kept, in bytes: it is in memory.
const RAW_BYTES_MAX: usize = 1024 * 1024;

/// A port where something is said at most, and everything is recorded.
#[derive(Debug)]
pub(crate) struct Raw {
    banner: Vec<u8>,
    /// Bytes that are kept of what a client says.
    bytes_max: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawText {
    pub(crate) ports: Vec<u16>,
    #[serde(default)]
    banner_hex: String,
    #[serde(default = "raw_bytes_max")]
    bytes_max: usize,
}

const fn raw_bytes_max() -> usize {
    64 * 1024
}

impl Raw {
    /// Checks what a persona says; `at` is where it says it.
    pub(crate) fn check(text: RawText, at: &str, device: &Device<'_>) -> Result<Self, PersonaError> {
        let Ok(banner) = hex::decode(&text.banner_hex) else {
            return Err(device.wrong(format!("{at}.banner_hex"), "must be pairs of hexadecimal digits"));
        };
        if text.bytes_max > RAW_BYTES_MAX {
            return Err(device.wrong(format!("{at}.bytes_max"), format!("must be at most {RAW_BYTES_MAX}")));
        }
        Ok(Self { banner, bytes_max: text.bytes_max })
    }
}

/// What a client said, in `honeypot.json`.
#[derive(Debug, Serialize)]
struct Payload<'a> {
    /// How much it said.
    bytes: u64,
    /// How much of it is stored.
    bytes_kept: usize,
    sha256: Sha256Digest,
    stored: bool,
    text: Text<'a>,
}

/// Listens to a client until the connection ends.
pub(crate) async fn serve(link: &mut Link, persona: &Arc<Raw>) -> Ending {
    let mut kept = Vec::new();
    let mut bytes: u64 = 0;
    let ending = listen(link, persona, &mut kept, &mut bytes).await;
    if !kept.is_empty() {
        let now = link.now();
        let (sha256, stored) = link.keeper().keep(now, &kept);
        let text = Text(&kept[..kept.len().min(SHOWN_BYTES_MAX)]);
        link.keeper().note(now, "payload", &Payload { bytes, bytes_kept: kept.len(), sha256, stored, text });
    }
    ending
}

async fn listen(link: &mut Link, persona: &Raw, kept: &mut Vec<u8>, bytes: &mut u64) -> Ending {
    if !persona.banner.is_empty()
        && let Err(ending) = link.write(&persona.banner).await
    {
        return ending;
    }
    loop {
        match link.read().await {
            Ok(said) => {
                *bytes += said.len() as u64;
                let room = persona.bytes_max - kept.len();
                kept.extend_from_slice(&said[..said.len().min(room)]);
            }
            Err(ending) => return ending,
        }
    }
}
