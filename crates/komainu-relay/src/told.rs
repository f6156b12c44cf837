//! What the packet filter tells: packets that a rule with `log group` met, over a netlink socket
//! (`nfnetlink_log`; numbers from Linux's `linux/netfilter/nfnetlink_log.h` and `linux/netlink.h`).

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use komainu_ports::ToldPacket;
use nix::sys::socket::sockopt::RcvBuf;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt, socket,
};

use crate::ruleset::{self, LOG_GROUP};

/// Bytes that the kernel sends at once: it collects a page or two.
pub(crate) const BATCH_BYTES_MAX: usize = 64 * 1024;

/// Bytes that the kernel holds for us. What is over is lost, and counted by the rules all the same.
const BUFFER_BYTES: usize = 1024 * 1024;

/// Packets that the kernel collects, and how long, in hundredths of a second.
const COLLECT_PACKETS: u32 = 16;
const COLLECT_HUNDREDTHS_S: u32 = 10;

const HEADER_BYTES: usize = 16;
const FAMILY_HEADER_BYTES: usize = 4;
const ATTRIBUTE_HEADER_BYTES: usize = 4;

const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLMSG_ERROR: u16 = 2;
/// `NFNL_SUBSYS_ULOG << 8`, with `NFULNL_MSG_PACKET` and `NFULNL_MSG_CONFIG`.
const TYPE_PACKET: u16 = 4 << 8;
const TYPE_CONFIG: u16 = (4 << 8) | 1;
const NFULA_PAYLOAD: u16 = 9;
const NFULA_PREFIX: u16 = 10;
const NFULA_CFG_CMD: u16 = 1;
const NFULA_CFG_MODE: u16 = 2;
const NFULA_CFG_TIMEOUT: u16 = 4;
const NFULA_CFG_QTHRESH: u16 = 5;
const NFULNL_CFG_CMD_BIND: u8 = 1;
const NFULNL_COPY_PACKET: u8 = 2;
/// The two highest bits of an attribute's type are flags.
const ATTRIBUTE_TYPE_MASK: u16 = 0x3FFF;

/// A socket that is told of packets from now on. It does not block.
pub(crate) fn open() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkNetFilter)?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
    setsockopt(&socket, RcvBuf, &BUFFER_BYTES)?;
    let mut mode = (BATCH_BYTES_MAX as u32).to_be_bytes().to_vec();
    mode.extend([NFULNL_COPY_PACKET, 0]);
    for (kind, value) in [
        (NFULA_CFG_CMD, vec![NFULNL_CFG_CMD_BIND]),
        (NFULA_CFG_MODE, mode),
        (NFULA_CFG_TIMEOUT, COLLECT_HUNDREDTHS_S.to_be_bytes().to_vec()),
        (NFULA_CFG_QTHRESH, COLLECT_PACKETS.to_be_bytes().to_vec()),
    ] {
        send(socket.as_raw_fd(), &configuration(kind, &value), MsgFlags::empty())?;
        // The kernel has answered when the request is sent.
        let mut answer = [0; 256];
        let bytes = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
        acknowledged(&answer[..bytes])?;
    }
    Ok(socket)
}

