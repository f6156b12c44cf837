//! Who an agent of version 3 is: the answers to whoever asks before it is known (RFC 3414, 4), and to unknown users.

use std::sync::atomic::{AtomicU32, Ordering};

use komainu_decode::snmp::Message;

use super::ber::{element, integer, unsigned};
use super::{OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE};

/// What an engine is called, in bytes (RFC 3411, 5, SnmpEngineID).
const ID_BYTES: std::ops::RangeInclusive<usize> = 5..=32;

/// The most that a boot counter and a time say (RFC 3414, 2.2.1).
const NUMBER_MAX: u32 = 0x7FFF_FFFF;

/// A user that is repeated in a report, in bytes (RFC 3414, 2.4). A longer one is no user.
const USER_BYTES_MAX: usize = 32;

/// The longest message that is taken, as agents say it (RFC 3412, 6.3).
const MESSAGE_BYTES_MAX: i64 = 65_507;

const COUNTER: u8 = 0x41;
const REPORT: u8 = 0xA8;

/// usmStats, without what is counted (RFC 3414, 5), in BER.
const USM_STATS: &[u8] = &[0x2B, 6, 1, 6, 3, 15, 1, 1];

/// An engine. What it counts is counted of all who ask.
#[derive(Debug)]
pub(super) struct Engine {
    id: Vec<u8>,
    boots: u32,
    unknown_users: AtomicU32,
    unknown_engines: AtomicU32,
}

impl Engine {
    /// Checks what a persona says; what is wrong is told with its field.
    pub(super) fn check(id: &str, boots: u32) -> Result<Self, (&'static str, &'static str)> {
        let id = hex::decode(id).map_err(|_| ("engine_id", "must be pairs of hexadecimal digits"))?;
        // All zeros and all ones are no engine.
        if !ID_BYTES.contains(&id.len()) || [0, 0xFF].iter().any(|byte| id.iter().all(|its| its == byte)) {
            return Err(("engine_id", "must be 5 to 32 bytes, not all of them 00 or ff"));
        }
        if boots > NUMBER_MAX {
            return Err(("engine_boots", "must be at most 2147483647"));
        }
        Ok(Self { id, boots, unknown_users: AtomicU32::new(0), unknown_engines: AtomicU32::new(0) })
    }

    /// What is said to a message: who the engine is, or that there is no such user (RFC 3414, 3.2, steps 3 and 4).
    pub(super) fn report(&self, message: &Message<'_>, uptime_s: u32) -> Option<Vec<u8>> {
        const UNKNOWN_USERS: u8 = 3;
        const UNKNOWN_ENGINES: u8 = 4;
        let (id, user) = (message.id.filter(|_| message.is_reportable)?, message.user?);
        let (what, counter) = if message.engine_id == Some(self.id.as_slice()) {
            (UNKNOWN_USERS, &self.unknown_users)
        } else {
            (UNKNOWN_ENGINES, &self.unknown_engines)
        };
        let counted = counter.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let user = if user.len() <= USER_BYTES_MAX { user } else { &[][..] };
        // Neither authentic nor private, and not to be answered; the model is the user-based one.
        let header = [integer(id), integer(MESSAGE_BYTES_MAX), element(OCTET_STRING, &[0]), integer(3)].concat();
        let security = [
            element(OCTET_STRING, &self.id),
            integer(self.boots.into()),
            integer((uptime_s & NUMBER_MAX).into()),
            element(OCTET_STRING, user),
            element(OCTET_STRING, &[]),
            element(OCTET_STRING, &[]),
        ];
        let name = element(OBJECT_IDENTIFIER, &[USM_STATS, &[what, 0]].concat());
        let binding = element(SEQUENCE, &[name, element(COUNTER, &unsigned(counted))].concat());
        // What is encrypted has an id that nobody knows (RFC 3412, 7.1, step 3 c).
        let request_id = message.pdu.as_ref().and_then(|pdu| pdu.request_id()).unwrap_or(0);
        let pdu = [integer(request_id), integer(0), integer(0), element(SEQUENCE, &binding)].concat();
        let scoped = [element(OCTET_STRING, &self.id), element(OCTET_STRING, &[]), element(REPORT, &pdu)].concat();
        let whole = [
            integer(3),
            element(SEQUENCE, &header),
            element(OCTET_STRING, &element(SEQUENCE, &security.concat())),
            element(SEQUENCE, &scoped),
        ];
        Some(element(SEQUENCE, &whole.concat()))
    }
}
