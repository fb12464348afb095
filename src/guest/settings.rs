//! The engine's settings in a guest: what fleet owns of `daemon.json`, the systemd
//! drop-in, the certificates, and a digest of it all.
//!
//! # Why
//! The digest is a label of the engine, so that the *running* engine says which
//! settings it was started with: one Engine API call tells whether they are current.
//! What fleet set is kept beside `daemon.json` too, so that a key that is no longer
//! wanted is taken out again while the user's own keys stay.
//!
//! Keys of `daemon.json`:
//! <https://docs.docker.com/reference/cli/dockerd/#daemon-configuration-file>.
//! A listener given both there and on the start line is an error of the engine, hence
//! the drop-in, whose start line has none. OpenRC's start line has none by itself.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use fleet_driver::{Error, Result, Secret};
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use time::UtcOffset;
use time::format_description::well_known::Rfc3339;

use super::GuestFile;
use super::source::Init;
use crate::config::Spec;
use crate::engine::{CERT_ENDS_LABEL, SETTINGS_LABEL};
use crate::pki::{Pki, ServerCert, ServerName, hex};
use crate::templates;

/// The port of the engine in a guest.
pub const ENGINE_PORT: u16 = 2376;
/// The folder of what fleet keeps about the engine, private to root.
pub const FLEET_DIR: &str = "/etc/docker/fleet";
/// The engine's own settings file.
pub const DAEMON_JSON: &str = "/etc/docker/daemon.json";
/// What fleet put into it.
pub const OWN_JSON: &str = "/etc/docker/fleet/daemon.json";
/// The systemd drop-in.
pub const DROP_IN: &str = "/etc/systemd/system/docker.service.d/10-fleet.conf";

/// The engine's local socket as systemd hands it over.
const HANDED: &str = "fd://";
/// The same socket where the engine opens it by itself.
const OWN_SOCKET: &str = "unix:///var/run/docker.sock";

/// Grows whenever the files change in a way that the values below do not show.
const FORMAT: u32 = 1;

/// What the engine of one machine should run with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Without the labels, one of which depends on the certificate.
    own: Map<String, Value>,
    labels: Vec<String>,
    env: BTreeMap<String, String>,
    ca: String,
    names: Vec<ServerName>,
    digest: String,
}

/// What a guest's disk holds of the engine's settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OnDisk {
    /// `daemon.json`, if it is there.
    pub daemon: Option<String>,
    /// What fleet put into it the last time.
    pub own: Option<String>,
    /// The path of `dockerd`, if it is installed.
    pub dockerd: Option<String>,
    /// Who opens the engine's local socket.
    pub socket: Socket,
}

/// Who opens the engine's local socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Socket {
    /// systemd, which hands it over.
    #[default]
    Handed,
    /// The engine.
    Own,
}

/// The settings as part of a first boot.
#[derive(Debug, Clone)]
pub struct FirstBoot {
    /// To be run before the files are written.
    pub early: Secret<String>,
    /// The files, without those that `early` writes: `daemon.json`, since the image may
    /// have one, and the drop-in, since systemd must read it before the engine starts, or
    /// what OpenRC reads instead of it.
    pub files: Vec<GuestFile>,
}

#[derive(Serialize)]
struct DropIn<'a> {
    dockerd: &'a str,
}

#[derive(Serialize)]
struct Environment<'a> {
    variables: Vec<Variable<'a>>,
}

#[derive(Serialize)]
struct Variable<'a> {
    name: &'a str,
    value: &'a str,
}

#[derive(Serialize)]
struct Early<'a> {
    own: &'a str,
    own_openrc: &'a str,
    conf: &'a str,
    drop_in: &'a str,
    drop_in_dir: &'a str,
    drop_in_path: &'a str,
}

