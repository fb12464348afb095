//! A driver that fails before, in the middle of, and instead of its verbs.

use std::time::Duration;

use fleet_driver::fake::{ANY, Verb};
use fleet_driver::{ErrorKind, Power};

use super::{compare, scenes};
use crate::support::world::World;

const EVER: usize = usize::MAX;

#[tokio::test]
async fn one_machine_fails_and_the_others_go_on() {
    for verb in [Verb::Create, Verb::Start, Verb::Unseed] {
        for kind in [ErrorKind::Driver, ErrorKind::Host] {
            let world = World::three().await;
            world.fake.fail("worker-1", verb, kind, EVER);
            let up = world.fleet(&["up"]).await.exits(1);
            let up = up.says("worker-1").says("told to fail").says("tell it otherwise");
            up.says("fleet up");
            for name in ["host1", "worker-2"] {
                let there = world.machines().into_iter().find(|m| m.id.machine() == name).unwrap();
                assert_eq!(there.power, Power::Running);
                assert!(!there.seeded, "{name} went on to its end");
            }
            world.fake.mend("worker-1", verb);
            world.fleet(&["up"]).await.exits(0);
            scenes::UP.ends(&world).await;
        }
    }
}

#[tokio::test]
async fn half_a_machine_is_made_whole_or_removed() {
    let world = World::three().await;
    world.fake.break_off("worker-1", Verb::Create, ErrorKind::Driver, 1);
    world.fleet(&["up"]).await.exits(1).says("worker-1").says("broke off Create");
    world.fleet(&["up"]).await.exits(0);
    scenes::UP.ends(&world).await;
    world.fake.break_off("worker-1", Verb::Destroy, ErrorKind::Host, 1);
    world.fleet(&["down"]).await.exits(1).says("worker-1").says("broke off Destroy");
    assert_eq!(world.machines().len(), 1);
    world.fleet(&["down"]).await.exits(0);
    compare::gone(&world);
}

#[tokio::test]
async fn a_busy_driver_is_asked_again() {
    let world = World::three().await;
    for verb in [Verb::Create, Verb::Start, Verb::Unseed] {
        world.fake.fail("worker-1", verb, ErrorKind::Busy, 2);
    }
    world.fleet(&["up"]).await.exits(0);
    scenes::UP.ends(&world).await;
    world.fake.fail("worker-2", Verb::Destroy, ErrorKind::Busy, 2);
    world.fleet(&["down"]).await.exits(0);
    compare::gone(&world);
}

#[tokio::test]
async fn fail_fast_lets_nobody_begin_anything_more() {
    let world = World::three().await;
    world.fake.fail("worker-1", Verb::Create, ErrorKind::Driver, 1);
    for name in ["host1", "worker-2"] {
        world.fake.delay(name, Verb::Create, Duration::from_millis(300));
    }
    let up = world.fleet(&["up", "--fail-fast"]).await.exits(1);
    up.says("worker-1").says("`worker-1` failed, and you asked to stop then");
    assert!(world.machines().iter().all(|m| m.power == Power::Stopped), "nothing was started");
    world.fleet(&["up"]).await.exits(0);
    scenes::UP.ends(&world).await;
}

#[tokio::test]
async fn a_verb_that_hangs_is_left_by_ctrl_c() {
    for verb in [Verb::Create, Verb::Start, Verb::Unseed] {
        let world = World::three().await;
        world.fake.hang("worker-1", verb);
        let host = world.host();
        let command = world.fleet_on(&host, &["up"]);
        let interrupt = async {
            world.fake.called("worker-1", verb).await;
            host.cancel().cancel();
        };
        let (ended, ()) = tokio::join!(command, interrupt);
        ended.exits(130).says("you interrupted");
        world.fake.mend("worker-1", verb);
        world.fleet(&["up"]).await.exits(0);
        scenes::UP.ends(&world).await;
    }
}

#[tokio::test]
async fn a_driver_that_cannot_be_asked_changes_nothing() {
    let world = World::three().await;
    world.fleet(&["up"]).await.exits(0);
    for verb in [Verb::List, Verb::Inspect] {
        world.fake.fail(ANY, verb, ErrorKind::Host, EVER);
        for command in [["up"], ["down"]] {
            let ended = world.fleet(&command).await;
            assert_ne!(ended.code, 0);
            ended.says("told to fail");
        }
        world.fake.mend(ANY, verb);
        scenes::UP.ends(&world).await;
    }
}
