//! Stand-ins for what a fleet talks to, on loopback and in this process.

pub mod scenario;
pub(crate) mod ssh;
