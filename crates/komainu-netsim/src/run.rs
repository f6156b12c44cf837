//! The process: it has the guest's link and three outputs, and can open nothing else.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::confinement::confine;
use crate::internet::{Internet, InternetError, Output};
use crate::limits::FRAME_BYTES_MAX;
use crate::message::{self, Ready};
use crate::settings::{Framing, Settings};

/// Frames that are taken before what follows from them is handed out.
const FRAMES_AT_ONCE: usize = 64;

/// Bytes of frames that wait until the guest takes them; what is more is lost, as on a real link.
const WAITING_BYTES_MAX: usize = 1024 * 1024;

/// The longest that is slept, so that a clock that jumps does no harm.
const SLEEP_MAX: Duration = Duration::from_secs(5);

/// Bytes that are read at once.
const READ_BYTES: usize = 64 * 1024;

/// The most that a length before a frame may say, in bytes: what QEMU may send (a frame of 64 KiB and its header).
const STREAM_FRAME_BYTES_MAX: usize = 68 * 1024;

/// Why the simulated Internet ends before it is told to.
#[derive(Debug, thiserror::Error)]
pub enum RunNetsimError {
    /// It cannot give up what it must not have.
    #[error("cannot give up rights")]
    Confine(#[source] io::Error),
    /// Whoever started it is not there, or says something else than settings.
    #[error("cannot understand the settings")]
    Settings(#[source] io::Error),
    /// The settings ask for something that is not possible.
    #[error(transparent)]
    Internet(#[from] InternetError),
    /// Nobody takes what it tells.
    #[error("cannot hand out what was seen")]
    Output(#[source] io::Error),
    /// The link of the guest broke.
    #[error("cannot read the guest's frames")]
    Link(#[source] io::Error),
}

/// Is the simulated Internet's process: takes settings and descriptors from its standard input, which is a Unix socket;
/// gives up everything else; and carries frames until that socket or the link ends.
///
/// The descriptors are, in this order: the guest's frames, events (a line of JSON each), packets (pcap), contents (each
/// SHA-256, length in four bytes, little-endian, bytes).
pub fn run_netsim() -> Result<(), RunNetsimError> {
    let control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned().map_err(RunNetsimError::Settings)?);
    let (settings, [frames, events, packets, contents]) =
        message::receive_settings(&control).map_err(RunNetsimError::Settings)?;
    let settings: Settings =
        serde_json::from_slice(&settings).map_err(|error| RunNetsimError::Settings(error.into()))?;
    let framing = settings.framing;
    let internet = Internet::new(settings)?;
    let ready = Ready { certificate_pem: internet.certificate_pem().to_owned() };
    let ready = serde_json::to_vec(&ready).expect("texts are JSON");
    let link = Link::new(frames, framing).map_err(RunNetsimError::Link)?;
    // Read and written as files, which needs fewer system calls than sockets do.
    let mut outputs =
        Outputs { events: File::from(events), packets: File::from(packets), contents: File::from(contents) };
    let mut control = File::from(OwnedFd::from(control));
    confine().map_err(RunNetsimError::Confine)?;
    let length = u32::try_from(ready.len()).expect("a certificate is short").to_le_bytes();
    control.write_all(&[&length[..], &ready].concat()).map_err(RunNetsimError::Settings)?;
    carry(internet, link, &mut outputs, &control)
}

fn carry(mut internet: Internet, mut link: Link, outputs: &mut Outputs, control: &File) -> Result<(), RunNetsimError> {
    let begun = Instant::now();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        outputs.write(&internet.take(), &mut link, &mut internet).map_err(RunNetsimError::Output)?;
        let now = begun.elapsed();
        let sleep = internet.next_at().map_or(SLEEP_MAX, |at| at.saturating_sub(now)).min(SLEEP_MAX);
        // Rounded up: waking too early would be waking twice.
        let sleep_ms = u16::try_from(sleep.as_micros().div_ceil(1000)).unwrap_or(u16::MAX);
        let (ended, readable) = wait(control, &link, sleep_ms).map_err(RunNetsimError::Link)?;
        let now = begun.elapsed();
        internet.advance(now);
        let mut is_over = ended;
        if readable {
            is_over |= link.read(&mut buffer, &mut |frame| internet.frame(now, frame)).map_err(RunNetsimError::Link)?;
        }
        link.flush();
        if is_over {
            internet.end();
            return outputs.write(&internet.take(), &mut link, &mut internet).map_err(RunNetsimError::Output);
        }
    }
}

/// Waits; whether to end, and whether there are frames.
fn wait(control: &File, link: &Link, sleep_ms: u16) -> io::Result<(bool, bool)> {
    let wanted = if link.waiting.is_empty() { PollFlags::POLLIN } else { PollFlags::POLLIN | PollFlags::POLLOUT };
    let mut polled = [PollFd::new(control.as_fd(), PollFlags::POLLIN), PollFd::new(link.as_fd(), wanted)];
    match poll(&mut polled, PollTimeout::from(sleep_ms)) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => {}
        Err(error) => return Err(error.into()),
    }
    let [of_control, of_link] = polled.map(|one| one.revents().unwrap_or(PollFlags::empty()));
    // Whoever started this says nothing more: if there is something, it is the end.
    Ok((!of_control.is_empty(), !of_link.is_empty()))
}

/// Where everything that is told goes.
struct Outputs {
    events: File,
    packets: File,
    contents: File,
}

impl Outputs {
    fn write(&mut self, output: &Output, link: &mut Link, internet: &mut Internet) -> io::Result<()> {
        for frame in &output.frames {
            if !link.send(frame) {
                internet.lost("frames that the guest did not take");
            }
        }
        let mut lines = Vec::new();
        for event in &output.events {
            serde_json::to_writer(&mut lines, event)?;
            lines.push(b'\n');
        }
        self.events.write_all(&lines)?;
        self.packets.write_all(&output.packets)?;
        for content in &output.contents {
            let length = u32::try_from(content.bytes.len()).expect("a content has a bound").to_le_bytes();
            self.contents.write_all(&content.sha256)?;
            self.contents.write_all(&length)?;
            self.contents.write_all(&content.bytes)?;
        }
        Ok(())
    }
}

/// The guest's link.
struct Link {
    frames: File,
    framing: Framing,
    /// Of a stream: the begin of a frame that is not whole, and what waits to be written.
    begun: Vec<u8>,
    waiting: Vec<u8>,
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.frames.as_fd()
    }
}

impl Link {
    fn new(frames: OwnedFd, framing: Framing) -> io::Result<Self> {
        // A guest that takes nothing must not keep this process from hearing that it is to end.
        let flags = OFlag::from_bits_retain(fcntl(&frames, FcntlArg::F_GETFL)?);
        fcntl(&frames, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        Ok(Self { frames: File::from(frames), framing, begun: Vec::new(), waiting: Vec::new() })
    }

    /// Reads what is there, not too much at once. Whether the link is over.
    fn read(&mut self, buffer: &mut [u8], take: &mut dyn FnMut(&[u8])) -> io::Result<bool> {
        for _ in 0..FRAMES_AT_ONCE {
            let length = match self.frames.read(buffer) {
                // The end of a stream; and no card sends a frame without bytes.
                Ok(0) => return Ok(true),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(true),
                Err(error) => return Err(error),
            };
            match self.framing {
                Framing::Datagram => take(&buffer[..length]),
                Framing::Stream => {
                    self.begun.extend(&buffer[..length]);
                    let used = frames_of(&self.begun, take)?;
                    self.begun.drain(..used);
                }
            }
        }
        Ok(false)
    }

    /// Sends a frame; false if it is lost.
    fn send(&mut self, frame: &[u8]) -> bool {
        match self.framing {
            Framing::Datagram => self.frames.write(frame).is_ok(),
            Framing::Stream => {
                if self.waiting.len() + frame.len() > WAITING_BYTES_MAX {
                    return false;
                }
                let length = u32::try_from(frame.len()).expect("a frame is short");
                self.waiting.extend(length.to_be_bytes());
                self.waiting.extend(frame);
                self.flush();
                true
            }
        }
    }

    fn flush(&mut self) {
        while !self.waiting.is_empty() {
            match self.frames.write(&self.waiting) {
                Ok(length @ 1..) => drop(self.waiting.drain(..length)),
                // Later, or never: that shows when frames are read.
                Ok(0) | Err(_) => return,
            }
        }
    }
}

/// Takes the whole frames of a stream; how many bytes they were. A length that no frame has is the end.
fn frames_of(bytes: &[u8], take: &mut dyn FnMut(&[u8])) -> io::Result<usize> {
    let mut at = 0;
    while let Some((length, rest)) = bytes[at..].split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        if length > STREAM_FRAME_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame that is too long"));
        }
        let Some(frame) = rest.get(..length) else { break };
        // What is longer than a frame of this link is counted as such by whoever takes it.
        take(&frame[..length.min(FRAME_BYTES_MAX + 1)]);
        at += 4 + length;
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_a_stream_are_whole_however_they_come() {
        let mut bytes = Vec::new();
        for frame in [&b"one"[..], b"", &[7; 2000]] {
            bytes.extend(u32::try_from(frame.len()).unwrap().to_be_bytes());
            bytes.extend(frame);
        }
        for piece in [1, 5, 1000, bytes.len()] {
            let (mut seen, mut begun) = (Vec::new(), Vec::new());
            for piece in bytes.chunks(piece) {
                begun.extend(piece);
                let used = frames_of(&begun, &mut |frame| seen.push(frame.len())).unwrap();
                begun.drain(..used);
            }
            assert_eq!(seen, [3, 0, FRAME_BYTES_MAX + 1]);
        }
        assert!(frames_of(&[0xFF; 4], &mut |_| {}).is_err());
    }
}
