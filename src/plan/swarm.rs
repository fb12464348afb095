//! Who seeds the swarm, who joins, and who leaves.

use std::collections::{BTreeMap, BTreeSet};

use super::machine::{Look, in_swarm, push};
use super::{Gate, Lane, Plan, Planned, Step, driver_of};
use crate::config::{Availability, Fleet, Role, Spec};
use crate::engine::{NodeFacts, SwarmState};
use crate::observe::{Observed, Seen};
use crate::state::Record;

/// Finds out how the machines of this plan can join.
///
/// A manager that answers lets them in. Without one, the first manager of the file
/// among the chosen machines initialises the swarm.
pub(super) fn gate(fleet: &Fleet, specs: &[&Spec], observed: &Observed) -> Gate {
    if fleet.swarm.is_none() {
        return Gate::Unused;
    }
    if let Some(name) = answering_manager(fleet, observed, &BTreeSet::new()) {
        return Gate::Open(name);
    }
    let managers = || specs.iter().filter(|spec| spec.role == Some(Role::Manager));
    // A manager that is stopped or whose engine is silent may still hold the swarm:
    // initialising another one beside it would split the fleet.
    let holds_swarm = managers()
        .find(|spec| observed.machines.get(&spec.name).is_some_and(|seen| seen.sighting.is_some()));
    match holds_swarm.or_else(|| managers().next()) {
        Some(spec) => Gate::Seed(spec.name.clone()),
        None => Gate::Unused,
    }
}

fn answering_manager(
    fleet: &Fleet,
    observed: &Observed,
    except: &BTreeSet<String>,
) -> Option<String> {
    let manages = |seen: &Seen| {
        seen.facts().is_some_and(|f| f.swarm.state == SwarmState::Active && f.swarm.manager)
    };
    fleet
        .machines
        .iter()
        .filter(|spec| !except.contains(&spec.name))
        .find(|spec| observed.machines.get(&spec.name).is_some_and(manages))
        .map(|spec| spec.name.clone())
}

/// Adds what the machine needs to be a node as the file says.
pub(super) fn join(steps: &mut Vec<Planned>, look: &Look<'_>, observed: &Observed, gate: &Gate) {
    let Some(role) = look.spec.role else { return };
    let booting = steps.iter().any(|p| p.step == Step::Start);
    if !in_swarm(look.seen) {
        match gate {
            Gate::Seed(seed) if *seed == look.spec.name => push(steps, Step::InitSwarm, ""),
            _ => push(steps, Step::JoinSwarm(role), if booting { "" } else { "it is in no swarm" }),
        }
        push(steps, Step::UpdateNode, "");
        push(steps, Step::WaitReady, "");
        return;
    }
    let node = node_of(look.seen, observed);
    match node {
        None => {
            push(steps, Step::UpdateNode, "its swarm could not be asked about it");
            push(steps, Step::WaitReady, "");
        }
        Some(node) => {
            if let Some(why) = node_differs(look.spec, node) {
                push(steps, Step::UpdateNode, &why);
            }
            if !node.ready || booting || !steps.is_empty() {
                push(steps, Step::WaitReady, if node.ready { "" } else { "its node is not ready" });
            }
        }
    }
}

fn node_of<'a>(seen: Option<&Seen>, observed: &'a Observed) -> Option<&'a NodeFacts> {
    let id = seen?.facts()?.swarm.node_id.as_deref()?;
    observed.nodes.as_ref()?.iter().find(|node| node.id == id)
}

/// What of a node is not as the file says; `None` if all is well.
pub(crate) fn node_differs(spec: &Spec, node: &NodeFacts) -> Option<String> {
    let role = spec.role.unwrap_or(Role::Worker);
    if node.role != role {
        return Some(format!("it is a {}, the file says {}", word(node.role), word(role)));
    }
    if node.availability != spec.availability {
        return Some(format!(
            "its availability is {}, the file says {}",
            availability(node.availability),
            availability(spec.availability)
        ));
    }
    (node.labels != spec.labels).then(|| "its node has other labels than the file".to_owned())
}

fn word(role: Role) -> &'static str {
    match role {
        Role::Manager => "manager",
        Role::Worker => "worker",
    }
}

fn availability(availability: Availability) -> &'static str {
    match availability {
        Availability::Active => "active",
        Availability::Pause => "pause",
        Availability::Drain => "drain",
    }
}

/// Removes machines one after the other from a swarm that stays.
pub(super) fn down(
    fleet: &Fleet,
    records: &BTreeMap<String, Record>,
    observed: &Observed,
    names: &BTreeSet<String>,
) -> Plan {
    let stays = answering_manager(fleet, observed, names);
    let mut lanes = Vec::new();
    for name in names {
        let seen = observed.machines.get(name);
        let exists = records.contains_key(name)
            || observed.strays.contains_key(name)
            || seen.is_some_and(|s| s.sighting.is_some());
        if !exists {
            continue;
        }
        let mut steps = Vec::new();
        if stays.is_some() {
            if in_swarm(seen) {
                push(&mut steps, Step::Drain, "its tasks must run elsewhere first");
                push(&mut steps, Step::LeaveSwarm, "");
            }
            push(&mut steps, Step::RemoveNode, "");
        }
        push(&mut steps, Step::Destroy, "you asked for it");
        let driver = driver_of(name, fleet, records, observed);
        lanes.push(Lane { machine: name.clone(), driver, steps });
    }
    let gate = stays.map_or(Gate::Unused, Gate::Open);
    Plan { images: BTreeSet::new(), lanes, gate, notes: Vec::new() }
}
