//! When certificates are made and renewed, and by whom.

use std::path::Path;

use fleet_driver::{Result, Secret};
use time::OffsetDateTime;

use super::check::Authorities;
use super::files::{Change, Contents, change, missing};
use super::{CA_FILE, CA_KEY_FILE, CERT_FILE, KEY_FILE, LEAF_DUE, check, issue};

/// Which authority issued the client certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Issuer {
    /// The one that issues.
    Current,
    /// Its predecessor, while a rotation is under way.
    Former,
}

/// Whether a certificate that ends then should be issued anew, under an authority that
/// ends at `ca_ends`.
pub(super) fn due(ends: OffsetDateTime, ca_ends: OffsetDateTime, now: OffsetDateTime) -> bool {
    ends - now < LEAF_DUE && ends < ca_ends
}

/// Whether the client certificate should be issued anew.
pub(super) fn client_due(
    issuer: Issuer,
    ends: OffsetDateTime,
    ca_ends: OffsetDateTime,
    now: OffsetDateTime,
) -> bool {
    // Engines that were not configured anew yet let in clients of the former authority
    // only, so that its certificate is used up to its last day.
    ends <= now || (issuer == Issuer::Current && due(ends, ca_ends, now))
}

/// Tells which of the authorities issued the client certificate.
///
/// # Errors
/// `Conflict`: none of them.
pub(super) fn client_of(dir: &Path, authorities: &Authorities, cert: &str) -> Result<Issuer> {
    let good = check::client(dir, &[&authorities.ca], cert);
    match &authorities.old {
        Some(old) if good.is_err() => check::client(dir, &[old], cert).map(|()| Issuer::Former),
        _ => good.map(|()| Issuer::Current),
    }
}

/// Makes an authority and the client certificate.
pub(super) fn create(dir: &Path, fleet: &str, now: OffsetDateTime) -> Result<()> {
    let ca = issue::authority(fleet, now)?;
    let client = issue::client(&ca.cert, &ca.key, fleet, now)?;
    change(
        dir,
        &[
            (CA_KEY_FILE, Change::Write(ca.key.expose())),
            (CA_FILE, Change::Write(&ca.cert)),
            (KEY_FILE, Change::Write(client.key.expose())),
            (CERT_FILE, Change::Write(&client.cert)),
        ],
    )
}

/// Whether the client certificate should be made or renewed; no for what is damaged,
/// which loading tells.
pub(super) fn wanted(dir: &Path, found: &Contents, now: OffsetDateTime) -> Result<bool> {
    let authorities = check::authorities(dir, found)?;
    let Some(cert) = &found.cert else { return Ok(true) };
    let whole = found
        .key
        .as_ref()
        .is_some_and(|key| check::pair(dir, (cert, CERT_FILE), (key, KEY_FILE)).is_ok());
    let (true, Some(ends), Some(ca_ends)) =
        (whole, check::not_after(cert), check::not_after(&authorities.ca))
    else {
        return Ok(false);
    };
    Ok(ends <= now
        || client_of(dir, &authorities, cert)
            .map_or(true, |issuer| client_due(issuer, ends, ca_ends, now)))
}

/// Issues the client certificate anew, if the authority and its key are good.
pub(super) fn client(dir: &Path, fleet: &str, found: &Contents, now: OffsetDateTime) -> Result<()> {
    let (ca, ca_key) = issuing(dir, found, now)?;
    let client = issue::client(&ca, ca_key, fleet, now)?;
    change(
        dir,
        &[(KEY_FILE, Change::Write(client.key.expose())), (CERT_FILE, Change::Write(&client.cert))],
    )
}

/// The authority that issues, and its key, after making sure that they are good.
pub(super) fn issuing<'a>(
    dir: &Path,
    found: &'a Contents,
    now: OffsetDateTime,
) -> Result<(String, &'a Secret<String>)> {
    let ca = check::authorities(dir, found)?.ca;
    check::lasting(dir, &ca, now)?;
    let ca_key = found.ca_key.as_ref().ok_or_else(|| missing(dir, CA_KEY_FILE))?;
    check::pair(dir, (&ca, CA_FILE), (ca_key, CA_KEY_FILE))?;
    Ok((ca, ca_key))
}
