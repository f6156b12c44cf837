//! The jail: a program that whoever it serves may have taken over, such as QEMU with a sample in its guest, started so that
//! it can touch nothing.
//!
//! In: a [`Jail`]: the program, the files it may read, the descriptors it is given, its [`Limits`]. Out: a [`JailedChild`],
//! which ends when it is told, when its time is over or when nobody holds it any more, and says what it cost.
//!
//! Between the two stands the launcher ([`run_launcher`]), this program once more with an empty environment. As a user
//! without rights it makes namespaces with nothing in them: a file system of the files named and three devices, a network
//! without an interface, a process list of one. The program becomes that one process: without capabilities, behind a list
//! of system calls of our own, with limits that hold for a single process because it can start no other.
//!
//! Not here: which files and arguments QEMU needs, and what it talks about over the descriptors.
//!
//! This crate may use `unsafe`, for what no other crate offers: starting the one process of the jail (`fork`), giving
//! descriptors their numbers (`dup2`), closing all others (`close_range`), and leaving the session's keys (`keyctl`). Each
//! block says why it is sound.
#![expect(unsafe_code, reason = "a jail is made with calls that no safe interface has; see above")]

mod descriptors;
mod filesystem;
mod inside;
mod jail;
mod launcher;
mod limits;
mod message;
mod problem;
mod program;
mod self_test;
mod system_calls;
mod user;

pub use descriptors::{DESCRIPTORS_MAX, check_descriptor};
pub use jail::{Jail, JailError, JailedChild};
pub use launcher::{LauncherError, run_launcher};
pub use limits::Limits;
pub use message::{EndedBy, HowEnded, JailEnd};
pub use self_test::{Finding, run_self_test, self_test};
pub use user::{JailUser, JailUserError};
