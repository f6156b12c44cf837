//! Several threads for one question.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;

use komainu_ports::LakeError;
use parking_lot::Mutex;

/// A question's threads. More are of no use while others are answered, too.
const THREADS_MAX: usize = 8;

/// Lets threads do the work piece by piece, in its order, each with a state of its own, which it ends when there is no more.
/// The first that fails ends all of them.
pub(crate) fn spread<T: Sync, S: Send>(
    work: &[T],
    begin: impl Fn() -> S + Sync,
    does: impl Fn(&mut S, &T) -> Result<(), LakeError> + Sync,
    end: impl Fn(&mut S) -> Result<(), LakeError> + Sync,
) -> Result<Vec<S>, LakeError> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX).min(work.len()).max(1);
    let (next, is_over, failed) = (AtomicUsize::new(0), AtomicBool::new(false), Mutex::new(None));
    let run = || {
        let mut state = begin();
        let mut work_on = || {
            while !is_over.load(Relaxed) {
                let Some(piece) = work.get(next.fetch_add(1, Relaxed)) else { break };
                does(&mut state, piece)?;
            }
            end(&mut state)
        };
        if let Err(error) = work_on() {
            failed.lock().get_or_insert(error);
            is_over.store(true, Relaxed);
        }
        state
    };
    let states = if threads == 1 {
        vec![run()]
    } else {
        thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
            let mut states = vec![run()];
            for other in others {
                states.push(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            states
        })
    };
    match failed.into_inner() {
        Some(error) => Err(error),
        None => Ok(states),
    }
}
