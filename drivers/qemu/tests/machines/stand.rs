//! A driver on real QEMU under emulation, with guests of 512 bytes.

#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use fleet_driver::{Cx, Driver, Error, ImageFile, LabNic, MachineId, Result, VmSpec, wait};
use fleet_qemu::Qemu;
use tempfile::TempDir;

/// Says that it is there and switches itself off at the press of the power button;
/// the source is beside it.
const BUTTON: &[u8; 512] = include_bytes!("guest/button.bin");
pub(crate) const UP: &str = "fleet: the guest is up";

/// A folder with images, and the right to run machines.
pub(crate) struct Stand {
    folder: TempDir,
    /// Tests use the same ids, and ids name real processes.
    _alone: File,
}

impl Stand {
    /// A stand, or none where QEMU is not installed and nobody insists on it.
    pub(crate) fn new() -> Option<Self> {
        if Command::new("qemu-system-x86_64").arg("--version").output().is_err() {
            assert!(std::env::var_os("CI").is_none(), "qemu-system-x86_64 is not installed");
            let text = "SKIPPED: qemu-system-x86_64 is not installed\n";
            std::io::stderr().write_all(text.as_bytes()).expect("stderr is open");
            return None;
        }
        let lock = std::env::temp_dir().join("fleet-qemu-tests.lock");
        let alone = File::options().write(true).create(true).truncate(false).open(lock).unwrap();
        alone.lock().unwrap();
        let stand = Self { folder: tempfile::tempdir().unwrap(), _alone: alone };
        stand.make_image("button", BUTTON);
        stand.make_image("deaf", &[0; 512]);
        Some(stand)
    }

    /// The stand's folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A new value of the driver.
    pub(crate) fn qemu(&self) -> Arc<dyn Driver> {
        Arc::new(Qemu::new(self.folder().join("cache")))
    }

    fn make_image(&self, name: &str, boot: &[u8; 512]) {
        let raw = self.folder().join(format!("{name}.raw"));
        let mut disk = boot.to_vec();
        disk.resize(1 << 20, 0);
        fs::write(&raw, disk).unwrap();
        let made = Command::new("qemu-img")
            .args(["convert", "-f", "raw", "-O", "qcow2"])
            .args([&raw, &self.image(name).path])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    /// A driver and a spec as of a stand in this folder, for a process that is not to hold
    /// the stand itself.
    pub(crate) fn of_folder(folder: &Path) -> (Qemu, VmSpec) {
        (Qemu::new(folder.join("cache")), spec(1, image(folder, "button")))
    }

    /// The image `button`, or `deaf`, which ignores the power button.
    pub(crate) fn image(&self, name: &str) -> ImageFile {
        image(self.folder(), name)
    }

    /// The spec of machine `n`.
    pub(crate) fn machine(&self, n: u8) -> VmSpec {
        spec(n, self.image("button"))
    }

    /// Waits until the guest of `button` has printed its line.
    pub(crate) async fn up(&self, id: &MachineId, cx: &Cx) -> Result<()> {
        let sighting = self.qemu().inspect(id, cx).await?;
        let console = sighting.and_then(|seen| seen.console).expect("QEMU keeps a console");
        wait::until(cx, "the guest", "", || async {
            let log = fs::read_to_string(&console.log).unwrap_or_default();
            if log.contains(UP) { Ok(()) } else { Err(Error::busy("it says nothing yet")) }
        })
        .await
    }
}

fn image(folder: &Path, name: &str) -> ImageFile {
    let digit = if name == "button" { "a" } else { "b" };
    let path = folder.join(format!("{name}.qcow2"));
    ImageFile { path, sha256: digit.repeat(64), size_mib: 1 }
}

fn spec(n: u8, image: ImageFile) -> VmSpec {
    let mut options = toml::Table::new();
    options.insert("accel".to_owned(), "tcg".into());
    VmSpec {
        cpus: 1,
        memory_mib: 32,
        disk_mib: 16,
        image,
        lab: LabNic { address: Ipv4Addr::new(10, 77, 0, 10 + n), prefix: 24 },
        internet: false,
        forwards: Vec::new(),
        seed: Vec::new(),
        apart: None,
        mark: BTreeMap::new(),
        options,
    }
}
