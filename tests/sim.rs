//! The simulated world behaves as the real one would: whole commands on guests that never
//! boot.

mod changes;

use std::time::Duration;

use fleet::config::{Availability, Role};
use fleet::engine::{Engine, Force, SwarmState};
use fleet::pki::Pki;
use fleet_driver::event::Reporter;
use fleet_driver::{Cx, Error, ErrorKind, Power};
use tokio_util::sync::CancellationToken;

use crate::support::proxy::{Fault, Proxy};
use crate::support::sim::{Standing, What};
use crate::support::world::World;

const ALL: [&str; 3] = ["host1", "worker-1", "worker-2"];

#[tokio::test]
async fn a_swarm_comes_up_and_goes_down() {
    let world = World::three().await;
    world.fleet(&["up"]).await.exits(0);
    world.fleet(&["up"]).await.exits(0).says("Nothing to do");
    let listed = world.fleet(&["ls"]).await.exits(0).stdout;
    assert_eq!(listed.matches("manager (leader)").count(), 1, "{listed}");
    assert_eq!(listed.matches("worker ").count(), 2, "{listed}");
    for name in ALL {
        assert_eq!(world.sim.times(name, &What::Created), 1);
        assert!(!world.sim.holds_secrets(name), "{name} still has its seed's secrets");
    }
    assert_eq!(world.sim.swarms(), 1);
    assert_eq!(world.sim.unknown_scripts(), Vec::<String>::new());

    world.fleet(&["down", "worker-2"]).await.exits(0);
    let journal = world.sim.journal();
    let of: Vec<&What> =
        journal.iter().filter(|e| e.machine == "worker-2").map(|e| &e.what).collect();
    let place = |what: &What| of.iter().position(|w| *w == what);
    let order = [What::Drained, What::Left, What::Removed, What::Destroyed].map(|w| place(&w));
    assert!(order.iter().all(Option::is_some) && order.is_sorted(), "{of:?}");
    assert!(world.sim.lost_quorum().is_empty());
    assert_eq!(world.sim.most_engines_down(), 0);

    world.fleet(&["down"]).await.exits(0);
    assert!(world.machines().is_empty());
    assert!(!world.dir().join(".fleet").exists());
}

#[tokio::test]
async fn the_same_in_processes_of_their_own() {
    let world = World::three().await;
    let up = world.child(&["up"]).await.exits(0);
    assert_eq!(up.stdout, "");
    world.child(&["up"]).await.exits(0).says("Nothing to do");
    let listed = world.child(&["ls"]).await.exits(0).stdout;
    assert!(listed.starts_with("NAME"), "{listed}");
    world.child(&["down"]).await.exits(0);
    assert!(world.machines().is_empty());
}

#[tokio::test]
async fn a_killed_up_is_finished_by_the_next() {
    let world = World::three().await;
    let mut running = world.spawn(&["up"], &[]);
    world.until("a machine is made", |w| w.machines().iter().any(|m| m.whole)).await;
    running.kill();
    assert_eq!(running.end().await.signal, Some(9));
    world.fleet(&["up"]).await.exits(0);
    world.fleet(&["up"]).await.exits(0).says("Nothing to do");
    for name in ALL {
        assert_eq!(world.sim.times(name, &What::Created), 1, "{name}");
    }
    assert_eq!(world.sim.swarms(), 1);
}

#[tokio::test]
async fn a_command_can_be_killed_at_every_point() {
    let world = World::three().await;
    let killed = world.killed_at_verb(5, &["up"]).await;
    assert!(killed.killed(), "{killed:?}");
    // Half of a script or request, and of its answer.
    for point in [1, 2] {
        let killed = world.killed_at_guest(point, &["up"]).await;
        assert!(killed.killed(), "{killed:?}");
    }
    world.child(&["up"]).await.exits(0);
    assert!(!world.killed_at_verb(1, &["up"]).await.killed(), "nothing is to be done");
    let killed = world.killed_at_verb(1, &["down"]).await;
    assert!(killed.killed(), "{killed:?}");
    assert_eq!(world.machines().len(), 3);
    world.child(&["down"]).await.exits(0);
    assert!(world.machines().is_empty());
}

#[tokio::test]
async fn ctrl_c_reaches_a_child() {
    let world = World::three().await;
    world.sim.hold(1);
    let running = world.spawn(&["up"], &[]);
    world.sim.held().await;
    running.interrupt();
    running.end().await.exits(130);
    world.sim.go_on();
    world.fleet(&["up"]).await.exits(0);
}

