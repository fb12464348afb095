//! The user's terminal and standard streams, joined to something far away: a program
//! in a guest, or a serial console.
//!
//! Raw mode ends on every way out, since its guard is a value; `cli.rs` sees to the one
//! way that runs no destructors. Standard streams are read and written by threads of
//! their own, so that a read that never returns keeps nobody from leaving.

use std::future::Future;
use std::io::{self, Read as _};
use std::thread;

use fleet_driver::{Error, Result};
use tokio::sync::{mpsc, oneshot};
use tokio_util::bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::guest::ssh::Piece;

mod clean;
mod escape;

pub use clean::Cleaner;
pub use escape::{Escapes, Key};

/// The size of a terminal in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Characters in a row.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
}

impl Size {
    /// The size of the user's terminal; 80 by 24 where it does not tell.
    pub fn now() -> Self {
        match crossterm::terminal::size() {
            Ok((columns, rows)) if columns > 0 && rows > 0 => Self { columns, rows },
            _ => Self { columns: 80, rows: 24 },
        }
    }
}

/// The writing end of something far away.
pub trait FarInput: Send + Sync {
    /// Sends bytes; returns when they were taken.
    fn send(&self, bytes: Bytes) -> impl Future<Output = Result<()>> + Send;
    /// Says that nothing more will be sent.
    fn end(&self) -> impl Future<Output = Result<()>> + Send;
    /// Says that the terminal has another size.
    fn resize(&self, size: Size) -> impl Future<Output = Result<()>> + Send;
}

/// The reading end of something far away.
pub trait FarOutput: Send {
    /// The next bytes, or `None` at the end.
    fn next(&mut self) -> impl Future<Output = Result<Option<Piece>>> + Send;
}

/// Makes the user's terminal raw until dropped.
#[derive(Debug)]
pub struct Raw(());

impl Raw {
    /// # Errors
    /// `Host` if standard input is not a terminal that allows it.
    pub fn enter() -> Result<Self> {
        crossterm::terminal::enable_raw_mode()
            .map_err(|e| Error::host("the terminal cannot be made raw").because(e))?;
        Ok(Self(()))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        drop(crossterm::terminal::disable_raw_mode());
    }
}

/// The near end: where bytes come from and go to.
pub struct Near {
    /// What is typed or piped in; the channel's end is its end.
    pub input: mpsc::Receiver<Bytes>,
    /// Standard output.
    pub out: Writer,
    /// Standard error.
    pub err: Writer,
}

/// Where the near end's input comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Typed {
    /// Standard input.
    Stdin,
    /// Nowhere: it ends at once.
    Nothing,
    /// Nowhere, and it never ends.
    Silence,
}

impl Near {
    /// The streams of this process, read and written from now on.
    ///
    /// # Errors
    /// `Host` if this host gives no thread.
    pub fn process(from: Typed) -> Result<Self> {
        let (keys, input) = mpsc::channel(8);
        match from {
            Typed::Stdin => {
                spawn("stdin", move || read(&keys))?;
            }
            Typed::Nothing => drop(keys),
            Typed::Silence => std::mem::forget(keys),
        }
        Ok(Self { input, out: Writer::new(io::stdout())?, err: Writer::new(io::stderr())? })
    }
}

