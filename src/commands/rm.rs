//! `fleet rm`: removes machines, from the world and from the file.

use std::collections::BTreeSet;

use fleet_driver::{Error, ErrorKind};

use super::{Exit, Failure, Global, Session, down, flow};
use crate::cli::LongFile;
use crate::config::Fleet;
use crate::edit;
use crate::host::Host;
use crate::plan::Force;

/// Remove machines, from the world and from the file
///
/// `fleet down NAME` leaves the file as it is, so that `fleet up` makes the machine again;
/// this does not. Of machines that a `count` makes, the last ones can go.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Machines to remove
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Do not ask, remove what is protected or what the swarm needs, and take them out of the file even if they cannot be removed
    #[arg(long, short)]
    force: bool,
    #[command(flatten)]
    _file: LongFile,
}

/// Runs `fleet rm`.
pub async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    let mut session = Session::open(host, global)?;
    let force = Force::when(args.force);
    // What the file cannot do without is told before anybody is asked.
    without(&session, &args.names)?;
    if !args.yes && !args.force {
        ask(&session, &args.names).await?;
    }
    let again = format!("fleet rm {}", args.names.join(" "));
    let lock = session.lock(&again).await?;
    let text = without(&session, &args.names)?;
    let ended = down::named(&mut session, &args.names, force, &again).await;
    let gone = matches!(ended, Ok(Some(0) | None));
    if let Some(text) = text.filter(|_| gone || (args.force && !interrupted(&session, &ended))) {
        edit::save(&session.fleet.file, &text)?;
        let more = if edit::has_machines(&text) {
            ""
        } else {
            " It names no machine any more: `fleet create NAME` adds one."
        };
        let file = session.fleet.file.file_name().unwrap_or_default().display().to_string();
        let names = args.names.join(", ");
        flow::say(&session, &format!("Taken out of {file}: {names}.{more}\n"));
    }
    drop(lock);
    ended.map(Option::unwrap_or_default)
}

fn interrupted(session: &Session, ended: &Result<Option<u8>, Failure>) -> bool {
    session.host.cancel().is_cancelled()
        || matches!(ended, Err(Failure::Error(error)) if error.kind() == ErrorKind::Interrupted)
}

/// The file without those of these machines that it names; `None` if it names none of them.
fn without(session: &Session, names: &[String]) -> Result<Option<String>, Failure> {
    let named: BTreeSet<String> =
        names.iter().filter(|name| session.spec(name).is_ok()).cloned().collect();
    if named.is_empty() {
        return Ok(None);
    }
    let path = &session.fleet.file;
    let text = std::fs::read_to_string(path).map_err(|error| {
        Error::host("the file cannot be read").with("file", path.display()).because(error)
    })?;
    let text = edit::remove(&text, &named)?;
    if edit::has_machines(&text) {
        let programs = || crate::programs::names(&session.host);
        Fleet::of_text(&text, path, &session.store.addresses(), &programs)?;
    }
    Ok(Some(text))
}

async fn ask(session: &Session, names: &[String]) -> Result<(), Error> {
    let host = &session.host;
    if session.global.json || !host.stdin_is_terminal() {
        return Err(Error::usage("nobody is there to be asked whether to remove machines")
            .hint("say `--yes`"));
    }
    host.err(&format!(
        "About to remove {}, with their disks, and to take them out of the file.\n\
         Are you sure? (y/n): ",
        names.join(", ")
    ));
    if host.ask_line().await?.trim().to_lowercase().starts_with('y') {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Interrupted, "nothing was changed").hint("say `--yes` to go on"))
}
