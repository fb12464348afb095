//! What is kept of a fleet outside its folder: where it is, since when, and the keys to
//! its machines, so that a deleted `.fleet` loses nothing, and so that whoever looks for
//! machines that nobody needs any more knows which fleets live.
//!
//! It lies in the user's data folder, `fleets/<id>/`, for the owner only.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use fleet_driver::{Error, Result, fault};
use serde::{Deserialize, Serialize};

use super::{private_dir, remove_file, write_atomically};

const ENTRY: &str = "fleet.toml";

/// The files that lead to the machines, below `.fleet` and here alike. Certificates that
/// are being replaced lie in folders whose names begin with a point; they are not whole.
const KEY_FOLDERS: [&str; 2] = ["certs", "ssh"];
/// Lies in a folder whose keys are coming back.
const RESTORING: &str = ".restoring";

/// The folder of all that is kept.
#[derive(Debug, Clone)]
pub struct Keep {
    root: PathBuf,
}

/// What is known of a fleet without its folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The folder of its `machines.toml`.
    pub home: PathBuf,
    /// The path of its file.
    pub file: PathBuf,
    /// Its name.
    pub name: String,
    /// When its first machine was wanted, RFC 3339 in UTC.
    pub born: String,
    /// How long it may live, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u64>,
    /// Whether its file protects it, or one of its machines.
    #[serde(default)]
    pub protected: bool,
    /// The machines that are protected, or were when they left the file.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub protected_machines: BTreeSet<String>,
}

impl Keep {
    /// What is kept in the user's data folder.
    pub fn new(data: &Path) -> Self {
        Self { root: data.join("fleets") }
    }

    /// The folder of one fleet.
    pub fn dir(&self, id: &str) -> PathBuf {
        self.root.join(id)
    }

    /// What is known of a fleet; `None` if nothing is.
    ///
    /// # Errors
    /// `Host` if it cannot be read, `Conflict` if it is damaged.
    pub fn entry(&self, id: &str) -> Result<Option<Entry>> {
        let path = self.dir(id).join(ENTRY);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(unread(&path, e)),
        };
        toml::from_str(&text).map(Some).map_err(|e| {
            Error::conflict("what is known of a fleet is damaged")
                .with("file", path.display())
                .because(e)
                .hint("remove that file; the next `fleet up` of the fleet writes it again")
        })
    }

    /// All fleets of this user that are known, by id; damaged entries are left out.
    ///
    /// # Errors
    /// `Host` if the folder cannot be read.
    pub fn all(&self) -> Result<Vec<(String, Entry)>> {
        let entries = match std::fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(unread(&self.root, e)),
        };
        let ids = entries.flatten().filter_map(|e| e.file_name().into_string().ok());
        let mut all: Vec<(String, Entry)> =
            ids.filter_map(|id| Some((id.clone(), self.entry(&id).ok()??))).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(all)
    }

    /// The id under which the fleet of a folder is known.
    pub fn id_of(&self, home: &Path) -> Option<String> {
        let all = self.all().ok()?;
        let here = all.into_iter().filter(|(_, entry)| entry.home == home);
        here.max_by(|a, b| a.1.born.cmp(&b.1.born)).map(|(id, _)| id)
    }

    /// Remembers a fleet, or what has changed about it.
    ///
    /// # Errors
    /// `Host` if it cannot be written.
    pub fn remember(&self, id: &str, entry: &Entry) -> Result<()> {
        if self.entry(id).is_ok_and(|known| known.as_ref() == Some(entry)) {
            return Ok(());
        }
        private_dir(&self.dir(id))?;
        let text = toml::to_string(entry)
            .map_err(|e| Error::bug("a fleet cannot be written as TOML").because(e))?;
        write_atomically(&self.dir(id).join(ENTRY), text.as_bytes())
    }

    /// Forgets a fleet whose last machine is gone.
    ///
    /// # Errors
    /// `Host` if it cannot be removed.
    pub fn forget(&self, id: &str) -> Result<()> {
        match std::fs::remove_dir_all(self.dir(id)) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                Err(Error::host("could not forget a fleet")
                    .with("folder", self.dir(id).display())
                    .because(e))
            }
            _ => Ok(()),
        }
    }

    /// Copies the keys of a fleet from its `.fleet` to here, as far as they differ.
    ///
    /// # Errors
    /// `Host` if they cannot be read or written.
    pub fn save_keys(&self, id: &str, dot_fleet: &Path) -> Result<()> {
        for folder in KEY_FOLDERS {
            mirror(&dot_fleet.join(folder), &self.dir(id).join(folder))?;
        }
        Ok(())
    }

    /// Copies the keys of a fleet back to a `.fleet` that lost them; a folder that has
    /// any is left as it is, unless they come from a copy that was cut off. Tells whether
    /// anything came back.
    ///
    /// # Errors
    /// `Host` if they cannot be read or written.
    pub fn restore_keys(&self, id: &str, dot_fleet: &Path) -> Result<bool> {
        let mut restored = false;
        for folder in KEY_FOLDERS {
            let to = dot_fleet.join(folder);
            let begun = to.join(RESTORING);
            let kept = self.dir(id).join(folder);
            if files(&kept)?.is_empty() || !(begun.exists() || files(&to)?.is_empty()) {
                continue;
            }
            private_dir(&to)?;
            write_atomically(&begun, b"")?;
            restored |= mirror(&kept, &to)?;
            remove_file(&begun)?;
        }
        Ok(restored)
    }
}

