//! What every verb gets: a folder, a voice, a deadline and a way to run programs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::event::{EventKind, Reporter};
use crate::run::{Cmd, Output, Run, System};

/// The context of a verb.
#[derive(Clone)]
pub struct Cx {
    scratch: PathBuf,
    reporter: Reporter,
    runner: Arc<dyn Run>,
    cancel: CancellationToken,
    deadline: Instant,
}

impl Cx {
    /// A context whose machines live below the folder `scratch`, that runs real programs.
    ///
    /// The deadline is ten minutes until [`Cx::within`] says otherwise.
    pub fn new(scratch: impl Into<PathBuf>, reporter: Reporter, cancel: CancellationToken) -> Self {
        Self {
            scratch: scratch.into(),
            reporter,
            runner: Arc::new(System),
            cancel,
            deadline: Instant::now() + Duration::from_secs(600),
        }
    }

    /// The same context with another way to run programs.
    #[must_use]
    pub fn with_runner(mut self, runner: Arc<dyn Run>) -> Self {
        self.runner = runner;
        self
    }

    /// The same context, speaking of `machine`.
    #[must_use]
    pub fn about(&self, machine: &str) -> Self {
        let mut cx = self.clone();
        cx.reporter = self.reporter.about(machine);
        cx
    }

    /// The same context, ending in `time` from now at the latest.
    #[must_use]
    pub fn within(&self, time: Duration) -> Self {
        let mut cx = self.clone();
        cx.deadline = Instant::now() + time;
        cx
    }

    /// The folder that holds the fleets' folders, in which those of machines are.
    pub fn scratch_root(&self) -> &Path {
        &self.scratch
    }

    /// Where events go.
    pub fn reporter(&self) -> &Reporter {
        &self.reporter
    }

    /// Reports an event.
    pub fn report(&self, kind: EventKind) {
        self.reporter.send(kind);
    }

    /// When the verb must have ended.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The time left.
    pub fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Tells when the run was interrupted.
    pub fn cancelled(&self) -> &CancellationToken {
        &self.cancel
    }

    /// Fails when the run was interrupted; called between actions.
    pub fn go_on(&self) -> Result<()> {
        if self.cancel.is_cancelled() { Err(Error::interrupted()) } else { Ok(()) }
    }

    /// Runs a program to its end, by the deadline, and gives what it printed.
    ///
    /// # Errors
    /// `Host` if the program is missing, `Driver` if it fails or takes too long,
    /// `Interrupted` on Ctrl-C. The error holds the command and its stderr.
    pub async fn run(&self, cmd: &Cmd) -> Result<Output> {
        let limit = cmd.limit().unwrap_or(Duration::MAX).min(self.left());
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Error::interrupted()),
            result = self.runner.run(cmd, limit) => result.and_then(|output| output.checked(cmd)),
        }
    }
}
