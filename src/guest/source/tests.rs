//! Tests of the table: what each system says of itself, and the script it gets.

use super::*;
use crate::guest::install::tests::script_for;

macro_rules! recorded {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../tests/data/os-release/", $name)))),*]
    };
}

/// What each system says of itself.
pub(crate) const RECORDED: &[(&str, &str)] = recorded![
    "almalinux-10.0",
    "alpine-3.22",
    "amazon-2",
    "amazon-2023",
    "arch",
    "centos-stream-9",
    "debian-12",
    "eurolinux-9",
    "fedora-42",
    "leap-15.6",
    "linuxmint-22",
    "manjaro",
    "nixos-24.11",
    "oracle-8.10",
    "raspbian-12",
    "rhel-9.4",
    "rocky-9.5",
    "sles-15.6",
    "tumbleweed",
    "ubuntu-24.04",
];

pub(crate) fn recorded(name: &str) -> &'static str {
    RECORDED.iter().find(|(known, _)| *known == name).expect("a recorded system").1
}

const DOCKER: &str = "repository=https://download.docker.com/linux/";

/// System, manager, and lines of its script.
const EXPECTED: &[(&str, Manager, &[&str])] = &[
    ("debian-12", Manager::Apt, &["package=docker.io", "init=systemd"]),
    ("ubuntu-24.04", Manager::Apt, &["package=docker.io"]),
    ("raspbian-12", Manager::Apt, &["package=docker.io"]),
    ("linuxmint-22", Manager::Apt, &["others='apparmor ca-certificates iptables'"]),
    ("fedora-42", Manager::Dnf, &["package=moby-engine", "repository=''", "extras=''"]),
    ("centos-stream-9", Manager::Dnf, &["package=docker-ce", "release=9", "centos"]),
    ("rhel-9.4", Manager::Dnf, &["package=docker-ce", "release=9", "rhel"]),
    ("rocky-9.5", Manager::Dnf, &["package=docker-ce", "release=9", "centos"]),
    ("almalinux-10.0", Manager::Dnf, &["others='docker-ce-cli containerd.io'", "release=10"]),
    ("oracle-8.10", Manager::Dnf, &["package=docker-ce", "release=8", "centos"]),
    ("eurolinux-9", Manager::Dnf, &["package=docker-ce", "release=9", "rhel"]),
    ("amazon-2", Manager::Dnf, &["package=docker", "repository=''", "extras=docker"]),
    ("amazon-2023", Manager::Dnf, &["package=docker", "repository=''", "extras=''"]),
    ("leap-15.6", Manager::Zypper, &["package=docker", "module=''"]),
    ("tumbleweed", Manager::Zypper, &["package=docker", "module=''"]),
    ("sles-15.6", Manager::Zypper, &["package=docker", "module=sle-module-containers/15.6"]),
    ("arch", Manager::Pacman, &["package=docker", "others=''"]),
    ("manjaro", Manager::Pacman, &["package=docker", "init=systemd"]),
    ("alpine-3.22", Manager::Apk, &["package=docker", "community=community", "init=openrc"]),
];

#[test]
fn each_system_gets_its_script() {
    for (name, manager, lines) in EXPECTED {
        let os = OsRelease::parse(recorded(name));
        assert_eq!(of(&os).unwrap().manager, *manager, "{name}");
        let script = script_for(recorded(name), None).unwrap();
        for line in *lines {
            let whole = match *line {
                "centos" | "rhel" => format!("{DOCKER}{line}"),
                line => line.to_owned(),
            };
            assert!(script.lines().any(|found| found == whole), "{name}: {whole}\n{script}");
        }
    }
    let unknown = RECORDED.iter().filter(|(name, _)| EXPECTED.iter().all(|(e, ..)| e != name));
    assert_eq!(unknown.map(|(name, _)| *name).collect::<Vec<_>>(), ["nixos-24.11"]);
}

#[test]
fn other_systems_get_a_way_out() {
    for text in [recorded("nixos-24.11"), "ID=plan9", ""] {
        let error = of(&OsRelease::parse(text)).unwrap_err();
        assert_eq!(error.kind(), fleet_driver::ErrorKind::Guest);
        assert!(error.hint_text().unwrap().contains("image that has an engine"));
    }
    let error = of(&OsRelease::parse(recorded("nixos-24.11"))).unwrap_err();
    assert!(error.to_string().contains("NixOS 24.11 (Vicuna)"), "{error}");
}

#[test]
fn no_row_is_hidden_by_another() {
    for (n, row) in TABLE.iter().enumerate() {
        let hidden = TABLE[..n]
            .iter()
            .any(|r| r.id == row.id && (r.major.is_empty() || r.major == row.major));
        assert!(!hidden, "{row:?}");
        assert!(!row.packages.is_empty());
    }
}
