//! Messages: header, questions, records.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Name;
use crate::{OddityKind, fields::Fields};

/// The questions of a message that are told. Servers answer one; more is odd.
const QUESTIONS_MAX: usize = 16;

/// The records of each section of a message that are told. Names may expand to 255 bytes each, whatever the message
/// has, so this bounds the work: large answers of real servers have some dozens.
const RECORDS_MAX: usize = 256;

/// A message (RFC 1035, 4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message<'a> {
    /// What pairs an answer with its question.
    pub id: u16,
    /// The second word of the header, as it was sent.
    pub flags: u16,
    /// What is asked, at most 16.
    pub questions: Vec<Question<'a>>,
    /// Records that answer, at most 256.
    pub answers: Vec<Record<'a>>,
    /// Records that point to who may answer, at most 256.
    pub authorities: Vec<Record<'a>>,
    /// Records that may help, at most 256.
    pub additionals: Vec<Record<'a>>,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question<'a> {
    /// Of which name.
    pub name: Name<'a>,
    /// The type of records; 255 is ANY.
    pub kind: u16,
    /// The class; 1 is the Internet.
    pub class: u16,
}

/// A record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Of which name.
    pub name: Name<'a>,
    /// Its type.
    pub kind: u16,
    /// Its class; with OPT (RFC 6891) the datagram that the sender takes, in bytes.
    pub class: u16,
    /// How long it may be kept, in seconds.
    pub ttl_s: u32,
    /// What it says.
    pub data: Data<'a>,
}

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of RFC 1035, RFC 3596 and RFC 2782")]
pub enum Data<'a> {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    Cname(Name<'a>),
    Ns(Name<'a>),
    Ptr(Name<'a>),
    Mx {
        preference: u16,
        exchange: Name<'a>,
    },
    /// Strings, each behind its length in one byte.
    Txt(&'a [u8]),
    Soa(Soa<'a>),
    Srv {
        priority: u16,
        weight: u16,
        port: u16,
        target: Name<'a>,
    },
    /// Of another type, or broken.
    Other(&'a [u8]),
}

/// The start of a zone of authority (RFC 1035, 3.3.13).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of RFC 1035; times are in seconds")]
pub struct Soa<'a> {
    pub mname: Name<'a>,
    pub rname: Name<'a>,
    pub serial: u32,
    pub refresh_s: u32,
    pub retry_s: u32,
    pub expire_s: u32,
    pub minimum_s: u32,
}

/// What is wrong with a message.
type Problem = (OddityKind, &'static str);

impl<'a> Message<'a> {
    /// Whether it answers.
    pub fn is_response(&self) -> bool {
        self.flags & 0x8000 != 0
    }

    /// What kind of question; 0 is the usual one.
    pub fn opcode(&self) -> u8 {
        u8::try_from(self.flags >> 11 & 0xF).expect("four bits")
    }

    /// How it went, without the upper bits that EDNS adds (RFC 6891, 6.1.3).
    pub fn rcode(&self) -> u8 {
        u8::try_from(self.flags & 0xF).expect("four bits")
    }

    /// What can be read of a message, and what is wrong with it.
    pub(super) fn parse(bytes: &'a [u8]) -> (Option<Self>, Option<Problem>) {
        let mut fields = Fields::new(bytes);
        let [Some(id), Some(flags), Some(questions), Some(answers), Some(authorities), Some(additionals)] =
            [(); 6].map(|()| fields.u16())
        else {
            return (None, Some((OddityKind::Skipped, "no_message")));
        };
        let mut message = Self {
            id,
            flags,
            questions: Vec::new(),
            answers: Vec::new(),
            authorities: Vec::new(),
            additionals: Vec::new(),
        };
        let problem = message.sections(bytes, questions, [answers, authorities, additionals]).err();
        (Some(message), problem)
    }

    fn sections(&mut self, bytes: &'a [u8], questions: u16, records: [u16; 3]) -> Result<(), Problem> {
        const HEADER_BYTES: usize = 12;
        let cut = (OddityKind::Skipped, "malformed_message");
        let mut at = HEADER_BYTES;
        for _ in 0..questions {
            if self.questions.len() == QUESTIONS_MAX {
                return Err((OddityKind::Bound, "too_many_questions"));
            }
            let (question, next) = Question::parse(bytes, at).ok_or(cut)?;
            self.questions.push(question);
            at = next;
        }
        let sections = [&mut self.answers, &mut self.authorities, &mut self.additionals];
        for (section, count) in sections.into_iter().zip(records) {
            for _ in 0..count {
                if section.len() == RECORDS_MAX {
                    return Err((OddityKind::Bound, "too_many_records"));
                }
                let (record, next) = Record::parse(bytes, at).ok_or(cut)?;
                section.push(record);
                at = next;
            }
        }
        if at < bytes.len() { Err((OddityKind::Tolerated, "bytes_behind_message")) } else { Ok(()) }
    }
}

impl<'a> Question<'a> {
    fn parse(message: &'a [u8], at: usize) -> Option<(Self, usize)> {
        let (name, at) = Name::parse(message, at)?;
        let mut fields = Fields::new(message.get(at..)?);
        let (kind, class) = (fields.u16()?, fields.u16()?);
        Some((Self { name, kind, class }, at + 4))
    }
}

impl<'a> Record<'a> {
    fn parse(message: &'a [u8], at: usize) -> Option<(Self, usize)> {
        const FIXED_BYTES: usize = 10;
        let (name, at) = Name::parse(message, at)?;
        let mut fields = Fields::new(message.get(at..)?);
        let (kind, class, ttl_s) = (fields.u16()?, fields.u16()?, fields.u32()?);
        let content = fields.string16()?;
        let start = at + FIXED_BYTES;
        let end = start + content.len();
        let data = Data::parse(message, kind, start, content).unwrap_or(Data::Other(content));
        Some((Self { name, kind, class, ttl_s, data }, end))
    }
}

impl<'a> Data<'a> {
    /// Reads the content, which begins at `start` of the message and may use names that stand before it.
    fn parse(message: &'a [u8], kind: u16, start: usize, content: &'a [u8]) -> Option<Self> {
        // A name must end where the content does, or it is not one.
        let end = start + content.len();
        let name = |at| Name::parse(message, at).filter(|(_, next)| *next == end).map(|(name, _)| name);
        let mut fields = Fields::new(content);
        match kind {
            1 => <[u8; 4]>::try_from(content).ok().map(|address| Self::A(address.into())),
            28 => <[u8; 16]>::try_from(content).ok().map(|address| Self::Aaaa(address.into())),
            5 => name(start).map(Self::Cname),
            2 => name(start).map(Self::Ns),
            12 => name(start).map(Self::Ptr),
            15 => Some(Self::Mx { preference: fields.u16()?, exchange: name(start + 2)? }),
            16 => Some(Self::Txt(content)),
            6 => {
                let (mname, at) = Name::parse(message, start)?;
                let (rname, at) = Name::parse(message, at)?;
                let mut fields = Fields::new(message.get(at..end)?);
                Some(Self::Soa(Soa {
                    mname,
                    rname,
                    serial: fields.u32()?,
                    refresh_s: fields.u32()?,
                    retry_s: fields.u32()?,
                    expire_s: fields.u32()?,
                    minimum_s: fields.u32()?,
                }))
            }
            33 => Some(Self::Srv {
                priority: fields.u16()?,
                weight: fields.u16()?,
                port: fields.u16()?,
                target: name(start + 6)?,
            }),
            _ => None,
        }
    }

    /// The strings of a TXT record; none of another.
    pub fn strings(&self) -> impl Iterator<Item = &'a [u8]> {
        let mut fields = Fields::new(if let Self::Txt(content) = self { content } else { &[] });
        std::iter::from_fn(move || fields.string8())
    }
}