fn read(keys: &mpsc::Sender<Bytes>) {
    let mut stdin = io::stdin().lock();
    let mut buffer = vec![0; 32 << 10];
    loop {
        match stdin.read(&mut buffer) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => return,
            Ok(n) => {
                if keys.blocking_send(Bytes::copy_from_slice(&buffer[..n])).is_err() {
                    return;
                }
            }
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map(drop)
        .map_err(|e| Error::host("this host gives no thread").because(e))
}

/// A stream that a thread of its own writes to, byte for byte.
#[derive(Debug, Clone)]
pub struct Writer {
    jobs: mpsc::Sender<Job>,
}

#[derive(Debug)]
enum Job {
    Write(Bytes),
    Done(oneshot::Sender<()>),
}

impl Writer {
    /// # Errors
    /// `Host` if this host gives no thread.
    pub fn new(mut stream: impl io::Write + Send + 'static) -> Result<Self> {
        let (jobs, mut queue) = mpsc::channel(8);
        spawn("writer", move || {
            while let Some(job) = queue.blocking_recv() {
                match job {
                    Job::Write(bytes) => {
                        // The queue closes, and the next writer learns of it.
                        if stream.write_all(&bytes).and_then(|()| stream.flush()).is_err() {
                            return;
                        }
                    }
                    Job::Done(told) => drop(told.send(())),
                }
            }
        })?;
        Ok(Self { jobs })
    }

    /// Queues bytes, and waits while the queue is full.
    ///
    /// # Errors
    /// `BrokenPipe` when nobody reads the stream any more.
    pub async fn write(&self, bytes: Bytes) -> io::Result<()> {
        self.jobs.send(Job::Write(bytes)).await.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    /// Waits until all is written.
    pub async fn flush(&self) {
        let (told, done) = oneshot::channel();
        if self.jobs.send(Job::Done(told)).await.is_ok() {
            // An answer that never comes means that the stream is broken.
            drop(done.await);
        }
    }
}

/// What is special about the terminal while it is joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// A terminal: `~.` and its like are understood, and sizes are passed on.
    Terminal,
    /// A pipe: every byte is passed on.
    Pipe,
}

/// Why two ends are no longer joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parted {
    /// The far end ended.
    Far,
    /// The user typed `~.`.
    Left,
    /// Nobody reads standard output any more.
    BrokenPipe,
}

/// Joins the near end with the far one until one of them ends.
///
/// The end of the near input is passed on and is not the end of it all. Everything
/// that came from afar has been written when this returns, except on a broken pipe.
///
/// # Errors
/// Those of the far end; `Interrupted` on Ctrl-C that reached this process.
pub async fn join(
    input: &impl FarInput,
    output: &mut impl FarOutput,
    near: Near,
    keys: Keys,
    cancel: &CancellationToken,
) -> Result<Parted> {
    let Near { input: typed, out, err } = near;
    let sending = send(input, typed, keys, &out);
    let showing = show(output, &out, &err);
    let resizing = follow_size(input, keys);
    tokio::pin!(sending, showing, resizing);
    loop {
        tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(Error::interrupted()),
            parted = &mut showing => {
                out.flush().await;
                err.flush().await;
                return parted;
            }
            left = &mut sending => if left == Parted::Left {
                out.flush().await;
                return Ok(Parted::Left);
            },
            () = &mut resizing => {}
        }
    }
}

/// Passes on what is typed; ends on `~.` only.
async fn send(
    far: &impl FarInput,
    mut typed: mpsc::Receiver<Bytes>,
    keys: Keys,
    out: &Writer,
) -> Parted {
    let mut escapes = Escapes::default();
    while let Some(bytes) = typed.recv().await {
        let understood = match keys {
            Keys::Pipe => vec![Key::Send(bytes)],
            Keys::Terminal => escapes.read(&bytes),
        };
        for key in understood {
            let sent = match key {
                Key::Send(bytes) => far.send(bytes).await,
                Key::Leave => return Parted::Left,
                Key::Help => {
                    drop(out.write(Bytes::from_static(escape::HELP)).await);
                    Ok(())
                }
            };
            if sent.is_err() {
                // The reading end knows why, and ends.
                return std::future::pending().await;
            }
        }
    }
    drop(far.end().await);
    std::future::pending().await
}

/// Shows what comes until it ends.
async fn show(far: &mut impl FarOutput, out: &Writer, err: &Writer) -> Result<Parted> {
    while let Some(piece) = far.next().await? {
        let written = match piece {
            Piece::Stdout(bytes) => out.write(bytes).await,
            // Nobody has to listen to complaints.
            Piece::Stderr(bytes) => {
                drop(err.write(bytes).await);
                Ok(())
            }
        };
        if written.is_err() {
            return Ok(Parted::BrokenPipe);
        }
    }
    Ok(Parted::Far)
}

/// Passes the terminal's size on whenever it changes; never ends.
#[cfg(unix)]
async fn follow_size(far: &impl FarInput, keys: Keys) {
    use tokio::signal::unix::{SignalKind, signal};
    if keys == Keys::Terminal
        && let Ok(mut changes) = signal(SignalKind::window_change())
    {
        while changes.recv().await.is_some() {
            if far.resize(Size::now()).await.is_err() {
                break;
            }
        }
    }
    std::future::pending::<()>().await;
}

#[cfg(not(unix))]
async fn follow_size(_: &impl FarInput, _: Keys) {
    std::future::pending::<()>().await;
}

#[cfg(test)]
mod tests;
