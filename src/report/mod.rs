//! What becomes of events: the sinks, and the texts at a command's end.
//!
//! One channel, many senders, one receiver that hands each event to the run's log and
//! to the display. A sink that can write no more is dropped; the run goes on.

pub(crate) mod clean;
mod copying;
pub mod error;
mod human;
mod ink;
mod json;
mod live;
mod log;
mod plain;
mod summary;
mod table;
mod terminal;
#[cfg(test)]
mod tests;
mod words;

use std::path::{Path, PathBuf};
use std::time::Duration;

use fleet_driver::Result;
use fleet_driver::event::{Event, Reporter};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;

use crate::cli::Global;
use crate::host::Host;

pub use copying::Copying;
pub use summary::summary;
pub use table::table;
pub(crate) use words::doing;

/// How long the sinks may take to show what is left when the run has ended.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One live line a machine.
    Human,
    /// One line an event.
    Plain,
    /// One JSON object an event, on standard output.
    Json,
    /// Not at all.
    Quiet,
}

impl Mode {
    /// Chooses by flags and terminal.
    pub fn choose(host: &Host, global: &Global) -> Self {
        if global.json {
            Self::Json
        } else if global.quiet {
            Self::Quiet
        } else if global.no_progress
            || !host.stderr_is_terminal()
            || host.var("TERM") == Some("dumb")
        {
            Self::Plain
        } else {
            Self::Human
        }
    }
}

/// Something that consumes events.
trait Sink: Send {
    /// Takes an event, whose texts are clean.
    fn event(&mut self, event: &Event);

    /// Ends; no event follows.
    fn end(&mut self) {}
}

/// The receiving end of a run's events, at work on a thread of its own: a terminal
/// that is held up holds up nothing else.
pub struct Reports {
    work: JoinHandle<log::Written>,
    host: Host,
    mode: Mode,
    patience: Duration,
}

/// Opens the sinks of a run and gives the sending end.
///
/// `log` is the folder of logs; a log that cannot be written is complained about at
/// the end and keeps nothing from running.
///
/// # Errors
/// None today; whatever a sink needs before the first event.
pub fn open(host: &Host, mode: Mode, log: Option<&Path>) -> Result<(Reporter, Reports)> {
    let (reporter, events) = Reporter::channel();
    let display: Option<Box<dyn Sink>> = match mode {
        Mode::Human => Some(Box::new(human::Human::on_terminal(host))),
        Mode::Plain => Some(Box::new(plain::Plain::new(host.clone()))),
        Mode::Json => Some(Box::new(json::Json::new(host.clone()))),
        Mode::Quiet => None,
    };
    let log = log.map(log::Log::create);
    let work = tokio::task::spawn_blocking(move || pump(events, log, display));
    Ok((reporter, Reports { work, host: host.clone(), mode, patience: LAST_WORDS }))
}

fn pump(
    mut events: UnboundedReceiver<Event>,
    mut log: Option<log::Log>,
    mut display: Option<Box<dyn Sink>>,
) -> log::Written {
    while let Some(mut event) = events.blocking_recv() {
        clean::event(&mut event);
        if let Some(log) = &mut log {
            log.event(&event);
        }
        if let Some(display) = &mut display {
            display.event(&event);
        }
    }
    if let Some(display) = &mut display {
        display.end();
    }
    log.map(log::Log::close).unwrap_or_default()
}

impl Reports {
    /// Waits until everything sent has been shown, and gives the path of the log.
    ///
    /// All senders should be gone by now; one that is not is not waited for longer
    /// than a few seconds.
    pub async fn finish(self) -> Option<PathBuf> {
        let log::Written { path, trouble } =
            tokio::time::timeout(self.patience, self.work).await.ok()?.ok()?;
        if let Some(trouble) = trouble
            && matches!(self.mode, Mode::Human | Mode::Plain)
        {
            self.host.err(&format!("warning: the log is not complete: {trouble}\n"));
        }
        path
    }
}
