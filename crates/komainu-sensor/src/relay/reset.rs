//! What is told of resets, written down: a line `reset` of `honeypot.json` for each step, and one for how it ended.

use std::collections::HashMap;
use std::io::PipeReader;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use komainu_model::ApplianceIndex;
use komainu_ports::{ResetEnd, ResetNews, ResetNewsKind};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::unix::pipe;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{info, warn};

use super::{Known, Shared};
use crate::events;
use crate::reset::{FINDINGS_MAX, Finding, LINE_BYTES_MAX};
use crate::session::PacketEnds;

/// How long the last lines may take when the reset is over: they are in the pipe.
const LAST_LINES: Duration = Duration::from_secs(5);

/// A line of `honeypot.json`.
#[derive(Debug, Serialize)]
struct ResetLine<'a> {
    device: &'a str,
    release_state: &'static str,
    reason: &'static str,
    #[serde(flatten)]
    what: What<'a>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum What<'a> {
    Step(&'a Finding),
    Release { step: &'static str, ok: bool, outcome: &'static str },
}

/// Writes down what is told, until the relay stops or nobody tells any more.
pub(super) async fn write_news(shared: Arc<Shared>) {
    let mut reading: HashMap<ApplianceIndex, JoinHandle<()>> = HashMap::new();
    loop {
        let news = tokio::select! {
            biased;
            () = shared.stopped() => return,
            news = shared.gate.reset_news() => news,
        };
        // Whoever tells is gone; the sensor ends, too.
        let Ok(ResetNews { device, what }) = news else { return };
        if shared.device(device).is_none() {
            continue;
        }
        match what {
            ResetNewsKind::Begun(lines) => {
                let read = tokio::spawn(write_steps(shared.clone(), device, lines));
                drop(reading.insert(device, read));
            }
            ResetNewsKind::Over(end) => {
                drop(tokio::spawn(write_end(shared.clone(), device, end, reading.remove(&device))));
            }
        }
    }
}

async fn write_steps(shared: Arc<Shared>, index: ApplianceIndex, lines: PipeReader) {
    let Some(known) = shared.device(index) else { return };
    let device = &known.appliance.name;
    let lines = match pipe::Receiver::from_owned_fd(OwnedFd::from(lines)) {
        Ok(lines) => lines,
        Err(error) => {
            warn!(event = events::RESET_NOT_READ, %device, %error, "steps of a reset cannot be read");
            return;
        }
    };
    let mut lines = BufReader::new(lines);
    for _ in 0..FINDINGS_MAX {
        let (mut line, mut bounded) = (Vec::new(), (&mut lines).take(LINE_BYTES_MAX as u64));
        let read = tokio::select! {
            biased;
            () = shared.stopped() => return,
            read = bounded.read_until(b'\n', &mut line) => read,
        };
        match read {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) => {
                warn!(event = events::RESET_NOT_READ, %device, %error, "steps of a reset cannot be read");
                return;
            }
        }
        let Some(finding) = Finding::parse(&line) else {
            warn!(event = events::RESET_NOT_READ, %device, error = "it is no step", "steps of a reset cannot be read");
            return;
        };
        info!(event = events::RESET_STEP, %device, step = %finding, "step of a reset is over");
        write(&shared, known, "incident", What::Step(&finding));
    }
    // Who writes more than there can be is not listened to any more.
    let has_more = tokio::select! {
        biased;
        () = shared.stopped() => false,
        more = lines.read_u8() => more.is_ok(),
    };
    if has_more {
        warn!(event = events::RESET_NOT_READ, %device, error = "there are too many", "steps of a reset cannot be read");
    }
}

async fn write_end(shared: Arc<Shared>, index: ApplianceIndex, end: ResetEnd, steps: Option<JoinHandle<()>>) {
    let Some(known) = shared.device(index) else { return };
    // Without steps it was an operator who has ended the quarantine.
    let reason = if steps.is_some() { "incident" } else { "operator" };
    if let Some(mut steps) = steps
        && timeout(LAST_LINES, &mut steps).await.is_err()
    {
        steps.abort();
    }
    let is_released = end == ResetEnd::Released;
    if is_released {
        shared.egress.forget_incidents(index);
    }
    let what = What::Release { step: "release", ok: is_released, outcome: end.as_str() };
    write(&shared, known, reason, what);
}

fn write(shared: &Shared, known: &Known, reason: &'static str, what: What<'_>) {
    let line = ResetLine {
        device: known.appliance.name.as_str(),
        release_state: known.appliance.release_state.as_str(),
        reason,
        what,
    };
    // No packets of anybody: the place of the sender is empty.
    let ends = PacketEnds {
        source: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
        destination: SocketAddr::new(IpAddr::V4(known.appliance.address), 0),
        proto: "IP",
    };
    let confidentiality = known.appliance.release_state.confidentiality();
    shared.recorder.note_packets(shared.now(), ends, confidentiality, "reset", &line);
}
