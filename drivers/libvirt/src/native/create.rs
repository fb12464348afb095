//! Making machines and removing them; either may be ended anywhere and done again.
//!
//! Before anything is made on a host, the machine's folder remembers which host. The domain
//! is defined last and removed first, so that a machine with a domain is whole.

use std::net::TcpListener;

use fleet_driver::{Error, MachineId, Result, VmSpec, fault};
use virt::sys;

use super::change;
use super::disks::Pool;
use super::find::{self, Found, Here};
use super::job::{Job, Link};
use super::{kvm, lan, power};
use crate::hosts::{self, Host, Lan};
use crate::memory::{self, Memory};
use crate::options::{Firmware, Options};
use crate::place::{self, Room};
use crate::record::Record;
use crate::xml::{self, DomainView};
use crate::{fragments, names};

/// Makes a machine, or brings it to what is asked for now.
pub(super) fn create(job: &Job, id: &MachineId, spec: &VmSpec) -> Result<()> {
    job.cx.check_scratch(id)?;
    let options = Options::parse(&spec.options)?;
    match find::find(job, id)? {
        Found::Here(here) => change::apply(job, id, spec, &options, &here),
        Found::Half(memory) => make(job, id, spec, &options, Some(memory)),
        Found::Nothing => make(job, id, spec, &options, None),
    }
}

fn make(
    job: &Job,
    id: &MachineId,
    spec: &VmSpec,
    options: &Options,
    begun: Option<Memory>,
) -> Result<()> {
    let host = match &begun {
        Some(memory) => {
            let host = find::host_remembered(job, memory);
            fresh(id, spec, options, &host).write(id, &job.cx)?;
            host
        }
        None => choose(job, id, spec, options)?,
    };
    job.go_on()?;
    let link = job.link(&host.uri)?;
    let kind = kvm::kind(job, &link, &host, options)?;
    let pool = Pool::open(&link, host.pool(options))?;
    let mut record = Record::new(id, spec, options, &pool.name);
    let lan = host.lan(options);
    if lan == Lan::Segment {
        record.ports = Some(free_ports()?);
    }
    fault::point("libvirt-create-network", id.machine())?;
    if lan == Lan::Own {
        lan::join(job, &link, &host, id, spec, options, &record)?;
    }
    job.go_on()?;
    fault::point("libvirt-create-image", id.machine())?;
    let disk = pool.make_disk(job, id, &spec.image, record.disk_mib)?;
    job.go_on()?;
    fault::point("libvirt-create-seed", id.machine())?;
    let seed = pool.make_seed(job, id, &spec.seed)?;
    job.go_on()?;
    fault::point("libvirt-create-domain", id.machine())?;
    let parts = Parts { kind: &kind, disk: &disk, seed: &seed, pool: &pool.folder };
    define(&link, id, spec, options, &lan, &record, &parts)
}

fn fresh(_: &MachineId, spec: &VmSpec, options: &Options, host: &Host) -> Memory {
    Memory {
        uri: host.uri.clone(),
        pool: host.pool(options).to_owned(),
        host: host.name.clone(),
        memory_mib: spec.memory_mib,
        cpus: spec.cpus,
        apart: spec.apart.clone(),
        image: spec.image.sha256.clone(),
        keep_image: options.keep_image,
    }
}

/// Chooses the host of a new machine and remembers it.
fn choose(job: &Job, id: &MachineId, spec: &VmSpec, options: &Options) -> Result<Host> {
    let candidates = hosts::of_machine(&hosts::read(&job.settings.driver)?, options)?;
    // From looking until it is remembered, so that two do not take the same room.
    let _turn = job.turn("placement")?;
    let host = if let [one] = candidates.as_slice() {
        one.clone()
    } else {
        let rooms: Vec<(Host, Room)> = rooms(job, id, spec, &candidates)?;
        let just: Vec<Room> = rooms.iter().map(|(_, room)| room.clone()).collect();
        let at = place::place(spec.memory_mib, spec.cpus, &just)?;
        rooms[at].0.clone()
    };
    let link = job.link(&host.uri)?;
    // What belongs to another is found before anything is made.
    find::at(&link, &host, id)?;
    Pool::open(&link, host.pool(options))?;
    if host.lan(options) == Lan::Own {
        lan::own(&link, id.fleet(), &host)?;
    }
    job.go_on()?;
    fresh(id, spec, options, &host).write(id, &job.cx)?;
    Ok(host)
}

