//! `fleet version`: that of fleet, or of the engine of a machine.

use std::time::Duration;

use fleet_driver::Error;
use serde_json::json;

use super::{Exit, Global, Session};
use crate::engine::Engine;
use crate::host::Host;

/// How long an engine may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// Print the version of fleet, or of a machine's engine
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A machine whose engine is asked
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

/// Runs `fleet version`.
pub async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    let Some(name) = args.name else {
        let version = env!("CARGO_PKG_VERSION");
        if global.json {
            super::print_json(host, &json!({ "v": 1, "version": version }))?;
        } else {
            host.out(&format!("fleet {version}\n"))?;
        }
        return Ok(0);
    };
    let session = Session::open(host, global)?;
    let sighting = super::url::running(&session, &name).await?;
    let address = sighting.engine.ok_or_else(|| {
        Error::not_found(format!("the engine of `{name}` has no address"))
            .hint("bring the machine up: `fleet up`")
    })?;
    let engine = Engine::new(address, &session.pki()?)?;
    let cx = session.cx().within(ANSWER);
    let facts = tokio::time::timeout(ANSWER, engine.facts(&cx))
        .await
        .unwrap_or_else(|_| Err(Error::busy(format!("no answer within {} s", ANSWER.as_secs()))));
    let version = facts.map_err(|error| error.with("machine", &name))?.version;
    if global.json {
        let value = json!({ "v": 1, "machine": name, "engine": version });
        super::print_json(host, &value)?;
    } else {
        host.out(&format!("{version}\n"))?;
    }
    Ok(0)
}
