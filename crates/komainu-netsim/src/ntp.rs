//! The time, as servers of NTP tell it (RFC 5905): that of the settings, not the host's.

/// A message without extensions, in bytes.
const MESSAGE_BYTES: usize = 48;

/// From 1900, when NTP begins, to 1970, in seconds.
const TO_1970_S: u64 = 2_208_988_800;

/// Answers a question of a client; none if it is none.
pub(crate) fn answer(message: &[u8], unix_s: u64, nanos: u32) -> Option<Vec<u8>> {
    let asked = message.first_chunk::<MESSAGE_BYTES>()?;
    // Mode 3 asks; versions 1 to 4.
    if asked[0] & 7 != 3 || !(1..=4).contains(&(asked[0] >> 3 & 7)) {
        return None;
    }
    // The field has 32 bits: an era ends in 2036, and the next one begins (RFC 5905, 6).
    let second = u32::try_from((unix_s.wrapping_add(TO_1970_S)) & 0xFFFF_FFFF).expect("32 bits");
    let fraction = u32::try_from((u64::from(nanos) << 32) / 1_000_000_000).unwrap_or(u32::MAX);
    let now = [second.to_be_bytes(), fraction.to_be_bytes()].concat();
    // No warning; the client's version; mode 4; stratum 2; the client's poll; a precision of a microsecond.
    let mut answer = vec![asked[0] & 0x38 | 4, 2, asked[2], 0xEC];
    // Half a millisecond to the reference and as much off, which is 10.0.0.1 of somebody's network.
    answer.extend([0, 0, 0, 33, 0, 0, 0, 33, 10, 0, 0, 1]);
    answer.extend(second.wrapping_sub(17).to_be_bytes());
    answer.extend([0; 4]);
    // What the client said of its own time comes back.
    answer.extend(&asked[40..48]);
    answer.extend(&now);
    answer.extend(&now);
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_told_to_who_asks() {
        let mut asked = [0; MESSAGE_BYTES];
        asked[0] = 0x23;
        asked[40..48].copy_from_slice(b"mytime!!");
        let told = answer(&asked, 1_704_067_200, 500_000_000).unwrap();
        assert_eq!((told.len(), told[0], told[1]), (MESSAGE_BYTES, 0x24, 2));
        assert_eq!(&told[24..32], b"mytime!!");
        let second = u32::from_be_bytes(told[40..44].try_into().unwrap());
        assert_eq!(u64::from(second), 1_704_067_200 + TO_1970_S);
        assert_eq!(told[44], 0x80, "half a second");
        asked[0] = 0x24;
        assert_eq!(answer(&asked, 0, 0), None, "an answer");
        assert_eq!(answer(&asked[..47], 0, 0), None);
    }
}
