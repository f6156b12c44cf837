//! The names of the console's log events, as they stand in the field `event`. They are an interface: operators filter and
//! alert by them. `docs/events.md` says what each means and which fields it has; a test compares the two.

/// It can be reached.
pub(crate) const LISTENING: &str = "console.listening";
/// Somebody signed in.
pub(crate) const SIGNED_IN: &str = "console.signed_in";
/// Somebody was not let in.
pub(crate) const SIGN_IN_REFUSED: &str = "console.sign_in_refused";
/// Somebody does not come in through the OpenID provider.
pub(crate) const PROVIDER_REFUSED: &str = "console.provider_refused";
/// Somebody was wrong too often.
pub(crate) const SIGN_IN_LIMITED: &str = "console.sign_in_limited";
/// Somebody asked for what they may not.
pub(crate) const TRESPASS: &str = "console.trespass";
/// There are too many connections or requests.
pub(crate) const LIMIT_REACHED: &str = "console.limit_reached";
/// The accounts, or what a page needs, cannot be read or written.
pub(crate) const UNAVAILABLE: &str = "console.unavailable";
/// A page ended in a bug.
pub(crate) const FAILED: &str = "console.failed";

/// All of them, for the test.
#[cfg(test)]
const ALL: &[&str] = &[
    LISTENING,
    SIGNED_IN,
    SIGN_IN_REFUSED,
    PROVIDER_REFUSED,
    SIGN_IN_LIMITED,
    TRESPASS,
    LIMIT_REACHED,
    UNAVAILABLE,
    FAILED,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_lists_the_same_events() {
        let documented: Vec<&str> = include_str!("../../../docs/events.md")
            .lines()
            .filter_map(|line| line.strip_prefix("| `console.")?.split('`').next())
            .collect();
        let names: Vec<&str> = ALL.iter().map(|name| name.strip_prefix("console.").unwrap()).collect();
        assert_eq!(documented, names);
    }

    /// A name that is declared and not in `ALL` would escape the comparison.
    #[test]
    fn every_declared_name_is_compared() {
        let is_name = |line: &&str| line.starts_with("pub(crate) const ");
        let declared = include_str!("events.rs").lines().filter(is_name).count();
        assert_eq!(declared, ALL.len());
    }
}
