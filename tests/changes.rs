//! A fleet that changes: its file, its machines, its folder, its keys and its age, as a
//! demanding person would try it.

mod certs;
mod edits;
mod healing;
mod life;
mod locks;
mod lost;
mod removal;
mod words;

use serde_json::Value;

use crate::support::sim::What;
use crate::support::world::World;

/// Brings an edit about: there is something to do, it is done, and then there is nothing.
async fn brought(world: &World, up: &[&str]) {
    let asked = |words: &[&'static str]| {
        let wishes = up.iter().copied();
        words.iter().copied().chain(wishes).collect::<Vec<_>>()
    };
    let planned = world.fleet(&asked(&["plan", "--exit-code"])).await.exits(2);
    assert!(!planned.stdout.is_empty());
    assert!(plan_of(world, up).await.0);
    world.fleet(&asked(&["up"])).await.exits(0);
    world.fleet(&asked(&["plan", "--exit-code"])).await.exits(0);
    assert!(!plan_of(world, up).await.0);
}

/// Whether there is anything to do, and the notes, as `plan --json` says it.
async fn plan_of(world: &World, up: &[&str]) -> (bool, String) {
    let words: Vec<&str> = ["plan", "--json"].iter().chain(up).copied().collect();
    let printed = world.fleet(&words).await.exits(0).stdout;
    let plan: Value = serde_json::from_str(&printed).unwrap();
    (plan["changes"].as_bool().unwrap(), plan["notes"].to_string())
}

/// Nothing is to be done, and this is said to the person.
async fn noted(world: &World, text: &str) {
    let done = world.fleet(&["up"]).await.exits(0);
    assert!(done.stderr.contains("Nothing to do"), "{}", done.stderr);
    assert!(done.stderr.contains(text), "no `{text}` in:\n{}", done.stderr);
    world.fleet(&["plan", "--exit-code"]).await.exits(0);
    let (changes, notes) = plan_of(world, &[]).await;
    assert!(!changes && notes.contains(text), "{notes}");
}

/// How often each machine was made and started.
fn made(world: &World, names: &[&str]) -> Vec<(usize, usize)> {
    let of = |name: &&str| {
        (world.sim.times(name, &What::Created), world.sim.times(name, &What::Started))
    };
    names.iter().map(of).collect()
}

fn lost_tasks(world: &World) -> bool {
    world.sim.journal().iter().any(|event| matches!(event.what, What::TasksLost(_)))
}

/// A service whose tasks run.
async fn serves(world: &World, name: &str, replicas: usize, constraints: &[&str]) {
    world.sim.service(name, replicas, constraints);
    runs(world, name).await;
}

/// Waits until all tasks of a service run.
async fn runs(world: &World, name: &str) {
    world
        .until("the tasks run", |w| {
            let places = w.sim.runs_on(name);
            !places.is_empty() && !places.contains(&"-".to_owned())
        })
        .await;
}
