//! Edits of `machines.toml`, one after the other.

use std::collections::BTreeMap;

use fleet::config::{Availability, Role};

use super::{brought, lost_tasks, made, noted, plan_of, runs, serves};
use crate::support::sim::What;
use crate::support::world::{MANAGERS, THREE, World};

/// Names that the file may come to use.
const NAMES: [&str; 6] = ["host1", "worker-1", "worker-2", "worker-3", "extra", "host2"];

async fn world() -> World {
    let world = World::new(THREE, &NAMES).await;
    world.fleet(&["up"]).await.exits(0);
    world
}

async fn nodes(world: &World) -> BTreeMap<String, fleet::engine::NodeFacts> {
    let nodes = world.engine("host1").nodes(&crate::sim::cx()).await.unwrap();
    nodes.into_iter().map(|node| (node.hostname.clone(), node)).collect()
}

fn well(world: &World) {
    assert!(world.sim.lost_quorum().is_empty());
    assert!(world.sim.most_engines_down() <= 1, "{}", world.sim.most_engines_down());
    assert_eq!(world.sim.unknown_scripts(), Vec::<String>::new());
    assert_eq!(world.sim.swarms(), 1);
}

#[tokio::test]
async fn machines_come_go_and_change_their_part() {
    let world = world().await;
    serves(&world, "web", 2, &[]).await;

    world.edit(|text| format!("{text}[machine.extra]\nrole = \"worker\"\n"));
    brought(&world, &[]).await;
    world.edit(|text| text.replace("count = 2", "count = 3"));
    brought(&world, &[]).await;
    assert_eq!(nodes(&world).await.len(), 5);

    world.edit(|text| text.replace("count = 3", "count = 2"));
    noted(&world, "`worker-3` (qemu) belongs to this fleet but is not in the file").await;
    assert_eq!(nodes(&world).await.len(), 5);
    brought(&world, &["--prune"]).await;
    assert_eq!(nodes(&world).await.len(), 4);
    assert_eq!(world.sim.times("worker-3", &What::Drained), 1);

    let extra = "[machine.extra]\nrole = ";
    world.edit(|text| text.replace(&format!("{extra}\"worker\""), &format!("{extra}\"manager\"")));
    brought(&world, &[]).await;
    assert!(nodes(&world).await["extra"].votes);
    world.edit(|text| text.replace(&format!("{extra}\"manager\""), &format!("{extra}\"worker\"")));
    brought(&world, &[]).await;
    let extra = &nodes(&world).await["extra"];
    assert_eq!((extra.role, extra.votes), (Role::Worker, false));

    world.edit(|text| format!("{text}labels = {{ zone = \"a\" }}\n"));
    brought(&world, &[]).await;
    assert_eq!(nodes(&world).await["extra"].labels["zone"], "a");
    world.edit(|text| text.replace("labels = { zone = \"a\" }\n", ""));
    brought(&world, &[]).await;
    assert!(nodes(&world).await["extra"].labels.is_empty());

    world.edit(|text| format!("{text}availability = \"drain\"\n"));
    brought(&world, &[]).await;
    assert_eq!(nodes(&world).await["extra"].availability, Availability::Drain);
    world.edit(|text| text.replace("availability = \"drain\"\n", ""));
    brought(&world, &[]).await;
    assert_eq!(nodes(&world).await["extra"].availability, Availability::Active);
    runs(&world, "web").await;
    assert!(!lost_tasks(&world), "{:?}", world.sim.journal());
    well(&world);
    assert_eq!(made(&world, &["host1", "worker-1", "worker-2", "extra"]), [(1, 1); 4]);
}

#[tokio::test]
async fn engines_change_one_after_the_other() {
    let world = World::managers().await;
    world.fleet(&["up"]).await.exits(0);
    serves(&world, "web", 3, &[]).await;
    for (line, found) in [
        ("labels = { site = \"x\" }", "site=x"),
        ("registry_mirrors = [\"https://mirror.example\"]", "https://mirror.example"),
        ("log_driver = \"local\"", "local"),
    ] {
        world.edit(|text| format!("{}[engine]\n{line}\n", without_engine(&text)));
        brought(&world, &[]).await;
        let settings = world.sim.file("host-1", "/etc/docker/daemon.json").unwrap();
        assert!(settings.contains(found), "{settings}");
    }
    world.edit(|text| format!("{}[engine]\nversion = \"26.1\"\n", without_engine(&text)));
    brought(&world, &[]).await;
    for name in ["host-1", "host-2", "host-3"] {
        assert_eq!(world.sim.runs(name).as_deref(), Some("26.1.5+dfsg1"));
        assert_eq!(
            world.sim.times(name, &What::Drained),
            world.sim.times(name, &What::Activated),
            "{name}"
        );
    }
    runs(&world, "web").await;
    assert!(!lost_tasks(&world), "{:?}", world.sim.journal());
    well(&world);
}

