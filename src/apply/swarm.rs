//! The steps that concern the swarm, all through the Engine API. Join tokens live
//! in memory between two calls and nowhere else.

use std::time::Duration;

use fleet_driver::event::Outcome;
use fleet_driver::{Cx, Error, ErrorKind, Level, Result, fault, wait};

use super::engine::{client, engine_log};
use super::leave::{demote, forget, manager};
use super::{Ground, Machine, Stopped};
use crate::config::Role;
use crate::engine::{Engine, Force, NodeFacts, SwarmFacts, SwarmState};
use crate::plan::node_differs;

/// How long a node may take to become part of the swarm, or ready.
const JOIN: Duration = Duration::from_secs(180);
/// How long a manager that was just promoted may take until it has a vote.
const VOTE: Duration = Duration::from_secs(15);

/// What this machine's engine says of its part in a swarm.
async fn part(engine: &Engine, machine: &Machine) -> Result<SwarmFacts> {
    let cx = machine.cx.within(JOIN);
    let hint = engine_log(machine);
    wait::until(&cx, "the engine", &hint, || async {
        let facts = engine.facts(&cx).await?;
        if facts.swarm.state == SwarmState::Pending {
            return Err(Error::busy("the engine is joining its swarm"));
        }
        Ok(facts.swarm)
    })
    .await
}

/// Initialises the swarm, unless this machine manages one already, and opens the gate.
pub(super) async fn init(ground: &Ground, machine: &mut Machine) -> Result<Outcome, Stopped> {
    let engine = client(ground, &machine.name, &machine.cx).await?;
    let outcome = match part(&engine, machine).await?.state {
        SwarmState::Active | SwarmState::Locked => Outcome::Unchanged,
        SwarmState::Inactive | SwarmState::Pending | SwarmState::Error(_) => {
            let address = ground.address(&machine.name)?;
            let swarm = ground
                .fleet
                .swarm
                .as_ref()
                .ok_or_else(|| Error::bug("the file asks for no swarm"))?;
            engine.swarm_init(address, swarm, &machine.cx.within(JOIN)).await?;
            fault::point("initialised", &machine.name)?;
            Outcome::Done
        }
    };
    decides(&engine, machine).await?;
    ground.record(&machine.name, |record| record.manager = true)?;
    ground.gate.open(&machine.name);
    Ok(outcome)
}

/// Makes the swarm of this machine decide again, whose other managers are gone for good,
/// and opens the gate.
pub(super) async fn recover(ground: &Ground, machine: &mut Machine) -> Result<Outcome, Stopped> {
    let engine = client(ground, &machine.name, &machine.cx).await?;
    let cx = machine.cx.within(JOIN);
    let outcome = if engine.nodes(&machine.cx.within(Duration::from_secs(20))).await.is_ok() {
        Outcome::Unchanged
    } else {
        let address = ground.address(&machine.name)?;
        engine.swarm_recover(address, &cx).await?;
        Outcome::Done
    };
    decides(&engine, machine).await?;
    ground.record(&machine.name, |record| record.manager = true)?;
    ground.gate.open(&machine.name);
    Ok(outcome)
}

/// Waits until this manager's swarm takes orders.
async fn decides(engine: &Engine, machine: &Machine) -> Result<()> {
    let cx = machine.cx.within(JOIN);
    let hint = "more than half of its managers must run: `fleet up` starts those of the file; if \
                the others are gone for good, `fleet up --force` goes on without them";
    wait::until(&cx, "the swarm's managers", hint, || async {
        let swarm = engine.facts(&cx).await?.swarm;
        match swarm.state {
            SwarmState::Locked => Err(Error::conflict("the swarm is locked")
                .with("machine", &machine.name)
                .hint("unlock it with `docker swarm unlock`, then run `fleet up` again")),
            SwarmState::Active if swarm.manager => engine.nodes(&cx).await.map(drop),
            SwarmState::Active if swarm.managers.is_empty() => {
                Err(Error::busy("the swarm has no leader yet"))
            }
            SwarmState::Active => {
                Err(Error::conflict(format!("`{}` is a worker of another swarm", machine.name))
                    .hint("let it leave: `docker swarm leave` with its `fleet env`"))
            }
            SwarmState::Error(why) => Err(Error::busy(why)),
            SwarmState::Inactive | SwarmState::Pending => Err(Error::busy("not yet")),
        }
    })
    .await
}

