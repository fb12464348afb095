//! The world as its guests know it, behind a lock, with its clock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fleet_driver::fake::Fake;
use tokio::sync::watch;

use super::guest::Guest;
use super::journal::Journal;
use super::swarm::Swarm;
use super::system::System;

/// How long things take.
#[derive(Debug, Clone)]
pub struct Delays {
    /// From power to SSH.
    pub boot: Duration,
    /// From the start of an engine to its first answer.
    pub engine: Duration,
    /// Until a node that is gone is called down.
    pub down: Duration,
    /// Until a join is done.
    pub join: Duration,
    /// Until an engine has given up a join that nobody lets in.
    pub join_timeout: Duration,
    /// Until a promoted or demoted node has taken its part.
    pub role: Duration,
    /// Until a task has started, or ended.
    pub task: Duration,
    /// Until the managers have another leader.
    pub election: Duration,
}

impl Default for Delays {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self {
            boot: ms(10),
            engine: ms(15),
            down: ms(50),
            join: ms(5),
            join_timeout: ms(300),
            role: ms(10),
            task: ms(3),
            election: ms(10),
        }
    }
}

/// The world as its guests know it.
pub(crate) struct State {
    pub(crate) driver: Fake,
    /// Nobody looks at the driver's folder any more: it may be gone.
    pub(crate) over: bool,
    pub(crate) guests: BTreeMap<String, Guest>,
    pub(crate) swarms: Vec<Swarm>,
    pub(crate) journal: Journal,
    pub(crate) delays: Delays,
    /// The engine that images have.
    pub(crate) image_engine: Option<String>,
    /// The system that images have.
    pub(crate) image_system: System,
    pub(crate) image_firewalld: bool,
    /// The engines that can be installed, the newest first.
    pub(crate) available: Vec<String>,
    pub(crate) ids: u64,
}

impl State {
    /// Lets pass what takes time, up to now.
    pub(crate) fn settle(&mut self, now: Instant) {
        if !self.over {
            // Under the lock of this value, so that no older look comes after a newer one.
            let standing = self.driver.standing();
            self.look(now, &standing);
        }
        self.settle_guests(now);
        self.settle_swarms(now);
    }

    /// An id as swarms give them: 25 letters and digits.
    pub(crate) fn id(&mut self) -> String {
        self.ids += 1;
        format!("{:0>25}", format!("sim{}", self.ids))
    }
}

/// What all parts of a world share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) points: Arc<watch::Sender<Points>>,
}

/// How many requests and answers have come by, and where the world stands still.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Points {
    pub(crate) passed: u64,
    pub(crate) hold: u64,
}

impl Shared {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the world after what takes time has passed.
    pub(crate) fn now<T>(&self, look: impl FnOnce(&mut State, Instant) -> T) -> T {
        let mut state = self.state();
        let now = Instant::now();
        state.settle(now);
        look(&mut state, now)
    }

    /// Waits until something is so, with the world going on meanwhile.
    pub(crate) async fn until<T>(
        &self,
        mut look: impl FnMut(&mut State, Instant) -> Option<T>,
    ) -> T {
        loop {
            if let Some(found) = self.now(&mut look) {
                return found;
            }
            nap(Duration::from_millis(2)).await;
        }
    }

    /// A point at which the world may be told to stand still.
    pub(crate) async fn point(&self) {
        let mut mine = 0;
        self.points.send_modify(|points| {
            points.passed += 1;
            mine = points.passed;
        });
        let mut watch = self.points.subscribe();
        // The sender lives as long as the value that this is a method of.
        drop(watch.wait_for(|points| mine < points.hold).await);
    }
}

/// Lets some time pass; tests have one way to do so, too.
pub(crate) async fn nap(time: Duration) {
    drop(tokio::time::timeout(time, std::future::pending::<()>()).await);
}
