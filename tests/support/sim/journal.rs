//! What happened in a simulated world, in the order of time, and what must not have.

use std::time::{Duration, Instant};

/// Something that happened to a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A machine with a new disk is there, complete.
    Created,
    Started,
    Stopped,
    /// The machine and its disk are gone.
    Destroyed,
    /// The package of the engine was put in: its version.
    EngineInstalled(String),
    /// The engine runs, for the first time since the machine was started.
    EngineStarted,
    /// The engine was stopped and runs again.
    EngineRestarted,
    /// The engine did not start: its last words.
    EngineFailed(String),
    SwarmInitialised,
    /// The swarm was made anew around this manager.
    SwarmForced,
    JoinedAsManager,
    JoinedAsWorker,
    Promoted,
    Demoted,
    Drained,
    Paused,
    Activated,
    /// The engine left its swarm.
    Left,
    /// The node was removed from the list of nodes.
    Removed,
    /// So many tasks ran here and were not moved away before they ended.
    TasksLost(usize),
    BecameLeader,
    /// The managers that are left are too few; the machine is the last to go.
    QuorumLost,
    QuorumBack,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Since the world began.
    pub at: Duration,
    pub machine: String,
    pub what: What,
}

pub struct Journal {
    began: Instant,
    events: Vec<Event>,
    /// The most nodes of one swarm whose engines were down at once.
    pub most_down: usize,
    /// Scripts that no simulated guest understands.
    pub unknown: Vec<String>,
    /// What else was strange; a test with any of these fails.
    pub complaints: Vec<String>,
}

impl Journal {
    pub fn new() -> Self {
        Self {
            began: Instant::now(),
            events: Vec::new(),
            most_down: 0,
            unknown: Vec::new(),
            complaints: Vec::new(),
        }
    }

    pub fn note(&mut self, machine: &str, what: What) {
        let (at, machine) = (self.began.elapsed(), machine.to_owned());
        self.events.push(Event { at, machine, what });
    }

    pub fn complain(&mut self, machine: &str, what: impl std::fmt::Display) {
        self.complaints.push(format!("{machine}: {what}"));
    }

    pub fn events(&self) -> Vec<Event> {
        self.events.clone()
    }
}