/// The keys and certificates in a folder, which need not exist.
fn files(dir: &Path) -> Result<Vec<std::ffi::OsString>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(unread(dir, e)),
    };
    let is_key = |name: &std::ffi::OsString| {
        let name = name.to_string_lossy();
        // What OpenSSH's client reads is made again whenever something changes, and the
        // host key of a guest waits in `.fleet` only until the guest has it.
        let made_again = ["config", "known_hosts"].contains(&&*name) || name.contains(".hostkey");
        !name.starts_with('.') && !made_again
    };
    let files = entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_file()));
    Ok(files.map(|e| e.file_name()).filter(is_key).collect())
}

/// Makes the files of one folder those of another; tells whether anything was written.
fn mirror(from: &Path, to: &Path) -> Result<bool> {
    let wanted = files(from)?;
    if wanted.is_empty() {
        return Ok(false);
    }
    private_dir(to)?;
    let mut changed = false;
    for name in &wanted {
        let bytes = std::fs::read(from.join(name)).map_err(|e| unread(&from.join(name), e))?;
        if std::fs::read(to.join(name)).ok().as_ref() != Some(&bytes) {
            write_atomically(&to.join(name), &bytes)?;
            changed = true;
        }
    }
    for name in files(to)?.iter().filter(|name| !wanted.contains(name)) {
        fault::point("before-remove", &name.to_string_lossy())?;
        drop(std::fs::remove_file(to.join(name)));
    }
    Ok(changed)
}

fn unread(path: &Path, e: std::io::Error) -> Error {
    Error::host("what is known of a fleet cannot be read").with("file", path.display()).because(e)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(home: &Path, born: &str) -> Entry {
        Entry {
            home: home.to_owned(),
            file: home.join("machines.toml"),
            name: "lab".to_owned(),
            born: born.to_owned(),
            ttl: Some(28800),
            protected: false,
            protected_machines: BTreeSet::new(),
        }
    }

    #[test]
    fn a_fleet_is_found_again_by_its_folder_until_it_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let keep = Keep::new(dir.path());
        assert_eq!(keep.all().unwrap(), []);
        keep.remember("lab-1", &entry(Path::new("/a"), "2026-01-01")).unwrap();
        keep.remember("lab-2", &entry(Path::new("/b"), "2026-01-01")).unwrap();
        assert_eq!(keep.id_of(Path::new("/b")), Some("lab-2".to_owned()));
        assert_eq!(keep.entry("lab-1").unwrap().unwrap().ttl, Some(28800));
        keep.forget("lab-2").unwrap();
        keep.forget("lab-2").unwrap();
        assert_eq!(keep.id_of(Path::new("/b")), None);
        assert_eq!(keep.all().unwrap().len(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn keys_come_back_for_their_owner_only_and_never_over_others() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let keep = Keep::new(&dir.path().join("data"));
        let dot = dir.path().join(".fleet");
        let files = ["certs/ca.pem", "certs/.next/ca.pem", "ssh/id_ed25519", "ssh/config"];
        for file in files.into_iter().chain(["ssh/host1.hostkey", "ssh/host1.hostkey.pub"]) {
            private_dir(dot.join(file).parent().unwrap()).unwrap();
            write_atomically(&dot.join(file), file.as_bytes()).unwrap();
        }
        keep.save_keys("lab", &dot).unwrap();
        let kept = keep.dir("lab").join("ssh/id_ed25519");
        assert_eq!(std::fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(keep.dir("lab").join("ssh")).unwrap().count(), 1);
        assert!(!keep.restore_keys("lab", &dot).unwrap());
        std::fs::remove_dir_all(&dot).unwrap();
        assert!(keep.restore_keys("lab", &dot).unwrap());
        assert_eq!(std::fs::read_to_string(dot.join("certs/ca.pem")).unwrap(), "certs/ca.pem");
        assert!(!dot.join("certs/.next").exists());
        assert!(!dot.join("certs/.restoring").exists());
        // What is gone in the fleet goes here too, but not because all is gone there.
        std::fs::remove_file(dot.join("certs/ca.pem")).unwrap();
        keep.save_keys("lab", &dot).unwrap();
        assert!(keep.dir("lab").join("certs/ca.pem").exists());
    }
}
