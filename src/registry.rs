//! The only file that names concrete drivers: name → constructor, and what this
//! build contains. Drivers that are programs are made here too.

use std::sync::{Arc, OnceLock};

use fleet_driver::event::Reporter;
use fleet_driver::program::Program;
use fleet_driver::{Cx, Driver, Error, Result, Settings};
use futures::future::join_all;
use tokio::sync::Mutex;

use crate::host::Host;
use crate::programs;

/// The drivers that `machines.toml` may name, whether this build has them or not.
pub const KNOWN: &[&str] = &["qemu", "libvirt", "virtualbox", "vmware", "azure", "generic"];

/// The drivers in this build.
pub const BUILT_IN: &[&str] = &["qemu"];

/// Where drivers come from; tests put a fake here.
#[derive(Clone)]
pub enum Registry {
    /// The drivers of this build, and those that are programs.
    Here(Arc<Here>),
    /// One driver for every name.
    Only(Arc<dyn Driver>),
}

/// The drivers that this process has made, each once: what it knows of the host, and whom
/// it lets choose a port, counts for all machines.
#[derive(Default)]
pub struct Here {
    qemu: OnceLock<Arc<dyn Driver>>,
    programs: Mutex<Vec<(String, Settings, Arc<Program>)>>,
}

impl Registry {
    /// The drivers of this build, and those that are programs.
    pub fn built_in() -> Self {
        Self::Here(Arc::default())
    }

    /// Makes the driver of that name, which gets these settings; one value for each name
    /// and settings.
    ///
    /// # Errors
    /// `Host` if there is none of that name, or its program is none; what the driver says
    /// to its settings.
    pub async fn driver(
        &self,
        name: &str,
        host: &Host,
        settings: &Settings,
    ) -> Result<Arc<dyn Driver>> {
        match self {
            Self::Only(driver) => Ok(driver.clone()),
            Self::Here(here) => match name {
                "qemu" => {
                    let qemu = || Arc::new(fleet_qemu::Qemu::new(host.cache_dir())) as _;
                    Ok(here.qemu.get_or_init(qemu).clone())
                }
                _ => here.program(name, host, settings).await,
            },
        }
    }

    /// All drivers that are here, without settings, for commands about all fleets; one
    /// that cannot be had is its error.
    pub async fn all(&self, host: &Host) -> Vec<(String, Result<Arc<dyn Driver>>)> {
        if let Self::Only(driver) = self {
            return vec![(driver.about().name, Ok(driver.clone()))];
        }
        let settings = Settings { cache: host.cache_dir(), ..Settings::default() };
        let names = BUILT_IN.iter().map(|name| (*name).to_owned());
        let found = programs::names(host);
        let found = found.into_iter().filter(|name| !BUILT_IN.contains(&name.as_str()));
        let mut all = Vec::new();
        for name in names.chain(found) {
            let driver = self.driver(&name, host, &settings).await;
            all.push((name, driver));
        }
        all
    }

    /// Ends the programs of drivers and waits until they have ended.
    pub async fn end(&self) {
        if let Self::Here(here) = self {
            let programs = std::mem::take(&mut *here.programs.lock().await);
            join_all(programs.iter().map(|(.., program)| program.end())).await;
        }
    }
}

impl Here {
    async fn program(
        &self,
        name: &str,
        host: &Host,
        settings: &Settings,
    ) -> Result<Arc<dyn Driver>> {
        let mut programs = self.programs.lock().await;
        let same =
            |(of, with, _): &&(String, Settings, Arc<Program>)| of == name && with == settings;
        if let Some((.., program)) = programs.iter().find(same) {
            return Ok(program.clone());
        }
        let path = programs::find(host, name).ok_or_else(|| missing(host, name))?;
        let program = Arc::new(Program::start(&path, name, settings, &cx(host)).await?);
        programs.push((name.to_owned(), settings.clone(), program.clone()));
        Ok(program)
    }
}

/// A context in which a program is started.
pub(crate) fn cx(host: &Host) -> Cx {
    Cx::new(host.machines_dir(), Reporter::silent(), host.cancel().clone())
}

fn missing(host: &Host, name: &str) -> Error {
    let there = BUILT_IN.iter().map(|name| (*name).to_owned()).chain(programs::names(host));
    Error::host(format!("this fleet has no driver `{name}`"))
        .with("drivers", there.collect::<Vec<_>>().join(", "))
        .hint(how_to_get(name))
}

/// What to do for a driver that is not here.
pub fn how_to_get(name: &str) -> String {
    match name {
        "libvirt" => "install the headers of libvirt and run `make install` again, or install \
                      the package `fleet-driver-libvirt`"
            .to_owned(),
        known if KNOWN.contains(&known) => "it is not made yet; use `driver = \"qemu\"`".to_owned(),
        _ => format!("put its program `{}{name}` beside `fleet` or into `PATH`", programs::PREFIX),
    }
}
