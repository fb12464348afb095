//! The steps by which a machine goes out of its swarm, and who lets it: never so that the
//! managers that stay could not decide any more.

use std::time::Duration;

use fleet_driver::event::Outcome;
use fleet_driver::{Cx, Error, ErrorKind, Level, Power, Result, wait};

use super::engine::client;
use super::{Ground, Machine, Stopped};
use crate::config::Role;
use crate::engine::{Engine, Force, NodeFacts, SwarmState};
use crate::plan::Quorum;

/// How long a change of the swarm may take.
const CHANGE: Duration = Duration::from_secs(180);
/// How long other managers may take to come back before one may be away.
const WELL: Duration = Duration::from_secs(90);
/// How long a manager may take to say that it is one.
const ASK: Duration = Duration::from_secs(5);

/// The engine of a manager that lets machines in and out: another machine's, if one
/// answers, since this one may be about to be away.
pub(super) async fn manager(
    ground: &Ground,
    machine: &Machine,
) -> Result<(String, Engine), Stopped> {
    let mut names = ground.gate.wait(&machine.cx).await?;
    names.sort_by_key(|name| *name == machine.name);
    let cx = machine.cx.within(WELL);
    let found =
        wait::until(&cx, "a manager of the swarm", "ask `fleet ls` who is well", || async {
            let mut last = Error::busy("no manager answers");
            for name in &names {
                match answers(ground, name, &cx).await {
                    Ok(engine) => return Ok((name.clone(), engine)),
                    Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
                    Err(error) => last = Error::busy(format!("`{name}`: {error}")),
                }
            }
            Err(last)
        });
    Ok(found.await?)
}

async fn answers(ground: &Ground, name: &str, cx: &Cx) -> Result<Engine> {
    let engine = client(ground, name, cx).await?;
    let swarm = engine.facts(&cx.within(ASK.min(cx.left()))).await?.swarm;
    match swarm.state {
        SwarmState::Active if swarm.manager => Ok(engine),
        _ => Err(Error::busy("it manages no swarm")),
    }
}

/// Waits until the swarm bears it that this machine is away for a while.
pub(super) async fn may_be_away(ground: &Ground, machine: &Machine) -> Result<(), Stopped> {
    let (_, manager) = manager(ground, machine).await?;
    let name = &machine.name;
    let goes = machine.goes;
    bear(&manager, &machine.cx, |nodes| {
        let quorum = Quorum::of(nodes);
        if goes && quorum.has(name) {
            quorum.without(name).holds()
        } else {
            quorum.bears_absence_of(name)
        }
    })
    .await?;
    Ok(())
}

/// Waits until the managers that there are make something bearable.
async fn bear(manager: &Engine, cx: &Cx, bearable: impl Fn(&[NodeFacts]) -> bool) -> Result<()> {
    let cx = cx.within(WELL);
    let hint = "the swarm would lose its quorum without this machine: bring the other managers \
                up first, `fleet ls` says how they are";
    wait::until(&cx, "the other managers to be well", hint, || async {
        let nodes = manager.nodes(&cx).await?;
        if bearable(&nodes) {
            return Ok(());
        }
        let ill = nodes.iter().filter(|n| n.votes && !(n.ready && n.reachable));
        let names: Vec<&str> = ill.map(|n| n.hostname.as_str()).collect();
        Err(Error::busy(format!("not well: {}", names.join(", "))))
    })
    .await
}

