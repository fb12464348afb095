//! Where machines can live: the hosts of `[[driver.libvirt.host]]`, or the one that a
//! machine's options name.

use fleet_driver::text::nearest;
use fleet_driver::{Result, Settings};
use serde::Deserialize;

use crate::fragments;
use crate::options::{Options, uri_is_known, wrong};

/// The hypervisor that is used when nothing else is said.
pub const DEFAULT_URI: &str = "qemu:///system";
const DEFAULT_POOL: &str = "default";
const KEYS: &[&str] = &["bridge", "cpus", "memory", "name", "network", "pool", "uri"];

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: String,
    uri: String,
    memory: Option<String>,
    cpus: Option<u32>,
    pool: Option<String>,
    bridge: Option<String>,
    network: Option<String>,
}

/// A hypervisor that machines can live on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Its name, where there are several.
    pub name: Option<String>,
    /// How libvirt reaches it.
    pub uri: String,
    /// How much memory the machines may take, in MiB; `None`: as much as it has.
    pub memory_mib: Option<u64>,
    /// How many processors the machines may take; `None`: any number.
    pub cpus: Option<u32>,
    /// Its storage pool, if it differs from the machines'.
    pub pool: Option<String>,
    /// Its bridge, if it differs from the machines'.
    pub bridge: Option<String>,
    /// Its network, if it differs from the machines'.
    pub network: Option<String>,
}

/// The network that a machine's lab card is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lan {
    /// The fleet's own.
    Own,
    /// A network that exists.
    Network(String),
    /// A bridge of the host.
    Bridge(String),
    /// A segment of the loopback interface, without privileges.
    Segment,
}

impl Host {
    /// The host that a URI alone names.
    pub fn at(uri: &str) -> Self {
        Self {
            name: None,
            uri: uri.to_owned(),
            memory_mib: None,
            cpus: None,
            pool: None,
            bridge: None,
            network: None,
        }
    }

    /// The storage pool of a machine with these options on this host.
    pub fn pool<'a>(&'a self, options: &'a Options) -> &'a str {
        let own = options.pool.as_deref();
        self.pool.as_deref().or(own).unwrap_or(DEFAULT_POOL)
    }

    /// The network of a machine with these options on this host.
    pub fn lan(&self, options: &Options) -> Lan {
        let network = self.network.as_ref().map(|name| Lan::Network(name.clone()));
        let bridge = self.bridge.as_ref().map(|name| Lan::Bridge(name.clone()));
        let own = match (&options.network, &options.bridge) {
            (Some(name), _) => Lan::Network(name.clone()),
            (None, Some(name)) => Lan::Bridge(name.clone()),
            (None, None) if is_session(&self.uri) => Lan::Segment,
            (None, None) => Lan::Own,
        };
        network.or(bridge).unwrap_or(own)
    }

    /// What it is called in a text.
    pub fn title(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.uri)
    }
}

/// Whether a URI leads to the daemon of an ordinary user.
pub fn is_session(uri: &str) -> bool {
    uri.split('?').next().is_some_and(|path| path.ends_with("/session"))
}

/// Whether a URI leads to this computer.
pub fn is_local(uri: &str) -> bool {
    uri.split_once("://").is_some_and(|(_, rest)| rest.starts_with('/'))
}

/// Reads the hosts of the driver's table; none where it has none.
///
/// # Errors
/// `Config`, naming the key.
pub fn read(driver: &toml::Table) -> Result<Vec<Host>> {
    let Some(list) = driver.get("host") else {
        return Ok(Vec::new());
    };
    let list = list.as_array().ok_or_else(|| {
        wrong("host", "has a bad value").hint("write each host as [[driver.libvirt.host]]")
    })?;
    let mut hosts: Vec<Host> = Vec::new();
    for entry in list {
        let host = one(entry)?;
        if hosts.iter().any(|other| other.name == host.name) {
            return Err(wrong("host", "has two hosts of one name").with("name", host.title()));
        }
        hosts.push(host);
    }
    Ok(hosts)
}

