//! Named pipes, and the remote procedure calls that are made over them (C706, chapter 12; MS-RPCE, 2.2.2).
//!
//! A call is one fragment; what it is answered with may be several.

use std::collections::VecDeque;

use super::Smb;
use super::shares;
use super::status::Status;
use super::wire::{Out, length_u16, length_u32, slice_at, u8_at, u16_at, u32_at};

/// What may wait in a pipe to be read, in bytes, before another call is made: clients make one and read its answer. The
/// longest answer, a list of shares, has 32 KiB. What is written beyond is refused.
const WAITING_BYTES_MAX: usize = 16 * 1024;

/// The longest fragment, in bytes; as Samba has it.
const FRAGMENT_BYTES_MAX: u16 = 4280;

/// The shortest that a client may demand, in bytes (C706, 12.6.3.1).
const FRAGMENT_BYTES_MIN: u16 = 1432;

/// Interfaces that a client may bind at once. Clients name one, or one with two ways of writing numbers.
const CONTEXTS_MAX: u8 = 8;

const HEADER_BYTES: usize = 16;
/// Of the answer to a call.
const ANSWER_HEADER_BYTES: usize = 24;

const REQUEST: u8 = 0;
const RESPONSE: u8 = 2;
const FAULT: u8 = 3;
const BIND: u8 = 11;
const BIND_ACK: u8 = 12;
const ALTER_CONTEXT: u8 = 14;
const ALTER_CONTEXT_ANSWER: u8 = 15;

/// Why a call fails (C706, appendix E): no such operation, no such interface, and arguments that cannot be read.
const OPERATION_RANGE: u32 = 0x1C01_0002;
const UNKNOWN_INTERFACE: u32 = 0x1C01_0003;
const BAD_STUB: u32 = 0x0000_06F7;

/// NDR 2.0, the way in which arguments are written: 8a885d04-1ceb-11c9-9fe8-08002b104860.
const NDR: [u8; 20] =
    [0x04, 0x5D, 0x88, 0x8A, 0xEB, 0x1C, 0xC9, 0x11, 0x9F, 0xE8, 0x08, 0x00, 0x2B, 0x10, 0x48, 0x60, 2, 0, 0, 0];

/// What a pipe is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Interface {
    /// Shares and the server itself (MS-SRVS): 4b324fc8-1670-01d3-1278-5a47bf6ee188.
    Srvsvc,
    /// The workstation (MS-WKST): 6bffd098-a112-3610-9833-46c3f87e345a.
    Wkssvc,
    /// Accounts and names; nothing of it is offered: MS-LSAT and MS-SAMR, 12345778-1234-abcd-ef00-0123456789ab and …ac.
    Lsarpc,
    Samr,
}

impl Interface {
    const fn uuid(self) -> [u8; 16] {
        match self {
            Self::Srvsvc => {
                [0xC8, 0x4F, 0x32, 0x4B, 0x70, 0x16, 0xD3, 0x01, 0x12, 0x78, 0x5A, 0x47, 0xBF, 0x6E, 0xE1, 0x88]
            }
            Self::Wkssvc => {
                [0x98, 0xD0, 0xFF, 0x6B, 0x12, 0xA1, 0x10, 0x36, 0x98, 0x33, 0x46, 0xC3, 0xF8, 0x7E, 0x34, 0x5A]
            }
            Self::Lsarpc => {
                [0x78, 0x57, 0x34, 0x12, 0x34, 0x12, 0xCD, 0xAB, 0xEF, 0x00, 0x01, 0x23, 0x45, 0x67, 0x89, 0xAB]
            }
            Self::Samr => {
                [0x78, 0x57, 0x34, 0x12, 0x34, 0x12, 0xCD, 0xAB, 0xEF, 0x00, 0x01, 0x23, 0x45, 0x67, 0x89, 0xAC]
            }
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Srvsvc => "srvsvc",
            Self::Wkssvc => "wkssvc",
            Self::Lsarpc => "lsarpc",
            Self::Samr => "samr",
        }
    }
}

/// A pipe by its name; what is in front of it is left out: `\`, `PIPE\`.
///
/// Any other path is none. Samba before 4.6.4 loaded a library from one (CVE-2017-7494); here it is not found, as on a
/// device that has been mended, and the record shows what was asked for.
pub(super) fn of_name(path: &str) -> Option<Pipe> {
    let name = path.trim_start_matches('\\');
    let name = match name.get(..5) {
        Some(head) if head.eq_ignore_ascii_case("pipe\\") => &name[5..],
        Some(_) | None => name,
    };
    let known = [Interface::Srvsvc, Interface::Wkssvc, Interface::Lsarpc, Interface::Samr];
    let interface = known.into_iter().find(|interface| name.eq_ignore_ascii_case(interface.name()))?;
    Some(Pipe {
        interface,
        is_bound: false,
        fragment_bytes: FRAGMENT_BYTES_MAX,
        waiting: VecDeque::new(),
        waiting_bytes: 0,
    })
}

