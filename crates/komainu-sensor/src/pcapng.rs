//! Writing pcapng files (draft-ietf-opsawg-pcapng): one section, one interface with Ethernet frames, times in
//! nanoseconds, little-endian. Reading them is the business of `komainu_decode::capture`.

const BLOCK_SECTION: u32 = 0x0A0D_0D0A;
const BLOCK_INTERFACE: u32 = 1;
const BLOCK_ENHANCED_PACKET: u32 = 6;

/// By which a reader knows the byte order (4.1).
const BYTE_ORDER_MAGIC: u32 = 0x1A2B_3C4D;

/// `LINKTYPE_ETHERNET`.
const LINK_TYPE_ETHERNET: u16 = 1;

/// Time stamps count units of 10 to the minus 9 seconds (4.2, `if_tsresol`).
const NANOSECONDS: u8 = 9;

const OPTION_END: u16 = 0;
const OPTION_COMMENT: u16 = 1;
const OPTION_SECTION_APPLICATION: u16 = 4;
const OPTION_INTERFACE_NAME: u16 = 2;
const OPTION_INTERFACE_RESOLUTION: u16 = 9;
const OPTION_PACKET_FLAGS: u16 = 2;
const OPTION_PACKET_DROPPED: u16 = 4;

/// Bytes in front of an option's value.
const OPTION_HEADER_BYTES: usize = 4;

/// A block's type and its length in front, and its length again at its end.
const BLOCK_BYTES_MIN: usize = 12;

/// The longest comment in bytes; the length of an option has 16 bits. What is longer is cut.
const COMMENT_BYTES_MAX: usize = 1_024;

/// A frame as it stands in a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packet<'a> {
    /// When it was seen, in nanoseconds since 1970.
    pub(crate) at_unix_ns: u64,
    /// Which way it went.
    pub(crate) direction: Direction,
    /// Its bytes, as far as they were captured.
    pub(crate) bytes: &'a [u8],
    /// How many it had.
    pub(crate) wire_bytes: u32,
    /// Frames that were lost between the one before and this one.
    pub(crate) dropped_before: u64,
}

/// Which way a frame went at an interface (4.3.1, `epb_flags`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Nobody said.
    Unknown,
    /// It came in.
    Inbound,
    /// It went out.
    Outbound,
}

impl Direction {
    const fn flags(self) -> u32 {
        match self {
            Self::Unknown => 0,
            Self::Inbound => 1,
            Self::Outbound => 2,
        }
    }
}

/// How a file begins: its section and its interface.
pub(crate) fn beginning(interface: &str, comment: Option<&str>) -> Vec<u8> {
    let mut file = Vec::with_capacity(256);
    block(&mut file, BLOCK_SECTION, |body| {
        body.extend_from_slice(&BYTE_ORDER_MAGIC.to_le_bytes());
        // Version 1.0; how long the section is, is not known.
        body.extend_from_slice(&[1, 0, 0, 0]);
        body.extend_from_slice(&(-1i64).to_le_bytes());
        if let Some(comment) = comment {
            option(body, OPTION_COMMENT, cut(comment));
        }
        option(body, OPTION_SECTION_APPLICATION, concat!("komainu ", env!("CARGO_PKG_VERSION")).as_bytes());
        option(body, OPTION_END, &[]);
    });
    block(&mut file, BLOCK_INTERFACE, |body| {
        body.extend_from_slice(&LINK_TYPE_ETHERNET.to_le_bytes());
        body.extend_from_slice(&[0, 0]);
        // No bound on the length of frames is promised.
        body.extend_from_slice(&0u32.to_le_bytes());
        option(body, OPTION_INTERFACE_NAME, interface.as_bytes());
        option(body, OPTION_INTERFACE_RESOLUTION, &[NANOSECONDS]);
        option(body, OPTION_END, &[]);
    });
    file
}

/// Appends the block of a frame.
pub(crate) fn add_packet(to: &mut Vec<u8>, packet: &Packet<'_>) {
    block(to, BLOCK_ENHANCED_PACKET, |body| {
        body.extend_from_slice(&0u32.to_le_bytes());
        let [high, low] = [packet.at_unix_ns >> 32, packet.at_unix_ns & 0xFFFF_FFFF].map(|half| half as u32);
        body.extend_from_slice(&high.to_le_bytes());
        body.extend_from_slice(&low.to_le_bytes());
        body.extend_from_slice(&(packet.bytes.len() as u32).to_le_bytes());
        body.extend_from_slice(&packet.wire_bytes.to_le_bytes());
        body.extend_from_slice(packet.bytes);
        pad(body, packet.bytes.len());
        option(body, OPTION_PACKET_FLAGS, &packet.direction.flags().to_le_bytes());
        if packet.dropped_before > 0 {
            option(body, OPTION_PACKET_DROPPED, &packet.dropped_before.to_le_bytes());
        }
        option(body, OPTION_END, &[]);
    });
}

/// How long the block of a frame is.
pub(crate) fn packet_bytes(packet: &Packet<'_>) -> usize {
    const FIELDS_BYTES: usize = 20;
    const FLAGS_BYTES: usize = OPTION_HEADER_BYTES + 4;
    let dropped_bytes = if packet.dropped_before > 0 { OPTION_HEADER_BYTES + 8 } else { 0 };
    let options_bytes = FLAGS_BYTES + dropped_bytes + OPTION_HEADER_BYTES;
    BLOCK_BYTES_MIN + FIELDS_BYTES + packet.bytes.len().next_multiple_of(4) + options_bytes
}

