//! `fleet reap`: removes the fleets whose time is over, wherever they are; for cron.

use fleet_driver::Error;
use serde_json::{Value, json};

use super::{Exit, Failure, Global, Session, down, gc, life};
use crate::host::Host;
use crate::state::{Entry, Keep};

/// Remove the fleets whose `ttl` is over
///
/// Looks at every fleet of this user, not only the one in this folder. Says nothing if
/// there is nothing to do. A protected fleet is named and left alone.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// List what is over, and remove nothing
    #[arg(long)]
    dry_run: bool,
}

/// Runs `fleet reap`.
pub async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    let keep = Keep::new(&host.data_dir());
    let now = host.now();
    let mut told = Vec::new();
    let mut code = 0;
    for (id, entry) in keep.all()? {
        let session = session(host, global, &id, &entry);
        // The file may say something else by now; one that is wrong says nothing.
        let (ttl, protected) = match &session {
            Some(s) => (
                s.fleet.ttl,
                s.fleet.protected
                    || s.fleet.machines.iter().any(|spec| spec.protected)
                    || life::guarded(s).iter().any(|name| s.spec(name).is_err()),
            ),
            None => (entry.ttl.map(std::time::Duration::from_secs), entry.protected),
        };
        let born = session.as_ref().and_then(life::born).unwrap_or_else(|| entry.born.clone());
        let Some(ends) = ttl.and_then(|ttl| life::ends(&born, ttl)).filter(|ends| *ends <= now)
        else {
            continue;
        };
        let over = life::words(now - ends);
        let outcome = if protected {
            "is protected: left alone".to_owned()
        } else if args.dry_run {
            "would be removed".to_owned()
        } else {
            match remove(host, global, &keep, &id, &entry, session.is_some()).await {
                Ok(()) => "removed".to_owned(),
                Err(error) => {
                    code = 1;
                    format!("not removed: {error}")
                }
            }
        };
        if !global.json {
            let home = entry.home.display();
            host.out(&format!("{id}  ({home}) has been over for {over}: {outcome}\n"))?;
        }
        told.push(json!({ "id": id, "home": entry.home, "over": over, "outcome": outcome }));
    }
    if global.json {
        super::print_json(host, &json!({ "v": 1, "fleets": Value::Array(told) }))?;
    }
    Ok(code)
}

fn at(global: &Global, entry: &Entry) -> Global {
    Global { file: Some(entry.file.clone()), quiet: true, json: false, ..global.clone() }
}

fn session(host: &Host, global: &Global, id: &str, entry: &Entry) -> Option<Session> {
    let session = Session::open(host, &at(global, entry)).ok()?;
    // Another fleet may be at home there by now.
    (session.fleet_id() == id).then_some(session)
}

async fn remove(
    host: &Host,
    global: &Global,
    keep: &Keep,
    id: &str,
    entry: &Entry,
    at_home: bool,
) -> Result<(), Error> {
    if at_home {
        return match Box::pin(down::run(down::Args::default(), host, &at(global, entry))).await {
            Ok(0) | Err(Failure::BrokenPipe) => Ok(()),
            Ok(_) => Err(Error::driver("`fleet down` did not end well")
                .hint(format!("look there: {}", entry.home.display()))),
            Err(Failure::Error(error)) => Err(error),
            Err(Failure::Config(_)) => Err(Error::config("its `machines.toml` is wrong")),
        };
    }
    let orphans = gc::orphans(host, keep).await?;
    match orphans.iter().find(|orphan| orphan.id == id) {
        Some(orphan) => gc::remove(host, keep, orphan).await,
        None => Err(Error::config("its `machines.toml` cannot be read")
            .with("file", entry.file.display())
            .hint("correct it, then `fleet down` there")),
    }
}
