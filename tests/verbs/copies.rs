//! `scp` between this host and machines, and `mount` as far as it goes without `sshfs`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::support::scenario::Scenario;
use crate::support::world::World;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn write(path: &Path, mode: u32, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Bytes of which none repeats soon.
fn bytes(size: u32) -> Vec<u8> {
    (0..size).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

async fn running() -> Scenario {
    let scenario = Scenario::plain().await;
    scenario.fleet(&["up"]).await.exits(0);
    scenario
}

#[tokio::test]
async fn files_go_there_and_come_back_with_their_modes() {
    let scenario = running().await;
    let home = scenario.server("web-1").home("");
    // More pieces than are on their way at once, and an end that is no whole piece.
    let large = bytes(3 * 1024 * 1024 + 77);
    write(&scenario.dir().join("large"), 0o640, &large);
    write(&scenario.dir().join("empty"), 0o755, b"");
    let done = scenario.fleet(&["scp", "large", "empty", "web-1:", "--json"]).await.exits(0);
    let told: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(
        (told["files"].as_u64(), told["bytes"].as_u64()),
        (Some(2), Some(large.len() as u64))
    );
    assert!(fs::read(home.join("large")).unwrap() == large);
    assert_eq!((mode(&home.join("large")), mode(&home.join("empty"))), (0o640, 0o755));

    scenario.fleet(&["scp", "web-1:~/large", "back", "-q"]).await.exits(0);
    assert!(fs::read(scenario.dir().join("back")).unwrap() == large);
    assert_eq!(mode(&scenario.dir().join("back")), 0o640);
    assert_eq!(fs::read_dir(&home).unwrap().count(), 2, "a scratch file is left");
    fs::create_dir(scenario.dir().join("all")).unwrap();
    scenario.fleet(&["scp", "web-1:*", "all"]).await.exits(0);
    assert_eq!(fs::read_dir(scenario.dir().join("all")).unwrap().count(), 2);
    // One connection is enough for all of it.
    let before = scenario.server("web-1").seen().connections;
    scenario.fleet(&["scp", "large", "web-1:one", "-q"]).await.exits(0);
    assert_eq!(scenario.server("web-1").seen().connections, before + 1);
}

#[tokio::test]
async fn what_is_there_is_replaced_at_once() {
    let scenario = running().await;
    let there = scenario.server("web-1").home("name");
    write(&there, 0o600, b"old");
    let reader = fs::File::open(&there).unwrap();
    write(&scenario.dir().join("new"), 0o644, b"new words");
    scenario.fleet(&["scp", "new", "web-1:name"]).await.exits(0);
    assert_eq!(fs::read(&there).unwrap(), b"new words");
    // Who has it open goes on with what it was.
    assert_eq!(std::io::read_to_string(reader).unwrap(), "old");
}

#[tokio::test]
async fn folders_go_from_machine_to_machine() {
    let scenario = running().await;
    let (one, two) = (scenario.server("web-1").home(""), scenario.server("web-2").home(""));
    let words = bytes(200_000);
    for n in 0..9 {
        write(&one.join(format!("tree/deep/{n}")), 0o600, &words[..n * 1000]);
    }
    write(&one.join("tree/tool"), 0o755, &words);
    std::os::unix::fs::symlink("tool", one.join("tree/link")).unwrap();
    std::os::unix::fs::symlink("nothing", one.join("tree/dangling")).unwrap();
    std::os::unix::fs::symlink("..", one.join("tree/deep/above")).unwrap();
    fs::set_permissions(one.join("tree/deep"), fs::Permissions::from_mode(0o550)).unwrap();

    scenario.fleet(&["scp", "web-1:tree", "web-2:"]).await.exits(2).says("-r");
    assert_eq!(fs::read_dir(&two).unwrap().count(), 0);
    let here = fs::read_dir(scenario.dir()).unwrap().count();
    let done = scenario.fleet(&["scp", "-r", "web-1:tree", "web-2:copy"]).await.exits(1);
    for text in ["dangling", "a link to nothing", "above", "leads back"] {
        assert!(done.stderr.contains(text), "no `{text}` in {}", done.stderr);
    }
    for n in 0..9 {
        let file = two.join(format!("copy/deep/{n}"));
        assert!(fs::read(&file).unwrap() == words[..n * 1000]);
        assert_eq!(mode(&file), 0o600);
    }
    assert!(fs::read(two.join("copy/tool")).unwrap() == words);
    assert!(fs::read(two.join("copy/link")).unwrap() == words);
    assert_eq!((mode(&two.join("copy/tool")), mode(&two.join("copy/deep"))), (0o755, 0o550));
    assert_eq!(fs::read_dir(scenario.dir()).unwrap().count(), here, "something is kept here");
    // Into a folder that is there: below its own name.
    scenario.fleet(&["scp", "-r", "web-1:tree", "web-2:copy"]).await.exits(1);
    assert!(two.join("copy/tree/tool").exists());
    // So that the folders of the test can be removed.
    for folder in [one.join("tree"), two.join("copy"), two.join("copy/tree")] {
        fs::set_permissions(folder.join("deep"), fs::Permissions::from_mode(0o750)).unwrap();
    }
}

#[tokio::test]
async fn what_cannot_be_copied_is_told() {
    let scenario = running().await;
    let home = scenario.server("web-1").home("");
    write(&scenario.dir().join("a"), 0o644, b"a");
    write(&scenario.dir().join("b"), 0o644, b"b");
    write(&home.join("tree/x"), 0o644, b"x");
    for (words, code, said) in [
        (["scp", "none", "web-1:"].as_slice(), 5, "there is no `none`"),
        (&["scp", "web-1:none", "."], 5, "there is no `none`"),
        (&["scp", "a", "b", "web-1:new"], 2, "is no folder"),
        (&["scp", "a", "web-1:new/"], 2, "is no folder"),
        (&["scp", "a", "web-1:no/such/folder"], 5, "no/such"),
        (&["scp", "a", "./a"], 2, "onto itself"),
        (&["scp", "-r", "web-1:tree", "web-1:tree/inner"], 2, "into itself"),
        (&["scp", "a", "web-9:"], 5, "web-9"),
        (&["scp", "a", ":x"], 2, "names no machine"),
        (&["mount", "web-1:tree", "nowhere"], 2, "mkdir -p"),
    ] {
        let done = scenario.fleet(words).await;
        assert!(done.stderr.contains(said), "{words:?}: no `{said}` in {}", done.stderr);
        assert_eq!(done.code, code, "{words:?}: {}", done.stderr);
    }
    assert_eq!(fs::read_dir(&home).unwrap().count(), 1, "something is left");
    assert_eq!(fs::read(scenario.dir().join("a")).unwrap(), b"a");
    scenario.fleet(&["stop", "web-2"]).await.exits(0);
    scenario.fleet(&["scp", "a", "web-2:"]).await.exits(5).says("fleet start web-2");
}

#[tokio::test]
async fn sshfs_gets_the_pinned_configuration_and_no_key() {
    let world = World::three().await;
    world.fleet(&["up"]).await.exits(0);
    let (bin, told) = (world.root().join("bin"), world.root().join("told"));
    let dir = world.dir().join("mnt point");
    fs::create_dir(&dir).unwrap();
    let run = async |words: &[&str]| {
        let (path, told) = (bin.display().to_string(), told.display().to_string());
        world.spawn(words, &[("PATH", &path), ("TOLD", &told)]).end().await
    };
    let words = ["mount", "worker-1:/srv/it's", "mnt point"];
    run(&words).await.exits(4).says("apt-get install sshfs");
    for program in ["sshfs", "fusermount"] {
        let text = format!("#!/bin/sh\nprintf '%s\\n' {program} \"$@\" > \"$TOLD\"\n");
        write(&bin.join(program), 0o755, text.as_bytes());
    }
    run(&words).await.exits(0);
    let config = world.dir().join(".fleet/ssh/config");
    let argv = format!(
        "sshfs\n-F\n{}\n-o\nreconnect\nworker-1:/srv/it's\n{}\n",
        config.display(),
        dir.display()
    );
    assert_eq!(fs::read_to_string(&told).unwrap(), argv);
    let config = fs::read_to_string(config).unwrap();
    assert!(config.contains("StrictHostKeyChecking yes"), "{config}");
    run(&["mount", "-u", "worker-1:/srv/it's", "mnt point"]).await.exits(0);
    assert_eq!(fs::read_to_string(&told).unwrap(), format!("fusermount\n-u\n{}\n", dir.display()));
}
