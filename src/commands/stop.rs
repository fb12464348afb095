//! `fleet stop`: shuts machines down.

use super::{Exit, Global, flow};
use crate::host::Host;
use crate::plan::Step;

/// Shut machines down
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Machines to stop; all of the file if none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// Runs `fleet stop`.
pub async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    flow::each(host, global, &args.names, "fleet stop", |_| vec![Step::Stop]).await
}
