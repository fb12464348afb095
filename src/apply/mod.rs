//! Runs a plan: lanes side by side, one gate, limits, cancellation.
//!
//! There is no rollback. A failed lane stops, the others go on, and the same
//! command run again finds a shorter plan.

mod connect;
mod create;
mod engine;
mod gate;
mod mark;
mod step;
mod swarm;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use fleet_driver::event::{EventKind, Outcome, Reporter, StepId};
use fleet_driver::{Cx, Driver, Error, ErrorKind, ImageFile, MachineId, Result};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::commands::Session;
use crate::config::{Fleet, ImageRef, Spec};
use crate::guest::keys::KeyPair;
use crate::guest::ssh::Ssh;
use crate::host::Host;
use crate::images::Images;
use crate::pki::Pki;
use crate::plan::{self, Lane, Plan};
use crate::state::Store;

pub(crate) use create::vm_spec;
pub(crate) use engine::settings;
use gate::Gate;

/// How a lane ended.
#[derive(Debug, Clone)]
pub struct LaneEnd {
    /// The machine.
    pub machine: String,
    /// How.
    pub outcome: Outcome,
    /// How long it took.
    pub elapsed: Duration,
}

/// What a plan needs to run, beyond the plan.
pub struct Tools {
    /// The fleet's certificates; not needed to remove machines outside a swarm.
    pub pki: Option<Pki>,
    /// The key that fleet logs in with; not needed to remove machines.
    pub key: Option<KeyPair>,
    /// How many lanes may run at once.
    pub parallel: usize,
}

/// What all lanes of a run share.
struct Ground {
    host: Host,
    fleet: Fleet,
    store: Mutex<Store>,
    tools: Tools,
    images: BTreeMap<ImageRef, ImageFile>,
    gate: Gate,
    /// Managers join and leave one at a time.
    managers: tokio::sync::Mutex<()>,
    lanes: Semaphore,
    cx: Cx,
}

impl Ground {
    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().expect("no holder of the records panics")
    }

    fn spec(&self, machine: &str) -> Option<&Spec> {
        self.fleet.machines.iter().find(|spec| spec.name == machine)
    }

    fn pki(&self) -> Result<&Pki> {
        self.tools.pki.as_ref().ok_or_else(|| Error::bug("the certificates were not loaded"))
    }

    fn key(&self) -> Result<&KeyPair> {
        self.tools.key.as_ref().ok_or_else(|| Error::bug("the login key was not loaded"))
    }
}

/// What one lane holds between its steps.
struct Machine {
    name: String,
    id: MachineId,
    driver: Arc<dyn Driver>,
    cx: Cx,
    ssh: Option<Ssh>,
    facts: Option<crate::guest::facts::GuestFacts>,
    /// Whether its engine was seen to run as the file says, in this run.
    secured: bool,
}

/// Runs a plan to its end.
///
/// The session must hold the lock. Returns how each lane ended, in the order of
/// the plan.
///
/// # Errors
/// An image could not be had: then nothing has been made.
pub async fn apply(
    session: &Session,
    plan: Plan,
    tools: Tools,
    reporter: &Reporter,
) -> Result<Vec<LaneEnd>> {
    let began = Instant::now();
    let cx = session.cx_with(reporter.clone());
    cx.report(EventKind::PlanReady {
        lanes: plan.lanes.iter().map(|l| (l.machine.clone(), l.steps.len())).collect(),
    });
    let images = images(session, &plan, &cx).await?;
    let lanes = Semaphore::new(tools.parallel.max(1));
    let ground = Arc::new(Ground {
        gate: Gate::new(&plan.gate),
        host: session.host.clone(),
        fleet: session.fleet.clone(),
        store: Mutex::new(session.store.clone()),
        tools,
        images,
        managers: tokio::sync::Mutex::new(()),
        lanes,
        cx,
    });
    let mut tasks = JoinSet::new();
    for (index, lane) in plan.lanes.iter().cloned().enumerate() {
        let ground = ground.clone();
        tasks.spawn(async move { (index, Box::pin(run_lane(&ground, lane)).await) });
    }
    let mut ends: Vec<Option<LaneEnd>> = vec![None; plan.lanes.len()];
    while let Some(joined) = tasks.join_next().await {
        let (index, end) = joined.map_err(|e| Error::bug("a lane panicked").because(e))?;
        ends[index] = Some(end);
    }
    let ends: Vec<LaneEnd> = ends.into_iter().flatten().collect();
    let count = |wanted: fn(&Outcome) -> bool| ends.iter().filter(|e| wanted(&e.outcome)).count();
    ground.cx.report(EventKind::RunFinished {
        done: count(|o| matches!(o, Outcome::Done | Outcome::Unchanged)),
        failed: count(|o| matches!(o, Outcome::Failed { .. })),
        skipped: count(|o| matches!(o, Outcome::Skipped { .. })),
        elapsed: began.elapsed(),
    });
    Ok(ends)
}

