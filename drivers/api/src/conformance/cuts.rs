//! Verbs that end too early: dropped half-way, or out of time; and what finishes them.

use std::sync::Arc;
use std::time::Duration;

use super::bench::{Bench, fine, holds};
use super::{Cut, lines};
use crate::{MachineId, Power, Result, Stop};

/// The cuts of a verb: once it ended before it was dropped, later cuts by polls say
/// nothing new.
struct Cuts {
    left: std::vec::IntoIter<Cut>,
    ended: bool,
}

impl Cuts {
    fn of(bench: &Bench) -> Self {
        Self { left: bench.fixture.cuts().into_iter(), ended: false }
    }

    /// Takes what became of the last cut.
    fn note(&mut self, what: &str, cut: Cut, result: Option<Result<()>>) {
        if let Some(result) = result {
            self.ended |= matches!(cut, Cut::Polls(_));
            fine(lines::DROPPED, what, result);
        }
    }
}

impl Iterator for Cuts {
    type Item = Cut;

    fn next(&mut self) -> Option<Cut> {
        let ended = self.ended;
        self.left.find(|cut| !(ended && matches!(cut, Cut::Polls(_))))
    }
}

/// Looks at what a dropped `create` left.
async fn half_made_is_seen(bench: &Bench, id: &MachineId, cut: Cut) {
    let seen = bench.power(id).await;
    let allowed = matches!(seen, None | Some(Power::Broken(_) | Power::Stopped));
    holds(lines::INSPECT_HALF_MADE, allowed, format!("after {cut:?} {id} is {seen:?}"));
    let folder = bench.cx().scratch(id);
    let on_disk = std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
    if seen.is_some() || on_disk {
        let listed = bench.list(Some(id.fleet())).await.contains(id);
        holds(lines::LIST_HALF_MADE, listed, format!("after {cut:?} {id} is not listed"));
    }
}

async fn drop_create(bench: &Bench, cuts: &mut Cuts, cut: Cut) -> MachineId {
    let id = bench.id("host1");
    let (driver, cx, spec) = (bench.driver(), bench.cx(), bench.spec(1));
    let result = bench.cut("create", cut, driver.create(&id, &spec, &cx)).await;
    cuts.note("create", cut, result);
    half_made_is_seen(bench, &id, cut).await;
    id
}

async fn drop_destroy(bench: &Bench, cuts: &mut Cuts, cut: Cut) -> MachineId {
    let id = bench.running("host1", 1).await;
    let (driver, cx) = (bench.driver(), bench.cx());
    let result = bench.cut("destroy", cut, driver.destroy(&id, &cx)).await;
    cuts.note("destroy", cut, result);
    id
}

async fn finish_create(bench: &Bench, line: &str, id: &MachineId, cut: Cut) {
    let what = format!("create after {cut:?}");
    fine(line, &what, bench.create(id, &bench.spec(1)).await);
    let seen = bench.inspect(id).await;
    let whole = seen.as_ref().is_some_and(|seen| {
        seen.power == Power::Stopped && seen.image_sha256 == bench.spec(1).image.sha256
    });
    holds(line, whole, format!("after {cut:?} and create it is {seen:?}"));
    let seeded = bench.driver().about().capabilities.seed;
    let complete = seen.is_some_and(|seen| seen.seeded == seeded);
    holds(line, complete, format!("after {cut:?} and create its seed is missing"));
    fine(line, "start", bench.start(id).await);
    bench.is(line, id, Power::Running).await;
}

async fn finish_destroy(bench: &Bench, id: &MachineId, cut: Cut) {
    let what = format!("destroy after {cut:?}");
    fine(lines::DROPPED, &what, bench.destroy(id).await);
    bench.is_gone(id).await;
}

/// A dropped `create` is finished by the next one.
pub async fn dropped_create(bench: Arc<Bench>) {
    let mut cuts = Cuts::of(&bench);
    while let Some(cut) = cuts.next() {
        let id = drop_create(&bench, &mut cuts, cut).await;
        finish_create(&bench, lines::CREATE_FINISHES, &id, cut).await;
        finish_destroy(&bench, &id, cut).await;
    }
}

/// What a dropped `create` left is removed by `destroy`.
pub async fn dropped_create_then_destroy(bench: Arc<Bench>) {
    let mut cuts = Cuts::of(&bench);
    while let Some(cut) = cuts.next() {
        let id = drop_create(&bench, &mut cuts, cut).await;
        finish_destroy(&bench, &id, cut).await;
    }
}

