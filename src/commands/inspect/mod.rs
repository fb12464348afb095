//! `fleet inspect`: all that is known of machines, as JSON or through a format.

mod familiar;

use serde_json::{Value, json};

pub(super) use self::familiar::engine_options;
use super::{Exit, Global, Session};
use crate::cli::LongFile;
use crate::config::Spec;
use crate::gotemplate::{Template, unescaped};
use crate::host::Host;
use crate::observe::{Depth, EngineSeen, Observed, Patience, Seen, observe};

/// Print all that is known of machines
///
/// JSON: an array with one object a machine, holding what the file asks for (`spec`),
/// what fleet wrote down (`record`) and what was seen (`seen`). Nothing in it is secret.
///
/// A format is a part of Go's text/template, such as '{{.spec.cpus}}'. It also finds what
/// scripts ask docker-machine for: `.Name`, `.DriverName`, `.Driver.IPAddress` and
/// `.HostOptions.AuthOptions.CaCertPath`, for example.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Machines to look at; all of the file if none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Print each machine through this format, a line each
    #[arg(long, short = 'f', value_name = "FORMAT", conflicts_with = "json")]
    format: Option<String>,
    #[command(flatten)]
    file: LongFile,
}

/// Runs `fleet inspect`.
pub async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    let format = match &args.format {
        Some(text) => Some(Template::parse(&unescaped(args.file.check(text, host)?))?),
        None => None,
    };
    let session = Session::open(host, global)?;
    let specs = session.select(&args.names)?;
    let observed =
        observe(&session, &session.fleet.machines, Depth::Engines, Patience::default()).await?;
    let machines = specs.iter().map(|spec| known(&session, spec, &observed));
    if let Some(format) = format {
        for (spec, mut machine) in specs.iter().zip(machines) {
            let seen = observed.machines.get(&spec.name);
            let familiar = familiar::view(&session, spec, seen.and_then(|s| s.sighting.as_ref()));
            if let (Some(own), Value::Object(more)) = (machine.as_object_mut(), familiar) {
                own.extend(more);
            }
            host.out(&format!("{}\n", format.render(&machine)?))?;
        }
        return Ok(0);
    }
    let machines: Vec<Value> = machines.collect();
    let text = serde_json::to_string_pretty(&machines)
        .map_err(|e| fleet_driver::Error::bug("a result cannot be written as JSON").because(e))?;
    host.out(&format!("{text}\n"))?;
    Ok(0)
}

/// All that is known of a machine.
fn known(session: &Session, spec: &Spec, observed: &Observed) -> Value {
    let seen = observed.machines.get(&spec.name);
    let facts = seen.and_then(Seen::facts);
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
    for value in wanted["engine"]["env"].as_object_mut().into_iter().flat_map(|m| m.values_mut()) {
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
}