fn configuration(kind: u16, value: &[u8]) -> Vec<u8> {
    let attribute_bytes = ATTRIBUTE_HEADER_BYTES + value.len();
    let bytes = HEADER_BYTES + FAMILY_HEADER_BYTES + aligned(attribute_bytes);
    let mut message = Vec::with_capacity(bytes);
    message.extend((bytes as u32).to_ne_bytes());
    message.extend(TYPE_CONFIG.to_ne_bytes());
    message.extend((NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
    message.extend([0; 8]);
    // Any family, version 0, and the group.
    message.extend([0, 0]);
    message.extend(LOG_GROUP.to_be_bytes());
    message.extend((attribute_bytes as u16).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(value);
    message.resize(bytes, 0);
    message
}

/// An acknowledgement is an error message with the number 0.
fn acknowledged(answer: &[u8]) -> io::Result<()> {
    let kind = answer.get(4..6).map(|kind| u16::from_ne_bytes([kind[0], kind[1]]));
    let number = answer.get(HEADER_BYTES..).and_then(|rest| rest.first_chunk::<4>()).map(|n| i32::from_ne_bytes(*n));
    match (kind, number) {
        (Some(NLMSG_ERROR), Some(0)) => Ok(()),
        (Some(NLMSG_ERROR), Some(number)) => Err(io::Error::from_raw_os_error(number.saturating_neg())),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// The packets that one batch tells of. What cannot be read is left out.
pub(crate) fn packets(batch: &[u8]) -> Vec<ToldPacket> {
    let mut told = Vec::new();
    let mut rest = batch;
    while let Some(length) = rest.first_chunk::<4>().map(|length| u32::from_ne_bytes(*length) as usize) {
        let Some(message) = rest.get(..length).filter(|message| message.len() >= HEADER_BYTES) else { break };
        let kind = u16::from_ne_bytes([message[4], message[5]]);
        if kind == TYPE_PACKET
            && let Some(attributes) = message.get(HEADER_BYTES + FAMILY_HEADER_BYTES..)
        {
            told.extend(packet(attributes));
        }
        rest = rest.get(aligned(length)..).unwrap_or_default();
    }
    told
}

fn packet(attributes: &[u8]) -> Option<ToldPacket> {
    let (mut prefix, mut payload) = (None, None);
    let mut rest = attributes;
    while let Some([a, b, c, d]) = rest.first_chunk::<ATTRIBUTE_HEADER_BYTES>() {
        let (length, kind) = (usize::from(u16::from_ne_bytes([*a, *b])), u16::from_ne_bytes([*c, *d]));
        let Some(value) = rest.get(ATTRIBUTE_HEADER_BYTES..length) else { break };
        match kind & ATTRIBUTE_TYPE_MASK {
            NFULA_PREFIX => prefix = std::str::from_utf8(value).ok().map(|text| text.trim_end_matches('\0')),
            NFULA_PAYLOAD => payload = Some(value),
            _ => {}
        }
        rest = rest.get(aligned(length)..).unwrap_or_default();
    }
    let (device, fate) = ruleset::parse_log_prefix(prefix?)?;
    Some(ToldPacket { device, fate, packet: payload?.to_vec() })
}

/// Messages and attributes begin at multiples of four bytes.
const fn aligned(bytes: usize) -> usize {
    bytes.next_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use komainu_model::ApplianceIndex;
    use komainu_ports::PacketFate;
    use proptest::prelude::*;

    use super::*;

    fn message(kind: u16, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = vec![2, 0, 0xEE, 0x70];
        for (kind, value) in attributes {
            body.extend(((value.len() + 4) as u16).to_ne_bytes());
            body.extend(kind.to_ne_bytes());
            body.extend(*value);
            body.resize(aligned(body.len()), 0);
        }
        let mut message = ((body.len() + HEADER_BYTES) as u32).to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend([0; 10]);
        message.extend(body);
        message
    }

    #[test]
    fn a_batch_tells_of_each_packet() {
        let mut batch = message(TYPE_PACKET, &[(1, b"\x08\x00\x01\x00"), (10, b"2 blocked\0"), (9, b"\x45abc")]);
        batch.extend(message(TYPE_PACKET, &[(9, b"\x45"), (10, b"1 allowed\0")]));
        batch.extend(message(TYPE_PACKET, &[(10, b"nothing of ours\0"), (9, b"\x45")]));
        batch.extend(message(3, &[]));
        let told =
            |device, fate, packet: &[u8]| ToldPacket { device: ApplianceIndex(device), fate, packet: packet.into() };
        assert_eq!(packets(&batch), [told(1, PacketFate::Blocked, b"\x45abc"), told(0, PacketFate::Allowed, b"\x45")]);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(batch in proptest::collection::vec(any::<u8>(), 0..200)) {
            packets(&batch);
        }

        #[test]
        fn a_cut_batch_loses_its_end_only(cut in 0_usize..40) {
            let mut batch = message(TYPE_PACKET, &[(10, b"1 blocked\0"), (9, b"\x45")]);
            let whole = batch.len();
            batch.extend(message(TYPE_PACKET, &[(10, b"1 blocked\0"), (9, b"\x45")]));
            prop_assert_eq!(packets(&batch[..whole + cut.min(whole - 1)]).len(), 1);
        }
    }
}
