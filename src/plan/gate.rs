//! How machines find their swarm: who lets them in, who initialises it, who brings it
//! back.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use fleet_driver::Result;

use super::{Force, Gate, Up, refused};
use crate::config::{Fleet, Role, Spec};
use crate::engine::SwarmState;
use crate::observe::{Observed, Seen};
use crate::state::Record;

/// Finds out how the machines of this plan can join.
///
/// Managers that answer let them in. Without one, the first manager among the chosen
/// machines initialises the swarm, or brings it back.
pub(super) fn of(
    fleet: &Fleet,
    specs: &[&Spec],
    records: &BTreeMap<String, Record>,
    observed: &Observed,
    up: &Up,
) -> Gate {
    if fleet.swarm.is_none() {
        return Gate::Unused;
    }
    let seen = |spec: &Spec| observed.machines.get(&spec.name);
    let managers = || specs.iter().filter(|spec| spec.role == Some(Role::Manager));
    let mut open = answering(fleet, observed, &BTreeSet::new());
    // Those that are made anew come last; the only one cannot let itself in.
    open.sort_by_key(|name| up.replace.contains(name));
    let alone = |name: &String| {
        up.replace.contains(name) && open.len() == 1 && managers().all(|spec| spec.name == *name)
    };
    if open.first().is_some_and(|first| !alone(first)) {
        return Gate::Open(open);
    }
    // A manager that is stopped or whose engine is silent may still hold the swarm:
    // initialising another one beside it would split the fleet.
    // Unless it is forced, nobody goes as long as the swarm does not decide.
    let stays = |spec: &&&Spec| up.force == Force::No || !up.replace.contains(&spec.name);
    let manages = |spec: &&&Spec| seen(spec).is_some_and(manages);
    let exists = |spec: &&&Spec| seen(spec).is_some_and(Seen::whole);
    let held = |spec: &&&Spec| holds_a_vote(seen(spec), records.get(&spec.name));
    let seed = specs
        .iter()
        .filter(stays)
        .find(manages)
        // One that is to become a worker may be the only one that knows the swarm.
        .or_else(|| specs.iter().filter(stays).find(held))
        .or_else(|| managers().filter(stays).find(exists))
        .or_else(|| managers().next());
    match seed {
        Some(spec) => Gate::Seed(spec.name.clone()),
        None => Gate::Unused,
    }
}

/// Whether a machine has a vote in its swarm, as far as anybody knows: of one that is off,
/// and whose record is lost, everything is possible.
pub(super) fn holds_a_vote(seen: Option<&Seen>, record: Option<&Record>) -> bool {
    let says = seen.and_then(Seen::facts).map(|facts| facts.swarm.manager);
    let recorded = || record.is_none_or(|record| record.manager);
    seen.is_some_and(Seen::whole) && says.unwrap_or_else(recorded)
}

pub(super) fn manages(seen: &Seen) -> bool {
    seen.facts().is_some_and(|f| f.swarm.state == SwarmState::Active && f.swarm.manager)
}

/// The managers that answer for a swarm that decides, in the order of the file.
pub(super) fn answering(
    fleet: &Fleet,
    observed: &Observed,
    except: &BTreeSet<String>,
) -> Vec<String> {
    if observed.nodes.is_none() {
        return Vec::new();
    }
    let named = fleet.machines.iter().map(|spec| &spec.name);
    named
        .chain(observed.strays.keys())
        .filter(|name| !except.contains(*name))
        .filter(|name| observed.seen(name).is_some_and(manages))
        .cloned()
        .collect()
}

/// The machine to bring the swarm back with, if so many managers are gone for good that
/// it can never decide again.
///
/// Gone is a manager whose machine does not exist any more; one that is merely stopped
/// or silent may come back.
pub(super) fn survivor(
    fleet: &Fleet,
    specs: &[&Spec],
    records: &BTreeMap<String, Record>,
    observed: &Observed,
    force: Force,
) -> Option<String> {
    if observed.nodes.is_some() || fleet.swarm.is_none() {
        return None;
    }
    let exists = |address: Ipv4Addr| {
        let there = |name: &String| observed.seen(name).is_some_and(|seen| seen.sighting.is_some());
        let named = fleet.machines.iter().map(|spec| (&spec.name, spec.address));
        let recorded = records.iter().map(|(name, record)| (name, record.address));
        let owner = recorded.chain(named).find(|(_, own)| *own == address);
        // Whoever is not of this fleet may live, unless somebody knows better.
        owner.map_or(force == Force::No, |(name, _)| there(name))
    };
    let holds = specs.iter().find(|spec| observed.machines.get(&spec.name).is_some_and(manages))?;
    let facts = observed.machines.get(&holds.name)?.facts()?;
    let known: BTreeSet<Ipv4Addr> = facts
        .swarm
        .managers
        .iter()
        .filter_map(|at| at.rsplit_once(':')?.0.parse().ok())
        .chain([holds.address])
        .collect();
    let left = known.iter().filter(|address| exists(**address)).count();
    (left <= known.len() / 2).then(|| holds.name.clone())
}

/// Refuses to make the only manager of a swarm anew.
///
/// # Errors
/// `Conflict` unless it is forced.
pub(super) fn may_replace(observed: &Observed, gate: &Gate, up: &Up) -> Result<()> {
    match gate {
        Gate::Seed(name)
            if observed.nodes.is_some() && up.replace.contains(name) && up.force == Force::No =>
        {
            Err(refused(
                format!("`{name}` is the only manager of the swarm"),
                "with another manager beside it nothing is lost: give the file one more, `fleet \
                 up`; or lose the swarm and its services with `--force`",
            ))
        }
        _ => Ok(()),
    }
}
