//! Lets a run die before any of its file operations.

use std::cell::Cell;
use std::io;

thread_local! {
    /// How many operations are left; `None` without end.
    static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Counts one operation, or fails as if the program had ended.
pub(in crate::pki) fn step() -> io::Result<()> {
    match LEFT.get() {
        None => Ok(()),
        Some(0) => Err(io::Error::other("killed")),
        Some(left) => {
            LEFT.set(Some(left - 1));
            Ok(())
        }
    }
}

/// Runs something that is killed after `operations`; gives `None` if it was.
pub(super) fn after<T>(
    operations: usize,
    run: impl FnOnce() -> crate::pki::Result<T>,
) -> Option<T> {
    LEFT.set(Some(operations));
    let result = run();
    LEFT.set(None);
    match result {
        Ok(value) => Some(value),
        Err(error) if error.causes() == ["killed"] => None,
        Err(error) => panic!("it failed by itself: {error}"),
    }
}
