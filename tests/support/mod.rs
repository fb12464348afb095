//! Stand-ins for what a fleet talks to, on loopback and in this process.

pub mod proxy;
pub mod scenario;
pub mod sim;
pub(crate) mod ssh;
pub mod world;
