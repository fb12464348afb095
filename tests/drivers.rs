//! Drivers that are programs: found, named in files, listed, tested, and killed.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use fleet::host::Host;
use serde_json::Value;

use crate::support::world::World;
use crate::support::world::served::script;

/// The driver that the page about the protocol speaks of; none without Python.
fn toy() -> Option<PathBuf> {
    let python = std::process::Command::new("python3").arg("--version").output();
    if !python.is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("CI").is_none(), "python3 is not installed");
        let text = "SKIPPED: python3 is not installed\n";
        std::io::stderr().write_all(text.as_bytes()).unwrap();
        return None;
    }
    Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/fleet-driver-toy"))
}

/// Runs a command in a folder, with programs from another one.
async fn fleet(folder: &Path, path: &Path, args: &[&str]) -> (u8, String, String) {
    let data = folder.join("data").display().to_string();
    let path = path.display().to_string();
    let host = Host::captured(folder, &[("PATH", &path), ("FLEET_DATA", &data), ("HOME", &data)]);
    let words = std::iter::once("fleet").chain(args.iter().copied()).map(Into::into);
    let code = Box::pin(fleet::cli::main(host.clone(), words)).await;
    let (out, err) = host.printed();
    (code, out, err)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_toy_keeps_the_contract() {
    let Some(toy) = toy() else { return };
    let dir = tempfile::tempdir().unwrap();
    let bin = toy.parent().unwrap();
    let path = toy.display().to_string();
    let args = ["driver", "test", &path, "--guests-obey", "--option", "colour=blue"];
    let (code, out, err) = fleet(dir.path(), bin, &args).await;
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("ok       stop_twice_soft\n"), "{out}");
    assert!(out.contains("ok       a_machine_at_rest_goes_on\n"), "{out}");
    assert!(out.contains("skipped  forget_twice: it takes no snapshots\n"), "{out}");
    assert!(out.contains(" 0 failed, "), "{out}");
    assert!(err.contains("makes machines and destroys them"), "{err}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_driver_that_breaks_the_contract_is_shown_the_line() {
    let Some(toy) = toy() else { return };
    let dir = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(toy).unwrap();
    let lazy = text.replace("    must_exist(call)\n    try:", "    return\n    try:");
    assert_ne!(text, lazy);
    script(&dir.path().join("fleet-driver-lazy"), &lazy);
    let test = ["driver", "test", "lazy", "--only", "unseed_of_a_stopped_machine"];
    let (code, out, _) = fleet(dir.path(), dir.path(), &test).await;
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("failed   unseed_of_a_stopped_machine\n"), "{out}");
    assert!(out.contains("the contract says: Afterwards neither the host nor"), "{out}");
    let json: Vec<&str> = test.into_iter().chain(["--only", "start_twice", "--json"]).collect();
    let (code, out, err) = fleet(dir.path(), dir.path(), &json).await;
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, err.as_str()), (1, ""));
    assert_eq!((&report["passed"], &report["failed"]), (&1.into(), &1.into()));
    assert_eq!(report["checks"][0]["result"], "ok");
    assert_eq!(report["checks"][1]["result"], "failed");
    let (code, _, err) = fleet(dir.path(), dir.path(), &["driver", "test", "nobody"]).await;
    assert_eq!(code, 4);
    assert!(err.contains("fleet-driver-nobody"), "{err}");
}

#[tokio::test]
async fn drivers_are_listed_those_that_do_not_answer_too() {
    let Some(toy) = toy() else { return };
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(toy, dir.path().join("fleet-driver-toy")).unwrap();
    script(&dir.path().join("fleet-driver-bad"), "#!/bin/sh\necho hello\n");
    let (code, out, err) = fleet(dir.path(), dir.path(), &["driver", "ls"]).await;
    assert_eq!(code, 0, "{err}");
    let line = |name: &str| {
        let line = out.lines().find(|line| line.starts_with(name));
        line.unwrap_or_else(|| panic!("no {name} in {out}")).to_owned()
    };
    assert!(line("qemu").contains("built-in"), "{out}");
    assert!(line("toy").contains("seed, static addresses, suspend"), "{out}");
    assert!(line("bad").contains("does not answer"), "{out}");
    assert!(line("libvirt").contains("make install"), "{out}");
    assert!(err.contains("no message: hello"), "{err}");
    let (code, out, _) = fleet(dir.path(), dir.path(), &["driver", "ls", "--json"]).await;
    assert_eq!(code, 0);
    let all: Value = serde_json::from_str(&out).unwrap();
    let find = |name: &str| {
        let all = all["drivers"].as_array().unwrap();
        all.iter().find(|driver| driver["name"] == name).unwrap().clone()
    };
    assert_eq!(find("toy")["version"], "1.0");
    assert_eq!(find("toy")["capabilities"]["suspend"], true);
    assert!(find("bad")["error"].as_str().unwrap().contains("hello"));
    // One that does not answer keeps nobody from the machines of the others.
    let (code, _, err) = fleet(dir.path(), dir.path(), &["gc", "--dry-run"]).await;
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("note: the machines of `bad` are not seen"), "{err}");
}

