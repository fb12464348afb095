//! Ports of this host: which are free, which to take, and who holds one.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use fleet_driver::{Error, MachineId, Protocol, Result};

use crate::machine::{Machine, Ports};
use crate::options::Options;
use crate::process;

/// Where automatic ports come from: below the ports that the kernel gives to
/// outgoing connections, which could take one at any time.
pub(crate) fn range() -> RangeInclusive<u16> {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    range_below(&text.unwrap_or_default())
}

fn range_below(ephemeral: &str) -> RangeInclusive<u16> {
    let mut ends = ephemeral.split_whitespace().map(|n| n.parse::<u16>().ok());
    let low = ends.next().flatten().unwrap_or(32768);
    let high = ends.next().flatten().unwrap_or(60999);
    if low > 22000 {
        20000.max(low.saturating_sub(10000))..=low - 1
    } else if high < 64000 {
        high + 1..=65535
    } else {
        // All of them are the kernel's: then any may be taken, and a start picks
        // another.
        20000..=32767
    }
}

/// Whether nobody listens there.
///
/// # Errors
/// The reason why not.
pub(crate) fn try_bind(address: SocketAddr, protocol: Protocol) -> io::Result<()> {
    match protocol {
        Protocol::Tcp => TcpListener::bind(address).map(drop),
        Protocol::Udp => UdpSocket::bind(address).map(drop),
    }
}

fn free(port: u16) -> bool {
    try_bind(([127, 0, 0, 1], port).into(), Protocol::Tcp).is_ok()
}

/// Chooses the ports of a machine: the fixed ones, else those it `had` where they
/// are free, else free ones that no sibling has.
///
/// # Errors
/// `Host` if there is none left.
pub(crate) fn choose(
    id: &MachineId,
    options: &Options,
    had: Option<Ports>,
    siblings: &[Machine],
) -> Result<Ports> {
    let mut taken: BTreeSet<u16> =
        siblings.iter().flat_map(Machine::all_forwards).map(|f| f.host.port()).collect();
    taken.extend(options.ssh_port);
    taken.extend(options.engine_port);
    let mut one = |what: &str, fixed: Option<u16>, had: Option<u16>| {
        let kept = had.filter(|port| !taken.contains(port) && free(*port));
        let port = match fixed.or(kept) {
            Some(port) => port,
            None => pick(id.number(what), &range(), |port| !taken.contains(&port) && free(port))
                .ok_or_else(|| Error::host("no port of 127.0.0.1 is free for the machine"))?,
        };
        taken.insert(port);
        Ok(port)
    };
    Ok(Ports {
        ssh: one("ssh port", options.ssh_port, had.map(|p| p.ssh))?,
        engine: one("engine port", options.engine_port, had.map(|p| p.engine))?,
    })
}

/// The first port from a number's place in the range onwards, and around, that is
/// `usable`.
fn pick(number: u64, range: &RangeInclusive<u16>, usable: impl Fn(u16) -> bool) -> Option<u16> {
    let first = u64::from(*range.start());
    let count = range.len() as u64;
    (0..count)
        .map(|step| first + (number % count + step) % count)
        .filter_map(|port| u16::try_from(port).ok())
        .find(|port| usable(*port))
}

/// The program that listens on a TCP port, as far as this user may know.
pub(crate) fn holder(port: u16) -> Option<String> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .flat_map(|table| listeners(&fs::read_to_string(table).unwrap_or_default(), port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let has_it = |folder: &Path| {
        let open = fs::read_dir(folder.join("fd")).into_iter().flatten().flatten();
        open.filter_map(|fd| fs::read_link(fd.path()).ok())
            .any(|target| inodes.iter().any(|inode| Path::new(inode) == target))
    };
    if inodes.is_empty() {
        return None;
    }
    process::pids().map(|pid| (pid, PathBuf::from(format!("/proc/{pid}")))).find_map(
        |(pid, path)| {
            let name = has_it(&path).then(|| fs::read_to_string(path.join("comm")));
            Some(format!("{} (process {pid})", name?.unwrap_or_default().trim()))
        },
    )
}

/// The inodes of the sockets that listen on a port, in the format of
/// `/proc/net/tcp` (proc(5)): local address and port in hex, state 0A, inode tenth.
fn listeners(table: &str, port: u16) -> Vec<String> {
    let ending = format!(":{port:04X}");
    let inode = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let listens = fields.get(3) == Some(&"0A") && fields.get(1)?.ends_with(&ending);
        listens.then(|| fields.get(9).map(|inode| (*inode).to_owned())).flatten()
    };
    table.lines().filter_map(inode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn automatic_ports_avoid_the_kernels() {
        assert_eq!(range_below("32768\t60999\n"), 22768..=32767);
        assert_eq!(range_below("1024 50000"), 50001..=65535);
        assert_eq!(range_below("1024 65535"), 20000..=32767);
        assert_eq!(range_below(""), 22768..=32767);
    }

    #[test]
    fn the_same_number_gives_the_same_port_until_it_is_taken() {
        let range = 100..=109;
        assert_eq!(pick(5, &range, |_| true), Some(105));
        assert_eq!(pick(15, &range, |p| p != 105), Some(106));
        assert_eq!(pick(9, &range, |p| p != 109), Some(100));
        assert_eq!(pick(9, &range, |_| false), None);
    }

    #[test]
    fn fixed_ports_are_taken_as_they_are_and_others_avoid_them() {
        let id = MachineId::new("lab", "host1");
        let plain = choose(&id, &Options::default(), None, &[]).unwrap();
        assert_ne!(plain.ssh, plain.engine);
        let options = Options { engine_port: Some(plain.ssh), ..Options::default() };
        let ports = choose(&id, &options, None, &[]).unwrap();
        assert_eq!(ports.engine, plain.ssh);
        assert_ne!(ports.ssh, plain.ssh);
    }

    #[test]
    fn a_taken_port_is_left_and_its_holder_named() {
        let id = MachineId::new("lab", "host2");
        let had = choose(&id, &Options::default(), None, &[]).unwrap();
        let taken = TcpListener::bind(("127.0.0.1", had.ssh)).unwrap();
        let ports = choose(&id, &Options::default(), Some(had), &[]).unwrap();
        assert_ne!(ports.ssh, had.ssh);
        assert_eq!(ports.engine, had.engine);
        let name = holder(had.ssh).unwrap();
        assert!(name.ends_with(&format!("(process {})", std::process::id())), "{name}");
        drop(taken);
        assert_eq!(holder(had.ssh), None);
    }

    #[test]
    fn listening_sockets_are_read_from_the_kernels_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:0899 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0\n\
             1: 0100007F:0899 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0\n";
        assert_eq!(listeners(table, 0x0899), ["4711"]);
        assert!(listeners(table, 0x9c40).is_empty());
    }
}
