//! `fleet start`: starts or wakes machines and waits for their engines.

use super::{Exit, Global, flow};
use crate::config::Install;
use crate::host::Host;
use crate::plan::Step;

/// Start machines that are stopped or at rest
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Machines to start; all of the file if none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// Runs `fleet start`.
pub async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    flow::each(host, global, &args.names, "fleet start", |spec| match spec.engine.install {
        Install::None => vec![Step::Start, Step::Connect],
        _ => vec![Step::Start, Step::WaitEngine],
    })
    .await
}
