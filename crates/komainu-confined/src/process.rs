//! The process, seen from the side that asks, and the socket between both.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// This program, whoever may look at where it lies.
const PROGRAM: &str = "/proc/self/exe";

/// A process of this program that is asked over a socket. It is ended when this is dropped.
#[derive(Debug)]
pub struct ConfinedProcess {
    child: Child,
    stream: UnixStream,
}

impl ConfinedProcess {
    /// Starts this program with these arguments, which make it call [`asker`], in an empty environment.
    pub fn start(arguments: &[String]) -> io::Result<Self> {
        let (stream, theirs) = UnixStream::pair()?;
        let child = Command::new(PROGRAM)
            .args(arguments)
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            // What it would say, a sample may have chosen.
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { child, stream })
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The socket, on which everything must be done within this time.
    pub fn within(&self, time: Duration) -> Until<'_> {
        Until::of(&self.stream, time)
    }

    /// Ends the process at once.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()
    }
}

impl Drop for ConfinedProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        // It is dead, or about to be: this takes no time, and leaves nothing behind.
        let _ = self.child.wait();
    }
}

/// A socket on which everything must be done by a time, however small the pieces are in which it comes.
#[derive(Debug)]
pub struct Until<'a> {
    stream: &'a UnixStream,
    deadline: Instant,
}

impl<'a> Until<'a> {
    /// This socket, on which everything must be done within this time.
    pub fn of(stream: &'a UnixStream, time: Duration) -> Self {
        Self { stream, deadline: Instant::now() + time }
    }

    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for Until<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buffer)
    }
}

impl Write for Until<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whoever asks this process: its standard input, which is a socket. To be called before descriptors are given up.
pub fn asker() -> io::Result<UnixStream> {
    // The descriptor 0 stays what it is.
    Ok(UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?))
}
