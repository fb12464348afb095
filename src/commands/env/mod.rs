//! `fleet env`: prints nothing but shell code on standard output, whatever goes wrong.

mod proxy;
mod shell;
#[cfg(test)]
mod tests;
mod view;

use fleet_driver::{Error, Power, text};
use serde_json::json;

pub use self::shell::{EnvView, Shell, Variable, detect, script};
use self::view::Proxy;
use super::{Exit, Global, Session, print_json};
use crate::host::Host;

/// Print the shell commands that point a Docker client at a machine
///
/// Run it as `eval $(fleet env host1)`. It asks no network: the values are known from
/// the machine's driver.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The machine; may be left out if there is only one, or one called `default`
    #[arg(conflicts_with = "unset")]
    name: Option<String>,
    /// Write for this shell instead of the one in `SHELL`
    #[arg(long, value_enum, value_name = "SHELL")]
    shell: Option<Shell>,
    /// Print the commands that take all of it back
    #[arg(long, short)]
    unset: bool,
    /// Keep the machine's address in `NO_PROXY`; with `--unset`, take it out
    #[arg(long)]
    no_proxy: bool,
    /// Go through `ssh` instead of the engine's port
    #[arg(long, conflicts_with = "unset")]
    ssh: bool,
}

/// Runs the command.
///
/// # Errors
/// The machine is unknown, absent or does not run; or it has no certificates yet.
pub async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    let shell = match args.shell {
        Some(shell) => shell,
        None if global.json => Shell::Bash,
        None => detect(host)?,
    };
    let proxy = if args.no_proxy { Proxy::Bypass } else { Proxy::Leave };
    let mut view = if args.unset {
        view::unset(proxy, host)
    } else {
        machine(&args, proxy, host, global).await?
    };
    if global.json {
        let set: serde_json::Map<_, _> =
            view.set.into_iter().map(|v| (v.name, v.value.into())).collect();
        print_json(host, &json!({ "set": set, "unset": view.unset }))?;
        return Ok(0);
    }
    view.command = command(&args, global);
    host.out(&script(shell, &view)?)?;
    Ok(0)
}

async fn machine(
    args: &Args,
    proxy: Proxy,
    host: &Host,
    global: &Global,
) -> Result<EnvView, super::Failure> {
    let session = Session::open(host, global)?;
    let name = session.one(args.name.as_deref())?.name.clone();
    let sighting = session.sighting(&name).await?;
    if sighting.power != Power::Running {
        return Err(Error::conflict(format!("`{name}` does not run"))
            .hint(format!("start it: `fleet start {name}`"))
            .into());
    }
    if args.ssh {
        let config = session.dir().join("ssh").join("config");
        let mut view = view::ssh(&name);
        let users = host.home().map(|home| home.join(".ssh/config"));
        let text = users.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
        if let Some(line) = view::missing_include(&config, &text) {
            host.err(&format!(
                "note: the Docker client runs your own `ssh`; let it know the fleet's machines by \
                 this first line in ~/.ssh/config:\n  {line}\n"
            ));
            view.notes.push(format!("~/.ssh/config needs as its first line: {line}"));
        }
        return Ok(view);
    }
    let engine = sighting.engine.ok_or_else(|| {
        Error::conflict(format!("`{name}` has no address for its engine yet"))
            .hint("bring the fleet up: `fleet up`")
    })?;
    let pki = session.pki()?;
    Ok(view::tls(&name, engine, pki.dir(), proxy, host))
}

/// The command as the user may type it again.
fn command(args: &Args, global: &Global) -> String {
    let mut words = vec!["fleet".to_owned()];
    if let Some(file) = &global.file {
        words.push(format!("--file {}", text::sh(&file.display().to_string())));
    }
    words.push("env".to_owned());
    for (flag, given) in
        [("--unset", args.unset), ("--no-proxy", args.no_proxy), ("--ssh", args.ssh)]
    {
        if given {
            words.push(flag.to_owned());
        }
    }
    if let Some(shell) = args.shell.as_ref().and_then(clap::ValueEnum::to_possible_value) {
        words.push(format!("--shell {}", shell.get_name()));
    }
    words.extend(args.name.clone());
    words.join(" ")
}
