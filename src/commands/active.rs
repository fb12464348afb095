//! `fleet active`: the machine that this shell's Docker client talks to.

use std::time::Duration;

use fleet_driver::Error;
use futures::future::join_all;
use serde_json::json;

use super::{Exit, Global, Session};
use crate::host::Host;

/// Print the machine that the Docker client of this shell talks to
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many seconds the machines may take to answer
    #[arg(long, short, value_name = "SECONDS", default_value = "10")]
    timeout: u64,
}

/// Runs `fleet active`.
pub async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    let session = Session::open(host, global)?;
    let limit = Duration::from_secs(args.timeout.max(1));
    let looks = session.fleet.machines.iter().map(|spec| {
        let cx = session.cx().within(limit);
        let (session, id) = (&session, session.id(&spec.name));
        async move {
            let seen = async { session.driver(&spec.name).await?.inspect(&id, &cx).await };
            tokio::time::timeout(limit, seen).await.ok()?.ok()?
        }
    });
    for (spec, sighting) in session.fleet.machines.iter().zip(join_all(looks).await) {
        let Some(engine) = sighting.and_then(|sighting| sighting.engine) else { continue };
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
