//! What is on the disk of a simulated guest: files, an engine's package, and what the
//! engine keeps of its swarm.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use serde_json::{Map, Value};

use super::system::System;

/// A file; its owner is root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    pub mode: u32,
    pub content: Vec<u8>,
}

/// The disk of one incarnation of a machine.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    pub files: BTreeMap<String, File>,
    pub system: System,
    pub firewalld: Firewalld,
    /// The version of the installed engine.
    pub engine: Option<String>,
    pub instance: String,
    pub hostname: String,
    pub user: String,
    /// The public line of the key that may log in.
    pub login: String,
    /// The guest's own key; empty as long as no seed was seen.
    pub host_key: String,
    pub lab: String,
    /// Whether copies of the seed's secrets are still in cloud-init's folders.
    pub secrets: bool,
    pub membership: Membership,
}

/// What keeps packets out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Firewalld {
    #[default]
    Absent,
    /// It lets SSH through alone.
    Shut,
    /// It lets the engine through, and the swarm from this network.
    Open(String),
}

/// What an engine keeps of its swarm.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Membership {
    #[default]
    None,
    /// It was asked to join a swarm and goes on trying.
    Joining { remote: String, token: String },
    /// It is a node of a swarm.
    Node { swarm: String, node: String },
    /// Its node was removed behind its back.
    Expelled { node: String },
    /// It is a worker in a swarm beyond this world.
    Stranger { manager: String },
}

/// What an engine was started with.
#[derive(Debug, Clone)]
pub struct Settings {
    pub labels: Vec<String>,
    /// None where nothing is to be listened to beyond the guest itself.
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

/// The keys of `daemon.json` that an engine knows, as far as fleet might set them.
const KNOWN: &[&str] = &[
    "hosts",
    "tls",
    "tlsverify",
    "tlscacert",
    "tlscert",
    "tlskey",
    "registry-mirrors",
    "insecure-registries",
    "log-driver",
    "log-opts",
    "log-level",
    "storage-driver",
    "storage-opts",
    "labels",
    "data-root",
    "debug",
    "dns",
    "bip",
    "mtu",
    "live-restore",
    "default-address-pools",
    "exec-opts",
    "experimental",
    "features",
    "ipv6",
    "iptables",
    "max-concurrent-downloads",
    "metrics-addr",
    "shutdown-timeout",
];

impl Disk {
    pub fn write(&mut self, path: &str, mode: u32, text: &str) {
        let file = File { mode, content: text.as_bytes().to_vec() };
        self.files.insert(path.to_owned(), file);
    }

    pub fn text(&self, path: &str) -> Option<String> {
        self.files.get(path).map(|f| String::from_utf8_lossy(&f.content).into_owned())
    }

    /// Adds to what OpenRC reads before the engine starts, once.
    pub fn add_conf(&mut self, text: &str) {
        let path = "/etc/conf.d/docker";
        let there = self.text(path).unwrap_or_default();
        if !there.contains("/etc/docker/fleet/environment") {
            self.write(path, 0o644, &format!("{there}{text}"));
        }
    }

    /// What the engine would start with, or its last words.
    pub fn settings(&self) -> Result<Settings, String> {
        let path = "/etc/docker/daemon.json";
        let daemon: Map<String, Value> = match self.text(path) {
            None => Map::new(),
            Some(text) => serde_json::from_str(&text).map_err(|e| {
                format!("unable to configure the Docker daemon with file {path}: {e}")
            })?,
        };
        if let Some(key) = daemon.keys().find(|key| !KNOWN.contains(&&***key)) {
            return Err(format!(
                "unable to configure the Docker daemon with file {path}: the following directives don't match any configuration option: {key}"
            ));
        }
        let hosts = strings(daemon.get("hosts"));
        let drop_in = self.text("/etc/systemd/system/docker.service.d/10-fleet.conf");
        let own_start = drop_in.is_some_and(|text| text.contains("\nExecStart=\nExecStart="));
        if !self.system.has_systemd() && hosts.iter().any(|host| host == "fd://") {
            return Err("failed to load listeners: no sockets found via socket activation: make sure the service was started by systemd".to_owned());
        }
        if daemon.contains_key("hosts") && self.system.has_systemd() && !own_start {
            return Err(format!(
                "unable to configure the Docker daemon with file {path}: the following directives are specified both as a flag and in the configuration file: hosts: (from flag: [fd://], from file: {hosts:?})"
            ));
        }
        let labels = strings(daemon.get("labels"));
        if let Some(label) = labels.iter().find(|label| !label.contains('=')) {
            return Err(format!("bad attribute format: {label}"));
        }
        if !hosts.iter().any(|host| host == "tcp://0.0.0.0:2376") {
            return Ok(Settings { labels, tls: None });
        }
        if daemon.get("tlsverify") != Some(&Value::Bool(true)) {
            return Err("a simulated engine listens with `tlsverify` only".to_owned());
        }
        let pem = |key: &str| {
            let path = daemon.get(key).and_then(Value::as_str).unwrap_or_default();
            self.text(path).ok_or_else(|| {
                format!("failed to load listeners: could not read {key} `{path}`: no such file")
            })
        };
        let tls = tls(&pem("tlscert")?, &pem("tlskey")?, &pem("tlscacert")?)
            .map_err(|why| format!("failed to load listeners: {why}"))?;
        Ok(Settings { labels, tls: Some(Arc::new(tls)) })
    }
}

fn strings(value: Option<&Value>) -> Vec<String> {
    let list = value.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

/// A listener with this certificate, for clients of these authorities.
fn tls(cert: &str, key: &str, clients: &str) -> Result<rustls::ServerConfig, String> {
    let certs = |pem: &str| {
        CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| e.to_string())
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for authority in certs(clients)? {
        roots.add(authority).map_err(|e| e.to_string())?;
    }
    let roots = Arc::new(roots);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider))
        .build()
        .map_err(|e| e.to_string())?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|e| e.to_string())?;
    rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certs(cert)?, key)
        .map_err(|e| e.to_string())
}
