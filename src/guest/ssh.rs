//! SSH by russh: one verified connection to a guest, used for everything.
//!
//! These files alone know russh. A connection is pinned: the host key that fleet made
//! and recorded is the only one accepted, no other key is even offered a login, and
//! there is never a question. Every wait has a limit, every channel is drained while
//! it is written to, and dropping anything here ends what it stood for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fleet_driver::{Answer, Cx, Error, Result};
use russh::client::Handle;
use tokio::sync::Semaphore;

use crate::guest::keys::KeyPair;
use crate::guest::{Guest, GuestFile, GuestOutput, Script};

mod channel;
mod connect;
mod forward;
mod lines;
mod put;
mod script;
mod sftp;

pub use channel::{Ended, Input, Output, Piece, Pty, Request};
pub use forward::Forwarding;
pub use sftp::{About, CHUNK, Files, Kind, Opened};

/// How many channels are open at once; OpenSSH's `MaxSessions` is 10 (sshd_config(5)).
const CHANNELS: usize = 8;

/// Whom to reach, and how to know it.
#[derive(Debug, Clone)]
pub struct Target {
    /// The machine's name.
    pub machine: String,
    /// Where its SSH port is reached.
    pub address: SocketAddr,
    /// The account to log in to.
    pub user: String,
    /// The public line of the host key that it must prove to have.
    pub host_key: String,
    /// The key to log in with.
    pub key: KeyPair,
}

/// What a refused login means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contact {
    /// The guest may still be in its first boot, with sshd up before the account or
    /// its key is there: try again.
    First,
    /// The guest has let fleet in before: an error.
    Known,
}

/// A verified connection to a guest; dropping it closes it.
pub struct Ssh {
    machine: String,
    /// Whether the login account is root itself, so that no `sudo` is needed.
    root: bool,
    handle: Handle<connect::Pinned>,
    fate: connect::Fate,
    channels: Arc<Semaphore>,
}

impl Ssh {
    /// Connects once, to a guest that has let fleet in before.
    ///
    /// # Errors
    /// `Busy` if it does not answer (yet), `Conflict` if its host key is not the pinned
    /// one or it is no SSH server, `Guest` if it refuses the fleet's key, `Interrupted`.
    pub async fn connect(target: &Target, cx: &Cx) -> Result<Self> {
        connect::once(target, Contact::Known, cx).await
    }

    /// Connects as soon as the guest answers, until the context's deadline.
    ///
    /// # Errors
    /// As [`Ssh::connect`], and `Driver` with a hint after the deadline.
    pub async fn wait_for(target: &Target, contact: Contact, cx: &Cx) -> Result<Self> {
        connect::patiently(target, contact, cx).await
    }

    /// Whether the connection has ended; it never comes back, a new one is needed.
    pub fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// Says goodbye, so that the guest's log shows an orderly end.
    pub async fn close(self) {
        let goodbye = self.handle.disconnect(russh::Disconnect::ByApplication, "", "");
        // A guest that is gone needs no goodbye.
        drop(tokio::time::timeout(Duration::from_secs(1), goodbye).await);
    }

    /// Starts a command, or a login shell, and gives both of its ends.
    ///
    /// # Errors
    /// `Guest` if the connection has ended or the guest refuses, `Interrupted`.
    pub async fn start(&self, request: &Request, cx: &Cx) -> Result<(Input, Output)> {
        channel::start(self, request, cx).await
    }

    /// Leads connections to a port of this host into the guest until dropped.
    ///
    /// # Errors
    /// `Host` if the port is taken.
    pub async fn forward(self: &Arc<Self>, what: &Forwarding, cx: &Cx) -> Result<forward::Open> {
        forward::open(self, what, cx).await
    }

    /// The error of a connection that has ended in the middle of something.
    fn broken(&self) -> Error {
        self.fate.broken(&self.machine)
    }
}

impl Guest for Ssh {
    fn run<'a>(&'a self, script: &'a Script, cx: &'a Cx) -> Answer<'a, GuestOutput> {
        Box::pin(script::run(self, script, cx))
    }

    fn put<'a>(&'a self, files: &'a [GuestFile], cx: &'a Cx) -> Answer<'a, ()> {
        Box::pin(async move {
            if files.is_empty() {
                return Ok(());
            }
            let script = put::script(files)?;
            script::run(self, &script, cx).await.map(drop)
        })
    }
}

impl std::fmt::Debug for Ssh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ssh").field("machine", &self.machine).finish_non_exhaustive()
    }
}

/// Waits for `work`, but no longer than `limit` or the context allows; `None` is late.
async fn bounded<F: Future>(cx: &Cx, limit: Duration, work: F) -> Result<Option<F::Output>> {
    tokio::select! {
        biased;
        () = cx.cancelled().cancelled() => Err(Error::interrupted()),
        done = tokio::time::timeout(limit.min(cx.left()), work) => Ok(done.ok()),
    }
}
