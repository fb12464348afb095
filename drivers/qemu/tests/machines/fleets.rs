//! Several fleets of one user, and several data folders.

#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

use fleet_driver::event::Reporter;
use fleet_driver::{Cx, ErrorKind, Finding, Level, MachineId, Power, Stop, VmSpec};
use tokio_util::sync::CancellationToken;

use crate::trial::{FLEET, Trial};

async fn errors(trial: &Trial, id: &MachineId, spec: &VmSpec) -> Vec<Finding> {
    let wanted = [(id.clone(), spec.clone())];
    let found = trial.driver.check(&wanted, &trial.cx).await.unwrap();
    found.into_iter().filter(|finding| finding.level == Level::Error).collect()
}

#[tokio::test]
async fn fleets_do_not_choose_each_others_ports() {
    let Some(trial) = Trial::new() else { return };
    trial.driver.create(&trial.id, &trial.spec(), &trial.cx).await.unwrap();
    let ssh = || async {
        let seen = trial.driver.inspect(&trial.id, &trial.cx).await.unwrap().unwrap();
        seen.ssh.unwrap().port()
    };
    let first = ssh().await;
    trial.driver.destroy(&trial.id, &trial.cx).await.unwrap();

    let mut fixed = trial.stand.machine(2);
    fixed.options.insert("ssh_port".to_owned(), i64::from(first).into());
    let theirs = MachineId::new("machines-other", "host1");
    trial.driver.create(&theirs, &fixed, &trial.cx).await.unwrap();
    trial.driver.create(&trial.id, &trial.spec(), &trial.cx).await.unwrap();
    assert_ne!(ssh().await, first);

    // Two fleets may fix the same port, as long as one is off; machines of one may not.
    assert_eq!(errors(&trial, &trial.id, &fixed).await, []);
    let neighbour = MachineId::new("machines-other", "host2");
    assert_eq!(errors(&trial, &neighbour, &fixed).await.len(), 1);
    trial.driver.destroy(&theirs, &trial.cx).await.unwrap();
    trial.end().await;
}

#[tokio::test]
async fn a_machine_that_runs_from_another_data_folder_is_not_disturbed() {
    let Some(trial) = Trial::new() else { return };
    let pid = trial.running().await;
    let (driver, id, abroad) = (&trial.driver, &trial.id, trial.abroad());
    let seen = driver.inspect(id, &abroad).await.unwrap().unwrap();
    let Power::Broken(why) = seen.power else { panic!("it is {:?}", seen.power) };
    assert!(why.contains(&trial.folder().display().to_string()), "{why}");
    for result in [
        driver.create(id, &trial.spec(), &abroad).await,
        driver.start(id, &abroad).await,
        driver.stop(id, Stop::Hard, &abroad).await,
        driver.destroy(id, &abroad).await,
    ] {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.hint_text().unwrap().contains("FLEET_DATA"), "{error}");
    }
    assert!(!abroad.scratch_root().exists());
    // What collects garbage must not take it for some, but its own fleet sees it.
    assert!(!driver.list(None, &abroad).await.unwrap().contains(id));
    assert_eq!(driver.list(Some(FLEET), &abroad).await.unwrap(), std::slice::from_ref(id));
    assert_eq!(trial.pid().await, pid);
    trial.end().await;
}

#[tokio::test]
async fn a_data_folder_may_be_moved_while_its_machines_run() {
    let Some(trial) = Trial::new() else { return };
    let pid = trial.running().await;
    let abroad = trial.abroad();
    std::fs::rename(trial.cx.scratch_root(), abroad.scratch_root()).unwrap();
    let seen = trial.driver.inspect(&trial.id, &abroad).await.unwrap().unwrap();
    assert_eq!((seen.power, &seen.details["pid"]), (Power::Running, &pid.to_string()));
    trial.driver.destroy(&trial.id, &abroad).await.unwrap();
    trial.end().await;
}

#[tokio::test]
async fn a_path_that_is_too_long_is_told_before_anything_is_made() {
    let Some(trial) = Trial::new() else { return };
    let root = trial.stand.folder().join("long/".repeat(810));
    let cx = Cx::new(root, Reporter::silent(), CancellationToken::new());
    let wanted = [(trial.id.clone(), trial.spec())];
    let found = trial.driver.check(&wanted, &cx).await.unwrap();
    let hints: Vec<&String> = found
        .iter()
        .filter(|finding| finding.level == Level::Error)
        .filter_map(|finding| finding.hint.as_ref())
        .collect();
    assert!(hints.len() == 1 && hints[0].contains("FLEET_DATA"), "{found:?}");
    for error in [
        trial.driver.create(&trial.id, &trial.spec(), &cx).await.unwrap_err(),
        trial.driver.inspect(&trial.id, &cx).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Host);
        assert!(error.hint_text().unwrap().contains("FLEET_DATA"), "{error}");
    }
    assert!(!trial.stand.folder().join("long").exists());
    trial.end().await;
}

#[tokio::test]
async fn a_running_machine_takes_over_another_mark_at_once() {
    let Some(mut trial) = Trial::new() else {
        return;
    };
    trial.running().await;
    let mut spec = trial.spec();
    spec.mark.insert("home".to_owned(), "/elsewhere".to_owned());
    trial.driver.create(&trial.id, &spec, &trial.cx).await.unwrap();
    let seen = trial.driver.inspect(&trial.id, &trial.cx).await.unwrap().unwrap();
    assert_eq!((seen.power, seen.mark), (Power::Running, spec.mark));
    assert_eq!(trial.notes(), Vec::<String>::new());
    trial.end().await;
}
