//! A jail, as whoever wants one sees it.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::unistd::Uid;

use crate::descriptors::{DESCRIPTORS_MAX, check_descriptor};
use crate::filesystem::check_visible;
use crate::inside::may_be_number;
use crate::limits::Limits;
use crate::message::{JailEnd, Order, Said, Word, pair, receive, send, wait_for};
use crate::program::needed;
use crate::user::JailUser;

/// This program, whoever may look at where it lies.
const SELF: &str = "/proc/self/exe";

/// A launcher answers within milliseconds; on a machine without a moment's time within this.
const START_TIME_MAX: Duration = Duration::from_secs(20);

/// From the word to end to the end: the kernel has to give back the memory.
const END_TIME_MAX: Duration = Duration::from_secs(10);

/// A program that is to be started where it can touch nothing.
#[derive(Debug)]
pub struct Jail {
    /// The arguments by which this program becomes [`run_launcher`](crate::run_launcher).
    pub launcher: Vec<String>,
    /// The program, an absolute path. It and its libraries are visible in the jail, where they lie outside.
    pub program: PathBuf,
    /// Its arguments, without its name.
    pub arguments: Vec<String>,
    /// Its whole environment.
    pub environment: Vec<(String, String)>,
    /// Further files and folders that it may read; in the jail they are where they are outside. The user of the jail
    /// must be allowed to read them.
    pub read_only: Vec<PathBuf>,
    /// What it is given, and under which numbers; see [`check_descriptor`]. Of the numbers 0, 1 and 2, those that are
    /// not here are `/dev/null`. Numbers are below `limits.descriptors_max`.
    pub descriptors: Vec<(OwnedFd, RawFd)>,
    /// How much of the machine it may use.
    pub limits: Limits,
    /// As whom it runs when this process is root's; otherwise it runs as the same user as this process.
    pub user: Option<JailUser>,
}

