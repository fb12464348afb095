//! A machine → QEMU's command line; pure.
//!
//! QEMU is started in the machine's folder, so every file and socket is named
//! relative to it, which keeps socket addresses short and options free of commas.

use std::net::Ipv4Addr;

use fleet_driver::{Error, MachineId, Protocol, Result};
use serde_json::json;

use crate::folder::{CONSOLE, DISK, PID, QMP, SEED, SERIAL};
use crate::machine::{Accel, Machine};
use crate::process::MARK;

/// The block node of the seed's file.
pub(crate) const SEED_NODE: &str = "seed-file";
/// The CD drive that holds the seed.
pub(crate) const SEED_DRIVE: &str = "seed";

/// System calls that QEMU gives up. It cannot give up `spawn` and `elevateprivileges`,
/// since it becomes a daemon only after the filter is in place.
const SANDBOX: &str = "on,obsolete=deny,resourcecontrol=deny";

/// What a start decides beyond the machine's description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Start {
    /// Whether the first boot's seed is attached.
    pub(crate) seed: Seed,
    /// Whether QEMU gives up rights that it does not need.
    pub(crate) sandbox: Sandbox,
}

/// Whether a machine has its seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seed {
    /// As a CD, on virtio-scsi: the one bus that all cloud kernels have and from
    /// which a medium can be taken while the guest runs.
    Attached,
    /// No CD drive at all.
    Gone,
}

/// Whether QEMU was built with a system call filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sandbox {
    /// It was.
    On,
    /// It was not.
    Unavailable,
}

/// The words after `qemu-system-x86_64`.
///
/// # Errors
/// `Config` for a forwarded port that QEMU cannot have.
pub(crate) fn words(machine: &Machine, start: Start) -> Result<Vec<String>> {
    let id = machine.id();
    let options = &machine.options;
    let mut words: Vec<String> = Vec::new();
    let mut say = |text: &[&str]| words.extend(text.iter().map(|word| (*word).to_owned()));

    say(&["-nodefaults", "-no-user-config", "-display", "none", "-daemonize", "-pidfile", PID]);
    if start.sandbox == Sandbox::On {
        say(&["-sandbox", SANDBOX]);
    }
    say(&["-name", &format!("guest={id}"), "-uuid", &id.uuid()]);
    say(&["-smbios", &format!("{MARK}{id}")]);

    // Without graphics the firmware and boot loader speak on the serial port, so that
    // the console tells why a disk does not boot.
    say(&["-machine", &format!("{},graphics=off", options.machine)]);
    let (accel, cpu) = match machine.accel {
        Accel::Kvm => ("kvm".to_owned(), "host"),
        // A kernel that is told of fast string instructions clears its pages by them, and
        // the translator does those byte by byte: a boot took 49 s with them, 34 s without.
        Accel::Tcg => {
            (format!("tcg,thread=multi,tb-size={}", options.tcg_cache_mib), "max,erms=off,fsrm=off")
        }
    };
    say(&["-accel", &accel, "-cpu", options.cpu.as_deref().unwrap_or(cpu)]);
    say(&["-smp", &machine.cpus.to_string(), "-m", &machine.memory_mib.to_string()]);
    say(&["-rtc", "base=utc", "-boot", "strict=on"]);
    say(&["-device", "virtio-rng-pci"]);

    let disk = json!({
        "driver": "qcow2",
        "node-name": "disk",
        "discard": "unmap",
        "detect-zeroes": "unmap",
        "file": { "driver": "file", "filename": DISK, "discard": "unmap" },
    });
    say(&["-blockdev", &disk.to_string()]);
    say(&["-device", "virtio-blk-pci,drive=disk,bootindex=0"]);
    if start.seed == Seed::Attached {
        let seed = json!({
            "driver": "raw",
            "node-name": SEED_NODE,
            "read-only": true,
            "file": { "driver": "file", "filename": SEED },
        });
        say(&["-blockdev", &seed.to_string(), "-device", "virtio-scsi-pci,id=scsi"]);
        say(&["-device", &format!("scsi-cd,id={SEED_DRIVE},bus=scsi.0,drive={SEED_NODE}")]);
    }

    // The first card reaches the outside and is reached from the host.
    let mut outside = "user,id=outside,ipv6=off".to_owned();
    if !machine.internet {
        outside += ",restrict=on";
    }
    for forward in machine.all_forwards() {
        let protocol = match forward.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        if forward.host.is_ipv6() {
            return Err(Error::config("QEMU forwards IPv4 ports only").with("port", forward.host));
        }
        let ends = format!("{}-:{}", forward.host, forward.guest);
        outside.extend([",hostfwd=", protocol, ":", &ends]);
    }
    let card =
        |net: &str, nic: u8| format!("virtio-net-pci,netdev={net},mac={},romfile=", id.mac(nic));
    say(&["-netdev", &outside, "-device", &card("outside", 0)]);
    // The second is on the segment that all machines of the fleet share.
    let (group, port) = segment(&machine.fleet);
    let lab = format!("socket,id=lab,mcast={group}:{port},localaddr=127.0.0.1");
    say(&["-netdev", &lab, "-device", &card("lab", 1)]);

    let console = format!(
        "socket,id=console,path={SERIAL},server=on,wait=off,logfile={CONSOLE},logappend=on"
    );
    say(&["-chardev", &console, "-serial", "chardev:console"]);
    say(&["-chardev", &format!("socket,id=control,path={QMP},server=on,wait=off")]);
    say(&["-mon", "chardev=control,mode=control"]);
    words.extend(options.args.iter().cloned());
    Ok(words)
}

/// The multicast group and port that are a fleet's own Ethernet segment.
///
/// All of it stays on the loopback interface. 230.0.0.0/8 is not assigned (RFC 5771),
/// and the ports lie below those of outgoing connections.
pub(crate) fn segment(fleet: &str) -> (Ipv4Addr, u16) {
    let n = MachineId::new(fleet, "").number("segment").to_be_bytes();
    let port = 10000 + u16::from_be_bytes([n[3], n[4]]) % 10000;
    // No part is 0 or 255, for those who take such addresses for something else.
    let part = |byte: u8| byte % 254 + 1;
    (Ipv4Addr::new(230, part(n[0]), part(n[1]), part(n[2])), port)
}

#[cfg(test)]
mod tests;
