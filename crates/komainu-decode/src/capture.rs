//! Capture files: pcap and pcapng.
//!
//! The reader is given bytes of a file, in pieces of any size, and says what the next record is and how many bytes it
//! took. It keeps no frame. Formats: the pcap and pcapng descriptions of the IETF's opsawg group (draft-ietf-opsawg-pcap,
//! draft-ietf-opsawg-pcapng); both byte orders, microseconds and nanoseconds.

use crate::packet::LinkType;

/// The longest frame that is read, in bytes: the largest snapshot length that capture programs use.
pub const FRAME_BYTES_MAX: usize = 256 * 1024;
/// The longest block of a pcapng file that is looked at, in bytes: a frame with its options.
const BLOCK_BYTES_MAX: usize = FRAME_BYTES_MAX + 64 * 1024;
/// The most interfaces of a pcapng section: bounds the memory of a hostile file.
const INTERFACES_MAX: usize = 1_024;

const PCAP_HEADER_BYTES: usize = 24;
const RECORD_HEADER_BYTES: usize = 16;

const BLOCK_SECTION: u32 = 0x0A0D_0D0A;
const BLOCK_INTERFACE: u32 = 1;
const BLOCK_PACKET_OBSOLETE: u32 = 2;
const BLOCK_SIMPLE_PACKET: u32 = 3;
const BLOCK_ENHANCED_PACKET: u32 = 6;

const OPTION_TIME_RESOLUTION: u16 = 9;
const OPTION_TIME_OFFSET: u16 = 14;

/// A point in time as captures have it: microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PacketTime(i64);

impl PacketTime {
    /// The point `micros` microseconds after the Unix epoch.
    pub const fn from_unix_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    pub const fn unix_micros(self) -> i64 {
        self.0
    }

    /// Microseconds from `earlier` to this point; 0 when it is not later.
    pub const fn micros_since(self, earlier: Self) -> u64 {
        let micros = self.0.saturating_sub(earlier.0);
        if micros > 0 { micros.unsigned_abs() } else { 0 }
    }
}

/// A frame as a capture has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// When it was seen.
    pub at: PacketTime,
    /// How it begins; none when this link layer cannot be read.
    pub link: Option<LinkType>,
    /// Its bytes, as far as they were captured.
    pub bytes: &'a [u8],
}

/// What comes next in a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next<'a> {
    /// A frame, which took `used` bytes of the file.
    Frame {
        /// The frame.
        frame: Frame<'a>,
        /// Bytes of the file.
        used: usize,
    },
    /// Something else of the format, which took `used` bytes of the file.
    Other {
        /// Bytes of the file.
        used: usize,
    },
    /// The record is not whole yet; `bytes` are needed from here, as far as is known.
    More {
        /// Bytes of the file.
        bytes: usize,
    },
}

/// Why a capture cannot be read (further).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CaptureError {
    /// It does not begin as a capture does.
    #[error("not a capture file: neither pcap nor pcapng (it begins with {0:02x?})")]
    NotACapture([u8; 4]),
    /// A record is longer than any frame.
    #[error("record of {bytes} bytes, at most {FRAME_BYTES_MAX} can be: the file is damaged")]
    TooLong {
        /// How long it says it is.
        bytes: u64,
    },
    /// A block contradicts itself.
    #[error("{0} of the capture is damaged")]
    Damaged(&'static str),
}

/// Reads a capture file.
#[derive(Debug, Default)]
pub struct CaptureReader {
    format: Format,
}

#[derive(Debug, Default)]
enum Format {
    #[default]
    Unknown,
    Pcap {
        order: Order,
        is_nanoseconds: bool,
        link: Option<LinkType>,
    },
    PcapNg {
        order: Order,
        interfaces: Vec<Interface>,
    },
}

#[derive(Debug, Clone, Copy)]
enum Order {
    Big,
    Little,
}

#[derive(Debug, Clone, Copy)]
struct Interface {
    link: Option<LinkType>,
    /// Time stamps in a second.
    ticks_per_s: u64,
    offset_s: i64,
    snapshot_bytes: u32,
}

