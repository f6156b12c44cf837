//! What the process and whoever starts it say to each other, on a Unix socket that is its standard input.
//!
//! A message is the number of its bytes in four, little-endian, and its bytes, which are JSON. First come the settings, and
//! with their first byte four descriptors: frames, events, packets, contents. The answer is [`Ready`]. The end of the
//! stream is the word to end.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

use crate::limits::SETTINGS_BYTES_MAX;

/// Descriptors that come with the settings.
pub(crate) const DESCRIPTORS: usize = 4;

/// The process is confined and waits for frames.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ready {
    /// The certificate of its authority, PEM.
    pub(crate) certificate_pem: String,
}

/// Sends a message and, with its first byte, descriptors.
pub(crate) fn send(to: &UnixStream, message: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let length = u32::try_from(message.len()).map_err(|_| invalid("a message is too long"))?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(invalid("too many descriptors"));
    }
    let length = length.to_le_bytes();
    let sent = sendmsg(to, &[IoSlice::new(&length)], &mut control, SendFlags::NOSIGNAL)?;
    let mut to = to;
    to.write_all(&length[sent.min(length.len())..])?;
    to.write_all(message)
}

/// Receives a message of at most `bytes_max` bytes, without descriptors.
pub(crate) fn receive(from: &mut impl Read, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    body(from, length, bytes_max)
}

/// Receives the settings and the descriptors.
pub(crate) fn receive_settings(from: &UnixStream) -> io::Result<(Vec<u8>, [OwnedFd; DESCRIPTORS])> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut length = [0; 4];
    let received =
        recvmsg(from.as_fd(), &mut [IoSliceMut::new(&mut length)], &mut control, RecvFlags::CMSG_CLOEXEC)?.bytes;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    let mut from = from;
    from.read_exact(&mut length[received.min(4)..])?;
    let settings = body(&mut from, length, SETTINGS_BYTES_MAX)?;
    let descriptors = descriptors.try_into().map_err(|_| invalid("four descriptors must come with the settings"))?;
    Ok((settings, descriptors))
}

fn body(from: &mut impl Read, length: [u8; 4], bytes_max: usize) -> io::Result<Vec<u8>> {
    let length = u32::from_le_bytes(length) as usize;
    if length > bytes_max {
        return Err(invalid("a message that is too long"));
    }
    let mut message = Vec::new();
    from.take(length as u64).read_to_end(&mut message)?;
    if message.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(message)
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_with_their_descriptors() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let files: Vec<_> = (0..DESCRIPTORS).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
        let borrowed: Vec<_> = files.iter().map(AsFd::as_fd).collect();
        send(&ours, b"{}", &borrowed).unwrap();
        let (settings, _) = receive_settings(&theirs).unwrap();
        assert_eq!(settings, b"{}");
        send(&ours, b"{}", &[]).unwrap();
        assert!(receive_settings(&theirs).is_err(), "no descriptors");
        send(&ours, b"answer", &[]).unwrap();
        let mut reader = &theirs;
        assert!(receive(&mut reader, 5).is_err(), "a bound");
    }
}
