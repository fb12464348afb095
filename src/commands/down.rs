//! `fleet down`: removes machines and everything that belongs to them.

use std::collections::BTreeSet;

use super::{Exit, Global, Session, flow};
use crate::apply::Tools;
use crate::host::Host;
use crate::pki::Pki;
use crate::plan::Intent;

/// Remove machines and everything that belongs to them
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Machines to remove; all of them, and the fleet's keys, if none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// Runs `fleet down`.
pub async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    let mut session = Session::open(host, global)?;
    if !session.dir().exists() && args.names.is_empty() {
        // Machines may still be there: they carry the fleet's mark where they live.
        if flow::none_exists(&session).await? {
            return Ok(nothing(&session));
        }
    }
    let lock = session.lock("fleet down").await?;
    let pki = Pki::load(&session.dir().join("certs")).ok();
    let intent = if args.names.is_empty() {
        Intent::DownAll
    } else {
        Intent::Down(args.names.iter().cloned().collect::<BTreeSet<_>>())
    };
    let (plan, observed) = flow::plan(&session, pki.as_ref(), &[], &intent).await?;
    for name in &args.names {
        let known = session.store.record(name).is_some() || observed.strays.contains_key(name);
        if !known {
            session.spec(name)?;
        }
    }
    let code = if plan.lanes.is_empty() {
        nothing(&session)
    } else {
        let tools = Tools { pki, key: None, parallel: 16 };
        flow::run(&session, plan, tools, &[], "fleet down").await?
    };
    session.refresh()?;
    if code == 0 && session.store.records().is_empty() {
        // The last machine is gone: so are the keys that led to it, and the logs.
        session.store.clear()?;
    } else {
        flow::write_ssh_config(&session).await?;
    }
    drop(lock);
    Ok(code)
}

fn nothing(session: &Session) -> u8 {
    if !session.global.quiet && !session.global.json {
        session.host.err("Nothing to remove: no machine of this fleet exists.\n");
    }
    0
}
