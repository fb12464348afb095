//! The first boot: what cloud-init's NoCloud data source finds, and how its traces
//! are removed afterwards.
//!
//! The guest's host key travels in the seed, so it is known before first contact.
//! The engine's settings and certificates do too: `write_files` runs before
//! `docker.service` starts, hence the engine's first start is already secured.
//! Works with cloud-init 22.4 (Debian 12) and newer (Ubuntu 22.04, 24.04); what the system
//! is, systemd or not, is found out in the guest.
//!
//! See <https://docs.cloud-init.io/en/latest/reference/datasources/nocloud.html>.

use std::net::Ipv4Addr;
use std::time::Duration;

use fleet_driver::{Card, CardAddress, Error, Result, Secret};
use serde::Serialize;

use super::{GuestFile, Script, Telling};
use crate::templates;

/// What a machine's first boot is made of.
#[derive(Debug, Clone)]
pub struct SeedInput<'a> {
    /// The instance id; a new one makes cloud-init start over.
    pub instance: String,
    /// The host name.
    pub hostname: &'a str,
    /// The account to make.
    pub user: &'a str,
    /// The public key that may log in, in the format of `authorized_keys`.
    pub authorized_key: &'a str,
    /// The guest's own host key.
    pub host_key: HostKey<'a>,
    /// The network cards that it will find.
    pub cards: &'a [Card],
    /// All machines of the fleet, for `/etc/hosts`.
    pub hosts: &'a [(Ipv4Addr, String)],
    /// Files to write, such as the engine's settings.
    pub files: Vec<GuestFile>,
    /// Shell texts to run before those files are written and before any service of
    /// the engine starts.
    pub early: Vec<Secret<String>>,
}

/// An ed25519 host key.
#[derive(Debug, Clone, Copy)]
pub struct HostKey<'a> {
    /// In the format of `authorized_keys`.
    pub public: &'a str,
    /// In OpenSSH's PEM.
    pub private: &'a Secret<String>,
}

#[derive(Serialize)]
struct UserData<'a> {
    hostname: &'a str,
    user: &'a str,
    authorized_key: &'a str,
    host_key_private: &'a str,
    host_key_public: &'a str,
    early: Vec<&'a str>,
    files: Vec<File<'a>>,
    last: String,
}

#[derive(Serialize)]
struct File<'a> {
    path: &'a str,
    mode: String,
    content: &'a str,
}

#[derive(Serialize)]
struct MetaData<'a> {
    instance: &'a str,
    hostname: &'a str,
}

#[derive(Serialize)]
struct NetworkConfig {
    cards: Vec<CardConfig>,
}

#[derive(Serialize)]
struct CardConfig {
    id: String,
    mac: String,
    dhcp: bool,
    address: Option<String>,
    gateway: Option<Ipv4Addr>,
    dns: Vec<Ipv4Addr>,
}

#[derive(Serialize)]
struct Last<'a> {
    user: &'a str,
}

/// Makes the files of the seed: name and content of each.
///
/// # Errors
/// `Bug`: a file to write is not text.
pub fn seed(input: &SeedInput<'_>) -> Result<Vec<(String, Secret<Vec<u8>>)>> {
    let hosts = hosts_file(input.hosts);
    let mut files = Vec::new();
    for file in std::iter::once(&hosts).chain(&input.files) {
        files.push(File {
            path: &file.path,
            mode: format!("{:04o}", file.mode),
            content: std::str::from_utf8(file.content.expose()).map_err(|_| {
                Error::bug("a file of the seed is not text").with("file", &file.path)
            })?,
        });
    }
    let user_data = templates::render(
        "cloud-init/user-data",
        &UserData {
            hostname: input.hostname,
            user: input.user,
            authorized_key: input.authorized_key.trim(),
            host_key_private: input.host_key.private.expose(),
            host_key_public: input.host_key.public.trim(),
            early: input.early.iter().map(|text| text.expose().as_str()).collect(),
            files,
            last: last(input.user)?,
        },
    )?;
    let meta_data = templates::render(
        "cloud-init/meta-data",
        &MetaData { instance: &input.instance, hostname: input.hostname },
    )?;
    let network_config = templates::render(
        "cloud-init/network-config",
        &NetworkConfig { cards: input.cards.iter().zip(1..).map(card_config).collect() },
    )?;
    let file = |name: &str, text: String| (name.to_owned(), Secret::new(text.into_bytes()));
    Ok(vec![
        file("user-data", user_data),
        file("meta-data", meta_data),
        file("network-config", network_config),
    ])
}

/// The last command of the first boot.
pub(super) fn last(user: &str) -> Result<String> {
    templates::render("guest/last.sh", &Last { user })
}

/// How a card is configured; `number` tells cards of one kind apart.
fn card_config((card, number): (&Card, usize)) -> CardConfig {
    // Some data sources compare MAC addresses as text, in lower case.
    let mac = card.mac.to_lowercase();
    match &card.address {
        CardAddress::Dhcp => CardConfig {
            id: format!("dhcp-{number}"),
            mac,
            dhcp: true,
            address: None,
            gateway: None,
            dns: Vec::new(),
        },
        CardAddress::Static { address, prefix, gateway, dns } => CardConfig {
            id: format!("lab-{number}"),
            mac,
            dhcp: false,
            address: Some(format!("{address}/{prefix}")),
            gateway: *gateway,
            dns: dns.clone(),
        },
    }
}

/// Makes `/etc/hosts`, so that machines know one another by name.
///
/// A machine's own name is its lab address, not 127.0.1.1, since that is where its
/// services answer.
pub fn hosts_file(hosts: &[(Ipv4Addr, String)]) -> GuestFile {
    let mut text = String::from(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
         ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n",
    );
    for (address, name) in hosts {
        text.extend([&address.to_string(), "\t", name, "\n"]);
    }
    GuestFile {
        path: "/etc/hosts".to_owned(),
        mode: 0o644,
        content: Secret::new(text.into_bytes()),
    }
}

/// Removes the seed's secrets from cloud-init's own copies, and keeps cloud-init from
/// taking the next boot, which comes without a seed, for a new machine's.
///
/// Run before the driver takes the seed away.
pub fn scrub() -> Script {
    Script {
        purpose: "remove the first boot's secrets",
        text: Secret::new(templates::plain("guest/scrub.sh").to_owned()),
        as_user: false,
        telling: Telling::Nothing,
        limit: Duration::from_secs(60),
    }
}

#[cfg(test)]
mod tests;