/// Gets every image that the plan creates machines from, before the first one is made.
async fn images(session: &Session, plan: &Plan, cx: &Cx) -> Result<BTreeMap<ImageRef, ImageFile>> {
    let store = Images::open(&session.host);
    let mut files = BTreeMap::new();
    for lane in &plan.lanes {
        if !lane.steps.iter().any(|p| p.step == plan::Step::Create) {
            continue;
        }
        let spec = session.spec(&lane.machine)?;
        if files.contains_key(&spec.image) {
            continue;
        }
        let file = if let Some(file) = store.find(&spec.image)? {
            file
        } else {
            let cx = cx.within(Duration::from_secs(3600));
            timed(&cx, StepId::Image, async {
                store.ensure(&spec.image, &cx).await.map(|file| (Outcome::Done, file))
            })
            .await?
        };
        files.insert(spec.image.clone(), file);
    }
    Ok(files)
}

async fn run_lane(ground: &Ground, lane: Lane) -> LaneEnd {
    let began = Instant::now();
    let outcome = match Box::pin(steps(ground, &lane)).await {
        Ok(changed) => changed,
        Err(Stopped::Failed(error)) => Outcome::failed(&error),
        Err(Stopped::Skipped(because)) => Outcome::Skipped { because },
    };
    if matches!(outcome, Outcome::Failed { .. } | Outcome::Skipped { .. }) {
        ground.gate.failed(&lane.machine);
    }
    LaneEnd { machine: lane.machine, outcome, elapsed: began.elapsed() }
}

/// Why a lane did not reach its end.
enum Stopped {
    Failed(Error),
    Skipped(String),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Interrupted => Self::Skipped("you interrupted".to_owned()),
            _ => Self::Failed(error),
        }
    }
}

async fn steps(ground: &Ground, lane: &Lane) -> Result<Outcome, Stopped> {
    let _place = ground
        .lanes
        .acquire()
        .await
        .map_err(|e| Error::bug("the limit of lanes was closed").because(e))?;
    let mut machine = Machine {
        name: lane.machine.clone(),
        id: ground.store().machine_id(&ground.fleet.name, &lane.machine),
        driver: ground.host.registry().driver(&lane.driver, &ground.host)?,
        cx: ground.cx.about(&lane.machine),
        ssh: None,
        facts: None,
        secured: false,
    };
    let mut changed = Outcome::Unchanged;
    for planned in &lane.steps {
        machine.cx.go_on()?;
        let cx = machine.cx.clone();
        let outcome = timed(&cx, planned.step.id(), async {
            step::run(ground, &mut machine, &planned.step).await.map(|outcome| (outcome, ()))
        });
        Box::pin(outcome).await?;
        changed = Outcome::Done;
    }
    Ok(changed)
}

/// Runs a step and reports its beginning and its end, whatever happens, including
/// when it is dropped.
async fn timed<T, E, F>(cx: &Cx, step: StepId, work: F) -> Result<T, E>
where
    E: From<Error> + Brief,
    F: Future<Output = Result<(Outcome, T), E>>,
{
    let mut ending = Ending { cx, step, began: Instant::now(), told: false };
    cx.report(EventKind::StepStarted { step });
    match work.await {
        Ok((outcome, value)) => {
            ending.tell(outcome);
            Ok(value)
        }
        Err(error) => {
            ending.tell(error.outcome());
            Err(error)
        }
    }
}

/// A failure that can be told as the outcome of a step.
trait Brief {
    fn outcome(&self) -> Outcome;
}

impl Brief for Error {
    fn outcome(&self) -> Outcome {
        if self.kind() == ErrorKind::Interrupted {
            return Outcome::Skipped { because: "you interrupted".to_owned() };
        }
        Outcome::failed(self)
    }
}

impl Brief for Stopped {
    fn outcome(&self) -> Outcome {
        match self {
            Self::Failed(error) => error.outcome(),
            Self::Skipped(because) => Outcome::Skipped { because: because.clone() },
        }
    }
}

struct Ending<'a> {
    cx: &'a Cx,
    step: StepId,
    began: Instant,
    told: bool,
}

impl Ending<'_> {
    fn tell(&mut self, outcome: Outcome) {
        self.told = true;
        let elapsed = self.began.elapsed();
        self.cx.report(EventKind::StepFinished { step: self.step, outcome, elapsed });
    }
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if !self.told {
            self.tell(Outcome::Skipped { because: "you interrupted".to_owned() });
        }
    }
}
