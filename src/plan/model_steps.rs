//! What each step does to the modelled world.

use fleet_driver::Power;

use super::model::{Swarm, Vm, World, settings};
use super::{Intent, Quorum, Step};
use crate::config::{Availability, Role};
use crate::state::Record;

pub(super) fn run(
    world: &mut World,
    name: &str,
    step: &Step,
    intent: &Intent,
    gate: &mut Option<usize>,
) {
    let spec = world.spec_of(name);
    match step {
        Step::Adopt => {
            let seeded = world.vms[name].seeded;
            let record = record(world, name, !seeded);
            world.records.insert(name.to_owned(), record);
        }
        Step::Create => {
            let record = record(world, name, false);
            world.records.insert(name.to_owned(), record);
            let cpus = spec.map_or(1, |spec| spec.cpus);
            let vm = Vm {
                power: Power::Stopped,
                cpus,
                seeded: true,
                image: "aa".to_owned(),
                engine: None,
                silent: false,
                member: None,
            };
            world.vms.insert(name.to_owned(), vm);
        }
        Step::Resize => {
            let vm = vm(world, name);
            assert_ne!(vm.power, Power::Running, "{name} is resized while it runs");
            vm.cpus = spec.map_or(1, |spec| spec.cpus);
        }
        Step::Start => {
            // It counts once its engine was brought to its settings.
            let vm = vm(world, name);
            (vm.power, vm.silent) = (Power::Running, true);
        }
        Step::Suspend(_) => vm(world, name).power = Power::Paused,
        Step::Stop | Step::Kill => vm(world, name).power = Power::Stopped,
        Step::Connect => assert_eq!(vm(world, name).power, Power::Running, "{name} is off"),
        Step::InstallEngine | Step::UpgradeEngine | Step::ConfigureEngine => {
            let spec = spec.expect("only machines of the file are configured");
            let wanted = (settings(&spec), spec.engine.version.unwrap_or("20.10.24".to_owned()));
            let vm = vm(world, name);
            let working = vm.engine.is_some() && !vm.silent;
            let changes = vm.engine.as_ref() != Some(&wanted);
            vm.engine = Some(wanted);
            vm.silent = false;
            let member = vm.member.clone();
            if let (true, true, Some((swarm, _))) = (working, changes, member) {
                let quorum = Quorum::of(&world.nodes(swarm));
                if quorum.holds() && !quorum.bears_absence_of(name) {
                    world.sins.push(format!("the engine of {name} restarts, and quorum is lost"));
                }
            }
        }
        Step::WaitEngine => {
            let vm = vm(world, name);
            assert!(vm.power == Power::Running && !vm.silent, "the engine of {name} is away");
        }
        Step::InitSwarm => {
            if world.vms[name].member.is_none() {
                let node = world.newcomer(name, Role::Manager);
                world.swarms.push(Swarm { nodes: vec![node.clone()] });
                let swarm = world.swarms.len() - 1;
                vm(world, name).member = Some((swarm, node.id));
            }
            *gate = world.vms[name].member.as_ref().map(|(swarm, _)| *swarm);
            manages(world, name, true);
        }
        Step::RecoverSwarm => {
            let (swarm, id) = world.vms[name].member.clone().expect("it holds a swarm");
            for node in &mut world.swarms[swarm].nodes {
                node.votes = node.id == id;
            }
            *gate = Some(swarm);
            manages(world, name, true);
        }
        Step::JoinSwarm(role) => join(world, name, *role, gate.expect("the gate is open")),
        Step::UpdateNode => update(world, name, gate.expect("the gate is open")),
        Step::Activate => {
            let spec = spec.expect("only machines of the file are updated");
            let swarm = gate.expect("the gate is open");
            for node in world.swarms[swarm].nodes.iter_mut().filter(|n| n.hostname == name) {
                (node.availability, node.labels) = (spec.availability, spec.labels.clone());
            }
        }
        Step::WaitReady => {
            let ready = |world: &World| {
                let (swarm, id) = world.vms[name].member.clone()?;
                world.nodes(swarm).into_iter().find(|node| node.id == id).map(|node| node.ready)
            };
            if ready(world) != Some(true) {
                world.sins.push(format!("{name} is waited for in vain"));
            }
        }
        Step::Unseed => {
            vm(world, name).seeded = false;
            if let Some(record) = world.records.get_mut(name) {
                record.settled = true;
            }
        }
        Step::Drain => {
            for swarm in &mut world.swarms {
                for node in swarm.nodes.iter_mut().filter(|node| node.hostname == name) {
                    node.availability = Availability::Drain;
                }
            }
        }
        Step::LeaveSwarm | Step::EndSwarm => {
            if let Some(vm) = world.vms.get_mut(name)
                && let Some((swarm, id)) = vm.member.take()
            {
                for node in world.swarms[swarm].nodes.iter_mut().filter(|n| n.id == id) {
                    (node.role, node.votes) = (Role::Worker, false);
                }
            }
        }
        Step::RemoveNode => {
            let swarm = gate.expect("somebody is asked");
            world.swarms[swarm].nodes.retain(|node| node.hostname != name);
        }
        Step::Destroy => {
            let meant = match intent {
                Intent::Up(up) => {
                    let stray = world.spec_of(name).is_none();
                    up.replace.contains(name) || (up.prune && stray)
                }
                Intent::Down(names, _) => names.contains(name),
                Intent::DownAll(_) => true,
                Intent::Restart(_) => false,
            };
            if !meant {
                world.sins.push(format!("{name} was destroyed, and nobody named it"));
            }
            world.vms.remove(name);
            world.records.remove(name);
        }
    }
}

