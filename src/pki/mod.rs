//! The fleet's certificates: one authority, one client certificate, and a server
//! certificate for each engine.
//!
//! The folder has the names that Docker clients expect of `DOCKER_CERT_PATH`
//! (`ca.pem`, `cert.pem`, `key.pem`) and, beside them, the authority's own key. While
//! the authority is being replaced, there are `ca-old.pem` and `ca-cross.pem` too, and
//! `ca.pem` holds both authorities: see [`Pki::begin_rotation`].
//!
//! # Why
//! Keys are ECDSA P-256, which every Docker client speaks.

mod check;
mod files;
mod issue;
mod renew;
mod rotate;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use fleet_driver::{Error, Result, Secret};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};

use self::renew::Issuer;
pub use self::rotate::{Begun, Finished};

/// What Docker clients trust: the authority's certificate, and after it that of its
/// predecessor while a rotation is under way.
pub const CA_FILE: &str = "ca.pem";
/// The authority's private key.
pub const CA_KEY_FILE: &str = "ca-key.pem";
/// The former authority's certificate, while a rotation is under way.
pub const CA_OLD_FILE: &str = "ca-old.pem";
/// The authority as its predecessor vouches for it, while a rotation is under way.
pub const CA_CROSS_FILE: &str = "ca-cross.pem";
/// The client certificate.
pub const CERT_FILE: &str = "cert.pem";
/// The client's private key.
pub const KEY_FILE: &str = "key.pem";

/// How long an authority lives: ten years, since replacing it restarts every engine
/// twice.
pub const CA_LIFE: Duration = Duration::days(3652);
/// How long other certificates live at most: some systems refuse a server certificate
/// that is made for longer (<https://support.apple.com/en-us/103769>).
pub const LEAF_LIFE: Duration = Duration::days(825);
/// How long before its end a certificate is due: whoever runs `fleet up` every other
/// month never meets an expired one.
pub const LEAF_DUE: Duration = Duration::days(90);
/// How long before its end an authority should be replaced: nothing that it issues
/// outlives it, and somebody must find the time for restarting every engine.
pub const CA_DUE: Duration = Duration::days(365);

/// The certificates of one fleet.
#[derive(Debug, Clone)]
pub struct Pki {
    dir: PathBuf,
    ca: String,
    old: Option<String>,
    cross: Option<String>,
    trust: String,
    cert: String,
    key: Secret<String>,
    ca_key: Option<Secret<String>>,
    ca_expires: OffsetDateTime,
    client_expires: OffsetDateTime,
    client_of: Issuer,
    renewed: bool,
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
    /// The certificate, followed by that of an intermediate authority where clients may
    /// need it.
    pub cert: String,
    /// Its private key (PKCS #8).
    pub key: Secret<String>,
    /// When the certificate ends.
    pub ends: OffsetDateTime,
}

impl Pki {
    /// Loads the certificates in `dir`, the folder `.fleet/certs`, makes what is missing
    /// and renews the client certificate where it is due, has expired or is not good
    /// under the authority; `fleet` is the fleet's id and shows in the certificates'
    /// subjects.
    ///
    /// The caller holds the lock of the fleet. Being killed at any point leaves what
    /// the next call finishes.
    ///
    /// # Errors
    /// `Host`: a file cannot be read or written. `Conflict`: files are damaged or do not
    /// belong together, or the authority has expired; names the file and the way out.
    pub fn open_or_create(dir: &Path, fleet: &str) -> Result<Self> {
        files::prepare(dir)?;
        let now = OffsetDateTime::now_utc();
        let found = files::read(dir)?;
        let renewed = if found.ca.is_none() {
            // Something that an authority signed, or that knows of one, means that
            // somebody took the authority away. A key alone has signed nothing.
            if found.cert.is_some() || found.ca_old.is_some() {
                return Err(files::missing(dir, CA_FILE));
            }
            renew::create(dir, fleet, now)?;
            false
        } else if renew::wanted(dir, &found, now)? {
            renew::client(dir, fleet, &found, now)?;
            found.cert.is_some()
        } else {
            false
        };
        let pki = Self::load(dir)?;
        if pki.ca_key.is_none() {
            return Err(files::missing(dir, CA_KEY_FILE));
        }
        Ok(Self { renewed, ..pki })
    }

