//! What a persona says to a datagram.

use std::net::{IpAddr, SocketAddr};

/// Bytes of an answer in one datagram: what passes through a network of 1,500 bytes in one piece, behind the headers of
/// IPv6 and UDP. Pieces would count as further datagrams on the way to whoever is behind the source.
pub(crate) const DATAGRAM_BYTES_MAX: usize = 1452;

/// Who asks, and how much may be said to them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    /// Where the datagram came from.
    pub(crate) client: SocketAddr,
    /// The address that it came to.
    pub(crate) local: IpAddr,
    /// When, in microseconds since 1970.
    pub(crate) at: i64,
    pub(crate) room: Room,
}

/// How much may be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// Bytes of payload, together.
    pub(crate) bytes: usize,
    pub(crate) datagrams: usize,
}

impl Room {
    pub(crate) const NONE: Self = Self { bytes: 0, datagrams: 0 };

    /// Of a stream, whose client is who it says it is.
    pub(crate) const STREAM: Self = Self { bytes: usize::MAX, datagrams: usize::MAX };

    /// Bytes that the next datagram may have.
    pub(crate) fn next(self) -> usize {
        if self.datagrams == 0 { 0 } else { self.bytes.min(DATAGRAM_BYTES_MAX) }
    }

    /// What is left after a datagram of `bytes`.
    fn without(self, bytes: usize) -> Self {
        Self { bytes: self.bytes.saturating_sub(bytes), datagrams: self.datagrams.saturating_sub(1) }
    }
}

/// What is said to one datagram.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Each is one datagram.
    pub(crate) datagrams: Vec<Vec<u8>>,
    /// Bytes of what a device would have said, where there was no room for it.
    pub(crate) withheld_bytes: usize,
}

impl Answer {
    /// Nothing, as a device would.
    pub(crate) fn silence() -> Self {
        Self::default()
    }

    /// The first of `choices` that there is room for. The first of all is what a device would say; those behind it are
    /// shorter and still valid.
    pub(crate) fn first_fitting(room: Room, choices: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut answer = Self::default();
        for choice in choices {
            if choice.len() <= room.next() {
                answer.datagrams.push(choice);
                break;
            }
            answer.withheld_bytes = answer.withheld_bytes.max(choice.len());
        }
        answer
    }

    /// As many of `datagrams` as there is room for.
    pub(crate) fn all_fitting(mut room: Room, datagrams: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut answer = Self::default();
        for datagram in datagrams {
            if datagram.len() <= room.next() {
                room = room.without(datagram.len());
                answer.datagrams.push(datagram);
            } else {
                answer.withheld_bytes += datagram.len();
            }
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_fits_is_said() {
        let check = |bytes, datagrams, expected: (&[usize], usize)| {
            let choices = [vec![0; 30], vec![0; 20], vec![0; 10]];
            let answer = Answer::first_fitting(Room { bytes, datagrams }, choices);
            let lengths: Vec<usize> = answer.datagrams.iter().map(Vec::len).collect();
            assert_eq!((&lengths[..], answer.withheld_bytes), expected);
        };
        check(30, 1, (&[30], 0));
        check(29, 1, (&[20], 30));
        check(10, 1, (&[10], 30));
        check(9, 1, (&[], 30));
        check(30, 0, (&[], 30));
    }

    #[test]
    fn what_fits_together_is_said() {
        let check = |bytes, datagrams, expected: (usize, usize)| {
            let answer = Answer::all_fitting(Room { bytes, datagrams }, vec![vec![0; 10]; 3]);
            assert_eq!((answer.datagrams.len(), answer.withheld_bytes), expected);
        };
        check(30, 3, (3, 0));
        check(29, 3, (2, 10));
        check(30, 2, (2, 10));
        check(0, 9, (0, 30));
        let too_long = Answer::all_fitting(Room::STREAM, [vec![0; DATAGRAM_BYTES_MAX + 1]]);
        assert_eq!(too_long.withheld_bytes, DATAGRAM_BYTES_MAX + 1);
    }
}
