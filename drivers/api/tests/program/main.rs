//! Drivers as programs: the fake driver behind the protocol keeps the contract, and
//! programs that misbehave are survived.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

mod ends;
mod misbehaving;
mod served;
mod stand;