/// The names by which a machine's engine is reached: its name, its lab address,
/// loopback (forwarded ports), and the addresses in `more`.
pub fn server_names(spec: &Spec, more: &[IpAddr]) -> Vec<ServerName> {
    let mut names = vec![ServerName::Dns(spec.name.clone()), ServerName::Ip(spec.address.into())];
    let mut rest: Vec<ServerName> = more.iter().copied().map(ServerName::Ip).collect();
    rest.push(ServerName::Ip(Ipv4Addr::LOCALHOST.into()));
    rest.push(ServerName::Dns("localhost".to_owned()));
    rest.sort();
    rest.dedup();
    rest.retain(|name| !names.contains(name));
    names.append(&mut rest);
    names
}

impl Settings {
    /// Works out the settings of a machine's engine whose certificate has `names`.
    ///
    /// `serial` is 0 at first, and counted up to have a new certificate issued although
    /// nothing else has changed.
    pub fn new(spec: &Spec, pki: &Pki, names: Vec<ServerName>, serial: u32) -> Self {
        let engine = &spec.engine;
        let mut own = Map::new();
        let mut set = |key: &str, value: Value| own.insert(key.to_owned(), value);
        // The socket depends on the guest; the digest does not.
        set("hosts", json!([HANDED, format!("tcp://0.0.0.0:{ENGINE_PORT}")]));
        set("tlsverify", json!(true));
        set("tlscacert", json!(format!("{FLEET_DIR}/ca.pem")));
        set("tlscert", json!(format!("{FLEET_DIR}/server.pem")));
        set("tlskey", json!(format!("{FLEET_DIR}/server-key.pem")));
        if !engine.registry_mirrors.is_empty() {
            set("registry-mirrors", json!(engine.registry_mirrors));
        }
        if !engine.insecure_registries.is_empty() {
            set("insecure-registries", json!(engine.insecure_registries));
        }
        if let Some(driver) = &engine.log_driver {
            set("log-driver", json!(driver));
        }
        if !engine.log_opts.is_empty() {
            set("log-opts", json!(engine.log_opts));
        }
        if let Some(driver) = &engine.storage_driver {
            set("storage-driver", json!(driver));
        }
        let mut labels: Vec<String> =
            engine.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();

        let mut what = vec![
            json!(FORMAT),
            json!(own),
            json!(labels),
            json!(engine.env),
            json!(pki.fingerprint()),
            json!(names.iter().map(ToString::to_string).collect::<Vec<_>>()),
        ];
        if serial > 0 {
            what.push(json!(serial));
        }
        let hash = Sha256::digest(json!(what).to_string().as_bytes());
        let digest = hex(&hash[..6]);

        labels.push(format!("{SETTINGS_LABEL}={digest}"));
        let ca = pki.engine_trust().to_owned();
        Self { own, labels, env: engine.env.clone(), ca, names, digest }
    }

    /// Twelve hex digits that change whenever the engine must be configured again: to be
    /// compared with what the running engine says of itself.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The names of the engine's certificate.
    pub fn names(&self) -> &[ServerName] {
        &self.names
    }

    /// The files for a guest that has `disk`, with the engine's certificate `cert`.
    ///
    /// What OpenRC reads is left out: it belongs to the guest, and is added to in place.
    ///
    /// # Errors
    /// `Conflict`: the guest's `daemon.json` is not a JSON object.
    pub fn files(&self, cert: &ServerCert, disk: &OnDisk, init: Init) -> Result<Vec<GuestFile>> {
        let mut files = self.common(cert)?;
        let mut add = |path: &str, mode, text: String| {
            files.push(GuestFile {
                path: path.to_owned(),
                mode,
                content: Secret::new(text.into_bytes()),
            });
        };
        let own = self.own(cert, disk.socket)?;
        add(OWN_JSON, 0o600, pretty(&own));
        // Options of a log driver may hold a token.
        add(DAEMON_JSON, 0o600, pretty(&merged(own, disk)?));
        if init == Init::Systemd {
            add(DROP_IN, 0o644, drop_in(disk.dockerd.as_deref().unwrap_or("dockerd"))?);
        }
        Ok(files)
    }

