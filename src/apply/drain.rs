//! Moving a node's tasks elsewhere, and knowing when they run there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fleet_driver::event::Outcome;
use fleet_driver::{Cx, Error, ErrorKind, Level, Result, wait};

use super::leave::manager;
use super::{Ground, Machine, Stopped};
use crate::config::Availability;
use crate::engine::{Engine, NodeFacts, TaskFacts};
use crate::plan::Force;

/// How long tasks may take to run elsewhere, in emulated guests that load an image first.
const DRAIN: Duration = Duration::from_secs(180);

/// Moves the node's tasks elsewhere and waits until they run there.
///
/// A machine that goes must not take a service with it: tasks that no other node takes
/// are an error, and the node takes tasks again. One that comes back may be away with
/// them.
pub(super) async fn drain(ground: &Ground, machine: &mut Machine) -> Result<Outcome, Stopped> {
    let (_, manager) = manager(ground, machine).await?;
    let cx = machine.cx.within(DRAIN);
    let nodes = manager.nodes(&cx).await?;
    let mine: Vec<_> = nodes.iter().filter(|n| n.hostname == machine.name && n.ready).collect();
    for node in &mine {
        let moved = move_tasks(&manager, node, &cx).await;
        let Err(error) = moved else { continue };
        if error.kind() == ErrorKind::Interrupted {
            return Err(error.into());
        }
        if machine.goes && ground.tools.force == Force::No {
            set(&manager, node, node.availability, &machine.cx).await?;
            return Err(error.into());
        }
        machine.cx.reporter().note(
            Level::Warning,
            format!("Not all of its tasks run elsewhere while it is away: {error}."),
        );
    }
    Ok(if mine.is_empty() { Outcome::Unchanged } else { Outcome::Done })
}

async fn set(
    manager: &Engine,
    node: &NodeFacts,
    availability: Availability,
    cx: &Cx,
) -> Result<()> {
    manager.update_node(&node.id, node.role, availability, &node.labels, cx).await
}

async fn move_tasks(manager: &Engine, node: &NodeFacts, cx: &Cx) -> Result<()> {
    let before = manager.tasks(cx).await?;
    let here = |task: &&TaskFacts| task.node == node.id && task.wanted;
    let services: BTreeSet<String> =
        before.iter().filter(here).map(|task| task.service.clone()).collect();
    // What did not run before is not the drain's doing.
    let unwell = |tasks: &[TaskFacts]| {
        let waits = |t: &&TaskFacts| services.contains(&t.service) && t.wanted && !t.running;
        tasks.iter().filter(waits).cloned().collect::<Vec<_>>()
    };
    let unwell_before = unwell(&before).len();
    set(manager, node, Availability::Drain, cx).await?;
    let names = manager.services(cx).await?;
    let count = |waiting: &[TaskFacts]| tasks_of(waiting, &names, waiting.len() - unwell_before);
    let hint = "give them another place (`docker service inspect` shows their constraints), or \
                let them end with `--force`";
    wait::until(cx, "its tasks to run elsewhere", hint, || async {
        let tasks = manager.tasks(cx).await?;
        let still = tasks.iter().filter(|t| t.node == node.id && t.running).count();
        if still > 0 {
            return Err(Error::busy(format!("{still} tasks still run here")));
        }
        let waiting = unwell(&tasks);
        if waiting.len() <= unwell_before {
            return Ok(());
        }
        match waiting.iter().find_map(|task| task.refused.clone()) {
            Some(why) => {
                Err(Error::conflict(format!("no other node takes {}: {why}", count(&waiting)))
                    .hint(hint))
            }
            None => Err(Error::busy(format!("{} not running elsewhere yet", count(&waiting)))),
        }
    })
    .await
}

/// So many tasks, and whose they are.
fn tasks_of(waiting: &[TaskFacts], names: &BTreeMap<String, String>, number: usize) -> String {
    let services: BTreeSet<&String> =
        waiting.iter().map(|task| names.get(&task.service).unwrap_or(&task.service)).collect();
    let services: Vec<String> = services.iter().map(|name| format!("`{name}`")).collect();
    let tasks = if number == 1 { "1 task".to_owned() } else { format!("{number} tasks") };
    format!("{tasks} of {}", services.join(", "))
}
