//! `fleet driver`: the drivers of this host, and whether one keeps the contract.

mod ls;
mod suite;
mod test;

use clap::Subcommand;

use super::{Exit, Global};
use crate::host::Host;

/// List drivers and test them
///
/// A driver is built into fleet, or it is a program `fleet-driver-NAME` beside fleet or in
/// `PATH`; docs/driver-protocol.md tells how to write one.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the drivers of this host and what they can do
    #[command(visible_alias = "list")]
    Ls,
    /// Test whether a driver keeps the contract; makes and destroys machines
    Test(test::Args),
}

/// Runs `fleet driver`.
pub async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    match args.command {
        Command::Ls => ls::run(host, global).await,
        Command::Test(args) => test::run(args, host, global).await,
    }
}