/// What is left of each host that answers.
pub(super) fn rooms(
    job: &Job,
    id: &MachineId,
    spec: &VmSpec,
    candidates: &[Host],
) -> Result<Vec<(Host, Room)>> {
    let mut rooms = Vec::new();
    let mut silent = None;
    for host in candidates {
        job.go_on()?;
        match job.link(&host.uri).and_then(|link| room(job, &link, host, id, spec)) {
            Ok(room) => rooms.push((host.clone(), room)),
            Err(error) => silent = Some(error),
        }
    }
    match silent {
        Some(error) if rooms.is_empty() => Err(error),
        _ => Ok(rooms),
    }
}

pub(super) fn room(
    job: &Job,
    link: &Link,
    host: &Host,
    id: &MachineId,
    spec: &VmSpec,
) -> Result<Room> {
    let node = link.ok("read the host's size", link.connect.node_info())?;
    let mut room = Room {
        name: host.title().to_owned(),
        memory_mib: host.memory_mib.unwrap_or(node.memory >> 10),
        used_mib: 0,
        cpus: host.cpus,
        used_cpus: 0,
        alike: 0,
    };
    let mut seen = Vec::new();
    for domain in link.ok("list the domains", link.connect.list_all_domains(0))? {
        let Some(text) = link.some("read a domain", domain.xml_desc(0))? else { continue };
        let found = crate::record::Described::parse(&text)?;
        let alike = found.record.as_ref().is_some_and(|other| {
            seen.push(other.id());
            spec.apart.is_some() && other.fleet == id.fleet() && other.apart == spec.apart
        });
        // Others count while they run; fleet's own may start at any time.
        if found.record.is_some() || domain.is_active().unwrap_or(false) {
            room.used_mib += found.memory_mib;
            room.used_cpus += found.cpus;
        }
        room.alike += usize::from(alike);
    }
    for (other, memory) in Memory::all(None, &job.cx) {
        if memory.uri == host.uri && other != *id && !seen.contains(&other) {
            room.used_mib += memory.memory_mib;
            room.used_cpus += memory.cpus;
            let alike = spec.apart.is_some() && memory.apart == spec.apart;
            room.alike += usize::from(alike && other.fleet() == id.fleet());
        }
    }
    Ok(room)
}

/// Two free ports of the loopback interface.
fn free_ports() -> Result<(u16, u16)> {
    let free = || TcpListener::bind("127.0.0.1:0").and_then(|port| Ok((port.local_addr()?, port)));
    let failed = |e| Error::host("there is no free port").because(e);
    // Both are held, so that they differ.
    let (first, second) = (free().map_err(failed)?, free().map_err(failed)?);
    Ok((first.0.port(), second.0.port()))
}

/// What a domain is made of.
pub(super) struct Parts<'a> {
    pub(super) kind: &'a str,
    pub(super) disk: &'a str,
    /// Empty: none.
    pub(super) seed: &'a str,
    /// The folder for the console's log.
    pub(super) pool: &'a str,
}

