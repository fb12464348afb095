//! Machines that go, and what they must not take with them.

use fleet_driver::Power;

use super::{lost_tasks, runs, serves};
use crate::support::sim::What;
use crate::support::world::World;

fn places(world: &World, name: &str, order: &[What]) {
    let journal = world.sim.journal();
    let of: Vec<&What> = journal.iter().filter(|e| e.machine == name).map(|e| &e.what).collect();
    let found: Vec<_> = order.iter().map(|what| of.iter().position(|w| *w == what)).collect();
    assert!(found.iter().all(Option::is_some) && found.is_sorted(), "{of:?}");
}

#[tokio::test]
async fn a_worker_goes_after_its_tasks() {
    let world = World::three().await;
    world.fleet(&["up"]).await.exits(0);
    serves(&world, "web", 4, &["node.role==worker"]).await;
    world.fleet(&["down", "worker-1"]).await.exits(0);
    places(&world, "worker-1", &[What::Drained, What::Left, What::Removed, What::Destroyed]);
    assert_eq!(world.sim.runs_on("web"), ["worker-2"; 4]);
    assert!(!lost_tasks(&world));
    assert_eq!(world.sim.nodes().len(), 2);
    // Again: there is nothing to remove.
    world.fleet(&["down", "worker-1"]).await.exits(0).says("Nothing to remove");
}

#[tokio::test]
async fn tasks_without_another_place_keep_their_machine() {
    let world = World::three().await;
    world.fleet(&["up"]).await.exits(0);
    serves(&world, "pinned", 2, &["node.hostname==worker-1"]).await;
    let refused = world.fleet(&["down", "worker-1"]).await.exits(1);
    for text in ["pinned", "no suitable node", "--force"] {
        assert!(refused.stderr.contains(text), "no `{text}` in {}", refused.stderr);
    }
    assert_eq!(world.machines().len(), 3);
    runs(&world, "pinned").await;
    assert_eq!(world.sim.runs_on("pinned"), ["worker-1"; 2]);
    assert_eq!(world.sim.times("worker-1", &What::Activated), 1);
    assert_eq!(world.sim.times("worker-1", &What::Left), 0);
    world.fleet(&["up"]).await.exits(0).says("Nothing to do");
    world.fleet(&["down", "worker-1", "--force"]).await.exits(0);
    assert_eq!(world.machines().len(), 2);
    assert_eq!(world.sim.nodes().len(), 2);
}

#[tokio::test]
async fn managers_go_as_long_as_the_rest_can_decide() {
    let world = World::managers().await;
    world.fleet(&["up"]).await.exits(0);
    world.fleet(&["down", "host-1"]).await.exits(0).says("2 managers stay");
    places(&world, "host-1", &[What::Demoted, What::Removed, What::Destroyed]);
    world.fake.power("host-2", Power::Stopped);
    world.until("it is seen", |w| w.sim.lost_quorum().len() == 1).await;
    let refused = world.fleet(&["down", "host-2"]).await.exits(5);
    assert!(refused.stderr.contains("does not decide now"), "{}", refused.stderr);
    assert_eq!(world.machines().len(), 2);
    // Everything at once is another matter.
    world.fleet(&["down", "host-2", "host-3"]).await.exits(0);
    assert!(world.machines().is_empty());
    assert!(!world.dir().join(".fleet").exists());
}

#[tokio::test]
async fn a_manager_goes_while_another_is_stopped_only_if_that_is_bearable() {
    let world = World::managers().await;
    world.fleet(&["up"]).await.exits(0);
    world.fake.power("host-3", Power::Stopped);
    world
        .until("host-3 is down", |w| {
            w.sim.nodes().iter().any(|(_, s)| *s == crate::support::sim::Standing::Down)
        })
        .await;
    // Of host-2 and host-3 alone, one could not decide.
    world.fleet(&["down", "host-2"]).await.exits(5).says("could not decide");
    // The one that is off may go: two stay, and both are well.
    world.fleet(&["down", "host-3"]).await.exits(0);
    assert!(world.sim.lost_quorum().is_empty());
    assert_eq!(world.sim.nodes().len(), 2);
}

#[tokio::test]
async fn the_last_manager_stays_unless_it_is_forced() {
    let world = World::three().await;
    world.fleet(&["up"]).await.exits(0);
    world.fleet(&["down", "host1"]).await.exits(5).says("last manager");
    assert_eq!(world.machines().len(), 3);
    world.fleet(&["down", "host1", "--force"]).await.exits(0);
    assert_eq!(world.machines().len(), 2);
    world.fleet(&["down", "wroker-1"]).await.exits(5).says("did you mean `worker-1`?");
}

#[tokio::test]
async fn what_the_file_forgot_goes_by_name() {
    let world = World::three().await;
    world.fleet(&["up"]).await.exits(0);
    world.edit(|text| text.replace("count = 2", "count = 1"));
    world.fleet(&["ls"]).await.exits(0).says("fleet down worker-2");
    world.fleet(&["down", "worker-2"]).await.exits(0);
    assert_eq!(world.machines().len(), 2);
    assert_eq!(world.sim.nodes().len(), 2);
    world.fleet(&["up"]).await.exits(0).says("Nothing to do");
}
