//! Traces of tests: what a guest's kernel and the simulated Internet told, one event in a line.
//!
//! `guest SECONDS PID VERB …` and `net SECONDS VERB …`; texts have escapes as [`RawText`] writes them. `repeat N every
//! SECONDS LINE` stands for N lines, in which `{i}` counts, `{n}` is a process, `{pid}` a new process, `{ip}` an address
//! and `{word}` a name that looks made up. `as user` begins another run.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use komainu_trace::guest::{GuestAct, GuestEvent};
use komainu_trace::network::{FlowNumber, NetworkAct, NetworkEvent};
use komainu_trace::{GuestIsa, RawText};

use crate::evidence::{Evidence, Run, RunAs, RunEnd, Sample, StaticText};

/// The evidence that a trace stands for.
pub(crate) fn evidence_of(trace: &str) -> Evidence {
    let mut evidence = Evidence {
        sample: Sample { sha256: "0".repeat(64), kind: "elf".into(), ..Sample::default() },
        ..Evidence::default()
    };
    for line in trace.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(rest) = line.strip_prefix("repeat ") {
            let (count, rest) = rest.split_once(" every ").expect("every");
            let (step, rest) = rest.split_once(' ').expect("a line");
            let step: f64 = step.parse().expect("seconds");
            for i in 0..count.parse::<u32>().expect("a count") {
                let line = rest
                    .replace("{i}", &(i + 1).to_string())
                    .replace("{n}", &(i + 200).to_string())
                    .replace("{pid}", &(i + 1000).to_string())
                    .replace("{ip}", &Ipv4Addr::from(0x1000_0000 + mixed(i) % 0x6000_0000).to_string())
                    .replace("{word}", &word(i));
                read(&line, f64::from(i) * step, &mut evidence);
            }
        } else {
            read(line, 0.0, &mut evidence);
        }
    }
    evidence
}

/// Numbers without a pattern (the constant is Knuth's).
fn mixed(i: u32) -> u32 {
    (i + 1).wrapping_mul(2_654_435_761)
}

fn word(i: u32) -> String {
    let letters = b"qxzvkwjhbdgtrpmn";
    let bits = u64::from(mixed(i)) << 16 | u64::from(mixed(i + 77) & 0xffff);
    (0..12).map(|at| char::from(letters[(bits >> (at * 4)) as usize & 15])).collect()
}

fn run(evidence: &mut Evidence, run_as: RunAs) -> &mut Run {
    evidence.runs.push(Run {
        isa: GuestIsa::Arm,
        run_as,
        started: None,
        ran_for_ms: 60_000,
        end: RunEnd::TimeOver,
        sample_path: "/tmp/sample".into(),
        network_before_us: 0,
        resolver: IpAddr::V4(Ipv4Addr::new(192, 168, 1, 1)),
        guest: Vec::new(),
        network: Vec::new(),
        memory: Vec::new(),
        dropped: Vec::new(),
        cut: Vec::new(),
    });
    evidence.runs.last_mut().expect("one was added")
}

fn read(line: &str, later_s: f64, evidence: &mut Evidence) {
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["as", who] => {
            run(evidence, if who == "user" { RunAs::User } else { RunAs::Root });
        }
        ["packing", packing] => evidence.sample.packing = Some(packing.into()),
        ["level", level] => evidence.sample.level = Some(level.into()),
        ["static", kind, value, ref rest @ ..] => evidence.sample.texts.push(StaticText {
            kind: kind.into(),
            value: value.into(),
            decoded: rest.contains(&"decoded"),
        }),
        [side, seconds, ref rest @ ..] => {
            let at_s = seconds.parse::<f64>().unwrap_or_else(|_| panic!("{line}")) + later_s;
            if evidence.runs.is_empty() {
                run(evidence, RunAs::Root);
            }
            let run = evidence.runs.last_mut().expect("there is a run");
            if side == "guest" {
                let pid = rest[0].parse().expect("a process");
                let act = guest(&rest[1..]).unwrap_or_else(|| panic!("{line}"));
                run.guest.push(GuestEvent { at_ns: (at_s * 1e9) as u64, pid, act });
            } else {
                let act = network(rest).unwrap_or_else(|| panic!("{line}"));
                run.network.push(NetworkEvent { at_us: (at_s * 1e6) as u64, act });
            }
        }
        _ => panic!("{line}"),
    }
}

