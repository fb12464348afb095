//! The table of what becomes a step, row by row.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use fleet_driver::{ImageFile, Power, Sighting};

use super::*;
use crate::config::{Availability, EngineSpec, Install, Network, Role, Swarm};
use crate::engine::{EngineFacts, NodeFacts, SwarmFacts, SwarmState};
use crate::observe::{EngineSeen, Seen, Stray};

const DIGEST: &str = "0123456789ab";

pub(super) fn spec(name: &str, last: u8, role: Option<Role>) -> Spec {
    Spec {
        name: name.to_owned(),
        driver: "fake".to_owned(),
        image: ImageRef::Name("debian-12".to_owned()),
        cpus: 1,
        memory_mib: 1024,
        disk_mib: 10240,
        address: Ipv4Addr::new(10, 77, 0, last),
        user: "fleet".to_owned(),
        ports: Vec::new(),
        role,
        labels: BTreeMap::new(),
        availability: Availability::Active,
        protected: false,
        engine: EngineSpec {
            install: Install::Auto,
            version: None,
            labels: BTreeMap::new(),
            registry_mirrors: Vec::new(),
            insecure_registries: Vec::new(),
            log_driver: None,
            log_opts: BTreeMap::new(),
            storage_driver: None,
            env: BTreeMap::new(),
        },
        options: toml::Table::new(),
    }
}

/// host1 (manager), worker-1 and worker-2, as the file asks for them and as they are.
struct World {
    fleet: Fleet,
    records: BTreeMap<String, Record>,
    observed: Observed,
}

impl World {
    /// Nothing exists.
    fn empty() -> Self {
        let machines = vec![
            spec("host1", 11, Some(Role::Manager)),
            spec("worker-1", 12, Some(Role::Worker)),
            spec("worker-2", 13, Some(Role::Worker)),
        ];
        let swarm = Swarm { address_pools: Vec::new(), subnet_size: 24, task_history: 5 };
        let fleet = Fleet {
            name: "lab".to_owned(),
            file: PathBuf::from("/lab/machines.toml"),
            protected: false,
            ttl: None,
            network: Network { subnet: Ipv4Addr::new(10, 77, 0, 0), prefix: 24, internet: false },
            swarm: Some(swarm),
            machines,
            drivers: BTreeMap::new(),
            warnings: Vec::new(),
        };
        let absent = || Seen { sighting: None, engine: EngineSeen::NotAsked };
        let machines = fleet.machines.iter().map(|s| (s.name.clone(), absent())).collect();
        let observed = Observed { machines, ..Observed::default() };
        Self { fleet, records: BTreeMap::new(), observed }
    }

    /// All is as the file says.
    fn whole() -> Self {
        let mut world = Self::empty();
        let mut nodes = Vec::new();
        for spec in &world.fleet.machines {
            let record = Record {
                driver: "fake".to_owned(),
                address: spec.address,
                image_sha256: "aa".to_owned(),
                user: "fleet".to_owned(),
                host_key: "ssh-ed25519 AAAA".to_owned(),
                created: String::new(),
                settled: true,
                manager: false,
                protected: false,
                cert_serial: 0,
            };
            world.records.insert(spec.name.clone(), record);
            let manager = spec.role == Some(Role::Manager);
            let facts = EngineFacts {
                version: "20.10.24".to_owned(),
                hostname: spec.name.clone(),
                labels: vec![format!("fleet.settings={DIGEST}")],
                swarm: SwarmFacts {
                    state: SwarmState::Active,
                    node_id: Some(format!("id-{}", spec.name)),
                    node_addr: Some(spec.address.to_string()),
                    manager,
                    cluster_id: None,
                    managers: Vec::new(),
                },
            };
            let seen = Seen { sighting: Some(sighting()), engine: EngineSeen::Answers(facts) };
            world.observed.machines.insert(spec.name.clone(), seen);
            nodes.push(NodeFacts {
                id: format!("id-{}", spec.name),
                hostname: spec.name.clone(),
                address: spec.address.to_string(),
                role: spec.role.unwrap_or(Role::Worker),
                availability: Availability::Active,
                ready: true,
                state: "ready".to_owned(),
                leader: manager,
                votes: manager,
                reachable: true,
                labels: BTreeMap::new(),
                engine: "20.10.24".to_owned(),
            });
        }
        world.observed.nodes = Some(nodes);
        world
    }