/// Joins the swarm, unless this machine is in it already.
pub(super) async fn join(
    ground: &Ground,
    machine: &mut Machine,
    role: Role,
) -> Result<Outcome, Stopped> {
    let engine = client(ground, &machine.name, &machine.cx).await?;
    let own = part(&engine, machine).await?;
    let (name, manager) = manager(ground, machine).await?;
    match own.state {
        SwarmState::Active if name == machine.name => return Ok(Outcome::Unchanged),
        SwarmState::Active => {
            if is_member(&manager, &own, machine).await? {
                return Ok(Outcome::Unchanged);
            }
            leave_former(ground, &engine, &own, machine).await?;
        }
        // A worker's part in a swarm is nothing that could be lost.
        SwarmState::Error(_) if !own.manager => {
            leave_former(ground, &engine, &own, machine).await?;
        }
        SwarmState::Error(_) | SwarmState::Inactive | SwarmState::Locked | SwarmState::Pending => {}
    }
    let (host, address) = (ground.address(&name)?, ground.address(&machine.name)?);
    // Every join of a manager changes the quorum: one at a time.
    let _one = match role {
        Role::Manager => Some(ground.managers.lock().await),
        Role::Worker => None,
    };
    forget_former(ground, &manager, machine, role).await?;
    fault::point("nodes-forgotten", &machine.name)?;
    let cx = machine.cx.within(JOIN);
    wait::until(&cx, "the swarm to let it in", "", || async {
        match engine.facts(&cx).await?.swarm.state {
            SwarmState::Active => return Ok(()),
            // An attempt that took longer than the call goes on inside the engine; a
            // second one beside it would leave a node that never comes.
            SwarmState::Pending => return Err(Error::busy("the engine is still joining")),
            SwarmState::Inactive | SwarmState::Locked | SwarmState::Error(_) => {}
        }
        let tokens = manager.tokens(&cx).await?;
        let token = match role {
            Role::Manager => &tokens.manager,
            Role::Worker => &tokens.worker,
        };
        engine.join(address, &[host], token, &cx).await
    })
    .await?;
    fault::point("joined", &machine.name)?;
    ground.record(&machine.name, |record| record.manager = role == Role::Manager)?;
    if role == Role::Manager {
        ground.gate.open(&machine.name);
    }
    Ok(Outcome::Done)
}

/// Whether the machine is a node of the swarm that this manager speaks for. A manager
/// without a vote is one that the swarm was recovered without, unless it was promoted a
/// moment ago.
async fn is_member(manager: &Engine, own: &SwarmFacts, machine: &Machine) -> Result<bool> {
    let cx = machine.cx.within(VOTE);
    let known = wait::until(&cx, "its vote", "", || async {
        let nodes = manager.nodes(&cx).await?;
        match nodes.iter().find(|node| Some(&node.id) == own.node_id.as_ref()) {
            None => Ok(false),
            Some(node) if node.role == Role::Worker || node.votes => Ok(true),
            // It has a part in decisions already, but not in those of this swarm.
            Some(_) if own.manager => Ok(false),
            Some(_) => Err(Error::busy("it has no vote yet")),
        }
    })
    .await;
    match known {
        Err(error) if error.kind() == ErrorKind::Driver => Ok(false),
        known => known,
    }
}

/// Leaves a swarm that is not the fleet's any more; a stranger's is left alone.
async fn leave_former(
    ground: &Ground,
    engine: &Engine,
    own: &SwarmFacts,
    machine: &Machine,
) -> Result<()> {
    let ours = |at: &String| {
        let address = at.rsplit_once(':').and_then(|(ip, _)| ip.parse().ok());
        address.is_some_and(|ip| ground.is_ours(ip))
    };
    if let Some(stranger) = own.managers.iter().find(|at| !ours(at)) {
        return Err(Error::conflict(format!(
            "`{}` is in a swarm that is not this fleet's",
            machine.name
        ))
        .with("manager", stranger)
        .hint("let it leave: `docker swarm leave` with its `fleet env`, then `fleet up`"));
    }
    machine.cx.reporter().note(
        Level::Warning,
        "It was in a swarm of this fleet that is gone, and leaves it for the new one.",
    );
    let cx = machine.cx.within(JOIN);
    wait::until(&cx, "it to leave its former swarm", "", || engine.leave(Force::Yes, &cx)).await
}

