//! Remote procedure calls over named pipes (C706, chapter 12, and MS-RPCE).

use super::bytes::{array_at, u8_at};
use super::event::{Rpc, RpcInterface};

/// How many bytes of a write to a pipe, or of a read from one, are looked at: a fragment of the size that Windows and
/// Samba offer, 4,280 bytes, fits.
pub(super) const RPC_BYTES_MAX: usize = 6 * 1024;

/// How many fragments of one write are told, and how many interfaces of one bind. Clients send one of each, or two.
const FRAGMENTS_MAX: usize = 16;

const REQUEST: u8 = 0;
const RESPONSE: u8 = 2;
const BIND: u8 = 11;
const ALTER_CONTEXT: u8 = 14;

/// The fragments in what was written to a pipe, or read from it. What does not look like one, such as the rest of a
/// fragment that came before, is skipped.
pub(super) fn fragments<'a>(mut bytes: &'a [u8], pipe: &'a [u8]) -> impl Iterator<Item = Rpc<'a>> {
    let mut left = FRAGMENTS_MAX;
    std::iter::from_fn(move || {
        left = left.checked_sub(1)?;
        // Version 5, minor version 0 or 1, flags with the first fragment among them.
        let [5, 0 | 1, kind, flags, ..] = *bytes else { return None };
        let numbers = Numbers { is_little: u8_at(bytes, 4)? & 0x10 != 0 };
        let fragment_bytes = numbers.u16_at(bytes, 8)?;
        let call_id = numbers.u32_at(bytes, 12)?;
        if flags & 1 == 0 || fragment_bytes < 16 {
            return None;
        }
        let (fragment, rest) = bytes.split_at(bytes.len().min(usize::from(fragment_bytes)));
        bytes = rest;
        let is_bind = matches!(kind, BIND | ALTER_CONTEXT);
        let has_stub = matches!(kind, REQUEST | RESPONSE);
        // A request may name an object in front of its arguments.
        let head_bytes = if kind == REQUEST && flags & 0x80 != 0 { 40 } else { 24 };
        Some(Rpc {
            kind,
            call_id,
            pipe: pipe.into(),
            interfaces: if is_bind { numbers.interfaces(fragment) } else { Vec::new() },
            operation: if kind == REQUEST { numbers.u16_at(fragment, 22) } else { None },
            stub_bytes: if has_stub { fragment_bytes.saturating_sub(head_bytes) } else { 0 },
        })
    })
}

/// Numbers in the byte order that the sender says it has.
struct Numbers {
    is_little: bool,
}

impl Numbers {
    fn u16_at(&self, bytes: &[u8], at: usize) -> Option<u16> {
        let field = array_at(bytes, at)?;
        Some(if self.is_little { u16::from_le_bytes(field) } else { u16::from_be_bytes(field) })
    }

    fn u32_at(&self, bytes: &[u8], at: usize) -> Option<u32> {
        let field = array_at(bytes, at)?;
        Some(if self.is_little { u32::from_le_bytes(field) } else { u32::from_be_bytes(field) })
    }

    /// The abstract syntaxes of a bind: a count at 24, and from 28 on, for each, an id, a count of transfer syntaxes, a
    /// UUID, a version, and the transfer syntaxes of 20 bytes each.
    fn interfaces(&self, fragment: &[u8]) -> Vec<RpcInterface> {
        let mut interfaces = Vec::new();
        let mut at = 28;
        for _ in 0..usize::from(u8_at(fragment, 24).unwrap_or(0)).min(FRAGMENTS_MAX) {
            let Some(syntaxes) = u8_at(fragment, at + 2) else { break };
            let (Some(uuid), Some(major), Some(minor)) =
                (array_at(fragment, at + 4), self.u16_at(fragment, at + 20), self.u16_at(fragment, at + 22))
            else {
                break;
            };
            interfaces.push(RpcInterface { uuid: self.written(uuid), version: (major, minor) });
            at += 24 + 20 * usize::from(syntaxes);
        }
        interfaces
    }

    /// A UUID as it is written: its first three fields are numbers.
    fn written(&self, uuid: [u8; 16]) -> [u8; 16] {
        if self.is_little { written_guid(uuid) } else { uuid }
    }
}

/// A GUID with little-endian fields in the order in which it is written.
pub(super) fn written_guid(guid: [u8; 16]) -> [u8; 16] {
    let [a, b, c, d, e, f, g, h, rest @ ..] = guid;
    let [i, j, k, l, m, n, o, p] = rest;
    [d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bind_names_its_interface() {
        let mut bind = vec![5, 0, BIND, 3, 0x10, 0, 0, 0, 72, 0, 0, 0, 1, 0, 0, 0, 0xb8, 0x10, 0xb8, 0x10, 0, 0, 0, 0];
        bind.extend([1, 0, 0, 0, 0, 0, 1, 0]);
        bind.extend([0xc8, 0x4f, 0x32, 0x4b, 0x70, 0x16, 0xd3, 0x01, 0x12, 0x78, 0x5a, 0x47, 0xbf, 0x6e, 0xe1, 0x88]);
        bind.extend([3, 0, 0, 0]);
        bind.extend([0; 20]);
        let told: Vec<Rpc<'_>> = fragments(&bind, b"srvsvc").collect();
        let [Rpc { kind: BIND, call_id: 1, interfaces, operation: None, .. }] = &told[..] else { panic!("{told:?}") };
        // The server service: 4b324fc8-1670-01d3-1278-5a47bf6ee188, version 3.0.
        assert_eq!(interfaces[0].uuid[..4], [0x4b, 0x32, 0x4f, 0xc8]);
        assert_eq!(interfaces[0].uuid[8..], [0x12, 0x78, 0x5a, 0x47, 0xbf, 0x6e, 0xe1, 0x88]);
        assert_eq!(interfaces[0].version, (3, 0));
    }

    #[test]
    fn a_request_names_its_operation_in_either_byte_order() {
        let little = [5, 0, 0, 3, 0x10, 0, 0, 0, 28, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 0, 0, 15, 0, 1, 2, 3, 4];
        let big = [5, 0, 0, 3, 0, 0, 0, 0, 0, 28, 0, 0, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 15, 1, 2, 3, 4];
        for bytes in [little, big] {
            let told: Vec<_> = fragments(&bytes, b"").map(|rpc| (rpc.call_id, rpc.operation, rpc.stub_bytes)).collect();
            assert_eq!(told, [(2, Some(15), 4)]);
        }
        assert_eq!(fragments(b"no call", b"").count(), 0);
    }
}
