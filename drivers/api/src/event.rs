//! Events: facts about a running plan, as data. Words are made in `fleet`'s
//! `report/words.rs` alone.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::spec::Level;

/// One fact about a running plan.
#[derive(Debug, Clone)]
pub struct Event {
    /// When it happened.
    pub at: SystemTime,
    /// The machine concerned, if it is one.
    pub machine: Option<String>,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum EventKind {
    /// The plan is known and about to run.
    PlanReady {
        /// Name of each machine and how many steps it has.
        lanes: Vec<(String, usize)>,
    },
    /// A step began.
    StepStarted {
        /// Which.
        step: StepId,
    },
    /// A step with a known end came nearer to it.
    StepAdvanced {
        /// Which.
        step: StepId,
        /// How much is done.
        done: u64,
        /// Of how much, where known.
        total: Option<u64>,
        /// What is counted.
        unit: Unit,
    },
    /// A guest or a program printed a line.
    Line {
        /// Where it was printed.
        stream: Stream,
        /// The text, without the line's end.
        text: String,
    },
    /// Something is waited for.
    Waiting {
        /// For what, such as `SSH at 127.0.0.1:2201`.
        reason: String,
        /// For how long so far.
        elapsed: Duration,
    },
    /// A step ended.
    StepFinished {
        /// Which.
        step: StepId,
        /// How.
        outcome: Outcome,
        /// How long it took.
        elapsed: Duration,
    },
    /// Something worth knowing that changes nothing.
    Note {
        /// How important.
        level: Level,
        /// A whole sentence.
        text: String,
    },
    /// All lanes have ended.
    RunFinished {
        /// Lanes that reached their end.
        done: usize,
        /// Lanes that failed.
        failed: usize,
        /// Lanes that could not start or go on because of another.
        skipped: usize,
        /// The whole time.
        elapsed: Duration,
    },
}

/// Where a line was printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Steps.
    Steps,
}

/// The steps, by the names that `--json` and the log show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepId {
    /// Fetch, build or verify a base image.
    Image,
    /// Write down again who a machine is, from its mark.
    Adopt,
    /// Define the machine.
    Create,
    /// Give a machine that is off another size, ports or options.
    Resize,
    /// Start it.
    Start,
    /// Wait until it answers by SSH with the pinned host key.
    Connect,
    /// Take the first-boot seed away.
    Unseed,
    /// Install the engine.
    InstallEngine,
    /// Configure the engine and its certificates.
    ConfigureEngine,
    /// Wait until the engine answers over mutual TLS.
    WaitEngine,
    /// Initialise the swarm.
    InitSwarm,
    /// Make a swarm decide again whose other managers are gone for good.
    RecoverSwarm,
    /// Join the swarm.
    JoinSwarm,
    /// Set role, labels and availability of the node.
    UpdateNode,
    /// Let the node take tasks again.
    Activate,
    /// Wait until the node is ready.
    WaitReady,
    /// Move the node's tasks elsewhere.
    Drain,
    /// Leave the swarm.
    LeaveSwarm,
    /// Remove the node from the swarm.
    RemoveNode,
    /// Put the machine to rest with what is in its memory.
    Suspend,
    /// Stop the machine.
    Stop,
    /// Remove the machine.
    Destroy,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It changed something.
    Done,
    /// There was nothing to change.
    Unchanged,
    /// It failed.
    Failed {
        /// The error's text.
        error: String,
        /// What helps to understand it, such as the command or the console's end.
        context: Vec<(String, String)>,
        /// What to try.
        hint: Option<String>,
    },
    /// It did not run.
    Skipped {
        /// Because of what.
        because: String,
    },
}

impl Outcome {
    /// The outcome of a step that ended in this error.
    pub fn failed(error: &crate::Error) -> Self {
        Self::Failed {
            error: error.to_string(),
            context: error.context().iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect(),
            hint: error.hint_text().map(str::to_owned),
        }
    }
}

/// The sending end. Sending never fails and never blocks.
#[derive(Debug, Clone)]
pub struct Reporter {
    channel: Option<mpsc::UnboundedSender<Event>>,
    machine: Option<String>,
}

impl Reporter {
    /// A reporter and the end that receives its events.
    pub fn channel() -> (Self, mpsc::UnboundedReceiver<Event>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self { channel: Some(sender), machine: None }, receiver)
    }

    /// A reporter that nobody listens to.
    pub fn silent() -> Self {
        Self { channel: None, machine: None }
    }

    /// The same channel, with events about `machine`.
    pub fn about(&self, machine: impl Into<String>) -> Self {
        Self { channel: self.channel.clone(), machine: Some(machine.into()) }
    }

    /// The same channel, with events about no machine.
    pub(crate) fn about_none(&self) -> Self {
        Self { channel: self.channel.clone(), machine: None }
    }

    /// Sends an event.
    pub fn send(&self, kind: EventKind) {
        if let Some(channel) = &self.channel {
            let event = Event { at: SystemTime::now(), machine: self.machine.clone(), kind };
            // A display that has ended must not end the work.
            drop(channel.send(event));
        }
    }

    /// Sends a note, a whole sentence.
    pub fn note(&self, level: Level, text: impl Into<String>) {
        self.send(EventKind::Note { level, text: text.into() });
    }
}
