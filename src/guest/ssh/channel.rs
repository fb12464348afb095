//! One program on a connection: its standard streams, its terminal and its end.

use std::sync::Arc;
use std::time::Duration;

use fleet_driver::{Cx, Error, Result};
use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::bytes::Bytes;

use super::connect::Fate;
use super::{Ssh, bounded};
use crate::guest::terminal::{FarInput, FarOutput, Size};

/// How long the guest may take to open a channel and start a program.
const START: Duration = Duration::from_secs(60);

/// What to start.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// A command line for the account's login shell; `None`: that shell itself.
    pub command: Option<String>,
    /// A terminal for it, with both output streams in one.
    pub pty: Option<Pty>,
}

/// A terminal in the guest.
#[derive(Debug, Clone)]
pub struct Pty {
    /// What it can do: the value of `TERM`.
    pub term: String,
    /// Its size.
    pub size: Size,
}

/// Something that a program printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// On standard output, or on its terminal.
    Stdout(Bytes),
    /// On standard error.
    Stderr(Bytes),
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// With this exit status.
    Status(u32),
    /// By a signal, named without `SIG` (RFC 4254, section 6.10).
    Signal(String),
}

impl Ended {
    /// The exit code by which a shell would tell it: 128 and the signal's number.
    pub fn code(&self) -> u8 {
        match self {
            Self::Status(status) => u8::try_from(*status).unwrap_or(255),
            Self::Signal(name) => NUMBERS
                .iter()
                .find(|(known, _)| known == name)
                .map_or(255, |(_, number)| 128 + number),
        }
    }
}

/// The numbers of signals on Linux (signal(7)).
const NUMBERS: &[(&str, u8)] = &[
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("SYS", 31),
];

/// The writing end of a program; dropping it ends the program.
pub struct Input {
    write: Arc<ChannelWriteHalf<Msg>>,
}

/// The reading end of a program.
pub struct Output {
    machine: String,
    read: ChannelReadHalf,
    fate: Fate,
    ended: Option<Ended>,
    closed: bool,
    // Given back when nobody reads any more.
    _permit: OwnedSemaphorePermit,
}

/// Opens a channel and starts a program on it.
pub(super) async fn start(ssh: &Ssh, request: &Request, cx: &Cx) -> Result<(Input, Output)> {
    let permit = bounded(cx, cx.left(), Arc::clone(&ssh.channels).acquire_owned())
        .await?
        .ok_or_else(|| Error::guest("all channels to the guest are busy"))?
        .expect("the semaphore is never closed");
    let late = || {
        Error::guest(format!("`{}` does not start anything", ssh.machine)).hint(format!(
            "it may be overloaded: `fleet console {}` shows what it does",
            ssh.machine
        ))
    };
    let channel = bounded(cx, START, ssh.handle.channel_open_session())
        .await?
        .ok_or_else(late)?
        .map_err(|e| refused(ssh, e))?;
    let mut ends = ends(ssh, channel, permit);
    bounded(cx, START, ask(ssh, &mut ends, request)).await?.ok_or_else(late)??;
    Ok(ends)
}

fn ends(ssh: &Ssh, channel: Channel<Msg>, permit: OwnedSemaphorePermit) -> (Input, Output) {
    let (read, write) = channel.split();
    let output = Output {
        machine: ssh.machine.clone(),
        read,
        fate: ssh.fate.clone(),
        ended: None,
        closed: false,
        _permit: permit,
    };
    (Input { write: Arc::new(write) }, output)
}

async fn ask(ssh: &Ssh, (input, output): &mut (Input, Output), request: &Request) -> Result<()> {
    if let Some(pty) = &request.pty {
        let Size { columns, rows } = pty.size;
        // The guest's own defaults are sane but for one: erasing a letter of UTF-8.
        let modes = [
            (russh::Pty::IUTF8, 1),
            (russh::Pty::TTY_OP_ISPEED, 38_400),
            (russh::Pty::TTY_OP_OSPEED, 38_400),
        ];
        input
            .write
            .request_pty(true, &pty.term, columns.into(), rows.into(), 0, 0, &modes)
            .await
            .map_err(|e| refused(ssh, e))?;
        if !output.granted().await {
            return Err(Error::guest(format!("`{}` gives no terminal", ssh.machine)));
        }
    }
    match &request.command {
        Some(command) => input.write.exec(true, command.as_bytes()).await,
        None => input.write.request_shell(true).await,
    }
    .map_err(|e| refused(ssh, e))?;
    if output.granted().await {
        Ok(())
    } else if ssh.is_closed() {
        Err(ssh.broken())
    } else {
        Err(Error::guest(format!("`{}` refuses to start a program", ssh.machine)))
    }
}

