//! `up`, `down` and their like, whole commands on the fake driver.

use fleet_driver::ErrorKind;
use fleet_driver::fake::Verb;

use crate::support::scenario::Scenario;

#[tokio::test]
async fn up_makes_what_is_missing_and_then_has_nothing_to_do() {
    let lab = Scenario::plain().await;
    lab.fleet(&["plan", "--exit-code"]).await.exits(2);
    lab.fleet(&["up"]).await.exits(0);
    lab.fleet(&["up"]).await.exits(0).says("Nothing to do: 2 machines run as the file says");
    lab.fleet(&["plan", "--exit-code"]).await.exits(0);
    for name in ["web-1", "web-2"] {
        assert_eq!(lab.calls(name, Verb::Create), 1);
        assert_eq!(lab.calls(name, Verb::Start), 1);
        assert_eq!(lab.calls(name, Verb::Unseed), 1);
        assert!(!lab.dir().join(format!(".fleet/ssh/{name}.hostkey")).exists());
    }
    let listed = lab.fleet(&["ls"]).await.exits(0).stdout;
    assert_eq!(listed.matches("Running").count(), 2, "{listed}");
    assert_eq!(lab.fleet(&["status", "web-1"]).await.exits(0).stdout, "Running\n");
    assert_eq!(lab.fleet(&["ip"]).await.exits(0).stdout, "10.77.0.11\n10.77.0.12\n");
}

#[tokio::test]
async fn machines_live_in_the_data_folder_and_know_whose_they_are() {
    let lab = Scenario::plain().await;
    lab.fleet(&["up"]).await.exits(0);
    let inspected = lab.fleet(&["inspect", "web-1"]).await.exits(0).stdout;
    let machine = &serde_json::from_str::<serde_json::Value>(&inspected).unwrap()[0];
    let id = machine["id"].as_str().unwrap();
    let machines = lab.data().join("machines");
    assert!(machines.join(id).is_dir(), "{} in {}", id, machines.display());
    assert!(!lab.dir().join(".fleet/machines").exists());

    let mark = &machine["seen"]["machine"]["mark"];
    let home = lab.dir().canonicalize().unwrap();
    assert_eq!(mark["home"], home.display().to_string());
    assert_eq!(mark["driver"], "qemu");
    assert_eq!(mark["user"], machine["record"]["user"]);
    assert_eq!(mark["created"], machine["record"]["created"]);
    assert_eq!(mark["host-key"], lab.server("web-1").host_key.public);
    assert!(!mark["host"].as_str().unwrap().is_empty());

    std::fs::remove_dir_all(lab.dir().join(".fleet")).unwrap();
    assert!(machines.join(id).is_dir(), "a machine went with the records");
    lab.fleet(&["down"]).await.exits(0);
    assert_eq!(std::fs::read_dir(machines).unwrap().count(), 0);
}

#[tokio::test]
async fn one_machines_failure_stops_no_other_and_the_same_command_finishes() {
    let lab = Scenario::plain().await;
    lab.fake.fail("web-1", Verb::Start, ErrorKind::Driver, 1);
    let ended = lab.fleet(&["up"]).await.exits(1).says("web-1").says("tell it otherwise");
    assert!(ended.stderr.contains("fleet up"), "what to do next: {}", ended.stderr);
    assert_eq!(lab.fleet(&["status", "web-2"]).await.stdout, "Running\n");
    assert_eq!(lab.fleet(&["status", "web-1"]).await.stdout, "Stopped\n");
    lab.fleet(&["up"]).await.exits(0);
    assert_eq!(lab.calls("web-1", Verb::Create), 1);
    assert_eq!(lab.calls("web-2", Verb::Create), 1);
}

#[tokio::test]
async fn what_stands_in_the_way_is_said_before_anything_is_made() {
    let lab = Scenario::plain().await;
    lab.fake.room(1024, 1 << 20);
    lab.fleet(&["up"]).await.exits(4);
    assert_eq!(lab.fake.machines(), []);
    assert!(!lab.dir().join(".fleet/state.toml").exists());
    assert!(!lab.dir().join(".fleet/certs").exists(), "keys of a fleet that is not there");
}

#[tokio::test]
async fn ctrl_c_ends_the_run_and_the_next_one_goes_on() {
    let lab = Scenario::plain().await;
    lab.fake.hang("web-2", Verb::Start);
    let host = lab.host();
    let run = lab.fleet_on(&host, &["up"]);
    let interrupt = async {
        lab.fake.called("web-2", Verb::Start).await;
        host.cancel().cancel();
    };
    let (ended, ()) = tokio::join!(run, interrupt);
    ended.exits(130).says("web-2");
    lab.fake.mend("web-2", Verb::Start);
    lab.fleet(&["up"]).await.exits(0);
    assert_eq!(lab.calls("web-2", Verb::Create), 1);
}

#[tokio::test]
async fn a_machine_destroyed_behind_fleets_back_is_made_again_with_another_key() {
    let lab = Scenario::plain().await;
    lab.fleet(&["up"]).await.exits(0);
    lab.fake.vanish("web-1");
    let plan = lab.fleet(&["plan"]).await.exits(0).stdout;
    assert!(plan.contains("it does not exist"), "{plan}");
    // Its stand-in keeps the old key, which is now a stranger's: no login is tried.
    let logins = lab.server("web-1").seen().logins;
    lab.fleet(&["up"]).await.exits(1).says("host key");
    assert_eq!(lab.server("web-1").seen().logins, logins);
}

