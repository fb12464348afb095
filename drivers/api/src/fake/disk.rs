//! The fake world in a file, so that machines outlive the process that made them.
//!
//! Whoever looks at the world holds the lock of `world.lock` meanwhile, reads
//! `world.json` if somebody else has written it, and replaces it if anything changed.
//! The lock file holds a number that grows before every change.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::world::{Life, Machine, Made, World};
use crate::spec::{Forward, ImageFile, LabNic, Power, Snapshot, VmSpec};
use crate::{MachineId, Secret};

/// A folder with a world in it.
pub(super) struct Disk {
    dir: PathBuf,
    known: Mutex<Known>,
}

/// What was last read or written.
#[derive(Default)]
struct Known {
    /// None before the first look.
    generation: Option<u64>,
    text: String,
    made: u64,
    /// The incarnations of the machines that were running or at rest.
    running: BTreeSet<u64>,
}

/// One machine, complete.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Which.
    pub id: MachineId,
    /// Whether it runs.
    pub power: Power,
    /// Whether it exists completely.
    pub whole: bool,
    /// Whether its seed is still there.
    pub seeded: bool,
    /// What it was made from; without the seed once that was taken away.
    pub spec: VmSpec,
    /// Differs for every disk that was made; 0 in a world in memory.
    pub incarnation: u64,
    /// How often it was started; 0 in a world in memory.
    pub boots: u64,
}

impl Standing {
    pub(super) fn of(id: &MachineId, machine: &Machine) -> Self {
        Self {
            id: id.clone(),
            power: machine.power.clone(),
            whole: machine.made == Made::Whole,
            seeded: machine.seeded,
            spec: machine.spec.clone(),
            incarnation: machine.life.incarnation,
            boots: machine.life.boots,
        }
    }
}

/// The world, held against other threads and other processes.
pub(super) struct Held<'a> {
    world: MutexGuard<'a, World>,
    file: Option<(&'a Disk, File)>,
    touched: bool,
}

impl<'a> Held<'a> {
    pub(super) fn new(mut world: MutexGuard<'a, World>, disk: Option<&'a Disk>) -> Self {
        let file = disk.map(|disk| (disk, disk.read(&mut world)));
        Self { world, file, touched: false }
    }
}

impl Deref for Held<'_> {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut World {
        self.touched = true;
        &mut self.world
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some((disk, lock)) = &mut self.file
            && self.touched
        {
            disk.write(&mut self.world, lock);
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Written {
    /// How many disks were ever made.
    made: u64,
    machines: Vec<WrittenMachine>,
    endpoints: BTreeMap<String, (SocketAddr, SocketAddr)>,
    deaf: BTreeSet<String>,
}

#[derive(Serialize, Deserialize)]
struct WrittenMachine {
    fleet: String,
    machine: String,
    power: String,
    broken: Option<String>,
    whole: bool,
    seeded: bool,
    incarnation: u64,
    boots: u64,
    cpus: u32,
    memory_mib: u64,
    disk_mib: u64,
    image: ImageFile,
    lab: LabNic,
    internet: bool,
    forwards: Vec<Forward>,
    apart: Option<String>,
    options: toml::Table,
    #[serde(default)]
    mark: BTreeMap<String, String>,
    seed: BTreeMap<String, String>,
    #[serde(default)]
    snapshots: Vec<Snapshot>,
}

const HOPELESS: &str = "the folder of a test's world is there and can be written";

impl Disk {
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), known: Mutex::default() }
    }

    fn path(&self) -> PathBuf {
        self.dir.join("world.json")
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the lock and reads what others have written.
    fn read(&self, world: &mut World) -> File {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut lock = options.open(self.dir.join("world.lock")).expect(HOPELESS);
        lock.lock().expect(HOPELESS);
        let mut number = String::new();
        lock.read_to_string(&mut number).expect(HOPELESS);
        let generation: Option<u64> = Some(number.parse().unwrap_or(0));
        let mut known = self.known();
        if generation == known.generation {
            return lock;
        }
        // A process that was killed between the two leaves the former file.
        let text = std::fs::read_to_string(self.path()).unwrap_or_default();
        if !text.is_empty() {
            let written: Written = serde_json::from_str(&text).expect("written by this module");
            known.made = written.made;
            world.endpoints = written.endpoints;
            world.deaf = written.deaf;
            world.machines = written.machines.into_iter().map(whole).collect();
            known.running = running(world);
        }
        known.text = text;
        known.generation = generation;
        lock
    }

    /// Writes the world if it changed; the lock ends with its file.
    fn write(&self, world: &mut World, lock: &mut File) {
        let mut known = self.known();
        for machine in world.machines.values_mut() {
            if machine.life.incarnation == 0 {
                known.made += 1;
                machine.life.incarnation = known.made;
            }
            let on = machine.power == Power::Running;
            if on && !known.running.contains(&machine.life.incarnation) {
                machine.life.boots += 1;
            }
            if !machine.seeded {
                machine.spec.seed.clear();
            }
        }
        known.running = running(world);
        let written = Written {
            made: known.made,
            machines: world.machines.iter().map(|(id, m)| written(id, m)).collect(),
            endpoints: world.endpoints.clone(),
            deaf: world.deaf.clone(),
        };
        let text = serde_json::to_string_pretty(&written).expect("it has names for keys");
        if text == known.text {
            return;
        }
        let generation = known.generation.unwrap_or(0) + 1;
        known.generation = Some(generation);
        // In one piece: whoever is killed here leaves the former number or this one.
        lock.seek(SeekFrom::Start(0)).expect(HOPELESS);
        lock.write_all(format!("{generation:020}").as_bytes()).expect(HOPELESS);
        // It holds keys; `tempfile` makes it 0600.
        let mut file = tempfile::NamedTempFile::new_in(&self.dir).expect(HOPELESS);
        file.write_all(text.as_bytes()).expect(HOPELESS);
        file.persist(self.path()).expect(HOPELESS);
        known.text = text;
    }
}

