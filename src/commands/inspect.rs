//! `fleet inspect`: all that is known of machines, as JSON.

use serde_json::{Value, json};

use super::{Exit, Global, Session};
use crate::host::Host;
use crate::observe::{Depth, EngineSeen, Patience, observe};

/// Print all that is known of machines
///
/// Always JSON: an array with one object a machine, holding what the file asks for
/// (`spec`), what fleet wrote down (`record`) and what was seen (`seen`). Nothing in
/// it is secret.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Machines to look at; all of the file if none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// Runs `fleet inspect`.
pub async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    let session = Session::open(host, global)?;
    let specs = session.select(&args.names)?;
    let observed =
        observe(&session, &session.fleet.machines, Depth::Engines, Patience::default()).await?;
    let machines: Vec<Value> = specs
        .iter()
        .map(|spec| {
            let seen = observed.machines.get(&spec.name);
            let facts = seen.and_then(crate::observe::Seen::facts);
            let silent = match seen.map(|s| &s.engine) {
                Some(EngineSeen::Silent(why)) => Some(why),
                _ => None,
            };
            let node = facts.and_then(|facts| {
                let nodes = observed.nodes.as_ref()?;
                nodes.iter().find(|node| Some(&node.id) == facts.swarm.node_id.as_ref())
            });
            // The environment of an engine may hold the password of a proxy.
            let mut wanted = json!(spec);
            for value in
                wanted["engine"]["env"].as_object_mut().into_iter().flat_map(|m| m.values_mut())
            {
                *value = json!("[redacted]");
            }
            json!({
                "name": spec.name,
                "id": session.id(&spec.name).to_string(),
                "spec": wanted,
                "record": session.store.record(&spec.name),
                "seen": {
                    "machine": seen.and_then(|s| s.sighting.as_ref()),
                    "engine": facts,
                    "engine_error": silent,
                    "node": node,
                },
            })
        })
        .collect();
    let text = serde_json::to_string_pretty(&machines)
        .map_err(|e| fleet_driver::Error::bug("a result cannot be written as JSON").because(e))?;
    host.out(&format!("{text}\n"))?;
    Ok(0)
}
