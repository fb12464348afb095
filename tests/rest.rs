//! `suspend`, `resume` and `snapshot`, whole commands on the fake driver.

use fleet_driver::{Capabilities, ErrorKind};

use crate::support::scenario::Scenario;

const ABLE: Capabilities = Capabilities {
    seed: true,
    static_addresses: true,
    console: false,
    suspend: true,
    save: true,
    snapshots: true,
};

async fn running(capabilities: Capabilities) -> Scenario {
    let lab = Scenario::plain().await;
    lab.fake.capabilities(capabilities);
    lab.fleet(&["up"]).await.exits(0);
    lab
}

#[tokio::test]
async fn machines_rest_and_go_on() {
    let lab = running(ABLE).await;
    for (flags, state) in
        [(&["suspend", "web-1"][..], "Paused"), (&["suspend", "web-1", "--to-disk"], "Saved")]
    {
        for _ in 0..2 {
            lab.fleet(flags).await.exits(0).says("at rest");
            assert_eq!(lab.fleet(&["status", "web-1"]).await.stdout, format!("{state}\n"));
        }
        lab.fleet(&["ssh", "web-1", "true"]).await.exits(5).says("`fleet start web-1`");
        lab.fleet(&["resume", "web-1"]).await.exits(0);
        assert_eq!(lab.fleet(&["status", "web-1"]).await.stdout, "Running\n");
    }
    lab.fleet(&["suspend"]).await.exits(0);
    // Whoever brings the fleet up wants it to work.
    lab.fleet(&["up"]).await.exits(0);
    assert_eq!(lab.fleet(&["status", "web-1"]).await.stdout, "Running\n");
    lab.fleet(&["stop", "web-1"]).await.exits(0);
    lab.fleet(&["suspend", "web-1"]).await.exits(1);
}

#[tokio::test]
async fn a_driver_that_cannot_is_named_with_another_way() {
    let lab = running(Capabilities { suspend: false, save: false, snapshots: false, ..ABLE }).await;
    lab.fleet(&["suspend", "web-1"]).await.exits(1).says("cannot put machines to rest");
    assert_eq!(lab.fleet(&["status", "web-1"]).await.stdout, "Running\n");
    lab.fleet(&["snapshot", "save", "one"]).await.exits(4).says("takes no snapshots");
    lab.fleet(&["snapshot", "ls"]).await.exits(4);
}

#[tokio::test]
async fn snapshots_come_and_go_by_name() {
    let lab = running(ABLE).await;
    lab.fleet(&["snapshot", "ls"]).await.exits(0).says("No snapshots");
    lab.fleet(&["snapshot", "save", "fresh"]).await.exits(0).says("taken");
    lab.fleet(&["snapshot", "save", "fresh"]).await.exits(5);
    lab.fleet(&["snapshot", "save", "../fresh"]).await.exits(2);
    let listed = lab.fleet(&["snapshot", "ls", "--json"]).await.exits(0).stdout;
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let machines = lab.fleet(&["ls", "--names"]).await.stdout.lines().count();
    assert_eq!(listed["snapshots"].as_array().unwrap().len(), machines, "{listed}");
    assert_eq!(listed["snapshots"][0]["memory"], true);

    lab.fleet(&["stop", "web-1"]).await.exits(0);
    lab.fleet(&["snapshot", "restore", "fresh", "web-1"]).await.exits(0).says("brought back");
    assert_eq!(lab.fleet(&["status", "web-1"]).await.stdout, "Running\n");
    lab.fleet(&["snapshot", "restore", "stale", "web-1"]).await.exits(5);
    lab.fleet(&["snapshot", "rm", "fresh"]).await.exits(0);
    lab.fleet(&["snapshot", "rm", "fresh"]).await.exits(0);
    lab.fleet(&["snapshot", "ls"]).await.exits(0).says("No snapshots");

    lab.fake.fail("web-1", fleet_driver::fake::Verb::Snapshot, ErrorKind::Driver, 1);
    lab.fleet(&["snapshot", "save", "half"]).await.exits(6).says("web-1");
    let table = lab.fleet(&["snapshot", "ls"]).await.exits(0).stdout;
    assert!(table.contains("half") && !table.contains("web-1"), "{table}");
}
