//! One operation on an image at a time, whoever starts it.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use fleet_driver::event::EventKind;
use fleet_driver::wait::until;
use fleet_driver::{Cx, Error, Level, Result};

use super::store::{Store, trouble};
use crate::state::private_dir;

/// The lock on one image; the operating system gives it back when the process dies.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

/// Takes the lock of the image, waiting for whoever holds it.
///
/// # Errors
/// `Host`: the file cannot be locked; `Driver` when it is still held at the deadline
/// of the context; `Interrupted`.
pub(super) async fn take(store: &Store, name: &str, cx: &Cx) -> Result<Lock> {
    let path = store.lock_file(name);
    private_dir(path.parent().unwrap_or(store.root()))?;
    if let Some(lock) = attempt(&path)? {
        return Ok(lock);
    }
    cx.report(EventKind::Note {
        level: Level::Info,
        text: format!("Another fleet is at work on the image `{name}`; waiting for it."),
    });
    until(
        cx,
        &format!("another fleet to finish the image `{name}`"),
        "look for another `fleet` in the list of processes",
        || async { attempt(&path)?.ok_or_else(|| Error::busy("the image is locked")) },
    )
    .await
}

fn attempt(path: &Path) -> Result<Option<Lock>> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(|e| trouble("could not lock an image", path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Lock { _file: file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(e)) => Err(trouble("could not lock an image", path, e)),
    }
}
