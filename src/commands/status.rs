//! `fleet status`: the state of machines, a word each.

use serde_json::json;

use super::{Exit, Global, Session, ls};
use crate::host::Host;
use crate::observe::{Depth, Patience, observe};

/// Print the state of machines
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Machines to look at; all of the file if none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// Runs `fleet status`: a bare word for one machine, a line each for several.
pub async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    let session = Session::open(host, global)?;
    let specs = session.select(&args.names)?;
    let observed = observe(&session, &specs, Depth::Machines, Patience::default()).await?;
    let states = specs
        .iter()
        .map(|spec| (spec.name.as_str(), ls::state_word(observed.machines.get(&spec.name))));
    if global.json {
        let states: serde_json::Map<_, _> =
            states.map(|(name, state)| (name.to_owned(), json!(state))).collect();
        super::print_json(host, &json!({ "v": 1, "machines": states }))?;
        return Ok(0);
    }
    for (name, state) in states {
        if args.names.len() == 1 {
            host.out(&format!("{state}\n"))?;
        } else {
            host.out(&format!("{name}: {state}\n"))?;
        }
    }
    Ok(0)
}
