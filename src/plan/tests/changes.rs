//! What changes about machines that exist, row by row: what is interrupted, what goes,
//! and what is refused.

use super::*;

const TURN: [Step; 6] = [
    Step::Drain,
    Step::Connect,
    Step::InstallEngine,
    Step::ConfigureEngine,
    Step::WaitEngine,
    Step::WaitReady,
];

fn stage(plan: &Plan, machine: &str) -> Stage {
    plan.lanes.iter().find(|lane| lane.machine == machine).unwrap().stage
}

fn order(plan: &Plan) -> Vec<&str> {
    plan.lanes.iter().map(|lane| lane.machine.as_str()).collect()
}

fn named(name: &str) -> BTreeSet<String> {
    BTreeSet::from([name.to_owned()])
}

fn drifted(world: &mut World, name: &str) {
    if let EngineSeen::Answers(facts) = &mut world.seen(name).engine {
        facts.labels = vec!["fleet.settings=ffffffffffff".to_owned()];
    }
}

#[test]
fn engines_get_other_settings_one_after_the_other() {
    let mut world = World::whole();
    for name in ["host1", "worker-1", "worker-2"] {
        drifted(&mut world, name);
    }
    let plan = world.up();
    let mut wanted = TURN.to_vec();
    wanted.push(Step::Activate);
    for name in ["host1", "worker-1", "worker-2"] {
        assert_eq!(steps(&plan, name), wanted);
        assert_eq!(stage(&plan, name), Stage::Roll);
    }
    assert_eq!(order(&plan), ["host1", "worker-1", "worker-2"]);
}

#[test]
fn managers_come_first_and_the_leader_is_the_last_of_them() {
    let mut world = World::whole();
    world.promote("worker-2");
    for name in ["host1", "worker-1", "worker-2"] {
        drifted(&mut world, name);
    }
    assert_eq!(order(&world.up()), ["worker-2", "host1", "worker-1"]);
}

#[test]
fn tasks_without_another_place_are_not_drained() {
    let mut world = World::whole();
    drifted(&mut world, "worker-1");
    for name in ["host1", "worker-2"] {
        world.node(name).availability = Availability::Drain;
        let mut specs = world.fleet.machines.iter_mut();
        specs.find(|s| s.name == name).unwrap().availability = Availability::Drain;
    }
    assert!(!steps(&world.up(), "worker-1").contains(&Step::Drain));
}

#[test]
fn engines_without_a_swarm_are_changed_side_by_side() {
    let mut world = World::whole();
    world.fleet.swarm = None;
    world.observed.nodes = None;
    for name in ["host1", "worker-1", "worker-2"] {
        if let EngineSeen::Answers(facts) = &mut world.seen(name).engine {
            facts.swarm.state = SwarmState::Inactive;
        }
        drifted(&mut world, name);
    }
    world.fleet.machines.iter_mut().for_each(|spec| spec.role = None);
    let plan = world.up();
    assert!(plan.lanes.iter().all(|lane| lane.stage == Stage::Build), "{plan:?}");
    assert_eq!(steps(&plan, "host1"), ENGINE);
}

#[test]
fn a_certificate_that_ends_soon_is_renewed() {
    let world = World::whole();
    let mut soon = world.observed.clone();
    let seen = soon.machines.get_mut("worker-1").unwrap();
    if let EngineSeen::Answers(facts) = &mut seen.engine {
        facts.labels.push("fleet.cert-ends=2030-01-01T00:00:00Z".to_owned());
    }
    let mut wanted = Wanted::default();
    for spec in &world.fleet.machines {
        wanted.settings.insert(spec.name.clone(), DIGEST.to_owned());
    }
    let names = world.fleet.machines.iter().map(|s| s.name.clone()).collect();
    let intent = Intent::up(names);
    let at = |year| {
        let day = time::Date::from_calendar_date(year, time::Month::March, 1).unwrap();
        let due = Some(day.midnight().assume_utc());
        let wanted = Wanted { certs_due: due, ..wanted.clone() };
        plan(&world.fleet, &world.records, &soon, &wanted, &intent).unwrap()
    };
    assert_eq!(at(2029).lanes, []);
    let plan = at(2030);
    assert_eq!(order(&plan), ["worker-1"]);
    assert!(plan.lanes[0].steps.iter().any(|p| p.why.contains("2030-01-01")), "{plan:?}");
}

