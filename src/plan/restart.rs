//! Machines that are shut down and started again: nodes of a swarm one after the other,
//! their tasks elsewhere meanwhile.

use std::collections::BTreeSet;

use super::gate::answering;
use super::machine::push;
use super::swarm::{Member, drain, in_order, node_of};
use super::{Gate, Lane, Plan, Stage, Step};
use crate::config::{Fleet, Install};
use crate::observe::Observed;

/// Makes the plan; machines that do not exist are left out.
pub(super) fn restart(fleet: &Fleet, observed: &Observed, names: &BTreeSet<String>) -> Plan {
    let open = answering(fleet, observed, &BTreeSet::new());
    let gate = if open.is_empty() { Gate::Unused } else { Gate::Open(open) };
    let mut plan = Plan { gate, ..Plan::default() };
    for spec in fleet.machines.iter().filter(|spec| names.contains(&spec.name)) {
        let seen = observed.machines.get(&spec.name);
        if seen.is_none_or(|seen| seen.sighting.is_none()) {
            continue;
        }
        let member = matches!(node_of(seen, observed), Member::Node(_));
        let mut steps = Vec::new();
        if member {
            drain(&mut steps, seen, observed);
        }
        push(&mut steps, Step::Stop, "you asked for it");
        push(&mut steps, Step::Start, "");
        match spec.engine.install {
            Install::None => push(&mut steps, Step::Connect, ""),
            _ => push(&mut steps, Step::WaitEngine, ""),
        }
        if member {
            push(&mut steps, Step::WaitReady, "");
            push(&mut steps, Step::Activate, "");
        }
        let (machine, driver) = (spec.name.clone(), spec.driver.clone());
        let stage = if member { Stage::Roll } else { Stage::Build };
        plan.lanes.push(Lane { machine, driver, stage, steps });
    }
    in_order(observed, &mut plan);
    plan
}
