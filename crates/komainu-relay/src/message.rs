//! What the unprivileged process asks, and what it is answered: one JSON object a packet, with descriptors beside it.

use std::net::{Ipv4Addr, SocketAddrV4};

use komainu_model::ApplianceIndex;
use serde::{Deserialize, Serialize};

/// Bytes of a message. The longest is a list of addresses.
pub(crate) const MESSAGE_BYTES_MAX: usize = 4 * 1024;

/// Addresses in one message.
pub(crate) const ADDRESSES_MAX: usize = 64;

/// A request and the number by which its answer is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Question {
    pub(crate) number: u64,
    pub(crate) request: Request,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Request {
    /// One descriptor comes back: a stream to the device.
    Connect {
        device: u16,
        port: u16,
        client: SocketAddrV4,
    },
    /// Two descriptors come back: towards the device, towards the client.
    Datagrams {
        device: u16,
        original: SocketAddrV4,
        client: SocketAddrV4,
    },
    /// One descriptor comes back: towards the device.
    DatagramsToDevice {
        device: u16,
        port: u16,
        client: SocketAddrV4,
    },
    Allow {
        device: u16,
        addresses: Vec<Ipv4Addr>,
    },
    Quarantine {
        device: u16,
    },
    /// One descriptor comes back: every frame of the device.
    Capture {
        device: u16,
    },
}

impl Request {
    pub(crate) const fn device(&self) -> ApplianceIndex {
        match self {
            Self::Connect { device, .. }
            | Self::Datagrams { device, .. }
            | Self::DatagramsToDevice { device, .. }
            | Self::Allow { device, .. }
            | Self::Quarantine { device }
            | Self::Capture { device } => ApplianceIndex(*device),
        }
    }
}

/// What is answered; without `refused` it was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    pub(crate) number: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refused: Option<String>,
}

/// What the process with the rights says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Said {
    /// The answer to a question.
    Answer(Answer),
    /// A device is reset; one descriptor beside it, a pipe, tells of the steps.
    ResetBegun { device: u16 },
    /// That is over, with a word of [`komainu_ports::ResetEnd`].
    ResetOver { device: u16, end: String },
}

/// The first packet, with the descriptors of [`crate::sockets::Shared`] beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Greeting {
    /// Grows with each change of what is said here. Both sides are one program: they differ only when its file was
    /// replaced while it ran.
    pub(crate) version: u32,
}

/// The version that is spoken.
pub(crate) const VERSION: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_message_fits() {
        let addresses = vec![Ipv4Addr::new(255, 255, 255, 255); ADDRESSES_MAX];
        let question = Question { number: u64::MAX, request: Request::Allow { device: u16::MAX, addresses } };
        let text = serde_json::to_vec(&question).unwrap();
        assert!(text.len() <= MESSAGE_BYTES_MAX, "{} bytes", text.len());
        assert_eq!(serde_json::from_slice::<Question>(&text).unwrap(), question);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for text in
            ["", "{}", r#"{"number":1,"request":{"run":{}}}"#, r#"{"number":-1,"request":{"release":{"device":1}}}"#]
        {
            assert!(serde_json::from_str::<Question>(text).is_err(), "{text}");
        }
    }
}