#[tokio::test]
async fn two_of_three_managers_are_a_quorum_and_one_is_none() {
    let world = World::managers().await;
    world.fleet(&["up"]).await.exits(0);
    let (cx, engine) = (cx(), world.engine("host-1"));
    let nodes = engine.nodes(&cx).await.unwrap();
    assert_eq!(nodes.iter().filter(|n| n.reachable).count(), 3);
    world.fake.power("host-3", Power::Stopped);
    world.until("host-3 is down", |w| down(w) == ["host-3"]).await;
    assert_eq!(engine.nodes(&cx).await.unwrap().iter().filter(|n| n.reachable).count(), 2);
    assert!(world.sim.lost_quorum().is_empty());

    world.fake.power("host-2", Power::Stopped);
    world.until("the quorum is lost", |w| !w.sim.lost_quorum().is_empty()).await;
    let error = engine.nodes(&cx).await.unwrap_err();
    // As real engines do: `code = Unknown` becomes 500.
    assert_eq!((error.kind(), status(&error)), (ErrorKind::Busy, Some("500")));
    assert!(error.to_string().contains("The swarm does not have a leader"), "{error}");
    let facts = engine.facts(&cx).await.unwrap().swarm;
    assert!(facts.manager && facts.state == SwarmState::Active, "{facts:?}");

    world.fake.power("host-2", Power::Running);
    world.until("there is a leader again", |w| w.sim.times("host-1", &What::QuorumBack) > 0).await;
    world.fake.power("host-3", Power::Running);
    world.until("all are ready", |w| down(w).is_empty()).await;
    let nodes = engine.nodes(&cx).await.unwrap();
    assert_eq!(nodes.iter().filter(|n| n.leader).count(), 1);
}

#[tokio::test]
async fn swarms_refuse_as_real_ones_do() {
    let world = World::three().await;
    world.fleet(&["up"]).await.exits(0);
    let (cx, engine) = (cx(), world.engine("host1"));
    let nodes = engine.nodes(&cx).await.unwrap();
    let of = |name: &str| nodes.iter().find(|n| n.hostname == name).unwrap();
    let (host, worker) = (of("host1"), of("worker-1"));
    let refused = engine
        .update_node(&host.id, Role::Worker, Availability::Active, &host.labels, &cx)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("attempting to demote the last manager"), "{refused}");
    let refused = engine.remove_node(&host.id, Force::Yes, &cx).await.unwrap_err();
    assert_eq!(status(&refused), Some("400"));
    let refused = engine.remove_node(&worker.id, Force::No, &cx).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Busy);
    assert_eq!(engine.leave(Force::No, &cx).await.unwrap_err().kind(), ErrorKind::Conflict);
    // Removed by force, a node learns so; it can leave then.
    engine.remove_node(&worker.id, Force::Yes, &cx).await.unwrap();
    let own = world.engine("worker-1");
    assert!(matches!(own.facts(&cx).await.unwrap().swarm.state, SwarmState::Error(_)));
    own.leave(Force::No, &cx).await.unwrap();
    assert_eq!(own.facts(&cx).await.unwrap().swarm.state, SwarmState::Inactive);
    world.fleet(&["up"]).await.exits(0);
    assert_eq!(engine.nodes(&cx).await.unwrap().len(), 3);
}

#[tokio::test]
async fn tasks_move_away_from_what_is_drained_and_are_lost_with_what_dies() {
    let world = World::three().await;
    world.fleet(&["up"]).await.exits(0);
    world.sim.service("web", 4, &["node.role==worker"]);
    let both = ["worker-1", "worker-1", "worker-2", "worker-2"];
    world.until("the tasks run", |w| w.sim.runs_on("web") == both).await;
    world.fleet(&["down", "worker-2"]).await.exits(0);
    assert_eq!(world.sim.runs_on("web"), ["worker-1"; 4]);
    assert!(!lost_tasks(&world));
    world.fake.vanish("worker-1");
    world.until("the tasks are lost", lost_tasks).await;
    assert_eq!(world.sim.runs_on("web"), ["-"; 4]);
    world.until("its node is down", |w| down(w) == ["worker-1"]).await;
    world.fleet(&["up"]).await.exits(0);
    world.until("the tasks run again", |w| !w.sim.runs_on("web").contains(&"-".into())).await;
    assert_eq!(world.sim.nodes().len(), 3, "no node is left behind: {:?}", world.sim.nodes());
}

#[tokio::test]
async fn engines_are_installed_replaced_and_set_anew() {
    let world = World::three().await;
    world.sim.image_engine(None);
    world.sim.available(&["20.10.24+dfsg1"]);
    world.fleet(&["up"]).await.exits(0);
    assert_eq!(world.sim.runs("host1").as_deref(), Some("20.10.24+dfsg1"));
    world.sim.available(&["26.1.5+dfsg1", "20.10.24+dfsg1"]);
    world.edit(|text| format!("{text}[engine]\nversion = \"26.1\"\nlabels = {{ site = \"x\" }}\n"));
    world.fleet(&["up"]).await.exits(0);
    for name in ALL {
        assert_eq!(world.sim.runs(name).as_deref(), Some("26.1.5+dfsg1"));
        let settings = world.sim.file(name, "/etc/docker/daemon.json").unwrap();
        assert!(settings.contains("site=x"), "{settings}");
    }
    assert!(world.sim.most_engines_down() >= 1);
    world.edit(|text| text.replace("26.1", "99"));
    world.fleet(&["up"]).await.exits(1).says("there is no docker.io 99");
    assert_eq!(world.sim.unknown_scripts(), Vec::<String>::new());
}

