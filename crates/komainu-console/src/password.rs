//! Passwords: which may be chosen, and how they are hashed and verified.

use std::time::{Duration, Instant};

use argon2::password_hash::phc::PasswordHash as Phc;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use komainu_model::OperatorName;
use komainu_ports::{IdSource, PasswordHash};
use parking_lot::{Condvar, Mutex};

/// The least bytes of a password. Longer than what NIST SP 800-63B asks for: nobody types it more than once a day.
pub(crate) const PASSWORD_BYTES_MIN: usize = 12;

/// The most bytes of a password; a sentence or what a password manager makes is far shorter.
pub(crate) const PASSWORD_BYTES_MAX: usize = 1_024;

/// Memory, passes and lanes of argon2id: the second recommended option of RFC 9106 section 4 (64 MiB, three passes), with
/// one lane, because one guess of ours keeps one processor busy.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 1;

/// Bytes of a salt (RFC 9106 section 3.1).
const SALT_BYTES: usize = 16;

/// Passwords that are hashed at the same time: each takes [`MEMORY_KIB`] and a processor, and the rest of the server needs
/// some as well.
const AT_ONCE_MAX: usize = 2;

/// Who may wait for a turn; with the time that one takes, the last one waits for a second or two.
const WAITING_MAX: usize = 8;

/// How long somebody waits for a turn at most.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// What is chosen too often, one a line, in small letters; our own list. What stands around letters (`2026!`) is cut off
/// before it is looked up.
const COMMON: &str = include_str!("../texts/common_passwords.txt");

/// Why a password may not be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// It has fewer bytes than [`PASSWORD_BYTES_MIN`].
    Short,
    /// It has more than [`PASSWORD_BYTES_MAX`].
    Long,
    /// Others choose it, or it is the operator's name.
    Common,
}

/// Whether an operator may choose this password.
pub(crate) fn check(password: &str, name: &OperatorName) -> Result<(), Unfit> {
    match password.len() {
        ..PASSWORD_BYTES_MIN => return Err(Unfit::Short),
        PASSWORD_BYTES_MIN..=PASSWORD_BYTES_MAX => {}
        _ => return Err(Unfit::Long),
    }
    let folded = password.to_lowercase();
    let mut letters: Vec<char> = folded.chars().collect();
    letters.sort_unstable();
    letters.dedup();
    let core = folded.trim_matches(|character: char| !character.is_alphabetic());
    let is_known = |text: &str| COMMON.lines().any(|common| common == text) || text == name.as_str();
    if letters.len() < 5 || core.is_empty() || is_known(&folded) || is_known(core) {
        return Err(Unfit::Common);
    }
    Ok(())
}

/// Everybody who hashes a password waits already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Busy;

/// Hashes and verifies passwords. Blocks.
pub(crate) struct Passwords {
    argon2: Argon2<'static>,
    /// What is verified for names that are none, so that it takes as long.
    nobodys: PasswordHash,
    turns: Mutex<Turns>,
    freed: Condvar,
}

#[derive(Default)]
struct Turns {
    taken: usize,
    waiting: usize,
}

impl Passwords {
    /// Makes ready.
    pub(crate) fn new(ids: &dyn IdSource) -> Self {
        let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("the parameters are in argon2's bounds");
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let nobodys = hashed(&argon2, &hex::encode(ids.secret()), ids);
        Self { argon2, nobodys, turns: Mutex::default(), freed: Condvar::new() }
    }

    /// A password as it is kept.
    pub(crate) fn hash(&self, password: &str, ids: &dyn IdSource) -> Result<PasswordHash, Busy> {
        self.in_turn(|| hashed(&self.argon2, password, ids))
    }

