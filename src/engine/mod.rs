//! The Engine API over mutual TLS.
//!
//! # Why
//! The client trusts the fleet's authority and nothing else. Requests go to paths
//! without a version, so any engine answers in its own dialect. What went wrong is
//! decided by status codes, by kinds of I/O and TLS errors, and by asking the engine
//! for its facts again, never by the engine's sentences.

mod facts;
mod failure;
mod swarm;
#[cfg(test)]
mod tests;
mod transport;

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use bollard::Docker;
use fleet_driver::{Cx, Error, Result};

pub use facts::{
    CERT_ENDS_LABEL, EngineFacts, NodeFacts, SETTINGS_LABEL, SwarmFacts, SwarmState, TaskFacts,
};
pub use swarm::{Force, SWARM_PORT, Tokens};

use crate::pki::Pki;

/// How long an engine may take for an answer that is ready.
const QUICK: Duration = Duration::from_secs(10);
/// How long it may take to say how it is: a manager whose swarm has just lost its leader
/// asks that leader for up to 20 s before it says so.
const FACTS: Duration = Duration::from_secs(30);
/// How long it may take to change the swarm; the engine itself gives up after 20 s.
const SLOW: Duration = Duration::from_secs(60);

/// One engine, as its API sees it.
#[derive(Debug, Clone)]
pub struct Engine {
    docker: Docker,
    address: SocketAddr,
}

impl Engine {
    /// Makes a client for the engine at `address`; does no I/O.
    ///
    /// # Errors
    /// `Conflict`: the client certificate and its key are not usable.
    pub fn new(address: SocketAddr, pki: &Pki) -> Result<Self> {
        Ok(Self { docker: transport::connect(address, pki)?, address })
    }

    /// Where the engine is reached.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Asks the engine for its version, labels and part in a swarm, in one call.
    ///
    /// # Errors
    /// `Busy`: nobody answers (yet). `Conflict`: somebody else answers, or the engine
    /// refuses the fleet's certificate. `Guest`: the engine fails.
    pub async fn facts(&self, cx: &Cx) -> Result<EngineFacts> {
        Ok(facts::engine(self.call(cx, FACTS, "ask the engine", self.docker.info()).await?))
    }

    /// Lists the nodes of the swarm; the engine must be a manager.
    ///
    /// # Errors
    /// `Conflict`: not a manager. `Busy`: the swarm has no leader at the moment. Else as
    /// [`Engine::facts`].
    pub async fn nodes(&self, cx: &Cx) -> Result<Vec<NodeFacts>> {
        let asked = self.docker.list_nodes(None);
        match self.call(cx, QUICK, "list the nodes", asked).await {
            Ok(nodes) => Ok(nodes.into_iter().map(facts::node).collect()),
            Err(error) => Err(self.as_manager(error, cx).await),
        }
    }

    /// Runs one call until it answers, `limit` or the context's deadline passes, or
    /// Ctrl-C.
    async fn call<T>(
        &self,
        cx: &Cx,
        limit: Duration,
        what: &'static str,
        call: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> Result<T> {
        let limit = limit.min(cx.left());
        let answer = tokio::select! {
            biased;
            () = cx.cancelled().cancelled() => return Err(Error::interrupted()),
            answer = tokio::time::timeout(limit, call) => answer,
        };
        match answer {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(failure::from_bollard(error, what).with("engine", self.address)),
            Err(_) => Err(Error::busy(format!(
                "could not {what}: no answer within {} s",
                limit.as_secs()
            ))
            .with("engine", self.address)),
        }
    }
}
