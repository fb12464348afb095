//! A program that is killed, as by `kill -9`, at any moment of any verb.
//!
//! The victim is this test program itself, which plays the life of a machine over and
//! over. Whatever its end has left, the next `create` or `destroy` copes with.

#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fleet_driver::event::Reporter;
use fleet_driver::wait::{pause_for, until};
use fleet_driver::{Cx, Driver, Error, MachineId, Power, Secret, Stop};
use tokio_util::sync::CancellationToken;

use crate::stand::Stand;
use crate::trial::{FLEET, Trial, processes};

/// Names the folder of the stand that the victim plays on.
const PLACE: &str = "FLEET_TEST_VICTIM";
/// How often the victim is killed.
const TIMES: u64 = 24;

/// The life of a machine, over and over.
async fn live(place: &Path, cx: &Cx) {
    let (driver, small) = Stand::of_folder(place);
    let id = MachineId::new(FLEET, "host1");
    let mut spec = small;
    spec.seed.push(("user-data".to_owned(), Secret::new(b"secret".to_vec())));
    loop {
        driver.create(&id, &spec, cx).await.unwrap();
        driver.start(&id, cx).await.unwrap();
        driver.unseed(&id, cx).await.unwrap();
        driver.stop(&id, Stop::Hard, cx).await.unwrap();
        let mut larger = spec.clone();
        larger.disk_mib += 16;
        driver.create(&id, &larger, cx).await.unwrap();
        driver.start(&id, cx).await.unwrap();
        driver.destroy(&id, cx).await.unwrap();
    }
}

/// The victim; does nothing unless it is called as one.
#[tokio::test]
async fn victim() {
    let Some(place) = std::env::var_os(PLACE) else {
        return;
    };
    let place = Path::new(&place);
    let cx = Cx::new(place.join("machines"), Reporter::silent(), CancellationToken::new());
    std::fs::write(place.join("ready"), "").unwrap();
    live(place, &cx).await;
}

fn victim_at(place: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed::victim"])
        .env(PLACE, place)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn whatever_a_kill_leaves_can_be_used_or_removed() {
    let Some(trial) = Trial::new() else { return };
    let (driver, id, cx) = (&trial.driver, &trial.id, &trial.cx);
    let place = trial.stand.folder();
    for time in 0..TIMES {
        let mut victim = victim_at(place);
        let ready = place.join("ready");
        until(cx, "the victim", "", || async {
            if ready.exists() { Ok(()) } else { Err(Error::busy("it has not begun")) }
        })
        .await
        .unwrap();
        // Steps that have no common measure with those of the victim.
        pause_for(cx, Duration::from_millis(time * 37)).await.unwrap();
        assert_eq!(victim.try_wait().unwrap(), None, "the victim has ended by itself");
        victim.kill().unwrap();
        victim.wait().unwrap();
        std::fs::remove_file(&ready).unwrap();

        let left = driver.inspect(id, cx).await.unwrap();
        let listed = driver.list(None, cx).await.unwrap().contains(id);
        assert!(listed || (left.is_none() && !trial.folder().exists()), "{left:?} is not listed");
        if time % 2 == 0 {
            let left = format!("after {time}: {left:?}");
            driver.create(id, &trial.spec(), cx).await.expect(&left);
            driver.start(id, cx).await.expect(&left);
            assert_eq!(trial.power().await, Some(Power::Running), "{left}");
            assert_eq!(processes().len(), 1, "{left}");
        }
        driver.destroy(id, cx).await.unwrap();
        assert_eq!(processes(), Vec::<String>::new(), "after {time}");
        assert!(!driver.list(None, cx).await.unwrap().contains(id), "after {time}");
        let root = std::fs::read_dir(cx.scratch_root());
        assert_eq!(root.into_iter().flatten().count(), 0, "after {time}");
    }
    trial.end().await;
}
