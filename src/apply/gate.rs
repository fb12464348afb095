//! The one gate: machines that join wait here until their swarm answers.

use fleet_driver::{Cx, Error, Result};
use tokio::sync::watch;

use super::Stopped;
use crate::plan;

/// Opened by the machine that initialises the swarm, or open from the start.
pub(super) struct Gate {
    state: watch::Sender<State>,
    seed: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Closed,
    Open(String),
    Failed(String),
}

impl Gate {
    pub(super) fn new(gate: &plan::Gate) -> Self {
        let (state, seed) = match gate {
            plan::Gate::Unused => (State::Closed, None),
            plan::Gate::Open(manager) => (State::Open(manager.clone()), None),
            plan::Gate::Seed(seed) => (State::Closed, Some(seed.clone())),
        };
        Self { state: watch::Sender::new(state), seed }
    }

    /// Opens the gate: `manager` lets the others in.
    pub(super) fn open(&self, manager: &str) {
        self.state.send_if_modified(|state| {
            let closed = *state == State::Closed;
            if closed {
                *state = State::Open(manager.to_owned());
            }
            closed
        });
    }

    /// Tells those who wait that the seed will not open the gate.
    pub(super) fn failed(&self, machine: &str) {
        if self.seed.as_deref() == Some(machine) {
            self.state.send_if_modified(|state| {
                let closed = *state == State::Closed;
                if closed {
                    *state = State::Failed(machine.to_owned());
                }
                closed
            });
        }
    }

    /// The manager that lets machines in, if the gate is open.
    pub(super) fn manager(&self) -> Option<String> {
        match &*self.state.borrow() {
            State::Open(manager) => Some(manager.clone()),
            State::Closed | State::Failed(_) => None,
        }
    }

    /// Waits until the gate opens and tells which manager lets machines in.
    pub(super) async fn wait(&self, cx: &Cx) -> Result<String, Stopped> {
        if self.seed.is_none() && self.manager().is_none() {
            return Err(Error::conflict("there is no swarm to join and no manager to make one")
                .hint("run `fleet up` with a manager among the machines")
                .into());
        }
        let mut watch = self.state.subscribe();
        tokio::select! {
            biased;
            () = cx.cancelled().cancelled() => Err(Error::interrupted().into()),
            state = watch.wait_for(|state| *state != State::Closed) => match state.as_deref() {
                Ok(State::Open(manager)) => Ok(manager.clone()),
                Ok(State::Failed(seed)) => Err(Stopped::Skipped(format!("`{seed}` failed"))),
                Ok(State::Closed) | Err(_) => {
                    Err(Error::bug("the gate of the swarm was dropped").into())
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use fleet_driver::event::Reporter;
    use tokio_util::sync::CancellationToken;

    use super::*;

    fn cx() -> Cx {
        Cx::new("/nowhere", Reporter::silent(), CancellationToken::new())
    }

    #[tokio::test]
    async fn those_who_wait_learn_that_the_seed_failed() {
        let gate = Gate::new(&plan::Gate::Seed("host1".to_owned()));
        gate.failed("worker-1");
        assert_eq!(gate.manager(), None);
        gate.failed("host1");
        assert!(matches!(gate.wait(&cx()).await, Err(Stopped::Skipped(_))));
    }

    #[tokio::test]
    async fn an_open_gate_stays_open() {
        let gate = Gate::new(&plan::Gate::Seed("host1".to_owned()));
        gate.open("host1");
        gate.failed("host1");
        assert!(gate.wait(&cx()).await.is_ok_and(|manager| manager == "host1"));
    }

    #[tokio::test]
    async fn without_a_swarm_nobody_waits() {
        let gate = Gate::new(&plan::Gate::Unused);
        assert!(matches!(gate.wait(&cx()).await, Err(Stopped::Failed(_))));
    }
}
