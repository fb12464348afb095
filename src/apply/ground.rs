//! What all lanes of a run share, and what one lane holds between its steps.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use fleet_driver::event::StepId;
use fleet_driver::{Cx, Driver, Error, ImageFile, MachineId, Result, wait};
use tokio::sync::Semaphore;

use super::Stopped;
use super::gate::Gate;
use crate::commands::Session;
use crate::config::{Fleet, ImageRef, Spec};
use crate::guest::keys::KeyPair;
use crate::guest::ssh::Ssh;
use crate::host::Host;
use crate::pki::Pki;
use crate::plan::{Force, Lane, Plan};
use crate::state::{Journal, Record, Store};

/// How long a driver may say that it is busy before that counts as its answer.
const BUSY: Duration = Duration::from_secs(120);

/// What a plan needs to run, beyond the plan.
pub struct Tools {
    /// The fleet's certificates; not needed to remove machines outside a swarm.
    pub pki: Option<Pki>,
    /// The key that fleet logs in with; not needed to remove machines.
    pub key: Option<KeyPair>,
    /// How many lanes may run at once.
    pub parallel: usize,
    /// What a failure means for the other machines.
    pub patience: Patience,
    /// Whether tasks that have nowhere to go keep a machine from going.
    pub force: Force,
}

impl Tools {
    /// The usual ones, with these keys.
    pub fn of(pki: Option<Pki>, key: Option<KeyPair>) -> Self {
        Self { pki, key, parallel: 16, patience: Patience::KeepGoing, force: Force::No }
    }
}

/// What a failure of one machine means for the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Patience {
    /// They go on.
    #[default]
    KeepGoing,
    /// They begin no further step.
    FailFast,
}

/// What all lanes of a run share.
pub(super) struct Ground {
    pub(super) host: Host,
    pub(super) fleet: Fleet,
    store: Mutex<Store>,
    pub(super) tools: Tools,
    pub(super) images: BTreeMap<ImageRef, ImageFile>,
    pub(super) gate: Gate,
    /// Managers join and leave one at a time.
    pub(super) managers: tokio::sync::Mutex<()>,
    pub(super) lanes: Semaphore,
    pub(super) cx: Cx,
    drivers: BTreeMap<String, String>,
    /// How many verbs each driver runs at once.
    limits: Mutex<BTreeMap<String, Arc<Semaphore>>>,
    journal: Mutex<Option<Journal>>,
    failures: Mutex<Vec<String>>,
}

/// What one lane holds between its steps.
pub(super) struct Machine {
    pub(super) name: String,
    pub(super) id: MachineId,
    pub(super) driver: Arc<dyn Driver>,
    pub(super) cx: Cx,
    pub(super) ssh: Option<Ssh>,
    pub(super) facts: Option<crate::guest::facts::GuestFacts>,
    /// What starts its services, once that was seen.
    pub(super) init: Option<crate::guest::source::Init>,
    /// Whether an engine was installed in this run. Few packages start it.
    pub(super) installed: bool,
    /// Whether its engine was seen to run as the file says, in this run.
    pub(super) secured: bool,
    /// Whether the machine itself goes in this lane.
    pub(super) goes: bool,
    /// Whether it is started in this lane.
    pub(super) starts: bool,
}

impl Ground {
    pub(super) fn new(
        session: &Session,
        plan: &Plan,
        tools: Tools,
        images: BTreeMap<ImageRef, ImageFile>,
        cx: Cx,
        journal: Journal,
    ) -> Self {
        let lanes = Semaphore::new(tools.parallel.max(1));
        Self {
            gate: Gate::new(&plan.gate),
            host: session.host.clone(),
            fleet: session.fleet.clone(),
            store: Mutex::new(session.store.clone()),
            tools,
            images,
            managers: tokio::sync::Mutex::new(()),
            lanes,
            cx,
            drivers: plan.drivers.clone(),
            limits: Mutex::default(),
            journal: Mutex::new(Some(journal)),
            failures: Mutex::default(),
        }
    }

