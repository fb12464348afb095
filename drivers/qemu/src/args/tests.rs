//! The command line as a whole, once, and what changes it.

use std::path::PathBuf;

use fleet_driver::{Forward, ImageFile, LabNic, VmSpec};

use super::*;
use crate::machine::Ports;
use crate::options::Options;

const START: Start = Start { seed: Seed::Attached, sandbox: Sandbox::On };

fn machine() -> Machine {
    let spec = VmSpec {
        cpus: 2,
        memory_mib: 1024,
        disk_mib: 10240,
        image: ImageFile {
            path: PathBuf::from("/images/debian.qcow2"),
            sha256: "aa".to_owned(),
            size_mib: 2048,
        },
        lab: LabNic { address: Ipv4Addr::new(10, 77, 0, 11), prefix: 24 },
        internet: false,
        forwards: vec![Forward {
            host: ([0, 0, 0, 0], 8080).into(),
            guest: 80,
            protocol: Protocol::Udp,
        }],
        seed: Vec::new(),
        mark: std::collections::BTreeMap::new(),
        apart: None,
        options: toml::Table::new(),
    };
    let ports = Ports { ssh: 2201, engine: 2301 };
    Machine::new(&MachineId::new("lab-1", "host1"), &spec, Options::default(), ports, Accel::Tcg)
}

#[test]
fn the_whole_line() {
    let id = MachineId::new("lab-1", "host1");
    let (group, port) = segment("lab-1");
    let expected = format!(
        r#"-nodefaults -no-user-config -display none -daemonize -pidfile pid
-sandbox on,obsolete=deny,resourcecontrol=deny
-name guest=lab-1/host1 -uuid {uuid}
-smbios type=11,value=fleet:lab-1/host1
-machine q35,graphics=off
-accel tcg,thread=multi,tb-size=256 -cpu max,erms=off,fsrm=off
-smp 2 -m 1024
-rtc base=utc -boot strict=on
-device virtio-rng-pci
-blockdev {{"detect-zeroes":"unmap","discard":"unmap","driver":"qcow2","file":{{"discard":"unmap","driver":"file","filename":"disk.qcow2"}},"node-name":"disk"}}
-device virtio-blk-pci,drive=disk,bootindex=0
-blockdev {{"driver":"raw","file":{{"driver":"file","filename":"seed.iso"}},"node-name":"seed-file","read-only":true}}
-device virtio-scsi-pci,id=scsi
-device scsi-cd,id=seed,bus=scsi.0,drive=seed-file
-netdev user,id=outside,ipv6=off,restrict=on,hostfwd=tcp:127.0.0.1:2201-:22,hostfwd=tcp:127.0.0.1:2301-:2376,hostfwd=udp:0.0.0.0:8080-:80
-device virtio-net-pci,netdev=outside,mac={mac0},romfile=
-netdev socket,id=lab,mcast={group}:{port},localaddr=127.0.0.1
-device virtio-net-pci,netdev=lab,mac={mac1},romfile=
-chardev socket,id=console,path=serial.sock,server=on,wait=off,logfile=console.log,logappend=on
-serial chardev:console
-chardev socket,id=control,path=qmp.sock,server=on,wait=off
-mon chardev=control,mode=control"#,
        uuid = id.uuid(),
        mac0 = id.mac(0),
        mac1 = id.mac(1),
    );
    let expected: Vec<&str> = expected.split_whitespace().collect();
    assert_eq!(words(&machine(), START).unwrap(), expected);
}

#[test]
fn what_changes_the_line() {
    let line = |change: fn(&mut Machine), start: Start| {
        let mut machine = machine();
        change(&mut machine);
        format!(" {} ", words(&machine, start).unwrap().join(" "))
    };
    let kvm = line(|m| m.accel = Accel::Kvm, START);
    assert!(kvm.contains(" -accel kvm -cpu host "), "{kvm}");
    let model = line(|m| m.options.cpu = Some("Nehalem".to_owned()), START);
    assert!(model.contains(" -cpu Nehalem "), "{model}");
    let open = line(|m| m.internet = true, START);
    assert!(!open.contains("restrict"), "{open}");
    let plain = line(|_| {}, Start { seed: Seed::Gone, sandbox: Sandbox::Unavailable });
    assert!(!plain.contains("scsi") && !plain.contains("-sandbox"), "{plain}");
    let more = line(|m| m.options.args = vec!["-device".into(), "edu".into()], START);
    assert!(more.ends_with(" -device edu "), "{more}");
}

#[test]
fn ipv6_ports_are_refused() {
    let mut machine = machine();
    machine.forwards[0].host = "[::1]:80".parse().unwrap();
    let error = words(&machine, START).unwrap_err();
    assert_eq!(error.kind(), fleet_driver::ErrorKind::Config);
}

#[test]
fn fleets_have_segments_of_their_own() {
    assert_ne!(segment("lab-1"), segment("lab-2"));
    for n in 0..500 {
        let (group, port) = segment(&format!("lab-{n}"));
        assert!(group.is_multicast() && !group.octets().contains(&0), "{group}");
        assert!((10000..20000).contains(&port));
    }
}
