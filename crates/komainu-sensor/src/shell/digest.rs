//! `md5sum` and its kin: RFC 1321, FIPS 180-4. What strangers check their files with; nothing here is kept secret by
//! it.

/// The digest of an applet of this name.
pub(crate) fn digest(applet: &str, bytes: &[u8]) -> Vec<u8> {
    match applet {
        "md5sum" => md5(bytes),
        "sha1sum" => sha1(bytes),
        "sha256sum" => sha256(bytes),
        _ => sha512(bytes),
    }
}

/// A message with its padding: a one, zeros, its length in bits in so many bytes.
fn padded(bytes: &[u8], block: usize, length_bytes: usize, is_little: bool) -> Vec<u8> {
    let mut padded = bytes.to_vec();
    padded.push(0x80);
    while padded.len() % block != block - length_bytes {
        padded.push(0);
    }
    let bits = bytes.len() as u128 * 8;
    if is_little {
        padded.extend(bits.to_le_bytes().iter().take(length_bytes));
    } else {
        padded.extend(bits.to_be_bytes().iter().skip(16 - length_bytes));
    }
    padded
}

fn md5(bytes: &[u8]) -> Vec<u8> {
    const SHIFTS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
    // RFC 1321, 3.4: the sine of the step's number, in parts of 2^32.
    let table: [u32; 64] = std::array::from_fn(|i| (((i + 1) as f64).sin().abs() * 4_294_967_296.0) as u32);
    let mut state: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    for block in padded(bytes, 64, 8, true).chunks_exact(64) {
        let words: [u32; 16] = std::array::from_fn(|i| u32::from_le_bytes(array(block, i * 4)));
        let [mut a, mut b, mut c, mut d] = state;
        for i in 0..64 {
            let (mix, word) = match i / 16 {
                0 => (b & c | !b & d, i),
                1 => (d & b | !d & c, (5 * i + 1) % 16),
                2 => (b ^ c ^ d, (3 * i + 5) % 16),
                _ => (c ^ (b | !d), 7 * i % 16),
            };
            let sum = a.wrapping_add(mix).wrapping_add(table[i]).wrapping_add(words[word]);
            (a, d, c) = (d, c, b);
            b = b.wrapping_add(sum.rotate_left(SHIFTS[i / 16][i % 4]));
        }
        for (value, added) in state.iter_mut().zip([a, b, c, d]) {
            *value = value.wrapping_add(added);
        }
    }
    state.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn sha1(bytes: &[u8]) -> Vec<u8> {
    let mut state: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    for block in padded(bytes, 64, 8, false).chunks_exact(64) {
        let mut words = [0_u32; 80];
        for i in 0..80 {
            words[i] = if i < 16 {
                u32::from_be_bytes(array(block, i * 4))
            } else {
                (words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16]).rotate_left(1)
            };
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (i, word) in words.into_iter().enumerate() {
            let (mix, constant) = match i / 20 {
                0 => (b & c | !b & d, 0x5a82_7999),
                1 => (b ^ c ^ d, 0x6ed9_eba1),
                2 => (b & c | b & d | c & d, 0x8f1b_bcdc),
                _ => (b ^ c ^ d, 0xca62_c1d6),
            };
            let sum = a.rotate_left(5).wrapping_add(mix).wrapping_add(e).wrapping_add(constant).wrapping_add(word);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, sum);
        }
        for (value, added) in state.iter_mut().zip([a, b, c, d, e]) {
            *value = value.wrapping_add(added);
        }
    }
    state.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// The first primes, which FIPS 180-4 takes its constants from.
fn primes() -> impl Iterator<Item = u64> {
    (2_u64..).filter(|number| (2..*number).take_while(|divisor| divisor * divisor <= *number).all(|d| number % d != 0))
}

/// The first 64 bits behind the point of a root of a prime: the greatest whole root of the prime in parts of 2^64.
fn root_fraction(prime: u64, degree: u32) -> u64 {
    let (mut low, mut high) = (0_u128, 1_u128 << 69);
    while low + 1 < high {
        let middle = low + (high - low) / 2;
        if power_is_at_most(middle, degree, prime) {
            low = middle;
        } else {
            high = middle;
        }
    }
    low as u64
}

/// Whether `(root / 2^64)^degree <= prime`, in numbers of 64-bit digits.
fn power_is_at_most(root: u128, degree: u32, prime: u64) -> bool {
    let factor = [root as u64, (root >> 64) as u64];
    let mut product = vec![1_u64];
    for _ in 0..degree {
        let mut next = vec![0_u64; product.len() + 2];
        for (i, a) in product.iter().enumerate() {
            let mut carry = 0_u128;
            for (j, b) in factor.iter().enumerate() {
                let sum = u128::from(*a) * u128::from(*b) + u128::from(next[i + j]) + carry;
                next[i + j] = sum as u64;
                carry = sum >> 64;
            }
            next[i + 2] = next[i + 2].wrapping_add(carry as u64);
        }
        product = next;
    }
    let whole = product.get(degree as usize..).unwrap_or_default();
    let fraction_is_zero = product.iter().take(degree as usize).all(|digit| *digit == 0);
    let is_large = whole.iter().skip(1).any(|digit| *digit > 0);
    let first = whole.first().copied().unwrap_or(0);
    !is_large && (first < prime || first == prime && fraction_is_zero)
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    let mut state: Vec<u32> = primes().take(8).map(|prime| (root_fraction(prime, 2) >> 32) as u32).collect();
    let constants: Vec<u32> = primes().take(64).map(|prime| (root_fraction(prime, 3) >> 32) as u32).collect();
    for block in padded(bytes, 64, 8, false).chunks_exact(64) {
        let mut words = [0_u32; 64];
        for i in 0..64 {
            words[i] = if i < 16 {
                u32::from_be_bytes(array(block, i * 4))
            } else {
                let (a, b) = (words[i - 15], words[i - 2]);
                let a = a.rotate_right(7) ^ a.rotate_right(18) ^ a >> 3;
                let b = b.rotate_right(17) ^ b.rotate_right(19) ^ b >> 10;
                words[i - 16].wrapping_add(a).wrapping_add(words[i - 7]).wrapping_add(b)
            };
        }
        let mut v: [u32; 8] = std::array::from_fn(|i| state[i]);
        for (word, constant) in words.into_iter().zip(&constants) {
            let mix = v[4].rotate_right(6) ^ v[4].rotate_right(11) ^ v[4].rotate_right(25);
            let choice = v[4] & v[5] ^ !v[4] & v[6];
            let one = v[7].wrapping_add(mix).wrapping_add(choice).wrapping_add(*constant).wrapping_add(word);
            let mix = v[0].rotate_right(2) ^ v[0].rotate_right(13) ^ v[0].rotate_right(22);
            let two = mix.wrapping_add(v[0] & v[1] ^ v[0] & v[2] ^ v[1] & v[2]);
            v = [one.wrapping_add(two), v[0], v[1], v[2], v[3].wrapping_add(one), v[4], v[5], v[6]];
        }
        for (value, added) in state.iter_mut().zip(v) {
            *value = value.wrapping_add(added);
        }
    }
    state.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn sha512(bytes: &[u8]) -> Vec<u8> {
    let mut state: Vec<u64> = primes().take(8).map(|prime| root_fraction(prime, 2)).collect();
    let constants: Vec<u64> = primes().take(80).map(|prime| root_fraction(prime, 3)).collect();
    for block in padded(bytes, 128, 16, false).chunks_exact(128) {
        let mut words = [0_u64; 80];
        for i in 0..80 {
            words[i] = if i < 16 {
                u64::from_be_bytes(array(block, i * 8))
            } else {
                let (a, b) = (words[i - 15], words[i - 2]);
                let a = a.rotate_right(1) ^ a.rotate_right(8) ^ a >> 7;
                let b = b.rotate_right(19) ^ b.rotate_right(61) ^ b >> 6;
                words[i - 16].wrapping_add(a).wrapping_add(words[i - 7]).wrapping_add(b)
            };
        }
        let mut v: [u64; 8] = std::array::from_fn(|i| state[i]);
        for (word, constant) in words.into_iter().zip(&constants) {
            let mix = v[4].rotate_right(14) ^ v[4].rotate_right(18) ^ v[4].rotate_right(41);
            let choice = v[4] & v[5] ^ !v[4] & v[6];
            let one = v[7].wrapping_add(mix).wrapping_add(choice).wrapping_add(*constant).wrapping_add(word);
            let mix = v[0].rotate_right(28) ^ v[0].rotate_right(34) ^ v[0].rotate_right(39);
            let two = mix.wrapping_add(v[0] & v[1] ^ v[0] & v[2] ^ v[1] & v[2]);
            v = [one.wrapping_add(two), v[0], v[1], v[2], v[3].wrapping_add(one), v[4], v[5], v[6]];
        }
        for (value, added) in state.iter_mut().zip(v) {
            *value = value.wrapping_add(added);
        }
    }
    state.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// Bytes of a block whose length is a multiple of the array's.
fn array<const N: usize>(block: &[u8], at: usize) -> [u8; N] {
    block.get(at..).and_then(|rest| rest.first_chunk()).copied().expect("a block holds whole words")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_of_the_standards() {
        let check = |applet, text: &str, expected: &str| {
            let hex: String = digest(applet, text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(hex.starts_with(expected), "{applet} {text}: {hex}");
        };
        check("md5sum", "", "d41d8cd98f00b204e9800998ecf8427e");
        check("md5sum", "abc", "900150983cd24fb0d6963f7d28e17f72");
        check("sha1sum", "abc", "a9993e364706816aba3e25717850c26c9cd0d89d");
        check("sha256sum", "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        check("sha512sum", "abc", "ddaf35a193617abacc417349ae204131");
        check("md5sum", &"a".repeat(64), "014842d480b571495a4a0363793f7367");
    }
}
