//! What others have removed, and what a program that was killed has left: it is seen for
//! what it is, and `create` and `destroy` cope.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use fleet_driver::{ErrorKind, Power, Stop};

use crate::trial::{FLEET, Trial, processes};

async fn why_broken(trial: &Trial) -> String {
    match trial.power().await {
        Some(Power::Broken(why)) => why,
        other => panic!("it is {other:?}"),
    }
}

#[tokio::test]
async fn a_running_machine_whose_disk_was_removed_is_broken_and_made_anew() {
    let Some(mut trial) = Trial::new() else {
        return;
    };
    let old = trial.running().await;
    let before = trial.driver.inspect(&trial.id, &trial.cx).await.unwrap().unwrap();
    trial.driver.unseed(&trial.id, &trial.cx).await.unwrap();
    fs::remove_file(trial.folder().join("disk.qcow2")).unwrap();
    let why = why_broken(&trial).await;
    assert!(why.contains(&old.to_string()) && why.contains("its disk is gone"), "{why}");
    let error = trial.driver.start(&trial.id, &trial.cx).await.unwrap_err();
    assert!(error.hint_text().unwrap().contains("fleet up"), "{error}");

    // Another image is no conflict: there is nothing to lose.
    let mut spec = trial.spec();
    spec.image = trial.stand.image("deaf");
    trial.driver.create(&trial.id, &spec, &trial.cx).await.unwrap();
    assert_eq!(trial.power().await, Some(Power::Stopped));
    assert!(processes().is_empty());
    assert_eq!(trial.notes().len(), 1);
    let after = trial.driver.inspect(&trial.id, &trial.cx).await.unwrap().unwrap();
    assert_eq!((after.ssh, after.engine), (before.ssh, before.engine));
    assert_eq!(after.image_sha256, spec.image.sha256);
    assert!(after.seeded);
    trial.driver.start(&trial.id, &trial.cx).await.unwrap();
    trial.pid().await;
    trial.end().await;
}

#[tokio::test]
async fn a_stopped_machine_whose_disk_was_removed_is_broken_and_made_anew() {
    let Some(trial) = Trial::new() else { return };
    trial.running().await;
    trial.driver.stop(&trial.id, Stop::Hard, &trial.cx).await.unwrap();
    for emptied in [false, true] {
        let disk = trial.folder().join("disk.qcow2");
        fs::remove_file(&disk).unwrap();
        if emptied {
            fs::write(&disk, "").unwrap();
        }
        assert_eq!(why_broken(&trial).await, "its disk is gone");
        let error = trial.driver.start(&trial.id, &trial.cx).await.unwrap_err();
        assert!(error.hint_text().unwrap().contains("fleet up"), "{error}");
        trial.driver.create(&trial.id, &trial.spec(), &trial.cx).await.unwrap();
        assert_eq!(trial.power().await, Some(Power::Stopped));
    }
    trial.driver.start(&trial.id, &trial.cx).await.unwrap();
    trial.pid().await;
    trial.end().await;
}

#[tokio::test]
async fn a_running_machine_whose_description_was_removed_is_broken() {
    let Some(trial) = Trial::new() else { return };
    trial.running().await;
    fs::remove_file(trial.folder().join("machine.json")).unwrap();
    let why = why_broken(&trial).await;
    assert!(why.contains("the rest of the machine is gone"), "{why}");
    for fleet in [Some(FLEET), None] {
        assert!(trial.driver.list(fleet, &trial.cx).await.unwrap().contains(&trial.id));
    }
    trial.running().await;
    assert_eq!(processes().len(), 1);
    trial.end().await;
}

#[tokio::test]
async fn a_process_is_listed_although_its_whole_fleet_is_gone() {
    let Some(trial) = Trial::new() else { return };
    trial.running().await;
    fs::remove_dir_all(trial.cx.scratch_root()).unwrap();
    for fleet in [Some(FLEET), None] {
        assert!(trial.driver.list(fleet, &trial.cx).await.unwrap().contains(&trial.id));
    }
    why_broken(&trial).await;
    trial.driver.destroy(&trial.id, &trial.cx).await.unwrap();
    assert!(processes().is_empty());
    assert!(!trial.driver.list(None, &trial.cx).await.unwrap().contains(&trial.id));
    trial.end().await;
}

