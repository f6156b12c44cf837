//! In-memory engines.
/// s
pub struct MemoryStore;
