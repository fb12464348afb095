//! `fleet restart`: shuts machines down and starts them again.

use super::{Exit, Global, flow};
use crate::config::Install;
use crate::host::Host;
use crate::plan::Step;

/// Shut machines down and start them again
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Machines to restart; all of the file if none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// Runs `fleet restart`.
pub async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    flow::power(host, global, &args.names, "fleet restart", |spec| match spec.engine.install {
        Install::None => vec![Step::Stop, Step::Start, Step::Connect],
        _ => vec![Step::Stop, Step::Start, Step::WaitEngine],
    })
    .await
}
