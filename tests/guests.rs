//! Guests of other families than Debian in the simulated world: their engines are
//! installed, configured, replaced, and left alone where they are as they should be.

use crate::support::sim::{System, What};
use crate::support::world::World;

const ALL: [&str; 3] = ["host1", "worker-1", "worker-2"];
const DROP_IN: &str = "/etc/systemd/system/docker.service.d/10-fleet.conf";
const CONF: &str = "/etc/conf.d/docker";

/// A world whose images have this system and no engine.
async fn world(system: System) -> World {
    let world = World::three().await;
    world.sim.image_engine(None);
    world.sim.image_system(system);
    world
}

#[tokio::test]
async fn a_swarm_comes_up_on_fedora_and_on_alpine() {
    for (system, newer) in [(System::Fedora, "28.3.3"), (System::Alpine, "28.3.3-r1")] {
        let world = world(system).await;
        world.sim.available(&["26.1.5"]);
        world.fleet(&["up"]).await.exits(0);
        world.fleet(&["up"]).await.exits(0).says("Nothing to do");
        for name in ALL {
            assert_eq!(world.sim.runs(name).as_deref(), Some("26.1.5"), "{system:?}");
            assert_eq!(world.sim.times(name, &What::EngineStarted), 1, "{system:?}");
            let hosts = world.sim.file(name, "/etc/docker/daemon.json").unwrap();
            let (drop_in, conf) = (world.sim.file(name, DROP_IN), world.sim.file(name, CONF));
            match system {
                System::Alpine => {
                    assert!(hosts.contains("unix:///var/run/docker.sock"), "{hosts}");
                    let conf = conf.unwrap();
                    assert_eq!(conf.matches("# Added by fleet").count(), 1, "{conf}");
                    assert_eq!(drop_in, None);
                }
                System::Debian | System::Fedora => {
                    assert!(hosts.contains("fd://"), "{hosts}");
                    assert!(drop_in.is_some() && conf.is_none());
                }
            }
        }
        // Another version: these packages do not start the engine, or not always.
        world.sim.available(&[newer, "26.1.5"]);
        world.edit(|text| format!("{text}[engine]\nversion = \"28.3\"\n"));
        world.fleet(&["up"]).await.exits(0);
        for name in ALL {
            assert_eq!(world.sim.runs(name).as_deref(), Some(newer), "{system:?}");
        }
        world.fleet(&["up"]).await.exits(0).says("Nothing to do");
        world.edit(|text| text.replace("28.3", "99"));
        let package = if system == System::Fedora { "moby-engine" } else { "docker" };
        world.fleet(&["up"]).await.exits(1).says(&format!("there is no {package} 99"));
        assert_eq!(world.sim.unknown_scripts(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn an_engine_of_alpine_that_stopped_is_started_and_one_that_runs_is_left_alone() {
    let world = world(System::Alpine).await;
    world.fleet(&["up"]).await.exits(0);
    world.sim.stop_engine("worker-1");
    world.fleet(&["up"]).await.exits(0);
    assert_eq!(world.sim.times("worker-1", &What::EngineRestarted), 1);
    for name in ["host1", "worker-2"] {
        assert_eq!(world.sim.times(name, &What::EngineRestarted), 0, "{name}");
    }
    world.edit(|text| format!("{text}[engine]\nlabels = {{ site = \"x\" }}\n"));
    world.fleet(&["up"]).await.exits(0);
    for name in ALL {
        let settings = world.sim.file(name, "/etc/docker/daemon.json").unwrap();
        assert!(settings.contains("site=x"), "{settings}");
    }
}

/// Also between the package, which starts nothing, and the settings.
#[tokio::test]
async fn a_killed_up_is_finished_by_the_next_on_alpine() {
    let world = world(System::Alpine).await;
    let mut killed = 0;
    for point in [2, 5, 8, 11, 14, 17] {
        killed += usize::from(world.killed_at_guest(point, &["up"]).await.killed());
    }
    assert!(killed >= 3, "killed {killed} times only");
    world.fleet(&["up"]).await.exits(0);
    world.fleet(&["up"]).await.exits(0).says("Nothing to do");
    for name in ALL {
        assert_eq!(world.sim.times(name, &What::Created), 1, "{name}");
        assert!(world.sim.runs(name).is_some(), "{name}");
    }
    assert_eq!(world.sim.swarms(), 1);
}

#[tokio::test]
async fn a_firewall_is_opened_for_the_engine_and_the_swarm() {
    let world = world(System::Fedora).await;
    world.sim.image_firewalld();
    world.fleet(&["up"]).await.exits(0);
    for name in ALL {
        let lab = world.sim.lets_through(name).unwrap();
        assert!(lab.ends_with("/24"), "{lab}");
    }
    world.fleet(&["up"]).await.exits(0).says("Nothing to do");
}
