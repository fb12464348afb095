//! `fleet gc`: machines that carry a fleet's mark but belong to no fleet that lives.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fleet_driver::event::Reporter;
use fleet_driver::{Cx, Driver, Error, ErrorKind, MachineId, Result, text};
use futures::future::join_all;
use serde_json::{Value, json};

use super::flow::Yes;
use super::{Exit, Global};
use crate::host::Host;
use crate::state::{self, Keep, Store};

/// List and remove machines whose fleet does not exist any more
///
/// A fleet lives as long as its `machines.toml` is where it was. Machines that another
/// computer or another user made are listed and left alone unless their fleet is named.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Fleets to remove, as listed; all that have lost their folder if none is named
    #[arg(value_name = "FLEET")]
    fleets: Vec<String>,
    /// List only
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// A fleet that has lost its folder, with what is left of it.
pub(super) struct Orphan {
    pub(super) id: String,
    /// Where it was, if that is known.
    pub(super) home: Option<PathBuf>,
    /// Who made its machines, if it was not this account of this computer.
    stranger: Option<String>,
    machines: Vec<(Arc<dyn Driver>, MachineId)>,
    seen: Seen,
}

/// Whether every driver could be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Whole,
    /// There may be more machines, to which the fleet's keys lead.
    InPart,
}

/// Runs `fleet gc`.
pub async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    let keep = Keep::new(&host.data_dir());
    let orphans = orphans(host, &keep).await?;
    for id in &args.fleets {
        if orphans.iter().all(|orphan| orphan.id != *id) {
            return Err(Error::not_found(format!("no lost fleet is called `{id}`"))
                .hint("`fleet gc --dry-run` lists them; one that lives goes with `fleet down`")
                .into());
        }
    }
    let meant = |orphan: &Orphan| match args.fleets.as_slice() {
        [] => orphan.stranger.is_none(),
        named => named.contains(&orphan.id),
    };
    if args.dry_run || orphans.is_empty() {
        list(host, global, &orphans)?;
        return Ok(0);
    }
    let (doomed, rest): (Vec<Orphan>, Vec<Orphan>) = orphans.into_iter().partition(meant);
    if !global.json && !global.quiet {
        host.err(&lines(&doomed));
        for orphan in &rest {
            host.err(&format!("left alone: {}\n", line(orphan)));
        }
    }
    if doomed.is_empty() {
        return Ok(0);
    }
    confirm(host, global, Yes::when(args.yes)).await?;
    let mut removed = Vec::new();
    let mut failed = Vec::new();
    for orphan in &doomed {
        match remove(host, &keep, orphan).await {
            Ok(()) => removed.push(orphan.id.clone()),
            Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error.into()),
            Err(error) => failed.push((orphan.id.clone(), error)),
        }
    }
    if global.json {
        let failed: BTreeMap<&String, String> =
            failed.iter().map(|(id, error)| (id, error.to_string())).collect();
        super::print_json(host, &json!({ "v": 1, "removed": removed, "failed": failed }))?;
    } else {
        if !global.quiet {
            host.err(&format!("Removed: {}.\n", count(removed.len(), "fleet")));
        }
        for (id, error) in &failed {
            let error = Error::driver(format!("`{id}`: {error}"));
            host.err(&crate::report::error::render(&error, None, host.stderr_has_colour()));
        }
    }
    Ok(u8::from(!failed.is_empty()))
}

async fn confirm(host: &Host, global: &Global, yes: Yes) -> Result<()> {
    if yes == Yes::Given {
        return Ok(());
    }
    if global.json || !host.stdin_is_terminal() {
        return Err(Error::usage("nobody is there to ask whether to remove these")
            .hint("say `--yes` to remove them, `--dry-run` to list them"));
    }
    host.err("Remove them, disks included? [y/N] ");
    if host.ask_line().await?.trim().to_lowercase().starts_with('y') {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Interrupted, "nothing was changed"))
}

/// A context for machines of any fleet, to which nobody listens.
fn cx(host: &Host) -> Cx {
    let machines = host.data_dir().join("machines");
    Cx::new(machines, Reporter::silent(), host.cancel().clone())
}

