//! The only file that names concrete drivers: name → constructor, and what this
//! build contains.

use std::sync::{Arc, OnceLock};

use fleet_driver::{Driver, Error, Result};

use crate::host::Host;

/// The drivers that `machines.toml` may name, whether this build has them or not.
pub const KNOWN: &[&str] = &["qemu", "libvirt", "virtualbox", "vmware", "azure", "generic"];

/// The drivers in this build.
pub const BUILT_IN: &[&str] = &["qemu"];

/// Where drivers come from; tests put a fake here.
#[derive(Clone)]
pub enum Registry {
    /// The drivers of this build, each made once: what it knows of the host, and whom it
    /// lets choose a port, counts for all machines.
    BuiltIn(Arc<OnceLock<Arc<dyn Driver>>>),
    /// One driver for every name.
    Only(Arc<dyn Driver>),
}

impl Registry {
    /// The drivers of this build.
    pub fn built_in() -> Self {
        Self::BuiltIn(Arc::default())
    }

    /// Makes the driver of that name.
    ///
    /// # Errors
    /// `Host` if this build does not have it.
    pub fn driver(&self, name: &str, host: &Host) -> Result<Arc<dyn Driver>> {
        match self {
            Self::Only(driver) => Ok(driver.clone()),
            Self::BuiltIn(qemu) => match name {
                "qemu" => Ok(qemu
                    .get_or_init(|| Arc::new(fleet_qemu::Qemu::new(host.cache_dir())))
                    .clone()),
                _ => Err(Error::host(format!("this fleet has no driver `{name}`"))
                    .with("built in", BUILT_IN.join(", "))
                    .hint("use `driver = \"qemu\"`")),
            },
        }
    }
}
