//! The same lab on a libvirtd, which dies meanwhile and has neighbours with clashing names;
//! and a fleet on two libvirt hosts. What is there is told by libvirt's own client.

use std::time::Duration;

use super::course;
use super::harness::{Lab, MINUTE, sample};
use super::hypervisor::{Libvirtd, missing};

/// A network that has nothing to do with fleet.
fn office(subnet: &str) -> String {
    format!(
        "<network><name>office</name><ip address='{subnet}.1' netmask='255.255.255.0'/></network>"
    )
}

/// A domain that has nothing to do with fleet, whatever it is called.
fn domain(name: &str) -> String {
    format!(
        "<domain type='qemu'><name>{name}</name><memory unit='MiB'>16</memory>\
         <os><type arch='x86_64'>hvm</type></os></domain>"
    )
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}

#[test]
fn the_lab_of_the_readme_on_libvirt() {
    if let Some(why) = missing() {
        panic!("{why}");
    }
    let libvirtd = Libvirtd::start();
    let text = sample().replace("driver = \"qemu\"", "driver = \"libvirt\"");
    assert_ne!(text, sample(), "the sample names its driver");
    let lab = Lab::beside(&libvirtd, "libvirt", &text);
    lab.needs_image();
    libvirtd.define("net-define", &office("10.77.0"));
    libvirtd.virsh(&["net-start", "office"]);
    libvirtd.define("define", &domain("office-1"));
    libvirtd.virsh(&["vol-create-as", "default", "office-1.qcow2", "1M", "--format", "qcow2"]);
    let before = libvirtd.inventory();
    let all_as_before = || assert_eq!(libvirtd.inventory(), before, "not as it was before");

    lab.say("a network with the same subnet is told, and left alone");
    let refused = lab.fleet(&["up"]).within(2 * MINUTE).run();
    assert_ne!(refused.code, Some(0), "{}", refused.stderr);
    assert!(refused.stderr.contains("`office`"), "{}", refused.stderr);
    assert!(refused.stderr.contains("hint:"), "{}", refused.stderr);
    all_as_before();
    libvirtd.virsh(&["net-destroy", "office"]);
    libvirtd.virsh(&["net-undefine", "office"]);
    libvirtd.define("net-define", &office("10.99.0"));
    libvirtd.virsh(&["net-start", "office"]);

    lab.say("so is a domain with the name of a machine");
    let inspected = lab.fleet(&["inspect", "worker-2"]).within(MINUTE).ok().json();
    let id = inspected[0]["id"].as_str().expect("every machine has an id");
    let taken = format!("fleet-{}", id.replace('/', "-"));
    libvirtd.define("define", &domain(&taken));
    let with_taken = libvirtd.inventory();
    let refused = lab.fleet(&["up"]).within(2 * MINUTE).run();
    assert_ne!(refused.code, Some(0), "{}", refused.stderr);
    assert!(refused.stderr.contains(&taken), "{}", refused.stderr);
    assert!(refused.stderr.contains("hint:"), "{}", refused.stderr);
    assert_eq!(libvirtd.inventory(), with_taken);
    libvirtd.virsh(&["undefine", &taken]);

    lab.say("`fleet up`, while libvirtd dies and comes back");
    std::thread::scope(|scope| {
        let up = scope.spawn(|| lab.fleet(&["up"]).within(15 * MINUTE).run());
        lab.until("the first domain", 3 * MINUTE, || {
            !lines(&libvirtd.virsh(&["list", "--all", "--name"])).iter().all(|n| *n == "office-1")
        });
        libvirtd.dies();
        super::harness::pause(Duration::from_secs(2));
        libvirtd.comes_back();
        let ended = up.join().expect("no panic");
        lab.say(&format!("  it ended with {:?}", ended.code));
        assert!(ended.code == Some(0) || ended.stderr.contains("libvirt"), "{}", ended.stderr);
    });

    lab.say("`fleet up`, while its driver program dies");
    lab.fleet(&["down", "worker-1"]).within(5 * MINUTE).ok();
    std::thread::scope(|scope| {
        let up = scope.spawn(|| lab.fleet(&["up"]).within(15 * MINUTE).run());
        lab.until("the machine's domain", 3 * MINUTE, || {
            libvirtd.virsh(&["list", "--all", "--name"]).contains("-worker-1")
        });
        for pid in libvirtd.programs() {
            libvirtd.run(&["kill", "-9", &pid]);
        }
        let ended = up.join().expect("no panic");
        lab.say(&format!("  it ended with {:?}", ended.code));
    });
    course::up(&lab);

    lab.say("what libvirt's own client sees");
    let during = libvirtd.inventory();
    let ours = |kind: &str| {
        let all = during[kind].iter().filter(|name| !before[kind].contains(name));
        all.map(String::as_str).collect::<Vec<_>>()
    };
    assert_eq!(ours("domains").len(), 3, "{during:?}");
    assert_eq!(ours("networks").len(), 1, "{during:?}");
    assert_eq!(lines(&libvirtd.virsh(&["list", "--name"])).len(), 3);
    // A disk each, the image that all of them stand on, and no seed any more.
    let (disks, rest): (Vec<&str>, Vec<&str>) =
        ours("volumes").into_iter().partition(|name| name.contains(".qcow2"));
    assert_eq!(disks.len(), 4, "{during:?}");
    assert!(rest.iter().all(|name| !name.contains(".iso")), "{during:?}");
    for name in ours("domains") {
        let xml = libvirtd.virsh(&["dumpxml", name]);
        assert!(xml.contains("urn:fleet:machine:1"), "{name} has no mark:\n{xml}");
        assert!(!xml.contains("PRIVATE KEY") && !xml.contains("SWMTKN-"), "{xml}");
        for device in ["virtio", "<rng ", "<serial ", "org.qemu.guest_agent.0"] {
            assert!(xml.contains(device), "{name} has no {device}:\n{xml}");
        }
    }
    let network = libvirtd.virsh(&["net-dumpxml", ours("networks")[0]]);
    for address in ["10.77.0.1'", "10.77.0.11'", "10.77.0.12'", "10.77.0.13'"] {
        assert!(network.contains(address), "{address} is not in\n{network}");
    }
    assert!(libvirtd.programs().is_empty(), "a driver program is left: {:?}", libvirtd.programs());
    let console = lab.fleet(&["logs", "host1"]).within(MINUTE).ok();
    assert!(console.stdout.contains("login:"), "{}", console.stdout);

    course::use_it(&lab);
    course::down(&lab);
    all_as_before();
    assert!(libvirtd.programs().is_empty(), "a driver program is left: {:?}", libvirtd.programs());
}

