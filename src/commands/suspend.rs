//! `fleet suspend`: puts machines to rest with what is in their memory.

use fleet_driver::Rest;

use super::{Exit, Global, flow};
use crate::host::Host;
use crate::plan::Step;

/// Put machines to rest as they are
///
/// Their processors stand still until `fleet resume`, which goes on where they were.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Machines to put to rest; all of the file if none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Write their memory to disk and give it back
    #[arg(long)]
    to_disk: bool,
}

/// Runs `fleet suspend`.
pub async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    let rest = if args.to_disk { Rest::Disk } else { Rest::Memory };
    flow::each(host, global, &args.names, "fleet suspend", |_| vec![Step::Suspend(rest)]).await
}
