//! A modelled world that plans are run on: machines, engines and swarms as far as a
//! plan can tell them apart, with what must never happen written down when it does.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use fleet_driver::{Power, Sighting};

use super::tests::spec;
use super::{Force, Gate, Intent, Plan, Quorum, Stage, Step, Up, Wanted, plan};
use crate::config::{Availability, Fleet, Network, Role, Spec, Swarm as SwarmSpec};
use crate::engine::{EngineFacts, NodeFacts, SwarmFacts, SwarmState};
use crate::observe::{EngineSeen, Observed, Seen, Stray};
use crate::state::Record;

/// A machine as it is.
#[derive(Debug, Clone)]
pub(super) struct Vm {
    pub(super) power: Power,
    pub(super) cpus: u32,
    pub(super) seeded: bool,
    pub(super) image: String,
    /// Settings and version of its engine; `None`: it was never secured.
    pub(super) engine: Option<(String, String)>,
    pub(super) silent: bool,
    /// Its swarm and its node there.
    pub(super) member: Option<(usize, String)>,
}

/// A swarm: its nodes.
#[derive(Debug, Clone, Default)]
pub(super) struct Swarm {
    pub(super) nodes: Vec<NodeFacts>,
}

#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) fleet: Fleet,
    pub(super) records: BTreeMap<String, Record>,
    pub(super) vms: BTreeMap<String, Vm>,
    pub(super) swarms: Vec<Swarm>,
    /// What happened that must never happen.
    pub(super) sins: Vec<String>,
    next: usize,
}

impl World {
    pub(super) fn new(machines: Vec<Spec>) -> Self {
        let fleet = Fleet {
            name: "lab".to_owned(),
            file: "/lab/machines.toml".into(),
            protected: false,
            ttl: None,
            network: Network { subnet: Ipv4Addr::new(10, 77, 0, 0), prefix: 24, internet: false },
            swarm: Some(SwarmSpec { address_pools: Vec::new(), subnet_size: 24, task_history: 5 }),
            machines,
            drivers: BTreeMap::new(),
            warnings: Vec::new(),
        };
        Self {
            fleet,
            records: BTreeMap::new(),
            vms: BTreeMap::new(),
            swarms: Vec::new(),
            sins: Vec::new(),
            next: 0,
        }
    }

    fn up(vm: &Vm) -> bool {
        vm.power == Power::Running && !vm.silent && vm.engine.is_some()
    }

    /// The swarm's nodes as its managers see them now.
    pub(super) fn nodes(&self, swarm: usize) -> Vec<NodeFacts> {
        let mut nodes = self.swarms[swarm].nodes.clone();
        for node in &mut nodes {
            let owner = (swarm, node.id.clone());
            let vm = self.vms.get(&node.hostname).filter(|vm| vm.member.as_ref() == Some(&owner));
            node.ready = vm.is_some_and(Self::up);
            node.reachable = node.ready && node.votes;
        }
        nodes
    }

    pub(super) fn decides(&self, swarm: usize) -> bool {
        Quorum::of(&self.nodes(swarm)).holds()
    }

    /// What fleet would see.
    pub(super) fn observe(&self) -> Observed {
        let mut observed = Observed::default();
        for spec in &self.fleet.machines {
            let seen = self.seen(&spec.name);
            self.ask(&spec.name, &seen, &mut observed);
            observed.machines.insert(spec.name.clone(), seen);
        }
        for name in self.vms.keys().chain(self.records.keys()) {
            if self.fleet.machines.iter().all(|spec| spec.name != *name) {
                let seen = self.seen(name);
                self.ask(name, &seen, &mut observed);
                observed.strays.insert(name.clone(), Stray { driver: "fake".to_owned(), seen });
            }
        }
        observed
    }

    fn ask(&self, name: &str, seen: &Seen, observed: &mut Observed) {
        let manages = seen.facts().is_some_and(|facts| facts.swarm.manager);
        if let (None, Some((swarm, _)), true) = (&observed.nodes, self.member(name), manages)
            && self.decides(swarm)
        {
            observed.nodes = Some(self.nodes(swarm));
        }
    }

