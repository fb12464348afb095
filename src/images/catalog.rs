//! The distributions that have images: where the official ones are, and what one is
//! built from. One table; the code beside it knows no distribution by name.

use fleet_driver::{Error, Result};

/// An image that can be pulled or built by its name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Distribution {
    /// The image's name, such as `debian-12`.
    pub(super) name: &'static str,
    /// For people, such as `Debian 12`.
    pub(super) title: &'static str,
    /// The suite in the package archive, such as `bookworm`.
    pub(super) codename: &'static str,
    /// The suites beside it that hold its updates.
    pub(super) updates: &'static [&'static str],
    /// The parts of the archive that hold the packages below.
    pub(super) components: &'static [&'static str],
    /// The file name of the archive's keys below `/usr/share/keyrings`.
    pub(super) keyring: &'static str,
    /// The package that brings the keys.
    pub(super) keyring_package: &'static str,
    /// The kernel to put into an image.
    pub(super) kernel: &'static str,
    /// The publisher's cloud image.
    pub(super) official: Official,
}

/// Where the publisher's cloud image is.
///
/// Debian: <https://cloud.debian.org/images/cloud/>; `genericcloud` is the smaller one,
/// for virtual hardware. Ubuntu: <https://cloud-images.ubuntu.com/releases/>.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Official {
    /// The publisher's server.
    pub(super) base: &'static str,
    /// The folder below it.
    pub(super) folder: &'static str,
    /// The image.
    pub(super) file: &'static str,
    /// The list of digests beside it, as `sha256sum` or `sha512sum` writes it.
    pub(super) sums: &'static str,
}

const DEBIAN: &str = "https://cloud.debian.org/images/cloud";
const UBUNTU: &str = "https://cloud-images.ubuntu.com/releases";

/// All of them; the first is what `fleet image pull` and `build` take by default.
pub(super) const ALL: &[Distribution] = &[
    Distribution {
        name: "debian-12",
        title: "Debian 12",
        codename: "bookworm",
        updates: &["bookworm-updates", "bookworm-security"],
        components: &["main"],
        keyring: "debian-archive-keyring.gpg",
        keyring_package: "debian-archive-keyring",
        kernel: "linux-image-cloud-amd64",
        official: Official {
            base: DEBIAN,
            folder: "bookworm/latest",
            file: "debian-12-genericcloud-amd64.qcow2",
            sums: "SHA512SUMS",
        },
    },
    Distribution {
        name: "debian-13",
        title: "Debian 13",
        codename: "trixie",
        updates: &["trixie-updates", "trixie-security"],
        components: &["main"],
        keyring: "debian-archive-keyring.gpg",
        keyring_package: "debian-archive-keyring",
        kernel: "linux-image-cloud-amd64",
        official: Official {
            base: DEBIAN,
            folder: "trixie/latest",
            file: "debian-13-genericcloud-amd64.qcow2",
            sums: "SHA512SUMS",
        },
    },
    Distribution {
        name: "ubuntu-22.04",
        title: "Ubuntu 22.04",
        codename: "jammy",
        updates: &["jammy-updates", "jammy-security"],
        components: &["main", "universe"],
        keyring: "ubuntu-archive-keyring.gpg",
        keyring_package: "ubuntu-keyring",
        kernel: "linux-image-virtual",
        official: Official {
            base: UBUNTU,
            folder: "22.04/release",
            file: "ubuntu-22.04-server-cloudimg-amd64.img",
            sums: "SHA256SUMS",
        },
    },
    Distribution {
        name: "ubuntu-24.04",
        title: "Ubuntu 24.04",
        codename: "noble",
        updates: &["noble-updates", "noble-security"],
        components: &["main", "universe"],
        keyring: "ubuntu-archive-keyring.gpg",
        keyring_package: "ubuntu-keyring",
        kernel: "linux-image-virtual",
        official: Official {
            base: UBUNTU,
            folder: "24.04/release",
            file: "ubuntu-24.04-server-cloudimg-amd64.img",
            sums: "SHA256SUMS",
        },
    },
];

/// The name that commands take when none is given.
pub const DEFAULT: &str = "debian-12";

/// What goes into every built image beside the kernel: enough for cloud-init, SSH,
/// the engine and its swarm, and for a person who looks around.
pub(super) const PACKAGES: &[&str] = &[
    "initramfs-tools",
    "busybox",
    "lz4",
    "systemd-sysv",
    "systemd-resolved",
    "udev",
    "dbus",
    "libpam-systemd",
    "kmod",
    "netbase",
    "openssh-server",
    "cloud-init",
    "cloud-guest-utils",
    "fdisk",
    "e2fsprogs",
    "docker.io",
    "docker-cli",
    "apparmor",
    "iptables",
    "iproute2",
    "procps",
    "sudo",
    "curl",
    "ca-certificates",
    "less",
];

/// Packages that only some of the suites have; the others hold their files already.
pub(super) const NOT_EVERYWHERE: &[(&str, &[&str])] =
    &[("systemd-resolved", &["jammy"]), ("docker-cli", &["bookworm", "jammy", "noble"])];

/// The distribution of that image name.
///
/// # Errors
/// `NotFound`, with the names there are.
pub(super) fn known(name: &str) -> Result<&'static Distribution> {
    find(name).ok_or_else(|| {
        let names: Vec<&str> = ALL.iter().map(|d| d.name).collect();
        Error::not_found(format!("no distribution is known as `{name}`")).hint(format!(
            "there are {}; anything else comes in by `fleet image import {name} FILE`",
            names.join(", ")
        ))
    })
}

/// The distribution of that image name, if there is one.
pub(super) fn find(name: &str) -> Option<&'static Distribution> {
    ALL.iter().find(|d| d.name == name)
}

impl Distribution {
    /// The packages of its image.
    pub(super) fn packages(&self) -> Vec<&'static str> {
        let missing = |package: &&str| {
            NOT_EVERYWHERE.iter().any(|(p, suites)| p == package && suites.contains(&self.codename))
        };
        std::iter::once(self.kernel)
            .chain(PACKAGES.iter().copied().filter(|package| !missing(package)))
            .collect()
    }

    /// Whether `suite` is its own or one of its updates.
    pub(super) fn has_suite(&self, suite: &str) -> bool {
        suite == self.codename || self.updates.contains(&suite)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_suite_gets_only_packages_that_it_has() {
        let has = |name, package| known(name).unwrap().packages().contains(&package);
        assert!(has("debian-13", "docker-cli") && !has("debian-12", "docker-cli"));
        assert!(
            has("ubuntu-24.04", "systemd-resolved") && !has("ubuntu-22.04", "systemd-resolved")
        );
        for distribution in ALL {
            let packages = distribution.packages();
            assert_eq!(packages[0], distribution.kernel);
            assert!(packages.contains(&"docker.io"), "{}", distribution.name);
        }
        assert_eq!(known(DEFAULT).unwrap().name, ALL[0].name);
    }

    #[test]
    fn every_exception_is_about_a_package_and_a_suite_that_there_are() {
        for (package, suites) in NOT_EVERYWHERE {
            assert!(PACKAGES.contains(package), "{package}");
            for suite in *suites {
                assert!(ALL.iter().any(|d| d.codename == *suite), "{suite}");
            }
        }
    }
}
