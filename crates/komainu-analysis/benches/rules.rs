//! How many facts are written down and asked about in a second on one core, with all our rules: the events of a busy bot,
//! of which most are looks at other processes, connections of a scan and password tries.

use divan::counter::ItemsCount;
use komainu_analysis::evidence::{Run, RunAs, RunEnd};
use komainu_analysis::fact::Facts;
use komainu_analysis::{Evidence, RuleSet, analyse};
use komainu_model::Timestamp;
use komainu_trace::GuestIsa;
use komainu_trace::guest::{GuestAct, GuestEvent};
use komainu_trace::network::{FlowNumber, NetworkAct, NetworkEvent};

fn main() {
    divan::main();
}

/// Events of each side; together about a hundred thousand facts.
const EVENTS: u32 = 48_000;

fn evidence() -> Evidence {
    let act = |number: u32| match number % 8 {
        0 | 1 => GuestAct::Look { path: format!("/proc/{number}/exe").as_str().into() },
        2 => GuestAct::Open { path: format!("/tmp/file{number}").as_str().into(), flags: 1, result: Some(4) },
        3 => GuestAct::Write { descriptor: 4, bytes: 64, head: "some words that are written".into() },
        4 => GuestAct::Connect { to: ([203, 0, 113, (number >> 8) as u8], 23).into() },
        5 => GuestAct::Send { to: None, bytes: 12, head: "enable".into() },
        6 => GuestAct::Sleep { ns: 1_000_000 },
        _ => GuestAct::Call { name: "gettimeofday".into(), arguments: Vec::new(), result: Some(0) },
    };
    let seen = |number: u32| match number % 3 {
        0 => NetworkAct::Connect {
            flow: FlowNumber(u64::from(number)),
            from_port: 40_000,
            to: (number.wrapping_mul(2_654_435_761).to_be_bytes(), 23).into(),
            name: None,
            accepted: true,
        },
        1 => NetworkAct::Sent { flow: FlowNumber(u64::from(number) - 1), bytes: 5, head: "root\r".into() },
        _ => NetworkAct::Login {
            flow: FlowNumber(u64::from(number) - 2),
            service: "telnet".into(),
            user: "root".into(),
            password: format!("pass{}", number % 60).as_str().into(),
            accepted: false,
        },
    };
    let run = Run {
        isa: GuestIsa::Arm,
        run_as: RunAs::Root,
        started: None,
        ran_for_ms: 60_000,
        end: RunEnd::TimeOver,
        sample_path: "/tmp/sample".into(),
        network_before_us: 0,
        resolver: [192, 168, 1, 1].into(),
        guest: (0..EVENTS)
            .map(|number| GuestEvent { at_ns: u64::from(number) * 1_000_000, pid: 100 + number % 20, act: act(number) })
            .collect(),
        network: (0..EVENTS)
            .map(|number| NetworkEvent { at_us: u64::from(number) * 1000, act: seen(number) })
            .collect(),
        memory: Vec::new(),
        dropped: Vec::new(),
        cut: Vec::new(),
    };
    Evidence { runs: vec![run], ..Evidence::default() }
}

#[divan::bench(sample_count = 10)]
fn written_down(bencher: divan::Bencher<'_, '_>) {
    let evidence = evidence();
    let facts = Facts::of(&evidence).all().len();
    bencher.counter(ItemsCount::new(facts)).bench(|| Facts::of(&evidence));
}

#[divan::bench(sample_count = 10)]
fn asked_about(bencher: divan::Bencher<'_, '_>) {
    let facts = Facts::of(&evidence());
    let rules = RuleSet::own();
    bencher.counter(ItemsCount::new(facts.all().len())).bench(|| rules.behaviours(&facts));
}

#[divan::bench(sample_count = 10)]
fn whole_report(bencher: divan::Bencher<'_, '_>) {
    let evidence = evidence();
    let rules = RuleSet::own();
    let facts = Facts::of(&evidence).all().len();
    bencher.counter(ItemsCount::new(facts)).bench(|| analyse(&evidence, &rules, Timestamp::from_unix_seconds(0)));
}
