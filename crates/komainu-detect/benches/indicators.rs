//! What it costs to ask a million indicators about the six connections of a typical report, to make the set that is asked
//! from the one before, and how much memory it takes: `cargo bench -p komainu-detect --bench indicators`.

use std::net::{IpAddr, Ipv4Addr};

use divan::counter::ItemsCount;
use komainu_detect::IndicatorSet;
use komainu_model::{DomainName, IndicatorId, IndicatorValue, Remote, RemoteHost};

/// Connections of a report.
const CONNECTIONS: usize = 6;

#[global_allocator]
static ALLOCATOR: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

fn set(count: u32) -> IndicatorSet {
    let mut set = IndicatorSet::default();
    for number in 0..count {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        let address = IpAddr::V4(Ipv4Addr::from(0x0b00_0000 + number * 97));
        let port = (number % 2 == 0).then_some(23);
        let value = IndicatorValue::Address { address, port, transport: None };
        set.insert(&value, IndicatorId::from_bytes(bytes));
    }
    set
}

/// Reports of six connections, none of which is an indicator.
#[divan::bench(args = [0, 1_000, 1_000_000], sample_size = 1000)]
fn reports(bencher: divan::Bencher<'_, '_>, indicators: u32) {
    let set = set(indicators);
    let remote = |number: u32| Remote {
        host: RemoteHost::Address(IpAddr::V4(Ipv4Addr::from(0xc633_0000 + number * 7919))),
        port: Some(443),
    };
    let remotes: Vec<Remote> = (0..60_000).map(remote).collect();
    let mut place = 0;
    bencher.counter(ItemsCount::new(1u32)).bench_local(|| {
        let mut found = 0;
        for remote in &remotes[place..place + CONNECTIONS] {
            set.find(divan::black_box(remote), |_| found += 1);
        }
        place = (place + CONNECTIONS) % (remotes.len() - CONNECTIONS);
        found
    });
}

/// Names of four labels.
#[divan::bench(sample_size = 1000)]
fn names(bencher: divan::Bencher<'_, '_>) {
    let mut set = IndicatorSet::default();
    for number in 0..100_000 {
        let name = DomainName::parse(&format!("c{number}.example.net")).expect("a name");
        set.insert(&IndicatorValue::Name(name), IndicatorId::from_bytes([1; 16]));
    }
    let name = DomainName::parse("www.shop.example.org").expect("a name");
    let remote = Remote { host: RemoteHost::Name(name), port: None };
    bencher.bench_local(|| {
        let mut found = 0;
        set.find(divan::black_box(&remote), |_| found += 1);
        found
    });
}

/// A change makes a new set out of the one before; the allocations are what one set takes.
#[divan::bench(args = [1_000, 1_000_000], sample_count = 20, sample_size = 1)]
fn copies(bencher: divan::Bencher<'_, '_>, indicators: u32) {
    let set = set(indicators);
    bencher.bench_local(|| divan::black_box(set.clone()));
}
