//! A disk that is full: the fleet's folder is a small one of its own, in a mount namespace
//! of its own, which needs root.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::{compare, scenes};
use crate::support::world::{Done, World};

/// A namespace in which `.fleet` of a world is a file system of 2 MiB.
struct Small {
    /// Holds the namespace until its standard input ends.
    holder: Child,
    dot: PathBuf,
}

impl Small {
    fn new(world: &World) -> Self {
        let dot = world.dir().join(".fleet");
        std::fs::create_dir(&dot).unwrap();
        let script = "mount -t tmpfs -o size=2m,mode=700 small \"$0\" && echo ready && read end";
        let mut holder = Command::new("unshare")
            .args(["--mount", "sh", "-c", script])
            .arg(&dot)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`unshare` of util-linux is installed");
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "this test mounts a small tmpfs, for which it must be root");
        Self { holder, dot }
    }

    /// A path in `.fleet`, as it is in the namespace.
    fn path(&self, name: &str) -> PathBuf {
        let inside = self.dot.join(name);
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(inside.strip_prefix("/").unwrap())
    }

    /// Leaves no room, not for one byte.
    fn fill(&self) {
        let mut filler = std::fs::File::create(self.path("filler")).unwrap();
        let full = (0..1024).any(|_| filler.write_all(&[1; 4096]).is_err());
        assert!(full, "it is larger than it should be");
    }

    fn make_room(&self) {
        std::fs::remove_file(self.path("filler")).unwrap();
    }

    /// What a command there is run through.
    fn enter(&self, world: &World) -> Vec<String> {
        let namespace = format!("--mount=/proc/{}/ns/mnt", self.holder.id());
        // Whoever enters is at the root.
        let script = format!("cd {} && exec \"$0\" \"$@\"", world.dir().display());
        ["nsenter", &namespace, "sh", "-c", &script].map(str::to_owned).to_vec()
    }

    async fn child(&self, world: &World, args: &[&str]) -> Done {
        world.spawn_by(&self.enter(world), args, &[]).end().await
    }

    /// Brings what is in it to the ordinary place, and ends it.
    fn end(mut self) {
        let all = format!("{}/.", self.path("").display());
        let copied = Command::new("cp").arg("-a").arg(all).arg(&self.dot).status();
        assert!(copied.unwrap().success());
        drop(self.holder.stdin.take());
        self.holder.wait().unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // It was waited for already where the test has gone well.
        drop(self.holder.kill());
        drop(self.holder.wait());
    }
}

fn tells(done: &Done) {
    assert!(![None, Some(0), Some(101)].contains(&done.code), "{done:?}");
    assert!(done.stderr.contains("No space left on device"), "{}", done.stderr);
    assert!(done.stderr.contains("/.fleet/"), "it does not name the file:\n{}", done.stderr);
    assert!(!done.stderr.contains("bug"), "{}", done.stderr);
}

#[tokio::test]
async fn a_full_disk_is_one_clear_error_and_loses_nothing() {
    for moment in [0, 1, 3, 6, 10, 15] {
        let world = World::three().await;
        let small = Small::new(&world);
        let done = if moment == 0 {
            small.fill();
            small.child(&world, &["up"]).await
        } else {
            world.sim.hold(moment);
            let running = world.spawn_by(&small.enter(&world), &["up"], &[]);
            world.sim.held().await;
            small.fill();
            world.sim.go_on();
            running.end().await
        };
        if moment == 0 || done.code != Some(0) {
            // Later, what is replaced may make enough room for what is left to do.
            tells(&done);
        }
        small.make_room();
        let again = small.child(&world, &["up"]).await;
        assert_eq!(again.code, Some(0), "full at {moment}:\n{}\n{}", done.stderr, again.stderr);
        small.end();
        scenes::UP.ends(&world).await;
        compare::whole(&world);
    }
}

#[tokio::test]
async fn a_disk_that_fills_up_later_loses_no_record() {
    let world = World::three().await;
    let small = Small::new(&world);
    small.child(&world, &["up"]).await.exits(0);
    small.fill();
    tells(&small.child(&world, &["down", "worker-1"]).await);
    small.make_room();
    small.child(&world, &["down", "worker-1"]).await.exits(0);
    small.child(&world, &["up"]).await.exits(0);
    small.end();
    compare::same(&world, &["host1", "worker-1", "worker-2"]);
}
