//! The steps that concern the swarm, all through the Engine API. Join tokens live
//! in memory between two calls and nowhere else.

use std::time::Duration;

use fleet_driver::event::Outcome;
use fleet_driver::{Error, ErrorKind, Level, Power, Result, wait};

use super::engine::{client, engine_log};
use super::{Ground, Machine, Stopped};
use crate::config::{Availability, Role};
use crate::engine::{Engine, Force, NodeFacts, SwarmFacts, SwarmState};
use crate::plan::node_differs;

/// How long a node may take to become part of the swarm, or ready.
const JOIN: Duration = Duration::from_secs(180);
/// How long tasks may take to run elsewhere.
const DRAIN: Duration = Duration::from_secs(120);

/// What this machine's engine says of its part in a swarm.
async fn part(engine: &Engine, machine: &Machine) -> Result<SwarmFacts> {
    let cx = machine.cx.within(JOIN);
    let hint = engine_log(&machine.name);
    wait::until(&cx, "the engine", &hint, || async {
        let facts = engine.facts(&cx).await?;
        if facts.swarm.state == SwarmState::Pending {
            return Err(Error::busy("the engine is joining its swarm"));
        }
        Ok(facts.swarm)
    })
    .await
}

/// The engine of the manager that lets machines in.
async fn manager(ground: &Ground, machine: &Machine) -> Result<(String, Engine), Stopped> {
    let name = ground.gate.wait(&machine.cx).await?;
    let engine = client(ground, &name, &machine.cx).await?;
    Ok((name, engine))
}

/// Initialises the swarm, unless this machine manages one already, and opens the gate.
pub(super) async fn init(ground: &Ground, machine: &mut Machine) -> Result<Outcome, Stopped> {
    let engine = client(ground, &machine.name, &machine.cx).await?;
    let outcome = match part(&engine, machine).await?.state {
        SwarmState::Active | SwarmState::Locked => Outcome::Unchanged,
        SwarmState::Inactive | SwarmState::Pending | SwarmState::Error(_) => {
            let spec = ground
                .spec(&machine.name)
                .ok_or_else(|| Error::bug("the seed of the swarm is not in the file"))?;
            let swarm = ground
                .fleet
                .swarm
                .as_ref()
                .ok_or_else(|| Error::bug("the file asks for no swarm"))?;
            engine.swarm_init(spec.address, swarm, &machine.cx.within(JOIN)).await?;
            Outcome::Done
        }
    };
    let cx = machine.cx.within(JOIN);
    wait::until(&cx, "the swarm's manager", "", || async {
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
    .await?;
    ground.gate.open(&machine.name);
    Ok(outcome)
}

/// Joins the swarm, unless this machine is in it already.
pub(super) async fn join(
    ground: &Ground,
    machine: &mut Machine,
    role: Role,
) -> Result<Outcome, Stopped> {
    let engine = client(ground, &machine.name, &machine.cx).await?;
    if part(&engine, machine).await?.state == SwarmState::Active {
        return Ok(Outcome::Unchanged);
    }
    let (name, manager) = manager(ground, machine).await?;
    let address = |name: &str| {
        ground
            .spec(name)
            .map(|spec| spec.address)
            .ok_or_else(|| Error::bug(format!("`{name}` is not in the file")))
    };
    // Every join of a manager changes the quorum: one at a time.
    let _one = match role {
        Role::Manager => Some(ground.managers.lock().await),
        Role::Worker => None,
    };
    forget_former(&manager, machine).await?;
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
        engine.join(address(&machine.name)?, &[address(&name)?], token, &cx).await
    })
    .await?;
    Ok(Outcome::Done)
}

/// Removes nodes that an earlier machine of the same name left in the swarm.
async fn forget_former(manager: &Engine, machine: &Machine) -> Result<()> {
    let nodes = manager.nodes(&machine.cx).await?;
    for node in nodes.iter().filter(|n| n.hostname == machine.name && !n.ready) {
        if node.role == Role::Manager {
            manager
                .update_node(&node.id, Role::Worker, node.availability, &node.labels, &machine.cx)
                .await?;
        }
        manager.remove_node(&node.id, Force::Yes, &machine.cx).await?;
    }
    Ok(())
}

/// The node of this machine as a manager sees it; `Busy` until it does.
async fn node(manager: &Engine, own: &Engine, machine: &Machine) -> Result<NodeFacts> {
    let id = own.facts(&machine.cx).await?.swarm.node_id;
    manager
        .nodes(&machine.cx)
        .await?
        .into_iter()
        .find(|node| Some(&node.id) == id.as_ref())
        .ok_or_else(|| Error::busy("the swarm does not know the node yet"))
}

