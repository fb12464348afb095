//! `create` of a machine that exists: another size, another mark, no seed.

use std::net::TcpListener;
use std::sync::Arc;

use super::bench::{Bench, fine, holds};
use super::lines;
use crate::{Forward, MachineId, Power, Protocol, Sighting, Stop, VmSpec};

/// Machine 1, larger in every way and with a port more; without a seed, as nobody makes
/// one for a machine that exists.
fn larger(bench: &Bench) -> VmSpec {
    let mut spec = bench.spec(1);
    spec.cpus += 1;
    spec.memory_mib += 16;
    spec.disk_mib *= 2;
    spec.internet = !spec.internet;
    // Free as soon as this function has ended.
    let free = TcpListener::bind("127.0.0.1:0").and_then(|taken| taken.local_addr());
    let host = free.expect("loopback has a free port");
    spec.forwards.push(Forward { host, guest: 80, protocol: Protocol::Tcp });
    spec.seed.clear();
    spec
}

/// What `create` may change, as it is seen.
type Size = (u32, u64, u64, Vec<Forward>, String);

fn size(seen: &Sighting) -> Size {
    let (forwards, options) = (seen.forwards.clone(), seen.options_digest.clone());
    (seen.cpus, seen.memory_mib, seen.disk_mib, forwards, options)
}

fn asked(spec: &VmSpec) -> Size {
    let (forwards, options) = (spec.forwards.clone(), spec.options_digest());
    (spec.cpus, spec.memory_mib, spec.disk_mib, forwards, options)
}

async fn seen(bench: &Bench, line: &str, id: &MachineId) -> Sighting {
    let seen = bench.inspect(id).await;
    holds(line, seen.is_some(), format!("{id} is not there"));
    seen.expect("it was just looked at")
}

/// Checks that the machine is as large as the spec asks.
async fn has_size_of(bench: &Bench, id: &MachineId, spec: &VmSpec) {
    let (has, wanted) = (size(&seen(bench, lines::CREATE_RESIZES, id).await), asked(spec));
    holds(lines::CREATE_RESIZES, has == wanted, format!("{wanted:?} is asked, {has:?} is there"));
}

/// A stopped machine takes over its new size, and runs with it.
pub async fn a_stopped_machine_is_resized(bench: Arc<Bench>) {
    let id = bench.stopped("host1", 1).await;
    let spec = larger(&bench);
    fine(lines::CREATE_RESIZES, "create", bench.create(&id, &spec).await);
    has_size_of(&bench, &id, &spec).await;
    fine(lines::CREATE_RESIZES, "start", bench.start(&id).await);
    bench.is(lines::CREATE_RESIZES, &id, Power::Running).await;
    has_size_of(&bench, &id, &spec).await;
}

/// A running machine keeps its size and goes on running, until it is off.
pub async fn a_running_machine_is_resized_when_off(bench: Arc<Bench>) {
    let id = bench.running("host1", 1).await;
    let before = size(&seen(&bench, lines::CREATE_RESIZES, &id).await);
    let spec = larger(&bench);
    fine(lines::CREATE_RESIZES, "create", bench.create(&id, &spec).await);
    bench.is(lines::CREATE_RESIZES, &id, Power::Running).await;
    let after = size(&seen(&bench, lines::CREATE_RESIZES, &id).await);
    let same = before == after;
    holds(lines::CREATE_RESIZES, same, format!("while it ran {before:?} became {after:?}"));
    fine(lines::verbs::STOP, "stop", bench.stop(&id, Stop::Hard).await);
    fine(lines::CREATE_RESIZES, "create", bench.create(&id, &spec).await);
    has_size_of(&bench, &id, &spec).await;
    fine(lines::CREATE_RESIZES, "start", bench.start(&id).await);
    bench.is(lines::CREATE_RESIZES, &id, Power::Running).await;
}

/// A disk that was larger once stays so; all else shrinks.
pub async fn a_disk_only_grows(bench: Arc<Bench>) {
    let id = bench.stopped("host1", 1).await;
    let large = larger(&bench);
    fine(lines::CREATE_RESIZES, "create", bench.create(&id, &large).await);
    let mut small = bench.spec(1);
    fine(lines::CREATE_RESIZES, "create", bench.create(&id, &small).await);
    small.disk_mib = large.disk_mib;
    has_size_of(&bench, &id, &small).await;
}

