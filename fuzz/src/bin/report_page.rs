//! Any bytes as what a sample does, pieces separated by 0x1E: no panic, the same report twice, and the page has no markup
//! but its own.
#![no_main]

use std::sync::LazyLock;

use komainu_analysis::evidence::{Run, RunAs, RunEnd, Sample, StaticText};
use komainu_analysis::html::{Language, page};
use komainu_analysis::{Evidence, RuleSet, analyse};
use komainu_model::Timestamp;
use komainu_trace::guest::{GuestAct, GuestEvent};
use komainu_trace::network::{FlowNumber, NetworkAct, NetworkEvent};
use komainu_trace::{GuestIsa, RawText};

static RULES: LazyLock<RuleSet> = LazyLock::new(RuleSet::own);

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let pieces: Vec<RawText> = bytes.split(|byte| *byte == 0x1e).take(200).map(RawText::from).collect();
    let mut run = Run {
        isa: GuestIsa::Arm,
        run_as: RunAs::Root,
        started: None,
        ran_for_ms: 1000,
        end: RunEnd::Exited,
        sample_path: pieces.first().cloned().unwrap_or_default(),
        network_before_us: 0,
        resolver: [192, 168, 1, 1].into(),
        guest: Vec::new(),
        network: Vec::new(),
        memory: Vec::new(),
        dropped: Vec::new(),
        cut: Vec::new(),
    };
    let mut texts = Vec::new();
    for (number, piece) in (0u32..).zip(&pieces) {
        let kind = piece.0.first().copied().unwrap_or_default();
        let text = || piece.clone();
        let act = match kind % 10 {
            0 => GuestAct::Exec { path: text(), arguments: vec![text()] },
            1 => GuestAct::Open { path: text(), flags: u32::from(kind), result: Some(i64::from(kind % 8)) },
            2 => GuestAct::Write { descriptor: i32::from(kind % 8), bytes: 9, head: text() },
            3 => GuestAct::Rename { comm: text() },
            4 => GuestAct::Fork { child: number + u32::from(kind), comm: text() },
            5 => GuestAct::Unlink { path: text() },
            6 => GuestAct::Kill { target: i32::from(kind.cast_signed()), signal: 9 },
            7 => GuestAct::ChangeFolder { path: text() },
            8 => GuestAct::ChangeMode { path: text(), mode: u32::from(kind) },
            _ => GuestAct::Mount { source: text(), target: text(), kind: text() },
        };
        run.guest.push(GuestEvent { at_ns: u64::from(number) << (kind % 60), pid: 100 + number % 5, act });
        let flow = FlowNumber(u64::from(number % 4));
        let act = match kind / 10 % 6 {
            0 => NetworkAct::Connect {
                flow,
                from_port: 1,
                to: ([203, 0, 113, kind], u16::from(kind)).into(),
                name: Some(text()),
                accepted: true,
            },
            1 => NetworkAct::Sent { flow, bytes: 1, head: text() },
            2 => NetworkAct::Login { flow, service: piece.to_string(), user: text(), password: text(), accepted: false },
            3 => NetworkAct::Command { flow, service: "telnet".into(), line: text() },
            4 => NetworkAct::Name {
                name: text(),
                kind: "A".into(),
                server: ([192, 168, 1, 1], 53).into(),
                answers: Vec::new(),
            },
            _ => NetworkAct::Http {
                flow,
                method: "GET".into(),
                target: text(),
                host: Some(text()),
                user_agent: None,
                status: 200,
                body_bytes: 0,
                body_sha256: None,
            },
        };
        run.network.push(NetworkEvent { at_us: u64::from(number) << (kind % 50), act });
        texts.push(StaticText {
            kind: "text".into(),
            value: String::from_utf8_lossy(&piece.0).into_owned(),
            decoded: kind % 2 == 0,
        });
    }
    let evidence = Evidence { sample: Sample { texts, ..Sample::default() }, runs: vec![run], ..Evidence::default() };
    let report = analyse(&evidence, &RULES, Timestamp::from_unix_seconds(0));
    assert_eq!(report, analyse(&evidence, &RULES, Timestamp::from_unix_seconds(0)));
    let page = page(&report, Language::English);
    for tag in ["<script", "<img", "<svg", "<iframe", "<object", "<link", "javascript:\""] {
        assert!(!page.to_lowercase().contains(tag), "{tag}");
    }
});
