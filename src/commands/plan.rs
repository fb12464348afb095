//! `fleet plan`: what `up` would do, and why.

use super::wishes::Wishes;
use super::{Exit, Global, Session, flow};
use crate::host::Host;
use crate::plan::explain;

/// Show what `up` would do
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    wishes: Wishes,
    /// Exit with 2 if there is anything to do
    #[arg(long)]
    exit_code: bool,
}

/// Runs `fleet plan`.
pub async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    let session = Session::open(host, global)?;
    session.warn();
    let (specs, intent) = args.wishes.resolve(&session)?;
    let pki = session.pki().ok();
    let (plan, _) = flow::plan(&session, pki.as_ref(), &specs, &intent).await?;
    if global.json {
        super::print_json(host, &explain::to_json(&plan))?;
    } else if plan.lanes.is_empty() {
        host.out(&format!("{}\n", explain::nothing(&plan, &specs)))?;
        flow::notes(&session, &plan);
    } else {
        host.out(&explain::full(&plan))?;
    }
    Ok(if args.exit_code && !plan.lanes.is_empty() { 2 } else { 0 })
}
