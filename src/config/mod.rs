//! `machines.toml` → [`Fleet`] of complete [`Spec`]s.
//!
//! [`Fleet::load`] is the whole interface; after it there are no optional fields to
//! think about.

mod address;
mod check;
mod diagnose;
mod engine;
mod expand;
mod foreign;
mod image;
mod load;
mod name;
mod network;
mod ports;
#[cfg(test)]
mod properties;
mod raw;
mod schema;
mod shape;
mod size;
mod suggest;
mod swarm;
mod syntax;
#[cfg(test)]
mod tests;
mod texts;
mod ttl;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

pub use diagnose::{Colour, Invalid, Problem, render_all};
use fleet_driver::{Forward, Settings};
pub use load::find;
pub use name::{fleet_name, name_of_folder};
pub use schema::json_schema;
use serde::{Deserialize, Serialize};

/// The name of the file that describes a fleet.
pub const FILE_NAME: &str = "machines.toml";

/// All machines of one `machines.toml`, resolved and validated.
#[derive(Debug, Clone)]
pub struct Fleet {
    /// The name in `[fleet]`.
    pub name: String,
    /// The absolute path of `machines.toml`.
    pub file: PathBuf,
    /// Whether nothing of it may be destroyed without `--force`.
    pub protected: bool,
    /// How long it may live, from its first machine on; `None`: until it is removed.
    pub ttl: Option<Duration>,
    /// The lab network.
    pub network: Network,
    /// Present: wire the machines into a swarm.
    pub swarm: Option<Swarm>,
    /// The machines, in the order of the file, counts expanded.
    pub machines: Vec<Spec>,
    /// The tables `[driver.NAME]`, as they are written.
    pub drivers: BTreeMap<String, toml::Table>,
    /// What works, but not as one would like.
    pub warnings: Vec<Problem>,
}

impl Fleet {
    /// What the file says to a driver as a whole; `cache` is where it may keep what can be
    /// found out again.
    pub fn settings(&self, driver: &str, cache: PathBuf) -> Settings {
        let mut machines: Vec<toml::Table> = Vec::new();
        for spec in self.machines.iter().filter(|spec| spec.driver == driver) {
            if !machines.contains(&spec.options) {
                machines.push(spec.options.clone());
            }
        }
        let driver = self.drivers.get(driver).cloned().unwrap_or_default();
        Settings { driver, machines, cache }
    }
}

/// The network that the machines of a fleet share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Network {
    /// The network's address, such as 10.77.0.0.
    pub subnet: Ipv4Addr,
    /// Length of the prefix, such as 24.
    pub prefix: u8,
    /// Whether the guests may reach the outside.
    pub internet: bool,
}

/// Settings of the swarm as a whole; used when it is initialised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Swarm {
    /// Address pools for overlay networks, such as `10.20.0.0/16`; empty: the engine's.
    pub address_pools: Vec<String>,
    /// Prefix length of each overlay network out of the pools.
    pub subnet_size: u32,
    /// How many dead tasks the swarm remembers for each slot.
    pub task_history: i64,
}

/// What `machines.toml` asks of one machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Spec {
    /// Its name, and its host name.
    pub name: String,
    /// The driver that makes it.
    pub driver: String,
    /// The base image.
    pub image: ImageRef,
    /// Virtual processors.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Size of the root disk in MiB.
    pub disk_mib: u64,
    /// Address on the lab network.
    pub address: Ipv4Addr,
    /// The account that fleet makes and uses in the guest.
    pub user: String,
    /// Ports of the host that lead into the machine.
    pub ports: Vec<Forward>,
    /// Its part in the swarm; `None` without `[swarm]`.
    pub role: Option<Role>,
    /// Labels of its swarm node.
    pub labels: BTreeMap<String, String>,
    /// Whether its node takes tasks.
    pub availability: Availability,
    /// Whether it may not be destroyed without `--force`; the fleet's own protection
    /// counts too.
    pub protected: bool,
    /// Its engine.
    pub engine: EngineSpec,
    /// Options of its driver, defaults and the machine's own merged.
    pub options: toml::Table,
}

/// A machine's part in the swarm.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Takes part in decisions.
    Manager,
    /// Runs tasks only.
    Worker,
}

/// Whether a swarm node takes tasks.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Availability {
    /// It takes tasks.
    #[default]
    Active,
    /// It keeps its tasks and takes no new ones.
    Pause,
    /// Its tasks move elsewhere.
    Drain,
}

/// Where a base image comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageRef {
    /// The name of an image in the store, such as `debian-12`.
    Name(String),
    /// An absolute path to a disk image.
    Path(PathBuf),
    /// A download.
    Url {
        /// From where.
        url: String,
        /// SHA-256 in lower-case hex, or SHA-512.
        digest: String,
    },
}

/// What `[engine]` asks for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EngineSpec {
    /// How the engine gets into the guest.
    pub install: Install,
    /// The version, in full or its first parts; `None`: whatever is there.
    pub version: Option<String>,
    /// Labels of the engine.
    pub labels: BTreeMap<String, String>,
    /// Mirrors of the public registry.
    pub registry_mirrors: Vec<String>,
    /// Registries that may be spoken to without TLS.
    pub insecure_registries: Vec<String>,
    /// The default log driver.
    pub log_driver: Option<String>,
    /// Options of the log driver.
    pub log_opts: BTreeMap<String, String>,
    /// The storage driver.
    pub storage_driver: Option<String>,
    /// Environment of the engine, such as `HTTPS_PROXY`.
    pub env: BTreeMap<String, String>,
}

/// How the engine gets into a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Install {
    /// Keep the image's engine if it has one, else the distribution's package.
    Auto,
    /// The distribution's package.
    Distro,
    /// The official script.
    GetDocker,
    /// Not at all: no engine is expected.
    None,
    /// A script of the user's, by its absolute path.
    Script(PathBuf),
}
