//! What fleet wrote down: identity only. Hides the lock, the file's format and the
//! atomic write.

mod journal;
mod keep;
mod lock;

use std::collections::BTreeMap;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use fleet_driver::{Error, MachineId, Result, fault};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::host::identity;

pub use journal::{CutOff, Journal, cut_off};
pub use keep::{Entry, Keep};
pub use lock::Lock;

/// The version of `state.toml` that this program writes.
const FORMAT: u32 = 1;
/// How the names of files begin that are being written.
pub(crate) const UNFINISHED: &str = ".new-";

/// What fleet wrote down about one machine: never power or addresses of the host,
/// which are asked afresh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The driver that made it.
    pub driver: String,
    /// Its address on the lab network, which it keeps for life.
    pub address: Ipv4Addr,
    /// SHA-256 of its image; empty until the image was there.
    pub image_sha256: String,
    /// The account in the guest.
    pub user: String,
    /// The guest's public host key, an OpenSSH line.
    pub host_key: String,
    /// When it was first wanted, RFC 3339 in UTC.
    pub created: String,
    /// Whether the guest has answered for the first time and its seed is gone.
    pub settled: bool,
    /// Whether it was a manager of the swarm when that was last changed: of a machine that
    /// is off nobody can be asked, and it may hold the swarm.
    #[serde(default, skip_serializing_if = "is_false")]
    pub manager: bool,
    /// Whether the file protected it when it was last read; counts once the file does
    /// not name it any more.
    #[serde(default, skip_serializing_if = "is_false")]
    pub protected: bool,
    /// How often a new certificate was asked for.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cert_serial: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    id: String,
    home: PathBuf,
    #[serde(default)]
    machine: BTreeMap<String, Record>,
}

/// The records of one fleet, in the folder `.fleet` beside its `machines.toml`.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
    home: PathBuf,
    keep: Keep,
    id: Option<String>,
    records: BTreeMap<String, Record>,
}

impl Store {
    /// Reads the records of the fleet whose file is in `home`, without a lock; `keep` is
    /// what remembers the fleet if its folder is lost.
    ///
    /// # Errors
    /// `Host` if the file cannot be read, `Conflict` if it is damaged, newer than
    /// this program, or the copy of another fleet's.
    pub fn open(home: &Path, keep: &Keep) -> Result<Self> {
        let home = home.canonicalize().map_err(|e| {
            Error::host("the fleet's folder cannot be read")
                .with("folder", home.display())
                .because(e)
        })?;
        let dir = home.join(".fleet");
        let keep = keep.clone();
        let mut store = Self { dir, home, keep, id: None, records: BTreeMap::new() };
        store.reload()?;
        Ok(store)
    }

    fn path(&self) -> PathBuf {
        self.dir.join("state.toml")
    }

