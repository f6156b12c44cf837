//! Choices that look like chance and are the same whenever the seed is.

use sha2::{Digest, Sha256};

/// From what every choice follows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seed(pub(crate) u64);

impl Seed {
    /// A number that belongs to `what` and `of`.
    pub(crate) fn number(self, what: &str, of: &[u8]) -> u64 {
        let mut hash = Sha256::new();
        hash.update(self.0.to_be_bytes());
        hash.update((what.len() as u64).to_be_bytes());
        hash.update(what);
        hash.update(of);
        let digest: [u8; 32] = hash.finalize().into();
        let [a, b, c, d, e, f, g, h, ..] = digest;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn below(self, what: &str, of: &[u8], end: u64) -> u64 {
        self.number(what, of) % end.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_follows_from_the_seed_and_its_subject() {
        assert_eq!(Seed(1).number("a", b"b"), Seed(1).number("a", b"b"));
        let others = [Seed(2).number("a", b"b"), Seed(1).number("ab", b""), Seed(1).number("a", b"c")];
        assert!(others.iter().all(|other| *other != Seed(1).number("a", b"b")));
        assert_eq!(Seed(1).below("a", b"", 0), 0, "no division by zero");
    }
}
