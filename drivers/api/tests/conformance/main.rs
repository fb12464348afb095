//! The fake driver keeps the contract; broken ones are caught.

mod mutants;
mod on_disk;

use std::net::Ipv4Addr;
use std::sync::Arc;

use fleet_driver::conformance::Fixture;
use fleet_driver::fake::Fake;
use fleet_driver::{Driver, ImageFile, LabNic, MachineId, Secret, VmSpec};

/// The fake driver on itself.
struct Itself {
    fake: Fake,
}

fn image(name: &str) -> ImageFile {
    ImageFile { path: format!("/images/{name}").into(), sha256: name.repeat(8), size_mib: 1024 }
}

/// The spec of machine `n`.
fn spec(n: u8) -> VmSpec {
    VmSpec {
        cpus: 1,
        memory_mib: 256,
        disk_mib: 2048,
        image: image("0123abcd"),
        lab: LabNic { address: Ipv4Addr::new(10, 77, 0, n), prefix: 24 },
        internet: false,
        forwards: Vec::new(),
        seed: vec![("meta-data".to_owned(), Secret::new(b"{}".to_vec()))],
        mark: std::collections::BTreeMap::new(),
        apart: None,
        options: toml::toml! { speed = "slow" },
    }
}

impl Fixture for Itself {
    fn driver(&self) -> Arc<dyn Driver> {
        Arc::new(self.fake.clone())
    }

    fn spec(&self, n: u8) -> VmSpec {
        spec(n)
    }

    fn other_image(&self) -> ImageFile {
        image("ffff0000")
    }

    fn bad_option(&self) -> (String, toml::Value) {
        ("speed".to_owned(), "medium".into())
    }

    fn deaf(&self, id: &MachineId, spec: VmSpec) -> Option<VmSpec> {
        self.fake.deaf(id.machine());
        Some(spec)
    }
}

fleet_driver::conformance!(Itself { fake: Fake::new() });
