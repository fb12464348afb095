//! A driver on the hypervisor that the environment names.

#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use fleet_driver::{
    Cx, Driver, Error, ImageFile, LabNic, MachineId, Result, Settings, VmSpec, wait,
};
use fleet_libvirt::native::{Libvirt, Links};
use tempfile::TempDir;

/// Says that it is there and switches itself off at the press of the power button.
const BUTTON: &[u8; 512] = include_bytes!("../../../qemu/tests/machines/guest/button.bin");
const UP: &str = "fleet: the guest is up";

/// A folder with images, and connections.
pub(crate) struct Stand {
    pub(crate) folder: TempDir,
    uri: String,
    links: Arc<Links>,
    /// Tests use the same ids, and ids name real domains.
    _alone: File,
}

impl Stand {
    /// A stand, or none where no hypervisor is named.
    pub(crate) fn new() -> Option<Self> {
        let uri = std::env::var("FLEET_TEST_LIBVIRT_URI").ok()?;
        let lock = std::env::temp_dir().join("fleet-libvirt-tests.lock");
        let alone = File::options().write(true).create(true).truncate(false).open(lock).unwrap();
        alone.lock().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let stand = Self { folder, uri, links: Arc::new(Links::default()), _alone: alone };
        stand.make_image("button", BUTTON);
        stand.make_image("deaf", &[0; 512]);
        Some(stand)
    }

    fn make_image(&self, name: &str, boot: &[u8; 512]) {
        let raw = self.folder.path().join(format!("{name}.raw"));
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

    /// A new value of the driver.
    pub(crate) fn libvirt(&self) -> Arc<dyn Driver> {
        let settings = Settings {
            driver: toml::Table::from_iter([("uri".to_owned(), self.uri.clone().into())]),
            machines: Vec::new(),
            cache: self.folder.path().join("cache"),
        };
        Arc::new(Libvirt::on(settings, self.links.clone()))
    }

    /// The image `button`, or `deaf`, which ignores the power button.
    pub(crate) fn image(&self, name: &str) -> ImageFile {
        let digit = if name == "button" { "a" } else { "b" };
        let path = self.folder.path().join(format!("{name}.qcow2"));
        // Not what another run has left on the host.
        ImageFile { path, sha256: format!("{digit}0{}", "7".repeat(62)), size_mib: 1 }
    }

    /// The spec of machine `n`.
    pub(crate) fn machine(&self, n: u8, image: ImageFile) -> VmSpec {
        let mut options = toml::Table::new();
        options.insert("type".to_owned(), "qemu".into());
        options.insert("uri".to_owned(), self.uri.clone().into());
        // Each fleet has its own subnet, and the suite's machine 2 is of another.
        VmSpec {
            cpus: 1,
            memory_mib: 64,
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

    /// Waits until a machine has printed this.
    pub(crate) async fn says(&self, id: &MachineId, what: &str, cx: &Cx) -> Result<()> {
        let driver = self.libvirt();
        wait::until(cx, what, "", || async {
            let console = driver.console(id, cx).await?.expect("the machine has a console");
            if has(&console.log, what) { Ok(()) } else { Err(Error::busy("not yet")) }
        })
        .await
    }

    /// Waits until the guest of `button` has printed its line.
    pub(crate) async fn up(&self, id: &MachineId, cx: &Cx) -> Result<()> {
        self.says(id, UP, cx).await
    }
}

fn has(log: &Path, what: &str) -> bool {
    String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).contains(what)
}