/// Makes a manager's node a worker's, if the managers that stay can decide, and waits
/// until it has no vote any more. Whoever calls holds the lock on changes of managers.
pub(super) async fn demote(manager: &Engine, node: &NodeFacts, cx: &Cx) -> Result<()> {
    // One without a vote is none of those who decide, whatever its role says: a swarm that
    // was recovered without it refuses to demote it, and lets it be removed.
    if !node.votes {
        return Ok(());
    }
    bear(manager, cx, |nodes| {
        !nodes.iter().any(|n| n.id == node.id && n.votes)
            || Quorum::without_node(nodes, &node.id).holds()
    })
    .await?;
    let cx = cx.within(CHANGE);
    let role = Role::Worker;
    match manager.update_node(&node.id, role, node.availability, &node.labels, &cx).await {
        // A swarm that was recovered without it still calls it a manager, and refuses to
        // demote it: "can't find manager in raft memberlist". It may be removed as it is.
        Err(error) if error.kind() == ErrorKind::NotFound && !node.votes => return Ok(()),
        demoted => demoted?,
    }
    wait::until(&cx, "the other managers to decide without it", "", || async {
        let nodes = manager.nodes(&cx).await?;
        if nodes.iter().any(|n| n.id == node.id && n.votes) {
            Err(Error::busy("it still has a vote"))
        } else {
            Ok(())
        }
    })
    .await
}

/// Leaves the swarm, as a worker: a manager is demoted first.
pub(super) async fn leave(ground: &Ground, machine: &mut Machine) -> Result<Outcome, Stopped> {
    let (_, manager) = manager(ground, machine).await?;
    let _one = ground.managers.lock().await;
    let cx = machine.cx.within(CHANGE);
    ground.gate.forget(&machine.name);
    for node in manager.nodes(&cx).await?.iter().filter(|n| n.hostname == machine.name) {
        demote(&manager, node, &machine.cx).await?;
    }
    let seen = machine.driver.inspect(&machine.id, &cx).await?;
    if seen.is_none_or(|s| s.power != Power::Running) {
        return Ok(Outcome::Unchanged);
    }
    let own = client(ground, &machine.name, &machine.cx).await?;
    let cx = machine.cx.within(Duration::from_secs(60));
    let left = wait::until(&cx, "it to leave the swarm", "", || async {
        match own.facts(&cx).await?.swarm {
            swarm if swarm.state == SwarmState::Inactive => Ok(()),
            swarm if swarm.manager => Err(Error::busy("it is still a manager")),
            _ => own.leave(Force::No, &cx).await,
        }
    })
    .await;
    match left {
        Ok(()) => Ok(Outcome::Done),
        Err(error) if error.kind() == ErrorKind::Interrupted => Err(error.into()),
        Err(error) => {
            // Its node is removed next and the machine destroyed: a guest that does
            // not answer must not keep itself alive.
            machine.cx.reporter().note(
                Level::Warning,
                format!("It did not leave the swarm by itself ({error}); its node is removed."),
            );
            Ok(Outcome::Unchanged)
        }
    }
}

/// Leaves a swarm that is meant to end.
pub(super) async fn end(ground: &Ground, machine: &mut Machine) -> Result<Outcome, Stopped> {
    let own = client(ground, &machine.name, &machine.cx).await?;
    let cx = machine.cx.within(CHANGE);
    if own.facts(&cx).await?.swarm.state == SwarmState::Inactive {
        return Ok(Outcome::Unchanged);
    }
    wait::until(&cx, "it to leave the swarm", "", || own.leave(Force::Yes, &cx)).await?;
    Ok(Outcome::Done)
}

/// Removes the machine's node from the swarm.
pub(super) async fn remove(ground: &Ground, machine: &mut Machine) -> Result<Outcome, Stopped> {
    let (_, manager) = manager(ground, machine).await?;
    let _one = ground.managers.lock().await;
    let mut outcome = Outcome::Unchanged;
    let nodes = manager.nodes(&machine.cx.within(CHANGE)).await?;
    for node in nodes.iter().filter(|node| node.hostname == machine.name) {
        forget(&manager, node, &machine.cx).await?;
        outcome = Outcome::Done;
    }
    Ok(outcome)
}

/// Takes a node out of the swarm, whatever it is. Whoever calls holds the lock on changes
/// of managers.
pub(super) async fn forget(manager: &Engine, node: &NodeFacts, cx: &Cx) -> Result<()> {
    demote(manager, node, cx).await?;
    let cx = cx.within(CHANGE);
    wait::until(&cx, "the swarm to forget its node", "", || {
        manager.remove_node(&node.id, Force::Yes, &cx)
    })
    .await
}
