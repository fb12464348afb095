//! The networks that machines are on, and the cards that their guests find.

use fleet_driver::{Card, CardAddress, Error, MachineId, Protocol, Result, VmSpec};
use virt::network::Network;
use virt::sys;

use super::find::{self, Found, Here};
use super::job::{Job, Link};
use crate::hosts::{self, Host, Lan};
use crate::memory::Memory;
use crate::network::{self, Described, Lease, Subnet};
use crate::options::Options;
use crate::record::Record;
use crate::xml::{self, NetworkView};
use crate::{errors, names};

/// The multicast group and port that are a fleet's own segment of the loopback interface.
fn segment(fleet: &str) -> String {
    let n = MachineId::new(fleet, "").number("segment").to_be_bytes();
    let port = 10000 + u16::from_be_bytes([n[3], n[4]]) % 10000;
    let part = |byte: u8| byte % 254 + 1;
    format!("230.{}.{}.{}:{port}", part(n[0]), part(n[1]), part(n[2]))
}

/// The cards that the guest will find.
pub(super) fn cards(job: &Job, id: &MachineId, spec: &VmSpec) -> Result<Vec<Card>> {
    let options = Options::parse(&spec.options)?;
    let host = match find::find(job, id)? {
        Found::Here(here) => here.host,
        Found::Half(memory) => find::host_remembered(job, &memory),
        Found::Nothing => {
            let hosts = hosts::of_machine(&hosts::read(&job.settings.driver)?, &options)?;
            hosts.into_iter().next().expect("a machine may live on at least one host")
        }
    };
    let lan = host.lan(&options);
    let (gateway, dns) = match &lan {
        Lan::Segment => return Ok(Card::outside_and_lab(id, &spec.lab)),
        Lan::Own => {
            let link = job.link(&host.uri)?;
            let known =
                own(&link, id.fleet(), &host)?.and_then(|(_, seen)| seen.gateway_for(&spec.lab));
            let gateway = known.unwrap_or_else(|| network::gateway(&spec.lab, &[]));
            (spec.internet.then_some(gateway), vec![gateway])
        }
        Lan::Network(name) => {
            let link = job.link(&host.uri)?;
            let seen = described(&link, name)?;
            let gateway = seen.as_ref().and_then(|seen| seen.gateway_for(&spec.lab));
            let leads = seen.is_some_and(|seen| seen.forward.is_some());
            let way = options.gateway.or(gateway.filter(|_| leads));
            (way.filter(|_| spec.internet), gateway.into_iter().collect())
        }
        Lan::Bridge(_) => (options.gateway.filter(|_| spec.internet), Vec::new()),
    };
    let dns = match (options.dns.is_empty(), spec.internet) {
        (false, _) => options.dns.clone(),
        (true, true) => dns,
        (true, false) => Vec::new(),
    };
    let (address, prefix) = (spec.lab.address, spec.lab.prefix);
    let address = CardAddress::Static { address, prefix, gateway, dns };
    let mut cards = vec![Card { mac: id.mac(0), address }];
    if !spec.forwards.is_empty() {
        cards.push(Card { mac: id.mac(1), address: CardAddress::Dhcp });
    }
    Ok(cards)
}

/// The words for QEMU's command line that make the cards which libvirt has no name for.
pub(super) fn args(
    id: &MachineId,
    spec: &VmSpec,
    lan: &Lan,
    record: &Record,
    machine: &str,
) -> Result<Vec<String>> {
    let mut forwards: Vec<String> = Vec::new();
    if let Some((ssh, engine)) = record.ports {
        forwards.push(format!(",hostfwd=tcp:127.0.0.1:{ssh}-:22"));
        forwards.push(format!(",hostfwd=tcp:127.0.0.1:{engine}-:2376"));
    }
    for forward in &spec.forwards {
        let protocol = match forward.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        if forward.host.is_ipv6() {
            return Err(Error::config("QEMU forwards IPv4 ports only").with("port", forward.host));
        }
        forwards.push(format!(",hostfwd={protocol}:{}-:{}", forward.host, forward.guest));
    }
    let mut words = Vec::new();
    // Slots that libvirt's own numbering does not reach.
    let bus = if machine.contains("q35") { "pcie.0" } else { "pci.0" };
    let mut card = |net: String, name: &str, nic: u8| {
        words.extend(["-netdev".to_owned(), net, "-device".to_owned()]);
        let (mac, slot) = (id.mac(nic), 0x10 + nic);
        words.push(format!(
            "virtio-net-pci,netdev={name},mac={mac},romfile=,bus={bus},addr={slot:#x}"
        ));
    };
    let segmented = *lan == Lan::Segment;
    if segmented || !forwards.is_empty() {
        let open = segmented && spec.internet;
        let net = format!(
            "user,id=fleet-ports,ipv6=off{}{}",
            if open { "" } else { ",restrict=on" },
            forwards.concat()
        );
        card(net, "fleet-ports", u8::from(!segmented));
    }
    if segmented {
        let group = segment(id.fleet());
        card(format!("socket,id=fleet-lab,mcast={group},localaddr=127.0.0.1"), "fleet-lab", 1);
    }
    Ok(words)
}