const TWO_HOSTS: &str = r#"
[fleet]
name = "wide"
[defaults]
driver = "libvirt"
image = "debian-12"
[network]
subnet = "10.88.0.0/24"
[driver.libvirt]
bridge = "br0"
[[driver.libvirt.host]]
name = "left"
uri = "qemu:///system"
[[driver.libvirt.host]]
name = "right"
uri = "qemu+tcp://10.88.0.2/system"
memory = "3 GiB"
[swarm]
[machine.boss]
count = 2
role = "manager"
[machine.pinned]
libvirt.on = "right"
"#;

#[test]
fn a_fleet_on_two_hosts() {
    if let Some(why) = missing() {
        panic!("{why}");
    }
    let (left, right) = (Libvirtd::listening("10.88.0.1"), Libvirtd::listening("10.88.0.2"));
    left.link(&right);
    let lab = Lab::beside(&left, "wide", TWO_HOSTS);
    lab.needs_image();
    let before = [left.inventory(), right.inventory()];

    lab.say("what no host has room for is told before anything is made");
    lab.edit("[swarm]", "[machine.huge]\nmemory = \"900 GiB\"\n[swarm]");
    let refused = lab.fleet(&["up"]).within(2 * MINUTE).run();
    assert_ne!(refused.code, Some(0), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("right") && refused.stderr.contains("hint:"),
        "{}",
        refused.stderr
    );
    assert_eq!([left.inventory(), right.inventory()], before);
    lab.edit("[machine.huge]\nmemory = \"900 GiB\"\n", "");

    lab.say("managers go to different hosts, a pinned machine where it belongs");
    lab.fleet(&["up"]).within(15 * MINUTE).ok();
    let rows = lab.fleet(&["ls", "--json"]).within(MINUTE).ok().json();
    let host = |name: &str| {
        let machines = rows["machines"].as_array().expect("an array");
        let row = machines.iter().find(|row| row["name"] == name).expect(name);
        row["host"].as_str().expect("a host").to_owned()
    };
    assert_ne!(host("boss-1"), host("boss-2"), "{rows}");
    assert_eq!(host("pinned"), "right", "{rows}");
    assert!(lab.fleet(&["ls"]).within(MINUTE).ok().stdout.contains("HOST"));
    let count = |libvirtd: &Libvirtd| lines(&libvirtd.virsh(&["list", "--name"])).len();
    assert_eq!((count(&left), count(&right)), (1, 2), "{rows}");
    let nodes = lab.docker("boss-1", &["node", "ls", "--format", "{{.Hostname}} {{.Status}}"]);
    let nodes = nodes.within(MINUTE).ok().stdout;
    for name in ["boss-1", "boss-2", "pinned"] {
        assert!(nodes.contains(&format!("{name} Ready")), "{nodes}");
    }
    let again = lab.fleet(&["up"]).within(MINUTE).ok();
    assert!(again.stderr.contains("Nothing to do"), "{}", again.stderr);

    lab.say("a host that does not answer is no reason to take its machines for lost");
    right.dies();
    let lost = lab.fleet(&["up"]).within(3 * MINUTE).run();
    assert_ne!(lost.code, Some(0), "{}", lost.stderr);
    assert!(lost.stderr.contains("10.88.0.2"), "{}", lost.stderr);
    right.comes_back();
    assert_eq!(count(&left), 1, "a machine was made twice");

    lab.fleet(&["down"]).within(5 * MINUTE).ok();
    assert_eq!([left.inventory(), right.inventory()], before, "something is left");
    lab.nothing_is_left();
}

