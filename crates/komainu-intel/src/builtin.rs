//! The rules that are built in.

/// Rules for attacks on connected devices that are publicly described, written for Komainu. Their numbers are from
/// 1,000,000 on, which is the range for rules of one's own.
pub const BUILT_IN_RULES: &str = include_str!("../rules/komainu.rules");
