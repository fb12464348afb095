//! Changes that a swarm lives through: restarts, new settings, other managers.

use std::time::Duration;

use super::{What, World};

#[tokio::test]
async fn the_first_manager_becomes_a_worker() {
    let world = World::three().await;
    world.edit(|text| text.replace("\"worker\"", "\"manager\""));
    world.fleet(&["up"]).await.exits(0);
    world.edit(|text| text.replacen("role = \"manager\"", "role = \"worker\"", 1));
    world.fleet(&["up"]).await.exits(0);
    assert_eq!(world.sim.times("host1", &What::Demoted), 1);
}

#[tokio::test]
async fn a_restart_of_all_keeps_the_quorum() {
    let world = World::managers().await;
    world.fleet(&["up"]).await.exits(0);
    world.fleet(&["restart"]).await.exits(0);
    assert!(world.sim.lost_quorum().is_empty());
    assert_eq!(world.sim.most_engines_down(), 1);
}

#[tokio::test]
async fn new_settings_keep_the_quorum_and_lose_no_task() {
    let world = World::managers().await;
    world.fleet(&["up"]).await.exits(0);
    world.sim.service("web", 3, &[]);
    let all = ["host-1", "host-2", "host-3"];
    world.until("the tasks run", |w| w.sim.runs_on("web") == all).await;
    world.edit(|text| format!("{text}[engine]\nlabels = {{ site = \"x\" }}\n"));
    world.fleet(&["up"]).await.exits(0);
    assert!(world.sim.lost_quorum().is_empty());
    assert_eq!(world.sim.most_engines_down(), 1);
    assert!(!super::lost_tasks(&world), "{:?}", world.sim.journal());
}

#[tokio::test]
async fn workers_follow_when_the_only_manager_was_made_anew() {
    let world = World::three().await;
    world.fleet(&["up"]).await.exits(0);
    world.fake.vanish("host1");
    let up = tokio::time::timeout(Duration::from_secs(20), world.child(&["up"])).await;
    up.expect("it does not wait in vain").exits(0);
    assert_eq!(world.engine("host1").nodes(&super::cx()).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_lost_quorum_is_said_at_once() {
    let world = World::managers().await;
    world.fleet(&["up"]).await.exits(0);
    world.fake.vanish("host-1").vanish("host-2");
    let up = tokio::time::timeout(Duration::from_secs(20), world.child(&["up"])).await;
    let up = up.expect("it does not wait in vain");
    assert!(up.stderr.contains("quorum") || up.code == Some(0), "{}", up.stderr);
}