/// A pipe that is open.
#[derive(Debug)]
pub(super) struct Pipe {
    interface: Interface,
    is_bound: bool,
    /// How long a fragment may be that the client reads.
    fragment_bytes: u16,
    /// Messages that were not read, or not whole.
    waiting: VecDeque<Vec<u8>>,
    waiting_bytes: usize,
}

impl Pipe {
    /// Takes what is written: calls, each whole.
    pub(super) fn write(&mut self, persona: &Smb, mut bytes: &[u8]) -> Result<(), Status> {
        while !bytes.is_empty() {
            if self.waiting_bytes > WAITING_BYTES_MAX {
                return Err(Status::INSUFFICIENT_RESOURCES);
            }
            let length = usize::from(u16_at(bytes, 8).ok_or(Status::INVALID_PARAMETER)?);
            let fragment = bytes.get(..length.max(HEADER_BYTES)).ok_or(Status::INVALID_PARAMETER)?;
            self.call(persona, fragment);
            bytes = &bytes[fragment.len()..];
        }
        Ok(())
    }

    /// What is to be read, up to `count` bytes of one message; and whether there is more of it. None when nothing waits.
    pub(super) fn read(&mut self, count: usize) -> Option<(Vec<u8>, bool)> {
        let mut message = self.waiting.pop_front()?;
        let is_more = message.len() > count;
        if is_more {
            let rest = message.split_off(count);
            self.waiting.push_front(rest);
        }
        self.waiting_bytes -= message.len();
        Some((message, is_more))
    }

    fn call(&mut self, persona: &Smb, fragment: &[u8]) {
        let [5, _, kind, _, order, ..] = *fragment else { return };
        let call = u32_at(fragment, 12).unwrap_or(0);
        // Numbers are written the other way round by nobody who attacks devices.
        if order & 0x10 == 0 {
            return self.fault(call, BAD_STUB);
        }
        match kind {
            BIND => self.bind(call, fragment, BIND_ACK),
            ALTER_CONTEXT => self.bind(call, fragment, ALTER_CONTEXT_ANSWER),
            REQUEST => {
                let stub_at = if u8_at(fragment, 3).is_some_and(|flags| flags & 0x80 != 0) { 40 } else { 24 };
                let (operation, stub) = (u16_at(fragment, 22), fragment.get(stub_at..));
                let (Some(operation), Some(stub)) = (operation, stub) else { return self.fault(call, BAD_STUB) };
                if !self.is_bound {
                    return self.fault(call, UNKNOWN_INTERFACE);
                }
                let answer = match self.interface {
                    Interface::Srvsvc => shares::srvsvc(persona, operation, stub),
                    Interface::Wkssvc => shares::wkssvc(persona, operation, stub),
                    Interface::Lsarpc | Interface::Samr => Err(shares::CallError::Operation),
                };
                match answer {
                    Ok(answer) => self.respond(call, &answer),
                    Err(shares::CallError::Operation) => self.fault(call, OPERATION_RANGE),
                    Err(shares::CallError::Arguments) => self.fault(call, BAD_STUB),
                }
            }
            // What else there is asks for no answer (C706, 12.6.4), or is none of a client's.
            _ => {}
        }
    }

    /// C706, 12.6.4.3 and 12.6.4.4.
    fn bind(&mut self, call: u32, fragment: &[u8], kind: u8) {
        let longest = u16_at(fragment, 18).unwrap_or(FRAGMENT_BYTES_MAX);
        self.fragment_bytes = longest.clamp(FRAGMENT_BYTES_MIN, FRAGMENT_BYTES_MAX);
        let contexts = u8_at(fragment, 24).unwrap_or(0).min(CONTEXTS_MAX);
        let mut results = Out::new();
        let mut at = 28;
        for _ in 0..contexts {
            let ways = usize::from(u8_at(fragment, at + 2).unwrap_or(0));
            let is_ours = slice_at(fragment, at + 4, 16) == Some(&self.interface.uuid());
            let has_ndr = (0..ways).any(|way| slice_at(fragment, at + 24 + 20 * way, 20) == Some(&NDR));
            match (is_ours, has_ndr) {
                (true, true) => {
                    self.is_bound = true;
                    results.u16(0).u16(0).bytes(&NDR);
                }
                // Refused by the provider: no such interface, or no such way of writing.
                (false, _) => drop(results.u16(2).u16(1).zeros(20)),
                (true, false) => drop(results.u16(2).u16(2).zeros(20)),
            }
            at += 24 + 20 * ways;
        }
        // The name of the pipe, with its NUL.
        let address = format!("\\PIPE\\{}\0", self.interface.name());
        let mut body = Out::new();
        body.u16(FRAGMENT_BYTES_MAX).u16(FRAGMENT_BYTES_MAX).u32(0x53F0);
        body.u16(length_u16(address.len())).bytes(address.as_bytes()).pad_to(4);
        body.u8(contexts).zeros(3).bytes(results.as_slice());
        self.push(fragment_of(kind, 3, call, body.as_slice()));
    }