/// A network that exists, as libvirt describes it.
pub(super) fn described(link: &Link, name: &str) -> Result<Option<Described>> {
    let what = "look for the network";
    let Some(found) = link.some(what, link.connect.lookup_network_by_name(name))? else {
        return Ok(None);
    };
    let text = link.some(what, found.xml_desc(0))?;
    Ok(text.and_then(|text| Described::parse(&text)))
}

/// The fleet's own network, if it is there.
///
/// # Errors
/// `Conflict`, if another has its name.
pub(super) fn own(link: &Link, fleet: &str, host: &Host) -> Result<Option<(Network, Described)>> {
    let what = "look for the network";
    let name = names::network(fleet);
    let Some(found) = link.some(what, link.connect.lookup_network_by_name(&name))? else {
        return Ok(None);
    };
    let Some(text) = link.some(what, found.xml_desc(0))? else { return Ok(None) };
    let seen = Described::parse(&text);
    match seen {
        Some(seen) if seen.uuid == names::network_uuid(fleet) => Ok(Some((found, seen))),
        _ => Err(errors::foreign("network", &name, host.title())),
    }
}

fn word(link: &Link, fleet: &str) -> String {
    format!("network {} {fleet}", link.uri)
}

fn lease(id: &MachineId, record: &Record) -> Lease {
    Lease { mac: id.mac(0), name: id.machine().to_owned(), ip: record.address().to_string() }
}

/// Makes the fleet's network on a host, if it is not there, and brings a machine's address
/// into it.
pub(super) fn join(
    job: &Job,
    link: &Link,
    host: &Host,
    id: &MachineId,
    spec: &VmSpec,
    options: &Options,
    record: &Record,
) -> Result<()> {
    let _turn = job.turn(&word(link, id.fleet()))?;
    let mine = lease(id, record);
    let forward = if spec.internet { options.forward.name() } else { "" };
    let Some((found, seen)) = own(link, id.fleet(), host)? else {
        let view = NetworkView {
            name: names::network(id.fleet()),
            uuid: names::network_uuid(id.fleet()),
            forward: forward.to_owned(),
            gateway: network::gateway(&spec.lab, &[]).to_string(),
            prefix: spec.lab.prefix,
            leases: vec![mine],
        };
        let made = link.connect.define_network_xml(&xml::network(&view)?);
        let made = link.ok("make the fleet's network", made)?;
        // Its machines cannot start with the host without it.
        link.ok("make the fleet's network", made.set_autostart(true))?;
        return bring_up(link, &made);
    };
    let net = |(ip, prefix): &(std::net::Ipv4Addr, u8)| Subnet::of(*ip, *prefix);
    let lab = Subnet::of(spec.lab.address, spec.lab.prefix);
    if !seen.addresses.iter().map(net).any(|other| other == lab) {
        return Err(Error::conflict("the fleet's network has other addresses")
            .with("network", &seen.name)
            .with("asked", format!("{}/{}", spec.lab.address, spec.lab.prefix))
            .hint("destroy the fleet's machines on this host, then make them again"));
    }
    if spec.internet && seen.forward.is_none() {
        open_up(link, &found, &seen, forward)?;
    }
    bring_up(link, &found)?;
    if !seen.leases.contains(&mine) {
        drop_leases(link, &found, &seen, &mine)?;
        change(link, &found, sys::VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, &mine)?;
    }
    Ok(())
}

