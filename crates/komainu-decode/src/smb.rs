//! Server Message Block, SMB1 (MS-CIFS, MS-SMB) and SMB2/3 (MS-SMB2), over the NetBIOS session service (RFC 1002) and in
//! TCP directly.
//!
//! Requests are told when their answers come, so that each is told once, with its outcome. What is written and read is
//! told as it comes: neither a file nor a message is kept whole. Messages that are signed are read like others; those
//! that are encrypted or compressed are told of and skipped.
//!
//! State of a flow, at worst: 16 KiB of an unfinished message for each side, 96 KiB of waiting requests, 112 KiB of names
//! and ranges of open files, 16 KiB of names of shares. An ordinary session has a few kilobytes.

mod bytes;
mod event;
mod frame;
mod names;
mod ntlm;
mod rpc;
mod state;
mod transfer;
mod v1;
mod v2;

pub use event::{
    Change, Command, Detail, Dialect, Disposition, Event, Exchange, Mechanism, Negotiate, NtlmMessage, Open, Rpc,
    RpcInterface, SessionSetup, ShareType, Status, Target,
};

use frame::{Frames, MESSAGE_BYTES_MAX};
use state::State;

use crate::pending::Pending;
use crate::{Decoder, Observer, Side};

/// Reads one flow.
#[derive(Debug)]
pub struct Reader {
    pending: [Pending; 2],
    frames: [Frames; 2],
    state: State,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            pending: [Side::Client, Side::Server].map(|side| Pending::new(side, MESSAGE_BYTES_MAX)),
            frames: [Side::Client, Side::Server].map(Frames::new),
            state: State::default(),
        }
    }
}

impl Decoder for Reader {
    fn data(&mut self, side: Side, bytes: &[u8], observer: &mut dyn Observer) {
        let Self { pending, frames, state } = self;
        let (pending, frames) = (&mut pending[side.index()], &mut frames[side.index()]);
        if frames.is_silent() {
            return pending.ignore(bytes);
        }
        let fed = pending.feed(bytes, |bytes, at| frames.step(bytes, at, state, observer));
        debug_assert!(fed.is_ok(), "no step asks for more than the bound");
    }

    fn gap(&mut self, side: Side, bytes: u64, observer: &mut dyn Observer) {
        let Self { pending, frames, state } = self;
        let (pending, frames) = (&mut pending[side.index()], &mut frames[side.index()]);
        let at = pending.rest_place().offset;
        let lost = pending.rest().len() as u64 + bytes;
        pending.skip_gap(bytes);
        frames.gap(lost, at, state, observer);
    }

    fn finish(&mut self, side: Side, observer: &mut dyn Observer) {
        let Self { pending, frames, state } = self;
        let (pending, frames) = (&mut pending[side.index()], &mut frames[side.index()]);
        frames.finish(pending.rest_place(), state, observer);
        pending.ignore(&[]);
    }

    fn end(&mut self, observer: &mut dyn Observer) {
        self.finish(Side::Client, observer);
        self.finish(Side::Server, observer);
        self.state.end(observer);
    }
}
