//! Where each system takes its engine from: one row for each, and none of it is code.
//!
//! Names are those of `os-release`. A system without a row of its own is taken for the
//! nearest of those that it resembles.

use fleet_driver::{Error, Result};

use super::os::OsRelease;

/// How a system takes its engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// `ID` in `os-release`.
    pub id: &'static str,
    /// The first part of the only version that this row is for; empty: all others.
    pub major: &'static str,
    /// The program that installs packages.
    pub manager: Manager,
    /// The engine's package, and what it needs and does not bring.
    pub packages: &'static [&'static str],
    /// Whose packages they are.
    pub origin: Origin,
    /// What starts the engine, unless the guest says otherwise.
    pub init: Init,
}

/// A program that installs packages; each has a template of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// Debian and its relatives.
    Apt,
    /// Fedora, RHEL and their relatives; `yum` where there is no `dnf`.
    Dnf,
    /// openSUSE and SLES.
    Zypper,
    /// Arch and its relatives.
    Pacman,
    /// Alpine.
    Apk,
}

/// Whose packages they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The distribution's, from what every machine of it asks.
    Distribution,
    /// Docker's own, from the folder of this name, as the distribution has none.
    Docker(&'static str),
    /// A topic of Amazon Linux 2 beside its core.
    Extras(&'static str),
    /// A module of SLES that its registration opens.
    Module(&'static str),
    /// Another repository beside the main one.
    Beside(&'static str),
}

/// What starts the services of a guest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Init {
    /// systemd.
    #[default]
    Systemd,
    /// OpenRC.
    OpenRc,
}

impl Init {
    /// Its name in scripts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Systemd => "systemd",
            Self::OpenRc => "openrc",
        }
    }
}

/// AppArmor's parser comes along: without it the engine starts no container where the
/// kernel has AppArmor on.
const DEBIAN: Source = Source {
    id: "debian",
    major: "",
    manager: Manager::Apt,
    packages: &["docker.io", "apparmor", "ca-certificates", "iptables"],
    origin: Origin::Distribution,
    init: Init::Systemd,
};
const FEDORA: Source =
    Source { id: "fedora", manager: Manager::Dnf, packages: &["moby-engine"], ..DEBIAN };
const CENTOS: Source = Source {
    id: "centos",
    packages: &["docker-ce", "docker-ce-cli", "containerd.io"],
    origin: Origin::Docker("centos"),
    ..FEDORA
};
const SUSE: Source =
    Source { id: "suse", manager: Manager::Zypper, packages: &["docker"], ..DEBIAN };
const SLES: Source = Source { id: "sles", origin: Origin::Module("sle-module-containers"), ..SUSE };

/// The table. Of the rows of one system the first that fits counts.
const TABLE: &[Source] = &[
    DEBIAN,
    Source { id: "ubuntu", ..DEBIAN },
    Source { id: "raspbian", ..DEBIAN },
    FEDORA,
    Source { id: "rhel", origin: Origin::Docker("rhel"), ..CENTOS },
    CENTOS,
    Source { id: "rocky", ..CENTOS },
    Source { id: "almalinux", ..CENTOS },
    Source { id: "ol", ..CENTOS },
    Source {
        id: "amzn",
        major: "2",
        packages: &["docker"],
        origin: Origin::Extras("docker"),
        ..FEDORA
    },
    Source { id: "amzn", packages: &["docker"], ..FEDORA },
    SUSE,
    Source { id: "opensuse", ..SUSE },
    Source { id: "opensuse-leap", ..SUSE },
    Source { id: "opensuse-tumbleweed", ..SUSE },
    SLES,
    Source { id: "sles_sap", ..SLES },
    Source { id: "arch", manager: Manager::Pacman, packages: &["docker"], ..DEBIAN },
    Source {
        id: "alpine",
        manager: Manager::Apk,
        packages: &["docker"],
        origin: Origin::Beside("community"),
        init: Init::OpenRc,
        ..DEBIAN
    },
];

/// Says how this system takes its engine.
///
/// # Errors
/// `Guest`: fleet does not know it, nor any that it resembles.
pub fn of(os: &OsRelease) -> Result<&'static Source> {
    let row = |name: &str| {
        TABLE.iter().find(|row| row.id == name && (row.major.is_empty() || row.major == os.major()))
    };
    os.names().find_map(row).ok_or_else(|| {
        let what = if os.name.is_empty() { "this system" } else { &os.name };
        Error::guest(format!("fleet does not know how {what} takes the engine's package")).hint(
            "use an image that has an engine, or set `install` in [engine] to the path of a \
             script of yours, or to \"get-docker\"",
        )
    })
}

#[cfg(test)]
pub(super) mod tests;
