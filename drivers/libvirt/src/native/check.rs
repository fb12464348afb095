//! Whether the hosts can run the machines that are wanted; changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;

use fleet_driver::run::Cmd;
use fleet_driver::{Error, ErrorKind, Finding, Level, MachineId, Power, Protocol, Result, VmSpec};
use tokio::runtime::Handle;

use super::disks::Pool;
use super::find::{self, Found};
use super::job::{Job, Link};
use super::{create, kvm, lan, power};
use crate::hosts::{self, Host, Lan, is_local};
use crate::names;
use crate::network::{self, Subnet};
use crate::options::{Forwarding, Options};
use crate::place;

/// What a new machine's disk takes before it does any work.
const OVERLAY_MIB: u64 = 300;

/// A machine that is wanted, with what is known of it.
struct Wanted<'a> {
    id: &'a MachineId,
    spec: &'a VmSpec,
    options: Options,
    candidates: Vec<Host>,
    found: Found,
    runs: bool,
}

fn finding(level: Level, id: Option<&MachineId>, message: String, hint: &str) -> Finding {
    let machine = id.map(|id| id.machine().to_owned());
    let hint = (!hint.is_empty()).then(|| hint.to_owned());
    Finding { level, machine, message, hint }
}

fn of_error(id: Option<&MachineId>, error: &Error) -> Finding {
    finding(Level::Error, id, error.to_string(), error.hint_text().unwrap_or_default())
}

/// Looks at everything.
pub(super) fn all(job: &Job, list: &[(MachineId, VmSpec)]) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut known = Vec::new();
    for (id, spec) in list {
        job.go_on()?;
        match look(job, id, spec) {
            Ok(wanted) => known.push(wanted),
            Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
            Err(error) => {
                let mut new = of_error(Some(id), &error);
                // What holds for a whole host is said once.
                if error.kind() == ErrorKind::Host {
                    new.machine = None;
                }
                if !findings.contains(&new) {
                    findings.push(new);
                }
            }
        }
    }
    addresses(&known, &mut findings);
    ports(&known, &mut findings);
    spread(&known, &mut findings);
    let mut seen: BTreeMap<String, Vec<&Wanted>> = BTreeMap::new();
    for wanted in &known {
        for host in &wanted.candidates {
            seen.entry(host.title().to_owned()).or_default().push(wanted);
        }
    }
    for wanted in seen.values() {
        let title = |host: &&Host| seen.get(host.title()).is_some_and(|l| std::ptr::eq(l, wanted));
        let Some(host) = wanted[0].candidates.iter().find(title) else { continue };
        match on_host(job, host, wanted, &mut findings) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
            Err(error) => findings.push(of_error(None, &error)),
        }
    }
    room(job, &known, &mut findings);
    Ok(findings)
}

fn look<'a>(job: &Job, id: &'a MachineId, spec: &'a VmSpec) -> Result<Wanted<'a>> {
    let options = Options::parse(&spec.options)?;
    job.cx.check_scratch(id)?;
    let mut candidates = hosts::of_machine(&hosts::read(&job.settings.driver)?, &options)?;
    let found = find::find(job, id)?;
    let mut runs = false;
    match &found {
        Found::Here(here) => {
            // A paused one keeps its memory and its ports.
            let power = power::of(&here.link, &here.domain)?;
            runs = matches!(power, Power::Running | Power::Paused);
            candidates = vec![here.host.clone()];
        }
        Found::Half(memory) => candidates = vec![find::host_remembered(job, memory)],
        Found::Nothing => {}
    }
    Ok(Wanted { id, spec, options, candidates, found, runs })
}

/// Two machines with one address.
fn addresses(known: &[Wanted], findings: &mut Vec<Finding>) {
    let mut owners: BTreeMap<Ipv4Addr, &MachineId> = BTreeMap::new();
    for wanted in known {
        let address = wanted.spec.lab.address;
        if let Some(other) = owners.insert(address, wanted.id) {
            let text = format!("its address {address} is that of `{}` too", other.machine());
            let hint = "give each machine an address of its own";
            findings.push(finding(Level::Error, Some(wanted.id), text, hint));
        }
    }
}

/// Ports of this computer that are taken.
fn ports(known: &[Wanted], findings: &mut Vec<Finding>) {
    let mut asked = BTreeSet::new();
    for wanted in known.iter().filter(|wanted| !wanted.runs) {
        for forward in &wanted.spec.forwards {
            let udp = forward.protocol == Protocol::Udp;
            let local = wanted.candidates.iter().all(|host| is_local(&host.uri));
            if !asked.insert((forward.host, udp)) || (local && is_taken(forward.host, udp)) {
                let text = format!("the port {} is taken", forward.host);
                let hint = "choose another port in `ports`, or stop what uses it";
                findings.push(finding(Level::Error, Some(wanted.id), text, hint));
            }
        }
    }
}