/// Sets role, labels and availability of the node where they differ.
pub(super) async fn update(ground: &Ground, machine: &mut Machine) -> Result<Outcome, Stopped> {
    let spec = ground
        .spec(&machine.name)
        .ok_or_else(|| Error::bug(format!("`{}` is not in the file", machine.name)))?;
    let own = client(ground, &machine.name, &machine.cx).await?;
    let (_, manager) = manager(ground, machine).await?;
    let cx = machine.cx.within(JOIN);
    let hint = "is it in the swarm of this fleet? Ask `docker node ls`";
    let changed = wait::until(&cx, "its node in the swarm", hint, || async {
        let node = node(&manager, &own, machine).await?;
        if node_differs(spec, &node).is_none() {
            return Ok(false);
        }
        let role = spec.role.unwrap_or(Role::Worker);
        manager.update_node(&node.id, role, spec.availability, &spec.labels, &cx).await?;
        Ok(true)
    })
    .await?;
    Ok(if changed { Outcome::Done } else { Outcome::Unchanged })
}

/// Waits until the swarm says that the node is ready.
pub(super) async fn ready(ground: &Ground, machine: &mut Machine) -> Result<Outcome, Stopped> {
    let own = client(ground, &machine.name, &machine.cx).await?;
    let (_, manager) = manager(ground, machine).await?;
    let cx = machine.cx.within(JOIN);
    let hint = engine_log(&machine.name);
    wait::until(&cx, "its node to be ready", &hint, || async {
        let node = node(&manager, &own, machine).await?;
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

/// Moves the node's tasks elsewhere and waits until none runs here.
pub(super) async fn drain(ground: &Ground, machine: &mut Machine) -> Result<Outcome, Stopped> {
    let (_, manager) = manager(ground, machine).await?;
    let cx = machine.cx.within(DRAIN);
    let nodes = manager.nodes(&cx).await?;
    let mine: Vec<_> = nodes.iter().filter(|n| n.hostname == machine.name && n.ready).collect();
    for node in &mine {
        let labels = &node.labels;
        manager.update_node(&node.id, node.role, Availability::Drain, labels, &cx).await?;
        let hint = "stop what cannot move, or give the others room";
        wait::until(&cx, "its tasks to run elsewhere", hint, || async {
            match manager.tasks_on(&node.id, &cx).await? {
                0 => Ok(()),
                n => Err(Error::busy(format!("{n} tasks still run here"))),
            }
        })
        .await?;
    }
    Ok(if mine.is_empty() { Outcome::Unchanged } else { Outcome::Done })
}

/// Leaves the swarm, as a worker: a manager is demoted first.
pub(super) async fn leave(ground: &Ground, machine: &mut Machine) -> Result<Outcome, Stopped> {
    let (_, manager) = manager(ground, machine).await?;
    let _one = ground.managers.lock().await;
    let cx = machine.cx.within(JOIN);
    for node in manager.nodes(&cx).await? {
        if node.hostname == machine.name && node.role == Role::Manager {
            let labels = &node.labels;
            manager.update_node(&node.id, Role::Worker, node.availability, labels, &cx).await?;
        }
    }
    let cx = machine.cx.within(DRAIN);
    let seen = machine.driver.inspect(&machine.id, &cx).await?;
    if seen.is_none_or(|s| s.power != Power::Running) {
        return Ok(Outcome::Unchanged);
    }
    let own = client(ground, &machine.name, &machine.cx).await?;
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

/// Removes the machine's node from the swarm.
pub(super) async fn remove(ground: &Ground, machine: &mut Machine) -> Result<Outcome, Stopped> {
    let (_, manager) = manager(ground, machine).await?;
    let cx = machine.cx.within(JOIN);
    let mut outcome = Outcome::Unchanged;
    for node in manager.nodes(&cx).await? {
        if node.hostname != machine.name {
            continue;
        }
        if node.role == Role::Manager {
            let _one = ground.managers.lock().await;
            let labels = &node.labels;
            manager.update_node(&node.id, Role::Worker, node.availability, labels, &cx).await?;
        }
        manager.remove_node(&node.id, Force::Yes, &cx).await?;
        outcome = Outcome::Done;
    }
    Ok(outcome)
}
