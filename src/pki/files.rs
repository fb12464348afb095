//! The folder of certificates: private from the first byte, whole after a kill.

use std::io::Write;
use std::path::Path;

use fleet_driver::{Error, Result};

const TEMPORARY: &str = ".tmp-";

/// Removes what a killed run was about to write, which may be a key.
pub(super) fn sweep(dir: &Path) {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            // A leftover that stays is no worse than before.
            drop(std::fs::remove_file(entry.path()));
        }
    }
}

/// Makes the folder, readable by its owner only.
pub(super) fn make_dir(dir: &Path) -> Result<()> {
    let failed = |e| {
        Error::host("could not make the folder of certificates")
            .with("folder", dir.display())
            .because(e)
    };
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
        builder.mode(0o700).create(dir).map_err(failed)?;
        // It may have been there with wider permissions.
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700)).map_err(failed)
    }
    #[cfg(not(unix))]
    builder.create(dir).map_err(failed)
}

/// Writes a file whole or not at all, readable by its owner only.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |e: std::io::Error| {
        Error::host("could not write a certificate file").with("file", path.display()).because(e)
    };
    let dir = path.parent().unwrap_or(Path::new("."));
    // A temporary file is made with mode 0600, and keeps it.
    let mut file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(dir).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    file.persist(path).map_err(|e| failed(e.error))?;
    #[cfg(unix)]
    std::fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)?;
    Ok(())
}

/// Reads a file of the folder.
pub(super) fn read(dir: &Path, name: &str) -> Result<String> {
    let path = dir.join(name);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(text),
        Err(e) if e.kind() == std::io::ErrorKind::InvalidData => {
            Err(damaged(dir, name, "is not a text file"))
        }
        Err(e) => Err(Error::host(format!("could not read `{name}`"))
            .with("file", path.display())
            .because(e)),
    }
}

/// A file that is not what it should be.
pub(super) fn damaged(dir: &Path, name: &str, what: &str) -> Error {
    Error::conflict(format!("`{name}` of the fleet's certificates {what}"))
        .with("file", dir.join(name).display())
        .hint(remedy(dir))
}

/// What helps against every damage.
pub(super) fn remedy(dir: &Path) -> String {
    format!(
        "put the file back from a backup, or remove the folder {} and run `fleet up`, which \
         makes new certificates and secures the engines again",
        fleet_driver::text::sh(&dir.display().to_string())
    )
}
