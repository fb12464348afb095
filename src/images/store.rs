//! The folder of images: what is in it, and how a finished image gets in whole or not
//! at all.
//!
//! ```text
//! images/
//!   debian-12/
//!     image.json                 what is known of the image, and which file it is
//!     disk-0f3c….qcow2           the disk, named by its digest
//!     disk-….qcow2               an older one that machines may still be backed by
//!   .work/debian-12/             what an operation under way makes; swept by the next
//!   .lock/debian-12              held by the operation under way
//!   .digests/…                   digests of images that are used where they lie
//! ```
//!
//! Why a file is named by its digest: machines keep overlays on it. Replacing it in
//! place would corrupt every one of them.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use fleet_driver::{Error, ImageFile, Result};
use serde::{Deserialize, Serialize};

use crate::state::{private_dir, write_atomically};

/// What is known of an image, as kept beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The name in `machines.toml`.
    pub name: String,
    /// Where it comes from.
    pub source: Source,
    /// For people, such as `Debian 12`, where known.
    pub distribution: Option<String>,
    /// The engine's version inside, where known.
    pub engine: Option<String>,
    /// SHA-256 of the disk file, in lower-case hex.
    pub sha256: String,
    /// The size of the disk file in bytes.
    pub bytes: u64,
    /// The virtual size of the disk in MiB, rounded up.
    pub size_mib: u64,
    /// When it came, RFC 3339 in UTC.
    pub made: String,
    /// The disk file's time of last change, nanoseconds since 1970.
    pub(super) modified: u128,
}

/// Where an image comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Source {
    /// Downloaded, and compared with the digest of its publisher or of `machines.toml`.
    Pulled {
        /// From where.
        url: String,
        /// The digest that was promised, in lower-case hex: SHA-256 or SHA-512.
        digest: String,
    },
    /// Built on this host from the distribution's packages.
    Built {
        /// The suite.
        suite: String,
    },
    /// Brought in by `fleet image import`.
    Imported {
        /// The path or URL.
        from: String,
    },
}

/// The folder of images.
#[derive(Debug, Clone)]
pub(super) struct Store {
    root: PathBuf,
}

impl Store {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Where an operation on the image makes its files; on the same file system.
    pub(super) fn work(&self, name: &str) -> PathBuf {
        self.root.join(".work").join(name)
    }

    pub(super) fn lock_file(&self, name: &str) -> PathBuf {
        self.root.join(".lock").join(name)
    }

    pub(super) fn digests(&self) -> PathBuf {
        self.root.join(".digests")
    }

    /// The disk file of an entry.
    pub(super) fn disk(&self, entry: &Entry) -> PathBuf {
        self.folder(&entry.name).join(disk_name(&entry.sha256))
    }

    /// The entry of that name, if the image is there and is the file it was: size and
    /// time of change are compared, since hashing takes seconds.
    ///
    /// # Errors
    /// `Host`: it cannot be read, or the disk file was changed.
    pub(super) fn entry(&self, name: &str) -> Result<Option<Entry>> {
        let path = self.folder(name).join("image.json");
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(trouble("could not read what is known of an image", &path, e)),
        };
        let entry: Entry = serde_json::from_slice(&bytes).map_err(|e| {
            trouble("what is known of an image is damaged", &path, e)
                .hint(format!("remove it and get it again: `fleet image rm {name} --force`"))
        })?;
        let disk = self.disk(&entry);
        match std::fs::metadata(&disk) {
            Ok(found) if found.len() == entry.bytes && modified(&found) == entry.modified => {
                Ok(Some(entry))
            }
            Ok(_) => Err(Error::host(format!("the image `{name}` was changed after it was made"))
                .with("file", disk.display())
                .hint(format!("remove it and get it again: `fleet image rm {name} --force`"))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(trouble("could not look at an image", &disk, e)),
        }
    }

