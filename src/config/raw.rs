//! `machines.toml` as it is written: one field a key, nothing resolved.
//!
//! These types are also the JSON Schema (see `schema.rs`), so the comments of the
//! fields are what editors show.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use toml::Spanned;

use super::diagnose::Span;
use super::foreign::Tables;
use super::texts::{
    AddressText, CidrText, Count, Cpus, DriverName, Image, InstallText, Options, PortText,
    SizeText, SubnetSize, TaskHistory, TtlText, VersionText,
};
use super::{Availability, Role};

/// A value and where it is written.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(transparent)]
pub(crate) struct At<T>(Spanned<T>);

impl<T> At<T> {
    /// The value.
    pub(crate) fn get(&self) -> &T {
        self.0.get_ref()
    }

    /// A value at a place.
    pub(crate) fn new(span: Span, value: T) -> Self {
        Self(Spanned::new(span, value))
    }

    /// The value, to be changed.
    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }

    /// Where it is.
    pub(crate) fn span(&self) -> Span {
        self.0.span()
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// Names and texts, with the place of each.
pub(crate) type Texts = BTreeMap<At<String>, At<String>>;

/// A fleet of machines, for `fleet up`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "machines.toml")]
pub(crate) struct File {
    /// The fleet as a whole.
    #[serde(default)]
    pub(crate) fleet: FleetTable,
    /// What machines have that do not say otherwise.
    #[serde(default)]
    pub(crate) defaults: Defaults,
    /// The lab network, which all machines share.
    #[serde(default)]
    pub(crate) network: NetworkTable,
    /// The Docker Engine of every machine.
    #[serde(default)]
    pub(crate) engine: EngineTable,
    /// Present, even if empty: the machines become a swarm.
    pub(crate) swarm: Option<At<SwarmTable>>,
    /// Options of the drivers, for all machines: `[driver.qemu]`.
    #[serde(default)]
    pub(crate) driver: Drivers,
    /// The machines: `[machine.NAME]`.
    #[serde(default)]
    pub(crate) machine: BTreeMap<At<String>, At<Machine>>,
}

/// The fleet as a whole.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FleetTable {
    /// The name of the fleet; without it, the name of the folder.
    pub(crate) name: Option<At<String>>,
    /// Refuse to destroy any of its machines without `--force`.
    pub(crate) protected: Option<At<bool>>,
    /// How long the fleet may live, such as `"8h"`; `fleet reap` then removes it.
    #[schemars(with = "Option<TtlText>")]
    pub(crate) ttl: Option<At<String>>,
}

/// What machines have that do not say otherwise.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Defaults {
    /// What makes the machines; `qemu` needs neither a daemon nor root.
    #[schemars(with = "Option<DriverName>")]
    pub(crate) driver: Option<At<String>>,
    /// The base image: a name such as `debian-12`, a path, or `{ url, sha256 }`.
    pub(crate) image: Option<At<Image>>,
    /// Virtual processors, 1 unless given.
    #[schemars(with = "Option<Cpus>")]
    pub(crate) cpus: Option<At<i64>>,
    /// Memory, such as `"1 GiB"`, which is the default.
    #[schemars(with = "Option<SizeText>")]
    pub(crate) memory: Option<At<String>>,
    /// Size of the root disk, such as `"10 GiB"`, which is the default.
    #[schemars(with = "Option<SizeText>")]
    pub(crate) disk: Option<At<String>>,
    /// The account in the machines, `fleet` unless given.
    pub(crate) user: Option<At<String>>,
    /// Labels of the swarm nodes.
    #[serde(default)]
    pub(crate) labels: Texts,
}

/// The lab network.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NetworkTable {
    /// A private network, `10.77.0.0/24` unless given.
    #[schemars(with = "Option<CidrText>")]
    pub(crate) subnet: Option<At<String>>,
    /// Whether the machines may reach the outside; yes unless given.
    pub(crate) internet: Option<At<bool>>,
}

/// The Docker Engine.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EngineTable {
    /// How the engine gets into a machine: `auto`, `distro`, `get-docker`, `none`, or
    /// a script such as `./engine.sh`.
    #[schemars(with = "Option<InstallText>")]
    pub(crate) install: Option<At<String>>,
    /// The version, in full or its first parts, such as `"28"`.
    #[schemars(with = "Option<VersionText>")]
    pub(crate) version: Option<At<String>>,
    /// Labels of the engine.
    #[serde(default)]
    pub(crate) labels: Texts,
    /// Mirrors of the public registry, such as `"https://mirror.example"`.
    pub(crate) registry_mirrors: Option<Vec<At<String>>>,
    /// Registries that may be spoken to without TLS, such as `"10.77.0.1:5000"`.
    pub(crate) insecure_registries: Option<Vec<At<String>>>,
    /// The default log driver, such as `"local"`.
    pub(crate) log_driver: Option<At<String>>,
    /// Options of the log driver.
    #[serde(default)]
    pub(crate) log_opts: Texts,
    /// The storage driver, such as `"overlay2"`.
    pub(crate) storage_driver: Option<At<String>>,
    /// Environment of the engine, such as `HTTPS_PROXY`.
    #[serde(default)]
    pub(crate) env: Texts,
}

/// Settings of the swarm as a whole, used when it is made.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SwarmTable {
    /// Address pools for overlay networks, such as `"10.20.0.0/16"`.
    #[schemars(with = "Option<Vec<CidrText>>")]
    pub(crate) address_pools: Option<Vec<At<String>>>,
    /// Prefix length of each overlay network out of the pools, 24 unless given.
    #[schemars(with = "Option<SubnetSize>")]
    pub(crate) subnet_size: Option<At<i64>>,
    /// How many dead tasks are remembered for each slot, 5 unless given.
    #[schemars(with = "Option<TaskHistory>")]
    pub(crate) task_history: Option<At<i64>>,
}

