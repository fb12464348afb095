//! The fast integration tests, in one binary: fakes, no machine. Real machines boot in
//! `tests/lab` only.

mod ssh;
mod style;
mod support;
mod up;