/// Whether bytes are one block of a frame as [`add_packet`] made it, by its type and both of its lengths.
pub(crate) fn is_packet(block: &[u8]) -> bool {
    block.len() >= BLOCK_BYTES_MIN + OPTION_HEADER_BYTES
        && block.starts_with(&BLOCK_ENHANCED_PACKET.to_le_bytes())
        && block_bytes(block) == Some(block.len())
        && block.ends_with(&(block.len() as u32).to_le_bytes())
}

/// Appends a block that [`is_packet`], with a comment.
pub(crate) fn add_commented(to: &mut Vec<u8>, packet: &[u8], comment: &str) {
    // The end of the options and the length come last.
    let Some(body) = packet.get(8..packet.len() - 4 - OPTION_HEADER_BYTES) else { return };
    block(to, BLOCK_ENHANCED_PACKET, |to| {
        to.extend_from_slice(body);
        option(to, OPTION_COMMENT, cut(comment));
        option(to, OPTION_END, &[]);
    });
}

/// How many bytes of a file are whole blocks: where it was torn, if it was.
pub(crate) fn whole_bytes(file: &[u8]) -> usize {
    let mut whole = 0;
    while let Some(bytes) = file.get(whole..).and_then(block_bytes) {
        let Some(block) = file.get(whole..whole.saturating_add(bytes)) else { break };
        if bytes < BLOCK_BYTES_MIN || !block.ends_with(&(bytes as u32).to_le_bytes()) {
            break;
        }
        whole += bytes;
    }
    whole
}

/// The length that stands in front of a block.
fn block_bytes(block: &[u8]) -> Option<usize> {
    let (_, rest) = block.split_first_chunk::<4>()?;
    rest.first_chunk::<4>().map(|length| u32::from_le_bytes(*length) as usize)
}

fn block(to: &mut Vec<u8>, kind: u32, fill: impl FnOnce(&mut Vec<u8>)) {
    let begin = to.len();
    to.extend_from_slice(&kind.to_le_bytes());
    to.extend_from_slice(&[0; 4]);
    fill(to);
    let length = ((to.len() - begin + 4) as u32).to_le_bytes();
    to[begin + 4..begin + 8].copy_from_slice(&length);
    to.extend_from_slice(&length);
}

fn option(to: &mut Vec<u8>, code: u16, value: &[u8]) {
    to.extend_from_slice(&code.to_le_bytes());
    to.extend_from_slice(&(value.len() as u16).to_le_bytes());
    to.extend_from_slice(value);
    pad(to, value.len());
}

/// Fills up to a multiple of four bytes.
fn pad(to: &mut Vec<u8>, bytes: usize) {
    to.extend_from_slice(&[0; 3][..bytes.next_multiple_of(4) - bytes]);
}

fn cut(comment: &str) -> &[u8] {
    &comment.as_bytes()[..comment.floor_char_boundary(COMMENT_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use komainu_decode::capture::{CaptureReader, Next};

    use super::*;

    fn packet(bytes: &[u8], dropped_before: u64) -> Packet<'_> {
        Packet {
            at_unix_ns: 1_795_568_523_000_004_321,
            direction: Direction::Inbound,
            bytes,
            wire_bytes: bytes.len() as u32 + 5,
            dropped_before,
        }
    }

    /// The frames of a file and their times, as our own reader has them.
    fn frames(file: &[u8]) -> Vec<(i64, Vec<u8>)> {
        let (mut reader, mut at, mut frames) = (CaptureReader::default(), 0, Vec::new());
        loop {
            match reader.next(&file[at..]).unwrap() {
                Next::Frame { frame, used } => {
                    frames.push((frame.at.unix_micros(), frame.bytes.to_vec()));
                    at += used;
                }
                Next::Other { used } => at += used,
                Next::More { .. } => {
                    assert_eq!(at, file.len(), "the file is read to its end");
                    return frames;
                }
            }
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for bytes in [&b""[..], b"1", b"22", b"333", b"4444", b"55555"] {
            for dropped in [0, 7] {
                let mut file = beginning("s1", Some("why it was kept"));
                let before = file.len();
                add_packet(&mut file, &packet(bytes, dropped));
                let block = file[before..].to_vec();
                assert_eq!(block.len(), packet_bytes(&packet(bytes, dropped)));
                assert!(is_packet(&block));
                assert!(!is_packet(&block[..block.len() - 1]));
                add_commented(&mut file, &block, "a session");
                let expected = (1_795_568_523_000_004, bytes.to_vec());
                assert_eq!(frames(&file), [expected.clone(), expected]);
                assert_eq!(whole_bytes(&file), file.len());
            }
        }
    }

    #[test]
    fn a_torn_file_is_whole_up_to_its_last_whole_block() {
        let mut file = beginning("s1", None);
        let begin = file.len();
        add_packet(&mut file, &packet(b"first", 0));
        let first = file.len();
        add_packet(&mut file, &packet(b"second", 0));
        for bytes in 0..file.len() {
            let whole = whole_bytes(&file[..bytes]);
            let expected = [first, begin].into_iter().find(|end| *end <= bytes);
            match expected {
                Some(end) => assert_eq!(whole, end, "{bytes}"),
                None => assert!(whole <= bytes, "{bytes}"),
            }
        }
        file[first + 4..first + 8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(whole_bytes(&file), first, "a length that cannot be");
        file[first + 4..first + 8].copy_from_slice(&[0; 4]);
        assert_eq!(whole_bytes(&file), first, "a block that does not go on");
    }

    #[test]
    fn a_comment_has_an_end() {
        let comment = "ä".repeat(COMMENT_BYTES_MAX);
        assert_eq!(cut(&comment).len(), COMMENT_BYTES_MAX);
        assert_eq!(cut(&format!("x{comment}")).len(), COMMENT_BYTES_MAX - 1, "no letter is cut in two");
        assert!(frames(&beginning("s1", Some(&comment))).is_empty());
    }
}