/// The fleets that are left without a folder.
pub(super) async fn orphans(host: &Host, keep: &Keep) -> Result<Vec<Orphan>> {
    let cx = cx(host).within(Duration::from_secs(30));
    let mut all: BTreeMap<String, Orphan> = BTreeMap::new();
    let empty = |id: &str| Orphan {
        id: id.to_owned(),
        home: None,
        stranger: None,
        machines: Vec::new(),
        seen: Seen::Whole,
    };
    let mut seen = Seen::Whole;
    for (name, driver) in host.registry().all(host).await {
        let listed = match driver {
            Ok(driver) => driver.list(None, &cx).await.map(|ids| (driver, ids)),
            Err(error) => Err(error),
        };
        let (driver, ids) = match listed {
            Ok(listed) => listed,
            Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
            // One driver that does not answer keeps nobody from the machines of the others.
            Err(error) => {
                host.err(&format!("note: the machines of `{name}` are not seen: {error}\n"));
                seen = Seen::InPart;
                continue;
            }
        };
        for id in ids {
            if keep
                .entry(id.fleet())
                .ok()
                .flatten()
                .is_some_and(|e| lives(&e.home, id.fleet(), keep))
            {
                continue;
            }
            let mark = driver.inspect(&id, &cx).await?.map(|seen| seen.mark).unwrap_or_default();
            let said = |key: &str| mark.get(key).and_then(|value| text::from_ascii(value));
            let home = said("home").map(PathBuf::from);
            if home.as_deref().is_some_and(|home| lives(home, id.fleet(), keep)) {
                continue;
            }
            let orphan = all.entry(id.fleet().to_owned()).or_insert_with(|| empty(id.fleet()));
            orphan.home = orphan.home.take().or(home);
            orphan.stranger = stranger(said("host"), said("owner"));
            orphan.machines.push((driver.clone(), id));
        }
    }
    for (id, entry) in keep.all()? {
        // Its machines may be those that are not seen.
        let known = seen == Seen::Whole || all.contains_key(&id);
        if known && !lives(&entry.home, &id, keep) {
            let orphan = all.entry(id.clone()).or_insert_with(|| empty(&id));
            orphan.home = Some(entry.home);
        }
    }
    Ok(all.into_values().map(|orphan| Orphan { seen, ..orphan }).collect())
}

/// Who made a machine, if it was not this account of this computer.
fn stranger(host: Option<String>, owner: Option<String>) -> Option<String> {
    let (here, me) = (crate::host::computer_name(), crate::host::account());
    let elsewhere = host.as_ref().is_some_and(|host| *host != here);
    match owner.filter(|owner| *owner != me || elsewhere) {
        Some(owner) => Some(format!("user {owner} of {}", host.unwrap_or(here))),
        None => host.filter(|_| elsewhere),
    }
}

/// Whether the fleet of that id is still at home: its file is there, and the records
/// beside it are not another fleet's.
fn lives(home: &std::path::Path, id: &str, keep: &Keep) -> bool {
    let file = keep.entry(id).ok().flatten().map(|entry| entry.file);
    let file = file.unwrap_or_else(|| home.join(crate::config::FILE_NAME));
    if !file.is_file() {
        return false;
    }
    match Store::open(home, keep) {
        Ok(store) => store.knows(id),
        // What cannot be read may be a fleet that lives.
        Err(_) => true,
    }
}

/// Removes what is left of a fleet, its keys last: they lead to the machines.
pub(super) async fn remove(host: &Host, keep: &Keep, orphan: &Orphan) -> Result<()> {
    let dir = keep.dir(&orphan.id);
    state::private_dir(&dir)?;
    let cx = cx(host).within(Duration::from_secs(120));
    let lock = super::taken(&cx, || state::Lock::take(&dir.join("lock"), "fleet gc")).await?;
    let gone = orphan.machines.iter().map(|(driver, id)| driver.destroy(id, &cx));
    for ended in join_all(gone).await {
        ended?;
    }
    if orphan.seen == Seen::Whole {
        keep.forget(&orphan.id)?;
    }
    drop(lock);
    Ok(())
}

fn list(host: &Host, global: &Global, orphans: &[Orphan]) -> Result<(), super::Failure> {
    if global.json {
        let orphans: Vec<Value> = orphans.iter().map(to_json).collect();
        return super::print_json(host, &json!({ "v": 1, "fleets": orphans }));
    }
    if orphans.is_empty() && !global.quiet {
        host.err("Nothing to remove: every machine belongs to a fleet that lives.\n");
    }
    for orphan in orphans {
        host.out(&format!("{}\n", line(orphan)))?;
    }
    Ok(())
}

fn lines(orphans: &[Orphan]) -> String {
    orphans.iter().flat_map(|orphan| [line(orphan), "\n".to_owned()]).collect()
}

fn line(orphan: &Orphan) -> String {
    let names: Vec<&str> = orphan.machines.iter().map(|(_, id)| id.machine()).collect();
    let machines = match names.as_slice() {
        [] => "no machine, only its keys".to_owned(),
        names => names.join(", "),
    };
    let home = orphan.home.as_ref().map_or_else(
        || "its folder is unknown".to_owned(),
        |home| format!("was in {}", home.display()),
    );
    let stranger =
        orphan.stranger.as_ref().map(|host| format!("; made by {host}")).unwrap_or_default();
    format!("{}  {machines}  ({home}{stranger})", orphan.id)
}

fn to_json(orphan: &Orphan) -> Value {
    let machines: Vec<Value> = orphan
        .machines
        .iter()
        .map(|(driver, id)| json!({ "name": id.machine(), "driver": driver.about().name }))
        .collect();
    json!({
        "id": orphan.id,
        "home": orphan.home,
        "made_by": orphan.stranger,
        "machines": machines,
    })
}

fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
