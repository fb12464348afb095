//! What the driver writes into a domain about the machine that it is.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use fleet_driver::{Error, Forward, LabNic, MachineId, Result, VmSpec};
use serde::{Deserialize, Serialize};

use crate::names;
use crate::options::Options;

/// The version of what is written.
const VERSION: u32 = 1;

/// What the driver knows of a machine, kept in the domain's metadata.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The version of this description.
    pub version: u32,
    /// The fleet's id.
    pub fleet: String,
    /// The machine's name.
    pub machine: String,
    /// SHA-256 of the base image.
    pub image: String,
    /// The lab card.
    pub lab: LabNic,
    /// Size of the disk in MiB.
    pub disk_mib: u64,
    /// What fleet has written on the machine.
    pub mark: BTreeMap<String, String>,
    /// The word that keeps machines apart.
    #[serde(default)]
    pub apart: Option<String>,
    /// Ports of the host that lead into it.
    pub forwards: Vec<Forward>,
    /// Of the spec that it follows.
    pub options_digest: String,
    /// The storage pool.
    pub pool: String,
    /// Whether the image stays.
    pub keep_image: bool,
    /// Where SSH and the engine are reached; none: at the lab address.
    #[serde(default)]
    pub ports: Option<(u16, u16)>,
}

impl Record {
    /// What is written about a machine of this spec.
    pub fn new(id: &MachineId, spec: &VmSpec, options: &Options, pool: &str) -> Self {
        Self {
            version: VERSION,
            fleet: id.fleet().to_owned(),
            machine: id.machine().to_owned(),
            image: spec.image.sha256.clone(),
            lab: spec.lab.clone(),
            disk_mib: spec.disk_mib.max(spec.image.size_mib),
            mark: spec.mark.clone(),
            apart: spec.apart.clone(),
            forwards: spec.forwards.clone(),
            options_digest: spec.options_digest(),
            pool: pool.to_owned(),
            keep_image: options.keep_image,
            ports: None,
        }
    }

    /// The machine that it is about.
    pub fn id(&self) -> MachineId {
        MachineId::new(&self.fleet, &self.machine)
    }

    /// Its lab address.
    pub fn address(&self) -> Ipv4Addr {
        self.lab.address
    }

    /// The text that is kept.
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("plain data becomes JSON")
    }

    /// The element that is kept.
    pub fn element(&self) -> String {
        format!("<machine>{}</machine>", crate::xml::escape(&self.text()))
    }

    /// Reads the text that is kept; none if it is not of this version.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str::<Self>(text).ok().filter(|record| record.version == VERSION)
    }

    /// Refuses another image or address for the same machine.
    ///
    /// # Errors
    /// `Conflict`.
    pub fn agrees_with(&self, spec: &VmSpec) -> Result<()> {
        let differs = |what: &str, has: String, wants: String| {
            Err(Error::conflict(format!("the machine was made with another {what}"))
                .with("has", has)
                .with("asked", wants)
                .hint("destroy the machine, or ask for what it has"))
        };
        if self.image != spec.image.sha256 {
            return differs("image", self.image.clone(), spec.image.sha256.clone());
        }
        if self.lab != spec.lab {
            let text = |lab: &LabNic| format!("{}/{}", lab.address, lab.prefix);
            return differs("address", text(&self.lab), text(&spec.lab));
        }
        Ok(())
    }
}

/// What libvirt says about a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
    /// `kvm`, `qemu` or `test`.
    pub kind: String,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Virtual processors.
    pub cpus: u32,
    /// Path of what is in its CD drive.
    pub seed: Option<String>,
    /// Path of its console's log.
    pub log: Option<String>,
    /// What the driver wrote, if it is one of fleet's.
    pub record: Option<Record>,
}

impl Described {
    /// Reads a domain's XML.
    ///
    /// # Errors
    /// `Driver`, if it is not the XML of a domain.
    pub fn parse(text: &str) -> Result<Self> {
        let document = roxmltree::Document::parse(text)
            .map_err(|e| Error::driver("libvirt's description is no XML").because(e))?;
        let root = document.root_element();
        let child = |name: &str| root.children().find(|node| node.has_tag_name(name));
        let text_of = |name: &str| child(name).and_then(|n| n.text()).unwrap_or_default().trim();
        let memory = child("memory").map_or(0, |node| {
            let amount = node.text().and_then(|t| t.trim().parse::<u64>().ok()).unwrap_or(0);
            match node.attribute("unit") {
                Some("b" | "bytes") => amount >> 20,
                Some("MiB" | "M") => amount,
                Some("GiB" | "G") => amount << 10,
                _ => amount >> 10,
            }
        });
        let drive = root
            .descendants()
            .find(|n| n.has_tag_name("disk") && n.attribute("device") == Some("cdrom"));
        let record = root.descendants().find(|node| {
            node.tag_name().namespace() == Some(names::NAMESPACE)
                && node.tag_name().name() == "machine"
        });
        Ok(Self {
            name: text_of("name").to_owned(),
            uuid: text_of("uuid").to_owned(),
            kind: root.attribute("type").unwrap_or_default().to_owned(),
            memory_mib: memory,
            cpus: text_of("vcpu").parse().unwrap_or(0),
            seed: drive
                .and_then(|disk| disk.children().find(|n| n.has_tag_name("source")))
                .and_then(|source| source.attribute("file").map(str::to_owned)),
            log: root
                .descendants()
                .find(|node| node.has_tag_name("log"))
                .and_then(|node| node.attribute("file").map(str::to_owned)),
            record: record.and_then(|node| node.text()).and_then(Record::parse),
        })
    }

    /// Whether it is this machine of fleet's.
    pub fn is(&self, id: &MachineId) -> bool {
        self.record.as_ref().is_some_and(|record| record.id() == *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            version: VERSION,
            fleet: "lab-3f9a1c".into(),
            machine: "host1".into(),
            image: "ab".into(),
            lab: LabNic { address: Ipv4Addr::new(10, 77, 0, 11), prefix: 24 },
            disk_mib: 2048,
            mark: [("k".to_owned(), (' '..='~').collect())].into(),
            apart: None,
            forwards: Vec::new(),
            options_digest: "d".into(),
            pool: "default".into(),
            keep_image: false,
            ports: None,
        }
    }

    #[test]
    fn a_record_comes_back_from_a_domain() {
        let text = format!(
            "<domain type='kvm'><name>n</name><uuid>u</uuid><metadata>\
             <f:machine xmlns:f='{}'>{}</f:machine></metadata>\
             <memory unit='KiB'>1048576</memory><vcpu placement='static'>2</vcpu><devices>\
             <disk device='cdrom'><source file='/seed'/></disk>\
             <serial><log file='/log'/></serial></devices></domain>",
            names::NAMESPACE,
            crate::xml::escape(&record().text())
        );
        let seen = Described::parse(&text).unwrap();
        assert_eq!((seen.memory_mib, seen.cpus, seen.kind.as_str()), (1024, 2, "kvm"));
        assert_eq!((seen.seed.as_deref(), seen.log.as_deref()), (Some("/seed"), Some("/log")));
        assert!(seen.is(&record().id()));
        assert_eq!(seen.record, Some(record()));
    }

    #[test]
    fn a_domain_of_another_is_foreign() {
        let seen = Described::parse("<domain><name>n</name></domain>").unwrap();
        assert!(!seen.is(&record().id()));
        assert!(Described::parse("no xml").is_err());
        let newer = record().text().replace("\"version\":1", "\"version\":2");
        assert_eq!(Record::parse(&newer), None);
    }
}
