//! Makes certificates; touches no file.

use fleet_driver::{Error, Result, Secret};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};

use super::check::not_after;
use super::{CA_LIFE, LEAF_LIFE, ServerCert, ServerName, hex};

/// A guest's clock may be a little behind.
const SKEW: Duration = Duration::minutes(5);

/// An authority that was just made, in PEM.
pub(super) struct Authority {
    pub(super) cert: String,
    pub(super) key: Secret<String>,
}

/// Makes an authority that may sign leaves and its successor (path length 1).
pub(super) fn authority(fleet: &str, now: OffsetDateTime) -> Result<Authority> {
    let key = new_key()?;
    let mut params = authority_params(fleet, &key, now);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    let cert = params.self_signed(&key).map_err(unissued)?;
    Ok(Authority { cert: cert.pem(), key: Secret::new(key.serialize_pem()) })
}

/// Lets the authority `old` vouch for its successor, whose key is `key`: clients that
/// trust `old` alone then accept what the successor issues.
pub(super) fn cross(
    fleet: &str,
    key: &Secret<String>,
    old: &str,
    old_key: &Secret<String>,
    now: OffsetDateTime,
) -> Result<String> {
    let key = KeyPair::from_pem(key.expose()).map_err(unissued)?;
    let mut params = authority_params(fleet, &key, now);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.use_authority_key_identifier_extension = true;
    params.not_after = params.not_after.min(end_of(old)?);
    let cert = params.signed_by(&key, &issuer(old, old_key)?).map_err(unissued)?;
    Ok(cert.pem())
}

fn authority_params(fleet: &str, key: &KeyPair, now: OffsetDateTime) -> CertificateParams {
    // Two authorities of a fleet need two names, or clients mistake one for the other.
    let id = hex(&Sha256::digest(key.public_key_raw())[..4]);
    let mut params = subject(fleet, &format!("fleet {fleet} CA {id}"));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = now - SKEW;
    params.not_after = now + CA_LIFE;
    params
}

/// Issues the client certificate.
pub(super) fn client(
    ca: &str,
    ca_key: &Secret<String>,
    fleet: &str,
    now: OffsetDateTime,
) -> Result<ServerCert> {
    let mut params = subject(fleet, "fleet client");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    leaf(params, ca, ca_key, now)
}

/// Issues a server certificate for `names`.
pub(super) fn server(
    ca: &str,
    ca_key: &Secret<String>,
    names: &[ServerName],
    now: OffsetDateTime,
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
    leaf(params, ca, ca_key, now)
}

fn subject(organisation: &str, name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, organisation);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn leaf(
    mut params: CertificateParams,
    ca: &str,
    ca_key: &Secret<String>,
    now: OffsetDateTime,
) -> Result<ServerCert> {
    params.not_before = now - SKEW;
    params.not_after = (now + LEAF_LIFE).min(end_of(ca)?);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    let key = new_key()?;
    let cert = params.signed_by(&key, &issuer(ca, ca_key)?).map_err(unissued)?.pem();
    let ends = end_of(&cert)?;
    Ok(ServerCert { cert, key: Secret::new(key.serialize_pem()), ends })
}

fn issuer(ca: &str, ca_key: &Secret<String>) -> Result<Issuer<'static, KeyPair>> {
    let ca_key = KeyPair::from_pem(ca_key.expose()).map_err(unissued)?;
    Issuer::from_ca_cert_pem(ca, ca_key).map_err(unissued)
}

/// A certificate tells whole seconds, so its own word counts.
fn end_of(cert: &str) -> Result<OffsetDateTime> {
    not_after(cert).ok_or_else(|| Error::bug("a certificate without an end"))
}

fn new_key() -> Result<KeyPair> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(unissued)
}

fn unissued(e: rcgen::Error) -> Error {
    Error::host("could not make a certificate").because(e)
}
