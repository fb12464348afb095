//! `fleet mount`: a folder of a machine on this computer, by the user's own `sshfs`.

use std::path::PathBuf;
use std::time::Duration;

use fleet_driver::run::Cmd;
use fleet_driver::{Error, ErrorKind};
use serde_json::json;

use super::scp::Spot;
use super::{Exit, Global, Session, flow, ssh};
use crate::host::Host;

/// How long a mount may take until it is there or gone.
const LIMIT: Duration = Duration::from_secs(60);

/// Mount a folder of a machine here
///
/// Needs `sshfs` on this computer. It gets the fleet's key, and knows the machine by its
/// pinned host key. The mount stays until it is taken away, or the machine stops.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Take the mount away
    #[arg(long, short)]
    unmount: bool,
    /// The folder in the machine: [USER@]NAME:PATH
    #[arg(value_name = "NAME:PATH")]
    what: String,
    /// The folder here; the same path as in the machine if it is left out
    #[arg(value_name = "DIR")]
    dir: Option<String>,
}

/// Runs `fleet mount`.
pub async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    let session = Session::open(host, global)?;
    let spot = Spot::read(&args.what)?;
    let (user, name) = match spot.machine {
        Some(machine) => machine,
        // As in docker-machine: without a machine it is the one that is meant anyway.
        None => (None, session.one(None)?.name.clone()),
    };
    session.spec(&name)?;
    let dir = host.cwd().join(args.dir.as_deref().unwrap_or(&spot.path));
    if args.unmount {
        unmount(&session, &dir).await?;
    } else {
        mount(&session, user.as_deref(), &name, &spot.path, &dir).await?;
    }
    if global.json {
        let value = json!({
            "v": 1, "machine": name, "path": spot.path, "directory": dir.display().to_string(),
            "mounted": !args.unmount,
        });
        super::print_json(host, &value)?;
    }
    Ok(0)
}

async fn mount(
    session: &Session,
    user: Option<&str>,
    name: &str,
    path: &str,
    dir: &PathBuf,
) -> Result<(), Error> {
    if !dir.is_dir() {
        return Err(Error::usage("there is no folder here to mount on")
            .with("folder", dir.display())
            .hint("make it: `mkdir -p`, or name another behind NAME:PATH"));
    }
    // Says what is wrong with the machine better than `sshfs` could.
    ssh::target(session, name).await?;
    // A port may have moved since it was written.
    flow::write_ssh_config(session).await?;
    let user = user.map(|user| format!("{user}@")).unwrap_or_default();
    let cmd = Cmd::new("sshfs")
        .arg("-F")
        .arg(session.dir().join("ssh").join("config"))
        .args(["-o", "reconnect"])
        .arg(format!("{user}{name}:{path}"))
        .arg(dir)
        .within(LIMIT);
    session.cx().run(&cmd).await.map(drop).map_err(|error| match error.kind() {
        ErrorKind::Host => error.hint(
            "install it: `sudo apt-get install sshfs` on Debian and Ubuntu, `sshfs` of your \
             distribution elsewhere, macFUSE and its sshfs on a Mac",
        ),
        _ => error.with("machine", name).hint("is there such a folder in the machine?"),
    })
}

async fn unmount(session: &Session, dir: &PathBuf) -> Result<(), Error> {
    let cx = session.cx().within(LIMIT);
    let ways: &[&[&str]] = if cfg!(target_os = "macos") {
        &[&["umount"]]
    } else {
        // The newer one has the older one's place on newer systems.
        &[&["fusermount3", "-u"], &["fusermount", "-u"]]
    };
    let mut missing = None;
    for words in ways {
        let (program, options) = words.split_first().expect("each way has a program");
        let cmd = Cmd::new(program).args(options).arg(dir).within(LIMIT);
        match cx.run(&cmd).await {
            Err(error) if error.kind() == ErrorKind::Host => missing = Some(error),
            Err(error) => {
                return Err(error
                    .with("folder", dir.display())
                    .hint("is it mounted, and does no program work in it?"));
            }
            Ok(_) => return Ok(()),
        }
    }
    let error = missing.unwrap_or_else(|| Error::bug("there is no way to unmount"));
    Err(error.hint("it belongs to FUSE, which came with `sshfs`: install the package `fuse3`"))
}