fn vm<'a>(world: &'a mut World, name: &str) -> &'a mut Vm {
    world.vms.get_mut(name).unwrap_or_else(|| panic!("{name} does not exist"))
}

fn record(world: &World, name: &str, settled: bool) -> Record {
    let spec = world.spec_of(name).expect("only machines of the file are recorded");
    Record {
        driver: spec.driver,
        address: spec.address,
        image_sha256: "aa".to_owned(),
        user: spec.user,
        host_key: String::new(),
        created: String::new(),
        settled,
        manager: false,
        protected: false,
        cert_serial: 0,
    }
}

fn join(world: &mut World, name: &str, role: Role, swarm: usize) {
    let own = world.vms[name].member.clone();
    if let Some((at, id)) = own {
        let nodes = &world.swarms[swarm].nodes;
        let known = nodes.iter().any(|n| n.id == id && (n.role == Role::Worker || n.votes));
        if at == swarm && known {
            return;
        }
    }
    // Whatever the swarm remembers of an earlier machine of that name goes.
    world.swarms[swarm].nodes.retain(|node| node.hostname != name);
    let node = world.newcomer(name, role);
    vm(world, name).member = Some((swarm, node.id.clone()));
    world.swarms[swarm].nodes.push(node);
    manages(world, name, role == Role::Manager);
}

fn manages(world: &mut World, name: &str, manager: bool) {
    if let Some(record) = world.records.get_mut(name) {
        record.manager = manager;
    }
}

fn update(world: &mut World, name: &str, swarm: usize) {
    let spec = world.spec_of(name).expect("only machines of the file are updated");
    let own = world.vms[name].member.clone();
    let nodes = &mut world.swarms[swarm].nodes;
    let Some(node) = nodes.iter_mut().find(|n| own.as_ref() == Some(&(swarm, n.id.clone()))) else {
        world.sins.push(format!("{name} is updated, and is no node of the swarm"));
        return;
    };
    node.availability = spec.availability;
    node.labels = spec.labels;
    node.role = spec.role.unwrap_or(Role::Worker);
    node.votes = node.role == Role::Manager;
    let manager = node.votes;
    manages(world, name, manager);
}
