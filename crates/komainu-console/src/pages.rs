//! The pages, one file each: what it shows, and what its forms do. `docs/adding-a-console-page.md` says how to add one.

pub(crate) mod account;
pub(crate) mod attacks;
pub(crate) mod audit;
pub(crate) mod observables;
pub(crate) mod operators;
pub(crate) mod overview;
pub(crate) mod search;
pub(crate) mod sign_in;
pub(crate) mod sources;
pub(crate) mod start;
pub(crate) mod theme;
pub(crate) mod trends;
pub(crate) mod welcome;
