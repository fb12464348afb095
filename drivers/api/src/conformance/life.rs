//! One machine from `create` to `destroy`, each verb once and twice.

use std::sync::Arc;
use std::time::Duration;

use super::bench::{Bench, fails, fine, holds};
use super::lines;
use crate::{ErrorKind, Power, Stop};

/// An unknown machine is none.
pub async fn unknown_is_none(bench: Arc<Bench>) {
    let seen = bench.inspect(&bench.id("nobody")).await;
    holds(lines::INSPECT_UNKNOWN, seen.is_none(), format!("inspect saw {seen:?}"));
    let listed = bench.list(Some(bench.id("nobody").fleet())).await;
    holds(lines::verbs::LIST, listed.is_empty(), format!("an empty host lists {listed:?}"));
}

/// Destroying the unknown succeeds.
pub async fn destroying_the_unknown_succeeds(bench: Arc<Bench>) {
    let id = bench.id("nobody");
    fine(lines::IDEMPOTENT, "destroy of an unknown machine", bench.destroy(&id).await);
    bench.is_gone(&id).await;
}

/// A created machine is stopped, listed, and as the spec says.
pub async fn created_is_stopped_and_listed(bench: Arc<Bench>) {
    let id = bench.stopped("host1", 1).await;
    bench.is(lines::verbs::CREATE, &id, Power::Stopped).await;
    let listed = bench.list(Some(id.fleet())).await;
    holds(lines::verbs::LIST, listed == [id.clone()], format!("listed is {listed:?}"));
    let spec = bench.spec(1);
    let about = bench.driver().about();
    let seen = bench.inspect(&id).await.expect("it was seen a moment ago");
    let asked = (&spec.image.sha256, spec.cpus, spec.memory_mib, spec.options_digest());
    let given = (&seen.image_sha256, seen.cpus, seen.memory_mib, seen.options_digest.clone());
    holds(lines::verbs::CREATE, asked == given, format!("{asked:?} is asked, {given:?} is there"));
    if about.capabilities.static_addresses {
        let as_asked = seen.lab == Some(spec.lab.address);
        holds(lines::verbs::CREATE, as_asked, format!("the lab address is {:?}", seen.lab));
    }
    if about.capabilities.seed {
        holds(lines::verbs::CREATE, seen.seeded, "the machine has no seed");
    }
    if about.capabilities.console {
        let (driver, cx) = (bench.driver(), bench.cx());
        let console = bench.ends("console", driver.console(&id, &cx)).await;
        let console = fine(lines::verbs::CREATE, "console", console);
        holds(lines::verbs::CREATE, console.is_some(), "the machine has no console");
    }
}

/// The same spec twice changes nothing.
pub async fn create_twice(bench: Arc<Bench>) {
    let id = bench.stopped("host1", 1).await;
    let before = bench.inspect(&id).await;
    let again = bench.create(&id, &bench.spec(1)).await;
    fine(lines::CREATE_TWICE, "the second create", again);
    let after = bench.inspect(&id).await;
    holds(lines::CREATE_TWICE, before == after, format!("{before:?} became {after:?}"));
    let listed = bench.list(Some(id.fleet())).await;
    holds(lines::CREATE_TWICE, listed.len() == 1, format!("listed is {listed:?}"));
}

/// `create` leaves a running machine running.
pub async fn create_of_a_running_machine(bench: Arc<Bench>) {
    let id = bench.running("host1", 1).await;
    let again = bench.create(&id, &bench.spec(1)).await;
    fine(lines::CREATE_TWICE, "create of a running machine", again);
    bench.is(lines::CREATE_TWICE, &id, Power::Running).await;
}

/// Another image for the same id is a conflict.
pub async fn another_image_conflicts(bench: Arc<Bench>) {
    let id = bench.stopped("host1", 1).await;
    let before = bench.inspect(&id).await;
    let mut spec = bench.spec(1);
    spec.image = bench.fixture.other_image();
    let made = bench.create(&id, &spec).await;
    let what = "create with another image";
    fails(lines::CREATE_CONFLICT, what, ErrorKind::Conflict, made);
    let after = bench.inspect(&id).await;
    holds(lines::CREATE_CONFLICT, before == after, format!("{before:?} became {after:?}"));
}

/// Another address for the same id is a conflict.
pub async fn another_address_conflicts(bench: Arc<Bench>) {
    if bench.skips("it gives no static addresses", !bench.can().static_addresses) {
        return;
    }
    let id = bench.stopped("host1", 1).await;
    let before = bench.inspect(&id).await;
    let mut spec = bench.spec(1);
    spec.lab = bench.spec(2).lab;
    let made = bench.create(&id, &spec).await;
    let what = "create with another address";
    fails(lines::CREATE_CONFLICT, what, ErrorKind::Conflict, made);
    let after = bench.inspect(&id).await;
    holds(lines::CREATE_CONFLICT, before == after, format!("{before:?} became {after:?}"));
}

/// Starting what runs succeeds.
pub async fn start_twice(bench: Arc<Bench>) {
    let id = bench.running("host1", 1).await;
    let before = bench.inspect(&id).await;
    fine(lines::IDEMPOTENT, "the second start", bench.start(&id).await);
    let after = bench.inspect(&id).await;
    holds(lines::IDEMPOTENT, before == after, format!("{before:?} became {after:?}"));
}

/// Starting or stopping what is absent is `NotFound`.
pub async fn absent_is_not_found(bench: Arc<Bench>) {
    let id = bench.id("nobody");
    let started = bench.start(&id).await;
    fails(lines::ABSENT, "start of an absent machine", ErrorKind::NotFound, started);
    for how in [Stop::Soft, Stop::Hard] {
        let stopped = bench.stop(&id, how).await;
        fails(lines::ABSENT, "stop of an absent machine", ErrorKind::NotFound, stopped);
    }
    bench.is_gone(&id).await;
}

