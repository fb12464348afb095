//! Findings, from numbers and ports that the tests choose.

use std::net::TcpListener;

use fleet_driver::event::Reporter;
use fleet_driver::{Forward, ImageFile, LabNic, Protocol};
use tokio_util::sync::CancellationToken;

use super::ports::fixed as fixed_ports;
use super::*;

fn spec(memory_mib: u64, options: &str) -> VmSpec {
    VmSpec {
        cpus: 1,
        memory_mib,
        disk_mib: 10240,
        image: ImageFile { path: "/nowhere".into(), sha256: "aa".to_owned(), size_mib: 2048 },
        lab: LabNic { address: [10, 77, 0, 11].into(), prefix: 24 },
        internet: false,
        forwards: Vec::new(),
        seed: Vec::new(),
        mark: std::collections::BTreeMap::new(),
        apart: None,
        options: options.parse().unwrap(),
    }
}

fn cx(root: &Path) -> Cx {
    Cx::new(root, Reporter::silent(), CancellationToken::new())
}

/// Runs a check on machines `host1`, `host2`, … of these specs.
fn found(specs: Vec<VmSpec>, check: impl Fn(&[Wanted], &Path, &mut Vec<Finding>)) -> Vec<Finding> {
    let dir = tempfile::tempdir().unwrap();
    let id = |n| MachineId::new("lab-none", format!("host{n}"));
    let wanted: Vec<_> = (1..).map(id).zip(specs).collect();
    let mut findings = Vec::new();
    let machines = look(&wanted, &cx(dir.path()), &mut findings);
    check(&machines, dir.path(), &mut findings);
    findings
}

#[test]
fn memory_is_counted_over_all_machines() {
    let info = |available: u64, swap: u64| {
        format!(
            "MemTotal: 9999999 kB\nMemAvailable: {} kB\nSwapFree: {} kB\n",
            available << 10,
            swap << 10
        )
    };
    let check = |available, swap, auto| {
        let specs =
            vec![spec(1024, ""), spec(1024, "accel = \"kvm\""), spec(1024, "tcg_cache_mib = 512")];
        found(specs, |machines, _, findings| {
            memory(machines, auto, &info(available, swap), findings);
        })
    };
    // 3 * 1024 for the guests, 256 + 512 for the translator, 3 * 96 for QEMU.
    assert_eq!(check(4128, 0, Accel::Tcg), []);
    assert_eq!(check(3360, 0, Accel::Kvm), []);
    let short = check(4127, 0, Accel::Tcg);
    assert_eq!(short[0].level, Level::Error);
    assert_eq!(
        short[0].message,
        "starting 3 machines takes 4128 MiB of memory (3072 MiB for the guests, the rest for QEMU), \
         but this host has 4127 MiB available"
    );
    assert_eq!(check(4127, 1, Accel::Tcg)[0].level, Level::Warning);
}

#[test]
fn free_space_is_read_from_df() {
    let df = "Filesystem 1024-blocks Used Available Capacity Mounted on\n\
              /dev/vda1 263174212 180000000 71000000 72% /\n";
    assert_eq!(free_mib(df), Some(69335));
    assert_eq!(free_mib(""), None);
}

#[test]
fn a_taken_port_names_its_holder() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    for options in [format!("ssh_port = {port}"), format!("engine_port = {port}")] {
        let findings = found(vec![spec(64, &options)], |machines, root, findings| {
            fixed_ports(machines, root, findings);
        });
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].level, Level::Error);
        assert_eq!(findings[0].machine.as_deref(), Some("host1"));
        let message = &findings[0].message;
        let start = format!("TCP port 127.0.0.1:{port} is taken by ");
        let end = format!("(process {})", std::process::id());
        assert!(message.starts_with(&start) && message.ends_with(&end), "{message}");
    }
}

#[test]
fn two_machines_cannot_have_one_port() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut second = spec(64, "");
    second.forwards.push(Forward { host: free, guest: 80, protocol: Protocol::Tcp });
    let specs = vec![spec(64, &format!("ssh_port = {}", free.port())), second];
    let findings = found(specs, |machines, root, findings| {
        fixed_ports(machines, root, findings);
    });
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].machine.as_deref(), Some("host2"));
    assert_eq!(findings[0].message, format!("TCP port {free} is wanted by `host1` too"));
}

#[test]
fn what_qemu_cannot_forward_is_found() {
    let mut spec = spec(64, "");
    for host in ["[::1]:8080", "192.0.2.1:8080"] {
        spec.forwards.push(Forward {
            host: host.parse().unwrap(),
            guest: 80,
            protocol: Protocol::Udp,
        });
    }
    let findings = found(vec![spec], |machines, root, findings| {
        fixed_ports(machines, root, findings);
    });
    let messages: Vec<&str> = findings.iter().map(|f| f.message.as_str()).collect();
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert_eq!(messages[0], "QEMU cannot forward [::1]:8080: it forwards IPv4 ports only");
    assert!(messages[1].starts_with("UDP port 192.0.2.1:8080 cannot be used: "), "{messages:?}");
}

#[test]
fn bad_options_are_findings_and_the_rest_is_still_looked_at() {
    let findings = found(vec![spec(64, "acel = 1"), spec(64, "")], |machines, _, findings| {
        assert_eq!(machines.len(), 1);
        images(machines, findings);
    });
    assert_eq!(findings[0].message, "the QEMU option `acel` is not an option of the driver");
    assert_eq!(findings[0].hint.as_deref(), Some("did you mean `accel`?"));
    assert_eq!(findings[1].message, "its image /nowhere is not there");
    assert_eq!(findings[1].machine.as_deref(), Some("host2"));
}

#[test]
fn an_image_that_is_still_to_come_is_not_missing() {
    let coming = || {
        let mut spec = spec(64, "");
        spec.image.path = PathBuf::new();
        spec
    };
    let findings = found(vec![coming()], |machines, _, findings| images(machines, findings));
    assert_eq!(findings, []);
}

#[test]
fn kvm_that_is_asked_for_must_open() {
    let findings =
        found(vec![spec(64, "accel = \"kvm\""), spec(64, "")], |machines, _, findings| {
            assert!(has_choice(machines));
            explicit_kvm(machines, None, findings);
            assert!(findings.is_empty());
            explicit_kvm(machines, Some("there is no /dev/kvm"), findings);
        });
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].message, "there is no /dev/kvm, and `accel` is \"kvm\"");
    assert!(findings[0].hint.as_ref().unwrap().contains("usermod -aG kvm"));
}

#[test]
fn the_choice_is_explained() {
    assert_eq!(explain(&Kvm::Works).0, Accel::Kvm);
    for kvm in [Kvm::Closed("no".to_owned()), Kvm::Useless("slow".to_owned())] {
        let (accel, text) = explain(&kvm);
        assert_eq!(accel, Accel::Tcg);
        assert!(text.starts_with("machines are emulated"), "{text}");
    }
}
