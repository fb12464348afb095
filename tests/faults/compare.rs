//! Whether the records, the machines and the swarm say the same.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fleet_driver::{Power, text};

use crate::support::sim::{Standing, What};
use crate::support::world::World;

/// Fails unless exactly these machines exist, whole, running and settled, the records say
/// so, and each is one node of the one swarm.
pub fn same(world: &World, names: &[&str]) {
    let wanted: BTreeSet<&str> = names.iter().copied().collect();
    let machines = world.machines();
    let there: BTreeSet<&str> = machines.iter().map(|m| m.id.machine()).collect();
    assert_eq!(there, wanted, "machines");
    assert_eq!(machines.len(), names.len(), "machines");
    let state = std::fs::read_to_string(world.dir().join(".fleet/state.toml")).unwrap();
    let state: toml::Table = state.parse().unwrap();
    let records = state["machine"].as_table().unwrap();
    assert_eq!(records.keys().map(String::as_str).collect::<BTreeSet<_>>(), wanted, "records");
    for machine in &machines {
        let name = machine.id.machine();
        assert!(machine.whole && !machine.seeded, "{name} is half-made");
        assert_eq!(machine.power, Power::Running, "{name}");
        let record = &records[name];
        assert_eq!(record["settled"].as_bool(), Some(true), "{name}");
        let key = machine.spec.mark.get("host-key").and_then(|key| text::from_ascii(key));
        assert_eq!(record["host_key"].as_str(), key.as_deref(), "the host key of {name}");
        let address = machine.spec.lab.address.to_string();
        assert_eq!(record["address"].as_str(), Some(&*address), "{name}");
        assert_eq!(record["image_sha256"].as_str(), Some(&*machine.spec.image.sha256), "{name}");
        assert!(!world.sim.holds_secrets(name), "{name} still has its seed's secrets");
    }
    assert_eq!(state["id"].as_str(), machines.first().map(|m| m.id.fleet()));
    let nodes = world.sim.nodes();
    let ready: Vec<_> = wanted.iter().map(|name| ((*name).to_owned(), Standing::Ready)).collect();
    assert_eq!(nodes, ready, "nodes");
    assert_eq!(world.sim.swarms(), 1, "swarms");
    whole(world);
}

/// Fails if what must never happen did, or if files are left that nobody needs.
pub fn whole(world: &World) {
    assert_eq!(world.sim.unknown_scripts(), Vec::<String>::new());
    let left: Vec<PathBuf> =
        files(&world.root()).into_iter().filter(|path| is_left(path)).collect();
    assert_eq!(left, Vec::<PathBuf>::new(), "leftovers");
}

fn is_left(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_string_lossy();
    name.starts_with(".new-")
        || name.starts_with(".tmp-")
        || name == ".next"
        || name.contains(".hostkey")
}

/// Fails unless nothing of the fleet is left anywhere.
pub fn gone(world: &World) {
    assert!(world.machines().is_empty(), "{:?}", world.machines());
    assert!(!world.dir().join(".fleet").exists(), "`.fleet` is still there");
    let data = world.root().join("home/data");
    let left: Vec<PathBuf> = ["fleets", "machines"]
        .iter()
        .flat_map(|folder| files(&data.join(folder)))
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy() != "lock"))
        .collect();
    assert_eq!(left, Vec::<PathBuf>::new(), "leftovers");
    assert_eq!(world.sim.unknown_scripts(), Vec::<String>::new());
}

/// Fails unless `anew` was made twice, or at most once more for a command that was typed
/// twice, and all others of `names` once.
pub fn made(world: &World, names: &[&str], anew: Option<&str>) {
    for name in names {
        let most = if anew == Some(name) { 2..=3 } else { 1..=1 };
        let made = world.sim.times(name, &What::Created);
        assert!(most.contains(&made), "{name} was made {made} times");
    }
}

/// All that is in a folder, at any depth.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut all = Vec::new();
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            all.extend(files(&entry.path()));
        }
        all.push(entry.path());
    }
    all.sort();
    all
}
