//! The fleet's own keys and certificates: made, renewed, brought back, and never made
//! anew beside machines that only the lost ones open.

use std::collections::BTreeSet;
use std::path::PathBuf;

use fleet_driver::{Error, Result};

use super::Session;
use super::flow::say;
use crate::guest::keys::KeyPair;
use crate::observe::{Observed, Seen};
use crate::pki::Pki;

/// The fleet's own keys.
pub(super) struct Credentials {
    pub(super) pki: Pki,
    pub(super) key: KeyPair,
}

/// Makes the fleet's certificates and login key where they are missing, renews what is
/// due, and keeps a copy outside the fleet's folder; needs the lock.
pub(super) fn open(session: &Session) -> Result<Credentials> {
    let (keep, id) = (session.store.keep(), session.fleet_id());
    if keep.restore_keys(&id, session.dir())? {
        say(session, "note: `.fleet` had lost its keys; they were kept elsewhere and are back.\n");
    }
    let pki = Pki::open_or_create(&session.dir().join("certs"), &session.fleet.name)?;
    let key = KeyPair::load_or_create(&session.dir().join("ssh/id_ed25519"))?;
    keep.save_keys(&id, session.dir())?;
    if pki.renewed() {
        let until = pki.client_expires().date();
        say(session, &format!("note: The client certificate was renewed; it ends on {until}.\n"));
    }
    if pki.ca_due(session.host.now()) {
        let until = pki.ca_expires().date();
        say(
            session,
            &format!(
                "warning: The fleet's authority ends on {until}; replace it with `fleet \
                 regenerate-certs --ca`.\n"
            ),
        );
    }
    Ok(Credentials { pki, key })
}

/// Whether the fleet has keys already, be it only outside its folder.
pub(super) fn exist(session: &Session) -> bool {
    let kept = session.store.keep().dir(&session.fleet_id());
    let certs = session.dir().join("certs").exists() || kept.join("certs").exists();
    certs && login_key(session).is_some()
}

/// The key that lets fleet into its machines, where it is.
pub(super) fn login_key(session: &Session) -> Option<PathBuf> {
    let kept = session.store.keep().dir(&session.fleet_id());
    let mut places = [session.dir(), &kept].map(|dir| dir.join("ssh/id_ed25519")).into_iter();
    places.find(|path| path.exists())
}

/// Sees that the machines which stay can be entered.
///
/// # Errors
/// `Conflict`: they exist, and the key that leads into them is lost.
pub(super) fn fit(
    session: &Session,
    observed: &Observed,
    replaced: &BTreeSet<String>,
) -> Result<()> {
    if login_key(session).is_some() {
        return Ok(());
    }
    let stays = |(name, seen): &(&String, &Seen)| seen.whole() && !replaced.contains(*name);
    let names: Vec<&str> =
        observed.machines.iter().filter(stays).map(|(name, _)| name.as_str()).collect();
    if names.is_empty() {
        return Ok(());
    }
    let flags: Vec<String> = names.iter().map(|name| format!("--replace {name}")).collect();
    Err(Error::conflict("the keys to this fleet's machines are lost, and the machines are there")
        .with("machines", names.join(", "))
        .with("lost", session.dir().join("ssh/id_ed25519").display())
        .hint(format!(
            "put `.fleet` back from a backup; or make the machines anew, with empty disks: `fleet \
             up --force {}`",
            flags.join(" ")
        )))
}
