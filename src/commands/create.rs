//! `fleet create`: adds a machine to the file and brings it up.

mod wanted;

use std::path::{Path, PathBuf};

use fleet_driver::event::Reporter;
use fleet_driver::{Cx, Error, ErrorKind};

use super::{Exit, Failure, Global, Session, credentials, flow, up};
use crate::config::{self, FILE_NAME, Fleet};
use crate::edit;
use crate::host::Host;
use crate::state::{Keep, Store};

const AGAIN: &str = "fleet create";

/// Add a machine to the file and bring it up
///
/// A table `[machine.NAME]` is added to `machines.toml`; where there is no such file, one
/// is made here. Whatever is not said is left to the defaults of the file. If the file
/// would be wrong with it, nothing is written.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The name of the machine
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    wanted: wanted::Wanted,
}

/// Runs `fleet create`.
pub async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    let path = place(host, global)?;
    let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
    let machine = args.wanted.machine(&args.name, host, &folder)?;
    let mut store = Store::open(&folder, &Keep::new(&host.data_dir()))?;
    let programs = || crate::programs::names(host);
    let add = |store: &Store| -> Result<(String, Fleet), Failure> {
        let before = before(&path, &folder)?;
        let text = match edit::add(&before, &machine) {
            // What is wrong with the file itself is shown better in the file.
            Err(error) if error.kind() == ErrorKind::Config => {
                Fleet::of_text(&before, &path, &store.addresses(), &programs)?;
                return Err(error.into());
            }
            added => added?,
        };
        let fleet = Fleet::of_text(&text, &path, &store.addresses(), &programs)?;
        Ok((text, fleet))
    };
    // A mistake is told before anything is made, the lock included.
    let (_, fleet) = add(&store).inspect_err(|failure| {
        if matches!(failure, Failure::Config(_)) && !global.quiet && !global.json {
            host.err("note: Nothing was written; this is how the file would look.\n");
        }
    })?;
    let cx = Cx::new(host.machines_dir(), Reporter::silent(), host.cancel().clone());
    let lock = super::taken(&cx, || store.lock(&fleet.name, AGAIN)).await?;
    let (text, _) = add(&store)?;
    edit::save(&path, &text)?;
    let mut session = Session::open(host, &Global { file: Some(path.clone()), ..global.clone() })?;
    session.global.file.clone_from(&global.file);
    let ended = bring(&args.name, &mut session).await;
    drop(lock);
    if !matches!(ended, Ok(0)) {
        let shown = path.strip_prefix(host.cwd()).unwrap_or(&path).display();
        flow::say(
            &session,
            &format!(
                "note: `{0}` is in {shown} now: `fleet up {0}` goes on, `fleet rm {0}` takes it \
                 back.\n",
                args.name
            ),
        );
    }
    ended
}

async fn bring(name: &str, session: &mut Session) -> Exit {
    session.warn();
    flow::tell_cut_off(session);
    if credentials::exist(session) {
        credentials::open(session)?;
    }
    let again = format!("fleet up {name}");
    up::bring(&up::Args::of(vec![name.to_owned()], false), session, &again).await
}

/// The file meant: the one of `--file`, else the nearest one upwards, else a new one here.
fn place(host: &Host, global: &Global) -> Result<PathBuf, Error> {
    match super::file(host, global) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(host.cwd().join(FILE_NAME)),
        found => found,
    }
}

/// The text of the file, or how a new one begins.
fn before(path: &Path, folder: &Path) -> Result<String, Error> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let folder = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Ok(format!("[fleet]\nname = \"{}\"\n", config::name_of_folder(&folder)))
        }
        Err(error) => {
            let unread = Error::host("the file cannot be read").with("file", path.display());
            Err(unread.because(error).hint("check who may read it, and that it is UTF-8"))
        }
    }
}