#[test]
fn another_size_waits_for_a_restart_that_is_allowed() {
    let mut world = World::whole();
    world.fleet.machines[1].cpus = 2;
    let told = world.up();
    assert_eq!(told.lanes, []);
    assert!(told.notes[0].contains("fleet up --restart"), "{:?}", told.notes);
    let plan = world.up_with(Up { restart: true, ..Up::default() });
    let begins = [Step::Drain, Step::Stop, Step::Resize, Step::Start];
    assert_eq!(steps(&plan, "worker-1")[..4], begins);
    assert_eq!(stage(&plan, "worker-1"), Stage::Roll);
    assert_eq!(plan.lanes.len(), 1);
    // What is off anyway takes it over without asking.
    world.stop("worker-1");
    assert_eq!(steps(&world.up(), "worker-1")[..2], [Step::Resize, Step::Start]);
}

#[test]
fn a_disk_grows_and_does_not_shrink() {
    let mut world = World::whole();
    world.fleet.machines[1].disk_mib = 20480;
    let plan = world.up_with(Up { restart: true, ..Up::default() });
    assert!(steps(&plan, "worker-1").contains(&Step::Resize));
    world.fleet.machines[1].disk_mib = 5120;
    let plan = world.up_with(Up { restart: true, ..Up::default() });
    assert_eq!(plan.lanes, []);
    assert!(plan.notes[0].contains("does not shrink"), "{:?}", plan.notes);
}

#[test]
fn another_image_waits_until_the_machine_is_named() {
    let mut world = World::whole();
    world.seen("worker-2").sighting.as_mut().unwrap().image_sha256 = "bb".to_owned();
    let told = world.up();
    assert_eq!(told.lanes, []);
    assert!(told.notes[0].contains("fleet up --replace worker-2"), "{:?}", told.notes);
    let plan = world.up_with(Up { replace: named("worker-2"), ..Up::default() });
    let begins =
        [Step::Drain, Step::LeaveSwarm, Step::RemoveNode, Step::Destroy, Step::Create, Step::Start];
    assert_eq!(steps(&plan, "worker-2")[..6], begins);
    assert!(steps(&plan, "worker-2").contains(&Step::JoinSwarm(Role::Worker)));
    assert_eq!(steps(&plan, "worker-2").last(), Some(&Step::Unseed));
}

#[test]
fn address_account_and_driver_need_a_new_machine() {
    type Change = fn(&mut Spec);
    let changes: [Change; 3] = [
        |spec| spec.address = Ipv4Addr::new(10, 77, 0, 99),
        |spec| spec.user = "admin".to_owned(),
        |spec| spec.driver = "other".to_owned(),
    ];
    for change in changes {
        let mut world = World::whole();
        change(&mut world.fleet.machines[1]);
        let plan = world.up();
        assert_eq!(plan.lanes, []);
        assert!(plan.notes[0].contains("--replace worker-1"), "{:?}", plan.notes);
    }
}

#[test]
fn a_machine_that_is_new_is_finished_and_not_replaced_again() {
    let mut world = World::whole();
    world.records.get_mut("worker-1").unwrap().settled = false;
    let plan = world.up_with(Up { replace: named("worker-1"), ..Up::default() });
    assert_eq!(steps(&plan, "worker-1"), [Step::Connect, Step::Unseed]);
}

#[test]
fn a_lost_record_is_written_again() {
    let mut world = World::whole();
    world.records.clear();
    let plan = world.up();
    for name in ["host1", "worker-1", "worker-2"] {
        assert_eq!(steps(&plan, name), [Step::Adopt, Step::WaitReady]);
    }
}

