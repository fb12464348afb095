//! Finding machines: on which host each is, and what is to be seen of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use fleet_driver::{Error, MachineId, Power, Result, Sighting};
use virt::domain::Domain;
use virt::sys;

use super::job::{Job, Link};
use super::power;
use crate::hosts::{self, Host};
use crate::memory::Memory;
use crate::record::{Described, Record};
use crate::{errors, names};

/// What was found of a machine.
pub(super) enum Found {
    Nothing,
    /// It was begun there.
    Half(Memory),
    Here(Box<Here>),
}

/// A machine that exists.
pub(super) struct Here {
    pub(super) link: Link,
    pub(super) host: Host,
    pub(super) domain: Domain,
    /// As it is now.
    pub(super) seen: Described,
    /// As it will be at its next start.
    pub(super) next: Described,
    pub(super) record: Record,
}

/// The host of a URI, with what the settings say about it.
fn host_of(job: &Job, memory: &Memory) -> Host {
    let known = hosts::read(&job.settings.driver).unwrap_or_default();
    let same = |host: &&Host| host.uri == memory.uri && host.name == memory.host;
    let named = known.iter().find(same).cloned();
    named.unwrap_or_else(|| Host { name: memory.host.clone(), ..Host::at(&memory.uri) })
}

pub(super) fn host_remembered(job: &Job, memory: &Memory) -> Host {
    host_of(job, memory)
}

/// Looks for a machine wherever it may be.
pub(super) fn find(job: &Job, id: &MachineId) -> Result<Found> {
    if let Some(memory) = Memory::read(id, &job.cx)? {
        let host = host_of(job, &memory);
        let link = job.link(&memory.uri)?;
        let here = at(&link, &host, id)?;
        return Ok(here.map_or(Found::Half(memory), |here| Found::Here(Box::new(here))));
    }
    let mut silent = None;
    for host in hosts::all(&job.settings)? {
        job.go_on()?;
        match job.link(&host.uri) {
            Ok(link) => {
                if let Some(here) = at(&link, &host, id)? {
                    return Ok(Found::Here(Box::new(here)));
                }
            }
            Err(error) => silent = Some((host, error)),
        }
    }
    match silent {
        Some((_, error)) if hosts::all(&job.settings)?.len() == 1 => Err(error),
        Some((host, error)) => Err(silence(&host, error)),
        None => Ok(Found::Nothing),
    }
}

/// What to say when a host that could hold a machine cannot be asked.
fn silence(host: &Host, cause: Error) -> Error {
    let hint = cause.hint_text().unwrap_or("see that it runs, then try again").to_owned();
    Error::busy(format!("{} does not answer, and could hold the machine", host.title()))
        .with("uri", &host.uri)
        .hint(hint)
        .because(cause)
}

/// Looks for a machine on one host.
///
/// # Errors
/// `Conflict`, if a domain of another has its name or UUID.
pub(super) fn at(link: &Link, host: &Host, id: &MachineId) -> Result<Option<Here>> {
    let what = "look for the domain";
    let by_uuid = link.some(what, link.connect.lookup_domain_by_uuid_string(&id.uuid()))?;
    let found = match by_uuid {
        Some(domain) => Some(domain),
        None => link.some(what, link.connect.lookup_domain_by_name(&names::domain(id)))?,
    };
    let Some(domain) = found else { return Ok(None) };
    let Some(seen) = link.some(what, domain.xml_desc(0))? else { return Ok(None) };
    let next = link.some(what, domain.xml_desc(sys::VIR_DOMAIN_XML_INACTIVE))?;
    let (Some(next), seen) = (next, Described::parse(&seen)?) else { return Ok(None) };
    let next = Described::parse(&next)?;
    if !seen.is(id) {
        return Err(errors::foreign("domain", &seen.name, host.title()));
    }
    let record = seen.record.clone().expect("it was just compared");
    Ok(Some(Here { link: link.clone(), host: host.clone(), domain, seen, next, record }))
}

