//! Requests that wait for their response.

use std::collections::VecDeque;

use memchr::memrchr;

use super::{HTTP, Request};
use crate::Place;
use crate::message::Credentials;

/// The bytes of one request's head that are kept until its response has come; those of real clients have less than a
/// tenth.
const KEPT_HEAD_BYTES_MAX: usize = 8 * 1024;
/// The requests that are kept at the same time; clients that pipeline send some dozens.
const REQUESTS_MAX: usize = 128;
/// The bytes of heads and of logins from them that are kept at the same time.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// A head that is kept, and where it is.
#[derive(Debug)]
pub(super) struct Kept {
    head: Vec<u8>,
    /// Whether there was more of it.
    pub(super) is_cut: bool,
    pub(super) place: Place,
}

impl Kept {
    /// Keeps `head`, or its beginning up to a line end.
    pub(super) fn new(head: &[u8], is_cut: bool, place: Place) -> Self {
        match head.get(..KEPT_HEAD_BYTES_MAX) {
            Some(begin) if head.len() > KEPT_HEAD_BYTES_MAX => {
                let end = memrchr(b'\n', begin).map_or(begin.len(), |line_feed| line_feed + 1);
                Self { head: begin[..end].to_vec(), is_cut: true, place }
            }
            _ => Self { head: head.to_vec(), is_cut, place },
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.head
    }
}

/// A request that waits.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) kept: Kept,
    pub(super) login: Option<(Credentials, Place)>,
}

impl Asked {
    fn bytes(&self) -> usize {
        self.kept.head.len() + self.login.as_ref().map_or(0, |(credentials, _)| credentials.bytes())
    }

    pub(super) fn request(&self) -> Request<'_> {
        Request::parse(self.kept.bytes(), self.kept.is_cut, HTTP)
    }
}

/// Requests in the order in which they were sent, which is that of their responses (RFC 9112, 9.3.2).
#[derive(Debug, Default)]
pub(super) struct Waiting {
    queue: VecDeque<Asked>,
    kept_bytes: usize,
    /// The requests after the last in `queue` that could not be kept.
    forgotten: u64,
}

impl Waiting {
    /// Keeps a request. Gives back whether that was within the bounds.
    pub(super) fn push(&mut self, asked: Asked) -> bool {
        let bytes = asked.bytes();
        if self.forgotten > 0 || self.queue.len() >= REQUESTS_MAX || self.kept_bytes + bytes > KEPT_BYTES_MAX {
            self.forgotten += 1;
            return false;
        }
        self.kept_bytes += bytes;
        self.queue.push_back(asked);
        true
    }

    /// The request whose response comes next; none when it is not known.
    pub(super) fn front(&self) -> Option<&Asked> {
        self.queue.front()
    }

    /// Takes the request whose response has come.
    pub(super) fn pop(&mut self) -> Option<Asked> {
        let asked = self.queue.pop_front();
        match &asked {
            Some(asked) => self.kept_bytes -= asked.bytes(),
            None => self.forgotten = self.forgotten.saturating_sub(1),
        }
        asked
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.forgotten == 0
    }

    /// Whether the next response has no head (HTTP/0.9).
    pub(super) fn is_simple(&self) -> bool {
        self.front().is_some_and(|asked| asked.request().version.is_empty())
    }

    /// Forgets that requests were forgotten.
    pub(super) fn clear_forgotten(&mut self) {
        self.forgotten = 0;
    }
}
