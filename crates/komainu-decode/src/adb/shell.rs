//! The shell protocol of version 2 (AOSP, `shell_protocol.h`): packets of a kind, a length and data.

use super::Event;
use super::lines::Lines;
use crate::oddities::Oddities;
use crate::{Fact, Observer, Place, Side};

const STDIN: u8 = 0;
const EXIT: u8 = 3;

/// What one side says in the protocol.
#[derive(Debug, Default)]
pub(super) struct Packets {
    /// The kind and the length of the packet, while they come.
    header: Vec<u8>,
    /// How many bytes of the packet follow.
    left: u32,
}

impl Packets {
    /// Takes a piece of the stream. Lines of the client's input are commands if `lines` are given.
    pub(super) fn take(
        &mut self,
        mut bytes: &[u8],
        mut place: Place,
        mut lines: Option<&mut Lines>,
        oddities: &mut Oddities,
        observer: &mut dyn Observer,
    ) {
        while let Some((&first, rest)) = bytes.split_first() {
            let Some(&[kind, a, b, c, d]) = self.header.first_chunk() else {
                if self.header.is_empty() {
                    self.header.reserve_exact(5);
                }
                self.header.push(first);
                if let Some(&[_, a, b, c, d]) = self.header.first_chunk() {
                    self.left = u32::from_le_bytes([a, b, c, d]);
                    self.end_if_done();
                }
                bytes = rest;
                place = Place { offset: place.offset + 1, bytes: rest.len() as u64, ..place };
                continue;
            };
            let used = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
            let (data, rest) = bytes.split_at(used);
            let data_place = Place { bytes: used as u64, ..place };
            match (place.side, kind) {
                (Side::Client, STDIN) => {
                    if let Some(lines) = lines.as_deref_mut() {
                        lines.take(data, data_place, oddities, observer);
                    }
                }
                (Side::Server, EXIT) => {
                    // One byte; more are none of ours.
                    let is_first = self.left == u32::from_le_bytes([a, b, c, d]);
                    if let Some(&code) = data.first().filter(|_| is_first) {
                        observer.fact(Place { bytes: 1, ..place }, Fact::Adb(Event::Exit { code }));
                    }
                }
                (_, _) => {}
            }
            self.left -= u32::try_from(used).expect("no more is used than is left");
            self.end_if_done();
            bytes = rest;
            place = Place { offset: place.offset + used as u64, bytes: rest.len() as u64, ..place };
        }
    }

    fn end_if_done(&mut self) {
        if self.left == 0 {
            self.header.clear();
        }
    }
}
