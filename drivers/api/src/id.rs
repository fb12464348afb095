//! The identity of a machine, known before anything exists.

use std::fmt;

use sha2::{Digest, Sha256};

/// Names one machine of one fleet on every host and cloud.
///
/// It is made from the fleet's id (its name and a short digest of where its file
/// lives) and the machine's name, so that it can be computed again after every
/// record was lost.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MachineId {
    fleet: String,
    machine: String,
}

impl MachineId {
    /// Makes the id from the fleet's id and the machine's name.
    pub fn new(fleet: impl Into<String>, machine: impl Into<String>) -> Self {
        Self { fleet: fleet.into(), machine: machine.into() }
    }

    /// The fleet's id, such as `lab-3f9a1c`.
    pub fn fleet(&self) -> &str {
        &self.fleet
    }

    /// The machine's name, such as `host1`.
    pub fn machine(&self) -> &str {
        &self.machine
    }

    fn digest(&self, what: &str) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in ["fleet", &self.fleet, &self.machine, what] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        hash.finalize().into()
    }

    /// A UUID of version 8 (RFC 9562, section 5.8) for hypervisors that name
    /// machines that way.
    pub fn uuid(&self) -> String {
        let mut b: [u8; 16] = self.digest("uuid")[..16].try_into().expect("16 of 32 bytes");
        b[6] = (b[6] & 0x0f) | 0x80;
        b[8] = (b[8] & 0x3f) | 0x80;
        let n = u128::from_be_bytes(b);
        let hex = format!("{n:032x}");
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }

    /// The locally administered MAC address of network card `nic`, counted from 0.
    ///
    /// Starts with 52:54:00, the prefix that QEMU and libvirt use.
    pub fn mac(&self, nic: u8) -> String {
        let d = self.digest(&format!("mac{nic}"));
        format!("52:54:00:{:02x}:{:02x}:{:02x}", d[0], d[1], d[2])
    }

    /// A number that is stable for this machine, for choosing ports and the like.
    pub fn number(&self, what: &str) -> u64 {
        u64::from_be_bytes(self.digest(what)[..8].try_into().expect("8 of 32 bytes"))
    }
}

impl fmt::Display for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.fleet, self.machine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_stable_and_distinct() {
        let a = MachineId::new("lab-1", "host1");
        assert_eq!(a.uuid(), MachineId::new("lab-1", "host1").uuid());
        assert_ne!(a.uuid(), MachineId::new("lab-1h", "ost1").uuid());
        assert_ne!(a.mac(0), a.mac(1));
        assert_eq!(a.uuid().len(), 36);
        assert_eq!(&a.uuid()[14..15], "8");
    }
}
