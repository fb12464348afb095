//! Faults on demand; that the contract is kept is shown by the conformance suite.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::event::Reporter;
use crate::{Cx, Driver, ImageFile, LabNic, Stop, VmSpec};

fn spec() -> VmSpec {
    VmSpec {
        cpus: 1,
        memory_mib: 1024,
        disk_mib: 1024,
        image: ImageFile { path: "/i".into(), sha256: "aa".into(), size_mib: 1 },
        lab: LabNic { address: Ipv4Addr::new(10, 77, 0, 11), prefix: 24 },
        internet: false,
        forwards: Vec::new(),
        seed: Vec::new(),
        mark: std::collections::BTreeMap::new(),
        apart: None,
        options: toml::Table::new(),
    }
}

fn stand() -> (Fake, TempDir, CancellationToken, Cx, MachineId) {
    let scratch = tempfile::tempdir().unwrap();
    let cancel = CancellationToken::new();
    let cx = Cx::new(scratch.path(), Reporter::silent(), cancel.clone());
    (Fake::new(), scratch, cancel, cx, MachineId::new("lab-1", "host1"))
}

#[tokio::test]
async fn a_fault_lasts_as_often_as_ordered_and_does_nothing() {
    let (fake, _scratch, _, cx, id) = stand();
    fake.fail("host1", Verb::Create, ErrorKind::Busy, 1);
    let failed = fake.create(&id, &spec(), &cx).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Busy);
    assert!(fake.machines().is_empty() && !cx.scratch(&id).exists());
    fake.create(&id, &spec(), &cx).await.unwrap();
    fake.fail_with(ANY, Verb::List, 1, || Error::host("no such program"));
    assert_eq!(fake.list(Some("lab-1"), &cx).await.unwrap_err().to_string(), "no such program");
    assert_eq!(fake.list(Some("lab-1"), &cx).await.unwrap(), [id]);
}

#[tokio::test]
async fn broken_off_leaves_a_half_made_machine() {
    let (fake, _scratch, _, cx, id) = stand();
    fake.break_off("host1", Verb::Create, ErrorKind::Driver, 1);
    fake.create(&id, &spec(), &cx).await.unwrap_err();
    let seen = fake.inspect(&id, &cx).await.unwrap().unwrap();
    assert_eq!(seen.power, Power::Broken("half-made".into()));
    assert!(cx.scratch(&id).exists());
    assert_eq!(fake.start(&id, &cx).await.unwrap_err().kind(), ErrorKind::Driver);
}

#[tokio::test]
async fn a_hanging_verb_ends_at_its_deadline_and_on_ctrl_c() {
    let (fake, _scratch, cancel, cx, id) = stand();
    fake.create(&id, &spec(), &cx).await.unwrap();
    fake.hang("host1", Verb::Start);
    let soon = cx.within(Duration::from_millis(20));
    assert_eq!(fake.start(&id, &soon).await.unwrap_err().kind(), ErrorKind::Driver);
    fake.forget_calls();
    let (started, ()) = tokio::join!(fake.start(&id, &cx), async {
        fake.called("host1", Verb::Start).await;
        cancel.cancel();
    });
    assert_eq!(started.unwrap_err().kind(), ErrorKind::Interrupted);
}

#[tokio::test]
async fn the_world_changes_behind_the_callers_back() {
    let (fake, _scratch, _, cx, id) = stand();
    let ssh: SocketAddr = "127.0.0.1:22".parse().unwrap();
    let engine: SocketAddr = "127.0.0.1:2376".parse().unwrap();
    fake.endpoints("host1", ssh, engine);
    fake.create(&id, &spec(), &cx).await.unwrap();
    assert_eq!(fake.inspect(&id, &cx).await.unwrap().unwrap().ssh, None);
    fake.clone().power("host1", Power::Running);
    assert_eq!(fake.inspect(&id, &cx).await.unwrap().unwrap().ssh, Some(ssh));
    fake.vanish("host1");
    assert_eq!(fake.inspect(&id, &cx).await.unwrap(), None);
    let stopped = fake.stop(&id, Stop::Hard, &cx).await;
    assert_eq!(stopped.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn calls_are_counted_in_order_and_at_once() {
    let (fake, _scratch, _, cx, id) = stand();
    let other = MachineId::new("lab-1", "host2");
    let spec = spec();
    let both = tokio::join!(fake.create(&id, &spec, &cx), fake.create(&other, &spec, &cx));
    both.0.and(both.1).unwrap();
    fake.list(Some("lab-1"), &cx).await.unwrap();
    assert_eq!(fake.most_at_once(), 2);
    let call = |verb, machine: Option<&str>| Call { verb, machine: machine.map(str::to_owned) };
    let expected = [
        call(Verb::Create, Some("host1")),
        call(Verb::Create, Some("host2")),
        call(Verb::List, None),
    ];
    assert_eq!(fake.calls(), expected);
}
