//! A look that always ends in time and never fails as a whole: what cannot be seen of a
//! machine is said of this machine, and the others are seen all the same.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fleet_driver::{Cx, Error, Result, Sighting};
use futures::future::join_all;
use tokio::time::timeout;

use super::{EngineSeen, Look, Observed, Patience, Seen, Stray, ask, strays};
use crate::commands::Session;
use crate::config::Spec;
use crate::pki::Pki;

/// What was seen at a glance.
#[derive(Debug, Default)]
pub struct Glance {
    /// What could be seen.
    pub observed: Observed,
    /// Why nothing is known of a machine.
    pub troubles: BTreeMap<String, Trouble>,
    /// How long each machine took to answer.
    pub took: BTreeMap<String, Duration>,
    /// Why machines that the file does not name may be missing.
    pub strays: Option<Error>,
}

/// Why nothing is known of a machine.
#[derive(Debug)]
pub enum Trouble {
    /// Its driver did not answer in time.
    Late(Duration),
    /// Its driver could not say whether it exists.
    Failed(Error),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Late(limit) => {
                write!(f, "its driver gave no answer within {} s", limit.as_secs())
            }
            Self::Failed(error) => error.fmt(f),
        }
    }
}

/// Looks at the machines of `specs`, and at those of the fleet that the file does not
/// name, for `limit` at most.
///
/// # Errors
/// `Interrupted` on Ctrl-C, and nothing else.
pub async fn glance(session: &Session, specs: &[Spec], limit: Duration) -> Result<Glance> {
    let pki = session.pki().ok();
    let cx = session.cx().within(limit);
    let others = async {
        match timeout(limit, strays(session, pki.as_ref(), &cx, Patience(limit))).await {
            Ok(found) => found,
            Err(_) => Err(Error::busy(format!("no answer within {} s", limit.as_secs()))),
        }
    };
    let looks = specs.iter().map(|spec| async {
        let began = Instant::now();
        (one(session, spec, pki.as_ref(), &cx, limit).await, began.elapsed())
    });
    let (looks, others) = tokio::select! {
        biased;
        () = cx.cancelled().cancelled() => return Err(Error::interrupted()),
        seen = async { tokio::join!(join_all(looks), others) } => seen,
    };
    let mut glance = Glance::default();
    for (spec, (look, took)) in specs.iter().zip(looks) {
        glance.took.insert(spec.name.clone(), took);
        match look {
            Ok((seen, nodes)) => {
                glance.observed.machines.insert(spec.name.clone(), seen);
                glance.observed.nodes = glance.observed.nodes.take().or(nodes);
            }
            Err(trouble) => drop(glance.troubles.insert(spec.name.clone(), trouble)),
        }
    }
    match others {
        Ok(found) => {
            for (name, driver, look) in found {
                // One that cannot be seen is there all the same.
                let (seen, nodes) =
                    look.unwrap_or((Seen { sighting: None, engine: EngineSeen::NotAsked }, None));
                glance.observed.nodes = glance.observed.nodes.take().or(nodes);
                glance.observed.strays.insert(name, Stray { driver, seen });
            }
        }
        Err(error) => glance.strays = Some(error),
    }
    Ok(glance)
}

async fn one(
    session: &Session,
    spec: &Spec,
    pki: Option<&Pki>,
    cx: &Cx,
    limit: Duration,
) -> Result<Look, Trouble> {
    let began = Instant::now();
    let id = session.id(&spec.name);
    let seen = async { session.driver(&spec.name).await?.inspect(&id, cx).await };
    let sighting = match timeout(limit, seen).await {
        // A driver that keeps its deadline says in its own way that it is over.
        Ok(Err(_)) if began.elapsed() >= limit => return Err(Trouble::Late(limit)),
        Ok(seen) => seen.map_err(Trouble::Failed)?,
        Err(_) => return Err(Trouble::Late(limit)),
    };
    let left = limit.saturating_sub(began.elapsed());
    Ok(engine(sighting, pki, cx, left).await)
}

/// What the engine says in the time that is left; the machine was seen, whatever that is.
async fn engine(sighting: Option<Sighting>, pki: Option<&Pki>, cx: &Cx, left: Duration) -> Look {
    let silent =
        |why: String| (Seen { sighting: sighting.clone(), engine: EngineSeen::Silent(why) }, None);
    match timeout(left, ask(sighting.clone(), pki, cx, Patience(left))).await {
        Ok(Ok(look)) => look,
        Ok(Err(error)) => silent(error.to_string()),
        Err(_) => silent("the engine gave no answer in time".to_owned()),
    }
}
