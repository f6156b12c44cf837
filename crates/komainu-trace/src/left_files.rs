//! The files that a sample left behind, put together from what the agent sent.

use std::collections::BTreeMap;

use crate::RawText;
use crate::agent::{FilePiece, FrameReader, GuestFrame};

/// Files that are told: twice what the agent sends.
const FILES_MAX: usize = 1_024;

/// How much of a stream is read at once: what is not read yet is kept beside it.
const FRAMES_AT_ONCE_BYTES: usize = 1 << 20;

/// The files that the sample left, whole, in the order of their paths. At most as many bytes as the stream has.
pub fn left_files(guest: &[u8]) -> BTreeMap<RawText, FilePiece> {
    let mut files: BTreeMap<RawText, FilePiece> = BTreeMap::new();
    let mut reader = FrameReader::default();
    let mut take = |frame: GuestFrame| {
        let GuestFrame::File(piece) = frame else { return };
        let is_full = files.len() >= FILES_MAX;
        match files.get_mut(&piece.path) {
            // Pieces come in their order; whoever says otherwise has taken the agent over, and gets what was said first.
            Some(file) if piece.offset == file.content.len() as u64 && piece.offset > 0 => {
                file.content.extend_from_slice(&piece.content);
            }
            Some(_) => {}
            None if is_full => {}
            None => {
                files.insert(piece.path.clone(), piece);
            }
        }
    };
    for bytes in guest.chunks(FRAMES_AT_ONCE_BYTES) {
        reader.push(bytes, |frame| {
            // What is not understood is told by whoever reads the whole stream.
            if let Ok(frame) = frame {
                take(frame);
            }
        });
    }
    files
}
