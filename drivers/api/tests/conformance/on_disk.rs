//! The fake driver whose machines live in a file: every verb is that of a new driver, as
//! of a process that has just begun.

use std::sync::Arc;

use fleet_driver::conformance::Fixture;
use fleet_driver::fake::Fake;
use fleet_driver::{Cx, Driver, ImageFile, MachineId, Power, VmSpec};

struct OnDisk {
    dir: tempfile::TempDir,
}

impl OnDisk {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a temporary folder can be made") }
    }
}

impl Fixture for OnDisk {
    fn driver(&self) -> Arc<dyn Driver> {
        Arc::new(Fake::on(self.dir.path()))
    }

    fn spec(&self, n: u8) -> VmSpec {
        super::spec(n)
    }

    fn other_image(&self) -> ImageFile {
        super::image("ffff0000")
    }

    fn bad_option(&self) -> (String, toml::Value) {
        ("speed".to_owned(), "medium".into())
    }

    fn deaf(&self, id: &MachineId, spec: VmSpec) -> Option<VmSpec> {
        Fake::on(self.dir.path()).deaf(id.machine());
        Some(spec)
    }
}

fleet_driver::conformance!(OnDisk::new());

#[tokio::test]
async fn incarnations_and_boots_are_counted_across_processes() {
    let dir = tempfile::tempdir().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let cx = Cx::new(
        scratch.path(),
        fleet_driver::event::Reporter::silent(),
        tokio_util::sync::CancellationToken::new(),
    );
    let id = MachineId::new("lab-1", "host1");
    let one = Fake::on(dir.path());
    one.create(&id, &super::spec(1), &cx).await.unwrap();
    let other = Fake::on(dir.path());
    other.start(&id, &cx).await.unwrap();
    let seen = &one.standing()[0];
    assert_eq!((seen.incarnation, seen.boots, seen.seeded), (1, 1, true));
    assert_eq!(seen.spec.seed.len(), 1, "a guest finds its seed");
    one.power("host1", Power::Stopped).power("host1", Power::Running);
    one.unseed(&id, &cx).await.unwrap();
    let seen = &other.standing()[0];
    assert_eq!((seen.incarnation, seen.boots, seen.seeded), (1, 2, false));
    assert!(seen.spec.seed.is_empty(), "the secrets of a seed went with it");
    other.vanish("host1");
    assert!(one.machines().is_empty());
    one.create(&id, &super::spec(1), &cx).await.unwrap();
    assert_eq!(other.standing()[0].incarnation, 2);
}

#[cfg(unix)]
#[test]
fn the_file_with_keys_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    Fake::on(dir.path()).deaf("host1");
    let mode = std::fs::metadata(dir.path().join("world.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
