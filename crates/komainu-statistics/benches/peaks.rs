//! How long it takes to look for peaks in two years of twelve protocols on twelve appliances.

use divan::counter::ItemsCount;
use komainu_model::Timestamp;
use komainu_statistics::{Cadence, Counts, find_peaks};

fn main() {
    divan::main();
}

const SERIES: usize = 144;

/// Counts with a week, growth, noise and a burst now and then.
fn table(cadence: Cadence, buckets: usize) -> Counts {
    let mut counts = Counts::new(&["protocol", "appliance"], cadence, Timestamp::from_unix_seconds(0), buckets)
        .expect("it has fewer buckets than a table may have");
    let mut state = 1_u64;
    for bucket in 0..buckets {
        let at = Timestamp::from_unix_seconds(bucket as i64 * cadence.width().as_secs() as i64);
        for series in 0..SERIES {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let level = 2 + (series * series) as u64 / 10 + bucket as u64 / 20;
            let week = if bucket % 7 >= 5 { 7 } else { 10 };
            let burst = if (state >> 40).is_multiple_of(500) { 6 } else { 1 };
            let count = level * week * (80 + (state >> 33) % 41) / 1000 * burst;
            counts.add(at, &vec![format!("p{}", series / 12), format!("a{}", series % 12)], count);
        }
    }
    counts
}

#[divan::bench(sample_count = 20)]
fn days_of_two_years(bencher: divan::Bencher<'_, '_>) {
    let counts = table(Cadence::Day, 730);
    bencher.counter(ItemsCount::new(SERIES * 730)).bench(|| find_peaks(divan::black_box(&counts)));
}

#[divan::bench(sample_count = 10)]
fn hours_of_two_years(bencher: divan::Bencher<'_, '_>) {
    let counts = table(Cadence::Hour, 730 * 24);
    bencher.counter(ItemsCount::new(SERIES * 730 * 24)).bench(|| find_peaks(divan::black_box(&counts)));
}
