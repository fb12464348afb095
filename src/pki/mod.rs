//! The fleet's certificates: one authority, one client certificate, and a server
//! certificate for each engine.
//!
//! The folder has the names that Docker clients expect of `DOCKER_CERT_PATH`
//! (`ca.pem`, `cert.pem`, `key.pem`) and, beside them, the authority's own key.
//!
//! # Why
//! Server and client certificates live as long as their authority (ten years): an
//! engine is secured anew whenever the authority changes, so an earlier end would
//! only add a way to fail. Keys are ECDSA P-256, which every Docker client speaks.

mod files;
mod issue;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use fleet_driver::{Error, Result, Secret};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

/// The authority's certificate.
pub const CA_FILE: &str = "ca.pem";
/// The authority's private key.
pub const CA_KEY_FILE: &str = "ca-key.pem";
/// The client certificate.
pub const CERT_FILE: &str = "cert.pem";
/// The client's private key.
pub const KEY_FILE: &str = "key.pem";

/// The certificates of one fleet.
#[derive(Debug, Clone)]
pub struct Pki {
    dir: PathBuf,
    ca: String,
    cert: String,
    key: Secret<String>,
    ca_key: Option<Secret<String>>,
    ca_expires: OffsetDateTime,
    client_expires: OffsetDateTime,
}

/// A name or address by which clients reach an engine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServerName {
    /// An address.
    Ip(IpAddr),
    /// A host name.
    Dns(String),
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Dns(name) => f.write_str(name),
        }
    }
}

/// The certificate of one engine, both parts in PEM.
#[derive(Debug, Clone)]
pub struct ServerCert {
    /// The certificate.
    pub cert: String,
    /// Its private key (PKCS #8).
    pub key: Secret<String>,
}

impl Pki {
    /// Loads the certificates in `dir`, the folder `.fleet/certs`, and makes what is
    /// missing; `fleet` is the fleet's id and shows in the certificates' subjects.
    ///
    /// The caller holds the lock of the fleet. Being killed at any point leaves what
    /// the next call finishes.
    ///
    /// # Errors
    /// `Host`: a file cannot be read or written. `Conflict`: files are damaged, have
    /// expired or do not belong together; names the file and the way out.
    pub fn open_or_create(dir: &Path, fleet: &str) -> Result<Self> {
        files::make_dir(dir)?;
        files::sweep(dir);
        let has = |name: &str| dir.join(name).exists();
        if !has(CA_FILE) {
            // The authority comes first, so a client certificate without it means that
            // somebody took the authority away.
            if has(CERT_FILE) {
                return Err(missing(dir, CA_FILE));
            }
            let (cert, key) = issue::authority(fleet)?;
            // The key first: a key alone has signed nothing and is replaced.
            files::write(&dir.join(CA_KEY_FILE), key.expose().as_bytes())?;
            files::write(&dir.join(CA_FILE), cert.as_bytes())?;
        }
        if !has(CERT_FILE) {
            let ca = files::read(dir, CA_FILE)?;
            if !has(CA_KEY_FILE) {
                return Err(missing(dir, CA_KEY_FILE));
            }
            let ca_key = Secret::new(files::read(dir, CA_KEY_FILE)?);
            issue::check_pair(dir, &ca, CA_FILE, &ca_key, CA_KEY_FILE)?;
            let made =
                issue::client(&ca, &ca_key, fleet).map_err(|e| e.with("folder", dir.display()))?;
            files::write(&dir.join(KEY_FILE), made.key.expose().as_bytes())?;
            files::write(&dir.join(CERT_FILE), made.cert.as_bytes())?;
        }
        let pki = Self::load(dir)?;
        if pki.ca_key.is_none() {
            return Err(missing(dir, CA_KEY_FILE));
        }
        Ok(pki)
    }

    /// Loads the certificates in `dir`; writes nothing, and does without the
    /// authority's key.
    ///
    /// # Errors
    /// `NotFound`: there are none yet. Else as [`Pki::open_or_create`].
    pub fn load(dir: &Path) -> Result<Self> {
        if !dir.join(CA_FILE).exists() && !dir.join(CERT_FILE).exists() {
            return Err(Error::not_found("the fleet has no certificates yet")
                .with("folder", dir.display())
                .hint("`fleet up` makes them"));
        }
        for name in [CA_FILE, CERT_FILE, KEY_FILE] {
            if !dir.join(name).exists() {
                return Err(missing(dir, name));
            }
        }
        let ca = files::read(dir, CA_FILE)?;
        let cert = files::read(dir, CERT_FILE)?;
        let key = Secret::new(files::read(dir, KEY_FILE)?);
        let ca_expires = issue::expiry(dir, &ca, CA_FILE)?;
        let client_expires = issue::expiry(dir, &cert, CERT_FILE)?;
        issue::check_pair(dir, &cert, CERT_FILE, &key, KEY_FILE)?;
        issue::check_signed(dir, &ca, &cert)?;
        let ca_key = if dir.join(CA_KEY_FILE).exists() {
            let ca_key = Secret::new(files::read(dir, CA_KEY_FILE)?);
            issue::check_pair(dir, &ca, CA_FILE, &ca_key, CA_KEY_FILE)?;
            Some(ca_key)
        } else {
            None
        };
        Ok(Self { dir: dir.to_owned(), ca, cert, key, ca_key, ca_expires, client_expires })
    }

    /// Issues a server certificate for an engine that is reached by `names`.
    ///
    /// # Errors
    /// `Conflict`: the authority's key is not there. `Config`: a name cannot stand in
    /// a certificate.
    pub fn server(&self, names: &[ServerName]) -> Result<ServerCert> {
        let key = self.ca_key.as_ref().ok_or_else(|| missing(&self.dir, CA_KEY_FILE))?;
        issue::server(&self.ca, key, names)
    }

    /// The folder, which is also what `DOCKER_CERT_PATH` wants.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The authority's certificate in PEM.
    pub fn ca(&self) -> &str {
        &self.ca
    }

    /// SHA-256 of the authority's certificate, in lower-case hex.
    pub fn fingerprint(&self) -> String {
        hex(&Sha256::digest(self.ca_der()))
    }

    /// When the authority, and with it every engine's certificate, expires.
    pub fn ca_expires(&self) -> OffsetDateTime {
        self.ca_expires
    }

    /// When the client certificate expires.
    pub fn client_expires(&self) -> OffsetDateTime {
        self.client_expires
    }

    pub(crate) fn ca_der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.ca.as_bytes()).expect("checked when loaded")
    }

    pub(crate) fn client_der(&self) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        (
            CertificateDer::from_pem_slice(self.cert.as_bytes()).expect("checked when loaded"),
            PrivateKeyDer::from_pem_slice(self.key.expose().as_bytes())
                .expect("checked when loaded"),
        )
    }
}

/// Writes bytes in lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

fn missing(dir: &Path, name: &str) -> Error {
    Error::conflict(format!("`{name}` is missing from the fleet's certificates"))
        .with("file", dir.join(name).display())
        .hint(files::remedy(dir))
}