#[tokio::test]
async fn stop_and_start_are_idempotent() {
    let lab = Scenario::plain().await;
    lab.fleet(&["stop"]).await.exits(5).says("fleet up");
    lab.fleet(&["up"]).await.exits(0);
    for _ in 0..2 {
        lab.fleet(&["stop", "web-1"]).await.exits(0);
        assert_eq!(lab.fleet(&["status", "web-1"]).await.stdout, "Stopped\n");
    }
    for _ in 0..2 {
        lab.fleet(&["start", "web-1"]).await.exits(0);
        assert_eq!(lab.fleet(&["status", "web-1"]).await.stdout, "Running\n");
    }
    lab.fleet(&["restart"]).await.exits(0);
    lab.fleet(&["stop"]).await.exits(0);
    lab.fleet(&["up"]).await.exits(0);
    assert_eq!(lab.calls("web-1", Verb::Create), 1);
}

#[tokio::test]
async fn a_guest_that_does_not_shut_down_loses_its_power() {
    let lab = Scenario::plain().await;
    lab.fleet(&["up"]).await.exits(0);
    lab.fake.fail("web-1", Verb::Stop, ErrorKind::Busy, 1);
    lab.fleet(&["stop", "web-1"]).await.exits(0).says("its power was cut");
    assert_eq!(lab.fleet(&["status", "web-1"]).await.stdout, "Stopped\n");
}

#[tokio::test]
async fn down_leaves_nothing_and_says_so_the_second_time() {
    let lab = Scenario::plain().await;
    lab.fleet(&["up"]).await.exits(0);
    lab.fleet(&["down", "web-2"]).await.exits(0);
    assert_eq!(lab.fake.machines().len(), 1);
    assert_eq!(lab.fleet(&["status", "web-2"]).await.stdout, "Absent\n");
    lab.fleet(&["down"]).await.exits(0);
    assert_eq!(lab.fake.machines(), []);
    assert!(!lab.dir().join(".fleet").exists());
    lab.fleet(&["down"]).await.exits(0).says("Nothing to remove");
    assert!(!lab.dir().join(".fleet").exists());
}

#[tokio::test]
async fn a_down_that_failed_is_finished_by_the_next() {
    let lab = Scenario::plain().await;
    lab.fleet(&["up"]).await.exits(0);
    lab.fake.fail("web-1", Verb::Destroy, ErrorKind::Driver, 1);
    lab.fleet(&["down"]).await.exits(1).says("web-1");
    assert_eq!(lab.fake.machines().len(), 1);
    lab.fleet(&["down"]).await.exits(0);
    assert_eq!(lab.fake.machines(), []);
    assert!(!lab.dir().join(".fleet").exists());
}

#[tokio::test]
async fn lost_records_lose_no_machine() {
    let lab = Scenario::plain().await;
    lab.fleet(&["up"]).await.exits(0);
    std::fs::remove_file(lab.dir().join(".fleet/state.toml")).unwrap();
    assert_eq!(lab.fleet(&["status", "web-1"]).await.stdout, "Running\n");
    lab.fleet(&["down"]).await.exits(0);
    assert_eq!(lab.fake.machines(), []);
}

#[tokio::test]
async fn a_machine_that_left_the_file_is_told_and_left_alone_until_it_is_named() {
    let lab = Scenario::plain().await;
    lab.fleet(&["up"]).await.exits(0);
    let file = lab.dir().join("machines.toml");
    let text = std::fs::read_to_string(&file).unwrap().replace("count = 2", "count = 1");
    std::fs::write(&file, text).unwrap();
    lab.fleet(&["up"]).await.exits(0).says("fleet down web-2");
    assert_eq!(lab.fake.machines().len(), 2);
    lab.fleet(&["down", "web-2"]).await.exits(0);
    assert_eq!(lab.fake.machines().len(), 1);
    lab.fleet(&["up"]).await.exits(0).says("Nothing to do: `web-1` runs");
}

#[tokio::test]
async fn whoever_holds_the_lock_is_named_and_reads_go_on() {
    let lab = Scenario::plain().await;
    let mut store = fleet::state::Store::open(lab.dir()).unwrap();
    let lock = store.lock("fleet up").unwrap();
    lab.fleet(&["up"]).await.exits(5).says("`fleet up`").says("process");
    lab.fleet(&["ls"]).await.exits(0);
    drop(lock);
    lab.fleet(&["up"]).await.exits(0);
}

#[tokio::test]
async fn a_wrong_name_is_one_clear_error() {
    let lab = Scenario::plain().await;
    for verb in ["up", "down", "status", "start", "stop", "ip", "url", "inspect", "ssh", "env"] {
        lab.fleet(&[verb, "wbe-1"]).await.exits(5).says("did you mean `web-1`?");
    }
    assert_eq!(lab.fake.machines(), []);
}

#[tokio::test]
async fn json_is_one_object_a_line_with_the_version_first() {
    let lab = Scenario::plain().await;
    let up = lab.fleet(&["up", "--json"]).await.exits(0);
    assert!(up.stdout.lines().count() > 10);
    for line in up.stdout.lines() {
        assert!(line.starts_with(r#"{"v":1,"#), "{line}");
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    for args in [["ls", "--json"], ["status", "--json"], ["plan", "--json"], ["ip", "--json"]] {
        let text = lab.fleet(&args).await.exits(0).stdout;
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
    }
    lab.fleet(&["--json", "status", "nobody"]).await.exits(5);
}
