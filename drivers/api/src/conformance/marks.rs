//! Who owns what: fleets, images, folders, ports, options and seeds.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use super::bench::{Bench, OTHER_FLEET, SEED_MARK, fails, fine, holds, left};
use super::lines;
use crate::{ErrorKind, Finding, Forward, Level, MachineId, Power, Protocol, Stop, VmSpec};

/// `list` sees one fleet's machines and no other's.
pub async fn list_sees_one_fleet(bench: Arc<Bench>) {
    let ours = bench.stopped("host1", 1).await;
    let unseen = bench.list(Some(OTHER_FLEET)).await;
    holds(lines::LIST_ONE_FLEET, unseen.is_empty(), format!("the other fleet lists {unseen:?}"));
    let theirs = bench.id_of(OTHER_FLEET, "host1");
    fine(lines::verbs::CREATE, "create", bench.create(&theirs, &bench.spec(2)).await);
    for id in [&ours, &theirs] {
        let listed = bench.list(Some(id.fleet())).await;
        let alone = listed == [id.clone()];
        holds(lines::LIST_ONE_FLEET, alone, format!("{} lists {listed:?}", id.fleet()));
    }
    fine(lines::verbs::DESTROY, "destroy", bench.destroy(&theirs).await);
    bench.is(lines::DESTROY_ALONE, &ours, Power::Stopped).await;
}

/// `list` without a fleet sees the machines of all fleets, among them perhaps some that
/// are none of the suite's.
pub async fn list_sees_every_fleet(bench: Arc<Bench>) {
    let ours = bench.stopped("host1", 1).await;
    let theirs = bench.id_of(OTHER_FLEET, "host1");
    fine(lines::verbs::CREATE, "create", bench.create(&theirs, &bench.spec(2)).await);
    let listed = bench.list(None).await;
    let both = listed.contains(&ours) && listed.contains(&theirs);
    holds(lines::LIST_EVERY_FLEET, both, format!("listed is {listed:?}"));
    fine(lines::verbs::DESTROY, "destroy", bench.destroy(&theirs).await);
    let listed = bench.list(None).await;
    let one = listed.contains(&ours) && !listed.contains(&theirs);
    holds(lines::LIST_EVERY_FLEET, one, format!("listed is {listed:?}"));
}

/// Destroying one machine touches neither the image nor another machine.
pub async fn destroy_leaves_the_others(bench: Arc<Bench>) {
    let image = bench.spec(1).image.path;
    let state = || std::fs::metadata(&image).ok().map(|m| (m.len(), m.modified().ok()));
    let before = state();
    let stays = bench.running("host1", 1).await;
    let seen = bench.inspect(&stays).await;
    let goes = bench.running("host10", 2).await;
    fine(lines::verbs::DESTROY, "destroy", bench.destroy(&goes).await);
    bench.is_gone(&goes).await;
    let still = bench.inspect(&stays).await;
    holds(lines::DESTROY_ALONE, seen == still, format!("{stays} became {still:?}"));
    let goes = stays;
    let stays = bench.stopped("host10", 2).await;
    fine(lines::verbs::DESTROY, "destroy", bench.destroy(&goes).await);
    bench.is(lines::DESTROY_ALONE, &stays, Power::Stopped).await;
    fine(lines::verbs::DESTROY, "destroy", bench.destroy(&stays).await);
    let after = state();
    holds(lines::DESTROY_ALONE, before == after, format!("the image became {after:?}"));
}

/// As many machines at once as the driver says it can handle, three at most.
pub async fn several_at_once(bench: Arc<Bench>) {
    let width = bench.driver().about().concurrency;
    holds(lines::AT_ONCE, width > 0, "the driver allows no verb at all");
    let width = width.clamp(1, 3) as u8;
    let mut lanes = tokio::task::JoinSet::new();
    for n in 1..=width {
        let bench = bench.clone();
        lanes.spawn(async move {
            let id = bench.running(&format!("host{n}"), n).await;
            fine(lines::verbs::STOP, "stop", bench.stop(&id, Stop::Hard).await);
            fine(lines::verbs::START, "start", bench.start(&id).await);
            fine(lines::verbs::DESTROY, "destroy", bench.destroy(&id).await);
            id
        });
    }
    // The folder of the fleet goes with its last machine, so all of them must have gone.
    let mut gone = Vec::new();
    while let Some(lane) = lanes.join_next().await {
        match lane {
            Ok(id) => gone.push(id),
            Err(failed) => std::panic::resume_unwind(failed.into_panic()),
        }
    }
    for id in &gone {
        bench.is_gone(id).await;
    }
}

async fn findings(bench: &Bench, wanted: &[(MachineId, VmSpec)]) -> Vec<Finding> {
    let (driver, cx) = (bench.driver(), bench.cx());
    let found = bench.ends("check", driver.check(wanted, &cx)).await;
    fine(lines::CHECK_FINDS, "check", found)
}

fn errors(found: &[Finding]) -> Vec<&Finding> {
    found.iter().filter(|finding| finding.level == Level::Error).collect()
}

