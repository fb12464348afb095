//! `fleet ssh`: a shell in a machine, or a command there.

use std::sync::Arc;
use std::time::Duration;

use fleet_driver::event::{Event, EventKind, Reporter};
use fleet_driver::wait::pause_for;
use fleet_driver::{Cx, Error, ErrorKind, Power, Result};
use tokio::sync::mpsc::UnboundedReceiver;

use super::{Exit, Failure, Global, Session, credentials};
use crate::apply;
use crate::guest::keys::KeyPair;
use crate::guest::ssh::{Contact, Forwarding, Pty, Request, Ssh, Target};
use crate::guest::terminal::{self, Keys, Near, Parted, Raw, Size, Typed};
use crate::host::Host;

/// How long a machine that runs may take to answer, such as while it boots.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a session may last: no limit of ours.
const SESSION: Duration = Duration::from_secs(10 * 365 * 86_400);
/// What OpenSSH's `ssh` gives when the connection, not the command, failed.
const CONNECTION_FAILED: u8 = 255;

/// Open a shell in a machine, or run a command there
///
/// Options work as those of OpenSSH. The exit status is that of the command, or 255 if the
/// connection failed. In a terminal, `~.` at the start of a line ends the session.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Give the command a terminal
    #[arg(short = 't', long = "tty", conflicts_with = "no_tty")]
    tty: bool,
    /// Give no terminal, not even to a shell
    #[arg(short = 'T', long = "no-tty")]
    no_tty: bool,
    /// Read nothing from standard input
    #[arg(short = 'n', long = "no-stdin")]
    no_stdin: bool,
    /// Run nothing; forward ports until Ctrl-C
    #[arg(short = 'N', long = "no-command", requires = "forwards", conflicts_with = "command")]
    no_command: bool,
    /// Log in to this account instead of the fleet's own
    #[arg(short = 'l', long = "user", value_name = "USER")]
    user: Option<String>,
    /// Forward a port of this host: [ADDRESS:]PORT:HOST:PORT
    #[arg(short = 'L', long = "forward", value_name = "FORWARD")]
    forwards: Vec<Forwarding>,
    /// The machine; may be left out if there is only one, or one called `default`
    name: Option<String>,
    /// The command; its words are joined by spaces, and the shell in the machine reads the result
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// Runs `fleet ssh`.
pub async fn run(args: Args, host: &Host, global: &Global) -> Exit {
    let session = Session::open(host, global)?;
    let name = session.one(args.name.as_deref())?.name.clone();
    let mut target = target(&session, &name).await?;
    if let Some(user) = &args.user {
        target.user.clone_from(user);
    }
    let (reporter, events) = Reporter::channel();
    let telling = tokio::spawn(tell(host.clone(), global.quiet, events));
    let cx = session.cx_with(reporter);
    let result = connect_and_talk(&args, host, global, &target, &cx).await;
    telling.abort();
    match result {
        // Standard output belongs to the command; nothing of ours may be in it.
        Err(Failure::Error(error)) if error.kind() == ErrorKind::Interrupted => Ok(130),
        Err(failure @ Failure::Error(_)) => {
            super::complain(host, &Global { json: false, ..global.clone() }, &failure);
            Ok(CONNECTION_FAILED)
        }
        other => other,
    }
}

/// Finds out how to reach a machine and how to know it.
///
/// # Errors
/// `NotFound` if it does not exist, `Conflict` if it does not run or its records are
/// lost, `Busy` if its driver does not know its address yet.
pub async fn target(session: &Session, name: &str) -> Result<Target> {
    let sighting = session.sighting(name).await?;
    match &sighting.power {
        Power::Running => {}
        Power::Stopped => {
            return Err(Error::conflict(format!("`{name}` is not running"))
                .hint(format!("start it: `fleet start {name}`")));
        }
        Power::Paused | Power::Saved => {
            return Err(Error::conflict(format!("`{name}` is at rest"))
                .hint(format!("let it go on: `fleet start {name}`")));
        }
        Power::Broken(why) => {
            return Err(Error::conflict(format!("`{name}` is broken"))
                .because(why.clone())
                .hint("finish or repair it: `fleet up`"));
        }
    }
    let record = match session.store.record(name) {
        Some(record) => record.clone(),
        // Its record was lost; the mark that it carries says who it is.
        None => apply::record_of(name, session.driver(name).await?.about().name, &sighting)?,
    };
    let key = credentials::login_key(session);
    let key = key.unwrap_or_else(|| session.dir().join("ssh/id_ed25519"));
    let address = sighting.ssh.ok_or_else(|| {
        Error::busy(format!("`{name}` has no address yet")).hint("try again in a moment")
    })?;
    Ok(Target {
        machine: name.to_owned(),
        address,
        user: record.user,
        host_key: record.host_key,
        key: KeyPair::load(&key)?,
    })
}

