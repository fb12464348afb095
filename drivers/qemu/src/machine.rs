//! What the driver wrote down about a machine: `machine.json` in its folder.
//!
//! It holds what was asked for and the host ports that were chosen, and nothing
//! that changes by itself: power is asked of the process, and whether the seed is
//! there of the folder.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use fleet_driver::{Error, Forward, ImageFile, LabNic, MachineId, Protocol, Result, VmSpec};
use serde::{Deserialize, Serialize};

use crate::options::Options;

/// The only format so far.
const FORMAT: u32 = 1;

/// The description of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Machine {
    format: u32,
    pub(crate) fleet: String,
    pub(crate) name: String,
    pub(crate) cpus: u32,
    pub(crate) memory_mib: u64,
    pub(crate) disk_mib: u64,
    pub(crate) image: ImageFile,
    pub(crate) lab: LabNic,
    pub(crate) internet: bool,
    pub(crate) forwards: Vec<Forward>,
    pub(crate) ports: Ports,
    pub(crate) options: Options,
    /// [`VmSpec::options_digest`] of what was asked for.
    #[serde(default)]
    pub(crate) options_digest: String,
    /// What fleet wants to read again.
    #[serde(default)]
    pub(crate) mark: BTreeMap<String, String>,
    /// What executed the guest's code when it was last started, or will.
    pub(crate) accel: Accel,
}

/// The ports of 127.0.0.1 that lead into a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ports {
    /// To the guest's port 22.
    pub(crate) ssh: u16,
    /// To the guest's port 2376.
    pub(crate) engine: u16,
}

/// What executes the guest's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Accel {
    /// The processor itself.
    Kvm,
    /// QEMU's translator.
    Tcg,
}

impl Accel {
    /// The name in QEMU's command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }
}

impl Machine {
    /// Describes a new machine.
    pub(crate) fn new(
        id: &MachineId,
        spec: &VmSpec,
        options: Options,
        ports: Ports,
        accel: Accel,
    ) -> Self {
        Self {
            format: FORMAT,
            fleet: id.fleet().to_owned(),
            name: id.machine().to_owned(),
            cpus: spec.cpus,
            memory_mib: spec.memory_mib,
            disk_mib: disk_mib(spec),
            image: spec.image.clone(),
            lab: spec.lab.clone(),
            internet: spec.internet,
            forwards: spec.forwards.clone(),
            ports,
            options,
            options_digest: spec.options_digest(),
            mark: spec.mark.clone(),
            accel,
        }
    }

    /// Reads a description.
    ///
    /// # Errors
    /// `Conflict` if it was written by another version of fleet or damaged.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let damaged = |why: String| {
            Error::conflict("the machine's description cannot be read")
                .because(why)
                .hint("`fleet down` removes the machine, `fleet up` makes it anew")
        };
        let machine: Self = serde_json::from_slice(bytes).map_err(|e| damaged(e.to_string()))?;
        if machine.format != FORMAT {
            return Err(damaged(format!("its format {} is unknown", machine.format)));
        }
        Ok(machine)
    }

    /// The description as it is written.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("plain data becomes JSON");
        bytes.push(b'\n');
        bytes
    }

    /// Whose description it is.
    pub(crate) fn id(&self) -> MachineId {
        MachineId::new(&self.fleet, &self.name)
    }

    /// Where the host reaches the guest's SSH.
    pub(crate) fn ssh(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.ssh).into()
    }

    /// Where the host reaches the guest's engine.
    pub(crate) fn engine(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.engine).into()
    }

    /// Everything that the host listens on for this machine: the two that fleet
    /// itself uses, then those of `machines.toml`.
    pub(crate) fn all_forwards(&self) -> Vec<Forward> {
        let own = [(self.ssh(), 22), (self.engine(), 2376)].map(|(host, guest)| Forward {
            host,
            guest,
            protocol: Protocol::Tcp,
        });
        own.into_iter().chain(self.forwards.iter().cloned()).collect()
    }

    /// Whether `spec` can be had by changing this machine while it is off.
    ///
    /// # Errors
    /// `Conflict` if it would have to be made anew.
    pub(crate) fn agrees_with(&self, spec: &VmSpec) -> Result<()> {
        let conflict = |what: &str, has: String, wanted: String| {
            Err(Error::conflict(format!("the machine exists with another {what}"))
                .with("has", has)
                .with("wanted", wanted)
                .hint("`fleet down` it first, or take the change back"))
        };
        if self.image.sha256 != spec.image.sha256 {
            return conflict("image", self.image.sha256.clone(), spec.image.sha256.clone());
        }
        if self.lab != spec.lab {
            let text = |nic: &LabNic| format!("{}/{}", nic.address, nic.prefix);
            return conflict("lab address", text(&self.lab), text(&spec.lab));
        }
        Ok(())
    }
}

/// The size of the disk: never less than the image's.
pub(crate) fn disk_mib(spec: &VmSpec) -> u64 {
    spec.disk_mib.max(spec.image.size_mib)
}
