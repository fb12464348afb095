//! `fleet active`: the machine that this shell's Docker client talks to.

use fleet_driver::Error;
use serde_json::json;

use super::{Exit, Global, Session};
use crate::host::Host;

/// Print the machine that the Docker client of this shell talks to
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs `fleet active`.
pub async fn run(_: Args, host: &Host, global: &Global) -> Exit {
    let session = Session::open(host, global)?;
    for spec in &session.fleet.machines {
        let Ok(sighting) = session.sighting(&spec.name).await else { continue };
        let Some(engine) = sighting.engine else { continue };
        if is(host, &format!("tcp://{engine}")) {
            if global.json {
                super::print_json(host, &json!({ "v": 1, "machine": spec.name }))?;
            } else {
                host.out(&format!("{}\n", spec.name))?;
            }
            return Ok(0);
        }
    }
    let error = match host.var("DOCKER_HOST") {
        Some(url) => {
            Error::not_found("the Docker client of this shell talks to no machine of this fleet")
                .with("DOCKER_HOST", url)
        }
        None => Error::not_found(
            "the Docker client of this shell talks to no machine: `DOCKER_HOST` is not set",
        ),
    };
    Err(error.hint("point it at one: `eval $(fleet env NAME)`").into())
}

/// Whether the Docker client of this shell talks to the engine at `url`.
pub(super) fn is(host: &Host, url: &str) -> bool {
    host.var("DOCKER_HOST").is_some_and(|set| set.trim_end_matches('/') == url)
}