    fn member(&self, name: &str) -> Option<(usize, String)> {
        self.vms.get(name)?.member.clone()
    }

    fn seen(&self, name: &str) -> Seen {
        let Some(vm) = self.vms.get(name) else {
            return Seen { sighting: None, engine: EngineSeen::NotAsked };
        };
        let local = |port| Some(SocketAddr::from(([127, 0, 0, 1], port)));
        let address = self.address(name);
        let sighting = Sighting {
            power: vm.power.clone(),
            host: None,
            ssh: local(2201),
            engine: local(2301),
            lab: Some(address),
            cpus: vm.cpus,
            memory_mib: 1024,
            disk_mib: 10240,
            image_sha256: vm.image.clone(),
            options_digest: String::new(),
            mark: BTreeMap::new(),
            forwards: Vec::new(),
            console: None,
            seeded: vm.seeded,
            details: BTreeMap::new(),
        };
        let engine = match &vm.engine {
            _ if vm.power != Power::Running => EngineSeen::NotAsked,
            None => EngineSeen::Silent("refused".to_owned()),
            Some(_) if vm.silent => EngineSeen::Silent("refused".to_owned()),
            Some((settings, version)) => EngineSeen::Answers(EngineFacts {
                version: version.clone(),
                hostname: name.to_owned(),
                labels: vec![format!("fleet.settings={settings}")],
                swarm: self.part(vm),
            }),
        };
        Seen { sighting: Some(sighting), engine }
    }

    fn part(&self, vm: &Vm) -> SwarmFacts {
        let none = SwarmFacts {
            state: SwarmState::Inactive,
            node_id: None,
            node_addr: None,
            manager: false,
            cluster_id: None,
            managers: Vec::new(),
        };
        let Some((swarm, id)) = &vm.member else { return none };
        let nodes = &self.swarms[*swarm].nodes;
        let own = nodes.iter().find(|node| node.id == *id);
        let voters = nodes.iter().filter(|node| node.votes);
        SwarmFacts {
            state: SwarmState::Active,
            node_id: Some(id.clone()),
            manager: own.is_some_and(|node| node.votes),
            managers: voters.map(|node| format!("{}:2377", node.address)).collect(),
            ..none
        }
    }

    fn address(&self, name: &str) -> Ipv4Addr {
        let spec = self.fleet.machines.iter().find(|spec| spec.name == name);
        let recorded = self.records.get(name).map(|record| record.address);
        spec.map(|spec| spec.address).or(recorded).unwrap_or(Ipv4Addr::UNSPECIFIED)
    }

    pub(super) fn wanted(&self) -> Wanted {
        let mut wanted = Wanted::default();
        for spec in &self.fleet.machines {
            wanted.settings.insert(spec.name.clone(), settings(spec));
            let image = fleet_driver::ImageFile {
                path: "/image".into(),
                sha256: "aa".to_owned(),
                size_mib: 1024,
            };
            wanted.images.insert(spec.image.clone(), image);
        }
        wanted
    }

    pub(super) fn plan(&self, intent: &Intent) -> fleet_driver::Result<Plan> {
        plan(&self.fleet, &self.records, &self.observe(), &self.wanted(), intent)
    }

    pub(super) fn all(&self) -> Up {
        let names = self.fleet.machines.iter().map(|spec| spec.name.clone()).collect();
        Up { names, ..Up::default() }
    }