/// `create` without a seed takes none away, and one with a seed brings none back.
pub async fn a_seed_stays_as_it_is(bench: Arc<Bench>) {
    if bench.skips("it passes no seed", !bench.can().seed) {
        return;
    }
    let id = bench.stopped("host1", 1).await;
    let bare = larger(&bench);
    let mut seeded = bare.clone();
    seeded.seed = bench.spec(1).seed;
    fine(lines::CREATE_KEEPS_SEED, "create without a seed", bench.create(&id, &bare).await);
    let kept = seen(&bench, lines::CREATE_KEEPS_SEED, &id).await.seeded;
    holds(lines::CREATE_KEEPS_SEED, kept, "the seed is gone");
    fine(lines::UNSEED, "unseed", bench.unseed(&id).await);
    for spec in [&bare, &seeded] {
        fine(lines::CREATE_KEEPS_SEED, "create", bench.create(&id, spec).await);
        let again = seen(&bench, lines::CREATE_KEEPS_SEED, &id).await.seeded;
        holds(lines::CREATE_KEEPS_SEED, !again, "the seed is back");
    }
}

/// A mark with all that it may hold comes back as it was, from any value of the driver,
/// while the machine runs and while it is off.
pub async fn a_mark_is_given_back(bench: Arc<Bench>) {
    let id = bench.id("host1");
    let mut spec = bench.spec(1);
    let printable: String = (' '..='~').collect();
    spec.mark.insert("printable".to_owned(), printable);
    spec.mark.insert("longest".to_owned(), "x".repeat(256));
    spec.mark.insert("shortest".to_owned(), String::new());
    fine(lines::verbs::CREATE, "create", bench.create(&id, &spec).await);
    let given = seen(&bench, lines::INSPECT_MARK, &id).await.mark;
    holds(lines::INSPECT_MARK, given == spec.mark, format!("a stopped one's is {given:?}"));
    fine(lines::verbs::START, "start", bench.start(&id).await);
    let given = seen(&bench, lines::INSPECT_MARK, &id).await.mark;
    holds(lines::INSPECT_MARK, given == spec.mark, format!("a running one's is {given:?}"));
}

fn with_another_mark(bench: &Bench) -> VmSpec {
    let mut spec = bench.spec(1);
    spec.mark = [("another".to_owned(), "mark".to_owned())].into();
    spec
}

/// A stopped machine takes over another mark, and nothing else.
pub async fn another_mark_is_taken_over(bench: Arc<Bench>) {
    let id = bench.stopped("host1", 1).await;
    let spec = with_another_mark(&bench);
    let mut before = seen(&bench, lines::CREATE_MARKS, &id).await;
    fine(lines::CREATE_MARKS, "create with another mark", bench.create(&id, &spec).await);
    let after = seen(&bench, lines::CREATE_MARKS, &id).await;
    before.mark = spec.mark;
    holds(lines::CREATE_MARKS, before == after, format!("{before:?} is due, but it is {after:?}"));
}

/// A running machine goes on running and has the old mark or the new one; when it is off,
/// it takes the new one.
pub async fn another_mark_of_a_running_machine(bench: Arc<Bench>) {
    let id = bench.running("host1", 1).await;
    let spec = with_another_mark(&bench);
    fine(lines::CREATE_MARKS, "create with another mark", bench.create(&id, &spec).await);
    bench.is(lines::CREATE_MARKS, &id, Power::Running).await;
    let mark = seen(&bench, lines::CREATE_MARKS, &id).await.mark;
    let known = mark == spec.mark || mark == bench.spec(1).mark;
    holds(lines::CREATE_MARKS, known, format!("the mark is {mark:?}"));
    fine(lines::verbs::STOP, "stop", bench.stop(&id, Stop::Hard).await);
    fine(lines::CREATE_MARKS, "create with another mark", bench.create(&id, &spec).await);
    let mark = seen(&bench, lines::CREATE_MARKS, &id).await.mark;
    holds(lines::CREATE_MARKS, mark == spec.mark, format!("the mark of a stopped one is {mark:?}"));
}