#[test]
fn the_only_manager_is_not_replaced_unless_forced() {
    let world = World::whole();
    let up = |force| {
        let names = world.fleet.machines.iter().map(|s| s.name.clone()).collect();
        let replace = named("host1");
        world.try_plan(Intent::Up(Up { names, replace, force, ..Up::default() }))
    };
    assert!(up(Force::No).unwrap_err().to_string().contains("only manager"));
    let plan = up(Force::Yes).unwrap();
    assert_eq!(plan.gate, Gate::Seed("host1".to_owned()));
    assert_eq!(steps(&plan, "host1")[0], Step::Destroy);
    assert_eq!(stage(&plan, "host1"), Stage::Build);
    // The others' swarm goes with it: they join the new one.
    assert!(steps(&plan, "worker-1").contains(&Step::JoinSwarm(Role::Worker)));
}

#[test]
fn a_swap_of_roles_promotes_before_it_demotes() {
    let mut world = World::whole();
    world.fleet.machines[0].role = Some(Role::Worker);
    world.fleet.machines[1].role = Some(Role::Manager);
    let plan = world.up();
    assert_eq!(stage(&plan, "worker-1"), Stage::Build);
    assert_eq!(stage(&plan, "host1"), Stage::Resign);
}

#[test]
fn nobody_resigns_while_the_swarm_needs_them() {
    let mut world = World::whole();
    world.promote("worker-1");
    world.promote("worker-2");
    // One of three is away, and not among the named: the two others must both stay.
    world.stop("worker-2");
    let node = world.node("worker-2");
    (node.ready, node.reachable) = (false, false);
    world.fleet.machines[1].role = Some(Role::Worker);
    let plan = world.plan(Intent::up(named("worker-1")));
    assert_eq!(plan.lanes, []);
    assert!(plan.notes[0].contains("would lose its quorum"), "{:?}", plan.notes);
}

#[test]
fn nothing_is_destroyed_because_a_line_went_missing() {
    let mut world = World::whole();
    world.unname("worker-2");
    let plan = world.up();
    assert_eq!(plan.lanes, []);
    assert!(plan.notes[0].contains("fleet down worker-2"));
    let plan = world.up_with(Up { prune: true, ..Up::default() });
    let wanted = [Step::Drain, Step::LeaveSwarm, Step::RemoveNode, Step::Destroy];
    assert_eq!(steps(&plan, "worker-2"), wanted);
    assert_eq!(stage(&plan, "worker-2"), Stage::Leave);
}

#[test]
fn a_node_without_a_machine_goes_with_prune() {
    let mut world = World::whole();
    world.unname("worker-2");
    world.observed.strays.clear();
    world.records.remove("worker-2");
    world.node("worker-2").ready = false;
    assert!(world.up().notes[0].contains("fleet up --prune"));
    let plan = world.up_with(Up { prune: true, ..Up::default() });
    assert_eq!(steps(&plan, "worker-2"), [Step::RemoveNode]);
}

#[test]
fn all_goes_down_with_its_strays_and_what_is_only_recorded() {
    let mut world = World::whole();
    let none = Seen { sighting: None, engine: EngineSeen::NotAsked };
    world.observed.strays.insert("old".to_owned(), Stray { driver: "fake".to_owned(), seen: none });
    world.seen("worker-1").sighting = None;
    let plan = world.plan(Intent::DownAll(Force::No));
    assert_eq!(order(&plan), ["host1", "worker-1", "worker-2", "old"]);
    assert!(plan.lanes.iter().all(|l| l.steps.len() == 1 && l.driver == "fake"));
    assert_eq!(World::empty().plan(Intent::DownAll(Force::No)).lanes, []);
}

#[test]
fn one_goes_down_only_after_its_tasks_moved() {
    let plan = World::whole().plan(Intent::Down(named("worker-1"), Force::No));
    let wanted = [Step::Drain, Step::LeaveSwarm, Step::RemoveNode, Step::Destroy];
    assert_eq!(steps(&plan, "worker-1"), wanted);
    assert_eq!(plan.gate, Gate::Open(vec!["host1".to_owned()]));
}

