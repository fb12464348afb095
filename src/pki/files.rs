//! The folder of certificates: private from the first byte, and several files changed
//! as one.
//!
//! # Why
//! A certificate and its key are good only together. So new files are written to a
//! folder of their own; giving that folder its last name is the moment of change; then
//! the files move to their places. Readers look into that folder first, so that they see
//! either all of a change or nothing of it, whenever its writer was killed.
//!
//! Docker clients know nothing of this: to them, the key and the certificate change one
//! right after the other.

use std::io::{ErrorKind, Write};
use std::path::Path;

use fleet_driver::{Error, Result, Secret, fault};

use super::{CA_CROSS_FILE, CA_FILE, CA_KEY_FILE, CA_OLD_FILE, CERT_FILE, KEY_FILE};

/// What a killed run was about to write; counts for nothing.
const TEMPORARY: &str = ".tmp-";
/// The files of a change that is being prepared.
const STAGED: &str = ".tmp-next";
/// The files of a change that counts; an empty one stands for a file to be removed.
const NEXT: &str = ".next";

/// In the order of moving: Docker clients get their certificate while the authorities
/// of before and after are trusted still.
const ORDER: [&str; 6] = [KEY_FILE, CERT_FILE, CA_FILE, CA_KEY_FILE, CA_OLD_FILE, CA_CROSS_FILE];

/// More changes than that do not happen while somebody reads.
const READS: usize = 8;

/// The texts of the files that are there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) ca: Option<String>,
    pub(super) ca_old: Option<String>,
    pub(super) ca_cross: Option<String>,
    pub(super) ca_key: Option<Secret<String>>,
    pub(super) cert: Option<String>,
    pub(super) key: Option<Secret<String>>,
}

/// One file of a change.
pub(super) enum Change<'a> {
    /// It gets this text.
    Write(&'a str),
    /// It goes.
    Remove,
}

/// Reads the files as they were at one moment.
pub(super) fn read(dir: &Path) -> Result<Contents> {
    settled(|| read_each(dir))
}

/// Looks until it sees the same twice: no lock is held, but that was not in the middle
/// of a change.
pub(super) fn settled<T: PartialEq>(mut look: impl FnMut() -> Result<T>) -> Result<T> {
    let mut before = look()?;
    for _ in 0..READS {
        let again = look()?;
        if again == before {
            break;
        }
        before = again;
    }
    Ok(before)
}

fn read_each(dir: &Path) -> Result<Contents> {
    Ok(Contents {
        ca: read_one(dir, CA_FILE)?,
        ca_old: read_one(dir, CA_OLD_FILE)?,
        ca_cross: read_one(dir, CA_CROSS_FILE)?,
        ca_key: read_one(dir, CA_KEY_FILE)?.map(Secret::new),
        cert: read_one(dir, CERT_FILE)?,
        key: read_one(dir, KEY_FILE)?.map(Secret::new),
    })
}

fn read_one(dir: &Path, name: &str) -> Result<Option<String>> {
    for path in [dir.join(NEXT).join(name), dir.join(name)] {
        match std::fs::read_to_string(&path) {
            Ok(text) if text.is_empty() && path.parent() != Some(dir) => return Ok(None),
            Ok(text) => return Ok(Some(text)),
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) if e.kind() == ErrorKind::InvalidData => {
                return Err(damaged(dir, name, "is not a text file"));
            }
            Err(e) => {
                return Err(Error::host(format!("could not read `{name}`"))
                    .with("file", path.display())
                    .because(e));
            }
        }
    }
    Ok(None)
}

/// Makes the folder, readable by its owner only, and brings what a killed run left to
/// its end: a change that counts is finished, any other is dropped.
pub(super) fn prepare(dir: &Path) -> Result<()> {
    make_dir(dir).map_err(|e| {
        Error::host("could not make the folder of certificates")
            .with("folder", dir.display())
            .because(e)
    })?;
    finish(dir).map_err(|e| unwritten(dir, e))?;
    sweep(dir);
    Ok(())
}

