//! The messages, as they stand on the wire.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::failure::Failure;
use super::vm::Vm;
use crate::event::{EventKind, StepId, Stream, Unit};
use crate::spec::{Capabilities, Level, Rest, Stop};
use crate::{MachineId, Settings};

/// The version of the protocol that this fleet speaks.
pub const PROTOCOL: u32 = 1;

/// No line is longer, in bytes.
pub(super) const LONGEST: usize = 8 << 20;

/// What fleet says.
#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum ToProgram {
    /// Comes first.
    Hello(Hello),
    /// A verb to be done.
    Call(Box<Call>),
    /// A call to be given up.
    Cancel {
        /// Which.
        id: u64,
    },
    /// Something of a later version.
    #[serde(other)]
    Unknown,
}

/// What a program says.
#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum FromProgram {
    /// The answer to the hello.
    Ready(Ready),
    /// The other answer to the hello.
    Refused {
        /// Why.
        error: Failure,
    },
    /// A call has done its work.
    Answer {
        /// Which.
        id: u64,
        /// What it gives.
        #[serde(default)]
        value: Value,
    },
    /// A call has failed.
    Failed {
        /// Which.
        id: u64,
        /// Why.
        error: Failure,
    },
    /// A call goes on.
    Event {
        /// Which.
        id: u64,
        /// What happens.
        event: Told,
    },
    /// Something of a later version.
    #[serde(other)]
    Unknown,
}

/// Who fleet is, and what its file says to the driver.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Hello {
    /// The version of fleet.
    pub(super) fleet: String,
    /// The versions of the protocol that it speaks.
    pub(super) protocol: Vec<u32>,
    /// What the driver is called in the file.
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) settings: Settings,
}

/// Who the program is.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Ready {
    /// One of those in the hello.
    pub(super) protocol: u32,
    #[serde(default)]
    pub(super) name: String,
    /// Of the program.
    #[serde(default)]
    pub(super) version: String,
    #[serde(default)]
    pub(super) capabilities: Capabilities,
    #[serde(default = "one")]
    pub(super) concurrency: usize,
}

fn one() -> usize {
    1
}

/// A verb with its arguments; each verb has those that it needs.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Call {
    pub(super) id: u64,
    pub(super) verb: String,
    /// The folder below which machines live.
    pub(super) scratch: std::path::PathBuf,
    /// Milliseconds from now.
    pub(super) deadline_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) machine: Option<Id>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) spec: Option<Vm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) wanted: Option<Vec<Wanted>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) fleet: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) how: Option<Stop>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rest: Option<Rest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
}

/// A machine that `check` is asked about.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Wanted {
    pub(super) machine: Id,
    pub(super) spec: Vm,
}

/// A machine's identity, with what is computed from it.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Id {
    pub(super) fleet: String,
    pub(super) name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) uuid: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) macs: Vec<String>,
}

/// How many MAC addresses a program is told.
const MACS: u8 = 4;

impl From<&MachineId> for Id {
    fn from(id: &MachineId) -> Self {
        Self {
            fleet: id.fleet().to_owned(),
            name: id.machine().to_owned(),
            uuid: id.uuid(),
            macs: (0..MACS).map(|nic| id.mac(nic)).collect(),
        }
    }
}

impl From<Id> for MachineId {
    fn from(id: Id) -> Self {
        Self::new(id.fleet, id.name)
    }
}

/// An event of a call.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Told {
    /// See [`EventKind::StepAdvanced`].
    Advanced {
        step: StepId,
        done: u64,
        #[serde(default)]
        total: Option<u64>,
        unit: Unit,
    },
    /// See [`EventKind::Line`].
    Line { stream: Stream, text: String },
    /// See [`EventKind::Waiting`].
    Waiting { reason: String, elapsed_ms: u64 },
    /// See [`EventKind::Note`].
    Note { level: Level, text: String },
    /// Something of a later version.
    #[serde(other)]
    Unknown,
}

impl Told {
    /// What a driver may tell; the rest is fleet's own.
    pub(super) fn of(kind: EventKind) -> Option<Self> {
        Some(match kind {
            EventKind::StepAdvanced { step, done, total, unit } => {
                Self::Advanced { step, done, total, unit }
            }
            EventKind::Line { stream, text } => Self::Line { stream, text },
            EventKind::Waiting { reason, elapsed } => Self::Waiting {
                reason,
                elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            },
            EventKind::Note { level, text } => Self::Note { level, text },
            EventKind::PlanReady { .. }
            | EventKind::StepStarted { .. }
            | EventKind::StepFinished { .. }
            | EventKind::RunFinished { .. } => return None,
        })
    }

    /// The event, if it is one that is known here.
    pub(super) fn kind(self) -> Option<EventKind> {
        Some(match self {
            Self::Advanced { step, done, total, unit } => {
                EventKind::StepAdvanced { step, done, total, unit }
            }
            Self::Line { stream, text } => EventKind::Line { stream, text },
            Self::Waiting { reason, elapsed_ms } => {
                EventKind::Waiting { reason, elapsed: std::time::Duration::from_millis(elapsed_ms) }
            }
            Self::Note { level, text } => EventKind::Note { level, text },
            Self::Unknown => return None,
        })
    }
}

/// A message as its line, with the line's end.
pub(super) fn line(message: &impl Serialize) -> String {
    let mut line = serde_json::to_string(message).expect("all keys of messages are texts");
    line.push('\n');
    line
}