/// Removes nodes that an earlier machine of the same name left in the swarm.
async fn forget_former(
    ground: &Ground,
    manager: &Engine,
    machine: &Machine,
    role: Role,
) -> Result<()> {
    let nodes = manager.nodes(&machine.cx.within(JOIN)).await?;
    let former: Vec<_> = nodes.iter().filter(|node| node.hostname == machine.name).collect();
    if former.is_empty() {
        return Ok(());
    }
    // Whoever joins as a manager holds the lock already.
    let _one = match role {
        Role::Manager => None,
        Role::Worker => Some(ground.managers.lock().await),
    };
    for node in former {
        forget(manager, node, &machine.cx).await?;
    }
    Ok(())
}

/// The node of this machine as a manager sees it; `Busy` until it does.
async fn node(manager: &Engine, own: &Engine, cx: &Cx) -> Result<NodeFacts> {
    let id = own.facts(cx).await?.swarm.node_id;
    manager
        .nodes(cx)
        .await?
        .into_iter()
        .find(|node| Some(&node.id) == id.as_ref())
        .ok_or_else(|| Error::busy("the swarm does not know the node yet"))
}

/// The node of this machine, waited for until the swarm knows it.
async fn known(manager: &Engine, own: &Engine, cx: &Cx) -> Result<NodeFacts> {
    let hint = "is it in the swarm of this fleet? Ask `docker node ls`";
    wait::until(cx, "its node in the swarm", hint, || node(manager, own, cx)).await
}

/// Sets role, labels and availability of the node where they differ.
pub(super) async fn update(ground: &Ground, machine: &mut Machine) -> Result<Outcome, Stopped> {
    let spec = ground.named(&machine.name)?;
    let own = client(ground, &machine.name, &machine.cx).await?;
    let (_, manager) = manager(ground, machine).await?;
    let cx = machine.cx.within(JOIN);
    let found = known(&manager, &own, &cx).await?;
    if node_differs(spec, &found).is_none() {
        return Ok(Outcome::Unchanged);
    }
    let role = spec.role.unwrap_or(Role::Worker);
    let _one = if role == found.role { None } else { Some(ground.managers.lock().await) };
    if role == Role::Worker && found.role == Role::Manager {
        ground.gate.forget(&machine.name);
        demote(&manager, &found, &machine.cx).await?;
        fault::point("demoted", &machine.name)?;
    }
    manager.update_node(&found.id, role, spec.availability, &spec.labels, &cx).await?;
    if role == Role::Manager && found.role == Role::Worker {
        // The next change of managers counts on this one.
        voted(&manager, &own, machine).await?;
        ground.gate.open(&machine.name);
    }
    ground.record(&machine.name, |record| record.manager = role == Role::Manager)?;
    Ok(Outcome::Done)
}

/// Sets labels and availability of the node as the file says; its role stays.
pub(super) async fn activate(ground: &Ground, machine: &mut Machine) -> Result<Outcome, Stopped> {
    let spec = ground.named(&machine.name)?;
    let own = client(ground, &machine.name, &machine.cx).await?;
    let (_, manager) = manager(ground, machine).await?;
    let cx = machine.cx.within(JOIN);
    let found = known(&manager, &own, &cx).await?;
    manager.update_node(&found.id, found.role, spec.availability, &spec.labels, &cx).await?;
    Ok(Outcome::Done)
}

/// Waits until a manager takes part in decisions.
async fn voted(manager: &Engine, own: &Engine, machine: &Machine) -> Result<()> {
    let cx = machine.cx.within(JOIN);
    let hint = engine_log(machine);
    wait::until(&cx, "it to become a manager", &hint, || async {
        let node = node(manager, own, &cx).await?;
        if node.votes && node.reachable { Ok(()) } else { Err(Error::busy("it has no vote yet")) }
    })
    .await
}

/// Waits until the swarm says that the node is ready.
pub(super) async fn ready(ground: &Ground, machine: &mut Machine) -> Result<Outcome, Stopped> {
    let own = client(ground, &machine.name, &machine.cx).await?;
    let (_, manager) = manager(ground, machine).await?;
    let cx = machine.cx.within(JOIN);
    let hint = engine_log(machine);
    wait::until(&cx, "its node to be ready", &hint, || async {
        let node = node(&manager, &own, &cx).await?;
        let reachable = node.role == Role::Worker || node.reachable;
        if node.ready && reachable {
            Ok(())
        } else {
            Err(Error::busy(format!("the node is {}", node.state)))
        }
    })
    .await?;
    Ok(Outcome::Unchanged)
}
