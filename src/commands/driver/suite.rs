//! What the contract's checks need of a driver that is tested: specs, and two images.

use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fleet_driver::conformance::Fixture;
use fleet_driver::program::Program;
use fleet_driver::{Driver, Error, ImageFile, LabNic, MachineId, Result, VmSpec};
use sha2::{Digest, Sha256};

/// A driver on trial.
#[derive(Clone)]
pub(super) struct Trial {
    pub(super) tested: Tested,
    pub(super) image: ImageFile,
    pub(super) other_image: ImageFile,
    pub(super) options: toml::Table,
    pub(super) guests: Guests,
    pub(super) values: Values,
}

/// What is tested.
#[derive(Clone)]
pub(super) enum Tested {
    /// A driver of this build.
    BuiltIn(Arc<dyn Driver>),
    /// A program.
    Program(Arc<Program>),
}

/// What the guests of the image do when asked to shut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guests {
    /// They do it.
    Obey,
    /// Nobody knows.
    Unknown,
}

/// Which value of the driver a verb gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Values {
    /// The same in the whole check.
    One,
    /// A new one, with a process of its own, for each verb.
    Many,
}

impl Fixture for Trial {
    fn driver(&self) -> Arc<dyn Driver> {
        match (&self.tested, self.values) {
            (Tested::BuiltIn(driver), _) => driver.clone(),
            (Tested::Program(program), Values::One) => program.clone(),
            (Tested::Program(program), Values::Many) => Arc::new(program.again()),
        }
    }

    fn spec(&self, n: u8) -> VmSpec {
        VmSpec {
            cpus: 1,
            memory_mib: 64,
            disk_mib: self.image.size_mib.max(16),
            image: self.image.clone(),
            lab: LabNic { address: Ipv4Addr::new(10, 77, 213, 10 + n), prefix: 24 },
            internet: false,
            forwards: Vec::new(),
            seed: Vec::new(),
            mark: std::collections::BTreeMap::new(),
            apart: None,
            options: self.options.clone(),
        }
    }

    fn other_image(&self) -> ImageFile {
        self.other_image.clone()
    }

    fn obedient(&self, _: &MachineId, spec: VmSpec) -> Option<VmSpec> {
        (self.guests == Guests::Obey).then_some(spec)
    }
}

/// An image of the user's.
pub(super) fn image(path: &Path) -> Result<ImageFile> {
    let unread =
        |e| Error::host("the image cannot be read").with("file", path.display()).because(e);
    let bytes = std::fs::read(path).map_err(unread)?;
    let no_disk = || {
        Error::usage("the image is not a qcow2 file")
            .with("file", path.display())
            .hint("make one: `qemu-img convert -O qcow2 FILE disk.qcow2`")
    };
    // The header: magic, then the virtual size as the fourth field of eight bytes.
    let size = match (bytes.get(..4), bytes.get(24..32)) {
        (Some(b"QFI\xfb"), Some(size)) => u64::from_be_bytes(size.try_into().expect("8 bytes")),
        _ => return Err(no_disk()),
    };
    let path = std::path::absolute(path).map_err(unread)?;
    Ok(ImageFile { path, sha256: digest(&bytes), size_mib: size.div_ceil(1 << 20) })
}

/// An empty disk of so many MiB, written to this file.
pub(super) fn empty(path: PathBuf, size_mib: u64) -> Result<ImageFile> {
    let bytes = qcow2(size_mib);
    let written = std::fs::File::create(&path).and_then(|mut file| file.write_all(&bytes));
    written.map_err(|e| {
        Error::host("an empty image cannot be written").with("file", path.display()).because(e)
    })?;
    Ok(ImageFile { path, sha256: digest(&bytes), size_mib })
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// An empty qcow2 disk of at most 512 MiB: header, reference counts, and a first-level
/// table without entries, one cluster of 64 KiB each.
fn qcow2(size_mib: u64) -> Vec<u8> {
    const CLUSTER: usize = 1 << 16;
    let mut file = vec![0; 4 * CLUSTER];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"QFI\xfb");
    put(4, &2_u32.to_be_bytes());
    put(20, &16_u32.to_be_bytes());
    put(24, &(size_mib << 20).to_be_bytes());
    put(36, &1_u32.to_be_bytes());
    put(40, &(3 * CLUSTER as u64).to_be_bytes());
    put(48, &(CLUSTER as u64).to_be_bytes());
    put(56, &1_u32.to_be_bytes());
    put(CLUSTER, &(2 * CLUSTER as u64).to_be_bytes());
    for cluster in 0..4 {
        put(2 * CLUSTER + 2 * cluster, &1_u16.to_be_bytes());
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_images_are_good_and_differ() {
        let dir = tempfile::tempdir().unwrap();
        let one = empty(dir.path().join("one.qcow2"), 1).unwrap();
        let other = empty(dir.path().join("other.qcow2"), 2).unwrap();
        assert_ne!(one.sha256, other.sha256);
        assert_eq!(image(&other.path).unwrap(), other);
        let checked = std::process::Command::new("qemu-img").arg("check").arg(&one.path).output();
        if let Ok(checked) = checked {
            assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
        }
        std::fs::write(dir.path().join("text"), "no disk").unwrap();
        assert!(image(&dir.path().join("text")).is_err());
    }
}
