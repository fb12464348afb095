//! The fast integration tests, in one binary: fakes, no machine. Real machines boot in
//! `tests/lab` only.

mod env;
mod shell;
mod ssh;
mod style;
mod support;
mod up;
