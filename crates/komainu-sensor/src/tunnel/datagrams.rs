//! Datagrams in a stream: each behind its length, two bytes in network order.

use std::cell::RefCell;
use std::io;

use super::TunnelStream;

/// Bytes of the longest datagram over IPv4 (RFC 768 within RFC 791).
const DATAGRAM_BYTES_MAX: usize = 65_507;

/// Bytes of a length.
const LENGTH_BYTES: usize = 2;

/// Bytes that are read at once.
const READ_BYTES: usize = 16 * 1024;

thread_local! {
    /// A conversation that waits holds no buffer.
    static READ: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// Puts datagrams together again. It holds what one read brought beside one datagram that is not whole.
#[derive(Debug, Default)]
pub(crate) struct DatagramReader {
    bytes: Vec<u8>,
    /// How much of it was given out.
    taken: usize,
}

/// A length that no datagram has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong;

impl DatagramReader {
    /// Takes what came next.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next datagram that is whole.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<u8>>, TooLong> {
        let Some((length, rest)) = self.bytes[self.taken..].split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = usize::from(u16::from_be_bytes(*length));
        if length > DATAGRAM_BYTES_MAX {
            return Err(TooLong);
        }
        let Some(datagram) = rest.get(..length) else { return Ok(None) };
        let datagram = datagram.to_vec();
        self.taken += LENGTH_BYTES + length;
        if self.taken == self.bytes.len() {
            // A conversation that waits holds no buffer.
            *self = Self::default();
        }
        Ok(Some(datagram))
    }
}

/// A conversation in datagrams over a stream.
pub(crate) struct TunnelDatagrams {
    stream: TunnelStream,
    reader: DatagramReader,
}

impl TunnelDatagrams {
    pub(crate) fn new(stream: TunnelStream) -> Self {
        Self { stream, reader: DatagramReader::default() }
    }

    /// The next datagram of the other side; none when it has said everything. May be dropped while it waits.
    pub(crate) async fn receive(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(datagram) = self.reader.next().map_err(|TooLong| io::ErrorKind::InvalidData)? {
                return Ok(Some(datagram));
            }
            self.stream.ready(true, false).await?;
            let read = READ.with_borrow_mut(|buffer| {
                let bytes = self.stream.try_read(buffer)?;
                self.reader.push(&buffer[..bytes]);
                Ok(bytes)
            });
            match read {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if io::Error::kind(&error) == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Says a datagram, whole or not at all: what the tunnel does not take now is lost, as the network may do.
    pub(crate) fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        let length = u16::try_from(datagram.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut bytes = Vec::with_capacity(LENGTH_BYTES + datagram.len());
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(datagram);
        match self.stream.try_write(&bytes) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// The datagrams in `bytes`, which come in pieces of `piece` bytes.
#[cfg(any(test, fuzzing))]
fn read_in(bytes: &[u8], piece: usize) -> (Vec<Vec<u8>>, Result<(), TooLong>) {
    let (mut reader, mut read) = (DatagramReader::default(), Vec::new());
    let outcome = bytes.chunks(piece).try_for_each(|part| {
        reader.push(part);
        while let Some(datagram) = reader.next()? {
            read.push(datagram);
        }
        Ok(())
    });
    (read, outcome)
}

/// Reads any bytes as datagrams: the same in whatever pieces they come.
#[cfg(fuzzing)]
pub(crate) fn check_pieces(bytes: &[u8]) {
    let whole = read_in(bytes, bytes.len().max(1));
    for piece in [1, 2, 3, 7, 64] {
        assert_eq!(read_in(bytes, piece), whole);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: Result<&[&[u8]], TooLong>) {
        for piece in 1..=bytes.len().max(1) {
            let (read, outcome) = read_in(bytes, piece);
            let read: Vec<&[u8]> = read.iter().map(Vec::as_slice).collect();
            assert_eq!(outcome.map(|()| &read[..]), expected, "{piece}");
        }
    }

    #[test]
    fn datagrams_keep_their_bounds() {
        check(b"", Ok(&[]));
        check(b"\0\x03abc\0\0\0\x01d", Ok(&[b"abc", b"", b"d"]));
        check(b"\0\x03ab", Ok(&[]));
        check(b"\0\x01a\xff\xe4", Err(TooLong));
        let mut longest = vec![0xff, 0xe3];
        longest.resize(LENGTH_BYTES + DATAGRAM_BYTES_MAX, 7);
        let mut reader = DatagramReader::default();
        reader.push(&longest);
        assert_eq!(reader.next().unwrap().unwrap().len(), DATAGRAM_BYTES_MAX);
        assert_eq!(reader.bytes.capacity(), 0);
    }
}
