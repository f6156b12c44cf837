//! How many bits of information the bytes of a piece have, by how often each value occurs.

/// Thousandths of a bit for each byte: 0 when all bytes are the same, 8000 when all values are as frequent.
pub(crate) fn of(bytes: &[u8]) -> u32 {
    if bytes.is_empty() {
        return 0;
    }
    // Four counts, so that one byte need not wait until the one before it is counted.
    let mut counts = [[0_u32; 256]; 4];
    let (quads, rest) = bytes.as_chunks::<4>();
    for quad in quads {
        for (count, byte) in counts.iter_mut().zip(quad) {
            count[usize::from(*byte)] += 1;
        }
    }
    for byte in rest {
        counts[0][usize::from(*byte)] += 1;
    }
    let total = bytes.len() as f64;
    let mut bits = 0.0;
    for value in 0..256 {
        let count: u32 = counts.iter().map(|count| count[value]).sum();
        if count > 0 {
            let share = f64::from(count) / total;
            bits -= share * share.log2();
        }
    }
    // Between 0 and 8000, so nothing is lost that matters.
    (bits * 1000.0).round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_is_between_none_and_eight_bits() {
        assert_eq!(of(b""), 0);
        assert_eq!(of(b"aaaa"), 0);
        assert_eq!(of(b"abababab"), 1000);
        assert_eq!(of(&(0..=255).collect::<Vec<u8>>()), 8000);
    }
}
