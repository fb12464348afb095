//! Cards, consoles and machines at rest: what not all drivers have.

use std::sync::Arc;

use super::bench::{Bench, fails, fine, holds, left};
use super::lines;
use crate::{Card, CardAddress, ErrorKind, MachineId, Power, Rest, Stop};

/// What a driver says it can do and the verbs that it has are the same.
pub async fn abilities_are_those_announced(bench: Arc<Bench>) {
    let driver = bench.driver();
    let can = driver.about().capabilities;
    let rests = can.suspend || can.save;
    let suspends = driver.suspending().is_some();
    let but = format!("it announces {can:?}, and `suspend` is there: {suspends}");
    holds(lines::verbs::SUSPENDING, rests == suspends, but);
    let takes = driver.snapshotting().is_some();
    let but = format!("it announces {can:?}, and `snapshot` is there: {takes}");
    holds(lines::verbs::SNAPSHOTTING, can.snapshots == takes, but);
}

async fn cards(bench: &Bench, id: &MachineId) -> Vec<Card> {
    let (driver, cx, spec) = (bench.driver(), bench.cx(), bench.spec(1));
    fine(lines::verbs::CARDS, "cards", bench.ends("cards", driver.cards(id, &spec, &cx)).await)
}

/// `cards` says the same before and after `create`, and changes nothing.
pub async fn cards_stay_the_same(bench: Arc<Bench>) {
    let id = bench.id("host1");
    let before = cards(&bench, &id).await;
    let again = cards(&bench, &id).await;
    holds(lines::CARDS_SAME, before == again, format!("{before:?} became {again:?}"));
    let seen = bench.power(&id).await;
    holds(lines::CARDS_SAME, seen.is_none(), format!("{id} is {seen:?}"));
    let root = bench.cx().scratch_root().to_owned();
    let empty = std::fs::read_dir(&root).is_ok_and(|mut entries| entries.next().is_none());
    holds(lines::CARDS_SAME, empty, format!("it left {}", left(&root)));
    let made = bench.stopped("host1", 1).await;
    let after = cards(&bench, &made).await;
    holds(lines::CARDS_SAME, before == after, format!("{before:?} became {after:?}"));
    let mut macs: Vec<&str> = after.iter().map(|card| card.mac.as_str()).collect();
    macs.sort_unstable();
    macs.dedup();
    let distinct = macs.len() == after.len();
    holds(lines::verbs::CARDS, distinct, format!("two cards have one address: {after:?}"));
}

/// One card has the lab address that the spec asks for.
pub async fn one_card_has_the_lab_address(bench: Arc<Bench>) {
    if bench.skips("it gives no static addresses", !bench.can().static_addresses) {
        return;
    }
    let cards = cards(&bench, &bench.id("host1")).await;
    let lab = bench.spec(1).lab;
    let is_lab = |card: &&Card| match &card.address {
        CardAddress::Static { address, prefix, .. } => {
            (*address, *prefix) == (lab.address, lab.prefix)
        }
        CardAddress::Dhcp => false,
    };
    let number = cards.iter().filter(is_lab).count();
    holds(lines::CARDS_LAB, number == 1, format!("{number} of {cards:?} have {lab:?}"));
}

/// A machine has a console exactly where the driver keeps them; its log can be read.
pub async fn a_console_can_be_read(bench: Arc<Bench>) {
    let id = bench.running("host1", 1).await;
    let (driver, cx) = (bench.driver(), bench.cx());
    let console = fine(
        lines::verbs::CONSOLE,
        "console",
        bench.ends("console", driver.console(&id, &cx)).await,
    );
    if !bench.can().console {
        let but = format!("no console is announced, but there is {console:?}");
        holds(lines::verbs::CONSOLE, console.is_none(), but);
        return;
    }
    holds(lines::verbs::CONSOLE, console.is_some(), "there is none");
    let console = console.expect("it was just looked at");
    if let Some(text) = bench.fixture.prints() {
        bench.ends("awake", bench.fixture.awake(&id, &cx)).await.expect("the guest wakes up");
        let log = std::fs::read(&console.log).unwrap_or_default();
        let there = log.windows(text.len()).any(|window| window == text.as_bytes());
        holds(lines::CONSOLE_LOG, there, format!("`{text}` is not in {}", console.log.display()));
    }
    let log = std::fs::File::open(&console.log);
    holds(lines::CONSOLE_LOG, log.is_ok(), format!("{}: {log:?}", console.log.display()));
    #[cfg(unix)]
    {
        let met = tokio::net::UnixStream::connect(&console.socket).await;
        let but = format!("{}: {met:?}", console.socket.display());
        holds(lines::CONSOLE_SOCKET, met.is_ok(), but);
    }
}

