//! Any bytes as rules of Sigma: no panic, what is refused has a reason, and what is taken can be asked.
#![no_main]

use komainu_analysis::Evidence;
use komainu_analysis::evidence::{Sample, StaticText};
use komainu_analysis::fact::Facts;
use komainu_analysis::sigma::Rules;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (rules, problems) = Rules::read([("fuzzed.yml", text)]);
    assert!(problems.iter().all(|problem| !problem.what.is_empty()));
    // What the rule says is also what it is asked about, so that matches happen.
    let texts = text.split_whitespace().take(64).map(|word| StaticText {
        kind: "word".into(),
        value: word.to_owned(),
        decoded: false,
    });
    let evidence = Evidence { sample: Sample { texts: texts.collect(), ..Sample::default() }, ..Evidence::default() };
    let facts = Facts::of(&evidence);
    let (matches, _) = rules.matches(&facts);
    assert!(matches.iter().all(|found| rules.all().get(found.rule).is_some()));
});
