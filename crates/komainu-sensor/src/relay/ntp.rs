//! Answers to questions for the time (RFC 5905, 7.3). Devices without it refuse certificates, or do not start.

use komainu_model::Timestamp;

const PACKET_BYTES: usize = 48;
const MODE_CLIENT: u8 = 3;
const MODE_SERVER: u8 = 4;

/// Seconds between 1900, where NTP begins, and 1970.
const EPOCH_OFFSET_S: i64 = 2_208_988_800;

/// The answer to a client's packet; none when it is no such packet. It is not longer than the question.
pub(crate) fn answer(packet: &[u8], now: Timestamp) -> Option<[u8; PACKET_BYTES]> {
    let asked = packet.first_chunk::<PACKET_BYTES>()?;
    let version = (asked[0] >> 3) & 7;
    if asked[0] & 7 != MODE_CLIENT || !(1..=4).contains(&version) {
        return None;
    }
    let now = timestamp(now);
    let mut answer = [0; PACKET_BYTES];
    answer[0] = (version << 3) | MODE_SERVER;
    // Stratum 2, the client's interval, a precision of a millisecond (2^-10 s).
    answer[1] = 2;
    answer[2] = asked[2];
    answer[3] = (-10_i8).to_be_bytes()[0];
    // Root dispersion: 10 ms, in 1/65536 s.
    answer[8..12].copy_from_slice(&655_u32.to_be_bytes());
    // The reference of stratum 2 is an address.
    answer[12..16].copy_from_slice(&super::NOWHERE.octets());
    answer[16..24].copy_from_slice(&now);
    // What the client called its time is how it knows the answer.
    answer[24..32].copy_from_slice(&asked[40..48]);
    answer[32..40].copy_from_slice(&now);
    answer[40..48].copy_from_slice(&now);
    Some(answer)
}

/// Seconds since 1900 modulo 2^32, and 2^-32 seconds.
fn timestamp(now: Timestamp) -> [u8; 8] {
    let seconds = now.unix_seconds().wrapping_add(EPOCH_OFFSET_S) as u32;
    let millis = now.unix_millis().rem_euclid(1000) as u64;
    let fraction = ((millis << 32) / 1000) as u32;
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&seconds.to_be_bytes());
    bytes[4..].copy_from_slice(&fraction.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_answered() {
        let mut asked = [0; PACKET_BYTES];
        asked[0] = 0x23;
        asked[40..48].copy_from_slice(b"its time");
        let answered = answer(&asked, Timestamp::from_unix_millis(1_500)).unwrap();
        assert_eq!(answered[0], 0x24);
        assert_eq!(&answered[24..32], b"its time");
        assert_eq!(&answered[40..48], &[0x83, 0xAA, 0x7E, 0x81, 0x80, 0, 0, 0]);
    }

    #[test]
    fn what_is_no_question_is_not_answered() {
        let now = Timestamp::from_unix_millis(0);
        let check = |first: u8, bytes: usize| {
            let mut asked = vec![0; bytes];
            asked[0] = first;
            assert_eq!(answer(&asked, now), None);
        };
        check(0x24, 48);
        check(0x23, 47);
        check(0x3B, 48);
        // Mode 7, by which servers of old were made to send lists to victims.
        check(0x17, 48);
    }
}
