//! `fleet restart`: shuts machines down and starts them again.

use std::collections::BTreeSet;

use super::{Exit, Global, Session, flow};
use crate::host::Host;
use crate::plan::Intent;

/// Shut machines down and start them again
///
/// Nodes of a swarm go one after the other, and their tasks run elsewhere meanwhile.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Machines to restart; all of the file if none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// Runs `fleet restart`.
pub async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    let mut session = Session::open(host, global)?;
    let specs = session.select(&args.names)?;
    let _lock = session.lock("fleet restart").await?;
    flow::exist(&session, &specs).await?;
    let names: BTreeSet<String> = specs.iter().map(|spec| spec.name.clone()).collect();
    let pki = session.pki().ok();
    let (plan, _) = flow::plan(&session, pki.as_ref(), &[], &Intent::Restart(names)).await?;
    flow::power(session, plan, "fleet restart").await
}
