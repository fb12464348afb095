//! The lock on a fleet: held by whoever may write, with the holder's name in it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use fleet_driver::{Error, Result};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::host::computer_name;

/// The lock, given back when dropped; the operating system gives it back when the
/// process dies, so that a stale one cannot be.
#[derive(Debug)]
pub struct Lock {
    files: Vec<File>,
}

#[derive(Serialize, Deserialize)]
struct Holder {
    pid: u32,
    host: String,
    command: String,
    /// When it was taken, RFC 3339 in UTC.
    #[serde(default)]
    since: String,
}

impl Lock {
    /// Both locks at once.
    #[must_use]
    pub(super) fn and(mut self, mut other: Self) -> Self {
        self.files.append(&mut other.files);
        self
    }

    /// Takes a lock; `command` is what the next one is told.
    ///
    /// # Errors
    /// `Conflict` with the holder if it is taken, `Host` if the file cannot be written.
    pub fn take(path: &Path, command: &str) -> Result<Self> {
        let trouble = |e: std::io::Error| {
            Error::host("could not lock the fleet").with("file", path.display()).because(e)
        };
        loop {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)
                .map_err(trouble)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(taken(&mut file)),
                Err(TryLockError::Error(e)) => return Err(trouble(e)),
            }
            // `down` removes the folder while it holds the lock: make sure that the
            // file locked is the one that others will find.
            if !same_file(&file, path) {
                continue;
            }
            let holder = Holder {
                pid: std::process::id(),
                host: computer_name(),
                command: command.to_owned(),
                since: OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default(),
            };
            let text = serde_json::to_vec(&holder)
                .map_err(|e| Error::bug("the lock cannot be written as JSON").because(e))?;
            file.set_len(0).map_err(trouble)?;
            file.write_all(&text).map_err(trouble)?;
            return Ok(Self { files: vec![file] });
        }
    }
}

#[cfg(unix)]
fn same_file(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
fn same_file(_file: &File, path: &Path) -> bool {
    path.exists()
}

fn taken(file: &mut File) -> Error {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.read_to_string(&mut text));
    let holder: Option<Holder> = read.ok().and_then(|_| serde_json::from_str(&text).ok());
    match holder {
        Some(h) => Error::conflict(format!(
            "another fleet is at work here: `{}`, process {} on {}",
            h.command, h.pid, h.host
        ))
        .with("since", h.since),
        None => Error::conflict("another fleet is at work here"),
    }
    .hint("wait until it has ended, or stop it with Ctrl-C")
}
