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
    /// These managers let machines in.
    Open(Vec<String>),
    Failed(String),
}

impl Gate {
    pub(super) fn new(gate: &plan::Gate) -> Self {
        let (state, seed) = match gate {
            plan::Gate::Unused => (State::Closed, None),
            plan::Gate::Open(managers) => (State::Open(managers.clone()), None),
            plan::Gate::Seed(seed) | plan::Gate::Recover(seed) => {
                (State::Closed, Some(seed.clone()))
            }
        };
        Self { state: watch::Sender::new(state), seed }
    }

    /// Opens the gate, or adds one more manager to those that let others in.
    pub(super) fn open(&self, manager: &str) {
        self.state.send_if_modified(|state| match state {
            State::Closed => {
                *state = State::Open(vec![manager.to_owned()]);
                true
            }
            State::Open(managers) if managers.iter().all(|known| known != manager) => {
                managers.push(manager.to_owned());
                true
            }
            State::Open(_) | State::Failed(_) => false,
        });
    }

    /// A manager lets nobody in any more: it leaves.
    pub(super) fn forget(&self, manager: &str) {
        self.state.send_if_modified(|state| match state {
            State::Open(managers) if managers.len() > 1 => {
                managers.retain(|known| known != manager);
                true
            }
            State::Open(_) | State::Closed | State::Failed(_) => false,
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

    fn managers(&self) -> Vec<String> {
        match &*self.state.borrow() {
            State::Open(managers) => managers.clone(),
            State::Closed | State::Failed(_) => Vec::new(),
        }
    }

    /// Waits until the gate opens and tells which managers let machines in.
    pub(super) async fn wait(&self, cx: &Cx) -> Result<Vec<String>, Stopped> {
        if self.seed.is_none() && self.managers().is_empty() {
            return Err(Error::conflict("there is no swarm to join and no manager to make one")
                .hint("run `fleet up` with a manager among the machines")
                .into());
        }
        let mut watch = self.state.subscribe();
        tokio::select! {
            biased;
            () = cx.cancelled().cancelled() => Err(Error::interrupted().into()),
            state = watch.wait_for(|state| *state != State::Closed) => match state.as_deref() {
                Ok(State::Open(managers)) => Ok(managers.clone()),
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
        assert!(gate.managers().is_empty());
        gate.failed("host1");
        assert!(matches!(gate.wait(&cx()).await, Err(Stopped::Skipped(_))));
    }

    #[tokio::test]
    async fn an_open_gate_stays_open() {
        let gate = Gate::new(&plan::Gate::Seed("host1".to_owned()));
        gate.open("host1");
        gate.failed("host1");
        gate.open("host2");
        gate.open("host2");
        assert!(gate.wait(&cx()).await.is_ok_and(|managers| managers == ["host1", "host2"]));
        gate.forget("host1");
        gate.forget("host2");
        assert!(gate.wait(&cx()).await.is_ok_and(|managers| managers == ["host2"]));
    }

    #[tokio::test]
    async fn without_a_swarm_nobody_waits() {
        let gate = Gate::new(&plan::Gate::Unused);
        assert!(matches!(gate.wait(&cx()).await, Err(Stopped::Failed(_))));
    }
}