    fn seen(&mut self, name: &str) -> &mut Seen {
        self.observed.machines.get_mut(name).unwrap()
    }

    fn stop(&mut self, name: &str) {
        let seen = self.seen(name);
        seen.sighting.as_mut().unwrap().power = Power::Stopped;
        seen.engine = EngineSeen::NotAsked;
        if name == "host1" {
            self.observed.nodes = None;
        }
    }

    fn try_plan(&self, intent: Intent) -> Result<Plan> {
        let mut wanted = Wanted::default();
        for spec in &self.fleet.machines {
            wanted.settings.insert(spec.name.clone(), DIGEST.to_owned());
            let image =
                ImageFile { path: "/image".into(), sha256: "aa".to_owned(), size_mib: 1024 };
            wanted.images.insert(spec.image.clone(), image);
        }
        plan(&self.fleet, &self.records, &self.observed, &wanted, &intent)
    }

    fn plan(&self, intent: Intent) -> Plan {
        self.try_plan(intent).unwrap()
    }

    /// `up` for all, with these permissions.
    fn up_with(&self, may: Up) -> Plan {
        let names = self.fleet.machines.iter().map(|s| s.name.clone()).collect();
        self.plan(Intent::Up(Up { names, ..may }))
    }

    fn up(&self) -> Plan {
        self.up_with(Up::default())
    }

    fn node(&mut self, name: &str) -> &mut NodeFacts {
        self.observed.nodes.as_mut().unwrap().iter_mut().find(|n| n.hostname == name).unwrap()
    }

    /// Makes the worker a manager, in the file and in the world.
    fn promote(&mut self, name: &str) {
        let spec = self.fleet.machines.iter_mut().find(|spec| spec.name == name).unwrap();
        spec.role = Some(Role::Manager);
        let node = self.node(name);
        (node.role, node.votes) = (Role::Manager, true);
        if let EngineSeen::Answers(facts) = &mut self.seen(name).engine {
            facts.swarm.manager = true;
        }
    }

    /// Takes a machine out of the file.
    fn unname(&mut self, name: &str) {
        self.fleet.machines.retain(|spec| spec.name != name);
        let seen = self.observed.machines.remove(name).unwrap();
        let stray = Stray { driver: "fake".to_owned(), seen };
        self.observed.strays.insert(name.to_owned(), stray);
    }
}

fn sighting() -> Sighting {
    let local = |port| Some(SocketAddr::from(([127, 0, 0, 1], port)));
    Sighting {
        power: Power::Running,
        host: None,
        ssh: local(2201),
        engine: local(2301),
        lab: None,
        cpus: 1,
        memory_mib: 1024,
        disk_mib: 10240,
        image_sha256: "aa".to_owned(),
        forwards: Vec::new(),
        console: None,
        seeded: false,
        mark: BTreeMap::new(),
        options_digest: String::new(),
        details: BTreeMap::new(),
    }
}

fn steps(plan: &Plan, machine: &str) -> Vec<Step> {
    let lane = plan.lanes.iter().find(|lane| lane.machine == machine);
    lane.map(|l| l.steps.iter().map(|p| p.step.clone()).collect()).unwrap_or_default()
}

const ENGINE: [Step; 4] =
    [Step::Connect, Step::InstallEngine, Step::ConfigureEngine, Step::WaitEngine];

#[test]
fn what_is_as_the_file_says_needs_nothing() {
    let plan = World::whole().up();
    assert_eq!(plan.lanes, []);
    assert_eq!(plan.notes, Vec::<String>::new());
}

#[test]
fn what_is_absent_is_made_and_the_first_manager_seeds() {
    let plan = World::empty().up();
    assert_eq!(plan.gate, Gate::Seed("host1".to_owned()));
    let made = |join: Step| {
        let mut all = vec![Step::Create, Step::Start];
        all.extend(ENGINE);
        all.extend([join, Step::UpdateNode, Step::WaitReady, Step::Unseed]);
        all
    };
    assert_eq!(steps(&plan, "host1"), made(Step::InitSwarm));
    assert_eq!(steps(&plan, "worker-2"), made(Step::JoinSwarm(Role::Worker)));
}