    /// Loads the certificates in `dir`; writes nothing, needs no lock, and does without
    /// the authority's key.
    ///
    /// # Errors
    /// `NotFound`: there are none yet. `Conflict`: as [`Pki::open_or_create`], or the
    /// client certificate has expired. `Host`: a file cannot be read.
    pub fn load(dir: &Path) -> Result<Self> {
        let found = files::read(dir)?;
        if found.ca.is_none() && found.cert.is_none() && found.ca_old.is_none() {
            return Err(Error::not_found("the fleet has no certificates yet")
                .with("folder", dir.display())
                .hint("`fleet up` makes them"));
        }
        let now = OffsetDateTime::now_utc();
        let authorities = check::authorities(dir, &found)?;
        let cert = found.cert.ok_or_else(|| files::missing(dir, CERT_FILE))?;
        let key = found.key.ok_or_else(|| files::missing(dir, KEY_FILE))?;
        let ca_expires = check::lasting(dir, &authorities.ca, now)?;
        check::pair(dir, (&cert, CERT_FILE), (&key, KEY_FILE))?;
        let client_expires = check::not_after(&cert)
            .ok_or_else(|| files::damaged(dir, CERT_FILE, "is not a certificate"))?;
        if client_expires <= now {
            return Err(check::expired(dir, client_expires));
        }
        let client_of = renew::client_of(dir, &authorities, &cert)?;
        if let Some(ca_key) = &found.ca_key {
            check::pair(dir, (&authorities.ca, CA_FILE), (ca_key, CA_KEY_FILE))?;
        }
        let check::Authorities { ca, old, cross } = authorities;
        Ok(Self {
            dir: dir.to_owned(),
            trust: format!("{ca}{}", old.as_deref().unwrap_or_default()),
            ca,
            old,
            cross,
            cert,
            key,
            ca_key: found.ca_key,
            ca_expires,
            client_expires,
            client_of,
            renewed: false,
        })
    }

    /// Issues a server certificate for an engine that is reached by `names`.
    ///
    /// # Errors
    /// `Conflict`: the authority's key is not there. `Config`: a name cannot stand in
    /// a certificate.
    pub fn server(&self, names: &[ServerName]) -> Result<ServerCert> {
        let key = self.ca_key.as_ref().ok_or_else(|| files::missing(&self.dir, CA_KEY_FILE))?;
        let mut made = issue::server(&self.ca, key, names, OffsetDateTime::now_utc())?;
        made.cert.push_str(self.cross.as_deref().unwrap_or_default());
        Ok(made)
    }

    /// The folder, which is also what `DOCKER_CERT_PATH` wants.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The certificate of the authority that issues, in PEM.
    pub fn ca(&self) -> &str {
        &self.ca
    }

    /// The authorities whose clients an engine lets in, in PEM: the one that issues, and
    /// after it its predecessor while a rotation is under way.
    pub fn engine_trust(&self) -> &str {
        &self.trust
    }

    /// SHA-256 of the authorities that count, the issuing one first, in lower-case hex;
    /// of one authority, this is the usual fingerprint of its certificate. Every phase
    /// of a rotation has its own.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        self.trust_der().iter().for_each(|ca| hash.update(ca));
        hex(&hash.finalize())
    }

    /// Whether the authority is being replaced.
    pub fn rotating(&self) -> bool {
        self.old.is_some()
    }

    /// Whether opening renewed the client certificate.
    pub fn renewed(&self) -> bool {
        self.renewed
    }

    /// When the authority expires; nothing that it issues outlives it.
    pub fn ca_expires(&self) -> OffsetDateTime {
        self.ca_expires
    }

    /// Whether the authority should be replaced.
    pub fn ca_due(&self, now: OffsetDateTime) -> bool {
        self.ca_expires - now < CA_DUE
    }

    /// When the client certificate expires.
    pub fn client_expires(&self) -> OffsetDateTime {
        self.client_expires
    }

    /// Whether the next [`Pki::open_or_create`] renews the client certificate.
    pub fn client_due(&self, now: OffsetDateTime) -> bool {
        renew::client_due(self.client_of, self.client_expires, self.ca_expires, now)
    }

    /// Whether a certificate of this fleet that ends then should be issued anew.
    ///
    /// What ends together with the authority is not due: a new one would end then too.
    pub fn due(&self, ends: OffsetDateTime, now: OffsetDateTime) -> bool {
        renew::due(ends, self.ca_expires, now)
    }

    /// The authorities that count, the issuing one first.
    pub(crate) fn trust_der(&self) -> Vec<CertificateDer<'static>> {
        check::certificates(&self.trust)
            .into_iter()
            .map(|pem| check::der(pem).expect("checked when loaded"))
            .collect()
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
