//! A driver without a hypervisor, in memory or in a folder, with faults on demand, for
//! the tests of whatever uses drivers.

mod disk;
mod driver;
mod rest;
#[cfg(test)]
mod tests;
mod world;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::error::{Error, ErrorKind};
use crate::spec::{Finding, Power};
use crate::{Capabilities, MachineId};
use disk::{Disk, Held};
use world::{Moment, Trouble, What, World};

pub use disk::Standing;

/// A name that stands for every machine, where a fault is ordered.
pub const ANY: &str = "*";

/// A driver whose machines exist in memory only, or in a file; a clone shares them.
///
/// It keeps the whole contract and knows one option, `speed = "fast|slow"`. Its
/// machines answer nowhere unless [`Fake::endpoints`] says where.
#[derive(Clone)]
pub struct Fake {
    name: &'static str,
    world: Arc<Mutex<World>>,
    disk: Option<Arc<Disk>>,
    calls: watch::Sender<usize>,
}

/// The verbs of a driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verb {
    /// `check`.
    Check,
    /// `list`.
    List,
    /// `inspect`.
    Inspect,
    /// `create`.
    Create,
    /// `start`.
    Start,
    /// `stop`.
    Stop,
    /// `unseed`.
    Unseed,
    /// `destroy`.
    Destroy,
    /// `suspend`.
    Suspend,
    /// `snapshot`.
    Snapshot,
    /// `snapshots`.
    Snapshots,
    /// `revert`.
    Revert,
    /// `forget`.
    Forget,
}

/// A verb that was called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Which.
    pub verb: Verb,
    /// On which machine; none for `check` and `list`.
    pub machine: Option<String>,
}

impl Default for Fake {
    fn default() -> Self {
        Self::new()
    }
}

impl Fake {
    /// A driver called `fake`, without machines, that handles four verbs at once.
    pub fn new() -> Self {
        Self::named("fake")
    }

    /// The same under another name, for fleets with several drivers.
    pub fn named(name: &'static str) -> Self {
        let world = Arc::new(Mutex::new(World::default()));
        Self { name, world, disk: None, calls: watch::Sender::new(0) }
    }

    /// A driver whose machines live in `dir/world.json` and so outlive the process; all
    /// processes with a driver on the same folder share them.
    ///
    /// Machines, endpoints and deaf guests are shared; ordered troubles and calls are
    /// each driver's own.
    pub fn on(dir: &Path) -> Self {
        Self { disk: Some(Arc::new(Disk::new(dir))), ..Self::new() }
    }

    fn world(&self) -> Held<'_> {
        let world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        Held::new(world, self.disk.as_deref())
    }

    fn order(&self, machine: &str, verb: Verb, times: usize, what: What) -> &Self {
        self.world().troubles.push(Trouble { machine: machine.to_owned(), verb, times, what });
        self
    }

    /// Fails the verb with an error of this kind, before it does anything, so many times.
    pub fn fail(&self, machine: &str, verb: Verb, kind: ErrorKind, times: usize) -> &Self {
        self.fail_with(machine, verb, times, move || {
            Error::new(kind, format!("the fake driver was told to fail {verb:?}"))
                .hint("tell it otherwise")
        })
    }

    /// Fails the verb with this error, before it does anything, so many times.
    pub fn fail_with(
        &self,
        machine: &str,
        verb: Verb,
        times: usize,
        error: impl Fn() -> Error + Send + Sync + 'static,
    ) -> &Self {
        let what = What::Fail { moment: Moment::Before, error: Arc::new(error) };
        self.order(machine, verb, times, what)
    }

    /// Fails `create` or `destroy` when half of it is done, so many times.
    pub fn break_off(&self, machine: &str, verb: Verb, kind: ErrorKind, times: usize) -> &Self {
        let error = move || Error::new(kind, format!("the fake driver broke off {verb:?}"));
        let what = What::Fail { moment: Moment::HalfWay, error: Arc::new(error) };
        self.order(machine, verb, times, what)
    }

    /// Makes the verb take this long each time.
    pub fn delay(&self, machine: &str, verb: Verb, time: Duration) -> &Self {
        self.order(machine, verb, usize::MAX, What::Delay(time))
    }

    /// Makes the verb take until its deadline or Ctrl-C each time.
    pub fn hang(&self, machine: &str, verb: Verb) -> &Self {
        self.order(machine, verb, usize::MAX, What::Hang)
    }

    /// Takes back everything that was ordered for this verb of this machine.
    pub fn mend(&self, machine: &str, verb: Verb) -> &Self {
        self.world().troubles.retain(|t| t.machine != machine || t.verb != verb);
        self
    }

    /// Makes the guest ignore the wish to shut down.
    pub fn deaf(&self, machine: &str) -> &Self {
        self.world().deaf.insert(machine.to_owned());
        self
    }

    /// Says where a running machine answers: SSH and the engine.
    pub fn endpoints(&self, machine: &str, ssh: SocketAddr, engine: SocketAddr) -> &Self {
        self.world().endpoints.insert(machine.to_owned(), (ssh, engine));
        self
    }

    /// Makes `check` find this, besides what it finds by itself.
    pub fn finding(&self, finding: Finding) -> &Self {
        self.world().findings.push(finding);
        self
    }

    /// Sets how much memory and disk the host has for machines, in MiB.
    pub fn room(&self, memory_mib: u64, disk_mib: u64) -> &Self {
        let mut world = self.world();
        world.memory_mib = memory_mib;
        world.disk_mib = disk_mib;
        drop(world);
        self
    }

    /// Sets how many verbs may run at once.
    pub fn concurrency(&self, verbs: usize) -> &Self {
        self.world().concurrency = verbs;
        self
    }

    /// Sets what the driver says it can do.
    pub fn capabilities(&self, capabilities: Capabilities) -> &Self {
        self.world().capabilities = capabilities;
        self
    }

    /// Removes a machine behind fleet's back; its scratch folder stays.
    pub fn vanish(&self, machine: &str) -> &Self {
        self.world().machines.retain(|id, _| id.machine() != machine);
        self
    }

    /// Sets the power of a machine behind fleet's back.
    pub fn power(&self, machine: &str, power: Power) -> &Self {
        for (id, found) in &mut self.world().machines {
            if id.machine() == machine {
                found.power = power.clone();
            }
        }
        self
    }

    /// The machines that exist, half-made ones too.
    pub fn machines(&self) -> Vec<MachineId> {
        self.world().machines.keys().cloned().collect()
    }

    /// Everything about the machines that exist, half-made ones too.
    pub fn standing(&self) -> Vec<Standing> {
        self.world().machines.iter().map(|(id, machine)| Standing::of(id, machine)).collect()
    }

    /// All calls so far, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.world().calls.clone()
    }

    /// Forgets the calls so far.
    pub fn forget_calls(&self) -> &Self {
        self.world().calls.clear();
        self
    }

    /// Waits until the verb has been called on this machine; bound it by a deadline.
    pub async fn called(&self, machine: &str, verb: Verb) {
        let wanted = |call: &Call| call.verb == verb && call.machine.as_deref() == Some(machine);
        let mut count = self.calls.subscribe();
        while !self.calls().iter().any(wanted) {
            // The sender lives as long as this value, so there is always a next one.
            drop(count.changed().await);
        }
    }

    /// The greatest number of verbs that have run at the same time.
    pub fn most_at_once(&self) -> usize {
        self.world().most_at_once
    }
}