/// After a dropped `start`, `create` and `start` make it run, and `destroy` leaves
/// nothing.
pub async fn dropped_start(bench: Arc<Bench>) {
    let mut cuts = Cuts::of(&bench);
    while let Some(cut) = cuts.next() {
        let id = bench.stopped("host1", 1).await;
        let (driver, cx) = (bench.driver(), bench.cx());
        let result = bench.cut("start", cut, driver.start(&id, &cx)).await;
        cuts.note("start", cut, result);
        fine(lines::DROPPED, "create", bench.create(&id, &bench.spec(1)).await);
        fine(lines::DROPPED, "start", bench.start(&id).await);
        bench.is(lines::DROPPED, &id, Power::Running).await;
        finish_destroy(&bench, &id, cut).await;

        let id = bench.stopped("host1", 1).await;
        drop(bench.cut("start", cut, driver.start(&id, &cx)).await);
        finish_destroy(&bench, &id, cut).await;
    }
}

/// After a dropped `stop`, another one stops it, and `destroy` leaves nothing.
pub async fn dropped_stop(bench: Arc<Bench>) {
    let mut cuts = Cuts::of(&bench);
    while let Some(cut) = cuts.next() {
        let id = bench.running("host1", 1).await;
        let (driver, cx) = (bench.driver(), bench.cx());
        let result = bench.cut("stop", cut, driver.stop(&id, Stop::Hard, &cx)).await;
        cuts.note("stop", cut, result);
        fine(lines::DROPPED, "create", bench.create(&id, &bench.spec(1)).await);
        fine(lines::DROPPED, "stop", bench.stop(&id, Stop::Hard).await);
        bench.is(lines::DROPPED, &id, Power::Stopped).await;
        finish_destroy(&bench, &id, cut).await;
    }
}

/// After a dropped `unseed`, another one takes the seed away.
pub async fn dropped_unseed(bench: Arc<Bench>) {
    if bench.skips("it passes no seed", !bench.can().seed) {
        return;
    }
    let mut cuts = Cuts::of(&bench);
    while let Some(cut) = cuts.next() {
        let id = bench.running("host1", 1).await;
        let (driver, cx) = (bench.driver(), bench.cx());
        let result = bench.cut("unseed", cut, driver.unseed(&id, &cx)).await;
        cuts.note("unseed", cut, result);
        fine(lines::DROPPED, "unseed", bench.unseed(&id).await);
        let seeded = bench.inspect(&id).await.is_none_or(|seen| seen.seeded);
        holds(lines::UNSEED, !seeded, format!("after {cut:?} and unseed the seed is there"));
        bench.is(lines::DROPPED, &id, Power::Running).await;
        finish_destroy(&bench, &id, cut).await;
    }
}

/// A dropped `destroy` is finished by the next one.
pub async fn dropped_destroy(bench: Arc<Bench>) {
    let mut cuts = Cuts::of(&bench);
    while let Some(cut) = cuts.next() {
        let id = drop_destroy(&bench, &mut cuts, cut).await;
        finish_destroy(&bench, &id, cut).await;
    }
}

/// What a dropped `destroy` left is made whole by `create`.
pub async fn dropped_destroy_then_create(bench: Arc<Bench>) {
    let mut cuts = Cuts::of(&bench);
    while let Some(cut) = cuts.next() {
        let id = drop_destroy(&bench, &mut cuts, cut).await;
        fine(lines::DROPPED, "create", bench.create(&id, &bench.spec(1)).await);
        fine(lines::DROPPED, "start", bench.start(&id).await);
        bench.is(lines::DROPPED, &id, Power::Running).await;
        finish_destroy(&bench, &id, cut).await;
    }
}

/// Verbs end when their time is up, one way or the other, and can be called again.
pub async fn verbs_end_by_their_deadline(bench: Arc<Bench>) {
    let id = bench.id("host1");
    let (driver, spec) = (bench.driver(), bench.spec(1));
    let soon = || bench.cx().within(Duration::from_millis(1));
    drop(bench.ends("create", driver.create(&id, &spec, &soon())).await);
    finish_create(&bench, lines::DROPPED, &id, Cut::After(Duration::from_millis(1))).await;
    drop(bench.ends("unseed", driver.unseed(&id, &soon())).await);
    drop(bench.ends("stop", driver.stop(&id, Stop::Soft, &soon())).await);
    drop(bench.ends("stop", driver.stop(&id, Stop::Hard, &soon())).await);
    fine(lines::DEADLINE, "stop in time", bench.stop(&id, Stop::Hard).await);
    drop(bench.ends("start", driver.start(&id, &soon())).await);
    fine(lines::DEADLINE, "start in time", bench.start(&id).await);
    drop(bench.ends("inspect", driver.inspect(&id, &soon())).await);
    drop(bench.ends("list", driver.list(None, &soon())).await);
    drop(bench.ends("destroy", driver.destroy(&id, &soon())).await);
    finish_destroy(&bench, &id, Cut::After(Duration::from_millis(1))).await;
}
