//! Reading capture files as if their flows were seen now: the same records as of a live session.

use std::io::{self, Read};
use std::sync::Arc;

use komainu_decode::capture::{CaptureError, CaptureReader, FRAME_BYTES_MAX, Next};
use komainu_decode::flows::{Flow as SeenFlow, FlowLimits, FlowTable, FrameCounts};

use crate::flow_records::{EndedFlow, FlowRecords};
use crate::session::{Ending, Flow, Recorder, Target, TargetKind};

/// Bytes of the file that are read at once, and beyond the longest record the most that is kept of it.
const READ_BYTES: usize = 1024 * 1024;

/// Why a capture could not be read to its end. What was read before is recorded.
#[derive(Debug, thiserror::Error)]
pub enum PcapError {
    /// The file cannot be read.
    #[error("cannot read the capture: {0}")]
    Io(#[from] io::Error),
    /// It is no capture, or damaged.
    #[error("at byte {offset}: {source}")]
    Capture {
        /// How much of it was read.
        offset: u64,
        /// What is wrong.
        source: CaptureError,
    },
}

/// What a capture held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CaptureSummary {
    /// What became of its frames.
    pub frames: FrameCounts,
    /// Flows.
    pub flows: u64,
    /// Flows whose protocol was found.
    pub decoded: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// Bytes at the end that are no whole record: the file was cut.
    pub cut_bytes: u64,
}

/// Reads a capture and records its flows with `recorder`. Says what it held, also when it could not be read to its end.
pub fn read_capture(capture: &mut dyn Read, recorder: &Arc<Recorder>) -> (CaptureSummary, Result<(), PcapError>) {
    let target = Target::of_kind(TargetKind::Capture);
    let admit = |flow: &SeenFlow| Some(Flow { transport: flow.transport, client: flow.client, server: flow.server });
    let mut records = FlowRecords::new(recorder.clone(), Arc::new(target), Ending::Closed, Box::new(admit));
    let mut table = FlowTable::new(FlowLimits::default());
    let mut summary = CaptureSummary::default();
    let outcome = read(capture, &mut table, &mut records, &mut summary);
    table.finish(&mut records);
    write_ended(&mut records);
    summary.frames = table.counts();
    (summary.flows, summary.decoded) = (records.flows, records.decoded);
    (summary, outcome)
}

fn read(
    capture: &mut dyn Read,
    table: &mut FlowTable,
    records: &mut FlowRecords,
    summary: &mut CaptureSummary,
) -> Result<(), PcapError> {
    let mut reader = CaptureReader::default();
    let mut buffer = vec![0; READ_BYTES + FRAME_BYTES_MAX];
    // What is known of the file: `buffer[at..end]`.
    let (mut at, mut end) = (0, 0);
    loop {
        let next = reader
            .next(&buffer[at..end])
            .map_err(|source| PcapError::Capture { offset: summary.bytes - (end - at) as u64, source })?;
        match next {
            Next::Frame { frame, used } => {
                table.frame(&frame, records);
                write_ended(records);
                at += used;
            }
            Next::Other { used } => at += used,
            Next::More { bytes } => {
                buffer.copy_within(at..end, 0);
                (at, end) = (0, end - at);
                let room = buffer.len().max(bytes);
                buffer.resize(room, 0);
                let more = read_some(capture, &mut buffer[end..])?;
                if more == 0 {
                    summary.cut_bytes = end as u64;
                    return Ok(());
                }
                end += more;
                summary.bytes += more as u64;
            }
        }
    }
}

fn write_ended(records: &mut FlowRecords) {
    records.take_ended().into_iter().for_each(EndedFlow::write);
}

fn read_some(capture: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match capture.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}
