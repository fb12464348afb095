//! One folder a machine: which files are in it, whose it is, and how it is written.
//!
//! `owner.json` is there before anything else and goes last, so that a half-made
//! machine can be told from a stranger's folder. `machine.json` is what makes a machine
//! exist: `create` writes it last and `destroy` removes it first, so that it never
//! speaks of a disk that is not there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use fleet_driver::{Cx, Error, MachineId, Result, fault};
use serde::{Deserialize, Serialize};

use crate::machine::Machine;

/// The root disk, an overlay of the base image.
pub(crate) const DISK: &str = "disk.qcow2";
/// The first-boot seed, while it is there.
pub(crate) const SEED: &str = "seed.iso";
/// All that the serial console has printed.
pub(crate) const CONSOLE: &str = "console.log";
/// The control socket.
pub(crate) const QMP: &str = "qmp.sock";
/// The serial console.
pub(crate) const SERIAL: &str = "serial.sock";
/// The process id, written by QEMU.
pub(crate) const PID: &str = "pid";

const OWNER: &str = "owner.json";
/// What makes a machine exist.
pub(crate) const DESCRIPTION: &str = "machine.json";

#[derive(PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    driver: String,
    fleet: String,
    machine: String,
}

impl Owner {
    fn of(id: &MachineId) -> Self {
        Self {
            driver: "qemu".to_owned(),
            fleet: id.fleet().to_owned(),
            machine: id.machine().to_owned(),
        }
    }
}

/// The folder of one machine.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    path: PathBuf,
    id: MachineId,
}

/// What is in a folder.
pub(crate) enum Content {
    /// Nothing, or there is no folder.
    Nothing,
    /// Something that is not this machine.
    Foreign,
    /// A machine of which `create` or `destroy` was interrupted.
    Half,
    /// A machine.
    Whole(Box<Machine>),
}

impl Folder {
    /// The folder of `id`, which need not exist.
    pub(crate) fn new(id: &MachineId, cx: &Cx) -> Self {
        Self { path: cx.scratch(id), id: id.clone() }
    }

    /// Whose it is.
    pub(crate) fn id(&self) -> &MachineId {
        &self.id
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Looks what is in it.
    ///
    /// # Errors
    /// `Host` if it cannot be read, `Conflict` if the description cannot be.
    pub(crate) fn content(&self) -> Result<Content> {
        match read(&self.file(OWNER))? {
            Some(bytes) => match serde_json::from_slice::<Owner>(&bytes) {
                Ok(owner) if owner == Owner::of(&self.id) => {}
                _ => return Ok(Content::Foreign),
            },
            None if self.is_empty()? => return Ok(Content::Nothing),
            None => return Ok(Content::Foreign),
        }
        match read(&self.file(DESCRIPTION))? {
            Some(bytes) => {
                let machine = Machine::parse(&bytes).map_err(|e| e.with("folder", self.shown()))?;
                Ok(Content::Whole(Box::new(machine)))
            }
            None => Ok(Content::Half),
        }
    }

    /// The description of the machine.
    ///
    /// # Errors
    /// `NotFound` if there is none, else as [`Folder::content`].
    pub(crate) fn machine(&self) -> Result<Machine> {
        match self.content()? {
            Content::Whole(machine) => Ok(*machine),
            Content::Nothing | Content::Foreign => {
                Err(Error::not_found("the machine does not exist").hint("`fleet up` makes it"))
            }
            Content::Half => Err(Error::not_found("the machine is only half made")
                .hint("`fleet up` finishes it, `fleet down` removes it")),
        }
    }

    /// Makes the folder and marks it.
    ///
    /// # Errors
    /// `Conflict` if it holds something else; `Host` if it cannot be made.
    pub(crate) fn make(&self, cx: &Cx) -> Result<()> {
        if matches!(self.content()?, Content::Foreign) {
            return Err(self.foreign());
        }
        cx.make_scratch(&self.id)?;
        self.write(OWNER, &to_json(&Owner::of(&self.id)))
    }

    /// Forgets the description: what is left is a half-made machine.
    ///
    /// # Errors
    /// `Host` if it cannot be removed.
    pub(crate) fn undo(&self) -> Result<()> {
        self.remove_file(DESCRIPTION)
    }

    /// Writes the description.
    ///
    /// # Errors
    /// `Host` if it cannot be written.
    pub(crate) fn save(&self, machine: &Machine) -> Result<()> {
        self.write(DESCRIPTION, &machine.to_bytes())
    }

    /// Writes a file that only this user can read, wholly or not at all.
    ///
    /// # Errors
    /// `Host` if it cannot be written.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        write_atomically(&self.file(name), bytes)
    }

