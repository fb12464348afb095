//! The contract, on the real thing: QEMU under emulation with a guest of 512 bytes.

use std::fs::{self, File};
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use fleet_driver::conformance::Fixture;
use fleet_driver::{
    Answer, Cx, Driver, Error, ImageFile, LabNic, MachineId, VmSpec, conformance, wait,
};
use fleet_qemu::Qemu;
use tempfile::TempDir;

/// Says that it is there and switches itself off at the press of the power button;
/// its source is beside it.
const BUTTON: &[u8; 512] = include_bytes!("guest/button.bin");
const UP: &str = "fleet: the guest is up";

struct Stand {
    folder: TempDir,
    /// The suite uses the same ids in every test, and ids name real processes.
    _alone: File,
}

impl Stand {
    /// A stand-in, or none where QEMU is not installed and nobody insists on it.
    fn new() -> Option<Self> {
        if Command::new("qemu-system-x86_64").arg("--version").output().is_err() {
            assert!(std::env::var_os("CI").is_none(), "qemu-system-x86_64 is not installed");
            let text = "SKIPPED: qemu-system-x86_64 is not installed\n";
            std::io::stderr().write_all(text.as_bytes()).expect("stderr is open");
            return None;
        }
        let alone = File::create(std::env::temp_dir().join("fleet-qemu-conformance.lock")).unwrap();
        alone.lock().unwrap();
        let stand = Self { folder: tempfile::tempdir().unwrap(), _alone: alone };
        stand.image("button", BUTTON);
        stand.image("deaf", &[0; 512]);
        Some(stand)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.qcow2"))
    }

    fn image(&self, name: &str, boot: &[u8; 512]) {
        let raw = self.folder.path().join(format!("{name}.raw"));
        let mut disk = boot.to_vec();
        disk.resize(1 << 20, 0);
        fs::write(&raw, disk).unwrap();
        let made = Command::new("qemu-img")
            .args(["convert", "-f", "raw", "-O", "qcow2"])
            .args([&raw, &self.path(name)])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    fn image_file(&self, name: &str, digit: &str) -> ImageFile {
        ImageFile { path: self.path(name), sha256: digit.repeat(64), size_mib: 1 }
    }
}

impl Fixture for Stand {
    fn driver(&self) -> Arc<dyn Driver> {
        Arc::new(Qemu::new(self.folder.path().join("cache")))
    }

    fn spec(&self, n: u8) -> VmSpec {
        let mut options = toml::Table::new();
        options.insert("accel".to_owned(), "tcg".into());
        VmSpec {
            cpus: 1,
            memory_mib: 32,
            disk_mib: 16,
            image: self.image_file("button", "a"),
            lab: LabNic { address: Ipv4Addr::new(10, 77, 0, 10 + n), prefix: 24 },
            internet: false,
            forwards: Vec::new(),
            seed: Vec::new(),
            options,
        }
    }

    fn other_image(&self) -> ImageFile {
        self.image_file("deaf", "b")
    }

    fn deaf(&self, _: &MachineId, mut spec: VmSpec) -> Option<VmSpec> {
        spec.image = self.image_file("deaf", "b");
        Some(spec)
    }

    fn awake<'a>(&'a self, id: &'a MachineId, cx: &'a Cx) -> Answer<'a, ()> {
        Box::pin(async move {
            let sighting = self.driver().inspect(id, cx).await?;
            let console = sighting.and_then(|seen| seen.console).expect("QEMU keeps a console");
            wait::until(cx, "the guest", "", || async {
                let log = fs::read_to_string(&console.log).unwrap_or_default();
                if log.contains(UP) { Ok(()) } else { Err(Error::busy("it says nothing yet")) }
            })
            .await
        })
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(120)
    }
}

conformance!(match Stand::new() {
    Some(stand) => stand,
    None => return,
});
