//! The programs that a build needs, found before anything is made.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use fleet_driver::{Error, Result};

use crate::host::Host;

/// A program or file, and the Debian or Ubuntu package that brings it.
const NEEDED: &[(&str, &str)] = &[
    ("mmdebstrap", "mmdebstrap"),
    ("setpriv", "util-linux"),
    ("unshare", "util-linux"),
    ("tar", "tar"),
    ("sfdisk", "fdisk"),
    ("mke2fs", "e2fsprogs"),
    ("mformat", "mtools"),
    ("mcopy", "mtools"),
    ("syslinux", "syslinux"),
    ("qemu-img", "qemu-utils"),
];

/// What a build by an ordinary user needs beside them.
const NEEDED_WITHOUT_ROOT: &[(&str, &str)] = &[("fakeroot", "fakeroot"), ("newuidmap", "uidmap")];

/// Where the code of a BIOS's boot sector may be.
const BOOT_SECTORS: &[&str] = &[
    "/usr/lib/syslinux/mbr/mbr.bin",
    "/usr/lib/syslinux/bios/mbr.bin",
    "/usr/share/syslinux/mbr.bin",
];

/// Who builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Builder {
    /// Root, who may make any file.
    Root,
    /// An ordinary user, in a user namespace and under `fakeroot`.
    User,
}

/// The programs of a build, each with its path.
#[derive(Debug)]
pub(super) struct Tools {
    pub(super) builder: Builder,
    pub(super) boot_sector: PathBuf,
    found: Vec<(&'static str, PathBuf)>,
}

impl Tools {
    /// Looks for all of them.
    ///
    /// # Errors
    /// `Host`: this is no computer that can build one; some are missing, all of which
    /// are named.
    pub(super) fn find(host: &Host) -> Result<Self> {
        if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            return Err(Error::host("images are built on Linux on x86-64 only"));
        }
        let builder = builder();
        let path = search_path(host);
        let mut needed = NEEDED.to_vec();
        if builder == Builder::User {
            needed.extend(NEEDED_WITHOUT_ROOT);
        }
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for (program, package) in needed {
            match which::which_in_global(program, Some(&path)).ok().and_then(|mut all| all.next()) {
                Some(at) => found.push((program, at)),
                None => missing.push((program, package)),
            }
        }
        let boot_sector = BOOT_SECTORS.iter().map(Path::new).find(|file| file.is_file());
        match boot_sector {
            Some(boot_sector) if missing.is_empty() => {
                Ok(Self { builder, boot_sector: boot_sector.to_owned(), found })
            }
            Some(_) => Err(lacking(&missing)),
            None => {
                missing.push(("mbr.bin", "syslinux-common"));
                Err(lacking(&missing))
            }
        }
    }

    /// The path of a program that was looked for.
    pub(super) fn path<'a>(&'a self, program: &'a str) -> &'a Path {
        let found = self.found.iter().find(|(name, _)| *name == program);
        found.map_or(Path::new(program), |(_, path)| path)
    }
}

/// One error for all that is missing, with the one command that brings it.
fn lacking(missing: &[(&str, &str)]) -> Error {
    let programs: Vec<String> = missing.iter().map(|(program, _)| format!("`{program}`")).collect();
    let mut packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    packages.dedup();
    Error::host(format!("building an image needs {}", programs.join(", ")))
        .hint(format!("install them: `apt-get install {}`", packages.join(" ")))
}

/// `PATH`, and the folders for administrators, which an ordinary user's lacks on Debian.
fn search_path(host: &Host) -> OsString {
    let mut path = OsString::from(host.var("PATH").unwrap_or("/usr/bin:/bin"));
    path.push(":/usr/local/sbin:/usr/sbin:/sbin");
    path
}

#[cfg(unix)]
fn builder() -> Builder {
    use std::os::unix::fs::MetadataExt;
    // Linux: the owner of one's own folder in /proc is one's user id.
    match std::fs::metadata("/proc/self") {
        Ok(found) if found.uid() == 0 => Builder::Root,
        _ => Builder::User,
    }
}

#[cfg(not(unix))]
fn builder() -> Builder {
    Builder::User
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_missing_is_named_at_once() {
        let error =
            lacking(&[("mformat", "mtools"), ("mcopy", "mtools"), ("syslinux", "syslinux")]);
        assert_eq!(error.message(), "building an image needs `mformat`, `mcopy`, `syslinux`");
        assert_eq!(error.hint_text(), Some("install them: `apt-get install mtools syslinux`"));
    }
}
