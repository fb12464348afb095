//! Drivers as programs of their own: one JSON message a line, over standard input and
//! output.
//!
//! [`Program`] is fleet's side: it starts the program `fleet-driver-NAME`, keeps it for as
//! long as the value lives, and is a [`Driver`](crate::Driver) like any other. [`serve`] is
//! the side of a driver that is written in Rust: its whole `main`. Others find all that
//! they need in `docs/driver-protocol.md`.
//!
//! Both sides ignore fields and types of messages that they do not know, so that either may
//! be newer than the other.

mod calls;
mod client;
mod failure;
mod perform;
mod process;
mod serve;
#[cfg(test)]
mod tests;
mod vm;
mod wire;

pub use client::Program;
pub use serve::{serve, serve_to};
pub use wire::PROTOCOL;
