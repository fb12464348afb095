//! Reads and checks certificates; touches no file.

use std::path::Path;
use std::sync::Arc;

use fleet_driver::{Error, Result, Secret};
use rcgen::KeyPair;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use time::OffsetDateTime;

use super::files::{Contents, damaged, missing};
use super::{CA_CROSS_FILE, CA_FILE, CA_OLD_FILE, CERT_FILE};

/// The authorities of a fleet, each in PEM.
pub(super) struct Authorities {
    /// The one that issues.
    pub(super) ca: String,
    /// Its predecessor, while a rotation is under way.
    pub(super) old: Option<String>,
    /// The issuing one as its predecessor vouches for it.
    pub(super) cross: Option<String>,
}

/// Sorts out which authorities there are.
///
/// # Errors
/// `Conflict`: a file is missing or damaged, or the files contradict each other.
pub(super) fn authorities(dir: &Path, found: &Contents) -> Result<Authorities> {
    let bundle = found.ca.as_deref().ok_or_else(|| missing(dir, CA_FILE))?;
    let all = certificates(bundle);
    let first = single(dir, CA_FILE, all.first().copied().unwrap_or_default())?;
    let Some(old) = &found.ca_old else {
        // Which of them is the old one is not for guessing.
        return match all.len() {
            1 => Ok(Authorities { ca: first, old: None, cross: None }),
            _ => Err(missing(dir, CA_OLD_FILE)),
        };
    };
    let old = single(dir, CA_OLD_FILE, old)?;
    if all.len() != 2 || der(all[1]) != der(&old) {
        return Err(damaged(dir, CA_FILE, &format!("does not go with `{CA_OLD_FILE}`")));
    }
    let cross = found.ca_cross.as_deref();
    let cross = cross.map(|cross| single(dir, CA_CROSS_FILE, cross)).transpose()?;
    Ok(Authorities { ca: first, old: Some(old), cross })
}

/// A certificate without what stands around it.
fn single(dir: &Path, name: &str, text: &str) -> Result<String> {
    let pem = certificates(text).first().copied().unwrap_or_default();
    not_after(pem).ok_or_else(|| damaged(dir, name, "is not a certificate"))?;
    Ok(format!("{pem}\n"))
}

/// The certificates in a text, each in PEM.
pub(super) fn certificates(text: &str) -> Vec<&str> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(begin) = rest.find(BEGIN) {
        rest = &rest[begin..];
        let Some(end) = rest.find(END) else { break };
        let (pem, after) = rest.split_at(end + END.len());
        found.push(pem);
        rest = after;
    }
    found
}

pub(super) fn der(cert: &str) -> Option<CertificateDer<'static>> {
    CertificateDer::from_pem_slice(cert.as_bytes()).ok()
}

/// Says when a certificate ends; `None` if it is none.
pub(super) fn not_after(cert: &str) -> Option<OffsetDateTime> {
    let der = der(cert)?;
    let (_, parsed) = x509_parser::parse_x509_certificate(&der).ok()?;
    Some(parsed.validity().not_after.to_datetime())
}

/// Says when the authority ends, and refuses one that has.
pub(super) fn lasting(dir: &Path, ca: &str, now: OffsetDateTime) -> Result<OffsetDateTime> {
    let ends = not_after(ca).ok_or_else(|| damaged(dir, CA_FILE, "is not a certificate"))?;
    if ends <= now {
        return Err(damaged(dir, CA_FILE, &format!("expired on {}", ends.date())));
    }
    Ok(ends)
}

/// Checks that a key is the one that a certificate speaks of.
pub(super) fn pair(
    dir: &Path,
    (cert, cert_name): (&str, &str),
    (key, key_name): (&Secret<String>, &str),
) -> Result<()> {
    // The cause is left out: a parser's message might quote what it read.
    let pair = KeyPair::from_pem(key.expose())
        .map_err(|_| damaged(dir, key_name, "is not a private key"))?;
    let no_certificate = || damaged(dir, cert_name, "is not a certificate");
    let der = der(cert).ok_or_else(no_certificate)?;
    let (_, parsed) = x509_parser::parse_x509_certificate(&der).map_err(|_| no_certificate())?;
    if parsed.public_key().subject_public_key.data.as_ref() == pair.public_key_raw() {
        Ok(())
    } else {
        Err(damaged(dir, key_name, &format!("does not belong to `{cert_name}`")))
    }
}

/// Checks that one of the authorities signed the client certificate, as an engine would.
pub(super) fn client(dir: &Path, authorities: &[&str], cert: &str) -> Result<()> {
    let no_authority = |e: Box<dyn std::error::Error + Send + Sync>| {
        damaged(dir, CA_FILE, "is not an authority").because(e)
    };
    let mut roots = RootCertStore::empty();
    for ca in authorities {
        let ca = der(ca).ok_or_else(|| damaged(dir, CA_FILE, "is not a certificate"))?;
        roots.add(ca).map_err(|e| no_authority(e.into()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|e| no_authority(e.into()))?;
    let der = der(cert).ok_or_else(|| damaged(dir, CERT_FILE, "is not a certificate"))?;
    verifier.verify_client_cert(&der, &[], UnixTime::now()).map_err(|e| {
        damaged(dir, CERT_FILE, &format!("is not good under `{CA_FILE}`")).because(e)
    })?;
    Ok(())
}

/// A client certificate whose time is over.
pub(super) fn expired(dir: &Path, ends: OffsetDateTime) -> Error {
    Error::conflict(format!("`{CERT_FILE}` of the fleet's certificates expired on {}", ends.date()))
        .with("file", dir.join(CERT_FILE).display())
        .hint("`fleet up` renews it")
}
