//! What only this driver promises: nothing it starts is ever lost, ports stay or are
//! replaced with a word, and nobody keeps a seed open.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use fleet_driver::{ErrorKind, Power, Stop};

use crate::trial::{FLEET, Trial, processes};

#[tokio::test]
async fn a_process_whose_folder_is_gone_is_found_and_ended() {
    let Some(trial) = Trial::new() else { return };
    let pid = trial.running().await;
    fs::remove_dir_all(trial.folder()).unwrap();
    let listed = trial.driver.list(Some(FLEET), &trial.cx).await.unwrap();
    assert_eq!(listed, std::slice::from_ref(&trial.id));
    let Some(Power::Broken(why)) = trial.power().await else { panic!("it is not broken") };
    assert!(why.contains(&pid.to_string()), "{why}");
    trial.driver.destroy(&trial.id, &trial.cx).await.unwrap();
    assert!(processes().is_empty());
    assert_eq!(trial.driver.list(Some(FLEET), &trial.cx).await.unwrap(), []);
    trial.end().await;
}

#[tokio::test]
async fn create_ends_a_process_whose_folder_is_gone() {
    let Some(trial) = Trial::new() else { return };
    let old = trial.running().await;
    fs::remove_dir_all(trial.folder()).unwrap();
    let new = trial.running().await;
    assert_ne!(old, new);
    assert_eq!(processes().len(), 1);
    trial.end().await;
}

#[tokio::test]
async fn a_process_that_does_not_answer_is_broken_and_can_be_ended() {
    let Some(trial) = Trial::new() else { return };
    let pid = trial.running().await;
    let stopped = Command::new("kill").args(["-STOP", &pid.to_string()]).status().unwrap();
    assert!(stopped.success());
    assert!(matches!(trial.power().await, Some(Power::Broken(_))));
    trial.driver.stop(&trial.id, Stop::Hard, &trial.cx).await.unwrap();
    assert_eq!(trial.power().await, Some(Power::Stopped));
    trial.end().await;
}

#[tokio::test]
async fn a_killed_process_is_a_stopped_machine() {
    let Some(trial) = Trial::new() else { return };
    let pid = trial.running().await;
    Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap();
    trial.driver.stop(&trial.id, Stop::Soft, &trial.cx).await.unwrap();
    assert_eq!(trial.power().await, Some(Power::Stopped));
    trial.driver.start(&trial.id, &trial.cx).await.unwrap();
    trial.pid().await;
    trial.end().await;
}

#[tokio::test]
async fn an_automatic_port_stays_unless_it_is_taken() {
    let Some(mut trial) = Trial::new() else {
        return;
    };
    trial.running().await;
    let ports = |seen: fleet_driver::Sighting| (seen.ssh.unwrap(), seen.engine.unwrap());
    let first = ports(trial.driver.inspect(&trial.id, &trial.cx).await.unwrap().unwrap());
    trial.driver.stop(&trial.id, Stop::Hard, &trial.cx).await.unwrap();
    trial.driver.start(&trial.id, &trial.cx).await.unwrap();
    let second = ports(trial.driver.inspect(&trial.id, &trial.cx).await.unwrap().unwrap());
    assert_eq!(first, second);
    assert_eq!(trial.notes(), Vec::<String>::new());

    trial.driver.stop(&trial.id, Stop::Hard, &trial.cx).await.unwrap();
    let taken = TcpListener::bind(first.0).unwrap();
    trial.driver.start(&trial.id, &trial.cx).await.unwrap();
    let third = ports(trial.driver.inspect(&trial.id, &trial.cx).await.unwrap().unwrap());
    assert_ne!(third.0, first.0);
    assert_eq!(third.1, first.1);
    let notes = trial.notes();
    assert!(notes.iter().any(|note| note.contains("fleet env")), "{notes:?}");
    drop(taken);
    trial.end().await;
}

#[tokio::test]
async fn a_fixed_port_that_is_taken_is_an_error_that_names_the_holder() {
    let Some(trial) = Trial::new() else { return };
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut spec = trial.spec();
    spec.options.insert("ssh_port".to_owned(), i64::from(port).into());
    trial.driver.create(&trial.id, &spec, &trial.cx).await.unwrap();
    let error = trial.driver.start(&trial.id, &trial.cx).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Host);
    let holder = error.context().iter().find(|(key, _)| *key == "held by").unwrap();
    assert!(holder.1.contains(&std::process::id().to_string()), "{holder:?}");
    drop(taken);
    trial.driver.start(&trial.id, &trial.cx).await.unwrap();
    trial.end().await;
}

