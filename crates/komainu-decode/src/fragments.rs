//! IP packets that came in pieces.
//!
//! Attackers cut packets so that a watcher sees less than the target. Where pieces overlap, the byte that came first
//! counts; overlapping IPv6 pieces are not allowed at all (RFC 5722), which makes the whole packet unreadable.

use std::collections::VecDeque;
use std::net::IpAddr;

use crate::capture::PacketTime;
use crate::packet::Fragment;

/// The largest packet that is put together, in bytes: what IPv4's length field can say.
const PACKET_BYTES_MAX: u32 = 65_535;
/// Packets that wait for pieces at a time; the oldest goes first. With the bound above: 16 MiB.
const PACKETS_MAX: usize = 256;
/// Pieces of one packet; more are a sign of an attack on whoever puts them together.
const PIECES_MAX: usize = 128;
/// How long pieces are waited for, in microseconds (RFC 8200, 4.5: 60 s; RFC 791: 15 s).
const WAIT_US_MAX: u64 = 30_000_000;

/// Pieces that wait for others.
#[derive(Debug, Default)]
pub(crate) struct Fragments {
    packets: VecDeque<Incomplete>,
}

#[derive(Debug)]
struct Incomplete {
    key: (IpAddr, IpAddr, u8, u32),
    since: PacketTime,
    /// By offset, without overlaps.
    pieces: Vec<(u32, Vec<u8>)>,
    /// Where the packet ends, once its last piece came.
    end: Option<u32>,
}

impl Fragments {
    /// Takes a piece; gives back the whole packet when it was the last one that was missing.
    pub(crate) fn add(
        &mut self,
        at: PacketTime,
        source: IpAddr,
        destination: IpAddr,
        fragment: &Fragment<'_>,
    ) -> Option<Vec<u8>> {
        while self.packets.front().is_some_and(|packet| at.micros_since(packet.since) > WAIT_US_MAX) {
            self.packets.pop_front();
        }
        let end = fragment.offset.checked_add(u32::try_from(fragment.payload.len()).ok()?)?;
        if end > PACKET_BYTES_MAX {
            return None;
        }
        let key = (source, destination, fragment.protocol, fragment.identification);
        let index = match self.packets.iter().position(|packet| packet.key == key) {
            Some(index) => index,
            None => {
                if self.packets.len() == PACKETS_MAX {
                    self.packets.pop_front();
                }
                self.packets.push_back(Incomplete { key, since: at, pieces: Vec::new(), end: None });
                self.packets.len() - 1
            }
        };
        let packet = &mut self.packets[index];
        let has_overlap = packet.insert(fragment.offset, fragment.payload);
        if !fragment.more_follow {
            packet.end.get_or_insert(end);
        }
        let is_forbidden = (has_overlap && source.is_ipv6()) || packet.pieces.len() > PIECES_MAX;
        if is_forbidden {
            self.packets.remove(index);
            return None;
        }
        let whole = packet.whole()?;
        self.packets.remove(index);
        Some(whole)
    }
}

impl Incomplete {
    /// Adds what is new of a piece; says whether it overlapped another.
    fn insert(&mut self, offset: u32, bytes: &[u8]) -> bool {
        let (mut at, end) = (offset as usize, offset as usize + bytes.len());
        let mut news = Vec::new();
        let mut has_overlap = false;
        for (start, piece) in &self.pieces {
            let (start, stop) = (*start as usize, *start as usize + piece.len());
            if stop <= at || start >= end {
                continue;
            }
            has_overlap = true;
            if start > at {
                news.push((at as u32, bytes[at - offset as usize..start - offset as usize].to_vec()));
            }
            at = at.max(stop);
        }
        if at < end {
            news.push((at as u32, bytes[at - offset as usize..].to_vec()));
        }
        self.pieces.extend(news);
        self.pieces.sort_by_key(|(start, _)| *start);
        has_overlap
    }

    fn whole(&self) -> Option<Vec<u8>> {
        let end = self.end? as usize;
        let mut whole = Vec::new();
        for (start, piece) in &self.pieces {
            if *start as usize != whole.len() {
                return None;
            }
            whole.extend_from_slice(piece);
        }
        (whole.len() >= end).then(|| {
            whole.truncate(end);
            whole
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Puts pieces `(offset, bytes, more_follow)` together.
    fn check(pieces: &[(u32, &[u8], bool)], source: &str, expected: Option<&[u8]>) {
        let mut fragments = Fragments::default();
        let source: IpAddr = source.parse().unwrap();
        let mut whole = None;
        for (offset, payload, more_follow) in pieces {
            let (offset, more_follow) = (*offset, *more_follow);
            let fragment = Fragment { identification: 7, protocol: 17, offset, more_follow, payload };
            whole = whole.or(fragments.add(PacketTime::default(), source, source, &fragment));
        }
        assert_eq!(whole.as_deref(), expected, "{pieces:?}");
    }

    #[test]
    fn pieces_come_in_any_order_and_overlap() {
        check(&[(0, b"12345678", true), (8, b"9", false)], "192.0.2.1", Some(b"123456789"));
        check(&[(8, b"9", false), (0, b"12345678", true)], "192.0.2.1", Some(b"123456789"));
        check(
            &[(8, b"9abcdefg", true), (16, b"h", false), (0, b"12345678XXXX", true)],
            "192.0.2.1",
            Some(b"123456789abcdefgh"),
        );
        check(&[(0, b"12345678", true), (16, b"h", false)], "192.0.2.1", None);
        check(&[(0, b"12345678", true), (8, b"9", false)], "2001:db8::1", Some(b"123456789"));
        check(&[(8, b"9abcdefg", true), (0, b"12345678XXXX", true), (16, b"h", false)], "2001:db8::1", None);
    }

    #[test]
    fn pieces_are_not_waited_for_for_ever_and_not_without_bound() {
        let mut fragments = Fragments::default();
        let source: IpAddr = "192.0.2.1".parse().unwrap();
        for identification in 0..1_000 {
            let fragment =
                Fragment { identification, protocol: 17, offset: 0, more_follow: true, payload: b"12345678" };
            assert_eq!(fragments.add(PacketTime::from_unix_micros(0), source, source, &fragment), None);
        }
        assert_eq!(fragments.packets.len(), PACKETS_MAX);
        let last = Fragment { identification: 999, protocol: 17, offset: 8, more_follow: false, payload: b"9" };
        assert_eq!(fragments.add(PacketTime::from_unix_micros(31_000_000), source, source, &last), None);
        assert_eq!(fragments.packets.len(), 1);
    }
}