fn raw(text: &str) -> RawText {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn guest(words: &[&str]) -> Option<GuestAct> {
    Some(match *words {
        ["fork", child, comm] => GuestAct::Fork { child: child.parse().ok()?, comm: raw(comm) },
        ["exec", path, ref arguments @ ..] => {
            GuestAct::Exec { path: raw(path), arguments: arguments.iter().map(|word| raw(word)).collect() }
        }
        ["rename", comm] => GuestAct::Rename { comm: raw(comm) },
        ["exit", status] => GuestAct::Exit { status: status.parse().ok()? },
        ["open", path, flags, result] => {
            GuestAct::Open { path: raw(path), flags: flags.parse().ok()?, result: Some(result.parse().ok()?) }
        }
        ["write", descriptor, bytes, head] => {
            GuestAct::Write { descriptor: descriptor.parse().ok()?, bytes: bytes.parse().ok()?, head: raw(head) }
        }
        ["unlink", path] => GuestAct::Unlink { path: raw(path) },
        ["move", from, to] => GuestAct::Move { from: raw(from), to: raw(to) },
        ["mkdir", path] => GuestAct::MakeFolder { path: raw(path) },
        ["chmod", path, mode] => GuestAct::ChangeMode { path: raw(path), mode: mode.parse().ok()? },
        ["chdir", path] => GuestAct::ChangeFolder { path: raw(path) },
        ["look", path] => GuestAct::Look { path: raw(path) },
        ["mount", source, target, kind] => {
            GuestAct::Mount { source: raw(source), target: raw(target), kind: raw(kind) }
        }
        ["socket", family, kind, protocol] => GuestAct::Socket {
            family: family.parse().ok()?,
            kind: kind.parse().ok()?,
            protocol: protocol.parse().ok()?,
        },
        ["connect", to] => GuestAct::Connect { to: to.parse().ok()? },
        ["bind", at] => GuestAct::Bind { at: at.parse().ok()? },
        ["listen", descriptor] => GuestAct::Listen { descriptor: descriptor.parse().ok()? },
        ["send", to, bytes, head] => {
            GuestAct::Send { to: to.parse().ok(), bytes: bytes.parse().ok()?, head: raw(head) }
        }
        ["kill", target, signal] => GuestAct::Kill { target: target.parse().ok()?, signal: signal.parse().ok()? },
        ["trace", request, target] => GuestAct::Trace { request: request.parse().ok()?, target: target.parse().ok()? },
        ["prctl", operation, argument] => {
            GuestAct::Control { operation: operation.parse().ok()?, argument: argument.parse().ok()? }
        }
        ["ioctl", descriptor, command] => {
            GuestAct::DeviceControl { descriptor: descriptor.parse().ok()?, command: command.parse().ok()? }
        }
        ["module", name] => GuestAct::Module { name: raw(name) },
        ["setuid", uid] => GuestAct::ChangeUser { uid: uid.parse().ok()? },
        ["sleep", ns] => GuestAct::Sleep { ns: ns.parse().ok()? },
        ["machine", call] => GuestAct::Machine { call: raw(call) },
        ["call", name, result] => {
            GuestAct::Call { name: raw(name), arguments: Vec::new(), result: result.parse().ok() }
        }
        ["lost", events] => GuestAct::Lost { events: events.parse().ok()? },
        _ => return None,
    })
}

fn network(words: &[&str]) -> Option<NetworkAct> {
    let flow = |text: &str| text.parse().ok().map(FlowNumber);
    let name = |rest: &[&str]| rest.iter().find_map(|word| word.strip_prefix("name=")).map(raw);
    Some(match *words {
        ["name", name, server, ref answers @ ..] => NetworkAct::Name {
            name: raw(name),
            kind: "A".into(),
            server: server.parse().ok()?,
            answers: answers.iter().filter_map(|answer| answer.parse().ok()).collect(),
        },
        ["time", server] => NetworkAct::Time { server: server.parse().ok()? },
        ["connect", number, to, ref rest @ ..] => NetworkAct::Connect {
            flow: flow(number)?,
            from_port: 40_000,
            to: to.parse::<SocketAddr>().ok()?,
            name: name(rest),
            accepted: !rest.contains(&"refused"),
        },
        ["sent", number, head] => {
            NetworkAct::Sent { flow: flow(number)?, bytes: raw(head).0.len() as u64, head: raw(head) }
        }
        ["answered", number, by, head] => NetworkAct::Answered {
            flow: flow(number)?,
            bytes: raw(head).0.len() as u64,
            head: raw(head),
            by: by.into(),
        },
        ["http", number, method, target, host, status, ref rest @ ..] => NetworkAct::Http {
            flow: flow(number)?,
            method: raw(method),
            target: raw(target),
            host: Some(raw(host)),
            user_agent: None,
            status: status.parse().ok()?,
            body_bytes: rest
                .iter()
                .find_map(|word| word.strip_prefix("body="))
                .map_or(0, |n| n.parse().expect("bytes")),
            body_sha256: None,
        },
        ["login", number, service, user, password, how] => NetworkAct::Login {
            flow: flow(number)?,
            service: service.into(),
            user: raw(user),
            password: raw(password),
            accepted: how == "ok",
        },
        ["command", number, service, line] => {
            NetworkAct::Command { flow: flow(number)?, service: service.into(), line: raw(line) }
        }
        ["played", number, script, step] => {
            NetworkAct::Played { flow: flow(number)?, script: script.into(), step: step.into() }
        }
        ["datagram", to, bytes, head, ref rest @ ..] => NetworkAct::Datagram {
            from_port: 40_000,
            to: to.parse().ok()?,
            name: name(rest),
            bytes: bytes.parse().ok()?,
            head: raw(head),
        },
        ["counted", kind, port, packets, addresses, seconds, example, ref rest @ ..] => NetworkAct::Counted {
            kind: kind.into(),
            port: port.parse().ok(),
            packets: packets.parse().ok()?,
            bytes: 60 * packets.parse::<u64>().ok()?,
            addresses: addresses.parse().ok()?,
            examples: vec![example.parse().ok()?],
            for_us: seconds.parse::<u64>().ok()? * 1_000_000,
            forged_sources: rest.contains(&"forged"),
        },
        ["lost", what, count] => NetworkAct::Lost { what: what.into(), count: count.parse().ok()? },
        _ => return None,
    })
}