#[tokio::test]
async fn a_folder_with_a_long_path_works() {
    let Some(trial) = Trial::below(&"long/".repeat(40)) else {
        return;
    };
    trial.running().await;
    trial.stand.up(&trial.id, &trial.cx).await.unwrap();
    trial.driver.unseed(&trial.id, &trial.cx).await.unwrap();
    trial.driver.stop(&trial.id, Stop::Soft, &trial.cx).await.unwrap();
    trial.end().await;
}

#[tokio::test]
async fn secrets_are_for_this_user_and_gone_when_used() {
    use std::os::unix::fs::PermissionsExt;
    let Some(trial) = Trial::new() else { return };
    let pid = trial.running().await;
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(trial.folder()), 0o700);
    assert_eq!(mode(trial.folder().join("seed.iso")), 0o600);
    let open = || -> Vec<PathBuf> {
        let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
        entries.filter_map(|entry| fs::read_link(entry.path()).ok()).collect()
    };
    let has_seed = |paths: &[PathBuf]| paths.iter().any(|p| p.to_string_lossy().contains("seed"));
    assert!(has_seed(&open()));
    trial.driver.unseed(&trial.id, &trial.cx).await.unwrap();
    assert!(!has_seed(&open()), "{:?}", open());
    assert!(!trial.folder().join("seed.iso").exists());
    trial.end().await;
}

#[tokio::test]
async fn a_machine_that_is_off_takes_its_new_size() {
    let Some(mut trial) = Trial::new() else {
        return;
    };
    trial.running().await;
    let mut spec = trial.spec();
    spec.memory_mib = 48;
    spec.disk_mib = 64;
    trial.driver.create(&trial.id, &spec, &trial.cx).await.unwrap();
    let seen = trial.driver.inspect(&trial.id, &trial.cx).await.unwrap().unwrap();
    assert_eq!(seen.memory_mib, 32);
    assert_eq!(trial.notes().len(), 1);

    trial.driver.stop(&trial.id, Stop::Hard, &trial.cx).await.unwrap();
    trial.driver.create(&trial.id, &spec, &trial.cx).await.unwrap();
    let seen = trial.driver.inspect(&trial.id, &trial.cx).await.unwrap().unwrap();
    assert_eq!(seen.memory_mib, 48);
    let disk = trial.folder().join("disk.qcow2");
    let info = Command::new("qemu-img").args(["info", "--output=json"]).arg(disk).output().unwrap();
    let info: serde_json::Value = serde_json::from_slice(&info.stdout).unwrap();
    assert_eq!(info["virtual-size"], 64 << 20);
    trial.driver.start(&trial.id, &trial.cx).await.unwrap();
    trial.end().await;
}

#[tokio::test]
async fn what_qemu_says_is_in_the_error() {
    let Some(trial) = Trial::new() else { return };
    let mut spec = trial.spec();
    let args = vec!["-device", "no-such-device"];
    spec.options.insert("args".to_owned(), args.into());
    trial.driver.create(&trial.id, &spec, &trial.cx).await.unwrap();
    let error = trial.driver.start(&trial.id, &trial.cx).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Driver);
    assert!(error.to_string().contains("no-such-device"), "{error}");
    assert_eq!(trial.power().await, Some(Power::Stopped));
    trial.end().await;
}

#[tokio::test]
async fn a_strangers_folder_is_left_alone() {
    let Some(trial) = Trial::new() else { return };
    fs::create_dir_all(trial.folder()).unwrap();
    let theirs = trial.folder().join("box.vbox");
    fs::write(&theirs, "theirs").unwrap();
    assert_eq!(trial.power().await, None);
    assert_eq!(trial.driver.list(Some(FLEET), &trial.cx).await.unwrap(), []);
    let error = trial.driver.create(&trial.id, &trial.spec(), &trial.cx).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    trial.driver.destroy(&trial.id, &trial.cx).await.unwrap();
    assert_eq!(fs::read_to_string(&theirs).unwrap(), "theirs");
    fs::remove_dir_all(trial.folder()).unwrap();
    trial.end().await;
}

#[tokio::test]
async fn a_damaged_description_does_not_keep_a_machine() {
    let Some(trial) = Trial::new() else { return };
    trial.running().await;
    fs::write(trial.folder().join("machine.json"), "{").unwrap();
    assert!(matches!(trial.power().await, Some(Power::Broken(_))));
    let listed = trial.driver.list(Some(FLEET), &trial.cx).await.unwrap();
    assert_eq!(listed, std::slice::from_ref(&trial.id));
    trial.driver.destroy(&trial.id, &trial.cx).await.unwrap();
    assert!(processes().is_empty());
    trial.end().await;
}