/// Changes files of the folder, all of them or none.
///
/// The caller holds the lock of the fleet and has called [`prepare`].
pub(super) fn change(dir: &Path, changes: &[(&str, Change<'_>)]) -> Result<()> {
    stage(dir, changes).and_then(|()| finish(dir)).map_err(|e| unwritten(dir, e))
}

fn stage(dir: &Path, changes: &[(&str, Change<'_>)]) -> std::io::Result<()> {
    let staged = dir.join(STAGED);
    step()?;
    make_dir(&staged)?;
    for (name, change) in changes {
        step()?;
        let mut file = private().open(staged.join(name))?;
        if let Change::Write(text) = change {
            let (half, rest) = text.as_bytes().split_at(text.len() / 2);
            file.write_all(half)?;
            step()?;
            file.write_all(rest)?;
        }
        file.sync_all()?;
    }
    sync(&staged)?;
    step()?;
    std::fs::rename(&staged, dir.join(NEXT))?;
    sync(dir)
}

/// Moves the files of a change that counts to their places.
fn finish(dir: &Path) -> std::io::Result<()> {
    let next = dir.join(NEXT);
    if !next.exists() {
        return Ok(());
    }
    for name in ORDER {
        let from = next.join(name);
        let length = match std::fs::metadata(&from) {
            Ok(found) => found.len(),
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        step()?;
        if length > 0 {
            std::fs::rename(&from, dir.join(name))?;
            continue;
        }
        match std::fs::remove_file(dir.join(name)) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        step()?;
        std::fs::remove_file(&from)?;
    }
    sync(dir)?;
    step()?;
    // Nothing of fleet's is in there any more.
    std::fs::remove_dir_all(&next)?;
    sync(dir)
}

/// Removes what counts for nothing, which may be a key.
fn sweep(dir: &Path) {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            // A leftover that stays is no worse than before.
            let path = entry.path();
            drop(if path.is_dir() {
                std::fs::remove_dir_all(path)
            } else {
                std::fs::remove_file(path)
            });
        }
    }
}

fn make_dir(dir: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
        builder.mode(0o700).create(dir)?;
        // It may have been there with wider permissions.
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))
    }
    #[cfg(not(unix))]
    builder.create(dir)
}

fn private() -> std::fs::OpenOptions {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes names durable; where folders cannot be flushed, the system does it by itself.
#[cfg_attr(not(unix), expect(clippy::unnecessary_wraps, reason = "it may fail elsewhere"))]
fn sync(dir: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    std::fs::File::open(dir)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = dir;
    Ok(())
}

/// Stands before each operation; tests let a run die here.
fn step() -> std::io::Result<()> {
    #[cfg(test)]
    super::tests::fuse::step()?;
    fault::point("change", "certs").map_err(std::io::Error::other)
}

fn unwritten(dir: &Path, e: std::io::Error) -> Error {
    Error::host("could not write the fleet's certificates").with("folder", dir.display()).because(e)
}

/// A file that is not what it should be.
pub(super) fn damaged(dir: &Path, name: &str, what: &str) -> Error {
    Error::conflict(format!("`{name}` of the fleet's certificates {what}"))
        .with("file", dir.join(name).display())
        .hint(remedy(dir))
}

/// A file that should be there.
pub(super) fn missing(dir: &Path, name: &str) -> Error {
    Error::conflict(format!("`{name}` is missing from the fleet's certificates"))
        .with("file", dir.join(name).display())
        .hint(remedy(dir))
}

/// What helps against every damage.
fn remedy(dir: &Path) -> String {
    format!(
        "put the file back from a backup, or remove the folder {} and run `fleet up`, which \
         makes new certificates and secures the engines again",
        fleet_driver::text::sh(&dir.display().to_string())
    )
}
