//! This driver's part of a machine in `machines.toml`: a table in, typed options out.

use std::net::Ipv4Addr;

use fleet_driver::text::nearest;
use fleet_driver::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::fragments;

const KEYS: &[&str] = &[
    "autostart",
    "bridge",
    "dns",
    "firmware",
    "forward",
    "gateway",
    "keep_image",
    "machine",
    "network",
    "on",
    "pool",
    "type",
    "uri",
    "xml",
];

/// The options of one machine, under `libvirt` in `machines.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Which hypervisor; `None`: `qemu:///system`, or the hosts of `[[driver.libvirt.host]]`.
    pub uri: Option<String>,
    /// The name of the host that it must live on, where there are several.
    pub on: Option<String>,
    /// What executes the guest's code.
    #[serde(rename = "type")]
    pub kind: KindChoice,
    /// QEMU's machine type, such as `q35` or `pc`.
    pub machine: String,
    /// What boots the disk.
    pub firmware: Firmware,
    /// Whether it starts with its host.
    pub autostart: bool,
    /// The storage pool that its disk is in; `None`: that of the host, or `default`.
    pub pool: Option<String>,
    /// An existing network of libvirt; `None`: one of the fleet's own.
    pub network: Option<String>,
    /// A bridge of the host.
    pub bridge: Option<String>,
    /// The way to the outside in the network behind `bridge`.
    pub gateway: Option<Ipv4Addr>,
    /// Name servers; empty: the network's own.
    pub dns: Vec<Ipv4Addr>,
    /// How the fleet's own network leads to the outside.
    pub forward: Forwarding,
    /// Whether the base image stays on the host after the last machine that stands on it.
    pub keep_image: bool,
    /// Elements that are added to the domain.
    pub xml: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            uri: None,
            on: None,
            kind: KindChoice::Auto,
            machine: "q35".to_owned(),
            firmware: Firmware::Bios,
            autostart: false,
            pool: None,
            network: None,
            bridge: None,
            gateway: None,
            dns: Vec::new(),
            forward: Forwarding::Nat,
            keep_image: false,
            xml: Vec::new(),
        }
    }
}

/// What `machines.toml` says about what executes the guest's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KindChoice {
    /// KVM where a guest really runs under it, else emulation.
    Auto,
    /// KVM, without a trial.
    Kvm,
    /// Emulation.
    Qemu,
}

/// What boots a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Firmware {
    /// The PC's old one.
    Bios,
    /// UEFI.
    Efi,
}

/// How the fleet's own network leads to the outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Forwarding {
    /// Behind the address of its host.
    Nat,
    /// By routes that others know of.
    Route,
    /// As the host's own rules say.
    Open,
}

impl Forwarding {
    /// Its name in libvirt's XML.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nat => "nat",
            Self::Route => "route",
            Self::Open => "open",
        }
    }
}

impl Options {
    /// Reads and checks the driver's table of a machine.
    ///
    /// # Errors
    /// `Config`, naming the key.
    pub fn parse(table: &toml::Table) -> Result<Self> {
        if let Some(key) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(wrong(key, "is not an option of the driver").hint(
                match nearest(key, KEYS) {
                    Some(known) => format!("did you mean `{known}`?"),
                    None => format!("its options are {}", KEYS.join(", ")),
                },
            ));
        }
        let mut table = table.clone();
        // One element may stand alone.
        if let Some(toml::Value::String(one)) = table.get("xml") {
            let one = toml::Value::from(one.clone());
            table.insert("xml".to_owned(), toml::Value::Array(vec![one]));
        }
        for (key, value) in &table {
            // One key at a time, since an error of the whole table does not name its key.
            let one = toml::Table::from_iter([(key.clone(), value.clone())]);
            if let Err(error) = one.try_into::<Self>() {
                let error = wrong(key, "has a bad value").because(error.message().to_owned());
                return Err(match hint(key) {
                    Some(hint) => error.hint(hint),
                    None => error,
                });
            }
        }
        let options: Self = table
            .try_into()
            .map_err(|e: toml::de::Error| Error::config("bad options").because(e))?;
        options.check()?;
        Ok(options)
    }

    fn check(&self) -> Result<()> {
        if let Some(uri) = &self.uri {
            uri_is_known("uri", uri)?;
        }
        let words = [
            ("machine", Some(&self.machine)),
            ("pool", self.pool.as_ref()),
            ("network", self.network.as_ref()),
            ("bridge", self.bridge.as_ref()),
            ("on", self.on.as_ref()),
        ];
        for (key, word) in words {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:,=+".contains(c);
            if word.is_some_and(|w| w.is_empty() || !w.chars().all(plain)) {
                return Err(wrong(key, "has a bad value"));
            }
        }
        if self.network.is_some() && self.bridge.is_some() {
            return Err(wrong("bridge", "cannot stand beside `network`")
                .hint("a machine has one lab card: keep the one that leads to its network"));
        }
        if self.gateway.is_some() && self.bridge.is_none() && self.network.is_none() {
            return Err(wrong("gateway", "counts only beside `bridge` or `network`")
                .hint("the fleet's own network has a gateway of its own"));
        }
        fragments::sort(&self.xml).map(drop)
    }
}