fn without_engine(text: &str) -> String {
    text.split("[engine]").next().unwrap().to_owned()
}

#[tokio::test]
async fn sizes_wait_for_a_restart_that_was_allowed() {
    let world = World::new(MANAGERS, &["host-1", "host-2", "host-3"]).await;
    world.fleet(&["up"]).await.exits(0);
    serves(&world, "web", 3, &[]).await;
    for line in ["cpus = 1\nmemory = \"1536 MiB\"", "disk = \"30 GiB\""] {
        world.edit(|text| format!("{text}{line}\n"));
        noted(&world, "That needs a restart: `fleet up --restart`").await;
        brought(&world, &["--restart"]).await;
    }
    well(&world);
    runs(&world, "web").await;
    assert!(!lost_tasks(&world), "{:?}", world.sim.journal());
    let machines = world.machines();
    let first = &machines.iter().find(|m| m.id.machine() == "host-1").unwrap().spec;
    assert_eq!((first.memory_mib, first.disk_mib), (1536, 30 * 1024));
    world.edit(|text| text.replace("30 GiB", "20 GiB"));
    noted(&world, "A disk does not shrink").await;
}

#[tokio::test]
async fn ports_and_images_change() {
    let world = world().await;
    world.edit(|text| {
        text.replace("role = \"manager\"", "role = \"manager\"\nports = [\"127.0.0.1:18080:80\"]")
    });
    noted(&world, "other ports lead into it than the file says").await;
    brought(&world, &["--restart"]).await;

    let made = std::process::Command::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "other.qcow2", "32M"])
        .current_dir(world.dir())
        .status();
    assert!(made.unwrap().success());
    world.edit(|text| {
        text.replace("[machine.worker]", "[machine.worker]\nimage = \"./other.qcow2\"")
    });
    noted(&world, "That needs a new machine: `fleet up --replace worker-1`").await;
    serves(&world, "web", 4, &["node.role==worker"]).await;
    world.fleet(&["up", "--replace", "worker-1"]).await.exits(0);
    assert_eq!(world.sim.times("worker-1", &What::Created), 2);
    assert_eq!(world.sim.times("worker-2", &What::Created), 1);
    world.fleet(&["up", "--replace", "worker-2"]).await.exits(0);
    world.fleet(&["up"]).await.exits(0).says("Nothing to do");
    assert!(plan_of(&world, &[]).await.1 == "[]");
    runs(&world, "web").await;
    assert!(!lost_tasks(&world), "{:?}", world.sim.journal());
    assert_eq!(nodes(&world).await.len(), 3);
    assert!(world.sim.most_engines_down() <= 1);
    assert_eq!(world.sim.swarms(), 1);
}

#[tokio::test]
async fn addresses_and_accounts_need_a_new_machine() {
    let world = world().await;
    world.edit(|text| format!("{text}user = \"ada\"\n"));
    noted(&world, "its account is `").await;
    world.fleet(&["up", "--replace", "worker-1", "--replace", "worker-2"]).await.exits(0);
    assert_eq!(world.sim.times("worker-2", &What::Created), 2);
    world.fleet(&["ssh", "worker-1", "true"]).await;
    world.edit(|text| {
        text.replace("role = \"manager\"", "role = \"manager\"\naddress = \"10.77.0.77\"")
    });
    let (changes, notes) = plan_of(&world, &[]).await;
    assert!(!changes && notes.contains("its address is"), "{notes}");
    // The only manager of a swarm does not go by the way.
    world.fleet(&["up", "--replace", "host1"]).await.exits(5).says("only manager");
}

#[tokio::test]
async fn a_swarm_ends_and_comes_back_and_names_mean_little() {
    let world = world().await;
    world.edit(|text| {
        text.replace("[swarm]\n", "")
            .replace("role = \"manager\"", "")
            .replace("role = \"worker\"", "")
    });
    noted(&world, "`fleet up --prune` ends the swarm").await;
    brought(&world, &["--prune"]).await;
    assert_eq!(world.sim.times("worker-1", &What::Left), 1);
    world.edit(|_| THREE.to_owned());
    brought(&world, &[]).await;
    assert_eq!(world.sim.swarms(), 2);
    assert_eq!(nodes(&world).await.len(), 3);

    world.edit(|text| text.replace("name = \"lab\"", "name = \"other\""));
    world.fleet(&["up"]).await.exits(0).says("Nothing to do");
    world.fleet(&["ls"]).await.exits(0);
    assert_eq!(made(&world, &["host1", "worker-1", "worker-2"]), [(1, 1); 3]);
    world.fleet(&["down"]).await.exits(0);
    assert!(world.machines().is_empty());
}