    /// Runs a plan, its lanes interleaved as `picks` say.
    pub(super) fn run(&mut self, plan: &Plan, intent: &Intent, picks: &[u8]) {
        let mut picks = picks.iter().copied().cycle();
        let mut gate = match &plan.gate {
            Gate::Open(_) => self.deciding(),
            Gate::Unused | Gate::Seed(_) | Gate::Recover(_) => None,
        };
        for stage in Stage::ALL {
            let lanes: Vec<_> = plan.lanes.iter().filter(|lane| lane.stage == stage).collect();
            let mut at = vec![0; lanes.len()];
            loop {
                let open = |n: &usize| at[*n] < lanes[*n].steps.len();
                let ready = |n: &usize| {
                    let waits = matches!(
                        lanes[*n].steps[at[*n]].step,
                        Step::JoinSwarm(_) | Step::UpdateNode | Step::LeaveSwarm | Step::RemoveNode
                    );
                    !waits || gate.is_some()
                };
                let left: Vec<usize> = (0..lanes.len()).filter(open).collect();
                if left.is_empty() {
                    break;
                }
                let may: Vec<usize> = left.iter().copied().filter(ready).collect();
                let pick = usize::from(picks.next().unwrap_or(0));
                let Some(&n) =
                    (if stage.in_turn() { may.first() } else { may.get(pick % may.len().max(1)) })
                else {
                    self.sins.push("everybody waits for ever".to_owned());
                    return;
                };
                let before: Vec<bool> = (0..self.swarms.len()).map(|s| self.decides(s)).collect();
                let step = &lanes[n].steps[at[n]].step;
                at[n] += 1;
                self.step(&lanes[n].machine, step, intent, &mut gate);
                for (swarm, decided) in before.into_iter().enumerate() {
                    self.watch(swarm, decided, &lanes[n].machine, step, intent);
                }
            }
        }
    }

    /// The swarm that a manager of the fleet speaks for.
    pub(super) fn deciding(&self) -> Option<usize> {
        let named = self.fleet.machines.iter().map(|spec| &spec.name);
        let known = named.chain(self.vms.keys()).filter_map(|name| self.member(name));
        let mut members = known.map(|(swarm, _)| swarm);
        members.find(|swarm| self.decides(*swarm))
    }

    fn watch(&mut self, swarm: usize, decided: bool, who: &str, step: &Step, intent: &Intent) {
        let forced = match intent {
            Intent::Up(up) => up.force == Force::Yes,
            // With the last machine the swarm goes too, as everybody expects.
            Intent::Down(names, force) => {
                *force == Force::Yes || self.vms.keys().all(|name| names.contains(name))
            }
            Intent::DownAll(_) => true,
            Intent::Restart(_) => false,
        };
        let small = self.swarms[swarm].nodes.iter().filter(|node| node.votes).count() <= 2;
        let passes = matches!(step, Step::Stop) && small;
        let ends = matches!(step, Step::EndSwarm);
        if decided && !self.decides(swarm) && !forced && !passes && !ends {
            self.sins.push(format!("{step:?} of {who} cost swarm {swarm} its quorum"));
        }
    }

    fn step(&mut self, name: &str, step: &Step, intent: &Intent, gate: &mut Option<usize>) {
        super::model_steps::run(self, name, step, intent, gate);
    }

    pub(super) fn fresh_id(&mut self) -> String {
        self.next += 1;
        format!("node-{}", self.next)
    }

    pub(super) fn spec_of(&self, name: &str) -> Option<Spec> {
        self.fleet.machines.iter().find(|spec| spec.name == name).cloned()
    }

    /// A node for a machine, as it joins.
    pub(super) fn newcomer(&mut self, name: &str, role: Role) -> NodeFacts {
        NodeFacts {
            id: self.fresh_id(),
            hostname: name.to_owned(),
            address: self.address(name).to_string(),
            role,
            availability: Availability::Active,
            ready: true,
            state: "ready".to_owned(),
            leader: false,
            votes: role == Role::Manager,
            reachable: role == Role::Manager,
            labels: BTreeMap::new(),
            engine: String::new(),
        }
    }
}

/// The digest of a machine's settings, for which the model takes its engine labels.
pub(super) fn settings(spec: &Spec) -> String {
    format!("{:?}", spec.engine.labels).chars().filter(char::is_ascii_alphanumeric).collect()
}

/// Machines `m1…` and `w1…`.
pub(super) fn machines(managers: u8, workers: u8) -> Vec<Spec> {
    let manager = |n: u8| spec(&format!("m{n}"), 10 + n, Some(Role::Manager));
    let worker = |n: u8| spec(&format!("w{n}"), 20 + n, Some(Role::Worker));
    (1..=managers).map(manager).chain((1..=workers).map(worker)).collect()
}
