//! The fast integration tests, in one binary: fakes, no machine. Real machines boot in
//! `tests/lab` only.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

mod shell;
mod ssh;
mod style;
mod support;
mod up;
