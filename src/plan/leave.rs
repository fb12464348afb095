//! Machines that go: all of them, those that were named, and those that the file does
//! not know any more.

use std::collections::{BTreeMap, BTreeSet};

use fleet_driver::Result;

use super::gate::answering;
use super::gate::holds_a_vote;
use super::machine::push;
use super::swarm::{after_build, farewell, in_order};
use super::{
    Force, Gate, Lane, Plan, Planned, Quorum, Stage, Step, Up, Wanted, driver_of, refused,
};
use crate::config::{Fleet, Role};
use crate::observe::{Observed, Seen};
use crate::state::Record;

/// Refuses if one of the machines is protected.
pub(super) fn unprotected(
    fleet: &Fleet,
    records: &BTreeMap<String, Record>,
    wanted: &Wanted,
    names: &BTreeSet<String>,
    force: Force,
) -> Result<()> {
    if force == Force::Yes {
        return Ok(());
    }
    let in_file = |name: &String| fleet.machines.iter().find(|spec| spec.name == *name);
    let protected = |name: &&String| {
        // What the file says counts; a machine that it does not know stays as it was.
        let was = || match records.get(*name) {
            Some(record) => record.protected,
            None => wanted.protected.contains(*name),
        };
        in_file(name).map_or_else(|| fleet.protected || was(), |spec| spec.protected)
    };
    let Some(name) = names.iter().find(protected) else { return Ok(()) };
    let hint = if fleet.protected || in_file(name).is_some() {
        "remove `protected = true` from the file, or say `--force`; nothing was changed"
    } else {
        "it was so when it left the file: say `--force`; nothing was changed"
    };
    Err(refused(format!("`{name}` is protected"), hint))
}

/// Whether anything of a machine is there to be removed.
fn is_there(name: &str, records: &BTreeMap<String, Record>, observed: &Observed) -> bool {
    records.contains_key(name)
        || observed.strays.contains_key(name)
        || observed.machines.get(name).is_some_and(|seen| seen.sighting.is_some())
}

/// Everything there is of the fleet, in the order of the file.
fn existing(fleet: &Fleet, records: &BTreeMap<String, Record>, observed: &Observed) -> Vec<String> {
    let named = fleet.machines.iter().map(|spec| &spec.name);
    let mut seen = BTreeSet::new();
    named
        .chain(records.keys())
        .chain(observed.strays.keys())
        .filter(|name| is_there(name, records, observed) && seen.insert(*name))
        .cloned()
        .collect()
}

/// All machines that exist or are recorded, each removed by itself: the swarm goes
/// with them.
///
/// # Errors
/// `Conflict` if one of them is protected and nobody forces it.
pub(super) fn all(
    fleet: &Fleet,
    records: &BTreeMap<String, Record>,
    observed: &Observed,
    wanted: &Wanted,
    force: Force,
) -> Result<Plan> {
    let names = existing(fleet, records, observed);
    unprotected(fleet, records, wanted, &names.iter().cloned().collect(), force)?;
    let lanes = names
        .into_iter()
        .map(|name| Lane {
            driver: driver_of(&name, fleet, records, observed),
            machine: name,
            stage: Stage::Build,
            steps: vec![Planned { step: Step::Destroy, why: "you asked for it".to_owned() }],
        })
        .collect();
    Ok(Plan { lanes, ..Plan::default() })
}

/// Machines that are removed from a swarm that stays.
///
/// # Errors
/// `Conflict` if one of them is protected, or the swarm would be left without the
/// managers that it needs, and nobody forces it.
pub(super) fn named(
    fleet: &Fleet,
    records: &BTreeMap<String, Record>,
    observed: &Observed,
    wanted: &Wanted,
    names: &BTreeSet<String>,
    force: Force,
) -> Result<Plan> {
    unprotected(fleet, records, wanted, names, force)?;
    let there = existing(fleet, records, observed);
    if there.iter().all(|name| names.contains(name)) {
        return all(fleet, records, observed, wanted, force);
    }
    let open = answering(fleet, observed, names);
    let gate = if open.is_empty() { Gate::Unused } else { Gate::Open(open) };
    let mut plan = Plan { gate, ..Plan::default() };
    let quorum = match &observed.nodes {
        Some(nodes) => Quorum::of(nodes),
        // Nobody answers: whoever should be a manager and exists may be one.
        None => Quorum::all_well(
            fleet
                .machines
                .iter()
                .filter(|spec| spec.role == Some(Role::Manager) && there.contains(&spec.name))
                .map(|spec| spec.name.as_str()),
        ),
    };
    let votes = |name: &&String| {
        observed.seen(name).is_some() && holds_a_vote(observed.seen(name), records.get(*name))
    };
    if observed.nodes.is_none() && fleet.swarm.is_some() && force == Force::No {
        let (going, staying): (Vec<&String>, Vec<&String>) =
            there.iter().filter(votes).partition(|name| names.contains(*name));
        if let (Some(first), Some(other)) = (going.first(), staying.first()) {
            return Err(refused(
                format!(
                    "the swarm does not decide now, and may need `{first}` for it beside `{other}`"
                ),
                "bring it back first with `fleet up`, or lose that machine with `--force`",
            ));
        }
    }
    for name in there.iter().filter(|name| names.contains(*name)) {
        remove(name, fleet, records, observed, "you asked for it", &mut plan);
    }
    bear(&quorum, force, &mut plan)?;
    in_order(observed, &mut plan);
    Ok(plan)
}

