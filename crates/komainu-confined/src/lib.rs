//! Processes that look at samples and can open nothing: what the two sides of each of them share.
//!
//! In: the arguments by which this program becomes such a process. Out, on the side that asks: a child with an empty
//! environment behind one socket, on which everything has a deadline ([`ConfinedProcess`]). On the side that is asked: the
//! socket ([`asker`]) and the giving up, for good, of rights, files, connections, processes, memory beyond a bound, and
//! all system calls but a few ([`give_up_new_rights`], [`confine`]). Between them: messages ([`send`], [`receive`]).
//!
//! Whoever asks reads answers as those of a stranger: a sample may have taken over the process that looks at it.
//!
//! Not here: what is asked and answered.

mod confinement;
mod message;
mod process;

pub use confinement::{ConfineError, confine, give_up_new_rights};
pub use message::{receive, send};
pub use process::{ConfinedProcess, Until, asker};