/// A machine that must exist.
///
/// # Errors
/// `NotFound`; `Conflict` if it is half-made.
pub(super) fn must(job: &Job, id: &MachineId) -> Result<Box<Here>> {
    match find(job, id)? {
        Found::Here(here) => Ok(here),
        Found::Nothing => Err(Error::not_found(format!("there is no machine `{}`", id.machine()))),
        Found::Half(_) => Err(Error::not_found(format!("`{}` was not made whole", id.machine()))
            .hint("run `fleet up`, which finishes it")),
    }
}

/// Every machine of a fleet, or of all fleets.
pub(super) fn list(job: &Job, fleet: Option<&str>) -> Result<Vec<MachineId>> {
    let remembered = Memory::all(fleet, &job.cx);
    let mut uris: BTreeSet<String> =
        hosts::all(&job.settings)?.into_iter().map(|host| host.uri).collect();
    uris.extend(remembered.iter().map(|(_, memory)| memory.uri.clone()));
    let mut found: BTreeSet<MachineId> = remembered.into_iter().map(|(id, _)| id).collect();
    for uri in uris {
        job.go_on()?;
        let link = job.link(&uri)?;
        found.extend(records(&link)?.into_iter().map(|seen| seen.1.id()));
    }
    let mine = |id: &MachineId| fleet.is_none_or(|fleet| id.fleet() == fleet);
    Ok(found.into_iter().filter(mine).collect())
}

/// Every machine of fleet's on a host.
pub(super) fn records(link: &Link) -> Result<Vec<(Described, Record)>> {
    let domains = link.ok("list the domains", link.connect.list_all_domains(0))?;
    let mut found = Vec::new();
    for domain in domains {
        // It may go while we look.
        let Some(text) = link.some("read a domain", domain.xml_desc(0))? else { continue };
        let mut seen = Described::parse(&text)?;
        if let Some(record) = seen.record.take() {
            found.push((seen, record));
        }
    }
    Ok(found)
}

/// What is to be seen of a machine.
pub(super) fn look(job: &Job, id: &MachineId) -> Result<Option<Sighting>> {
    let here = match find(job, id)? {
        Found::Nothing => return Ok(None),
        Found::Half(memory) => return Ok(Some(half(&memory))),
        Found::Here(here) => here,
    };
    let power = power::of(&here.link, &here.domain)?;
    let record = &here.record;
    let port = |port: u16| match record.ports {
        Some((ssh, engine)) => {
            SocketAddr::from(([127, 0, 0, 1], if port == 22 { ssh } else { engine }))
        }
        None => SocketAddr::from((record.address(), port)),
    };
    let details = BTreeMap::from([
        ("type".to_owned(), here.seen.kind.clone()),
        ("host".to_owned(), here.host.title().to_owned()),
        ("uri".to_owned(), here.host.uri.clone()),
        ("domain".to_owned(), here.seen.name.clone()),
    ]);
    Ok(Some(Sighting {
        power,
        host: here.host.name.clone(),
        ssh: Some(port(22)),
        engine: Some(port(2376)),
        lab: Some(record.address()),
        cpus: here.seen.cpus,
        memory_mib: here.seen.memory_mib,
        disk_mib: record.disk_mib,
        image_sha256: record.image.clone(),
        forwards: record.forwards.clone(),
        console: None,
        seeded: here.seen.seed.is_some() || here.next.seed.is_some(),
        mark: record.mark.clone(),
        options_digest: record.options_digest.clone(),
        details,
    }))
}

fn half(memory: &Memory) -> Sighting {
    Sighting {
        power: Power::Broken("it was not made whole".to_owned()),
        host: memory.host.clone(),
        ssh: None,
        engine: None,
        lab: None,
        cpus: 0,
        memory_mib: 0,
        disk_mib: 0,
        image_sha256: String::new(),
        forwards: Vec::new(),
        console: None,
        seeded: false,
        mark: BTreeMap::new(),
        options_digest: String::new(),
        details: BTreeMap::from([("uri".to_owned(), memory.uri.clone())]),
    }
}
