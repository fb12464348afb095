//! `create` and `rm`: machines that come into the file and go out of it again.

use fleet_driver::ErrorKind;
use fleet_driver::fake::Verb;

use crate::support::world::{THREE, World};

async fn three() -> World {
    World::new(THREE, &["host1", "worker-1", "worker-2", "db", "default"]).await
}

fn file(world: &World) -> String {
    std::fs::read_to_string(world.dir().join("machines.toml")).unwrap()
}

fn names(world: &World) -> Vec<String> {
    let mut names: Vec<String> =
        world.machines().into_iter().map(|machine| machine.id.machine().to_owned()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_machine_is_added_and_brought_up_alone() {
    let world = three().await;
    world.fleet(&["up", "host1"]).await.exits(0);
    let words = ["create", "-d", "qemu", "db", "--cpus", "2", "--memory", "2048"];
    let more = ["--label", "site=attic", "--engine-label", "a=b", "--engine-env", "A=b c"];
    world.fleet(&[words.as_slice(), &more].concat()).await.exits(0);
    assert_eq!(names(&world), ["db", "host1"]);
    assert_eq!(
        file(&world),
        format!(
            "{THREE}\n[machine.db]\ndriver = \"qemu\"\nmemory = \"2048 MiB\"\ncpus = 2\n\
             labels = {{ site = \"attic\" }}\n\n[machine.db.engine]\nlabels = {{ a = \"b\" }}\n\
             env = {{ A = \"b c\" }}\n"
        )
    );
    let listed = world.fleet(&["ls", "--filter", "name=db"]).await.exits(0).stdout;
    assert!(listed.contains("worker"), "it has joined the swarm: {listed}");
    world.fleet(&["up", "db"]).await.exits(0).says("Nothing to do");
    world.fleet(&["create", "db"]).await.exits(5).says("already");
}

#[tokio::test]
async fn a_file_is_made_where_there_is_none() {
    let world = three().await;
    std::fs::remove_file(world.dir().join("machines.toml")).unwrap();
    world.fleet(&["create", "default", "--image", "./base.qcow2"]).await.exits(0);
    assert_eq!(
        file(&world),
        "[fleet]\nname = \"fleet\"\n\n[machine.default]\nimage = \"./base.qcow2\"\n"
    );
    assert_eq!(names(&world), ["default"]);
    world.fleet(&["rm", "default", "-y"]).await.exits(0).says("names no machine any more");
    assert!(names(&world).is_empty());
    assert!(!world.dir().join(".fleet").exists());
    // And again, into the file that has none now.
    world.fleet(&["create", "default", "--image", "./base.qcow2"]).await.exits(0);
    assert_eq!(names(&world), ["default"]);
}

#[tokio::test]
async fn a_wrong_machine_is_not_written() {
    let world = three().await;
    for (words, said) in [
        (["create", "db", "--memory", "2 pounds"].as_slice(), "is not a unit"),
        (&["create", "Bad_Name"], "cannot be the name of a machine"),
        (&["create", "Bad_Name"], "Nothing was written"),
        (&["create", "worker-1"], "worker-1"),
        (&["create", "db", "--role", "king"], "king"),
        (&["create", "db", "--engine-opt", "bip=x"], "no key for the option"),
        (&["create"], "NAME"),
    ] {
        let done = world.fleet(words).await;
        assert_ne!(done.code, 0, "{words:?}");
        assert!(done.stderr.contains(said), "{words:?}: no `{said}` in {}", done.stderr);
        assert_eq!(file(&world), THREE, "{words:?}");
    }
    assert!(names(&world).is_empty());
    assert!(!world.dir().join(".fleet").exists(), "nothing at all is made");
}

#[tokio::test]
async fn a_machine_that_did_not_come_up_stays_in_the_file() {
    let world = three().await;
    world.fleet(&["up"]).await.exits(0);
    world.fake.fail("db", Verb::Create, ErrorKind::Driver, 1);
    let done = world.fleet(&["create", "db"]).await;
    assert_ne!(done.code, 0);
    for text in ["fleet up db", "fleet rm db"] {
        assert!(done.stderr.contains(text), "no `{text}` in {}", done.stderr);
    }
    assert!(file(&world).contains("[machine.db]"));
    world.fleet(&["up", "db"]).await.exits(0);
    world.fleet(&["rm", "-y", "db"]).await.exits(0);
    assert_eq!(file(&world), THREE);
    assert_eq!(names(&world), ["host1", "worker-1", "worker-2"]);
}

#[tokio::test]
async fn the_last_of_a_count_can_go() {
    let world = three().await;
    world.fleet(&["up"]).await.exits(0);
    world.fleet(&["rm", "worker-1", "-y"]).await.exits(5).says("fleet rm worker-2");
    assert_eq!(names(&world).len(), 3);
    world.fleet(&["rm", "worker-2", "-y"]).await.exits(0).says("Taken out of machines.toml");
    assert_eq!(file(&world), THREE.replace("count = 2", "count = 1"));
    assert_eq!(names(&world), ["host1", "worker-1"]);
    world.fleet(&["up"]).await.exits(0).says("Nothing to do");
    world.fleet(&["rm", "worker-1", "-y"]).await.exits(0);
    assert!(!file(&world).contains("worker"));
}

#[tokio::test]
async fn what_may_not_go_stays_in_the_file_too() {
    let world = three().await;
    world.fleet(&["up"]).await.exits(0);
    // Nobody is there to be asked.
    world.fleet(&["rm", "worker-2"]).await.exits(2).says("--yes");
    world.edit(|text| format!("{text}protected = true\n"));
    let before = file(&world);
    world.fleet(&["rm", "worker-2", "-y"]).await.exits(5).says("is protected");
    assert_eq!(file(&world), before);
    // What the file cannot do without.
    let done = world.fleet(&["rm", "host1", "-f"]).await;
    assert_ne!(done.code, 0);
    assert_eq!((file(&world), names(&world).len()), (before, 3));
    world.fake.fail("worker-2", Verb::Destroy, ErrorKind::Driver, 1);
    assert_ne!(world.fleet(&["rm", "worker-2", "-f"]).await.code, 0);
    assert!(file(&world).contains("count = 1"));
    // It is still there, and told so.
    world.fleet(&["ls"]).await.exits(0).says("fleet down worker-2");
    world.fleet(&["rm", "nobody", "-y"]).await.exits(5);
    world.fleet(&["rm", "worker-2", "-f"]).await.exits(0);
    assert_eq!(names(&world), ["host1", "worker-1"]);
}

#[tokio::test]
async fn a_machine_that_was_never_made_leaves_the_file() {
    let world = three().await;
    world.fleet(&["up", "host1", "worker-1"]).await.exits(0);
    world.fleet(&["rm", "worker-2", "-y"]).await.exits(0);
    assert_eq!(file(&world), THREE.replace("count = 2", "count = 1"));
    // As after a kill between the two: the machine is gone, and the file still has it.
    world.fleet(&["down", "worker-1"]).await.exits(0);
    world.fleet(&["rm", "worker-1", "-y"]).await.exits(0);
    assert!(!file(&world).contains("worker"));
    assert_eq!(names(&world), ["host1"]);
}