/// Options of each driver; the driver itself knows what they may be.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Drivers {
    /// Options of the `qemu` driver.
    #[schemars(with = "Option<Options>")]
    pub(crate) qemu: Option<At<toml::Table>>,
    /// Options of the `virtualbox` driver.
    #[schemars(with = "Option<Options>")]
    pub(crate) virtualbox: Option<At<toml::Table>>,
    /// Options of the `libvirt` driver.
    #[schemars(with = "Option<Options>")]
    pub(crate) libvirt: Option<At<toml::Table>>,
    /// Options of the `vmware` driver.
    #[schemars(with = "Option<Options>")]
    pub(crate) vmware: Option<At<toml::Table>>,
    /// Options of the `azure` driver.
    #[schemars(with = "Option<Options>")]
    pub(crate) azure: Option<At<toml::Table>>,
    /// Options of the `generic` driver.
    #[schemars(with = "Option<Options>")]
    pub(crate) generic: Option<At<toml::Table>>,
    /// Options of drivers that are programs; see `foreign.rs`.
    #[serde(skip)]
    pub(crate) others: Tables,
}

/// One machine, or several alike.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Machine {
    /// Makes that many machines, `NAME-1`, `NAME-2` and so on. Without it there is
    /// one, called `NAME`.
    #[schemars(with = "Option<Count>")]
    pub(crate) count: Option<At<i64>>,
    /// Its part in the swarm, `worker` unless given; needs `[swarm]`.
    pub(crate) role: Option<At<Role>>,
    /// What makes the machine.
    #[schemars(with = "Option<DriverName>")]
    pub(crate) driver: Option<At<String>>,
    /// The base image: a name such as `debian-12`, a path, or `{ url, sha256 }`.
    pub(crate) image: Option<At<Image>>,
    /// Virtual processors.
    #[schemars(with = "Option<Cpus>")]
    pub(crate) cpus: Option<At<i64>>,
    /// Memory, such as `"1 GiB"`.
    #[schemars(with = "Option<SizeText>")]
    pub(crate) memory: Option<At<String>>,
    /// Size of the root disk, such as `"10 GiB"`.
    #[schemars(with = "Option<SizeText>")]
    pub(crate) disk: Option<At<String>>,
    /// Its address on the lab network; with `count`, that of the first.
    #[schemars(with = "Option<AddressText>")]
    pub(crate) address: Option<At<String>>,
    /// The account in the machine.
    pub(crate) user: Option<At<String>>,
    /// Ports of this computer that lead into the machine, such as `"8080:80"`.
    #[schemars(with = "Option<Vec<PortText>>")]
    pub(crate) ports: Option<Vec<At<String>>>,
    /// Labels of its swarm node.
    #[serde(default)]
    pub(crate) labels: Texts,
    /// Whether its swarm node takes tasks.
    pub(crate) availability: Option<At<Availability>>,
    /// Refuse to destroy it without `--force`.
    pub(crate) protected: Option<At<bool>>,
    /// Its engine, where it differs from `[engine]`.
    #[serde(default)]
    pub(crate) engine: EngineTable,
    /// Options of the `qemu` driver for this machine.
    #[schemars(with = "Option<Options>")]
    pub(crate) qemu: Option<At<toml::Table>>,
    /// Options of the `virtualbox` driver for this machine.
    #[schemars(with = "Option<Options>")]
    pub(crate) virtualbox: Option<At<toml::Table>>,
    /// Options of the `libvirt` driver for this machine.
    #[schemars(with = "Option<Options>")]
    pub(crate) libvirt: Option<At<toml::Table>>,
    /// Options of the `vmware` driver for this machine.
    #[schemars(with = "Option<Options>")]
    pub(crate) vmware: Option<At<toml::Table>>,
    /// Options of the `azure` driver for this machine.
    #[schemars(with = "Option<Options>")]
    pub(crate) azure: Option<At<toml::Table>>,
    /// Options of the `generic` driver for this machine.
    #[schemars(with = "Option<Options>")]
    pub(crate) generic: Option<At<toml::Table>>,
    /// Options of drivers that are programs; see `foreign.rs`.
    #[serde(skip)]
    pub(crate) others: Tables,
}

/// The names of all drivers, in the order in which they are listed.
pub(crate) const DRIVERS: [&str; 6] =
    ["qemu", "virtualbox", "libvirt", "vmware", "azure", "generic"];

macro_rules! by_name {
    ($($table:ty),*) => {$(
        impl $table {
            /// The options of the driver called `name`.
            pub(crate) fn options(&self, name: &str) -> Option<&At<toml::Table>> {
                match name {
                    "qemu" => self.qemu.as_ref(),
                    "virtualbox" => self.virtualbox.as_ref(),
                    "libvirt" => self.libvirt.as_ref(),
                    "vmware" => self.vmware.as_ref(),
                    "azure" => self.azure.as_ref(),
                    "generic" => self.generic.as_ref(),
                    name => self.others.get(name),
                }
            }

            /// The names of the drivers that may have options here.
            pub(crate) fn drivers(&self) -> impl Iterator<Item = &str> {
                DRIVERS.into_iter().chain(self.others.keys().map(String::as_str))
            }
        }
    )*};
}

by_name!(Drivers, Machine);
