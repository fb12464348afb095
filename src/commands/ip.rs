//! `fleet ip`: addresses on the lab network.

use serde_json::json;

use super::{Exit, Global, Session};
use crate::host::Host;

/// Print the address of machines on the lab network
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Machines to look at; all of the file if none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// Runs `fleet ip`: one address a line, in the order of the file.
#[expect(clippy::unused_async, reason = "all commands are called alike")]
pub async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    let session = Session::open(host, global)?;
    let specs = session.select(&args.names)?;
    if global.json {
        let addresses: serde_json::Map<_, _> =
            specs.iter().map(|s| (s.name.clone(), json!(s.address))).collect();
        super::print_json(host, &json!({ "v": 1, "machines": addresses }))?;
        return Ok(0);
    }
    for spec in specs {
        host.out(&format!("{}\n", spec.address))?;
    }
    Ok(0)
}
