//! Replaces the authority so that nobody is locked out meanwhile.
//!
//! | | before | [`Pki::begin_rotation`] | [`Pki::finish_rotation`] |
//! | --- | --- | --- | --- |
//! | `ca.pem`, `engine_trust` | old | new, old | new |
//! | server certificates of | old | new, for which old vouches | new |
//! | client certificate of | old | old | new |
//!
//! After each of the two, every engine is to be configured anew; the fingerprint, and
//! with it the digest of the settings, tells which ones are done.
//!
//! # Who gets in
//! - Whoever reads the folder reaches every engine at any time.
//! - A copy of `cert.pem`, `key.pem` and `ca.pem` made before the rotation reaches every
//!   engine until that engine is configured after [`Pki::finish_rotation`]. (It accepts
//!   the new authority's engines since they show `ca-cross.pem`.)
//! - A copy made during the rotation holds the old client certificate, so that the same
//!   is true of it.
//! - After [`Pki::finish_rotation`], an engine that was never configured for the new
//!   authority is out of reach until it is configured over SSH: hence the condition.
//!
//! Where the old authority's key is lost, or its time is over, it cannot vouch for the
//! new one; copies are then cut off by each engine when it is configured the first time.

use std::path::Path;

use fleet_driver::{Error, Result};
use time::OffsetDateTime;

use super::files::{self, Change};
use super::renew::issuing;
use super::{
    CA_CROSS_FILE, CA_FILE, CA_KEY_FILE, CA_OLD_FILE, CERT_FILE, KEY_FILE, Pki, check, issue,
};

/// What [`Pki::begin_rotation`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// There is a new authority now.
    Now,
    /// A rotation was under way already; nothing has changed.
    Before,
}

/// What [`Pki::finish_rotation`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finished {
    /// The former authority counts no more.
    Now,
    /// No rotation was under way; nothing has changed.
    Before,
}

impl Pki {
    /// Makes a new authority for the fleet `fleet`, which issues from now on, and trusts
    /// the old one beside it. Its key may be lost, and it may have expired.
    ///
    /// The caller holds the lock of the fleet, and opens the certificates again. Being
    /// killed at any point leaves all of it or nothing.
    ///
    /// # Errors
    /// `NotFound`: the fleet has no certificates. `Host`: a file cannot be read or
    /// written. `Conflict`: the authorities' certificates are damaged.
    pub fn begin_rotation(dir: &Path, fleet: &str) -> Result<Begun> {
        files::prepare(dir)?;
        let found = files::read(dir)?;
        if found.ca.is_none() && found.cert.is_none() && found.ca_old.is_none() {
            return Err(Error::not_found("the fleet has no certificates yet")
                .with("folder", dir.display())
                .hint("`fleet up` makes them"));
        }
        let authorities = check::authorities(dir, &found)?;
        if authorities.old.is_some() {
            return Ok(Begun::Before);
        }
        let now = OffsetDateTime::now_utc();
        let old = authorities.ca;
        let new = issue::authority(fleet, now)?;
        let cross = match issuing(dir, &found, now) {
            Ok((_, old_key)) => Some(issue::cross(fleet, &new.key, &old, old_key, now)?),
            Err(_) => None,
        };
        files::change(
            dir,
            &[
                (CA_FILE, Change::Write(&format!("{}{old}", new.cert))),
                (CA_KEY_FILE, Change::Write(new.key.expose())),
                (CA_OLD_FILE, Change::Write(&old)),
                (CA_CROSS_FILE, cross.as_deref().map_or(Change::Remove, Change::Write)),
            ],
        )?;
        Ok(Begun::Now)
    }

    /// Issues the client certificate by the new authority and forgets the old one; to be
    /// called once every engine runs with the settings of the rotation.
    ///
    /// The caller holds the lock of the fleet, and opens the certificates again. Being
    /// killed at any point leaves all of it or nothing.
    ///
    /// # Errors
    /// `Host`: a file cannot be read or written. `Conflict`: files are missing, damaged
    /// or do not belong together.
    pub fn finish_rotation(dir: &Path, fleet: &str) -> Result<Finished> {
        files::prepare(dir)?;
        let found = files::read(dir)?;
        if found.ca_old.is_none() {
            return Ok(Finished::Before);
        }
        let now = OffsetDateTime::now_utc();
        let (ca, ca_key) = issuing(dir, &found, now)?;
        let client = issue::client(&ca, ca_key, fleet, now)?;
        files::change(
            dir,
            &[
                (KEY_FILE, Change::Write(client.key.expose())),
                (CERT_FILE, Change::Write(&client.cert)),
                (CA_FILE, Change::Write(&ca)),
                (CA_OLD_FILE, Change::Remove),
                (CA_CROSS_FILE, Change::Remove),
            ],
        )?;
        Ok(Finished::Now)
    }
}