#[test]
fn the_last_manager_goes_only_with_everything_else_or_by_force() {
    let world = World::whole();
    let down = |names: &[&str], force| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        world.try_plan(Intent::Down(names, force))
    };
    assert!(down(&["host1"], Force::No).unwrap_err().to_string().contains("last manager"));
    let forced = down(&["host1"], Force::Yes).unwrap();
    assert_eq!(steps(&forced, "host1"), [Step::Destroy]);
    assert!(forced.notes[0].contains("as you forced it"), "{:?}", forced.notes);
    let all = down(&["host1", "worker-1", "worker-2"], Force::No).unwrap();
    assert_eq!(all.lanes.len(), 3);
}

#[test]
fn managers_never_go_below_a_majority() {
    let mut world = World::whole();
    world.promote("worker-1");
    world.promote("worker-2");
    let down = |world: &World, name: &str| world.try_plan(Intent::Down(named(name), Force::No));
    let plan = down(&world, "worker-1").unwrap();
    assert_eq!(stage(&plan, "worker-1"), Stage::Resign);
    assert!(plan.notes[0].contains("even number"), "{:?}", plan.notes);
    // With one away the others are needed, but the one that is away may go.
    let node = world.node("worker-2");
    (node.ready, node.reachable) = (false, false);
    assert!(down(&world, "worker-1").unwrap_err().to_string().contains("could not decide"));
    assert!(down(&world, "worker-2").is_ok());
}

#[test]
fn what_is_protected_stays_unless_forced() {
    let mut world = World::whole();
    world.fleet.machines[1].protected = true;
    let down = |world: &World, force| world.try_plan(Intent::Down(named("worker-1"), force));
    assert!(down(&world, Force::No).unwrap_err().to_string().contains("protected"));
    assert!(down(&world, Force::Yes).is_ok());
    assert!(world.try_plan(Intent::DownAll(Force::No)).is_err());
    assert!(world.try_plan(Intent::DownAll(Force::Yes)).is_ok());
    // A machine that left the file keeps its protection.
    world.records.get_mut("worker-2").unwrap().protected = true;
    world.unname("worker-2");
    let names = world.fleet.machines.iter().map(|s| s.name.clone()).collect();
    let prune = Intent::Up(Up { names, prune: true, ..Up::default() });
    assert!(world.try_plan(prune).unwrap_err().to_string().contains("`worker-2` is protected"));
}

#[test]
fn a_swarm_whose_managers_are_mostly_gone_for_good_is_brought_back() {
    let mut world = World::whole();
    world.promote("worker-1");
    world.promote("worker-2");
    world.observed.nodes = None;
    let managers = ["11", "12", "13"].map(|last| format!("10.77.0.{last}:2377")).to_vec();
    if let EngineSeen::Answers(facts) = &mut world.seen("host1").engine {
        facts.swarm.managers = managers;
    }
    for name in ["worker-1", "worker-2"] {
        *world.seen(name) = Seen { sighting: None, engine: EngineSeen::NotAsked };
    }
    let plan = world.up();
    assert_eq!(plan.gate, Gate::Recover("host1".to_owned()));
    assert_eq!(steps(&plan, "host1")[0], Step::RecoverSwarm);
    assert!(steps(&plan, "worker-1").contains(&Step::JoinSwarm(Role::Manager)));
    // One that is merely off may come back: nothing is forced.
    world.seen("worker-1").sighting = Some(Sighting { power: Power::Stopped, ..sighting() });
    assert_eq!(world.up().gate, Gate::Seed("host1".to_owned()));
}

#[test]
fn a_swarm_that_the_file_dropped_ends_only_with_prune() {
    let mut world = World::whole();
    world.fleet.swarm = None;
    world.fleet.machines.iter_mut().for_each(|spec| spec.role = None);
    let told = world.up();
    assert_eq!(told.lanes, []);
    assert!(told.notes[0].contains("fleet up --prune"), "{:?}", told.notes);
    let plan = world.up_with(Up { prune: true, ..Up::default() });
    assert_eq!(steps(&plan, "worker-1"), [Step::EndSwarm]);
    assert_eq!(stage(&plan, "worker-1"), Stage::Leave);
    assert_eq!(stage(&plan, "host1"), Stage::Resign);
}