fn is_taken(address: SocketAddr, udp: bool) -> bool {
    let error = if udp { UdpSocket::bind(address).err() } else { TcpListener::bind(address).err() };
    // Other errors are not about the port, such as an address of another network namespace.
    error.is_some_and(|e| e.kind() == std::io::ErrorKind::AddrInUse)
}

/// Several hosts need a network that they share.
fn spread(known: &[Wanted], findings: &mut Vec<Finding>) {
    let uris: BTreeSet<&str> =
        known.iter().flat_map(|wanted| &wanted.candidates).map(|host| host.uri.as_str()).collect();
    let own = known
        .iter()
        .any(|wanted| wanted.candidates.iter().any(|host| host.lan(&wanted.options) == Lan::Own));
    if uris.len() > 1 && own {
        let text = "the machines live on several hosts, but the fleet's own network is on one only";
        let hint = "set `libvirt.bridge` or `libvirt.network` to one that the hosts share";
        findings.push(finding(Level::Error, None, text.to_owned(), hint));
    }
}

/// One host, and the machines that may live on it.
fn on_host(job: &Job, host: &Host, wanted: &[&Wanted], findings: &mut Vec<Finding>) -> Result<()> {
    let link = job.link(&host.uri)?;
    let mut said = BTreeSet::new();
    for one in wanted {
        job.go_on()?;
        if let Err(error) = said_once(job, &link, host, one, &mut said, findings) {
            findings.push(of_error(Some(one.id), &error));
        }
    }
    let fleets: BTreeSet<&str> = wanted.iter().map(|one| one.id.fleet()).collect();
    for fleet in fleets {
        let mine: Vec<&&Wanted> = wanted.iter().filter(|one| one.id.fleet() == fleet).collect();
        own_network(job, &link, host, fleet, &mine, findings)?;
    }
    storage(job, &link, host, wanted, findings)
}

/// The kind of acceleration, and the network if it exists already.
fn said_once(
    job: &Job,
    link: &Link,
    host: &Host,
    one: &Wanted,
    said: &mut BTreeSet<String>,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    if !matches!(one.found, Found::Here(_)) {
        let (_, reason) = kvm::judge(job, link, host, &one.options)?;
        if let Some(reason) = reason.filter(|reason| said.insert(reason.clone())) {
            findings.push(finding(Level::Info, None, reason, ""));
        }
    }
    match host.lan(&one.options) {
        Lan::Network(name) => {
            let Some(seen) = lan::described(link, &name)? else {
                let hint = format!("`virsh -c {} net-list --all` shows those there are", host.uri);
                let text = format!("{} has no network `{name}`", host.title());
                findings.push(finding(Level::Error, Some(one.id), text, &hint));
                return Ok(());
            };
            let address = one.spec.lab.address;
            let mac = one.id.mac(0);
            if seen.gateway_for(&one.spec.lab) == Some(address) {
                let text = format!("its address {address} is the gateway of `{name}`");
                findings.push(finding(Level::Error, Some(one.id), text, "choose another address"));
            }
            let ip = address.to_string();
            if let Some(other) = seen.leases.iter().find(|l| l.ip == ip && l.mac != mac) {
                let text =
                    format!("its address {address} is kept for `{}` in `{name}`", other.name);
                findings.push(finding(Level::Error, Some(one.id), text, "choose another address"));
            }
        }
        Lan::Own if !is_local(&host.uri) && one.options.forward == Forwarding::Nat => {
            let text =
                format!("the fleet's own network on {} cannot be reached from here", host.title());
            let hint = "set `libvirt.bridge` or `libvirt.network`, or `libvirt.forward = \"route\"` \
                        and add a route to it";
            if said.insert(text.clone()) {
                findings.push(finding(Level::Error, None, text, hint));
            }
        }
        Lan::Bridge(name) => {
            // Of another computer nobody can know before a machine starts there.
            let here = is_local(&host.uri) && !link.pretends();
            if here && !Path::new("/sys/class/net").join(&name).exists() {
                let text = format!("this host has no bridge `{name}`");
                if said.insert(text.clone()) {
                    let hint = "`ip link show type bridge` shows those there are";
                    findings.push(finding(Level::Error, None, text, hint));
                }
            }
        }
        Lan::Own | Lan::Segment => {}
    }
    Ok(())
}

