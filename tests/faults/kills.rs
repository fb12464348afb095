//! Ends that come at any time: SIGKILL, and Ctrl-C once and twice.

use std::time::Duration;

use super::{next, say, scenes, seed};
use crate::support::sim::nap;
use crate::support::world::{STUCK, World};

/// A child that runs alone has brought everything up after less.
const LONGEST: u64 = 1200;

#[tokio::test]
async fn up_is_killed_again_and_again() {
    let (mut seed, mut killed) = (seed(), 0);
    for _ in 0..8 {
        let world = World::three().await;
        for _ in 0..5 {
            let mut running = world.spawn(&["up"], &[]);
            nap(Duration::from_millis(next(&mut seed) % LONGEST)).await;
            running.kill();
            killed += usize::from(running.end().await.killed());
        }
        world.child(&["up"]).await.exits(0);
        scenes::UP.ends(&world).await;
    }
    say(&format!("random kills: {killed} of 40 came before the end"));
    assert!(killed > 0, "every command was faster");
}

#[tokio::test]
async fn ctrl_c_ends_in_order_and_the_same_command_goes_on() {
    for point in [1, 4, 9, 16] {
        let world = World::three().await;
        let done = world.interrupted_at_guest(point, &["up"]).await.expect("more is asked");
        done.exits(130).says("you interrupted").says("fleet up");
        world.child(&["up"]).await.exits(0);
        scenes::UP.ends(&world).await;
    }
    let world = World::three().await;
    world.fleet(&["up"]).await.exits(0);
    let down = world.interrupted_at_guest(1, &["down", "worker-1"]).await.unwrap();
    down.exits(130);
    world.child(&["down", "worker-1"]).await.exits(0);
    assert_eq!(world.machines().len(), 2);
}

#[tokio::test]
async fn a_second_ctrl_c_ends_it_at_once() {
    let world = World::three().await;
    let running = world.spawn(&["up"], &[(STUCK, "1")]);
    world.until("a verb is stuck", |w| w.root().join("stuck").exists()).await;
    running.interrupt();
    // Two that come at once are one.
    nap(Duration::from_millis(200)).await;
    running.interrupt();
    running.end().await.exits(130);
    world.child(&["up"]).await.exits(0);
    scenes::UP.ends(&world).await;
}
