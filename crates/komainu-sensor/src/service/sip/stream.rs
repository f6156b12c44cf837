//! Messages in a stream: a head up to an empty line, and a body that is skipped (RFC 3261, 18.3).

/// Bytes of a head. What is longer ends the connection.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Bytes of a body. A description of streams has some hundred; what is longer ends the connection.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// What a client said and nobody has taken.
#[derive(Debug, Default)]
pub(super) struct Messages {
    bytes: Vec<u8>,
    /// How many of them were searched for the end of a head.
    searched: usize,
    /// Bytes of a body that are skipped when they come.
    skip: usize,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// The head of a message.
    Message(Vec<u8>),
    /// Two line ends, which are answered with one (RFC 5626, 4.4.1).
    KeepAlive,
    /// More has to come.
    Nothing,
    TooLong,
}

impl Messages {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        self.bytes.extend_from_slice(&bytes[skipped..]);
    }

    pub(super) fn take(&mut self) -> Taken {
        if self.bytes.starts_with(b"\r\n\r\n") {
            self.drop_first(4);
            return Taken::KeepAlive;
        }
        let blank = self.bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        // Line ends alone may become a sign of life.
        if blank == self.bytes.len() && blank < 4 {
            return Taken::Nothing;
        }
        self.drop_first(blank);
        match self.head_end() {
            Some(end) if end <= HEAD_BYTES_MAX => {
                let head = self.bytes[..end].to_vec();
                let body = body_bytes(&head);
                if body > BODY_BYTES_MAX {
                    return Taken::TooLong;
                }
                let here = body.min(self.bytes.len() - end);
                self.skip = body - here;
                self.drop_first(end + here);
                Taken::Message(head)
            }
            Some(_) => Taken::TooLong,
            None if self.bytes.len() > HEAD_BYTES_MAX => Taken::TooLong,
            None => Taken::Nothing,
        }
    }

    fn drop_first(&mut self, bytes: usize) {
        self.bytes.drain(..bytes);
        self.searched = self.searched.saturating_sub(bytes);
    }

    /// Where the head ends, with its empty line.
    fn head_end(&mut self) -> Option<usize> {
        // The beginning of the empty line may be there already.
        let from = self.searched.saturating_sub(3);
        for (at, byte) in self.bytes.iter().enumerate().skip(from) {
            if *byte == b'\n' {
                match self.bytes.get(at + 1..) {
                    Some([b'\n', ..]) => return Some(at + 2),
                    Some([b'\r', b'\n', ..]) => return Some(at + 3),
                    Some(_) | None => {}
                }
            }
        }
        self.searched = self.bytes.len();
        None
    }
}

/// What `Content-Length` says; 0 without it.
fn body_bytes(head: &[u8]) -> usize {
    let mut lengths = head.split(|byte| *byte == b'\n').filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = line[..colon].trim_ascii();
        let is_length = name.eq_ignore_ascii_case(b"content-length") || name.eq_ignore_ascii_case(b"l");
        let value = std::str::from_utf8(&line[colon + 1..]).ok()?.trim();
        is_length.then(|| value.parse::<usize>().unwrap_or(0))
    });
    lengths.next().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(said: &str, expected: &[Taken]) {
        for piece in [1, 2, 3, said.len().max(1)] {
            let mut messages = Messages::default();
            let mut taken = Vec::new();
            for bytes in said.as_bytes().chunks(piece) {
                messages.add(bytes);
                loop {
                    match messages.take() {
                        Taken::Nothing => break,
                        one => taken.push(one),
                    }
                    if taken.last() == Some(&Taken::TooLong) {
                        break;
                    }
                }
            }
            assert_eq!(taken, expected, "{said:?} in pieces of {piece}");
        }
    }

    fn message(head: &str) -> Taken {
        Taken::Message(head.as_bytes().to_vec())
    }

    #[test]
    fn messages_are_told_apart() {
        check("A a SIP/2.0\r\n\r\n", &[message("A a SIP/2.0\r\n\r\n")]);
        check("A\n\nB\r\nx: y\r\n\r\n", &[message("A\n\n"), message("B\r\nx: y\r\n\r\n")]);
        check("A\r\nl: 4\r\n\r\nbodyB\r\n\r\n", &[message("A\r\nl: 4\r\n\r\n"), message("B\r\n\r\n")]);
        check("\r\n\r\n", &[Taken::KeepAlive]);
        check("A\r\nContent-Length: 99999\r\n\r\n", &[Taken::TooLong]);
        check("A\r\nno end", &[]);
    }

    #[test]
    fn a_head_has_a_bound() {
        let mut messages = Messages::default();
        messages.add(&[b'a'; HEAD_BYTES_MAX]);
        assert_eq!(messages.take(), Taken::Nothing);
        messages.add(b"a");
        assert_eq!(messages.take(), Taken::TooLong);
    }
}
