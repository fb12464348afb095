//! Everything inside a machine, over SSH.
//!
//! Commands are values: a script and its input. Quoting happens once, in
//! [`fleet_driver::text`]. Secrets travel on standard input only.

pub mod facts;
pub mod install;
pub mod os;
pub mod seed;
pub mod settings;
pub mod source;

use std::time::Duration;

use fleet_driver::{Answer, Cx, Secret};

pub mod keys;
pub mod ssh;
pub mod terminal;

/// A script for a guest's `sh`, fed through standard input, so that nothing of it
/// shows in a process list.
#[derive(Debug, Clone)]
pub struct Script {
    /// What it is for, a fragment such as `install the engine`.
    pub purpose: &'static str,
    /// The text for `sh`; run as root through `sudo -n` unless `as_user`.
    pub text: Secret<String>,
    /// Run as the login account instead of root.
    pub as_user: bool,
    /// How long it may take.
    pub limit: Duration,
    /// Whether what it prints is for people.
    pub telling: Telling,
}

/// What becomes of the lines that a script prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// They are reported as they come, and kept in the run's log.
    Lines,
    /// They are an answer for fleet alone, and may hold what nobody should read.
    Nothing,
}

/// What a script left behind.
#[derive(Debug, Clone, Default)]
pub struct GuestOutput {
    /// Its exit status.
    pub status: u32,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it printed on standard error.
    pub stderr: Vec<u8>,
}

/// A file to be put into a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestFile {
    /// Where, absolute.
    pub path: String,
    /// Permissions, such as `0o600`; the owner is root.
    pub mode: u32,
    /// What is in it.
    pub content: Secret<Vec<u8>>,
}

/// A machine's inside; tests put a fake here.
pub trait Guest: Send + Sync {
    /// Runs a script to its end; a non-zero status is a `Guest` error that carries
    /// the purpose and the last lines of standard error.
    fn run<'a>(&'a self, script: &'a Script, cx: &'a Cx) -> Answer<'a, GuestOutput>;

    /// Writes files, each atomically, owned by root, with their mode set before
    /// their content is there.
    fn put<'a>(&'a self, files: &'a [GuestFile], cx: &'a Cx) -> Answer<'a, ()>;
}
