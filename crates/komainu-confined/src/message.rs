//! Messages between the two sides: a kind in one byte, the number of bytes in four, big-endian, and the bytes.

use std::io::{self, Read, Write};

/// Sends a message; its bytes are the parts one after the other.
pub fn send(to: &mut impl Write, kind: u8, parts: &[&[u8]]) -> io::Result<()> {
    let bytes: usize = parts.iter().map(|part| part.len()).sum();
    let bytes =
        u32::try_from(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a message is too long"))?;
    let [a, b, c, d] = bytes.to_be_bytes();
    to.write_all(&[kind, a, b, c, d])?;
    parts.iter().try_for_each(|part| to.write_all(part))
}

/// Receives a message of at most `bytes_max` bytes; none when there are no more.
pub fn receive(from: &mut impl Read, bytes_max: usize) -> io::Result<Option<(u8, Vec<u8>)>> {
    let mut head = [0; 5];
    // The first byte by itself: an end between two messages is no error.
    if from.read(&mut head[..1])? == 0 {
        return Ok(None);
    }
    from.read_exact(&mut head[1..])?;
    let [kind, a, b, c, d] = head;
    let bytes = u32::from_be_bytes([a, b, c, d]) as usize;
    if bytes > bytes_max {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message that is too long"));
    }
    let mut contents = Vec::new();
    from.take(bytes as u64).read_to_end(&mut contents)?;
    if contents.len() < bytes {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some((kind, contents)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_as_they_were() {
        for kind in [0, 1, 255] {
            let mut sent = Vec::new();
            send(&mut sent, kind, &[b"one", b"", b" two"]).unwrap();
            let mut rest = &sent[..];
            assert_eq!(receive(&mut rest, 7).unwrap(), Some((kind, b"one two".to_vec())));
            assert_eq!(receive(&mut rest, 7).unwrap(), None);
            assert!(receive(&mut &sent[..], 6).is_err(), "a bound");
            for cut in 1..sent.len() {
                assert!(receive(&mut &sent[..cut], 7).is_err(), "cut at {cut}");
            }
        }
    }
}
