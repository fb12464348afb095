//! Folders that are lost, moved and copied, and machines whose fleet is gone.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::made;
use crate::support::sim::What;
use crate::support::world::World;

const ALL: [&str; 3] = ["host1", "worker-1", "worker-2"];

async fn world() -> World {
    let world = World::three().await;
    world.fleet(&["up"]).await.exits(0);
    world
}

fn kept(world: &World) -> PathBuf {
    world.data().join("fleets")
}

fn lose(path: impl AsRef<Path>) {
    std::fs::remove_dir_all(path).unwrap();
}

/// Nothing was started, made or set anew.
fn untouched(world: &World) {
    assert_eq!(made(world, &ALL), [(1, 1); 3]);
    assert_eq!(world.sim.most_engines_down(), 0);
    assert_eq!(world.sim.swarms(), 1);
}

async fn well(world: &World) {
    world.fleet(&["up"]).await.exits(0);
    world.fleet(&["up"]).await.exits(0).says("Nothing to do");
    world.fleet(&["ssh", "host1", "true"]).await.exits(0);
    untouched(world);
}

#[tokio::test]
async fn without_its_folder_everything_can_be_read_and_goes_on() {
    let world = world().await;
    let before = std::fs::read(world.dir().join(".fleet/certs/ca.pem")).unwrap();
    lose(world.dir().join(".fleet"));
    let listed = world.fleet(&["ls"]).await.exits(0).stdout;
    assert_eq!(listed.matches("manager (leader)").count(), 1, "{listed}");
    world.fleet(&["plan"]).await.exits(0);
    world.fleet(&["status"]).await.exits(0);
    world.fleet(&["env", "host1"]).await.exits(0);
    world.child(&["ssh", "host1", "true"]).await.exits(0);
    world.fleet(&["up"]).await.exits(0).says("are back");
    assert_eq!(std::fs::read(world.dir().join(".fleet/certs/ca.pem")).unwrap(), before);
    well(&world).await;
}

#[tokio::test]
async fn the_folder_goes_while_it_is_needed() {
    let world = World::three().await;
    world.sim.hold(12);
    let running = world.spawn(&["up"], &[]);
    world.sim.held().await;
    lose(world.dir().join(".fleet"));
    world.sim.go_on();
    // It may fail; what it leaves can be gone on with.
    running.end().await;
    world.fleet(&["up"]).await.exits(0);
    well(&world).await;
}

#[tokio::test]
async fn adopting_touches_no_machine() {
    let world = world().await;
    lose(world.dir().join(".fleet"));
    let adopted = world.fleet(&["adopt", "--json"]).await.exits(0).stdout;
    let adopted: Value = serde_json::from_str(&adopted).unwrap();
    assert_eq!(adopted["adopted"].as_array().unwrap().len(), 3);
    assert_eq!(adopted["keys"], true);
    world.fleet(&["adopt"]).await.exits(0).says("Nothing to adopt");
    assert!(world.dir().join(".fleet/ssh/config").exists());
    world.fleet(&["up"]).await.exits(0).says("Nothing to do");
    untouched(&world);
}

#[tokio::test]
async fn parts_of_it_are_lost() {
    let world = world().await;
    std::fs::remove_file(world.dir().join(".fleet/state.toml")).unwrap();
    well(&world).await;
    lose(world.dir().join(".fleet/certs"));
    world.fleet(&["ls"]).await.exits(0);
    well(&world).await;
    lose(world.dir().join(".fleet/ssh"));
    well(&world).await;
    lose(kept(&world));
    well(&world).await;
    // What was kept is there again.
    lose(world.dir().join(".fleet"));
    well(&world).await;
}

#[tokio::test]
async fn the_keys_are_lost_everywhere() {
    let world = world().await;
    lose(world.dir().join(".fleet"));
    lose(kept(&world));
    let refused = world.fleet(&["up"]).await;
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("--replace"), "{}", refused.stderr);
    assert_eq!(made(&world, &ALL), [(1, 1); 3]);
    let all = ["--replace", "host1", "--replace", "worker-1", "--replace", "worker-2"];
    let words: Vec<&str> = ["up", "--force"].into_iter().chain(all).collect();
    world.fleet(&words).await.exits(0);
    world.fleet(&["up"]).await.exits(0).says("Nothing to do");
    assert_eq!(world.sim.times("host1", &What::Created), 2);
}

