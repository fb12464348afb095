//! What a driver is asked for and what it sees.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// What a driver says of itself.
#[derive(Debug, Clone)]
pub struct About {
    /// The name in `machines.toml`.
    pub name: &'static str,
    /// What it can do beyond the contract.
    pub capabilities: Capabilities,
    /// How many verbs may run at once.
    pub concurrency: usize,
}

/// Abilities that not all drivers have; the core and the suite read them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Capabilities {
    /// Passes a seed, so that the guest's host key is known before first contact.
    pub seed: bool,
    /// Gives each machine the lab address that the spec asks for.
    pub static_addresses: bool,
    /// Keeps a serial console.
    pub console: bool,
}

/// What a machine must be like, complete: nothing here is optional.
#[derive(Debug, Clone)]
pub struct VmSpec {
    /// Virtual processors.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Size of the root disk in MiB.
    pub disk_mib: u64,
    /// The base image.
    pub image: ImageFile,
    /// The card on the lab network.
    pub lab: LabNic,
    /// Whether the guest may reach the outside.
    pub internet: bool,
    /// Ports of the host that lead into the machine, beyond SSH and the engine's.
    pub forwards: Vec<Forward>,
    /// The first-boot seed: file name and content of each file.
    pub seed: Vec<(String, Secret<Vec<u8>>)>,
    /// The driver's own options, defaults and the machine's merged.
    pub options: toml::Table,
}

/// A base image on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFile {
    /// Where the qcow2 file is; empty in `check` as long as this host does not have it.
    pub path: PathBuf,
    /// Its SHA-256 in lower-case hex.
    pub sha256: String,
    /// Its virtual size in MiB, rounded up.
    pub size_mib: u64,
}

/// The card of a machine on the lab network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabNic {
    /// The machine's address.
    pub address: Ipv4Addr,
    /// Length of the network's prefix, such as 24.
    pub prefix: u8,
}

/// A port of the host that leads into a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// The address and port on the host.
    pub host: SocketAddr,
    /// The port in the guest.
    pub guest: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// How to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Ask the guest to shut down.
    Soft,
    /// Cut the power.
    Hard,
}

/// What a driver sees of a machine right now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sighting {
    /// Whether it runs.
    pub power: Power,
    /// Where the host reaches the guest's SSH port.
    pub ssh: Option<SocketAddr>,
    /// Where the host reaches the engine's port.
    pub engine: Option<SocketAddr>,
    /// The machine's address on the lab network.
    pub lab: Option<Ipv4Addr>,
    /// Virtual processors.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// SHA-256 of the image it was made from.
    pub image_sha256: String,
    /// Its other forwarded ports.
    pub forwards: Vec<Forward>,
    /// The serial console, where the driver keeps one.
    pub console: Option<Console>,
    /// Whether the first-boot seed is still there.
    pub seeded: bool,
    /// What else is worth showing, such as the acceleration or the process id.
    pub details: BTreeMap<String, String>,
}

/// The serial console of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Console {
    /// A Unix socket that is the console, while the machine runs.
    pub socket: PathBuf,
    /// All that the console has printed.
    pub log: PathBuf,
}

/// Whether a machine runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Power {
    /// It runs.
    Running,
    /// It is off.
    Stopped,
    /// Its processors are paused.
    Paused,
    /// It exists in part, or its hypervisor does not answer; says why.
    Broken(String),
}

/// What `check` found about this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// The machine concerned, if it is one.
    pub machine: Option<String>,
    /// What was found, a lower-case fragment.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Good to know.
    Info,
    /// It will work, but not as one would like.
    Warning,
    /// It will not work.
    Error,
}
