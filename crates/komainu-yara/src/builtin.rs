//! The rules that are built in.

/// The namespace of the built-in rules.
pub const BUILT_IN_NAMESPACE: &str = "komainu";

/// Rules about what is left on connected devices, written for Komainu.
pub(crate) const BUILT_IN_RULES: &str = include_str!("../rules/komainu.yar");