#[tokio::test]
async fn workers_become_managers() {
    let world = World::three().await;
    world.fleet(&["up"]).await.exits(0);
    world.edit(|text| text.replace("\"worker\"", "\"manager\""));
    world.fleet(&["up"]).await.exits(0);
    let nodes = world.engine("worker-2").nodes(&cx()).await.unwrap();
    assert_eq!(nodes.iter().filter(|n| n.reachable).count(), 3);
    assert_eq!(world.sim.times("worker-1", &What::Promoted), 1);
    // The leader goes, another one leads.
    world.fake.power("host1", Power::Stopped);
    world
        .until("there is another leader", |w| {
            ["worker-1", "worker-2"].iter().any(|name| w.sim.times(name, &What::BecameLeader) > 0)
        })
        .await;
    assert!(world.sim.lost_quorum().is_empty());
}

#[tokio::test]
async fn a_swarm_is_made_anew_around_the_last_of_its_managers() {
    let world = World::managers().await;
    world.fleet(&["up"]).await.exits(0);
    world.fake.vanish("host-1").vanish("host-2");
    world.until("the quorum is lost", |w| !w.sim.lost_quorum().is_empty()).await;
    let engine = world.engine("host-3");
    assert_eq!(engine.tokens(&cx()).await.unwrap_err().kind(), ErrorKind::Busy);
    world.sim.force_new_cluster("host-3").unwrap();
    world.until("the others are down", |w| down(w) == ["host-1", "host-2"]).await;
    let nodes = engine.nodes(&cx()).await.unwrap();
    assert_eq!(nodes.iter().filter(|n| n.votes).count(), 1);
    assert_eq!(nodes.iter().filter(|n| n.role == Role::Manager).count(), 3);
    assert_eq!(world.sim.swarms(), 1);
    world.fleet(&["up"]).await.exits(0);
    let nodes = engine.nodes(&cx()).await.unwrap();
    assert_eq!((nodes.len(), nodes.iter().filter(|n| n.reachable).count()), (3, 3));
}

#[tokio::test]
async fn what_no_guest_understands_is_told_and_kept() {
    let world = World::three().await;
    world.fleet(&["up", "worker-1", "host1"]).await.exits(0);
    world.child(&["ssh", "host1", "true"]).await.exits(0);
    world.child(&["ssh", "host1", "frobnicate"]).await.exits(127).says("frobnicate");
    assert_eq!(world.sim.unknown_scripts(), ["frobnicate"]);
}

#[tokio::test]
async fn an_engine_lets_in_its_own_fleet_alone() {
    let world = World::three().await;
    world.fleet(&["up"]).await.exits(0);
    let strange = tempfile::tempdir().unwrap();
    let pki = Pki::open_or_create(&strange.path().join("certs"), "strange").unwrap();
    let engine = Engine::new(world.sim.engine("host1"), &pki).unwrap();
    assert_eq!(engine.facts(&cx()).await.unwrap_err().kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn faults_on_the_way_are_lived_through() {
    let world = World::three().await;
    let ms = Duration::from_millis;
    let faults = [
        Fault::Refused(ms(80)),
        Fault::CloseAtOnce,
        Fault::Reset(0),
        Fault::Reset(100),
        Fault::Slow(512, ms(1)),
    ];
    let ssh = Proxy::start(world.sim.ssh("host1"), &faults);
    let engine = Proxy::start(world.sim.engine("worker-1"), &faults);
    world.through("host1", Some(&ssh), None);
    world.through("worker-1", None, Some(&engine));
    world.fleet(&["up"]).await.exits(0);
    for proxy in [&ssh, &engine] {
        assert_eq!(proxy.seen()[..4], faults[1..]);
        assert_eq!(proxy.left(), 0);
    }
    engine.order(&[Fault::Garbage]);
    let facts = world.engine_at(engine.address).facts(&cx()).await;
    assert_eq!(facts.unwrap_err().kind(), ErrorKind::Conflict);
    engine.order(&[Fault::Silence]);
    let soon = cx().within(ms(100));
    let facts = world.engine_at(engine.address).facts(&soon).await;
    assert_eq!(facts.unwrap_err().kind(), ErrorKind::Busy);
    world.engine_at(engine.address).facts(&cx()).await.unwrap();
}

pub(crate) fn cx() -> Cx {
    Cx::new("/nowhere", Reporter::silent(), CancellationToken::new())
        .within(Duration::from_secs(20))
}

fn status(error: &Error) -> Option<&str> {
    let mut context = error.context().iter();
    context.find(|(key, _)| *key == "status").map(|(_, value)| value.as_str())
}

/// The machines whose node is down.
fn down(world: &World) -> Vec<String> {
    let nodes = world.sim.nodes().into_iter();
    nodes.filter(|(_, state)| *state == Standing::Down).map(|(name, _)| name).collect()
}

fn lost_tasks(world: &World) -> bool {
    world.sim.journal().iter().any(|event| matches!(event.what, What::TasksLost(_)))
}