/// Takes away leases of the same machine or address.
fn drop_leases(link: &Link, network: &Network, seen: &Described, mine: &Lease) -> Result<()> {
    let same = |other: &&Lease| other.mac == mine.mac || other.ip == mine.ip;
    for old in seen.leases.iter().filter(same) {
        change(link, network, sys::VIR_NETWORK_UPDATE_COMMAND_DELETE, old)?;
    }
    Ok(())
}

fn change(link: &Link, network: &Network, command: u32, lease: &Lease) -> Result<()> {
    // The stand-in changes what runs and what is written down alike.
    let mut flags = sys::VIR_NETWORK_UPDATE_AFFECT_CONFIG;
    if link.ok("read the network's state", network.is_active())? {
        flags |= sys::VIR_NETWORK_UPDATE_AFFECT_LIVE;
    }
    let section = sys::VIR_NETWORK_SECTION_IP_DHCP_HOST;
    let done = network.update(command, section, -1, &lease.element(), flags);
    link.ok("change the addresses of the fleet's network", done)
}

/// Lets a network without a way to the outside have one, from its next start on, which is
/// now if nobody uses it.
fn open_up(link: &Link, network: &Network, seen: &Described, forward: &str) -> Result<()> {
    let Some((gateway, prefix)) = seen.addresses.first() else { return Ok(()) };
    let view = NetworkView {
        name: seen.name.clone(),
        uuid: seen.uuid.clone(),
        forward: forward.to_owned(),
        gateway: gateway.to_string(),
        prefix: *prefix,
        leases: seen.leases.clone(),
    };
    let what = "let the fleet's network lead outside";
    link.ok(what, link.connect.define_network_xml(&xml::network(&view)?))?;
    let domains = link.ok(what, link.connect.list_all_domains(0))?;
    let used = domains.iter().any(|domain| {
        let text = domain.xml_desc(0).unwrap_or_default();
        domain.is_active().unwrap_or(false) && text.contains(&format!("'{}'", seen.name))
    });
    if !used && link.ok(what, network.is_active())? {
        link.ok(what, network.destroy())?;
    }
    Ok(())
}

fn bring_up(link: &Link, network: &Network) -> Result<()> {
    let what = "start the network";
    if link.ok(what, network.is_active())? {
        return Ok(());
    }
    match network.create() {
        Err(e) if !network.is_active().unwrap_or(false) => Err(link.error(what, &e)),
        _ => Ok(()),
    }
}

/// Brings up the fleet's network before a machine starts on it.
pub(super) fn up(job: &Job, id: &MachineId, here: &Here) -> Result<()> {
    let _turn = job.turn(&word(&here.link, id.fleet()))?;
    match own(&here.link, id.fleet(), &here.host)? {
        Some((found, _)) => bring_up(&here.link, &found),
        None => Ok(()),
    }
}

/// Takes a machine out of the fleet's network, which goes with the last of them.
pub(super) fn leave(job: &Job, link: &Link, host: &Host, id: &MachineId) -> Result<()> {
    let _turn = job.turn(&word(link, id.fleet()))?;
    // Nobody of this fleet has made it, if it is another's.
    let Ok(Some((found, seen))) = own(link, id.fleet(), host) else { return Ok(()) };
    let begun = Memory::all(Some(id.fleet()), &job.cx);
    let begun = begun.iter().any(|(other, memory)| other != id && memory.uri == link.uri);
    let made = find::records(link)?;
    let made = made.iter().any(|(_, other)| other.fleet == id.fleet() && other.id() != *id);
    if begun || made {
        let mine = |lease: &&Lease| lease.mac == id.mac(0);
        for lease in seen.leases.iter().filter(mine) {
            change(link, &found, sys::VIR_NETWORK_UPDATE_COMMAND_DELETE, lease)?;
        }
        return Ok(());
    }
    let what = "remove the fleet's network";
    if link.ok(what, found.is_active())? {
        link.some(what, found.destroy())?;
    }
    link.some(what, found.undefine()).map(drop)
}