fn one(entry: &toml::Value) -> Result<Host> {
    if let Some(key) =
        entry.as_table().and_then(|table| table.keys().find(|key| !KEYS.contains(&key.as_str())))
    {
        return Err(wrong(&format!("host.{key}"), "is not one of a host").hint(
            match nearest(key, KEYS) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("a host has {}", KEYS.join(", ")),
            },
        ));
    }
    let raw: Raw = entry.clone().try_into().map_err(|e: toml::de::Error| {
        wrong("host", "has a bad value")
            .because(e.message().to_owned())
            .hint("a host has at least `name` and `uri`")
    })?;
    uri_is_known("host.uri", &raw.uri)?;
    if raw.bridge.is_some() && raw.network.is_some() {
        return Err(wrong("host.bridge", "cannot stand beside `network`").with("name", raw.name));
    }
    let memory_mib = match &raw.memory {
        None => None,
        Some(text) => Some(mib(text).ok_or_else(|| {
            wrong("host.memory", "has a bad value")
                .with("name", &raw.name)
                .hint("write a number and a unit, such as \"16 GiB\"")
        })?),
    };
    Ok(Host {
        name: Some(raw.name),
        uri: raw.uri,
        memory_mib,
        cpus: raw.cpus,
        pool: raw.pool,
        bridge: raw.bridge,
        network: raw.network,
    })
}

/// Reads an amount of memory, such as `16 GiB`, in MiB.
fn mib(text: &str) -> Option<u64> {
    let digits = text.trim().trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.trim()[digits.len()..].to_ascii_lowercase();
    let number: u64 = digits.trim().parse().ok()?;
    let factor = match unit.as_str() {
        "mib" | "mb" | "m" => 1,
        "gib" | "gb" | "g" => 1024,
        "tib" | "tb" | "t" => 1024 * 1024,
        _ => return None,
    };
    number.checked_mul(factor).filter(|mib| *mib > 0)
}

/// The hosts on which a machine with these options may live.
///
/// # Errors
/// `Config`, if its options name a host that is not there.
pub fn of_machine(hosts: &[Host], options: &Options) -> Result<Vec<Host>> {
    if let Some(uri) = &options.uri {
        if let Some(host) = hosts.iter().find(|host| host.uri == *uri) {
            return Ok(vec![host.clone()]);
        }
        return Ok(vec![Host::at(uri)]);
    }
    if let Some(on) = &options.on {
        let names: Vec<&str> = hosts.iter().map(Host::title).collect();
        let found = hosts.iter().find(|host| host.name.as_ref() == Some(on));
        return found.map(|host| vec![host.clone()]).ok_or_else(|| {
            wrong("on", "names a host that is not there").with("on", on).hint(if names.is_empty() {
                "add it as [[driver.libvirt.host]]".to_owned()
            } else {
                format!("the hosts are {}", names.join(", "))
            })
        });
    }
    Ok(if hosts.is_empty() { vec![Host::at(DEFAULT_URI)] } else { hosts.to_vec() })
}

/// Every host that the settings speak of, and if there is none, the usual one.
///
/// # Errors
/// `Config`, if they are wrong.
pub fn all(settings: &Settings) -> Result<Vec<Host>> {
    let named = read(&settings.driver)?;
    let mut hosts = named.clone();
    let mut add = |host: Host| {
        if hosts.iter().all(|other| other.uri != host.uri) {
            hosts.push(host);
        }
    };
    for table in &settings.machines {
        // One with a mistake lives nowhere; the mistake is told where it is used.
        let Ok(options) = Options::parse(table) else { continue };
        of_machine(&named, &options).unwrap_or_default().into_iter().for_each(&mut add);
    }
    if let Some(uri) = settings.driver.get("uri").and_then(toml::Value::as_str)
        && uri_is_known("uri", uri).is_ok()
    {
        add(Host::at(uri));
    }
    if hosts.is_empty() {
        hosts.push(Host::at(DEFAULT_URI));
    }
    Ok(hosts)
}

/// Looks whether all that a fleet's file says to the driver can be meant, before any
/// hypervisor is asked for anything.
///
/// # Errors
/// `Config`, naming the key.
pub fn check(settings: &Settings) -> Result<()> {
    let hosts = read(&settings.driver)?;
    for table in &settings.machines {
        let options = Options::parse(table)?;
        of_machine(&hosts, &options)?;
        fragments::sort(&options.xml)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
