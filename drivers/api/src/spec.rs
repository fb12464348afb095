//! What a driver is asked for and what it sees.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::id::MachineId;
use crate::secret::Secret;

/// What a driver says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The name in `machines.toml`.
    pub name: String,
    /// What it can do beyond the contract.
    pub capabilities: Capabilities,
    /// How many verbs may run at once.
    pub concurrency: usize,
}

/// Abilities that not all drivers have; the core and the suite read them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Capabilities {
    /// Passes a seed, so that the guest's host key is known before first contact.
    pub seed: bool,
    /// Gives each machine the lab address that the spec asks for.
    pub static_addresses: bool,
    /// Keeps a serial console.
    pub console: bool,
    /// Puts machines to rest in memory ([`Rest::Memory`]).
    pub suspend: bool,
    /// Puts machines to rest on disk ([`Rest::Disk`]).
    pub save: bool,
    /// Takes snapshots.
    pub snapshots: bool,
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
    /// What fleet wants to read again from the machine itself after every record was
    /// lost: printable ASCII of at most 256 characters each, never a secret.
    pub mark: BTreeMap<String, String>,
    /// Machines of a fleet with the same word here are kept on different hosts, where the
    /// driver has several.
    pub apart: Option<String>,
    /// The driver's own options, defaults and the machine's merged.
    pub options: toml::Table,
}

impl VmSpec {
    /// Tells apart what has no field in [`Sighting`]: a short digest of the driver's options
    /// and of whether the guest may reach the outside.
    ///
    /// It does not depend on the order of keys, and is the same in every version of fleet.
    pub fn options_digest(&self) -> String {
        let mut hash = Sha256::new();
        hash.update([u8::from(self.internet)]);
        feed(&mut hash, &toml::Value::Table(self.options.clone()));
        let digest: [u8; 32] = hash.finalize().into();
        digest[..8].iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
    }
}

/// Feeds a value to a digest so that no two values look the same: its type, then how many
/// bytes or parts it has, then those.
fn feed(hash: &mut Sha256, value: &toml::Value) {
    let mut begin = |kind: &str, length: usize| {
        hash.update(kind.as_bytes());
        hash.update((length as u64).to_be_bytes());
    };
    match value {
        toml::Value::Table(table) => {
            begin("t", table.len());
            let sorted: BTreeMap<&String, &toml::Value> = table.iter().collect();
            for (key, value) in sorted {
                hash.update((key.len() as u64).to_be_bytes());
                hash.update(key.as_bytes());
                feed(hash, value);
            }
        }
        toml::Value::Array(array) => {
            begin("a", array.len());
            for value in array {
                feed(hash, value);
            }
        }
        plain => {
            let (kind, text) = match plain {
                toml::Value::String(text) => ("s", text.clone()),
                other => ("v", other.to_string()),
            };
            begin(kind, text.len());
            hash.update(text.as_bytes());
        }
    }
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

/// A network card as the guest finds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// Its MAC address.
    pub mac: String,
    /// How it gets its address.
    pub address: CardAddress,
}

impl Card {
    /// A card that leads outside and one on the lab network, with the MAC addresses 0 and 1
    /// of the machine.
    pub fn outside_and_lab(id: &MachineId, lab: &LabNic) -> Vec<Self> {
        let address = CardAddress::Static {
            address: lab.address,
            prefix: lab.prefix,
            gateway: None,
            dns: Vec::new(),
        };
        vec![Self { mac: id.mac(0), address: CardAddress::Dhcp }, Self { mac: id.mac(1), address }]
    }
}

/// How a network card gets its address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CardAddress {
    /// From a server on its network.
    Dhcp,
    /// The guest sets it by itself.
    Static {
        /// The address.
        address: Ipv4Addr,
        /// Length of the network's prefix.
        prefix: u8,
        /// The way to the outside, if it leads there.
        gateway: Option<Ipv4Addr>,
        /// Name servers.
        dns: Vec<Ipv4Addr>,
    },
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stop {
    /// Ask the guest to shut down.
    Soft,
    /// Cut the power.
    Hard,
}

/// How to rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rest {
    /// The processors stand still; the memory stays where it is.
    Memory,
    /// The memory is written to disk and given back.
    Disk,
}

/// What a machine was at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its name.
    pub name: String,
    /// When it was taken, in seconds since 1970.
    pub created: u64,
    /// Whether the machine ran, so that its memory is kept too.
    pub running: bool,
}

/// What a driver sees of a machine right now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// Whether it runs.
    pub power: Power,
    /// Which of the driver's hosts it lives on, where there are several.
    pub host: Option<String>,
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
    /// Size of the root disk in MiB.
    pub disk_mib: u64,
    /// SHA-256 of the image it was made from.
    pub image_sha256: String,
    /// Its other forwarded ports.
    #[serde(default)]
    pub forwards: Vec<Forward>,
    /// The serial console, where the driver keeps one.
    pub console: Option<Console>,
    /// Whether the first-boot seed is still there.
    #[serde(default)]
    pub seeded: bool,
    /// What fleet has written on it; empty if it is half-made.
    #[serde(default)]
    pub mark: BTreeMap<String, String>,
    /// What [`VmSpec::options_digest`] was of the spec that it follows.
    #[serde(default)]
    pub options_digest: String,
    /// What else is worth showing, such as the acceleration or the process id.
    #[serde(default)]
    pub details: BTreeMap<String, String>,
}

/// The serial console of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Console {
    /// A Unix socket that is the console, while the machine runs.
    pub socket: PathBuf,
    /// All that the console has printed.
    pub log: PathBuf,
}

/// Whether a machine runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Power {
    /// It runs.
    Running,
    /// It is off.
    Stopped,
    /// Its processors are paused.
    Paused,
    /// It is off, and what was in its memory is on disk.
    Saved,
    /// It exists in part, or its hypervisor does not answer; says why.
    Broken(String),
}

/// What `check` found about this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Good to know.
    Info,
    /// It will work, but not as one would like.
    Warning,
    /// It will not work.
    Error,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(options: &str, internet: bool) -> String {
        let spec = VmSpec {
            cpus: 1,
            memory_mib: 1024,
            disk_mib: 1024,
            image: ImageFile { path: "/i".into(), sha256: "aa".into(), size_mib: 1 },
            lab: LabNic { address: Ipv4Addr::new(10, 77, 0, 11), prefix: 24 },
            internet,
            forwards: Vec::new(),
            seed: Vec::new(),
            mark: BTreeMap::new(),
            apart: None,
            options: options.parse().unwrap(),
        };
        spec.options_digest()
    }

    #[test]
    fn the_digest_of_options_stays_what_it_was() {
        assert_eq!(digest("", false), "64463f139d26d7ac");
        assert_eq!(digest("accel = 'tcg'\nargs = ['-device', 'edu']", true), "ab8bd5d5fb567c03");
        assert_eq!(digest("a = 1\nb = 2", true), digest("b = 2\na = 1", true));
    }

    #[test]
    fn whatever_differs_has_another_digest() {
        let all = [
            digest("", false),
            digest("", true),
            digest("a = 1", true),
            digest("a = '1'", true),
            digest("a = true", true),
            digest("a = 'true'", true),
            digest("a = ['1']", true),
            digest("a = []", true),
            digest("a = ['b', 'c']", true),
            digest("a = ['bc']", true),
            digest("a.b = 1", true),
            digest("'a.b' = 1", true),
            digest("a = 1\nb = 2", true),
        ];
        let distinct: std::collections::BTreeSet<&String> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert!(all.iter().all(|d| d.len() == 16 && d.chars().all(|c| c.is_ascii_hexdigit())));
    }
}
