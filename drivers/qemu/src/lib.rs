//! The embedded driver: QEMU, no daemon, no root.
//!
//! A machine is a folder ([`folder`]) and, while it runs, a QEMU process that goes on
//! when `fleet` ends ([`process`], [`power`]). Machines reach each other on a
//! multicast segment that never leaves the loopback interface, and the host reaches
//! them through forwarded ports of 127.0.0.1 ([`args`]).
//!
//! This file decides; the others each know one thing.

mod args;
mod check;
mod create;
mod disk;
mod emulator;
mod folder;
mod machine;
mod options;
mod ports;
mod power;
mod probe;
mod process;
mod qmp;
mod roll;
mod seed;
mod sighting;
mod start;

use std::collections::BTreeSet;
use std::path::PathBuf;

use fleet_driver::{
    About, Answer, Capabilities, Cx, Driver, Error, ErrorKind, Finding, Level, MachineId, Result,
    Sighting, Stop, VmSpec, fault,
};
use tokio::sync::{Mutex, OnceCell};

use crate::args::Seed;
use crate::emulator::Emulator;
use crate::folder::{Folder, SEED};
use crate::machine::Accel;
use crate::options::AccelChoice;
pub use crate::options::Options;
use crate::probe::Kvm;
use crate::process::Process;

/// Makes machines with QEMU.
pub struct Qemu {
    cache: PathBuf,
    /// What was asked of this host, which does not change while `fleet` runs.
    emulator: OnceCell<Emulator>,
    kvm: OnceCell<Kvm>,
    /// Held from choosing ports until they are written down, so that two machines do
    /// not choose the same ones.
    choosing_ports: Mutex<()>,
}

impl Qemu {
    /// A driver that keeps what it finds out about KVM in the folder `cache`, which
    /// need not exist yet.
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        Self {
            cache: cache.into(),
            emulator: OnceCell::new(),
            kvm: OnceCell::new(),
            choosing_ports: Mutex::new(()),
        }
    }

    async fn emulator(&self, cx: &Cx) -> Result<&Emulator> {
        self.emulator.get_or_try_init(|| Emulator::ask(cx)).await
    }

    async fn kvm(&self, cx: &Cx) -> Result<&Kvm> {
        let emulator = self.emulator(cx).await?;
        self.kvm.get_or_try_init(|| probe::kvm(&self.cache, emulator, cx)).await
    }

    /// What will execute the guest's code, with the reason for the choice of `auto`.
    async fn accelerate(&self, choice: AccelChoice, cx: &Cx) -> Result<(Accel, Option<String>)> {
        match choice {
            AccelChoice::Tcg => Ok((Accel::Tcg, None)),
            AccelChoice::Kvm => match probe::open_device() {
                Ok(()) => Ok((Accel::Kvm, None)),
                Err(why) => Err(Error::host(why).hint(check::KVM_HINT)),
            },
            AccelChoice::Auto => {
                let (accel, text) = check::explain(self.kvm(cx).await?);
                Ok((accel, Some(text)))
            }
        }
    }

    async fn check_all(&self, wanted: &[(MachineId, VmSpec)], cx: &Cx) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        let machines = check::look(wanted, cx, &mut findings);
        let emulator = self.emulator(cx).await;
        let installed = emulator.is_ok();
        check::programs(emulator, cx, &mut findings).await?;
        check::explicit_kvm(&machines, probe::open_device().err().as_deref(), &mut findings);
        let mut auto = Accel::Tcg;
        if installed && check::has_choice(&machines) {
            match self.accelerate(AccelChoice::Auto, cx).await {
                Ok((accel, reason)) => {
                    auto = accel;
                    let text = reason.unwrap_or_default();
                    findings.push(check::finding(Level::Info, None, text));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
                Err(error) => findings.push(check::from_error(None, &error)),
            }
        }
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        check::memory(&machines, auto, &meminfo, &mut findings);
        check::disk(&machines, cx, &mut findings).await?;
        check::ports::fixed(&machines, cx.scratch_root(), &mut findings);
        check::images(&machines, &mut findings);
        Ok(findings)
    }

    async fn stop_one(&self, id: &MachineId, how: Stop, cx: &Cx) -> Result<()> {
        let folder = Folder::new(id, cx);
        Process::must_be_here(id, &folder)?;
        let known = folder.machine().map(drop);
        match how {
            Stop::Soft => {
                known?;
                power::press(id, &folder, cx).await?;
            }
            // A process is ended even if its folder is gone.
            Stop::Hard => {
                power::cut(id, &folder, cx).await?;
                known?;
            }
        }
        folder.tidy()
    }

    async fn unseed_one(&self, id: &MachineId, cx: &Cx) -> Result<()> {
        let folder = Folder::new(id, cx);
        folder.machine()?;
        match seed::of(&folder) {
            Seed::Attached => seed::remove(&folder, Process::of(id, &folder), cx).await,
            // An interrupted write may have left a part of it.
            Seed::Gone => folder.remove_file(SEED),
        }
    }

    async fn destroy_one(&self, id: &MachineId, cx: &Cx) -> Result<()> {
        let folder = Folder::new(id, cx);
        Process::must_be_here(id, &folder)?;
        process::nobody_works_in(&folder, cx).await?;
        // The process first: without its folder it would be harder to find.
        power::cut(id, &folder, cx).await?;
        fault::point("qemu-destroy-folder", id.machine())?;
        folder.remove(cx)
    }
}

impl Driver for Qemu {
    fn about(&self) -> About {
        About {
            name: "qemu".to_owned(),
            capabilities: Capabilities {
                seed: true,
                static_addresses: true,
                console: true,
                ..Capabilities::default()
            },
            concurrency: 8,
        }
    }

    fn check<'a>(
        &'a self,
        wanted: &'a [(MachineId, VmSpec)],
        cx: &'a Cx,
    ) -> Answer<'a, Vec<Finding>> {
        Box::pin(self.check_all(wanted, cx))
    }

    fn list<'a>(&'a self, fleet: Option<&'a str>, cx: &'a Cx) -> Answer<'a, Vec<MachineId>> {
        Box::pin(async move {
            let made = roll::list(cx.scratch_root(), fleet)?;
            let running = process::running(cx.scratch_root(), fleet);
            let all: BTreeSet<MachineId> = made.into_iter().chain(running).collect();
            Ok(all.into_iter().collect())
        })
    }

    fn inspect<'a>(&'a self, id: &'a MachineId, cx: &'a Cx) -> Answer<'a, Option<Sighting>> {
        Box::pin(sighting::look(id, cx))
    }

    fn create<'a>(&'a self, id: &'a MachineId, spec: &'a VmSpec, cx: &'a Cx) -> Answer<'a, ()> {
        Box::pin(self.create_one(id, spec, cx))
    }

    fn start<'a>(&'a self, id: &'a MachineId, cx: &'a Cx) -> Answer<'a, ()> {
        Box::pin(self.start_one(id, cx))
    }

    fn stop<'a>(&'a self, id: &'a MachineId, how: Stop, cx: &'a Cx) -> Answer<'a, ()> {
        Box::pin(self.stop_one(id, how, cx))
    }

    fn unseed<'a>(&'a self, id: &'a MachineId, cx: &'a Cx) -> Answer<'a, ()> {
        Box::pin(self.unseed_one(id, cx))
    }

    fn destroy<'a>(&'a self, id: &'a MachineId, cx: &'a Cx) -> Answer<'a, ()> {
        Box::pin(self.destroy_one(id, cx))
    }
}
