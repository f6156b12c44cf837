//! What the fuzz targets call: each parser of what a guest says.

use std::time::Duration;

use komainu_trace::network::{FlowNumber, NetworkAct};

use crate::conversation::Conversation;
use crate::dns;
use crate::internet::Internet;
use crate::player::Script;
use crate::service::Peer;
use crate::settings::Settings;
use crate::world::World;

/// The time between two frames.
const STEP: Duration = Duration::from_millis(5);

/// Frames of a guest, each behind its length in two bytes, little-endian.
pub fn frames(bytes: &[u8]) {
    let Ok(mut internet) = Internet::new(Settings::default()) else { return };
    let (mut rest, mut now) = (bytes, Duration::ZERO);
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length)).min(after.len());
        let (frame, after) = after.split_at(length);
        internet.frame(now, frame);
        rest = after;
        now += STEP;
    }
    internet.advance(now + Duration::from_secs(30));
    internet.end();
    let output = internet.take();
    assert!(output.frames.iter().all(|frame| (14..=1514).contains(&frame.len())), "a frame that no link carries");
    check_events(output.events.into_iter().map(|event| event.act));
}

/// A question to a resolver.
pub fn question(bytes: &[u8]) {
    let Ok(mut world) = World::new(Settings::default()) else { return };
    let server = ([8, 8, 8, 8], 53).into();
    let first = dns::answer(&mut world, bytes, server);
    assert!(first.as_ref().is_none_or(|answer| answer.len() <= 1232), "an answer that UDP does not carry");
}

/// What a guest says on a connection; the first two bytes are the port. 0x1E lets a second pass.
pub fn dialogue(bytes: &[u8]) {
    let Ok(mut world) = World::new(Settings::default()) else { return };
    let Some((port, said)) = bytes.split_first_chunk::<2>() else { return };
    let peer = Peer {
        flow: FlowNumber(1),
        to: ([203, 0, 113, 7], u16::from_be_bytes(*port)).into(),
        name: None,
        inside_tls: false,
        lines_told: 0,
    };
    let mut conversation = Conversation::new(peer);
    conversation.opened(&mut world);
    for piece in said.split(|byte| *byte == 0x1E) {
        if conversation.is_closing() {
            break;
        }
        conversation.data(piece, &mut world);
        conversation.send(&mut world, <[u8]>::len);
        world.now += Duration::from_secs(1);
        conversation.woken(&mut world);
    }
    conversation.end(&mut world);
    assert_eq!(world.pending_bytes, 0, "what waits is counted");
    check_events(world.record.events.into_iter().map(|event| event.act));
}

/// A file of a player.
pub fn player(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    if let Err(why) = Script::parse(text) {
        assert!(!why.is_empty(), "a refusal has a reason");
    }
}

/// Nothing that is told is longer than it may be.
fn check_events(acts: impl Iterator<Item = NetworkAct>) {
    for act in acts {
        let line = serde_json::to_string(&act).expect("events are JSON");
        assert!(line.len() < 32 * 1024, "an event of {} bytes", line.len());
        let back: NetworkAct = serde_json::from_str(&line).expect("what is written is read");
        assert_eq!(back, act);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that look like chance.
    fn noise(seed: u64, length: usize) -> Vec<u8> {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let step = |state: &mut u64| {
            *state ^= *state << 13;
            *state ^= *state >> 7;
            *state ^= *state << 17;
            (*state >> 24) as u8
        };
        (0..length).map(|_| step(&mut state)).collect()
    }

    #[test]
    fn noise_does_no_harm() {
        for seed in 0..20 {
            frames(&noise(seed, 3000));
            question(&noise(seed, 100));
            player(&noise(seed, 100));
            for port in [21_u16, 22, 23, 25, 53, 80, 443, 1080, 1883, 6667] {
                dialogue(&[&port.to_be_bytes()[..], &noise(seed, 2000)].concat());
            }
        }
    }
}
