//! A machine's spec on the wire: its secrets in base64, its digest computed.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::spec::{Forward, ImageFile, LabNic, VmSpec};
use crate::{Error, Result, Secret};

/// [`VmSpec`] for a pipe that nobody else reads; never printed.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Vm {
    cpus: u32,
    memory_mib: u64,
    disk_mib: u64,
    image: ImageFile,
    lab: LabNic,
    internet: bool,
    #[serde(default)]
    forwards: Vec<Forward>,
    #[serde(default)]
    seed: Vec<SeedFile>,
    #[serde(default)]
    mark: BTreeMap<String, String>,
    #[serde(default)]
    apart: Option<String>,
    #[serde(default)]
    options: toml::Table,
    /// What the machine's sighting is to give back.
    #[serde(default)]
    options_digest: String,
}

/// A file of the first-boot seed.
#[derive(Clone, Serialize, Deserialize)]
struct SeedFile {
    name: String,
    base64: String,
}

impl From<&VmSpec> for Vm {
    fn from(spec: &VmSpec) -> Self {
        let seed = |(name, content): &(String, Secret<Vec<u8>>)| SeedFile {
            name: name.clone(),
            base64: STANDARD.encode(content.expose()),
        };
        Self {
            cpus: spec.cpus,
            memory_mib: spec.memory_mib,
            disk_mib: spec.disk_mib,
            image: spec.image.clone(),
            lab: spec.lab.clone(),
            internet: spec.internet,
            forwards: spec.forwards.clone(),
            seed: spec.seed.iter().map(seed).collect(),
            mark: spec.mark.clone(),
            apart: spec.apart.clone(),
            options: spec.options.clone(),
            options_digest: spec.options_digest(),
        }
    }
}

impl TryFrom<Vm> for VmSpec {
    type Error = Error;

    fn try_from(vm: Vm) -> Result<Self> {
        let seed = |file: SeedFile| match STANDARD.decode(&file.base64) {
            Ok(content) => Ok((file.name, Secret::new(content))),
            // The cause would quote what is secret.
            Err(_) => Err(Error::bug(format!("the file `{}` of the seed is no base64", file.name))),
        };
        Ok(Self {
            cpus: vm.cpus,
            memory_mib: vm.memory_mib,
            disk_mib: vm.disk_mib,
            image: vm.image,
            lab: vm.lab,
            internet: vm.internet,
            forwards: vm.forwards,
            seed: vm.seed.into_iter().map(seed).collect::<Result<_>>()?,
            mark: vm.mark,
            apart: vm.apart,
            options: vm.options,
        })
    }
}