/// Why a program does not run in a jail.
#[derive(Debug, thiserror::Error)]
pub enum JailError {
    /// The program cannot be read, or is none.
    #[error("cannot start {} in a jail", path.display())]
    Program {
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Something must not, or cannot, be visible in a jail.
    #[error("cannot make {} visible in a jail: {reason}", path.display())]
    Visible {
        /// Its path.
        path: PathBuf,
        /// Why not.
        reason: &'static str,
    },
    /// A descriptor must not be given to a jail.
    #[error("cannot give descriptor {number} to a jail: {reason}")]
    Descriptor {
        /// The number that it was to have there.
        number: RawFd,
        /// Why not.
        reason: &'static str,
    },
    /// A limit limits nothing, or too much.
    #[error("a jail must have limits: {0}")]
    Limits(&'static str),
    /// The process is root's, and there is no user without rights.
    #[error("a jail is never root's: started by root, it needs a user without rights (sandbox.user)")]
    Root,
    /// The launcher cannot be started or does not answer.
    #[error("cannot start the launcher of a jail")]
    Launcher(#[source] io::Error),
    /// This machine does not let a jail be made; what to do stands in the text.
    #[error("cannot make a jail: {doing}: {reason}")]
    Refused {
        /// What could not be done.
        doing: String,
        /// Why not.
        reason: String,
    },
}

impl Jail {
    /// Starts the program. When this comes back, it runs in its jail. Takes some ten milliseconds, and waits for them.
    pub fn start(self) -> Result<JailedChild, JailError> {
        if let Some(reason) = self.limits.problem() {
            return Err(JailError::Limits(reason));
        }
        if Uid::effective().is_root() && self.user.is_none() {
            return Err(JailError::Root);
        }
        self.check_descriptors()?;
        let visible = self.visible()?;
        let (numbers, given): (Vec<_>, Vec<_>) =
            self.descriptors.into_iter().map(|(descriptor, number)| (number, descriptor)).unzip();
        let Self { launcher, program, arguments, environment, limits, user, .. } = self;
        let order = Order { program, arguments, environment, visible, numbers, limits, user };
        let (socket, theirs) = pair().map_err(JailError::Launcher)?;
        let launcher = Command::new(SELF)
            .args(launcher)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(JailError::Launcher)?;
        let mut child = JailedChild { launcher, socket, pid: 0, end: None };
        let beside: Vec<_> = given.iter().map(AsFd::as_fd).collect();
        send(child.socket.as_fd(), &order, &beside).map_err(JailError::Launcher)?;
        match child.next_word(START_TIME_MAX) {
            Ok(Some(Said::Started { pid })) => {
                child.pid = pid;
                Ok(child)
            }
            Ok(Some(Said::Failed { doing, reason })) => Err(JailError::Refused { doing, reason }),
            Ok(Some(Said::Ended(_))) => Err(JailError::Launcher(io::ErrorKind::InvalidData.into())),
            Ok(None) => Err(JailError::Launcher(io::ErrorKind::TimedOut.into())),
            Err(error) => Err(JailError::Launcher(error)),
        }
    }

    fn check_descriptors(&self) -> Result<(), JailError> {
        let mut numbers = BTreeSet::new();
        for (descriptor, number) in &self.descriptors {
            let refused = |reason| JailError::Descriptor { number: *number, reason };
            if !may_be_number(*number, self.limits.descriptors_max) {
                return Err(refused("its number is not below descriptors_max"));
            }
            if !numbers.insert(*number) || numbers.len() > DESCRIPTORS_MAX {
                return Err(refused("its number is given twice, or there are too many"));
            }
            check_descriptor(descriptor.as_fd()).map_err(refused)?;
        }
        Ok(())
    }

    /// Everything that is to be visible.
    fn visible(&self) -> Result<Vec<PathBuf>, JailError> {
        let check =
            |path: &Path| check_visible(path).map_err(|reason| JailError::Visible { path: path.to_owned(), reason });
        check(&self.program)?;
        let mut visible =
            needed(&self.program).map_err(|source| JailError::Program { path: self.program.clone(), source })?;
        self.read_only.iter().try_for_each(|path| check(path))?;
        visible.extend(self.read_only.iter().cloned());
        Ok(visible)
    }
}

/// A program in its jail. It ends when this is dropped, or this process ends.
#[derive(Debug)]
pub struct JailedChild {
    launcher: Child,
    socket: OwnedFd,
    pid: u32,
    end: Option<JailEnd>,
}

impl JailedChild {
    /// The number of the process as this machine counts, for example to look at what it has used in `/proc`.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Ends the program. [`wait`](Self::wait) says what came of it.
    pub fn kill(&mut self) {
        // If nobody is there to be told, it has ended.
        let _ = send(self.socket.as_fd(), &Word::Kill, &[]);
    }

    /// Waits for the end, at most for so long; none when it still runs.
    ///
    /// Fails when the launcher was killed: then the program was as well, and nobody knows what it used.
    pub fn wait(&mut self, at_most: Duration) -> io::Result<Option<JailEnd>> {
        if self.end.is_none() {
            match self.next_word(at_most)? {
                Some(Said::Ended(end)) => self.end = Some(end),
                Some(Said::Started { .. } | Said::Failed { .. }) => return Err(io::ErrorKind::InvalidData.into()),
                None => {}
            }
        }
        Ok(self.end)
    }

    /// The next that the launcher says; none when it says nothing in time.
    fn next_word(&self, at_most: Duration) -> io::Result<Option<Said>> {
        let deadline = Instant::now() + at_most;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if wait_for([self.socket.as_fd()], left)? == [true] {
                let Some((said, _)) = receive(self.socket.as_fd())? else {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                };
                return Ok(Some(said));
            }
            if left.is_zero() {
                return Ok(None);
            }
        }
    }
}

impl AsFd for JailedChild {
    /// Can be read from when [`wait`](Self::wait) does not wait.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for JailedChild {
    fn drop(&mut self) {
        self.kill();
        if !matches!(self.wait(END_TIME_MAX), Ok(Some(_))) {
            // The program ends with it.
            let _ = self.launcher.kill();
        }
        // It has said its last word, or is killed: this takes no time, and leaves nothing behind.
        let _ = self.launcher.wait();
    }
}