#[tokio::test]
async fn a_process_without_pid_file_and_sockets_is_found() {
    let Some(trial) = Trial::new() else { return };
    let pid = trial.running().await;
    fs::remove_file(trial.folder().join("pid")).unwrap();
    assert_eq!(trial.pid().await, pid);
    trial.driver.start(&trial.id, &trial.cx).await.unwrap();
    assert_eq!(trial.pid().await, pid);
    fs::remove_file(trial.folder().join("qmp.sock")).unwrap();
    assert!(why_broken(&trial).await.contains(&pid.to_string()));
    trial.driver.stop(&trial.id, Stop::Hard, &trial.cx).await.unwrap();
    assert!(processes().is_empty());
    trial.driver.start(&trial.id, &trial.cx).await.unwrap();
    trial.pid().await;
    trial.end().await;
}

/// As after a `fleet` that was killed once it had started QEMU: the next one finds no
/// process yet and starts another.
#[tokio::test]
async fn two_starts_at_once_make_one_process() {
    let Some(trial) = Trial::new() else { return };
    trial.driver.create(&trial.id, &trial.spec(), &trial.cx).await.unwrap();
    let before = trial.driver.inspect(&trial.id, &trial.cx).await.unwrap().unwrap();
    let other = trial.stand.qemu();
    for _ in 0..5 {
        let (first, second) = tokio::join!(
            trial.driver.start(&trial.id, &trial.cx),
            other.start(&trial.id, &trial.cx)
        );
        first.unwrap();
        second.unwrap();
        trial.pid().await;
        assert_eq!(processes().len(), 1);
        let after = trial.driver.inspect(&trial.id, &trial.cx).await.unwrap().unwrap();
        assert_eq!((after.ssh, after.engine), (before.ssh, before.engine));
        trial.driver.stop(&trial.id, Stop::Hard, &trial.cx).await.unwrap();
    }
    trial.end().await;
}

#[tokio::test]
async fn a_disk_that_was_grown_without_a_word_is_no_obstacle() {
    let Some(trial) = Trial::new() else { return };
    trial.driver.create(&trial.id, &trial.spec(), &trial.cx).await.unwrap();
    let grown = Command::new("qemu-img")
        .args(["resize", "-q", "disk.qcow2", "64M"])
        .current_dir(trial.folder())
        .status();
    assert!(grown.unwrap().success());
    let disk_mib =
        || async { trial.driver.inspect(&trial.id, &trial.cx).await.unwrap().unwrap().disk_mib };
    assert_eq!(disk_mib().await, 64);
    let mut spec = trial.spec();
    for (asked, there) in [(32, 64), (16, 64), (96, 96)] {
        spec.disk_mib = asked;
        trial.driver.create(&trial.id, &spec, &trial.cx).await.unwrap();
        assert_eq!(disk_mib().await, there);
    }
    trial.end().await;
}

#[tokio::test]
async fn a_seed_that_was_half_written_does_not_stay() {
    let Some(trial) = Trial::new() else { return };
    let unfinished = trial.folder().join("seed.iso.unfinished");
    trial.driver.create(&trial.id, &trial.spec(), &trial.cx).await.unwrap();
    for _ in 0..2 {
        fs::write(&unfinished, "secret").unwrap();
        trial.driver.unseed(&trial.id, &trial.cx).await.unwrap();
        assert!(!unfinished.exists());
    }
    trial.driver.destroy(&trial.id, &trial.cx).await.unwrap();
    // The first attempt had a seed, the second has none.
    fs::create_dir_all(trial.folder()).unwrap();
    fs::write(&unfinished, "secret").unwrap();
    let mut spec = trial.spec();
    spec.seed.clear();
    trial.driver.create(&trial.id, &spec, &trial.cx).await.unwrap();
    assert!(!unfinished.exists());
    trial.end().await;
}

#[tokio::test]
async fn a_program_that_still_works_on_a_disk_is_waited_for() {
    let Some(trial) = Trial::new() else { return };
    trial.driver.create(&trial.id, &trial.spec(), &trial.cx).await.unwrap();
    let mut tool = Command::new("sleep")
        .arg0("qemu-img")
        .arg("60")
        .current_dir(trial.folder())
        .spawn()
        .unwrap();
    let soon = || trial.cx.within(Duration::from_millis(200));
    let results = [
        trial.driver.create(&trial.id, &trial.spec(), &soon()).await,
        trial.driver.start(&trial.id, &soon()).await,
        trial.driver.destroy(&trial.id, &soon()).await,
    ];
    tool.kill().unwrap();
    tool.wait().unwrap();
    for result in results {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Driver);
        assert!(error.to_string().contains("qemu-img"), "{error}");
    }
    trial.driver.start(&trial.id, &trial.cx).await.unwrap();
    trial.end().await;
}