    /// Whether a password is right. Takes as long for nobody.
    pub(crate) fn verify(&self, password: &str, kept: Option<&PasswordHash>) -> Result<bool, Busy> {
        let is_somebodys = kept.is_some() && password.len() <= PASSWORD_BYTES_MAX;
        let password = if is_somebodys { password } else { "nobody's" };
        let kept = kept.filter(|_| is_somebodys).unwrap_or(&self.nobodys);
        self.in_turn(|| {
            let phc = Phc::new(kept.expose());
            let is_right = phc.is_ok_and(|phc| self.argon2.verify_password(password.as_bytes(), &phc).is_ok());
            is_right && is_somebodys
        })
    }

    fn in_turn<T>(&self, hash: impl FnOnce() -> T) -> Result<T, Busy> {
        self.take_turn()?;
        let hashed = hash();
        self.turns.lock().taken -= 1;
        self.freed.notify_one();
        Ok(hashed)
    }

    fn take_turn(&self) -> Result<(), Busy> {
        let deadline = Instant::now() + WAIT_MAX;
        let mut turns = self.turns.lock();
        if turns.taken >= AT_ONCE_MAX && turns.waiting >= WAITING_MAX {
            return Err(Busy);
        }
        turns.waiting += 1;
        while turns.taken >= AT_ONCE_MAX {
            if self.freed.wait_until(&mut turns, deadline).timed_out() {
                turns.waiting -= 1;
                return Err(Busy);
            }
        }
        turns.waiting -= 1;
        turns.taken += 1;
        Ok(())
    }
}

fn hashed(argon2: &Argon2<'_>, password: &str, ids: &dyn IdSource) -> PasswordHash {
    let salt = &ids.secret()[..SALT_BYTES];
    let phc: Phc = argon2
        .hash_password_with_salt(password.as_bytes(), salt)
        .expect("argon2 takes every password of ours and a salt of 16 bytes");
    PasswordHash::from_phc(phc.to_string())
}

#[cfg(test)]
mod tests {
    use komainu_ports::RandomIds;

    use super::*;

    #[test]
    fn passwords_that_others_choose_are_refused() {
        let name = OperatorName::parse("aiko.tanaka@example.com").unwrap();
        let check = |password: &str, expected| assert_eq!(super::check(password, &name), expected, "{password:?}");
        check("short", Err(Unfit::Short));
        check("elevenbytes", Err(Unfit::Short));
        check("twelve bytes", Ok(()));
        check("狛犬は守る", Ok(()));
        check(&"a long sentence, ".repeat(61), Err(Unfit::Long));
        check("aaaaaaaaaaaaaaaa", Err(Unfit::Common));
        check("123456789012", Err(Unfit::Common));
        check("Password2026!", Err(Unfit::Common));
        check("qwertyuiop123", Err(Unfit::Common));
        check("KOMAINU-2026-11", Err(Unfit::Common));
        check("aiko.tanaka@example.com", Err(Unfit::Common));
        check("correct horse battery staple", Err(Unfit::Common));
        check("wrong cow battery staple", Ok(()));
    }

    #[test]
    fn a_password_is_verified_against_its_hash() {
        let passwords = Passwords::new(&RandomIds);
        let kept = passwords.hash("twelve bytes", &RandomIds).unwrap();
        assert!(kept.expose().starts_with("$argon2id$v=19$m=65536,t=3,p=1$"), "{}", kept.expose());
        assert_ne!(passwords.hash("twelve bytes", &RandomIds).unwrap(), kept, "each has a salt of its own");
        let check = |password: &str, kept, expected| assert_eq!(passwords.verify(password, kept), Ok(expected));
        check("twelve bytes", Some(&kept), true);
        check("twelve byte", Some(&kept), false);
        check("", Some(&kept), false);
        check("nobody's", None, false);
        check(&"a".repeat(1_025), Some(&kept), false);
        check("twelve bytes", Some(&PasswordHash::from_phc("$argon2id$".to_owned())), false);
    }

    #[test]
    fn those_who_cannot_wait_are_sent_away() {
        let passwords = Passwords::new(&RandomIds);
        *passwords.turns.lock() = Turns { taken: AT_ONCE_MAX, waiting: WAITING_MAX };
        assert_eq!(passwords.verify("twelve bytes", None), Err(Busy));
    }
}
