//! `kill`, `provision`, `upgrade`, and which machine is meant where none is named.

use fleet_driver::Power;
use fleet_driver::fake::Verb;

use crate::support::scenario::Scenario;
use crate::support::sim::What;
use crate::support::world::{MANAGERS, World};

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
    const NAMES: [&str; 3] = ["host-1", "host-2", "host-3"];
    let pinned = format!("{MANAGERS}[engine]\nversion = \"20.10\"\n");
    let world = World::new(&pinned, &NAMES).await;
    world.fleet(&["up"]).await.exits(0);
    let versions = async || {
        let mut found = Vec::new();
        for name in NAMES {
            found.push(world.engine(name).facts(&cx()).await.unwrap().version);
        }
        found
    };
    assert_eq!(versions().await, ["20.10.24+dfsg1"; 3]);
    world.sim.available(&["26.1.5+dfsg1", "20.10.25+dfsg1", "20.10.24+dfsg1"]);
    world.fleet(&["up"]).await.exits(0).says("Nothing to do");
    world.fleet(&["upgrade"]).await.exits(0);
    assert_eq!(versions().await, ["20.10.25+dfsg1"; 3]);
    let drained = NAMES.map(|name| world.sim.times(name, &What::Drained));
    assert_eq!(drained, [1, 1, 1]);
    assert!(world.sim.lost_quorum().is_empty());
    assert_eq!(world.sim.most_engines_down(), 1);
    world.fleet(&["up"]).await.exits(0).says("Nothing to do");
    // Without a version it is the newest there is, and of that machine alone.
    world.edit(|_| MANAGERS.to_owned());
    world.fleet(&["upgrade", "host-2"]).await.exits(0);
    assert_eq!(versions().await, ["20.10.25+dfsg1", "26.1.5+dfsg1", "20.10.25+dfsg1"]);
    let installed = |version: &str| {
        let what = What::EngineInstalled(version.to_owned());
        NAMES.map(|name| world.sim.times(name, &what))
    };
    assert_eq!(installed("20.10.25+dfsg1"), [1, 1, 1]);
    // There is nothing newer: nothing is installed.
    world.fleet(&["upgrade", "host-2"]).await.exits(0);
    assert_eq!(installed("26.1.5+dfsg1"), [0, 1, 0]);
    assert!(world.sim.lost_quorum().is_empty());
    assert_eq!(world.sim.unknown_scripts(), Vec::<String>::new());
}

#[tokio::test]
async fn a_machine_that_is_off_is_started_to_be_upgraded() {
    let world = World::three().await;
    world.fleet(&["up"]).await.exits(0);
    world.fleet(&["stop", "worker-1"]).await.exits(0);
    world.fleet(&["upgrade", "worker-1"]).await.exits(0);
    let facts = world.engine("worker-1").facts(&cx()).await.unwrap();
    assert_eq!(facts.version, "26.1.5+dfsg1");
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