#[test]
fn a_missing_image_is_fetched_only_for_what_is_created() {
    let all = |world: &World| {
        let names = world.fleet.machines.iter().map(|s| s.name.clone()).collect();
        let wanted = Wanted::default();
        let intent = Intent::up(names);
        plan(&world.fleet, &world.records, &world.observed, &wanted, &intent).unwrap().images
    };
    assert_eq!(all(&World::empty()).len(), 1);
    assert!(all(&World::whole()).is_empty());
}

#[test]
fn what_is_stopped_is_started_and_found_in_its_swarm() {
    let mut world = World::whole();
    world.stop("worker-1");
    let plan = world.up();
    assert_eq!(plan.gate, Gate::Open(vec!["host1".to_owned()]));
    assert_eq!(steps(&plan, "worker-1").first(), Some(&Step::Start));
    assert_eq!(steps(&plan, "worker-1").last(), Some(&Step::WaitReady));
    assert_eq!(steps(&plan, "worker-2"), []);
}

#[test]
fn a_stopped_manager_opens_the_gate_again() {
    let mut world = World::whole();
    world.stop("host1");
    let plan = world.up();
    assert_eq!(plan.gate, Gate::Seed("host1".to_owned()));
    assert!(steps(&plan, "host1").contains(&Step::InitSwarm));
    assert!(steps(&plan, "worker-1").contains(&Step::WaitReady));
    assert!(!steps(&plan, "worker-1").contains(&Step::Start));
}

#[test]
fn a_silent_engine_is_looked_at_from_inside() {
    let mut world = World::whole();
    world.seen("worker-1").engine = EngineSeen::Silent("connection refused".to_owned());
    let plan = world.up();
    let lane = plan.lanes.iter().find(|l| l.machine == "worker-1").unwrap();
    assert_eq!(lane.steps[0].step, Step::Connect);
    assert!(lane.steps[0].why.contains("connection refused"));
}

#[test]
fn a_pinned_version_that_differs_is_installed() {
    let mut world = World::whole();
    for spec in &mut world.fleet.machines {
        spec.engine.version = Some("24".to_owned());
    }
    assert!(steps(&world.up(), "host1").contains(&Step::InstallEngine));
    for spec in &mut world.fleet.machines {
        spec.engine.version = Some("20.10".to_owned());
    }
    assert_eq!(world.up().lanes, []);
}

#[test]
fn labels_role_and_availability_are_set_on_the_node_alone() {
    type Change = fn(&mut Spec);
    let changes: [Change; 3] = [
        |spec| drop(spec.labels.insert("disk".to_owned(), "ssd".to_owned())),
        |spec| spec.role = Some(Role::Manager),
        |spec| spec.availability = Availability::Drain,
    ];
    for change in changes {
        let mut world = World::whole();
        change(&mut world.fleet.machines[1]);
        let wanted = [Step::UpdateNode, Step::WaitReady];
        assert_eq!(steps(&world.up(), "worker-1"), wanted);
        assert_eq!(world.up().lanes.len(), 1);
    }
}

#[test]
fn an_unfinished_first_boot_is_finished() {
    let mut world = World::whole();
    world.records.get_mut("worker-1").unwrap().settled = false;
    assert_eq!(steps(&world.up(), "worker-1"), [Step::Connect, Step::Unseed]);
    let mut world = World::whole();
    world.seen("worker-1").sighting.as_mut().unwrap().seeded = true;
    assert_eq!(steps(&world.up(), "worker-1"), [Step::Connect, Step::Unseed]);
}

#[test]
fn without_an_engine_a_machine_is_done_when_it_answers() {
    let mut world = World::empty();
    world.fleet.swarm = None;
    for spec in &mut world.fleet.machines {
        spec.engine.install = Install::None;
        spec.role = None;
    }
    let wanted = [Step::Create, Step::Start, Step::Connect, Step::Unseed];
    assert_eq!(steps(&world.up(), "host1"), wanted);
}

#[test]
fn size_and_image_are_told_and_left_alone() {
    let mut world = World::whole();
    world.fleet.machines[1].memory_mib = 2048;
    world.seen("worker-2").sighting.as_mut().unwrap().image_sha256 = "bb".to_owned();
    let plan = world.up();
    assert_eq!(plan.lanes, []);
    assert_eq!(plan.notes.len(), 2);
}

mod changes;