    pub(super) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().expect("no holder of the records panics")
    }

    pub(super) fn spec(&self, machine: &str) -> Option<&Spec> {
        self.fleet.machines.iter().find(|spec| spec.name == machine)
    }

    /// The spec of a machine whose step only those of the file have.
    pub(super) fn named(&self, machine: &str) -> Result<&Spec> {
        self.spec(machine).ok_or_else(|| Error::bug(format!("`{machine}` is not in the file")))
    }

    /// The address of a machine on the lab network: the one that it has, whatever the file
    /// says by now.
    pub(super) fn address(&self, machine: &str) -> Result<Ipv4Addr> {
        let recorded = self.store().record(machine).map(|record| record.address);
        recorded.map_or_else(|| self.named(machine).map(|spec| spec.address), Ok)
    }

    /// Whether an address is one of this fleet's.
    pub(super) fn is_ours(&self, address: Ipv4Addr) -> bool {
        let network = &self.fleet.network;
        let mask = u32::MAX.checked_shl(32 - u32::from(network.prefix)).unwrap_or(0);
        u32::from(address) & mask == u32::from(network.subnet) & mask
            || self.store().addresses().values().any(|known| *known == address)
    }

    pub(super) fn pki(&self) -> Result<&Pki> {
        self.tools.pki.as_ref().ok_or_else(|| Error::bug("the certificates were not loaded"))
    }

    pub(super) fn key(&self) -> Result<&KeyPair> {
        self.tools.key.as_ref().ok_or_else(|| Error::bug("the login key was not loaded"))
    }

    pub(super) async fn machine(&self, lane: &Lane) -> Result<Machine> {
        // A statement each: the records are locked until the statement's end.
        let id = self.store().machine_id(&self.fleet.name, &lane.machine);
        let driver = self.driver_of(lane).await?;
        Ok(Machine {
            name: lane.machine.clone(),
            id,
            driver,
            cx: self.cx.about(&lane.machine),
            ssh: None,
            facts: None,
            init: None,
            installed: false,
            secured: false,
            goes: lane.steps.iter().any(|p| p.step == crate::plan::Step::Destroy),
            starts: lane.steps.iter().any(|p| p.step == crate::plan::Step::Start),
        })
    }

    /// The driver of a lane's machine at this moment: the one that made it, or will.
    pub(super) async fn driver_of(&self, lane: &Lane) -> Result<Arc<dyn Driver>> {
        let recorded = self.store().record(&lane.machine).map(|record| record.driver.clone());
        let name = recorded.unwrap_or_else(|| lane.driver.clone());
        self.called(&name).await
    }

    async fn called(&self, name: &str) -> Result<Arc<dyn Driver>> {
        let settings = self.fleet.settings(name, self.host.cache_dir());
        self.host.registry().driver(name, &self.host, &settings).await
    }

    /// The driver of any machine of the fleet.
    pub(super) async fn driver(&self, machine: &str) -> Result<Arc<dyn Driver>> {
        let recorded = self.store().record(machine).map(|record| record.driver.clone());
        let name = recorded
            .or_else(|| self.drivers.get(machine).cloned())
            .or_else(|| self.spec(machine).map(|spec| spec.driver.clone()))
            .unwrap_or_default();
        self.called(&name).await
    }

    /// Changes the record of a machine, at once.
    pub(super) fn record(&self, machine: &str, change: impl FnOnce(&mut Record)) -> Result<()> {
        let mut store = self.store();
        if let Some(mut record) = store.record(machine).cloned() {
            let before = record.clone();
            change(&mut record);
            if record == before {
                return Ok(());
            }
            store.put(&self.fleet.name, machine, record)?;
        }
        Ok(())
    }

    fn failures(&self) -> MutexGuard<'_, Vec<String>> {
        self.failures.lock().expect("no holder of the failures panics")
    }

    /// Remembers a machine that did not reach the end of a lane.
    pub(super) fn failed(&self, machine: &str) {
        self.failures().push(machine.to_owned());
    }

    /// Whether a lane may begin: not after another one of the same machine that failed.
    pub(super) fn may_begin(&self, machine: &str) -> Result<(), Stopped> {
        if self.failures().iter().any(|failed| failed == machine) {
            return Err(Stopped::Skipped("what had to come before failed".to_owned()));
        }
        Ok(())
    }

    /// Whether the others' failures let this machine go on.
    pub(super) fn go_on(&self, machine: &str) -> Result<(), Stopped> {
        match self.failures().first() {
            Some(first) if self.tools.patience == Patience::FailFast && first != machine => {
                Err(Stopped::Skipped(format!("`{first}` failed, and you asked to stop then")))
            }
            _ => Ok(()),
        }
    }

    fn journal(&self, write: impl FnOnce(&mut Journal) -> Result<()>) -> Result<()> {
        let mut journal = self.journal.lock().expect("no holder of the journal panics");
        journal.as_mut().map_or(Ok(()), write)
    }

    /// Writes down what is about to be done.
    pub(super) fn intent(&self, machine: &str, step: StepId) -> Result<()> {
        self.journal(|journal| journal.intent(machine, step))
    }

    /// Writes down that it was done, or failed.
    pub(super) fn result(&self, machine: &str, step: StepId) -> Result<()> {
        self.journal(|journal| journal.result(machine, step))
    }

    /// Writes down that the run has ended.
    pub(super) fn end(&self) -> Result<()> {
        let journal = self.journal.lock().expect("no holder of the journal panics").take();
        journal.map_or(Ok(()), Journal::end)
    }

    fn limit(&self, driver: &dyn Driver) -> Arc<Semaphore> {
        let about = driver.about();
        let mut limits = self.limits.lock().expect("no holder of the limits panics");
        let limit = || Arc::new(Semaphore::new(about.concurrency.max(1)));
        limits.entry(about.name).or_insert_with(limit).clone()
    }
}

impl Machine {
    /// Calls a verb of the machine's driver, no more at once than the driver bears, and
    /// again where it says that it is busy, until `limit`.
    pub(super) async fn verb<T, F, A>(
        &self,
        ground: &Ground,
        limit: Duration,
        what: &str,
        verb: F,
    ) -> Result<T>
    where
        F: Fn(Cx) -> A,
        A: Future<Output = Result<T>>,
    {
        let permits = ground.limit(&*self.driver);
        // The verb's own time begins when its turn has come.
        let _permit = tokio::select! {
            biased;
            () = self.cx.cancelled().cancelled() => return Err(Error::interrupted()),
            permit = permits.acquire() => {
                permit.map_err(|e| Error::bug("the limit of verbs was closed").because(e))?
            }
        };
        let cx = self.cx.within(limit);
        let busy_since: OnceLock<Instant> = OnceLock::new();
        let attempt = || async {
            verb(cx.clone()).await.map_err(|error| {
                let since = *busy_since.get_or_init(Instant::now);
                if since.elapsed() > BUSY { error.for_good() } else { error }
            })
        };
        wait::until(&cx, &format!("the driver to {what} it"), "", attempt).await
    }
}
