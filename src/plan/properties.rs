//! What holds for every plan: run on a modelled world it reaches what the file says, a
//! second plan is empty, no quorum is lost, and nothing goes that nobody named.

use fleet_driver::Power;
use proptest::prelude::*;

use super::model::{World, machines};
use super::{Force, Intent, Step, Up};
use crate::config::{Availability, Role, Spec};

/// Something that happens behind fleet's back: what, and to which machine.
type Mishap = (u8, u8);

/// A file: managers, workers, whose role is turned, and what else is asked for.
#[derive(Debug, Clone)]
struct File {
    managers: u8,
    workers: u8,
    turned: Vec<u8>,
    labelled: Vec<u8>,
    drained: Vec<u8>,
    settings: bool,
    version: bool,
    cpus: u32,
}

impl File {
    fn specs(&self) -> Vec<Spec> {
        let mut all = machines(self.managers, self.workers);
        let number = all.len();
        let each = |picks: &[u8]| -> Vec<usize> {
            picks.iter().map(|pick| usize::from(*pick) % number).collect()
        };
        for n in each(&self.turned) {
            all[n].role = match all[n].role {
                Some(Role::Manager) => Some(Role::Worker),
                _ => Some(Role::Manager),
            };
        }
        if all.iter().all(|spec| spec.role != Some(Role::Manager)) {
            all[0].role = Some(Role::Manager);
        }
        for n in each(&self.labelled) {
            all[n].labels.insert("disk".to_owned(), "ssd".to_owned());
        }
        for n in each(&self.drained) {
            all[n].availability = Availability::Drain;
        }
        for spec in &mut all {
            spec.cpus = self.cpus;
            if self.settings {
                spec.engine.labels.insert("site".to_owned(), "lab".to_owned());
            }
            spec.engine.version = self.version.then(|| "24.0".to_owned());
        }
        all
    }
}

fn file() -> impl Strategy<Value = File> {
    let few = || prop::collection::vec(any::<u8>(), 0..3);
    let flags = (any::<bool>(), any::<bool>(), 1_u32..3);
    (1_u8..=5, 0_u8..=4, few(), few(), few(), flags).prop_map(
        |(managers, workers, turned, labelled, drained, (settings, version, cpus))| File {
            managers,
            workers,
            turned,
            labelled,
            drained,
            settings,
            version,
            cpus,
        },
    )
}

/// A fleet that is as its file says.
fn settled(file: &File, picks: &[u8]) -> World {
    let mut world = World::new(file.specs());
    let intent = Intent::Up(world.all());
    let plan = world.plan(&intent).unwrap();
    world.run(&plan, &intent, picks);
    assert_eq!(world.sins, Vec::<String>::new());
    world
}

fn befall(world: &mut World, (what, whom): Mishap) {
    let names: Vec<String> = world.vms.keys().cloned().collect();
    let Some(name) = names.get(usize::from(whom) % names.len().max(1)) else { return };
    let node = |world: &mut World, change: fn(&mut crate::engine::NodeFacts)| {
        let nodes = world.swarms.iter_mut().flat_map(|swarm| &mut swarm.nodes);
        nodes.filter(|node| node.hostname == *name).for_each(change);
    };
    let vm = world.vms.get_mut(name).unwrap();
    match what % 11 {
        0 => vm.power = Power::Stopped,
        1 => drop(world.vms.remove(name)),
        2 => vm.power = Power::Broken("half-made".to_owned()),
        3 => vm.silent = true,
        4 => vm.engine = vm.engine.take().map(|(_, version)| ("other".to_owned(), version)),
        5 => vm.seeded = true,
        6 => node(world, |node| node.labels.clear()),
        7 => node(world, |node| node.availability = Availability::Drain),
        8 => drop(world.records.remove(name)),
        9 => vm.cpus += 1,
        _ => vm.power = Power::Paused,
    }
}

/// Whether the swarm can only decide with a machine that the file does not name and that
/// does not run, or that nobody remembers: nobody starts it, and `up` says so.
fn needs_a_stray(world: &World) -> bool {
    let unnamed = |name: &String| world.spec_of(name).is_none();
    let stray = world.vms.iter().any(|(name, vm)| vm.member.is_some() && unnamed(name));
    let mut nodes = world.swarms.iter().flat_map(|swarm| &swarm.nodes);
    let forgotten = nodes.any(|node| {
        node.votes && unnamed(&node.hostname) && !world.records.contains_key(&node.hostname)
    });
    world.observe().nodes.is_none() && (stray || forgotten)
}

