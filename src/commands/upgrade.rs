//! `fleet upgrade`: the newest engine of the version that the file says.

use fleet_driver::Error;

use super::{Exit, Global, Session, credentials, flow, up};
use crate::config::Install;
use crate::host::Host;

/// Install the newest engine of the version that the file says
///
/// With `version = "28"` that is the newest 28; without it, the newest that the machine's
/// source has. Machines that are off are started. Nodes of a swarm go one after the other,
/// and their tasks run elsewhere meanwhile.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Machines to upgrade; all that exist if none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Do not ask before machines are interrupted
    #[arg(long, short)]
    yes: bool,
}

/// Runs `fleet upgrade`.
pub async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    const AGAIN: &str = "fleet upgrade";
    let mut session = Session::open(host, global)?;
    session.select(&args.names)?;
    let _lock = session.lock(AGAIN).await?;
    flow::tell_cut_off(&session);
    let mut names = flow::existing(&session, &args.names).await?;
    let has_none =
        |name: &String| session.spec(name).is_ok_and(|spec| spec.engine.install == Install::None);
    if let Some(name) = names.iter().find(|name| has_none(name))
        && (args.names.contains(name) || names.iter().all(has_none))
    {
        return Err(Error::config(format!("fleet does not install the engine of `{name}`"))
            .hint("the file says `install = \"none\"`: upgrade it in the machine itself")
            .into());
    }
    names.retain(|name| !has_none(name));
    credentials::open(&session)?;
    up::bring(&up::Args::of(names, args.yes).upgrading(), &mut session, AGAIN).await
}