    /// The names of the images there are, also of damaged ones, sorted.
    ///
    /// # Errors
    /// `Host`: the folder cannot be read.
    pub(super) fn names(&self) -> Result<Vec<String>> {
        let entries = match std::fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(trouble("could not list the images", &self.root, e)),
        };
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| !name.starts_with('.') && self.folder(name).is_dir())
            .collect();
        names.sort();
        Ok(names)
    }

    /// The disk files of that name, the current one included: path and size in bytes.
    pub(super) fn disks(&self, name: &str) -> Vec<(PathBuf, u64)> {
        let Ok(entries) = std::fs::read_dir(self.folder(name)) else { return Vec::new() };
        let mut disks: Vec<(PathBuf, u64)> = entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let file = entry.file_name().into_string().ok()?;
                let len = entry.metadata().ok()?.len();
                let disk = file.strip_prefix("disk-")?.strip_suffix(".qcow2").is_some();
                disk.then(|| (entry.path(), len))
            })
            .collect();
        disks.sort();
        disks
    }

    /// Takes a finished disk in: flushes it, moves it to its place, and only then says
    /// that it is there.
    ///
    /// # Errors
    /// `Host`: the disk cannot be flushed or moved.
    pub(super) fn admit(&self, new: New) -> Result<Entry> {
        let folder = self.folder(&new.name);
        private_dir(&folder)?;
        let place = folder.join(disk_name(&new.sha256));
        let attempt = || -> std::io::Result<std::fs::Metadata> {
            let file = std::fs::File::open(&new.disk)?;
            file.sync_all()?;
            // Machines are backed by it: nobody writes to it again.
            let mut permissions = file.metadata()?.permissions();
            permissions.set_readonly(true);
            std::fs::set_permissions(&new.disk, permissions)?;
            std::fs::rename(&new.disk, &place)?;
            std::fs::File::open(&folder)?.sync_all()?;
            std::fs::metadata(&place)
        };
        let found = attempt().map_err(|e| trouble("could not store an image", &place, e))?;
        let entry = Entry {
            name: new.name,
            source: new.source,
            distribution: new.distribution,
            engine: new.engine,
            sha256: new.sha256,
            bytes: found.len(),
            size_mib: new.size_mib,
            made: now(),
            modified: modified(&found),
        };
        let text = serde_json::to_vec_pretty(&entry)
            .map_err(|e| Error::bug("an image's entry cannot be written as JSON").because(e))?;
        write_atomically(&folder.join("image.json"), &text)?;
        Ok(entry)
    }

    /// Removes the image, its older disks included; one that is not there is removed
    /// already.
    ///
    /// # Errors
    /// `Host`: a file cannot be removed.
    pub(super) fn remove(&self, name: &str) -> Result<()> {
        for folder in [self.folder(name), self.work(name)] {
            sweep(&folder)?;
        }
        Ok(())
    }

    /// Removes the disks that are not the current one; gives the bytes that this frees.
    ///
    /// # Errors
    /// `Host`: a file cannot be removed.
    pub(super) fn remove_older(&self, name: &str) -> Result<u64> {
        let current = self.entry(name)?.map(|entry| self.disk(&entry));
        let mut freed = 0;
        for (disk, bytes) in self.disks(name) {
            if Some(&disk) != current.as_ref() {
                std::fs::remove_file(&disk)
                    .map_err(|e| trouble("could not remove an older image", &disk, e))?;
                freed += bytes;
            }
        }
        Ok(freed)
    }
}

/// A finished disk on its way into the store.
pub(super) struct New {
    pub(super) name: String,
    pub(super) disk: PathBuf,
    pub(super) sha256: String,
    pub(super) size_mib: u64,
    pub(super) source: Source,
    pub(super) distribution: Option<String>,
    pub(super) engine: Option<String>,
}

impl Entry {
    /// The image as drivers want it.
    pub(super) fn file(&self, store: &Store) -> ImageFile {
        ImageFile { path: store.disk(self), sha256: self.sha256.clone(), size_mib: self.size_mib }
    }
}

/// Makes a folder empty, with what a killed operation left in it removed.
///
/// # Errors
/// `Host`: it cannot be emptied or made.
pub(super) fn fresh_dir(dir: &Path) -> Result<()> {
    sweep(dir)?;
    private_dir(dir)
}

/// Removes a folder and all in it, if it is there.
///
/// # Errors
/// `Host`: it cannot be removed, or something is mounted in it, which would be emptied
/// as well.
pub(super) fn sweep(dir: &Path) -> Result<()> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    if let Some(mount) = mounted_below(&mounts, dir) {
        return Err(Error::host("a file system is mounted where leftovers are to be removed")
            .with("mount", &mount)
            .hint(format!("unmount it: `umount {}`", fleet_driver::text::sh(&mount))));
    }
    match std::fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(trouble("could not remove the leftovers of an earlier run", dir, e))
        }
        _ => Ok(()),
    }
}

/// The first mount point at or below `dir`, in lines of `/proc/self/mounts` (see
/// `proc(5)`: the second field, with spaces and the like as octal escapes).
fn mounted_below(mounts: &str, dir: &Path) -> Option<String> {
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    let points = points.map(|point| {
        point
            .replace("\\040", " ")
            .replace("\\011", "\t")
            .replace("\\012", "\n")
            .replace("\\134", "\\")
    });
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    points.into_iter().find(|point| Path::new(point).starts_with(&dir))
}

/// The time of last change, nanoseconds since 1970.
pub(super) fn modified(found: &std::fs::Metadata) -> u128 {
    found
        .modified()
        .ok()
        .and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok())
        .map_or(0, |since| since.as_nanos())
}

/// An error of the file system at `path`.
pub(super) fn trouble(
    message: &str,
    path: &Path,
    cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    Error::host(message).with("file", path.display()).because(cause)
}

fn disk_name(sha256: &str) -> String {
    format!("disk-{}.qcow2", &sha256[..sha256.len().min(16)])
}

fn now() -> String {
    let now = time::OffsetDateTime::now_utc();
    let now = now.replace_nanosecond(0).unwrap_or(now);
    now.format(&time::format_description::well_known::Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_in_the_way_is_seen() {
        let mounts = "sysfs /sys sysfs rw 0 0\nx /cache/a\\040b/build/dev devtmpfs rw 0 0\n";
        let below = |dir| mounted_below(mounts, Path::new(dir));
        assert_eq!(below("/cache/a b/build").as_deref(), Some("/cache/a b/build/dev"));
        assert_eq!(below("/cache/a b/build/de"), None);
        assert_eq!(below("/cache/a"), None);
    }
}
