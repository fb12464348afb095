//! The fast integration tests, in one binary: fakes, no machine. Real machines boot in
//! `tests/lab` only.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]
#![allow(unreachable_pub, reason = "a test binary has no outside")]

mod changes;
mod drivers;
mod env;
mod faults;
mod guests;
mod rest;
mod shell;
mod sim;
mod ssh;
mod style;
mod support;
mod up;
mod verbs;