fn refused(ssh: &Ssh, error: russh::Error) -> Error {
    if ssh.is_closed() {
        ssh.broken()
    } else {
        Error::guest(format!("`{}` opens no channel", ssh.machine)).because(error)
    }
}

impl Input {
    /// Writes to the program's standard input; returns when the connection took it.
    ///
    /// # Errors
    /// `Guest` if the connection has ended.
    pub async fn send(&self, bytes: impl Into<Bytes>) -> Result<()> {
        self.write.data_bytes(bytes).await.map_err(gone)
    }

    /// Ends the program's standard input.
    ///
    /// # Errors
    /// `Guest` if the connection has ended.
    pub async fn end(&self) -> Result<()> {
        self.write.eof().await.map_err(gone)
    }

    /// Tells the program that its terminal has another size.
    ///
    /// # Errors
    /// `Guest` if the connection has ended.
    pub async fn resize(&self, size: Size) -> Result<()> {
        self.write.window_change(size.columns.into(), size.rows.into(), 0, 0).await.map_err(gone)
    }
}

fn gone(error: russh::Error) -> Error {
    Error::guest("the connection has ended").because(error)
}

impl Drop for Input {
    /// Ends the program if it still runs; both messages are ignored if it does not.
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let write = Arc::clone(&self.write);
        runtime.spawn(async move {
            let end = async {
                drop(write.signal(Sig::KILL).await);
                drop(write.close().await);
            };
            drop(tokio::time::timeout(Duration::from_secs(5), end).await);
        });
    }
}

impl Output {
    /// The next piece of output, or `None` at the end.
    ///
    /// # Errors
    /// `Guest` if the connection ended before the program did.
    pub async fn next(&mut self) -> Result<Option<Piece>> {
        self.next_within(Duration::MAX).await
    }

    /// As [`Output::next`]; but once the program has ended, nothing for `afterwards` is
    /// the end of its output, whoever else may still hold it open.
    ///
    /// # Errors
    /// As [`Output::next`].
    pub async fn next_within(&mut self, afterwards: Duration) -> Result<Option<Piece>> {
        while !self.closed {
            let message = if self.ended.is_some() {
                tokio::time::timeout(afterwards, self.read.wait()).await.unwrap_or(None)
            } else {
                self.read.wait().await
            };
            match message {
                Some(ChannelMsg::Data { data }) => return Ok(Some(Piece::Stdout(data))),
                Some(ChannelMsg::ExtendedData { data, ext: 1 }) => {
                    return Ok(Some(Piece::Stderr(data)));
                }
                Some(ChannelMsg::ExitStatus { exit_status }) => {
                    self.ended = Some(Ended::Status(exit_status));
                }
                Some(ChannelMsg::ExitSignal { signal_name, .. }) => {
                    self.ended = Some(Ended::Signal(signal(signal_name)));
                }
                Some(ChannelMsg::Close) => self.closed = true,
                Some(_) => {}
                None if self.ended.is_some() => self.closed = true,
                None => return Err(self.broken()),
            }
        }
        Ok(None)
    }

    /// How the program ended, after the last piece.
    ///
    /// # Errors
    /// `Guest` if the guest closed the channel without saying so, as it does when it
    /// shuts down.
    pub fn end(&self) -> Result<Ended> {
        self.ended.clone().ok_or_else(|| self.broken())
    }

    /// Waits for the answer to a request.
    async fn granted(&mut self) -> bool {
        loop {
            match self.read.wait().await {
                Some(ChannelMsg::Success) => return true,
                Some(ChannelMsg::Failure | ChannelMsg::Close) | None => return false,
                // Window sizes; no output comes before the answer.
                Some(_) => {}
            }
        }
    }

    fn broken(&self) -> Error {
        self.fate.broken(&self.machine)
    }
}

impl FarInput for Input {
    async fn send(&self, bytes: Bytes) -> Result<()> {
        Self::send(self, bytes).await
    }

    async fn end(&self) -> Result<()> {
        Self::end(self).await
    }

    async fn resize(&self, size: Size) -> Result<()> {
        Self::resize(self, size).await
    }
}

impl FarOutput for Output {
    async fn next(&mut self) -> Result<Option<Piece>> {
        Self::next(self).await
    }
}

fn signal(signal: Sig) -> String {
    match signal {
        Sig::Custom(name) => name,
        known => format!("{known:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_becomes_the_code_that_a_shell_would_give() {
        assert_eq!(Ended::Status(7).code(), 7);
        assert_eq!(Ended::Status(70_000).code(), 255);
        assert_eq!(Ended::Signal(signal(Sig::KILL)).code(), 137);
        assert_eq!(Ended::Signal(signal(Sig::Custom("BUS".to_owned()))).code(), 135);
        assert_eq!(Ended::Signal("WHAT@example.org".to_owned()).code(), 255);
    }
}