/// What is not as the file says.
fn wrong(world: &World) -> Vec<String> {
    let mut wrong = Vec::new();
    let Some(swarm) = world.deciding() else { return vec!["no swarm".to_owned()] };
    let nodes = world.nodes(swarm);
    for spec in &world.fleet.machines {
        let name = &spec.name;
        let Some(vm) = world.vms.get(name) else {
            wrong.push(format!("{name} does not exist"));
            continue;
        };
        let node = nodes.iter().find(|n| vm.member == Some((swarm, n.id.clone())));
        if (&vm.power, vm.cpus, vm.seeded, vm.silent) != (&Power::Running, spec.cpus, false, false)
        {
            wrong.push(format!("{name} is {vm:?}"));
        }
        let settings = super::model::settings(spec);
        if vm.engine.as_ref().map(|(settings, _)| settings) != Some(&settings) {
            wrong.push(format!("{name} has other settings: {vm:?}"));
        }
        match node {
            None => wrong.push(format!("{name} is no node of the swarm")),
            Some(node) => wrong.extend(super::node_differs(spec, node)),
        }
        if world.records.get(name).is_none_or(|record| !record.settled) {
            wrong.push(format!("{name} is not recorded"));
        }
    }
    let known = |name: &str| world.spec_of(name).is_some();
    wrong.extend(world.vms.keys().filter(|name| !known(name)).map(|n| format!("{n} is left")));
    let ghosts = nodes.iter().filter(|node| !known(&node.hostname));
    wrong.extend(ghosts.map(|node| format!("the node {} is left", node.hostname)));
    wrong
}

/// The same cases in every run, so that a run tells about the change at hand;
/// `PROPTEST_RNG_SEED` and `PROPTEST_CASES` ask for others and more.
fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    let given = |name: &str| std::env::var_os(name).is_some();
    ProptestConfig {
        cases: if given("PROPTEST_CASES") { default.cases } else { 1500 },
        rng_seed: match default.rng_seed {
            _ if given("PROPTEST_RNG_SEED") => default.rng_seed,
            _ => proptest::test_runner::RngSeed::Fixed(2026),
        },
        failure_persistence: None,
        ..default
    }
}

proptest! {
    #![proptest_config(config())]

    /// From any state to any file, with all permissions: one plan is enough.
    #[test]
    fn a_plan_reaches_what_the_file_says_and_the_next_one_is_empty(
        before in file(),
        after in file(),
        mishaps in prop::collection::vec(any::<Mishap>(), 0..6),
        picks in prop::collection::vec(any::<u8>(), 1..40),
    ) {
        let mut world = settled(&before, &picks);
        for mishap in mishaps {
            befall(&mut world, mishap);
        }
        world.fleet.machines = after.specs();
        if needs_a_stray(&world) {
            return Ok(());
        }
        let up = Up { prune: true, restart: true, ..world.all() };
        let intent = Intent::Up(up);
        let plan = match world.plan(&intent) {
            Ok(plan) => plan,
            // Removing what the swarm still needs is refused as a whole.
            Err(error) => {
                prop_assert!(error.to_string().contains("manager"), "{error}");
                return Ok(());
            }
        };
        let mut again = plan.again;
        world.run(&plan, &intent, &picks);
        prop_assert_eq!(&world.sins, &Vec::<String>::new(), "{:#?}", plan);
        for _ in 0..3 {
            if again {
                // What waited until others are well is done the next time.
                let plan = world.plan(&intent).unwrap();
                again = plan.again;
                world.run(&plan, &intent, &picks);
                prop_assert_eq!(&world.sins, &Vec::<String>::new(), "{:#?}", plan);
            }
        }
        prop_assert_eq!(wrong(&world), Vec::<String>::new(), "{:#?}", plan);
        let again = world.plan(&intent).unwrap();
        prop_assert_eq!(again.lanes, vec![]);
        prop_assert_eq!(again.notes, Vec::<String>::new());
    }

    /// Whatever is asked for, nothing goes that nobody named, and a swarm that decides
    /// goes on deciding; and without permissions nothing is interrupted but engines.
    #[test]
    fn no_plan_takes_what_nobody_named(
        before in file(),
        after in file(),
        mishaps in prop::collection::vec(any::<Mishap>(), 0..6),
        picks in prop::collection::vec(any::<u8>(), 1..40),
        chosen in prop::collection::vec(any::<u8>(), 0..4),
        what in 0_u8..4,
    ) {
        let mut world = settled(&before, &picks);
        for mishap in mishaps {
            befall(&mut world, mishap);
        }
        world.fleet.machines = after.specs();
        if needs_a_stray(&world) {
            return Ok(());
        }
        let all: Vec<String> = world.fleet.machines.iter().map(|s| s.name.clone()).collect();
        let some = chosen.iter().map(|n| all[usize::from(*n) % all.len()].clone());
        let some: std::collections::BTreeSet<String> = some.collect();
        let intent = match what {
            0 => Intent::Up(world.all()),
            1 => Intent::Up(Up { replace: some, ..world.all() }),
            2 => Intent::Down(some, Force::No),
            _ => Intent::Up(Up { names: all.iter().cloned().collect(), restart: true, ..Up::default() }),
        };
        let Ok(plan) = world.plan(&intent) else { return Ok(()) };
        if what == 0 {
            let gone = |step: &Step| matches!(step, Step::Destroy | Step::Stop | Step::Kill | Step::EndSwarm);
            let steps = plan.lanes.iter().flat_map(|lane| &lane.steps);
            prop_assert!(steps.filter(|planned| gone(&planned.step)).count() == 0, "{:#?}", plan);
        }
        world.run(&plan, &intent, &picks);
        prop_assert_eq!(&world.sins, &Vec::<String>::new(), "{:#?}", plan);
    }
}