#[tokio::test]
async fn a_file_may_name_programs_that_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let bin = dir.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    for name in ["toy", "cpus"] {
        script(&bin.join(format!("fleet-driver-{name}")), "#!/bin/sh\nexit 1\n");
    }
    let validate = async |text: &str| {
        std::fs::write(dir.path().join("machines.toml"), text).unwrap();
        fleet(dir.path(), &bin, &["validate"]).await
    };
    let good = "[defaults]\ndriver = \"toy\"\n[driver.toy]\ncolour = \"red\"\n[machine.a]\n\
                toy.colour = \"blue\"\n";
    let (code, _, err) = validate(good).await;
    assert_eq!((code, err.as_str()), (0, ""));
    let (code, _, err) = validate("[machine.a]\ndriver = \"tou\"\n").await;
    assert_eq!(code, 3);
    assert!(err.contains("did you mean `toy`?"), "{err}");
    let (code, _, err) = validate("[driver.toi]\na = 1\n[machine.a]\n").await;
    assert_eq!(code, 3);
    assert!(err.contains("did you mean `toy`?"), "{err}");
    // The name of a program is no licence for a key that means something else.
    let (code, _, err) = validate("[machine.a]\ncpus = { x = 1 }\n").await;
    assert_eq!(code, 3, "{err}");
    let (code, out, err) = validate("[machine.a]\ntoy = { colour = \"red\" }\n").await;
    assert_eq!(code, 0, "{out}");
    assert!(err.contains("the options of `toy` have no effect"), "{err}");
    let (code, _, err) = validate("[machine.a]\ntoy = 1\n").await;
    assert_eq!(code, 3, "{err}");
}

#[tokio::test]
async fn a_driver_that_is_not_there_is_missed_with_a_way_out() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("machines.toml"), "[machine.a]\ndriver = \"libvirt\"\n")
        .unwrap();
    let (code, _, err) = fleet(dir.path(), dir.path(), &["up"]).await;
    assert_eq!(code, 4, "{err}");
    assert!(err.contains("this fleet has no driver `libvirt`"), "{err}");
    assert!(err.contains("make install"), "{err}");
    // A list says of each machine what is wrong with it.
    let (code, out, _) = fleet(dir.path(), dir.path(), &["ls"]).await;
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("Unknown") && out.contains("this fleet has no driver"), "{out}");
}

/// The keys of a fleet lead to its machines: they stay while those cannot be seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gc_keeps_the_keys_of_machines_that_it_cannot_see() {
    let world = World::three().await;
    // Without what the file says to it, this driver does not know where to look.
    let host = world.by_program(None);
    assert_eq!(world.fleet_on(&host, &["up"]).await.code, 0);
    let fleets = world.data().join("fleets");
    let kept = || std::fs::read_dir(&fleets).unwrap().count();
    assert_eq!(kept(), 1, "{}", fleets.display());
    std::fs::remove_dir_all(world.dir()).unwrap();
    let ended = world.fleet_on(&host, &["gc", "--yes"]).await;
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("the machines of `sim` are not seen"), "{}", ended.stderr);
    assert_eq!((kept(), world.machines().len()), (1, 3));
}

/// A program that dies in the middle of a verb is started anew, and the run goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_dies_during_up_costs_nothing() {
    for dies_at in [None, Some(2), Some(6), Some(11)] {
        let world = World::three().await;
        let host = world.by_program(dies_at);
        let up = world.fleet_on(&host, &["up"]).await;
        assert_eq!(up.code, 0, "{dies_at:?}: {}", up.stderr);
        assert_eq!(world.machines().len(), 3);
        let starts = world.program_pids().len();
        assert_eq!(starts, if dies_at.is_some() { 2 } else { 1 }, "{dies_at:?}");
        let ended = world.fleet_on(&host, &["down"]).await;
        assert_eq!(ended.code, 0, "{dies_at:?}: {}", ended.stderr);
        assert!(world.machines().is_empty());
        for pid in world.program_pids() {
            assert!(!Path::new("/proc").join(&pid).exists(), "{pid} is left");
        }
    }
}
