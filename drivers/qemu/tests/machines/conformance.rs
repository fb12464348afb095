//! The contract, on the real thing.

use std::sync::Arc;
use std::time::Duration;

use fleet_driver::conformance::Fixture;
use fleet_driver::{Answer, Cx, Driver, ImageFile, MachineId, VmSpec, conformance};

use crate::stand::Stand;

impl Fixture for Stand {
    fn driver(&self) -> Arc<dyn Driver> {
        self.qemu()
    }

    fn spec(&self, n: u8) -> VmSpec {
        self.machine(n)
    }

    fn other_image(&self) -> ImageFile {
        self.image("deaf")
    }

    fn deaf(&self, _: &MachineId, mut spec: VmSpec) -> Option<VmSpec> {
        spec.image = self.image("deaf");
        Some(spec)
    }

    fn awake<'a>(&'a self, id: &'a MachineId, cx: &'a Cx) -> Answer<'a, ()> {
        Box::pin(self.up(id, cx))
    }

    fn prints(&self) -> Option<&'static str> {
        Some(crate::stand::UP)
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(120)
    }
}

conformance!(match Stand::new() {
    Some(stand) => stand,
    None => return,
});
