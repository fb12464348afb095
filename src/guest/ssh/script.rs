//! A script from its first byte to its exit status.

use std::time::Duration;

use fleet_driver::event::Stream;
use fleet_driver::run::tail;
use fleet_driver::{Cx, Error, Result};

use super::channel::{Ended, Output, Piece, Request};
use super::lines::Lines;
use super::{Ssh, bounded};
use crate::guest::{GuestOutput, Script, Telling};

/// More output than this is a runaway.
const MOST_OUTPUT: usize = 64 << 20;
/// How long output may still come after the script ended: what it left running in the
/// background may hold its streams for ever.
const AFTERWARDS: Duration = Duration::from_secs(3);

/// Runs a script and tells its lines as it asks.
pub(super) async fn run(ssh: &Ssh, script: &Script, cx: &Cx) -> Result<GuestOutput> {
    let about = |error: Error| error.with("machine", &ssh.machine).with("purpose", script.purpose);
    let shell = if script.as_user || ssh.root { "sh -s" } else { "sudo -n sh -s" };
    let request = Request { command: Some(shell.to_owned()), pty: None };
    let limit = script.limit.min(cx.left());

    let work = async {
        let (input, mut output) = ssh.start(&request, cx).await?;
        let feed = async {
            // A shell that ends early tells why by its status.
            drop(input.send(whole(script.text.expose()).into_bytes()).await);
            drop(input.end().await);
            // Only the other side ends the work.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            gathered = gather(&mut output, script.telling, cx) => gathered,
            () = feed => unreachable!("it waits for ever"),
        }
    };
    // Dropping the work ends the script's shell in the guest.
    let (ended, out) = bounded(cx, limit, work)
        .await?
        .ok_or_else(|| {
            Error::guest(format!("could not {} within {} s", script.purpose, limit.as_secs()))
                .hint("the machine may be slow or stuck; run the same command again to go on")
        })
        .and_then(|result| result)
        .map_err(about)?;
    match ended {
        Ended::Status(0) => Ok(out),
        Ended::Status(status) => {
            Err(about(failure(script, &out, format!("the script ended with status {status}"))))
        }
        Ended::Signal(name) => {
            Err(about(failure(script, &out, format!("the script was ended by signal {name}"))))
        }
    }
}

/// Makes the shell read all of a script before it begins, so that a connection that
/// breaks never leaves half a script running, and so that no command in it can eat the
/// rest of it from standard input.
fn whole(text: &str) -> String {
    format!("{{\n{text}\nexit\n}} </dev/null\n")
}

fn failure(script: &Script, out: &GuestOutput, how: String) -> Error {
    let stream = if out.stderr.is_empty() { &out.stdout } else { &out.stderr };
    let mut cleaner = crate::guest::terminal::Cleaner::plain();
    let said = String::from_utf8_lossy(&cleaner.clean(stream)).into_owned();
    let said = tail(said.trim_end(), 12);
    let error = Error::guest(format!("could not {}", script.purpose)).with("status", &how);
    if said.is_empty() { error.because(how) } else { error.because(said) }
}

async fn gather(output: &mut Output, telling: Telling, cx: &Cx) -> Result<(Ended, GuestOutput)> {
    let mut out = GuestOutput::default();
    let mut lines = [Lines::new(cx, Stream::Stdout), Lines::new(cx, Stream::Stderr)];
    loop {
        let (which, kept, bytes) = match output.next_within(AFTERWARDS).await? {
            Some(Piece::Stdout(bytes)) => (0, &mut out.stdout, bytes),
            Some(Piece::Stderr(bytes)) => (1, &mut out.stderr, bytes),
            None => break,
        };
        if kept.len() + bytes.len() > MOST_OUTPUT {
            return Err(Error::guest(format!("it printed more than {} MiB", MOST_OUTPUT >> 20)));
        }
        kept.extend_from_slice(&bytes);
        if telling == Telling::Lines {
            lines[which].take(&bytes);
        }
    }
    lines.into_iter().for_each(Lines::finish);
    let ended = output.end()?;
    if let Ended::Status(status) = ended {
        out.status = status;
    }
    Ok((ended, out))
}
