//! What a SYN tells of the system that sent it.

use std::fmt;
use std::net::IpAddr;

use crate::packet::{Packet, Segment};

/// Options of one SYN that are looked at: 40 bytes have room for no more.
const OPTIONS_MAX: usize = 40;

/// The traits of a SYN by which network stacks differ.
///
/// Shown as a raw signature in the manner of p0f version 3 (its README, section 5):
/// `version:ttl+hops:options length:mss:window,scale:option layout:payload`. The quirks field is left out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SynTraits {
    version: u8,
    hops_left: u8,
    mss: Option<u16>,
    window: u16,
    scale: Option<u8>,
    /// The kinds of the options, in their order.
    layout: Vec<u8>,
    /// Bytes behind the end of the list of options.
    padding_bytes: u8,
    has_payload: bool,
}

impl SynTraits {
    pub(crate) fn of(packet: &Packet<'_>, segment: &Segment<'_>) -> Self {
        let mut traits = Self {
            version: if matches!(packet.source, IpAddr::V4(_)) { 4 } else { 6 },
            hops_left: packet.hops_left,
            mss: None,
            window: segment.window,
            scale: None,
            layout: Vec::new(),
            padding_bytes: 0,
            has_payload: !segment.payload.is_empty(),
        };
        let mut options = segment.options;
        while let [kind, rest @ ..] = options {
            if traits.layout.len() == OPTIONS_MAX {
                break;
            }
            traits.layout.push(*kind);
            match kind {
                0 => {
                    traits.padding_bytes = u8::try_from(rest.len()).unwrap_or(u8::MAX);
                    break;
                }
                1 => options = rest,
                _ => {
                    let Some(length) = rest.first().map(|length| usize::from(*length)).filter(|length| *length >= 2)
                    else {
                        break;
                    };
                    let Some(value) = rest.get(1..length - 1) else { break };
                    match (kind, value) {
                        (2, [high, low]) => traits.mss = Some(u16::from_be_bytes([*high, *low])),
                        (3, [scale]) => traits.scale = Some(*scale),
                        _ => {}
                    }
                    options = &rest[length - 1..];
                }
            }
        }
        traits
    }

    /// The number of hops left that the sender began with: the next of the usual values.
    fn hops_at_first(&self) -> u8 {
        [32, 64, 128].into_iter().find(|usual| self.hops_left <= *usual).unwrap_or(255)
    }
}

impl fmt::Display for SynTraits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hops_at_first = self.hops_at_first();
        write!(formatter, "{}:{}+{}:0:", self.version, self.hops_left, hops_at_first - self.hops_left)?;
        match self.mss {
            Some(mss) => write!(formatter, "{mss}:")?,
            None => formatter.write_str("*:")?,
        }
        // A window that is a multiple of the segment size says more as one.
        match self.mss {
            Some(mss) if mss > 0 && self.window.is_multiple_of(mss) && self.window > 0 => {
                write!(formatter, "mss*{},", self.window / mss)?;
            }
            _ => write!(formatter, "{},", self.window)?,
        }
        write!(formatter, "{}:", self.scale.unwrap_or(0))?;
        for (index, kind) in self.layout.iter().enumerate() {
            if index > 0 {
                formatter.write_str(",")?;
            }
            match kind {
                0 => write!(formatter, "eol+{}", self.padding_bytes)?,
                1 => formatter.write_str("nop")?,
                2 => formatter.write_str("mss")?,
                3 => formatter.write_str("ws")?,
                4 => formatter.write_str("sok")?,
                5 => formatter.write_str("sack")?,
                8 => formatter.write_str("ts")?,
                other => write!(formatter, "?{other}")?,
            }
        }
        write!(formatter, ":{}", if self.has_payload { "+" } else { "0" })
    }
}
