//! The simulated world behaves as the real one would: whole commands on guests that never
//! boot.

use crate::support::sim::What;
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
