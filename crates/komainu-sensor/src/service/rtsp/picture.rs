//! What the camera sees: a grey picture, as through a lens cap, in H.264 (ITU-T H.264).
//!
//! The Baseline profile with nothing in it: each macroblock of the first picture is predicted from its neighbours and
//! has no remainder, which is one byte; in the pictures after it, each is the same as before, which is one number.

/// Pictures between two that stand for themselves: two seconds.
pub(super) const GROUP: u32 = 10;

/// A picture of so many macroblocks; each is a square of 16 samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Picture {
    width: u32,
    height: u32,
}

/// Writes numbers bit by bit.
#[derive(Debug, Default)]
struct Bits {
    bytes: Vec<u8>,
    /// Bits of the last byte that are used; 0 when it is full.
    used: u8,
}

impl Picture {
    /// 640 by 480 samples, within level 3.
    pub(super) const VGA: Self = Self { width: 40, height: 30 };

    /// The sequence parameter set (7.3.2.1.1).
    pub(super) fn sequence_parameters(self) -> Vec<u8> {
        let mut bits = Bits::default();
        // Profile 66, also decodable as Main, level 3.0.
        for byte in [66, 0xC0, 30] {
            bits.push(8, byte);
        }
        // The set's number; frame numbers have 4 bits; pictures are shown as they come (type 2); one is referred to.
        for number in [0, 0, 2, 1] {
            bits.number(number);
        }
        bits.push(1, 0);
        bits.number(self.width - 1);
        bits.number(self.height - 1);
        // Frames, 8 by 8 inference; neither cropping nor usability information.
        bits.push(4, 0b1100);
        bits.unit(0x67)
    }

    /// The picture parameter set (7.3.2.2).
    pub(super) fn picture_parameters() -> Vec<u8> {
        let mut bits = Bits::default();
        bits.number(0);
        bits.number(0);
        // Variable length codes, one field order.
        bits.push(2, 0);
        for number in [0, 0, 0] {
            bits.number(number);
        }
        // No weights; quantizers as they are by default: three signed zeros; no further flags.
        bits.push(3, 0);
        for number in [0, 0, 0] {
            bits.number(number);
        }
        bits.push(3, 0);
        bits.unit(0x68)
    }

    /// The picture with this number in a stream, from 0.
    pub(super) fn frame(self, number: u32) -> Vec<u8> {
        let frame_number = number % GROUP;
        let mut bits = Bits::default();
        bits.number(0);
        if frame_number == 0 {
            // A slice of type I (7.3.3); its group's number; two flags of marking; the quantizer.
            bits.number(7);
            bits.number(0);
            bits.push(4, 0);
            bits.number(number / GROUP % 2);
            bits.push(2, 0);
            bits.number(0);
            for _ in 0..self.width * self.height {
                // Intra 16x16 by the mean, chroma by the mean, same quantizer, no coefficients.
                bits.push(8, 0b0010_0111);
            }
            return bits.unit(0x65);
        }
        // A slice of type P: its number, three flags, the quantizer, and that everything is skipped.
        bits.number(5);
        bits.number(0);
        bits.push(4, frame_number);
        bits.push(3, 0);
        bits.number(0);
        bits.number(self.width * self.height);
        bits.unit(0x41)
    }
}

impl Bits {
    /// The lowest `count` bits of a number.
    fn push(&mut self, count: u8, number: u32) {
        for bit in (0..count).rev() {
            if self.used == 0 {
                self.bytes.push(0);
            }
            let last = self.bytes.last_mut().expect("a byte was pushed when none had room");
            *last |= ((number >> bit & 1) as u8) << (7 - self.used);
            self.used = (self.used + 1) % 8;
        }
    }

    /// A number in an Exp-Golomb code (9.1). A signed zero is written in the same way.
    fn number(&mut self, number: u32) {
        let bits = 32 - (number + 1).leading_zeros() as u8;
        self.push(bits - 1, 0);
        self.push(bits, number + 1);
    }

    /// A NAL unit: its header, then what was written, without what would look like a start code (7.4.1.1).
    fn unit(mut self, header: u8) -> Vec<u8> {
        self.push(1, 1);
        let mut unit = vec![header];
        for byte in self.bytes {
            if byte <= 3 && unit.ends_with(&[0, 0]) {
                unit.push(3);
            }
            unit.push(byte);
        }
        unit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let check = |numbers: &[u32], expected: &[u8]| {
            let mut bits = Bits::default();
            for number in numbers {
                bits.number(*number);
            }
            assert_eq!(bits.bytes, expected, "{numbers:?}");
        };
        check(&[0], &[0b1000_0000]);
        check(&[1, 2], &[0b0100_1100]);
        check(&[3, 7], &[0b0010_0000, 0b1000_0000]);
        check(&[1199], &[0b0000_0000, 0b0010_0101, 0b1000_0000]);
    }

    #[test]
    fn nothing_looks_like_a_start_code() {
        let mut bits = Bits::default();
        bits.push(24, 1);
        assert_eq!(bits.unit(0x41), [0x41, 0, 0, 3, 1, 0x80]);
        for number in 0..25 {
            let frame = Picture::VGA.frame(number);
            assert!(!frame.windows(3).any(|three| three[..2] == [0, 0] && three[2] < 3), "{number}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(Picture::VGA.frame(0).len(), 1 + 2 + 1200 + 1);
        assert!(Picture::VGA.frame(1).len() < 10);
    }
}
