//! Answers to questions for names (RFC 1035): the least that a device's resolver understands.

use std::net::Ipv4Addr;

/// Bytes of a name as it is shown: RFC 1035, 2.3.4, without the last dot.
const NAME_BYTES_MAX: usize = 253;

/// Seconds for which an answer may be kept: short, so that a device asks again when its maker's cloud moves.
const TTL_S: u32 = 60;

/// Addresses of one answer, so that it fits into 512 bytes (RFC 1035, 2.3.4).
const ADDRESSES_MAX: usize = 8;

const HEADER_BYTES: usize = 12;
const CLASS_IN: u16 = 1;
const TYPE_A: u16 = 1;

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question<'a> {
    /// The name, in lower case, labels joined by dots. Other bytes than those of host names are shown as `?`.
    pub(crate) name: String,
    kind: u16,
    class: u16,
    id: [u8; 2],
    wants_recursion: bool,
    /// The question as it was asked.
    section: &'a [u8],
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The name is there.
    At(Vec<Ipv4Addr>),
    /// It is not known yet; ask again.
    NotYet,
}

/// Reads a question; none when it is no query with one question.
pub(crate) fn question(datagram: &[u8]) -> Option<Question<'_>> {
    let header = datagram.first_chunk::<HEADER_BYTES>()?;
    let (flags, questions) = (u16::from_be_bytes([header[2], header[3]]), u16::from_be_bytes([header[4], header[5]]));
    let (is_answer, operation) = (flags & 0x8000 != 0, (flags >> 11) & 0xF);
    if is_answer || operation != 0 || questions != 1 {
        return None;
    }
    let (mut name, mut at) = (String::new(), HEADER_BYTES);
    loop {
        let length = usize::from(*datagram.get(at)?);
        at += 1;
        match length {
            0 => break,
            // Nothing comes before a question that it could point to.
            64.. => return None,
            _ => {}
        }
        let label = datagram.get(at..at + length)?;
        at += length;
        if !name.is_empty() {
            name.push('.');
        }
        name.extend(label.iter().map(|byte| shown(*byte)));
        if name.len() > NAME_BYTES_MAX {
            return None;
        }
    }
    let rest = datagram.get(at..at + 4)?;
    Some(Question {
        name,
        kind: u16::from_be_bytes([rest[0], rest[1]]),
        class: u16::from_be_bytes([rest[2], rest[3]]),
        id: [header[0], header[1]],
        wants_recursion: flags & 0x0100 != 0,
        section: &datagram[HEADER_BYTES..at + 4],
    })
}

fn shown(byte: u8) -> char {
    let byte = byte.to_ascii_lowercase();
    if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') { char::from(byte) } else { '?' }
}

/// The datagram that answers a question. Other questions than for IPv4 addresses are answered with nothing.
pub(crate) fn answer(question: &Question<'_>, answer: &Answer) -> Vec<u8> {
    let is_for_address = (question.kind, question.class) == (TYPE_A, CLASS_IN);
    let (addresses, code) = match answer {
        Answer::At(addresses) if is_for_address => (addresses.as_slice(), 0),
        Answer::At(_) => (&[][..], 0),
        Answer::NotYet => (&[][..], 2),
    };
    let addresses = &addresses[..addresses.len().min(ADDRESSES_MAX)];
    let recursion: u16 = if question.wants_recursion { 0x0100 } else { 0 };
    let flags = 0x8000 | recursion | 0x0080 | code;
    let mut datagram = Vec::with_capacity(HEADER_BYTES + question.section.len() + addresses.len() * 16);
    datagram.extend(question.id);
    for number in [flags, 1, addresses.len() as u16, 0, 0] {
        datagram.extend(number.to_be_bytes());
    }
    datagram.extend(question.section);
    for address in addresses {
        // The name is where the question has it.
        datagram.extend([0xC0, HEADER_BYTES as u8]);
        datagram.extend(TYPE_A.to_be_bytes());
        datagram.extend(CLASS_IN.to_be_bytes());
        datagram.extend(TTL_S.to_be_bytes());
        datagram.extend(4_u16.to_be_bytes());
        datagram.extend(address.octets());
    }
    datagram
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ASKED: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x05Cloud\x07example\x03com\0\0\x01\0\x01";

    #[test]
    fn names_are_answered() {
        let asked = question(ASKED).unwrap();
        assert_eq!(asked.name, "cloud.example.com");
        let answered = answer(&asked, &Answer::At(vec![Ipv4Addr::new(192, 0, 2, 53)]));
        let mut expected = b"\x12\x34\x81\x80\0\x01\0\x01\0\0\0\0\x05Cloud\x07example\x03com\0\0\x01\0\x01".to_vec();
        expected.extend(b"\xC0\x0C\0\x01\0\x01\0\0\0\x3C\0\x04\xC0\0\x02\x35");
        assert_eq!(answered, expected);
        assert_eq!(answer(&asked, &Answer::NotYet)[3] & 0xF, 2);
        let many = answer(&asked, &Answer::At(vec![Ipv4Addr::LOCALHOST; 100]));
        assert!(many.len() <= 512);
    }

    #[test]
    fn other_records_are_not_there() {
        let mut asked = ASKED.to_vec();
        let at = asked.len() - 3;
        asked[at] = 28;
        let asked = question(&asked).unwrap();
        let answered = answer(&asked, &Answer::At(vec![Ipv4Addr::LOCALHOST]));
        assert_eq!((&answered[6..8], answered.len()), (&b"\0\0"[..], ASKED.len()));
    }

    #[test]
    fn what_is_no_question_is_not_answered() {
        let check = |change: fn(&mut Vec<u8>)| {
            let mut asked = ASKED.to_vec();
            change(&mut asked);
            assert_eq!(question(&asked), None);
        };
        check(|asked| asked[2] |= 0x80);
        check(|asked| asked[2] |= 0x10);
        check(|asked| asked[5] = 2);
        check(|asked| asked[12] = 0xC0);
        check(|asked| asked.truncate(30));
        check(|asked| *asked = [&ASKED[..12], &[1, b'a'].repeat(200), &[0, 0, 1, 0, 1]].concat());
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(datagram in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Some(asked) = question(&datagram) {
                let answered = answer(&asked, &Answer::At(vec![Ipv4Addr::LOCALHOST]));
                prop_assert!(answered.len() <= datagram.len() + 16);
            }
        }
    }
}
