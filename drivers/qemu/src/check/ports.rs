//! Ports that must be where `machines.toml` says: each free, and each wanted once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;

use fleet_driver::{Error, Finding, Forward, Level, MachineId, Protocol, Result};

use super::{Wanted, finding};
use crate::machine::Machine;
use crate::options::Options;
use crate::{ports, roll};

/// The ports that `machines.toml` fixes: each free, and each wanted once.
pub(crate) fn fixed(wanted: &[Wanted], root: &Path, findings: &mut Vec<Finding>) {
    let mut owners: BTreeMap<(SocketAddr, &'static str), String> = BTreeMap::new();
    // Machines of other fleets may want the same as long as they are off.
    let fleets: BTreeSet<&str> = wanted.iter().map(|machine| machine.id.fleet()).collect();
    let others = fleets.into_iter().flat_map(|fleet| roll::of_fleets(root, Some(fleet)));
    for other in others.filter(|other| wanted.iter().all(|w| *w.id != other.id())) {
        for (address, protocol) in fixed_of(&other.options, &other.forwards) {
            owners.insert((address, name(protocol)), other.name.clone());
        }
    }
    for machine in wanted {
        for (address, protocol) in fixed_of(&machine.options, &machine.spec.forwards) {
            let wrong = |text: String, hint: &str| Finding {
                hint: Some(hint.to_owned()),
                ..finding(Level::Error, Some(machine.id), text)
            };
            if address.is_ipv6() {
                let text = format!("QEMU cannot forward {address}: it forwards IPv4 ports only");
                findings.push(wrong(text, "use an IPv4 address such as 127.0.0.1"));
                continue;
            }
            let port = format!("{} port {address}", name(protocol));
            let key = (address, name(protocol));
            if let Some(owner) = owners.insert(key, machine.id.machine().to_owned()) {
                findings.push(wrong(
                    format!("{port} is wanted by `{owner}` too"),
                    "give each machine a port of its own, or leave it out for a free one",
                ));
                continue;
            }
            let own = machine.made.as_ref().is_some_and(|made| {
                made.all_forwards().iter().any(|f| f.host == address && f.protocol == protocol)
            });
            if machine.runs && own {
                continue;
            }
            match ports::try_bind(address, protocol) {
                Ok(()) => {}
                Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => {
                    let holder = match ports::holder(address.port()) {
                        Some(program) => format!("by {program}"),
                        None => "by another program".to_owned(),
                    };
                    let hint = "stop that program, or choose another port";
                    findings.push(wrong(format!("{port} is taken {holder}"), hint));
                }
                Err(e) => findings.push(wrong(
                    format!("{port} cannot be used: {e}"),
                    "use an address of this host and a port above 1023",
                )),
            }
        }
    }
}

fn name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
    }
}

/// The host's ends of what must be where `machines.toml` says.
fn fixed_of(options: &Options, forwards: &[Forward]) -> Vec<(SocketAddr, Protocol)> {
    let own = [options.ssh_port, options.engine_port].into_iter().flatten();
    let own = own.map(|port| (SocketAddr::from(([127, 0, 0, 1], port)), Protocol::Tcp));
    own.chain(forwards.iter().map(|f| (f.host, f.protocol))).collect()
}

/// Fails for a fixed port that another program has taken since.
///
/// # Errors
/// `Host`, naming port and program.
pub(crate) fn still_free(id: &MachineId, machine: &Machine) -> Result<()> {
    for (address, protocol) in fixed_of(&machine.options, &machine.forwards) {
        if let Err(e) = ports::try_bind(address, protocol) {
            let mut error =
                Error::host(format!("{} port {address} cannot be used", name(protocol)))
                    .with("machine", id.machine())
                    .hint("stop the program that holds it, or choose another port")
                    .because(e);
            if let Some(program) = ports::holder(address.port()) {
                error = error.with("held by", program);
            }
            return Err(error);
        }
    }
    Ok(())
}
