//! What could not be done on the way into a jail.

use std::io;

/// What could not be done, and why.
pub(crate) type Problem = (String, io::Error);

/// Says of an error what was being done.
pub(crate) fn problem<E: Into<io::Error>>(doing: impl Into<String>) -> impl FnOnce(E) -> Problem {
    let doing = doing.into();
    move |error| (doing, error.into())
}
