//! The files that fleet puts into an image: those below `templates/image/tree`, laid
//! out as the guest sees them, and the two scripts that run while it is made.

use std::path::Path;

use fleet_driver::Result;

use crate::images::store::{fresh_dir, trouble};

/// Whether a file is a program.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Data,
    Program,
}

macro_rules! tree {
    ($($kind:ident $path:literal),* $(,)?) => {
        &[$((Kind::$kind, $path, include_str!(concat!("../../../templates/image/tree/", $path)))),*]
    };
}

const TREE: &[(Kind, &str, &str)] = tree![
    Data "etc/apt/apt.conf.d/90fleet",
    Data "etc/cloud/cloud.cfg.d/90_fleet.cfg",
    Data "etc/fstab",
    Program "etc/initramfs/post-update.d/zz-fleet",
    Data "etc/initramfs-tools/conf.d/fleet",
    Program "etc/initramfs-tools/hooks/fleet",
    Program "etc/initramfs-tools/scripts/init-premount/fleet",
    Program "etc/initramfs-tools/scripts/init-bottom/fleet",
    Program "etc/kernel/postinst.d/zz-fleet",
    Data "etc/modprobe.d/fleet.conf",
    Data "etc/ssh/sshd_config.d/10-fleet.conf",
    Data "etc/ssh/sshd_config.d/50-cloud-init.conf",
    Data "etc/systemd/journald.conf.d/10-fleet.conf",
    Data "etc/systemd/system/cloud-final.service.d/10-fleet.conf",
    Data "etc/systemd/system/docker.service.d/05-fleet-order.conf",
    Data "etc/systemd/system/fleet-first-boot.service",
    Data "etc/systemd/system/fleet-grow.service",
    Program "usr/lib/fleet/copy-kernel",
    Program "usr/lib/fleet/first-boot",
    Program "usr/lib/fleet/grow",
];

/// The folder of the scripts in the chroot; the last of them removes it.
const SCRIPTS: &str = "fleet-image";

/// Runs in the chroot before the kernel is installed.
pub(super) const PREPARE: &str = "chroot \"$1\" sh /fleet-image/prepare.sh";

/// Runs in the chroot when all packages are there.
pub(super) const SETUP: &str = "chroot \"$1\" sh /fleet-image/setup.sh";

/// Writes all of them below `dir`, with the permissions they have in the image.
///
/// # Errors
/// `Host`: a file cannot be written.
pub(super) fn write(dir: &Path) -> Result<()> {
    fresh_dir(dir)?;
    for (kind, path, text) in TREE {
        put(&dir.join(path), text, *kind)?;
    }
    let scripts = dir.join(SCRIPTS);
    put(
        &scripts.join("prepare.sh"),
        include_str!("../../../templates/image/prepare.sh"),
        Kind::Program,
    )?;
    put(&scripts.join("setup.sh"), include_str!("../../../templates/image/setup.sh"), Kind::Program)
}

fn put(path: &Path, text: &str, kind: Kind) -> Result<()> {
    let attempt = || -> std::io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, text)?;
        mode(path, if kind == Kind::Program { 0o755 } else { 0o644 })
    };
    attempt().map_err(|e| trouble("could not write a file of the image", path, e))
}

#[cfg(unix)]
fn mode(path: &Path, mode: u32) -> std::io::Result<()> {
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))
}

#[cfg(not(unix))]
fn mode(_path: &Path, _mode: u32) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn walk(dir: &Path, top: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, top, found);
            } else {
                found.insert(path.strip_prefix(top).unwrap().display().to_string());
            }
        }
    }

    #[test]
    fn no_file_of_the_tree_is_forgotten() {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates/image/tree");
        let mut there = BTreeSet::new();
        walk(&top, &top, &mut there);
        let listed = TREE.iter().map(|(_, path, _)| (*path).to_owned()).collect();
        assert_eq!(there, listed);
    }

    #[test]
    fn programs_say_what_runs_them() {
        for (kind, path, text) in TREE {
            assert_eq!(*kind == Kind::Program, text.starts_with("#!"), "{path}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn programs_may_be_run_by_all_and_changed_by_root_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        write(&tree).unwrap();
        let mode = |path: &str| tree.join(path).metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("usr/lib/fleet/grow"), 0o755);
        assert_eq!(mode("etc/fstab"), 0o644);
        assert_eq!(mode("fleet-image/setup.sh"), 0o755);
    }
}
