//! Tests of the wire format against AWS's own code.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod signatures;
