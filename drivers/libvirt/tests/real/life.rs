//! The whole life of a machine that boots a real system.

#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

use std::sync::Arc;
use std::time::Duration;

use fleet_driver::event::Reporter;
use fleet_driver::{
    Cx, Driver, ErrorKind, ImageFile, MachineId, Power, Rest, Secret, Stop, VmSpec,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use crate::stand::Stand;

const PROMPT: &str = "login:";

async fn power(driver: &dyn Driver, id: &MachineId, cx: &Cx) -> Power {
    driver.inspect(id, cx).await.unwrap().unwrap().power
}

async fn rest_and_wake(driver: &dyn Driver, id: &MachineId, cx: &Cx) {
    let suspending = driver.suspending().unwrap();
    for (rest, wanted) in [(Rest::Memory, Power::Paused), (Rest::Disk, Power::Saved)] {
        for _ in 0..2 {
            suspending.suspend(id, rest, cx).await.unwrap();
            assert_eq!(power(driver, id, cx).await, wanted);
        }
        driver.start(id, cx).await.unwrap();
        assert_eq!(power(driver, id, cx).await, Power::Running);
    }
}

async fn snapshots(driver: &dyn Driver, id: &MachineId, cx: &Cx) {
    let snapshotting = driver.snapshotting().unwrap();
    snapshotting.snapshot(id, "one", cx).await.unwrap();
    let again = snapshotting.snapshot(id, "one", cx).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Conflict);
    let listed = snapshotting.snapshots(id, cx).await.unwrap();
    assert_eq!((listed.len(), listed[0].name.as_str()), (1, "one"));
    assert!(listed[0].running);
    driver.stop(id, Stop::Hard, cx).await.unwrap();
    snapshotting.revert(id, "one", cx).await.unwrap();
    assert_eq!(power(driver, id, cx).await, Power::Running);
    let unknown = snapshotting.revert(id, "two", cx).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
    for _ in 0..2 {
        snapshotting.forget(id, "one", cx).await.unwrap();
    }
    assert_eq!(snapshotting.snapshots(id, cx).await.unwrap(), []);
}

fn cx(stand: &Stand) -> Cx {
    Cx::new(stand.folder.path().join("machines"), Reporter::silent(), CancellationToken::new())
        .within(Duration::from_secs(580))
}

/// Lives a machine's life, and leaves nothing whatever happens.
async fn live(stand: Stand, id: MachineId, spec: VmSpec, prompt: &'static str) {
    let stand = Arc::new(stand);
    let (lived, one) = (stand.clone(), id.clone());
    let ended = tokio::spawn(async move { all_of_it(&lived, &one, &spec, prompt).await }).await;
    stand.libvirt().destroy(&id, &cx(&stand)).await.unwrap();
    if let Err(failed) = ended {
        std::panic::resume_unwind(failed.into_panic());
    }
}

/// Looks at what the console's socket says to whoever presses Enter.
async fn talks(driver: &dyn Driver, id: &MachineId, wanted: &str, cx: &Cx) {
    let console = driver.console(id, cx).await.unwrap().unwrap();
    let mut near = tokio::net::UnixStream::connect(console.socket).await.unwrap();
    let mut said = Vec::new();
    while !String::from_utf8_lossy(&said).contains(wanted) {
        near.write_all(b"\n").await.unwrap();
        let got = tokio::time::timeout(Duration::from_secs(60), near.read_buf(&mut said)).await;
        assert!(got.unwrap().unwrap() > 0, "{}", String::from_utf8_lossy(&said));
    }
}

async fn all_of_it(stand: &Stand, id: &MachineId, spec: &VmSpec, prompt: &str) {
    let (driver, cx) = (stand.libvirt(), cx(stand));
    driver.create(id, spec, &cx).await.unwrap();
    driver.start(id, &cx).await.unwrap();
    stand.says(id, prompt, &cx).await.unwrap();
    if prompt == PROMPT {
        talks(&*driver, id, PROMPT, &cx).await;
    }
    driver.unseed(id, &cx).await.unwrap();
    assert!(!driver.inspect(id, &cx).await.unwrap().unwrap().seeded);
    rest_and_wake(&*driver, id, &cx).await;
    snapshots(&*driver, id, &cx).await;
    driver.stop(id, Stop::Soft, &cx).await.unwrap();
    assert_eq!(power(&*driver, id, &cx).await, Power::Stopped);
    driver.destroy(id, &cx).await.unwrap();
    assert_eq!(driver.inspect(id, &cx).await.unwrap(), None);
}

/// A guest of 512 bytes goes through the same life.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_guest_rests_and_comes_back() {
    let Some(stand) = Stand::new() else { return };
    let mut spec = stand.machine(1, stand.image("button"));
    spec.seed.push(("user-data".to_owned(), Secret::new(b"#cloud-config\n".to_vec())));
    live(stand, MachineId::new("life-3f9a1c", "small"), spec, "the guest is up").await;
}

/// What decides between KVM and emulation has an answer, and keeps it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_trial_has_an_answer() {
    let Some(stand) = Stand::new() else { return };
    let mut spec = stand.machine(1, stand.image("button"));
    spec.options.insert("type".to_owned(), "auto".into());
    let wanted = [(MachineId::new("life-3f9a1c", "trial"), spec)];
    let first = stand.libvirt().check(&wanted, &cx(&stand)).await.unwrap();
    assert!(first.iter().any(|finding| finding.message.contains("KVM")), "{first:?}");
    let kept = std::fs::read(stand.folder.path().join("cache/libvirt-kvm.json")).unwrap();
    let second = stand.libvirt().check(&wanted, &cx(&stand)).await.unwrap();
    assert_eq!(first, second);
    let again = std::fs::read(stand.folder.path().join("cache/libvirt-kvm.json")).unwrap();
    assert_eq!(kept, again);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_system_boots_and_obeys() {
    let (Some(stand), Ok(path)) = (Stand::new(), std::env::var("FLEET_TEST_LIBVIRT_IMAGE")) else {
        return;
    };
    let image = ImageFile { path: path.into(), sha256: "c0".repeat(32), size_mib: 2048 };
    let mut spec = stand.machine(1, image);
    spec.memory_mib = 1024;
    spec.disk_mib = 4096;
    spec.internet = true;
    let files = [("meta-data", "instance-id: life\n"), ("user-data", "#cloud-config\n{}\n")];
    for (name, text) in files {
        spec.seed.push((name.to_owned(), Secret::new(text.as_bytes().to_vec())));
    }
    live(stand, MachineId::new("life-3f9a1c", "debian"), spec, PROMPT).await;
}
