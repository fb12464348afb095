//! The contract on libvirt's own stand-in: the real library, and a hypervisor that is a
//! state machine in it. It needs no daemon.
//!
//! The stand-in cannot carry the bytes of volumes, so those are kept here.

#![cfg(feature = "native")]
#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fleet_driver::conformance::{Cut, Fixture};
use fleet_driver::{
    Driver, Error, ImageFile, LabNic, MachineId, Result, Settings, VmSpec, conformance,
};
use fleet_libvirt::native::{Content, Libvirt, Links};
use tempfile::TempDir;
use virt::connect::Connect;
use virt::storage_vol::StorageVol;

const NODE: &str = "<node><cpu><mhz>3000</mhz><model>x</model><active>8</active><nodes>1</nodes>\
    <sockets>1</sockets><cores>8</cores><threads>1</threads></cpu><memory>33554432</memory>\
    <pool type='dir'><name>default</name><target><path>/default</path></target></pool></node>";

/// The bytes of volumes, by their paths.
#[derive(Default)]
struct Kept(Mutex<BTreeMap<String, Vec<u8>>>);

fn path(volume: &StorageVol) -> Result<String> {
    volume.path().map_err(|e| Error::driver("the volume is gone").because(e))
}

impl Content for Kept {
    fn write(
        &self,
        _: &Connect,
        volume: &StorageVol,
        at: u64,
        length: u64,
        next: &mut dyn FnMut(&mut [u8]) -> Result<usize>,
    ) -> Result<()> {
        let (path, mut at) = (path(volume)?, at as usize);
        let end = at + length as usize;
        let mut buffer = vec![0; 4096];
        while at < end {
            let got = next(&mut buffer)?;
            let mut kept = self.0.lock().unwrap();
            let bytes = kept.entry(path.clone()).or_default();
            bytes.resize(bytes.len().max(at + got), 0);
            bytes[at..at + got].copy_from_slice(&buffer[..got]);
            at += got;
        }
        Ok(())
    }

    fn read(
        &self,
        _: &Connect,
        volume: &StorageVol,
        at: u64,
        length: u64,
        take: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let kept = self.0.lock().unwrap().get(&path(volume)?).cloned().unwrap_or_default();
        let from = kept.len().min(at as usize);
        let to = if length == 0 { kept.len() } else { kept.len().min(from + length as usize) };
        take(&kept[from..to])
    }
}

struct Stand {
    folder: TempDir,
    uri: String,
    links: Arc<Links>,
}

impl Stand {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let node = folder.path().join("node.xml");
        fs::write(&node, NODE).unwrap();
        for name in ["one", "two"] {
            let mut bytes = b"QFI\xfb".to_vec();
            bytes.resize(10_000, name.as_bytes()[0]);
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        let uri = format!("test://{}", node.display());
        // Its hypervisor lives as long as the connection does.
        let links = Arc::new(Links::with_content(Arc::new(Kept::default())));
        Self { folder, uri, links }
    }

    fn image(&self, name: &str) -> ImageFile {
        let digit = if name == "one" { "a" } else { "b" };
        ImageFile { path: self.folder.path().join(name), sha256: digit.repeat(64), size_mib: 1 }
    }
}

impl Fixture for Stand {
    fn driver(&self) -> Arc<dyn Driver> {
        let settings = Settings {
            driver: toml::Table::from_iter([("uri".to_owned(), self.uri.clone().into())]),
            machines: Vec::new(),
            cache: self.folder.path().join("cache"),
        };
        Arc::new(Libvirt::on(settings, self.links.clone()))
    }

    fn spec(&self, n: u8) -> VmSpec {
        VmSpec {
            cpus: 1,
            memory_mib: 64,
            disk_mib: 16,
            image: self.image("one"),
            lab: LabNic { address: Ipv4Addr::new(10, 77, 0, 10 + n), prefix: 24 },
            internet: false,
            forwards: Vec::new(),
            seed: Vec::new(),
            apart: None,
            mark: BTreeMap::new(),
            options: toml::Table::from_iter([("uri".to_owned(), self.uri.clone().into())]),
        }
    }

    fn other_image(&self) -> ImageFile {
        self.image("two")
    }

    fn cuts(&self) -> Vec<Cut> {
        let times = [1, 5, 20, 60].map(|ms| Cut::After(Duration::from_millis(ms)));
        [Cut::Polls(1), Cut::Polls(2)].into_iter().chain(times).collect()
    }

    fn obedient(&self, _: &MachineId, spec: VmSpec) -> Option<VmSpec> {
        Some(spec)
    }

    fn skips(&self) -> Vec<(&'static str, &'static str)> {
        let drive = "the stand-in has no way to change a drive";
        let size = "the stand-in has no way to resize a volume";
        vec![
            ("unseed_of_a_stopped_machine", drive),
            ("unseed_of_a_running_machine", drive),
            ("dropped_unseed", drive),
            ("a_seed_stays_as_it_is", drive),
            ("a_stopped_machine_is_resized", size),
            ("a_running_machine_is_resized_when_off", size),
            ("a_disk_only_grows", size),
        ]
    }
}

conformance!(Stand::new());
