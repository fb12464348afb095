//! Spec + records + observation → [`Plan`]: a pure function, without clock, I/O or
//! async. Same input, same output.
//!
//! # Why
//! A plan runs in stages, because that is all the order there is between machines:
//! what is built or joins comes first, side by side; then what must be interrupted, one
//! machine after the other; then what leaves, workers before managers. So a swarm has
//! its new managers before it loses old ones, and never two machines of it are away at
//! once.

pub mod explain;
mod gate;
mod intent;
mod leave;
mod machine;
#[cfg(test)]
mod model;
#[cfg(test)]
mod model_steps;
#[cfg(test)]
mod properties;
mod quorum;
mod restart;
mod step;
mod swarm;

use std::collections::{BTreeMap, BTreeSet};

use fleet_driver::{Error, Result};

pub use intent::{Force, Intent, Up, Wanted};
pub(crate) use quorum::Quorum;
pub use step::Step;
pub(crate) use swarm::node_differs;

use crate::config::{Fleet, ImageRef, Spec};
use crate::observe::Observed;
use crate::state::Record;

/// The steps that lead from what is to what the file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The images that must be there before the first machine is created.
    pub images: BTreeSet<ImageRef>,
    /// The lanes of the machines that have anything to do, in the order in which they run.
    /// A machine has one, or two if its role changes in another stage than the rest.
    pub lanes: Vec<Lane>,
    /// How joining machines find their swarm.
    pub gate: Gate,
    /// The driver of each machine that exists.
    pub drivers: BTreeMap<String, String>,
    /// Whether more can be done once this is done: what waits now for a swarm that decides.
    pub again: bool,
    /// What the plan leaves alone and the person should know, whole sentences.
    pub notes: Vec<String>,
}

/// The ordered steps of one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// The machine.
    pub machine: String,
    /// The driver that made it or will.
    pub driver: String,
    /// When it runs.
    pub stage: Stage,
    /// Its steps.
    pub steps: Vec<Planned>,
}

/// When a lane runs: each stage begins when the one before has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// First, side by side: nothing that works is interrupted.
    Build,
    /// Then one after the other: the machine is away for a while. Where one fails, the
    /// next ones are left as they are.
    Roll,
    /// Then side by side: workers that go.
    Leave,
    /// At last one after the other: managers that go.
    Resign,
}

impl Stage {
    /// All of them, in their order.
    pub const ALL: [Self; 4] = [Self::Build, Self::Roll, Self::Leave, Self::Resign];

    /// Whether its lanes run one after the other.
    pub fn in_turn(self) -> bool {
        matches!(self, Self::Roll | Self::Resign)
    }
}

/// A step and the reason for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// What to do.
    pub step: Step,
    /// Why, a fragment such as `it does not exist`; empty where it follows from the
    /// step before.
    pub why: String,
}

/// How joining machines find their swarm.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Gate {
    /// No machine of this plan joins or leaves.
    #[default]
    Unused,
    /// A swarm exists: these machines, managers that answer, let the others in.
    Open(Vec<String>),
    /// This machine initialises the swarm first, or finds it again.
    Seed(String),
    /// This machine makes its swarm decide again, without the managers that are gone for
    /// good.
    Recover(String),
}

/// Makes the plan.
///
/// # Errors
/// `Conflict`: what was asked would destroy what is protected, or leave a swarm without
/// the managers that it needs, and [`Force::No`] was said.
pub fn plan(
    fleet: &Fleet,
    records: &BTreeMap<String, Record>,
    observed: &Observed,
    wanted: &Wanted,
    intent: &Intent,
) -> Result<Plan> {
    let plan = match intent {
        Intent::Up(up) => bring_up(fleet, records, observed, wanted, up),
        Intent::DownAll(force) => leave::all(fleet, records, observed, wanted, *force),
        Intent::Down(names, force) => leave::named(fleet, records, observed, wanted, names, *force),
        Intent::Restart(names) => Ok(restart::restart(fleet, observed, names)),
    }?;
    let known = fleet.machines.iter().map(|spec| &spec.name).chain(observed.strays.keys());
    let drivers = known.map(|name| (name.clone(), driver_of(name, fleet, records, observed)));
    Ok(Plan { drivers: drivers.collect(), ..plan })
}

fn bring_up(
    fleet: &Fleet,
    records: &BTreeMap<String, Record>,
    observed: &Observed,
    wanted: &Wanted,
    up: &Up,
) -> Result<Plan> {
    leave::unprotected(fleet, records, wanted, &up.replace, up.force)?;
    let specs: Vec<&Spec> = fleet.machines.iter().filter(|s| up.names.contains(&s.name)).collect();
    let gate = match gate::survivor(fleet, &specs, records, observed, up.force) {
        Some(name) if !up.replace.contains(&name) => Gate::Recover(name),
        _ => gate::of(fleet, &specs, records, observed, up),
    };
    gate::may_replace(observed, &gate, up)?;
    let mut plan = Plan { gate, ..Plan::default() };
    for spec in &specs {
        let look = machine::Look {
            spec,
            record: records.get(&spec.name),
            seen: observed.machines.get(&spec.name),
            settings: wanted.settings.get(&spec.name).map(String::as_str),
            image: wanted.images.get(&spec.image),
            options: wanted.options.get(&spec.name).map(String::as_str),
            certs_due: wanted.certs_due,
        };
        let (stage, steps) = machine::lane(&look, observed, &plan.gate, up);
        let notes = machine::notes(&look, &plan.gate, up, &steps);
        plan.again |= machine::is_for_now(&look, &plan.gate, up, &steps);
        plan.notes.extend(notes);
        if steps.iter().any(|planned| planned.step == Step::Create)
            && !wanted.images.contains_key(&spec.image)
        {
            plan.images.insert(spec.image.clone());
        }
        if !steps.is_empty() {
            let driver = if steps.iter().any(|p| p.step == Step::Create) {
                spec.driver.clone()
            } else {
                driver_of(&spec.name, fleet, records, observed)
            };
            if stage == Stage::Roll
                && steps.iter().all(|planned| planned.step != Step::Destroy)
                && let Some((stage, steps)) = swarm::turn(spec, swarm::node_of(look.seen, observed))
            {
                let (machine, driver) = (spec.name.clone(), driver.clone());
                plan.lanes.push(Lane { machine, driver, stage, steps });
            }
            plan.lanes.push(Lane { machine: spec.name.clone(), driver, stage, steps });
        }
    }
    let left_out = swarm::keep_quorum(fleet, observed, &mut plan);
    leave::strays(fleet, records, observed, wanted, up, &mut plan)?;
    swarm::dissolve(fleet, observed, up, &mut plan);
    swarm::in_order(observed, &mut plan);
    plan.again |= left_out && !plan.lanes.is_empty();
    Ok(plan)
}

/// The driver that made a machine, or that the file names for it.
fn driver_of(
    name: &str,
    fleet: &Fleet,
    records: &BTreeMap<String, Record>,
    observed: &Observed,
) -> String {
    let recorded = records.get(name).map(|record| &record.driver);
    let stray = || observed.strays.get(name).map(|stray| &stray.driver);
    let named = || fleet.machines.iter().find(|spec| spec.name == name).map(|spec| &spec.driver);
    recorded.or_else(stray).or_else(named).cloned().unwrap_or_default()
}

/// A refusal that `--force` overrides.
fn refused(message: String, hint: &str) -> Error {
    Error::conflict(message).hint(hint)
}

#[cfg(test)]
mod tests;
