//! `fleet provision`: writes engines and certificates again, whatever they seem to be.

use super::{Exit, Global, Session, credentials, flow, regenerate_certs, up};
use crate::host::Host;

/// Write engines and certificates of machines again
///
/// The engine is installed where it is missing or of another version, and its settings and
/// a new certificate are written even if nothing seems to differ. Then the machine is
/// brought to what the file says, as by `fleet up`. Nodes of a swarm go one after the other.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Machines to write anew; all that exist if none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Do not ask before machines are interrupted
    #[arg(long, short)]
    yes: bool,
}

/// Runs `fleet provision`.
pub async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    const AGAIN: &str = "fleet provision";
    let mut session = Session::open(host, global)?;
    session.select(&args.names)?;
    let _lock = session.lock(AGAIN).await?;
    flow::tell_cut_off(&session);
    let names = flow::existing(&session, &args.names).await?;
    credentials::open(&session)?;
    regenerate_certs::outdate(&mut session, &names)?;
    up::bring(&up::Args::of(names, args.yes), &mut session, AGAIN).await
}