#[tokio::test]
async fn a_moved_folder_goes_on_and_a_copy_does_not() {
    let world = world().await;
    let copy = world.dir().parent().unwrap().join("copy");
    copied(&world.dir(), &copy);
    let host = world.host_in(&copy);
    let refused = world.fleet_on(&host, &["up"]).await.exits(5);
    assert!(refused.stderr.contains("is a copy of another fleet's"), "{}", refused.stderr);
    lose(&copy);

    let moved = world.dir().parent().unwrap().join("moved");
    std::fs::rename(world.dir(), &moved).unwrap();
    // A look is enough for the new place to be known.
    for words in [["ls"].as_slice(), &["gc", "--dry-run"], &["up"], &["up"], &["env", "host1"]] {
        let ended = world.fleet_on(&world.host_in(&moved), words).await.exits(0);
        assert!(words[0] != "gc" || ended.stdout.is_empty(), "{}", ended.stdout);
    }
    untouched(&world);
    let nothing = world.fleet_on(&world.host_in(&moved), &["gc", "--dry-run"]).await.exits(0);
    assert_eq!(nothing.stdout, "");
    // Its keys are found again in the new place too.
    lose(moved.join(".fleet"));
    world.fleet_on(&world.host_in(&moved), &["up"]).await.exits(0);
    untouched(&world);
    world.fleet_on(&world.host_in(&moved), &["down"]).await.exits(0);
    assert!(world.machines().is_empty());
    std::fs::rename(&moved, world.dir()).unwrap();
}

#[tokio::test]
async fn a_new_folder_takes_the_place_of_one_that_was_deleted() {
    let world = world().await;
    let file = std::fs::read(world.dir().join("machines.toml")).unwrap();
    let id = world.machines()[0].id.fleet().to_owned();
    let new = world.dir().parent().unwrap().join("new");
    std::fs::create_dir(&new).unwrap();
    std::fs::write(new.join("machines.toml"), &file).unwrap();
    std::fs::copy(world.dir().join("base.qcow2"), new.join("base.qcow2")).unwrap();
    let at = || world.host_in(&new);
    world.fleet_on(&at(), &["adopt", &id]).await.exits(5).says("is still at home");
    lose(world.dir());
    world.fleet_on(&at(), &["adopt"]).await.exits(5).says(&format!("fleet adopt {id}"));
    world.fleet_on(&at(), &["adopt", "nobody-000000"]).await.exits(5);
    world.fleet_on(&at(), &["adopt", &id]).await.exits(0).says("Taken back: host1");
    world.fleet_on(&at(), &["up"]).await.exits(0);
    world.fleet_on(&at(), &["up"]).await.exits(0).says("Nothing to do");
    untouched(&world);
    let nothing = world.fleet_on(&at(), &["gc", "--dry-run"]).await.exits(0);
    assert_eq!(nothing.stdout, "");
    world.fleet_on(&at(), &["down"]).await.exits(0);
    assert!(world.machines().is_empty());
    assert_eq!(std::fs::read_dir(kept(&world)).unwrap().count(), 0, "something is kept for ever");
}

#[tokio::test]
async fn fleets_without_a_folder_are_collected() {
    let world = world().await;
    let id = world.machines()[0].id.fleet().to_owned();
    let living = world.fleet(&["gc"]).await.exits(0);
    assert!(living.stderr.contains("Nothing to remove"), "{}", living.stderr);
    let none = world.fleet(&["gc", "--json", "--yes"]).await.exits(0).stdout;
    let none: Value = serde_json::from_str(&none).unwrap();
    assert_eq!(none["fleets"], serde_json::json!([]));
    world.fleet(&["gc", &id, "--yes"]).await.exits(5).says("fleet down");
    assert_eq!(world.machines().len(), 3);

    let home = world.dir().display().to_string();
    let elsewhere = world.dir().parent().unwrap().to_owned();
    let gc = async |words: &[&str]| world.fleet_on(&world.host_in(&elsewhere), words).await;
    lose(world.dir());
    let listed = gc(&["gc", "--dry-run"]).await.exits(0).stdout;
    for text in [id.as_str(), "host1, worker-1, worker-2", &home] {
        assert!(listed.contains(text), "{listed}");
    }
    let listed = gc(&["gc", "--dry-run", "--json"]).await.exits(0).stdout;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["fleets"][0]["machines"].as_array().unwrap().len(), 3);
    gc(&["gc"]).await.exits(2).says("--yes");
    gc(&["gc", "--json"]).await.exits(2);
    assert_eq!(world.machines().len(), 3);
    let removed = gc(&["gc", "--yes", "--json"]).await.exits(0).stdout;
    let removed: Value = serde_json::from_str(&removed).unwrap();
    assert_eq!(removed["removed"], serde_json::json!([id]));
    assert!(world.machines().is_empty());
    assert_eq!(std::fs::read_dir(kept(&world)).unwrap().count(), 0);
    gc(&["gc", "--yes"]).await.exits(0).says("Nothing to remove");
}

fn copied(from: &Path, to: &Path) {
    let done = std::process::Command::new("cp").arg("-a").args([from, to]).status();
    assert!(done.unwrap().success());
}
