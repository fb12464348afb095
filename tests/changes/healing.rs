//! Machines that vanish, and swarms that come back.

use std::net::Ipv4Addr;

use fleet::config::Role;
use fleet_driver::Power;

use super::{made, runs, serves};
use crate::support::sim::What;
use crate::support::world::World;

const ALL: [&str; 3] = ["host-1", "host-2", "host-3"];

async fn healthy(world: &World, at: &str) {
    let nodes = world.engine(at).nodes(&crate::sim::cx()).await.unwrap();
    assert_eq!(nodes.len(), 3, "{nodes:?}");
    assert_eq!(nodes.iter().filter(|n| n.votes && n.reachable && n.ready).count(), 3);
    world.fleet(&["up"]).await.exits(0).says("Nothing to do");
}

#[tokio::test]
async fn one_of_three_managers_vanishes() {
    let world = World::managers().await;
    world.fleet(&["up"]).await.exits(0);
    serves(&world, "web", 3, &[]).await;
    world.fake.vanish("host-1");
    world.fleet(&["up"]).await.exits(0);
    healthy(&world, "host-2").await;
    assert_eq!(world.sim.swarms(), 1);
    assert!(world.sim.lost_quorum().is_empty());
    runs(&world, "web").await;
}

#[tokio::test]
async fn two_of_three_managers_vanish() {
    let world = World::managers().await;
    world.fleet(&["up"]).await.exits(0);
    serves(&world, "web", 3, &[]).await;
    world.fake.vanish("host-1").vanish("host-2");
    world.until("the quorum is lost", |w| !w.sim.lost_quorum().is_empty()).await;
    world.fleet(&["plan"]).await.exits(0);
    world.fleet(&["up"]).await.exits(0);
    assert_eq!(world.sim.times("host-3", &What::SwarmForced), 1);
    healthy(&world, "host-3").await;
    assert_eq!(world.sim.swarms(), 1);
    runs(&world, "web").await;
    assert_eq!(made(&world, &["host-3"]), [(1, 1)]);
}

#[tokio::test]
async fn a_manager_that_the_swarm_was_recovered_without_comes_back() {
    let world = World::managers().await;
    world.fleet(&["up"]).await.exits(0);
    serves(&world, "web", 3, &[]).await;
    world.fake.power("host-1", Power::Stopped).power("host-2", Power::Stopped);
    world.until("the quorum is lost", |w| !w.sim.lost_quorum().is_empty()).await;
    // Somebody does so by hand, and then the others are there again.
    world.sim.force_new_cluster("host-3").unwrap();
    world.fleet(&["up"]).await.exits(0);
    healthy(&world, "host-3").await;
    assert_eq!(world.sim.swarms(), 1);
    runs(&world, "web").await;
}

#[tokio::test]
async fn nodes_that_a_recovered_swarm_left_behind_can_be_removed() {
    let world = World::managers().await;
    world.fleet(&["up"]).await.exits(0);
    world.fake.vanish("host-1").vanish("host-2");
    world.until("the quorum is lost", |w| !w.sim.lost_quorum().is_empty()).await;
    world.sim.force_new_cluster("host-3").unwrap();
    world.edit(|text| text.replace("count = 3", "count = 1"));
    world.fleet(&["up", "--prune"]).await.exits(0);
    let nodes = world.engine("host-3");
    drop(nodes);
    let left = world.sim.nodes();
    assert!(left.len() <= 2, "{left:?}");
}

#[tokio::test]
async fn all_were_off() {
    let world = World::managers().await;
    world.fleet(&["up"]).await.exits(0);
    serves(&world, "web", 3, &[]).await;
    for name in ALL {
        world.fake.power(name, Power::Stopped);
    }
    world.fleet(&["up"]).await.exits(0);
    healthy(&world, "host-1").await;
    assert_eq!(world.sim.swarms(), 1);
    runs(&world, "web").await;
    assert_eq!(made(&world, &ALL), [(1, 2); 3]);
}

#[tokio::test]
async fn a_worker_in_a_dead_swarm_of_the_fleet_comes_over() {
    let world = World::three().await;
    world.fleet(&["up"]).await.exits(0);
    world.fake.vanish("host1");
    world.fleet(&["up"]).await.exits(0);
    let nodes = world.engine("host1").nodes(&crate::sim::cx()).await.unwrap();
    assert_eq!(nodes.iter().filter(|n| n.role == Role::Worker && n.ready).count(), 2);
    world.fleet(&["up"]).await.exits(0).says("Nothing to do");
    assert_eq!(made(&world, &["worker-1", "worker-2"]), [(1, 1); 2]);
}

#[tokio::test]
async fn a_worker_in_a_strangers_swarm_is_left_alone() {
    let world = World::three().await;
    world.fleet(&["up", "host1", "worker-1"]).await.exits(0);
    world.fleet(&["up", "worker-2"]).await.exits(0);
    world.sim.taken_away("worker-2", Ipv4Addr::new(192, 0, 2, 7));
    let refused = world.fleet(&["up"]).await.exits(1);
    assert!(refused.stderr.contains("not this fleet's"), "{}", refused.stderr);
    assert!(refused.stderr.contains("192.0.2.7"), "{}", refused.stderr);
    assert_eq!(world.sim.times("worker-2", &What::Left), 0);
}
