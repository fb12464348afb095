//! Makes and checks certificates; touches no file.

use std::path::Path;
use std::sync::Arc;

use fleet_driver::{Error, Result, Secret};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use time::{Duration, OffsetDateTime};

use super::files::damaged;
use super::{CA_FILE, CERT_FILE, ServerCert, ServerName};

const LIFE: Duration = Duration::days(3652);
/// A guest's clock may be a little behind.
const SKEW: Duration = Duration::minutes(5);

/// Makes an authority that may sign leaves only (path length 0).
pub(super) fn authority(fleet: &str) -> Result<(String, Secret<String>)> {
    let now = OffsetDateTime::now_utc();
    let mut params = subject(fleet, &format!("fleet {fleet} CA"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = now - SKEW;
    params.not_after = now + LIFE;
    let key = new_key()?;
    let cert = params.self_signed(&key).map_err(unissued)?;
    Ok((cert.pem(), Secret::new(key.serialize_pem())))
}

/// Issues the client certificate.
pub(super) fn client(ca: &str, ca_key: &Secret<String>, fleet: &str) -> Result<ServerCert> {
    let mut params = subject(fleet, "fleet client");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    leaf(params, ca, ca_key)
}

/// Issues a server certificate for `names`.
pub(super) fn server(
    ca: &str,
    ca_key: &Secret<String>,
    names: &[ServerName],
) -> Result<ServerCert> {
    let first = names.first().ok_or_else(|| Error::bug("a server certificate without names"))?;
    let mut params = subject("fleet", &first.to_string());
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    for name in names {
        params.subject_alt_names.push(match name {
            ServerName::Ip(ip) => SanType::IpAddress(*ip),
            ServerName::Dns(name) => SanType::DnsName(name.as_str().try_into().map_err(|e| {
                Error::config(format!("`{name}` cannot stand in a certificate")).because(e)
            })?),
        });
    }
    leaf(params, ca, ca_key)
}

fn subject(organisation: &str, name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, organisation);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn leaf(mut params: CertificateParams, ca: &str, ca_key: &Secret<String>) -> Result<ServerCert> {
    let ends = not_after(ca).ok_or_else(|| Error::bug("an authority without an end"))?;
    params.not_before = OffsetDateTime::now_utc() - SKEW;
    params.not_after = ends;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    let ca_key = KeyPair::from_pem(ca_key.expose()).map_err(unissued)?;
    let issuer = Issuer::from_ca_cert_pem(ca, ca_key).map_err(unissued)?;
    let key = new_key()?;
    let cert = params.signed_by(&key, &issuer).map_err(unissued)?;
    Ok(ServerCert { cert: cert.pem(), key: Secret::new(key.serialize_pem()) })
}

fn new_key() -> Result<KeyPair> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(unissued)
}

fn unissued(e: rcgen::Error) -> Error {
    Error::host("could not make a certificate").because(e)
}

/// Says when a certificate ends, and refuses one that has.
pub(super) fn expiry(dir: &Path, cert: &str, name: &str) -> Result<OffsetDateTime> {
    let ends = not_after(cert).ok_or_else(|| damaged(dir, name, "is not a certificate"))?;
    if ends <= OffsetDateTime::now_utc() {
        return Err(damaged(dir, name, &format!("expired on {}", ends.date())));
    }
    Ok(ends)
}

fn not_after(cert: &str) -> Option<OffsetDateTime> {
    let der = CertificateDer::from_pem_slice(cert.as_bytes()).ok()?;
    let (_, parsed) = x509_parser::parse_x509_certificate(&der).ok()?;
    Some(parsed.validity().not_after.to_datetime())
}

/// Checks that a key is the one that a certificate speaks of.
pub(super) fn check_pair(
    dir: &Path,
    cert: &str,
    cert_name: &str,
    key: &Secret<String>,
    key_name: &str,
) -> Result<()> {
    // The cause is left out: a parser's message might quote what it read.
    let pair = KeyPair::from_pem(key.expose())
        .map_err(|_| damaged(dir, key_name, "is not a private key"))?;
    let der = CertificateDer::from_pem_slice(cert.as_bytes())
        .map_err(|_| damaged(dir, cert_name, "is not a certificate"))?;
    let (_, parsed) = x509_parser::parse_x509_certificate(&der)
        .map_err(|_| damaged(dir, cert_name, "is not a certificate"))?;
    if parsed.public_key().subject_public_key.data.as_ref() == pair.public_key_raw() {
        Ok(())
    } else {
        Err(damaged(dir, key_name, &format!("does not belong to `{cert_name}`")))
    }
}

/// Checks that the authority signed the client certificate, as an engine would.
pub(super) fn check_signed(dir: &Path, ca: &str, cert: &str) -> Result<()> {
    let der = |text: &str, name| {
        CertificateDer::from_pem_slice(text.as_bytes())
            .map_err(|_| damaged(dir, name, "is not a certificate"))
    };
    let mut roots = RootCertStore::empty();
    roots
        .add(der(ca, CA_FILE)?)
        .map_err(|e| damaged(dir, CA_FILE, "is not an authority").because(e))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|e| damaged(dir, CA_FILE, "is not an authority").because(e))?;
    verifier.verify_client_cert(&der(cert, CERT_FILE)?, &[], UnixTime::now()).map_err(|e| {
        damaged(dir, CERT_FILE, &format!("is not good under `{CA_FILE}`")).because(e)
    })?;
    Ok(())
}
