//! What the fake driver keeps in memory: machines, and the troubles ordered for them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{ANY, Call, Verb};
use crate::error::Error;
use crate::spec::{Finding, Power, Snapshot, VmSpec};
use crate::{Capabilities, MachineId};

pub(super) struct World {
    pub(super) machines: BTreeMap<MachineId, Machine>,
    pub(super) troubles: Vec<Trouble>,
    pub(super) deaf: BTreeSet<String>,
    pub(super) endpoints: BTreeMap<String, (SocketAddr, SocketAddr)>,
    pub(super) findings: Vec<Finding>,
    pub(super) calls: Vec<Call>,
    pub(super) running: usize,
    pub(super) most_at_once: usize,
    pub(super) memory_mib: u64,
    pub(super) disk_mib: u64,
    pub(super) concurrency: usize,
    pub(super) capabilities: Capabilities,
}

impl Default for World {
    fn default() -> Self {
        Self {
            machines: BTreeMap::new(),
            troubles: Vec::new(),
            deaf: BTreeSet::new(),
            endpoints: BTreeMap::new(),
            findings: Vec::new(),
            calls: Vec::new(),
            running: 0,
            most_at_once: 0,
            memory_mib: 1 << 20,
            disk_mib: 1 << 24,
            concurrency: 4,
            capabilities: Capabilities {
                seed: true,
                static_addresses: true,
                suspend: true,
                save: true,
                snapshots: true,
                ..Capabilities::default()
            },
        }
    }
}

impl World {
    /// Takes one turn of every trouble that is due.
    pub(super) fn due(&mut self, verb: Verb, machines: &[&str]) -> Vec<What> {
        let mut due = Vec::new();
        for trouble in &mut self.troubles {
            let meant = trouble.machine == ANY || machines.contains(&trouble.machine.as_str());
            if meant && trouble.verb == verb && trouble.times > 0 {
                trouble.times -= 1;
                due.push(trouble.what.clone());
            }
        }
        due
    }
}

pub(super) struct Machine {
    pub(super) spec: VmSpec,
    pub(super) power: Power,
    pub(super) seeded: bool,
    pub(super) made: Made,
    pub(super) life: Life,
    /// The oldest first.
    pub(super) snapshots: Vec<Snapshot>,
}

/// What a machine that lives in a file has been through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Life {
    /// Differs for every disk that was made; 0 until it is written down.
    pub(super) incarnation: u64,
    /// How often it was started.
    pub(super) boots: u64,
}

/// How much of a machine there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    Half,
    Whole,
}

pub(super) struct Trouble {
    pub(super) machine: String,
    pub(super) verb: Verb,
    pub(super) times: usize,
    pub(super) what: What,
}

#[derive(Clone)]
pub(super) enum What {
    Delay(Duration),
    Hang,
    Fail { moment: Moment, error: Arc<dyn Fn() -> Error + Send + Sync> },
}

/// When a verb fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    Before,
    HalfWay,
}
