//! Runs a plan: stage after stage, lanes side by side or in turn, one gate, limits,
//! cancellation.
//!
//! There is no rollback. A failed lane stops, the others go on, and the same
//! command run again finds a shorter plan.

mod adopt;
mod connect;
mod create;
mod drain;
mod engine;
mod gate;
mod ground;
mod leave;
mod mark;
mod step;
mod swarm;
mod told;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fleet_driver::event::{EventKind, Outcome, Reporter, StepId};
use fleet_driver::{Cx, Error, ErrorKind, ImageFile, Result, fault};
use tokio::task::JoinSet;

use crate::commands::Session;
use crate::config::ImageRef;
use crate::images::Images;
use crate::plan::{self, Lane, Plan, Stage};
use crate::state::Journal;

pub(crate) use adopt::record as record_of;
pub(crate) use create::vm_spec;
pub(crate) use engine::settings;
use ground::{Ground, Machine};
pub use ground::{Patience, Tools};
use told::timed;

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

/// Runs a plan to its end.
///
/// The session must hold the lock. Returns how each lane ended, in the order of
/// the plan.
///
/// # Errors
/// An image could not be had, or the intent could not be written down: then nothing has
/// been made.
pub async fn apply(
    session: &Session,
    plan: Plan,
    tools: Tools,
    journal: Journal,
    reporter: &Reporter,
) -> Result<Vec<LaneEnd>> {
    let began = Instant::now();
    let cx = session.cx_with(reporter.clone());
    cx.report(EventKind::PlanReady { lanes: steps_of_each(&plan) });
    let images = images(session, &plan, &cx).await?;
    let ground = Arc::new(Ground::new(session, &plan, tools, images, cx, journal));
    let mut ends: Vec<Option<LaneEnd>> = vec![None; plan.lanes.len()];
    for stage in Stage::ALL {
        let lanes = plan.lanes.iter().cloned().enumerate().filter(|(_, l)| l.stage == stage);
        if stage.in_turn() {
            in_turn(&ground, stage, lanes, &mut ends).await;
        } else {
            side_by_side(&ground, lanes, &mut ends).await?;
        }
    }
    ground.end()?;
    let ends = of_each_machine(ends.into_iter().flatten().collect());
    let count = |wanted: fn(&Outcome) -> bool| ends.iter().filter(|e| wanted(&e.outcome)).count();
    ground.cx.report(EventKind::RunFinished {
        done: count(|o| matches!(o, Outcome::Done | Outcome::Unchanged)),
        failed: count(|o| matches!(o, Outcome::Failed { .. })),
        skipped: count(|o| matches!(o, Outcome::Skipped { .. })),
        elapsed: began.elapsed(),
    });
    Ok(ends)
}

/// How many steps each machine has, in all of its lanes.
fn steps_of_each(plan: &Plan) -> Vec<(String, usize)> {
    let mut machines: Vec<(String, usize)> = Vec::new();
    for lane in &plan.lanes {
        match machines.iter_mut().find(|(name, _)| *name == lane.machine) {
            Some((_, steps)) => *steps += lane.steps.len(),
            None => machines.push((lane.machine.clone(), lane.steps.len())),
        }
    }
    machines
}

/// One end a machine: where one of its lanes did not end well, that.
fn of_each_machine(ends: Vec<LaneEnd>) -> Vec<LaneEnd> {
    let rank = |outcome: &Outcome| match outcome {
        Outcome::Unchanged => 0,
        Outcome::Done => 1,
        Outcome::Skipped { .. } => 2,
        Outcome::Failed { .. } => 3,
    };
    let mut machines: Vec<LaneEnd> = Vec::new();
    for end in ends {
        match machines.iter_mut().find(|known| known.machine == end.machine) {
            Some(known) => {
                known.elapsed += end.elapsed;
                if rank(&end.outcome) > rank(&known.outcome) {
                    known.outcome = end.outcome;
                }
            }
            None => machines.push(end),
        }
    }
    machines
}

async fn side_by_side(
    ground: &Arc<Ground>,
    lanes: impl Iterator<Item = (usize, Lane)>,
    ends: &mut [Option<LaneEnd>],
) -> Result<()> {
    let mut tasks = JoinSet::new();
    for (index, lane) in lanes {
        let ground = ground.clone();
        tasks.spawn(async move { (index, Box::pin(run_lane(&ground, lane)).await) });
    }
    while let Some(joined) = tasks.join_next().await {
        let (index, end) = joined.map_err(|e| Error::bug("a lane panicked").because(e))?;
        ends[index] = Some(end);
    }
    Ok(())
}

/// Runs one lane after the other. Where machines are interrupted and one does not come
/// back, the next ones are left as they are: what broke the first may break them all.
async fn in_turn(
    ground: &Arc<Ground>,
    stage: Stage,
    lanes: impl Iterator<Item = (usize, Lane)>,
    ends: &mut [Option<LaneEnd>],
) {
    let mut failed: Option<String> = None;
    for (index, lane) in lanes {
        let end = match &failed {
            Some(name) if stage == Stage::Roll => LaneEnd {
                machine: lane.machine,
                outcome: Outcome::Skipped {
                    because: format!("`{name}` did not come back, and they go one after the other"),
                },
                elapsed: Duration::ZERO,
            },
            _ => Box::pin(run_lane(ground, lane)).await,
        };
        if !matches!(end.outcome, Outcome::Done | Outcome::Unchanged) {
            failed.get_or_insert(end.machine.clone());
        }
        ends[index] = Some(end);
    }
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
    if matches!(outcome, Outcome::Failed { .. }) {
        ground.failed(&lane.machine);
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
    ground.may_begin(&lane.machine)?;
    let mut machine = ground.machine(lane).await?;
    let mut changed = Outcome::Unchanged;
    for planned in &lane.steps {
        machine.cx.go_on()?;
        ground.go_on(&lane.machine)?;
        machine.driver = ground.driver_of(lane).await?;
        if planned.step == lane.steps[0].step && lane.stage == Stage::Roll {
            leave::may_be_away(ground, &machine).await?;
        }
        let (id, name) = (planned.step.id(), &lane.machine);
        ground.intent(name, id)?;
        fault::point(&format!("before-{}", word(id)), name)?;
        let cx = machine.cx.clone();
        let outcome = timed(&cx, id, async {
            step::run(ground, &mut machine, &planned.step).await.map(|outcome| (outcome, ()))
        });
        let ended = Box::pin(outcome).await;
        fault::point(&format!("after-{}", word(id)), name)?;
        ground.result(name, id)?;
        ended?;
        changed = Outcome::Done;
    }
    Ok(changed)
}

/// A step's name, as events show it.
fn word(step: StepId) -> String {
    serde_json::to_value(step).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}
