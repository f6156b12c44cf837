//! Streams of real guests, in which `tests/lab/programs/acts.c` ran.

#![allow(clippy::unwrap_used, reason = "a test ends where something it needs is not there")]

mod streams;
