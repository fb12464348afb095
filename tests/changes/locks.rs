//! One command at a time changes a fleet, and reading never waits.

use super::made;
use crate::support::world::World;

#[tokio::test]
async fn a_second_command_is_told_who_is_at_work_and_readers_go_on() {
    let world = World::three().await;
    world.fleet(&["up"]).await.exits(0);
    world.edit(|text| format!("{text}[engine]\nlabels = {{ site = \"x\" }}\n"));
    world.sim.hold(20);
    let mut running = world.spawn(&["up"], &[]);
    world.sim.held().await;
    let refused = world.fleet(&["down", "worker-1"]).await.exits(5);
    let host = fleet::host::computer_name();
    for text in ["`fleet up`", "process ", host.as_str(), "since"] {
        assert!(refused.stderr.contains(text), "no `{text}` in {}", refused.stderr);
    }
    // What lies in `.fleet` may go meanwhile; the lock holds all the same.
    std::fs::remove_dir_all(world.dir().join(".fleet")).unwrap();
    world.fleet(&["down"]).await.exits(5).says("`fleet up`");
    // Only machines are asked, since the engines stand still.
    for words in [["status"].as_slice(), &["ls", "--names"], &["url", "host1"]] {
        world.fleet(words).await.exits(0);
    }
    running.kill();
    assert!(running.end().await.killed());
    world.sim.go_on();
    // Whose holder was killed is nobody's.
    world.fleet(&["up"]).await.exits(0);
    world.fleet(&["up"]).await.exits(0).says("Nothing to do");
    assert_eq!(made(&world, &["host1", "worker-1", "worker-2"]), [(1, 1); 3]);
}

#[tokio::test]
async fn readers_do_not_wait_for_the_lock() {
    let world = World::three().await;
    world.fleet(&["up"]).await.exits(0);
    let id = world.machines()[0].id.fleet().to_owned();
    let kept = world.data().join("fleets").join(id).join("lock");
    let held = [world.dir().join(".fleet/lock"), kept].map(|path| {
        let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
        file.try_lock().unwrap();
        file
    });
    for words in [["ls"].as_slice(), &["plan"], &["status"], &["env", "host1"], &["inspect"]] {
        world.fleet(words).await.exits(0);
    }
    world.fleet(&["up"]).await.exits(5);
    drop(held);
    world.fleet(&["up"]).await.exits(0);
}
