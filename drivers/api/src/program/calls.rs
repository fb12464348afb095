//! The calls of one running program: who waits for what, and what it said last.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::{Notify, oneshot};

use super::wire::{FromProgram, Told};
use crate::event::{EventKind, Reporter, Stream};
use crate::{Error, ErrorKind, MachineId, Result};

/// How many lines of standard error are kept for errors.
const TAIL: usize = 20;

/// The calls of one process.
#[derive(Default)]
pub(super) struct Calls {
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Default)]
struct Inner {
    last: u64,
    waiting: BTreeMap<u64, Waiting>,
    /// Given up here, and not yet answered by the program.
    given_up: BTreeMap<u64, Option<MachineId>>,
    end: Option<End>,
    tail: VecDeque<String>,
}

struct Waiting {
    answer: oneshot::Sender<Result<Value>>,
    reporter: Reporter,
    machine: Option<MachineId>,
}

/// Why a process answers no more.
#[derive(Debug, Clone)]
pub(super) struct End {
    /// `Busy` if another try may go well.
    pub(super) kind: ErrorKind,
    /// What it did, to be read after its name.
    pub(super) what: String,
}

impl Calls {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a call; its number, and where its answer will be.
    pub(super) fn begin(
        &self,
        machine: Option<MachineId>,
        reporter: Reporter,
    ) -> (u64, oneshot::Receiver<Result<Value>>) {
        let (answer, receiver) = oneshot::channel();
        let mut inner = self.inner();
        inner.last += 1;
        let id = inner.last;
        // Without a sender the receiver learns at once that there will be no answer.
        if inner.end.is_none() {
            inner.waiting.insert(id, Waiting { answer, reporter, machine });
        }
        (id, receiver)
    }

    /// Gives a call up; whether the program has to be told.
    pub(super) fn give_up(&self, id: u64) -> bool {
        let mut inner = self.inner();
        match inner.waiting.remove(&id) {
            Some(waiting) => {
                inner.given_up.insert(id, waiting.machine);
                true
            }
            None => false,
        }
    }

    /// Waits until the program has answered the calls of this machine that were given up,
    /// or all of them if none is named.
    pub(super) async fn settled(&self, machine: Option<&MachineId>) {
        loop {
            let changed = self.changed.notified();
            let mine = |of: &Option<MachineId>| {
                machine.is_none_or(|machine| of.as_ref().is_none_or(|of| of == machine))
            };
            let settled = {
                let inner = self.inner();
                inner.end.is_some() || !inner.given_up.values().any(mine)
            };
            if settled {
                return;
            }
            changed.await;
        }
    }

    /// Takes a message.
    ///
    /// # Errors
    /// It cannot come here; says why, to be read after the program's name.
    pub(super) fn take(&self, message: FromProgram) -> Result<(), String> {
        match message {
            FromProgram::Answer { id, value } => self.answered(id, Ok(value)),
            FromProgram::Failed { id, error } => self.answered(id, Err(error.error())),
            FromProgram::Event { id, event } => self.told(id, event),
            FromProgram::Ready(_) | FromProgram::Refused { .. } => {
                return Err("answered the hello twice".to_owned());
            }
            FromProgram::Unknown => {}
        }
        Ok(())
    }

    fn answered(&self, id: u64, result: Result<Value>) {
        let waiting = {
            let mut inner = self.inner();
            inner.given_up.remove(&id);
            inner.waiting.remove(&id)
        };
        if let Some(waiting) = waiting {
            // Whoever asked may have gone at this very moment.
            drop(waiting.answer.send(result));
        }
        self.changed.notify_waiters();
    }

    fn told(&self, id: u64, event: Told) {
        if let (Some(waiting), Some(kind)) = (self.inner().waiting.get(&id), event.kind()) {
            waiting.reporter.send(kind);
        }
    }

    /// Takes a line of standard error: it is kept, and shown if a call of a machine runs.
    ///
    /// With calls of several machines nobody knows whose it is, so it is nobody's.
    pub(super) fn heard(&self, text: String) {
        let mut inner = self.inner();
        if inner.tail.len() == TAIL {
            inner.tail.pop_front();
        }
        inner.tail.push_back(text.clone());
        let mut of_machines = inner.waiting.values().filter(|waiting| waiting.machine.is_some());
        let kind = EventKind::Line { stream: Stream::Stderr, text };
        match (of_machines.next(), of_machines.next()) {
            (Some(one), None) => one.reporter.send(kind),
            (Some(one), Some(_)) => one.reporter.about_none().send(kind),
            (None, _) => {}
        }
    }

    /// The last lines of standard error.
    pub(super) fn tail(&self) -> String {
        self.inner().tail.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    /// Ends all calls; later ones end at once.
    pub(super) fn close(&self, end: End) {
        let mut inner = self.inner();
        inner.end.get_or_insert(end);
        inner.waiting.clear();
        inner.given_up.clear();
        drop(inner);
        self.changed.notify_waiters();
    }

    /// Waits until there are no answers any more.
    pub(super) async fn ended(&self) {
        loop {
            let changed = self.changed.notified();
            if self.end().is_some() {
                return;
            }
            changed.await;
        }
    }

    /// Why there are no answers any more, if that is so.
    pub(super) fn end(&self) -> Option<End> {
        self.inner().end.clone()
    }

    /// Adds what the program said last to an error about it.
    pub(super) fn explained(&self, error: Error) -> Error {
        let tail = self.tail();
        if tail.is_empty() { error } else { error.because(tail) }
    }
}