    fn respond(&mut self, call: u32, answer: &[u8]) {
        let room = (usize::from(self.fragment_bytes) - ANSWER_HEADER_BYTES) & !7;
        let mut parts = answer.chunks(room).peekable();
        let mut first = 1;
        let mut told = 0;
        while let Some(part) = parts.next() {
            let last = if parts.peek().is_none() { 2 } else { 0 };
            let mut body = Out::new();
            body.u32(length_u32(answer.len() - told)).u16(0).u16(0).bytes(part);
            self.push(fragment_of(RESPONSE, first | last, call, body.as_slice()));
            told += part.len();
            first = 0;
        }
    }

    fn fault(&mut self, call: u32, why: u32) {
        let mut body = Out::new();
        body.u32(32).u16(0).u16(0).u32(why).u32(0);
        self.push(fragment_of(FAULT, 3, call, body.as_slice()));
    }

    fn push(&mut self, message: Vec<u8>) {
        self.waiting_bytes += message.len();
        self.waiting.push_back(message);
    }
}

/// A fragment (C706, 12.6.3.1).
fn fragment_of(kind: u8, flags: u8, call: u32, body: &[u8]) -> Vec<u8> {
    let mut out = Out::new();
    out.u8(5).u8(0).u8(kind).u8(flags).u32(0x10);
    out.u16(length_u16(HEADER_BYTES + body.len())).u16(0).u32(call).bytes(body);
    out.take()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::smb::files::Memory;
    use crate::service::smb::wire::{text_of_wide, wide};
    use crate::service::smb::{Dialect, Share};

    /// A server with so many shares, whose comments are as long as they may be.
    fn server(shares: usize) -> Smb {
        let share = |index| Share {
            name: format!("share{index}"),
            comment: "c".repeat(240),
            path: "/mnt/hdd".into(),
            is_writable: true,
            files: Vec::new(),
        };
        Smb {
            server_name: "NAS".into(),
            workgroup: "HOME".into(),
            native_os: String::new(),
            native_lm: String::new(),
            server_comment: "a server".into(),
            pipes_comment: String::new(),
            has_guests: true,
            accounts: crate::persona::Accounts::default(),
            dialect_max: Dialect::V311,
            shares: (0..shares).map(share).collect(),
            memory: Memory::new(0),
        }
    }

    fn bind(interface: Interface) -> Vec<u8> {
        let mut body = Out::new();
        body.u16(4280).u16(4280).u32(0).u8(1).zeros(3).u16(0).u8(1).u8(0).bytes(&interface.uuid()).u32(3).bytes(&NDR);
        fragment_of(BIND, 3, 1, body.as_slice())
    }

    fn request(operation: u16, stub: &[u8]) -> Vec<u8> {
        let mut body = Out::new();
        body.u32(length_u32(stub.len())).u16(0).u16(operation).bytes(stub);
        fragment_of(REQUEST, 3, 2, body.as_slice())
    }

    fn texts(stub: &mut Out, text: &str) {
        let units = wide(&format!("{text}\0"));
        let count = length_u32(units.len() / 2);
        stub.u32(count).u32(0).u32(count).bytes(&units).pad_to(4);
    }

    /// NetrShareEnum of a level, or NetrShareGetInfo of a share.
    fn share_enum(level: u32) -> Vec<u8> {
        let mut stub = Out::new();
        stub.u32(0).u32(level).u32(level).u32(1).u32(0).u32(0).u32(u32::MAX).u32(0);
        request(15, stub.as_slice())
    }

    fn share_get_info(name: &str, level: u32) -> Vec<u8> {
        let mut stub = Out::new();
        stub.u32(1);
        texts(&mut stub, "\\\\server");
        texts(&mut stub, name);
        stub.u32(level);
        request(16, stub.as_slice())
    }

    /// Says calls to `srvsvc`; gives back the kinds of the fragments and what is in them, together.
    fn call(persona: &Smb, calls: &[Vec<u8>]) -> (Vec<u8>, Vec<u8>) {
        let mut pipe = of_name("\\PIPE\\srvsvc").unwrap();
        pipe.write(persona, &calls.concat()).unwrap();
        let (mut kinds, mut stub) = (Vec::new(), Vec::new());
        while let Some((fragment, is_more)) = pipe.read(usize::MAX) {
            assert!(!is_more);
            assert_eq!(u16_at(&fragment, 8), Some(length_u16(fragment.len())));
            assert!(fragment.len() <= usize::from(FRAGMENT_BYTES_MAX));
            kinds.push(fragment[2]);
            stub.extend_from_slice(&fragment[24..]);
        }
        assert_eq!(pipe.waiting_bytes, 0);
        (kinds, stub)
    }

    fn has(stub: &[u8], text: &str) -> bool {
        text_of_wide(stub).contains(text) || stub.windows(2 * text.len()).any(|part| part == wide(text))
    }

    #[test]
    fn shares_are_listed_and_told() {
        let persona = server(2);
        for level in [0, 1, 2, 501, 502] {
            let (kinds, stub) = call(&persona, &[bind(Interface::Srvsvc), share_enum(level)]);
            assert_eq!(kinds, [BIND_ACK, RESPONSE]);
            assert!(has(&stub, "share1") && has(&stub, "IPC$"), "level {level}");
            assert_eq!(has(&stub, "C:\\mnt\\hdd"), matches!(level, 2 | 502), "level {level}");
            assert!(stub.ends_with(&[0; 4]), "it worked");
        }
        let (_, stub) = call(&persona, &[bind(Interface::Srvsvc), share_get_info("SHARE1", 502)]);
        assert!(has(&stub, "C:\\mnt\\hdd"));
        let (_, stub) = call(&persona, &[bind(Interface::Srvsvc), share_get_info("gone", 2)]);
        assert!(stub.ends_with(&2310_u32.to_le_bytes()));
        let (_, stub) = call(&persona, &[bind(Interface::Srvsvc), share_get_info("share1", 77)]);
        assert!(stub.ends_with(&124_u32.to_le_bytes()));
    }

    #[test]
    fn a_long_list_comes_in_fragments() {
        let persona = server(16);
        let (kinds, stub) = call(&persona, &[bind(Interface::Srvsvc), share_enum(502)]);
        assert_eq!(kinds, [BIND_ACK, RESPONSE, RESPONSE, RESPONSE]);
        assert!(has(&stub, "share15"));
    }

    #[test]
    fn what_fails() {
        let persona = server(1);
        let check = |calls: &[Vec<u8>], why: u32| {
            let (kinds, stub) = call(&persona, calls);
            assert_eq!(kinds.last(), Some(&FAULT));
            assert_eq!(u32_at(&stub, stub.len() - 8), Some(why));
        };
        check(&[share_enum(1)], UNKNOWN_INTERFACE);
        check(&[bind(Interface::Wkssvc), share_enum(1)], UNKNOWN_INTERFACE);
        check(&[bind(Interface::Srvsvc), request(99, &[])], OPERATION_RANGE);
        check(&[bind(Interface::Srvsvc), request(15, &[1, 0, 0, 0])], BAD_STUB);
        check(&[bind(Interface::Srvsvc), request(16, &[0xFF; 40])], BAD_STUB);
        let mut pipe = of_name("srvsvc").unwrap();
        assert_eq!(pipe.write(&persona, b"\x05\x00"), Err(Status::INVALID_PARAMETER));
        assert!(of_name("/tmp/a").is_none() && of_name("").is_none() && of_name("pipé\\srvsvc").is_none());
    }

    #[test]
    fn what_is_not_read_is_bounded() {
        let persona = server(16);
        let mut pipe = of_name("srvsvc").unwrap();
        pipe.write(&persona, &bind(Interface::Srvsvc)).unwrap();
        let written = (0..100).take_while(|_| pipe.write(&persona, &share_enum(502)).is_ok()).count();
        assert!((1..8).contains(&written), "{written}");
        assert!(pipe.waiting_bytes < 3 * WAITING_BYTES_MAX, "{}", pipe.waiting_bytes);
        let (part, is_more) = pipe.read(10).unwrap();
        assert_eq!((part.len(), is_more), (10, true));
    }
}