const ONE: &str = r#"
[fleet]
name = "one"
[defaults]
driver = "libvirt"
image = "debian-12"
[network]
subnet = "10.79.0.0/24"
[engine]
install = "none"
[driver.libvirt]
autostart = true
xml = "<watchdog model='i6300esb' action='none'/>"
[machine.only]
ports = ["127.0.0.1:8022:22"]
"#;

/// The places at which the driver program dies while the machine is made, in their order.
const MAKING: [&str; 6] = [
    "libvirt-create-network:only#1",
    "libvirt-create-image:only#1",
    "libvirt-create-disk:only#1",
    "libvirt-create-seed:only#1",
    "libvirt-create-domain:only#1",
    "libvirt-start:only#1",
];

/// And while it is removed.
const REMOVING: [&str; 5] = [
    "libvirt-destroy-domain:only#1",
    "libvirt-destroy-volumes:only#1",
    "libvirt-destroy-image:only#1",
    "libvirt-destroy-network:only#1",
    "libvirt-destroy-folder:only#1",
];

#[test]
fn a_machine_on_libvirt_survives_whatever_happens_to_its_driver() {
    if let Some(why) = missing() {
        panic!("{why}");
    }
    let libvirtd = Libvirtd::start();
    let lab = Lab::beside(&libvirtd, "one", ONE);
    lab.needs_image();
    let before = libvirtd.inventory();
    let dies = |command: &str, point: &str| {
        let ended = lab.fleet(&[command]).deadly(point).within(5 * MINUTE).run();
        assert_ne!(ended.code, Some(0), "`{command}` went on after {point}");
        assert!(ended.stderr.contains("driver program"), "{point}: {}", ended.stderr);
        assert!(libvirtd.programs().is_empty(), "a driver program is left after {point}");
    };

    lab.say("its driver program dies at one place after the other");
    for point in MAKING {
        dies("up", point);
    }
    lab.fleet(&["up"]).within(10 * MINUTE).ok();
    assert_eq!(lines(&libvirtd.virsh(&["list", "--name"])).len(), 1);

    let domain = lines(&libvirtd.virsh(&["list", "--name"])).join("");
    assert!(libvirtd.virsh(&["dumpxml", &domain]).contains("i6300esb"), "no watchdog");
    assert!(libvirtd.virsh(&["dominfo", &domain]).contains("enable"), "no autostart");

    lab.say("a mistake in its options is told with its key");
    lab.edit("autostart", "autostrat");
    let wrong = lab.fleet(&["up"]).within(MINUTE).run();
    assert_eq!(wrong.code, Some(3), "{}", wrong.stderr);
    assert!(wrong.stderr.contains("did you mean `autostart`?"), "{}", wrong.stderr);
    lab.edit("autostrat", "autostart");

    lab.say("a port of this computer leads into it");
    let banner = "exec 3<>/dev/tcp/127.0.0.1/8022 && head -c 7 <&3";
    assert_eq!(libvirtd.run(&["bash", "-c", banner]), "SSH-2.0");

    lab.say("it rests and goes on, and comes back to a snapshot");
    let state = |wanted: &str| {
        let status = lab.fleet(&["status", "only"]).within(MINUTE).ok().stdout;
        assert_eq!(status, format!("{wanted}\n"));
    };
    let guest = |command: &str| lab.fleet(&["ssh", "only", command]).within(MINUTE).ok().stdout;
    let boot = guest("cat /proc/sys/kernel/random/boot_id");
    for (flags, rest) in [(&["suspend"][..], "Paused"), (&["suspend", "--to-disk"], "Saved")] {
        lab.fleet(flags).within(2 * MINUTE).ok();
        state(rest);
        lab.fleet(&["resume"]).within(2 * MINUTE).ok();
        state("Running");
    }
    assert_eq!(guest("cat /proc/sys/kernel/random/boot_id"), boot, "it was started anew");
    guest("echo before >note");
    lab.fleet(&["snapshot", "save", "good"]).within(3 * MINUTE).ok();
    guest("echo after >note");
    lab.fleet(&["snapshot", "restore", "good"]).within(3 * MINUTE).ok();
    assert_eq!(guest("cat note"), "before\n");
    let listed = lab.fleet(&["snapshot", "ls"]).within(MINUTE).ok().stdout;
    assert!(listed.contains("good"), "{listed}");

    lab.say("another size is taken over while it is off");
    lab.edit("[machine.only]", "[machine.only]\nmemory = \"768 MiB\"\ndisk = \"12 GiB\"");
    lab.fleet(&["up", "--restart"]).within(5 * MINUTE).ok();
    assert!(libvirtd.virsh(&["dominfo", &domain]).contains("786432 KiB"), "{domain}");
    assert!(guest("lsblk -bdno SIZE /dev/vda").starts_with("12884901888"));

    lab.fleet(&["down"]).within(3 * MINUTE).ok();
    assert_eq!(libvirtd.inventory(), before, "something is left");
    lab.nothing_is_left();

    lab.say("its driver program dies while it is removed");
    for point in REMOVING {
        // Whole, but not started: nobody waits for a boot.
        dies("up", MAKING[5]);
        assert_ne!(libvirtd.inventory(), before);
        // It is started anew, and may finish the work in the same run.
        let ended = lab.fleet(&["down"]).deadly(point).within(5 * MINUTE).run();
        let told = ended.stderr.contains("driver program");
        assert!(ended.code == Some(0) || told, "{point}: {}", ended.stderr);
        assert!(libvirtd.programs().is_empty(), "a driver program is left after {point}");
        lab.fleet(&["down"]).within(3 * MINUTE).ok();
        assert_eq!(libvirtd.inventory(), before, "something is left after {point}");
        lab.nothing_is_left();
    }
}
