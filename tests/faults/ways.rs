//! Faults on the way to a guest's SSH and to its engine.

use std::time::Duration;

use super::{compare, scenes};
use crate::support::proxy::{Fault, Proxy};
use crate::support::world::World;

const NAMES: [&str; 3] = ["host1", "worker-1", "worker-2"];

/// Leads fleet to guests through proxies, one for each of these faults.
fn ssh(world: &World, names: &[&str], faults: &[Fault]) -> Vec<Proxy> {
    let ways = names.iter().zip(faults).map(|(name, fault)| {
        let proxy = Proxy::start(world.sim.ssh(name), &[*fault]);
        world.through(name, Some(&proxy), None);
        proxy
    });
    ways.collect()
}

fn engine(world: &World, names: &[&str], faults: &[Fault]) -> Vec<Proxy> {
    let ways = names.iter().zip(faults).map(|(name, fault)| {
        let proxy = Proxy::start(world.sim.engine(name), &[*fault]);
        world.through(name, None, Some(&proxy));
        proxy
    });
    ways.collect()
}

#[tokio::test]
async fn ssh_that_breaks_anywhere_is_made_again() {
    let ms = Duration::from_millis;
    let mut again = 0;
    let given = [
        [Fault::Reset(10), Fault::Reset(600), Fault::Reset(1200)],
        [Fault::Reset(1700), Fault::Reset(2000), Fault::Reset(2200)],
        [Fault::Reset(2400), Fault::Reset(2700), Fault::Reset(3000)],
        [Fault::Refused(ms(200)), Fault::CloseAtOnce, Fault::Silence],
        [Fault::Reset(2500), Fault::Reset(2600), Fault::Reset(2800)],
        [Fault::Reset(2900), Fault::Reset(3100), Fault::Reset(3200)],
        [Fault::Slow(64, ms(2)), Fault::Reset(3400), Fault::Reset(4000)],
    ];
    // How many bytes a login takes is not fixed, so the middle of a script is looked for.
    let sought = (0..80).map(|n| 4900 + n * 37 % 640);
    let sought = sought.map(|n| [n, n + 12, n + 24].map(Fault::Reset));
    for (n, faults) in given.into_iter().chain(sought).enumerate() {
        if n >= given.len() && again > 0 {
            break;
        }
        let world = World::three().await;
        // Where the image has no engine, much is said by SSH.
        world.sim.image_engine(None);
        let ways = ssh(&world, &NAMES, &faults);
        let up = world.fleet(&["up"]).await.exits(0);
        again += up.stderr.matches("it is tried again over a new one").count();
        assert!(ways.iter().all(|way| way.left() == 0), "{faults:?}");
        scenes::UP.ends(&world).await;
    }
    assert!(again > 0, "no connection broke in the middle of a step");
}

#[tokio::test]
async fn engines_that_break_off_are_asked_again() {
    let ms = Duration::from_millis;
    for faults in [
        [Fault::Refused(ms(200)), Fault::CloseAtOnce, Fault::Reset(0)],
        [Fault::Reset(900), Fault::Reset(1500), Fault::Reset(2100)],
        [Fault::Slow(256, ms(2)), Fault::Reset(2600), Fault::Reset(3500)],
    ] {
        let world = World::three().await;
        let ways = engine(&world, &NAMES, &faults);
        world.fleet(&["up"]).await.exits(0);
        assert!(ways.iter().all(|way| way.left() == 0), "{faults:?}");
        scenes::UP.ends(&world).await;
    }
}

#[tokio::test]
async fn a_rolling_change_lives_through_what_breaks_in_its_middle() {
    let names = ["host-1", "host-2", "host-3"];
    for bytes in [800, 1600, 2300, 3000, 5000] {
        let world = World::managers().await;
        world.fleet(&["up"]).await.exits(0);
        world.edit(|text| format!("{text}[engine]\nlabels = {{ site = \"x\" }}\n"));
        let by_ssh = Proxy::start(world.sim.ssh("host-2"), &[Fault::Reset(bytes)]);
        // The first look gets through.
        let engines =
            Proxy::start(world.sim.engine("host-2"), &[Fault::Proper, Fault::Reset(bytes)]);
        world.through("host-2", Some(&by_ssh), Some(&engines));
        world.fleet(&["up"]).await.exits(0);
        compare::same(&world, &names);
        assert_eq!(world.sim.lost_quorum(), []);
        assert!(world.sim.most_engines_down() <= 1);
        world.through("host-2", None, None);
        world.fleet(&["up"]).await.exits(0).says("Nothing to do");
    }
}

#[tokio::test]
async fn what_is_no_ssh_is_said_at_once() {
    let world = World::three().await;
    let way = Proxy::start(world.sim.ssh("worker-1"), &[Fault::Garbage; 20]);
    world.through("worker-1", Some(&way), None);
    let up = world.fleet(&["up"]).await.exits(1);
    up.says("worker-1").says("does not speak SSH").says("ss -ltnp").says("fleet up");
    world.through("worker-1", None, None);
    world.fleet(&["up"]).await.exits(0);
    scenes::UP.ends(&world).await;
}

#[tokio::test]
async fn what_is_no_engine_is_said_at_once() {
    let world = World::three().await;
    world.fleet(&["up"]).await.exits(0);
    world.edit(|text| format!("{text}[engine]\nlabels = {{ site = \"x\" }}\n"));
    let way = Proxy::start(world.sim.engine("worker-1"), &[Fault::Garbage; 60]);
    world.through("worker-1", None, Some(&way));
    let up = world.fleet(&["up"]).await.exits(1);
    up.says("worker-1").says("hint").says("fleet up");
    world.through("worker-1", None, None);
    world.fleet(&["up"]).await.exits(0);
    compare::same(&world, &NAMES);
}
