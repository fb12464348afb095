//! `kill`, `provision`, `upgrade`, and which machine is meant where none is named.

use fleet_driver::Power;
use fleet_driver::fake::Verb;

use crate::support::scenario::Scenario;
use crate::support::sim::What;
use crate::support::world::World;

const PINNED: &str = r#"
[fleet]
name = "lab"
[defaults]
driver = "qemu"
image = "./base.qcow2"
[swarm]
[machine.host]
count = 3
role = "manager"
"#;

#[tokio::test]
async fn a_machine_is_killed_without_a_word_to_its_guest() {
    let scenario = Scenario::plain().await;
    scenario.fleet(&["up"]).await.exits(0);
    // A guest that hears nothing: a soft stop would wait for it.
    scenario.fake.deaf("web-1");
    scenario.fleet(&["kill", "web-1"]).await.exits(0);
    let power = |name: &str| {
        let listed = scenario.fake.standing();
        listed.into_iter().find(|m| m.id.machine() == name).map(|m| m.power)
    };
    assert_eq!(power("web-1"), Some(Power::Stopped));
    assert_eq!(power("web-2"), Some(Power::Running));
    assert_eq!(scenario.calls("web-1", Verb::Stop), 1);
    scenario.fleet(&["kill", "web-1"]).await.exits(0);
    assert_eq!(scenario.calls("web-1", Verb::Stop), 1);
    // Not all of them by a slip of the finger.
    scenario.fleet(&["kill"]).await.exits(2).says("which machine?");
    scenario.fleet(&["kill", "web-7"]).await.exits(5);
    assert_eq!(power("web-2"), Some(Power::Running));
}

#[tokio::test]
async fn the_machine_called_default_is_meant() {
    let file = crate::support::scenario::PLAIN
        .replace("[machine.web]\ncount = 2", "[machine.default]\n[machine.other]");
    let scenario = Scenario::new(&file, &["default", "other"]).await;
    scenario.fleet(&["up"]).await.exits(0);
    let named = scenario.fleet(&["url", "default"]).await.exits(0).stdout;
    assert_eq!(scenario.fleet(&["url"]).await.exits(0).stdout, named);
    let before = scenario.server("default").seen().connections;
    scenario.fleet(&["ssh", "-n"]).await;
    assert_eq!(scenario.server("default").seen().connections, before + 1);
    scenario.fleet(&["kill"]).await.exits(0);
    assert_eq!(
        (scenario.calls("default", Verb::Stop), scenario.calls("other", Verb::Stop)),
        (1, 0)
    );
}

#[tokio::test]
async fn an_engine_is_written_again_though_nothing_differs() {
    let world = World::three().await;
    world.fleet(&["provision"]).await.exits(5).says("fleet up");
    world.fleet(&["up"]).await.exits(0);
    let before = world.engine("worker-1").facts(&cx()).await.unwrap();
    world.fleet(&["provision", "worker-1", "-y"]).await.exits(0);
    let after = world.engine("worker-1").facts(&cx()).await.unwrap();
    assert_ne!(before.settings(), after.settings());
    assert_eq!(world.sim.most_engines_down(), 1);
    world.fleet(&["up"]).await.exits(0).says("Nothing to do");
    world.fleet(&["provision", "worker-9"]).await.exits(5);
}

#[tokio::test]
async fn engines_are_upgraded_one_after_the_other_within_their_version() {
    let names = ["host-1", "host-2", "host-3"];
    let world = World::new(PINNED, &names).await;
    world.fleet(&["up"]).await.exits(0);
    world.fleet(&["upgrade"]).await.exits(0);
    let installed = |name: &str| {
        let journal = world.sim.journal();
        journal
            .into_iter()
            .filter(|event| event.machine == name)
            .filter_map(|event| match event.what {
                What::EngineInstalled(version) => Some(version),
                _ => None,
            })
            .collect::<Vec<_>>()
    };
    let newest = world.engine("host-1").facts(&cx()).await.unwrap().version;
    for name in names {
        assert_eq!(world.engine(name).facts(&cx()).await.unwrap().version, newest);
    }
    let done: Vec<usize> = names.iter().map(|name| installed(name).len()).collect();
    // There is nothing newer: nothing is installed.
    world.fleet(&["upgrade", "host-2"]).await.exits(0);
    assert_eq!(names.iter().map(|name| installed(name).len()).collect::<Vec<_>>(), done);
    assert!(world.sim.lost_quorum().is_empty());
    assert!(world.sim.most_engines_down() <= 1);
    world.fleet(&["up"]).await.exits(0).says("Nothing to do");
}

#[tokio::test]
async fn what_fleet_does_not_install_it_does_not_upgrade() {
    let scenario = Scenario::plain().await;
    scenario.fleet(&["up"]).await.exits(0);
    scenario.fleet(&["upgrade", "web-1"]).await.exits(3).says("install = \"none\"");
}

fn cx() -> fleet_driver::Cx {
    fleet_driver::Cx::new(
        "/nowhere",
        fleet_driver::event::Reporter::silent(),
        tokio_util::sync::CancellationToken::new(),
    )
}