/// The ways to rest that the driver announces.
fn ways(bench: &Bench) -> Vec<(Rest, Power)> {
    let can = bench.can();
    let memory = can.suspend.then_some((Rest::Memory, Power::Paused));
    let disk = can.save.then_some((Rest::Disk, Power::Saved));
    memory.into_iter().chain(disk).collect()
}

fn never_rests(bench: &Bench) -> bool {
    bench.skips("it puts no machine to rest", ways(bench).is_empty())
}

/// A machine is put to rest, twice, and goes on.
pub async fn a_machine_at_rest_goes_on(bench: Arc<Bench>) {
    if never_rests(&bench) {
        return;
    }
    let id = bench.running("host1", 1).await;
    for (rest, power) in ways(&bench) {
        fine(lines::verbs::SUSPEND, "suspend", bench.suspend(&id, rest).await);
        bench.is(lines::AT_REST, &id, power.clone()).await;
        fine(lines::AT_REST, "the second suspend", bench.suspend(&id, rest).await);
        bench.is(lines::AT_REST, &id, power.clone()).await;
        let listed = bench.list(Some(id.fleet())).await;
        holds(lines::verbs::LIST, listed == [id.clone()], format!("listed is {listed:?}"));
        fine(lines::CREATE_TWICE, "create", bench.create(&id, &bench.spec(1)).await);
        bench.is(lines::CREATE_TWICE, &id, power).await;
        fine(lines::GOES_ON, "start of a machine at rest", bench.start(&id).await);
        bench.is(lines::GOES_ON, &id, Power::Running).await;
        fine(lines::IDEMPOTENT, "the second start", bench.start(&id).await);
        bench.is(lines::IDEMPOTENT, &id, Power::Running).await;
    }
}

/// The power of a machine at rest can be cut, and it starts afresh.
pub async fn a_hard_stop_ends_the_rest(bench: Arc<Bench>) {
    if never_rests(&bench) {
        return;
    }
    for (rest, _) in ways(&bench) {
        let id = bench.running("host1", 1).await;
        fine(lines::verbs::SUSPEND, "suspend", bench.suspend(&id, rest).await);
        fine(lines::HARD_STOP_AT_REST, "a hard stop", bench.stop(&id, Stop::Hard).await);
        bench.is(lines::HARD_STOP_AT_REST, &id, Power::Stopped).await;
        fine(lines::HARD_STOP_AT_REST, "start", bench.start(&id).await);
        bench.is(lines::HARD_STOP_AT_REST, &id, Power::Running).await;
        fine(lines::verbs::SUSPEND, "suspend", bench.suspend(&id, rest).await);
        fine(lines::verbs::DESTROY, "destroy of it at rest", bench.destroy(&id).await);
        bench.is_gone(&id).await;
    }
}

/// What does not run cannot be put to rest.
pub async fn only_running_machines_rest(bench: Arc<Bench>) {
    if never_rests(&bench) {
        return;
    }
    for (rest, _) in ways(&bench) {
        let absent = bench.suspend(&bench.id("nobody"), rest).await;
        fails(lines::REST_REFUSED, "suspend of the absent", ErrorKind::NotFound, absent);
        let id = bench.stopped("host1", 1).await;
        let stopped = bench.suspend(&id, rest).await;
        fails(lines::REST_REFUSED, "suspend of a stopped one", ErrorKind::Conflict, stopped);
        bench.is(lines::REST_REFUSED, &id, Power::Stopped).await;
    }
}
