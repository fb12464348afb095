//! `fleet kill`: cuts the power of machines.

use super::{Exit, Global, Session, flow};
use crate::host::Host;
use crate::plan::Step;

/// Cut the power of machines
///
/// Nothing is asked, drained or written first, as when a plug is pulled; `fleet stop` lets
/// the guests shut down.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Machines; may be left out if there is only one, or one called `default`
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// Runs `fleet kill`.
pub async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    let mut names = args.names;
    if names.is_empty() {
        // All of them at once is more than a slip of the finger should do.
        names.push(Session::open(host, global)?.one(None)?.name.clone());
    }
    flow::each(host, global, &names, "fleet kill", |_| vec![Step::Kill]).await
}
