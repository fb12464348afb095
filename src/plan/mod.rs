//! Spec + records + observation → [`Plan`]: a pure function, without clock, I/O or
//! async. Same input, same output.

pub mod explain;
mod machine;
mod swarm;

pub(crate) use swarm::node_differs;

use std::collections::{BTreeMap, BTreeSet};

use fleet_driver::event::StepId;

use crate::config::{Fleet, ImageRef, Role, Spec};
use crate::observe::Observed;
use crate::state::Record;

/// The steps that lead from what is to what the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The images that must be there before the first machine is created.
    pub images: BTreeSet<ImageRef>,
    /// One lane a machine that has anything to do, in the order of the file.
    pub lanes: Vec<Lane>,
    /// How joining machines find their swarm.
    pub gate: Gate,
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
    /// Its steps.
    pub steps: Vec<Planned>,
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

/// One thing that changes the world, or makes sure that it need not be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Define the machine.
    Create,
    /// Start it.
    Start,
    /// Wait until it answers by SSH with the pinned host key.
    Connect,
    /// Install the engine where it is missing or of another version.
    InstallEngine,
    /// Write the engine's settings and certificates where they differ.
    ConfigureEngine,
    /// Wait until the engine answers over mutual TLS.
    WaitEngine,
    /// Initialise the swarm.
    InitSwarm,
    /// Join the swarm.
    JoinSwarm(Role),
    /// Set role, labels and availability of the node.
    UpdateNode,
    /// Wait until the node is ready.
    WaitReady,
    /// Take the first-boot seed away.
    Unseed,
    /// Move the node's tasks elsewhere and wait until they run there.
    Drain,
    /// Leave the swarm.
    LeaveSwarm,
    /// Remove the node from the swarm.
    RemoveNode,
    /// Shut the machine down.
    Stop,
    /// Remove the machine.
    Destroy,
}

impl Step {
    /// The name that events and the log show.
    pub fn id(&self) -> StepId {
        match self {
            Self::Create => StepId::Create,
            Self::Start => StepId::Start,
            Self::Connect => StepId::Connect,
            Self::InstallEngine => StepId::InstallEngine,
            Self::ConfigureEngine => StepId::ConfigureEngine,
            Self::WaitEngine => StepId::WaitEngine,
            Self::InitSwarm => StepId::InitSwarm,
            Self::JoinSwarm(_) => StepId::JoinSwarm,
            Self::UpdateNode => StepId::UpdateNode,
            Self::WaitReady => StepId::WaitReady,
            Self::Unseed => StepId::Unseed,
            Self::Drain => StepId::Drain,
            Self::LeaveSwarm => StepId::LeaveSwarm,
            Self::RemoveNode => StepId::RemoveNode,
            Self::Stop => StepId::Stop,
            Self::Destroy => StepId::Destroy,
        }
    }
}

/// How joining machines find their swarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// No machine of this plan joins.
    Unused,
    /// A swarm exists: this machine, a manager that answers, lets them in.
    Open(String),
    /// This machine initialises the swarm first.
    Seed(String),
}

/// What the person wants to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intent {
    /// Bring these machines to what the file says.
    Up(BTreeSet<String>),
    /// Remove all machines of the fleet, with the swarm.
    DownAll,
    /// Remove these machines from the swarm and from the world.
    Down(BTreeSet<String>),
}

/// What the plan compares with, computed beforehand because it needs files.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The digest of the engine settings of each machine; missing as long as the
    /// fleet has no certificates.
    pub settings: BTreeMap<String, String>,
    /// The images that are on this host already, with their digests.
    pub images: BTreeMap<ImageRef, String>,
}

/// Makes the plan.
pub fn plan(
    fleet: &Fleet,
    records: &BTreeMap<String, Record>,
    observed: &Observed,
    wanted: &Wanted,
    intent: &Intent,
) -> Plan {
    match intent {
        Intent::Up(names) => up(fleet, records, observed, wanted, names),
        Intent::DownAll => down_all(fleet, records, observed),
        Intent::Down(names) => swarm::down(fleet, records, observed, names),
    }
}

fn up(
    fleet: &Fleet,
    records: &BTreeMap<String, Record>,
    observed: &Observed,
    wanted: &Wanted,
    names: &BTreeSet<String>,
) -> Plan {
    let specs: Vec<&Spec> = fleet.machines.iter().filter(|s| names.contains(&s.name)).collect();
    let gate = swarm::gate(fleet, &specs, observed);
    let mut plan = Plan { images: BTreeSet::new(), lanes: Vec::new(), gate, notes: Vec::new() };
    for spec in specs {
        let look = machine::Look {
            spec,
            record: records.get(&spec.name),
            seen: observed.machines.get(&spec.name),
            settings: wanted.settings.get(&spec.name).map(String::as_str),
            image: wanted.images.get(&spec.image).map(String::as_str),
        };
        let steps = machine::lane(&look, observed, &plan.gate);
        plan.notes.extend(machine::notes(&look));
        if steps.iter().any(|planned| planned.step == Step::Create)
            && !wanted.images.contains_key(&spec.image)
        {
            plan.images.insert(spec.image.clone());
        }
        if !steps.is_empty() {
            let driver = driver_of(&spec.name, fleet, records, observed);
            plan.lanes.push(Lane { machine: spec.name.clone(), driver, steps });
        }
    }
    for (name, driver) in &observed.strays {
        plan.notes.push(format!(
            "`{name}` ({driver}) belongs to this fleet but is not in the file; it is left alone. Remove it with `fleet down {name}`."
        ));
    }
    plan
}

/// The driver that made a machine, or that the file names for it.
fn driver_of(
    name: &str,
    fleet: &Fleet,
    records: &BTreeMap<String, Record>,
    observed: &Observed,
) -> String {
    let recorded = records.get(name).map(|record| &record.driver);
    let named = || fleet.machines.iter().find(|spec| spec.name == name).map(|spec| &spec.driver);
    recorded.or_else(|| observed.strays.get(name)).or_else(named).cloned().unwrap_or_default()
}

/// All machines that exist or are recorded, each removed by itself: the swarm goes
/// with them.
fn down_all(fleet: &Fleet, records: &BTreeMap<String, Record>, observed: &Observed) -> Plan {
    let named = fleet.machines.iter().map(|spec| &spec.name);
    let mut order: Vec<&String> = named.collect();
    order.extend(records.keys().chain(observed.strays.keys()));
    let mut seen = BTreeSet::new();
    order.retain(|name| seen.insert(*name));
    let lanes = order
        .into_iter()
        .filter(|name| {
            records.contains_key(*name)
                || observed.strays.contains_key(*name)
                || observed.machines.get(*name).is_some_and(|m| m.sighting.is_some())
        })
        .map(|name| Lane {
            machine: name.clone(),
            driver: driver_of(name, fleet, records, observed),
            steps: vec![Planned { step: Step::Destroy, why: "you asked for it".to_owned() }],
        })
        .collect();
    Plan { images: BTreeSet::new(), lanes, gate: Gate::Unused, notes: Vec::new() }
}

#[cfg(test)]
mod tests;
