//! The matrix: every row's command is killed at every point in turn.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::{FutureExt as _, StreamExt as _, stream};
use tokio::sync::Semaphore;

use super::scenes::{self, Scene};
use super::{next, say, seed};
use crate::support::world::World;

/// How many worlds there are at once: each is a few processes and threads, and waits much.
const PLACES: usize = 4;
static FREE: Semaphore = Semaphore::const_new(PLACES);
/// How many points were tried in this process.
static TOTAL: AtomicUsize = AtomicUsize::new(0);

/// What happens at a point.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Kill,
    Fail,
}

/// The points that a command passes, in order.
pub async fn points(world: &World, args: &[&str]) -> Vec<String> {
    let log = world.root().join("points");
    let env = [("FLEET_FAULT_LOG", log.to_str().unwrap())];
    world.spawn(args, &env).end().await.exits(0);
    std::fs::read_to_string(&log).unwrap().lines().map(str::to_owned).collect()
}

/// Kills the command of a scene at its points, and runs it again.
async fn row(scene: &Scene, what: What) {
    let world = scene.world().await;
    let all = points(&world, scene.args).await;
    scene.ends(&world).await;
    drop(world);
    // Whatever fails is told alike: a part of the points is enough.
    let most = if what == What::Fail { Some(30) } else { scene.most };
    let tried = chosen(&all, most);
    let reached = &AtomicUsize::new(0);
    let tries = stream::iter(&tried).map(async |point| {
        let _place = FREE.acquire().await.unwrap();
        let run = AssertUnwindSafe(one(scene, what, point)).catch_unwind().await;
        match run {
            Ok(true) => _ = reached.fetch_add(1, Ordering::SeqCst),
            Ok(false) => {}
            Err(_) => return Some(point),
        }
        None
    });
    let failed: Vec<&String> =
        tries.buffer_unordered(PLACES).filter_map(async |f| f).collect().await;
    let total = TOTAL.fetch_add(tried.len(), Ordering::SeqCst) + tried.len();
    let verb = if what == What::Kill { "killed" } else { "failed" };
    say(&format!(
        "fault matrix: {}: {} points, {verb} at {} of them; {total} in all so far",
        scene.name,
        all.len(),
        reached.load(Ordering::SeqCst),
    ));
    assert!(failed.is_empty(), "{}: not lived through: {failed:#?}", scene.name);
}

/// All points, or so many of them, evenly spread from a place that the seed decides.
fn chosen(all: &[String], most: Option<usize>) -> Vec<String> {
    let step = most.map_or(1, |most| all.len().div_ceil(most.max(1)).max(1));
    let offset = usize::try_from(next(&mut seed())).unwrap_or(0) % step;
    all.iter().skip(offset).step_by(step).cloned().collect()
}

/// One cell: tells whether the command got to the point at all.
async fn one(scene: &Scene, what: What, point: &str) -> bool {
    let world = scene.world().await;
    let order = match what {
        What::Kill => format!("kill@{point}"),
        What::Fail => format!("fail@{point}"),
    };
    let done = world.spawn(scene.args, &[("FLEET_FAULT", &order)]).end().await;
    let reached = match what {
        What::Kill => done.killed(),
        What::Fail => done.code != Some(0),
    };
    if reached && what == What::Fail {
        let told = &done.stderr;
        assert!(told.contains("it was made to fail at"), "{point} is not told:\n{told}");
        assert!([1, 4, 5, 6].contains(&done.code.unwrap_or(0)), "{done:?}");
    }
    let again = world.child(scene.args).await;
    assert_eq!(again.code, Some(0), "after {order}:\n{}\nagain:\n{}", done.stderr, again.stderr);
    scene.ends(&world).await;
    reached
}

#[tokio::test]
async fn up_killed() {
    row(&scenes::UP, What::Kill).await;
}

#[tokio::test]
async fn up_failed() {
    row(&scenes::UP, What::Fail).await;
}

#[tokio::test]
async fn up_of_what_is_stopped() {
    row(&scenes::STOPPED, What::Kill).await;
}

#[tokio::test]
async fn up_after_the_folder_was_lost() {
    row(&scenes::LOST, What::Kill).await;
}

#[tokio::test]
async fn down_of_all() {
    row(&scenes::DOWN, What::Kill).await;
}

#[tokio::test]
async fn down_of_one() {
    row(&scenes::DOWN_ONE, What::Kill).await;
}

#[tokio::test]
async fn prune_of_a_worker() {
    row(&scenes::PRUNE_WORKER, What::Kill).await;
}

#[tokio::test]
async fn prune_of_a_manager() {
    row(&scenes::PRUNE_MANAGER, What::Kill).await;
}

#[tokio::test]
async fn replace() {
    row(&scenes::REPLACE, What::Kill).await;
}

#[tokio::test]
async fn restart() {
    row(&scenes::RESTART, What::Kill).await;
}

#[tokio::test]
async fn settings() {
    row(&scenes::SETTINGS, What::Kill).await;
}

#[tokio::test]
async fn roles() {
    row(&scenes::ROLES, What::Kill).await;
}

#[tokio::test]
async fn authority() {
    row(&scenes::AUTHORITY, What::Kill).await;
}
