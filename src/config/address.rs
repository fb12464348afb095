//! Who gets which address on the lab network.
//!
//! An address in the file wins; a machine that exists keeps its own; the others get
//! the lowest one free, from host part 11 upwards. So a machine that is added to the
//! file never moves another.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::diagnose::{Problem, Problems, Span};
use super::network::Cidr;

/// The first host part that is given out; those below are left for gateways and for
/// addresses that people choose.
const FIRST: u32 = 11;

/// A machine that needs an address.
pub(crate) struct Wanted {
    /// Its name.
    pub(crate) name: String,
    /// The address in the file and where it is written.
    pub(crate) fixed: Option<(Ipv4Addr, Span)>,
    /// Where the machine is written.
    pub(crate) span: Span,
}

/// Gives every machine an address, in the order of `wanted`.
pub(crate) fn assign(
    subnet: Cidr,
    wanted: &[Wanted],
    recorded: &BTreeMap<String, Ipv4Addr>,
    problems: &mut Problems,
) -> Vec<Ipv4Addr> {
    let mut owners: BTreeMap<Ipv4Addr, &Wanted> = BTreeMap::new();
    for machine in wanted {
        let Some((address, span)) = &machine.fixed else {
            continue;
        };
        if let Err(problem) = usable(subnet, *address, span.clone()) {
            problems.push(problem);
        } else if let Some(other) = owners.insert(*address, machine) {
            let first = other.fixed.as_ref().map_or(other.span.clone(), |(_, span)| span.clone());
            let message =
                format!("`{}` and `{}` have the same address {address}", other.name, machine.name);
            let mut problem = Problem::error(message).at(span.clone(), "here too");
            if first != *span {
                problem = problem.at(first, "it is taken here");
            }
            problems.push(problem.help("leave `address` out to get one that is free"));
        }
    }

    // Machines that exist; those which the file no longer has keep theirs as well,
    // because they are still on the network.
    let mut kept: BTreeMap<Ipv4Addr, &str> = BTreeMap::new();
    for (name, address) in recorded {
        let moved = wanted.iter().any(|machine| machine.name == *name && machine.fixed.is_some());
        if moved || usable(subnet, *address, 0..0).is_err() {
            continue;
        }
        kept.insert(*address, name);
        let Some(machine) = owners.get(address) else {
            continue;
        };
        let Some((_, span)) = &machine.fixed else {
            continue;
        };
        problems.push(
            Problem::error(format!("the existing machine `{name}` has the address {address}"))
                .at(span.clone(), "taken")
                .help(format!("choose another address, or `fleet down {name}` first")),
        );
    }

    let mut next = FIRST;
    let mut homeless: Vec<&Wanted> = Vec::new();
    let addresses = wanted.iter().map(|machine| {
        if let Some((address, _)) = machine.fixed {
            return address;
        }
        let own = recorded.get(&machine.name).filter(|own| kept.contains_key(own));
        if let Some(own) = own {
            return *own;
        }
        loop {
            let Some(address) = subnet.host(next).filter(|address| *address < subnet.broadcast())
            else {
                homeless.push(machine);
                return subnet.address();
            };
            next += 1;
            if !owners.contains_key(&address) && !kept.contains_key(&address) {
                return address;
            }
        }
    });
    let addresses: Vec<Ipv4Addr> = addresses.collect();
    if let Some(first) = homeless.first() {
        let places = u32::from(subnet.broadcast()) - u32::from(subnet.address());
        let room = places.saturating_sub(FIRST);
        let larger = Cidr::around(subnet.address(), larger_prefix(subnet, wanted.len()));
        problems.push(
            Problem::error(format!("the lab network {subnet} is too small"))
                .at(first.span.clone(), format!("no address is left for `{}`", first.name))
                .help(format!(
                    "it has room for {room} machines, and there are {}; write `[network] subnet = \"{larger}\"`",
                    wanted.len()
                )),
        );
    }
    addresses
}

/// The longest prefix below the present one that has room for `machines`.
fn larger_prefix(subnet: Cidr, machines: usize) -> u8 {
    (16..subnet.prefix())
        .rev()
        .find(|prefix| (1_u64 << (32 - prefix)) > machines as u64 + u64::from(FIRST) + 1)
        .unwrap_or(16)
}

/// Whether a machine can have an address.
fn usable(subnet: Cidr, address: Ipv4Addr, span: Span) -> Result<(), Problem> {
    let example = subnet.host(20).filter(|address| *address < subnet.broadcast());
    let example = example.or_else(|| subnet.host(FIRST)).unwrap_or(subnet.broadcast());
    let problem = |label: &str| {
        Err(Problem::error(format!("a machine cannot have the address {address}"))
            .at(span.clone(), label)
            .help(format!("take one such as `\"{example}\"`, or leave `address` out")))
    };
    if !subnet.contains(address) {
        problem(&format!("outside the lab network {subnet}"))
    } else if address == subnet.address() {
        problem("the address of the network itself")
    } else if address == subnet.broadcast() {
        problem("the broadcast address of the network")
    } else if Some(address) == subnet.host(1) {
        problem("kept for the network's gateway")
    } else {
        Ok(())
    }
}

/// Reads the address of a machine, or of the first of several.
pub(crate) fn read(text: &str, span: Span) -> Result<Ipv4Addr, Problem> {
    text.parse().map_err(|_| {
        let help = match text.split_once('/').map(|(address, _)| address.parse::<Ipv4Addr>()) {
            Some(Ok(address)) => format!("leave the prefix out: `\"{address}\"`"),
            _ => "write it like `\"10.77.0.20\"`".to_owned(),
        };
        Problem::error("bad address").at(span, "not an IPv4 address").help(help)
    })
}