impl CaptureReader {
    /// Reads the record in front of `bytes`.
    pub fn next<'a>(&mut self, bytes: &'a [u8]) -> Result<Next<'a>, CaptureError> {
        match &mut self.format {
            Format::Unknown => self.header(bytes),
            Format::Pcap { order, is_nanoseconds, link } => pcap_record(bytes, *order, *is_nanoseconds, *link),
            Format::PcapNg { order, interfaces } => block(bytes, order, interfaces),
        }
    }

    fn header<'a>(&mut self, bytes: &'a [u8]) -> Result<Next<'a>, CaptureError> {
        let Some(magic) = bytes.first_chunk::<4>() else { return Ok(Next::More { bytes: 4 }) };
        let (order, is_nanoseconds) = match magic {
            [0xA1, 0xB2, 0xC3, 0xD4] => (Order::Big, false),
            [0xD4, 0xC3, 0xB2, 0xA1] => (Order::Little, false),
            [0xA1, 0xB2, 0x3C, 0x4D] => (Order::Big, true),
            [0x4D, 0x3C, 0xB2, 0xA1] => (Order::Little, true),
            [0x0A, 0x0D, 0x0D, 0x0A] => {
                // The section header says its byte order itself.
                self.format = Format::PcapNg { order: Order::Little, interfaces: Vec::new() };
                return self.next(bytes);
            }
            _ => return Err(CaptureError::NotACapture(*magic)),
        };
        let Some(header) = bytes.first_chunk::<PCAP_HEADER_BYTES>() else {
            return Ok(Next::More { bytes: PCAP_HEADER_BYTES });
        };
        // The upper bits of the link type say how long the frame check sequence is.
        let link = LinkType::from_number(order.u32(header, 20) & 0xFFFF);
        self.format = Format::Pcap { order, is_nanoseconds, link };
        Ok(Next::Other { used: PCAP_HEADER_BYTES })
    }
}

fn pcap_record(
    bytes: &[u8],
    order: Order,
    is_nanoseconds: bool,
    link: Option<LinkType>,
) -> Result<Next<'_>, CaptureError> {
    let Some(header) = bytes.first_chunk::<RECORD_HEADER_BYTES>() else {
        return Ok(Next::More { bytes: RECORD_HEADER_BYTES });
    };
    let (seconds, fraction) = (order.u32(header, 0), order.u32(header, 4));
    let frame_bytes = order.u32(header, 8) as usize;
    if frame_bytes > FRAME_BYTES_MAX {
        return Err(CaptureError::TooLong { bytes: frame_bytes as u64 });
    }
    let used = RECORD_HEADER_BYTES + frame_bytes;
    let Some(frame) = bytes.get(RECORD_HEADER_BYTES..used) else { return Ok(Next::More { bytes: used }) };
    let micros = if is_nanoseconds { fraction / 1_000 } else { fraction };
    let at = PacketTime(i64::from(seconds) * 1_000_000 + i64::from(micros));
    Ok(Next::Frame { frame: Frame { at, link, bytes: frame }, used })
}

fn block<'a>(bytes: &'a [u8], order: &mut Order, interfaces: &mut Vec<Interface>) -> Result<Next<'a>, CaptureError> {
    let Some(head) = bytes.first_chunk::<12>() else { return Ok(Next::More { bytes: 12 }) };
    if head[..4] == BLOCK_SECTION.to_be_bytes() {
        *order = match &head[8..] {
            [0x1A, 0x2B, 0x3C, 0x4D] => Order::Big,
            [0x4D, 0x3C, 0x2B, 0x1A] => Order::Little,
            _ => return Err(CaptureError::Damaged("section header")),
        };
        interfaces.clear();
    }
    let kind = order.u32(head, 0);
    let used = order.u32(head, 4) as usize;
    if used < 12 || !used.is_multiple_of(4) {
        return Err(CaptureError::Damaged("length of a block"));
    }
    if used > BLOCK_BYTES_MAX {
        return Err(CaptureError::TooLong { bytes: used as u64 });
    }
    let Some(whole) = bytes.get(..used) else { return Ok(Next::More { bytes: used }) };
    let body = &whole[8..used - 4];
    let frame = match kind {
        BLOCK_INTERFACE => {
            if interfaces.len() == INTERFACES_MAX {
                return Err(CaptureError::Damaged("list of interfaces"));
            }
            interfaces.push(interface(body, *order)?);
            None
        }
        BLOCK_ENHANCED_PACKET => Some(packet(body, *order, interfaces, |body| order.u32(body, 0))?),
        BLOCK_PACKET_OBSOLETE => Some(packet(body, *order, interfaces, |body| u32::from(order.u16(body, 0)))?),
        BLOCK_SIMPLE_PACKET => Some(simple_packet(body, *order, interfaces)?),
        _ => None,
    };
    Ok(match frame {
        Some(frame) => Next::Frame { frame, used },
        None => Next::Other { used },
    })
}

