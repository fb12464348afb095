//! The end of a replacement of the fleet's authority: once every engine lets in clients
//! of both, the fleet becomes a client of the new one, and the engines forget the old.

use fleet_driver::{Result, fault};

use super::{Exit, Session, flow, up};
use crate::config::Install;
use crate::observe::{Depth, Patience, observe};
use crate::pki::Pki;

/// Goes on with a replacement of the authority that is under way, if `code` says that
/// the run before did all it should; the lock is held.
pub(super) async fn go_on(args: &up::Args, session: &mut Session, again: &str, code: u8) -> Exit {
    let rotating = session.pki().is_ok_and(|pki| pki.rotating());
    if code != 0 || !rotating {
        return Ok(code);
    }
    let waiting = waiting(session).await?;
    if !waiting.is_empty() {
        flow::say(
            session,
            &format!(
                "note: The authority is being replaced. Its predecessor still counts until {} \
                 runs with the new one; `fleet up` then ends it.\n",
                waiting.join(", ")
            ),
        );
        return Ok(code);
    }
    flow::say(session, "note: Every engine knows the new authority; the old one goes now.\n");
    Pki::finish_rotation(&session.dir().join("certs"), &session.fleet.name)?;
    fault::point("rotation", "finished")?;
    session.store.keep().save_keys(&session.fleet_id(), session.dir())?;
    up::bring(args, session, again).await
}

/// The machines whose engines do not run with the settings of this phase.
async fn waiting(session: &Session) -> Result<Vec<String>> {
    let pki = session.pki()?;
    let machines = &session.fleet.machines;
    let observed = observe(session, machines, Depth::Engines, Patience::default()).await?;
    let is_waiting = |spec: &&crate::config::Spec| {
        let Some(seen) = observed.seen(&spec.name) else { return false };
        let wanted = flow::digest(session, &pki, spec, &observed);
        let runs_with = seen.facts().and_then(crate::engine::EngineFacts::settings);
        spec.engine.install != Install::None
            && seen.sighting.is_some()
            && runs_with != Some(wanted.as_str())
    };
    Ok(machines.iter().filter(is_waiting).map(|spec| format!("`{}`", spec.name)).collect())
}