/// Defines the domain, as the last thing.
pub(super) fn define(
    link: &Link,
    id: &MachineId,
    spec: &VmSpec,
    options: &Options,
    lan: &Lan,
    record: &Record,
    parts: &Parts,
) -> Result<()> {
    let own = fragments::sort(&options.xml)?;
    let real = !link.pretends();
    let (bridge, network) = match lan {
        Lan::Own => (String::new(), names::network(id.fleet())),
        Lan::Network(name) => (String::new(), name.clone()),
        Lan::Bridge(name) => (name.clone(), String::new()),
        Lan::Segment => (String::new(), String::new()),
    };
    let only_real = |text: &str| if real { text.to_owned() } else { String::new() };
    let firmware = match options.firmware {
        Firmware::Bios => "",
        Firmware::Efi => "efi",
    };
    let view = DomainView {
        kind: parts.kind.to_owned(),
        hardware: only_real(parts.kind),
        name: names::domain(id),
        uuid: id.uuid(),
        namespace: names::NAMESPACE.to_owned(),
        record: record.text(),
        memory_mib: spec.memory_mib,
        cpus: spec.cpus,
        arch: only_real("x86_64"),
        machine: only_real(&options.machine),
        firmware: firmware.to_owned(),
        disk: parts.disk.to_owned(),
        seed: parts.seed.to_owned(),
        bridge,
        network,
        mac: id.mac(0),
        log: format!("{}/{}", parts.pool.trim_end_matches('/'), names::log(id)),
        top: own.top,
        devices: own.devices,
        args: if real { lan::args(id, spec, lan, record, &options.machine)? } else { Vec::new() },
    };
    let text = xml::domain(&view)?;
    let made = link.ok("define the domain", link.connect.define_domain_xml(&text))?;
    link.ok("set the domain's autostart", made.set_autostart(options.autostart)).map(drop)
}

/// Removes a machine and everything that belongs to it alone.
pub(super) fn destroy(job: &Job, id: &MachineId) -> Result<()> {
    match find::find(job, id)? {
        Found::Nothing => {}
        Found::Half(memory) => {
            let host = find::host_remembered(job, &memory);
            let link = job.link(&memory.uri)?;
            sweep(job, id, &link, &host, &memory)?;
        }
        Found::Here(here) => {
            let memory = remembered(id, &here);
            // Whatever is left is found again.
            memory.write(id, &job.cx)?;
            power::cut(&here.link, &here.domain)?;
            job.go_on()?;
            fault::point("libvirt-destroy-domain", id.machine())?;
            undefine(&here)?;
            fault::point("libvirt-destroy-volumes", id.machine())?;
            sweep(job, id, &here.link, &here.host, &memory)?;
        }
    }
    fault::point("libvirt-destroy-folder", id.machine())?;
    memory::forget(id, &job.cx)
}

fn remembered(_: &MachineId, here: &Here) -> Memory {
    Memory {
        uri: here.host.uri.clone(),
        pool: here.record.pool.clone(),
        host: here.host.name.clone(),
        memory_mib: here.seen.memory_mib,
        cpus: here.seen.cpus,
        apart: here.record.apart.clone(),
        image: here.record.image.clone(),
        keep_image: here.record.keep_image,
    }
}

fn undefine(here: &Here) -> Result<()> {
    let flags = sys::VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
        | sys::VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
        | sys::VIR_DOMAIN_UNDEFINE_NVRAM
        | sys::VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA;
    match here.domain.undefine_flags(flags) {
        Ok(()) => Ok(()),
        Err(e) if super::job::is_absent(&e) => Ok(()),
        // Old daemons and the stand-in know fewer of them.
        Err(_) => {
            let fewer =
                sys::VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | sys::VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA;
            here.link.some("remove the domain", here.domain.undefine_flags(fewer)).map(drop)
        }
    }
}

/// Removes what is left of a machine that has no domain.
fn sweep(job: &Job, id: &MachineId, link: &Link, host: &Host, memory: &Memory) -> Result<()> {
    job.go_on()?;
    // Without its pool there is nothing left in it.
    if link.connect.lookup_storage_pool_by_name(&memory.pool).is_ok() {
        let pool = Pool::open(link, &memory.pool)?;
        pool.remove_volumes(id)?;
        job.go_on()?;
        pool.remove_log(job, id)?;
        fault::point("libvirt-destroy-image", id.machine())?;
        if !memory.keep_image {
            pool.remove_image(job, &memory.image)?;
        }
    }
    job.go_on()?;
    fault::point("libvirt-destroy-network", id.machine())?;
    lan::leave(job, link, host, id)
}
