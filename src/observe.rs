//! What is: drivers and engines, asked in parallel and freshly. Not reaching
//! something is a value, not an error.

mod glance;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fleet_driver::{Cx, Driver, Error, MachineId, Power, Result, Sighting};
use futures::future::join_all;
pub use glance::{Glance, Trouble, glance};

use crate::commands::Session;
use crate::config::Spec;
use crate::engine::{Engine, EngineFacts, NodeFacts, SwarmState};
use crate::pki::Pki;

/// All that was seen in one look.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Every machine that the file names or the records know.
    pub machines: BTreeMap<String, Seen>,
    /// Machines of the fleet that the file does not name.
    pub strays: BTreeMap<String, Stray>,
    /// The swarm's nodes, as a manager sees them; `None` if no manager answered.
    pub nodes: Option<Vec<NodeFacts>>,
}

/// A machine with the fleet's mark, or a record, that the file does not name.
#[derive(Debug, Clone)]
pub struct Stray {
    /// What made it.
    pub driver: String,
    /// What was seen of it; nothing, if there is only a record of it.
    pub seen: Seen,
}

impl Observed {
    /// What was seen of a machine, whether the file names it or not.
    pub fn seen(&self, name: &str) -> Option<&Seen> {
        self.machines.get(name).or_else(|| self.strays.get(name).map(|stray| &stray.seen))
    }
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

    /// Whether it exists, and not only in parts.
    pub fn whole(&self) -> bool {
        self.sighting.as_ref().is_some_and(|s| !matches!(s.power, Power::Broken(_)))
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

impl Patience {
    /// For a plan: an engine that takes its time must not be taken for a dead one.
    pub const PLAN: Self = Self(Duration::from_secs(30));
}

impl Default for Patience {
    fn default() -> Self {
        Self(Duration::from_secs(10))
    }
}

/// Looks at the machines of `specs`, and at those of the fleet that the file does not
/// name, at once.
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
        Depth::Engines => session.pki().ok(),
    };
    let cx = session.cx();
    let named = async {
        let looks = specs.iter().map(|spec| async {
            let driver = session.driver(&spec.name).await?;
            look(&*driver, &session.id(&spec.name), pki.as_ref(), &cx, patience).await
        });
        join_all(looks).await
    };
    let (named, strays) = tokio::join!(named, strays(session, pki.as_ref(), &cx, patience));
    let mut observed = Observed::default();
    for (spec, look) in specs.iter().zip(named) {
        let (seen, nodes) = look?;
        observed.machines.insert(spec.name.clone(), seen);
        observed.nodes = observed.nodes.or(nodes);
    }
    for (name, driver, look) in strays? {
        let (seen, nodes) = look?;
        observed.nodes = observed.nodes.or(nodes);
        observed.strays.insert(name, Stray { driver, seen });
    }
    Ok(observed)
}

/// What was seen of a machine, and the nodes of its swarm if it manages one.
type Look = (Seen, Option<Vec<NodeFacts>>);

async fn look(
    driver: &dyn Driver,
    id: &MachineId,
    pki: Option<&Pki>,
    cx: &Cx,
    patience: Patience,
) -> Result<Look> {
    let sighting = within(cx, patience, driver.inspect(id, cx))
        .await
        .map_err(|e| e.with("machine", id.machine()))?;
    ask(sighting, pki, cx, patience).await
}

/// Asks the engine of a machine that its driver has seen, if it runs.
async fn ask(
    sighting: Option<Sighting>,
    pki: Option<&Pki>,
    cx: &Cx,
    patience: Patience,
) -> Result<Look> {
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

/// Looks at the machines with our mark that the file does not name; the records may know
/// of more.
async fn strays(
    session: &Session,
    pki: Option<&Pki>,
    cx: &Cx,
    patience: Patience,
) -> Result<Vec<(String, String, Result<Look>)>> {
    let mut drivers: BTreeSet<&str> =
        session.fleet.machines.iter().map(|spec| spec.driver.as_str()).collect();
    drivers.extend(session.store.records().values().map(|record| record.driver.as_str()));
    let id = session.store.fleet_id(&session.fleet.name);
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    for (name, record) in session.store.records() {
        found.insert(name.clone(), record.driver.clone());
    }
    for name in drivers {
        let driver = session.driver_called(name).await?;
        for machine in within(cx, patience, driver.list(Some(&id), cx)).await? {
            found.entry(machine.machine().to_owned()).or_insert_with(|| name.to_owned());
        }
    }
    found.retain(|name, _| session.spec(name).is_err());
    let looks = found.into_iter().map(|(name, driver_name)| async move {
        let driver = session.driver_called(&driver_name).await?;
        let look = look(&*driver, &session.id(&name), pki, cx, patience).await;
        Ok((name, driver_name, look))
    });
    join_all(looks).await.into_iter().collect()
}