/// The schemes of the hypervisors that this driver knows, and libvirt's own for tests.
const SCHEMES: &[&str] = &["qemu", "test"];

/// Refuses a URI of a hypervisor that this driver does not know.
///
/// # Errors
/// `Config`, naming the key.
pub(crate) fn uri_is_known(key: &str, uri: &str) -> Result<()> {
    let scheme = uri.split_once(':').map_or("", |(scheme, _)| scheme);
    let hypervisor = scheme.split_once('+').map_or(scheme, |(hypervisor, _)| hypervisor);
    if SCHEMES.contains(&hypervisor) && uri.contains("://") {
        return Ok(());
    }
    Err(wrong(key, "is not the URI of a hypervisor that fleet can use")
        .with("uri", uri)
        .hint("use qemu:///system, qemu:///session or qemu+ssh://USER@HOST/system"))
}

fn hint(key: &str) -> Option<&'static str> {
    Some(match key {
        "type" => "use \"auto\", \"kvm\" or \"qemu\"",
        "firmware" => "use \"bios\" or \"efi\"",
        "forward" => "use \"nat\", \"route\" or \"open\"",
        "autostart" | "keep_image" => "use true or false",
        "gateway" => "use an IPv4 address, such as \"192.168.1.1\"",
        "dns" => "use a list of IPv4 addresses, such as [\"192.168.1.1\"]",
        "xml" => "use a text with one element, or a list of them",
        _ => return None,
    })
}

pub(crate) fn wrong(key: &str, what: &str) -> Error {
    Error::config(format!("the libvirt option `{key}` {what}")).with("key", key)
}

#[cfg(test)]
mod tests {
    use fleet_driver::ErrorKind;

    use super::*;

    fn parse(text: &str) -> Result<Options> {
        Options::parse(&text.parse().unwrap())
    }

    #[test]
    fn nothing_means_the_defaults() {
        assert_eq!(parse("").unwrap(), Options::default());
    }

    #[test]
    fn everything_is_read() {
        let options = parse(
            r#"
            uri = "qemu+ssh://me@far/system"
            on = "big"
            type = "qemu"
            machine = "pc"
            firmware = "efi"
            autostart = true
            pool = "fast"
            bridge = "br0"
            gateway = "192.168.1.1"
            dns = ["192.168.1.2"]
            forward = "route"
            keep_image = true
            xml = "<watchdog model='i6300esb'/>"
            "#,
        )
        .unwrap();
        assert_eq!(options.kind, KindChoice::Qemu);
        assert_eq!(options.firmware, Firmware::Efi);
        assert_eq!(options.forward.name(), "route");
        assert_eq!(options.xml, ["<watchdog model='i6300esb'/>"]);
        assert_eq!(options.gateway, Some(Ipv4Addr::new(192, 168, 1, 1)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, key, hint) in [
            ("brige = \"br0\"", "brige", Some("did you mean `bridge`?")),
            ("type = \"fast\"", "type", Some("use \"auto\", \"kvm\" or \"qemu\"")),
            ("type = 1", "type", Some("use \"auto\", \"kvm\" or \"qemu\"")),
            ("firmware = \"uefi\"", "firmware", Some("use \"bios\" or \"efi\"")),
            ("machine = \"q 35\"", "machine", None),
            ("pool = \"\"", "pool", None),
            ("gateway = \"here\"", "gateway", hint("gateway")),
            (
                "gateway = \"10.0.0.1\"",
                "gateway",
                Some("the fleet's own network has a gateway of its own"),
            ),
            ("xml = \"<a>\"", "xml", None),
            ("xml = [\"<a/><b/>\"]", "xml", None),
            (
                "uri = \"xen:///\"",
                "uri",
                Some("use qemu:///system, qemu:///session or qemu+ssh://USER@HOST/system"),
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{text}");
            assert_eq!(error.context()[0], ("key", key.to_owned()), "{text}");
            assert!(hint.is_none() || error.hint_text() == hint, "{text}: {:?}", error.hint_text());
        }
        assert!(parse("bridge = \"br0\"\nnetwork = \"lan\"").is_err());
    }
}
