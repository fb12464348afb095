//! `fleet snapshot`: what machines were at one moment.

use std::time::Duration;

use fleet_driver::{Cx, Driver, Error, MachineId, Result, Snapshot, Snapshots};
use futures::future::join_all;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Exit, Failure, Global, Session, flow};
use crate::config::Spec;
use crate::host::Host;
use crate::report;

/// The memory of a machine takes its time to be written.
const LIMIT: Duration = Duration::from_secs(600);
/// Names go into files and descriptions of hypervisors.
const LONGEST: usize = 63;

/// Keep what machines are now, and bring it back
///
/// A snapshot holds the disk of a machine, and its memory if it runs. Members of a swarm
/// belong together: take and bring back one of all of them.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Take a snapshot; running machines run on
    Save(Named),
    /// List the snapshots
    #[command(visible_alias = "list")]
    Ls(Machines),
    /// Bring machines back to a snapshot; what they are now is lost
    Restore(Named),
    /// Remove a snapshot, not what the machines are now
    Rm(Named),
}

#[derive(Debug, clap::Args)]
struct Named {
    /// The name of the snapshot
    #[arg(value_name = "SNAPSHOT")]
    snapshot: String,
    #[command(flatten)]
    machines: Machines,
}

#[derive(Debug, clap::Args)]
struct Machines {
    /// The machines; all of the file if none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// What is done to a machine.
#[derive(Clone, Copy)]
enum Deed {
    Save,
    Restore,
    Remove,
}

/// Runs `fleet snapshot`.
pub async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    match args.verb {
        Verb::Ls(machines) => list(&machines, host, global).await,
        Verb::Save(named) => each(&named, host, global, Deed::Save).await,
        Verb::Restore(named) => each(&named, host, global, Deed::Restore).await,
        Verb::Rm(named) => each(&named, host, global, Deed::Remove).await,
    }
}

async fn each(named: &Named, host: &Host, global: &Global, deed: Deed) -> Exit {
    let (name, done, command) = match deed {
        Deed::Save => (check(&named.snapshot)?, "taken", "fleet snapshot save"),
        Deed::Restore => (named.snapshot.as_str(), "brought back", "fleet snapshot restore"),
        Deed::Remove => (named.snapshot.as_str(), "removed", "fleet snapshot rm"),
    };
    let mut session = Session::open(host, global)?;
    let specs = session.select(&named.machines.names)?;
    let _lock = session.lock(command).await?;
    flow::exist(&session, &specs).await?;
    let session = &session;
    let ends = join_all(specs.iter().map(|spec| async move {
        let cx = session.cx().within(LIMIT);
        let (driver, id) = (session.driver(&spec.name).await?, session.id(&spec.name));
        act(&*driver, &id, name, deed, &cx).await
    }))
    .await;
    let mut failed = Vec::new();
    for (spec, end) in specs.iter().zip(ends) {
        match end {
            Ok(()) => flow::say(session, &format!("{}: snapshot `{name}` {done}.\n", spec.name)),
            Err(error) => failed.push((spec, error)),
        }
    }
    if global.json {
        let all: Vec<Value> = specs.iter().map(|spec| ended(spec, &failed)).collect();
        super::print_json(host, &json!({ "v": 1, "snapshot": name, "machines": all }))?;
        return Ok(u8::from(!failed.is_empty()));
    }
    let mut failed = failed.into_iter().map(|(spec, error)| error.with("machine", &spec.name));
    let Some(first) = failed.next() else { return Ok(0) };
    for error in failed {
        host.err(&report::error::render(&error, None, host.stderr_has_colour()));
    }
    Err(first.into())
}

fn ended(spec: &Spec, failed: &[(&Spec, Error)]) -> Value {
    let error = failed.iter().find(|(other, _)| other.name == spec.name);
    json!({ "name": spec.name, "error": error.map(|(_, error)| error.to_string()) })
}

async fn act(driver: &dyn Driver, id: &MachineId, name: &str, deed: Deed, cx: &Cx) -> Result<()> {
    let snapshots = able(driver)?;
    match deed {
        Deed::Save => snapshots.snapshot(id, name, cx).await,
        Deed::Restore => snapshots.revert(id, name, cx).await,
        Deed::Remove => snapshots.forget(id, name, cx).await,
    }
}

fn able(driver: &dyn Driver) -> Result<&dyn Snapshots> {
    driver.snapshotting().ok_or_else(|| {
        Error::host(format!("the driver `{}` takes no snapshots", driver.about().name))
            .hint("`fleet driver ls` shows what drivers can")
    })
}

async fn list(machines: &Machines, host: &Host, global: &Global) -> Exit {
    let session = Session::open(host, global)?;
    let specs = session.select(&machines.names)?;
    flow::exist(&session, &specs).await?;
    let session = &session;
    let looks = specs.iter().map(|spec| async move {
        let driver = session.driver(&spec.name).await?;
        let cx = session.cx().within(Duration::from_secs(30));
        able(&*driver)?.snapshots(&session.id(&spec.name), &cx).await
    });
    let mut rows = Vec::new();
    for (spec, found) in specs.iter().zip(join_all(looks).await) {
        let found = found.map_err(|error| Failure::Error(error.with("machine", &spec.name)))?;
        rows.extend(found.into_iter().map(|snapshot| (spec.name.clone(), snapshot)));
    }
    if global.json {
        let all: Vec<Value> = rows.iter().map(to_json).collect();
        super::print_json(host, &json!({ "v": 1, "snapshots": all }))?;
        return Ok(0);
    }
    if rows.is_empty() {
        flow::say(session, "No snapshots. Take one: fleet snapshot save NAME\n");
        return Ok(0);
    }
    let cells = rows.into_iter().map(|(machine, snapshot)| {
        let memory = if snapshot.running { "yes" } else { "no" };
        vec![machine, snapshot.name.clone(), taken(&snapshot), memory.to_owned()]
    });
    let headers = ["MACHINE", "SNAPSHOT", "TAKEN", "MEMORY"];
    host.out(&report::table(&headers, cells.collect(), host))?;
    Ok(0)
}

fn taken(snapshot: &Snapshot) -> String {
    let seconds = i64::try_from(snapshot.created).unwrap_or(i64::MAX);
    let at = OffsetDateTime::from_unix_timestamp(seconds);
    at.ok().and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default()
}

fn to_json((machine, snapshot): &(String, Snapshot)) -> Value {
    json!({
        "machine": machine,
        "name": snapshot.name,
        "created": taken(snapshot),
        "memory": snapshot.running,
    })
}

/// A name that every hypervisor takes.
fn check(name: &str) -> Result<&str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let starts = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if starts && name.len() <= LONGEST && name.chars().all(fits) {
        return Ok(name);
    }
    Err(Error::usage(format!("`{name}` is no name for a snapshot"))
        .hint("use letters, digits, `-`, `_` and `.`, at most 63"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_every_hypervisor() {
        for good in ["a", "before-upgrade", "v1.2_3", &"x".repeat(63)] {
            assert_eq!(check(good).unwrap(), good);
        }
        for bad in ["", "-x", ".x", "a b", "a/b", "ä", &"x".repeat(64)] {
            check(bad).unwrap_err();
        }
    }
}
