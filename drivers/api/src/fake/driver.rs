//! The driver contract on the fake world.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::time::Duration;

use super::world::{Life, Machine, Made, Moment, What};
use super::{Call, Fake, Verb};
use crate::error::{Error, Result};
use crate::spec::{About, Finding, Forward, Level, Power, Protocol, Sighting, Stop, VmSpec};
use crate::wait::pause_for;
use crate::{Answer, Cx, Driver, MachineId, Snapshots, Suspend};

/// A verb that runs; counted until it is dropped.
pub(super) struct Running<'a> {
    fake: &'a Fake,
    troubles: Vec<What>,
}

impl Running<'_> {
    fn trouble(&self, at: Moment) -> Result<()> {
        for what in &self.troubles {
            if let What::Fail { moment, error } = what
                && *moment == at
            {
                return Err(error());
            }
        }
        Ok(())
    }

    /// Gives others a turn, and fails if half-way was ordered to be the end.
    pub(super) async fn half_way(&self, cx: &Cx) -> Result<()> {
        tokio::task::yield_now().await;
        self.trouble(Moment::HalfWay)?;
        in_time(cx)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.fake.world().running -= 1;
    }
}

fn in_time(cx: &Cx) -> Result<()> {
    cx.go_on()?;
    if cx.left().is_zero() { Err(Error::driver("did not end in time")) } else { Ok(()) }
}

impl Fake {
    pub(super) async fn enter(
        &self,
        verb: Verb,
        machines: &[&str],
        cx: &Cx,
    ) -> Result<Running<'_>> {
        let running = {
            let mut world = self.world();
            let machine = match verb {
                Verb::Check | Verb::List => None,
                Verb::Inspect
                | Verb::Create
                | Verb::Start
                | Verb::Stop
                | Verb::Unseed
                | Verb::Destroy
                | Verb::Suspend
                | Verb::Snapshot
                | Verb::Snapshots
                | Verb::Revert
                | Verb::Forget => machines.first().map(|name| (*name).to_owned()),
            };
            world.calls.push(Call { verb, machine });
            world.running += 1;
            world.most_at_once = world.most_at_once.max(world.running);
            Running { fake: self, troubles: world.due(verb, machines) }
        };
        self.calls.send_modify(|count| *count += 1);
        tokio::task::yield_now().await;
        in_time(cx)?;
        for what in &running.troubles {
            match what {
                What::Delay(time) => pause_for(cx, *time).await?,
                What::Hang => pause_for(cx, Duration::MAX).await?,
                What::Fail { .. } => {}
            }
        }
        in_time(cx)?;
        running.trouble(Moment::Before)?;
        Ok(running)
    }

    /// Changes a machine that exists completely.
    pub(super) fn change<T>(
        &self,
        id: &MachineId,
        change: impl FnOnce(&mut Machine) -> T,
    ) -> Result<T> {
        match self.world().machines.get_mut(id) {
            Some(machine) if machine.made == Made::Whole => Ok(change(machine)),
            Some(_) => Err(Error::driver("the machine is half-made").hint("create it again")),
            None => Err(Error::not_found("the machine does not exist").hint("create it first")),
        }
        .map_err(|e| e.with("machine", id))
    }
}

impl Driver for Fake {
    fn about(&self) -> About {
        let world = self.world();
        About {
            name: self.name.to_owned(),
            capabilities: world.capabilities,
            concurrency: world.concurrency,
        }
    }

