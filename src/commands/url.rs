//! `fleet url`: where the engine of a machine is reached.

use fleet_driver::{Error, Power, Result, Sighting};
use serde_json::json;

use super::{Exit, Global, Session};
use crate::host::Host;

/// Print the URL of a machine's engine
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The machine; may be left out if there is only one, or one called `default`
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

/// Runs `fleet url`.
pub async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    let session = Session::open(host, global)?;
    let name = session.one(args.name.as_deref())?.name.clone();
    let url = of(&session, &name).await?;
    if global.json {
        super::print_json(host, &json!({ "v": 1, "machine": name, "url": url }))?;
    } else {
        host.out(&format!("{url}\n"))?;
    }
    Ok(0)
}

/// The URL of the engine of a running machine.
///
/// # Errors
/// `NotFound` if the machine does not exist, `Conflict` if it does not run.
pub(super) async fn of(session: &Session, name: &str) -> Result<String> {
    match running(session, name).await?.engine {
        Some(address) => Ok(format!("tcp://{address}")),
        None => Err(Error::driver(format!("the driver does not say where `{name}` is reached"))),
    }
}

/// What the driver sees of a machine that runs.
///
/// # Errors
/// As [`of`].
pub(super) async fn running(session: &Session, name: &str) -> Result<Sighting> {
    let sighting = session.sighting(name).await?;
    if sighting.power == Power::Running {
        return Ok(sighting);
    }
    Err(Error::conflict(format!("`{name}` is not running"))
        .hint(format!("start it: `fleet start {name}`")))
}
