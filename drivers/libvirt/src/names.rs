//! What everything of fleet's is called on a hypervisor.

use fleet_driver::MachineId;

/// The namespace of what the driver writes into domains.
pub const NAMESPACE: &str = "urn:fleet:machine:1";

/// The domain of a machine.
pub fn domain(id: &MachineId) -> String {
    format!("fleet-{}-{}", id.fleet(), id.machine())
}

/// The volume that is a machine's disk.
pub fn disk(id: &MachineId) -> String {
    format!("{}.qcow2", domain(id))
}

/// The volume that is a machine's first-boot seed.
pub fn seed(id: &MachineId) -> String {
    format!("{}-seed.iso", domain(id))
}

/// The file beside a machine's disk that holds what it has printed.
pub fn log(id: &MachineId) -> String {
    format!("{}.console.log", domain(id))
}

/// The network of a fleet.
pub fn network(fleet: &str) -> String {
    format!("fleet-{fleet}")
}

/// The UUID of a fleet's network, by which it is known to be fleet's own. No machine has
/// this id: names have no slash.
pub fn network_uuid(fleet: &str) -> String {
    MachineId::new(fleet, "/network").uuid()
}

/// The volume of a base image with this SHA-256.
pub fn image(sha256: &str) -> String {
    format!("fleet-image-{}.qcow2", sha256.get(..16).unwrap_or(sha256))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hold_the_fleets_id() {
        let id = MachineId::new("lab-3f9a1c", "host1");
        assert_eq!(disk(&id), "fleet-lab-3f9a1c-host1.qcow2");
        assert_eq!(seed(&id), "fleet-lab-3f9a1c-host1-seed.iso");
        assert_eq!(log(&id), "fleet-lab-3f9a1c-host1.console.log");
        assert_eq!(network("lab-3f9a1c"), "fleet-lab-3f9a1c");
        assert_eq!(image(&"ab".repeat(32)), "fleet-image-abababababababab.qcow2");
        assert_ne!(network_uuid("lab-3f9a1c"), network_uuid("lab-3f9a1d"));
    }
}
