//! What a connection costs, and what a packet that is only counted costs.

use std::time::Duration;

use divan::Bencher;
use divan::counter::ItemsCount;
use komainu_netsim::{Bounds, Internet, PortPolicy, Settings};

const HOSTS: u32 = 2000;

fn main() {
    divan::main();
}

/// A packet of TCP from a port, to a host's port 23.
fn segment(port: u16, host: u32, flags: u8, sequence: u32, acknowledgement: u32) -> Vec<u8> {
    let mut frame = vec![0xFF; 6];
    frame.extend([2, 0, 0, 0, 0, 9, 8, 0, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 192, 168, 1, 100]);
    frame.extend((0x6440_0000 + host).to_be_bytes());
    frame.extend(port.to_be_bytes());
    frame.extend([0, 23]);
    frame.extend(sequence.to_be_bytes());
    frame.extend(acknowledgement.to_be_bytes());
    frame.extend([0x50, flags, 0x20, 0, 0, 0, 0, 0]);
    frame
}

fn internet(ports: PortPolicy) -> Internet {
    let bounds = Bounds { connections_max: 4000, connections_per_second_max: u32::MAX, ..Bounds::default() };
    Internet::new(Settings { ports, bounds, latency_ms: (0, 0), ..Settings::default() }).expect("settings are right")
}

/// A handshake and a reset with each of two thousand hosts, all open at the same time in between.
#[divan::bench]
fn connect_and_reset(bencher: Bencher<'_, '_>) {
    let all = PortPolicy { open_first: HOSTS, open_percent: 100, answered_max: HOSTS };
    bencher.counter(ItemsCount::new(HOSTS)).with_inputs(|| internet(all.clone())).bench_values(|mut internet| {
        let mut now = Duration::from_millis(1);
        (0..HOSTS).for_each(|host| internet.frame(now, &segment(4000, host, 2, 1, 0)));
        now += Duration::from_millis(1);
        internet.advance(now);
        let answers = internet.take().frames;
        assert_eq!(answers.len(), HOSTS as usize);
        for (host, answer) in (0..).zip(answers) {
            let theirs = u32::from_be_bytes(answer[38..42].try_into().expect("four bytes"));
            internet.frame(now, &segment(4000, host, 16, 2, theirs.wrapping_add(1)));
            internet.frame(now, &segment(4000, host, 4, 2, 0));
        }
        internet
    });
}

/// A SYN beyond the bound of a scan.
#[divan::bench]
fn counted_syn(bencher: Bencher<'_, '_>) {
    let none = PortPolicy { open_first: 0, open_percent: 0, answered_max: 0 };
    let frames: Vec<_> = (0..HOSTS).map(|host| segment(4000, host, 2, 1, 0)).collect();
    bencher.counter(ItemsCount::new(HOSTS)).with_inputs(|| internet(none.clone())).bench_values(|mut internet| {
        frames.iter().for_each(|frame| internet.frame(Duration::from_millis(1), frame));
        internet
    });
}
