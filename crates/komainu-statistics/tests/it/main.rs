//! Peaks in worlds of which it is known what happened.

mod measured;
mod peers;
mod world;
