//! Snapshots: taken, listed, gone back to and forgotten.

use std::sync::Arc;

use super::bench::{Bench, fails, fine, holds, violated};
use super::lines;
use crate::{Driver, ErrorKind, MachineId, Power, Result, Snapshot, Snapshots, Stop};

fn takes_none(bench: &Bench) -> bool {
    bench.skips("it takes no snapshots", !bench.can().snapshots)
}

fn of(driver: &Arc<dyn Driver>) -> &dyn Snapshots {
    driver
        .snapshotting()
        .unwrap_or_else(|| violated(lines::verbs::SNAPSHOTTING, "the driver has no `snapshot`"))
}

async fn take(bench: &Bench, id: &MachineId, name: &str) -> Result<()> {
    let (driver, cx) = (bench.driver(), bench.cx());
    bench.ends("snapshot", of(&driver).snapshot(id, name, &cx)).await
}

async fn taken(bench: &Bench, id: &MachineId, name: &str) {
    fine(lines::verbs::SNAPSHOT, "snapshot", take(bench, id, name).await);
}

async fn revert(bench: &Bench, id: &MachineId, name: &str) -> Result<()> {
    let (driver, cx) = (bench.driver(), bench.cx());
    bench.ends("revert", of(&driver).revert(id, name, &cx)).await
}

async fn forget(bench: &Bench, id: &MachineId, name: &str) -> Result<()> {
    let (driver, cx) = (bench.driver(), bench.cx());
    bench.ends("forget", of(&driver).forget(id, name, &cx)).await
}

async fn listed(bench: &Bench, id: &MachineId) -> Vec<Snapshot> {
    let (driver, cx) = (bench.driver(), bench.cx());
    let all = bench.ends("snapshots", of(&driver).snapshots(id, &cx)).await;
    fine(lines::verbs::SNAPSHOTS, "snapshots", all)
}

async fn names_are(bench: &Bench, line: &str, id: &MachineId, names: &[&str]) {
    let all = listed(bench, id).await;
    let same = all.iter().map(|snapshot| snapshot.name.as_str()).eq(names.iter().copied());
    holds(line, same, format!("{names:?} is due, {all:?} is listed"));
}

/// Snapshots of a stopped and of a running machine are listed, the oldest first.
pub async fn snapshots_are_listed_in_order(bench: Arc<Bench>) {
    if takes_none(&bench) {
        return;
    }
    let id = bench.stopped("host1", 1).await;
    names_are(&bench, lines::verbs::SNAPSHOTS, &id, &[]).await;
    taken(&bench, &id, "zero").await;
    bench.is(lines::verbs::SNAPSHOT, &id, Power::Stopped).await;
    fine(lines::verbs::START, "start", bench.start(&id).await);
    taken(&bench, &id, "middle").await;
    bench.is(lines::verbs::SNAPSHOT, &id, Power::Running).await;
    taken(&bench, &id, "a-last").await;
    names_are(&bench, lines::verbs::SNAPSHOTS, &id, &["zero", "middle", "a-last"]).await;
    let all = listed(&bench, &id).await;
    let ran: Vec<bool> = all.iter().map(|snapshot| snapshot.running).collect();
    let right = ran == [false, true, true];
    holds(lines::verbs::SNAPSHOTS, right, format!("whether the machine ran: {all:?}"));
    let growing = all.windows(2).all(|pair| pair[0].created <= pair[1].created);
    holds(lines::verbs::SNAPSHOTS, growing, format!("their times do not grow: {all:?}"));
}

/// What does not exist has no snapshot, and no name is given twice.
pub async fn a_snapshot_is_refused(bench: Arc<Bench>) {
    if takes_none(&bench) {
        return;
    }
    let absent = take(&bench, &bench.id("nobody"), "one").await;
    fails(lines::SNAPSHOT_REFUSED, "snapshot of the absent", ErrorKind::NotFound, absent);
    let id = bench.stopped("host1", 1).await;
    taken(&bench, &id, "one").await;
    let before = listed(&bench, &id).await;
    let again = take(&bench, &id, "one").await;
    fails(lines::SNAPSHOT_REFUSED, "the same name again", ErrorKind::Conflict, again);
    let after = listed(&bench, &id).await;
    holds(lines::SNAPSHOT_REFUSED, before == after, format!("{before:?} became {after:?}"));
}

/// A machine goes back to what it was, and runs exactly if it ran then.
pub async fn revert_brings_back_the_power(bench: Arc<Bench>) {
    if takes_none(&bench) {
        return;
    }
    let id = bench.stopped("host1", 1).await;
    taken(&bench, &id, "off").await;
    fine(lines::verbs::START, "start", bench.start(&id).await);
    taken(&bench, &id, "on").await;
    fine(lines::verbs::REVERT, "revert", revert(&bench, &id, "off").await);
    bench.is(lines::verbs::REVERT, &id, Power::Stopped).await;
    fine(lines::verbs::REVERT, "revert", revert(&bench, &id, "on").await);
    bench.is(lines::verbs::REVERT, &id, Power::Running).await;
    fine(lines::verbs::STOP, "stop", bench.stop(&id, Stop::Hard).await);
    fine(lines::verbs::REVERT, "revert of a stopped one", revert(&bench, &id, "on").await);
    bench.is(lines::verbs::REVERT, &id, Power::Running).await;
    names_are(&bench, lines::verbs::REVERT, &id, &["off", "on"]).await;
    let unknown = revert(&bench, &id, "never").await;
    fails(lines::REVERT_UNKNOWN, "revert to the unknown", ErrorKind::NotFound, unknown);
    bench.is(lines::REVERT_UNKNOWN, &id, Power::Running).await;
}

/// A snapshot is forgotten, twice; the machine stays what it is.
pub async fn forget_twice(bench: Arc<Bench>) {
    if takes_none(&bench) {
        return;
    }
    let id = bench.running("host1", 1).await;
    taken(&bench, &id, "one").await;
    taken(&bench, &id, "two").await;
    fine(lines::verbs::FORGET, "forget", forget(&bench, &id, "one").await);
    names_are(&bench, lines::verbs::FORGET, &id, &["two"]).await;
    bench.is(lines::verbs::FORGET, &id, Power::Running).await;
    fine(lines::FORGET_TWICE, "the second forget", forget(&bench, &id, "one").await);
    names_are(&bench, lines::FORGET_TWICE, &id, &["two"]).await;
}

/// Nothing is left of the snapshots of a machine that is gone, nor has the next one of its
/// name any.
pub async fn destroy_removes_snapshots(bench: Arc<Bench>) {
    if takes_none(&bench) {
        return;
    }
    let id = bench.running("host1", 1).await;
    taken(&bench, &id, "one").await;
    fine(lines::verbs::DESTROY, "destroy", bench.destroy(&id).await);
    bench.is_gone(&id).await;
    let id = bench.stopped("host1", 1).await;
    names_are(&bench, lines::DESTROY_SNAPSHOTS, &id, &[]).await;
}
