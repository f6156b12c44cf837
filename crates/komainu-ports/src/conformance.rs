//! Conformance suites: what every engine behind a port must pass.
