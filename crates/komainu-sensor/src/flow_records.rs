//! The records of flows that are seen in packets: in a capture file, or passing by.

use std::collections::HashMap;
use std::sync::Arc;

use komainu_decode::capture::PacketTime;
use komainu_decode::flows::{EndReason, Flow as SeenFlow, FlowObserver, TcpState};
use komainu_decode::{Fact, Place, Protocol, Side};

use crate::session::{Ending, Flow, Keeper, Recorder, Target};

/// Says under which ends a flow that begins is recorded; none is not recorded.
pub(crate) type Admit = Box<dyn FnMut(&SeenFlow) -> Option<Flow> + Send>;

/// Makes the records of the flows that a [`FlowTable`](komainu_decode::flows::FlowTable) tells of.
pub(crate) struct FlowRecords {
    recorder: Arc<Recorder>,
    target: Arc<Target>,
    admit: Admit,
    /// Why flows end that go on when nothing more comes.
    at_end: Ending,
    keepers: HashMap<u64, Keeper>,
    ended: Vec<EndedFlow>,
    /// Flows that began.
    pub(crate) flows: u64,
    /// Flows whose protocol was found.
    pub(crate) decoded: u64,
}

/// A flow that is over and whose summary is not written yet.
#[derive(Debug)]
pub(crate) struct EndedFlow {
    pub(crate) seen: SeenFlow,
    pub(crate) keeper: Keeper,
    /// When its newest packet was seen, in microseconds since 1970.
    pub(crate) at: i64,
    pub(crate) ending: Ending,
}

impl FlowRecords {
    pub(crate) fn new(recorder: Arc<Recorder>, target: Arc<Target>, at_end: Ending, admit: Admit) -> Self {
        let (keepers, ended) = (HashMap::new(), Vec::new());
        Self { recorder, target, admit, at_end, keepers, ended, flows: 0, decoded: 0 }
    }

    /// The flows that ended since the last time, in that order.
    pub(crate) fn take_ended(&mut self) -> Vec<EndedFlow> {
        std::mem::take(&mut self.ended)
    }
}

impl EndedFlow {
    /// Writes the summary.
    pub(crate) fn write(self) {
        self.keeper.end(self.at, self.ending);
    }
}

impl FlowObserver for FlowRecords {
    fn begin(&mut self, flow: &SeenFlow) {
        self.flows += 1;
        if let Some(ends) = (self.admit)(flow) {
            let keeper = self.recorder.begin(ends, self.target.clone(), flow.begin.unix_micros());
            self.keepers.insert(flow.number, keeper);
        }
    }

    fn protocol(&mut self, flow: &SeenFlow, protocol: Protocol) {
        self.decoded += 1;
        if let Some(keeper) = self.keepers.get_mut(&flow.number) {
            keeper.protocol(flow.last.unix_micros(), protocol);
        }
    }

    fn payload(&mut self, flow: &SeenFlow, at: PacketTime, side: Side, bytes: &[u8]) {
        if let Some(keeper) = self.keepers.get_mut(&flow.number) {
            keeper.payload(at.unix_micros(), side, bytes);
        }
    }

    fn lost(&mut self, flow: &SeenFlow, side: Side, bytes: u64) {
        if let Some(keeper) = self.keepers.get_mut(&flow.number) {
            keeper.lost(side, bytes);
        }
    }

    fn fact(&mut self, flow: &SeenFlow, at: PacketTime, place: Place, fact: Fact<'_>) {
        if let Some(keeper) = self.keepers.get_mut(&flow.number) {
            keeper.fact(at.unix_micros(), place, &fact);
        }
    }

    fn end(&mut self, flow: &SeenFlow, reason: EndReason) {
        let Some(mut keeper) = self.keepers.remove(&flow.number) else { return };
        for side in [Side::Client, Side::Server] {
            let sent = flow.sent_by(side);
            keeper.count(side, sent.packets, sent.payload_bytes);
        }
        if let Some(syn) = &flow.syn {
            keeper.fingerprint("syn", &syn.to_string());
        }
        if let Some(state) = flow.tcp {
            keeper.flow_state(match state {
                TcpState::SynSent | TcpState::SynReceived => "new",
                TcpState::Established | TcpState::Closing => "established",
                TcpState::Closed | TcpState::Reset => "closed",
            });
        }
        let ending = match reason {
            EndReason::Closed => Ending::Closed,
            EndReason::CaptureEnd => self.at_end,
            EndReason::Timeout => Ending::Idle,
            EndReason::Evicted => Ending::Bound,
        };
        self.ended.push(EndedFlow { seen: flow.clone(), keeper, at: flow.last.unix_micros(), ending });
    }
}
