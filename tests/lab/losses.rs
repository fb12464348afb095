//! Three managers on real machines, and what they lose: `fleet` itself at one point after
//! the other, a machine, the records, the keys.

use std::collections::BTreeMap;
use std::time::Duration;

use super::harness::{Lab, MINUTE};
use super::web;

const MANAGERS: &str = r#"
[fleet]
name = "losses"
[defaults]
image = "debian-12"
[network]
subnet = "10.78.0.0/24"
[swarm]
[machine.host]
count = 3
role = "manager"
"#;

const NAMES: [&str; 3] = ["host-1", "host-2", "host-3"];

/// Where `up` dies in turn, each time further on.
const POINTS: [&str; 8] = [
    "before-rename:state.toml#1",
    "after-create:host-2#1",
    "before-connect:host-1#1",
    "after-connect:host-2#1",
    "before-wait-engine:host-3#1",
    "after-init-swarm:host-1#1",
    "before-join-swarm:host-2#1",
    "before-unseed:host-3#1",
];

#[test]
fn three_managers_lose_what_can_be_lost() {
    let lab = Lab::of("losses", MANAGERS);
    lab.needs_image();

    lab.say("`fleet up` dies at one point after the other, then finishes");
    let mut died = 0;
    for point in POINTS {
        // The work may be past a point already: lanes do not wait for one another.
        died += usize::from(lab.fleet(&["up"]).within(8 * MINUTE).dies_at(point));
        same_machines(&lab);
    }
    lab.say(&format!("  it died at {died} of {} points", POINTS.len()));
    assert!(died >= 4, "the points are not there any more: {died}");
    lab.fleet(&["up"]).within(8 * MINUTE).ok();
    whole(&lab);

    lab.say("it is killed at arbitrary times, with engines to change");
    lab.edit("[swarm]", "[engine]\nlabels = { site = \"lab\" }\n[swarm]");
    for seconds in [3, 20, 35] {
        lab.fleet(&["up"]).killed_after(Duration::from_secs(seconds));
    }
    lab.fleet(&["up"]).within(10 * MINUTE).ok();
    whole(&lab);

    lab.say("a service runs, and a manager is destroyed behind fleet's back");
    load(&lab, &NAMES);
    let create = ["service", "create", "--detach", "--no-resolve-image", "--name", "web"];
    let more = ["--replicas", "3", web::NAME];
    lab.docker("host-1", &[&create[..], &more].concat()).within(MINUTE).ok();
    lab.until("three tasks to run", 4 * MINUTE, || lab.running_tasks("host-1") == 3);
    lab.destroy_behind_its_back("host-3");
    let plan = lab.fleet(&["plan"]).within(MINUTE).ok().stdout;
    assert!(plan.contains("it does not exist"), "{plan}");
    lab.fleet(&["up"]).within(8 * MINUTE).ok();
    whole(&lab);

    lab.say("`.fleet` is deleted");
    let before = boots(&lab);
    std::fs::remove_dir_all(lab.dir().join(".fleet")).expect("it was there");
    let plan = lab.fleet(&["plan"]).within(MINUTE).ok().stdout;
    assert!(plan.contains("its record was lost"), "{plan}");
    lab.fleet(&["up"]).within(3 * MINUTE).ok();
    assert_eq!(boots(&lab), before, "a machine was restarted or made again");
    whole(&lab);

    lab.say("two of three managers are destroyed: the swarm comes back with its service");
    lab.destroy_behind_its_back("host-1");
    lab.destroy_behind_its_back("host-2");
    lab.fleet(&["up"]).within(10 * MINUTE).ok();
    whole(&lab);
    // The service is remembered; its image was on the disks that are gone.
    load(&lab, &NAMES);
    lab.until("three tasks to run", 4 * MINUTE, || lab.running_tasks("host-3") == 3);

    lab.say("a manager goes: out of the swarm first");
    lab.edit("count = 3", "count = 2");
    lab.fleet(&["plan"]).within(MINUTE).ok();
    let dies = "after-leave-swarm:host-3#1";
    assert!(lab.fleet(&["up", "--prune"]).within(5 * MINUTE).dies_at(dies));
    lab.fleet(&["up", "--prune"]).within(5 * MINUTE).ok();
    let nodes = lab.docker("host-1", &["node", "ls", "--format", "{{.Hostname}}"]);
    let nodes = nodes.within(MINUTE).ok().stdout;
    assert_eq!(nodes.lines().count(), 2, "{nodes}");

    lab.say("`fleet down` dies on its way, and the next one leaves nothing");
    assert!(lab.fleet(&["down"]).within(3 * MINUTE).dies_at("after-destroy:host-1#1"));
    lab.fleet(&["down"]).within(3 * MINUTE).ok();
    lab.nothing_is_left();
    lab.fleet(&["gc", "--dry-run"]).within(MINUTE).ok();
}

/// Gives machines the image of the service.
fn load(lab: &Lab, names: &[&str]) {
    let image = web::image();
    for name in names {
        lab.docker(name, &["import", "-c", web::COMMAND, "-", web::NAME])
            .stdin(image.clone())
            .within(2 * MINUTE)
            .ok();
    }
}

/// Nothing is orphaned or made twice: at most one machine of each name, and no other.
fn same_machines(lab: &Lab) {
    let fleets = std::fs::read_dir(lab.data().join("machines")).into_iter().flatten().flatten();
    let machines = fleets.flat_map(|fleet| std::fs::read_dir(fleet.path()).expect("a folder"));
    for machine in machines.flatten() {
        let name = machine.file_name().to_string_lossy().into_owned();
        assert!(NAMES.contains(&name.as_str()), "a stranger: {name}");
    }
}

/// All is as the file says, and the swarm's nodes are its machines and no other.
fn whole(lab: &Lab) {
    lab.fleet(&["plan", "--exit-code"]).within(MINUTE).ok();
    same_machines(lab);
    let nodes = lab.docker(
        "host-1",
        &["node", "ls", "--format", "{{.Hostname}} {{.Status}} {{.ManagerStatus}}"],
    );
    let nodes = nodes.within(MINUTE).ok().stdout;
    assert_eq!(nodes.lines().count(), NAMES.len(), "{nodes}");
    for name in NAMES {
        let ready = |line: &str| line.starts_with(&format!("{name} Ready "));
        assert!(nodes.lines().any(ready), "{nodes}");
    }
    assert_eq!(nodes.matches("Leader").count(), 1, "{nodes}");
    assert_eq!(nodes.matches("Reachable").count(), 2, "{nodes}");
}

/// What tells one boot of each machine from another.
fn boots(lab: &Lab) -> BTreeMap<&'static str, String> {
    let boot = |name| {
        let id = lab.fleet(&["ssh", name, "cat /proc/sys/kernel/random/boot_id"]);
        let key = std::fs::read_to_string(lab.dir().join(".fleet/ssh/known_hosts"));
        (name, format!("{} {}", id.within(MINUTE).ok().stdout, key.unwrap_or_default().len()))
    };
    NAMES.into_iter().map(boot).collect()
}
