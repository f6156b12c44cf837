//! How long static triage takes for one program, without rules.

use komainu_triage::{NoRules, Outside, triage};

fn main() {
    divan::main();
}

/// This very program, or what an operator names, cut to 100 KB.
fn program() -> Vec<u8> {
    let path = std::env::var_os("TRIAGE_SAMPLE").unwrap_or_else(|| "/proc/self/exe".into());
    let mut bytes = std::fs::read(path).expect("the sample that was named can be read");
    bytes.truncate(100_000);
    bytes
}

#[divan::bench]
fn program_of_100_kb(bencher: divan::Bencher<'_, '_>) {
    let bytes = program();
    let counter = divan::counter::BytesCount::of_slice(&bytes);
    bencher.counter(counter).bench(|| triage(divan::black_box(&bytes), &NoRules, &Outside::default()));
}
