//! The contract, on the real thing.

use std::sync::Arc;
use std::time::Duration;

use fleet_driver::conformance::{Cut, Fixture};
use fleet_driver::{Answer, Cx, Driver, ImageFile, MachineId, VmSpec, conformance};

use crate::stand::Stand;

impl Fixture for Stand {
    fn driver(&self) -> Arc<dyn Driver> {
        self.libvirt()
    }

    fn spec(&self, n: u8) -> VmSpec {
        self.machine(n, self.image("button"))
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

    fn limit(&self) -> Duration {
        Duration::from_secs(120)
    }

    // A verb polls a few times only: its work is on another thread.
    fn cuts(&self) -> Vec<Cut> {
        let times = [1, 20, 100, 300, 700].map(|ms| Cut::After(Duration::from_millis(ms)));
        [Cut::Polls(1), Cut::Polls(2)].into_iter().chain(times).collect()
    }

    fn skips(&self) -> Vec<(&'static str, &'static str)> {
        let why = "the suite gives two fleets one subnet, and each has a network of its own";
        vec![("list_sees_one_fleet", why), ("list_sees_every_fleet", why)]
    }
}

conformance!(match Stand::new() {
    Some(stand) => stand,
    None => return,
});
