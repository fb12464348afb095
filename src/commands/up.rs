//! `fleet up`: load, observe, plan, check, show, apply, summarise.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use super::{Exit, Global, Session, flow};
use crate::apply::Tools;
use crate::host::Host;
use crate::images::Images;
use crate::pki::Pki;
use crate::plan::{Intent, explain};

/// Create, start and join whatever is missing
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Machines to bring up; all of the file if none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// How many machines to work on at once
    #[arg(long, value_name = "N", default_value = "16")]
    parallel: NonZeroUsize,
}

/// Runs `fleet up`.
pub async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    let mut session = Session::open(host, global)?;
    session.warn();
    let specs = session.select(&args.names)?;
    let names: BTreeSet<String> = specs.iter().map(|s| s.name.clone()).collect();
    let _lock = session.lock("fleet up").await?;
    let pki = Pki::load(&session.dir().join("certs")).ok();
    let (plan, _) = flow::plan(&session, pki.as_ref(), &specs, &Intent::Up(names)).await?;
    flow::notes(&session, &plan);
    if plan.lanes.is_empty() {
        if global.json {
            super::print_json(host, &explain::to_json(&plan))?;
        } else if !global.quiet {
            host.err(&format!("Nothing to do: {}.\n", explain::as_asked(&specs)));
        }
        return Ok(0);
    }
    flow::check(&session, &plan).await?;
    // Only now: what stands in the way is said before anything is made, keys included.
    let credentials = flow::credentials(&session)?;
    if !global.json && !global.quiet {
        let images = Images::open(host);
        for image in &plan.images {
            let how = images.how(image);
            host.err(&format!("image {}: {how} first\n", explain::image_name(image)));
        }
        host.err(&explain::brief(&plan));
    }
    let tools = Tools {
        pki: Some(credentials.pki),
        key: Some(credentials.key),
        parallel: args.parallel.get(),
    };
    let next = next_commands(&session);
    let code = flow::run(&session, plan, tools, &next, "fleet up").await?;
    session.refresh()?;
    flow::write_ssh_config(&session).await?;
    Ok(code)
}

/// What a person types after a successful `up`.
fn next_commands(session: &Session) -> Vec<String> {
    let Some(first) = session.fleet.machines.first() else { return Vec::new() };
    let look = if session.fleet.swarm.is_some() { "docker node ls" } else { "docker info" };
    vec![format!("eval $(fleet env {})", first.name), look.to_owned()]
}
