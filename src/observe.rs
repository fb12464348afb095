//! What is: drivers and engines, asked in parallel and freshly. Not reaching
//! something is a value, not an error.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fleet_driver::{Cx, Error, Power, Result, Sighting};
use futures::future::join_all;

use crate::commands::Session;
use crate::config::Spec;
use crate::engine::{Engine, EngineFacts, NodeFacts, SwarmState};
use crate::pki::Pki;

/// All that was seen in one look.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Every machine that the file names or the records know.
    pub machines: BTreeMap<String, Seen>,
    /// Machines with the fleet's mark that the file does not name, by driver.
    pub strays: BTreeMap<String, String>,
    /// The swarm's nodes, as a manager sees them; `None` if no manager answered.
    pub nodes: Option<Vec<NodeFacts>>,
}

/// One machine as it was seen.
#[derive(Debug, Clone)]
pub struct Seen {
    /// What the driver sees; `None` if it does not exist.
    pub sighting: Option<Sighting>,
    /// What its engine says.
    pub engine: EngineSeen,
}

/// What an engine says of itself.
#[derive(Debug, Clone)]
pub enum EngineSeen {
    /// The machine does not run, or no engine is wanted.
    NotAsked,
    /// It does not answer, or not to our certificate; says why.
    Silent(String),
    /// It answers over mutual TLS.
    Answers(EngineFacts),
}

impl Seen {
    /// Whether the machine runs.
    pub fn running(&self) -> bool {
        self.sighting.as_ref().is_some_and(|s| s.power == Power::Running)
    }

    /// What the engine said, if it did.
    pub fn facts(&self) -> Option<&EngineFacts> {
        match &self.engine {
            EngineSeen::Answers(facts) => Some(facts),
            EngineSeen::NotAsked | EngineSeen::Silent(_) => None,
        }
    }
}

/// How far to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// At what the drivers see.
    Machines,
    /// At the engines and their swarm too.
    Engines,
}

/// How long a machine's driver and its engine may each take to answer.
#[derive(Debug, Clone, Copy)]
pub struct Patience(pub Duration);

impl Default for Patience {
    fn default() -> Self {
        Self(Duration::from_secs(10))
    }
}

/// Looks at the machines of `specs` at once.
///
/// # Errors
/// A driver that cannot say whether a machine exists; an engine that does not
/// answer is not an error.
pub async fn observe(
    session: &Session,
    specs: &[Spec],
    depth: Depth,
    patience: Patience,
) -> Result<Observed> {
    let pki = match depth {
        Depth::Machines => None,
        Depth::Engines => Pki::load(&session.dir().join("certs")).ok(),
    };
    let cx = session.cx();
    let looks = specs.iter().map(|spec| look(session, spec, pki.as_ref(), &cx, patience));
    let mut observed = Observed::default();
    for (spec, look) in specs.iter().zip(join_all(looks).await) {
        let (seen, nodes) = look?;
        observed.machines.insert(spec.name.clone(), seen);
        observed.nodes = observed.nodes.or(nodes);
    }
    observed.strays = strays(session, &cx.within(patience.0)).await?;
    Ok(observed)
}

async fn look(
    session: &Session,
    spec: &Spec,
    pki: Option<&Pki>,
    cx: &Cx,
    patience: Patience,
) -> Result<(Seen, Option<Vec<NodeFacts>>)> {
    let driver = session.driver(&spec.name)?;
    let sighting = within(cx, patience, driver.inspect(&session.id(&spec.name), cx))
        .await
        .map_err(|e| e.with("machine", &spec.name))?;
    let address = sighting.as_ref().filter(|s| s.power == Power::Running).and_then(|s| s.engine);
    let (Some(address), Some(pki)) = (address, pki) else {
        return Ok((Seen { sighting, engine: EngineSeen::NotAsked }, None));
    };
    let asked = async {
        let engine = Engine::new(address, pki)?;
        let facts = engine.facts(cx).await?;
        Ok((engine, facts))
    };
    let (engine, nodes) = match within(cx, patience, asked).await {
        Ok((engine, facts)) => {
            // Over the same connection: a handshake is what costs in an emulated guest.
            let manages = facts.swarm.manager && facts.swarm.state == SwarmState::Active;
            let nodes =
                if manages { within(cx, patience, engine.nodes(cx)).await.ok() } else { None };
            (EngineSeen::Answers(facts), nodes)
        }
        Err(error) => (EngineSeen::Silent(error.to_string()), None),
    };
    Ok((Seen { sighting, engine }, nodes))
}

/// Waits for an answer no longer than the patience lasts.
async fn within<T>(
    cx: &Cx,
    patience: Patience,
    answer: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::select! {
        biased;
        () = cx.cancelled().cancelled() => Err(Error::interrupted()),
        answer = tokio::time::timeout(patience.0, answer) => answer.unwrap_or_else(|_| {
            Err(Error::busy(format!("no answer within {} s", patience.0.as_secs())))
        }),
    }
}

/// Asks the drivers in use for machines with our mark that the file does not name.
async fn strays(session: &Session, cx: &Cx) -> Result<BTreeMap<String, String>> {
    let mut drivers: BTreeSet<&str> =
        session.fleet.machines.iter().map(|spec| spec.driver.as_str()).collect();
    drivers.extend(session.store.records().values().map(|record| record.driver.as_str()));
    let id = session.store.fleet_id(&session.fleet.name);
    let mut strays = BTreeMap::new();
    for name in drivers {
        let driver = session.host.registry().driver(name, &session.host)?;
        for machine in driver.list(Some(&id), cx).await? {
            if session.spec(machine.machine()).is_err() {
                strays.insert(machine.machine().to_owned(), name.to_owned());
            }
        }
    }
    Ok(strays)
}