/// `check` finds nothing wrong with a good spec, and changes nothing.
pub async fn check_changes_nothing(bench: Arc<Bench>) {
    let id = bench.id("host1");
    let found = findings(&bench, &[(id.clone(), bench.spec(1))]).await;
    let wrong = errors(&found);
    holds(lines::CHECK_FINDS, wrong.is_empty(), format!("a good spec has {wrong:?}"));
    let seen = bench.power(&id).await;
    holds(lines::CHECK_CHANGES_NOTHING, seen.is_none(), format!("{id} is {seen:?}"));
    let root = bench.cx().scratch_root().to_owned();
    let empty = std::fs::read_dir(&root).is_ok_and(|mut entries| entries.next().is_none());
    holds(lines::CHECK_CHANGES_NOTHING, empty, format!("it left {}", left(&root)));
}

/// `check` finds a bad driver option and names it.
pub async fn check_finds_a_bad_option(bench: Arc<Bench>) {
    let (key, value) = bench.fixture.bad_option();
    let mut spec = bench.spec(1);
    spec.options.insert(key.clone(), value);
    let found = findings(&bench, &[(bench.id("host1"), spec)]).await;
    let named = errors(&found).iter().any(|finding| finding.message.contains(&key));
    holds(lines::CHECK_FINDS, named, format!("the bad option `{key}` gives {found:?}"));
}

/// `check` finds that a machine wants more memory than any host has (a pebibyte).
pub async fn check_finds_too_little_memory(bench: Arc<Bench>) {
    let mut spec = bench.spec(1);
    spec.memory_mib = 1 << 30;
    let found = findings(&bench, &[(bench.id("host1"), spec)]).await;
    holds(lines::CHECK_FINDS, !errors(&found).is_empty(), "a pebibyte of memory is no error");
}

/// `check` finds that a port which is to lead into a machine is taken.
pub async fn check_finds_a_taken_port(bench: Arc<Bench>) {
    let taken = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let host = taken.local_addr().expect("a bound socket has an address");
    let mut spec = bench.spec(1);
    spec.forwards.push(Forward { host, guest: 80, protocol: Protocol::Tcp });
    let found = findings(&bench, &[(bench.id("host1"), spec)]).await;
    holds(lines::CHECK_FINDS, !errors(&found).is_empty(), format!("{host} is taken unnoticed"));
}

/// A bad option is a `Config` error that names its key, and makes nothing.
pub async fn a_bad_option_names_its_key(bench: Arc<Bench>) {
    let (key, value) = bench.fixture.bad_option();
    let id = bench.id("host1");
    let mut spec = bench.spec(1);
    spec.options.insert(key.clone(), value);
    let made = bench.create(&id, &spec).await;
    let error = fails(lines::CREATE_BAD_OPTION, "create", ErrorKind::Config, made);
    let named = error.to_string().contains(&key)
        || error.context().iter().any(|(_, value)| value.contains(&key));
    holds(lines::CREATE_BAD_OPTION, named, format!("`{key}` is not in {error:?}"));
    let seen = bench.power(&id).await;
    holds(lines::CREATE_BAD_OPTION, seen.is_none(), format!("{id} is {seen:?} all the same"));
}

/// Files up to this size are searched for the seed; a machine's disk may be large.
const SEARCHED: u64 = 256 << 20;

/// Finds the files below a folder that hold the suite's mark.
fn with_seed(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        let path = entry.path();
        if kind.is_dir() {
            with_seed(&path, found);
        } else if kind.is_file() && entry.metadata().is_ok_and(|m| m.len() <= SEARCHED) {
            let bytes = std::fs::read(&path).unwrap_or_default();
            if bytes.windows(SEED_MARK.len()).any(|window| window == SEED_MARK) {
                found.push(path.display().to_string());
            }
        }
    }
}

async fn is_unseeded(bench: &Bench, id: &MachineId) {
    let seen = bench.inspect(id).await;
    let seeded = seen.as_ref().is_none_or(|seen| seen.seeded);
    holds(lines::UNSEED, !seeded, format!("inspect sees {seen:?}"));
    let mut found = Vec::new();
    with_seed(bench.cx().scratch_root(), &mut found);
    holds(lines::UNSEED, found.is_empty(), format!("the seed is in {found:?}"));
}

/// Taking the seed from a stopped machine, twice, then starting it.
pub async fn unseed_of_a_stopped_machine(bench: Arc<Bench>) {
    if bench.skips("it passes no seed", !bench.can().seed) {
        return;
    }
    let id = bench.stopped("host1", 1).await;
    for time in ["the first unseed", "the second unseed"] {
        fine(lines::UNSEED, time, bench.unseed(&id).await);
        is_unseeded(&bench, &id).await;
    }
    fine(lines::UNSEED, "a start without the seed", bench.start(&id).await);
    bench.is(lines::UNSEED, &id, Power::Running).await;
    fine(lines::CREATE_TWICE, "create", bench.create(&id, &bench.spec(1)).await);
    is_unseeded(&bench, &id).await;
}

/// Taking the seed from a running machine, twice, then starting it again.
pub async fn unseed_of_a_running_machine(bench: Arc<Bench>) {
    if bench.skips("it passes no seed", !bench.can().seed) {
        return;
    }
    let id = bench.running("host1", 1).await;
    for time in ["the first unseed", "the second unseed"] {
        fine(lines::UNSEED, time, bench.unseed(&id).await);
        is_unseeded(&bench, &id).await;
        bench.is(lines::UNSEED, &id, Power::Running).await;
    }
    fine(lines::verbs::STOP, "stop", bench.stop(&id, Stop::Hard).await);
    fine(lines::UNSEED, "a start without the seed", bench.start(&id).await);
    bench.is(lines::UNSEED, &id, Power::Running).await;
    is_unseeded(&bench, &id).await;
}