    fn reload(&mut self) -> Result<()> {
        let path = self.path();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                // Whoever deletes `.fleet` may have renamed the fleet before.
                self.id = self.keep.id_of(&self.home);
                self.records.clear();
                return Ok(());
            }
            Err(e) => {
                return Err(Error::host("the records cannot be read")
                    .with("file", path.display())
                    .because(e));
            }
        };
        let file: File = toml::from_str(&text).map_err(|e| {
            Error::conflict("the records are damaged or of another version of fleet")
                .with("file", path.display())
                .because(e)
                .hint("use the version of fleet that wrote them, or move `.fleet` away")
        })?;
        if file.format > FORMAT {
            return Err(Error::conflict(format!(
                "the records have format {}, this fleet knows {FORMAT}",
                file.format
            ))
            .with("file", path.display())
            .hint("use a newer fleet"));
        }
        if file.home != self.home && file.home.join(".fleet/state.toml").exists() {
            return Err(Error::conflict("`.fleet` is a copy of another fleet's")
                .with("here", self.home.display())
                .with("original", file.home.display())
                .hint("remove the copied `.fleet`; its machines belong to the original"));
        }
        self.id = Some(file.id);
        self.records = file.machine;
        Ok(())
    }

    /// The folder `.fleet`.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The folder of `machines.toml`, without symbolic links.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// What remembers the fleet outside its folder.
    pub fn keep(&self) -> &Keep {
        &self.keep
    }

    /// Whether the fleet here is the one of that id.
    ///
    /// Without records, the folder may be that of any fleet that was made in it.
    pub fn knows(&self, id: &str) -> bool {
        self.id.as_ref().is_none_or(|own| own == id)
    }

    /// Takes over the id of a fleet whose folder is gone.
    pub fn take_over(&mut self, id: &str) {
        self.id = Some(id.to_owned());
    }

    /// The fleet's id: the recorded one, else made from its name, its folder, and who and
    /// where it is, so that it is the same again after every record was lost, and another
    /// one for the same folder on another computer.
    pub fn fleet_id(&self, name: &str) -> String {
        if let Some(id) = &self.id {
            return id.clone();
        }
        let mut hash = Sha256::new_with_prefix(self.home.as_os_str().as_encoded_bytes());
        hash.update([0]);
        hash.update(identity());
        let [a, b, c, ..]: [u8; 32] = hash.finalize().into();
        format!("{name}-{a:02x}{b:02x}{c:02x}")
    }

    /// The id of one machine.
    pub fn machine_id(&self, fleet: &str, machine: &str) -> MachineId {
        MachineId::new(self.fleet_id(fleet), machine)
    }

    /// All records, by name.
    pub fn records(&self) -> &BTreeMap<String, Record> {
        &self.records
    }

    /// The record of one machine.
    pub fn record(&self, machine: &str) -> Option<&Record> {
        self.records.get(machine)
    }

    /// The addresses that machines already have.
    pub fn addresses(&self) -> BTreeMap<String, Ipv4Addr> {
        self.records.iter().map(|(name, record)| (name.clone(), record.address)).collect()
    }

    /// Takes the lock that whoever writes must hold, and reads the records again
    /// under it; `fleet` is the fleet's name.
    ///
    /// # Errors
    /// `Conflict` with the holder's pid, host and command if it is taken.
    pub fn lock(&mut self, fleet: &str, command: &str) -> Result<Lock> {
        private_dir(&self.dir)?;
        let here = Lock::take(&self.dir.join("lock"), command)?;
        // `.fleet` may be deleted while its lock is held; this one is not.
        let kept = self.keep.dir(&self.fleet_id(fleet));
        private_dir(&kept)?;
        let lock = here.and(Lock::take(&kept.join("lock"), command)?);
        for dir in [&self.dir, &kept] {
            sweep(dir);
        }
        self.reload()?;
        Ok(lock)
    }

    /// Writes down a machine, at once and atomically.
    ///
    /// # Errors
    /// `Host` if the file cannot be written.
    pub fn put(&mut self, fleet: &str, machine: &str, record: Record) -> Result<()> {
        self.id = Some(self.fleet_id(fleet));
        self.records.insert(machine.to_owned(), record);
        self.write()
    }

    /// Forgets a machine, at once and atomically.
    ///
    /// # Errors
    /// `Host` if the file cannot be written.
    pub fn forget(&mut self, machine: &str) -> Result<()> {
        if self.records.remove(machine).is_some() { self.write() } else { Ok(()) }
    }

    /// Removes the folder `.fleet`, and what was kept of the fleet elsewhere, after the
    /// last machine is gone.
    ///
    /// # Errors
    /// `Host` if it cannot be removed.
    pub fn clear(&mut self, fleet: &str) -> Result<()> {
        let id = self.fleet_id(fleet);
        self.records.clear();
        self.id = None;
        fault::point("before-forget", "fleet")?;
        self.keep.forget(&id)?;
        fault::point("before-clear", "fleet")?;
        match std::fs::remove_dir_all(&self.dir) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::host("could not remove the fleet's folder")
                    .with("folder", self.dir.display())
                    .because(e))
            }
            _ => Ok(()),
        }
    }

    fn write(&self) -> Result<()> {
        let file = File {
            format: FORMAT,
            id: self.id.clone().unwrap_or_default(),
            home: self.home.clone(),
            machine: self.records.clone(),
        };
        let text = toml::to_string(&file)
            .map_err(|e| Error::bug("the records cannot be written as TOML").because(e))?;
        // It may have been deleted while a run was going on.
        private_dir(&self.dir)?;
        write_atomically(&self.path(), text.as_bytes())
    }
}

/// Removes what a killed run was about to write, which may be a key; the lock is held.
fn sweep(dir: &Path) {
    for folder in [dir.to_owned(), dir.join("certs"), dir.join("ssh")] {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                // What stays does no more harm than before.
                drop(std::fs::remove_file(entry.path()));
            }
        }
    }
}

/// Makes a folder, readable by its owner only, where it is missing.
///
/// # Errors
/// `Host` with the folder and the cause.
pub fn private_dir(dir: &Path) -> Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(|e| {
        Error::host("could not make a folder").with("folder", dir.display()).because(e)
    })
}

/// Removes a file that may be absent.
///
/// # Errors
/// `Host` with the file and the cause.
pub fn remove_file(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::host("could not remove a file").with("file", path.display()).because(e))
        }
        _ => Ok(()),
    }
}

/// Writes a file so that it is there whole or not at all, readable by its owner
/// only: a new file, flushed to the disk, renamed over the old one, and the rename
/// flushed too.
///
/// # Errors
/// `Host` with the file and the cause, such as a full disk; the old file stays.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    fault::point("before-write", &name)?;
    let attempt = || -> std::io::Result<()> {
        let dir = path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(dir)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        fault::point("before-rename", &name).map_err(std::io::Error::other)?;
        file.persist(path).map_err(|e| e.error)?;
        std::fs::File::open(dir)?.sync_all()
    };
    attempt().map_err(|e| {
        Error::host("could not write a file")
            .with("file", path.display())
            .because(e)
            .hint("is the disk full, or the folder read-only?")
    })?;
    fault::point("after-write", &name)
}

#[cfg(test)]
mod tests;