    fn check<'a>(
        &'a self,
        wanted: &'a [(MachineId, VmSpec)],
        cx: &'a Cx,
    ) -> Answer<'a, Vec<Finding>> {
        Box::pin(async move {
            let names: Vec<&str> = wanted.iter().map(|(id, _)| id.machine()).collect();
            let _running = self.enter(Verb::Check, &names, cx).await?;
            let world = self.world();
            let mut findings = world.findings.clone();
            for (id, spec) in wanted {
                let error = |message: String| Finding {
                    level: Level::Error,
                    machine: Some(id.machine().to_owned()),
                    message,
                    hint: None,
                };
                if let Err(e) = speed(&spec.options) {
                    findings.push(error(e.to_string()));
                }
                for forward in &spec.forwards {
                    if let Err(e) = free(forward) {
                        findings.push(error(format!("port {} is taken: {e}", forward.host)));
                    }
                }
            }
            for (what, asked, there) in [
                ("memory", wanted.iter().map(|(_, s)| s.memory_mib).sum(), world.memory_mib),
                ("disk", wanted.iter().map(|(_, s)| s.disk_mib).sum::<u64>(), world.disk_mib),
            ] {
                if asked > there {
                    findings.push(Finding {
                        level: Level::Error,
                        machine: None,
                        message: format!("{asked} MiB of {what} are asked, {there} MiB are there"),
                        hint: Some(format!("ask for less {what}")),
                    });
                }
            }
            Ok(findings)
        })
    }

    fn list<'a>(&'a self, fleet: Option<&'a str>, cx: &'a Cx) -> Answer<'a, Vec<MachineId>> {
        Box::pin(async move {
            let _running = self.enter(Verb::List, &[], cx).await?;
            let wanted = |id: &&MachineId| fleet.is_none_or(|fleet| id.fleet() == fleet);
            Ok(self.world().machines.keys().filter(wanted).cloned().collect())
        })
    }

    fn inspect<'a>(&'a self, id: &'a MachineId, cx: &'a Cx) -> Answer<'a, Option<Sighting>> {
        Box::pin(async move {
            let _running = self.enter(Verb::Inspect, &[id.machine()], cx).await?;
            let world = self.world();
            let Some(machine) = world.machines.get(id) else {
                return Ok(None);
            };
            let answers = world
                .endpoints
                .get(id.machine())
                .filter(|_| machine.power == Power::Running && machine.made == Made::Whole);
            let speed = speed(&machine.spec.options).unwrap_or("fast");
            Ok(Some(Sighting {
                power: match machine.made {
                    Made::Whole => machine.power.clone(),
                    Made::Half => Power::Broken("half-made".to_owned()),
                },
                host: None,
                ssh: answers.map(|(ssh, _)| *ssh),
                engine: answers.map(|(_, engine)| *engine),
                lab: Some(machine.spec.lab.address),
                cpus: machine.spec.cpus,
                memory_mib: machine.spec.memory_mib,
                disk_mib: machine.spec.disk_mib,
                image_sha256: machine.spec.image.sha256.clone(),
                forwards: machine.spec.forwards.clone(),
                console: None,
                seeded: machine.seeded,
                mark: machine.spec.mark.clone(),
                options_digest: machine.spec.options_digest(),
                details: BTreeMap::from([("speed".to_owned(), speed.to_owned())]),
            }))
        })
    }

    fn create<'a>(&'a self, id: &'a MachineId, spec: &'a VmSpec, cx: &'a Cx) -> Answer<'a, ()> {
        Box::pin(async move {
            let running = self.enter(Verb::Create, &[id.machine()], cx).await?;
            speed(&spec.options)?;
            {
                let mut world = self.world();
                match world.machines.get_mut(id) {
                    Some(there) if there.made == Made::Whole => return same(id, there, spec),
                    Some(_) | None => {}
                }
                let machine = Machine {
                    spec: spec.clone(),
                    power: Power::Stopped,
                    seeded: !spec.seed.is_empty(),
                    made: Made::Half,
                    life: Life::default(),
                    snapshots: Vec::new(),
                };
                world.machines.insert(id.clone(), machine);
            }
            let dir = cx.make_scratch(id)?;
            let failed = |e| Error::host("could not write the machine's folder").because(e);
            write_private(&dir.join("disk"), &[spec.image.sha256.as_bytes()]).map_err(failed)?;
            running.half_way(cx).await?;
            let seed: Vec<&[u8]> = spec.seed.iter().map(|(_, s)| s.expose().as_slice()).collect();
            write_private(&dir.join("seed"), &seed).map_err(failed)?;
            tokio::task::yield_now().await;
            if let Some(machine) = self.world().machines.get_mut(id) {
                machine.made = Made::Whole;
            }
            Ok(())
        })
    }

    fn start<'a>(&'a self, id: &'a MachineId, cx: &'a Cx) -> Answer<'a, ()> {
        Box::pin(async move {
            let running = self.enter(Verb::Start, &[id.machine()], cx).await?;
            running.half_way(cx).await?;
            self.change(id, |machine| machine.power = Power::Running)
        })
    }

    fn stop<'a>(&'a self, id: &'a MachineId, how: Stop, cx: &'a Cx) -> Answer<'a, ()> {
        Box::pin(async move {
            let running = self.enter(Verb::Stop, &[id.machine()], cx).await?;
            running.half_way(cx).await?;
            let power = self.change(id, |machine| machine.power.clone())?;
            let deaf = self.world().deaf.contains(id.machine());
            if how == Stop::Soft && deaf && power == Power::Running {
                pause_for(cx, Duration::MAX).await?;
                return Err(Error::busy("the guest does not shut down").hint("stop it hard"));
            }
            self.change(id, |machine| machine.power = Power::Stopped)
        })
    }

    fn unseed<'a>(&'a self, id: &'a MachineId, cx: &'a Cx) -> Answer<'a, ()> {
        Box::pin(async move {
            let running = self.enter(Verb::Unseed, &[id.machine()], cx).await?;
            self.change(id, |_| ())?;
            let failed = |e| Error::host("could not remove the seed").because(e);
            match std::fs::remove_file(cx.scratch(id).join("seed")) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed(e)),
                Ok(()) | Err(_) => {}
            }
            running.half_way(cx).await?;
            self.change(id, |machine| machine.seeded = false)
        })
    }

    fn destroy<'a>(&'a self, id: &'a MachineId, cx: &'a Cx) -> Answer<'a, ()> {
        Box::pin(async move {
            let running = self.enter(Verb::Destroy, &[id.machine()], cx).await?;
            if let Some(machine) = self.world().machines.get_mut(id) {
                machine.made = Made::Half;
                machine.power = Power::Stopped;
            }
            running.half_way(cx).await?;
            match std::fs::remove_dir_all(cx.scratch(id)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::host("could not remove the machine's folder").because(e));
                }
                Ok(()) | Err(_) => {}
            }
            cx.remove_scratch(id)?;
            tokio::task::yield_now().await;
            self.world().machines.remove(id);
            Ok(())
        })
    }

    fn suspending(&self) -> Option<&dyn Suspend> {
        let can = self.world().capabilities;
        (can.suspend || can.save).then_some(self)
    }

    fn snapshotting(&self) -> Option<&dyn Snapshots> {
        self.world().capabilities.snapshots.then_some(self)
    }
}