fn running(world: &World) -> BTreeSet<u64> {
    // Whoever wakes up has not been started again.
    let on = |m: &&Machine| matches!(m.power, Power::Running | Power::Paused | Power::Saved);
    let on = world.machines.values().filter(on);
    on.map(|machine| machine.life.incarnation).collect()
}

fn written(id: &MachineId, machine: &Machine) -> WrittenMachine {
    let (power, broken) = match &machine.power {
        Power::Running => ("running", None),
        Power::Stopped => ("stopped", None),
        Power::Paused => ("paused", None),
        Power::Saved => ("saved", None),
        Power::Broken(why) => ("broken", Some(why.clone())),
    };
    let VmSpec {
        cpus,
        memory_mib,
        disk_mib,
        image,
        lab,
        internet,
        forwards,
        seed,
        mark,
        apart,
        options,
    } = machine.spec.clone();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("a seed is text");
    WrittenMachine {
        fleet: id.fleet().to_owned(),
        machine: id.machine().to_owned(),
        power: power.to_owned(),
        broken,
        whole: machine.made == Made::Whole,
        seeded: machine.seeded,
        incarnation: machine.life.incarnation,
        boots: machine.life.boots,
        cpus,
        memory_mib,
        disk_mib,
        image,
        lab,
        internet,
        forwards,
        apart,
        options,
        mark,
        seed: seed.into_iter().map(|(name, bytes)| (name, text(bytes.expose()))).collect(),
        snapshots: machine.snapshots.clone(),
    }
}

fn whole(written: WrittenMachine) -> (MachineId, Machine) {
    let power = match written.power.as_str() {
        "running" => Power::Running,
        "stopped" => Power::Stopped,
        "paused" => Power::Paused,
        "saved" => Power::Saved,
        _ => Power::Broken(written.broken.unwrap_or_default()),
    };
    let seed = written.seed.into_iter();
    let spec = VmSpec {
        cpus: written.cpus,
        memory_mib: written.memory_mib,
        disk_mib: written.disk_mib,
        image: written.image,
        lab: written.lab,
        internet: written.internet,
        forwards: written.forwards,
        seed: seed.map(|(name, text)| (name, Secret::new(text.into_bytes()))).collect(),
        mark: written.mark,
        apart: written.apart,
        options: written.options,
    };
    let machine = Machine {
        spec,
        power,
        seeded: written.seeded,
        made: if written.whole { Made::Whole } else { Made::Half },
        life: Life { incarnation: written.incarnation, boots: written.boots },
        snapshots: written.snapshots,
    };
    (MachineId::new(written.fleet, written.machine), machine)
}