    /// Removes a file that may be absent, for good, and what an interrupted write of it
    /// left.
    ///
    /// # Errors
    /// `Host` if it cannot be removed.
    pub(crate) fn remove_file(&self, name: &str) -> Result<()> {
        let path = self.file(name);
        absent_is_fine(fs::remove_file(unfinished(&path)))
            .and_then(|()| absent_is_fine(fs::remove_file(&path)))
            .and_then(|()| absent_is_fine(sync_folder(&self.path)))
            .map_err(|e| {
                Error::host("could not remove a file").with("file", path.display()).because(e)
            })
    }

    /// Removes what a process that has ended leaves behind.
    pub(crate) fn tidy(&self) -> Result<()> {
        [QMP, SERIAL, PID].iter().try_for_each(|name| self.remove_file(name))
    }

    /// Removes the folder, its description first and its mark last, and that of its fleet
    /// after the last machine; leaves a stranger's alone.
    ///
    /// # Errors
    /// `Host` if it cannot be removed.
    pub(crate) fn remove(&self, cx: &Cx) -> Result<()> {
        // A damaged description is no reason to keep a machine.
        if matches!(self.content(), Ok(Content::Foreign)) {
            return Ok(());
        }
        let empty = || -> io::Result<()> {
            absent_is_fine(fs::remove_file(self.file(DESCRIPTION)))?;
            fault::point("qemu-destroy-files", self.id.machine()).map_err(io::Error::other)?;
            let entries = match fs::read_dir(&self.path) {
                Ok(entries) => entries,
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(e) => return Err(e),
            };
            for entry in entries {
                let entry = entry?;
                if entry.file_name() == OWNER {
                    continue;
                }
                if entry.file_type()?.is_dir() {
                    fs::remove_dir_all(entry.path())?;
                } else {
                    absent_is_fine(fs::remove_file(entry.path()))?;
                }
            }
            absent_is_fine(fs::remove_file(self.file(OWNER)))
        };
        empty().map_err(|e| {
            Error::host("could not empty the machine's folder")
                .with("folder", self.shown())
                .because(e)
        })?;
        fault::point("qemu-destroy-place", self.id.machine())?;
        cx.remove_scratch(&self.id)
    }

    fn is_empty(&self) -> Result<bool> {
        is_empty(&self.path).map_err(|e| {
            Error::host("could not read the machine's folder")
                .with("folder", self.shown())
                .because(e)
        })
    }

    fn foreign(&self) -> Error {
        Error::conflict("the machine's folder holds something else")
            .with("folder", self.shown())
            .hint("if a driver other than qemu made it, `fleet down` with that driver first")
    }

    fn shown(&self) -> String {
        self.path.display().to_string()
    }
}

/// Whether a folder holds the machine `id`, or the little that the first moment of its
/// `create` leaves.
pub(crate) fn is_ours(path: &Path, id: &MachineId) -> bool {
    match fs::read(path.join(OWNER)) {
        Ok(bytes) => {
            serde_json::from_slice::<Owner>(&bytes).is_ok_and(|owner| owner == Owner::of(id))
        }
        Err(_) => path.is_dir() && is_empty(path).unwrap_or(false),
    }
}

/// Whether there is nothing in a folder; what an interrupted first write leaves is
/// nothing.
fn is_empty(path: &Path) -> io::Result<bool> {
    match fs::read_dir(path) {
        Ok(entries) => Ok(entries.flatten().all(|e| is_unfinished(&e.file_name()))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(e) => Err(e),
    }
}

/// Writes a file of mode 0600 that is either whole or as it was.
///
/// # Errors
/// `Host`, naming the file.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || -> io::Result<()> {
        let folder = path.parent().expect("the driver writes into folders");
        let unfinished = unfinished(path);
        // Not truncated but made anew: an old file might have another mode.
        absent_is_fine(fs::remove_file(&unfinished))?;
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        sync_folder(folder)
    };
    write()
        .map_err(|e| Error::host("could not write a file").with("file", path.display()).because(e))
}

const UNFINISHED: &str = ".unfinished";

/// Where a file is until it is whole.
fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.file_name().expect("the driver names its files").to_owned();
    name.push(UNFINISHED);
    path.with_file_name(name)
}

fn is_unfinished(name: &std::ffi::OsStr) -> bool {
    name.to_string_lossy().ends_with(UNFINISHED)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// A file's bytes, or `None` if there is no such file.
///
/// # Errors
/// `Host` if it cannot be read.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::host("could not read a file").with("file", path.display()).because(e)),
    }
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain data becomes JSON")
}
