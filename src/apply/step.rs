//! One `match`: step → driver, guest or engine call → what to write down.

use std::time::Duration;

use fleet_driver::event::Outcome;
use fleet_driver::{ErrorKind, Level, Power, Stop};

use super::{Ground, Machine, Stopped, connect, create, engine, swarm};
use crate::plan::Step;

/// How long a hypervisor may take for one verb.
const VERB: Duration = Duration::from_secs(120);
/// How long a guest may take to shut down before its power is cut.
const SHUTDOWN: Duration = Duration::from_secs(90);

/// Runs one step of a machine; whatever was reached before is found again and left
/// as it is.
pub(super) async fn run(
    ground: &Ground,
    machine: &mut Machine,
    step: &Step,
) -> Result<Outcome, Stopped> {
    match step {
        Step::Create => create::create(ground, machine, VERB).await,
        Step::Start => start(machine).await,
        Step::Connect => connect::connect(ground, machine).await,
        Step::InstallEngine => engine::install(ground, machine).await,
        Step::ConfigureEngine => engine::configure(ground, machine).await,
        Step::WaitEngine => engine::wait(ground, machine).await,
        Step::InitSwarm => swarm::init(ground, machine).await,
        Step::JoinSwarm(role) => swarm::join(ground, machine, *role).await,
        Step::UpdateNode => swarm::update(ground, machine).await,
        Step::WaitReady => swarm::ready(ground, machine).await,
        Step::Unseed => connect::unseed(ground, machine).await,
        Step::Drain => swarm::drain(ground, machine).await,
        Step::LeaveSwarm => swarm::leave(ground, machine).await,
        Step::RemoveNode => swarm::remove(ground, machine).await,
        Step::Stop => stop(machine).await,
        Step::Destroy => create::destroy(ground, machine, VERB).await,
    }
}

async fn start(machine: &mut Machine) -> Result<Outcome, Stopped> {
    let cx = machine.cx.within(VERB);
    let seen = machine.driver.inspect(&machine.id, &cx).await?;
    if seen.is_some_and(|s| s.power == Power::Running) {
        return Ok(Outcome::Unchanged);
    }
    machine.driver.start(&machine.id, &cx).await?;
    Ok(Outcome::Done)
}

async fn stop(machine: &mut Machine) -> Result<Outcome, Stopped> {
    let cx = machine.cx.within(VERB);
    let seen = machine.driver.inspect(&machine.id, &cx).await?;
    if seen.is_none_or(|s| s.power == Power::Stopped) {
        return Ok(Outcome::Unchanged);
    }
    let soft = machine.driver.stop(&machine.id, Stop::Soft, &cx.within(SHUTDOWN)).await;
    match soft {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::Busy => {
            machine.cx.reporter().note(
                Level::Warning,
                format!(
                    "The guest did not shut down within {} s; its power was cut.",
                    SHUTDOWN.as_secs()
                ),
            );
            machine.driver.stop(&machine.id, Stop::Hard, &cx.within(VERB)).await?;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Outcome::Done)
}
