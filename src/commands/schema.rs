//! `fleet schema`: the JSON Schema of `machines.toml`.

use super::{Exit, Global};
use crate::config;
use crate::host::Host;

/// Print the JSON Schema of `machines.toml`, for editors
///
/// Editors with a TOML plug-in complete and check the file with it. Save it and name
/// it in the first line of `machines.toml`: `#:schema ./machines.schema.json`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs `fleet schema`.
#[expect(clippy::unused_async, reason = "all commands are called alike")]
pub async fn run(_: Args, host: &Host, _: &Global) -> Exit {
    host.out(&config::json_schema())?;
    Ok(0)
}
