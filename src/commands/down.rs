//! `fleet down`: removes machines and everything that belongs to them.

use std::collections::BTreeSet;

use super::{Exit, Failure, Global, Session, flow};
use crate::apply::Tools;
use crate::host::Host;
use crate::plan::{Force, Intent};

/// Remove machines and everything that belongs to them
#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// Machines to remove; all of them, and the fleet's keys, if none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Remove what is protected, the last manager of a swarm, and tasks with no other place
    #[arg(long)]
    force: bool,
}

/// Runs `fleet down`.
pub async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    let mut session = Session::open(host, global)?;
    if !session.dir().exists() && args.names.is_empty() {
        // Machines may still be there: they carry the fleet's mark where they live.
        if flow::none_exists(&session).await? {
            session.store.clear(&session.fleet.name)?;
            return Ok(nothing(&session));
        }
    }
    let lock = session.lock("fleet down").await?;
    let again = ["fleet down"].into_iter().chain(args.names.iter().map(String::as_str));
    let again = again.collect::<Vec<_>>().join(" ");
    let ended = named(&mut session, &args.names, Force::when(args.force), &again).await?;
    drop(lock);
    Ok(ended.unwrap_or_else(|| nothing(&session)))
}

/// Removes machines, or all of them if none is named; the lock is held. Gives the exit
/// code, or nothing if nothing was there to remove.
///
/// # Errors
/// `NotFound` for a name that is neither in the file nor in the world; `Conflict` for what
/// is protected or what the swarm needs, unless it is forced.
pub(super) async fn named(
    session: &mut Session,
    names: &[String],
    force: Force,
    again: &str,
) -> Result<Option<u8>, Failure> {
    let intent = if names.is_empty() {
        Intent::DownAll(force)
    } else {
        Intent::Down(names.iter().cloned().collect::<BTreeSet<_>>(), force)
    };
    let pki = session.pki().ok();
    let (plan, observed) = flow::plan(session, pki.as_ref(), &[], &intent).await?;
    for name in names {
        if !observed.strays.contains_key(name) {
            session.spec(name)?;
        }
    }
    flow::notes(session, &plan);
    let code = if plan.lanes.is_empty() {
        None
    } else {
        let tools = Tools { force, ..Tools::of(pki, None) };
        Some(flow::run(session, plan, tools, &[], again).await?)
    };
    session.refresh()?;
    if code.unwrap_or(0) == 0
        && session.store.records().is_empty()
        && flow::none_exists(session).await?
    {
        // The last machine is gone: so are the keys that led to it, and the logs.
        session.store.clear(&session.fleet.name)?;
    } else {
        flow::write_ssh_config(session).await?;
    }
    Ok(code)
}

fn nothing(session: &Session) -> u8 {
    if !session.global.quiet && !session.global.json {
        session.host.err("Nothing to remove: no machine of this fleet exists.\n");
    }
    0
}