/// Stopping hard, twice, and starting again.
pub async fn stop_twice_hard(bench: Arc<Bench>) {
    let id = bench.running("host1", 1).await;
    fine(lines::verbs::STOP, "stop", bench.stop(&id, Stop::Hard).await);
    bench.is(lines::verbs::STOP, &id, Power::Stopped).await;
    fine(lines::IDEMPOTENT, "the second stop", bench.stop(&id, Stop::Hard).await);
    fine(lines::IDEMPOTENT, "a soft stop of it", bench.stop(&id, Stop::Soft).await);
    bench.is(lines::IDEMPOTENT, &id, Power::Stopped).await;
    fine(lines::verbs::START, "start after stop", bench.start(&id).await);
    bench.is(lines::verbs::START, &id, Power::Running).await;
}

/// Asking a guest to shut down, twice.
pub async fn stop_twice_soft(bench: Arc<Bench>) {
    let id = bench.id("host1");
    let Some(spec) = bench.fixture.obedient(&id, bench.spec(1)) else {
        bench.skips("no guest shuts down when asked", true);
        return;
    };
    fine(lines::verbs::CREATE, "create", bench.create(&id, &spec).await);
    fine(lines::verbs::START, "start", bench.start(&id).await);
    let cx = bench.cx();
    bench.ends("awake", bench.fixture.awake(&id, &cx)).await.expect("the guest wakes up");
    fine(lines::SOFT_STOP, "a soft stop", bench.stop(&id, Stop::Soft).await);
    bench.is(lines::SOFT_STOP, &id, Power::Stopped).await;
    fine(lines::IDEMPOTENT, "the second soft stop", bench.stop(&id, Stop::Soft).await);
    bench.is(lines::IDEMPOTENT, &id, Power::Stopped).await;
}

/// A guest that does not shut down makes a soft stop `Busy`, and runs on.
pub async fn soft_stop_of_a_deaf_guest(bench: Arc<Bench>) {
    let id = bench.id("host1");
    let Some(spec) = bench.fixture.deaf(&id, bench.spec(1)) else {
        bench.skips("no guest ignores the wish to shut down", true);
        return;
    };
    fine(lines::verbs::CREATE, "create", bench.create(&id, &spec).await);
    fine(lines::verbs::START, "start", bench.start(&id).await);
    let cx = bench.cx().within(bench.fixture.patience());
    let driver = bench.driver();
    let stopped = bench.ends("stop", driver.stop(&id, Stop::Soft, &cx)).await;
    fails(lines::SOFT_STOP, "a soft stop of a deaf guest", ErrorKind::Busy, stopped);
    let early = cx.left() > Duration::from_millis(500);
    holds(lines::SOFT_STOP, !early, "it did not wait until the deadline");
    bench.is(lines::SOFT_STOP, &id, Power::Running).await;
    fine(lines::SOFT_STOP, "the hard stop after it", bench.stop(&id, Stop::Hard).await);
    bench.is(lines::SOFT_STOP, &id, Power::Stopped).await;
}

/// Destroying twice leaves nothing.
pub async fn destroy_twice(bench: Arc<Bench>) {
    let id = bench.stopped("host1", 1).await;
    fine(lines::verbs::DESTROY, "destroy", bench.destroy(&id).await);
    bench.is_gone(&id).await;
    fine(lines::IDEMPOTENT, "the second destroy", bench.destroy(&id).await);
    bench.is_gone(&id).await;
    bench.stopped("host1", 1).await;
    bench.is(lines::verbs::CREATE, &id, Power::Stopped).await;
}

/// Destroying a running machine stops it and leaves nothing.
pub async fn destroy_of_a_running_machine(bench: Arc<Bench>) {
    let id = bench.running("host1", 1).await;
    fine(lines::DESTROY_RUNNING, "destroy of a running machine", bench.destroy(&id).await);
    bench.is_gone(&id).await;
}

/// A name of 63 characters, the longest that a host name's label may have (RFC 1035,
/// section 2.3.4), goes through every verb.
pub async fn longest_legal_name(bench: Arc<Bench>) {
    let name = format!("a{}9", "-b".repeat(30)) + "x";
    assert_eq!(name.len(), 63);
    let id = bench.running(&name, 1).await;
    let listed = bench.list(Some(id.fleet())).await;
    holds(lines::verbs::LIST, listed == [id.clone()], format!("listed is {listed:?}"));
    fine(lines::verbs::STOP, "stop", bench.stop(&id, Stop::Hard).await);
    fine(lines::verbs::DESTROY, "destroy", bench.destroy(&id).await);
    bench.is_gone(&id).await;
}

/// A machine outlives the value that started it, and the next value finds it.
pub async fn keeps_running(bench: Arc<Bench>) {
    let id = bench.id("host1");
    let cx = bench.cx();
    let spec = bench.spec(1);
    let driver = bench.driver();
    fine(
        lines::verbs::CREATE,
        "create",
        bench.ends("create", driver.create(&id, &spec, &cx)).await,
    );
    fine(lines::verbs::START, "start", bench.ends("start", driver.start(&id, &cx)).await);
    let before = bench.ends("inspect", driver.inspect(&id, &cx)).await;
    drop((driver, cx));
    tokio::task::yield_now().await;
    bench.is(lines::KEEPS_RUNNING, &id, Power::Running).await;
    let after = bench.inspect(&id).await;
    let same = before.is_ok_and(|before| before == after);
    holds(lines::KEEPS_RUNNING, same, format!("a new value sees it otherwise: {after:?}"));
}
