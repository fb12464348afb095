//! What is remembered of a machine in its folder before anything is made elsewhere.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

use fleet_driver::{Cx, Error, MachineId, Result};
use serde::{Deserialize, Serialize};

/// The file's name.
const FILE: &str = "libvirt.json";

/// Where a machine is being made, or was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Which hypervisor.
    pub uri: String,
    /// Which storage pool.
    pub pool: String,
    /// The host's name, where there are several.
    pub host: Option<String>,
    /// What it takes of the host's memory, in MiB.
    pub memory_mib: u64,
    /// What it takes of its processors.
    pub cpus: u32,
    /// The word that keeps machines apart.
    pub apart: Option<String>,
    /// SHA-256 of its image.
    pub image: String,
    /// Whether the image stays when the machine goes.
    pub keep_image: bool,
}

impl Memory {
    /// Reads what is remembered; none if nothing is.
    ///
    /// # Errors
    /// `Host`, if the file cannot be read.
    pub fn read(id: &MachineId, cx: &Cx) -> Result<Option<Self>> {
        cx.check_scratch(id)?;
        Self::at(&cx.scratch(id).join(FILE))
    }

    fn at(path: &Path) -> Result<Option<Self>> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(e) if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&e.kind()) => {
                return Ok(None);
            }
            Err(e) => return Err(failed("read", path, e)),
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|e| failed("understand", path, e))
    }

    /// Writes it down, whole or not at all.
    ///
    /// # Errors
    /// `Host`, if it cannot be written.
    pub fn write(&self, id: &MachineId, cx: &Cx) -> Result<()> {
        let folder = cx.make_scratch(id)?;
        let (path, fresh) = (folder.join(FILE), folder.join("libvirt.json.new"));
        let text = serde_json::to_vec(self).expect("plain data becomes JSON");
        let write = || {
            let mut file = File::create(&fresh)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&fresh, &path)
        };
        write().map_err(|e| failed("write", &path, e))
    }

    /// Everything that is remembered, of one fleet or of all.
    pub fn all(fleet: Option<&str>, cx: &Cx) -> Vec<(MachineId, Self)> {
        let names = |path: &Path| -> Vec<String> {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
        };
        let mut found = Vec::new();
        let fleets = names(cx.scratch_root()).into_iter();
        for name in fleets.filter(|name| fleet.is_none_or(|wanted| wanted == name)) {
            for machine in names(&cx.scratch_root().join(&name)) {
                let id = MachineId::new(&name, machine);
                if let Ok(Some(memory)) = Self::read(&id, cx) {
                    found.push((id, memory));
                }
            }
        }
        found
    }
}

/// Removes the folder of a machine with what this driver keeps in it.
///
/// # Errors
/// `Host`, if something cannot be removed.
pub fn forget(id: &MachineId, cx: &Cx) -> Result<()> {
    let folder = cx.scratch(id);
    for name in ["console.sock", "console.log", "console.log.new", "libvirt.json.new", FILE] {
        match fs::remove_file(folder.join(name)) {
            Err(e) if ![ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&e.kind()) => {
                return Err(failed("remove", &folder.join(name), e));
            }
            Ok(()) | Err(_) => {}
        }
    }
    cx.remove_scratch(id)
}

fn failed(what: &str, path: &Path, cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::host(format!("could not {what} what is known of the machine"))
        .with("file", path.display())
        .because(cause)
}

#[cfg(test)]
mod tests {
    use fleet_driver::event::Reporter;
    use tokio_util::sync::CancellationToken;

    use super::*;

    #[test]
    fn what_is_remembered_is_found_until_it_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let cx = Cx::new(dir.path(), Reporter::silent(), CancellationToken::new());
        let id = MachineId::new("lab-1", "host1");
        assert_eq!(Memory::read(&id, &cx).unwrap(), None);
        let memory = Memory {
            uri: "qemu:///system".into(),
            pool: "default".into(),
            host: None,
            memory_mib: 1024,
            cpus: 1,
            apart: None,
            image: "ab".into(),
            keep_image: false,
        };
        memory.write(&id, &cx).unwrap();
        assert_eq!(Memory::all(Some("lab-1"), &cx), [(id.clone(), memory.clone())]);
        assert_eq!(Memory::all(Some("lab-2"), &cx), []);
        assert_eq!(Memory::all(None, &cx).len(), 1);
        forget(&id, &cx).unwrap();
        forget(&id, &cx).unwrap();
        assert!(!dir.path().join("lab-1").exists());
    }
}
