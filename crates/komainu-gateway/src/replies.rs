//! Acknowledgements in the order in which they are owed. [MQTT-4.6.0-2] ff.
//!
//! One may have to wait until something is written down, or until a report was taken; those behind it wait with it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use komainu_model::DisconnectReason;

use crate::connection::End;
use crate::durable::{DurableLog, Ticket};
use crate::encode;
use crate::link::Link;
use crate::packet::{Reason, Version, kind};

/// Acknowledgements that are owed to a client.
#[derive(Default)]
pub(crate) struct Replies {
    queue: VecDeque<(After, Reply)>,
    /// The ticket for which the link is signalled already.
    signalled_for: Ticket,
    /// The longest SUBACK or UNSUBACK that was appended, in bytes.
    longest: usize,
}

/// What a reply waits for.
pub(crate) enum After {
    /// A ticket; 0 is nothing.
    Durable(Ticket),
    /// A report that is with the sink.
    Report(Arc<ReportOutcome>),
}

/// An acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// PUBACK, PUBREC, PUBREL or PUBCOMP.
    Ack { kind: u8, packet_id: u16, reason: Reason },
    /// SUBACK with its codes.
    Suback { packet_id: u16, codes: Vec<u8> },
    /// UNSUBACK with its codes.
    Unsuback { packet_id: u16, codes: Vec<u8> },
}

/// What the report sink said, once it has.
#[derive(Debug, Default)]
pub(crate) struct ReportOutcome(AtomicU8);

impl ReportOutcome {
    pub(crate) fn taken(&self) {
        self.0.store(1, Ordering::Release);
    }

    pub(crate) fn not_taken(&self) {
        self.0.store(2, Ordering::Release);
    }
}

impl Replies {
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn longest(&self) -> usize {
        self.longest
    }

    /// Owes the client a reply.
    pub(crate) fn push(&mut self, after: After, reply: Reply) {
        self.queue.push_back((after, reply));
    }

    /// Appends the replies to `out` that nothing holds back; says how many of the client's messages were finished by
    /// them. `link` is signalled when the next one may be ready.
    pub(crate) fn settle(
        &mut self,
        log: &DurableLog,
        link: &Arc<Link>,
        version: Version,
        out: &mut Vec<u8>,
    ) -> Result<usize, End> {
        let mut finished = 0;
        while let Some((after, reply)) = self.queue.front_mut() {
            match after {
                After::Durable(ticket) if log.is_durable(*ticket) => {}
                After::Durable(ticket) => {
                    if self.signalled_for < *ticket {
                        self.signalled_for = *ticket;
                        log.signal_when_durable(*ticket, link);
                    }
                    return Ok(finished);
                }
                After::Report(outcome) => match outcome.0.load(Ordering::Acquire) {
                    0 => return Ok(finished),
                    1 => {}
                    // 3.1.1 cannot refuse a message. Without an acknowledgement the device sends it again when it
                    // is back.
                    _ if version == Version::V3 => return Err(End::silent(DisconnectReason::ServerError)),
                    _ => {
                        if let Reply::Ack { reason, .. } = reply {
                            *reason = Reason::QuotaExceeded;
                        }
                    }
                },
            }
            let (_, reply) = self.queue.pop_front().expect("there is a front");
            let before = out.len();
            match reply {
                Reply::Ack { kind, packet_id, reason } => {
                    let is_last = match kind {
                        kind::PUBACK | kind::PUBCOMP => true,
                        kind::PUBREC => reason as u8 >= 0x80,
                        _ => false,
                    };
                    finished += usize::from(is_last);
                    encode::ack(out, version, kind, packet_id, reason);
                }
                Reply::Suback { packet_id, codes } => {
                    encode::suback(out, version, packet_id, &codes);
                    self.longest = self.longest.max(out.len() - before);
                }
                Reply::Unsuback { packet_id, codes } => {
                    encode::unsuback(out, version, packet_id, &codes);
                    self.longest = self.longest.max(out.len() - before);
                }
            }
        }
        if self.queue.capacity() > 64 {
            self.queue = VecDeque::new();
        }
        Ok(finished)
    }
}
