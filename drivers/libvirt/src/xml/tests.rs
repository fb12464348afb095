use roxmltree::Document;

use super::*;

fn view() -> DomainView {
    DomainView {
        kind: "qemu".into(),
        hardware: "qemu".into(),
        name: "fleet-a-b".into(),
        uuid: "u".into(),
        namespace: crate::names::NAMESPACE.into(),
        record: "{\"mark\":\"<&>'\"}".into(),
        memory_mib: 1024,
        cpus: 2,
        arch: "x86_64".into(),
        machine: "q35".into(),
        firmware: "efi".into(),
        disk: "/pool/a&b.qcow2".into(),
        seed: String::new(),
        bridge: String::new(),
        network: "fleet-a".into(),
        mac: "52:54:00:00:00:01".into(),
        log: "/pool/log".into(),
        top: vec!["<memtune/>".into()],
        devices: vec!["<watchdog model='i6300esb'/>".into()],
        args: vec!["-netdev".into(), "user,id=x".into()],
    }
}

fn count(text: &str, name: &str) -> usize {
    let document = Document::parse(text).unwrap();
    document.descendants().filter(|node| node.has_tag_name(name)).count()
}

#[test]
fn a_domain_is_well_formed_and_escaped() {
    let text = domain(&view()).unwrap();
    let document = Document::parse(&text).unwrap();
    let record = document.descendants().find(|n| n.tag_name().name() == "machine").unwrap();
    assert_eq!(record.text(), Some("{\"mark\":\"<&>'\"}"));
    assert!(text.contains("/pool/a&amp;b.qcow2"));
    assert_eq!(count(&text, "tb-cache"), 1);
    assert_eq!(count(&text, "watchdog"), 1);
    assert_eq!(count(&text, "interface"), 1);
    assert_eq!(document.descendants().filter(|n| n.tag_name().name() == "arg").count(), 2);
    assert!(text.contains("firmware=\"efi\""));
}

#[test]
fn what_is_not_wanted_is_not_there() {
    let mut view = view();
    view.hardware = "kvm".into();
    view.network.clear();
    view.args.clear();
    view.firmware.clear();
    let text = domain(&view).unwrap();
    assert_eq!(count(&text, "interface"), 0);
    assert_eq!(count(&text, "tb-cache"), 0);
    assert!(text.contains("host-passthrough"));
    assert!(!text.contains("commandline") && !text.contains("firmware="));
}

#[test]
fn networks_and_volumes() {
    let view = NetworkView {
        name: "fleet-a".into(),
        uuid: "u".into(),
        forward: "nat".into(),
        gateway: "10.77.0.1".into(),
        prefix: 24,
        leases: vec![Lease { mac: "m".into(), name: "host1".into(), ip: "10.77.0.11".into() }],
    };
    let text = network(&view).unwrap();
    assert_eq!((count(&text, "forward"), count(&text, "host")), (1, 1));
    let text = network(&NetworkView { forward: String::new(), ..view }).unwrap();
    assert_eq!(count(&text, "forward"), 0);
    let view = VolumeView { name: "a<b", bytes: 5, format: "qcow2", base: "/base" };
    let text = volume(&view).unwrap();
    assert!(text.contains("a&lt;b"));
    assert_eq!(count(&text, "backingStore"), 1);
}
