//! The fast integration tests, in one binary: fakes, no machine. Real machines boot in
//! `tests/lab` only.

<<<<<<< HEAD
#![allow(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

mod shell;
=======
mod env;
>>>>>>> engine
mod ssh;
mod style;
mod support;
mod up;
