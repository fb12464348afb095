//! `fleet adopt`: takes machines back whose records, or whose whole folder, were lost.

use fleet_driver::{Error, Power};
use serde_json::json;

use super::{Exit, Global, Session, flow, life};
use crate::apply;
use crate::host::Host;
use crate::observe::{Depth, Patience, observe};
use crate::state::Entry;

/// Take back machines whose records were lost
///
/// Finds the machines that carry this fleet's mark and writes down again who they are;
/// no machine is touched. `fleet up` does the same on its way.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A fleet whose folder is gone, as `fleet gc` lists it; this folder takes its place
    #[arg(value_name = "FLEET")]
    fleet: Option<String>,
    /// Take the place of a fleet whose folder is still there
    #[arg(long)]
    force: bool,
}

/// Runs `fleet adopt`.
pub async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    let mut session = Session::open(host, global)?;
    let _lock = session.lock("fleet adopt").await?;
    if let Some(id) = &args.fleet {
        take_over(&mut session, id, args.force).await?;
    }
    let id = session.fleet_id();
    let keys = session.store.keep().restore_keys(&id, session.dir())?;
    let machines = &session.fleet.machines;
    let observed = observe(&session, machines, Depth::Machines, Patience::default()).await?;
    let named = observed.machines.iter().map(|(name, seen)| (name.clone(), None, seen));
    let strays = observed.strays.iter();
    let strays = strays.map(|(name, s)| (name.clone(), Some(s.driver.clone()), &s.seen));
    let mut adopted = Vec::new();
    for (name, driver, seen) in named.chain(strays) {
        let Some(sighting) = &seen.sighting else { continue };
        if session.store.record(&name).is_some() || matches!(sighting.power, Power::Broken(_)) {
            continue;
        }
        let driver = match driver {
            Some(driver) => driver,
            None => session.spec(&name)?.driver.clone(),
        };
        let mut record = apply::record_of(&name, driver, sighting)?;
        record.protected = life::guarded(&session).contains(&name);
        session.store.put(&session.fleet.name, &name, record)?;
        adopted.push(name);
    }
    if session.store.records().is_empty() {
        return Err(nothing_found(&session));
    }
    life::remember(&mut session)?;
    flow::write_ssh_config(&session).await?;
    if global.json {
        super::print_json(host, &json!({ "v": 1, "fleet": id, "adopted": adopted, "keys": keys }))?;
    } else if adopted.is_empty() && !keys {
        flow::say(&session, "Nothing to adopt: every machine is recorded.\n");
    } else {
        let what = if adopted.is_empty() { "the keys".to_owned() } else { adopted.join(", ") };
        flow::say(&session, &format!("Taken back: {what}. Next: fleet up\n"));
    }
    Ok(0)
}

/// Makes this folder the home of another fleet's machines.
async fn take_over(session: &mut Session, id: &str, force: bool) -> Result<(), super::Failure> {
    if session.fleet_id() == id {
        return Ok(());
    }
    if !session.store.records().is_empty() || !flow::none_exists(session).await? {
        return Err(Error::conflict("this folder has machines of its own already")
            .hint("adopt from an empty folder with a `machines.toml`, or `fleet down` first")
            .into());
    }
    let known = session.store.keep().entry(id)?;
    if let Some(Entry { file, home, .. }) = &known
        && file.exists()
        && home != session.home()
        && !force
    {
        return Err(Error::conflict(format!("the fleet `{id}` is still at home"))
            .with("file", file.display())
            .hint("work there; or say `--force` if that folder is a stale copy")
            .into());
    }
    let own = session.fleet_id();
    session.store.take_over(id);
    // What the lock made for the fleet that this folder would have had.
    session.store.keep().forget(&own)?;
    if known.is_none() && flow::none_exists(session).await? {
        return Err(Error::not_found(format!("there is no fleet `{id}`"))
            .hint("`fleet gc --dry-run` lists the fleets that lost their folder")
            .into());
    }
    Ok(())
}

fn nothing_found(session: &Session) -> super::Failure {
    let lost = session.store.keep().all().unwrap_or_default();
    let lost: Vec<String> = lost
        .into_iter()
        .filter(|(_, entry)| !entry.file.exists())
        .map(|(id, entry)| format!("`fleet adopt {id}` (was in {})", entry.home.display()))
        .collect();
    let error = Error::not_found("no machine carries this fleet's mark");
    match lost.as_slice() {
        [] => error.hint("create the machines: `fleet up`"),
        lost => error.hint(format!("these fleets lost their folder: {}", lost.join(", "))),
    }
    .into()
}