/// Adds the lane that removes a machine.
fn remove(
    name: &str,
    fleet: &Fleet,
    records: &BTreeMap<String, Record>,
    observed: &Observed,
    why: &str,
    plan: &mut Plan,
) {
    let mut steps = Vec::new();
    if matches!(plan.gate, Gate::Open(_)) {
        farewell(&mut steps, name, observed);
    } else if fleet.swarm.is_some() && observed.nodes.is_none() {
        let running = observed.machines.values().any(Seen::running);
        if running || !records.is_empty() {
            plan.notes.push(format!(
                "No manager answers, so the swarm is not told that `{name}` goes; `fleet up \
                 --prune` takes its node out later."
            ));
        }
    }
    push(&mut steps, Step::Destroy, why);
    let manages = |node: &&crate::engine::NodeFacts| node.role == Role::Manager;
    let own = observed.nodes.iter().flatten().filter(|node| node.hostname == name);
    let stage = if own.filter(manages).count() > 0 { Stage::Resign } else { Stage::Leave };
    let driver = driver_of(name, fleet, records, observed);
    plan.lanes.push(Lane { machine: name.to_owned(), driver, stage, steps });
}

/// Sees that the swarm bears it when the managers among the lanes leave.
fn bear(quorum: &Quorum, force: Force, plan: &mut Plan) -> Result<()> {
    let goes = |lane: &&Lane| {
        lane.steps.iter().any(|p| p.step == Step::Destroy)
            && lane.steps.iter().all(|p| p.step != Step::Create)
    };
    let leaving: Vec<&str> =
        plan.lanes.iter().filter(goes).map(|lane| lane.machine.as_str()).collect();
    let leaving: Vec<&str> = leaving.into_iter().filter(|name| quorum.has(name)).collect();
    let Some(first) = leaving.first() else { return Ok(()) };
    let rest = leaving.iter().fold(quorum.clone(), |rest, name| rest.without(name));
    if force == Force::Yes {
        if !rest.holds() {
            plan.notes.push(format!(
                "The swarm loses the managers that it needs with `{first}`, as you forced it."
            ));
            // Nobody would be left who could be asked.
            plan.gate = Gate::Unused;
            for lane in &mut plan.lanes {
                lane.steps.retain(|planned| planned.step == Step::Destroy);
            }
        }
        return Ok(());
    }
    if rest.managers() == 0 {
        return Err(refused(
            format!("with `{first}` the swarm would lose its last manager, and workers stay"),
            "remove everything with `fleet down`, or lose the swarm and its services with \
             `--force`",
        ));
    }
    if !rest.holds() {
        return Err(refused(
            format!("without `{first}` the managers that are left could not decide any more"),
            "bring the other managers up first with `fleet up`, or lose the swarm with `--force`",
        ));
    }
    if rest.managers().is_multiple_of(2) {
        plan.notes.push(format!(
            "{} managers stay: an even number bears no more failures than one less.",
            rest.managers()
        ));
    }
    Ok(())
}

/// Removes, or only names, what belongs to the fleet and is not in the file.
///
/// # Errors
/// As [`named`].
pub(super) fn strays(
    fleet: &Fleet,
    records: &BTreeMap<String, Record>,
    observed: &Observed,
    wanted: &Wanted,
    up: &Up,
    plan: &mut Plan,
) -> Result<()> {
    let quorum = after_build(fleet, observed, plan);
    let names: BTreeSet<String> = observed.strays.keys().cloned().collect();
    if up.prune {
        unprotected(fleet, records, wanted, &names, up.force)?;
        if matches!(plan.gate, Gate::Seed(_) | Gate::Recover(_)) && !names.is_empty() {
            // Once the swarm decides again, it can be told who goes.
            plan.again = true;
            return Ok(());
        }
        for name in &names {
            remove(name, fleet, records, observed, "the file does not name it", plan);
        }
        bear(&quorum, up.force, plan)?;
    } else {
        for (name, stray) in &observed.strays {
            plan.notes.push(format!(
                "`{name}` ({}) belongs to this fleet but is not in the file; it is left alone. \
                 Remove it with `fleet down {name}` or `fleet up --prune`.",
                stray.driver
            ));
        }
    }
    ghosts(fleet, observed, up, plan);
    Ok(())
}

/// Nodes that a machine of this fleet left behind in the swarm.
fn ghosts(fleet: &Fleet, observed: &Observed, up: &Up, plan: &mut Plan) {
    let (lab, prefix) = (u32::from(fleet.network.subnet), u32::from(fleet.network.prefix));
    let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
    let ours = |address: &str| {
        let address: Option<std::net::Ipv4Addr> = address.parse().ok();
        address.is_some_and(|address| u32::from(address) & mask == lab & mask)
    };
    let known = |name: &str| {
        fleet.machines.iter().any(|spec| spec.name == name) || observed.strays.contains_key(name)
    };
    let Some(driver) = fleet.machines.first().map(|spec| spec.driver.clone()) else { return };
    for node in observed.nodes.iter().flatten() {
        if node.ready || known(&node.hostname) || !ours(&node.address) {
            continue;
        }
        let name = node.hostname.clone();
        if !up.prune {
            plan.notes.push(format!(
                "The node `{name}` is {} and no machine of the file; `fleet up --prune` takes it \
                 out of the swarm.",
                node.state
            ));
        } else if plan.lanes.iter().all(|lane| lane.machine != name) {
            let why = "no machine stands behind its node".to_owned();
            let steps = vec![Planned { step: Step::RemoveNode, why }];
            let stage = if node.role == Role::Manager { Stage::Resign } else { Stage::Leave };
            plan.lanes.push(Lane { machine: name, driver: driver.clone(), stage, steps });
        }
    }
}