/// Whether the fleet's own network has room beside what is there.
fn own_network(
    job: &Job,
    link: &Link,
    host: &Host,
    fleet: &str,
    wanted: &[&&Wanted],
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let on_it = |one: &&&&Wanted| host.lan(&one.options) == Lan::Own;
    let Some(first) = wanted.iter().find(on_it) else { return Ok(()) };
    let own = lan::own(link, fleet, host)?;
    let lab = Subnet::of(first.spec.lab.address, first.spec.lab.prefix);
    let known = own.as_ref().and_then(|(_, seen)| seen.gateway_for(&first.spec.lab));
    let gateway = known.unwrap_or_else(|| network::gateway(&first.spec.lab, &[]));
    // The machine that is made first would move the host's address away from where the
    // seeds of the others look for it.
    let alone = wanted.len() == 1 || known.is_some();
    let moves = |one: &&&&Wanted| !alone && network::is_first(&one.spec.lab);
    for one in wanted.iter().filter(|one| one.spec.lab.address == gateway || moves(one)) {
        let address = one.spec.lab.address;
        let text = format!("its address {address} is that of the host in the fleet's network");
        let hint = "choose another address; the first of the subnet is the host's";
        findings.push(finding(Level::Error, Some(one.id), text, hint));
    }
    let hint = "choose another `subnet` for the fleet";
    let mut bridges = BTreeSet::new();
    for other in link.ok("list the networks", link.connect.list_all_networks(0))? {
        let Some(text) = link.some("read a network", other.xml_desc(0))? else { continue };
        let Some(seen) = network::Described::parse(&text) else { continue };
        bridges.extend(other.bridge_name().ok());
        if seen.name == names::network(fleet) {
            continue;
        }
        if seen.addresses.iter().any(|(ip, prefix)| Subnet::of(*ip, *prefix).overlaps(lab)) {
            let text = format!("the network `{}` of {} has its addresses", seen.name, host.title());
            findings.push(finding(Level::Error, None, text, hint));
        }
    }
    if own.is_none() && is_local(&host.uri) && !link.pretends() {
        let interfaces = network::interfaces(&said_by_ip(job, &["-4", "-o", "addr"])?);
        let routes = network::routes(&said_by_ip(job, &["-4", "route"])?);
        let mut told = BTreeSet::new();
        for (name, ip, prefix) in interfaces.into_iter().chain(routes) {
            let clashes = !bridges.contains(&name) && Subnet::of(ip, prefix).overlaps(lab);
            if clashes && told.insert(name.clone()) {
                let text = format!("this host's interface `{name}` leads to {ip}/{prefix} already");
                findings.push(finding(Level::Error, None, text, hint));
            }
        }
    }
    Ok(())
}

/// What the program `ip` says of this host; nothing where it is missing.
fn said_by_ip(job: &Job, words: &[&str]) -> Result<String> {
    match Handle::current().block_on(job.cx.run(&Cmd::new("ip").args(words))) {
        Ok(output) => Ok(output.text()),
        Err(error) if error.kind() == ErrorKind::Interrupted => Err(error),
        Err(_) => Ok(String::new()),
    }
}

/// The room for disks.
fn storage(
    job: &Job,
    link: &Link,
    host: &Host,
    wanted: &[&Wanted],
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let mut needs: BTreeMap<&str, (u64, BTreeSet<&str>)> = BTreeMap::new();
    for one in wanted.iter().filter(|one| !matches!(one.found, Found::Here(_))) {
        let (mib, images) = needs.entry(host.pool(&one.options)).or_default();
        *mib += OVERLAY_MIB;
        let image = &one.spec.image;
        let length = std::fs::metadata(&image.path).map_or(0, |meta| meta.len() >> 20);
        if images.insert(&image.sha256) {
            let pool = Pool::open_quietly(link, host.pool(&one.options))?;
            if let Some(pool) = pool
                && !pool.has_image(job, &image.sha256)?
            {
                *mib += length;
            }
        }
    }
    for (name, (need, _)) in needs {
        let Some(pool) = Pool::open_quietly(link, name)? else { continue };
        let free = pool.free()? >> 20;
        if free < need {
            let text = format!(
                "the storage of {} is full: the pool `{name}` has {free} MiB free, but {need} MiB \
                 are needed",
                host.title()
            );
            let hint = "free some space there, or use another `libvirt.pool`";
            findings.push(finding(Level::Error, None, text, hint));
        }
    }
    Ok(())
}

/// The room for memory and processors: machines are placed as `create` would.
fn room(job: &Job, known: &[Wanted], findings: &mut Vec<Finding>) {
    let mut given: BTreeMap<String, (u64, u32)> = BTreeMap::new();
    for one in known.iter().filter(|one| matches!(one.found, Found::Nothing)) {
        let Ok(rooms) = create::rooms(job, one.id, one.spec, &one.candidates) else { continue };
        let mut rooms: Vec<place::Room> = rooms.into_iter().map(|(_, room)| room).collect();
        for room in &mut rooms {
            let (memory, cpus) = given.get(&room.name).copied().unwrap_or_default();
            room.used_mib += memory;
            room.used_cpus += cpus;
        }
        if rooms.is_empty() {
            continue;
        }
        match place::place(one.spec.memory_mib, one.spec.cpus, &rooms) {
            Ok(at) => {
                let taken = given.entry(rooms[at].name.clone()).or_default();
                taken.0 += one.spec.memory_mib;
                taken.1 += one.spec.cpus;
            }
            Err(error) => findings.push(of_error(Some(one.id), &error)),
        }
    }
}