async fn connect_and_talk(
    args: &Args,
    host: &Host,
    global: &Global,
    target: &Target,
    cx: &Cx,
) -> Exit {
    let ssh = Ssh::wait_for(target, Contact::Known, &cx.within(PATIENCE)).await?;
    let ssh = Arc::new(ssh);
    let cx = cx.within(SESSION);
    let mut forwards = Vec::new();
    for wanted in &args.forwards {
        forwards.push(ssh.forward(wanted, &cx).await?);
    }
    if !global.quiet {
        for (open, wanted) in forwards.iter().zip(&args.forwards) {
            host.err(&format!(
                "{} leads to {}:{} in `{}`.\n",
                open.address, wanted.host, wanted.port, target.machine
            ));
        }
    }
    let code = if args.no_command {
        while !ssh.is_closed() {
            pause_for(&cx, Duration::from_millis(500)).await?;
        }
        CONNECTION_FAILED
    } else {
        talk(args, host, global, target, &ssh, &cx).await?
    };
    drop(forwards);
    if let Some(ssh) = Arc::into_inner(ssh) {
        ssh.close().await;
    }
    Ok(code)
}

async fn talk(
    args: &Args,
    host: &Host,
    global: &Global,
    target: &Target,
    ssh: &Ssh,
    cx: &Cx,
) -> Exit {
    let typing = host.stdin_is_terminal() && !args.no_stdin;
    if args.tty && !typing {
        host.err("There is no terminal for the command: standard input is none.\n");
    }
    let terminal = typing && !args.no_tty && (args.tty || args.command.is_empty());
    let request = Request {
        command: (!args.command.is_empty()).then(|| args.command.join(" ")),
        pty: terminal.then(|| Pty {
            term: host.var("TERM").unwrap_or("xterm").to_owned(),
            size: Size::now(),
        }),
    };
    let (input, mut output) = ssh.start(&request, cx).await?;

    let raw = terminal.then(Raw::enter).transpose()?;
    let keys = if terminal { Keys::Terminal } else { Keys::Pipe };
    let near = Near::process(if args.no_stdin { Typed::Nothing } else { Typed::Stdin })?;
    let parted = terminal::join(&input, &mut output, near, keys, cx.cancelled()).await;
    drop(raw);

    if terminal && !global.quiet {
        // A shell that ended has left its line; one that was left has not.
        let line = if matches!(parted, Ok(Parted::Far)) { "" } else { "\n" };
        host.err(&format!("{line}Connection to {} closed.\n", target.machine));
    }
    match parted? {
        Parted::Far => Ok(output.end()?.code()),
        Parted::Left => Ok(CONNECTION_FAILED),
        Parted::BrokenPipe => Err(Failure::BrokenPipe),
    }
}

/// Says what is worth saying while nothing else is on the screen.
async fn tell(host: Host, quiet: bool, mut events: UnboundedReceiver<Event>) {
    let mut told = quiet;
    while let Some(event) = events.recv().await {
        match event.kind {
            EventKind::Waiting { reason, elapsed } if !told && elapsed.as_secs() >= 1 => {
                told = true;
                host.err(&format!("Waiting for {reason}…\n"));
            }
            EventKind::Note { text, .. } => host.err(&format!("{text}\r\n")),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn read(words: &[&str]) -> Args {
        Cli::try_parse_from([&["ssh"], words].concat()).unwrap().args
    }

    #[test]
    fn the_words_of_a_command_are_its_own() {
        let args = read(&["worker-1", "ls", "-la", "--tty", "-L"]);
        assert_eq!(args.command, ["ls", "-la", "--tty", "-L"]);
        assert!(!args.tty);
        assert_eq!(read(&["worker-1", "uname -a | wc"]).command, ["uname -a | wc"]);
        assert!(read(&["worker-1"]).command.is_empty());
    }

    #[test]
    fn options_may_stand_on_either_side_of_the_name() {
        assert!(read(&["-t", "host1", "top"]).tty);
        let args = read(&["host1", "-t", "top", "-d", "1"]);
        assert!(args.tty);
        assert_eq!(args.command, ["top", "-d", "1"]);
        assert_eq!(read(&["host1", "--", "-x"]).command, ["-x"]);
        assert_eq!(read(&["-L", "1:h:2", "-N", "host1"]).forwards.len(), 1);
        assert!(Cli::try_parse_from(["ssh", "-N", "host1"]).is_err());
    }
}