    /// The settings for a first boot, when nobody has seen the guest's disk yet.
    ///
    /// # Errors
    /// `Bug`: a template is broken.
    pub fn first_boot(&self, cert: &ServerCert) -> Result<FirstBoot> {
        let own = pretty(&self.own(cert, Socket::Handed)?);
        let own_openrc = pretty(&self.own(cert, Socket::Own)?);
        let dir = DROP_IN.rsplit_once('/').map_or("/", |(dir, _)| dir);
        let view = Early {
            own: own.trim_end(),
            own_openrc: own_openrc.trim_end(),
            conf: templates::plain("docker/conf.d"),
            // Where the engine is, or will be, is not known yet; systemd looks for it in
            // the usual folders (systemd.service(5), COMMAND LINES).
            drop_in: &drop_in("dockerd")?,
            drop_in_dir: dir,
            drop_in_path: DROP_IN,
        };
        let early = templates::render("guest/early.sh", &view)?;
        Ok(FirstBoot { early: Secret::new(early), files: self.common(cert)? })
    }

    fn common(&self, cert: &ServerCert) -> Result<Vec<GuestFile>> {
        let variables = self.env.iter().map(|(name, value)| Variable { name, value }).collect();
        let environment = templates::render("docker/environment", &Environment { variables })?;
        let file = |name: &str, mode, text: &str| GuestFile {
            path: format!("{FLEET_DIR}/{name}"),
            mode,
            content: Secret::new(text.as_bytes().to_vec()),
        };
        Ok(vec![
            file("ca.pem", 0o644, &self.ca),
            file("server.pem", 0o644, &cert.cert),
            file("server-key.pem", 0o600, cert.key.expose()),
            // A proxy's address may hold a password, and anybody in the guest may ask
            // systemd for `Environment=`; a file is root's alone. What systemd reads from
            // it a shell reads too.
            file("environment", 0o600, &environment),
        ])
    }

    /// The keys that fleet owns, for an engine with this certificate.
    ///
    /// The certificate's end is told for `fleet` to see when a new one is due. It is no
    /// part of the digest: the settings are the same with any certificate.
    fn own(&self, cert: &ServerCert, socket: Socket) -> Result<Map<String, Value>> {
        let ends = cert
            .ends
            .to_offset(UtcOffset::UTC)
            .format(&Rfc3339)
            .map_err(|e| Error::bug("the end of a certificate has no text").because(e))?;
        let mut labels = self.labels.clone();
        labels.push(format!("{CERT_ENDS_LABEL}={ends}"));
        let mut own = self.own.clone();
        own.insert("labels".to_owned(), json!(labels));
        if socket == Socket::Own
            && let Some(hosts) = own.get_mut("hosts").and_then(Value::as_array_mut)
        {
            for host in hosts.iter_mut().filter(|host| *host == HANDED) {
                *host = json!(OWN_SOCKET);
            }
        }
        Ok(own)
    }
}

/// The guest's `daemon.json` with fleet's keys in it, and without those that fleet put
/// there earlier and wants no longer.
fn merged(own: Map<String, Value>, disk: &OnDisk) -> Result<Map<String, Value>> {
    let mut merged = match disk.daemon.as_deref().map(str::trim) {
        None | Some("") => Map::new(),
        Some(text) => serde_json::from_str(text).map_err(|e| {
            Error::conflict(format!("`{DAEMON_JSON}` in the machine is not a JSON object"))
                .hint("correct or remove that file in the machine: fleet keeps its keys")
                .because(e)
        })?,
    };
    let before: Map<String, Value> =
        disk.own.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    merged.retain(|key, value| before.get(key) != Some(value));
    merged.extend(own);
    Ok(merged)
}

fn drop_in(dockerd: &str) -> Result<String> {
    templates::render("docker/10-fleet.conf", &DropIn { dockerd })
}

fn pretty(object: &Map<String, Value>) -> String {
    // `{:#}` of a JSON value is its indented form.
    format!("{:#}\n", Value::Object(object.clone()))
}

#[cfg(test)]
mod tests;