/// Takes a spec for a machine that exists: its mark, and all else while it is stopped.
fn same(id: &MachineId, there: &mut Machine, spec: &VmSpec) -> Result<()> {
    if there.spec.image.sha256 != spec.image.sha256 || there.spec.lab != spec.lab {
        return Err(Error::conflict("the machine exists with another image or address")
            .with("machine", id)
            .hint("destroy it first"));
    }
    if there.power == Power::Stopped {
        let disk_mib = there.spec.disk_mib.max(spec.disk_mib);
        there.spec = VmSpec { disk_mib, ..spec.clone() };
    }
    there.spec.mark.clone_from(&spec.mark);
    Ok(())
}

/// Reads the only option.
fn speed(options: &toml::Table) -> Result<&'static str> {
    let mut speed = "fast";
    for (key, value) in options {
        speed = match (key.as_str(), value.as_str()) {
            ("speed", Some("fast")) => "fast",
            ("speed", Some("slow")) => "slow",
            ("speed", _) => {
                return Err(Error::config("the option `speed` is neither `fast` nor `slow`")
                    .with("option", key));
            }
            _ => {
                return Err(Error::config(format!("there is no option `{key}`"))
                    .with("option", key)
                    .hint("the fake driver knows `speed`"));
            }
        };
    }
    Ok(speed)
}

/// Finds out whether a port of the host can be had.
fn free(forward: &Forward) -> io::Result<()> {
    match forward.protocol {
        Protocol::Tcp => TcpListener::bind(forward.host).map(drop),
        Protocol::Udp => UdpSocket::bind(forward.host).map(drop),
    }
}

/// Writes a file that nobody else may read.
fn write_private(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    parts.iter().try_for_each(|part| file.write_all(part))
}
