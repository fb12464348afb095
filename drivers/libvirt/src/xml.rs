//! The XML that libvirt is given: three templates, each with its view.

use std::sync::LazyLock;

use fleet_driver::{Error, Result};
use serde::Serialize;
use tera::{Context, Tera};

use crate::network::Lease;

const DOMAIN: &str = "domain.xml";
const NETWORK: &str = "network.xml";
const VOLUME: &str = "volume.xml";

static TERA: LazyLock<Tera> = LazyLock::new(|| {
    let mut tera = Tera::default();
    tera.autoescape_on(vec![".xml"]);
    tera.add_raw_templates([
        (DOMAIN, include_str!("../../../templates/libvirt/domain.xml")),
        (NETWORK, include_str!("../../../templates/libvirt/network.xml")),
        (VOLUME, include_str!("../../../templates/libvirt/volume.xml")),
    ])
    .expect("a test renders every template");
    tera
});

fn render(name: &str, view: &impl Serialize) -> Result<String> {
    let bug = |e: tera::Error| Error::bug(format!("template `{name}` failed")).because(e);
    let context = Context::from_serialize(view).map_err(bug)?;
    TERA.render(name, &context).map_err(bug)
}

/// What a domain's XML is made from.
#[derive(Debug, Clone, Serialize)]
pub struct DomainView {
    /// `kvm`, `qemu` or `test`.
    pub kind: String,
    /// The same, but empty where there is no real hardware to describe.
    pub hardware: String,
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
    /// The namespace of the record.
    pub namespace: String,
    /// What the driver wrote down about it.
    pub record: String,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Virtual processors.
    pub cpus: u32,
    /// The processor's architecture; empty: the host's.
    pub arch: String,
    /// The machine type; empty: the host's.
    pub machine: String,
    /// `efi`, or empty.
    pub firmware: String,
    /// Path of the disk.
    pub disk: String,
    /// Path of the seed, or empty.
    pub seed: String,
    /// The bridge of the lab card, or empty.
    pub bridge: String,
    /// The network of the lab card, or empty.
    pub network: String,
    /// The lab card's MAC address.
    pub mac: String,
    /// Path of the console's log, or empty.
    pub log: String,
    /// The person's elements beside `<devices>`.
    pub top: Vec<String>,
    /// The person's devices.
    pub devices: Vec<String>,
    /// Words for QEMU's command line.
    pub args: Vec<String>,
}

/// The XML of a domain.
///
/// # Errors
/// `Bug`, if the template is wrong.
pub fn domain(view: &DomainView) -> Result<String> {
    render(DOMAIN, view)
}

/// What a network's XML is made from.
#[derive(Debug, Clone, Serialize)]
pub struct NetworkView {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
    /// The forward mode; empty: none.
    pub forward: String,
    /// The host's address in it.
    pub gateway: String,
    /// Length of its prefix.
    pub prefix: u8,
    /// Who gets which address.
    pub leases: Vec<Lease>,
}

/// The XML of a network.
///
/// # Errors
/// `Bug`, if the template is wrong.
pub fn network(view: &NetworkView) -> Result<String> {
    render(NETWORK, view)
}

/// What a volume's XML is made from.
#[derive(Debug, Clone, Serialize)]
pub struct VolumeView<'a> {
    /// Its name.
    pub name: &'a str,
    /// How much it can hold, in bytes.
    pub bytes: u64,
    /// `raw` or `qcow2`.
    pub format: &'a str,
    /// The path of the volume below it, or empty.
    pub base: &'a str,
}

/// The XML of a volume.
///
/// # Errors
/// `Bug`, if the template is wrong.
pub fn volume(view: &VolumeView) -> Result<String> {
    render(VOLUME, view)
}

/// Text in an attribute or between tags.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests;