fn interface(body: &[u8], order: Order) -> Result<Interface, CaptureError> {
    let Some((head, mut options)) = body.split_first_chunk::<8>() else {
        return Err(CaptureError::Damaged("description of an interface"));
    };
    let mut interface = Interface {
        link: LinkType::from_number(u32::from(order.u16(head, 0))),
        ticks_per_s: 1_000_000,
        offset_s: 0,
        snapshot_bytes: order.u32(head, 4),
    };
    while let Some((option, rest)) = options.split_first_chunk::<4>() {
        let (code, value_bytes) = (order.u16(option, 0), usize::from(order.u16(option, 2)));
        let Some(value) = rest.get(..value_bytes) else { break };
        match (code, value) {
            (0, _) => break,
            (OPTION_TIME_RESOLUTION, [resolution]) => {
                let exponent = u32::from(resolution & 0x7F);
                let ticks =
                    if resolution & 0x80 == 0 { 10u64.checked_pow(exponent) } else { 2u64.checked_pow(exponent) };
                interface.ticks_per_s = ticks.ok_or(CaptureError::Damaged("time resolution of an interface"))?;
            }
            (OPTION_TIME_OFFSET, value) => {
                if let Ok(value) = <[u8; 8]>::try_from(value) {
                    interface.offset_s = match order {
                        Order::Big => i64::from_be_bytes(value),
                        Order::Little => i64::from_le_bytes(value),
                    };
                }
            }
            _ => {}
        }
        options = rest.get(value_bytes.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(interface)
}

fn packet<'a>(
    body: &'a [u8],
    order: Order,
    interfaces: &[Interface],
    interface_of: impl Fn(&[u8; 20]) -> u32,
) -> Result<Frame<'a>, CaptureError> {
    let Some((head, rest)) = body.split_first_chunk::<20>() else { return Err(CaptureError::Damaged("packet block")) };
    let interface =
        interfaces.get(interface_of(head) as usize).ok_or(CaptureError::Damaged("interface number of a packet"))?;
    let bytes = rest.get(..order.u32(head, 12) as usize).ok_or(CaptureError::Damaged("length of a packet"))?;
    let ticks = u64::from(order.u32(head, 4)) << 32 | u64::from(order.u32(head, 8));
    let micros = u128::from(ticks) * 1_000_000 / u128::from(interface.ticks_per_s.max(1));
    let micros = i64::try_from(micros).unwrap_or(i64::MAX).saturating_add(interface.offset_s.saturating_mul(1_000_000));
    Ok(Frame { at: PacketTime(micros), link: interface.link, bytes })
}

/// A packet without a time: as if all were seen at the beginning of time.
fn simple_packet<'a>(body: &'a [u8], order: Order, interfaces: &[Interface]) -> Result<Frame<'a>, CaptureError> {
    let Some((head, rest)) = body.split_first_chunk::<4>() else { return Err(CaptureError::Damaged("packet block")) };
    let interface = interfaces.first().ok_or(CaptureError::Damaged("interface number of a packet"))?;
    let mut wire_bytes = order.u32(head, 0) as usize;
    if interface.snapshot_bytes > 0 {
        wire_bytes = wire_bytes.min(interface.snapshot_bytes as usize);
    }
    Ok(Frame { at: PacketTime(0), link: interface.link, bytes: &rest[..rest.len().min(wire_bytes)] })
}

impl Order {
    /// Four bytes of a header. The header has them.
    fn u32<const N: usize>(self, header: &[u8; N], at: usize) -> u32 {
        let bytes = [header[at], header[at + 1], header[at + 2], header[at + 3]];
        match self {
            Self::Big => u32::from_be_bytes(bytes),
            Self::Little => u32::from_le_bytes(bytes),
        }
    }

    /// Two bytes of a header. The header has them.
    fn u16<const N: usize>(self, header: &[u8; N], at: usize) -> u16 {
        let bytes = [header[at], header[at + 1]];
        match self {
            Self::Big => u16::from_be_bytes(bytes),
            Self::Little => u16::from_le_bytes(bytes),
        }
    }
}
